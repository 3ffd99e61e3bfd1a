"""Arrays changed in parts: elements put in, taken out, written where a mask or indices say."""
import math

from ._array import array_of, asarray, axis_of, cast, ndarray
from ._dtype import dtype
from ._helpers import alike, concatenate, index, k, truth

# ---- taken out, put in ----


def _spot(at, n):
    """An index counted from the front."""
    if not -n <= at < n:
        raise IndexError
    return at % n


def _along(arr, axis):
    """arr and axis; without axis, arr in one dimension."""
    return (asarray(k.reshape(arr, -1)), 0) if axis is None else (arr, axis_of(axis, arr.ndim))


def _whole_numbers(obj):
    t = asarray(obj)
    if t.dtype.kind not in "iu" and t.size:
        raise IndexError("arrays used as indices must be of integer (or boolean) type")
    return cast(t, index)


def delete(arr, obj, axis):
    """Without the elements at obj."""
    a, d = _along(arr, axis)
    n = a.shape[d]
    if isinstance(obj, slice):
        gone = list(range(*obj.indices(n)))
    elif getattr(asarray(obj), "dtype").kind == "b" and asarray(obj).ndim:
        mask = asarray(obj)
        if mask.shape != (n,):
            raise ValueError("boolean array argument obj to delete must be one dimensional and "
                             f"match the axis length of {n}")
        return k.index_select(a, d, k.where(k.logical_not(mask))[0])
    else:
        gone = k.reshape(_whole_numbers(obj), -1).tolist()
    for at in gone:
        if not -n <= at < n:
            raise IndexError(f"index {at} is out of bounds for axis {d} with size {n}")
    gone = {at % n for at in gone}
    rest = [i for i in range(n) if i not in gone]
    return k.index_select(a, d, asarray(rest, index))


def insert(arr, obj, values, axis):
    """With values before the elements at obj."""
    a, d = _along(arr, axis)
    n = a.shape[d]
    if isinstance(obj, slice):
        spots, single = list(range(*obj.indices(n))), False
    else:
        t = asarray(obj)
        t = asarray(k.where(t)[0]) if t.dtype.kind == "b" and t.ndim else t
        if t.ndim > 1:
            raise ValueError("index array argument obj to insert must be one dimensional or scalar")
        single = t.ndim == 0
        spots = k.reshape(_whole_numbers(t), -1).tolist()
    _check_spots(spots, n, d)
    spots = [at + n if at < 0 else at for at in spots]
    v = asarray(values, a.dtype)
    if single and v.ndim:
        v = asarray(k.movedim(_raised(v, a.ndim), 0, d))
        count = v.shape[d]
        spots = spots * count
    elif len(spots) == 1 and v.ndim:
        v = _raised(v, a.ndim)
        spots = spots * v.shape[d]
    shape = [len(spots) if i == d else m for i, m in enumerate(a.shape)]
    new = k.broadcast_to(v, shape)
    order = sorted(range(len(spots)), key=spots.__getitem__)
    places = {}
    for turn, i in enumerate(order):
        places[spots[i] + turn] = n + i
    old = iter(range(n))
    take = [places[i] if i in places else next(old) for i in range(n + len(spots))]
    return k.index_select(k.cat([a, new], d), d, asarray(take, index))


def _check_spots(spots, n, d):
    many = len(spots)
    for turn, at in enumerate(sorted(spots)):
        if many == 1 and not -n <= at <= n:
            raise IndexError(f"index {at} is out of bounds for axis {d} with size {n}")
        if many > 1 and not -n <= at <= n:  # NumPy's words are of the result
            raise IndexError(f"index {at + turn} is out of bounds for axis 0 with size {n + many}")


def _raised(v, ndim):
    while v.ndim < ndim:
        v = asarray(k.unsqueeze(v, 0))
    return v


def resize(a, shape):
    """a's elements, again and again, in a shape."""
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    if any(n < 0 for n in shape):
        raise ValueError("all elements of `new_shape` must be non-negative")
    count = math.prod(shape)
    flat = k.reshape(a, -1)
    if not flat.numel() or not count:
        return k.zeros(shape, dtype=a.dtype.kiln)
    return k.reshape(flat[k.remainder(k.arange(count), flat.numel())], shape)


