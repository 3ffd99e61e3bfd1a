/* llvm_op.c: one elementwise row on LLVM scalars or vectors.
 *
 * Most rows say in ops.def's KL_LL column what they are: a builder opcode, a comparison,
 * an intrinsic. The rest have a function here. All are total, as ops.def has them: LLVM's
 * poison (division by zero, shifts past the width) is selected away before it arises, and
 * floats keep NaN and the sign of zero:
 *
 *   min(a, b)   or(a < b ? a : b, b < a ? b : a)     each side is one minps; of two zeros
 * the or is -0, and a NaN's bits survive it */
#include "codegen/llvm_emit.h"

int kl_ll_lanes_of(LLVMValueRef v)
{
    LLVMTypeRef t = LL.TypeOf(v);
    return LL.GetTypeKind(t) == LLVMVectorTypeKind ? (int)LL.GetVectorSize(t) : 1;
}

typedef LLVMValueRef (*row_fn)(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b);

static LLVMValueRef k_int(kl_ll *e, kl_dtype dt, int64_t v, LLVMValueRef like)
{
    return kl_ll_const(e, dt, (uint64_t)v, kl_ll_lanes_of(like));
}

static LLVMValueRef icmp(kl_ll *e, int p, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildICmp(e->b, p, a, b, "");
}

static LLVMValueRef pick(kl_ll *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildSelect(e->b, c, a, b, "");
}

static bool is_signed(kl_dtype dt)
{
    return kl_dtypes[dt].cls == KL_CLS_SINT;
}

/* ---- integer division ---- */

/* Quotient and remainder towards zero; by 0: 0 and a. The divisors LLVM may not see (0,
 * and -1 for the lowest value's sake) are replaced by 1, for which the remainder is
 * right. */
static LLVMValueRef quotient(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b,
                             bool rem)
{
    LLVMValueRef zero = k_int(e, dt, 0, a), one = k_int(e, dt, 1, a);
    LLVMValueRef by0 = icmp(e, LLVMIntEQ, b, zero), odd = by0, neg = NULL;
    if (is_signed(dt)) {
        neg = icmp(e, LLVMIntEQ, b, k_int(e, dt, -1, a));
        odd = LL.BuildOr(e->b, by0, neg, "");
    }
    LLVMValueRef safe = pick(e, odd, one, b);
    if (rem) {
        LLVMValueRef r = LL.BuildBinOp(e->b, neg ? LLVMSRem : LLVMURem, a, safe, "");
        return pick(e, by0, a, r);
    }
    LLVMValueRef q = LL.BuildBinOp(e->b, neg ? LLVMSDiv : LLVMUDiv, a, safe, "");
    if (neg)
        q = pick(e, neg, LL.BuildSub(e->b, zero, a, ""), q);
    return pick(e, by0, zero, q);
}

static LLVMValueRef int_div(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    return quotient(e, dt, a, b, false);
}

static LLVMValueRef int_rem(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    return quotient(e, dt, a, b, true);
}

/* Where the remainder is not 0 and has another sign than b: the floor is one less. */
static LLVMValueRef crosses(kl_ll *e, kl_dtype dt, LLVMValueRef r, LLVMValueRef b)
{
    LLVMValueRef zero = k_int(e, dt, 0, r);
    LLVMValueRef sign = icmp(e, LLVMIntSLT, LL.BuildXor(e->b, r, b, ""), zero);
    LLVMValueRef some = icmp(e, LLVMIntNE, r, zero);
    LLVMValueRef finite = LL.BuildNot(e->b, icmp(e, LLVMIntEQ, b, zero), "");
    return LL.BuildAnd(e->b, LL.BuildAnd(e->b, sign, some, ""), finite, "");
}

static LLVMValueRef int_floordiv(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef q = quotient(e, dt, a, b, false);
    if (!is_signed(dt))
        return q;
    LLVMValueRef low = crosses(e, dt, quotient(e, dt, a, b, true), b);
    return pick(e, low, LL.BuildSub(e->b, q, k_int(e, dt, 1, a), ""), q);
}

static LLVMValueRef int_mod(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef r = quotient(e, dt, a, b, true);
    if (!is_signed(dt))
        return r;
    LLVMValueRef other = LL.BuildAdd(e->b, r, b, "");
    return pick(e, crosses(e, dt, r, b), other, r);
}

/* Frozen: what strength reduction cannot see through it takes for one term. Sums of
 * quotients and remainders, taken apart, cost it more than all the rest of the compile.
 */
