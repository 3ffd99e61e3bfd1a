"""Rows of layers, and of their gradients: mostly, what a layer's function gives when it is
differentiated."""
import math

import kiln
from kiln.nn import functional as F

from .rows import row, vjp

# ---- convolution ----


def _convolve(x, w, b, stride, padding, dilation, transposed, output_padding, groups):
    n = x.dim() - 2
    if transposed:
        f = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[n - 1]
        return f(x, w, b, stride, padding, output_padding, groups, dilation)
    return (F.conv1d, F.conv2d, F.conv3d)[n - 1](x, w, b, stride, padding, dilation, groups)


@row("convolution", "_convolution")
def _convolution(x, w, b, *args):
    return _convolve(x, w, b, *args[:6])


@row("convolution_backward")
def _convolution_backward(g, x, w, bias_sizes, stride, padding, dilation, transposed,
                          output_padding, groups, mask):
    def f(x, w):
        return _convolve(x, w, None, stride, padding, dilation, transposed, output_padding, groups)

    dx, dw = vjp(f, (x, w), g, mask[:2]) if any(mask[:2]) else (None, None)
    db = g.sum([0, *range(2, g.dim())]) if mask[2] else None
    return dx, dw, db


# ---- normalisation ----


@row("native_layer_norm_backward")
def _layer_norm_backward(g, x, shape, mean, rstd, w, b, mask):
    n = len(shape)
    over = list(range(x.dim() - n, x.dim()))
    outer = list(range(x.dim() - n))
    xhat = (x - mean) * rstd
    gw = g if w is None else g * w
    count = math.prod(shape)
    dx = rstd * (gw - gw.sum(over, True) / count - xhat * ((gw * xhat).sum(over, True) / count)) \
        if mask[0] else None
    dw = ((g * xhat).sum(outer) if outer else g * xhat) if mask[1] and w is not None else None
    db = (g.sum(outer) if outer else g) if mask[2] else None
    return dx, dw, db


def _batch_norm(x, w, b, mean, var, training, momentum, eps, wide=True):
    """The result, what the gradient needs, and the statistics as they are from now on."""
    over = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    t = x.to(kiln.float32) if x.dtype in (kiln.float16, kiln.bfloat16) else x
    if training:
        v, m = kiln.var_mean(t, over, correction=0)
        rstd = (v + eps).rsqrt()
    else:
        m, v = mean, var
        rstd = (v + eps).rsqrt()
    y = (t - m.reshape(shape)) * rstd.reshape(shape)
    y = y if w is None else y * w.reshape(shape)
    y = y if b is None else y + b.reshape(shape)
    if not training:
        empty = kiln.zeros(0, dtype=m.dtype)
        return y.to(x.dtype), empty, empty, mean, var
    n = x.numel() / x.shape[1]
    if mean is not None:
        mean = (m * momentum + mean * (1 - momentum)).to(mean.dtype)
        var = (v * (n / max(n - 1, 1)) * momentum + var * (1 - momentum)).to(var.dtype)
    return y.to(x.dtype), m, rstd, mean, var


@row("_native_batch_norm_legit.default", "native_batch_norm")
def _native_batch_norm(x, w, b, mean, var, training, momentum, eps):
    if training and mean is not None:
        raise NotImplementedError("statistics updated in place")
    return _batch_norm(x, w, b, mean, var, training, momentum, eps)[:3]


@row("_native_batch_norm_legit_functional")
def _native_batch_norm_functional(x, w, b, mean, var, training, momentum, eps):
    return _batch_norm(x, w, b, mean, var, training, momentum, eps)


@row("_native_batch_norm_legit.no_stats")
def _native_batch_norm_no_stats(x, w, b, training, momentum, eps):
    return _batch_norm(x, w, b, None, None, True, momentum, eps)[:3]


@row("_native_batch_norm_legit_no_training")
def _native_batch_norm_no_training(x, w, b, mean, var, momentum, eps):
    return _batch_norm(x, w, b, mean, var, False, momentum, eps)[:3]


