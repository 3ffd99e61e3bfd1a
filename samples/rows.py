"""rows.py: from a CSV file to a trained network: a Dataset over the file's rows, a DataLoader
that shuffles them into batches, a network that learns from those.

    PYTHONPATH=build/python python3 samples/rows.py samples/data/digits.csv [epochs]"""
import csv
import sys

import kiln as torch
from kiln import nn
from kiln.utils.data import DataLoader, Dataset, Subset
from kiln.utils.progress import progress


class Digits(Dataset):
    """An 8x8 image a row, as 64 numbers from 0 to 1, and its label."""

    def __init__(self, path):
        with open(path, newline="") as file:
            rows = torch.tensor([[float(v) for v in row] for row in csv.reader(file)])
        self.x, self.y = rows[:, :-1] / 16, rows[:, -1].long()

    def __len__(self):
        return len(self.x)

    def __getitem__(self, i):
        return self.x[i], self.y[i]


def accuracy(model, loader):
    with torch.no_grad():
        right = sum((model(x).argmax(1) == y).sum().item() for x, y in loader)
    return right / len(loader.dataset)


def main(path, epochs):
    torch.manual_seed(0)
    digits = Digits(path)
    train = Subset(digits, [i for i in range(len(digits)) if i % 5 != 4])
    test = Subset(digits, [i for i in range(len(digits)) if i % 5 == 4])
    batches = DataLoader(train, batch_size=32, shuffle=True)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10)).to(device)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = nn.CrossEntropyLoss()
    for epoch in range(epochs):
        total = 0.0
        for x, y in progress(batches, f"epoch {epoch + 1}"):
            x, y = x.to(device), y.to(device)
            loss = loss_fn(model(x), y)
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            total += loss.item()
        print(f"epoch {epoch + 1}: loss {total / len(batches):.4f}", flush=True)
    reached = accuracy(model.to("cpu"), DataLoader(test, batch_size=128))
    print(f"{len(train)} rows learnt, {100 * reached:.2f}% of {len(test)} others right")
    return reached


if __name__ == "__main__":
    if main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 10) < 0.9:
        sys.exit("too few are right")
