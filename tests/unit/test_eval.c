/* test_eval.c: every exact row and every cast, over a grid of special values and at every
 * dtype, against definitions written a second time: integers in 128 bits, floats by libm.
 */
#include "ir/ir.h"

#include "many.h"
#include <math.h>
#include <stdlib.h>

__extension__ typedef __int128 wide;
__extension__ typedef unsigned __int128 uwide;

static const char *op_name[KL_OP_COUNT] = {
#define KL_OP(name, kind, arity, rule, flags) [KL_OP_##name] = #name,
#include "ir/ops.def"
};

/* ---- integers: mathematical results, cut to the dtype ---- */

static wide cut(kl_dtype dt, wide v)
{
    unsigned bits = kl_dtypes[dt].bits;
    wide m = (wide)1 << bits;
    v = ((v % m) + m) % m;
    return kl_dtypes[dt].cls == KL_CLS_SINT && v >= m / 2 ? v - m : v;
}

static wide int_of(kl_dtype dt, kl_scalar s)
{
    return kl_dtypes[dt].cls == KL_CLS_UINT
               ? (wide)(s.u64 & (~UINT64_C(0) >> (64 - kl_dtypes[dt].bits)))
               : cut(dt, (wide)s.u64);
}

static wide floor_div(wide a, wide b)
{
    wide q = a / b;
    return a % b != 0 && (a < 0) != (b < 0) ? q - 1 : q;
}

static wide shifted(kl_op op, kl_dtype dt, wide a, wide b)
{
    bool outside = b < 0 || b >= kl_dtypes[dt].bits;
    if (op == KL_OP_shl)
        return outside ? 0 : a * ((wide)1 << b);
    return outside ? (a < 0 ? -1 : 0) : floor_div(a, (wide)1 << b);
}

/* false: the row has no meaning on integers. */
static bool int_ref(kl_op op, kl_dtype dt, wide a, wide b, wide c, wide *y)
{
    switch ((int)op) {
    case KL_OP_neg:
        *y = -a;
        return true;
    case KL_OP_abs:
        *y = a < 0 ? -a : a;
        return true;
    case KL_OP_not:
        *y = -1 - a;
        return true;
    case KL_OP_add:
        *y = a + b;
        return true;
    case KL_OP_sub:
        *y = a - b;
        return true;
    case KL_OP_mul:
        *y = (wide)((uwide)a * (uwide)b);
        return true;
    case KL_OP_div:
        *y = b ? a / b : 0;
        return true;
    case KL_OP_floordiv:
        *y = b ? floor_div(a, b) : 0;
        return true;
    case KL_OP_mod:
        *y = b ? a - b * floor_div(a, b) : a;
        return true;
    case KL_OP_rem:
        *y = b ? a % b : a;
        return true;
    case KL_OP_min:
        *y = a < b ? a : b;
        return true;
    case KL_OP_max:
        *y = a < b ? b : a;
        return true;
    case KL_OP_and:
        *y = a & b;
        return true;
    case KL_OP_or:
        *y = a | b;
        return true;
    case KL_OP_xor:
        *y = a ^ b;
        return true;
    case KL_OP_shl:
    case KL_OP_shr:
        *y = shifted(op, dt, a, b);
        return true;
    case KL_OP_lt:
        *y = a < b;
        return true;
    case KL_OP_le:
        *y = a <= b;
        return true;
    case KL_OP_eq:
        *y = a == b;
        return true;
    case KL_OP_ne:
        *y = a != b;
        return true;
    case KL_OP_where:
        *y = (a & 255) ? b : c;
        return true;
    default:
        return false;
    }
}

static int int_grid(kl_dtype dt, kl_scalar *v)
{
    static const int64_t small[] = {0,  1,  2,   3,  7,  8,  15,  31,
                                    63, 64, 100, -1, -2, -3, -100};
    int n = 0;
    for (size_t i = 0; i < KL_COUNT(small); i++)
        v[n++] = kl_scalar_from_int(dt, small[i]);
    for (int64_t d = -2; d <= 2; d++) {
        int bits = kl_dtypes[dt].bits;
        v[n++].u64 = (UINT64_C(1) << (bits - 1)) + (uint64_t)d;
        v[n++] = kl_scalar_from_int(dt, INT64_C(0x123456789abcdef) * d);
    }
    return n;
}

