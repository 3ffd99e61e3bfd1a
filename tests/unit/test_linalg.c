/* test_linalg.c: factorizations and what is composed of them, by their residuals and by
 * differences, in four dtypes; PyTorch's conventions, and what is refused. */
#include "tests/unit/front_test.h"

#include <unistd.h>

static kl_tensor *noise(kl_ints shape, kl_dtype dt)
{
    kl_tensor *t = kl_randn_at(KL_HERE, shape, KL_F64);
    if (dt != KL_C64 && dt != KL_C128)
        return kl_to(t, dt);
    return kl_to(kl_complex(t, kl_randn_at(KL_HERE, shape, KL_F64)), dt);
}

static kl_tensor *mH(kl_tensor *a)
{
    return kl_conj(kl_transpose(a, -2, -1));
}

/* Hermitian, and positive definite. */
static kl_tensor *positive(int64_t n, kl_dtype dt)
{
    kl_tensor *a = noise(kl_shape(2, n, n), dt);
    return kl_add(kl_matmul(a, mH(a)), kl_eye_at(KL_HERE, n, n, dt));
}

static double eps_of(kl_dtype dt)
{
    return dt == KL_F32 || dt == KL_C64 ? 1.2e-7 : 2.3e-16;
}

/* a is b, to 50 roundings of b's largest element and the extent. */
static void close_to(kl_tensor *a, kl_tensor *b, const char *what)
{
    ck_assert_msg(a && b, "%s: %s", what, kl_error());
    kl_tensor *d = kl_abs(kl_sub(kl_to(a, KL_C128), kl_to(b, KL_C128)));
    double most = kl_item(kl_amax(kl_abs(kl_to(b, KL_C128))));
    double off = kl_item(kl_amax(d)), may = 50 * eps_of(kl_dtype_of(a)) * (1 + most) * 4;
    ck_assert_msg(off <= may, "%s, %s: off by %g, may be by %g", what,
                  kl_dtype_name(kl_dtype_of(a)), off, may);
}

static kl_tensor *eye(int64_t n, kl_dtype dt)
{
    return kl_expand(kl_eye_at(KL_HERE, n, n, dt), kl_shape(2, n, n));
}

static void orthonormal(kl_tensor *q, const char *what)
{
    close_to(kl_matmul(mH(q), q), eye(kl_extent(q, -1), kl_dtype_of(q)), what);
}

static const kl_dtype dtypes[4] = {KL_F32, KL_F64, KL_C64, KL_C128};

START_TEST(factorizations)
{
    kl_dtype dt = dtypes[_i];
    static const int64_t shapes[3][2] = {{5, 5}, {6, 3}, {3, 6}};
    kl_tensor *r, *s, *vh, *plu[3];
    for (int i = 0; i < 3; i++) {
        int64_t m = shapes[i][0], n = shapes[i][1];
        kl_tensor *a = noise(kl_shape(2, m, n), dt), *q = kl_linalg_qr(a, &r);
        close_to(kl_matmul(q, r), a, "qr");
        orthonormal(q, "q");
        q = kl_linalg_qr_at(KL_HERE, a, "complete", &r);
        ck_assert_int_eq(kl_extent(q, -1), m);
        close_to(kl_matmul(q, r), a, "complete qr");
        orthonormal(q, "complete q");
        kl_tensor *u = kl_linalg_svd(a, &s, &vh);
        close_to(kl_matmul(kl_mul(u, kl_unsqueeze(s, -2)), vh), a, "svd");
        orthonormal(u, "u");
        orthonormal(mH(vh), "v");
        close_to(kl_linalg_svdvals_at(KL_HERE, a), s, "svdvals");
        u = kl_linalg_svd_at(KL_HERE, a, true, &s, &vh);
        orthonormal(u, "square u");
        orthonormal(vh, "square v");
        ck_assert(kl_linalg_lu_at(KL_HERE, a, plu));
        close_to(kl_matmul(plu[0], kl_matmul(plu[1], plu[2])), a, "lu");
        kl_arg none = kl_arg_none(NULL);
        kl_tensor *p = kl_linalg_pinv_at(KL_HERE, a, none, none, false);
        close_to(kl_matmul(a, kl_matmul(p, a)), a, "pinv");
    }
}
END_TEST

