"""L-BFGS: a quasi-Newton method whose curvature is that of the last steps."""
import math

from .. import _functions as K
from .._grad import enable_grad, no_grad
from .optimizer import Optimizer


class LBFGS(Optimizer):
    """Several steps a call, each evaluated by the closure; line_search_fn: "strong_wolfe"."""

    def __init__(self, params, lr=1, max_iter=20, max_eval=None, tolerance_grad=1e-7,
                 tolerance_change=1e-9, history_size=100, line_search_fn=None, *,
                 maximize=False):
        if not lr >= 0:
            raise ValueError(f"Invalid learning rate: {lr}")
        super().__init__(params, dict(
            lr=lr, max_iter=max_iter,
            max_eval=max_iter * 5 // 4 if max_eval is None else max_eval,
            tolerance_grad=tolerance_grad, tolerance_change=tolerance_change,
            history_size=history_size, line_search_fn=line_search_fn, maximize=maximize))
        if len(self.param_groups) != 1:
            raise ValueError("LBFGS doesn't support per-parameter options (parameter groups)")
        self._params = self.param_groups[0]["params"]

    # ---- all parameters as one vector ----

    def _gradient(self):
        g = K.cat([(K.zeros_like(p) if p.grad is None else p.grad).reshape(-1)
                   for p in self._params])
        return -g if self.param_groups[0]["maximize"] else g

    def _move(self, t, d):
        at = 0
        for p in self._params:
            p.add_(d[at:at + p.numel()].view_as(p), alpha=t)
            at += p.numel()

    def _evaluate(self, closure):
        with enable_grad():
            loss = float(closure())
        return (-loss if self.param_groups[0]["maximize"] else loss), self._gradient()

    def _try(self, closure, start, t, d):
        """Loss, gradient and slope at start + t d; the parameters are where they were."""
        self._move(t, d)
        loss, g = self._evaluate(closure)
        for p, s in zip(self._params, start):
            p.copy_(s)
        return _Point(t, loss, g.realize(), float(g.dot(d)))

    # ---- the direction ----

    def _remember(self, s, flat, lr):
        """The last step and the gradient's change, if the curvature is positive."""
        y, step = flat.sub(s["prev_flat_grad"]), s["d"].mul(s["t"])
        ys = float(y.dot(step))
        if ys <= 1e-10:
            return
        if len(s["old_dirs"]) == self.param_groups[0]["history_size"]:
            for name in ("old_dirs", "old_stps", "ro"):
                s[name].pop(0)
        s["old_dirs"].append(y.realize())
        s["old_stps"].append(step.realize())
        s["ro"].append(1.0 / ys)
        s["H_diag"] = ys / float(y.dot(y))

    @staticmethod
    def _direction(s, flat):
        q, al = flat.neg(), {}
        history = list(enumerate(zip(s["old_dirs"], s["old_stps"], s["ro"])))
        for i, (y, step, ro) in reversed(history):
            al[i] = step.dot(q) * ro
            q = q - y * al[i]
        r = q * s["H_diag"]
        for i, (y, step, ro) in history:
            r = r + step * (al[i] - y.dot(r) * ro)
        return r.realize()

    # ---- the step ----

    @no_grad()
    def step(self, closure):
        """Up to max_iter steps; the closure's first loss."""
        group = self.param_groups[0]
        lr, small = float(group["lr"]), group["tolerance_change"]
        s = self.state[self._params[0]]
        s.setdefault("func_evals", 0)
        s.setdefault("n_iter", 0)
        with enable_grad():
            first = closure()
        loss = -float(first) if group["maximize"] else float(first)
        flat = self._gradient().realize()
        evals = 1
        s["func_evals"] += 1
        if float(flat.abs().max()) <= group["tolerance_grad"]:
            return first
        for i in range(1, group["max_iter"] + 1):
            s["n_iter"] += 1
            if s["n_iter"] == 1:
                s.update(d=flat.neg().realize(), old_dirs=[], old_stps=[], ro=[], H_diag=1)
                steep = float(flat.abs().sum())
                t = (1.0 / steep if steep > 1.0 else 1.0) * lr
            else:
                self._remember(s, flat, lr)
                s["d"] = self._direction(s, flat)
                t = lr
            d, before = s["d"], loss
            s["prev_flat_grad"], s["prev_loss"], s["t"] = flat, loss, t
            slope = float(flat.dot(d))
            if slope > -small:
                break
            used, done = 0, False
            if group["line_search_fn"] is not None:
                if group["line_search_fn"] != "strong_wolfe":
                    raise RuntimeError("only 'strong_wolfe' is supported")
                start = [p.clone().realize() for p in self._params]
                best, used = _strong_wolfe(lambda t: self._try(closure, start, t, d),
                                           _Point(0, loss, flat, slope), t,
                                           float(d.abs().max()), group["max_eval"] - evals)
                loss, flat, t = best.f, best.g, best.t
                self._move(t, d)
            else:
                self._move(t, d)
                if i != group["max_iter"]:
                    loss, flat = self._evaluate(closure)
                    flat, used = flat.realize(), 1
            s["t"] = t
            done = float(flat.abs().max()) <= group["tolerance_grad"]
            evals += used
            s["func_evals"] += used
            if evals >= group["max_eval"] or done or abs(loss - before) < small \
                    or float(d.mul(t).abs().max()) <= small:
                break
        return first


