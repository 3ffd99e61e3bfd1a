/* statistics.c: reductions that PyTorch names beside sum and mean: without NaN, by
 * frequency, along curves, between variables. Compositions of kiln's own calls.
 *
 *   kl_nanmean(t, 1)  ->  sum(where(isnan t, 0, t), 1) / sum(not isnan t, 1) */
#include "handles.h"

static bool is_real(kl_tensor *t)
{
    return t && (kl_is_float((kl_dtype)t->dtype) || kl_is_complex((kl_dtype)t->dtype));
}

static kl_tensor *refused(kl_call *c, const char *fn, kl_tensor *t)
{
    if (t)
        kl_fail(KL_ERR_DTYPE,
                "%s(): expected input to have floating point or complex "
                "dtype but got %s",
                fn, kl_dtypes[t->dtype].scalar);
    return kl_composed(c, NULL, NULL);
}

/* ---- without NaN ---- */

/* t with 0 in place of NaN. */
static kl_tensor *without_nan(const char *at, kl_tensor *t)
{
    kl_tensor *nan = is_real(t) ? kl_isnan_at(at, T(t)) : NULL;
    if (!nan)
        return t;
    kl_arg zero = kl_arg_t(kl_scalar_at(at, kl_arg_i(0), kl_dtype_of(t)));
    return kl_where_at(at, nan, zero, T(t));
}

kl_tensor *kl_nansum_at(const char *at, kl_tensor *t, kl_ints axes, bool keep)
{
    kl_call c = kl_compose(at);
    if (t && kl_is_complex(kl_dtype_of(t))) {
        kl_fail(KL_ERR_UNSUPPORTED, "nansum does not support complex inputs");
        return kl_composed(&c, NULL, NULL);
    }
    return kl_composed(&c, __func__, kl_sum_at(at, without_nan(at, t), axes, keep));
}

kl_tensor *kl_nanmean_at(const char *at, kl_tensor *t, kl_ints axes, bool keep)
{
    kl_call c = kl_compose(at);
    if (!is_real(t))
        return refused(&c, "nanmean", t);
    kl_tensor *nan = kl_isnan_at(at, T(t)), *there = kl_logical_not_at(at, T(nan));
    kl_tensor *n = kl_sum_at(at, there, axes, keep);
    kl_tensor *s = kl_sum_at(at, without_nan(at, t), axes, keep);
    return kl_composed(&c, __func__, kl_div_at(at, T(s), T(n)));
}

static kl_tensor *dropped(const char *at, kl_tensor *t, int dim, bool keep)
{
    return keep || !t ? t : kl_squeeze_at(at, t, kl_axes(dim));
}

/* The lower middle one of those that are no NaN; NaN where there is none. */
kl_tensor *kl_nanmedian_at(const char *at, kl_tensor *t, int dim, bool keep,
                           kl_tensor **index)
{
    kl_call c = kl_compose(at);
    if (kl_rank(t) == 0 || !is_real(t))
        return kl_composed_two(&c, NULL, kl_median_at(at, t, dim, keep, index), index);
    kl_tensor *order = NULL, *s = kl_sort_at(at, t, dim, false, &order);
    kl_tensor *there = kl_logical_not_at(at, T(kl_isnan_at(at, T(t))));
    kl_tensor *n = kl_sum_at(at, there, kl_axes(dim), true);
    kl_tensor *k = kl_sub_at(at, T(n), kl_arg_i(1));
    k = kl_trunc_div_at(at, T(k), kl_arg_i(2));
    k = kl_clamp_at(at, T(k), kl_arg_i(0), kl_arg_none(NULL));
    kl_tensor *v = kl_gather_at(at, s, dim, k);
    *index = dropped(at, kl_gather_at(at, order, dim, k), dim, keep);
    return kl_composed_two(&c, __func__, dropped(at, v, dim, keep), index);
}

/* ---- the most frequent ---- */

