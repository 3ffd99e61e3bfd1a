"""Adam and AdamW."""
from .. import _functions as K
from .. import _kiln
from .._make import tensor
from .optimizer import Optimizer


class Adam(Optimizer):
    """Steps by the mean of gradients over the root of the mean of their squares."""

    _decoupled = False

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 amsgrad=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False, fused=None, decoupled_weight_decay=False):
        for bad, text in ((not lr >= 0, f"Invalid learning rate: {lr}"),
                          (not eps >= 0, f"Invalid epsilon value: {eps}"),
                          (not 0 <= betas[0] < 1, f"Invalid beta parameter at index 0: {betas[0]}"),
                          (not 0 <= betas[1] < 1, f"Invalid beta parameter at index 1: {betas[1]}"),
                          (not weight_decay >= 0, f"Invalid weight_decay value: {weight_decay}")):
            if bad:
                raise ValueError(text)
        super().__init__(params, dict(
            lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad,
            maximize=maximize, foreach=foreach, capturable=capturable,
            differentiable=differentiable, fused=fused,
            decoupled_weight_decay=self._decoupled or decoupled_weight_decay))

    def _state_of(self, p, amsgrad):
        s = self.state[p]
        if not s:
            s["step"] = 0
            s["exp_avg"] = K.zeros_like(p).realize()
            s["exp_avg_sq"] = K.zeros_like(p).realize()
            if amsgrad:
                s["max_exp_avg_sq"] = K.zeros_like(p).realize()
        s["step"] = int(s["step"]) + 1
        return s

    def _update(self, group, params, grads):
        amsgrad = group["amsgrad"]
        states = [self._state_of(p, amsgrad) for p in params]
        by_step = {}
        for i, s in enumerate(states):
            by_step.setdefault(s["step"], []).append(i)
        for step, which in by_step.items():
            of = [states[i] for i in which]
            _kiln._adam([params[i] for i in which], [grads[i] for i in which],
                        [s["exp_avg"] for s in of], [s["exp_avg_sq"] for s in of],
                        [s["max_exp_avg_sq"] for s in of] if amsgrad else None,
                        float(group["lr"]), float(group["betas"][0]), float(group["betas"][1]),
                        group["eps"], group["weight_decay"], amsgrad, group["maximize"],
                        group["decoupled_weight_decay"], step)

    def state_dict(self):
        d = super().state_dict()
        d["state"] = {n: {**s, "step": tensor(float(s["step"]))} for n, s in d["state"].items()}
        return d


class AdamW(Adam):
    """Adam whose weight decay is apart from the gradient."""

    _decoupled = True

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2,
                 amsgrad=False, **kwargs):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, **kwargs)
