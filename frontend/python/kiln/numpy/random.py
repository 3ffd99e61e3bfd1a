"""numpy.random's names over kiln's generator: NumPy's distributions, kiln's numbers, the same
for a seed on every machine. Most are functions of uniform numbers; gamma's family rejects and
draws again, poisson's is found in its distribution function by halving."""
import math

import kiln

from .. import _kiln
from ._array import array_of, asarray, cast, give
from ._dtype import dtype
from ._helpers import broadcast_shapes

_k = _kiln._functions["torch"]


def _shape(size):
    return () if size is None else (size,) if isinstance(size, int) else tuple(size)


class Generator:
    """A stream of random numbers of its own."""

    def __init__(self, stream):
        self._stream = stream

    def _uniform(self, size, dt="float64"):
        return _k["rand"](_shape(size), generator=self._stream, dtype=dtype(dt).kiln)

    def random(self, size=None, dtype="float64"):
        """Uniform in [0, 1)."""
        return give(self._uniform(size, dtype))

    def uniform(self, low=0.0, high=1.0, size=None):
        """Uniform in [low, high)."""
        return give(self._uniform(size) * (high - low) + low)

    def standard_normal(self, size=None, dtype="float64"):
        """Normal: mean 0, variance 1."""
        return self.normal(size=size) if dtype == "float64" else give(self._normal(size, dtype))

    def _normal(self, size, dt="float64"):
        return _k["randn"](_shape(size), generator=self._stream, dtype=dtype(dt).kiln)

    def normal(self, loc=0.0, scale=1.0, size=None):
        """Normal."""
        return give(self._normal(size) * scale + loc)

    def integers(self, low, high=None, size=None, dtype="int64", endpoint=False):
        """Integers from low (0) below high."""
        low, high = (0, low) if high is None else (low, high)
        high += endpoint
        if low >= high:
            raise ValueError("low >= high")
        r = _k["randint"](int(low), int(high), _shape(size), generator=self._stream)
        return give(asarray(r).astype(dtype))

    def permutation(self, x):
        """x's first axis, or so many integers, in random order."""
        a = asarray(x)
        n = a.item() if a.ndim == 0 else a.shape[0]
        order = _k["randperm"](n, generator=self._stream)
        return give(order) if a.ndim == 0 else array_of(_k["index_select"](a, 0, order))

    def shuffle(self, x):
        """The first axis in random order, in place."""
        x[...] = self.permutation(x)

    def choice(self, a, size=None, replace=True, p=None):
        """Draws among a's elements, or among so many integers."""
        a = asarray(a)
        n = a.item() if a.ndim == 0 else a.shape[0]
        shape = _shape(size)
        count = 1
        for d in shape:
            count *= d
        if not replace and count > n:
            raise ValueError("Cannot take a larger sample than population when replace is False")
        if p is not None:
            w = asarray(p).astype("float64")
            at = _k["multinomial"](w, count, replace, generator=self._stream)
        elif replace:
            at = _k["randint"](0, n, (count,), generator=self._stream)
        else:
            at = _k["randperm"](n, generator=self._stream)[:count]
        at = _k["reshape"](at, shape)
        return give(at if a.ndim == 0 else asarray(a)[asarray(at)])


    # ---- functions of uniform numbers ----

    def _parts(self, size, *params, **conditions):
        """Parameters as float64, and the shape of the result: size, or what they broadcast to."""
        ps = [asarray(p, "float64") for p in params]
        for text, bad in conditions.items():
            if bool(_k["any"](bad(*ps))):
                raise ValueError(_TEXTS[text])
        return ps, broadcast_shapes(*(p.shape for p in ps)) if size is None else _shape(size)

    def _open(self, shape):
        """Uniform in (0, 1]."""
        return 1 - self._uniform(shape)

    def standard_exponential(self, size=None, dtype="float64"):
        """Exponential with scale 1."""
        return give(cast(-_k["log"](self._open(size)), _dtype(dtype)))

    def exponential(self, scale=1.0, size=None):
        """Exponential: how long until an event."""
        (s,), shape = self._parts(size, scale, scale=lambda s: s < 0)
        return give(-_k["log"](self._open(shape)) * s)

    def weibull(self, a, size=None):
        """Weibull of shape a."""
        (a,), shape = self._parts(size, a, a=lambda a: a < 0)
        return give(_k["pow"](-_k["log"](self._open(shape)), 1 / a))

    def pareto(self, a, size=None):
        """Pareto II of shape a."""
        (a,), shape = self._parts(size, a, a0=lambda a: a <= 0)
        return give(_k["expm1"](-_k["log"](self._open(shape)) / a))

    def power(self, a, size=None):
        """In [0, 1], with density a x ** (a - 1)."""
        (a,), shape = self._parts(size, a, a0=lambda a: a <= 0)
        return give(_k["pow"](self._open(shape), 1 / a))

    def rayleigh(self, scale=1.0, size=None):
        """The length of a vector of two normal numbers."""
        (s,), shape = self._parts(size, scale, scale=lambda s: s < 0)
        return give(_k["sqrt"](-2 * _k["log"](self._open(shape))) * s)

    def gumbel(self, loc=0.0, scale=1.0, size=None):
        """Gumbel: the largest of many."""
        (m, s), shape = self._parts(size, loc, scale, scale=lambda m, s: s < 0)
        return give(m - s * _k["log"](self.standard_exponential(shape)))

    def logistic(self, loc=0.0, scale=1.0, size=None):
        """Logistic."""
        (m, s), shape = self._parts(size, loc, scale, scale=lambda m, s: s < 0)
        u = self._open(shape)
        return give(m + s * (_k["log"](u) - _k["log"](1 - u + 2.0 ** -54)))

    def laplace(self, loc=0.0, scale=1.0, size=None):
        """Two exponentials, back to back."""
        (m, s), shape = self._parts(size, loc, scale, scale=lambda m, s: s < 0)
        return give(m + s * (_k["log"](self._open(shape)) - _k["log"](self._open(shape))))

    def standard_cauchy(self, size=None):
        """The quotient of two normal numbers."""
        return give(_k["tan"]((self._uniform(size) - 0.5) * math.pi))

    def triangular(self, left, mode, right, size=None):
        """A triangle from left to right, the highest at mode."""
        (a, c, b), shape = self._parts(size, left, mode, right, left=lambda a, c, b: a > c,
                                       mode=lambda a, c, b: c > b, equal=lambda a, c, b: a == b)
        u = self._uniform(shape)
        rise = a + _k["sqrt"](u * (b - a) * (c - a))
        fall = b - _k["sqrt"]((1 - u) * (b - a) * (b - c))
        return give(_k["where"](u * (b - a) < c - a, rise, fall))

    def geometric(self, p, size=None):
        """How many trials until one succeeds."""
        (p,), shape = self._parts(size, p, p0=lambda p: (p <= 0) | (p > 1))
        r = _k["ceil"](_k["log"](self._open(shape)) / _k["log1p"](-p))
        return give(cast(_k["clamp"](r, 1), dtype("int64")))

    # ---- made of normal numbers ----

    def lognormal(self, mean=0.0, sigma=1.0, size=None):
        """What has a normal logarithm."""
        (m, s), shape = self._parts(size, mean, sigma, sigma=lambda m, s: s < 0)
        return give(_k["exp"](self._normal(shape) * s + m))

    def multivariate_normal(self, mean, cov, size=None):
        """Normal vectors with a covariance."""
        mean, cov = asarray(mean, "float64"), asarray(cov, "float64")
        if mean.ndim != 1:
            raise ValueError("mean must be 1 dimensional")
        if cov.ndim != 2 or cov.shape[0] != cov.shape[1]:
            raise ValueError("cov must be 2 dimensional and square")
        if mean.shape[0] != cov.shape[0]:
            raise ValueError("mean and cov must have same length")
        values, vectors = _kiln._functions["linalg"]["eigh"](cov)
        root = vectors * _k["sqrt"](_k["clamp"](values, 0))
        z = self._normal(_shape(size) + mean.shape)
        return array_of(mean + _k["matmul"](z, _k["transpose"](root, 0, 1)))

    # ---- gamma and its family ----

    def _gamma(self, shape_of, shape):
        """Marsaglia and Tsang's, for every shape parameter; below 1 by a power of a uniform one."""
        a = _k["broadcast_to"](shape_of, shape)
        big = _k["where"](a < 1, a + 1, a)
        d = big - 1 / 3
        c = 1 / _k["sqrt"](9 * d)
        r = done = None
        while done is None or not bool(_k["all"](done)):
            x = self._normal(shape)
            v = _k["pow"](1 + c * x, 3)
            fits = (v > 0) & (_k["log"](self._open(shape)) < 0.5 * x * x + d - d * v + d * _k["log"](
                _k["clamp"](v, 1e-300)))
            r = _k["where"](fits, d * v, 0.0) if r is None else _k["where"](fits & ~done, d * v, r)
            done = fits if done is None else done | fits
            r.realize(), done.realize()
        r = _k["where"](a < 1, r * _k["pow"](self._open(shape), 1 / a), r)
        return _k["where"](a == 0, 0.0, r)

    def standard_gamma(self, shape, size=None):
        """Gamma with scale 1."""
        (a,), out = self._parts(size, shape, shape=lambda a: a < 0)
        return give(self._gamma(a, out))

    def gamma(self, shape, scale=1.0, size=None):
        """Gamma: how long until that many events."""
        (a, s), out = self._parts(size, shape, scale, shape=lambda a, s: a < 0,
                                  scale=lambda a, s: s < 0)
        return give(self._gamma(a, out) * s)

    def chisquare(self, df, size=None):
        """The sum of df squares of normal numbers."""
        (n,), shape = self._parts(size, df, df=lambda n: n <= 0)
        return give(2 * self._gamma(n / 2, shape))

    def standard_t(self, df, size=None):
        """Student's t."""
        (n,), shape = self._parts(size, df, df=lambda n: n <= 0)
        return give(self._normal(shape) * _k["sqrt"](n / 2 / self._gamma(n / 2, shape)))

    def f(self, dfnum, dfden, size=None):
        """Fisher's F."""
        (m, n), shape = self._parts(size, dfnum, dfden, dfnum=lambda m, n: m <= 0,
                                    dfden=lambda m, n: n <= 0)
        return give(self._gamma(m / 2, shape) * n / (self._gamma(n / 2, shape) * m))

    def beta(self, a, b, size=None):
        """Beta: the share of one of two gammas."""
        (a, b), shape = self._parts(size, a, b, a0=lambda a, b: a <= 0, b0=lambda a, b: b <= 0)
        x, y = self._gamma(a, shape), self._gamma(b, shape)
        return give(x / (x + y))

    def dirichlet(self, alpha, size=None):
        """Shares that add to 1."""
        alpha = asarray(alpha, "float64")
        if bool(_k["any"](alpha < 0)):
            raise ValueError("alpha < 0")
        x = self._gamma(alpha, _shape(size) + alpha.shape)
        return array_of(x / _k["sum"](x, [-1], True))

    # ---- counts ----

    def poisson(self, lam=1.0, size=None):
        """How many events come in a time in which lam come on average."""
        (lam,), shape = self._parts(size, lam, lam=lambda m: ~(m >= 0), large=lambda m: m > 1e15)
        return give(cast(self._count(_k["broadcast_to"](lam, shape), self._uniform(shape)),
                         dtype("int64")))

    def _count(self, lam, u):
        """The smallest k whose distribution function gammaincc(k + 1, lam) is above u."""
        least = _k["full_like"](lam, -1.0)
        most = _k["floor"](lam + 40 * _k["sqrt"](lam) + 60)
        steps = math.ceil(math.log2(_k["amax"](most - least).item())) if lam.numel() else 0
        for _ in range(steps):
            middle = _k["floor"]((least + most) / 2)
            above = kiln.special.gammaincc(middle + 1, lam) > u
            least, most = (_k["where"](above, least, middle), _k["where"](above, middle, most))
            least.realize(), most.realize()
        return _k["where"](lam == 0, 0.0, most)

    def negative_binomial(self, n, p, size=None):
        """How many fail before n succeed."""
        (n, p), shape = self._parts(size, n, p, n0=lambda n, p: n <= 0, p0=lambda n, p: (p <= 0) | (p > 1))
        lam = self._gamma(n, shape) * (1 - p) / p
        return give(cast(self._count(_k["broadcast_to"](lam, shape), self._uniform(shape)),
                         dtype("int64")))

    def binomial(self, n, p, size=None):
        """How many of n succeed."""
        (n, p), shape = self._parts(size, n, p, n=lambda n, p: n < 0, p=lambda n, p: ~((p >= 0) & (p <= 1)))
        n, p = (_k["broadcast_to"](t, shape) for t in (n, p))
        r = _k["zeros"](shape, dtype=dtype("float64").kiln)
        for i in range(int(_k["amax"](n).item()) if n.numel() else 0):
            r = r + ((self._uniform(shape) < p) & (i < n))
            if i % 64 == 63:
                r.realize()
        return give(cast(r, dtype("int64")))

    def multinomial(self, n, pvals, size=None):
        """How n fall into classes."""
        p = asarray(pvals, "float64")
        if float(_k["sum"](p[:-1])) > 1 + 1e-12:
            raise ValueError("sum(pvals[:-1]) > 1.0")
        ends = _k["cumsum"](p, 0)[:-1]
        at = _k["searchsorted"](ends, self._uniform(_shape(size) + (int(n),)), side="right")
        classes = _k["arange"](p.size)
        return array_of(_k["sum"](_k["eq"](_k["unsqueeze"](at, -1), classes), [at.dim() - 1]))

    def permuted(self, x, *, axis=None):
        """x's elements in random order: each row along axis in its own."""
        x = asarray(x)
        flat = _k["reshape"](x, -1) if axis is None else _k["movedim"](x, axis, -1)
        order = _k["argsort"](self._uniform(tuple(flat.shape)), -1)
        r = _k["take_along_dim"](flat, order, flat.dim() - 1)
        return array_of(_k["reshape"](r, x.shape) if axis is None else _k["movedim"](r, -1, axis))

    def bytes(self, length):
        """Random bytes."""
        return self.integers(0, 256, length, "uint8").tobytes()

    def noncentral_chisquare(self, df, nonc, size=None):
        """The sum of df squares of normal numbers, one of them not around 0."""
        (df, nonc), shape = self._parts(size, df, nonc, df=lambda d, n: d <= 0,
                                        nonc=lambda d, n: n < 0)
        more = asarray(self.poisson(nonc / 2, shape), "float64")
        return give(2 * self._gamma(df / 2 + more, shape))

    def noncentral_f(self, dfnum, dfden, nonc, size=None):
        """A noncentral chi-square over a chi-square, each over its degrees."""
        (a, b, n), shape = self._parts(size, dfnum, dfden, nonc, dfnum=lambda a, b, n: a <= 0,
                                       dfden=lambda a, b, n: b <= 0, nonc=lambda a, b, n: n < 0)
        top = asarray(self.noncentral_chisquare(a, n, shape), "float64") / a
        return give(top / (2 * self._gamma(b / 2, shape) / b))

    def wald(self, mean, scale, size=None):
        """Inverse Gaussian, after Michael, Schucany and Haas."""
        (m, s), shape = self._parts(size, mean, scale, mean=lambda m, s: m <= 0,
                                    scale0=lambda m, s: s <= 0)
        y = m * _k["square"](self._normal(shape))
        x = m + m * (y - _k["sqrt"](4 * s * y + y * y)) / (2 * s)
        return give(_k["where"](self._uniform(shape) <= m / (m + x), x, m * m / x))


