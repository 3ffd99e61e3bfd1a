/* resample.c: images by other numbers of pixels: interpolation, sampling at given places,
 * affine grids, borders, pixels moved between channels and space.
 *
 *   kl_interpolate(x [N,C,W], {2W}, "linear")
 *     ->  x[.., i0] (1 - w) + x[.., i1] w     i0, i1, w computed here, once a call
 *
 * All modes of interpolation go axis by axis: each output is a sum of a few taps along
 * one axis. Output i of n_out stands at (i + 1/2) s - 1/2, or at i (n_in - 1) /
 * (n_out - 1) with aligned corners. */
#include "terms.h"

/* ---- taps: which elements along an axis make an output, and with what weight ---- */

typedef struct taps {
    int64_t out;
    int n;
    int64_t *index; /* [out, n] */
    double *weight; /* NULL: one tap, weight 1 */
} taps;

enum { NEAREST, NEAREST_EXACT, LINEAR, CUBIC };

static double cubic_near(double x)
{
    const double a = -0.75;
    return ((a + 2) * x - (a + 3)) * x * x + 1;
}
static double cubic_far(double x)
{
    const double a = -0.75;
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

static int64_t held(int64_t i, int64_t n)
{
    return KL_MIN(KL_MAX(i, 0), n - 1);
}

typedef struct axis_map {
    int64_t in, out;
    int mode;
    bool corners;
    double scale; /* inputs an output; 0: from the extents */
} axis_map;

static double scale_of(const axis_map *m)
{
    if (m->corners)
        return m->out > 1 ? (double)(m->in - 1) / (double)(m->out - 1) : 0;
    return m->scale > 0 ? m->scale : (double)m->in / (double)m->out;
}

/* Is each element's place that of every so manieth? Rounding may say otherwise. */
static bool is_repeated(const axis_map *m, const taps *t)
{
    int64_t times = m->out / m->in;
    bool all = m->out % m->in == 0;
    for (int64_t i = 0; all && i < m->out; i++)
        all = t->index[i] == i / times;
    return all;
}

/* Each element so many times. */
static kl_lazy *repeated(kl_lazy *a, int axis, int64_t times)
{
    int64_t shape[KL_MAX_RANK + 1];
    int n = 0;
    for (int i = 0; i < a->rank; i++) {
        shape[n++] = kl_lazy_shape(a)[i];
        if (i == axis)
            shape[n++] = 1;
    }
    kl_lazy *r = n <= KL_MAX_RANK ? kl_n_reshape(a, n, shape) : NULL;
    shape[axis + 1] = times;
    r = kl_n_expand(r, n, shape);
    for (int i = axis + 1; i < a->rank; i++)
        shape[i] = kl_lazy_shape(a)[i];
    shape[axis] *= times;
    return kl_n_reshape(r, a->rank, shape);
}

static const double FAR = 1e15; /* no element stands there */

static void nearest(const axis_map *m, taps *t)
{
    float s = (float)scale_of(m); /* PyTorch computes it so, whatever the dtype */
    for (int64_t i = 0; i < m->out; i++) {
        float x = m->mode == NEAREST ? (float)i * s : ((float)i + 0.5f) * s;
        x = fminf(floorf(x), (float)m->in);
        t->index[i] = KL_MIN((int64_t)x, m->in - 1);
    }
}

static void weighted(const axis_map *m, taps *t)
{
    double s = scale_of(m);
    for (int64_t i = 0; i < m->out; i++) {
        double x = m->corners ? (double)i * s : ((double)i + 0.5) * s - 0.5;
        if (m->mode == LINEAR && x < 0)
            x = 0;
        x = fmin(x, FAR);
        int64_t i0 = (int64_t)floor(x);
        double f = x - (double)i0, *w = t->weight + i * t->n;
        if (m->mode == LINEAR) {
            t->index[2 * i] = held(i0, m->in);
            t->index[2 * i + 1] = held(i0 + 1, m->in);
            w[0] = 1 - f, w[1] = f;
            continue;
        }
        for (int k = 0; k < 4; k++)
            t->index[4 * i + k] = held(i0 - 1 + k, m->in);
        w[0] = cubic_far(f + 1), w[1] = cubic_near(f);
        w[2] = cubic_near(1 - f), w[3] = cubic_far(2 - f);
    }
}

/* The filter widened to what an output covers: triangle, or cubic with a = -0.5. */
static double filter(int mode, double x)
{
    x = fabs(x);
    if (mode == LINEAR)
        return x < 1 ? 1 - x : 0;
    const double a = -0.5;
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static int antialias_taps(const axis_map *m)
{
    double s = scale_of(m), reach = m->mode == LINEAR ? 1 : 2;
    return 2 * (int)fmin(ceil(s >= 1 ? reach * s : reach), 1 << 28) + 1;
}

static void antialiased(const axis_map *m, taps *t)
{
    double s = scale_of(m), reach = m->mode == LINEAR ? 1 : 2, wide = s >= 1 ? s : 1;
    for (int64_t i = 0; i < m->out; i++) {
        double centre = fmin(s * ((double)i + 0.5), FAR), *w = t->weight + i * t->n,
               sum = 0;
        int64_t from = KL_MAX((int64_t)(centre - reach * wide + 0.5), 0);
        int64_t to = KL_MIN((int64_t)(centre + reach * wide + 0.5), m->in);
        for (int k = 0; k < t->n; k++) {
            double x = ((double)(from + k) - centre + 0.5) / wide;
            w[k] = from + k < to ? filter(m->mode, x) : 0;
            t->index[i * t->n + k] = held(from + k, m->in);
            sum += w[k];
        }
        for (int k = 0; k < t->n && sum != 0; k++)
            w[k] /= sum;
    }
}

/* ---- one axis ---- */

static kl_lazy *leaf(kl_dtype dt, int64_t rows, int64_t cols, const void *bytes)
{
    int64_t shape[2] = {rows, cols};
    size_t size = kl_sat_bytes(kl_sat_mul(rows, cols), 8);
    kl_memory *m = kl_memory_new(0, size);
    if (!m)
        return NULL;
    memcpy(m->base, bytes, size);
    kl_lazy *r = kl_lazy_input(m, dt, 2, shape);
    kl_memory_unref(m);
    return r;
}

static kl_lazy *on_device_of(kl_lazy *a, kl_lazy *n)
{
    return a && n && a->device != KL_FREE ? kl_lazy_to(n, a->device) : n;
}

/* sum over taps of a[.., index, ..] weight */
static kl_lazy *gathered(kl_lazy *a, int axis, const taps *t)
{
    kl_lazy *index = on_device_of(a, leaf(KL_I64, t->out, t->n, t->index));
    if (!t->weight) {
        index = kl_n_reshape(index, 1, &t->out);
        return kl_n_gather(a, index, axis, 0);
    }
    kl_lazy *w = on_device_of(a, leaf(KL_F64, t->out, t->n, t->weight));
    kl_lazy *v = kl_n_gather(a, index, axis, 0); /* [.., out, n, ..] */
    int rank = a->rank - axis + 1;
    int64_t shape[KL_MAX_RANK];
    for (int i = 0; i < rank; i++)
        shape[i] = i == 0 ? t->out : i == 1 ? t->n : 1;
    w = kl_n_reshape(kl_n_cast(w, type(a)), rank, shape);
    return kl_n_reduce(KL_OP_add, mul(v, w), UINT64_C(1) << (axis + 1), false);
}

static kl_lazy *along(kl_lazy *a, int axis, const axis_map *m, bool antialias)
{
    bool plain = m->mode == NEAREST || m->mode == NEAREST_EXACT;
    int n = plain ? 1 : antialias ? antialias_taps(m) : m->mode == LINEAR ? 2 : 4;
    if (!a || (m->in == m->out && plain && m->scale == 0))
        return a;
    size_t count = kl_sat_bytes(m->out, (size_t)n),
           size = kl_sat_bytes(m->out, (size_t)n * 16);
    int64_t *block = kl_alloc(size);
    if (!block) {
        kl_fail(KL_ERR_OOM, "out of memory to interpolate %lld elements",
                (long long)m->out);
        return NULL;
    }
    taps t = {m->out, n, block, plain ? NULL : (double *)(void *)(block + count)};
    if (plain)
        nearest(m, &t);
    else if (antialias)
        antialiased(m, &t);
    else
        weighted(m, &t);
    bool repeats = plain && is_repeated(m, &t);
    kl_lazy *r = repeats ? repeated(a, axis, m->out / m->in) : gathered(a, axis, &t);
    kl_free(block, size);
    return r;
}

/* ---- interpolation ---- */

static int mode_of(const char *mode, int dims)
{
    static const struct {
        const char *name;
        int mode, dims; /* 0: any */
    } rows[] = {{"nearest", NEAREST, 0},  {"nearest-exact", NEAREST_EXACT, 0},
                {"linear", LINEAR, 1},    {"bilinear", LINEAR, 2},
                {"trilinear", LINEAR, 3}, {"bicubic", CUBIC, 2}};
    for (size_t i = 0; i < KL_COUNT(rows); i++)
        if (strcmp(mode, rows[i].name) == 0 && (!rows[i].dims || rows[i].dims == dims))
            return rows[i].mode;
    kl_fail(KL_ERR_UNSUPPORTED,
            "Input Error: Only 3D, 4D and 5D input Tensors supported (got %dD) for the "
            "modes: nearest | linear | bilinear | bicubic | trilinear | area | "
            "nearest-exact (got %s)",
            dims + 2, mode);
    return -1;
}

/* Which axis is first: those that shrink, then the others from the last on, whose pixels
 * are picked one by one, so that there are few. */
static void in_order(const int64_t *from, const int64_t *to, int dims, int *order)
{
    int n = 0;
    for (int i = 0; i < dims; i++)
        if (to[i] < from[i])
            order[n++] = i;
    for (int i = dims - 1; i >= 0; i--)
        if (to[i] >= from[i])
            order[n++] = i;
}

kl_tensor *kl_interpolate_at(const char *at, kl_tensor *x, kl_ints size,
                             const double *scale, const char *mode, bool corners,
                             bool antialias)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    int dims = a ? a->rank - 2 : 0, m = a ? mode_of(mode, dims) : -1;
    if (m < 0 || size.n != dims) {
        if (m >= 0)
            kl_fail(KL_ERR_ARG,
                    "Input and output must have the same number of spatial dimensions, "
                    "but got input with %d and output size of %d",
                    dims, size.n);
        return kl_call_end(&c, NULL);
    }
    kl_lazy *r = m == LINEAR || m == CUBIC ? kl_n_widen(a) : a;
    int order[KL_MAX_RANK];
    in_order(kl_lazy_shape(a) + 2, size.v, dims, order);
    for (int k = 0; k < dims && r; k++) {
        int i = order[k];
        axis_map map = {kl_lazy_shape(a)[2 + i], size.v[i], m, corners,
                        scale && scale[i] > 0 ? 1 / scale[i] : 0};
        if (map.in < 1 || map.out < 1) {
            kl_fail(KL_ERR_SHAPE,
                    "Input and output sizes should be greater than 0, but got input "
                    "(%lld) and output (%lld)",
                    (long long)map.in, (long long)map.out);
            return kl_call_end(&c, NULL);
        }
        r = along(r, 2 + i, &map, antialias);
    }
    if (r && a->dtype == KL_U8 && r->dtype != KL_U8)
        r = kl_n_un(KL_OP_round, r);
    return kl_call_end(&c, r ? kl_n_cast(r == a ? kl_n_copy(r) : r, type(a)) : NULL);
}

/* ---- borders: reflected, repeated, carried on ---- */

/* Where the padded axis' elements come from: computed, so that extents may be symbols. */
static kl_lazy *sources(int64_t lo, int64_t n, int64_t out, char how)
{
    kl_lazy *i = plus(kl_n_iota(KL_I64, 1, &out, 0), (double)-lo);
    double last = (double)n - 1;
    if (how == 'c') {
        i = kl_n_where(below(i, 0), plus(i, (double)n), i);
        return kl_n_where(above(i, last), plus(i, (double)-n), i);
    }
    if (how == 'r') {
        i = kl_n_un(KL_OP_abs, i);
        return kl_n_where(above(i, last), plus(neg(i), 2 * last), i);
    }
    i = kl_n_where(below(i, 0), num(i, 0), i);
    return kl_n_where(above(i, last), num(i, last), i);
}

/* n elements of the axis from `from` on, backwards where they are reflected, or one of
 * them n times. */
static kl_lazy *border(kl_lazy *a, int axis, int64_t from, int64_t n, char how)
{
    int64_t shape[KL_MAX_RANK];
    kl_lazy *r = kl_n_slice_axis(a, axis, from, how == 'e' ? 1 : n, 1);
    if (!r || how == 'c')
        return r;
    if (how == 'r')
        return kl_n_flip(r, UINT64_C(1) << axis);
    memcpy(shape, kl_lazy_shape(r), (size_t)r->rank * sizeof *shape);
    shape[axis] = n;
    return kl_n_expand(r, r->rank, shape);
}

/* The axis between its borders, each of neighbours: vectors of them are read at once,
 * where a computed index would be asked for each. */
static kl_lazy *between_borders(kl_lazy *a, int axis, int64_t lo, int64_t hi, char how)
{
    kl_lazy *part[3];
    int64_t n = kl_lazy_shape(a)[axis];
    int k = 0;
    if (lo)
        part[k++] = border(a, axis, how == 'c' ? n - lo : how == 'r', lo, how);
    part[k++] = a;
    if (hi)
        part[k++] = border(a, axis,
                           how == 'c'   ? 0
                           : how == 'r' ? n - 1 - hi
                                        : n - 1,
                           hi, how);
    for (int i = 0; i < k; i++)
        if (!part[i])
            return NULL;
    return kl_n_concat(part, k, axis);
}

static kl_lazy *bordered(kl_lazy *a, int axis, int64_t lo, int64_t hi, char how)
{
    if (how == 'c') { /* cropped first: what is left is carried on */
        int64_t from = KL_MAX(-lo, 0), less = from + KL_MAX(-hi, 0);
        a = kl_n_slice_axis(a, axis, from, kl_lazy_shape(a)[axis] - less, 1);
        lo = KL_MAX(lo, 0), hi = KL_MAX(hi, 0);
    }
    if (!a || (lo == 0 && hi == 0))
        return a;
    int64_t n = kl_lazy_shape(a)[axis], out = kl_sat_add(kl_sat_add(n, lo), hi);
    if (lo >= 0 && hi >= 0 && axis == a->rank - 1)
        return between_borders(a, axis, lo, hi, how);
    return kl_n_gather(a, sources(lo, n, out, how), axis, 0);
}

static bool border_fits(const char *mode, int64_t n, int64_t lo, int64_t hi)
{
    bool circular = mode[0] == 'c', reflect = mode[2] == 'f';
    int64_t most = circular ? n : reflect ? n - 1 : INT64_MAX;
    int64_t out = kl_sat_add(kl_sat_add(n, lo), hi);
    if (lo <= most && hi <= most && out >= 1 && n >= 1)
        return true;
    if (reflect)
        kl_fail(KL_ERR_SHAPE,
                "Argument #4: Padding size should be less than the corresponding input "
                "dimension, but got: padding (%lld, %lld) at dimension of size %lld",
                (long long)lo, (long long)hi, (long long)n);
    else
        kl_fail(KL_ERR_SHAPE,
                "pad: a dimension of size %lld cannot have the %s padding (%lld, %lld)",
                (long long)n, mode, (long long)lo, (long long)hi);
    return false;
}

kl_tensor *kl_pad_mode_at(const char *at, kl_tensor *x, kl_ints pads, const char *mode)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *r = a;
    bool known = !strcmp(mode, "reflect") || !strcmp(mode, "replicate") ||
                 !strcmp(mode, "circular");
    if (a && !known)
        kl_fail(KL_ERR_UNSUPPORTED, "Unrecognised padding mode %s", mode);
    if (a && known && (pads.n % 2 || pads.n < 2 || pads.n > 6 || pads.n / 2 >= a->rank))
        kl_fail(KL_ERR_UNSUPPORTED,
                "Only 2D, 3D, 4D, 5D padding with non-constant padding are supported for "
                "now");
    if (!a || !known || kl_failed())
        return kl_call_end(&c, NULL);
    for (int i = 0; i < pads.n / 2 && r; i++) {
        int ax = a->rank - 1 - i;
        int64_t lo = pads.v[2 * i], hi = pads.v[2 * i + 1];
        r = border_fits(mode, kl_lazy_shape(r)[ax], lo, hi)
                ? bordered(r, ax, lo, hi,
                           mode[2] == 'f'   ? 'r'
                           : mode[0] == 'c' ? 'c'
                                            : 'e')
                : NULL;
    }
    return kl_call_end(&c, r == a ? kl_n_copy(r) : r);
}
