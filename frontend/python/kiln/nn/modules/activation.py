"""Activations, one table: name, function, parameters with their defaults."""
from .. import functional as F
from ..parameter import Parameter
from .module import Module


def _module(name, fn, doc, **params):
    """A Module that calls fn(input, *params)."""
    names = list(params)

    def init(self, *args, **kwargs):
        Module.__init__(self)
        values = dict(params)
        values.update(zip(names, args))
        unknown = set(kwargs) - set(names)
        if unknown or len(args) > len(names):
            raise TypeError(f"{name}.__init__() got an unexpected keyword argument "
                            f"'{next(iter(unknown), args[-1])}'")
        values.update(kwargs)
        for key, v in values.items():
            setattr(self, key, v)

    def forward(self, input):
        return fn(input, *(getattr(self, key) for key in names))

    def extra_repr(self):
        shown = [n for n in names if n != "inplace" or self.inplace]
        return ", ".join(f"{n}={getattr(self, n)!r}" if n != "dim" else f"dim={self.dim}"
                         for n in shown)

    return type(name, (Module,), {"__init__": init, "forward": forward, "extra_repr": extra_repr,
                                  "__doc__": doc, "__module__": __name__})


ReLU = _module("ReLU", F.relu, "The larger of the input and zero.", inplace=False)
ReLU6 = _module("ReLU6", F.relu6, "The input held between 0 and 6.", inplace=False)
SELU = _module("SELU", F.selu, "The scaled exponential linear unit.", inplace=False)
SiLU = _module("SiLU", F.silu, "input * sigmoid(input).", inplace=False)
Mish = _module("Mish", F.mish, "input * tanh(softplus(input)).", inplace=False)
Hardswish = _module("Hardswish", F.hardswish, "input * relu6(input + 3) / 6.", inplace=False)
Hardsigmoid = _module("Hardsigmoid", F.hardsigmoid, "relu6(input + 3) / 6.", inplace=False)
Sigmoid = _module("Sigmoid", F.sigmoid, "1 / (1 + exp(-input)).")
Tanh = _module("Tanh", F.tanh, "The hyperbolic tangent.")
Softsign = _module("Softsign", F.softsign, "input / (1 + |input|).")
LogSigmoid = _module("LogSigmoid", F.logsigmoid, "log(sigmoid(input)).")
LeakyReLU = _module("LeakyReLU", F.leaky_relu, "The input, times a slope where negative.",
                    negative_slope=0.01, inplace=False)
Softmax = _module("Softmax", F.softmax, "exp(input) over its sum along dim.", dim=None)
LogSoftmax = _module("LogSoftmax", F.log_softmax, "The logarithm of Softmax.", dim=None)


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
        from ... import full
        super().__init__()
        self.num_parameters = num_parameters
        self.weight = Parameter(full((num_parameters,), init, dtype=dtype))

    def forward(self, input):
        from ... import where
        w = self.weight
        if self.num_parameters > 1:
            w = w.view(-1, *(1,) * (input.dim() - 2))
        return where(input > 0, input, w * input)

    def extra_repr(self):
        return f"num_parameters={self.num_parameters}"
