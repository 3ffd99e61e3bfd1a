"""compiled.py: one model through torch.compile in a process of its own, for bars.py.

    compiled.py BACKEND MODEL fwd|train THREADS [first]      BACKEND: kiln, inductor, eager, or
    onnxruntime, the model exported (fwd alone)

Prints "ok" and numbers by name: first, seconds of the first call; own, of them in kiln's compiler;
step and eager, least seconds of a call, the two in turns; out and grad, how far results and
gradients are from eager's in float64 (of the largest value; of a gradient no smaller than a
thousandth of the largest): float32's own gradients of a deep net with batch norm are far off;
fallen, operators that PyTorch's kernels ran. With "first" the first two alone."""
import copy
import os
import sys
import time

backend, name, mode, threads = sys.argv[1:4] + [int(sys.argv[4])]
os.environ["OMP_NUM_THREADS"] = str(threads)
import torch  # noqa: E402

torch.set_num_threads(threads)
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from models import make  # noqa: E402

own = 0.0


def timed(f):
    def run(*args, **kwargs):
        global own
        begin = time.perf_counter()
        try:
            return f(*args, **kwargs)
        finally:
            own += time.perf_counter() - begin
    return run


if backend == "kiln":
    import kiln.torch
    from kiln.torch import backend as kb
    inner = kb.compile_graph
    kb.compile_graph = timed(inner)


def forward(f, x):
    with torch.no_grad():
        return f(x)


def train(f, x):
    y = f(x)
    (y.float() ** 2).mean().backward()
    return y


def gradients(model):
    got = [p.grad for p in model.parameters()]
    for p in model.parameters():
        p.grad = None
    return got


def worst(mine, other, least=0.0):
    scale = max(t.abs().max().item() for t in other)
    return max(((a - b).abs().max() / max(b.abs().max().item(), least * scale, 1e-30)).item()
               for a, b in zip(mine, other))


def exported(model, x):
    """The model as a session of ONNX Runtime; inputs and outputs stay where they are."""
    import io

    import onnxruntime
    file, options = io.BytesIO(), onnxruntime.SessionOptions()
    torch.onnx.export(model, (x,), file, input_names=["x"], dynamo=False)
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(file.getvalue(), options, ["CPUExecutionProvider"])

    def run(x):
        value = onnxruntime.OrtValue.ortvalue_from_numpy(x.numpy())
        return torch.from_dlpack(session.run_with_ort_values(None, {"x": value})[0])

    return run


model, x = make(torch, name)
model.train(mode == "train")
like = copy.deepcopy(model)
call = train if mode == "train" else forward
f = exported(model, x) if backend == "onnxruntime" else torch.compile(model, backend=backend)
begin = time.perf_counter()
y = call(f, x)
first = time.perf_counter() - begin
if sys.argv[5:] == ["first"]:
    print(f"ok first={first} own={own}")
    sys.exit()
exact = copy.deepcopy(like).double()
ref = call(exact, x.double() if x.is_floating_point() else x)
out, grad = worst([y], [ref]), 0.0
if mode == "train":
    grad = worst(gradients(model), gradients(exact), 1e-3)
best = {"step": 1e9, "eager": 1e9}
for _ in range(4):
    for key, g, m in (("step", f, model), ("eager", like, like)):
        until = time.perf_counter() + 0.4
        while time.perf_counter() < until:
            begin = time.perf_counter()
            call(g, x)
            best[key] = min(best[key], time.perf_counter() - begin)
            gradients(m)
fallen = sum(kiln.torch.report().fallbacks.values()) if backend == "kiln" else 0
print("ok", *(f"{k}={v}" for k, v in dict(best, first=first, own=own, out=out, grad=grad,
                                          fallen=fallen).items()))
