"""What this build is, under the names that programs ask PyTorch for."""
from . import __version__  # noqa: F401

cuda = hip = xpu = git_version = None
debug = False
