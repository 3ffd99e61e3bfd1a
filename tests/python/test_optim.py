"""test_optim.py: every optimiser and learning-rate schedule beside PyTorch's own: parameters
after some steps, state dicts and what is refused. Skips itself without PyTorch."""
import copy
import importlib
import sys
import unittest
import warnings

try:
    import numpy as np
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES

SETTINGS = [
    ("SGD", dict(lr=0.1)), ("SGD", dict(lr=0.1, momentum=0.9, dampening=0.3)),
    ("SGD", dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ("SGD", dict(lr=0.1, maximize=True)),
    ("Adam", dict(lr=0.05)), ("Adam", dict(lr=0.05, amsgrad=True, weight_decay=0.1)),
    ("Adam", dict(lr=0.05, betas=(0.5, 0.7), eps=1e-3, decoupled_weight_decay=True,
                  weight_decay=0.1)),
    ("AdamW", dict(lr=0.05)), ("AdamW", dict(lr=0.05, amsgrad=True, maximize=True)),
    ("RMSprop", dict(lr=0.05)), ("RMSprop", dict(lr=0.05, momentum=0.9, centered=True)),
    ("RMSprop", dict(lr=0.05, alpha=0.5, weight_decay=0.1)),
    ("Adagrad", dict(lr=0.1)),
    ("Adagrad", dict(lr=0.1, lr_decay=0.1, weight_decay=0.1, initial_accumulator_value=0.5)),
    ("Adadelta", dict()), ("Adadelta", dict(lr=0.5, rho=0.7, weight_decay=0.1)),
    ("Adamax", dict(lr=0.05)), ("Adamax", dict(lr=0.05, weight_decay=0.1, maximize=True)),
    ("NAdam", dict(lr=0.05)), ("NAdam", dict(weight_decay=0.1, decoupled_weight_decay=True)),
    ("RAdam", dict(lr=0.05)), ("RAdam", dict(weight_decay=0.1, decoupled_weight_decay=True)),
    ("Rprop", dict(lr=0.05)), ("Rprop", dict(etas=(0.3, 1.5), step_sizes=(1e-4, 0.1))),
    ("ASGD", dict(lr=0.05)), ("ASGD", dict(lr=0.05, t0=2, lambd=0.1, weight_decay=0.1)),
    ("Adafactor", dict()), ("Adafactor", dict(lr=0.5, weight_decay=0.1, maximize=True, d=1.5)),
    ("Adafactor", dict(lr=0.1, beta2_decay=-0.5, eps=(1e-3, 1e-2))),
    ("LBFGS", dict(lr=0.5, max_iter=4)),
    ("LBFGS", dict(max_iter=5, history_size=2, line_search_fn="strong_wolfe")),
]


class Pair:
    """One small fit in both packages, from the same numbers."""

    def __init__(self, name, settings, groups=False):
        rng = np.random.default_rng(0)
        self.x = rng.standard_normal((8, 3))
        w, b = rng.standard_normal((3, 2)), rng.standard_normal(2)
        self.sides = []
        for m in (torch, kiln):
            p = [m.from_numpy(a.copy()).requires_grad_() for a in (w, b)]
            given = [{"params": p[:1]}, {"params": p[1:], "lr": 0.01}] if groups else p
            self.sides.append((m, p, getattr(m.optim, name)(given, **settings)))

    def run(self, steps, schedule=None):
        for i in range(steps):
            for m, p, opt in self.sides:
                x = m.from_numpy(self.x)

                def closure():
                    opt.zero_grad()
                    loss = ((x @ p[0] + p[1]).tanh() ** 2).sum()
                    loss.backward()
                    return loss

                opt.step(closure)
        return self

    def check(self):
        for a, b in zip(self.sides[0][1], self.sides[1][1]):
            np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), 1e-7, 1e-8)


def plain(v):
    if isinstance(v, dict):
        return {k: plain(x) for k, x in v.items()}
    if isinstance(v, (list, tuple)):
        return type(v)(plain(x) for x in v)
    return np.asarray(v.detach().numpy()) if hasattr(v, "detach") else v


