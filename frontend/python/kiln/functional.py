"""What PyTorch keeps in torch.functional: functions of several tensors that torch has too."""
from . import nn as _nn
from ._functions import *  # noqa: F401,F403
from ._misc import *  # noqa: F401,F403
from ._wrap import *  # noqa: F401,F403

F = _nn.functional
