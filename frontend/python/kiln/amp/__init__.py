"""Mixed precision: products in half precision, sums and losses in float32; the table of which
is printed by `python -m kiln.amp`."""
from .autocast_mode import (autocast, custom_bwd, custom_fwd, get_autocast_dtype,  # noqa: F401
                            is_autocast_available, is_autocast_enabled, op_lists,
                            set_autocast_dtype, set_autocast_enabled)
from .grad_scaler import GradScaler  # noqa: F401
