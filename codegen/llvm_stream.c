/* llvm_stream.c: stores that go past the caches.
 *
 * An ordinary store first reads the line it is going to overwrite. Where a kernel writes
 * more than the last cache holds that is a third of all traffic for nothing, so short
 * loops get a second version with non-temporal stores, taken when the output is that
 * large and lies on a vector's boundary:
 *
 *   for i lane { y[w*16384+i] = f(x[..]) }   ->   if 4*N >= l3 and y + w*16384 is aligned
 *                                                 { .. store nontemporal .. } else { .. }
 *
 * Such stores are not ordered with others, so the phase ends with a fence. */
#include "codegen/llvm_emit.h"

/* A plain store of consecutive elements to an output of the kernel; its index's base. */
static bool can_stream(kl_ll *e, const kl_stmt *s, uint32_t var, int vec, kl_x *base)
{
    const kl_operand *o = &e->k->operands[s->operand];
    int64_t coef, bytes = (int64_t)vec * kl_dtypes[o->dtype].size;
    if (o->role != KL_ROLE_OUT || o->inplace || s->pred != KL_NONE)
        return false;
    if (!kl_x_affine(e->x, kl_ll_lower(e, s->at), var, base, &coef) || coef != 1)
        return false;
    return bytes >= 16 && bytes * 8 <= e->t->vector_bits;
}

static LLVMValueRef is_large(kl_ll *e, const kl_operand *o)
{
    int64_t least = KL_MAX(e->t->l3, (int64_t)16 << 20) / kl_dtypes[o->dtype].size;
    LLVMValueRef count = kl_ll_extent(e, o->count);
    kl_ll_place(e, 0);
    return LL.BuildICmp(e->b, LLVMIntSGE, count, kl_ll_i64(e, least), "large");
}

static LLVMValueRef is_aligned(kl_ll *e, uint32_t operand, kl_x base, int vec)
{
    kl_dtype dt = e->k->operands[operand].dtype;
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    LLVMValueRef p = kl_ll_operand(e, operand), i = kl_ll_uniform(e, base);
    if (!i)
        return NULL;
    kl_ll_here(e);
    p = kl_ll_gep(e, kl_ll_mem_type(e, dt, 1), p, i);
    LLVMValueRef bits = LL.BuildCast(e->b, LLVMPtrToInt, p, i64, "");
    bits =
        LL.BuildAnd(e->b, bits, kl_ll_i64(e, (int64_t)vec * kl_dtypes[dt].size - 1), "");
    return LL.BuildICmp(e->b, LLVMIntEQ, bits, kl_ll_i64(e, 0), "aligned");
}

LLVMValueRef kl_ll_may_stream(kl_ll *e, const kl_stmt *loop, int vec)
{
    LLVMValueRef all = NULL;
    kl_x base;
    if (strncmp(e->t->triple, "x86", 3) != 0 || e->bounds)
        return NULL;
    for (const kl_stmt *s = loop->body; s; s = s->next) {
        if (s->kind != KL_S_STORE && s->kind != KL_S_REG && s->kind != KL_S_SET)
            return NULL;
        if (s->kind != KL_S_STORE)
            continue;
        if (!can_stream(e, s, loop->var, vec, &base))
            return NULL;
        LLVMValueRef large = is_large(e, &e->k->operands[s->operand]);
        if (LL.IsAConstantInt(large) && !LL.ConstIntGetSExtValue(large))
            return NULL;
        LLVMValueRef aligned = is_aligned(e, s->operand, base, vec);
        if (!aligned)
            return NULL;
        kl_ll_here(e);
        all = kl_ll_and(e, all, LL.BuildAnd(e->b, large, aligned, ""));
    }
    return all;
}

void kl_ll_streamed(kl_ll *e, LLVMValueRef store, int bytes)
{
    LLVMMetadataRef one = LL.ValueAsMetadata(kl_ll_const_int(e, 32, 1, 1));
    LLVMValueRef node = LL.MetadataAsValue(e->c, LL.MDNodeInContext2(e->c, &one, 1));
    LL.SetMetadata(store, LL.GetMDKindIDInContext(e->c, "nontemporal", 11), node);
    LL.SetAlignment(store, (unsigned)bytes);
    e->fence = true;
}

/* The plain loads of s, evaluated here; how many. */
static int load_all(kl_ll *e, const kl_stmt *s)
{
    kl_xlist order = {0};
    int loads = 0;
    if (kl_x_order(e->x, kl_ll_lower(e, s->value), &order) != KL_OK)
        kl_ll_fail(e, KL_ERR_OOM, "no memory for a body");
    for (uint32_t i = 0; i < order.count && e->status == KL_OK; i++) {
        const kl_xnode *n = &e->x->nodes[order.items[i]];
        if (n->op != KL_X_LOAD || (n->nsrc > 1 && n->src[1] != KL_NONE))
            continue;
        kl_ll_eval(e, order.items[i]);
        loads++;
    }
    kl_xlist_free(&order);
    return loads;
}

void kl_ll_loads_first(kl_ll *e, const kl_stmt *body)
{
    int loads = 0;
    for (const kl_stmt *s = body; s; s = s->next)
        if (s->kind != KL_S_STORE)
            return;
    for (const kl_stmt *s = body; s && e->status == KL_OK; s = s->next)
        loads += load_all(e, s);
    kl_ll_here(e);
    if (loads > 1 && loads * e->lane.n <= e->t->vector_regs / 2)
        LL.BuildFence(e->b, LLVMAtomicOrderingAcquireRelease, true, "");
}

void kl_ll_stream_end(kl_ll *e)
{
    if (e->fence)
        kl_ll_call(e, "llvm.x86.sse.sfence", NULL, 0, NULL, 0);
    e->fence = false;
}
