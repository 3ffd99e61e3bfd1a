"""Parameter and Buffer: tensors that a module registers."""
from .._kiln import Tensor, _as_class


class Parameter(Tensor):
    """A tensor that is a module's parameter: it collects a gradient by default."""

    def __new__(cls, data=None, requires_grad=True):
        if data is None:
            from .. import empty
            data = empty(0)
        p = _as_class(cls, data)
        return p.requires_grad_(requires_grad) if requires_grad else p

    def __repr__(self):
        return "Parameter containing:\n" + Tensor.__repr__(self)

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.data.clone(), self.requires_grad)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return Parameter, (self.data, self.requires_grad)


class Buffer(Tensor):
    """A tensor that a module registers as a buffer when it is assigned."""

    def __new__(cls, data=None, *, persistent=True):
        b = _as_class(cls, data)
        b.persistent = persistent
        return b


class UninitializedParameter(Parameter):
    """A parameter whose shape its module learns at the first call."""

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        return super().__new__(cls, None, requires_grad)
