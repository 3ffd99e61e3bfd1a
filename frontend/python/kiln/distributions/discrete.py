"""Distributions of whole numbers."""
import functools
import math

import kiln as _k
from kiln.nn import functional as _F

from . import constraints
from .distribution import Distribution, Univariate, broadcast_all


def _clamped(p):
    eps = _k.finfo(p.dtype).eps
    return p.clamp(min=eps, max=1 - eps)


class _OfOdds(Univariate):
    """With a probability, or its log odds, from which the other is computed when asked for."""

    of_one = ("probs", "logits")

    def __getattr__(self, name):
        if name == "logits" and "probs" in self.__dict__:
            p = _clamped(self.probs)
            return p.log() - (-p).log1p()
        if name == "probs" and "logits" in self.__dict__:
            return self.logits.sigmoid()
        raise AttributeError(f"'{type(self).__name__}' object has no attribute '{name}'")

    def __init__(self, probs=None, logits=None, validate_args=None):
        super().__init__(probs=probs, logits=logits, validate_args=validate_args)

    @property
    def param_shape(self):
        return self._like().size()


class Bernoulli(_OfOdds):
    """1 with a probability, else 0."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.boolean
    has_enumerate_support = True
    mean = property(lambda self: self.probs)
    mode = property(lambda self: _k.where(self.probs == 0.5, math.nan,
                                          (self.probs >= 0.5).to(self.probs.dtype)))
    variance = property(lambda self: self.probs * (1 - self.probs))

    def sample(self, sample_shape=()):
        with _k.no_grad():
            return _k.bernoulli(self.probs.expand(tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        return -_F.binary_cross_entropy_with_logits(logits, value, reduction="none")

    def entropy(self):
        return _F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")

    def enumerate_support(self, expand=True):
        values = _k.arange(2, dtype=self._like().dtype).reshape([2] + [1] * len(self._batch_shape))
        return values.expand((2, *self._batch_shape)) if expand else values


class Geometric(_OfOdds):
    """Failures before the first success."""

    arg_constraints = {"probs": constraints.unit_interval, "logits": constraints.real}
    support = constraints.nonnegative_integer
    mean = property(lambda self: 1.0 / self.probs - 1.0)
    mode = property(lambda self: _k.zeros_like(self.probs))
    variance = property(lambda self: (1.0 / self.probs - 1.0) / self.probs)

    def __init__(self, probs=None, logits=None, validate_args=None):
        super().__init__(probs, logits, validate_args)
        if self._validate_args and probs is not None and not bool((self.probs > 0).all()):
            raise ValueError(f"Expected parameter probs ({type(self.probs).__name__} of shape "
                             f"{tuple(self.probs.shape)}) of distribution {self!r} to be positive "
                             f"but found invalid values:\n{self.probs.detach()[~(self.probs > 0)]}")

    def sample(self, sample_shape=()):
        with _k.no_grad():
            u = self._uniform(sample_shape).clamp(min=_k.finfo(self.probs.dtype).tiny)
            return (u.log() / (-self.probs).log1p()).floor()

    def log_prob(self, value):
        value, p = broadcast_all(self._checked(value), self.probs)
        p = _k.where((p == 1) & (value == 0), 0, p)
        return value * (-p).log1p() + self.probs.log()

    def entropy(self):
        return _F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none") / \
            self.probs


class _Counted(_OfOdds):
    """Of as many tries, or failures, as total_count says."""

    def __init__(self, total_count, probs=None, logits=None, validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        given, count = broadcast_all(probs if logits is None else logits, total_count)
        self.__dict__["probs" if logits is None else "logits"] = given
        self.total_count = count.to(given.dtype)
        Distribution.__init__(self, given.shape, validate_args=validate_args)


class Binomial(_Counted):
    """How many of total_count tries succeed."""

    arg_constraints = {"total_count": constraints.nonnegative_integer,
                       "probs": constraints.unit_interval, "logits": constraints.real}
    has_enumerate_support = True
    mean = property(lambda self: self.total_count * self.probs)
    mode = property(lambda self: ((self.total_count + 1) * self.probs).floor().minimum(
        self.total_count))
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))
    support = constraints.dependent_property(
        lambda self: constraints.integer_interval(0, self.total_count))

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        super().__init__(total_count, probs, logits, validate_args)

    @classmethod
    def names(cls):
        return ["probs", "logits", "total_count"]

    def _tries(self, what):
        most = int(self.total_count.max())
        if int(self.total_count.min()) != most:
            raise NotImplementedError(f"Inhomogeneous total count not supported by `{what}`.")
        return most

    def sample(self, sample_shape=()):
        with _k.no_grad():
            shape = tuple(self._extended_shape(sample_shape))
            return _k.binomial(self.total_count.to(self.probs.dtype).expand(shape), self.probs)

    def log_prob(self, value):
        n, logits, value = broadcast_all(self.total_count, self.logits, self._checked(value))
        ways = (n + 1).lgamma() - (value + 1).lgamma() - (n - value + 1).lgamma()
        return ways + value * logits + n * _F.logsigmoid(-logits)

    def entropy(self):
        self._tries("entropy")
        log_prob = self.log_prob(self.enumerate_support(False))
        return -(log_prob.exp() * log_prob).sum(0)

    def enumerate_support(self, expand=True):
        n = 1 + self._tries("enumerate_support")
        values = _k.arange(n, dtype=self._like().dtype).reshape([n] + [1] * len(self._batch_shape))
        return values.expand((n, *self._batch_shape)) if expand else values


class NegativeBinomial(_Counted):
    """How many succeed before total_count fail."""

    arg_constraints = {"total_count": constraints.greater_than_eq(0),
                       "probs": constraints.half_open_interval(0.0, 1.0),
                       "logits": constraints.real}
    support = constraints.nonnegative_integer
    mean = property(lambda self: self.total_count * self.logits.exp())
    mode = property(lambda self: ((self.total_count - 1) * self.logits.exp()).floor().clamp(min=0))
    variance = property(lambda self: self.mean / (-self.logits).sigmoid())
    names = classmethod(lambda cls: ["probs", "logits", "total_count"])

    def sample(self, sample_shape=()):
        from .continuous import Gamma
        with _k.no_grad():
            rate = Gamma(self.total_count, (-self.logits).exp(), validate_args=False)
            return Poisson(rate.sample(sample_shape), validate_args=False).sample()

    def log_prob(self, value):
        n, value = self.total_count, self._checked(value)
        score = n * _F.logsigmoid(-self.logits) + value * _F.logsigmoid(self.logits)
        ways = -(n + value).lgamma() + (1 + value).lgamma() + n.lgamma()
        return score - ways.masked_fill(n + value == 0, 0.0)


class Poisson(Univariate):
    """How often something happens at a rate."""

    arg_constraints = {"rate": constraints.nonnegative}
    support = constraints.nonnegative_integer
    mean = variance = property(lambda self: self.rate)
    mode = property(lambda self: self.rate.floor())

    def sample(self, sample_shape=()):
        return _k.poisson(self.rate.detach().expand(tuple(self._extended_shape(sample_shape))))

    def log_prob(self, value):
        rate, value = broadcast_all(self.rate, self._checked(value))
        return _k.xlogy(value, rate) - rate - (value + 1).lgamma()


class Categorical(Distribution):
    """One of several, with probabilities or their logarithms along the last dimension."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    has_enumerate_support = True

    def __init__(self, probs=None, logits=None, validate_args=None):
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        name, given = ("probs", probs) if probs is not None else ("logits", logits)
        if given.dim() < 1:
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if probs is not None:
            self.__dict__["probs"] = probs / probs.sum(-1, keepdim=True)
        else:
            self.__dict__["logits"] = logits - logits.logsumexp(dim=-1, keepdim=True)
        self._num_events = given.shape[-1]
        super().__init__(given.shape[:-1], validate_args=validate_args)

    @functools.cached_property
    def logits(self):
        return _clamped(self.probs).log()

    @functools.cached_property
    def probs(self):
        return _F.softmax(self.logits, dim=-1)

    def expand(self, batch_shape, _instance=None):
        name = "probs" if "probs" in self.__dict__ else "logits"
        given = self.__dict__[name].expand((*batch_shape, self._num_events))
        return Categorical(**{name: given}, validate_args=False)

    @constraints.dependent_property
    def support(self):
        return constraints.integer_interval(0, self._num_events - 1)

    @property
    def param_shape(self):
        return self.__dict__.get("probs", self.__dict__.get("logits")).size()

    @property
    def mean(self):
        return _k.full(self._extended_shape(), math.nan, dtype=self.probs.dtype)

    variance = mean
    mode = property(lambda self: self.probs.argmax(dim=-1))

    def sample(self, sample_shape=()):
        rows = self.probs.detach().reshape(-1, self._num_events)
        n = math.prod(sample_shape)
        return _k.multinomial(rows, n, True).T.reshape(self._extended_shape(sample_shape))

    def log_prob(self, value):
        value = self._checked(value).long().unsqueeze(-1)
        value, logits = _k.broadcast_tensors(value, self.logits)
        return logits.gather(-1, value[..., :1]).squeeze(-1)

    def entropy(self):
        least = _k.finfo(self.logits.dtype).min
        return -(self.logits.clamp(min=least) * self.probs).sum(-1)

    def enumerate_support(self, expand=True):
        n = self._num_events
        values = _k.arange(n).reshape([n] + [1] * len(self._batch_shape))
        return values.expand((n, *self._batch_shape)) if expand else values


