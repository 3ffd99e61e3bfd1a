/* linalg_factor.c: factorizations of kiln/linalg.h: Cholesky, LU, QR, singular values,
 * eigenvalues, each LAPACK's with a derivative.
 *
 * Derivatives: Giles, "Collected matrix derivative results" (2008); Murray,
 * "Differentiation of the Cholesky decomposition" (2016); Seeger and others,
 * "Auto-differentiating linear algebra" (2017); conventions (which factor is
 * differentiable, halves of the diagonal) as PyTorch's. X* stands for the conjugate
 * transpose. */
#include "factor.h"

/* ---- Cholesky: A = L L* ---- */

static bool cholesky_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                             kl_tensor **out)
{
    kl_tensor *a = in[0];
    int64_t sizes[KL_LA_SIZES], n = kl_extent(a, -1);
    kl_lapack_sizes(a, 0, sizes);
    kl_lapack_out types[2] = {kl_lapack_like(a, (kl_dtype)a->dtype, 2, n, n),
                              kl_lapack_like(a, KL_I32, 0, 0, 0)};
    (void)opt;
    return kl_lapack_tensors(at, KL_LA_CHOLESKY, &a, 1, sizes, types, 2, out);
}

/* dA = L^-* sym(halved tril(L* dL)) L^-1 */
static void cholesky_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *l = d->out[0], *lh = mH(at, l);
    kl_tensor *p = lower(at, mm(at, lh, d->dy[0]), 0);
    /* tril + tril*, the diagonal real and once: halved later, as the others are */
    kl_tensor *diag = p ? diagonals(at, diagonal(at, p)) : NULL;
    kl_tensor *s = minus(at, plus(at, p, mH(at, p)), diag);
    kl_tensor *x = kl_triangular(at, lh, scaled(at, s, 0.5), true, true, false);
    d->dx[0] = kl_triangular(at, l, x, false, false, false);
}

static const kl_factor cholesky_rule = {1, 2, 1, cholesky_forward, cholesky_back};

static bool cholesky(const char *at, kl_tensor *a, bool is_upper, kl_tensor **out)
{
    static const int64_t none[KL_FACTOR_OPT] = {0};
    if (is_upper) /* the upper triangle is read, as the lower one of A* */
        a = mH(at, a);
    if (!kl_factor_apply(at, &cholesky_rule, &a, none, out))
        return false;
    out[0] = is_upper ? mH(at, out[0]) : out[0];
    return out[0] != NULL;
}

kl_tensor *kl_linalg_cholesky_at(const char *at, kl_tensor *a, bool is_upper)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[2];
    char batch[40];
    int order;
    bool ok =
        !kl_check_matrix("linalg.cholesky", a, true) && cholesky(at, a, is_upper, out);
    int64_t bad = ok ? kl_info_first(at, out[1], out, 1, &order) : -1;
    if (bad >= 0)
        kl_fail(KL_ERR_NUMERIC,
                "linalg.cholesky: %sThe factorization could not be completed because the "
                "input is not positive-definite (the leading minor of order %d is not "
                "positive-definite).",
                kl_info_batch(out[1], bad, batch), order);
    return kl_composed(&c, __func__, ok && bad < 0 ? out[0] : NULL);
}

kl_tensor *kl_linalg_cholesky_ex_at(const char *at, kl_tensor *a, bool is_upper,
                                    kl_tensor **info)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[2];
    bool ok =
        !kl_check_matrix("linalg.cholesky_ex", a, true) && cholesky(at, a, is_upper, out);
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    *info = out[1];
    return ok ? out[0] : NULL;
}

/* ---- LU: A = P L U, packed ---- */

