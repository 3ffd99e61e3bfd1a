/* vision.c: sampling images at given places, affine grids, pixels moved between channels
 * and space, windows as columns and back.
 *
 *   grid_sample(x [N,C,H,W], grid [N,h,w,2])
 *     ->  for each corner of each place: gather(x [N,C,HW], y W + x) * weight, summed */
#include "terms.h"

enum { MOST = 3 };

/* ---- sampling ---- */

typedef enum border { ZEROS, BORDER, REFLECTION } border;

typedef struct sampler {
    kl_lazy *x; /* [N, C, all] */
    int dims;
    int64_t size[MOST]; /* of the axis that grid's component k names: the last first */
    border border;
    bool corners;
} sampler;

/* From [-1, 1] to elements. */
static kl_lazy *in_elements(const sampler *s, int k, kl_lazy *g)
{
    double n = (double)s->size[k];
    if (s->corners)
        return times(plus(g, 1), (n - 1) / 2);
    return times(plus(times(plus(g, 1), n), -1), 0.5);
}

static kl_lazy *clipped(kl_lazy *x, double hi)
{
    kl_lazy *low = kl_n_where(kl_n_binc(KL_OP_le, x, 0), num(x, 0), x);
    return kl_n_where(kl_n_cbin(KL_OP_le, hi, low), num(x, hi), low);
}

/* Back and forth between the two ends. */
static kl_lazy *reflected(const sampler *s, int k, kl_lazy *x)
{
    double n = (double)s->size[k], lo = s->corners ? 0 : -0.5;
    double span = s->corners ? n - 1 : n;
    if (span <= 0)
        return times(x, 0);
    kl_lazy *d = un(KL_OP_abs, plus(x, -lo));
    kl_lazy *extra = kl_n_binc(KL_OP_rem, d, span);
    kl_lazy *turns = un(KL_OP_floor, kl_n_binc(KL_OP_div, d, span));
    kl_lazy *even = equals(kl_n_binc(KL_OP_rem, turns, 2), 0);
    return kl_n_where(even, plus(extra, lo), kl_n_cbin(KL_OP_sub, span + lo, extra));
}

static kl_lazy *bounded(const sampler *s, int k, kl_lazy *x)
{
    if (s->border == REFLECTION)
        x = reflected(s, k, x);
    return s->border == ZEROS ? x : clipped(x, (double)(s->size[k] - 1));
}

/* x at whole coordinates [N, P] an axis, 0 outside: [N, C, P]. */
static kl_lazy *value_at(const sampler *s, kl_lazy *const *at)
{
    kl_lazy *index = NULL, *in = NULL;
    int64_t n = 1;
    for (int k = 0; k < s->dims; k++) {
        double last = (double)(s->size[k] - 1);
        kl_lazy *here = kl_n_bin(KL_OP_and, kl_n_cbin(KL_OP_le, 0, at[k]),
                                 kl_n_binc(KL_OP_le, at[k], last));
        kl_lazy *i = kl_n_cast(or_number(here, at[k], 0), KL_I64);
        i = times(i, (double)n);
        index = index ? add(index, i) : i;
        in = in ? kl_n_bin(KL_OP_and, in, here) : here;
        n *= s->size[k];
    }
    kl_lazy *v = kl_n_gather(s->x, index, 2, 1);
    return or_number(kl_n_unsqueeze(in, 1), v, 0);
}

static kl_lazy *linear(const sampler *s, kl_lazy *const *x)
{
    kl_lazy *lo[MOST], *f[MOST], *sum = NULL;
    for (int k = 0; k < s->dims; k++) {
        lo[k] = un(KL_OP_floor, x[k]);
        f[k] = sub(x[k], lo[k]);
    }
    for (int corner = 0; corner < 1 << s->dims; corner++) {
        kl_lazy *at[MOST], *w = NULL;
        for (int k = 0; k < s->dims; k++) {
            bool high = corner >> k & 1;
            at[k] = high ? plus(lo[k], 1) : lo[k];
            kl_lazy *part = high ? f[k] : kl_n_cbin(KL_OP_sub, 1, f[k]);
            w = w ? mul(w, part) : part;
        }
        kl_lazy *v = mul(value_at(s, at), kl_n_unsqueeze(w, 1));
        sum = sum ? add(sum, v) : v;
    }
    return sum;
}

