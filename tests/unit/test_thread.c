/* test_thread.c: every index once, by workers that exist; nested, concurrent and forked
 * calls; the caller's floating-point environment is its own. Run under TSan too. */
#include "runtime/runtime.h"

#include <check.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

/* The child of a fork starts threads here, which TSan by default takes for a mistake. */
KL_API const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "die_after_fork=0";
}

enum { N = 5000 };
typedef struct tally {
    uint8_t seen[N];
    int64_t grain, n;
    int threads, bad;
} tally;

static void count(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    tally *t = ctx;
    bool bad = begin < 0 || end > t->n || worker < 0 || worker >= t->threads;
    bad |= end - begin < t->grain && !(begin == 0 && end == t->n);
    if (bad)
        __atomic_add_fetch(&t->bad, 1, __ATOMIC_RELAXED);
    for (int64_t i = begin; i < end; i++)
        t->seen[i]++;
}

static bool run_tally(int threads, int64_t n, int64_t grain)
{
    tally *t = calloc(1, sizeof *t);
    t->threads = threads;
    t->n = n;
    t->grain = grain;
    kl_parallel_on(threads, n, grain, count, t);
    bool ok = !t->bad;
    for (int64_t i = 0; i < N; i++)
        ok &= t->seen[i] == (i < n);
    free(t);
    return ok;
}

START_TEST(test_every_index)
{
    static const int64_t sizes[] = {0, 1, 2, 3, 7, 64, 999, N};
    for (size_t i = 0; i < KL_COUNT(sizes); i++)
        for (int threads = 1; threads <= 9; threads += 2)
            for (int64_t grain = 0; grain <= 100; grain = grain * 7 + 1)
                ck_assert(run_tally(threads, sizes[i], grain));
}
END_TEST

START_TEST(test_many_jobs) /* spinning, sleeping and late workers */
{
    for (int i = 0; i < 3000; i++) {
        ck_assert(run_tally(2 + i % 3, 100, 1));
        if (i % 300 == 0)
            usleep(200);
    }
}
END_TEST

static void nest(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        if (!run_tally(4, 200, 1))
            __atomic_add_fetch((int *)ctx, 1, __ATOMIC_RELAXED);
}

START_TEST(test_nested)
{
    int bad = 0;
    kl_parallel_on(4, 64, 1, nest, &bad);
    ck_assert_int_eq(bad, 0);
}
END_TEST

static void *caller(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        if (!run_tally(3, 500, 5))
            return "an index was missed";
    return NULL;
}

START_TEST(test_concurrent)
{
    pthread_t t[8];
    void *wrong;
    for (int i = 0; i < 8; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, caller, NULL), 0);
    for (int i = 0; i < 8; i++) {
        pthread_join(t[i], &wrong);
        ck_assert_msg(!wrong, "%s", (char *)wrong);
    }
}
END_TEST

static bool say_stop(void *token)
{
    return token != NULL;
}

static void nap(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    (void)worker;
    usleep((unsigned)KL_MIN(end - begin, 1000));
    __atomic_add_fetch((int64_t *)ctx, end - begin, __ATOMIC_RELAXED);
}

START_TEST(test_given_up) /* a job's rest is left where the host wants no more */
{
    int token;
    kl_set_stop(say_stop);
    for (int threads = 1; threads <= 2; threads++) {
        for (int wanted = 0; wanted < 2; wanted++) {
            int64_t did = 0;
            kl_stop_watch before = kl_stop_begin(wanted ? NULL : &token);
            for (int i = 0; i < 20 && !kl_stopped(); i++)
                kl_parallel_on(threads, 1 << 20, 1, nap, &did);
            ck_assert_int_eq(kl_stopped(), !wanted);
            ck_assert_int_eq(did == 20 << 20, wanted);
            kl_stop_end(before);
            ck_assert(!kl_stopped());
        }
    }
    kl_set_stop(NULL);
}
END_TEST

START_TEST(test_fork)
{
    ck_assert(run_tally(4, N, 1));
    for (int i = 0; i < 5; i++) {
        pid_t child = fork();
        if (child == 0)
            _exit(run_tally(4, N, 1) && run_tally(2, N, 10) ? 0 : 1);
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    ck_assert(run_tally(4, N, 1));
}
END_TEST

static struct {
    int half, stop;
} state;

static void *half_done(void *unused) /* at a pause nothing is */
{
    kl_fork_enter();
    while (!__atomic_load_n(&state.stop, __ATOMIC_SEQ_CST)) {
        __atomic_store_n(&state.half, 1, __ATOMIC_SEQ_CST);
        usleep(2000);
        __atomic_store_n(&state.half, 0, __ATOMIC_SEQ_CST);
        kl_fork_pause();
    }
    kl_fork_leave();
    return unused;
}

START_TEST(test_fork_waits)
{
    pthread_t t;
    ck_assert_int_eq(pthread_create(&t, NULL, half_done, NULL), 0);
    while (!__atomic_load_n(&state.half, __ATOMIC_SEQ_CST))
        usleep(100);
    for (int i = 0; i < 20; i++) {
        pid_t child = fork();
        if (child == 0) {
            kl_fork_enter();
            _exit(state.half);
        }
        int status;
        ck_assert_int_eq(waitpid(child, &status, 0), child);
        ck_assert(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    }
    __atomic_store_n(&state.stop, 1, __ATOMIC_SEQ_CST);
    pthread_join(t, NULL);
}
END_TEST

/* The smallest denormal survives an addition unless it is flushed. */
static bool flushes(void)
{
    volatile float tiny = 0x1p-149f, zero = 0;
    return tiny + zero == 0;
}

static void look(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    (void)worker;
    for (int64_t i = begin; i < end; i++)
        if (flushes())
            __atomic_add_fetch((int *)ctx, 1, __ATOMIC_RELAXED);
    usleep(10);
}

START_TEST(test_fp_environment)
{
#if defined(__x86_64__)
    enum { FLUSH = 0x9FC0 }; /* flush to zero, denormals are zero */
    int flushed = 0;
    uint32_t old = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(FLUSH);
    ck_assert(flushes());
    kl_parallel_on(5, 100, 1, look, &flushed); /* threads made here inherit nothing */
    kl_parallel_on(1, 100, 1, look, &flushed);
    uint32_t after = __builtin_ia32_stmxcsr();
    __builtin_ia32_ldmxcsr(old);
    ck_assert_int_eq(flushed, 0);
    ck_assert_uint_eq(after & ~0x3Fu, FLUSH);
#else
    int flushed = 0;
    kl_parallel_on(5, 100, 1, look, &flushed);
    ck_assert_int_eq(flushed, 0);
#endif
}
END_TEST

START_TEST(test_setting)
{
    ck_assert_int_ge(kl_threads(), 1);
    kl_set_threads(3);
    ck_assert_int_eq(kl_threads(), 3);
    kl_set_threads(0);
    ck_assert_int_eq(kl_threads(), 1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("thread");
    TCase *tc = tcase_create("thread");
    tcase_set_timeout(tc, 60);
    tcase_add_test(tc, test_every_index);
    tcase_add_test(tc, test_many_jobs);
    tcase_add_test(tc, test_nested);
    tcase_add_test(tc, test_concurrent);
    tcase_add_test(tc, test_given_up);
    tcase_add_test(tc, test_fork);
    tcase_add_test(tc, test_fork_waits);
    tcase_add_test(tc, test_fp_environment);
    tcase_add_test(tc, test_setting);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
