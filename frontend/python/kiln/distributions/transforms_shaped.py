"""Transforms of whole vectors and matrices, and several side by side."""
import math

import kiln as _k
from kiln.nn import functional as _F

from . import constraints
from .distribution import sum_rightmost
from .transforms import Transform, _Rising


class StickBreakingTransform(Transform):
    """n numbers to n + 1 shares that sum to 1: each breaks its part off what is left."""

    domain, codomain = constraints.real_vector, constraints.simplex
    bijective = True

    def _left(self, x):
        n = x.shape[-1]
        return n - _k.arange(n, dtype=x.dtype)

    def _call(self, x):
        z = (x - self._left(x).log()).sigmoid()
        left = (1 - z).cumprod(-1)
        return _F.pad(z, (0, 1), value=1) * _F.pad(left, (1, 0), value=1)

    def _inverse(self, y):
        part = y[..., :-1]
        left = (1 - part.cumsum(-1)).clamp(min=_k.finfo(y.dtype).tiny)
        return part.log() - left.log() + self._left(part).log()

    def log_abs_det_jacobian(self, x, y):
        x = x - self._left(x).log()
        return (-x + _F.logsigmoid(x) + y[..., :-1].log()).sum(-1)

    def forward_shape(self, shape):
        return tuple(shape[:-1]) + (shape[-1] + 1,)

    def inverse_shape(self, shape):
        return tuple(shape[:-1]) + (shape[-1] - 1,)


class LowerCholeskyTransform(Transform):
    """The lower triangle, the diagonal's exponential."""

    domain, codomain = constraints.independent(constraints.real, 2), constraints.lower_cholesky

    def _call(self, x):
        return x.tril(-1) + _k.diag_embed(x.diagonal(dim1=-2, dim2=-1).exp())

    def _inverse(self, y):
        return y.tril(-1) + _k.diag_embed(y.diagonal(dim1=-2, dim2=-1).log())


class PositiveDefiniteTransform(Transform):
    """The product of LowerCholeskyTransform's matrix and its transpose."""

    domain = constraints.independent(constraints.real, 2)
    codomain = constraints.positive_definite

    def _call(self, x):
        x = LowerCholeskyTransform()(x)
        return x @ x.mT

    def _inverse(self, y):
        return LowerCholeskyTransform().inv(_k.linalg.cholesky(y))


