"""guide.py: the PyTorch guide's network; guide.c is the same program in C, and both print the
same losses, to the last digit, from the same seed.

    100 rows of 10 normal numbers, 2 classes -> Linear(10, 20), ReLU, Linear(20, 2)
    cross entropy, Adam at 0.01, 100 epochs

    PYTHONPATH=build/python python3 samples/guide.py [epochs]"""
import sys

import kiln as torch
from kiln import nn


def train(epochs):
    """The loss of each epoch."""
    torch.manual_seed(0)
    X = torch.randn(100, 10, dtype=torch.float64).float()  # or from_numpy(..).float()
    y = torch.randint(0, 2, (100,)).long()
    model = nn.Sequential(nn.Linear(10, 20), nn.ReLU(), nn.Linear(20, 2))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = []
    for epoch in range(epochs):
        outputs = model(X)
        loss = criterion(outputs, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
        if epoch % 20 == 0 or epoch == epochs - 1:
            print(f"epoch {epoch + 1:3d}: loss {losses[-1]:.6f}")
    return losses


losses = train(int(sys.argv[1]) if len(sys.argv) > 1 else 100)
sys.exit(0 if losses[-1] < losses[0] else "the loss did not fall")
