"""Which operation's gradient made the first NaN."""
import threading
import warnings

from .. import _kiln

_here = threading.local()


def checks():
    """Whether backward looks for NaNs."""
    return getattr(_here, "on", False) and _here.check_nan


class set_detect_anomaly:
    """Sets the mode at once; as a context manager, until its end."""

    def __init__(self, mode, check_nan=True):
        self._was = getattr(_here, "on", False), getattr(_here, "check_nan", True)
        _here.on, _here.check_nan = bool(mode), check_nan

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        _here.on, _here.check_nan = self._was
        return False


class detect_anomaly(set_detect_anomaly):
    """A NaN that backward makes is an error that names the operation.

    >>> with torch.autograd.set_detect_anomaly(True):
    ...     torch.is_anomaly_enabled()
    True
    """

    def __init__(self, check_nan=True):
        warnings.warn("Anomaly Detection has been enabled. This mode will increase the runtime and "
                      "should only be enabled for debugging.", UserWarning, stacklevel=2)
        self._check = check_nan

    def __enter__(self):
        super().__init__(True, self._check)
        return self


def is_anomaly_enabled():
    return getattr(_here, "on", False)


def is_anomaly_check_nan_enabled():
    return getattr(_here, "check_nan", True)


class watched:
    """Around a backward of these tensors: they are computed before, its gradients within."""

    def __init__(self, tensors):
        self._tensors = tensors if checks() else None

    def __enter__(self):
        if self._tensors is not None:
            for t in self._tensors:
                t.realize()
            self._was = _kiln._set_nan_check(True)
        return self

    def __exit__(self, kind, *exc):
        if self._tensors is not None:
            try:
                if kind is None:
                    _kiln._flush()
            finally:
                _kiln._set_nan_check(self._was)
        return False
