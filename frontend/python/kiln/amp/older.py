"""The names that mixed precision had when each kind of device had its own."""
import functools

from . import autocast_mode, grad_scaler


def names(device):
    """autocast, GradScaler, custom_fwd and custom_bwd of one kind of device."""

    class autocast(autocast_mode.autocast):
        def __init__(self, enabled=True, dtype=None, cache_enabled=True):
            super().__init__(device, dtype=dtype, enabled=enabled, cache_enabled=cache_enabled)

    class GradScaler(grad_scaler.GradScaler):
        def __init__(self, init_scale=2.0 ** 16, growth_factor=2.0, backoff_factor=0.5,
                     growth_interval=2000, enabled=True):
            super().__init__(device, init_scale, growth_factor, backoff_factor, growth_interval,
                             enabled)

    for cls in (autocast, GradScaler):
        cls.__doc__ = f'amp.{cls.__name__}("{device}", ..).'
        cls.__module__, cls.__qualname__ = f"{__package__[:-4]}.{device}.amp", cls.__name__
    return (autocast, GradScaler, functools.partial(autocast_mode.custom_fwd, device_type=device),
            functools.partial(autocast_mode.custom_bwd, device_type=device))
