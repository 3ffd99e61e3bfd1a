"""torch_models.py: models through torch.compile(backend="kiln") against eager PyTorch.

    python3 tests/python/torch_models.py [--full] [NAME..]

Forward and a training step each, with fullgraph=True; every operation native, and no kernel of
PyTorch's in its profiler. --full: models of torchvision and transformers too, from their
configurations with random weights (pip install --no-deps torchvision transformers, and what
they import). The last line is "N passed, N failed"."""
import copy
import functools
import json
import os
import re
import sys
import tempfile
import warnings
from unittest import mock

os.environ.setdefault("OMP_NUM_THREADS", "1")
warnings.filterwarnings("ignore")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils.checkpoint import checkpoint  # noqa: E402

import kiln.torch  # noqa: E402
from kiln.torch import graph  # noqa: E402

MODELS = {}


def model(**options):
    """A function that gives a module and its arguments."""
    def take(f):
        MODELS[f.__name__] = (f, options)
        return f

    return take


class Residual(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.c1 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.c2 = nn.Conv2d(c, c, 3, padding=1, bias=False)
        self.b1, self.b2 = nn.BatchNorm2d(c), nn.BatchNorm2d(c)

    def forward(self, x):
        return F.relu(x + self.b2(self.c2(F.relu(self.b1(self.c1(x))))))


class Last(nn.Module):
    """A recurrent layer and a linear one over its last step."""

    def __init__(self, layer, width, out):
        super().__init__()
        self.layer, self.out = layer, nn.Linear(width, out)

    def forward(self, x):
        return self.out(self.layer(x)[0][:, -1])


class GPT(nn.Module):
    """Token and position embeddings, one block, a head."""

    def __init__(self, width=32, heads=4, words=50, length=16):
        super().__init__()
        self.words, self.heads = nn.Embedding(words, width), heads
        self.places = nn.Parameter(torch.randn(length, width) * 0.1)
        self.n1, self.n2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(),
                                 nn.Linear(4 * width, width))
        self.head = nn.Linear(width, words)

    def forward(self, tokens):
        x = self.words(tokens) + self.places[:tokens.shape[1]]
        b, t, c = x.shape
        q, k, v = (p.view(b, t, self.heads, -1).transpose(1, 2)
                   for p in self.qkv(self.n1(x)).split(c, 2))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(y.transpose(1, 2).reshape(b, t, c))
        return self.head(x + self.mlp(self.n2(x)))


