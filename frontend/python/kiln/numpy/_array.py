"""ndarray: a kiln tensor with NumPy's methods, indexing, operators and text. What has no
dimension left comes back as a scalar: an array that prints as its number.

Functions made from the table (_table.py) call into this module to take and give arrays."""
import math

from .. import _kiln
from .._kiln import Tensor
from . import _numbers, _print
from ._dtype import WEAK, can_cast, dtype, meet
from ._dtype import _known as _spellings

_torch = _kiln._functions["torch"]
_raw_dtype = Tensor.dtype.__get__
_raw_shape = Tensor.shape.__get__
_raw_device = Tensor.device.__get__
_known = {d.kiln: d for d in map(dtype, (
    "bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16",
    "float32", "float64", "complex64", "complex128"))}


class AxisError(ValueError, IndexError):
    """An axis that the array does not have."""

    def __init__(self, axis, ndim, prefix=""):
        super().__init__(f"{prefix}axis {axis} is out of bounds for array of dimension {ndim}")
        self.axis, self.ndim = axis, ndim


def axis_of(axis, ndim, prefix=""):
    """axis counted from the front."""
    axis = axis.__index__()
    if not -ndim <= axis < ndim:
        raise AxisError(axis, ndim, prefix)
    return axis % ndim


def axes_of(axis, ndim, prefix=""):
    """An axis, several or None (all) as a list."""
    if axis is None:
        return list(range(ndim))
    axes = [axis_of(d, ndim, prefix) for d in (axis if isinstance(axis, (tuple, list)) else (axis,))]
    if len(set(axes)) < len(axes):
        raise ValueError("duplicate value in 'axis'")
    return axes


# ---- into arrays and out of them ----


def array_of(t):
    """A tensor as an array, without dimensions too."""
    return _kiln._as_class(ndarray, t)


def give(t):
    """What a function returns: arrays as arrays, without dimensions as scalars."""
    if isinstance(t, Tensor):
        return array_of(t) if t.dim() else _kiln._as_class(_known[_raw_dtype(t)].type, t)
    if hasattr(t, "_make"):
        return t._make(map(give, t))
    if isinstance(t, (tuple, list)):
        return type(t)(map(give, t)) if type(t) in (tuple, list) else tuple(map(give, t))
    return t


def cast(t, dt):
    """t as dtype dt; t itself where it is that."""
    return t if _raw_dtype(t) == dt.kiln else Tensor.to(t, dt.kiln)


def _from_list(data, dt):
    types, integers, arrays = set(), [], []
    _numbers.survey(data, types, integers, arrays)
    if arrays:
        parts = [asarray(v) for v in data]
        shapes = [p.shape for p in parts]
        if len(set(shapes)) > 1:
            raise _ragged([list(p.shape) for p in parts], len(parts))
        found = dt or meet([p.dtype for p in parts], ())
        return _torch["stack"]([cast(p, found) for p in parts])
    if dt is not None and dt.order in (1, 2) and complex in types:
        raise TypeError(f"{'int' if dt.order < 2 else 'float'}() argument must be a string or a real "
                        "number, not 'complex'")
    try:
        return _numbers.tensor(data, dt, types, integers)
    except (ValueError, TypeError):
        _check_nested(data)
        raise


def _ragged(shapes, *outer):
    """The error of parts whose shapes differ; outer: the extents that they stand in."""
    while shapes and all(s and s[0] == shapes[0][0] for s in shapes):
        outer, shapes = outer + (shapes[0][0],), [s[1:] for s in shapes]
    text = f"({', '.join(map(str, outer))}{',' * (len(outer) == 1)})"
    return ValueError("setting an array element with a sequence. The requested array has an "
                      f"inhomogeneous shape after {len(outer)} dimensions. The detected shape was "
                      f"{text} + inhomogeneous part.")


