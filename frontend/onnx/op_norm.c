/* op_norm.c: normalisation. Sums of f16 and bf16 are kept in f32. */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

static double epsilon(kl_onnx_op *n)
{
    return kl_onnx_float(n, "epsilon", 1e-5f);
}

/* (x - mean) / sqrt(var + eps) scale + bias, a number a channel. */
static kl_tensor *by_channel(kl_tensor *x, kl_tensor *mean, kl_tensor *var,
                             kl_tensor *scale, kl_tensor *bias, double eps)
{
    int r = kl_rank(x);
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *w = kl_div(widen(scale), kl_sqrt(kl_add(widen(var), eps)));
    kl_tensor *y = kl_mul(kl_sub(widen(x), channels(widen(mean), r)), channels(w, r));
    return kl_to(kl_add(y, channels(widen(bias), r)), dt);
}

/* In training by this batch's own statistics, which move the running ones. */
OP(BatchNormalization)
{
    kl_tensor *x = in(n, 0), *mean = in(n, 3), *var = in(n, 4);
    double keep = kl_onnx_float(n, "momentum", 0.9f);
    if (!kl_onnx_int(n, "training_mode", 0)) {
        give(n, 0, by_channel(x, mean, var, in(n, 1), in(n, 2), epsilon(n)));
        return;
    }
    kl_ints axes = kl_axes(0);
    for (int i = 2; i < kl_rank(x); i++)
        push(&axes, i);
    kl_tensor *w = widen(x), *m = kl_mean_axes(w, axes, false),
              *v = kl_var(w, axes, 0, false);
    give(n, 0, by_channel(x, m, v, in(n, 1), in(n, 2), epsilon(n)));
    m = kl_add(kl_mul(mean, keep), kl_mul(m, 1 - keep));
    v = kl_add(kl_mul(var, keep), kl_mul(v, 1 - keep));
    give(n, 1, kl_to(m, kl_dtype_of(mean)));
    give(n, 2, kl_to(v, kl_dtype_of(var)));
}

/* Zero mean, unit variance over axes; *mean, *scale (may be NULL): what was taken away.
 */
static kl_tensor *standard(kl_tensor *x, kl_ints axes, double eps, kl_tensor **mean,
                           kl_tensor **scale)
{
    kl_tensor *m = kl_mean_axes(x, axes, true), *d = kl_sub(x, m);
    kl_tensor *v = kl_mean_axes(kl_mul(d, d), axes, true);
    kl_tensor *s = kl_reciprocal(kl_sqrt(kl_add(v, eps)));
    if (mean)
        *mean = m, *scale = s;
    return kl_mul(d, s);
}

OP(InstanceNormalization)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes = {0};
    for (int i = 2; i < kl_rank(x); i++)
        push(&axes, i);
    kl_tensor *y = standard(widen(x), axes, epsilon(n), NULL, NULL);
    y = kl_mul(y, channels(widen(in(n, 1)), kl_rank(x)));
    y = kl_add(y, channels(widen(in(n, 2)), kl_rank(x)));
    give(n, 0, kl_to(y, kl_dtype_of(x)));
}

/* The axes from attribute axis on; false: it is out of range. */
static bool tail(kl_onnx_op *n, kl_ints *axes)
{
    int rank = kl_rank(in(n, 0));
    int64_t first = kl_onnx_int(n, "axis", -1);
    if (!kl_onnx_axis(n, &first, rank))
        return false;
    *axes = (kl_ints){0};
    for (int i = (int)first; i < rank; i++)
        push(axes, i);
    return true;
}

OP(LayerNormalization)
{
    kl_tensor *x = in(n, 0), *m = NULL, *s = NULL;
    kl_ints axes;
    bool wide = kl_onnx_int(n, "stash_type", 1) == 1;
    if (!tail(n, &axes))
        return;
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *y = kl_to(standard(wide ? widen(x) : x, axes, epsilon(n), &m, &s), dt);
    y = kl_mul(y, in(n, 1));
    give(n, 0, has(n, 2) ? kl_add(y, in(n, 2)) : y);
    give(n, 1, m);
    give(n, 2, s);
}

