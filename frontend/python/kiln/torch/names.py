"""dtypes of PyTorch as kiln's."""
import torch

from .. import _kiln

_DTYPES = {getattr(torch, n): getattr(_kiln, n) for n in (
    "bool uint8 int8 uint16 int16 uint32 int32 uint64 int64 float16 bfloat16 float32 float64 "
    "complex64 complex128").split()}


def dtype_of(dtype):
    """None: a dtype that kiln has not."""
    return _DTYPES.get(dtype)
