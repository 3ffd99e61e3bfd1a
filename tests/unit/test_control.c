/* test_control.c: loops and branches compiled and run, against the interpreter of graphs,
 * which knows no plan: equal to the bit, fused and not. Plans with bodies come back from
 * text and from bytes; so do they as objects compiled ahead of time; peaks are exact;
 * faults in a body end the loop. */
#include "artefact.h"
#include "front.h"
#include "harness.h"
#include "controls.h"

#include <check.h>
#include <dlfcn.h>
#include <unistd.h>

enum { MOST = 16 };

static const int64_t extents[] = {0, 1, 4, 7};

static kl_graph *parse(kl_arena *a, const char *text)
{
    kl_graph *g = NULL;
    kl_error_clear();
    ck_assert_msg(kl_graph_parse(a, "t.kl", text, &g) == KL_OK, "%s", kl_error());
    ck_assert_msg(kl_graph_verify(g) == KL_OK, "%s", kl_error());
    return g;
}

/* Small and not negative where the name says that it counts or indexes. */
static void draw_input(const kl_graph *g, uint32_t i, int64_t t, uint64_t *seed,
                       kl_buffer *b)
{
    kl_type type;
    int64_t shape[KL_MAX_RANK];
    kl_graph_type(g, g->inputs[i], &type);
    for (int k = 0; k < type.rank; k++)
        shape[k] = kl_dim_eval(g->dims, type.shape[k], &t);
    ck_assert(new_dense(type.dtype, type.rank, shape, b) == KL_OK);
    fill_buffer(b, seed, false);
    uint32_t name = g->nodes[g->inputs[i]].name;
    int64_t n = (int64_t)kl_buffer_bytes(b) / 8;
    if (name != KL_NONE && strcmp(g->strings[name], "i") == 0)
        for (int64_t k = 0; k < n; k++)
            ((int64_t *)b->mem->base)[k] = (int64_t)(draw(seed) % 8);
}

static void drop(kl_buffer *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        kl_memory_unref(b[i].mem);
}

typedef struct trial {
    kl_graph *g;
    kl_buffer in[MOST], want[MOST], got[MOST];
    void *from[MOST], *to[MOST];
} trial;

static void trial_new(trial *t, const char *text, kl_arena *a, int64_t extent,
                      uint64_t seed)
{
    *t = (trial){.g = parse(a, text)};
    kl_graph *oracle = parse(a, text);
    ck_assert_uint_le(t->g->ninputs, MOST);
    for (uint32_t i = 0; i < t->g->ninputs; i++) {
        draw_input(t->g, i, extent, &seed, &t->in[i]);
        t->from[i] = t->in[i].mem->base;
    }
    ck_assert_msg(kl_prepare_interp(a, &oracle) == KL_OK, "%s", kl_error());
    ck_assert_msg(kl_graph_interp(oracle, t->in, &extent, t->want) == KL_OK, "%s: %s",
                  text, kl_error());
    for (uint32_t i = 0; i < t->g->noutputs; i++) {
        const kl_buffer *w = &t->want[i];
        ck_assert(new_dense(w->dtype, w->rank, w->shape, &t->got[i]) == KL_OK);
        memset(t->got[i].mem->base, 0xa5, kl_buffer_bytes(w));
        t->to[i] = t->got[i].mem->base;
    }
}

static void trial_judge(trial *t, const char *text, int64_t extent)
{
    for (uint32_t i = 0; i < t->g->noutputs; i++)
        ck_assert_msg(first_difference(&t->want[i], &t->got[i]) < 0,
                      "T = %d, output %u differs: %s", (int)extent, i, text);
}

static void trial_free(trial *t)
{
    drop(t->in, t->g->ninputs);
    drop(t->want, t->g->noutputs);
    drop(t->got, t->g->noutputs);
}

static bool takes(const kl_graph *g, int64_t extent)
{
    int64_t min = 0, max = 0, div = 1;
    if (kl_dim_sym_count(g->dims) == 0)
        return extent == extents[0];
    kl_dim_sym_facts(g->dims, 0, &min, &max, &div);
    return extent >= min && extent <= max;
}

START_TEST(runs_as_interpreted)
{
    const char *text = controls[_i];
    for (size_t e = 0; e < KL_COUNT(extents); e++)
        for (uint64_t seed = 1; seed < 4; seed++) {
            kl_arena *a = kl_arena_new();
            trial t;
            if (takes(parse(a, text), extents[e])) {
                kl_program *p = NULL;
                trial_new(&t, text, a, extents[e], seed);
                ck_assert_msg(kl_compile_graph(t.g, 0, &p) == KL_OK, "%s: %s", text,
                              kl_error());
                ck_assert_msg(kl_program_run(p, t.from, t.to, &extents[e]) == KL_OK,
                              "%s: %s", text, kl_error());
                trial_judge(&t, text, extents[e]);
                kl_program_unref(p);
                trial_free(&t);
            }
            kl_arena_free(a);
        }
}
END_TEST

