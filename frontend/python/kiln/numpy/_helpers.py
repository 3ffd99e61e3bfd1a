"""What the table's expressions say beside kiln's own functions: NumPy's defaults and argument
forms where they differ."""
import collections
import math
import types

import kiln

from .. import _kiln
from ._array import array_of, asarray, axes_of, axis_of, cast, give, ndarray
from ._dtype import WEAK, dtype, meet, real_of

k = types.SimpleNamespace(**_kiln._functions["torch"])
fft = types.SimpleNamespace(**_kiln._functions["fft"])
linalg = types.SimpleNamespace(**_kiln._functions["linalg"])
truth, index = dtype("bool"), dtype("int64")


class whole(tuple):
    """A result that stays an array without dimensions too."""

    def __new__(cls, t):
        return tuple.__new__(cls, (t,))


def finish(r, out=None):
    """A function's result, written to out where there is one."""
    if out is not None:
        out = out[0] if isinstance(out, tuple) else out
        out[...] = asarray(r[0] if isinstance(r, whole) else r)
        return out
    return array_of(r[0]) if type(r) is whole else give(r)


# ---- dtypes ----


def real(dt):
    return dtype(dt).kiln


def like(a, dt):
    return (a.dtype if dt is None else dtype(dt)).kiln


def wide(a, dt):
    """In which dtype a is summed: integers in 64 bits."""
    if dt is not None:
        return dtype(dt)
    d = a.dtype
    return dtype("uint64" if d.kind == "u" else "int64") if d.order < 2 else d


def quotient(a, dt):
    """In which dtype a is averaged: integers as float64."""
    return dtype(dt) if dt is not None else dtype("float64") if a.dtype.order < 2 else a.dtype


def alike(arrays, dt=None):
    """Arrays of one dtype."""
    arrays = [asarray(a) for a in arrays]
    if not arrays:
        raise ValueError("need at least one array to concatenate")
    d = dtype(dt) if dt is not None else meet([a.dtype for a in arrays], ())
    return [asarray(a, d) for a in arrays]


# ---- new arrays ----


def like_shape(a, shape):
    return a.shape if shape is None else shape


def full(shape, value, dt):
    value = asarray(value)
    t = cast(value, value.dtype if dt is None else dtype(dt))
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    return k.broadcast_to(t, shape).contiguous().clone()


def eye(n, m, diagonal, dt):
    m = n if m is None else m
    if diagonal == 0:
        return k.eye(n, m, dtype=dt)
    rows, columns = k.arange(n).unsqueeze(1), k.arange(m)
    return (columns - rows == diagonal).to(dt)


def tri(n, m, diagonal, dt):
    m = n if m is None else m
    return (k.arange(m) <= k.arange(n).unsqueeze(1) + diagonal).to(dt)


def arange(args, dt, start=None, stop=None, step=None):
    args = list(args) + [None] * (3 - len(args))
    if args[1] is None and stop is None and start is None:
        args = [0, args[0], args[2]]
    first, last, step = (v if w is None else w for v, w in zip(args, (start, stop, step)))
    numbers = [v.item() if isinstance(v, ndarray) else v for v in (first or 0, last, step)
               if v is not None]
    step = 1 if step is None else step
    d = dtype(dt) if dt is not None else meet((), map(type, numbers))
    count = max(math.ceil((last - (first or 0)) / step), 0)
    if d.order == 1 or d.order == 0:
        return (k.arange(count) * int(step) + int(first or 0)).to(d.kiln)
    return (k.arange(count, dtype=_kiln.float64) * float(step) + float(first or 0)).to(d.kiln)


def linspace(start, stop, count, endpoint, with_step, dt):
    a, b = asarray(start), asarray(stop)
    d = dtype(dt) if dt is not None else real_of(meet([a.dtype, b.dtype, dtype("float64")], ()))
    work = d if d.order >= 2 else dtype("float64")
    parts = count - 1 if endpoint else count
    a, b = cast(a, work), cast(b, work)
    step = (b - a) / parts if parts > 0 else b * math.nan
    at = k.arange(count, dtype=work.kiln).reshape([-1] + [1] * max(a.dim(), b.dim()))
    r = at * step + a if parts > 0 else at * a + a
    if endpoint and count > 1:
        r = k.where(at == parts, b, r)
    r = k.floor(r) if d.order == 1 else r
    return (r.to(d.kiln), step) if with_step else r.to(d.kiln)


def logspace(start, stop, count, endpoint, base, dt):
    r = k.pow(float(base), linspace(start, stop, count, endpoint, False, None))
    return r if dt is None else r.to(dtype(dt).kiln)


