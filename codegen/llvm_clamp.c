/* llvm_clamp.c: loads whose index is clamped, as vector loads.
 *
 * Lowering lets lanes past an edge read the last element again. The clamp hides that the
 * other lanes lie side by side, and a load would go a lane at a time; so it is read as
 *
 *   load t[b + min(j, m)]   ->   load t[b + j] if j <= m else load t[b + m] if j > m
 *
 * a masked vector and one element for the lanes past the edge. */
#include "codegen/llvm_emit.h"

/* The min or max in an index that keeps it from being base + coef * lane, one of whose
 * sides is the same in all lanes; KL_NONE: there is none. */
static kl_x find(kl_ll *e, kl_x i)
{
    const kl_xnode n = e->x->nodes[i];
    uint32_t var = e->lane.var;
    if (!kl_x_uses_var(e->x, i, var))
        return KL_NONE;
    if (n.op == KL_OP_min || n.op == KL_OP_max) {
        bool a = kl_x_uses_var(e->x, n.src[0], var),
             b = kl_x_uses_var(e->x, n.src[1], var);
        return a && b ? KL_NONE : i;
    }
    if (n.op != KL_OP_add && n.op != KL_OP_sub && n.op != KL_OP_mul)
        return KL_NONE;
    kl_x a = find(e, n.src[0]);
    return a == KL_NONE ? find(e, n.src[1]) : a;
}

/* One side of a clamp in its place. */
typedef struct side {
    kl_x clamp;
    int which;
} side;

static kl_x replace(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const side *s = ctx;
    return node == s->clamp ? src[s->which] : kl_x_rebuild(x, node, src);
}

kl_x kl_ll_unclamp(kl_ll *e, kl_x load)
{
    const kl_xnode n = e->x->nodes[load];
    kl_x base, clamp, pred = n.nsrc > 1 ? n.src[1] : KL_NONE;
    int64_t coef;
    if (!e->lane.on || kl_x_affine(e->x, n.src[0], e->lane.var, &base, &coef) ||
        (clamp = find(e, n.src[0])) == KL_NONE)
        return KL_NONE;
    const kl_xnode c = e->x->nodes[clamp];
    int lanes = kl_x_uses_var(e->x, c.src[0], e->lane.var) ? 0 : 1;
    side in = {clamp, lanes}, out = {clamp, 1 - lanes};
    kl_x near = kl_x_map(e->x, n.src[0], replace, &in);
    kl_x edge = kl_x_map(e->x, n.src[0], replace, &out);
    kl_x lane = c.src[lanes], bound = c.src[1 - lanes];
    bool min = c.op == KL_OP_min;
    kl_x inside =
        kl_x_op(e->x, KL_OP_le, min ? lane : bound, min ? bound : lane, KL_NONE);
    kl_x outside = kl_x_op(e->x, KL_OP_not, inside, KL_NONE, KL_NONE);
    kl_x other = n.nsrc > 2 ? n.src[2] : KL_NONE;
    uint32_t operand = (uint32_t)n.imm;
    other = kl_x_load(e->x, operand, n.dtype, edge, kl_x_and(e->x, pred, outside), other);
    return kl_x_load(e->x, operand, n.dtype, near, kl_x_and(e->x, pred, inside), other);
}
