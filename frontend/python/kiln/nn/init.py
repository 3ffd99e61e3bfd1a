"""Filling parameters: each function writes its tensor in place and returns it."""
import math
import warnings

from .. import _functions as K
from .. import _kiln
from .._grad import no_grad


def _filled(fn):
    def run(tensor, *args, **kwargs):
        if fn.__name__.startswith("kaiming") and 0 in tensor.shape:
            warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=2)
            return tensor
        with no_grad():
            fn(tensor, *args, **kwargs)
        return tensor

    run.__name__, run.__doc__ = fn.__name__, fn.__doc__
    return run


def calculate_gain(nonlinearity, param=None):
    """The factor that keeps a signal's size through a nonlinearity."""
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueError(f"negative_slope {slope} not a valid number")
        return math.sqrt(2.0 / (1 + slope ** 2))
    if nonlinearity == "selu":
        return 3.0 / 4
    if nonlinearity in ("linear", "sigmoid", "conv1d", "conv2d", "conv3d", "conv_transpose1d",
                        "conv_transpose2d", "conv_transpose3d"):
        return 1
    raise ValueError(f"Unsupported nonlinearity {nonlinearity}")


def _calculate_fan_in_and_fan_out(tensor):
    if tensor.dim() < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 "
                         "dimensions")
    field = math.prod(tensor.shape[2:])
    return tensor.size(1) * field, tensor.size(0) * field


@_filled
def uniform_(tensor, a=0.0, b=1.0, generator=None):
    """Uniform between a and b."""
    tensor.uniform_(a, b, generator=generator)


@_filled
def normal_(tensor, mean=0.0, std=1.0, generator=None):
    """Normal."""
    tensor.normal_(mean, std, generator=generator)


@_filled
def trunc_normal_(tensor, mean=0.0, std=1.0, a=-2.0, b=2.0, generator=None):
    """Normal, drawn again (by the inverse of its distribution) between a and b."""
    def below(x):
        return (1 + math.erf(x / math.sqrt(2))) / 2

    lo, hi = below((a - mean) / std), below((b - mean) / std)
    tensor.uniform_(2 * lo - 1, 2 * hi - 1, generator=generator)
    tensor.erfinv_()
    tensor.mul_(std * math.sqrt(2)).add_(mean).clamp_(a, b)


@_filled
def constant_(tensor, val):
    """One value."""
    tensor.fill_(val)


@_filled
def ones_(tensor):
    """Ones."""
    tensor.fill_(1.0)


@_filled
def zeros_(tensor):
    """Zeros."""
    tensor.zero_()


@_filled
def eye_(tensor):
    """The identity matrix."""
    from .. import eye
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    tensor.copy_(eye(*tensor.shape))


@_filled
def xavier_uniform_(tensor, gain=1.0, generator=None):
    """Glorot: uniform, its bound by fan in and fan out."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    bound = gain * math.sqrt(6.0 / (fan_in + fan_out))
    tensor.uniform_(-bound, bound, generator=generator)


@_filled
def xavier_normal_(tensor, gain=1.0, generator=None):
    """Glorot: normal."""
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    tensor.normal_(0, gain * math.sqrt(2.0 / (fan_in + fan_out)), generator=generator)


def _calculate_correct_fan(tensor, mode):
    fan_in, fan_out = _calculate_fan_in_and_fan_out(tensor)
    mode = mode.lower()
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    return fan_in if mode == "fan_in" else fan_out


def _empty(tensor):
    if 0 in tensor.shape:
        warnings.warn("Initializing zero-element tensors is a no-op", stacklevel=4)
    return 0 in tensor.shape


@_filled
def kaiming_uniform_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """He: uniform."""
    if _empty(tensor):
        return
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    bound = math.sqrt(3.0) * std
    tensor.uniform_(-bound, bound, generator=generator)


@_filled
def kaiming_normal_(tensor, a=0, mode="fan_in", nonlinearity="leaky_relu", generator=None):
    """He: normal."""
    if _empty(tensor):
        return
    std = calculate_gain(nonlinearity, a) / math.sqrt(_calculate_correct_fan(tensor, mode))
    tensor.normal_(0, std, generator=generator)


@_filled
def sparse_(tensor, sparsity, std=0.01, generator=None):
    """Normal, with a share of each column zero."""
    from .. import randperm
    if tensor.dim() != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, cols = tensor.shape
    tensor.normal_(0, std, generator=generator)
    for c in range(cols):
        tensor[randperm(rows, generator=generator)[:math.ceil(sparsity * rows)], c] = 0


@_filled
def dirac_(tensor, groups=1):
    """The identity of convolutions: a 1 in the middle of each channel's own kernel."""
    if tensor.dim() not in (3, 4, 5):
        raise ValueError("Only tensors with 3, 4, or 5 dimensions are supported")
    if tensor.size(0) % groups != 0:
        raise ValueError("dim 0 must be divisible by groups")
    rows = tensor.size(0) // groups
    middle = tuple(n // 2 for n in tensor.shape[2:])
    tensor.zero_()
    for g in range(groups):
        for c in range(min(rows, tensor.size(1))):
            tensor[(g * rows + c, c, *middle)] = 1


@_filled
def orthogonal_(tensor, gain=1, generator=None):
    """Rows (or columns, if there are more rows) orthogonal to each other."""
    if tensor.dim() < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    if tensor.numel() == 0:
        return
    rows, cols = tensor.size(0), tensor.numel() // tensor.size(0)
    a = K.empty(max(rows, cols), min(rows, cols), dtype=tensor.dtype)
    q, r = _kiln._functions["linalg"]["qr"](normal_(a, generator=generator))
    q = q * r.diagonal().sign()  # uniform over all orthogonal matrices
    tensor.copy_((q.T if rows < cols else q).reshape(tensor.shape) * gain)


def _deprecated(fn):
    """fn under its name of before the underscore."""
    def run(*args, **kwargs):
        warnings.warn(f"`nn.init.{run.__name__}` is now deprecated in favor of "
                      f"`nn.init.{fn.__name__}`.", FutureWarning, stacklevel=2)
        return fn(*args, **kwargs)

    run.__name__, run.__doc__ = fn.__name__[:-1], fn.__doc__
    return run


uniform, normal, constant, xavier_uniform, xavier_normal, orthogonal, dirac, sparse, eye, \
    kaiming_uniform, kaiming_normal = map(_deprecated, (
        uniform_, normal_, constant_, xavier_uniform_, xavier_normal_, orthogonal_, dirac_, sparse_,
        eye_, kaiming_uniform_, kaiming_normal_))
