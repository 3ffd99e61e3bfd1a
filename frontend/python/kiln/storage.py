"""Storages: the memory that a tensor and its views lie in, as bytes or as elements of a dtype."""
from . import _dtypes, _kiln
from ._kiln import Tensor


class UntypedStorage:
    """Bytes: a tensor's, or so many new ones, or those of a list.

    >>> torch.ones(2).untyped_storage().nbytes()
    8
    """

    dtype = _dtypes.uint8

    def __init__(self, data=0, *, device=None):
        if not isinstance(data, Tensor):
            from . import empty, tensor
            data = empty(data, dtype=self.dtype, device=device) if hasattr(data, "__index__") \
                else tensor(data, dtype=self.dtype, device=device)
        self._t = data
        self._cdata, self._bytes = _kiln._storage(data)

    @classmethod
    def from_buffer(cls, buffer, byte_order="native", offset=0, count=-1, dtype=None, **kwargs):
        """A copy of a buffer's elements."""
        import sys

        from . import empty, frombuffer
        dt = dtype or cls.dtype
        if byte_order not in ("native", "big", "little"):
            raise ValueError(f"invalid byte_order '{byte_order}' (expected 'big' or 'little')")
        if count == 0 or not memoryview(buffer).nbytes:
            return cls._over(empty(0, dtype=dt))
        t = frombuffer(bytearray(buffer), dtype=_dtypes.uint8, offset=offset,
                       count=count * dt.itemsize if count > 0 else -1)
        if byte_order not in ("native", sys.byteorder):
            t = t.reshape(-1, dt.itemsize).flip(1).contiguous().reshape(-1)
        return cls._over(t.view(dt))

    @classmethod
    def _over(cls, t):
        return cls(t)

    device = property(lambda self: self._t.device)
    is_cuda = property(lambda self: self._t.is_cuda)
    is_sparse, filename = False, None

    def nbytes(self):
        return self._bytes

    def element_size(self):
        return self.dtype.itemsize

    def size(self):
        return self._bytes // self.dtype.itemsize

    __len__ = size

    def untyped(self):
        """As bytes."""
        return UntypedStorage(self._t)

    def __sizeof__(self):
        return object.__sizeof__(self) + self._bytes

    def data_ptr(self):
        return _kiln._data_ptr(self._t.as_strided((1,), (1,), 0)) if self._bytes else 0

    def __eq__(self, other):
        return isinstance(other, UntypedStorage) and self._cdata == other._cdata

    def __hash__(self):
        return self._cdata

    def __bool__(self):
        return self.size() > 0

    def _flat(self):
        """The elements as a tensor over the same memory."""
        t = self._t.detach()
        n = self._bytes // t.element_size()
        flat = t.as_strided((n,), (1,), 0) if n else t.new_empty(0)
        return flat if t.dtype == self.dtype else flat.view(self.dtype)

    def tolist(self):
        return self._flat().tolist()

    def __iter__(self):
        return iter(self.tolist())

    def __getitem__(self, i):
        v = self._flat()[i]
        return type(self)._over(v.clone()) if isinstance(i, slice) else v.item()

    def __setitem__(self, i, value):
        self._flat()[i] = value

    def fill_(self, value):
        """Every element that value."""
        self._flat().fill_(value)
        return self

    def copy_(self, source, non_blocking=False):
        """The elements of another storage of this length."""
        self._flat().copy_(source._flat())
        return self

    def clone(self):
        """A copy."""
        return self._like(self._flat().clone())

    def _like(self, t):
        return type(self)(t)

    __copy__ = clone

    def __deepcopy__(self, memo):
        memo = memo.setdefault("torch", {})
        return memo.setdefault(self._cdata, self.clone())

    def cpu(self):
        return self if not self.is_cuda else self._like(self._flat().cpu())

    def is_shared(self):
        """Never: there is no memory that several processes see."""
        return False

    def is_pinned(self, device=None):
        return False

    def _of_what(self):
        return f"device={self.device}"

    def __repr__(self):
        return " " + "\n ".join(map(str, self)) + \
            f"\n[torch.storage.{type(self).__name__}({self._of_what()}) of size {len(self)}]"

    def __reduce__(self):
        import io

        from . import serialization
        body = io.BytesIO()
        serialization.save(self, body)
        return _loaded, (body.getvalue(), isinstance(self, TypedStorage))


def _loaded(body, typed):
    import io

    from . import serialization
    s = serialization.load(io.BytesIO(body))
    return s if typed else s.untyped()


class TypedStorage(UntypedStorage):
    """The same, its elements counted and read by a dtype: a tensor's own.

    >>> torch.arange(3).storage().tolist()
    [0, 1, 2]
    """

    def __init__(self, data=0, *, wrap_storage=None, dtype=None, device=None, _internal=False):
        data = data if wrap_storage is None else wrap_storage._t
        self.dtype = dtype or (data.dtype if isinstance(data, Tensor) else
                               _kiln.get_default_dtype())
        super().__init__(data, device=device)

    @property
    def _untyped_storage(self):
        return self.untyped()

    @classmethod
    def _over(cls, t):
        return cls(t, dtype=t.dtype)

    def _like(self, t):
        return TypedStorage(t, dtype=self.dtype)

    def _of_what(self):
        return f"dtype={self.dtype}, device={self.device}"

    def pickle_storage_type(self):
        """The name of its kind: FloatStorage."""
        return NAMES[repr(self.dtype)[len("torch."):]]


# the names of kinds, which files use; of float32, ..
KINDS = {"Float": "float32", "Double": "float64", "Half": "float16", "BFloat16": "bfloat16",
         "Long": "int64", "Int": "int32", "Short": "int16", "Char": "int8", "Byte": "uint8",
         "Bool": "bool", "ComplexFloat": "complex64", "ComplexDouble": "complex128"}
NAMES = {v: k + "Storage" for k, v in KINDS.items()}


def _cast(dt):
    def run(self):
        return TypedStorage(self._flat().to(dt), dtype=dt)

    run.__doc__ = f"Its elements as {dt}."
    return run


class _Kind(type):
    """torch.FloatStorage and its like: called it makes a storage, isinstance asks the dtype."""

    dtype = property(lambda cls: cls._dtype or _kiln.get_default_dtype())

    def __instancecheck__(cls, obj):
        return isinstance(obj, TypedStorage) and obj.dtype == cls.dtype

    def __call__(cls, data=0, *, wrap_storage=None, device=None):
        return TypedStorage(data, wrap_storage=wrap_storage, dtype=cls.dtype, device=device)

    def from_buffer(cls, *args, **kwargs):
        """A copy of a buffer's elements."""
        return TypedStorage.from_buffer(*args, dtype=cls.dtype, **kwargs)


Storage = _Kind("Storage", (), {"_dtype": None})
__all__ = ["UntypedStorage", "TypedStorage", "Storage", *NAMES.values()]
for _name, _dt in KINDS.items():
    _dt = getattr(_dtypes, _dt)
    globals()[_name + "Storage"] = _Kind(_name + "Storage", (), {"_dtype": _dt})
    _method = {"BFloat16": "bfloat16", "ComplexFloat": "complex_float",
               "ComplexDouble": "complex_double"}.get(_name, _name.lower())
    setattr(UntypedStorage, _method, _cast(_dt))
