"""Function, what its forward keeps, and what may be said of its backward."""
import functools

from .._grad import no_grad
from . import Function, _Context  # noqa: F401

FunctionCtx = _Context


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