START_TEST(squares)
{
    kl_dtype dt = dtypes[_i];
    kl_tensor *a = positive(5, dt), *b = noise(kl_shape(2, 5, 3), dt), *v, *info, *logabs;
    kl_tensor *l = kl_linalg_cholesky(a), *w;
    close_to(kl_matmul(l, mH(l)), a, "cholesky");
    close_to(kl_linalg_cholesky_at(KL_HERE, a, true), mH(l), "upper cholesky");
    close_to(kl_matmul(a, kl_cholesky_solve_at(KL_HERE, b, l, false)), b,
             "cholesky_solve");
    close_to(kl_matmul(a, kl_cholesky_inverse_at(KL_HERE, mH(l), true)), eye(5, dt),
             "cholesky_inverse");
    w = kl_linalg_eigh(a, &v);
    close_to(kl_matmul(a, v), kl_mul(v, kl_unsqueeze(w, -2)), "eigh");
    orthonormal(v, "eigenvectors");
    close_to(kl_linalg_eigvalsh_at(KL_HERE, a, false), w, "eigvalsh");
    kl_tensor *sym = kl_sub(a, kl_mul(eye(5, dt), 2.5)), *ld, *order;
    ld = kl_linalg_ldl_factor(sym, true, &order);
    close_to(kl_matmul(sym, kl_linalg_ldl_solve(ld, order, b, true)), b, "ldl_solve");
    a = noise(kl_shape(2, 5, 5), dt);
    w = kl_linalg_eig_at(KL_HERE, a, &v);
    close_to(kl_matmul(kl_to(a, kl_dtype_of(v)), v), kl_mul(v, kl_unsqueeze(w, -2)),
             "eig");
    a = kl_add(a, kl_mul(eye(5, dt), 4.0)); /* far from singular */
    close_to(kl_matmul(a, kl_linalg_solve(a, b)), b, "solve");
    close_to(kl_matmul(kl_linalg_solve_at(KL_HERE, a, mH(b), false), a), mH(b),
             "left solve");
    close_to(kl_matmul(a, kl_linalg_inv(a)), eye(5, dt), "inv");
    kl_tensor *pivots, *lu = kl_linalg_lu_factor(a, &pivots);
    for (int k = 0; k < 4; k++) { /* left and adjoint */
        kl_tensor *c = k & 1 ? b : mH(b), *m = k & 2 ? mH(a) : a;
        kl_tensor *x = kl_linalg_lu_solve_at(KL_HERE, lu, pivots, c, k & 1, k & 2);
        close_to(k & 1 ? kl_matmul(m, x) : kl_matmul(x, m), c, "lu_solve");
    }
    w = kl_linalg_slogdet_at(KL_HERE, a, &logabs);
    close_to(kl_mul(w, kl_exp(logabs)), kl_linalg_det(a), "slogdet");
    for (int k = 0; k < 8; k++) { /* upper, left, unit */
        kl_tensor *t = k & 1 ? kl_triu(a, 0) : kl_tril(a, 0), *c = k & 2 ? b : mH(b);
        if (k & 4)
            t = kl_add(k & 1 ? kl_triu(a, 1) : kl_tril(a, -1), eye(5, dt));
        t = kl_div(t, 8.0);
        kl_tensor *u = k & 4 ? kl_mul(t, 8.0) : t;
        kl_tensor *x = kl_linalg_solve_triangular_at(KL_HERE, u, c, k & 1, k & 2, k & 4);
        close_to(k & 2 ? kl_matmul(u, x) : kl_matmul(x, u), c, "solve_triangular");
    }
    kl_linalg_inv_ex_at(KL_HERE, kl_zeros(kl_shape(2, 2), dt), &info);
    ck_assert_int_eq(kl_item_int_at(KL_HERE, info), 1);
    kl_tensor *e = kl_linalg_matrix_exp_at(KL_HERE, a);
    kl_tensor *back = kl_linalg_matrix_exp_at(KL_HERE, kl_neg(a));
    ck_assert(kl_item(kl_amax(kl_abs(kl_sub(kl_matmul(e, back), eye(5, dt))))) <
              (eps_of(dt) > 1e-10 ? 1 : 1e-6));
}
END_TEST

