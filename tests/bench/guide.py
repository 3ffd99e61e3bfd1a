"""guide.py MODULE CASE: one case of Python's bars in a process of its own, with kiln or torch as
the module; prints "ok VALUE..", or "error WHY". Times are seconds, memory MB."""
import importlib
import os
import resource
import sys
import time


def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def now_resident():
    with open("/proc/self/statm") as f:
        return int(f.read().split()[1]) * resource.getpagesize() / 2**20


def importing(name):
    """Seconds beyond NumPy's own import; LLVM may not be there yet."""
    import numpy  # noqa: F401
    begin = time.perf_counter()
    importlib.import_module(name)
    took = time.perf_counter() - begin
    with open("/proc/self/maps") as f:
        if name == "kiln" and "libLLVM" in f.read():
            raise RuntimeError("LLVM is loaded by the import")
    return [took]


def chain(torch, seconds=2.0):
    """Seconds an operation: 100 of them on 16 elements, the values read at the end."""
    x = torch.arange(16.) / 16

    def run():
        y = x
        for _ in range(25):
            y = y * 1.01
            y = y + x
            y = y.clamp(-2, 2)
            y = y.abs()
        return y.tolist()

    best, end = 1e9, time.perf_counter() + seconds
    value = run()
    while time.perf_counter() < end:
        begin = time.perf_counter()
        run()
        best = min(best, time.perf_counter() - begin)
    return [best / 100, sum(value)]


def net(torch):
    import numpy as np

    rng = np.random.RandomState(0)
    x = torch.from_numpy(rng.randn(100, 10)).float()
    y = torch.from_numpy(rng.randint(0, 2, 100)).long()
    model = torch.nn.Sequential(torch.nn.Linear(10, 20), torch.nn.ReLU(), torch.nn.Linear(20, 2))
    with torch.no_grad():  # the same start in both
        for p in model.parameters():
            p.copy_(torch.from_numpy(rng.uniform(-.3, .3, tuple(p.shape)).astype("float32")))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    loss_fn = torch.nn.CrossEntropyLoss()

    def epoch():
        out = model(x)
        loss = loss_fn(out, y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    return epoch


def guide(torch):
    """Seconds of the whole loop of 100 epochs after a first one; its last loss."""
    epoch, best = net(torch), 1e9
    first = [epoch() for _ in range(100)]
    for _ in range(10):
        begin = time.perf_counter()
        for _ in range(100):
            epoch()
        best = min(best, time.perf_counter() - begin)
    return [best, first[-1]]


def first(torch):
    """The loop once: the caller times the process."""
    epoch = net(torch)
    return [0, [epoch() for _ in range(100)][-1]]


def steps(torch):
    """Growth, in MB, over 10,000 steps after 1,000."""
    epoch = net(torch)
    for _ in range(1000):
        epoch()
    before = now_resident()
    for _ in range(10000):
        epoch()
    return [now_resident() - before]


def sizes(torch):
    """The time of a step over 20 batch sizes in turn over one size's, and programs compiled for
    them; each batch alone must give the same bits."""
    import numpy as np

    data = np.random.RandomState(1).randn(64, 32).astype("float32")
    w = torch.from_numpy(np.random.RandomState(2).randn(32, 16).astype("float32"))
    batches = [torch.from_numpy(data[:44 + i].copy()) for i in range(20)]

    def step(x):
        return (torch.tanh(x @ w) * 2 + 1).sum(1).tolist()

    begin = torch.stats()["programs_compiled"]
    outputs = [step(b) for b in batches]
    compiled = torch.stats()["programs_compiled"] - begin
    if outputs != [step(b) for b in batches]:
        raise RuntimeError("the same batch gives other bits")
    best_turns = best_one = 1e9
    for _ in range(20):
        begin = time.perf_counter()
        for b in batches:
            step(b)
        best_turns = min(best_turns, (time.perf_counter() - begin) / 20)
        begin = time.perf_counter()
        for _ in batches:
            step(batches[10])
        best_one = min(best_one, (time.perf_counter() - begin) / 20)
    return [best_turns / best_one, compiled]


def main():
    module, case = sys.argv[1:]
    if case == "import":
        return importing(module)
    torch = importlib.import_module(module)
    import numpy  # noqa: F401
    if module == "torch":
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))
    before = peak()
    result = {"chain": chain, "guide": guide, "first": first, "steps": steps,
              "sizes": sizes}[case](torch)
    return result + [peak() - before]


try:
    print("ok", *(f"{v:.9g}" for v in main()), flush=True)
except Exception as e:
    print(f"error {type(e).__name__}: {e}", flush=True)
