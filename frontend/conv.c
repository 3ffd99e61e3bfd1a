/* conv.c: convolution, also transposed: a window, then a contraction over it.
 *
 *   x [N,C,H,W], w [O,C,3,3]  ->  window: [N,C,H',W',3,3]; contract "nchwyx,ocyx->nohw"
 *
 * A transposed one is the same over x with stride - 1 zeros between its elements and the
 * kernel turned round, but that passes/spread.h leaves the zeros out. No window is ever
 * stored: its reading is an index expression of the kernel (implicit GEMM). */
#include "front.h"
#include "passes/spread.h"

enum { MOST = 3 };

typedef struct conv {
    int dims;
    int64_t stride[MOST], dilation[MOST], lo[MOST], hi[MOST], out[MOST];
    int64_t groups;
    bool transposed;
} conv;

/* An axis of the places: of a transposed one by phases, the first and last of the
 * result's that x reaches, counted in steps of s.apart, and how many zeros stand around
 * them. */
typedef struct place {
    kl_spread s;
    int64_t first, last, before, after;
} place;

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

/* x with zeros between its elements and around it; less than none around: cropped. */
static kl_lazy *around(kl_lazy *x, const int64_t *between, int64_t *lo, int64_t *hi)
{
    kl_lazy *zero = x ? kl_n_const((kl_dtype)x->dtype, 0) : NULL;
    int64_t cut[KL_MAX_RANK], left[KL_MAX_RANK], none[KL_MAX_RANK] = {0};
    bool crops = false;
    for (int i = 0; x && i < x->rank; i++) {
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

/* The places of a transposed one's result that x reaches, among its apart-th ones. */
static bool reached(place *p, int64_t n, int64_t reach, const conv *o, int i)
{
    int64_t last = (n - 1) * o->stride[i] + reach - o->hi[i] + o->out[i];
    p->first = (o->lo[i] + p->s.apart - 1) / p->s.apart;
    p->last = last / p->s.apart;
    p->before = p->first * p->s.apart - o->lo[i];
    p->after = last - p->last * p->s.apart;
    return p->first <= p->last;
}

static bool whole(const place *p)
{
    return p->s.phases == 1 && p->s.apart == 1;
}

static void place_axes(kl_lazy *x, kl_lazy *w, const conv *o, place *p)
{
    for (int i = 0; i < o->dims; i++) {
        int64_t size = kl_lazy_shape(w)[2 + i];
        int64_t n = kl_lazy_shape(x)[x->rank - o->dims + i], d = o->dilation[i];
        int64_t stride = o->transposed ? o->stride[i] : 1;
        int64_t most = KL_MAX(KL_MAX(o->lo[i], o->hi[i]), KL_MAX(n, o->out[i]));
        p[i] = (place){.s = kl_spread_of(size, stride, d)};
        if (!o->transposed)
            p[i].s = kl_spread_plain(size, 1, d);
        else if (whole(&p[i]) || most > INT32_MAX ||
                 !reached(&p[i], n, (size - 1) * d, o, i)) /* all may be zeros */
            p[i] = (place){.s = kl_spread_plain(size, stride, d)};
    }
}

/* x as the kernel slides over it. */
static kl_lazy *padded(kl_lazy *x, const conv *o, const place *p)
{
    int64_t lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, between[KL_MAX_RANK] = {0};
    for (int i = 0; i < o->dims && x; i++) {
        int ax = x->rank - o->dims + i;
        const kl_spread *s = &p[i].s;
        int64_t reach = kl_sat_mul(s->dilation, s->taps - 1);
        between[ax] = s->between;
        lo[ax] = o->lo[i], hi[ax] = o->hi[i];
        if (o->transposed && whole(&p[i])) {
            lo[ax] = reach - o->lo[i];
            hi[ax] = kl_sat_add(reach - o->hi[i], o->out[i]);
        } else if (o->transposed) {
            lo[ax] = reach - p[i].first / s->phases;
            hi[ax] = p[i].last / s->phases - (kl_lazy_shape(x)[ax] - 1);
        }
    }
    return around(x, between, lo, hi);
}

/* The taps as a transposed one's windows meet them, an axis of phases after each axis
 * that has them. */
static kl_lazy *turned(kl_lazy *w, const conv *o, const place *p)
{
    int64_t between[KL_MAX_RANK] = {0}, lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0};
    int64_t shape[KL_MAX_RANK];
    int rank = 0, first = w ? w->rank - o->dims : 0;
    uint64_t flip = 0;
    for (int i = 0; w && i < w->rank; i++) {
        const kl_spread *s = i < first ? NULL : &p[i - first].s;
        between[i] = s ? s->w_between : 0;
        hi[i] = s ? s->w_after : 0;
        flip |= s ? UINT64_C(1) << rank : 0;
        shape[rank++] = s ? s->taps : kl_lazy_shape(w)[i];
        if (s && s->held > 1)
            shape[rank++] = s->held;
    }
    return kl_n_flip(kl_n_reshape(around(w, between, lo, hi), rank, shape), flip);
}

/* y [.., phases.., places..] as the places of the result. */
static kl_lazy *interleaved(kl_lazy *y, const conv *o, const place *p)
{
    int64_t shape[KL_MAX_RANK], start[KL_MAX_RANK] = {0}, between[KL_MAX_RANK] = {0};
    int64_t lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, none[KL_MAX_RANK] = {0};
    int perm[KL_MAX_RANK], n = 0, phase, head;
    if (!y)
        return NULL;
    for (phase = y->rank - o->dims, head = phase, n = 0; n < o->dims; n++)
        head -= p[n].s.held > 1;
    for (n = 0; n < head; n++)
        perm[n] = n, shape[n] = kl_lazy_shape(y)[n];
    for (int i = 0, at = head; i < o->dims; i++) {
        const kl_spread *s = &p[i].s;
        perm[n++] = phase + i;
        if (s->held > 1) {
            hi[n] = s->phases - s->held;
            perm[n++] = at++;
        } else {
            between[n - 1] = hi[n - 1] = s->phases - 1;
        }
        shape[head + i] = kl_lazy_shape(y)[phase + i] * s->phases;
    }
    kl_lazy *zero = kl_n_const((kl_dtype)y->dtype, 0);
    y = kl_n_pad(kl_n_permute(y, perm), zero, none, hi, between);
    y = kl_n_reshape(y, head + o->dims, shape);
    memset(between, 0, sizeof between);
    memset(hi, 0, sizeof hi);
    for (int i = 0; i < o->dims; i++) {
        if (whole(&p[i]))
            continue;
        start[head + i] = p[i].first % p[i].s.phases;
        shape[head + i] = p[i].last - p[i].first + 1;
        between[head + i] = p[i].s.apart - 1;
        lo[head + i] = p[i].before, hi[head + i] = p[i].after;
    }
    return kl_n_pad(kl_n_slice(y, start, shape, NULL), zero, lo, hi, between);
}

static kl_lazy *windows(kl_lazy *x, const conv *o, const place *p)
{
    kl_window_axis a[MOST];
    if (!x)
        return NULL;
    for (int i = 0; i < o->dims; i++)
        a[i] = (kl_window_axis){x->rank - o->dims + i, p[i].s.taps,
                                o->transposed ? 1 : o->stride[i], p[i].s.dilation};
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

/* Labels of the taps' axes and of those of phases, as in w; and of the latter alone. */
static void label(const conv *o, const place *p, char *taps, char *phases)
{
    for (int i = 0; i < o->dims; i++) {
        *taps++ = "xyz"[i];
        if (p[i].s.held > 1)
            *taps++ = *phases++ = "uvw"[i];
    }
    *taps = *phases = 0;
}

static kl_lazy *convolve(kl_lazy *x, kl_lazy *w, const conv *o)
{
    static const char *const space[] = {"", "p", "pq", "pqr"};
    static const char *const tap[] = {"", "x", "xy", "xyz"};
    char labels[64], taps[2 * MOST + 1], phases[MOST + 1];
    kl_dtype dt = (kl_dtype)x->dtype, acc = dt == KL_F16 || dt == KL_BF16 ? KL_F32 : dt;
    const char *g = o->groups > 1 ? "g" : "", *channels = o->transposed ? "co" : "oc";
    place p[MOST];
    place_axes(x, w, o, p);
    label(o, p, taps, phases);
    if (o->groups > 1) /* before the window: its derivative looks for the contraction */
        x = grouped(x, 1, o->groups);
    kl_lazy *v = windows(padded(x, o, p), o, p);
    if (o->transposed)
        w = turned(w, o, p);
    if (o->groups > 1)
        w = grouped(w, 0, o->groups);
    snprintf(labels, sizeof labels, "n%sc%s%s,%s%s%s->n%so%s%s", g, space[o->dims],
             tap[o->dims], g, channels, taps, g, phases, space[o->dims]);
    kl_lazy *y = v && w ? kl_n_contract(v, w, labels, acc) : NULL;
    if (o->transposed)
        y = interleaved(y, o, p);
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

/* (5 x 5) */
static const char *per_axis(const int64_t *v, int n, char *text, size_t size)
{
    int at = 0;
    for (int i = 0; i < n && at < (int)size; i++)
        at += snprintf(text + at, size - (size_t)at, "%s%lld", i ? " x " : "",
                       (long long)v[i]);
    return text;
}

/* Why, as PyTorch says it, where the shapes alone are at fault. */
static void refuse(kl_lazy *x, kl_lazy *w, const conv *o, bool single)
{
    char sx[128], sw[128];
    const int64_t *shape = kl_lazy_shape(x) + single, *sk = kl_lazy_shape(w);
    const char *from = kl_ints_text(kl_ints_of(x->rank - single, shape), sx, sizeof sx);
    const char *weight = kl_ints_text(kl_ints_of(w->rank, sk), sw, sizeof sw);
    if (o->dims > 0 && w->rank == o->dims + 2 && x->rank != w->rank) {
        kl_fail(KL_ERR_SHAPE,
                "Expected %dD (unbatched) or %dD (batched) input to conv%s%dd, but got "
                "input of size: %s",
                o->dims + 1, o->dims + 2, o->transposed ? "_transpose" : "", o->dims,
                from);
        return;
    }
    int64_t taken = x->rank != w->rank ? 0 : o->transposed ? sk[0] : sk[1] * o->groups;
    if (x->rank == w->rank && o->groups > 0 && kl_lazy_shape(x)[1] != taken) {
        kl_fail(
            KL_ERR_SHAPE,
            "Given %s=%lld, weight of size %s, expected input%s to have %lld channels, "
            "but got %lld channels instead",
            o->transposed ? "transposed" : "groups",
            (long long)(o->transposed ? 1 : o->groups), weight, from, (long long)taken,
            (long long)kl_lazy_shape(x)[1]);
        return;
    }
    int64_t span[MOST] = {0}, reach[MOST] = {0};
    bool wide = false;
    for (int i = 0; i < o->dims && x->rank == w->rank; i++) {
        span[i] = kl_lazy_shape(x)[2 + i] + o->lo[i] + o->hi[i];
        reach[i] = (sk[2 + i] - 1) * o->dilation[i] + 1;
        wide = wide || (sk[2 + i] > 0 && reach[i] > span[i]);
    }
    if (wide && !o->transposed) {
        kl_fail(
            KL_ERR_SHAPE,
            "Calculated padded input size per channel: (%s). Kernel size: (%s). Kernel "
            "size can't be greater than actual input size",
            per_axis(span, o->dims, sx, sizeof sx),
            per_axis(reach, o->dims, sw, sizeof sw));
        return;
    }
    kl_fail(KL_ERR_SHAPE,
            "conv: input %s %s and weight %s %s, stride %lld padding %lld dilation %lld "
            "groups %lld do not fit",
            kl_dtypes[x->dtype].name, from, kl_dtypes[w->dtype].name, weight,
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
        refuse(x, w, &o, single);
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