@row("_batch_norm_with_update_functional")
def _batch_norm_update(x, w, b, mean, var, momentum, eps):
    y, m, rstd, mean, var = _batch_norm(x, w, b, mean, var, True, momentum, eps)
    return y, m, rstd, kiln.zeros(0, dtype=kiln.uint8), mean, var


@row("_batch_norm_no_update")
def _batch_norm_no_update(x, w, b, mean, var, momentum, eps):
    y, m, rstd, _, _ = _batch_norm(x, w, b, mean, var, False, momentum, eps)
    return y, m, rstd, kiln.zeros(0, dtype=kiln.uint8)


@row("native_batch_norm_backward", "batch_norm_backward")
def _batch_norm_backward(g, x, w, *args):
    """All three: PyTorch has a tensor for each, wanted or not."""
    mean, var, m, rstd, training, eps = args[:6]
    over = [0, *range(2, x.dim())]
    shape = [1, -1] + [1] * (x.dim() - 2)
    if not training:
        m, rstd = mean, (var + eps).rsqrt()
    m, rstd = m.reshape(shape), rstd.reshape(shape)
    n = x.numel() // x.shape[1]
    xhat = (x - m) * rstd
    db, dw = g.sum(over), (g * xhat).sum(over)
    scale = rstd if w is None else rstd * w.reshape(shape)
    dx = g * scale if not training else \
        scale * (g - (db.reshape(shape) + xhat * dw.reshape(shape)) / n)
    return dx, dw, db


