/* test_kernel_text.c: the texts of loops and kernels: print and parse are inverse, what
 * is printed is what was written, and bad texts are refused with a line. */
#include "same_text.h"

#include <check.h>
#include <stdlib.h>

#include "passes/passes.h"

static kl_arena *a;

static void setup(void)
{
    kl_error_clear();
    a = kl_arena_new();
}

static void teardown(void)
{
    kl_arena_free(a);
}

typedef kl_status (*parse_fn)(kl_arena *, const char *, const char *, kl_kernel **);
typedef void (*print_fn)(const kl_kernel *, kl_text *);

/* Texts as kiln prints them. */
static const char *const loops[] = {
    "loops empty {\n}\n",
    "loops softmax for x86-64-v4 {\n"
    "  dim B 1..4096\n"
    "  in x: f32[64*B]\n"
    "  out y: f32[64*B]\n"
    "  phase r: B grain 16 group 1 lane 1 {\n"
    "    reg acc: f32 lanes 32\n"
    "    set acc = -inf\n"
    "    for c: 64 lane 32 {\n"
    "      set acc = max(acc, load x[r*64+c])\n"
    "    }\n"
    "    reg m: f32\n"
    "    fold m = max acc\n"
    "    set acc = -0.0\n"
    "    for c_1: 64 lane 32 {\n"
    "      let t0 = sub(load x[r*64+c_1], m)\n"
    "      set acc = add(acc, mul(t0, t0))\n"
    "    }\n"
    "    reg s: f32\n"
    "    fold s = add acc\n"
    "    for c_2: 64 lane 32 {\n"
    "      let t0 = r*64+c_2\n"
    "      store y[t0] = div(sub(load x[t0], m), s)\n"
    "    }\n"
    "  }\n"
    "}\n",
    "loops everything for sm_90a {\n"
    "  dim B 0..1024 % 8\n"
    "  in x: f16[2*B+1] low -3\n"
    "  in i: i64[B]\n"
    "  out y: f32[B] inplace x\n"
    "  temp w: f64[floor(B/8)]\n"
    "  tile t: u8[128]\n"
    "  tile l: i32[4] lane\n"
    "  phase a: B grain 1 group 4 lane 32 {\n"
    "    for g: 4 group {\n"
    "      reg v: f32[4,2] lanes 32\n"
    "      reg u: bool\n"
    "      set u = true\n"
    "      for c: dim(B) lane 32 {\n"
    "        for k: 4 unroll {\n"
    "          set v[k, 1] = f32((load x[c-3] if lt(c, 7) else 1.5_f16))\n"
    "          set v[k, 0] = where(u, (load y[a] if and(u, lt(k*(a+1), c-(g-1)))), nan)\n"
    "          let t0 = load i[a]\n"
    "          check index le(t0, 5) value t0 node 12\n"
    "        }\n"
    "        store l[c] = bits_i32(v[1, 0]) if not(u)\n"
    "        if lt(c, a) {\n"
    "          barrier\n"
    "        } else {\n"
    "          note \"nothing to do\"\n"
    "        }\n"
    "      }\n"
    "    }\n"
    "  }\n"
    "  phase b: floor(B/8) grain 4 group 1 lane 1 {\n"
    "    store w[b] = add(-0.1_f64, f64(bits_f32(2143289345_u32)))\n"
    "    store t[floordiv(b, 3)] = 255_u8\n"
    "    store w[mod(b, -9223372036854775808)] = where(lt(18446744073709551615_u64, "
    "0_u64), -inf_f64, 1e+300_f64)\n"
    "    check bounds true\n"
    "  }\n"
    "}\n",
};

