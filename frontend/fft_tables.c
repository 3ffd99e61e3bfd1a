/* fft_tables.c: the factors of Fourier transforms: computed once a size, as leaves whose
 * memory later calls share. The angle of e^(2 pi i k / n) is reduced to k mod n in
 * integers, and to an eighth of the circle, before sin or cos sees it, so that every
 * factor is within one rounding and w^(n/4) is i itself. At most CACHED tables and
 * CACHED_BYTES bytes are kept; those used longest ago go first. */
#include "fft.h"

enum { CACHED = 64, CACHED_BYTES = 64 << 20 };

typedef struct table {
    kl_fft_table kind;
    int64_t n, m;
    int sign, device;
    kl_dtype dt;
    int rank;
    int64_t shape[4];
    kl_memory *mem;
    uint64_t used;
} table;

static table kept[CACHED];
static uint64_t now;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ---- numbers ---- */

/* cos and sin of 2 pi k / n, k < n, by angles within an eighth of the circle. */
static void circle(int64_t k, int64_t n, double *c, double *s)
{
    const double pi = 3.14159265358979323846;
    int64_t e = 8 * k / n; /* the eighth that it is in */
    int64_t quarter = (e + 1) / 2;
    double a = 2 * pi * (double)(4 * k - quarter * n) / (double)(4 * n), x, y;
    kl_math_eval_n(KL_OP_cos, KL_F64, 1, &x, &a, NULL, NULL);
    kl_math_eval_n(KL_OP_sin, KL_F64, 1, &y, &a, NULL, NULL);
    *c = quarter == 1 ? -y : quarter == 2 ? -x : quarter == 3 ? y : x;
    *s = quarter == 1 ? x : quarter == 2 ? -y : quarter == 3 ? -x : y;
}

/* All n of them, pairs. */
static double *circle_new(int64_t n)
{
    double *w = kl_alloc(kl_sat_bytes(n, 2 * sizeof *w));
    for (int64_t k = 0; w && k < n; k++)
        circle(k, n, &w[2 * k], &w[2 * k + 1]);
    return w;
}

static void put_matrix(double *y, const double *w, const table *t)
{
    int64_t n = t->n, row = 2 * n;
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = 0; k < n; k++) {
            const double *f = w + 2 * (j * k % n);
            double c = f[0], s = t->sign * f[1];
            y[j * row + k] = c;
            y[j * row + n + k] = s;
            if (t->m == 2) {
                y[(n + j) * row + k] = -s;
                y[(n + j) * row + n + k] = c;
            }
        }
}

static void put_twiddle(double *y, const double *w, const table *t)
{
    int64_t count = t->n * t->m;
    for (int64_t k = 0; k < t->n; k++)
        for (int64_t j = 0; j < t->m; j++) {
            y[k * t->m + j] = w[2 * (k * j)];
            y[count + k * t->m + j] = t->sign * w[2 * (k * j) + 1];
        }
}

static void put_half(double *y, const double *w, const table *t)
{
    for (int64_t k = 0, m = t->n / 2; k <= m; k++) {
        y[k] = w[2 * k];
        y[m + 1 + k] = t->sign * w[2 * k + 1];
    }
}

/* w is of 2 n; j^2 mod 2 n goes up by 2 j + 1. */
static void put_chirp(double *y, const double *w, const table *t)
{
    for (int64_t j = 0, q = 0; j < t->n; q = (q + 2 * j + 1) % (2 * t->n), j++) {
        y[j] = w[2 * q];
        y[t->n + j] = t->sign * w[2 * q + 1];
    }
}

/* In place, m a power of two, e^(-2 pi i / m): decimation in time. w is of m. */
static void power_of_two(double *re, double *im, const double *w, int64_t m)
{
    for (int64_t i = 1, j = 0; i < m; i++) {
        int64_t bit = m >> 1;
        for (; j & bit; bit >>= 1)
            j ^= bit;
        j |= bit;
        if (i < j) {
            double a = re[i], b = im[i];
            re[i] = re[j], im[i] = im[j], re[j] = a, im[j] = b;
        }
    }
    for (int64_t half = 1; half < m; half *= 2)
        for (int64_t i = 0; i < m; i += 2 * half)
            for (int64_t k = 0; k < half; k++) {
                const double *f = w + 2 * (k * (m / (2 * half)));
                int64_t a = i + k, b = a + half;
                double x = re[b] * f[0] + im[b] * f[1];
                double y = im[b] * f[0] - re[b] * f[1];
                re[b] = re[a] - x, im[b] = im[a] - y;
                re[a] += x, im[a] += y;
            }
}

/* The conjugate chirp at 0 .. n-1 and again before the end: h_j = h_(m-j). */
static bool put_filter(double *y, const double *w, const table *t)
{
    double *round = circle_new(t->m), *re = y, *im = y + t->m;
    memset(y, 0, (size_t)t->m * 2 * sizeof *y);
    for (int64_t j = 0, q = 0; j < t->n; q = (q + 2 * j + 1) % (2 * t->n), j++) {
        int64_t back = j ? t->m - j : 0;
        re[j] = re[back] = w[2 * q];
        im[j] = im[back] = -t->sign * w[2 * q + 1];
    }
    if (round)
        power_of_two(re, im, round, t->m);
    kl_free(round, (size_t)t->m * 2 * sizeof *round);
    return round != NULL;
}

