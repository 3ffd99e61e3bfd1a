"""models.py: a small network for images and one for sound, made of the same layers, each trained
on signals that are drawn here: which of four bars an image shows, which of four pitches a
second of sound has. The second half of the drawn ones is not learnt from and must be told apart.

    PYTHONPATH=build/python python3 samples/models.py [epochs]"""
import math
import sys

import kiln as torch
from kiln import nn
from kiln.utils.data import DataLoader, TensorDataset
from kiln.utils.progress import progress

COUNT, CLASSES = 256, 4


def bars():
    """Images [COUNT, 1, 12, 12] of a bar in noise, and where the bar is."""
    kind = torch.randint(0, CLASSES, (COUNT,))
    places = torch.arange(12) // 3
    bar = (places.view(1, 12) == kind.view(-1, 1)).float()
    return bar.view(COUNT, 1, 1, 12) + 0.5 * torch.randn(COUNT, 1, 12, 12), kind


def tones():
    """Sounds [COUNT, 1, 256] of one pitch at some phase in noise, and which pitch."""
    kind = torch.randint(0, CLASSES, (COUNT,))
    time = torch.arange(256) / 256
    phase = 2 * math.pi * torch.rand(COUNT, 1)
    wave = torch.sin(2 * math.pi * (8 * (kind.view(-1, 1) + 1)) * time + phase)
    return (wave + 0.3 * torch.randn(COUNT, 256)).view(COUNT, 1, 256), kind


def image_net():
    return nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d((1, 4)),
        nn.Flatten(), nn.Linear(64, CLASSES))


def sound_net():
    return nn.Sequential(
        nn.Conv1d(1, 16, 17, stride=2, padding=8), nn.BatchNorm1d(16), nn.ReLU(),
        nn.Conv1d(16, 16, 9, stride=2, padding=4), nn.ReLU(), nn.AdaptiveAvgPool1d(1),
        nn.Flatten(), nn.Linear(16, CLASSES))


def accuracy(model, x, y):
    model.eval()
    with torch.no_grad():
        return (model(x).argmax(1) == y).float().mean().item()


def train(name, model, x, y, epochs):
    """The share of the second half that is right after learning from the first."""
    half = COUNT // 2
    batches = DataLoader(TensorDataset(x[:half], y[:half]), batch_size=32, shuffle=True)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        model.train()
        for a, b in progress(batches, f"{name}, epoch {epoch + 1}"):
            loss = loss_fn(model(a), b)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    right = accuracy(model, x[half:], y[half:])
    count = sum(p.numel() for p in model.parameters())
    print(f"{name}: {count} parameters, {100 * right:.1f}% of {half} others right", flush=True)
    return right


def main(epochs):
    torch.manual_seed(0)
    right = [train("images", image_net(), *bars(), epochs),
             train("sounds", sound_net(), *tones(), epochs)]
    return min(right)


if __name__ == "__main__":
    if main(int(sys.argv[1]) if len(sys.argv) > 1 else 12) < 0.9:
        sys.exit("too few are right")
