/* test_math.c: how far the bodies of math.def are from the truth, in units in the last
 * place of the result, printed as a table and held to a limit: f32 against libm in f64,
 * f64 against libm in long double; and C99's special values one by one.
 *
 *   test_math              a sample of 2^20 f32 and 2^19 f64 arguments for each row
 *   test_math all [ROW..]  every one of the 2^32 f32 arguments (minutes a row)
 *   test_math time         nanoseconds an element, in the interpreter */
#include "ir/math.h"

#include <check.h>
#include <math.h>
#include <stdlib.h>
#include <time.h>

typedef struct function {
    kl_op op;
    double (*ref)(double);
    long double (*wide)(long double);
    double limit32, limit64; /* ulp */
    double range;            /* f64 arguments: half of them within it, half any bits */
} function;

static const function functions[] = {
    {KL_OP_exp, exp, expl, 1, 1.5, 745},       {KL_OP_exp2, exp2, exp2l, 1, 1.5, 1075},
    {KL_OP_expm1, expm1, expm1l, 1, 1.5, 700}, {KL_OP_log, log, logl, 1, 1.5, 4},
    {KL_OP_log2, log2, log2l, 1, 1.5, 4},      {KL_OP_log10, log10, log10l, 1, 1.5, 4},
    {KL_OP_log1p, log1p, log1pl, 1, 2, 2},     {KL_OP_sin, sin, sinl, 1, 1.5, 100},
    {KL_OP_cos, cos, cosl, 1, 1.5, 100},       {KL_OP_tan, tan, tanl, 1, 2, 100},
    {KL_OP_asin, asin, asinl, 1, 1.5, 1},      {KL_OP_acos, acos, acosl, 1, 1.5, 1},
    {KL_OP_atan, atan, atanl, 1, 1.5, 10},     {KL_OP_sinh, sinh, sinhl, 1, 2, 710},
    {KL_OP_cosh, cosh, coshl, 1, 2, 710},      {KL_OP_tanh, tanh, tanhl, 1, 2, 22},
    {KL_OP_erf, erf, erfl, 1, 2, 6},           {KL_OP_erfc, erfc, erfcl, 1, 2, 27},
};
static const int nfunctions = (int)KL_COUNT(functions);

/* ---- units in the last place ---- */

/* |got - want| in units of a format with p bits, smallest exponent emin (of the unit),
 * that ends before 2^emax. A missed NaN, infinity or sign of zero is as wrong as can be.
 */
static double ulps(long double got, long double want, int p, int emin, int emax)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got) ? 0 : INFINITY;
    if (want == 0 && got == 0)
        return signbit(want) == signbit(got) ? 0 : INFINITY;
    long double end = ldexpl(1, emax);
    if (isinf(want) && isinf(got))
        return want == got ? 0 : INFINITY;
    if (isinf(got))
        got = copysignl(end, got);
    if (fabsl(want) > end)
        want = copysignl(end, want);
    int e;
    frexpl(want, &e);
    e = want == 0 || e - p < emin ? emin : e - p;
    return (double)ldexpl(fabsl(got - want), -e);
}

static double ulps32(float got, double want)
{
    return ulps(got, want, 24, -149, 128);
}
static double ulps64(double got, long double want)
{
    return ulps(got, want, 53, -1074, 1024);
}

static uint64_t state = 88172645463325252u;
static uint64_t random_bits(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state * UINT64_C(0x2545f4914f6cdd1d);
}
static double random_unit(void) /* (-1, 1) */
{
    return (double)(int64_t)random_bits() * 0x1p-63;
}
static float float_of(uint32_t bits)
{
    union {
        uint32_t u;
        float f;
    } v = {.u = bits};
    return v.f;
}
static double any_double(void)
{
    union {
        uint64_t u;
        double d;
    } v = {.u = random_bits()};
    return v.d;
}

/* ---- one argument ---- */

enum { CHUNK = 1024 };

typedef struct worst {
    double ulp, at;
} worst;

