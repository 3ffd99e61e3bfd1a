/* Graphs as text: what is printed reads back and prints the same; what is malformed is
 * refused in one line; a million nodes are as easy as ten. */
#include "ir/ir.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

/* Every row, in printed form. */
static const char all_rows[] =
    "graph test(%n: i64[], %x: f32[4]) {\n"
    "  %2: i64[] = const {10}\n"
    "  %3: bool[] = lt %n, %2\n"
    "  out %3\n"
    "}\n"
    "graph step(%n: i64[], %x: f32[4]) {\n"
    "  %2: i64[] = const {1}\n"
    "  %3: i64[] = add %n, %2\n"
    "  %4: f32[4] = neg %x\n"
    "  out %3, %4\n"
    "}\n"
    "graph yes(%0: f32[4]) {\n"
    "  out %0\n"
    "}\n"
    "graph no(%0: f32[4]) {\n"
    "  %1: f32[4] = exp %0\n"
    "  out %1\n"
    "}\n"
    "graph cell(%c: f32[], %x: f32[]) {\n"
    "  %2: f32[] = add %c, %x\n"
    "  out %2, %2\n"
    "}\n"
    "graph dcell(%c: f32[], %x: f32[]) {\n"
    "  out %c, %x\n"
    "}\n"
    "graph all(%x: f32[4], %y: f32[4], %m: f32[B,6], %w: f32[3,6], %i: i64[2], %u: "
    "u8[4], %k: i32[4],\n"
    "      %h: f32[8] strides [2*B+1], %z: c64[4]) {\n"
    "  dim B 1..4096 % 8\n"
    "  %9: f32[] = const {-0.0}\n"
    "  %10: f32[4] = const {1.5, -inf, nan, 1e-45}\n"
    "  %11: i64[3] = const {1, -2, 9223372036854775807}\n"
    "  %12: u64[] = const {18446744073709551615}\n"
    "  %13: bool[2] = const {true, false}\n"
    "  %14: c64[1] = const {1.0, -2.0}\n"
    "  %15: bf16[2] = const {0.1, 3.39e+38}\n"
    "  %16: f32[0] = const {}\n"
    "  %17: i64[4,B] = iota axis 1\n"
    "  %18: f32[4] = add %x, %y\n"
    "  %19: f32[4] = mul %18, %10\n"
    "  %20: bool[4] = lt %x, %y\n"
    "  %21: f32[4] = where %20, %x, %y\n"
    "  %22: f32[4] = fma %x, %y, %21\n"
    "  %23: c64[4] = complex %x, %y\n"
    "  %24: f32[4] = real %23\n"
    "  %25: f32[4] = imag %z\n"
    "  %26: f16[4] = cast %x\n"
    "  %27: i32[4] = bitcast %x\n"
    "  %28: f32[2*B,3] = reshape %m\n"
    "  %29: f32[6,B] = permute %m axes (1, 0)\n"
    "  %30: f32[B,4] = expand %x\n"
    "  %31: f32[B+1,12] = pad %m, %9 lo (0, 1) hi (1, 0) interior (0, 1)\n"
    "  %32: f32[B,2] = slice %m start (0, 1) step (1, 2)\n"
    "  %33: f32[B,6] = flip %m axes (0, 1)\n"
    "  %34: f32[12] = concat %x, %y, %x axis 0\n"
    "  %35: f32[B,2,3] = window %m (axis 1 size 3 stride 2 dilation 1)\n"
    "  %36: f32[B,6] = fold %35 (axis 1 size 3 stride 2 dilation 1)\n"
    "  %37: f32[2,2] = strided %x offset 3 strides (-2, -1)\n"
    "  %38: f32[4] = update %x, %37 offset 0 strides (2, 1)\n"
    "  %39: f32[6] = reduce.add %m axes (0)\n"
    "  %40: u8[] = reduce.xor %u axes (0)\n"
    "  %41: i64[B] = argmax %m axis 1\n"
    "  %42: i64[6] = argmin %m axis 0\n"
    "  %43: f32[4] = prefix.mul %x axis 0\n"
    "  %44: f32[B,3] = contract %m, %w \"ab,cb->ac\"\n"
    "  %45: f32[2] = gather %x, %i axis 0 batch 0\n"
    "  %46: f32[4] = scatter.set %x, %i, %45 axis 0 batch 0\n"
    "  %47: f32[4] = scatter.max %x, %i, %45 axis 0 batch 0\n"
    "  %48: f32[4] = sort %x axis 0 descending\n"
    "  %49: f32[4] = sort %x axis 0\n"
    "  %50: i64[4] = pick %48 result 1\n"
    "  %51: i64[] = const {0}\n"
    "  %52: i64[] = while %51, %x cond @test body @step\n"
    "  %53: f32[4] = pick %52 result 1\n"
    "  %54: bool[] = const {true}\n"
    "  %55: f32[4] = cond %54, %x then @yes else @no\n"
    "  %56: f32[4] = pick %55 result 0\n"
    "  %57: f32[] = scan %9, %x carries 1 body @cell\n"
    "  %58: f32[4] = pick %57 result 1\n"
    "  %59: f32[4] = call %x \"lapack_f\" results (f32[4], i64[B]) effects\n"
    "  %60: f32[4] = call %x \"g\" results (f32[4])\n"
    "  %61: f32[] = function %9, %9 @cell derivative @dcell\n"
    "  %62: f32[] = function %9, %9 @cell results 1\n"
    "  %63: f32[4] = grad %x, %y, %x\n"
    "  %64: f32[4] = jvp %x, %x, %y\n"
    "  %65: f32[4] = detach %x number 3\n"
    "  out %19 as y donates %x, %64, %x as again, %65\n"
    "}\n";

