"""save and load: PyTorch's zip format, and NumPy's and safetensors' files.

    archive/data.pkl     the object, pickled; each storage a persistent id
    archive/data/N       the bytes of storage N
    archive/version, byteorder

Loading runs no code of the file: of all that a pickle can name, only the names in ALLOWED
below are known (and what the user adds by add_safe_globals)."""
import collections
import contextlib
import io
import os
import pickle
import struct
import sys

from . import _dtypes, _kiln, _misc
from ._kiln import Tensor, device, dtype
from ._misc import layout, memory_format
from ._size import Size
from .nn.parameter import Parameter
from .sparse import SparseTensor
from .storage import KINDS, NAMES, TypedStorage, UntypedStorage

_ALIGN = 64  # of each storage in the file, as PyTorch's

# ---- writing ----


class _Global:
    """A name of PyTorch's, pickled without being imported."""

    def __init__(self, module, name):
        self.module, self.name = module, name

    def __call__(self):  # pickle asks for a callable
        raise TypeError(f"{self.module}.{self.name} is only a name")


_REBUILD_2, _REBUILD_3 = (_Global("torch._utils", f"_rebuild_tensor_v{n}") for n in (2, 3))
_REBUILD_PARAMETER = _Global("torch._utils", "_rebuild_parameter")


_REBUILD_SPARSE = _Global("torch._utils", "_rebuild_sparse_tensor")
_LAYOUT = _Global("torch.serialization", "_get_layout")


def _name_of(named):
    return repr(named)[len("torch."):]


class _Pickler(pickle._Pickler):  # the one in Python: it can be told how to write a global
    def __init__(self, file):
        super().__init__(file, protocol=2)
        self.keys, self.storages = {}, []

    def persistent_id(self, obj):
        if not isinstance(obj, UntypedStorage):
            return None
        if obj._cdata not in self.keys:
            self.keys[obj._cdata] = str(len(self.storages))
            self.storages.append(obj)
        named = isinstance(obj, TypedStorage) and _name_of(obj.dtype) in NAMES
        kind = _Global("torch", obj.pickle_storage_type()) if named else \
            _Global("torch.storage", "UntypedStorage")
        return "storage", kind, self.keys[obj._cdata], "cpu", obj.size() if named else obj.nbytes()

    def reducer_override(self, obj):
        if isinstance(obj, Parameter):
            return (_REBUILD_PARAMETER,
                    (obj.data, obj.requires_grad, collections.OrderedDict()))
        if isinstance(obj, Tensor):
            return self._tensor(obj)
        if isinstance(obj, SparseTensor):
            return _REBUILD_SPARSE, (obj.layout, (obj._indices(), obj._values(), obj.shape,
                                                  obj.is_coalesced()))
        if isinstance(obj, Size):
            return _Global("torch", "Size"), (tuple(obj),)
        if isinstance(obj, device):
            return _Global("torch", "device"), (str(obj),)
        if isinstance(obj, layout):
            return _LAYOUT, (repr(obj),)
        return NotImplemented

    def _tensor(self, t):
        storage = TypedStorage(t)
        args = (storage, t.storage_offset(), tuple(t.shape), tuple(t.stride()), t.requires_grad,
                collections.OrderedDict())
        if _name_of(t.dtype) in NAMES:
            return _REBUILD_2, args
        return _REBUILD_3, args + (_Global("torch", _name_of(t.dtype)), {})

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, (dtype, memory_format)):
            obj = _Global("torch", _name_of(obj))
        if isinstance(obj, _Global):
            self.write(pickle.GLOBAL + f"{obj.module}\n{obj.name}\n".encode())
            return None
        return super().save(obj, save_persistent_id)


def _write_record(z, name, data):
    """Stored as it is, at a multiple of 64 bytes."""
    import zipfile

    info = zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0))
    pad = -(z.fp.tell() + 30 + len(name.encode()) + 4) % _ALIGN
    info.extra = struct.pack("<HH", 0x4246, pad) + b"Z" * pad
    z.writestr(info, data)


def _write_zip(obj, file, stem):
    import zipfile

    body = io.BytesIO()
    p = _Pickler(body)
    p.dump(obj)
    with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as z:
        _write_record(z, f"{stem}/data.pkl", body.getvalue())
        _write_record(z, f"{stem}/byteorder", sys.byteorder.encode())
        for i, s in enumerate(p.storages):
            _write_record(z, f"{stem}/data/{i}", _kiln._to_bytes(s._flat()))
        _write_record(z, f"{stem}/version", b"3\n")


