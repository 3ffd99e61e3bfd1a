/* Extents: canonical forms mean what was written, and say it in one way. */
#include "ir/ir.h"

#include <check.h>

static kl_arena *a;
static kl_dims *d;
static kl_dim A, B, C; /* 0.. ; 1..4096 % 8 ; 2..9 */

static void setup(void)
{
    a = kl_arena_new();
    d = kl_dims_new(a);
    A = kl_dim_sym(d, "A");
    B = kl_dim_sym(d, "B");
    C = kl_dim_sym(d, "C");
    kl_dim_sym_bound(d, B, 8, 4096, 8);
    kl_dim_sym_bound(d, C, 2, 9, 1);
    kl_error_clear();
}

static void teardown(void)
{
    kl_arena_free(a);
}

static kl_dim parse(const char *text)
{
    kl_lex l;
    kl_dim x;
    kl_lex_init(&l, "t", text);
    ck_assert_msg(kl_dim_parse(d, &l, &x) == KL_OK, "%s: %s", text, kl_error());
    ck_assert_int_eq(l.kind, KL_TOK_END);
    return x;
}

static void expect(kl_dim x, const char *text)
{
    kl_text t = {0};
    kl_dim_print(d, x, &t);
    ck_assert_str_eq(t.s, text);
    kl_text_free(&t);
}

static const struct {
    const char *text, *canonical;
} forms[] = {
    {"1+4*B", "4*B+1"},
    {"(B+1)*2-2", "2*B"},
    {"B*A", "A*B"},
    {"A*A+A", "A*A+A"},
    {"(A+B)*(A-B)", "A*A-B*B"},
    {"B-B", "0"},
    {"3-5", "-2"},
    {"floor((4*B+6)/4)", "B+1"},
    {"floor((5*A+3)/4)", "A+floor((A+3)/4)"},
    {"floor(floor(A/2)/3)", "floor(A/6)"},
    {"floor((floor(A/2)+1)/3)", "floor((A+2)/6)"},
    {"floor(6*A/4)", "A+floor(A/2)"},
    {"floor(C/10)", "0"},
    {"4*floor(B/4)", "B"},
    {"floor((B+6)/16)", "floor(B/16)"},
    {"floor((B+3)/4)*4+floor((floor(B/2)+1)/2)", "B+floor(B/4)"},
    {"floor(B/4)*(2*A*2+6)", "A*B+6*floor(B/4)"},
    {"4*floor(A/4)", "4*floor(A/4)"},
    {"floor((A*B)/B)", "A"},
    {"floor(C*C/C)", "C"},
    {"mod(B,8)", "0"},
    {"mod(9*A+5,8)", "mod(A+5,8)"},
    {"mod(6*A,4)", "2*mod(A,2)"},
    {"mod(C,10)", "C"},
    {"mod(A*C,C)", "0"},
    {"mod(mod(A,8),4)", "mod(A,4)"},
    {"max(A+1,A)", "A+1"},
    {"min(B,3)", "3"},
    {"max(B,A)", "max(A,B)"},
    {"min(A,C)+max(A,C)", "max(A,C)+min(A,C)"},
    {"-A", "-A"},
    {"floor(7/2)", "3"},
    {"floor((0-7)/2)", "-4"},
    {"mod(0-7,2)", "1"},
    {"floor(5/0)", "0"},
    {"mod(5,0)", "5"},
};

START_TEST(canonical)
{
    kl_dim x = parse(forms[_i].text);
    expect(x, forms[_i].canonical);
    ck_assert(parse(forms[_i].canonical) == x);
}
END_TEST

START_TEST(ranges)
{
    int64_t min, max;
    kl_dim_range(d, parse("2*B+1"), &min, &max);
    ck_assert_int_eq(min, 17);
    ck_assert_int_eq(max, 8193);
    kl_dim_range(d, parse("floor(B/16)-C"), &min, &max);
    ck_assert_int_eq(min, -9);
    ck_assert_int_eq(max, 254);
    ck_assert(kl_dim_divides(d, 16, parse("2*B+16*A")));
    ck_assert(kl_dim_divides(d, 4, parse("floor(B/2)")));
    ck_assert(!kl_dim_divides(d, 16, parse("B")));
}
END_TEST

START_TEST(overflow_sticks)
{
    kl_dim big = INT64_MAX / 2;
    ck_assert(kl_dim_add(d, kl_dim_add(d, big, big), 2) == KL_DIM_BAD);
    ck_assert(kl_dim_mul(d, big, 3) == KL_DIM_BAD);
    ck_assert(kl_dim_mul(d, kl_dim_mul(d, big, A), 3) == KL_DIM_BAD);
    kl_dim least = kl_dim_mul(d, A, kl_dim_const(d, -INT64_MAX));
    ck_assert(least != KL_DIM_BAD && kl_dim_sub(d, least, A) == KL_DIM_BAD);
    ck_assert(kl_dim_sub(d, kl_dim_const(d, -INT64_MAX), 1) == KL_DIM_BAD);
    ck_assert(kl_dim_add(d, KL_DIM_BAD, 1) == KL_DIM_BAD);
    ck_assert(kl_dim_div(d, KL_DIM_BAD, 2) == KL_DIM_BAD);
    kl_dim x = A;
    for (int i = 0; i < 40; i++) /* deeper than anything needs */
        x = kl_dim_max(d, kl_dim_mod(d, kl_dim_mul(d, x, x), kl_dim_add(d, C, i)), B);
    ck_assert(x == KL_DIM_BAD);
    ck_assert(kl_dim_sub(NULL, 7, 3) == 4);
    ck_assert(kl_dim_max(NULL, 7, 3) == 7);
}
END_TEST

