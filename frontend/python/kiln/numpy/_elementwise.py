"""Elementwise functions that kiln has under no name of PyTorch's, composed of those it has."""
import math

from ._array import asarray, axis_of, cast
from ._dtype import dtype
from ._helpers import k, quotient, real_of


def cbrt(x):
    """The cube root: a power, corrected by one step of Newton's."""
    t = k.abs(cast(x, dtype("float64")))
    r = k.pow(t, 1 / 3)
    better = r - (r * r * r - t) / (3 * r * r)
    r = k.where(k.isfinite(better), better, r)
    return cast(k.copysign(r, x), dtype(x.dtype))


def spacing(x):
    """How far the next number is, away from 0."""
    return k.nextafter(x, k.copysign(k.full_like(x, math.inf), x)) - x


def bitwise_count(x):
    """How many bits of |x| are set."""
    t = cast(x if dtype(x.dtype).kind == "b" else k.abs(x), dtype("uint64"))
    count = k.zeros_like(t)
    for i in range(8 * dtype(x.dtype).itemsize):
        count = count + (k.bitwise_right_shift(t, i) & 1)
    return cast(count, dtype("uint8"))


def modf(x):
    """The fraction and the whole part, both with x's sign."""
    t = cast(x, real_of(x.dtype))
    whole = k.trunc(t)
    part = k.where(k.isinf(t), asarray(0.0, t.dtype), t - whole)
    return k.copysign(part, t), whole


def frexp(x):
    """The mantissa in [0.5, 1) and the power of 2."""
    return tuple(k.frexp(cast(x, real_of(x.dtype))))


def unwrap(p, discont, axis, period):
    """p with jumps above half a period taken out."""
    whole = p.dtype.order < 2 and isinstance(period, int)
    t = p if whole else cast(p, quotient(p, None))
    d = axis_of(axis, t.dim())
    step = k.diff(t, 1, d)
    half = period // 2 if whole else period / 2
    near = k.remainder(step + half, period) - half
    if not whole or period % 2 == 0:
        near = k.where(k.logical_and(k.eq(near, -half), k.gt(step, 0)), asarray(half, t.dtype), near)
    small = k.lt(k.abs(step), period / 2 if discont is None else discont)
    mend = k.where(small, k.zeros_like(step), near - step)
    first, rest = t.narrow(d, 0, 1), t.narrow(d, 1, t.shape[d] - 1)
    return k.cat([first, rest + k.cumsum(mend, d)], d)


def real_if_close(a, tol):
    """a without imaginary part where that is nearly 0."""
    if a.dtype.kind != "c":
        return a
    eps = 2.0 ** (-52 if a.dtype.itemsize == 16 else -23)
    limit = tol * eps if tol > 1 else tol
    return k.real(a) if bool(k.all(k.lt(k.abs(k.imag(a)), limit))) else a


def ldexp(x, power):
    """x times a power of 2."""
    if power.dtype.order > 1:
        raise TypeError("ufunc 'ldexp' not supported for the input types, and the inputs could not "
                        "be safely coerced to any supported types according to the casting rule "
                        "''safe''")
    t = cast(x, real_of(x.dtype))
    half = k.floor_divide(power, 2)  # 2 ** power itself may be no number
    two = asarray(2.0, t.dtype)
    return t * k.pow(two, half) * k.pow(two, power - half)


def signed_remainder(x, y):
    """The remainder of floor division; a 0 has y's sign, as all others have."""
    r = k.remainder(x, y)
    if not r.dtype.is_floating_point:
        return r
    return k.where(k.eq(r, 0), k.copysign(k.zeros_like(r), y), r)


def sign_or_nan(x):
    """-1, 0 or 1, and NaN where x is that."""
    r = k.sgn(x)
    return k.where(k.isnan(x), x, r) if r.dtype.is_floating_point else r


# ---- complex numbers where PyTorch has none: in order by real part, then by imaginary ----


def _before(a, b):
    return k.logical_or(k.lt(a.real, b.real),
                        k.logical_and(k.eq(a.real, b.real), k.lt(a.imag, b.imag)))


def _not_after(a, b):
    return k.logical_or(k.lt(a.real, b.real),
                        k.logical_and(k.eq(a.real, b.real), k.le(a.imag, b.imag)))


def _chosen(r, first, second, a, b):
    """r, but first's value where a is NaN and second's where b is."""
    return k.where(k.isnan(a), first, k.where(k.isnan(b), second, r))


COMPLEX = {
    "less": _before, "less_equal": _not_after,
    "greater": lambda a, b: _before(b, a), "greater_equal": lambda a, b: _not_after(b, a),
    "maximum": lambda a, b: _chosen(k.where(_before(a, b), b, a), a, b, a, b),
    "minimum": lambda a, b: _chosen(k.where(_before(b, a), b, a), a, b, a, b),
    "fmax": lambda a, b: _chosen(k.where(_before(a, b), b, a), b, a, a, b),
    "fmin": lambda a, b: _chosen(k.where(_before(b, a), b, a), b, a, a, b),
    "rint": lambda a: k.complex(k.round(a.real), k.round(a.imag))}
