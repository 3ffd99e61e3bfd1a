"""peers.py: the same programs as cases.c in NumPy and PyTorch (eager), behind the protocol of
main.c: prepare CASE PEER, check FOLDER, time SECONDS; one line in, one line out. CASE has a
row in cases(); PEER is numpy or torch. "peers.py train-epoch" measures that and
ends. Threads come from OMP_NUM_THREADS, set before NumPy or PyTorch is opened."""
import math
import os
import sys
import time

import numpy as np

THREADS = int(os.environ.get("OMP_NUM_THREADS", "1"))


def fill(shape, seed, scale):
    """bench_fill of trace.c, to the bit."""
    h = np.arange(math.prod(shape), dtype=np.uint32)
    h += np.uint32(seed * 0x9E3779B9 & 0xFFFFFFFF)
    h *= np.uint32(2654435761)
    h ^= h >> np.uint32(15)
    h *= np.uint32(2246822519)
    h ^= h >> np.uint32(13)
    x = (h >> np.uint32(8)).astype(np.float32)
    x *= np.float32(2.0**-23)
    x -= np.float32(1)
    if scale != 1:
        x *= np.float32(scale)
    return x.reshape(shape)


# ---- NumPy ----


def np_chain_cheap(x, y):
    f = np.float32
    t = x + y
    t = t * x
    t = t - y
    t = np.maximum(t, x)
    t = np.minimum(t, f(0.9))
    t = np.abs(t)
    t = np.negative(t)
    t = np.where(x > 0, t, y)
    t = np.clip(t, f(-0.75), f(0.75))
    return t * x + y


def np_sigmoid(t):
    return np.float32(1) / (np.float32(1) + np.exp(-t))


def np_gelu_tanh(t):
    """NumPy has no erf; its users write this form of gelu, which is no slower."""
    f = np.float32
    return f(0.5) * t * (f(1) + np.tanh(f(0.7978845608) * (t + f(0.044715) * t * t * t)))


def np_chain_trans(x):
    f = np.float32
    t = np.tanh(x)
    t = t * x
    t = np.exp(t)
    t = t - f(1)
    t = np_sigmoid(t)
    t = t + x
    t = np_gelu_tanh(t)
    t = np.maximum(t, f(-0.5))
    t = np.abs(t)
    return t * f(0.5)


def np_softmax(x):
    e = np.exp(x - x.max(1, keepdims=True))
    return e / e.sum(1, keepdims=True)


# ---- PyTorch, eager ----


def torch_functions():
    import torch
    import torch.nn.functional as F

    torch.set_num_threads(THREADS)

    def chain_cheap(x, y):
        t = x + y
        t = t * x
        t = t - y
        t = torch.maximum(t, x)
        t = t.clamp(max=0.9)
        t = t.abs()
        t = t.neg()
        t = torch.where(x > 0, t, y)
        t = t.clamp(-0.75, 0.75)
        return torch.addcmul(y, t, x)

    def chain_trans(x):
        t = torch.tanh(x)
        t = t * x
        t = t.exp()
        t = t - 1
        t = t.sigmoid()
        t = t + x
        t = F.gelu(t)
        t = t.clamp(min=-0.5)
        t = t.abs()
        return t * 0.5

    def conv_grads(x, w, g):
        x.requires_grad_(True)
        w.requires_grad_(True)
        y = F.conv2d(x, w, padding=1)
        return (y, *torch.autograd.grad(y, (x, w), g))

    rows = {
        "softmax": lambda x: torch.softmax(x, 1),
        "softmax0": lambda x: torch.softmax(x, 0),
        "logsoftmax": lambda x: torch.log_softmax(x, 1),
        "layernorm": lambda x, w, b: F.layer_norm(x, (x.shape[1],), w, b, 1e-5),
        "sum": lambda x: x.sum(),
        "sum1": lambda x: x.sum(1),
        "sum0": lambda x: x.sum(0),
        "mean1": lambda x: x.mean(1),
        "amax0": lambda x: x.amax(0),
        "channels": lambda x: x.sum((0, 2, 3)),
        "argmax1": lambda x: x.argmax(1),
        "argmax0": lambda x: x.argmax(0),
        "cumsum1": lambda x: x.cumsum(1),
        "cumsum0": lambda x: x.cumsum(0),
        "add": lambda x, y: x + y,
        "add-turned": lambda x, y: x + y.T,
        "add-stride2": lambda x, y: x[:, ::2] + y,
        "turned": lambda x: torch.mul(x.T, 1.5, out=torch.empty(x.shape[::-1])),
        "matvec": lambda a, b: a @ b,
        "vecmat": lambda a, b: a @ b,
    }

    return torch, {
        **{"row-" + name: f for name, f in rows.items()},
        "chain-cheap": chain_cheap,
        "chain-trans": chain_trans,
        "nn": lambda a, b: a @ b,
        "nt": lambda a, b: a @ b.T,
        "tn": lambda a, b: a.T @ b,
        "conv": lambda x, w: F.conv2d(x, w, padding=1),
        "conv-grads": conv_grads,
        "softmax": lambda x: torch.softmax(x, 1),
        "layernorm": lambda x, w, b: F.layer_norm(x, (x.shape[1],), w, b, 1e-5),
    }


