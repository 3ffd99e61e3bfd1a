/* embedding.c: bags of embeddings, bilinear layers, norms and dropouts of whole channels:
 * layers of kiln/nn.h composed of kiln's own calls.
 *
 *   embedding_bag(i [n], w, offsets, "sum")  ->  scatter.add zeros [bags, d], bag of each
 *                                                index, rows of w */
#include "handles.h"

/* ---- embeddings ---- */

typedef struct bags {
    kl_tensor *index, *weights, *bag; /* [n]: which bag each index is in */
    int64_t n, count;
} bags;

static bool in_bags(const char *at, kl_tensor *index, kl_tensor *offsets, bool last,
                    bags *b)
{
    if (kl_rank(index) == 2 && !offsets) {
        int64_t rows = kl_extent(index, 0), cols = kl_extent(index, 1);
        b->count = rows;
        b->bag = kl_repeat_interleave_at(
            at, kl_arange_at(at, kl_arg_i(0), kl_arg_i(rows), kl_arg_i(1), KL_I64), cols,
            0);
    } else if (kl_rank(index) == 1 && kl_rank(offsets) == 1) {
        b->count = kl_extent(offsets, 0) - last;
        kl_tensor *o = last ? kl_narrow_at(at, offsets, 0, 0, b->count) : offsets;
        kl_tensor *i =
            kl_arange_at(at, kl_arg_i(0), kl_arg_i(kl_numel(index)), kl_arg_i(1), KL_I64);
        kl_tensor *k = kl_searchsorted_at(at, o, T(i), true);
        b->bag = kl_sub_at(at, T(k), kl_arg_i(1));
    } else {
        kl_fail(KL_ERR_ARG,
                "embedding_bag: input has to be 2D without offsets, or 1D with "
                "1D offsets, but got %dD",
                kl_rank(index));
        return false;
    }
    b->index = kl_reshape_at(at, index, kl_shape(-1));
    b->n = kl_numel(index);
    return b->bag && b->index;
}

kl_tensor *kl_embedding_bag_at(const char *at, kl_tensor *index, kl_tensor *weight,
                               kl_tensor *offsets, const char *mode, kl_tensor *weights,
                               bool last, bool has_padding, int64_t padding)
{
    kl_call c = kl_compose(at);
    bags b = {0};
    if (!index || !weight || !in_bags(at, index, offsets, last, &b))
        return kl_composed(&c, NULL, NULL);
    char how = mode[0] == 's' ? 's' : mode[1] == 'a' ? 'x' : 'm';
    if (weights && how != 's') {
        kl_fail(KL_ERR_UNSUPPORTED,
                "embedding_bag: per_sample_weights was not None. "
                "per_sample_weights is only supported for mode='sum'");
        return kl_composed(&c, NULL, NULL);
    }
    kl_dtype dt = kl_dtype_of(weight);
    kl_tensor *rows = kl_embedding_at(at, b.index, weight);
    kl_tensor *counts = kl_full_at(at, kl_shape(b.n), kl_arg_i(1), dt);
    if (weights)
        rows = kl_mul_at(at, T(rows), T(kl_reshape_at(at, weights, kl_shape(-1, 1))));
    if (has_padding) {
        int64_t p = padding < 0 ? padding + kl_extent(weight, 0) : padding;
        kl_tensor *on = kl_ne_at(at, T(b.index), kl_arg_i(p));
        kl_arg none = kl_arg_d(how == 'x' ? -INFINITY : 0);
        rows = kl_where_at(at, on ? kl_unsqueeze_at(at, on, 1) : NULL, T(rows), none);
        counts = kl_to_at(at, on, dt);
    }
    kl_ints shape = kl_shape(b.count, kl_extent(weight, 1));
    kl_tensor *zero = kl_full_at(at, shape, kl_arg_i(0), dt), *r;
    if (how == 'x') {
        kl_tensor *low = kl_full_at(at, shape, kl_arg_d(-INFINITY), dt);
        kl_tensor *to = kl_unsqueeze_at(at, b.bag, 1);
        r = kl_scatter_at(at, low, 0, kl_expand_at(at, to, kl_shape_of(rows)), T(rows),
                          "amax");
        kl_tensor *empty = r ? kl_eq_at(at, T(r), kl_arg_d(-INFINITY)) : NULL;
        return kl_composed(&c, __func__, kl_where_at(at, empty, kl_arg_i(0), T(r)));
    }
    r = kl_index_add_at(at, zero, 0, b.bag, rows);
    if (how == 'm') {
        kl_tensor *none = kl_full_at(at, kl_shape(b.count), kl_arg_i(0), dt);
        kl_tensor *n = kl_index_add_at(at, none, 0, b.bag, counts);
        n = kl_clamp_at(at, T(n), kl_arg_i(1), kl_arg_none(NULL));
        r = kl_div_at(at, T(r), T(n ? kl_unsqueeze_at(at, n, 1) : NULL));
    }
    return kl_composed(&c, __func__, r);
}

/* ---- products ---- */

kl_tensor *kl_bilinear_at(const char *at, kl_tensor *a, kl_tensor *b, kl_tensor *w,
                          kl_tensor *bias)
{
    kl_call c = kl_compose(at);
    kl_tensor *r = kl_einsum_n_at(at, "...i,oij,...j->...o", (kl_tensor *[]){a, w, b}, 3);
    if (r && bias)
        r = kl_add_at(at, T(r), T(bias));
    return kl_composed(&c, __func__, r);
}

/* ---- norms ---- */

