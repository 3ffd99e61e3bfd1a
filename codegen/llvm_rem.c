/* llvm_rem.c: the exact remainder of two floats, as a private function of the module.
 *
 * LLVM's frem is a call of fmod, which a closed object has not. This is ir/eval_float.h's
 * long division of the mantissas as integers, some bits of the quotient a time:
 *
 *   rem(a, b) = a - trunc(a / b) * b, a's sign     ->   m = (m << step) % mb, until the
 * exponents meet; then normalised */
#include "codegen/llvm_emit.h"

typedef struct rem {
    kl_ll *e;
    LLVMBuilderRef b;
    LLVMValueRef fn;
    kl_dtype dt;
    int mant, bits; /* explicit mantissa bits; all bits */
    uint64_t inf;   /* the bits of infinity */
} rem;

static LLVMBasicBlockRef block(rem *r, const char *name)
{
    return LL.AppendBasicBlockInContext(r->e->c, r->fn, name);
}

static LLVMValueRef k64(rem *r, uint64_t v)
{
    return kl_ll_i64(r->e, (int64_t)v);
}

static LLVMValueRef kf(rem *r, uint64_t bits)
{
    return kl_ll_const(r->e, r->dt, bits, 1);
}

static LLVMValueRef bin(rem *r, int op, LLVMValueRef x, LLVMValueRef y)
{
    return LL.BuildBinOp(r->b, op, x, y, "");
}

static LLVMValueRef intrinsic(rem *r, const char *name, LLVMValueRef *args, int n)
{
    LLVMTypeRef t = LL.TypeOf(args[0]);
    unsigned id = LL.LookupIntrinsicID(name, strlen(name));
    return LL.BuildCall2(r->b, LL.IntrinsicGetType(r->e->c, id, &t, 1),
                         LL.GetIntrinsicDeclaration(r->e->u->mod, id, &t, 1), args,
                         (unsigned)n, "");
}

/* The bits of a float without its sign, as i64. */
static LLVMValueRef magnitude(rem *r, LLVMValueRef f)
{
    LLVMValueRef v = LL.BuildBitCast(r->b, f, kl_ll_int(r->e, r->bits, 1), "");
    if (r->bits < 64)
        v = LL.BuildZExt(r->b, v, kl_ll_int(r->e, 64, 1), "");
    return bin(r, LLVMAnd, v, k64(r, ((uint64_t)1 << (r->bits - 1)) - 1));
}

/* The mantissa with its implicit bit, and the exponent field (1 for denormals). */
static LLVMValueRef split(rem *r, LLVMValueRef v, LLVMValueRef *exponent)
{
    LLVMValueRef field = bin(r, LLVMLShr, v, k64(r, (uint64_t)r->mant));
    LLVMValueRef denormal = LL.BuildICmp(r->b, LLVMIntEQ, field, k64(r, 0), "");
    LLVMValueRef m = bin(r, LLVMAnd, v, k64(r, ((uint64_t)1 << r->mant) - 1));
    LLVMValueRef whole = bin(r, LLVMOr, m, k64(r, (uint64_t)1 << r->mant));
    *exponent = LL.BuildSelect(r->b, denormal, k64(r, 1), field, "");
    return LL.BuildSelect(r->b, denormal, m, whole, "");
}

/* m in units of exponent ex, as a float with a's sign. */
static LLVMValueRef join(rem *r, LLVMValueRef m, LLVMValueRef ex, LLVMValueRef a)
{
    LLVMValueRef args[] = {m, kl_ll_const(r->e, KL_BOOL, 0, 1)};
    LLVMValueRef lead = intrinsic(r, "llvm.ctlz", args, 2);
    LLVMValueRef room = bin(r, LLVMSub, lead, k64(r, (uint64_t)(63 - r->mant)));
    LLVMValueRef least = bin(r, LLVMSub, ex, k64(r, 1));
    LLVMValueRef by[] = {room, least};
    LLVMValueRef sh = intrinsic(r, "llvm.umin", by, 2);
    m = bin(r, LLVMShl, m, sh);
    LLVMValueRef top = k64(r, (uint64_t)1 << r->mant);
    LLVMValueRef normal = LL.BuildICmp(r->b, LLVMIntUGE, m, top, "");
    LLVMValueRef field =
        bin(r, LLVMShl, bin(r, LLVMSub, ex, sh), k64(r, (uint64_t)r->mant));
    field = LL.BuildSelect(r->b, normal, field, k64(r, 0), "");
    m = bin(r, LLVMAnd, m, k64(r, ((uint64_t)1 << r->mant) - 1));
    LLVMValueRef y = bin(r, LLVMOr, field, m);
    if (r->bits < 64)
        y = LL.BuildTrunc(r->b, y, kl_ll_int(r->e, r->bits, 1), "");
    LLVMValueRef signs[] = {LL.BuildBitCast(r->b, y, LL.TypeOf(a), ""), a};
    return intrinsic(r, "llvm.copysign", signs, 2);
}

