/* pool.c: pooling: a window, then a reduction over it; windows of unequal size by their
 * first and last element.
 *
 *   max_pool2d(x [N,C,H,W], 2)  ->  window [N,C,H/2,W/2,2,2]; reduce.max over the last
 * two
 *
 * What stands around the input counts in an average as PyTorch has it: zeros up to the
 * padding count (count_include_pad), what ceil adds beyond it does not. */
#include "terms.h"

enum { MOST = 3 };

typedef struct pool {
    int dims;
    int64_t size[MOST], stride[MOST], padding[MOST], dilation[MOST];
    int64_t in[MOST], out[MOST];
    bool ceil;
} pool;

/* ---- what was asked for, an axis at a time ---- */

/* From a window's first element to behind its last. */
static int64_t reach(const pool *p, int i)
{
    return kl_sat_add(kl_sat_mul(p->dilation[i], p->size[i] - 1), 1);
}

static int64_t windows_along(const pool *p, int i, bool ceil)
{
    int64_t all = kl_sat_add(p->in[i], kl_sat_mul(2, p->padding[i]));
    int64_t room = kl_sat_add(all - reach(p, i), ceil ? p->stride[i] - 1 : 0);
    int64_t n = room < 0 ? 0 : room / p->stride[i] + 1;
    bool beyond = n > 0 && (n - 1) * p->stride[i] >= all - p->padding[i];
    return ceil && beyond ? n - 1 : n;
}

static bool settle(const char *fn, kl_lazy *a, int dims, const kl_pool_axes *o, pool *p)
{
    *p = (pool){.dims = dims, .ceil = o->ceil};
    bool ok = dims >= 1 && dims <= MOST && a->rank > dims && o->size.n > 0 &&
              kl_per_axis(o->size, dims, 1, p->size) &&
              kl_per_axis(o->padding, dims, 0, p->padding) &&
              kl_per_axis(o->dilation, dims, 1, p->dilation);
    for (int i = 0; i < dims && ok; i++)
        p->stride[i] = p->size[i];
    if (ok && o->stride.n)
        ok = kl_per_axis(o->stride, dims, 1, p->stride);
    for (int i = 0; ok && i < dims; i++) {
        p->in[i] = kl_lazy_shape(a)[a->rank - dims + i];
        ok = p->size[i] >= 1 && p->stride[i] >= 1 && p->dilation[i] >= 1 &&
             p->padding[i] >= 0 && p->padding[i] <= p->size[i] / 2;
        p->out[i] = ok ? windows_along(p, i, o->ceil) : 0;
        ok = ok && p->out[i] >= 1;
    }
    if (ok)
        return true;
    char s[128];
    kl_fail(KL_ERR_SHAPE,
            "%s: input %s %s, size %lld stride %lld padding %lld do not fit", fn,
            kl_dtypes[a->dtype].name,
            kl_ints_text(kl_ints_of(a->rank, kl_lazy_shape(a)), s, sizeof s),
            (long long)p->size[0], (long long)p->stride[0], (long long)p->padding[0]);
    return false;
}

/* All windows, [.., out.., size..], with fill around: as much behind as gives so many
 * windows at any extent, so that traces at other sizes make the same nodes. */
static kl_lazy *windowed(kl_lazy *a, const pool *p, kl_lazy *fill)
{
    int64_t lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0};
    kl_window_axis w[MOST];
    for (int i = 0; a && i < p->dims; i++) {
        int ax = a->rank - p->dims + i;
        int64_t end = kl_sat_add(p->padding[i], p->stride[i] - 1);
        lo[ax] = p->padding[i];
        hi[ax] = p->ceil ? KL_MIN(end, reach(p, i) - 1) : p->padding[i];
        w[i] = (kl_window_axis){ax, p->size[i], p->stride[i], p->dilation[i]};
    }
    return a ? kl_n_window(kl_n_pad(a, fill, lo, hi, NULL), p->dims, w) : NULL;
}

