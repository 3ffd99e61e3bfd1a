"""Grids and indices: what makes arrays of indices, or walks over them."""
import itertools
import math

from ._array import array_of, asarray, axis_of, cast, give
from ._dtype import dtype
from ._helpers import alike, arange, concatenate, index, k, linspace

# ---- indices as arrays ----


def indices(dimensions, dt, sparse):
    dimensions = tuple(dimensions)
    n = len(dimensions)
    lines = [k.reshape(k.arange(m, dtype=dtype(dt).kiln), [m if i == d else 1 for i in range(n)])
             for d, m in enumerate(dimensions)]
    if sparse:
        return tuple(lines)
    if not n:
        return k.zeros((0,), dtype=dtype(dt).kiln)
    return k.stack([k.broadcast_to(t, dimensions) for t in lines])


def ix_(*args):
    """Open grids: a[ix_(rows, columns)]."""
    r = []
    for d, v in enumerate(args):
        t = asarray(v)
        if t.ndim != 1:
            raise ValueError("Cross index must be 1 dimensional")
        t = asarray(k.where(t)[0]) if t.dtype.kind == "b" else t if t.size else asarray(t, index)
        r.append(array_of(k.reshape(t, [-1 if i == d else 1 for i in range(len(args))])))
    return tuple(r)


def ravel_multi_index(multi_index, dims, mode, order):
    """Where indices stand in the array as one row."""
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    if len(multi_index) != len(dims):
        raise ValueError(f"parameter multi_index must be a sequence of length {len(dims)}")
    modes = (mode,) * len(dims) if isinstance(mode, str) else mode
    r, steps = 0, _steps(dims, order)
    for at, n, how, step in zip(multi_index, dims, modes, steps):
        at = asarray(at)
        if at.dtype.kind not in "iu":
            raise TypeError("only int indices permitted")
        if how == "wrap":
            at = k.remainder(at, n)
        elif how == "clip":
            at = k.clamp(at, 0, n - 1)
        elif bool(k.any(k.logical_or(k.lt(at, 0), k.ge(at, n)))):
            raise ValueError("invalid entry in coordinates array")
        r = r + at * step
    return cast(asarray(r), index)


def _steps(dims, order):
    if order == "F":
        return [math.prod(dims[:d]) for d in range(len(dims))]
    return [math.prod(dims[d + 1:]) for d in range(len(dims))]


