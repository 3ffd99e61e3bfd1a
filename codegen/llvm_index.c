/* llvm_index.c: indices of lanes, in 32 bits; addresses that lanes have in common.
 *
 * Indices are 64 bits wide, and lanes mostly hold 32: twice the registers, masks to be
 * narrowed, and a division by a constant one lane at a time. Where an index and all that
 * it is computed from is known to be small, its lanes are 32 bits wide (narrow), and
 * become 64 again only for those who ask (kl_ll_chunk). A comparison of sides that move
 * by the lane alone takes no vector arithmetic at all:
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

/* first, first + 1, .. for a vector's lanes. */
static LLVMValueRef count_from(kl_ll *e, int bits, int first)
{
    LLVMValueRef lanes[256];
    for (int l = 0; l < e->lane.vec; l++)
        lanes[l] = kl_ll_const_int(e, bits, (uint64_t)(first + l), 1);
    return e->lane.vec > 1 ? LL.ConstVector(lanes, (unsigned)e->lane.vec) : lanes[0];
}

/* ---- comparisons ---- */

/* base + coef * lane, of numbers that cannot wrap when one is taken from another. */
static bool by_lane(kl_ll *e, kl_x x, kl_x *base, int64_t *coef)
{
    int64_t lo, hi, far = (int64_t)1 << 60;
    kl_x_range(e->x, x, &lo, &hi);
    return e->x->nodes[x].dtype == KL_I64 && lo > -far && hi < far &&
           kl_x_affine(e->x, x, e->lane.var, base, coef);
}

/* r less the first lane's number, as 32 bits: far out of the lanes' range if it is. */
static LLVMValueRef edge_of(kl_ll *e, kl_x rest, LLVMValueRef r)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    int64_t lo, hi, most;
    r = LL.BuildSub(e->b, r, e->lane.base, "");
    kl_x_range(e->x, rest, &lo, &hi);
    kl_dim_range(e->x->dims, e->x->var_extent[e->lane.var], &(int64_t){0}, &most);
    if (lo <= -SMALL || hi >= SMALL || most >= SMALL) {
        LLVMValueRef low[] = {r, kl_ll_i64(e, -SMALL)},
                     high[] = {NULL, kl_ll_i64(e, SMALL)};
        high[0] = kl_ll_call(e, "llvm.smax", &i64, 1, low, 2);
        r = kl_ll_call(e, "llvm.smin", &i64, 1, high, 2);
    }
    return LL.BuildCast(e->b, LLVMTrunc, r, kl_ll_int(e, 32, 1), "");
}

kl_ll_val *kl_ll_lane_compare(kl_ll *e, kl_x x, const kl_xnode *n)
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
    kl_x rest =
        kl_ll_lower(e, kl_x_op(e->x, KL_OP_sub, base[falls], base[!falls], KL_NONE));
    kl_ll_val *r = kl_ll_eval(e, rest);
    if (!r || r->vary)
        return NULL;
    kl_ll_val *v =
        kl_ll_new(e, x, KL_MAX(r->level, e->lane.level), true, r->regs, r->mem);
    if (!v)
        return NULL;
    int vec = e->lane.vec;
    kl_ll_place(e, v->level);
    LLVMValueRef edge = kl_ll_broadcast(e, edge_of(e, rest, r->v[0]), vec);
    for (int c = 0; c < v->n; c++)
        v->v[c] = LL.BuildICmp(e->b, falls ? row->falls : row->rises,
                               count_from(e, 32, c * vec), edge, "");
    return v;
}

/* ---- arithmetic ---- */

static bool small(const kl_ll *e, kl_x x)
{
    int64_t lo, hi;
    kl_x_range(e->x, x, &lo, &hi);
    return lo > -SMALL && hi < SMALL;
}

kl_ll_val *kl_ll_lane_numbers(kl_ll *e, kl_x x)
{
    kl_ll_val *v = kl_ll_new(e, x, e->lane.level, true, 0, 0);
    if (!v)
        return NULL;
    int vec = e->lane.vec;
    v->narrow = vec > 1 && small(e, x);
    kl_ll_place(e, v->level);
    LLVMValueRef first = e->lane.base;
    if (v->narrow)
        first = LL.BuildCast(e->b, LLVMTrunc, first, kl_ll_int(e, 32, 1), "");
    first = kl_ll_broadcast(e, first, vec);
    for (int c = 0; c < v->n; c++) {
        LLVMValueRef lanes = count_from(e, v->narrow ? 32 : 64, c * vec);
        v->v[c] = LL.BuildAdd(e->b, first, lanes, "");
    }
    return v;
}

