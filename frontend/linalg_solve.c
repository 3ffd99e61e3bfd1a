/* linalg_solve.c: systems of equations, inverses and determinants of kiln/linalg.h:
 * compositions of LU, triangular solves and singular values, with derivatives where the
 * composition's own would be dearer or would fail (references: linalg_factor.c).
 *
 *   solve(A, B):  P L U = A, X = U^-1 (L^-1 (P^T B));   dB = A^-* dX, dA = -dB X* */
#include "factor.h"

static const int64_t no_options[KL_FACTOR_OPT] = {0};

/* ---- triangular ---- */

/* opt: upper, left, unit diagonal. */
static bool triangular_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                               kl_tensor **out)
{
    int64_t sizes[KL_LA_SIZES], x = kl_extent(in[1], -2), y = kl_extent(in[1], -1);
    kl_lapack_sizes(in[0], opt[1] ? y : x, sizes);
    sizes[KL_LA_FLAG0] = opt[0];
    sizes[KL_LA_FLAG1] = opt[2];
    sizes[KL_LA_FLAG2] = opt[1];
    kl_lapack_out type = kl_lapack_like(in[1], (kl_dtype)in[1]->dtype, 2, x, y);
    return kl_lapack_tensors(at, KL_LA_TRIANGULAR, in, 2, sizes, &type, 1, out);
}

static void triangular_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *x = d->out[0];
    bool is_upper = d->opt[0], left = d->opt[1], unit = d->opt[2];
    kl_tensor *gb = kl_triangular(at, mH(at, d->in[0]), d->dy[0], !is_upper, left, unit);
    kl_tensor *ga = left ? mm(at, gb, mH(at, x)) : mm(at, mH(at, x), gb);
    ga = scaled(at, ga, -1);
    d->dx[0] = is_upper ? upper(at, ga, unit) : lower(at, ga, unit ? -1 : 0);
    d->dx[1] = gb;
}

static const kl_factor triangular_rule = {2, 1, 1, triangular_forward, triangular_back};

bool kl_join_batches(const char *at, kl_tensor **a, kl_tensor **b)
{
    int64_t shape[KL_MAX_RANK];
    int rank;
    kl_tensor *x[2] = {*a, *b};
    if (!*a || !*b ||
        kl_broadcast_shape("linalg.solve", (*a)->rank - 2, kl_t_shape(*a), (*b)->rank - 2,
                           kl_t_shape(*b), &rank, shape))
        return false;
    for (int i = 0; i < 2; i++) {
        kl_ints s = kl_ints_of((size_t)rank, shape);
        s.v[s.n++] = kl_extent(x[i], -2);
        s.v[s.n++] = kl_extent(x[i], -1);
        x[i] = kl_expand_at(at, x[i], s);
    }
    *a = x[0];
    *b = x[1];
    return x[0] && x[1];
}

kl_tensor *kl_triangular(const char *at, kl_tensor *a, kl_tensor *b, bool is_upper,
                         bool left, bool unit)
{
    kl_tensor *x = NULL;
    if (!kl_join_batches(at, &a, &b))
        return NULL;
    kl_tensor *in[2] = {a, b};
    return kl_factor_apply(at, &triangular_rule, in,
                           (const int64_t[]){is_upper, left, unit}, &x)
               ? x
               : NULL;
}

static kl_status check_pair(const char *fn, kl_tensor *a, kl_tensor *b, bool left)
{
    KL_TRY(kl_check_matrix(fn, a, true));
    if (!b)
        return KL_ERR_ARG;
    if (b->dtype != a->dtype)
        return kl_fail(KL_ERR_DTYPE,
                       "%s: Expected A and B to have the same dtype, but found A of type "
                       "%s and B of type %s instead",
                       fn, kl_dtypes[a->dtype].scalar, kl_dtypes[b->dtype].scalar);
    if (kl_rank(b) < 2)
        return kl_fail(KL_ERR_SHAPE,
                       "%s: The input tensor B must have at least 2 dimensions.", fn);
    if (kl_extent(b, left ? -2 : -1) != kl_extent(a, -1))
        return kl_fail(
            KL_ERR_SHAPE,
            "%s: Incompatible shapes of A and B for the equation %s (%lldx%lld "
            "and %lldx%lld)",
            fn, left ? "AX = B" : "XA = B", (long long)kl_extent(a, -2),
            (long long)kl_extent(a, -1), (long long)kl_extent(b, -2),
            (long long)kl_extent(b, -1));
    return KL_OK;
}