static kl_graph *parse(kl_arena *a, const char *text)
{
    kl_graph *g = NULL;
    kl_error_clear();
    ck_assert_msg(kl_graph_parse(a, "t.kl", text, &g) == KL_OK, "%s", kl_error());
    ck_assert_msg(kl_graph_verify(g) == KL_OK, "%s", kl_error());
    return g;
}

START_TEST(all_rows_come_back)
{
    kl_arena *a = kl_arena_new();
    kl_text t = {0};
    kl_graph *g = parse(a, all_rows);
    kl_graph_print(g, &t);
    for (size_t i = 0; i < sizeof all_rows - 1; i++)
        ck_assert_msg(t.s[i] == all_rows[i], "from here: %.200s", t.s + i);
    ck_assert_uint_eq(t.len, sizeof all_rows - 1);
    ck_assert_uint_eq(g->noutputs, 4);
    ck_assert_int_eq(g->donated[0], 1);
    bool seen[KL_OP_COUNT] = {false};
    for (kl_ref r = 0; r < g->count; r++)
        seen[g->nodes[r].op] = true;
    for (int op = 0; op < KL_OP_COUNT; op++)
        ck_assert_msg(seen[op] || kl_ops[op].kind == KL_KIND_ELT, "%s is not in the text",
                      kl_ops[op].name);
    kl_text_free(&t);
    kl_arena_free(a);
}
END_TEST

START_TEST(elementwise_rows_come_back)
{
    const kl_op_info *o = &kl_ops[_i];
    kl_arena *a = kl_arena_new();
    kl_text t = {0}, again = {0};
    if (o->kind == KL_KIND_ELT) {
        kl_graph *g = kl_graph_new(a, NULL, "one");
        kl_ref r[3], y;
        kl_dim n = 3;
        static const kl_dtype tries[] = {KL_F32, KL_I32, KL_C64, KL_U64};
        for (size_t k = 0; k < KL_COUNT(tries); k++) {
            for (int i = 0; i < 3; i++)
                r[i] = kl_graph_input(
                    g, NULL, i == 0 && o->rule == KL_RULE_COND ? KL_BOOL : tries[k], 1,
                    &n);
            y = kl_g_elt(g, (kl_op)_i, r[0], r[1], r[2]);
            if (y != KL_NONE)
                kl_graph_output(g, y, NULL);
        }
        ck_assert_uint_gt(g->noutputs, 0);
        kl_graph_print(g, &t);
        kl_graph_print(parse(a, t.s), &again);
        ck_assert_str_eq(t.s, again.s);
    }
    kl_text_free(&t);
    kl_text_free(&again);
    kl_arena_free(a);
}
END_TEST

