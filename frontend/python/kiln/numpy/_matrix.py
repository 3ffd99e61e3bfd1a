"""Products and numpy.linalg: kiln's, with NumPy's argument forms, result types and errors."""
import collections
import math

import kiln

from .. import _kiln
from ._array import array_of, asarray, axes_of, axis_of, cast
from ._helpers import alike, index, k, linalg, quotient

# ---- products ----


def matmul(a, b):
    a, b = alike((a, b))
    for i, t in enumerate((a, b)):
        if t.ndim == 0:
            raise ValueError(f"matmul: Input operand {i} does not have enough dimensions (has 0, "
                             "gufunc core with signature (n?,k),(k,m?)->(n?,m?) requires 1)")
    if a.shape[-1] != b.shape[-2 if b.ndim > 1 else 0]:
        raise ValueError(
            f"matmul: Input operand 1 has a mismatch in its core dimension 0, with gufunc "
            f"signature (n?,k),(k,m?)->(n?,m?) (size {b.shape[-2 if b.ndim > 1 else 0]} is "
            f"different from {a.shape[-1]})")
    if a.dtype.kind == "b":
        return k.ne(k.matmul(cast(a, index), cast(b, index)), 0)
    return k.matmul(a, b)


def _core(name, signature, a, b, least, inner):
    """Operands of a product whose last axes meet."""
    a, b = alike((a, b))
    for i, (t, n) in enumerate(zip((a, b), least)):
        if t.ndim < n:
            raise ValueError(f"{name}: Input operand {i} does not have enough dimensions (has "
                             f"{t.ndim}, gufunc core with signature {signature} requires {n})")
    m, n = (t.shape[d] for t, d in zip((a, b), inner))
    if m != n:
        raise ValueError(f"{name}: Input operand 1 has a mismatch in its core dimension 0, with "
                         f"gufunc signature {signature} (size {n} is different from {m})")
    return a, b


def vecdot(a, b, axis):
    a, b = (asarray(k.movedim(t, axis_of(axis, t.ndim), -1)) if t.ndim else t
            for t in map(asarray, (a, b)))
    a, b = _core("vecdot", "(n),(n)->()", a, b, (1, 1), (-1, -1))
    if a.dtype.kind == "b":
        return k.any(k.logical_and(a, b), -1)
    return cast(array_of(k.sum(k.conj(a) * b, [-1])), a.dtype)


def matvec(a, b):
    a, b = _core("matvec", "(m,n),(n)->(m)", a, b, (2, 1), (-1, -1))
    return k.squeeze(k.matmul(a, k.unsqueeze(b, -1)), -1)


def vecmat(a, b):
    a, b = _core("vecmat", "(n),(n,m)->(m)", a, b, (1, 2), (-1, -2))
    return k.squeeze(k.matmul(k.unsqueeze(k.conj(a), -2), b), -2)


def vector_norm(x, axis, keepdims, ord):
    """The norm of all elements, or of those along axes, as one vector."""
    t = cast(x, quotient(x, None))
    return k.norm(t, float(ord), axes_of(axis, t.dim()), keepdims) if t.dim() else k.abs(t)


