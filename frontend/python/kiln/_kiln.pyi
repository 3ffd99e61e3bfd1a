"""The extension's own names, as far as checkers ask for them; kiln's stub says the rest."""
from typing import Any

from . import Generator as Generator
from . import Tensor as Tensor
from . import device as device
from . import dtype as dtype

def __getattr__(name: str) -> Any: ...
