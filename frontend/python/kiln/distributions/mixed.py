"""Mixtures, and distributions of vectors and matrices that are made of normal ones."""
import math

import kiln as _k

from . import constraints
from .continuous import Normal, standard_gamma
from .discrete import Categorical
from .distribution import Distribution
from .several import MultivariateNormal, _of_precision, _one_of, half_log_det
from .transforms import TransformedDistribution
from .transforms_shaped import StickBreakingTransform


class MixtureSameFamily(Distribution):
    """One of several components of one kind, chosen by a Categorical."""

    def __init__(self, mixture_distribution, component_distribution, validate_args=None):
        self._mix, self._parts = mixture_distribution, component_distribution
        if not isinstance(self._mix, Categorical):
            raise ValueError(" The Mixture distribution needs to be an  instance of "
                             "torch.distributions.Categorical")
        if not isinstance(self._parts, Distribution):
            raise ValueError("The Component distribution need to be an instance of "
                             "torch.distributions.Distribution")
        batch = self._parts.batch_shape[:-1]
        for mine, other in zip(reversed(self._mix.batch_shape), reversed(batch)):
            if mine != 1 and other != 1 and mine != other:
                raise ValueError(f"`mixture_distribution.batch_shape` ({self._mix.batch_shape}) is "
                                 "not compatible with `component_distribution.batch_shape`("
                                 f"{batch})")
        self._num_component = self._mix.logits.shape[-1]
        if self._num_component != self._parts.batch_shape[-1]:
            raise ValueError(f"`mixture_distribution component` ({self._num_component}) does not "
                             "equal `component_distribution.batch_shape[-1]` "
                             f"({self._parts.batch_shape[-1]})")
        super().__init__(batch, self._parts.event_shape, validate_args)

    mixture_distribution = property(lambda self: self._mix)
    component_distribution = property(lambda self: self._parts)

    @constraints.dependent_property
    def support(self):
        return constraints.MixtureSameFamilyConstraint(self._parts.support)

    def expand(self, batch_shape, _instance=None):
        parts = self._parts.expand((*batch_shape, self._num_component))
        return MixtureSameFamily(self._mix.expand(batch_shape), parts, validate_args=False)

    def _weights(self):
        p = self._mix.probs
        return p.reshape((*p.shape, *[1] * len(self._event_shape)))

    def _apart(self, x):
        """With a dimension for the components."""
        return x.unsqueeze(-1 - len(self._event_shape))

    def _over(self, x):
        return x.sum(-1 - len(self._event_shape))

    @property
    def mean(self):
        return self._over(self._weights() * self._parts.mean)

    @property
    def variance(self):
        away = (self._parts.mean - self._apart(self.mean)).pow(2)
        return self._over(self._weights() * (self._parts.variance + away))

    def cdf(self, x):
        return (self._parts.cdf(self._apart(x)) * self._mix.probs).sum(-1)

    def log_prob(self, x):
        each = self._parts.log_prob(self._apart(self._checked(x)))
        return (each + self._mix.logits.log_softmax(-1)).logsumexp(-1)

    def sample(self, sample_shape=()):
        with _k.no_grad():
            which = self._mix.sample(sample_shape)
            draws, n = self._parts.sample(sample_shape), len(self._event_shape)
            at = which.reshape((*which.shape, *[1] * (n + 1)))
            shape = list(draws.shape)
            shape[-1 - n] = 1
            return draws.gather(-1 - n, at.expand(shape)).squeeze(-1 - n)

    def __repr__(self):
        return f"MixtureSameFamily(\n  {self._mix},\n  {self._parts})"