# ---- sums and their like ----


def fold(fn, a, axis, keepdims, dt):
    """fn over axes of a as dt."""
    t = cast(a, dt)
    if t.dim() == 0:
        if fn is k.mean or axis not in (0, -1):  # which NumPy takes for a number's
            axes_of(axis, 0)
        return t if axis == () else fn(t)
    axes = axes_of(axis, t.dim())
    return fn(t, axes, keepdims) if axes else t


def each_axis(fn):
    """A function over one dimension as one over several."""
    def over(t, axes=None, keepdims=False):
        if axes is None:
            return fn(t)
        for d in sorted(axes, reverse=True):
            t = fn(t, d, keepdims)
        return t

    return over


def spread(a, axis, dt, ddof, correction, keepdims):
    ddof = ddof if correction is None else correction
    t = cast(a, dt)
    axes = axes_of(axis, t.dim())
    count = math.prod(t.shape[d] for d in axes)
    middle = k.mean(t, axes, True) if axes else t
    apart = t - middle
    square = k.square(k.abs(apart)) if dt.kind == "c" else apart * apart
    total = k.sum(square, axes, keepdims) if axes else square
    return total / max(count - ddof, 0)


def extreme(name, fn, a, axis, keepdims):
    if a.size == 0 and any(a.shape[d] == 0 for d in axes_of(axis, a.ndim)):
        raise ValueError(f"zero-size array to reduction operation {name} which has no identity")
    return fold(fn, a, axis, keepdims, a.dtype)


def filled(a, value):
    """value in place of NaN."""
    return a if a.dtype.order < 2 else k.where(k.isnan(a), asarray(value, a.dtype), a)


def nan_extreme(fn, a, axis, keepdims, least):
    if a.dtype.order < 2:
        return extreme("maximum" if least < 0 else "minimum", fn, a, axis, keepdims)
    r = fold(fn, filled(a, least), axis, keepdims, a.dtype)
    empty = fold(k.all, k.isnan(a), axis, keepdims, truth)
    return k.where(empty, asarray(math.nan, a.dtype), r)


def place(fn, a, axis, keepdims):
    if a.size == 0 and (axis is None or not a.ndim or a.shape[axis_of(axis, a.ndim)] == 0):
        raise ValueError(f"attempt to get {fn.__name__} of an empty sequence")
    t = cast(a, dtype("uint8")) if a.dtype.kind == "b" else a
    if axis is not None and (a.ndim or axis not in (0, -1)):
        return fn(t, axis_of(axis, a.ndim), keepdims)
    r = fn(k.reshape(t, -1), 0)
    return k.reshape(r, [1] * a.ndim) if keepdims else r


def in_one(t, axis):
    """The axes as one, the last; the shape without them and with them as 1."""
    axes = axes_of(axis, t.dim())
    rest = [d for d in range(t.dim()) if d not in axes]
    kept = [1 if d in axes else t.shape[d] for d in range(t.dim())]
    left = [t.shape[d] for d in rest]
    t = k.permute(t, rest + axes) if t.dim() else t
    return k.reshape(t, left + [math.prod(t.shape[len(rest):])]), left, kept


def median(a, axis, keepdims):
    t, left, kept = in_one(cast(a, quotient(a, None)), axis)
    return k.reshape(_middle(t, t.dim() - 1), kept if keepdims else left)


def quantile(a, q, axis, keepdims):
    t, left, kept = in_one(cast(a, quotient(a, None)), axis)
    d, n, q = t.dim() - 1, t.shape[-1], asarray(q)
    if bool(k.any(k.logical_or(q < 0, q > 1))):
        raise ValueError("Quantiles must be in the range [0, 1]")
    s = k.sort(t, d)[0]
    at = cast(k.reshape(q, -1), dtype("float64")) * (n - 1)
    low = k.floor(at)
    first = k.index_select(s, d, low.to(_kiln.int64))
    second = k.index_select(s, d, k.ceil(at).to(_kiln.int64))
    last = s.narrow(d, n - 1, 1)  # NaN where there is one
    part, apart = (at - low).to(s.dtype), second - first
    r = k.where(part >= 0.5, second - apart * (1 - part), first + apart * part)
    r = k.movedim(k.where(k.isnan(last), last, r), d, 0)
    return k.reshape(r, list(q.shape) + (kept if keepdims else left))


def polyval(p, x):
    p, x = asarray(p), asarray(x)
    r = k.zeros_like(cast(x, meet([p.dtype, x.dtype], ())))
    for c in p:
        r = r * x + c
    return r