_dtype = dtype
_TEXTS = {"scale": "scale < 0", "a": "a < 0", "a0": "a <= 0", "b0": "b <= 0", "sigma": "sigma < 0",
          "shape": "shape < 0", "df": "df <= 0", "dfnum": "dfnum <= 0", "dfden": "dfden <= 0",
          "left": "left > mode", "mode": "mode > right", "equal": "left == right", "n": "n < 0",
          "n0": "n <= 0", "p": "p < 0, p > 1 or p is NaN", "large": "lam value too large",
          "nonc": "nonc < 0", "mean": "mean <= 0", "scale0": "scale <= 0",
          "p0": "p <= 0, p > 1 or p contains NaNs", "lam": "lam < 0 or lam is NaN"}


def default_rng(seed=None):
    """A generator of a seed; of the system's where there is none."""
    stream = kiln.Generator()
    if isinstance(seed, Generator):
        return seed
    if seed is None:
        import secrets
        seed = secrets.randbits(63)
    stream.manual_seed(seed)
    return Generator(stream)


_global = Generator(kiln.default_generator)


def seed(seed=None):
    """Numbers from here on are a function of seed."""
    kiln.random.seed() if seed is None else kiln.manual_seed(seed)


def rand(*size):
    """Uniform in [0, 1)."""
    return _global.random(size or None)


def randn(*size):
    """Normal: mean 0, variance 1."""
    return _global.normal(size=size or None)


def randint(low, high=None, size=None, dtype="int64"):
    """Integers from low (0) below high."""
    return _global.integers(low, high, size, dtype)


def get_state(legacy=True):
    """What set_state takes."""
    return kiln.random.get_rng_state()


def set_state(state):
    """Go on from there."""
    kiln.random.set_rng_state(state)


random = random_sample = ranf = _global.random
uniform, normal, standard_normal = _global.uniform, _global.normal, _global.standard_normal
permutation, shuffle, choice = _global.permutation, _global.shuffle, _global.choice
sample = random
for _name in ("beta binomial bytes chisquare dirichlet exponential f gamma geometric gumbel laplace "
              "logistic lognormal multinomial multivariate_normal negative_binomial pareto poisson "
              "noncentral_chisquare noncentral_f power rayleigh standard_cauchy standard_exponential "
              "standard_gamma standard_t triangular wald weibull").split():
    globals()[_name] = getattr(_global, _name)
