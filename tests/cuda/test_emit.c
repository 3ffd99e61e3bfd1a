/* test_emit.c: whole graphs as CUDA C, run on the device (stood in for, or real), against
 * the interpreter: equal bits. And every elementwise row and cast of every dtype over
 * special values, against kl_eval.
 *
 * All kernels of all programs are one text, compiled once before the tests; each test
 * loads it. */
#define KL_TEST_LARGE
#include "kernels.h"
#include "frontend/front.h"
#include "tests/unit/harness.h"
#include "tests/unit/programs.h"

enum { NPROGRAMS = KL_COUNT(programs), FORMS = 2 /* fused, not */ };

typedef struct made {
    kl_arena *arena;
    kl_unit unit;
    kl_graph *graph; /* as parsed */
    char why[400];   /* what went wrong, or "" */
} made;

static made all[NPROGRAMS * FORMS];
static kl_text code;

static kl_status make_one(int n, kl_text *body, unsigned *parts)
{
    made *m = &all[n];
    m->arena = kl_arena_new();
    KL_TRY(kl_graph_parse(m->arena, "test", programs[n / FORMS], &m->graph));
    m->unit = (kl_unit){.arena = m->arena,
                        .target = kl_target_find("sm_90a"),
                        .graph = m->graph,
                        .fuse_off = n % FORMS};
    KL_TRY(kl_pipeline_run(&m->unit, "inline", NULL));
    kl_text t = {0};
    kl_status s = KL_OK;
    for (int i = 0; i < m->unit.nkernels && s == KL_OK; i++)
        s = kl_cuda_kernel(m->unit.kernels[i], kl_arena_printf(m->arena, "p%d_%d", n, i),
                           m->arena, parts, &t);
    if (s == KL_OK && t.s)
        kl_text_put(body, t.s);
    kl_text_free(&t);
    return s;
}

static void make_all(void)
{
    unsigned parts = 0;
    kl_text body = {0}, text = {0};
    kl_nvrtc_code out;
    for (int n = 0; n < NPROGRAMS * FORMS; n++) {
        kl_error_clear();
        if (make_one(n, &body, &parts) != KL_OK)
            snprintf(all[n].why, sizeof all[n].why, "%s", kl_error());
    }
    kl_error_clear();
    kl_cuda_prelude(&text, parts);
    kl_text_put(&text, body.s);
    if (getenv("KILN_TEST_TEXT"))
        kl_file_write(getenv("KILN_TEST_TEXT"), text.s, text.len);
    ck_assert_msg(kl_nvrtc_compile("programs", text.s, "sm_90a", KL_NVRTC_CUBIN, &out) ==
                      KL_OK,
                  "%s\n%.3000s", kl_error(), kl_error_log());
    kl_text_putn(&code, out.bytes, out.size);
    kl_nvrtc_free(&out);
    kl_text_free(&body);
    kl_text_free(&text);
}

static void drop_all(void)
{
    for (int n = 0; n < NPROGRAMS * FORMS; n++) {
        kl_program_unref(all[n].unit.program);
        kl_arena_free(all[n].arena);
    }
    kl_text_free(&code);
}

static void link_one(made *m, int n, kl_module *module)
{
    kl_program *p = m->unit.program;
    p->device = 1;
    for (int i = 0, next = 0; i < m->unit.nkernels; i++) {
        const kl_kernel *k = m->unit.kernels[i];
        for (int ph = 0; ph < k->nphases; ph++) {
            char name[64];
            snprintf(name, sizeof name, "p%d_%d.%d", n, i, ph);
            p->kernels[next].entry[ph] = CUDA->symbol(module, name);
            ck_assert_msg(p->kernels[next].entry[ph] != NULL, "%s", name);
        }
        next += !k->call;
    }
}

static size_t bytes_of(const kl_buffer *b)
{
    return kl_buffer_bytes(b) + 1;
}

