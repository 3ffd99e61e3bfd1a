/* llvm_cast.c: conversions between dtypes on LLVM scalars or vectors, each with one
 * rounding.
 *
 * LLVM's own conversions are used where they are total and exact about it; what they
 * leave undefined (a float out of an integer's range) is selected away. f16 and bf16 are
 * integers here. A wider source becomes a narrow float through f32 rounded *to odd*: an
 * inexact value gets its last bit set, so that the second rounding sees that it was
 * inexact.
 *
 *   f64 -> bf16   to_odd(f64 -> f32), then (bits + 0x7fff + lowest kept bit) >> 16 */
#include "codegen/llvm_emit.h"

static LLVMValueRef pick(kl_ll *e, LLVMValueRef c, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildSelect(e->b, c, a, b, "");
}

static LLVMValueRef bin(kl_ll *e, int op, LLVMValueRef a, LLVMValueRef b)
{
    return LL.BuildBinOp(e->b, op, a, b, "");
}

/* An integer constant of a's type. */
static LLVMValueRef k(kl_ll *e, LLVMValueRef like, uint64_t v)
{
    LLVMTypeRef t = LL.TypeOf(like);
    int lanes = kl_ll_lanes_of(like);
    return kl_ll_const_int(
        e, (int)LL.GetIntTypeWidth(lanes > 1 ? LL.GetElementType(t) : t), v, lanes);
}

static LLVMValueRef to(kl_ll *e, int op, LLVMValueRef a, kl_dtype dt)
{
    return LL.BuildCast(e->b, op, a, kl_ll_type(e, dt, kl_ll_lanes_of(a)), "");
}

static LLVMValueRef f32_of_bits(kl_ll *e, LLVMValueRef bits)
{
    return LL.BuildBitCast(e->b, bits, kl_ll_type(e, KL_F32, kl_ll_lanes_of(bits)), "");
}

/* ---- halves ---- */

/* Hardware conversion of f16, exact, to nearest even, denormals kept. */
static bool has_f16c(const kl_ll *e)
{
    return e->t->fma;
}

static LLVMTypeRef half_type(kl_ll *e, LLVMValueRef like)
{
    LLVMTypeRef t = LL.HalfTypeInContext(e->c);
    int lanes = kl_ll_lanes_of(like);
    return lanes > 1 ? LL.VectorType(t, (unsigned)lanes) : t;
}

static LLVMValueRef f16_to_f32(kl_ll *e, LLVMValueRef h)
{
    if (has_f16c(e))
        return to(e, LLVMFPExt, LL.BuildBitCast(e->b, h, half_type(e, h), ""), KL_F32);
    LLVMValueRef w = to(e, LLVMZExt, h, KL_U32), em = bin(e, LLVMAnd, w, k(e, w, 0x7fff));
    LLVMValueRef sign = bin(e, LLVMShl, bin(e, LLVMAnd, w, k(e, w, 0x8000)), k(e, w, 16));
    LLVMValueRef x = bin(e, LLVMShl, em, k(e, w, 13));
    LLVMValueRef normal = bin(e, LLVMAdd, x, k(e, w, 112u << 23));
    LLVMValueRef top = bin(e, LLVMAdd, x, k(e, w, 224u << 23));
    LLVMValueRef magic = k(e, w, 113u << 23);
    LLVMValueRef by = f32_of_bits(e, magic);
    LLVMValueRef tiny = bin(e, LLVMFSub, f32_of_bits(e, bin(e, LLVMAdd, x, magic)), by);
    LLVMValueRef bits = kl_ll_as_bits(e, tiny);
    LLVMValueRef low = LL.BuildICmp(e->b, LLVMIntULT, em, k(e, w, 0x400), "");
    LLVMValueRef y = pick(e, low, bits, normal);
    y = pick(e, LL.BuildICmp(e->b, LLVMIntUGE, em, k(e, w, 0x7c00), ""), top, y);
    return f32_of_bits(e, bin(e, LLVMOr, y, sign));
}

