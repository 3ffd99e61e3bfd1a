"""Functions with a derivative of their own."""
import functools
import warnings

from .. import _kiln
from .._grad import no_grad
from .._kiln import Tensor
from . import graph


class FunctionCtx:
    """What forward keeps for backward."""

    def __init__(self):
        self._saved, self._dirty, self._plain, self._unpack = (), (), (), None
        self.materialize_grads = True
        self.needs_input_grad = ()

    def save_for_backward(self, *tensors):
        for i, t in enumerate(tensors):
            if t is not None and not isinstance(t, Tensor):
                raise TypeError("save_for_backward can only save variables, but argument "
                                f"{i} is of type {type(t).__name__}")
        self._saved = tensors

    save_for_forward = save_for_backward

    def _pack(self):
        """By the hooks of saved_tensors_hooks, where some are set."""
        hooks = graph.current_hooks()
        if hooks is not None and self._saved:
            with no_grad():
                self._saved = tuple(t if t is None else hooks.pack_hook(t) for t in self._saved)
            self._unpack = hooks.unpack_hook

    @property
    def saved_tensors(self):
        if self._unpack is None:
            return self._saved
        return tuple(p if p is None else self._unpack(p) for p in self._saved)

    def mark_dirty(self, *tensors):
        self._dirty = tensors

    def mark_non_differentiable(self, *tensors):
        self._plain = tensors

    def set_materialize_grads(self, value):
        self.materialize_grads = value


class Function:
    """An operation with its own derivative: write forward(ctx, ..) and backward(ctx, ..) as
    static methods, call apply.

    >>> class Double(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         return 2 * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, grad):
    ...         return 2 * grad
    >>> x = torch.ones(2, requires_grad=True)
    >>> Double.apply(x).sum().backward()
    >>> x.grad
    tensor([2., 2.])
    """

    generate_vmap_rule = False

    def __init__(self, *args, **kwargs):
        warnings.warn(f"{type(self)} should not be instantiated. Methods on autograd functions are "
                      "all static, so you should invoke them on the class itself. Instantiating an "
                      "autograd function will raise an error in a future version of PyTorch.",
                      DeprecationWarning, stacklevel=2)

    def __call__(self, *args, **kwargs):
        raise RuntimeError("Legacy autograd function with non-static forward method is deprecated. "
                           "Please use new-style autograd function with static forward method. "
                           "(Example: https://pytorch.org/docs/stable/autograd.html#torch.autograd.Function)")

    @staticmethod
    def forward(*args, **kwargs):
        raise NotImplementedError("You must implement the forward function for custom "
                                  "autograd.Function.")

    @staticmethod
    def setup_context(ctx, inputs, output):
        raise NotImplementedError("setup_context is not implemented.")

    @staticmethod
    def backward(ctx, *grad_outputs):
        raise NotImplementedError("You must implement either the backward or vjp method for "
                                  "your custom autograd.Function to use it with backward mode "
                                  "AD.")

    vjp = backward

    @staticmethod
    def jvp(ctx, *grad_inputs):
        raise NotImplementedError("You must implement the jvp function for custom autograd.Function "
                                  "to use it with forward mode AD.")

    @classmethod
    def apply(cls, *args):
        ctx = FunctionCtx()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        recording = any(ctx.needs_input_grad) and _kiln.is_grad_enabled()
        # as they are now: forward may write them
        given = [a.clone() if need else None for a, need in zip(args, ctx.needs_input_grad)] \
            if recording else ()
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args)
        if not recording:
            return out
        for t in ctx._dirty:
            if t.requires_grad and t.is_leaf:
                raise RuntimeError("a leaf Variable that requires grad is being used in an in-place "
                                   "operation.")
        dirty = {id(t) for t in ctx._dirty}
        out = _tie(cls, ctx, [g if id(a) in dirty else a for a, g in zip(args, given)], out)
        ctx._pack()
        return out


class InplaceFunction(Function):
    """The base of functions that may write where they read, by an older name."""


def _backward_of(cls):
    if cls.backward is not Function.backward and cls.vjp is not Function.vjp:
        raise RuntimeError("Implementing both 'backward' and 'vjp' for a custom Function is not "
                           "allowed. You should only implement one of them.")
    return cls.vjp if cls.vjp is not Function.vjp else cls.backward


def _fit(g, shape, dtype):
    """A gradient as its operand has it: what was expanded is summed up."""
    if g is None or not isinstance(g, Tensor):
        return g
    if g.shape != shape and g.dim() >= len(shape) and all(
            n in (1, m) for n, m in zip(shape[::-1], g.shape[::-1])):
        g = g.sum_to_size(shape)
    return g if g.dtype == dtype else g.to(dtype)


def _tie(cls, ctx, args, out):
    """out, made to depend on args through cls.backward."""
    single = isinstance(out, Tensor)
    outs = [out] if single else list(out)
    given, plain = tuple(outs), {id(t) for t in ctx._plain}
    which = [i for i, t in enumerate(outs) if isinstance(t, Tensor) and id(t) not in plain
             and (t.is_floating_point() or t.is_complex())]
    of = [i for i, need in enumerate(ctx.needs_input_grad) if need]
    inputs = {i: (args[i].shape, args[i].dtype) for i in of}
    like = {i: (tuple(t.shape), t.dtype) for i, t in enumerate(outs) if isinstance(t, Tensor)}
    derive, n_outs, name = _backward_of(cls), len(outs), f"{cls.__name__}Backward"

    def back(*grads):
        from .. import zeros

        arrived = dict(zip(which, grads))
        full = [arrived.get(i) for i in range(n_outs)]
        for i, (shape, dtype) in like.items() if ctx.materialize_grads else ():
            if full[i] is None:
                full[i] = zeros(shape, dtype=dtype)
        r = derive(ctx, *full)
        r = r if isinstance(r, tuple) else (r,)
        more = len(r) > len(args) and any(g is not None for g in r[len(args):])
        if len(r) < len(args) or more:
            raise RuntimeError(f"function {name} returned an incorrect number of gradients "
                               f" (expected {len(args)}, got {len(r)})")
        return tuple(_fit(r[i], *inputs[i]) for i in of)

    tied = _kiln._custom(tuple(args[i] for i in of), tuple(outs[i] for i in which), back, name)
    dirty = {id(t) for t in ctx._dirty}
    for i, t in zip(which, tied):
        outs[i] = _kiln._become(given[i], t) if id(given[i]) in dirty else t
    ctx._saved = tuple(next((outs[i] for i in which if s is not None and s is given[i]), s)
                       for s in ctx._saved)
    return outs[0] if single else tuple(outs)


def once_differentiable(fn):
    """A backward whose result has no derivative.

    >>> torch.autograd.function.once_differentiable(lambda ctx, g: g * 2)(
    ...     None, torch.ones(1, requires_grad=True))
    tensor([2.])
    """
    @functools.wraps(fn)
    def run(ctx, *grads):
        with no_grad():
            return fn(ctx, *grads)

    return run
