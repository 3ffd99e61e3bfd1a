/* eval_float.h: the helpers that ops.def's KL_SEM names, for f32 and f64, exact to the
 * bit on every machine: only + - * / and square root of the hardware are used, never
 * libm. A template: eval.c includes it twice, with T (float), B and I (its bits unsigned
 * and signed), FN(x), MANT (23, explicit mantissa bits), and EXP (255, the largest
 * exponent field).
 *
 *   round(x) = (|x| + 2^MANT) - 2^MANT with x's sign: adding 2^MANT leaves no room for a
 * fraction
 */

static inline B FN(bits)(T a)
{
    union {
        T f;
        B b;
    } u = {.f = a};
    return u.b;
}
static inline T FN(from_bits)(B b)
{
    union {
        B b;
        T f;
    } u = {.b = b};
    return u.f;
}
#define SIGN ((B)1 << (sizeof(B) * 8 - 1))
static inline T FN(neg)(T a)
{
    return FN(from_bits)(FN(bits)(a) ^ SIGN);
}
static inline T FN(abs)(T a)
{
    return FN(from_bits)(FN(bits)(a) & ~SIGN);
}
static inline T FN(with_sign)(T a, T sign)
{
    return FN(from_bits)((FN(bits)(a) & ~SIGN) | (FN(bits)(sign) & SIGN));
}
/* |a| rounded to an integer, for any a; infinities, NaN and large values are themselves.
 */
static inline T FN(round_abs)(T a)
{
    const T big = (T)((B)1 << MANT);
    T m = FN(abs)(a);
    return m < big ? (m + big) - big : m;
}
static inline T FN(round)(T a)
{
    return FN(with_sign)(FN(round_abs)(a), a);
}
static inline T FN(trunc)(T a)
{
    T r = FN(round_abs)(a);
    return FN(with_sign)(r > FN(abs)(a) ? r - 1 : r, a);
}
static inline T FN(floor)(T a)
{
    T r = FN(round)(a);
    return FN(with_sign)(r > a ? r - 1 : r, a);
}
static inline T FN(ceil)(T a)
{
    T r = FN(round)(a);
    return FN(with_sign)(r < a ? r + 1 : r, a);
}
static inline T FN(add)(T a, T b)
{
    return a + b;
}
static inline T FN(sub)(T a, T b)
{
    return a - b;
}
static inline T FN(mul)(T a, T b)
{
    return a * b;
}
static inline T FN(div)(T a, T b)
{
    return a / b;
}
/* IEEE 754-2019 minimum and maximum: a NaN wins, and -0 < +0. */
static inline T FN(min)(T a, T b)
{
    T zero =
        FN(from_bits)(FN(bits)(a) | FN(bits)(b)); /* of equal operands: -0 if one is */
    return a < b ? a : b < a ? b : a == b ? zero : a + b;
}
static inline T FN(max)(T a, T b)
{
    T zero = FN(from_bits)(FN(bits)(a) & FN(bits)(b));
    return a < b ? b : b < a ? a : a == b ? zero : a + b;
}

/* Mantissa as an integer with its implicit bit, and the exponent of that integer's unit.
 */
static inline uint64_t FN(split)(T a, int *e)
{
    B b = FN(bits)(a) & ~SIGN;
    int field = (int)(b >> MANT);
    *e = field ? field : 1;
    b &= ((B)1 << MANT) - 1;
    return field ? b | (B)1 << MANT : b;
}
static inline T FN(join)(uint64_t m, int e)
{
    while (m && m < (uint64_t)1 << MANT && e > 1) {
        m <<= 1;
        e--;
    }
    bool normal = m >= (uint64_t)1 << MANT;
    B field = normal ? (B)e << MANT : 0;
    return FN(from_bits)(field | ((B)m & (((B)1 << MANT) - 1)));
}
/* The exact remainder, by long division of the mantissas, some bits of the quotient a
 * time. */
static inline T FN(rem)(T a, T b)
{
    T x = FN(abs)(a), y = FN(abs)(b);
    if (!(x < (T)INFINITY) || !(y > 0))
        return FN(from_bits)(((B)EXP << MANT) | ((B)1 << (MANT - 1)));
    if (x < y)
        return a;
    int ex, ey, step = 63 - MANT;
    uint64_t mx = FN(split)(x, &ex), my = FN(split)(y, &ey);
    mx %= my;
    for (int k = ex - ey; k > 0 && mx; k -= step)
        mx = (mx << (k < step ? k : step)) % my;
    return FN(with_sign)(FN(join)(mx, ey), a);
}
/* Python's and PyTorch's: the sign of b, except that a zero keeps a's. */
static inline T FN(mod)(T a, T b)
{
    T r = FN(rem)(a, b);
    return r != 0 && (b < 0) != (r < 0) ? r + b : r;
}
/* PyTorch's: from the exact remainder, so that floordiv and mod agree where a / b rounds
 * up. */
static inline T FN(floordiv)(T a, T b)
{
    T r = FN(rem)(a, b), q = (a - r) / b;
    if (b == 0)
        return a / b;
    if (r != 0 && (b < 0) != (r < 0))
        q -= 1;
    T f = FN(floor)(q);
    return q == 0 ? FN(with_sign)(0, a / b) : q - f > (T)0.5 ? f + 1 : f;
}
#undef SIGN