static LLVMValueRef f32_to_f16(kl_ll *e, LLVMValueRef f)
{
    if (has_f16c(e)) {
        LLVMValueRef h = LL.BuildCast(e->b, LLVMFPTrunc, f, half_type(e, f), "");
        return LL.BuildBitCast(e->b, h, kl_ll_type(e, KL_U16, kl_ll_lanes_of(f)), "");
    }
    LLVMValueRef w = kl_ll_as_bits(e, f), a = bin(e, LLVMAnd, w, k(e, w, 0x7fffffff));
    LLVMValueRef sign =
        bin(e, LLVMAnd, bin(e, LLVMLShr, w, k(e, w, 16)), k(e, w, 0x8000));
    LLVMValueRef odd = bin(e, LLVMAnd, bin(e, LLVMLShr, a, k(e, w, 13)), k(e, w, 1));
    LLVMValueRef r = bin(e, LLVMAdd, bin(e, LLVMAdd, a, k(e, w, 0xc8000fff)), odd);
    LLVMValueRef normal = bin(e, LLVMLShr, r, k(e, w, 13)), half = k(e, w, 0x3f000000);
    LLVMValueRef unit = f32_of_bits(e, half);
    LLVMValueRef sum = bin(e, LLVMFAdd, f32_of_bits(e, a), unit);
    LLVMValueRef tiny = bin(e, LLVMSub, kl_ll_as_bits(e, sum), half);
    LLVMValueRef nan = LL.BuildICmp(e->b, LLVMIntUGT, a, k(e, w, 0x7f800000), "");
    LLVMValueRef top = pick(e, nan, k(e, w, 0x7e00), k(e, w, 0x7c00));
    LLVMValueRef y =
        pick(e, LL.BuildICmp(e->b, LLVMIntULT, a, k(e, w, 0x38800000), ""), tiny, normal);
    y = pick(e, LL.BuildICmp(e->b, LLVMIntUGE, a, k(e, w, 0x47800000), ""), top, y);
    return to(e, LLVMTrunc, bin(e, LLVMOr, y, sign), KL_U16);
}

static LLVMValueRef bf16_to_f32(kl_ll *e, LLVMValueRef h)
{
    LLVMValueRef w = to(e, LLVMZExt, h, KL_U32);
    return f32_of_bits(e, bin(e, LLVMShl, w, k(e, w, 16)));
}

static LLVMValueRef f32_to_bf16(kl_ll *e, LLVMValueRef f)
{
    LLVMValueRef w = kl_ll_as_bits(e, f), hi = bin(e, LLVMLShr, w, k(e, w, 16));
    LLVMValueRef r = bin(e, LLVMAdd, w, bin(e, LLVMAnd, hi, k(e, w, 1)));
    r = bin(e, LLVMLShr,
            bin(e, LLVMAdd, r, k(e, w, KL_PLANTED(bf16_tie) ? 0x8000 : 0x7fff)),
            k(e, w, 16));
    LLVMValueRef nan = LL.BuildFCmp(e->b, LLVMRealUNO, f, f, "");
    return to(e, LLVMTrunc, pick(e, nan, bin(e, LLVMOr, hi, k(e, w, 0x40)), r), KL_U16);
}

static LLVMValueRef widen(kl_ll *e, kl_dtype from, LLVMValueRef a)
{
    return from == KL_F16 ? f16_to_f32(e, a) : bf16_to_f32(e, a);
}

static LLVMValueRef narrow(kl_ll *e, kl_dtype dt, LLVMValueRef f)
{
    return dt == KL_F16 ? f32_to_f16(e, f) : f32_to_bf16(e, f);
}

/* ---- rounding to odd ---- */

