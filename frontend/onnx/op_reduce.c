/* op_reduce.c: reductions, running sums, sorting. Axes are an attribute in older opsets,
 * an operand in newer ones. */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

typedef kl_tensor *(*reduce_fn)(const char *at, kl_tensor *t, kl_ints axes, bool keep);

/* What a reduction over nothing gives: the dtype's end. */
static kl_tensor *end_of(kl_dtype dt, kl_ints shape, bool low)
{
    if (is_float(dt))
        return kl_full(shape, low ? -INFINITY : INFINITY, dt);
    if (dt == KL_BOOL)
        return kl_full(shape, low ? 0 : 1, dt);
    int bits = 8 * (int)kl_dtype_size(dt);
    uint64_t most =
        is_unsigned(dt) ? UINT64_MAX >> (64 - bits) : UINT64_MAX >> (65 - bits);
    kl_tensor *top = kl_full(shape, (int64_t)most, KL_I64);
    if (low)
        top = is_unsigned(dt) ? kl_full(shape, 0, KL_I64) : kl_sub(kl_neg(top), 1);
    return kl_to(top, dt);
}

static kl_tensor *extreme(kl_tensor *x, kl_ints axes, bool keep, bool low)
{
    kl_ints shape = kl_shape_of(x), out = {0};
    bool empty = false;
    for (int i = 0; i < shape.n; i++) {
        bool over = axes.n == 0;
        for (int k = 0; k < axes.n; k++)
            over |= axes.v[k] == i;
        empty |= over && shape.v[i] == 0;
        if (!over || keep)
            push(&out, over ? 1 : shape.v[i]);
    }
    if (empty)
        return end_of(kl_dtype_of(x), out, low);
    return low ? kl_amax_axes(x, axes, keep) : kl_amin_axes(x, axes, keep);
}

static kl_tensor *largest(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    (void)at;
    return extreme(x, axes, keep, true);
}
static kl_tensor *smallest(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    (void)at;
    return extreme(x, axes, keep, false);
}

static kl_tensor *sum(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    return kl_to(kl_sum_at(at, x, axes, keep), kl_dtype_of(x));
}
static kl_tensor *prod(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    return kl_to(kl_prod_at(at, x, axes, keep), kl_dtype_of(x));
}
static kl_tensor *mean(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    kl_dtype dt = kl_dtype_of(x);
    return kl_to(kl_mean_at(at, is_float(dt) ? x : kl_to(x, KL_F64), axes, keep), dt);
}
static kl_tensor *l1(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    return sum(at, kl_abs(x), axes, keep);
}
static kl_tensor *squares(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    return sum(at, kl_mul(x, x), axes, keep);
}
static kl_tensor *l2(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    kl_dtype dt = kl_dtype_of(x);
    return kl_to(
        kl_sqrt(squares(at, is_float(dt) ? widen(x) : kl_to(x, KL_F64), axes, keep)), dt);
}
static kl_tensor *log_sum(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    kl_dtype dt = kl_dtype_of(x);
    return kl_to(kl_log(sum(at, is_float(dt) ? x : kl_to(x, KL_F64), axes, keep)), dt);
}
static kl_tensor *log_sum_exp(const char *at, kl_tensor *x, kl_ints axes, bool keep)
{
    kl_dtype dt = kl_dtype_of(x);
    bool empty = kl_numel(x) == 0;
    x = is_float(dt) ? widen(x) : kl_to(x, KL_F64);
    if (empty)
        return kl_to(log_sum(at, kl_exp(x), axes, keep), dt);
    return kl_to(kl_logsumexp_at(at, x, axes, keep), dt);
}

static void reduce(kl_onnx_op *n, reduce_fn f)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes;
    bool given = kl_onnx_list_of(n, 1, "axes", &axes);
    bool keep = kl_onnx_int(n, "keepdims", 1);
    if (kl_failed() || !kl_onnx_axes(n, &axes, kl_rank(x)))
        return;
    bool nothing = (!given || !axes.n) && kl_onnx_int(n, "noop_with_empty_axes", 0);
    if (nothing) { /* each element alone */
        int r = kl_rank(x);
        x = kl_unsqueeze(x, r);
        axes = kl_axes(r);
        keep = false;
    }
    give(n, 0, f(KL_HERE, x, axes, keep));
}

