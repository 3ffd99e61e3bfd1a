"""Switching the recording of operations on and off, as context managers and decorators."""
import functools
import inspect
import warnings

from . import _kiln


def _decorated(fn, mode):
    """fn within mode() at each call; of a generator, whenever its own code runs."""
    if isinstance(fn, type):
        warnings.warn("Decorating classes is deprecated and will be disabled in future versions. You "
                      "should only decorate functions or methods. To preserve the current behavior of "
                      "class decoration, you can directly decorate the `__init__` method and nothing "
                      "else.", FutureWarning, stacklevel=3)
    if inspect.isgeneratorfunction(fn):
        @functools.wraps(fn)
        def run(*args, **kwargs):
            return (yield from _within(fn(*args, **kwargs), mode))
    else:
        @functools.wraps(fn)
        def run(*args, **kwargs):
            with mode():
                return fn(*args, **kwargs)

    return run


def _within(generator, mode):
    """The generator's values; between them the caller has its own mode."""
    sent, send = None, generator.send
    while True:
        with mode():
            try:
                value = send(sent)
            except StopIteration as end:
                return end.value
        try:
            sent, send = (yield value), generator.send
        except GeneratorExit:
            with mode():
                generator.close()
            raise
        except BaseException as e:
            sent, send = e, generator.throw


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
        return _decorated(fn, self.clone)

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
        self._mode = bool(mode)
        self._was = _kiln._set_grad_enabled(self._mode)

    def __call__(self, fn):
        _kiln._set_grad_enabled(self._was)
        return _decorated(fn, lambda: set_grad_enabled(self._mode))

    def __enter__(self):
        _kiln._set_grad_enabled(self._mode)
        return self

    def __exit__(self, *exc):
        _kiln._set_grad_enabled(self._was)
        return False
