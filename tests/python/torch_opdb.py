"""torch_opdb.py: PyTorch's operator samples through the backend of torch.compile, against eager.

    python3 tests/python/torch_opdb.py [NAME..]     names of op_db; none: all

Each sample's call goes through AOTAutograd to native programs, as torch.compile(backend="kiln")
does it, in float32 with gradients, int64 and bool. An operator is native if all its samples are
right and no kernel of PyTorch's ran; else it falls back, or differs. Prints a line for each that is
not native, with the first reason, then the counts, and those of the operators that carry
torch.Tag.core. Each operator has a process of its own, so that one which crashes or takes more than
LIMIT seconds for a sample is only itself; --to FILE keeps a line an operator and goes on from there.
--quick: two samples of float32 and one of int64, all in this process; the last line is "N passed, N
failed": native operators, and those that neither are nor stand in torch_opdb.txt."""
import argparse
import json
import os
import signal
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from functorch.compile import aot_function  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import kiln.torch  # noqa: E402
from kiln.torch import backend  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from opdb import CHOICE, UNDEFINED, chosen, differs, flat, gradients  # noqa: E402

LIMIT = 60
DTYPES = (torch.float32, torch.int64, torch.bool)
# Whose sign is nobody's promise: of a vector that spans a space.
SIGNED = {"svd", "linalg.svd", "linalg.eigh"}
# Drawn by kiln's generator: only dtypes and shapes are PyTorch's.
DRAWN = UNDEFINED | {"nn.functional.fractional_max_pool2d", "nn.functional.fractional_max_pool3d",
                     "nn.functional.multi_head_attention_forward", "svd_lowrank", "pca_lowrank"}
DECOMPOSED = set()  # overloads that PyTorch decomposed in this sample
SEEN = set()  # overloads that ran natively in a sample that is right


def compiled(op, args, kwargs):
    """op(*args, **kwargs) by native programs."""
    leaves, spec = pytree.tree_flatten((args, kwargs))
    at = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor)]

    def call(*tensors):
        full = list(leaves)
        for i, t in zip(at, tensors):
            full[i] = t
        a, k = pytree.tree_unflatten(full, spec)
        return op(*a, **k)

    given = [t if t.requires_grad or not whole(t) else t.clone() for t in (leaves[i] for i in at)]
    try:
        return by_aot(call, given)
    except Exception as e:  # noqa: BLE001  what Dynamo sees to
        if "FakeTensor" not in str(e) and "D" != type(e).__name__[0]:
            raise
    torch._dynamo.reset()
    kiln.torch.reset()
    return torch.compile(call, backend="kiln", fullgraph=True)(*given)


def whole(t):
    """Whether nothing else is in its memory, so that a copy is as good."""
    return t.untyped_storage().nbytes() == t.numel() * t.element_size()


def by_aot(call, given):
    f = aot_function(call, backend.compile_graph, backend.compile_graph, backend.partition,
                     DECOMPOSITIONS, keep_inference_input_mutations=True)
    return f(*given)


def tensors_of(x):
    return [t for t in pytree.tree_leaves(x) if isinstance(t, torch.Tensor)]


def as_double(x):
    """Arguments of single precision in double."""
    def wide(t):
        if not isinstance(t, torch.Tensor):
            return torch.float64 if t is torch.float32 else t
        d = t.detach().double() if t.dtype == torch.float32 else t.detach()
        return d.requires_grad_(t.requires_grad)

    return pytree.tree_map(wide, x)


def farther(op, args, kwargs, want, got, grads):
    """Of single precision: whether an element is farther from what double gives than PyTorch's."""
    args, kwargs = as_double((args, kwargs))
    truth = op(*args, **kwargs)
    truth = gradients(truth, flat([args, kwargs]), torch) if grads else truth
    for t, x, y in zip(flat(truth), flat(want), flat(got)):
        if isinstance(t, torch.Tensor) and t.dtype == torch.float64:
            if ((y - t).abs() > (x - t).abs() + 1e-4 * (1 + t.abs())).any():
                return True
    return False


def spanned(op, r):
    """Vectors without their signs, and without those that only fill up a square matrix."""
    r = tensors_of(r)
    if len(r) == 3:
        u, values, v = r
        k = values.shape[-1]
        r = [u[..., :k], values, v[..., :k, :] if op.name == "linalg.svd" else v[..., :k]]
    return [t.abs() for t in r]


def unlike(op, s, want, got, grads):
    """What is wrong with results or gradients, or None."""
    if op.name in DRAWN:
        return differs(want, got, "empty", kind=torch.Tensor)
    if op.name in SIGNED and not grads:
        want, got = spanned(op, want), spanned(op, got)
    why = differs(want, got, op.name, 10 if grads else 1, kind=torch.Tensor)
    if why and op.name in CHOICE and not grads:
        why = differs(*chosen(op, s, want, got, torch), op.name, kind=torch.Tensor)
    if why and why.startswith("value") and \
            not farther(op, [s.input, *s.args], s.kwargs, want, got, grads):
        return None
    return why


