"""Clipping gradients."""
import warnings

from ... import _functions as K
from ... import _kiln
from ..._grad import no_grad


def _with_grads(parameters):
    one = isinstance(parameters, _kiln.Tensor)
    return [p for p in ([parameters] if one else parameters) if p.grad is not None]


def get_total_norm(tensors, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """The norm of all tensors as one vector."""
    tensors = list(tensors)
    if not tensors:
        return K.zeros(())
    norms = K.stack([t.norm(norm_type) for t in tensors])
    total = norms.norm(norm_type)
    if error_if_nonfinite and not bool(total.isfinite()):
        raise RuntimeError(f"The total norm of order {norm_type} for gradients from `parameters` "
                           "is non-finite, so it cannot be clipped.")
    return total


def clip_grad_norm_(parameters, max_norm, norm_type=2.0, error_if_nonfinite=False, foreach=None):
    """Scale the gradients so that their joint norm is at most max_norm; the norm before.

    >>> p = nn.Parameter(torch.zeros(2))
    >>> p.grad = torch.tensor([3., 4.])
    >>> nn.utils.clip_grad_norm_([p], 1.0), p.grad
    (tensor(5.), tensor([0.6000, 0.8000]))
    """
    params = _with_grads(parameters)
    with no_grad():
        total = get_total_norm([p.grad for p in params], norm_type, error_if_nonfinite)
        factor = (float(max_norm) / (total + 1e-6)).clamp(max=1.0)
        for p in params:
            p.grad.mul_(factor)
    return total


def clip_grad_value_(parameters, clip_value, foreach=None):
    """Hold every gradient between -clip_value and clip_value."""
    with no_grad():
        for p in _with_grads(parameters):
            p.grad.clamp_(-float(clip_value), float(clip_value))


def clip_grads_with_norm_(parameters, max_norm, total_norm, foreach=None):
    """Scale the gradients by max_norm over a norm that is known already, if that is less."""
    with no_grad():
        factor = (float(max_norm) / (total_norm + 1e-6)).clamp(max=1.0)
        for p in _with_grads(parameters):
            p.grad.mul_(factor.to(p.grad.dtype))


def clip_grad_norm(*args, **kwargs):
    """clip_grad_norm_ by its older name."""
    warnings.warn("`torch.nn.utils.clip_grad_norm` is now deprecated in favor of "
                  "`torch.nn.utils.clip_grad_norm_`.", FutureWarning, stacklevel=2)
    return clip_grad_norm_(*args, **kwargs)
