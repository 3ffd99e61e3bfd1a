"""Rows of the operators over lists of tensors, which optimisers are made of."""
import kiln

from .rows import row


def _binary(name):
    @row(f"_foreach_{name}.List")
    def _lists(a, b, alpha=1):
        f = getattr(kiln, name)
        return [f(x, y, alpha=alpha) if alpha != 1 else f(x, y) for x, y in zip(a, b)]

    @row(f"_foreach_{name}.Scalar", f"_foreach_{name}.Tensor")
    def _by_one(a, b, alpha=1):
        f = getattr(kiln, name)
        return [f(x, b, alpha=alpha) if alpha != 1 else f(x, b) for x in a]

    @row(f"_foreach_{name}.ScalarList")
    def _by_each(a, b):
        f = getattr(kiln, name)
        return [f(x, y) for x, y in zip(a, b)]


for _name in "add sub mul div maximum minimum clamp_min clamp_max pow".split():
    _binary(_name)


def _unary(name):
    @row(f"_foreach_{name}.default")
    def _each(a):
        f = getattr(kiln, name)
        return [f(x) for x in a]


for _name in ("abs acos asin atan ceil cos cosh erf erfc exp expm1 floor frac lgamma log log10 "
              "log1p log2 neg reciprocal round rsqrt sigmoid sign sin sinh sqrt tan tanh "
              "trunc").split():
    _unary(_name)


def _product(name):
    @row(f"_foreach_{name}.Scalar")
    def _by_one(a, b, c, value=1):
        f = getattr(kiln, name)
        return [f(x, y, z, value=value) for x, y, z in zip(a, b, c)]

    @row(f"_foreach_{name}.ScalarList", f"_foreach_{name}.Tensor")
    def _by_each(a, b, c, values):
        f = getattr(kiln, name)
        values = values.unbind(0) if isinstance(values, kiln.Tensor) else values
        return [x + (f(kiln.zeros_like(x), y, z) * v) for x, y, z, v in zip(a, b, c, values)]


for _name in ("addcmul", "addcdiv"):
    _product(_name)


@row("_foreach_lerp.List")
def _lerp(a, b, weights):
    return [kiln.lerp(x, y, w) for x, y, w in zip(a, b, weights)]


@row("_foreach_lerp.Scalar", "_foreach_lerp.ScalarList")
def _lerp_by(a, b, weight):
    each = weight if isinstance(weight, (list, tuple)) else [weight] * len(a)
    return [kiln.lerp(x, y, w) for x, y, w in zip(a, b, each)]


@row("_foreach_zero")
def _zero(a):
    return [kiln.zeros_like(x) for x in a]


@row("_foreach_copy")
def _copy(a, b, non_blocking=False):
    return [y.to(x.dtype).expand(x.shape) for x, y in zip(a, b)]


@row("_foreach_pow.ScalarAndTensor")
def _power_of(base, a):
    return [kiln.pow(base, x) for x in a]


@row("_foreach_norm.Scalar")
def _norm(a, ord=2, dtype=None):
    return [kiln.linalg.vector_norm(x, ord, dtype=dtype) for x in a]


