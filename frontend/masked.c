/* masked.c: reductions and the like over the elements where a mask is true, as
 * torch.masked names them: what the mask hides is replaced by the operation's neutral
 * element.
 *
 *   masked_mean(t, m)  =  sum(where(m, t, 0)) / sum(m) */
#include "handles.h"

/* t where mask is true, else v; no mask: t. */
static kl_tensor *shown(const char *at, kl_tensor *t, kl_tensor *mask, kl_arg v)
{
    if (!mask || !t)
        return t;
    kl_tensor *fill = kl_scalar_at(at, v, kl_dtype_of(t));
    return kl_where_at(at, mask, T(t), T(fill));
}

/* How many elements of t take part, in t's dtype or the default. */
static kl_tensor *counted(const char *at, kl_tensor *t, kl_tensor *mask, kl_ints axes,
                          bool keep)
{
    kl_tensor *ones = kl_full_like_at(at, kl_to_at(at, t, KL_I64), kl_arg_i(1));
    return ones ? kl_sum_at(at, shown(at, ones, mask, kl_arg_i(0)), axes, keep) : NULL;
}

/* The neutral element of the largest (sign -1) or the smallest. */
static kl_arg end_of(kl_dtype dt, int sign)
{
    if (kl_is_float(dt) || kl_is_complex(dt))
        return kl_arg_d(sign * INFINITY);
    bool is_signed = dt == KL_I8 || dt == KL_I16 || dt == KL_I32 || dt == KL_I64;
    int bits = dt == KL_BOOL ? 1 : 8 * kl_dtypes[dt].size - is_signed;
    int64_t top = (int64_t)(~UINT64_C(0) >> (64 - bits));
    return kl_arg_i(sign > 0 ? top : is_signed ? -top - 1 : 0);
}

static kl_arg neutral(kl_masked_op op, kl_dtype dt)
{
    switch (op) {
    case KL_MASKED_PROD:
    case KL_MASKED_CUMPROD:
        return kl_arg_i(1);
    case KL_MASKED_AMAX:
    case KL_MASKED_ARGMAX:
    case KL_MASKED_LOGSUMEXP:
    case KL_MASKED_SOFTMAX:
    case KL_MASKED_LOG_SOFTMAX:
        return end_of(dt, -1);
    case KL_MASKED_AMIN:
    case KL_MASKED_ARGMIN:
    case KL_MASKED_SOFTMIN:
        return end_of(dt, 1);
    default:
        return kl_arg_i(0);
    }
}

/* ---- over several axes ---- */

static kl_tensor *mean(const char *at, kl_tensor *t, kl_ints axes, bool keep,
                       kl_tensor *mask)
{
    kl_tensor *s = kl_sum_at(at, shown(at, t, mask, kl_arg_i(0)), axes, keep);
    return kl_div_at(at, T(s), T(counted(at, t, mask, axes, keep)));
}

kl_tensor *kl_masked_reduce_at(const char *at, kl_masked_op op, kl_tensor *t,
                               kl_ints axes, bool keep, kl_tensor *mask)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = shown(at, t, mask, neutral(op, kl_dtype_of(t))), *r = NULL;
    switch (op) {
    case KL_MASKED_SUM:
        r = kl_sum_at(at, x, axes, keep);
        break;
    case KL_MASKED_PROD:
        r = kl_prod_at(at, x, axes, keep);
        break;
    case KL_MASKED_AMAX:
        r = kl_amax_at(at, x, axes, keep);
        break;
    case KL_MASKED_AMIN:
        r = kl_amin_at(at, x, axes, keep);
        break;
    case KL_MASKED_LOGSUMEXP:
        r = kl_to_at(at, kl_logsumexp_at(at, x, axes, keep), kl_dtype_of(x));
        break;
    default:
        r = mean(at, t, axes, keep, mask);
    }
    return kl_composed(&c, __func__, r);
}

