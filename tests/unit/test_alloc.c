/* test_alloc.c: blocks are aligned, counted, zeroed and fail when told; an arena cuts,
 * grows and goes at once; the first message wins, on one line, per thread, without
 * memory. */
#include "runtime/runtime.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>

static bool all(const unsigned char *p, unsigned char value, size_t n)
{
    while (n > 0 && p[n - 1] == value)
        n--;
    return n == 0;
}

START_TEST(test_blocks)
{
    static const size_t sizes[] = {
        0, 1, 63, 64, 65, 4097, 100000, (2 << 20) - 1, (2 << 20), (5 << 20) + 3};
    size_t size = sizes[_i], before = kl_alloc_live();
    unsigned char *p = kl_alloc_zeroed(size);
    ck_assert_ptr_nonnull(p);
    ck_assert_uint_eq((uintptr_t)p % 64, 0);
    if (size >= 2 << 20)
        ck_assert_uint_eq((uintptr_t)p % (2 << 20), 0);
    ck_assert(all(p, 0, size));
    memset(p, 0xA5, size);
    ck_assert_uint_ge(kl_alloc_live(), before + size);
    p = kl_realloc(p, size, 2 * size + 5);
    ck_assert(all(p, 0xA5, size));
    p = kl_realloc(p, 2 * size + 5, size / 2);
    ck_assert(all(p, 0xA5, size / 2));
    kl_free(p, size / 2);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* Of a size that is asked for again only one is mapped; what must be zero is; threads
 * share them; none is left after a trim (ASan and the bounds of a process would show it).
 */
static void *take_and_free(void *wrong)
{
    for (int i = 0; i < 2000; i++) {
        size_t size = ((size_t)2 + (size_t)i % 5) << 20;
        unsigned char *p = i % 3 ? kl_alloc(size) : kl_alloc_zeroed(size);
        if (!p || (i % 3 == 0 && (p[0] || p[size / 2] || p[size - 1])))
            return wrong;
        p[0] = p[size / 2] = p[size - 1] = 7;
        kl_free(p, size);
        if (i % 100 == 0)
            kl_alloc_trim();
    }
    return NULL;
}

START_TEST(test_kept)
{
    pthread_t t[3];
    size_t before = kl_alloc_live();
    for (int i = 0; i < 3; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, take_and_free, "lost or not zero"),
                         0);
    for (int i = 0; i < 3; i++) {
        void *wrong;
        pthread_join(t[i], &wrong);
        ck_assert_msg(!wrong, "%s", (char *)wrong);
    }
    kl_alloc_trim();
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

START_TEST(test_peak)
{
    size_t before = kl_alloc_live();
    kl_alloc_peak_reset();
    void *p = kl_alloc(1000), *q = kl_alloc(3 << 20);
    kl_free(q, 3 << 20);
    kl_free(p, 1000);
    kl_free(NULL, 12);
    ck_assert_uint_eq(kl_alloc_peak(), before + 1000 + (3 << 20));
    kl_alloc_peak_reset();
    ck_assert_uint_eq(kl_alloc_peak(), before);
}
END_TEST

START_TEST(test_impossible)
{
    ck_assert_ptr_null(kl_alloc(SIZE_MAX));
    ck_assert_ptr_null(kl_alloc((size_t)1 << 62));
    kl_arena *a = kl_arena_new();
    ck_assert_ptr_null(kl_arena_zeroed(a, SIZE_MAX / 2, 3));
    ck_assert(kl_arena_failed(a));
    ck_assert_ptr_null(kl_arena_alloc(a, SIZE_MAX));
    ck_assert_ptr_nonnull(kl_arena_alloc(a, 8));
    kl_arena_free(a);
    kl_arena_free(NULL);
    int64_t v;
    ck_assert(kl_mul_overflow(INT64_MAX, 2, &v) && kl_add_overflow(INT64_MIN, -1, &v));
    ck_assert(!kl_mul_overflow(-3, 5, &v) && v == -15);
    ck_assert(!kl_add_overflow(-3, 5, &v) && v == 2);
}
END_TEST

/* A hook that counts what it is told and must be told the truth. */
typedef struct ledger {
    size_t live, calls;
} ledger;
static void *ledger_hook(void *user, void *old, size_t old_size, size_t new_size)
{
    ledger *l = user;
    void *p = NULL;
    l->calls++;
    l->live += new_size - old_size;
    if (old && *(size_t *)((char *)old - 64) != old_size)
        abort();
    if (new_size) {
        char *raw = aligned_alloc(64, (new_size + 191) / 64 * 64);
        *(size_t *)raw = new_size;
        p = raw + 64;
        if (old)
            memcpy(p, old, old_size < new_size ? old_size : new_size);
    }
    if (old)
        free((char *)old - 64);
    return p;
}

START_TEST(test_hook)
{
    ledger l = {0};
    kl_set_allocator(ledger_hook, &l);
    char *p = kl_alloc(100);
    p = kl_realloc(p, 100, 3 << 20);
    char *z = kl_alloc_zeroed(4 << 20);
    ck_assert_int_eq(z[(4 << 20) - 1], 0);
    ck_assert_uint_eq(l.live, 7 << 20);
    kl_free(p, 3 << 20);
    kl_free(z, 4 << 20);
    kl_set_allocator(NULL, NULL);
    ck_assert_uint_eq(l.live, 0);
    ck_assert_uint_eq(l.calls, 5);
}
END_TEST

START_TEST(test_fail_at)
{
    size_t before = kl_alloc_live();
    kl_alloc_fail_at(1);
    void *p = kl_alloc(8);
    ck_assert_ptr_nonnull(p);
    ck_assert_ptr_null(kl_alloc(8));
    void *q = kl_alloc(8);
    ck_assert_ptr_nonnull(q);
    kl_free(p, 8);
    kl_free(q, 8);
    kl_alloc_fail_at(0);
    ck_assert_ptr_null(kl_alloc_zeroed(8));
    kl_alloc_fail_at(-1);
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

/* What a compile does, in little; false when memory ended. */
static bool scenario(void)
{
    kl_arena *a = kl_arena_new();
    if (!a)
        return false;
    uint32_t *items = NULL, cap = 0;
    bool ok = true;
    for (uint32_t i = 0; ok && i < 20000; i++) {
        ok = kl_arena_grow(a, &items, &cap, i + 1, sizeof *items) == KL_OK;
        if (ok)
            items[i] = i;
        if (i % 1000 == 0)
            ok = ok && kl_arena_strdup(a, "between") != NULL;
    }
    uint32_t right = 0;
    while (ok && right < 20000 && items[right] == right)
        right++;
    ck_assert(!ok || right == 20000);
    char *s = ok ? kl_arena_printf(a, "%s-%d", "kernel", 12) : NULL;
    ok = s && kl_arena_zeroed(a, 3, 1 << 20);
    if (ok)
        ck_assert_str_eq(s, "kernel-12");
    kl_arena_free(a);
    return ok;
}

START_TEST(test_arena_faults)
{
    size_t before = kl_alloc_live();
    for (int n = 0;; n++) {
        kl_alloc_fail_at(n);
        bool ok = scenario();
        kl_alloc_fail_at(-1);
        ck_assert_uint_eq(kl_alloc_live(), before);
        kl_error_clear();
        if (ok) {
            ck_assert_int_gt(n, 5);
            break;
        }
    }
}
END_TEST

START_TEST(test_first_message)
{
    kl_error_clear();
    ck_assert_str_eq(kl_error(), "");
    kl_fail_more(" ignored");
    ck_assert(!kl_failed());
    kl_place_set("net.c:41");
    kl_alloc_fail_at(0);
    ck_assert_int_eq(kl_fail(KL_ERR_SHAPE, "add: (%d) and\n(%d)", 3, 4), KL_ERR_SHAPE);
    kl_alloc_fail_at(-1);
    kl_place_set(NULL);
    ck_assert_int_eq(kl_fail(KL_ERR_OOM, "later"), KL_ERR_OOM);
    ck_assert_str_eq(kl_error(), "add: (3) and (4) (at net.c:41)");
    kl_fail_more(" in %s", "f");
    ck_assert_str_eq(kl_error(), "add: (3) and (4) (at net.c:41) in f");
    ck_assert_int_eq(kl_error_status(), KL_ERR_SHAPE);
    kl_error_clear();
    ck_assert_int_eq(kl_error_status(), KL_OK);
    for (int s = 0; s < KL_STATUS_COUNT; s++)
        ck_assert_str_ne(kl_status_name((kl_status)s), "unknown status");
}
END_TEST

START_TEST(test_long_message)
{
    char text[3000];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    for (int at = 1018; at < 1024; at++) { /* a two-byte character on the edge */
        kl_error_clear();
        memcpy(text + at, "\303\251", 2);
        kl_fail(KL_ERR_ARG, "%s", text);
        size_t n = strlen(kl_error());
        ck_assert_uint_ge(n, 1021);
        ck_assert_uint_lt(n, 1024);
        ck_assert_int_ne((unsigned char)kl_error()[n - 1], 0303);
        kl_fail_more("%s", text);
        memcpy(text + at, "xx", 2);
    }
    kl_error_clear();
}
END_TEST

static void *other_thread(void *p)
{
    (void)p;
    if (kl_failed())
        return "saw another thread's failure";
    kl_fail(KL_ERR_IO, "mine");
    kl_fail_log("a log that the thread's end frees");
    return strcmp(kl_error(), "mine") ? "lost its message" : NULL;
}

START_TEST(test_threads_and_log)
{
    size_t before = kl_alloc_live();
    kl_fail(KL_ERR_COMPILE, "llvm");
    kl_fail_log("line 1\nline 2");
    kl_fail_log("another");
    pthread_t t;
    void *wrong;
    pthread_create(&t, NULL, other_thread, NULL);
    pthread_join(t, &wrong);
    ck_assert_msg(!wrong, "%s", (char *)wrong);
    ck_assert_str_eq(kl_error(), "llvm");
    ck_assert_str_eq(kl_error_log(), "line 1\nline 2");
    kl_error_clear();
    ck_assert_str_eq(kl_error_log(), "");
    ck_assert_uint_eq(kl_alloc_live(), before);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("alloc");
    TCase *tc = tcase_create("alloc");
    tcase_add_loop_test(tc, test_blocks, 0, 10);
    tcase_add_test(tc, test_kept);
    tcase_add_test(tc, test_peak);
    tcase_add_test(tc, test_impossible);
    tcase_add_test(tc, test_hook);
    tcase_add_test(tc, test_fail_at);
    tcase_add_test(tc, test_arena_faults);
    tcase_add_test(tc, test_first_message);
    tcase_add_test(tc, test_long_message);
    tcase_add_test(tc, test_threads_and_log);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