/* ---- derivatives: of weighted sums, against central differences ---- */

typedef kl_tensor *(*function)(kl_tensor *x);

static kl_tensor *hermitian(kl_tensor *x)
{
    return kl_add(kl_matmul(x, mH(x)), kl_eye_at(KL_HERE, 3, 3, KL_F64));
}

static kl_tensor *of_cholesky(kl_tensor *x)
{
    return kl_linalg_cholesky(hermitian(x));
}

static kl_tensor *of_eigh(kl_tensor *x)
{
    kl_tensor *v, *w = kl_linalg_eigh(hermitian(x), &v);
    return kl_add(kl_mul(v, v), w);
}

static kl_tensor *of_eig(kl_tensor *x)
{
    kl_tensor *v, *w = kl_linalg_eig_at(KL_HERE, x, &v);
    return kl_add(kl_abs(v), kl_abs(w));
}

static kl_tensor *of_lu(kl_tensor *x)
{
    kl_tensor *p;
    return kl_linalg_lu_factor(x, &p);
}

static kl_tensor *of_qr(kl_tensor *x)
{
    kl_tensor *r, *q = kl_linalg_qr(x, &r);
    return kl_add(kl_sum(q), r);
}

static kl_tensor *of_svd(kl_tensor *x)
{
    kl_tensor *s, *vh, *u = kl_linalg_svd(x, &s, &vh);
    return kl_add(kl_add(kl_sum(kl_exp(kl_mul(u, u))), kl_mul(vh, vh)),
                  kl_unsqueeze(s, -1));
}

static kl_tensor *of_inv(kl_tensor *x)
{
    return kl_linalg_inv(x);
}

static kl_tensor *of_det(kl_tensor *x)
{
    kl_tensor *logabs;
    kl_linalg_slogdet_at(KL_HERE, x, &logabs);
    return kl_add(kl_linalg_det(x), logabs);
}

static kl_tensor *of_solve(kl_tensor *x)
{
    kl_tensor *b = kl_slice(x, 1, 0, 2);
    return kl_add(kl_linalg_solve(x, b),
                  kl_linalg_solve_triangular_at(KL_HERE, x, b, true, true, false));
}

static kl_tensor *of_pinv(kl_tensor *x)
{
    return kl_linalg_pinv_at(KL_HERE, x, kl_arg_none(NULL), kl_arg_none(NULL), false);
}

static kl_tensor *of_lstsq(kl_tensor *x)
{
    kl_tensor *out[4];
    return kl_linalg_lstsq_at(KL_HERE, x, kl_slice(x, 1, 0, 1), -1, "gelsy", out) ? out[0]
                                                                                  : NULL;
}

static const struct {
    const char *name;
    function fn;
    int64_t m, n;
} derivatives[] = {
    {"cholesky", of_cholesky, 3, 3},
    {"eigh", of_eigh, 3, 3},
    {"eig", of_eig, 3, 3},
    {"lu", of_lu, 3, 3},
    {"lu", of_lu, 4, 3},
    {"lu", of_lu, 3, 4},
    {"qr", of_qr, 3, 3},
    {"qr", of_qr, 4, 3},
    {"qr", of_qr, 3, 4},
    {"svd", of_svd, 3, 3},
    {"svd", of_svd, 4, 3},
    {"svd", of_svd, 3, 4},
    {"inv", of_inv, 3, 3},
    {"det", of_det, 3, 3},
    {"solve", of_solve, 3, 3},
    {"pinv", of_pinv, 4, 3},
    {"pinv", of_pinv, 3, 4},
    {"lstsq", of_lstsq, 4, 3},
};

