/* loss.c: losses of kiln/nn.h, means over all elements.
 *
 *   cross_entropy(x, t) = mean over N of (log sum e^x - x[t])
 *
 * The class is picked by a gather, whose gradient is a scatter-add into zeros. */
#include "front.h"

static kl_lazy *mean_all(kl_lazy *a)
{
    return a ? kl_n_mean(a, (UINT64_C(1) << a->rank) - 1, false) : NULL;
}

/* Classes last: [N, C, ..] -> [N * .., C]. */
static kl_lazy *classes_last(kl_lazy *a)
{
    int perm[KL_MAX_RANK];
    int64_t flat[2] = {1, a->rank > 1 ? kl_lazy_shape(a)[1] : kl_lazy_shape(a)[0]};
    for (int i = 0; i < a->rank; i++)
        perm[i] = i == a->rank - 1 ? 1 : i > 0 ? i + 1 : 0;
    if (a->rank > 2)
        a = kl_n_permute(a, perm);
    flat[0] = flat[1] && a ? kl_lazy_numel(a) / flat[1] : 0;
    return kl_n_reshape(a, 2, flat);
}

static bool classes_fit(const char *fn, kl_lazy *x, kl_lazy *t)
{
    bool ok = x->rank >= 1 && (t->rank == x->rank - 1) && kl_is_int((kl_dtype)t->dtype);
    for (int i = 0; ok && i < t->rank; i++)
        ok = kl_lazy_shape(t)[i] == kl_lazy_shape(x)[i ? i + 1 : (x->rank > 1 ? 0 : 0)];
    if (ok)
        return true;
    char sx[128], st[128];
    kl_fail(KL_ERR_SHAPE, "%s: scores %s and class indices %s %s do not fit", fn,
            kl_ints_text(kl_ints_of(x->rank, kl_lazy_shape(x)), sx, sizeof sx),
            kl_dtypes[t->dtype].torch_name,
            kl_ints_text(kl_ints_of(t->rank, kl_lazy_shape(t)), st, sizeof st));
    return false;
}

/* -mean of logp[i, t[i]] */
static kl_lazy *nll(kl_lazy *logp, kl_lazy *t)
{
    int64_t n = kl_lazy_numel(t), two[2] = {n, 1};
    kl_lazy *index = kl_n_reshape(kl_n_cast(t, KL_I64), 2, two);
    kl_lazy *picked = kl_n_gather(logp, index, 1, 1);
    return kl_n_un(KL_OP_neg, mean_all(picked));
}

static kl_tensor *of_classes(const char *at, const char *fn, kl_tensor *x,
                             kl_tensor *target, bool logs)
{
    kl_call c = kl_call_enter(at, fn);
    kl_lazy *a = kl_arg_tensor(x), *t = kl_arg_tensor(target);
    if (!a || !t || !classes_fit(fn, a, t))
        return kl_call_end(&c, NULL);
    kl_lazy *flat = kl_n_widen(classes_last(a));
    kl_lazy *loss = nll(logs ? flat : kl_n_log_softmax(flat, 1), t);
    return kl_call_end(&c, kl_n_cast(loss, (kl_dtype)a->dtype));
}

kl_tensor *kl_cross_entropy_at(const char *at, kl_tensor *logits, kl_tensor *target)
{
    return of_classes(at, "cross_entropy", logits, target, false);
}

kl_tensor *kl_nll_loss_at(const char *at, kl_tensor *logp, kl_tensor *target)
{
    return of_classes(at, "nll_loss", logp, target, true);
}

/* ---- of two tensors of one shape
 * ------------------------------------------------------------ */

typedef kl_lazy *(*pair_fn)(kl_lazy *x, kl_lazy *y, double p);