class LowRankMultivariateNormal(Distribution):
    """Normal numbers whose covariance is W W' plus a diagonal."""

    arg_constraints = {"loc": constraints.real_vector,
                       "cov_factor": constraints.independent(constraints.real, 2),
                       "cov_diag": constraints.independent(constraints.positive, 1)}
    support = constraints.real_vector
    has_rsample = True

    def __init__(self, loc, cov_factor, cov_diag, validate_args=None):
        if loc.dim() < 1:
            raise ValueError("loc must be at least one-dimensional.")
        n = tuple(loc.shape[-1:])
        if cov_factor.dim() < 2:
            raise ValueError("cov_factor must be at least two-dimensional, with optional leading "
                             "batch dimensions")
        if tuple(cov_factor.shape[-2:-1]) != n:
            raise ValueError(f"cov_factor must be a batch of matrices with shape {n[0]} x m")
        if tuple(cov_diag.shape[-1:]) != n:
            raise ValueError(f"cov_diag must be a batch of vectors with shape {n}")
        batch = _k.broadcast_shapes(loc.shape[:-1], cov_factor.shape[:-2], cov_diag.shape[:-1])
        self.loc, self.cov_diag = loc.expand((*batch, *n)), cov_diag.expand((*batch, *n))
        self.cov_factor = cov_factor.expand((*batch, *cov_factor.shape[-2:]))
        over = cov_factor.mT / cov_diag.unsqueeze(-2)
        inner = over @ cov_factor + _k.eye(cov_factor.shape[-1], dtype=loc.dtype)
        self._capacity = _k.linalg.cholesky(inner)
        super().__init__(batch, n, validate_args)

    def expand(self, batch_shape, _instance=None):
        return LowRankMultivariateNormal(
            self.loc.expand((*batch_shape, *self._event_shape)),
            self.cov_factor.expand((*batch_shape, *self.cov_factor.shape[-2:])),
            self.cov_diag.expand((*batch_shape, *self._event_shape)), validate_args=False)

    mean = mode = property(lambda self: self.loc)
    variance = property(lambda self: self.cov_factor.pow(2).sum(-1) + self.cov_diag)
    covariance_matrix = property(lambda self: self.cov_factor @ self.cov_factor.mT +
                                 _k.diag_embed(self.cov_diag))
    scale_tril = property(lambda self: _k.linalg.cholesky(self.covariance_matrix))

    def _over_diagonal(self):
        """L^-1 W' D^-1, where L L' is 1 + W' D^-1 W."""
        over = self.cov_factor.mT / self.cov_diag.unsqueeze(-2)
        tril = self._capacity.expand((*over.shape[:-2], *self._capacity.shape[-2:]))
        return _k.linalg.solve_triangular(tril, over, upper=False)

    @property
    def precision_matrix(self):
        a = self._over_diagonal()
        return _k.diag_embed(self.cov_diag.reciprocal()) - a.mT @ a

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        w = _k.randn((*shape[:-1], self.cov_factor.shape[-1]), dtype=self.loc.dtype)
        return self.loc + (self.cov_factor @ w.unsqueeze(-1)).squeeze(-1) + \
            self.cov_diag.sqrt() * _k.randn(shape, dtype=self.loc.dtype)

    def _log_det(self):
        return 2 * half_log_det(self._capacity) + self.cov_diag.log().sum(-1)

    def log_prob(self, value):
        diff = self._checked(value) - self.loc
        a = (self._over_diagonal() @ diff.unsqueeze(-1)).squeeze(-1)
        m = (diff.pow(2) / self.cov_diag).sum(-1) - a.pow(2).sum(-1)
        return -0.5 * (self._event_shape[0] * math.log(2 * math.pi) + self._log_det() + m)

    def entropy(self):
        h = 0.5 * (self._event_shape[0] * (1.0 + math.log(2 * math.pi)) + self._log_det())
        return h if not self._batch_shape else h.expand(tuple(self._batch_shape))