LLVMValueRef kl_ll_udiv(kl_ll *e, kl_op op, LLVMValueRef a, LLVMValueRef b)
{
    bool quot = op == KL_OP_floordiv || op == KL_OP_div;
    LLVMValueRef y = LL.BuildBinOp(e->b, quot ? LLVMUDiv : LLVMURem, a, b, "");
    bool opaque = kl_ll_lanes_of(y) == 1 && !LL.IsAConstantInt(y);
    return opaque ? LL.BuildFreeze(e->b, y, "") : y;
}

/* ---- shifts ---- */

static LLVMValueRef shift(kl_ll *e, kl_dtype dt, int opcode, LLVMValueRef a,
                          LLVMValueRef b)
{
    LLVMValueRef zero = k_int(e, dt, 0, a),
                 width = k_int(e, dt, kl_dtypes[dt].size * 8, a);
    LLVMValueRef in = icmp(e, LLVMIntULT, b, width), out = zero;
    LLVMValueRef y = LL.BuildBinOp(e->b, opcode, a, pick(e, in, b, zero), "");
    if (opcode == LLVMAShr)
        out = LL.BuildAShr(e->b, a, k_int(e, dt, kl_dtypes[dt].size * 8 - 1, a), "");
    return pick(e, in, y, out);
}

static LLVMValueRef int_shl(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    return shift(e, dt, LLVMShl, a, b);
}

static LLVMValueRef int_shr(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    return shift(e, dt, is_signed(dt) ? LLVMAShr : LLVMLShr, a, b);
}

/* ---- floats ---- */

LLVMValueRef kl_ll_as_bits(kl_ll *e, LLVMValueRef a)
{
    LLVMTypeRef t = LL.TypeOf(a);
    int lanes = kl_ll_lanes_of(a);
    if (lanes > 1)
        t = LL.GetElementType(t);
    int kind = LL.GetTypeKind(t);
    if (kind == LLVMIntegerTypeKind)
        return a;
    return LL.BuildBitCast(e->b, a,
                           kl_ll_int(e, kind == LLVMFloatTypeKind ? 32 : 64, lanes), "");
}

static LLVMValueRef fcmp(kl_ll *e, int p, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildFCmp(e->b, p, a, b, "");
}

/* a, b in one order or the other, joined on their bits. */
static LLVMValueRef both_ways(kl_ll *e, int p, int join, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef x = kl_ll_as_bits(e, pick(e, fcmp(e, p, a, b), a, b));
    LLVMValueRef y = kl_ll_as_bits(e, pick(e, fcmp(e, p, b, a), b, a));
    return LL.BuildBitCast(e->b, LL.BuildBinOp(e->b, join, x, y, ""), LL.TypeOf(a), "");
}

/* With a constant that is no NaN one comparison does; which one says the constant's zero:
 * max(a, +0) = a <= +0 ? +0 : a. */
static LLVMValueRef bounded(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a,
                            LLVMValueRef c)
{
    int lanes = kl_ll_lanes_of(a);
    bool max = op == KL_OP_max;
    LLVMValueRef tie =
        kl_ll_const(e, dt, max ? 0 : (uint64_t)1 << (kl_dtypes[dt].size * 8 - 1), lanes);
    int p =
        c == tie ? (max ? LLVMRealOLE : LLVMRealOGE) : (max ? LLVMRealOLT : LLVMRealOGT);
    return pick(e, fcmp(e, p, a, c), c, a);
}

static LLVMValueRef nan_of(kl_ll *e, kl_dtype dt, LLVMValueRef like)
{
    return kl_ll_const(e, dt, dt == KL_F32 ? 0x7fc00000 : 0x7ff8000000000000,
                       kl_ll_lanes_of(like));
}

static bool is_number(kl_ll *e, LLVMValueRef c)
{
    return LL.IsConstant(c) &&
           fcmp(e, LLVMRealUNO, c, c) == kl_ll_const(e, KL_BOOL, 0, kl_ll_lanes_of(c));
}

static LLVMValueRef float_minmax(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a,
                                 LLVMValueRef b)
{
    if (is_number(e, b))
        return bounded(e, op, dt, a, b);
    if (is_number(e, a))
        return bounded(e, op, dt, b, a);
    if (op == KL_OP_min)
        return both_ways(e, LLVMRealOLT, LLVMOr, a, b);
    LLVMValueRef m = both_ways(e, LLVMRealOGT, LLVMAnd, a, b);
    return pick(e, fcmp(e, LLVMRealUNO, a, b), nan_of(e, dt, a), m);
}

