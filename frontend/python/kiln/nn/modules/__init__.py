"""The layers."""
from .activation import *  # noqa: F401,F403
from .container import (ModuleDict, ModuleList, ParameterDict, ParameterList,  # noqa: F401
                        Sequential)
from .linear import Flatten, Identity, Linear, Unflatten  # noqa: F401
from .loss import CrossEntropyLoss, L1Loss, MSELoss  # noqa: F401
from .module import Module  # noqa: F401
from .regularise import (BatchNorm1d, BatchNorm2d, BatchNorm3d, Dropout, Embedding,  # noqa: F401
                         GroupNorm, LayerNorm)
