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
