"""Functions whose derivative's determinant is known, and the distributions of what they give.

    log_prob(y) = base.log_prob(x) - log |dy/dx|,  y = transform(x)"""
import math

import kiln as _k
from kiln.nn import functional as _F

from .._kiln import Tensor
from . import constraints
from .distribution import Distribution, sum_rightmost


class Transform:
    """t(x), t.inv(y), and log |det dy/dx|; cache_size 1 keeps the last pair."""

    bijective = False
    domain = codomain = constraints.real

    def __init__(self, cache_size=0):
        if cache_size not in (0, 1):
            raise ValueError("cache_size must be 0 or 1")
        self._cache_size, self._last, self._inv = cache_size, (None, None), None

    @property
    def inv(self):
        """The inverse, a transform too."""
        if self._inv is None:
            self._inv = _InverseTransform(self)
        return self._inv

    @property
    def sign(self):
        """1 where it rises, -1 where it falls."""
        raise NotImplementedError

    def with_cache(self, cache_size=1):
        """The same, keeping the last pair or not."""
        if self._cache_size == cache_size:
            return self
        r = object.__new__(type(self))
        r.__dict__.update(self.__dict__, _cache_size=cache_size, _last=(None, None), _inv=None)
        return r

    def __call__(self, x):
        if not self._cache_size:
            return self._call(x)
        if x is not self._last[0]:
            self._last = x, self._call(x)
        return self._last[1]

    def _inv_call(self, y):
        if not self._cache_size:
            return self._inverse(y)
        if y is not self._last[1]:
            self._last = self._inverse(y), y
        return self._last[0]

    def _call(self, x):
        raise NotImplementedError

    def _inverse(self, y):
        raise NotImplementedError

    def log_abs_det_jacobian(self, x, y):
        """log |det dy/dx| at x, where y = t(x)."""
        raise NotImplementedError

    def forward_shape(self, shape):
        """The shape of t(x)."""
        return shape

    def inverse_shape(self, shape):
        """The shape of t.inv(y)."""
        return shape

    def __repr__(self):
        return type(self).__name__ + "()"

    def _fields(self):
        return {n: v for n, v in self.__dict__.items() if not n.startswith("_")}

    def __eq__(self, other):
        """Whether it is the same function."""
        if self is other:
            return True
        if type(self) is not type(other):
            return False
        a, b = self._fields(), other._fields()
        return a.keys() == b.keys() and all(
            bool((_k.as_tensor(a[n]) == _k.as_tensor(b[n])).all())
            if isinstance(a[n], Tensor) or isinstance(b[n], Tensor) else a[n] == b[n] for n in a)

    __hash__ = object.__hash__


class _InverseTransform(Transform):
    """A transform backwards."""

    def __init__(self, of):
        super().__init__(of._cache_size)
        self.of, self._inv = of, of

    bijective = property(lambda self: self.of.bijective)
    domain = property(lambda self: self.of.codomain)
    codomain = property(lambda self: self.of.domain)
    sign = property(lambda self: self.of.sign)

    def with_cache(self, cache_size=1):
        return self.of.with_cache(cache_size).inv

    def __call__(self, x):
        return self.of._inv_call(x)

    def _inv_call(self, y):
        return self.of(y)

    def log_abs_det_jacobian(self, x, y):
        return -self.of.log_abs_det_jacobian(y, x)

    def forward_shape(self, shape):
        return self.of.inverse_shape(shape)

    def inverse_shape(self, shape):
        return self.of.forward_shape(shape)

    def __repr__(self):
        return f"_InverseTransform({self.of!r})"


class ComposeTransform(Transform):
    """One after another."""

    def __init__(self, parts, cache_size=0):
        super().__init__(cache_size)
        self.parts = [p.with_cache(cache_size) if cache_size else p for p in parts]

    bijective = property(lambda self: all(p.bijective for p in self.parts))
    sign = property(lambda self: math.prod((p.sign for p in self.parts)))

    @property
    def domain(self):
        """What the first takes, with as many dimensions as any of them needs."""
        if not self.parts:
            return constraints.real
        of, n = self.parts[0].domain, self.parts[-1].codomain.event_dim
        for p in reversed(self.parts):
            n = max(n + p.domain.event_dim - p.codomain.event_dim, p.domain.event_dim)
        return constraints.independent(of, n - of.event_dim) if n > of.event_dim else of

    @property
    def codomain(self):
        """What the last gives."""
        if not self.parts:
            return constraints.real
        of, n = self.parts[-1].codomain, self.parts[0].domain.event_dim
        for p in self.parts:
            n = max(n + p.codomain.event_dim - p.domain.event_dim, p.codomain.event_dim)
        return constraints.independent(of, n - of.event_dim) if n > of.event_dim else of

    def _call(self, x):
        for p in self.parts:
            x = p(x)
        return x

    def _inverse(self, y):
        for p in reversed(self.parts):
            y = p._inv_call(y)
        return y

    def log_abs_det_jacobian(self, x, y):
        if not self.parts:
            return _k.zeros_like(x)
        points = [x]
        for p in self.parts[:-1]:
            points.append(p(points[-1]))
        total, n = 0, self.domain.event_dim
        for p, a, b in zip(self.parts, points, points[1:] + [y]):
            total = total + sum_rightmost(p.log_abs_det_jacobian(a, b), n - p.domain.event_dim)
            n += p.codomain.event_dim - p.domain.event_dim
        return total

    def forward_shape(self, shape):
        for p in self.parts:
            shape = p.forward_shape(shape)
        return shape

    def inverse_shape(self, shape):
        for p in reversed(self.parts):
            shape = p.inverse_shape(shape)
        return shape

    def __repr__(self):
        return "ComposeTransform(\n    " + ",\n    ".join(map(repr, self.parts)) + "\n)"


