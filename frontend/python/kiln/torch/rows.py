"""The table: what each ATen overload is over kiln's tensors. A row is kiln's function of the same
name and arguments (SAME, and RENAMED by another name), or a function here, in rows_nn.py or
rows_more.py. A row may refuse by any exception: PyTorch's kernel then does it."""
import functools
import math

import kiln
from kiln.nn import functional as F

IGNORED = ("layout", "device", "pin_memory", "memory_format", "non_blocking", "generator",
           "implicit", "copy")
ROWS = {}
# Rows that draw random numbers.
RANDOM = set()

# ---- kiln's function of that name; all overloads ----

SAME = """
abs acos acosh angle asin asinh atan atanh bitwise_not ceil cos cosh deg2rad digamma erf erfc erfinv
exp exp2 expm1 floor frac i0 isfinite isinf isnan isneginf isposinf lgamma log log10 log1p log2
logical_not logit neg rad2deg reciprocal relu round rsqrt sgn sigmoid sign signbit sin sinc sinh
sqrt square tan tanh trunc nan_to_num
add sub mul div rsub fmod remainder atan2 maximum minimum fmax fmin eq ne lt le gt ge logical_and
logical_or logical_xor bitwise_and bitwise_or bitwise_xor bitwise_left_shift bitwise_right_shift
hypot copysign nextafter floor_divide gcd lcm heaviside igamma igammac xlogy logaddexp logaddexp2 ldexp
where clamp clamp_min clamp_max lerp addcmul addcdiv polar complex polygamma mvlgamma
mm bmm addmm addmv addr baddbmm addbmm mv dot vdot matmul outer
mean amax amin all max min logsumexp nanmedian median mode kthvalue count_nonzero
aminmax nansum cumsum cumprod cummax cummin logcumsumexp sort topk searchsorted bucketize
std std_mean var var_mean renorm dist trace
permute expand unsqueeze squeeze flip roll rot90 repeat cat stack split split_with_sizes select
diagonal t transpose unbind unfold clone constant_pad_nd tril triu diag_embed select_scatter
slice_scatter diagonal_scatter view_as_real view_as_complex real imag masked_fill
index_select gather scatter scatter_add scatter_reduce index_put index_add index_copy
index_fill index_reduce masked_scatter take put bincount histc cross
full zeros ones eye linspace logspace tril_indices triu_indices full_like ones_like zeros_like
empty_like native_group_norm native_layer_norm native_batch_norm
grid_sampler_2d grid_sampler_3d cholesky cholesky_inverse cholesky_solve
channel_shuffle pixel_shuffle pixel_unshuffle celu selu prelu threshold triangular_solve lu_unpack
ormqr geqrf pdist bernoulli multinomial randperm isin unfold_copy
narrow squeeze_copy unsqueeze_copy expand_copy permute_copy t_copy transpose_copy diagonal_copy
frexp unravel_index
"""
FUNCTIONAL = """
elu hardtanh leaky_relu hardswish hardsigmoid mish silu softplus hardshrink softshrink relu6 glu
adaptive_avg_pool1d adaptive_avg_pool2d adaptive_avg_pool3d
"""
RENAMED = {
    "view": "reshape", "_unsafe_view": "reshape", "_reshape_alias": "reshape", "alias": "view_as",
    "_adaptive_avg_pool2d": "nn.functional.adaptive_avg_pool2d",
    "_adaptive_avg_pool3d": "nn.functional.adaptive_avg_pool3d",
    "special_entr": "special.entr", "special_erfcx": "special.erfcx", "special_i0e": "special.i0e",
    "special_i1": "special.i1", "special_i1e": "special.i1e", "special_ndtri": "special.ndtri",
    "special_log_ndtr": "special.log_ndtr", "special_zeta": "special.zeta",
    "special_xlog1py": "special.xlog1py", "special_airy_ai": "special.airy_ai",
    "_pdist_forward": "pdist", "linalg_vector_norm": "linalg.vector_norm",
    "linalg_cross": "linalg.cross", "linalg_inv_ex": "linalg.inv_ex",
    "linalg_cholesky_ex": "linalg.cholesky_ex", "linalg_qr": "linalg.qr",
    "linalg_householder_product": "linalg.householder_product", "linalg_lu": "linalg.lu",
    "linalg_lu_factor_ex": "linalg.lu_factor_ex", "linalg_lu_solve": "linalg.lu_solve",
    "linalg_solve_triangular": "linalg.solve_triangular", "linalg_eig": "linalg.eig",
    "linalg_matrix_exp": "linalg.matrix_exp", "linalg_pinv": "linalg.pinv",
    "linalg_lstsq": "linalg.lstsq", "linalg_polar": "linalg.polar", "linalg_matrix_sqrth": "linalg.matrix_sqrth",
    "narrow_copy": "narrow", "view_copy": "reshape",
    "unbind_copy": "unbind", "split_copy": "split", "split_with_sizes_copy": "split_with_sizes",
}
for _name in ("bessel_j0 bessel_j1 bessel_y0 bessel_y1 modified_bessel_i0 modified_bessel_i1 "
              "modified_bessel_k0 modified_bessel_k1 scaled_modified_bessel_k0 "
              "scaled_modified_bessel_k1 spherical_bessel_j0 chebyshev_polynomial_t "
              "chebyshev_polynomial_u chebyshev_polynomial_v chebyshev_polynomial_w "
              "hermite_polynomial_h hermite_polynomial_he laguerre_polynomial_l "
              "legendre_polynomial_p shifted_chebyshev_polynomial_t "
              "shifted_chebyshev_polynomial_u shifted_chebyshev_polynomial_v "
              "shifted_chebyshev_polynomial_w").split():
    RENAMED["special_" + _name] = "special." + _name