kl_tensor *kl_masked_var_at(const char *at, kl_tensor *t, kl_ints axes, double correction,
                            bool keep, kl_tensor *mask)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = t;
    if (t && !kl_is_float(kl_dtype_of(t)) && !kl_is_complex(kl_dtype_of(t)))
        x = kl_to_at(at, t, kl_get_default_dtype());
    kl_tensor *d = kl_sub_at(at, T(x), T(mean(at, x, axes, true, mask)));
    d = shown(at, d, mask, kl_arg_i(0));
    kl_tensor *p = kl_mul_at(at, T(d), T(d ? kl_conj_at(at, d) : NULL));
    p = p ? kl_real_at(at, T(p)) : NULL;
    kl_tensor *s = p ? kl_sum_at(at, p, axes, keep) : NULL;
    kl_tensor *n = p ? counted(at, x, mask, axes, keep) : NULL;
    n = n ? kl_sub_at(at, T(kl_to_at(at, n, kl_dtype_of(p))), kl_arg_d(correction)) : NULL;
    n = kl_clamp_at(at, T(n), kl_arg_i(0), kl_arg_none(NULL));
    return kl_composed(&c, __func__, kl_div_at(at, T(s), T(n)));
}

kl_tensor *kl_masked_norm_at(const char *at, kl_tensor *t, double ord, kl_ints axes,
                             bool keep, kl_tensor *mask)
{
    kl_call c = kl_compose(at);
    kl_arg v = ord < 0 ? kl_arg_d(INFINITY) : kl_arg_i(0);
    return kl_composed(&c, __func__,
                       kl_norm_at(at, shown(at, t, mask, v), ord, axes, keep));
}

/* ---- along one ---- */

kl_tensor *kl_masked_along_at(const char *at, kl_masked_op op, kl_tensor *t, int dim,
                              bool keep, kl_tensor *mask)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = shown(at, t, mask, neutral(op, kl_dtype_of(t))), *r = NULL, *ignored;
    switch (op) {
    case KL_MASKED_ARGMAX:
        r = kl_argmax_at(at, x, dim, keep);
        break;
    case KL_MASKED_ARGMIN:
        r = kl_argmin_at(at, x, dim, keep);
        break;
    case KL_MASKED_CUMSUM:
        r = kl_cumsum_at(at, x, dim);
        break;
    case KL_MASKED_CUMPROD:
        r = kl_cumprod_at(at, x, dim);
        break;
    case KL_MASKED_SOFTMAX:
        r = kl_softmax_at(at, x, dim);
        break;
    case KL_MASKED_LOG_SOFTMAX:
        r = kl_log_softmax_at(at, x, dim);
        break;
    case KL_MASKED_SOFTMIN:
        r = kl_softmin_at(at, x, dim);
        break;
    default: /* the median, without what is hidden; NaN shown stays NaN */
        r = kl_nanmedian_at(at, shown(at, t, mask, kl_arg_d(NAN)), dim, keep, &ignored);
    }
    return kl_composed(&c, __func__, r);
}

kl_tensor *kl_masked_normalize_at(const char *at, kl_tensor *t, double ord, int dim,
                                  double eps, kl_tensor *mask)
{
    kl_call c = kl_compose(at);
    kl_tensor *n = kl_masked_norm_at(at, t, ord, kl_axes(dim), true, mask);
    n = kl_clamp_at(at, T(n), kl_arg_d(eps), kl_arg_none(NULL));
    return kl_composed(&c, __func__,
                       kl_div_at(at, T(shown(at, t, mask, kl_arg_i(0))), T(n)));
}

kl_tensor *kl_masked_logaddexp_at(const char *at, kl_tensor *a, kl_tensor *b,
                                  kl_tensor *of_a, kl_tensor *of_b)
{
    kl_call c = kl_compose(at);
    kl_arg low = kl_arg_d(-INFINITY);
    return kl_composed(
        &c, __func__,
        kl_logaddexp_at(at, T(shown(at, a, of_a, low)), T(shown(at, b, of_b, low))));
}