/* Weights of the four taps at f beyond the second (a = -0.75). */
static void cubic(kl_lazy *f, kl_lazy *w[4])
{
    const double a = -0.75;
    for (int k = 0; k < 4; k++) {
        kl_lazy *d = k < 2 ? plus(f, 1 - k) : kl_n_cbin(KL_OP_sub, k - 1, f);
        if (k == 1 || k == 2)
            w[k] = plus(mul(mul(plus(times(d, a + 2), -(a + 3)), d), d), 1);
        else
            w[k] = plus(mul(plus(mul(plus(times(d, a), -5 * a), d), 8 * a), d), -4 * a);
    }
}

static kl_lazy *bicubic(const sampler *s, kl_lazy *const *x)
{
    kl_lazy *lo[2], *w[2][4], *sum = NULL;
    for (int k = 0; k < 2; k++) {
        lo[k] = un(KL_OP_floor, x[k]);
        cubic(sub(x[k], lo[k]), w[k]);
    }
    for (int tap = 0; tap < 16; tap++) {
        int t[2] = {tap % 4, tap / 4};
        kl_lazy *at[2];
        for (int k = 0; k < 2; k++)
            at[k] = bounded(s, k, plus(lo[k], t[k] - 1));
        kl_lazy *v = mul(value_at(s, at), kl_n_unsqueeze(mul(w[0][t[0]], w[1][t[1]]), 1));
        sum = sum ? add(sum, v) : v;
    }
    return sum;
}

static kl_lazy *sampled(const sampler *s, kl_lazy *grid, char mode)
{
    kl_lazy *x[MOST];
    int64_t shape[2] = {kl_lazy_shape(grid)[0], kl_lazy_shape(grid)[1]};
    for (int k = 0; k < s->dims; k++) {
        kl_lazy *g = kl_n_reshape(kl_n_slice_axis(grid, 2, k, 1, 1), 2, shape);
        x[k] = in_elements(s, k, g);
        x[k] = mode == 'c' ? x[k] : bounded(s, k, x[k]);
        if (mode == 'n')
            x[k] = un(KL_OP_round, x[k]);
    }
    return mode == 'n' ? value_at(s, x) : mode == 'c' ? bicubic(s, x) : linear(s, x);
}

static bool sample_fits(kl_lazy *a, kl_lazy *g, int dims)
{
    const int64_t *sa = kl_lazy_shape(a), *sg = kl_lazy_shape(g);
    bool ok = (dims == 2 || dims == 3) && g->rank == a->rank && sg[0] == sa[0] &&
              sg[g->rank - 1] == dims && g->dtype == a->dtype;
    for (int i = 0; ok && i < dims; i++)
        ok = sa[2 + i] > 0;
    if (!ok) {
        char x[128], y[128];
        kl_fail(KL_ERR_SHAPE,
                "grid_sampler(): expected grid to have size %d in last dimension and the "
                "batch size of input, but got input with sizes %s and grid with sizes %s",
                dims, kl_ints_text(kl_ints_of(a->rank, sa), x, sizeof x),
                kl_ints_text(kl_ints_of(g->rank, sg), y, sizeof y));
    }
    return ok;
}

