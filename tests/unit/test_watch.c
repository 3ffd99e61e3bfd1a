/* test_watch.c: what a program can ask about itself: counters, caches that are given
 * back, threads, and whether compiling works here at all. */
#include "tests/unit/front_test.h"

static kl_tensor *step(kl_tensor *x, int i)
{
    kl_tensor *y = kl_tanh(kl_add(x, x));
    for (; i > 0; i--)
        y = i % 2 ? kl_exp(y) : kl_sin(y);
    return y;
}

START_TEST(counters_say_what_was_done)
{
    kl_tensor *x = kl_realize(kl_arange(0, 100, 1, KL_F32));
    kl_counters before = kl_stats();
    kl_realize(step(x, 0));
    kl_counters first = kl_stats();
    kl_realize(step(x, 0));
    kl_counters second = kl_stats();
    ck_assert_int_eq(first.programs_compiled - before.programs_compiled, 1);
    ck_assert_int_eq(first.kernels_launched - before.kernels_launched, !front_interp);
    ck_assert_int_eq(second.programs_compiled, first.programs_compiled);
    ck_assert_int_eq(second.kernels_compiled, first.kernels_compiled);
    ck_assert_int_eq(second.program_hits - first.program_hits, 1);
}
END_TEST

/* Programs that were run and dropped leave no code behind, however many there were. */
START_TEST(caches_are_given_back)
{
    kl_tensor *x = kl_realize(kl_arange(0, 100, 1, KL_F32));
    for (int i = 0; i < 20; i++) {
        kl_scope_begin();
        kl_realize(step(x, i));
        kl_scope_end();
    }
    int64_t full = kl_stats().code_bytes;
    ck_assert(front_interp || full > 0);
    ck_assert_int_eq(kl_cache_trim(full / 2), KL_OK);
    ck_assert_int_le(kl_stats().code_bytes, full / 2);
    ck_assert_int_eq(kl_cache_trim(0), KL_OK);
    ck_assert_int_eq(kl_stats().code_bytes, 0);
    int64_t made = kl_stats().programs_compiled;
    kl_realize(step(x, 3)); /* made again */
    ck_assert_int_eq(kl_stats().programs_compiled, made + 1);
    ck_assert_int_eq(kl_cache_trim(-1), KL_ERR_ARG);
    kl_error_clear();
}
END_TEST

/* Code that somebody still holds stays. */
static void twice(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], 2.0);
}

START_TEST(code_in_use_stays)
{
    kl_input in[] = {{NULL, KL_F32, kl_shape(4)}};
    float x[4] = {1, 2, 3, 4}, y[4];
    kl_function *f = kl_compile(twice, NULL, in, 1, 1);
    ck_assert_int_eq(kl_cache_trim(0), KL_OK);
    ck_assert_int_eq(kl_function_call(f, (const void *[]){x}, (void *[]){y}), KL_OK);
    ck_assert(y[3] == 8);
    kl_function_free(f);
    ck_assert_int_eq(kl_cache_trim(0), KL_OK);
    ck_assert_int_eq(kl_stats().code_bytes, 0);
}
END_TEST

START_TEST(selftest_compiles)
{
    int64_t made = kl_stats().kernels_compiled;
    for (int i = 1; i < 3; i++) { /* never from a cache */
        ck_assert_msg(kl_selftest() == KL_OK, "%s", kl_error());
        ck_assert_int_eq(kl_stats().kernels_compiled, made + i);
    }
}
END_TEST

START_TEST(threads_are_set)
{
    int n = kl_num_threads();
    ck_assert_int_ge(n, 1);
    kl_set_num_threads(3);
    ck_assert_int_eq(kl_num_threads(), 3);
    kl_set_num_threads(0);
    ck_assert_int_eq(kl_num_threads(), 1);
    kl_set_num_threads(n);
}
END_TEST

/* ---- what it will cost ---- */

static kl_tensor *two_layers(int n)
{
    kl_tensor *x = kl_realize(kl_ones(kl_shape(n, 64), KL_F32));
    kl_tensor *w = kl_realize(kl_ones(kl_shape(256, 64), KL_F32));
    kl_tensor *v = kl_realize(kl_ones(kl_shape(8, 256), KL_F32));
    return kl_linear(kl_relu(kl_linear(x, w, NULL)), v, NULL);
}

static void peak_is(kl_tensor *y, int threads)
{
    kl_cost c, after;
    kl_set_num_threads(threads);
    ck_assert_msg(kl_plan(&y, 1, &c) == KL_OK, "%s", kl_error());
    int64_t launched = kl_stats().kernels_launched;
    kl_counts.pool_peak = 0;
    kl_realize(y);
    ck_assert_int_eq(kl_stats().pool_peak, c.intermediates);
    ck_assert_int_eq(kl_stats().pool_bytes, 0);
    ck_assert_int_eq(kl_stats().kernels_launched - launched, c.launches);
    ck_assert_int_ge(c.results, kl_nbytes(y)); /* small values held are kept too */
    ck_assert_int_eq(kl_plan(&y, 1, &after), KL_OK);
    ck_assert(after.launches == 0 && after.results == 0);
}

/* To the byte, for plans of every kind and any number of threads. */
START_TEST(the_peak_is_known)
{
    int threads = kl_num_threads();
    if (front_interp)
        return;
    for (int t = 1; t < 4; t++) {
        peak_is(two_layers(100 + t), t);
        peak_is(kl_softmax(kl_randn(kl_shape(300 + t, 70), KL_F32), 1), t);
        peak_is(kl_cumsum(kl_sum(kl_randn(kl_shape(9 + t, 5000), KL_F64)), 0), t);
        peak_is(kl_sort(kl_randn(kl_shape(40 + t, 50), KL_F32), 1, false, NULL), t);
    }
    kl_set_num_threads(threads);
}
END_TEST