kl_tensor *kl_linalg_solve_triangular_at(const char *at, kl_tensor *a, kl_tensor *b,
                                         bool is_upper, bool left, bool unit)
{
    kl_call c = kl_compose(at);
    if (check_pair("linalg.solve_triangular", a, b, left))
        return kl_composed(&c, NULL, NULL);
    return kl_composed(&c, __func__, kl_triangular(at, a, b, is_upper, left, unit));
}

/* in: B, L; opt: upper. */
static bool cholesky_solve_forward(const char *at, kl_tensor *const *in,
                                   const int64_t *opt, kl_tensor **out)
{
    kl_tensor *b = in[0], *l = in[1], *h = mH(at, l);
    b = kl_triangular(at, opt[0] ? h : l, b, false, true, false);
    out[0] = kl_triangular(at, opt[0] ? l : h, b, true, true, false);
    return out[0] != NULL;
}

/* Of A = L L* as a function of all of L: dA = -dB X*. */
static void cholesky_solve_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *l = d->in[1], *gb = kl_cholesky_solve_at(at, d->dy[0], l, d->opt[0]);
    kl_tensor *x = mm(at, gb, mH(at, d->out[0]));
    x = scaled(at, plus(at, x, mH(at, x)), -1);
    d->dx[0] = gb;
    d->dx[1] = d->opt[0] ? mm(at, l, x) : mm(at, x, l);
}

static const kl_factor cholesky_solve_rule = {2, 1, 1, cholesky_solve_forward,
                                              cholesky_solve_back};

kl_tensor *kl_cholesky_solve_at(const char *at, kl_tensor *b, kl_tensor *l, bool is_upper)
{
    kl_call c = kl_compose(at);
    kl_tensor *x;
    if (b && b->rank < 2) {
        kl_fail(KL_ERR_SHAPE,
                "b should have at least 2 dimensions, but has %d dimensions "
                "instead",
                b->rank);
        return kl_composed(&c, NULL, NULL);
    }
    if (check_pair("cholesky_solve", l, b, true) || !kl_join_batches(at, &l, &b))
        return kl_composed(&c, NULL, NULL);
    bool ok = kl_factor_apply(at, &cholesky_solve_rule, (kl_tensor *[]){b, l},
                              (const int64_t[]){is_upper, 0, 0}, &x);
    return kl_composed(&c, __func__, ok ? x : NULL);
}

kl_tensor *kl_cholesky_inverse_at(const char *at, kl_tensor *l, bool is_upper)
{
    kl_call c = kl_compose(at);
    if (kl_check_matrix("cholesky_inverse", l, true))
        return kl_composed(&c, NULL, NULL);
    return kl_composed(&c, __func__,
                       kl_cholesky_solve_at(at, kl_identity_like(at, l), l, is_upper));
}

/* ---- LU ---- */

/* The rows of b in that order. */
static kl_tensor *rows_in(const char *at, kl_tensor *b, kl_tensor *order)
{
    kl_tensor *index = column(at, order);
    return index && b ? kl_gather_at(at, b, -2, kl_expand_at(at, index, kl_shape_of(b)))
                      : NULL;
}

/* A X = B by its factorization; differentiable in lu and b. */
static kl_tensor *by_lu(const char *at, kl_tensor *lu, kl_tensor *pivots, kl_tensor *b)
{
    kl_tensor *order = kl_lu_order_at(at, pivots, kl_extent(lu, -1));
    kl_tensor *as_matrix = column(at, order);
    if (!as_matrix || !kl_join_batches(at, &as_matrix, &b))
        return NULL;
    kl_tensor *x = rows_in(at, b, kl_squeeze_at(at, as_matrix, kl_axes(-1)));
    x = kl_triangular(at, lu, x, false, true, true);
    return kl_triangular(at, lu, x, true, true, false);
}