/* Names that texts cannot say, and graphs that share one. */
START_TEST(odd_names)
{
    kl_arena *a = kl_arena_new();
    kl_text t = {0}, again = {0};
    kl_dims *d = kl_dims_new(a);
    kl_graph *g = kl_graph_new(a, d, "a graph"), *b[2];
    kl_ref x = kl_graph_input(g, "x", KL_F32, 0, NULL);
    kl_graph_input(g, "x", KL_F32, 0, NULL);
    kl_graph_input(g, "0.weight", KL_F32, 0, NULL);
    kl_graph_input(g, "layer.0.w", KL_F32, 0, NULL);
    for (int i = 0; i < 2; i++) {
        b[i] = kl_graph_new(a, d, "body");
        kl_ref y = kl_graph_input(b[i], "x", KL_F32, 0, NULL);
        kl_graph_output(
            b[i], kl_g_elt(b[i], i ? KL_OP_exp : KL_OP_neg, y, KL_NONE, KL_NONE), NULL);
        int64_t attr[] = {kl_graph_body(g, b[i]), 1, 0};
        kl_spec s = {
            .op = KL_OP_function, .src = &x, .nsrc = 1, .attr = attr, .nattr = 3};
        x = kl_g_pick(g, kl_graph_node(g, &s), 0);
    }
    g->nodes[x].name = kl_graph_string(g, "line\nbreak");
    g->nodes[x].place = kl_graph_string(g, "net.c:41");
    kl_graph_output(g, x, "not a name");
    kl_graph_print(g, &t);
    ck_assert_ptr_nonnull(strstr(t.s, "graph body_2("));
    ck_assert_ptr_nonnull(strstr(t.s, "= pick %6 result 0  # \"line?break\" net.c:41\n"));
    ck_assert_ptr_nonnull(strstr(t.s, "graph g_a_graph(%x: f32[], %1: f32[], %2: f32[], "
                                      "%layer.0.w: f32[])"));
    parse(a, t.s);
    kl_text_free(&t);
    kl_text_free(&again);
    kl_arena_free(a);
}
END_TEST

/* A node's place, that of a derivative's node too. */
START_TEST(places_come_back)
{
    static const char text[] = "graph g(%x: f32[4]) {\n"
                               "  %1: f32[4] = neg %x  # \"n\" net.c:41\n"
                               "  %2: f32[4] = exp %1  # net.py:4 block.0.conv (backward)\n"
                               "  %3: f32[4] = exp %2  # \"m\" net.c:42 (backward)\n"
                               "  out %3\n"
                               "}\n";
    kl_arena *a = kl_arena_new();
    kl_text t = {0};
    kl_graph_print(parse(a, text), &t);
    ck_assert_str_eq(t.s, text);
    kl_text_free(&t);
    kl_arena_free(a);
}
END_TEST

START_TEST(by_hand)
{
    kl_arena *a = kl_arena_new();
    kl_text t = {0};
    kl_graph *g = parse(a, "weights \"net.safetensors\"\n"
                           "graph g(%x: f32[1+4*B]) { dim B %8  # gaps and names\n"
                           "  %c: f32[] = const {2}  %e: f32[B*4+1] = expand %c\n"
                           "  %7: f32[4*B+1] = mul %e, %x  out %7 }");
    kl_graph_print(g, &t);
    ck_assert_str_eq(t.s, "weights \"net.safetensors\"\n"
                          "graph g(%x: f32[4*B+1]) {\n"
                          "  dim B 0..1099511627776 % 8\n"
                          "  %1: f32[] = const {2.0}  # \"c\"\n"
                          "  %2: f32[4*B+1] = expand %1  # \"e\"\n"
                          "  %3: f32[4*B+1] = mul %x, %2\n"
                          "  out %3\n"
                          "}\n");
    kl_text_free(&t);
    kl_arena_free(a);
}
END_TEST

/* ---- what is refused, and how ---- */

