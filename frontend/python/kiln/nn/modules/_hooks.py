"""Calling a module, with the hooks on its way."""
import collections
import warnings

from ..._hooks import RemovableHandle
from ..._kiln import Tensor
from ...autograd import Function


# hooks of all modules, which come before a module's own
everywhere = {name: collections.OrderedDict() for name in (
    "forward_pre", "forward", "backward_pre", "backward", "parameter", "buffer", "module")}
_with_kwargs, _always_called = {}, {}  # of the forward ones: by number
_pre, _post, _back_pre, _back = (everywhere[name] for name in (
    "forward_pre", "forward", "backward_pre", "backward"))


def _register(kind, hook):
    return RemovableHandle.add(everywhere[kind], hook)


def register_module_forward_pre_hook(hook):
    """hook(module, args) before each call of any module; what it gives replaces the arguments."""
    return _register("forward_pre", hook)


def register_module_forward_hook(hook, *, with_kwargs=False, always_call=False):
    """hook(module, args, output) after each call of any module; what it gives replaces the output."""
    handle = _register("forward", hook)
    for on, table in ((with_kwargs, _with_kwargs), (always_call, _always_called)):
        if on:
            handle.note(table)
    return handle


def register_module_full_backward_pre_hook(hook):
    """hook(module, grad_output) first; what it gives replaces grad_output."""
    return _register("backward_pre", hook)


def register_module_full_backward_hook(hook):
    """hook(module, grad_input, grad_output); what it gives replaces grad_input."""
    return _register("backward", hook)


register_module_backward_hook = register_module_full_backward_hook


def register_module_parameter_registration_hook(hook):
    """hook(module, name, parameter) when a module gets one; what it gives is taken instead."""
    return _register("parameter", hook)


def register_module_buffer_registration_hook(hook):
    """hook(module, name, buffer) when a module gets one; what it gives is taken instead."""
    return _register("buffer", hook)


def register_module_module_registration_hook(hook):
    """hook(module, name, submodule) when a module gets one; what it gives is taken instead."""
    return _register("module", hook)


def registered(kind, module, name, value):
    """value, or what the registration hooks of that kind make of it."""
    for hook in tuple(everywhere[kind].values()):
        r = hook(module, name, value)
        value = value if r is None else r
    return value


class _Tap(Function):
    """The identity; its backward shows the gradients to look, which may give others."""

    @staticmethod
    def forward(ctx, look, *tensors):
        ctx.look = look
        ctx.set_materialize_grads(False)
        return tuple(t.view_as(t) for t in tensors)

    @staticmethod
    def backward(ctx, *grads):
        return (None, *ctx.look(grads))


def _tapped(values, look):
    """values, those of them that carry gradients passed through a tap."""
    where = [i for i, v in enumerate(values) if isinstance(v, Tensor) and v.requires_grad]
    if not where:
        return values, False

    def spread(grads):
        every = [None] * len(values)
        for i, g in zip(where, grads):
            every[i] = g
        given = look(tuple(every))
        return tuple(given[i] for i in where)

    out = list(values)
    for i, t in zip(where, _Tap.apply(spread, *(values[i] for i in where))):
        out[i] = t
    return tuple(out), True


class _Backward:
    """The backward hooks of one call: the outputs' gradients come first, the inputs' last."""

    def __init__(self, module, before, after):
        self.module, self.before, self.after = module, before, after
        self.of_output, self.n_inputs, self.reaches = None, 0, False

    def inputs(self, args):
        self.n_inputs = len(args)
        args, self.reaches = _tapped(args, self._arrived)
        return args

    def outputs(self, out):
        single = isinstance(out, Tensor)
        if not single and not isinstance(out, tuple):
            warnings.warn("For backward hooks to be called, module output should be a Tensor or a "
                          f"tuple of Tensors but received {type(out)}", stacklevel=5)
            return out
        outs, _ = _tapped((out,) if single else out, self._started)
        if single:
            return outs[0]
        return outs if type(out) is tuple else type(out)(*outs)  # a named tuple

    def _started(self, grads):
        for hook in self.before:
            r = hook(self.module, grads)
            if r is not None:
                grads = (r,) if isinstance(r, Tensor) else tuple(r)
        self.of_output = grads
        if not self.reaches:  # no input has a gradient: nothing more will come
            self._arrived((None,) * self.n_inputs)
        return grads

    def _arrived(self, grads):
        for hook in self.after:
            r = hook(self.module, grads, self.of_output)
            if r is not None:
                grads = (r,) if isinstance(r, Tensor) else tuple(r)
        return grads


class HookedCall:
    """The part of Module that calls forward and the hooks."""

    def __call__(self, *args, **kwargs):
        if not (self._forward_hooks or self._forward_pre_hooks or self._backward_hooks
                or self._backward_pre_hooks or _pre or _post or _back_pre or _back):
            return self.forward(*args, **kwargs)
        called = set()
        try:
            return self._call_hooked(args, kwargs, called)
        except Exception:
            for id, hook in (*everywhere["forward"].items(), *self._forward_hooks.items()):
                always = id in _always_called or id in self._forward_hooks_always_called
                if always and id not in called:
                    try:
                        self._after(id, hook, args, kwargs, None)
                    except Exception as e:  # the first error is the one to tell
                        warnings.warn("module forward hook with ``always_call=True`` raised an "
                                      "exception that was silenced as another error was raised in "
                                      f"forward: {e}", stacklevel=2)
            raise

    def _call_hooked(self, args, kwargs, called):
        for id, hook in (*everywhere["forward_pre"].items(), *self._forward_pre_hooks.items()):
            with_kwargs = id in self._forward_pre_hooks_with_kwargs
            r = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if with_kwargs and r is not None:
                if not (isinstance(r, tuple) and len(r) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of "
                                       f"(new_args, new_kwargs), but got {r}.")
                args, kwargs = r
            elif r is not None:
                args = r if isinstance(r, tuple) else (r,)
        before = (*everywhere["backward_pre"].values(), *self._backward_pre_hooks.values())
        after = (*everywhere["backward"].values(), *self._backward_hooks.values())
        back = _Backward(self, before, after) if before or after else None
        if back:
            args = back.inputs(args)
        out = self.forward(*args, **kwargs)
        for id, hook in (*everywhere["forward"].items(), *self._forward_hooks.items()):
            called.add(id)
            out = self._after(id, hook, args, kwargs, out)
        return back.outputs(out) if back else out

    def _after(self, id, hook, args, kwargs, out):
        with_kwargs = id in _with_kwargs or id in self._forward_hooks_with_kwargs
        r = hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
        return out if r is None else r

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """hook(module, args, output) after each call; what it gives replaces the output."""
        handle = RemovableHandle.add(self._forward_hooks, hook, prepend)
        if with_kwargs:
            handle.note(self._forward_hooks_with_kwargs)
        if always_call:
            handle.note(self._forward_hooks_always_called)
        return handle

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """hook(module, args) before each call; what it gives replaces the arguments."""
        handle = RemovableHandle.add(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            handle.note(self._forward_pre_hooks_with_kwargs)
        return handle

    def register_full_backward_hook(self, hook, prepend=False):
        """hook(module, grad_input, grad_output); what it gives replaces grad_input."""
        return RemovableHandle.add(self._backward_hooks, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """hook(module, grad_output) first; what it gives replaces grad_output."""
        return RemovableHandle.add(self._backward_pre_hooks, hook, prepend)
