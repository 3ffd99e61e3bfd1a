/* op_vision.c: regions of images, deformed convolutions, columns back to images. Values
 * between pixels are sums of the four around a place, weighted by how near they are. */
#include <math.h>

#include "op_conv.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* ---- two taps along an axis ---- */

typedef struct taps {
    kl_tensor *at[2], *w[2];
} taps;

/* RoiAlign's: places up to one pixel outside count as the border's. */
static taps border_taps(kl_tensor *y, int64_t extent)
{
    kl_tensor *inside = kl_logical_and(kl_ge(y, -1.0), kl_le(y, (double)extent));
    y = kl_max(y, 0.0);
    kl_tensor *low = kl_min(kl_floor(y), (double)(extent - 1));
    kl_tensor *f = kl_where(kl_ge(low, (double)(extent - 1)), 0.0, kl_sub(y, low));
    taps t;
    t.at[0] = kl_to(low, KL_I64);
    t.at[1] = kl_min(kl_add(t.at[0], 1), extent - 1);
    t.w[0] = kl_where(inside, kl_sub(1.0, f), 0.0);
    t.w[1] = kl_where(inside, f, 0.0);
    return t;
}

/* What lies outside is 0. */
static taps zero_taps(kl_tensor *y, int64_t extent)
{
    kl_tensor *low = kl_floor(y), *f = kl_sub(y, low);
    taps t;
    for (int i = 0; i < 2; i++) {
        kl_tensor *p = i ? kl_add(low, 1.0) : low;
        kl_tensor *in = kl_logical_and(kl_ge(p, 0.0), kl_lt(p, (double)extent));
        t.at[i] = kl_to(kl_clamp(p, 0.0, (double)(extent > 0 ? extent - 1 : 0)), KL_I64);
        t.w[i] = kl_where(in, i ? f : kl_sub(1.0, f), 0.0);
    }
    return t;
}

/* ---- regions ---- */

typedef struct regions {
    int64_t oh, ow, R, C, H, W, G; /* G: samples an output and axis, at most */
    bool max;
} regions;

/* Places along an axis [R, out * G] and the share of each sample [R, 1 or out * G]. */
static kl_tensor *samples(kl_tensor *begin, kl_tensor *size, int64_t out, int64_t G,
                          kl_tensor *count)
{
    kl_tensor *o = kl_reshape(kl_arange(0, out, 1, KL_F32), kl_shape(1, out, 1));
    kl_tensor *g = kl_reshape(kl_arange(0, G, 1, KL_F32), kl_shape(1, 1, G));
    kl_tensor *bin = kl_reshape(kl_div(size, (double)out), kl_shape(-1, 1, 1));
    kl_tensor *c = kl_reshape(count, kl_shape(-1, 1, 1));
    kl_tensor *y = kl_add(kl_mul(o, bin), kl_div(kl_mul(kl_add(g, 0.5), bin), c));
    return kl_reshape(kl_add(y, kl_reshape(begin, kl_shape(-1, 1, 1))),
                      kl_shape(-1, out * G));
}

/* x [R, C, H, W] at rows [R, P] and columns [R, Q]: [R, C, P, Q] */
static kl_tensor *picked(const regions *r, kl_tensor *x, kl_tensor *rows,
                         kl_tensor *columns)
{
    int64_t P = kl_extent(rows, 1), Q = kl_extent(columns, 1);
    kl_tensor *i = kl_expand(kl_reshape(rows, kl_shape(r->R, 1, P, 1)),
                             kl_shape(r->R, r->C, P, r->W));
    x = kl_gather(x, 2, i);
    i = kl_expand(kl_reshape(columns, kl_shape(r->R, 1, 1, Q)),
                  kl_shape(r->R, r->C, P, Q));
    return kl_gather(x, 3, i);
}

/* [R, C, oh G, ow G] to [R, C, oh, ow]; samples beyond a region's own count are left out.
 */
