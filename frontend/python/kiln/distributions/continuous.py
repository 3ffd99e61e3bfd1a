"""Distributions of real numbers."""
import math

import kiln as _k

from .. import autograd
from . import constraints
from .distribution import Distribution, Univariate, broadcast_all

_EULER = 0.57721566490153286060


class Normal(Univariate):
    """The normal distribution.

    >>> torch.distributions.Normal(0., 1.).log_prob(torch.tensor(0.))
    tensor(-0.9189)
    """

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    mean = mode = property(lambda self: self.loc)
    stddev = property(lambda self: self.scale)
    variance = property(lambda self: self.scale.pow(2))

    def rsample(self, sample_shape=()):
        return self.loc + _k.randn(self._extended_shape(sample_shape), dtype=self.loc.dtype) * \
            self.scale

    def log_prob(self, value):
        z = self._checked(value) - self.loc
        return -(z ** 2) / (2 * self.scale ** 2) - self.scale.log() - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value):
        z = (self._checked(value) - self.loc) * self.scale.reciprocal()
        return 0.5 * (1 + _k.erf(z / math.sqrt(2)))

    def icdf(self, value):
        return self.loc + self.scale * _k.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self):
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


class LogNormal(Normal):
    """What has a normal distribution's logarithm."""

    support = constraints.positive
    _silent = True
    mean = property(lambda self: (self.loc + self.scale.pow(2) / 2).exp())
    mode = property(lambda self: (self.loc - self.scale.square()).exp())
    stddev = property(lambda self: self.variance.sqrt())

    @property
    def variance(self):
        s = self.scale.pow(2)
        return s.expm1() * (2 * self.loc + s).exp()

    def rsample(self, sample_shape=()):
        return super().rsample(sample_shape).exp()

    def log_prob(self, value):
        x = self._checked(value).log()
        z = x - self.loc
        return -(z ** 2) / (2 * self.scale ** 2) - self.scale.log() - \
            math.log(math.sqrt(2 * math.pi)) - x

    def cdf(self, value):
        z = (self._checked(value).log() - self.loc) / self.scale
        return 0.5 * (1 + _k.erf(z / math.sqrt(2)))

    def icdf(self, value):
        return super().icdf(value).exp()

    def entropy(self):
        return super().entropy() + self.loc


class HalfNormal(Univariate):
    """The size of a normal distribution's number around 0."""

    arg_constraints = {"scale": constraints.positive}
    _silent = True
    support = constraints.nonnegative
    has_rsample = True
    mean = property(lambda self: self.scale * math.sqrt(2 / math.pi))
    mode = property(lambda self: _k.zeros_like(self.scale))
    variance = property(lambda self: self.scale.pow(2) * (1 - 2 / math.pi))

    def rsample(self, sample_shape=()):
        return Normal(0.0, self.scale).rsample(sample_shape).abs()

    def log_prob(self, value):
        value = self._checked(value)
        r = Normal(0.0, self.scale, validate_args=False).log_prob(value) + math.log(2)
        return _k.where(value >= 0, r, -math.inf)

    def cdf(self, value):
        return 2 * Normal(0.0, self.scale).cdf(self._checked(value)) - 1

    def icdf(self, prob):
        return Normal(0.0, self.scale).icdf((prob + 1) / 2)

    def entropy(self):
        return Normal(0.0, self.scale).entropy() - math.log(2)


class Uniform(Univariate):
    """Equal everywhere from low to high."""

    parameters = ("low", "high")
    has_rsample = True
    mean = property(lambda self: (self.high + self.low) / 2)
    mode = property(lambda self: math.nan * self.high)
    stddev = property(lambda self: (self.high - self.low) / 12 ** 0.5)
    variance = property(lambda self: (self.high - self.low).pow(2) / 12)
    support = constraints.dependent_property(lambda self: constraints.interval(self.low, self.high))

    @property
    def arg_constraints(self):
        return {"low": constraints.less_than(self.high),
                "high": constraints.greater_than(self.low)}

    def rsample(self, sample_shape=()):
        return self.low + self._uniform(sample_shape) * (self.high - self.low)

    def log_prob(self, value):
        value = self._checked(value)
        inside = ((self.low <= value) & (self.high > value)).type_as(self.low)
        return inside.log() - (self.high - self.low).log()

    def cdf(self, value):
        return ((self._checked(value) - self.low) / (self.high - self.low)).clamp(min=0, max=1)

    def icdf(self, value):
        return value * (self.high - self.low) + self.low

    def entropy(self):
        return (self.high - self.low).log()