static const kl_dtype ints[] = {KL_U8,  KL_I8,  KL_U16, KL_I16,
                                KL_U32, KL_I32, KL_U64, KL_I64};

START_TEST(integer_rows)
{
    kl_op op = (kl_op)_i;
    for (size_t t = 0; t < KL_COUNT(ints); t++) {
        kl_dtype dt = ints[t];
        kl_scalar v[40];
        int n = int_grid(dt, v);
        for (int i = 0; i < n * n; i++) {
            kl_scalar a = v[i / n], b = v[i % n], c = v[(i * 7) % n];
            wide want;
            if (!int_ref(op, dt, int_of(dt, a), int_of(dt, b), int_of(dt, c), &want))
                return;
            if (op == KL_OP_where)
                a.b = i % 3 != 0,
                int_ref(op, dt, a.u8, int_of(dt, b), int_of(dt, c), &want);
            kl_scalar y = kl_eval(op, dt, a, b, c);
            bool truth =
                op == KL_OP_lt || op == KL_OP_le || op == KL_OP_eq || op == KL_OP_ne;
            wide got = truth ? y.b : int_of(dt, y);
            check_msg(got == (truth ? want : cut(dt, want)), "%s %s: %lld %lld -> %lld",
                      op_name[op], kl_dtypes[dt].name, (long long)int_of(dt, a),
                      (long long)int_of(dt, b), (long long)got);
        }
    }
}
END_TEST

START_TEST(bool_rows)
{
    for (int i = 0; i < 8; i++) {
        kl_scalar a = {.b = i & 1}, b = {.b = i >> 1 & 1}, c = {.b = i >> 2};
        ck_assert(kl_eval(KL_OP_add, KL_BOOL, a, b, c).b == (a.b || b.b));
        ck_assert(kl_eval(KL_OP_max, KL_BOOL, a, b, c).b == (a.b || b.b));
        ck_assert(kl_eval(KL_OP_or, KL_BOOL, a, b, c).b == (a.b || b.b));
        ck_assert(kl_eval(KL_OP_mul, KL_BOOL, a, b, c).b == (a.b && b.b));
        ck_assert(kl_eval(KL_OP_min, KL_BOOL, a, b, c).b == (a.b && b.b));
        ck_assert(kl_eval(KL_OP_and, KL_BOOL, a, b, c).b == (a.b && b.b));
        ck_assert(kl_eval(KL_OP_xor, KL_BOOL, a, b, c).b == (a.b != b.b));
        ck_assert(kl_eval(KL_OP_ne, KL_BOOL, a, b, c).b == (a.b != b.b));
        ck_assert(kl_eval(KL_OP_eq, KL_BOOL, a, b, c).b == (a.b == b.b));
        ck_assert(kl_eval(KL_OP_lt, KL_BOOL, a, b, c).b == (a.b < b.b));
        ck_assert(kl_eval(KL_OP_le, KL_BOOL, a, b, c).b == (a.b <= b.b));
        ck_assert(kl_eval(KL_OP_not, KL_BOOL, a, b, c).b == !a.b);
        ck_assert(kl_eval(KL_OP_where, KL_BOOL, a, b, c).b == (a.b ? b.b : c.b));
    }
}
END_TEST

/* ---- floats: libm in the dtype the row is computed in ---- */

static double minimum(double a, double b)
{
    if (isnan(a) || isnan(b))
        return NAN;
    return a == b ? (signbit(a) ? a : b) : a < b ? a : b;
}

