"""Files between kiln and PyTorch: each reads what the other wrote, shared storage kept."""
import io
import os
import pickle
import sys
import tempfile

import numpy
import torch

import kiln

passed = failed = 0
folder = tempfile.mkdtemp()


def check(what, ok):
    global passed, failed
    passed, failed = passed + bool(ok), failed + (not ok)
    if not ok:
        print("differs:", what)


def same(t, k):
    if isinstance(t, dict):
        return list(t) == list(k) and all(same(t[n], k[n]) for n in t)
    if isinstance(t, (list, tuple)):
        return len(t) == len(k) and all(same(a, b) for a, b in zip(t, k))
    if isinstance(t, torch.Tensor):
        return (repr(t.dtype) == repr(k.dtype) and tuple(t.shape) == tuple(k.shape)
                and t.stride() == tuple(k.stride()) and t.requires_grad == k.requires_grad
                and t.tolist() == k.tolist())
    return t == k


def objects(m):
    base = m.arange(24.).reshape(4, 6)
    net = m.nn.Sequential(m.nn.Linear(3, 4), m.nn.BatchNorm1d(4)) if m is torch else None
    yield "tensor", base
    yield "views", {"a": base, "b": base[1:, ::2], "t": base.t(), "n": 3, "s": "text"}
    for d in ("float64", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool",
              "complex64", "complex128", "uint16", "uint32", "uint64"):
        yield d, m.ones(2, 3).to(getattr(m, d))
    yield "empty", m.zeros(0, 4)
    yield "scalar", m.tensor(2.5)
    yield "grad", m.ones(2, requires_grad=True)
    yield "parameter", m.nn.Parameter(m.ones(3))
    yield "misc", [m.Size([2, 3]), (1, 2.5, None, True, 1 + 2j), {"x": {4, 5}}, m.float32, b"raw"]
    if net:
        yield "state", net.state_dict()


for i, (name, obj) in enumerate(objects(torch)):
    path = os.path.join(folder, f"{i}.pt")
    torch.save(obj, path)
    got = kiln.load(path)
    check("kiln reads " + name, same(obj, got) if name != "misc" else repr(obj) == repr(got))
    if name == "views":
        check("shared", got["b"].untyped_storage() == got["a"].untyped_storage())
for name, obj in objects(kiln):
    path, memory = os.path.join(folder, "k.pt"), io.BytesIO()
    kiln.save(obj, path)
    kiln.save(obj, memory)
    memory.seek(0)
    for f in (path, memory):
        got = torch.load(f)
        check("torch reads " + name,
              same(got, obj) if name != "misc" else repr(obj) == repr(got))
        if name == "views":
            check("shared", got["b"].untyped_storage().data_ptr()
                  == got["a"].untyped_storage().data_ptr())
    if isinstance(obj, kiln.Tensor):
        check("pickled " + name, repr(pickle.loads(pickle.dumps(obj))) == repr(obj))


class Evil:
    def __reduce__(self):
        return os.system, ("echo run > " + folder + "/evil",)


torch.save({"x": Evil()}, folder + "/evil.pt")
for weights_only in (True, False):
    try:
        kiln.load(folder + "/evil.pt", weights_only=weights_only)
        check("refuses code", False)
    except pickle.UnpicklingError as e:
        check("says which", "posix.system" in str(e) or "nt.system" in str(e))
check("no code ran", not os.path.exists(folder + "/evil"))
whole = open(os.path.join(folder, "1.pt"), "rb").read()
for cut in range(0, len(whole), 97):
    for text in (whole[:cut], whole[:cut] + b"\xff\x00" + whole[cut + 2:]):
        try:
            kiln.load(io.BytesIO(text))
        except (RuntimeError, pickle.UnpicklingError):
            pass
        except Exception as e:  # one exception for a broken file, and never another
            check(f"cut at {cut}: {type(e).__name__}: {e}", False)
check("mutants", True)
a = numpy.arange(6.).reshape(2, 3)
numpy.save(folder + "/a.npy", a)
numpy.savez(folder + "/a.npz", x=a, y=a[0])
check("npy", (kiln.load(folder + "/a.npy").numpy() == a).all())
check("npz", set(kiln.load(folder + "/a.npz")) == {"x", "y"})
kiln.save({"w": kiln.ones(2), "b": kiln.zeros(3).to(kiln.bfloat16)}, folder + "/s.safetensors")
got = kiln.load(folder + "/s.safetensors")
check("safetensors", list(got) == ["w", "b"] and got["b"].dtype == kiln.bfloat16)
# ---- DLPack: the same memory on both sides ----
t = kiln.arange(6.).reshape(2, 3)
numpy.from_dlpack(t)[0, 0] = 7
torch.from_dlpack(t.t())[0, 1] = 9
check("dlpack out", t.tolist() == [[7, 1, 2], [9, 4, 5]])
theirs = numpy.arange(5)
kiln.from_dlpack(theirs).add_(1)
check("dlpack in", theirs.tolist() == [1, 2, 3, 4, 5])
for d in (torch.bfloat16, torch.bool, torch.complex64, torch.uint8):
    b = torch.ones(3, dtype=d)
    check(f"dlpack {d}", same(b, kiln.from_dlpack(b))
          and same(torch.from_dlpack(kiln.from_dlpack(b)), kiln.from_dlpack(b)))
try:
    numpy.from_dlpack(kiln.ones(2, requires_grad=True))
    check("dlpack of a leaf", False)
except BufferError:
    check("dlpack of a leaf", True)
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