kl_tensor *kl_grid_sample_at(const char *at, kl_tensor *x, kl_tensor *grid,
                             const char *mode, const char *padding, bool corners)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *g = kl_arg_tensor(grid);
    int dims = a ? a->rank - 2 : 0;
    if (!a || !g || !sample_fits(a, g, dims))
        return kl_call_end(&c, NULL);
    char how = !strcmp(mode, "bicubic") ? 'c' : !strcmp(mode, "nearest") ? 'n' : 'l';
    if (how == 'c' && dims != 2) {
        kl_fail(KL_ERR_ARG,
                "grid_sampler(): bicubic interpolation only supports 4D input");
        return kl_call_end(&c, NULL);
    }
    sampler s = {.dims = dims,
                 .border = padding[0] == 'b'   ? BORDER
                           : padding[0] == 'r' ? REFLECTION
                                               : ZEROS,
                 .corners = corners};
    int64_t shape[KL_MAX_RANK] = {kl_lazy_shape(a)[0], kl_lazy_shape(a)[1], 1}, n = 1;
    for (int k = 0; k < dims; k++) {
        s.size[k] = kl_lazy_shape(a)[a->rank - 1 - k];
        shape[2] *= s.size[k];
        n *= kl_lazy_shape(g)[1 + k];
    }
    s.x = kl_n_reshape(kl_n_widen(a), 3, shape);
    int64_t flat[3] = {shape[0], n, dims};
    kl_lazy *r = sampled(&s, kl_n_reshape(kl_n_widen(g), 3, flat), how);
    memcpy(shape + 2, kl_lazy_shape(g) + 1, (size_t)dims * sizeof *shape);
    return kl_call_end(&c,
                       r ? kl_n_cast(kl_n_reshape(r, a->rank, shape), type(a)) : NULL);
}

/* theta [N, d, d + 1], size [N, C, ..]: the places theta (x, .., 1), [N, .., d]. */
kl_tensor *kl_affine_grid_at(const char *at, kl_tensor *theta, kl_ints size, bool corners)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *t = kl_arg_tensor(theta);
    int dims = size.n - 2;
    if (t && (dims < 2 || dims > MOST || t->rank != 3 || kl_lazy_shape(t)[1] != dims ||
              kl_lazy_shape(t)[2] != dims + 1 || kl_lazy_shape(t)[0] != size.v[0])) {
        kl_fail(KL_ERR_SHAPE, "Expected a batch of 2D affine matrices of shape Nx2x3, or "
                              "of 3D ones of shape Nx3x4, for the given size");
        t = NULL;
    }
    if (!t)
        return kl_call_end(&c, NULL);
    kl_lazy *part[MOST + 1];
    int64_t shape[MOST + 1];
    memcpy(shape, size.v + 2, (size_t)dims * sizeof *shape);
    shape[dims] = 1;
    for (int k = 0; k < dims; k++) {
        double n = (double)shape[dims - 1 - k];
        kl_lazy *i = kl_n_iota(type(t), dims + 1, shape, dims - 1 - k);
        double step = corners ? (n > 1 ? 2 / (n - 1) : 0) : 2 / n;
        part[k] = plus(times(i, step), corners ? (n > 1 ? -1 : 0) : 1 / n - 1);
    }
    part[dims] = kl_n_full(type(t), dims + 1, shape, 1);
    kl_lazy *base = kl_n_concat(part, dims + 1, dims);
    kl_lazy *r = kl_n_contract(t, base, dims == 2 ? "nik,hwk->nhwi" : "nik,dhwk->ndhwi",
                               kl_n_widen(t) == t ? type(t) : KL_F32);
    return kl_call_end(&c, kl_n_cast(r, type(t)));
}

/* ---- channels and space ---- */

static kl_tensor *shuffled(kl_call *c, kl_lazy *a, const int64_t *split, const int *order,
                           const int64_t *tail)
{
    int lead = a->rank - 3, perm[KL_MAX_RANK];
    int64_t shape[KL_MAX_RANK];
    memcpy(shape, kl_lazy_shape(a), (size_t)lead * sizeof *shape);
    memcpy(shape + lead, split, 5 * sizeof *shape);
    for (int i = 0; i < lead; i++)
        perm[i] = i;
    for (int i = 0; i < 5; i++)
        perm[lead + i] = lead + order[i];
    kl_lazy *r = kl_n_permute(kl_n_reshape(a, lead + 5, shape), perm);
    memcpy(shape + lead, tail, 3 * sizeof *shape);
    return kl_call_end(c, kl_n_reshape(r, a->rank, shape));
}

