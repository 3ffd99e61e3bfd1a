/* test_native.c: functions by name. */
#include "runtime/runtime.h"

#include <check.h>

static int one(void *user, int nin, const kl_buffer *in, int nout, const kl_buffer *out)
{
    (void)user, (void)nin, (void)in, (void)nout, (void)out;
    return 1;
}

static int two(void *user, int nin, const kl_buffer *in, int nout, const kl_buffer *out)
{
    return 2 * one(user, nin, in, nout, out);
}

START_TEST(by_name)
{
    int x, y;
    void *user;
    size_t before = kl_alloc_live();
    ck_assert(kl_native_find("a", &user) == NULL && user == NULL);
    ck_assert(kl_native_register("a", one, &x) == KL_OK);
    ck_assert(kl_native_register("b", two, &y) == KL_OK);
    ck_assert(kl_native_find("a", &user) == one && user == &x);
    ck_assert(kl_native_find("b", &user) == two && user == &y);
    ck_assert(kl_native_register("a", two, &y) == KL_OK);
    ck_assert(kl_native_find("a", &user) == two && user == &y);
    ck_assert(kl_native_register("a", NULL, NULL) == KL_OK);
    ck_assert(kl_native_find("a", &user) == NULL);
    ck_assert(kl_native_register("b", NULL, NULL) == KL_OK);
    ck_assert_uint_eq(kl_alloc_live(), before);
    ck_assert(kl_native_register("", one, NULL) == KL_ERR_ARG);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("native");
    TCase *tc = tcase_create("names");
    tcase_add_test(tc, by_name);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
