/* test_cuda.c: CUDA where there is no CUDA: no device, one clear sentence that says why,
 * and nothing that crashes. (With a driver, tests/cuda is the test.) */
#include "runtime.h"

#include <check.h>
#include <stdlib.h>

START_TEST(test_absent)
{
    const kl_device_ops *ops;
    void *p;
    int index;
    if (kl_device_cuda.count() > 0)
        return;
    ck_assert_int_eq(kl_device_get(1, &ops, &index), KL_ERR_DEVICE);
    ck_assert_msg(strstr(kl_error(), "no device cuda:0 here: ") != NULL, "%s",
                  kl_error());
    ck_assert(strstr(kl_error(), kl_cuda_why()) && strlen(kl_cuda_why()) > 10);
    kl_error_clear();
    ck_assert_int_eq(kl_device_cuda.alloc(0, 16, &p), KL_ERR_DEVICE);
    ck_assert(p == NULL && strstr(kl_error(), "cuda:0: ") != NULL);
    kl_device_cuda.free(0, NULL, 16);
    kl_cuda_close();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cuda");
    TCase *tc = tcase_create("cuda");
    tcase_add_test(tc, test_absent);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
