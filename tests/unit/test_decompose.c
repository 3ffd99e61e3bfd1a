/* test_decompose.c: every shared rule equals kl_eval, row by row and dtype by dtype, over
 * all pairs (triples for fma) of special values and many random ones. */
#include <check.h>
#include <stdlib.h>

#include "ir/ir.h"

static kl_arena *a;
static kl_exprs *x;

static void setup(void)
{
    kl_error_clear();
    a = kl_arena_new();
    x = kl_exprs_new(a, NULL);
    kl_x_newvar(x, "i", 1);
}

static void teardown(void)
{
    kl_arena_free(a);
}

/* ---- operands ---- */

enum { MAXN = 1 << 17 };
static uint64_t seed = 1;

static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed ^ seed >> 29;
}

static const double float_grid[] = {0,
                                    -0.0,
                                    1,
                                    -1,
                                    0.5,
                                    -0.5,
                                    1.5,
                                    2.5,
                                    -2.5,
                                    3,
                                    7,
                                    -7,
                                    10,
                                    0.1,
                                    1e-3,
                                    255.5,
                                    65504,
                                    65519.99,
                                    65520,
                                    65536,
                                    2048.5,
                                    8388607.5,
                                    8388609,
                                    4294967296,
                                    -9.3e18,
                                    1.9e19,
                                    1e30,
                                    3.4e38,
                                    3.5e38,
                                    1e300,
                                    1.7e308,
                                    -1e308,
                                    0x1p-14,
                                    0x1p-24,
                                    0x1p-25,
                                    0x1.8p-25,
                                    0x1p-126,
                                    0x1p-149,
                                    0x1p-133,
                                    0x1p-1022,
                                    0x1p-1074,
                                    3e-320,
                                    0x1.000002p0,
                                    0x1.fffffep-127,
                                    0x1.ffcp-15,
                                    0x1.ffep-15,
                                    __builtin_inf(),
                                    -__builtin_inf(),
                                    __builtin_nan("")};
static const int64_t int_grid[] = {0,
                                   1,
                                   -1,
                                   2,
                                   3,
                                   -3,
                                   5,
                                   7,
                                   8,
                                   31,
                                   32,
                                   63,
                                   64,
                                   -64,
                                   100,
                                   127,
                                   128,
                                   -128,
                                   255,
                                   256,
                                   32767,
                                   -32768,
                                   65535,
                                   2147483647,
                                   -2147483647 - 1,
                                   4294967295,
                                   9007199254740993,
                                   -9007199254740993,
                                   36028797018963969,
                                   INT64_MAX,
                                   INT64_MIN,
                                   0x7fffffffffffffbf,
                                   0x4000000000000401};

static int special_count(kl_dtype dt)
{
    return dt == KL_BOOL     ? 2
           : kl_is_float(dt) ? (int)KL_COUNT(float_grid)
                             : (int)KL_COUNT(int_grid);
}

static kl_scalar special(kl_dtype dt, int i)
{
    if (dt == KL_BOOL)
        return (kl_scalar){.bits = (uint64_t)i};
    return kl_is_float(dt) ? kl_scalar_from(dt, float_grid[i])
                           : kl_scalar_from_int(dt, int_grid[i]);
}

/* Random bits; half of the floats with exponents near to each other's. */
static kl_scalar any(kl_dtype dt)
{
    kl_scalar v = {.bits = rnd()};
    if (dt == KL_BOOL)
        v.bits &= 1;
    if (kl_is_float(dt) && rnd() % 2)
        return kl_scalar_from(dt,
                              (double)(int64_t)rnd() * (rnd() % 2 ? 0x1p-60 : 0x1p-40));
    return v;
}

typedef struct table {
    char *col[3];
    int64_t n;
    kl_dtype dt[3];
} table;

static void put(table *t, int k, kl_scalar v)
{
    size_t size = kl_dtypes[t->dt[k]].size;
    memcpy(t->col[k] + (size_t)t->n * size, &v, size);
}

static void make_table(table *t, const kl_dtype *dt, int arity)
{
    int n[3] = {1, 1, 1};
    t->n = 0;
    for (int k = 0; k < 3; k++) {
        t->dt[k] = k < arity ? dt[k] : KL_U8;
        t->col[k] = malloc((size_t)MAXN * 8);
        if (k < arity)
            n[k] = special_count(dt[k]);
    }
    for (int i = 0; i < n[0] * n[1] * n[2] && t->n < MAXN; i++, t->n++)
        for (int k = 0, r = i; k < arity; r /= n[k], k++)
            put(t, k, special(dt[k], r % n[k]));
    for (int64_t end = KL_MIN(t->n + 20000, MAXN); t->n < end; t->n++)
        for (int k = 0; k < arity; k++)
            put(t, k, any(dt[k]));
}

static void free_table(table *t)
{
    for (int k = 0; k < 3; k++)
        free(t->col[k]);
}

/* ---- evaluation: loads of operand k are column k ---- */

