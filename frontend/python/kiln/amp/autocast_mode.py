"""autocast: functions of a table cast their operands while it is on."""
import functools
import warnings

from .. import _kiln

_SUPPORTED = (_kiln.bfloat16, _kiln.float16)


def is_autocast_available(device_type):
    """Whether there is a table for a kind of device."""
    return device_type in ("cpu", "cuda")


def is_autocast_enabled(device_type="cuda"):
    return _kiln._get_autocast(device_type)[0]


def get_autocast_dtype(device_type):
    return _kiln._get_autocast(device_type)[1]


def set_autocast_enabled(device_type, enabled):
    _kiln._set_autocast(device_type, enabled, get_autocast_dtype(device_type))


def set_autocast_dtype(device_type, dtype):
    _kiln._set_autocast(device_type, is_autocast_enabled(device_type), dtype)


def op_lists():
    """{function: (on the cpu, on cuda)}: "lower", "float32", "widest" or "same"."""
    return _kiln._autocast_table()


class autocast:
    """In this context, and in functions that it decorates, operands are cast by the table."""

    def __init__(self, device_type, dtype=None, enabled=True, cache_enabled=None):
        if not isinstance(device_type, str):
            raise ValueError("Expected `device_type` of type `str`, got: "
                             f"`{type(device_type)}`")
        if not is_autocast_available(device_type):
            raise RuntimeError(f"User specified an unsupported autocast device_type "
                               f"'{device_type}'")
        self.device = device_type
        self.fast_dtype = get_autocast_dtype(device_type) if dtype is None else dtype
        self._enabled = enabled and self._supported()

    def _supported(self):
        if self.device == "cuda":
            from .. import cuda
            if not cuda.is_available():
                warnings.warn("CUDA is not available or torch_xla is imported. Disabling "
                              "autocast.", stacklevel=3)
                return False
        elif self.fast_dtype not in _SUPPORTED:
            name = self.device.upper()
            warnings.warn(f"In {name} autocast, but the target dtype is not supported. Disabling "
                          f"autocast.\n{name} Autocast only supports dtypes of "
                          + ", ".join(map(str, _SUPPORTED)) + " currently.", stacklevel=3)
            return False
        return True

    def __enter__(self):
        self._was = _kiln._get_autocast(self.device)
        _kiln._set_autocast(self.device, self._enabled, self.fast_dtype)
        return self

    def __exit__(self, *exc):
        _kiln._set_autocast(self.device, *self._was)
        return False

    def __call__(self, func):
        if not callable(func):
            raise TypeError(
                f"autocast()(func) requires a callable, but got {type(func).__name__}. Did you "
                "mean to use autocast as a context manager? For example:\n    with "
                "torch.autocast(device_type=...):\n        output = model(input)")

        @functools.wraps(func)
        def run(*args, **kwargs):
            was = _kiln._get_autocast(self.device)
            _kiln._set_autocast(self.device, self._enabled, self.fast_dtype)
            try:
                return func(*args, **kwargs)
            finally:
                _kiln._set_autocast(self.device, *was)

        return run


def _cast(value, device_type, dtype):
    """Real tensors (but float64) in a value, as dtype."""
    if isinstance(value, _kiln.Tensor):
        mine = value.is_floating_point() and value.device.type == device_type \
            and value.dtype != _kiln.float64
        return value.to(dtype) if mine else value
    if isinstance(value, dict):
        return {k: _cast(v, device_type, dtype) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(_cast(v, device_type, dtype) for v in value)
    return value


def custom_fwd(fwd=None, *, device_type, cast_inputs=None):
    """For a Function's forward: as autocast is at the call, or its inputs cast and it off."""
    if fwd is None:
        return functools.partial(custom_fwd, device_type=device_type, cast_inputs=cast_inputs)

    @functools.wraps(fwd)
    def run(ctx, *args, **kwargs):
        ctx._dtype = get_autocast_dtype(device_type)
        ctx._fwd_used_autocast = is_autocast_enabled(device_type)
        if cast_inputs is None or not ctx._fwd_used_autocast:
            return fwd(ctx, *args, **kwargs)
        ctx._fwd_used_autocast = False
        with autocast(device_type, enabled=False):
            return fwd(ctx, *_cast(args, device_type, cast_inputs),
                       **_cast(kwargs, device_type, cast_inputs))

    return run


def custom_bwd(bwd=None, *, device_type):
    """For a Function's backward: with autocast as its forward had it."""
    if bwd is None:
        return functools.partial(custom_bwd, device_type=device_type)

    @functools.wraps(bwd)
    def run(ctx, *args, **kwargs):
        with autocast(device_type, dtype=ctx._dtype, enabled=ctx._fwd_used_autocast):
            return bwd(ctx, *args, **kwargs)

    return run
