"""torch_graphs.py: operators that hold graphs, and torchvision's regions, through
torch.compile(backend="kiln") against eager PyTorch.

    python3 tests/python/torch_graphs.py [NAME..]

Results and, where there are any, gradients; no fallback. The last line is "N passed, N failed"."""
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from torch_models import distance, run  # noqa: E402  it sets threads first

import torch  # noqa: E402
from torch._higher_order_ops.associative_scan import associative_scan  # noqa: E402
from torch._higher_order_ops.map import map as map_  # noqa: E402
from torch._higher_order_ops.scan import scan  # noqa: E402
from torch._higher_order_ops.while_loop import while_loop  # noqa: E402
from torch.nn.attention.flex_attention import create_block_mask, flex_attention  # noqa: E402

import kiln.torch  # noqa: E402

CASES = {}


def case(f):
    """A function that gives a function and its arguments, of which some want gradients."""
    CASES[f.__name__] = f
    return f


def leaf(*shape):
    return torch.randn(*shape).requires_grad_()


@case
def branch():
    def f(x):
        return torch.cond(x.sum() > 0, lambda t: t.sin() * 2, lambda t: t.cos(), (x,))

    return f, (leaf(3, 4),)


@case
def trips():
    def f(x):
        return while_loop(lambda i, t: i < 5, lambda i, t: (i + 1, t.tanh() + 1),
                          (torch.tensor(0), x))

    return f, (torch.randn(3, 4),)


@case
def no_trip():
    def f(x):
        return while_loop(lambda t: t.sum() < 0, lambda t: (t + 1,), (x,))

    return f, (torch.ones(3),)


@case
def scanned():
    def f(x, w):
        return scan(lambda c, t: ((c * 0.5 + t) * w, (c + t).sin()), torch.zeros(4), x, dim=0)

    return f, (torch.randn(6, 4), torch.randn(4))


@case
def combined():
    """A linear recurrence, each step's factor and term combined with those before it."""
    def f(a, b):
        return associative_scan(lambda x, y: (x[0] * y[0], x[1] * y[0] + y[1]), (a, b), 1)

    return f, (torch.rand(2, 7, 3), torch.randn(2, 7, 3))


@case
def mapped():
    return lambda x, w: map_(lambda t, w: t.sin() @ w, x, w), (leaf(3, 4, 4), leaf(4, 2))


@case
def flex_causal():
    def f(q, k, v):
        def score(s, b, h, i, j):
            return torch.where(i >= j, s + (i - j) * 0.1 * h, -float("inf"))

        return flex_attention(q, k, v, score_mod=score, enable_gqa=True)

    return f, (torch.randn(1, 4, 16, 8), torch.randn(1, 2, 16, 8), torch.randn(1, 2, 16, 8))


@case
def flex_window():
    """A mask by blocks of which rows are empty, and a bias from outside."""
    mask = create_block_mask(lambda b, h, i, j: (i >= j) & (i - j < 3) & (i > 0), None, None, 16,
                             16, device="cpu")

    def f(q, bias):
        return flex_attention(q, q, q, score_mod=lambda s, b, h, i, j: s + bias[h],
                              block_mask=mask)

    return f, (torch.randn(1, 2, 16, 8), torch.randn(2))


def regions():
    """torchvision's operators, where it is there."""
    try:
        from torchvision import ops
    except ImportError:
        return

    @case
    def roi_align():
        boxes = torch.tensor([[0, 0.5, 1, 9, 9], [1, 2, 2, 12, 13.5], [0, -3, -3, 2, 20]])
        return lambda x: (ops.roi_align(x, boxes, (3, 2), 0.5, 2),
                          ops.roi_align(x, boxes, 2, 0.7, 3, aligned=True)), (leaf(2, 3, 8, 7),)

    @case
    def nms():
        low = torch.rand(40, 2) * 5
        boxes = torch.cat([low, low + 1 + torch.rand(40, 2)], 1)
        return lambda b, s: (ops.nms(b, s, 0.2), ops.nms(b, s, 0.9)), (boxes, torch.rand(40))

    @case
    def deform():
        def f(x, w, offset, mask):
            return ops.deform_conv2d(x, offset, w, mask=mask, stride=(1, 2), padding=1)

        return f, (leaf(2, 4, 6, 8), leaf(4, 2, 3, 3), leaf(2, 36, 6, 4), leaf(2, 18, 6, 4))


def flat(y):
    return [t for t in torch.utils._pytree.tree_leaves(y) if isinstance(t, torch.Tensor)]


def graph(make):
    """None, or what is wrong."""
    torch.manual_seed(0)
    f, args = make()
    both = []
    for g in (torch.compile(f, backend="kiln", fullgraph=True), f):
        leaves = [a.detach().requires_grad_(a.requires_grad) for a in args]
        ys = flat(g(*leaves))
        wanted = [a for a in leaves if a.requires_grad]
        if wanted:
            sum((y.float().sin()).sum() for y in ys).backward()
        both.append(([y.detach() for y in ys], [a.grad for a in wanted]))
    for what, a, b in zip(("results", "gradients"), *both):
        if len(a) != len(b) or distance(a, b) > 1e-5:
            return f"{what} differ by {distance(a, b):.1e}"
    left = kiln.torch.report().fallbacks
    return f"fallbacks {left}" if left else None


def main():
    regions()
    names = sys.argv[1:]
    cases = [(n, functools.partial(graph, make)) for n, make in CASES.items()]
    return run([c for c in cases if not names or c[0] in names])


if __name__ == "__main__":
    sys.exit(main())