/* All f32 whose bits are first, first + step, ... */
static worst sweep(const function *f, uint64_t first, uint64_t step)
{
    static float x[CHUNK], y[CHUNK];
    worst w = {0.5, 0};
    for (uint64_t bits = first; bits < UINT64_C(1) << 32;) {
        int n = 0;
        for (; n < CHUNK && bits < UINT64_C(1) << 32; bits += step)
            x[n++] = float_of((uint32_t)bits);
        kl_eval_n(f->op, KL_F32, n, y, x, NULL, NULL);
        for (int i = 0; i < n; i++) {
            double want = f->ref(x[i]), e;
            float rounded = (float)want;
            if (memcmp(&rounded, &y[i], sizeof rounded) == 0)
                continue; /* at most half an ulp */
            e = ulps32(y[i], want);
            if (e > w.ulp)
                w = (worst){e, x[i]};
        }
    }
    return w;
}

static worst sample64(const function *f, int64_t count)
{
    static double x[CHUNK], y[CHUNK];
    worst w = {0, 0};
    for (int64_t k = 0; k < count; k += CHUNK) {
        for (int i = 0; i < CHUNK; i++)
            x[i] = i % 4 == 0   ? any_double()
                   : i % 4 == 1 ? random_unit() * f->range
                   : i % 4 == 2 ? random_unit() * 1.5
                                : ldexp(random_unit(), (int)(random_bits() % 60) - 40);
        kl_eval_n(f->op, KL_F64, CHUNK, y, x, NULL, NULL);
        for (int i = 0; i < CHUNK; i++) {
            double e = ulps64(y[i], f->wide(x[i]));
            if (e > w.ulp)
                w = (worst){e, x[i]};
        }
    }
    return w;
}

static void report(kl_op op, worst a, worst b)
{
    printf("%-6s %5d rows %6.3f ulp at %-16a   %5d rows %6.3f ulp at %a\n",
           kl_ops[op].name, kl_math_tape_of(op, KL_F32)->count, a.ulp, a.at,
           kl_math_tape_of(op, KL_F64)->count, b.ulp, b.at);
    fflush(stdout);
}

START_TEST(one_argument)
{
    const function *f = &functions[_i];
    worst a = sweep(f, random_bits() % 4099, 4099), b = sample64(f, 1 << 19);
    report(f->op, a, b);
    ck_assert_msg(a.ulp <= f->limit32, "%s f32: %g ulp at %a", kl_ops[f->op].name, a.ulp,
                  a.at);
    ck_assert_msg(b.ulp <= f->limit64, "%s f64: %g ulp at %a", kl_ops[f->op].name, b.ulp,
                  b.at);
}
END_TEST

/* ---- two arguments ---- */

static void arguments(bool pow, int i, double *a, double *b)
{
    if (i % 4 == 0) {
        *a = any_double(), *b = any_double();
    } else if (pow) {
        *a = i % 4 == 1 ? fabs(ldexp(random_unit(), (int)(random_bits() % 40) - 20))
                        : 1 + random_unit() * (i % 4 == 2 ? 0.5 : 1e-6);
        *b = random_unit() * fmin(1100 / fabs(log2(*a)), 1e300);
    } else {
        *a = ldexp(random_unit(), (int)(random_bits() % 20) - 10);
        *b = random_unit();
    }
}

static worst pairs(kl_op op, bool wide, int64_t count)
{
    bool pow_row = op == KL_OP_pow;
    worst w = {0, 0};
    for (int64_t k = 0; k < count; k++) {
        double a, b, e;
        arguments(pow_row, (int)(k % 8), &a, &b);
        kl_scalar x = {.f64 = a}, y = {.f64 = b};
        if (wide) {
            long double want = pow_row ? powl(a, b) : atan2l(a, b);
            e = ulps64(kl_eval(op, KL_F64, x, y, y).f64, want);
        } else {
            b = pow_row ? b / 8 : b;
            a = (float)a, b = (float)b;
            x = (kl_scalar){.f32 = (float)a}, y = (kl_scalar){.f32 = (float)b};
            e = ulps32(kl_eval(op, KL_F32, x, y, y).f32,
                       pow_row ? pow(a, b) : atan2(a, b));
        }
        if (e > w.ulp)
            w = (worst){e, a};
    }
    return w;
}

START_TEST(two_arguments)
{
    kl_op op = _i ? KL_OP_atan2 : KL_OP_pow;
    worst a = pairs(op, false, 1 << 18), b = pairs(op, true, 1 << 18);
    report(op, a, b);
    ck_assert_msg(a.ulp <= 1, "%s f32: %g ulp at %a", kl_ops[op].name, a.ulp, a.at);
    ck_assert_msg(b.ulp <= 2, "%s f64: %g ulp at %a", kl_ops[op].name, b.ulp, b.at);
}
END_TEST

/* ---- special values ---- */