/* The smallest of the most frequent, and where it stands last. */
kl_tensor *kl_mode_at(const char *at, kl_tensor *t, int dim, bool keep, kl_tensor **index)
{
    kl_call c = kl_compose(at);
    if (kl_rank(t) == 0) {
        *index = kl_full_at(at, kl_shape(), kl_arg_i(0), KL_I64);
        return kl_composed_two(&c, __func__, kl_clone_at(at, t), index);
    }
    int64_t n = kl_extent(t, dim);
    kl_tensor *order = NULL, *s = kl_sort_at(at, t, dim, false, &order);
    kl_tensor *a = kl_narrow_at(at, s, dim, 0, 1);
    kl_tensor *yes = kl_full_like_at(at, kl_to_at(at, a, KL_BOOL), kl_arg_b(true));
    kl_tensor *starts = yes;
    if (n > 1) {
        kl_tensor *ne = kl_ne_at(at, T(kl_narrow_at(at, s, dim, 1, n - 1)),
                                 T(kl_narrow_at(at, s, dim, 0, n - 1)));
        starts = kl_cat_at(at, (kl_tensor *[]){yes, ne}, 2, dim);
    }
    kl_ints along = {.n = kl_rank(t)};
    for (int i = 0; i < along.n; i++)
        along.v[i] = i == (dim < 0 ? dim + along.n : dim) ? n : 1;
    kl_tensor *i = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
    i = kl_reshape_at(at, i, along);
    /* how far each stands behind the start of its run: the first farthest wins */
    kl_tensor *from = kl_where_at(at, starts, T(i), kl_arg_i(0));
    from = kl_cummax_at(at, from, dim);
    kl_tensor *k = kl_argmax_at(at, kl_sub_at(at, T(i), T(from)), dim, true);
    kl_tensor *v = kl_gather_at(at, s, dim, k);
    *index = dropped(at, kl_gather_at(at, order, dim, k), dim, keep);
    return kl_composed_two(&c, __func__, dropped(at, v, dim, keep), index);
}

/* ---- along one dimension ---- */

/* Pairs are summed, and the sums of pairs scanned: what ends with a pair is one of these,
 * what ends within one has its first element more. Two additions an element, all told. */
static kl_tensor *log_sums(const char *at, kl_tensor *t, int dim, int64_t n)
{
    if (n < 2 || !t)
        return t;
    int64_t h = n / 2;
    kl_tensor *first = kl_slice_at(at, t, dim, 0, n, 2);
    kl_tensor *pairs = kl_logaddexp_at(at, T(kl_narrow_at(at, first, dim, 0, h)),
                                       T(kl_slice_at(at, t, dim, 1, n, 2)));
    kl_tensor *odd = log_sums(at, pairs, dim, h), *even = kl_narrow_at(at, t, dim, 0, 1);
    if (n > 2) {
        kl_tensor *more = kl_logaddexp_at(at, T(kl_narrow_at(at, odd, dim, 0, n - h - 1)),
                                          T(kl_narrow_at(at, first, dim, 1, n - h - 1)));
        even = kl_cat_at(at, (kl_tensor *[]){even, more}, 2, dim);
    }
    kl_tensor *both[2] = {kl_narrow_at(at, even, dim, 0, h), odd};
    kl_tensor *r = kl_stack_at(at, both, 2, dim + 1);
    r = kl_flatten_at(at, r, dim, dim + 1);
    both[0] = r, both[1] = n % 2 ? kl_narrow_at(at, even, dim, h, 1) : NULL;
    return n % 2 ? kl_cat_at(at, both, 2, dim) : r;
}

/* log(cumsum(exp t)) */
kl_tensor *kl_logcumsumexp_at(const char *at, kl_tensor *t, int dim)
{
    kl_call c = kl_compose(at);
    if (!is_real(t))
        return refused(&c, "logcumsumexp", t);
    int64_t n = kl_rank(t) ? kl_extent(t, dim) : 1;
    if (n < 0)
        return kl_composed(&c, NULL, kl_cumsum_at(at, t, dim));
    kl_tensor *r = kl_clone_at(at, t);
    return kl_composed(&c, __func__,
                       log_sums(at, r, dim < 0 ? dim + kl_rank(t) : dim, n));
}

