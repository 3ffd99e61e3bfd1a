"""What the table's expressions say beside kiln's own functions: NumPy's defaults and argument
forms where they differ."""
import math
import types

import kiln  # noqa: F401  the table names it

from .. import _kiln
from ._array import array_of, asarray, axes_of, axis_of, cast, give, ndarray
from ._dtype import WEAK, can_cast, dtype, meet, real_of
from ._numbers import beside

k = types.SimpleNamespace(**_kiln._functions["torch"])
fft = types.SimpleNamespace(**_kiln._functions["fft"])
linalg = types.SimpleNamespace(**_kiln._functions["linalg"])
truth, index = dtype("bool"), dtype("int64")
NO_IDENTITY = ("reduction operation '{}' does not have an identity, so to use a where mask one has "
               "to specify 'initial'")


class whole(tuple):
    """A result, or a tuple of some, that stays an array without dimensions too."""

    def __new__(cls, t):
        return tuple.__new__(cls, (t,))


def finish(r, out=None):
    """A function's result, written to out where there is one."""
    if out is not None:
        out = out[0] if isinstance(out, tuple) else out
        out[...] = asarray(r[0] if isinstance(r, whole) else r)
        return out
    if type(r) is not whole:
        return give(r)
    return tuple(map(array_of, r[0])) if isinstance(r[0], tuple) else array_of(r[0])


def stored(name, r, out, where, casting):
    """An elementwise result where where says so: in out, which keeps the rest, or new, 0 the rest."""
    mask = None if where is True else asarray(where)
    if mask is not None and mask.dtype.kind != "b":
        if not can_cast(mask.dtype, truth):
            raise TypeError(f"Cannot cast array data from {mask.dtype!r} to dtype('bool') according "
                            "to the rule 'safe'")
    r = array_of(r)
    if out is None:
        return give(k.where(mask, r, k.zeros((), dtype=r.dtype.kiln)))
    out = out[0] if isinstance(out, tuple) else out
    if not can_cast(r.dtype, out.dtype, casting):
        raise TypeError(f"Cannot cast ufunc '{name}' output from {r.dtype!r} to {out.dtype!r} with "
                        f"casting rule '{casting}'")
    shape = broadcast_shapes(r.shape, () if mask is None else mask.shape)
    if broadcast_shapes(shape, out.shape) != out.shape:
        raise ValueError("non-broadcastable output operand with shape "
                         f"{_text(out.shape)} doesn't match the broadcast shape {_text(shape)}")
    out[...] = r if mask is None else k.where(mask, cast(r, out.dtype), out)
    return out


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


def alike(arrays, dt=None, casting="unsafe"):
    """Arrays of one dtype, to which casting lets each be cast."""
    arrays = [asarray(a) for a in arrays]
    if not arrays:
        raise ValueError("need at least one array to concatenate")
    d = dtype(dt) if dt is not None else meet([a.dtype for a in arrays], ())
    for a in arrays:
        if not can_cast(a.dtype, d, casting):
            raise TypeError(f"Cannot cast array data from {a.dtype!r} to {d!r} according to the "
                            f"rule '{casting}'")
    return [asarray(a, d) for a in arrays]


# ---- new arrays ----


def like_shape(a, shape):
    return a.shape if shape is None else shape


def on(t, device):
    """t, on a device where one is named."""
    if device is None or isinstance(t, tuple):
        return t
    return array_of(t).to_device(device)


def place_of(a, device):
    return _where_of(a) if device is None else device


_where_of = _kiln.Tensor.device.__get__


def full(shape, value, dt):
    t = asarray(value, dt)
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


def arange(start, stop, step, dt):
    if start is None and stop is None:
        raise TypeError("arange() requires stop to be specified.")
    first, last = (0, start) if stop is None else (start, stop)
    numbers = [v.item() if isinstance(v, ndarray) else v for v in (first or 0, last, step)
               if v is not None]
    step = 1 if step is None else step
    d = dtype(dt) if dt is not None else meet((), map(type, numbers))
    count = max(math.ceil((last - (first or 0)) / step), 0)
    if d.order == 1 or d.order == 0:
        return (k.arange(count) * int(step) + int(first or 0)).to(d.kiln)
    return (k.arange(count, dtype=_kiln.float64) * float(step) + float(first or 0)).to(d.kiln)


