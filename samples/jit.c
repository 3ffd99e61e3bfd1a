/* jit.c: compile an expression at run time and run it on memory of one's own.
 *
 *   y = exp(-x * x / 2) * cos(6 x)       over a million floats, against a plain C loop
 *   qsort(points, .., compare)           compare is compiled too: to the C library it is
 * an ordinary function pointer
 *   ./jit [elements] */
#include <kiln.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 20, POINTS = 5000 };

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* ---- an expression over buffers ---- */

static void wavelet(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    kl_tensor *bell = kl_exp(kl_mul(kl_square(in[0]), -0.5));
    out[0] = kl_mul(bell, kl_cos(kl_mul(in[0], 6.0)));
}

static void plain_loop(const float *x, float *y, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        y[i] = expf(x[i] * x[i] * -0.5f) * cosf(x[i] * 6.0f);
}

static double largest_difference(const float *a, const float *b, int64_t n)
{
    double d = 0;
    for (int64_t i = 0; i < n; i++)
        d = fmax(d, fabs((double)a[i] - (double)b[i]));
    return d;
}

/* The best of some rounds of each, in milliseconds; returns the largest difference. */
static double compare_loops(const kl_function *f, int64_t n, double *jit, double *loop)
{
    float *x = malloc((size_t)n * sizeof *x), *y = malloc((size_t)n * sizeof *y);
    float *want = malloc((size_t)n * sizeof *want);
    double worst = INFINITY;
    for (int64_t i = 0; x && y && want && i < n; i++)
        x[i] = (float)i / (float)n * 8.0f - 4.0f;
    for (int r = 0; x && y && want && r < ROUNDS; r++) {
        double t0 = seconds();
        kl_function_call(f, (const void *[]){x}, (void *[]){y});
        double t1 = seconds();
        plain_loop(x, want, n);
        double t2 = seconds();
        *jit = r ? fmin(*jit, t1 - t0) : t1 - t0;
        *loop = r ? fmin(*loop, t2 - t1) : t2 - t1;
    }
    if (x && y && want) {
        worst = largest_difference(y, want, n);
        printf("   at x = -0.25: kiln %.8f, C %.8f\n", (double)y[n * 15 / 32],
               (double)want[n * 15 / 32]);
    }
    free(x);
    free(y);
    free(want);
    return worst;
}

static int expression(int64_t n)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(n)}};
    double t = seconds(), jit = 0, loop = 0;
    kl_function *f = kl_compile(wavelet, NULL, in, 1, 1);
    if (!f)
        return 1;
    printf("compiled exp(-x*x/2) * cos(6x) over %lld floats in %.1f ms\n", (long long)n,
           1e3 * (seconds() - t));
    double worst = compare_loops(f, n, &jit, &loop);
    printf("   kiln %.3f ms, plain C loop %.3f ms: %.1f times as fast; largest "
           "difference %.1e\n",
           1e3 * jit, 1e3 * loop, loop / jit, worst);
    kl_function_free(f);
    return !(worst < 1e-6);
}

/* ---- a comparison for the C library ---- */

typedef struct point {
    float x, y;
} point;

/* By distance from the origin: -1, 0 or 1. */
static void nearer(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    kl_tensor *a = kl_sum(kl_square(in[0])), *b = kl_sum(kl_square(in[1]));
    out[0] = kl_sub(kl_to(kl_gt(a, b), KL_I32), kl_to(kl_lt(a, b), KL_I32));
}

static int plain_nearer(const void *p, const void *q)
{
    const point *a = p, *b = q;
    float da = a->x * a->x + a->y * a->y, db = b->x * b->x + b->y * b->y;
    return (da > db) - (da < db);
}

static int sorting(void)
{
    static point p[POINTS], want[POINTS];
    kl_input in[] = {{"a", KL_F32, kl_shape(2)}, {"b", KL_F32, kl_shape(2)}};
    kl_function *f = kl_compile(nearer, NULL, in, 2, 1);
    kl_pointer *fn = kl_function_pointer(f, "i:pp");
    for (int i = 0; i < POINTS; i++)
        p[i] = want[i] = (point){(float)(i * 7919 % POINTS) - 2500.5f,
                                 (float)(i * 104729 % POINTS) - 2500.0f};
    double t = seconds();
    if (fn)
        qsort(p, POINTS, sizeof *p,
              (int (*)(const void *, const void *))kl_pointer_code(fn));
    t = seconds() - t;
    qsort(want, POINTS, sizeof *want, plain_nearer);
    int wrong = memcmp(p, want, sizeof p) != 0;
    printf("qsort of %d points with a compiled comparison: %.1f ms, %s\n", POINTS,
           1e3 * t,
           wrong ? "NOT the order of a C comparison" : "the order of a C comparison");
    printf("   nearest to the origin: (%g, %g)\n", (double)p[0].x, (double)p[0].y);
    kl_pointer_free(fn);
    kl_function_free(f);
    return wrong;
}

int main(int argc, char **argv)
{
    int wrong = expression(argc > 1 ? atoll(argv[1]) : 1 << 20);
    wrong |= sorting();
    if (kl_failed())
        return fprintf(stderr, "jit: %s\n", kl_error()), 1;
    return wrong;
}
