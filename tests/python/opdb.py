"""opdb.py: every function that kiln and PyTorch both have, on PyTorch's own samples.

    python3 tests/python/opdb.py [NAME..]      names of op_db; none: all

For each operator, dtype and sample: the same call in both, then values, dtypes, shapes and
gradients compared. Prints a line an operator that is missing or differs, with the first
reason, and a last line with the counts. Ends with 1 if a function that kiln has differs.
--quick: two samples of float32 and int64; the last line is "N passed, N failed"."""
import argparse
import sys
import types
import warnings

import numpy as np
import torch
from torch.testing._internal.common_methods_invocations import op_db

import kiln
import kiln.nn.functional  # noqa: F401

warnings.filterwarnings("ignore")
DTYPES = (torch.float32, torch.float64, torch.int64, torch.bool, torch.complex64,
          torch.bfloat16, torch.float16)
QUICK = (torch.float32, torch.int64)
MOST = 24  # samples an operator and dtype
TOLERANCE = {"float64": 1e-9, "complex128": 1e-9, "float16": 2e-3, "bfloat16": 2e-2}
# What PyTorch computes with a pi / 4 or a series of single precision, by its own error.
ROUGH = {"special.airy_ai": 1e-8, "special.bessel_j0": 1e-6, "special.bessel_j1": 1e-6,
         "special.bessel_y0": 1e-6, "special.bessel_y1": 1e-6}
# Values that no definition fixes: what memory held, random draws.
UNDEFINED = {"empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided",
             "empty_permuted", "randn", "randn_like", "rand_like", "randint", "randint_like",
             "bernoulli", "normal", "uniform", "cauchy", "exponential", "geometric", "log_normal",
             "multinomial", "nn.functional.dropout", "nn.functional.dropout2d",
             "nn.functional.dropout3d", "nn.functional.alpha_dropout",
             "nn.functional.feature_alpha_dropout", "nn.functional.rrelu"}


def to_kiln(x):
    """Arguments of PyTorch as kiln's."""
    if isinstance(x, torch.Tensor):
        t = x.detach()
        k = kiln.empty(0)
        if t.numel() and all(s >= 0 for s in t.stride()):
            k = strided(t)
        else:
            wide = t.float() if t.dtype == torch.bfloat16 else t
            k = kiln.from_numpy(np.ascontiguousarray(wide.resolve_conj().numpy()))
            k = k.bfloat16() if t.dtype == torch.bfloat16 else k
        return k.requires_grad_(True) if x.requires_grad else k
    if isinstance(x, (torch.dtype, torch.memory_format)):
        return getattr(kiln, str(x).split(".")[1])
    if isinstance(x, torch.device):
        return kiln.device(str(x))
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        return type(x)(to_kiln(v) for v in x)
    if isinstance(x, torch.Size):
        return tuple(x)
    if isinstance(x, dict):
        return {k: to_kiln(v) for k, v in x.items()}
    return x


