/* native.c: what the machine can do, in plain C with the compiler's vector types and no
 * intrinsics: the bandwidth of a triad (ordinary and streaming stores), and the rate of
 * fused multiply-adds with 8 to 24 independent accumulators in registers.
 *
 *   triad    a[i] = b[i] + s * c[i]    12 bytes an element, 50M of them
 *   fma512   acc[j] = acc[j] * x + y   for j < 8, 10, .. 24, sixteen f32 wide
 *
 * Built with -ffp-contract=fast (meson.build), unlike all of kiln: here speed is the
 * result. */
#include "bench.h"

#include <pthread.h>

#if defined(__x86_64__)
#include <immintrin.h>
typedef float wide256 __attribute__((vector_size(32)));
typedef float wide512 __attribute__((vector_size(64)));
#endif

enum { TRIAD = 50000000, STEPS = 200000 };

typedef struct job {
    void (*fn)(struct job *j);
    int part, parts, repeats;
    float *a, *b, *c;
    float sink;
} job;

/* ---- threads: all start together, the slowest counts ---- */

static pthread_barrier_t start;

static void *thread_main(void *arg)
{
    job *j = arg;
    pthread_barrier_wait(&start);
    for (int i = 0; i < j->repeats; i++)
        j->fn(j);
    pthread_barrier_wait(&start);
    return NULL;
}

static double run_threads(job *jobs, int n)
{
    pthread_t t[64];
    pthread_barrier_init(&start, NULL, (unsigned)n);
    for (int i = 1; i < n; i++)
        pthread_create(&t[i], NULL, thread_main, &jobs[i]);
    pthread_barrier_wait(&start);
    double begin = bench_now();
    for (int i = 0; i < jobs[0].repeats; i++)
        jobs[0].fn(&jobs[0]);
    pthread_barrier_wait(&start);
    double seconds = bench_now() - begin;
    for (int i = 1; i < n; i++)
        pthread_join(t[i], NULL);
    pthread_barrier_destroy(&start);
    return seconds;
}

static double best_of(int runs, void (*fn)(job *j), int threads, float **abc, int repeats)
{
    double best = 1e30;
    for (int r = 0; r < runs; r++) {
        job jobs[64] = {0};
        for (int i = 0; i < threads; i++)
            jobs[i] = (job){.fn = fn, .part = i, .parts = threads, .repeats = repeats};
        for (int i = 0; i < threads && abc; i++)
            jobs[i].a = abc[0], jobs[i].b = abc[1], jobs[i].c = abc[2];
        best = KL_MIN(best, run_threads(jobs, threads));
    }
    return best;
}

/* ---- triad ---- */

static void span(const job *j, int64_t *begin, int64_t *end)
{
    int64_t each = TRIAD / j->parts / 16 * 16;
    *begin = j->part * each;
    *end = j->part == j->parts - 1 ? TRIAD : *begin + each;
}

static void triad_plain(job *j)
{
    int64_t begin, end;
    float *restrict a = j->a;
    const float *restrict b = j->b, *restrict c = j->c;
    span(j, &begin, &end);
    for (int64_t i = begin; i < end; i++)
        a[i] = b[i] + 3 * c[i];
}

#if defined(__x86_64__)
__attribute__((target("avx2,fma"))) static void triad_stream(job *j)
{
    int64_t begin, end;
    span(j, &begin, &end);
    for (int64_t i = begin; i + 8 <= end; i += 8) {
        wide256 v = *(wide256 *)(j->b + i) + 3 * *(wide256 *)(j->c + i);
        _mm256_stream_ps(j->a + i, (__m256)v);
    }
    _mm_sfence();
}
#endif

static double triad(int threads)
{
    size_t bytes = (size_t)TRIAD * sizeof(float);
    float *abc[3];
    for (int i = 0; i < 3; i++) {
        abc[i] = kl_alloc(bytes);
        if (!abc[i])
            return -1;
        bench_fill(abc[i], TRIAD, (uint32_t)i, 1);
    }
    double best = best_of(6, triad_plain, threads, abc, 1);
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        best = KL_MIN(best, best_of(6, triad_stream, threads, abc, 1));
#endif
    for (int i = 0; i < 3; i++)
        kl_free(abc[i], bytes);
    return 3.0 * (double)bytes / best;
}

/* ---- the peak of fused multiply-adds ---- */

#if defined(__x86_64__)
#define PEAK(bits, n, isa)                                                               \
    __attribute__((target(isa))) static void fma##bits##_##n(job *j)                     \
    {                                                                                    \
        wide##bits acc[n], x = (wide##bits){0} + 0.999f, y = (wide##bits){0} + 0.001f;   \
        for (int i = 0; i < n; i++)                                                      \
            acc[i] = (wide##bits){0} + (float)(j->part + i);                             \
        for (int k = 0; k < STEPS; k++) {                                                \
            _Pragma("GCC unroll 24") for (int i = 0; i < n; i++) acc[i] =                \
                acc[i] * x + y;                                                          \
            __asm__ volatile("" :::);                                                    \
        }                                                                                \
        for (int i = 1; i < n; i++)                                                      \
            acc[0] += acc[i];                                                            \
        j->sink = acc[0][0];                                                             \
    }
#define PEAKS(bits, isa)                                                                 \
    PEAK(bits, 8, isa)                                                                   \
    PEAK(bits, 10, isa)                                                                  \
    PEAK(bits, 12, isa)                                                                  \
    PEAK(bits, 14, isa) PEAK(bits, 16, isa) PEAK(bits, 20, isa) PEAK(bits, 24, isa)
PEAKS(256, "avx2,fma")
PEAKS(512, "avx512f")

typedef struct peak {
    int bits, n;
    void (*fn)(job *j);
} peak;
#define ROWS(bits)                                                                       \
    {bits, 8, fma##bits##_8}, {bits, 10, fma##bits##_10}, {bits, 12, fma##bits##_12},    \
        {bits, 14, fma##bits##_14}, {bits, 16, fma##bits##_16},                          \
        {bits, 20, fma##bits##_20},                                                      \
    {                                                                                    \
        bits, 24, fma##bits##_24                                                         \
    }
static const peak peaks[] = {ROWS(256), ROWS(512)};

/* The best loop, then timed over at least `seconds`: on a machine whose cores others
 * share, a moment's peak is no rate that a longer run could keep. */
static double fma_peak(int bits, int threads, double seconds)
{
    double best = -1, time = 0;
    const peak *p = NULL;
    bool here = bits == 512
                    ? __builtin_cpu_supports("avx512f")
                    : __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    for (size_t i = 0; i < KL_COUNT(peaks) && here; i++) {
        if (peaks[i].bits != bits)
            continue;
        double s = best_of(3, peaks[i].fn, threads, NULL, 1);
        double rate = 2.0 * STEPS * peaks[i].n * (bits / 32) * threads / s;
        if (rate > best)
            best = rate, time = s, p = &peaks[i];
    }
    if (!p || seconds <= time)
        return best;
    int repeats = (int)(seconds / time) + 1;
    return best * time * repeats / best_of(3, p->fn, threads, NULL, repeats);
}
#else
static double fma_peak(int bits, int threads, double seconds)
{
    (void)bits, (void)threads, (void)seconds;
    return -1;
}
#endif

double bench_native_rate(const char *name, int threads, double seconds)
{
    threads = KL_MIN(threads, 64);
    if (strcmp(name, "triad") == 0)
        return triad(threads);
    if (strcmp(name, "fma256") == 0)
        return fma_peak(256, threads, seconds);
    return strcmp(name, "fma512") == 0 ? fma_peak(512, threads, seconds) : -1;
}
