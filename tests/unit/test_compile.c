/* test_compile.c: compiling as a whole: kernels side by side give what one after the
 * other gives, code generation leaves its kernel alone, work grows with the graph and not
 * faster, no walk recurses over its depth, and what is dropped is gone. */
#include "codegen/codegen.h"
#include "tests/unit/front_test.h"

/* ---- kernels side by side ---- */

/* A graph of several unlike kernels. */
static kl_graph *unlike(kl_arena *a, int n)
{
    kl_graph *g = kl_graph_new(a, NULL, "g");
    kl_dim shape[2] = {8, 32};
    for (int i = 0; i < n; i++) {
        kl_ref x = kl_graph_input(g, "x", KL_F32, 2, shape);
        int64_t attr[] = {KL_OP_add, 2 >> i % 2}; /* along rows, down columns */
        for (int k = 0; k <= i; k++)
            x = kl_g_elt(g, k % 2 ? KL_OP_exp : KL_OP_neg, x, KL_NONE, KL_NONE);
        x = kl_graph_node(g, &(kl_spec){.op = KL_OP_reduce,
                                        .src = &x,
                                        .nsrc = 1,
                                        .attr = attr,
                                        .nattr = KL_COUNT(attr)});
        kl_graph_output(g, x, NULL);
    }
    return g;
}

/* As far as the plan. */
static kl_unit several(kl_arena *a, int n)
{
    kl_unit u = {.arena = a, .target = kl_target_host(), .graph = unlike(a, n)};
    ck_assert_int_eq(kl_pipeline_run(&u, NULL, NULL), KL_OK);
    return u;
}

START_TEST(code_generation_leaves_its_kernel_alone)
{
    kl_arena *a = kl_arena_new();
    kl_unit u = several(a, 3);
    for (int i = 0; i < u.nkernels; i++) {
        const kl_kernel *k = u.kernels[i];
        kl_text before = {0}, after = {0}, first = {0}, second = {0};
        uint32_t count = k->x->count;
        kl_loops_print(k, &before);
        for (int j = 0; j < 2; j++)
            ck_assert_int_eq(
                kl_codegen_cpu(&k, 1, u.target, KL_LLVM_OBJECT, j ? &second : &first),
                KL_OK);
        kl_loops_print(k, &after);
        ck_assert_uint_eq(k->x->count, count);
        ck_assert_str_eq(before.s, after.s);
        ck_assert_uint_eq(first.len, second.len);
        ck_assert_mem_eq(first.s, second.s, first.len);
        kl_text_free(&before), kl_text_free(&after);
        kl_text_free(&first), kl_text_free(&second);
    }
    kl_program_unref(u.program);
    kl_arena_free(a);
}
END_TEST

typedef struct made {
    const kl_unit *u;
    kl_text object[16];
} made;

static void make_some(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    made *m = ctx;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const kl_kernel *k = m->u->kernels[i];
        kl_codegen_cpu(&k, 1, m->u->target, KL_LLVM_OBJECT, &m->object[i]);
    }
}

/* The bytes of each kernel, made by one thread and by eight. */
START_TEST(kernels_side_by_side)
{
    kl_arena *a = kl_arena_new();
    kl_unit u = several(a, 8);
    made one = {.u = &u}, many = {.u = &u};
    ck_assert_int_ge(u.nkernels, 2);
    ck_assert_int_le(u.nkernels, 16);
    make_some(&one, 0, u.nkernels, 0);
    kl_parallel_on(8, u.nkernels, 1, make_some, &many);
    for (int i = 0; i < u.nkernels; i++) {
        ck_assert_uint_gt(one.object[i].len, 0);
        ck_assert_uint_eq(one.object[i].len, many.object[i].len);
        ck_assert_mem_eq(one.object[i].s, many.object[i].s, one.object[i].len);
        kl_text_free(&one.object[i]), kl_text_free(&many.object[i]);
    }
    kl_program_unref(u.program);
    kl_arena_free(a);
}
END_TEST

/* ---- kernels of one object ---- */

enum { UNLIKE = 12 };

/* Its results' bits, without modules that an earlier run left; a kernel's key. */
static kl_hash compile_unlike(float y[UNLIKE][32], int kernel)
{
    kl_arena *a = kl_arena_new();
    kl_program *p;
    float x[8 * 32];
    void *in[UNLIKE], *out[UNLIKE];
    kl_modules_drop_unused();
    for (int i = 0; i < 8 * 32; i++)
        x[i] = (float)(i % 13) / 8 - 1;
    memset(y, 0, UNLIKE * sizeof *y);
    for (int i = 0; i < UNLIKE; i++)
        in[i] = x, out[i] = y[i];
    ck_assert_int_eq(kl_compile_graph(unlike(a, UNLIKE), 0, &p), KL_OK);
    ck_assert_int_eq(p->nkernels, UNLIKE);
    ck_assert_int_eq(kl_program_run(p, in, out, NULL), KL_OK);
    kl_hash key = p->kernels[kernel].key;
    kl_program_unref(p);
    kl_arena_free(a);
    return key;
}

