/* test_artefact.c: plans that no pass makes yet, as artefacts: loops, fills, calls in a
 * loop; levels that tell which of them ran; the sizes of scratch; names in C; and how
 * graphs shrink. Objects are linked and opened here. */
#include "artefact.h"

#include <check.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

/* ---- a loop ---- */

static const char add_loops[] = "loops grow for x86-64-v2 {\n"
                                "  in a0: f32[n]\n"
                                "  out y0: f32[n]\n"
                                "  phase w: n grain 1 group 1 lane 1 {\n"
                                "    store y0[w] = add(load a0[w], 1.5)\n"
                                "  }\n"
                                "}\n";
static const char less_loops[] = "loops less for x86-64-v2 {\n"
                                 "  in a0: i64[1]\n"
                                 "  out y0: bool[1]\n"
                                 "  phase w: 1 grain 1 group 1 lane 1 {\n"
                                 "    store y0[w] = lt(load a0[w], 5)\n"
                                 "  }\n"
                                 "}\n";
static const char next_loops[] = "loops next for x86-64-v2 {\n"
                                 "  in a0: i64[1]\n"
                                 "  out y0: i64[1]\n"
                                 "  phase w: 1 grain 1 group 1 lane 1 {\n"
                                 "    store y0[w] = load a0[w]+1\n"
                                 "  }\n"
                                 "}\n";
#define DIM "dim n 1..8 % 1\n"
/* y = x + 1.5 while i < 5; from 0 that is five times: y is written in turns, i in place.
 */
static const char loop_plan[] =
    "program count for cpu {\n" DIM "  in x: f32[n]\n"
    "  out y: f32[n]\n"
    "  out i: i64[]\n"
    "  arena 256\n"
    "  slot 0: in 0 f32[n] bytes 4*n\n"
    "  slot 1: out 0 f32[n] bytes 4*n\n"
    "  slot 2: out 1 i64[] bytes 8\n"
    "  slot 3: arena f32[n] offset 0 bytes 4*n\n"
    "  slot 4: arena bool[] offset 64 bytes 1\n"
    "  slot 5: arena u8[] offset 128 bytes 128\n"
    "  copy begin (1, 0)\n"
    "  fill zero (2) byte 0\n"
    "  loop again (2, 1, 2, 3, 4, 5) carries 2\n"
    "    program body for cpu {\n" DIM "      in i: i64[]\n"
    "      in x: f32[n]\n"
    "      out i: i64[]\n"
    "      out x: f32[n]\n"
    "      arena 64\n"
    "      slot 0: in 0 i64[] bytes 8\n"
    "      slot 1: in 1 f32[n] bytes 4*n\n"
    "      slot 2: out 0 i64[] bytes 8 donates 0\n"
    "      slot 3: out 1 f32[n] bytes 4*n\n"
    "      slot 4: arena f32[n] offset 0 bytes 4*n\n"
    "      kernel 0: next\n"
    "      kernel 1: grow\n"
    "      launch next kernel 0 (0, 2) workers (1) grain 1\n"
    "      launch grow kernel 1 (1, 4) dims (n) workers (n) grain 1\n"
    "      copy result (3, 4)\n"
    "    }\n"
    "  while\n"
    "    program test for cpu {\n" DIM "      in i: i64[]\n"
    "      in x: f32[n]\n"
    "      out go: bool[]\n"
    "      arena 0\n"
    "      slot 0: in 0 i64[] bytes 8\n"
    "      slot 1: out 0 bool[] bytes 1\n"
    "      kernel 0: less\n"
    "      launch less kernel 0 (0, 1) workers (1) grain 1\n"
    "    }\n"
    "}\n";

static kl_kernel *loops(kl_arena *a, const char *text)
{
    kl_kernel *k = NULL;
    ck_assert_msg(kl_loops_parse(a, "t.kl", text, &k) == KL_OK, "%s", kl_error());
    return k;
}

static void *open_library(const kl_artefact *a, const char *path)
{
    kl_text object = {0}, library = {0};
    ck_assert_msg(kl_artefact_emit(a, KL_LLVM_OPEN_OBJECT, &object) == KL_OK, "%s",
                  kl_error());
    ck_assert_msg(kl_shared_library("t.so", object.s, object.len, &library) == KL_OK,
                  "%s", kl_error());
    ck_assert(kl_file_write(path, library.s, library.len) == KL_OK);
    void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(h != NULL, "%s", dlerror());
    unlink(path);
    kl_text_free(&object);
    kl_text_free(&library);
    return h;
}

