/* reduce.c: reductions, cumulative forms and sorting of kiln/reduce.h.
 *
 *   kl_mean_axes(f32[2,3], axes(1))  ->  reduce.add, then div by 3
 *
 * Sums of integers and bools are i64, as PyTorch's; sums of f16 and bf16 are made in f32.
 */
#include "math_compose.h"

typedef struct reduction {
    const char *name;
    kl_lazy *(*fn)(kl_lazy *a, uint64_t axes, bool keep);
} reduction;

static kl_lazy *widened(kl_op combine, kl_lazy *a, uint64_t axes, bool keep)
{
    if (!a)
        return NULL;
    kl_dtype dt = (kl_dtype)a->dtype, own = dt;
    if (dt == KL_BOOL || kl_is_int(dt))
        own = dt = KL_I64;
    kl_lazy *w = kl_n_widen(kl_n_cast(a, own));
    kl_lazy *r = kl_n_cast(kl_n_reduce(combine, w, axes, keep), dt);
    return r;
}

static kl_lazy *sum(kl_lazy *a, uint64_t axes, bool keep)
{
    return widened(KL_OP_add, a, axes, keep);
}
static kl_lazy *prod(kl_lazy *a, uint64_t axes, bool keep)
{
    return widened(KL_OP_mul, a, axes, keep);
}

static kl_lazy *mean(kl_lazy *a, uint64_t axes, bool keep)
{
    if (a && !kl_is_float((kl_dtype)a->dtype) && !kl_is_complex((kl_dtype)a->dtype)) {
        kl_fail(
            KL_ERR_DTYPE,
            "mean(): could not infer output dtype. Input dtype must be either a floating "
            "point or complex dtype. Got: %s",
            kl_dtypes[a->dtype].scalar);
        return NULL;
    }
    return kl_n_mean(a, axes, keep);
}

/* A largest of nothing does not exist. */
static kl_lazy *extreme(kl_op op, const char *name, kl_lazy *a, uint64_t axes, bool keep)
{
    for (int i = 0; a && i < a->rank; i++) {
        if (!(axes >> i & 1) || kl_lazy_shape(a)[i] != 0)
            continue;
        kl_fail(KL_ERR_INDEX, "%s(): Expected reduction dim %d to have non-zero size.",
                name, i);
        return NULL;
    }
    return kl_n_reduce(op, a, axes, keep);
}

static kl_lazy *amax(kl_lazy *a, uint64_t axes, bool keep)
{
    return extreme(KL_OP_max, "amax", a, axes, keep);
}
static kl_lazy *amin(kl_lazy *a, uint64_t axes, bool keep)
{
    return extreme(KL_OP_min, "amin", a, axes, keep);
}

static kl_lazy *truth(kl_lazy *a)
{
    return a && a->dtype == KL_BOOL ? a : kl_n_binc(KL_OP_ne, a, 0);
}
/* Of bytes, bytes, as PyTorch had it before there was bool. */
static kl_lazy *verdict(kl_op combine, kl_lazy *a, uint64_t axes, bool keep)
{
    kl_lazy *r = kl_n_reduce(combine, truth(a), axes, keep);
    return a && a->dtype == KL_U8 ? kl_n_cast(r, KL_U8) : r;
}
static kl_lazy *any(kl_lazy *a, uint64_t axes, bool keep)
{
    return verdict(KL_OP_or, a, axes, keep);
}
static kl_lazy *all(kl_lazy *a, uint64_t axes, bool keep)
{
    return verdict(KL_OP_and, a, axes, keep);
}

static kl_lazy *count_nonzero(kl_lazy *a, uint64_t axes, bool keep)
{
    return sum(truth(a), axes, keep);
}

static kl_lazy *logsumexp(kl_lazy *a, uint64_t axes, bool keep)
{
    bool real =
        a && (kl_is_float((kl_dtype)a->dtype) || kl_is_complex((kl_dtype)a->dtype));
    return kl_n_logsumexp(a && !real ? kl_n_cast(a, kl_default()) : a, axes, keep);
}

/* clang-format off */
static const reduction reductions[] = {
#define ROW(n) {#n, n},
    KL_REDUCTIONS(ROW)
#undef ROW
};
enum {
#define ROW(n) R_##n,
    KL_REDUCTIONS(ROW) R_COUNT
#undef ROW
};
/* clang-format on */

static kl_tensor *reduce(const char *at, int f, kl_tensor *t, kl_ints axes, bool keep)
{
    kl_call c = kl_call_enter(at, reductions[f].name);
    kl_lazy *a = kl_arg_tensor(t);
    uint64_t mask;
    if (!a || kl_axes_mask(axes, a->rank, &mask))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, reductions[f].fn(a, mask, keep));
}

