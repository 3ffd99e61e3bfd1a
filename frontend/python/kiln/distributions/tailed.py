"""Distributions with long tails, of shares and of angles: most are another's samples, transformed."""
import math

import kiln as _k

from . import constraints
from .continuous import _EULER, Beta, Cauchy, Gamma, standard_gamma
from .distribution import Distribution, Univariate


def _falling(concentration1, rate):
    """log of the moment E x^n of Kumaraswamy: n / a + 1 and b give b * B(.., b)."""
    return rate.log() + concentration1.lgamma() + rate.lgamma() - (concentration1 + rate).lgamma()


class HalfCauchy(Univariate):
    """The size of a Cauchy distribution's number around 0."""

    arg_constraints = {"scale": constraints.positive}
    _silent = True
    support = constraints.nonnegative
    has_rsample = True
    mean = variance = property(lambda self: _k.full_like(self.scale, math.inf))
    mode = property(lambda self: _k.zeros_like(self.scale))

    def _whole(self):
        return Cauchy(0.0, self.scale, validate_args=False)

    def rsample(self, sample_shape=()):
        return self._whole().rsample(sample_shape).abs()

    def log_prob(self, value):
        value = self._checked(_k.as_tensor(value, dtype=self.scale.dtype))
        r = self._whole().log_prob(value) + math.log(2)
        return _k.where(value >= 0, r, -math.inf)

    def cdf(self, value):
        return 2 * self._whole().cdf(self._checked(value)) - 1

    def icdf(self, prob):
        return self._whole().icdf((prob + 1) / 2)

    def entropy(self):
        return self._whole().entropy() - math.log(2)


class Pareto(Univariate):
    """Above scale, thinning out by the power alpha."""

    arg_constraints = {"alpha": constraints.positive, "scale": constraints.positive}
    parameters = ("scale", "alpha")
    has_rsample = True
    mode = property(lambda self: self.scale)
    support = constraints.dependent_property(lambda self: constraints.greater_than_eq(self.scale))

    @property
    def mean(self):
        a = self.alpha.clamp(min=1)
        return a * self.scale / (a - 1)

    @property
    def variance(self):
        a = self.alpha.clamp(min=2)
        return self.scale.pow(2) * a / ((a - 1).pow(2) * (a - 2))

    def rsample(self, sample_shape=()):
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value):
        return self.alpha.log() + self.alpha * self.scale.log() - \
            (self.alpha + 1) * self._checked(value).log()

    def cdf(self, value):
        return 1 - (self.scale / self._checked(value)).pow(self.alpha)

    def icdf(self, value):
        return self.scale * (-_k.log1p(-value) / self.alpha).exp()

    def entropy(self):
        return (self.scale / self.alpha).log() + (1 + self.alpha.reciprocal())


class Weibull(Univariate):
    """The time until what ages fails."""

    arg_constraints = {"scale": constraints.positive, "concentration": constraints.positive}
    support = constraints.positive
    has_rsample = True

    def _moment(self, n):
        return self.scale.pow(n) * (1 + n / self.concentration).lgamma().exp()

    mean = property(lambda self: self._moment(1))
    variance = property(lambda self: self._moment(2) - self._moment(1).pow(2))

    @property
    def mode(self):
        k = self.concentration
        return self.scale * ((k - 1) / k).pow(k.reciprocal())

    def rsample(self, sample_shape=()):
        f = _k.finfo(self.scale.dtype)
        return self.icdf(self._uniform(sample_shape).clamp(f.tiny, 1 - f.eps))

    def log_prob(self, value):
        k, z = self.concentration, self._checked(value) / self.scale
        return (k / self.scale).log() + (k - 1) * z.log() - z.pow(k)

    def cdf(self, value):
        return -_k.expm1(-(self._checked(value) / self.scale).pow(self.concentration))

    def icdf(self, value):
        return self.scale * (-_k.log1p(-value)).pow(self.concentration.reciprocal())

    def entropy(self):
        r = self.concentration.reciprocal()
        return _EULER * (1 - r) + (self.scale * r).log() + 1


