/* linalg_norm.c: norms, rank, pseudo-inverse, least squares and the exponential of
 * kiln/linalg.h, composed of singular values, eigenvalues, solves and products.
 *
 *   pinv(A) = V diag(1 / s, where s is above the tolerance) U*
 *
 * Derivative of pinv: Golub and Pereyra (1973). */
#include "factor.h"

static double epsilon(kl_tensor *a)
{
    return real_of(a) == KL_F64 ? 2.220446049250313e-16 : 1.1920928955078125e-07;
}

/* ---- norms ---- */

typedef struct matrix_ord { /* by name, or by number */
    bool fro, nuc;
    double ord;
} matrix_ord;

static kl_tensor *modulus(const char *at, kl_tensor *a)
{
    return a ? kl_abs_at(at, T(a)) : NULL;
}

/* Of the last two dimensions. */
static kl_tensor *norm_of(const char *at, kl_tensor *a, const matrix_ord *o)
{
    double size = fabs(o->ord);
    kl_tensor *s;
    if (o->fro)
        return kl_norm_at(at, a, 2, kl_axes(-2, -1), false);
    if (o->nuc) {
        s = kl_linalg_svdvals_at(at, a);
        return s ? kl_sum_at(at, s, kl_axes(-1), false) : NULL;
    }
    if (size == 2) {
        s = kl_linalg_svdvals_at(at, a);
    } else { /* sums of columns for 1, of rows for infinity */
        s = modulus(at, a);
        s = s ? kl_sum_at(at, s, kl_axes(size == 1 ? -2 : -1), false) : NULL;
    }
    if (!s)
        return NULL;
    return o->ord > 0 ? kl_amax_at(at, s, kl_axes(-1), false)
                      : kl_amin_at(at, s, kl_axes(-1), false);
}

static kl_status matrix_ord_of(const char *name, double ord, matrix_ord *o)
{
    *o = (matrix_ord){.fro = name && strcmp(name, "fro") == 0,
                      .nuc = name && strcmp(name, "nuc") == 0,
                      .ord = ord};
    if (name && !o->fro && !o->nuc)
        return kl_fail(KL_ERR_ARG, "linalg.matrix_norm: Order %s not supported.", name);
    if (!name && fabs(ord) != 1 && fabs(ord) != 2 && !isinf(ord))
        return kl_fail(KL_ERR_ARG, "linalg.matrix_norm: Order %g not supported.", ord);
    return KL_OK;
}

/* Half dtypes have sums, and no singular values. */
static kl_status check_norm(kl_tensor *a)
{
    bool half = a->dtype == KL_F16 || a->dtype == KL_BF16;
    if (half && a->rank >= 2)
        return KL_OK;
    return kl_check_matrix("linalg.matrix_norm", a, false);
}

kl_tensor *kl_linalg_matrix_norm_at(const char *at, kl_tensor *a, const char *name,
                                    double ord, kl_ints dims, bool keep)
{
    kl_call c = kl_compose(at);
    matrix_ord o;
    int x, y;
    kl_ints ones;
    if (dims.n == 0)
        dims = kl_axes(-2, -1);
    if (!a || check_norm(a) || matrix_ord_of(name, ord, &o) ||
        kl_dim_wrap(dims.v[0], a->rank, &x) || kl_dim_wrap(dims.v[1], a->rank, &y))
        return kl_composed(&c, NULL, NULL);
    if (dims.n != 2 || x == y) {
        kl_fail(KL_ERR_ARG, "linalg.matrix_norm: dims must be different and two, got %d",
                dims.n);
        return kl_composed(&c, NULL, NULL);
    }
    ones = kl_shape_of(a);
    ones.v[x] = ones.v[y] = 1;
    kl_tensor *m = kl_movedims_at(at, a, kl_axes(x, y), kl_axes(-2, -1));
    kl_tensor *r = m ? norm_of(at, m, &o) : NULL;
    return kl_composed(&c, __func__, r && keep ? kl_reshape_at(at, r, ones) : r);
}

