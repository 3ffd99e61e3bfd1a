"""The accelerator of this process, of whatever kind: CUDA's devices, or none."""
from . import cuda as _cuda
from ._kiln import device as _device


def is_available():
    """Whether there is one."""
    return _cuda.is_available()


def device_count():
    """How many devices there are."""
    return _cuda.device_count()


def current_accelerator(check_available=False):
    """Its kind as a device without a number; None without one."""
    return _device("cuda") if is_available() else None


def current_device_index():
    """The number of the device in use."""
    return _cuda.current_device()


current_device_idx = current_device_index


def set_device_index(device):
    """Use that device from here on."""
    _cuda.set_device(device)


set_device_idx = set_device_index


def synchronize(device=None):
    """Wait until it has done all that was asked of it; without one that is at once."""
    if is_available():
        _cuda.synchronize(device)
