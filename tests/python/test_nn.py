"""test_nn.py: every layer and loss beside PyTorch's own: outputs, gradients, buffers, keys of
the state, printed text and what is refused. Skips itself without PyTorch."""
import copy
import io
import pickle
import sys
import unittest
import warnings

try:
    import numpy as np
    import torch
except ImportError:
    sys.exit(77)
import kiln
from beside import SIDES, close, copy_state, flat, said, to_kiln, to_numpy

F4, F5 = (2, 4, 7, 6), (2, 4, 5, 6, 4)
LAYERS = [  # constructor, shapes of its inputs
    ("Linear(4, 3)", [(2, 4)]), ("Linear(4, 3, bias=False)", [(2, 5, 4)]), ("Identity(5, a=2)", [(2, 3)]),
    ("Bilinear(3, 4, 5)", [(2, 3), (2, 4)]), ("Bilinear(3, 4, 5, bias=False)", [(2, 3), (2, 4)]),
    ("Conv1d(4, 6, 3)", [(2, 4, 9)]), ("Conv1d(4, 6, 3)", [(4, 9)]),
    ("Conv1d(4, 6, 4, padding='same')", [(2, 4, 9)]), ("Conv1d(4, 6, 3, padding='valid')", [(2, 4, 9)]),
    ("Conv1d(4, 6, 3, 2, 1, 2, 2, False)", [(2, 4, 9)]),
    ("Conv2d(4, 6, (3, 2), (2, 1), (1, 0), (1, 2), 2)", [F4]),
    ("Conv2d(4, 8, 3, groups=4)", [F4]), ("Conv2d(4, 6, (3, 4), padding='same', dilation=(1, 2))", [F4]),
    ("Conv2d(4, 6, 3, padding=(2, 1), padding_mode='reflect')", [F4]),
    ("Conv2d(4, 6, 3, padding='same', padding_mode='circular')", [F4]),
    ("Conv2d(4, 6, 3, padding=1, padding_mode='replicate')", [F4]),
    ("Conv3d(4, 2, 3, padding=1)", [F5]), ("Conv3d(4, 2, (1, 2, 3), 2)", [F5]),
    ("ConvTranspose1d(4, 6, 3)", [(2, 4, 5)]), ("ConvTranspose1d(4, 6, 3, 2, 1, 1, 2, False, 2)", [(2, 4, 5)]),
    ("ConvTranspose2d(4, 6, 3, 2, 1, output_padding=(1, 0))", [F4]),
    ("ConvTranspose3d(4, 2, 2, 2)", [F5]),
    ("ConvTranspose1d(4, 2, 5, 3, 2, 1, 2, True, 2)", [(2, 4, 5)]),
    ("ConvTranspose2d(4, 2, (2, 3), (5, 4), 1, dilation=(1, 2))", [F4]),
    ("ConvTranspose2d(4, 3, 1, 3)", [F4]),
    ("ConvTranspose2d(4, 2, (3, 2), (2, 4), (3, 0), (1, 3), dilation=(3, 6))", [F4]),
    ("Conv2d(4, 6, (4, 3), (3, 2), (1, 2), (2, 4))", [F4]),
    ("Conv2d(4, 4, (1, 2), (2, 3), groups=2)", [F4]),
    # few places for many channels: the input's gradient is folded
    ("Conv2d(5, 96, 3, 2, 1)", [(2, 5, 4, 3)]), ("Conv1d(6, 120, 3, padding=1, groups=2)", [(6, 5)]),
    ("Conv2d(3, 96, (3, 2), padding=1, dilation=(1, 2))", [(1, 3, 4, 5)]),
    ("MaxPool1d(3)", [(2, 4, 9)]), ("MaxPool2d(2)", [F4]), ("MaxPool2d((3, 2), (2, 1), (1, 1), ceil_mode=True)", [F4]),
    ("MaxPool2d(2, dilation=2)", [F4]), ("MaxPool3d(2)", [F5]), ("MaxPool2d(2, return_indices=True)", [F4]),
    ("AvgPool1d(3, 2, 1)", [(2, 4, 9)]), ("AvgPool2d(2)", [F4]),
    ("AvgPool2d(3, 2, 1, True, False)", [F4]), ("AvgPool2d(2, divisor_override=3)", [F4]), ("AvgPool3d(2)", [F5]),
    ("LPPool1d(2, 3)", [(2, 4, 9)]), ("LPPool2d(2, 2, stride=1)", [F4]), ("LPPool3d(3, 2)", [F5]),
    ("AdaptiveAvgPool1d(4)", [(2, 4, 9)]), ("AdaptiveAvgPool2d((3, None))", [F4]), ("AdaptiveAvgPool3d(2)", [F5]),
    ("AdaptiveMaxPool1d(4)", [(2, 4, 9)]), ("AdaptiveMaxPool2d((3, 2), return_indices=True)", [F4]),
    ("AdaptiveMaxPool3d(2)", [F5]),
    ("BatchNorm1d(4)", [(5, 4)]), ("BatchNorm1d(4)", [(2, 4, 6)]), ("BatchNorm2d(4, momentum=None)", [F4]),
    ("BatchNorm2d(4, affine=False)", [F4]), ("BatchNorm2d(4, track_running_stats=False)", [F4]),
    ("BatchNorm3d(4, eps=0.1, momentum=0.3)", [F5]), ("BatchNorm2d(4, bias=False)", [F4]),
    ("InstanceNorm1d(4)", [(2, 4, 6)]), ("InstanceNorm1d(4)", [(4, 6)]), ("InstanceNorm2d(4, affine=True)", [F4]),
    ("InstanceNorm2d(4, track_running_stats=True)", [F4]), ("InstanceNorm3d(4)", [F5]),
    ("LayerNorm(6)", [F4]), ("LayerNorm((7, 6), bias=False)", [F4]), ("LayerNorm(6, elementwise_affine=False)", [F4]),
    ("GroupNorm(2, 4)", [F4]), ("GroupNorm(4, 4, affine=False)", [F4]), ("GroupNorm(2, 4, bias=False)", [F4]),
    ("RMSNorm(6)", [F4]), ("RMSNorm((7, 6), eps=0.1, elementwise_affine=False)", [F4]),
    ("LocalResponseNorm(2)", [F4]), ("LocalResponseNorm(3, 0.1, 0.5, 2.0)", [F4]),
    ("Flatten()", [F4]), ("Flatten(0, 2)", [F4]), ("Unflatten(1, (2, 2))", [F4]),
    ("PixelShuffle(2)", [F4]), ("PixelUnshuffle(2)", [(2, 3, 4, 6)]), ("ChannelShuffle(2)", [F4]),
    ("Unfold((2, 3), padding=1)", [F4]), ("Fold((4, 5), 2)", [(2, 8, 12)]),
    ("Upsample(scale_factor=2)", [F4]), ("Upsample((5, 9), mode='bilinear')", [F4]),
    ("Upsample(scale_factor=(2., 1.5), mode='bicubic', align_corners=True)", [F4]),
    ("Upsample(scale_factor=2, mode='trilinear')", [F5]),
    ("UpsamplingNearest2d(scale_factor=2)", [F4]), ("UpsamplingBilinear2d((9, 5))", [F4]),
    ("CosineSimilarity()", [(3, 5), (3, 5)]), ("CosineSimilarity(dim=0, eps=1.0)", [(3, 5), (3, 5)]),
    ("PairwiseDistance()", [(3, 5), (3, 5)]), ("PairwiseDistance(1.0, 0.1, True)", [(3, 5), (3, 5)]),
    ("Dropout(0.0)", [F4]), ("Dropout2d(0.0)", [F4]), ("AlphaDropout(0.0)", [F4]), ("Softmax2d()", [F4]),
    ("PReLU()", [F4]), ("PReLU(4, 0.1)", [F4]), ("GLU(1)", [F4]),
] + [(f"{name}Pad{n}d({padding})", [F5[:n + 2]]) for name in ("Zero", "Circular", "Reflection", "Replication")
     for n in (1, 2, 3) for padding in (1, tuple(range(2 * n))[::-1] if n < 3 else (1, 2, 0, 1, 2, 1))
     ] + [(f"ConstantPad{n}d({padding}, 3.5)", [F5[:n + 2]]) for n, padding in ((1, 2), (2, (1, 2, -1, 0)), (3, 1))
          ] + [(f"{name}()", [F4]) for name in (
              "ReLU", "ReLU6", "SELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Sigmoid", "Tanh", "Softsign",
              "LogSigmoid", "Tanhshrink", "LeakyReLU", "ELU", "CELU", "Softplus", "Hardshrink", "Softshrink",
              "Hardtanh", "GELU")] + [(source, [F4]) for source in (
                  "LeakyReLU(0.3)", "ELU(0.5)", "CELU(2.0)", "Threshold(0.1, 2.0)", "Softplus(2.0, 1.0)",
                  "Hardshrink(0.2)", "Softshrink(0.2)", "Hardtanh(-0.5, 0.3)", "GELU('tanh')", "Softmax(1)",
                  "LogSoftmax(dim=-1)", "Softmin(2)", "ReLU(inplace=True)", "LeakyReLU(0.1, True)")]


