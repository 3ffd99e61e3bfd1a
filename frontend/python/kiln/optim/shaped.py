"""The optimisers that look at a parameter as a whole, its rows or columns: Adafactor, Muon, and
SparseAdam, which updates the rows that a batch touched. Each step is lazy: all parameters are
computed as one program."""
import math

from .. import _functions as K
from .. import _kiln
from .rules import _Rule


def _check_one_number(lr):
    if isinstance(lr, _kiln.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")


def _check_bounds(*rules):
    """Refuse what is out of bounds: (whether good, what it should be, its value)."""
    for good, what, value in rules:
        if not good:
            raise ValueError(f"{what} but is: {value}")


def _refuse_complex(name, params):
    if any(p.is_complex() for p in params):
        raise RuntimeError(f"{name} does not support complex parameters")


class Adafactor(_Rule):
    """Adam's second moments kept as a row and a column of each matrix, after Shazeer and Stern."""

    def __init__(self, params, lr=1e-2, beta2_decay=-0.8, eps=(None, 1e-3), d=1.0,
                 weight_decay=0.0, *, foreach=None, maximize=False):
        _check_one_number(lr)
        _check_bounds(
            (lr >= 0, "Learning rate should be >= 0", lr),
            (beta2_decay <= 0, "beta2_decay should be <= 0", beta2_decay),
            (eps[0] is None or eps[0] >= 0, "epsilon1 should be >= 0", eps[0]),
            (eps[1] >= 0, "epsilon2 should be >= 0", eps[1]),
            (d >= 1, "Clipping threshold d should be >= 1", d),
            (weight_decay >= 0, "weight_decay should be >= 0", weight_decay))
        super().__init__(params, dict(lr=lr, beta2_decay=beta2_decay, eps=eps, d=d,
                                      weight_decay=weight_decay, foreach=foreach,
                                      maximize=maximize))

    def _begin(self, g):
        if g.dim() < 2:
            return {"step": 0, "variance": K.zeros_like(g)}
        return {"step": 0, "row_var": g.new_zeros(*g.shape[:-1], 1),
                "col_var": g.new_zeros(*g.shape[:-2], 1, g.shape[-1])}

    def _variance(self, s, g, weight, eps1):
        """The estimate for each element, moments moved toward g's by weight."""
        if "variance" in s:
            return s["variance"].lerp_(g * g, weight).clone()
        row, col = s["row_var"], s["col_var"]
        row.lerp_((g * g).mean(-1, keepdim=True), weight)
        col.lerp_((g * g).mean(-2, keepdim=True), weight)
        return row @ col / row.mean(-2, keepdim=True).clamp(min=eps1)

    def _update(self, group, params, grads):
        _refuse_complex("Adafactor", params)
        lr, (eps1, eps2) = float(group["lr"]), group["eps"]
        for p, g in zip(params, grads):
            g = -g if group["maximize"] else g
            s = self.state[p]
            if not s:
                s.update(self._begin(g))
            s["step"] = step = int(s["step"]) + 1
            least = _kiln_eps(p) if eps1 is None else eps1
            root = p.numel() ** 0.5
            rate = (p.norm(2) / root).clamp(min=eps2) * min(lr, 1 / step ** 0.5)
            if group["weight_decay"] != 0:
                p.mul_(1 - lr * group["weight_decay"])
            v = self._variance(s, g, step ** group["beta2_decay"], least)
            update = v.clamp(min=least * least).rsqrt() * g
            p.sub_(update * (rate / (update.norm(2) / (root * group["d"])).clamp(min=1.0)))


def _kiln_eps(p):
    from .. import finfo
    return finfo(p.dtype).eps


# ---- Muon ----


def _orthogonal(g, coefficients, steps, eps):
    """A matrix with g's singular vectors and singular values near 1, by Newton and Schulz."""
    if steps >= 100:
        raise ValueError("Number of steps must be less than 100 for computational efficiency")
    if len(coefficients) != 3:
        raise ValueError("Coefficients must be a tuple of exactly 3 values")
    a, b, c = coefficients
    x = g.bfloat16()
    x = x.T if g.shape[0] > g.shape[1] else x
    x = (x / x.norm().clamp(min=eps)).float()
    for _ in range(steps):
        gram = _rounded(x @ x.T)
        x = _rounded(a * x + _rounded(b * gram + c * (gram @ gram)) @ x)
    return x.T if g.shape[0] > g.shape[1] else x


def _rounded(x):
    """A matrix product of bfloat16 is rounded once."""
    return x.bfloat16().float()


_RATES = {None: lambda a, b: math.sqrt(max(1, a / b)),
          "original": lambda a, b: math.sqrt(max(1, a / b)),
          "match_rms_adamw": lambda a, b: 0.2 * math.sqrt(max(a, b)),
          "spectral_unclamped": lambda a, b: math.sqrt(a / b)}


class Muon(_Rule):
    """Momentum made orthogonal, for matrices (Jordan); other parameters want another optimiser."""

    def __init__(self, params, lr=1e-3, weight_decay=0.1, momentum=0.95, nesterov=True,
                 ns_coefficients=(3.4445, -4.775, 2.0315), eps=1e-7, ns_steps=5,
                 adjust_lr_fn=None):
        _check_one_number(lr)
        _check_bounds((lr >= 0, "Learning rate should be >= 0", lr),
                      (momentum >= 0, "momentum should be >= 0", momentum),
                      (weight_decay >= 0, "weight decay should be >= 0", weight_decay))
        if adjust_lr_fn not in _RATES:
            raise ValueError(f"Adjust learning rate function {adjust_lr_fn} is not supported")
        super().__init__(params, dict(
            lr=lr, weight_decay=weight_decay, momentum=momentum, nesterov=nesterov,
            ns_coefficients=ns_coefficients, eps=eps, ns_steps=ns_steps,
            adjust_lr_fn=adjust_lr_fn))
        for p in (p for group in self.param_groups for p in group["params"]):
            if p.ndim != 2:
                raise ValueError("Muon only supports 2D parameters whereas we found a parameter "
                                 f"with size: {p.size()}")

    def _update(self, group, params, grads):
        _refuse_complex("Muon", params)
        lr, momentum = float(group["lr"]), group["momentum"]
        for p, g in zip(params, grads):
            s = self.state[p]
            if "momentum_buffer" not in s:
                s["momentum_buffer"] = K.zeros_like(g)
            mean = s["momentum_buffer"].lerp_(g, 1 - momentum)
            step = _orthogonal(g.lerp(mean, momentum) if group["nesterov"] else mean,
                               group["ns_coefficients"], group["ns_steps"], group["eps"])
            p.mul_(1 - lr * group["weight_decay"])
            p.add_(step, alpha=-lr * _RATES[group["adjust_lr_fn"]](*p.shape))


# ---- rows ----


class SparseAdam(_Rule):
    """Adam of the rows whose gradient is not zero; the moments of the others stand still. Here
    gradients are dense, an Embedding's too: a row of zeros is one that no index named."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, maximize=False):
        _check_one_number(lr)
        for good, what in ((lr > 0, f"learning rate: {lr}"), (eps > 0, f"epsilon value: {eps}"),
                           *((0 <= b < 1, f"beta parameter at index {i}: {b}")
                             for i, b in enumerate(betas))):
            if not good:
                raise ValueError(f"Invalid {what}")
        super().__init__(params, dict(lr=lr, betas=betas, eps=eps, maximize=maximize))
        where = [[i, k] for i, group in enumerate(self.param_groups)
                 for k, p in enumerate(group["params"]) if p.is_complex()]
        if where:
            raise ValueError(f"Complex params at indices {where}: SparseAdam does not support "
                             "complex parameters")

    def _update(self, group, params, grads):
        beta1, beta2 = group["betas"]
        for p, g in zip(params, grads):
            s = self.state[p]
            if not s:
                s.update(step=0, exp_avg=K.zeros_like(p), exp_avg_sq=K.zeros_like(p))
            s["step"] = step = int(s["step"]) + 1
            g = -g if group["maximize"] else g
            on = (g != 0).flatten(1).any(1) if g.dim() > 1 else g != 0
            on = on.view(-1, *[1] * (g.dim() - 1)) if g.dim() else on
            for name, value, beta in (("exp_avg", g, beta1), ("exp_avg_sq", g * g, beta2)):
                s[name].copy_(K.where(on, s[name].lerp(value, 1 - beta), s[name]))
            rate = float(group["lr"]) * math.sqrt(1 - beta2 ** step) / (1 - beta1 ** step)
            p.sub_(K.where(on, rate * s["exp_avg"] / (s["exp_avg_sq"].sqrt() + group["eps"]), 0.0))

    def state_dict(self):
        d = super().state_dict()
        for s in d["state"].values():
            s["step"] = int(s["step"])
        return d