/* The store names the object that a kernel is in. Where it is gone, the kernel is made
 * anew. */
START_TEST(kernels_of_one_object)
{
    float first[UNLIKE][32], again[UNLIKE][32];
    int64_t made = kl_counts.kernels_compiled, found = kl_counts.kernels_from_disk;
    compile_unlike(first, 0);
    ck_assert_int_eq(kl_counts.kernels_compiled, made + UNLIKE);
    for (int i = 0; i < UNLIKE; i++) {
        kl_hash key = compile_unlike(again, i);
        ck_assert_mem_eq(first, again, sizeof first);
        kl_store_drop(key, "kernel");
    }
    ck_assert_int_ge(kl_counts.kernels_compiled, made + 2 * UNLIKE - 1);
    ck_assert_int_ge(kl_counts.kernels_from_disk, found + UNLIKE);
}
END_TEST

/* ---- depth ---- */

#if defined __SANITIZE_THREAD__ || defined __SANITIZE_ADDRESS__ /* for the other tests */
enum { DEEP = 20000 };
#else
enum { DEEP = 1000000 };
#endif

/* A chain of a million operations, differentiated and computed. */
static void *deep_gradient(void *answer)
{
    kl_scope_begin();
    kl_tensor *x = kl_requires_grad_(kl_of(KL_F32, kl_shape(2), 1, 2)), *y = x;
    kl_scope_begin();
    for (int i = 0; i < DEEP; i++) {
        kl_tensor *next = kl_tensor_ref(kl_neg(y));
        kl_tensor_unref(y == x ? NULL : y);
        y = next;
        if (i % 1000 == 999) {
            kl_scope_end();
            kl_scope_begin();
        }
    }
    kl_scope_end();
    kl_backward(kl_sum(y));
    kl_tensor_unref(y);
    *(double *)answer = kl_item(kl_sum(kl_grad_of(x)));
    kl_scope_end();
    return NULL;
}

START_TEST(a_million_operations_on_a_small_stack)
{
    double answer = 0;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, deep_gradient, &answer), 0);
    pthread_join(thread, NULL);
    ck_assert(answer == 2);
}
END_TEST

/* ---- growth ---- */

static double rss_mb(void)
{
    long pages = 0, all = 0;
    FILE *f = fopen("/proc/self/statm", "re");
    if (f && fscanf(f, "%ld %ld", &all, &pages) != 2)
        pages = 0;
    if (f)
        fclose(f);
    return (double)pages * 4096 / 1e6;
}

/* Graphs that were never seen before, each compiled, run and dropped. */
static void distinct(int first, int n)
{
    for (int i = first; i < first + n; i++) {
        kl_scope_begin();
        kl_tensor *x = kl_arange(0, i + 1, 1, KL_F32);
        ck_assert(kl_item(kl_sum(kl_add(x, x))) == (double)i * (i + 1));
        kl_scope_end();
        if (i % 50 == 49) {
            kl_cache_clear();
            kl_modules_drop_unused();
            kl_store_forget(0);
        }
    }
}

START_TEST(sizes_share_a_program)
{
    int64_t programs = kl_counts.programs_compiled, served = kl_counts.program_sizes;
    for (int i = 20; i < 40; i++) {
        kl_scope_begin();
        kl_tensor *x = kl_arange(0, i + 1, 1, KL_F32);
        ck_assert(kl_item(kl_sum(kl_mul(x, x))) == i * (i + 1) * (2 * i + 1) / 6.0);
        kl_scope_end();
    }
    ck_assert_int_eq(kl_counts.programs_compiled, programs + (front_interp ? 20 : 2));
    ck_assert_int_eq(kl_counts.program_sizes, served + (front_interp ? 0 : 18));
    kl_cache_clear();
}
END_TEST

START_TEST(what_is_dropped_is_gone)
{
    kl_set_pinned_shapes(true);
    distinct(0, 100);
    size_t live = kl_alloc_live();
    double mb = rss_mb();
    int64_t programs = kl_counts.programs_compiled;
    distinct(100, 200);
    ck_assert_int_ge(kl_counts.programs_compiled, programs + 200);
    ck_assert_uint_le(kl_alloc_live(), live + 4096);
#if !defined __SANITIZE_ADDRESS__ && !defined __SANITIZE_THREAD__
    /* those keep freed memory, or notes of it */
    ck_assert_msg(rss_mb() < mb + 1, "%g MB, %g before", rss_mb(), mb);
#else
    (void)mb;
#endif
    kl_set_pinned_shapes(false);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("compile");
    TCase *tc = front_case(s, "all");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, code_generation_leaves_its_kernel_alone);
    tcase_add_test(tc, kernels_side_by_side);
    tcase_add_test(tc, kernels_of_one_object);
    tcase_add_test(tc, a_million_operations_on_a_small_stack);
    tcase_add_test(tc, sizes_share_a_program);
    tcase_add_test(tc, what_is_dropped_is_gone);
    return front_run(s);
}