OP(RMSNormalization)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes;
    bool wide = kl_onnx_int(n, "stash_type", 1) == 1;
    if (!tail(n, &axes))
        return;
    kl_tensor *w = wide ? widen(x) : x;
    kl_tensor *v = kl_mean_axes(kl_mul(w, w), axes, true);
    kl_tensor *y = kl_mul(w, kl_reciprocal(kl_sqrt(kl_add(v, epsilon(n)))));
    give(n, 0, kl_mul(kl_to(y, kl_dtype_of(x)), in(n, 1)));
}

/* Scales are one a group in opset 18, one a channel since 21. */
OP(GroupNormalization)
{
    kl_tensor *x = in(n, 0), *scale = in(n, 1), *bias = in(n, 2);
    kl_ints s = kl_shape_of(x);
    int64_t groups = kl_onnx_int(n, "num_groups", 1);
    if (s.n < 2 || groups < 1 || s.v[1] % groups) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "%lld groups do not fit", (long long)groups);
        return;
    }
    kl_tensor *y = kl_reshape(widen(x), kl_shape(s.v[0], groups, -1));
    y = standard(y, kl_axes(2), epsilon(n), NULL, NULL);
    if (n->opset < 21) {
        y = kl_add(kl_mul(y, channels(widen(scale), 3)), channels(widen(bias), 3));
        give(n, 0, kl_to(kl_reshape(y, s), kl_dtype_of(x)));
        return;
    }
    y = kl_mul(kl_reshape(y, s), channels(widen(scale), s.n));
    give(n, 0, kl_to(kl_add(y, channels(widen(bias), s.n)), kl_dtype_of(x)));
}

/* x / (bias + alpha / size times the sum of squares of size neighbouring channels)^beta
 */
OP(LRN)
{
    kl_tensor *x = in(n, 0);
    int64_t size = kl_onnx_int(n, "size", 1), before = (size - 1) / 2;
    double alpha = kl_onnx_float(n, "alpha", 1e-4f),
           beta = kl_onnx_float(n, "beta", 0.75);
    kl_ints s = kl_shape_of(x);
    if (s.n < 2 || size < 1) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "%lld channels of %d dimensions", (long long)size,
                     s.n);
        return;
    }
    kl_tensor *w = widen(x),
              *q = kl_reshape(kl_mul(w, w), kl_shape(s.v[0], 1, s.v[1], -1));
    q = kl_onnx_pad(q, kl_shape(before, 0, size - 1 - before, 0), kl_arg_d(0));
    kl_pool_axes o = {.size = kl_shape(size, 1), .stride = kl_shape(1, 1), .divisor = 1};
    q = kl_reshape(kl_avg_pool_axes_at(KL_HERE, q, 2, o), s);
    q = kl_add(kl_mul(q, alpha / (double)size), kl_onnx_float(n, "bias", 1));
    give(n, 0, kl_to(kl_div(w, kl_pow(q, beta)), kl_dtype_of(x)));
}

/* Where the norm is 0, so is the result. */
OP(LpNormalization)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", -1), p = kl_onnx_int(n, "p", 2);
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    kl_tensor *w = widen(x), *norm = kl_norm(w, (double)p, kl_axes(axis), true);
    kl_tensor *y = kl_where(kl_eq(norm, 0), 0.0, kl_div(w, norm));
    give(n, 0, kl_to(y, kl_dtype_of(x)));
}

OP(MeanVarianceNormalization)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes;
    if (!kl_onnx_list(n, "axes", &axes))
        axes = kl_axes(0, 2, 3);
    if (!kl_onnx_axes(n, &axes, kl_rank(x)))
        return;
    kl_tensor *w = widen(x), *m = kl_mean_axes(w, axes, true);
    kl_tensor *v = kl_sub(kl_mean_axes(kl_mul(w, w), axes, true), kl_mul(m, m));
    kl_tensor *y = kl_div(kl_sub(w, m), kl_add(kl_sqrt(v), 1e-9));
    give(n, 0, kl_to(y, kl_dtype_of(x)));
}
