/* histogram.c: counts of points in the cells of a grid, one axis or several, as
 * torch.histogram and torch.histogramdd have them.
 *
 *   kl_histogram(x [N,D], edges)  ->  cell = searchsorted(edges_d, x_d) - 1 along each
 * axis index_add of 1, or of weights, to the flattened grid
 *
 * A cell holds its lower edge, the last one also its upper edge. */
#include "handles.h"

static bool is_histogram_dtype(kl_tensor *t)
{
    kl_dtype dt = (kl_dtype)t->dtype;
    if (dt != KL_F32 && dt != KL_F64)
        kl_fail(KL_ERR_UNSUPPORTED, "\"histogramdd\" not implemented for '%s'",
                kl_dtypes[dt].scalar);
    return dt == KL_F32 || dt == KL_F64;
}

/* From lo to hi; where they are equal, from the least to the largest of x. */
kl_tensor *kl_histogram_edges_at(const char *at, kl_tensor *x, int64_t bins, double lo,
                                 double hi, bool given, int dim)
{
    kl_call c = kl_compose(at);
    if (!x || !is_histogram_dtype(x))
        return kl_composed(&c, NULL, NULL);
    if (!given) {
        bool any = kl_numel(x) > 0;
        lo = any ? kl_item_at(at, kl_amin_at(at, x, kl_axes(), false)) : 0;
        hi = any ? kl_item_at(at, kl_amax_at(at, x, kl_axes(), false)) : 1;
    }
    if (bins < 1)
        kl_fail(KL_ERR_ARG,
                "torch.histogram(): bins must be > 0, but got %lld for dimension %d",
                (long long)bins, dim);
    else if (!isfinite(lo) || !isfinite(hi))
        kl_fail(KL_ERR_ARG,
                "torch.histogramdd: dimension %d's range [%g, %g] is not finite", dim,
                isnan(lo) ? fabs(lo) : lo, isnan(hi) ? fabs(hi) : hi);
    else if (lo > hi)
        kl_fail(KL_ERR_ARG,
                "torch.histogramdd: min should not exceed max, but got min %g max %g for "
                "dimension %d",
                lo, hi, dim);
    if (kl_failed())
        return kl_composed(&c, NULL, NULL);
    double wider = lo == hi ? 0.5 : 0;
    return kl_composed(
        &c, NULL,
        kl_linspace_at(at, lo - wider, hi + wider, kl_sat_add(bins, 1), kl_dtype_of(x)));
}

static kl_status check_edges(kl_tensor *x, kl_tensor *const *edges, int dims)
{
    for (int i = 0; i < dims; i++) {
        if (!edges[i])
            return KL_ERR_ARG;
        if (edges[i]->rank != 1)
            return kl_fail(
                KL_ERR_SHAPE,
                "torch.histogramdd: bins tensor should have one dimension, but "
                "got %d dimensions in the bins tensor for dimension %d",
                edges[i]->rank, i);
        if (kl_numel(edges[i]) < 2)
            return kl_fail(KL_ERR_ARG,
                           "torch.histogram(): bins must be > 0, but got %lld for "
                           "dimension %d",
                           (long long)kl_numel(edges[i]) - 1, i);
        if (edges[i]->dtype != x->dtype)
            return kl_fail(KL_ERR_DTYPE,
                           "torch.histogramdd: input tensor and bins tensors should have "
                           "the same dtype, but got input with dtype %s and bins for "
                           "dimension %d with dtype %s",
                           kl_dtypes[x->dtype].scalar, i,
                           kl_dtypes[edges[i]->dtype].scalar);
    }
    return KL_OK;
}