/* torch.linalg.norm: of vectors unless the dimensions, or ord's name, say matrices. */
kl_tensor *kl_linalg_norm_at(const char *at, kl_tensor *a, const char *name, bool has_ord,
                             double ord, kl_ints dims, bool keep)
{
    kl_call c = kl_compose(at);
    kl_tensor *r;
    int n = dims.n ? dims.n : kl_rank(a);
    if (!name && !has_ord) {
        r = kl_norm_at(at, a, 2, dims, keep);
    } else if (!dims.n && n != 1 && n != 2) {
        kl_fail(
            KL_ERR_SHAPE,
            "linalg.norm: If dim is not specified but ord is, the input must be 1D or "
            "2D. Got %dD.",
            kl_rank(a));
        r = NULL;
    } else if (name || n == 2) {
        r = kl_linalg_matrix_norm_at(at, a, name, ord, dims, keep);
    } else {
        r = kl_norm_at(at, a, ord, dims, keep);
    }
    return kl_composed(&c, __func__, r);
}

/* ---- condition, rank ---- */

kl_tensor *kl_linalg_cond_at(const char *at, kl_tensor *a, const char *name, double ord)
{
    kl_call c = kl_compose(at);
    matrix_ord o;
    kl_tensor *r = NULL, *info;
    if (kl_check_matrix("linalg.cond", a, false) || matrix_ord_of(name, ord, &o))
        return kl_composed(&c, NULL, NULL);
    if (!name && fabs(ord) == 2) {
        kl_tensor *s = kl_linalg_svdvals_at(at, a);
        int64_t last = s ? kl_extent(s, -1) - 1 : 0;
        kl_tensor *most = s ? kl_select_at(at, s, -1, 0) : NULL;
        kl_tensor *least = s ? kl_select_at(at, s, -1, last) : NULL;
        r = ord > 0 ? over(at, most, least) : over(at, least, most);
    } else {
        kl_tensor *inverse = kl_linalg_inv_ex_at(at, a, &info);
        r = inverse ? mul(at, norm_of(at, a, &o), norm_of(at, inverse, &o)) : NULL;
        r = r ? kl_where_at(at, kl_ne_at(at, T(info), kl_arg_i(0)), kl_arg_d(INFINITY),
                            T(r))
              : NULL;
    }
    return kl_composed(&c, __func__, r);
}

/* max(atol, rtol * the largest), [.., 1]. Without either rtol is eps * max(m, n), with
 * atol alone 0. */
static kl_tensor *tolerance(const char *at, kl_tensor *a, kl_tensor *s, kl_arg atol,
                            kl_arg rtol)
{
    if (rtol.kind == KL_ARG_NONE)
        rtol = atol.kind != KL_ARG_NONE
                   ? kl_arg_d(0)
                   : kl_arg_d(epsilon(a) *
                              (double)KL_MAX(kl_extent(a, -1), kl_extent(a, -2)));
    if (atol.kind == KL_ARG_NONE)
        atol = kl_arg_d(0);
    kl_tensor *most = s ? kl_amax_at(at, s, kl_axes(-1), true) : NULL;
    if (rtol.kind == KL_ARG_TENSOR && rtol.t && rtol.t->rank)
        rtol = T(column(at, rtol.t));
    if (atol.kind == KL_ARG_TENSOR && atol.t && atol.t->rank)
        atol = T(column(at, atol.t));
    kl_tensor *scale = most ? kl_mul_at(at, T(most), rtol) : NULL;
    return scale ? kl_max_at(at, T(scale), atol) : NULL;
}

kl_tensor *kl_linalg_matrix_rank_at(const char *at, kl_tensor *a, kl_arg atol,
                                    kl_arg rtol, bool hermitian)
{
    kl_call c = kl_compose(at);
    if (kl_check_matrix("torch.linalg.matrix_rank", a, hermitian))
        return kl_composed(&c, NULL, NULL);
    a = kl_detach_at(at, a);
    kl_tensor *s, *r = NULL;
    if (kl_numel(a) == 0) {
        kl_ints batch = kl_shape_of(a);
        batch.n -= 2;
        return kl_composed(&c, __func__, kl_full_at(at, batch, kl_arg_i(0), KL_I64));
    }
    s = hermitian ? modulus(at, kl_linalg_eigvalsh_at(at, a, true))
                  : kl_linalg_svdvals_at(at, a);
    kl_tensor *tol = tolerance(at, a, s, atol, rtol);
    if (tol)
        r = kl_sum_at(at, kl_gt_at(at, T(s), T(tol)), kl_axes(-1), false);
    return kl_composed(&c, __func__, r);
}

