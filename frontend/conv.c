/* conv.c: convolution, also transposed: a window, then a contraction over it.
 *
 *   x [N,C,H,W], w [O,C,3,3]  ->  window: [N,C,H',W',3,3]; contract "nchwyx,ocyx->nohw"
 *
 * A transposed one is the same over x with stride - 1 zeros between its elements and the
 * kernel turned round. No window is ever stored: its reading is an index expression of
 * the kernel (implicit GEMM). */
#include "front.h"

enum { MOST = 3 };

typedef struct conv {
    int dims;
    int64_t stride[MOST], dilation[MOST], lo[MOST], hi[MOST], out[MOST];
    int64_t groups;
    bool transposed;
} conv;

/* ---- what was asked for, an axis at a time ---- */

bool kl_per_axis(kl_ints given, int dims, int64_t none, int64_t *out)
{
    for (int i = 0; i < dims; i++)
        out[i] = given.n == 0 ? none : given.v[given.n == 1 ? 0 : i];
    return given.n <= 1 || given.n == dims;
}

static bool settle(conv *o, const kl_conv_axes *a, kl_lazy *w)
{
    int64_t pad[MOST];
    bool ok = kl_per_axis(a->stride, o->dims, 1, o->stride) &&
              kl_per_axis(a->dilation, o->dims, 1, o->dilation) &&
              kl_per_axis(a->padding, o->dims, 0, pad) &&
              kl_per_axis(a->output_padding, o->dims, 0, o->out);
    for (int i = 0; i < o->dims && ok; i++) {
        int64_t reach = kl_sat_mul(kl_lazy_shape(w)[2 + i] - 1, o->dilation[i]);
        ok = o->stride[i] >= 1 && o->dilation[i] >= 1 && pad[i] >= 0 && o->out[i] >= 0 &&
             !(a->same && o->stride[i] != 1);
        o->lo[i] = a->same ? reach / 2 : pad[i];
        o->hi[i] = a->same ? reach - reach / 2 : pad[i];
    }
    return ok;
}

/* x as the kernel slides over it. */
static kl_lazy *padded(kl_lazy *x, kl_lazy *w, const conv *o)
{
    int64_t lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, between[KL_MAX_RANK] = {0};
    for (int i = 0; i < o->dims && x; i++) {
        int ax = x->rank - o->dims + i;
        int64_t reach = kl_sat_mul(kl_lazy_shape(w)[2 + i] - 1, o->dilation[i]);
        lo[ax] = o->transposed ? reach - o->lo[i] : o->lo[i];
        hi[ax] = o->transposed ? kl_sat_add(reach - o->hi[i], o->out[i]) : o->hi[i];
        between[ax] = o->transposed ? o->stride[i] - 1 : 0;
    }
    kl_lazy *zero = x ? kl_n_const((kl_dtype)x->dtype, 0) : NULL;
    int64_t cut[KL_MAX_RANK], left[KL_MAX_RANK], none[KL_MAX_RANK] = {0};
    bool crops = false;
    for (int i = 0; x && i < x->rank; i++) { /* less than nothing around: crop */
        cut[i] = KL_MAX(-lo[i], 0);
        int64_t n = kl_lazy_shape(x)[i],
                all = kl_sat_add(n, kl_sat_mul(KL_MAX(n - 1, 0), between[i]));
        left[i] = KL_MAX(kl_sat_add(all - cut[i], KL_MIN(hi[i], 0)), 0);
        crops |= left[i] != all;
        lo[i] = KL_MAX(lo[i], 0);
        hi[i] = KL_MAX(hi[i], 0);
    }
    x = kl_n_pad(x, zero, none, none, between);
    return kl_n_pad(crops ? kl_n_slice(x, cut, left, NULL) : x, zero, lo, hi, NULL);
}

static kl_lazy *windows(kl_lazy *x, kl_lazy *w, const conv *o)
{
    kl_window_axis a[MOST];
    if (!x)
        return NULL;
    for (int i = 0; i < o->dims; i++)
        a[i] = (kl_window_axis){x->rank - o->dims + i, kl_lazy_shape(w)[2 + i],
                                o->transposed ? 1 : o->stride[i], o->dilation[i]};
    return kl_n_window(x, o->dims, a);
}