/* ---- random expressions ---- */

static uint64_t seed;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

#define POINTS 6
typedef struct value { /* an expression, and what it is at a few points */
    kl_dim x;
    int64_t at[POINTS];
} value;

static int64_t points[POINTS][3];

static int64_t floordiv(int64_t x, int64_t y)
{
    if (y == 0)
        return 0;
    return x / y - (x % y != 0 && (x < 0) != (y < 0));
}

static value leaf(void)
{
    value v;
    uint32_t k = rnd(4);
    kl_dim sym[] = {A, B, C};
    int64_t c = (int64_t)rnd(9) - 2;
    v.x = k < 3 ? sym[k] : kl_dim_const(d, c);
    for (int i = 0; i < POINTS; i++)
        v.at[i] = k < 3 ? points[i][k] : c;
    return v;
}

static value combine(value p, value q)
{
    value y = p;
    uint32_t k = rnd(7);
    static kl_dim (*const fn[])(kl_dims *, kl_dim,
                                kl_dim) = {kl_dim_add, kl_dim_sub, kl_dim_mul, kl_dim_div,
                                           kl_dim_mod, kl_dim_max, kl_dim_min};
    y.x = fn[k](d, p.x, q.x);
    for (int i = 0; i < POINTS; i++) {
        int64_t s = p.at[i], t = q.at[i];
        int64_t all[] = {
            s + t,        s - t,       s * t, floordiv(s, t), s - floordiv(s, t) * t,
            KL_MAX(s, t), KL_MIN(s, t)};
        y.at[i] = all[k];
    }
    return y;
}

static void check_value(const value *v)
{
    kl_text t = {0};
    int64_t min, max;
    kl_dim_range(d, v->x, &min, &max);
    kl_dim_print(d, v->x, &t);
    kl_size code = kl_dim_size(d, v->x, a);
    ck_assert_int_gt(code.len, 0);
    for (int i = 0; i < POINTS; i++) {
        int64_t y = kl_dim_eval(d, v->x, points[i]);
        ck_assert_msg(y == v->at[i], "%s at %lld %lld %lld: %lld, not %lld", t.s,
                      (long long)points[i][0], (long long)points[i][1],
                      (long long)points[i][2], (long long)y, (long long)v->at[i]);
        ck_assert_msg(min <= y && y <= max, "%s leaves its range", t.s);
        for (int by = 2; by < 9; by++)
            if (kl_dim_divides(d, by, v->x))
                ck_assert_int_eq(y % by, 0);
    }
    ck_assert_msg(parse(t.s) == v->x, "%s reads as another", t.s);
    kl_text_free(&t);
}

START_TEST(random_expressions)
{
    seed = (uint64_t)_i + 1;
    for (int i = 0; i < POINTS; i++) {
        points[i][0] = rnd(i < 2 ? 4 : 50);
        points[i][1] = 8 * (1 + (int64_t)rnd(i < 3 ? 2 : 500));
        points[i][2] = 2 + rnd(8);
    }
    for (int round = 0; round < 40; round++) {
        value v[4];
        for (int i = 0; i < 4; i++)
            v[i] = leaf();
        for (int i = 0; i < 3; i++) {
            v[rnd(4)] = combine(v[rnd(4)], v[rnd(4)]);
            for (int j = 0; j < 4; j++)
                if (v[j].x != KL_DIM_BAD)
                    check_value(&v[j]);
                else
                    v[j] = leaf();
        }
    }
}
END_TEST

static const char *const bad[] = {"",   "A+",    "floor(A,2)", "mod(A/2)",
                                  "(A", "A**2",  "sin(A)",     "99999999999999999999",
                                  "*",  "max(A)"};

START_TEST(malformed)
{
    kl_lex l;
    kl_dim x;
    kl_lex_init(&l, "t", bad[_i]);
    ck_assert_int_eq(kl_dim_parse(d, &l, &x), KL_ERR_PARSE);
}
END_TEST

START_TEST(deep_parentheses)
{
    char text[4001];
    kl_lex l;
    kl_dim x;
    memset(text, '(', 4000);
    text[4000] = 0;
    kl_lex_init(&l, "t", text);
    ck_assert_int_eq(kl_dim_parse(d, &l, &x), KL_ERR_PARSE);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("dim");
    TCase *tc = tcase_create("all");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, canonical, 0, (int)KL_COUNT(forms));
    tcase_add_test(tc, ranges);
    tcase_add_test(tc, overflow_sticks);
    tcase_add_loop_test(tc, random_expressions, 0, 50);
    tcase_add_loop_test(tc, malformed, 0, (int)KL_COUNT(bad));
    tcase_add_test(tc, deep_parentheses);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
