/* op_conv.c: convolutions and pooling: windows over the spatial axes. Padding that is not
 * the same on both sides is put around the operand first.
 *
 *   Conv x [N,C,5,5] w [O,C,3,3] SAME_UPPER stride 2  ->  pads 1 1, 1 1; out 3 x 3 */
#include <math.h>

#include "op_conv.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* ---- windows ---- */

enum { FARTHEST = 1 << 30 }; /* what is around, or between */

static bool per_axis(kl_onnx_op *n, const char *name, int d, int64_t fallback, kl_ints *v)
{
    if (!kl_onnx_list(n, name, v) || !v->n)
        *v = ints_fill(d, fallback);
    if (v->n != d)
        return kl_onnx_fail(n, KL_ERR_SHAPE, "%s has %d elements for %d spatial axes",
                            name, v->n, d),
               false;
    for (int i = 0; i < d; i++)
        if (v->v[i] > FARTHEST || v->v[i] < -FARTHEST)
            return kl_onnx_fail(n, KL_ERR_SHAPE, "%s of %lld", name, (long long)v->v[i]),
                   false;
    return !kl_failed();
}

/* Total padding of an axis as auto_pad shares it out. */
static void share(kl_onnx_windows *w, int i, int64_t total, bool lower)
{
    total = total < 0 ? 0 : total;
    w->pads.v[i] = lower ? total - total / 2 : total / 2;
    w->pads.v[w->d + i] = total - w->pads.v[i];
}

static int64_t windows_along(const kl_onnx_windows *w, int i, int64_t extent)
{
    int64_t begin = w->pads.v[i], end = w->pads.v[w->d + i], stride = w->stride.v[i];
    int64_t room = sum64(sum64(extent, begin), end) - kl_onnx_reach(w, i);
    int64_t whole = w->ceil ? sum64(room, stride - 1) : room;
    int64_t count = room < 0 ? 0 : whole / stride + 1;
    if (w->ceil && count > 0 && (count - 1) * stride >= sum64(extent, begin))
        count--;
    return count;
}

bool kl_onnx_windows_of(kl_onnx_op *n, kl_tensor *x, kl_ints size, kl_onnx_windows *w)
{
    int d = kl_rank(x) - 2;
    const char *how = kl_onnx_text(n, "auto_pad", "NOTSET");
    *w = (kl_onnx_windows){.d = d, .size = size};
    if (d < 1 || d > 3)
        return kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "%d spatial axes; there are 1 to 3",
                            d),
               false;
    if (size.n != d || !per_axis(n, "strides", d, 1, &w->stride) ||
        !per_axis(n, "dilations", d, 1, &w->dilation) ||
        !per_axis(n, "pads", 2 * d, 0, &w->pads))
        return kl_onnx_fail(n, KL_ERR_SHAPE, "a kernel of %d axes over %d", size.n, d),
               false;
    w->ceil = kl_onnx_int(n, "ceil_mode", 0);
    bool same = strncmp(how, "SAME_", 5) == 0;
    for (int i = 0; i < d; i++) {
        int64_t extent = kl_extent(x, 2 + i), s = w->stride.v[i];
        if (size.v[i] < 1 || s < 1 || w->dilation.v[i] < 1 || size.v[i] > 1 << 24 ||
            w->dilation.v[i] > 1 << 24)
            return kl_onnx_fail(n, KL_ERR_SHAPE, "a kernel, stride or dilation below 1"),
                   false;
        int64_t even = extent / s + (extent % s != 0); /* SAME's windows */
        if (strcmp(how, "VALID") == 0)
            w->pads.v[i] = w->pads.v[d + i] = 0;
        else if (same)
            share(w, i, (even - 1) * s - extent + kl_onnx_reach(w, i), how[5] == 'L');
        w->out.v[i] = same ? even : windows_along(w, i, extent);
    }
    w->out.n = d;
    return true;
}