class Rules(unittest.TestCase):
    def test_steps(self):
        for name, settings in SETTINGS:
            with self.subTest(name=name, **settings):
                Pair(name, settings).run(7).check()

    def test_groups(self):
        for name in ("SGD", "Adam", "RMSprop"):
            Pair(name, dict(lr=0.1), groups=True).run(3).check()

    def test_state_dict(self):
        for name, settings in SETTINGS:
            if name == "LBFGS":
                continue
            with self.subTest(name=name, **settings):
                pair = Pair(name, settings).run(3)
                want, got = (plain(opt.state_dict()) for _, _, opt in pair.sides)
                self.assertEqual(got["param_groups"], want["param_groups"])
                for n in want["state"]:
                    kept = {k: v for k, v in want["state"][n].items() if v is not None}
                    self.assertEqual(list(got["state"][n]), list(kept))
                    for k, v in kept.items():
                        np.testing.assert_allclose(got["state"][n][k], v, 1e-6, 1e-9)

    def test_resumed(self):
        for name, settings in SETTINGS:
            with self.subTest(name=name, **settings):
                whole = Pair(name, settings).run(5)
                halves = Pair(name, settings).run(2)
                m, p, opt = halves.sides[1]
                saved = copy.deepcopy(opt.state_dict())
                again = getattr(kiln.optim, name)(p, **settings)
                again.load_state_dict(saved)
                halves.sides[1] = (m, p, again)
                halves.run(3)
                for a, b in zip(whole.sides[1][1], halves.sides[1][1]):
                    self.assertEqual(a.tolist(), b.tolist())

    def test_muon(self):
        start = np.random.default_rng(1).standard_normal((4, 6))
        for settings in (dict(), dict(lr=0.1, nesterov=False, weight_decay=0.3),
                         dict(lr=0.1, adjust_lr_fn="match_rms_adamw", ns_steps=3),
                         dict(lr=0.1, adjust_lr_fn="spectral_unclamped", momentum=0.5)):
            for x in (start, start.T.copy()):
                ends = []
                for m in (torch, kiln):
                    p = m.from_numpy(x.copy()).float().requires_grad_()
                    opt = m.optim.Muon([p], **settings)
                    for _ in range(3):
                        opt.zero_grad()
                        (p * p * m.arange(p.numel()).reshape(p.shape)).sum().backward()
                        opt.step()
                    ends.append(p.detach().numpy())
                    self.assertEqual(list(opt.state_dict()["state"][0]), ["momentum_buffer"])
                # made orthogonal in bfloat16, as PyTorch does
                np.testing.assert_allclose(ends[1], ends[0], 0, 0.02 * settings.get("lr", 1e-3))

    def test_sparse_adam(self):
        start = np.random.default_rng(2).standard_normal((6, 3)).astype("f4")
        for settings in (dict(), dict(lr=0.1, betas=(0.5, 0.7), maximize=True)):
            ends = []
            for m in (torch, kiln):
                table = m.nn.Embedding(6, 3, sparse=True)
                table.load_state_dict({"weight": m.from_numpy(start.copy())})
                opt = m.optim.SparseAdam(table.parameters(), **settings)
                for rows in ([0, 2, 2], [1, 2], [0, 5]):
                    opt.zero_grad()
                    y = table(m.tensor(rows))
                    (y * y).sum().backward()
                    opt.step()
                ends.append([table.weight.detach().numpy(), plain(opt.state_dict())["state"][0]])
            np.testing.assert_allclose(ends[1][0], ends[0][0], 1e-5, 1e-6)
            self.assertEqual(ends[1][1]["step"], ends[0][1]["step"])
            for k in ("exp_avg", "exp_avg_sq"):
                np.testing.assert_allclose(ends[1][1][k], ends[0][1][k], 1e-5, 1e-6)

    def test_refused_more(self):
        for call in ("Adafactor([x], lr=-1)", "Adafactor([x], d=0.5)", "Adafactor([x], beta2_decay=1)",
                     "Adafactor([x], eps=(-1, 1))", "Muon([x])", "Muon([x], lr=-1)",
                     "Muon([x], adjust_lr_fn='y')", "SparseAdam([x], lr=0)", "SparseAdam([x], eps=0)",
                     "SparseAdam([x], betas=(1, 0))", "SparseAdam([x.to(m.cfloat)])"):
            said = []
            for m in (torch, kiln):
                try:
                    eval("m.optim." + call, {"m": m, "x": m.ones(2)})
                except Exception as e:
                    said.append((type(e), str(e)))
            self.assertEqual(said[1], said[0])

    def test_texts(self):
        for name, settings in SETTINGS:
            pair = Pair(name, settings, groups=name != "LBFGS")
            self.assertEqual(*(repr(opt) for _, _, opt in pair.sides))

    def test_one_program(self):
        """A step of many parameters compiles once and runs as one program."""
        w = [kiln.ones(3, 3, requires_grad=True) for _ in range(20)]
        for name in ("SGD", "Adam", "RMSprop", "NAdam", "RAdam"):
            opt = getattr(kiln.optim, name)(w)
            for p in w:
                p.grad = kiln.ones(3, 3)
            opt.step()
            opt.step()  # the gradients are there by now
            before = kiln._kiln._stats()
            for _ in range(8):
                opt.step()
            now = kiln._kiln._stats()
            self.assertEqual(now["programs_compiled"], before["programs_compiled"], name)
            self.assertEqual(now["kernels_launched"] - before["kernels_launched"], 8, name)


