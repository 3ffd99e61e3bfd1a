/* eval.c: what the elementwise rows mean, on arrays and on one element. The exact rows
 * are ops.def's KL_SEM compiled for every dtype (eval_rows.h makes the loops, eval_int.h
 * and eval_float.h the helpers that KL_SEM names); f16 and bf16 are computed in f32 and
 * rounded after each row; MATH rows run the bodies of math.def; complex rows are in
 * eval_complex.c, casts in eval_cast.c. The graph interpreter and the constant folder use
 * nothing else.
 *
 *   kl_eval_n(KL_OP_add, KL_U8, 1, y, a, b, NULL)     200 + 100 -> 44
 *
 * y may be a, b or c itself; it may not overlap them otherwise. */
#include "ir/ir.h"

#include <math.h>

/* Rows without a meaning for a class still have to be C: they become 0 and are never run.
 */
#define KL_CAT_(a, b) a##b
#define KL_CAT(a, b) KL_CAT_(a, b)
#define ONLY_0(f, ...) (0)
#define ONLY_1(f, ...) FN(f)(__VA_ARGS__)
#define NUMBER(f, ...) KL_CAT(ONLY_, IS_NUMBER)(f, __VA_ARGS__)
#define WHOLE(f, ...) KL_CAT(ONLY_, IS_INT)(f, __VA_ARGS__)
#define FLOATING(f, ...) KL_CAT(ONLY_, IS_FLOAT)(f, __VA_ARGS__)
#define DISCRETE(f, ...) KL_CAT(ONLY_, IS_DISCRETE)(f, __VA_ARGS__)
#define kl_add(a, b) FN(add)(a, b)
#define kl_mul(a, b) FN(mul)(a, b)
#define kl_min(a, b) FN(min)(a, b)
#define kl_max(a, b) FN(max)(a, b)
#define kl_neg(a) NUMBER(neg, a)
#define kl_abs(a) NUMBER(abs, a)
#define kl_sub(a, b) NUMBER(sub, a, b)
#define kl_div(a, b) NUMBER(div, a, b)
#define kl_floordiv(a, b) NUMBER(floordiv, a, b)
#define kl_mod(a, b) NUMBER(mod, a, b)
#define kl_rem(a, b) NUMBER(rem, a, b)
#define kl_not(a) DISCRETE(not, a)
#define kl_and(a, b) DISCRETE(and, a, b)
#define kl_or(a, b) DISCRETE(or, a, b)
#define kl_xor(a, b) DISCRETE(xor, a, b)
#define kl_shl(a, b) WHOLE(shl, a, b)
#define kl_shr(a, b) WHOLE(shr, a, b)
#define kl_sqrt(a) FLOATING(sqrt, a)
#define kl_floor(a) FLOATING(floor, a)
#define kl_ceil(a) FLOATING(ceil, a)
#define kl_trunc(a) FLOATING(trunc, a)
#define kl_round(a) FLOATING(round, a)
#define kl_fma(a, b, c) FLOATING(fma, a, b, c)

