/* dtype.c: the table of element types, and what two of them become.
 *
 * Promotion is PyTorch's (2.x), which is a lattice: a dtype has a class, and the higher
 * class wins; within a class the wider wins; the two exceptions are u8 with a signed
 * integer (the next wider signed one that holds both) and f16 with bf16 (f32, which holds
 * both).
 *
 *     bool -> u8 -> i16 -> i32 -> i64 -> f16  -> f32 -> f64
 *          -> i8 ->                      bf16 ->  c64 -> c128
 *
 * u16, u32 and u64 meet only floats there; with any other integer, bool or complex
 * PyTorch refuses, and so do we: KL_DTYPE_NONE. */
#include "runtime/runtime.h"

#define ROW(t, name, torch, scalar, npy, st, size, cls, bits, real)                      \
    [KL_##t] = {name, torch, scalar, npy, st, size, KL_CLS_##cls, bits, KL_##real}

const kl_dtype_info kl_dtypes[KL_DTYPE_COUNT] = {
    ROW(BOOL, "bool", "bool", "Bool", "|b1", "BOOL", 1, BOOL, 1, BOOL),
    ROW(U8, "u8", "uint8", "Byte", "|u1", "U8", 1, UINT, 8, U8),
    ROW(I8, "i8", "int8", "Char", "|i1", "I8", 1, SINT, 8, I8),
    ROW(U16, "u16", "uint16", "UInt16", "<u2", "U16", 2, UINT, 16, U16),
    ROW(I16, "i16", "int16", "Short", "<i2", "I16", 2, SINT, 16, I16),
    ROW(U32, "u32", "uint32", "UInt32", "<u4", "U32", 4, UINT, 32, U32),
    ROW(I32, "i32", "int32", "Int", "<i4", "I32", 4, SINT, 32, I32),
    ROW(U64, "u64", "uint64", "UInt64", "<u8", "U64", 8, UINT, 64, U64),
    ROW(I64, "i64", "int64", "Long", "<i8", "I64", 8, SINT, 64, I64),
    ROW(F16, "f16", "float16", "Half", "<f2", "F16", 2, FLOAT, 16, F16),
    ROW(BF16, "bf16", "bfloat16", "BFloat16", NULL, "BF16", 2, FLOAT, 16, BF16),
    ROW(F32, "f32", "float32", "Float", "<f4", "F32", 4, FLOAT, 32, F32),
    ROW(F64, "f64", "float64", "Double", "<f8", "F64", 8, FLOAT, 64, F64),
    ROW(C64, "c64", "complex64", "ComplexFloat", "<c8", "C64", 8, COMPLEX, 64, F32),
    ROW(C128, "c128", "complex128", "ComplexDouble", "<c16", NULL, 16, COMPLEX, 128, F64),
};

/* PyTorch's second names. */
static const struct {
    const char *name;
    kl_dtype dtype;
} aliases[] = {
    {"half", KL_F16}, {"float", KL_F32}, {"double", KL_F64}, {"short", KL_I16},
    {"int", KL_I32},  {"long", KL_I64},  {"cfloat", KL_C64}, {"cdouble", KL_C128},
};

kl_dtype kl_dtype_parse(const char *name)
{
    for (int d = 0; d < KL_DTYPE_COUNT; d++)
        if (!strcmp(name, kl_dtypes[d].name) || !strcmp(name, kl_dtypes[d].torch_name))
            return (kl_dtype)d;
    for (size_t i = 0; i < KL_COUNT(aliases); i++)
        if (!strcmp(name, aliases[i].name))
            return aliases[i].dtype;
    return KL_DTYPE_NONE;
}

static bool late_unsigned(kl_dtype d)
{
    return d == KL_U16 || d == KL_U32 || d == KL_U64;
}

/* The higher of two classes; unsigned and signed integers are one. */
static int rank(kl_dtype d)
{
    static const uint8_t ranks[] = {[KL_CLS_BOOL] = 0,
                                    [KL_CLS_UINT] = 1,
                                    [KL_CLS_SINT] = 1,
                                    [KL_CLS_FLOAT] = 2,
                                    [KL_CLS_COMPLEX] = 3};
    return ranks[kl_dtypes[d].cls];
}

kl_dtype kl_dtype_promote(kl_dtype a, kl_dtype b)
{
    if (a == b)
        return a;
    if (rank(a) < rank(b))
        return kl_dtype_promote(b, a);
    bool late = late_unsigned(a) || late_unsigned(b);
    if (late && rank(a) != 2)
        return KL_DTYPE_NONE;
    if (kl_is_complex(a)) /* a real f64 asks for the wider complex */
        return b == KL_F64 || b == KL_C128 ? KL_C128 : a;
    if (rank(a) > rank(b))
        return a;
    if (kl_dtypes[a].bits != kl_dtypes[b].bits) {
        kl_dtype wide = kl_dtypes[a].bits > kl_dtypes[b].bits ? a : b;
        return wide;
    }
    return kl_is_float(a) ? KL_F32 : KL_I16; /* f16 with bf16; u8 with i8 */
}
