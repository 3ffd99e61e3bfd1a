"""Weights whose length is a parameter of its own: w = v g / |v|, made before each call."""
from ... import _functions as K
from ..parameter import Parameter
from ._made_weights import hook_of, length_except, refuse_lazy


class WeightNorm:
    """The hook that makes a module's parameter of name_g and name_v."""

    def __init__(self, name, dim):
        self.name, self.dim = name, -1 if dim is None else dim

    def compute_weight(self, module):
        return K._weight_norm(getattr(module, self.name + "_v"), getattr(module, self.name + "_g"),
                              self.dim)

    def __call__(self, module, inputs):
        object.__setattr__(module, self.name, self.compute_weight(module))


def weight_norm(module, name="weight", dim=0):
    """Make a parameter of its direction, name_v, and its length, name_g."""
    if hook_of(module, WeightNorm, name)[0] is not None:
        raise RuntimeError(f"Cannot register two weight_norm hooks on the same parameter {name}")
    fn, weight = WeightNorm(name, dim), getattr(module, name)
    refuse_lazy(weight, WeightNorm, "weight normalization")
    del module._parameters[name]
    module.register_parameter(name + "_g", Parameter(length_except(weight.detach(), fn.dim)))
    module.register_parameter(name + "_v", Parameter(weight.detach()))
    fn(module, ())
    module.register_forward_pre_hook(fn)
    return module


def remove_weight_norm(module, name="weight"):
    """Make it one parameter again."""
    key, fn = hook_of(module, WeightNorm, name)
    if key is None:
        raise ValueError(f"weight_norm of '{name}' not found in {module}")
    weight = fn.compute_weight(module).detach()
    object.__delattr__(module, name)
    del module._parameters[name + "_g"], module._parameters[name + "_v"]
    module._forward_pre_hooks.pop(key)
    setattr(module, name, Parameter(weight))
    return module
