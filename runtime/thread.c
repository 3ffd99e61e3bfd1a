/* thread.c: a small pool of ours.
 *
 * One job runs at a time: a range cut into chunks, handed out in order by an atomic
 * counter. The caller is worker 0 and works as the others do; a second caller meanwhile,
 * and a call from inside a job, run inline. Nobody waits for a thread that has not come
 * yet: workers enter through a gate, and when the chunks are gone the caller shuts it and
 * waits for those inside.
 *
 *     gate    closed,0 --caller--> OPEN,0 --worker--> OPEN,1 .. --caller--> closed,1 -->
 * closed,0 epoch   e                    e+1 (what idle workers watch: spinning, then
 * asleep on it)
 *
 * A job's fields are written while the gate is closed and empty, and read only inside.
 * Idle workers spin for about 30 us, so that launches in a row do not pay for waking
 * them. After fork the child has no workers: it forgets the pool and starts a new one at
 * first use. */
#include "runtime/runtime.h"

#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { THREADS_MAX = 1024, CHUNKS_A_THREAD = 4, SPIN_NS = 30000 };
enum { LONG_PART = 64, FINE_PARTS = 64 }; /* grains a part at least; parts a worker */
enum { STACK = 8 << 20 };          /* address space: workers run LLVM, too */
#define OPEN ((uint32_t)1 << 31)   /* the gate: workers may enter */
#define WAITED ((uint32_t)1 << 30) /* the caller sleeps until it is empty */

static struct {
    uint32_t busy;  /* 1: somebody has a job here */
    uint32_t gate;  /* OPEN, WAITED, and how many are inside */
    uint32_t epoch; /* + 1 a job */
    uint32_t asleep;
    int started; /* threads made; only who is busy looks */
    int wanted;  /* kl_set_threads; 0: not set */
    struct {
        kl_work_fn fn;
        void *ctx;
        int64_t n, chunks, next;
        int workers; /* the caller included */
    } job;
} pool;
static _Thread_local bool inside;

/* ---- the floating-point environment ---- */

#if defined(__x86_64__)
static uint32_t fp_get(void)
{
    return __builtin_ia32_stmxcsr();
}
static void fp_set(uint32_t v)
{
    __builtin_ia32_ldmxcsr(v);
}
enum { FP_DEFAULT = 0x1F80 };
#elif defined(__aarch64__)
static uint32_t fp_get(void)
{
    uint64_t v;
    __asm__ volatile("mrs %0, fpcr" : "=r"(v));
    return (uint32_t)v;
}
static void fp_set(uint32_t v)
{
    __asm__ volatile("msr fpcr, %0" ::"r"((uint64_t)v));
}
enum { FP_DEFAULT = 0 };
#else
#error "say here how this machine's floating-point control register is read and set"
#endif

uint32_t kl_fp_enter(void)
{
    uint32_t old = fp_get();
    if (old != FP_DEFAULT)
        fp_set(FP_DEFAULT);
    return old;
}

void kl_fp_leave(uint32_t old)
{
    if (old != FP_DEFAULT)
        fp_set(old);
}

/* ---- waiting ---- */

static void futex_wait(uint32_t *word, uint32_t value)
{
    syscall(SYS_futex, word, FUTEX_WAIT_PRIVATE, value, NULL, NULL, 0);
}

static void futex_wake(uint32_t *word, int n)
{
    syscall(SYS_futex, word, FUTEX_WAKE_PRIVATE, n, NULL, NULL, 0);
}

static uint32_t load(const uint32_t *p)
{
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);
}

static void pause_cpu(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#else
    __asm__ volatile("yield");
#endif
}

/* Spin a while until *word is value (equal) or no longer is; false if that did not come.
 */
static bool spin(const uint32_t *word, uint32_t value, bool equal)
{
    int64_t end = 0;
    for (int i = 0;; i++) {
        if ((load(word) == value) == equal)
            return true;
        if (i % 32 == 31) {
            int64_t now = kl_now_ns();
            if (!end)
                end = now + SPIN_NS;
            else if (now > end)
                return false;
        }
        pause_cpu();
    }
}

/* ---- work ---- */

static void work(int64_t worker)
{
    int64_t each = pool.job.n / pool.job.chunks, more = pool.job.n % pool.job.chunks;
    for (;;) {
        int64_t i = __atomic_fetch_add(&pool.job.next, 1, __ATOMIC_RELAXED);
        if (i >= pool.job.chunks)
            return;
        if (worker == 0 && kl_stopped()) { /* nobody finds a chunk any more */
            __atomic_store_n(&pool.job.next, pool.job.chunks, __ATOMIC_RELAXED);
            return;
        }
        int64_t begin = i * each + KL_MIN(i, more);
        pool.job.fn(pool.job.ctx, begin,
                    begin + each + (i < more) - KL_PLANTED(chunk_end), worker);
    }
}

static bool enter(void)
{
    uint32_t g = load(&pool.gate);
    while (g & OPEN)
        if (__atomic_compare_exchange_n(&pool.gate, &g, g + 1, true, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST))
            return true;
    return false;
}

static void leave(void)
{
    uint32_t g = __atomic_sub_fetch(&pool.gate, 1, __ATOMIC_SEQ_CST);
    if (g == WAITED)
        futex_wake(&pool.gate, 1);
}

static void *worker_main(void *arg)
{
    int64_t worker = (intptr_t)arg;
    uint32_t seen =
        load(&pool.epoch) - 1; /* the job that it was made for is open already */
    inside = true;
    for (;;) {
        if (!spin(&pool.epoch, seen, false)) {
            __atomic_add_fetch(&pool.asleep, 1, __ATOMIC_SEQ_CST);
            while (load(&pool.epoch) == seen)
                futex_wait(&pool.epoch, seen);
            __atomic_sub_fetch(&pool.asleep, 1, __ATOMIC_SEQ_CST);
        }
        seen = load(&pool.epoch);
        if (!enter())
            continue;
        if (worker < pool.job.workers) {
            kl_fp_enter();
            work(worker);
        }
        leave();
    }
    return NULL;
}

