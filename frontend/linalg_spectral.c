/* linalg_spectral.c: singular values and eigenvalues of kiln/linalg.h, LAPACK's, with
 * derivatives (references: linalg_factor.c). Vectors are determined up to a sign, or a
 * phase: derivatives are those of functions that do not see it.
 *
 *   dA = U [(skew(U* dU) S + S skew(V* dV)) / E + diag dS] V* + ..    E_ij = s_j^2 -
 * s_i^2 */
#include "factor.h"

/* ---- singular values ---- */

static const int64_t no_options[KL_FACTOR_OPT] = {0};

/* opt 0: U and V square; 1: no vectors. */
static bool svd_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                        kl_tensor **out)
{
    kl_tensor *a = in[0];
    kl_dtype dt = (kl_dtype)a->dtype;
    int64_t sizes[KL_LA_SIZES], m = kl_extent(a, -2), n = kl_extent(a, -1),
                                k = KL_MIN(m, n);
    kl_lapack_sizes(a, 0, sizes);
    sizes[KL_LA_FLAG0] = opt[0];
    kl_lapack_out s = kl_lapack_like(a, real_of(a), 1, k, 0),
                  info = kl_lapack_like(a, KL_I32, 0, 0, 0);
    if (opt[1])
        return kl_lapack_tensors(at, KL_LA_SVDVALS, &a, 1, sizes,
                                 (kl_lapack_out[]){s, info}, 2, out);
    kl_lapack_out types[4] = {kl_lapack_like(a, dt, 2, m, opt[0] ? m : k), s,
                              kl_lapack_like(a, dt, 2, opt[0] ? n : k, n), info};
    return kl_lapack_tensors(at, KL_LA_SVD, &a, 1, sizes, types, 4, out);
}

/* X - X*, without its diagonal. */
static kl_tensor *skew(const char *at, kl_tensor *x)
{
    kl_tensor *s = minus(at, x, mH(at, x));
    return is_complex(x) ? minus(at, s, diagonals(at, diagonal(at, s))) : s;
}

/* v_j - v_i, with 1 on the diagonal, to divide by. */
static kl_tensor *differences(const char *at, kl_tensor *v)
{
    kl_tensor *d = minus(at, row(at, v), column(at, v));
    kl_tensor *eye =
        d ? kl_eye_at(at, kl_extent(v, -1), kl_extent(v, -1), kl_dtype_of(v)) : NULL;
    return plus(at, d, eye);
}

static void svd_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *u = d->out[0], *s = d->out[1], *vh = d->out[2], *gu = d->dy[0];
    kl_tensor *gs = d->dy[1], *gvh = d->dy[2], *inner = NULL;
    int64_t m = kl_extent(u, -2), n = kl_extent(vh, -1), k = kl_extent(s, -1);
    u = part(at, u, -1, 0, k);
    vh = part(at, vh, -2, 0, k);
    gu = part(at, gu, -1, 0, k);
    gvh = part(at, gvh, -2, 0, k);
    kl_tensor *e = differences(at, kl_mul_at(at, T(s), T(s)));
    kl_tensor *ugu = gu ? mm(at, mH(at, u), gu) : NULL;
    if (gs)
        inner = diagonals(at, kl_to_at(at, gs, kl_dtype_of(u)));
    if (gu)
        inner = either(at, inner, mul(at, over(at, skew(at, ugu), e), row(at, s)));
    if (gvh)
        inner = either(
            at, inner,
            mul(at, over(at, skew(at, mm(at, vh, mH(at, gvh))), e), column(at, s)));
    if (gu && is_complex(u)) { /* the phase that U alone turns by */
        kl_tensor *diag = diagonal(at, minus(at, ugu, mH(at, ugu)));
        inner = plus(at, inner, diagonals(at, over(at, diag, scaled(at, s, 2))));
    }
    kl_tensor *g = inner ? mm(at, mm(at, u, inner), vh) : NULL;
    if (gu && m > k) /* the part of dU outside U's columns */
        g = plus(at, g, mm(at, over(at, minus(at, gu, mm(at, u, ugu)), row(at, s)), vh));
    if (gvh && n > k) {
        kl_tensor *out = minus(at, gvh, mm(at, mm(at, gvh, mH(at, vh)), vh));
        g = plus(at, g, mm(at, u, over(at, out, column(at, s))));
    }
    d->dx[0] = g;
}