static bool lu_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                       kl_tensor **out)
{
    kl_tensor *a = in[0];
    int64_t sizes[KL_LA_SIZES], m = kl_extent(a, -2), n = kl_extent(a, -1);
    kl_lapack_sizes(a, 0, sizes);
    kl_lapack_out types[3] = {kl_lapack_like(a, (kl_dtype)a->dtype, 2, m, n),
                              kl_lapack_like(a, KL_I32, 1, KL_MIN(m, n), 0),
                              kl_lapack_like(a, KL_I32, 0, 0, 0)};
    (void)opt;
    return kl_lapack_tensors(at, KL_LA_LU, &a, 1, sizes, types, 3, out);
}

/* With A = P [L1; L2] U or P L [U1 U2]: the formula of the square part, and what is left
 * of the others. */
static void lu_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *lu = d->out[0], *g = d->dy[0], *r;
    int64_t m = kl_extent(lu, -2), n = kl_extent(lu, -1), k = KL_MIN(m, n);
    kl_tensor *gl = lower(at, part(at, g, -1, 0, k), -1);
    kl_tensor *gu = upper(at, part(at, g, -2, 0, k), 0);
    kl_tensor *l = lower(at, part(at, lu, -1, 0, k), -1), *l1 = part(at, l, -2, 0, k);
    kl_tensor *u = upper(at, part(at, lu, -2, 0, k), 0), *u1 = part(at, u, -1, 0, k);
    l = plus(at, l, kl_eye_at(at, m, k, kl_dtype_of(lu)));
    l1 = plus(at, l1, kl_eye_at(at, k, k, kl_dtype_of(lu)));
    kl_tensor *left = mm(at, mH(at, l), gl), *right = mm(at, gu, mH(at, u));
    if (m <= n) { /* L^-* [gU + tril(L* gL - gU U*) U1^-*] */
        kl_tensor *x = kl_triangular(
            at, mH(at, u1), lower(at, minus(at, left, right), -1), false, false, false);
        kl_tensor *rest = n > k ? kl_zeros(kl_shape(k, n - k), kl_dtype_of(lu)) : NULL;
        if (x && rest) {
            kl_ints shape = kl_shape_of(x);
            shape.v[shape.n - 1] = n - k;
            kl_tensor *both[2] = {x, kl_expand_at(at, rest, shape)};
            x = kl_cat_at(at, both, 2, -1);
        }
        r = kl_triangular(at, mH(at, l1), plus(at, gu, x), true, true, true);
    } else { /* [gL + L1^-* triu(gU U* - L* gL)] U^-* */
        kl_tensor *x = kl_triangular(at, mH(at, l1), upper(at, minus(at, right, left), 0),
                                     true, true, true);
        kl_ints pads = kl_shape(0, 0, 0, m - k);
        x = plus(at, gl, x ? kl_pad_at(at, x, pads, kl_arg_d(0)) : NULL);
        r = kl_triangular(at, mH(at, u1), x, false, false, false);
    }
    kl_tensor *p = kl_lu_permutation_at(at, d->out[1], m, kl_dtype_of(lu));
    d->dx[0] = mm(at, p, r);
}

static const kl_factor lu_rule = {1, 3, 1, lu_forward, lu_back};

kl_tensor *kl_linalg_lu_factor_ex_at(const char *at, kl_tensor *a, kl_tensor **pivots,
                                     kl_tensor **info)
{
    static const int64_t none[KL_FACTOR_OPT] = {0};
    kl_call c = kl_compose(at);
    kl_tensor *out[3];
    bool ok = !kl_check_matrix("linalg.lu_factor", a, false) &&
              kl_factor_apply(at, &lu_rule, &a, none, out);
    ok = kl_composed_all(&c, __func__, ok, out, 3);
    *pivots = out[1];
    *info = out[2];
    return ok ? out[0] : NULL;
}

