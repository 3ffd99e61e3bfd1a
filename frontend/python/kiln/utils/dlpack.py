"""Memory shared with other libraries through DLPack."""
from .._make import from_dlpack  # noqa: F401


def to_dlpack(tensor):
    """A capsule over the tensor's memory, which one from_dlpack takes."""
    return tensor.__dlpack__()
