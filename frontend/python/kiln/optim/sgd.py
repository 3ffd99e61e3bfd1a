"""Stochastic gradient descent."""
from .. import _functions as K
from .. import _kiln
from .optimizer import Optimizer


class SGD(Optimizer):
    """Steps against the gradient, or its running mean (momentum)."""

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False,
                 *, maximize=False, foreach=None, differentiable=False, fused=None):
        for bad, text in ((not lr >= 0, f"Invalid learning rate: {lr}"),
                          (not momentum >= 0, f"Invalid momentum value: {momentum}"),
                          (not weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}"),
                          (nesterov and (momentum <= 0 or dampening != 0),
                           "Nesterov momentum requires a momentum and zero dampening")):
            if bad:
                raise ValueError(text)
        super().__init__(params, dict(
            lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
            nesterov=nesterov, maximize=maximize, foreach=foreach, differentiable=differentiable,
            fused=fused))

    def _update(self, group, params, grads):
        momentum = group["momentum"]
        fresh = [p for p in params if momentum and "momentum_buffer" not in self.state[p]]
        for p in fresh:
            self.state[p]["momentum_buffer"] = K.zeros_like(p).realize()
        new = {id(p) for p in fresh}
        for first in (True, False):
            which = [i for i, p in enumerate(params) if (id(p) in new) == first]
            if not which:
                continue
            of = [params[i] for i in which]
            _kiln._sgd(of, [grads[i] for i in which],
                       [self.state[p]["momentum_buffer"] for p in of] if momentum else None,
                       float(group["lr"]), float(momentum), float(group["dampening"]),
                       float(group["weight_decay"]), group["nesterov"], group["maximize"], first)
