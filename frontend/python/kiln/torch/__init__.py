"""kiln behind PyTorch: `import kiln.torch` registers the torch.compile backend "kiln".

    import torch, kiln.torch
    step = torch.compile(model, backend="kiln")

Graphs become native programs, forward and backward; report() says what ran natively and what
PyTorch's own kernels had to do. Random numbers: random.py."""
import sys as _sys

if getattr(_sys.modules.get("torch"), "__name__", "torch") != "torch":
    raise ImportError("kiln.torch needs PyTorch, but sys.modules['torch'] is "
                      f"{_sys.modules['torch'].__name__}")

try:
    import torch._dynamo as _dynamo
except ImportError as e:
    raise ImportError(f"kiln.torch needs PyTorch, which could not be imported: {e}") from e

from .backend import kiln_backend  # noqa: E402
from .export import export  # noqa: E402,F401
from .report import report, reset  # noqa: E402,F401

_dynamo.config.allow_rnn = True  # else recurrent layers would stay PyTorch's
if "kiln" not in _dynamo.list_backends(exclude_tags=()):
    _dynamo.register_backend(kiln_backend, name="kiln")
