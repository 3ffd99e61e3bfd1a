"""Gradients: backward and grad."""
import warnings

from .. import _kiln
from .._grad import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: F401
from .._kiln import Tensor
from . import _after
from .anomaly_mode import checks, watched


class _VariableType(type):
    def __instancecheck__(cls, x):
        return isinstance(x, Tensor)


class Variable(metaclass=_VariableType):
    """Tensors were made variables once: a tensor over the same memory, a leaf."""

    _execution_engine = _after

    def __new__(cls, data=None, requires_grad=False, volatile=None):
        if volatile is not None:
            warnings.warn("volatile was removed and now has no effect. Use `with torch.no_grad():` "
                          "instead.", UserWarning, stacklevel=2)
        data = Tensor() if data is None else data
        return data.detach().requires_grad_(bool(requires_grad))


def _sequence(x):
    if isinstance(x, Tensor):
        return x,
    x = (x,) if isinstance(x, graph.GradientEdge) else tuple(x)
    return tuple(t.node._tensor if isinstance(t, graph.GradientEdge) else t for t in x)


_warned = []  # of create_graph, once a process


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False,
             grad_variables=None, inputs=None):
    """Add the gradients of tensors, weighed by grad_tensors, to the leaves' grad."""
    tensors = _sequence(tensors)
    seeds = (None,) * len(tensors) if grad_tensors is None else _sequence(grad_tensors)
    if len(seeds) != len(tensors):
        raise RuntimeError(f"got {len(tensors)} tensors and {len(seeds)} gradients")
    if create_graph and not _warned:
        _warned.append(True)
        warnings.warn("Using backward() with create_graph=True will create a reference cycle between "
                      "the parameter and its gradient which can cause a memory leak. We recommend "
                      "using autograd.grad when creating the graph to avoid this. If you have to use "
                      "this function, make sure to reset the .grad fields of your parameters to None "
                      "after use to break the cycle and avoid the leak.", UserWarning, stacklevel=2)
    inputs = None if inputs is None else _some(inputs, "backward()")
    with _after.Backward(tensors, inputs):
        if not checks():
            _collect(tensors, seeds, retain_graph, create_graph, inputs)
            return
        with watched(tensors):
            _collect(tensors, seeds, retain_graph, create_graph, inputs)


def _collect(tensors, seeds, retain_graph=None, create_graph=False, inputs=None):
    keep = create_graph if retain_graph is None else retain_graph
    for i, (y, seed) in enumerate(zip(tensors, seeds)):
        more = i + 1 < len(tensors)
        if inputs is None:
            y._backward(seed, bool(keep) or more, create_graph)
            continue
        on = _kiln._depends(y, inputs)
        for x, used, g in zip(inputs, on,
                              _kiln._grad(y, seed, inputs, bool(keep) or more, create_graph)):
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
    if is_grads_batched:
        from .. import stack

        each = [grad(ys, xs, tuple(s[i] for s in seeds), True, create_graph, True, True,
                     materialize_grads=materialize_grads) for i in range(len(seeds[0]))]
        return tuple(None if g[0] is None else stack(g) for g in zip(*each))
    total = None
    with watched(ys), _after.Backward():
        for i, (y, seed) in enumerate(zip(ys, seeds)):
            g = _kiln._grad(y, seed, xs, bool(keep) or i + 1 < len(ys), create_graph)
            total = g if total is None else tuple(a + b for a, b in zip(total, g))
    return total if materialize_grads else tuple(g if on else None for g, on in zip(total, used))


from .function import Function  # noqa: E402,F401
from . import (anomaly_mode, forward_ad, function, functional, grad_mode, graph,  # noqa: E402,F401
               profiler, variable)
from .anomaly_mode import detect_anomaly, set_detect_anomaly  # noqa: E402,F401
from .gradcheck import GradcheckError, gradcheck, gradgradcheck  # noqa: E402,F401
