"""poly1d: a polynomial in one variable as an object, over the poly* functions.

>>> import kiln.numpy as np
>>> p = np.poly1d([1, -3, 2])
>>> print(p * p, p.r.tolist())
   4     3      2
1 x - 6 x + 13 x - 12 x + 4 [2.0, 1.0]
"""
import kiln.numpy as f

from ._array import asarray


def _coefficients(p):
    return p.coeffs if isinstance(p, poly1d) else p


class poly1d:
    """Coefficients from the highest power down; or, r true, the roots of one."""

    __hash__ = None
    __array_ufunc__ = None  # arrays leave their operators to it

    def __init__(self, c_or_r, r=False, variable=None):
        if isinstance(c_or_r, poly1d):
            c, variable = c_or_r.coeffs, variable or c_or_r.variable
        else:
            c = f.poly(c_or_r) if r else f.atleast_1d(asarray(c_or_r))
        if c.ndim > 1:
            raise ValueError("Polynomial must be 1d only.")
        c = f.trim_zeros(c, "f")
        self._c = c if c.size else f.zeros(1, dtype=c.dtype)
        self._variable = variable or "x"

    variable = property(lambda self: self._variable)
    coeffs = c = coef = coefficients = property(lambda self: self._c)
    order = o = property(lambda self: self._c.size - 1)
    roots = r = property(lambda self: f.roots(self._c))

    def __call__(self, val):
        return f.polyval(self._c, val) if not isinstance(val, poly1d) else self._of(val)

    def _of(self, p):
        y = poly1d([0])
        for k in self._c.tolist():
            y = y * p + k
        return y

    def __array__(self, dtype=None, copy=None):
        return self._c.__array__(dtype)

    def __len__(self):
        return self.order

    def __iter__(self):
        return iter(self._c)

    def __getitem__(self, power):
        inside = 0 <= power <= self.order
        return self._c[self.order - power] if inside else self._c.dtype.type(0)

    def __setitem__(self, power, value):
        if power < 0:
            raise ValueError("Does not support negative powers.")
        c = f.concatenate([f.zeros(max(power - self.order, 0), dtype=self._c.dtype), self._c])
        c[c.size - 1 - power] = value
        self._c = c

    def _with(self, fn, other, swapped=False):
        a, b = self._c, _coefficients(other)
        return poly1d(fn(b, a) if swapped else fn(a, b))

    def __add__(self, other):
        return self._with(f.polyadd, other)

    __radd__ = __add__

    def __sub__(self, other):
        return self._with(f.polysub, other)

    def __rsub__(self, other):
        return self._with(f.polysub, other, True)

    def __mul__(self, other):
        return self._with(f.polymul, other)

    __rmul__ = __mul__

    def __truediv__(self, other):
        if isinstance(other, poly1d):
            q, r = f.polydiv(self._c, other._c)
            return poly1d(q), poly1d(r)
        return poly1d(self._c / other)

    def __neg__(self):
        return poly1d(-self._c)

    def __pos__(self):
        return self

    def __pow__(self, n):
        if n != int(n) or n < 0:
            raise ValueError("Power to non-negative integers only.")
        p = poly1d([1])
        for _ in range(int(n)):
            p = p * self
        return p

    def __eq__(self, other):
        if not isinstance(other, poly1d):
            return NotImplemented
        return self._c.shape == other._c.shape and bool((self._c == other._c).all())

    def deriv(self, m=1):
        """The m-th derivative."""
        return poly1d(f.polyder(self._c, m))

    def integ(self, m=1, k=0):
        """The m-th antiderivative, k its constants."""
        return poly1d(f.polyint(self._c, m, k))

    def __repr__(self):
        return f"poly1d({repr(self._c)[len('array('):-1]})"

    def __str__(self):
        return _drawn([_short(v) for v in self._c.tolist()], self._variable)


def _short(v):
    return f"{v:.4g}" if not isinstance(v, complex) else f"({v.real:.4g} + {v.imag:.4g}j)"


def _drawn(coefficients, x):
    """Two lines: the exponents above the terms."""
    above, below, n = " ", "", len(coefficients) - 1
    for k, c in enumerate(coefficients):
        power = n - k
        if c == "0" and n > 0:
            continue
        if below:
            c = f" - {c[1:]}" if c[0] == "-" else f" + {c}"
        below += c if power == 0 else f"{c} {x}"
        if power > 1:
            above = above.ljust(len(below)) + str(power)
            below += " " * (len(str(power)) - 1)
    return above + "\n" + below
