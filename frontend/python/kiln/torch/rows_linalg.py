"""Rows of factorizations and Fourier transforms."""
import math

import kiln

from .rows import row

# ---- Fourier ----
_NORMS = ("backward", "ortho", "forward")


def _scaled(y, x_sizes, normalization):
    n = math.prod(x_sizes)
    return y if normalization == 0 else y * (1 / math.sqrt(n) if normalization == 1 else 1 / n)


@row("_fft_c2c", "prims.fft_c2c")
def _c2c(x, dim, normalization=0, forward=True):
    sizes = [x.shape[d] for d in dim]
    y = kiln.fft.fftn(x, dim=tuple(dim)) if forward else \
        kiln.fft.ifftn(x, dim=tuple(dim), norm="forward")
    return _scaled(y, sizes, normalization)


@row("_fft_r2c", "prims.fft_r2c")
def _r2c(x, dim, normalization=0, onesided=True):
    sizes = [x.shape[d] for d in dim]
    y = kiln.fft.rfftn(x, dim=tuple(dim)) if onesided else kiln.fft.fftn(x, dim=tuple(dim))
    return _scaled(y, sizes, normalization)


@row("_fft_c2r", "prims.fft_c2r")
def _c2r(x, dim, normalization, last):
    sizes = [x.shape[d] for d in dim[:-1]] + [last]
    y = kiln.fft.irfftn(x, s=tuple(sizes), dim=tuple(dim), norm="forward")
    return _scaled(y, sizes, normalization)


# ---- factorizations ----


@row("_linalg_svd")
def _svd(x, full_matrices=False, compute_uv=True, driver=None):
    if not compute_uv:
        s = kiln.linalg.svdvals(x)
        empty = kiln.zeros(0, dtype=x.dtype)
        return empty, s, empty
    return tuple(kiln.linalg.svd(x, full_matrices))


@row("_linalg_eigh")
def _eigh(x, uplo="L", compute_v=True):
    if not compute_v:
        return kiln.linalg.eigvalsh(x, uplo), kiln.zeros(0, dtype=x.dtype)
    return tuple(kiln.linalg.eigh(x, uplo))


@row("_linalg_eigvals", "linalg_eigvals")
def _eigvals(x):
    return kiln.linalg.eigvals(x)


def _factored(node, x):
    """The LU factors that PyTorch keeps for the gradient: of the transposed matrix, where it lies
    so that LAPACK takes it without a copy."""
    val = node.args[0].meta["val"]
    return kiln.linalg.lu_factor_ex(x.mT if val.is_contiguous() and not x.is_complex() else x)


def _signed(x, lu, pivots):
    """The diagonal, and the sign of the permutation."""
    here = kiln.arange(1, x.shape[-1] + 1, dtype=pivots.dtype)
    odd = (pivots != here).sum(-1) % 2
    return lu.diagonal(0, -2, -1), kiln.where(odd == 1, -1, 1).to(x.dtype)


@row("_linalg_det", wants_node=True)
def _det(node, x):
    lu, pivots, _ = _factored(node, x)
    d, sign = _signed(x, lu, pivots)
    return d.prod(-1) * sign, lu, pivots


@row("_linalg_slogdet", wants_node=True)
def _slogdet(node, x):
    lu, pivots, _ = _factored(node, x)
    d, sign = _signed(x, lu, pivots)
    return kiln.sgn(d).prod(-1) * sign, d.abs().log().sum(-1), lu, pivots


@row("_linalg_solve_ex")
def _solve_ex(a, b, left=True, check_errors=False):
    lu, pivots, info = kiln.linalg.lu_factor_ex(a)  # here of the matrix as it is
    return kiln.linalg.solve(a, b, left=left), lu, pivots, info


@row("linalg_inv_ex")
def _inv_ex(x, check_errors=False):
    return tuple(kiln.linalg.inv_ex(x))


@row("linalg_cholesky_ex")
def _cholesky_ex(x, upper=False, check_errors=False):
    return tuple(kiln.linalg.cholesky_ex(x, upper=upper))


@row("linalg_lu_factor_ex")
def _lu_factor_ex(x, pivot=True, check_errors=False):
    return tuple(kiln.linalg.lu_factor_ex(x, pivot=pivot))


@row("linalg_solve_triangular")
def _solve_triangular(a, b, upper, left=True, unitriangular=False):
    return kiln.linalg.solve_triangular(a, b, upper=upper, left=left, unitriangular=unitriangular)


@row("linalg_lu_solve")
def _lu_solve(lu, pivots, b, left=True, adjoint=False):
    return kiln.linalg.lu_solve(lu, pivots, b, left=left, adjoint=adjoint)


@row("linalg_ldl_factor_ex")
def _ldl_factor_ex(x, hermitian=False, check_errors=False):
    return tuple(kiln.linalg.ldl_factor_ex(x, hermitian=hermitian))


@row("linalg_ldl_solve")
def _ldl_solve(ld, pivots, b, hermitian=False):
    return kiln.linalg.ldl_solve(ld, pivots, b, hermitian=hermitian)
