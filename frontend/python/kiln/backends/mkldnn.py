"""kiln has no mkldnn: its kernels are its own."""
import contextlib

enabled = True


def is_available():
    return False


@contextlib.contextmanager
def flags(enabled=False, deterministic=False, allow_tf32=True, fp32_precision="none"):
    """Settings within a block; no kernel depends on them."""
    yield