class Refusals(unittest.TestCase):
    CASES = [
        "SGD(p, lr=-1)", "SGD(p, momentum=-1)", "SGD(p, weight_decay=-1)",
        "SGD(p, nesterov=True)", "Adam(p, betas=(1.0, 0.9))", "Adam(p, betas=(0.9, 1.0))",
        "Adam(p, eps=-1)", "RMSprop(p, alpha=-1)", "Adagrad(p, lr_decay=-1)",
        "Adagrad(p, initial_accumulator_value=-1)", "Adadelta(p, rho=2)",
        "NAdam(p, momentum_decay=-1)", "Rprop(p, etas=(2, 3))", "ASGD(p, lambd=-1)",
        "LBFGS([{'params': p}, {'params': [m.ones(1)]}])", "SGD([])", "SGD(p[0])", "SGD([1])",
        "SGD({1, 2})", "SGD([p[0] * 2])", "SGD(p).add_param_group(3)",
        "SGD(p).add_param_group({'params': p})", "SGD(p).add_param_group({'params': set(p)})",
        "SGD([('a', p[0]), m.ones(1)])",
        "SGD(p).load_state_dict({'state': {}, 'param_groups': []})",
        "SGD(p).load_state_dict({'state': {}, 'param_groups': [{'params': []}]})",
        "LBFGS(p, line_search_fn='x').step(lambda: (p[0].sum().backward(), p[0].sum())[1])",
    ]

    def test_texts(self):
        for source in self.CASES:
            said = []
            for m in (torch, kiln):
                p = [m.ones(2, requires_grad=True)]
                try:
                    eval("m.optim." + source, {"m": m, "p": p})
                    said.append(None)
                except Exception as e:
                    said.append((type(e), str(e).splitlines()[0]))
            with self.subTest(source):
                self.assertIsNotNone(said[0])
                self.assertEqual(said[1], said[0])


class Hooks(unittest.TestCase):
    def test_hooks_of_all(self):
        for m in (torch, kiln):
            seen, at = [], importlib.import_module(m.__name__ + ".optim.optimizer")
            handles = [at.register_optimizer_step_pre_hook(lambda *a: seen.append("before all")),
                       at.register_optimizer_step_post_hook(lambda *a: seen.append("after all"))]
            opt = m.optim.SGD([m.ones(1, requires_grad=True)], 0.1)
            opt.register_step_pre_hook(lambda *a: seen.append("before"))
            opt.register_step_post_hook(lambda *a: seen.append("after"))
            opt.step()
            for h in handles:
                h.remove()
            opt.step()
            self.assertEqual(seen, ["before all", "before", "after", "after all", "before", "after"])

    def test_order(self):
        said = []
        for m in (torch, kiln):
            log, p = [], [m.ones(2, requires_grad=True)]
            opt = m.optim.SGD(p)
            opt.register_step_pre_hook(lambda o, a, k: log.append("before"))
            handle = opt.register_step_post_hook(lambda o, a, k: log.append("after"))
            opt.register_state_dict_post_hook(lambda o, d: d.update(more=1))
            opt.step(lambda: log.append("closure"))
            handle.remove()
            opt.step()
            said.append((log, opt.state_dict()["more"]))
        self.assertEqual(*said)


