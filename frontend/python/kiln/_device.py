"""Where new tensors are made: set_default_device, and devices as contexts."""
import threading

from . import _kiln
from ._kiln import device

_named = threading.local()


def _set(d):
    _kiln._set_default_device(d)
    _named.device = d


def set_default_device(device):
    """New tensors are made there, in this thread; None: where KILN_DEVICE says, or on the cpu.

    >>> torch.set_default_device("cpu")
    >>> torch.ones(2).device
    device(type='cpu')
    """
    _set(device)


def get_default_device():
    """Where new tensors are made.

    >>> torch.get_default_device()
    device(type='cpu')
    """
    return device(_kiln._get_default_device())


def _enter(self):
    before = getattr(_named, "device", None)
    _set(self)
    _named.outer = (before, getattr(_named, "outer", None))
    return self


def _leave(self, kind, value, trace):
    before, _named.outer = _named.outer
    _set(before)


device.__enter__, device.__exit__ = _enter, _leave
