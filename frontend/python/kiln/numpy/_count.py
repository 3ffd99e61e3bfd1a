"""Counting and curves: histograms, bins, interpolation, slopes, convolutions."""
import math

from ._array import array_of, asarray, axes_of, axis_of, cast
from ._dtype import dtype, meet
from ._helpers import alike, as_summed, index, k, linspace, quotient

_f64 = dtype("float64")

# ---- histograms ----


def _outer_edges(a, range):
    if range is not None:
        low, high = range
        if low > high:
            raise ValueError("max must be larger than min in range parameter.")
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"supplied range of [{low}, {high}] is not finite")
    elif a.size == 0:
        low, high = 0, 1
    else:
        low, high = k.amin(a).item(), k.amax(a).item()
        if not (math.isfinite(low) and math.isfinite(high)):
            raise ValueError(f"autodetected range of [{low}, {high}] is not finite")
    return (low - 0.5, high + 0.5) if low == high else (low, high)


def _sturges(a, span):
    return span / (math.log2(a.size) + 1)


def _sqrt(a, span):
    return span / math.sqrt(a.size)


def _rice(a, span):
    return span / (2 * a.size ** (1 / 3))


def _scott(a, span):
    spread = k.std(cast(a, _f64), correction=0).item()
    return (24 * math.pi ** 0.5 / a.size) ** (1 / 3) * spread


def _fd(a, span):
    t = cast(a, _f64)
    high, low = k.quantile(t, 0.75).item(), k.quantile(t, 0.25).item()
    return 2 * (high - low) * a.size ** (-1 / 3)


def _auto(a, span):
    return min(_fd(a, span) or math.inf, _sturges(a, span))


_RULES = {"sturges": _sturges, "sqrt": _sqrt, "rice": _rice, "scott": _scott, "fd": _fd,
          "auto": _auto}


def _count_by_rule(a, rule, low, high):
    if rule not in _RULES:
        raise ValueError(f"{rule!r} is not a valid estimator for `bins`")
    a = asarray(k.reshape(a, -1))
    a = asarray(a[k.logical_and(k.ge(a, low), k.le(a, high))])
    if not a.size:
        return 1
    width = _RULES[rule](a, (k.amax(a) - k.amin(a)).item())
    if width and a.dtype.order < 2 and width < 1:
        width = 1
    return math.ceil((high - low) / width) if width else 1


def edges_of(a, bins, range, weights=None):
    """The bins' edges."""
    a = asarray(a)
    if isinstance(bins, str):
        if weights is not None:
            raise TypeError("Automated estimation of the number of bins is not supported for "
                            "weighted data")
        low, high = _outer_edges(a, range)
        bins = _count_by_rule(a, bins, low, high)
    elif hasattr(bins, "__index__") and not getattr(bins, "ndim", 0):
        bins = bins.__index__()
        if bins < 1:
            raise ValueError("`bins` must be positive, when an integer")
        low, high = _outer_edges(a, range)
    else:
        edges = asarray(bins)
        if edges.ndim != 1:
            raise ValueError("`bins` must be 1d, when an array")
        if bool(k.any(k.gt(edges[:-1], edges[1:]))):
            raise ValueError("`bins` must increase monotonically, when an array")
        return edges
    d = meet([a.dtype], [type(low), type(high)])
    return array_of(linspace(low, high, bins + 1, True, False, d if d.order >= 2 else _f64))


def _places(t, edges):
    """In which bin each number is; the last bin holds its right edge; -1 or more: none."""
    at = k.searchsorted(edges, t, side="right") - 1
    return k.where(k.eq(t, edges[-1]), k.full_like(at, edges.numel() - 2), at)


def _totals(at, inside, weights, count):
    """How many, or how much weight, in each of count places."""
    if weights is None:
        return k.bincount(at[inside], minlength=count)
    w = asarray(weights)
    total = k.zeros((count,), dtype=w.dtype.kiln)
    return k.index_add(total, 0, at[inside], k.reshape(w, -1)[inside])


