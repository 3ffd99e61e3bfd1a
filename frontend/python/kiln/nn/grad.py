"""Gradients of convolutions as functions of the other operand and the output's gradient."""
from .. import _kiln
from .._grad import enable_grad as _enable_grad
from ..autograd import grad as _grad

_convolve = _kiln._functions["nn.functional"]


def _of(n, which):
    def run(input, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
        with _enable_grad():
            x, w = input.detach(), weight.detach()
            wanted = (x if which == "input" else w).requires_grad_()
            y = _convolve[f"conv{n}d"](x, w, None, stride, padding, dilation, groups)
            return _grad(y, wanted, grad_output)[0]

    if which == "input":
        def fn(input_size, weight, grad_output, stride=1, padding=0, dilation=1, groups=1):
            return run(weight.new_zeros(input_size), weight, grad_output, stride, padding,
                       dilation, groups)
    else:
        def fn(input, weight_size, grad_output, stride=1, padding=0, dilation=1, groups=1):
            return run(input, input.new_zeros(weight_size), grad_output, stride, padding, dilation,
                       groups)
    fn.__name__ = f"conv{n}d_{which}"
    fn.__doc__ = f"The gradient of conv{n}d by its {which}."
    return fn


for _n in (1, 2, 3):
    for _which in ("input", "weight"):
        globals()[f"conv{_n}d_{_which}"] = _of(_n, _which)
