/* eval_cast.c: the meaning of cast. Every source is read into one of three carriers that
 * hold it exactly (int64_t, uint64_t, double), and each pair (carrier, target) rounds
 * once:
 *
 *   int -> int      wraps               float -> int   truncates, saturates, NaN gives 0
 *   any -> bool     "not zero"          any -> float   to nearest even
 *
 * Complex to real takes the real part; to bool, "either part is not zero". */
#include "ir/ir.h"

/* ---- target_from_carrier ---- */

#define CARRY_(to, k) to##_from_##k
#define CARRY(to, k) CARRY_(to, k)

#define KL_CAST_INT(name, T, low, high)                                                  \
    static inline T name##_from_i(int64_t v)                                             \
    {                                                                                    \
        return (T)(uint64_t)v;                                                           \
    }                                                                                    \
    static inline T name##_from_u(uint64_t v)                                            \
    {                                                                                    \
        return (T)v;                                                                     \
    }                                                                                    \
    static inline T name##_from_d(double v)                                              \
    {                                                                                    \
        if (v > (double)(low) && v < (double)(high))                                     \
            return (T)v;                                                                 \
        return v != v ? 0 : v < 0 ? (T)(low) : v > 0 ? (T)(high) : 0;                    \
    }
KL_CAST_INT(u8, uint8_t, 0, UINT8_MAX)
KL_CAST_INT(i8, int8_t, INT8_MIN, INT8_MAX)
KL_CAST_INT(u16, uint16_t, 0, UINT16_MAX)
KL_CAST_INT(i16, int16_t, INT16_MIN, INT16_MAX)
KL_CAST_INT(u32, uint32_t, 0, UINT32_MAX)
KL_CAST_INT(i32, int32_t, INT32_MIN, INT32_MAX)
KL_CAST_INT(u64, uint64_t, 0, UINT64_MAX)
KL_CAST_INT(i64, int64_t, INT64_MIN, INT64_MAX)

/* 64 bits into 53, rounded to odd: a second rounding to at most 51 bits is then exact. */
static inline double odd_from_u(uint64_t v)
{
    uint64_t lost = v & 2047;
    return v >> 53 ? (double)((v & ~(uint64_t)2047) | (uint64_t)(lost != 0) << 11)
                   : (double)v;
}

static inline double odd_from_i(int64_t v)
{
    return v < 0 ? -odd_from_u(0 - (uint64_t)v) : odd_from_u((uint64_t)v);
}

#define KL_CAST_FLOAT(name, T, from_i, from_u, from_d)                                   \
    static inline T name##_from_i(int64_t v)                                             \
    {                                                                                    \
        return from_i;                                                                   \
    }                                                                                    \
    static inline T name##_from_u(uint64_t v)                                            \
    {                                                                                    \
        return from_u;                                                                   \
    }                                                                                    \
    static inline T name##_from_d(double v)                                              \
    {                                                                                    \
        return from_d;                                                                   \
    }
KL_CAST_FLOAT(truth, uint8_t, v != 0, v != 0, v != 0)
KL_CAST_FLOAT(f16, uint16_t, kl_f64_to_f16(odd_from_i(v)), kl_f64_to_f16(odd_from_u(v)),
              kl_f64_to_f16(v))
KL_CAST_FLOAT(bf16, uint16_t, kl_f64_to_bf16(odd_from_i(v)),
              kl_f64_to_bf16(odd_from_u(v)), kl_f64_to_bf16(v))
KL_CAST_FLOAT(f32, float, (float)v, (float)v, (float)v)
KL_CAST_FLOAT(f64, double, (double)v, (double)v, v)

/* ---- one function a source ---- */

#define NAME cast_bool
#define S uint8_t
#define K i
#define LOAD(v) ((v) != 0)
#include "ir/eval_cast.h"

#define NAME cast_u8
#define S uint8_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_i8
#define S int8_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_u16
#define S uint16_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_i16
#define S int16_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_u32
#define S uint32_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_i32
#define S int32_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_u64
#define S uint64_t
#define K u
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_i64
#define S int64_t
#define K i
#define LOAD(v) (v)
#include "ir/eval_cast.h"

#define NAME cast_f16
#define S uint16_t
#define K d
#define LOAD(v) (double)kl_f16_to_f32(v)
#include "ir/eval_cast.h"

#define NAME cast_bf16
#define S uint16_t
#define K d
#define LOAD(v) (double)kl_bf16_to_f32(v)
#include "ir/eval_cast.h"

#define NAME cast_f32
#define S float
#define K d
#define LOAD(v) (double)(v)
#include "ir/eval_cast.h"

#define NAME cast_f64
#define S double
#define K d
#define LOAD(v) (v)
#include "ir/eval_cast.h"

typedef void (*cast_fn)(kl_dtype to, int64_t n, void *y, const void *a);
static const cast_fn casts[KL_DTYPE_COUNT] = {
    [KL_BOOL] = cast_bool, [KL_U8] = cast_u8,     [KL_I8] = cast_i8,
    [KL_U16] = cast_u16,   [KL_I16] = cast_i16,   [KL_U32] = cast_u32,
    [KL_I32] = cast_i32,   [KL_U64] = cast_u64,   [KL_I64] = cast_i64,
    [KL_F16] = cast_f16,   [KL_BF16] = cast_bf16, [KL_F32] = cast_f32,
    [KL_F64] = cast_f64,
};

/* ---- complex: part by part ---- */

static void cast_parts(kl_dtype to, kl_dtype from, int64_t n, char *y, const char *a)
{
    kl_dtype tr = kl_dtypes[to].real, fr = kl_dtypes[from].real;
    size_t ts = kl_dtypes[to].size, fs = kl_dtypes[from].size, part = kl_dtypes[tr].size;
    for (int64_t i = 0; i < n; i++, y += ts, a += fs) {
        kl_scalar im = {.bits = 0}, yi = {.bits = 0};
        if (kl_is_complex(from))
            memcpy(&im, a + fs / 2, fs / 2);
        casts[fr](tr, 1, &yi, &im);
        casts[fr](tr, 1, y, a);
        if (kl_is_complex(to))
            memcpy(y + part, &yi, part);
        else if (to == KL_BOOL)
            *y = (char)(*y | (char)yi.u8);
    }
}

void kl_eval_cast_n(kl_dtype to, kl_dtype from, int64_t n, void *y, const void *a)
{
    if (to == from)
        memmove(y, a, (size_t)n * kl_dtypes[to].size);
    else if (kl_is_complex(to) || kl_is_complex(from))
        cast_parts(to, from, n, y, a);
    else
        casts[from](to, n, y, a);
}
