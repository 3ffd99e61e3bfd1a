"""Averages of a model's parameters over training, and the rate that goes with them."""
import copy
import itertools
import math

from .. import _kiln
from .._grad import no_grad
from .._make import tensor
from ..nn.modules.module import Module
from ..nn.modules.norm import _BatchNorm
from .lr_scheduler import LRScheduler, _per_group


def _check_decay(decay):
    if decay < 0.0 or decay > 1.0:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] "
                         "range.")


def get_ema_avg_fn(decay=0.999):
    """The exponential moving average, of one parameter."""
    _check_decay(decay)
    return no_grad()(lambda mean, p, n: decay * mean + (1 - decay) * p)


def get_swa_avg_fn():
    """The mean, of one parameter."""
    return no_grad()(lambda mean, p, n: mean + (p - mean) / (n + 1))


def _of_all(fn):
    def run(means, parameters, n):
        for mean, p in zip(means, parameters):
            mean.copy_(fn(mean, p, n))

    return no_grad()(run)


def get_ema_multi_avg_fn(decay=0.999):
    """The exponential moving average, of all parameters."""
    return _of_all(get_ema_avg_fn(decay))


def get_swa_multi_avg_fn():
    """The mean, of all parameters."""
    return _of_all(get_swa_avg_fn())


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's."""

    def __init__(self, model, device=None, avg_fn=None, multi_avg_fn=None, use_buffers=False):
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = copy.deepcopy(model)
        if device is not None:
            self.module = self.module.to(device)
        self.register_buffer("n_averaged", tensor(0, dtype=_kiln.int64, device=device))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args, **kwargs):
        return self.module(*args, **kwargs)

    @no_grad()
    def update_parameters(self, model):
        """Take the model's parameters into the average."""
        def of(m):
            return [t.detach() for t in itertools.chain(
                m.parameters(), m.buffers() if self.use_buffers else ())]

        mine, theirs, n = of(self.module), of(model), int(self.n_averaged)
        if n == 0:
            for a, b in zip(mine, theirs):
                a.copy_(b)
        else:
            average = self.multi_avg_fn or _of_all(self.avg_fn or get_swa_avg_fn())
            average(mine, theirs, n)
        for a, b in zip(self.module.buffers(), model.buffers()):
            if not self.use_buffers:
                a.copy_(b)
        self.n_averaged += 1


@no_grad()
def update_bn(loader, model, device=None):
    """Running statistics of a model's batch norms, over all batches of a loader."""
    momenta = {m: m.momentum for m in model.modules() if isinstance(m, _BatchNorm)}
    if not momenta:
        return
    was = model.training
    model.train()
    for m in momenta:
        m.reset_running_stats()
        m.momentum = None
    for batch in loader:
        x = batch[0] if isinstance(batch, (list, tuple)) else batch
        model(x if device is None else x.to(device))
    for m, momentum in momenta.items():
        m.momentum = momentum
    model.train(was)


class SWALR(LRScheduler):
    """To swa_lr over anneal_epochs epochs, and there it stays."""

    def __init__(self, optimizer, swa_lr, anneal_epochs=10, anneal_strategy="cos", last_epoch=-1):
        for lr, group in zip(_per_group("swa_lr", optimizer, swa_lr), optimizer.param_groups):
            group["swa_lr"] = lr
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError("anneal_strategy must be one of 'cos' or 'linear', instead got "
                             f"{anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError("anneal_epochs must be equal or greater than 0, got "
                             f"{anneal_epochs}")
        self._anneal_strategy, self.anneal_epochs = anneal_strategy, anneal_epochs
        super().__init__(optimizer, last_epoch)

    def _share(self, step):
        """How far the rate has gone at a step."""
        t = max(0, min(1, step / max(1, self.anneal_epochs)))
        return t if self._anneal_strategy == "linear" else (1 - math.cos(math.pi * t)) / 2

    def get_lr(self):
        step = self._step_count - 1
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for g in self.optimizer.param_groups:
            low = g["swa_lr"]
            first = low if before == 1 else (g["lr"] - before * low) / (1 - before)
            rates.append(low * now + first * (1 - now))
        return rates