static void draw_inputs(const kl_graph *g, kl_buffer *in)
{
    uint64_t seed = 7;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_type t;
        kl_graph_type(g, g->inputs[i], &t);
        OK(new_dense(t.dtype, t.rank, t.shape, &in[i]));
        fill_buffer(&in[i], &seed, true);
        for (int64_t j = 0; t.dtype == KL_I64 && j < t.shape[0]; j++)
            ((int64_t *)in[i].mem->base)[j] = (int64_t)(draw(&seed) % 9);
    }
}

static void compare(const made *m, const kl_buffer *want, const kl_buffer *got,
                    uint32_t i)
{
    int64_t d = first_difference(want, got);
    if (d < 0)
        return;
    kl_text t = {0};
    for (int k = 0; k < m->unit.nkernels; k++)
        kl_codegen_cuda((const kl_kernel *const *)&m->unit.kernels[k], 1, m->unit.target,
                        KL_CUDA_BODY, &t);
    ck_abort_msg("output %u differs at %lld\n%s", i, (long long)d, t.s);
}

START_TEST(test_program)
{
    made *m = &all[_i];
    kl_buffer in[8], want[8], got[8];
    void *din[8], *dout[8];
    kl_module *module;
    ck_assert_msg(!*m->why, "%s: %s", programs[_i / FORMS], m->why);
    kl_error_clear();
    draw_inputs(m->graph, in);
    OK(kl_graph_interp(m->graph, in, NULL, want));
    OK(CUDA->load(0, code.s, code.len, &module));
    link_one(m, _i, module);
    for (uint32_t i = 0; i < m->graph->ninputs; i++)
        din[i] = to_device(in[i].mem->base, bytes_of(&in[i]));
    for (uint32_t i = 0; i < m->graph->noutputs; i++)
        OK(CUDA->alloc(0, bytes_of(&want[i]), &dout[i]));
    ck_assert_msg(kl_program_run(m->unit.program, din, dout, NULL) == KL_OK, "%s: %s",
                  programs[_i / FORMS], kl_error());
    ck_assert_msg(CUDA->sync(0) == KL_OK, "%s: %s", programs[_i / FORMS], kl_error());
    for (uint32_t i = 0; i < m->graph->noutputs; i++) {
        OK(new_dense(want[i].dtype, want[i].rank, want[i].shape, &got[i]));
        from_device(got[i].mem->base, dout[i], bytes_of(&got[i]) - 1);
        compare(m, &want[i], &got[i], i);
    }
}
END_TEST

/* The whole way from a graph: target by the device, kernels compiled once a process. */
START_TEST(test_compiled)
{
    enum { SOFTMAX = 10 };
    made m = {.arena = kl_arena_new()};
    kl_buffer in[8], want[8], got;
    void *din, *dout;
    OK(kl_graph_parse(m.arena, "test", programs[SOFTMAX], &m.graph));
    draw_inputs(m.graph, in);
    OK(kl_graph_interp(m.graph, in, NULL, want));
    din = to_device(in[0].mem->base, bytes_of(&in[0]));
    OK(CUDA->alloc(0, bytes_of(&want[0]), &dout));
    for (int round = 0; round < 2; round++) {
        kl_program *p;
        int64_t compiled = kl_counts.kernels_compiled;
        OK(kl_graph_parse(m.arena, "test", programs[SOFTMAX], &m.graph));
        OK(kl_compile_graph(m.graph, 1, &p));
        ck_assert_int_eq(kl_counts.kernels_compiled - compiled, round == 0);
        OK(kl_program_run(p, &din, &dout, NULL));
        OK(new_dense(want[0].dtype, want[0].rank, want[0].shape, &got));
        from_device(got.mem->base, dout, bytes_of(&got) - 1);
        ck_assert_int_eq(first_difference(&want[0], &got), -1);
        kl_program_unref(p);
    }
}
END_TEST

