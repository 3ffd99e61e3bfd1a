/* kiln/reduce.h: reductions, cumulative forms, sorting. axes: kl_axes(0, 2), negative
 * ones from the end; kl_axes() is all. keep: reduced axes stay with extent 1. */
#ifndef KILN_REDUCE_H
#define KILN_REDUCE_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
#define KL_REDUCTIONS(F) \
    F(sum) F(prod) F(mean) F(amax) F(amin) F(any) F(all) F(logsumexp) F(count_nonzero)
/* clang-format on */
#define KL_DECLARE(name)                                                                 \
    KL_API kl_tensor *kl_##name##_at(const char *at, kl_tensor *t, kl_ints axes,         \
                                     bool keep);
KL_REDUCTIONS(KL_DECLARE)
#undef KL_DECLARE
/* over everything */
#define kl_sum(t) kl_sum_at(KL_HERE, t, kl_axes(), false)
#define kl_prod(t) kl_prod_at(KL_HERE, t, kl_axes(), false)
#define kl_mean(t) kl_mean_at(KL_HERE, t, kl_axes(), false)
#define kl_amax(t) kl_amax_at(KL_HERE, t, kl_axes(), false)
#define kl_amin(t) kl_amin_at(KL_HERE, t, kl_axes(), false)
#define kl_any(t) kl_any_at(KL_HERE, t, kl_axes(), false)
#define kl_all(t) kl_all_at(KL_HERE, t, kl_axes(), false)
#define kl_count_nonzero(t) kl_count_nonzero_at(KL_HERE, t, kl_axes(), false)
/* over some axes */
#define kl_sum_axes(t, axes, keep) kl_sum_at(KL_HERE, t, axes, keep)
#define kl_prod_axes(t, axes, keep) kl_prod_at(KL_HERE, t, axes, keep)
#define kl_mean_axes(t, axes, keep) kl_mean_at(KL_HERE, t, axes, keep)
#define kl_amax_axes(t, axes, keep) kl_amax_at(KL_HERE, t, axes, keep)
#define kl_amin_axes(t, axes, keep) kl_amin_at(KL_HERE, t, axes, keep)
#define kl_any_axes(t, axes, keep) kl_any_at(KL_HERE, t, axes, keep)
#define kl_all_axes(t, axes, keep) kl_all_at(KL_HERE, t, axes, keep)
#define kl_logsumexp(t, axes, keep) kl_logsumexp_at(KL_HERE, t, axes, keep)

/* correction 1 is PyTorch's default, 0 NumPy's */
KL_API kl_tensor *kl_var_at(const char *at, kl_tensor *t, kl_ints axes, double correction,
                            bool keep);
KL_API kl_tensor *kl_std_at(const char *at, kl_tensor *t, kl_ints axes, double correction,
                            bool keep);
#define kl_var(t, axes, correction, keep) kl_var_at(KL_HERE, t, axes, correction, keep)
#define kl_std(t, axes, correction, keep) kl_std_at(KL_HERE, t, axes, correction, keep)
/* vector norm: ord 0, 1, 2, any number, or INFINITY */
KL_API kl_tensor *kl_norm_at(const char *at, kl_tensor *t, double ord, kl_ints axes,
                             bool keep);
#define kl_norm(t, ord, axes, keep) kl_norm_at(KL_HERE, t, ord, axes, keep)
/* the index of the first largest (smallest); NaN wins */
KL_API kl_tensor *kl_argmax_at(const char *at, kl_tensor *t, int dim, bool keep);
KL_API kl_tensor *kl_argmin_at(const char *at, kl_tensor *t, int dim, bool keep);
#define kl_argmax(t, dim, keep) kl_argmax_at(KL_HERE, t, dim, keep)
#define kl_argmin(t, dim, keep) kl_argmin_at(KL_HERE, t, dim, keep)
/* cumulative, along one dimension */
KL_API kl_tensor *kl_cumsum_at(const char *at, kl_tensor *t, int dim);
KL_API kl_tensor *kl_cumprod_at(const char *at, kl_tensor *t, int dim);
KL_API kl_tensor *kl_cummax_at(const char *at, kl_tensor *t, int dim);
KL_API kl_tensor *kl_cummin_at(const char *at, kl_tensor *t, int dim);
#define kl_cumsum(t, dim) kl_cumsum_at(KL_HERE, t, dim)
#define kl_cumprod(t, dim) kl_cumprod_at(KL_HERE, t, dim)
#define kl_cummax(t, dim) kl_cummax_at(KL_HERE, t, dim)
#define kl_cummin(t, dim) kl_cummin_at(KL_HERE, t, dim)
/* sorted along dim, stable, NaN last; *index (may be NULL): where each came from */
KL_API kl_tensor *kl_sort_at(const char *at, kl_tensor *t, int dim, bool descending,
                             kl_tensor **index);