def block(arrays):
    """Nested lists of arrays joined: the innermost along the last axis, and so outwards."""
    depth = _depth(arrays)

    def dims(v):
        return max(map(dims, v)) if isinstance(v, list) else asarray(v).ndim
    ndim = max(depth, dims(arrays))

    def join(v, level):
        if not isinstance(v, list):
            return _raised(asarray(v), ndim)
        return array_of(concatenate([join(w, level + 1) for w in v], ndim - depth + level, None))
    return join(arrays, 0) if depth else asarray(arrays)


def _depth(v, at="arrays", above=0):
    """How deep the lists lie, all alike; above: how deep this one does."""
    if not isinstance(v, list):
        return above
    if not v:
        raise ValueError(f"List at {at} cannot be empty")
    first = None
    for i, w in enumerate(v):
        depth = _depth(w, f"{at}[{i}]", above + 1)
        if first not in (None, depth):
            raise ValueError("List depths are mismatched. First element was at depth "
                             f"{first}, but there is an element at depth {depth} "
                             f"({_first_leaf(w, f'{at}[{i}]')})")
        first = depth
    return first


def _first_leaf(v, at):
    return _first_leaf(v[0], at + "[0]") if isinstance(v, list) else at


# ---- padding ----


def _pairs(widths, ndim, what="pad_width"):
    """(before, after) of each axis."""
    if isinstance(widths, dict):
        return [_pairs(widths.get(d, widths.get(d - ndim, 0)), 1)[0] for d in range(ndim)]
    t = asarray(widths)
    r = k.broadcast_to(t, (ndim, 2)).tolist()
    return r


def _sources(n, before, after, mode, reflect_type):
    """Which element of an axis stands at each place of the padded one."""
    r = []
    for i in range(-before, n + after):
        if mode == "edge":
            at = min(max(i, 0), n - 1)
        elif mode == "wrap":
            at = i % n
        elif mode == "symmetric":
            at = i % (2 * n)
            at = at if at < n else 2 * n - 1 - at
        else:
            span = max(2 * n - 2, 1)
            at = i % span
            at = at if at < n else span - at
        r.append(at)
    return r


_STATISTICS = {"maximum": lambda t, d: k.amax(t, [d], True), "minimum": lambda t, d: k.amin(t, [d], True),
               "mean": lambda t, d: k.mean(cast(asarray(t), dtype("float64")), [d], True)}


def _ends(t, d, before, after, mode, values, lengths):
    """What stands before and after along an axis."""
    n, parts = t.shape[d], []
    for side, count in enumerate((before, after)):
        shape = [count if i == d else m for i, m in enumerate(t.shape)]
        if mode == "constant":
            parts.append(k.full(shape, values[side], dtype=t.dtype))
        elif mode == "linear_ramp":
            edge = t.narrow(d, 0 if side == 0 else n - 1, 1)
            steps = k.arange(count, dtype=dtype("float64").kiln)
            part = steps / count if side == 0 else (steps + 1) / count
            part = k.reshape(part, [-1 if i == d else 1 for i in range(t.dim())])
            whole = dtype(t.dtype).order < 2
            edge = cast(asarray(edge), dtype("float64")) if whole else edge
            first, last = (values[0], edge) if side == 0 else (edge, values[1])
            ramp = first + (last - first) * part
            parts.append(cast(asarray(k.floor(ramp) if whole else ramp), dtype(t.dtype)))
        else:
            m = n if lengths is None else min(lengths[side], n)
            some = t.narrow(d, 0 if side == 0 else n - m, m)
            edge = _STATISTICS[mode](some, d)
            if dtype(t.dtype).order < 2 and mode == "mean":
                edge = k.round(edge)
            parts.append(k.broadcast_to(cast(asarray(edge), dtype(t.dtype)), shape))
    return parts