def linspace(start, stop, count, endpoint, with_step, dt, axis=0):
    if count < 0:
        raise ValueError(f"Number of samples, {count}, must be non-negative.")
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
    r = k.movedim(r, 0, axis).to(d.kiln) if axis else r.to(d.kiln)
    return (r, step) if with_step else r


def logspace(start, stop, count, endpoint, base, dt, axis):
    r = k.pow(float(base), linspace(start, stop, count, endpoint, False, None, axis))
    return r if dt is None else r.to(dtype(dt).kiln)


def geomspace(start, stop, count, endpoint, dt, axis):
    """Numbers whose quotients are equal."""
    a, b = asarray(start), asarray(stop)
    if bool(k.any(k.eq(a, 0))) or bool(k.any(k.eq(b, 0))):
        raise ValueError("Geometric sequence cannot include zero")
    d = meet([a.dtype, b.dtype, dtype("float64")], ())
    a, b = asarray(a, d), asarray(b, d)
    turn = k.sgn(a)
    a, b = a / turn, b / turn
    logs = linspace(array_of(k.log10(a)), array_of(k.log10(b)), count, endpoint, False, None)
    r = k.pow(10.0, logs)
    at = k.reshape(k.arange(count), [-1] + [1] * (r.dim() - 1))
    r = k.where(k.eq(at, 0), a, r)
    r = (k.where(k.eq(at, count - 1), b, r) if endpoint and count > 1 else r) * turn
    r = k.movedim(r, 0, axis) if axis else r
    return r if dt is None else cast(array_of(r), dtype(dt))


# ---- sums and their like ----


def fold(fn, a, axis, keepdims, dt):
    """fn over axes of a as dt."""
    t = cast(a, dt)
    if t.dim() == 0:
        if fn is k.mean or axis not in (0, -1):  # which NumPy takes for a number's
            axes_of(axis, 0)
        return t if axis == () else as_summed(fn(t), dt)
    axes = axes_of(axis, t.dim())
    return as_summed(fn(t, axes, keepdims), dt) if axes else t


def as_summed(t, dt):
    """A sum of dt's; kiln sums all integers as int64, whose low bits are the narrower sum's."""
    return cast(t, dt) if dt.order < 2 else t


def kept(a, where, neutral):
    """a, and where where does not say so what changes no sum."""
    if where is True:
        return a
    mask = asarray(where)
    if mask.ndim > a.ndim:
        raise ValueError("input operand has more dimensions than allowed by the axis remapping")
    return asarray(k.where(cast(mask, truth), a, asarray(neutral, a.dtype)))


def begun(fn, t, initial):
    """A fold that began with initial."""
    return t if initial is None else fn(t, cast(asarray(initial), dtype(t.dtype)))


def mean(a, axis, keepdims, dt, where=True):
    if where is True:
        return fold(k.mean, a, axis, keepdims, dt)
    return fold(k.sum, kept(a, where, 0), axis, keepdims, dt) / counted(a, where, axis, keepdims)


def counted(a, where, axis, keepdims):
    """Of how many elements a fold is."""
    mask = kept(asarray(k.ones(a.shape, dtype=_kiln.bool)), where, False)
    return fold(k.sum, mask, axis, keepdims, index)


def each_axis(fn):
    """A function over one dimension as one over several."""
    def over(t, axes=None, keepdims=False):
        if axes is None:
            return fn(t)
        for d in sorted(axes, reverse=True):
            t = fn(t, d, keepdims)
        return t

    return over


