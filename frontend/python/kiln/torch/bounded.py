"""Operators whose result's size follows from data: a program computes the result at the size that
it can have at most, and how much of it there is; what PyTorch gets is the front of that memory.

    nonzero(x), x of 4 elements   ->   places [4, 1] and the count 2   ->   places[:2]

A row gives the count, then results, each with whether it is cut."""
import ctypes

import torch
from torch._C._dynamo.guards import _empty_strided_cpu, _reinterpret_tensor

import kiln

from .. import _kiln
from . import report, rows
from .graph import API, NEW
from .layout import Layout, contiguous
from .names import dtype_of

BOUNDED = {}


def row(name):
    def take(f):
        BOUNDED["aten." + name] = f
        return f

    return take


def front(flags, values):
    """values where flags are true, in order, and something behind them."""
    n = flags.shape[0]
    to = kiln.where(flags, flags.to(kiln.int64).cumsum(0) - 1, n)
    return kiln.zeros(n + 1, dtype=values.dtype).scatter(0, to, values)[:n]


@row("nonzero.default")
def _nonzero(x):
    flags = x != 0
    places = rows.find("aten.nonzero_static.default")(x, x.numel())
    return flags.to(kiln.int64).sum(), [(places, True)]


@row("masked_select.default")
def _masked_select(x, mask):
    x, mask = kiln.broadcast_tensors(x, mask)
    flags = mask.reshape(-1)
    return flags.to(kiln.int64).sum(), [(front(flags, x.reshape(-1)), True)]


def _distinct(flat, back, shape, inverse, counts):
    """Of values of which equal ones stand together; back: where each one stands in the tensor."""
    n = flat.shape[0]
    if n == 0:
        raise NotImplementedError("no elements")
    new = kiln.cat([kiln.ones(1, dtype=kiln.bool), flat[1:] != flat[:-1]])
    group = new.to(kiln.int64).cumsum(0) - 1
    none = kiln.zeros(0, dtype=kiln.int64)
    inv = none
    if inverse:
        inv = group if back is None else kiln.zeros(n, dtype=kiln.int64).scatter(0, back, group)
        inv = inv.reshape(shape)
    num = kiln.zeros(n, dtype=kiln.int64).scatter_add(
        0, group, kiln.ones(n, dtype=kiln.int64)) if counts else none
    return group[-1] + 1, [(front(new, flat), True), (inv, False), (num, bool(counts))]


@row("_unique2.default")
def _unique(x, sorted=True, return_inverse=False, return_counts=False):
    flat, back = kiln.sort(x.reshape(-1))
    return _distinct(flat, back, tuple(x.shape), return_inverse, return_counts)


@row("unique_consecutive.default")
def _unique_consecutive(x, return_inverse=False, return_counts=False, dim=None):
    if dim is not None:
        raise NotImplementedError("along one dimension")
    return _distinct(x.reshape(-1), None, tuple(x.shape), return_inverse, return_counts)


def refuse(t, i):
    raise RuntimeError("kiln: an argument lies otherwise than when compiled")


class Step:
    """A node's programs, one for the sizes and strides of its arguments."""

    def __init__(self, node, argument):
        self.node, self.argument, self.callers = node, argument, {}
        self.name = str(node.target)
        self.several = isinstance(node.meta.get("val"), (list, tuple))

    def trace(self, args, kwargs, layouts, tensors):
        given = iter([lay.read(t) for lay, t in zip(layouts, tensors)])
        args = [next(given) if isinstance(a, torch.Tensor) else a for a in args]
        count, results = BOUNDED[self.name](*args, **kwargs)
        self.cut = [cut for _, cut in results]
        return (count.reshape(()), *[r for r, _ in results])

    def compile(self, args, kwargs):
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        layouts = [Layout(t.shape, t.stride()) for t in tensors]
        ports = tuple((f"x{i}", dtype_of(t.dtype), lay.shape_of_input())
                      for i, (t, lay) in enumerate(zip(tensors, layouts)))
        n = 2 if not self.several else 1 + len(self.node.meta["val"])
        program = _kiln._jit_trace(lambda *ts: self.trace(args, kwargs, layouts, ts), ports, n,
                                   (), ())
        outs = []
        for dtype, shape in _kiln._jit_about(program)[2]:
            dtype = next(k for k in (torch.int64, *[t.dtype for t in tensors])
                         if dtype_of(k) == dtype)
            outs.append((NEW, 0, (tuple(shape), contiguous(shape), dtype), dtype,
                         tuple(range(len(shape)))))
        ins = tuple((i, 8 * t.element_size(), lay.size, lay.stride, lay.order)
                    for i, (t, lay) in enumerate(zip(tensors, layouts)))
        report.native([self.name])
        return _kiln.Caller(program, ins, tuple(outs), 0, (), _empty_strided_cpu,
                            _reinterpret_tensor, None, refuse,
                            API), self.cut

    def __call__(self, env):
        args = [self.argument(a, env) for a in self.node.args]
        kwargs = {k: self.argument(v, env) for k, v in self.node.kwargs.items()}
        tensors = [a for a in args if isinstance(a, torch.Tensor)]
        key = tuple((t.dtype, t.shape, t.stride()) for t in tensors)
        if key not in self.callers:
            with torch.utils._python_dispatch._disable_current_modes():
                self.callers[key] = self.compile(args, kwargs)
        caller, cut = self.callers[key]
        count, *results = caller(tensors)
        n = ctypes.c_int64.from_address(count.data_ptr()).value
        results = [r[:n] if c else r for r, c in zip(results, cut)]
        return tuple(results) if self.several else results[0]