class InverseGamma(Univariate):
    """1 over what is gamma-distributed."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.positive
    has_rsample = True
    _silent = True
    mode = property(lambda self: self.rate / (self.concentration + 1))

    def _gamma(self):
        return Gamma(self.concentration, self.rate, validate_args=False)

    @property
    def mean(self):
        a = self.concentration
        return _k.where(a > 1, self.rate / (a - 1), math.inf)

    @property
    def variance(self):
        a = self.concentration
        return _k.where(a > 2, self.rate.square() / ((a - 1).square() * (a - 2)), math.inf)

    def rsample(self, sample_shape=()):
        return self._gamma().rsample(sample_shape).reciprocal()

    def log_prob(self, value):
        value = self._checked(value)
        return self._gamma().log_prob(value.reciprocal()) - 2 * value.log()

    def cdf(self, value):
        return 1 - self._gamma().cdf(self._checked(value).reciprocal())

    def entropy(self):
        a = self.concentration
        return a + self.rate.log() + a.lgamma() - (1 + a) * a.digamma()


class Kumaraswamy(Univariate):
    """A share like Beta's, with a plain cumulative function."""

    arg_constraints = {"concentration1": constraints.positive,
                       "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def _moment(self, n):
        return _falling(1 + n / self.concentration1, self.concentration0).exp()

    mean = property(lambda self: self._moment(1))
    variance = property(lambda self: self._moment(2) - self._moment(1).pow(2))

    @property
    def mode(self):
        a, b = self.concentration1, self.concentration0
        r = ((a - 1) / (a * b - 1)).pow(a.reciprocal())
        return _k.where((a < 1) | (b < 1), math.nan, r)

    def rsample(self, sample_shape=()):
        f = _k.finfo(self.concentration1.dtype)
        return self.icdf(self._uniform(sample_shape).clamp(f.tiny, 1 - f.eps))

    def log_prob(self, value):
        a, b, value = self.concentration1, self.concentration0, self._checked(value)
        return (a * b).log() + (a - 1) * value.log() + (b - 1) * (-value.pow(a)).log1p()

    def cdf(self, value):
        return 1 - (1 - self._checked(value).pow(self.concentration1)).pow(self.concentration0)

    def icdf(self, value):
        left = -_k.expm1(_k.log1p(-value) / self.concentration0)
        return left.pow(self.concentration1.reciprocal())

    def entropy(self):
        a, b = self.concentration1, self.concentration0
        harmonic = (b + 1).digamma() + _EULER
        return (1 - b.reciprocal()) + (1 - a.reciprocal()) * harmonic - a.log() - b.log()


class FisherSnedecor(Univariate):
    """The ratio of two means of squared normal numbers."""

    arg_constraints = {"df1": constraints.positive, "df2": constraints.positive}
    support = constraints.positive
    has_rsample = True
    mean = property(lambda self: _k.where(self.df2 > 2, self.df2 / (self.df2 - 2), math.nan))

    @property
    def mode(self):
        r = (self.df1 - 2) / self.df1 * self.df2 / (self.df2 + 2)
        return _k.where(self.df1 > 2, r, math.nan)

    @property
    def variance(self):
        n = _k.where(self.df2 > 4, self.df2, math.nan)
        return 2 * n.pow(2) * (self.df1 + n - 2) / (self.df1 * (n - 2).pow(2) * (n - 4))

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        a, b = (standard_gamma((df / 2).expand(shape)) * 2 / df for df in (self.df1, self.df2))
        return a / b.clamp(min=_k.finfo(b.dtype).tiny)

    def log_prob(self, value):
        value, a, b = self._checked(value), 0.5 * self.df1, 0.5 * self.df2
        ratio = self.df1 / self.df2
        return (a + b).lgamma() - a.lgamma() - b.lgamma() + a * ratio.log() + \
            (a - 1) * value.log() - (a + b) * (ratio * value).log1p()


class GeneralizedPareto(Univariate):
    """What is above a high bound: exponential at concentration 0, else with a heavier or no tail."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive,
                       "concentration": constraints.real}
    has_rsample = True
    mode = property(lambda self: self.loc)

    @constraints.dependent_property
    def support(self):
        end = _k.where(self.concentration < 0, self.loc - self.scale / self.concentration, math.inf)
        return constraints.interval(self.loc, end)

    def _flat(self):
        return self.concentration.abs() < 1e-7

    def _c(self):
        return _k.where(self._flat(), 1.0, self.concentration)

    @property
    def mean(self):
        c = self.concentration
        return _k.where(c < 1, self.loc + self.scale / (1 - c.clamp(max=1)), math.nan)

    @property
    def variance(self):
        c = self.concentration.clamp(max=0.5)
        return _k.where(self.concentration < 0.5,
                        self.scale ** 2 / ((1 - c) ** 2 * (1 - 2 * c)), math.nan)

    def rsample(self, sample_shape=()):
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value):
        z = (self._checked(value) - self.loc) / self.scale
        heavy = -(1 + 1 / self._c()) * (self._c() * z).log1p()
        return _k.where(self._flat(), -z, heavy) - self.scale.log()

    def cdf(self, value):
        z = (self._checked(value) - self.loc) / self.scale
        heavy = -(self._c() * z).clamp(min=-1).log1p() / self._c()
        return -_k.where(self._flat(), -z, heavy).expm1()

    def icdf(self, value):
        left = _k.log1p(-value)
        heavy = (-self._c() * left).expm1() / self._c()
        return self.loc + self.scale * _k.where(self._flat(), -left, heavy)

    def entropy(self):
        return self.scale.log() + self.concentration + 1


# ---- angles ----


def _log_bessel(order, x):
    """log I_order(x), of the exponentially scaled functions."""
    scaled = _k.special.i0e if order == 0 else _k.special.i1e
    return scaled(x).log() + x


class VonMises(Univariate):
    """An angle around loc."""

    arg_constraints = {"loc": constraints.real, "concentration": constraints.positive}
    support = constraints.real
    mean = mode = property(lambda self: self.loc)
    ROUNDS = 40  # of which each accepts two of three at least

    @property
    def variance(self):
        c = self.concentration
        return 1 - (_log_bessel(1, c) - _log_bessel(0, c)).exp()

    def log_prob(self, value):
        c = self.concentration
        return c * (self._checked(value) - self.loc).cos() - math.log(2 * math.pi) - \
            _log_bessel(0, c)

    def sample(self, sample_shape=()):
        """Best and Fisher (1979): the first accepted of some tries."""
        with _k.no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            c = self.concentration.to(_k.float64).expand(shape)
            tau = 1 + (1 + 4 * c ** 2).sqrt()
            rho = (tau - (2 * tau).sqrt()) / (2 * c)
            r = _k.where(c < 1e-5, 1 / c + c, (1 + rho ** 2) / (2 * rho))
            u = _k.rand((3, self.ROUNDS, *shape), dtype=_k.float64)
            z = (math.pi * u[0]).cos()
            f = ((1 + r * z) / (r + z)).clamp(-1, 1)
            d = c * (r - f)
            good = (d * (2 - d) - u[1] > 0) | ((d / u[1]).log() + 1 - d >= 0)
            angles = (u[2] - 0.5).sign() * f.acos()
            x = angles.gather(0, good.to(_k.int64).argmax(0, True)).squeeze(0)
            x = (x + math.pi + self.loc) % (2 * math.pi) - math.pi
            return x.to(self.loc.dtype)


# ---- matrices ----


class LKJCholesky(Distribution):
    """Lower factors of correlation matrices; at concentration 1 all matrices alike."""

    arg_constraints = {"concentration": constraints.positive}
    support = constraints.corr_cholesky

    def __init__(self, dim, concentration=1.0, validate_args=None):
        if dim < 2:
            raise ValueError("Expected dim to be an integer greater than or equal to 2. Found "
                             f"dim={dim}.")
        self.dim = dim
        self.concentration = _k.as_tensor(concentration, dtype=getattr(
            concentration, "dtype", _k.get_default_dtype()))
        super().__init__(self.concentration.shape, (dim, dim), validate_args)

    def expand(self, batch_shape, _instance=None):
        return LKJCholesky(self.dim, self.concentration.expand(tuple(batch_shape)),
                           validate_args=False)

    def sample(self, sample_shape=()):
        """The onion method: each row a direction, and how much of it is left of 1."""
        with _k.no_grad():
            shape, n = tuple(self._extended_shape(sample_shape)), self.dim
            rows = _k.arange(n - 1, dtype=self.concentration.dtype)
            marginal = self.concentration.unsqueeze(-1) + 0.5 * (n - 2) - 0.5 * rows
            # row i has i numbers beside its diagonal
            share = Beta(0.5 * (rows + 1), marginal).sample(sample_shape)
            share = _k.nn.functional.pad(share, (1, 0)).unsqueeze(-1)
            u = _k.randn(shape, dtype=share.dtype).tril(-1)
            u = u / u.norm(dim=-1, keepdim=True).clamp(min=_k.finfo(u.dtype).tiny)
            eps = _k.finfo(share.dtype).tiny
            return share.sqrt() * u + _k.diag_embed((1 - share[..., 0]).clamp(min=eps).sqrt())

    def log_prob(self, value):
        n, value = self.dim, self._checked(value)
        diagonal = value.diagonal(dim1=-1, dim2=-2)[..., 1:]
        order = 2 * (self.concentration - 1).unsqueeze(-1) + n - _k.arange(2, n + 1)
        log_pi = 0.5 * (n - 1) * math.log(math.pi)
        alpha = self.concentration + 0.5 * (n - 1)
        of = log_pi + _k.mvlgamma(alpha - 0.5, n - 1) - alpha.lgamma() * (n - 1)
        return (order * diagonal.log()).sum(-1) - of