class Laplace(Univariate):
    """Exponential to both sides of loc."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    mean = mode = property(lambda self: self.loc)
    variance = property(lambda self: 2 * self.scale.pow(2))
    stddev = property(lambda self: 2 ** 0.5 * self.scale)

    def rsample(self, sample_shape=()):
        eps = _k.finfo(self.loc.dtype).eps
        u = self._uniform(sample_shape) * (2 - eps) + (eps - 1)
        return self.loc - self.scale * u.sign() * _k.log1p(-u.abs())

    def log_prob(self, value):
        return -_k.log(2 * self.scale) - (self._checked(value) - self.loc).abs() / self.scale

    def cdf(self, value):
        z = self._checked(value) - self.loc
        return 0.5 - 0.5 * z.sign() * _k.expm1(-z.abs() / self.scale)

    def icdf(self, value):
        term = value - 0.5
        return self.loc - self.scale * term.sign() * _k.log1p(-2 * term.abs())

    def entropy(self):
        return 1 + _k.log(2 * self.scale)


class Exponential(Univariate):
    """The time until something that happens at a rate."""

    arg_constraints = {"rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    mean = stddev = property(lambda self: self.rate.reciprocal())
    mode = property(lambda self: _k.zeros_like(self.rate))
    variance = property(lambda self: self.rate.pow(-2))

    def rsample(self, sample_shape=()):
        return -_k.log1p(-self._uniform(sample_shape)) / self.rate

    def log_prob(self, value):
        return self.rate.log() - self.rate * self._checked(value)

    def cdf(self, value):
        return 1 - _k.exp(-self.rate * self._checked(value))

    def icdf(self, value):
        return -_k.log1p(-value) / self.rate

    def entropy(self):
        return 1.0 - self.rate.log()


class Cauchy(Univariate):
    """The ratio of two normal numbers."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    mode = property(lambda self: self.loc)
    mean = property(lambda self: _k.full_like(self.loc, math.nan))
    variance = property(lambda self: _k.full_like(self.loc, math.inf))

    def rsample(self, sample_shape=()):
        return self.icdf(self._uniform(sample_shape))

    def log_prob(self, value):
        z = (self._checked(value) - self.loc) / self.scale
        return -math.log(math.pi) - self.scale.log() - (z ** 2).log1p()

    def cdf(self, value):
        return _k.atan((self._checked(value) - self.loc) / self.scale) / math.pi + 0.5

    def icdf(self, value):
        return _k.tan(math.pi * (value - 0.5)) * self.scale + self.loc

    def entropy(self):
        return math.log(4 * math.pi) + self.scale.log()


class Gumbel(Univariate):
    """The largest of many."""

    arg_constraints = {"loc": constraints.real, "scale": constraints.positive}
    support = constraints.real
    has_rsample = True
    mean = property(lambda self: self.loc + self.scale * _EULER)
    mode = property(lambda self: self.loc)
    stddev = property(lambda self: math.pi / math.sqrt(6) * self.scale)
    variance = property(lambda self: self.stddev.pow(2))

    def rsample(self, sample_shape=()):
        f = _k.finfo(self.loc.dtype)
        u = self._uniform(sample_shape).clamp(f.tiny, 1 - f.eps)
        return self.loc - self.scale * (-u.log()).log()

    def log_prob(self, value):
        y = (self.loc - self._checked(value)) / self.scale
        return y - y.exp() - self.scale.log()

    def cdf(self, value):
        return (-((self.loc - self._checked(value)) / self.scale).exp()).exp()

    def icdf(self, value):
        return self.loc - self.scale * (-value.log()).log()

    def entropy(self):
        return self.scale.log() + (1 + _EULER)