#define DEFINE(n)                                                                        \
    kl_tensor *kl_##n##_at(const char *at, kl_tensor *t, kl_ints axes, bool keep)        \
    {                                                                                    \
        return reduce(at, R_##n, t, axes, keep);                                         \
    }
KL_REDUCTIONS(DEFINE)

static kl_lazy *spread(const char *name, kl_tensor *t, kl_ints axes, double correction,
                       bool keep)
{
    kl_lazy *a = kl_arg_tensor(t);
    uint64_t mask;
    if (!a || kl_axes_mask(axes, a->rank, &mask))
        return NULL;
    if (kl_is_complex((kl_dtype)a->dtype)) { /* of both parts together */
        kl_lazy *re = kl_n_var(kl_n_un(KL_OP_real, a), mask, correction, keep);
        return kl_n_bin(KL_OP_add, re,
                        kl_n_var(kl_n_un(KL_OP_imag, a), mask, correction, keep));
    }
    if (!kl_is_float((kl_dtype)a->dtype)) {
        kl_fail(KL_ERR_DTYPE,
                "%s and mean only support floating point and complex dtypes", name);
        return NULL;
    }
    return kl_n_var(a, mask, correction, keep);
}

kl_tensor *kl_var_at(const char *at, kl_tensor *t, kl_ints axes, double correction,
                     bool keep)
{
    kl_call c = kl_call_begin(at);
    return kl_call_end(&c, spread("var", t, axes, correction, keep));
}

kl_tensor *kl_std_at(const char *at, kl_tensor *t, kl_ints axes, double correction,
                     bool keep)
{
    kl_call c = kl_call_begin(at);
    return kl_call_end(&c, kl_n_un(KL_OP_sqrt, spread("std", t, axes, correction, keep)));
}

/* A root of a sum, with gradient 0 where it is 0, as PyTorch's norms have it. */
static kl_lazy *root(kl_lazy *s, double ord)
{
    kl_lazy *zero = s && s->track ? kl_n_binc(KL_OP_eq, s, 0) : NULL;
    kl_lazy *x = zero ? kl_n_where(zero, kl_n_const((kl_dtype)s->dtype, 1), s) : s;
    x = ord == 2 ? kl_n_un(KL_OP_sqrt, x) : kl_n_binc(KL_OP_pow, x, 1 / ord);
    return zero ? kl_n_where(zero, kl_n_const((kl_dtype)s->dtype, ord > 0 ? 0 : INFINITY),
                             x)
                : x;
}

static kl_lazy *norm(kl_lazy *a, double ord, uint64_t axes, bool keep)
{
    if (a && kl_is_complex((kl_dtype)a->dtype)) {
        kl_lazy *re = kl_n_un(KL_OP_real, a), *im = kl_n_un(KL_OP_imag, a);
        a = kl_f_hypot(re, im);
    }
    kl_lazy *x = kl_n_un(KL_OP_abs, a);
    if (isinf(ord))
        return kl_n_reduce(ord > 0 ? KL_OP_max : KL_OP_min, x, axes, keep);
    if (ord == 0)
        return kl_n_reduce(
            KL_OP_add, a ? kl_f_steps(kl_n_cast(truth(a), (kl_dtype)a->dtype), a) : NULL,
            axes, keep);
    if (ord == 1)
        return kl_n_reduce(KL_OP_add, x, axes, keep);
    if (ord == 2)
        return root(kl_n_reduce(KL_OP_add, kl_n_square(a), axes, keep), 2);
    return root(kl_n_reduce(KL_OP_add, kl_n_binc(KL_OP_pow, x, ord), axes, keep), ord);
}

kl_tensor *kl_norm_at(const char *at, kl_tensor *t, double ord, kl_ints axes, bool keep)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t);
    uint64_t mask;
    if (!a || kl_axes_mask(axes, a->rank, &mask))
        return kl_call_end(&c, NULL);
    if (!kl_is_float((kl_dtype)a->dtype) && !kl_is_complex((kl_dtype)a->dtype)) {
        kl_fail(KL_ERR_DTYPE,
                "linalg.vector_norm: Expected a floating point or complex tensor as "
                "input. Got %s",
                kl_dtypes[a->dtype].scalar);
        return kl_call_end(&c, NULL);
    }
    return kl_call_end(
        &c, kl_n_cast(norm(kl_n_widen(a), ord, mask, keep), kl_dtypes[a->dtype].real));
}

/* ---- along one dimension ---- */

static kl_lazy *along(kl_tensor *t, int dim, int *axis)
{
    kl_lazy *a = kl_arg_tensor(t);
    return a && kl_dim_wrap(dim, a->rank, axis) == KL_OK ? a : NULL;
}