class Pair:
    """A module of each package, with the same parameters."""

    def __init__(self, source):
        torch.manual_seed(0)
        self.theirs, self.ours = (eval(source, {**vars(m.nn), "nn": m.nn, "m": m}) for m in SIDES)
        copy_state(self.theirs, self.ours)
        self.modules = self.theirs, self.ours

    def inputs(self, shapes):
        torch.manual_seed(1)
        theirs = [torch.randn(s, requires_grad=True) if not isinstance(s, torch.Tensor) else s for s in shapes]
        return theirs, [to_kiln(t) for t in theirs]

    def check(self, shapes, twice=True, tol=2e-5):
        """Outputs, gradients by inputs and parameters, and buffers, in training and evaluation."""
        for mode in (True, False) if twice else (True,):
            grads = []
            outs = []
            for m, net, xs in zip(SIDES, self.modules, self.inputs(shapes)):
                net.train(mode)
                net.zero_grad()
                changes = getattr(net, "inplace", False)
                out = flat(net(*(x * 1 for x in xs) if changes else xs))
                loss = sum(((o * o).sum() + o.sum()) for o in out if o.is_floating_point())
                loss.backward()
                outs.append(out)
                grads.append([x.grad for x in xs if x.requires_grad] + [p.grad for p in net.parameters()])
            for got, want in [*zip(outs[1], outs[0]), *zip(grads[1], grads[0])]:
                if want is None or got is None:
                    assert want is None and got is None, (want, got)
                else:
                    close(got, want, tol)
            for got, want in zip(self.ours.buffers(), self.theirs.buffers()):
                close(got, want, tol)


