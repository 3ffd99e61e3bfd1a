/* llvm_mask.c: comparisons of a lane's number, in 32 bits.
 *
 * Guards of lanes (the edge of a tensor, a window's padding) compare indices, which are
 * 64 bits wide, of lanes that hold 32: twice the registers, and a mask to be narrowed.
 * Where both sides move by the lane only, a number of the lane's own size does:
 *
 *   lt(add(r, lane), 56)   ->   icmp slt <8 x i32> <0, 1, ..>, splat(trunc(56 - r)) */
#include "codegen/llvm_emit.h"

static const struct row {
    kl_op op;
    int falls, rises; /* lane ? rest, as right minus left falls or rises */
} rows[] = {{KL_OP_lt, LLVMIntSLT, LLVMIntSGT},
            {KL_OP_le, LLVMIntSLE, LLVMIntSGE},
            {KL_OP_eq, LLVMIntEQ, LLVMIntEQ},
            {KL_OP_ne, LLVMIntNE, LLVMIntNE}};

enum { SMALL = 1 << 30 };

/* base + coef * lane, of numbers that cannot wrap when one is taken from another. */
static bool by_lane(kl_ll *e, kl_x x, kl_x *base, int64_t *coef)
{
    int64_t lo, hi, far = (int64_t)1 << 60;
    kl_x_range(e->x, x, &lo, &hi);
    return e->x->nodes[x].dtype == KL_I64 && lo > -far && hi < far &&
           kl_x_affine(e->x, x, e->lane.var, base, coef);
}

/* r less the first lane's number, as 32 bits: far out of the lanes' range if it is. */
static LLVMValueRef narrow(kl_ll *e, kl_x rest, LLVMValueRef r)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    int64_t lo, hi, most;
    r = LL.BuildSub(e->b, r, e->lane.base, "");
    kl_x_range(e->x, rest, &lo, &hi);
    kl_dim_range(e->x->dims, e->x->var_extent[e->lane.var], &(int64_t){0}, &most);
    if (lo <= -SMALL || hi >= SMALL || most >= SMALL) {
        LLVMValueRef low[] = {r, kl_ll_i64(e, -SMALL)}, high[] = {NULL, kl_ll_i64(e, SMALL)};
        high[0] = kl_ll_call(e, "llvm.smax", &i64, 1, low, 2);
        r = kl_ll_call(e, "llvm.smin", &i64, 1, high, 2);
    }
    return LL.BuildCast(e->b, LLVMTrunc, r, kl_ll_int(e, 32, 1), "");
}

kl_ll_val *kl_ll_mask(kl_ll *e, kl_x x, const kl_xnode *n)
{
    const struct row *row = rows;
    kl_x base[2];
    int64_t coef[2];
    while (row < rows + KL_COUNT(rows) && row->op != n->op)
        row++;
    if (row == rows + KL_COUNT(rows) || !e->lane.on || e->lane.vec < 2 ||
        !by_lane(e, n->src[0], &base[0], &coef[0]) ||
        !by_lane(e, n->src[1], &base[1], &coef[1]))
        return NULL;
    bool falls = coef[1] - coef[0] == -1;
    if (!falls && coef[1] - coef[0] != 1)
        return NULL;
    kl_x rest = kl_ll_lower(
        e, kl_x_op(e->x, KL_OP_sub, base[falls], base[!falls], KL_NONE));
    kl_ll_val *r = kl_ll_eval(e, rest);
    if (!r || r->vary)
        return NULL;
    kl_ll_val *v = kl_ll_new(e, x, KL_MAX(r->level, e->lane.level), true, r->regs, r->mem);
    if (!v)
        return NULL;
    int vec = e->lane.vec;
    LLVMValueRef lanes[256];
    kl_ll_place(e, v->level);
    LLVMValueRef edge = kl_ll_broadcast(e, narrow(e, rest, r->v[0]), vec);
    for (int c = 0; c < v->n; c++) {
        for (int l = 0; l < vec; l++)
            lanes[l] = kl_ll_const_int(e, 32, (uint64_t)(c * vec + l), 1);
        v->v[c] = LL.BuildICmp(e->b, falls ? row->falls : row->rises,
                               LL.ConstVector(lanes, (unsigned)vec), edge, "");
    }
    return v;
}