def save(obj, f, pickle_module=None, pickle_protocol=2, _use_new_zipfile_serialization=True):
    """Write obj (tensors, state dicts, and plain data around them) to a path or a file, in
    PyTorch's zip format; shared storage stays shared. A path that ends in .safetensors, .npz or
    .npy gets that format: a dict of tensors by name, or one tensor."""
    path = os.fspath(f) if isinstance(f, (str, os.PathLike)) else None
    if path is None:
        return _write_zip(obj, f, "archive")
    ending = os.path.splitext(path)[1]
    if ending in (".safetensors", ".npz", ".npy"):
        named = {"arr_0": obj} if isinstance(obj, Tensor) else dict(obj)
        return _kiln._save(path, named)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    import tempfile

    part = tempfile.NamedTemporaryFile(dir=folder, delete=False)
    try:  # nothing half-written is seen
        with part:
            _write_zip(obj, part, os.path.splitext(os.path.basename(path))[0] or "archive")
        os.chmod(part.name, 0o666 & ~_umask())
        os.replace(part.name, path)
    except BaseException:
        os.unlink(part.name)
        raise


def _umask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


# ---- reading ----


def _rebuild_tensor(storage, offset, size, stride, requires_grad=False, hooks=None, dt=None,
                    metadata=None):
    t = storage._t
    if dt not in (None, t.dtype):  # one tensor over the bytes for all of this dtype
        t = storage.__dict__.setdefault("_views", {}).setdefault(dt, t.view(dt))
    t = t.as_strided(tuple(size), tuple(stride), offset)
    return t.requires_grad_() if requires_grad else t


def _rebuild_sparse(kind, data):
    indices, values, size, *coalesced = data
    if kind is not SparseTensor.layout:
        raise NotImplementedError(f"load: a tensor of layout {kind!r}")
    from . import sparse_coo_tensor
    return sparse_coo_tensor(indices, values, size, is_coalesced=any(coalesced))


def _get_layout(name):
    return _named(layout)[name]


def _named(kind):
    return {repr(v): v for v in vars(_misc).values() if type(v) is kind}


def _rebuild_parameter(data, requires_grad, hooks=None):
    return Parameter(data, requires_grad)


class _StorageType:
    def __init__(self, dt):
        self.dtype = dt


def _encode(text, encoding):
    if encoding not in ("latin1", "latin-1"):
        raise pickle.UnpicklingError(f"bytes in encoding {encoding}")
    return text.encode("latin1")


ALLOWED = {
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor_v3": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_sparse_tensor": _rebuild_sparse,
    "torch.serialization._get_layout": _get_layout, **_named(memory_format),
    "torch.Size": Size, "torch.device": device, "torch.Tensor": Tensor,
    "torch.nn.parameter.Parameter": Parameter,
    "torch.storage.UntypedStorage": _StorageType(_dtypes.uint8),
    "collections.OrderedDict": collections.OrderedDict, "collections.Counter":
    collections.Counter, "collections.defaultdict": collections.defaultdict,
    "builtins.set": set, "__builtin__.set": set, "builtins.frozenset": frozenset,
    "builtins.bytearray": bytearray, "builtins.complex": complex, "__builtin__.complex": complex,
    "builtins.dict": dict, "builtins.list": list, "builtins.int": int,
    "_codecs.encode": _encode,
}
for _name in _dtypes.__all__:
    ALLOWED["torch." + _name] = getattr(_dtypes, _name)
for _kind, _name in KINDS.items():
    ALLOWED[f"torch.{_kind}Storage"] = _StorageType(getattr(_dtypes, _name))
_added = {}


def _full_name(cls):
    return f"{cls.__module__}.{cls.__qualname__}"


def add_safe_globals(safe_globals):
    """Classes and functions that load may use."""
    for g in safe_globals:
        name, obj = (g[1], g[0]) if isinstance(g, tuple) else (_full_name(g), g)
        _added[name] = obj


def get_safe_globals():
    return list(_added.values())


def clear_safe_globals():
    _added.clear()


@contextlib.contextmanager
def safe_globals(extra):
    """add_safe_globals inside a with statement."""
    was = dict(_added)
    add_safe_globals(extra)
    try:
        yield
    finally:
        _added.clear()
        _added.update(was)


