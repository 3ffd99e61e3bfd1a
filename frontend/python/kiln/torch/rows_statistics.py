"""Rows of counts in cells, and of reductions of runs of an axis."""
import kiln

from .rows import row, vjp

_counted = kiln._kiln._functions["torch"]["_histogramdd"]


def _between(lo, hi, n):
    """n numbers from one tensor of no dimension to another."""
    i = kiln.arange(n, dtype=lo.dtype)
    step = (hi - lo) / max(n - 1, 1)
    return kiln.where(i < n // 2, lo + step * i, hi - step * (n - 1 - i)) if n > 1 else lo.reshape(1)


def _edges(x, bins, span=None):
    """Edges of equal cells; where no span is given, from the least to the largest of x."""
    if span is None:
        span = (x.min(), x.max()) if x.numel() else (0.0, 1.0)
    lo, hi = (kiln.full((), v, dtype=x.dtype) if not isinstance(v, kiln.Tensor) else v for v in span)
    wider = kiln.where(lo == hi, 0.5, 0.0).to(x.dtype)
    return _between(lo - wider, hi + wider, bins + 1)


@row("linspace.Tensor_Tensor", "linspace.Tensor_Scalar", "linspace.Scalar_Tensor")
def _linspace(start, end, steps, dtype=None):
    """In double, of whole numbers from and to whole numbers."""
    dtype = dtype or kiln.get_default_dtype()
    work = dtype if dtype.is_floating_point or dtype.is_complex else kiln.float64
    lo, hi = (kiln.as_tensor(v).to(dtype).to(work).reshape(()) for v in (start, end))
    return _between(lo, hi, steps).to(dtype) if steps else kiln.zeros(0, dtype=dtype)


@row("histogram.bin_ct")
def _histogram(x, bins=100, range=None, weight=None, density=False):
    edges = _edges(x, bins, range)
    return _histogram_within(x, edges, weight, density)


@row("histogram.bins_tensor")
def _histogram_within(x, bins, weight=None, density=False):
    weight = None if weight is None else weight.reshape(-1)
    return _counted(x.reshape(-1, 1), [bins], weight, density), bins


@row("_histogramdd_bin_edges")
def _grid_edges(x, bins, range=None, weight=None, density=False):
    flat = x.reshape(-1, x.shape[-1])
    return [_edges(flat[:, i], n, range and range[2 * i:2 * i + 2]) for i, n in enumerate(bins)]


@row("_histogramdd_from_bin_cts")
def _counted_by(x, bins, range=None, weight=None, density=False):
    return _counted(x, _grid_edges(x, bins, range), weight, density)


@row("_histogramdd_from_bin_tensors")
def _counted_within(x, bins, weight=None, density=False):
    return _counted(x, bins, weight, density)


@row("segment_reduce")
def _segments(x, reduce, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    return kiln.segment_reduce(x, reduce, lengths=lengths, offsets=offsets, axis=axis, unsafe=True,
                               initial=initial)


@row("_segment_reduce_backward")
def _segments_backward(g, y, x, reduce, lengths=None, offsets=None, axis=0, initial=None):
    return vjp(lambda t: _segments(t, reduce, lengths, None, offsets, axis, True, initial), (x,), g)[0]


@row("hash_tensor")
def _hash(x, dim=(), keepdim=False, mode=0):
    """The exclusive or of all bits, of 64 an element."""
    wide = x.to(kiln.float64 if x.is_floating_point() else kiln.int64)
    bits, dims = wide.view(kiln.int64), range(x.dim())
    over = [d % x.dim() for d in dim] or list(dims) if x.dim() else []
    shape = [1 if d in over else n for d, n in enumerate(x.shape)]
    bits = bits.permute([d for d in dims if d not in over] + over)
    bits = bits.reshape([n for d, n in enumerate(x.shape) if d not in over] + [-1])
    while bits.shape[-1] > 1:
        half = (bits.shape[-1] + 1) // 2
        rest = kiln.constant_pad_nd(bits[..., half:], [0, 2 * half - bits.shape[-1]])
        bits = kiln.bitwise_xor(bits[..., :half], rest)
    bits = bits.squeeze(-1) if bits.shape[-1] else bits.sum(-1)
    return (bits.reshape(shape) if keepdim else bits).view(kiln.uint64)