def spread(a, axis, dt, ddof, correction, keepdims, where=True, middle=None):
    ddof = ddof if correction is None else correction
    t = array_of(cast(a, dt))
    axes = axes_of(axis, t.dim())
    middle = mean(t, tuple(axes), True, dt, where) if middle is None else cast(asarray(middle), dt)
    apart = t - middle if axes or where is not True else t - t
    square = k.square(k.abs(apart)) if dt.kind == "c" else apart * apart
    square = kept(asarray(square), where, 0)
    total = k.sum(square, axes, keepdims) if axes else square
    if where is not True:
        return total / k.clamp(counted(t, where, axis, keepdims) - ddof, 0)
    return total / max(math.prod(t.shape[d] for d in axes) - ddof, 0)


def extreme(name, fn, a, axis, keepdims, initial=None, where=True):
    if where is not True:
        if initial is None:
            raise ValueError(NO_IDENTITY.format(name))
        a = kept(a, where, initial)
    if a.size == 0 and any(a.shape[d] == 0 for d in axes_of(axis, a.ndim)):
        if initial is None:
            raise ValueError(f"zero-size array to reduction operation {name} which has no identity")
        axes = axes_of(axis, a.ndim)
        shape = [1 if d in axes else n for d, n in enumerate(a.shape) if keepdims or d not in axes]
        return k.broadcast_to(asarray(initial, a.dtype), shape).clone()
    return begun(getattr(k, name), fold(fn, a, axis, keepdims, a.dtype), initial)


def filled(a, value):
    """value in place of NaN."""
    return a if a.dtype.order < 2 else asarray(k.where(k.isnan(a), asarray(value, a.dtype), a))


def nan_extreme(fn, a, axis, keepdims, least, initial=None, where=True):
    name = "maximum" if least < 0 else "minimum"
    if where is not True and initial is None:
        raise ValueError(NO_IDENTITY.format("f" + name[:3]))
    if a.dtype.order < 2 or not a.size:
        return extreme(name, fn, a, axis, keepdims, initial, where)
    r = fold(fn, kept(filled(a, least), where, least), axis, keepdims, a.dtype)
    if initial is not None:
        return begun(getattr(k, name), r, initial)
    empty = fold(k.all, k.isnan(a), axis, keepdims, truth)
    return k.where(empty, asarray(math.nan, a.dtype), r)


def present(a, where):
    """where, of what is not NaN."""
    if a.dtype.order < 2:
        return where
    there = k.logical_not(k.isnan(a))
    return there if where is True else k.logical_and(there, cast(asarray(where), truth))


def nan_spread(a, axis, dt, ddof, correction, keepdims, where, middle):
    if a.dtype.order < 2:
        return spread(a, axis, quotient(a, dt), ddof, correction, keepdims, where, middle)
    d = quotient(a, dt)
    there, ddof = present(a, where), ddof if correction is None else correction
    r = spread(filled(a, 0), axis, d, ddof, None, keepdims, there, middle)
    enough = counted(a, there, axis, keepdims) > ddof
    return k.where(enough, r, k.full_like(r, math.nan))


def place(fn, a, axis, keepdims):
    if a.size == 0 and (axis is None or not a.ndim or a.shape[axis_of(axis, a.ndim)] == 0):
        raise ValueError(f"attempt to get {fn.__name__} of an empty sequence")
    t = cast(a, dtype("uint8")) if a.dtype.kind == "b" else a
    if axis is not None and (a.ndim or axis not in (0, -1)):
        return fn(t, axis_of(axis, a.ndim), keepdims)
    r = fn(k.reshape(t, -1), 0)
    return k.reshape(r, [1] * a.ndim) if keepdims else r


def nan_place(fn, a, axis, keepdims, least):
    """Where the extreme is that is not NaN."""
    if a.dtype.kind in "fc" and bool(k.any(fold(k.all, k.isnan(a), axis, False, truth))):
        raise ValueError("All-NaN slice encountered")
    return place(fn, filled(a, least), axis, keepdims)


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


