/* test_wide.c: programs of thousands of operands. CUDA takes 4096 bytes of arguments: no
 * kernel may have more than 512 of 8 bytes, whatever fusion could join, and the bits are
 * the interpreter's. */
#include "harness.h"

#include <check.h>

enum { MANY = 2602, ARGUMENTS = 4096 / 8 };

static void put_inputs(kl_text *t)
{
    kl_text_put(t, "graph wide(");
    for (int i = 0; i < MANY; i++)
        kl_text_printf(t, "%s%%x%d: f32[3]", i ? ", " : "", i);
    kl_text_put(t, ") {\n");
}

static void concat_all(kl_text *t)
{
    kl_text_printf(t, "  %%y: f32[%d] = concat ", 3 * MANY);
    for (int i = 0; i < MANY; i++)
        kl_text_printf(t, "%s%%x%d", i ? ", " : "", i);
    kl_text_put(t, " axis 0\n");
}

static void sum_all(kl_text *t)
{
    kl_text_put(t, "  %s1: f32[3] = add %x0, %x1\n");
    for (int i = 2; i < MANY; i++)
        kl_text_printf(t, "  %%s%d: f32[3] = add %%s%d, %%x%d\n", i, i - 1, i);
    kl_text_printf(t, "  %%y: f32[3] = neg %%s%d\n", MANY - 1);
}

/* Each part of the concatenation is itself of many: ten sums of ten a part. */
static void concat_sums(kl_text *t)
{
    for (int i = 0; i < 100; i++) {
        kl_text_printf(t, "  %%p%d_1: f32[3] = mul %%x%d, %%x%d\n", i, i * 20,
                       i * 20 + 1);
        for (int j = 2; j < 12; j++)
            kl_text_printf(t, "  %%p%d_%d: f32[3] = mul %%p%d_%d, %%x%d\n", i, j, i,
                           j - 1, i * 20 + j);
    }
    kl_text_put(t, "  %y: f32[300] = concat ");
    for (int i = 0; i < 100; i++)
        kl_text_printf(t, "%s%%p%d_11", i ? ", " : "", i);
    kl_text_put(t, " axis 0\n");
}

static void (*const bodies[])(kl_text *t) = {concat_all, sum_all, concat_sums};
static const char *const targets[] = {"x86-64-v3", "sm_80"};

static void check_arguments(const kl_kernel *k)
{
    uint32_t n = 1 + (uint32_t)kl_kernel_dims(k, NULL, 0);
    for (uint32_t i = 0; i < k->noperands; i++)
        n += k->operands[i].role != KL_ROLE_TILE;
    ck_assert_msg(n <= ARGUMENTS, "%s has %u arguments", k->name, n);
}

START_TEST(test_arguments)
{
    kl_arena *a = kl_arena_new();
    kl_text t = {0};
    kl_graph *g;
    static kl_buffer in[MANY];
    kl_buffer want, got;
    uint64_t seed = 3;
    put_inputs(&t);
    bodies[_i / 2](&t);
    kl_text_put(&t, "  out %y\n}\n");
    ck_assert_msg(kl_graph_parse(a, "wide", t.s, &g) == KL_OK, "%s", kl_error());
    for (int i = 0; i < MANY; i++) {
        ck_assert(new_dense(KL_F32, 1, (int64_t[]){3}, &in[i]) == KL_OK);
        fill_buffer(&in[i], &seed, false);
    }
    ck_assert_msg(kl_graph_interp(g, in, NULL, &want) == KL_OK, "%s", kl_error());
    kl_unit u = {.arena = a, .target = kl_target_find(targets[_i % 2]), .graph = g};
    ck_assert_msg(kl_pipeline_run(&u, NULL, NULL) == KL_OK, "%s", kl_error());
    for (int i = 0; i < u.nkernels; i++)
        check_arguments(u.kernels[i]);
    ck_assert(new_dense(want.dtype, want.rank, want.shape, &got) == KL_OK);
    ck_assert_msg(run_loops(&u, in, NULL, &got) == KL_OK, "%s", kl_error());
    ck_assert_int_eq(first_difference(&want, &got), -1);
    for (int i = 0; i < MANY; i++)
        kl_memory_unref(in[i].mem);
    kl_memory_unref(want.mem), kl_memory_unref(got.mem);
    kl_program_unref(u.program);
    kl_text_free(&t);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("wide");
    TCase *tc = tcase_create("arguments");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_arguments, 0, 2 * (int)KL_COUNT(bodies));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
