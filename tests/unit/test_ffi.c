/* test_ffi.c: calls and closures of every letter; a closure as a C library's callback;
 * the trace that the profiler writes. */
#include "runtime/runtime.h"

#include <cjson/cJSON.h>
#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

typedef void (*any_fn)(void);

static int32_t add_i(int32_t a, int64_t b)
{
    return a + (int32_t)b;
}
static int64_t mul_l(int64_t a, int64_t b)
{
    return a * b;
}
static float half_f(float a)
{
    return a / 2;
}
static double mix_d(double a, float b, int32_t c, int64_t d, const char *s)
{
    return a + b * 10 + c * 100 + (double)d * 1000 + (double)strlen(s) * 10000;
}
static const char *next_p(const char *s)
{
    return s + 1;
}
static void set_v(int32_t *p)
{
    *p = 77;
}
static double sum_many(double a, double b, double c, double d, double e, double f,
                       double g, double h, double i, double j)
{
    return a + 2 * b + 3 * c + 4 * d + 5 * e + 6 * f + 7 * g + 8 * h + 9 * i + 10 * j;
}

START_TEST(test_call)
{
    int32_t i = -5, got_i = 0, set = 0;
    int64_t l = 1000000007, got_l = 0;
    float f = 2.5f, got_f = 0;
    double d = 0.5, got_d = 0;
    const char *s = "abc", *got_p = NULL;
    kl_error_clear();
    kl_ffi_call((any_fn)add_i, "iil", &got_i, (void *[]){&i, &(int64_t){3}});
    ck_assert_int_eq(got_i, -2);
    kl_ffi_call((any_fn)mul_l, "l:ll", &got_l, (void *[]){&l, &l});
    ck_assert_int_eq(got_l, 1000000014000000049);
    kl_ffi_call((any_fn)half_f, "ff", &got_f, (void *[]){&f});
    ck_assert(got_f == 1.25f);
    kl_ffi_call((any_fn)mix_d, "ddfilp", &got_d,
                (void *[]){&d, &f, &(int32_t){3}, &(int64_t){4}, &s});
    ck_assert(got_d == 0.5 + 25 + 300 + 4000 + 30000);
    kl_ffi_call((any_fn)next_p, "pp", &got_p, (void *[]){&s});
    ck_assert_str_eq(got_p, "bc");
    int32_t *p = &set;
    kl_ffi_call((any_fn)set_v, "vp", NULL, (void *[]){&p});
    ck_assert_int_eq(set, 77);
    double x[10];
    void *args[10];
    for (int k = 0; k < 10; k++) {
        x[k] = k;
        args[k] = &x[k];
    }
    kl_ffi_call((any_fn)sum_many, "d:dddddddddd", &got_d, args);
    ck_assert(got_d == 330);
    ck_assert_str_eq(kl_error(), "");
}
END_TEST

static const struct {
    const char *signature, *message;
} bad[] = {
    {"", "signature \"\": the result is none of v i l f d p"},
    {"x", "signature \"x\": the result is none of v i l f d p"},
    {"iv", "signature \"iv\": an argument is none of i l f d p"},
    {"i:i:", "signature \"i:i:\": an argument is none of i l f d p"},
};

static void handler(void *user, void *result, void **args)
{
    (void)args;
    memcpy(result, user, sizeof(int32_t));
}

