"""Tensors of others' arrays and back, also of element types that kiln has no dtype for: float8 as
bits in uint8, integers of 4 and 2 bits in int8 and uint8 (ml_dtypes gives NumPy such types)."""
import kiln
from kiln._kiln import Tensor

# ONNX's element type: the name of ml_dtypes' dtype, whether its bits are carried as they are
_CARRIED = {17: ("float8_e4m3fn", True), 18: ("float8_e4m3fnuz", True), 19: ("float8_e5m2", True),
            20: ("float8_e5m2fnuz", True), 21: ("uint4", False), 22: ("int4", False),
            23: ("float4_e2m1fn", True), 24: ("float8_e8m0fnu", True), 25: ("uint2", False),
            26: ("int2", False)}


def _plain(array):
    """The array in a dtype that has a buffer, and the dtype of the tensor over it."""
    import numpy as np
    name = array.dtype.name
    if name == "bfloat16":
        return array.view(np.int16), kiln.bfloat16
    if array.dtype.kind == "V" or name in [n for n, _ in _CARRIED.values()]:
        bits = {n: b for n, b in _CARRIED.values()}.get(name)
        if bits:
            return array.view(np.uint8), None
        return array.astype(np.uint8 if name.startswith("u") else np.int8), None
    return array, None


def as_tensor(x, port):
    """Whatever was given, as a tensor of its own dtype; numbers take the port's."""
    if isinstance(x, Tensor):
        return x
    if hasattr(x, "dtype") and hasattr(x, "__array_interface__"):
        array, dtype = _plain(x)
        if not array.flags.c_contiguous:
            array = array.copy()
        t = kiln.tensor(array)
        return t if dtype is None else t.view(dtype)
    if isinstance(x, (bool, int, float, complex, list, tuple)):
        return kiln.tensor(x, dtype=port.dtype)
    return kiln.from_numpy(x) if hasattr(x, "__array__") else kiln.tensor(x)


def as_array(t, type):
    """A NumPy array of the ONNX type."""
    import numpy as np
    if type == 16:
        import ml_dtypes
        return t.view(kiln.int16).numpy().copy().view(ml_dtypes.bfloat16)
    if type not in _CARRIED:
        return t.numpy()
    import ml_dtypes
    name, bits = _CARRIED[type]
    a = t.numpy()
    return a.copy().view(getattr(ml_dtypes, name)) if bits else a.astype(getattr(ml_dtypes, name))