S = "m.optim.lr_scheduler."
SCHEDULES = [
    "StepLR(o, 2, 0.5)", "MultiStepLR(o, [2, 5, 5], 0.5)", "ExponentialLR(o, 0.9)",
    "CosineAnnealingLR(o, 4, 0.01)", "CosineAnnealingWarmRestarts(o, 3, 2, 0.01)",
    "LambdaLR(o, lambda e: 1 / (1 + e))", "LambdaLR(o, [lambda e: 0.5 ** e, lambda e: e])",
    "MultiplicativeLR(o, lambda e: 0.9)", "LinearLR(o, 0.25, 0.75, 4)", "ConstantLR(o, 0.5, 3)",
    "PolynomialLR(o, 5, 2.0)", "CyclicLR(o, 0.01, 0.2, 2, 3)",
    "CyclicLR(o, 0.01, 0.2, 3, mode='triangular2', cycle_momentum=False)",
    "CyclicLR(o, 0.01, 0.2, 3, mode='exp_range', gamma=0.9)",
    "CyclicLR(o, 0.01, 0.2, 3, scale_fn=lambda x: 0.5 ** x, scale_mode='iterations')",
    "OneCycleLR(o, 0.5, 12)", "OneCycleLR(o, [0.5, 0.2], epochs=3, steps_per_epoch=4)",
    "OneCycleLR(o, 0.5, 12, anneal_strategy='linear', three_phase=True, pct_start=0.4)",
    f"SequentialLR(o, [{S}ConstantLR(o, 0.1, 3), {S}ExponentialLR(o, 0.9)], [3])",
    f"SequentialLR(o, [{S}LinearLR(o, 0.1, 1, 4), {S}CosineAnnealingLR(o, 6), "
    f"{S}StepLR(o, 2)], [4, 8])",
    f"ChainedScheduler([{S}ConstantLR(o, 0.1, 3), {S}ExponentialLR(o, 0.9)], o)",
]
WRONG = [
    "StepLR(1, 2)", "LambdaLR(o, [lambda e: 1])", "ConstantLR(o, 2.0)", "LinearLR(o, 0.0)",
    "LinearLR(o, 0.5, 2.0)", "CosineAnnealingWarmRestarts(o, 0)",
    "CosineAnnealingWarmRestarts(o, 3, 0)", "OneCycleLR(o, 0.5)", "OneCycleLR(o, 0.5, -1)",
    "OneCycleLR(o, 0.5, 5, pct_start=2.0)", "OneCycleLR(o, 0.5, 5, anneal_strategy='x')",
    "OneCycleLR(o, [0.5], 5)", "CyclicLR(o, 0.1, 0.2, mode='x')", "CyclicLR(o, [0.1], 0.2)",
    "ReduceLROnPlateau(o, factor=1.0)", "ReduceLROnPlateau(o, mode='x')",
    "ReduceLROnPlateau(o, threshold_mode='x')", "ReduceLROnPlateau(o, min_lr=[1])",
    "SequentialLR(o, [], [])", "StepLR(o, 2, last_epoch=3)",
    f"SequentialLR(o, [{S}StepLR(o, 2)], [1, 2])", "ChainedScheduler([], o)",
]


def optimizers(m):
    p = [m.ones(2, requires_grad=True), m.ones(2, requires_grad=True)]
    return m.optim.SGD([{"params": p[:1]}, {"params": p[1:], "lr": 0.3}], lr=0.1, momentum=0.9)