class Layers(unittest.TestCase):
    def test_values(self):
        for source, shapes in LAYERS:
            with self.subTest(source):
                Pair(source).check(shapes)

    def test_texts(self):
        for source, _ in LAYERS:
            with self.subTest(source):
                pair = Pair(source)
                self.assertEqual(repr(pair.ours), repr(pair.theirs))
                self.assertEqual([*pair.ours.state_dict()], [*pair.theirs.state_dict()])
                self.assertEqual([n for n, _ in pair.ours.named_parameters()],
                                 [n for n, _ in pair.theirs.named_parameters()])

    def test_more_texts(self):
        for source in ("Dropout()", "Dropout1d(0.2, True)", "FeatureAlphaDropout(0.1)", "Dropout3d()", "RReLU()",
                       "RReLU(0.1, 0.2, True)", "Embedding(5, 3, padding_idx=-1, max_norm=1.0)",
                       "Embedding(5, 3, norm_type=1.0, scale_grad_by_freq=True)", "EmbeddingBag(5, 3)",
                       "EmbeddingBag(5, 3, mode='sum', padding_idx=2, max_norm=2.0)", "MaxUnpool2d(2)"):
            with self.subTest(source):
                self.assertEqual(*(repr(eval(source, vars(m.nn))) for m in SIDES))

    def test_reset(self):
        """Fresh parameters stay within PyTorch's bounds."""
        for source in ("Linear(50, 40)", "Conv2d(4, 30, 3)", "ConvTranspose2d(4, 30, 3)", "Bilinear(9, 8, 7)"):
            theirs, ours = (eval(source, vars(m.nn)) for m in SIDES)
            for a, b in zip(ours.parameters(), theirs.parameters()):
                np.testing.assert_allclose(to_numpy(a).std(), to_numpy(b).std(), rtol=0.25)
                np.testing.assert_allclose(abs(to_numpy(a)).max(), abs(to_numpy(b)).max(), rtol=0.2)

    def test_gradient_functions(self):
        x, w, g = torch.randn(2, 4, 7), torch.randn(6, 2, 3), torch.randn(2, 6, 3)
        results = [(m.nn.grad.conv1d_input(x.shape, b, c, 2, 0, 1, 2), m.nn.grad.conv1d_weight(a, w.shape, c, 2, 0, 1, 2))
                   for m, (a, b, c) in zip(SIDES, ((x, w, g), map(to_kiln, (x, w, g))))]
        for theirs, ours in zip(*results):
            np.testing.assert_allclose(to_numpy(ours), to_numpy(theirs), 1e-4, 1e-5)

    def test_generators(self):
        """What init draws from a generator is what it draws without one of the same seed."""
        init = kiln.nn.init
        for f in (init.uniform_, init.normal_, init.trunc_normal_, init.xavier_uniform_, init.xavier_normal_,
                  init.kaiming_uniform_, init.kaiming_normal_, init.orthogonal_,
                  lambda t, generator=None: init.sparse_(t, 0.5, generator=generator)):
            kiln.manual_seed(3)
            plain = f(kiln.empty(4, 4))
            drawn = f(kiln.empty(4, 4), generator=kiln.Generator().manual_seed(3))
            self.assertTrue(kiln.equal(plain, drawn))

    def test_random(self):
        """Dropouts keep about the right share, and scale it."""
        kiln.manual_seed(0)
        x = kiln.ones(64, 64, 8)
        for source, share, value in (("Dropout(0.25)", 0.75, 1 / 0.75), ("Dropout1d(0.5)", 0.5, 2.0)):
            y = to_numpy(eval(source, vars(kiln.nn))(x))
            self.assertAlmostEqual((y != 0).mean(), share, delta=0.05)
            np.testing.assert_allclose(y[y != 0], value, 1e-6)
        y = to_numpy(kiln.nn.Dropout2d(0.5)(kiln.ones(8, 8, 4, 4)))
        self.assertEqual(set((y != 0).mean((2, 3)).ravel()), {0.0, 1.0})
        y = to_numpy(kiln.nn.Dropout1d(0.5)(x))  # each channel of each sample by itself
        self.assertEqual(set((y != 0).mean(2).ravel()), {0.0, 1.0})
        self.assertTrue(0 < (y != 0).any(2).mean(1).min() and (y != 0).any(2).mean(1).max() < 1)
        y = to_numpy(kiln.nn.Dropout1d(0.5)(x[0]))
        self.assertEqual(set((y != 0).mean(1).ravel()), {0.0, 1.0})
        y = to_numpy(kiln.nn.RReLU()(-x))
        self.assertTrue(-1 / 3 <= y.min() and y.max() <= -1 / 8 and y.std() > 0)
        self.assertEqual(kiln.nn.Dropout(0.5).eval()(x).sum().item(), x.sum().item())

    def test_unpooled(self):
        x = torch.randn(1, 2, 6, 6)
        outs = []
        for m, t in zip(SIDES, (x, to_kiln(x))):
            y, i = m.nn.MaxPool2d(2, return_indices=True)(t)
            outs.append((m.nn.MaxUnpool2d(2)(y, i), m.nn.MaxUnpool2d(2)(y, i, output_size=(6, 6))))
        for a, b in zip(outs[1], outs[0]):
            close(a, b)

    def test_fractional(self):
        for n, size in ((2, (9, 7)), (3, (5, 6, 7))):
            x, samples = torch.randn(2, 3, *size, requires_grad=True), torch.rand(2, 3, n)
            outs, k = [], to_kiln(x.detach()).requires_grad_()
            for m, t, s in zip(SIDES, (x, k), (samples, to_kiln(samples))):
                layer = getattr(m.nn, f"FractionalMaxPool{n}d")
                y, i = layer(2, output_ratio=0.6, return_indices=True, _random_samples=s)(t)
                y.square().sum().backward()
                outs.append((y, i, t.grad))
            for a, b in zip(outs[1], outs[0]):
                close(a, b)
            self.assertEqual(layer(2, output_size=3)(k).shape, (2, 3) + (3,) * n)

    def test_output_size(self):
        pair = Pair("ConvTranspose2d(4, 2, 3, stride=2, padding=1)")
        for xs, size in ((pair.inputs([F4]), (13, 12)), (pair.inputs([F4]), (2, 2, 14, 11))):
            close(pair.ours(xs[1][0], output_size=size), pair.theirs(xs[0][0], output_size=size))


class Tables(unittest.TestCase):
    def test_embedding(self):
        i = torch.tensor([[1, 2, 2], [4, 0, 1]])
        for source in ("Embedding(5, 3)", "Embedding(5, 3, padding_idx=2)", "Embedding(5, 3, max_norm=1.0)",
                       "Embedding(5, 3, scale_grad_by_freq=True)"):
            with self.subTest(source):
                Pair(source).check([i])

    def test_bags(self):
        i, offsets = torch.tensor([1, 2, 2, 4, 0, 1]), torch.tensor([0, 2, 2, 5])
        for mode in ("sum", "mean", "max"):
            with self.subTest(mode):
                Pair(f"EmbeddingBag(5, 3, mode='{mode}')").check([i, offsets])
                Pair(f"EmbeddingBag(5, 3, mode='{mode}', padding_idx=2)").check([i.view(2, 3)])

    def test_pretrained(self):
        w = torch.arange(6.).view(3, 2)
        for m, t in zip(SIDES, (w, to_kiln(w))):
            e = m.nn.Embedding.from_pretrained(t)
            self.assertFalse(e.weight.requires_grad)
            self.assertEqual(e(m.tensor([1])).tolist(), [[2, 3]])
            self.assertTrue(m.nn.EmbeddingBag.from_pretrained(t, freeze=False).weight.requires_grad)