static const kl_factor svd_rule = {1, 4, 3, svd_forward, svd_back};

static bool svd(const char *at, kl_tensor *a, bool full, kl_tensor **out)
{
    char batch[40];
    int order;
    if (kl_check_matrix("linalg.svd", a, false) ||
        !kl_factor_apply(at, &svd_rule, &a, (const int64_t[]){full, 0, 0}, out))
        return false;
    int64_t bad = kl_info_first(at, out[3], out, 3, &order);
    if (bad >= 0)
        kl_fail(KL_ERR_NUMERIC,
                "linalg.svd: %sThe algorithm failed to converge because the input matrix "
                "contained non-finite values.",
                kl_info_batch(out[3], bad, batch));
    return bad < 0;
}

kl_tensor *kl_linalg_svd_at(const char *at, kl_tensor *a, bool full, kl_tensor **s,
                            kl_tensor **vh)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[4];
    bool ok = svd(at, a, full, out);
    ok = kl_composed_all(&c, __func__, ok, out, 3);
    if (s)
        *s = out[1];
    if (vh)
        *vh = out[2];
    return ok ? out[0] : NULL;
}

kl_tensor *kl_linalg_svdvals_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[4], *s = NULL;
    if (a && kl_grad_enabled() && kl_tracks(a))
        s = svd(at, a, false, out) ? out[1] : NULL;
    else if (!kl_check_matrix("linalg.svd", a, false)) {
        int order;
        if (svd_forward(at, &a, (const int64_t[]){0, 1, 0}, out) &&
            kl_info_first(at, out[1], out, 1, &order) < 0)
            s = out[0];
        else
            kl_fail(
                KL_ERR_NUMERIC,
                "linalg.svd: The algorithm failed to converge because the input matrix "
                "contained non-finite values.");
    }
    return kl_composed(&c, __func__, s);
}

/* ---- Hermitian ---- */

/* opt 0: the lower triangle is read. */
static bool eigh_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                         kl_tensor **out)
{
    kl_tensor *a = in[0];
    int64_t sizes[KL_LA_SIZES], n = kl_extent(a, -1);
    kl_lapack_sizes(a, 0, sizes);
    sizes[KL_LA_FLAG0] = opt[0];
    sizes[KL_LA_FLAG1] = 1;
    kl_lapack_out types[3] = {kl_lapack_like(a, real_of(a), 1, n, 0),
                              kl_lapack_like(a, (kl_dtype)a->dtype, 2, n, n),
                              kl_lapack_like(a, KL_I32, 0, 0, 0)};
    return kl_lapack_tensors(at, KL_LA_EIGH, &a, 1, sizes, types, 3, out);
}

/* dA = V [diag dw + V* dV / E] V*, the diagonal of V* dV left out. */
static void eigh_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *w = d->out[0], *v = d->out[1], *gw = d->dy[0], *gv = d->dy[1];
    kl_tensor *x = gw ? diagonals(at, kl_to_at(at, gw, kl_dtype_of(v))) : NULL;
    if (gv) {
        kl_tensor *p = mm(at, mH(at, v), gv);
        p = minus(at, p, diagonals(at, diagonal(at, p)));
        x = either(at, x, over(at, p, differences(at, w)));
    }
    d->dx[0] = mm(at, mm(at, v, x), mH(at, v));
}

static const kl_factor eigh_rule = {1, 3, 2, eigh_forward, eigh_back};

static bool eigh(const char *at, kl_tensor *a, bool is_lower, kl_tensor **out)
{
    char batch[40];
    int order;
    if (kl_check_matrix("linalg.eigh", a, true) ||
        !kl_factor_apply(at, &eigh_rule, &a, (const int64_t[]){is_lower, 0, 0}, out))
        return false;
    int64_t bad = kl_info_first(at, out[2], out, 2, &order);
    if (bad >= 0)
        kl_fail(
            KL_ERR_NUMERIC,
            "linalg.eigh: %sThe algorithm failed to converge because the input matrix "
            "is ill-conditioned or has too many repeated eigenvalues (error code: %d).",
            kl_info_batch(out[2], bad, batch), order);
    return bad < 0;
}

