/* test_cuda_emit.c: the CUDA C of every program, without a device: NVRTC makes a cubin of
 * it for the three architectures that the project promises, with nothing spilled and no
 * stack; no line is longer than 100 columns; the same kernels give the same text.
 * Compiling is skipped where there is no NVRTC. The golden texts' programs: test_spill.c.
 */
#define KL_TEST_LARGE
#include "codegen/codegen.h"
#include "harness.h"
#include "programs.h"

#include <check.h>

static const char *const archs[] = {"sm_80", "sm_90a", "sm_100"};

/* Append program n's kernels, named apart, for a target. */
static void emit(int n, const char *arch, unsigned *parts, kl_text *out)
{
    kl_arena *a = kl_arena_new();
    kl_unit u = {.arena = a, .target = kl_target_find(arch)};
    kl_error_clear();
    ck_assert(kl_graph_parse(a, "test", programs[n], &u.graph) == KL_OK);
    ck_assert_msg(kl_pipeline_run(&u, "inline", NULL) == KL_OK, "%s: %s", programs[n],
                  kl_error());
    for (int i = 0; i < u.nkernels; i++)
        ck_assert_msg(kl_cuda_kernel(u.kernels[i], kl_arena_printf(a, "p%d_%d", n, i), a,
                                     parts, out) == KL_OK,
                      "%s: %s", programs[n], kl_error());
    kl_program_unref(u.program);
    kl_arena_free(a);
}

static int64_t spilled(const char *body, unsigned parts, const char *arch)
{
    kl_nvrtc_code code;
    kl_text text = {0};
    kl_cuda_prelude(&text, parts);
    kl_text_put(&text, body);
    kl_error_clear();
    ck_assert_msg(kl_nvrtc_compile("programs", text.s, arch, KL_NVRTC_CUBIN, &code) ==
                      KL_OK,
                  "%s\n%.3000s", kl_error(), kl_error_log());
    int64_t bytes = code.spill_bytes;
    ck_assert(!code.cubin || bytes >= 0);
    kl_nvrtc_free(&code);
    kl_text_free(&text);
    return bytes;
}

START_TEST(test_compiles)
{
    unsigned parts = 0;
    kl_text all = {0};
    if (!kl_nvrtc_found())
        return;
    for (int n = 0; n < (int)KL_COUNT(programs); n++)
        emit(n, archs[_i], &parts, &all);
    if (spilled(all.s, parts, archs[_i]) > 0) /* whose? */
        for (int n = 0; n < (int)KL_COUNT(programs); n++) {
            kl_text one = {0};
            emit(n, archs[_i], &parts, &one);
            ck_assert_msg(spilled(one.s, parts, archs[_i]) <= 0, "%s\n%s", programs[n],
                          one.s);
            kl_text_free(&one);
        }
    kl_text_free(&all);
}
END_TEST

START_TEST(test_text)
{
    unsigned parts = 0;
    kl_text one = {0}, two = {0};
    emit(_i, "sm_90a", &parts, &one);
    emit(_i, "sm_90a", &parts, &two);
    for (const char *p = one.s; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
        ck_assert_msg(strcspn(p, "\n") <= 100, "%.*s", (int)strcspn(p, "\n"), p);
    ck_assert(one.len == two.len && (!one.s || strcmp(one.s, two.s) == 0));
    kl_text_free(&one);
    kl_text_free(&two);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("cuda_emit");
    TCase *tc = tcase_create("text");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_text, 0, (int)KL_COUNT(programs));
    tcase_add_loop_test(tc, test_compiles, 0, (int)KL_COUNT(archs));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