NUMPY = {
    "chain-cheap": np_chain_cheap,
    "chain-trans": np_chain_trans,
    "nn": lambda a, b: a @ b,
    "nt": lambda a, b: a @ b.T,
    "tn": lambda a, b: a.T @ b,
    "softmax": np_softmax,
}


def cases():
    """name -> (function, input shapes, scale of the inputs)"""
    c = {}
    for size, n in (("50M", 50_000_000), ("1M", 1_000_000), ("10k", 10_000)):
        c["chain-cheap-" + size] = ("chain-cheap", [(n,), (n,)], 1)
        c["chain-trans-" + size] = ("chain-trans", [(n,)], 4)
    for n in (256, 1024, 2048):
        c[f"matmul-{n}"] = ("nn", [(n, n), (n, n)], 1)
    k = 100_000
    c["matmul-64x10-nn"] = ("nn", [(64, k), (k, 10)], 1)
    c["matmul-64x10-nt"] = ("nt", [(64, k), (10, k)], 1)
    c["matmul-64x10-tn"] = ("tn", [(k, 64), (k, 10)], 1)
    c["matmul-1x4096-nn"] = ("nn", [(1, 4096), (4096, 4096)], 1)
    c["matmul-1x4096-nt"] = ("nt", [(1, 4096), (4096, 4096)], 1)
    c["matmul-1x4096-tn"] = ("tn", [(4096, 1), (4096, 4096)], 1)
    image, weight = (1, 64, 56, 56), (64, 64, 3, 3)
    c["conv3x3-64-56"] = ("conv", [image, weight], 1)
    c["conv3x3-64-56-grads"] = ("conv-grads", [image, weight, image], 1)
    c["softmax-4096x1024"] = ("softmax", [(4096, 1024)], 8)
    c["layernorm-4096x1024"] = ("layernorm", [(4096, 1024), (1024,), (1024,)], 1)
    return c


def row_case(name):
    """row-NAME-SHAPE[-DTYPE]: the shapes of rows.c's cases."""
    words = name.split("-")
    dtype = words.pop() if words[-1] in ("f16", "bf16") else "f32"
    shape = tuple(int(n.replace("M", "000000").replace("k", "000")) for n in words.pop().split("x"))
    name, rank2 = "-".join(words), (1, *shape)[-2:]
    others = {
        "row-layernorm": [shape[-1:]] * 2,
        "row-add-row": [shape[1:]],
        "row-add-column": [(shape[0], 1)],
        "row-add-scalar": [(1,)],
        "row-add-turned": [rank2],
        "row-add-stride2": [shape],
        "row-matvec": [(shape[-1], 1)],
        "row-vecmat": [rank2],
    }.get(name, [])
    shapes = [shape, *others]
    if name == "row-add-outer":
        shapes = [(shape[0], 1), (1, shape[1])]
    elif name == "row-add-stride2":
        shapes[0] = (shape[0], 2 * shape[1])
    elif name == "row-vecmat":
        shapes[0] = shape if len(shape) == 1 else (shape[0] if len(shape) == 3 else 1, shape[-2])
    wide = 1 if others or name == "row-add-outer" else 4
    add = name.startswith("row-add") and name not in ("row-add-turned", "row-add-stride2")
    return "row-add" if add else name, shapes, wide, dtype


