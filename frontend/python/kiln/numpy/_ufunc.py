"""Elementwise functions as objects: called on arrays they broadcast, cast and write to out= where
where= says so; reduce, accumulate, outer and at are made of the call.

    np.add(a, b)    np.maximum.reduce(a)    np.subtract.outer(a, b)    np.add.at(a, [0, 0], 1)"""
import math

from . import _elementwise
from ._array import _functions, asarray, axes_of, axis_of, cast, dtype, ndarray, operand
from ._dtype import WEAK, can_cast, meet, real_of
from ._helpers import NO_IDENTITY, finish, k, stored
from ._numbers import beside

_UNFIT = ("ufunc '{}' not supported for the input types, and the inputs could not be safely "
          "coerced to any supported types according to the casting rule ''safe''")
_NO_LOOP = "ufunc '{}' did not contain a loop with signature matching types ({}) -> None"
_WHOLE = {"add": "sum", "multiply": "prod", "maximum": "max", "minimum": "min",
          "logical_and": "all", "logical_or": "any"}  # what reduces along several axes at once
_RUNNING = {"add": "cumsum", "multiply": "cumprod"}
_NEUTRAL = {"bitwise_and": -1, "bitwise_or": 0, "bitwise_xor": 0, "logical_xor": False, "gcd": 0,
            "hypot": 0.0, "logaddexp": -math.inf, "logaddexp2": -math.inf}
_REORDERABLE = {"fmax", "fmin", "lcm", *_NEUTRAL}
_dtype = dtype


def _work_dtype(rule, d, name):
    """In which dtype a function computes when its operands meet in d."""
    if d.order == 3 and name in ("fabs", "logaddexp", "logaddexp2"):
        raise TypeError(_UNFIT.format(name))
    if rule in ("real", "realtruth"):
        return real_of(d)
    if rule == "divide":
        return d if d.order >= 2 else dtype("float64")
    if rule == "double":
        return meet([d, dtype("float64")], ())
    if rule == "logical":
        return dtype("bool")
    if rule in ("bits", "count") and d.order > 1 or d.order == 0 and name in ("subtract", "negative"):
        raise TypeError(_UNFIT.format(name))
    return d


def _class_name(x):
    """NumPy's class of an operand's dtype."""
    if isinstance(x, ndarray):
        return f"<class 'numpy.dtypes.{x.dtype.name.capitalize()}DType'>".replace("Uint", "UInt")
    return f"<class 'numpy.dtypes._Py{'Long' if type(x) is int else type(x).__name__.title()}DType'>"


def _check_casts(name, arrays, d, casting):
    """A dtype that the caller chose must be one that the operands may become."""
    for i, a in enumerate(arrays):
        if not can_cast(a.dtype, d, casting):
            raise TypeError(f"Cannot cast ufunc '{name}' input {i if len(arrays) > 1 else ''}"
                            f"{' ' if len(arrays) > 1 else ''}from {a.dtype!r} to {d!r} with "
                            f"casting rule '{casting}'")


def _check_shapes(arrays):
    """Shapes that fit, or NumPy's words."""
    shapes = [a.shape for a in arrays]
    for pair in zip(*(reversed(s) for s in shapes)):
        if len(set(pair) - {1}) > 1:
            text = " ".join(str(s).replace(" ", "") for s in shapes)
            raise ValueError(f"operands could not be broadcast together with shapes {text} ")