static uint64_t window_axes(kl_lazy *a, const pool *p)
{
    return ((UINT64_C(1) << p->dims) - 1) << a->rank;
}

/* The lowest value of a dtype. */
static kl_lazy *lowest(kl_dtype dt)
{
    if (kl_is_float(dt))
        return kl_n_const(dt, -INFINITY);
    int bits = 8 * kl_dtypes[dt].size;
    return kl_n_const_int(dt, dt == KL_BOOL || dt == KL_U8 || dt == KL_U16 ||
                                      dt == KL_U32 || dt == KL_U64
                                  ? 0
                                  : -(INT64_C(1) << (bits - 2)) * 2);
}

/* ---- largest ---- */

/* Where in the input's last dims axes, flattened, each window's first largest stands. */
static kl_lazy *largest_at(kl_lazy *a, kl_lazy *v, const pool *p)
{
    int64_t shape[KL_MAX_RANK], count = 1, n = 1;
    for (int i = 0; i < p->dims; i++)
        count *= p->size[i];
    memcpy(shape, kl_lazy_shape(v), a->rank * sizeof *shape);
    shape[a->rank] = count;
    kl_lazy *k =
        kl_n_arg(KL_OP_argmax, kl_n_reshape(v, a->rank + 1, shape), a->rank, false);
    kl_lazy *r = kl_n_const_int(KL_I64, 0);
    for (int i = p->dims; i-- > 0;) { /* k's last digit is the last axis' */
        kl_lazy *tap = kl_n_binc(KL_OP_rem, k, (double)p->size[i]);
        kl_lazy *from =
            k ? kl_n_iota(KL_I64, a->rank, kl_lazy_shape(k), a->rank - p->dims + i)
              : NULL;
        from = plus(times(from, (double)p->stride[i]), (double)-p->padding[i]);
        kl_lazy *x = add(from, times(tap, (double)p->dilation[i]));
        r = add(r, times(x, (double)n));
        n *= p->in[i];
        k = kl_n_binc(KL_OP_div, k, (double)p->size[i]);
    }
    return r;
}

static kl_tensor *two(kl_call *c, kl_lazy *v, kl_lazy *i, kl_tensor **index)
{
    if (v && i && kl_thread()->exposed && kl_force((kl_lazy *[]){v, i}, 2))
        v = NULL;
    *index = v && i ? kl_tensor_wrap(i) : NULL;
    if (*index && kl_scope_add(*index))
        *index = NULL;
    return kl_call_end(c, *index ? v : NULL);
}

static kl_tensor *max_pool(kl_call *c, const char *fn, kl_tensor *x, int dims,
                           const kl_pool_axes *o, kl_tensor **index)
{
    kl_lazy *a = kl_arg_tensor(x);
    pool p;
    if (!a || !settle(fn, a, dims, o, &p))
        return kl_call_end(c, NULL);
    kl_lazy *v = windowed(a, &p, lowest(type(a)));
    kl_lazy *r = kl_n_reduce(KL_OP_max, v, window_axes(a, &p), false);
    return index ? two(c, r, v ? largest_at(a, v, &p) : NULL, index) : kl_call_end(c, r);
}

kl_tensor *kl_max_pool_axes_at(const char *at, kl_tensor *x, int dims, kl_pool_axes o,
                               kl_tensor **index)
{
    kl_call c = kl_call_begin(at);
    return max_pool(&c, "max_pool", x, dims, &o, index);
}

/* ---- averages ---- */

/* How many elements along axis i each window counts: f64 [out]. */
static kl_lazy *counted(const pool *p, int i, bool padding)
{
    kl_lazy *from = times(kl_n_iota(KL_F64, 1, &p->out[i], 0), (double)p->stride[i]);
    from = plus(from, (double)-p->padding[i]);
    kl_lazy *to = kl_n_binc(KL_OP_min, plus(from, (double)p->size[i]),
                            (double)(p->in[i] + p->padding[i]));
    if (padding)
        return sub(to, from);
    return sub(kl_n_binc(KL_OP_min, to, (double)p->in[i]), kl_n_binc(KL_OP_max, from, 0));
}