def _check_nested(data):
    """Nested lists that are as long as their neighbours."""
    level, outer = [data], ()
    while all(isinstance(v, (list, tuple, range)) for v in level) and level:
        if len(set(map(len, level))) > 1:
            raise _ragged([], *outer)
        outer += (len(level[0]),)
        level = [w for v in level for w in v]
    if any(isinstance(v, (list, tuple, range)) for v in level):
        raise _ragged([], *outer)


def _import(obj):
    """Memory that speaks the buffer protocol as a tensor over it; strides may be negative."""
    if getattr(getattr(obj, "dtype", None), "kind", "") in tuple("mM"):
        dtype(obj.dtype)  # says that there are no times
    flipped = [d for d, s in enumerate(getattr(obj, "strides", None) or ()) if s < 0]
    if not flipped or not hasattr(obj, "ndim"):
        return _kiln._from_buffer(obj)
    key = tuple(slice(None, None, -1) if d in flipped else slice(None) for d in range(obj.ndim))
    t = _kiln._from_buffer(obj[key])
    for d in flipped:
        t = _kiln._slice(t, d, t.shape[d] - 1, -1, -1)
    return t


def tensor_of(obj, dt=None):
    """Anything as a tensor, sharing memory where it can."""
    if isinstance(obj, Tensor):
        t = obj
    elif type(obj) in WEAK:
        return _numbers.tensor(obj, dt, {type(obj)}, [obj] if type(obj) is int else [])
    elif isinstance(obj, (list, tuple, range)):
        return _from_list(obj, dt)
    else:
        if not hasattr(obj, "__array_interface__") or not hasattr(obj, "strides"):
            obj = obj.__array__() if hasattr(obj, "__array__") else obj
        t = _import(obj)
    return t if dt is None else cast(t, dt)


def asarray(a, dtype=None, order=None, *, device=None, copy=None):
    """a as an array: itself, its memory, or new; copy=True: always new, copy=False: never."""
    if copy:
        return _placed(array(a, dtype), device)
    dt = None if dtype is None else _dtype(dtype)
    if copy is False and (not hasattr(a, "shape") or dt is not None and dtype_of(a) is not dt):
        raise ValueError(_NO_COPY)
    if type(a) is ndarray and (dt is None or dt is a.dtype):
        return _placed(a, device)
    return _placed(array_of(tensor_of(a, dt)), device)


def _placed(a, device):
    return a if device is None else a.to_device(device)


_NO_COPY = """Unable to avoid copy while creating an array as requested.
If using `np.array(obj, copy=False)` replace it with `np.asarray(obj)` to allow a copy when needed \
(no behavior change in NumPy 1.x).
For more details, see \
https://numpy.org/devdocs/numpy_2_0_migration_guide.html#adapting-to-changes-in-the-copy-keyword."""


def dtype_of(a):
    """What has a dtype of its own, in our spelling."""
    return _dtype(_raw_dtype(a) if isinstance(a, Tensor) else a.dtype)


_dtype = dtype


def array(object, dtype=None, *, copy=True, order="K", ndmin=0):
    """A new array of nested lists, of an array, or of memory; order "F": columns dense."""
    dt = None if dtype is None else _dtype(dtype)
    t = tensor_of(object, dt)
    if copy and not isinstance(object, (list, tuple, range)):
        t = t.clone()
    while t.dim() < ndmin:
        t = t.unsqueeze(0)
    if order == "F" and t.dim() > 1:
        back = tuple(range(t.dim()))[::-1]
        t = t.permute(back).contiguous().permute(back)
    return array_of(t)


def operand(x):
    """An operand of an operation: an array, or a Python number, which has no dtype of its own."""
    return x if type(x) in WEAK or isinstance(x, ndarray) else asarray(x)


# ---- indexing ----


def _whole(v):
    return hasattr(v, "__index__") and not isinstance(v, (bool, list)) and not (
        isinstance(v, ndarray) and (v.ndim or v.dtype.kind == "b")) and not hasattr(v, "ravel") \
        or isinstance(v, generic) and v.dtype.kind in "iu"


