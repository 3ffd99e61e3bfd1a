/* test_loops_interp.c: the loops' interpreter gives right numbers, and finds races,
 * accesses out of bounds and reads of what nobody wrote. */
#include <check.h>
#include <math.h>

#include "ir/ir.h"

static kl_arena *a;
static kl_dims *d;
static kl_kernel *k;
static kl_exprs *x;

static void setup(void)
{
    kl_error_clear();
    a = kl_arena_new();
    d = kl_dims_new(a);
    k = kl_kernel_new(a, d, "t");
    x = k->x;
}

static void teardown(void)
{
    kl_arena_free(a);
}

static uint32_t operand(const char *name, kl_role role, kl_dim count)
{
    return kl_kernel_operand(
        k, &(kl_operand){.name = name, .dtype = KL_F32, .role = role, .count = count});
}

static kl_build phase(kl_dim workers, int group, int lane, uint32_t *var)
{
    k->phases = kl_arena_zeroed(a, 1, sizeof *k->phases);
    k->nphases = 1;
    *var = kl_x_newvar(x, "w", workers);
    k->phases[0] = (kl_phase){
        .var = *var, .workers = workers, .grain = 1, .group = group, .lane = lane};
    return (kl_build){k, &k->phases[0].body};
}

static kl_x load(uint32_t o, kl_x i)
{
    return kl_x_load(x, o, KL_F32, i, KL_NONE, KL_NONE);
}

static kl_x f32(double v)
{
    return kl_x_const(x, KL_F32, kl_scalar_from(KL_F32, v));
}

static kl_x op(kl_op o, kl_x p, kl_x q)
{
    return kl_x_op(x, o, p, q, KL_NONE);
}

#define ADD(p, q) kl_x_add(x, p, q)
#define MUL(p, q) kl_x_mul(x, p, q)
#define INT(v) kl_x_int(x, v)

/* max and sum of each row of x[B,40] by lanes of 32, then y = (x - max) / sum. */
START_TEST(rows)
{
    kl_dim B = kl_dim_sym(d, "B");
    kl_dim n = kl_dim_mul(d, B, 40);
    uint32_t in = operand("x", KL_ROLE_IN, n), out = operand("y", KL_ROLE_OUT, n), r;
    kl_build b = phase(B, 1, 1, &r);
    uint32_t c = kl_x_newvar(x, "c", 40);
    kl_x at = ADD(MUL(kl_x_var(x, r), INT(40)), kl_x_var(x, c)), v = load(in, at);
    kl_x acc = kl_b_reg(&b, "acc", KL_F32, 32, 0, NULL);
    kl_b_set(&b, acc, f32(-INFINITY));
    kl_build in1 = kl_b_for(&b, c, INT(40), KL_BIND_LANE, 32);
    kl_b_set(&in1, acc, op(KL_OP_max, acc, v));
    kl_x m = kl_b_reg(&b, "m", KL_F32, 1, 0, NULL);
    kl_b_fold(&b, m, KL_OP_max, acc);
    kl_b_set(&b, acc, f32(-0.0));
    kl_build in2 = kl_b_for(&b, c, INT(40), KL_BIND_LANE, 32);
    kl_b_set(&in2, acc, op(KL_OP_add, acc, v));
    kl_x s = kl_b_reg(&b, "s", KL_F32, 1, 0, NULL);
    kl_b_fold(&b, s, KL_OP_add, acc);
    kl_build in3 = kl_b_for(&b, c, INT(40), KL_BIND_LANE, 32);
    kl_b_store(&in3, out, at, op(KL_OP_div, op(KL_OP_sub, v, m), s), KL_NONE);
    float xs[3 * 40], ys[3 * 40];
    for (int i = 0; i < 120; i++)
        xs[i] = (float)((i * 7) % 11);
    ck_assert_msg(!kl_loops_interp(k, (void *[]){xs, ys}, (int64_t[]){3}, NULL), "%s",
                  kl_error());
    for (int i = 0; i < 3; i++) {
        float sum = 0;
        for (int j = 0; j < 40; j++)
            sum += xs[i * 40 + j];
        for (int j = 0; j < 40; j++)
            ck_assert_float_eq(ys[i * 40 + j], (xs[i * 40 + j] - 10) / sum);
    }
}
END_TEST

static kl_status run1(void)
{
    static float xs[64], ys[64];
    return kl_loops_interp(k, (void *[]){xs, ys}, NULL, NULL);
}

