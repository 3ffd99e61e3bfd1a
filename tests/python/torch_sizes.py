"""torch_sizes.py: models whose sizes vary, through torch.compile(backend="kiln", dynamic=True).

    python3 tests/python/torch_sizes.py [NAME..]

Forward and a training step each at several sizes, against eager PyTorch; every operation native,
one graph of Dynamo's for all sizes (of a GRU, whose length Dynamo fixes, one for each), and one program
for each direction. The last line is
"N passed, N failed"."""
import copy
import os
import sys
import warnings

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import sympy  # noqa: E402
import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils._sympy.functions import FloorDiv, Max, Min, Mod, PythonMod  # noqa: E402

import kiln.torch  # noqa: E402
from kiln.torch import graph  # noqa: E402
from kiln.torch.sizes import function_of  # noqa: E402
from torch_models import GPT, Last, Residual  # noqa: E402

MODELS = {}


def model(*sizes, graphs=1):
    """A function that gives a module and a function from a size to its arguments. graphs: how many
    Dynamo makes, each of two programs."""
    def take(f):
        MODELS[f.__name__] = (f, sizes, graphs)
        return f

    return take


def images(*size):
    return torch.randn(size[0], 3, *size[1:])


IMAGES = (2, 32, 36), (3, 40, 40), (2, 33, 47), (5, 57, 34), (4, 64, 41)
TEXTS = (2, 8), (3, 11), (5, 16), (2, 7)


class Unet(nn.Module):
    """Down twice, up twice, what was on the way down beside it."""

    def __init__(self):
        super().__init__()
        self.a, self.b, self.c = (nn.Conv2d(i, o, 3, padding=1) for i, o in
                                  ((3, 4), (4, 8), (12, 2)))

    def forward(self, x):
        a = F.relu(self.a(x))
        b = F.relu(self.b(F.max_pool2d(a, 2)))
        b = F.interpolate(b, size=a.shape[2:], mode="nearest")
        return self.c(torch.cat([a, b], 1))


class Tokens(nn.Module):
    """A classifier of texts: embeddings, encoder layers, the mean of all tokens."""

    def __init__(self, dropout=0.0):
        super().__init__()
        self.words = nn.Embedding(50, 32)
        layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=dropout, batch_first=True)
        self.encoder, self.out = nn.TransformerEncoder(layer, 2), nn.Linear(32, 3)

    def forward(self, tokens):
        return self.out(self.encoder(self.words(tokens)).mean(1))


@model((8, 64), (3, 64), (17, 64))
def mlp():
    return (nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), torch.randn)


@model((8, 16), (3, 16), (17, 16))
def batch_norm():
    return (nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4)),
            torch.randn)


@model((2, 32, 32), (3, 32, 32), (7, 32, 32))
def cnn_batch():
    return cnn()


@model(*IMAGES)
def cnn():
    return (nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2),
                          nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)),
            images)


@model(*IMAGES)
def residual():
    return (nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(),
                          nn.MaxPool2d(3, 2, 1), Residual(8), nn.Conv2d(8, 8, 1, 2),
                          nn.AdaptiveAvgPool2d((1, 1)), nn.Flatten(), nn.Linear(8, 10)), images)


@model(*IMAGES)
def pools():
    return (nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.AvgPool2d(3, 2, 1),
                          nn.MaxPool2d(3, 2, ceil_mode=True), nn.Conv2d(4, 4, 2)), images)


@model(*IMAGES)
def unet():
    return Unet(), images


@model(*IMAGES)
def adaptive():
    return (nn.Sequential(nn.Conv2d(3, 4, 3, 2), nn.AdaptiveAvgPool2d(7), nn.Flatten(),
                          nn.Linear(4 * 49, 5)), images)


class ChannelsLast(nn.Module):
    """PyTorch lays the pooled channels by as_strided."""

    def __init__(self):
        super().__init__()
        self.c, self.n = nn.Conv2d(3, 8, 4, 4), nn.LayerNorm(8)

    def forward(self, x):
        return F.adaptive_avg_pool2d(self.n(self.c(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2), 1)


@model((2, 64, 64), (5, 64, 64), (3, 96, 96))
def channels_last():
    return ChannelsLast(), images


@model((2, 32, 36), (3, 40, 40), (2, 32, 48), (3, 61, 38))
def pyramid():
    return (nn.Sequential(nn.Conv2d(3, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(8, 8, 3, 1, 1), nn.ReLU(), nn.MaxPool2d(2),
                          nn.AdaptiveAvgPool2d((4, 4)), nn.Flatten(), nn.Linear(128, 3)), images)


@model(*IMAGES)
def grouped():
    return (nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.GroupNorm(2, 8), nn.SiLU(),
                          nn.Conv2d(8, 8, 3, 1, 1, groups=8),
                          nn.Upsample(scale_factor=2, mode="bilinear"), nn.Conv2d(8, 3, 1)), images)


@model((2, 30), (3, 41), (5, 66))
def sound():
    return (nn.Sequential(nn.Conv1d(4, 8, 5, 2), nn.ReLU(), nn.Conv1d(8, 8, 3, 2, 1),
                          nn.BatchNorm1d(8), nn.AdaptiveMaxPool1d(1), nn.Flatten(),
                          nn.Linear(8, 3)), lambda b, t: torch.randn(b, 4, t))


@model(*IMAGES)
def transposed():
    return (nn.Sequential(nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(),
                          nn.ConvTranspose2d(4, 3, 4, 2, 1), nn.Tanh()), images)


@model(*TEXTS)
def encoder():
    return Tokens(), lambda *size: torch.randint(0, 50, size)


@model(*TEXTS)
def gpt():
    return GPT(), lambda *size: torch.randint(0, 50, size)


@model(*TEXTS)
def lstm():
    return Last(nn.LSTM(6, 16, batch_first=True), 16, 3), lambda *size: torch.randn(*size, 6)


@model(*TEXTS)
def lstm_both_ways():
    return (Last(nn.LSTM(6, 16, 2, batch_first=True, bidirectional=True), 32, 3),
            lambda *size: torch.randn(*size, 6))


@model(*TEXTS, graphs=4)
def gru():
    return Last(nn.GRU(8, 16, batch_first=True), 16, 3), lambda *size: torch.randn(*size, 8)


# ---- counting and comparing ----

made = []


def counted(cls):
    before = cls.caller

    def caller(self, results):
        got = before(self, results)
        made.append(cls.__name__)
        return got

    cls.caller = caller


counted(graph.Plan)


class Sharper(nn.Module):
    """Borders reflected, standardised by hand, pixels moved from channels into space."""

    def __init__(self):
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1, padding_mode="reflect")

    def forward(self, x):
        y = self.a(F.pad(x, (2, 1, 1, 2), mode="replicate"))
        y = (y - y.mean((2, 3), keepdim=True)) / y.std((2, 3), keepdim=True)
        return F.pixel_shuffle(y, 2) / y.var() + x.size(2) / 3


