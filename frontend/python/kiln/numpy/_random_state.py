"""RandomState: the older generator's names over kiln's own; its numbers are kiln's."""
import kiln

from .random import Generator


class RandomState(Generator):
    """A stream of random numbers of its own, by the names that numpy.random had first."""

    def __init__(self, seed=None):
        super().__init__(kiln.Generator())
        self.seed(seed)

    def seed(self, seed=None):
        """Numbers from here on are a function of seed; of the system's where there is none."""
        if seed is None:
            import secrets
            seed = secrets.randbits(63)
        self._stream.manual_seed(int(seed))

    def get_state(self, legacy=True):
        """What set_state takes."""
        return self._stream.get_state()

    def set_state(self, state):
        """Go on from there."""
        self._stream.set_state(state)

    def rand(self, *size):
        """Uniform in [0, 1)."""
        return self.random(size or None)

    def randn(self, *size):
        """Normal: mean 0, variance 1."""
        return self.normal(size=size or None)

    def randint(self, low, high=None, size=None, dtype="int64"):
        """Integers from low (0) below high."""
        return self.integers(low, high, size, dtype)

    def random_integers(self, low, high=None, size=None):
        """Integers from low (1) to high."""
        low, high = (1, low) if high is None else (low, high)
        return self.integers(low, high, size, endpoint=True)

    def tomaxint(self, size=None):
        """Integers from 0 to the largest."""
        return self.integers(0, 2 ** 63 - 1, size)

    def random_sample(self, size=None):
        """Uniform in [0, 1)."""
        return self.random(size)

    sample = ranf = random_sample
