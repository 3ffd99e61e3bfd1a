/* order.c: statistics by order, and counting: medians, quantiles, searching, histograms,
 * the distinct values. What depends on data in its extent is computed at once.
 *
 *   kl_median(x, 1)  ->  element (n - 1) / 2 of sort(x, 1); NaN wins */
#include "handles.h"

#include <string.h>

static kl_tensor *kth(const char *at, const char *fn, kl_tensor *t, int64_t k, int dim,
                      bool keep, kl_tensor **index)
{
    kl_tensor *i = NULL, *s = kl_rank(t) ? kl_topk_at(at, t, k + 1, dim, false, &i)
                                         : kl_sort_at(at, t, dim, false, &i);
    *index = NULL;
    if (!s)
        return NULL;
    (void)fn;
    if (kl_rank(t) == 0) {
        *index = i;
        return s;
    }
    kl_tensor *v = kl_narrow_at(at, s, dim, k, 1);
    i = kl_narrow_at(at, i, dim, k, 1);
    if (!keep && v && i) {
        v = kl_squeeze_at(at, v, kl_axes(dim));
        i = kl_squeeze_at(at, i, kl_axes(dim));
    }
    *index = i;
    return v;
}

/* The k-th smallest (from 1) along dim, and where it stands. */
kl_tensor *kl_kthvalue_at(const char *at, kl_tensor *t, int64_t k, int dim, bool keep,
                          kl_tensor **index)
{
    kl_call c = kl_compose(at);
    int64_t n = kl_rank(t) ? kl_extent(t, dim) : 1;
    if (k < 1 || k > n) {
        kl_fail(KL_ERR_ARG, "kthvalue(): selected number k out of range for dimension %d",
                dim);
        *index = NULL;
        return kl_composed(&c, NULL, NULL);
    }
    return kl_composed_two(&c, __func__, kth(at, __func__, t, k - 1, dim, keep, index),
                           index);
}

