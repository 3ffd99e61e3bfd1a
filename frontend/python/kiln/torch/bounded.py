"""Operators whose result's size follows from data: a program computes the result at the size that
it can have at most, and how much of it there is; what PyTorch gets is the front of that memory.

    nonzero(x), x of 4 elements   ->   places [4, 1] and the count 2   ->   places[:2]

A row gives the count, then results, each with the dimension that is cut, or None. Where nothing bounds the size, a
first program computes it (BOUND), and the row gets it as its bound."""
import functools
import math

import torch
from torch._C._dynamo.guards import _empty_strided_cpu, _reinterpret_tensor
from torch.utils import _pytree as pytree

import kiln

from .. import _kiln
from . import report, rows
from .graph import API, NEW, element
from .layout import Layout, contiguous
from .names import dtype_of

BOUNDED, BOUND = {}, {}


def row(name):
    def take(f):
        BOUNDED["aten." + name] = f
        return f

    return take


def front(flags, values):
    """values where flags are true, in order, and something behind them."""
    n = flags.shape[0]
    to = kiln.where(flags, flags.to(kiln.int64).cumsum(0) - 1, n)
    from_ = kiln.zeros(n + 1, dtype=kiln.int64).scatter(0, to, kiln.arange(n, dtype=kiln.int64))
    return values.index_select(0, from_[:n]) if n else values


@row("nonzero.default")
def _nonzero(x):
    flags = x != 0
    places = rows.find("aten.nonzero_static.default")(x, x.numel())
    return flags.to(kiln.int64).sum(), [(places, 0)]


@row("masked_select.default")
def _masked_select(x, mask):
    x, mask = kiln.broadcast_tensors(x, mask)
    flags = mask.reshape(-1)
    return flags.to(kiln.int64).sum(), [(front(flags, x.reshape(-1)), 0)]


@row("index.Tensor")
def _index(x, indices):
    """What a mask of the first dimensions picks."""
    mask = indices[0]
    if mask is None or mask.dtype != kiln.bool or any(i is not None for i in indices[1:]):
        raise NotImplementedError("a mask among other indices")
    flags = mask.reshape(-1)
    return flags.to(kiln.int64).sum(), [(front(flags, x.flatten(0, mask.dim() - 1)), 0)]


def _largest(x, weights=None, minlength=0):
    return (x.max() + 1).clamp(minlength).to(kiln.int64) if x.numel() else kiln.full((), minlength)


BOUND["aten.bincount.default"] = _largest


@row("bincount.default")
def _bincount(x, weights=None, minlength=0, bound=0):
    to = kiln.float32 if weights is not None and weights.dtype == kiln.float32 else kiln.float64
    each = kiln.ones(x.shape[0], dtype=kiln.int64) if weights is None else weights.to(to)
    counts = kiln.zeros(bound, dtype=each.dtype).index_add(0, x.to(kiln.int64), each)
    return kiln.full((), bound, dtype=kiln.int64), [(counts, None)]


BOUND["aten.repeat_interleave.Tensor"] = lambda repeats, output_size=None: repeats.sum()


@row("repeat_interleave.Tensor")
def _repeat_interleave(repeats, output_size=None, bound=0):
    return kiln.full((), bound, dtype=kiln.int64), [(rows.repeated(repeats, bound), None)]


def _distinct(rows, order, shape, inverse, counts, dim=None):
    """Of rows [n, m] of which equal ones stand together, or [n]; order: where each one stood."""
    n = rows.shape[0]
    none = kiln.zeros(0, dtype=kiln.int64)
    if n == 0:
        return none.sum(), [(rows, 0), (kiln.zeros(shape, dtype=kiln.int64) if inverse else none, None),
                            (none, None)]
    changed = rows[1:] != rows[:-1]
    changed = changed.any(1) if rows.dim() > 1 else changed
    new = kiln.cat([kiln.ones(1, dtype=kiln.bool), changed])
    group = new.to(kiln.int64).cumsum(0) - 1
    inv = none
    if inverse:
        inv = group if order is None else kiln.zeros(n, dtype=kiln.int64).scatter(0, order, group)
        inv = inv.reshape(shape)
    num = kiln.zeros(n, dtype=kiln.int64).scatter_add(
        0, group, kiln.ones(n, dtype=kiln.int64)) if counts else none
    return group[-1] + 1, [(front(new, rows), 0), (inv, None), (num, 0 if counts else None)]


@row("_unique2.default")
def _unique2(x, sorted=True, return_inverse=False, return_counts=False):
    flat, order = kiln.sort(x.reshape(-1))
    return _distinct(flat, order, tuple(x.shape), return_inverse, return_counts)


@row("_unique.default")
def _unique(x, sorted=True, return_inverse=False):
    count, results = _unique2(x, sorted, return_inverse)
    return count, results[:2]


def _slices(x, dim):
    """x's slices along a dimension as rows [n, m], and the way back."""
    moved = x.movedim(dim, 0)
    return moved.reshape(x.shape[dim], math.prod(moved.shape[1:])), lambda r: r.reshape(moved.shape).movedim(0, dim)


def _of_slices(x, dim, order, inverse, counts):
    dim %= x.dim()
    rows, back = _slices(x, dim)
    if order is not None:
        rows, order = order(rows)
    count, (found, inv, num) = _distinct(rows, order, (x.shape[dim],), inverse, counts)
    return count, [(back(found[0]), dim), inv, num]


def _in_order(rows):
    """Rows sorted by their first element, equal ones by the next."""
    if rows.shape[1] > 256:
        raise NotImplementedError("slices of more than 256 elements")
    order = kiln.arange(rows.shape[0], dtype=kiln.int64)
    for k in reversed(range(rows.shape[1])):
        order = order[kiln.argsort(rows[:, k][order], stable=True)]
    return rows[order], order


