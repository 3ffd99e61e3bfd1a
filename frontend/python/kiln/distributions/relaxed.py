"""Choices as vectors with a 1 at the chosen place, and choices made smooth, so that their samples
have gradients."""
import math

import kiln as _k
from kiln.nn import functional as _F

from . import constraints
from .continuous import Distribution
from .discrete import Categorical, _clamped, _OfOdds
from .distribution import broadcast_all
from .transforms import ExpTransform, SigmoidTransform, TransformedDistribution


class OneHotCategorical(Distribution):
    """Which of several, as a vector with a 1 at its place."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.one_hot
    has_enumerate_support = True
    probs = property(lambda self: self._each.probs)
    logits = property(lambda self: self._each.logits)
    param_shape = property(lambda self: self._each.param_shape)
    mean = property(lambda self: self.probs)
    variance = property(lambda self: self.probs * (1 - self.probs))

    def __init__(self, probs=None, logits=None, validate_args=None):
        self._each = Categorical(probs, logits)
        super().__init__(self._each.batch_shape, self.param_shape[-1:], validate_args)

    def expand(self, batch_shape, _instance=None):
        new = object.__new__(type(self))
        new._each = self._each.expand(batch_shape)
        Distribution.__init__(new, batch_shape, self._event_shape, validate_args=False)
        new._validate_args = self._validate_args
        return new

    def _hot(self, places):
        return _F.one_hot(places, self._event_shape[0]).to(self.probs.dtype)

    @property
    def mode(self):
        return self._hot(self.probs.argmax(-1))

    def sample(self, sample_shape=()):
        return self._hot(self._each.sample(sample_shape))

    def log_prob(self, value):
        return self._each.log_prob(self._checked(value).argmax(-1))

    def entropy(self):
        return self._each.entropy()

    def enumerate_support(self, expand=True):
        n = self._event_shape[0]
        values = _k.eye(n, dtype=self.probs.dtype).reshape((n, *[1] * len(self._batch_shape), n))
        return values.expand((n, *self._batch_shape, n)) if expand else values


class OneHotCategoricalStraightThrough(OneHotCategorical):
    """The same, whose samples pass gradients to the probabilities as they come."""

    has_rsample = True

    def rsample(self, sample_shape=()):
        p = self._each.probs
        return self.sample(sample_shape) + (p - p.detach())


# ---- smooth ----


class LogitRelaxedBernoulli(_OfOdds):
    """The log odds of RelaxedBernoulli."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.real
    has_rsample = True

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature = temperature
        super().__init__(probs, logits, validate_args)

    def expand(self, batch_shape, _instance=None):
        new = super().expand(batch_shape)
        new.temperature = self.temperature
        return new

    def rsample(self, sample_shape=()):
        p = _clamped(self.probs.expand(tuple(self._extended_shape(sample_shape))))
        u = _clamped(_k.rand(p.shape, dtype=p.dtype))
        return (u.log() - (-u).log1p() + p.log() - (-p).log1p()) / self.temperature

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        diff = logits - value * self.temperature
        return _k.as_tensor(self.temperature).log() + diff - 2 * diff.exp().log1p()


