/* test_control.c: loops and branches on a device: the programs of unit/controls.h against
 * the interpreter, to the bit; a condition that is computed there is read back; a fault
 * in a body ends its loop. */
#include "kernels.h"
#include "frontend/front.h"
#include "tests/unit/harness.h"
#include "tests/unit/controls.h"

enum { MOST = 16 };

static const int64_t extents[] = {0, 1, 4, 7};

static bool takes(const kl_graph *g, int64_t extent)
{
    int64_t min = 0, max = 0, div = 1;
    if (kl_dim_sym_count(g->dims) == 0)
        return extent == extents[0];
    kl_dim_sym_facts(g->dims, 0, &min, &max, &div);
    return extent >= min && extent <= max;
}

/* Small and not negative where the name says that it counts or indexes. */
static void draw_input(const kl_graph *g, uint32_t i, int64_t t, kl_buffer *b)
{
    kl_type type;
    int64_t shape[KL_MAX_RANK];
    uint64_t seed = 9 + i;
    kl_graph_type(g, g->inputs[i], &type);
    for (int k = 0; k < type.rank; k++)
        shape[k] = kl_dim_eval(g->dims, type.shape[k], &t);
    OK(new_dense(type.dtype, type.rank, shape, b));
    fill_buffer(b, &seed, false);
    uint32_t name = g->nodes[g->inputs[i]].name;
    int64_t n = (int64_t)kl_buffer_bytes(b) / 8;
    if (name != KL_NONE && strcmp(g->strings[name], "i") == 0)
        for (int64_t k = 0; k < n; k++)
            ((int64_t *)b->mem->base)[k] = (int64_t)(draw(&seed) % 8);
}

static void run_one(const char *text, const kl_program *p, int64_t extent)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g, *oracle;
    kl_buffer in[MOST], want[MOST], got;
    void *din[MOST], *dout[MOST];
    OK(kl_graph_parse(a, "test", text, &g));
    OK(kl_graph_parse(a, "test", text, &oracle));
    OK(kl_prepare_interp(a, &oracle));
    for (uint32_t i = 0; i < g->ninputs; i++) {
        draw_input(g, i, extent, &in[i]);
        din[i] = to_device(in[i].mem->base, kl_buffer_bytes(&in[i]) + 1);
    }
    OK(kl_graph_interp(oracle, in, &extent, want));
    for (uint32_t i = 0; i < g->noutputs; i++)
        OK(CUDA->alloc(0, kl_buffer_bytes(&want[i]) + 1, &dout[i]));
    ck_assert_msg(kl_program_run(p, din, dout, &extent) == KL_OK, "%s: %s", text,
                  kl_error());
    for (uint32_t i = 0; i < g->noutputs; i++) {
        OK(new_dense(want[i].dtype, want[i].rank, want[i].shape, &got));
        from_device(got.mem->base, dout[i], kl_buffer_bytes(&got));
        ck_assert_msg(first_difference(&want[i], &got) < 0,
                      "T = %d, output %u differs: %s", (int)extent, i, text);
        CUDA->free(0, dout[i], kl_buffer_bytes(&got) + 1);
        kl_memory_unref(got.mem), kl_memory_unref(want[i].mem);
    }
    for (uint32_t i = 0; i < g->ninputs; i++) {
        CUDA->free(0, din[i], kl_buffer_bytes(&in[i]) + 1);
        kl_memory_unref(in[i].mem);
    }
    kl_arena_free(a);
}

START_TEST(runs_as_interpreted)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g;
    kl_program *p;
    OK(kl_graph_parse(a, "test", controls[_i], &g));
    ck_assert_msg(kl_compile_graph(g, 1, &p) == KL_OK, "%s: %s", controls[_i],
                  kl_error());
    OK(kl_graph_parse(a, "test", controls[_i], &g));
    for (size_t e = 0; e < KL_COUNT(extents); e++)
        if (takes(g, extents[e]))
            run_one(controls[_i], p, extents[e]);
    kl_program_unref(p);
    kl_arena_free(a);
}
END_TEST

static const char stuck[] =
    "graph test(%i: i64[], %v: i64[4]) { %n: i64[] = const {0} %t: bool[] = le %n, %i "
    "out %t }\n"
    "graph step(%i: i64[], %v: i64[4]) { %g: i64[] = gather %v, %i axis 0 batch 0 out "
    "%g, %v }\n"
    "graph stuck(%i: i64[], %v: i64[4]) { %w: i64[] = while %i, %v cond @test body @step "
    "%p: i64[] = pick %w result 0 out %p }";

START_TEST(faults_end_loops)
{
    int64_t first = 1, v[4] = {3, 2, 9, 1};
    kl_arena *a = kl_arena_new();
    kl_graph *g;
    kl_program *p;
    OK(kl_graph_parse(a, "test", stuck, &g));
    OK(kl_compile_graph(g, 1, &p));
    void *in[] = {to_device(&first, 8), to_device(v, sizeof v)},
         *out = to_device(&first, 8);
    ck_assert_msg(kl_program_run(p, in, &out, NULL) == KL_ERR_INDEX, "%s", kl_error());
    ck_assert_ptr_nonnull(strstr(kl_error(), "index 9 is out of range"));
    kl_program_unref(p);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    if (!have_device())
        return 77;
    TCase *tc = tcase_create("control");
    tcase_add_loop_test(tc, runs_as_interpreted, 0, (int)KL_COUNT(controls));
    tcase_add_test(tc, faults_end_loops);
    return run_suite(tc);
}