class ufunc:
    """A function of elements."""

    nout = 1

    def __init__(self, name, nin, rule, fn):
        self.__name__ = self.__qualname__ = name
        self.nin, self.nargs, self._rule, self._fn = nin, nin + 1, rule, fn

    def __repr__(self):
        return f"<ufunc '{self.__name__}'>"

    identity = property(lambda self: {
        "add": 0, "multiply": 1, "logical_and": True, "logical_or": False, **_NEUTRAL,
    }.get(self.__name__))

    def __reduce__(self):
        return getattr, (_package(), self.__name__)

    def __call__(self, *args, out=None, where=True, casting="same_kind", order="K", dtype=None,
                 subok=True):
        name, count = self.__name__, self.nin
        if len(args) == count + 1 and out is None:
            *args, out = args
        if len(args) != count:
            raise TypeError(f"{name}() takes from {count} to {count + 1} positional arguments but "
                            f"{len(args)} {'was' if len(args) == 1 else 'were'} given")
        xs = [operand(x) for x in args]
        arrays = [x for x in xs if isinstance(x, ndarray)]
        d = meet([x.dtype for x in arrays], [type(x) for x in xs if type(x) in WEAK])
        if name in ("gcd", "lcm") and d.order > 1:
            raise TypeError(_NO_LOOP.format(name, ", ".join(map(_class_name, xs))))
        d = _work_dtype(self._rule, d if dtype is None else _dtype(dtype), name)
        if dtype is not None:
            _check_casts(name, arrays, d, casting)
        if len(arrays) > 1:
            _check_shapes(arrays)
        r = self._computed(xs, arrays, d)
        return finish(r) if out is None and where is True else stored(name, r, out, where, casting)

    def _computed(self, xs, arrays, d):
        if self._rule == "logical":
            xs = [x if isinstance(x, ndarray) else bool(x) for x in xs]
        if not arrays:
            xs[0] = asarray(xs[0], d)
        ts = [cast(x, d) if isinstance(x, ndarray) else beside(x, d, self._rule == "truth")
              for x in xs]
        if self.__name__ == "power" and d.order == 1 and type(ts[1]) is int and ts[1] < 0:
            raise ValueError("Integers to negative integer powers are not allowed.")
        if d.order == 0 and self.__name__ == "absolute":
            return ts[0]
        if d.order == 3 and self.__name__ in _elementwise.COMPLEX:
            return _elementwise.COMPLEX[self.__name__](*map(asarray, ts))
        try:
            r = self._fn(*ts)
        except RuntimeError as e:
            if "not implemented for" in str(e) or "not supported" in str(e):
                raise TypeError(_UNFIT.format(self.__name__)) from None
            raise
        return cast(r, d) if self._rule in ("same", "bits") else r

    # ---- what is made of the call ----

    def _two(self, method):
        if self.nin != 2:
            raise ValueError(f"{method} only supported for binary functions")

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False, initial=None,
               where=True):
        """The function between all elements along an axis, or several."""
        self._two("reduce")
        a = asarray(array)
        if self.__name__ in _WHOLE:
            more = {} if self.__name__.startswith("logical") else {"initial": initial}
            if self.__name__ in _RUNNING:
                more["dtype"] = dtype
            return _functions[_WHOLE[self.__name__]](a, axis, out=out, keepdims=keepdims,
                                                     where=where, **more)
        axes = axes_of(axis, a.ndim)
        if len(axes) > 1 and self.__name__ not in _REORDERABLE:
            raise ValueError(f"reduction operation '{self.__name__}' is not reorderable, so at "
                             "most one axis may be specified")
        initial = _NEUTRAL.get(self.__name__) if initial is None else initial
        if where is not True and initial is None:
            raise ValueError(NO_IDENTITY.format(self.__name__))
        mask = None if where is True else asarray(k.broadcast_to(asarray(where), a.shape))
        for d in axes:
            a = asarray(self._along(a, mask, d, initial))
            mask = None
        return finish(a if keepdims else k.squeeze(a, axes) if axes else a, out)

    def _along(self, a, mask, axis, initial):
        parts, shown = ([asarray(p) for p in k.split(t, 1, axis)] if t is not None and
                        t.shape[axis] else [] for t in (a, mask))
        if not parts and initial is None:
            raise ValueError(f"zero-size array to reduction operation {self.__name__} which has "
                             "no identity")
        if initial is None:
            r, parts = parts[0], parts[1:]
        else:
            kept = [1 if d == axis else n for d, n in enumerate(a.shape)]
            r = asarray(k.broadcast_to(asarray(initial, a.dtype), kept))
        for i, part in enumerate(parts):
            now = asarray(self(r, part))
            r = asarray(k.where(shown[i], now, cast(r, now.dtype))) if mask is not None else now
        return r

    def accumulate(self, array, axis=0, dtype=None, out=None):
        """What reduce has after each element."""
        self._two("accumulate")
        a = asarray(array)
        if a.ndim == 0:
            raise TypeError("cannot accumulate on a scalar")
        if self.__name__ in _RUNNING:
            return _functions[_RUNNING[self.__name__]](a, axis, dtype, out)
        d = axis_of(axis, a.ndim)
        if self.__name__ in ("maximum", "minimum") and a.dtype.kind not in "bc":
            r = (k.cummax if self.__name__ == "maximum" else k.cummin)(a, d)[0]
        else:
            r = self._running(a, d)
        return finish(r, out)

    def _running(self, a, axis):
        parts = [asarray(t) for t in k.split(a, 1, axis)] if a.shape[axis] else []
        done = parts[:1]
        for part in parts[1:]:
            done.append(asarray(self(done[-1], part)))
        return k.cat(done[:1] + [cast(t, done[-1].dtype) for t in done[1:]], axis) if done else a

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        """reduce from each index to before the next; one element where the next is not greater."""
        self._two("reduceat")
        a, starts = asarray(array), asarray(indices).tolist()
        d = axis_of(axis, a.ndim)
        n = a.shape[d]
        for i in starts:
            if not 0 <= i < n:
                raise IndexError(f"index {i} out-of-bounds in {self.__name__}.reduceat [0, {n})")
        ends = [e if e > i else i + 1 for i, e in zip(starts, starts[1:] + [n])]
        return finish(k.cat([self.reduce(k.narrow(a, d, i, e - i), d, dtype, keepdims=True)
                             for i, e in zip(starts, ends)], d), out)

    def outer(self, A, B, **kwargs):
        """The function of every element of A and every one of B."""
        self._two("outer product")
        a, b = asarray(A), asarray(B)
        return self(k.reshape(a, list(a.shape) + [1] * b.ndim), b, **kwargs)

    def at(self, a, indices, b=None):
        """In place at indices; an element named twice is changed twice."""
        places = asarray(k.reshape(k.arange(a.size), list(a.shape)))[indices]
        flat = k.reshape(places, -1)
        rest = () if b is None else (k.reshape(k.broadcast_to(asarray(b), places.shape), -1),)
        ranks = _ranks(flat)
        values = asarray(k.reshape(a, -1).clone())
        for turn in range(int(k.amax(ranks)) + 1 if flat.numel() else 0):
            now = k.where(ranks == turn)[0]
            spots = asarray(flat[now])
            values[spots] = self(values[spots], *(asarray(t[now]) for t in rest))
        a[...] = k.reshape(values, list(a.shape))


def _ranks(places):
    """Of each place how many equal ones stand before it."""
    order = k.argsort(places, 0, stable=True)
    s = places[order]
    first = k.searchsorted(s, s)
    return k.index_put(k.zeros_like(order), (order,), k.arange(len(order)) - first)


def _package():
    from .. import numpy
    return numpy


def make(name, count, rule, fn):
    """The ufunc of a row of the table: over kiln's function, or a helper of that name."""
    return ufunc(name, int(count), rule, getattr(k, fn, None) or getattr(_elementwise, fn))
