/* loss.c: losses, composed of nodes.
 *
 *   cross_entropy(x, y)  =  mean over rows of  -sum_c where(c = y, log_softmax(x), 0)
 *
 * The class is compared with an iota rather than gathered, so that forward and backward
 * stay elementwise beside softmax's row; a gather from that iota checks the range of the
 * targets. */
#include "math_compose.h"

kl_lazy *kl_n_reduced(kl_lazy *l, kl_reduction r)
{
    if (!l || r == KL_REDUCE_NONE)
        return l;
    uint64_t all = (UINT64_C(1) << l->rank) - 1;
    if (r == KL_REDUCE_BATCHMEAN) {
        double n = l->rank ? (double)kl_lazy_shape(l)[0] : 1;
        return kl_n_binc(KL_OP_div, kl_n_reduce(KL_OP_add, l, all, false), n);
    }
    return r == KL_REDUCE_SUM ? kl_n_reduce(KL_OP_add, l, all, false)
                              : kl_n_mean(l, all, false);
}

/* ---- classes ---- */

static kl_status check_classes(const char *fn, kl_lazy *x, kl_lazy *y)
{
    char s[2][200];
    bool indices = !kl_is_float((kl_dtype)y->dtype), ok = x->rank >= 1;
    int at = x->rank == 1 ? 0 : 1;
    if (!kl_is_float((kl_dtype)x->dtype))
        return kl_fail(KL_ERR_DTYPE, "%s: not implemented for '%s'", fn,
                       kl_dtypes[x->dtype].scalar);
    ok = ok && y->rank == x->rank - indices;
    for (int i = 0, k = 0; ok && i < x->rank; i++)
        if (!indices || i != at)
            ok = kl_lazy_shape(y)[k++] == kl_lazy_shape(x)[i];
    return ok ? KL_OK
              : kl_fail(KL_ERR_SHAPE, "%s: input %s and target %s do not fit", fn,
                        kl_ints_text(kl_ints_of(x->rank, kl_lazy_shape(x)), s[0], 200),
                        kl_ints_text(kl_ints_of(y->rank, kl_lazy_shape(y)), s[1], 200));
}

/* The targets themselves, with a fault where one is no class. */
static kl_lazy *checked(kl_lazy *y, int64_t classes)
{
    return kl_n_rows(kl_n_iota(KL_I64, 1, &classes, 0), y, KL_TARGET);
}

/* Axis `at` of extent C holds classes: which element is the target's. */
static kl_lazy *hits(kl_lazy *y, kl_lazy *x, int at)
{
    kl_lazy *classes = kl_n_iota(KL_I64, x->rank, kl_lazy_shape(x), at);
    return kl_n_bin(KL_OP_eq, classes, kl_n_unsqueeze(y, at));
}

typedef struct picked {
    kl_lazy *loss, *weight;
} picked;

/* -log p of the targets, and what each counts. */
static picked pick(kl_lazy *logp, kl_lazy *y, int at, const kl_loss_options *o)
{
    int64_t classes = kl_lazy_shape(logp)[at];
    kl_dtype dt = (kl_dtype)logp->dtype;
    uint64_t axis = UINT64_C(1) << at;
    kl_lazy *skip = NULL, *zero = kl_n_const(dt, 0),
            *w = o->weight ? kl_arg_tensor(o->weight) : NULL;
    y = kl_n_cast(y, KL_I64);
    if (o->ignore) {
        skip = kl_n_bin(KL_OP_eq, y, kl_n_const_int(KL_I64, o->ignore_index));
        y = kl_n_where(skip, kl_n_const_int(KL_I64, 0), y);
    }
    y = checked(y, classes);
    kl_lazy *hit = y ? hits(y, logp, at) : NULL;
    kl_lazy *p = kl_n_reduce(KL_OP_add, kl_n_where(hit, logp, zero), axis, false);
    kl_lazy *count = w ? kl_n_gather(kl_n_cast(w, dt), y, 0, 0) : NULL;
    if (skip)
        count = kl_n_where(skip, zero, count ? count : kl_n_const(dt, 1));
    p = kl_n_un(KL_OP_neg, p);
    return (picked){count ? kl_n_bin(KL_OP_mul, p, count) : p, count};
}

static kl_lazy *average(picked p, kl_reduction r)
{
    if (!p.loss || r != KL_REDUCE_MEAN || !p.weight)
        return kl_n_reduced(p.loss, r);
    uint64_t all = (UINT64_C(1) << p.loss->rank) - 1;
    return kl_n_bin(
        KL_OP_div, kl_n_reduce(KL_OP_add, p.loss, all, false),
        kl_n_reduce(KL_OP_add, kl_n_expand_like(p.weight, p.loss), all, false));
}

/* Each class's weight beside x, or x itself where there are none. */
static kl_lazy *weighted(kl_lazy *x, int at, const kl_loss_options *o)
{
    int64_t shape[KL_MAX_RANK];
    kl_lazy *w = o->weight ? kl_arg_tensor(o->weight) : NULL;
    if (!w || !x)
        return x;
    for (int i = 0; i < x->rank; i++)
        shape[i] = i == at ? kl_lazy_shape(x)[i] : 1;
    w = kl_n_reshape(kl_n_cast(w, (kl_dtype)x->dtype), x->rank, shape);
    return kl_n_bin(KL_OP_mul, x, w);
}