LLVMValueRef kl_ll_narrow_chunk(kl_ll *e, kl_ll_val *v, int c)
{
    int vec = e->lane.vec;
    LLVMTypeRef t = kl_ll_int(e, 32, v->vary ? vec : 1);
    if (v->narrow)
        return v->v[c];
    kl_ll_place(e, v->level);
    if (v->vary)
        return LL.BuildCast(e->b, LLVMTrunc, v->v[c], t, "");
    if (!v->splat32 || kl_ll_lanes_of(v->splat32) != vec)
        v->splat32 =
            kl_ll_broadcast(e, LL.BuildCast(e->b, LLVMTrunc, v->v[0], t, ""), vec);
    return v->splat32;
}

/* Rows whose operands may be narrow: those that cannot tell. */
static bool cannot_tell(kl_op op)
{
    static const kl_op ops[] = {
        KL_OP_add, KL_OP_sub, KL_OP_mul, KL_OP_min, KL_OP_max, KL_OP_neg, KL_OP_floordiv,
        KL_OP_mod, KL_OP_lt,  KL_OP_le,  KL_OP_eq,  KL_OP_ne,  KL_OP_cast};
    for (size_t i = 0; i < KL_COUNT(ops); i++)
        if (ops[i] == op)
            return true;
    return false;
}

bool kl_ll_may_be_narrow(kl_ll *e, kl_x x, const kl_xnode *n)
{
    if (!e->lane.on || e->lane.vec < 2 || !cannot_tell(n->op) ||
        (n->dtype == KL_I64 && !small(e, x)))
        return false;
    for (int i = 0; i < n->nsrc; i++)
        if (e->x->nodes[n->src[i]].dtype != KL_I64 || !small(e, n->src[i]))
            return false;
    return true;
}

LLVMValueRef kl_ll_narrow_row(kl_ll *e, const kl_xnode *n, LLVMValueRef a, LLVMValueRef b)
{
    if (kl_ll_divides_plainly(e, n))
        return kl_ll_udiv(e, n->op, a, b);
    if (n->op == KL_OP_cast)
        return kl_ll_cast(e, n->dtype, KL_I32, a);
    return kl_ll_op(e, n->op, KL_I32, a, b, NULL);
}

LLVMValueRef kl_ll_wide(kl_ll *e, kl_ll_val *v, int c)
{
    if (!v->wide)
        v->wide = kl_arena_zeroed(e->a, (size_t)v->n, sizeof *v->wide);
    if (!v->wide) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for values");
        return LL.ConstNull(kl_ll_int(e, 64, e->lane.vec));
    }
    if (!v->wide[c]) {
        kl_ll_place(e, v->level);
        v->wide[c] =
            LL.BuildCast(e->b, LLVMSExt, v->v[c], kl_ll_int(e, 64, e->lane.vec), "");
    }
    return v->wide[c];
}

/* ---- addresses ---- */

kl_ll_address *kl_ll_address_of(kl_ll *e, uint32_t operand, kl_ll_val *index,
                                int64_t coef, LLVMValueRef base)
{
    kl_ll_address *a = index->addresses;
    while (a && (a->operand != operand || a->coef != coef || a->base != base))
        a = a->next;
    if (a || !(a = kl_arena_zeroed(e->a, 1, sizeof *a)))
        return a;
    *a = (kl_ll_address){index->addresses, operand, coef, base, NULL};
    return index->addresses = a;
}

/* The terms of x that are known outside of the index's loop, and those that are not;
 * KL_NONE: none. */
static void split_level(kl_ll *e, kl_x x, int level, kl_x *outer, kl_x *inner)
{
    const kl_xnode n = e->x->nodes[x];
    if (n.op == KL_OP_add && n.dtype == KL_I64) {
        split_level(e, n.src[0], level, outer, inner);
        split_level(e, n.src[1], level, outer, inner);
        return;
    }
    const kl_ll_val *v = kl_ll_eval(e, x);
    kl_x *sum = v && v->level < level ? outer : inner;
    *sum = *sum == KL_NONE ? x : kl_x_add(e->x, *sum, x);
}

LLVMValueRef kl_ll_uniform_address(kl_ll *e, uint32_t operand, kl_ll_val *index)
{
    LLVMValueRef p = kl_ll_operand(e, operand), i = index->v[0];
    kl_ll_address *a = kl_ll_address_of(e, operand, index, 0, NULL);
    if (!a || (LL.IsAConstantInt(i) && LL.ConstIntGetSExtValue(i) == 0))
        return p;
    if (a->at)
        return a->at;
    kl_x outer = KL_NONE, inner = KL_NONE;
    split_level(e, index->x, index->level, &outer, &inner);
    if (outer != KL_NONE && inner != KL_NONE) {
        kl_ll_val *o = kl_ll_eval(e, outer), *k = kl_ll_eval(e, inner);
        if (!o || !k)
            return p;
        p = kl_ll_uniform_address(e, operand, o);
        i = k->v[0];
    }
    kl_ll_place(e, index->level);
    return a->at =
               kl_ll_gep(e, kl_ll_mem_type(e, e->k->operands[operand].dtype, 1), p, i);
}