P, T, C = (4, 5), "torch.rand(4, 5)", "torch.tensor([0, 4, 2, 2])"
SIGNS = "torch.tensor([1., -1., 1., 1.])"
LOSSES = [  # constructor, expressions of its arguments, the first of which has a gradient
    ("L1Loss({r})", ["torch.randn(4, 5)", T]), ("MSELoss({r})", ["torch.randn(4, 5)", T]),
    ("SmoothL1Loss({r}, beta=0.5)", ["torch.randn(4, 5)", T]), ("HuberLoss({r}, delta=0.5)", ["torch.randn(4, 5)", T]),
    ("CrossEntropyLoss({r})", ["torch.randn(4, 5)", C]),
    ("CrossEntropyLoss(m.tensor([1., 2., 3., 0.5, 1.]), {r}, ignore_index=2)", ["torch.randn(4, 5)", C]),
    ("CrossEntropyLoss({r}, label_smoothing=0.1)", ["torch.randn(4, 5)", C]),
    ("CrossEntropyLoss(m.tensor([1., 2., 3., 0.5, 1.]), {r}, label_smoothing=0.1)", ["torch.randn(4, 5)", C]),
    ("CrossEntropyLoss({r})", ["torch.randn(4, 5)", "torch.rand(4, 5).softmax(1)"]),
    ("CrossEntropyLoss(m.tensor([1., 2., 3., 0.5, 1.]), {r}, label_smoothing=0.2)",
     ["torch.randn(4, 5)", "torch.rand(4, 5).softmax(1)"]),
    ("CrossEntropyLoss({r})", ["torch.randn(2, 5, 3)", "torch.tensor([[0, 4, 2], [1, 1, 3]])"]),
    ("CrossEntropyLoss({r})", ["torch.randn(5)", "torch.tensor(3)"]),
    ("NLLLoss({r})", ["torch.randn(4, 5)", C]), ("NLLLoss(m.ones(5) * 2, {r}, ignore_index=4)", ["torch.randn(4, 5)", C]),
    ("BCELoss({r})", ["torch.rand(4, 5)", T]), ("BCELoss(m.ones(5) * 2, {r})", ["torch.rand(4, 5)", T]),
    ("BCEWithLogitsLoss({r})", ["torch.randn(4, 5)", T]),
    ("BCEWithLogitsLoss(m.ones(5) * 2, {r}, pos_weight=m.arange(5.))", ["torch.randn(4, 5)", T]),
    ("KLDivLoss({r})", ["torch.randn(4, 5)", T]), ("KLDivLoss({r}, log_target=True)", ["torch.randn(4, 5)", T]),
    ("PoissonNLLLoss({r})", ["torch.randn(4, 5)", T]),
    ("PoissonNLLLoss(log_input=False, full=True, {r})", ["torch.rand(4, 5) + 1", "torch.rand(4, 5) * 5"]),
    ("GaussianNLLLoss({r})", ["torch.randn(4, 5)", T, "torch.rand(4, 5)"]),
    ("GaussianNLLLoss(full=True, {r})", ["torch.randn(4, 5)", T, "torch.rand(4, 1)"]),
    ("HingeEmbeddingLoss(0.7, {r})", ["torch.randn(4)", SIGNS]),
    ("MarginRankingLoss(0.3, {r})", ["torch.randn(4)", "torch.randn(4)", SIGNS]),
    ("CosineEmbeddingLoss(0.2, {r})", ["torch.randn(4, 5)", "torch.randn(4, 5)", SIGNS]),
    ("TripletMarginLoss({r})", ["torch.randn(4, 5)", "torch.randn(4, 5)", "torch.randn(4, 5)"]),
    ("TripletMarginLoss(0.5, 1.0, swap=True, {r})", ["torch.randn(4, 5)", "torch.randn(4, 5)", "torch.randn(4, 5)"]),
    ("TripletMarginWithDistanceLoss(margin=2.0, swap=True, {r})",
     ["torch.randn(4, 5)", "torch.randn(4, 5)", "torch.randn(4, 5)"]),
    ("MultiMarginLoss({r})", ["torch.randn(4, 5)", C]), ("MultiMarginLoss(2, 0.5, m.arange(5.), {r})", ["torch.randn(4, 5)", C]),
    ("MultiLabelMarginLoss({r})", ["torch.randn(2, 4)", "torch.tensor([[3, 0, -1, 1], [1, -1, 0, 0]])"]),
    ("MultiLabelSoftMarginLoss({r})", ["torch.randn(4, 5)", "(torch.rand(4, 5) > 0.5).float()"]),
    ("SoftMarginLoss({r})", ["torch.randn(4)", SIGNS]),
]


class Losses(unittest.TestCase):
    def test_values(self):
        for source, args in LOSSES:
            for r in ("mean", "sum", "none"):
                with self.subTest(source, reduction=r):
                    torch.manual_seed(2)
                    theirs = [eval(a) for a in args]
                    theirs[0].requires_grad_()
                    results = []
                    for m, xs in zip(SIDES, (theirs, [to_kiln(t) for t in theirs])):
                        loss = eval(source.format(r=f"reduction='{r}'"), {**vars(m.nn), "m": m})
                        y = loss(*xs)
                        y.sum().backward()
                        results.append((y, xs[0].grad, repr(loss), [*loss.state_dict()]))
                    close(results[1][0], results[0][0])
                    close(results[1][1], results[0][1])
                    self.assertEqual(results[1][2:], results[0][2:])

    def test_kl_batchmean(self):
        x, y = torch.randn(4, 5), torch.rand(4, 5)
        close(kiln.nn.KLDivLoss(reduction="batchmean")(to_kiln(x), to_kiln(y)),
              torch.nn.KLDivLoss(reduction="batchmean")(x, y))


NETS = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.heads = nn.ModuleList([nn.Linear(36, 3) for _ in range(3)])
        self.by_name = nn.ModuleDict({'a': nn.Linear(3, 2), 'b': nn.Dropout(0.0)})
        self.scales = nn.ParameterList([nn.Parameter(m.ones(3)), m.zeros(2), 7])
        self.named = nn.ParameterDict({'w': nn.Parameter(m.ones(2)), 'v': m.zeros(1)})
        self.register_buffer('count', m.zeros(1))
        self.register_buffer('scratch', m.ones(1), persistent=False)

    def forward(self, x):
        h = self.body(x)
        h = sum(head(h) for head in self.heads) * self.scales[0]
        return self.by_name['b'](self.by_name['a'](h)) * self.named['w']
