"""Learning rates as functions of the step."""
import bisect
import math


class LRScheduler:
    """The base: a subclass gives get_lr(), the rate of each group at last_epoch."""

    def __init__(self, optimizer, last_epoch=-1):
        self.optimizer = optimizer
        for g in optimizer.param_groups:
            g.setdefault("initial_lr", g["lr"])
        self.base_lrs = [g["initial_lr"] for g in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._step_count = 0
        self.step()

    def get_lr(self):
        raise NotImplementedError

    def get_last_lr(self):
        return self._last_lr

    def _rates(self):
        return [g["lr"] for g in self.optimizer.param_groups]

    def step(self, epoch=None):
        self._step_count += 1
        self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
        for g, lr in zip(self.optimizer.param_groups, self.get_lr()):
            g["lr"] = lr
        self._last_lr = self._rates()

    def state_dict(self):
        return {k: v for k, v in self.__dict__.items() if k != "optimizer"}

    def load_state_dict(self, state_dict):
        self.__dict__.update(state_dict)


_LRScheduler = LRScheduler


class LambdaLR(LRScheduler):
    """The first rate times a function of the epoch."""

    def __init__(self, optimizer, lr_lambda, last_epoch=-1):
        n = len(optimizer.param_groups)
        self.lr_lambdas = list(lr_lambda) if isinstance(lr_lambda, (list, tuple)) \
            else [lr_lambda] * n
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [b * f(self.last_epoch) for b, f in zip(self.base_lrs, self.lr_lambdas)]


class MultiplicativeLR(LambdaLR):
    """The last rate times a function of the epoch."""

    def get_lr(self):
        if self.last_epoch == 0:
            return self._rates()
        return [r * f(self.last_epoch) for r, f in zip(self._rates(), self.lr_lambdas)]


class StepLR(LRScheduler):
    """Times gamma every step_size epochs."""

    def __init__(self, optimizer, step_size, gamma=0.1, last_epoch=-1):
        self.step_size, self.gamma = step_size, gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        now = self.last_epoch > 0 and self.last_epoch % self.step_size == 0
        return [r * self.gamma if now else r for r in self._rates()]


class MultiStepLR(LRScheduler):
    """Times gamma at each milestone."""

    def __init__(self, optimizer, milestones, gamma=0.1, last_epoch=-1):
        self.milestones, self.gamma = sorted(milestones), gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        n = self.milestones.count(self.last_epoch)
        return [r * self.gamma ** n for r in self._rates()]


class ConstantLR(LRScheduler):
    """Times factor for the first total_iters epochs."""

    def __init__(self, optimizer, factor=1.0 / 3, total_iters=5, last_epoch=-1):
        self.factor, self.total_iters = factor, total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        by = self.factor if self.last_epoch == 0 else \
            1 / self.factor if self.last_epoch == self.total_iters else 1
        return [r * by for r in self._rates()]


class LinearLR(LRScheduler):
    """From start_factor to end_factor of the rate, in a line."""

    def __init__(self, optimizer, start_factor=1.0 / 3, end_factor=1.0, total_iters=5,
                 last_epoch=-1):
        self.start_factor, self.end_factor = start_factor, end_factor
        self.total_iters = total_iters
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        if self.last_epoch == 0:
            return [r * self.start_factor for r in self._rates()]
        if self.last_epoch > self.total_iters:
            return self._rates()
        d = self.end_factor - self.start_factor
        by = 1 + d / (self.total_iters * self.start_factor + (self.last_epoch - 1) * d)
        return [r * by for r in self._rates()]


class ExponentialLR(LRScheduler):
    """Times gamma every epoch."""

    def __init__(self, optimizer, gamma, last_epoch=-1):
        self.gamma = gamma
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [r * self.gamma if self.last_epoch else r for r in self._rates()]


class PolynomialLR(LRScheduler):
    """To zero over total_iters epochs by a power."""

    def __init__(self, optimizer, total_iters=5, power=1.0, last_epoch=-1):
        self.total_iters, self.power = total_iters, power
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        t = self.last_epoch
        if t == 0 or t > self.total_iters:
            return self._rates()
        by = ((1 - t / self.total_iters) / (1 - (t - 1) / self.total_iters)) ** self.power
        return [r * by for r in self._rates()]


class CosineAnnealingLR(LRScheduler):
    """Half a cosine from the first rate to eta_min over T_max epochs, and back."""

    def __init__(self, optimizer, T_max, eta_min=0.0, last_epoch=-1):
        self.T_max, self.eta_min = T_max, eta_min
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        t, low, n = self.last_epoch, self.eta_min, self.T_max
        if t == 0:
            return self._rates()
        if (t - 1 - n) % (2 * n) == 0:
            return [r + (b - low) * (1 - math.cos(math.pi / n)) / 2
                    for b, r in zip(self.base_lrs, self._rates())]
        by = (1 + math.cos(math.pi * t / n)) / (1 + math.cos(math.pi * (t - 1) / n))
        return [by * (r - low) + low for r in self._rates()]


class CosineAnnealingWarmRestarts(LRScheduler):
    """Cosine periods of T_0 epochs, each T_mult times as long as the one before."""

    def __init__(self, optimizer, T_0, T_mult=1, eta_min=0.0, last_epoch=-1):
        self.T_0, self.T_i, self.T_mult, self.eta_min = T_0, T_0, T_mult, eta_min
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self):
        return [self.eta_min + (b - self.eta_min) * (1 + math.cos(math.pi * self.T_cur / self.T_i))
                / 2 for b in self.base_lrs]

    def step(self, epoch=None):
        if epoch is None:
            self.T_cur += 1
            if self.T_cur >= self.T_i:
                self.T_cur -= self.T_i
                self.T_i *= self.T_mult
        else:
            t, n = epoch, self.T_0
            while t >= n:
                t, n = t - n, n * self.T_mult
            self.T_cur, self.T_i = t, n
        super().step(epoch)


