/* gemm.h: what the recipes for contraction share: lower_gemm.c and lower_pack.c (CPU:
 * packed panels) and lower_tiles.c (GPU: shared memory). Axes are two or three flat
 * numbers, row, column and batch; operands are read through their index expressions
 * (implicit GEMM). */
#ifndef KL_PASSES_GEMM_H
#define KL_PASSES_GEMM_H

#include "passes/passes.h"

typedef struct kl_side { /* flat axes */
    int n;
    uint16_t axes[KL_MAX_RANK];
    kl_dim count;
} kl_side;

/* How an operand lies in memory: along its side's flat number and along k. */
typedef struct kl_reading {
    bool plain;   /* one load, always, that takes no other element alone */
    bool side, k; /* neighbours along it lie side by side, or in every other place */
    int64_t side_run, k_run; /* in runs of so many; 0: throughout */
    int64_t side_image,
        k_image; /* of which so many make whole ones, next to one another */
    int64_t side_taps,
        k_taps; /* rows i, i + taps, i + 2 taps, .. have one guard; 1: none */
} kl_reading;

/* Where an operand is read from. */
enum { KL_PACK_NONE /* its place */, KL_PACK_TILE /* a worker's */, KL_PACK_WHOLE };

typedef struct kl_gemm {
    kl_lower *l;
    kl_exprs *x;
    kl_dims *d;
    kl_stage *s;
    kl_x a, b; /* expressions: rows' side, lanes' side */
    kl_side batch, m, n;
    kl_reading ra, rb;
    kl_dim k, blocks;
    int32_t mr, nr;
    int64_t mc, nc, kc; /* rows and columns of a worker's tile; how much of k at a time */
    int32_t vector;     /* lanes of one register */
    int64_t run;        /* results lie side by side in runs of so many columns; 0: all */
    bool turned;        /* results lie along rows instead */
    int pack_a, pack_b;
    uint32_t pb, pa, ct, part; /* operands: packed B, packed A, C tile, partial sums */
    uint32_t tt;               /* the C tile's last, turned */
    uint32_t lines;            /* what is to be turned and has guards; 0: there is none */
    uint32_t flat;             /* a variable that stands for a side's flat number */
    kl_x flat_is;
} kl_gemm;

/* Sides, with columns those that results are stored along; k and its blocks of 4096. */
void kl_gemm_open(kl_gemm *g, kl_lower *l);
void kl_gemm_sides(kl_kernel *k, const kl_part *p, const kl_stage *s, kl_side *batch,
                   kl_side *m, kl_side *n);
int64_t kl_gemm_hint(const kl_kernel *k, kl_dim d); /* a size to choose tiles by */
void kl_gemm_point(kl_gemm *g, const kl_side *sd,
                   kl_x flat); /* its axes from a flat number */
/* Does e read every step-th element along axis? */
bool kl_gemm_step(kl_exprs *x, kl_x e, uint32_t axis, int64_t step);
/* Are results stored one after the other along the side? */
bool kl_gemm_stored_along(kl_kernel *k, const kl_part *p, const kl_side *sd);
/* With several blocks of k: their sums' place, and the phase that folds them and
 * finishes. */
void kl_gemm_part(kl_gemm *g);
kl_x kl_gemm_part_at(kl_gemm *g, kl_x block, kl_x batch, kl_x row, kl_x col);
kl_status kl_gemm_fold(kl_gemm *g); /* lanes: g->nr */

/* ---- schedule_gemm.c: the CPU's numbers ---- */

void kl_gemm_reading(kl_kernel *k, const kl_stage *s, kl_x e, const kl_side *side,
                     int64_t vector, kl_reading *out);

/* Lanes along the side are read along k, in squares of registers that are turned. */
bool kl_gemm_turns(const kl_reading *r);

/* ---- lower_pack.c ---- */

/* A flat number: hi * run + lo, or lo alone (run 0), or hi * image + row * run + lo; and
 * a side's axes from one. */
typedef struct kl_flat {
    kl_x hi, lo;
    int64_t run, image;
    kl_x row;
} kl_flat;
void kl_gemm_place(kl_gemm *g, const kl_side *sd, kl_flat at);

/* A block of an operand to be copied: element (row, lane) goes to
 * at + row * pitch + lane * step. */
typedef struct kl_packing {
    kl_x value;
    const kl_side *side;
    const kl_reading *how;
    bool rows_k; /* rows run along k and lanes along the side; else the other way */
    kl_x row0, rows, lane0, lanes;
    kl_dim most_rows;
    int64_t most_lanes;
    uint32_t to;
    kl_x at;
    kl_dim pitch, step; /* lanes of a vector: step 1 */
} kl_packing;
void kl_gemm_pack(kl_gemm *g, kl_build *b, const kl_packing *p);
/* A register of as many elements as lanes is turned, and its element k, lane j stored at
 * at + k * pitch + j; row, lane: the loops' names. */
typedef struct kl_square {
    uint32_t operand;
    kl_x at;
    kl_dim pitch;
} kl_square;
void kl_gemm_turn(kl_gemm *g, kl_build *b, uint32_t reg, const char *row,
                  const char *lane, kl_square to);
/* A value at a row or column and at k, clamped to the last one. */
kl_x kl_gemm_element(kl_gemm *g, kl_x e, const kl_side *side, kl_x at, kl_x k);

/* Index arithmetic. */
static inline kl_x kl_g_int(kl_gemm *g, int64_t v)
{
    return kl_x_int(g->x, v);
}
static inline kl_x kl_g_add(kl_gemm *g, kl_x a, kl_x b)
{
    return kl_x_add(g->x, a, b);
}
static inline kl_x kl_g_sub(kl_gemm *g, kl_x a, kl_x b)
{
    return kl_x_op(g->x, KL_OP_sub, a, b, KL_NONE);
}
static inline kl_x kl_g_mul(kl_gemm *g, kl_x a, int64_t b)
{
    return kl_x_mul(g->x, a, kl_x_int(g->x, b));
}
static inline kl_x kl_g_min(kl_gemm *g, kl_x a, kl_x b)
{
    return kl_x_op(g->x, KL_OP_min, a, b, KL_NONE);
}
static inline kl_x kl_g_most(kl_gemm *g, int64_t most, kl_x a)
{
    return kl_g_min(g, kl_g_int(g, most), a);
}
static inline kl_x kl_g_div(kl_gemm *g, kl_x a, int64_t b)
{
    return kl_x_divf(g->x, a, kl_x_int(g->x, b));
}
static inline kl_x kl_g_ceil(kl_gemm *g, kl_x a, int64_t b)
{
    return kl_g_div(g, kl_g_add(g, a, kl_g_int(g, b - 1)), b);
}
kl_build kl_gemm_loop(kl_gemm *g, kl_build *b, const char *name, kl_dim bound,
                      kl_x extent, kl_bind bind, int64_t lanes, kl_x *v);

#endif
