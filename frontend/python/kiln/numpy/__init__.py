"""NumPy mode: NumPy's names and defaults over kiln's tensors.

    import kiln.numpy as np

float64 by default, axis=, ddof 0, sort gives values, indexing with negative steps, NumPy's
text. Arrays are kiln tensors: lazy, compiled, and sharing memory with NumPy and with
`import kiln as torch`. The functions are made from a table (_table.py); what has no row is an
AttributeError."""
import math as _math

from ._array import (AxisError, array, asarray, complexfloating, floating, generic,  # noqa: F401
                     inexact, integer, issubdtype, ndarray, number, scalars as _scalars,
                     signedinteger, unsignedinteger)
from ._dtype import (can_cast, dtype, finfo, iinfo, meet as _meet, promote_types,  # noqa: F401
                     WEAK as _WEAK)
from ._generate import functions as _make
from ._print import array2string, array_repr, array_str  # noqa: F401

globals().update(_make(""))
globals().update(_scalars)
bool_, int_, uint, double, single, half, intp = (_scalars[_n] for _n in (
    "bool", "int64", "uint64", "float64", "float32", "float16", "int64"))
byte, ubyte, short, ushort, intc, uintc, longlong, cdouble, csingle = (_scalars[_n] for _n in (
    "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "complex128", "complex64"))

pi, e, euler_gamma, inf, nan = _math.pi, _math.e, 0.5772156649015329, _math.inf, _math.nan
newaxis = None
asanyarray = asarray


def ascontiguousarray(a, dtype=None):
    """a, its elements dense in memory and row after row."""
    r = asarray(a, dtype)
    return r if r.is_contiguous() else r.copy()


def result_type(*arrays_and_dtypes):
    """The dtype in which operands meet; Python numbers count by kind alone."""
    weak = [type(v) for v in arrays_and_dtypes if type(v) in _WEAK]
    rest = [v.dtype if isinstance(v, ndarray) else dtype(getattr(v, "dtype", v))
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


def copyto(dst, src):
    """src's elements into dst."""
    dst[...] = src


def isscalar(element):
    """Whether it is a number."""
    return isinstance(element, _WEAK + (generic,))


def iscomplexobj(x):
    return asarray(x).dtype.kind == "c"


def isrealobj(x):
    return not iscomplexobj(x)


def frombuffer(buffer, dtype=float, count=-1, offset=0):
    """A 1-d array over a buffer's bytes."""
    from .. import frombuffer as read
    from ._array import array_of
    from ._dtype import dtype as find
    return array_of(read(buffer, dtype=find(dtype).kiln, count=count, offset=offset))


def save(file, arr):
    """To a .npy file."""
    import numpy
    numpy.save(file, asarray(arr).numpy())


def load(file):
    """A .npy file's array, or a dict of a .npz file's."""
    from .. import load as read
    from ._array import array_of
    r = read(file)
    return {n: array_of(t) for n, t in r.items()} if isinstance(r, dict) else array_of(r)


from . import fft, linalg, random  # noqa: E402,F401