# ---- the line search: Nocedal and Wright, Numerical Optimization, algorithms 3.5 and 3.6 ----

class _Point:
    """A step length with the loss, the gradient and the slope there."""

    def __init__(self, t, f, g, slope):
        self.t, self.f, self.g, self.slope = t, f, g, slope


def _cubic(a, b, low=None, high=None):
    """Where the cubic through two points with their slopes is least."""
    if low is None:
        low, high = min(a.t, b.t), max(a.t, b.t)
    d1 = a.slope + b.slope - 3 * (a.f - b.f) / (a.t - b.t)
    square = d1 * d1 - a.slope * b.slope
    if square < 0:
        return (low + high) / 2
    d2 = math.sqrt(square)
    x, y = (a, b) if a.t <= b.t else (b, a)
    at = y.t - (y.t - x.t) * ((y.slope + d2 - d1) / (y.slope - x.slope + 2 * d2))
    return min(max(at, low), high)


def _strong_wolfe(at, start, t, largest, most, c1=1e-4, c2=0.9, small=1e-9):
    """A step with enough descent and a flat enough slope; and how often it looked."""
    def enough(p):
        return p.f <= start.f + c1 * p.t * start.slope

    def flat(p):
        return abs(p.slope) <= -c2 * start.slope

    last, p, looks, n = start, at(t), 1, 0
    bracket, done = None, False
    while n < most:  # until two steps enclose one that is good
        if not enough(p) or (n > 1 and p.f >= last.f):
            bracket = [last, p]
        elif flat(p):
            bracket, done = [p, p], True
        elif p.slope >= 0:
            bracket = [last, p]
        if bracket:
            break
        t = _cubic(last, p, p.t + 0.01 * (p.t - last.t), p.t * 10)
        last, p = p, at(t)
        looks, n = looks + 1, n + 1
    if n == most or bracket is None:
        bracket = [start, p]
    lo, hi = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
    stuck = False
    while not done and n < most:  # narrow it
        a, b = sorted((bracket[0].t, bracket[1].t))
        if (b - a) * largest < small:
            break
        t, edge = _cubic(*bracket), 0.1 * (b - a)
        if min(b - t, t - a) < edge:
            if stuck or t >= b or t <= a:
                t = b - edge if abs(t - b) < abs(t - a) else a + edge
                stuck = False
            else:
                stuck = True
        else:
            stuck = False
        p = at(t)
        looks, n = looks + 1, n + 1
        if not enough(p) or p.f >= bracket[lo].f:
            bracket[hi] = p
            lo, hi = (0, 1) if bracket[0].f <= bracket[1].f else (1, 0)
            continue
        if flat(p):
            done = True
        elif p.slope * (bracket[hi].t - bracket[lo].t) >= 0:
            bracket[hi] = bracket[lo]
        bracket[lo] = p
    return bracket[lo], looks