#define G "graph g(%x: f32[4], %m: f32[2,3]) {\n"
static const struct {
    const char *text, *error;
} bad[] = {
    {"", "t.kl:1:1: expected 'graph', found the end of the file"},
    {"graph", "t.kl:1:6: expected a name, found the end of the file"},
    {"graph g(", "t.kl:1:9: expected a reference like %2, found the end of the file"},
    {"graph g(%x: f33[4]) { out %x }", "t.kl:1:13: expected a dtype, found 'f33'"},
    {"graph g(%x: f32[4], %x: f32[4]) { out %x }", "t.kl:1:21: %x is there already"},
    {G "%2: f32[4] = neg %y\nout %2 }", "t.kl:2:18: there is no %y yet"},
    {G "%2: f32[4] = neg %2\nout %2 }", "t.kl:2:18: there is no %2 yet"},
    {G "%2: f32[5] = neg %x\nout %2 }", "t.kl:2: neg gives f32[4], not f32[5]"},
    {G "%2: f32[4] = add %x, %m\nout %2 }",
     "add: f32[4] and f32[2,3] do not match (t.kl:2)"},
    {G "%2: f32[4] = negate %x\nout %2 }", "t.kl:2:14: there is no operation negate"},
    {G "%2: f32[] = reduce %x axes (0)\nout %2 }",
     "t.kl:2:13: reduce needs a combining operation"},
    {G "%2: f32[4] = neg.add %x\nout %2 }",
     "t.kl:2:14: neg.add has no combining operation"},
    {G "%2: f32[] = reduce.plus %x axes (0)\nout %2 }",
     "t.kl:2:13: there is no operation plus to combine with"},
    {G "%2: f32[] = reduce.add %x axes (99)\nout %2 }", "t.kl:2:33: there is no axis 99"},
    {G "%2: f32[] = reduce.add %x axes 0\nout %2 }",
     "t.kl:2:32: expected '(', found '0'"},
    {G "%2: f32[2] = const {1.0}\nout %2 }",
     "t.kl:2:24: a constant has 1 elements instead of 2"},
    {G "%2: f32[99] = const {1,2,3,4,5,6,7,8,9,1,2,3,4,5,6,7,8}\nout %2 }",
     "t.kl:2:53: a constant holds at most 64 bytes"},
    {G "%2: i8[] = const {128}\nout %2 }", "t.kl:2:19: 128 is no i8"},
    {G "%2: u8[] = const {-1}\nout %2 }", "t.kl:2:20: -1 is no u8"},
    {G "%2: f32[] = const {x}\nout %2 }", "t.kl:2:20: expected a number, found 'x'"},
    {G "%2: f32[] = contract %x, %x \"a,a\"\nout %2 }",
     "contract: labels \"a,a\" are not like \"bk,nk->bn\" (t.kl:2)"},
    {G "%2: f32[] = contract %x, %x a\nout %2 }",
     "t.kl:2:29: expected labels like \"bk,nk->bn\", found 'a'"},
    {G "%2: f32[4] = sort %x axis 0\nout %2 }",
     "output 0: %2 is no single value: pick one (t.kl:3)"},
    {G "%2: f32[4] = function %x @f\nout %2 }",
     "t.kl:2:26: no graph before this one is called @f"},
    {G "%2: f32[4] = call %x results (f32[4])\nout %2 }",
     "t.kl:2:22: expected the called function's name in quotes, found 'results'"},
    {G "%2: f32[4] = neg %x,\nout %2 }",
     "t.kl:3:1: expected an operand after ',', found 'out'"},
    {G "%5000: f32[4] = neg %x\nout %5000 }",
     "t.kl:2:1: %5000 is far beyond the numbers used so far"},
    {G "%2: f32[4] = input\nout %2 }",
     "t.kl:2:14: inputs stand in the graph's first line"},
    {G "out %x donates %m }",
     "donation: output 0 is f32[4], input 1 is f32[2,3] (t.kl:2)"},
    {G "out %x } x", "t.kl:2:10: expected the end of the file, found 'x'"},
    {G "out %x } graph g() { out }", "t.kl:2:16: there is a graph g already"},
    {G "dim B 5..4\nout %x }", "t.kl:2:10: dim B has impossible bounds"},
    {"graph g(%x: f32[9223372036854775807,2]) { out %x }",
     "input: gives more bytes than 63 bits count (t.kl:1)"},
    {"graph g(%x: f32[-1]) { out %x }",
     "input: gives axis 0 an impossible extent (t.kl:1)"},
    {"graph g(%x: f32[1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1]) { out %x }",
     "t.kl:1:48: a type has more than 16 axes"},
    {G "%2: f32[4] = permute %x axes (1)\nout %2 }",
     "permute: f32[4] has no axis 1 (t.kl:2)"},
    {G "%2: f32[4] = flip %x axis 1\nout %2 }",
     "t.kl:2:22: expected 'axes', found 'axis'"},
};

