"""Neural-network layers."""
from . import functional, grad, init, parallel, parameter, utils  # noqa: F401
from .modules import *  # noqa: F401,F403
from .attention import SDPBackend as _SDPBackend  # noqa: E402,F401  nn.attention is that module
from .parallel import DataParallel  # noqa: F401
from .parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter  # noqa: F401