def _is_listed(v):
    return not (v is None or v is Ellipsis or isinstance(v, (slice, bool))) and not _whole(v)


def _uses(v):
    if v is None or isinstance(v, bool):
        return 0
    if isinstance(v, Tensor) and _raw_dtype(v) == _kiln.bool:
        return v.dim()
    return 1


def _check_mask(a, v, d):
    if isinstance(v, Tensor) and _raw_dtype(v) == _kiln.bool:
        for i, (n, m) in enumerate(zip(_raw_shape(v), a.shape[d:]), d):
            if n != m:
                raise IndexError("boolean index did not match indexed array along axis "
                                 f"{i}; size of axis is {m} but size of corresponding boolean "
                                 f"axis is {n}")


def _places(v):
    """A part of a key; a mask without elements, whatever its shape, as the places it names: none."""
    if isinstance(v, ndarray) and v.ndim and not v.size and v.dtype.kind == "b":
        return (array([], "int64"),) * v.ndim
    return (v,)


def _plain_key(a, key):
    """a and key without negative steps, and with integers as NumPy takes them; whether
    nothing but integers is left."""
    parts = list(key) if isinstance(key, tuple) else [key]
    for i, v in enumerate(parts):
        if _whole(v):
            parts[i] = v.__index__()
        elif isinstance(v, (str, float, complex)):
            raise IndexError("only integers, slices (`:`), ellipsis (`...`), numpy.newaxis (`None`) "
                             "and integer or boolean arrays are valid indices")
        elif _is_listed(v):
            v = asarray(v)
            parts[i] = v if v.size or v.dtype.kind in "iub" else v.astype("int64")
        if isinstance(parts[i], Tensor) and parts[i].dtype.kind not in "iub":
            raise IndexError("arrays used as indices must be of integer (or boolean) type")
    parts = [w for v in parts for w in _places(v)]
    used = sum(_uses(v) for v in parts if v is not Ellipsis)
    if used > a.ndim:
        raise IndexError(f"too many indices for array: array is {a.ndim}-dimensional, but "
                         f"{used} were indexed")
    parts = [v.astype("int64") if isinstance(v, Tensor) and v.dtype == "uint8" else v
             for v in parts]  # numbers here, truth to Tensor
    listed = any(isinstance(v, Tensor) for v in parts)
    d = 0
    for i, v in enumerate(parts):
        _check_mask(a, v, d)
        if isinstance(v, slice) and v.step is not None and v.step.__index__() < 0:
            a = _kiln._slice(a, d, *v.indices(a.shape[d]))
            parts[i] = slice(None)
        elif type(v) is int:
            if not -a.shape[d] <= v < a.shape[d]:
                raise IndexError(
                    f"index {v} is out of bounds for axis {d} with size {a.shape[d]}")
            parts[i] = array([v % a.shape[d]]) if listed else v
        d += a.dim() - used if v is Ellipsis else _uses(v)
    return a, tuple(parts), used == a.dim() and all(type(v) is int for v in parts)


def _in_range(fn, *args):
    """fn, its complaint about an index in NumPy's words."""
    try:
        return fn(*args)
    except IndexError as e:
        if " is out of bounds for dimension " not in str(e):
            raise
        text = str(e).partition(" (at ")[0].replace("for dimension", "for axis")
        raise IndexError(text) from None


def _method(name):
    """The function of that name as a method."""
    def method(self, *args, **kwargs):
        return _functions[name](self, *args, **kwargs)

    method.__name__ = name
    return method


_functions = {}  # by name; the package fills it


