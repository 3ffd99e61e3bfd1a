"""Activations, one table: name, function, parameters with their defaults."""
from ... import _functions as K
from .. import functional as F
from ..parameter import Parameter
from .module import Module


def _shown(self, names):
    return ", ".join(f"{n}={getattr(self, n)}" for n in names if n != "inplace" or self.inplace)


def _module(name, fn, doc, **params):
    """A Module that calls fn(input, *params)."""
    names = list(params)
    needed = [n for n, v in params.items() if v is ...]

    def init(self, *args, **kwargs):
        Module.__init__(self)
        if len(args) > len(names):
            raise TypeError(f"{name}.__init__() takes from {len(needed) + 1} to {len(names) + 1} "
                            f"positional arguments but {len(args) + 1} were given")
        unknown = [k for k in kwargs if k not in names]
        if unknown:
            raise TypeError(f"{name}.__init__() got an unexpected keyword argument "
                            f"'{unknown[0]}'")
        missing = [n for n in needed[len(args):] if n not in kwargs]
        if missing:
            raise TypeError(f"{name}.__init__() missing {len(missing)} required positional "
                            f"argument{'s' * (len(missing) > 1)}: "
                            + " and ".join(map(repr, missing)))
        for key, v in {**params, **dict(zip(names, args)), **kwargs}.items():
            setattr(self, key, v)

    def forward(self, input):
        return fn(input, *(getattr(self, key) for key in names))

    return type(name, (Module,), {
        "__init__": init, "forward": forward, "__doc__": doc, "__module__": __name__,
        "extra_repr": lambda self: _shown(self, names)})


ReLU = _module("ReLU", F.relu, "The larger of the input and zero.", inplace=False)
SELU = _module("SELU", F.selu, "The scaled exponential linear unit.", inplace=False)
SiLU = _module("SiLU", F.silu, "input * sigmoid(input).", inplace=False)
Mish = _module("Mish", F.mish, "input * tanh(softplus(input)).", inplace=False)
Hardswish = _module("Hardswish", F.hardswish, "input * relu6(input + 3) / 6.", inplace=False)
Hardsigmoid = _module("Hardsigmoid", F.hardsigmoid, "relu6(input + 3) / 6.", inplace=False)
Sigmoid = _module("Sigmoid", K.sigmoid, "1 / (1 + exp(-input)).")
Tanh = _module("Tanh", K.tanh, "The hyperbolic tangent.")
Softsign = _module("Softsign", F.softsign, "input / (1 + |input|).")
LogSigmoid = _module("LogSigmoid", F.logsigmoid, "log(sigmoid(input)).")
Tanhshrink = _module("Tanhshrink", F.tanhshrink, "input - tanh(input).")
LeakyReLU = _module("LeakyReLU", F.leaky_relu, "The input, times a slope where negative.",
                    negative_slope=0.01, inplace=False)
ELU = _module("ELU", F.elu, "The input, alpha (exp(input) - 1) where negative.", alpha=1.0,
              inplace=False)
CELU = _module("CELU", F.celu, "ELU, with alpha dividing the exponent.", alpha=1.0, inplace=False)
Threshold = _module("Threshold", F.threshold, "The input above a threshold, else a value.",
                    threshold=..., value=..., inplace=False)
Softplus = _module("Softplus", F.softplus, "log(1 + exp(beta input)) / beta.", beta=1.0,
                   threshold=20.0)
GLU = _module("GLU", F.glu, "The first half along dim times the sigmoid of the second.", dim=-1)


class _Lambda(Module):
    """Shrinking by lambd."""

    def __init__(self, lambd=0.5):
        super().__init__()
        self.lambd = lambd

    def extra_repr(self):
        return str(self.lambd)


class Hardshrink(_Lambda):
    """The input, 0 between -lambd and lambd."""

    def forward(self, input):
        return F.hardshrink(input, self.lambd)


class Softshrink(_Lambda):
    """The input moved towards 0 by lambd."""

    def forward(self, input):
        return F.softshrink(input, self.lambd)


class Hardtanh(Module):
    """The input held between two numbers."""

    def __init__(self, min_val=-1.0, max_val=1.0, inplace=False, min_value=None, max_value=None):
        super().__init__()
        self.min_val = min_val if min_value is None else min_value
        self.max_val = max_val if max_value is None else max_value
        self.inplace = inplace
        if not self.max_val > self.min_val:
            raise AssertionError(f"max_val ({self.max_val}) must be greater than min_val "
                                 f"({self.min_val})")

    def forward(self, input):
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self):
        return _shown(self, ("min_val", "max_val", "inplace"))


class ReLU6(Hardtanh):
    """The input held between 0 and 6."""

    def __init__(self, inplace=False):
        super().__init__(0.0, 6.0, inplace)

    def extra_repr(self):
        return _shown(self, ("inplace",))


class RReLU(Module):
    """The input, times a random slope where it is negative; the mean slope in evaluation."""

    def __init__(self, lower=1.0 / 8, upper=1.0 / 3, inplace=False):
        super().__init__()
        self.lower, self.upper, self.inplace = lower, upper, inplace

    def forward(self, input):
        return F.rrelu(input, self.lower, self.upper, self.training, self.inplace)

    def extra_repr(self):
        return _shown(self, ("lower", "upper", "inplace"))


class GELU(Module):
    """input times the normal distribution's cumulative function."""

    def __init__(self, approximate="none"):
        super().__init__()
        self.approximate = approximate

    def forward(self, input):
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self):
        return f"approximate={self.approximate!r}"


class PReLU(Module):
    """The input, times a learnt slope where it is negative."""

    def __init__(self, num_parameters=1, init=0.25, device=None, dtype=None):
        super().__init__()
        self.num_parameters, self.init = num_parameters, init
        self.weight = Parameter(K.empty(num_parameters, device=device, dtype=dtype))
        self.reset_parameters()

    def reset_parameters(self):
        from ..init import constant_
        constant_(self.weight, self.init)

    def forward(self, input):
        return F.prelu(input, self.weight)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"


class _AlongDim(Module):
    """A distribution along dim."""

    def __init__(self, dim=None):
        if dim is not None and (not isinstance(dim, int) or isinstance(dim, bool)):
            raise TypeError(f"dim must be an int or None, got {type(dim)}")
        super().__init__()
        self.dim = dim

    def extra_repr(self):
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """exp(input) over its sum along dim."""

    def forward(self, input):
        return F.softmax(input, self.dim)


class LogSoftmax(_AlongDim):
    """The logarithm of Softmax."""

    def forward(self, input):
        return F.log_softmax(input, self.dim)


class Softmin(_AlongDim):
    """Softmax of -input."""

    def forward(self, input):
        return F.softmin(input, self.dim)


class Softmax2d(Module):
    """Softmax over the channels of images."""

    def forward(self, input):
        if input.dim() not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.dim()}D "
                             "instead")
        return F.softmax(input, -3)


__all__ = [n for n, v in globals().items() if isinstance(v, type) and n[0] != "_"
           and n not in ("Module", "Parameter")]