class Warp(nn.Module):
    """Features sampled at fixed places, then resized."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.register_buffer("places", torch.rand(2, 5, 6, 2) * 2 - 1)

    def forward(self, x):
        y = F.grid_sample(self.conv(x), self.places, align_corners=False)
        return F.interpolate(y, scale_factor=2.0, mode="bilinear")


@model()
def warp():
    return Warp(), torch.randn(2, 3, 8, 9)


@model()
def mlp():
    return nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), torch.randn(8, 64)


@model(dynamic=True)
def mlp_dynamic():
    return mlp()


@model()
def residual():
    return nn.Sequential(nn.Conv2d(3, 8, 7, 2, 3), nn.BatchNorm2d(8), nn.ReLU(),
                         nn.MaxPool2d(3, 2, 1), Residual(8), Residual(8),
                         nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(8, 10)), torch.randn(2, 3, 32, 32)


@model(dynamic=True)
def residual_dynamic():
    return residual()


@model()
def encoder():
    layer = nn.TransformerEncoderLayer(32, 4, 64, dropout=0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 2), torch.randn(2, 5, 32)


class Grouped(nn.Module):
    """Attention of 4 heads, 2 to a key, as language models have it now."""

    def __init__(self):
        super().__init__()
        self.q, self.kv = nn.Linear(16, 16), nn.Linear(16, 16)

    def forward(self, x):
        q = self.q(x).view(*x.shape[:2], 4, 4).transpose(1, 2)
        k, v = self.kv(x).view(*x.shape[:2], 4, 4).transpose(1, 2).chunk(2, 1)
        return F.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)


@model()
def grouped_attention():
    return Grouped(), torch.randn(2, 7, 16)


class Experts(nn.Module):
    """A mixture of experts: tokens sorted by expert, a product for each expert's."""

    def __init__(self, experts=4, width=16):
        super().__init__()
        self.route = nn.Linear(width, experts)
        self.w = nn.Parameter(torch.randn(experts, width, 2 * width) / 4)

    def forward(self, x):
        weight, expert = self.route(x).softmax(-1).topk(2)
        sorts = expert.flatten().argsort(stable=True)
        count = (expert.flatten()[:, None] == torch.arange(self.w.shape[0])).sum(0)
        y = F.grouped_mm(x[sorts // 2], self.w, offs=count.cumsum(0).int())
        y = y * weight.flatten()[sorts][:, None]
        return torch.zeros(x.shape[0], y.shape[1]).index_add(0, sorts // 2, y)


@model()
def experts():
    return Experts(), torch.randn(13, 16)


@model()
def norm_first():
    return nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 4)), torch.randn(6, 8)


@model()
def weight_norm():
    conv = nn.Conv1d(4, 6, 3, padding=1, groups=2)
    return nn.utils.parametrizations.weight_norm(conv, dim=2), torch.randn(2, 4, 9)


@model()
def lstm():
    return Last(nn.LSTM(8, 16, 2, batch_first=True), 16, 3), torch.randn(2, 5, 8)


class States(nn.Module):
    """Both directions from states that are trained, and all that comes out."""

    def __init__(self):
        super().__init__()
        self.f = nn.LSTM(6, 5, 2, bidirectional=True, dropout=0.0)
        self.h, self.c = (nn.Parameter(torch.randn(4, 3, 5)) for _ in range(2))

    def forward(self, x):
        y, (h, c) = self.f(x, (self.h, self.c))
        return torch.cat([y.flatten(), (h * h).flatten(), c.flatten()])


@model()
def lstm_states():
    return States(), torch.randn(7, 3, 6)


class Words(nn.Module):
    """Words of which each vector is at most of length 1, from then on."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4, max_norm=1.0, scale_grad_by_freq=True)
        self.register_buffer("kept", torch.zeros(10, 4))

    def forward(self, index):
        y = self.words(index)
        self.kept.copy_(self.words.weight.detach())
        return y


@model()
def short_words():
    return Words(), torch.randint(0, 10, (3, 5))


@model()
def gru():
    return Last(nn.GRU(8, 16, batch_first=True), 16, 3), torch.randn(2, 4, 8)


class Within(nn.Module):
    """A recurrent layer of both directions whose input is trained too, and all that comes out."""

    def __init__(self, kind, **options):
        super().__init__()
        self.a, self.f = nn.Linear(6, 6), kind(6, 5, 2, bidirectional=True, **options)

    def forward(self, x):
        y, last = self.f(self.a(x))
        last = last if isinstance(last, tuple) else (last,)
        return torch.cat([y.flatten(), *[(t * t).flatten() for t in last]])


@model()
def lstm_within():
    return Within(nn.LSTM), torch.randn(7, 3, 6)


@model()
def lstm_without_biases():
    return Within(nn.LSTM, bias=False, batch_first=True), torch.randn(3, 7, 6)


@model()
def gru_within():
    return Within(nn.GRU), torch.randn(7, 3, 6)


@model()
def rnn_within():
    return Within(nn.RNN), torch.randn(7, 3, 6)


@model()
def rnn_of_relu():
    return Within(nn.RNN, nonlinearity="relu", bias=False), torch.randn(7, 3, 6)


@model()
def gpt():
    return GPT(), torch.randint(0, 50, (2, 16))


@model(dynamic=True)
def gpt_dynamic():
    return GPT(), torch.randint(0, 50, (2, 16))


# ---- --full: other people's models ----


class Hidden(nn.Module):
    """A transformer of transformers' over token numbers."""

    def __init__(self, m):
        super().__init__()
        self.m = m

    def forward(self, tokens):
        return self.m(input_ids=tokens).last_hidden_state


@model(full=True)
def resnet18():
    import torchvision
    return torchvision.models.resnet18(), torch.randn(2, 3, 64, 64)


@model(full=True)
def mobilenet_v3_small():
    import torchvision
    return torchvision.models.mobilenet_v3_small(dropout=0.0), torch.randn(2, 3, 64, 64)


@model(full=True)
def vit_tiny():
    from torchvision.models.vision_transformer import VisionTransformer
    m = VisionTransformer(image_size=32, patch_size=8, num_layers=4, num_heads=3, hidden_dim=48,
                          mlp_dim=96)
    nn.init.normal_(m.heads[0].weight)
    return m, torch.randn(2, 3, 32, 32)


@model(full=True)
def gpt2():
    from transformers import GPT2Config, GPT2Model
    c = GPT2Config(n_layer=4, n_embd=256, n_head=4, vocab_size=1000, n_positions=64, resid_pdrop=0,
                   embd_pdrop=0, attn_pdrop=0, use_cache=False)
    return Hidden(GPT2Model(c)), torch.randint(0, 1000, (2, 64))


@model(full=True)
def bert():
    from transformers import BertConfig, BertModel
    c = BertConfig(hidden_size=128, num_hidden_layers=2, num_attention_heads=4,
                   intermediate_size=256, vocab_size=1000, hidden_dropout_prob=0,
                   attention_probs_dropout_prob=0)
    return Hidden(BertModel(c)), torch.randint(0, 1000, (2, 32))


# ---- checks ----
# What makes memory or looks at it, and computes nothing.
QUIET = {"aten::" + n for n in (
    "empty empty_strided empty_like as_strided detach detach_ view reshape transpose permute alias "
    "expand slice select t unsqueeze squeeze resolve_conj lift_fresh view_as set_ _unsafe_view "
    "ones_like result_type").split()}


def loud(f):
    """Kernels of PyTorch's that a call of f runs."""
    from torch.profiler import ProfilerActivity, profile
    said = os.dup(2)  # the profiler's own words are of no use
    with open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), 2)
    try:
        with profile(activities=[ProfilerActivity.CPU]) as p:
            f()
    finally:
        os.dup2(said, 2)
        os.close(said)
    return sorted({e.name for e in p.events() if e.name.startswith("aten::")} - QUIET)