static LLVMValueRef f64_to_f32_odd(kl_ll *e, LLVMValueRef d)
{
    LLVMValueRef f = to(e, LLVMFPTrunc, d, KL_F32), back = to(e, LLVMFPExt, f, KL_F64);
    LLVMValueRef w = kl_ll_as_bits(e, f), one = k(e, w, 1);
    LLVMTypeRef t = LL.TypeOf(d);
    LLVMValueRef was = kl_ll_call(e, "llvm.fabs", &t, 1, &d, 1),
                 is = kl_ll_call(e, "llvm.fabs", &t, 1, &back, 1),
                 big = LL.BuildFCmp(e->b, LLVMRealOGT, is, was, "");
    LLVMValueRef up = bin(e, LLVMAdd, w, one), down = bin(e, LLVMSub, w, one),
                 moved = pick(e, big, down, up);
    LLVMValueRef even =
        LL.BuildICmp(e->b, LLVMIntEQ, bin(e, LLVMAnd, w, one), k(e, w, 0), "");
    LLVMValueRef inexact = LL.BuildFCmp(e->b, LLVMRealONE, back, d, "");
    return f32_of_bits(e, pick(e, bin(e, LLVMAnd, even, inexact), moved, w));
}

/* A 64-bit integer of at most 53 leading bits that rounds on as v does. */
static LLVMValueRef sticky53(kl_ll *e, LLVMValueRef v, bool is_signed)
{
    LLVMValueRef low = bin(e, LLVMAnd, v, k(e, v, 0x7ff));
    LLVMValueRef lost = LL.BuildICmp(e->b, LLVMIntNE, low, k(e, v, 0), "");
    LLVMValueRef cut = bin(e, LLVMAnd, v, k(e, v, ~(uint64_t)0x7ff));
    LLVMValueRef odd = bin(e, LLVMOr, cut, pick(e, lost, k(e, v, 0x800), k(e, v, 0)));
    LLVMValueRef u = is_signed ? bin(e, LLVMAdd, v, k(e, v, (uint64_t)1 << 52)) : v;
    LLVMValueRef fits = LL.BuildICmp(e->b, LLVMIntULT, u, k(e, v, (uint64_t)1 << 53), "");
    return pick(e, fits, v, odd);
}

/* ---- by class ---- */

static LLVMValueRef int_to_float(kl_ll *e, kl_dtype dt, kl_dtype from, LLVMValueRef a)
{
    bool sg = kl_dtypes[from].cls == KL_CLS_SINT;
    int op = sg ? LLVMSIToFP : LLVMUIToFP;
    if (dt == KL_F32 || dt == KL_F64)
        return to(e, op, a, dt);
    if (dt == KL_F16 ||
        kl_dtypes[from].size <= 2) /* what f32 would round is infinite in f16 */
        return narrow(e, dt, to(e, op, a, KL_F32));
    if (kl_dtypes[from].size == 8)
        a = sticky53(e, a, sg);
    return narrow(e, dt, f64_to_f32_odd(e, to(e, op, a, KL_F64)));
}

static LLVMValueRef float_to_float(kl_ll *e, kl_dtype dt, kl_dtype from, LLVMValueRef a)
{
    if (from == KL_F16 || from == KL_BF16) {
        a = widen(e, from, a);
        from = KL_F32;
    }
    if (dt == from)
        return a;
    if (dt == KL_F64)
        return to(e, LLVMFPExt, a, dt);
    if (dt == KL_F32)
        return to(e, LLVMFPTrunc, a, dt);
    return narrow(e, dt, from == KL_F64 ? f64_to_f32_odd(e, a) : a);
}

/* 2^n as a constant of float dtype dt. */
static LLVMValueRef power2(kl_ll *e, kl_dtype dt, int n, bool negative, int lanes)
{
    uint64_t bits = dt == KL_F32 ? (uint64_t)(127 + n) << 23 : (uint64_t)(1023 + n) << 52;
    return kl_ll_const(e, dt, bits | (uint64_t)negative << (dt == KL_F32 ? 31 : 63),
                       lanes);
}

