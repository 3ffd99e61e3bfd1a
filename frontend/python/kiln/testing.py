"""assert_close: are two results the same within a tolerance?"""
import math

from . import _dtypes as _d
from ._kiln import Tensor

_TOLERANCE = {_d.float16: (1e-3, 1e-5), _d.bfloat16: (1.6e-2, 1e-5), _d.float32: (1.3e-6, 1e-5),
              _d.float64: (1e-7, 1e-7), _d.complex64: (1.3e-6, 1e-5),
              _d.complex128: (1e-7, 1e-7)}


def _tolerance(a, b, rtol, atol):
    if (rtol is None) != (atol is None):
        raise ValueError("Both 'rtol' and 'atol' must be either specified or unspecified, but "
                         f"got rtol={rtol} and atol={atol} instead.")
    if rtol is not None:
        return rtol, atol
    both = [_TOLERANCE.get(t.dtype, (0.0, 0.0)) for t in (a, b)]
    return max(r for r, _ in both), max(t for _, t in both)


def _place(shape, flat):
    at = []
    for n in reversed(shape):
        at.append(flat % n)
        flat //= n
    return tuple(reversed(at))


def _difference(what, values, shape, allowed):
    flat = int(values.flatten().argmax())
    at = f" at index {_place(shape, flat)}" if shape else ""
    return (f"Greatest {what} difference: {values.flatten()[flat].item()}{at} "
            f"(up to {allowed} allowed)")


def _compare(a, b, where, rtol, atol, equal_nan, check_device, check_dtype, check_stride):
    from . import isclose

    def fail(text):
        raise AssertionError(text + where)

    if a.shape != b.shape:
        fail(f"The values for attribute 'shape' do not match: {a.shape} != {b.shape}.")
    for name, wanted in (("device", check_device), ("dtype", check_dtype)):
        if wanted and getattr(a, name) != getattr(b, name):
            fail(f"The values for attribute '{name}' do not match: "
                 f"{getattr(a, name)} != {getattr(b, name)}.")
    if check_stride and a.stride() != b.stride():
        fail(f"The values for attribute 'stride()' do not match: {a.stride()} != {b.stride()}.")
    rtol, atol = _tolerance(a, b, rtol, atol)
    a, b = a.detach().cpu(), b.detach().cpu()
    wide = _d.complex128 if a.is_complex() or b.is_complex() else _d.float64
    exact = not any(t.is_floating_point() or t.is_complex() for t in (a, b))
    x, y = (a, b) if exact and a.dtype == b.dtype else (a.to(wide), b.to(wide))
    same = (x == y) if exact else isclose(x, y, rtol=rtol, atol=atol, equal_nan=equal_nan)
    if bool(same.all()):
        return
    kind = "Scalars" if a.dim() == 0 else "Tensor-likes"
    x, y = a.to(wide), b.to(wide)
    apart = (x - y).abs().masked_fill(same, 0)
    relative = (apart / y.abs()).masked_fill(same, 0)
    apart, relative = (t.masked_fill(t.isnan(), float("nan")) for t in (apart, relative))
    if a.dim() == 0:
        fail(f"{kind} are not {'equal' if rtol == atol == 0 else 'close'}!\n\n"
             f"Expected {b.item()} but got {a.item()}.\n"
             f"Absolute difference: {apart.item()} (up to {atol} allowed)\n"
             f"Relative difference: {relative.item()} (up to {rtol} allowed)")
    n, total = int((~same).sum()), same.numel()
    fail(f"{kind} are not {'equal' if rtol == atol == 0 else 'close'}!\n\n"
         f"Mismatched elements: {n} / {total} ({100 * n / total:.1f}%)\n"
         + _difference("absolute", apart, a.shape, atol) + "\n"
         + _difference("relative", relative, a.shape, rtol))


def assert_close(actual, expected, *, allow_subclasses=True, rtol=None, atol=None,
                 equal_nan=False, check_device=True, check_dtype=True, check_layout=True,
                 check_stride=False, msg=None):
    """Raise AssertionError where |actual - expected| > atol + rtol |expected|; tensors, numbers
    and arrays, and sequences and mappings of them. The tolerances' defaults follow the dtype."""
    try:
        _walk(actual, expected, "", rtol, atol, equal_nan, check_device, check_dtype,
              check_stride)
    except AssertionError as e:
        if msg is None:
            raise
        raise AssertionError(msg(str(e)) if callable(msg) else msg) from None