class Multinomial(Distribution):
    """How often each of several comes up in total_count draws."""

    arg_constraints = {"probs": constraints.simplex, "logits": constraints.real_vector}
    probs = property(lambda self: self._each.probs)
    logits = property(lambda self: self._each.logits)
    param_shape = property(lambda self: self._each.param_shape)
    mean = property(lambda self: self.probs * self.total_count)
    variance = property(lambda self: self.total_count * self.probs * (1 - self.probs))
    support = constraints.dependent_property(lambda self: constraints.multinomial(self.total_count))

    def __init__(self, total_count=1, probs=None, logits=None, validate_args=None):
        if not isinstance(total_count, int):
            raise NotImplementedError("inhomogeneous total_count is not supported")
        self.total_count, self._each = total_count, Categorical(probs, logits)
        super().__init__(self._each.batch_shape, self.param_shape[-1:], validate_args)

    def expand(self, batch_shape, _instance=None):
        given = self._each.expand(batch_shape).__dict__
        name = "probs" if "probs" in given else "logits"
        return Multinomial(self.total_count, **{name: given[name]}, validate_args=False)

    def sample(self, sample_shape=()):
        with _k.no_grad():
            draws = self._each.sample((*sample_shape, self.total_count)).movedim(
                len(sample_shape), -1)
            counts = _k.zeros(self._extended_shape(sample_shape), dtype=self.probs.dtype)
            return counts.scatter_add(-1, draws, _k.ones_like(draws, dtype=counts.dtype))

    def log_prob(self, value):
        logits, value = broadcast_all(self.logits, self._checked(value))
        ways = (value.sum(-1) + 1).lgamma() - (value + 1).lgamma().sum(-1)
        never = (value == 0) & (logits == -math.inf)
        return ways + (logits.masked_fill(never, 0) * value).sum(-1)

    def entropy(self):
        n = _k.tensor(self.total_count, dtype=self.probs.dtype)
        each = Binomial(self.total_count, probs=self.probs)
        times = each.enumerate_support(False)[1:]
        ways = (each.log_prob(times).exp() * (times + 1).lgamma()).sum((0, -1))
        return n * self._each.entropy() - (n + 1).lgamma() + ways