static const char *const kernels[] = {
    "kernel softmax {\n"
    "  dim B 1..4096\n"
    "  in x: f32[64*B]\n"
    "  out y: f32[64*B]\n"
    "  part {\n"
    "    outer r: B\n"
    "    s0: f32 = reduce.max c: 64 of load x[r*64+c]\n"
    "    s1: f32 = reduce.add c2: 64 of exp(sub(load x[r*64+c2], s0))\n"
    "    map c3: 64\n"
    "      let t0 = r*64+c3\n"
    "      store y[t0] = div(exp(sub(load x[t0], s0)), s1)\n"
    "  }\n"
    "  schedule {\n"
    "    class row\n"
    "    bind r worker\n"
    "    lanes 32\n"
    "    split c3 16\n"
    "  }\n"
    "}\n",
    "kernel mixed for x86-64-v3 {\n"
    "  in a: f32[600]\n"
    "  in i: i64[20]\n"
    "  out y: f32[600]\n"
    "  out p: i64[600]\n"
    "  part {\n"
    "    outer m: 10, n: 20\n"
    "    s0: f32 = contract k: 3 of load a[m*3+k] times load a[n*3+k]\n"
    "      store y[m*20+n] = s0\n"
    "    s1: f32 = contract.dot f: 2 over k2: 3 of load a[m*3+k2] times load a[f*3+k2]\n"
    "    s2: f32 = map f2: 2 of neg(s1[f2])\n"
    "    s3: i64 = argmax k3: 3 of load a[k3]\n"
    "  }\n"
    "  part {\n"
    "    s0: f32 = prefix.add b: 10, t: 20 of load a[b*20+t]\n"
    "      store y[b*20+t] = s0[b, t]\n"
    "    scatter.set j: 20\n"
    "      let t0 = load i[j]\n"
    "      check index and(le(0, t0), lt(t0, 600)) value t0 node 3\n"
    "    scatter.add j2: 20\n"
    "      store y[j2] = load a[j2] if lt(j2, 7)\n"
    "    sort descending q: 600\n"
    "      store y[q] = load a[q]\n"
    "      store p[q] = q\n"
    "    s4: f32 = reduce.add w: 600\n"
    "      let t0 = load a[w]\n"
    "      of mul(t0, t0)\n"
    "  }\n"
    "  schedule {\n"
    "    class gemm\n"
    "    param mr 6\n"
    "    order n\n"
    "    unroll k 3\n"
    "    grain 4 part 1\n"
    "  }\n"
    "}\n",
    "kernel solve {\n  in a: f64[4]\n  out y: f64[4]\n  call \"lapack_inverse\"\n}\n",
};

static char *print(print_fn fn, const kl_kernel *k)
{
    kl_text t = {0};
    fn(k, &t);
    ck_assert(!t.failed);
    char *s = kl_arena_printf(a, "%s", t.s);
    kl_text_free(&t);
    return s;
}

static void round_trip(parse_fn parse, print_fn fn, const char *text)
{
    kl_kernel *k;
    ck_assert_msg(!parse(a, "t.kl", text, &k), "%s\n%s", kl_error(), text);
    char *got = print(fn, k), *want = kl_arena_strdup(a, text);
    words_only(got);
    words_only(want);
    ck_assert_msg(strcmp(got, want) == 0, "%.2000s\n%.2000s", got, want);
}

START_TEST(loops_round_trip)
{
    round_trip(kl_loops_parse, kl_loops_print, loops[_i]);
}
END_TEST

START_TEST(kernels_round_trip)
{
    kl_kernel *k;
    round_trip(kl_kernel_parse, kl_kernel_print, kernels[_i]);
    ck_assert_int_eq(kl_kernel_parse(a, "t.kl", kernels[_i], &k), KL_OK);
    ck_assert_msg(!kl_kernel_verify(k), "%s", kl_error());
}
END_TEST

static const struct {
    const char *text, *error;
} bad[] = {
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  set r = 1.0\n }\n}\n",
     "t.kl:3:7: nothing is called r"},
    {"loops a for vax {\n}\n", "no target"},
    {"loops a {\n in x: f32[4]\n in x: f32[4]\n}\n", "two operands are called x"},
    {"loops a {\n in x: c64[4]\n}\n", "expected a dtype"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  reg r: f32\n  set r = 1\n "
     "}\n}\n",
     "the register is f32, the value i64"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  reg r: f32\n  set r = add(1.0, "
     "2)\n }\n}\n",
     "add does not take f32, i64"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  reg r: f32\n  set r = 1.0 + "
     "2.0\n }\n}\n",
     "before + - * is f32"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  reg r: f32[2]\n  set r[1, 1] = "
     "1.0\n }\n}\n",
     "r has 1 dimensions, not 2"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  reg r: u8\n  set r = 256_u8\n "
     "}\n}\n",
     "does not fit u8"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  frobnicate\n }\n}\n",
     "expected a statement"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n", "expected a statement"},
    {"loops a {\n phase p: 4 grain 1 group 1 lane 1 {\n  for c: 8 lane {\n  }\n }\n}\n",
     "lanes of c"},
};

START_TEST(refuses)
{
    kl_kernel *k;
    ck_assert_int_eq(kl_loops_parse(a, "t.kl", bad[_i].text, &k), KL_ERR_PARSE);
    ck_assert_msg(strstr(kl_error(), bad[_i].error) != NULL, "\"%s\" lacks \"%s\"",
                  kl_error(), bad[_i].error);
}
END_TEST

