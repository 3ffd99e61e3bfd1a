"""Borders around the last one, two or three axes; the last axis first."""
from .. import functional as F
from .conv import tuple_of
from .module import Module


class _Pad(Module):
    mode, dims = "constant", 0

    def __init__(self, padding):
        super().__init__()
        self.padding = tuple_of(padding, 2 * self.dims)

    def forward(self, input):
        return F.pad(input, self.padding, self.mode)

    def extra_repr(self):
        return f"{self.padding}"


class _ConstantPad(_Pad):
    def __init__(self, padding, value):
        super().__init__(padding)
        self.value = value

    def forward(self, input):
        return F.pad(input, self.padding, "constant", self.value)

    def extra_repr(self):
        return f"padding={self.padding}, value={self.value}"


class _ZeroPad(_ConstantPad):
    def __init__(self, padding):
        super().__init__(padding, 0.0)

    def extra_repr(self):
        return f"{self.padding}"


class _CircularPad(_Pad):
    mode = "circular"

    def forward(self, input):
        n = self.dims
        if input.dim() not in (n + 1, n + 2):
            raise ValueError(f"expected {n + 1}D or {n + 2}D input (got {input.dim()}D input)")
        return super().forward(input)


class _ReflectionPad(_Pad):
    mode = "reflect"


class _ReplicationPad(_Pad):
    mode = "replicate"


_KINDS = {"ZeroPad": (_ZeroPad, "A border of zeros"),
          "ConstantPad": (_ConstantPad, "A border of one value"),
          "CircularPad": (_CircularPad, "A border of what stands at the other end"),
          "ReflectionPad": (_ReflectionPad, "A border of the reflected input"),
          "ReplicationPad": (_ReplicationPad, "A border of the outermost elements")}
__all__ = []
for _kind, (_base, _doc) in _KINDS.items():
    for _n in (1, 2, 3):
        _name = f"{_kind}{_n}d"
        globals()[_name] = type(_name, (_base,), {
            "dims": _n, "__module__": __name__,
            "__doc__": f"{_doc}, around the last {_n} ax{'is' if _n == 1 else 'es'}."})
        __all__.append(_name)
