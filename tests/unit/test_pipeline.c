/* test_pipeline.c: whole graphs through fusion, scheduling and lowering, against the
 * interpreter.
 *
 * Every program is run by its loops for several targets, fused and not, with several lane
 * widths; each must give the oracle's bits. */
#include "harness.h"
#include "programs.h"

#include <check.h>

static const char *const targets[] = {"x86-64-v3", "x86-64-v4", "sm_90a"};

static void check_one(const char *text, const char *target, bool fuse_off, int64_t lanes)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g;
    kl_buffer in[8], want[8], got[8];
    uint64_t seed = 7;
    kl_error_clear();
    ck_assert_msg(kl_graph_parse(a, "test", text, &g) == KL_OK, "%s", kl_error());
    kl_graph *whole = g;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_type t;
        kl_graph_type(g, g->inputs[i], &t);
        ck_assert(new_dense(t.dtype, t.rank, t.shape, &in[i]) == KL_OK);
        fill_buffer(&in[i], &seed, false);
        if (t.dtype == KL_I64) /* indices into an axis of 9 */
            for (int64_t j = 0; j < t.shape[0]; j++)
                ((int64_t *)in[i].mem->base)[j] = (int64_t)(draw(&seed) % 9);
    }
    ck_assert_msg(kl_graph_interp(whole, in, NULL, want) == KL_OK, "%s: %s", text,
                  kl_error());
    for (uint32_t i = 0; i < g->noutputs; i++)
        ck_assert(new_dense(want[i].dtype, want[i].rank, want[i].shape, &got[i]) ==
                  KL_OK);
    kl_unit u = {.arena = a,
                 .target = kl_target_find(target),
                 .graph = g,
                 .fuse_off = fuse_off,
                 .lanes = lanes};
    ck_assert_msg(kl_pipeline_run(&u, "inline", NULL) == KL_OK, "%s: %s", text,
                  kl_error());
    ck_assert_msg(run_loops(&u, in, NULL, got) == KL_OK, "%s for %s: %s", text, target,
                  kl_error());
    for (uint32_t i = 0; i < whole->noutputs; i++) {
        int64_t d = first_difference(&want[i], &got[i]);
        if (d >= 0) {
            kl_text t = {0};
            kl_unit_print(&u, KL_LEVEL_KERNEL, &t);
            kl_unit_print(&u, KL_LEVEL_LOOPS, &t);
            fprintf(stderr, "%s\n", t.s);
        }
        ck_assert_msg(d < 0, "%s for %s fuse_off %d lanes %d: output %u differs at %lld",
                      text, target, fuse_off, (int)lanes, i, (long long)d);
        kl_memory_unref(want[i].mem), kl_memory_unref(got[i].mem);
    }
    for (uint32_t i = 0; i < whole->ninputs; i++)
        kl_memory_unref(in[i].mem);
    kl_program_unref(u.program);
    kl_arena_free(a);
}

START_TEST(test_program)
{
    for (size_t t = 0; t < KL_COUNT(targets); t++) {
        check_one(programs[_i], targets[t], false, 0);
        check_one(programs[_i], targets[t], true, 0);
    }
    check_one(programs[_i], targets[0], false, 4);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("pipeline");
    TCase *tc = tcase_create("programs");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_program, 0, (int)KL_COUNT(programs));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