/* The lower of two middle ones; a NaN counts as largest and wins. */
kl_tensor *kl_median_at(const char *at, kl_tensor *t, int dim, bool keep,
                        kl_tensor **index)
{
    kl_call c = kl_compose(at);
    int64_t n = kl_rank(t) ? kl_extent(t, dim) : 1;
    *index = NULL;
    if (n == 0) {
        kl_fail(KL_ERR_INDEX,
                "median(): Expected reduction dim %d to have non-zero size.", dim);
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *mid = kth(at, __func__, t, (n - 1) / 2, dim, true, index), *last_at = NULL;
    if (!mid || !*index || kl_dtype_of(t) < KL_F16 || kl_rank(t) == 0) {
        if (mid && !keep && kl_rank(t)) {
            mid = kl_squeeze_at(at, mid, kl_axes(dim));
            *index = kl_squeeze_at(at, *index, kl_axes(dim));
        }
        return kl_composed_two(&c, __func__, mid, index);
    }
    kl_tensor *nan = kl_isnan_at(at, T(t));
    kl_tensor *first = nan ? kl_argmax_at(at, kl_to_at(at, nan, KL_U8), dim, true) : NULL;
    kl_tensor *some = nan ? kl_any_at(at, nan, kl_axes(dim), true) : NULL;
    last_at = first ? kl_where_at(at, some, T(first), T(*index)) : NULL;
    kl_tensor *v = last_at ? kl_gather_at(at, t, dim, last_at) : NULL;
    if (v && !keep) {
        v = kl_squeeze_at(at, v, kl_axes(dim));
        last_at = kl_squeeze_at(at, last_at, kl_axes(dim));
    }
    *index = last_at;
    return kl_composed_two(&c, __func__, v, index);
}

/* Between the elements of rank floor and ceil of q (n - 1) among n, or among those that
 * are no NaN; how: linear, lower, higher, nearest, midpoint. q: 0-d, or 1-d for a leading
 * dimension of results. */
static kl_tensor *quantile(const char *at, const char *fn, kl_tensor *t, kl_tensor *q,
                           int dim, bool keep, const char *how, bool skip)
{
    int axis;
    how = how ? how : "linear";
    if (!t || !q || kl_dim_wrap(dim, t->rank, &axis))
        return NULL;
    if (kl_dtype_of(t) != KL_F32 && kl_dtype_of(t) != KL_F64) {
        kl_fail(KL_ERR_DTYPE, "%s() input tensor must be either float or double dtype",
                fn);
        return NULL;
    }
    static const char *const hows[] = {"linear", "lower", "higher", "midpoint",
                                       "nearest"};
    bool known = false;
    for (int i = 0; i < 5; i++)
        known |= strcmp(how, hows[i]) == 0;
    if (!known) {
        kl_fail(KL_ERR_ARG,
                "%s() interpolation must be one of linear, lower, higher, midpoint or "
                "nearest, but got %s",
                fn, how);
        return NULL;
    }
    kl_tensor *x = kl_rank(t) ? t : kl_unsqueeze_at(at, t, 0), *ignored = NULL;
    kl_tensor *s = kl_sort_at(at, kl_movedim_at(at, x, axis, -1), -1, false, &ignored);
    kl_tensor *nan = kl_isnan_at(at, T(s)), *some = kl_any_at(at, nan, kl_axes(-1), true);
    kl_arg last = kl_arg_i(kl_extent(s, -1) - 1);
    if (skip) { /* [.., 1] */
        kl_tensor *n = kl_sum_at(at, kl_logical_not_at(at, T(nan)), kl_axes(-1), true);
        last = T(kl_clamp_at(at, T(kl_sub_at(at, T(n), kl_arg_i(1))), kl_arg_i(0),
                             kl_arg_none(NULL)));
        some = kl_eq_at(at, T(n), kl_arg_i(0));
    }
    kl_tensor *rank = kl_mul_at(at, T(kl_reshape_at(at, q, kl_shape(-1))), last);
    if (how[0] == 'l' && how[1] == 'o')
        rank = kl_floor_at(at, T(rank));
    else if (how[0] == 'h')
        rank = kl_ceil_at(at, T(rank));
    else if (how[0] == 'n')
        rank = kl_round_at(at, T(rank));
    kl_ints all = kl_shape_of(s);
    all.v[all.n - 1] = kl_numel(q);
    rank = kl_expand_at(at, rank, all); /* [.., q] */
    kl_tensor *lo = kl_floor_at(at, T(rank)), *hi = kl_ceil_at(at, T(rank));
    kl_tensor *a = kl_gather_at(at, s, -1, kl_to_at(at, lo, KL_I64));
    kl_tensor *b = kl_gather_at(at, s, -1, kl_to_at(at, hi, KL_I64));
    kl_tensor *w = kl_sub_at(at, T(rank), T(lo));
    if (how[0] == 'm')
        w = kl_mul_at(at, T(kl_to_at(at, kl_ne_at(at, T(lo), T(hi)), kl_dtype_of(t))),
                      kl_arg_d(0.5));
    kl_tensor *v = kl_lerp_at(at, T(a), T(b), T(w));
    v = kl_where_at(at, some, kl_arg_d(NAN), T(v));
    v = v ? kl_movedim_at(at, v, -1, 0) : NULL; /* [q, ..] */
    if (v && keep && kl_rank(t))
        v = kl_unsqueeze_at(at, v, axis + 1);
    if (v && kl_rank(t) == 0)
        v = kl_reshape_at(at, v, kl_shape(kl_numel(q)));
    if (v && kl_rank(q) == 0)
        v = kl_select_at(at, v, 0, 0);
    return v ? kl_to_at(at, v, kl_dtype_of(t)) : NULL;
}

kl_tensor *kl_quantile_at(const char *at, kl_tensor *t, kl_tensor *q, int dim, bool keep,
                          const char *how)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__,
                       quantile(at, "quantile", t, q, dim, keep, how, false));
}

kl_tensor *kl_nanquantile_at(const char *at, kl_tensor *t, kl_tensor *q, int dim,
                             bool keep, const char *how)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__,
                       quantile(at, "nanquantile", t, q, dim, keep, how, true));
}

enum { FEW_BOUNDARIES = 128 /* all asked at once, by vectors */ };

/* Which boundaries lie before which values; all of them before a NaN. */
static kl_tensor *before(const char *at, kl_tensor *b, kl_tensor *x, bool right)
{
    kl_tensor *r = right ? kl_le_at(at, T(b), T(x)) : kl_lt_at(at, T(b), T(x));
    if (!r || kl_dtype_of(x) < KL_F16)
        return r;
    kl_tensor *nan = kl_isnan_at(at, T(x));
    return nan ? kl_logical_or_at(at, T(r), T(nan)) : NULL;
}

/* The same number by bisection, where many boundaries would be asked each for each value.
 */
