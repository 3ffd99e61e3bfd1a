"""What PyTorch's guide to subclasses of Tensor takes from its C module."""
from ._kiln import _disabled_torch_function as _disabled_torch_function_impl  # noqa: F401
from .overrides import _AllOff as DisableTorchFunction  # noqa: F401
from .overrides import _Off as DisableTorchFunctionSubclass  # noqa: F401