net = Net()
"""


class Trees(unittest.TestCase):
    def nets(self):
        envs = []
        for m in SIDES:
            env = {"m": m, "nn": m.nn}
            exec(NETS, env)
            envs.append(env["net"])
        copy_state(*envs)
        return envs

    def test_net(self):
        theirs, ours = self.nets()
        self.assertEqual(repr(ours), repr(theirs))
        for walk in ("named_parameters", "named_buffers", "named_modules", "named_children"):
            self.assertEqual([n for n, _ in getattr(ours, walk)()], [n for n, _ in getattr(theirs, walk)()])
        self.assertEqual([*ours.state_dict()], [*theirs.state_dict()])
        self.assertEqual(dict(ours.state_dict()._metadata), dict(theirs.state_dict()._metadata))
        x = torch.randn(2, 1, 8, 8)
        close(ours(to_kiln(x)), theirs(x))
        self.assertEqual(ours.get_submodule("body.0").kernel_size, (3, 3))
        self.assertIs(ours.get_parameter("named.w"), ours.named["w"])
        self.assertIs(ours.get_buffer("count"), ours.count)

    def test_modes(self):
        for net in self.nets():
            self.assertFalse(net.eval().body[1].training)
            self.assertTrue(net.train().by_name["b"].training)
            net.requires_grad_(False)
            self.assertFalse(any(p.requires_grad for p in net.parameters()))
            net.requires_grad_()
            net.double()
            self.assertEqual({str(p.dtype) for p in net.parameters()}, {"torch.float64"})
            self.assertEqual(str(net.body[1].num_batches_tracked.dtype), "torch.int64")
            net.half().bfloat16().float().to("cpu")
            self.assertEqual(str(net.to(net.count.dtype).count.dtype), "torch.float32")
            seen = []
            net.apply(lambda m: seen.append(type(m).__name__))
            self.assertEqual(seen[-1], "Net")

    def test_copies(self):
        theirs, ours = self.nets()
        again = copy.deepcopy(ours)
        with kiln.no_grad():
            again.heads[0].weight.zero_()
        self.assertNotEqual(ours.heads[0].weight.abs().sum().item(), 0)
        layer = pickle.loads(pickle.dumps(kiln.nn.Linear(2, 3)))
        self.assertEqual(layer(kiln.ones(1, 2)).shape, (1, 3))

    def test_saved(self):
        """A checkpoint of one package read by the other, as training code writes it."""
        theirs, ours = self.nets()
        for m, net, other in ((torch, theirs, kiln), (kiln, ours, torch)):
            opt = m.optim.Adam(net.parameters())
            net(m.ones(2, 1, 8, 8)).sum().backward()
            opt.step()
            file = io.BytesIO()
            m.save({"model": net.state_dict(), "optimizer": opt.state_dict(), "epoch": 3}, file)
            for reader in (m, other):
                file.seek(0)
                saved = reader.load(file)
                self.assertEqual([*saved["model"]], [*net.state_dict()])
                self.assertEqual(saved["model"]["heads.0.bias"].tolist(), net.heads[0].bias.tolist())
                self.assertEqual(len(saved["optimizer"]["state"]), len(opt.state_dict()["state"]))
                (theirs if reader is torch else ours).load_state_dict(saved["model"])

    def test_lists(self):
        lines = ["s.append(nn.Tanh())", "s.insert(1, nn.ReLU())", "s.extend([nn.ELU()])", "s.pop(0)", "del s[0]",
                 "s.__setitem__(0, nn.GELU())", "s.__setitem__(-1, nn.SiLU())", "del s[0:1]"]
        for kind in ("Sequential(nn.ReLU(), nn.ELU())", "ModuleList([nn.ReLU(), nn.ELU()])"):
            texts = []
            for m in SIDES:
                env = {"nn": m.nn, "m": m}
                exec(f"s = nn.{kind}", env)
                texts.append([])
                for line in lines:
                    exec(line, env)
                    texts[-1].append((repr(env["s"]), len(env["s"]), repr(env["s"][-1]), repr(env["s"][:2])))
            self.assertEqual(*texts)
        for source in ("nn.Sequential(nn.ReLU()) + nn.Sequential(nn.Tanh())", "nn.Sequential(nn.ReLU()) * 2",
                       "nn.ModuleList([nn.ReLU()]) + [nn.ELU()]", "nn.ModuleList([nn.ReLU()] * 2 + [nn.ELU()] * 3)",
                       "nn.ModuleDict([['a', nn.ReLU()]])", "list(nn.ModuleDict({'b': nn.ReLU(), 'a': nn.ELU()}))",
                       "nn.ParameterList([m.ones(2), nn.Parameter(m.ones(2, 3)), 'x'])",
                       "nn.ParameterList([m.ones(2)]) + [] if 0 else nn.ParameterList([m.ones(1), m.zeros(2)])[1:]",
                       "nn.ParameterDict({'b': m.ones(2), 'a': 3})", "nn.ParameterDict({'b': m.ones(2)}) | {'a': m.ones(1)}",
                       "sorted(nn.ParameterDict({'b': m.ones(2)}).keys())", "nn.ParameterDict().fromkeys(['a'], 1)",
                       "nn.ModuleList()", "nn.Sequential()"):
            with self.subTest(source):
                self.assertEqual(*(repr(eval(source, {"nn": m.nn, "m": m})) for m in SIDES))


class Hooks(unittest.TestCase):
    def test_tables(self):
        for m in (torch, kiln):
            net, hook = m.nn.Linear(2, 2), lambda *a: None
            h = net.register_forward_pre_hook(hook, with_kwargs=True)
            g = net.register_forward_hook(hook, always_call=True)
            self.assertEqual((list(net._forward_pre_hooks.values()), list(net._forward_hooks.values())),
                             ([hook], [hook]))
            h.remove()
            g.remove()
            self.assertEqual((len(net._forward_pre_hooks), len(net._forward_hooks),
                              len(net._forward_pre_hooks_with_kwargs)), (0, 0, 0))

    def test_order(self):
        logs = []
        for m in SIDES:
            log, net = [], m.nn.Linear(2, 2, bias=False)
            with m.no_grad():
                net.weight.fill_(0.5)
            net.register_forward_pre_hook(lambda mod, a: log.append(("pre", len(a))))
            net.register_forward_pre_hook(lambda mod, a: (a[0] * 2,))
            net.register_forward_pre_hook(lambda mod, a, k: log.append(("first", len(k))), prepend=True, with_kwargs=True)
            net.register_forward_hook(lambda mod, a, out: log.append(("post", out.tolist())))
            h = net.register_forward_hook(lambda mod, a, out: out + 1)
            net.register_full_backward_pre_hook(lambda mod, g: log.append(("grads", g[0].tolist())))
            net.register_full_backward_hook(lambda mod, gi, go: log.append(("back", None if gi[0] is None else gi[0].tolist(), go[0].tolist())))
            net.register_full_backward_hook(lambda mod, gi, go: None if gi[0] is None else (gi[0] * 3,))
            x = m.ones(1, 2, requires_grad=True)
            y = net(x)
            y.sum().backward()
            log.append((y.tolist(), x.grad.tolist(), net.weight.grad.tolist()))
            h.remove()
            log.append(net(m.ones(1, 2)).tolist())
            net(m.ones(1, 2)).sum().backward()
            logs.append(log)
        self.assertEqual(logs[1], logs[0])

    def test_where_not_all_is_tensors(self):
        for m in SIDES:
            class Named(m.nn.Module):
                def forward(self, name, x):
                    return x * 2, name

            seen, net = [], Named()
            net.register_full_backward_hook(lambda mod, gi, go: seen.append((gi[0], gi[1].tolist(), go[0].tolist(), go[1])))
            net("a", m.ones(1, requires_grad=True))[0].sum().backward()
            self.assertEqual(seen, [(None, [2.0], [1.0], None)])

    def test_always(self):
        for m in SIDES:
            log, net = [], m.nn.Linear(2, 2)
            net.register_forward_hook(lambda mod, a, out: log.append(out), always_call=True)
            with self.assertRaises(RuntimeError):
                net(m.ones(1, 3))
            self.assertEqual(log, [None])

    def test_of_all_modules(self):
        """Hooks of every module come before a module's own."""
        def run(m):
            seen, at = [], m.nn.modules.module

            def note(name):
                return lambda *a: seen.append((name, type(a[0]).__name__))

            handles = [at.register_module_forward_pre_hook(note("before")),
                       at.register_module_forward_hook(note("after")),
                       at.register_module_full_backward_hook(note("back")),
                       at.register_module_parameter_registration_hook(
                           lambda mod, name, p: seen.append(name))]
            net = m.nn.Sequential(m.nn.Linear(1, 1), m.nn.Tanh())
            net[1].register_forward_hook(note("own"))
            net(m.ones(1, 1, requires_grad=True)).sum().backward()
            for h in handles:
                h.remove()
            net(m.ones(1, 1))
            return seen

        self.assertEqual(run(kiln), run(torch))

    def test_sync_batch_norm(self):
        for m in SIDES:
            net = m.nn.Sequential(m.nn.Linear(2, 2), m.nn.BatchNorm1d(2))
            made = m.nn.SyncBatchNorm.convert_sync_batchnorm(net)
            self.assertEqual(repr(made[1]).partition("(")[0], "SyncBatchNorm")
            self.assertIs(made[1].weight, net[1].weight)
        x, plain = kiln.rand(4, 2), kiln.nn.BatchNorm1d(2)
        self.assertEqual(made[1](x).tolist(), plain(x).tolist())

    def test_state(self):
        for m in SIDES:
            log, net = [], m.nn.Linear(2, 2)
            net.register_state_dict_pre_hook(lambda mod, p, k: log.append("before"))
            net.register_state_dict_post_hook(lambda mod, d, p, meta: d.update(more=m.ones(1)))
            net.register_load_state_dict_pre_hook(lambda mod, d, *rest: d.pop("more"))
            net.register_load_state_dict_post_hook(lambda mod, keys: log.append(len(keys.missing_keys)))
            state = net.state_dict()
            self.assertIn("more", state)
            self.assertEqual(str(net.load_state_dict(state)), "<All keys matched successfully>")
            self.assertEqual(log, ["before", 0])


