/* conv.c: convolution and pooling: a window, then a contraction or a reduction over it.
 *
 *   x [N,C,H,W], w [O,C,3,3]  ->  window: [N,C,H',W',3,3]; contract "nchwyx,ocyx->nohw"
 *
 * No window is ever stored: its reading is an index expression of the kernel (implicit
 * GEMM). */
#include "front.h"

typedef struct conv {
    int dims, stride, padding, dilation, groups;
} conv;

/* fill around the last dims axes */
static kl_lazy *padded(kl_lazy *x, int dims, int padding, double fill)
{
    int64_t lo[KL_MAX_RANK] = {0}, none[KL_MAX_RANK] = {0};
    if (!padding || !x)
        return x;
    for (int i = 0; i < dims; i++)
        lo[x->rank - 1 - i] = padding;
    return kl_n_pad(x, kl_n_const((kl_dtype)x->dtype, fill), lo, lo, none);
}

static kl_lazy *windows(kl_lazy *x, int dims, const int64_t *size, int stride,
                        int dilation)
{
    kl_window_axis w[3];
    if (!x)
        return NULL;
    for (int i = 0; i < dims; i++)
        w[i] = (kl_window_axis){x->rank - dims + i, size[i], stride, dilation};
    return kl_n_window(x, dims, w);
}

/* [N, C, ..] -> [N, G, C/G, ..]; axis 1 for data, 0 for weights. */
static kl_lazy *grouped(kl_lazy *a, int axis, int groups)
{
    int64_t shape[KL_MAX_RANK];
    if (!a)
        return NULL;
    memcpy(shape, kl_lazy_shape(a), (size_t)axis * sizeof *shape);
    shape[axis] = groups;
    shape[axis + 1] = kl_lazy_shape(a)[axis] / groups;
    memcpy(shape + axis + 2, kl_lazy_shape(a) + axis + 1,
           (size_t)(a->rank - axis - 1) * sizeof *shape);
    return kl_n_reshape(a, a->rank + 1, shape);
}

static kl_lazy *convolve(kl_lazy *x, kl_lazy *w, const conv *o)
{
    static const char *const space[] = {"", "p", "pq", "pqr"}, *const tap[] = {
                                                                   "", "x", "xy", "xyz"};
    char labels[64];
    kl_dtype dt = (kl_dtype)x->dtype, acc = dt == KL_F16 || dt == KL_BF16 ? KL_F32 : dt;
    const char *g = o->groups > 1 ? "g" : "";
    kl_lazy *v = windows(padded(x, o->dims, o->padding, 0), o->dims, kl_lazy_shape(w) + 2,
                         o->stride, o->dilation);
    if (o->groups > 1)
        v = grouped(v, 1, o->groups), w = grouped(w, 0, o->groups);
    snprintf(labels, sizeof labels, "n%sc%s%s,%soc%s->n%so%s", g, space[o->dims],
             tap[o->dims], g, tap[o->dims], g, space[o->dims]);
    kl_lazy *y = v && w ? kl_n_contract(v, w, labels, acc) : NULL;
    if (!y || o->groups == 1)
        return kl_n_cast(y, dt);
    int64_t shape[KL_MAX_RANK] = {kl_lazy_shape(y)[0],
                                  kl_lazy_shape(y)[1] * kl_lazy_shape(y)[2]};
    memcpy(shape + 2, kl_lazy_shape(y) + 3, (size_t)o->dims * sizeof *shape);
    return kl_n_cast(kl_n_reshape(y, o->dims + 2, shape), dt);
}

