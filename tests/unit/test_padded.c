/* test_padded.c: results whose size the data decides, padded in a program: the first
 * *count of each are what is computed at once outside of one, in functions of any size.
 */
#include "front_test.h"

#include <unistd.h>

enum { MOST = 40, KINDS = 3 };

static uint32_t seed;
static uint32_t draw(uint32_t n)
{
    seed = seed * 1664525u + 1013904223u;
    return (uint32_t)(((uint64_t)seed * n) >> 32);
}

static int kind;

/* x f32 [n, 2], flag bool [2]; out: padded, count. */
static void traced(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kind == 0   ? kl_nonzero_padded(in[0], &out[1])
             : kind == 1 ? kl_masked_select_padded(in[0], in[1], &out[1])
                         : kl_unique_padded(in[0], &out[2], &out[3], &out[4], &out[1]);
    for (int i = 2; kind < 2 && i < 5; i++)
        out[i] = kl_mul(out[1], i);
}

static kl_function *compiled(void)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(KL_ANY(0), 2)},
                     {"flag", KL_BOOL, kl_shape(2)}};
    kl_dimension n = {.name = "n", .min = 1, .max = MOST};
    kl_function *f = kl_compile_sized(traced, NULL, in, 2, 5, &n, 1);
    ck_assert_msg(f != NULL, "%s", kl_error());
    return f;
}

/* The same eagerly; more: first places, inverse, counts. */
static kl_tensor *expected(kl_tensor *x, kl_tensor *flag, kl_tensor **more)
{
    if (kind == 0)
        return kl_nonzero(x);
    if (kind == 1)
        return kl_masked_select(
            x, kl_logical_and(kl_full(kl_shape_of(x), 1, KL_BOOL), flag));
    return kl_unique_at(KL_HERE, x, true, &more[0], &more[1]);
}

static void same_bytes(const char *what, const void *got, kl_tensor *want)
{
    ck_assert_msg(want != NULL, "%s: %s", what, kl_error());
    ck_assert_msg(memcmp(got, kl_data(want), (size_t)kl_nbytes(want)) == 0,
                  "%s of kind %d differs", what, kind);
}

START_TEST(the_first_are_what_is_meant)
{
    static char buf[4][MOST * 64];
    kind = _i;
    kl_function *f = compiled();
    for (int64_t n = 1; n <= MOST; n += n < 4 ? 1 : 9)
        for (int kinds = 1; kinds < 4; kinds++) {
            float x[MOST * 2];
            uint8_t flag[2] = {kinds != 2, kinds == 3};
            int64_t count = -1;
            for (int64_t i = 0; i < 2 * n; i++)
                x[i] = (float)draw(kinds == 1 ? 1 : 5) - (kinds == 2);
            ck_assert_msg(kl_function_call_sized(f, &n, (const void *[]){x, flag},
                                                 (void *[]){buf[0], &count, buf[1],
                                                            buf[2], buf[3]}) == KL_OK,
                          "%s", kl_error());
            kl_tensor *more[2] = {NULL};
            kl_tensor *t = kl_tensor_copy(x, KL_F32, kl_shape(n, 2));
            kl_tensor *y = expected(t, kl_tensor_copy(flag, KL_BOOL, kl_shape(2)), more);
            same_bytes("value", buf[0], y);
            ck_assert_int_eq(count, kl_extent(y, 0));
            if (kind < 2)
                continue;
            same_bytes("inverse", buf[2], more[0]);
            same_bytes("counts", buf[3], more[1]);
            for (int64_t i = 0; i < count; i++) /* the first of its value */
                for (int64_t k = 0; k <= ((int64_t *)(void *)buf[1])[i]; k++)
                    ck_assert((x[k] == ((float *)(void *)buf[0])[i]) ==
                              (k == ((int64_t *)(void *)buf[1])[i]));
        }
    kl_function_free(f);
}
END_TEST

START_TEST(what_follows_is_zero)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(5), 3, 0, 4, 0, 4), *n, *first;
    SHOWS(kl_nonzero_padded(x, &n), "tensor([[0],\n        [2],\n        [4],\n"
                                    "        [0],\n        [0]])");
    SHOWS(n, "tensor(3)");
    SHOWS(kl_masked_select_padded(x, kl_gt(x, 3), &n), "tensor([4., 4., 0., 0., 0.])");
    SHOWS(kl_unique_padded(x, &first, NULL, NULL, &n), "tensor([0., 3., 4., 0., 0.])");
    SHOWS(first, "tensor([1, 0, 2, 0, 0])");
    SHOWS(kl_nonzero_padded(kl_ones(kl_shape(), KL_F32), &n),
          "tensor([], size=(1, 0), dtype=torch.int64)");
    FAILS(kl_masked_select_padded(x, x, &n), "bool");
}
END_TEST

START_TEST(a_function_says_what_counts)
{
    kind = 0;
    kl_function *f = compiled();
    ck_assert_int_eq(kl_function_counts(f, 1, 0, 0), KL_OK);
    ck_assert_int_eq(kl_function_counts(f, 1, 0, 2), KL_ERR_SHAPE);
    kl_error_clear();
    ck_assert_int_eq(kl_function_counts(f, 0, 1, 0), KL_ERR_SHAPE);
    kl_error_clear();
    ck_assert_int_eq(kl_function_counts(f, 1, 9, 0), KL_ERR_ARG);
    kl_error_clear();
    ck_assert_int_eq(kl_function_counts(NULL, 1, 0, 0), KL_ERR_ARG);
    kl_error_clear();
    char path[64];
    kl_text text = {0};
    void *bytes;
    size_t size;
    snprintf(path, sizeof path, "/tmp/test_padded-%d.kl", (int)getpid());
    ck_assert_int_eq(kl_program_save(f, path), KL_OK);
    ck_assert_int_eq(kl_file_read(path, &bytes, &size), KL_OK);
    kl_text_putn(&text, bytes, size);
    ck_assert_ptr_nonnull(strstr(text.s, " counts 0 axis 0"));
    kl_text_free(&text);
    kl_free(bytes, size);
    kl_function_free(f);
    f = kl_program_load(path);
    ck_assert_msg(f != NULL, "%s", kl_error());
    kl_function_free(f);
    unlink(path);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("padded");
    TCase *tc = front_case(s, "padded");
    tcase_add_loop_test(tc, the_first_are_what_is_meant, 0, KINDS);
    tcase_add_test(tc, what_follows_is_zero);
    tcase_add_test(tc, a_function_says_what_counts);
    return front_run(s);
}