def distance(a, b):
    scale = max((t.abs().max().item() for t in b if t.numel()), default=0) + 1e-9
    return max(((x - y).abs().max().item() for x, y in zip(a, b) if x.numel()), default=0) / scale


def step(f, m, x):
    m.train()
    y = f(x)
    y.square().mean().backward()
    return [y.detach()], [p.grad for p in m.parameters() if p.grad is not None], \
        [b.float() for b in m.buffers()]


def check(make, options):
    """None, or what is wrong."""
    torch.manual_seed(0)
    ours, x = make()
    theirs = copy.deepcopy(ours)
    f = torch.compile(ours, backend="kiln", fullgraph=True, **options)
    ours.eval(), theirs.eval()
    with torch.no_grad():
        d = distance([f(x)], [theirs(x)])
        kernels = loud(lambda: f(x))
    if d > 1e-4:
        return f"outputs differ by {d:.1e}"
    if kernels:
        return f"PyTorch's kernels ran: {' '.join(kernels)}"
    for what, a, b in zip(("outputs", "gradients", "buffers"), step(f, ours, x),
                          step(theirs, theirs, x)):
        d = distance(a, b)
        if len(a) != len(b) or d > (1e-3 if what == "gradients" else 1e-4):
            return f"{what} in training differ by {d:.1e}"
    left = kiln.torch.report().fallbacks
    return f"fallbacks {left}" if left else None


def run(cases):
    """check() of each name: why it fails, or None. Whether any does."""
    passed = failed = 0
    for name, check_one in cases:
        torch._dynamo.reset()
        kiln.torch.reset()
        try:
            why = check_one()
        except Exception as e:  # noqa: BLE001  a failure is what we look for
            why = f"{type(e).__name__}: {(str(e).splitlines() or [''])[0]}"[:300]
        passed, failed = passed + (why is None), failed + (why is not None)
        if why:
            print(f"{name}: {why}", flush=True)
    print(f"{passed} passed, {failed} failed")
    return failed > 0


