"""numpy.random's names over kiln's generator: NumPy's distributions, kiln's numbers, the same
for a seed on every machine."""
import kiln

from .. import _kiln
from ._array import array_of, asarray, give
from ._dtype import dtype

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


random = random_sample = ranf = _global.random
uniform, normal, standard_normal = _global.uniform, _global.normal, _global.standard_normal
permutation, shuffle, choice = _global.permutation, _global.shuffle, _global.choice