def _middle(t, d):
    n = t.shape[d]
    if n == 0:
        return k.mean(t, d, True)
    s = k.sort(t, d)[0]
    low, high = s.narrow(d, (n - 1) // 2, 1), s.narrow(d, n // 2, 1)
    last = s.narrow(d, n - 1, 1)  # NaN where there is one
    return k.where(k.isnan(last), last, low if n % 2 else (low + high) / 2)


def average(a, axis, weights, keepdims):
    t = cast(a, quotient(a, None))
    if weights is None:
        return fold(k.mean, t, axis, keepdims, quotient(a, None))
    w = asarray(weights)
    t, w = alike((array_of(t), w))
    if w.dim() == 1 and t.dim() > 1:
        w = k.reshape(w, [-1 if d == axis_of(axis, t.dim()) else 1 for d in range(t.dim())])
    axes = axes_of(axis, t.dim())
    w = k.broadcast_to(w, t.shape)
    return k.sum(t * w, axes, keepdims) / k.sum(w, axes, keepdims)


def along(fn, t, axis):
    if axis is None or t.dim() == 0 and axis in (0, -1):
        return fn(k.reshape(t, -1), 0)
    return fn(t, axis_of(axis, t.dim()))


def trapezoid(y, x, dx, axis):
    t = cast(y, quotient(y, None))
    d = axis_of(axis, t.dim())
    n = t.shape[d]
    both = t.narrow(d, 1, n - 1) + t.narrow(d, 0, n - 1)
    if x is not None:
        x = asarray(x)
        dx = k.diff(x, 1, -1)
        if x.dim() == 1:
            dx = k.reshape(dx, [-1 if i == d else 1 for i in range(t.dim())])
    return k.sum(both * dx / 2, d)


def rows(m, rowvar):
    t = cast(m, quotient(m, None))
    return t if rowvar or t.dim() < 2 else k.transpose(t, 0, 1)


def cov(m, rowvar, ddof):
    return k.cov(rows(m, rowvar), correction=ddof)


# ---- order ----


def ordered(fn, a, axis):
    if axis is None:
        a, axis = k.reshape(a, -1), 0
    elif a.ndim == 0:
        axis_of(axis, 0)
    return tuple(fn(a, axis_of(axis, a.dim()), stable=True))


def search(a, v, side, sorter):
    a, v = alike((a, v))
    return k.searchsorted(a, v, side=side, sorter=None if sorter is None else asarray(sorter))


def unique(ar, first, inverse, counts):
    values, back, count = k.unique(ar, True, True, True)
    if not (first or inverse or counts):
        return values
    order = k.argsort(k.reshape(back, -1), 0, stable=True)
    starts = k.cumsum(count, 0) - count
    return ((values,) + ((order[starts],) if first else ()) + ((k.reshape(back, ar.shape),)
            if inverse else ()) + ((count,) if counts else ()))


# ---- shapes ----


def reshape(a, shape, order):
    shape = [shape] if isinstance(shape, int) else list(shape)
    if -1 not in shape and math.prod(shape) != a.size:
        raise ValueError(f"cannot reshape array of size {a.size} into shape "
                         f"{str(tuple(shape)).replace(' ', '')}")
    if order != "F":
        return k.reshape(a, shape)
    t = k.reshape(k.permute(a, tuple(range(a.ndim))[::-1]) if a.ndim else a, shape[::-1])
    return k.permute(t, tuple(range(len(shape)))[::-1])


def rollaxis(a, axis, start):
    axis = axis_of(axis, a.ndim)
    start = start + a.ndim if start < 0 else start
    return k.movedim(a, axis, start - (axis < start))


def expand_dims(a, axis):
    axes = axis if isinstance(axis, (tuple, list)) else (axis,)
    for d in sorted(axes_of(tuple(axes), a.ndim + len(axes))):
        a = k.unsqueeze(a, d)
    return a


def squeeze(a, axis):
    if axis is None:
        return k.squeeze(a)
    axes = axes_of(axis, a.ndim)
    if any(a.shape[d] != 1 for d in axes):
        raise ValueError("cannot select an axis to squeeze out which has size not equal to one")
    return k.squeeze(a, axes) if axes else a


def repeat(a, repeats, axis):
    if axis is None:
        a, axis = k.reshape(a, -1), 0
    axis = axis_of(axis, a.dim())
    if not isinstance(repeats, int):
        repeats = asarray(repeats)
        repeats = repeats.item() if repeats.size == 1 else repeats
    return k.repeat_interleave(a, repeats, axis)


# ---- joining and parting ----


def concatenate(arrays, axis, dt):
    arrays = alike(arrays, dt)
    if axis is None:
        return k.cat([k.reshape(t, -1) for t in arrays], 0)
    if any(t.dim() == 0 for t in arrays):
        raise ValueError("zero-dimensional arrays cannot be concatenated")
    axis = axis_of(axis, arrays[0].dim())
    for i, t in enumerate(arrays):
        _check_joined(arrays[0], t, i, axis)
    return k.cat(arrays, axis)


def _check_joined(first, t, i, axis):
    if t.dim() != first.dim():
        raise ValueError(
            "all the input arrays must have same number of dimensions, but the array at index 0 "
            f"has {first.dim()} dimension(s) and the array at index {i} has {t.dim()} dimension(s)")
    for d in range(t.dim()):
        if d != axis and t.shape[d] != first.shape[d]:
            raise ValueError(
                "all the input array dimensions except for the concatenation axis must match "
                f"exactly, but along dimension {d}, the array at index 0 has size "
                f"{first.shape[d]} and the array at index {i} has size {t.shape[d]}")


def stack(arrays, axis, dt):
    arrays = alike(arrays, dt)
    if any(tuple(t.shape) != tuple(arrays[0].shape) for t in arrays):
        raise ValueError("all input arrays must have the same shape")
    return k.stack(arrays, axis_of(axis, arrays[0].dim() + 1))


def append(a, values, axis):
    if axis is None:
        return k.cat([k.reshape(t, -1) for t in alike((a, values))], 0)
    return concatenate((a, values), axis, None)


def split(a, at, axis, even):
    axis = axis_of(axis, a.ndim)
    if isinstance(at, int) and even and a.shape[axis] % at:
        raise ValueError("array split does not result in an equal division")
    return list(k.tensor_split(a, at if isinstance(at, int) else list(at), axis))


# ---- choosing ----


def where(condition, x, y):
    if x is None and y is None:
        return tuple(k.where(condition))
    x, y = _operands(x, y)
    return k.where(cast(condition, truth), x, y)


def _operands(*values):
    """Operands as tensors of the dtype they meet in."""
    arrays = [v if type(v) in WEAK else asarray(v) for v in values]
    d = meet([v.dtype for v in arrays if isinstance(v, ndarray)],
             [type(v) for v in arrays if type(v) in WEAK])
    return [asarray(v, d) if type(v) in WEAK else cast(v, d) for v in arrays]


def clip(a, low, high):
    given = [v for v in (low, high) if v is not None]
    t, *bounds = _operands(a, *given)
    if low is not None:
        t = k.maximum(t, bounds[0])
    return t if high is None else k.minimum(t, bounds[-1])


def take(a, indices, axis):
    if axis is None:
        a, axis = k.reshape(a, -1), 0
    axis = axis_of(axis, a.dim())
    n = a.shape[axis]
    at = k.reshape(indices, -1)
    at = k.where(at < 0, at + n, at)
    r = k.index_select(a, axis, at)
    return k.reshape(r, list(a.shape[:axis]) + list(indices.shape) + list(a.shape[axis + 1:]))


def rounded(a, decimals):
    if a.dtype.order < 2 and decimals >= 0:
        return cast(a, dtype("float16")) if a.dtype.kind == "b" else a
    if decimals == 0 and a.dtype.kind != "c":
        return k.round(a)
    if a.dtype.kind == "c":
        return k.complex(rounded(a.real, decimals), rounded(a.imag, decimals))
    power = 10.0 ** abs(decimals)
    t = cast(a, quotient(a, None))
    r = k.round(t * power) / power if decimals > 0 else k.round(t / power) * power
    return cast(r, a.dtype)


def close(a, b, rtol, atol, equal_nan):
    a, b = alike((a, b))
    if a.dtype.order < 2:
        a, b = a.astype("float64"), b.astype("float64")
    near = k.abs(a - b) <= atol + rtol * k.abs(b)
    r = k.logical_or(k.logical_and(near, k.isfinite(b)), a == b)
    return k.logical_or(r, k.logical_and(k.isnan(a), k.isnan(b))) if equal_nan else r


def same(a, b, equal_nan):
    if a.shape != b.shape:
        return False
    a, b = alike((a, b))
    r = k.eq(a, b)
    return bool(k.all(k.logical_or(r, k.logical_and(k.isnan(a), k.isnan(b))) if equal_nan else r))


def angle(a, deg):
    if a.dtype.kind == "c":
        r = k.atan2(k.imag(a), k.real(a))
    else:
        t = cast(a, quotient(a, None))
        r = k.atan2(k.zeros_like(t), t)
    return r * (180 / math.pi) if deg else r


# ---- products ----


def matmul(a, b):
    a, b = alike((a, b))
    if a.ndim == 0 or b.ndim == 0:
        raise ValueError("matmul: Input operand does not have enough dimensions")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc "
            f"signature (n?,k),(k,m?)->(n?,m?) (size {b.shape[-2 if b.ndim > 1 else 0]} is "
            f"different from {a.shape[-1]})")
    if a.dtype.kind == "b":
        return k.ne(k.matmul(cast(a, index), cast(b, index)), 0)
    return k.matmul(a, b)