static kl_tensor *weighed(function f, kl_tensor *x)
{
    kl_tensor *y = f(x);
    kl_tensor *n =
        kl_reshape(kl_arange_at(KL_HERE, kl_arg_i(1), kl_arg_i(kl_numel(y) + 1),
                                kl_arg_i(1), KL_F64),
                   kl_shape_of(y));
    return kl_sum(kl_mul(y, kl_sin(n)));
}

/* The derivative along a direction, and the second along it twice. */
START_TEST(by_differences)
{
    int64_t m = derivatives[_i].m, n = derivatives[_i].n;
    static const double values[] = {3.1, -0.4, 0.7,  0.9, 2.2,  -1.3,
                                    0.2, 1.1,  -2.7, 0.5, -0.8, 1.6};
    kl_tensor *x = kl_reshape(kl_tensor_copy(values, KL_F64, kl_shape(12)), kl_shape(12)),
              *g;
    x = kl_requires_grad_(kl_clone(kl_reshape(kl_slice(x, 0, 0, m * n), kl_shape(m, n))));
    kl_tensor *v = kl_cos(kl_detach(x));
    kl_tensor *y = weighed(derivatives[_i].fn, x);
    ck_assert_msg(y != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_grad_with(y, &x, 1, NULL, true, true, &g), KL_OK);
    kl_tensor *first = kl_sum(kl_mul(g, v)), *second;
    ck_assert_msg(kl_grad(first, &x, 1, &second) == KL_OK, "%s", kl_error());
    double d1 = kl_item(first), d2 = kl_item(kl_sum(kl_mul(second, v))), h = 1e-4, f[3];
    for (int k = 0; k < 3; k++)
        f[k] = kl_item(
            weighed(derivatives[_i].fn, kl_add(kl_detach(x), kl_mul(v, (k - 1) * h))));
    double w1 = (f[2] - f[0]) / (2 * h), w2 = (f[2] - 2 * f[1] + f[0]) / (h * h);
    ck_assert_msg(fabs(d1 - w1) < 1e-5 * (1 + fabs(w1)), "%s: %g, not %g",
                  derivatives[_i].name, d1, w1);
    ck_assert_msg(fabs(d2 - w2) < 1e-4 * (1 + fabs(w2)), "%s, twice: %g, not %g",
                  derivatives[_i].name, d2, w2);
}
END_TEST