/* Every prefix of a text is refused, none crashes. */
START_TEST(prefixes)
{
    const char *text = loops[2];
    for (size_t n = 0; n + 2 < strlen(text); n++) {
        char *s = strndup(text, n);
        kl_kernel *k;
        ck_assert_int_ne(kl_loops_parse(a, "t.kl", s, &k), KL_OK);
        free(s);
    }
}
END_TEST

/* Names that clash or cannot be read get others; a shared expression of any depth gets
 * lets. */
START_TEST(odd_names_and_depth)
{
    kl_kernel *k = kl_kernel_new(a, NULL, "conv 2d/bias");
    kl_exprs *x = k->x;
    kl_kernel_operand(k, &(kl_operand){.name = "layer/0 weight",
                                       .dtype = KL_F32,
                                       .role = KL_ROLE_IN,
                                       .count = 8});
    kl_kernel_operand(
        k, &(kl_operand){.name = "0", .dtype = KL_F32, .role = KL_ROLE_OUT, .count = 8});
    k->phases = kl_arena_zeroed(a, 1, sizeof *k->phases);
    k->nphases = 1;
    k->phases[0] = (kl_phase){
        .var = kl_x_newvar(x, "t1", 8), .workers = 8, .grain = 1, .group = 1, .lane = 1};
    kl_build b = {k, &k->phases[0].body};
    kl_x r = kl_b_reg(&b, "load", KL_F32, 1, 0, NULL),
         r2 = kl_b_reg(&b, "load", KL_F32, 1, 0, NULL);
    kl_x v = kl_x_load(x, 0, KL_F32, kl_x_var(x, 0), KL_NONE, KL_NONE);
    kl_b_set(&b, r, v);
    for (int i = 0; i < 20000; i++)
        v = kl_x_op(x, KL_OP_add, v, i % 3 ? v : r, KL_NONE);
    kl_b_set(&b, r2, v);
    kl_b_store(&b, 1, kl_x_var(x, 0), r2, KL_NONE);
    char *text = print(kl_loops_print, k);
    ck_assert_msg(strlen(text) < 20000 * 40, "%zu characters", strlen(text));
    ck_assert(strstr(text, "in layer_0_weight: f32[8]") &&
              strstr(text, "out _0: f32[8]"));
    round_trip(kl_loops_parse, kl_loops_print, text);
}
END_TEST

/* Kernels as the passes make them, with symbols and without, for the CPU and the GPU. */
static const char *const graphs[] = {
    "graph softmax(%x: f32[B,64]) {\n"
    "  dim B 1..4096\n"
    "  %1: f32[B] = reduce.max %x axes (1)\n  %2: f32[B,1] = reshape %1\n"
    "  %3: f32[B,64] = expand %2\n  %4: f32[B,64] = sub %x, %3\n  %5: f32[B,64] = exp "
    "%4\n"
    "  %6: f32[B] = reduce.add %5 axes (1)\n  %7: f32[B,1] = reshape %6\n"
    "  %8: f32[B,64] = expand %7\n  %9: f32[B,64] = div %5, %8\n  out %9\n}\n",
    "graph head(%x: f32[33,70], %w: f32[10,70], %b: f32[10]) {\n"
    "  %3: f32[33,10] = contract %x, %w \"bk,nk->bn\"\n  %4: f32[33,10] = expand %b\n"
    "  %5: f32[33,10] = add %3, %4\n  %6: i64[33] = argmax %5 axis 1\n  out %5, %6\n}\n",
    "graph take(%x: f16[9,20], %i: i64[7]) {\n"
    "  %2: f16[7,20] = gather %x, %i axis 0 batch 0\n  %3: f16[7,20] = tanh %2\n"
    "  %4: f16[7,20] = prefix.add %3 axis 1\n  out %4\n}\n",
};

static void same_again(const kl_kernel *k)
{
    round_trip(kl_kernel_parse, kl_kernel_print, print(kl_kernel_print, k));
    char *text = print(kl_loops_print, k);
    round_trip(kl_loops_parse, kl_loops_print, text);
    ck_assert_msg(!kl_kernel_verify(k) && !kl_loops_verify(k), "%s", kl_error());
    kl_kernel *again;
    ck_assert_int_eq(kl_loops_parse(a, "t.kl", text, &again), KL_OK);
    ck_assert_msg(!kl_loops_verify(again), "%s", kl_error());
}

