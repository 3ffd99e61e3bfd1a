"""Less memory in training: pieces of a model that are run again when their gradient is due."""
import functools
import warnings

from .. import _kiln
from .._grad import enable_grad, no_grad
from .._kiln import Tensor
from .. import autograd, random

__all__ = ["checkpoint", "checkpoint_sequential", "noop_context_fn"]

_ADVICE = ("use_reentrant=False is recommended, but if you need to preserve the current default "
           "behavior, you can pass use_reentrant=True. Refer to docs for more details on the "
           "differences between the two variants.")


def noop_context_fn():
    """Two contexts, for the first run and the second, that do nothing."""
    import contextlib
    return contextlib.nullcontext(), contextlib.nullcontext()


def _parameters(function):
    """Of the modules that a function is, belongs to, or is made of."""
    from ..nn import Module

    while isinstance(function, functools.partial):
        function = function.func
    held = [function, getattr(function, "__self__", None)]
    held += [c.cell_contents for c in getattr(function, "__closure__", None) or ()]
    found = {}
    for h in held:
        for m in h if isinstance(h, (list, tuple)) else (h,):
            if isinstance(m, Module):
                found.update((id(p), p) for p in m.parameters() if p.requires_grad)
    return list(found.values())


class _Piece:
    """One call, run without keeping its inner values, and once more for its gradient."""

    def __init__(self, function, args, kwargs, preserve, contexts):
        self.function, self.args, self.kwargs = function, args, kwargs
        self.state = random.get_rng_state() if preserve else None
        self.first, self.second = contexts
        self.places = [i for i, a in enumerate(args) if isinstance(a, Tensor) and a.requires_grad]
        self.parameters = _parameters(function)

    def run(self):
        with no_grad(), self.first:
            out = self.function(*self.args, **self.kwargs)
        several = not isinstance(out, Tensor)
        self.outs = tuple(out) if several else (out,)
        self.which = [i for i, t in enumerate(self.outs)
                      if isinstance(t, Tensor) and (t.is_floating_point() or t.is_complex())]
        of = [self.args[i] for i in self.places] + self.parameters
        if not of or not _kiln.is_grad_enabled():
            return out
        tied = _kiln._custom(tuple(of), tuple(self.outs[i] for i in self.which), self.back)
        outs = list(self.outs)
        for i, t in zip(self.which, tied):
            outs[i] = t
        del self.outs
        return tuple(outs) if several else outs[0]

    def again(self, xs):
        given = list(self.args)
        for i, x in zip(self.places, xs):
            given[i] = x
        with enable_grad(), self.second:
            if self.state is None:
                return self.function(*given, **self.kwargs)
            with random.fork_rng():
                random.set_rng_state(self.state)
                return self.function(*given, **self.kwargs)

    def back(self, *grads):
        """The gradients of args and parameters; what else is captured collects its own."""
        xs = [self.args[i].detach().requires_grad_() for i in self.places]
        out = self.again(xs)
        outs = (out,) if isinstance(out, Tensor) else tuple(out)
        pairs = [(outs[i], g) for i, g in zip(self.which, grads)
                 if g is not None and outs[i].requires_grad]
        was = [p.grad for p in self.parameters]
        for p in self.parameters:
            p.grad = None
        with enable_grad():
            if pairs:
                autograd._collect(*zip(*pairs))
        got = [x.grad for x in xs] + [p.grad for p in self.parameters]
        for p, g in zip(self.parameters, was):
            p.grad = g
        return tuple(got)


def checkpoint(function, *args, use_reentrant=None, context_fn=noop_context_fn,
               determinism_check="default", debug=False, **kwargs):
    """function(*args), whose inner values are not kept: it is run again in backward.

    >>> x = torch.ones(2, requires_grad=True)
    >>> y = torch.utils.checkpoint.checkpoint(lambda t: t.exp() * 2, x, use_reentrant=False)
    >>> y.sum().backward()
    >>> x.grad
    tensor([5.4366, 5.4366])
    """
    preserve = kwargs.pop("preserve_rng_state", True)
    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint: the use_reentrant parameter should be passed "
                      "explicitly. Starting in PyTorch 2.9, calling checkpoint without use_reentrant "
                      "will raise an exception. " + _ADVICE, stacklevel=2)
        use_reentrant = True
    if kwargs and use_reentrant:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    if use_reentrant and (context_fn is not noop_context_fn or debug is not False):
        raise ValueError("Passing `context_fn`, `debug`, or `respect_saved_tensors_hooks` is only "
                         "supported when use_reentrant=False.")
    return _Piece(function, args, kwargs, preserve, context_fn()).run()


def checkpoint_sequential(functions, segments, input, use_reentrant=None, **kwargs):
    """Modules one after the other, all but the last of so many segments as checkpoints."""
    from ..nn import Sequential

    if use_reentrant is None:
        warnings.warn("torch.utils.checkpoint.checkpoint_sequential: the use_reentrant parameter "
                      "should be passed explicitly. In a future release, we will raise an exception "
                      "if use_reentrant is not passed. " + _ADVICE, stacklevel=2)
        use_reentrant = True
    preserve = kwargs.pop("preserve_rng_state", True)
    if kwargs:
        raise ValueError("Unexpected keyword arguments: " + ",".join(kwargs))
    functions = list(functions.children()) if isinstance(functions, Sequential) else list(functions)

    def chain(modules):
        def run(x):
            for f in modules:
                x = f(x)
            return x

        return run

    size = len(functions) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(chain(functions[start:start + size]), input, use_reentrant=use_reentrant,
                           preserve_rng_state=preserve)
    return chain(functions[size * (segments - 1):])(input)
