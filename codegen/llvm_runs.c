/* llvm_runs.c: where the ends of a vector of lanes are, for indices that are not the lane
 * and a constant: rows of a wider array.
 *
 *   v[(j div 28)*30 + j mod 28]   j = 16 .. 31   ->   first: v[16]; last: v[33];
 *                                                     of the first row: lanes below 12
 *
 * The index is computed for two lanes as scalars are, not for all as vectors: two
 * variables a chunk stand for the lane's number there. */
#include "codegen/llvm_emit.h"

bool kl_ll_ends_init(kl_ll *e)
{
    for (int i = 0; i < 2 * KL_LL_CHUNKS; i++) /* of any extent: nothing is concluded */
        e->ends[i] = kl_x_newvar(e->x, i % 2 ? "last" : "first", (kl_dim)1 << 40);
    return !kl_arena_failed(e->k->arena);
}

void kl_ll_ends_forget(kl_ll *e)
{
    for (int i = 0; i < 2 * KL_LL_CHUNKS; i++)
        e->var[e->ends[i]] = NULL;
}

/* The number of chunk c's first or last lane. */
static kl_x end_of(kl_ll *e, int c, bool last)
{
    uint32_t v = e->ends[2 * c + last];
    if (!e->var[v]) {
        int64_t lane = (int64_t)c * e->lane.vec + (last ? e->lane.vec - 1 : 0);
        kl_ll_place(e, e->lane.level);
        e->var[v] = LL.BuildAdd(e->b, e->lane.base, kl_ll_i64(e, lane), "");
        e->var_level[v] = e->lane.level;
    }
    return kl_x_var(e->x, v);
}

kl_ll_val *kl_ll_at_end(kl_ll *e, kl_x index, int c, bool last)
{
    kl_x_named lane = {e->lane.var, end_of(e, c, last)};
    kl_x at = kl_x_subst(e->x, index, kl_x_value_of, &lane);
    return at == KL_NONE ? NULL : kl_ll_eval(e, at);
}

LLVMValueRef kl_ll_of_row(kl_ll *e, int64_t run, int c)
{
    kl_x first = end_of(e, c, false), n = kl_x_int(e->x, run);
    kl_x left = kl_x_op(e->x, KL_OP_sub, n, kl_x_mod(e->x, first, n), KL_NONE);
    LLVMValueRef lanes[256], count = kl_ll_uniform(e, left);
    int vec = e->lane.vec;
    if (!count)
        return NULL;
    kl_ll_place(e, e->lane.level);
    for (int l = 0; l < vec; l++)
        lanes[l] = kl_ll_const_int(e, 32, (uint64_t)l, 1);
    count = LL.BuildCast(e->b, LLVMTrunc, count, kl_ll_int(e, 32, 1), "");
    return LL.BuildICmp(e->b, LLVMIntSLT, LL.ConstVector(lanes, (unsigned)vec),
                        kl_ll_broadcast(e, count, vec), "");
}
