/* latency.c: how long compiling, finding and calling take. Each is measured once in a
 * process of its own (bars.py starts twenty and takes the median) and printed as "ok
 * NUMBER".
 *
 *   compile-cold    ms, median of 20 distinct chains of ten operations, LLVM already open
 *   compile-first   ms, the first chain of a process
 *   compile-disk    ms, the same from the folder KILN_CACHE; LLVM must stay closed
 *   compile-doubled times as long for a graph of twice as many operations
 *   call-16         ns over its kernel, a compiled function on 16 elements
 *   rss-1k, rss-1t  MB at the peak of compiling a chain of 1 KB, of 1 TB
 *
 * and what step.c measures. */
#include "bench.h"

#include <stdlib.h>
#include <sys/resource.h>
#include <time.h>

enum { CHAINS = 20, SMALL = 16 };

/* ---- chains: tanh, exp, sigmoid, gelu and six cheap ones, in an order by number ---- */

static kl_tensor *step_of(int op, kl_tensor *t, kl_tensor *x)
{
    switch (op) {
    case 0:
        return kl_tanh(t);
    case 1:
        return kl_exp(kl_min(t, 3.0)); /* an eleventh: values stay finite */
    case 2:
        return kl_sigmoid(t);
    case 3:
        return kl_gelu(t);
    case 4:
        return kl_add(t, x);
    case 5:
        return kl_mul(t, x);
    case 6:
        return kl_sub(t, 0.5);
    case 7:
        return kl_max(t, -2.0);
    case 8:
        return kl_abs(t);
    default:
        return kl_neg(t);
    }
}

static kl_tensor *chain(int number, kl_tensor *x)
{
    int order[10];
    for (int i = 0; i < 10; i++)
        order[i] = i;
    for (uint32_t i = 9, h = (uint32_t)number * 2654435761u + 12345; i > 0; i--) {
        h = h * 1664525u + 1013904223u;
        int j = (int)((h >> 16) % (i + 1)), o = order[i];
        order[i] = order[j];
        order[j] = o;
    }
    kl_tensor *t = x;
    for (int i = 0; i < 10; i++)
        t = step_of(order[i], t, x);
    return t;
}

static kl_tensor *small_input(void)
{
    float v[SMALL];
    bench_fill(v, SMALL, 0, 1);
    return kl_tensor_copy(v, KL_F32, kl_shape(SMALL));
}

