"""bars.py: measures the bars and prints one line each (run.sh calls it).

    bar NAME measured REQUIRED ok|short

A bar against a peer runs kiln (bench serve) and the peer (peers.py) in turns in one go and
compares their least times; its result is checked against the peer's first. A time without a
peer is the median of 20 fresh processes. What cannot be measured is short; why, stands in a
line of its own before it."""
import os
import re
import shutil
import statistics
import subprocess
import sys
import time

import model_bars
from basics import BENCH, ROOT, WORK, Failed, environment

LIBRARY = os.path.join(ROOT, "build", "libkiln.so")
ROUNDS, SLICE, PROCESSES = 4, 0.4, 20


class Server:
    """A process that answers a line for each line."""

    def __init__(self, argv, threads):
        self.p = subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                  env=environment(threads), text=True)

    def ask(self, *words):
        try:
            self.p.stdin.write(" ".join(str(w) for w in words) + "\n")
            self.p.stdin.flush()
        except BrokenPipeError:
            raise Failed("a process ended before its answer") from None
        answer = self.p.stdout.readline().strip()
        if not answer.startswith("ok"):
            raise Failed(answer or f"no answer to {words[0]}: the process ended")
        return answer[2:].strip()

    def close(self):
        self.p.stdin.close()
        self.p.wait()


def kiln(threads):
    return Server([BENCH, "serve"], threads)


def peers(threads):
    here = os.path.join(ROOT, "tests", "bench", "peers.py")
    return Server([sys.executable, here], threads)


def fresh(name, threads, **env):
    """The median of what NAME prints in 20 processes of its own, after one to warm the files."""
    values = []
    for _ in range(PROCESSES + 1):
        r = subprocess.run([BENCH, name], env=environment(threads, **env), text=True,
                           cwd=ROOT, stdout=subprocess.PIPE)
        if not r.stdout.startswith("ok"):
            raise Failed(r.stdout.strip() or f"{name} ended with {r.returncode}")
        values.append(float(r.stdout.split()[1]))
    return statistics.median(values[1:])


def turns(threads, case, names, tolerance):
    """(kiln's least time, the least of the peers), after comparing the results."""
    folder = os.path.join(WORK, case)
    os.makedirs(folder, exist_ok=True)
    ours, theirs = kiln(threads), [peers(threads) for _ in names]
    try:
        ours.ask("prepare", case)
        ours.ask("save", folder)
        for name, peer in zip(names, theirs):
            peer.ask("prepare", case, name)
            if not name == "numpy" or "trans" not in case:
                worst = float(peer.ask("check", folder))
                if not worst <= tolerance:
                    raise Failed(f"differs from {name} by {worst:g} of the largest value")
        mine, other = [], []
        for _ in range(ROUNDS):
            mine.append(float(ours.ask("time", SLICE)))
            other.append(min(float(p.ask("time", SLICE)) for p in theirs))
        return min(mine), min(other)
    finally:
        ours.close()
        for p in theirs:
            p.close()
        shutil.rmtree(folder, ignore_errors=True)


# ---- kinds of bars: each gives a function of the threads that gives (text, reached) ----


def versus(case, names, most, tolerance=2e-5):
    """kiln's time over the better peer's: at most so much."""

    def measure(threads):
        mine, other = turns(threads, case, names, tolerance)
        return f"{mine / other:.3f}x({mine * 1e3:.4g}ms/{other * 1e3:.4g}ms)", mine <= most * other

    return f"<={most:g}x-{'/'.join(names)}", measure


def of_peak(case, least, native, target=""):
    """Operations a second over what C loops reach in the same run."""

    def measure(threads):
        n = int(case.split("-")[1])
        folder = os.path.join(WORK, case)
        os.makedirs(folder, exist_ok=True)
        ours, peer = kiln(threads), peers(threads)
        try:
            ours.ask("prepare", case, target)
            ours.ask("save", folder)
            peer.ask("prepare", case, "numpy")
            if not float(peer.ask("check", folder)) <= 2e-5:
                raise Failed("differs from NumPy")
            peak, best = 0, 1e30
            for _ in range(ROUNDS):
                best = min(best, float(ours.ask("time", SLICE)))
                peak = max(peak, float(ours.ask("native", native, best)))
        finally:
            ours.close()
            peer.close()
            shutil.rmtree(folder, ignore_errors=True)
        if peak <= 0:
            raise Failed(f"this machine has no {native}")
        rate = 2 * n**3 / best
        need = least[threads - 1]
        return f"{rate / peak:.3f}({rate / 1e9:.0f}of{peak / 1e9:.0f}GF/s)", rate >= need * peak

    return tuple(f">={x:g}-of-{native}-peak" for x in least), measure


