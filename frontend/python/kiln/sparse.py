"""Sparse tensors in coordinate form: where, and which values. Made, joined, turned into dense
ones and back, and multiplied by these; what else PyTorch does with them says that it is not there
yet."""
import functools

from . import _dtypes, _functions as K
from ._kiln import Tensor
from ._misc import sparse_coo
from ._size import Size


class SparseTensor:
    """indices [sparse dims, n] and values [n, dense dims..]; the same place may occur twice, and
    counts twice, until coalesce."""

    is_sparse, layout, is_sparse_csr = True, sparse_coo, False

    def __init__(self, indices, values, size, coalesced=False):
        self._at, self._v, self.shape, self._coalesced = indices, values, Size(size), coalesced

    dtype = property(lambda self: self._v.dtype)
    device = property(lambda self: self._v.device)
    ndim = property(lambda self: len(self.shape))
    requires_grad = property(lambda self: self._v.requires_grad)

    def dim(self):
        return len(self.shape)

    def size(self, dim=None):
        return self.shape if dim is None else self.shape[dim]

    def numel(self):
        return self.shape.numel()

    def sparse_dim(self):
        return self._at.shape[0]

    def dense_dim(self):
        return self._v.dim() - 1

    def _nnz(self):
        return self._at.shape[1]

    def _indices(self):
        return self._at

    def _values(self):
        return self._v

    def _joined(self, what):
        if not self._coalesced:
            raise RuntimeError(f"Cannot get {what} on an uncoalesced tensor, please call "
                               ".coalesce() first")

    def indices(self):
        self._joined("indices")
        return self._at

    def values(self):
        self._joined("values")
        return self._v

    def is_coalesced(self):
        return self._coalesced

    def _flat(self):
        """The places as numbers of the flattened sparse dimensions, and how many there are."""
        count, flat = 1, K.zeros(self._nnz(), dtype=_dtypes.int64)
        for d in reversed(range(self.sparse_dim())):
            flat = flat + self._at[d] * count
            count *= self.shape[d]
        return flat, count

    def coalesce(self):
        """Each place once, in order; values of one place added."""
        if self._coalesced:
            return self
        flat, _ = self._flat()
        places, which = K.unique(flat, return_inverse=True)[:2]
        rest = tuple(self._v.shape[1:])
        sums = K.zeros((places.shape[0],) + rest, dtype=self.dtype).index_add(
            0, which.reshape(-1), self._v)
        rows, left = [], places
        for d in reversed(range(self.sparse_dim())):
            rows.append(left % self.shape[d])
            left = K.div(left, self.shape[d], rounding_mode="floor")
        return SparseTensor(K.stack(rows[::-1]), sums, self.shape, True)

    def to_dense(self, dtype=None, *, masked_grad=None):
        """Zeros, but for the values at their places."""
        flat, count = self._flat()
        rest = tuple(self._v.shape[1:])
        dense = K.zeros((count,) + rest, dtype=self.dtype).index_add(0, flat, self._v)
        dense = dense.reshape(tuple(self.shape))
        return dense if dtype is None else dense.to(dtype)

    def to_sparse(self, *args):
        return self

    def detach(self):
        return SparseTensor(self._at, self._v.detach(), self.shape, self._coalesced)

    def clone(self):
        return SparseTensor(self._at.clone(), self._v.clone(), self.shape, self._coalesced)

    def to(self, *args, **kwargs):
        return SparseTensor(self._at, self._v.to(*args, **kwargs), self.shape, self._coalesced)

    def t(self):
        """The matrix that it is, transposed."""
        if self.sparse_dim() != 2 or self.dense_dim():
            raise NotImplementedError("kiln: Tensor.t of a sparse tensor that is no matrix is not "
                                      "implemented yet")
        return SparseTensor(self._at.flip(0), self._v, self.shape[::-1])

    def __matmul__(self, other):
        return mm(self, other)

    matmul = mm = mv = __matmul__

    @classmethod
    def __torch_function__(cls, func, types, args=(), kwargs=None):
        """torch.mm(sparse, dense) and the like; other functions refuse it as they do any object."""
        if func in (K.mm, K.matmul, K.spmm, K.mv):
            named = kwargs or {}
            return mm(*args, *(named[n] for n in ("input", "mat2", "other", "vec") if n in named))
        raise NotImplementedError(f"kiln: {func.__name__} of a sparse tensor is not implemented yet")

    def __repr__(self):
        def part(name, t):
            return f"{name}=" + repr(t).replace("\n", "\n" + " " * (len(name) + 8))
        end = f", dtype={self.dtype}" if self.dtype not in (
            _dtypes.float32, _dtypes.int64, _dtypes.bool) else ""
        values = repr(self._v.detach()).split(", dtype=")[0]
        values = values if values.endswith(")") else values + ")"
        return (f"tensor({part('indices', self._at)},\n       values="
                + values.replace("\n", "\n" + " " * 14)
                + f",\n       size={tuple(self.shape)}, nnz={self._nnz()}{end}, "
                "layout=torch.sparse_coo)")

    def __getattr__(self, name):
        if name.startswith("__") or not hasattr(Tensor, name):
            raise AttributeError(f"'SparseTensor' object has no attribute '{name}'")
        raise NotImplementedError(f"kiln: Tensor.{name} of a sparse tensor is not implemented yet")


def _refuse(symbol):
    def run(self, *args):
        raise NotImplementedError(f"kiln: Tensor.{symbol} of a sparse tensor is not implemented "
                                  "yet")
    return run


for _name in ("add", "radd", "sub", "mul", "rmul", "rmatmul", "truediv", "neg", "getitem",
              "setitem"):
    setattr(SparseTensor, f"__{_name}__", _refuse(f"__{_name}__"))