static kl_tensor *arg(const char *at, kl_op op, kl_tensor *t, int dim, bool keep)
{
    kl_call c = kl_call_begin(at);
    int axis;
    kl_lazy *a = along(t, dim, &axis);
    if (a && a->rank == 0)
        return kl_call_end(&c, kl_n_full(KL_I64, 0, NULL, 0));
    if (a && kl_lazy_shape(a)[axis] == 0) {
        kl_fail(KL_ERR_INDEX, "%s(): Expected reduction dim %d to have non-zero size.",
                kl_ops[op].name, axis);
        a = NULL;
    }
    return kl_call_end(&c, kl_n_arg(op, a, axis, keep));
}

kl_tensor *kl_argmax_at(const char *at, kl_tensor *t, int dim, bool keep)
{
    return arg(at, KL_OP_argmax, t, dim, keep);
}

kl_tensor *kl_argmin_at(const char *at, kl_tensor *t, int dim, bool keep)
{
    return arg(at, KL_OP_argmin, t, dim, keep);
}

static kl_tensor *prefix(const char *at, kl_op op, kl_tensor *t, int dim)
{
    kl_call c = kl_call_begin(at);
    int axis;
    kl_lazy *a = along(t, dim, &axis);
    bool adds = op == KL_OP_add || op == KL_OP_mul;
    if (a && adds && (a->dtype == KL_BOOL || kl_is_int((kl_dtype)a->dtype)))
        a = kl_n_cast(a, KL_I64);
    kl_lazy *r = kl_n_prefix(op, adds ? kl_n_widen(a) : a, axis);
    return kl_call_end(&c, r ? kl_n_cast(r, (kl_dtype)a->dtype) : NULL);
}

kl_tensor *kl_cumsum_at(const char *at, kl_tensor *t, int dim)
{
    return prefix(at, KL_OP_add, t, dim);
}
kl_tensor *kl_cumprod_at(const char *at, kl_tensor *t, int dim)
{
    return prefix(at, KL_OP_mul, t, dim);
}
kl_tensor *kl_cummax_at(const char *at, kl_tensor *t, int dim)
{
    return prefix(at, KL_OP_max, t, dim);
}
kl_tensor *kl_cummin_at(const char *at, kl_tensor *t, int dim)
{
    return prefix(at, KL_OP_min, t, dim);
}

/* ---- sorting ---- */

/* Two results: the second goes to *index. */
static kl_tensor *two(kl_call *c, kl_lazy *v, kl_lazy *i, kl_tensor **index)
{
    kl_state *s = kl_thread();
    kl_tensor *t = NULL;
    if (v && i && s->exposed)
        kl_force((kl_lazy *[]){v, i}, 2);
    if (index) {
        *index = i ? kl_tensor_wrap(i) : NULL;
        if (*index && kl_scope_add(*index))
            *index = NULL;
    }
    t = kl_call_end(c, v);
    return t;
}

kl_tensor *kl_sort_at(const char *at, kl_tensor *t, int dim, bool descending,
                      kl_tensor **index)
{
    kl_call c = kl_call_begin(at);
    int axis;
    kl_lazy *a = along(t, dim, &axis), *i = NULL;
    if (a && a->rank == 0)
        return two(&c, a, kl_n_full(KL_I64, 0, NULL, 0), index);
    kl_lazy *v = kl_n_sort(a, axis, descending, &i);
    return two(&c, v, i, index);
}

kl_tensor *kl_argsort_at(const char *at, kl_tensor *t, int dim, bool descending)
{
    kl_tensor *index = NULL;
    return kl_sort_at(at, t, dim, descending, &index) ? index : NULL;
}

kl_tensor *kl_topk_at(const char *at, kl_tensor *t, int64_t k, int dim, bool largest,
                      kl_tensor **index)
{
    kl_call c = kl_call_begin(at);
    int axis;
    kl_lazy *a = along(t, dim, &axis), *i = NULL;
    int64_t n = a && a->rank ? kl_lazy_shape(a)[axis] : 1;
    if (a && (k < 0 || k > n)) {
        kl_fail(KL_ERR_ARG, "topk: selected index k out of range: %lld of %lld",
                (long long)k, (long long)n);
        a = NULL;
    }
    if (a && a->rank == 0)
        return two(&c, a, kl_n_full(KL_I64, 0, NULL, 0), index);
    kl_lazy *v = kl_n_sort_first(a, axis, largest, KL_MAX(k, 1), &i);
    if (k == 0 && n > 0)
        v = kl_n_slice_axis(v, axis, 0, 0, 1), i = kl_n_slice_axis(i, axis, 0, 0, 1);
    return two(&c, v, i, index);
}