WRONG = [
    "nn.Conv2d(3, 4, 3, groups=2)", "nn.Conv2d(4, 3, 3, groups=2)", "nn.Conv2d(4, 4, 3, groups=0)",
    "nn.Conv2d(4, 4, 3, stride=2, padding='same')", "nn.ConvTranspose2d(4, 4, 3, padding_mode='circular')",
    "nn.LPPool1d(0, 2)", "nn.Dropout(1.5)", "nn.GroupNorm(3, 4)", "nn.BatchNorm2d(3)(m.ones(2, 3))",
    "nn.BatchNorm1d(3)(m.ones(2, 3, 4, 5))", "nn.InstanceNorm2d(3)(m.ones(2, 3))",
    "nn.InstanceNorm2d(3, affine=True)(m.ones(2, 4, 5, 5))", "nn.Unflatten(1, 3)", "nn.Unflatten(1, (2, 'a'))",
    "nn.Embedding(3, 2, padding_idx=5)", "nn.Embedding(3, 2, _weight=m.ones(2, 2))",
    "nn.Embedding.from_pretrained(m.ones(2))", "nn.EmbeddingBag(3, 2, padding_idx=-7)", "nn.Softmax(dim='a')",
    "nn.Softmax2d()(m.ones(2))", "nn.Hardtanh(1, 0)", "nn.HuberLoss(delta='a')", "nn.MultiMarginLoss(p=3)",
    "nn.TripletMarginLoss(margin=0)", "nn.CircularPad2d(1)(m.ones(2))", "nn.Bilinear(0, 2, 3)",
    "nn.Module().register_buffer('a.b', None)", "nn.Module().register_buffer('', None)",
    "nn.Module().register_buffer(3, None)", "nn.Module().register_buffer('a', 3)",
    "nn.Module().register_buffer('training', None)", "nn.Module().register_parameter('a', m.ones(1))",
    "nn.Module().register_parameter('a.b', None)", "nn.Module().add_module('a.b', nn.ReLU())",
    "nn.Module().add_module('a', 3)", "nn.Module().add_module('', nn.ReLU())", "nn.Module().foo", "nn.Module()(1)",
    "nn.Linear(2, 3).__setattr__('weight', 3)", "nn.Linear(2, 3).__setattr__('weight', m.ones(1))",
    "nn.BatchNorm1d(3).__setattr__('running_mean', 3)", "nn.Sequential(nn.ReLU()).__setattr__('0', 3)",
    "nn.Linear(2, 3).to(m.int64)", "nn.Linear(2, 3).train('a')", "nn.Sequential(nn.ReLU())[3]",
    "nn.Sequential(nn.ReLU()) + 3", "nn.Sequential(nn.ReLU()) * 0", "nn.Sequential(nn.ReLU()) * 'a'",
    "nn.Sequential().insert(3, nn.ReLU())", "nn.Sequential().insert(0, 3)", "nn.ModuleList(3)", "nn.ModuleList([3])",
    "nn.ModuleList()[0]", "nn.ModuleDict(3)", "nn.ModuleDict([3])", "nn.ModuleDict([[1]])", "nn.ModuleDict({'a': 3})",
    "nn.ParameterList(3)", "nn.ParameterList()()", "nn.ParameterDict({3: m.ones(1)})", "nn.ParameterDict()(1)",
    "nn.Linear(2, 3).get_submodule('a')", "nn.Linear(2, 3).get_submodule('weight')",
    "nn.Linear(2, 3).get_parameter('a')", "nn.Linear(2, 3).get_parameter('in_features')",
    "nn.Linear(2, 3).get_buffer('weight')", "nn.Linear(2, 3).load_state_dict(3)",
    "nn.Linear(2, 3).set_submodule('', nn.ReLU())", "nn.Linear(2, 3).set_submodule('a', 3)",
    "nn.Threshold(0.1, 0.2, False, 3)", "nn.ConvTranspose2d(1, 1, 3)(m.ones(1, 1, 4, 4), output_size=(9, 9))",
    "nn.ConvTranspose2d(1, 1, 3)(m.ones(1, 1, 4, 4), output_size=(9,))",
]