/* One program with a symbol, at several sizes. */
START_TEST(test_symbols)
{
    static const int64_t sizes[] = {4, 5, 33, 257};
    static const char text[] =
        "graph rows(%0: f32[B,40], %1: f32[40,24]) { dim B 4..4096 %2: f32[B] = "
        "reduce.max %0 "
        "axes (1) %3: f32[B,1] = reshape %2 %4: f32[B,40] = expand %3 %5: f32[B,40] = "
        "sub %0, %4 "
        "%6: f32[B,24] = contract %5, %1 \"mk,kn->mn\" out %5, %6 }";
    made m = {.arena = kl_arena_new()};
    kl_program *p;
    kl_graph *again;
    OK(kl_graph_parse(m.arena, "test", text, &m.graph));
    OK(kl_graph_parse(m.arena, "test", text, &again));
    OK(kl_compile_graph(again, 1, &p));
    for (size_t i = 0; i < KL_COUNT(sizes); i++) {
        uint64_t seed = 3;
        int64_t n = sizes[i], x[] = {n, 40}, w[] = {40, 24};
        kl_buffer in[2], want[2], got;
        void *din[2], *dout[2];
        OK(new_dense(KL_F32, 2, x, &in[0]));
        OK(new_dense(KL_F32, 2, w, &in[1]));
        fill_buffer(&in[0], &seed, true);
        fill_buffer(&in[1], &seed, false);
        OK(kl_graph_interp(m.graph, in, &n, want));
        for (int j = 0; j < 2; j++) {
            din[j] = to_device(in[j].mem->base, bytes_of(&in[j]));
            OK(CUDA->alloc(0, bytes_of(&want[j]), &dout[j]));
        }
        OK(kl_program_run(p, din, dout, &n));
        for (int j = 0; j < 2; j++) {
            OK(new_dense(KL_F32, 2, want[j].shape, &got));
            from_device(got.mem->base, dout[j], bytes_of(&got) - 1);
            ck_assert_int_eq(first_difference(&want[j], &got), -1);
        }
    }
    kl_program_unref(p);
}
END_TEST

/* Lanes of two warps fold through shared memory. No schedule asks for it as yet. */
START_TEST(test_block_fold)
{
    static const char text[] = "loops wide for sm_90a {\n"
                               "  in x: f32[200]\n"
                               "  out y: f32[1]\n"
                               "  phase w: 1 grain 1 group 1 lane 64 {\n"
                               "    reg acc: f32 lanes 64\n"
                               "    set acc = 0.0\n"
                               "    for i: 200 lane 64 {\n"
                               "      set acc = add(acc, load x[i])\n"
                               "    }\n"
                               "    reg r: f32\n"
                               "    fold r = add acc\n"
                               "    store y[0] = r\n"
                               "  }\n"
                               "}\n";
    kl_arena *a = kl_arena_new();
    kl_kernel *k;
    unsigned parts = 0;
    kl_text body = {0}, whole = {0};
    float x[200], y;
    for (int i = 0; i < 200; i++)
        x[i] = (float)(i + 1);
    OK(kl_loops_parse(a, "test", text, &k));
    OK(kl_cuda_kernel(k, "wide", a, &parts, &body));
    kl_cuda_prelude(&whole, parts);
    kl_text_put(&whole, body.s);
    kl_nvrtc_code made_of;
    kl_module *m;
    OK(kl_nvrtc_compile("wide", whole.s, "sm_90a", KL_NVRTC_CUBIN, &made_of));
    OK(CUDA->load(0, made_of.bytes, made_of.size, &m));
    void *bufs[2] = {to_device(x, sizeof x), to_device(&x[0], sizeof y)};
    OK(start(m, "wide.0", (shape){1, 64, 1, 0}, 2, bufs, 0, NULL, NULL));
    from_device(&y, bufs[1], sizeof y);
    ck_assert_float_eq(y, 20100.0f);
    CUDA->free(0, bufs[0], sizeof x);
    CUDA->free(0, bufs[1], sizeof y);
    CUDA->unload(m);
    kl_nvrtc_free(&made_of);
    kl_text_free(&body), kl_text_free(&whole);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    if (!have_device())
        return 77;
    TCase *tc = tcase_create("programs");
    tcase_add_unchecked_fixture(tc, make_all, drop_all);
    tcase_add_loop_test(tc, test_program, 0, NPROGRAMS * FORMS);
    tcase_add_test(tc, test_compiled);
    tcase_add_test(tc, test_symbols);
    tcase_add_test(tc, test_block_fold);
    return run_suite(tc);
}