# ---- what gamma-distributed numbers are made of ----

ROUNDS = 10  # of which each accepts 19 of 20


def _draw_gamma(a):
    """Marsaglia and Tsang (2000): the first accepted of some tries; below 1 by a power of another."""
    whole = _k.where(a < 1, a + 1, a)
    d = whole - 1 / 3
    x = _k.randn((ROUNDS, *a.shape), dtype=a.dtype)
    v = (1 + x / (9 * d).sqrt()) ** 3
    u = _k.rand((ROUNDS, *a.shape), dtype=a.dtype)
    good = (v > 0) & (u.log() < 0.5 * x * x + d - d * v + d * v.clamp(min=1e-30).log())
    first = good.to(_k.int64).argmax(0, True)
    r = d * v.gather(0, first).squeeze(0)
    power = _k.rand(a.shape, dtype=a.dtype) ** (1 / a)
    return _k.where(a < 1, r * power, r)


class _StandardGamma(autograd.Function):
    """Numbers of rate 1. How one moves with its concentration follows from its place in the
    cumulative distribution staying as it is: dx/da = -dF/da / f(x)."""

    @staticmethod
    def forward(ctx, a):
        x = _draw_gamma(a.to(_k.float64)).to(a.dtype).clamp(min=_k.finfo(a.dtype).tiny)
        ctx.save_for_backward(a, x)
        return x

    @staticmethod
    def backward(ctx, g):
        a, x = (t.detach().to(_k.float64) for t in ctx.saved_tensors)
        h = 1e-5 * a
        slope = (_k.igamma(a + h, x) - _k.igamma(a - h, x)) / (2 * h)
        density = ((a - 1) * x.log() - x - a.lgamma()).exp()
        return (g * (-slope / density).to(g.dtype),)


def standard_gamma(a):
    return _StandardGamma.apply(a)


class Gamma(Univariate):
    """The time until something happened concentration times at a rate."""

    arg_constraints = {"concentration": constraints.positive, "rate": constraints.positive}
    support = constraints.nonnegative
    has_rsample = True
    mean = property(lambda self: self.concentration / self.rate)
    mode = property(lambda self: ((self.concentration - 1) / self.rate).clamp(min=0))
    variance = property(lambda self: self.concentration / self.rate.pow(2))

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        return standard_gamma(self.concentration.expand(shape)) / self.rate

    def log_prob(self, value):
        a, value = self.concentration, self._checked(_k.as_tensor(value, dtype=self.rate.dtype))
        return _k.xlogy(a, self.rate) + _k.xlogy(a - 1, value) - self.rate * value - a.lgamma()

    def cdf(self, value):
        return _k.special.gammainc(self.concentration, self.rate * self._checked(value))

    def entropy(self):
        a = self.concentration
        return a - self.rate.log() + a.lgamma() + (1 - a) * a.digamma()


