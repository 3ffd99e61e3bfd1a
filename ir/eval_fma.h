/* eval_fma.h: a * b + c with one rounding, on machines with and without the instruction.
 *
 * f32: the product is exact in f64; the sum is made in f64 rounded *to odd* (an inexact
 * result gets its last bit set), and a rounding to odd with 29 spare bits followed by one
 * to nearest is one rounding to nearest. f64: the same sum in 128-bit integers, with one
 * sticky bit. */
#include <stdint.h>

/* s = a + b to nearest, with what it lost: exact, and NaN when s overflowed. */
static inline double two_sum(double a, double b, double *lost)
{
    double s = a + b, t = s - a;
    *lost = (a - (s - t)) + (b - t);
    return s;
}

static inline float fma_soft_f32(float a, float b, float c)
{
    double lost, s = two_sum((double)a * (double)b, c, &lost);
    union {
        double d;
        uint64_t u;
    } odd = {.d = s};
    bool inexact = lost < 0 || lost > 0, outwards = (lost > 0) == (s > 0);
    if (inexact && !(odd.u & 1))
        odd.u += outwards ? 1 : (uint64_t)-1;
    return (float)odd.d;
}

__extension__ typedef unsigned __int128 kl_u128;

/* |x| = m * 2^e with 2^52 <= m < 2^53, x finite and not zero. */
static inline uint64_t split_normal(double x, int *e)
{
    uint64_t m = split_f64(x, e);
    int up = __builtin_clzll(m) - 11;
    *e -= up + 1075;
    return m << up;
}

/* a >> n, with the bits that fall out gathered in bit 0. */
static inline kl_u128 shift_sticky(kl_u128 a, int n)
{
    if (n <= 0)
        return a;
    if (n > 127)
        return a != 0;
    return a >> n | ((a & (((kl_u128)1 << n) - 1)) != 0);
}

/* m * 2^e rounded to nearest even. */
static inline double round_u128(kl_u128 m, int e)
{
    uint64_t high = (uint64_t)(m >> 64);
    int len = high ? 128 - __builtin_clzll(high) : 64 - __builtin_clzll((uint64_t)m);
    int drop =
        len - 55 > -1076 - e ? len - 55 : -1076 - e; /* keep 53 bits, guard, sticky */
    uint64_t k = drop > 0 ? (uint64_t)shift_sticky(m, drop) : (uint64_t)m << -drop;
    e += drop;
    uint64_t q = k >> 2;
    q += (k & 3) > 2 || ((k & 3) == 2 && (q & 1));
    if (e + 2 > 971)
        return (double)INFINITY;
    /* The implicit bit of q, and a carry out of it, count up the exponent field: as they
     * must. */
    return from_bits_f64(((uint64_t)(e + 2 + 1074) << 52) + q);
}

/* Not zero, not infinite, not NaN: the three addends aligned as 128-bit integers. */
static inline double fma_wide(double a, double b, double c)
{
    int ea, eb, ec;
    kl_u128 p = (kl_u128)split_normal(a, &ea) * split_normal(b, &eb);
    kl_u128 m = split_normal(c, &ec);
    int e = ea + eb, up = ec - e; /* p < 2^106, m < 2^53 */
    if (up >= 0) {
        int by = up < 73 ? up : 73;
        m <<= by;
        p = shift_sticky(p, up - by);
        e = ec - by;
    } else {
        int by = -up < 20 ? -up : 20;
        p <<= by;
        m = shift_sticky(m, -up - by);
        e -= by;
    }
    bool sp = (a < 0) != (b < 0), sc = c < 0;
    if (sp == sc)
        return with_sign_f64(round_u128(p + m, e), sp ? -1.0 : 1.0);
    if (p == m)
        return 0;
    return p > m ? with_sign_f64(round_u128(p - m, e), sp ? -1.0 : 1.0)
                 : with_sign_f64(round_u128(m - p, e), sc ? -1.0 : 1.0);
}

static inline double fma_soft_f64(double a, double b, double c)
{
    bool finite = abs_f64(a) < (double)INFINITY && abs_f64(b) < (double)INFINITY;
    if (!finite || a == 0 || b == 0)
        return a * b + c;
    if (!(abs_f64(c) < (double)INFINITY))
        return c + 0.0;
    return c == 0 ? a * b : fma_wide(a, b, c);
}

#if defined(__FMA__) || defined(__aarch64__)
static inline float fma_f32(float a, float b, float c)
{
    return __builtin_fmaf(a, b, c);
}
static inline double fma_f64(double a, double b, double c)
{
    return __builtin_fma(a, b, c);
}
#else
static inline float fma_f32(float a, float b, float c)
{
    return fma_soft_f32(a, b, c);
}
static inline double fma_f64(double a, double b, double c)
{
    return fma_soft_f64(a, b, c);
}
#endif
