"""Python's numbers as tensors and beside them: integers of any size, each within the bounds of its
dtype. Kernels take numbers as int64 or double; what neither holds is made of halves here, or
becomes the float that it is nearest to, as NumPy's does."""
import math

from .. import _kiln
from ._dtype import WEAK, dtype, meet

_LOW, _HIGH = -2 ** 63, 2 ** 63 - 1


def survey(data, types, integers, others):
    """What stands in nested lists: the types of its numbers, its integers, and what is no number."""
    for v in data:
        if isinstance(v, (list, tuple, range)):
            survey(v, types, integers, others)
        elif type(v) in WEAK:
            types.add(type(v))
            if type(v) is int:
                integers.append(v)
        else:
            others.append(v)


def _bounds(d):
    bits = 8 * d.itemsize
    return (-2 ** (bits - 1), 2 ** (bits - 1) - 1) if d.kind == "i" else (0, 2 ** bits - 1)


def _within(v, d):
    """v, which d must hold where it is of integers."""
    low, high = _bounds(d)
    if not low <= v <= high:
        raise OverflowError(f"Python integer {v} out of bounds for {d.name}")
    return v


def _natural(types, integers):
    """The dtype of numbers that no one gave one: integers beyond int64 are uint64 of their own."""
    if not integers or min(integers) >= _LOW and max(integers) <= _HIGH:
        return meet((), types or {float})
    large = {v > _HIGH for v in integers}
    found = [dtype("uint64" if one else "int64") for one in large]
    for v in integers:
        _within(v, dtype("uint64" if v > _HIGH else "int64"))
    return meet(found, types - {int})


def _each(data, f):
    return [_each(v, f) for v in data] if isinstance(data, (list, tuple, range)) else f(data)


def tensor(data, dt, types, integers):
    """A number or nested lists of them, surveyed, as a tensor of dtype dt."""
    dt = dt or _natural(types, integers)
    if dt.order == 1 and float in types:
        data, integers = _each(data, int), []
        survey(data if isinstance(data, list) else [data], set(), integers, [])
    low, high = (min(integers), max(integers)) if integers else (0, 0)
    if dt.order == 1:
        _within(low, dt), _within(high, dt)
    if low >= _LOW and high <= _HIGH:
        return _kiln._tensor(data, dt.kiln)
    if dt.order == 0:
        return _kiln._tensor(_each(data, bool), dt.kiln)
    if dt.order > 1:
        return _kiln._tensor(_each(data, lambda v: float(v) if type(v) is int else v), dt.kiln)
    upper, lower = (_kiln._tensor(_each(data, of), dt.kiln)
                    for of in (lambda v: int(v) >> 32, lambda v: int(v) & 0xffffffff))
    return upper * 2 ** 32 + lower


def beside(v, d, compared=False):
    """A Python number as an operand beside arrays of dtype d; compared with integers, what they
    cannot be is as far away as an infinity."""
    if type(v) is not int or d.order == 0:
        return v
    if d.order > 1:
        return v if _LOW <= v <= _HIGH else float(v)
    low, high = _bounds(d)
    if compared and not low <= v <= high:
        return math.copysign(math.inf, v)
    return v if _within(v, d) <= _HIGH else tensor(v, d, {int}, [v])