OP(ReduceSum)
{
    reduce(n, sum);
}
OP(ReduceMean)
{
    reduce(n, mean);
}
OP(ReduceMax)
{
    reduce(n, largest);
}
OP(ReduceMin)
{
    reduce(n, smallest);
}
OP(ReduceProd)
{
    reduce(n, prod);
}
OP(ReduceL1)
{
    reduce(n, l1);
}
OP(ReduceL2)
{
    reduce(n, l2);
}
OP(ReduceSumSquare)
{
    reduce(n, squares);
}
OP(ReduceLogSum)
{
    reduce(n, log_sum);
}
OP(ReduceLogSumExp)
{
    reduce(n, log_sum_exp);
}

/* ---- where the largest stands ---- */

typedef kl_tensor *(*arg_fn)(const char *at, kl_tensor *t, int dim, bool keep);

/* The last one: the first one from the other end. */
static void arg(kl_onnx_op *n, arg_fn f)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", 0);
    bool keep = kl_onnx_int(n, "keepdims", 1) && kl_rank(x) > 0;
    x = kl_rank(x) ? x : kl_reshape(x, kl_shape(1)); /* one number is its own largest */
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    if (!kl_onnx_int(n, "select_last_index", 0)) {
        give(n, 0, f(KL_HERE, x, (int)axis, keep));
        return;
    }
    kl_tensor *i = f(KL_HERE, kl_flip(x, kl_axes(axis)), (int)axis, keep);
    give(n, 0, kl_sub(kl_extent(x, (int)axis) - 1, i));
}

OP(ArgMax)
{
    arg(n, kl_argmax_at);
}
OP(ArgMin)
{
    arg(n, kl_argmin_at);
}

/* ---- running ---- */

typedef kl_tensor *(*running_fn)(const char *at, kl_tensor *t, int dim);

/* exclusive: what stands before each; reverse: from the end. */
static void running(kl_onnx_op *n, running_fn f, int64_t unit)
{
    kl_tensor *x = in(n, 0);
    int64_t count;
    const int64_t *at = kl_onnx_ints(n, 1, &count);
    int64_t axis = at && count ? at[0] : 0;
    if (!at || !kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    int ax = (int)axis;
    bool reverse = kl_onnx_int(n, "reverse", 0);
    kl_dtype dt = kl_dtype_of(x);
    x = reverse ? kl_flip(x, kl_axes(ax)) : x;
    if (kl_onnx_int(n, "exclusive", 0)) {
        kl_ints first = kl_shape_of(x);
        first.v[ax] = 1;
        kl_tensor *parts[] = {kl_full(first, unit, dt),
                              kl_slice(x, ax, 0, kl_extent(x, ax) - 1)};
        x = kl_cat(parts, 2, ax);
    }
    kl_tensor *y = kl_to(f(KL_HERE, x, ax), dt);
    give(n, 0, reverse ? kl_flip(y, kl_axes(ax)) : y);
}

OP(CumSum)
{
    running(n, kl_cumsum_at, 0);
}
OP(CumProd)
{
    running(n, kl_cumprod_at, 1);
}

OP(TopK)
{
    kl_tensor *x = in(n, 0), *index = NULL;
    int64_t axis = kl_onnx_int(n, "axis", -1), count;
    const int64_t *k = n->opset < 10 ? NULL : kl_onnx_ints(n, 1, &count);
    int64_t most = k ? (count ? k[0] : 0) : kl_onnx_int(n, "k", 0);
    if (kl_failed() || !kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    bool descending = kl_onnx_int(n, "largest", 1);
    kl_tensor *y = kl_sort(x, (int)axis, descending, &index);
    if (most < 0 || most > kl_extent(x, (int)axis)) {
        kl_onnx_fail(n, KL_ERR_INDEX, "%lld of %lld elements", (long long)most,
                     (long long)kl_extent(x, (int)axis));
        return;
    }
    give(n, 0, kl_narrow(y, (int)axis, 0, most));
    give(n, 1, kl_narrow(index, (int)axis, 0, most));
}
