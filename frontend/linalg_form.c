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

/* ---- L D L*, D of blocks of one and two ---- */

kl_tensor *kl_linalg_ldl_factor_ex_at(const char *at, kl_tensor *a, bool hermitian,
                                      kl_tensor **pivots, kl_tensor **info)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[3] = {NULL};
    bool ok = !kl_check_matrix("torch.linalg.ldl_factor_ex", a, true);
    if (ok) {
        int64_t sizes[KL_LA_SIZES], n = kl_extent(a, -1);
        kl_lapack_out types[3] = {kl_lapack_like(a, (kl_dtype)a->dtype, 2, n, n),
                                  kl_lapack_like(a, KL_I32, 1, n, 0),
                                  kl_lapack_like(a, KL_I32, 0, 0, 0)};
        kl_lapack_sizes(a, 0, sizes);
        sizes[KL_LA_FLAG0] = hermitian;
        kl_tensor *in = kl_detach_at(at, a);
        ok = in && kl_lapack_tensors(at, KL_LA_LDL, &in, 1, sizes, types, 3, out);
    }
    ok = kl_composed_all(&c, __func__, ok, out, 3);
    *pivots = out[1];
    *info = out[2];
    return ok ? out[0] : NULL;
}

kl_tensor *kl_linalg_ldl_factor_at(const char *at, kl_tensor *a, bool hermitian,
                                   kl_tensor **pivots)
{
    kl_call c = kl_compose(at);
    kl_tensor *info, *out[2];
    char batch[40];
    int order;
    out[0] = kl_linalg_ldl_factor_ex_at(at, a, hermitian, &out[1], &info);
    int64_t bad = out[0] ? kl_info_first(at, info, out, 2, &order) : -1;
    if (bad >= 0)
        kl_fail(KL_ERR_NUMERIC,
                "torch.linalg.ldl_factor: %sD[%d,%d] is zero: ldl_solve would divide by "
                "it. linalg.ldl_factor_ex gives what there is",
                kl_info_batch(info, bad, batch), order - 1, order - 1);
    bool ok = kl_composed_all(&c, __func__, out[0] && bad < 0, out, 2);
    *pivots = out[1];
    return ok ? out[0] : NULL;
}

static kl_status check_ldl(kl_tensor *ld, kl_tensor *pivots, kl_tensor *b)
{
    char text[200];
    KL_TRY(kl_check_matrix("torch.linalg.ldl_solve", ld, true));
    KL_TRY(kl_check_matrix("torch.linalg.ldl_solve", b, false));
    int64_t n = kl_extent(ld, -1);
    if (kl_extent(b, -2) != n)
        return kl_fail(KL_ERR_SHAPE,
                       "Incompatible matrix sizes for torch.linalg.ldl_solve: each A "
                       "matrix is %lld by %lld but each b matrix is %lld by %lld",
                       (long long)n, (long long)n, (long long)kl_extent(b, -2),
                       (long long)kl_extent(b, -1));
    if (!pivots || !kl_is_int((kl_dtype)pivots->dtype))
        return kl_fail(KL_ERR_DTYPE,
                       "torch.linalg.ldl_solve: Expected pivots to be integers. Got %s",
                       pivots ? kl_dtypes[pivots->dtype].scalar : "NULL");
    if (pivots->rank != ld->rank - 1 ||
        memcmp(kl_t_shape(pivots), kl_t_shape(ld), pivots->rank * sizeof(int64_t)) != 0)
        return kl_fail(KL_ERR_SHAPE,
                       "torch.linalg.ldl_solve: Expected LD.shape[:-1] and pivots.shape "
                       "to be the same, but got pivots with shape %s instead",
                       kl_ints_text(kl_shape_of(pivots), text, sizeof text));
    if (ld->dtype != b->dtype)
        return kl_fail(KL_ERR_DTYPE,
                       "torch.linalg.ldl_solve: Expected LD and B to have the same dtype, "
                       "but found LD of type %s and B of type %s instead",
                       kl_dtypes[ld->dtype].scalar, kl_dtypes[b->dtype].scalar);
    return KL_OK;
}

kl_tensor *kl_linalg_ldl_solve_at(const char *at, kl_tensor *ld, kl_tensor *pivots,
                                  kl_tensor *b, bool hermitian)
{
    kl_call c = kl_compose(at);
    kl_tensor *x = NULL;
    if (check_ldl(ld, pivots, b) || !kl_join_batches(at, &ld, &b))
        return kl_composed(&c, NULL, NULL);
    kl_ints shape = kl_shape_of(ld);
    shape.n--;
    kl_tensor *in[3] = {kl_detach_at(at, ld),
                        kl_to_at(at, kl_expand_at(at, pivots, shape), KL_I32),
                        kl_detach_at(at, b)};
    int64_t sizes[KL_LA_SIZES], n = kl_extent(b, -2), k = kl_extent(b, -1);
    kl_lapack_sizes(ld, k, sizes);
    sizes[KL_LA_FLAG0] = hermitian;
    kl_lapack_out type = kl_lapack_like(b, (kl_dtype)b->dtype, 2, n, k);
    bool ok = in[0] && in[1] && in[2] &&
              kl_lapack_tensors(at, KL_LA_LDL_SOLVE, in, 3, sizes, &type, 1, &x);
    return kl_composed(&c, __func__, ok ? x : NULL);
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