/* ---- making one ---- */

static int64_t circle_size(const table *t)
{
    return t->kind == KL_FFT_MATRIX || t->kind == KL_FFT_HALF ? t->n
           : t->kind == KL_FFT_TWIDDLE                        ? t->n * t->m
                                                              : 2 * t->n;
}

static bool fill(double *y, const double *w, const table *t)
{
    switch (t->kind) {
    case KL_FFT_MATRIX:
        put_matrix(y, w, t);
        return true;
    case KL_FFT_TWIDDLE:
        put_twiddle(y, w, t);
        return true;
    case KL_FFT_HALF:
        put_half(y, w, t);
        return true;
    case KL_FFT_CHIRP:
        put_chirp(y, w, t);
        return true;
    default:
        return put_filter(y, w, t);
    }
}

static void set_shape(table *t)
{
    const int64_t shapes[][4] = {
        [KL_FFT_MATRIX] = {t->m, t->n, 2, t->n},
        [KL_FFT_TWIDDLE] = {2, t->n, t->m},
        [KL_FFT_HALF] = {2, t->n / 2 + 1},
        [KL_FFT_CHIRP] = {2, t->n},
        [KL_FFT_FILTER] = {2, t->m},
    };
    static const int ranks[] = {4, 3, 2, 2, 2};
    t->rank = ranks[t->kind];
    memcpy(t->shape, shapes[t->kind], sizeof t->shape);
}

static kl_memory *on_host(const table *t)
{
    int64_t n = circle_size(t), count = kl_count(t->rank, t->shape);
    double *w = circle_new(n), *y = kl_alloc((size_t)count * sizeof *y);
    kl_memory *m = kl_memory_new(0, (size_t)count * kl_dtypes[t->dt].size);
    bool ok = w && y && m && fill(y, w, t);
    if (ok)
        kl_eval_cast_n(t->dt, KL_F64, count, m->base, y);
    else
        kl_fail(KL_ERR_OOM, "out of memory for the factors of a Fourier transform");
    kl_free(w, (size_t)n * 2 * sizeof *w);
    kl_free(y, (size_t)count * sizeof *y);
    if (!ok) {
        kl_memory_unref(m);
        return NULL;
    }
    return m;
}

static bool same(const table *a, const table *b)
{
    return a->mem && a->kind == b->kind && a->n == b->n && a->m == b->m &&
           a->sign == b->sign && a->dt == b->dt && a->device == b->device;
}

/* The one to replace: free, or used longest ago. */
static table *victim(void)
{
    table *v = &kept[0];
    for (int i = 0; i < CACHED && v->mem; i++)
        if (!kept[i].mem || kept[i].used < v->used)
            v = &kept[i];
    return v;
}

static void make_room(size_t size)
{
    for (;;) {
        size_t all = size;
        table *oldest = NULL;
        for (int i = 0; i < CACHED; i++) {
            if (!kept[i].mem)
                continue;
            all += kept[i].mem->size;
            if (!oldest || kept[i].used < oldest->used)
                oldest = &kept[i];
        }
        if (all <= CACHED_BYTES || !oldest)
            return;
        kl_memory_unref(oldest->mem);
        oldest->mem = NULL;
    }
}

/* A reference to t's memory: kept, or made now. */
static kl_memory *find(table *t)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CACHED; i++)
        if (same(&kept[i], t)) {
            kept[i].used = ++now;
            t->mem = kl_memory_ref(kept[i].mem);
            pthread_mutex_unlock(&lock);
            return t->mem;
        }
    pthread_mutex_unlock(&lock);
    t->mem = on_host(t);
    if (!t->mem || t->mem->size > CACHED_BYTES / 4)
        return t->mem;
    pthread_mutex_lock(&lock);
    make_room(t->mem->size);
    table *v = victim();
    kl_memory_unref(v->mem);
    *v = *t;
    v->used = ++now;
    kl_memory_ref(v->mem);
    pthread_mutex_unlock(&lock);
    return t->mem;
}

kl_lazy *kl_fft_table_of(kl_fft_table kind, int64_t n, int64_t m, int sign, kl_dtype dt,
                         int device)
{
    table t = {.kind = kind, .n = n, .m = m, .sign = sign, .dt = dt};
    set_shape(&t);
    kl_memory *mem = find(&t);
    kl_lazy *r = mem ? kl_lazy_input(mem, dt, t.rank, t.shape) : NULL;
    kl_memory_unref(mem);
    return r && device != KL_FREE && device != 0 ? kl_lazy_to(r, device) : r;
}

void kl_fft_tables_clear(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < CACHED; i++) {
        kl_memory_unref(kept[i].mem);
        kept[i].mem = NULL;
    }
    pthread_mutex_unlock(&lock);
}