class _Unpickler(pickle.Unpickler):
    def __init__(self, file, read):
        super().__init__(file)
        self.read, self.storages = read, {}

    def find_class(self, module, name):
        full = f"{module}.{name}"
        found = ALLOWED.get(full, _added.get(full))
        if found is None:
            raise pickle.UnpicklingError(
                f"Weights only load failed. Unsupported global: GLOBAL {full} was not an allowed "
                "global by default. kiln.load runs no code of a file; "
                f"kiln.serialization.add_safe_globals([{name}]) allows a class of your own.")
        return found

    def persistent_load(self, pid):
        if not (isinstance(pid, tuple) and len(pid) == 5 and pid[0] == "storage"
                and isinstance(pid[1], _StorageType)):
            raise pickle.UnpicklingError("a persistent id that is no storage")
        _, kind, key, _, numel = pid
        if key not in self.storages:
            self.storages[key] = self.read(key, kind.dtype, numel)
        return self.storages[key]


def _read_zip(z):
    names = z.namelist()
    pkl = next(n for n in names if n.endswith("data.pkl"))
    stem = pkl[:-len("data.pkl")]
    order = z.read(stem + "byteorder").decode() if stem + "byteorder" in names else "little"
    if order != sys.byteorder:
        raise RuntimeError(f"load: the file is {order}-endian")

    def read(key, dt, numel):
        data = z.read(f"{stem}data/{key}")
        if len(data) < numel * dt.itemsize:
            raise RuntimeError(f"storage {key} has {len(data)} bytes, fewer than {numel} of {dt}")
        return TypedStorage(_kiln._from_bytes(data[:numel * dt.itemsize], dt))

    return _Unpickler(io.BytesIO(z.read(pkl)), read).load()


def _moved(obj, where):
    if isinstance(obj, Tensor):
        return obj.to(where)
    if isinstance(obj, dict):
        for k, v in obj.items():
            obj[k] = _moved(v, where)
        return obj
    return type(obj)(_moved(v, where) for v in obj) if type(obj) in (list, tuple) else obj


def _open(f):
    """The file, its path or None."""
    if isinstance(f, (str, os.PathLike)):
        return open(f, "rb"), os.fspath(f)
    if not (hasattr(f, "seek") and hasattr(f, "tell")):
        raise AttributeError("You can only torch.load from a file that is seekable. Please "
                             "pre-load the data into a buffer like io.BytesIO and try to load "
                             "from it instead.")
    if not hasattr(f, "seekable"):  # zipfile asks; what reads, seeks and tells is enough
        f = io.BytesIO(f.read())
    return contextlib.nullcontext(f), None


def _core(f, path, ending):
    """What the core reads: by a path."""
    if path is not None:
        return _kiln._load(path, ending == ".npy")
    import tempfile

    with tempfile.NamedTemporaryFile(suffix=ending) as copy:
        f.seek(0)
        copy.write(f.read())
        copy.flush()
        return _kiln._load(copy.name, ending == ".npy")


def load(f, map_location=None, pickle_module=None, *, weights_only=True, mmap=None, **kwargs):
    """What save wrote, or PyTorch's torch.save; the tensor of a .npy file; the tensors by name
    of a .npz or .safetensors file. The format is told by the first bytes. No code of the file
    is run, whatever weights_only says: what needs it is an UnpicklingError.

    >>> import io
    >>> file = io.BytesIO()
    >>> torch.save({"w": torch.ones(2)}, file)
    >>> _ = file.seek(0)
    >>> torch.load(file)
    {'w': tensor([1., 1.])}
    """
    handle, path = _open(f)
    with handle as file:
        head = file.read(9)
        file.seek(0)
        if head[:6] == b"\x93NUMPY":
            obj = _core(file, path, ".npy")
        elif head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
            obj = _load_zip(file, path)
        elif len(head) == 9 and head[8:] == b"{":
            obj = _core(file, path, ".safetensors")
        else:
            raise RuntimeError(f"load: {path or 'the file'} is neither PyTorch's zip format nor "
                               ".npy, .npz or .safetensors")
    return obj if map_location is None else _moved(
        obj, map_location if not callable(map_location) else "cpu")


def _load_zip(file, path):
    import zipfile

    try:
        with zipfile.ZipFile(file) as z:
            if not any(n.endswith("/data.pkl") for n in z.namelist()):
                return _core(file, path, ".npz")
            return _read_zip(z)
    except pickle.UnpicklingError:
        raise
    except (zipfile.BadZipFile, KeyError, ValueError, TypeError, IndexError, AttributeError,
            EOFError, OverflowError, NotImplementedError, StopIteration, struct.error) as e:
        raise RuntimeError(f"load: {path or 'the file'} is broken: {e}") from None
