/* test_llvm_bounds.c: under KILN_DEBUG=bounds an access outside its operand touches
 * nothing and sets the error word; one inside works as ever. */
#include "llvm_run.h"

/* y[i + to] = x[i + from] for N lanes, or from the last to the first; operands hold N
 * elements. */
static kl_kernel *shifted(kl_arena *a, int64_t from, int64_t to, bool back, bool lanes)
{
    kl_build b;
    uint32_t w;
    kl_dims *d = kl_dims_new(a);
    kl_dim n = kl_dim_sym(d, "N");
    kl_kernel *k = kernel_new(a, d, "shifted", 1, &b, &w);
    uint32_t x = operand(k, "x", KL_F32, KL_ROLE_IN, n),
             y = operand(k, "y", KL_F32, KL_ROLE_OUT, n);
    uint32_t v = kl_x_newvar(k->x, "i", n);
    kl_x i = kl_x_var(k->x, v), next = kl_x_add(k->x, i, kl_x_int(k->x, 1));
    i = back ? kl_x_op(k->x, KL_OP_sub, kl_x_dim(k->x, n), next, KL_NONE) : i;
    kl_build l =
        kl_b_for(&b, v, kl_x_dim(k->x, n), lanes ? KL_BIND_LANE : KL_BIND_SERIAL, 32);
    kl_x value = kl_x_load(k->x, x, KL_F32, kl_x_add(k->x, i, kl_x_int(k->x, from)),
                           KL_NONE, KL_NONE);
    kl_b_store(&l, y, kl_x_add(k->x, i, kl_x_int(k->x, to)), value, KL_NONE);
    return k;
}

static const struct {
    int64_t from, to, fault;
    bool back;
} cases[] = {{0, 0, KL_FAULT_NONE, false},    {1, 0, KL_FAULT_BOUNDS, false},
             {-1, 0, KL_FAULT_BOUNDS, false}, {0, 1, KL_FAULT_BOUNDS, false},
             {0, -1, KL_FAULT_BOUNDS, false}, {100000, 0, KL_FAULT_BOUNDS, false},
             {0, 0, KL_FAULT_NONE, true},     {1, 0, KL_FAULT_BOUNDS, true},
             {-1, 0, KL_FAULT_BOUNDS, true},  {0, 1, KL_FAULT_BOUNDS, true},
             {0, -1, KL_FAULT_BOUNDS, true},  {0, -100000, KL_FAULT_BOUNDS, true}};

static guarded new_floats(int64_t n, bool at_end)
{
    guarded g = guarded_new((size_t)n * 4, at_end);
    for (int64_t i = 0; i < n; i++)
        ((float *)g.p)[i] = (float)i;
    return g;
}

START_TEST(bounds)
{
    const kl_target *t = kl_target_find(levels[_i % 3 % (int)KL_COUNT(levels)]);
    bool lanes = _i / 3 % 2;
    size_t c = (size_t)_i / 6;
    kl_arena *a = kl_arena_new();
    const kl_kernel *k = shifted(a, cases[c].from, cases[c].to, cases[c].back, lanes);
    kl_code *code = compile(&k, 1, t);
    for (int64_t n = 60; code && n < 80; n += 3)
        for (int at_end = 0; at_end < 2; at_end++) {
            guarded x = new_floats(n, at_end), y = new_floats(n, at_end);
            void *bufs[] = {x.p, y.p};
            int64_t error[3] = {0}, dims[] = {n, n - 1}; /* the last for counting back */
            run(code, "shifted.0", bufs, dims, 1, NULL, error);
            ck_assert_msg(error[0] == cases[c].fault, "fault %d node %d at %d of %d",
                          (int)error[0], (int)error[1], (int)error[2], (int)n);
            if (error[0]) {
                ck_assert_msg(error[2] < 0 || error[2] >= n, "%d", (int)error[2]);
                ck_assert_int_eq((uint32_t)error[1], k->operands[0].node);
            }
            /* whatever was moved was moved by so much */
            for (int64_t i = 0; i < n; i++) {
                int64_t v = (int64_t)((float *)y.p)[i];
                ck_assert_msg(v == 0 || v == i || v == i - cases[c].to + cases[c].from,
                              "y[%d] is %d", (int)i, (int)v);
            }
            guarded_free(&x);
            guarded_free(&y);
        }
    kl_code_free(code);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    setenv("KILN_DEBUG", "bounds", 1); /* read once, so before anything else */
    Suite *s = suite_create("llvm_bounds");
    TCase *tc = tcase_create("bounds");
    tcase_set_timeout(tc, 100);
    tcase_add_loop_test(tc, bounds, 0, (int)KL_COUNT(cases) * 6);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
