/* test_spill.c: the CUDA text of every program that the tests keep (all golden texts that
 * are graphs, the samples' networks) becomes cubins for the three architectures that the
 * project promises, and no kernel spills a register or takes stack. All kernels of an
 * architecture are one text: NVRTC reads the prelude once. Skipped (77) where there is no
 * NVRTC. */
#include "codegen/codegen.h"
#include "passes/passes.h"

#include <check.h>
#include <dirent.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const promised[] = {"sm_80", "sm_90a", "sm_100"};
static const char *const folders[] = {"tests/golden/cuda",
                                      "tests/golden/lower",
                                      "tests/golden/plan",
                                      "tests/golden/schedule",
                                      "tests/golden/fuse",
                                      "tests/fusion",
                                      "samples"};
enum { MANY = 512 };

typedef struct all {
    kl_arena *arena;
    const kl_target *target;
    const kl_kernel *kernels[MANY];
    int n, programs;
} all;

/* Kernels of many programs in one text: each needs a name of its own. */
static void add_kernels(all *t, const kl_unit *u, const char *file)
{
    for (int i = 0; i < u->nkernels; i++) {
        if (u->kernels[i]->call)
            continue;
        ck_assert_int_lt(t->n, MANY);
        u->kernels[i]->name =
            kl_arena_printf(t->arena, "%.*s_%s_%d", (int)strcspn(file, "."), file,
                            u->kernels[i]->name, t->n);
        t->kernels[t->n++] = u->kernels[i];
    }
}

static void add_file(all *t, const char *folder, const char *file)
{
    char path[4096];
    void *bytes;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    ck_assert_msg(kl_file_read(path, &bytes, &size) == KL_OK, "%s", kl_error());
    char *text = kl_arena_printf(t->arena, "%.*s", (int)size, (char *)bytes), *end;
    kl_free(bytes, size);
    if ((end = strstr(text, "\n---- expect\n")))
        end[1] = 0;
    kl_lex l;
    kl_lex_init(&l, file, text);
    if (!kl_lex_is(&l, "graph") && !kl_lex_is(&l, "weights"))
        return;
    kl_unit u = {.arena = t->arena, .target = t->target};
    ck_assert_msg(kl_graph_parse(t->arena, path, text, &u.graph) == KL_OK, "%s",
                  kl_error());
    ck_assert_msg(kl_pipeline_run(&u, NULL, "lower") == KL_OK, "%s: %s", path,
                  kl_error());
    add_kernels(t, &u, file);
    t->programs++;
}

static void add_folder(all *t, const char *folder)
{
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        const char *dot = strrchr(names[i]->d_name, '.');
        if (dot && strcmp(dot, ".kl") == 0)
            add_file(t, folder, names[i]->d_name);
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static kl_nvrtc_code compile(const kl_kernel *const *kernels, int n, const kl_target *t)
{
    kl_text text = {0};
    kl_nvrtc_code code;
    ck_assert_msg(kl_codegen_cuda(kernels, n, t, KL_CUDA_TEXT, &text) == KL_OK, "%s",
                  kl_error());
    ck_assert_msg(kl_nvrtc_compile("golden", text.s, t->name, KL_NVRTC_CUBIN, &code) ==
                      KL_OK,
                  "%s\n%.3000s", kl_error(), kl_error_log());
    kl_text_free(&text);
    return code;
}

/* Which kernel it is, only when there is one. */
static void name_guilty(const all *t)
{
    for (int i = 0; i < t->n; i++) {
        kl_nvrtc_code code = compile(&t->kernels[i], 1, t->target);
        ck_assert_msg(code.spill_bytes == 0, "%s for %s: %lld bytes of spill and stack",
                      t->kernels[i]->name, t->target->name, (long long)code.spill_bytes);
        kl_nvrtc_free(&code);
    }
}

START_TEST(test_no_spill)
{
    all t = {.arena = kl_arena_new(), .target = kl_target_find(promised[_i])};
    for (size_t i = 0; i < KL_COUNT(folders); i++)
        add_folder(&t, folders[i]);
    ck_assert_int_gt(t.programs, 50);
    kl_nvrtc_code code = compile(t.kernels, t.n, t.target);
    ck_assert(code.cubin);
    if (code.spill_bytes != 0)
        name_guilty(&t);
    ck_assert_int_eq(code.spill_bytes, 0);
    printf("%s: %d kernels of %d programs, %zu bytes, %d registers at most\n",
           promised[_i], t.n, t.programs, code.size, code.registers);
    kl_nvrtc_free(&code);
    kl_arena_free(t.arena);
}
END_TEST

int main(void)
{
    const char *root = getenv("SOURCE_ROOT");
    if (!kl_nvrtc_found())
        return 77;
    if (root && chdir(root) != 0)
        return 1;
    Suite *suite = suite_create("spill");
    TCase *tc = tcase_create("spill");
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, test_no_spill, 0, (int)KL_COUNT(promised));
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
