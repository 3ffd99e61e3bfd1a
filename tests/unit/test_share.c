/* test_share.c: kernels that differ in sizes alone have one code, which gives the bits of
 * each by the interpreter of loops and as machine code; others keep theirs. */
#include "frontend/front.h"
#include "tests/unit/harness.h"

#include <check.h>

/* A program over %x, A rows of B elements: written for two sizes side by side.
 */
typedef struct family {
    const char *text; /* gives %y */
    int64_t sizes[2][2];
    int codes; /* that its kernels come down to */
} family;

static const family families[] = {
    /* a map */
    {"  %y: f32[A,B] = exp %x\n", {{40, 96}, {56, 144}}, 1},
    /* along rows, down columns */
    {"  %y: f32[A] = reduce.add %x axes (1)\n", {{40, 96}, {56, 160}}, 1},
    {"  %y: f32[B] = reduce.max %x axes (0)\n", {{5120, 160}, {7680, 224}}, 1},
    /* numbers below zero; places in memory; a contraction */
    {"  %y: f32[A,B] = flip %x axes (0, 1)\n", {{40, 96}, {56, 144}}, 1},
    {"  %y: f32[A,B] = prefix.add %x axis 1\n", {{40, 96}, {56, 144}}, 1},
    {"  %y: f32[A,A] = contract %x, %x \"ak,bk->ab\"\n", {{40, 320}, {40, 480}}, 1},
    /* other tails, another step, another divisor: other code */
    {"  %y: f32[A] = reduce.add %x axes (1)\n", {{40, 96}, {56, 100}}, 2},
    {"  %y: f32[A] = reduce.add %x axes (1)\n", {{400, 10}, {400, 12}}, 2},
    {"  %y: f32[B,A] = permute %x axes (1, 0)\n", {{48, 96}, {80, 160}}, 2},
};

static void put_sized(kl_text *t, const char *text, const int64_t *size, const char *tag)
{
    for (const char *p = text; *p; p++)
        if (*p == 'A' || *p == 'B')
            kl_text_printf(t, "%lld", (long long)size[*p == 'B']);
        else if (*p == '%')
            kl_text_printf(t, "%%%s", tag);
        else
            kl_text_putn(t, p, 1);
}

static kl_graph *graph_of(kl_arena *a, const family *f)
{
    kl_text t = {0};
    kl_graph *g = NULL;
    put_sized(&t, "graph g(%x: f32[A,B], ", f->sizes[0], "p");
    put_sized(&t, "%x: f32[A,B]) {\n", f->sizes[1], "q");
    put_sized(&t, f->text, f->sizes[0], "p");
    put_sized(&t, f->text, f->sizes[1], "q");
    kl_text_put(&t, "  out %py, %qy\n}\n");
    ck_assert_msg(kl_graph_parse(a, "g", t.s, &g) == KL_OK, "%s\n%s", kl_error(), t.s);
    kl_text_free(&t);
    return g;
}

static int codes(const kl_unit *u)
{
    int n = 0;
    for (int i = 0; i < u->nkernels; i++) {
        bool first = true;
        for (int j = 0; j < i; j++)
            first &= !u->kernels[i]->code || u->kernels[j]->code != u->kernels[i]->code;
        n += first;
    }
    return n;
}

static void same(const kl_buffer *want, const kl_buffer *got)
{
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(first_difference(&want[i], &got[i]), -1);
}

/* Machine code, as programs are compiled: how many kernels' it is. */
static int run_compiled(kl_graph *g, const kl_buffer *in, kl_buffer *got)
{
    int64_t before = kl_stats().kernels_compiled;
    kl_program *p;
    void *from[2], *to[2];
    for (int i = 0; i < 2; i++) {
        from[i] = in[i].mem->base, to[i] = got[i].mem->base;
        memset(to[i], 0x5a, got[i].mem->size);
    }
    ck_assert_msg(kl_compile_graph(g, 0, &p) == KL_OK, "%s", kl_error());
    ck_assert_int_eq(kl_program_run(p, from, to, NULL), KL_OK);
    kl_program_unref(p);
    return (int)(kl_stats().kernels_compiled - before);
}

START_TEST(one_code_for_sizes)
{
    const family *f = &families[_i];
    kl_arena *a = kl_arena_new();
    kl_graph *g = graph_of(a, f);
    kl_buffer in[2], want[2], got[2];
    uint64_t seed = 7;
    for (int i = 0; i < 2; i++) {
        ck_assert_int_eq(new_dense(KL_F32, 2, f->sizes[i], &in[i]), KL_OK);
        fill_buffer(&in[i], &seed, true);
    }
    ck_assert_msg(kl_graph_interp(g, in, NULL, want) == KL_OK, "%s", kl_error());
    for (int i = 0; i < 2; i++)
        ck_assert_int_eq(new_dense(want[i].dtype, want[i].rank, want[i].shape, &got[i]),
                         KL_OK);
    kl_unit u = {.arena = a,
                 .target = kl_target_host(),
                 .graph = g,
                 .fuse_off = true,
                 .share = 16};
    ck_assert_msg(kl_pipeline_run(&u, NULL, NULL) == KL_OK, "%s", kl_error());
    ck_assert_msg(run_loops(&u, in, NULL, got) == KL_OK, "%s", kl_error());
    same(want, got);
    kl_program_unref(u.program);
    int compiled = run_compiled(graph_of(a, f), in, got);
    same(want, got);
    for (int i = 0; i < 2; i++)
        kl_memory_unref(in[i].mem), kl_memory_unref(want[i].mem),
            kl_memory_unref(got[i].mem);
    ck_assert_int_eq(codes(&u), f->codes);
    ck_assert_int_le(compiled, f->codes); /* fusion joins some */
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("share");
    TCase *tc = tcase_create("share");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, one_code_for_sizes, 0, (int)KL_COUNT(families));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