static bool conv_fits(const kl_lazy *x, const kl_lazy *w, const conv *o)
{
    kl_lazy *a = (kl_lazy *)(uintptr_t)x, *b = (kl_lazy *)(uintptr_t)w;
    bool ok = o->dims >= 1 && o->dims <= 3 && x->rank == w->rank && o->stride >= 1 &&
              o->padding >= 0 && o->dilation >= 1 && o->groups >= 1 &&
              x->dtype == w->dtype;
    ok = ok && kl_lazy_shape(a)[1] == kl_lazy_shape(b)[1] * o->groups &&
         kl_lazy_shape(b)[0] % o->groups == 0;
    for (int i = 0; ok && i < o->dims; i++)
        ok = kl_lazy_shape(b)[2 + i] >= 1 &&
             kl_lazy_shape(a)[2 + i] + 2 * o->padding >=
                 (kl_lazy_shape(b)[2 + i] - 1) * o->dilation + 1;
    if (ok)
        return true;
    char sx[128], sw[128];
    kl_fail(KL_ERR_SHAPE,
            "conv: input %s %s and weight %s %s, stride %d padding %d dilation %d groups "
            "%d do not fit",
            kl_dtypes[x->dtype].name,
            kl_ints_text(kl_ints_of(x->rank, kl_lazy_shape(a)), sx, sizeof sx),
            kl_dtypes[w->dtype].name,
            kl_ints_text(kl_ints_of(w->rank, kl_lazy_shape(b)), sw, sizeof sw), o->stride,
            o->padding, o->dilation, o->groups);
    return false;
}

kl_tensor *kl_conv_at(const char *at, kl_tensor *x, kl_tensor *w, kl_tensor *b,
                      kl_conv_options opt)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *k = kl_arg_tensor(w),
            *bias = b ? kl_arg_tensor(b) : NULL;
    if (!a || !k || (b && !bias))
        return kl_call_end(&c, NULL);
    conv o = {a->rank - 2, opt.stride ? opt.stride : 1, opt.padding,
              opt.dilation ? opt.dilation : 1, opt.groups ? opt.groups : 1};
    if (!conv_fits(a, k, &o))
        return kl_call_end(&c, NULL);
    kl_lazy *y = convolve(a, k, &o);
    if (bias) {
        int64_t shape[KL_MAX_RANK] = {kl_lazy_numel(bias), 1, 1, 1};
        y = kl_n_bin(KL_OP_add, y, kl_n_reshape(bias, o.dims + 1, shape));
    }
    return kl_call_end(&c, y);
}

/* ---- pooling ---- */

static kl_tensor *pool(const char *at, const char *fn, kl_tensor *x, int dims, int size,
                       kl_pool_options o, bool max)
{
    kl_call c = kl_call_enter(at, fn);
    kl_lazy *a = kl_arg_tensor(x);
    int64_t sizes[3] = {size, size, size}, count = 1;
    if (!a)
        return kl_call_end(&c, NULL);
    int stride = o.stride ? o.stride : size;
    bool ok = dims >= 1 && dims <= 3 && a->rank > dims && size >= 1 && stride >= 1 &&
              o.padding >= 0 && 2 * o.padding <= size;
    for (int i = 0; ok && i < dims; i++)
        ok = kl_lazy_shape(a)[a->rank - 1 - i] + 2 * o.padding >= size;
    if (!ok || !kl_is_float((kl_dtype)a->dtype)) {
        char s[128];
        kl_fail(KL_ERR_SHAPE, "%s: input %s %s, size %d stride %d padding %d do not fit",
                fn, kl_dtypes[a->dtype].name,
                kl_ints_text(kl_ints_of(a->rank, kl_lazy_shape(a)), s, sizeof s), size,
                stride, o.padding);
        return kl_call_end(&c, NULL);
    }
    kl_lazy *f = max ? a : kl_n_widen(a);
    kl_lazy *v =
        windows(padded(f, dims, o.padding, max ? -INFINITY : 0), dims, sizes, stride, 1);
    uint64_t axes = 0;
    for (int i = 0; i < dims; i++)
        axes |= UINT64_C(1) << (a->rank + i), count *= size;
    kl_lazy *y = kl_n_reduce(max ? KL_OP_max : KL_OP_add, v, axes, false);
    if (!max)
        y = kl_n_cast(kl_n_binc(KL_OP_div, y, (double)count), (kl_dtype)a->dtype);
    return kl_call_end(&c, y);
}

kl_tensor *kl_max_pool_at(const char *at, kl_tensor *x, int dims, int size,
                          kl_pool_options o)
{
    return pool(at, "max_pool", x, dims, size, o, true);
}

kl_tensor *kl_avg_pool_at(const char *at, kl_tensor *x, int dims, int size,
                          kl_pool_options o)
{
    return pool(at, "avg_pool", x, dims, size, o, false);
}