class ExpRelaxedCategorical(Distribution):
    """The logarithms of RelaxedOneHotCategorical."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    support = constraints.real_vector  # whose exponentials sum to 1
    has_rsample = True
    probs = property(lambda self: self._each.probs)
    logits = property(lambda self: self._each.logits)
    param_shape = property(lambda self: self._each.param_shape)

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        self.temperature, self._each = temperature, Categorical(probs, logits)
        super().__init__(self._each.batch_shape, self.param_shape[-1:], validate_args)

    def expand(self, batch_shape, _instance=None):
        logits = self.logits.expand((*batch_shape, *self._event_shape))
        return ExpRelaxedCategorical(self.temperature, logits=logits, validate_args=False)

    def rsample(self, sample_shape=()):
        shape = tuple(self._extended_shape(sample_shape))
        u = _clamped(_k.rand(shape, dtype=self.logits.dtype))
        scores = (self.logits.expand(shape) - (-u.log()).log()) / self.temperature
        return scores - scores.logsumexp(-1, True)

    def log_prob(self, value):
        n = self._event_shape[0]
        logits, value = broadcast_all(self.logits, self._checked(value))
        t = _k.as_tensor(self.temperature, dtype=logits.dtype)
        score = (logits - value * t).log_softmax(-1).sum(-1)
        return score + math.lgamma(n) + (n - 1) * t.log()


class _Relaxed(TransformedDistribution):
    """A smooth choice: _base's samples, transformed."""

    has_rsample = True
    arg_constraints = {"probs": constraints.dependent, "logits": constraints.dependent}
    temperature = property(lambda self: self.base_dist.temperature)
    probs = property(lambda self: self.base_dist.probs)
    logits = property(lambda self: self.base_dist.logits)

    def __init__(self, temperature, probs=None, logits=None, validate_args=None):
        super().__init__(self._base(temperature, probs, logits, validate_args=validate_args),
                         self._turn(), validate_args=validate_args)

    def expand(self, batch_shape, _instance=None):
        new = object.__new__(type(self))
        TransformedDistribution.__init__(new, self.base_dist.expand(batch_shape), self._turn(),
                                         validate_args=False)
        new._validate_args = self._validate_args
        return new


class RelaxedBernoulli(_Relaxed):
    """Between 0 and 1, the nearer to one of them the lower the temperature."""

    support = constraints.unit_interval
    _base, _turn = LogitRelaxedBernoulli, SigmoidTransform


class RelaxedOneHotCategorical(_Relaxed):
    """Shares that sum to 1, the nearer to one choice the lower the temperature."""

    support = constraints.simplex
    _base, _turn = ExpRelaxedCategorical, ExpTransform


class ContinuousBernoulli(_OfOdds):
    """A number of [0, 1] with a density p^x (1 - p)^(1 - x) times what makes its integral 1."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.unit_interval
    has_rsample = True

    def __init__(self, probs=None, logits=None, lims=(0.499, 0.501), validate_args=None):
        self._lims = lims  # between them series are used
        super().__init__(probs, logits, validate_args)

    def expand(self, batch_shape, _instance=None):
        new = super().expand(batch_shape)
        new._lims = self._lims
        return new

    def _middle(self):
        return (self.probs > self._lims[0]) & (self.probs <= self._lims[1])

    def _off_middle(self):
        """The probability, where it is not in the middle."""
        return _k.where(self._middle(), self._lims[0], _clamped(self.probs))

    def _log_norm(self):
        p = self._off_middle()
        far = ((-p).log1p() - p.log()).abs().log() - (1 - 2 * p).abs().log()
        x = (self.probs - 0.5) ** 2
        return _k.where(self._middle(), math.log(2.0) + (4 / 3 + 104 / 45 * x) * x, far)

    @property
    def mean(self):
        p = self._off_middle()
        far = p / (2 * p - 1) + 1 / ((-p).log1p() - p.log())
        x = self.probs - 0.5
        return _k.where(self._middle(), 0.5 + (1 / 3 + 16 / 45 * x ** 2) * x, far)

    @property
    def variance(self):
        p = self._off_middle()
        far = p * (p - 1) / (1 - 2 * p) ** 2 + 1 / ((-p).log1p() - p.log()) ** 2
        x = (self.probs - 0.5) ** 2
        return _k.where(self._middle(), 1 / 12 - (1 / 15 - 128 / 945 * x) * x, far)

    def rsample(self, sample_shape=()):
        return self.icdf(_clamped(self._uniform(sample_shape)))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        return self._log_norm() - _F.binary_cross_entropy_with_logits(logits, value,
                                                                      reduction="none")

    def cdf(self, value):
        value, p = self._checked(value), self._off_middle()
        far = (p ** value * (1 - p) ** (1 - value) + p - 1) / (2 * p - 1)
        r = _k.where(self._middle(), value, far)
        return _k.where(value <= 0, 0.0, _k.where(value >= 1, 1.0, r))

    def icdf(self, value):
        p = self._off_middle()
        low = (-p).log1p()
        far = ((-p + value * (2 * p - 1)).log1p() - low) / (p.log() - low)
        return _k.where(self._middle(), value, far)

    def entropy(self):
        p = _clamped(self.probs)
        low = (-p).log1p()
        return self.mean * (low - p.log()) - self._log_norm() - low
