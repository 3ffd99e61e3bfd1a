/* llvm_fma.c: rows that are private functions of the module: fma where the CPU has no
 * such instruction, and rows of math.def whose usual case is cheap.
 *
 * ir/decompose.c and ir/math.def say how such a row is built of others; that takes dozens
 * of instructions, so it stands in the module once a vector length and is called:
 *
 *   fma(a, b, c)   ->   call <4 x float> @kl.fma.f32x4(a, b, c)
 *   sin(a)         ->   call <16 x float> @kl.sin.f32x16(a), which computes what math.def
 *                       says of usual operands, and branches to the rest if any is none
 */
#include "codegen/llvm_emit.h"

/* Expressions over leaves that stand for the parameters, each node built once. */
typedef struct tree {
    LLVMValueRef fn;
    int lanes;
    kl_x leaf[3];
    kl_xlist order; /* of the one being built */
    kl_x *known;
    LLVMValueRef *values; /* of those known */
    uint32_t count, cap;
} tree;

static LLVMValueRef known(const tree *t, kl_x x)
{
    for (uint32_t i = 0; i < t->count; i++)
        if (t->known[i] == x)
            return t->values[i];
    return NULL;
}

static LLVMValueRef node(kl_ll *e, const tree *t, kl_x x)
{
    const kl_xnode n = e->x->nodes[x];
    LLVMValueRef s[3] = {NULL, NULL, NULL};
    for (unsigned i = 0; i < 3; i++)
        if (x == t->leaf[i])
            return LL.GetParam(t->fn, i);
    if (n.op == KL_X_CONST)
        return kl_ll_const(e, n.dtype, n.imm, t->lanes);
    for (int i = 0; i < n.nsrc; i++)
        s[i] = known(t, n.src[i]);
    return n.op < KL_OP_COUNT ? kl_ll_row(e, &n, s[0], s[1], s[2]) : NULL;
}

static LLVMValueRef build(kl_ll *e, tree *t, kl_x x)
{
    if (x == KL_NONE || kl_x_order(e->x, x, &t->order) != KL_OK) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a row could not be decomposed");
        return LL.GetPoison(LL.TypeOf(LL.GetParam(t->fn, 0)));
    }
    uint32_t n = t->count + t->order.count, had = t->cap;
    if (kl_arena_grow(e->a, &t->known, &t->cap, n, sizeof *t->known) ||
        kl_arena_grow(e->a, &t->values, &had, n, sizeof(LLVMValueRef))) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for a function");
        return LL.GetPoison(LL.TypeOf(LL.GetParam(t->fn, 0)));
    }
    for (uint32_t i = 0; i < t->order.count; i++)
        if (!known(t, t->order.items[i])) {
            LLVMValueRef v = node(e, t, t->order.items[i]);
            t->known[t->count] = t->order.items[i];
            t->values[t->count++] = v;
        }
    return known(t, x);
}

static kl_x parameter(kl_ll *e, kl_dtype dt, int i)
{
    /* a load of no operand: a leaf like no other */
    return kl_x_load(e->x, UINT32_MAX, dt, kl_x_int(e->x, i), KL_NONE, KL_NONE);
}

static void fused(kl_ll *e, tree *t, kl_op op, kl_dtype dt)
{
    bool native[KL_OP_COUNT];
    memcpy(native, e->native, sizeof native);
    native[op] = false;
    for (int i = 0; i < 3; i++)
        t->leaf[i] = parameter(e, dt, i);
    kl_x fma = kl_x_op(e->x, op, t->leaf[0], t->leaf[1], t->leaf[2]);
    LL.BuildRet(e->b, build(e, t, kl_x_lower_math(e->x, fma, native)));
}

/* where(usual, fast, slow): the slow side behind a branch. */
static void usual(kl_ll *e, tree *t, kl_op op, kl_dtype dt)
{
    t->leaf[0] = parameter(e, dt, 0);
    t->leaf[1] = t->leaf[2] = KL_NONE;
    kl_x y = kl_math_expand(e->x, op, t->leaf[0], KL_NONE, KL_NONE), s[3] = {KL_NONE};
    for (int i = 0; y != KL_NONE && i < 3; i++)
        s[i] = kl_x_lower_math(e->x, e->x->nodes[y].src[i], e->native);
    LLVMBasicBlockRef far = LL.AppendBasicBlockInContext(e->c, t->fn, "far"),
                      done = LL.AppendBasicBlockInContext(e->c, t->fn, "done");
    LLVMValueRef is = build(e, t, s[0]), fast = build(e, t, s[1]), in[2], phi;
    LLVMBasicBlockRef at[2] = {LL.GetInsertBlock(e->b)};
    LL.BuildCondBr(e->b, kl_ll_any(e, LL.BuildNot(e->b, is, "")), far, done);
    LL.PositionBuilderAtEnd(e->b, far);
    in[0] = fast, in[1] = LL.BuildSelect(e->b, is, fast, build(e, t, s[2]), "");
    at[1] = LL.GetInsertBlock(e->b);
    LL.BuildBr(e->b, done);
    LL.PositionBuilderAtEnd(e->b, done);
    phi = LL.BuildPhi(e->b, LL.TypeOf(fast), "");
    LL.AddIncoming(phi, in, at, 2);
    LL.BuildRet(e->b, phi);
}

static LLVMValueRef function(kl_ll *e, kl_op op, kl_dtype dt, int lanes)
{
    char name[40];
    snprintf(name, sizeof name, "kl.%s.%sx%d", kl_ops[op].name, kl_dtypes[dt].name,
             lanes);
    LLVMValueRef fn = LL.GetNamedFunction(e->u->mod, name);
    if (fn)
        return fn;
    LLVMTypeRef t = kl_ll_type(e, dt, lanes), params[] = {t, t, t};
    LLVMBuilderRef outer = e->b;
    unsigned n = (unsigned)kl_ops[op].arity;
    fn = LL.AddFunction(e->u->mod, name, LL.FunctionType(t, params, n, 0));
    LL.SetLinkage(fn, LLVMInternalLinkage);
    tree body = {.fn = fn, .lanes = lanes};
    e->b = LL.CreateBuilderInContext(e->c);
    LL.PositionBuilderAtEnd(e->b, LL.AppendBasicBlockInContext(e->c, fn, "entry"));
    (op == KL_OP_fma ? fused : usual)(e, &body, op, dt);
    LL.DisposeBuilder(e->b);
    e->b = outer;
    kl_xlist_free(&body.order);
    return fn;
}

LLVMValueRef kl_ll_called(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a, LLVMValueRef b,
                          LLVMValueRef c)
{
    LLVMValueRef fn = function(e, op, dt, kl_ll_lanes_of(a)), args[] = {a, b, c};
    return LL.BuildCall2(e->b, LL.GlobalGetValueType(fn), fn, args,
                         (unsigned)kl_ops[op].arity, "");
}