def average(a, axis, weights, returned, keepdims):
    t = cast(a, quotient(a, None))
    if weights is None:
        r = fold(k.mean, t, axis, keepdims, quotient(a, None))
        return (r, k.full_like(r, t.numel() / max(r.numel(), 1))) if returned else r
    w = asarray(weights)
    t, w = alike((array_of(t), w))
    if w.dim() == 1 and t.dim() > 1:
        w = k.reshape(w, [-1 if d == axis_of(axis, t.dim()) else 1 for d in range(t.dim())])
    axes = axes_of(axis, t.dim())
    w = k.broadcast_to(w, t.shape)
    all_ = k.sum(w, axes, keepdims)
    if bool(k.any(all_ == 0)):
        raise ZeroDivisionError("Weights sum to zero, can't be normalized")
    r = k.sum(t * w, axes, keepdims) / all_
    return (r, all_) if returned else r


def along(fn, t, axis, dt):
    t = cast(t, dt)
    if axis is None or t.dim() == 0 and axis in (0, -1):
        return as_summed(fn(k.reshape(t, -1), 0), dt)
    return as_summed(fn(t, axis_of(axis, t.dim())), dt)


def cross(a, b, axis):
    """Of vectors of three numbers, or of two, which lie in a plane."""
    n, m = a.shape[axis], b.shape[axis]
    if not {n, m} <= {2, 3}:
        raise ValueError("incompatible dimensions for cross product\n(dimension must be 2 or 3)")
    if n == m == 2:
        (x, y), (u, v) = (k.unbind(t, axis) for t in (a, b))
        return x * v - y * u
    flat = [t if t.shape[axis] == 3 else k.cat([t, k.zeros_like(t.narrow(axis, 0, 1))], axis)
            for t in (a, b)]
    return k.cross(*flat, axis)


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


def both_rows(m, y, rowvar):
    """The variables of m, and below them those of y; float64, or complex128."""
    parts = [array_of(rows(asarray(v), rowvar)) for v in (m, y) if v is not None]
    d = meet([dtype("float64")] + [p.dtype for p in parts], ())
    parts = [asarray(p, d) for p in parts]
    return parts[0] if y is None else k.cat([k.atleast_2d(v) for v in parts], 0)


def cov(m, y, rowvar, ddof, fweights, aweights):
    weights = {"fweights": fweights, "aweights": aweights}
    return k.cov(both_rows(m, y, rowvar), correction=ddof, **{
        n: asarray(w) for n, w in weights.items() if w is not None})


def diff(a, n, axis, before, after):
    if n < 0:
        raise ValueError(f"order must be non-negative but got {n}")
    if not n:
        return a
    if a.ndim == 0:
        raise ValueError("diff requires input that is at least one dimensional")
    d = axis_of(axis, a.ndim)
    parts = [v if v is None else asarray(v) for v in (before, a, after)]
    shape = [1 if i == d else m for i, m in enumerate(a.shape)]
    parts = [array_of(k.broadcast_to(v, shape)) if v.ndim == 0 else v for v in parts if v is not None]
    t = concatenate(parts, d, None) if len(parts) > 1 else a
    return k.diff(t, n, d)


def ediff1d(ary, to_end, to_begin):
    """Differences of neighbours, with what stands before and after."""
    r = array_of(k.diff(k.reshape(ary, -1), 1, 0))
    ends = [v if v is None else asarray(v) for v in (to_begin, to_end)]
    for v, name in zip(ends, ("to_begin", "to_end")):
        if v is not None and not can_cast(v.dtype, r.dtype, "same_kind"):
            raise TypeError(f"dtype of `{name}` must be compatible with input `ary` under the "
                            "`same_kind` rule.")
    parts = [k.reshape(asarray(v, r.dtype), -1) for v in (ends[0], r, ends[1]) if v is not None]
    return k.cat(parts)


# ---- order ----


def ordered(a, axis, descending=False):
    """a sorted, and where each element was."""
    if axis is None:
        a, axis = k.reshape(a, -1), 0
    elif a.ndim == 0:
        axis_of(axis, 0)
    d = axis_of(axis, a.dim())
    if dtype(a.dtype).kind != "c":
        return tuple(k.sort(a, d, descending, stable=True))
    if descending:  # equal ones keep their order
        order = a.shape[d] - 1 - k.flip(_complex_order(k.flip(a, (d,)), d), (d,))
    else:
        order = _complex_order(a, d)
    return k.take_along_dim(a, order, d), order


