"""Polynomials, their coefficients from the highest power down; and windows."""
import math

from ._array import array_of, asarray, cast
from ._count import convolve
from ._dtype import dtype
from ._helpers import alike, k, linalg, quotient
from ._matrix import eig, lstsq
from ._sets import sort_complex

_f64 = dtype("float64")


def _row(p):
    t = asarray(p)
    return asarray(k.reshape(t, -1)) if t.ndim == 0 else t


def _filled(a, b):
    """Both with as many coefficients."""
    a, b = alike((_row(a), _row(b)))
    n = max(a.size, b.size)
    return [k.cat([k.zeros(n - t.size, dtype=t.dtype.kiln), t]) for t in (a, b)]


def polyadd(a, b):
    return k.add(*_filled(a, b))


def polysub(a, b):
    return k.sub(*_filled(a, b))


def polymul(a, b):
    return convolve(*map(_trimmed, (a, b)), "full")


def _trimmed(p):
    """Without zeros in front."""
    t = _row(p)
    at = k.where(k.ne(t, 0))[0]
    return asarray(t[at[0].item():]) if len(at) else asarray(t[:1] * 0)


def polydiv(u, v):
    u, v = (cast(t, t.dtype if t.dtype.order >= 2 else _f64) for t in alike((_row(u), _row(v))))
    u, v = (array_of(t) for t in (u, v))
    m, n = u.size, v.size
    scale, rest, parts = 1.0 / v[0], u.copy(), []
    for i in range(m - n + 1):
        d = scale * rest[i]
        parts.append(k.reshape(d, [1]))
        rest[i:i + n] = rest[i:i + n] - d * v
    quotient_ = k.cat(parts) if parts else k.zeros(1, dtype=u.dtype.kiln)
    while rest.size > 1 and bool(k.allclose(rest[:1], k.zeros_like(rest[:1]), rtol=1e-14)):
        rest = rest[1:]
    return quotient_, rest


def polyder(p, m):
    m = int(m)
    if m < 0:
        raise ValueError("Order of derivative must be positive (see polyint)")
    t = asarray(p)
    for _ in range(m):
        n = t.size - 1
        t = asarray(t[:-1] * k.arange(n, 0, -1)) if n > 0 else asarray(t[:0])
    return t


def polyint(p, m, constants):
    m = int(m)
    if m < 0:
        raise ValueError("Order of integral must be positive (see polyder)")
    constants = [0.0] * m if constants is None else k.reshape(_row(constants), -1).tolist()
    constants = constants * m if len(constants) == 1 and m > 1 else constants
    if len(constants) < m:
        raise ValueError("k must be a scalar or a rank-1 array of length 1 or >m.")
    t = asarray(p)
    for c in constants[:m]:
        t = cast(t, quotient(t, None))
        t = asarray(k.cat([t / k.arange(t.numel(), 0, -1), k.full((1,), c, dtype=asarray(t).dtype.kiln)]))
    return t


def poly(seq):
    """The coefficients of the polynomial with these roots, or of a matrix."""
    t = asarray(seq)
    if t.ndim == 2 and t.shape[0] == t.shape[1] and t.shape[0]:
        t = array_of(eig(t)[0])
    elif t.ndim == 0:
        return k.ones((), dtype=_f64.kiln)
    elif t.ndim != 1:
        raise ValueError("input must be 1d or non-empty square 2d array.")
    d = t.dtype if t.dtype.order >= 2 else _f64
    if not t.size:
        return 1.0
    r = array_of(k.ones(1, dtype=d.kiln))
    for z in asarray(t, d):
        r = array_of(convolve(r, k.stack([k.ones((), dtype=d.kiln), -z]), "full"))
    if d.kind == "c" and _paired(t):
        r = k.real(r)
    return r


def _paired(roots):
    """Whether with each root its conjugate is one."""
    return bool(k.all(k.eq(sort_complex(roots), sort_complex(array_of(k.conj(roots))))))


