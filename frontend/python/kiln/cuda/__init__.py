"""CUDA devices. Nothing here needs a driver: without one there are none."""
from . import amp  # noqa: F401
from .. import _kiln
from .. import random as _random
from .._kiln import device as _device


def is_available():
    """Whether there is a CUDA device."""
    return _kiln._device_count() > 0


def device_count():
    """How many CUDA devices there are."""
    return _kiln._device_count()


def _named(device):
    if device is None:
        return _device("cuda:0")
    d = _device("cuda", device) if isinstance(device, int) else _device(device)
    if d.type != "cuda":
        raise ValueError(f"Expected a cuda device, but got: {d}")
    return _device("cuda:0") if d.index is None else d


def _check(device):
    d = _named(device)
    if d.index >= device_count():
        raise AssertionError("Invalid device id")
    return d


def get_device_name(device=None):
    """The device's name as its driver has it."""
    return _kiln._device_describe(_check(device))[0]


def get_device_capability(device=None):
    """(major, minor) of the compute capability."""
    return _kiln._device_describe(_check(device))[1:]


def current_device():
    """The index of the device that "cuda" means."""
    _check(0)
    return 0


def set_device(device):
    """Only the first device can be the current one: name others as "cuda:1"."""
    if _check(device).index != 0:
        raise NotImplementedError("cuda.set_device: the current device is always cuda:0")


def synchronize(device=None):
    """Wait for everything given to the device."""
    _kiln._synchronize(_check(device))


def init():
    """Nothing needs to be called first."""


def is_initialized():
    return is_available()


def empty_cache():
    """Nothing is held that this could give back."""


def manual_seed(seed):
    """The generator of all devices is one."""
    _random.manual_seed(seed)


manual_seed_all = manual_seed


def is_bf16_supported(including_emulation=True):
    return is_available()


class device:
    """The current device inside a with statement: only cuda:0 can be."""

    def __init__(self, device):
        self._device = device

    def __enter__(self):
        if self._device is not None:
            set_device(self._device)
        return self

    def __exit__(self, *exc):
        return False
