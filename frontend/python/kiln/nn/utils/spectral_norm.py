"""Weights divided by their largest singular value, which one step of the power iteration a call
follows (Miyato and others, 2018)."""
from ... import _functions as K
from ..._grad import no_grad
from .. import functional as F
from ..parameter import Parameter
from ._made_weights import hook_of, refuse_lazy


class SpectralNorm:
    """The hook that makes a module's parameter of name_orig, by the singular vectors name_u and
    name_v."""

    def __init__(self, name="weight", n_power_iterations=1, dim=0, eps=1e-12):
        if n_power_iterations <= 0:
            raise ValueError("Expected n_power_iterations to be positive, but got "
                             f"n_power_iterations={n_power_iterations}")
        self.name, self.n_power_iterations, self.dim, self.eps = name, n_power_iterations, dim, eps

    def matrix(self, weight):
        return weight.movedim(self.dim, 0).reshape(weight.shape[self.dim], -1)

    def unit(self, vector):
        return F.normalize(vector, dim=0, eps=self.eps)

    def compute_weight(self, module, do_power_iteration):
        weight, u, v = (getattr(module, self.name + s) for s in ("_orig", "_u", "_v"))
        matrix = self.matrix(weight)
        if do_power_iteration:
            with no_grad():
                for _ in range(self.n_power_iterations):
                    v.copy_(self.unit(matrix.t().mv(u)))
                    u.copy_(self.unit(matrix.mv(v)))
                u, v = u.clone(), v.clone()  # a later call's steps leave this one's gradient alone
        return weight / K.dot(u, matrix.mv(v))

    def __call__(self, module, inputs):
        object.__setattr__(module, self.name, self.compute_weight(module, module.training))


def spectral_norm(module, name="weight", n_power_iterations=1, eps=1e-12, dim=None):
    """Divide a parameter by its largest singular value before each call.

    >>> layer = nn.utils.spectral_norm(nn.Linear(3, 3))
    >>> sorted(layer.state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    if hook_of(module, SpectralNorm, name)[0] is not None:
        raise RuntimeError(f"Cannot register two spectral_norm hooks on the same parameter {name}")
    if dim is None:  # these keep their outputs at dimension 1
        dim = int(type(module).__name__.startswith("ConvTranspose"))
    fn, weight = SpectralNorm(name, n_power_iterations, dim, eps), module._parameters[name]
    if weight is None:
        raise ValueError(f"`SpectralNorm` cannot be applied as parameter `{name}` is None")
    refuse_lazy(weight, SpectralNorm, "spectral normalization")
    with no_grad():
        u, v = (fn.unit(weight.new_empty(n).normal_()) for n in fn.matrix(weight).shape)
    del module._parameters[name]
    module.register_parameter(name + "_orig", weight)
    object.__setattr__(module, name, weight.detach())
    module.register_buffer(name + "_u", u)
    module.register_buffer(name + "_v", v)
    module.register_forward_pre_hook(fn)
    return module


def remove_spectral_norm(module, name="weight"):
    """Make it one parameter again, as it was last divided."""
    key, fn = hook_of(module, SpectralNorm, name)
    if key is None:
        raise ValueError(f"spectral_norm of '{name}' not found in {module}")
    with no_grad():
        weight = fn.compute_weight(module, False)
    object.__delattr__(module, name)
    del module._parameters[name + "_orig"]
    for s in ("_u", "_v"):
        del module._buffers[name + s]
    module._forward_pre_hooks.pop(key)
    setattr(module, name, Parameter(weight.detach()))
    return module