KL_API kl_tensor *kl_argsort_at(const char *at, kl_tensor *t, int dim, bool descending);
KL_API kl_tensor *kl_topk_at(const char *at, kl_tensor *t, int64_t k, int dim,
                             bool largest, kl_tensor **index);
#define kl_sort(t, dim, descending, index) kl_sort_at(KL_HERE, t, dim, descending, index)
#define kl_argsort(t, dim, descending) kl_argsort_at(KL_HERE, t, dim, descending)
#define kl_topk(t, k, dim, largest, index) kl_topk_at(KL_HERE, t, k, dim, largest, index)

/* ---- order.c ---- */

/* the k-th smallest (k from 1); the lower middle one; *index: where it stands */
KL_API kl_tensor *kl_kthvalue_at(const char *at, kl_tensor *t, int64_t k, int dim,
                                 bool keep, kl_tensor **index);
KL_API kl_tensor *kl_median_at(const char *at, kl_tensor *t, int dim, bool keep,
                               kl_tensor **index);
/* q 0-d or 1-d in [0, 1]; how: "linear", "lower", "higher", "nearest", "midpoint" */
KL_API kl_tensor *kl_quantile_at(const char *at, kl_tensor *t, kl_tensor *q, int dim,
                                 bool keep, const char *how);
/* where each value would be put into the sorted last dimension, i64 */
KL_API kl_tensor *kl_searchsorted_at(const char *at, kl_tensor *sorted, kl_arg values,
                                     bool right);
/* computed at once: their extents depend on data */
KL_API kl_tensor *kl_bincount_at(const char *at, kl_tensor *t, kl_tensor *weights,
                                 int64_t least);
KL_API kl_tensor *kl_histc_at(const char *at, kl_tensor *t, int64_t bins, double lo,
                              double hi);
/* How many points x [.., dims], f32 or f64, lie in each cell of a grid whose edges along each
 * axis are given, rising; or the sums of their weights [..]. density: over the sum and the
 * cell's size. Edges of so many bins between lo and hi, or where x lies (given false); dim
 * names the axis in messages. */
KL_API kl_tensor *kl_histogram_at(const char *at, kl_tensor *x, kl_tensor *const *edges,
                                  int dims, kl_tensor *weight, bool density);
KL_API kl_tensor *kl_histogram_edges_at(const char *at, kl_tensor *x, int64_t bins,
                                        double lo, double hi, bool given, int dim);
/* *inverse, *counts (may be NULL): which of them each element is, how often each occurs
 */
KL_API kl_tensor *kl_unique_at(const char *at, kl_tensor *t, bool sorted,
                               kl_tensor **inverse, kl_tensor **counts);
/* the distinct slices along dim, sorted, or runs of equal ones as they come */
KL_API kl_tensor *kl_unique_dim_at(const char *at, kl_tensor *t, int dim, bool sorted,
                                   kl_tensor **inverse, kl_tensor **counts);
KL_API kl_tensor *kl_isin_at(const char *at, kl_arg a, kl_arg among, bool invert);

/* ---- statistics.c ---- */

/* NaN left out */
KL_API kl_tensor *kl_nansum_at(const char *at, kl_tensor *t, kl_ints axes, bool keep);
KL_API kl_tensor *kl_nanmean_at(const char *at, kl_tensor *t, kl_ints axes, bool keep);
KL_API kl_tensor *kl_nanmedian_at(const char *at, kl_tensor *t, int dim, bool keep,
                                  kl_tensor **index);
KL_API kl_tensor *kl_nanquantile_at(const char *at, kl_tensor *t, kl_tensor *q, int dim,
                                    bool keep, const char *how);
/* the smallest of the most frequent, *index: where it stands last */
KL_API kl_tensor *kl_mode_at(const char *at, kl_tensor *t, int dim, bool keep,
                             kl_tensor **index);
