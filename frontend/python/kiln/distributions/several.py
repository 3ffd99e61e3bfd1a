"""Distributions of several numbers at once."""
import math

import kiln as _k

from . import constraints
from .distribution import Distribution, sum_rightmost


class Independent(Distribution):
    """Another distribution, the last dimensions of whose batch are part of the event."""

    def __init__(self, base_distribution, reinterpreted_batch_ndims, validate_args=None):
        batch, n = base_distribution.batch_shape, reinterpreted_batch_ndims
        if n > len(batch):
            raise ValueError("Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape)"
                             f", actual {n} vs {len(batch)}")
        at = len(batch) - n
        self.base_dist, self.reinterpreted_batch_ndims = base_distribution, n
        super().__init__(batch[:at], batch[at:] + base_distribution.event_shape, validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)
    has_enumerate_support = property(lambda self: not self.reinterpreted_batch_ndims and
                                     self.base_dist.has_enumerate_support)
    mean = property(lambda self: self.base_dist.mean)
    mode = property(lambda self: self.base_dist.mode)
    variance = property(lambda self: self.base_dist.variance)

    @constraints.dependent_property
    def support(self):
        of = self.base_dist.support
        n = self.reinterpreted_batch_ndims
        return constraints.independent(of, n) if n else of

    def expand(self, batch_shape, _instance=None):
        n = len(self._event_shape) - len(self.base_dist.event_shape)
        base = self.base_dist.expand((*batch_shape, *self._event_shape[:n]))
        return Independent(base, self.reinterpreted_batch_ndims, validate_args=False)

    def sample(self, sample_shape=()):
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape=()):
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value):
        return sum_rightmost(self.base_dist.log_prob(value), self.reinterpreted_batch_ndims)

    def entropy(self):
        return sum_rightmost(self.base_dist.entropy(), self.reinterpreted_batch_ndims)

    def __repr__(self):
        return f"Independent({self.base_dist}, {self.reinterpreted_batch_ndims})"


class MultivariateNormal(Distribution):
    """Normal numbers that vary together, given by one of three matrices."""

    arg_constraints = {"loc": constraints.real_vector,
                       "covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite,
                       "scale_tril": constraints.lower_cholesky}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        name, matrix = _one_of(covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
                               scale_tril=scale_tril)
        if matrix.dim() < 2:
            raise ValueError(f"{name} must be at least two-dimensional, with optional leading batch "
                             "dimensions")
        batch = _k.broadcast_shapes(matrix.shape[:-2], loc.shape[:-1])
        matrix = matrix.expand((*batch, *matrix.shape[-2:]))
        self.loc = loc.expand((*batch, loc.shape[-1]))
        self.__dict__[name] = matrix
        super().__init__(batch, self.loc.shape[-1:], validate_args)
        self._tril = matrix if name == "scale_tril" else \
            _k.linalg.cholesky(matrix) if name == "covariance_matrix" else _of_precision(matrix)

    def __getattr__(self, name):
        tril = self.__dict__.get("_tril")
        if tril is not None and name == "scale_tril":
            return tril
        if tril is not None and name == "covariance_matrix":
            return tril @ tril.mT
        if tril is not None and name == "precision_matrix":
            return _k.cholesky_inverse(tril)
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def expand(self, batch_shape, _instance=None):
        n = self._event_shape[0]
        return MultivariateNormal(self.loc.expand((*batch_shape, n)), validate_args=False,
                                  scale_tril=self._tril.expand((*batch_shape, n, n)))

    mean = mode = property(lambda self: self.loc)
    variance = property(lambda self: self._tril.pow(2).sum(-1).expand(
        tuple(self._batch_shape + self._event_shape)))

    def rsample(self, sample_shape=()):
        x = _k.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype)
        return self.loc + (self._tril @ x.unsqueeze(-1)).squeeze(-1)

    def log_prob(self, value):
        m = squared_length(self._tril, self._checked(value) - self.loc)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + m) - half_log_det(self._tril)

    def entropy(self):
        h = 0.5 * self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + half_log_det(self._tril)
        return h if not self._batch_shape else h.expand(tuple(self._batch_shape))


def _one_of(**matrices):
    """The name and the value of the one that was given."""
    given = [(n, m) for n, m in matrices.items() if m is not None]
    if len(given) != 1:
        raise ValueError("Exactly one of covariance_matrix or precision_matrix or scale_tril may "
                         "be specified.")
    return given[0]


def _of_precision(p):
    """The lower factor of a precision matrix's inverse."""
    upper = _k.linalg.cholesky(p.flip((-2, -1))).flip((-2, -1)).mT
    eye = _k.eye(p.shape[-1], dtype=p.dtype)
    return _k.linalg.solve_triangular(upper, eye.expand(p.shape), upper=False)


def half_log_det(tril):
    return tril.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def squared_length(tril, x):
    """x' (L L')^-1 x"""
    shape = _k.broadcast_shapes(tril.shape[:-2], x.shape[:-1])
    n = x.shape[-1]
    y = _k.linalg.solve_triangular(tril.expand((*shape, n, n)), x.expand((*shape, n)).unsqueeze(-1),
                                   upper=False)
    return y.squeeze(-1).pow(2).sum(-1)