static kl_tensor *bisected(const char *at, kl_tensor *b, kl_tensor *x, bool right,
                           int64_t n)
{
    kl_tensor *found = kl_full_like_at(at, kl_to_at(at, x, KL_I64), kl_arg_i(0));
    int64_t step = 1;
    while (step <= n / 2)
        step *= 2;
    for (; step && found; step /= 2) {
        kl_tensor *next = kl_add_at(at, T(found), kl_arg_i(step));
        kl_tensor *i = kl_clamp_at(at, T(kl_sub_at(at, T(next), kl_arg_i(1))),
                                   kl_arg_none(NULL), kl_arg_i(n - 1));
        kl_tensor *v = kl_rank(b) > 1 ? kl_gather_at(at, b, kl_rank(b) - 1, i)
                                      : kl_take_at(at, b, i);
        kl_tensor *go = kl_logical_and_at(at, T(kl_le_at(at, T(next), kl_arg_i(n))),
                                          T(before(at, v, x, right)));
        found = kl_where_at(at, go, T(next), T(found));
    }
    return found;
}

/* How many of the sorted boundaries lie before each value; right: not after it.
 * Boundaries 1-d, or with the values' leading dimensions. */
kl_tensor *kl_searchsorted_at(const char *at, kl_tensor *sorted, kl_arg values,
                              bool right)
{
    kl_call c = kl_compose(at);
    kl_tensor *v =
        values.kind == KL_ARG_TENSOR ? values.t : kl_scalar_at(at, values, KL_DTYPE_NONE);
    kl_tensor *x = v ? kl_unsqueeze_at(at, v, -1) : NULL;
    bool rows = kl_rank(sorted) > 1;
    bool fits = !rows || !v || kl_rank(v) == kl_rank(sorted);
    for (int i = 0; fits && rows && v && i < kl_rank(sorted) - 1; i++)
        fits = kl_extent(v, i) == kl_extent(sorted, i);
    if (!fits) {
        char a[200], b[200];
        kl_fail(
            KL_ERR_SHAPE,
            "torch.searchsorted(): boundaries tensor should be 1 dimension or the first "
            "N-1 dimensions of boundaries tensor and input value tensor must match, but "
            "we got boundaries tensor %s and input value tensor %s",
            kl_ints_text(kl_shape_of(sorted), a, sizeof a),
            kl_ints_text(kl_shape_of(v), b, sizeof b));
        return kl_composed(&c, NULL, NULL);
    }
    int64_t n = sorted && kl_rank(sorted) ? kl_extent(sorted, -1) : 0;
    if (v && n > FEW_BOUNDARIES)
        return kl_composed(&c, __func__, bisected(at, sorted, v, right, n));
    kl_tensor *b = sorted && rows ? kl_unsqueeze_at(at, sorted, -2) : sorted;
    kl_tensor *below = x && b ? before(at, b, x, right) : NULL;
    return kl_composed(
        &c, __func__,
        below ? kl_sum_at(at, kl_to_at(at, below, KL_I64), kl_axes(-1), false) : NULL);
}

/* How often each of 0 .. max occurs among non-negative integers, or the weights' sums. */
kl_tensor *kl_bincount_at(const char *at, kl_tensor *t, kl_tensor *weights, int64_t least)
{
    kl_call c = kl_compose(at);
    if (kl_rank(t) != 1 || kl_dtype_of(t) >= KL_F16 || kl_dtype_of(t) == KL_BOOL) {
        kl_fail(KL_ERR_ARG, "bincount only supports 1-d non-negative integral inputs.");
        return kl_composed(&c, NULL, NULL);
    }
    int64_t n = 0, lowest = 0;
    if (kl_numel(t) > 0) {
        n = kl_item_int_at(at, kl_amax_at(at, t, kl_axes(), false)) + 1;
        lowest = kl_item_int_at(at, kl_amin_at(at, t, kl_axes(), false));
    }
    if (lowest < 0 || kl_failed()) {
        kl_fail(KL_ERR_ARG, "bincount only supports 1-d non-negative integral inputs.");
        return kl_composed(&c, __func__, NULL);
    }
    kl_dtype dt = !weights ? KL_I64 : kl_dtype_of(weights) == KL_F32 ? KL_F32 : KL_F64;
    kl_tensor *zero = kl_full_at(at, kl_shape(KL_MAX(n, least)), kl_arg_i(0), dt);
    kl_tensor *w = weights ? kl_to_at(at, weights, dt)
                           : kl_full_at(at, kl_shape(kl_numel(t)), kl_arg_i(1), dt);
    return kl_composed(
        &c, __func__,
        zero && w ? kl_index_add_at(at, zero, 0, kl_to_at(at, t, KL_I64), w) : NULL);
}