def pad(array, width, mode, options):
    """array with more around it."""
    t = array_of(asarray(array))
    known = {"constant": {"constant_values"}, "edge": set(), "linear_ramp": {"end_values"},
             "maximum": {"stat_length"}, "mean": {"stat_length"}, "minimum": {"stat_length"},
             "reflect": {"reflect_type"}, "symmetric": {"reflect_type"}, "wrap": set(),
             "empty": set()}
    if mode not in known:
        raise ValueError(f"mode '{mode}' is not supported")
    unknown = set(options) - known[mode]
    if unknown:
        raise ValueError(f"unsupported keyword arguments for mode '{mode}': {unknown}")
    if options.get("reflect_type", "even") != "even":
        raise NotImplementedError("pad(): reflect_type='odd' is not implemented")
    pairs = _pairs(width, t.dim())
    if any(n < 0 for pair in pairs for n in pair):
        raise ValueError("index can't contain negative values")
    values = _pairs(options.get("constant_values", options.get("end_values", 0)), t.dim())
    lengths = options.get("stat_length")
    lengths = [None] * t.dim() if lengths is None else _pairs(lengths, t.dim())
    for d, (before, after) in enumerate(pairs):
        if not before and not after:
            continue
        if mode in ("edge", "wrap", "symmetric", "reflect"):
            if not t.shape[d]:
                raise ValueError(f"can't extend empty axis {d} using modes other than 'constant' "
                                 "or 'empty'")
            at = _sources(t.shape[d], before, after, mode, None)
            t = k.index_select(t, d, asarray(at, index))
        else:
            first, last = _ends(_plain(t), d, before, after, "constant" if mode == "empty" else mode,
                                values[d], lengths[d])
            t = k.cat([first, t, last], d)
    return t


def _plain(t):
    """A tensor whose dtype is kiln's."""
    from .. import _kiln
    return _kiln._as_class(_kiln.Tensor, t)


# ---- written in place ----


def put(a, ind, v, mode="raise"):
    """a.flat[ind] = v, v again and again."""
    at = k.reshape(_whole_numbers(ind), -1)
    n, v = a.size, k.reshape(asarray(v, a.dtype), -1)
    if mode == "wrap":
        at = k.remainder(at, n)
    elif mode == "clip":
        at = k.clamp(at, 0, n - 1)
    else:
        bad = k.where(k.logical_or(k.lt(at, -n), k.ge(at, n)))[0]
        if len(bad):
            raise IndexError(f"index {at[bad[0]].item()} is out of bounds for axis 0 with size {n}")
    if not at.numel() or not v.numel():
        return
    v = v[k.remainder(k.arange(at.numel()), v.numel())]
    a[...] = k.reshape(k.index_put(k.reshape(a, -1), (k.remainder(at, n),), v), a.shape)


def putmask(a, mask, values):
    """a's elements under a mask become those of values at the same places."""
    v, mask = k.reshape(asarray(values, a.dtype), -1), cast(asarray(mask), truth)
    if mask.numel() != a.size:
        raise ValueError("putmask: mask and data must be the same size")
    if v.numel():
        v = k.reshape(v[k.remainder(k.arange(a.size), v.numel())], a.shape)
        a[...] = k.where(k.reshape(mask, a.shape), v, a)


def place(arr, mask, vals):
    """arr's elements under a mask become vals, one after another."""
    v, mask = k.reshape(asarray(vals, arr.dtype), -1), cast(asarray(mask), truth)
    if mask.numel() != arr.size:
        raise ValueError("place: mask and data must be the same size")
    at = k.where(k.reshape(mask, -1))[0]
    if not len(at):
        return
    if not v.numel():
        raise ValueError("Cannot insert from an empty array!")
    put(arr, at, v, "raise")


def put_along_axis(arr, indices, values, axis):
    """arr's elements at indices along an axis become values."""
    if axis is None:
        flat, d = k.reshape(arr, -1), 0
    else:
        flat, d = arr, axis_of(axis, arr.ndim)
    at = asarray(indices)
    at = k.where(k.lt(at, 0), at + flat.shape[d], at)
    v = k.broadcast_to(asarray(values, arr.dtype), at.shape)
    arr[...] = k.reshape(k.scatter(flat, d, at, v), arr.shape)


def fill_diagonal(a, val, wrap=False):
    """a's diagonal becomes val."""
    if a.ndim < 2:
        raise ValueError("array must be at least 2-d")
    if a.ndim > 2 and len(set(a.shape)) > 1:
        raise ValueError("All dimensions of input must be of equal length")
    step = a.shape[1] + 1 if a.ndim == 2 else 1 + sum(math.prod(a.shape[d:]) for d in range(1, a.ndim))
    end = a.shape[1] ** 2 if a.ndim == 2 and not wrap else a.size
    put(a, list(range(0, min(end, a.size), step)), val, "raise")