typedef int (*count_fn)(int64_t n, const float *x, float *y, int64_t *i);
typedef int (*count_own_fn)(int64_t n, const float *x, float *y, int64_t *i,
                            void *scratch);

START_TEST(loops_run)
{
    static const int syms[] = {0};
    static const int64_t weight[] = {-1};
    kl_arena *a = kl_arena_new();
    const kl_kernel *kernels[] = {loops(a, add_loops), loops(a, less_loops),
                                  loops(a, next_loops)};
    kl_program *p = NULL;
    ck_assert_msg(kl_program_parse("t.kl", loop_plan, &p) == KL_OK, "%s", kl_error());
    kl_artefact art = {.name = "count",
                       .level = {{kl_target_host(), p, kernels, KL_COUNT(kernels)}},
                       .nlevels = 1,
                       .program = p,
                       .syms = syms,
                       .weight = weight,
                       .scratch_caller = _i == 1};
    char path[64];
    snprintf(path, sizeof path, "/tmp/test_artefact-%d-%d.so", (int)getpid(), _i);
    void *h = open_library(&art, path);
    float x[8] = {0, 1, 2, 3, 4, 5, 6, 7}, y[8] = {0};
    int64_t i = -1;
    _Alignas(64) char scratch[4096];
    void *entry = dlsym(h, "count"), *bytes = dlsym(h, "count_scratch_bytes");
    ck_assert_ptr_nonnull(entry);
    ck_assert_int_eq(bytes != NULL, _i);
    int rc = _i ? ((count_own_fn)(uintptr_t)entry)(5, x, y, &i, scratch)
                : ((count_fn)(uintptr_t)entry)(5, x, y, &i);
    if (_i) /* the plan's arena */
        ck_assert_int_eq(((int64_t(*)(int64_t))(uintptr_t)bytes)(5), 256);
    ck_assert_int_eq(rc, KL_ARTEFACT_OK);
    ck_assert_int_eq(i, 5);
    for (int j = 0; j < 8; j++)
        ck_assert(y[j] == (j < 5 ? x[j] + 7.5f : 0));
    dlclose(h);
    kl_program_unref(p);
    kl_arena_free(a);
}
END_TEST

/* ---- levels ---- */

#define LEVEL(cpu, adds)                                                                 \
    "loops grow for " cpu " {\n  in a0: f32[1]\n  out y0: f32[1]\n"                      \
    "  phase w: 1 grain 1 group 1 lane 1 {\n"                                            \
    "    store y0[w] = add(load a0[w], " adds ")\n  }\n}\n"
static const char *const level_loops[] = {
    LEVEL("x86-64-v2", "2.0"), LEVEL("x86-64-v3", "3.0"), LEVEL("x86-64-v4", "4.0")};
static const char level_plan[] = "program level for cpu {\n"
                                 "  in x: f32[1]\n"
                                 "  out y: f32[1]\n"
                                 "  arena 0\n"
                                 "  slot 0: in 0 f32[1] bytes 4\n"
                                 "  slot 1: out 0 f32[1] bytes 4\n"
                                 "  kernel 0: grow\n"
                                 "  launch grow kernel 0 (0, 1) workers (1) grain 1\n"
                                 "}\n";

/* Each level adds its own number; which of those given (bits 0, 1, 2) this machine's is,
 * or KL_ARTEFACT_CPU, is what it must be. */
START_TEST(the_best_level_runs)
{
    static const int64_t weight[] = {-1};
    const kl_target *host = kl_target_host();
    int best = 0, n = 0, rc;
    kl_arena *a = kl_arena_new();
    const kl_kernel *kernels[KL_CPU_LEVELS];
    kl_program *p = NULL;
    ck_assert_msg(kl_program_parse("t.kl", level_plan, &p) == KL_OK, "%s", kl_error());
    kl_artefact art = {.name = "level", .program = p, .weight = weight};
    for (int i = 0; i < KL_CPU_LEVELS; i++) {
        const kl_target *t = kl_target_find(kl_cpu_levels[i].row);
        if (!(_i >> i & 1))
            continue;
        kernels[i] = loops(a, level_loops[i]);
        art.level[n++] = (kl_artefact_level){t, p, &kernels[i], 1};
        if (t->isa_bits <= host->isa_bits)
            best = i + 2;
    }
    art.nlevels = n;
    char path[64];
    snprintf(path, sizeof path, "/tmp/test_level-%d-%d.so", (int)getpid(), _i);
    void *h = open_library(&art, path), *entry = dlsym(h, "level");
    float x = 10, y = 0;
    for (int i = 0; i < 2; i++) {
        rc = ((int (*)(const float *, float *))(uintptr_t)entry)(&x, &y);
        ck_assert_int_eq(rc, best ? KL_ARTEFACT_OK : KL_ARTEFACT_CPU);
        ck_assert(y == (best ? 10 + (float)best : 0));
    }
    dlclose(h);
    kl_program_unref(p);
    kl_arena_free(a);
}
END_TEST