static kl_lazy *divisor(const pool *p, bool padding)
{
    kl_lazy *all = NULL;
    for (int i = 0; i < p->dims; i++) {
        int64_t shape[MOST] = {1, 1, 1};
        shape[i] = p->out[i];
        kl_lazy *n = kl_n_reshape(counted(p, i, padding), p->dims, shape);
        all = all ? mul(all, n) : n;
    }
    return all;
}

/* Does every window count all of its elements? */
static bool even(const pool *p, bool padding)
{
    for (int i = 0; i < p->dims; i++) {
        int64_t last = (p->out[i] - 1) * p->stride[i] + p->size[i];
        if (p->padding[i] ? !padding || last > p->in[i] + 2 * p->padding[i] : p->ceil)
            return false;
    }
    return true;
}

static kl_lazy *average(kl_lazy *a, const pool *p, const kl_pool_axes *o)
{
    kl_lazy *w = kl_n_widen(a);
    double count = 1;
    for (int i = 0; i < p->dims; i++)
        count *= (double)p->size[i];
    kl_lazy *v = windowed(w, p, num(w, 0));
    kl_lazy *s = kl_n_reduce(KL_OP_add, v, window_axes(a, p), false);
    if (o->divisor || even(p, !o->exclude_padding))
        s = kl_n_binc(KL_OP_div, s, o->divisor ? (double)o->divisor : count);
    else
        s = s ? over(s, kl_n_cast(divisor(p, !o->exclude_padding), type(s))) : NULL;
    return s ? kl_n_cast(s, type(a)) : NULL;
}

static kl_tensor *avg_pool(kl_call *c, const char *fn, kl_tensor *x, int dims,
                           const kl_pool_axes *o)
{
    kl_lazy *a = kl_arg_tensor(x);
    pool p;
    if (!a || !settle(fn, a, dims, o, &p))
        return kl_call_end(c, NULL);
    return kl_call_end(c, average(a, &p, o));
}

kl_tensor *kl_avg_pool_axes_at(const char *at, kl_tensor *x, int dims, kl_pool_axes o)
{
    kl_call c = kl_call_begin(at);
    return avg_pool(&c, "avg_pool", x, dims, &o);
}

/* ---- with one number for all axes ---- */

static bool is_float(kl_tensor *x)
{
    return kl_is_float(kl_dtype_of(x)) || !x;
}

kl_tensor *kl_max_pool_at(const char *at, kl_tensor *x, int dims, int size,
                          kl_pool_options o)
{
    kl_call c = kl_call_begin(at);
    kl_pool_axes a = {.size = kl_axes(size), .padding = kl_axes(o.padding)};
    if (o.stride)
        a.stride = kl_axes(o.stride);
    return max_pool(&c, "max_pool", x, dims, &a, NULL);
}

kl_tensor *kl_avg_pool_at(const char *at, kl_tensor *x, int dims, int size,
                          kl_pool_options o)
{
    kl_call c = kl_call_begin(at);
    kl_pool_axes a = {.size = kl_axes(size), .padding = kl_axes(o.padding)};
    if (o.stride)
        a.stride = kl_axes(o.stride);
    if (!is_float(x)) {
        kl_fail(KL_ERR_DTYPE, "avg_pool: not implemented for '%s'",
                kl_dtypes[x->dtype].scalar);
        return kl_call_end(&c, NULL);
    }
    return avg_pool(&c, "avg_pool", x, dims, &a);
}

/* ---- the p-th root of sums of p-th powers ---- */

