"""Optimisers."""
from . import lr_scheduler, swa_utils  # noqa: F401
from .lbfgs import LBFGS  # noqa: F401
from .optimizer import Optimizer  # noqa: F401
from .rules import (ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam,  # noqa: F401
                    RMSprop, Rprop)
from .shaped import Adafactor, Muon, SparseAdam  # noqa: F401