static LLVMValueRef float_min(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    return float_minmax(e, KL_OP_min, dt, a, b);
}

static LLVMValueRef float_max(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    return float_minmax(e, KL_OP_max, dt, a, b);
}

static LLVMValueRef float_rem(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef fn = kl_ll_rem_function(e, dt);
    LLVMTypeRef t = LL.GlobalGetValueType(fn);
    int lanes = kl_ll_lanes_of(a);
    if (lanes == 1) {
        LLVMValueRef args[] = {a, b};
        return LL.BuildCall2(e->b, t, fn, args, 2, "");
    }
    LLVMValueRef y = LL.GetPoison(LL.TypeOf(a));
    for (int l = 0; l < lanes; l++) {
        LLVMValueRef i = kl_ll_const_int(e, 32, (uint64_t)l, 1);
        LLVMValueRef args[] = {LL.BuildExtractElement(e->b, a, i, ""),
                               LL.BuildExtractElement(e->b, b, i, "")};
        y = LL.BuildInsertElement(e->b, y, LL.BuildCall2(e->b, t, fn, args, 2, ""), i,
                                  "");
    }
    return y;
}

static LLVMValueRef float_crosses(kl_ll *e, kl_dtype dt, LLVMValueRef r, LLVMValueRef b)
{
    LLVMValueRef zero = k_int(e, dt, 0, r);
    LLVMValueRef r_below = fcmp(e, LLVMRealOLT, r, zero),
                 b_below = fcmp(e, LLVMRealOLT, b, zero),
                 differ = LL.BuildXor(e->b, b_below, r_below, "");
    return LL.BuildAnd(e->b, fcmp(e, LLVMRealUNE, r, zero), differ, "");
}

static LLVMValueRef float_mod(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    LLVMValueRef r = float_rem(e, dt, a, b);
    LLVMValueRef other = LL.BuildFAdd(e->b, r, b, "");
    return pick(e, float_crosses(e, dt, r, b), other, r);
}

/* ir/eval_float.h's, step by step. */
static LLVMValueRef float_floordiv(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    int lanes = kl_ll_lanes_of(a);
    LLVMValueRef one =
        kl_ll_const(e, dt, dt == KL_F32 ? 0x3f800000 : 0x3ff0000000000000, lanes);
    LLVMValueRef half =
        kl_ll_const(e, dt, dt == KL_F32 ? 0x3f000000 : 0x3fe0000000000000, lanes);
    LLVMValueRef zero = k_int(e, dt, 0, a), r = float_rem(e, dt, a, b);
    LLVMValueRef q = LL.BuildFDiv(e->b, LL.BuildFSub(e->b, a, r, ""), b, "");
    LLVMValueRef below = LL.BuildFSub(e->b, q, one, "");
    q = pick(e, float_crosses(e, dt, r, b), below, q);
    LLVMTypeRef t = LL.TypeOf(a);
    LLVMValueRef f = kl_ll_call(e, "llvm.floor", &t, 1, &q, 1);
    LLVMValueRef up = fcmp(e, LLVMRealOGT, LL.BuildFSub(e->b, q, f, ""), half);
    LLVMValueRef y = pick(e, up, LL.BuildFAdd(e->b, f, one, ""), f);
    LLVMValueRef ab = LL.BuildFDiv(e->b, a, b, ""), signs[] = {zero, ab};
    LLVMValueRef signed0 = kl_ll_call(e, "llvm.copysign", &t, 1, signs, 2);
    y = pick(e, fcmp(e, LLVMRealOEQ, q, zero), signed0, y);
    return pick(e, fcmp(e, LLVMRealOEQ, b, zero), ab, y);
}

static LLVMValueRef same(kl_ll *e, kl_dtype dt, LLVMValueRef a, LLVMValueRef b)
{
    (void)e, (void)dt, (void)b;
    return a;
}

/* ---- rows ---- */

/* Rows whose KL_LL says nothing, or something slow: bool and uint, sint, float. */
static const row_fn own[KL_OP_COUNT][3] = {
    [KL_OP_div] = {int_div, int_div, NULL},
    [KL_OP_floordiv] = {int_floordiv, int_floordiv, float_floordiv},
    [KL_OP_mod] = {int_mod, int_mod, float_mod},
    [KL_OP_rem] = {int_rem, int_rem, float_rem},
    [KL_OP_shl] = {int_shl, int_shl, NULL},
    [KL_OP_shr] = {int_shr, int_shr, NULL},
    [KL_OP_abs] = {same, NULL, NULL},
    [KL_OP_min] = {NULL, NULL, float_min},
    [KL_OP_max] = {NULL, NULL, float_max},
};

