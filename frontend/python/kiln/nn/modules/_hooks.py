"""Calling a module, with the hooks on its way."""
import itertools

from ..._kiln import Tensor
from ...autograd import Function


class RemovableHandle:
    """Takes a hook out again."""

    _ids = itertools.count()

    def __init__(self, hooks):
        self._hooks, self.id, self._notes = hooks, next(self._ids), []

    def note(self, table):
        """Stand in this table too, which says how the hook is called."""
        table[self.id] = True
        self._notes.append(table)

    def remove(self):
        for table in (self._hooks, *self._notes):
            table.pop(self.id, None)

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.remove()


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
            return out
        outs, _ = _tapped((out,) if single else out, self._started)
        return outs[0] if single else outs

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
                or self._backward_pre_hooks):
            return self.forward(*args, **kwargs)
        called = set()
        out = None
        try:
            return self._call_hooked(args, kwargs, called)
        except Exception:
            for id in tuple(self._forward_hooks):
                if id in self._forward_hooks_always_called and id not in called:
                    self._after(id, args, kwargs, out)
            raise

    def _call_hooked(self, args, kwargs, called):
        for id, hook in tuple(self._forward_pre_hooks.items()):
            with_kwargs = id in self._forward_pre_hooks_with_kwargs
            r = hook(self, args, kwargs) if with_kwargs else hook(self, args)
            if with_kwargs and r is not None:
                if not (isinstance(r, tuple) and len(r) == 2):
                    raise RuntimeError("forward pre-hook must return None or a tuple of "
                                       f"(new_args, new_kwargs), but got {r}.")
                args, kwargs = r
            elif r is not None:
                args = r if isinstance(r, tuple) else (r,)
        back = None
        if self._backward_hooks or self._backward_pre_hooks:
            back = _Backward(self, tuple(self._backward_pre_hooks.values()),
                             tuple(self._backward_hooks.values()))
            args = back.inputs(args)
        out = self.forward(*args, **kwargs)
        for id in tuple(self._forward_hooks):
            called.add(id)
            out = self._after(id, args, kwargs, out)
        return back.outputs(out) if back else out

    def _after(self, id, args, kwargs, out):
        hook, with_kwargs = self._forward_hooks[id], id in self._forward_hooks_with_kwargs
        r = hook(self, args, kwargs, out) if with_kwargs else hook(self, args, out)
        return out if r is None else r

    @staticmethod
    def _add_hook(hooks, value, prepend=False):
        handle = RemovableHandle(hooks)
        old = dict(hooks) if prepend else {}
        if prepend:
            hooks.clear()
        hooks[handle.id] = value
        hooks.update(old)
        return handle

    def register_forward_hook(self, hook, *, prepend=False, with_kwargs=False, always_call=False):
        """hook(module, args, output) after each call; what it gives replaces the output."""
        handle = self._add_hook(self._forward_hooks, hook, prepend)
        if with_kwargs:
            handle.note(self._forward_hooks_with_kwargs)
        if always_call:
            handle.note(self._forward_hooks_always_called)
        return handle

    def register_forward_pre_hook(self, hook, *, prepend=False, with_kwargs=False):
        """hook(module, args) before each call; what it gives replaces the arguments."""
        handle = self._add_hook(self._forward_pre_hooks, hook, prepend)
        if with_kwargs:
            handle.note(self._forward_pre_hooks_with_kwargs)
        return handle

    def register_full_backward_hook(self, hook, prepend=False):
        """hook(module, grad_input, grad_output); what it gives replaces grad_input."""
        return self._add_hook(self._backward_hooks, hook, prepend)

    register_backward_hook = register_full_backward_hook

    def register_full_backward_pre_hook(self, hook, prepend=False):
        """hook(module, grad_output) first; what it gives replaces grad_output."""
        return self._add_hook(self._backward_pre_hooks, hook, prepend)