START_TEST(refused)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g;
    kl_error_clear();
    ck_assert_int_ne(kl_graph_parse(a, "t.kl", bad[_i].text, &g), KL_OK);
    ck_assert_str_eq(kl_error(), bad[_i].error);
    ck_assert_ptr_null(g);
    kl_arena_free(a);
}
END_TEST

/* A text cut short, or with a byte changed: an error or a graph that verifies, never a
 * crash. */
static void try_text(const char *text)
{
    kl_arena *a = kl_arena_new();
    kl_graph *g;
    kl_error_clear();
    kl_status s = kl_graph_parse(a, "t.kl", text, &g);
    if (s == KL_OK)
        ck_assert_msg(kl_graph_verify(g) == KL_OK, "%s\n%s", kl_error(), text);
    else
        ck_assert_str_ne(kl_error(), "");
    kl_arena_free(a);
}

START_TEST(truncated)
{
    char text[sizeof all_rows];
    for (size_t n = (size_t)_i; n < sizeof all_rows; n += 16) {
        memcpy(text, all_rows, n);
        text[n] = 0;
        try_text(text);
    }
}
END_TEST

START_TEST(bytes_changed)
{
    static const char bytes[] = "%0@-(){}[]*,9 .\"#x";
    char text[sizeof all_rows];
    uint64_t seed = (uint64_t)_i + 1;
    for (int k = 0; k < 500; k++) {
        memcpy(text, all_rows, sizeof text);
        for (int j = 0; j <= k % 3; j++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            text[(seed >> 33) % (sizeof text - 1)] =
                bytes[(seed >> 20) % (sizeof bytes - 1)];
        }
        try_text(text);
    }
}
END_TEST

/* ---- size ---- */

static kl_ref same_node(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                        const kl_ref *src)
{
    (void)ctx;
    return kl_graph_copy_node(to, from, r, src);
}

static void *million(void *failed)
{
    enum { N = 1000000 };
    kl_arena *a = kl_arena_new();
    kl_graph *g = kl_graph_new(a, NULL, "deep"), *h = NULL;
    kl_dim n = 4;
    kl_text t = {0}, again = {0};
    kl_ref x = kl_graph_input(g, "x", KL_F32, 1, &n);
    for (int i = 0; i < N; i++)
        x = kl_g_elt(g, KL_OP_neg, x, KL_NONE, KL_NONE);
    kl_graph_output(g, x, NULL);
    kl_graph_print(g, &t);
    bool ok = kl_graph_parse(a, "deep", t.s, &h) == KL_OK &&
              kl_graph_verify(h) == KL_OK && kl_graph_compact(h, NULL) == KL_OK &&
              h->count == N + 1 && kl_graph_rewrite(&h, same_node, NULL) == KL_OK &&
              h->count == N + 1;
    if (ok)
        kl_graph_print(h, &again);
    *(bool *)failed = !ok || t.len != again.len || memcmp(t.s, again.s, t.len) != 0;
    kl_text_free(&t);
    kl_text_free(&again);
    kl_arena_free(a);
    return NULL;
}

START_TEST(a_million_nodes_on_a_small_stack)
{
    bool failed = true;
    pthread_t thread;
    pthread_attr_t attr;
    pthread_attr_init(&attr);
    ck_assert_int_eq(pthread_attr_setstacksize(&attr, 256 << 10), 0);
    ck_assert_int_eq(pthread_create(&thread, &attr, million, &failed), 0);
    pthread_join(thread, NULL);
    ck_assert(!failed);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("graph_text");
    TCase *tc = tcase_create("all");
    tcase_set_timeout(tc, 300);
    tcase_add_test(tc, all_rows_come_back);
    tcase_add_loop_test(tc, elementwise_rows_come_back, 0, KL_OP_COUNT);
    tcase_add_test(tc, odd_names);
    tcase_add_test(tc, places_come_back);
    tcase_add_test(tc, by_hand);
    tcase_add_loop_test(tc, refused, 0, (int)KL_COUNT(bad));
    tcase_add_loop_test(tc, truncated, 0, 16);
    tcase_add_loop_test(tc, bytes_changed, 0, 8);
    tcase_add_test(tc, a_million_nodes_on_a_small_stack);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