def at(path):
    """kiln's function at that path; a method where there is no function. None: not there."""
    f = kiln
    for part in path.split("."):
        f = getattr(f, part, None)
    return f if f is not None else getattr(kiln.Tensor, path, None)


def add(name, f, wants_node=False):
    """wants_node: the node comes first; "layout": and how its operand lies in PyTorch."""
    def row(*args, **kwargs):
        return f(*args, **kwargs)

    row.wants_node = wants_node
    whole = name.startswith(("prims.", "torch_nn.", "transformers.", "torchvision.", "with_effects",
                             "flex_attention", "associative_scan", "kiln.", "run_"))
    ROWS[name if whole else "aten." + name] = row


def row(*names, wants_node=False, draws=False):
    """A function that is these overloads' row; `name` without overload: all of them."""
    def take(f):
        for name in names:
            add(name, f, wants_node)
            if draws:
                RANDOM.add("aten." + name)
        return f

    return take


@functools.lru_cache(maxsize=None)
def find(target):
    """The row of an overload, or None."""
    full = str(target)
    found = ROWS.get(full)
    if found is None and full.count(".") == 2:
        found = ROWS.get(full.rpartition(".")[0])
    return found


def _fill():
    for name in SAME.split():
        add(name, at(name))
    for name in FUNCTIONAL.split():
        add(name, getattr(F, name))
    for name, path in RENAMED.items():
        f = at(path)
        if f is not None:
            add(name, f)


def vjp(f, xs, gradient, wanted=None):
    """Gradients of f(*xs), weighed by gradient, by those xs that are wanted; None for the others.
    What f computes and no gradient needs is never computed."""
    wanted = [x is not None for x in xs] if wanted is None else wanted
    with kiln.enable_grad():
        leaves = [x.detach().clone().requires_grad_() if w else x for x, w in zip(xs, wanted)]
        y = f(*leaves)
        some = [x for x, w in zip(leaves, wanted) if w]
        got = iter(kiln.autograd.grad(y, some, gradient, allow_unused=True,
                                      materialize_grads=True))
    return tuple(next(got) if w else None for w in wanted)


_fill()
for _name in ("bernoulli multinomial randperm").split():
    RANDOM.update({f"aten.{_name}.default", f"aten.{_name}"})

# ---- rows whose arguments are other than those of kiln's function ----


@row("slice.Tensor", "slice_copy.Tensor")
def _slice(x, dim=0, start=None, end=None, step=1):
    return x[(slice(None),) * (dim % x.dim()) + (slice(start, end, step),)]


@row("index.Tensor", "_unsafe_index.Tensor")
def _index(x, indices):
    return x[tuple(slice(None) if i is None else i for i in indices)]