static void expect(const char *what)
{
    ck_assert_int_eq(run1(), KL_ERR_INTERNAL);
    ck_assert_msg(strstr(kl_error(), what) != NULL, "\"%s\" lacks \"%s\"", kl_error(),
                  what);
}

/* All workers write y[0]; then one worker reads what another wrote. */
START_TEST(workers_race)
{
    uint32_t in = operand("x", KL_ROLE_IN, 64), out = operand("y", KL_ROLE_OUT, 64), w;
    kl_build b = phase(4, 1, 1, &w);
    kl_b_store(&b, out, _i ? kl_x_var(x, w) : INT(0), load(in, INT(0)), KL_NONE);
    ck_assert_int_eq(_i ? run1() : KL_OK, KL_OK);
    if (_i)
        kl_b_store(&b, out, ADD(kl_x_var(x, w), INT(8)), load(out, INT(0)), KL_NONE);
    expect(_i ? "races loading y[0]" : "races storing y[0]");
}
END_TEST

/* A tile that a lane writes and its neighbour reads: a race on the GPU unless a barrier
 * stands between; on the CPU, where one loop is over before the next, within a loop. */
START_TEST(lanes_race)
{
    bool gpu = _i < 2, barrier = _i == 1;
    uint32_t in = operand("x", KL_ROLE_IN, 64), out = operand("y", KL_ROLE_OUT, 64), w;
    uint32_t t = operand("t", KL_ROLE_TILE, 33);
    kl_build b = phase(2, 1, gpu ? 32 : 1, &w);
    uint32_t c = kl_x_newvar(x, "c", 32);
    kl_x v = kl_x_var(x, c);
    kl_build l1 = kl_b_for(&b, c, INT(32), KL_BIND_LANE, 32);
    kl_b_store(&l1, t, v, load(in, v), KL_NONE);
    if (barrier)
        kl_b_barrier(&b);
    kl_build l2 = _i == 3 ? l1 : kl_b_for(&b, c, INT(31), KL_BIND_LANE, 32);
    kl_b_store(&l2, out, ADD(MUL(kl_x_var(x, w), INT(32)), v), load(t, ADD(v, INT(1))),
               KL_NONE);
    if (_i == 0 || _i == 3)
        expect("races loading t[1]");
    else
        ck_assert_msg(run1() == KL_OK, "%s", kl_error());
}
END_TEST

START_TEST(lanes_share_an_element)
{
    uint32_t in = operand("x", KL_ROLE_IN, 64), out = operand("y", KL_ROLE_OUT, 64), w;
    kl_build b = phase(1, 1, 1, &w);
    uint32_t c = kl_x_newvar(x, "c", 32);
    kl_build l = kl_b_for(&b, c, INT(32), KL_BIND_LANE, 8);
    kl_b_store(&l, out, kl_x_divf(x, kl_x_var(x, c), INT(2)), load(in, INT(0)), KL_NONE);
    expect("races storing y[0]");
}
END_TEST

START_TEST(bounds)
{
    uint32_t in = operand("x", KL_ROLE_IN, 64), out = operand("y", KL_ROLE_OUT, 64), w;
    kl_build b = phase(8, 1, 1, &w);
    kl_x v = kl_x_var(x, w), far = ADD(v, INT(60)), ok = kl_x_lt(x, far, INT(64));
    if (_i == 0)
        kl_b_store(&b, out, v, load(in, far), KL_NONE);
    else if (_i == 1)
        kl_b_store(&b, out, far, load(in, v), KL_NONE);
    else
        kl_b_store(&b, out, far, kl_x_load(x, in, KL_F32, far, ok, f32(1)), ok);
    if (_i < 2)
        expect(_i ? "stores outside y[64]" : "loads outside x[64]");
    else
        ck_assert_msg(run1() == KL_OK, "%s", kl_error());
}
END_TEST

/* A tile of the previous worker is not this one's. */
START_TEST(poison)
{
    operand("x", KL_ROLE_IN, 64);
    uint32_t out = operand("y", KL_ROLE_OUT, 64), t = operand("t", KL_ROLE_TILE, 8), w;
    kl_build b = phase(3, 1, 1, &w);
    kl_build first = kl_b_if(&b, kl_x_lt(x, kl_x_var(x, w), INT(2)));
    kl_b_store(&first, t, INT(3), f32(1), KL_NONE);
    kl_b_store(&b, out, kl_x_var(x, w), load(t, INT(3)), KL_NONE);
    expect("never written, t[3]");
    ck_assert_msg(strstr(kl_error(), "worker 2") != NULL, "%s", kl_error());
}
END_TEST

