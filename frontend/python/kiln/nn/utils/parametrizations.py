"""Parametrizations that keep a weight orthogonal, its length apart, or its norm 1."""
from ... import _functions as K
from ..._grad import no_grad
from ..._kiln import Tensor
from ..modules.conv import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..modules.module import Module
from . import parametrize
from ._made_weights import length_except

_MAPS = ("matrix_exp", "cayley", "householder")


def _weight_of(module, name):
    weight = getattr(module, name, None)
    if not isinstance(weight, Tensor):
        raise ValueError(f"Module '{module}' has no parameter or buffer with name '{name}'")
    return weight


# ---- orthogonal ----


def _is_orthogonal(q):
    from ... import allclose, finfo
    n, k = q.shape[-2:]
    return allclose(q.mH @ q, K.eye(k, dtype=q.dtype, device=q.device),
                    atol=10.0 * n * finfo(q.dtype).eps)


def _orthogonalized(a):
    """Q of a = Q R with a diagonal of R that is not negative."""
    x, tau = K.geqrf(a)
    q = _kiln_linalg().householder_product(x, tau)
    return q * x.diagonal(dim1=-2, dim2=-1).sgn().unsqueeze(-2)


def _kiln_linalg():
    from ... import linalg
    return linalg


class _Orthogonal(Module):
    """A tall matrix's orthonormal columns (a wide one's rows) out of one without constraint."""

    def __init__(self, weight, orthogonal_map, *, use_trivialization=True):
        super().__init__()
        if weight.is_complex() and orthogonal_map == "householder":
            raise ValueError("The householder parametrization does not support complex tensors.")
        self.shape, self.orthogonal_map = weight.shape, orthogonal_map
        if use_trivialization:
            self.register_buffer("base", None)

    def _by_exponent(self, x):
        n, k = x.shape[-2:]
        x = x.tril()
        if n != k:
            x = K.cat([x, x.new_zeros(n, n - k).expand(*x.shape[:-2], -1, -1)], dim=-1)
        a = x - x.mH
        if self.orthogonal_map == "matrix_exp":
            q = K.matrix_exp(a)
        else:
            one = K.eye(n, dtype=a.dtype, device=a.device)
            q = _kiln_linalg().solve(one - 0.5 * a, one + 0.5 * a)
        return q[..., :k] if n != k else q

    def _by_reflectors(self, x):
        a = x.tril(diagonal=-1)
        tau = 2.0 / (1.0 + (a * a).sum(dim=-2))
        q = _kiln_linalg().householder_product(a, tau)
        return q * x.diagonal(dim1=-2, dim2=-1).int().unsqueeze(-2)

    def forward(self, x):
        wide = x.shape[-2] < x.shape[-1]
        x = x.mT if wide else x
        q = self._by_reflectors(x) if self.orthogonal_map == "householder" else self._by_exponent(x)
        if hasattr(self, "base"):
            q = self.base @ q
        return q.mT if wide else q

    @no_grad()
    def right_inverse(self, q):
        if q.shape != self.shape:
            raise ValueError(f"Expected a matrix or batch of matrices of shape {self.shape}. "
                             f"Got a tensor of shape {q.shape}.")
        given, wide = q, q.shape[-2] < q.shape[-1]
        q = q.mT if wide else q
        if not hasattr(self, "base"):
            return self._reflectors_of(q, wide)
        n, k = q.shape[-2:]
        if n != k:
            q = K.cat([q, K.randn(*q.shape[:-2], n, n - k, dtype=q.dtype, device=q.device)], dim=-1)
        self.base = q.clone() if n == k and _is_orthogonal(q) else _orthogonalized(q)
        minus = K.zeros_like(given)
        minus.diagonal(dim1=-2, dim2=-1).fill_(-1.0)
        return minus

    def _reflectors_of(self, q, wide):
        if self.orthogonal_map != "householder":
            raise NotImplementedError("It is not possible to assign to the matrix exponential or "
                                      "the Cayley parametrizations when use_trivialization=False.")
        a, tau = K.geqrf(q)
        d = a.diagonal(dim1=-2, dim2=-1)
        d.sign_()
        d[tau == 0.0] *= -1
        return a.mT if wide else a