/* In place and outside the gradient: run += momentum (now - run). */
static bool moved(const char *at, kl_tensor *run, kl_tensor *now, double momentum)
{
    if (!run)
        return true;
    kl_tensor *d = kl_sub_at(at, T(now ? kl_detach_at(at, now) : NULL), T(run));
    kl_tensor *next = kl_add_at(at, T(run), T(kl_mul_at(at, T(d), kl_arg_d(momentum))));
    return next && kl_copy_in_at(at, run, T(next));
}

kl_tensor *kl_instance_norm_at(const char *at, kl_tensor *x, kl_tensor *mean,
                               kl_tensor *var, kl_tensor *w, kl_tensor *b, bool own,
                               double momentum, double eps)
{
    kl_call c = kl_compose(at);
    if (!own)
        return kl_composed(
            &c, __func__, kl_batch_norm_at(at, x, mean, var, w, b, false, momentum, eps));
    if (kl_rank(x) < 2) {
        kl_fail(KL_ERR_SHAPE, "instance_norm: a tensor of fewer than 2 axes");
        return kl_composed(&c, NULL, NULL);
    }
    kl_ints s = kl_shape_of(x), flat = s, axes = {0};
    flat.v[0] = 1;
    flat.v[1] = s.v[0] * s.v[1];
    for (int i = 2; i < s.n; i++)
        axes.v[axes.n++] = i;
    if (mean || var) {
        kl_tensor *m = kl_mean_at(at, kl_mean_at(at, x, axes, false), kl_axes(0), false);
        kl_tensor *v =
            kl_mean_at(at, kl_var_at(at, x, axes, 1, false), kl_axes(0), false);
        if (!moved(at, mean, m, momentum) || !moved(at, var, v, momentum))
            return kl_composed(&c, NULL, NULL);
    }
    kl_ints times = kl_shape(s.v[0]);
    kl_tensor *ws = w ? kl_repeat_at(at, w, times) : NULL;
    kl_tensor *bs = b ? kl_repeat_at(at, b, times) : NULL;
    kl_tensor *y = kl_batch_norm_at(at, kl_reshape_at(at, x, flat), NULL, NULL, ws, bs,
                                    true, momentum, eps);
    return kl_composed(&c, __func__, y ? kl_reshape_at(at, y, s) : NULL);
}

/* x / (k + alpha mean of squares over size channels)^beta */
kl_tensor *kl_local_response_norm_at(const char *at, kl_tensor *x, int64_t size,
                                     double alpha, double beta, double k)
{
    kl_call c = kl_compose(at);
    if (kl_rank(x) < 3 || 2 * (kl_rank(x) - 1) > KL_INTS_MAX || size < 1) {
        kl_fail(KL_ERR_ARG,
                "Expected 3D or higher dimensionality input (got %d dimensions) "
                "and a positive size",
                kl_rank(x));
        return kl_composed(&c, NULL, NULL);
    }
    kl_ints pads = {.n = 2 * (kl_rank(x) - 1)};
    pads.v[pads.n - 2] = size / 2;
    pads.v[pads.n - 1] = (size - 1) / 2;
    kl_tensor *sq = kl_pad_at(at, kl_mul_at(at, T(x), T(x)), pads, kl_arg_i(0));
    kl_tensor *near = sq ? kl_unfold_at(at, sq, 1, size, 1) : NULL;
    kl_tensor *sum = near ? kl_sum_at(at, near, kl_axes(-1), false) : NULL;
    kl_tensor *m = kl_is_float(kl_dtype_of(x)) || !sum
                       ? kl_div_at(at, T(sum), kl_arg_i(size))
                       : kl_trunc_div_at(at, T(sum), kl_arg_i(size));
    kl_tensor *d = kl_add_at(at, T(kl_mul_at(at, T(m), kl_arg_d(alpha))), kl_arg_d(k));
    d = kl_pow_at(at, T(d), kl_arg_d(beta));
    return kl_composed(&c, __func__, d ? kl_div_at(at, T(x), T(d)) : NULL);
}

/* ---- dropouts ---- */

/* alpha: what is dropped becomes selu's lowest value, and all is scaled and moved so that
 * mean and variance stay (Klambauer and others, 2017). */
kl_tensor *kl_dropout_by_at(const char *at, kl_tensor *x, double p, bool training,
                            int how)
{
    kl_call c = kl_compose(at);
    if (!(how & KL_DROP_ALPHA && training && p > 0 && p < 1) && !(how & KL_DROP_CHANNELS))
        return kl_composed(&c, NULL, kl_dropout_at(at, x, p, training));
    kl_ints s = kl_shape_of(x);
    for (int i = 2; how & KL_DROP_CHANNELS && i < s.n; i++)
        s.v[i] = 1;
    kl_tensor *ones = kl_full_at(at, s, kl_arg_i(1), kl_dtype_of(x));
    kl_tensor *kept = kl_dropout_at(at, ones, p, training); /* 0 or 1 / (1 - p) */
    if (!(how & KL_DROP_ALPHA) || !training || !(p > 0 && p < 1))
        return kl_composed(&c, __func__, kept ? kl_mul_at(at, T(x), T(kept)) : NULL);
    const double low = -1.7580993408473766;
    double a = 1 / sqrt((1 - p) * (1 + p * low * low));
    kl_tensor *on = kl_ne_at(at, T(kept), kl_arg_i(0));
    kl_tensor *v = kl_where_at(at, on, T(x), kl_arg_d(low));
    v = kl_add_at(at, T(kl_mul_at(at, T(v), kl_arg_d(a))), kl_arg_d(-a * low * p));
    return kl_composed(&c, __func__, v);
}