/* The n-th difference of neighbours. */
kl_tensor *kl_diff_at(const char *at, kl_tensor *t, int64_t n, int dim, kl_tensor *before,
                      kl_tensor *after)
{
    kl_call c = kl_compose(at);
    if (kl_rank(t) == 0 || n < 0) {
        kl_fail(KL_ERR_ARG, kl_rank(t) == 0
                                ? "diff expects input to be at least one-dimensional"
                                : "order must be non-negative");
        return kl_composed(&c, NULL, NULL);
    }
    if (n == 0)
        return kl_composed(&c, NULL, kl_clone_at(at, t));
    kl_tensor *part[3], *r = t;
    int parts = 0;
    if (before)
        part[parts++] = before;
    part[parts++] = t;
    if (after)
        part[parts++] = after;
    if (parts > 1)
        r = kl_cat_at(at, part, parts, dim);
    int64_t len = kl_extent(r, dim);
    for (int64_t k = KL_MIN(n, len); k > 0 && r; k--) {
        len = kl_extent(r, dim);
        if (len < 1)
            break;
        kl_tensor *hi = kl_narrow_at(at, r, dim, 1, len - 1);
        kl_tensor *lo = kl_narrow_at(at, r, dim, 0, len - 1);
        r = r->dtype == KL_BOOL ? kl_xor_at(at, T(hi), T(lo))
                                : kl_sub_at(at, T(hi), T(lo));
    }
    if (r == t) /* empty: the caller's own is not what is given */
        r = kl_clone_at(at, t);
    return kl_composed(&c, __func__, r);
}

/* (y[i] + y[i + 1]) / 2 times dx, or the distances of x. */
static kl_tensor *panels(const char *at, kl_tensor *y, kl_tensor *x, kl_arg dx, int dim)
{
    int axis;
    if (!y || kl_dim_wrap(dim, kl_rank(y), &axis))
        return NULL;
    int64_t n = kl_extent(y, axis);
    kl_tensor *s = kl_add_at(at, T(kl_narrow_at(at, y, axis, 1, n - 1)),
                             T(kl_narrow_at(at, y, axis, 0, n - 1)));
    if (!x)
        return kl_mul_at(at, T(kl_div_at(at, T(s), kl_arg_d(2))), dx);
    if (kl_rank(x) == 1 && kl_rank(y) > 1) { /* x lies along axis */
        kl_ints along = {.n = kl_rank(y)};
        for (int i = 0; i < along.n; i++)
            along.v[i] = i == axis ? kl_extent(x, 0) : 1;
        x = kl_reshape_at(at, x, along);
    }
    int of = kl_rank(x) == kl_rank(y) ? axis : axis - kl_rank(y);
    kl_tensor *d = kl_diff_at(at, x, 1, of, NULL, NULL);
    return kl_div_at(at, T(kl_mul_at(at, T(s), T(d))), kl_arg_d(2));
}

kl_tensor *kl_trapezoid_at(const char *at, kl_tensor *y, kl_tensor *x, kl_arg dx, int dim)
{
    kl_call c = kl_compose(at);
    if (y && kl_rank(y) && kl_extent(y, dim) == 0) {
        kl_ints s = kl_shape_of(y);
        int axis;
        if (kl_dim_wrap(dim, s.n, &axis))
            return kl_composed(&c, NULL, NULL);
        for (int i = axis; i + 1 < s.n; i++)
            s.v[i] = s.v[i + 1];
        s.n--;
        return kl_composed(&c, __func__, kl_full_at(at, s, kl_arg_i(0), kl_dtype_of(y)));
    }
    kl_tensor *p = panels(at, y, x, dx, dim);
    return kl_composed(&c, __func__, p ? kl_sum_at(at, p, kl_axes(dim), false) : NULL);
}

kl_tensor *kl_cumulative_trapezoid_at(const char *at, kl_tensor *y, kl_tensor *x,
                                      kl_arg dx, int dim)
{
    kl_call c = kl_compose(at);
    if (y && kl_rank(y) && kl_extent(y, dim) == 0)
        return kl_composed(&c, __func__, kl_view_at(at, y, kl_shape_of(y)));
    kl_tensor *p = panels(at, y, x, dx, dim);
    return kl_composed(&c, __func__, p ? kl_cumsum_at(at, p, dim) : NULL);
}

/* As many distances as lie between n places along axis, in t's precision. */
static kl_tensor *even_steps(const char *at, kl_tensor *t, kl_ints along, int axis,
                             double spacing)
{
    kl_dtype dt = kl_dtype_of(t);
    along.v[axis]--;
    return kl_full_at(at, along, kl_arg_d(spacing),
                      kl_is_float(dt) ? dt : kl_get_default_dtype());
}

