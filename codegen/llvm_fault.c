/* llvm_fault.c: the program's error word, set by the first worker that finds something
 * wrong.
 *
 *   check index i < n   ->   if (!(i < n) && cmpxchg(error[0], 0, kind))
 *                                error[1] = node, error[2] = i */
#include "codegen/llvm_emit.h"

LLVMValueRef kl_ll_first(kl_ll *e, LLVMValueRef v, LLVMValueRef mask)
{
    int lanes = kl_ll_lanes_of(mask);
    if (lanes == 1)
        return v;
    LLVMTypeRef t = kl_ll_int(e, lanes, 1);
    LLVMValueRef args[] = {LL.BuildBitCast(e->b, mask, t, ""),
                           kl_ll_const(e, KL_BOOL, 0, 1)};
    LLVMValueRef i = kl_ll_call(e, "llvm.cttz", &t, 1, args, 2);
    i = LL.BuildAnd(e->b, i, kl_ll_const_int(e, lanes, (uint64_t)lanes - 1, 1), "");
    return LL.BuildExtractElement(e->b, v, i, "");
}

/* Several workers may fail at once: the first to change the kind from 0 writes the rest.
 */
void kl_ll_fault(kl_ll *e, LLVMValueRef bad, int kind, LLVMValueRef node,
                 LLVMValueRef value)
{
    LLVMTypeRef i64 = kl_ll_int(e, 64, 1);
    LLVMBasicBlockRef cold = kl_ll_block(e, "fault"), mine = kl_ll_block(e, "first");
    LLVMBasicBlockRef on = kl_ll_block(e, "checked");
    kl_ll_here(e);
    LL.BuildCondBr(e->b, bad, cold, on);
    kl_ll_set_block(e, cold);
    LLVMValueRef word =
        kl_ll_arg(e, offsetof(kl_args, error), LL.PointerTypeInContext(e->c, 0));
    LLVMValueRef was = LL.BuildAtomicCmpXchg(
        e->b, word, kl_ll_i64(e, 0), kl_ll_i64(e, kind), LLVMAtomicOrderingMonotonic,
        LLVMAtomicOrderingMonotonic, 0);
    LL.BuildCondBr(e->b, LL.BuildExtractValue(e->b, was, 1, ""), mine, on);
    kl_ll_set_block(e, mine);
    LL.BuildStore(e->b, node, kl_ll_gep(e, i64, word, kl_ll_i64(e, 1)));
    LL.BuildStore(e->b, value, kl_ll_gep(e, i64, word, kl_ll_i64(e, 2)));
    LL.BuildBr(e->b, on);
    kl_ll_set_block(e, on);
}