static kl_tensor *collected(const regions *r, kl_tensor *v, kl_tensor *ch, kl_tensor *cw)
{
    v = kl_reshape(v, kl_shape(r->R, r->C, r->oh, r->G, r->ow, r->G));
    kl_tensor *g = kl_arange(0, r->G, 1, KL_F32);
    kl_tensor *a = kl_lt(kl_reshape(g, kl_shape(1, r->G, 1, 1)),
                         kl_reshape(ch, kl_shape(-1, 1, 1, 1)));
    kl_tensor *b = kl_lt(kl_reshape(g, kl_shape(1, 1, 1, r->G)),
                         kl_reshape(cw, kl_shape(-1, 1, 1, 1)));
    kl_tensor *on = kl_reshape(kl_logical_and(a, b), kl_shape(r->R, 1, 1, r->G, 1, r->G));
    if (r->max)
        return kl_amax_axes(kl_where(on, v, -INFINITY), kl_axes(3, 5), false);
    kl_tensor *sum = kl_sum_axes(kl_where(on, v, 0.0), kl_axes(3, 5), false);
    return kl_div(sum, kl_reshape(kl_mul(ch, cw), kl_shape(-1, 1, 1, 1)));
}

/* Samples an output: given, or as many as a region's bins have pixels. */
static kl_tensor *counts(kl_onnx_op *n, kl_tensor *size, int64_t out, int64_t *most)
{
    int64_t given = kl_onnx_int(n, "sampling_ratio", 0);
    if (given >= 4096)
        return NULL;
    if (given > 0) {
        *most = *most > given ? *most : given;
        return kl_full_at(KL_HERE, kl_shape_of(size), kl_arg_d((double)given), KL_F32);
    }
    kl_tensor *c = kl_max(kl_ceil(kl_div(size, (double)out)), 1.0), *top = kl_amax(c);
    float v = 1;
    if (!top || kl_peek(top, &v, sizeof v) || !(v < 4096))
        return NULL;
    *most = (int64_t)v > *most ? (int64_t)v : *most;
    return c;
}

OP(RoiAlign)
{
    kl_tensor *x = in(n, 0), *rois = kl_to(in(n, 1), KL_F32);
    bool half = strcmp(kl_onnx_text(n, "coordinate_transformation_mode",
                                    n->opset < 16 ? "output_half_pixel" : "half_pixel"),
                       "half_pixel") == 0;
    regions r = {.oh = kl_onnx_int(n, "output_height", 1),
                 .ow = kl_onnx_int(n, "output_width", 1),
                 .R = kl_extent(rois, 0),
                 .C = kl_extent(x, 1),
                 .H = kl_extent(x, 2),
                 .W = kl_extent(x, 3),
                 .G = 1,
                 .max = strcmp(kl_onnx_text(n, "mode", "avg"), "max") == 0};
    if (kl_rank(x) != 4 || kl_rank(rois) != 2 || r.oh < 1 || r.ow < 1 || r.oh > 1 << 24 ||
        r.ow > 1 << 24) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "operands of %d and %d dimensions", kl_rank(x),
                     kl_rank(rois));
        return;
    }
    if (!r.R) { /* no largest count of samples */
        give(n, 0, kl_zeros(kl_shape(0, r.C, r.oh, r.ow), kl_dtype_of(x)));
        return;
    }
    double scale = kl_onnx_float(n, "spatial_scale", 1);
    rois = kl_sub(kl_mul(rois, scale), half ? 0.5 : 0.0);
    kl_tensor *x0 = kl_select(rois, 1, 0), *y0 = kl_select(rois, 1, 1);
    kl_tensor *w = kl_sub(kl_select(rois, 1, 2), x0),
              *h = kl_sub(kl_select(rois, 1, 3), y0);
    if (!half)
        w = kl_max(w, 1.0), h = kl_max(h, 1.0);
    kl_tensor *ch = counts(n, h, r.oh, &r.G), *cw = counts(n, w, r.ow, &r.G);
    if (!ch || !cw)
        return;
    taps ty = border_taps(samples(y0, h, r.oh, r.G, ch), r.H);
    taps tx = border_taps(samples(x0, w, r.ow, r.G, cw), r.W);
    kl_tensor *of = kl_index_select(kl_to(x, KL_F32), 0, kl_to(in(n, 2), KL_I64)),
              *v = NULL;
    for (int i = 0; i < 4; i++) {
        kl_tensor *p = picked(&r, of, ty.at[i / 2], tx.at[i % 2]);
        kl_tensor *share = kl_mul(kl_reshape(ty.w[i / 2], kl_shape(r.R, 1, -1, 1)),
                                  kl_reshape(tx.w[i % 2], kl_shape(r.R, 1, 1, -1)));
        p = kl_mul(p, share);
        v = !v ? p : r.max ? kl_max(v, p) : kl_add(v, p);
    }
    give(n, 0, kl_to(collected(&r, v, ch, cw), kl_dtype_of(x)));
}

