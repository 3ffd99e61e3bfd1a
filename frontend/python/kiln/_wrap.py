"""Functions of the table whose arguments Python takes in ways that no signature says: labels
among operands, a dimension count or lists, a list of dimensions."""
import builtins as _builtins
import math as _math

from . import _dtypes as _d
from . import _kiln
from ._kiln import Tensor

_table = _kiln._functions["torch"]

__all__ = ["broadcast_shapes", "einsum", "gradient", "histogramdd", "poisson", "randint_like",
           "tensordot", "unravel_index"]


def einsum(*args) -> Tensor:
    """The sum of products that labels say: einsum("ij,jk->ik", a, b), or operands each followed
    by its list of label numbers.

    >>> torch.einsum("ij,jk->ik", torch.ones(2, 3), torch.ones(3, 2))
    tensor([[3., 3.],
            [3., 3.]])
    """
    if isinstance(args[0], str):
        operands = args[1] if len(args) == 2 and isinstance(args[1], (list, tuple)) else args[1:]
        return _table["_einsum"](args[0], list(operands))

    def text(labels):
        return "".join("..." if v is Ellipsis else chr(65 + v if v < 26 else 71 + v)
                       for v in labels)

    pairs = len(args) // 2
    equation = ",".join(text(args[2 * i + 1]) for i in range(pairs))
    if len(args) % 2:
        equation += "->" + text(args[-1])
    return _table["_einsum"](equation, [args[2 * i] for i in range(pairs)])


def tensordot(a, b, dims=2, out=None) -> Tensor:
    """Products summed over the last dims of a and first dims of b, or over two lists.

    >>> torch.tensordot(torch.ones(2, 3), torch.ones(3, 4), 1).shape
    torch.Size([2, 4])
    """
    if isinstance(dims, Tensor):
        dims = dims.tolist()
    if isinstance(dims, int):
        if dims < 0:
            raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
        if dims > min(a.dim(), b.dim()):
            raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
        dims = (list(range(a.dim() - dims, a.dim())), list(range(dims)))
    of_a, of_b = dims
    of_a, of_b = ([v] if isinstance(v, int) else list(v) for v in (of_a, of_b))
    r = _table["_tensordot"](a, b, of_a, of_b)
    return r if out is None else out.copy_(r)


def gradient(input, *, spacing=None, dim=None, edge_order=1):
    """Slopes along each dimension of dim; spacing: a number, one each, or coordinates.

    >>> torch.gradient(torch.tensor([1., 4., 9.]))
    (tensor([3., 4., 5.]),)
    """
    dims = list(range(input.dim())) if dim is None else [dim] if isinstance(dim, int) else list(dim)
    spacing = 1 if spacing is None else spacing
    each = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(each) != len(dims):
        raise RuntimeError(f"torch.gradient expected spacing to be unspecified, a scalar or a "
                           f"list of length {len(dims)}, but got a list of length {len(each)}")
    half = input.is_floating_point() and input.element_size() == 2
    wide = input.float() if half else input
    slopes = (_table["_gradient"](wide, s if isinstance(s, Tensor) else None,
                                  1.0 if isinstance(s, Tensor) else float(s), d, edge_order)
              for s, d in zip(each, dims))
    return tuple(s.to(input.dtype) if half else s for s in slopes)


def histogramdd(input, bins, *, range=None, weight=None, density=False):
    """Counts of points [.., D] in the cells of a grid, and the edges along each of its D axes. bins:
    how many along all or each of them, or their edges; range: where they begin and end.

    >>> torch.histogramdd(torch.tensor([[0., 1.], [1., 0.], [1., 1.]]), 2).hist
    tensor([[0., 1.],
            [1., 1.]])
    """
    dims = input.shape[-1] if input.dim() else 1
    bins = [bins] * dims if isinstance(bins, int) else list(bins)
    flat = input.reshape(-1, dims)
    edges = [b if isinstance(b, Tensor) else _table["_histogram_edges"](
        flat[:, min(i, dims - 1)], b, range and list(range[2 * i:2 * i + 2]), i)
        for i, b in enumerate(bins)]
    return _result("histogramdd", "hist", "bin_edges")(
        (_table["_histogramdd"](input, edges, weight, density), tuple(edges)))


