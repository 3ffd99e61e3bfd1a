"""How far one distribution is from another: a table of pairs."""
import math

import kiln as _k

from .continuous import (Beta, Cauchy, Dirichlet, Exponential, Gamma, Gumbel, HalfNormal, Laplace,
                         LogNormal, Normal, Uniform)
from .discrete import Bernoulli, Binomial, Categorical, Geometric, Poisson
from .distribution import sum_rightmost
from .mixed import LowRankMultivariateNormal
from .relaxed import ContinuousBernoulli, OneHotCategorical
from .several import Independent, MultivariateNormal, half_log_det, squared_length
from .tailed import Pareto
from .transforms import TransformedDistribution

_PAIRS = {}


def register_kl(type_p, type_q):
    """A decorator: the function computes kl_divergence of that pair of classes."""
    def take(f):
        _PAIRS[type_p, type_q] = f
        return f

    return take


def kl_divergence(p, q):
    """The divergence of Kullback and Leibler of q from p.

    >>> D = torch.distributions
    >>> D.kl_divergence(D.Normal(0., 1.), D.Normal(1., 1.))
    tensor(0.5000)
    """
    found = [(type(p).__mro__.index(a) + type(q).__mro__.index(b), f)
             for (a, b), f in _PAIRS.items() if isinstance(p, a) and isinstance(q, b)]
    if not found:
        raise NotImplementedError(f"No KL(p || q) is implemented for p type {type(p).__name__} and q "
                                  f"type {type(q).__name__}")
    return min(found, key=lambda r: r[0])[1](p, q)


@register_kl(Bernoulli, Bernoulli)
def _bernoulli(p, q):
    a, b = p.probs, q.probs
    t1 = a * (_k.nn.functional.softplus(-q.logits) - _k.nn.functional.softplus(-p.logits))
    t1 = _k.where(a == 0, 0, _k.where(b == 0, math.inf, t1))
    t2 = (1 - a) * (_k.nn.functional.softplus(q.logits) - _k.nn.functional.softplus(p.logits))
    return t1 + _k.where(a == 1, 0, _k.where(b == 1, math.inf, t2))


@register_kl(Categorical, Categorical)
def _categorical(p, q):
    t = p.probs * (p.logits - q.logits)
    t = _k.where((q.probs == 0).expand_as(t), math.inf, t)
    return _k.where((p.probs == 0).expand_as(t), 0, t).sum(-1)


@register_kl(Geometric, Geometric)
def _geometric(p, q):
    return -p.entropy() - (-q.probs).log1p() / p.probs - q.logits


@register_kl(Poisson, Poisson)
def _poisson(p, q):
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@register_kl(Normal, Normal)
def _normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@register_kl(LogNormal, LogNormal)
def _log_normal(p, q):
    return _normal(p, q)


@register_kl(Uniform, Uniform)
def _uniform(p, q):
    r = ((q.high - q.low) / (p.high - p.low)).log()
    return _k.where((q.low > p.low) | (q.high < p.high), math.inf, r)


@register_kl(Uniform, Normal)
def _uniform_normal(p, q):
    width = p.high - p.low
    mean = ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return (math.sqrt(2 * math.pi) * q.scale / width).log() + \
        0.5 * (width.pow(2) / 12 + mean) / q.scale.pow(2)


@register_kl(Exponential, Exponential)
def _exponential(p, q):
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@register_kl(Laplace, Laplace)
def _laplace(p, q):
    ratio, away = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + away / q.scale + ratio * (-away / p.scale).exp() - 1


@register_kl(Gamma, Gamma)
def _gamma(p, q):
    a, b = p.concentration, q.concentration
    return b * (p.rate / q.rate).log() + b.lgamma() - a.lgamma() + (a - b) * a.digamma() + \
        (q.rate - p.rate) * (a / p.rate)


@register_kl(Gumbel, Gumbel)
def _gumbel(p, q):
    ratio, shift = p.scale / q.scale, (q.loc - p.loc) / q.scale
    euler = 0.57721566490153286060
    return -ratio.log() - shift + ratio * euler + (shift + (1 + ratio).lgamma()).exp() - (1 + euler)


@register_kl(Beta, Beta)
def _beta(p, q):
    total, of = p.concentration1 + p.concentration0, q.concentration1 + q.concentration0
    r = q.concentration1.lgamma() + q.concentration0.lgamma() + total.lgamma() - \
        p.concentration1.lgamma() - p.concentration0.lgamma() - of.lgamma()
    return r + (p.concentration1 - q.concentration1) * p.concentration1.digamma() + \
        (p.concentration0 - q.concentration0) * p.concentration0.digamma() + \
        (of - total) * total.digamma()