class CorrCholeskyTransform(Transform):
    """n (n - 1) / 2 numbers to the lower factor of a correlation matrix."""

    domain, codomain = constraints.real_vector, constraints.corr_cholesky
    bijective = True

    def _call(self, x):
        eps = _k.finfo(x.dtype).eps
        r = vec_to_tril_matrix(x.tanh().clamp(-1 + eps, 1 - eps), diag=-1)
        left = (1 - r ** 2).sqrt().cumprod(-1)
        r = r + _k.eye(r.shape[-1], dtype=r.dtype)
        return r * _F.pad(left[..., :-1], (1, 0), value=1)

    def _inverse(self, y):
        left = 1 - (y * y).cumsum(-1)
        left = _F.pad(left[..., :-1], (1, 0), value=1)
        t = tril_matrix_to_vec(y, diag=-1) / tril_matrix_to_vec(left, diag=-1).sqrt()
        return (t.log1p() - (-t).log1p()) / 2

    def log_abs_det_jacobian(self, x, y, intermediates=None):
        left = 1 - (y * y).cumsum(-1)
        half = 0.5 * tril_matrix_to_vec(left, diag=-2).log().sum(-1)
        return half - 2 * (x + _F.softplus(-2 * x) - math.log(2.0)).sum(-1)

    def forward_shape(self, shape):
        n = round((0.25 + 2 * shape[-1]) ** 0.5 + 0.5)
        if n * (n - 1) // 2 != shape[-1]:
            raise ValueError("Input is not a flattened lower-diagonal number")
        return tuple(shape[:-1]) + (n, n)

    def inverse_shape(self, shape):
        if len(shape) < 2 or shape[-2] != shape[-1]:
            raise ValueError("Input is not square" if len(shape) > 1 else
                             "Too few dimensions on input")
        return tuple(shape[:-2]) + (shape[-1] * (shape[-1] - 1) // 2,)


def vec_to_tril_matrix(vec, diag=0):
    """Numbers as the lower triangles of square matrices."""
    n = (-(1 + 2 * diag) + ((1 + 2 * diag) ** 2 + 8 * vec.shape[-1] + 4 * abs(diag) * (
        diag + 1)) ** 0.5) / 2
    if round(n) - n > _k.finfo(vec.dtype).eps:
        raise ValueError(f"The size of last dimension is {vec.shape[-1]} which cannot be expressed as "
                         "the lower triangular part of a square D x D matrix.")
    n = round(n)
    flat = vec.new_zeros((*vec.shape[:-1], n * n))
    row, column = _k.tril_indices(n, n, diag)
    return flat.index_copy(-1, row * n + column, vec).reshape((*vec.shape[:-1], n, n))


def tril_matrix_to_vec(mat, diag=0):
    """The lower triangles' numbers, row by row."""
    n = mat.shape[-1]
    if not -n <= diag < n:
        raise ValueError(f"diag ({diag}) provided is outside [{-n}, {n - 1}].")
    row, column = _k.tril_indices(n, n, diag)
    return mat[..., row, column]


class ReshapeTransform(Transform):
    """Of another shape."""

    bijective = True

    def __init__(self, in_shape, out_shape, cache_size=0):
        super().__init__(cache_size)
        self.in_shape, self.out_shape = _k.Size(in_shape), _k.Size(out_shape)
        if self.in_shape.numel() != self.out_shape.numel():
            raise ValueError("in_shape, out_shape have different numbers of elements")

    domain = property(lambda self: constraints.independent(constraints.real, len(self.in_shape)))
    codomain = property(lambda self: constraints.independent(constraints.real, len(self.out_shape)))

    def _call(self, x):
        return x.reshape(self.forward_shape(x.shape))

    def _inverse(self, y):
        return y.reshape(self.inverse_shape(y.shape))

    def log_abs_det_jacobian(self, x, y):
        return x.new_zeros(x.shape[:x.dim() - len(self.in_shape)])

    def _swapped(self, shape, a, b):
        cut = len(shape) - len(a)
        if cut < 0:
            raise ValueError("Too few dimensions on input")
        if tuple(shape[cut:]) != tuple(a):
            raise ValueError(f"Shape mismatch: expected {tuple(shape[cut:])} but got {a}")
        return tuple(shape[:cut]) + tuple(b)

    def forward_shape(self, shape):
        return self._swapped(shape, self.in_shape, self.out_shape)

    def inverse_shape(self, shape):
        return self._swapped(shape, self.out_shape, self.in_shape)


class CumulativeDistributionTransform(_Rising):
    """A distribution's cumulative function."""

    codomain = constraints.unit_interval
    domain = property(lambda self: self.distribution.support)

    def __init__(self, distribution, cache_size=0):
        super().__init__(cache_size)
        self.distribution = distribution

    def _call(self, x):
        return self.distribution.cdf(x)

    def _inverse(self, y):
        return self.distribution.icdf(y)

    def log_abs_det_jacobian(self, x, y):
        return self.distribution.log_prob(x)


class _Several(Transform):
    """Each transform of a part of a dimension."""

    bijective = property(lambda self: all(t.bijective for t in self.transforms))

    def _split(self, x):
        raise NotImplementedError

    def _joined(self, parts):
        raise NotImplementedError

    def _each(self, call, *args):
        return self._joined([call(t, *a) for t, *a in zip(
            self.transforms, *map(self._split, args))])

    def _call(self, x):
        return self._each(lambda t, x: t(x), x)

    def _inverse(self, y):
        return self._each(lambda t, y: t.inv(y), y)


class CatTransform(_Several):
    """One after another along a dimension, each as long as lengths says."""

    def __init__(self, tseq, dim=0, lengths=None, cache_size=0):
        super().__init__(cache_size)
        self.transforms = [t.with_cache(cache_size) for t in tseq]
        self.lengths, self.dim = list(lengths or [1] * len(self.transforms)), dim

    event_dim = property(lambda self: max(t.domain.event_dim for t in self.transforms))
    length = property(lambda self: sum(self.lengths))
    domain = property(lambda self: constraints.cat(
        [t.domain for t in self.transforms], self.dim, self.lengths))
    codomain = property(lambda self: constraints.cat(
        [t.codomain for t in self.transforms], self.dim, self.lengths))

    def _split(self, x):
        return x.split(self.lengths, self.dim)

    def _joined(self, parts):
        return _k.cat(parts, self.dim)

    def log_abs_det_jacobian(self, x, y):
        n, parts = self.event_dim, []
        for t, a, b in zip(self.transforms, self._split(x), self._split(y)):
            parts.append(sum_rightmost(t.log_abs_det_jacobian(a, b), n - t.domain.event_dim))
        dim = (self.dim - x.dim() if self.dim >= 0 else self.dim) + n
        return _k.cat(parts, dim) if dim < 0 else sum(parts)


class StackTransform(_Several):
    """Side by side along a dimension."""

    def __init__(self, tseq, dim=0, cache_size=0):
        super().__init__(cache_size)
        self.transforms, self.dim = [t.with_cache(cache_size) for t in tseq], dim

    domain = property(lambda self: constraints.stack(
        [t.domain for t in self.transforms], self.dim))
    codomain = property(lambda self: constraints.stack(
        [t.codomain for t in self.transforms], self.dim))

    def _split(self, x):
        return x.unbind(self.dim)

    def _joined(self, parts):
        return _k.stack(parts, self.dim)

    def log_abs_det_jacobian(self, x, y):
        return self._each(lambda t, a, b: t.log_abs_det_jacobian(a, b), x, y)
