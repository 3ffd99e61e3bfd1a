/* test_faults.c: planted faults. Each barrier of some kernels is left out in turn, and
 * the stand-in device must notice: a race, or other bits. Only the stand-in is asked: a
 * real device may get away with it.
 *
 * One thread stores what all have computed between two barriers of the warp, whether or
 * not that memory was read before; so of those some may go unnoticed, but not all of a
 * kernel. */
#include "kernels.h"
#include "passes/passes.h"
#include "tests/unit/harness.h"

static const char *const graphs[] = {
    "graph tiles(%0: f32[40,70], %1: f32[70,50]) { %2: f32[40,50] = contract %0, %1 "
    "\"mk,kn->mn\" out %2 }",
    "graph all(%0: f32[3,5000]) { %1: f32[] = reduce.add %0 axes (0, 1) out %1 }",
    "graph sorted(%0: f32[3,50]) { %1: f32[3,50] = sort %0 axis 1 %2: f32[3,50] = pick "
    "%1 "
    "result 0 out %2 }",
};
static const char *const barriers[] = {"kl_barrier();\n", "kl_warp_barrier();\n"};

typedef struct made {
    kl_arena *arena;
    kl_unit unit;
    kl_graph *graph;
} made;

static void make(const char *graph, made *m)
{
    *m = (made){.arena = kl_arena_new()};
    OK(kl_graph_parse(m->arena, "test", graph, &m->graph));
    m->unit = (kl_unit){
        .arena = m->arena, .target = kl_target_find("sm_90a"), .graph = m->graph};
    OK(kl_pipeline_run(&m->unit, "inline", NULL));
    ck_assert_int_eq(m->unit.nkernels, 1);
}

/* The text without the n-th barrier of that kind (n < 0: all there); false: it has fewer.
 */
static bool without(const char *text, const char *barrier, int n, kl_text *out)
{
    const char *p = text;
    for (int i = 0; n >= 0 && i <= n; i++) {
        p = strstr(i ? p + 1 : p, barrier);
        if (!p)
            return false;
    }
    size_t cut = n < 0 ? 0 : strlen(barrier) - 1;
    kl_text_putn(out, text, (size_t)(p - text));
    kl_text_put(out, p + cut);
    return true;
}

static kl_status run_code(made *m, const kl_text *code, const kl_buffer *in,
                          kl_buffer *got)
{
    kl_program *p = m->unit.program;
    kl_module *module;
    void *din[2], *dout;
    KL_TRY(CUDA->load(0, code->s, code->len, &module));
    p->device = 1;
    for (int ph = 0; ph < m->unit.kernels[0]->nphases; ph++) {
        char name[32];
        snprintf(name, sizeof name, "fault.%d", ph);
        p->kernels[0].entry[ph] = CUDA->symbol(module, name);
    }
    for (uint32_t i = 0; i < m->graph->ninputs; i++)
        din[i] = to_device(in[i].mem->base, kl_buffer_bytes(&in[i]));
    KL_TRY(CUDA->alloc(0, kl_buffer_bytes(got), &dout));
    KL_TRY(kl_program_run(p, din, &dout, NULL));
    return CUDA->copy(0, got->mem->base, dout, kl_buffer_bytes(got), false, true);
}

/* In a child, because a fault breaks its device for good. True: as the interpreter has
 * it. */
static bool runs_well(const char *graph, const kl_text *text)
{
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        made m;
        kl_buffer in[2], want, got;
        kl_nvrtc_code code;
        uint64_t seed = 7;
        make(graph, &m);
        for (uint32_t i = 0; i < m.graph->ninputs; i++) {
            kl_type t;
            kl_graph_type(m.graph, m.graph->inputs[i], &t);
            OK(new_dense(t.dtype, t.rank, t.shape, &in[i]));
            fill_buffer(&in[i], &seed, false);
        }
        OK(kl_graph_interp(m.graph, in, NULL, &want));
        OK(new_dense(want.dtype, want.rank, want.shape, &got));
        OK(kl_nvrtc_compile("fault", text->s, "sm_90a", KL_NVRTC_CUBIN, &code));
        kl_text bytes = {.s = code.bytes, .len = code.size};
        _exit(run_code(&m, &bytes, in, &got) == KL_OK && first_difference(&want, &got) < 0
                  ? 0
                  : 3);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status) % 3, 0);
    return WEXITSTATUS(status) == 0;
}

START_TEST(test_barriers)
{
    made m;
    unsigned parts = 0;
    kl_text whole = {0}, prelude = {0};
    make(graphs[_i], &m);
    OK(kl_cuda_kernel(m.unit.kernels[0], "fault", m.arena, &parts, &whole));
    kl_cuda_prelude(&prelude, parts);
    for (int kind = 0; kind < 2; kind++) {
        int n, noticed = 0;
        for (n = -1;; n++) {
            kl_text text = {0};
            kl_text_put(&text, prelude.s);
            if (!without(whole.s, barriers[kind], n, &text))
                break;
            bool well = runs_well(graphs[_i], &text);
            ck_assert_msg(n >= 0 || well, "%s", whole.s);
            ck_assert_msg(n < 0 || kind || !well, "barrier %d is not missed in\n%s", n,
                          whole.s);
            noticed += n >= 0 && !well;
            kl_text_free(&text);
        }
        ck_assert_msg(n == 0 || noticed > 0, "none of %d is missed in\n%s", n, whole.s);
    }
}
END_TEST

int main(void)
{
    if (!have_device())
        return 77;
    TCase *tc = tcase_create("barriers");
    tcase_add_loop_test(tc, test_barriers, 0, (int)KL_COUNT(graphs));
    return run_suite(tc);
}
