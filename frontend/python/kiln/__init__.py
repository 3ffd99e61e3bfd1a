"""kiln: PyTorch's tensor API over a tensor compiler.

Operations build a graph; a value is computed, by fused and compiled kernels, when somebody
looks at it. Nothing else can be told from it."""
import collections as _collections
import os as _os

from . import _kiln
from ._kiln import (Generator, Tensor, default_generator, device, dtype,  # noqa: F401
                    get_default_dtype, is_grad_enabled, set_default_dtype)
from ._functions import return_types as _return_types
from ._size import Size  # noqa: F401

_kiln._setup(Size, _return_types, _os.path.dirname(_os.path.abspath(__file__)))

from ._dtypes import *  # noqa: E402,F401,F403
from ._functions import *  # noqa: E402,F401,F403
from ._wrap import *  # noqa: E402,F401,F403
from ._wrap import _range as range  # noqa: E402,F401
from ._grad import (enable_grad, inference_mode, no_grad, set_grad_enabled)  # noqa: E402,F401
from ._device import get_default_device, set_default_device  # noqa: E402,F401
from ._make import (as_tensor, asarray, from_dlpack, from_numpy, frombuffer, scalar_tensor,  # noqa: E402,F401
                    tensor)
from . import random  # noqa: E402,F401
from .random import (get_rng_state, initial_seed, manual_seed, seed,  # noqa: E402,F401
                     set_rng_state)
from ._misc import *  # noqa: E402,F401,F403
from ._print import set_printoptions  # noqa: E402,F401
from ._tensor import detach_, resize_as_  # noqa: E402,F401  and methods written in Python
from . import _C, overrides  # noqa: E402,F401
from . import autograd  # noqa: E402,F401
from .autograd.anomaly_mode import (is_anomaly_check_nan_enabled,  # noqa: E402,F401
                                    is_anomaly_enabled)
from . import amp, cpu  # noqa: E402,F401
from .amp import (GradScaler, autocast, get_autocast_dtype, is_autocast_enabled,  # noqa: E402,F401
                  set_autocast_dtype, set_autocast_enabled)
from . import (accelerator, backends, cuda, fft, func, functional, jit, linalg, masked, nn, optim, profiler, serialization, sparse,  # noqa: E402,F401
               signal, special, testing, utils)
from ._more import *  # noqa: E402,F401,F403
from .sparse import (sparse_bsc_tensor, sparse_bsr_tensor, sparse_coo_tensor,  # noqa: E402,F401
                     sparse_compressed_tensor, sparse_csc_tensor, sparse_csr_tensor)
from . import __config__, distributed, distributions  # noqa: E402,F401
from .serialization import load, save  # noqa: E402,F401
from .storage import *  # noqa: E402,F401,F403

from . import version  # noqa: E402,F401
from .version import __version__  # noqa: E402,F401
del _collections, _os