/* A* X = B: A* = U* L* P^T. */
static kl_tensor *by_lu_adjoint(const char *at, kl_tensor *lu, kl_tensor *pivots,
                                kl_tensor *b)
{
    kl_tensor *h = mH(at, lu), *p;
    kl_tensor *x = kl_triangular(at, h, b, false, true, false);
    x = kl_triangular(at, h, x, true, true, true);
    p = kl_lu_permutation_at(at, pivots, kl_extent(lu, -1), kl_dtype_of(lu));
    return mm(at, p, x);
}

kl_tensor *kl_linalg_lu_solve_at(const char *at, kl_tensor *lu, kl_tensor *pivots,
                                 kl_tensor *b, bool left, bool adjoint)
{
    kl_call c = kl_compose(at);
    kl_tensor *x;
    if (check_pair("linalg.lu_solve", lu, b, left))
        return kl_composed(&c, NULL, NULL);
    if (!left) /* X A = B: A* X* = B* */
        b = mH(at, b), adjoint = !adjoint;
    x = adjoint ? by_lu_adjoint(at, lu, pivots, b) : by_lu(at, lu, pivots, b);
    return kl_composed(&c, __func__, left ? x : mH(at, x));
}

/* A X = B: X, LU, pivots, info. */
static bool solve_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                          kl_tensor **out)
{
    (void)opt;
    out[1] = kl_linalg_lu_factor_ex_at(at, in[0], &out[2], &out[3]);
    out[0] = out[1] ? by_lu(at, out[1], out[2], in[1]) : NULL;
    return out[0] != NULL;
}

static void solve_back(const kl_diff *d)
{
    const char *at = d->at;
    /* recorded: through A itself; else its factorization is at hand */
    kl_tensor *gb = kl_grad_enabled() ? kl_solve_square(at, mH(at, d->in[0]), d->dy[0])
                                      : by_lu_adjoint(at, d->out[1], d->out[2], d->dy[0]);
    d->dx[1] = gb;
    d->dx[0] = scaled(at, mm(at, gb, mH(at, d->out[0])), -1);
}

static const kl_factor solve_rule = {2, 4, 1, solve_forward, solve_back};

static bool solve(const char *at, kl_tensor *a, kl_tensor *b, kl_tensor **out)
{
    if (!kl_join_batches(at, &a, &b))
        return false;
    kl_tensor *in[2] = {a, b};
    return kl_factor_apply(at, &solve_rule, in, no_options, out);
}

kl_tensor *kl_solve_square(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_tensor *out[4];
    return solve(at, a, b, out) ? out[0] : NULL;
}

/* One dimension, or a batch of vectors where b has a's batch without the last one. */
static bool is_vector(kl_tensor *a, kl_tensor *b)
{
    bool same = kl_rank(b) == kl_rank(a) - 1;
    for (int i = 0; same && i < kl_rank(b); i++)
        same = kl_extent(b, i) == kl_extent(a, i);
    return kl_rank(b) == 1 || same;
}

kl_tensor *kl_linalg_solve_ex_at(const char *at, kl_tensor *a, kl_tensor *b, bool left,
                                 kl_tensor **info)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[4] = {NULL}, *x;
    bool ok = !kl_check_matrix("linalg.solve", a, true) && b,
         vector = ok && is_vector(a, b);
    if (vector)
        b = column(at, b);
    ok = ok && !check_pair("linalg.solve", a, b, left || vector);
    if (ok && left)
        ok = solve(at, a, b, out);
    else if (ok)
        ok = solve(at, mT(at, a), mT(at, b), out);
    x = ok && !left ? mT(at, out[0]) : out[0];
    kl_tensor *both[2] = {ok && vector ? kl_squeeze_at(at, x, kl_axes(-1)) : x, out[3]};
    ok = kl_composed_all(&c, __func__, ok, both, 2);
    *info = both[1];
    return ok ? both[0] : NULL;
}

