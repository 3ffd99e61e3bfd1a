"""The optimisers that update each parameter by its own gradient: a class says its settings
and the names of its state, kiln does the arithmetic of all parameters as one program."""
from .. import _functions as K
from .. import _kiln
from .._make import tensor
from .optimizer import Optimizer

_NUMBERS = ("step", "mu_product", "eta", "mu")  # state that is one number a parameter


def _check(lr, *others):
    """Refuse settings: (whether good, what it is, its value)."""
    if isinstance(lr, _kiln.Tensor) and lr.numel() != 1:
        raise ValueError("Tensor lr must be 1-element")
    for good, what, value in ((lr >= 0, "learning rate:", lr),) + others:
        if not good:
            raise ValueError(f"Invalid {what} {value}")


def _at_least_0(name, value):
    return value >= 0, f"{name} value:", value


def _betas(betas):
    return tuple((0 <= b < 1, f"beta parameter at index {i}:", b) for i, b in enumerate(betas))


def _eps(eps):
    return eps >= 0, "epsilon value:", eps


class _Rule(Optimizer):
    """One rule of kiln's table."""

    _rule = None
    _states = ()  # in the order of kiln.h; None where a group has no such state

    def _names(self, group):
        return self._states

    def _carry(self, group):
        """Names and first values of the numbers that go from step to step."""
        return {}

    def _first(self, name, p, group):
        return K.zeros_like(p)

    def _fresh(self, p, group):
        s = self.state[p]
        s["step"] = 0
        s.update(self._carry(group))
        for name in self._names(group):
            if name is not None:
                s[name] = self._first(name, p, group).realize()

    def _update(self, group, params, grads):
        names, carried = self._names(group), list(self._carry(group))
        by_step = {}  # most often one
        for p, g in zip(params, grads):
            s = self.state[p]
            if "step" not in s:
                self._fresh(p, group)
            s["step"] = step = int(s["step"]) + 1
            by_step.setdefault(step, []).append((p, g, *map(s.get, names)))
        for step, rows in by_step.items():
            first = [float(self.state[rows[0][0]][n]) for n in carried] + [1.0, 1.0]
            carry = _kiln._optim_step(_kiln._rules[self._rule], rows, group, step,
                                      (first[0], first[1]))
            for p, *_ in rows if carried else ():
                self.state[p].update(zip(carried, carry))

    def state_dict(self):
        d = super().state_dict()
        d["state"] = {n: {k: tensor(float(v), dtype=_kiln.float64 if k != "step" else None)
                          if k in _NUMBERS else v for k, v in s.items()}
                      for n, s in d["state"].items()}
        return d


class SGD(_Rule):
    """Steps against the gradient, or its running mean (momentum)."""

    _rule = "SGD"

    def __init__(self, params, lr=1e-3, momentum=0, dampening=0, weight_decay=0, nesterov=False,
                 *, maximize=False, foreach=None, differentiable=False, fused=None):
        _check(lr, _at_least_0("momentum", momentum), _at_least_0("weight_decay", weight_decay))
        if nesterov and (momentum <= 0 or dampening != 0):
            raise ValueError("Nesterov momentum requires a momentum and zero dampening")
        super().__init__(params, dict(
            lr=lr, momentum=momentum, dampening=dampening, weight_decay=weight_decay,
            nesterov=nesterov, maximize=maximize, foreach=foreach, differentiable=differentiable,
            fused=fused))

    def _update(self, group, params, grads):
        rows = {True: [], False: []}  # whether it is a parameter's first step
        for p, g in zip(params, grads):
            s = self.state[p] if group["momentum"] else {}
            first = s.get("momentum_buffer") is None
            if first and group["momentum"]:
                s["momentum_buffer"] = K.zeros_like(p).realize()
            rows[first].append((p, g, s.get("momentum_buffer")))
        for first, of in rows.items():
            if of:
                _kiln._optim_step(_kiln._rules["SGD"], of, group, 1 if first else 2, (1.0, 1.0))


class Adam(_Rule):
    """Steps by the mean of gradients over the root of the mean of their squares."""

    _rule = "ADAM"

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 amsgrad=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False, fused=None, decoupled_weight_decay=False):
        _check(lr, _eps(eps), *_betas(betas), _at_least_0("weight_decay", weight_decay))
        super().__init__(params, dict(
            lr=lr, betas=tuple(betas), eps=eps, weight_decay=weight_decay, amsgrad=amsgrad,
            maximize=maximize, foreach=foreach, capturable=capturable,
            differentiable=differentiable, fused=fused,
            decoupled_weight_decay=decoupled_weight_decay))

    def _names(self, group):
        return ("exp_avg", "exp_avg_sq", "max_exp_avg_sq" if group["amsgrad"] else None)


class AdamW(Adam):
    """Adam whose weight decay is apart from the gradient."""

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=1e-2,
                 amsgrad=False, *, maximize=False, foreach=None, capturable=False,
                 differentiable=False, fused=None):
        super().__init__(params, lr, betas, eps, weight_decay, amsgrad, foreach=foreach,
                         maximize=maximize, capturable=capturable,
                         differentiable=differentiable, fused=fused, decoupled_weight_decay=True)


class RMSprop(_Rule):
    """Steps by the gradient over the root of the mean of its squares."""

    _rule = "RMSPROP"

    def __init__(self, params, lr=1e-2, alpha=0.99, eps=1e-8, weight_decay=0, momentum=0,
                 centered=False, capturable=False, foreach=None, maximize=False,
                 differentiable=False):
        _check(lr, _eps(eps), _at_least_0("momentum", momentum),
               _at_least_0("weight_decay", weight_decay), _at_least_0("alpha", alpha))
        super().__init__(params, dict(
            lr=lr, momentum=momentum, alpha=alpha, eps=eps, centered=centered,
            weight_decay=weight_decay, capturable=capturable, foreach=foreach, maximize=maximize,
            differentiable=differentiable))

    def _names(self, group):
        return ("square_avg", "momentum_buffer" if group["momentum"] > 0 else None,
                "grad_avg" if group["centered"] else None)