/* ---- deformed convolution ---- */

typedef struct deformed {
    int64_t N, C, H, W, oh, ow, K, G; /* taps of the kernel; groups of offsets */
} deformed;

/* Where each tap reads along axis i: [N, G, K, oh, ow] */
static kl_tensor *tap_places(const deformed *d, const kl_onnx_windows *w,
                             kl_tensor *offset, int i)
{
    int64_t out = i ? d->ow : d->oh, k = w->size.v[i];
    kl_ints so = kl_shape(1, 1, 1, i ? 1 : out, i ? out : 1),
            sk = kl_shape(1, 1, d->K, 1, 1);
    kl_tensor *o = kl_reshape(kl_arange(0, out, 1, KL_F32), so);
    kl_tensor *tap = kl_arange(0, d->K, 1, KL_I64);
    tap = i ? kl_mod(tap, k) : kl_floordiv(tap, w->size.v[1]);
    tap = kl_reshape(kl_mul(kl_to(tap, KL_F32), (double)w->dilation.v[i]), sk);
    kl_tensor *base =
        kl_sub(kl_add(kl_mul(o, (double)w->stride.v[i]), tap), (double)w->pads.v[i]);
    return kl_add(kl_to(kl_select(offset, 3, i), KL_F32), base);
}

static kl_tensor *columns(const deformed *d, kl_tensor *x, taps ty, taps tx)
{
    int64_t P = product64(product64(d->K, d->oh), d->ow), c = d->C / d->G;
    kl_tensor *flat = kl_reshape(x, kl_shape(d->N, d->G, c, d->H * d->W)), *v = NULL;
    for (int i = 0; i < 4; i++) {
        kl_tensor *at = kl_add(kl_mul(ty.at[i / 2], d->W), tx.at[i % 2]);
        at = kl_expand(kl_reshape(at, kl_shape(d->N, d->G, 1, P)),
                       kl_shape(d->N, d->G, c, P));
        kl_tensor *w =
            kl_reshape(kl_mul(ty.w[i / 2], tx.w[i % 2]), kl_shape(d->N, d->G, 1, P));
        kl_tensor *p = kl_mul(kl_gather(flat, 3, at), w);
        v = v ? kl_add(v, p) : p;
    }
    return v; /* [N, G, c, K oh ow] */
}

