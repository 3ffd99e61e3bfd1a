"""Parameter and Buffer: tensors that a module registers."""
from .._kiln import Tensor, _as_class, _disabled_torch_function


class Parameter(Tensor):
    """A tensor that is a module's parameter: it collects a gradient by default."""

    __torch_function__ = _disabled_torch_function

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

    __torch_function__ = _disabled_torch_function

    def __new__(cls, data=None, *, persistent=True):
        b = _as_class(cls, data)
        b.persistent = persistent
        return b


class _Uninitialized:
    """A tensor whose shape its module learns at the first call."""

    __torch_function__ = _disabled_torch_function

    def materialize(self, shape, device=None, dtype=None):
        """Give it a shape (its values are the module's to fill): it becomes an ordinary one."""
        from .. import empty
        self.data = empty(shape, device=device or self.device, dtype=dtype or self.dtype)
        self.__class__ = self.cls_to_become

    @property
    def shape(self):
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually "
            "happens in `load_state_dict` when trying to load an uninitialized parameter into an "
            "initialized one. Call `forward` to initialize the parameters before accessing their "
            "attributes.")

    def __repr__(self):
        return f"<{type(self).__name__}>"

    def __deepcopy__(self, memo):
        if id(self) not in memo:
            memo[id(self)] = type(self)(device=self.device, dtype=self.dtype)
        return memo[id(self)]

    def __reduce_ex__(self, protocol):
        return type(self), ()


class UninitializedParameter(_Uninitialized, Parameter):
    """A parameter whose shape its module learns at the first call."""

    cls_to_become = Parameter

    def __new__(cls, requires_grad=True, device=None, dtype=None):
        from .. import empty
        return Parameter.__new__(cls, empty(0, device=device, dtype=dtype), requires_grad)


class UninitializedBuffer(_Uninitialized, Tensor):
    """A buffer whose shape its module learns at the first call."""

    cls_to_become = Buffer

    def __new__(cls, requires_grad=False, device=None, dtype=None, persistent=True):
        from .. import empty
        b = _as_class(cls, empty(0, device=device, dtype=dtype))
        b.persistent = persistent
        return b


def is_lazy(param):
    """Whether its shape is not known yet."""
    return isinstance(param, _Uninitialized)