def strided(t):
    """The same strides, over memory of kiln's own."""
    if t.is_conj() or t.is_neg():
        return kiln.from_numpy(np.ascontiguousarray(t.resolve_conj().resolve_neg().numpy()))
    base = torch.as_strided(t, (t.untyped_storage().nbytes() // t.element_size(),), (1,), 0)
    half = t.dtype == torch.bfloat16
    flat = kiln.tensor((base.float() if half else base).numpy())
    flat = flat.bfloat16() if half else flat
    return flat.as_strided(tuple(t.shape), t.stride(), t.storage_offset())


def flat(r):
    """All tensors and numbers of a result, in order."""
    if isinstance(r, dict):
        r = list(r.values())
    if isinstance(r, (torch.Tensor, kiln.Tensor)):
        return [r]
    if isinstance(r, (list, tuple)):
        return [v for x in r for v in flat(x)]
    return [] if r is None else [r]


def array(t):
    if isinstance(t, torch.Tensor):
        t = t.detach().resolve_conj().resolve_neg()
        return (t.float() if t.dtype == torch.bfloat16 else t).numpy(force=True)
    if isinstance(t, kiln.Tensor):
        t = t.detach()
        return (t.float() if t.dtype == kiln.bfloat16 else t).numpy()
    return np.asarray(t)


def differs(want, got, name, scale=1, kind=kiln.Tensor):
    """None, or what is wrong with got, whose tensors are of that kind."""
    a, b = flat(want), flat(got)
    if len(a) != len(b):
        return f"{len(a)} results, got {len(b)}"
    for x, y in zip(a, b):
        if isinstance(x, torch.Tensor):
            if not isinstance(y, kind):
                return f"a tensor, got {type(y).__name__}"
            if str(x.dtype) != str(y.dtype):
                return f"dtype {x.dtype}, got {y.dtype}"
            if tuple(x.shape) != tuple(y.shape):
                return f"shape {tuple(x.shape)}, got {tuple(y.shape)}"
        p, q = array(x), array(y)
        if name in UNDEFINED:
            continue
        dtype = str(x.dtype).split(".")[1] if isinstance(x, torch.Tensor) else str(p.dtype)
        tol = max(TOLERANCE.get(dtype, 1e-4), ROUGH.get(name, 0)) * scale
        if p.dtype.kind in "fc":
            if not np.allclose(p, q, rtol=tol, atol=tol, equal_nan=True):
                bad = np.argmax(~np.isclose(p, q, rtol=tol, atol=tol, equal_nan=True))
                return f"value {p.flat[bad]!r}, got {q.flat[bad]!r}"
        elif not np.array_equal(p, q):
            return "integers differ"
    return None


# What differs and stays so, with the reason.
KNOWN = {
    "as_strided_scatter": "PyTorch's gradient is that of what was overwritten, and fails gradcheck",
    "matrix_exp": "PyTorch's gradient in float32 has two digits",
    "linalg.eigh": "the sign of an eigenvector is nobody's promise",
    "svd_lowrank": "as linalg.eigh",
    "pca_lowrank": "as linalg.eigh",
    "nn.functional.triplet_margin_with_distance_loss": "the sample's own function is PyTorch's",
    "nn.functional.multi_head_attention_forward": "draws its dropout",
    "to_sparse": "a sparse tensor is a class of its own",
    "sparse.mm (reduce)": "not there: it says so",
    "sparse.sampled_addmm": "not there: it says so",
    "nn.functional.fractional_max_pool2d": "draws its windows",
    "nn.functional.fractional_max_pool3d": "draws its windows",
}
# Which of several equal elements is named is nobody's promise: what stands there is compared.
CHOICE = {"kthvalue": 1, "topk": 1, "mode": 0, "sort": 0, "argsort": 0, "median": 0,
          "nanmedian": 0}


def chosen(op, s, want, got, of=kiln):
    """The results with what the indices name in place of the indices."""
    place = CHOICE[op.name]
    dim = s.kwargs.get("dim", s.args[place] if len(s.args) > place else -1)
    if s.input.dim() == 0 or not isinstance(dim, int):
        return want, got
    keep = s.input.dim() == flat(want)[-1].dim()
    results = []
    for r, module, x in ((want, torch, s.input), (got, of, to_kiln(s.input) if of is kiln else s.input)):
        *values, index = flat(r)
        index = index if keep else index.unsqueeze(dim)
        results.append([*values, module.gather(x, dim, index)])
    return results


def as_double(x):
    """Arguments of half precision in double."""
    if isinstance(x, torch.Tensor):
        return x.double() if x.dtype in (torch.bfloat16, torch.float16) else x
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        return type(x)(as_double(v) for v in x)
    if isinstance(x, dict):
        return {k: as_double(v) for k, v in x.items()}
    return torch.float64 if x in (torch.bfloat16, torch.float16) else x


def nearer(op, args, kwargs, want, got):
    """Of half precision: every element no farther from the truth than PyTorch's."""
    truth = flat(op(*as_double(args), **as_double(kwargs)))
    for t, x, y in zip(truth, flat(want), flat(got)):
        if not (isinstance(t, torch.Tensor) and t.is_floating_point()):
            continue
        t, p, q = array(t), array(x).astype("f8"), array(y).astype("f8")
        tol = TOLERANCE[str(x.dtype).split(".")[1]]
        bad = np.abs(q - t) > np.abs(p - t) + tol * (1 + np.abs(t))
        if np.any(bad) or not np.array_equal(np.isnan(t), np.isnan(q)):
            return False
    return True


def function_of(op):
    """kiln's function of that name, or None; a method where there is no function."""
    at = kiln
    name = {"_segment_reduce": "segment_reduce"}.get(op.name, op.name)
    if isinstance(op.op, types.FunctionType) and "testing._internal" in op.op.__module__:
        names = {**op.op.__globals__, "torch": kiln, "F": kiln.nn.functional}
        return types.FunctionType(op.op.__code__, names,
                                  op.op.__name__, op.op.__defaults__, op.op.__closure__)
    for part in name.split("."):
        at = getattr(at, part, None)
        if at is None:
            break
    if not callable(at) and "." not in name and hasattr(kiln.Tensor, name):
        return getattr(kiln.Tensor, name)
    return at


def gradients(out, inputs, module):
    """Of the sum of all real results by the inputs that want one."""
    total = None
    for t in flat(out):
        if isinstance(t, (torch.Tensor, kiln.Tensor)) and t.requires_grad:
            s = (t * t.conj()).real.sum() if t.is_complex() else (t * t).sum()
            total = s if total is None else total + s
    xs = [x for x in inputs if isinstance(x, (torch.Tensor, kiln.Tensor)) and x.requires_grad]
    if total is None or not xs:
        return []
    return list(module.autograd.grad(total, xs, allow_unused=True, materialize_grads=True)
                if module is torch else module.autograd.grad(total, xs))


def check_sample(op, fn, s, dtype, grads):
    args = [s.input, *s.args]
    if s.kwargs.get("dropout_p"):
        return None  # random
    try:
        want = op(*args, **s.kwargs)
    except Exception:  # noqa: BLE001  PyTorch refuses: nothing to compare
        return None
    if any(getattr(t, "dtype", None) == torch.complex32 for t in flat(want)):
        return None  # a dtype that kiln has not
    kargs, kkw = to_kiln(args), to_kiln(s.kwargs)
    got = fn(*kargs, **kkw)
    why = differs(want, got, op.name)
    if why and op.name in CHOICE:
        why = differs(*chosen(op, s, want, got), op.name)
    if why and why.startswith("value") and dtype in (torch.bfloat16, torch.float16) and \
            nearer(op, args, s.kwargs, want, got):
        why = None
    if why or not grads or op.name in UNDEFINED:
        return why
    a = gradients(want, flat(args), torch)
    b = gradients(got, flat(kargs), kiln)
    why = differs(a, b, op.name, 10)
    return why and "gradient: " + why


def check(op, fn, dtypes, most):
    """None, or the first reason; and how many samples passed and failed."""
    first, good, bad = None, 0, 0
    for dtype in dtypes:
        if dtype not in op.supported_dtypes("cpu"):
            continue
        grads = op.supports_autograd and dtype in (torch.float32, torch.float64)
        samples = op.sample_inputs("cpu", dtype, requires_grad=grads)
        for i, s in zip(range(most), samples):
            try:
                why = check_sample(op, fn, s, dtype, grads)
            except Exception as e:  # noqa: BLE001  a failure of kiln's is what we look for
                why = f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"
            good += why is None
            bad += why is not None
            if why and first is None:
                first = f"{dtype} sample {i}: {why}"[:170]
    return first, good, bad


def main():
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--missing", action="store_true", help="list what kiln lacks")
    p.add_argument("--quick", action="store_true", help="two samples of float32 and int64 each")
    p.add_argument("--most", type=int, default=MOST, help="samples an operator and dtype")
    p.add_argument("--part", default="0/1", help="k/n: each n-th operator from the k-th on")
    o = p.parse_args()
    torch.manual_seed(0)
    passed, failed, missing = [], [], []
    k, n = map(int, o.part.split("/"))
    for number, op in enumerate(op_db):
        if o.names and op.name not in o.names or number % n != k:
            continue
        fn = function_of(op)
        label = op.name + (f" ({op.variant_test_name})" if op.variant_test_name else "")
        if fn is None:
            missing.append(label)
            continue
        first, good, bad = check(op, fn, QUICK if o.quick else DTYPES, 2 if o.quick else o.most)
        if first and "has no attribute" in first:
            missing.append(label)
            continue
        (failed if bad else passed).append(label)
        if bad:
            print(f"{label}: {bad} of {good + bad}: {first}", flush=True)
    if o.missing:
        print("missing:", " ".join(missing))
    if o.quick:
        known = [f for f in failed if f in KNOWN or f.split(" (")[0] in KNOWN]
        print(f"{len(missing)} operators are not there, {len(known)} differ for known reasons")
        print(f"{len(passed)} passed, {len(failed) - len(known)} failed")
        return 1 if len(failed) > len(known) else 0
    total = len(passed) + len(failed) + len(missing)
    print(f"{len(passed)} of {total} operators pass all samples, {len(failed)} differ, "
          f"{len(missing)} are not there")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