/* [N, C, ..] -> [N, G, C/G, ..]; axis 1 for data, 0 for weights. */
static kl_lazy *grouped(kl_lazy *a, int axis, int64_t groups)
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
    static const char *const space[] = {"", "p", "pq", "pqr"};
    static const char *const tap[] = {"", "x", "xy", "xyz"};
    char labels[64];
    kl_dtype dt = (kl_dtype)x->dtype, acc = dt == KL_F16 || dt == KL_BF16 ? KL_F32 : dt;
    const char *g = o->groups > 1 ? "g" : "", *channels = o->transposed ? "co" : "oc";
    if (o->groups > 1) /* before the window: its derivative looks for the contraction */
        x = grouped(x, 1, o->groups);
    kl_lazy *v = windows(padded(x, w, o), w, o);
    if (o->transposed)
        w = kl_n_flip(w, ((UINT64_C(1) << o->dims) - 1) << 2);
    if (o->groups > 1)
        w = grouped(w, 0, o->groups);
    snprintf(labels, sizeof labels, "n%sc%s%s,%s%s%s->n%so%s", g, space[o->dims],
             tap[o->dims], g, channels, tap[o->dims], g, space[o->dims]);
    kl_lazy *y = v && w ? kl_n_contract(v, w, labels, acc) : NULL;
    if (!y || o->groups == 1)
        return kl_n_cast(y, dt);
    int64_t shape[KL_MAX_RANK] = {kl_lazy_shape(y)[0],
                                  kl_lazy_shape(y)[1] * kl_lazy_shape(y)[2]};
    memcpy(shape + 2, kl_lazy_shape(y) + 3, (size_t)o->dims * sizeof *shape);
    return kl_n_cast(kl_n_reshape(y, o->dims + 2, shape), dt);
}

/* ---- checking ---- */

static bool fits(kl_lazy *x, kl_lazy *w, const conv *o)
{
    const int64_t *sx = kl_lazy_shape(x), *sw = kl_lazy_shape(w);
    if (o->groups < 1 || x->rank != w->rank || x->dtype != w->dtype)
        return false;
    if (o->transposed ? sx[1] != sw[0] || sw[0] % o->groups
                      : sx[1] != kl_sat_mul(sw[1], o->groups) || sw[0] % o->groups)
        return false;
    for (int i = 0; i < o->dims; i++) {
        int64_t reach = kl_sat_add(kl_sat_mul(sw[2 + i] - 1, o->dilation[i]), 1);
        int64_t around = kl_sat_add(o->lo[i], o->hi[i]), span = sx[2 + i];
        if (o->transposed) {
            span = kl_sat_mul(sx[2 + i] - 1, o->stride[i]);
            span = kl_sat_add(kl_sat_add(span, reach), o->out[i]);
        }
        int64_t least = o->transposed ? around : reach - 1; /* what must be exceeded */
        if (sw[2 + i] < 1 || (o->transposed ? span : kl_sat_add(span, around)) <= least ||
            (o->transposed && o->out[i] >= KL_MAX(o->stride[i], o->dilation[i])))
            return false;
    }
    return true;
}

static void refuse(kl_lazy *x, kl_lazy *w, const conv *o)
{
    char sx[128], sw[128];
    kl_fail(KL_ERR_SHAPE,
            "conv: input %s %s and weight %s %s, stride %lld padding %lld dilation %lld "
            "groups %lld do not fit",
            kl_dtypes[x->dtype].name,
            kl_ints_text(kl_ints_of(x->rank, kl_lazy_shape(x)), sx, sizeof sx),
            kl_dtypes[w->dtype].name,
            kl_ints_text(kl_ints_of(w->rank, kl_lazy_shape(w)), sw, sizeof sw),
            (long long)o->stride[0], (long long)o->lo[0], (long long)o->dilation[0],
            (long long)o->groups);
}

static kl_lazy *convolution(kl_lazy *x, kl_lazy *w, kl_lazy *b, const kl_conv_axes *a)
{
    conv o = {.dims = KL_MIN(KL_MAX(w->rank - 2, 0), MOST),
              .groups = a->groups ? a->groups : 1,
              .transposed = a->transposed};
    bool single = x->rank == w->rank - 1; /* no batch */
    if (single)
        x = kl_n_unsqueeze(x, 0);
    if (!x)
        return NULL;
    if (w->rank - 2 < 1 || w->rank - 2 > MOST || !settle(&o, a, w) || !fits(x, w, &o)) {
        refuse(x, w, &o);
        return NULL;
    }
    kl_lazy *y = convolve(x, w, &o);
    if (b) {
        int64_t shape[KL_MAX_RANK] = {kl_lazy_numel(b), 1, 1, 1};
        y = kl_n_bin(KL_OP_add, y, kl_n_reshape(b, o.dims + 1, shape));
    }
    return y && single ? kl_n_reshape(y, y->rank - 1, kl_lazy_shape(y) + 1) : y;
}

kl_tensor *kl_convolution_at(const char *at, kl_tensor *x, kl_tensor *w, kl_tensor *b,
                             kl_conv_axes o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *k = kl_arg_tensor(w),
            *bias = b ? kl_arg_tensor(b) : NULL;
    if (!a || !k || (b && !bias))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, convolution(a, k, bias, &o));
}

kl_tensor *kl_conv_at(const char *at, kl_tensor *x, kl_tensor *w, kl_tensor *b,
                      kl_conv_options opt)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *k = kl_arg_tensor(w),
            *bias = b ? kl_arg_tensor(b) : NULL;
    kl_conv_axes o = {.stride = kl_axes(opt.stride ? opt.stride : 1),
                      .padding = kl_axes(opt.padding),
                      .dilation = kl_axes(opt.dilation ? opt.dilation : 1),
                      .groups = opt.groups};
    if (!a || !k || (b && !bias))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, convolution(a, k, bias, &o));
}
