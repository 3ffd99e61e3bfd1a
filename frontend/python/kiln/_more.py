"""What torch has beside nn.functional, linalg and func under names and orders of its own, and control
flow that runs at once."""
from . import _kiln, _wrap
from . import func as _func
from . import linalg as _linalg
from .nn import functional as _F

_torch = _kiln._functions["torch"]
_REDUCTIONS = ("none", "mean", "sum")

pdist = _F.pdist
vmap = _func.vmap


def chain_matmul(*matrices, out=None):
    """linalg.multi_dot of the matrices."""
    return _linalg.multi_dot(matrices, out=out)


def binomial(count, prob, generator=None):
    """How many of count tries succeed, each with probability prob.

    >>> torch.binomial(torch.tensor([3., 5.]), torch.tensor([0., 1.]))
    tensor([0., 5.])
    """
    if not (count.is_floating_point() and prob.is_floating_point()):
        raise ValueError("binomial only supports floating-point dtypes for count, got: "
                         f"{(prob if count.is_floating_point() else count).dtype}")
    shape = _wrap.broadcast_shapes(count.shape, prob.shape)
    most = int(count.max()) if count.numel() else 0
    tries = _torch["arange"](most).reshape([-1] + [1] * len(shape))
    hit = _torch["rand"]((most, *shape), dtype=prob.dtype, generator=generator) < prob
    return (hit & (tries < count)).sum(0).to(count.dtype)


def alpha_dropout(input, p, train):
    """nn.functional.alpha_dropout."""
    return _F.alpha_dropout(input, p, train)


def feature_alpha_dropout(input, p, train):
    """nn.functional.feature_alpha_dropout."""
    return _F.feature_alpha_dropout(input, p, train)


def embedding(weight, indices, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    """The rows of weight; padding_idx -1: no row is for padding."""
    return _F.embedding(indices, weight, None if padding_idx == -1 else padding_idx,
                        scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps, cudnn_enabled):
    """nn.functional.batch_norm."""
    return _F.batch_norm(input, running_mean, running_var, weight, bias, training, momentum, eps)


def instance_norm(input, weight, bias, running_mean, running_var, use_input_stats, momentum, eps,
                  cudnn_enabled):
    """nn.functional.instance_norm."""
    return _F.instance_norm(input, running_mean, running_var, weight, bias, use_input_stats, momentum, eps)


def binary_cross_entropy_with_logits(input, target, weight=None, pos_weight=None, reduction=0):
    """nn.functional's, with the reduction by number: none, mean, sum."""
    return _F.binary_cross_entropy_with_logits(input, target, weight, pos_weight=pos_weight,
                                               reduction=_REDUCTIONS[reduction])


def kl_div(input, target, reduction=0, *, log_target=False):
    """nn.functional's, with the reduction by number."""
    return _F.kl_div(input, target, reduction=_REDUCTIONS[reduction], log_target=log_target)


def hinge_embedding_loss(input, target, margin=1.0, reduction=0):
    """nn.functional's, with the reduction by number."""
    return _F.hinge_embedding_loss(input, target, margin, reduction=_REDUCTIONS[reduction])


def poisson_nll_loss(input, target, log_input, full, eps, reduction):
    """nn.functional's, with the reduction by number."""
    return _F.poisson_nll_loss(input, target, log_input, full, eps=eps, reduction=_REDUCTIONS[reduction])


def cond(pred, true_fn, false_fn, operands=()):
    """true_fn(*operands) or false_fn(*operands); pred: a bool or a tensor of one."""
    return (true_fn if bool(pred) else false_fn)(*operands)


def while_loop(cond_fn, body_fn, carried_inputs):
    """body_fn's results, given back to it, as long as cond_fn of them holds."""
    carried = tuple(carried_inputs)
    while bool(cond_fn(*carried)):
        carried = body_fn(*carried)
        carried = tuple(carried) if isinstance(carried, (tuple, list)) else (carried,)
    return carried