/* Every class equally, for label smoothing: the weighted mean of -log p. */
static kl_lazy *smooth(kl_lazy *logp, kl_lazy *base, picked p, int at,
                       const kl_loss_options *o)
{
    kl_lazy *all = kl_n_mean(weighted(logp, at, o), UINT64_C(1) << at, false);
    all = kl_n_un(KL_OP_neg, all);
    if (p.weight && o->ignore) /* which is 0 where the target is left out */
        all = kl_n_where(kl_n_binc(KL_OP_eq, p.weight, 0),
                         kl_n_const((kl_dtype)logp->dtype, 0), all);
    return kl_n_bin(KL_OP_add, kl_n_binc(KL_OP_mul, base, 1 - o->label_smoothing),
                    kl_n_binc(KL_OP_mul, all, o->label_smoothing));
}

static kl_lazy *probabilities(kl_lazy *logp, kl_lazy *y, int at, const kl_loss_options *o)
{
    int64_t n = kl_lazy_shape(logp)[at];
    y = kl_n_cast(y, (kl_dtype)logp->dtype);
    if (o->label_smoothing > 0)
        y = kl_n_binc(KL_OP_add, kl_n_binc(KL_OP_mul, y, 1 - o->label_smoothing),
                      o->label_smoothing / (double)n);
    kl_lazy *l = kl_n_un(KL_OP_neg, kl_n_bin(KL_OP_mul, y, weighted(logp, at, o)));
    if (o->reduction == KL_REDUCE_MEAN) { /* over samples, whatever their weights */
        uint64_t all = (UINT64_C(1) << logp->rank) - 1;
        double count = (double)kl_lazy_numel(logp) / (double)KL_MAX(n, 1);
        return kl_n_binc(KL_OP_div, kl_n_reduce(KL_OP_add, l, all, false), count);
    }
    return kl_n_reduced(kl_n_reduce(KL_OP_add, l, UINT64_C(1) << at, false),
                        o->reduction);
}

static kl_tensor *classes(kl_call *c, const char *fn, kl_tensor *tx, kl_tensor *ty,
                          bool logits, kl_loss_options o)
{
    kl_lazy *x = kl_arg_tensor(tx), *y = kl_arg_tensor(ty);
    if (!x || !y || check_classes(fn, x, y))
        return kl_call_end(c, NULL);
    kl_dtype dt = (kl_dtype)x->dtype;
    int at = x->rank == 1 ? 0 : 1;
    kl_lazy *logp = kl_n_widen(x);
    logp = logits ? kl_n_log_softmax(logp, at) : logp;
    if (logp && kl_is_float((kl_dtype)y->dtype))
        return kl_call_end(c, kl_n_cast(probabilities(logp, y, at, &o), dt));
    picked p = logp ? pick(logp, y, at, &o) : (picked){0};
    if (p.loss && o.label_smoothing > 0)
        p.loss = smooth(logp, p.loss, p, at, &o);
    return kl_call_end(c, kl_n_cast(average(p, o.reduction), dt));
}

kl_tensor *kl_cross_entropy_at(const char *at, kl_tensor *x, kl_tensor *y,
                               kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    return classes(&c, "cross_entropy", x, y, true, o);
}

kl_tensor *kl_nll_loss_at(const char *at, kl_tensor *x, kl_tensor *y, kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    return classes(&c, "nll_loss", x, y, false, o);
}

/* ---- elements ---- */

typedef kl_lazy *(*element_fn)(kl_lazy *x, kl_lazy *y, const kl_loss_options *o);

static double beta_of(const kl_loss_options *o)
{
    return o->beta ? o->beta : 1;
}

static kl_lazy *square(kl_lazy *x, kl_lazy *y, const kl_loss_options *o)
{
    (void)o;
    return kl_n_square(kl_n_bin(KL_OP_sub, x, y));
}

static kl_lazy *absolute(kl_lazy *x, kl_lazy *y, const kl_loss_options *o)
{
    kl_lazy *d = kl_n_bin(KL_OP_sub, x, y);
    (void)o;
    return d && kl_is_complex((kl_dtype)d->dtype) ? kl_c_abs(d) : kl_n_un(KL_OP_abs, d);
}

/* d^2 / 2 below beta, beta (d - beta / 2) above */
static kl_lazy *huber(kl_lazy *x, kl_lazy *y, const kl_loss_options *o)
{
    double beta = beta_of(o);
    kl_lazy *d = absolute(x, y, o);
    kl_lazy *low = kl_n_binc(KL_OP_mul, kl_n_square(d), 0.5);
    kl_lazy *high = kl_n_binc(KL_OP_mul, kl_n_binc(KL_OP_sub, d, 0.5 * beta), beta);
    return kl_n_where(kl_n_binc(KL_OP_lt, d, beta), low, high);
}