def histogram(a, bins, range, density, weights):
    a = asarray(a)
    if weights is not None and asarray(weights).shape != a.shape:
        raise ValueError("weights should have the same shape as a.")
    edges = edges_of(a, bins, range, weights)
    t, e = alike((k.reshape(a, -1), edges))
    at = _places(t, e)
    inside = k.logical_and(k.ge(at, 0), k.lt(at, e.size - 1))
    n = _totals(at, inside, weights, e.size - 1)
    if density:
        n = cast(n, _f64) / cast(k.diff(edges, 1, 0), _f64) / k.sum(n)
    return n, edges


def histogramdd(sample, bins, range, density, weights):
    sample = asarray(sample) if not isinstance(sample, (list, tuple)) else \
        asarray(k.stack([asarray(s) for s in sample], 1))
    sample = asarray(k.unsqueeze(sample, 1)) if sample.ndim == 1 else sample
    n, d = sample.shape
    bins = [bins] * d if hasattr(bins, "__index__") and not getattr(bins, "ndim", 0) else list(bins)
    if len(bins) != d:
        raise ValueError("The dimension of bins must be equal to the dimension of the sample x.")
    ranges = [None] * d if range is None else range
    edges = [edges_of(sample[:, i], bins[i], ranges[i]) for i in _to(d)]
    place, inside, shape = k.zeros((n,), dtype=index.kiln), None, [e.size - 1 for e in edges]
    for i, e in enumerate(edges):
        t, e = alike((sample[:, i], e))
        at = _places(t, e)
        here = k.logical_and(k.ge(at, 0), k.lt(at, shape[i]))
        inside = here if inside is None else k.logical_and(inside, here)
        place = place * shape[i] + at
    counts = k.reshape(cast(_totals(place, inside, weights, math.prod(shape)), _f64), shape)
    if density:
        for i, e in enumerate(edges):
            counts = counts / k.reshape(k.diff(e, 1, 0), [-1 if j == i else 1 for j in _to(d)])
        counts = counts / k.sum(_totals(place, inside, weights, math.prod(shape)))
    return counts, edges


_to = range


def histogram2d(x, y, bins, range, density, weights):
    if len(x) != len(y):
        raise ValueError("x and y must have the same length.")
    try:
        count = len(bins)
    except TypeError:
        count = 1
    if count not in (1, 2):
        edges = asarray(bins)
        bins = [edges, edges]
    h, (ex, ey) = histogramdd([x, y], bins, range, density, weights)
    return h, ex, ey


def digitize(x, bins, right):
    bins = asarray(bins)
    rises, falls = (bool(k.all(fn(bins[1:], bins[:-1]))) for fn in (k.ge, k.le))
    if not rises and not falls:
        raise ValueError("bins must be monotonically increasing or decreasing")
    x, bins = alike((x, bins))
    side = "left" if right else "right"
    if rises:
        return k.searchsorted(bins, x, side=side)
    return bins.size - k.searchsorted(k.flip(bins, [0]), x, side=side)


# ---- curves ----


def interp(x, xp, fp, left, right, period):
    """Between the points (xp, fp), in straight lines."""
    fp = asarray(fp)
    work = dtype("complex128") if fp.dtype.kind == "c" else _f64
    x, xp, fp = cast(asarray(x), _f64), cast(asarray(xp), _f64), cast(fp, work)
    if xp.dim() != 1 or fp.dim() != 1:
        raise ValueError("Data points must be 1-D sequences")
    if len(xp) != len(fp):
        raise ValueError("fp and xp are not of the same length.")
    if not len(xp):
        raise ValueError("array of sample points is empty")
    if period is not None:
        if not period:
            raise ValueError("period must be a non-zero value")
        x, xp, fp = _wrapped(x, xp, fp, abs(period))
        left = right = None
    if len(xp) == 1:
        r = k.broadcast_to(fp, x.shape) if x.dim() else fp[0]
    else:
        at = k.clamp(k.searchsorted(xp, x, side="right") - 1, 0, len(xp) - 2)
        low, slope = fp[at], (fp[at + 1] - fp[at]) / (xp[at + 1] - xp[at])
        r = slope * (x - xp[at]) + low
        r = k.where(k.eq(x, xp[-1]), fp[-1], k.where(k.eq(x, xp[at]), low, r))
    r = k.where(k.lt(x, xp[0]), fp[0] if left is None else asarray(left, array_of(fp).dtype), r)
    r = k.where(k.gt(x, xp[-1]), fp[-1] if right is None else asarray(right, array_of(fp).dtype), r)
    return k.where(k.isnan(x), cast(x, array_of(fp).dtype), r)


