/* loss_margin.c: losses of margins, embeddings and distributions, composed of nodes.
 *
 *   margin_ranking(a, b, y)  =  mean max(0, margin - y (a - b)) */
#include "math_compose.h"
#include "terms.h"

/* Operands of one dtype and shape; halves in f32. */
static kl_status read(const char *fn, int n, kl_tensor *const *t, kl_lazy **out,
                      kl_dtype *dt)
{
    kl_arg a[3] = {{0}};
    for (int i = 0; i < n; i++)
        a[i] = kl_arg_t(t[i]);
    *dt = kl_arg_promote_float(n, a);
    if (*dt == KL_DTYPE_NONE)
        return KL_ERR_ARG;
    for (int i = 0; i < n; i++)
        out[i] = kl_n_widen(kl_arg_read(a[i], *dt));
    return kl_broadcast(fn, n, out);
}

static kl_tensor *done(kl_call *c, kl_lazy *l, kl_reduction r, kl_dtype dt)
{
    l = kl_n_reduced(l, r);
    return kl_call_end(c, l ? kl_n_cast(l, dt) : NULL);
}

static kl_lazy *positive(kl_lazy *a)
{
    return kl_n_relu(a);
}

/* ---- elements ---- */

kl_tensor *kl_poisson_nll_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                  kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[2];
    kl_dtype dt;
    if (read("poisson_nll_loss", 2, (kl_tensor *[]){x, y}, v, &dt))
        return kl_call_end(&c, NULL);
    kl_lazy *l = o.log_input ? sub(un(KL_OP_exp, v[0]), mul(v[1], v[0]))
                             : sub(v[0], mul(v[1], un(KL_OP_log, plus(v[0], o.eps))));
    if (o.full) { /* y log y - y + log(2 pi y) / 2 above 1 */
        kl_lazy *on = above(v[1], 1), *s = or_number(on, v[1], 1);
        kl_lazy *terms = add(sub(mul(s, un(KL_OP_log, s)), s),
                             times(un(KL_OP_log, times(s, 6.28318530717958647693)), 0.5));
        l = add(l, or_number(on, terms, 0));
    }
    return done(&c, l, o.reduction, dt);
}

kl_tensor *kl_gaussian_nll_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                   kl_tensor *var, kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_tensor *t[3] = {x, y, var};
    kl_lazy *v[3];
    kl_dtype dt;
    if (x && var && kl_rank(var) == kl_rank(x) - 1)
        t[2] = kl_unsqueeze_at(at, var, -1);
    if (!t[2] || read("gaussian_nll_loss", 3, t, v, &dt))
        return kl_call_end(&c, NULL);
    /* the bound is not differentiated: var's gradient is that of the bounded value */
    kl_lazy *low = below(v[2], o.eps);
    kl_lazy *bounded =
        kl_n_where(low, add(num(v[2], o.eps), sub(v[2], kl_n_detach(v[2]))), v[2]);
    kl_lazy *d = sub(v[0], v[1]);
    kl_lazy *l = times(add(un(KL_OP_log, bounded), over(mul(d, d), bounded)), 0.5);
    if (o.full)
        l = plus(l, 0.91893853320467274178);
    return done(&c, l, o.reduction, dt);
}

kl_tensor *kl_hinge_embedding_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                      kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[2];
    kl_dtype dt;
    if (read("hinge_embedding_loss", 2, (kl_tensor *[]){x, y}, v, &dt))
        return kl_call_end(&c, NULL);
    kl_lazy *gap = positive(kl_n_cbin(KL_OP_sub, o.margin, v[0]));
    kl_lazy *l = add(or_number(kl_n_binc(KL_OP_ne, v[1], 1), gap, 0),
                     or_number(kl_n_binc(KL_OP_ne, v[1], -1), v[0], 0));
    return done(&c, kl_f_steps(l, v[1]), o.reduction, dt);
}

kl_tensor *kl_soft_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                  kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[2];
    kl_dtype dt;
    if (read("soft_margin_loss", 2, (kl_tensor *[]){x, y}, v, &dt))
        return kl_call_end(&c, NULL);
    kl_lazy *l = un(KL_OP_log1p, un(KL_OP_exp, neg(mul(v[1], v[0]))));
    return done(&c, l, o.reduction, dt);
}