START_TEST(registers)
{
    operand("x", KL_ROLE_IN, 64);
    uint32_t out = operand("y", KL_ROLE_OUT, 64), w;
    kl_build b = phase(1, 1, 1, &w);
    kl_x r = kl_b_reg(&b, "r", KL_F32, 1, 0, NULL);
    uint32_t c = kl_x_newvar(x, "c", 8);
    if (_i) {
        kl_build l = kl_b_for(&b, c, INT(8), KL_BIND_LANE, 8);
        kl_b_set(&l, r, kl_x_cast(x, kl_x_var(x, c), KL_F32));
    }
    kl_b_store(&b, out, INT(0), r, KL_NONE);
    expect(_i ? "lanes race on register r" : "read before it is set");
}
END_TEST

/* Eight groups, a row each: groups run together, so a barrier inside is fine. */
START_TEST(groups)
{
    uint32_t in = operand("x", KL_ROLE_IN, 64), out = operand("y", KL_ROLE_OUT, 64), w;
    uint32_t t = operand("t", KL_ROLE_TILE, 8);
    kl_build b = phase(1, 8, 32, &w);
    uint32_t g = kl_x_newvar(x, "g", 8), c = kl_x_newvar(x, "c", 8);
    kl_x row = MUL(kl_x_var(x, g), INT(8));
    kl_build gb = kl_b_for(&b, g, INT(8), KL_BIND_GROUP, 0);
    kl_x s = kl_b_reg(&gb, "s", KL_F32, 1, 0, NULL),
         acc = kl_b_reg(&gb, "acc", KL_F32, 4, 0, NULL);
    kl_b_set(&gb, acc, f32(0));
    kl_build l = kl_b_for(&gb, c, INT(8), KL_BIND_LANE, 4);
    kl_b_set(&l, acc, op(KL_OP_add, acc, load(in, ADD(row, kl_x_var(x, c)))));
    kl_b_fold(&gb, s, KL_OP_add, acc);
    kl_b_store(&gb, t, kl_x_var(x, g), s, KL_NONE);
    if (_i)
        kl_b_barrier(&gb);
    kl_b_store(&gb, out, kl_x_var(x, g),
               load(t, kl_x_mod(x, ADD(kl_x_var(x, g), INT(1)), INT(8))), KL_NONE);
    float xs[64], ys[64];
    for (int i = 0; i < 64; i++)
        xs[i] = (float)i;
    kl_status st = kl_loops_interp(k, (void *[]){xs, ys}, NULL, NULL);
    ck_assert_msg(st == (_i ? KL_OK : KL_ERR_INTERNAL), "%s", kl_error());
    for (int i = 0; i < 8 && _i; i++)
        ck_assert_float_eq(ys[i], 64.f * (float)((i + 1) % 8) + 28.f);
}
END_TEST

START_TEST(first_fault)
{
    operand("x", KL_ROLE_IN, 64);
    uint32_t w;
    kl_build b = phase(8, 1, 1, &w);
    kl_b_check(&b, kl_x_lt(x, kl_x_var(x, w), INT(5)), KL_FAULT_INDEX, 7, kl_x_var(x, w));
    int64_t error[3] = {0, 0, 0};
    ck_assert_int_eq(kl_loops_interp(k, (void *[]){NULL}, NULL, error), KL_OK);
    ck_assert_int_eq(error[0], KL_FAULT_INDEX);
    ck_assert_int_eq(error[1], 7);
    ck_assert_int_eq(error[2], 5);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loops_interp");
    TCase *tc = tcase_create("loops_interp");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_add_test(tc, rows);
    tcase_add_loop_test(tc, workers_race, 0, 2);
    tcase_add_loop_test(tc, lanes_race, 0, 4);
    tcase_add_test(tc, lanes_share_an_element);
    tcase_add_loop_test(tc, bounds, 0, 3);
    tcase_add_test(tc, poison);
    tcase_add_loop_test(tc, registers, 0, 2);
    tcase_add_loop_test(tc, groups, 0, 2);
    tcase_add_test(tc, first_fault);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