class Peer:
    def __init__(self):
        self.run = None
        self.torch = None
        self.functions = None

    def prepare(self, name, peer):
        fn, shapes, scale, dtype = row_case(name) if name[:4] == "row-" else (*cases()[name], "f32")
        inputs = [fill(s, i, scale) for i, s in enumerate(shapes)]
        if peer == "torch":
            if not self.torch:
                self.torch, self.functions = torch_functions()
            types = {"f32": "float32", "f16": "float16", "bf16": "bfloat16"}
            to = getattr(self.torch, types[dtype])
            inputs = [self.torch.from_numpy(x).to(to) for x in inputs]
            f = self.functions[fn]
        else:
            f = NUMPY[fn]
        self.run = lambda: f(*inputs)
        self.run()
        return "ok"

    def check(self, folder):
        """The greatest difference from kiln's outputs, relative to the output's scale."""
        out = self.run()
        worst = 0.0
        for i, y in enumerate(out if isinstance(out, tuple) else (out,)):
            x, y = self.read(os.path.join(folder, f"{i}.bin"), y)
            if x.size != y.size:
                raise ValueError(f"output {i} has {x.size} elements instead of {y.size}")
            with np.errstate(all="raise"):
                worst = max(worst, float(np.abs(x - y).max() / np.abs(y).max()))
        return f"ok {worst:.3g}"

    def read(self, path, like):
        """What the file holds, and what it should, as arrays."""
        if not hasattr(like, "detach"):
            return np.fromfile(path, dtype=like.dtype), like.reshape(-1)
        raw = self.torch.from_numpy(np.fromfile(path, dtype=np.uint8)).view(like.dtype)
        if like.dtype in (self.torch.float16, self.torch.bfloat16):
            raw, like = raw.float(), like.float()
        return raw.numpy(), like.detach().numpy().reshape(-1)

    def time(self, seconds):
        best, one, n, end = 1e30, 0.0, 0, time.perf_counter() + float(seconds)
        while n < 3 or time.perf_counter() < end:
            batch = min(max(int(2e-4 / one), 1), 1000) if one else 1
            begin = time.perf_counter()
            for _ in range(batch):
                self.run()
            one = (time.perf_counter() - begin) / batch
            best = min(best, one)
            n += 1
        return f"ok {best:.9g}"


def train_epoch():
    """step.c's train-epoch: sample 1 as a user of PyTorch writes it."""
    import torch
    from torch.nn import functional as F

    torch.set_num_threads(THREADS)
    data = np.loadtxt("samples/data/digits.csv", delimiter=",")
    data = torch.from_numpy(data[np.arange(len(data)) % 5 != 4])
    x, y = data[:, :64].float() / 16, data[:, 64].long()
    w1 = torch.from_numpy(fill((128, 64), 1, 0.125)).requires_grad_()
    b1 = torch.zeros(128, requires_grad=True)
    w2 = torch.from_numpy(fill((10, 128), 2, 0.0884)).requires_grad_()
    b2 = torch.zeros(10, requires_grad=True)
    opt = torch.optim.Adam([w1, b1, w2, b2], lr=1e-2)
    best, n = 1e30, len(x)
    for epoch in range(6):
        begin = time.perf_counter()
        order = torch.argsort(torch.from_numpy(fill((n,), 100 + epoch, 1)), stable=True)
        losses = torch.zeros(1)
        for i in range(0, n, 32):
            rows = order[i : i + 32]
            loss = F.cross_entropy(F.linear(F.relu(F.linear(x[rows], w1, b1)), w2, b2), y[rows])
            opt.zero_grad()
            loss.backward()
            opt.step()
            losses += loss.detach()
        mean = losses.item() / math.ceil(n / 32)
        if epoch:
            best = min(best, time.perf_counter() - begin)
    return f"ok {best:.9g} {mean:.9g}"


def main():
    if sys.argv[1:] == ["train-epoch"]:
        print(train_epoch())
        return
    peer = Peer()
    for line in sys.stdin:
        command, *words = line.split()
        try:
            print(getattr(peer, command)(*words), flush=True)
        except Exception as e:
            print("error", " ".join(f"{type(e).__name__}: {e}".split()), flush=True)


if __name__ == "__main__":
    main()