def roots(p):
    t = _row(p)
    if t.ndim != 1:
        raise ValueError("Input must be a rank-1 array.")
    at = k.where(k.ne(t, 0))[0].tolist()
    if not at:
        return k.zeros(0, dtype=_f64.kiln)
    zeros = t.size - at[-1] - 1
    t = cast(t, quotient(t, None))[at[0]:at[-1] + 1]
    n = t.numel()
    if n > 1:
        a = k.diag(k.ones(n - 2, dtype=asarray(t).dtype.kiln), -1)
        a = k.cat([k.reshape(-t[1:] / t[0], (1, -1)), a[1:]])
        r = array_of(eig(array_of(a))[0])
    else:
        r = array_of(k.zeros(0, dtype=_f64.kiln))
    return k.cat([r, k.zeros(zeros, dtype=r.dtype.kiln)])


def polyfit(x, y, deg, rcond, full, w, cov):
    """The polynomial of least squares."""
    x, y = (cast(t, quotient(t, None)) for t in map(asarray, (x, y)))
    if deg < 0:
        raise ValueError("expected deg >= 0")
    if x.dim() != 1:
        raise TypeError("expected 1D vector for x")
    if not x.numel():
        raise TypeError("expected non-empty vector for x")
    if y.dim() < 1 or y.dim() > 2:
        raise TypeError("expected 1D or 2D array for y")
    if x.shape[0] != y.shape[0]:
        raise TypeError("expected x and y to have same length")
    order = deg + 1
    rcond = x.shape[0] * 2.0 ** -52 if rcond is None else rcond
    left = k.vander(x, order)
    if w is not None:
        w = cast(asarray(w), _f64)
        if w.dim() != 1:
            raise TypeError("expected a 1-d array for weights")
        if w.shape[0] != y.shape[0]:
            raise TypeError("expected w and y to have the same length")
        left = left * k.unsqueeze(w, 1)
        y = y * (k.unsqueeze(w, 1) if y.dim() == 2 else w)
    scale = k.sqrt(k.sum(left * left, [0]))
    c, rest, rank, s = lstsq(array_of(left / scale), array_of(y), rcond)
    c = c / (k.unsqueeze(scale, 1) if c.dim() == 2 else scale)
    if full:
        return c, rest, rank, s, asarray(rcond, _f64)
    if not cov:
        return c
    base = linalg.inv(k.matmul(k.transpose(left / scale, 0, 1), left / scale)) / k.outer(scale, scale)
    if cov == "unscaled":
        return c, base
    if len(x) <= order:
        raise ValueError("the number of data points must exceed order to scale the covariance matrix")
    factor = rest / (len(x) - order)
    return c, base * factor if y.dim() == 1 else k.unsqueeze(base, 2) * factor


# ---- windows ----


def window(M, terms):
    """A sum of cosines over M points."""
    if M < 1:
        return k.zeros(0, dtype=_f64.kiln)
    if M == 1:
        return k.ones(1, dtype=_f64.kiln)
    n = k.arange(1 - M, M, 2, dtype=_f64.kiln)
    r = k.full_like(n, terms[0])
    for i, c in enumerate(terms[1:]):
        r = r + c * k.cos((i + 1) * math.pi * n / (M - 1))
    return r


def bartlett(M):
    if M < 1:
        return k.zeros(0, dtype=_f64.kiln)
    if M == 1:
        return k.ones(1, dtype=_f64.kiln)
    n = k.arange(1 - M, M, 2, dtype=_f64.kiln)
    return k.where(k.le(n, 0), 1 + n / (M - 1), 1 - n / (M - 1))


def kaiser(M, beta):
    if M == 1:
        return k.ones(1, dtype=_f64.kiln)
    n = k.arange(max(M, 0), dtype=_f64.kiln)
    half = (M - 1) / 2.0
    at = k.sqrt(k.clamp(1 - ((n - half) / half) ** 2.0, 0)) if M > 1 else n
    return k.i0(beta * at) / k.i0(asarray(float(beta)))
