/* test_random.c: random tensors. The numbers of an element are Philox's (runtime/philox.c
 * has the reference's own vectors) at its index, under the seed and the number of the
 * call; so each draw differs from the last, and a seed brings all of them back. */
#include "front_test.h"

#include <math.h>

enum { N = 4000 };

static void copy(kl_tensor *t, size_t bytes, void *to)
{
    const void *p = kl_data(t);
    ck_assert_msg(p != NULL, "%s", kl_error());
    memcpy(to, p, bytes);
    kl_data_done(t);
}

START_TEST(test_is_philox)
{
    float got[N];
    uint64_t seed = UINT64_C(0x123456789abcdef0);
    kl_manual_seed(seed);
    for (uint32_t call = 0; call < 3; call++) {
        copy(kl_rand(kl_shape(N), KL_F32), sizeof got, got);
        for (uint32_t i = 0; i < N; i += 37) {
            uint32_t key[2] = {(uint32_t)seed, (uint32_t)(seed >> 32)}, word[4];
            kl_philox((uint32_t[]){i, 0, call, 0}, key, word);
            ck_assert_msg(got[i] == (float)(word[0] >> 8) * 0x1p-24f, "call %u, %u: %a",
                          call, i, (double)got[i]);
        }
    }
}
END_TEST

/* Draws one after the other, lazily or not, and again after the seed. */
START_TEST(test_each_draw)
{
    double a[2][N], b[2][N];
    for (int again = 0; again < 2; again++) {
        kl_manual_seed(7);
        kl_tensor *x = kl_randn(kl_shape(N), KL_F64), *y = kl_randn(kl_shape(N), KL_F64);
        copy(y, sizeof *b, b[again]);
        copy(x, sizeof *a, a[again]);
    }
    ck_assert_mem_eq(a[0], a[1], sizeof *a);
    ck_assert_mem_eq(b[0], b[1], sizeof *b);
    for (int i = 0; i < N; i++)
        ck_assert(a[0][i] != b[0][i]);
    kl_manual_seed(8);
    copy(kl_randn(kl_shape(N), KL_F64), sizeof *b, b[1]);
    for (int i = 0; i < N; i++)
        ck_assert(a[0][i] != b[1][i]);
}
END_TEST

/* Mean and variance within five of their standard errors; every value in its range. */
static void moments(kl_tensor *t, double mean, double var, double lo, double hi)
{
    double v[N], m = 0, s = 0;
    copy(kl_to(t, KL_F64), sizeof v, v);
    for (int i = 0; i < N; i++) {
        ck_assert_msg(v[i] >= lo && v[i] < hi, "%g of [%g, %g)", v[i], lo, hi);
        m += v[i] / N;
    }
    for (int i = 0; i < N; i++)
        s += (v[i] - m) * (v[i] - m) / N;
    ck_assert_msg(m > mean - 5 * sqrt(var / N) && m < mean + 5 * sqrt(var / N),
                  "the mean is %g", m);
    ck_assert_msg(s > var * (1 - 10 / sqrt(N)) && s < var * (1 + 10 / sqrt(N)),
                  "the variance is %g", s);
}

START_TEST(test_moments)
{
    static const kl_dtype floats[] = {KL_F32, KL_F64, KL_F16, KL_BF16};
    kl_manual_seed(3);
    for (size_t i = 0; i < KL_COUNT(floats); i++) {
        moments(kl_rand(kl_shape(N), floats[i]), 0.5, 1.0 / 12, 0, 1);
        moments(kl_randn(kl_shape(N), floats[i]), 0, 1, -7, 7);
    }
    moments(kl_uniform(kl_shape(N), KL_F32, -3, 5), 1, 64.0 / 12, -3, 5);
    moments(kl_randint(-4, 6, kl_shape(N), KL_I32), 0.5, 99.0 / 12, -4, 6);
    moments(kl_bernoulli(kl_full(kl_shape(N), 0.3, KL_F32)), 0.3, 0.21, 0, 1.5);
}
END_TEST

START_TEST(test_permutation)
{
    int64_t v[N];
    bool seen[N] = {false};
    int kept = 0;
    kl_manual_seed(11);
    copy(kl_randperm(N), sizeof v, v);
    for (int i = 0; i < N; i++) {
        ck_assert(v[i] >= 0 && v[i] < N && !seen[v[i]]);
        seen[v[i]] = true;
        kept += v[i] == i;
    }
    ck_assert_int_lt(kept, 10);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("random");
    TCase *tc = tcase_create("random");
    tcase_add_checked_fixture(tc, front_setup, front_teardown);
    tcase_add_test(tc, test_is_philox);
    tcase_add_test(tc, test_each_draw);
    tcase_add_test(tc, test_moments);
    tcase_add_test(tc, test_permutation);
    suite_add_tcase(s, tc);
    return front_run(s);
}