def of_triad(case, least):
    """Bytes a second over the better triad's; two operands and a result, as it has."""

    def measure(threads):
        folder = os.path.join(WORK, case)
        os.makedirs(folder, exist_ok=True)
        ours, peer = kiln(threads), peers(threads)
        try:
            ours.ask("prepare", case)
            ours.ask("save", folder)
            peer.ask("prepare", case, "numpy")
            if not float(peer.ask("check", folder)) <= 1e-5:
                raise Failed("differs from NumPy")
            peer.close()
            rate, best = 0, 1e30
            for _ in range(ROUNDS):
                rate = max(rate, float(ours.ask("native", "triad")))
                best = min(best, float(ours.ask("time", SLICE)))
        finally:
            ours.close()
            shutil.rmtree(folder, ignore_errors=True)
        mine = 12 * 50e6 / best
        return f"{mine / rate:.3f}({mine / 1e9:.1f}of{rate / 1e9:.1f}GB/s)", mine >= least * rate

    return f">={least:g}-of-triad", measure


def process(name, most, unit):
    def measure(threads):
        v = fresh(name, threads)
        return f"{v:.4g}{unit}", v <= most

    return f"<={most:g}{unit}", measure


def from_disk(name, most, unit):
    """With a folder that an earlier process filled."""

    def measure(threads):
        folder = os.path.join(WORK, f"cache-{threads}")
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder, mode=0o700)
        try:
            subprocess.run([BENCH, "compile-first"], stdout=subprocess.DEVNULL, check=True,
                           env=environment(threads, KILN_CACHE=folder))
            v = fresh(name, threads, KILN_CACHE=folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        return f"{v:.4g}{unit}", v <= most

    return f"<={most:g}{unit}", measure


def opens(most):
    def measure(threads):
        values = []
        for _ in range(PROCESSES + 1):
            r = subprocess.run([BENCH + "_open", LIBRARY], env=environment(threads), text=True,
                               stdout=subprocess.PIPE)
            if not r.stdout.startswith("ok"):
                raise Failed(r.stdout.strip())
            values.append(float(r.stdout.split()[1]) / 1e3)
        v = statistics.median(values[1:])
        return f"{v:.3f}ms", v <= most

    return f"<={most:g}ms", measure


def library_bytes(most):
    def measure(threads):
        v = os.path.getsize(os.path.realpath(LIBRARY)) / 1e6
        return f"{v:.2f}MB", v <= most

    return f"<={most:g}MB", measure


def rss(most):
    def measure(threads):
        small, large = fresh("rss-1k", threads), fresh("rss-1t", threads)
        return f"{abs(large - small):.2f}MB", abs(large - small) <= most

    return f"<={most:g}MB", measure


def trains(least):
    """An epoch of sample 1: PyTorch's time over kiln's, losses compared."""

    def measure(threads):
        ours, theirs, losses = [], [], []
        here = os.path.join(ROOT, "tests", "bench", "peers.py")
        for _ in range(ROUNDS):
            for argv, times in (([BENCH, "train-epoch"], ours),
                                ([sys.executable, here, "train-epoch"], theirs)):
                r = subprocess.run(argv, env=environment(threads), text=True, cwd=ROOT,
                                   stdout=subprocess.PIPE)
                if not r.stdout.startswith("ok"):
                    raise Failed(r.stdout.strip() or f"{argv[-1]} ended with {r.returncode}")
                words = r.stdout.split()
                times.append(float(words[1]))
                losses.append(float(words[2]))
        if max(losses) - min(losses) > 0.02 * max(losses):
            raise Failed(f"losses differ: {min(losses):g} to {max(losses):g}")
        mine, other = min(ours), min(theirs)
        return f"{other / mine:.2f}x({other * 1e3:.4g}ms/{mine * 1e3:.4g}ms)", other >= least * mine

    return f">={least:g}x-faster-than-torch", measure


# ---- Python's bars: guide.py in processes of their own, kiln and PyTorch in turns ----


def guide(module, case, threads, **env):
    """What a case prints, as numbers."""
    here = os.path.join(ROOT, "tests", "bench", "guide.py")
    path = os.path.join(ROOT, "build", "python")
    r = subprocess.run([sys.executable, here, module, case], text=True, cwd=ROOT,
                       env=environment(threads, PYTHONPATH=path, **env), stdout=subprocess.PIPE)
    if not r.stdout.startswith("ok"):
        raise Failed(r.stdout.strip() or f"{module} {case} ended with {r.returncode}")
    return [float(w) for w in r.stdout.split()[1:]]


def in_turns(case, threads, value, rounds=ROUNDS):
    """The least of value(numbers) of each side, and all numbers."""
    runs = [(guide("kiln", case, threads), guide("torch", case, threads)) for _ in range(rounds)]
    return min(value(k) for k, _ in runs), min(value(t) for _, t in runs), runs[0]


def python_import(most):
    def measure(threads):
        v = statistics.median(guide("kiln", "import", threads)[0] for _ in range(PROCESSES)) * 1e3
        return f"{v:.1f}ms", v <= most

    return f"<={most:g}ms", measure


def python_ratio(case, least, unit=1e6):
    """PyTorch's time over kiln's, after comparing what both computed."""

    def measure(threads):
        mine, other, (k, t) = in_turns(case, threads, lambda v: v[0])
        if abs(k[1] - t[1]) > 1e-4 * abs(t[1]):
            raise Failed(f"differs from torch: {k[1]:g}, not {t[1]:g}")
        return (f"{other / mine:.2f}x({other * unit:.4g}us/{mine * unit:.4g}us)",
                other >= least * mine)

    return f">={least:g}x-faster-than-torch", measure


def python_first(most):
    """Whole processes, import included, with an empty cache's folder each."""

    def once(module, threads):
        folder = os.path.join(WORK, "guide-cache")
        shutil.rmtree(folder, ignore_errors=True)
        begin = time.perf_counter()
        v = guide(module, "first", threads, KILN_CACHE=folder)
        took = time.perf_counter() - begin
        shutil.rmtree(folder, ignore_errors=True)
        return took, v

    def measure(threads):
        once("kiln", threads), once("torch", threads)  # files into the page cache
        runs = [(once("kiln", threads), once("torch", threads)) for _ in range(5)]
        mine, other = (statistics.median(r[i][0] for r in runs) for i in (0, 1))
        return f"{mine / other:.3f}x({mine * 1e3:.0f}ms/{other * 1e3:.0f}ms)", mine <= most * other

    return f"<={most:g}x-torch", measure


def python_memory(case):
    """Peak RSS over the import, against PyTorch's."""

    def measure(threads):
        mine, other, _ = in_turns(case, threads, lambda v: v[-1], 1)
        return f"{mine:.1f}MB/{other:.1f}MB", mine <= other

    return "<=torch", measure


def python_growth(most):
    def measure(threads):
        v = guide("kiln", "steps", threads)[0]
        return f"{v:.2f}MB", v < most

    return f"<{most:g}MB", measure


def python_sizes(slower, compiles):
    """A batch of another size each step: programs compiled, and time over one size's."""

    def measure(threads):
        ratio, made, _ = guide("kiln", "sizes", threads)
        return f"{ratio:.3f}x,{made:.0f}compiles", ratio <= slower and made <= compiles

    return f"<={slower:g}x,<={compiles}compiles", measure


BOTH = ("numpy", "torch")
BARS = {
    "compile-chain10-cold": process("compile-cold", 10, "ms"),
    "compile-chain10-first": process("compile-first", 60, "ms"),
    "compile-chain10-disk": from_disk("compile-disk", 0.5, "ms"),
    "compile-doubled-graph": process("compile-doubled", 2.2, "x"),
    "compile-digits-step": process("step-compile", 250, "ms"),
    "rerun-digits-step-per-primitive": process("step-rerun", 0.3, "us"),
    "chain-cheap-f32-50M": of_triad("chain-cheap-50M", 0.9),
    "chain-trans-f32-50M": versus("chain-trans-50M", ("torch",), 0.125),
    "chain-trans-f32-1M": versus("chain-trans-1M", BOTH, 1),
    "chain-trans-f32-10k": versus("chain-trans-10k", BOTH, 1),
    "chain-cheap-f32-1M": versus("chain-cheap-1M", BOTH, 1),
    "chain-cheap-f32-10k": versus("chain-cheap-10k", BOTH, 1),
    "matmul-f32-avx512-256": of_peak("matmul-256", (0.8, 0.65), "fma512", "x86-64-v4"),
    "matmul-f32-avx512-1024": of_peak("matmul-1024", (0.8, 0.8), "fma512", "x86-64-v4"),
    "matmul-f32-avx512-2048": of_peak("matmul-2048", (0.8, 0.8), "fma512", "x86-64-v4"),
    "matmul-f32-avx2-256": of_peak("matmul-256", (0.8, 0.65), "fma256", "x86-64-v3"),
    "matmul-f32-avx2-1024": of_peak("matmul-1024", (0.8, 0.8), "fma256", "x86-64-v3"),
    "matmul-f32-avx2-2048": of_peak("matmul-2048", (0.8, 0.8), "fma256", "x86-64-v3"),
    "matmul-f32-64x10x100000-nn": versus("matmul-64x10-nn", BOTH, 1.2, 1e-4),
    "matmul-f32-64x10x100000-nt": versus("matmul-64x10-nt", BOTH, 1.2, 1e-4),
    "matmul-f32-64x10x100000-tn": versus("matmul-64x10-tn", BOTH, 1.2, 1e-4),
    "matmul-f32-1x4096x4096-nn": versus("matmul-1x4096-nn", BOTH, 1.2),
    "matmul-f32-1x4096x4096-nt": versus("matmul-1x4096-nt", BOTH, 1.2),
    "matmul-f32-1x4096x4096-tn": versus("matmul-1x4096-tn", BOTH, 1.2),
    "conv3x3-f32-64-56": versus("conv3x3-64-56", ("torch",), 1.5),
    "conv3x3-f32-64-56-grads": versus("conv3x3-64-56-grads", ("torch",), 1.5),
    "softmax-f32-4096x1024": versus("softmax-4096x1024", ("torch",), 1),
    "layernorm-f32-4096x1024": versus("layernorm-4096x1024", ("torch",), 1),
    "train-digits-epoch": trains(5),
    "load-libkiln-bytes": library_bytes(2),
    "load-libkiln-open": opens(1),
    "call-16-elements": process("call-16", 200, "ns"),
    "compile-memory-1KB-1TB": rss(1),
    "python-import": python_import(100),
    "python-chain100-16": python_ratio("chain", 3),
    "python-guide-100-epochs": python_ratio("guide", 5),
    "python-guide-first": python_first(1),
    "python-memory-chain100-16": python_memory("chain"),
    "python-memory-guide": python_memory("guide"),
    "python-memory-10000-steps": python_growth(1),
    "python-20-batch-sizes": python_sizes(1.1, 2),
}


def row_bars():
    """No bar names these: every case of rows.c against PyTorch; run when asked for by name."""
    path = os.path.join(ROOT, "tests", "bench", "rows.c")
    with open(path, encoding="utf-8") as f:
        names = re.findall(r'(?:ROW\d\(|\{)"(?:row-)?([0-9a-z][^"]+)"', f.read())
    return {f"row-{n}": versus(f"row-{n}", ("torch",), 1, 1e-2 if "f16" in n else 1e-4)
            for n in names}


def main():
    wanted = sys.argv[1:]
    os.makedirs(WORK, exist_ok=True)
    rows = row_bars() if any(w.startswith("row") for w in wanted) else {}
    for name, (required, measure) in {**BARS, **model_bars.BARS, **rows}.items():
        for threads in (1, 2):
            full = f"{name}-{threads}t"
            if wanted and not any(full.startswith(w) for w in wanted):
                continue
            need = required[threads - 1] if isinstance(required, tuple) else required
            try:
                text, reached = measure(threads)
            except (Failed, OSError, subprocess.SubprocessError) as e:
                print(f"{full}: {e}", flush=True)
                text, reached = "-", False
            print(f"bar {full} {text} {need} {'ok' if reached else 'short'}", flush=True)


main()