class Chi2(Gamma):
    """The sum of df squared normal numbers."""

    arg_constraints = {"df": constraints.positive}
    _silent = True

    def __init__(self, df, validate_args=None):
        df, = broadcast_all(df)
        self.df = df
        self.concentration, self.rate = 0.5 * df, _k.full_like(df, 0.5)
        Distribution.__init__(self, df.shape, validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        return Chi2(self.df.expand(tuple(batch_shape)), validate_args=False)


class StudentT(Univariate):
    """A normal number over the root of a chi-squared one."""

    arg_constraints = {"df": constraints.positive, "loc": constraints.real,
                       "scale": constraints.positive}
    defaults = {"loc": 0.0, "scale": 1.0}
    support = constraints.real
    has_rsample = True
    mode = property(lambda self: self.loc)
    mean = property(lambda self: _k.where(self.df <= 1, math.nan, self.loc))

    @property
    def variance(self):
        r = self.scale.pow(2) * self.df / (self.df - 2)
        return _k.where(self.df > 2, r, _k.where(self.df > 1, math.inf, math.nan))

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        x = _k.randn(shape, dtype=self.loc.dtype)
        z = 2 * standard_gamma((self.df / 2).expand(shape))
        return self.loc + self.scale * x * (z / self.df).rsqrt()

    def _normaliser(self):
        return self.scale.log() + 0.5 * self.df.log() + 0.5 * math.log(math.pi) + \
            (0.5 * self.df).lgamma() - (0.5 * (self.df + 1)).lgamma()

    def log_prob(self, value):
        y = (self._checked(value) - self.loc) / self.scale
        return -0.5 * (self.df + 1) * (y ** 2 / self.df).log1p() - self._normaliser()

    def entropy(self):
        half = 0.5 * (self.df + 1)
        beta = (0.5 * self.df).lgamma() + math.lgamma(0.5) - half.lgamma()
        return self.scale.log() + half * (half.digamma() - (0.5 * self.df).digamma()) + \
            0.5 * self.df.log() + beta


class Dirichlet(Distribution):
    """Shares that sum to 1."""

    arg_constraints = {"concentration": constraints.independent(constraints.positive, 1)}
    support = constraints.simplex
    has_rsample = True

    def __init__(self, concentration, validate_args=None):
        if concentration.dim() < 1:
            raise ValueError("`concentration` parameter must be at least one-dimensional.")
        self.concentration = concentration
        super().__init__(concentration.shape[:-1], concentration.shape[-1:], validate_args)

    def expand(self, batch_shape, _instance=None):
        return Dirichlet(self.concentration.expand((*batch_shape, *self._event_shape)),
                         validate_args=False)

    def rsample(self, sample_shape=()):
        x = standard_gamma(self.concentration.expand(tuple(self._extended_shape(sample_shape))))
        return x / x.sum(-1, True)

    def log_prob(self, value):
        a = self.concentration
        return _k.xlogy(a - 1.0, self._checked(value)).sum(-1) + a.sum(-1).lgamma() - \
            a.lgamma().sum(-1)

    @property
    def mean(self):
        return self.concentration / self.concentration.sum(-1, True)

    @property
    def mode(self):
        less = (self.concentration - 1).clamp(min=0.0)
        r = less / less.sum(-1, True)
        flat = (self.concentration < 1).all(-1, True)
        one = _k.nn.functional.one_hot(r.nan_to_num().argmax(-1), r.shape[-1]).to(r.dtype)
        return _k.where(flat, one, r)

    @property
    def variance(self):
        total = self.concentration.sum(-1, True)
        return self.concentration * (total - self.concentration) / (total.pow(2) * (total + 1))

    def entropy(self):
        a, k = self.concentration, self.concentration.shape[-1]
        total = a.sum(-1)
        return a.lgamma().sum(-1) - total.lgamma() - (k - total) * total.digamma() - \
            ((a - 1.0) * a.digamma()).sum(-1)


class Beta(Univariate):
    """A share, one of two of Dirichlet's."""

    parameters = ("concentration1", "concentration0")
    _silent = True
    arg_constraints = {"concentration1": constraints.positive,
                       "concentration0": constraints.positive}
    support = constraints.unit_interval
    has_rsample = True

    def _both(self):
        return Dirichlet(_k.stack([self.concentration1, self.concentration0], -1),
                         validate_args=False)

    @property
    def mean(self):
        return self.concentration1 / (self.concentration1 + self.concentration0)

    @property
    def mode(self):
        return self._both().mode[..., 0]

    @property
    def variance(self):
        total = self.concentration1 + self.concentration0
        return self.concentration1 * self.concentration0 / (total.pow(2) * (total + 1))

    def rsample(self, sample_shape=()):
        return self._both().rsample(sample_shape).select(-1, 0)

    def log_prob(self, value):
        value = self._checked(value)
        return self._both().log_prob(_k.stack([value, 1.0 - value], -1))

    def entropy(self):
        return self._both().entropy()