def _complex_order(t, d):
    """By real part, then by imaginary; after them what has NaN in one part, then in both."""
    x, y = k.real(t), k.imag(t)
    order = k.argsort(y, d, stable=True)
    for key in (x, cast(k.isnan(x), index) * 2 + cast(k.isnan(y), index)):
        order = k.take_along_dim(order, k.argsort(k.take_along_dim(key, order, d), d, stable=True), d)
    return order


def nonzero(a):
    """Where a is not 0, an array a dimension."""
    if a.ndim == 0:
        raise ValueError("Calling nonzero on 0d arrays is not allowed. Use "
                         "np.atleast_1d(scalar).nonzero() instead.")
    return tuple(k.where(a))


def search(a, v, side, sorter):
    a, v = alike((a, v))
    return k.searchsorted(a, v, side=side, sorter=None if sorter is None else asarray(sorter))


# ---- shapes ----


def reshape(a, shape, order):
    shape = [shape] if isinstance(shape, int) else list(shape)
    rest = math.prod(n for n in shape if n != -1)
    if shape.count(-1) > 1:
        raise ValueError("can only specify one unknown dimension")
    if a.size != rest if -1 not in shape else not rest or a.size % rest:
        text = str(tuple(shape)).replace(" ", "").replace("-1", "newaxis")
        raise ValueError(f"cannot reshape array of size {a.size} into shape {text}")
    if order in ("A", "K"):
        order = "F" if a.ndim > 1 and not a.is_contiguous() and a.T.is_contiguous() else "C"
    if order != "F":
        return k.reshape(a, shape)
    t = k.reshape(k.permute(a, tuple(range(a.ndim))[::-1]) if a.ndim else a, shape[::-1])
    return k.permute(t, tuple(range(len(shape)))[::-1])


def transformed(fn, t, n, axes, norm):
    """A Fourier transform, its errors NumPy's."""
    if norm not in (None, "backward", "ortho", "forward"):
        raise ValueError(f'Invalid norm value {norm}; should be "backward","ortho" or "forward".')
    sizes = [n] if isinstance(n, int) else n
    if sizes is None and isinstance(axes, int):
        sizes = [t.shape[axis_of(axes, t.dim())]]
    if sizes is not None and min(sizes, default=1) < 1:
        raise ValueError(f"Invalid number of FFT data points ({min(sizes)}) specified.")
    return fn(t, n, axes, norm)


def matrix_transpose(x):
    if x.ndim < 2:
        raise ValueError(f"Input array must be at least 2-dimensional, but it is {x.ndim}")
    return k.transpose(x, -1, -2)


def meshgrid(xi, sparse, indexing):
    if indexing not in ("xy", "ij"):
        raise ValueError("Valid values for `indexing` are 'xy' and 'ij'.")
    n, turned = len(xi), indexing == "xy" and len(xi) > 1
    spots = [1, 0, *range(2, n)] if turned else range(n)
    lines = [k.reshape(asarray(v), [-1 if i == d else 1 for i in range(n)])
             for v, d in zip(xi, spots)]
    return tuple(lines if sparse else (t.clone() for t in k.broadcast_tensors(*lines)))


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


def broadcast_shapes(*args):
    """The shape that shapes broadcast to."""
    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in args]
    result = [1] * max(map(len, shapes), default=0)
    for i, s in enumerate(shapes):
        for d, n in enumerate(reversed(s)):
            if result[-1 - d] not in (1, n) and n != 1:
                j = next(j for j, t in enumerate(shapes) if len(t) > d and t[-1 - d] not in (1, n))
                raise ValueError("shape mismatch: objects cannot be broadcast to a single shape.  "
                                 f"Mismatch is between arg {j} with shape {shapes[j]} and arg {i} "
                                 f"with shape {s}.")
            result[-1 - d] = n if n != 1 else result[-1 - d]
    return tuple(result)


def each(fn, arys):
    """fn of the array, or a tuple of fn of each of several."""
    done = tuple(whole(fn(asarray(a))) for a in arys)
    return done[0] if len(done) == 1 else tuple(array_of(t[0]) for t in done)