START_TEST(known_values)
{
    kl_tensor *a = kl_of(KL_F32, kl_shape(2, 2), 3, 4, 0, 0);
    kl_ints all = kl_axes();
    ck_assert(kl_item(kl_linalg_matrix_norm_at(KL_HERE, a, "fro", 0, all, false)) == 5);
    ck_assert(kl_item(kl_linalg_matrix_norm_at(KL_HERE, a, NULL, 1, all, false)) == 4);
    ck_assert(kl_item(kl_linalg_norm_at(KL_HERE, a, NULL, true, INFINITY, all, false)) ==
              7);
    ck_assert(fabs(kl_item(kl_linalg_norm_at(KL_HERE, a, NULL, true, 2, all, false)) -
                   5) < 1e-6);
    ck_assert(fabs(kl_item(kl_linalg_norm_at(KL_HERE, a, "nuc", true, 0, all, true)) -
                   5) < 1e-6);
    ck_assert(kl_item(kl_linalg_norm_at(KL_HERE, kl_select(a, 0, 0), NULL, true, 1, all,
                                        false)) == 7);
    SHOWS(
        kl_linalg_matrix_rank_at(KL_HERE, a, kl_arg_none(NULL), kl_arg_none(NULL), false),
        "tensor(1)");
    SHOWS(kl_linalg_cond_at(KL_HERE, kl_of(KL_F32, kl_shape(2, 2), 2, 0, 0, 4), NULL, 1),
          "tensor(2.)");
    SHOWS(kl_linalg_cond_at(KL_HERE, a, NULL, 1), "tensor(inf)");
    SHOWS(kl_logdet_at(KL_HERE, kl_of(KL_F32, kl_shape(2, 2), 0, 1, 1, 0)),
          "tensor(nan)");
    SHOWS(kl_linalg_det(kl_of(KL_F32, kl_shape(2, 2), 0, 1, 1, 0)), "tensor(-1.)");
    SHOWS(kl_linalg_vander_at(KL_HERE, kl_of(KL_F32, kl_shape(2), 2, 3), 3),
          "tensor([[1., 2., 4.],\n        [1., 3., 9.]])");
    SHOWS(kl_matrix_power_at(KL_HERE, kl_of(KL_F32, kl_shape(2, 2), 2, 0, 0, 4), -2),
          "tensor([[0.2500, 0.0000],\n        [0.0000, 0.0625]])");
    kl_tensor *t = kl_reshape(kl_eye_at(KL_HERE, 6, 6, KL_F32), kl_shape(2, 3, 6));
    kl_tensor *b = kl_reshape(kl_ones(kl_shape(6), KL_F32), kl_shape(2, 3));
    SHOWS(kl_linalg_tensorsolve_at(KL_HERE, t, b, kl_axes()),
          "tensor([1., 1., 1., 1., 1., 1.])");
    ck_assert_int_eq(kl_rank(kl_linalg_tensorinv_at(KL_HERE, t, 2)), 3);
    kl_tensor *out[4];
    ck_assert(kl_linalg_lstsq_at(KL_HERE, kl_of(KL_F64, kl_shape(3, 1), 1, 1, 1),
                                 kl_of(KL_F64, kl_shape(3, 1), 1, 2, 3), -1, "gelsd",
                                 out));
    ck_assert(fabs(kl_item(out[1]) - 2) < 1e-14);
    SHOWS(out[2], "tensor(1)");
    ck_assert_int_eq(kl_numel(kl_linalg_inv(kl_zeros(kl_shape(3, 0, 0), KL_F32))), 0);
    SHOWS(kl_linalg_det(kl_zeros(kl_shape(0, 0), KL_F32)), "tensor(1.)");
}
END_TEST

START_TEST(refusals)
{
    kl_tensor *z = kl_zeros(kl_shape(2, 2), KL_F32),
              *wide = kl_ones(kl_shape(2, 3), KL_F32);
    kl_tensor *batch[3] = {kl_eye_at(KL_HERE, 2, 2, KL_F32), z, z}, *p, *out[4];
    kl_tensor *b = kl_stack(batch, 3, 0), *v = kl_ones(kl_shape(3), KL_F32);
    FAILS(kl_linalg_inv(z),
          "linalg.inv: The diagonal element 1 is zero, the inversion could "
          "not be completed because the input matrix is singular.");
    ck_assert_int_eq(kl_error_status(), KL_OK);
    FAILS(kl_linalg_inv(b),
          "linalg.inv: (Batch element 1): The diagonal element 1 is zero");
    FAILS(kl_linalg_solve(z, z),
          "torch.linalg.solve: The solver failed because the input matrix is singular.");
    FAILS(kl_linalg_cholesky(b),
          "linalg.cholesky: (Batch element 1): The factorization could not be "
          "completed because the input is not positive-definite (the leading "
          "minor of order 1 is not positive-definite).");
    FAILS(kl_linalg_lu_factor(z, &p),
          "torch.linalg.lu_factor: U[1,1] is zero and using it on lu_solve");
    FAILS(
        kl_linalg_inv(wide),
        "linalg.inv: A must be batches of square matrices, but they are 2 by 3 matrices");
    FAILS(kl_linalg_inv(v),
          "linalg.inv: The input tensor A must have at least 2 dimensions.");
    FAILS(kl_linalg_det(kl_to(z, KL_I64)),
          "linalg.det: Expected a floating point or complex tensor as input. Got Long");
    FAILS(kl_linalg_inv(kl_to(z, KL_F16)),
          "linalg.inv: Low precision dtypes not supported. Got Half");
    FAILS(kl_linalg_solve(z, v), "linalg.solve: Incompatible shapes of A and B for the "
                                 "equation AX = B (2x2 and 3x1)");
    FAILS(kl_linalg_solve(z, kl_to(z, KL_F64)),
          "linalg.solve: Expected A and B to have the same dtype, but found A "
          "of type Float and B of type Double instead");
    FAILS(kl_linalg_solve_triangular_at(KL_HERE, z, v, true, true, false),
          "linalg.solve_triangular: The input tensor B must have at least 2 dimensions.");
    FAILS(kl_cholesky_solve_at(KL_HERE, v, z, false),
          "b should have at least 2 dimensions, but has 1 dimensions instead");
    FAILS(kl_linalg_svdvals_at(KL_HERE, kl_mul(wide, NAN)),
          "linalg.svd: The algorithm failed to converge");
    FAILS(kl_linalg_svd(kl_mul(wide, NAN), &p, &out[0]),
          "linalg.svd: The algorithm failed to converge because the "
          "input matrix contained non-finite values.");
    FAILS(kl_linalg_eigvals_at(KL_HERE, kl_mul(z, NAN)),
          "torch.linalg.eig: input tensor should not contain infs or NaNs.");
}
END_TEST

