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

/* ---- attention ---- */
/* q [.., L, E], k [.., S, E], v [.., S, F]; mask (may be NULL): bool (true takes part) or
 * added; scale 0: 1 / sqrt(E) */
KL_API kl_tensor *kl_attention_at(const char *at, kl_tensor *q, kl_tensor *k,
                                  kl_tensor *v, kl_tensor *mask, bool causal,
                                  double scale);
#define kl_attention(q, k, v, mask, causal, scale)                                       \
    kl_attention_at(KL_HERE, q, k, v, mask, causal, scale)

#ifdef __cplusplus
}
#endif
#endif
