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

int main(void)
{
    Suite *s = suite_create("watch");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, counters_say_what_was_done);
    tcase_add_test(tc, caches_are_given_back);
    tcase_add_test(tc, code_in_use_stays);
    tcase_add_test(tc, selftest_compiles);
    tcase_add_test(tc, threads_are_set);
    return front_run(s);
}