START_TEST(refusals_of_arguments)
{
    kl_tensor *z = kl_zeros(kl_shape(2, 2), KL_F32),
              *b = kl_zeros(kl_shape(3, 2, 2), KL_F32),
              *wide = kl_ones(kl_shape(2, 3), KL_F32), *v = kl_ones(kl_shape(3), KL_F32);
    kl_tensor *p, *out[4];
    FAILS(kl_linalg_qr_at(KL_HERE, z, "x", &p),
          "qr received unrecognized mode 'x' but expected one of 'reduced'");
    FAILS(kl_linalg_householder_product_at(KL_HERE, wide, v),
          "input.shape[-2] must be greater than or equal to input.shape[-1]");
    FAILS(kl_linalg_householder_product_at(KL_HERE, z, v),
          "input.shape[-1] must be greater than or equal to tau.shape[-1]");
    FAILS(kl_linalg_matrix_norm_at(KL_HERE, z, "x", 0, kl_axes(), false),
          "linalg.matrix_norm: Order x not supported.");
    FAILS(kl_linalg_matrix_norm_at(KL_HERE, z, NULL, 3, kl_axes(), false),
          "linalg.matrix_norm: Order 3 not supported.");
    FAILS(kl_linalg_matrix_norm_at(KL_HERE, z, "fro", 0, kl_axes(0, 0), false),
          "linalg.matrix_norm: dims must be different");
    FAILS(kl_linalg_norm_at(KL_HERE, b, NULL, true, 2, kl_axes(), false),
          "linalg.norm: If dim is not specified but ord is, the input must be 1D or 2D. "
          "Got 3D.");
    FAILS(kl_linalg_lstsq_at(KL_HERE, wide, v, -1, "gelsy", out),
          "torch.linalg.lstsq: input.size(-2) should match other.size(-1)");
    FAILS(kl_linalg_lstsq_at(KL_HERE, wide, kl_ones(kl_shape(3, 1), KL_F32), -1, "gelsy",
                             out),
          "torch.linalg.lstsq: input.size(-2) should match other.size(-2)");
    FAILS(kl_linalg_lstsq_at(KL_HERE, wide, wide, -1, "x", out),
          "torch.linalg.lstsq: parameter `driver` should be one of");
    FAILS(kl_linalg_lstsq_at(KL_HERE, wide, kl_sum(v), -1, "gels", out),
          "torch.linalg.lstsq: other must have at least 1 dimension.");
    FAILS(kl_linalg_lstsq_at(KL_HERE, wide, kl_to(wide, KL_F64), -1, "gels", out),
          "torch.linalg.lstsq: Expected input and other to have the same dtype");
    FAILS(kl_linalg_tensorinv_at(KL_HERE, wide, 0),
          "Expected a strictly positive integer for 'ind'");
    FAILS(kl_linalg_tensorinv_at(KL_HERE, wide, 1),
          "Expected self to satisfy the requirement prod(self.shape[ind:]) == "
          "prod(self.shape[:ind]), but got 3 != 2");
    FAILS(kl_linalg_tensorsolve_at(KL_HERE, wide, v, kl_axes()),
          "prod(self.shape[:other.ndim]), but got 3 != 2");
    FAILS(kl_linalg_vander_at(KL_HERE, v, 0), "linalg.vander: N must be greater than 1.");
    FAILS(
        kl_matrix_power_at(KL_HERE, wide, 2),
        "linalg.matrix_power: A must be batches of square matrices, but they are 2 by 3");
    kl_tensor *x = kl_requires_grad_(kl_ones(kl_shape(3, 2), KL_F32)), *r, *g;
    kl_linalg_qr_at(KL_HERE, x, "r", &r);
    FAILS(
        kl_grad(kl_sum(r), &x, 1, &g) == KL_OK,
        "The derivative of linalg.qr depends on Q, which is not computed when mode='r'");
    kl_linalg_qr_at(KL_HERE, x, "complete", &r);
    FAILS(kl_grad(kl_sum(r), &x, 1, &g) == KL_OK,
          "The QR decomposition is not differentiable when mode='complete' and nrows > "
          "ncols.");
}
END_TEST