kl_tensor *kl_lp_pool_at(const char *at, kl_tensor *x, int dims, double p, kl_pool_axes o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    pool w;
    if (!a || !settle("lp_pool", a, dims, &o, &w))
        return kl_call_end(&c, NULL);
    kl_lazy *f = kl_n_widen(a), *v = windowed(kl_n_binc(KL_OP_pow, f, p), &w, num(f, 0));
    kl_lazy *s = kl_n_reduce(KL_OP_add, v, window_axes(a, &w), false);
    s = kl_n_where(kl_n_binc(KL_OP_eq, s, 0), num(s, 0), s); /* no gradient at 0 */
    return kl_call_end(&c, kl_n_cast(kl_n_binc(KL_OP_pow, s, 1 / p), type(a)));
}

/* ---- a given number of windows: from floor(i n / m) to ceil((i + 1) n / m) ---- */

static bool sizes_ok(const char *fn, kl_lazy *a, int dims, kl_ints *out)
{
    bool ok = dims >= 1 && dims <= MOST && a->rank > dims && out->n >= 1 &&
              (out->n == 1 || out->n == dims);
    for (int i = dims; ok && i-- > 0;) {
        int64_t in = kl_lazy_shape(a)[a->rank - dims + i];
        out->v[i] = out->v[out->n == 1 ? 0 : i];
        out->v[i] = out->v[i] == -1 ? in : out->v[i];
        ok = out->v[i] >= 0 && in > 0;
    }
    out->n = dims;
    if (!ok) {
        char s[128];
        kl_fail(KL_ERR_SHAPE, "%s: input %s cannot be pooled to that size", fn,
                kl_ints_text(kl_ints_of(a->rank, kl_lazy_shape(a)), s, sizeof s));
    }
    return ok;
}

/* The most elements that a window has. The i-th begins i in / out mod 1 behind an
 * element: a multiple of gcd(in, out) / out, each of them for some i. */
static int64_t longest(int64_t in, int64_t out)
{
    int64_t left = in % out, a = out, b = left;
    while (b) {
        int64_t r = a % b;
        a = b, b = r;
    }
    return in / out + (left > 0) + (left > a);
}

/* [out, most] indices along an axis; a shorter window repeats its last element, and
 * counts[out] tells how many are its own. */
static kl_lazy *members(int64_t in, int64_t out, int64_t *most, kl_lazy **counts)
{
    *most = out > 0 ? longest(in, out) : 1;
    if (kl_thread()->open) /* what is enough whatever in leaves over */
        *most = in / out + 2;
    int64_t shape[2] = {out, *most};
    kl_lazy *i = kl_n_iota(KL_I64, 1, &out, 0);
    kl_lazy *from = kl_n_binc(KL_OP_floordiv, times(i, (double)in), (double)out);
    kl_lazy *to = times(plus(i, 1), (double)in);
    to = kl_n_binc(KL_OP_floordiv, plus(to, (double)(out - 1)), (double)out);
    *counts = sub(to, from);
    kl_lazy *k = add(kl_n_unsqueeze(from, 1), kl_n_iota(KL_I64, 2, shape, 1));
    return kl_n_bin(KL_OP_min, k, plus(kl_n_unsqueeze(to, 1), -1));
}