class Schedules(unittest.TestCase):
    def rates(self, m, source, resumed=None):
        o = optimizers(m)
        s = eval(S + source, {"m": m, "o": o})
        r = []
        for i in range(12):
            r.append(([g["lr"] for g in o.param_groups], [g["momentum"] for g in o.param_groups],
                      s.get_last_lr()))
            if resumed == i:
                saved = s.state_dict()
                s = eval(S + source, {"m": m, "o": o})
                s.load_state_dict(saved)
                for g, lr in zip(o.param_groups, r[-1][0]):
                    g["lr"] = lr
            o.step()
            if i < 11:
                s.step()
        return r

    def test_rates(self):
        for source in SCHEDULES:
            with self.subTest(source), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                np.testing.assert_allclose(self.rates(kiln, source), self.rates(torch, source),
                                           1e-12)

    def test_resumed(self):
        for source in SCHEDULES:
            if "Sequential" in source or "Chained" in source or "lambda" in source:
                continue
            with self.subTest(source), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                np.testing.assert_allclose(self.rates(kiln, source, 4),
                                           self.rates(kiln, source), 1e-12)

    def test_plateau(self):
        losses = [5, 4, 4, 4, 4, 3.9, 4, 4, 4, 5, 5, 5, 5, 5]
        for settings in (dict(), dict(patience=1), dict(patience=0, cooldown=2, min_lr=0.02),
                         dict(mode="max", patience=1, factor=0.5),
                         dict(patience=1, threshold=0.5, threshold_mode="abs")):
            r = []
            for m in (torch, kiln):
                o = optimizers(m)
                s = m.optim.lr_scheduler.ReduceLROnPlateau(o, **settings)
                for loss in losses:
                    s.step(m.tensor(float(loss)))
                    r.append([g["lr"] for g in o.param_groups])
            np.testing.assert_allclose(r[len(losses):], r[:len(losses)])

    def test_refusals(self):
        for source in WRONG:
            said = []
            for m in (torch, kiln):
                o = optimizers(m)
                try:
                    eval(S + source, {"m": m, "o": o})
                    said.append(None)
                except Exception as e:
                    said.append((type(e), str(e).splitlines()[0]))
            with self.subTest(source):
                self.assertIsNotNone(said[0])
                self.assertEqual(said[1], said[0])

    def test_order(self):
        for m in (torch, kiln):
            o = optimizers(m)
            s = m.optim.lr_scheduler.StepLR(o, 2)
            with self.assertWarnsRegex(UserWarning, "call of `lr_scheduler.step\\(\\)` before"):
                s.step()


class Averages(unittest.TestCase):
    def test_models(self):
        for more in ("", "avg_fn=u.get_ema_avg_fn(0.9)", "multi_avg_fn=u.get_ema_multi_avg_fn(0.5)", "use_buffers=True"):
            means = []
            for m in SIDES:
                u, net = m.optim.swa_utils, m.nn.Sequential(m.nn.Linear(2, 2), m.nn.BatchNorm1d(2))
                mean = eval(f"u.AveragedModel(net, {more})", {"u": u, "net": net})
                for k in (1.0, 2.0, 4.0):
                    with m.no_grad():
                        for p in net.parameters():
                            p.fill_(k)
                    net[1].running_mean.fill_(k)
                    mean.update_parameters(net)
                means.append([t.double().flatten().tolist() for t in mean.state_dict().values()])
            for a, b in zip(*means):
                np.testing.assert_allclose(b, a, 1e-6)

    def test_update_bn(self):
        stats = []
        for m in SIDES:
            net = m.nn.BatchNorm1d(2)
            m.optim.swa_utils.update_bn([m.arange(6.).view(3, 2), (m.ones(3, 2), 0)], net)
            stats.append((net.running_mean.tolist(), net.momentum, net.num_batches_tracked.item()))
        self.assertEqual(*stats)

    def test_rates(self):
        for more in ("anneal_epochs=3", "anneal_epochs=3, anneal_strategy='linear'", "anneal_epochs=0"):
            rates = []
            for m in SIDES:
                o = optimizers(m)
                s = eval(f"m.optim.swa_utils.SWALR(o, 0.5, {more})")
                rates.append([])
                for _ in range(6):
                    o.step()
                    s.step()
                    rates[-1].append(s.get_last_lr())
            np.testing.assert_allclose(*rates, rtol=1e-12)


if __name__ == "__main__":
    unittest.main()