static double floordiv(double a, double b, bool f32)
{
    double m = fmod(a, b), q;
    if (b == 0)
        return a / b;
    q = f32 ? (double)((float)((float)a - (float)m) / (float)b) : (a - m) / b;
    if (m != 0 && (b < 0) != (m < 0))
        q = f32 ? (double)((float)q - 1) : q - 1;
    return q == 0 ? copysign(0, a / b) : floor(q) + (q - floor(q) > 0.5);
}

/* Operands are values of f32 if f32 is set; then the result is rounded to it by the
 * caller. */
static bool float_ref(kl_op op, bool f32, double a, double b, double c, double *y)
{
    double m;
    switch ((int)op) {
    case KL_OP_neg:
        *y = -a;
        return true;
    case KL_OP_abs:
        *y = fabs(a);
        return true;
    case KL_OP_sqrt:
        *y = f32 ? sqrtf((float)a) : sqrt(a);
        return true;
    case KL_OP_floor:
        *y = floor(a);
        return true;
    case KL_OP_ceil:
        *y = ceil(a);
        return true;
    case KL_OP_trunc:
        *y = trunc(a);
        return true;
    case KL_OP_round:
        *y = nearbyint(a);
        return true;
    case KL_OP_add:
        *y = a + b;
        return true;
    case KL_OP_sub:
        *y = a - b;
        return true;
    case KL_OP_mul:
        *y = a * b;
        return true;
    case KL_OP_div:
        *y = f32 ? (float)a / (float)b : a / b;
        return true;
    case KL_OP_rem:
        *y = fmod(a, b);
        return true;
    case KL_OP_mod:
        m = fmod(a, b);
        *y = m != 0 && (m < 0) != (b < 0) ? m + b : m;
        return true;
    case KL_OP_floordiv:
        *y = floordiv(a, b, f32);
        return true;
    case KL_OP_min:
        *y = minimum(a, b);
        return true;
    case KL_OP_max:
        *y = -minimum(-a, -b);
        return true;
    case KL_OP_fma:
        *y = f32 ? fmaf((float)a, (float)b, (float)c) : fma(a, b, c);
        return true;
    case KL_OP_lt:
        *y = a < b;
        return true;
    case KL_OP_le:
        *y = a <= b;
        return true;
    case KL_OP_eq:
        *y = a == b;
        return true;
    case KL_OP_ne:
        *y = a != b;
        return true;
    default:
        return false;
    }
}

static int float_grid(kl_dtype dt, kl_scalar *v)
{
    static const double some[] = {
        0,         -0.0,     1,        -1,       0.5,     -0.5,
        1.5,       2.5,      -2.5,     3,        -3,      0.1,
        -7,        1e-3,     1e4,      8388607,  8388609, 4503599627370497.0,
        1e-30,     1e30,     -1e9,     1e19,     NAN,     INFINITY,
        -INFINITY, 0x1p-126, 0x1p-149, 0x1p-140, 0x1p127, 65504};
    int n = 0;
    for (size_t i = 0; i < KL_COUNT(some); i++)
        v[n++] = kl_scalar_from(dt, some[i]);
    for (uint64_t i = 1; i < 4; i++) { /* smallest denormals; largest finite numbers */
        kl_scalar inf = kl_scalar_from(dt, INFINITY);
        v[n++].bits = i;
        v[n++].bits = inf.bits - i;
    }
    return n;
}

static bool same(double a, double b)
{
    return isnan(a) || isnan(b) ? isnan(a) && isnan(b)
                                : a == b && signbit(a) == signbit(b);
}

static const kl_dtype floats[] = {KL_F16, KL_BF16, KL_F32, KL_F64};

