/* bench.h: the C side of the benchmarks. One program, bench, is either a server that one
 * of Python's bars drives (main.c: prepare, save, time), or measures one thing in a
 * process of its own and prints it (latency.c).
 *
 *   cases.c    tensor programs that are timed, as a user writes them
 *   rows.c     more of them: rows, columns, sums, broadcasts at many sizes
 *   trace.c    such a program compiled for buffers of ours
 *   native.c   what is written in plain C: triads, the processor's peak, sample 5's loop
 *   latency.c  how long compiling, finding and calling take
 *   step.c     sample 1's training step: compiling, running again, an epoch */
#ifndef KL_BENCH_H
#define KL_BENCH_H

#include "frontend/front.h"

enum { MOST_IN = 8, MOST_OUT = 8 };

/* A program over inputs of one dtype, all of which are filled by bench_fill. */
typedef struct bench_case {
    const char *name;
    int nin;
    kl_ints in[4];
    int (*build)(kl_tensor *const *in, kl_tensor **out); /* gives the number of outputs */
    bool fresh;     /* each run writes to newly allocated memory */
    double scale;   /* of the inputs, which lie in [-scale, scale); 0: 1 */
    kl_dtype dtype; /* f32, f16, bf16; 0: f32 */
} bench_case;
extern const bench_case bench_cases[], bench_rows[];
extern const int bench_cases_count, bench_rows_count;
/* A shape in a table of cases. */
#define V(...)                                                                           \
    {                                                                                    \
        sizeof((const int64_t[]){__VA_ARGS__}) / sizeof(int64_t),                        \
        {                                                                                \
            __VA_ARGS__                                                                  \
        }                                                                                \
    }

/* ---- trace.c ---- */
typedef struct bench_program {
    kl_program *program;
    int nin, nout;
    void *in[MOST_IN], *out[MOST_OUT];
    size_t in_bytes[MOST_IN], out_bytes[MOST_OUT];
    bool fresh;
} bench_program;
/* target NULL: the host's. */
kl_status bench_compile(const bench_case *c, const char *target, bench_program *p);
kl_status bench_run(bench_program *p);
void bench_free(bench_program *p);
/* Element i of input number `seed`: the same bits in C and in NumPy (peers.py). */
void bench_fill(float *p, int64_t n, uint32_t seed, float scale);

/* ---- native.c ---- */
/* The best of several loops, in operations (or bytes) a second, fma's over at least so
 * many seconds. NAME: triad, fma256, fma512; negative: this machine cannot. */
double bench_native_rate(const char *name, int threads, double seconds);

/* ---- latency.c ---- */
/* Measure NAME once in this process and print it; exit status. */
int bench_latency(const char *name);

/* ---- step.c: each gives one number, or two ---- */
kl_status bench_step_compile(double *out);
kl_status bench_step_rerun(double *out);
kl_status bench_train_epoch(double *out);

static inline double bench_now(void)
{
    return (double)kl_now_ns() / 1e9;
}

#endif