def page():
    """report(html=) shows the programs, forward and backward, by the lines of modules."""
    model = Residual(4).train()
    torch.compile(model, backend="kiln")(torch.randn(2, 4, 8, 8)).sum().backward()
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.html")
        kiln.torch.report(html=path)
        with open(path, encoding="utf-8") as f:
            text = f.read()
    data = json.loads(re.search(r'id="data">(.*?)</script>', text, re.S).group(1))
    if [p["name"].split()[0] for p in data["programs"]] != ["forward", "backward"]:
        return f"it shows {[p['name'] for p in data['programs']]}"
    for program in data["programs"]:
        places = {s["place"] for s in program["steps"]}
        if not any("torch_models.py:" in p and " c1" in p for p in places):
            return f"{program['name']} is at {sorted(places)}"
        if not all(s["ns"] >= 0 for s in program["steps"]) or not program["kernels"]:
            return f"{program['name']} was not run"


def whole():
    """Recurrent layers are not written out step by step, also of float64; and are so by PyTorch's
    operators where no program does them."""
    for kind in (nn.LSTM, nn.GRU, nn.RNN):
        m, x = Within(kind).double(), torch.randn(100, 2, 6, dtype=torch.float64)
        kiln.torch.reset()
        torch.compile(m, backend="kiln")(x).sum().backward()
        count = sum(kiln.torch.report().native.values())
        if count > 200:
            return f"{kind.__name__}: {count} operations"
        one = kind(6, 5).double()
        w = [p.detach().requires_grad_() for p in one.parameters()]
        h = torch.zeros(2, 5, dtype=torch.float64)
        mode = {nn.RNN: 1, nn.LSTM: 2, nn.GRU: 3}[kind]
        y = torch.ops.kiln.layer(x, h, h if mode == 2 else None, w, mode, False)[0]
        got = torch.autograd.grad(y.square().sum(), w)
        want = torch.autograd.grad(one(x)[0].square().sum(), list(one.parameters()))
        if distance(got, want) > 1e-12:
            return f"{kind.__name__}: PyTorch's operators differ by {distance(got, want):.1e}"


def gaps():
    """Arguments that are columns of tensors of any width, read and written where they lie."""
    def double(x):
        s = x.exp().sum()
        x.mul_(2).add_(s)
        return x.sum(0)

    ours = torch.compile(double, backend="kiln", fullgraph=True)
    for width in (8, 16, 24):
        a = torch.randn(4, width)
        b = a.clone()
        kernels = loud(lambda: ours(a[:, -8:]))
        double(b[:, -8:])
        if distance([a], [b]) > 1e-5:
            return f"of {width} columns: differs by {distance([a], [b]):.1e}"
    left = kiln.torch.report().fallbacks
    return f"fallbacks {left}" if left else f"PyTorch's kernels ran: {kernels}" if kernels else None


