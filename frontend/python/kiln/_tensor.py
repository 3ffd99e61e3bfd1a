"""Tensor's methods that are Python's own matter: NumPy, copying, pickling, gradients."""
import copy
import math

from . import _kiln, autograd
from ._hooks import RemovableHandle
from ._kiln import Tensor
from ._make import read
from ._size import Size
from .storage import TypedStorage, UntypedStorage


def _method(fn):
    setattr(Tensor, fn.__name__, fn)
    return fn


@_method
def numpy(self, *, force=False):
    """A NumPy array over the tensor's own memory."""
    import numpy as np

    plain = force or not _kiln.is_grad_enabled()
    return np.asarray(memoryview(self.detach() if plain else self))


@_method
def __array_function__(self, func, types, args, kwargs):
    """NumPy's functions as NumPy has them, which call our methods; where those do not take NumPy's
    keywords (np.max(t): t.max(axis=None, out=None)), on the arrays."""
    try:
        return func._implementation(*args, **kwargs)
    except TypeError:
        args, kwargs = _arrays(args), _arrays(kwargs)
        return func(*args, **kwargs)


def _arrays(v):
    """Tensors within as NumPy's arrays."""
    if isinstance(v, Tensor):
        return v.__array__()
    if isinstance(v, dict):
        return {n: _arrays(w) for n, w in v.items()}
    return type(v)(map(_arrays, v)) if type(v) in (tuple, list) else v


@_method
def to_numpy(self):
    """numpy(), under the name by which pandas and matplotlib ask for it."""
    return self.numpy()


@_method
def __array__(self, dtype=None, copy=None):
    import numpy as np

    a = np.asarray(memoryview(self))
    if dtype is not None and a.dtype != dtype:
        return a.astype(dtype)
    return a.copy() if copy else a


def _numpy_dtype(self):
    """NumPy's dtype of that name: what numpy.dtype() takes a dtype of ours by."""
    import numpy as np

    try:
        return np.dtype(str(self).rpartition(".")[2])
    except TypeError:
        raise AttributeError("dtype") from None


_kiln.dtype.dtype = property(_numpy_dtype)

# NumPy's numbers leave an operator to the tensor beside them, its arrays do not: pandas counts on
# that. Functions of elements give tensors.
Tensor.__array_priority__ = -1.0


@_method
def __array_wrap__(self, array, context=None, return_scalar=False):
    return read(array, None)


@_method
def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
    """The memory as a DLPack capsule."""
    if self.requires_grad:
        raise BufferError("Can't export tensors that require gradient, use tensor.detach()")
    since1 = max_version is not None and max_version[0] >= 1
    return _kiln._to_dlpack(self.clone() if copy else self, since1)


@_method
def __dlpack_device__(self):
    return (1, 0) if not self.is_cuda else (2, self.device.index)


@_method
def data_ptr(self):
    """The address of the first element; 0: there is none."""
    return _kiln._data_ptr(self.detach()) if self.numel() else 0


@_method
def storage(self):
    """The storage, as elements of the tensor's dtype."""
    return TypedStorage(self)


