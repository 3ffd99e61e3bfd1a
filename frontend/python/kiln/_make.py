"""Tensors from Python's and NumPy's data."""
import collections.abc
import warnings

from . import _kiln
from ._kiln import Tensor
from .storage import UntypedStorage


def _finish(t, device, requires_grad):
    if device is not None:
        t = t.to(device)
    return t.requires_grad_() if requires_grad else t


def tensor(data, *, dtype=None, device=None, requires_grad=False, pin_memory=False) -> Tensor:
    """A new tensor of data (nested lists, an array, a tensor), which is always copied.

    >>> torch.tensor([[1, 2], [3, 4]])
    tensor([[1, 2],
            [3, 4]])
    """
    if isinstance(data, Tensor):
        warnings.warn("To copy construct from a tensor, it is recommended to use "
                      "sourceTensor.detach().clone() or sourceTensor.detach().clone()."
                      "requires_grad_(True), rather than torch.tensor(sourceTensor).",
                      UserWarning, stacklevel=2)
    return _finish(read(data, dtype), device or _elsewhere(), requires_grad)


def _listed(data):
    """data with every sequence in it a list: a deque, a UserList."""
    sequence = isinstance(data, collections.abc.Sequence) and not isinstance(data, (str, bytes))
    return [_listed(v) for v in data] if sequence else data


def read(data, dtype):
    """A new tensor of numbers, of sequences of them, of memory, or of what has an array to give
    (a pandas Series)."""
    if isinstance(data, UntypedStorage):
        return data._flat().to(dtype or data.dtype, copy=True)
    try:
        return _kiln._tensor(data, dtype)
    except (TypeError, RuntimeError):  # what the second attempt cannot read either, it says
        if not hasattr(data, "__array__"):
            return _kiln._tensor(_listed(data), dtype)
        return _kiln._tensor(data.__array__(), dtype)


def _elsewhere():
    """The device of new tensors; None: the cpu."""
    name = _kiln._get_default_device()
    return None if name == "cpu" else name


def _read_only(a):
    return getattr(getattr(a, "flags", None), "writeable", True) is False


def from_numpy(ndarray) -> Tensor:
    """The array's own memory as a tensor: each sees what is written through the other."""
    kind = type(ndarray)
    if kind.__name__ != "ndarray":
        raise TypeError(f"expected np.ndarray (got {kind.__name__})")
    if ndarray.dtype.kind not in "biufc":
        raise TypeError(
            f"can't convert np.ndarray of type {ndarray.dtype.type.__module__}."
            f"{ndarray.dtype.type.__name__}. The only supported types are: float64, float32, "
            "float16, complex64, complex128, int64, int32, int16, int8, uint64, uint32, uint16, "
            "uint8, and bool.")
    if _read_only(ndarray):
        warnings.warn("The given NumPy array is not writable, and PyTorch does not support "
                      "non-writable tensors. This means writing to this tensor will result in "
                      "undefined behavior. You may want to copy the array to protect its data "
                      "or make it writable before converting it to a tensor. This type of "
                      "warning will be suppressed for the rest of this program.",
                      UserWarning, stacklevel=2)
    return _kiln._from_buffer(ndarray)


def as_tensor(data, dtype=None, device=None) -> Tensor:
    """data as a tensor, sharing memory where it can."""
    if isinstance(data, Tensor):
        return _finish(data if dtype is None else data.to(dtype), device, False)
    if type(data).__name__ == "ndarray":
        t = from_numpy(data)
        return _finish(t if dtype is None else t.to(dtype), device or _elsewhere(), False)
    return tensor(data, dtype=dtype, device=device)


def asarray(obj, *, dtype=None, device=None, copy=None, requires_grad=False) -> Tensor:
    """as_tensor with a say about copying: True always, False never, None where needed."""
    if copy:
        return tensor(obj, dtype=dtype, device=device, requires_grad=requires_grad)
    return _finish(as_tensor(obj, dtype, device), None, requires_grad)


def from_dlpack(ext_tensor, *, device=None, copy=None) -> Tensor:
    """The memory of whatever has __dlpack__, or of a capsule, as a tensor."""
    capsule = ext_tensor
    if hasattr(ext_tensor, "__dlpack__"):
        try:
            capsule = ext_tensor.__dlpack__(max_version=(1, 0))
        except TypeError:  # from before versions
            capsule = ext_tensor.__dlpack__()
    t = _kiln._from_dlpack(capsule)
    t = t.clone() if copy else t
    return t if device is None else t.to(device)


def frombuffer(buffer, *, dtype, count=-1, offset=0, requires_grad=False) -> Tensor:
    """A 1-d tensor over a buffer's bytes.

    >>> memory = bytearray([1, 2, 3])
    >>> t = torch.frombuffer(memory, dtype=torch.uint8)
    >>> memory[0] = 9
    >>> t
    tensor([9, 2, 3], dtype=torch.uint8)
    """
    try:
        view = memoryview(buffer).cast("B")
    except TypeError:
        raise ValueError("object does not implement Python buffer protocol.") from None
    n = _count_in_buffer(len(view), dtype.itemsize, count, offset)
    t = _kiln._over_bytes(view[offset:offset + n * dtype.itemsize], dtype)
    return _finish(t, None, requires_grad)


def _count_in_buffer(length, size, count, offset):
    """How many elements of size bytes a buffer gives."""
    if not length or not count:
        raise ValueError(f"both buffer length ({length}) and count ({count}) must not be 0")
    if not 0 <= offset < length:
        raise ValueError(f"offset ({offset} bytes) must be non-negative and no greater than buffer "
                         f"length ({length} bytes) minus 1")
    rest = length - offset
    if count < 0:
        if rest % size:
            raise ValueError(f"buffer length ({rest} bytes) after offset ({offset} bytes) must be a "
                             f"multiple of element size ({size})")
        return rest // size
    if count * size > rest:
        raise ValueError(f"requested buffer length ({count} * {size} bytes) after offset ({offset} "
                         f"bytes) must not be greater than actual buffer length ({length} bytes)")
    return count


def scalar_tensor(value, *, dtype=None, device=None, requires_grad=False) -> Tensor:
    """A 0-d tensor."""
    return tensor(value, dtype=dtype or _kiln.get_default_dtype(), device=device,
                  requires_grad=requires_grad)
