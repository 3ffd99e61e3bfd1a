"""Where PyTorch keeps collating and the workers."""
import sys as _sys

from . import collate, worker

for _of in (collate, worker):
    _sys.modules[f"{__name__}.{_of.__name__.rpartition('.')[2]}"] = _of