/* ---- pseudo-inverse, least squares ---- */

/* in: A, atol, rtol; opt: Hermitian, atol given, rtol given. */
static bool pinv_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                         kl_tensor **out)
{
    kl_tensor *a = in[0], *u, *s, *vh, *v;
    kl_arg atol = opt[1] ? T(in[1]) : kl_arg_none(NULL);
    kl_arg rtol = opt[2] ? T(in[2]) : kl_arg_none(NULL);
    kl_tensor *size;
    if (opt[0]) {
        s = kl_linalg_eigh_at(at, a, true, &u);
        size = modulus(at, s);
        vh = mH(at, u);
    } else {
        u = kl_linalg_svd_at(at, a, false, &s, &vh);
        size = s;
    }
    kl_tensor *tol = tolerance(at, a, size, atol, rtol);
    kl_tensor *above = tol ? kl_gt_at(at, T(size), T(tol)) : NULL;
    kl_tensor *r =
        above ? kl_where_at(at, above, T(kl_reciprocal_at(at, T(s))), kl_arg_d(0)) : NULL;
    v = mH(at, vh);
    out[0] = mm(at, mul(at, v, row(at, r)), mH(at, u));
    return out[0] != NULL;
}

static kl_tensor *pinv_gradient(const char *at, kl_tensor *a, kl_tensor *p, kl_tensor *g)
{
    kl_tensor *ph = mH(at, p), *gh = mH(at, g), *k, *x, *r;
    if (kl_extent(a, -2) <= kl_extent(a, -1)) {
        k = mm(at, gh, p);
        x = mm(at, k, ph);
        r = minus(at, x, mH(at, mm(at, p, k)));
        r = minus(at, r, mm(at, mm(at, a, p), x));
        return plus(at, r, mm(at, mm(at, ph, p), minus(at, gh, mm(at, k, a))));
    }
    k = mm(at, p, gh);
    x = mm(at, ph, k);
    r = minus(at, x, mH(at, mm(at, k, p)));
    r = plus(at, r, mm(at, mm(at, minus(at, gh, mm(at, a, k)), p), ph));
    return minus(at, r, mm(at, mm(at, x, p), a));
}

static void pinv_back(const kl_diff *d)
{
    d->dx[0] = pinv_gradient(d->at, d->in[0], d->out[0], d->dy[0]);
}

static const kl_factor pinv_rule = {3, 1, 1, pinv_forward, pinv_back};

static kl_tensor *as_tensor(const char *at, kl_arg v, kl_tensor *a)
{
    return v.kind == KL_ARG_TENSOR
               ? kl_to_at(at, kl_detach_at(at, v.t), real_of(a))
               : kl_scalar_at(at, v.kind ? v : kl_arg_d(0), real_of(a));
}

kl_tensor *kl_linalg_pinv_at(const char *at, kl_tensor *a, kl_arg atol, kl_arg rtol,
                             bool hermitian)
{
    kl_call c = kl_compose(at);
    kl_tensor *r = NULL;
    if (kl_check_matrix("linalg.pinv", a, hermitian))
        return kl_composed(&c, NULL, NULL);
    if (kl_numel(a) == 0) {
        kl_tensor *t = mT(at, a);
        return kl_composed(&c, __func__, t ? kl_clone_at(at, t) : NULL);
    }
    kl_tensor *in[3] = {a, as_tensor(at, atol, a), as_tensor(at, rtol, a)};
    const int64_t opt[KL_FACTOR_OPT] = {hermitian, atol.kind != KL_ARG_NONE,
                                        rtol.kind != KL_ARG_NONE};
    bool ok = in[1] && in[2] && kl_factor_apply(at, &pinv_rule, in, opt, &r);
    return kl_composed(&c, __func__, ok ? r : NULL);
}