def mm(mat1, mat2):
    """The product of matrices, the first of which may be sparse; or of one and a vector."""
    if isinstance(mat1, SparseTensor) and isinstance(mat2, Tensor):
        if mat1.sparse_dim() != 2 or mat1.dense_dim() or mat2.dim() not in (1, 2):
            raise NotImplementedError("kiln: a sparse product is one of a matrix and a matrix or "
                                      "vector so far")
        n, m = mat1.shape
        if m != mat2.shape[0]:
            sizes = "x".join(map(str, mat2.shape))
            raise RuntimeError("mat1 and mat2 shapes cannot be multiplied "
                               f"({n}x{m} and {sizes})")
        row, column = mat1._at
        v = mat1._v if mat2.dim() == 1 else mat1._v.unsqueeze(1)
        parts = v * mat2.index_select(0, column)
        return K.zeros((n, *mat2.shape[1:]), dtype=parts.dtype).index_add(0, row, parts)
    if isinstance(mat1, Tensor) and isinstance(mat2, Tensor):
        return K.mm(mat1, mat2)
    raise NotImplementedError("kiln: mm by a sparse second matrix is not implemented yet")


def sparse_coo_tensor(indices, values, size=None, *, dtype=None, device=None,
                      requires_grad=False, check_invariants=None, is_coalesced=None):
    """values at indices; size: by default the least that holds them."""
    from . import as_tensor, tensor

    at = as_tensor(indices).to(_dtypes.int64)
    v = as_tensor(values) if isinstance(values, Tensor) else tensor(values)
    v = v.clone() if isinstance(values, Tensor) else v
    v = v if dtype is None else v.to(dtype)
    v = v if device is None else v.to(device)
    if at.dim() != 2:
        raise RuntimeError("indices must be sparse_dim x nnz, but got: "
                           f"{list(at.shape)}")
    if v.dim() == 0 or v.shape[0] != at.shape[1]:
        raise RuntimeError("indices and values must have same nnz, but got nnz from indices: "
                           f"{at.shape[1]}, nnz from values: {v.shape[0] if v.dim() else 1}")
    high = at.amax(1).tolist() if at.shape[1] else [-1] * at.shape[0]
    low = at.amin(1).tolist() if at.shape[1] else [0] * at.shape[0]
    size = tuple(size) if size is not None else tuple(h + 1 for h in high) + tuple(v.shape[1:])
    if len(size) != at.shape[0] + v.dim() - 1:
        raise RuntimeError("number of dimensions must be sparse_dim "
                           f"({at.shape[0]}) + dense_dim ({v.dim() - 1}), but got {len(size)}")
    for d, (least, most) in enumerate(zip(low, high)):
        if least < 0:
            raise RuntimeError(f"found negative index {least} for dim {d}")
        if most >= size[d]:
            raise RuntimeError(f"size is inconsistent with indices: for dim {d}, size is "
                               f"{size[d]} but found index {most}")
    if requires_grad:
        v.requires_grad_()
    return SparseTensor(at, v, size, bool(is_coalesced))


def _to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """Where it is not zero, in coordinate form."""
    if blocksize is not None or layout not in (None, sparse_coo):
        raise NotImplementedError("kiln: Tensor.to_sparse to a layout other than sparse_coo is "
                                  "not implemented yet")
    n = self.dim() if sparse_dim is None else sparse_dim
    rest = tuple(range(n, self.dim()))
    there = (self != 0).any(rest) if rest and self.numel() else self != 0
    at = there.nonzero().t()
    return SparseTensor(at, self[tuple(at)], self.shape, True)


class check_sparse_tensor_invariants:
    """Whether constructors check their arguments: a setting to ask and set, within a block or for a
    function; kiln's check in any case."""

    _on = False

    def __init__(self, enable=True):
        self._state, self._was = enable, []

    is_enabled = staticmethod(lambda: check_sparse_tensor_invariants._on)

    @staticmethod
    def _set(on):
        check_sparse_tensor_invariants._on = on

    enable = staticmethod(lambda: check_sparse_tensor_invariants._set(True))
    disable = staticmethod(lambda: check_sparse_tensor_invariants._set(False))

    def __enter__(self):
        self._was.append(self.is_enabled())
        self._set(self._state)
        return self

    def __exit__(self, *error):
        self._set(self._was.pop())

    def __call__(self, fn):
        @functools.wraps(fn)
        def run(*args, **kwargs):
            with type(self)(self._state):
                return fn(*args, **kwargs)
        return run


def _later(name):
    def run(*args, **kwargs):
        raise NotImplementedError(f"kiln.sparse.{name} is not implemented yet")

    run.__name__ = name
    return run


for _name in ("addmm", "sum", "softmax", "log_softmax", "spdiags", "sampled_addmm"):
    globals()[_name] = _later(_name)
sparse_csr_tensor, sparse_csc_tensor, sparse_bsr_tensor, sparse_bsc_tensor, \
    sparse_compressed_tensor = (
        _later(f"{_n}_tensor") for _n in ("sparse_csr", "sparse_csc", "sparse_bsr", "sparse_bsc",
                                          "sparse_compressed"))
Tensor.to_sparse = Tensor.to_sparse_coo = _to_sparse
Tensor.is_sparse = False
Tensor.sparse_dim, Tensor.dense_dim = lambda self: 0, lambda self: self.dim()
Tensor.to_dense = lambda self, dtype=None, **kwargs: self if dtype is None else self.to(dtype)
for _name in ("to_sparse_csr", "to_sparse_csc", "to_sparse_bsr", "to_sparse_bsc"):
    setattr(Tensor, _name, _later("Tensor." + _name))