/* Slopes inside by the two neighbours' distances (x: coordinates along dim), at the ends
 * by one side, or by the first two of them (order 2). */
kl_tensor *kl_gradient_at(const char *at, kl_tensor *t, kl_tensor *x, double spacing,
                          int dim, int order)
{
    kl_call c = kl_compose(at);
    int axis;
    if (!t || kl_dim_wrap(dim, kl_rank(t), &axis))
        return kl_composed(&c, NULL, NULL);
    int64_t n = kl_extent(t, axis);
    if (n < order + 1 || order < 1 || order > 2 || (x && kl_numel(x) != n)) {
        kl_fail(KL_ERR_ARG,
                "torch.gradient expected each dimension size to be at least "
                "edge_order+1, edge_order 1 or 2, and a coordinate an element");
        return kl_composed(&c, NULL, NULL);
    }
    kl_ints along = {.n = kl_rank(t)};
    for (int i = 0; i < along.n; i++)
        along.v[i] = i == axis ? n : 1;
    kl_tensor *dx = x ? kl_diff_at(at, kl_reshape_at(at, x, along), 1, axis, NULL, NULL)
                      : even_steps(at, t, along, axis, spacing);
    kl_tensor *slope = kl_div_at(at, T(kl_diff_at(at, t, 1, axis, NULL, NULL)), T(dx));
    kl_tensor *part[3] = {kl_narrow_at(at, slope, axis, 0, 1), NULL,
                          kl_narrow_at(at, slope, axis, n - 2, 1)};
    int parts = 1;
    if (n > 2) { /* (d1 s0 + d0 s1) / (d0 + d1) */
        kl_tensor *d0 = kl_narrow_at(at, dx, axis, 0, n - 2);
        kl_tensor *d1 = kl_narrow_at(at, dx, axis, 1, n - 2);
        kl_tensor *s0 = kl_narrow_at(at, slope, axis, 0, n - 2);
        kl_tensor *s1 = kl_narrow_at(at, slope, axis, 1, n - 2);
        kl_tensor *sum =
            kl_add_at(at, T(kl_mul_at(at, T(d1), T(s0))), T(kl_mul_at(at, T(d0), T(s1))));
        kl_tensor *mid = kl_div_at(at, T(sum), T(kl_add_at(at, T(d0), T(d1))));
        part[parts++] = mid;
        if (order == 2) { /* 2 s0 - mid[0] on even spacing; by the distances in general */
            kl_tensor *a = kl_narrow_at(at, mid, axis, 0, 1);
            kl_tensor *b = kl_narrow_at(at, mid, axis, n - 3, 1);
            part[0] = kl_sub_at(at, T(kl_mul_at(at, T(part[0]), kl_arg_i(2))), T(a));
            part[2] = kl_sub_at(at, T(kl_mul_at(at, T(part[2]), kl_arg_i(2))), T(b));
        }
    }
    part[parts] = part[2];
    return kl_composed(&c, __func__, kl_cat_at(at, part, parts + 1, axis));
}

/* ---- between variables: rows; columns are observations ---- */