def dot(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return k.mul(*alike((a, b)))
    if a.ndim <= 2 and b.ndim <= 2 or b.ndim == 1:
        return matmul(a, b)
    return kiln.tensordot(*alike((a, b)), ([a.ndim - 1], [b.ndim - 2]))


def inner(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return k.mul(*alike((a, b)))
    return kiln.tensordot(*alike((a, b)), ([a.ndim - 1], [b.ndim - 1]))


def einsum(operands):
    if not isinstance(operands[0], str):
        arrays = alike(operands[0:len(operands) // 2 * 2:2])
        labels = list(operands[1:len(operands) // 2 * 2:2])
        flat = [v for pair in zip(arrays, labels) for v in pair]
        return kiln.einsum(*flat, *operands[len(flat):])
    return kiln.einsum(operands[0].replace(" ", ""), *alike(operands[1:]))


def multi_dot(arrays):
    r = arrays[0]
    for a in arrays[1:]:
        r = k.matmul(r, a)
    return r


def norm(x, ord, axis, keepdims):
    t = cast(x, quotient(x, None))
    if axis is None and (ord is None or t.dim() == 1):
        flat = k.norm(k.reshape(t, -1), 2.0 if ord is None else float(ord))
        return k.reshape(flat, [1] * t.dim()) if keepdims else flat
    axes = axes_of(axis, t.dim())
    if len(axes) == 1:
        return k.norm(t, 2.0 if ord is None else float(ord), axes, keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    return _matrix_norm(t, ord, axes, keepdims)


def _matrix_norm(t, ord, axes, keepdims):
    if ord is None or ord == "fro":
        return k.norm(t, 2.0, axes, keepdims)
    return linalg.matrix_norm(t, ord if isinstance(ord, str) else float(ord), axes, keepdims)


# ---- decompositions ----


class LinAlgError(ValueError):
    """A matrix that has no answer."""


def full_precision(a):
    """a as the dtype in which it is decomposed: integers as float64."""
    return cast(a, quotient(a, None))


def solved(fn, *args, **kwargs):
    """fn's result, or NumPy's error where the matrix has none."""
    try:
        r = fn(*args, **kwargs)
        return r.realize() if hasattr(r, "realize") else r
    except RuntimeError as e:
        raise LinAlgError("Matrix is not positive definite" if "cholesky" in str(e)
                          else "Singular matrix" if "singular" in str(e) else str(e)) from None


def named(name, fields, fn, *args):
    """Several results by name."""
    return collections.namedtuple(name, fields)._make(fn(*args))


def qr(a, mode):
    if mode == "r":
        return linalg.qr(full_precision(a), mode="r")[1]
    return named("QRResult", "Q R", linalg.qr, full_precision(a), mode)


def svd(a, full_matrices, vectors):
    if not vectors:
        return linalg.svdvals(full_precision(a))
    return named("SVDResult", "U S Vh", linalg.svd, full_precision(a), bool(full_matrices))


def eig(a):
    r = named("EigResult", "eigenvalues eigenvectors", linalg.eig, full_precision(a))
    if a.dtype.kind != "c" and not bool(k.any(k.ne(k.imag(r[0]), 0))):
        r = r._make(k.real(v) for v in r)
    return r


def lstsq(a, b, rcond):
    a, b = map(full_precision, alike((a, b)))
    columns = b if b.dim() > 1 else k.unsqueeze(b, 1)
    x, _, rank, s = linalg.lstsq(a, columns, rcond=rcond, driver="gelsd")
    m, n = a.shape
    rest = k.matmul(a, x) - columns
    over = k.sum(k.square(k.abs(rest)), [0]) if m > n == rank.item() else \
        k.zeros(0, dtype=s.dtype)
    return (x if b.dim() > 1 else k.squeeze(x, 1)), over, rank.to(_kiln.int32), s
