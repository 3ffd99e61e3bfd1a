"""Random numbers: the process's generator, and keeping its state."""
import contextlib
import random as _random

from . import _kiln
from ._kiln import Generator, default_generator


def manual_seed(seed):
    """Random numbers from here on are a function of seed and of the program's order.

    >>> _ = torch.manual_seed(1)
    >>> a = torch.rand(2)
    >>> _ = torch.manual_seed(1)
    >>> torch.equal(torch.rand(2), a)
    True
    """
    seed = int(seed)
    if not -2 ** 63 <= seed < 2 ** 64:
        raise RuntimeError("Overflow when unpacking long long")
    return default_generator.manual_seed(seed)


def seed():
    """A seed from the system, which is returned."""
    return default_generator.seed()


def _generator_seed(self):
    """A seed from the system, which is returned."""
    s = _random.SystemRandom().getrandbits(63)
    self.manual_seed(s)
    return s


def _restored(state):
    from ._make import tensor
    return Generator().set_state(tensor(state, dtype=_kiln.uint8))


def _clone_state(self):
    """Another generator that goes on from this one's state."""
    return Generator().set_state(self.get_state())


Generator.seed, Generator.clone_state = _generator_seed, _clone_state
Generator.__reduce__ = lambda self: (_restored, (self.get_state().tolist(),))


def initial_seed():
    """The seed last set."""
    return default_generator.initial_seed()


def get_rng_state():
    """The generator's state, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state):
    """Go on from a state that get_rng_state gave."""
    default_generator.set_state(new_state)


@contextlib.contextmanager
def fork_rng(devices=None, enabled=True, device_type="cuda"):
    """What is drawn inside does not change what is drawn after."""
    was = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(was)
