"""numpy.emath: functions of real numbers that are complex where there is no real value.

    >>> import kiln.numpy as np
    >>> np.emath.sqrt(-4), np.emath.log(np.array([1., 2.])).dtype
    (np.complex128(2j), dtype('float64'))
"""
from ._array import _functions, asarray


def _inside(x, low, high=None):
    x = asarray(x)
    if x.dtype.kind == "c":
        return x
    fits = bool((x >= low).all()) and (high is None or bool((x <= high).all()))
    return x if fits else x + 0j


def _function(name, low, high=None):
    def fn(x):
        return _functions[name](_inside(x, low, high))

    fn.__name__ = fn.__qualname__ = name
    fn.__doc__ = f"{name}(x), complex where an element is outside of its real domain."
    return fn


sqrt, log, log2, log10 = (_function(n, 0) for n in ("sqrt", "log", "log2", "log10"))
arccos, arcsin, arctanh = (_function(n, -1, 1) for n in ("arccos", "arcsin", "arctanh"))


def logn(n, x):
    """The logarithm of x to the base n."""
    return log(x) / log(n)


def power(x, p):
    """x to the power p, complex where an element of x is negative."""
    p = asarray(p)
    whole = p.dtype.kind in "bui" and bool((p < 0).any())
    return _functions["power"](_inside(x, 0), p.astype("float64") if whole else p)
