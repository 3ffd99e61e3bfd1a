"""Discrete Fourier transforms (torch.fft)."""
from . import _kiln

globals().update(_kiln._functions["fft"])
__all__ = list(_kiln._functions["fft"])
