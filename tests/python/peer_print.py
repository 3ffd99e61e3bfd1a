"""Printed tensors against PyTorch's, to the character, under many print options."""
import sys

import torch

import kiln

torch.manual_seed(0)
nan, inf = float("nan"), float("inf")


def samples():
    reals = [torch.randn(5), torch.randn(3, 4) * 1e5, torch.tensor(3.), torch.tensor(1e-7),
             torch.tensor([1., 2, 3]), torch.tensor([1., nan, inf]), torch.tensor([0.5, -inf]),
             torch.zeros(0), torch.zeros(0, 3), torch.zeros(2, 0), torch.randn(2, 3, 4),
             torch.randn(40, 40), torch.arange(1200.), torch.randn(30) * 1e3,
             torch.tensor([1e9, 1.]), torch.tensor([0., 0.]), torch.tensor([100000., 1.]),
             torch.tensor([123456789., 0.])]
    whole = [torch.arange(6).reshape(2, 3), torch.tensor(7), torch.arange(0), torch.arange(2000)]
    pairs = [torch.randn(3, dtype=torch.complex64), torch.tensor(1 + 2j),
             torch.tensor([1 + 2j, 3 - 4j]), torch.randn(3, 4, dtype=torch.complex64) * 1e6,
             torch.tensor([complex(0., -0.), complex(1.5, 0)]),
             torch.randn(50, 50, dtype=torch.complex64), torch.tensor([complex(nan, 1)])]
    for ts, dtypes in ((reals, (torch.float32, torch.float64, torch.float16, torch.bfloat16)),
                       (whole, (torch.int64, torch.int32, torch.uint8, torch.int8, torch.bool)),
                       (pairs, (torch.complex64, torch.complex128))):
        for t in ts:
            yield from (t.to(d) for d in dtypes)


def as_kiln(t):
    if t.dtype == torch.bfloat16:
        return kiln.tensor(t.float().numpy()).to(kiln.bfloat16)
    return kiln.tensor(t.numpy())


passed = failed = 0
for options in ({}, dict(precision=2), dict(sci_mode=True), dict(sci_mode=False),
                dict(edgeitems=1, threshold=10), dict(linewidth=40),
                dict(edgeitems=0, threshold=5), dict(profile="short"), dict(profile="full")):
    for module in (torch, kiln):
        module.set_printoptions(profile="default")
        module.set_printoptions(**options)
    for t in samples():
        if t.numel() > 1500 and options.get("profile") == "full":
            continue
        want, got = repr(t), repr(as_kiln(t))
        passed, failed = passed + (want == got), failed + (want != got)
        if want != got:
            print(f"{options} {t.dtype} {tuple(t.shape)}\n{want[:300]}\n{got[:300]}")
print(f"{passed} passed, {failed} failed")
sys.exit(failed > 0)