kl_tensor *kl_margin_ranking_loss_at(const char *at, kl_tensor *a, kl_tensor *b,
                                     kl_tensor *y, kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[3];
    kl_dtype dt;
    if (read("margin_ranking_loss", 3, (kl_tensor *[]){a, b, y}, v, &dt))
        return kl_call_end(&c, NULL);
    kl_lazy *l = plus(neg(mul(v[2], sub(v[0], v[1]))), o.margin);
    l = kl_n_where(below(l, 0), num(l, 0), l);
    return done(&c, l, o.reduction, dt);
}

/* ---- vectors ---- */

kl_tensor *kl_cosine_embedding_loss_at(const char *at, kl_tensor *a, kl_tensor *b,
                                       kl_tensor *y, kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[2], *t = kl_arg_tensor(y);
    kl_dtype dt;
    if (!t || read("cosine_embedding_loss", 2, (kl_tensor *[]){a, b}, v, &dt))
        return kl_call_end(&c, NULL);
    if (v[0]->rank != t->rank + 1 || t->rank > 1) {
        kl_fail(KL_ERR_SHAPE,
                "cosine_embedding_loss: %dD target tensor expects %dD input tensors, but "
                "found inputs with %d dimensions",
                t->rank, t->rank + 1, v[0]->rank);
        return kl_call_end(&c, NULL);
    }
    uint64_t axis = UINT64_C(1) << t->rank;
    kl_lazy *dot = kl_n_reduce(KL_OP_add, mul(v[0], v[1]), axis, false);
    kl_lazy *aa = plus(kl_n_reduce(KL_OP_add, mul(v[0], v[0]), axis, false), 1e-12);
    kl_lazy *bb = plus(kl_n_reduce(KL_OP_add, mul(v[1], v[1]), axis, false), 1e-12);
    kl_lazy *cosine = over(dot, un(KL_OP_sqrt, mul(aa, bb)));
    kl_lazy *far = plus(cosine, -o.margin);
    far = kl_n_where(below(far, 0), num(far, 0), far);
    kl_lazy *l = add(or_number(equals(t, 1), kl_n_cbin(KL_OP_sub, 1, cosine), 0),
                     or_number(equals(t, -1), far, 0));
    l = l && t->track ? kl_f_steps(l, kl_n_cast(t, (kl_dtype)l->dtype)) : l;
    return done(&c, l, o.reduction, dt);
}

static kl_tensor *distance(const char *at, kl_tensor *a, kl_tensor *b, double norm,
                           double eps)
{
    return kl_pairwise_distance_at(at, a, b, norm, eps, false);
}

kl_tensor *kl_triplet_margin_loss_at(const char *at, kl_tensor *a, kl_tensor *p,
                                     kl_tensor *n, double norm, double eps, bool swap,
                                     kl_loss_options o)
{
    kl_call c = kl_compose(at);
    kl_tensor *near = distance(at, a, p, norm, eps), *far = distance(at, a, n, norm, eps);
    if (swap)
        far = kl_min_at(at, kl_arg_t(far), kl_arg_t(distance(at, p, n, norm, eps)));
    kl_tensor *d = kl_sub_at(at, kl_arg_t(near), kl_arg_t(far));
    d = kl_clamp_at(at, kl_arg_t(kl_add_at(at, kl_arg_t(d), kl_arg_d(o.margin))),
                    kl_arg_i(0), kl_arg_none(NULL));
    if (o.reduction == KL_REDUCE_MEAN)
        d = d ? kl_mean_at(at, d, kl_axes(), false) : NULL;
    else if (o.reduction == KL_REDUCE_SUM)
        d = d ? kl_sum_at(at, d, kl_axes(), false) : NULL;
    return kl_composed(&c, __func__, d);
}

/* ---- classes ---- */

/* x as [N, C], y as [N, ..]. */
static kl_status rows(const char *fn, kl_tensor *x, kl_tensor *y, bool each, kl_lazy **a,
                      kl_lazy **t)
{
    *a = kl_n_widen(kl_arg_tensor(x));
    *t = kl_arg_tensor(y);
    if (!*a || !*t)
        return kl_error_status();
    bool ok = (*a)->rank <= 2 && kl_is_float(type(*a)) && kl_lazy_numel(*a) > 0;
    int64_t one[2] = {1, (*a)->rank ? kl_lazy_shape(*a)[(*a)->rank - 1] : 1};
    int64_t n = (*a)->rank == 2 ? kl_lazy_shape(*a)[0] : 1, shape[2] = {n, one[1]};
    ok = ok && kl_lazy_numel(*t) == (each ? n * one[1] : n);
    if (!ok)
        return kl_fail(KL_ERR_SHAPE, "%s: inconsistent target size for a %d-d input", fn,
                       (*a)->rank);
    *a = kl_n_reshape(*a, 2, shape);
    *t = kl_n_reshape(*t, each ? 2 : 1, shape);
    return KL_OK;
}