static kl_lazy *smooth_l1(kl_lazy *x, kl_lazy *y, const kl_loss_options *o)
{
    return kl_n_binc(KL_OP_div, huber(x, y, o), beta_of(o));
}

/* max(log v, -100), as PyTorch bounds it */
static kl_lazy *bounded_log(kl_lazy *v)
{
    kl_lazy *l = kl_n_un(KL_OP_log, v);
    return l ? kl_n_where(kl_n_binc(KL_OP_lt, l, -100),
                          kl_n_const((kl_dtype)l->dtype, -100), l)
             : NULL;
}

static kl_lazy *bce(kl_lazy *p, kl_lazy *y, const kl_loss_options *o)
{
    (void)o;
    kl_lazy *yes = kl_n_bin(KL_OP_mul, y, bounded_log(p));
    kl_lazy *no = kl_n_bin(KL_OP_mul, kl_n_cbin(KL_OP_sub, 1, y),
                           bounded_log(kl_n_cbin(KL_OP_sub, 1, p)));
    return kl_n_un(KL_OP_neg, kl_n_bin(KL_OP_add, yes, no));
}

/* (1 - y) x + w (log(1 + e^-|x|) + max(-x, 0)), w = 1 + (pos - 1) y */
static kl_lazy *bce_logits(kl_lazy *x, kl_lazy *y, const kl_loss_options *o)
{
    kl_lazy *l = kl_f_tail(x, !o->pos_weight);
    if (!o->pos_weight)
        return kl_n_bin(KL_OP_add,
                        kl_n_bin(KL_OP_sub, kl_n_relu(x), kl_n_bin(KL_OP_mul, x, y)), l);
    kl_lazy *pos = x ? kl_n_cast(kl_arg_tensor(o->pos_weight), (kl_dtype)x->dtype) : NULL;
    kl_lazy *w =
        kl_n_binc(KL_OP_add, kl_n_bin(KL_OP_mul, kl_n_binc(KL_OP_sub, pos, 1), y), 1);
    l = kl_n_bin(KL_OP_add, l, kl_n_relu(kl_n_un(KL_OP_neg, x)));
    return kl_n_bin(KL_OP_add, kl_n_bin(KL_OP_mul, kl_n_cbin(KL_OP_sub, 1, y), x),
                    kl_n_bin(KL_OP_mul, w, l));
}

static kl_lazy *divergence(kl_lazy *x, kl_lazy *y, const kl_loss_options *o)
{
    if (o->log_target)
        return kl_n_bin(KL_OP_mul, kl_n_un(KL_OP_exp, y), kl_n_bin(KL_OP_sub, y, x));
    kl_lazy *zero = y ? kl_n_const((kl_dtype)y->dtype, 0) : NULL;
    kl_lazy *none = kl_n_binc(KL_OP_le, y, 0);
    kl_lazy *safe = y ? kl_n_where(none, kl_n_const((kl_dtype)y->dtype, 1), y) : NULL;
    kl_lazy *ylogy =
        kl_n_where(none, zero, kl_n_bin(KL_OP_mul, safe, kl_n_un(KL_OP_log, safe)));
    return kl_n_bin(KL_OP_sub, ylogy, kl_n_bin(KL_OP_mul, y, x));
}

static kl_tensor *elements(kl_call *c, const char *fn, element_fn f, kl_tensor *tx,
                           kl_tensor *ty, kl_loss_options o)
{
    kl_arg a[2] = {kl_arg_t(tx), kl_arg_t(ty)};
    kl_dtype dt = kl_arg_promote_float(2, a);
    kl_lazy *v[2] = {kl_n_widen(kl_arg_read(a[0], dt)),
                     kl_n_widen(kl_arg_read(a[1], dt))};
    if (!v[0] || !v[1] || kl_broadcast(fn, 2, v))
        return kl_call_end(c, NULL);
    kl_lazy *l = f(v[0], v[1], &o);
    if (l && o.weight)
        l = kl_n_bin(KL_OP_mul, l,
                     kl_n_cast(kl_arg_tensor(o.weight), (kl_dtype)l->dtype));
    if (l && !kl_is_complex((kl_dtype)l->dtype)) /* a distance is real */
        dt = kl_dtypes[dt].real;
    return kl_call_end(c, kl_n_cast(kl_n_reduced(l, o.reduction), dt));
}

#define ELEMENTS(name, fn)                                                               \
    kl_tensor *kl_##name##_at(const char *at, kl_tensor *x, kl_tensor *y,                \
                              kl_loss_options o)                                         \
    {                                                                                    \
        kl_call c = kl_call_begin(at);                                                   \
        return elements(&c, #name, fn, x, y, o);                                         \
    }
ELEMENTS(mse_loss, square)
ELEMENTS(l1_loss, absolute)
ELEMENTS(huber_loss, huber)
ELEMENTS(smooth_l1_loss, smooth_l1)
ELEMENTS(bce_loss, bce)
ELEMENTS(bce_with_logits, bce_logits)
ELEMENTS(kl_div, divergence)
