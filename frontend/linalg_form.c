/* linalg_form.c: what is composed of the factorizations: LAPACK's own forms of them under
 * PyTorch's names, polar forms, square roots, and factorizations of low rank by random
 * projections.
 *
 *   kl_linalg_polar(A)  ->  U S V* = svd(A): U V*, V S V*
 *
 * Reference: Halko, Martinsson and Tropp, "Finding structure with randomness" (2011),
 * algorithms 4.4 and 5.1. */
#include "factor.h"

/* V diag(s) V* */
static kl_tensor *spectral(const char *at, kl_tensor *v, kl_tensor *s)
{
    s = s && v ? kl_to_at(at, row(at, s), kl_dtype_of(v)) : NULL;
    return mm(at, mul(at, v, s), mH(at, v));
}

/* U with orthonormal columns and *h, positive semidefinite: A = U H, for A [.., m, n] of
 * m >= n. */
kl_tensor *kl_linalg_polar_at(const char *at, kl_tensor *a, kl_tensor **h)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[2] = {NULL}, *s, *vh;
    bool ok = !kl_check_matrix("linalg.polar", a, false);
    if (ok && kl_extent(a, -2) < kl_extent(a, -1)) {
        kl_fail(
            KL_ERR_SHAPE,
            "linalg.polar: expected A.shape[-2] >= A.shape[-1], but got %lld and %lld",
            (long long)kl_extent(a, -2), (long long)kl_extent(a, -1));
        ok = false;
    }
    kl_tensor *u = ok ? kl_linalg_svd_at(at, a, false, &s, &vh) : NULL;
    out[0] = u ? mm(at, u, vh) : NULL;
    out[1] = u ? spectral(at, mH(at, vh), s) : NULL;
    ok = kl_composed_all(&c, __func__, out[0] && out[1], out, 2);
    *h = out[1];
    return ok ? out[0] : NULL;
}

/* The positive definite X of X X = A, of whose A the lower triangle is read. */
kl_tensor *kl_linalg_matrix_sqrth_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    kl_tensor *v, *w = kl_check_matrix("linalg.matrix_sqrth", a, true)
                           ? NULL
                           : kl_linalg_eigh_at(at, a, true, &v);
    return kl_composed(&c, __func__, w ? spectral(at, v, kl_sqrt_at(at, T(w))) : NULL);
}

/* Q times other, or Q* with transpose, for the Q of m x m that reflectors a [.., m, k]
 * and tau [.., k] stand for; left false: other times it. */
kl_tensor *kl_ormqr_at(const char *at, kl_tensor *a, kl_tensor *tau, kl_tensor *other,
                       bool left, bool transpose)
{
    kl_call c = kl_compose(at);
    if (kl_check_matrix("torch.ormqr", a, false) || !tau || !other)
        return kl_composed(&c, NULL, NULL);
    int64_t m = kl_extent(a, -2), k = kl_extent(tau, -1);
    if (kl_rank(other) < 2 || kl_extent(other, left ? -2 : -1) != m) {
        kl_fail(KL_ERR_SHAPE, left ? "torch.ormqr: other.shape[-2] must be equal to "
                                     "input.shape[-2]"
                                   : "torch.ormqr: other.shape[-1] must be equal to "
                                     "input.shape[-2]");
        return kl_composed(&c, NULL, NULL);
    }
    if (k > kl_extent(a, -1)) {
        kl_fail(KL_ERR_SHAPE, "torch.ormqr: tau.shape[-1] must be less than or equal to "
                              "input.shape[-1]");
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *v = kl_pad_at(at, part(at, a, -1, 0, k), kl_shape(0, m - k), kl_arg_d(0));
    kl_tensor *q = v ? kl_linalg_householder_product_at(at, v, tau) : NULL;
    q = transpose ? mH(at, q) : q;
    return kl_composed(&c, __func__, left ? mm(at, q, other) : mm(at, other, q));
}

/* ---- low rank ---- */

/* Columns that nearly span a's, from q random ones, sharpened niter times. */
static kl_tensor *span(const char *at, kl_tensor *a, int64_t q, int64_t niter)
{
    kl_dtype real = real_of(a);
    kl_ints shape = kl_shape(kl_extent(a, -1), q);
    kl_tensor *r = kl_randn_at(at, shape, real), *unused;
    r = is_complex(a) ? kl_complex_at(at, r, kl_randn_at(at, shape, real)) : r;
    kl_tensor *x = r ? kl_linalg_qr_at(at, mm(at, a, r), "reduced", &unused) : NULL;
    for (int64_t i = 0; i < niter && x; i++) {
        x = kl_linalg_qr_at(at, mm(at, mH(at, a), x), "reduced", &unused);
        x = x ? kl_linalg_qr_at(at, mm(at, a, x), "reduced", &unused) : NULL;
    }
    return x;
}

static bool low_rank(const char *at, kl_tensor *a, int64_t q, int64_t niter,
                     kl_tensor **out)
{
    bool wide = kl_extent(a, -2) < kl_extent(a, -1);
    kl_tensor *b = wide ? mH(at, a) : a, *x = span(at, b, q, niter), *s, *vh;
    kl_tensor *u = x ? kl_linalg_svd_at(at, mm(at, mH(at, x), b), false, &s, &vh) : NULL;
    u = mm(at, x, u);
    if (!u)
        return false;
    out[0] = wide ? mH(at, vh) : u;
    out[1] = s;
    out[2] = wide ? u : mH(at, vh);
    return out[0] && out[2];
}

static bool rank_fits(const char *fn, kl_tensor *a, int64_t q, int64_t niter)
{
    if (kl_check_matrix(fn, a, false))
        return false;
    int64_t m = kl_extent(a, -2), n = kl_extent(a, -1);
    if (q < 0 || q > KL_MIN(m, n)) {
        kl_fail(
            KL_ERR_ARG,
            "q(=%lld) must be non-negative integer and not greater than min(m, n)=%lld",
            (long long)q, (long long)KL_MIN(m, n));
        return false;
    }
    if (niter < 0)
        kl_fail(KL_ERR_ARG, "niter(=%lld) must be non-negative integer",
                (long long)niter);
    return niter >= 0;
}

/* U [.., m, q], s, V [.., n, q] into out: nearly the largest q singular values of a -
 * mean; mean NULL: of a. */
bool kl_svd_lowrank_at(const char *at, kl_tensor *a, int64_t q, int64_t niter,
                       kl_tensor *mean, kl_tensor **out)
{
    kl_call c = kl_compose(at);
    bool ok = rank_fits("svd_lowrank", a, q, niter);
    a = ok && mean ? minus(at, a, mean) : a;
    return kl_composed_all(&c, __func__, ok && a && low_rank(at, a, q, niter, out), out,
                           3);
}

/* The same of a, with its columns' means taken off where center. */
bool kl_pca_lowrank_at(const char *at, kl_tensor *a, int64_t q, bool center,
                       int64_t niter, kl_tensor **out)
{
    kl_call c = kl_compose(at);
    bool ok = rank_fits("pca_lowrank", a, q, niter);
    a = ok && center ? minus(at, a, kl_mean_at(at, a, kl_axes(-2), true)) : a;
    return kl_composed_all(&c, __func__, ok && a && low_rank(at, a, q, niter, out), out,
                           3);
}