/* opt 0: rcond's bits. X, rank, singular values, info. */
static bool lstsq_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                          kl_tensor **out)
{
    int64_t sizes[KL_LA_SIZES], m = kl_extent(in[0], -2), n = kl_extent(in[0], -1);
    int64_t k = kl_extent(in[1], -1), most = KL_MAX(m, n);
    double rcond;
    memcpy(&rcond, &opt[0], sizeof rcond);
    kl_lapack_sizes(in[0], k, sizes);
    kl_tensor *b = kl_pad_at(at, in[1], kl_shape(0, 0, 0, most - m), kl_arg_d(0));
    kl_tensor *small = kl_tensor_copy_at(at, &rcond, KL_F64, kl_shape(1));
    kl_lapack_out types[4] = {kl_lapack_like(in[0], kl_dtype_of(in[0]), 2, most, k),
                              kl_lapack_like(in[0], KL_I32, 0, 0, 0),
                              kl_lapack_like(in[0], real_of(in[0]), 1, KL_MIN(m, n), 0),
                              kl_lapack_like(in[0], KL_I32, 0, 0, 0)};
    if (!b || !small ||
        !kl_lapack_tensors(at, KL_LA_LSTSQ, (kl_tensor *[]){in[0], b, small}, 3, sizes,
                           types, 4, out))
        return false;
    out[0] = part(at, out[0], -2, 0, n);
    return out[0] != NULL;
}

/* X = pinv(A) B */
static void lstsq_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *a = d->in[0], *b = d->in[1];
    kl_tensor *p = kl_linalg_pinv_at(at, a, kl_arg_none(NULL), kl_arg_none(NULL), false);
    d->dx[1] = mm(at, mH(at, p), d->dy[0]);
    d->dx[0] = p ? pinv_gradient(at, a, p, mm(at, d->dy[0], mH(at, b))) : NULL;
}

static const kl_factor lstsq_rule = {2, 4, 1, lstsq_forward, lstsq_back};

/* Squared lengths of what is left, where every system has more equations than unknowns
 * and full rank. */
static kl_tensor *residuals(const char *at, kl_tensor *a, kl_tensor *b, kl_tensor *x,
                            kl_tensor *rank)
{
    int64_t m = kl_extent(a, -2), n = kl_extent(a, -1);
    kl_tensor *none = kl_zeros(kl_shape(0), real_of(a)), *full;
    full = m > n ? kl_eq_at(at, T(rank), kl_arg_i(n)) : NULL;
    if (!full || kl_thread()->tracing ||
        kl_item_at(at, kl_all_at(at, full, kl_axes(), false)) == 0)
        return none;
    kl_tensor *left = modulus(at, minus(at, b, mm(at, a, x)));
    return kl_sum_at(at, kl_square_at(at, T(left)), kl_axes(-2), false);
}

static kl_status check_lstsq(kl_tensor *a, kl_tensor *b, const char *driver)
{
    static const char *const drivers[] = {"gels", "gelsy", "gelsd", "gelss"};
    bool known = false;
    KL_TRY(kl_check_matrix("torch.linalg.lstsq", a, false));
    for (int i = 0; i < 4; i++)
        known = known || strcmp(driver, drivers[i]) == 0;
    if (!known)
        return kl_fail(KL_ERR_ARG,
                       "torch.linalg.lstsq: parameter `driver` should be one of "
                       "(gels, gelsy, gelsd, gelss)");
    if (!b || b->rank < 1)
        return kl_fail(KL_ERR_SHAPE,
                       "torch.linalg.lstsq: other must have at least 1 dimension.");
    if (kl_extent(b, b->rank == a->rank ? -2 : -1) != kl_extent(a, -2))
        return kl_fail(
            KL_ERR_SHAPE,
            b->rank == a->rank
                ? "torch.linalg.lstsq: input.size(-2) should match other.size(-2)"
                : "torch.linalg.lstsq: input.size(-2) should match other.size(-1)");
    if (a->dtype != b->dtype)
        return kl_fail(KL_ERR_DTYPE,
                       "torch.linalg.lstsq: Expected input and other to have "
                       "the same dtype, but got input's dtype %s and other's "
                       "dtype %s",
                       kl_dtypes[a->dtype].scalar, kl_dtypes[b->dtype].scalar);
    return KL_OK;
}