def _wrapped(x, xp, fp, period):
    x, xp = k.remainder(x, period), k.remainder(xp, period)
    order = k.argsort(xp, 0, stable=True)
    xp, fp = xp[order], fp[order]
    return (x, k.cat([xp[-1:] - period, xp, xp[:1] + period]), k.cat([fp[-1:], fp, fp[:1]]))


def gradient(f, spaces, axis, edge_order):
    """The slope along each axis: from both neighbours, at the ends from one or two."""
    if edge_order not in (1, 2):
        raise ValueError("'edge_order' greater than 2 not supported")
    t = cast(f, quotient(f, None))
    axes = axes_of(axis, t.dim())
    if len(spaces) not in (0, 1, len(axes)):
        raise TypeError("invalid number of arguments")
    spaces = list(spaces) * len(axes) if len(spaces) == 1 else list(spaces) or [1.0] * len(axes)
    r = [_slope(t, d, h, edge_order) for d, h in zip(axes, spaces)]
    return r[0] if len(r) == 1 else tuple(r)


def _slope(t, d, h, edge_order):
    n = t.shape[d]
    if n < edge_order + 1:
        raise ValueError("Shape of array too small to calculate a numerical gradient, at least "
                         "(edge_order + 1) elements are required.")
    h = asarray(h)
    if h.ndim > 1:
        raise ValueError("distances must be either scalars or 1d")
    if h.ndim and h.size != n:
        raise ValueError("when 1d, distances must match the length of the corresponding dimension")
    if h.ndim:
        steps = cast(k.diff(h, 1, 0), dtype(t.dtype))
        steps = steps[0] if bool(k.all(k.eq(steps, steps[0]))) else steps
    else:
        steps = cast(h, dtype(t.dtype))

    def part(first, count):
        return t.narrow(d, first, count)

    def step(first, count):
        return k.reshape(steps[first:first + count], [-1 if i == d else 1 for i in range(t.dim())])
    if not steps.dim():
        middle = (part(2, n - 2) - part(0, n - 2)) / (2 * steps) if n > 2 else part(0, 0)
        first = (part(1, 1) - part(0, 1)) / steps
        last = (part(n - 1, 1) - part(n - 2, 1)) / steps
        if edge_order == 2:
            first = (-1.5 * part(0, 1) + 2.0 * part(1, 1) - 0.5 * part(2, 1)) / steps
            last = (0.5 * part(n - 3, 1) - 2.0 * part(n - 2, 1) + 1.5 * part(n - 1, 1)) / steps
        return k.cat([first, middle, last], d)
    a, b = step(0, n - 2), step(1, n - 2)
    middle = (-b / (a * (a + b)) * part(0, n - 2) + (b - a) / (a * b) * part(1, n - 2)
              + a / (b * (a + b)) * part(2, n - 2))
    first = (part(1, 1) - part(0, 1)) / step(0, 1)
    last = (part(n - 1, 1) - part(n - 2, 1)) / step(n - 2, 1)
    if edge_order == 2:
        a, b = step(0, 1), step(1, 1)
        first = (-(2 * a + b) / (a * (a + b)) * part(0, 1) + (a + b) / (a * b) * part(1, 1)
                 - a / (b * (a + b)) * part(2, 1))
        a, b = step(n - 3, 1), step(n - 2, 1)
        last = (b / (a * (a + b)) * part(n - 3, 1) - (b + a) / (a * b) * part(n - 2, 1)
                + (2 * b + a) / (b * (a + b)) * part(n - 1, 1))
    return k.cat([first, middle, last], d)