static const double special[] = {0,        -0.0,
                                 1,        -1,
                                 2,        -2,
                                 3,        -3,
                                 0.5,      -0.5,
                                 2.5,      -2.5,
                                 1e-40,    -1e-40,
                                 INFINITY, -INFINITY,
                                 NAN,      0x1p-149,
                                 0.75,     -0.75,
                                 1e30,     -1e30,
                                 0x1p24,   -0x1p24 - 1,
                                 100,      -100,
                                 1e-10,    -1e-10,
                                 1.5,      -1.5,
                                 0x1p-126, -0x1p-149,
                                 4,        9007199254740993.0};

/* Inexact results may differ in the last place; the others, and NaN, must be what C says.
 */
static bool alike(double got, double want, double ulp)
{
    if (isnan(want) || isnan(got))
        return isnan(want) && isnan(got);
    if (want == 0 || isinf(want))
        return got == want && signbit(got) == signbit(want);
    return fabs(got - want) <= ulp * fabs(want) + 0x1p-1074;
}

START_TEST(specials)
{
    for (size_t i = 0; i < KL_COUNT(special); i++) {
        const function *f = &functions[_i];
        double x = special[i], y = kl_eval(f->op, KL_F64, (kl_scalar){.f64 = x},
                                           (kl_scalar){.f64 = x}, (kl_scalar){.f64 = x})
                                       .f64;
        ck_assert_msg(alike(y, f->ref(x), 0x1p-51), "%s(%g) is %a, not %a",
                      kl_ops[f->op].name, x, y, f->ref(x));
        kl_scalar s = {.f32 = (float)x};
        float z = kl_eval(f->op, KL_F32, s, s, s).f32, want = (float)f->ref((float)x);
        bool ok = alike(z, want, 0x1p-23) || fabsf(z - want) <= 0x1p-149f;
        ck_assert_msg(ok, "%s(%gf) is %a, not %a", kl_ops[f->op].name, x, z, want);
    }
}
END_TEST

START_TEST(special_pairs)
{
    kl_op op = _i ? KL_OP_atan2 : KL_OP_pow;
    int n = (int)KL_COUNT(special);
    for (int i = 0; i < n * n; i++) {
        double a = special[i / n], b = special[i % n],
               want = _i ? atan2(a, b) : pow(a, b);
        kl_scalar x = {.f64 = a}, y = {.f64 = b};
        double got = kl_eval(op, KL_F64, x, y, y).f64;
        ck_assert_msg(alike(got, want, 0x1p-51), "%s(%g, %g) is %a, not %a",
                      kl_ops[op].name, a, b, got, want);
        float af = (float)a, bf = (float)b;
        float wf = (float)(_i ? atan2(af, bf) : pow(af, bf));
        float gf =
            kl_eval(op, KL_F32, (kl_scalar){.f32 = af}, (kl_scalar){.f32 = bf}, y).f32;
        bool ok = alike(gf, wf, 0x1p-23) || fabsf(gf - wf) <= 0x1p-149f;
        ck_assert_msg(ok, "%s(%gf, %gf) is %a, not %a", kl_ops[op].name, a, b, gf, wf);
    }
}
END_TEST

/* Arguments that come closest to multiples of pi/2. */
START_TEST(large_angles)
{
    static const double near[] = {
        6381956970095103.0 * 0x1p797, 0x1.6ac5b262ca1ffp849,  1e22,
        0x1.921fb54442d18p0,          0x1.fffffffffffffp1023, 0x1p1000};
    for (size_t i = 0; i < KL_COUNT(near); i++) {
        kl_scalar x = {.f64 = near[i]};
        ck_assert(ulps64(kl_eval(KL_OP_sin, KL_F64, x, x, x).f64, sinl(near[i])) <= 1.5);
        ck_assert(ulps64(kl_eval(KL_OP_cos, KL_F64, x, x, x).f64, cosl(near[i])) <= 1.5);
        ck_assert(ulps64(kl_eval(KL_OP_tan, KL_F64, x, x, x).f64, tanl(near[i])) <= 2);
    }
}
END_TEST

