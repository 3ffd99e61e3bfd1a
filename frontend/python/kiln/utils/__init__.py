"""Utilities."""
from . import _pytree, checkpoint, data, deterministic, hooks  # noqa: F401