identity_transform = ComposeTransform([])


class IndependentTransform(Transform):
    """A transform, the last dimensions of whose batch are part of the event."""

    def __init__(self, base_transform, reinterpreted_batch_ndims, cache_size=0):
        super().__init__(cache_size)
        self.base_transform = base_transform.with_cache(cache_size)
        self.reinterpreted_batch_ndims = reinterpreted_batch_ndims

    bijective = property(lambda self: self.base_transform.bijective)
    sign = property(lambda self: self.base_transform.sign)
    domain = property(lambda self: constraints.independent(
        self.base_transform.domain, self.reinterpreted_batch_ndims))
    codomain = property(lambda self: constraints.independent(
        self.base_transform.codomain, self.reinterpreted_batch_ndims))

    def _call(self, x):
        return self.base_transform(x)

    def _inverse(self, y):
        return self.base_transform._inv_call(y)

    def log_abs_det_jacobian(self, x, y):
        return sum_rightmost(self.base_transform.log_abs_det_jacobian(x, y),
                             self.reinterpreted_batch_ndims)

    def __repr__(self):
        return f"IndependentTransform({self.base_transform!r}, {self.reinterpreted_batch_ndims})"


class _Rising(Transform):
    bijective, sign = True, 1


class ExpTransform(_Rising):
    """exp(x)."""

    codomain = constraints.positive

    def _call(self, x):
        return x.exp()

    def _inverse(self, y):
        return y.log()

    def log_abs_det_jacobian(self, x, y):
        return x


class PowerTransform(Transform):
    """x to a power, of positive numbers."""

    domain = codomain = constraints.positive
    bijective = True

    def __init__(self, exponent, cache_size=0):
        super().__init__(cache_size)
        self.exponent = _k.as_tensor(exponent)

    sign = property(lambda self: self.exponent.sign())

    def _call(self, x):
        return x.pow(self.exponent)

    def _inverse(self, y):
        return y.pow(1 / self.exponent)

    def log_abs_det_jacobian(self, x, y):
        return (self.exponent * y / x).abs().log()

    def forward_shape(self, shape):
        return _k.broadcast_shapes(tuple(shape), tuple(self.exponent.shape))

    inverse_shape = forward_shape


class SigmoidTransform(_Rising):
    """1 / (1 + exp(-x))."""

    codomain = constraints.unit_interval

    def _call(self, x):
        info = _k.finfo(x.dtype)
        return x.sigmoid().clamp(info.tiny, 1 - info.eps)

    def _inverse(self, y):
        info = _k.finfo(y.dtype)
        y = y.clamp(info.tiny, 1 - info.eps)
        return y.log() - (-y).log1p()

    def log_abs_det_jacobian(self, x, y):
        return -_F.softplus(-x) - _F.softplus(x)


class SoftplusTransform(_Rising):
    """log(1 + exp(x))."""

    codomain = constraints.positive

    def _call(self, x):
        return _F.softplus(x)

    def _inverse(self, y):
        return (-y).expm1().neg().log() + y

    def log_abs_det_jacobian(self, x, y):
        return -_F.softplus(-x)


class TanhTransform(_Rising):
    """tanh(x); its inverse is rough near the ends: cache_size=1 does without it."""

    codomain = constraints.interval(-1.0, 1.0)

    def _call(self, x):
        return x.tanh()

    def _inverse(self, y):
        return y.atanh()

    def log_abs_det_jacobian(self, x, y):
        return 2.0 * (math.log(2.0) - x - _F.softplus(-2.0 * x))


class AbsTransform(Transform):
    """|x|, which has no inverse."""

    codomain = constraints.positive

    def _call(self, x):
        return x.abs()

    def _inverse(self, y):
        return y


