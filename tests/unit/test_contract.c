/* test_contract.c: in which order a contraction adds up. The actual sizes decide: a
 * program over B gives at each B the bits of one compiled for that B, and of the
 * interpreter. With batch invariance a row's bits do not depend on how many others there
 * are.
 *
 *   f32[B,100] x f32[100,130]   B = 1: over 16 lanes of k    B = 4: along k
 *
 * Columns enough that a worker has the rows of B = 2 and 3 together. */
#include "harness.h"

#include "frontend/front.h"

#include <check.h>

enum { DEPTH = 100, COLS = 130, MOST = 9 };

static float x[MOST * DEPTH], w[DEPTH * COLS];

static void draw_operands(void)
{
    uint64_t seed = 5;
    for (int i = 0; i < MOST * DEPTH; i++)
        x[i] = (float)(draw(&seed) % 4001) / 1000.0f - 2;
    for (int i = 0; i < DEPTH * COLS; i++)
        w[i] = (float)(draw(&seed) % 4001) / 1000.0f - 2;
}

/* The extent's text and its symbol's line; the product plus a half, as a fused epilogue.
 */
static kl_graph *graph_of(kl_arena *a, const char *extent, const char *symbol)
{
    kl_graph *g = NULL;
    const char *text =
        kl_arena_printf(a,
                        "graph g(%%0: f32[%s,100], %%1: f32[100,130]) { %s %%2: "
                        "f32[%s,130] = contract %%0, "
                        "%%1 \"mk,kn->mn\" %%3: f32[%s,130] = neg %%2 out %%3 }",
                        extent, symbol, extent, extent);
    ck_assert_msg(kl_graph_parse(a, "test", text, &g) == KL_OK, "%s", kl_error());
    return g;
}

static kl_program *compiled(kl_arena *a, const char *extent, const char *symbol)
{
    kl_program *p = NULL;
    kl_graph *g = graph_of(a, extent, symbol);
    ck_assert_msg(kl_compile_graph(g, 0, &p) == KL_OK, "%s", kl_error());
    return p;
}

static void run(const kl_program *p, int64_t rows, float *y)
{
    void *in[] = {x, w}, *out[] = {y};
    ck_assert_msg(kl_program_run(p, in, out, &rows) == KL_OK, "%s", kl_error());
}

static void interpret(kl_arena *a, int64_t rows, float *y)
{
    kl_graph *g = graph_of(a, "B", "dim B 0..100");
    kl_memory m[2] = {{.refs = 9, .base = x, .size = sizeof x},
                      {.refs = 9, .base = w, .size = sizeof w}};
    kl_buffer in[2] = {
        {.mem = &m[0], .dtype = KL_F32, .rank = 2, .shape = {rows, DEPTH}},
        {.mem = &m[1], .dtype = KL_F32, .rank = 2, .shape = {DEPTH, COLS}}};
    kl_buffer out;
    kl_buffer_dense_strides(&in[0]);
    kl_buffer_dense_strides(&in[1]);
    ck_assert_msg(kl_graph_interp(g, in, &rows, &out) == KL_OK, "%s", kl_error());
    memcpy(y, out.mem->base, (size_t)rows * COLS * sizeof *y);
    kl_memory_unref(out.mem);
}

START_TEST(test_actual_sizes)
{
    kl_arena *a = kl_arena_new();
    bool differs = false;
    kl_set_batch_invariant(_i == 1);
    kl_program *any = compiled(a, "B", "dim B 0..100");
    float first[COLS];
    for (int64_t rows = 1; rows <= MOST; rows++) {
        float y[3][MOST * COLS];
        kl_program *one = compiled(a, kl_arena_printf(a, "%d", (int)rows), "");
        run(any, rows, y[0]);
        run(one, rows, y[1]);
        interpret(a, rows, y[2]);
        size_t n = (size_t)rows * COLS * sizeof(float);
        ck_assert_msg(memcmp(y[0], y[1], n) == 0, "B = %d", (int)rows);
        ck_assert_msg(memcmp(y[0], y[2], n) == 0, "interpreter, B = %d", (int)rows);
        if (rows == 1)
            memcpy(first, y[0], sizeof first);
        differs = differs || memcmp(first, y[0], sizeof first) != 0;
        kl_program_unref(one);
    }
    ck_assert_int_eq(differs, _i == 0);
    kl_set_batch_invariant(false);
    kl_program_unref(any);
    kl_arena_free(a);
}
END_TEST

/* One of the two forms is launched, and only it is counted. */
START_TEST(test_one_launch)
{
    kl_arena *a = kl_arena_new();
    kl_program *any = compiled(a, "B", "dim B 0..100");
    float y[MOST * COLS];
    for (int64_t rows = 0; rows <= MOST; rows++) {
        int64_t before = kl_counts.kernels_launched;
        run(any, rows, y);
        ck_assert_int_eq(kl_counts.kernels_launched - before, rows != 0);
    }
    kl_program_unref(any);
    kl_program *many = compiled(a, "B", "dim B 4..100");
    ck_assert_int_eq(many->nkernels, 1);
    kl_program_unref(many);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("contract");
    TCase *tc = tcase_create("order");
    draw_operands();
    tcase_add_loop_test(tc, test_actual_sizes, 0, 2);
    tcase_add_test(tc, test_one_launch);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