/* How much stands behind axis i, with what ceil_mode's last window reaches beyond. */
static int64_t end_of(const kl_onnx_windows *w, int i)
{
    int64_t end = w->pads.v[w->d + i], reach = kl_onnx_reach(w, i);
    if (!w->ceil)
        return end;
    return end + w->stride.v[i] > reach ? reach - 1 : end + w->stride.v[i] - 1;
}

/* With v around it, so that all windows lie inside, at any extent of x. */
static kl_tensor *surrounded(kl_tensor *x, const kl_onnx_windows *w, kl_arg v)
{
    kl_ints pads = w->pads;
    for (int i = 0; i < w->d; i++)
        pads.v[w->d + i] = end_of(w, i);
    return kl_onnx_pad(x, pads, v);
}

/* ---- convolution ---- */

static bool even(const kl_onnx_windows *w)
{
    for (int i = 0; i < w->d; i++)
        if (w->pads.v[i] != w->pads.v[w->d + i] || w->pads.v[i] < 0)
            return false;
    return true;
}

kl_tensor *kl_onnx_convolve(kl_onnx_op *n, kl_tensor *x, kl_tensor *w, kl_tensor *b,
                            double zero)
{
    kl_ints size = {0};
    kl_onnx_windows v;
    for (int i = 2; i < kl_rank(w); i++)
        push(&size, kl_extent(w, i));
    if (!kl_onnx_windows_of(n, x, size, &v))
        return NULL;
    kl_conv_axes o = {
        .stride = v.stride, .dilation = v.dilation, .groups = kl_onnx_int(n, "group", 1)};
    if (even(&v) && zero == 0) {
        o.padding = v.pads;
        o.padding.n = v.d;
    } else {
        x = kl_onnx_pad(x, v.pads, kl_arg_d(zero));
    }
    return kl_convolution_at(KL_HERE, x, w, b, o);
}

OP(Conv)
{
    give(n, 0, kl_onnx_convolve(n, in(n, 0), in(n, 1), in(n, 2), 0));
}

/* What the whole transposed convolution is cut down to: begins and ends. */
static bool cuts(kl_onnx_op *n, kl_tensor *x, const kl_onnx_windows *w, kl_ints *out)
{
    kl_ints want, more;
    const char *how = kl_onnx_text(n, "auto_pad", "NOTSET");
    bool given = kl_onnx_list(n, "output_shape", &want) && want.n > 0;
    bool same = strncmp(how, "SAME_", 5) == 0;
    if (!per_axis(n, "output_padding", w->d, 0, &more))
        return false;
    if (given && want.n < w->d)
        return kl_onnx_fail(n, KL_ERR_SHAPE, "output_shape of %d axes for %d", want.n,
                            w->d),
               false;
    *out = ints_fill(2 * w->d, 0);
    for (int i = 0; i < w->d; i++) {
        int64_t whole = sum64(product64(w->stride.v[i], kl_extent(x, 2 + i) - 1),
                              kl_onnx_reach(w, i));
        int64_t begin = w->pads.v[i], end = w->pads.v[w->d + i];
        if (given || same) {
            int64_t size = given ? want.v[want.n - w->d + i]
                                 : product64(kl_extent(x, 2 + i), w->stride.v[i]);
            int64_t total = sum64(sum64(whole, more.v[i]), product64(size, -1)),
                    half = total >> 1;
            begin = strcmp(how, "SAME_UPPER") == 0 ? half : total - half;
            end = total - begin;
        }
        out->v[i] = product64(begin, -1);
        out->v[w->d + i] = sum64(more.v[i], product64(end, -1));
    }
    return true;
}