def convolve(a, v, mode, name="convolve"):
    """Sums of products while one of them passes over the other, turned round."""
    a, v = alike((a, v))
    a, v = (asarray(k.reshape(t, -1)) if t.ndim == 0 else t for t in (a, v))
    if a.size == 0 or v.size == 0:
        which = "a" if a.size == 0 else "v"
        raise ValueError(f"{which} cannot be empty" if name == "convolve" else
                         "first array argument cannot be empty" if which == "a" else
                         "second array argument cannot be empty")
    if mode not in ("full", "same", "valid"):
        raise ValueError(f"mode must be one of 'valid', 'same', or 'full' (got '{mode}')")
    if a.ndim != 1 or v.ndim != 1:
        raise ValueError("object too deep for desired array")
    if v.size > a.size:
        a, v = v, a
    n, m = a.size, v.size
    padded = k.cat([k.zeros(m - 1, dtype=a.dtype.kiln), a, k.zeros(m - 1, dtype=a.dtype.kiln)])
    windows = k.as_strided(padded.contiguous(), (n + m - 1, m), (1, 1))
    back = k.flip(v, [0])
    if a.dtype.kind == "b":
        r = k.any(k.logical_and(windows, back), 1)
    else:
        r = cast(k.sum(windows * back, 1), a.dtype)
    if mode == "full":
        return r
    return r[m - 1:n] if mode == "valid" else r[(m - 1) // 2:(m - 1) // 2 + n]


def correlate(a, v, mode):
    """The same, not turned round: at each lag."""
    a, v = asarray(a), asarray(v)
    r = convolve(a, k.conj(k.flip(k.reshape(v, -1), [0])), mode, "correlate")
    if mode == "same" and v.size > a.size and a.size % 2 == 0:
        full = convolve(a, k.conj(k.flip(k.reshape(v, -1), [0])), "full", "correlate")
        start = a.size // 2
        r = full[start:start + v.size]
    return r


def whole_numbers(x):
    """x, which bincount takes: whole numbers from 0 in one row."""
    if x.ndim != 1:
        raise ValueError("object of too small depth for desired array" if x.ndim == 0
                         else "object too deep for desired array")
    if x.size == 0:
        return x.astype("int64")
    if x.dtype.kind not in "biu":
        raise TypeError(f"Cannot cast array data from dtype('{x.dtype}') to dtype('int64') "
                        "according to the rule 'safe'")
    if x.dtype.kind == "i" and bool(k.lt(x, 0).any()):
        raise ValueError("'list' argument must have no negative elements")
    return x.astype("int64") if x.dtype.kind == "b" else x


def trim_zeros(filt, trim):
    t = asarray(filt)
    at = k.where(k.ne(t, 0))[0]
    if not len(at):
        return t[:0]
    first = at[0].item() if "f" in trim.lower() else 0
    last = at[-1].item() + 1 if "b" in trim.lower() else t.size
    return t[first:last]


def cumulative(fn, x, axis, dt, include_initial, first):
    """The array API's running sum or product, which may begin before the first element."""
    if axis is None:
        if x.ndim > 1:
            raise ValueError("For arrays which have more than one dimension ``axis`` argument is "
                             "required.")
        axis = 0
    d = axis_of(axis, x.ndim)
    r = as_summed(fn(cast(x, dt), d), dt)
    if not include_initial:
        return r
    shape = [1 if i == d else n for i, n in enumerate(x.shape)]
    return k.cat([k.full(shape, first, dtype=dt.kiln), r], d)