class Refusals(unittest.TestCase):
    def test_texts(self):
        for source in WRONG:
            theirs, ours = said(source, {})
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual(ours, theirs)

    def test_state(self):
        for change in ("d.pop('0.weight')", "d.update(x=m.ones(1))", "d.update({'0.weight': m.ones(3, 3)})",
                       "d.update({'0.bias': 7})", "d.clear()", "d.update({'0.x.y': m.ones(1), '1.bias': m.ones(7)})"):
            texts = []
            for m in SIDES:
                net = m.nn.Sequential(m.nn.Linear(2, 3), m.nn.BatchNorm1d(3))
                d = net.state_dict()
                exec(change, {"d": d, "m": m})
                try:
                    net.load_state_dict(d)
                    texts.append(None)
                except RuntimeError as e:
                    texts.append(str(e))
                texts.append(str(net.load_state_dict({k: v for k, v in d.items() if "weight" not in k and k != "0.bias"
                                                      and k != "1.bias"}, strict=False)))
            with self.subTest(change):
                self.assertEqual(texts[2:], texts[:2])

    def test_before_init(self):
        for m in SIDES:
            class Early(m.nn.Module):
                def __init__(self, what):
                    self.a = what

            for what, word in ((m.nn.Parameter(m.ones(1)), "parameters"), (m.nn.ReLU(), "module")):
                with self.assertRaisesRegex(AttributeError, f"cannot assign {word} before Module"):
                    Early(what)




class Utils(unittest.TestCase):
    def test_clipping(self):
        for norm, most in ((2.0, 1.0), (1.0, 0.5), (float("inf"), 0.1), (2.0, 100.0)):
            results = []
            for m in SIDES:
                p = [m.ones(3, requires_grad=True), m.ones(2, 2, requires_grad=True), m.ones(1, requires_grad=True)]
                (p[0] * 3).sum().backward()
                (p[1] * p[1] * -2).sum().backward()
                total = m.nn.utils.clip_grad_norm_(p, most, norm_type=norm)
                results.append([total, p[0].grad, p[1].grad])
            for a, b in zip(results[1], results[0]):
                close(a, b)
        for m in SIDES:
            p = m.ones(3, requires_grad=True)
            (p * m.tensor([1., -5., 9.])).sum().backward()
            m.nn.utils.clip_grad_value_(p, 2.0)
            self.assertEqual(p.grad.tolist(), [1, -2, 2])

    def test_vectors(self):
        for m in SIDES:
            net = m.nn.Linear(2, 3)
            v = m.nn.utils.parameters_to_vector(net.parameters())
            m.nn.utils.vector_to_parameters(m.arange(9.), net.parameters())
            self.assertEqual((tuple(v.shape), net.bias.tolist()), ((9,), [6, 7, 8]))
            self.assertTrue(net.weight.requires_grad)


LAZY = [("LazyLinear(3)", (2, 4)), ("LazyConv1d(3, 2)", (2, 4, 5)), ("LazyConv2d(3, 2, padding=1, bias=False)", (2, 4, 5, 5)),
        ("LazyConvTranspose2d(4, 2, 2, groups=2)", (2, 4, 5, 5)), ("LazyBatchNorm1d()", (3, 4)),
        ("LazyBatchNorm2d(affine=False)", (2, 4, 3, 3)), ("LazyInstanceNorm1d()", (2, 4, 5)), ("LazyConv3d(2, 1)", (1, 2, 3, 3, 3))]


class Lazy(unittest.TestCase):
    def test_layers(self):
        for source, shape in LAZY:
            with self.subTest(source), warnings.catch_warnings():
                warnings.simplefilter("ignore")
                nets = [eval(source, vars(m.nn)) for m in SIDES]
                self.assertEqual(*map(repr, nets))
                self.assertTrue(nets[1].has_uninitialized_params())
                for m, net in zip(SIDES, nets):
                    net(m.ones(shape))
                self.assertEqual(*map(repr, nets))
                self.assertEqual(*([*net.state_dict()] for net in nets))
                copy_state(*nets)
                x = torch.randn(shape)
                close(nets[1](to_kiln(x)), nets[0](x))

    def test_loaded(self):
        net = kiln.nn.LazyLinear(3)
        net.load_state_dict(kiln.nn.Linear(4, 3).state_dict())
        self.assertEqual(net(kiln.ones(2, 4)).shape, (2, 3))
        self.assertEqual(type(net), kiln.nn.Linear)

    def test_refused(self):
        for source in ("nn.LazyConv1d(3, 2)(m.ones(2))", "nn.LazyConv2d(4, 2, groups=2)(m.ones(1, 3, 4, 4))",
                       "nn.LazyLinear(3).weight.shape"):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                theirs, ours = said(source, {})
            with self.subTest(source):
                self.assertIsNotNone(theirs)
                self.assertEqual(ours, theirs)


