"""The dtypes by all their names."""
from . import _kiln

for _name in ("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64",
              "float16", "bfloat16", "float32", "float64", "complex64", "complex128"):
    globals()[_name] = getattr(_kiln, _name)
half, float, double = _kiln.float16, _kiln.float32, _kiln.float64
short, int, long = _kiln.int16, _kiln.int32, _kiln.int64
cfloat, cdouble = _kiln.complex64, _kiln.complex128
__all__ = [n for n in globals() if not n.startswith("_")]