/* Planning leaves no trace: what runs afterwards is what was planned. */
START_TEST(planning_runs_nothing)
{
    if (front_interp)
        return;
    kl_tensor *x = kl_zeros(kl_shape(1000), KL_F32), *y = kl_exp(kl_add(x, 1.0));
    kl_cost c;
    kl_add_(x, 2.0);
    kl_counters before = kl_stats();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(kl_plan(&y, 1, &c), KL_OK);
    kl_counters after = kl_stats();
    ck_assert_int_eq(after.kernels_launched, before.kernels_launched);
    ck_assert_int_eq(after.programs_compiled, before.programs_compiled + 1);
    kl_realize(y);
    ck_assert_int_eq(kl_stats().programs_compiled, after.programs_compiled);
    ck_assert_int_eq(kl_stats().kernels_launched - after.kernels_launched, c.launches);
}
END_TEST

/* Met or refused, before anything runs; and refused calls leave everything as it was. */
START_TEST(a_limit_is_obeyed)
{
    if (front_interp)
        return;
    kl_tensor *y = two_layers(500);
    kl_cost c;
    ck_assert_int_eq(kl_plan(&y, 1, &c), KL_OK);
    int64_t need = c.intermediates + c.results, ran = kl_stats().kernels_launched;
    ck_assert_int_eq(kl_set_memory_limit(need - 1), KL_OK);
    ck_assert_ptr_null(kl_realize(y));
    ck_assert_int_eq(kl_error_status(), KL_ERR_OOM);
    ck_assert(strstr(kl_error(), "kl_set_memory_limit") != NULL);
    ck_assert_int_eq(kl_stats().kernels_launched, ran);
    kl_error_clear();
    ck_assert_int_eq(kl_plan(&y, 1, &c), KL_OK);
    kl_set_memory_limit(c.intermediates + c.results);
    ck_assert_ptr_nonnull(kl_realize(y));
    ck_assert(kl_item(kl_sum(y)) == 500.0 * 8 * 256 * 64);
    kl_set_memory_limit(0);
    ck_assert_int_eq(kl_set_memory_limit(-1), KL_ERR_ARG);
    kl_error_clear();
}
END_TEST

static void big(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    kl_tensor *h = kl_cumsum(in[0], 0);
    out[0] = kl_cumsum(kl_flip(h, kl_axes(0)), 0);
}

START_TEST(functions_are_refused_when_compiled)
{
    if (front_interp)
        return;
    kl_input in[] = {{NULL, KL_F32, kl_shape(100000)}};
    kl_cost c;
    kl_function *f = kl_compile(big, NULL, in, 1, 1);
    ck_assert_int_eq(kl_function_plan(f, &c), KL_OK);
    ck_assert_int_ge(c.intermediates, 400000);
    ck_assert_int_eq(c.inputs, 400000);
    kl_function_free(f);
    kl_set_memory_limit(c.intermediates - 1);
    FAILS(kl_compile(big, NULL, in, 1, 1), "kl_set_memory_limit is");
    kl_set_memory_limit(c.intermediates);
    f = kl_compile(big, NULL, in, 1, 1);
    ck_assert_ptr_nonnull(f);
    kl_function_free(f);
    kl_set_memory_limit(0);
}
END_TEST

/* Counted by hand: 100 x 64 times 64 x 256 and bias; each operand once. */
START_TEST(costs_are_counted)
{
    if (front_interp)
        return;
    kl_tensor *x = kl_realize(kl_ones(kl_shape(100, 64), KL_F32));
    kl_tensor *w = kl_realize(kl_ones(kl_shape(256, 64), KL_F32));
    kl_tensor *b = kl_realize(kl_ones(kl_shape(256), KL_F32));
    kl_tensor *y = kl_linear(x, w, b), *z = kl_mul(kl_add(b, 1.0), b);
    kl_cost c;
    ck_assert_int_eq(kl_plan(&y, 1, &c), KL_OK);
    ck_assert(c.flops == 100 * 256 * (2 * 64 + 1));
    ck_assert(c.bytes >= 4 * (100 * 64 + 256 * 64 + 256 + 100 * 256));
    ck_assert_int_eq(kl_plan(&z, 1, &c), KL_OK);
    ck_assert(c.flops == 2 * 256 && c.bytes == 2 * 4 * 256);
    char *text = kl_explain(&y, 1);
    ck_assert_msg(text != NULL, "%s", kl_error());
    ck_assert(strstr(text, "contract_add") && strstr(text, "test_watch.c:"));
    ck_assert(strstr(text, "together") && strstr(text, "flop/s"));
    free(text);
    kl_realize(y);
    text = kl_explain(&y, 1);
    ck_assert_str_eq(text, "nothing is left to compute\n");
    free(text);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("watch");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, counters_say_what_was_done);
    tcase_add_test(tc, caches_are_given_back);
    tcase_add_test(tc, code_in_use_stays);
    tcase_add_test(tc, selftest_compiles);
    tcase_add_test(tc, threads_are_set);
    tcase_add_test(tc, the_peak_is_known);
    tcase_add_test(tc, planning_runs_nothing);
    tcase_add_test(tc, a_limit_is_obeyed);
    tcase_add_test(tc, functions_are_refused_when_compiled);
    tcase_add_test(tc, costs_are_counted);
    return front_run(s);
}