/* ---- the pool ---- */

static void forget_pool(void)
{
    pool.busy = pool.gate = pool.asleep = 0;
    pool.started = 0;
    inside = false;
}

static void at_fork(void)
{
    kl_at_fork(NULL, NULL, forget_pool);
}

static bool start_one(int worker)
{
    pthread_attr_t attr;
    pthread_t t;
    sigset_t all, old;
    if (pthread_attr_init(&attr) != 0)
        return false;
    pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    pthread_attr_setstacksize(&attr, STACK);
    sigfillset(&all); /* signals are the program's own threads' business */
    pthread_sigmask(SIG_BLOCK, &all, &old);
    bool ok = pthread_create(&t, &attr, worker_main, (void *)(intptr_t)worker) == 0;
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    pthread_attr_destroy(&attr);
    return ok;
}

/* Fewer threads than wanted are enough: the rest of the pool, or the caller, does the
 * work. */
static void start_workers(int workers)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, at_fork);
    while (pool.started < workers - 1 && start_one(pool.started + 1))
        pool.started++;
}

/* Shut the gate, then wait for those inside. */
static void finish(void)
{
    __atomic_and_fetch(&pool.gate, ~OPEN, __ATOMIC_SEQ_CST);
    if (spin(&pool.gate, 0, true))
        return;
    uint32_t g = load(&pool.gate);
    while (g != 0) {
        uint32_t waited = g | WAITED;
        if (__atomic_compare_exchange_n(&pool.gate, &g, waited, false, __ATOMIC_SEQ_CST,
                                        __ATOMIC_SEQ_CST)) {
            while ((g = load(&pool.gate)) != WAITED)
                futex_wait(&pool.gate, g);
            __atomic_store_n(&pool.gate, 0, __ATOMIC_SEQ_CST);
            return;
        }
    }
}

static void run_job(int64_t n, int64_t chunks, int workers, kl_work_fn fn, void *ctx)
{
    pool.job.fn = fn;
    pool.job.ctx = ctx;
    pool.job.n = n;
    pool.job.chunks = chunks;
    pool.job.next = 0;
    pool.job.workers = workers;
    __atomic_store_n(&pool.gate, OPEN, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&pool.epoch, 1, __ATOMIC_SEQ_CST);
    if (load(&pool.asleep))
        futex_wake(&pool.epoch, (int)KL_MIN(chunks, workers) - 1);
    start_workers(workers);
    inside = true;
    work(0);
    inside = false;
    finish();
}

/* Beyond so many grains a job is cut finer, so that it can be given up in its middle. */
static int64_t fine_parts(int64_t most, int workers)
{
    return kl_stop_watched() ? KL_MIN(most / LONG_PART, (int64_t)workers * FINE_PARTS) : 0;
}

static void run_alone(int64_t n, int64_t most, kl_work_fn fn, void *ctx)
{
    int64_t parts = inside ? 1 : KL_MAX(fine_parts(most, 1), 1);
    int64_t each = n / parts, more = n % parts, begin = 0;
    for (int64_t i = 0; i < parts && !(parts > 1 && kl_stopped()); i++) {
        int64_t end = begin + each + (i < more);
        fn(ctx, begin, end, 0);
        begin = end;
    }
}

void kl_parallel_on(int threads, int64_t n, int64_t grain, kl_work_fn fn, void *ctx)
{
    if (n <= 0)
        return;
    uint32_t fp = kl_fp_enter();
    int workers = KL_MIN(threads, THREADS_MAX);
    int64_t most = n / KL_MAX(grain, 1);
    int64_t chunks = KL_MAX(KL_MIN(most, (int64_t)workers * CHUNKS_A_THREAD),
                            fine_parts(most, workers));
    if (inside || workers < 2 || chunks < 2 ||
        __atomic_exchange_n(&pool.busy, 1, __ATOMIC_ACQUIRE)) {
        run_alone(n, most, fn, ctx);
    } else {
        run_job(n, chunks, (int)KL_MIN(workers, chunks), fn, ctx);
        __atomic_store_n(&pool.busy, 0, __ATOMIC_RELEASE);
    }
    kl_fp_leave(fp);
}

void kl_parallel_for(int64_t n, int64_t grain, kl_work_fn fn, void *ctx)
{
    kl_parallel_on(kl_threads(), n, grain, fn, ctx);
}

int kl_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    if (n < 1) /* more cores than a cpu_set_t holds */
        n = (int)sysconf(_SC_NPROCESSORS_ONLN);
    return KL_MIN(KL_MAX(n, 1), THREADS_MAX);
}

int kl_threads(void)
{
    int n = __atomic_load_n(&pool.wanted, __ATOMIC_RELAXED);
    if (n)
        return n;
    n = kl_env_get()->threads ? kl_env_get()->threads : kl_cores();
    int none = 0;
    __atomic_compare_exchange_n(&pool.wanted, &none, n, false, __ATOMIC_RELAXED,
                                __ATOMIC_RELAXED);
    return none ? none : n;
}

int kl_num_threads(void)
{
    return kl_threads();
}

void kl_set_num_threads(int n)
{
    kl_set_threads(n);
}

void kl_set_threads(int n)
{
    __atomic_store_n(&pool.wanted, KL_MIN(KL_MAX(n, 1), THREADS_MAX), __ATOMIC_RELAXED);
}