OP(DeformConv)
{
    kl_tensor *x = in(n, 0), *w = in(n, 1), *offset = in(n, 2), *b = in(n, 3),
              *mask = in(n, 4);
    kl_onnx_windows v;
    kl_ints size = {0};
    for (int i = 2; i < kl_rank(w); i++)
        push(&size, kl_extent(w, i));
    if (kl_rank(x) != 4 || !kl_onnx_windows_of(n, x, size, &v)) {
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "images of %d dimensions; there are 4",
                     kl_rank(x));
        return;
    }
    deformed d = {kl_extent(x, 0),
                  kl_extent(x, 1),
                  kl_extent(x, 2),
                  kl_extent(x, 3),
                  v.out.v[0],
                  v.out.v[1],
                  size.v[0] * size.v[1],
                  kl_onnx_int(n, "offset_group", 1)};
    int64_t g = kl_onnx_int(n, "group", 1), O = kl_extent(w, 0);
    if (d.G < 1 || g < 1 || d.C % d.G || d.C % g || O % g) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "%lld channels in %lld groups", (long long)d.C,
                     (long long)g);
        return;
    }
    kl_dtype dt = kl_dtype_of(x);
    offset = kl_reshape(offset, kl_shape(d.N, d.G, d.K, 2, d.oh, d.ow));
    taps ty = zero_taps(tap_places(&d, &v, offset, 0), d.H);
    taps tx = zero_taps(tap_places(&d, &v, offset, 1), d.W);
    kl_tensor *c = columns(&d, kl_to(x, KL_F32), ty, tx);
    if (mask)
        c = kl_mul(c, kl_reshape(kl_to(mask, KL_F32), kl_shape(d.N, d.G, 1, -1)));
    c = kl_reshape(c, kl_shape(d.N, g, product64(d.C / g, d.K), product64(d.oh, d.ow)));
    w = kl_reshape(kl_to(w, KL_F32), kl_shape(1, g, O / g, -1));
    kl_tensor *y = kl_reshape(kl_matmul(w, c), kl_shape(d.N, O, d.oh, d.ow));
    give(n, 0, kl_to(b ? kl_add(y, channels(b, 4)) : y, dt));
}

/* ---- columns ---- */

/* Where in the image each tap of each window stands, -1: in the padding. */
static int64_t column_place(const kl_onnx_windows *w, kl_ints image, int64_t tap,
                            int64_t window)
{
    int64_t at = 0, unit = 1;
    for (int i = w->d; i-- > 0;) {
        int64_t k = tap % w->size.v[i], o = window % w->out.v[i];
        tap /= w->size.v[i], window /= w->out.v[i];
        int64_t p = o * w->stride.v[i] + k * w->dilation.v[i] - w->pads.v[i];
        if (p < 0 || p >= image.v[i])
            return -1;
        at += p * unit;
        unit *= image.v[i];
    }
    return at;
}

/* Overlapping windows are summed. */
OP(Col2Im)
{
    kl_tensor *x = in(n, 0);
    kl_ints image, block, out;
    if (!kl_onnx_list_of(n, 1, NULL, &image) || !kl_onnx_list_of(n, 2, NULL, &block))
        return;
    out = kl_shape(1, 1);
    int64_t K = 1, L = 1, all = 1;
    for (int i = 0; i < block.n; i++) {
        K = product64(K, block.v[i]);
        all = product64(all, i < image.n ? image.v[i] : 1);
        push(&out, i < image.n ? image.v[i] : 1);
    }
    kl_onnx_windows w;
    if (image.n != block.n || all > 1 << 28 ||
        !kl_onnx_windows_of(n, kl_expand(kl_zeros(kl_shape(), KL_F32), out), block, &w))
        return;
    for (int i = 0; i < w.d; i++)
        L = product64(L, w.out.v[i]);
    if (K < 1 || L < 1 || kl_rank(x) != 3 || kl_extent(x, 1) % K ||
        kl_extent(x, 2) != L) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "%lld columns of blocks of %lld", (long long)L,
                     (long long)K);
        return;
    }
    int64_t *at = kl_onnx_array(n->run, K * L, sizeof *at), rows = kl_numel(x) / (K * L);
    for (int64_t i = 0; at && i < K * L; i++) {
        at[i] = column_place(&w, image, i / L, i % L);
        at[i] = at[i] < 0 ? all : at[i]; /* one more place, for the padding */
    }
    if (!at)
        return;
    kl_tensor *index =
        kl_expand(kl_reshape(i64s(at, K * L), kl_shape(1, K * L)), kl_shape(rows, K * L));
    kl_tensor *y = kl_zeros(kl_shape(rows, all + 1), kl_dtype_of(x));
    y = kl_scatter_add(y, 1, index, kl_reshape(x, kl_shape(rows, K * L)));
    out.v[0] = kl_extent(x, 0);
    out.v[1] = kl_extent(x, 1) / K;
    give(n, 0, kl_reshape(kl_narrow(y, 1, 0, all), out));
}