/* [.., C r r, H, W] -> [.., C, H r, W r] */
kl_tensor *kl_pixel_shuffle_at(const char *at, kl_tensor *x, int64_t r)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (a && (a->rank < 3 || r < 1 || r > INT32_MAX ||
              kl_lazy_shape(a)[a->rank - 3] % (r * r))) {
        kl_fail(KL_ERR_SHAPE,
                "pixel_shuffle expects its input's 'channel' dimension to be divisible "
                "by the square of upscale_factor, but got a %d-d input and factor %lld",
                a->rank, (long long)r);
        a = NULL;
    }
    if (!a)
        return kl_call_end(&c, NULL);
    const int64_t *s = kl_lazy_shape(a) + a->rank - 3;
    int64_t n = s[0] / (r * r);
    return shuffled(&c, a, (int64_t[]){n, r, r, s[1], s[2]}, (int[]){0, 3, 1, 4, 2},
                    (int64_t[]){n, kl_sat_mul(s[1], r), kl_sat_mul(s[2], r)});
}

kl_tensor *kl_pixel_unshuffle_at(const char *at, kl_tensor *x, int64_t r)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (a && (a->rank < 3 || r < 1 || kl_lazy_shape(a)[a->rank - 2] % r ||
              kl_lazy_shape(a)[a->rank - 1] % r)) {
        kl_fail(KL_ERR_SHAPE,
                "pixel_unshuffle expects height and width to be divisible by "
                "downscale_factor, but got a %d-d input and factor %lld",
                a->rank, (long long)r);
        a = NULL;
    }
    if (!a)
        return kl_call_end(&c, NULL);
    const int64_t *s = kl_lazy_shape(a) + a->rank - 3;
    int64_t h = s[1] / r, w = s[2] / r;
    return shuffled(&c, a, (int64_t[]){s[0], h, r, w, r}, (int[]){0, 2, 4, 1, 3},
                    (int64_t[]){kl_sat_mul(kl_sat_mul(s[0], r), r), h, w});
}

/* [N, g C, ..] -> [N, C g, ..] */
kl_tensor *kl_channel_shuffle_at(const char *at, kl_tensor *x, int64_t groups)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (a && (a->rank < 3 || groups < 1 || kl_lazy_shape(a)[1] % groups)) {
        kl_fail(KL_ERR_SHAPE,
                "Number of channels must be divisible by groups. Got a %d-d input and "
                "%lld groups.",
                a->rank, (long long)groups);
        a = NULL;
    }
    if (!a)
        return kl_call_end(&c, NULL);
    int64_t shape[KL_MAX_RANK] = {kl_lazy_shape(a)[0], groups,
                                  kl_lazy_shape(a)[1] / groups};
    memcpy(shape + 3, kl_lazy_shape(a) + 2, (size_t)(a->rank - 2) * sizeof *shape);
    kl_lazy *r = kl_n_swap(kl_n_reshape(a, a->rank + 1, shape), 1, 2);
    return kl_call_end(&c, kl_n_reshape(r, a->rank, kl_lazy_shape(a)));
}

/* ---- windows as columns, and back ---- */

typedef struct columns {
    int64_t size[2], dilation[2], padding[2], stride[2],
        out[2]; /* out: windows an axis */
} columns;

static bool of_axes(kl_ints given, int64_t none, int64_t *out)
{
    for (int i = 0; i < 2; i++)
        out[i] = given.n == 0 ? none : given.v[given.n == 1 ? 0 : i];
    return given.n <= 2;
}

/* How many windows an image of h, w has. */
static bool settle(const char *fn, int64_t h, int64_t w, kl_column_options o, columns *k)
{
    int64_t in[2] = {h, w};
    bool ok = o.size.n > 0 && of_axes(o.size, 1, k->size) &&
              of_axes(o.dilation, 1, k->dilation) && of_axes(o.padding, 0, k->padding) &&
              of_axes(o.stride, 1, k->stride);
    for (int i = 0; ok && i < 2; i++) {
        int64_t reach =
            kl_sat_add(kl_sat_mul(k->dilation[i], kl_sat_add(k->size[i], -1)), 1);
        int64_t all = kl_sat_add(in[i], kl_sat_mul(2, k->padding[i]));
        ok = k->size[i] > 0 && k->dilation[i] > 0 && k->stride[i] > 0 &&
             k->padding[i] >= 0 && all >= reach;
        k->out[i] = ok ? (all - reach) / k->stride[i] + 1 : 0;
    }
    if (!ok)
        kl_fail(KL_ERR_SHAPE,
                "%s: an image of (%lld, %lld) has no windows of that size, stride, "
                "padding and dilation",
                fn, (long long)h, (long long)w);
    return ok;
}