static kl_status check(kl_tensor *x, kl_tensor *const *edges, int dims, kl_tensor *weight)
{
    if (!x || !is_histogram_dtype(x))
        return KL_ERR_UNSUPPORTED;
    if (x->rank < 2)
        return kl_fail(
            KL_ERR_SHAPE,
            "torch.histogramdd: input tensor should have at least 2 dimensions");
    if (kl_extent(x, -1) != dims)
        return kl_fail(KL_ERR_SHAPE, "histogramdd: The size of bins must be equal to the "
                                     "innermost dimension of the input.");
    if (weight && weight->dtype != x->dtype)
        return kl_fail(
            KL_ERR_DTYPE,
            "torch.histogramdd: if weight tensor is provided, input tensor and "
            "weight tensor should have the same dtype, but got input(%s), and "
            "weight(%s)",
            kl_dtypes[x->dtype].scalar, kl_dtypes[weight->dtype].scalar);
    bool fits = !weight || weight->rank == x->rank - 1;
    for (int i = 0; weight && fits && i < weight->rank; i++)
        fits = kl_extent(weight, i) == kl_extent(x, i);
    if (!fits)
        return kl_fail(
            KL_ERR_SHAPE,
            "torch.histogramdd: if weight tensor is provided it should have the "
            "same shape as the input tensor excluding its innermost dimension");
    return check_edges(x, edges, dims);
}

/* Cells of v along an axis; *in becomes false where v lies in none. */
static kl_tensor *cells(const char *at, kl_tensor *v, kl_tensor *edges, kl_tensor **in)
{
    int64_t n = kl_numel(edges) - 1;
    kl_tensor *at_or_below = kl_searchsorted_at(at, edges, T(v), true);
    kl_tensor *hi = kl_select_at(at, edges, 0, n), *lo = kl_select_at(at, edges, 0, 0);
    if (!at_or_below || !hi || !lo)
        return NULL;
    kl_tensor *inside =
        kl_logical_and_at(at, T(kl_ge_at(at, T(v), T(lo))), T(kl_le_at(at, T(v), T(hi))));
    *in = *in ? kl_logical_and_at(at, T(*in), T(inside)) : inside;
    kl_tensor *cell = kl_sub_at(at, T(at_or_below), kl_arg_i(1));
    return *in ? kl_clamp_at(at, T(cell), kl_arg_i(0), kl_arg_i(n - 1)) : NULL;
}

/* Counts over their sum and their cell's size. */
static kl_tensor *dense(const char *at, kl_tensor *count, kl_tensor *const *edges,
                        int dims)
{
    kl_tensor *sum = kl_sum_at(at, count, kl_axes(), false), *r = over(at, count, sum);
    for (int i = 0; i < dims && r; i++) {
        int64_t n = kl_extent(count, i);
        kl_ints shape = {.n = dims};
        for (int k = 0; k < dims; k++)
            shape.v[k] = k == i ? n : 1;
        kl_tensor *size = minus(at, kl_narrow_at(at, edges[i], 0, 1, n),
                                kl_narrow_at(at, edges[i], 0, 0, n));
        r = over(at, r, size ? kl_reshape_at(at, size, shape) : NULL);
    }
    return r;
}

kl_tensor *kl_histogram_at(const char *at, kl_tensor *x, kl_tensor *const *edges,
                           int dims, kl_tensor *weight, bool density)
{
    kl_call c = kl_compose(at);
    if (dims < 1 || dims > KL_MAX_RANK || check(x, edges, dims, weight))
        return kl_composed(&c, NULL, NULL);
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *points =
        kl_reshape_at(at, x, kl_shape(kl_count(x->rank - 1, kl_t_shape(x)), dims));
    kl_tensor *in = NULL, *cell = NULL;
    kl_ints shape = {.n = dims};
    int64_t all = 1;
    for (int i = 0; i < dims; i++) {
        shape.v[i] = kl_numel(edges[i]) - 1;
        all = kl_sat_mul(all, shape.v[i]);
        kl_tensor *v = points ? kl_select_at(at, points, 1, i) : NULL;
        kl_tensor *k = v ? cells(at, v, edges[i], &in) : NULL;
        cell = cell ? plus(at, kl_mul_at(at, T(cell), kl_arg_i(shape.v[i])), k) : k;
    }
    kl_tensor *w = weight ? kl_reshape_at(at, weight, kl_shape(-1))
                          : kl_scalar_at(at, kl_arg_i(1), dt);
    w = in && w ? kl_where_at(at, in, T(w), T(kl_scalar_at(at, kl_arg_i(0), dt))) : NULL;
    kl_tensor *none = kl_full_at(at, kl_shape(all), kl_arg_i(0), dt);
    kl_tensor *r = cell && w && none ? kl_index_add_at(at, none, 0, cell, w) : NULL;
    r = r ? kl_reshape_at(at, r, shape) : NULL;
    return kl_composed(&c, __func__, density ? dense(at, r, edges, dims) : r);
}