/* One number a row; none: as the input had rows. */
static kl_tensor *of_rows(kl_call *c, kl_tensor *x, kl_lazy *l, kl_reduction r)
{
    if (l && kl_rank(x) < 2 && r == KL_REDUCE_NONE)
        l = kl_n_reshape(l, 0, NULL);
    return done(c, l, r, kl_dtype_of(x));
}

kl_tensor *kl_multi_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y, int p,
                                   kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a, *t, *w = o.weight ? kl_arg_tensor(o.weight) : NULL;
    if (p != 1 && p != 2) {
        kl_fail(KL_ERR_ARG, "only p == 1 and p == 2 supported");
        return kl_call_end(&c, NULL);
    }
    if ((o.weight && !w) || rows("multi_margin_loss", x, y, false, &a, &t))
        return kl_call_end(&c, NULL);
    int64_t n = kl_lazy_shape(a)[1];
    kl_lazy *k = kl_n_unsqueeze(t, 1), *own = kl_n_gather(a, k, 1, 1);
    kl_lazy *gap = positive(plus(sub(a, own), o.margin));
    gap = p == 2 ? mul(gap, gap) : gap;
    if (w)
        gap = mul(gap, kl_n_gather(kl_n_cast(w, type(a)), k, 0, 0));
    kl_lazy *hit = kl_n_bin(KL_OP_eq, kl_n_iota(KL_I64, 2, kl_lazy_shape(a), 1),
                            kl_n_cast(k, KL_I64));
    gap = or_number(kl_n_un(KL_OP_not, hit), gap, 0);
    kl_lazy *l = kl_n_binc(KL_OP_div, kl_n_reduce(KL_OP_add, gap, 2, false), (double)n);
    return of_rows(&c, x, l, o.reduction);
}

kl_tensor *kl_multilabel_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                        kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a, *t;
    if (rows("multilabel_margin_loss", x, y, true, &a, &t))
        return kl_call_end(&c, NULL);
    int64_t n = kl_lazy_shape(a)[0], m = kl_lazy_shape(a)[1], cube[3] = {n, m, m};
    kl_lazy *there = kl_n_cast(kl_n_cbin(KL_OP_le, 0, t), KL_I64);
    there = equals(kl_n_prefix(KL_OP_min, there, 1), 1); /* before the first -1 */
    kl_lazy *k = or_number(there, t, 0);
    kl_lazy *own = kl_n_gather(a, k, 1, 1); /* [n, j] */
    kl_lazy *on = kl_n_unsqueeze(there, 2);
    kl_lazy *hit = kl_n_bin(KL_OP_eq, kl_n_cast(kl_n_unsqueeze(k, 2), KL_I64),
                            kl_n_iota(KL_I64, 3, cube, 2));
    hit = kl_n_bin(KL_OP_and, hit, on);                   /* [n, j, i] */
    kl_lazy *label = kl_n_reduce(KL_OP_or, hit, 2, true); /* [n, 1, i] */
    kl_lazy *gap = positive(
        plus(sub(kl_n_unsqueeze(a, 1), kl_n_unsqueeze(own, 2)), 1)); /* 1 - x[j] + x[i] */
    kl_lazy *count = kl_n_bin(KL_OP_and, on, kl_n_un(KL_OP_not, label));
    kl_lazy *l = kl_n_reduce(KL_OP_add, or_number(count, gap, 0), 6, false);
    return of_rows(&c, x, kl_n_binc(KL_OP_div, l, (double)m), o.reduction);
}

kl_tensor *kl_multilabel_soft_margin_loss_at(const char *at, kl_tensor *x, kl_tensor *y,
                                             kl_loss_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[2], *w = o.weight ? kl_arg_tensor(o.weight) : NULL;
    kl_dtype dt;
    if ((o.weight && !w) ||
        read("multilabel_soft_margin_loss", 2, (kl_tensor *[]){x, y}, v, &dt))
        return kl_call_end(&c, NULL);
    kl_lazy *l = add(sub(kl_n_relu(v[0]), mul(v[0], v[1])), kl_f_tail(v[0], true));
    if (w)
        l = mul(l, kl_n_cast(w, type(l)));
    if (l && l->rank)
        l = kl_n_mean(l, UINT64_C(1) << (l->rank - 1), false);
    return done(&c, l, o.reduction, dt);
}
