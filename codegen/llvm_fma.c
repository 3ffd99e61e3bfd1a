/* llvm_fma.c: a * b + c with one rounding where the CPU has no such instruction, as a
 * private function of the module.
 *
 * ir/decompose.c says how the row is built of others; that takes dozens of instructions,
 * and one body of exp has twenty of them, so it stands in the module once a vector length
 * and is called:
 *
 *   fma(a, b, c)   ->   call <4 x float> @kl.fma.f32x4(a, b, c) */
#include "codegen/llvm_emit.h"

/* The rule's expression over three leaves, which stand for the parameters. */
typedef struct body {
    kl_x leaf[3], root;
    kl_xlist order;
} body;

static bool make_body(kl_ll *e, kl_dtype dt, body *f)
{
    bool native[KL_OP_COUNT];
    memcpy(native, e->native, sizeof native);
    native[KL_OP_fma] = false;
    for (int i = 0; i < 3; i++) /* a load of no operand: a leaf like no other */
        f->leaf[i] = kl_x_load(e->x, UINT32_MAX, dt, kl_x_int(e->x, i), KL_NONE, KL_NONE);
    kl_x fma = kl_x_op(e->x, KL_OP_fma, f->leaf[0], f->leaf[1], f->leaf[2]);
    f->root = kl_x_lower_math(e->x, fma, native);
    return f->root != KL_NONE && kl_x_order(e->x, f->root, &f->order) == KL_OK;
}

static LLVMValueRef value_of(kl_ll *e, const body *f, kl_x x, LLVMValueRef fn, int lanes,
                             LLVMValueRef *values)
{
    const kl_xnode n = e->x->nodes[x];
    LLVMValueRef s[3] = {NULL, NULL, NULL};
    for (unsigned i = 0; i < 3; i++)
        if (x == f->leaf[i])
            return LL.GetParam(fn, i);
    if (n.op == KL_X_CONST)
        return kl_ll_const(e, n.dtype, n.imm, lanes);
    for (int i = 0; i < n.nsrc; i++)
        for (uint32_t j = 0; j < f->order.count; j++)
            if (f->order.items[j] == n.src[i])
                s[i] = values[j];
    return n.op < KL_OP_COUNT ? kl_ll_row(e, &n, s[0], s[1], s[2]) : NULL;
}

static void define(kl_ll *e, const body *f, LLVMValueRef fn, int lanes)
{
    LLVMValueRef *values = kl_arena_zeroed(e->a, f->order.count + 1, sizeof *values);
    LLVMBuilderRef outer = e->b;
    if (!values) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for a function");
        return;
    }
    e->b = LL.CreateBuilderInContext(e->c);
    LL.PositionBuilderAtEnd(e->b, LL.AppendBasicBlockInContext(e->c, fn, "entry"));
    for (uint32_t i = 0; i < f->order.count; i++)
        values[i] = value_of(e, f, f->order.items[i], fn, lanes, values);
    LL.BuildRet(e->b, values[f->order.count - 1]);
    LL.DisposeBuilder(e->b);
    e->b = outer;
}

static LLVMValueRef function(kl_ll *e, kl_dtype dt, int lanes)
{
    char name[40];
    snprintf(name, sizeof name, "kl.fma.%sx%d", kl_dtypes[dt].name, lanes);
    LLVMValueRef fn = LL.GetNamedFunction(e->u->mod, name);
    if (fn)
        return fn;
    body f = {.order = {0}};
    LLVMTypeRef t = kl_ll_type(e, dt, lanes), params[] = {t, t, t};
    fn = LL.AddFunction(e->u->mod, name, LL.FunctionType(t, params, 3, 0));
    LL.SetLinkage(fn, LLVMInternalLinkage);
    if (make_body(e, dt, &f))
        define(e, &f, fn, lanes);
    else
        kl_ll_fail(e, KL_ERR_INTERNAL, "fma could not be decomposed");
    kl_xlist_free(&f.order);
    return fn;
}

LLVMValueRef kl_ll_fma(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b,
                       LLVMValueRef c)
{
    LLVMValueRef fn = function(e, dt, kl_ll_lanes_of(a)), args[] = {a, b, c};
    return LL.BuildCall2(e->b, LL.GlobalGetValueType(fn), fn, args, 3, "");
}
