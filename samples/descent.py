"""descent.py: gradient descent by hand: the parameters of a line are moved against their
gradients, 20 times, and the loss falls each time.

    PYTHONPATH=build/python python3 samples/descent.py"""
import kiln as torch

torch.manual_seed(0)
x = torch.randn(50, 3)
y = x @ torch.tensor([1.0, -2.0, 0.5]) + 3 + 0.1 * torch.randn(50)

w = torch.zeros(3, requires_grad=True)
b = torch.zeros(1, requires_grad=True)
losses = []
for step in range(20):
    loss = ((x @ w + b - y) ** 2).mean()
    loss.backward()
    with torch.no_grad():
        w -= 0.1 * w.grad
        b -= 0.1 * b.grad
    w.grad.zero_()
    b.grad.zero_()
    losses.append(loss.item())

print(f"loss {losses[0]:.4f} -> {losses[-1]:.4f}")
print("w", w.detach(), "b", b.detach())
if not all(b < a for a, b in zip(losses, losses[1:])):
    raise SystemExit(f"the loss did not fall at each step: {losses}")
