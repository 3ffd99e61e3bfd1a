"""Pooling, each kind over one, two and three axes: F's function of the class's name."""
from .. import functional as F
from .conv import tuple_of
from .module import Module


class _Pool(Module):
    """fn is F's function; shown are the settings that printing names."""

    fn, dims, shown = "", 0, ()

    def _call(self, *args, **kwargs):
        return getattr(F, f"{self.fn}{self.dims}d")(*args, **kwargs)

    def extra_repr(self):
        return ", ".join(f"{n}={getattr(self, n)}" for n in self.shown)


class _MaxPool(_Pool):
    fn, shown = "max_pool", ("kernel_size", "stride", "padding", "dilation", "ceil_mode")

    def __init__(self, kernel_size, stride=None, padding=0, dilation=1, return_indices=False,
                 ceil_mode=False):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.dilation = padding, dilation
        self.return_indices, self.ceil_mode = return_indices, ceil_mode

    def forward(self, input):
        return self._call(input, self.kernel_size, self.stride, self.padding, self.dilation,
                          ceil_mode=self.ceil_mode, return_indices=self.return_indices)


class _MaxUnpool(_Pool):
    fn, shown = "max_unpool", ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size, stride=None, padding=0):
        super().__init__()
        n = self.dims
        self.kernel_size, self.padding = tuple_of(kernel_size, n), tuple_of(padding, n)
        self.stride = tuple_of(kernel_size if stride is None else stride, n)

    def forward(self, input, indices, output_size=None):
        return self._call(input, indices, self.kernel_size, self.stride, self.padding,
                          output_size)


class _AvgPool(_Pool):
    fn, shown = "avg_pool", ("kernel_size", "stride", "padding")

    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False,
                 count_include_pad=True, divisor_override=None):
        super().__init__()
        self.kernel_size, self.stride = kernel_size, kernel_size if stride is None else stride
        self.padding, self.ceil_mode = padding, ceil_mode
        self.count_include_pad, self.divisor_override = count_include_pad, divisor_override

    def forward(self, input):
        return self._call(input, self.kernel_size, self.stride, self.padding, self.ceil_mode,
                          self.count_include_pad, self.divisor_override)


class _AvgPool1(_AvgPool):
    def __init__(self, kernel_size, stride=None, padding=0, ceil_mode=False,
                 count_include_pad=True):
        super().__init__(tuple_of(kernel_size, 1), stride and tuple_of(stride, 1),
                         tuple_of(padding, 1), ceil_mode, count_include_pad)


class _LPPool(_Pool):
    fn, shown = "lp_pool", ("norm_type", "kernel_size", "stride", "ceil_mode")

    def __init__(self, norm_type, kernel_size, stride=None, ceil_mode=False):
        super().__init__()
        if norm_type == 0:
            raise ValueError(f"norm_type must be a non-zero value, but got {norm_type}")
        self.norm_type, self.kernel_size = norm_type, kernel_size
        self.stride, self.ceil_mode = stride, ceil_mode

    def forward(self, input):
        return self._call(input, float(self.norm_type), self.kernel_size, self.stride,
                          self.ceil_mode)


class _AdaptiveMaxPool(_Pool):
    fn, shown = "adaptive_max_pool", ("output_size",)

    def __init__(self, output_size, return_indices=False):
        super().__init__()
        self.output_size, self.return_indices = output_size, return_indices

    def forward(self, input):
        return self._call(input, self.output_size, self.return_indices)


class _AdaptiveAvgPool(_Pool):
    fn, shown = "adaptive_avg_pool", ("output_size",)

    def __init__(self, output_size):
        super().__init__()
        self.output_size = output_size

    def forward(self, input):
        return self._call(input, self.output_size)


class _FractionalMaxPool(_Pool):
    fn = "fractional_max_pool"

    def __init__(self, kernel_size, output_size=None, output_ratio=None, return_indices=False,
                 _random_samples=None):
        super().__init__()
        name = type(self).__name__
        self.kernel_size, self.return_indices = tuple_of(kernel_size, self.dims), return_indices
        self.register_buffer("_random_samples", _random_samples)
        if output_size is None and output_ratio is None:
            raise ValueError(f"{name} requires specifying either an output size, or a pooling ratio")
        if output_size is not None and output_ratio is not None:
            raise ValueError("only one of output_size and output_ratio may be specified")
        self.output_size = output_size and tuple_of(output_size, self.dims)
        self.output_ratio = output_ratio and tuple_of(output_ratio, self.dims)
        if output_ratio is not None and not all(0 < v < 1 for v in self.output_ratio):
            raise ValueError(f"output_ratio must be between 0 and 1 (got {output_ratio})")

    def forward(self, input):
        return self._call(input, self.kernel_size, self.output_size, self.output_ratio,
                          self.return_indices, self._random_samples)


_KINDS = {"MaxPool": (_MaxPool, "The largest of each window"),
          "MaxUnpool": (_MaxUnpool, "MaxPool's reverse: zeros where nothing was largest"),
          "AvgPool": (_AvgPool, "The mean of each window"),
          "LPPool": (_LPPool, "The root of each window's sum of powers"),
          "AdaptiveMaxPool": (_AdaptiveMaxPool, "The largest of so many windows"),
          "AdaptiveAvgPool": (_AdaptiveAvgPool, "Means of so many windows"),
          "FractionalMaxPool": (_FractionalMaxPool, "The largest of windows at random places")}
__all__ = []
for _kind, (_base, _doc) in _KINDS.items():
    for _n in (2, 3) if _kind == "FractionalMaxPool" else (1, 2, 3):
        _name = f"{_kind}{_n}d"
        globals()[_name] = type(_name, (_AvgPool1 if _name == "AvgPool1d" else _base,), {
            "dims": _n, "__module__": __name__,
            "__doc__": f"{_doc}, over the last {_n} ax{'is' if _n == 1 else 'es'}."})
        __all__.append(_name)