/* ops.def's flags, and whether a row has a meaning for the class at hand. */
enum {
    COMM = 1,
    ASSOC = 2,
    IDEMP = 4,
    RED = 8,
    INT = 16,
    NOBOOL = 32,
    CPLX = 64,
    MATH = 128
};
enum { MULTI = 256, GRAPH = 512 };
#define FITS(rule, flags)                                                                \
    ((KL_RULE_##rule != KL_RULE_FLOAT || IS_FLOAT) && (!((flags)&INT) || !IS_FLOAT) &&   \
     (!((flags)&NOBOOL) || !IS_BOOL))
#define IS_NUMBER KL_CAT(NUMBER_, IS_BOOL)
#define NUMBER_0 1
#define NUMBER_1 0
#define IS_DISCRETE KL_CAT(NUMBER_, IS_FLOAT)

/* The loops have no dependence between iterations, also when y is a source. */
#if defined(__clang__)
#define EACH for (int64_t i = 0; i < n; i++)
#else
#define EACH _Pragma("GCC ivdep") for (int64_t i = 0; i < n; i++)
#endif

/* ---- helpers ---- */

#define FN(x) x##_bool
static inline bool FN(add)(bool a, bool b)
{
    return a | b;
}
static inline bool FN(mul)(bool a, bool b)
{
    return a & b;
}
static inline bool FN(min)(bool a, bool b)
{
    return a & b;
}
static inline bool FN(max)(bool a, bool b)
{
    return a | b;
}
static inline bool FN (and)(bool a, bool b)
{
    return a & b;
}
static inline bool FN(or)(bool a, bool b)
{
    return a | b;
}
static inline bool FN (xor)(bool a, bool b)
{
    return a ^ b;
}
static inline bool FN(not )(bool a)
{
    return !a;
}
#undef FN

#define FN(x) x##_f32
#define T float
#define B uint32_t
#define MANT 23
#define EXP 255
#include "ir/eval_float.h"
static inline float sqrt_f32(float a)
{
    return __builtin_sqrtf(a);
}
#undef FN
#undef T
#undef B
#undef MANT
#undef EXP

#define FN(x) x##_f64
#define T double
#define B uint64_t
#define MANT 52
#define EXP 2047
#include "ir/eval_float.h"
static inline double sqrt_f64(double a)
{
    return __builtin_sqrt(a);
}
#undef FN
#undef T
#undef B
#undef MANT
#undef EXP

#include "ir/eval_fma.h"

/* ---- one function a dtype ---- */

#define NAME rows_bool
#define S uint8_t
#define T bool
#define FN(x) x##_bool
#define LOAD(v) ((v) != 0)
#define PUT(v) (v)
#define IS_BOOL 1
#define IS_INT 0
#define IS_FLOAT 0
#include "ir/eval_rows.h"

#define NAME rows_u8
#define FN(x) x##_u8
#define T uint8_t
#define BITS 8
#define SIGNED 0
#include "ir/eval_int.h"

#define NAME rows_i8
#define FN(x) x##_i8
#define T int8_t
#define BITS 8
#define SIGNED 1
#include "ir/eval_int.h"

#define NAME rows_u16
#define FN(x) x##_u16
#define T uint16_t
#define BITS 16
#define SIGNED 0
#include "ir/eval_int.h"

#define NAME rows_i16
#define FN(x) x##_i16
#define T int16_t
#define BITS 16
#define SIGNED 1
#include "ir/eval_int.h"

#define NAME rows_u32
#define FN(x) x##_u32
#define T uint32_t
#define BITS 32
#define SIGNED 0
#include "ir/eval_int.h"

#define NAME rows_i32
#define FN(x) x##_i32
#define T int32_t
#define BITS 32
#define SIGNED 1
#include "ir/eval_int.h"

#define NAME rows_u64
#define FN(x) x##_u64
#define T uint64_t
#define BITS 64
#define SIGNED 0
#include "ir/eval_int.h"

#define NAME rows_i64
#define FN(x) x##_i64
#define T int64_t
#define BITS 64
#define SIGNED 1
#include "ir/eval_int.h"

#define NAME rows_f16
#define S uint16_t
#define T float
#define FN(x) x##_f32
#define LOAD(v) kl_f16_to_f32(v)
#define PUT(v) kl_f32_to_f16(v)
#define IS_BOOL 0
#define IS_INT 0
#define IS_FLOAT 1
#include "ir/eval_rows.h"

#define NAME rows_bf16
#define S uint16_t
#define T float
#define FN(x) x##_f32
#define LOAD(v) kl_bf16_to_f32(v)
#define PUT(v) kl_f32_to_bf16(v)
#define IS_BOOL 0
#define IS_INT 0
#define IS_FLOAT 1
#include "ir/eval_rows.h"

#define NAME rows_f32
#define S float
#define T float
#define FN(x) x##_f32
#define LOAD(v) (v)
#define PUT(v) (v)
#define IS_BOOL 0
#define IS_INT 0
#define IS_FLOAT 1
#include "ir/eval_rows.h"

#define NAME rows_f64
#define S double
#define T double
#define FN(x) x##_f64
#define LOAD(v) (v)
#define PUT(v) (v)
#define IS_BOOL 0
#define IS_INT 0
#define IS_FLOAT 1
#include "ir/eval_rows.h"

/* ---- fma by the instruction, where this machine has it ---- */

#if defined(__x86_64__) && !defined(__FMA__)
__attribute__((target("avx2,fma"))) static void
fma_fast_f32(int64_t n, float *y, const float *a, const float *b, const float *c)
{
    EACH y[i] = __builtin_fmaf(a[i], b[i], c[i]);
}
__attribute__((target("avx2,fma"))) static void
fma_fast_f64(int64_t n, double *y, const double *a, const double *b, const double *c)
{
    EACH y[i] = __builtin_fma(a[i], b[i], c[i]);
}
static bool fma_fast(kl_dtype dt, int64_t n, void *y, const void *a, const void *b,
                     const void *c)
{
    static int have; /* 0: not asked yet; every thread finds the same answer */
    int known = __atomic_load_n(&have, __ATOMIC_RELAXED);
    if (known == 0) {
        __builtin_cpu_init();
        known = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? 1 : -1;
        __atomic_store_n(&have, known, __ATOMIC_RELAXED);
    }
    if (known < 0 || (dt != KL_F32 && dt != KL_F64))
        return false;
    if (dt == KL_F32)
        fma_fast_f32(n, y, a, b, c);
    else
        fma_fast_f64(n, y, a, b, c);
    return true;
}
#else
static bool fma_fast(kl_dtype dt, int64_t n, void *y, const void *a, const void *b,
                     const void *c)
{
    (void)dt, (void)n, (void)y, (void)a, (void)b, (void)c;
    return false;
}
#endif

double kl_fma_soft(double a, double b, double c)
{
    return fma_soft_f64(a, b, c);
}
float kl_fmaf_soft(float a, float b, float c)
{
    return fma_soft_f32(a, b, c);
}

/* ---- dispatch ---- */

typedef bool (*rows_fn)(kl_op op, int64_t n, void *y, const void *a, const void *b,
                        const void *c);
static const rows_fn rows[KL_DTYPE_COUNT] = {
    [KL_BOOL] = rows_bool, [KL_U8] = rows_u8,      [KL_I8] = rows_i8,
    [KL_U16] = rows_u16,   [KL_I16] = rows_i16,    [KL_U32] = rows_u32,
    [KL_I32] = rows_i32,   [KL_U64] = rows_u64,    [KL_I64] = rows_i64,
    [KL_F16] = rows_f16,   [KL_BF16] = rows_bf16,  [KL_F32] = rows_f32,
    [KL_F64] = rows_f64,   [KL_C64] = kl_eval_c64, [KL_C128] = kl_eval_c128,
};

/* Negation and |a| keep a NaN's payload: on the bits, since widening and rounding need
 * not. */
static bool half_signs(kl_op op, int64_t n, uint16_t *y, const uint16_t *a)
{
    if (op != KL_OP_neg && op != KL_OP_abs)
        return false;
    for (int64_t i = 0; i < n; i++)
        y[i] = op == KL_OP_neg ? a[i] ^ 0x8000 : a[i] & 0x7fff;
    return true;
}

void kl_eval_n(kl_op op, kl_dtype dt, int64_t n, void *y, const void *a, const void *b,
               const void *c)
{
    KL_PLANT_ROW(sem, op, dt, a, b, c);
    if ((dt == KL_F16 || dt == KL_BF16) && half_signs(op, n, y, a))
        return;
    if (op == KL_OP_fma && fma_fast(dt, n, y, a, b, c))
        return;
    bool done = rows[dt](op, n, y, a, b, c) || kl_math_eval_n(op, dt, n, y, a, b, c);
    KL_ASSERT(done);
}

kl_scalar kl_eval(kl_op op, kl_dtype dt, kl_scalar a, kl_scalar b, kl_scalar c)
{
    kl_scalar y = {.bits = 0};
    kl_eval_n(op, dt, 1, &y, &a, &b, &c);
    return y;
}

kl_scalar kl_eval_cast(kl_dtype to, kl_dtype from, kl_scalar a)
{
    kl_scalar y = {.bits = 0};
    kl_eval_cast_n(to, from, 1, &y, &a);
    return y;
}

kl_scalar kl_scalar_from(kl_dtype dt, double v)
{
    return kl_eval_cast(dt, KL_F64, (kl_scalar){.f64 = v});
}

kl_scalar kl_scalar_from_int(kl_dtype dt, int64_t v)
{
    return kl_eval_cast(dt, KL_I64, (kl_scalar){.i64 = v});
}

double kl_scalar_to_double(kl_dtype dt, kl_scalar s)
{
    return kl_eval_cast(KL_F64, dt, s).f64;
}

/* ---- neutral elements ---- */

/* The lowest and highest value of an integer dtype, as the i64 that casts to it by
 * wrapping. */
static int64_t int_limit(kl_dtype dt, bool high)
{
    unsigned bits = kl_dtypes[dt].bits;
    bool sint = kl_dtypes[dt].cls == KL_CLS_SINT;
    uint64_t top = (uint64_t)1 << (bits - 1);
    if (sint)
        return (int64_t)(high ? top - 1 : 0 - top);
    return (int64_t)(high ? (top - 1) | top : 0);
}

kl_scalar kl_identity(kl_op combine, kl_dtype dt)
{
    int64_t whole = 0, truth = 0;
    double real = 0;
    switch (combine) {
    default:
#define KL_OP(name, kind, arity, rule, flags)                                            \
    break;                                                                               \
    case KL_OP_##name:
#define KL_ID(b, i, f)                                                                   \
    {                                                                                    \
        int64_t lowest = int_limit(dt, false), highest = int_limit(dt, true);            \
        truth = b, whole = i;                                                            \
        (void)lowest, (void)highest;                                                     \
    }                                                                                    \
    {                                                                                    \
        double lowest = -(double)INFINITY, highest = (double)INFINITY;                   \
        real = f;                                                                        \
        (void)lowest, (void)highest;                                                     \
    }
#include "ir/ops.def"
        break;
    }
    if (KL_PLANTED_AT(identity, KL_PLANT_CELL(combine, kl_dtypes[dt].cls)))
        whole = 2, real = 2, truth = !truth;
    if (KL_PLANTED(sum_from_zero) && combine == KL_OP_add)
        real = 0;
    if (kl_is_float(dt) || kl_is_complex(dt))
        return kl_scalar_from(kl_dtypes[dt].real, real);
    return kl_scalar_from_int(dt, dt == KL_BOOL ? truth : whole);
}

kl_scalar kl_empty(kl_op combine, kl_dtype dt)
{
    return combine == KL_OP_add ? kl_scalar_from_int(kl_dtypes[dt].real, 0)
                                : kl_identity(combine, dt);
}
