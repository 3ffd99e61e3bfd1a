"""kiln has no cudnn: its kernels are its own."""
import contextlib


def is_available():
    return False


enabled = allow_tf32 = benchmark = False
deterministic = True  # every kernel gives the same bits each time


@contextlib.contextmanager
def flags(enabled=False, benchmark=False, benchmark_limit=10, deterministic=False, allow_tf32=True,
          fp32_precision="none"):
    """Settings within a block; no kernel depends on them."""
    yield