def places(ts):
    """Where tensors lie, seen from the first."""
    return [(tuple(t.shape), t.stride(), (t.data_ptr() - ts[0].data_ptr()) // t.element_size())
            for t in ts]


def views():
    """Results that are views are so at every size: of arguments, of what is written, of others."""
    def parts(x):
        return x, *x.chunk(4), x[:, 1:3], x.t(), x[:1].expand(3, 6)

    def computed(x):
        y = x.exp()
        return y, y[2:], y[:, ::2]

    def of_one(x):
        y = x.exp()
        return y[2:].t(), y[:, 1:]

    def written(x):
        x.mul_(2)
        return x, x[1:], x.view(-1)

    for f in (parts, computed, of_one, written):
        for options in ({}, {"dynamic": True}):
            torch._dynamo.reset()
            ours = torch.compile(f, backend="kiln", fullgraph=True, **options)
            for rows in (4, 8, 11):
                a = torch.randn(rows, 6)
                want, got = f(a.clone()), ours(a)
                if places(want) != places(got) or distance(got, want) > 1e-5:
                    return f"{f.__name__} of {rows} rows lie at {places(got)}"

    def broken():
        a = torch.tensor([1])[0:1]
        b = a.squeeze()
        a[0] = 0
        torch._dynamo.graph_break()
        a[0] = 2
        return b

    if torch.compile(broken, backend="kiln")() != 2:
        return "two views of one tensor do not share memory"


def counts():
    """Numbers of Python that vary, and how arguments lie, make no program for each."""
    cases = {"add": lambda x, n: x * n + 0.5 ** n, "rows": lambda x, n: x[:n].sum(0),
             "of": lambda x, n: x[n] + torch.arange(n, n + 6), "columns": lambda x, n: x.sum(1)}
    for name, f in cases.items():
        torch._dynamo.reset()
        kiln.torch.reset()
        made = []
        with mock.patch.object(graph.Plan, "program", autospec=True,
                               side_effect=lambda p, o=graph.Plan.program: made.append(p) or o(p)):
            ours = torch.compile(f, backend="kiln", fullgraph=True)
            for n in range(2, 9):
                x = torch.randn(40, 6 + n)[:, 1:7] if name == "columns" else torch.randn(40, 6)
                if distance([ours(x, n)], [f(x, n)]) > 1e-4:
                    return f"{name}: differs at {n}"
        left = kiln.torch.report()
        if len(made) > 2 + (name == "columns") or left.fallbacks:
            return f"{name}: {len(made)} programs, fallbacks {left.fallbacks}"


def asserts():
    """What the user asserts of values is an error where it does not hold, and no fallback."""
    def checked(x):
        assert x.min() >= 0, "a negative element"
        return x.sqrt()

    kiln.torch.reset()
    for options in ({}, {"dynamic": True}):
        torch._dynamo.reset()
        ours = torch.compile(checked, backend="kiln", fullgraph=True, **options)
        if distance([ours(torch.ones(3))], [torch.ones(3)]) > 1e-6:
            return "differs"
        try:
            return f"it gave {ours(-torch.ones(3))}"
        except RuntimeError as e:
            if str(e) != "a negative element":
                return str(e)
    left = kiln.torch.report().fallbacks
    return f"fallbacks {left}" if left else None


def elements():
    """Numbers that are a tensor's element stay in the program."""
    def scaled(x, t):
        s = t.sum().item()
        return x * s + torch.full((3,), s) / t.max().item()

    kiln.torch.reset()
    with torch._dynamo.config.patch(capture_scalar_outputs=True):
        ours = torch.compile(scaled, backend="kiln", fullgraph=True)
        for t in (torch.rand(4), torch.rand(4), torch.arange(1, 5)):
            if distance([ours(torch.ones(3), t)], [scaled(torch.ones(3), t)]) > 1e-5:
                return f"differs for {t}"
    left = kiln.torch.report().fallbacks
    return f"fallbacks {left}" if left else None


def repeated():
    """What a checkpoint draws in the backward pass is what it drew before."""
    def squares(x):
        return torch.stack([F.dropout(x) ** 2, F.dropout(x) ** 2])

    def f(x):
        return checkpoint(squares, x, use_reentrant=False)

    x = torch.ones(64, requires_grad=True)
    y = torch.compile(f, backend="kiln", fullgraph=True)(x)
    y.sum().backward()
    left = kiln.torch.report().fallbacks
    if left or torch.equal(y[0], y[1]) or set(y.unique().tolist()) != {0, 4}:
        return f"it drew {y.tolist()}, fallbacks {left}"
    return None if torch.equal(x.grad, 2 * y.detach().sum(0)) else "it draws others"


def main():
    full = "--full" in sys.argv
    names = [a for a in sys.argv[1:] if a != "--full"]
    cases = []
    for name, (make, options) in MODELS.items():
        large = options.get("full")
        options = {k: v for k, v in options.items() if k != "full"}
        if name in names or (not names and (full or not large)):
            cases.append((name, functools.partial(check, make, options)))
    own = page, whole, gaps, views, counts, asserts, elements, repeated
    cases += [(f.__name__, f) for f in own if not names or f.__name__ in names]
    return run(cases)


if __name__ == "__main__":
    sys.exit(main())