/* Where the cells of a histogram begin and end: from lo to hi, or of the data's range. */
static bool interval(const char *at, kl_tensor *x, double lo, double hi, kl_tensor **ends)
{
    bool given = lo != hi || kl_numel(x) == 0;
    ends[0] = given ? kl_scalar_at(at, kl_arg_d(lo), KL_F64)
                    : kl_amin_at(at, x, kl_axes(), false);
    ends[1] = given ? kl_scalar_at(at, kl_arg_d(hi), KL_F64)
                    : kl_amax_at(at, x, kl_axes(), false);
    if (!ends[0] || !ends[1])
        return false;
    kl_tensor *same = kl_eq_at(at, T(ends[0]), T(ends[1]));
    kl_tensor *wider = same && !given ? kl_to_at(at, same, KL_F64)
                                      : kl_scalar_at(at, kl_arg_d(0), KL_F64);
    ends[0] = wider ? kl_sub_at(at, T(kl_to_at(at, ends[0], KL_F64)), T(wider)) : NULL;
    ends[1] = wider ? kl_add_at(at, T(kl_to_at(at, ends[1], KL_F64)), T(wider)) : NULL;
    return ends[0] && ends[1];
}

/* Elements in `bins` equal intervals of [lo, hi]; lo == hi: of the data's range. */
kl_tensor *kl_histc_at(const char *at, kl_tensor *t, int64_t bins, double lo, double hi)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = kl_reshape_at(at, t, kl_shape(-1)), *ends[2];
    if (!x || !interval(at, x, lo, hi, ends))
        return kl_composed(&c, NULL, NULL);
    kl_tensor *in = kl_logical_and_at(at, T(kl_ge_at(at, T(x), T(ends[0]))),
                                      T(kl_le_at(at, T(x), T(ends[1]))));
    kl_tensor *width =
        kl_div_at(at, T(kl_sub_at(at, T(ends[1]), T(ends[0]))), kl_arg_d((double)bins));
    kl_tensor *place = kl_div_at(at, T(kl_sub_at(at, T(x), T(ends[0]))), T(width));
    place =
        kl_clamp_at(at, T(kl_floor_at(at, T(place))), kl_arg_i(0), kl_arg_i(bins - 1));
    place = kl_where_at(at, in, T(place), kl_arg_i(0));
    kl_tensor *zero = kl_full_at(at, kl_shape(bins), kl_arg_i(0), kl_dtype_of(t));
    kl_tensor *one = in ? kl_to_at(at, in, kl_dtype_of(t)) : NULL;
    kl_tensor *r = place && zero && one
                       ? kl_index_add_at(at, zero, 0, kl_to_at(at, place, KL_I64), one)
                       : NULL;
    return kl_composed(&c, __func__, r);
}

/* Where an element differs from the one before it, of a sorted 1-d tensor. */
static kl_tensor *starts(const char *at, kl_tensor *s)
{
    int64_t n = kl_numel(s);
    if (n == 0)
        return kl_full_at(at, kl_shape(0), kl_arg_b(true), KL_BOOL);
    kl_tensor *ne = kl_ne_at(at, T(kl_narrow_at(at, s, 0, 1, n - 1)),
                             T(kl_narrow_at(at, s, 0, 0, n - 1)));
    kl_tensor *yes = kl_full_at(at, kl_shape(1), kl_arg_b(true), KL_BOOL);
    return ne && yes ? kl_cat_at(at, (kl_tensor *[]){yes, ne}, 2, 0) : NULL;
}

/* The distinct elements (sorted, or runs as they come); *inverse: which of them each
 * element is; *counts: how often each occurs. Both may be NULL. */
kl_tensor *kl_unique_at(const char *at, kl_tensor *t, bool sorted, kl_tensor **inverse,
                        kl_tensor **counts)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = kl_reshape_at(at, t, kl_shape(-1)), *order = NULL;
    kl_tensor *s = x && sorted ? kl_sort_at(at, x, 0, false, &order) : x;
    kl_tensor *first = s ? starts(at, s) : NULL;
    kl_tensor *v = first ? kl_masked_select_at(at, s, first) : NULL;
    kl_tensor *group =
        v ? kl_sub_at(at, T(kl_cumsum_at(at, kl_to_at(at, first, KL_I64), 0)),
                      kl_arg_i(1))
          : NULL;
    if (group && inverse) {
        kl_tensor *inv = group;
        if (sorted)
            inv = kl_scatter_at(at, group, 0, order, T(group), NULL);
        *inverse = inv ? kl_reshape_at(at, inv, kl_shape_of(t)) : NULL;
        kl_keep(*inverse);
    }
    if (group && counts) {
        kl_tensor *zero = kl_full_at(at, kl_shape(kl_numel(v)), kl_arg_i(0), KL_I64);
        kl_tensor *one = kl_full_at(at, kl_shape(kl_numel(x)), kl_arg_i(1), KL_I64);
        *counts = zero && one ? kl_index_add_at(at, zero, 0, group, one) : NULL;
        kl_keep(*counts);
    }
    return kl_composed(&c, __func__, v);
}