OP(ConvTranspose)
{
    kl_tensor *x = in(n, 0), *w = in(n, 1), *b = in(n, 2);
    kl_ints size = {0}, crop;
    kl_onnx_windows v;
    for (int i = 2; i < kl_rank(w); i++)
        push(&size, kl_extent(w, i));
    if (!kl_onnx_windows_of(n, x, size, &v) || !cuts(n, x, &v, &crop))
        return;
    kl_conv_axes o = {.stride = v.stride,
                      .dilation = v.dilation,
                      .transposed = true,
                      .groups = kl_onnx_int(n, "group", 1)};
    kl_tensor *y = kl_convolution_at(KL_HERE, x, w, NULL, o);
    y = kl_onnx_pad(y, crop, kl_arg_i(0));
    give(n, 0, b ? kl_add(y, channels(b, kl_rank(y))) : y);
}

OP(ConvInteger)
{
    kl_tensor *x = kl_to(in(n, 0), KL_I32), *w = kl_to(in(n, 1), KL_I32);
    if (has(n, 2))
        x = kl_sub(x, kl_reshape(kl_to(in(n, 2), KL_I32), kl_shape()));
    if (has(n, 3)) {
        kl_tensor *zero = kl_to(in(n, 3), KL_I32);
        kl_ints s = ints_fill(kl_rank(w), 1);
        s.v[0] = kl_numel(zero);
        w = kl_sub(w, kl_reshape(zero, s));
    }
    give(n, 0, kl_onnx_convolve(n, x, w, NULL, 0));
}

/* x x_scale x_zero w w_scale w_zero y_scale y_zero bias; scales of w one a channel. */
OP(QLinearConv)
{
    kl_tensor *x = kl_sub(kl_to(in(n, 0), KL_I32), kl_to(in(n, 2), KL_I32));
    kl_tensor *w = kl_to(in(n, 3), KL_I32), *zero = kl_to(in(n, 5), KL_I32);
    kl_tensor *ws = in(n, 4);
    kl_ints s = ints_fill(kl_rank(w), 1);
    s.v[0] = kl_numel(zero);
    w = kl_sub(w, kl_reshape(zero, s));
    kl_tensor *y = kl_onnx_convolve(n, x, w, in(n, 8), 0);
    ws = kl_numel(ws) > 1 ? channels(ws, kl_rank(y)) : kl_reshape(ws, kl_shape());
    kl_tensor *scale = kl_mul(kl_reshape(in(n, 1), kl_shape()), ws);
    y = kl_mul(kl_to(y, KL_F32), scale);
    give(n, 0,
         kl_onnx_requantize(y, kl_reshape(in(n, 6), kl_shape()),
                            kl_reshape(in(n, 7), kl_shape())));
}

/* ---- pooling ---- */

static bool pool_windows(kl_onnx_op *n, kl_onnx_windows *w)
{
    kl_ints size;
    if (!kl_onnx_list(n, "kernel_shape", &size))
        return kl_onnx_fail(n, KL_ERR_PARSE, "kernel_shape is missing"), false;
    if (!kl_onnx_windows_of(n, in(n, 0), size, w))
        return false;
    for (int i = 0; i < w->d; i++)
        if (w->out.v[i] < 1 || w->size.v[i] > (1 << 26) / w->out.v[i])
            return kl_onnx_fail(n, KL_ERR_SHAPE, "windows of %lld do not fit into %lld",
                                (long long)w->size.v[i],
                                (long long)kl_extent(in(n, 0), 2 + i)),
                   false;
    return true;
}

static kl_pool_axes pool_axes(const kl_onnx_windows *w)
{
    return (kl_pool_axes){.size = w->size, .stride = w->stride, .dilation = w->dilation};
}