/* log(cumsum(exp t)), stably */
KL_API kl_tensor *kl_logcumsumexp_at(const char *at, kl_tensor *t, int dim);
/* the n-th difference of neighbours; before and after (may be NULL) are joined on */
KL_API kl_tensor *kl_diff_at(const char *at, kl_tensor *t, int64_t n, int dim,
                             kl_tensor *before, kl_tensor *after);
/* areas under y by straight lines; x: places along dim, or NULL: dx apart */
KL_API kl_tensor *kl_trapezoid_at(const char *at, kl_tensor *y, kl_tensor *x, kl_arg dx,
                                  int dim);
KL_API kl_tensor *kl_cumulative_trapezoid_at(const char *at, kl_tensor *y, kl_tensor *x,
                                             kl_arg dx, int dim);
/* slopes along dim; x: coordinates, or NULL: spacing apart; order 1 or 2 at the ends */
KL_API kl_tensor *kl_gradient_at(const char *at, kl_tensor *t, kl_tensor *x,
                                 double spacing, int dim, int order);
/* rows are variables, columns observations, each counted `often` times and weighted */
KL_API kl_tensor *kl_cov_at(const char *at, kl_tensor *t, double correction,
                            kl_tensor *often, kl_tensor *weights);
KL_API kl_tensor *kl_corrcoef_at(const char *at, kl_tensor *t);
/* slices along dim of p-norm above most shrunk to it */
KL_API kl_tensor *kl_renorm_at(const char *at, kl_tensor *t, double p, int dim,
                               double most);
KL_API kl_tensor *kl_dist_at(const char *at, kl_tensor *a, kl_tensor *b, double p);
/* t / max(p-norm along dim, eps) */
KL_API kl_tensor *kl_normalize_at(const char *at, kl_tensor *t, double p, int dim,
                                  double eps);
/* p-norm of a - b + eps over the last dimension; cosine of the angle along dim */
KL_API kl_tensor *kl_pairwise_distance_at(const char *at, kl_tensor *a, kl_tensor *b,
                                          double p, double eps, bool keep);
KL_API kl_tensor *kl_cosine_similarity_at(const char *at, kl_tensor *a, kl_tensor *b,
                                          int dim, double eps);
/* distances between different rows of [n, d], [n (n - 1) / 2] */
KL_API kl_tensor *kl_pdist_at(const char *at, kl_tensor *t, double p);

/* ---- masked.c: over the elements where mask (bool, broadcast; NULL: all) is true ----
 */
typedef enum kl_masked_op {
    KL_MASKED_SUM, /* over axes: kl_masked_reduce */
    KL_MASKED_PROD,
    KL_MASKED_AMAX,
    KL_MASKED_AMIN,
    KL_MASKED_MEAN,
    KL_MASKED_LOGSUMEXP,
    KL_MASKED_ARGMAX, /* along dim: kl_masked_along */
    KL_MASKED_ARGMIN,
    KL_MASKED_CUMSUM,
    KL_MASKED_CUMPROD,
    KL_MASKED_SOFTMAX,
    KL_MASKED_LOG_SOFTMAX,
    KL_MASKED_SOFTMIN,
    KL_MASKED_MEDIAN
} kl_masked_op;
KL_API kl_tensor *kl_masked_reduce_at(const char *at, kl_masked_op op, kl_tensor *t,
                                      kl_ints axes, bool keep, kl_tensor *mask);
KL_API kl_tensor *kl_masked_along_at(const char *at, kl_masked_op op, kl_tensor *t,
                                     int dim, bool keep, kl_tensor *mask);
KL_API kl_tensor *kl_masked_var_at(const char *at, kl_tensor *t, kl_ints axes,
                                   double correction, bool keep, kl_tensor *mask);
KL_API kl_tensor *kl_masked_norm_at(const char *at, kl_tensor *t, double ord,
                                    kl_ints axes, bool keep, kl_tensor *mask);
KL_API kl_tensor *kl_masked_normalize_at(const char *at, kl_tensor *t, double ord,
                                         int dim, double eps, kl_tensor *mask);
KL_API kl_tensor *kl_masked_logaddexp_at(const char *at, kl_tensor *a, kl_tensor *b,
                                         kl_tensor *of_a, kl_tensor *of_b);

#ifdef __cplusplus
}
#endif
#endif