kl_tensor *kl_linalg_solve_at(const char *at, kl_tensor *a, kl_tensor *b, bool left)
{
    kl_call c = kl_compose(at);
    kl_tensor *info, *x = kl_linalg_solve_ex_at(at, a, b, left, &info);
    char batch[40];
    int order;
    int64_t bad = x ? kl_info_first(at, info, &x, 1, &order) : -1;
    if (bad >= 0)
        kl_fail(KL_ERR_NUMERIC,
                "torch.linalg.solve: %sThe solver failed because the input matrix is "
                "singular.",
                kl_info_batch(info, bad, batch));
    return kl_composed(&c, __func__, bad < 0 ? x : NULL);
}

/* ---- inverse ---- */

static bool inverse_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                            kl_tensor **out)
{
    kl_tensor *pivots, *lu = kl_linalg_lu_factor_ex_at(at, in[0], &pivots, &out[1]);
    (void)opt;
    out[0] = lu ? by_lu(at, lu, pivots, kl_identity_like(at, lu)) : NULL;
    return out[0] != NULL;
}

static void inverse_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *h = mH(at, d->out[0]);
    d->dx[0] = scaled(at, mm(at, h, mm(at, d->dy[0], h)), -1);
}

static const kl_factor inverse_rule = {1, 2, 1, inverse_forward, inverse_back};

kl_tensor *kl_linalg_inv_ex_at(const char *at, kl_tensor *a, kl_tensor **info)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[2];
    bool ok = !kl_check_matrix("linalg.inv", a, true) &&
              kl_factor_apply(at, &inverse_rule, &a, no_options, out);
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    *info = out[1];
    return ok ? out[0] : NULL;
}

kl_tensor *kl_linalg_inv_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    kl_tensor *info, *x = kl_linalg_inv_ex_at(at, a, &info);
    char batch[40];
    int order;
    int64_t bad = x ? kl_info_first(at, info, &x, 1, &order) : -1;
    if (bad >= 0)
        kl_fail(
            KL_ERR_NUMERIC,
            "linalg.inv: %sThe diagonal element %d is zero, the inversion could not be "
            "completed because the input matrix is singular.",
            kl_info_batch(info, bad, batch), order);
    return kl_composed(&c, __func__, bad < 0 ? x : NULL);
}

/* ---- determinants ---- */

/* 1 or -1: how the exchanges turn the order. */
static kl_tensor *parity(const char *at, kl_tensor *pivots, kl_dtype dt)
{
    int64_t n = kl_extent(pivots, -1);
    kl_tensor *own = kl_arange_at(at, kl_arg_i(1), kl_arg_i(n + 1), kl_arg_i(1), KL_I32);
    kl_tensor *moved = own ? kl_ne_at(at, T(pivots), T(own)) : NULL;
    kl_tensor *odd =
        moved ? kl_mod_at(at, T(kl_sum_at(at, moved, kl_axes(-1), false)), kl_arg_i(2))
              : NULL;
    return odd ? kl_to_at(
                     at,
                     kl_sub_at(at, kl_arg_i(1), T(kl_mul_at(at, T(odd), kl_arg_i(2)))),
                     dt)
               : NULL;
}

/* det, LU, pivots */
static bool det_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                        kl_tensor **out)
{
    kl_tensor *info;
    (void)opt;
    out[1] = kl_linalg_lu_factor_ex_at(at, in[0], &out[2], &info);
    kl_tensor *p =
        out[1] ? kl_prod_at(at, diagonal(at, out[1]), kl_axes(-1), false) : NULL;
    out[0] = p ? mul(at, p, parity(at, out[2], kl_dtype_of(p))) : NULL;
    return out[0] != NULL;
}

/* A zero pivot as a small one, so that the adjugate of a singular matrix comes out. */
static kl_tensor *without_zeros(const char *at, kl_tensor *lu)
{
    double eps = real_of(lu) == KL_F64 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
    kl_tensor *zero = kl_eq_at(at, T(diagonal(at, lu)), kl_arg_i(0));
    kl_tensor *small = zero ? scaled(at, kl_to_at(at, zero, kl_dtype_of(lu)), eps) : NULL;
    return plus(at, lu, diagonals(at, small));
}