def broadcast_arrays(args):
    arrays = [asarray(a) for a in args]
    shape = broadcast_shapes(*(a.shape for a in arrays))
    return whole(tuple(k.broadcast_to(a, shape) for a in arrays))


def broadcast_to(a, shape):
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if len(shape) < a.ndim:
        raise ValueError("input operand has more dimensions than allowed by the axis remapping")
    if any(m not in (1, n) for m, n in zip(reversed(a.shape), reversed(shape))):
        raise ValueError("operands could not be broadcast together with remapped shapes "
                         f"[original->remapped]: {_text(a.shape)}  and requested shape {_text(shape)}")
    return k.broadcast_to(a, shape)


def _text(shape):
    return str(tuple(shape)).replace(" ", "")


# ---- joining and parting ----


def concatenate(arrays, axis, dt, casting="same_kind"):
    arrays = alike(arrays, dt, casting)
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


def stack(arrays, axis, dt, casting="same_kind"):
    arrays = list(arrays)
    if not arrays:
        raise ValueError("need at least one array to stack")
    arrays = alike(arrays, dt, casting)
    if any(tuple(t.shape) != tuple(arrays[0].shape) for t in arrays):
        raise ValueError("all input arrays must have the same shape")
    return k.stack(arrays, axis_of(axis, arrays[0].dim() + 1))


def append(a, values, axis):
    if axis is None:
        return k.cat([k.reshape(t, -1) for t in alike((a, values))], 0)
    return concatenate((a, values), axis, None)


def deep(a, least, name):
    """a, of so many dimensions at least."""
    if a.ndim < least:
        raise ValueError(f"{name} only works on arrays of {least} or more dimensions")
    return a


def split(a, at, axis, even):
    axis = axis_of(axis, a.ndim)
    if isinstance(at, int) and even and a.shape[axis] % at:
        raise ValueError("array split does not result in an equal division")
    return list(k.tensor_split(a, at if isinstance(at, int) else list(at), axis))


# ---- choosing ----


def where(condition, x, y):
    if x is None and y is None:
        return nonzero(condition)
    x, y = _operands(x, y)
    return k.where(cast(condition, truth), x, y)


def _operands(*values):
    """Operands as tensors of the dtype they meet in."""
    arrays = [v if type(v) in WEAK else asarray(v) for v in values]
    d = meet([v.dtype for v in arrays if isinstance(v, ndarray)],
             [type(v) for v in arrays if type(v) in WEAK])
    return [asarray(v, d) if type(v) in WEAK else cast(v, d) for v in arrays]


def clip(a, low, high):
    low, high = (None if type(v) is int and beside(v, a.dtype, True) == open else v
                 for v, open in ((low, -math.inf), (high, math.inf)))
    given = [v for v in (low, high) if v is not None]
    t, *bounds = _operands(a, *given)
    if low is not None:
        t = k.maximum(t, bounds[0])
    return t if high is None else k.minimum(t, bounds[-1])


def take(a, indices, axis, mode="raise"):
    if axis is None:
        a, axis = k.reshape(a, -1), 0
    axis = axis_of(axis, a.dim())
    n = a.shape[axis]
    at = k.reshape(indices, -1)
    if mode == "wrap":
        at = k.remainder(at, n)
    elif mode == "clip":
        at = k.clamp(at, 0, n - 1)
    elif mode == "raise":
        at = k.where(at < 0, at + n, at)
    else:
        raise ValueError(f"clipmode must be one of 'clip', 'raise', or 'wrap' (got '{mode}')")
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


def equivalent(a, b):
    """Whether they are equal after broadcasting."""
    a, b = alike((a, b))
    try:
        broadcast_shapes(a.shape, b.shape)
    except ValueError:
        return False
    return bool(k.all(k.eq(a, b)))


def angle(a, deg):
    if a.dtype.kind == "c":
        r = k.atan2(k.imag(a), k.real(a))
    else:
        t = cast(a, quotient(a, None))
        r = k.atan2(k.zeros_like(t), t)
    return r * (180 / math.pi) if deg else r
