/* gemm.h: what the recipes for contraction share: lower_gemm.c (CPU: packed panels) and
 * lower_tiles.c (GPU: shared memory). Axes are two or three flat numbers, row, column and batch;
 * operands are read through their index expressions (implicit GEMM). */
#ifndef KL_PASSES_GEMM_H
#define KL_PASSES_GEMM_H

#include "passes/passes.h"

typedef struct kl_side { /* flat axes */
    int n;
    uint16_t axes[KL_MAX_RANK];
    kl_dim count;
} kl_side;

typedef struct kl_gemm {
    kl_lower *l;
    kl_exprs *x;
    kl_dims *d;
    kl_stage *s;
    kl_x a, b; /* expressions: rows' side, lanes' side */
    kl_side batch, m, n;
    kl_dim k, blocks;
    int32_t mr, nr;
    int64_t mc, nc; /* rows and columns of a worker's tile */
    bool pack_a, pack_b;
    uint32_t pb, pa, ct, part; /* operands: packed B, packed A, C tile, partial sums */
} kl_gemm;

/* Sides, with columns those that results are stored along; k and its blocks of 4096. */
void kl_gemm_open(kl_gemm *g, kl_lower *l);
void kl_gemm_sides(kl_kernel *k, const kl_part *p, const kl_stage *s, kl_side *batch, kl_side *m,
                   kl_side *n);
int64_t kl_gemm_hint(const kl_kernel *k, kl_dim d); /* a size to choose tiles by */
void kl_gemm_point(kl_gemm *g, const kl_side *sd, kl_x flat); /* its axes from a flat number */
bool kl_gemm_unit(kl_gemm *g, kl_x e, uint32_t axis); /* e reads next to next along axis */
/* With several blocks of k: their sums' place, and the phase that folds them and finishes. */
void kl_gemm_part(kl_gemm *g);
kl_x kl_gemm_part_at(kl_gemm *g, kl_x block, kl_x batch, kl_x row, kl_x col);
kl_status kl_gemm_fold(kl_gemm *g); /* lanes: g->nr */

#endif