START_TEST(float_rows)
{
    kl_op op = (kl_op)_i;
    for (size_t t = 0; t < KL_COUNT(floats); t++) {
        kl_dtype dt = floats[t];
        kl_scalar v[64];
        int n = float_grid(dt, v);
        for (int i = 0; i < n * n * 8; i++) {
            kl_scalar a = v[i / n % n], b = v[i % n], c = v[i / n * 5 % n];
            double x = kl_scalar_to_double(dt, a), z = kl_scalar_to_double(dt, b), want;
            if (!float_ref(op, dt != KL_F64, x, z, kl_scalar_to_double(dt, c), &want))
                return;
            kl_scalar y = kl_eval(op, dt, a, b, c);
            bool truth =
                op == KL_OP_lt || op == KL_OP_le || op == KL_OP_eq || op == KL_OP_ne;
            if (dt != KL_F64 && !truth)
                want = (float)want;
            double got = truth ? y.b : kl_scalar_to_double(dt, y);
            if (!truth)
                want = kl_scalar_to_double(dt, kl_scalar_from(dt, want));
            check_msg(same(got, want), "%s %s: %a %a -> %a, not %a", op_name[op],
                      kl_dtypes[dt].name, x, z, got, want);
        }
    }
}
END_TEST

/* Copies, negation and where keep every bit, a NaN's too. */
START_TEST(bits_are_kept)
{
    kl_scalar odd[] = {{.u16 = 0x7d55}, {.u16 = 0xff81}, {.u32 = 0x7fa12345}};
    const kl_dtype dt[] = {KL_F16, KL_BF16, KL_F32};
    for (int i = 0; i < 3; i++) {
        uint64_t sign = i < 2 ? 0x8000 : 0x80000000;
        kl_scalar y = kl_eval(KL_OP_neg, dt[i], odd[i], odd[i], odd[i]);
        ck_assert_uint_eq(y.bits, odd[i].bits ^ sign);
        y = kl_eval(KL_OP_abs, dt[i], odd[i], odd[i], odd[i]);
        ck_assert_uint_eq(y.bits, odd[i].bits & ~sign);
        y = kl_eval(KL_OP_where, dt[i], (kl_scalar){.b = true}, odd[i],
                    (kl_scalar){.bits = 0});
        ck_assert_uint_eq(y.bits, odd[i].bits);
    }
}
END_TEST

/* ---- random: fma without the instruction, remainders, in-place loops ---- */

static uint64_t seed = 1;
static uint64_t random_bits(void)
{
    seed ^= seed << 13, seed ^= seed >> 7, seed ^= seed << 17;
    return seed * UINT64_C(0x2545f4914f6cdd1d);
}
/* Any sign; few mantissa bits set or many; exponents within spread of mid. */
static double random_double(int mid, int spread)
{
    uint64_t m = random_bits(), keep = random_bits();
    m = (keep & 3) == 0 ? m & keep & (keep >> 2) : (keep & 3) == 1 ? m | keep : m;
    int64_t e =
        (int64_t)(mid + (int)(random_bits() % (2 * (unsigned)spread + 1)) - spread);
    e = e < 0 ? 0 : e > 2046 ? 2046 : e;
    union {
        uint64_t u;
        double d;
    } v = {.u = (m & UINT64_C(0x800fffffffffffff)) | (uint64_t)e << 52};
    return v.d;
}

START_TEST(fma_is_rounded_once)
{
    static const int mids[][3] = {
        {1023, 1023, 1023}, {1023, 1023, 1070}, {1023, 1023, 980},
        {500, 530, 8},      {512, 512, 2},      {100, 900, 3},
        {1500, 1560, 2040}, {1023, 1023, 1130}, {1023, 1023, 900}};
    for (int i = 0; i < 1000000; i++) {
        const int *m = mids[i % (int)KL_COUNT(mids)];
        double a = random_double(m[0], 30), b = random_double(m[1], 30);
        double c = i % 11 == 0 ? -a * b : random_double(m[2], 40), want = fma(a, b, c);
        check_msg(same(kl_fma_soft(a, b, c), want), "fma(%a, %a, %a) is %a, not %a", a, b,
                  c, want, kl_fma_soft(a, b, c));
        float f = (float)random_double(1023, 140), g = (float)random_double(1023, 30);
        float h = i % 7 == 0 ? -f * g : (float)random_double(1023, 150),
              w = fmaf(f, g, h);
        check_msg(same(kl_fmaf_soft(f, g, h), w), "fmaf(%a, %a, %a) is %a", f, g, h, w);
    }
}
END_TEST

