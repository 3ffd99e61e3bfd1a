"""Forward-mode derivatives: tensors with a tangent, whose results have one, too. Gradients are taken
in reverse mode alone; a result's tangent is the gradient, by its weights, of the gradient."""
import collections

from .._grad import enable_grad
from .._kiln import Tensor
from . import grad

UnpackedDualTensor = collections.namedtuple("UnpackedDualTensor", ["primal", "tangent"])
_levels = []  # of each: its dual tensors with their tangents
_current_level = -1


class dual_level:
    """The region in which dual tensors live; levels do not nest.

    >>> import kiln.autograd.forward_ad as fwAD
    >>> with fwAD.dual_level():
    ...     x = fwAD.make_dual(torch.tensor([2., 3.]), torch.tensor([1., 0.]))
    ...     fwAD.unpack_dual(x * x).tangent
    tensor([4., 0.])
    """

    def __enter__(self):
        enter_dual_level()

    def __exit__(self, *exc):
        exit_dual_level()


def enter_dual_level():
    if _levels:
        raise RuntimeError("Nested forward mode AD is not supported at the moment")
    global _current_level
    _levels.append([])
    _current_level = 0
    return 0


def exit_dual_level(*, level=None):
    if not _levels:
        raise RuntimeError("Trying to exit a forward AD level but no level is active")
    global _current_level
    _levels.pop()
    _current_level = -1


def make_dual(tensor, tangent, *, level=None):
    """A tensor of tensor's value with a tangent."""
    if not _levels:
        raise RuntimeError("Trying to create a dual Tensor for forward AD but no level exists, make "
                           "sure to enter_dual_level() first.")
    for name, t in (("primal", tensor), ("tangent", tangent)):
        if not (t.is_floating_point() or t.is_complex()):
            raise ValueError(f"Expected {name} to be floating point or complex, but got: {t.dtype}")
    if tensor.shape != tangent.shape:
        raise RuntimeError("Trying to set a forward gradient that has a different size than that of "
                           f"the original Tensor, this is not supported. Tensor is of size "
                           f"{list(tensor.shape)} while the given forward gradient is of size "
                           f"{list(tangent.shape)}.")
    with enable_grad():
        dual = tensor.view_as(tensor) if tensor.requires_grad else tensor.detach().requires_grad_()
    _levels[-1].append((dual, tangent))
    return dual


def unpack_dual(tensor, *, level=None):
    """(primal, tangent) of what was computed from dual tensors; without any: (tensor, None)."""
    if not isinstance(tensor, Tensor) or not _levels or not tensor.requires_grad:
        return UnpackedDualTensor(tensor, None)
    for dual, tangent in _levels[-1]:
        if dual is tensor:
            return UnpackedDualTensor(tensor.detach(), tangent)
    from .. import zeros_like

    duals = [d for d, _ in _levels[-1]]
    with enable_grad():
        weight = zeros_like(tensor).requires_grad_()
        by = grad(tensor, duals, weight, create_graph=True, allow_unused=True) if duals else ()
        along = [(g * t.conj() if g.is_complex() else g * t).sum()
                 for g, (_, t) in zip(by, _levels[-1]) if g is not None]
        if not along:
            return UnpackedDualTensor(tensor, None)
        inner = sum(along[1:], along[0])
        if not inner.requires_grad:
            return UnpackedDualTensor(tensor.detach(), weight.detach())
        (tangent,) = grad(inner, weight, create_graph=True)
    keep = any(t.requires_grad for _, t in _levels[-1])
    return UnpackedDualTensor(tensor.detach(), tangent if keep else tangent.detach())