@row("unique_dim.default")
def _unique_dim(x, dim, sorted=True, return_inverse=False, return_counts=False):
    return _of_slices(x, dim, _in_order, return_inverse, return_counts)


@row("unique_consecutive.default")
def _unique_consecutive(x, return_inverse=False, return_counts=False, dim=None):
    if dim is not None and x.dim():
        return _of_slices(x, dim, None, return_inverse, return_counts)
    return _distinct(x.reshape(-1), None, tuple(x.shape), return_inverse, return_counts)


# ---- where the host asks how often ----

HOSTED = {}


def _overlaps(boxes, scores, limit):
    """Boxes by falling score: where each stood, and which of those behind it overlap each."""
    order = kiln.sort(scores, stable=True, descending=True)[1]
    low, high = boxes[order].split(2, 1)
    areas = (high - low).prod(1)
    both = kiln.minimum(high.unsqueeze(1), high) - kiln.maximum(low.unsqueeze(1), low)
    both = both.clamp(0).prod(2)
    over = both / (areas.unsqueeze(1) + areas - both) > limit
    return order.sum() * 0, [(order, None), (over.triu(1), None)]


def _stay(over, stays):
    """Those that none of these overlap, and how many are others than these."""
    new = (over & stays.unsqueeze(1)).any(0).logical_not()
    return (new != stays).to(kiln.int64).sum(), [(new, None)]


def _picked(stays, order):
    return stays.to(kiln.int64).sum(), [(front(stays, order), 0)]


def nms(run, boxes, scores, limit):
    """A box stays if none that stays scores more and overlaps it. All are asked until nothing
    changes: each time at least one more box, in their order, is told for good."""
    n = boxes.shape[0]
    if not n:
        return torch.empty(0, dtype=torch.int64)
    _, (order, over) = run(_overlaps, (boxes, scores, limit), {}, 2, "overlaps", limit)
    changed, stays = 1, torch.ones(n, dtype=torch.bool)
    while changed:
        changed, (stays,) = run(_stay, (over, stays), {}, 1, "stay")
    return run(_picked, (stays, order), {}, 1, "picked")[1][0]


BOUNDED["torchvision.nms.default"] = HOSTED["torchvision.nms.default"] = nms


def refuse(t, i):
    raise RuntimeError("kiln: an argument lies otherwise than when compiled")


class Step:
    """A node's programs, one for the sizes and strides of its arguments."""

    def __init__(self, node, argument):
        self.node, self.argument, self.callers = node, argument, {}
        self.name = str(node.target)
        self.several = isinstance(node.meta.get("val"), (list, tuple))

    def compile(self, row, args, kwargs, results):
        """A caller of the row, and where its results are cut."""
        tensors, cuts = tensors_of(args), []
        layouts = [Layout(t.shape, t.stride()) for t in tensors]
        ports = tuple((f"x{i}", dtype_of(t.dtype), lay.shape_of_input())
                      for i, (t, lay) in enumerate(zip(tensors, layouts)))

        def trace(*inputs):
            given = iter([lay.read(t) for lay, t in zip(layouts, inputs)])
            count, found = row(*pytree.tree_map_only(torch.Tensor, lambda _: next(given), args),
                               **kwargs)
            cuts[:] = [cut for _, cut in found]
            return (count.reshape(()), *[r for r, _ in found])

        program = _kiln._jit_trace(trace, ports, 1 + results, (), ())
        outs = []
        for dtype, shape in _kiln._jit_about(program)[2]:
            given = [t.dtype for t in tensors]
            dtype = next(k for k in (torch.int64, torch.float64, torch.bool, *given)
                         if dtype_of(k) == dtype)
            outs.append((NEW, 0, (tuple(shape), contiguous(shape), dtype), dtype,
                         tuple(range(len(shape)))))
        ins = tuple((i, 8 * t.element_size(), lay.size, lay.stride, lay.order)
                    for i, (t, lay) in enumerate(zip(tensors, layouts)))
        return _kiln.Caller(program, ins, tuple(outs), 0, (), _empty_strided_cpu,
                            _reinterpret_tensor, None, refuse, API), cuts

    def run(self, row, args, kwargs, results, *key):
        """Count, then results."""
        tensors = tensors_of(args)
        key += tuple((t.dtype, t.shape, t.stride()) for t in tensors)
        if key not in self.callers:
            with torch.utils._python_dispatch._disable_current_modes():
                self.callers[key] = self.compile(row, args, kwargs, results)
            report.native([self.name])
        caller, cut = self.callers[key]
        count, *found = caller(tensors)
        n = element(count)
        return n, [r if c is None else r.narrow(c, 0, n) for r, c in zip(found, cut)]

    def __call__(self, env):
        args = [self.argument(a, env) for a in self.node.args]
        kwargs = {k: self.argument(v, env) for k, v in self.node.kwargs.items()}
        if self.name in HOSTED:
            return HOSTED[self.name](self.run, *args)
        row, bound = BOUNDED[self.name], None
        if self.name in BOUND:
            bound, _ = self.run(lambda *a, **k: (BOUND[self.name](*a, **k), []), args, kwargs, 0)
            row = functools.partial(row, bound=bound)
        n = len(self.node.meta["val"]) if self.several else 1
        _, results = self.run(row, args, kwargs, n, bound)
        return tuple(results) if self.several else results[0]


def tensors_of(args):
    return [a for a in pytree.tree_leaves(args) if isinstance(a, torch.Tensor)]