/* The order that sorts rows [n, m]: by the last column first, each sort being stable. */
static kl_tensor *row_order(const char *at, kl_tensor *rows)
{
    int64_t n = kl_extent(rows, 0), m = kl_extent(rows, 1);
    kl_tensor *order = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
    for (int64_t k = m; k-- > 0 && order;) {
        kl_tensor *key = kl_index_select_at(at, kl_select_at(at, rows, 1, k), 0, order);
        kl_tensor *by = key ? kl_argsort_at(at, key, 0, false) : NULL;
        order = by ? kl_index_select_at(at, order, 0, by) : NULL;
    }
    return order;
}

kl_tensor *kl_unique_dim_at(const char *at, kl_tensor *t, int dim, bool sorted,
                            kl_tensor **inverse, kl_tensor **counts)
{
    kl_call c = kl_compose(at);
    if (!t || kl_rank(t) == 0 || kl_extent(t, dim) < 1) {
        bool none = t && kl_rank(t) > 0 && kl_extent(t, dim) == 0;
        kl_tensor *v = kl_unique_at(at, t, sorted, inverse, counts);
        if (v && inverse) { /* they outlive this call's scope */
            *inverse = none ? kl_reshape_at(at, *inverse, kl_shape(0)) : *inverse;
            kl_keep(*inverse);
        }
        if (v && counts)
            kl_keep(*counts);
        v = v && none ? kl_clone_at(at, t) : v;
        return kl_composed(&c, NULL, v);
    }
    int64_t n = kl_extent(t, dim);
    kl_tensor *first = kl_movedim_at(at, t, dim, 0);
    kl_tensor *rows =
        first ? kl_reshape_at(at, first, kl_shape(n, kl_numel(t) / n)) : NULL;
    kl_tensor *order = rows && sorted ? row_order(at, rows) : NULL;
    kl_tensor *s = sorted ? kl_index_select_at(at, rows, 0, order) : rows;
    kl_tensor *differs = kl_ne_at(at, T(kl_narrow_at(at, s, 0, 1, n - 1)),
                                  T(kl_narrow_at(at, s, 0, 0, n - 1)));
    differs = differs ? kl_any_at(at, differs, kl_axes(1), false) : NULL;
    kl_tensor *yes = kl_full_at(at, kl_shape(1), kl_arg_b(true), KL_BOOL);
    kl_tensor *begins =
        differs ? kl_cat_at(at, (kl_tensor *[]){yes, differs}, 2, 0) : NULL;
    kl_tensor *which = begins ? kl_nonzero_at(at, begins) : NULL;
    which = which ? kl_reshape_at(at, which, kl_shape(-1)) : NULL;
    kl_tensor *group = begins ? kl_cumsum_at(at, kl_to_at(at, begins, KL_I64), 0) : NULL;
    group = group ? kl_sub_at(at, T(group), kl_arg_i(1)) : NULL;
    kl_tensor *from = which && sorted ? kl_index_select_at(at, order, 0, which) : which;
    kl_tensor *v = from && group ? kl_index_select_at(at, t, dim, from) : NULL;
    if (v && inverse) {
        *inverse = sorted ? kl_scatter_at(at, group, 0, order, T(group), NULL) : group;
        kl_keep(*inverse);
    }
    if (v && counts) {
        kl_tensor *zero = kl_full_at(at, kl_shape(kl_numel(which)), kl_arg_i(0), KL_I64);
        kl_tensor *one = kl_full_at(at, kl_shape(n), kl_arg_i(1), KL_I64);
        *counts = kl_index_add_at(at, zero, 0, group, one);
        kl_keep(*counts);
    }
    return kl_composed(&c, __func__, v);
}

/* Whether each element occurs among the others. */
kl_tensor *kl_isin_at(const char *at, kl_arg a, kl_arg among, bool invert)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = a.kind == KL_ARG_TENSOR ? a.t : kl_scalar_at(at, a, KL_DTYPE_NONE);
    kl_tensor *y =
        among.kind == KL_ARG_TENSOR ? among.t : kl_scalar_at(at, among, KL_DTYPE_NONE);
    kl_tensor *eq = x && y ? kl_eq_at(at, T(kl_unsqueeze_at(at, x, -1)),
                                      T(kl_reshape_at(at, y, kl_shape(-1))))
                           : NULL;
    kl_tensor *r = eq ? kl_any_at(at, eq, kl_axes(-1), false) : NULL;
    return kl_composed(&c, __func__, r && invert ? kl_logical_not_at(at, T(r)) : r);
}