static kl_tensor *of_pair(const char *at, const char *fn, kl_tensor *x, kl_tensor *y,
                          pair_fn f, double p)
{
    kl_call c = kl_call_enter(at, fn);
    kl_lazy *v[2] = {kl_arg_tensor(x), kl_arg_tensor(y)};
    if (!v[0] || !v[1] || kl_broadcast(fn, 2, v) != KL_OK)
        return kl_call_end(&c, NULL);
    kl_dtype dt = kl_dtype_promote((kl_dtype)v[0]->dtype, (kl_dtype)v[1]->dtype);
    kl_lazy *a = kl_n_widen(kl_n_cast(v[0], dt)), *b = kl_n_widen(kl_n_cast(v[1], dt));
    return kl_call_end(&c, kl_n_cast(mean_all(f(a, b, p)), dt));
}

static kl_lazy *squared(kl_lazy *x, kl_lazy *y, double p)
{
    (void)p;
    return kl_n_square(kl_n_bin(KL_OP_sub, x, y));
}

static kl_lazy *absolute(kl_lazy *x, kl_lazy *y, double p)
{
    (void)p;
    return kl_n_un(KL_OP_abs, kl_n_bin(KL_OP_sub, x, y));
}

static kl_lazy *smooth(kl_lazy *x, kl_lazy *y, double beta)
{
    kl_lazy *d = kl_n_un(KL_OP_abs, kl_n_bin(KL_OP_sub, x, y));
    if (beta == 0)
        return d;
    kl_lazy *inner =
        kl_n_binc(KL_OP_div, kl_n_binc(KL_OP_mul, kl_n_square(d), 0.5), beta);
    return kl_n_where(kl_n_binc(KL_OP_lt, d, beta), inner,
                      kl_n_binc(KL_OP_sub, d, 0.5 * beta));
}

static kl_lazy *held_log(kl_lazy *p)
{
    return kl_n_binc(KL_OP_max, kl_n_un(KL_OP_log, p), -100);
}

static kl_lazy *bce(kl_lazy *p, kl_lazy *y, double unused)
{
    (void)unused;
    kl_lazy *one = kl_n_bin(KL_OP_mul, kl_n_cbin(KL_OP_sub, 1, y),
                            held_log(kl_n_cbin(KL_OP_sub, 1, p)));
    return kl_n_un(KL_OP_neg,
                   kl_n_bin(KL_OP_add, kl_n_bin(KL_OP_mul, y, held_log(p)), one));
}

/* (1 - y) x + log(1 + e^-|x|) + max(-x, 0): no overflow either way. */
static kl_lazy *bce_logits(kl_lazy *x, kl_lazy *y, double unused)
{
    (void)unused;
    kl_lazy *soft = kl_n_un(
        KL_OP_log1p, kl_n_un(KL_OP_exp, kl_n_un(KL_OP_neg, kl_n_un(KL_OP_abs, x))));
    kl_lazy *low = kl_n_relu(kl_n_un(KL_OP_neg, x));
    kl_lazy *lin = kl_n_bin(KL_OP_mul, kl_n_cbin(KL_OP_sub, 1, y), x);
    return kl_n_bin(KL_OP_add, lin, kl_n_bin(KL_OP_add, soft, low));
}

kl_tensor *kl_mse_loss_at(const char *at, kl_tensor *x, kl_tensor *y)
{
    return of_pair(at, "mse_loss", x, y, squared, 0);
}
kl_tensor *kl_l1_loss_at(const char *at, kl_tensor *x, kl_tensor *y)
{
    return of_pair(at, "l1_loss", x, y, absolute, 0);
}
kl_tensor *kl_smooth_l1_loss_at(const char *at, kl_tensor *x, kl_tensor *y, double beta)
{
    return of_pair(at, "smooth_l1_loss", x, y, smooth, beta);
}
kl_tensor *kl_bce_loss_at(const char *at, kl_tensor *p, kl_tensor *y)
{
    return of_pair(at, "binary_cross_entropy", p, y, bce, 0);
}
kl_tensor *kl_bce_with_logits_at(const char *at, kl_tensor *x, kl_tensor *y)
{
    return of_pair(at, "binary_cross_entropy_with_logits", x, y, bce_logits, 0);
}