/* index: places in the padded spatial axes; they become places in the whole of x. */
static kl_tensor *pool_places(kl_onnx_op *n, kl_tensor *index, kl_tensor *padded,
                              const kl_onnx_windows *w)
{
    kl_tensor *x = in(n, 0), *at = NULL;
    bool column = kl_onnx_int(n, "storage_order", 0);
    int64_t inner = 1, all = 1, rest = 1;
    for (int i = 0; i < w->d; i++)
        all *= kl_extent(x, 2 + i);
    for (int i = w->d; i-- > 0;) {
        int64_t unit = column ? rest : inner, before = 1;
        for (int k = 0; k < i; k++)
            before *= kl_extent(x, 2 + k);
        unit = column ? before : inner;
        kl_tensor *c = kl_sub(kl_mod(index, kl_extent(padded, 2 + i)), w->pads.v[i]);
        kl_tensor *part = kl_mul(c, unit);
        at = at ? kl_add(at, part) : part;
        index = kl_floordiv(index, kl_extent(padded, 2 + i));
        inner *= kl_extent(x, 2 + i);
    }
    int64_t rows = kl_extent(x, 0) * kl_extent(x, 1);
    kl_ints s = ints_fill(kl_rank(x), 1);
    s.v[0] = kl_extent(x, 0), s.v[1] = kl_extent(x, 1);
    kl_tensor *base = kl_reshape(kl_mul(kl_arange(0, rows, 1, KL_I64), all), s);
    return kl_add(at, base);
}

OP(MaxPool)
{
    kl_onnx_windows w;
    kl_tensor *x = in(n, 0), *index = NULL;
    if (!pool_windows(n, &w))
        return;
    kl_dtype dt = kl_dtype_of(x);
    kl_arg low = is_float(dt) ? kl_arg_d(-INFINITY) : kl_arg_i(dt == KL_I8 ? -128 : 0);
    kl_tensor *padded = surrounded(x, &w, low);
    give(n, 0,
         kl_max_pool_axes_at(KL_HERE, padded, w.d, pool_axes(&w),
                             wanted(n, 1) ? &index : NULL));
    if (wanted(n, 1) && !kl_failed())
        give(n, 1, pool_places(n, index, padded, &w));
}

/* How many elements the windows along axis i have. */
static kl_tensor *counts(kl_onnx_op *n, const kl_onnx_windows *w, int i, bool padding,
                         bool *full)
{
    int64_t begin = w->pads.v[i], extent = kl_extent(in(n, 0), 2 + i);
    int64_t lo = padding ? -begin : 0, hi = extent + (padding ? w->pads.v[w->d + i] : 0);
    float *v = kl_onnx_array(n->run, w->out.v[i], sizeof *v);
    for (int64_t o = 0; v && o < w->out.v[i]; o++) {
        for (int64_t k = 0; k < w->size.v[i]; k++) {
            int64_t at = o * w->stride.v[i] + k * w->dilation.v[i] - begin;
            v[o] += at >= lo && at < hi;
        }
        *full &= v[o] == (float)w->size.v[i];
    }
    kl_ints s = ints_fill(w->d, 1);
    s.v[i] = w->out.v[i];
    return v ? kl_reshape(kl_tensor_copy(v, KL_F32, kl_shape(w->out.v[i])), s) : NULL;
}

/* Sums over windows. */
static kl_tensor *window_sums(kl_tensor *x, const kl_onnx_windows *w)
{
    kl_pool_axes o = pool_axes(w);
    o.divisor = 1;
    return kl_avg_pool_axes_at(KL_HERE, surrounded(x, w, kl_arg_d(0)), w->d, o);
}

/* The same where the extents are open: sums of ones. */
static kl_tensor *counted(kl_onnx_op *n, const kl_onnx_windows *w, bool padding)
{
    kl_onnx_windows inside = *w;
    kl_ints s = kl_shape_of(in(n, 0));
    s.v[0] = s.v[1] = 1;
    kl_tensor *one = kl_ones(s, KL_F32);
    if (padding) {
        one = kl_onnx_pad(one, w->pads, kl_arg_d(1));
        inside.ceil = false;
        for (int i = 0; i < w->d; i++) {
            inside.pads.v[i] = 0;
            inside.pads.v[w->d + i] = end_of(w, i) - w->pads.v[w->d + i];
        }
    }
    return window_sums(one, &inside);
}