/* Truncates; out of range saturates; NaN gives 0. */
static LLVMValueRef float_to_int(kl_ll *e, kl_dtype dt, kl_dtype from, LLVMValueRef a)
{
    int lanes = kl_ll_lanes_of(a), bits = kl_dtypes[dt].size * 8;
    bool sg = kl_dtypes[dt].cls == KL_CLS_SINT;
    LLVMValueRef zero = kl_ll_const(e, from, 0, lanes);
    LLVMValueRef hi = power2(e, from, sg ? bits - 1 : bits, false, lanes);
    LLVMValueRef below = LL.BuildFCmp(e->b, LLVMRealOLT, a, hi, "");
    LLVMValueRef above = sg ? LL.BuildFCmp(e->b, LLVMRealOGE, a,
                                           power2(e, from, bits - 1, true, lanes), "")
                            : LL.BuildFCmp(e->b, LLVMRealOGT, a, zero, "");
    LLVMValueRef in = pick(e, bin(e, LLVMAnd, below, above), a, zero);
    LLVMValueRef y = to(e, sg ? LLVMFPToSI : LLVMFPToUI, in, dt);
    LLVMValueRef top = LL.BuildFCmp(e->b, LLVMRealOGE, a, hi, "");
    uint64_t most = (bits == 64 ? 0 : (uint64_t)1 << bits) - 1;
    if (!KL_PLANTED(saturate))
        y = pick(e, top, kl_ll_const(e, dt, sg ? most >> 1 : most, lanes), y);
    if (!sg)
        return y;
    LLVMValueRef bottom =
        LL.BuildFCmp(e->b, LLVMRealOLT, a, power2(e, from, bits - 1, true, lanes), "");
    return pick(e, bottom, kl_ll_const(e, dt, (most >> 1) + 1, lanes), y);
}

static LLVMValueRef to_bool(kl_ll *e, kl_dtype from, LLVMValueRef a)
{
    if (from == KL_F32 || from == KL_F64)
        return LL.BuildFCmp(e->b, LLVMRealUNE, a,
                            kl_ll_const(e, from, 0, kl_ll_lanes_of(a)), "");
    if (kl_is_float(from)) /* -0 is zero */
        a = bin(e, LLVMAnd, a, k(e, a, 0x7fff));
    return LL.BuildICmp(e->b, LLVMIntNE, a, k(e, a, 0), "");
}

static LLVMValueRef from_bool(kl_ll *e, kl_dtype dt, LLVMValueRef a)
{
    if (!kl_is_float(dt))
        return to(e, LLVMZExt, a, dt);
    static const uint64_t ones[KL_DTYPE_COUNT] = {[KL_F16] = 0x3c00,
                                                  [KL_BF16] = 0x3f80,
                                                  [KL_F32] = 0x3f800000,
                                                  [KL_F64] = 0x3ff0000000000000};
    int lanes = kl_ll_lanes_of(a);
    return pick(e, a, kl_ll_const(e, dt, ones[dt], lanes), kl_ll_const(e, dt, 0, lanes));
}

static LLVMValueRef int_to_int(kl_ll *e, kl_dtype dt, kl_dtype from, LLVMValueRef a)
{
    int size = kl_dtypes[dt].size, was = kl_dtypes[from].size;
    if (size == was)
        return a;
    if (size < was)
        return to(e, LLVMTrunc, a, dt);
    return to(e, kl_dtypes[from].cls == KL_CLS_SINT ? LLVMSExt : LLVMZExt, a, dt);
}

LLVMValueRef kl_ll_cast(kl_ll *e, kl_dtype dt, kl_dtype from, LLVMValueRef a)
{
    if (dt == from)
        return a;
    if (dt == KL_BOOL)
        return to_bool(e, from, a);
    if (from == KL_BOOL)
        return from_bool(e, dt, a);
    if (kl_is_float(dt))
        return kl_is_float(from) ? float_to_float(e, dt, from, a)
                                 : int_to_float(e, dt, from, a);
    if (!kl_is_float(from))
        return int_to_int(e, dt, from, a);
    if (from == KL_F16 || from == KL_BF16) {
        a = widen(e, from, a);
        from = KL_F32;
    }
    return float_to_int(e, dt, from, a);
}

LLVMValueRef kl_ll_bitcast(kl_ll *e, kl_dtype dt, kl_dtype from, LLVMValueRef a)
{
    if (dt == KL_BOOL && from != KL_BOOL)
        return to_bool(e, KL_U8, a);
    if (from == KL_BOOL && dt != KL_BOOL)
        return to(e, LLVMZExt, a, KL_U8);
    return LL.BuildBitCast(e->b, a, kl_ll_type(e, dt, kl_ll_lanes_of(a)), "");
}
