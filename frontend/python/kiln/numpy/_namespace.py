"""What the Python array API standard has beside NumPy's older names, and questions about dtypes."""
import math
from ._array import array_of, asarray
from ._dtype import dtype, meet

_KINDS = {"bool": "b", "signed integer": "i", "unsigned integer": "u", "integral": "iu",
          "real floating": "f", "complex floating": "c", "numeric": "iufc"}


def isdtype(dtype, kind):
    """Whether a dtype is another, or of a kind, or of one of several.

    >>> import kiln.numpy as np
    >>> np.isdtype(np.float32, 'real floating')
    True
    """
    d = _find(dtype)
    kinds = kind if isinstance(kind, tuple) else (kind,)
    for one in kinds:
        if isinstance(one, str) and one not in _KINDS:
            raise ValueError("kind argument is a string, but {!r} is not a known kind name.".format(one))
    return any(d.kind in _KINDS[one] if isinstance(one, str) else d == one for one in kinds)


_find = dtype


def astype(x, dtype, /, *, copy=True, device=None):
    """x as dtype."""
    if not hasattr(x, "astype"):
        raise TypeError(f"Input should be a NumPy array or scalar. It is a {type(x)} instead.")
    _check_device(device)
    return x.astype(dtype, copy=copy)


def _check_device(device):
    if device not in (None, "cpu"):
        raise ValueError(f"Device not understood. Only \"cpu\" is allowed, but received: {device}")


def min_scalar_type(a):
    """The smallest dtype that holds a number."""
    r = asarray(a)
    if r.ndim or r.dtype.kind == "b":
        return r.dtype
    v = r.item()
    if r.dtype.kind in "iu":
        return next(dtype(f"{'int' if v < 0 else 'uint'}{n}") for n in (8, 16, 32, 64)
                    if (-2 ** (n - 1) <= v if v < 0 else v < 2 ** n))
    sizes = ("float16", "float32", "float64") if r.dtype.kind == "f" else ("complex64", "complex128")
    parts = (v,) if r.dtype.kind == "f" else (v.real, v.imag)
    return next(dtype(n) for n in sizes[:sizes.index(r.dtype.name) + 1] if n == r.dtype.name or all(
        math.isinf(p) or math.isnan(p) or abs(p) < _finite(n) for p in parts))


def _finite(name):
    """The largest number that NumPy takes for one of a dtype."""
    return {"float16": 65000, "float32": 3.4e38, "complex64": 3.4e38}[name]


def common_type(*arrays):
    """The type of numbers with a fraction in which arrays meet."""
    dtypes = [asarray(a).dtype for a in arrays]
    if any(d.kind == "b" for d in dtypes):
        raise TypeError("can't get common type for non-numeric array")
    return meet([dtype("float64") if d.order < 2 else d for d in dtypes] or [dtype("float16")], ()).type


def binary_repr(num, width=None):
    """An integer's bits; of a negative one with width its two's complement.

    >>> import kiln.numpy as np
    >>> np.binary_repr(-3, width=5)
    '11101'
    """
    n = num.__index__()
    if n >= 0 or width is None:
        text = ("-" if n < 0 else "") + f"{abs(n):b}"
        least = len(text)
    else:
        least = len(f"{-n - 1:b}") + 1
        text = f"{n + (1 << max(width, least)):b}"
    if width is not None and width < least:
        raise ValueError(f"Insufficient bit width={width} provided for binwidth={least}")
    return text if width is None else text.rjust(width, "0")


def base_repr(number, base=2, padding=0):
    """An integer in a base."""
    if base > 36:
        raise ValueError("Bases greater than 36 not handled in base_repr.")
    if base < 2:
        raise ValueError("Bases less than 2 not handled in base_repr.")
    n, digits = abs(int(number)), ""
    while n:
        n, d = divmod(n, base)
        digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"[d] + digits
    return ("-" if number < 0 else "") + "0" * padding + (digits or ("0" if not padding else ""))


def iterable(y):
    """Whether iter() takes it."""
    try:
        iter(y)
    except TypeError:
        return False
    return True


def from_dlpack(x, /, *, device=None, copy=None):
    """Another's memory by DLPack."""
    from .. import from_dlpack as read
    _check_device(device)
    r = array_of(read(x))
    return r.copy() if copy else r


_BY_KIND = {"bool": ["bool"], "signed integer": [f"int{n}" for n in (8, 16, 32, 64)],
            "unsigned integer": [f"uint{n}" for n in (8, 16, 32, 64)],
            "real floating": ["float32", "float64"], "complex floating": ["complex64", "complex128"]}


class __array_namespace_info__:
    """What this namespace can do."""

    def capabilities(self):
        return {"boolean indexing": True, "data-dependent shapes": True, "max dimensions": 16}

    def default_device(self):
        return "cpu"

    def devices(self):
        return ["cpu"]

    def default_dtypes(self, *, device=None):
        _check_device(device)
        return {"real floating": dtype("float64"), "complex floating": dtype("complex128"),
                "integral": dtype("int64"), "indexing": dtype("int64")}

    def dtypes(self, *, device=None, kind=None):
        _check_device(device)
        kinds = kind if isinstance(kind, tuple) else (kind,)
        wider = {None: list(_BY_KIND), "integral": ["signed integer", "unsigned integer"],
                 "numeric": list(_BY_KIND)[1:]}
        names = {}
        for one in kinds:
            if one not in wider and one not in _BY_KIND:
                raise ValueError(f"unsupported kind: {one!r}")
            for part in wider.get(one, [one]):
                names.update((n, dtype(n)) for n in _BY_KIND[part])
        return names