class Adagrad(_Rule):
    """Steps by the gradient over the root of the sum of its squares."""

    _rule, _states = "ADAGRAD", ("sum",)

    def __init__(self, params, lr=1e-2, lr_decay=0, weight_decay=0, initial_accumulator_value=0,
                 eps=1e-10, foreach=None, *, maximize=False, differentiable=False, fused=None):
        _check(lr, _at_least_0("lr_decay", lr_decay), _at_least_0("weight_decay", weight_decay),
               _at_least_0("initial_accumulator_value", initial_accumulator_value), _eps(eps))
        super().__init__(params, dict(
            lr=lr, lr_decay=lr_decay, eps=eps, weight_decay=weight_decay,
            initial_accumulator_value=initial_accumulator_value, foreach=foreach,
            maximize=maximize, differentiable=differentiable, fused=fused))
        for group in self.param_groups:
            for p in group["params"]:
                self._fresh(p, group)

    def _first(self, name, p, group):
        return K.full_like(p, group["initial_accumulator_value"])


class Adadelta(_Rule):
    """Steps whose size follows the sizes of earlier steps."""

    _rule, _states = "ADADELTA", ("square_avg", "acc_delta")

    def __init__(self, params, lr=1.0, rho=0.9, eps=1e-6, weight_decay=0, foreach=None, *,
                 capturable=False, maximize=False, differentiable=False):
        _check(lr, (0 <= rho <= 1, "rho value:", rho), _eps(eps),
               _at_least_0("weight_decay", weight_decay))
        super().__init__(params, dict(
            lr=lr, rho=rho, eps=eps, weight_decay=weight_decay, maximize=maximize,
            capturable=capturable, foreach=foreach, differentiable=differentiable))


class Adamax(_Rule):
    """Adam by the largest gradient so far instead of the mean of squares."""

    _rule, _states = "ADAMAX", ("exp_avg", "exp_inf")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 foreach=None, *, maximize=False, differentiable=False, capturable=False):
        _check(lr, _eps(eps), *_betas(betas), _at_least_0("weight_decay", weight_decay))
        super().__init__(params, dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, foreach=foreach,
            maximize=maximize, differentiable=differentiable, capturable=capturable))


class NAdam(_Rule):
    """Adam with Nesterov's momentum."""

    _rule, _states = "NADAM", ("exp_avg", "exp_avg_sq")

    def __init__(self, params, lr=2e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 momentum_decay=4e-3, decoupled_weight_decay=False, *, foreach=None,
                 maximize=False, capturable=False, differentiable=False):
        _check(lr, _eps(eps), *_betas(betas), _at_least_0("weight_decay", weight_decay),
               _at_least_0("momentum_decay", momentum_decay))
        super().__init__(params, dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, momentum_decay=momentum_decay,
            decoupled_weight_decay=decoupled_weight_decay, maximize=maximize, foreach=foreach,
            capturable=capturable, differentiable=differentiable))

    def _carry(self, group):
        return {"mu_product": 1.0}


class RAdam(_Rule):
    """Adam that waits until its variance is to be relied on."""

    _rule, _states = "RADAM", ("exp_avg", "exp_avg_sq")

    def __init__(self, params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0,
                 decoupled_weight_decay=False, *, foreach=None, maximize=False, capturable=False,
                 differentiable=False):
        _check(lr, _eps(eps), *_betas(betas), _at_least_0("weight_decay", weight_decay))
        super().__init__(params, dict(
            lr=lr, betas=betas, eps=eps, weight_decay=weight_decay, maximize=maximize,
            foreach=foreach, capturable=capturable, decoupled_weight_decay=decoupled_weight_decay,
            differentiable=differentiable))


class Rprop(_Rule):
    """Steps by the gradient's sign, longer while it stays."""

    _rule, _states = "RPROP", ("prev", "step_size")

    def __init__(self, params, lr=1e-2, etas=(0.5, 1.2), step_sizes=(1e-6, 50), *,
                 capturable=False, foreach=None, maximize=False, differentiable=False):
        _check(lr, (0 < etas[0] < 1 < etas[1], "eta values:", f"{etas[0]}, {etas[1]}"))
        super().__init__(params, dict(
            lr=lr, etas=etas, step_sizes=step_sizes, foreach=foreach, maximize=maximize,
            differentiable=differentiable, capturable=capturable))

    def _first(self, name, p, group):
        return K.full_like(p, float(group["lr"])) if name == "step_size" else K.zeros_like(p)


class ASGD(_Rule):
    """Gradient descent that also keeps the average of the parameters."""

    _rule, _states = "ASGD", ("ax",)

    def __init__(self, params, lr=1e-2, lambd=1e-4, alpha=0.75, t0=1e6, weight_decay=0,
                 foreach=None, maximize=False, differentiable=False, capturable=False):
        _check(lr, _at_least_0("lambd", lambd), _at_least_0("alpha", alpha),
               _at_least_0("weight_decay", weight_decay))
        super().__init__(params, dict(
            lr=lr, lambd=lambd, alpha=alpha, t0=t0, weight_decay=weight_decay, foreach=foreach,
            maximize=maximize, differentiable=differentiable, capturable=capturable))

    def _carry(self, group):
        return {"eta": float(group["lr"]), "mu": 1.0}