class ndarray(Tensor):
    """An array of elements of one dtype."""

    __hash__ = None
    __array_priority__ = 1.0
    __torch_function__ = _kiln._disabled_torch_function

    def __array_wrap__(self, array, context=None, return_scalar=False):
        return array_of(Tensor.__array_wrap__(self, array))

    def __new__(cls, shape, dtype=None):
        return array_of(_torch["empty"](shape, dtype=_dtype(dtype).kiln))

    shape = property(lambda self: tuple(_raw_shape(self)),
                     lambda self, shape: _set_shape(self, shape))
    dtype = property(lambda self: _known[_raw_dtype(self)])
    size = property(lambda self: self.numel())
    strides = property(lambda self: tuple(s * self.itemsize for s in Tensor.stride(self)))
    T = property(lambda self: self.transpose())
    mT = property(lambda self: give(Tensor.mT.__get__(self)))
    real = property(lambda self: array_of(Tensor.real.__get__(self)))
    imag = property(lambda self: array_of(
        Tensor.imag.__get__(self) if self.dtype.kind == "c" else _torch["zeros_like"](self)))
    base = None

    @property
    def device(self):
        """"cpu", or where else the elements are."""
        place = _raw_device(self)
        return "cpu" if place.type == "cpu" else place

    def __array_namespace__(self, /, *, api_version=None):
        if api_version not in (None, "2021.12", "2022.12", "2023.12", "2024.12"):
            raise ValueError(f"Version \"{api_version}\" of the Array API Standard is not supported.")
        from .. import numpy
        return numpy

    def to_device(self, device, /, *, stream=None):
        """The array on a device."""
        if stream is not None:
            raise ValueError("The stream argument in to_device() is not supported")
        return array_of(Tensor.to(self, device))

    @property
    def __array_interface__(self):
        return {"shape": self.shape, "typestr": self.dtype.str, "version": 3,
                "strides": self.strides, "data": (self.data_ptr(), False)}

    def __getitem__(self, key):
        a, key, one = _plain_key(self, key)
        r = _in_range(Tensor.__getitem__, a, key)
        return give(r.clone()) if one else array_of(r)

    def __setitem__(self, key, value):
        a, key, _ = _plain_key(self, key)
        value = _numbers.beside(value, self.dtype) if type(value) in WEAK and \
            self.dtype.order >= WEAK.index(type(value)) else cast(asarray(value), self.dtype)
        while isinstance(value, Tensor) and value.dim() > 1 and _raw_shape(value)[0] == 1:
            value = Tensor.squeeze(value, 0)
        _in_range(Tensor.__setitem__, a, key, value)

    def take_edges(self, cut, edge):
        """Where cut says so, only the first and last of a dimension."""
        t = self
        for d, short in enumerate(cut):
            if short:
                t = _torch["cat"]([_kiln._slice(t, d, 0, edge, 1), _kiln._slice(
                    t, d, t.shape[d] - edge, t.shape[d], 1)], d)
        return t

    def __iter__(self):
        if self.ndim == 0:
            raise TypeError("iteration over a 0-d array")
        return (self[i] for i in range(self.shape[0]))

    def __len__(self):
        if self.ndim == 0:
            raise TypeError("len() of unsized object")
        return self.shape[0]

    def __bool__(self):
        if self.size != 1:
            raise ValueError("The truth value of an array with more than one element is "
                             "ambiguous. Use a.any() or a.all()" if self.size else
                             "The truth value of an empty array is ambiguous. Use "
                             "`array.size > 0` to check that an array is not empty.")
        return bool(self.item())

    def item(self, *args):
        """The element, or the one at args, as Python's number."""
        if args:
            t = self.ravel()[args[0]] if len(args) == 1 and not isinstance(args[0], tuple) \
                else self[args if len(args) > 1 else args[0]]
            return t.item()
        if self.size != 1:
            raise ValueError("can only convert an array of size 1 to a Python scalar")
        return Tensor.item(self)

    def __complex__(self):
        return complex(self.item())

    def __repr__(self):
        return _print.array_repr(self)

    def __str__(self):
        return _print.array_str(self)

    def __format__(self, spec):
        if self.ndim and spec:
            raise TypeError("unsupported format string passed to numpy.ndarray.__format__")
        return str(self) if self.ndim else format(self.item(), spec)

    def __contains__(self, value):
        return bool((self == value).any())

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce_ex__(self, protocol):
        return type(self)._again, (_kiln._as_class(Tensor, self),)

    def astype(self, dtype, copy=True):
        """The elements as dtype."""
        r = cast(self, _dtype(dtype))
        return type(self)._again(r.clone() if copy and r is self else r)

    @classmethod
    def _again(cls, t):
        return array_of(t) if cls is ndarray else give(t)

    def copy(self, order="C"):
        """The same elements in memory of their own."""
        return self._again(Tensor.contiguous(self) if not self.is_contiguous() else self.clone())

    def fill(self, value):
        """Every element becomes value."""
        self[...] = value

    def view(self, dtype=None):
        """The same memory, as elements of dtype."""
        return array_of(self if dtype is None else Tensor.view(self, _dtype(dtype).kiln))

    def reshape(self, *shape, order="C"):
        """The elements in a shape; a view where it can be one."""
        return _functions["reshape"](self, shape[0] if len(shape) == 1 else shape, order)

    def transpose(self, *axes):
        """The axes in another order: reversed unless given."""
        axes = axes[0] if len(axes) == 1 and not isinstance(axes[0], int) else axes
        return _functions["transpose"](self, axes or None)

    def flatten(self, order="C"):
        """A copy in one dimension."""
        return _functions["reshape"](self, -1, order).copy()

    def compress(self, condition, axis=None, out=None):
        """Those of an axis that condition says."""
        return _functions["compress"](condition, self, axis, out)

    def put(self, indices, values, mode="raise"):
        """Elements of the flattened array, in place."""
        from ._edit import put
        put(self, indices, values, mode)

    def sort(self, axis=-1, kind=None, *, stable=None):
        """In place."""
        self[...] = _functions["sort"](self, axis)

    def partition(self, kth, axis=-1):
        """In place; all is sorted."""
        self.sort(axis)

    def nonzero(self):
        """The indices of what is not zero, an array a dimension."""
        return _functions["nonzero"](self)

    def tobytes(self, order="C"):
        """The elements' bytes."""
        return bytes(memoryview(Tensor.contiguous(self)).cast("B")) if self.size else b""

    def tofile(self, fid, sep="", format="%s"):
        """The elements' bytes to a file, or with sep their text."""
        data = sep.join(format % (v,) for v in self.ravel().tolist()).encode() if sep else self.tobytes()
        if hasattr(fid, "write"):
            fid.write(data)
        else:
            with open(fid, "wb") as file:
                file.write(data)

    @property
    def flags(self):
        """How the elements lie in memory."""
        return flags(self)

    def numpy(self, *, force=False):
        """A real NumPy array over the memory."""
        import numpy
        return numpy.asarray(memoryview(self))


