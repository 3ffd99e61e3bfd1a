"""Modules made without initial values."""


def skip_init(module_cls, *args, **kwargs):
    """A module whose parameters are to be filled by the caller."""
    return module_cls(*args, **kwargs)