@register_kl(Dirichlet, Dirichlet)
def _dirichlet(p, q):
    a, b = p.concentration, q.concentration
    t = a.sum(-1)
    r = t.lgamma() - b.sum(-1).lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
    return r + ((a - b) * (a.digamma() - t.digamma().unsqueeze(-1))).sum(-1)


@register_kl(MultivariateNormal, MultivariateNormal)
def _multivariate(p, q):
    if p.event_shape != q.event_shape:
        raise ValueError("KL-divergence between two Multivariate Normals with different event shapes "
                         "cannot be computed")
    shape = _k.broadcast_shapes(p.scale_tril.shape, q.scale_tril.shape)
    y = _k.linalg.solve_triangular(q.scale_tril.expand(shape), p.scale_tril.expand(shape),
                                   upper=False)
    return half_log_det(q.scale_tril) - half_log_det(p.scale_tril) + \
        0.5 * (y.pow(2).sum((-2, -1)) + squared_length(q.scale_tril, q.loc - p.loc) -
               p.event_shape[0])


@register_kl(MultivariateNormal, LowRankMultivariateNormal)
@register_kl(LowRankMultivariateNormal, MultivariateNormal)
@register_kl(LowRankMultivariateNormal, LowRankMultivariateNormal)
def _low_rank(p, q):
    return _multivariate(p, q)


@register_kl(HalfNormal, HalfNormal)
def _half_normal(p, q):
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio - 1 - ratio.log())


@register_kl(Cauchy, Cauchy)
def _cauchy(p, q):
    far = ((p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)).log()
    return far - (4 * p.scale * q.scale).log()


@register_kl(Pareto, Pareto)
def _pareto(p, q):
    ratio = q.alpha / p.alpha
    r = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return _k.where(p.scale < q.scale, math.inf, r)


@register_kl(Binomial, Binomial)
def _binomial(p, q):
    r = p.total_count * (p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p())
    return _k.where(p.total_count > q.total_count, math.inf, r)


@register_kl(OneHotCategorical, OneHotCategorical)
def _one_hot(p, q):
    return _categorical(p._each, q._each)


@register_kl(ContinuousBernoulli, ContinuousBernoulli)
def _continuous_bernoulli(p, q):
    return p.mean * (p.logits - q.logits) + p._log_norm() + (-p.probs).log1p() - \
        q._log_norm() - (-q.probs).log1p()


# ---- of two kinds ----


@register_kl(Exponential, Gamma)
def _exponential_gamma(p, q):
    ratio = q.rate / p.rate
    return -q.concentration * ratio.log() + ratio + q.concentration.lgamma() + \
        q.concentration * 0.57721566490153286060 - (1 + 0.57721566490153286060)


@register_kl(Gamma, Exponential)
def _gamma_exponential(p, q):
    return -p.entropy() - q.rate.log() + q.rate * p.concentration / p.rate


@register_kl(Exponential, Normal)
@register_kl(Gamma, Normal)
@register_kl(Laplace, Normal)
@register_kl(Gumbel, Normal)
@register_kl(Beta, Normal)
def _moments_normal(p, q):
    """A normal density's logarithm needs two moments."""
    spread = (p.variance + (p.mean - q.loc).pow(2)) / (2 * q.scale.pow(2))
    return -p.entropy() + 0.5 * math.log(2 * math.pi) + q.scale.log() + spread


@register_kl(Bernoulli, Poisson)
def _bernoulli_poisson(p, q):
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


@register_kl(Normal, Laplace)
def _normal_laplace(p, q):
    z = (p.loc - q.loc) / p.scale
    away = math.sqrt(2 / math.pi) * p.scale * (-0.5 * z.pow(2)).exp() + \
        (p.loc - q.loc) * (z / math.sqrt(2)).erf()
    return -p.entropy() + (2 * q.scale).log() + away / q.scale


@register_kl(Normal, Gumbel)
def _normal_gumbel(p, q):
    shift, ratio = (p.loc - q.loc) / q.scale, (p.scale / q.scale).pow(2)
    return -p.entropy() + q.scale.log() + shift + (-shift + 0.5 * ratio).exp()


@register_kl(TransformedDistribution, TransformedDistribution)
def _transformed(p, q):
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    n = len(p.event_shape) - len(p.base_dist.event_shape)
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), n)


@register_kl(Independent, Independent)
def _independent(p, q):
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