START_TEST(remainders_are_exact)
{
    for (int i = 0; i < 300000; i++) {
        kl_scalar a = {.f64 = random_double(1023, i % 1000)};
        kl_scalar b = {.f64 = random_double(1023, i % 700)};
        double got = kl_eval(KL_OP_rem, KL_F64, a, b, b).f64;
        check_msg(same(got, fmod(a.f64, b.f64)), "rem(%a, %a) -> %a", a.f64, b.f64, got);
        kl_scalar f = {.f32 = (float)a.f64}, g = {.f32 = (float)b.f64};
        float r = kl_eval(KL_OP_rem, KL_F32, f, g, g).f32;
        check_msg(same(r, fmodf(f.f32, g.f32)), "rem(%a, %a) -> %a", f.f32, g.f32, r);
    }
}
END_TEST

START_TEST(loops_agree_with_elements)
{
    static const kl_op some[] = {KL_OP_add, KL_OP_fma, KL_OP_max, KL_OP_floor, KL_OP_div};
    for (size_t o = 0; o < KL_COUNT(some); o++)
        for (int n = 0; n < 70; n++) {
            float a[70], b[70], c[70], y[70];
            for (int i = 0; i < n; i++)
                a[i] = (float)random_double(1023, 9),
                b[i] = (float)random_double(1023, 9),
                c[i] = (float)random_double(1023, 9);
            kl_eval_n(some[o], KL_F32, n, y, a, b, c);
            for (int i = 0; i < n; i++) {
                kl_scalar e = kl_eval(some[o], KL_F32, (kl_scalar){.f32 = a[i]},
                                      (kl_scalar){.f32 = b[i]}, (kl_scalar){.f32 = c[i]});
                ck_assert(same(e.f32, y[i]));
            }
            kl_eval_n(some[o], KL_F32, n, c, a, b, c);
            ck_assert_mem_eq(c, y, sizeof *y * (size_t)n);
        }
}
END_TEST

/* ---- casts ---- */

static long double value_of(kl_dtype dt, kl_scalar s)
{
    if (dt == KL_BOOL)
        return s.b;
    return kl_is_float(dt) ? (long double)kl_scalar_to_double(dt, s)
                           : (long double)int_of(dt, s);
}

static long double limit(kl_dtype dt, bool high)
{
    bool sint = kl_dtypes[dt].cls == KL_CLS_SINT;
    long double top = ldexpl(1, kl_dtypes[dt].bits - (sint ? 1 : 0));
    return high ? top - 1 : sint ? -top : 0;
}

/* Rounds to a float dtype of p mantissa bits by long double arithmetic: exact for 64-bit
 * sources. */
static long double to_float(kl_dtype dt, long double v)
{
    static const struct {
        int p, emin;
        long double max;
    } f[] = {{11, -24, 65504},
             {8, -133, 0x1.fep127L},
             {24, -149, 0x1.fffffep127L},
             {53, -1074, 0x1.fffffffffffffp1023L}};
    int k = dt == KL_F16 ? 0 : dt == KL_BF16 ? 1 : dt == KL_F32 ? 2 : 3, e;
    if (v == 0 || isnan(v) || isinf(v))
        return v;
    frexpl(v, &e);
    int unit = e - f[k].p < f[k].emin ? f[k].emin : e - f[k].p;
    long double r = ldexpl(nearbyintl(ldexpl(v, -unit)), unit);
    return fabsl(r) > f[k].max ? copysignl(INFINITY, v) : r;
}

static long double cast_ref(kl_dtype to, kl_dtype from, kl_scalar s)
{
    long double v = value_of(from, s);
    if (to == KL_BOOL)
        return v != 0;
    if (kl_is_float(to))
        return to_float(to, v);
    if (!kl_is_float(from))
        return (long double)cut(to, from == KL_BOOL ? (wide)s.b : int_of(from, s));
    if (isnan(v))
        return 0;
    return v <= limit(to, false)  ? limit(to, false)
           : v >= limit(to, true) ? limit(to, true)
                                  : truncl(v);
}