START_TEST(test_bad_signature)
{
    kl_closure *c = NULL;
    size_t before = kl_alloc_live();
    kl_error_clear();
    ck_assert_int_eq(kl_closure_new(bad[_i].signature, handler, NULL, &c), KL_ERR_ARG);
    ck_assert_str_eq(kl_error(), bad[_i].message);
    ck_assert_int_eq(kl_ffi_call((any_fn)set_v, bad[_i].signature, NULL, NULL),
                     KL_ERR_ARG);
    ck_assert_ptr_null(c);
    kl_closure_free(c);
    char many[80];
    memset(many, 'd', 66);
    many[66] = 0;
    kl_error_clear();
    ck_assert_int_eq(kl_ffi_call((any_fn)set_v, many, NULL, NULL), KL_ERR_ARG);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* A closure is qsort's comparison: it counts its calls through user. */
static void compare(void *user, void *result, void **args)
{
    const double *a = *(double **)args[0], *b = *(double **)args[1];
    ++*(int *)user;
    *(int32_t *)result = (*a > *b) - (*a < *b);
}

START_TEST(test_closure)
{
    size_t before = kl_alloc_live();
    double v[] = {3, -1, 2, 0, -7, 5};
    int calls = 0;
    kl_closure *c;
    ck_assert_int_eq(kl_closure_new("ipp", compare, &calls, &c), KL_OK);
    qsort(v, 6, sizeof *v, (int (*)(const void *, const void *))kl_closure_code(c));
    ck_assert_int_gt(calls, 5);
    for (int i = 1; i < 6; i++)
        ck_assert(v[i - 1] <= v[i]);
    kl_closure_free(c);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

static void square(void *user, void *result, void **args)
{
    double x = *(double *)args[0];
    *(double *)result = x * x + *(double *)user;
}

START_TEST(test_two_closures)
{
    kl_closure *a, *b;
    double one = 1, two = 2;
    ck_assert_int_eq(kl_closure_new("d:d", square, &one, &a), KL_OK);
    ck_assert_int_eq(kl_closure_new("d:d", square, &two, &b), KL_OK);
    ck_assert(((double (*)(double))kl_closure_code(a))(3) == 10);
    ck_assert(((double (*)(double))kl_closure_code(b))(3) == 11);
    kl_closure_free(a);
    kl_closure_free(b);
}
END_TEST

START_TEST(test_closure_no_memory)
{
    size_t before = kl_alloc_live();
    kl_closure *c = NULL;
    kl_error_clear();
    kl_alloc_fail_at(0);
    ck_assert_int_eq(kl_closure_new("ii", handler, NULL, &c), KL_ERR_OOM);
    kl_alloc_fail_at(-1);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* ---- profile ---- */

static void *record(void *arg)
{
    for (int i = 0; i < 2000; i++)
        kl_profile_event("kernel", "net.0 \"x\"\n", 1500, 3750, 4500, 9000);
    return arg;
}

static cJSON *trace(const char *path)
{
    void *bytes;
    size_t size;
    ck_assert_int_eq(kl_file_read(path, &bytes, &size), KL_OK);
    cJSON *json = cJSON_ParseWithLength(bytes, size);
    ck_assert_ptr_nonnull(json);
    kl_free(bytes, size);
    unlink(path);
    return json;
}

START_TEST(test_profile)
{
    char path[] = "/tmp/kiln-trace-XXXXXX";
    close(mkstemp(path));
    size_t before = kl_alloc_live();
    ck_assert(!kl_profile_on());
    kl_profile_event("pass", "not recorded", 0, 1, 0, 0);
    ck_assert_int_eq(kl_profile_end(), KL_OK);
    kl_profile_begin(path);
    ck_assert(kl_profile_on());
    pthread_t t[3];
    for (int i = 0; i < 3; i++)
        pthread_create(&t[i], NULL, record, NULL);
    for (int i = 0; i < 3; i++)
        pthread_join(t[i], NULL);
    ck_assert_int_eq(kl_profile_end(), KL_OK);
    ck_assert(!kl_profile_on());
    ck_assert_uint_eq(kl_alloc_live(), before);
    cJSON *json = trace(path), *events = cJSON_GetObjectItem(json, "traceEvents");
    ck_assert_int_eq(cJSON_GetArraySize(events), 6000);
    cJSON *e = events->child, *args = cJSON_GetObjectItem(e, "args");
    ck_assert_str_eq(cJSON_GetStringValue(cJSON_GetObjectItem(e, "name")),
                     "net.0 \"x\"\n");
    ck_assert(cJSON_GetObjectItem(e, "ts")->valuedouble == 1.5);
    ck_assert(cJSON_GetObjectItem(e, "dur")->valuedouble == 2.25);
    ck_assert(cJSON_GetObjectItem(args, "GB/s")->valuedouble == 2);
    ck_assert(cJSON_GetObjectItem(args, "GFLOP/s")->valuedouble == 4);
    cJSON_Delete(json);
    kl_profile_begin("/nowhere/trace.json");
    ck_assert_int_eq(kl_profile_end(), KL_ERR_IO);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ffi");
    TCase *tc = tcase_create("ffi");
    tcase_add_test(tc, test_call);
    tcase_add_loop_test(tc, test_bad_signature, 0, KL_COUNT(bad));
    tcase_add_test(tc, test_closure);
    tcase_add_test(tc, test_two_closures);
    tcase_add_test(tc, test_closure_no_memory);
    tcase_add_test(tc, test_profile);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
