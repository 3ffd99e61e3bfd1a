/* test_buffer.c: strides of any sign, shapes that overflow, owners and their release;
 * modules built once; Philox's published vectors. */
#include "runtime/runtime.h"

#include <check.h>
#include <pthread.h>
#include <unistd.h>

START_TEST(test_owner)
{
    size_t before = kl_alloc_live();
    kl_memory *m = kl_memory_new(0, 100);
    ck_assert_ptr_eq(kl_memory_ref(m), m);
    kl_memory_unref(m);
    memset(m->base, 1, 100);
    kl_memory_unref(m);
    kl_memory_unref(NULL);
    ck_assert_ptr_null(kl_memory_ref(NULL));
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

static void note(void *user, void *base)
{
    *(void **)user = base;
}

START_TEST(test_wrapped)
{
    size_t before = kl_alloc_live();
    char bytes[16];
    void *released = NULL;
    kl_memory *m = kl_memory_wrap(bytes, sizeof bytes, true, note, &released);
    ck_assert(m->read_only && m->device == 0 && m->base == bytes);
    kl_memory_ref(m);
    kl_memory_unref(m);
    ck_assert_ptr_null(released);
    kl_memory_unref(m);
    ck_assert_ptr_eq(released, bytes);
    kl_memory_unref(kl_memory_wrap(bytes, sizeof bytes, false, NULL, NULL));
    kl_memory_unref(kl_memory_wrap(NULL, 0, false, NULL, NULL));
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

START_TEST(test_no_memory)
{
    size_t before = kl_alloc_live();
    for (int n = 0; n < 2; n++) {
        kl_error_clear();
        kl_alloc_fail_at(n);
        ck_assert_ptr_null(kl_memory_new(0, 64));
        ck_assert_int_eq(kl_error_status(), KL_ERR_OOM);
        ck_assert_uint_eq(kl_alloc_live(), before);
    }
    kl_error_clear();
    ck_assert_ptr_null(kl_memory_new(0, SIZE_MAX));
    ck_assert_str_eq(kl_error(), "out of memory: 18446744073709551615 bytes");
    kl_error_clear();
    ck_assert_ptr_null(kl_memory_new(1000, 16));
    ck_assert_int_eq(kl_error_status(), KL_ERR_DEVICE);
    ck_assert_uint_eq(kl_alloc_live(), before);
    kl_error_clear();
}
END_TEST

static const struct {
    int rank;
    int64_t shape[3];
    kl_dtype dt;
    int64_t count; /* -1: an error */
    const char *message;
} shapes[] = {
    {0, {0}, KL_F32, 1, NULL},
    {3, {2, 3, 4}, KL_F64, 24, NULL},
    {2, {0, 5}, KL_F32, 0, NULL},
    {2, {3, -1}, KL_F32, -1, "shape (3,-1): negative extent"},
    {2,
     {(int64_t)1 << 40, (int64_t)1 << 40},
     KL_U8,
     -1,
     "shape (1099511627776,1099511627776): too many elements for 64 bits"},
    {3,
     {0, (int64_t)1 << 40, (int64_t)1 << 40},
     KL_U8,
     -1,
     "shape (0,1099511627776,1099511627776): too many elements for 64 bits"},
    {1, {INT64_MAX - 1}, KL_U8, INT64_MAX - 1, NULL},
    {1,
     {INT64_MAX}, /* what sums and products that leave 64 bits end at */
     KL_U8,
     -1,
     "shape (9223372036854775807): too many elements for 64 bits"},
    {1,
     {INT64_MAX - 1},
     KL_U16,
     -1,
     "shape (9223372036854775806): too many bytes for 64 bits"},
    {-1, {0}, KL_U8, -1, "shape (): the rank is not 0 to 16"},
};

START_TEST(test_shapes)
{
    int64_t count = -1;
    kl_error_clear();
    kl_shape_count(shapes[_i].rank, shapes[_i].shape, shapes[_i].dt, &count);
    ck_assert_int_eq(count, shapes[_i].count);
    ck_assert_str_eq(kl_error(), shapes[_i].message ? shapes[_i].message : "");
    kl_error_clear();
}
END_TEST

START_TEST(test_dense)
{
    kl_buffer b = {.dtype = KL_F32, .rank = 3, .shape = {2, 3, 4}};
    int64_t lo, hi;
    kl_buffer_dense_strides(&b);
    ck_assert(b.stride[0] == 48 && b.stride[1] == 16 && b.stride[2] == 4);
    ck_assert(kl_buffer_is_dense(&b));
    kl_buffer_extent(&b, &lo, &hi);
    ck_assert(lo == 0 && hi == 96);
    b.stride[1] = -16;
    b.offset = 32;
    ck_assert(!kl_buffer_is_dense(&b));
    kl_buffer_extent(&b, &lo, &hi);
    ck_assert(lo == 0 && hi == 96);
    b.shape[0] = 1;
    b.stride[0] = 12345;
    b.stride[1] = 16;
    b.offset = 0;
    ck_assert(kl_buffer_is_dense(&b));
    b.shape[2] = 0;
    kl_buffer_extent(&b, &lo, &hi);
    ck_assert(lo == 0 && hi == 0);
    kl_buffer_dense_strides(&b);
    ck_assert_int_eq(b.stride[0], 12);
}
END_TEST

/* Copy [2,3,4] through every permutation, flip and size against plain indexing. */
static void copy_case(kl_dtype dt, const int *perm, int flips)
{
    const int64_t shape[3] = {2, 3, 4};
    int64_t size = kl_dtypes[dt].size;
    kl_buffer s, d, t;
    int64_t permuted[3] = {shape[perm[0]], shape[perm[1]], shape[perm[2]]};
    ck_assert_int_eq(kl_buffer_new(dt, 3, permuted, &s), KL_OK);
    ck_assert_int_eq(kl_buffer_new(dt, 3, shape, &d), KL_OK);
    for (int64_t i = 0; i < 24 * size; i++)
        kl_buffer_data(&s)[i] = (char)(i * 7 + 1);
    t = s;
    for (int i = 0; i < 3; i++) {
        t.shape[perm[i]] = s.shape[i];
        t.stride[perm[i]] = s.stride[i];
    }
    for (int i = 0; i < 3; i++)
        if (flips >> i & 1) {
            t.offset += (t.shape[i] - 1) * t.stride[i];
            t.stride[i] = -t.stride[i];
        }
    kl_buffer_copy(&d, &t);
    const char *base = s.mem->base, *got = d.mem->base;
    for (int64_t i = 0; i < 24; i++) {
        int64_t a = i / 12, b = i / 4 % 3, c = i % 4;
        const char *want =
            base + t.offset + a * t.stride[0] + b * t.stride[1] + c * t.stride[2];
        ck_assert(!memcmp(got + i * size, want, (size_t)size));
    }
    memset(s.mem->base, 0, (size_t)(24 * size));
    kl_buffer_copy(&t, &d); /* and back again */
    for (int64_t i = 0; i < 24 * size; i++)
        ck_assert_int_eq(((char *)s.mem->base)[i], (char)(i * 7 + 1));
    kl_memory_unref(s.mem);
    kl_memory_unref(d.mem);
}

START_TEST(test_copy)
{
    static const int perms[6][3] = {{0, 1, 2}, {0, 2, 1}, {1, 0, 2},
                                    {1, 2, 0}, {2, 0, 1}, {2, 1, 0}};
    for (int p = 0; p < 6; p++)
        for (int flips = 0; flips < 8; flips++)
            copy_case((kl_dtype)_i, perms[p], flips);
}
END_TEST

START_TEST(test_copy_edges)
{
    float value = 5, out[6] = {0};
    kl_buffer s = {.dtype = KL_F32, .rank = 2, .shape = {2, 3}};
    s.mem = kl_memory_wrap(&value, sizeof value, true, NULL, NULL); /* expanded */
    kl_buffer d = s;
    d.mem = kl_memory_wrap(out, sizeof out, false, NULL, NULL);
    kl_buffer_dense_strides(&d);
    kl_buffer_copy(&d, &s);
    for (int i = 0; i < 6; i++)
        ck_assert(out[i] == 5);
    value = 7;
    d.rank = s.rank = 0;
    kl_buffer_copy(&d, &s);
    ck_assert(out[0] == 7 && out[1] == 5);
    value = 9;
    d.rank = s.rank = 2;
    d.shape[1] = s.shape[1] = 0;
    kl_buffer_copy(&d, &s);
    ck_assert(out[0] == 7);
    kl_memory_unref(s.mem);
    kl_memory_unref(d.mem);
}
END_TEST

/* kat_vectors of the authors' Random123. */
START_TEST(test_philox)
{
    static const uint32_t rows[3][10] = {
        {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
        {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff,
         0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd},
        {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0,
         0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}};
    uint32_t out[4];
    kl_philox(rows[_i], rows[_i] + 4, out);
    ck_assert(!memcmp(out, rows[_i] + 6, sizeof out));
}
END_TEST

/* ---- modules ---- */

static int unloads, builds;
static void count_unload(kl_module *m)
{
    __atomic_add_fetch(&unloads, 1, __ATOMIC_RELAXED);
    kl_free(m, sizeof *m);
}
static const kl_device_ops fake_device = {.name = "fake", .unload = count_unload};

static kl_module *fake_module(void)
{
    kl_module *m = kl_alloc_zeroed(sizeof *m);
    m->refs = 1;
    m->ops = &fake_device;
    return m;
}

static void *ask(void *arg)
{
    const kl_hash key = {.lo = 7, .hi = (uintptr_t)arg};
    kl_module *m;
    bool mine;
    if (kl_modules_begin(key, 0, true, &m, &mine) != KL_OK)
        return "begin failed";
    if (mine) {
        int n = __atomic_fetch_add(&builds, 1, __ATOMIC_RELAXED);
        usleep(arg ? 0 : 1000);
        m = n < 3 ? NULL : fake_module(); /* the first builds fail */
        kl_modules_end(key, 0, m);
    } else if (!m) {
        return "neither a module nor mine";
    }
    kl_module_unref(m);
    return NULL;
}

START_TEST(test_module_once)
{
    size_t before = kl_alloc_live();
    pthread_t t[16];
    void *wrong;
    for (int i = 0; i < 16; i++)
        pthread_create(&t[i], NULL, ask, NULL);
    for (int i = 0; i < 16; i++) {
        pthread_join(t[i], &wrong);
        ck_assert_msg(!wrong, "%s", (char *)wrong);
    }
    ck_assert_int_eq(builds, 4);
    ck_assert_int_eq(unloads, 0);
    kl_modules_trim(0);
    ck_assert_int_eq(unloads, 1);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

START_TEST(test_module_bound)
{
    builds = 3;
    for (uintptr_t i = 0; i < 4100; i++)
        ck_assert_ptr_null(ask((void *)i));
    ck_assert_int_eq(unloads, 4);
    kl_module *m;
    bool mine;
    kl_hash last = {.lo = 7, .hi = 4099}, first = {.lo = 7, .hi = 0};
    ck_assert_int_eq(kl_modules_begin(last, 0, true, &m, &mine), KL_OK);
    ck_assert(m && !mine);
    kl_module_unref(m);
    ck_assert_int_eq(kl_modules_begin(first, 0, true, &m, &mine), KL_OK);
    ck_assert(!m && mine);
    kl_modules_end(first, 0, NULL);
    kl_modules_trim(0);
    ck_assert_int_eq(unloads, 4100);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("buffer");
    TCase *tc = tcase_create("buffer");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_owner);
    tcase_add_test(tc, test_wrapped);
    tcase_add_test(tc, test_no_memory);
    tcase_add_loop_test(tc, test_shapes, 0, KL_COUNT(shapes));
    tcase_add_test(tc, test_dense);
    tcase_add_loop_test(tc, test_copy, 0, KL_DTYPE_COUNT);
    tcase_add_test(tc, test_copy_edges);
    tcase_add_loop_test(tc, test_philox, 0, 3);
    tcase_add_test(tc, test_module_once);
    tcase_add_test(tc, test_module_bound);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