/* dA = A^-* conj(det) ddet */
static void det_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *g = mul(at, d->dy[0], conj_of(at, d->out[0]));
    g = mul(at, column(at, column(at, g)), kl_identity_like(at, d->in[0]));
    d->dx[0] = kl_grad_enabled()
                   ? kl_solve_square(at, mH(at, d->in[0]), g)
                   : by_lu_adjoint(at, without_zeros(at, d->out[1]), d->out[2], g);
}

static const kl_factor det_rule = {1, 3, 1, det_forward, det_back};

kl_tensor *kl_linalg_det_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[3];
    bool ok = !kl_check_matrix("linalg.det", a, true) &&
              kl_factor_apply(at, &det_rule, &a, no_options, out);
    return kl_composed(&c, __func__, ok ? out[0] : NULL);
}

/* sign, log|det|, LU, pivots */
static bool slogdet_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                            kl_tensor **out)
{
    kl_tensor *info;
    (void)opt;
    out[2] = kl_linalg_lu_factor_ex_at(at, in[0], &out[3], &info);
    kl_tensor *u = out[2] ? diagonal(at, out[2]) : NULL;
    kl_tensor *size = u ? kl_abs_at(at, T(u)) : NULL;
    kl_tensor *unit = u && is_complex(u) ? over(at, u, size)
                      : u                ? kl_sign_at(at, T(u))
                                         : NULL;
    kl_tensor *p = unit ? kl_prod_at(at, unit, kl_axes(-1), false) : NULL;
    out[0] = p ? mul(at, p, parity(at, out[3], kl_dtype_of(p))) : NULL;
    out[1] = size ? kl_sum_at(at, kl_log_at(at, T(size)), kl_axes(-1), false) : NULL;
    return out[0] && out[1];
}

/* dA = A^-* (dlog - i Im(conj(dsign) sign)) */
static void slogdet_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *g = d->dy[1], *a = d->in[0];
    if (is_complex(a)) {
        kl_tensor *turn =
            d->dy[0] ? kl_imag_at(at, T(mul(at, conj_of(at, d->dy[0]), d->out[0])))
                     : scaled(at, g, 0);
        g = kl_complex_at(at, g ? g : scaled(at, turn, 0), scaled(at, turn, -1));
    }
    if (!g) /* a real sign has no derivative */
        return;
    g = mul(at, column(at, column(at, g)), kl_identity_like(at, a));
    d->dx[0] = kl_grad_enabled() ? kl_solve_square(at, mH(at, a), g)
                                 : by_lu_adjoint(at, d->out[2], d->out[3], g);
}

static const kl_factor slogdet_rule = {1, 4, 2, slogdet_forward, slogdet_back};

static bool slogdet(const char *at, const char *fn, kl_tensor *a, kl_tensor **out)
{
    return !kl_check_matrix(fn, a, true) &&
           kl_factor_apply(at, &slogdet_rule, &a, no_options, out);
}

kl_tensor *kl_linalg_slogdet_at(const char *at, kl_tensor *a, kl_tensor **logabsdet)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[4];
    bool ok = slogdet(at, "linalg.slogdet", a, out);
    ok = kl_composed_all(&c, __func__, ok, out, 2);
    *logabsdet = out[1];
    return ok ? out[0] : NULL;
}

/* NaN where the determinant is negative. */
kl_tensor *kl_logdet_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    kl_tensor *out[4];
    if (!slogdet(at, "logdet", a, out))
        return kl_composed(&c, NULL, NULL);
    if (is_complex(a))
        return kl_composed(&c, __func__, plus(at, kl_log_at(at, T(out[0])), out[1]));
    kl_tensor *bad = kl_eq_at(at, T(out[0]), kl_arg_i(-1));
    return kl_composed(&c, __func__,
                       bad ? kl_where_at(at, bad, kl_arg_d(NAN), T(out[1])) : NULL);
}