/* The plan prints, parses, packs and unpacks as what it is. */
START_TEST(plans_come_back)
{
    kl_arena *a = kl_arena_new();
    kl_text text = {0}, again = {0}, bytes = {0}, unpacked = {0};
    kl_program *p = NULL, *q = NULL, *r = NULL;
    ck_assert(kl_compile_graph(parse(a, controls[_i]), 0, &p) == KL_OK);
    ck_assert_msg(kl_program_verify(p) == KL_OK, "%s", kl_error());
    kl_program_print(p, &text);
    ck_assert_msg(kl_program_parse("t.kl", text.s, &q) == KL_OK, "%s\n%s", kl_error(),
                  text.s);
    kl_program_print(q, &again);
    ck_assert_str_eq(text.s, again.s);
    ck_assert(kl_program_pack(p, &bytes) == KL_OK);
    ck_assert_msg(kl_program_unpack(bytes.s, bytes.len, &r) == KL_OK, "%s", kl_error());
    kl_program_print(r, &unpacked);
    ck_assert_str_eq(text.s, unpacked.s);
    kl_text_free(&text), kl_text_free(&again);
    kl_text_free(&bytes), kl_text_free(&unpacked);
    kl_program_unref(p), kl_program_unref(q), kl_program_unref(r);
    kl_arena_free(a);
}
END_TEST

/* Every allocation of the passes fails once: an error, and nothing of a body is left. */
START_TEST(memory_may_end)
{
    size_t live = kl_alloc_live();
    for (int64_t n = 0, done = 0; !done; n++) {
        kl_error_clear();
        kl_arena *a = kl_arena_new();
        kl_unit u = {
            .arena = a, .target = kl_target_host(), .graph = parse(a, controls[_i])};
        kl_alloc_fail_at(n);
        kl_status s = kl_pipeline_run(&u, NULL, NULL);
        kl_alloc_fail_at(-1);
        done = s == KL_OK;
        ck_assert_msg(done || s == KL_ERR_OOM, "after %d: %s", (int)n, kl_error());
        kl_program_unref(u.program);
        kl_arena_free(a);
        ck_assert_msg(kl_alloc_live() == live, "after %d allocations", (int)n);
    }
}
END_TEST

/* ---- ahead of time ---- */

static void (*entry_of(const char *text, void **library))(void)
{
    char path[64];
    kl_model m;
    kl_artefact art;
    kl_text object = {0}, shared = {0};
    void (*entry)(void);
    snprintf(path, sizeof path, "/tmp/test_control-%d.so", (int)getpid());
    ck_assert_msg(kl_model_parse("t.kl", text, false, &m) == KL_OK, "%s", kl_error());
    ck_assert_msg(kl_model_compile(&m, kl_target_host(), NULL) == KL_OK, "%s",
                  kl_error());
    ck_assert_msg(kl_model_artefact(&m, 1, "entry", KL_WEIGHTS_EMBED, KL_SCRATCH_FIT,
                                    &art) == KL_OK,
                  "%s", kl_error());
    ck_assert_msg(kl_artefact_emit(&art, KL_LLVM_OPEN_OBJECT, &object) == KL_OK, "%s: %s",
                  text, kl_error());
    ck_assert_msg(kl_shared_library("t.so", object.s, object.len, &shared) == KL_OK, "%s",
                  kl_error());
    ck_assert(kl_file_write(path, shared.s, shared.len) == KL_OK);
    *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ck_assert_msg(*library != NULL, "%s", dlerror());
    unlink(path);
    void *p = dlsym(*library, "entry");
    memcpy(&entry, &p, sizeof p);
    kl_text_free(&object), kl_text_free(&shared);
    kl_model_free(&m);
    return entry;
}

static int call_entry(void (*entry)(void), trial *t, int64_t extent)
{
    char signature[3 * MOST] = "i:";
    void *args[2 * MOST + 1];
    int n = 0, result = -1;
    if (kl_dim_sym_count(t->g->dims)) {
        args[n++] = &extent;
        strcat(signature, "l");
    }
    for (uint32_t i = 0; i < t->g->ninputs; i++, strcat(signature, "p"))
        args[n++] = &t->from[i];
    for (uint32_t i = 0; i < t->g->noutputs; i++, strcat(signature, "p"))
        args[n++] = &t->to[i];
    ck_assert(kl_ffi_call(entry, signature, &result, args) == KL_OK);
    return result;
}

START_TEST(artefacts_run)
{
    void *library;
    void (*entry)(void) = entry_of(controls[_i], &library);
    for (size_t e = 0; e < KL_COUNT(extents); e++) {
        kl_arena *a = kl_arena_new();
        trial t;
        if (takes(parse(a, controls[_i]), extents[e])) {
            trial_new(&t, controls[_i], a, extents[e], 5);
            ck_assert_int_eq(call_entry(entry, &t, extents[e]), 0);
            trial_judge(&t, controls[_i], extents[e]);
            trial_free(&t);
        }
        kl_arena_free(a);
    }
    dlclose(library);
}
END_TEST

