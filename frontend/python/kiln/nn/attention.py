"""Which way attention is computed: kiln has one, so that a choice changes nothing."""
import contextlib
import enum


class SDPBackend(enum.IntEnum):
    """PyTorch's ways to compute scaled_dot_product_attention."""

    ERROR = -1
    MATH = 0
    FLASH_ATTENTION = 1
    EFFICIENT_ATTENTION = 2
    CUDNN_ATTENTION = 3
    OVERRIDEABLE = 4


@contextlib.contextmanager
def sdpa_kernel(backends, set_priority=False):
    """Inside, attention is computed by one of these backends.

    >>> q = torch.ones(1, 2, 4)
    >>> with nn.attention.sdpa_kernel(nn.attention.SDPBackend.MATH):
    ...     print(nn.functional.scaled_dot_product_attention(q, q, q).shape)
    torch.Size([1, 2, 4])
    """
    every = (backends,) if isinstance(backends, SDPBackend) else tuple(backends)
    if not every or not all(isinstance(b, SDPBackend) for b in every):
        raise AssertionError("Backend must be an instance of SDPBackend or a list of SDPBackend "
                             "instances")
    yield {}