/* What the words of the KL_LL column stand for. */
static const struct word {
    const char *text;
    enum { BINARY, ICMP, FCMP, FNEG, SELECT } kind;
    int code;
} words[] = {
    {"add", BINARY, LLVMAdd},
    {"sub", BINARY, LLVMSub},
    {"mul", BINARY, LLVMMul},
    {"fadd", BINARY, LLVMFAdd},
    {"fsub", BINARY, LLVMFSub},
    {"fmul", BINARY, LLVMFMul},
    {"fdiv", BINARY, LLVMFDiv},
    {"and", BINARY, LLVMAnd},
    {"or", BINARY, LLVMOr},
    {"xor", BINARY, LLVMXor},
    {"icmp ult", ICMP, LLVMIntULT},
    {"icmp slt", ICMP, LLVMIntSLT},
    {"icmp ule", ICMP, LLVMIntULE},
    {"icmp sle", ICMP, LLVMIntSLE},
    {"icmp eq", ICMP, LLVMIntEQ},
    {"icmp ne", ICMP, LLVMIntNE},
    {"fcmp olt", FCMP, LLVMRealOLT},
    {"fcmp ole", FCMP, LLVMRealOLE},
    {"fcmp oeq", FCMP, LLVMRealOEQ},
    {"fcmp une", FCMP, LLVMRealUNE},
    {"fneg", FNEG, 0},
    {"select", SELECT, 0},
};

static LLVMValueRef by_word(kl_ll *e, const struct word *w, kl_dtype dt, LLVMValueRef a,
                            LLVMValueRef b, LLVMValueRef c)
{
    switch (w->kind) {
    case ICMP:
        return LL.BuildICmp(e->b, w->code, a, b, "");
    case FCMP:
        return LL.BuildFCmp(e->b, w->code, a, b, "");
    case FNEG:
        return LL.BuildFNeg(e->b, a, "");
    case SELECT:
        return pick(e, a, b, c);
    case BINARY:
        break;
    }
    if (b)
        return LL.BuildBinOp(e->b, w->code, a, b, "");
    /* one operand: negation and complement */
    if (w->code == LLVMSub)
        return LL.BuildSub(e->b, k_int(e, dt, 0, a), a, "");
    return LL.BuildXor(e->b, a, k_int(e, dt, -1, a), "");
}

static LLVMValueRef by_intrinsic(kl_ll *e, const char *name, LLVMValueRef a,
                                 LLVMValueRef b, LLVMValueRef c)
{
    LLVMTypeRef t = LL.TypeOf(a);
    LLVMValueRef args[] = {a, b, c};
    int n = c ? 3 : b ? 2 : 1;
    if (strcmp(name, "llvm.abs") == 0) /* the lowest value is itself */
        args[n++] = kl_ll_const(e, KL_BOOL, 0, 1);
    return kl_ll_call(e, name, &t, 1, args, n);
}

/* On bool, add and max are or, mul and min are and. */
static kl_op of_bool(kl_op op)
{
    return op == KL_OP_add || op == KL_OP_max   ? KL_OP_or
           : op == KL_OP_mul || op == KL_OP_min ? KL_OP_and
                                                : op;
}

LLVMValueRef kl_ll_op(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a, LLVMValueRef b,
                      LLVMValueRef c)
{
    KL_PLANT_ROW(llvm, op, dt, a, b, c);
    if (dt == KL_BOOL)
        op = of_bool(op);
    int cls = kl_is_float(dt) ? 2 : is_signed(dt) ? 1 : 0;
    if ((op == KL_OP_fma && !e->t->fma) || kl_ops[op].flags & KL_F_MATH)
        return kl_ll_called(e, op, dt, a, b, c);
    if (own[op][cls])
        return own[op][cls](e, dt, a, b);
    const char *text = kl_ops[op].ll[cls];
    if (strncmp(text, "llvm.", 5) == 0)
        return by_intrinsic(e, text, a, b, c);
    for (size_t i = 0; i < KL_COUNT(words); i++)
        if (strcmp(words[i].text, text) == 0)
            return by_word(e, &words[i], dt, a, b, c);
    kl_ll_fail(e, KL_ERR_UNSUPPORTED, kl_ops[op].name);
    return LL.GetPoison(LL.TypeOf(a));
}