bool kl_linalg_lstsq_at(const char *at, kl_tensor *a, kl_tensor *b, double rcond,
                        const char *driver, kl_tensor **out)
{
    kl_call c = kl_compose(at);
    kl_tensor *r[4], *in[2];
    int64_t opt[KL_FACTOR_OPT] = {0};
    if (check_lstsq(a, b, driver))
        return kl_composed_all(&c, NULL, false, out, 4);
    bool vector = b->rank < a->rank;
    in[0] = a;
    in[1] = vector ? column(at, b) : b;
    if (rcond < 0)
        rcond = epsilon(a) * (double)KL_MAX(kl_extent(a, -1), kl_extent(a, -2));
    memcpy(opt, &rcond, sizeof rcond);
    bool ok = in[1] && kl_factor_apply(at, &lstsq_rule, in, opt, r);
    if (ok) {
        kl_tensor *rank = kl_to_at(at, r[1], KL_I64);
        bool values = driver[4] == 'd' || driver[4] == 's';
        out[0] = vector ? kl_squeeze_at(at, r[0], kl_axes(-1)) : r[0];
        out[1] = driver[4] == 'y' ? kl_zeros(kl_shape(0), real_of(a))
                                  : residuals(at, a, in[1], r[0], rank);
        out[2] = driver[4] ? rank : kl_zeros(kl_shape(0), KL_I64);
        out[3] = values ? r[2] : kl_zeros(kl_shape(0), real_of(a));
    }
    return kl_composed_all(&c, __func__, ok, out, 4);
}

/* ---- the exponential ---- */

static void squarings_left(kl_tensor *const *in, kl_tensor **out, void *at)
{
    out[0] = kl_gt_at(at, T(in[1]), kl_arg_d(0));
}

static void square_once(kl_tensor *const *in, kl_tensor **out, void *at)
{
    out[0] = mm(at, in[0], in[0]);
    out[1] = kl_sub_at(at, T(in[1]), kl_arg_d(1));
}

/* r squared n times, a number that values decide: where they are not known yet, by a
 * loop, which has no gradient. */
static kl_tensor *squared(const char *at, kl_tensor *r, kl_tensor *n)
{
    kl_tensor *out[2] = {r, n};
    if (!r || !n)
        return NULL;
    if (kl_thread()->tracing)
        return kl_while_at(at, squarings_left, square_once, (void *)at,
                           (kl_tensor *[]){r, n}, 2, out)
                   ? NULL
                   : out[0];
    for (double left = kl_item_at(at, n); left > 0 && r; left--)
        r = mm(at, r, r);
    return r;
}

/* How often a is to be halved until its norm is at most 1/2. */
static kl_tensor *halvings(const char *at, kl_tensor *a)
{
    kl_tensor *sums = kl_sum_at(at, modulus(at, kl_detach_at(at, a)), kl_axes(-1), false);
    kl_tensor *norm = sums ? kl_amax_at(at, sums, kl_axes(), false) : NULL;
    kl_tensor *finite = norm ? kl_isfinite_at(at, T(norm)) : NULL;
    kl_tensor *n = norm ? kl_ceil_at(at, T(kl_log2_at(at, T(norm)))) : NULL;
    n = n ? kl_clamp_at(at, T(plus(at, n, kl_ones_like(n))), kl_arg_d(0),
                        kl_arg_none(NULL))
          : NULL;
    return n && finite ? kl_where_at(at, finite, T(n), kl_arg_d(0)) : NULL;
}

/* Taylor's polynomial of degree 16 at norms of at most 1/2, then squared as often as the
 * norm was halved, in double precision, since each squaring doubles the error; products
 * as Paterson and Stockmeyer (1973) take them. */
kl_tensor *kl_linalg_matrix_exp_at(const char *at, kl_tensor *a)
{
    kl_call c = kl_compose(at);
    double k = 1, coefficient[17];
    if (kl_check_matrix("linalg.matrix_exp", a, true))
        return kl_composed(&c, NULL, NULL);
    if (kl_numel(a) == 0)
        return kl_composed(&c, __func__, kl_clone_at(at, a));
    for (int i = 0; i <= 16; i++, k /= i)
        coefficient[i] = k;
    kl_tensor *wide = kl_to_at(at, a, is_complex(a) ? KL_C128 : KL_F64);
    kl_tensor *n = wide ? halvings(at, wide) : NULL;
    kl_tensor *scale = n ? kl_exp2_at(at, T(kl_neg_at(at, T(n)))) : NULL;
    kl_tensor *p[5] = {kl_identity_like(at, wide),
                       scale ? kl_mul_at(at, T(wide), T(scale)) : NULL};
    for (int i = 2; i <= 4; i++)
        p[i] = mm(at, p[i / 2], p[i - i / 2]);
    kl_tensor *r = scaled(at, p[0], coefficient[16]);
    for (int i = 12; i >= 0; i -= 4) {
        r = mm(at, r, p[4]);
        for (int q = 0; q < 4; q++)
            r = plus(at, r, scaled(at, p[q], coefficient[i + q]));
    }
    r = squared(at, r, n);
    return kl_composed(&c, __func__, r ? kl_to_at(at, r, kl_dtype_of(a)) : NULL);
}

