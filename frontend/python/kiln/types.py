"""The types of PyTorch's signatures."""
import builtins as _builtins
from typing import Sequence as _Sequence, Union as _Union

from . import _kiln
from ._kiln import Tensor
from ._size import Size

Number = _Union[_builtins.int, _builtins.float, _builtins.bool]
Device = _Union[_kiln.device, _builtins.str, _builtins.int, None]
_TensorOrTensors = _Union[Tensor, _Sequence[Tensor]]
_size = _Union[Size, _builtins.list, _builtins.tuple]
_dtype = _kiln.dtype
_device = _kiln.device
_bool, _int, _float, _complex = (_builtins.bool, _builtins.int, _builtins.float,
                                 _builtins.complex)