kl_tensor *kl_linalg_lu_factor_at(const char *at, kl_tensor *a, kl_tensor **pivots)
{
    kl_call c = kl_compose(at);
    kl_tensor *info, *unused, *lu;
    pivots = pivots ? pivots : &unused;
    lu = kl_linalg_lu_factor_ex_at(at, a, pivots, &info);
    char batch[40];
    int which;
    int64_t bad =
        lu ? kl_info_first(at, info, (kl_tensor *[]){lu, *pivots}, 2, &which) : -1;
    if (bad >= 0)
        kl_fail(
            KL_ERR_ARG,
            "torch.linalg.lu_factor: %sU[%d,%d] is zero and using it on lu_solve would "
            "result in a division by zero. If you still want to perform the "
            "factorization, consider calling linalg.lu(A, pivot) or "
            "linalg.lu_factor_ex(A, pivot)",
            kl_info_batch(info, bad, batch), which, which);
    kl_tensor *out[2] = {lu, *pivots};
    bool ok = kl_composed_all(&c, __func__, lu && bad < 0, out, 2);
    *pivots = out[1];
    return ok ? out[0] : NULL;
}

/* Which row of A each row of L U is, by LAPACK's exchanges. */
kl_tensor *kl_lu_order_at(const char *at, kl_tensor *pivots, int64_t m)
{
    kl_call c = kl_compose(at);
    int64_t k = kl_extent(pivots, -1), sizes[KL_LA_SIZES] = {0};
    kl_tensor *p = kl_to_at(at, pivots, KL_I32), *order = NULL;
    sizes[KL_LA_BATCH] = p ? kl_count(p->rank - 1, kl_t_shape(p)) : 0;
    sizes[KL_LA_M] = m;
    sizes[KL_LA_K] = k;
    kl_lapack_out type = {.dt = KL_I32, .rank = kl_rank(p)};
    if (!p || !kl_rank(p))
        return kl_composed(&c, NULL, NULL);
    memcpy(type.shape, kl_t_shape(p), p->rank * sizeof *type.shape);
    type.shape[p->rank - 1] = m;
    bool ok = kl_lapack_tensors(at, KL_LA_EXCHANGES, &p, 1, sizes, &type, 1, &order);
    return kl_composed(&c, __func__, ok ? kl_to_at(at, order, KL_I64) : NULL);
}

/* That order as the matrix P of P L U. */
kl_tensor *kl_lu_permutation_at(const char *at, kl_tensor *pivots, int64_t m, kl_dtype dt)
{
    kl_call c = kl_compose(at);
    kl_tensor *order = kl_lu_order_at(at, pivots, m);
    kl_tensor *number = kl_arange_at(at, kl_arg_i(0), kl_arg_i(m), kl_arg_i(1), KL_I64);
    kl_tensor *p =
        order && number ? kl_eq_at(at, T(column(at, number)), T(row(at, order))) : NULL;
    return kl_composed(&c, __func__, p ? kl_to_at(at, p, dt) : NULL);
}

/* P, L, U of a packed factorization; P is NULL where it is not wanted. */
bool kl_lu_unpack_at(const char *at, kl_tensor *lu, kl_tensor *pivots, kl_tensor **out)
{
    kl_call c = kl_compose(at);
    int64_t m = kl_extent(lu, -2), n = kl_extent(lu, -1), k = KL_MIN(m, n);
    if (m < 0 || n < 0)
        return kl_composed_all(&c, NULL, false, out, 3);
    out[0] = kl_lu_permutation_at(at, pivots, m, kl_dtype_of(lu));
    out[1] = plus(at, lower(at, part(at, lu, -1, 0, k), -1),
                  kl_eye_at(at, m, k, kl_dtype_of(lu)));
    out[2] = upper(at, part(at, lu, -2, 0, k), 0);
    return kl_composed_all(&c, __func__, out[0] && out[1] && out[2], out, 3);
}

bool kl_linalg_lu_at(const char *at, kl_tensor *a, kl_tensor **out)
{
    kl_call c = kl_compose(at);
    if (!kl_arg_given(out, 3, "the place for the results"))
        return kl_composed_all(&c, NULL, false, NULL, 0);
    kl_tensor *pivots, *info, *lu = kl_linalg_lu_factor_ex_at(at, a, &pivots, &info);
    return kl_composed_all(&c, __func__, lu && kl_lu_unpack_at(at, lu, pivots, out), out,
                           3);
}

