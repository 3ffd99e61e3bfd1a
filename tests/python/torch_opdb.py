"""torch_opdb.py: PyTorch's operator samples through the backend of torch.compile, against eager.

    python3 tests/python/torch_opdb.py [NAME..]     names of op_db; none: all

Each sample's call goes through AOTAutograd to native programs, as torch.compile(backend="kiln")
does it, in float32 with gradients, int64 and bool. An operator is native if all its samples are
right and no kernel of PyTorch's ran; else it falls back, or differs. Prints a line for each that is
not native, with the first reason, then the counts, and those of the operators that carry
torch.Tag.core.
--quick: two samples of float32 and one of int64; the last line is "N passed, N failed": native
operators, and those that neither are nor stand in torch_opdb.txt."""
import argparse
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
from functorch.compile import aot_function  # noqa: E402
from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import kiln.torch  # noqa: E402
from kiln.torch import backend, bounded, rows  # noqa: E402

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from opdb import CHOICE, UNDEFINED, chosen, differs, flat, gradients  # noqa: E402

MOST = 12
DTYPES = (torch.float32, torch.int64, torch.bool)
SEEN = {}  # overloads of a native call's graphs: name -> how often native


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
    why = differs(want, got, op.name, kind=torch.Tensor)
    if why and op.name in CHOICE:
        why = differs(*chosen(op, s, want, got, torch), op.name, kind=torch.Tensor)
    if why or not grads or op.name in UNDEFINED:
        return why or ""
    after = gradients(got, flat([args, s.kwargs]), torch)
    why = differs(before, after, op.name, 10, kind=torch.Tensor)
    return "gradient: " + why if why else ""


def check(op, quick):
    """(native samples, others, first reason)."""
    native = other = 0
    first = None
    for dtype in DTYPES[:2] if quick else DTYPES:
        if dtype not in op.supported_dtypes("cpu"):
            continue
        grads = op.supports_autograd and dtype == torch.float32
        most = MOST if not quick else 2 if dtype == torch.float32 else 1
        for i, s in zip(range(most), op.sample_inputs("cpu", dtype, requires_grad=grads)):
            kiln.torch.reset()
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
            if not why:
                for name in left.native:
                    SEEN[name] = SEEN.get(name, 0) + 1
            native, other = native + (not why), other + bool(why)
            first = first or (f"{str(dtype)[6:]} sample {i}: {why}"[:200] if why else None)
    return native, other, first


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


def known(path):
    """operator -> why it is not native."""
    with open(path) as f:
        return dict(line.rstrip("\n").split(" | ", 1) for line in f if " | " in line)


def main():
    global DECOMPOSITIONS
    p = argparse.ArgumentParser()
    p.add_argument("names", nargs="*")
    p.add_argument("--quick", action="store_true")
    p.add_argument("--core", action="store_true", help="list the core overloads without a row")
    p.add_argument("--part", default="0/1", help="k/n: each n-th operator from the k-th on")
    o = p.parse_args()
    torch._dynamo.config.capture_scalar_outputs = True
    torch._dynamo.config.capture_dynamic_output_shape_ops = True
    DECOMPOSITIONS = backend.decompositions()
    allowed = known(os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_opdb.txt"))
    counts, failed = {"native": 0, "fallback": 0, "differs": 0}, 0
    k, n = map(int, o.part.split("/"))
    for number, op in enumerate(op_db):
        if (o.names and op.name not in o.names) or number % n != k:
            continue
        good, bad, why = check(op, o.quick)
        if good + bad == 0:
            continue
        kind = "native" if not bad else "fallback" if ": fallback" in why else "differs"
        counts[kind] += 1
        label = op.name + (f" ({op.variant_test_name})" if op.variant_test_name else "")
        if bad and not (o.quick and label in allowed):
            failed += 1
            print(f"{label}: {bad} of {good + bad}: {why}", flush=True)
    ops = list(core())
    lacking = [str(op) for op in ops if rows.find(op) is None and op not in DECOMPOSITIONS and
               str(op) not in bounded.BOUNDED and not str(op).startswith("aten.sym_")]
    if o.core:
        print("core overloads without a row:", " ".join(lacking))
        print("core overloads not met:", " ".join(str(x) for x in ops if str(x) not in SEEN))
    print(f"{counts['native']} of {sum(counts.values())} operators native, {counts['fallback']} fall "
          f"back, {counts['differs']} differ; of {len(ops)} core overloads {len(lacking)} lack a row, "
          f"{sum(str(x) in SEEN for x in ops)} met natively")
    if o.quick:
        print(f"{counts['native']} passed, {failed} failed")
    return failed > 0


sys.exit(main())
