"""Rows that draw random numbers: kiln's streams, by a seed of PyTorch's generator (random.py)."""
import kiln

from .. import _kiln
from .rows import RANDOM, find, row


@row("native_dropout", "native_dropout.default", draws=True)
def _native_dropout(x, p, train=None):
    if train is False or p == 0:
        return x.clone(), kiln.ones(tuple(x.shape), dtype=kiln.bool)
    keep = kiln.rand(tuple(x.shape), dtype=kiln.float32) >= p
    scale = 0.0 if p == 1 else 1 / (1 - p)
    return x * keep * scale, keep


@row("rand", "rand.default", draws=True)
def _rand(size, dtype=None):
    return kiln.rand(tuple(size), dtype=dtype or kiln.get_default_dtype())


@row("randn", "randn.default", draws=True)
def _randn(size, dtype=None):
    return kiln.randn(tuple(size), dtype=dtype or kiln.get_default_dtype())


@row("rand_like", "rand_like.default", draws=True)
def _rand_like(x, dtype=None):
    return kiln.rand(tuple(x.shape), dtype=dtype or x.dtype)


@row("randn_like", "randn_like.default", draws=True)
def _randn_like(x, dtype=None):
    return kiln.randn(tuple(x.shape), dtype=dtype or x.dtype)


@row("randint.low", draws=True)
def _randint(low, high, size, dtype=None):
    return kiln.randint(low, high, tuple(size), dtype=dtype or kiln.int64)


@row("randint", "randint.default", draws=True)
def _randint_below(high, size, dtype=None):
    return kiln.randint(0, high, tuple(size), dtype=dtype or kiln.int64)


@row("randint_like.default", draws=True)
def _randint_like(x, high, dtype=None):
    return kiln.randint(0, high, tuple(x.shape), dtype=dtype or x.dtype)


@row("randint_like.low_dtype", draws=True)
def _randint_like_from(x, low, high, dtype=None):
    return kiln.randint(low, high, tuple(x.shape), dtype=dtype or x.dtype)


@row("randperm", "randperm.default", draws=True)
def _randperm(n, dtype=None):
    return kiln.randperm(n, dtype=dtype or kiln.int64)


@row("bernoulli.p", draws=True)
def _bernoulli(x, p=0.5):
    return (kiln.rand(tuple(x.shape), dtype=kiln.float32) < p).to(x.dtype)


@row("uniform", "uniform.default", draws=True)
def _uniform(x, low=0.0, high=1.0):
    return kiln.rand(tuple(x.shape), dtype=x.dtype) * (high - low) + low


@row("normal_functional", "normal_functional.default", draws=True)
def _normal(x, mean=0.0, std=1.0):
    return kiln.randn(tuple(x.shape), dtype=x.dtype) * std + mean


@row("normal.Tensor_float", "normal.float_Tensor", "normal.Tensor_Tensor", draws=True)
def _normal_of(mean, std=1.0):
    like = mean if isinstance(mean, kiln.Tensor) else std
    shape = kiln.broadcast_shapes(*[t.shape for t in (mean, std) if isinstance(t, kiln.Tensor)])
    return kiln.randn(tuple(shape), dtype=like.dtype) * std + mean


@row("normal.float_float", draws=True)
def _normal_size(mean, std, size, dtype=None):
    return kiln.randn(tuple(size), dtype=dtype or kiln.get_default_dtype()) * std + mean


# ---- drawn in the forward pass, and once more in the backward one ----


@row("run_and_save_rng_state", wants_node=True, draws=True)
def _saved(node, op, *args, **kwargs):
    """By a seed of its own, which stands in front of what PyTorch would keep of its generator."""
    size = next(u.meta["val"].shape[0] for u in node.users if u.args[1] == 0)
    if str(op) not in RANDOM:
        return kiln.zeros(size, dtype=kiln.uint8), find(op)(*args, **kwargs)
    own, other = kiln.randint(0, 2 ** 32, (4,)).to(kiln.uint32).split(2)
    _kiln._draw_from(own)
    drawn = find(op)(*args, **kwargs)
    _kiln._draw_from(other)
    seed = own.view(kiln.uint8)
    return kiln.cat([seed, kiln.zeros(size - seed.shape[0], dtype=kiln.uint8)]), drawn


@row("run_with_rng_state", draws=True)
def _repeated(state, op, *args, **kwargs):
    """What is drawn after it goes on behind the numbers that were drawn by that seed."""
    if str(op) in RANDOM:
        _kiln._draw_from(state[:8].view(kiln.uint32))
    return find(op)(*args, **kwargs)


def _in_place(name):
    @row(name, f"{name}.default", draws=True)
    def _draw(x, *args):
        return getattr(kiln.zeros(tuple(x.shape), dtype=x.dtype), name + "_")(*args)


for _name in ("exponential", "cauchy", "geometric", "log_normal"):
    _in_place(_name)


@row("rrelu_with_noise_functional", "rrelu_with_noise_functional.default", draws=True)
def _rrelu(x, noise, lower=0.125, upper=1 / 3, training=False):
    if not training:
        return kiln.where(x >= 0, x, x * ((lower + upper) / 2)), noise
    slope = kiln.rand(tuple(x.shape), dtype=x.dtype) * (upper - lower) + lower
    slope = kiln.where(x <= 0, slope, kiln.ones((), dtype=x.dtype))
    return x * slope, slope
