/* front_test.h: what the tests of the frontend share: each test runs in a scope, without
 * an error at its end, and gives everything back. */
#ifndef FRONT_TEST_H
#define FRONT_TEST_H

#include "frontend/front.h"

#include <check.h>
#include <locale.h>

/* The text of a tensor is this. */
#define SHOWS(t, text)                                                                   \
    do {                                                                                 \
        char *got_ = kl_repr(t);                                                         \
        ck_assert_msg(got_ != NULL, "%s: %s", #t, kl_error());                           \
        ck_assert_str_eq(got_, text);                                                    \
        free(got_);                                                                      \
    } while (0)

/* The call fails, and says this. */
#define FAILS(call, text)                                                                \
    do {                                                                                 \
        bool was_ = !(call);                                                             \
        ck_assert_msg(was_ || kl_failed(), "%s did not fail", #call);                    \
        ck_assert_msg(strstr(kl_error(), text) != NULL, "%s: %s", #call, kl_error());    \
        ck_assert_msg(strstr(kl_error(), __FILE__) != NULL, "no place: %s", kl_error()); \
        kl_error_clear();                                                                \
    } while (0)

/* Every suite runs twice: compiled, and through the reference interpreter. */
static bool front_interp;

static void front_setup(void)
{
    kl_force_interp(front_interp);
    kl_error_clear();
    kl_scope_begin();
}

static void front_teardown(void)
{
    kl_scope_end();
    ck_assert_str_eq(kl_error(), "");
    kl_cleanup();
    ck_assert_int_eq(kl_lazy_live(), 0);
}

static inline int front_run(Suite *s)
{
    SRunner *sr = srunner_create(s);
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        front_interp = i;
        srunner_run_all(sr, CK_ENV);
        failed += srunner_ntests_failed(sr);
    }
    srunner_free(sr);
    return failed != 0;
}

static inline TCase *front_case(Suite *s, const char *name)
{
    TCase *tc = tcase_create(name);
    tcase_add_checked_fixture(tc, front_setup, front_teardown);
    tcase_set_timeout(tc, 300);
    suite_add_tcase(s, tc);
    return tc;
}

#endif