def _walk(a, b, where, *options):
    from . import tensor

    if isinstance(a, dict) and isinstance(b, dict):
        if set(a) != set(b):
            raise AssertionError("The keys of the mappings do not match:\n"
                                 f"Missing keys in the actual mapping: {sorted(set(b) - set(a))}\n"
                                 "Missing keys in the expected mapping: "
                                 f"{sorted(set(a) - set(b))}")
        for k in a:
            _walk(a[k], b[k], f"{where}\n\nThe failure occurred for item [{k!r}]", *options)
    elif isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        if len(a) != len(b):
            raise AssertionError("The length of the sequences mismatch: "
                                 f"{len(a)} != {len(b)}" + where)
        for i, (x, y) in enumerate(zip(a, b)):
            _walk(x, y, f"{where}\n\nThe failure occurred for item [{i}]", *options)
    elif a is None or b is None:
        if a is not b:
            raise AssertionError(f"None mismatch: {a} is not {b}" + where)
    else:
        if isinstance(a, Tensor) != isinstance(b, Tensor):
            raise TypeError("No comparison pair was able to handle inputs of type "
                            f"{type(a)} and {type(b)}.")
        a, b = (t if isinstance(t, Tensor) else tensor(t, dtype=_scalar(t)) for t in (a, b))
        _compare(a, b, where, *options)


def _scalar(v):
    kind = {float: _d.float64, complex: _d.complex128}
    return kind.get(type(v))


_REAL = {_d.complex64: _d.float32, _d.complex128: _d.float64}


def make_tensor(*shape, dtype, device=None, low=None, high=None, requires_grad=False,
                noncontiguous=False, exclude_zero=False, memory_format=None):
    """Random values from low below high, by default -9 and 9 (integers: 10). noncontiguous: every
    second element of a longer last dimension."""
    from . import complex, finfo, rand, randint

    if noncontiguous and memory_format is not None:
        raise ValueError("The parameters `noncontiguous` and `memory_format` are mutually exclusive, "
                         f"but got {noncontiguous=} and {memory_format=}")
    real = dtype.is_floating_point or dtype.is_complex
    if requires_grad and not real:
        raise ValueError("`requires_grad=True` is not supported for boolean and integral dtypes, "
                         f"but got {dtype=}")
    shape = tuple(shape[0]) if len(shape) == 1 and not isinstance(shape[0], int) else shape
    noncontiguous = noncontiguous and math.prod(shape) > 1
    wide = shape[:-1] + (2 * shape[-1],) if noncontiguous else shape
    low, high = _bounds(dtype, low, high, real)

    def uniform(dt):
        return (rand(wide, dtype=_d.float64) * (high - low) + low).to(dt).clamp(low, high)

    if dtype.is_complex:
        t = complex(uniform(_REAL[dtype]), uniform(_REAL[dtype]))
    else:
        t = uniform(dtype) if real else randint(low, high, wide).to(dtype)
    t = t if device is None else t.to(device)
    t = t[..., 1::2] if noncontiguous else t
    t = t if memory_format is None else t.clone(memory_format=memory_format)
    if exclude_zero:
        t[t == 0] = finfo(dtype).tiny if real else 1
    return t.requires_grad_() if requires_grad else t


def _bounds(dtype, low, high, real):
    """The least value, and the one above the greatest, within what dtype can hold."""
    from . import finfo, iinfo

    if dtype == _d.bool:
        default, least, most = (0, 2), 0, 2
    elif real:
        default, least, most = (-9, 9), finfo(dtype).min, finfo(dtype).max
    else:
        default, least = (-9, 10), iinfo(dtype).min
        most = iinfo(dtype).max + (dtype != _d.int64)
    low, high = (d if v is None else v for d, v in zip(default, (low, high)))
    if low != low or high != high:
        raise ValueError(f"`low` and `high` cannot be NaN, but got {low=} and {high=}")
    if low > high or low == high and not real:
        raise ValueError(f"`low` must be less than `high`, but got {low} >= {high}")
    if high < least or low >= most:
        raise ValueError(f"The value interval specified by `low` and `high` is [{low}, {high}), "
                         f"but {dtype} only supports [{least}, {most})")
    low, high = (min(max(v, least), most) for v in (low, high))
    return (low, high) if real else (math.ceil(low), math.ceil(high))