class OneCycleLR(LRScheduler):
    """Up to max_lr, then down to far below the first rate."""

    def __init__(self, optimizer, max_lr, total_steps=None, epochs=None, steps_per_epoch=None,
                 pct_start=0.3, anneal_strategy="cos", cycle_momentum=True, base_momentum=0.85,
                 max_momentum=0.95, div_factor=25.0, final_div_factor=1e4, three_phase=False,
                 last_epoch=-1):
        self.total_steps = total_steps or epochs * steps_per_epoch
        peaks = max_lr if isinstance(max_lr, (list, tuple)) else [max_lr] * len(
            optimizer.param_groups)
        n = self.total_steps
        self._ends = [float(pct_start * n) - 1] + (
            [float(2 * pct_start * n) - 2] if three_phase else []) + [n - 1]
        self._levels = []
        for g, peak in zip(optimizer.param_groups, peaks):
            start = peak / div_factor
            g["initial_lr"] = start
            self._levels.append([start, peak] + ([start] if three_phase else [])
                                + [start / final_div_factor])
        self._cos = anneal_strategy == "cos"
        super().__init__(optimizer, last_epoch)

    def _between(self, a, b, share):
        return b + (a - b) * (1 + math.cos(math.pi * share)) / 2 if self._cos \
            else a + (b - a) * share

    def get_lr(self):
        t = self.last_epoch
        if t > self.total_steps:
            raise ValueError(f"Tried to step {t} times. The specified number of total steps is "
                             f"{self.total_steps}")
        k = min(bisect.bisect_left(self._ends, t), len(self._ends) - 1)
        begin = self._ends[k - 1] if k else 0.0
        share = (t - begin) / (self._ends[k] - begin)
        return [self._between(v[k], v[k + 1], share) for v in self._levels]


class SequentialLR(LRScheduler):
    """One scheduler after another, changing at milestones."""

    def __init__(self, optimizer, schedulers, milestones, last_epoch=-1):
        self._schedulers, self._milestones = schedulers, milestones
        self.optimizer, self.last_epoch = optimizer, last_epoch + 1
        for g in optimizer.param_groups:
            g["lr"] = g["initial_lr"]
        for s in schedulers:
            s.last_epoch -= 1
        schedulers[0].step()
        self._last_lr = schedulers[0].get_last_lr()

    def step(self, epoch=None):
        self.last_epoch += 1
        k = bisect.bisect_right(self._milestones, self.last_epoch)
        if k > 0 and self._milestones[k - 1] == self.last_epoch:
            self._schedulers[k].step(0)
        else:
            self._schedulers[k].step()
        self._last_lr = self._schedulers[k].get_last_lr()


class ReduceLROnPlateau(LRScheduler):
    """Times factor when a metric has not improved for `patience` epochs."""

    def __init__(self, optimizer, mode="min", factor=0.1, patience=10, threshold=1e-4,
                 threshold_mode="rel", cooldown=0, min_lr=0, eps=1e-8):
        if factor >= 1.0:
            raise ValueError("Factor should be < 1.0.")
        self.optimizer, self.mode, self.factor, self.patience = optimizer, mode, factor, patience
        self.threshold, self.threshold_mode = threshold, threshold_mode
        self.cooldown, self.eps, self.last_epoch = cooldown, eps, 0
        self.min_lrs = list(min_lr) if isinstance(min_lr, (list, tuple)) \
            else [min_lr] * len(optimizer.param_groups)
        self.best = math.inf if mode == "min" else -math.inf
        self.cooldown_counter = self.num_bad_epochs = 0
        self._last_lr = self._rates()

    def _better(self, a):
        sign = 1 if self.mode == "min" else -1
        if self.threshold_mode == "rel":
            return sign * a < sign * self.best * (1 - sign * self.threshold)
        return sign * a < sign * self.best - self.threshold

    def step(self, metrics, epoch=None):
        current = float(metrics)
        self.last_epoch += 1
        if self._better(current):
            self.best, self.num_bad_epochs = current, 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for g, low in zip(self.optimizer.param_groups, self.min_lrs):
                new = max(g["lr"] * self.factor, low)
                g["lr"] = new if g["lr"] - new > self.eps else g["lr"]
            self.cooldown_counter, self.num_bad_epochs = self.cooldown, 0
        self._last_lr = self._rates()
