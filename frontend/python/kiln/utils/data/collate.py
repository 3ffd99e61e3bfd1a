"""Items as batches: what is done with each kind of item."""
import collections.abc
import copy
import re

from ... import _functions as K
from ... import _kiln
from ..._kiln import Tensor
from ..._make import as_tensor, tensor

_WRONG = ("default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; "
          "found {}")
_text = re.compile("[SaUO]")


def _is_array(x):
    return type(x).__module__ == "numpy" and type(x).__name__ == "ndarray"


def _is_number(x):
    return type(x).__module__ == "numpy" and hasattr(x, "dtype") and not isinstance(
        x, (str, bytes))


def _of_same_kind(like, values):
    """values (a dict or a list) in a container of like's kind, where its class allows."""
    try:
        if isinstance(like, (collections.abc.MutableMapping, collections.abc.MutableSequence)):
            r = copy.copy(like)
            for k, v in values.items() if isinstance(values, dict) else enumerate(values):
                r[k] = v
            return r
        return type(like)(values)
    except TypeError:
        return values


def _tensors(batch, table):
    return K.stack(list(batch), 0)


def _arrays(batch, table):
    if _text.search(batch[0].dtype.str):
        raise TypeError(_WRONG.format(batch[0].dtype))
    return collate([as_tensor(b) for b in batch], collate_fn_map=table)


default_collate_fn_map = {
    Tensor: lambda batch, collate_fn_map=None: _tensors(batch, collate_fn_map),
    float: lambda batch, collate_fn_map=None: tensor(list(batch), dtype=_kiln.float64),
    int: lambda batch, collate_fn_map=None: tensor(list(batch)),
    str: lambda batch, collate_fn_map=None: batch,
    bytes: lambda batch, collate_fn_map=None: batch,
}


def _by_table(batch, table):
    """The function for the first item's type, or None."""
    first = batch[0]
    if type(first) in table:
        return table[type(first)]
    return next((fn for kind, fn in table.items() if isinstance(first, kind)), None)


def collate(batch, *, collate_fn_map=None):
    """A batch of items, by a table of functions for types and by part for containers."""
    first, table = batch[0], collate_fn_map or {}
    fn = _by_table(batch, table)
    if fn is not None:
        return fn(batch, collate_fn_map=table)
    if table is default_collate_fn_map and _is_array(first):
        return _arrays(batch, table)
    if table is default_collate_fn_map and _is_number(first):
        return tensor([b.item() for b in batch], dtype=as_tensor(first.reshape(1)).dtype)

    def part(items):
        return collate(items, collate_fn_map=table)

    if isinstance(first, collections.abc.Mapping):
        return _of_same_kind(first, {k: part([d[k] for d in batch]) for k in first})
    if isinstance(first, tuple) and hasattr(first, "_fields"):
        return type(first)(*(part(x) for x in zip(*batch)))
    if isinstance(first, collections.abc.Sequence):
        if any(len(x) != len(first) for x in batch):
            raise RuntimeError("each element in list of batch should be of equal size")
        parts = [part(x) for x in zip(*batch)]
        return parts if isinstance(first, tuple) else _of_same_kind(first, parts)
    raise TypeError(_WRONG.format(type(first)))


def default_collate(batch):
    """Items as one batch: tensors stacked, numbers as tensors, containers by part."""
    return collate(batch, collate_fn_map=default_collate_fn_map)


def default_convert(data):
    """Arrays as tensors, in containers too; what is without a batch is left as it is."""
    if isinstance(data, Tensor) or isinstance(data, (str, bytes)):
        return data
    if _is_array(data):
        return data if _text.search(data.dtype.str) else as_tensor(data)
    if _is_number(data):
        return as_tensor(data)
    if isinstance(data, collections.abc.Mapping):
        return _of_same_kind(data, {k: default_convert(v) for k, v in data.items()})
    if isinstance(data, tuple) and hasattr(data, "_fields"):
        return type(data)(*(default_convert(d) for d in data))
    if isinstance(data, tuple):
        return [default_convert(d) for d in data]
    if isinstance(data, collections.abc.Sequence):
        return _of_same_kind(data, [default_convert(d) for d in data])
    return data