def dot(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return k.mul(*alike((a, b)))
    if a.ndim <= 2 and b.ndim <= 2 or b.ndim == 1:
        return matmul(a, b)
    return kiln.tensordot(*alike((a, b)), ([a.ndim - 1], [b.ndim - 2]))


def inner(a, b):
    if a.ndim == 0 or b.ndim == 0:
        return k.mul(*alike((a, b)))
    return kiln.tensordot(*alike((a, b)), ([a.ndim - 1], [b.ndim - 1]))


def einsum(operands):
    if not isinstance(operands[0], str):
        arrays = alike(operands[0:len(operands) // 2 * 2:2])
        labels = list(operands[1:len(operands) // 2 * 2:2])
        flat = [v for pair in zip(arrays, labels) for v in pair]
        return kiln.einsum(*flat, *operands[len(flat):])
    return kiln.einsum(operands[0].replace(" ", ""), *alike(operands[1:]))


def multi_dot(arrays):
    r = arrays[0]
    for a in arrays[1:]:
        r = k.matmul(r, a)
    return r


def norm(x, ord, axis, keepdims):
    t = cast(x, quotient(x, None))
    if isinstance(ord, str) and (t.dim() == 1 if axis is None else isinstance(axis, int)):
        raise ValueError(f"Invalid norm order '{ord}' for vectors")
    if axis is None and (ord is None or t.dim() == 1):
        flat = k.norm(k.reshape(t, -1), 2.0 if ord is None else float(ord))
        return k.reshape(flat, [1] * t.dim()) if keepdims else flat
    axes = axes_of(axis, t.dim())
    if len(axes) == 1:
        return k.norm(t, 2.0 if ord is None else float(ord), axes, keepdims)
    if len(axes) != 2:
        raise ValueError("Improper number of dimensions to norm.")
    return _matrix_norm(t, ord, axes, keepdims)


def _matrix_norm(t, ord, axes, keepdims):
    if ord is None or ord == "fro":
        return k.norm(t, 2.0, axes, keepdims)
    if ord not in ("nuc", math.inf, -math.inf, 1, -1, 2, -2):
        raise ValueError("Invalid norm order for matrices.")
    return linalg.matrix_norm(t, ord if isinstance(ord, str) else float(ord), axes, keepdims)


# ---- decompositions ----


class LinAlgError(ValueError):
    """A matrix that has no answer."""


def full_precision(a):
    """a as the dtype in which it is decomposed: integers as float64."""
    return cast(a, quotient(a, None))


def squares(a):
    """full_precision, of square matrices."""
    a = asarray(a)
    _check_matrices(a)
    if a.shape[-1] != a.shape[-2]:
        raise LinAlgError("Last 2 dimensions of the array must be square")
    return full_precision(a)


def matrix_power(a, n):
    a = squares(a) if n < 0 else a
    squares(a)
    return solved(k.matrix_power, a, n)


def matrices(a):
    """full_precision, of matrices."""
    _check_matrices(a)
    return full_precision(a)


def _check_matrices(a):
    if a.ndim < 2:
        raise LinAlgError(f"{a.ndim}-dimensional array given. Array must be at least two-dimensional")


def solve(a, b):
    a, b = alike((a, b))
    a = squares(a)
    if b.ndim and b.shape[0 if b.ndim == 1 else -2] != a.shape[-1]:
        raise ValueError("solve: Input operand 1 has a mismatch in its core dimension 0, with gufunc "
                         f"signature (m,m),(m,n)->(m,n) (size {b.shape[0 if b.ndim == 1 else -2]} "
                         f"is different from {a.shape[-1]})")
    return solved(linalg.solve, a, full_precision(b))


def solved(fn, *args, **kwargs):
    """fn's result, or NumPy's error where the matrix has none."""
    try:
        r = fn(*args, **kwargs)
        return r.realize() if hasattr(r, "realize") else r
    except RuntimeError as e:
        raise LinAlgError("Matrix is not positive definite" if "cholesky" in str(e)
                          else "Singular matrix" if "singular" in str(e) else str(e)) from None


def named(name, fields, fn, *args):
    """Several results by name."""
    return collections.namedtuple(name, fields)._make(fn(*args))


unset = type("unset", (), {"__repr__": lambda self: "<no value>"})()  # None is the standard's


def pinv(a, rcond, hermitian, rtol):
    """The pseudo-inverse; what is small beside the largest singular value counts as 0."""
    if rcond is None:
        rcond = 1e-15 if rtol is unset else rtol
    elif rtol is not unset:
        raise ValueError("`rtol` and `rcond` can't be both set.")
    return linalg.pinv(a, rtol=rcond, hermitian=bool(hermitian))


def matrix_rank(a, tol, hermitian, rtol):
    """How many singular values are above tol, or rtol of the largest."""
    if tol is not None and rtol is not None:
        raise ValueError("`tol` and `rtol` can't be both set.")
    return linalg.matrix_rank(full_precision(a), atol=tol, rtol=rtol, hermitian=bool(hermitian))


def qr(a, mode):
    if mode == "r":
        return linalg.qr(matrices(a), mode="r")[1]
    return named("QRResult", "Q R", linalg.qr, matrices(a), mode)


def svd(a, full_matrices, vectors):
    if not vectors:
        return linalg.svdvals(matrices(a))
    return named("SVDResult", "U S Vh", linalg.svd, matrices(a), bool(full_matrices))


def eig(a):
    r = named("EigResult", "eigenvalues eigenvectors", linalg.eig, squares(a))
    if a.dtype.kind != "c" and not bool(k.any(k.ne(k.imag(r[0]), 0))):
        r = r._make(k.real(v) for v in r)
    return r


def lstsq(a, b, rcond):
    a, b = map(full_precision, alike((a, b)))
    columns = b if b.dim() > 1 else k.unsqueeze(b, 1)
    x, _, rank, s = linalg.lstsq(a, columns, rcond=rcond, driver="gelsd")
    m, n = a.shape
    rest = k.matmul(a, x) - columns
    over = k.sum(k.square(k.abs(rest)), [0]) if m > n == rank.item() else \
        k.zeros(0, dtype=s.dtype)
    return (x if b.dim() > 1 else k.squeeze(x, 1)), over, rank.to(_kiln.int32), s
