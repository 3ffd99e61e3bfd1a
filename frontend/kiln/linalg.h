/* kiln/linalg.h: products of matrices and of tensors in general. Operands of one device;
 * dtypes promote; sums of f16 and bf16 are kept in f32 and rounded once. Every sum adds
 * in one order, whatever the batch, threads and device. Extents that do not fit are
 * KL_ERR_SHAPE naming both shapes. */
#ifndef KILN_LINALG_H
#define KILN_LINALG_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- products ---- */
/* 1-d, 2-d, and batches that broadcast, as torch.matmul */
KL_API kl_tensor *kl_matmul_at(const char *at, kl_tensor *a, kl_tensor *b);
#define kl_matmul(a, b) kl_matmul_at(KL_HERE, a, b)
/* of two matrices, of two batches of matrices, of a matrix and a vector, of two vectors;
 * refused: other ranks */
KL_API kl_tensor *kl_mm_at(const char *at, kl_tensor *a, kl_tensor *b);
#define kl_mm(a, b) kl_mm_at(KL_HERE, a, b)
KL_API kl_tensor *kl_bmm_at(const char *at, kl_tensor *a, kl_tensor *b);
#define kl_bmm(a, b) kl_bmm_at(KL_HERE, a, b)
KL_API kl_tensor *kl_mv_at(const char *at, kl_tensor *a, kl_tensor *b);
#define kl_mv(a, b) kl_mv_at(KL_HERE, a, b)
KL_API kl_tensor *kl_dot_at(const char *at, kl_tensor *a, kl_tensor *b);
#define kl_dot(a, b) kl_dot_at(KL_HERE, a, b)
/* any contraction of one or two tensors by labels: "bk,nk->bn" (b may be NULL: "ij->ji")
 */
KL_API kl_tensor *kl_einsum_at(const char *at, const char *labels, kl_tensor *a,
                               kl_tensor *b);
#define kl_einsum(labels, a, b) kl_einsum_at(KL_HERE, labels, a, b)
/* Of 1 to 32 tensors, as torch.einsum reads labels: repeated ones in an operand are its
 * diagonal, ".." dimensions without a name; no result: labels that occur once, in order.
 */
KL_API kl_tensor *kl_einsum_n_at(const char *at, const char *equation,
                                 kl_tensor *const *t, int n);

/* ---- algebra.c ---- */

/* beta c + alpha (a b); beta 0: c is not read. addbmm sums the batch. */
KL_API kl_tensor *kl_addmm_at(const char *at, kl_tensor *c, kl_tensor *a, kl_tensor *b,
                              kl_arg beta, kl_arg alpha);
KL_API kl_tensor *kl_addbmm_at(const char *at, kl_tensor *c, kl_tensor *a, kl_tensor *b,
                               kl_arg beta, kl_arg alpha);
KL_API kl_tensor *kl_addr_at(const char *at, kl_tensor *c, kl_tensor *a, kl_tensor *b,
                             kl_arg beta, kl_arg alpha);
KL_API kl_tensor *kl_outer_at(const char *at, kl_tensor *a, kl_tensor *b);
KL_API kl_tensor *kl_inner_at(const char *at, kl_tensor *a, kl_tensor *b);
/* over the listed dimensions of each */
KL_API kl_tensor *kl_tensordot_at(const char *at, kl_tensor *a, kl_tensor *b,
                                  kl_ints of_a, kl_ints of_b);
KL_API kl_tensor *kl_vecdot_at(const char *at, kl_tensor *a, kl_tensor *b, int dim);
KL_API kl_tensor *kl_trace_at(const char *at, kl_tensor *t);
KL_API kl_tensor *kl_kron_at(const char *at, kl_tensor *a, kl_tensor *b);
KL_API kl_tensor *kl_cross_at(const char *at, kl_tensor *a, kl_tensor *b, int dim);
KL_API kl_tensor *kl_matrix_power_at(const char *at, kl_tensor *a, int64_t n);
/* of 2 to 32 matrices, the ends may be vectors, in the order that costs least */
KL_API kl_tensor *kl_multi_dot_at(const char *at, kl_tensor *const *t, int n);
/* a [.., m, d] b [.., n, d]: p-norms of all differences, [.., m, n] */
KL_API kl_tensor *kl_cdist_at(const char *at, kl_tensor *a, kl_tensor *b, double p);