START_TEST(real_kernels_round_trip)
{
    static const char *const targets[] = {"x86-64-v3", "x86-64-v4", "sm_90a"};
    for (size_t t = 0; t < KL_COUNT(targets); t++) {
        kl_unit u = {.arena = a, .target = kl_target_find(targets[t])};
        ck_assert_msg(!kl_graph_parse(a, "g.kl", graphs[_i], &u.graph), "%s", kl_error());
        ck_assert_msg(!kl_pipeline_run(&u, "inline", NULL), "%s", kl_error());
        for (int i = 0; i < u.nkernels; i++)
            same_again(u.kernels[i]);
        kl_program_unref(u.program);
    }
}
END_TEST

/* Well-formed texts that mean nothing: the verifiers' business. */
#define PHASE(body)                                                                      \
    "loops a {\n in x: f32[4]\n out y: f32[4]\n tile t: f32[4] lane\n phase p: 4 grain " \
    "1 group 1 lane 1 {\n" body "}\n}\n"
#define PART(body)                                                                       \
    "kernel a {\n in x: f32[4]\n out y: f32[4]\n part {\n outer r: 4\n" body "}\n}\n"
static const struct {
    bool kernel;
    const char *text, *error;
} wrong[] = {
    {false, PHASE("store x[0] = 1.0\n"), "to the input x"},
    {false, PHASE("store t[0] = 1.0\n"), "outside lane loops to lane tile t"},
    {false, PHASE("for i: 8 lane 8 { for j: 8 lane 8 { } }\n"), "lanes in lanes"},
    {false, PHASE("reg a: f32 lanes 8 set a = 0.0 store y[0] = a\n"),
     "lanes read outside a lane loop"},
    {false, PHASE("reg a: f32 for i: 8 lane 8 { set a = 0.0 }\n"),
     "lanes would race on register a"},
    {false, PHASE("reg a: f32[2] set a = 0.0\n"), "the indices of register a"},
    {false, PHASE("reg a: f32 reg b: f32 lanes 6 fold a = add b\n"), "no power of two"},
    {false, PHASE("reg a: f32[4] lanes 8 turn a\n"), "not square"},
    {false, PHASE("reg a: f32[6] lanes 6 turn a\n"), "no power of two"},
    {false, PHASE("reg a: f32[8] lanes 8 for i: 8 lane 8 { turn a }\n"),
     "inside a lane loop, or on a GPU: register a"},
    {false, PHASE("reg a: f32 reg b: f64 lanes 8 for i: 8 serial { fold a = add a }\n"),
     NULL},
    {true, PART("map c: 4\n store x[c] = 1.0\n"), "to an input"},
    {true, PART("map r: 4\n store y[r] = 1.0\n"), "walked twice"},
    {true, PART("s0: f32 = reduce.add c: 4 of load x[c] map d: 4 store y[c] = s0\n"),
     "an axis that it does not walk"},
    {true, PART("s0: f32 = reduce.add c: 4 of load x[c] times 1.0\n"),
     "only a contraction"},
    {true, PART("s0: f32 = argmax c: 4 of load x[c]\n"), "its value is an index"},
    {true, PART("s0: f32 = map c: 4 of load x[c] map store y[r] = s0\n"),
     "with other indices"},
    {true, PART("map store y[r] = 1\n"), "wrong dtype"},
};

START_TEST(verifies)
{
    kl_kernel *k;
    kl_status s = (wrong[_i].kernel ? kl_kernel_parse
                                    : kl_loops_parse)(a, "t.kl", wrong[_i].text, &k);
    ck_assert_msg(!s, "%s", kl_error());
    s = (wrong[_i].kernel ? kl_kernel_verify : kl_loops_verify)(k);
    ck_assert_int_eq(s, wrong[_i].error ? KL_ERR_INTERNAL : KL_OK);
    ck_assert_msg(!s || strstr(kl_error(), wrong[_i].error), "\"%s\" lacks \"%s\"",
                  kl_error(), wrong[_i].error);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("kernel_text");
    TCase *tc = tcase_create("kernel_text");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, loops_round_trip, 0, (int)KL_COUNT(loops));
    tcase_add_loop_test(tc, kernels_round_trip, 0, (int)KL_COUNT(kernels));
    tcase_add_loop_test(tc, real_kernels_round_trip, 0, (int)KL_COUNT(graphs));
    tcase_add_loop_test(tc, verifies, 0, (int)KL_COUNT(wrong));
    tcase_add_loop_test(tc, refuses, 0, (int)KL_COUNT(bad));
    tcase_add_test(tc, prefixes);
    tcase_add_test(tc, odd_names_and_depth);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