START_TEST(casts)
{
    kl_dtype from = (kl_dtype)_i;
    kl_scalar v[128] = {{.b = false}, {.b = true}};
    int n = 2;
    if (kl_is_float(from))
        n = float_grid(from, v);
    else if (from != KL_BOOL)
        n = int_grid(from, v);
    for (int i = 0; i < 4000 + n; i++) {
        kl_scalar s = v[i % n];
        if (i >= n && from != KL_BOOL)
            s.bits = random_bits() >> (64 - kl_dtypes[from].bits) >>
                     (i % 9 * kl_dtypes[from].bits / 9);
        for (kl_dtype to = KL_BOOL; to <= KL_F64; to++) {
            long double want = cast_ref(to, from, s);
            long double got = value_of(to, kl_eval_cast(to, from, s));
            check_msg(got == want || (isnan(got) && isnan(want)),
                      "%s(%s %La) is %La, not %La", kl_dtypes[to].name,
                      kl_dtypes[from].name, value_of(from, s), want, got);
        }
    }
}
END_TEST

START_TEST(complex_rows)
{
    const float a[4] = {1, 2, -3, 0.5f}, b[4] = {4, -1, 0, 2};
    float y[4];
    bool t[2];
    kl_eval_n(KL_OP_mul, KL_C64, 2, y, a, b, NULL);
    ck_assert(y[0] == 6 && y[1] == 7 && y[2] == -1 && y[3] == -6);
    kl_eval_n(KL_OP_div, KL_C64, 2, y, y, b, NULL);
    ck_assert(fabsf(y[0] - 1) < 1e-6f && fabsf(y[1] - 2) < 1e-6f && y[2] == -3 &&
              y[3] == 0.5f);
    kl_eval_n(KL_OP_neg, KL_C64, 2, y, a, NULL, NULL);
    ck_assert(y[0] == -1 && y[3] == -0.5f);
    kl_eval_n(KL_OP_ne, KL_C64, 2, t, a, b, NULL);
    ck_assert(t[0] && t[1]);
    kl_eval_n(KL_OP_eq, KL_C64, 2, t, a, a, NULL);
    ck_assert(t[0] && t[1]);
    double d[4];
    kl_eval_cast_n(KL_C128, KL_C64, 2, d, a);
    ck_assert(d[1] == 2 && d[2] == -3);
    int32_t whole[2];
    kl_eval_cast_n(KL_I32, KL_C128, 2, whole, d);
    ck_assert(whole[0] == 1 && whole[1] == -3);
    kl_eval_cast_n(KL_BOOL, KL_C64, 2, t, (float[4]){0, 0, 0, 3});
    ck_assert(!t[0] && t[1]);
}
END_TEST

/* ---- complex: the parts by real rows ---- */

typedef struct pair {
    kl_scalar re, im;
} pair;

static kl_scalar real_row(kl_op op, kl_dtype part, kl_scalar a, kl_scalar b)
{
    return kl_eval(op, part, a, b, b);
}

/* False: bits differ; all NaNs are one. */
static bool same_parts(kl_dtype part, const char *got, pair want)
{
    size_t size = kl_dtypes[part].size;
    kl_scalar re = {.bits = 0}, im = {.bits = 0};
    memcpy(&re, got, size), memcpy(&im, got + size, size);
    return same(kl_scalar_to_double(part, re), kl_scalar_to_double(part, want.re)) &&
           same(kl_scalar_to_double(part, im), kl_scalar_to_double(part, want.im));
}

static pair complex_ref(kl_op op, kl_dtype part, pair a, pair b)
{
    if (op == KL_OP_neg)
        return (pair){real_row(op, part, a.re, a.re), real_row(op, part, a.im, a.im)};
    if (op != KL_OP_mul)
        return (pair){real_row(op, part, a.re, b.re), real_row(op, part, a.im, b.im)};
    return (pair){real_row(KL_OP_sub, part, real_row(op, part, a.re, b.re),
                           real_row(op, part, a.im, b.im)),
                  real_row(KL_OP_add, part, real_row(op, part, a.re, b.im),
                           real_row(op, part, a.im, b.re))};
}