/* The mean along one axis: gather, mask, sum. */
static kl_lazy *adaptive_mean(kl_lazy *a, int axis, int64_t out)
{
    int64_t in = kl_lazy_shape(a)[axis], most, shape[KL_MAX_RANK];
    if (out == in)
        return a;
    if (out == 0)
        return kl_n_slice_axis(a, axis, 0, 0, 1);
    if (out == 1)
        return kl_n_binc(KL_OP_div, kl_n_reduce(KL_OP_add, a, UINT64_C(1) << axis, true),
                         (double)in);
    kl_lazy *count, *index = members(in, out, &most, &count);
    kl_lazy *v = kl_n_gather(a, index, axis, 0); /* [.., out, most, ..] */
    int rank = a->rank - axis + 1;               /* from axis on */
    for (int i = 0; i < rank; i++)
        shape[i] = i == 0 ? out : i == 1 ? most : 1;
    kl_lazy *own =
        kl_n_bin(KL_OP_lt, kl_n_iota(KL_I64, 2, shape, 1), kl_n_unsqueeze(count, 1));
    v = or_number(kl_n_reshape(own, rank, shape), v, 0);
    v = kl_n_reduce(KL_OP_add, v, UINT64_C(1) << (axis + 1), false);
    shape[1] = 1;
    kl_lazy *n = v ? kl_n_reshape(kl_n_cast(count, type(v)), rank - 1, shape) : NULL;
    return over(v, n);
}

kl_tensor *kl_adaptive_avg_pool_at(const char *at, kl_tensor *x, int dims, kl_ints out)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (!a || !sizes_ok("adaptive_avg_pool", a, dims, &out))
        return kl_call_end(&c, NULL);
    kl_lazy *r = kl_n_widen(a);
    for (int i = 0; i < dims && r; i++)
        r = adaptive_mean(r, a->rank - dims + i, out.v[i]);
    return kl_call_end(&c, r ? kl_n_cast(r, type(a)) : NULL);
}

/* All windows as [.., out.., most..], and the same of each element's flat place. */
static kl_lazy *adaptive_windows(kl_lazy *a, int dims, kl_ints out, kl_lazy **places)
{
    int64_t most[MOST], n = 1;
    int first = a->rank - dims;
    kl_lazy *v = a, *place = kl_n_const_int(KL_I64, 0), *count;
    for (int i = dims; i-- > 0 && v;) {
        int64_t in = kl_lazy_shape(a)[first + i], shape[2 * MOST] = {1, 1, 1, 1, 1, 1};
        kl_lazy *index = members(in, out.v[i], &most[i], &count);
        v = kl_n_gather(v, index, first + i, 0); /* its window axis next to it */
        shape[i] = out.v[i], shape[dims + i] = most[i];
        place = add(place, times(kl_n_reshape(index, 2 * dims, shape), (double)n));
        n *= in;
    }
    int perm[KL_MAX_RANK];
    for (int i = 0; v && i < v->rank; i++)
        perm[i] = i < first          ? i
                  : i < first + dims ? first + 2 * (i - first)
                                     : first + 2 * (i - first - dims) + 1;
    *places = place;
    return kl_n_permute(v, perm);
}

kl_tensor *kl_adaptive_max_pool_at(const char *at, kl_tensor *x, int dims, kl_ints out,
                                   kl_tensor **index)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *places;
    if (!a || !sizes_ok("adaptive_max_pool", a, dims, &out))
        return kl_call_end(&c, NULL);
    kl_lazy *v = adaptive_windows(a, dims, out, &places);
    uint64_t axes = ((UINT64_C(1) << dims) - 1) << a->rank;
    kl_lazy *r = kl_n_reduce(KL_OP_max, v, axes, false);
    if (!index || !v)
        return kl_call_end(&c, r);
    int64_t shape[KL_MAX_RANK], count = 1;
    memcpy(shape, kl_lazy_shape(v), a->rank * sizeof *shape);
    for (int i = 0; i < dims; i++)
        count *= kl_lazy_shape(v)[a->rank + i];
    shape[a->rank] = count;
    kl_lazy *k =
        kl_n_arg(KL_OP_argmax, kl_n_reshape(v, a->rank + 1, shape), a->rank, true);
    places = kl_n_reshape(kl_n_expand_like(places, v), a->rank + 1, shape);
    kl_lazy *i = kl_n_gather(places, k, a->rank, a->rank);
    return two(&c, r, i ? kl_n_reshape(i, a->rank, shape) : NULL, index);
}

/* ---- back ---- */

/* x's elements put at their places in zeros of the given last axes. */
