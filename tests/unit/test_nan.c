/* test_nan.c: the check that names the operation which made a NaN, forward or backward,
 * and leaves everything as it was. */
#include "tests/unit/front_test.h"

static bool was;

static void on(void)
{
    was = kl_set_nan_check(true);
}

static void off(void)
{
    kl_set_nan_check(was);
}

START_TEST(the_first_is_named)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(4), 2, 1, 0.5, 3);
    kl_tensor *y = kl_sub(x, 1.0);
    char place[40];
    snprintf(place, sizeof place, "test_nan.c:%d: log", __LINE__ + 1);
    kl_tensor *z = kl_exp(kl_mul(kl_log(y), 2.0)); /* log(-0.5) */
    ck_assert_ptr_null(kl_realize(z));
    ck_assert_int_eq(kl_error_status(), KL_ERR_STATE);
    ck_assert_msg(strstr(kl_error(), "log made a NaN: element 2 of f32[4], of -0.5"),
                  "%s", kl_error());
    ck_assert(strstr(kl_error(), place));
    kl_error_clear();
    SHOWS(y, "tensor([ 1.0000,  0.0000, -0.5000,  2.0000])"); /* without NaN: computed */
    kl_set_nan_check(false);
    SHOWS(z, "tensor([1., 0., nan, 4.])");
}
END_TEST

/* The derivative of sqrt at 0 weighed by 0: its rule divides 0 by 0. */
START_TEST(backward_is_named)
{
    kl_tensor *x = kl_requires_grad_(kl_of(KL_F64, kl_shape(2), 0, 4));
    char text[80];
    snprintf(text, sizeof text, "test_nan.c:%d (backward): div made a NaN", __LINE__ + 1);
    kl_tensor *s = kl_sqrt(x);
    kl_tensor *loss = kl_sum(kl_mul(s, 0.0));
    ck_assert_int_eq(kl_backward(loss), KL_OK);
    ck_assert_ptr_null(kl_realize(kl_grad_of(x)));
    ck_assert_msg(strstr(kl_error(), text) != NULL, "%s", kl_error());
    kl_error_clear();
    ck_assert(kl_item(kl_sum(s)) == 2);
}
END_TEST

/* Not every infinity, nor a NaN that came from outside or is chosen away. */
START_TEST(others_pass)
{
    kl_tensor *x = kl_realize(kl_of(KL_F32, kl_shape(3), 0, NAN, 4));
    SHOWS(kl_mul(x, 2.0), "tensor([0., nan, 8.])");
    kl_tensor *y = kl_of(KL_F32, kl_shape(3), 0, -1, 4);
    SHOWS(kl_div(1.0, y), "tensor([    inf, -1.0000,  0.2500])");
    kl_tensor *w =
        kl_sub(kl_arange(0, 40, 1, KL_F32), 4.0); /* no value of a tensor held */
    kl_tensor *r = kl_where(kl_lt(w, 0.0), 0.0, kl_sqrt(w));
    ck_assert(kl_item(kl_select(r, 0, 8)) == 2);
    SHOWS(kl_softmax(kl_of(KL_F16, kl_shape(2), 1, -INFINITY), 0),
          "tensor([1., 0.], dtype=torch.float16)");
}
END_TEST

START_TEST(every_dtype)
{
    static const kl_dtype dts[] = {KL_F16, KL_BF16, KL_F32, KL_F64};
    for (int i = 0; i < 4; i++) {
        kl_tensor *x = kl_zeros(kl_shape(40), dts[i]);
        FAILS(kl_realize(kl_div(x, x)), "div made a NaN: element 0 of ");
        FAILS(kl_realize(kl_sum(kl_sub(kl_add(x, INFINITY), INFINITY))),
              "sub made a NaN");
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("nan");
    TCase *tc = front_case(s, "all");
    tcase_add_checked_fixture(tc, on, off);
    tcase_add_test(tc, the_first_is_named);
    tcase_add_test(tc, backward_is_named);
    tcase_add_test(tc, others_pass);
    tcase_add_test(tc, every_dtype);
    return front_run(s);
}