kl_tensor *kl_cov_at(const char *at, kl_tensor *t, double correction, kl_tensor *often,
                     kl_tensor *weights)
{
    kl_call c = kl_compose(at);
    if (!t || kl_rank(t) > 2) {
        if (t)
            kl_fail(KL_ERR_ARG,
                    "cov(): expected input to have two or fewer dimensions but "
                    "got an input with %d dimensions",
                    kl_rank(t));
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *x = kl_rank(t) < 2 ? kl_reshape_at(at, t, kl_shape(1, -1)) : t;
    if (!is_real(x))
        x = kl_to_at(at, x, kl_get_default_dtype());
    kl_tensor *w = often;
    if (weights)
        w = often ? kl_mul_at(at, T(often), T(weights)) : weights;
    kl_arg sum = kl_arg_i(kl_extent(x, 1));
    kl_tensor *mean, *d;
    if (w) {
        sum = T(kl_sum_at(at, w, kl_axes(), false));
        mean = kl_div_at(
            at, T(kl_sum_at(at, kl_mul_at(at, T(x), T(w)), kl_axes(1), true)), sum);
    } else {
        mean = kl_mean_at(at, x, kl_axes(1), true);
    }
    d = kl_sub_at(at, T(x), T(mean));
    kl_tensor *right = w ? kl_mul_at(at, T(d), T(w)) : d;
    right = kl_conj_at(at, right);
    kl_tensor *p = kl_matmul_at(at, d, right ? kl_transpose_at(at, right, 0, 1) : NULL);
    kl_arg norm;
    if (!w) {
        norm = kl_arg_d(fmax((double)kl_extent(x, 1) - correction, 0));
    } else {
        kl_arg taken = kl_arg_d(correction);
        if (weights && correction != 0) {
            kl_tensor *ww =
                kl_sum_at(at, kl_mul_at(at, T(w), T(weights)), kl_axes(), false);
            taken = T(kl_div_at(at, T(kl_mul_at(at, T(ww), kl_arg_d(correction))), sum));
        }
        norm = T(kl_clamp_at(at, T(kl_sub_at(at, sum, taken)), kl_arg_i(0),
                             kl_arg_none(NULL)));
    }
    kl_tensor *r = kl_div_at(at, T(p), norm);
    return kl_composed(&c, __func__, r ? kl_squeeze_at(at, r, kl_axes()) : NULL);
}

kl_tensor *kl_corrcoef_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_compose(at);
    kl_tensor *v = kl_cov_at(at, t, 1, NULL, NULL);
    if (!v || kl_rank(v) == 0)
        return kl_composed(&c, __func__, v ? kl_div_at(at, T(v), T(v)) : NULL);
    kl_tensor *d = kl_diagonal_at(at, v, 0, 0, 1);
    kl_tensor *s = kl_sqrt_at(at, T(kl_real_at(at, T(d))));
    kl_tensor *r = kl_div_at(at, T(v), T(kl_unsqueeze_at(at, s, 1)));
    r = kl_div_at(at, T(r), T(kl_unsqueeze_at(at, s, 0)));
    if (r && !kl_is_complex(kl_dtype_of(r)))
        r = kl_clamp_at(at, T(r), kl_arg_i(-1), kl_arg_i(1));
    return kl_composed(&c, __func__, r);
}

/* ---- norms ---- */

/* Slices along dim of norm above most shrunk to it. */
kl_tensor *kl_renorm_at(const char *at, kl_tensor *t, double p, int dim, double most)
{
    kl_call c = kl_compose(at);
    int axis;
    kl_ints others = {0};
    if (!t || kl_dim_wrap(dim, kl_rank(t), &axis))
        return kl_composed(&c, NULL, NULL);
    if (kl_rank(t) < 2) {
        kl_fail(KL_ERR_SHAPE,
                "renorm: input needs at least 2 dimensions, got %d dimensions",
                kl_rank(t));
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = 0; i < kl_rank(t); i++)
        if (i != axis)
            others.v[others.n++] = i;
    kl_tensor *n = kl_norm_at(at, t, p, others, true);
    kl_tensor *by = kl_div_at(at, kl_arg_d(most), T(kl_add_at(at, T(n), kl_arg_d(1e-7))));
    by = kl_where_at(at, kl_gt_at(at, T(n), kl_arg_d(most)), T(by), kl_arg_d(1));
    return kl_composed(&c, __func__, by ? kl_mul_at(at, T(t), T(by)) : NULL);
}

kl_tensor *kl_dist_at(const char *at, kl_tensor *a, kl_tensor *b, double p)
{
    kl_call c = kl_compose(at);
    kl_tensor *d = kl_sub_at(at, T(a), T(b));
    return kl_composed(&c, __func__, d ? kl_norm_at(at, d, p, kl_axes(), false) : NULL);
}

/* t / max(norm, eps) */
kl_tensor *kl_normalize_at(const char *at, kl_tensor *t, double p, int dim, double eps)
{
    kl_call c = kl_compose(at);
    kl_tensor *n = kl_norm_at(at, t, p, kl_axes(dim), true);
    n = kl_clamp_at(at, T(n), kl_arg_d(eps), kl_arg_none(NULL));
    return kl_composed(&c, __func__, n ? kl_div_at(at, T(t), T(n)) : NULL);
}