/* ---- linalg_factor.c, linalg_spectral.c: factorizations, by LAPACK ---- */
/* Of f32, f64, c64 and c128, [.., m, n]. LAPACK is opened by the first call:
 * liblapack.so.3 or libopenblas.so.0 (Debian's liblapack3, libopenblas0); without it
 * KL_ERR_UNSUPPORTED. What has no result is KL_ERR_NUMERIC; _ex functions give LAPACK's
 * info instead. Results have derivatives of every order, after Giles (2008) and PyTorch's
 * conventions: cholesky's is Hermitian; svd's and eig's vectors are differentiable where
 * values are distinct and the result does not depend on their phases; of square U and V
 * the first min(m, n) columns; qr's where it is "reduced", or m <= n. */

/* L of A = L L*; upper: L*, from the upper triangle */
KL_API kl_tensor *kl_linalg_cholesky_at(const char *at, kl_tensor *a, bool upper);
#define kl_linalg_cholesky(a) kl_linalg_cholesky_at(KL_HERE, a, false)
KL_API kl_tensor *kl_linalg_cholesky_ex_at(const char *at, kl_tensor *a, bool upper,
                                           kl_tensor **info);
/* L and U of A = P L U in one, pivots i32 from 1 */
KL_API kl_tensor *kl_linalg_lu_factor_at(const char *at, kl_tensor *a,
                                         kl_tensor **pivots);
#define kl_linalg_lu_factor(a, pivots) kl_linalg_lu_factor_at(KL_HERE, a, pivots)
KL_API kl_tensor *kl_linalg_lu_factor_ex_at(const char *at, kl_tensor *a,
                                            kl_tensor **pivots, kl_tensor **info);
/* out: P, L, U */
KL_API bool kl_linalg_lu_at(const char *at, kl_tensor *a, kl_tensor **out);
KL_API bool kl_lu_unpack_at(const char *at, kl_tensor *lu, kl_tensor *pivots,
                            kl_tensor **out);
KL_API kl_tensor *kl_lu_order_at(const char *at, kl_tensor *pivots, int64_t m);
KL_API kl_tensor *kl_lu_permutation_at(const char *at, kl_tensor *pivots, int64_t m,
                                       kl_dtype dt);
/* Q; mode "reduced", "complete" or "r" (Q empty) */
KL_API kl_tensor *kl_linalg_qr_at(const char *at, kl_tensor *a, const char *mode,
                                  kl_tensor **r);
#define kl_linalg_qr(a, r) kl_linalg_qr_at(KL_HERE, a, "reduced", r)
KL_API kl_tensor *kl_linalg_householder_product_at(const char *at, kl_tensor *a,
                                                   kl_tensor *tau);
/* U, s, V*; full: U and V square. A place that is NULL, here, of R, of vectors and of
 * pivots: that part is not wanted */
KL_API kl_tensor *kl_linalg_svd_at(const char *at, kl_tensor *a, bool full, kl_tensor **s,
                                   kl_tensor **vh);
#define kl_linalg_svd(a, s, vh) kl_linalg_svd_at(KL_HERE, a, false, s, vh)
KL_API kl_tensor *kl_linalg_svdvals_at(const char *at, kl_tensor *a);
/* values rising, vectors as columns, of a Hermitian matrix of which one triangle is read
 */
KL_API kl_tensor *kl_linalg_eigh_at(const char *at, kl_tensor *a, bool lower,
                                    kl_tensor **v);
#define kl_linalg_eigh(a, v) kl_linalg_eigh_at(KL_HERE, a, true, v)
KL_API kl_tensor *kl_linalg_eigvalsh_at(const char *at, kl_tensor *a, bool lower);
/* of any square matrix; complex */
KL_API kl_tensor *kl_linalg_eig_at(const char *at, kl_tensor *a, kl_tensor **v);
KL_API kl_tensor *kl_linalg_eigvals_at(const char *at, kl_tensor *a);

