"""Layers that learn the number of their input's features at the first call, and become the
ordinary ones then."""
from ..._grad import no_grad
from ..parameter import UninitializedBuffer, UninitializedParameter, is_lazy
from . import conv, norm
from .linear import Linear


class LazyModuleMixin:
    """initialize_parameters(input) before the first call; then the class is cls_to_become."""

    cls_to_become = None

    def _begin(self):
        self._load_hook = self._register_load_state_dict_pre_hook(self._lazy_load_hook)
        self._initialize_hook = self.register_forward_pre_hook(self._infer_parameters,
                                                               with_kwargs=True)

    def _own(self):
        return {**self._parameters, **self._buffers}

    def has_uninitialized_params(self):
        return any(is_lazy(t) for t in self._own().values())

    def _save_to_state_dict(self, destination, prefix, keep_vars):
        for name, t in self._own_state().items():
            destination[prefix + name] = t if keep_vars or is_lazy(t) else t.detach()

    def _lazy_load_hook(self, state_dict, prefix, *rest):
        for name, t in self._own().items():
            given = state_dict.get(prefix + name)
            if t is not None and given is not None and is_lazy(t) and not is_lazy(given):
                with no_grad():
                    t.materialize(given.shape)

    def initialize_parameters(self, *args, **kwargs):
        raise NotImplementedError("initialize_parameters is not implemented for "
                                  f"{type(self).__name__}")

    def _infer_parameters(self, module, args, kwargs=None):
        module.initialize_parameters(*args, **(kwargs or {}))
        if module.has_uninitialized_params():
            raise RuntimeError(f"module {self._get_name()} has not been fully initialized")
        module._initialize_hook.remove()
        module._load_hook.remove()
        del module._initialize_hook, module._load_hook
        if module.cls_to_become is not None:
            module.__class__ = module.cls_to_become


class LazyLinear(LazyModuleMixin, Linear):
    """Linear, in_features learnt."""

    cls_to_become = Linear

    def __init__(self, out_features, bias=True, device=None, dtype=None):
        super().__init__(0, 0, False)
        self._begin()
        self.out_features = out_features
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def initialize_parameters(self, input):
        if self.has_uninitialized_params():
            with no_grad():
                self.in_features = input.shape[-1]
                self.weight.materialize((self.out_features, self.in_features))
                if self.bias is not None:
                    self.bias.materialize((self.out_features,))
                self.reset_parameters()
        elif self.in_features == 0:
            self.in_features = input.shape[-1]

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.in_features != 0:
            super().reset_parameters()


class _LazyConv(LazyModuleMixin):
    """A convolution, in_channels learnt."""

    def __init__(self, out_channels, kernel_size, *args, bias=True, device=None, dtype=None,
                 **kwargs):
        at = 5 if not self.transposed else 4  # bias among the positions
        if len(args) >= at:
            bias, args = args[at - 1], (*args[:at - 1], False, *args[at:])
        else:
            kwargs["bias"] = False
        super().__init__(0, 0, kernel_size, *args, device=device, dtype=dtype, **kwargs)
        self._begin()
        self.out_channels = out_channels
        self.weight = UninitializedParameter(device=device, dtype=dtype)
        if bias:
            self.bias = UninitializedParameter(device=device, dtype=dtype)

    def _channels(self, input):
        n = self.dims
        if input.dim() not in (n + 1, n + 2):
            raise RuntimeError(f"Expected {n + 1}D (unbatched) or {n + 2}D (batched) input to "
                               f"{type(self).__name__}, but got input of size: {input.shape}")
        return input.shape[input.dim() - n - 1]

    def initialize_parameters(self, input, *args, **kwargs):
        if not self.has_uninitialized_params():
            return
        self.in_channels = self._channels(input)
        if self.in_channels % self.groups != 0:
            raise ValueError("in_channels must be divisible by groups")
        rows, columns = (self.in_channels, self.out_channels) if self.transposed \
            else (self.out_channels, self.in_channels)
        self.weight.materialize((rows, columns // self.groups, *self.kernel_size))
        if self.bias is not None:
            self.bias.materialize((self.out_channels,))
        self.reset_parameters()

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.in_channels != 0:
            super().reset_parameters()


class _LazyNorm(LazyModuleMixin):
    """A normalisation, num_features learnt."""

    def __init__(self, eps=1e-5, momentum=0.1, affine=True, track_running_stats=True, device=None,
                 dtype=None, *, bias=True):
        super().__init__(0, eps, momentum, False, False, device=device, dtype=dtype, bias=False)
        self._begin()
        self.affine, self.track_running_stats = affine, track_running_stats
        like = dict(device=device, dtype=dtype)
        if affine:
            self.weight = UninitializedParameter(**like)
            if bias:
                self.bias = UninitializedParameter(**like)
        if track_running_stats:
            self.running_mean = UninitializedBuffer(**like)
            self.running_var = UninitializedBuffer(**like)
            self.num_batches_tracked = norm.tensor(0, dtype=norm._kiln.int64, device=device)

    def initialize_parameters(self, input):
        if not self.has_uninitialized_params():
            return
        self.num_features = input.shape[1]
        for t in self._own().values():
            if is_lazy(t):
                t.materialize((self.num_features,))
        self.reset_parameters()

    def reset_parameters(self):
        if not self.has_uninitialized_params() and self.num_features != 0:
            super().reset_parameters()


__all__ = ["LazyLinear"]
for _kind, _mixin, _module in (("Conv", _LazyConv, conv), ("ConvTranspose", _LazyConv, conv),
                               ("BatchNorm", _LazyNorm, norm), ("InstanceNorm", _LazyNorm, norm)):
    for _n in (1, 2, 3):
        _base = getattr(_module, f"{_kind}{_n}d")
        _name = f"Lazy{_kind}{_n}d"
        globals()[_name] = type(_name, (_mixin, _base), {
            "cls_to_become": _base, "__module__": __name__,
            "__doc__": f"{_kind}{_n}d, the number of its input's channels learnt."})
        __all__.append(_name)
