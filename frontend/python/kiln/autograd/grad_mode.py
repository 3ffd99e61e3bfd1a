"""Switching recording on and off, under PyTorch's path."""
from .._grad import enable_grad, inference_mode, no_grad, set_grad_enabled  # noqa: F401