/* [N, C, H, W] -> [N, C kh kw, L] */
kl_tensor *kl_im2col_at(const char *at, kl_tensor *x, kl_column_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    columns k;
    bool single = a && a->rank == 3;
    a = single ? kl_n_unsqueeze(a, 0) : a;
    if (a && a->rank != 4) {
        kl_fail(KL_ERR_SHAPE, "im2col: Expected 3D or 4D input tensor, but got %d-D",
                a->rank);
        a = NULL;
    }
    if (!a || !settle("im2col", kl_lazy_shape(a)[2], kl_lazy_shape(a)[3], o, &k))
        return kl_call_end(&c, NULL);
    int64_t pad[4] = {0, 0, k.padding[0], k.padding[1]};
    kl_window_axis w[2] = {{2, k.size[0], k.stride[0], k.dilation[0]},
                           {3, k.size[1], k.stride[1], k.dilation[1]}};
    kl_lazy *v = kl_n_window(kl_n_pad(a, num(a, 0), pad, pad, NULL), 2, w);
    v = kl_n_permute(v, (int[]){0, 1, 4, 5, 2, 3});
    int64_t taps = kl_sat_mul(k.size[0], k.size[1]);
    int64_t shape[3] = {kl_lazy_shape(a)[0], kl_sat_mul(kl_lazy_shape(a)[1], taps),
                        kl_sat_mul(k.out[0], k.out[1])};
    return kl_call_end(&c, kl_n_reshape(v, single ? 2 : 3, shape + single));
}

/* [N, C kh kw, L] -> [N, C, H, W]: overlapping windows are summed. */
kl_tensor *kl_col2im_at(const char *at, kl_tensor *x, kl_ints size, kl_column_options o)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    columns k;
    bool single = a && a->rank == 2;
    int64_t s[2];
    a = single ? kl_n_unsqueeze(a, 0) : a;
    if (!a || !of_axes(size, 1, s) || !settle("col2im", s[0], s[1], o, &k))
        return kl_call_end(&c, NULL);
    int64_t taps = kl_sat_mul(k.size[0], k.size[1]),
            places = kl_sat_mul(k.out[0], k.out[1]);
    if (a->rank != 3 || kl_lazy_shape(a)[1] % taps || kl_lazy_shape(a)[2] != places) {
        char t[128];
        kl_fail(KL_ERR_SHAPE,
                "col2im: Expected input of %lld columns, each of a multiple of %lld "
                "elements, but got %s",
                (long long)places, (long long)taps,
                kl_ints_text(kl_ints_of(a->rank, kl_lazy_shape(a)), t, sizeof t));
        return kl_call_end(&c, NULL);
    }
    int64_t n = kl_lazy_shape(a)[0], channels = kl_lazy_shape(a)[1] / taps;
    int64_t split[6] = {n, channels, k.size[0], k.size[1], k.out[0], k.out[1]};
    kl_lazy *v = kl_n_permute(kl_n_reshape(a, 6, split), (int[]){0, 1, 4, 5, 2, 3});
    kl_window_axis w[2] = {{2, k.size[0], k.stride[0], k.dilation[0]},
                           {3, k.size[1], k.stride[1], k.dilation[1]}};
    int64_t whole[4] = {n, channels, kl_sat_add(s[0], kl_sat_mul(2, k.padding[0])),
                        kl_sat_add(s[1], kl_sat_mul(2, k.padding[1]))};
    int64_t start[4] = {0, 0, k.padding[0], k.padding[1]},
            out[4] = {n, channels, s[0], s[1]};
    kl_lazy *r = kl_n_slice(kl_n_fold(v, 4, whole, 2, w), start, out, NULL);
    return kl_call_end(&c, kl_n_reshape(r, single ? 3 : 4, out + single));
}
