"""torch_kernels.py: single operators, fused chains and small architectures, as kernel benchmarks
have them, through torch.compile(backend="kiln") against eager PyTorch.

    python3 tests/python/torch_kernels.py [NAME..]

Each must be right and wholly native: no fallback, no kernel of PyTorch's in its profiler. The last
line is "N passed, N failed"."""
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from torch_models import GPT, Residual, distance, loud, run  # noqa: E402  it sets threads first

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import nn  # noqa: E402

import kiln.torch  # noqa: E402

R = torch.randn
N = nn


def scan_of(x):
    return torch.cumsum(x.flip(1), 1).flip(1)


def sums_of_joined(*xs):
    """Short sums along whose rows nothing is contiguous, half of each from another tensor."""
    return sum(torch.cat([a[:, :24], b[:, :24]], 1) for a, b in zip(xs[::2], xs[1::2])).sum((2, 3))


def branch(x):
    return torch.cond(x.sum() > 0, lambda t: (t + 1).exp(), lambda t: t * 2 - t.sin(), (x,))


def exclusive(x):
    """The sums of what is before each element."""
    return torch.cumsum(torch.cat([torch.zeros_like(x[:, :1]), x], 1)[:, :-1], 1)


def segments(x):
    """Sums from each element to each later one, minus infinity before: a state space's decay."""
    t = x.size(-1)
    lower = torch.tril(torch.ones(t, t, dtype=torch.bool))
    sums = torch.cumsum(x[..., None].expand(*x.shape, t).masked_fill(~lower.tril(-1), 0), -2)
    return sums.masked_fill(~lower, -torch.inf).exp()


def clusters(x, w, c):
    """NetVLAD: soft distances to clusters, added up, twice normalised."""
    a = (x.flatten(0, 1) @ w).softmax(1)[:, :-1].view(*x.shape[:2], -1)
    v = (a.transpose(1, 2) @ x).transpose(1, 2) - a.sum(1, keepdim=True) * c
    return F.normalize(F.normalize(v).reshape(len(x), -1))