static void put_return(rem *r, LLVMBasicBlockRef at, LLVMValueRef v)
{
    LL.PositionBuilderAtEnd(r->b, at);
    LL.BuildRet(r->b, v);
}

/* The long division, from block `go`. */
static void divide(rem *r, LLVMBasicBlockRef go, LLVMValueRef x, LLVMValueRef y,
                   LLVMValueRef a)
{
    LLVMBasicBlockRef loop = block(r, "loop"), body = block(r, "body"),
                      done = block(r, "done");
    LLVMValueRef ex, ey, step = k64(r, (uint64_t)(63 - r->mant));
    LL.PositionBuilderAtEnd(r->b, go);
    LLVMValueRef mx = split(r, x, &ex), my = split(r, y, &ey);
    LLVMValueRef m0 = bin(r, LLVMURem, mx, my), k0 = bin(r, LLVMSub, ex, ey);
    LL.BuildBr(r->b, loop);
    LL.PositionBuilderAtEnd(r->b, loop);
    LLVMTypeRef i64 = kl_ll_int(r->e, 64, 1);
    LLVMValueRef m = LL.BuildPhi(r->b, i64, "m"), k = LL.BuildPhi(r->b, i64, "k");
    LLVMValueRef rest = LL.BuildICmp(r->b, LLVMIntNE, m, k64(r, 0), ""),
                 bits = LL.BuildICmp(r->b, LLVMIntSGT, k, k64(r, 0), ""),
                 more = bin(r, LLVMAnd, bits, rest);
    LL.BuildCondBr(r->b, more, body, done);
    LL.PositionBuilderAtEnd(r->b, body);
    LLVMValueRef by[] = {k, step};
    LLVMValueRef m1 =
        bin(r, LLVMURem, bin(r, LLVMShl, m, intrinsic(r, "llvm.umin", by, 2)), my);
    LLVMValueRef k1 = bin(r, LLVMSub, k, step);
    LL.BuildBr(r->b, loop);
    LLVMValueRef ms[] = {m0, m1}, ks[] = {k0, k1};
    LLVMBasicBlockRef from[] = {go, body};
    LL.AddIncoming(m, ms, from, 2);
    LL.AddIncoming(k, ks, from, 2);
    LL.PositionBuilderAtEnd(r->b, done);
    LL.BuildRet(r->b, join(r, m, ey, a));
}

static void define(rem *r)
{
    LLVMBasicBlockRef entry = block(r, "entry"), finite = block(r, "finite");
    LLVMBasicBlockRef none = block(r, "none"), less = block(r, "less"),
                      go = block(r, "go");
    LLVMValueRef a = LL.GetParam(r->fn, 0), b = LL.GetParam(r->fn, 1);
    LL.PositionBuilderAtEnd(r->b, entry);
    LLVMValueRef x = magnitude(r, a), y = magnitude(r, b);
    /* magnitudes of floats are ordered as integers: a is finite, b is no zero and no NaN
     */
    LLVMValueRef fa = LL.BuildICmp(r->b, LLVMIntULT, x, k64(r, r->inf), "");
    LLVMValueRef b1 = bin(r, LLVMSub, y, k64(r, 1));
    LLVMValueRef fb = LL.BuildICmp(r->b, LLVMIntULT, b1, k64(r, r->inf), "");
    LL.BuildCondBr(r->b, bin(r, LLVMAnd, fa, fb), finite, none);
    put_return(r, none, kf(r, r->inf | (uint64_t)1 << (r->mant - 1)));
    LL.PositionBuilderAtEnd(r->b, finite);
    LL.BuildCondBr(r->b, LL.BuildICmp(r->b, LLVMIntULT, x, y, ""), less, go);
    put_return(r, less, a);
    divide(r, go, x, y, a);
}

LLVMValueRef kl_ll_rem_function(kl_ll *e, kl_dtype dt)
{
    const char *name = dt == KL_F32 ? "kl.rem.f32" : "kl.rem.f64";
    LLVMValueRef fn = LL.GetNamedFunction(e->u->mod, name);
    if (fn)
        return fn;
    LLVMTypeRef t = kl_ll_type(e, dt, 1), params[] = {t, t};
    rem r = {
        .e = e, .dt = dt, .mant = dt == KL_F32 ? 23 : 52, .bits = dt == KL_F32 ? 32 : 64};
    r.inf = dt == KL_F32 ? 0x7f800000 : 0x7ff0000000000000;
    r.fn = LL.AddFunction(e->u->mod, name, LL.FunctionType(t, params, 2, 0));
    LL.SetLinkage(r.fn, LLVMInternalLinkage);
    r.b = LL.CreateBuilderInContext(e->c);
    define(&r);
    LL.DisposeBuilder(r.b);
    return r.fn;
}