/* ---- QR ---- */

static bool reflectors(const char *at, kl_tensor *a, kl_tensor **out)
{
    int64_t sizes[KL_LA_SIZES], m = kl_extent(a, -2), n = kl_extent(a, -1);
    kl_lapack_sizes(a, 0, sizes);
    kl_lapack_out types[2] = {kl_lapack_like(a, (kl_dtype)a->dtype, 2, m, n),
                              kl_lapack_like(a, (kl_dtype)a->dtype, 1, KL_MIN(m, n), 0)};
    return kl_lapack_tensors(at, KL_LA_HOUSEHOLDER, &a, 1, sizes, types, 2, out);
}

static kl_tensor *product(const char *at, kl_tensor *a, kl_tensor *tau)
{
    int64_t sizes[KL_LA_SIZES], m = kl_extent(a, -2), n = kl_extent(a, -1);
    kl_tensor *q = NULL;
    kl_lapack_sizes(a, kl_extent(tau, -1), sizes);
    kl_lapack_out type = kl_lapack_like(a, (kl_dtype)a->dtype, 2, m, n);
    return kl_lapack_tensors(at, KL_LA_ORTHOGONAL, (kl_tensor *[]){a, tau}, 2, sizes,
                             &type, 1, &q)
               ? q
               : NULL;
}

/* LAPACK's form of QR: R above, reflectors below the diagonal; *tau their factors.
 * Without a derivative. */
kl_tensor *kl_geqrf_at(const char *at, kl_tensor *a, kl_tensor **tau)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[2] = {NULL};
    bool ok = !kl_check_matrix("torch.geqrf", a, false);
    kl_no_grad_begin();
    ok = ok && reflectors(at, a, out);
    kl_no_grad_end();
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    *tau = out[1];
    return ok ? out[0] : NULL;
}

/* opt 0: Q square. */
static bool qr_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                       kl_tensor **out)
{
    int64_t m = kl_extent(in[0], -2), n = kl_extent(in[0], -1),
            k = opt[0] ? m : KL_MIN(m, n);
    kl_tensor *h[2], *v;
    if (!reflectors(at, in[0], h))
        return false;
    v = n >= k ? part(at, h[0], -1, 0, k)
               : kl_pad_at(at, h[0], kl_shape(0, k - n), kl_arg_d(0));
    out[0] = v ? product(at, v, h[1]) : NULL;
    out[1] = upper(at, part(at, h[0], -2, 0, k), 0);
    return out[0] && out[1];
}

/* Of m >= n: [dQ + Q copyltu(triu(dR R* - Q* dQ))] R^-*, whose triangle's other half is
 * its conjugate. */
static kl_tensor *qr_tall(const char *at, kl_tensor *q, kl_tensor *r, kl_tensor *gq,
                          kl_tensor *gr)
{
    kl_tensor *s = gr ? mm(at, gr, mH(at, r)) : NULL;
    kl_tensor *t = gq ? mm(at, mH(at, q), gq) : NULL;
    s = s && t ? minus(at, s, t) : s ? s : scaled(at, t, -1);
    kl_tensor *u = upper(at, s, 0);
    kl_tensor *diag = diagonal(at, u);
    if (is_complex(diag)) /* u + u* has the diagonal's real part twice */
        diag = diag ? kl_to_at(at, kl_real_at(at, T(diag)), kl_dtype_of(diag)) : NULL;
    u = minus(at, plus(at, u, mH(at, u)), diagonals(at, diag));
    return kl_triangular(at, mH(at, r), either(at, gq, mm(at, q, u)), false, false,
                         false);
}