@row("index_put", "_unsafe_index_put", "_index_put_impl")
def _index_put(x, indices, values, accumulate=False, unsafe=False):
    if any(i is not None and i.dtype == kiln.bool for i in indices):
        return _put_masked(x, indices, values, accumulate)
    if all(i is not None for i in indices):
        return kiln.index_put(x, tuple(indices), values, accumulate)
    # whole dimensions move behind the indexed ones
    given = [d for d, i in enumerate(indices) if i is not None]
    together = given == list(range(given[0], given[-1] + 1))
    rest = [d for d in range(x.dim()) if d not in given]
    moved = x.permute(given + rest)
    picked = kiln.broadcast_tensors(*[indices[d] for d in given])
    shape = tuple(picked[0].shape)
    full = shape + tuple(x.shape[d] for d in rest)
    if together and given[0] > 0:  # the result's indexed dimensions stand where they stood
        k, n = given[0], len(shape)
        order = list(range(k, k + n)) + list(range(k)) + list(range(k + n, len(full)))
        there = tuple(x.shape[:k]) + shape + tuple(x.shape[given[-1] + 1:])
        values = values.expand(there).permute(order)
    else:
        values = values.expand(full)
    r = kiln.index_put(moved, tuple(picked), values, accumulate)
    back = [0] * x.dim()
    for i, d in enumerate(given + rest):
        back[d] = i
    return r.permute(back)


def _put_masked(x, indices, values, accumulate):
    """Where a mask is true: one value, or as many as there are places, in order."""
    if len(indices) != 1:
        raise NotImplementedError("how many values are put depends on a mask's values")
    mask, rest = indices[0], x.shape[indices[0].dim():]
    if values.dim() <= len(rest) or values.shape[0] == 1:
        values = values.reshape(values.shape[values.dim() - len(rest):]) \
            if values.dim() > len(rest) else values
    elif values.shape[0] == 0:
        return x
    else:
        number = mask.reshape(-1).to(kiln.int64).cumsum(0) - 1
        picked = values[number.clamp(0, values.shape[0] - 1)]
        values = picked.reshape(*mask.shape, *picked.shape[1:])
    mask = mask.reshape(*mask.shape, *[1] * len(rest))
    values = values.to(x.dtype)
    return kiln.where(mask, x + values if accumulate else values, x)