@model(*IMAGES)
def sharper():
    return Sharper(), images


class Merged(nn.Module):
    """Patches merged four into one, as of windows of attention: their numbers are even."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 4, 2, 2), nn.Linear(16, 8)

    def forward(self, x):
        y = self.a(x).permute(0, 2, 3, 1)
        return self.b(torch.cat([y[:, i::2, j::2] for j in (0, 1) for i in (0, 1)], 3)).mean((1, 2))


@model((2, 32, 36), (3, 40, 40), (2, 64, 48))
def merged():
    return Merged(), images


class Anchors(nn.Module):
    """A detector's head over levels that are images of their own: what each says, in one row."""

    def __init__(self):
        super().__init__()
        self.head = nn.Conv2d(3, 9 * 2, 3, padding=1)

    def forward(self, x):
        ys = [self.head(t).unflatten(1, (9, 2)).permute(0, 3, 4, 1, 2).flatten(1, 3) for t in x]
        return torch.cat(ys, 1).sigmoid()


@model((2, (12, 14), (6, 7), (4, 5)), (4, (16, 10), (9, 4), (5, 2)), (7, (9, 19), (8, 8), (4, 6)))
def anchors():
    return Anchors(), lambda n, *sizes: [torch.randn(n, 3, *s) for s in sizes]


def step(m, x):
    """The results, and the gradients by parameters' names."""
    m.zero_grad()
    y = m(x)
    y.square().mean().backward()
    return y.detach(), {n: p.grad for n, p in m.named_parameters()}


def close(got, want, tolerance):
    return torch.allclose(got, want, rtol=tolerance, atol=tolerance * (1 + want.abs().max().item()))


def extents():
    """As functions in Python against SymPy's values."""
    a, b = sympy.symbols("a b", integer=True, positive=True)
    wrong = []
    for e in (FloorDiv(a - 1, 2) + 1, FloorDiv(a, 2 * b), Mod(a * b, b + 1), b * PythonMod(a - 9, 7),
              Max(a, b, 4), Min(a, b) - 3 * a, a ** 2 * b, FloorDiv(FloorDiv(a + 63, 64) * b - 5, 3),
              a / 2, a * b / 4, b - a):
        symbols, f = function_of(e)
        for values in ({a: x, b: y} for x in (3, 4, 8, 17) for y in (2, 5, 12)):
            want = e.subs(values)
            if want.is_Integer and f(*[values[s] for s in symbols]) != want:
                wrong.append(f"{e} at {values}")
    return wrong


def check(name):
    if name == "extents":
        return extents()
    f, sizes, graphs = MODELS[name]
    torch.manual_seed(0)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    kiln.torch.reset()
    made.clear()
    m, arguments = f()
    ours = copy.deepcopy(m)
    compiled = torch.compile(ours, backend="kiln", dynamic=True, fullgraph=True)
    wrong = []
    for size in sizes:
        x = arguments(*size)
        (y, g), (z, h) = step(m, x), step(compiled, x)
        h = {n.replace("_orig_mod.", ""): v for n, v in h.items()}
        if not close(z, y, 1e-4):
            wrong.append(f"results at {size}")
        wrong += [f"gradient of {n} at {size}" for n in g if not close(h[n], g[n], 1e-3)]
    found = torch._dynamo.utils.counters["stats"]["unique_graphs"]
    if found != graphs:
        wrong.append(f"{found} graphs")
    if len(made) > 2 * graphs:
        wrong.append(f"{len(made)} programs")
    wrong += [f"{op}: {why}" for op, why in kiln.torch.report().fallbacks]
    return wrong


def main(names):
    failed = 0
    names = names or [*MODELS, "extents"]
    for name in names:
        try:
            wrong = check(name)
        except Exception as e:  # noqa: BLE001
            wrong = [f"{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}"]
        failed += bool(wrong)
        print(f"{name}: {'; '.join(wrong)[:600] if wrong else 'ok'}", flush=True)
    print(f"{len(names) - failed} passed, {failed} failed")
    return failed


if __name__ == "__main__":
    sys.exit(bool(main(sys.argv[1:])))
