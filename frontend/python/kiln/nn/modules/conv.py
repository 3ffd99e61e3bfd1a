"""Convolutions over one, two and three axes, and their transposes."""
import math

from ... import _functions as K
from .. import functional as F
from .. import init
from ..parameter import Parameter
from .module import Module


def tuple_of(value, n):
    """A number for each of n axes, or one for all."""
    return tuple(value) if hasattr(value, "__iter__") else (value,) * n


class _ConvNd(Module):
    """What all share: weight [out, in / groups, kernel..], transposed [in, out / groups, ..]."""

    dims, transposed = 0, False
    _paddings = ("zeros", "reflect", "replicate", "circular")

    def _set_up(self, in_channels, out_channels, kernel_size, stride, padding, dilation,
                output_padding, groups, bias, padding_mode, device, dtype):
        Module.__init__(self)
        n = self.dims
        if groups <= 0:
            raise ValueError("groups must be a positive integer")
        if in_channels % groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        if out_channels % groups != 0:
            raise ValueError("out_channels must be divisible by groups")
        self.in_channels, self.out_channels = in_channels, out_channels
        self.kernel_size, self.stride = tuple_of(kernel_size, n), tuple_of(stride, n)
        self.padding = padding if isinstance(padding, str) else tuple_of(padding, n)
        self.dilation, self.output_padding = tuple_of(dilation, n), tuple_of(output_padding, n)
        if isinstance(padding, str):
            if padding not in ("same", "valid"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of "
                                 f"{ {'same', 'valid'} }")
            if padding == "same" and any(s != 1 for s in self.stride):
                raise ValueError("padding='same' is not supported for strided convolutions")
        if padding_mode not in self._paddings:
            raise ValueError(f"padding_mode must be one of {set(self._paddings)}, but got "
                             f"padding_mode='{padding_mode}'")
        self.groups, self.padding_mode = groups, padding_mode
        rows, columns = (in_channels, out_channels) if self.transposed \
            else (out_channels, in_channels)
        self.weight = Parameter(K.empty((rows, columns // groups, *self.kernel_size),
                                        device=device, dtype=dtype))
        self.register_parameter("bias", Parameter(K.empty(
            out_channels, device=device, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self):
        init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        if self.bias is not None:
            fan_in, _ = init._calculate_fan_in_and_fan_out(self.weight)
            bound = 1 / math.sqrt(fan_in) if fan_in > 0 else 0
            init.uniform_(self.bias, -bound, bound)

    def extra_repr(self):
        n, s = self.dims, (f"{self.in_channels}, {self.out_channels}, kernel_size="
                           f"{self.kernel_size}, stride={self.stride}")
        if self.padding != (0,) * len(self.padding):
            s += f", padding={self.padding}"
        if self.dilation != (1,) * n:
            s += f", dilation={self.dilation}"
        if self.output_padding != (0,) * n:
            s += f", output_padding={self.output_padding}"
        if self.groups != 1:
            s += f", groups={self.groups}"
        if self.bias is None:
            s += ", bias=False"
        if self.padding_mode != "zeros":
            s += f", padding_mode={self.padding_mode}"
        return s


class _Conv(_ConvNd):
    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0, dilation=1,
                 groups=1, bias=True, padding_mode="zeros", device=None, dtype=None):
        self._set_up(in_channels, out_channels, kernel_size, stride, padding, dilation, 0, groups,
                     bias, padding_mode, device, dtype)

    def _borders(self):
        """For F.pad: low and high of each axis, the last axis first."""
        if not isinstance(self.padding, str):
            return [p for p in reversed(self.padding) for _ in range(2)]
        if self.padding == "valid":
            return [0] * (2 * self.dims)
        totals = [d * (k - 1) for d, k in zip(self.dilation, self.kernel_size)]
        return [p for t in reversed(totals) for p in (t // 2, t - t // 2)]

    def _conv_forward(self, input, weight, bias):
        fn, padding = getattr(F, f"conv{self.dims}d"), self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._borders(), mode=self.padding_mode), 0
        return fn(input, weight, bias, self.stride, padding, self.dilation, self.groups)

    def forward(self, input):
        return self._conv_forward(input, self.weight, self.bias)


class Conv1d(_Conv):
    """A convolution over the last axis of [N, C, L]."""

    dims = 1


class Conv2d(_Conv):
    """A convolution over the last two axes of [N, C, H, W]."""

    dims = 2


class Conv3d(_Conv):
    """A convolution over the last three axes of [N, C, D, H, W]."""

    dims = 3


class _ConvTranspose(_ConvNd):
    transposed = True

    def __init__(self, in_channels, out_channels, kernel_size, stride=1, padding=0,
                 output_padding=0, groups=1, bias=True, dilation=1, padding_mode="zeros",
                 device=None, dtype=None):
        if padding_mode != "zeros":
            raise ValueError("Only \"zeros\" padding mode is supported for "
                             f"{type(self).__name__}")
        self._set_up(in_channels, out_channels, kernel_size, stride, padding, dilation,
                     output_padding, groups, bias, padding_mode, device, dtype)

    def _output_padding(self, input, output_size):
        """What to add to the least extents for the asked ones."""
        if output_size is None:
            return self.output_padding
        n = self.dims
        lead = input.dim() - n
        size = list(output_size)
        size = size[lead:] if len(size) == lead + n else size
        if len(size) != n:
            raise ValueError(f"ConvTranspose{n}D: for {input.dim()}D input, output_size must have "
                             f"{n} or {lead + n} elements (got {len(size)})")
        least = [(input.size(lead + i) - 1) * self.stride[i] - 2 * self.padding[i]
                 + self.dilation[i] * (self.kernel_size[i] - 1) + 1 for i in range(n)]
        most = [m + s - 1 for m, s in zip(least, self.stride)]
        if any(not a <= s <= b for a, s, b in zip(least, size, most)):
            raise ValueError(f"requested an output size of {output_size}, but valid sizes range "
                             f"from {least} to {most} (for an input of {input.size()[2:]})")
        return [s - m for s, m in zip(size, least)]

    def forward(self, input, output_size=None):
        return getattr(F, f"conv_transpose{self.dims}d")(
            input, self.weight, self.bias, self.stride, self.padding,
            self._output_padding(input, output_size), self.groups, self.dilation)


class ConvTranspose1d(_ConvTranspose):
    """Conv1d's gradient by its input, as a layer."""

    dims = 1


class ConvTranspose2d(_ConvTranspose):
    """Conv2d's gradient by its input, as a layer."""

    dims = 2


class ConvTranspose3d(_ConvTranspose):
    """Conv3d's gradient by its input, as a layer."""

    dims = 3
