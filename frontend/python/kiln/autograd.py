"""Gradients: backward and grad."""
from . import _kiln
from ._kiln import Tensor


def _sequence(x):
    return (x,) if isinstance(x, Tensor) else tuple(x)


def backward(tensors, grad_tensors=None, retain_graph=None, create_graph=False,
             grad_variables=None, inputs=None):
    """Add the gradients of tensors, weighed by grad_tensors, to the leaves' grad."""
    tensors = _sequence(tensors)
    seeds = (None,) * len(tensors) if grad_tensors is None else _sequence(grad_tensors)
    keep = create_graph if retain_graph is None else retain_graph
    for i, (y, seed) in enumerate(zip(tensors, seeds)):
        if inputs is None:
            y._backward(seed, keep or i + 1 < len(tensors), create_graph)
            continue
        for x, g in zip(_sequence(inputs),
                        _kiln._grad(y, seed, _sequence(inputs), bool(keep), create_graph)):
            x.grad = g if x.grad is None else x.grad + g


def grad(outputs, inputs, grad_outputs=None, retain_graph=None, create_graph=False,
         only_inputs=True, allow_unused=None, is_grads_batched=False, materialize_grads=False):
    """The gradients of outputs by each of inputs, as a tuple."""
    ys, xs = _sequence(outputs), _sequence(inputs)
    seeds = (None,) * len(ys) if grad_outputs is None else _sequence(grad_outputs)
    keep = create_graph if retain_graph is None else retain_graph
    total = None
    for i, (y, seed) in enumerate(zip(ys, seeds)):
        g = _kiln._grad(y, seed, xs, bool(keep) or i + 1 < len(ys), create_graph)
        total = g if total is None else tuple(a + b for a, b in zip(total, g))
    return total