/* Milliseconds from a chain's graph to its values. */
static double realize_ms(int number, kl_tensor *x)
{
    kl_scope_begin();
    kl_tensor *t = chain(number, x);
    double begin = bench_now();
    kl_realize(t);
    double end = bench_now();
    kl_scope_end();
    return (end - begin) * 1e3;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static kl_status compile_cold(double *out)
{
    double ms[CHAINS];
    kl_tensor *x = small_input();
    kl_realize(kl_add(x, 1.0)); /* opens LLVM */
    for (int i = 0; i < CHAINS; i++)
        ms[i] = realize_ms(i, x);
    qsort(ms, CHAINS, sizeof *ms, by_size);
    *out = (ms[CHAINS / 2 - 1] + ms[CHAINS / 2]) / 2;
    return kl_error_status();
}

static kl_status compile_first(double *out)
{
    *out = realize_ms(0, small_input());
    return kl_error_status();
}

static kl_status compile_disk(double *out)
{
    KL_TRY(compile_first(out));
    if (kl_counts.llvm_opened || kl_counts.kernels_compiled)
        return kl_fail(KL_ERR_STATE, "not from the folder: LLVM was opened");
    return KL_OK;
}

/* ---- calls ---- */

static int sixteen(kl_tensor *const *in, kl_tensor **out)
{
    out[0] = kl_fma(in[0], in[1], 1.0);
    return 1;
}

/* The least of many: a call of the program, less one of its kernel's entry. */
static kl_status call_16(double *out)
{
    static const bench_case c = {.name = "sixteen",
                                 .nin = 2,
                                 .in = {{1, {SMALL}}, {1, {SMALL}}},
                                 .build = sixteen};
    enum { MANY = 2000, TIMES = 200 };
    bench_program p;
    double call = 1e9, bare = 1e9;
    KL_TRY(bench_compile(&c, NULL, &p));
    void *bufs[] = {p.in[0], p.in[1], p.out[0]};
    int64_t error[3] = {0};
    kl_args args = {.bufs = bufs, .error = error};
    kl_phase_fn fn;
    memcpy(&fn, &p.program->kernels[0].entry[0], sizeof fn);
    for (int i = 0; i < TIMES; i++) {
        double t0 = bench_now();
        for (int j = 0; j < MANY; j++)
            bench_run(&p);
        double t1 = bench_now();
        for (int j = 0; j < MANY; j++)
            fn(&args, 0, 1, 0);
        double t2 = bench_now();
        call = KL_MIN(call, (t1 - t0) / MANY);
        bare = KL_MIN(bare, (t2 - t1) / MANY);
    }
    bench_free(&p);
    *out = (call - bare) * 1e9;
    return kl_error_status();
}

/* ---- whole graphs: time and memory ---- */

/* n chains, each after the mean of the one before is taken off: a graph of many kernels.
 */
static kl_tensor *chains(int first, int n, kl_tensor *x)
{
    kl_tensor *t = x;
    for (int i = 0; i < n; i++)
        t = chain(first + i, i ? kl_sub(t, kl_mean(t)) : t);
    return kl_sum(t);
}

static kl_status compile_only(int64_t elements, int first, int n)
{
    kl_linear l = {0};
    kl_arena *a = kl_arena_new();
    kl_graph *g = NULL;
    kl_program *p = NULL;
    kl_scope_begin();
    kl_thread()->tracing = true;
    kl_call c = kl_call_begin(KL_HERE);
    kl_tensor *x = kl_call_end(&c, kl_lazy_input(NULL, KL_F32, 1, &elements));
    kl_tensor *y = chains(first, n, x);
    kl_lazy *root = kl_storage_node(y->storage);
    pthread_mutex_lock(&kl_graph_lock);
    kl_status st = kl_linearise(&l, &root, 1, false);
    pthread_mutex_unlock(&kl_graph_lock);
    if (st == KL_OK)
        st = kl_import(&l, a, NULL, &g);
    if (st == KL_OK)
        st = kl_compile_graph(g, 0, &p);
    kl_thread()->tracing = false;
    kl_program_unref(p);
    kl_lazy_unref(root);
    kl_linear_free(&l);
    kl_arena_free(a);
    kl_scope_end();
    return st;
}

/* The least processor time of some compiles of n chains that were not seen before. */
static kl_status chains_ms(int n, double *out)
{
    enum { TRIES = 4 };
    static int seen;
    *out = 1e9;
    for (int i = 0; i < TRIES; i++, seen += n) {
        clock_t begin = clock();
        KL_TRY(compile_only(1000, seen, n));
        *out = KL_MIN(*out, (double)(clock() - begin) * 1e3 / CLOCKS_PER_SEC);
    }
    return KL_OK;
}

static kl_status compile_doubled(double *out)
{
    double once, twice;
    KL_TRY(compile_only(1000, 1 << 20, 2)); /* opens LLVM */
    KL_TRY(chains_ms(16, &once));
    KL_TRY(chains_ms(32, &twice));
    *out = twice / once;
    return KL_OK;
}

static kl_status peak_mb(int64_t elements, double *out)
{
    struct rusage use;
    KL_TRY(compile_only(elements, 0, 1));
    getrusage(RUSAGE_SELF, &use);
    *out = (double)use.ru_maxrss / 1024;
    return KL_OK;
}

static kl_status rss_1k(double *out)
{
    return peak_mb(256, out);
}
static kl_status rss_1t(double *out)
{
    return peak_mb((int64_t)1 << 38, out);
}

static const struct {
    const char *name;
    kl_status (*fn)(double *out);
} rows[] = {
    {"compile-cold", compile_cold},
    {"compile-first", compile_first},
    {"compile-disk", compile_disk},
    {"compile-doubled", compile_doubled},
    {"call-16", call_16},
    {"rss-1k", rss_1k},
    {"rss-1t", rss_1t},
    {"step-compile", bench_step_compile},
    {"step-rerun", bench_step_rerun},
    {"train-epoch", bench_train_epoch},
};

int bench_latency(const char *name)
{
    double v[2] = {0, 0};
    for (size_t i = 0; i < KL_COUNT(rows); i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        kl_status st = rows[i].fn(v);
        if (st != KL_OK)
            printf("error %s\n", kl_error());
        else
            printf("ok %.6g %.6g\n", v[0], v[1]);
        return st != KL_OK;
    }
    printf("error nothing is named %s\n", name);
    return 1;
}
