"""Questions about dtypes and tensors, threads, and modes: what has no row of its own."""
import math as _math

from . import _dtypes as _d
from . import _kiln
from ._kiln import Tensor
from ._size import Size

inf, nan, pi, e = _math.inf, _math.nan, _math.pi, _math.e
newaxis = None

# ---- layouts and memory formats: names ----


class layout:
    """How a tensor's elements are kept."""

    def __init__(self, name):
        self._name = name

    def __repr__(self):
        return f"torch.{self._name}"


class memory_format(layout):
    """In which order a dense tensor's dimensions lie."""


strided, sparse_coo = layout("strided"), layout("sparse_coo")
sparse_csr, sparse_csc, sparse_bsr, sparse_bsc = map(  # of no tensor: only compared with
    layout, ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc"))
contiguous_format, preserve_format, channels_last, channels_last_3d = map(
    memory_format, ("contiguous_format", "preserve_format", "channels_last", "channels_last_3d"))
Tensor.layout = property(lambda self: strided)

# ---- dtypes ----

_BITS = {_d.float64: (64, 52, 11), _d.float32: (32, 23, 8), _d.float16: (16, 10, 5),
         _d.bfloat16: (16, 7, 8)}
_REAL = {_d.complex64: _d.float32, _d.complex128: _d.float64}


class finfo:
    """A floating-point dtype's range and precision.

    >>> torch.finfo(torch.float16).max
    65504.0
    """

    def __init__(self, type=None):
        dt = _kiln.get_default_dtype() if type is None else type
        real = _REAL.get(dt, dt)
        if real not in _BITS:
            raise TypeError("torch.finfo() requires a floating point input type. Use torch.iinfo "
                            f"to handle '{dt!r}'")
        self.bits, mantissa, exponent = _BITS[real]
        top = 2 ** (exponent - 1) - 1
        self.dtype = repr(real)[len("torch."):]
        self.eps = 2.0 ** -mantissa
        self.max = (2 - self.eps) * 2.0 ** top
        self.min = -self.max
        self.tiny = self.smallest_normal = 2.0 ** (1 - top)
        self.resolution = 10.0 ** -int(mantissa * _math.log10(2))

    def __repr__(self):
        return (f"finfo(resolution={self.resolution:g}, min={self.min:g}, max={self.max:g}, "
                f"eps={self.eps:g}, smallest_normal={self.smallest_normal:g}, "
                f"tiny={self.tiny:g}, dtype={self.dtype})")


class iinfo:
    """An integer dtype's range."""

    def __init__(self, type):
        if type.is_floating_point or type.is_complex or type == _d.bool:
            raise TypeError("torch.iinfo() requires an integer input type. Use torch.finfo to "
                            f"handle '{type!r}'")
        self.bits, self.dtype = 8 * type.itemsize, repr(type)[len("torch."):]
        self.min = -2 ** (self.bits - 1) if type.is_signed else 0
        self.max = 2 ** (self.bits - type.is_signed) - 1

    def __repr__(self):
        return f"iinfo(min={self.min:g}, max={self.max:g}, dtype={self.dtype})"


def promote_types(type1, type2):
    """The dtype of a sum of tensors of these.

    >>> torch.promote_types(torch.int8, torch.uint8)
    torch.int16
    """
    from . import zeros
    return (zeros(1, dtype=type1) + zeros(1, dtype=type2)).dtype


def result_type(tensor1, tensor2):
    """The dtype of a sum of these tensors or numbers.

    >>> torch.result_type(torch.ones(2, dtype=torch.int32), 1.5)
    torch.float32
    """
    from . import zeros

    def stand_in(x):
        return zeros((1,) * min(x.dim(), 1), dtype=x.dtype) if isinstance(x, Tensor) else \
            type(x)(0)
    a, b = stand_in(tensor1), stand_in(tensor2)
    if not isinstance(a, Tensor) and not isinstance(b, Tensor):
        a = zeros((), dtype=_number_dtype(a))
    return (a + b).dtype


def _number_dtype(v):
    real = _kiln.get_default_dtype()
    wide = _d.complex128 if real == _d.float64 else _d.complex64
    return {bool: _d.bool, int: _d.int64, float: real, complex: wide}[type(v)]


def _order(dt):
    return 3 if dt.is_complex else 2 if dt.is_floating_point else 1 if dt != _d.bool else 0


def can_cast(from_, to):
    """Whether PyTorch's rules allow the cast: never down in kind.

    >>> torch.can_cast(torch.float32, torch.int64)
    False
    """
    if from_.is_signed and to.is_signed is False and to != _d.bool and _order(from_) == 1:
        return False
    return _order(from_) <= _order(to)


# ---- tensors ----


def is_tensor(obj):
    return isinstance(obj, Tensor)


def is_storage(obj):
    from .storage import UntypedStorage
    return isinstance(obj, UntypedStorage)


def is_nonzero(input):
    """The truth of one element."""
    if input.numel() != 1:
        return bool(input)
    return bool(input != 0)


def is_conj(input):
    """Never: a conjugate is computed, no flag of its operand."""
    return False


is_neg = is_inference = is_distributed = is_conj


def is_signed(input):
    return input.dtype.is_signed


def is_same_size(input, other):
    return input.shape == other.shape


def typename(obj):
    return f"torch.{obj.type().split('.')[-1]}" if isinstance(obj, Tensor) else \
        f"{type(obj).__module__}.{type(obj).__qualname__}"


def get_device(input):
    """A GPU tensor's device number; -1: the CPU."""
    return -1 if input.device.index is None else input.device.index


for _name in ("is_nonzero", "is_conj", "is_neg", "is_inference", "is_distributed", "is_signed",
              "is_same_size", "get_device"):
    setattr(Tensor, _name, globals()[_name])
_KINDS = {_d.float32: "Float", _d.float64: "Double", _d.float16: "Half", _d.bfloat16: "BFloat16",
          _d.int64: "Long", _d.int32: "Int", _d.int16: "Short", _d.int8: "Char",
          _d.uint8: "Byte", _d.bool: "Bool", _d.complex64: "ComplexFloat",
          _d.complex128: "ComplexDouble"}
_NAMES = {f"torch.{v}Tensor": k for k, v in _KINDS.items()}


def _type(self, dtype=None, non_blocking=False, **kwargs):
    """Its type's name, or the tensor as that type."""
    if dtype is None:
        where = "torch.cuda." if self.is_cuda else "torch."
        return f"{where}{_KINDS.get(self.dtype, repr(self.dtype))}Tensor"
    if isinstance(dtype, str):
        if dtype not in _NAMES:
            raise ValueError(f"invalid type: '{dtype}'")
        dtype = _NAMES[dtype]
    return self.to(getattr(dtype, "_dtype", dtype))


_type.__name__ = "type"
Tensor.type = _type


class _Kind(type):
    """torch.FloatTensor and its like: called it makes a tensor, isinstance asks the dtype."""

    dtype = property(lambda cls: cls._dtype)

    def __instancecheck__(cls, obj):
        return isinstance(obj, Tensor) and obj.dtype == cls._dtype

    def __call__(cls, *args):
        from . import empty, tensor
        if len(args) == 1 and not isinstance(args[0], (int, Size)):
            return tensor(args[0], dtype=cls._dtype)
        size = args[0] if args and isinstance(args[0], Size) else args or 0
        return empty(size, dtype=cls._dtype)


for _dt, _name in _KINDS.items():
    globals()[_name + "Tensor"] = _Kind(_name + "Tensor", (), {"_dtype": _dt})


def set_default_tensor_type(t):
    """The real dtype of new tensors, by the name of a tensor type."""
    _kiln.set_default_dtype(_NAMES[t] if isinstance(t, str) else t._dtype)


# ---- threads and modes ----


def set_num_threads(n):
    """Threads that kernels run on; no result depends on it."""
    _kiln._set_num_threads(n)


def get_num_threads():
    return _kiln._num_threads()


set_num_interop_threads = set_num_threads
get_num_interop_threads = get_num_threads


_deterministic = {"mode": False, "warn_only": False}


def use_deterministic_algorithms(mode, *, warn_only=False):
    """Noted, and told when asked: every kernel gives the same bits each time in any case."""
    _deterministic.update(mode=bool(mode), warn_only=bool(warn_only))


def are_deterministic_algorithms_enabled():
    return _deterministic["mode"]


def is_deterministic_algorithms_warn_only_enabled():
    return _deterministic["warn_only"]


def set_deterministic_debug_mode(debug_mode):
    """use_deterministic_algorithms by a number or word: 0 "default", 1 "warn", 2 "error"."""
    words = ("default", "warn", "error")
    if not isinstance(debug_mode, (int, str)):
        raise TypeError(f"debug_mode must be str or int, but got {type(debug_mode)}")
    n = words.index(debug_mode) if debug_mode in words else debug_mode
    if n not in (0, 1, 2):
        raise RuntimeError("invalid value of debug_mode, expected one of 0, 1, 2 or "
                           f"`default`, `warn`, `error`, but got {debug_mode}")
    use_deterministic_algorithms(n > 0, warn_only=n == 1)


def get_deterministic_debug_mode():
    return _deterministic["mode"] and 2 - _deterministic["warn_only"] or 0


def _assert(condition, message):
    """AssertionError with the message unless the condition holds."""
    if not condition:
        raise AssertionError(message() if callable(message) else message)


def _checking(error):
    def check(cond, message=None):
        """An error with message() unless cond holds."""
        if not isinstance(cond, bool):
            raise TypeError(f"cond must be a bool, but got {type(cond)}")
        if not cond:
            if message is not None and not callable(message):
                raise TypeError("message must be a callable")
            raise error("Expected cond to be True, but got False. (Could this error message be "
                        "improved? If so, please report an enhancement request to PyTorch.)"
                        if message is None else str(message()))

    return check


_check, _check_value, _check_type, _check_index, _check_not_implemented = map(
    _checking, (RuntimeError, ValueError, TypeError, IndexError, NotImplementedError))


def _assert_async(input, assert_msg=""):
    """RuntimeError unless the one element is not zero."""
    if not bool(input):
        raise RuntimeError(assert_msg or "Expected Tensor with single nonzero value, but got zero")


def get_float32_matmul_precision():
    return "highest"


def set_float32_matmul_precision(precision):
    """Products of float32 are computed in float32, whatever is asked here."""
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f"{precision} is not one of 'highest', 'high', or 'medium'")