static kl_x input(int k, kl_dtype dt)
{
    return kl_x_load(x, (uint32_t)k, dt, kl_x_var(x, 0), KL_NONE, KL_NONE);
}

static void eval_node(const table *t, const kl_xnode *n, char **v, char *y)
{
    size_t size = kl_dtypes[n->dtype].size;
    if (n->op == KL_X_LOAD)
        memcpy(y, t->col[n->imm], (size_t)t->n * size);
    else if (n->op == KL_X_CONST)
        for (int64_t i = 0; i < t->n; i++)
            memcpy(y + (size_t)i * size, &n->imm, size);
    else if (n->op == KL_OP_cast)
        kl_eval_cast_n(n->dtype, x->nodes[n->src[0]].dtype, t->n, y, v[n->src[0]]);
    else if (n->op == KL_OP_bitcast)
        memcpy(y, v[n->src[0]], (size_t)t->n * size);
    else if (n->op != KL_X_VAR)
        kl_eval_n((kl_op)n->op, x->nodes[n->src[n->nsrc - 1]].dtype, t->n, y,
                  v[n->src[0]], n->nsrc > 1 ? v[n->src[1]] : NULL,
                  n->nsrc > 2 ? v[n->src[2]] : NULL);
}

static char *eval(const table *t, kl_x e, const bool *native)
{
    kl_xlist l = {0};
    ck_assert_int_eq(kl_x_order(x, e, &l), KL_OK);
    char **v = calloc(x->count, sizeof *v), *y;
    for (uint32_t i = 0; i < l.count; i++) {
        const kl_xnode *n = &x->nodes[l.items[i]];
        if (n->op < KL_OP_COUNT && kl_ops[n->op].kind == KL_KIND_ELT && native)
            ck_assert_msg(native[n->op], "%s is left", kl_ops[n->op].name);
        v[l.items[i]] = malloc((size_t)t->n * 8 + 8);
        eval_node(t, n, v, v[l.items[i]]);
    }
    y = v[e];
    v[e] = NULL;
    for (uint32_t i = 0; i < x->count; i++)
        free(v[i]);
    free(v);
    kl_xlist_free(&l);
    return y;
}

static bool same(kl_dtype dt, const char *p, const char *q)
{
    kl_scalar u = {.bits = 0}, v = {.bits = 0};
    memcpy(&u, p, kl_dtypes[dt].size);
    memcpy(&v, q, kl_dtypes[dt].size);
    if (!kl_is_float(dt))
        return u.bits == v.bits;
    double f = kl_scalar_to_double(dt, u), g = kl_scalar_to_double(dt, v);
    return u.bits == v.bits || (f != f && g != g);
}

static void compare(const table *t, const char *what, kl_x plain, kl_x lowered,
                    const bool *native, int arity)
{
    kl_dtype dt = x->nodes[plain].dtype;
    size_t size = kl_dtypes[dt].size;
    ck_assert_msg(lowered != KL_NONE, "%s: %s", what, kl_error());
    char *p = eval(t, plain, NULL), *q = eval(t, lowered, native);
    for (int64_t i = 0; i < t->n; i++) {
        if (same(dt, p + (size_t)i * size, q + (size_t)i * size))
            continue;
        double s[3] = {0, 0, 0};
        uint64_t got = 0, want = 0;
        memcpy(&want, p + (size_t)i * size, size);
        memcpy(&got, q + (size_t)i * size, size);
        for (int k = 0; k < arity; k++) {
            kl_scalar v = {.bits = 0};
            memcpy(&v, t->col[k] + (size_t)i * kl_dtypes[t->dt[k]].size,
                   kl_dtypes[t->dt[k]].size);
            s[k] = kl_scalar_to_double(t->dt[k], v);
        }
        ck_abort_msg("%s of %a, %a, %a: %#lx, not %#lx", what, s[0], s[1], s[2],
                     (unsigned long)got, (unsigned long)want);
    }
    free(p);
    free(q);
}

/* ---- tests ---- */

static void all_native(bool *native)
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        native[op] = !(kl_ops[op].flags & KL_F_MATH);
}

/* One row over all dtypes that have it: without it alone, then without any row that has a
 * rule. */
static void check_row(kl_op op, kl_dtype dt)
{
    kl_x s[3], plain;
    kl_dtype dts[3] = {dt, dt, dt};
    int n = kl_ops[op].arity;
    bool native[KL_OP_COUNT];
    char what[64];
    table t;
    for (int k = 0; k < n; k++)
        s[k] = input(k, dt);
    if (kl_x_result(x, op, s, n) == KL_DTYPE_NONE)
        return;
    make_table(&t, dts, n);
    plain = kl_x_op(x, op, s[0], n > 1 ? s[1] : KL_NONE, n > 2 ? s[2] : KL_NONE);
    for (int round = 0; round < 2; round++) {
        all_native(native);
        native[op] = false;
        for (int other = 0; other < KL_OP_COUNT && round; other++)
            if (kl_x_rule((kl_op)other) &&
                !(other == KL_OP_rem && (op != KL_OP_rem || dt == KL_F64)))
                native[other] = false;
        if (op == KL_OP_rem && dt == KL_F64)
            continue;
        snprintf(what, sizeof what, "%s %s (%d)", kl_ops[op].name, kl_dtypes[dt].name,
                 round);
        compare(&t, what, plain, kl_x_lower_math(x, plain, native), native, n);
    }
    free_table(&t);
}