def _result(name, *fields):
    from ._functions import _result_type, return_types
    return return_types.setdefault(name, _result_type(name, fields))


def broadcast_shapes(*shapes):
    """The shape that tensors of these shapes broadcast to.

    >>> torch.broadcast_shapes((2, 1), (3,))
    torch.Size([2, 3])
    """
    from . import Size, empty

    shapes = [(s,) if isinstance(s, int) else tuple(s) for s in shapes]
    tensors = [empty(1).expand(s) if s else empty(()) for s in shapes]
    return Size(_table["broadcast_tensors"](*tensors)[0].shape) if tensors else Size(())


def randint_like(input, low, high=None, *, dtype=None, requires_grad=False, generator=None,
                 **kwargs) -> Tensor:
    """Integers from low (0) below high, of input's shape."""
    low, high = (0, low) if high is None else (low, high)
    r = _table["randint"](int(low), int(high), tuple(input.shape), generator=generator)
    r = r.to(dtype or input.dtype)
    return r.requires_grad_() if requires_grad else r


def unravel_index(indices, shape):
    """Places of flat numbers in a shape, a tensor each dimension.

    >>> torch.unravel_index(torch.tensor([3, 5]), (2, 3))
    (tensor([1, 1]), tensor([0, 2]))
    """
    if indices.is_floating_point() or indices.is_complex() or indices.dtype == _d.bool:
        raise TypeError(f"expected 'indices' to be integer dtype, but got {indices.dtype}")
    if not isinstance(shape, (int, list, tuple)):
        raise TypeError(f"expected 'shape' to be int or sequence of ints, but got {type(shape)}")
    shape = (shape,) if isinstance(shape, int) else tuple(shape)
    for n in shape:
        if not isinstance(n, int):
            raise TypeError(f"expected 'shape' sequence to only contain ints, but got {type(n)}")
    if any(n < 0 for n in shape):
        raise ValueError(f"'shape' cannot have negative values, but got {shape}")
    return tuple(_table["unravel_index"](indices, shape))


def _range(start=0, end=None, step=1, **options) -> Tensor:
    """From start to end, which belongs to it: arange is what to use.

    """
    import warnings

    from . import arange, get_default_dtype
    warnings.warn("torch.range is deprecated and will be removed in a future release because its "
                  "behavior is inconsistent with Python's range builtin. Instead, use torch.arange, "
                  "which produces values in [start, end).", UserWarning, stacklevel=2)
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise RuntimeError("step must be nonzero")
    if (end - start) / step < 0:
        raise RuntimeError("upper bound and lower bound inconsistent with step sign")
    if options.get("dtype") is None and options.get("out") is None:
        options["dtype"] = get_default_dtype()
    return arange(start, start + (int((end - start) / step) + 0.5) * step, step, **options)


_range.__name__ = "range"


def poisson(input, generator=None) -> Tensor:
    """How often something happens at each rate: the least number whose cumulative probability is no
    less than a uniform one.

    >>> torch.poisson(torch.zeros(2))
    tensor([0., 0.])
    """
    k = _table
    rate = input.detach().to(_d.float64)
    if bool((rate < 0).any()):
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    u = k["rand"](rate.shape, dtype=_d.float64, generator=generator)
    low, high = -k["ones_like"](rate), (rate + 12 * rate.sqrt() + 40).ceil()
    most = float(high.max()) if high.numel() else 1.0
    for _ in _builtins.range(_math.ceil(_math.log2(most + 2)) + 1):
        middle = ((low + high) / 2).floor().clamp(min=0)
        enough = _kiln._functions["special"]["gammaincc"](middle + 1, rate) >= u
        low, high = k["where"](enough, low, middle), k["where"](enough, middle, high)
    return k["where"](rate == 0, 0, high).to(input.dtype)