@_method
def set_(self, source=None, storage_offset=0, size=None, stride=None):
    """The object becomes source, or a view of the storage that source is."""
    if source is None:
        return _kiln._become(self, self.new_empty(0))
    if isinstance(source, UntypedStorage):
        if size is None:
            size = (source.nbytes() // self.element_size(),)
        source = source._t.detach()
    if source.dtype != self.dtype:
        raise RuntimeError(f"Could not set tensor of type {source.dtype} to a tensor of type "
                           f"{self.dtype}")
    if size is not None:
        size = (size,) if isinstance(size, int) else tuple(size)
        stride = _dense(size) if stride is None else stride
        source = source.as_strided(size, tuple(stride), storage_offset)
    return _kiln._become(self, source.detach())


@_method
def untyped_storage(self):
    """The storage; two tensors share memory where their storages are equal."""
    return UntypedStorage(self)


@_method
def is_shared(self):
    """Never: there is no memory that several processes see."""
    return False


@_method
def share_memory_(self):
    """Not there: another process gets a copy."""
    raise NotImplementedError("kiln: Tensor.share_memory_ is not implemented: a tensor goes to "
                              "another process as a copy")


@_method
def _is_view(self):
    """Whether a function made it as a view of another tensor."""
    return _kiln._is_view(self)


@_method
def backward(self, gradient=None, retain_graph=None, create_graph=False, inputs=None):
    """Add d self / d leaf to the grad of each leaf (or of inputs alone)."""
    autograd.backward(self, gradient, retain_graph, create_graph, inputs=inputs)


@_method
def register_hook(self, hook):
    """hook(grad) at each backward; what it gives replaces the gradient."""
    hooks = getattr(self, "_backward_hooks", None)
    if hooks is None:
        hooks = self._backward_hooks = {}

        def run(grad):
            for h in tuple(hooks.values()):
                r = h(grad)
                grad = grad if r is None else r
            return (grad,)

        _kiln._hook(self, run)
    return RemovableHandle.add(hooks, hook)


@_method
def __deepcopy__(self, memo):
    if id(self) in memo:
        return memo[id(self)]
    if not self.is_leaf:
        raise RuntimeError("Only Tensors created explicitly by the user (graph leaves) support "
                           "the deepcopy protocol at the moment.")
    r = _of_kind(self, self.detach().clone())
    r.grad = None if self.grad is None else copy.deepcopy(self.grad, memo)
    memo[id(self)] = r
    return r


def _of_kind(like, t):
    """t as an object of like's class that requires a gradient as like does."""
    t = t if type(like) is Tensor else _kiln._as_class(type(like), t)
    return t.requires_grad_(like.requires_grad)


@_method
def __copy__(self):
    """Another object over the same memory."""
    return _of_kind(self, self.detach())


@_method
def __reduce_ex__(self, protocol):
    """Pickled by pickle and copy: as PyTorch's file, which keeps no graph."""
    import io

    from . import serialization
    body = io.BytesIO()
    serialization.save(_kiln._as_class(Tensor, self), body)
    own = {n: v for n, v in vars(self).items() if not n.endswith("_hooks")}
    return _unpickled, (body.getvalue(), self.requires_grad, type(self)), own or None


def _unpickled(body, requires_grad, kind=Tensor):
    import io

    from . import serialization
    t = serialization.load(io.BytesIO(body))
    t = t if kind is Tensor else _kiln._as_class(kind, t)
    return t.requires_grad_() if requires_grad else t


@_method
def __format__(self, spec):
    if self.dim() == 0 and type(self) is Tensor:
        return format(self.item(), spec)
    return object.__format__(self, spec) if spec else repr(self)


@_method
def __contains__(self, value):
    if not isinstance(value, (Tensor, int, float, complex)):
        raise RuntimeError("Tensor.__contains__ only supports Tensor or scalar, but you passed in a "
                           f"{type(value)}.")
    return bool((self == value).any())


@_method
def __complex__(self):
    if self.numel() != 1:
        raise ValueError("only one element tensors can be converted to Python scalars")
    return complex(self.item())


@_method
def __reversed__(self):
    return self.flip(0) if self.dim() else self


@_method
def __rsub__(self, other):
    return _kiln._functions["torch"]["rsub"](self, other)


@_method
def dim_order(self):
    return tuple(sorted(range(self.ndim), key=lambda d: -self.stride(d)))


@_method
def new_tensor(self, data, *, dtype=None, device=None, requires_grad=False):
    """A tensor of data with this one's dtype."""
    t = _kiln._like_class(self, read(data, dtype or self.dtype).to(device or self.device))
    return t.requires_grad_() if requires_grad else t


def _like(name):
    def new(self, *size, dtype=None, device=None, requires_grad=False, **kwargs):
        t = _kiln._like_class(self, _kiln._functions["torch"][name](
            *size, dtype=dtype or self.dtype, device=device or self.device, **kwargs))
        return t.requires_grad_() if requires_grad else t

    new.__name__ = f"new_{name}"
    return _method(new)


for _name in ("zeros", "ones", "empty", "full"):
    _like(_name)


@_method
def new(self, *args, size=None, device=None):
    """A tensor of this one's dtype: of sizes, its elements not set; or of data."""
    if size is not None:
        return self.new_empty(size, device=device)
    if len(args) == 1 and isinstance(args[0], Tensor):
        return args[0].detach().to(self.dtype)
    if len(args) == 1 and isinstance(args[0], UntypedStorage):
        return self.new_empty(0).set_(args[0])
    if len(args) == 1 and not isinstance(args[0], (int, Size)):
        return self.new_tensor(args[0], device=device)
    return self.new_empty(*args, device=device) if args else self.new_empty(0, device=device)


@_method
def ndimension(self):
    """How many dimensions it has: dim()."""
    return self.dim()


@_method
def is_pinned(self, device=None):
    """Never: no memory is locked."""
    return False


@_method
def pin_memory(self, device=None):
    """The tensor itself: no memory is locked."""
    return self


@_method
def as_subclass(self, cls):
    """An object of the subclass over the same storage, with the same gradient."""
    return _kiln._as_class(cls, self, True)


# ---- in place, by functions of Python ----


def _applied(name):
    """apply_, map_ and map2_: what a function gives for the elements at each place."""
    def run(self, *args):
        *others, fn = args
        shape = self.shape
        lists = [t.detach().expand(shape).reshape(-1).tolist() for t in (self, *others)]
        values = self.new_tensor([fn(*v) for v in zip(*lists)])
        return self.copy_(values.reshape(shape))

    run.__name__ = name
    return run


for _name in ("apply_", "map_", "map2_"):
    setattr(Tensor, _name, _applied(_name))


@_method
def fill_diagonal_(self, fill_value, wrap=False):
    """The main diagonal set; wrap: a tall matrix's goes on below, a row left out."""
    shape = self.shape
    if len(shape) < 2:
        raise RuntimeError("dimensions must larger than 1")
    if len(shape) > 2 and len(set(shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    step, n = sum(self.stride()), min(shape)
    self.as_strided((n,), (step,), self.storage_offset()).fill_(fill_value)
    rows, columns = shape[0], shape[-1]
    if wrap and len(shape) == 2 and rows > columns + 1:
        self[columns + 1:].fill_diagonal_(fill_value, True)
    return self


# ---- shapes in place ----

def _shaping(name):
    """name_: the object becomes name's view of it."""
    fn = getattr(Tensor, name)

    def run(self, *args, **kwargs):
        if self.requires_grad and self.is_leaf and _kiln.is_grad_enabled():
            raise RuntimeError("a leaf Variable that requires grad is being used in an in-place "
                               "operation.")
        return _kiln._become(self, fn(self, *args, **kwargs))

    run.__name__, run.__doc__ = name + "_", f"{name}, in place."
    return run


for _name in ("squeeze", "unsqueeze", "transpose", "swapaxes", "swapdims", "t", "as_strided"):
    setattr(Tensor, _name + "_", _shaping(_name))


@_method
def detach_(self):
    """Without its history from here on."""
    return _kiln._become(self, self.detach())


@_method
def resize_(self, *size, memory_format=None):
    """Of another shape, over the same memory; what needs more gets memory of its own, with what
    was there and the rest not filled."""
    shape = size[0] if len(size) == 1 and not isinstance(size[0], int) else size
    if self.requires_grad:
        raise RuntimeError("cannot resize variables that require grad")
    if tuple(shape) == self.shape and memory_format is None:
        return self
    n, offset = math.prod(shape), self.storage_offset()
    room = self.untyped_storage().nbytes() // self.element_size()
    base = self.as_strided((room,), (1,), 0) if room else self.reshape(0)
    if offset + n > room:
        base, old = self.new_empty(offset + n), base
        base[:room] = old
    return _kiln._become(self, base.as_strided(tuple(shape), _dense(shape, memory_format), offset))


def _dense(shape, memory_format=None):
    """Strides without gaps, channels last where the format says so."""
    order = list(range(len(shape)))
    if str(memory_format).startswith("torch.channels_last"):
        order = [0, *order[2:], 1]
    strides, n = [0] * len(shape), 1
    for d in reversed(order):
        strides[d] = n
        n *= shape[d]
    return strides


@_method
def resize_as_(self, the_template, *, memory_format=None):
    """resize_ to another's shape; preserve_format takes its order in memory too."""
    self.resize_(the_template.shape, memory_format=memory_format)
    if str(memory_format) == "torch.preserve_format" and not the_template.is_contiguous():
        return self.as_strided_(self.shape, the_template.stride())
    return self


@_method
def random_(self, *bounds, generator=None, **named):
    """Integers from the first bound (0) below the second, or below the one; none: all that the dtype
    can hold, in a row."""
    from . import iinfo, randint

    names = ("to",) if len(bounds) == 1 and not named else ("from", "to")
    named = {**dict(zip(names, bounds)), **named}
    real = self.is_floating_point()
    digits = {"torch.float16": 11, "torch.bfloat16": 8, "torch.float32": 24}
    high = named.get("to")
    if high is None:
        high = 2 ** digits.get(repr(self.dtype), 53) + 1 if real else \
            2 if repr(self.dtype) == "torch.bool" else min(iinfo(self.dtype).max + 1, 2 ** 63 - 1)
    low = named.get("from") or 0
    if low >= high:
        raise RuntimeError("random_ expects 'from' to be less than 'to', but got "
                           f"from={low} >= to={high}")
    return self.copy_(randint(low, high, self.shape, generator=generator))


def _set_real(self, value):
    """x.real = value."""
    from . import complex
    self.copy_(complex(_part(self, value), self.imag) if self.is_complex() else value)


def _set_imag(self, value):
    from . import complex
    if not self.is_complex():
        raise RuntimeError("imag is not implemented for tensors with non-complex dtypes.")
    self.copy_(complex(self.real, _part(self, value)))


def _part(self, value):
    """value as the real or imaginary part of every element."""
    return self.real.clone().copy_(value) if isinstance(value, Tensor) else \
        self.real.clone().fill_(value)


Tensor.real = property(Tensor.real.__get__, _set_real, doc=Tensor.real.__doc__)
Tensor.imag = property(Tensor.imag.__get__, _set_imag, doc=Tensor.imag.__doc__)


@_method
def __rdiv__(self, other):
    return self.reciprocal() * other