START_TEST(rules)
{
    if (kl_x_rule((kl_op)_i))
        for (int dt = 0; dt < KL_C64; dt++)
            check_row((kl_op)_i, (kl_dtype)dt);
}
END_TEST

/* Arithmetic of f16 and bf16, all rows native: in f32, rounded after each. */
START_TEST(halves)
{
    const kl_op_info *o = &kl_ops[_i];
    if (o->kind != KL_KIND_ELT || o->rule == KL_RULE_OWN ||
        (o->flags & (KL_F_MATH | KL_F_INT)) || _i == KL_OP_where)
        return;
    for (int k = 0; k < 2; k++) {
        kl_dtype dt = k ? KL_BF16 : KL_F16, dts[3] = {dt, dt, dt};
        bool native[KL_OP_COUNT];
        table t;
        all_native(native);
        make_table(&t, dts, o->arity);
        kl_x s[3] = {input(0, dt), o->arity > 1 ? input(1, dt) : KL_NONE,
                     o->arity > 2 ? input(2, dt) : KL_NONE};
        kl_x plain = kl_x_op(x, (kl_op)_i, s[0], s[1], s[2]),
             low = kl_x_lower_math(x, plain, native);
        ck_assert(low != plain);
        compare(&t, o->name, plain, low, native, o->arity);
        free_table(&t);
    }
}
END_TEST

/* All casts to and from f16 and bf16, as expressions over integers and f32. */
START_TEST(casts)
{
    for (int k = 0; k < KL_C64; k++) {
        kl_dtype from = (kl_dtype)_i, to = (kl_dtype)k;
        bool half = from == KL_F16 || from == KL_BF16 || to == KL_F16 || to == KL_BF16;
        bool native[KL_OP_COUNT];
        char what[64];
        table t;
        if (!half || from == to)
            continue;
        all_native(native);
        native[KL_OP_cast] = false;
        make_table(&t, &from, 1);
        kl_x plain = kl_x_cast(x, input(0, from), to),
             low = kl_x_lower_math(x, plain, native);
        snprintf(what, sizeof what, "%s from %s", kl_dtypes[to].name,
                 kl_dtypes[from].name);
        ck_assert(low != plain);
        compare(&t, what, plain, low, native, 1);
        free_table(&t);
    }
}
END_TEST

/* Every f16 and bf16, exactly. */
START_TEST(every_half)
{
    kl_dtype from = _i ? KL_BF16 : KL_F16;
    bool native[KL_OP_COUNT];
    table t = {.n = 65536, .dt = {from, KL_U8, KL_U8}};
    all_native(native);
    native[KL_OP_cast] = false;
    t.col[0] = malloc(65536 * 8);
    t.col[1] = t.col[2] = NULL;
    for (uint32_t i = 0; i < 65536; i++)
        memcpy(t.col[0] + 2 * i, &(uint16_t){(uint16_t)i}, 2);
    kl_x plain = kl_x_cast(x, input(0, from), KL_F32);
    compare(&t, "widen", plain, kl_x_lower_math(x, plain, native), native, 1);
    free_table(&t);
}
END_TEST

/* A long chain of halves: linear, no recursion, and nothing left to widen. */
START_TEST(long_chain)
{
    bool native[KL_OP_COUNT];
    all_native(native);
    kl_x e = input(0, KL_F16), f = input(1, KL_F16);
    for (int i = 0; i < 50000; i++)
        e = kl_x_op(x, KL_OP_add, e, f, KL_NONE);
    kl_x y = kl_x_lower_math(x, e, native);
    ck_assert(y != KL_NONE);
    ck_assert_int_eq(x->nodes[y].op, KL_OP_cast);
    ck_assert_uint_eq(kl_x_lower_math(x, y, native), y);
}
END_TEST

START_TEST(no_rule)
{
    bool native[KL_OP_COUNT];
    all_native(native);
    native[KL_OP_sqrt] = false;
    kl_x e = kl_x_op(x, KL_OP_sqrt, input(0, KL_F32), KL_NONE, KL_NONE);
    ck_assert(kl_x_lower_math(x, e, native) == KL_NONE);
    ck_assert(strstr(kl_error(), "sqrt of f32 is not native") != NULL);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("decompose");
    TCase *tc = tcase_create("decompose");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, rules, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, halves, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, casts, 0, KL_C64);
    tcase_add_loop_test(tc, every_half, 0, 2);
    tcase_add_test(tc, long_chain);
    tcase_add_test(tc, no_rule);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
