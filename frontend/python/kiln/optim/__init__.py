"""Optimisers."""
import sys as _sys

from . import lr_scheduler, rules as _rules, shaped as _shaped, swa_utils  # noqa: F401
from .lbfgs import LBFGS  # noqa: F401
from .optimizer import Optimizer  # noqa: F401
from .rules import (ASGD, SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, RAdam,  # noqa: F401
                    RMSprop, Rprop)
from .shaped import Adafactor, Muon, SparseAdam  # noqa: F401

# where PyTorch keeps them
for _of, _names in {_rules: "asgd sgd adadelta adagrad adam adamax adamw nadam radam rmsprop rprop",
                    _shaped: "sparse_adam"}.items():
    for _name in _names.split():
        _sys.modules[f"{__name__}.{_name}"] = globals()[_name] = _of