def check_sample(op, s, grads):
    """None: PyTorch refuses the sample; else what is wrong, or an empty string."""
    args = [s.input, *s.args]
    if s.kwargs.get("dropout_p"):
        return None
    try:
        want = op(*args, **s.kwargs)
    except Exception:  # noqa: BLE001
        return None
    if any(t.dtype in (torch.complex32,) or t.layout != torch.strided
           for t in tensors_of((args, s.kwargs, want))) or not tensors_of(want):
        return None
    before = gradients(want, flat([args, s.kwargs]), torch) if grads else []
    got = compiled(op, args, s.kwargs)
    why = unlike(op, s, want, got, False)
    if why or not grads or op.name in DRAWN:
        return why or ""
    why = unlike(op, s, before, gradients(got, flat([args, s.kwargs]), torch), True)
    return "gradient: " + why if why else ""


def spread(samples, most):
    """At most so many, from the first to the last; with their numbers."""
    samples = list(samples)
    n = len(samples)
    picked = range(n) if not most or n <= most else \
        [i * (n - 1) // max(most - 1, 1) for i in range(most)]
    return [(i, samples[i]) for i in picked]


def outcomes(op, o):
    """(what is wrong, overloads that ran natively) of each sample that PyTorch takes."""
    for dtype in DTYPES[:2] if o.quick else DTYPES:
        if dtype not in op.supported_dtypes("cpu"):
            continue
        grads = op.supports_autograd and dtype == torch.float32
        most = o.most if not o.quick else 2 if dtype == torch.float32 else 1
        torch.manual_seed(0)
        for i, s in spread(op.sample_inputs("cpu", dtype, requires_grad=grads), most):
            kiln.torch.reset()
            DECOMPOSED.clear()
            torch.manual_seed(0)
            try:
                why = check_sample(op, s, grads)
            except Exception as e:  # noqa: BLE001  a failure of ours is what we look for
                why = f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"
            if why is None:
                continue
            left = kiln.torch.report()
            if not why and left.fallbacks:
                (name, reason), _ = next(iter(left.fallbacks.items()))
                why = f"fallback {name}: {reason}"
            yield why and f"{str(dtype)[6:]} sample {i}: {why}"[:200], [*left.native, *DECOMPOSED]


def apart(op, o):
    """The same from a process of its own."""
    r, w = os.pipe()
    child = os.fork()
    if not child:
        os.close(r)
        with os.fdopen(w, "w", buffering=1) as f:
            signal.alarm(LIMIT)
            for found in outcomes(op, o):
                f.write(json.dumps(found) + "\n")
                signal.alarm(LIMIT)
        os._exit(0)
    os.close(w)
    with os.fdopen(r) as f:
        yield from map(json.loads, f)
    if ended := os.waitpid(child, 0)[1]:
        late = os.WIFSIGNALED(ended) and os.WTERMSIG(ended) == signal.SIGALRM
        yield f"no result in {LIMIT} s" if late else f"the process ends with {ended}", []


def check(op, o):
    """Counts and reasons: what stands of an operator in the file of --to."""
    reasons, native, good, bad = [], set(), 0, 0
    for why, overloads in outcomes(op, o) if o.quick else apart(op, o):
        good, bad = good + (not why), bad + bool(why)
        if why:
            reasons.append(why)
        else:
            native.update(overloads)
    return {"good": good, "bad": bad, "why": reasons, "native": sorted(native)}


def core():
    """The overloads that PyTorch calls core."""
    for name in sorted(torch._C._dispatch_get_all_op_names()):
        space, _, rest = name.partition("::")
        packet, _, overload = rest.partition(".")
        if space != "aten" or overload == "out":
            continue
        op = getattr(getattr(torch.ops.aten, packet), overload or "default", None)
        if op is not None and torch.Tag.core in op.tags:
            yield op


def noting(op, f):
    """A decomposition that says it was used."""
    def run(*args, **kwargs):
        DECOMPOSED.add(str(op))
        return f(*args, **kwargs)

    return run


def known(path):
    """operator -> why it is not native."""
    with open(path) as f:
        return dict(line.rstrip("\n").split(" | ", 1) for line in f if " | " in line)


# Core overloads that no sample, or none of the quick form, calls as they are.
CALLS = {
    "_native_batch_norm_legit.default": lambda x: (x, *STATISTICS, True, 0.1, 1e-5),
    "_native_batch_norm_legit_no_training.default": lambda x: (x, *STATISTICS, 0.1, 1e-5),
    "adaptive_avg_pool1d.default": lambda x: (x, [3]), "avg_pool1d.default": lambda x: (x, [2]),
    "bitwise_and.Scalar": lambda x: (x.int(), 3), "bitwise_or.Scalar": lambda x: (x.int(), 3),
    "bitwise_xor.Scalar": lambda x: (x.int(), 3),
    "div.Scalar_mode": lambda x: (x, 0.3), "randperm.default": lambda x: (6,),
    "reflection_pad3d.default": lambda x: (x[None, None], [1, 1, 1, 1, 1, 1]),
    "replication_pad3d.default": lambda x: (x[None, None], [1, 1, 1, 1, 1, 1]),
    "upsample_bilinear2d.vec": lambda x: (x[None], [4, 5], False, None),
    "upsample_nearest2d.vec": lambda x: (x[None], [4, 5], None),
    "var.dim": lambda x: (x, [1]), "_local_scalar_dense.default": lambda x: (x.sum(),),
}
MODES = {"div.Scalar_mode": {"rounding_mode": "floor"}}
STATISTICS = [torch.arange(1, 4, dtype=torch.float32) / k for k in (1, 2, 3, 4)]


def called(name):
    """What is wrong with an overload called as CALLS says, or an empty string."""
    packet, overload = name.split(".")
    op = getattr(getattr(torch.ops.aten, packet), overload)
    torch.manual_seed(0)
    args, kwargs = CALLS[name](torch.rand(2, 3, 8)), MODES.get(name, {})
    want = op(*pytree.tree_map_only(torch.Tensor, torch.clone, args), **kwargs)
    kiln.torch.reset()
    got = compiled(lambda *a, **k: torch.zeros(()) + op(*a, **k) if "scalar" in name else
                   op(*a, **k), list(args), kwargs)
    why = differs(torch.zeros(()) + want if "scalar" in name else want, got,
                  "empty" if "randperm" in name else name, kind=torch.Tensor)
    return why or "".join(f"fallback {n}: {why}" for n, why in kiln.torch.report().fallbacks)


def kept(path):
    """operator -> what an earlier run found."""
    if not path or not os.path.exists(path):
        return {}
    with open(path) as f:
        return dict(map(json.loads, f))


def keep(path, label, found):
    if path:
        with open(path, "a") as f:
            f.write(json.dumps([label, found]) + "\n")


def main():
    global DECOMPOSITIONS
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--core", action="store_true", help="list the core overloads without a row")
    p.add_argument("--most", type=int, help="samples an operator and dtype, spread over all")
    p.add_argument("--to", help="a file of what is done, which a later run goes on from")
    p.add_argument("--part", default="0/1", help="k/n: each n-th operator from the k-th on")
    o = p.parse_args()
    torch._dynamo.config.capture_scalar_outputs = True
    torch._dynamo.config.capture_dynamic_output_shape_ops = True
    DECOMPOSITIONS = {op: noting(op, f) for op, f in backend.decompositions().items()}
    allowed = known(os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_opdb.txt"))
    counts, failed = {"native": 0, "fallback": 0, "differs": 0}, 0
    k, n = map(int, o.part.split("/"))
    done = kept(o.to)
    for number, op in enumerate(op_db):
        if (o.names and op.name not in o.names) or number % n != k:
            continue
        label = op.name + (f" ({op.variant_test_name})" if op.variant_test_name else "")
        found = done.get(label)
        if found is None:
            found = check(op, o)
            keep(o.to, label, found)
        good, bad = found["good"], found["bad"]
        if good + bad == 0:
            continue
        SEEN.update(found["native"])
        why = found["why"][0] if bad else ""
        kind = "native" if not bad else "fallback" if ": fallback" in why else "differs"
        counts[kind] += 1
        if bad and not (o.quick and label in allowed):
            failed += 1
            print(f"{label}: {bad} of {good + bad}: {why}", flush=True)
    for name in CALLS if k == 0 and not o.names else ():
        why = called(name)
        SEEN.update([] if why else ["aten." + name])
        failed += bool(why)
        if why:
            print(f"aten.{name}: {why}"[:200], flush=True)
    ops = [op for op in core() if not str(op).startswith("aten.sym_")]  # those are Python's numbers
    lacking = [str(op) for op in ops if not backend.covers(op) and op not in DECOMPOSITIONS]
    met = [str(op) for op in ops if {str(op), str(op).replace("_.", ".")} & SEEN]
    if o.core:
        print("core overloads without a row:", " ".join(lacking))
        print("core overloads not met:", " ".join(str(x) for x in ops if str(x) not in met))
    print(f"{counts['native']} of {sum(counts.values())} operators native, {counts['fallback']} fall "
          f"back, {counts['differs']} differ; of {len(ops)} core overloads {len(lacking)} lack a row, "
          f"{len(met)} met natively")
    if o.quick:
        print(f"{counts['native']} passed, {failed} failed")
    return failed > 0


sys.exit(main())
