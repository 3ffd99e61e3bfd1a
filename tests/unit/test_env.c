/* test_env.c: each KILN_* variable, its default, and what makes no sense. */
#include "runtime/runtime.h"

#include <check.h>
#include <stdlib.h>

/* Check forks for each test, so that each reads the environment anew. */
static const kl_env *with(const char *name, const char *value)
{
    static const char *const all[] = {
        "KILN_THREADS", "KILN_CACHE", "KILN_CACHE_MAX", "KILN_DEVICE",     "KILN_DUMP",
        "KILN_VERIFY",  "KILN_DEBUG", "KILN_PROFILE",   "KILN_NO_COMPILE", "KILN_TUNE"};
    for (size_t i = 0; i < KL_COUNT(all); i++)
        unsetenv(all[i]);
    if (name)
        setenv(name, value, 1);
    return kl_env_get();
}

START_TEST(test_defaults)
{
    const kl_env *e = with(NULL, NULL);
    ck_assert(e->threads == 0 && e->cache == NULL && e->cache_max == (int64_t)1 << 30);
    ck_assert(!e->device && !e->dump && e->verify == -1 && !e->profile &&
              e->tune_ms == 0);
    ck_assert(!e->debug && !e->bounds && !e->no_compile);
}
END_TEST

static const struct {
    const char *name, *value;
    int64_t threads, cache_max, verify, debug, bounds, no_compile, tune_ms;
} rows[] = {
    {"KILN_THREADS", "3", 3, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_THREADS", "0", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_THREADS", "2x", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_THREADS", "99999999999999999999", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_CACHE_MAX", "5000", 0, 5000, -1, 0, 0, 0, 0},
    {"KILN_CACHE_MAX", "-1", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_VERIFY", "2", 0, 1 << 30, 2, 0, 0, 0, 0},
    {"KILN_VERIFY", "3", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_DEBUG", "1", 0, 1 << 30, -1, 1, 0, 0, 0},
    {"KILN_DEBUG", "0", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_DEBUG", "bounds", 0, 1 << 30, -1, 0, 1, 0, 0},
    {"KILN_DEBUG", "1,bounds", 0, 1 << 30, -1, 1, 1, 0, 0},
    {"KILN_DEBUG", "bounds,1", 0, 1 << 30, -1, 1, 1, 0, 0},
    {"KILN_DEBUG", "bound", 0, 1 << 30, -1, 0, 0, 0, 0},
    {"KILN_NO_COMPILE", "1", 0, 1 << 30, -1, 0, 0, 1, 0},
    {"KILN_TUNE", "250", 0, 1 << 30, -1, 0, 0, 0, 250},
};

START_TEST(test_row)
{
    const kl_env *e = with(rows[_i].name, rows[_i].value);
    ck_assert_int_eq(e->threads, rows[_i].threads);
    ck_assert_int_eq(e->cache_max, rows[_i].cache_max);
    ck_assert_int_eq(e->verify, rows[_i].verify);
    ck_assert_int_eq(e->debug, rows[_i].debug);
    ck_assert_int_eq(e->bounds, rows[_i].bounds);
    ck_assert_int_eq(e->no_compile, rows[_i].no_compile);
    ck_assert_int_eq(e->tune_ms, rows[_i].tune_ms);
}
END_TEST

START_TEST(test_texts) /* copied: what the environment becomes later does not matter */
{
    setenv("KILN_CACHE", "", 1);
    setenv("KILN_DEVICE", "cuda:1", 1);
    setenv("KILN_DUMP", "fuse,lower", 1);
    setenv("KILN_PROFILE", "t.json", 1);
    const kl_env *e = kl_env_get();
    setenv("KILN_DEVICE", "cpu", 1);
    ck_assert_str_eq(e->cache, "");
    ck_assert_str_eq(e->device, "cuda:1");
    ck_assert_str_eq(e->dump, "fuse,lower");
    ck_assert_str_eq(e->profile, "t.json");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("env");
    TCase *tc = tcase_create("env");
    tcase_add_test(tc, test_defaults);
    tcase_add_loop_test(tc, test_row, 0, KL_COUNT(rows));
    tcase_add_test(tc, test_texts);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_set_fork_status(r, CK_FORK);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
