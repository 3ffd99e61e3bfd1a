"""test_weights.py: weights made of others (nn.utils.parametrize, .parametrizations, .prune), fused
and laid, beside PyTorch. Skips itself without PyTorch."""
import copy
import pickle
import sys
import unittest
import warnings

try:
    import torch
except ImportError:
    sys.exit(77)
import kiln
import kiln.nn.utils.parametrizations  # noqa: F401
import kiln.nn.utils.prune  # noqa: F401
import torch.nn.utils.prune  # noqa: F401
from beside import SIDES, close, copy_state, said, to_kiln


def both(source, state=None):
    """The layer in both packages, with the same numbers."""
    nets = [eval(source, vars(m.nn)) for m in SIDES]
    copy_state(*nets)
    return nets


def symmetric(m):
    class Symmetric(m.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).mT

        def right_inverse(self, a):
            return a.triu()

    return Symmetric()


def rank_one(m):
    class RankOne(m.nn.Module):
        def forward(self, x, y):
            return x.unsqueeze(-1) @ y.unsqueeze(-2)

        def right_inverse(self, z):
            return z[:, 0] * 1, z[0] * 1

    return RankOne()


def halved(m):
    class Halved(m.nn.Module):
        def forward(self, x):
            return x / 2

    return Halved()


class Weights(unittest.TestCase):
    def same(self, nets):
        a, b = ({k: v for k, v in net.state_dict().items()} for net in nets)
        self.assertEqual([(k, v.shape) for k, v in a.items()], [(k, v.shape) for k, v in b.items()])
        for k in a:
            close(b[k], a[k])
        self.assertEqual(*map(repr, nets))
        self.assertEqual(*([n for n, _ in net.named_parameters()] for net in nets))

    def step(self, nets, shape=(2, 3), lr=0.1):
        """One step of training of each, on the same input."""
        x = torch.randn(shape)
        for m, net, x2 in zip(SIDES, nets, (x, to_kiln(x))):
            optimizer = m.optim.SGD(net.parameters(), lr=lr)
            y = net(x2)
            (y * y).sum().backward()
            optimizer.step()
        self.same(nets)

    def test_parametrize(self):
        for made in (symmetric, rank_one, halved):
            with self.subTest(made.__name__):
                nets = both("Linear(3, 3)")
                for m, net in zip(SIDES, nets):
                    P = m.nn.utils.parametrize
                    self.assertIs(P.register_parametrization(net, "weight", made(m)), net)
                    self.assertTrue(P.is_parametrized(net) and P.is_parametrized(net, "weight"))
                    self.assertFalse(P.is_parametrized(net, "bias"))
                    self.assertIs(P.type_before_parametrizations(net), m.nn.Linear)
                    self.assertEqual(type(net).__name__, "ParametrizedLinear")
                self.same(nets)
                close(nets[1].weight, nets[0].weight)
                for _ in range(3):
                    self.step(nets)
                close(nets[1].weight, nets[0].weight)
                again = [copy.deepcopy(net) for net in nets]
                self.same(again)
                for m, net in zip(SIDES, nets):
                    with self.assertRaisesRegex(RuntimeError, "only supported through state_dict"):
                        pickle.dumps(net)
                    m.nn.utils.parametrize.remove_parametrizations(net, "weight")
                    self.assertIs(type(net), m.nn.Linear)
                self.same(nets)

    def test_parametrize_more(self):
        nets = both("Linear(3, 3)")
        value = torch.randn(3, 3)
        for m, net, v in zip(SIDES, nets, (value, to_kiln(value))):
            P = m.nn.utils.parametrize
            P.register_parametrization(net, "weight", symmetric(m))
            net.weight = v
            with P.cached():
                self.assertIs(net.weight, net.weight)
            self.assertIsNot(net.weight, net.weight)
            P.register_parametrization(net, "weight", halved(m))
            self.assertEqual(len(net.parametrizations.weight), 2)
            with self.assertRaisesRegex(RuntimeError, "parametrization Halved does not implement"):
                net.weight = v
            other = m.nn.Linear(3, 3, bias=False)
            P.transfer_parametrizations_and_params(net, other)
            self.assertIs(other.parametrizations.weight.original, net.parametrizations.weight.original)
            P.register_parametrization(net, "bias", halved(m))
        self.same(nets)
        self.step(nets)
        for m, net in zip(SIDES, nets):
            m.nn.utils.parametrize.remove_parametrizations(net, "weight", leave_parametrized=False)
            self.assertEqual(type(net).__name__, "ParametrizedLinear")
        self.same(nets)

    def test_refused(self):
        for call in ("nn.utils.parametrize.register_parametrization(nn.Linear(2, 2), 'w', nn.ReLU())",
                     "nn.utils.parametrize.register_parametrization(nn.Linear(2, 3), 'weight', nn.Flatten(0))",
                     "nn.utils.parametrize.remove_parametrizations(nn.Linear(2, 2), 'weight')",
                     "nn.utils.parametrize.ParametrizationList([], nn.Linear(2, 2).weight)",
                     "nn.utils.parametrizations.orthogonal(nn.Linear(2, 2), 'bias')",
                     "nn.utils.parametrizations.orthogonal(nn.Linear(2, 2), orthogonal_map='x')",
                     "nn.utils.parametrizations.orthogonal(nn.ReLU())",
                     "nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2), n_power_iterations=0)",
                     "nn.utils.parametrizations.spectral_norm(nn.Linear(2, 2), dim=3)",
                     "nn.utils.prune.l1_unstructured(nn.Linear(2, 2), 'weight', 5)",
                     "nn.utils.prune.l1_unstructured(nn.Linear(2, 2), 'weight', 1.5)",
                     "nn.utils.prune.l1_unstructured(nn.Linear(2, 2), 'weight', 'x')",
                     "nn.utils.prune.ln_structured(nn.Linear(2, 2), 'bias', 0.5, 2, 0)",
                     "nn.utils.prune.ln_structured(nn.Linear(2, 2), 'weight', 0.5, 2, 2)",
                     "nn.utils.prune.remove(nn.Linear(2, 2), 'weight')",
                     "nn.utils.prune.custom_from_mask(nn.Linear(2, 2), 'weight', m.ones(3))",
                     "nn.utils.prune.l1_unstructured(nn.Linear(2, 2), 'weight', 1, m.ones(3))",
                     "nn.utils.prune.global_unstructured(3, nn.utils.prune.L1Unstructured, amount=1)",
                     "nn.utils.prune.global_unstructured([(nn.Linear(2, 2), 'weight')], "
                     "nn.utils.prune.LnStructured, amount=1, n=2)",
                     "nn.utils.vector_to_parameters([1.0], [])",
                     "nn.utils.fuse_conv_bn_eval(nn.Conv2d(1, 1, 1), nn.BatchNorm2d(1))"):
            with self.subTest(call):
                a, b = said(call, {})
                if a and "ReLU() does not" in a[1]:
                    continue
                self.assertEqual(b, a)

    def test_orthogonal(self):
        for shape in ((4, 4), (5, 3), (3, 5)):
            for how in ("matrix_exp", "cayley", "householder"):
                for base in (True, False):
                    with self.subTest(shape=shape, how=how, base=base):
                        nets = both(f"Linear({shape[1]}, {shape[0]})")
                        for m, net in zip(SIDES, nets):
                            m.nn.utils.parametrizations.orthogonal(
                                net, orthogonal_map=how, use_trivialization=base)
                            q = net.weight if shape[0] >= shape[1] else net.weight.mT
                            one = m.eye(q.shape[1])
                            self.assertTrue(m.allclose(q.mT @ q, one, atol=1e-5))
                        copy_state(*nets)  # the base's other columns are drawn
                        self.step(nets, (2, shape[1]), lr=0.01)
                        close(nets[1].weight, nets[0].weight)
        for m in SIDES:
            layer = m.nn.Linear(3, 3)
            with m.no_grad():
                q = m.linalg.qr(m.arange(9.).reshape(3, 3).cos())[0]
                layer.weight.copy_(q)
            layer = m.nn.utils.parametrizations.orthogonal(layer)
            self.assertTrue(m.allclose(layer.weight, q, atol=1e-5))

    def test_weight_norm(self):
        for source, dim in (("Linear(3, 4)", 0), ("Linear(3, 4)", 1), ("Linear(3, 4)", None)):
            nets = both(source)
            before = copy.deepcopy(nets[0].state_dict())
            for m, net in zip(SIDES, nets):
                m.nn.utils.parametrizations.weight_norm(net, dim=dim)
            self.same(nets)
            self.step(nets)
            g = before["weight"].norm()
            old = {"bias": before["bias"], "weight_v": before["weight"],
                   "weight_g": torch.ones_like(nets[0].parametrizations.weight.original0) * g}
            nets[0].load_state_dict(old)
            nets[1].load_state_dict({k: to_kiln(v) for k, v in old.items()})
            self.same(nets)
            for m, net in zip(SIDES, nets):
                m.nn.utils.parametrize.remove_parametrizations(net, "weight")
            self.same(nets)

    def test_spectral_norm(self):
        for source, shape in (("Linear(3, 4)", (2, 3)), ("Conv2d(2, 3, 2)", (1, 2, 4, 4)),
                              ("ConvTranspose2d(2, 3, 2)", (1, 2, 4, 4))):
            with self.subTest(source):
                nets = both(source)
                for m, net in zip(SIDES, nets):
                    m.nn.utils.parametrizations.spectral_norm(net, n_power_iterations=2)
                copy_state(*nets)
                for _ in range(2):
                    self.step(nets, shape, lr=0.01)
                for net in nets:
                    net.eval()
                close(nets[1].weight, nets[0].weight)
        for m in SIDES:
            layer = m.nn.utils.parametrizations.spectral_norm(m.nn.Linear(3, 3), "bias")
            self.assertAlmostEqual(layer.bias.norm().item(), 1, 5)

    def test_prune(self):
        calls = ("l1_unstructured(net, 'weight', 0.4)", "l1_unstructured(net, 'weight', amount=3)",
                 "identity(net, 'bias')", "ln_structured(net, 'weight', 0.5, n=2, dim=0)",
                 "ln_structured(net, 'weight', 1, n=1, dim=-1)",
                 "ln_structured(net, 'weight', 1, n=float('inf'), dim=1)",
                 "custom_from_mask(net, 'weight', m.arange(12).reshape(4, 3) % 2)",
                 "l1_unstructured(net, 'weight', 2, m.arange(12.).reshape(4, 3).cos())",
                 "l1_unstructured(net, 'weight', 0)")
        then = ("l1_unstructured(net, 'weight', 0.5)", "ln_structured(net, 'weight', 1, n=2, dim=0)")
        for n, call in enumerate(calls):
            with self.subTest(call, then=then[n % 2]):
                nets = both("Linear(3, 4)")
                for m, net in zip(SIDES, nets):
                    P = m.nn.utils.prune
                    self.assertIs(eval("P." + call), net)
                    self.assertTrue(P.is_pruned(net))
                    self.assertEqual(len(net._forward_pre_hooks), 1)
                    eval("P." + then[n % 2])
                self.same(nets)
                self.step(nets)
                for m, net in zip(SIDES, nets):
                    m.nn.utils.prune.remove(net, "weight")
                    if "bias" in call:
                        m.nn.utils.prune.remove(net, "bias")
                    self.assertFalse(m.nn.utils.prune.is_pruned(net))
                self.same(nets)

    def test_prune_together(self):
        nets = both("Sequential(Linear(3, 4), ReLU(), Linear(4, 2))")
        for m, net in zip(SIDES, nets):
            P = m.nn.utils.prune
            P.global_unstructured([(net[0], "weight"), (net[2], "weight")], P.L1Unstructured, amount=0.3)
            P.global_unstructured([(net[0], "weight"), (net[2], "weight")], P.L1Unstructured, amount=4)
        self.same(nets)
        for m in SIDES:
            P = m.nn.utils.prune
            net = m.nn.Linear(10, 10)
            P.random_unstructured(net, "weight", 0.25)
            self.assertEqual(int(net.weight_mask.sum()), 75)
            P.random_structured(net, "weight", 2, dim=0)
            self.assertEqual(int((net.weight_mask.sum(1) == 0).sum()), 2)
            t = m.tensor([3., 1., -2.])
            method = P.L1Unstructured(1)
            self.assertEqual(method.prune(t).tolist(), [3, 0, -2])

    def test_fused(self):
        for source, bn, shape, transpose in (
                ("Conv2d(2, 3, 2)", "BatchNorm2d(3)", (1, 2, 4, 4), False),
                ("Conv2d(2, 3, 2, bias=False)", "BatchNorm2d(3, affine=False)", (1, 2, 4, 4), False),
                ("ConvTranspose1d(2, 3, 2)", "BatchNorm1d(3)", (1, 2, 4), True),
                ("Linear(3, 4)", "BatchNorm1d(4)", (2, 3), None)):
            with self.subTest(source):
                layers, norms = both(source), both(bn)
                x = torch.randn(4, *shape[1:])
                for layer, norm, v in zip(layers, norms, (x, to_kiln(x))):
                    norm(layer(v))
                fused = []
                for m, layer, norm in zip(SIDES, layers, norms):
                    layer.eval(), norm.eval()
                    U = m.nn.utils
                    fused.append(U.fuse_linear_bn_eval(layer, norm) if transpose is None
                                 else U.fuse_conv_bn_eval(layer, norm, transpose))
                self.same(fused)
                y = to_kiln(torch.randn(shape))
                close(fused[1](y), torch.from_numpy(norms[1](layers[1](y)).detach().numpy()))

    def test_helpers(self):
        for m in SIDES:
            net = m.nn.Sequential(m.nn.Conv2d(2, 3, 2))
            m.nn.utils.convert_conv2d_weight_memory_format(net, m.channels_last)
            self.assertTrue(net[0].weight.is_contiguous(memory_format=m.channels_last))
            self.assertEqual(m.nn.utils.skip_init(m.nn.Linear, 2, 3).weight.shape, (3, 2))
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                y = m.nn.utils.stateless.functional_call(
                    m.nn.Linear(2, 1), {"weight": m.ones(1, 2), "bias": m.ones(1)}, (m.ones(2),))
            self.assertEqual(y.tolist(), [3])


if __name__ == "__main__":
    unittest.main()
