"""How PyTorch names a value's type in its messages."""
from ._kiln import Tensor

_SCALARS = {"float32": "Float", "float64": "Double", "float16": "Half", "bfloat16": "BFloat16",
            "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char", "uint8": "Byte",
            "bool": "Bool"}


def tensor_name(t):
    """The name of a tensor's type by its dtype."""
    scalar = _SCALARS.get(str(t.dtype)[6:])
    return f"torch.{scalar}Tensor" if scalar else "torch.Tensor"


def typename(o):
    """The full name of a value's type."""
    kind = type(o)
    if kind is Tensor:
        return tensor_name(o)
    module = kind.__module__.replace("kiln", "torch", 1)
    return kind.__name__ if module == "builtins" else f"{module}.{kind.__name__}"
