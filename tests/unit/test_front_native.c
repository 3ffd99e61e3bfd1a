/* test_front_native.c: a user's C function as an operation: values, derivatives, in a
 * saved program, and what is refused. */
#include "tests/unit/front_test.h"

#include <unistd.h>

static int cube(const float *x, float *y, const int64_t *const *shapes)
{
    for (int64_t i = 0; i < shapes[0][0] * shapes[0][1]; i++)
        y[i] = x[i] * x[i] * x[i];
    return 0;
}

static int cube_back(const float *x, const float *y, const float *dy, float *dx,
                     const int64_t *const *shapes)
{
    (void)y;
    for (int64_t i = 0; i < shapes[2][0] * shapes[2][1]; i++)
        dx[i] = 3 * x[i] * x[i] * dy[i];
    return 0;
}

static int refuses(const float *x, float *y, const int64_t *const *shapes)
{
    (void)shapes;
    y[0] = x[0];
    return 7;
}

static void names(void)
{
    kl_native("cube", (kl_c_function)cube);
    kl_native("cube_back", (kl_c_function)cube_back);
    kl_native("refuses", (kl_c_function)refuses);
}

static kl_tensor *cubed(kl_tensor *t, const char *back)
{
    return kl_call_native("cube", back, &t, 1, KL_F32, kl_shape(2, 2));
}

START_TEST(values_and_gradients)
{
    names();
    kl_scope_begin();
    kl_tensor *x = kl_requires_grad_(kl_of(KL_F32, kl_shape(2, 2), 1, 2, -3, 0.5)), *g;
    kl_tensor *y = kl_sum(kl_mul(cubed(kl_mul(x, 2.0), "cube_back"), 0.5));
    ck_assert_int_eq(kl_grad(y, &x, 1, &g), KL_OK);
    ck_assert(kl_item(y) == 4 + 32 - 108 + 0.5);
    static const double want[] = {12, 48, 108, 3};
    for (int i = 0; i < 4; i++)
        ck_assert(kl_item(kl_select(kl_reshape(g, kl_shape(4)), 0, i)) == want[i]);
    kl_scope_end();
}
END_TEST

static void twice(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_add(cubed(in[0], "cube_back"), cubed(kl_neg(in[0]), NULL));
    out[1] = cubed(cubed(in[0], "cube_back"), "cube_back");
}

START_TEST(saved)
{
    names();
    static const float x[4] = {1, 2, -1, 0.5f};
    float y[4], z[4];
    char path[64];
    kl_input in[] = {{"x", KL_F32, kl_shape(2, 2)}};
    kl_function *f = kl_compile(twice, NULL, in, 1, 2), *g;
    snprintf(path, sizeof path, "test_front_native_%d.kl", (int)getpid());
    ck_assert_msg(f && kl_program_save(f, path) == KL_OK, "%s", kl_error());
    g = kl_program_load(path);
    ck_assert_msg(g != NULL, "%s", kl_error());
    ck_assert_int_eq(kl_function_call(g, (const void *[]){x}, (void *[]){y, z}), KL_OK);
    for (int i = 0; i < 4; i++)
        ck_assert(y[i] == 0);
    ck_assert(z[1] == 512 && z[2] == -1);
    kl_function_free(f);
    kl_function_free(g);
    unlink(path);
}
END_TEST

static void refused(kl_status want, const char *part)
{
    ck_assert_int_eq(kl_error_status(), want);
    ck_assert_msg(strstr(kl_error(), part) != NULL, "%s", kl_error());
    kl_error_clear();
}

START_TEST(refusals)
{
    names();
    kl_scope_begin();
    kl_tensor *x = kl_requires_grad_(kl_ones(kl_shape(2, 2), KL_F32)), *g = NULL;
    ck_assert_ptr_null(kl_call_native("nobody", NULL, &x, 1, KL_F32, kl_shape(1)));
    refused(KL_ERR_ARG, "no function is named nobody");
    ck_assert_ptr_null(kl_call_native("cube", "nobody", &x, 1, KL_F32, kl_shape(1)));
    refused(KL_ERR_ARG, "no function is named nobody");
    ck_assert_ptr_null(kl_call_native("cube", NULL, &g, 1, KL_F32, kl_shape(1)));
    refused(KL_ERR_ARG, "input 0 of cube is NULL");
    ck_assert_ptr_null(kl_call_native("cube", NULL, &x, 0, KL_F32, kl_shape(1)));
    refused(KL_ERR_ARG, "0 inputs");
    kl_item(kl_call_native("refuses", NULL, &x, 1, KL_F32, kl_shape()));
    refused(KL_ERR_ARG, "returned 7");
    kl_tensor *y = kl_sum(cubed(x, NULL));
    if (kl_grad(y, &x, 1, &g) == KL_OK)
        kl_item(kl_sum(g));
    refused(KL_ERR_UNSUPPORTED, "has no derivative");
    kl_scope_end();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("front_native");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, values_and_gradients);
    tcase_add_test(tc, saved);
    tcase_add_test(tc, refusals);
    return front_run(s);
}