# ---- chosen ----


def select(conditions, choices, default):
    """Of each place the choice whose condition is the first to hold."""
    if len(conditions) != len(choices):
        raise ValueError("list of cases must be same length as list of conditions")
    if not len(conditions):
        raise ValueError("select with an empty condition list is not possible")
    *parts, r = alike(list(choices) + [default])
    for i, c in enumerate(conditions):
        if asarray(c).dtype.kind != "b":
            raise TypeError(f"invalid entry {i} in condlist: should be boolean ndarray")
    for c, part in zip(reversed(conditions), reversed(parts)):
        r = k.where(asarray(c), part, r)
    return r


def choose(a, choices, mode):
    """Of each place the element of the choice that a names."""
    n = len(choices)
    at = asarray(a)
    if mode == "wrap":
        at = asarray(k.remainder(at, n))
    elif mode == "clip":
        at = asarray(k.clamp(at, 0, n - 1))
    elif bool(k.any(k.logical_or(k.lt(at, 0), k.ge(at, n)))):
        raise ValueError("invalid entry in choice array")
    parts = k.broadcast_tensors(at, *alike(choices))
    r = parts[1]
    for i, part in enumerate(parts[2:]):
        r = k.where(k.eq(parts[0], i + 1), part, r)
    return r


def piecewise(x, conditions, functions, args, kwargs):
    """Functions of x, or numbers, each where its condition holds."""
    if isinstance(conditions, ndarray) and conditions.ndim <= 1 or not isinstance(
            conditions[0], (list, ndarray)) and x.ndim:
        conditions = [conditions]
    conditions = [cast(asarray(c), truth) for c in conditions]
    n = len(conditions)
    if n not in (len(functions), len(functions) - 1):
        raise ValueError(f"with {n} condition(s), either {n} or {n + 1} functions are expected")
    if len(functions) == n + 1:
        rest = k.logical_not(conditions[0])
        for c in conditions[1:]:
            rest = k.logical_and(rest, k.logical_not(c))
        conditions.append(rest)
    r = k.zeros(x.shape, dtype=x.dtype.kiln)
    for c, fn in zip(conditions, functions):
        value = fn(x, *args, **kwargs) if callable(fn) else fn
        r = k.where(c, asarray(value, x.dtype), r)
    return r


def unstack(x, axis):
    """Slices along an axis."""
    if x.ndim == 0:
        raise ValueError("Input array must be at least 1-d.")
    return tuple(k.unbind(x, axis_of(axis, x.ndim, 'source: ')))


def packbits(a, axis, bitorder):
    """Truth values, eight in a byte."""
    if a.dtype.kind not in "biu":
        raise TypeError("Expected an input array of integer or boolean data type")
    t, d = _along(asarray(k.ne(a, 0)), axis)
    n = t.shape[d]
    t = k.movedim(cast(t, dtype("uint8")), d, -1)
    t = k.cat([t, k.zeros(list(t.shape[:-1]) + [-n % 8], dtype=dtype("uint8").kiln)], -1)
    t = k.reshape(t, list(t.shape[:-1]) + [-1, 8])
    weight = [1 << (i if bitorder == "little" else 7 - i) for i in range(8)]
    r = k.sum(t * asarray(weight, "uint8"), [t.dim() - 1])
    return k.movedim(cast(r, dtype("uint8")), -1, d)


def unpackbits(a, axis, count, bitorder):
    """Bytes as their bits."""
    if a.dtype.name != "uint8":
        raise TypeError("Expected an input array of unsigned byte data type")
    t, d = _along(a, axis)
    t = k.unsqueeze(k.movedim(t, d, -1), -1)
    shifts = [i if bitorder == "little" else 7 - i for i in range(8)]
    r = k.bitwise_and(k.bitwise_right_shift(t, asarray(shifts, "uint8")), asarray(1, "uint8"))
    r = k.reshape(r, list(r.shape[:-2]) + [-1])
    if count is not None:
        n = r.shape[-1]
        count = n + count if count < 0 else count
        more = k.zeros(list(r.shape[:-1]) + [max(count - n, 0)], dtype=dtype("uint8").kiln)
        r = k.cat([r[..., :count], more], -1)
    return k.movedim(cast(r, dtype("uint8")), -1, d)