def shifted(x):
    """Windows of 4 x 4 of an image whose rows and columns are moved by 2."""
    b, h, w, c = x.shape
    x = torch.roll(x, (-2, -2), (1, 2)).view(b, h // 4, 4, w // 4, 4, c)
    return x.permute(0, 1, 3, 2, 4, 5).reshape(-1, 16, c)


def scaled(q, k, m):
    """Attention by a ReLU under a causal mask."""
    return F.relu((q @ k.transpose(-2, -1) / 3).masked_fill(m == 0, -torch.inf)) @ k


class Shuffle(nn.Module):
    """A ShuffleNet unit: grouped convolutions, channels of the groups mixed between them."""

    def __init__(self, c=12, groups=3):
        super().__init__()
        self.groups = groups
        self.a, self.c = (nn.Conv2d(c, c, 1, groups=groups, bias=False) for _ in "ac")
        self.b = nn.Conv2d(c, c, 3, padding=1, groups=c, bias=False)
        self.n = nn.BatchNorm2d(c)

    def forward(self, x):
        b, c, h, w = x.shape
        y = F.relu(self.n(self.a(x))).view(b, self.groups, -1, h, w).transpose(1, 2)
        return F.relu(self.c(self.b(y.reshape(b, c, h, w)))) + x


def chain(*layers):
    return nn.Sequential(*layers).eval()


def classes(x, y):
    return F.cross_entropy(x, y)


# name: (function, arguments)
OPERATORS = {
    "matmul": lambda: (torch.matmul, R(32, 48), R(48, 40)),
    "batched_matmul": lambda: (torch.bmm, R(4, 16, 24), R(4, 24, 8)),
    "matvec": lambda: (torch.mv, R(32, 64), R(64)),
    "matmul_transposed": lambda: (lambda a, b: a.T @ b.T, R(48, 32), R(40, 48)),
    "matmul_4d": lambda: (lambda a, b: torch.einsum("bijl,lk->bijk", a, b), R(2, 3, 4, 8), R(8, 5)),
    "diagonal_matmul": lambda: (lambda a, b: torch.diag(a) @ b, R(16), R(16, 24)),
    "triangular_matmul": lambda: (lambda a, b: torch.tril(a @ b), R(16, 16).tril(), R(16, 16)),
    "relu": lambda: (torch.relu, R(16, 256)),
    "leaky_relu": lambda: (F.leaky_relu, R(16, 256)),
    "sigmoid": lambda: (torch.sigmoid, R(16, 256)),
    "tanh": lambda: (torch.tanh, R(16, 256)),
    "softmax": lambda: (lambda x: x.softmax(1), R(16, 256)),
    "log_softmax": lambda: (lambda x: x.log_softmax(1), R(16, 256)),
    "swish": lambda: (lambda x: x * torch.sigmoid(x), R(16, 256)),
    "gelu": lambda: (F.gelu, R(16, 256)),
    "new_gelu": lambda: (lambda x: 0.5 * x * (1 + torch.tanh(0.7978845608 * (
        x + 0.044715 * torch.pow(x, 3)))), R(16, 256)),
    "selu": lambda: (torch.selu, R(16, 256)),
    "hard_sigmoid": lambda: (F.hardsigmoid, R(16, 256)),
    "softplus": lambda: (F.softplus, R(16, 256)),
    "softsign": lambda: (lambda x: x / (1 + x.abs()), R(16, 256)),
    "elu": lambda: (F.elu, R(16, 256)),
    "hardtanh": lambda: (F.hardtanh, R(16, 256)),
    "batch_norm": lambda: (nn.BatchNorm2d(8).eval(), R(2, 8, 8, 8)),
    "instance_norm": lambda: (nn.InstanceNorm2d(8), R(2, 8, 8, 8)),
    "group_norm": lambda: (nn.GroupNorm(2, 8), R(2, 8, 8, 8)),
    "rms_norm": lambda: (lambda x: x / (x.pow(2).mean(1, keepdim=True) + 1e-5).sqrt(), R(2, 8, 9)),
    "circular_pad": lambda: (lambda x: F.pad(F.pad(x, (3, 2, 0, 5), "circular"), (-1, 2, 1, 0),
                                             "circular"), R(2, 3, 6, 7)),
    "circular_pad3d": lambda: (lambda x: F.pad(x, (1,) * 6, "circular"), R(1, 2, 3, 4, 5)),
    "frobenius_norm": lambda: (lambda x: x / torch.norm(x, p="fro"), R(2, 8, 8, 8)),
    "l1_norm": lambda: (lambda x: x / x.abs().sum(1, keepdim=True), R(16, 64)),
    "l2_norm": lambda: (lambda x: x / torch.norm(x, p=2, dim=1, keepdim=True), R(16, 64)),
    "layer_norm": lambda: (nn.LayerNorm((8, 8, 8)), R(2, 8, 8, 8)),
    "max_pool_1d": lambda: (nn.MaxPool1d(4, 2, 1, 2), R(2, 4, 32)),
    "max_pool_2d": lambda: (nn.MaxPool2d(3, 2, 1), R(2, 4, 16, 16)),
    "max_pool_3d": lambda: (nn.MaxPool3d(3, 2, 1), R(2, 4, 8, 8, 8)),
    "average_pool_2d": lambda: (nn.AvgPool2d(3), R(2, 4, 16, 16)),
    "average_pool_1d": lambda: (nn.AvgPool1d(8, 1, 4), R(2, 4, 32)),
    "average_pool_3d": lambda: (nn.AvgPool3d(3, 2, 1), R(2, 4, 8, 8, 8)),
    **{f"resized_{m}": lambda m=m, d=d: (lambda x: F.interpolate(x * 2, scale_factor=2.0, mode=m),
                                         R(2, 3, *[9, 7, 5][:d]))
       for m, d in (("linear", 1), ("bilinear", 2), ("bicubic", 2), ("trilinear", 3))},
    "sum": lambda: (lambda x: x.sum(1, keepdim=True), R(4, 16, 8)),
    "mean": lambda: (lambda x: x.mean(1), R(4, 16, 8)),
    "max": lambda: (lambda x: x.max(1)[0], R(4, 16, 8)),
    "min": lambda: (lambda x: x.min(1)[0], R(4, 16, 8)),
    "argmax": lambda: (lambda x: x.argmax(1), R(4, 16, 8)),
    "argmin": lambda: (lambda x: x.argmin(1), R(4, 16, 8)),
    "product": lambda: (lambda x: x.prod(1), R(4, 16, 8)),
    "conv_1d_dilated": lambda: (nn.Conv1d(3, 8, 3, 2, dilation=3), R(2, 3, 32)),
    "conv_2d_asymmetric": lambda: (nn.Conv2d(3, 8, (3, 5)), R(2, 3, 12, 20)),
    "conv_3d": lambda: (nn.Conv3d(3, 4, 3), R(1, 3, 6, 6, 6)),
    "conv_depthwise": lambda: (nn.Conv2d(8, 8, 3, groups=8), R(2, 8, 12, 12)),
    "conv_transposed": lambda: (nn.ConvTranspose2d(4, 6, 3, 2, 1, 1), R(2, 4, 8, 8)),
    "conv_transposed_3d": lambda: (nn.ConvTranspose3d(2, 3, 3), R(1, 2, 4, 4, 4)),
    "conv_transposed_apart": lambda: (nn.ConvTranspose1d(4, 6, 3, 2, 1, dilation=2), R(2, 4, 16)),
    "conv_transposed_grouped": lambda: (nn.ConvTranspose2d(
        4, 8, (3, 5), (2, 3), (1, 2), dilation=(2, 1), groups=4), R(2, 4, 6, 7)),
    "conv_transposed_far": lambda: (nn.ConvTranspose2d(4, 6, 3, 5, 1, dilation=2), R(2, 4, 6, 7)),
    "conv_transposed_3d_grouped": lambda: (nn.ConvTranspose3d(
        4, 4, (3, 5, 3), 2, (1, 2, 1), 1, groups=2), R(1, 4, 3, 4, 5)),
    "conv_2d_strided": lambda: (nn.Conv2d(3, 8, 11, 4, 2), R(2, 3, 40, 40)),
    "cumsum": lambda: (lambda x: x.cumsum(1), R(8, 64)),
    "cumprod": lambda: (lambda x: x.cumprod(1), R(8, 16)),
    "cumsum_reverse": lambda: (scan_of, R(8, 64)),
    "masked_cumsum": lambda: (lambda x, m: (x * m).cumsum(1), R(8, 64), R(8, 64) > 0),
    "cumsum_exclusive": lambda: (exclusive, R(8, 64)),
    "segment_sums": lambda: (segments, R(2, 3, 8)),
    "triplet_loss": lambda: (F.triplet_margin_loss, R(8, 16), R(8, 16), R(8, 16)),
    "windows_moved": lambda: (shifted, R(2, 8, 8, 5)),
    "netvlad": lambda: (clusters, R(2, 6, 8), R(8, 5), R(1, 8, 4)),
    "relu_attention": lambda: (scaled, R(2, 2, 6, 4), R(2, 2, 6, 4), torch.ones(6, 6).tril()),
    "mse_loss": lambda: (F.mse_loss, R(16, 64), R(16, 64)),
    "cross_entropy": lambda: (classes, R(16, 10), torch.randint(0, 10, (16,))),
    "huber_loss": lambda: (F.smooth_l1_loss, R(16, 64), R(16, 64)),
    "kl_div": lambda: (lambda a, b: F.kl_div(a.softmax(1).log(), b.softmax(1),
                                             reduction="batchmean"), R(16, 64), R(16, 64)),
    "hinge_loss": lambda: (lambda p, t: (1 - p * t).clamp(min=0).mean(), R(64), R(64).sign()),
    "attention": lambda: (F.scaled_dot_product_attention, R(2, 4, 16, 8), R(2, 4, 16, 8),
                          R(2, 4, 16, 8)),
    "long_causal_attention": lambda: (lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, is_causal=True), R(1, 2, 299, 8), R(1, 2, 299, 8), R(1, 2, 299, 8)),
    "searchsorted": lambda: (lambda x, v: torch.searchsorted(x.sort().values, v)
                             + torch.searchsorted(x.sort().values, v, right=True),
                             R(301).round(decimals=1), R(7, 9).round(decimals=1)),
    "logcumsumexp": lambda: (lambda x: torch.logcumsumexp(x * 50, 1), R(3, 77)),
    "grouped_attention": lambda: (lambda q, k, v: F.scaled_dot_product_attention(
        q, k, v, is_causal=True, enable_gqa=True), R(2, 4, 16, 8), R(2, 2, 16, 8), R(2, 2, 16, 8)),
}
CHAINS = {
    "conv_relu_bias": lambda: (lambda x, w, b: F.relu(F.conv2d(x, w)) + b, R(2, 3, 12, 12),
                               R(8, 3, 3, 3), R(8, 1, 1)),
    "conv_min_tanh_tanh": lambda: (lambda x, w: F.conv2d(x, w).min(1, True)[0].tanh().tanh(),
                                   R(2, 3, 12, 12), R(8, 3, 3, 3)),
    "conv_3d_softmax_pool": lambda: (chain(N.Conv3d(2, 4, 3), N.Softmax(1), N.MaxPool3d(2)),
                                     R(1, 2, 8, 8, 8)),
    "conv_norm_clamp": lambda: (chain(N.Conv2d(3, 8, 3), N.GroupNorm(4, 8), N.Hardtanh(-1, 1)),
                                R(2, 3, 10, 10)),
    "linear_swish_scale": lambda: (lambda x, w, b: F.silu(F.linear(x, w, b)) * 2.0, R(8, 32),
                                   R(16, 32), R(16)),
    "linear_norm_residual": lambda: (lambda x, w, y: (F.instance_norm(
        F.linear(x, w)[:, None]).squeeze(1) + y) * y, R(8, 32), R(16, 32), R(8, 16)),
    "matmul_pool_gelu_max": lambda: (lambda x, w: (F.gelu(F.avg_pool1d(
        F.linear(x, w)[:, None], 4).squeeze(1)) * 2).max(1)[0], R(8, 32), R(16, 32)),
    "linear_sum_logsumexp": lambda: (lambda x, w: F.linear(x, w).sum(1, True).logsumexp(1),
                                     R(8, 32), R(16, 32)),
    "transposed_conv_swish_pool": lambda: (chain(N.ConvTranspose2d(3, 4, 3), N.SiLU(),
                                                 N.AdaptiveAvgPool2d(1)), R(2, 3, 8, 8)),
    "sums_of_joined": lambda: (sums_of_joined, *[R(2, 48, 4, 4) for _ in range(8)]),
    "transposed_conv_norm_pool_gelu": lambda: (chain(
        N.ConvTranspose3d(2, 8, 3, 2, 1, 1), N.LayerNorm(8), N.AvgPool3d(2), N.GELU()),
        R(1, 2, 3, 4, 4)),
    "transposed_conv_norm_min": lambda: (lambda x, w: F.group_norm(F.silu(F.conv_transpose3d(
        x, w, stride=2, padding=1)), 2).min(2)[0], R(1, 2, 3, 4, 4), R(2, 4, 3, 3, 3)),
    "transposed_conv_max_sum": lambda: (lambda x, w: F.max_pool3d(F.max_pool3d(F.conv_transpose3d(
        x, w, stride=2, padding=2), 2), 3).sum(1, True), R(1, 2, 6, 6, 6), R(2, 4, 5, 5, 5)),
    "sums_on_ragged_vectors": lambda: (lambda a, b, c, d: ((a + b + c) * (d - 1)).sum((2, 3)),
                               *[R(2, 40, 4, 4) for _ in range(4)]),
    "bits_split_and_joined": lambda: (lambda x: x.view(torch.int32)[:, :1] // 65536 +
                                      x.view(torch.uint8).flip(-1).view(torch.int16), R(8, 4)),
    "memory_of_views": lambda: (lambda x: x.exp().as_strided((2, 4, 3), (16, 1, 4)).as_strided(
        (4, 5), (4, 2), 1) * 2, R(4, 8)),
    "older_names": lambda: (lambda x: torch.true_divide(x, 3) + (x.int() << 2).__rshift__(1),
                            R(8, 4)),
    "branch": lambda: (branch, R(8, 32)),
    "linear_dropout_softmax": lambda: (chain(N.Linear(32, 16), N.Dropout(0.5), N.Softmax(1)),
                                       R(8, 32)),
}
NETS = {
    "mlp": lambda: (chain(N.Linear(32, 64), N.ReLU(), N.Linear(64, 64), N.ReLU(),
                          N.Linear(64, 10)), R(8, 32)),
    "lenet": lambda: (chain(N.Conv2d(1, 6, 5), N.ReLU(), N.MaxPool2d(2), N.Conv2d(6, 16, 5),
                            N.ReLU(), N.MaxPool2d(2), N.Flatten(), N.Linear(256, 120),
                            N.ReLU(), N.Linear(120, 10)), R(2, 1, 28, 28)),
    "residual_block": lambda: (Residual(8).eval(), R(2, 8, 12, 12)),
    "shuffle_unit": lambda: (Shuffle().eval(), R(2, 12, 6, 6)),
    "gpt_block": lambda: (GPT().eval(), torch.randint(0, 50, (2, 16))),
}
ALL = {**OPERATORS, **CHAINS, **NETS}


def check(make):
    torch.manual_seed(0)
    f, *args = make()
    with torch.no_grad():
        want = f(*args)
        g = torch.compile(f, backend="kiln", fullgraph=True)
        got = g(*args)
        left = kiln.torch.report().fallbacks
        kernels = loud(lambda: g(*args))
    if want.dtype != got.dtype or want.shape != got.shape:
        return f"{got.dtype} {tuple(got.shape)}"
    d = distance([got.double()], [want.double()])
    return f"differs by {d:.1e}" if d > 1e-4 else f"fallbacks {left}" if left else \
        f"PyTorch's kernels ran: {' '.join(kernels)}" if kernels else None


sys.exit(run([(name, functools.partial(check, make)) for name, make in ALL.items()
              if not sys.argv[1:] or name in sys.argv[1:]]))