def diag_indices_from(arr):
    if arr.ndim < 2:
        raise ValueError("input array must be at least 2-d")
    if len(set(arr.shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    return tuple(k.arange(arr.shape[0]) for _ in arr.shape)


def square(arr):
    """arr, which has two axes."""
    if arr.ndim != 2:
        raise ValueError("input array must be 2-d")
    return arr


# ---- by subscripts ----


class _Grid:
    """np.mgrid[0:3, 0:2] and np.ogrid: a slice an axis; a complex step counts points."""

    def __init__(self, sparse):
        self._sparse = sparse

    def __getitem__(self, key):
        lines = [_line(s) for s in (key if isinstance(key, tuple) else (key,))]
        if not isinstance(key, tuple):
            return array_of(lines[0])
        lines = [k.reshape(t, [-1 if i == d else 1 for i in range(len(lines))])
                 for d, t in enumerate(alike(map(array_of, lines)))]
        if self._sparse:
            return tuple(map(array_of, lines))
        return array_of(k.stack(k.broadcast_tensors(*lines)))


def _line(s):
    start, step = 0 if s.start is None else s.start, 1 if s.step is None else s.step
    if isinstance(step, complex):
        return linspace(start, s.stop, int(abs(step)), True, False, None)
    return arange(start, s.stop, step, None)


class _Join:
    """np.r_[1:4, 0, a] and np.c_: what stands between the commas, joined."""

    def __init__(self, axis, ndmin, first):
        self._options = axis, ndmin, first

    def __getitem__(self, key):
        axis, ndmin, first = self._options
        parts = list(key) if isinstance(key, tuple) else [key]
        if isinstance(parts[0], str):
            text = parts.pop(0)
            if text in ("r", "c"):
                raise NotImplementedError(f"matrix subscripts ({text!r}) are not implemented")
            axis, ndmin, first = [int(v) for v in text.split(",")] + [ndmin, first][
                text.count(","):]
        arrays = [self._part(p, ndmin, first) for p in parts]
        return array_of(concatenate(arrays, axis, None))

    def _part(self, p, ndmin, first):
        t = array_of(_line(p)) if isinstance(p, slice) else asarray(p)
        have = max(t.ndim, 0)
        t = asarray(k.reshape(t, -1)) if not t.ndim else t
        have = max(have, 1)
        spare = ndmin - have
        if spare > 0:
            at = first if first >= 0 else spare + 1 + first
            at = min(max(at, 0), spare)
            t = k.reshape(t, [1] * at + list(t.shape) + [1] * (spare - at))
        return asarray(t)


class _Index:
    """np.s_[1:3, ...]: the index as Python sees it."""

    def __init__(self, always):
        self._always = always

    def __getitem__(self, key):
        return (key,) if self._always and not isinstance(key, tuple) else key


mgrid, ogrid = _Grid(False), _Grid(True)
r_, c_ = _Join(0, 1, -1), _Join(-1, 2, 0)
s_, index_exp = _Index(False), _Index(True)


# ---- walks ----


def ndindex(*shape):
    """All indices of a shape, in order."""
    shape = shape[0] if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
    if any(n < 0 for n in shape):
        raise ValueError("negative dimensions are not allowed")
    return itertools.product(*map(range, shape))


def ndenumerate(arr):
    """Every index with its element."""
    a = asarray(arr)
    return ((at, a[at]) for at in ndindex(a.shape))


def apply_along_axis(func1d, axis, arr, *args, **kwargs):
    """func1d of every row along an axis."""
    a = asarray(arr)
    d = axis_of(axis, a.ndim)
    rows = asarray(k.movedim(a, d, -1))
    if not rows.size:
        raise ValueError("Cannot apply_along_axis when any iteration dimensions are 0")
    outer = rows.shape[:-1]
    flat = asarray(k.reshape(rows, (-1, rows.shape[-1])))
    done = [asarray(func1d(row, *args, **kwargs)) for row in flat]
    r = k.reshape(k.stack(alike(done)), list(outer) + list(done[0].shape))
    inner = done[0].ndim
    for i in range(inner):
        r = k.movedim(r, len(outer) + i, d + i)
    return give(r)


def apply_over_axes(func, a, axes):
    """func along several axes, one after another, which stay as 1."""
    a = r = asarray(a)
    for d in (axes if isinstance(axes, (tuple, list)) else (axes,)):
        d = axis_of(d, a.ndim)
        new = asarray(func(r, d))
        if new.ndim == r.ndim - 1:
            new = asarray(k.unsqueeze(new, d))
        if new.ndim != r.ndim:
            raise ValueError("function is not returning an array of the correct shape")
        r = new
    return r


class vectorize:
    """A function of numbers as one of arrays; a loop in Python."""

    def __init__(self, pyfunc, otypes=None, doc=None, excluded=None, cache=False, signature=None):
        if signature is not None or excluded:
            raise NotImplementedError("vectorize(): signature and excluded are not implemented")
        self.pyfunc, self.otypes = pyfunc, otypes
        self.__name__ = getattr(pyfunc, "__name__", "vectorize")
        self.__doc__ = doc or pyfunc.__doc__

    def __call__(self, *args):
        arrays = k.broadcast_tensors(*map(asarray, args))
        shape = list(arrays[0].shape)
        rows = [asarray(k.reshape(t, -1)) for t in arrays]
        if not rows[0].size and self.otypes is None:
            raise ValueError("cannot call `vectorize` on size 0 inputs unless `otypes` is set")
        done = [self.pyfunc(*vs) for vs in zip(*rows)]
        several = bool(done) and isinstance(done[0], tuple)
        columns = list(zip(*done)) if several else [done]
        kinds = self.otypes or [None] * len(columns)
        r = tuple(give(k.reshape(asarray(list(c), d), shape)) for c, d in zip(columns, kinds))
        return r if several else r[0]


def fromfunction(function, shape, *, dtype=float, **kwargs):
    """A function of the indices."""
    return function(*map(array_of, indices(shape, dtype, False)), **kwargs)


def fromiter(iter, dtype, count=-1):
    """An array of what an iterator gives."""
    values = list(itertools.islice(iter, count) if count >= 0 else iter)
    if len(values) < count:
        raise ValueError(f"iterator too short: Expected {count} but iterator had only "
                         f"{len(values)} items.")
    return asarray(values, dtype)


def mask_indices(n, mask_func, k=0):
    """Where mask_func keeps the elements of an n by n array."""
    from ._helpers import k as fns
    ones = array_of(fns.ones((n, n), dtype=index.kiln))
    return tuple(map(array_of, fns.where(fns.ne(mask_func(ones, k), 0))))
