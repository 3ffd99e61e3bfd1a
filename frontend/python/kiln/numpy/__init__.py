"""NumPy mode: NumPy's names and defaults over kiln's tensors.

    import kiln.numpy as np

float64 by default, axis=, ddof 0, sort gives values, indexing with negative steps, NumPy's
text. Arrays are kiln tensors: lazy, compiled, and sharing memory with NumPy and with
`import kiln as torch`. The functions are made from a table (_table.py); what has no row is an
AttributeError."""
import math as _math

from .. import __version__  # noqa: F401
from ._array import (AxisError, array, asarray, complexfloating, floating, generic,  # noqa: F401
                     inexact, integer, issubdtype, ndarray, number, scalars as _scalars,
                     signedinteger, unsignedinteger)
from ._dtype import (can_cast, dtype, finfo, iinfo, meet as _meet, promote_types,  # noqa: F401
                     WEAK as _WEAK)
from ._edit import fill_diagonal, place, put, put_along_axis, putmask  # noqa: F401
from ._errors import errstate, geterr, seterr  # noqa: F401
from ._files import (frombuffer, fromfile, fromstring, genfromtxt, load, loadtxt, save,  # noqa: F401
                     savetxt, savez, savez_compressed)
from ._generate import functions as _make
from ._grid import (apply_along_axis, apply_over_axes, c_, fromfunction, fromiter,  # noqa: F401
                    index_exp, mask_indices, mgrid, ndenumerate, ndindex, ogrid, r_, s_, vectorize)
from ._helpers import broadcast_shapes, where as _where  # noqa: F401
from ._namespace import (__array_namespace_info__, astype, base_repr, binary_repr,  # noqa: F401
                         common_type, from_dlpack, isdtype, iterable, min_scalar_type)
from ._print import (array2string, array_repr, array_str, get_printoptions,  # noqa: F401
                     printoptions, set_printoptions)
from ._ufunc import ufunc  # noqa: F401
from ._walk import flatiter, nditer  # noqa: F401

globals().update(_make(""))
globals().update(_scalars)
bool_, int_, uint, double, single, half, intp = (_scalars[_n] for _n in (
    "bool", "int64", "uint64", "float64", "float32", "float16", "int64"))
byte, ubyte, short, ushort, intc, uintc, longlong, cdouble, csingle = (_scalars[_n] for _n in (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "complex128", "complex64"))

pi, e, euler_gamma, inf, nan = _math.pi, _math.e, 0.5772156649015329, _math.inf, _math.nan
newaxis = None
__array_api_version__ = "2024.12"
asanyarray = asarray
uintp, long, ulong, ulonglong = (_scalars[_n] for _n in ("uint64", "int64", "uint64", "uint64"))
True_, False_ = bool_(True), bool_(False)
little_endian = True


def ascontiguousarray(a, dtype=None):
    """a, its elements dense in memory and row after row."""
    r = asarray(a, dtype)
    return r if r.is_contiguous() else r.copy()


def asfortranarray(a, dtype=None):
    """a, its elements dense in memory and column after column."""
    r = asarray(a, dtype)
    return r if isfortran(r) else r.T.copy().T


def isfortran(a):
    """Whether only a's transpose is dense row after row."""
    return not a.is_contiguous() and a.T.is_contiguous()


def asarray_chkfinite(a, dtype=None, order=None):
    """a as an array, which must hold no inf and no nan."""
    r = asarray(a, dtype)
    if not bool(isfinite(r).all()):  # noqa: F821
        raise ValueError("array must not contain infs or NaNs")
    return r


def result_type(*arrays_and_dtypes):
    """The dtype in which operands meet; Python numbers count by kind alone."""
    weak = [type(v) for v in arrays_and_dtypes if type(v) in _WEAK]
    rest = [dtype(v) if isinstance(v, (type, str, dtype)) else asarray(v).dtype
            for v in arrays_and_dtypes if type(v) not in _WEAK]
    return _meet(rest, weak)


def shape(a):
    """The extents."""
    return asarray(a).shape


def ndim(a):
    """How many axes."""
    return asarray(a).ndim


def size(a, axis=None):
    """How many elements, or along an axis."""
    return asarray(a).size if axis is None else asarray(a).shape[axis]


def shares_memory(a, b):
    """Whether both lie in one storage."""
    from .. import _kiln
    return _kiln._shares_memory(asarray(a), asarray(b))


may_share_memory = shares_memory


def copyto(dst, src, casting="same_kind", where=True):
    """src's elements into dst, where that is said."""
    kind = _WEAK.index(type(src)) if type(src) in _WEAK else None
    if dst.dtype.order < kind if kind is not None \
            else not can_cast(asarray(src).dtype, dst.dtype, casting):
        raise TypeError(f"Cannot cast array data from {asarray(src).dtype!r} to {dst.dtype!r} "
                        f"according to the rule '{casting}'")
    dst[...] = src if where is True else _where(asarray(where), src, dst)


def require(a, dtype=None, requirements=None):
    """a as an array whose memory is as required: C or F order; each of ours can be written."""
    asked = {r.upper()[0] for r in requirements or ()}
    return asfortranarray(a, dtype) if "F" in asked else \
        ascontiguousarray(a, dtype) if "C" in asked else asarray(a, dtype)


def isscalar(element):
    """Whether it is a number."""
    return isinstance(element, _WEAK + (generic,))


def iscomplexobj(x):
    return asarray(x).dtype.kind == "c"


def isrealobj(x):
    return not iscomplexobj(x)


# the characters of the dtypes there are, as NumPy's by kind
typecodes = {"Character": "", "Integer": "bhilq", "UnsignedInteger": "BHILQ", "Float": "efd",
             "Complex": "FD", "AllInteger": "bBhHiIlLqQ", "AllFloat": "efdFD", "Datetime": "",
             "All": "?bhilqBHILQefdFD"}


def __getattr__(name):
    """What is not there: an AttributeError, which says why where the reason is a dtype's."""
    if name in ("datetime64", "timedelta64"):
        raise AttributeError(f"kiln has no {name}: keep times as int64 or float64, or in NumPy's own "
                             "arrays")
    raise AttributeError(f"module 'kiln.numpy' has no attribute '{name}'")


from . import fft, linalg, random  # noqa: E402,F401
from . import emath, lib, testing  # noqa: E402,F401
from ._poly1d import poly1d  # noqa: E402,F401
from ._random_state import RandomState as _RandomState  # noqa: E402

random.RandomState = _RandomState