def orthogonal(module, name="weight", orthogonal_map=None, *, use_trivialization=True):
    """Keep a matrix orthogonal (or its columns or rows, of one that is not square) by
    "matrix_exp", "cayley" or "householder"."""
    weight = _weight_of(module, name)
    if weight.ndim < 2:
        raise ValueError("Expected a matrix or batch of matrices. "
                         f"Got a tensor of {weight.ndim} dimensions.")
    if orthogonal_map is None:
        square = weight.shape[-2] == weight.shape[-1]
        orthogonal_map = "matrix_exp" if square or weight.is_complex() else "householder"
    if orthogonal_map not in _MAPS:
        raise ValueError('orthogonal_map has to be one of "matrix_exp", "cayley", "householder". '
                         f"Got: {orthogonal_map}")
    orth = _Orthogonal(weight, orthogonal_map, use_trivialization=use_trivialization)
    return parametrize.register_parametrization(module, name, orth, unsafe=True)


# ---- length and direction ----


class _WeightNorm(Module):
    """g v / |v|."""

    def __init__(self, dim=0):
        super().__init__()
        self.dim = -1 if dim is None else dim

    def forward(self, weight_g, weight_v):
        return K._weight_norm(weight_v, weight_g, self.dim)

    def right_inverse(self, weight):
        return length_except(weight, self.dim), weight


def weight_norm(module, name="weight", dim=0):
    """Train a weight's length (along dim; None: of all) apart from its direction: original0 and
    original1."""
    _weight_of(module, name)
    parametrize.register_parametrization(module, name, _WeightNorm(dim), unsafe=True)

    def from_older(state_dict, prefix, *unused):
        old = [f"{prefix}{name}_g", f"{prefix}{name}_v"]
        if all(k in state_dict for k in old):
            for i, k in enumerate(old):
                state_dict[f"{prefix}parametrizations.{name}.original{i}"] = state_dict.pop(k)

    module._register_load_state_dict_pre_hook(from_older)
    return module


# ---- the largest singular value ----


class _SpectralNorm(Module):
    """The weight over its largest singular value, found by power iteration."""

    def __init__(self, weight, n_power_iterations=1, dim=0, eps=1e-12):
        super().__init__()
        rank = weight.ndim
        if not -rank <= dim < rank:
            raise IndexError("Dimension out of range (expected to be in range of "
                             f"[-{rank}, {rank - 1}] but got {dim})")
        if n_power_iterations <= 0:
            raise ValueError("Expected n_power_iterations to be positive, but got "
                             f"n_power_iterations={n_power_iterations}")
        self.dim, self.eps = dim % rank, eps
        if rank > 1:
            self.n_power_iterations = n_power_iterations
            matrix = self._matrix(weight.detach())
            for name, n in zip(("_u", "_v"), matrix.shape):
                self.register_buffer(name, self._unit(matrix.new_empty(n).normal_(0, 1)))
            self._iterate(matrix, 15)

    def _unit(self, x):
        from .. import functional
        return functional.normalize(x, dim=0, eps=self.eps)

    def _matrix(self, weight):
        return weight.movedim(self.dim, 0).flatten(1)

    @no_grad()
    def _iterate(self, matrix, times):
        for _ in range(times):
            self._u.copy_(self._unit(K.mv(matrix, self._v)))
            self._v.copy_(self._unit(K.mv(matrix.H, self._u)))

    def forward(self, weight):
        if weight.ndim == 1:
            return self._unit(weight)
        matrix = self._matrix(weight)
        if self.training:
            self._iterate(matrix, self.n_power_iterations)
        u, v = self._u.clone(), self._v.clone()
        return weight / K.vdot(u, K.mv(matrix, v))

    def right_inverse(self, value):
        return value


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Divide a weight by its largest singular value."""
    weight = _weight_of(module, name)
    if dim is None:
        dim = int(isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)))
    norm = _SpectralNorm(weight, n_power_iterations, dim, eps)
    return parametrize.register_parametrization(module, name, norm)