static void complex_pair(kl_dtype dt, pair a, pair b)
{
    static const kl_op some[] = {KL_OP_neg, KL_OP_add, KL_OP_sub, KL_OP_mul};
    kl_dtype part = kl_dtypes[dt].real;
    size_t size = kl_dtypes[part].size;
    char x[16], z[16], y[16];
    bool t;
    memcpy(x, &a.re, size), memcpy(x + size, &a.im, size);
    memcpy(z, &b.re, size), memcpy(z + size, &b.im, size);
    for (size_t i = 0; i < KL_COUNT(some); i++) {
        kl_eval_n(some[i], dt, 1, y, x, z, NULL);
        check_msg(same_parts(part, y, complex_ref(some[i], part, a, b)), "%s %s",
                  op_name[some[i]], kl_dtypes[dt].name);
    }
    bool equal =
        real_row(KL_OP_eq, part, a.re, b.re).b && real_row(KL_OP_eq, part, a.im, b.im).b;
    kl_eval_n(KL_OP_eq, dt, 1, &t, x, z, NULL);
    ck_assert(t == equal);
    kl_eval_n(KL_OP_ne, dt, 1, &t, x, z, NULL);
    ck_assert(t == !equal);
    for (int c = 0; c < 2; c++) {
        kl_eval_n(KL_OP_where, dt, 1, y, &(bool){c}, x, z);
        ck_assert(same_parts(part, y, c ? a : b));
    }
}

START_TEST(complex_parts)
{
    static const double some[] = {0, -0.0, 1, -1, 2.5, -3, 1e-3, INFINITY, NAN};
    enum { N = KL_COUNT(some) };
    kl_dtype dt = _i ? KL_C128 : KL_C64, part = kl_dtypes[dt].real;
    kl_scalar v[N];
    for (int i = 0; i < N; i++)
        v[i] = kl_scalar_from(part, some[i]);
    for (int i = 0; i < N * N * N * N; i++)
        complex_pair(dt, (pair){v[i % N], v[i / N % N]},
                     (pair){v[i / N / N % N], v[i / N / N / N]});
}
END_TEST

/* identity op v = v, to the bit, for every combining row and dtype. */
START_TEST(identities)
{
    static const kl_op combine[] = {KL_OP_add, KL_OP_mul, KL_OP_min, KL_OP_max,
                                    KL_OP_and, KL_OP_or,  KL_OP_xor};
    kl_op op = combine[_i];
    for (kl_dtype dt = KL_BOOL; dt <= KL_F64; dt++) {
        kl_scalar v[64] = {{.b = false}, {.b = true}}, e = kl_identity(op, dt);
        int n = 2;
        if (kl_is_float(dt) && _i >= 4)
            continue;
        if (dt != KL_BOOL)
            n = kl_is_float(dt) ? float_grid(dt, v) : int_grid(dt, v);
        for (int i = 0; i < n; i++) {
            kl_scalar y = kl_eval(op, dt, e, v[i], v[i]);
            ck_assert(same((double)value_of(dt, y), (double)value_of(dt, v[i])));
        }
        ck_assert(op != KL_OP_add || kl_empty(op, dt).bits == 0);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("eval");
    TCase *tc = tcase_create("rows");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, integer_rows, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, float_rows, 0, KL_OP_COUNT);
    tcase_add_test(tc, bool_rows);
    tcase_add_test(tc, complex_rows);
    tcase_add_loop_test(tc, complex_parts, 0, 2);
    tcase_add_loop_test(tc, identities, 0, 7);
    tcase_add_test(tc, bits_are_kept);
    tcase_add_test(tc, fma_is_rounded_once);
    tcase_add_test(tc, remainders_are_exact);
    tcase_add_test(tc, loops_agree_with_elements);
    tcase_add_loop_test(tc, casts, 0, KL_F64 + 1);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