/* R above, reflectors below the diagonal, and their factors [.., min(m, n)]: LAPACK's form of
 * QR, without a derivative; that form's Q, of m columns, times other [.., m, k], or other
 * [.., k, m] times it (left false); transpose: Q* */
KL_API kl_tensor *kl_geqrf_at(const char *at, kl_tensor *a, kl_tensor **tau);
#define kl_geqrf(a, tau) kl_geqrf_at(KL_HERE, a, tau)
KL_API kl_tensor *kl_ormqr_at(const char *at, kl_tensor *a, kl_tensor *tau,
                              kl_tensor *other, bool left, bool transpose);
/* A = L D L^T, or L D L* (hermitian), by the lower triangle: LD [.., n, n], L's diagonal of ones
 * left out, D's blocks of one and two on the diagonal; *pivots i32 [.., n] and *info i32 as
 * LAPACK's sytrf gives them; without _ex a D that is singular is an error. X of A X = B, B
 * [.., n, k], by these. Without derivatives. */
KL_API kl_tensor *kl_linalg_ldl_factor_ex_at(const char *at, kl_tensor *a, bool hermitian,
                                             kl_tensor **pivots, kl_tensor **info);
KL_API kl_tensor *kl_linalg_ldl_factor_at(const char *at, kl_tensor *a, bool hermitian,
                                          kl_tensor **pivots);
#define kl_linalg_ldl_factor(a, hermitian, pivots)                                       \
    kl_linalg_ldl_factor_at(KL_HERE, a, hermitian, pivots)
KL_API kl_tensor *kl_linalg_ldl_solve_at(const char *at, kl_tensor *ld, kl_tensor *pivots,
                                         kl_tensor *b, bool hermitian);
#define kl_linalg_ldl_solve(ld, pivots, b, hermitian)                                    \
    kl_linalg_ldl_solve_at(KL_HERE, ld, pivots, b, hermitian)
/* U and H of A = U H: U's columns orthonormal, H positive semidefinite; m >= n. The positive
 * definite root of a positive definite matrix, whose lower triangle is read. */
KL_API kl_tensor *kl_linalg_polar_at(const char *at, kl_tensor *a, kl_tensor **h);
KL_API kl_tensor *kl_linalg_matrix_sqrth_at(const char *at, kl_tensor *a);
#define kl_linalg_polar(a, h) kl_linalg_polar_at(KL_HERE, a, h)
#define kl_linalg_matrix_sqrth(a) kl_linalg_matrix_sqrth_at(KL_HERE, a)
/* out: U [.., m, q], s [.., q], V [.., n, q], nearly the largest q singular values of
 * a - mean (NULL: of a), by random projections, niter of them; pca: of a without its columns'
 * means, if they are to be taken off. 0 <= q <= min(m, n). */
KL_API bool kl_svd_lowrank_at(const char *at, kl_tensor *a, int64_t q, int64_t niter,
                              kl_tensor *mean, kl_tensor **out);
KL_API bool kl_pca_lowrank_at(const char *at, kl_tensor *a, int64_t q, bool center,
                              int64_t niter, kl_tensor **out);

/* ---- linalg_solve.c: systems of equations ---- */
/* A X = B, or X A = B (left false); b may be a vector; batches broadcast */
KL_API kl_tensor *kl_linalg_solve_at(const char *at, kl_tensor *a, kl_tensor *b,
                                     bool left);
#define kl_linalg_solve(a, b) kl_linalg_solve_at(KL_HERE, a, b, true)
KL_API kl_tensor *kl_linalg_solve_ex_at(const char *at, kl_tensor *a, kl_tensor *b,
                                        bool left, kl_tensor **info);
/* one triangle is read; unit: its diagonal counts as 1. Not checked: may give infinities
 */
KL_API kl_tensor *kl_linalg_solve_triangular_at(const char *at, kl_tensor *a,
                                                kl_tensor *b, bool upper, bool left,
                                                bool unit);
KL_API kl_tensor *kl_linalg_lu_solve_at(const char *at, kl_tensor *lu, kl_tensor *pivots,
                                        kl_tensor *b, bool left, bool adjoint);