@row("native_group_norm_backward")
def _group_norm_backward(g, x, mean, rstd, w, n, c, hxw, group, mask):
    split = [n, group, c // group, hxw]
    xs, gs = x.reshape(split), g.reshape(split)
    m, r = mean.reshape(n, group, 1, 1), rstd.reshape(n, group, 1, 1)
    ws = kiln.ones((), dtype=x.dtype) if w is None else w.reshape(1, group, c // group, 1)
    xhat = (xs - m) * r
    # a channel's sums, of which the group's and the weight's are made: tensors are read twice
    along, plain = (gs * xhat).sum(3, True), gs.sum(3, True)
    count = c // group * hxw
    dx = r * (gs * ws - (plain * ws).sum(2, True) / count -
              xhat * ((along * ws).sum(2, True) / count))
    return (dx.reshape(x.shape) if mask[0] else None,
            along.sum(0).reshape(c) if mask[1] else None,
            plain.sum(0).reshape(c) if mask[2] else None)


# ---- softmax ----


@row("_softmax", "_safe_softmax")
def _softmax(x, dim, half_to_float=False, dtype=None):
    return F.softmax(x, dim, dtype=kiln.float32 if half_to_float is True else dtype)


@row("_log_softmax")
def _log_softmax(x, dim, half_to_float=False):
    return F.log_softmax(x, dim, dtype=kiln.float32 if half_to_float else None)


@row("_softmax_backward_data")
def _softmax_backward(g, y, dim, dtype=None):
    t = g * y
    r = t - y * t.sum(dim, True) if y.dim() else t - y * t
    return r if dtype is None else r.to(dtype)


@row("_log_softmax_backward_data")
def _log_softmax_backward(g, y, dim, dtype=None):
    r = g - y.exp() * g.sum(dim, True) if y.dim() else g - y.exp() * g
    return r if dtype is None else r.to(dtype)


# ---- activations ----


@row("gelu")
def _gelu(x, approximate="none"):
    return F.gelu(x, approximate=approximate)


@row("gelu_backward")
def _gelu_backward(g, x, approximate="none"):
    return vjp(lambda t: F.gelu(t, approximate=approximate), (x,), g)[0]


@row("elu")
def _elu(x, alpha=1, scale=1, input_scale=1):
    return kiln.where(x > 0, x * scale, (x * input_scale).expm1() * (alpha * scale))


@row("log_sigmoid_forward")
def _log_sigmoid(x):
    return F.logsigmoid(x), kiln.zeros(0, dtype=x.dtype)


@row("prelu", "_prelu_kernel")
def _prelu(x, w):
    return kiln.where(x > 0, x, w * x)


# ---- pooling ----


def _pool(f):
    def run(x, kernel, stride=(), padding=0, dilation=1, ceil_mode=False):
        return f(x, kernel, stride or kernel, padding, dilation, ceil_mode)
    return run


for _n in (1, 2, 3):
    row(f"max_pool{_n}d_with_indices")(_pool(getattr(kiln, f"max_pool{_n}d_with_indices")))


@row("max_pool2d_with_indices_backward", "max_pool3d_with_indices_backward", wants_node=True)
def _max_pool_backward(node, g, x, kernel, stride, padding, dilation, ceil_mode, indices):
    """Gradients go to where the largest stood."""
    n = 3 if "max_pool3d" in str(node.target) else 2
    lead = tuple(x.shape[:-n])
    flat = kiln.zeros(lead + (math.prod(x.shape[-n:]),), dtype=g.dtype)
    r = flat.scatter_add(-1, indices.flatten(-n), g.flatten(-n))
    return r.reshape(x.shape)


def _avg(x, kernel, stride, padding, ceil_mode, count_pad, divisor, n):
    f = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    if n == 1:
        return f(x, kernel, stride or kernel, padding, ceil_mode, count_pad)
    return f(x, kernel, stride or kernel, padding, ceil_mode, count_pad, divisor)


def _avg_rows(n):
    @row(f"avg_pool{n}d")
    def _avg_pool(x, kernel, stride=(), padding=0, ceil_mode=False, count_include_pad=True,
                  divisor_override=None):
        return _avg(x, kernel, stride, padding, ceil_mode, count_include_pad, divisor_override, n)

    @row(f"avg_pool{n}d_backward")
    def _avg_pool_backward(g, x, kernel, stride, padding, ceil_mode, count_include_pad,
                           divisor_override):
        return vjp(lambda t: _avg(t, kernel, stride, padding, ceil_mode, count_include_pad,
                                  divisor_override, n), (x,), g)[0]

    @row(f"adaptive_max_pool{n}d")
    def _adaptive_max(x, size):
        return getattr(F, f"adaptive_max_pool{n}d")(x, size, return_indices=True)

    @row(f"adaptive_max_pool{n}d_backward")
    def _adaptive_max_backward(g, x, indices):
        flat = kiln.zeros(tuple(x.shape[:-n]) + (math.prod(x.shape[-n:]),), dtype=g.dtype)
        return flat.scatter_add(-1, indices.flatten(-n), g.flatten(-n)).reshape(x.shape)

    if n > 1:
        @row(f"_adaptive_avg_pool{n}d_backward")
        def _adaptive_avg_backward(g, x):
            f = getattr(F, f"adaptive_avg_pool{n}d")
            return vjp(lambda t: f(t, tuple(g.shape[-n:])), (x,), g)[0]


for _n in (1, 2, 3):
    _avg_rows(_n)


@row("max_unpool2d")
def _max_unpool2d(x, indices, size):
    lead = tuple(x.shape[:-2])
    flat = kiln.zeros(lead + (math.prod(size),), dtype=x.dtype)
    return flat.scatter(-1, indices.flatten(-2), x.flatten(-2)).reshape(lead + tuple(size))


@row("max_unpool3d")
def _max_unpool3d(x, indices, size, stride=None, padding=None):
    lead = tuple(x.shape[:-3])
    flat = kiln.zeros(lead + (math.prod(size),), dtype=x.dtype)
    return flat.scatter(-1, indices.flatten(-3), x.flatten(-3)).reshape(lead + tuple(size))


def _fractional_rows(n):
    f = getattr(F, f"fractional_max_pool{n}d_with_indices")

    @row(f"fractional_max_pool{n}d")
    def _fractional(x, kernel, size, samples):
        return f(x, tuple(kernel), output_size=tuple(size), _random_samples=samples)

    @row(f"fractional_max_pool{n}d_backward")
    def _fractional_backward(g, x, kernel, size, indices):
        flat = kiln.zeros(tuple(x.shape[:-n]) + (math.prod(x.shape[-n:]),), dtype=g.dtype)
        return flat.scatter_add(-1, indices.flatten(-n), g.flatten(-n)).reshape(x.shape)


for _n in (2, 3):
    _fractional_rows(_n)

# ---- padding ----


def _pad_rows(kind, mode, n):
    @row(f"{kind}_pad{n}d")
    def _padded(x, pad):
        return _border(x, pad, mode, n)

    @row(f"{kind}_pad{n}d_backward")
    def _padded_backward(g, x, pad):
        return vjp(lambda t: _border(t, pad, mode, n), (x,), g)[0]


def _border(x, pad, mode, n):
    lone = x.dim() == n + 1
    r = F.pad(x.unsqueeze(0) if lone else x, tuple(pad), mode=mode)
    return r.squeeze(0) if lone else r


for _n in (1, 2, 3):
    _pad_rows("reflection", "reflect", _n)
    _pad_rows("replication", "replicate", _n)

# ---- resampling ----


def _smoothing(n, size, mode, step, dtype):
    """The weights [size, n] of an axis's elements in its smoothed ones, so many of them apart."""
    wide = max(step, 1.0)
    reach, a = (1, None) if mode == "bilinear" else (2, -0.5)

    def weight(t):
        t = abs(t)
        if a is None:
            return max(1 - t, 0.0)
        return ((a + 2) * t - (a + 3)) * t * t + 1 if t < 1 else \
            (((t - 5) * t + 8) * t - 4) * a if t < 2 else 0.0

    rows = []
    for i in range(size):
        at = step * (i + 0.5)
        first, last = max(int(at - reach * wide + 0.5), 0), min(int(at + reach * wide + 0.5), n)
        row = [weight((j - at + 0.5) / wide) if first <= j < last else 0.0 for j in range(n)]
        total = sum(row)
        rows.append([v / total for v in row] if total else row)
    return kiln.tensor(rows, dtype=dtype)


def _smoothed(x, size, mode, align, scales):
    """Resampled by scales that would give another size: two products with matrices of weights."""
    down, across = (_smoothing(n, m, mode, (n - 1) / max(m - 1, 1) if align else 1 / s, x.dtype)
                    for n, m, s in zip(x.shape[-2:], size, scales))
    return down @ x @ across.mT


def _resample(x, size, mode, align, scales):
    """Scales, where they are given, are what the places are computed by."""
    kwargs = {} if align is None else {"align_corners": align}
    antialias = mode.endswith("_aa")
    mode = mode.removesuffix("_aa")
    if antialias:
        kwargs["antialias"] = True
    if scales and all(s is not None for s in scales):
        r = F.interpolate(x, scale_factor=tuple(scales), mode=mode, recompute_scale_factor=False,
                          **kwargs)
        if size is None or tuple(r.shape[2:]) == tuple(size):
            return r
        if not antialias:
            raise NotImplementedError("another size than the scales give")
        return _smoothed(x, size, mode, align, scales)
    return F.interpolate(x, tuple(size), mode=mode, **kwargs)


def _resample_rows(name, mode, aligned):
    def forward(x, size, *rest):
        align, scales = (rest[0], rest[1:]) if aligned else (None, rest)
        return _resample(x, size, mode, align, scales)

    def vec(x, size, *rest):
        align, scales = (rest[0], rest[1]) if aligned else (None, rest[0] if rest else None)
        return _resample(x, size, mode, align, scales)

    def backward(g, size, input_size, *rest):
        align, scales = (rest[0], rest[1:]) if aligned else (None, rest)
        x = kiln.zeros(tuple(input_size), dtype=g.dtype)
        return vjp(lambda t: _resample(t, size, mode, align, scales), (x,), g)[0]

    row(f"{name}.default")(forward)
    row(f"{name}.vec")(vec)
    row(f"{name}_backward")(backward)


for _name, _mode, _aligned in (
        ("upsample_nearest1d", "nearest", False), ("upsample_nearest2d", "nearest", False),
        ("upsample_nearest3d", "nearest", False),
        ("_upsample_nearest_exact1d", "nearest-exact", False),
        ("_upsample_nearest_exact2d", "nearest-exact", False),
        ("_upsample_nearest_exact3d", "nearest-exact", False),
        ("upsample_linear1d", "linear", True), ("upsample_bilinear2d", "bilinear", True),
        ("upsample_bicubic2d", "bicubic", True), ("upsample_trilinear3d", "trilinear", True),
        ("_upsample_bilinear2d_aa", "bilinear_aa", True),
        ("_upsample_bicubic2d_aa", "bicubic_aa", True)):
    _resample_rows(_name, _mode, _aligned)

# ---- images ----


@row("im2col")
def _im2col(x, kernel, dilation, padding, stride):
    return F.unfold(x, kernel, dilation, padding, stride)


@row("col2im")
def _col2im(x, size, kernel, dilation, padding, stride):
    return F.fold(x, size, kernel, dilation, padding, stride)


@row("grid_sampler_2d_backward", "grid_sampler_3d_backward")
def _grid_backward(g, x, grid, mode, padding, align, mask):
    f = kiln.grid_sampler_2d if x.dim() == 4 else kiln.grid_sampler_3d
    # PyTorch gives the grid's in any case
    return vjp(lambda a, b: f(a, b, mode, padding, align), (x, grid), g, (mask[0], True))


# ---- embedding ----


@row("embedding")
def _embedding(w, index, padding_idx=-1, scale_grad_by_freq=False, sparse=False):
    return F.embedding(index, w)


@row("embedding_dense_backward")
def _embedding_backward(g, index, n, padding_idx, scale_by_freq):
    width = g.shape[index.dim():]
    flat, rows = index.reshape(-1), g.reshape(-1, *width)
    if scale_by_freq:
        one = kiln.ones(flat.shape[0], dtype=g.dtype)
        count = kiln.zeros(n, dtype=g.dtype).index_add(0, flat, one)
        rows = rows / count[flat].reshape(-1, *[1] * len(width))
    if padding_idx >= 0:
        keep = (flat != padding_idx).reshape(-1, *[1] * len(width))
        rows = kiln.where(keep, rows, kiln.zeros((), dtype=g.dtype))
    return kiln.zeros((n, *width), dtype=g.dtype).index_add(0, flat, rows)


@row("embedding_renorm")
def _embedding_renorm(w, index, max_norm, norm_type):
    """Rows that are read, shortened where they are longer."""
    read = kiln.zeros(w.shape[0], dtype=kiln.int64).index_fill(0, index.reshape(-1), 1) != 0
    norm = kiln.linalg.vector_norm(w, norm_type, 1)
    scale = kiln.where(read & (norm > max_norm), max_norm / (norm + 1e-7), 1.0)
    return w * scale.unsqueeze(1)


def _bags(index, offsets, include_last):
    """Which bag each index is in."""
    n = offsets.shape[0] - bool(include_last)
    at = kiln.arange(index.shape[0], dtype=index.dtype)
    return n, kiln.searchsorted(offsets[:n].contiguous(), at, right=True).to(index.dtype) - 1


def _bag_of(w, index, offsets, mode, per_sample_weights, last, padding_idx):
    return F.embedding_bag(index, w, offsets, mode=("sum", "mean", "max")[mode],
                           per_sample_weights=per_sample_weights, include_last_offset=last,
                           padding_idx=None if padding_idx < 0 else padding_idx)


def _largest_rows(w, index, bag, y, counted):
    """Which row each element of a bag's maximum is from: the first that has it."""
    n, width = index.shape[0], w.shape[1]
    hit = (w[index] == y[bag]) & (counted != 0).unsqueeze(1)
    at = kiln.where(hit, kiln.arange(n).unsqueeze(1), n)
    first = kiln.full((y.shape[0], width), n, dtype=kiln.int64).scatter_reduce(
        0, bag.unsqueeze(1).expand(n, width), at, "amin")
    return kiln.where(first < n, index[first.clamp(max=n - 1)], 0)


@row("_embedding_bag", "_embedding_bag_forward_only", wants_node=True)
def _embedding_bag(node, w, index, offsets, scale_grad_by_freq=False, mode=0, sparse=False,
                   per_sample_weights=None, include_last_offset=False, padding_idx=-1):
    index, offsets = index.to(kiln.int64), offsets.to(kiln.int64)
    y = _bag_of(w, index, offsets, mode, per_sample_weights, include_last_offset, padding_idx)
    _, of, sizes, most = node.meta["val"]
    n, bag = _bags(index, offsets, include_last_offset)
    counted = (index != padding_idx).to(kiln.int64)
    size = kiln.zeros(n, dtype=kiln.int64).index_add(0, bag, counted)

    def shaped(t, like):
        short = t.shape[0] - like.shape[0] if like.dim() else 0
        t = t[:like.shape[0]] if short > 0 else t
        return kiln.cat([t, kiln.zeros(-short, dtype=t.dtype)]) if short < 0 else t

    rows = _largest_rows(w, index, bag, y, counted) if mode == 2 and index.shape[0] else \
        kiln.zeros(tuple(most.shape), dtype=kiln.int64)
    return y, shaped(bag, of), shaped(size, sizes), rows


@row("_embedding_bag_backward")
def _embedding_bag_backward(g, index, offsets, bag, size, most, n, scale_by_freq, mode, sparse,
                            per_sample_weights=None, padding_idx=-1):
    index, offsets = index.to(kiln.int64), offsets.to(kiln.int64)
    last = offsets.shape[0] > g.shape[0]
    zero = kiln.zeros((n, g.shape[1]), dtype=g.dtype)
    if mode == 2:  # PyTorch's maximum is never weighed, nor scaled by frequency
        g = kiln.where((size[:g.shape[0]] != 0).unsqueeze(1), g, kiln.zeros((), dtype=g.dtype))
        return zero.scatter_add(0, most, g)
    r = vjp(lambda w: _bag_of(w, index, offsets, mode, per_sample_weights, last, padding_idx),
            (zero,), g)[0]
    if not scale_by_freq:
        return r
    count = kiln.zeros(n, dtype=g.dtype).index_add(0, index, kiln.ones(index.shape[0], dtype=g.dtype))
    return r / count.clamp(min=1).unsqueeze(1)


@row("_embedding_bag_per_sample_weights_backward")
def _embedding_bag_weights_backward(g, w, index, offsets, bag, mode, padding_idx=-1):
    index = index.to(kiln.int64)
    _, bag = _bags(index, offsets.to(kiln.int64), offsets.shape[0] > g.shape[0])
    r = (g[bag] * w[index]).sum(1)
    return kiln.where(index == padding_idx, kiln.zeros((), dtype=r.dtype), r)


# ---- losses ----


@row("nll_loss_forward", "nll_loss2d_forward")
def _nll_loss(x, target, weight, reduction, ignore_index):
    w = kiln.ones(x.shape[1 if x.dim() > 1 else 0], dtype=x.dtype) if weight is None else weight
    here = target != ignore_index
    picked = kiln.where(here, target, 0)
    scale = kiln.where(here, w[picked], kiln.zeros((), dtype=x.dtype))
    at = x.gather(1, picked.unsqueeze(1)).squeeze(1) if x.dim() > 1 else x[picked]
    each = -at * scale
    total = scale.sum()
    if reduction == 0 and x.dim() > 1:
        return each, kiln.zeros((), dtype=x.dtype)
    s = each.sum()
    return (s / total if reduction == 1 else s if reduction == 2 else each), total


@row("torch_nn._linear_cross_entropy_batch_chunked")
def _linear_cross_entropy(x, w, target, b, weight, reduction, ignore_index, label_smoothing, chunk,
                          acc_policy, acc_dtype, retain, *wanted):
    """The loss, and its gradients by x, w and b; of those not wanted, nothing."""
    def f(x, w, b):
        return F.cross_entropy(F.linear(x, w, b), target, weight, reduction=reduction,
                               ignore_index=ignore_index, label_smoothing=label_smoothing)

    got = vjp(f, (x, w, b), kiln.ones((), dtype=x.dtype), wanted) if any(wanted) else (None,) * 3
    none = ((0, 0), (0, 0), (0,))
    return (f(x, w, b), *[kiln.zeros(e, dtype=x.dtype) if t is None else t
                          for t, e in zip(got, none)])


@row("torch_nn._linear_cross_entropy_batch_chunked_no_reduction")
def _linear_cross_entropies(x, w, target, b, weight, ignore_index, *how):
    return F.cross_entropy(F.linear(x, w, b), target, weight, reduction="none",
                           ignore_index=ignore_index)


def _attend(q, k, v, p, causal, mask, scale):
    """Where k and v have fewer heads than q, each serves several."""
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=p, is_causal=causal,
                                          scale=scale, enable_gqa=k.shape[-3] != q.shape[-3])


@row("_scaled_dot_product_flash_attention_for_cpu")
def _flash(q, k, v, dropout_p=0.0, is_causal=False, attn_mask=None, scale=None):
    """The result, and log(sum(exp(scores))) of each row, which its gradient reads."""
    if dropout_p:
        raise NotImplementedError("dropout inside of attention")
    y = _attend(q, k, v, 0.0, is_causal, attn_mask, scale)
    s = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    k = k.repeat_interleave(q.shape[-3] // k.shape[-3], -3)
    scores = (q * s).matmul(k.transpose(-2, -1))
    if is_causal:
        keep = kiln.ones(scores.shape[-2:], dtype=kiln.bool).tril()
        scores = scores.masked_fill(keep.logical_not(), -math.inf)
    if attn_mask is not None:
        scores = scores + attn_mask
    return y, scores.to(kiln.float32).logsumexp(-1)


@row("_scaled_dot_product_flash_attention_for_cpu_backward")
def _flash_backward(g, q, k, v, out, lse, dropout_p, is_causal, attn_mask=None, scale=None):
    return vjp(lambda a, b, c: _attend(a, b, c, 0.0, is_causal, attn_mask, scale), (q, k, v), g)


@row("_weight_norm_interface_backward")
def _weight_norm_backward(gw, v, g, norms, dim):
    """w = v g / norms, the norms of v over all axes but dim."""
    axes = [i for i in range(v.ndim) if i != dim % v.ndim]
    gg = (gw * v).sum(axes, keepdim=True) / norms
    return g / norms * (gw - v * gg / norms), gg


@row("_cdist_forward")
def _cdist(a, b, p, compute_mode=None):
    return kiln.cdist(a, b, p)


@row("_cdist_backward")
def _cdist_backward(g, a, b, p, d):
    if not g.numel():
        return kiln.zeros(tuple(a.shape), dtype=a.dtype)
    lead = kiln.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    a = a.expand(*lead, *a.shape[-2:])
    return vjp(lambda t: kiln.cdist(t, b, p), (a,), g)[0]


@row("_pdist_forward")
def _pdist(x, p=2.0):
    return F.pdist(x, p)


@row("_pdist_backward")
def _pdist_backward(g, x, p, d):
    return vjp(lambda t: F.pdist(t, p), (x,), g)[0]


# ---- recurrent layers ----


def _layer(x, weights, h, c, reverse, mode, has_biases):
    """One layer in one direction: PyTorch numbers the cells relu, tanh, lstm, gru."""
    shape = tuple(h.shape)
    h, c = (t.reshape(1, *t.shape[-2:]) for t in (h, c))
    x = x.flip(0) if reverse else x
    y, *last = F._rnn(x, h, c if mode == 2 else None, list(weights[:4 if has_biases else 2]),
                      (1, 0, 2, 3)[mode], has_biases, 1, 0.0, False, False, False)
    y = y.flip(0) if reverse else y
    return (y, last[0].reshape(shape), (last[1] if mode == 2 else last[0]).reshape(shape))


@row("mkldnn_rnn_layer")
def _rnn_layer(x, w0, w1, w2, w3, h, c, reverse, batch_sizes, mode, hidden, layers, has_biases,
               bidirectional, batch_first, train):
    if bidirectional or layers != 1 or batch_first or batch_sizes:
        raise NotImplementedError("several layers in one call")
    y, hn, cn = _layer(x, (w0, w1, w2, w3), h, c, reverse, mode, has_biases)
    return y, hn, cn, kiln.zeros(0, dtype=kiln.uint8)


@row("mkldnn_rnn_layer_backward")
def _rnn_layer_backward(x, w0, w1, w2, w3, h, c, y, hn, cn, gy, gh, gc, reverse, mode, hidden,
                        layers, has_biases, train, bidirectional, batch_sizes, batch_first,
                        workspace):
    given = [g for g in (gy, gh, gc) if g is not None]

    def f(x, w0, w1, w2, w3, h, c):
        out = _layer(x, (w0, w1, w2, w3), h, c, reverse, mode, has_biases)
        return sum((o * g).sum() for o, g in zip(out, (gy, gh, gc)) if g is not None)

    assert given
    return vjp(f, (x, w0, w1, w2, w3, h, c), kiln.ones((), dtype=x.dtype))


# ---- transformers: what PyTorch runs as one operator in inference ----


def _normal(x, w, b, eps):
    return F.layer_norm(x, (x.shape[-1],), w, b, eps)


def _heads(x, n):
    return x.reshape(x.shape[0], x.shape[1], n, -1).transpose(1, 2)


def _self_attention(x, n, qkv_w, qkv_b, out_w, out_b, mask):
    q, k, v = (_heads(t, n) for t in F.linear(x, qkv_w, qkv_b).chunk(3, -1))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
    return F.linear(y.transpose(1, 2).reshape(x.shape), out_w, out_b)


def _kept(mask, kind, x):
    """A mask, true where something is left out, as one that scaled_dot_product_attention takes."""
    if mask is None:
        return None
    if kind == 1:  # [N, L]: keys of padding
        mask = mask.reshape(x.shape[0], 1, 1, x.shape[1])
    elif kind == 2:
        raise NotImplementedError("a mask of both kinds")
    return mask.logical_not() if mask.dtype == kiln.bool else mask


@row("_transformer_encoder_layer_fwd")
def _encoder_layer(x, dim, heads, qkv_w, qkv_b, out_w, out_b, use_gelu, norm_first, eps, n1_w, n1_b,
                   n2_w, n2_b, w1, b1, w2, b2, mask=None, mask_type=None):
    act = F.gelu if use_gelu else F.relu
    kept = _kept(mask, mask_type, x)

    def attend(t):
        return _self_attention(t, heads, qkv_w, qkv_b, out_w, out_b, kept)

    def feed(t):
        return F.linear(act(F.linear(t, w1, b1)), w2, b2)

    if norm_first:
        x = x + attend(_normal(x, n1_w, n1_b, eps))
        return x + feed(_normal(x, n2_w, n2_b, eps))
    x = _normal(x + attend(x), n1_w, n1_b, eps)
    return _normal(x + feed(x), n2_w, n2_b, eps)


@row("_native_multi_head_attention")
def _multihead(q, k, v, dim, heads, qkv_w, qkv_b, out_w, out_b, mask=None, need_weights=True,
               average=True, mask_type=None):
    if need_weights:
        raise NotImplementedError("the attention's weights")
    one, two, three = qkv_w.chunk(3, 0)
    bias = qkv_b.chunk(3, 0)
    q, k, v = (_heads(F.linear(t, w, b), heads) for t, w, b in zip((q, k, v), (one, two, three),
                                                                 bias))
    y = F.scaled_dot_product_attention(q, k, v, attn_mask=_kept(mask, mask_type, k))
    y = y.transpose(1, 2).reshape(y.shape[0], y.shape[2], -1)
    return F.linear(y, out_w, out_b), kiln.zeros(0, dtype=y.dtype)
