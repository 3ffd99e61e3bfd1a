"""peer_layout.py: strides of results: every function that kiln and PyTorch both have, on PyTorch's
samples with the operands laid in memory in several ways.

    python3 tests/python/peer_layout.py [NAME..]      names of op_db; none: all

Prints a line an operator that differs and is not known to; the last line is "N passed, N
failed", of operators."""
import sys

import kiln
import torch
from opdb import flat, function_of, op_db, to_kiln

MOST = 12  # samples an operator and way
# What lies otherwise, with the reason.
KNOWN = dict.fromkeys(
    [f"fft.{p}{f}{n}" for p in ("", "i") for f in ("fft", "rfft", "hfft") for n in ("", "2", "n")],
    "a transform's own order is that of its library")
KNOWN.update(dict.fromkeys(
    ["svd_lowrank", "pca_lowrank", "stft", "einsum", "linalg.tensorinv", "linalg.lstsq",
     "meshgrid"],
    "composed otherwise"))
KNOWN.update(dict.fromkeys(
    ["nn.functional.conv1d", "nn.functional.conv2d", "nn.functional.conv3d",
     "nn.functional.conv_transpose1d", "nn.functional.conv_transpose2d",
     "nn.functional.conv_transpose3d"], "no batch, or five axes"))
KNOWN.update(dict.fromkeys(
    ["expand_as", "nn.functional.adaptive_avg_pool3d", "nn.functional.normalize",
     "nn.functional.local_response_norm", "nn.functional.max_pool1d", "stack", "ldexp",
     "nn.functional.glu"], "axes of one element"))
KNOWN.update(dict.fromkeys(
    ["split_with_sizes_copy", "unbind_copy", "rot90", "resize_as_", "randint_like", "__radd__",
     "__rmul__", "float", "linalg.solve", "linalg.solve_ex", "linalg.lu_solve",
     "nn.functional.interpolate", "nn.functional.pad"], "one of its forms"))
KNOWN["__getitem__"] = "what indices pick is row-major"


def swapped(x):
    return x.transpose(-1, -2).contiguous().transpose(-1, -2) if x.dim() > 1 else x


def reversed_(x):
    p = list(range(x.dim()))[::-1]
    return x.permute(p).contiguous().permute(p) if x.dim() > 2 else x


def channels_last(x):
    formats = {4: torch.channels_last, 5: torch.channels_last_3d}
    return x.contiguous(memory_format=formats[x.dim()]) if x.dim() in formats else x


WAYS = (lambda x: x, swapped, reversed_, channels_last)


def through(f, x):
    if isinstance(x, torch.Tensor):
        return f(x.detach()) if x.layout == torch.strided else x
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        return type(x)(through(f, v) for v in x)
    return {k: through(f, v) for k, v in x.items()} if isinstance(x, dict) else x


def differs(want, got):
    for x, y in zip(flat(want), flat(got)):
        if not (isinstance(x, torch.Tensor) and isinstance(y, kiln.Tensor)) or \
                x.layout != torch.strided or tuple(x.shape) != tuple(y.shape) or not x.numel():
            continue
        if x.stride() != tuple(y.stride()):
            return f"{tuple(x.shape)}: strides {x.stride()}, got {tuple(y.stride())}"
    return None


def check(op, fn, way):
    torch.manual_seed(0)
    for _, s in zip(range(MOST), op.sample_inputs("cpu", torch.float32, requires_grad=False)):
        args, kwargs = through(way, [s.input, *s.args]), through(way, s.kwargs)
        try:
            want, got = op(*args, **kwargs), fn(*to_kiln(args), **to_kiln(kwargs))
        except Exception:  # noqa: BLE001  refused by one of them: opdb.py's subject
            continue
        why = differs(want, got)
        if why:
            return f"of {[(tuple(t.shape), t.stride()) for t in flat(args) if hasattr(t, 'stride')]}: {why}"
    return None


def main(names):
    passed = failed = known = 0
    for op in op_db:
        fn = function_of(op)
        if fn is None or (names and op.name not in names) or \
                torch.float32 not in op.supported_dtypes("cpu"):
            continue
        why = next(filter(None, (check(op, fn, way) for way in WAYS)), None)
        known += why is not None and op.name in KNOWN
        passed, failed = passed + (why is None), failed + (why is not None and op.name not in KNOWN)
        if why and op.name not in KNOWN:
            print(f"{op.name} {op.variant_test_name} {why}"[:200], flush=True)
    print(f"{known} operators lie otherwise, known")
    print(f"{passed} passed, {failed} failed")
    return failed > 0


sys.exit(main(sys.argv[1:]))