def set_flush_denormal(mode):
    """False: denormal numbers are kept."""
    return False


def is_inference_mode_enabled():
    return not _kiln.is_grad_enabled()


def compile(model=None, **options):
    """model itself: whatever is computed is compiled, with no tracing of Python."""
    return (lambda m: m) if model is None else model


def stats():
    """What this process did: kernels launched and compiled, programs, copies, casts, caches."""
    return _kiln._stats()


def set_pinned_shapes(on):
    """True: every size has a program of its own. False, as it begins: a piece of program that is met
    with other sizes gets one whose sizes are symbols, so that the next ones compile nothing; the
    bits are the same. Returns what it was."""
    return _kiln._set_pinned_shapes(on)


def explain(fn, *args, **kwargs):
    """What would compute fn(*args) (or the tensors fn), a line a kernel: what was fused, bytes,
    operations, and which bound it hits. Nothing is run."""
    out = fn if isinstance(fn, (Tensor, tuple, list)) else fn(*args, **kwargs)
    return _kiln._explain(*([out] if isinstance(out, Tensor) else out))


_PRIVATE = {"_assert", "_assert_async", "_check", "_check_value", "_check_type", "_check_index",
            "_check_not_implemented"}
__all__ = [n for n in globals() if (n in _PRIVATE or not n.startswith("_")) and n != "Tensor"]