KL_API kl_tensor *kl_cholesky_solve_at(const char *at, kl_tensor *b, kl_tensor *l,
                                       bool upper);
KL_API kl_tensor *kl_cholesky_inverse_at(const char *at, kl_tensor *l, bool upper);
KL_API kl_tensor *kl_linalg_inv_at(const char *at, kl_tensor *a);
#define kl_linalg_inv(a) kl_linalg_inv_at(KL_HERE, a)
KL_API kl_tensor *kl_linalg_inv_ex_at(const char *at, kl_tensor *a, kl_tensor **info);
KL_API kl_tensor *kl_linalg_det_at(const char *at, kl_tensor *a);
#define kl_linalg_det(a) kl_linalg_det_at(KL_HERE, a)
/* the sign, or phase, and log |det|; logdet: NaN where det is negative */
KL_API kl_tensor *kl_linalg_slogdet_at(const char *at, kl_tensor *a,
                                       kl_tensor **logabsdet);
KL_API kl_tensor *kl_logdet_at(const char *at, kl_tensor *a);

/* ---- linalg_norm.c ---- */
/* ord by name ("fro", "nuc") or NULL and by number (1, 2, INFINITY, and negative: the
 * smallest); dims none: the last two */
KL_API kl_tensor *kl_linalg_matrix_norm_at(const char *at, kl_tensor *a, const char *name,
                                           double ord, kl_ints dims, bool keep);
/* a matrix's norm for two dimensions, a vector's for one or without ord */
KL_API kl_tensor *kl_linalg_norm_at(const char *at, kl_tensor *a, const char *name,
                                    bool has_ord, double ord, kl_ints dims, bool keep);
KL_API kl_tensor *kl_linalg_cond_at(const char *at, kl_tensor *a, const char *name,
                                    double ord);
/* singular values above max(atol, rtol times the largest); kl_arg_none: PyTorch's */
KL_API kl_tensor *kl_linalg_matrix_rank_at(const char *at, kl_tensor *a, kl_arg atol,
                                           kl_arg rtol, bool hermitian);
KL_API kl_tensor *kl_linalg_pinv_at(const char *at, kl_tensor *a, kl_arg atol,
                                    kl_arg rtol, bool hermitian);
/* out: X, residuals, rank, singular values, the last three empty where driver (one of
 * "gels", "gelsy", "gelsd", "gelss") does not give them. rcond < 0: eps max(m, n) */
KL_API bool kl_linalg_lstsq_at(const char *at, kl_tensor *a, kl_tensor *b, double rcond,
                               const char *driver, kl_tensor **out);
KL_API kl_tensor *kl_linalg_matrix_exp_at(const char *at, kl_tensor *a);
KL_API kl_tensor *kl_linalg_tensorinv_at(const char *at, kl_tensor *a, int ind);
KL_API kl_tensor *kl_linalg_tensorsolve_at(const char *at, kl_tensor *a, kl_tensor *b,
                                           kl_ints dims);
KL_API kl_tensor *kl_linalg_vander_at(const char *at, kl_tensor *x, int64_t n);

/* ---- attention ---- */
/* q [.., L, E], k [.., S, E], v [.., S, F]; mask (may be NULL): bool (true takes part) or
 * added; scale 0: 1 / sqrt(E) */
KL_API kl_tensor *kl_attention_at(const char *at, kl_tensor *q, kl_tensor *k,
                                  kl_tensor *v, kl_tensor *mask, bool causal,
                                  double scale);
#define kl_attention(q, k, v, mask, causal, scale)                                       \
    kl_attention_at(KL_HERE, q, k, v, mask, causal, scale)
/* The weights alone, [.., L, S]: softmax(q k^T scale + mask). */
KL_API kl_tensor *kl_attention_weights_at(const char *at, kl_tensor *q, kl_tensor *k,
                                          kl_tensor *mask, bool causal, double scale);
#define kl_attention_weights(q, k, mask, causal, scale)                                  \
    kl_attention_weights_at(KL_HERE, q, k, mask, causal, scale)

#ifdef __cplusplus
}
#endif
#endif
