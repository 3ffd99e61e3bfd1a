"""Quantiles: the element, or the point between two, at a share of the sorted row; by each of
NumPy's methods, also of what is not NaN."""
import math

from .. import _kiln
from ._array import asarray, cast
from ._dtype import dtype
from ._helpers import in_one, k, median, quotient

_f64 = dtype("float64")
# where share q of n elements lies: n q - 1 + alpha + q (1 - alpha - beta)
_BETWEEN = {"linear": (1, 1), "hazen": (0.5, 0.5), "weibull": (0, 0),
            "interpolated_inverted_cdf": (0, 1), "median_unbiased": (1 / 3, 1 / 3),
            "normal_unbiased": (3 / 8, 3 / 8)}


def _averaged(at):
    part = at - k.floor(at)
    return k.where(k.eq(part, 0), 0.5, 1.0), k.floor(at)


def _closest(at):
    low = k.floor(at)
    stay = k.logical_and(k.eq(at, low), k.eq(k.remainder(low, 2), 1))
    return k.where(stay, low, low + 1)


_AT = {  # the element itself: of n, q
    "lower": lambda n, q: k.floor((n - 1) * q), "higher": lambda n, q: k.ceil((n - 1) * q),
    "nearest": lambda n, q: k.round((n - 1) * q), "inverted_cdf": lambda n, q: k.ceil(n * q) - 1,
    "closest_observation": lambda n, q: _closest(n * q - 1.5)}


def _place(method, n, q):
    """Below which element a share lies, and how far beyond it; None: at it."""
    if method in _AT:
        return _AT[method](n, q), None
    if method == "midpoint":
        at = (n - 1) * q
        low = k.floor(at)
        return low, k.where(k.eq(at, low), 0.0, 0.5)
    if method == "averaged_inverted_cdf":
        part, low = _averaged(n * q - 1)
        return low, part
    if method not in _BETWEEN:
        raise ValueError(f"{method!r} is not a valid method. Use one of: dict_keys({_NAMES})")
    alpha, beta = _BETWEEN[method]
    at = (n - 1) * q if method == "linear" else n * q + (alpha + q * (1 - alpha - beta)) - 1
    low = k.floor(at)
    return low, at - low


# in NumPy's order, which its message keeps
_NAMES = ("inverted_cdf averaged_inverted_cdf closest_observation interpolated_inverted_cdf hazen "
          "weibull linear median_unbiased normal_unbiased lower higher midpoint nearest").split()


def share(q):
    """Percent as a share."""
    return asarray(q) / 100


def _checked(q, what, top):
    q = asarray(q)
    if bool(k.any(k.logical_not(k.logical_and(q >= 0, q <= 1)))):
        raise ValueError(f"{what} must be in the range [0, {top}]")
    return q


def quantile(a, q, axis, keepdims, method, what="Quantiles", top=1):
    q = _checked(q, what, top)
    t, left, kept = in_one(a if method in _AT else cast(a, quotient(a, None)), axis)
    s, n = k.sort(t, t.dim() - 1)[0], t.shape[-1]
    r = _taken(s, *_place(method, n, cast(k.reshape(q, -1), _f64)), n - 1)
    if dtype(s.dtype).kind == "f":
        last = s.narrow(s.dim() - 1, n - 1, 1)  # NaN where there is one
        r = k.where(k.isnan(last), last, r)
    return k.reshape(k.movedim(r, -1, 0), list(q.shape) + (kept if keepdims else left))


def nan_quantile(a, q, axis, keepdims, method, what="Quantiles", top=1):
    """The same of what is not NaN."""
    if a.dtype.order < 2:
        return quantile(a, q, axis, keepdims, method, what, top)
    q = _checked(q, what, top)
    t, left, kept = in_one(a, axis)
    s = k.sort(t, t.dim() - 1)[0]
    n = cast(k.sum(k.logical_not(k.isnan(s)), [s.dim() - 1], True), _f64)
    r = _taken(s, *_place(method, n, cast(k.reshape(q, -1), _f64)), n - 1)
    r = k.where(k.eq(n, 0), k.full_like(r, math.nan), r)
    return k.reshape(k.movedim(r, -1, 0), list(q.shape) + (kept if keepdims else left))


def _element(s, at, last):
    at = k.clamp(at, 0)
    at = k.minimum(at, last) if hasattr(last, "dim") else k.clamp(at, 0, last)
    at = k.clamp(at, 0).to(_kiln.int64)
    at = k.broadcast_to(at, list(s.shape[:-1]) + [at.shape[-1]])
    return k.take_along_dim(s, at, s.dim() - 1)


def _taken(s, low, part, last):
    first = _element(s, low, last)
    if part is None:
        return first
    # before the first element and behind the last there is nothing to go towards
    part = k.where(k.lt(low, 0), 0.0, part)
    second = _element(s, low + 1, last)
    part, apart = cast(asarray(part), dtype(s.dtype)), second - first
    return k.where(part >= 0.5, second - apart * (1 - part), first + apart * part)


def nan_median(a, axis, keepdims):
    """The middle of what is not NaN."""
    if a.dtype.order < 2:
        return median(a, axis, keepdims)
    t, left, kept = in_one(a, axis)
    s = k.sort(t, t.dim() - 1)[0]
    n = k.sum(k.logical_not(k.isnan(s)), [s.dim() - 1], True)
    low, high = _element(s, (n - 1) // 2, n - 1), _element(s, n // 2, n - 1)
    r = k.where(k.eq(low, high), low, (low + high) / 2)
    return k.reshape(r, kept if keepdims else left)
