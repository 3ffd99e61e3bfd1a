"""The types of the layers' arguments: one number, or one a dimension."""
from typing import Optional as _Optional, Tuple as _Tuple, TypeVar as _TypeVar, Union as _Union

from .._kiln import Tensor as _Tensor

_T = _TypeVar("_T")
_scalar_or_tuple_any_t = _Union[_T, _Tuple[_T, ...]]
_scalar_or_tuple_1_t = _Union[_T, _Tuple[_T]]
_scalar_or_tuple_2_t = _Union[_T, _Tuple[_T, _T]]
_scalar_or_tuple_3_t = _Union[_T, _Tuple[_T, _T, _T]]
_size_any_t = _scalar_or_tuple_any_t[int]
_size_1_t, _size_2_t, _size_3_t = (_scalar_or_tuple_1_t[int], _scalar_or_tuple_2_t[int],
                                   _scalar_or_tuple_3_t[int])
_size_any_opt_t = _scalar_or_tuple_any_t[_Optional[int]]
_size_2_opt_t, _size_3_opt_t = (_scalar_or_tuple_2_t[_Optional[int]],
                                _scalar_or_tuple_3_t[_Optional[int]])
_ratio_any_t = _scalar_or_tuple_any_t[float]
_ratio_2_t, _ratio_3_t = _scalar_or_tuple_2_t[float], _scalar_or_tuple_3_t[float]
_tensor_list_t = _scalar_or_tuple_any_t[_Tensor]
_maybe_indices_t = _scalar_or_tuple_2_t[_Tensor]