/* ---- tensors as matrices ---- */

static int64_t product_of(const kl_ints *s, int from, int to)
{
    int64_t n = 1;
    for (int i = from; i < to; i++)
        n *= s->v[i];
    return n;
}

kl_tensor *kl_linalg_tensorinv_at(const char *at, kl_tensor *a, int ind)
{
    kl_call c = kl_compose(at);
    kl_ints s = kl_shape_of(a), turned = {.n = s.n};
    if (ind <= 0) {
        kl_fail(KL_ERR_ARG, "Expected a strictly positive integer for 'ind'");
        return kl_composed(&c, NULL, NULL);
    }
    int cut = KL_MIN(ind, s.n);
    int64_t m = product_of(&s, 0, cut), n = product_of(&s, cut, s.n);
    if (m != n) {
        kl_fail(KL_ERR_SHAPE,
                "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
                "prod(self.shape[:ind]), but got %lld != %lld",
                (long long)n, (long long)m);
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = 0; i < s.n; i++)
        turned.v[i] = s.v[(i + cut) % s.n];
    kl_tensor *x = kl_linalg_inv_at(at, kl_reshape_at(at, a, kl_shape(m, n)));
    return kl_composed(&c, __func__, x ? kl_reshape_at(at, x, turned) : NULL);
}

/* dims: of a, moved to its end first. */
kl_tensor *kl_linalg_tensorsolve_at(const char *at, kl_tensor *a, kl_tensor *b,
                                    kl_ints dims)
{
    kl_call c = kl_compose(at);
    kl_ints to = {.n = dims.n};
    for (int i = 0; i < dims.n; i++)
        to.v[i] = i - dims.n;
    if (a && dims.n)
        a = kl_movedims_at(at, a, dims, to);
    kl_ints s = kl_shape_of(a), x = {0};
    int64_t m = product_of(&s, 0, KL_MIN(kl_rank(b), s.n));
    int64_t n = product_of(&s, KL_MIN(kl_rank(b), s.n), s.n);
    if (m != n || !a || !b) {
        kl_fail(
            KL_ERR_SHAPE,
            "Expected self to satisfy the requirement prod(self.shape[other.ndim:]) == "
            "prod(self.shape[:other.ndim]), but got %lld != %lld",
            (long long)n, (long long)m);
        return kl_composed(&c, NULL, NULL);
    }
    for (int i = kl_rank(b); i < s.n; i++)
        x.v[x.n++] = s.v[i];
    kl_tensor *r = kl_linalg_solve_at(at, kl_reshape_at(at, a, kl_shape(m, n)),
                                      kl_reshape_at(at, b, kl_shape(-1)), true);
    return kl_composed(&c, __func__, r ? kl_reshape_at(at, r, x) : NULL);
}

/* Powers 0 to n - 1 along a new last dimension; n -1: as many as there are elements. */
kl_tensor *kl_linalg_vander_at(const char *at, kl_tensor *x, int64_t n)
{
    kl_call c = kl_compose(at);
    if (x && n != -1 && n < 1)
        kl_fail(KL_ERR_ARG, "linalg.vander: N must be greater than 1.");
    if (!x || (n != -1 && n < 1))
        return kl_composed(&c, NULL, NULL);
    x = kl_atleast_1d_at(at, x);
    n = n < 0 ? kl_extent(x, -1) : n;
    kl_ints shape = kl_shape_of(x);
    shape.v[shape.n++] = n - 1;
    kl_tensor *powers = kl_expand_at(at, column(at, x), shape);
    powers = powers ? kl_cumprod_at(at, powers, -1) : NULL;
    shape.v[shape.n - 1] = 1;
    kl_tensor *both[2] = {
        powers ? kl_full_at(at, shape, kl_arg_i(1), kl_dtype_of(powers)) : NULL, powers};
    return kl_composed(&c, __func__, both[0] ? kl_cat_at(at, both, 2, -1) : NULL);
}
