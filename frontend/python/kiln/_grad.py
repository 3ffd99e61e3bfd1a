"""Switching the recording of operations on and off, as context managers and decorators."""
import functools

from . import _kiln


class _Mode:
    """Sets the mode on entry and restores it on exit; on a function, at each call."""

    on = True

    def __enter__(self):
        self._was = _kiln._set_grad_enabled(self.on)
        return self

    def __exit__(self, *exc):
        _kiln._set_grad_enabled(self._was)
        return False

    def __call__(self, fn):
        @functools.wraps(fn)
        def run(*args, **kwargs):
            with type(self).clone(self):
                return fn(*args, **kwargs)

        return run

    def clone(self):
        return type(self)()

    def __new__(cls, fn=None, *args, **kwargs):
        self = super().__new__(cls)
        return self(fn) if callable(fn) else self

    def __init__(self, *args, **kwargs):
        pass


class no_grad(_Mode):
    """Operations are not recorded.

    >>> w = torch.ones(2, requires_grad=True)
    >>> with torch.no_grad():
    ...     w -= 0.5
    >>> w
    tensor([0.5000, 0.5000], requires_grad=True)
    """

    on = False


class enable_grad(_Mode):
    """Operations are recorded again, inside no_grad."""


class inference_mode(_Mode):
    """no_grad(); inference_mode(False) leaves recording on."""

    def __init__(self, mode=True):
        self.on = not mode if isinstance(mode, bool) else False

    def clone(self):
        return inference_mode(not self.on)


class set_grad_enabled:
    """Sets the mode at once; as a context manager, until its end."""

    def __init__(self, mode):
        self._was = _kiln._set_grad_enabled(bool(mode))

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        _kiln._set_grad_enabled(self._was)
        return False
