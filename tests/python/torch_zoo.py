"""torch_zoo.py: architectures of torchvision and timm through torch.compile(backend="kiln").

    python3 tests/python/torch_zoo.py [NAME..]     "torchvision", "timm", "resnet18"

Each from its configuration, with random weights; of equal layers in a row the first two, where the
model runs so. Inference, against eager PyTorch in float64 or as near to it as float32 comes, and a
training step, without dropout and in float64: one rectifier that turns its sign by a last digit
moves gradients of float32 by percents. No fallback. Needs: pip install --no-deps
torchvision timm pyyaml. The last line is "N passed, N failed"."""
import copy
import functools
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from torch_models import run  # noqa: E402  it sets threads first

import timm  # noqa: E402
import torch  # noqa: E402
import torchvision.models  # noqa: E402
from torch import nn  # noqa: E402
from torch.utils import _pytree as pytree  # noqa: E402

import kiln.torch  # noqa: E402

# name: edge of the images; ":" splits off the part of torchvision's models
TORCHVISION = {
    "squeezenet1_1": 64, "googlenet": 96, "mobilenet_v3_small": 64, "shufflenet_v2_x0_5": 64,
    "efficientnet_b0": 64, "regnet_y_400mf": 64, "convnext_tiny": 64, "swin_t": 64, "swin_v2_t":
    64, "densenet121": 64, "maxvit_t": 224, "segmentation:lraspp_mobilenet_v3_large": 64}
# Of the size that they are for.
TIMM = """
xcit_nano_12_p16_224 mvitv2_tiny volo_d1_224 coat_tiny crossvit_tiny_240 levit_128s mambaout_femto
mobilevit_xxs focalnet_tiny_srf gcvit_xxtiny fastvit_t8 beit_base_patch16_224
eva02_tiny_patch14_224 nfnet_f0 sequencer2d_s
""".split()
RATES = ("p", "drop_prob", "drop_rate", "dropout", "attention_dropout", "dropout_p")


def of_torchvision(name):
    part, _, last = name.rpartition(":")
    where, none = torchvision.models, {"weights": None}
    if part:
        where = getattr(where, part)
    if part == "segmentation":
        none["weights_backbone"] = None
    if last in ("googlenet", "inception_v3"):
        none["init_weights"] = True
    frames = (4,) if part == "video" else ()
    edge = TORCHVISION[name]
    return getattr(where, last)(**none), torch.randn(2, 3, *frames, edge, edge)


def of_timm(name):
    m = timm.create_model(name, pretrained=False)
    return m, torch.randn(2, *m.default_cfg["input_size"])


def certain(m):
    """Without dropout, and without zeros that hide what is behind them."""
    made = torch.Generator().manual_seed(1)
    for part in m.modules():
        for rate in RATES:
            if isinstance(getattr(part, rate, None), float):
                setattr(part, rate, 0.0)
    with torch.no_grad():
        for p in m.parameters():
            if p.abs().max() < 1e-4:
                p.copy_(torch.rand(p.shape, generator=made) / 5 - 0.1)
    return m


def shortened(m, x):
    short = copy.deepcopy(m)
    for part in list(short.modules()):
        if type(part) in (nn.Sequential, nn.ModuleList) and len({type(c) for c in part}) == 1:
            del part[2:]
    try:
        with torch.no_grad():
            short.eval()(x)
        return short
    except Exception:  # noqa: BLE001  its layers differ
        return m


def floats(y):
    return [t for t in pytree.tree_leaves(y) if isinstance(t, torch.Tensor) and
            t.is_floating_point()]


def off(got, exact, least=0.0):
    """The largest difference, relative to the largest value, or to `least`."""
    if not exact.numel():
        return 0.0
    scale = max(exact.abs().max().item(), least, 1e-30)
    return (got.double() - exact.double()).abs().max().item() / scale


def compare(what, got, eager, exact, limit):
    """What is nothing beside the others is held against those."""
    if len(got) != len(eager):
        return f"{len(got)} {what} for {len(eager)}"
    least = 1e-4 * max((t.abs().max().item() for t in exact if t.numel()), default=0)
    for a, b, c in zip(got, eager, exact):
        d = off(a, c, least)
        if not d <= max(limit, 6 * off(b, c, least)):
            return f"{what} differ by {d:.1e}"


def infer(f, m, x):
    m.eval()
    with torch.no_grad():
        return [floats(f(x))]


def train(f, m, x):
    """Outputs, gradients, buffers."""
    m.train()
    ys, made = floats(f(x)), torch.Generator().manual_seed(2)
    sum((y * torch.randn(y.shape, generator=made).to(y.dtype)).sum() for y in ys).backward()
    grads = [p.grad for p in m.parameters() if p.grad is not None]
    return [y.detach() for y in ys], grads, [b for b in m.buffers() if b.is_floating_point()]


def check(make, name):
    """None, or what is wrong."""
    torch.manual_seed(0)
    m, x = make(name)
    m = shortened(certain(m), x)
    eager, exact = copy.deepcopy(m), copy.deepcopy(m).double()
    ours = copy.deepcopy(exact)
    one = infer(torch.compile(m, backend="kiln", fullgraph=True), m, x)
    why = compare("outputs", one[0], infer(eager, eager, x)[0], infer(exact, exact, x.double())[0],
                  1e-4)
    got = train(torch.compile(ours, backend="kiln", fullgraph=True), ours, x.double())
    right = train(exact, exact, x.double())
    for what, a, b in zip(("outputs", "gradients", "buffers"), got, right):
        why = why or compare(what + " in training", a, b, b, 1e-6)
    left = kiln.torch.report().fallbacks
    return why or (f"fallbacks {left}" if left else None)


def main():
    names = sys.argv[1:]
    cases = [("torchvision", n, of_torchvision) for n in TORCHVISION] + \
        [("timm", n, of_timm) for n in TIMM]
    return run([(n, functools.partial(check, make, n)) for where, n, make in cases
                if not names or n in names or where in names])


if __name__ == "__main__":
    sys.exit(main())