/* ---- faults ---- */

/* It would go on for ever: a bad index reads nothing, so that i never falls. */
static const char stuck[] =
    "graph test(%i: i64[], %v: i64[4]) { %n: i64[] = const {0} %t: bool[] = le %n, %i "
    "out %t }\n"
    "graph step(%i: i64[], %v: i64[4]) { %g: i64[] = gather %v, %i axis 0 batch 0 out "
    "%g, %v }\n"
    "graph stuck(%i: i64[], %v: i64[4]) { %w: i64[] = while %i, %v cond @test body @step "
    "%p: i64[] = pick %w result 0 out %p }";

START_TEST(faults_end_loops)
{
    int64_t first = 1, v[4] = {3, 2, 9, 1}, last = 0;
    void *in[] = {&first, v}, *out[] = {&last};
    kl_arena *a = kl_arena_new();
    kl_program *p = NULL;
    ck_assert_msg(kl_compile_graph(parse(a, stuck), 0, &p) == KL_OK, "%s", kl_error());
    v[1] = -1; /* 1, -1: done */
    ck_assert(kl_program_run(p, in, out, NULL) == KL_OK);
    ck_assert_int_eq(last, -1);
    v[1] = 2; /* 1, 2, 9: no such element */
    ck_assert_int_eq(kl_program_run(p, in, out, NULL), KL_ERR_INDEX);
    ck_assert_ptr_nonnull(strstr(kl_error(), "index 9 is out of range"));
    kl_error_clear();
    void *library;
    void (*entry)(void) = entry_of(stuck, &library);
    int (*run)(const int64_t *, const int64_t *, int64_t *);
    memcpy(&run, &entry, sizeof run);
    ck_assert_int_eq(run(&first, v, &last), KL_ARTEFACT_INDEX);
    dlclose(library);
    kl_program_unref(p);
    kl_arena_free(a);
}
END_TEST

/* ---- memory and launches ---- */

/* A body that writes over what it carries takes no second buffer; one that reads around
 * takes one; neither takes more for more trips. */
static const struct {
    const char *text;
    int64_t peak, launched;
} costs[] = {
    {"graph s(%c: f32[1000], %x: f32[]) { %e: f32[1000] = expand %x %d: f32[1000] = add "
     "%c, %e out %d }\n"
     "graph g(%c: f32[1000], %x: f32[50]) { %s: f32[1000] = scan %c, %x carries 1 body "
     "@s "
     "%p: f32[1000] = pick %s result 0 out %p }",
     0, 50},
    {"graph s(%c: f32[1000], %x: f32[]) { %e: f32[1000] = expand %x %f: f32[1000] = flip "
     "%c axes (0) "
     "%d: f32[1000] = add %f, %e out %d }\n"
     "graph g(%c: f32[1000], %x: f32[50]) { %s: f32[1000] = scan %c, %x carries 1 body "
     "@s "
     "%p: f32[1000] = pick %s result 0 out %p }",
     4032, 50},
    /* the first value is computed, and not copied; a flag; the test's launches */
    {"graph t(%c: f32[100]) { %z: f32[] = const {1000} %m: f32[] = reduce.max %c axes "
     "(0) %b: bool[] = lt %m, %z out %b }\n"
     "graph s(%c: f32[100]) { %d: f32[100] = add %c, %c out %d }\n"
     "graph g(%c: f32[100]) { %e: f32[100] = exp %c %s: f32[100] = while %e cond @t body "
     "@s "
     "%p: f32[100] = pick %s result 0 %n: f32[100] = neg %p out %n }",
     448 + 64, 1 + 11 + 10 + 1},
};

START_TEST(costs_are_known)
{
    kl_arena *a = kl_arena_new();
    kl_program *p = NULL;
    kl_graph *g = parse(a, costs[_i].text);
    static float c[1000], x[50], y[1000];
    void *in[] = {c, x}, *out[] = {y};
    memset(c, 0, sizeof c);
    ck_assert_msg(kl_compile_graph(g, 0, &p) == KL_OK, "%s", kl_error());
    ck_assert_int_eq(kl_program_peak(p, NULL), costs[_i].peak);
    int64_t before = kl_counts.kernels_launched;
    ck_assert(kl_program_run(p, in, out, NULL) == KL_OK);
    ck_assert_int_eq(kl_counts.kernels_launched - before, costs[_i].launched);
    kl_program_unref(p);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("control");
    TCase *tc = tcase_create("control");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, runs_as_interpreted, 0, (int)KL_COUNT(controls));
    tcase_add_loop_test(tc, plans_come_back, 0, (int)KL_COUNT(controls));
    tcase_add_loop_test(tc, artefacts_run, 0, (int)KL_COUNT(controls));
    tcase_add_loop_test(tc, memory_may_end, 0, (int)KL_COUNT(controls));
    tcase_add_test(tc, faults_end_loops);
    tcase_add_loop_test(tc, costs_are_known, 0, (int)KL_COUNT(costs));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
