"""Gradients: backward, grad, and functions with a derivative of their own."""
import warnings

from .. import _kiln
from .._grad import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: F401
from .._kiln import Tensor


class _VariableType(type):
    def __instancecheck__(cls, x):
        return isinstance(x, Tensor)


class Variable(metaclass=_VariableType):
    """Tensors were made variables once: a tensor over the same memory, a leaf."""

    def __new__(cls, data=None, requires_grad=False, volatile=None):
        if volatile is not None:
            warnings.warn("volatile was removed and now has no effect. Use `with torch.no_grad():` "
                          "instead.", UserWarning, stacklevel=2)
        data = Tensor() if data is None else data
        return data.detach().requires_grad_(bool(requires_grad))


def _sequence(x):
    return (x,) if isinstance(x, Tensor) else tuple(x)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False,
             grad_variables=None, inputs=None):
    """Add the gradients of tensors, weighed by grad_tensors, to the leaves' grad."""
    tensors = _sequence(tensors)
    seeds = (None,) * len(tensors) if grad_tensors is None else _sequence(grad_tensors)
    keep = create_graph if retain_graph is None else retain_graph
    for i, (y, seed) in enumerate(zip(tensors, seeds)):
        more = i + 1 < len(tensors)
        if inputs is None:
            y._backward(seed, bool(keep) or more, create_graph)
            continue
        xs = _some(inputs, "backward()")
        on = _kiln._depends(y, xs)
        for x, used, g in zip(xs, on, _kiln._grad(y, seed, xs, bool(keep) or more, create_graph)):
            if used:
                x.grad = g if x.grad is None else x.grad + g


def _some(inputs, name):
    xs = _sequence(inputs)
    if not xs:
        raise RuntimeError(f"`inputs` argument to `{name}` cannot be empty.")
    return xs


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         only_inputs=True, allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """The gradients of outputs by each of inputs, as a tuple.

    >>> x = torch.tensor(3., requires_grad=True)
    >>> torch.autograd.grad(x * x, x)
    (tensor(6.),)
    """
    ys, xs = _sequence(outputs), _some(inputs, "grad()")
    seeds = (None,) * len(ys) if grad_outputs is None else _sequence(grad_outputs)
    if materialize_grads and allow_unused is False:
        raise ValueError("Expected allow_unused to be True or not passed when materialize_grads=True, but got: "
                         "allow_unused=False.")
    keep = create_graph if retain_graph is None else retain_graph
    used = [any(on) for on in zip(*(_kiln._depends(y, xs) for y in ys))]
    if not (allow_unused or materialize_grads or all(used)):
        raise RuntimeError(f"The differentiated Tensor at index {used.index(False)} appears to not have been used "
                           "in the graph. Set allow_unused=True if this is the desired behavior.")
    total = None
    for i, (y, seed) in enumerate(zip(ys, seeds)):
        g = _kiln._grad(y, seed, xs, bool(keep) or i + 1 < len(ys), create_graph)
        total = g if total is None else tuple(a + b for a, b in zip(total, g))
    return total if materialize_grads else tuple(g if on else None for g, on in zip(total, used))


class _Context:
    """What forward keeps for backward."""

    def __init__(self):
        self._saved, self._dirty, self._plain = (), (), ()
        self.materialize_grads = True
        self.needs_input_grad = ()

    def save_for_backward(self, *tensors):
        self._saved = tensors

    save_for_forward = save_for_backward

    @property
    def saved_tensors(self):
        return self._saved

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

    @classmethod
    def apply(cls, *args):
        ctx = _Context()
        ctx.needs_input_grad = tuple(isinstance(a, Tensor) and a.requires_grad for a in args)
        with no_grad():
            if cls.setup_context is not Function.setup_context:
                out = cls.forward(*args)
                cls.setup_context(ctx, args, out)
            else:
                out = cls.forward(ctx, *args)
        if not any(ctx.needs_input_grad) or not _kiln.is_grad_enabled():
            return out
        return _tie(cls, ctx, args, out)


def _tie(cls, ctx, args, out):
    """out, made to depend on args through cls.backward."""
    single = isinstance(out, Tensor)
    outs = [out] if single else list(out)
    plain = {id(t) for t in ctx._plain}
    which = [i for i, t in enumerate(outs) if isinstance(t, Tensor) and id(t) not in plain
             and (t.is_floating_point() or t.is_complex())]
    of = [i for i, need in enumerate(ctx.needs_input_grad) if need]
    dtypes = {i: args[i].dtype for i in of}
    like = [(tuple(outs[i].shape), outs[i].dtype) for i in which]

    def back(*grads):
        given = dict(zip(which, grads))
        full = [given.get(i) for i in range(len(outs))]
        if ctx.materialize_grads:
            from .. import zeros
            for i, (shape, dtype) in zip(which, like):
                if full[i] is None:
                    full[i] = zeros(shape, dtype=dtype)
        r = cls.backward(ctx, *full)
        r = r if isinstance(r, tuple) else (r,)
        if len(r) < len(args):
            raise RuntimeError(f"function {cls.__name__}Backward returned an incorrect number of "
                               f"gradients (expected {len(args)}, got {len(r)})")
        return tuple(r[i] if r[i] is None or r[i].dtype == dtypes[i] else r[i].to(dtypes[i])
                     for i in of)

    tied = _kiln._custom(tuple(args[i] for i in of), tuple(outs[i] for i in which), back,
                        f"{cls.__name__}Backward")
    for i, t in zip(which, tied):
        outs[i] = t
    ctx._saved = tuple(next((n for i, n in zip(which, tied) if s is out or s is out_of(out, i)), s)
                       for s in ctx._saved)
    return outs[0] if single else tuple(outs)


def out_of(out, i):
    """Result number i of a function's results."""
    return out if isinstance(out, Tensor) else out[i]


from . import function, functional, graph, profiler  # noqa: E402,F401
from .gradcheck import GradcheckError, gradcheck, gradgradcheck  # noqa: E402,F401