kl_tensor *kl_pairwise_distance_at(const char *at, kl_tensor *a, kl_tensor *b, double p,
                                   double eps, bool keep)
{
    kl_call c = kl_compose(at);
    kl_tensor *d = kl_add_at(at, T(kl_sub_at(at, T(a), T(b))), kl_arg_d(eps));
    return kl_composed(&c, __func__, d ? kl_norm_at(at, d, p, kl_axes(-1), keep) : NULL);
}

/* max(norm along axis, eps), with the norm's own gradient below eps too, as PyTorch's */
static kl_lazy *length(kl_lazy *x, int axis, double eps)
{
    kl_lazy *s = kl_n_reduce(KL_OP_add, kl_n_square(x), UINT64_C(1) << axis, true);
    kl_lazy *none = kl_n_binc(KL_OP_eq, s, 0); /* its root has no derivative */
    s = s ? kl_n_where(none, kl_n_const((kl_dtype)s->dtype, 1), s) : NULL;
    kl_lazy *n = kl_n_un(KL_OP_sqrt, s);
    kl_lazy *rise =
        n ? kl_n_where(kl_n_binc(KL_OP_lt, n, eps), kl_n_cbin(KL_OP_sub, eps, n),
                       kl_n_const((kl_dtype)n->dtype, 0))
          : NULL;
    n = rise ? kl_n_bin(KL_OP_add, n, kl_n_detach(rise)) : NULL;
    return n ? kl_n_where(none, kl_n_const((kl_dtype)n->dtype, eps), n) : NULL;
}

/* a.b / (max(|a|, eps) max(|b|, eps)) along dim */
kl_tensor *kl_cosine_similarity_at(const char *at, kl_tensor *a, kl_tensor *b, int dim,
                                   double eps)
{
    kl_call c = kl_call_begin(at);
    kl_arg ab[2] = {T(a), T(b)};
    kl_dtype dt = kl_arg_promote(2, ab);
    kl_lazy *x[2] = {kl_n_widen(kl_arg_read(ab[0], dt)),
                     kl_n_widen(kl_arg_read(ab[1], dt))};
    int axis;
    if (x[0] && !kl_is_float(dt))
        kl_fail(KL_ERR_DTYPE,
                "expected common dtype to be floating point, yet common dtype is %s",
                kl_dtypes[dt].scalar);
    if (!x[0] || !x[1] || !kl_is_float(dt) || kl_broadcast("cosine_similarity", 2, x) ||
        kl_dim_wrap(dim, x[0]->rank, &axis))
        return kl_call_end(&c, NULL);
    int64_t one = 1;
    bool number = x[0]->rank == 0;
    for (int i = 0; i < 2; i++) {
        x[i] = number ? kl_n_reshape(x[i], 1, &one) : x[i];
        x[i] = kl_n_bin(KL_OP_div, x[i], length(x[i], axis, eps));
    }
    kl_lazy *p = kl_n_bin(KL_OP_mul, x[0], x[1]);
    p = kl_n_reduce(KL_OP_add, p, UINT64_C(1) << axis, false);
    return kl_call_end(&c, p ? kl_n_cast(p, dt) : NULL);
}

/* All distances between different rows: [n (n - 1) / 2]. */
kl_tensor *kl_pdist_at(const char *at, kl_tensor *t, double p)
{
    kl_call c = kl_compose(at);
    if (kl_rank(t) != 2) {
        kl_fail(KL_ERR_SHAPE, "pdist only supports 2D tensors, got: %dD", kl_rank(t));
        return kl_composed(&c, NULL, NULL);
    }
    int64_t n = kl_extent(t, 0);
    kl_tensor *pairs = kl_triu_indices_at(at, n, n, 1);
    kl_tensor *i = pairs ? kl_select_at(at, pairs, 0, 0) : NULL;
    kl_tensor *j = pairs ? kl_select_at(at, pairs, 0, 1) : NULL;
    kl_tensor *d = kl_sub_at(at, T(kl_index_select_at(at, t, 0, i)),
                             T(kl_index_select_at(at, t, 0, j)));
    return kl_composed(&c, __func__, d ? kl_norm_at(at, d, p, kl_axes(-1), false) : NULL);
}