@row("nonzero_static")
def _nonzero_static(x, size, fill_value=-1):
    """The first `size` places, found by counting."""
    flat = (x != 0).reshape(-1)
    n = flat.shape[0]
    to = flat.to(kiln.int64).cumsum(0) - 1
    to = kiln.where(flat & (to < size), to, size)
    places = kiln.full((size + 1,), -1, dtype=kiln.int64)
    places = places.scatter(0, to, kiln.arange(n, dtype=kiln.int64))[:size]
    there, columns = places >= 0, []
    for extent in reversed(x.shape):
        columns.append(kiln.where(there, places % max(extent, 1), fill_value))
        places = kiln.where(there, places // max(extent, 1), places)
    return kiln.stack(columns[::-1], 1) if columns else kiln.zeros((size, 0), dtype=kiln.int64)


@row("_to_copy", "prims.convert_element_type")
def _to_copy(x, dtype=None):
    return x.to(dtype) if dtype is not None and dtype != x.dtype else x.clone()


@row("repeat_interleave.self_int")
def _repeat_interleave(x, repeats, dim=None, output_size=None):
    return kiln.repeat_interleave(x, repeats, dim)


@row("repeat_interleave.Tensor")
def repeated(repeats, output_size=None):
    """Each place as often as it is to be repeated."""
    ends, at = repeats.cumsum(0), kiln.arange(output_size, dtype=kiln.int64)
    return kiln.searchsorted(ends, at.to(ends.dtype), right=True).to(repeats.dtype)


@row("resize", "resize_", wants_node="layout")
def _resize(node, lay, base, x, size, memory_format=None):
    """The same memory, as far as it goes."""
    if not lay.plain or not node.meta["val"].is_contiguous():
        raise NotImplementedError("resize of memory in another order")
    n, flat = math.prod(size), x.reshape(-1)
    more = max(n - flat.shape[0], 0)
    flat = kiln.cat([flat, kiln.zeros(more, dtype=x.dtype)]) if more else flat
    return flat[:n].reshape(tuple(size))


@row("copy")
def _copy(x, src, non_blocking=False):
    return src.to(x.dtype).expand(x.shape)


@row("fill", "full_like")
def _fill_value(x, value, dtype=None):
    if isinstance(value, kiln.Tensor):
        return value.to(x.dtype).expand(x.shape)
    return kiln.full(tuple(x.shape), value, dtype=dtype or x.dtype)


@row("alias", "detach", "lift_fresh_copy", "lift_fresh", "lift", "resolve_conj", "resolve_neg",
     "contiguous", "positive")
def _same(x):
    return x


@row("_conj", "conj", "_conj_physical", "conj_physical")
def _conj(x):
    return kiln.conj(x)


@row("_neg_view")
def _neg_view(x):
    return -x


@row("scalar_tensor")
def _scalar_tensor(value, dtype=None):
    if isinstance(value, kiln.Tensor):
        return value.to(dtype or kiln.float32)
    return kiln.full((), value, dtype=dtype or kiln.float32)


@row("full")
def _full(size, value, dtype=None):
    if isinstance(value, kiln.Tensor):
        return value.to(dtype or value.dtype).expand(tuple(size))
    dtype = dtype or {bool: kiln.bool, int: kiln.int64, float: kiln.get_default_dtype(),
                      complex: kiln.complex64}[type(value)]
    return kiln.full(tuple(size), value, dtype=dtype)


@row("empty.memory_format", "zeros")
def _zeros(size, dtype=None):
    return kiln.zeros(tuple(size), dtype=dtype)


@row("empty_strided", "new_empty_strided", wants_node=True)
def _empty_strided(node, *args, dtype=None):
    size, x = (args[0], None) if not isinstance(args[0], kiln.Tensor) else (args[1], args[0])
    return kiln.zeros(tuple(size), dtype=dtype or (x.dtype if x is not None else None))


@row("empty_permuted")
def _empty_permuted(size, order, dtype=None):
    return kiln.zeros(tuple(size), dtype=dtype)


@row("new_empty", "new_zeros")
def _new_zeros(x, size, dtype=None):
    return kiln.zeros(tuple(size), dtype=dtype or x.dtype)


@row("new_ones")
def _new_ones(x, size, dtype=None):
    return kiln.ones(tuple(size), dtype=dtype or x.dtype)


@row("new_full")
def _new_full(x, size, value, dtype=None):
    return kiln.full(tuple(size), value, dtype=dtype or x.dtype)


@row("arange.start_step", "arange.start", "arange.default")
def _arange(*args, dtype=None):
    if dtype is None:
        dtype = kiln.float32 if any(isinstance(a, float) for a in args) else kiln.int64
    start, end, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
    if not dtype.is_floating_point and any(isinstance(a, float) for a in args):
        n = max(math.ceil((end - start) / step), 0)
        return (kiln.arange(n, dtype=kiln.int64) * int(step) + int(start)).to(dtype)
    return kiln.arange(start, end, step, dtype=dtype)


@row("cat")
def _cat(tensors, dim=0):
    """Without those of one dimension that hold nothing, which may stand among others."""
    some = [t for t in tensors if t.dim() != 1 or t.shape[0]]
    return kiln.cat(some or tensors, dim)


@row("prims.iota")
def _iota(length, start=0, step=1, dtype=None, requires_grad=False):
    return (kiln.arange(length, dtype=kiln.int64) * step + start).to(dtype)


@row("sum")
def _sum(x, dim=None, keepdim=False, dtype=None):
    if dim is None or len(dim) == 0:
        dim = list(range(x.dim()))
    return kiln.sum(x, tuple(dim), keepdim, dtype=dtype) if x.dim() else \
        kiln.sum(x, dtype=dtype)


@row("mean.dim")
def _mean(x, dim=None, keepdim=False, dtype=None):
    dim = list(range(x.dim())) if not dim else dim
    return kiln.mean(x, tuple(dim), keepdim, dtype=dtype) if x.dim() else kiln.mean(x, dtype=dtype)


@row("prod.default")
def _prod(x, dtype=None):
    return kiln.prod(x, dtype=dtype)


@row("prod.dim_int")
def _prod_dim(x, dim, keepdim=False, dtype=None):
    return kiln.prod(x, dim, keepdim, dtype=dtype)


def _over(x, dim):
    return list(range(x.dim())) if dim is None or (isinstance(dim, (list, tuple)) and not dim) \
        else [dim] if isinstance(dim, int) else list(dim)


@row("any", "any.dims")
def _any(x, dim=None, keepdim=False):
    r = x != 0
    return r.amax(_over(x, dim), keepdim) if x.dim() else r


@row("all", "all.dims")
def _all(x, dim=None, keepdim=False):
    r = x != 0
    return r.amin(_over(x, dim), keepdim) if x.dim() else r


@row("argmax")
def _argmax(x, dim=None, keepdim=False):
    return kiln.argmax(x, dim, keepdim)


@row("argmin")
def _argmin(x, dim=None, keepdim=False):
    return kiln.argmin(x, dim, keepdim)


@row("var.correction", "var.dim")
def _var(x, dim=None, unbiased=None, keepdim=False, correction=None):
    return kiln.var(x, _over(x, dim), correction=_correction(unbiased, correction),
                    keepdim=keepdim)


@row("std.correction", "std.dim")
def _std(x, dim=None, unbiased=None, keepdim=False, correction=None):
    return kiln.std(x, _over(x, dim), correction=_correction(unbiased, correction),
                    keepdim=keepdim)


@row("var_mean.correction", "var_mean.dim")
def _var_mean(x, dim=None, unbiased=None, keepdim=False, correction=None):
    return kiln.var_mean(x, _over(x, dim), correction=_correction(unbiased, correction),
                         keepdim=keepdim)


def _correction(unbiased, correction):
    if correction is None:
        return 1 if unbiased is None else int(unbiased)
    return correction


@row("pow")
def _pow(x, y):
    return kiln.pow(x, y)


@row("squeeze.dim", "squeeze.dims", "squeeze_copy.dim", "squeeze_copy.dims")
def _squeeze(x, dim):
    return kiln.squeeze(x, dim) if x.dim() else x


@row("as_strided", "as_strided_copy", wants_node="layout")
def _as_strided(node, lay, base, x, size, stride, offset=None):
    """Over the memory that PyTorch's operand has."""
    val = node.args[0].meta["val"]
    if not lay.dense or val.untyped_storage().nbytes() > 0 and \
            (offset or 0) < base:
        raise NotImplementedError("as_strided over memory with gaps")
    flat = lay.write(x).clone().reshape(-1)
    return flat.as_strided(tuple(size), tuple(stride), (base if offset is None else offset) - base)


@row("as_strided_scatter", wants_node=True)
def _as_strided_scatter(node, x, src, size, stride, offset=None):
    val = node.args[0].meta["val"]
    if not val.is_contiguous() or int(val.storage_offset()):
        raise NotImplementedError("as_strided_scatter over memory that is not dense")
    return kiln.as_strided_scatter(x, src, tuple(size), tuple(stride), offset or 0)


def _placed(x, src, dim, start, step=1):
    """x with src from `start` on along dim: read by place, so that extents may be symbols."""
    dim %= x.dim()
    inside, src = (_spread(t, dim, step)
                   for t in (kiln.ones(tuple(src.shape), dtype=kiln.bool), src))
    around = [0, 0] * (x.dim() - dim - 1) + [start, x.shape[dim] - start - src.shape[dim]]
    return kiln.where(F.pad(inside, around), F.pad(src, around), x)


@row("select_scatter", "select_copy")
def _select_scatter(x, src, dim, index):
    n = x.shape[dim]
    if src.dtype != x.dtype or not -n <= index < n:
        return kiln.select_scatter(x, src, dim, index)
    return _placed(x, src.unsqueeze(dim % x.dim()), dim, index % n)


def _spread(t, dim, step):
    """t with step - 1 zeros behind each of its elements along dim."""
    around = [0, 0] * (t.dim() - dim - 1) + [0, step - 1]
    return F.pad(t.unsqueeze(dim + 1), around).flatten(dim, dim + 1) if step > 1 else t


@row("slice_scatter", wants_node=True)
def _slice_scatter(node, x, src, dim=0, start=None, end=None, step=1):
    n, dim = x.shape[dim], dim % x.dim()
    start, end, step = slice(start, end, step).indices(n)
    src = src.expand_as(x[(slice(None),) * dim + (slice(start, end, step),)])
    varies = any(not isinstance(s, int) for s in node.meta["val"].shape)
    if src.dtype != x.dtype or step != 1 and not varies:
        return kiln.slice_scatter(x, src, dim, start, end, step)
    return _placed(x, src, dim, start, step)


@row("view.dtype")
def _bitcast(x, dtype):
    return x.view(dtype)


def _at_least_1d(f):
    """f on tensors of which some have no dimension."""
    def run(x, dim, index, *rest, **kwargs):
        if index.numel() == 0:
            return x
        if x.dim() and index.dim():
            return f(x, dim, index, *rest, **kwargs)
        rest = [t.reshape(-1) if isinstance(t, kiln.Tensor) else t for t in rest]
        return f(x.reshape(-1), 0, index.reshape(-1), *rest, **kwargs).reshape(x.shape)

    return run


@row("gather")
def _gather(x, dim, index, sparse_grad=False):
    if index.numel() == 0:
        return kiln.zeros(tuple(index.shape), dtype=x.dtype)
    return _at_least_1d(kiln.gather)(x, dim, index).reshape(index.shape)


for _name in ("scatter.value", "scatter.src", "scatter_add", "scatter_reduce"):
    row(_name)(_at_least_1d(getattr(kiln, _name.split(".")[0])))


@row("scatter.reduce", "scatter.value_reduce")
def _scatter_by(x, dim, index, src, reduce=None):
    return _at_least_1d(kiln.scatter)(x, dim, index, src, reduce=reduce)


@row("sort.stable")
def _sort_stable(x, stable=None, dim=-1, descending=False):
    return kiln.sort(x, dim, descending)


@row("argsort.stable")
def _argsort(x, stable=None, dim=-1, descending=False):
    return kiln.argsort(x, dim, descending)


# ---- names of older programs ----

for _name, _f in (("true_divide", "div"), ("__lshift__", "bitwise_left_shift"),
                  ("__rshift__", "bitwise_right_shift"), ("__and__", "bitwise_and"),
                  ("__or__", "bitwise_or"), ("__xor__", "bitwise_xor")):
    add(_name, at(_f))


@row("prims.div")
def _prims_div(x, y):
    """Of integers the quotient without its fraction."""
    return kiln.div(x, y) if x.dtype.is_floating_point or x.dtype.is_complex else \
        kiln.div(x, y, rounding_mode="trunc")


@row("masked_fill.Tensor", "masked_fill.Scalar")
def _masked_fill(x, mask, value):
    return kiln.masked_fill(x, mask, value)


@row("where.self", "where.ScalarSelf", "where.ScalarOther", "where.Scalar")
def _where(c, x, y):
    return kiln.where(c, x, y)


@row("addmm", "addmv", "baddbmm", "addbmm", "addr", wants_node=True)
def _addmm(node, x, a, b, beta=1, alpha=1):
    name = str(node.target).split(".")[1]
    return getattr(kiln, name)(x, a, b, beta=beta, alpha=alpha)


@row("_efficientzerotensor")
def _zero_tensor(size, dtype=None):
    return kiln.zeros(tuple(size), dtype=dtype)


@row("masked_scatter_backward")
def _masked_scatter_backward(g, mask, sizes):
    """The gradients under the mask, in order, then zeros."""
    mask = mask.expand(g.shape).reshape(-1)
    n = math.prod(sizes)
    to = mask.to(kiln.int64).cumsum(0) - 1
    to = kiln.where(mask & (to < n), to, n)
    flat = kiln.zeros(n + 1, dtype=g.dtype).index_add(0, to, g.reshape(-1))
    return flat[:n].reshape(tuple(sizes))


@row("_trilinear")
def _trilinear(a, b, c, expand1, expand2, expand3, sumdim, unroll_dim=1):
    for t, dims in ((0, expand1), (1, expand2), (2, expand3)):
        x = (a, b, c)[t]
        for d in sorted(dims):
            x = x.unsqueeze(d)
        a, b, c = (x if t == 0 else a, x if t == 1 else b, x if t == 2 else c)
    return (a * b * c).sum(list(sumdim)) if sumdim else a * b * c


@row("prims.fma")
def _fma(a, b, c):
    return a * b + c


@row("_make_token")
def _make_token():
    return kiln.zeros(0)


@row("with_effects")
def _with_effects(op, *args, **kwargs):
    """Effects in order: what is checked of a factorization is told by its `info`."""
    if str(op) != "aten._linalg_check_errors.default":
        raise NotImplementedError(f"the effect {op}")
    return kiln.zeros(0), None


@row("sym_size.int")
def _sym_size(x, dim):
    return x.shape[dim]


@row("sym_numel")
def _sym_numel(x):
    return x.numel()


@row("_linalg_check_errors", "_sink_tokens", "_assert_tensor_metadata", "_assert_async",
     "sym_constrain_range", "sym_constrain_range_for_size")
def _nothing(*args, **kwargs):
    return None


from . import (rows_foreach, rows_grouped, rows_linalg, rows_nn,  # noqa: E402,F401  they add theirs
               rows_random, rows_statistics, rows_vision)