kl_tensor *kl_linalg_eigh_at(const char *at, kl_tensor *a, bool is_lower, kl_tensor **v)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[3];
    bool ok = eigh(at, a, is_lower, out);
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    if (v)
        *v = out[1];
    return ok ? out[0] : NULL;
}

kl_tensor *kl_linalg_eigvalsh_at(const char *at, kl_tensor *a, bool is_lower)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[3];
    return kl_composed(&c, __func__, eigh(at, a, is_lower, out) ? out[0] : NULL);
}

/* ---- any square matrix ---- */

static kl_dtype complex_of(kl_tensor *a)
{
    return real_of(a) == KL_F64 ? KL_C128 : KL_C64;
}

static bool eig_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                        kl_tensor **out)
{
    kl_tensor *a = in[0];
    int64_t sizes[KL_LA_SIZES], n = kl_extent(a, -1);
    kl_lapack_sizes(a, 0, sizes);
    kl_lapack_out types[3] = {kl_lapack_like(a, complex_of(a), 1, n, 0),
                              kl_lapack_like(a, complex_of(a), 2, n, n),
                              kl_lapack_like(a, KL_I32, 0, 0, 0)};
    (void)opt;
    return kl_lapack_tensors(at, KL_LA_EIG, &a, 1, sizes, types, 3, out);
}

/* dA = V^-* [diag dw + (V* dV - V* V diag re(V* dV)) / E*] V*: vectors have length 1. */
static void eig_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *w = d->out[0], *v = d->out[1], *gw = d->dy[0], *gv = d->dy[1];
    kl_tensor *vh = mH(at, v), *x = gw ? diagonals(at, gw) : NULL;
    if (gv) {
        kl_tensor *p = mm(at, vh, gv), *re = kl_real_at(at, T(diagonal(at, p)));
        p = minus(at, p, mm(at, vh, mul(at, v, row(at, re))));
        p = over(at, p, conj_of(at, differences(at, w)));
        x = either(at, x, minus(at, p, diagonals(at, diagonal(at, p))));
    }
    kl_tensor *g = kl_solve_square(at, vh, mm(at, x, vh));
    d->dx[0] = g && !is_complex(d->in[0]) ? kl_real_at(at, T(g)) : g;
}

static const kl_factor eig_rule = {1, 3, 2, eig_forward, eig_back};

static bool eig(const char *at, const char *fn, kl_tensor *a, kl_tensor **out)
{
    if (kl_check_matrix(fn, a, true))
        return false;
    if (!kl_thread()->tracing) { /* LAPACK need not end on them */
        kl_tensor *fine = kl_isfinite_at(at, T(is_complex(a) ? kl_abs_at(at, T(a)) : a));
        if (!fine || kl_item_at(at, kl_all_at(at, fine, kl_axes(), false)) == 0) {
            kl_fail(KL_ERR_ARG,
                    "torch.linalg.eig: input tensor should not contain infs or NaNs.");
            return false;
        }
    }
    int order;
    if (!kl_factor_apply(at, &eig_rule, &a, no_options, out))
        return false;
    int64_t bad = kl_info_first(at, out[2], out, 2, &order);
    if (bad >= 0)
        kl_fail(KL_ERR_NUMERIC,
                "linalg.eig: the algorithm failed to converge (error code: %d).", order);
    return bad < 0;
}

kl_tensor *kl_linalg_eig_at(const char *at, kl_tensor *a, kl_tensor **v)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[3];
    bool ok = eig(at, "linalg.eig", a, out);
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    *v = out[1];
    return ok ? out[0] : NULL;
}

kl_tensor *kl_linalg_eigvals_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[3];
    return kl_composed(&c, __func__, eig(at, "linalg.eigvals", a, out) ? out[0] : NULL);
}