OP(AveragePool)
{
    kl_onnx_windows w;
    kl_tensor *x = in(n, 0), *by = NULL;
    bool padding = kl_onnx_int(n, "count_include_pad", 0), full = true;
    double all = 1;
    if (!pool_windows(n, &w))
        return;
    for (int i = 0; i < w.d; i++) {
        kl_tensor *c = n->run->open ? NULL : counts(n, &w, i, padding, &full);
        by = by ? kl_mul(by, c) : c;
        all *= (double)w.size.v[i];
        full &= !n->run->open || !(w.pads.v[i] | w.pads.v[w.d + i] | w.ceil);
    }
    if (!full && n->run->open)
        by = counted(n, &w, padding);
    kl_tensor *y = window_sums(widen(x), &w);
    y = full ? kl_div(y, all) : kl_div(y, by);
    give(n, 0, kl_to(y, kl_dtype_of(x)));
}

OP(LpPool)
{
    kl_onnx_windows w;
    double p = (double)kl_onnx_int(n, "p", 2);
    if (!pool_windows(n, &w))
        return;
    kl_tensor *x = widen(in(n, 0));
    x = window_sums(p == 1   ? kl_abs(x)
                    : p == 2 ? kl_mul(x, x)
                             : kl_pow(kl_abs(x), p),
                    &w);
    x = p == 1 ? x : p == 2 ? kl_sqrt(x) : kl_pow(x, 1 / p);
    give(n, 0, kl_to(x, kl_dtype_of(in(n, 0))));
}

/* ---- over all spatial axes ---- */

static kl_ints spatial(kl_tensor *x)
{
    kl_ints axes = {0};
    for (int i = 2; i < kl_rank(x); i++)
        push(&axes, i);
    return axes;
}

OP(GlobalAveragePool)
{
    give(n, 0, kl_mean_axes(in(n, 0), spatial(in(n, 0)), true));
}
OP(GlobalMaxPool)
{
    give(n, 0, kl_amax_axes(in(n, 0), spatial(in(n, 0)), true));
}
OP(GlobalLpPool)
{
    double p = (double)kl_onnx_int(n, "p", 2);
    give(n, 0, kl_norm(in(n, 0), p, spatial(in(n, 0)), true));
}

/* Elements at MaxPool's places, zeros elsewhere. */
OP(MaxUnpool)
{
    kl_tensor *x = in(n, 0), *index = in(n, 1);
    kl_ints size, shape = kl_shape_of(x), want = {0};
    kl_onnx_windows w;
    if (!kl_onnx_list(n, "kernel_shape", &size) || !kl_onnx_windows_of(n, x, size, &w))
        return;
    bool given = has(n, 2) && kl_onnx_list_of(n, 2, NULL, &want);
    kl_ints natural = shape;
    for (int i = 0; i < w.d; i++)
        natural.v[2 + i] = sum64(product64(shape.v[2 + i] - 1, w.stride.v[i]),
                                 size.v[i] - w.pads.v[i] - w.pads.v[w.d + i]);
    int64_t all = 1;
    for (int i = 0; i < natural.n; i++)
        all = product64(all, natural.v[i]);
    if (kl_failed())
        return;
    kl_tensor *flat = kl_zeros(kl_shape(all), kl_dtype_of(x));
    int64_t count = kl_numel(x);
    kl_tensor *y = kl_scatter(flat, 0, kl_reshape(index, kl_shape(count)),
                              kl_reshape(x, kl_shape(count)));
    y = kl_reshape(y, natural);
    if (given && want.n == natural.n) { /* places are those of the smaller tensor */
        kl_ints pads = ints_fill(2 * w.d, 0);
        for (int i = 0; i < w.d; i++)
            pads.v[w.d + i] = sum64(want.v[2 + i], -natural.v[2 + i]);
        y = kl_onnx_pad(y, pads, kl_arg_i(0));
    }
    give(n, 0, y);
}