class AffineTransform(Transform):
    """loc + scale * x."""

    bijective = True

    def __init__(self, loc, scale, event_dim=0, cache_size=0):
        super().__init__(cache_size)
        self.loc, self.scale, self._event_dim = loc, scale, event_dim

    event_dim = property(lambda self: self._event_dim)

    @property
    def domain(self):
        """All numbers, event_dim dimensions of them."""
        return constraints.independent(constraints.real, self._event_dim) if self._event_dim \
            else constraints.real

    codomain = domain

    @property
    def sign(self):
        s = self.scale
        return s.sign() if isinstance(s, Tensor) else (s > 0) - (s < 0)

    def _call(self, x):
        return self.loc + self.scale * x

    def _inverse(self, y):
        return (y - self.loc) / self.scale

    def log_abs_det_jacobian(self, x, y):
        s = self.scale
        r = s.abs().log() if isinstance(s, Tensor) else _k.full_like(x, math.log(abs(s)))
        if self._event_dim:
            r = r.expand(x.shape) if isinstance(s, Tensor) else r
            return sum_rightmost(r, self._event_dim)
        return r.expand(x.shape)

    def forward_shape(self, shape):
        return _k.broadcast_shapes(tuple(shape), tuple(getattr(self.loc, "shape", ())),
                                   tuple(getattr(self.scale, "shape", ())))

    inverse_shape = forward_shape


class SoftmaxTransform(Transform):
    """softmax over the last dimension; no bijection."""

    domain = constraints.real_vector
    codomain = constraints.simplex

    def _call(self, x):
        return x.softmax(-1)

    def _inverse(self, y):
        return y.log()


class TransformedDistribution(Distribution):
    """Of what a transform, or several in order, gives for samples of another distribution."""

    def __init__(self, base_distribution, transforms, validate_args=None):
        listed = [transforms] if isinstance(transforms, Transform) else transforms
        if not isinstance(listed, list) or not all(isinstance(t, Transform) for t in listed):
            raise ValueError("transforms must be a Transform or a list of Transforms" if isinstance(
                listed, list) else f"transforms must be a Transform or list, but was {transforms}")
        self.transforms = listed
        base, all_ = base_distribution, ComposeTransform(self.transforms)
        shape = base.batch_shape + base.event_shape
        if len(shape) < all_.domain.event_dim:
            raise ValueError("base_distribution needs to have shape with size at least "
                             f"{all_.domain.event_dim}, but got {base_distribution}.")
        ahead = all_.forward_shape(shape)
        wide = all_.inverse_shape(ahead)
        if tuple(wide) != tuple(shape):
            base = base.expand(wide[:len(wide) - len(base.event_shape)])
        more = all_.domain.event_dim - len(base.event_shape)
        if more > 0:
            from .several import Independent
            base = Independent(base, more)
        self.base_dist = base
        n = all_.codomain.event_dim + max(len(base.event_shape) - all_.domain.event_dim, 0)
        at = len(ahead) - n
        super().__init__(ahead[:at], ahead[at:], validate_args)

    has_rsample = property(lambda self: self.base_dist.has_rsample)

    @constraints.dependent_property
    def support(self):
        """What the last transform gives."""
        if not self.transforms:
            return self.base_dist.support
        of = self.transforms[-1].codomain
        n = len(self._event_shape) - of.event_dim
        return constraints.independent(of, n) if n > 0 else of

    def expand(self, batch_shape, _instance=None):
        base = self.base_dist
        n = len(self._event_shape) - len(base.event_shape)
        shape = ComposeTransform(self.transforms).inverse_shape(
            tuple(batch_shape) + tuple(self._event_shape))
        return TransformedDistribution(
            base.expand(shape[:len(shape) - len(base.event_shape) - max(n, 0)]), self.transforms,
            validate_args=False)

    def sample(self, sample_shape=()):
        with _k.no_grad():
            return self._through(self.base_dist.sample(sample_shape))

    def rsample(self, sample_shape=()):
        return self._through(self.base_dist.rsample(sample_shape))

    def _through(self, x):
        for t in self.transforms:
            x = t(x)
        return x

    def log_prob(self, value):
        y, total, n = self._checked(value), 0.0, len(self._event_shape)
        for t in reversed(self.transforms):
            x = t._inv_call(y)
            n += t.domain.event_dim - t.codomain.event_dim
            total = total - sum_rightmost(t.log_abs_det_jacobian(x, y), n - t.domain.event_dim)
            y = x
        return total + sum_rightmost(self.base_dist.log_prob(y),
                                     n - len(self.base_dist.event_shape))

    def _turned(self, value):
        """value, mirrored where the transforms fall."""
        sign = math.prod((t.sign for t in self.transforms))
        return sign * (value - 0.5) + 0.5 if isinstance(sign, Tensor) or sign != 1 else value

    def cdf(self, value):
        y = self._checked(value)
        for t in reversed(self.transforms):
            y = t._inv_call(y)
        return self._turned(self.base_dist.cdf(y))

    def icdf(self, value):
        return self._through(self.base_dist.icdf(self._turned(value)))

    def __repr__(self):
        return type(self).__name__ + "()"
