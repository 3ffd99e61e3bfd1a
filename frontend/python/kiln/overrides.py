"""Classes of the user's in the place of Tensor: what __torch_function__ carries out, and modes that
carry out every function of the table."""
import contextlib
import functools
import threading

from . import _kiln
from ._kiln import Tensor

_thread = threading.local()


class _Off(contextlib.ContextDecorator):
    """Within it subclasses of Tensor count as Tensor."""

    def __enter__(self):
        self._was = _kiln._torch_function_off(True)
        return self

    def __exit__(self, *exc):
        _kiln._torch_function_off(self._was)


def _as(cls, r):
    """A function's result as the class has it."""
    if isinstance(r, Tensor):
        return r if isinstance(r, cls) else r.as_subclass(cls)
    if isinstance(r, (tuple, list)):
        parts = [_as(cls, v) for v in r]
        return r._make(parts) if hasattr(r, "_make") else type(r)(parts) \
            if type(r) in (tuple, list) else r
    return r


def _torch_function(cls, func, types, args=(), kwargs=None):
    """Carries func out as for plain tensors; what it gives is of the class."""
    if not all(issubclass(cls, t) for t in types):
        return NotImplemented
    with _Off():
        r = func(*args, **(kwargs or {}))
        return r if cls is Tensor else _as(cls, r)


Tensor.__torch_function__ = classmethod(_torch_function)


def _make_subclass(cls, data, require_grad=False):
    """An object of the class over data's storage."""
    r = _kiln._as_class(cls, data)
    return r.requires_grad_() if require_grad else r


Tensor._make_subclass = staticmethod(_make_subclass)


class TorchFunctionMode:
    """Within it __torch_function__(func, types, args, kwargs) carries out every function of tensors.

    >>> from kiln.overrides import TorchFunctionMode
    >>> class Loud(TorchFunctionMode):
    ...     def __torch_function__(self, func, types, args=(), kwargs=None):
    ...         print(func.__name__)
    ...         return func(*args, **(kwargs or {}))
    >>> with Loud():
    ...     x = torch.ones(2).exp()
    ones
    exp
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        raise NotImplementedError

    def __enter__(self):
        _stack().append(self)
        _set_mode()
        return self

    def __exit__(self, *exc):
        _stack().pop()
        _set_mode()


class _AllOff(_Off):
    """Within it modes are off, too."""

    def __enter__(self):
        _kiln._set_mode(None)
        return super().__enter__()

    def __exit__(self, *exc):
        super().__exit__(*exc)
        _set_mode()


def _stack():
    if not hasattr(_thread, "modes"):
        _thread.modes = []
    return _thread.modes


def _set_mode():
    _kiln._set_mode(_run_mode if _stack() else None)


def _run_mode(func, types, args, kwargs):
    """The innermost mode's answer, given outside of it."""
    mode = _stack().pop()
    _set_mode()
    try:
        return mode.__torch_function__(func, types, args, kwargs)
    finally:
        _stack().append(mode)
        _set_mode()


def _has_hook(x):
    hook = getattr(type(x), "__torch_function__", None)
    return type(x) is not Tensor and hook not in (None, _kiln._disabled_torch_function)


def has_torch_function(relevant_args):
    """Whether the type of one of them has a __torch_function__ of its own, or a mode is on."""
    return bool(_stack()) or any(map(_has_hook, relevant_args))


def has_torch_function_unary(x):
    """has_torch_function of one."""
    return has_torch_function((x,))


def has_torch_function_variadic(*args):
    """has_torch_function of several."""
    return has_torch_function(args)


def handle_torch_function(public_api, relevant_args, *args, **kwargs):
    """What the mode, or the types of relevant_args, make of a function of the user's.

    >>> from kiln.overrides import handle_torch_function, has_torch_function
    >>> def double(x):
    ...     if has_torch_function((x,)):
    ...         return handle_torch_function(double, (x,), x)
    ...     return x + x
    >>> double(torch.ones(2))
    tensor([2., 2.])
    """
    types = []
    for t in {type(x): None for x in relevant_args if _has_hook(x)}:
        at = next((i for i, u in enumerate(types) if issubclass(t, u)), len(types))
        types.insert(at, t)
    hooks = [t.__torch_function__ for t in types]
    for hook in ([_run_mode] if _stack() else []) + hooks:
        r = hook(public_api, tuple(types), args, kwargs)
        if r is not NotImplemented:
            return r
    raise TypeError(f"no implementation found for '{public_api.__module__}.{public_api.__name__}' on "
                    f"types that implement __torch_function__: {types}")


def wrap_torch_function(dispatcher):
    """Makes a function one that its arguments' types may carry out; dispatcher(*args) names those."""
    def wrap(fn):
        @functools.wraps(fn)
        def run(*args, **kwargs):
            of = dispatcher(*args, **kwargs)
            if has_torch_function(of):
                return handle_torch_function(run, of, *args, **kwargs)
            return fn(*args, **kwargs)
        return run
    return wrap


def is_tensor_like(inp):
    """A tensor, or an object whose type has __torch_function__."""
    return type(inp) is Tensor or hasattr(inp, "__torch_function__")


def is_tensor_method_or_property(func):
    """Whether it is Tensor's."""
    name = getattr(func, "__name__", "")
    return getattr(Tensor, name, None) is func or name == "__get__"


def get_overridable_functions():
    """The functions that __torch_function__ may carry out, by where they stand."""
    found = {"torch." + module if module != "torch" else module: list(names.values())
             for module, names in _kiln._functions.items()}
    found["torch.Tensor"] = [f for f in vars(Tensor).values() if type(f).__name__ == "method_descriptor"]
    return found


def resolve_name(f):
    """Where a function stands, as text."""
    for place, fns in get_overridable_functions().items():
        if any(f is g for g in fns):
            return f"{place}.{f.__name__}"
    return None