static void qr_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *q = d->out[0], *r = d->out[1], *gq = d->dy[0], *gr = d->dy[1];
    int64_t m = kl_extent(q, -2), n = kl_extent(r, -1);
    if (d->opt[1]) {
        kl_fail(KL_ERR_ARG,
                "The derivative of linalg.qr depends on Q, which is not computed when "
                "mode='r'. Please use linalg.qr(A, mode='reduced') if you are going to "
                "require gradients");
        return;
    }
    if (d->opt[0] && m > n) {
        kl_fail(
            KL_ERR_ARG,
            "The QR decomposition is not differentiable when mode='complete' and nrows "
            "> ncols.");
        return;
    }
    if (m >= n) {
        d->dx[0] = qr_tall(at, q, r, gq, gr);
        return;
    }
    /* [A1 A2] = Q [R1 R2]: R2 = Q* A2 */
    kl_tensor *r2 = part(at, r, -1, m, n), *gr1 = part(at, gr, -1, 0, m);
    kl_tensor *gr2 = part(at, gr, -1, m, n);
    if (gr2)
        gq = either(at, gq, mm(at, mm(at, q, r2), mH(at, gr2)));
    kl_tensor *both[2] = {qr_tall(at, q, part(at, r, -1, 0, m), gq, gr1),
                          gr2 ? mm(at, q, gr2) : mm(at, q, scaled(at, r2, 0))};
    d->dx[0] = both[0] && both[1] ? kl_cat_at(at, both, 2, -1) : NULL;
}

static const kl_factor qr_rule = {1, 2, 2, qr_forward, qr_back};

kl_tensor *kl_linalg_qr_at(const char *at, kl_tensor *a, const char *mode, kl_tensor **r)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[2] = {NULL};
    bool ok = !kl_check_matrix("linalg.qr", a, false), none = false;
    mode = mode ? mode : "";
    if (ok && strcmp(mode, "reduced") && strcmp(mode, "complete") && strcmp(mode, "r")) {
        kl_fail(KL_ERR_ARG,
                "qr received unrecognized mode '%s' but expected one of 'reduced' "
                "(default), 'r', or 'complete'",
                mode);
        ok = false;
    }
    none = mode[0] == 'r' && mode[1] == 0;
    int64_t opt[KL_FACTOR_OPT] = {mode[0] == 'c', none};
    ok = ok && kl_factor_apply(at, &qr_rule, &a, opt, out);
    if (ok && none)
        out[0] = kl_zeros(kl_shape(0), kl_dtype_of(a));
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    if (r)
        *r = out[1];
    return ok ? out[0] : NULL;
}

/* The product of reflectors 1 - tau v v*; recorded, one by one. */
kl_tensor *kl_linalg_householder_product_at(const char *at, kl_tensor *a, kl_tensor *tau)
{
    kl_call c = kl_compose(at);
    if (kl_check_matrix("torch.linalg.householder_product", a, false))
        return kl_composed(&c, NULL, NULL);
    int64_t m = kl_extent(a, -2), n = kl_extent(a, -1), k = kl_extent(tau, -1);
    if (m < n || k > n || k < 0 || kl_rank(tau) != a->rank - 1) {
        kl_fail(KL_ERR_SHAPE,
                m < n
                    ? "torch.linalg.householder_product: input.shape[-2] must be greater "
                      "than or equal to input.shape[-1]"
                    : "torch.linalg.householder_product: input.shape[-1] must be greater "
                      "than or equal to tau.shape[-1]");
        return kl_composed(&c, NULL, NULL);
    }
    if (!kl_grad_enabled() || (!kl_tracks(a) && !kl_tracks(tau)))
        return kl_composed(&c, __func__, product(at, a, tau));
    kl_tensor *v = plus(at, lower(at, a, -1), kl_eye_at(at, m, n, kl_dtype_of(a)));
    kl_tensor *q = kl_eye_at(at, m, n, kl_dtype_of(a));
    for (int64_t i = k; i-- > 0 && q;) {
        kl_tensor *vi = part(at, v, -1, i, i + 1),
                  *t = row(at, part(at, tau, -1, i, i + 1));
        q = minus(at, q, mm(at, mul(at, t, vi), mm(at, mH(at, vi), q)));
    }
    return kl_composed(&c, __func__, q);
}