class LogisticNormal(TransformedDistribution):
    """Shares that sum to 1: normal numbers by StickBreakingTransform."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.simplex
    has_rsample = True
    loc = property(lambda self: self.base_dist.base_dist.loc)
    scale = property(lambda self: self.base_dist.base_dist.scale)

    def __init__(self, loc, scale, validate_args=None):
        base = Normal(loc, scale, validate_args=validate_args)
        base = base if base.batch_shape else base.expand([1])
        super().__init__(base, StickBreakingTransform(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        n = self.loc.shape[-1]
        return LogisticNormal(self.loc.expand((*batch_shape, n)),
                              self.scale.expand((*batch_shape, n)), validate_args=False)


class Wishart(Distribution):
    """The sum of df outer products of normal vectors with a covariance, given by one of three
    matrices; by Bartlett's factors."""

    arg_constraints = {"covariance_matrix": constraints.positive_definite,
                       "precision_matrix": constraints.positive_definite,
                       "scale_tril": constraints.lower_cholesky,
                       "df": constraints.greater_than(0)}
    support = constraints.positive_definite
    has_rsample = True

    def __init__(self, df, covariance_matrix=None, precision_matrix=None, scale_tril=None,
                 validate_args=None):
        name, matrix = _one_of(covariance_matrix=covariance_matrix, precision_matrix=precision_matrix,
                               scale_tril=scale_tril)
        if matrix.dim() < 2:
            raise ValueError("scale_tril must be at least two-dimensional, with optional leading "
                             "batch dimensions")
        df = _k.as_tensor(df, dtype=matrix.dtype)
        batch, n = _k.broadcast_shapes(matrix.shape[:-2], df.shape), matrix.shape[-1]
        self.df, matrix = df.expand(batch), matrix.expand((*batch, n, n))
        if bool((self.df <= n - 1).any()):
            raise ValueError(f"Value of df={df} expected to be greater than ndim - 1 = {n - 1}.")
        self.__dict__[name] = matrix
        super().__init__(batch, (n, n), validate_args)
        self._tril = matrix if name == "scale_tril" else \
            _k.linalg.cholesky(matrix) if name == "covariance_matrix" else _of_precision(matrix)

    __getattr__ = MultivariateNormal.__getattr__

    def expand(self, batch_shape, _instance=None):
        n = self._event_shape[-1]
        return Wishart(self.df.expand(tuple(batch_shape)), validate_args=False,
                       scale_tril=self._tril.expand((*batch_shape, n, n)))

    @property
    def _df(self):
        return self.df.reshape((*self.df.shape, 1, 1))

    mean = property(lambda self: self._df * self.covariance_matrix)

    @property
    def mode(self):
        n = self._event_shape[-1]
        return _k.where(self._df > n + 1, (self._df - n - 1) * self.covariance_matrix, math.nan)

    @property
    def variance(self):
        v = self.covariance_matrix
        d = v.diagonal(dim1=-2, dim2=-1)
        return self._df * (v.pow(2) + d.unsqueeze(-1) * d.unsqueeze(-2))

    def rsample(self, sample_shape=(), max_try_correction=None):
        shape, n = tuple(self._extended_shape(sample_shape)), self._event_shape[-1]
        df = (self.df.unsqueeze(-1) - _k.arange(n, dtype=self.df.dtype)).expand(shape[:-1])
        diagonal = (2 * standard_gamma(df / 2)).sqrt()
        lower = _k.randn(shape, dtype=self.df.dtype).tril(-1) + _k.diag_embed(diagonal)
        factor = self._tril @ lower
        return factor @ factor.mT

    def _log_norm(self):
        n = self._event_shape[-1]
        return self.df * (half_log_det(self._tril) + n * math.log(2) / 2) + \
            _k.mvlgamma(self.df / 2, n)

    def log_prob(self, value):
        n, value = self._event_shape[-1], self._checked(value)
        tril = self._tril.expand((*_k.broadcast_shapes(value.shape[:-2], self._batch_shape), n, n))
        trace = _k.cholesky_solve(value.expand(tril.shape), tril).diagonal(
            dim1=-2, dim2=-1).sum(-1)
        return -self._log_norm() + 0.5 * (self.df - n - 1) * _k.linalg.slogdet(value).logabsdet - \
            0.5 * trace

    def entropy(self):
        n = self._event_shape[-1]
        digammas = (0.5 * (self.df.unsqueeze(-1) - _k.arange(n, dtype=self.df.dtype))).digamma()
        expected = digammas.sum(-1) + n * math.log(2) + 2 * half_log_det(self._tril)
        return self._log_norm() - 0.5 * (self.df - n - 1) * expected + 0.5 * n * self.df