static void exponential(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_linalg_matrix_exp_at(KL_HERE, in[0]);
}

static void inverse(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_matmul(kl_linalg_inv(in[0]), in[0]);
    out[1] = kl_linalg_det(in[0]);
}

/* In a saved program the calls stand by name. */
START_TEST(traced)
{
    static const float a[4] = {2, 1, 1, 1}, singular[4] = {1, 1, 1, 1};
    float y[4], d;
    char path[64];
    kl_input in[] = {{"x", KL_F32, kl_shape(2, 2)}};
    kl_function *f = kl_compile(inverse, NULL, in, 1, 2), *g;
    snprintf(path, sizeof path, "test_linalg_%d.kl", (int)getpid());
    ck_assert_msg(f && kl_program_save(f, path) == KL_OK, "%s", kl_error());
    g = kl_program_load(path);
    ck_assert_msg(g != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_call(g, (const void *[]){a}, (void *[]){y, &d}), KL_OK);
    ck_assert(fabsf(d - 1) < 1e-6F && fabsf(y[0] - 1) < 1e-6F && fabsf(y[1]) < 1e-6F);
    /* no value can be looked at there: what has no result is not finite */
    ck_assert_int_eq(kl_function_call(g, (const void *[]){singular}, (void *[]){y, &d}),
                     KL_OK);
    ck_assert(d == 0 && !isfinite(y[0]));
    kl_function_free(f);
    kl_function_free(g);
    unlink(path);
    memcpy(strrchr(path, '.'), ".safetensors", sizeof ".safetensors"); /* sizes */
    unlink(path);
    f = kl_compile(exponential, NULL, in, 1, 1); /* values decide how often it squares */
    ck_assert_msg(f != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_call(f, (const void *[]){singular}, (void *[]){y}),
                     KL_OK);
    ck_assert(fabsf(y[0] - 4.1945280F) < 1e-5F && fabsf(y[1] - 3.1945280F) < 1e-5F);
    kl_function_free(f);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("linalg");
    TCase *tc = front_case(s, "all");
    tcase_add_loop_test(tc, factorizations, 0, 4);
    tcase_add_loop_test(tc, squares, 0, 4);
    tcase_add_loop_test(tc, by_differences, 0, sizeof derivatives / sizeof *derivatives);
    tcase_add_test(tc, known_values);
    tcase_add_test(tc, refusals);
    tcase_add_test(tc, refusals_of_arguments);
    tcase_add_test(tc, traced);
    return front_run(s);
}