/* ---- names ---- */

static const struct {
    const char *text, *name;
} names[] = {{"net", "net"},    {"int", "int_"}, {"layer.0/w 1", "layer_0_w_1"},
             {"2x", "_2x"},     {"", "_"},       {"class", "class_"},
             {"\303\251", "__"}};

START_TEST(names_are_identifiers)
{
    char out[32];
    kl_c_name(names[_i].text, out, sizeof out);
    ck_assert_str_eq(out, names[_i].name);
    ck_assert(kl_is_c_name(out));
}
END_TEST

START_TEST(names_that_are_none)
{
    static const char *const bad[] = {"", "1a", "a b", "while", "a-b", "xor"};
    for (size_t i = 0; i < KL_COUNT(bad); i++)
        ck_assert_msg(!kl_is_c_name(bad[i]), "%s", bad[i]);
    char small[8];
    kl_c_name("a_very_long_name", small, sizeof small);
    ck_assert_str_eq(small, "a_very");
}
END_TEST

/* ---- shrinking ---- */

static const char large[] = "graph g(%x: f32[4], %y: f32[4]) {\n"
                            "  %a: f32[4] = exp %x\n"
                            "  %b: f32[4] = add %a, %y\n"
                            "  %c: f32[4] = tanh %b\n"
                            "  %d: f32[4] = sqrt %c\n"
                            "  %e: f32[4] = mul %d, %x\n"
                            "  out %e, %b\n"
                            "}\n";

/* "Goes wrong" where the square root of a tanh is. */
static bool has_both(void *user, const kl_graph *g)
{
    (*(int *)user)++;
    for (kl_ref r = 0; r < g->count; r++)
        if (g->nodes[r].op == KL_OP_sqrt &&
            g->nodes[kl_graph_src(g, r, 0)].op == KL_OP_tanh)
            return true;
    return false;
}

START_TEST(graphs_shrink)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g = NULL;
    kl_text t = {0};
    int calls = 0;
    ck_assert_msg(kl_graph_parse(a, "t.kl", large, &g) == KL_OK, "%s", kl_error());
    ck_assert(kl_graph_shrink(&g, has_both, &calls) == KL_OK);
    ck_assert_msg(kl_graph_verify(g) == KL_OK, "%s", kl_error());
    kl_graph_print(g, &t);
    ck_assert_str_eq(t.s, "graph g(%b: f32[4]) {\n"
                          "  %1: f32[4] = tanh %b  # \"c\"\n"
                          "  %2: f32[4] = sqrt %1  # \"d\"\n"
                          "  out %2\n"
                          "}\n");
    ck_assert_int_gt(calls, 5);
    kl_text_free(&t);
    kl_arena_free(a);
}
END_TEST

static bool never(void *user, const kl_graph *g)
{
    (void)user;
    (void)g;
    return false;
}

START_TEST(what_is_well_stays)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g = NULL;
    ck_assert(kl_graph_parse(a, "t.kl", large, &g) == KL_OK);
    kl_graph *before = g;
    ck_assert(kl_graph_shrink(&g, never, NULL) == KL_OK);
    ck_assert_ptr_eq(g, before);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("artefact");
    TCase *tc = tcase_create("artefact");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, loops_run, 0, 2);
#ifdef __x86_64__
    static const int sets[] = {3, 5, 6, 7}; /* of two levels and of all */
    for (size_t i = 0; i < KL_COUNT(sets); i++)
        tcase_add_loop_test(tc, the_best_level_runs, sets[i], sets[i] + 1);
#endif
    tcase_add_loop_test(tc, names_are_identifiers, 0, (int)KL_COUNT(names));
    tcase_add_test(tc, names_that_are_none);
    tcase_add_test(tc, graphs_shrink);
    tcase_add_test(tc, what_is_well_stays);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
