"""Mixed precision on cpu, by its older names."""
from ...amp.older import names

autocast, GradScaler, custom_fwd, custom_bwd = names("cpu")