class More(unittest.TestCase):
    def test_weight_norm(self):
        for source, dim in (("Linear(3, 4)", 0), ("Linear(3, 4)", 1), ("Conv2d(2, 3, 2)", 0)):
            nets = [eval(source, vars(m.nn)) for m in SIDES]
            copy_state(*nets)
            x = torch.randn(2, 3) if "Linear" in source else torch.randn(1, 2, 4, 4)
            outs = []
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                for m, net, x2 in zip(SIDES, nets, (x, to_kiln(x))):
                    m.nn.utils.weight_norm(net, dim=dim)
                    y = net(x2)
                    y.sum().backward()
                    outs.append([y, net.weight_g.grad, net.weight_v.grad, net.weight_g])
                    self.assertRaises(RuntimeError, m.nn.utils.weight_norm, net)
            for a, b in zip(outs[1], outs[0]):
                close(a, b)
            self.assertEqual(*([*net.state_dict()] for net in nets))
            for m, net in zip(SIDES, nets):
                m.nn.utils.remove_weight_norm(net)
                self.assertRaises(ValueError, m.nn.utils.remove_weight_norm, net)
            self.assertEqual(*([*net.state_dict()] for net in nets))

    def test_spectral_norm(self):
        for source in ("Linear(3, 4)", "ConvTranspose2d(2, 3, 2)"):
            nets = [eval(source, vars(m.nn)) for m in SIDES]
            x = torch.randn(2, 3) if "Linear" in source else torch.randn(1, 2, 4, 4)
            for m, net in zip(SIDES, nets):
                m.nn.utils.spectral_norm(net, n_power_iterations=2)
                self.assertRaises(RuntimeError, m.nn.utils.spectral_norm, net)
            copy_state(*nets)
            outs = []
            for net, x2 in zip(nets, (x, to_kiln(x))):
                y = net(x2) - 2 * net(x2)
                (y * y).sum().backward()
                outs.append([y, net.weight_orig.grad, net.weight_u, net.weight_v, net.eval()(x2)])
            for a, b in zip(outs[1], outs[0]):
                close(a, b)
            self.assertEqual(*([*net.state_dict()] for net in nets))
            for m, net in zip(SIDES, nets):
                m.nn.utils.remove_spectral_norm(net)
                self.assertRaises(ValueError, m.nn.utils.remove_spectral_norm, net)
            close(nets[1].weight, nets[0].weight)
        self.assertRaisesRegex(ValueError, "Expected n_power_iterations to be positive",
                               kiln.nn.utils.spectral_norm, nets[1], n_power_iterations=0)

    def test_adaptive_softmax(self):
        pair = Pair("AdaptiveLogSoftmaxWithLoss(6, 20, [4, 9], div_value=2.0, head_bias=True)")
        target, grads = torch.tensor([0, 5, 19, 3, 9, 8]), []
        for net, xs, t in zip(pair.modules, pair.inputs([(6, 6)]), (target, to_kiln(target))):
            out = net(xs[0], t)
            out.loss.backward()
            grads.append([*out, xs[0].grad, net.log_prob(xs[0]), net.predict(xs[0]),
                          net(xs[0][1], t[1]).output, *(p.grad for p in net.parameters())])
        for a, b in zip(grads[1], grads[0]):
            close(a, b)
        ours, x = pair.ours, xs[0]
        for args, text in (((x, t + 2), r"Target values should be in \[0, 19\]"), ((x, t[:2]), "same size in"),
                           ((x[0], t[:6]), "1D target tensor expects 2D input"), ((x, t[None]), "0D or 1D target")):
            self.assertRaisesRegex(RuntimeError, text, ours, *args)
        for cutoffs in ([], [3, 2], [0], [20], [2, 2]):
            self.assertRaisesRegex(ValueError, "cutoffs should be", kiln.nn.AdaptiveLogSoftmaxWithLoss, 6, 20, cutoffs)

    def test_linear_cross_entropy(self):
        pair = Pair("LinearCrossEntropyLoss(5, 3, out_features=(2,), bias=True, label_smoothing=0.1)")
        target, outs = torch.tensor([[0, 2], [1, 1], [2, 0], [0, 0]]), []
        for net, xs, t in zip(pair.modules, pair.inputs([(4, 5)]), (target, to_kiln(target))):
            y = net(xs[0], t)
            y.backward()
            outs.append([y, xs[0].grad, net.linear.weight.grad, net.linear.bias.grad])
        for a, b in zip(outs[1], outs[0]):
            close(a, b)
        f, ones = kiln.nn.functional.linear_cross_entropy, kiln.ones
        for args, text in (((ones(1, 2, 3), ones(4, 3), t), "expected input with dimensionality 1 or 2, got 3"),
                           ((ones(2, 3), ones(3), t), "expected linear_weight with dimensionality at least 2"),
                           ((ones(2, 3), ones(4, 2), t), "expected equal input and linear_weight last dim"),
                           ((ones(3), ones(4, 2, 3), t), "K-dimensional loss defined by linear_weight")):
            self.assertRaisesRegex(RuntimeError, text, f, *args)

    def test_in_place(self):
        for source in ("relu_(x)", "elu_(x, 0.5)", "leaky_relu_(x)", "hardtanh_(x, -0.1, 0.1)", "threshold_(x, 0.0, 3.0)"):
            outs = []
            for m in SIDES:
                x = m.tensor([-1.0, 0.5, 2.0])
                self.assertIs(eval("m.nn.functional." + source), x)
                outs.append(x)
            close(outs[1], outs[0])

    def test_gumbel(self):
        kiln.manual_seed(0)
        x = kiln.tensor([0.0, 1.0, 2.0]).repeat(2000, 1).requires_grad_()
        y = kiln.nn.functional.gumbel_softmax(x, hard=True)
        self.assertEqual(set(to_numpy(y).ravel()), {0.0, 1.0})
        np.testing.assert_allclose(to_numpy(y).mean(0), np.exp([0, 1, 2]) / np.exp([0, 1, 2]).sum(), atol=0.04)
        (y * y.detach()).sum().backward()
        self.assertGreater(x.grad.abs().sum().item(), 0)
        np.testing.assert_allclose(to_numpy(kiln.nn.functional.gumbel_softmax(x, 0.5)).sum(1), 1, 1e-5)

    def test_clip_with_norm(self):
        for m in SIDES:
            p = m.ones(2, requires_grad=True)
            (p * 3).sum().backward()
            m.nn.utils.clip_grads_with_norm_([p], 1.0, m.tensor(6.0))
            np.testing.assert_allclose(p.grad.tolist(), [0.5, 0.5], 1e-5)


class Mistakes(unittest.TestCase):
    def test_sizes(self):
        """Targets of other sizes than inputs, and one value that is to be normalised."""
        sources = [f"F.{f}(m.ones(3, 1) / 2, m.ones(3))" for f in (
            "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
            "binary_cross_entropy_with_logits")]
        sources += ["nn.BatchNorm1d(2)(m.ones(1, 2))", "nn.BatchNorm2d(2)(m.ones(1, 2, 1, 1))",
                    "nn.InstanceNorm2d(2)(m.ones(3, 2, 1, 1))", "F.instance_norm(m.ones(3))",
                    "nn.BatchNorm1d(2).eval()(m.ones(1, 2))"]
        for source in sources:
            heard = []
            for m in SIDES:
                with warnings.catch_warnings(record=True) as w:
                    warnings.simplefilter("always")
                    try:
                        eval(source, {"m": m, "nn": m.nn, "F": m.nn.functional})
                    except ValueError as e:
                        heard.append(str(e))
                        continue
                heard.append([str(v.message) for v in w])
            with self.subTest(source):
                self.assertEqual(heard[1], heard[0])


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    unittest.main()
