/* half.c: f16 and bf16, by integers alone.
 *
 * A float is sign, exponent, mantissa; to narrow it is to drop low mantissa bits,
 * rounding to the nearest (a tie goes to even), where a value below the least normal one
 * drops more of them. One function does it for every pair of formats: f64 rounds once,
 * not through f32, and no flag of the processor (flush to zero, rounding mode) has a say.
 *
 *     f32  0 01111111 00000000001000000000001  1.0001..        f16  0 01111 0000000001
 *          s exponent m  (23 bits)                                  s exp   m (10 bits)
 */
#include "runtime/runtime.h"

typedef struct format {
    int exp, man; /* bits */
} format;
static const format F16 = {5, 10}, BF16 = {8, 7}, F32 = {8, 23}, F64 = {11, 52};

static uint64_t ones(int n)
{
    return ((uint64_t)1 << n) - 1;
}

/* m / 2^shift to the nearest integer, ties to even. */
static uint64_t round_shift(uint64_t m, int shift)
{
    if (shift > 62)
        return 0;
    uint64_t q = m >> shift, rest = m & ones(shift), half = (uint64_t)1 << (shift - 1);
    return q + (rest > half || (rest == half && (q & 1)));
}

static uint16_t narrow(uint64_t bits, format s, format d)
{
    uint64_t sign = bits >> (s.exp + s.man), m = bits & ones(s.man);
    int64_t e = (int64_t)(bits >> s.man & ones(s.exp));
    uint64_t inf = ones(d.exp) << d.man, out;
    if (e == (int64_t)ones(s.exp)) {
        out = inf | (m ? (uint64_t)1 << (d.man - 1) | m >> (s.man - d.man) : 0);
    } else {
        if (e)
            m |= (uint64_t)1 << s.man; /* else denormal: the same scale as exponent 1 */
        int64_t te = KL_MAX(e, 1) - (int64_t)ones(s.exp - 1) + (int64_t)ones(d.exp - 1);
        int shift = s.man - d.man;
        if (te < 1)
            out = round_shift(m, (int)KL_MIN(shift + 1 - te, 63));
        else /* the leading bit adds 1 to the exponent field; so does a carry */
            out = ((uint64_t)(te - 1) << d.man) + round_shift(m, shift);
        out = KL_MIN(out, inf);
    }
    return (uint16_t)(sign << (d.exp + d.man) | out);
}

static uint32_t bits32(float f)
{
    uint32_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static uint64_t bits64(double f)
{
    uint64_t u;
    memcpy(&u, &f, sizeof u);
    return u;
}

static float float32(uint32_t u)
{
    float f;
    memcpy(&f, &u, sizeof f);
    return f;
}

uint16_t kl_f32_to_f16(float f)
{
    return narrow(bits32(f), F32, F16);
}
uint16_t kl_f32_to_bf16(float f)
{
    return narrow(bits32(f), F32, BF16);
}
uint16_t kl_f64_to_f16(double d)
{
    return narrow(bits64(d), F64, F16);
}
uint16_t kl_f64_to_bf16(double d)
{
    return narrow(bits64(d), F64, BF16);
}
float kl_bf16_to_f32(uint16_t h)
{
    return float32((uint32_t)h << 16);
}

float kl_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, e = h >> 10 & 31, m = h & 0x3FF;
    if (e == 31)
        return float32(sign | 0x7F800000 | m << 13);
    if (e == 0) {
        if (m == 0)
            return float32(sign);
        int up = __builtin_clz(m) - 21; /* bring the leading bit to place 10 */
        m = (m << up) & 0x3FF;
        e = (uint32_t)(1 - up);
    }
    return float32(sign | (e + 112) << 23 | m << 13);
}