class flags:
    """What is asked of an array's memory: flags.c_contiguous or flags["C_CONTIGUOUS"]."""

    def __init__(self, a):
        self.c_contiguous = self.contiguous = a.is_contiguous()
        self.f_contiguous = a.T.is_contiguous()
        self.writeable = self.aligned = True

    def __setattr__(self, name, value):
        if name == "writeable" and not value:
            raise NotImplementedError("kiln.numpy.ndarray.flags.writeable = False is not "
                                      "implemented: every array can be written")
        object.__setattr__(self, name, value)

    def __getitem__(self, name):
        try:
            return vars(self)[name.lower()]
        except KeyError:
            raise KeyError("Unknown flag") from None


def _set_shape(self, shape):
    Tensor.data.__set__(self, _functions["reshape"](self, shape))


for _name in ("all any argmax argmin argsort argpartition choose clip conj conjugate cumprod cumsum "
              "diagonal dot max mean min prod ptp ravel repeat round searchsorted squeeze std "
              "sum swapaxes take trace var").split():
    setattr(ndarray, _name, _method(_name))


# ---- operators ----


def _operator(name, swap=False):
    def method(self, other):
        if not isinstance(other, (Tensor, list, tuple) + WEAK) and not hasattr(
                other, "__array_interface__"):
            if other is None and name in ("equal", "not_equal"):  # as no element is
                return array_of(_torch["full"](self.shape, name == "not_equal"))
            return NotImplemented
        return _functions[name](other, self) if swap else _functions[name](self, other)

    return method


