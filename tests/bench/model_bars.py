"""model_bars.py: bars of compiled models: compiled.py in processes of its own, PyTorch's eager mode
beside kiln in each, Inductor once, ONNX Runtime forward; the artefact of one; whole suites of
operators."""
import functools
import os
import re
import shutil
import subprocess
import sys
import time

from basics import ROOT, WORK, Failed, environment
from models import MODELS

PYTHON = {"PYTHONPATH": os.path.join(ROOT, "build", "python"), "TORCH_LOGS": "-all"}


def once(backend, model, mode, threads, *more, **env):
    """compiled.py's numbers by name."""
    here = os.path.join(ROOT, "tests", "bench", "compiled.py")
    r = subprocess.run([sys.executable, here, backend, model, mode, str(threads), *more], cwd=ROOT,
                       env=environment(threads, **PYTHON, **env), text=True,
                       stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    line = next((w for w in r.stdout.splitlines() if w.startswith("ok ")), None)
    if not line:
        raise Failed((r.stderr.strip().splitlines() or [f"ended with {r.returncode}"])[-1])
    return {k: float(v) for k, v in (w.split("=") for w in line.split()[1:])}


@functools.cache
def kiln(model, mode, threads):
    """Of a process with an empty cache, and of the next one."""
    folder = os.path.join(WORK, f"models-{model}-{mode}-{threads}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return [once("kiln", model, mode, threads, *more, KILN_CACHE=folder)
                for more in ((), ("first",))]
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@functools.cache
def inductor(model, mode):
    """With an empty cache, on all threads: its compiling takes them whatever the model may."""
    folder = os.path.join(WORK, f"inductor-{model}-{mode}")
    shutil.rmtree(folder, ignore_errors=True)
    try:
        return once("inductor", model, mode, 2, TORCHINDUCTOR_CACHE_DIR=folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def onnxruntime(model, threads):
    """kiln's time over ONNX Runtime's, or "-" where it cannot run the model."""
    try:
        other = once("onnxruntime", model, "fwd", threads)
    except Failed as e:
        print(f"onnxruntime: {model}: {e}", flush=True)
        return "-"
    if other["out"] > 1e-4:
        return "-"
    return f"{kiln(model, 'fwd', threads)[0]['step'] / other['step']:.3f}x"


def correct(model, mode):
    def measure(threads):
        v = kiln(model, mode, threads)[0]
        return (f"out={v['out']:.1e},grad={v['grad']:.1e},fallbacks={v['fallen']:.0f}",
                v["out"] <= 1e-4 and v["grad"] <= 1e-3 and v["fallen"] == 0)

    return "out<=1e-4,grad<=1e-3,fallbacks=0", measure


def compiles(model, mode):
    def measure(threads):
        v, other = kiln(model, mode, threads)[0], inductor(model, mode)
        return (f"{v['first'] / other['first']:.3f}x({v['first']:.2f}s/{other['first']:.2f}s,"
                f"tracing:{v['first'] - v['own']:.2f}s)", v["first"] <= other["first"] / 8)

    return "<=0.125x-inductor", measure


def own(model, mode, process, most):
    def measure(threads):
        v = kiln(model, mode, threads)[process]["own"] * 1e3
        return f"{v:.0f}ms", v <= most

    return f"<={most}ms", measure


def runs(model, mode):
    def measure(threads):
        v = kiln(model, mode, threads)[0]
        text = f"{v['step'] / v['eager']:.3f}x({v['step'] * 1e3:.2f}ms/{v['eager'] * 1e3:.2f}ms"
        if threads == 2:
            text += f",inductor:{v['step'] / inductor(model, mode)['step']:.3f}x"
        if mode == "fwd":
            text += f",onnxruntime:{onnxruntime(model, threads)}"
        return text + ")", v["step"] <= v["eager"]

    return "<=1x-eager", measure


def call():
    """A call of a function of next to no work; PyTorch's share is what its own eager backend
    takes."""

    def measure(threads):
        v = {b: min(once(b, "empty", "fwd", threads, KILN_CACHE="")["step"] for _ in range(2)) * 1e6
             for b in ("kiln", "inductor", "eager")}
        return (f"{v['kiln'] / v['inductor']:.3f}x({v['kiln']:.2f}us/{v['inductor']:.2f}us,"
                f"torch:{v['eager']:.2f}us)", v["kiln"] <= v["inductor"])

    return "<=1x-inductor", measure


EXPORT = """
import os, sys
sys.path.insert(0, sys.argv[1])
import torch, kiln.torch
from models import make
m, x = make(torch, "resnet18")
kiln.torch.export(m.eval(), (x,), sys.argv[2])
"""


@functools.cache
def artefact(threads):
    """(seconds of kilnc to a shared library, bytes of code) of ResNet-18, weights apart."""
    folder = os.path.join(WORK, "artefact")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    net, env = os.path.join(folder, "net.kl"), environment(threads, **PYTHON)
    try:
        subprocess.run([sys.executable, "-c", EXPORT, os.path.join(ROOT, "tests", "bench"), net],
                       env=env, check=True, stderr=subprocess.DEVNULL)
        times = []
        for _ in range(5):
            begin = time.perf_counter()
            subprocess.run([os.path.join(ROOT, "build", "kilnc"), net, "-o", folder + "/net.so",
                            "--weights=args"], env=env, check=True)
            times.append(time.perf_counter() - begin)
        sizes = subprocess.run(["size", "-A", folder + "/net.so"], text=True, check=True,
                               stdout=subprocess.PIPE).stdout
        return min(times), sum(int(n) for n in re.findall(r"\.(?:text|rodata)\s+(\d+)", sizes))
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def artefact_time(most):
    def measure(threads):
        v = artefact(threads)[0]
        return f"{v:.2f}s", v <= most

    return f"<={most:g}s", measure


def artefact_code(most):
    def measure(threads):
        v = artefact(threads)[1] / 1e3
        return f"{v:.0f}KB", v < most

    return f"<{most:g}KB", measure


@functools.cache
def output(argv, parts):
    """What a suite prints, its parts side by side."""
    runs = [subprocess.Popen([sys.executable, *argv, *part], cwd=ROOT, text=True,
                             env=environment(1, **PYTHON), stdout=subprocess.PIPE,
                             stderr=subprocess.DEVNULL) for part in parts]
    return [r.communicate()[0] for r in runs]


def share(least, pattern, argv, parts=((),)):
    """What a suite says of itself: numbers that pass, of all."""

    def measure(threads):
        found = [re.findall(pattern, text) for text in output(argv, parts)]
        if not all(found):
            raise Failed(f"{argv[0]} says nothing of it")
        good, all_ = (sum(int(f[-1][i]) for f in found) for i in range(2))
        return f"{100 * good / all_:.1f}%({good}of{all_})", good >= least / 100 * all_

    return f">={least:g}%", measure


BARS = {}
for _model in MODELS:
    for _mode in ("fwd", "train") if _model != "empty" else ():
        BARS.update({f"model-{_model}-{_mode}-correct": correct(_model, _mode),
                     f"model-{_model}-{_mode}-compile": compiles(_model, _mode),
                     f"model-{_model}-{_mode}-own": own(_model, _mode, 0, 500),
                     f"model-{_model}-{_mode}-own-again": own(_model, _mode, 1, 50),
                     f"model-{_model}-{_mode}-run": runs(_model, _mode)})
NODES = "tests/python/onnx_nodes.py",
SAMPLES = "tests/python/torch_opdb.py", "--quick"  # of all, a few samples each
BARS.update({"onnx-node-tests": share(95, r"(\d+) of (\d+) tests pass", NODES),
             "torch-op_db-quick": share(95, r"(\d+) of (\d+) operators native", SAMPLES,
                                        (("--part", "0/2"), ("--part", "1/2")))})
BARS.update({"torch-call": call(), "artefact-resnet18-time": artefact_time(2),
             "artefact-resnet18-code": artefact_code(300)})