/* f16: the f32 result rounded; and arrays of any length are what their elements are. */
START_TEST(halves)
{
    for (uint32_t h = 0; h < 65536; h += 7) {
        kl_scalar x = {.u16 = (uint16_t)h}, w = {.f32 = kl_f16_to_f32((uint16_t)h)};
        kl_scalar y = kl_eval(KL_OP_exp, KL_F16, x, x, x);
        kl_scalar z = kl_eval(KL_OP_exp, KL_F32, w, w, w);
        if (z.f32 == z.f32)
            ck_assert_uint_eq(y.u16, kl_f32_to_f16(z.f32));
    }
    float a[200], y[200];
    for (int n = 1; n < 200; n += 9) {
        for (int i = 0; i < n; i++)
            a[i] = (float)random_unit() * 9;
        kl_eval_n(KL_OP_tanh, KL_F32, n, y, a, NULL, NULL);
        for (int i = 0; i < n; i++) {
            kl_scalar s = {.f32 = a[i]};
            ck_assert(kl_eval(KL_OP_tanh, KL_F32, s, s, s).f32 == y[i]);
        }
    }
}
END_TEST

/* Every MATH row has a body at both dtypes, or is of integers. */
START_TEST(bodies)
{
    for (kl_op op = 0; op < KL_OP_COUNT; op++) {
        bool math = kl_ops[op].flags & KL_F_MATH;
        if (math && kl_ops[op].flags & KL_F_INT) {
            ck_assert_ptr_nonnull(kl_math_tape_of(op, KL_U64));
        } else if (math) {
            ck_assert_ptr_nonnull(kl_math_tape_of(op, KL_F32));
            ck_assert_ptr_nonnull(kl_math_tape_of(op, KL_F64));
        }
    }
}
END_TEST

/* The row's body is the generator of philox.c. */
START_TEST(philox)
{
    for (int i = 0; i < 100; i++) {
        uint64_t in[3] = {random_bits(), random_bits(), random_bits()}, y, want;
        uint32_t counter[4] = {(uint32_t)in[0], (uint32_t)(in[0] >> 32), (uint32_t)in[1],
                               (uint32_t)(in[1] >> 32)};
        uint32_t key[2] = {(uint32_t)in[2], (uint32_t)(in[2] >> 32)}, out[4];
        kl_philox(counter, key, out);
        want = (uint64_t)out[1] << 32 | out[0];
        kl_eval_n(KL_OP_philox, KL_U64, 1, &y, &in[0], &in[1], &in[2]);
        ck_assert_uint_eq(y, want);
    }
}
END_TEST

/* ---- by hand ---- */

static bool named(int argc, char **argv, kl_op op)
{
    for (int i = 2; i < argc; i++)
        if (strcmp(argv[i], kl_ops[op].name) == 0)
            return true;
    return argc <= 2;
}

static int sweep_all(int argc, char **argv)
{
    int failed = 0;
    for (int i = 0; i < nfunctions; i++) {
        const function *f = &functions[i];
        if (!named(argc, argv, f->op))
            continue;
        worst a = sweep(f, 0, 1), b = sample64(f, 1 << 22);
        report(f->op, a, b);
        failed += a.ulp > f->limit32 || b.ulp > f->limit64;
    }
    return failed;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int time_all(int argc, char **argv)
{
    static float x[4096], y[4096];
    for (int i = 0; i < 4096; i++)
        x[i] = (float)random_unit() * 4;
    for (int i = 0; i < nfunctions; i++) {
        if (!named(argc, argv, functions[i].op))
            continue;
        kl_eval_n(functions[i].op, KL_F32, 1, y, x, NULL, NULL);
        double t = seconds();
        for (int k = 0; k < 20; k++)
            kl_eval_n(functions[i].op, KL_F32, 4096, y, x, NULL, NULL);
        printf("%-6s %6.2f ns\n", kl_ops[functions[i].op].name,
               (seconds() - t) / 20 / 4096 * 1e9);
    }
    return 0;
}

int main(int argc, char **argv)
{
    if (argc > 1)
        return strcmp(argv[1], "all") == 0 ? sweep_all(argc, argv) : time_all(argc, argv);
    Suite *s = suite_create("math");
    TCase *tc = tcase_create("accuracy");
    tcase_set_timeout(tc, 120);
    tcase_add_test(tc, bodies);
    tcase_add_test(tc, philox);
    tcase_add_loop_test(tc, specials, 0, nfunctions);
    tcase_add_loop_test(tc, special_pairs, 0, 2);
    tcase_add_test(tc, large_angles);
    tcase_add_test(tc, halves);
    tcase_add_loop_test(tc, one_argument, 0, nfunctions);
    tcase_add_loop_test(tc, two_arguments, 0, 2);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