def _in_place(name):
    def method(self, other):
        r = _functions[name](self, other)
        if not can_cast(r.dtype, self.dtype, "same_kind"):
            raise TypeError(f"Cannot cast ufunc '{name}' output from {r.dtype!r} to "
                            f"{self.dtype!r} with casting rule 'same_kind'")
        if isinstance(self, generic):
            return r
        if r.shape != self.shape:
            raise ValueError(f"non-broadcastable output operand with shape {_text(self.shape)} "
                             f"doesn't match the broadcast shape {_text(r.shape)}")
        self.copy_(r)
        return self

    return method


def _text(shape):
    return str(tuple(shape)).replace(" ", "")


for _name, _fn in dict(add="add", sub="subtract", mul="multiply", truediv="divide",
                       floordiv="floor_divide", mod="remainder", pow="power", matmul="matmul",
                       lshift="left_shift", rshift="right_shift", xor="bitwise_xor",
                       divmod="divmod", **{"and": "bitwise_and", "or": "bitwise_or"}).items():
    setattr(ndarray, f"__{_name}__", _operator(_fn))
    setattr(ndarray, f"__r{_name}__", _operator(_fn, True))
    if _name != "divmod":
        setattr(ndarray, f"__i{_name}__", _in_place(_fn))
for _name, _fn in dict(lt="less", le="less_equal", eq="equal", ne="not_equal", gt="greater",
                       ge="greater_equal").items():
    setattr(ndarray, f"__{_name}__", _operator(_fn))
for _name, _fn in dict(neg="negative", pos="positive", abs="absolute", invert="invert").items():
    setattr(ndarray, f"__{_name}__", _method(_fn))


# ---- scalars: one class a dtype, as NumPy names them ----


class generic(ndarray):
    """A number with a dtype."""

    def __new__(cls, value=0):
        if isinstance(value, str):
            kind = _dtype(cls).kind
            value = (complex if kind == "c" else float if kind == "f" else int)(value)
        return give(tensor_of(value, _dtype(cls)).clone())

    def __repr__(self):
        text = _print.scalar_text(self.item(), self.dtype)
        if self.dtype.kind == "b":
            return f"np.{text}_"
        text = text[1:-1] if text.startswith("(") else text
        return f"np.{type(self).__name__}({text})"

    def __hash__(self):
        return hash(self.item())

    def __setitem__(self, key, value):
        raise TypeError(f"'numpy.{type(self).__name__}' object does not support item assignment")

    def __round__(self, ndigits=None):
        return round(self.item()) if ndigits is None else self.round(ndigits)

    def __floor__(self):
        return math.floor(self.item())

    def __ceil__(self):
        return math.ceil(self.item())

    def __trunc__(self):
        return math.trunc(self.item())

    def is_integer(self):
        """Whether it has no fraction."""
        return float(self.item()).is_integer()

    def as_integer_ratio(self):
        """Two integers whose quotient it is."""
        return float(self.item()).as_integer_ratio()


class number(generic):
    """A number, not a truth value."""


class integer(number):
    pass


class signedinteger(integer):
    pass


class unsignedinteger(integer):
    pass


class inexact(number):
    pass


class floating(inexact):
    pass


class complexfloating(inexact):
    pass


scalars = {}
for _d in _known.values():
    _base = {"b": generic, "i": signedinteger, "u": unsignedinteger, "f": floating,
             "c": complexfloating}[_d.kind]
    _d.type = scalars[_d.name] = type(_d.name, (_base,), {"__module__": "kiln.numpy"})
    _spellings[_d.type] = _d


def issubdtype(arg1, arg2):
    """Whether a dtype is of a kind."""
    if isinstance(arg2, type) and issubclass(arg2, generic):
        return issubclass(dtype(arg1).type, arg2)
    return dtype(arg1) is dtype(arg2)
