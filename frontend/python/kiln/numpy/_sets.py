"""Sets: arrays as the distinct values that they hold, in order."""
import collections

from ._array import asarray, axis_of, cast
from ._helpers import alike, index, k, ordered, truth


def unique(ar, first=False, inverse=False, counts=False, axis=None, equal_nan=True):
    """The distinct values, and where the first of each stands, which each element is, how many."""
    if axis is not None:
        return _unique_slices(ar, axis_of(axis, ar.ndim), first, inverse, counts)
    s, order = ordered(ar, None)
    new = _starts(s, equal_nan)
    at = k.where(new)[0]
    number = k.cumsum(cast(new, index), 0) - 1
    values = s[at]
    if not (first or inverse or counts):
        return values
    back = k.index_put(k.zeros_like(order), (order,), number)
    count = k.diff(k.cat([at, k.full((1,), len(order), dtype=index.kiln)]), 1, 0)
    return ((values,) + ((order[at],) if first else ()) + ((k.reshape(back, ar.shape),)
            if inverse else ()) + ((count,) if counts else ()))


def _starts(s, equal_nan):
    """Where a value begins in sorted s."""
    new = k.ne(s[1:], s[:-1])
    if equal_nan and (s.dtype.is_floating_point or s.dtype.is_complex):
        new = k.logical_and(new, k.logical_not(k.logical_and(k.isnan(s[1:]), k.isnan(s[:-1]))))
    return k.cat([k.ones(min(len(s), 1), dtype=truth.kiln), new]) if len(s) else new


def _unique_slices(ar, axis, first, inverse, counts):
    """Distinct slices along an axis, in the order of their elements."""
    rows = k.movedim(ar, axis, 0)
    flat = k.reshape(rows, (rows.shape[0], -1))
    order = k.arange(flat.shape[0])
    for column in reversed(range(flat.shape[1])):
        order = order[ordered(flat[order, column], 0)[1]]
    s = flat[order]
    new = k.cat([k.ones(min(len(s), 1), dtype=truth.kiln),
                 k.any(k.ne(s[1:], s[:-1]), 1)]) if len(s) else k.ones(0, dtype=truth.kiln)
    at = k.where(new)[0]
    values = k.movedim(rows[order[at]], 0, axis)
    if not (first or inverse or counts):
        return values
    number = k.cumsum(cast(new, index), 0) - 1
    back = k.index_put(k.zeros_like(order), (order,), number)
    count = k.diff(k.cat([at, k.full((1,), len(order), dtype=index.kiln)]), 1, 0)
    return (values,) + ((order[at],) if first else ()) + ((back,) if inverse else ()) + (
        (count,) if counts else ())


def unique_named(kind, x, fields, **asked):
    """The array API's unique_*: several results by name; NaNs are distinct."""
    r = unique(x, equal_nan=False, **asked)
    return collections.namedtuple(f"Unique{kind}Result", fields)._make(r)


def union1d(a, b):
    return unique(asarray(k.cat([k.reshape(t, -1) for t in alike((a, b))])))


def intersect1d(a, b, assume_unique, return_indices):
    a, b = (asarray(k.reshape(t, -1)) for t in alike((a, b)))
    at = bt = None
    if not assume_unique:
        (a, at), (b, bt) = (unique(t, first=True) for t in (a, b))
    both = k.cat([a, b])
    s, order = ordered(both, 0)
    twice = k.where(k.eq(s[1:], s[:-1]))[0]
    values = s[twice]
    if not return_indices:
        return values
    i, j = order[twice], order[twice + 1] - len(a)
    return values, i if at is None else at[i], j if bt is None else bt[j]


def setdiff1d(a, b, assume_unique):
    a, b = asarray(a), asarray(b)
    a = asarray(k.reshape(a, -1) if assume_unique else unique(a))
    return a[k.isin(*alike((a, k.reshape(b, -1))), invert=True)]


def setxor1d(a, b, assume_unique):
    a, b = (k.reshape(t, -1) if assume_unique else unique(t) for t in alike((a, b)))
    s = k.sort(k.cat([a, b]), 0)[0]
    if not len(s):
        return s
    edge = k.ones(1, dtype=truth.kiln)
    new = k.cat([edge, k.ne(s[1:], s[:-1]), edge])
    return s[k.logical_and(new[1:], new[:-1])]


def lexsort(keys, axis):
    """The order by several keys, the last first."""
    keys = [asarray(t) for t in keys]
    if not keys:
        raise TypeError("need sequence of keys with len > 0 in lexsort")
    if any(t.shape != keys[0].shape for t in keys):
        raise ValueError("all keys need to be the same shape")
    if not keys[0].ndim:
        return k.zeros((), dtype=index.kiln)
    d = axis_of(axis, keys[0].ndim)
    order = k.argsort(keys[0], d, stable=True)
    for t in keys[1:]:
        order = k.take_along_dim(order, k.argsort(k.take_along_dim(t, order, d), d, stable=True), d)
    return order


def sort_complex(a):
    """Sorted by real part, then by imaginary, as complex numbers."""
    small = a.dtype.kind in "iu" and a.dtype.itemsize <= 2
    t = a if a.dtype.kind == "c" else a.astype("complex64" if small else "complex128")
    return ordered(t, -1)[0]
