/* op_resize.c: images by other numbers of pixels. All modes go axis by axis: an output is
 * a sum of a few taps along one axis, whose places and weights are computed here.
 *
 *   output i stands at x(i); taps floor(x) + first .. with weights by the distance */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

typedef struct plan {
    const char *mode, *where, *nearest;
    double a, beyond; /* the cubic's coefficient; what stands outside of a crop */
    bool antialias, exclude;
} plan;

typedef struct axis_map {
    int axis;
    int64_t in, out;
    double scale, from, to; /* roi */
} axis_map;

/* Where output i stands. */
static double place(const plan *p, const axis_map *m, int64_t i)
{
    double size = m->scale * (double)m->in, last = (double)(m->in - 1), x = (double)i;
    if (strcmp(p->where, "align_corners") == 0)
        return size == 1 ? 0 : x * last / (size - 1);
    if (strcmp(p->where, "asymmetric") == 0)
        return x / m->scale;
    if (strcmp(p->where, "tf_crop_and_resize") == 0)
        return (size == 1 ? (m->to - m->from) * last / 2
                          : x * (m->to - m->from) * last / (size - 1)) +
               m->from * last;
    if (strcmp(p->where, "pytorch_half_pixel") == 0 && size == 1)
        return -0.5;
    double shift = 0;
    if (strcmp(p->where, "half_pixel_symmetric") == 0)
        shift = (double)m->in / 2 * (1 - (double)m->out / size);
    return shift + (x + 0.5) / m->scale - 0.5;
}

static double cubic(double a, double x)
{
    x = fabs(x);
    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? ((a * x - 5 * a) * x + 8 * a) * x - 4 * a : 0;
}

static int64_t nearest(const char *how, double x)
{
    double f = floor(x);
    if (f == x || strcmp(how, "floor") == 0)
        return whole64(f);
    if (strcmp(how, "ceil") == 0)
        return whole64(f) + 1;
    bool up = strcmp(how, "round_prefer_ceil") == 0 ? x - f >= 0.5 : x - f > 0.5;
    return whole64(f) + up;
}

/* How many taps an output has. */
static int64_t taps(const plan *p, double scale)
{
    if (p->mode[0] == 'n')
        return 1;
    double reach = p->mode[0] == 'c' ? 2 : 1;
    if (p->antialias && scale < 1)
        reach = reach / scale;
    return 2 - 2 * (whole64(fmax(floor(-reach), -1e9)) + 1);
}

static void weigh(const plan *p, const axis_map *m, double x, int64_t k, int64_t *at,
                  double *w)
{
    double s = p->antialias && m->scale < 1 ? m->scale : 1, sum = 0;
    if (p->mode[0] == 'n') {
        at[0] = nearest(p->nearest, x);
        w[0] = 1;
        return;
    }
    double base = ceil(x) - 1, f = x - base; /* in (0, 1] */
    for (int64_t j = 0; j < k; j++) {
        int64_t shift = j - (k / 2 - 1);
        double d = s * ((double)shift - f);
        at[j] = whole64(base) + shift;
        w[j] = p->mode[0] == 'c' ? cubic(p->a, d) : fmax(0, 1 - fabs(d));
        sum += w[j];
    }
    for (int64_t j = 0; j < k; j++)
        w[j] /= sum;
    for (int64_t j = 0; p->exclude && j < k; j++)
        if (at[j] < 0 || at[j] >= m->in)
            w[j] = 0;
    for (int64_t j = sum = 0; p->exclude && j < k; j++)
        sum += w[j];
    for (int64_t j = 0; p->exclude && sum != 0 && j < k; j++)
        w[j] /= sum;
}

/* One axis: [.., in, ..] to [.., out, ..]. */
static kl_tensor *along(kl_onnx_op *n, kl_tensor *x, const plan *p, const axis_map *m)
{
    int64_t k = taps(p, m->scale), all = product64(m->out, k);
    if (!x || m->out < 0 || k > 1 << 20 || all > 1 << 28 || kl_rank(x) == KL_INTS_MAX)
        return kl_onnx_fail(n, KL_ERR_SHAPE, "a scale of %g", m->scale), NULL;
    int64_t *at = kl_onnx_alloc(n->run, ((size_t)all + 1) * sizeof *at);
    double *w = kl_onnx_alloc(n->run, ((size_t)all + 1) * sizeof *w);
    bool *out = kl_onnx_alloc(n->run, (size_t)m->out + 1), any = false;
    for (int64_t i = 0; at && w && out && i < m->out; i++) {
        double c = place(p, m, i);
        out[i] = strcmp(p->where, "tf_crop_and_resize") == 0 &&
                 (c < 0 || c > (double)(m->in - 1));
        any |= out[i];
        weigh(p, m, c, k, at + i * k, w + i * k);
    }
    for (int64_t j = 0; at && j < all; j++)
        at[j] = at[j] < 0 ? 0 : at[j] >= m->in ? m->in - 1 : at[j];
    if (!at || !w || !out)
        return NULL;
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *y = kl_index_select(x, m->axis, i64s(at, all));
    kl_ints s = ints_fill(kl_rank(x), 1);
    if (k > 1) {
        kl_ints split = kl_shape_of(x), ws = {0};
        push(&split, 0);
        for (int i = split.n - 1; i > m->axis + 1; i--)
            split.v[i] = split.v[i - 1];
        split.v[m->axis] = m->out, split.v[m->axis + 1] = k;
        ws = ints_fill(split.n, 1);
        ws.v[m->axis] = m->out, ws.v[m->axis + 1] = k;
        kl_tensor *weights =
            kl_reshape(kl_to(kl_tensor_copy(w, KL_F64, kl_shape(all)), dt), ws);
        y = kl_sum_axes(kl_mul(kl_reshape(y, split), weights), kl_axes(m->axis + 1),
                        false);
    }
    s.v[m->axis] = m->out;
    if (any)
        y = kl_to(kl_where(kl_reshape(kl_tensor_copy(out, KL_BOOL, kl_shape(m->out)), s),
                           p->beyond, y),
                  dt);
    return y;
}

/* ---- the same computed by the program, where the extents are open ---- */

static bool is(const char *a, const char *b)
{
    return strcmp(a, b) == 0;
}

/* Whether expressions say where outputs stand and how taps weigh. */
static bool by_program(const kl_onnx_op *n, const plan *p)
{
    return n->run->open && !p->antialias && !p->exclude &&
           (is(p->where, "asymmetric") || is(p->where, "align_corners") ||
            is(p->where, "half_pixel") || is(p->where, "pytorch_half_pixel"));
}

/* Where all outputs stand: f64 [out]. */
static kl_tensor *places(const plan *p, const axis_map *m)
{
    kl_tensor *x = kl_arange(0, (double)m->out, 1, KL_F64);
    if (is(p->where, "align_corners"))
        return kl_div(kl_mul(x, (double)(m->in - 1)), (double)(m->out - 1));
    if (is(p->where, "asymmetric"))
        return kl_div(x, m->scale);
    return kl_sub(kl_div(kl_add(x, 0.5), m->scale), 0.5);
}

static kl_tensor *nearest_of(const char *how, kl_tensor *x)
{
    return is(how, "floor")               ? kl_floor(x)
           : is(how, "ceil")              ? kl_ceil(x)
           : is(how, "round_prefer_ceil") ? kl_floor(kl_add(x, 0.5))
                                          : kl_ceil(kl_sub(x, 0.5));
}

/* The weight of a tap at distance d. */
static kl_tensor *weight_at(const plan *p, kl_tensor *d)
{
    double a = p->a;
    d = kl_abs(d);
    if (p->mode[0] != 'c')
        return kl_relu(kl_sub(1.0, d));
    kl_tensor *inner = kl_sub(kl_mul(d, a + 2), a + 3);
    inner = kl_add(kl_mul(kl_mul(inner, d), d), 1.0);
    kl_tensor *outer = kl_add(kl_mul(kl_sub(kl_mul(d, a), 5 * a), d), 8 * a);
    outer = kl_sub(kl_mul(outer, d), 4 * a);
    return kl_where(kl_le(d, 1.0), inner, kl_where(kl_lt(d, 2.0), outer, 0.0));
}

static kl_tensor *taken(kl_tensor *x, const axis_map *m, kl_tensor *at)
{
    return kl_index_select(x, m->axis,
                           kl_to(kl_clamp(at, 0.0, (double)(m->in - 1)), KL_I64));
}

static kl_tensor *along_open(kl_tensor *x, const plan *p, const axis_map *m)
{
    kl_tensor *c = places(p, m), *y = NULL;
    if (p->mode[0] == 'n')
        return taken(x, m, nearest_of(p->nearest, c));
    kl_tensor *base = kl_sub(kl_ceil(c), 1), *f = kl_sub(c, base);
    int64_t k = taps(p, 1);
    kl_ints s = ints_fill(kl_rank(x), 1);
    s.v[m->axis] = m->out;
    for (int64_t j = 0; j < k; j++) {
        double shift = (double)(j - (k / 2 - 1));
        kl_tensor *w = kl_to(weight_at(p, kl_sub(shift, f)), kl_dtype_of(x));
        kl_tensor *part = kl_mul(taken(x, m, kl_add(base, shift)), kl_reshape(w, s));
        y = y ? kl_add(y, part) : part;
    }
    return y;
}

/* ---- what is asked for ---- */

/* Sizes that keep the ratio: the smallest or largest scale serves all axes. */
static void keep_ratio(kl_onnx_op *n, axis_map *m, int count)
{
    const char *how = kl_onnx_text(n, "keep_aspect_ratio_policy", "stretch");
    double s = count ? m[0].scale : 1;
    if (strcmp(how, "stretch") == 0)
        return;
    for (int i = 1; i < count; i++)
        s = strcmp(how, "not_larger") == 0 ? fmin(s, m[i].scale) : fmax(s, m[i].scale);
    for (int i = 0; i < count; i++) {
        m[i].scale = s;
        m[i].out = whole64(s * (double)m[i].in + 0.5);
    }
}

/* An entry for each axis that changes; -1: an error. scales, sizes, roi: operand numbers.
 */
static int axes_of(kl_onnx_op *n, axis_map *m, int scales, int sizes, int roi)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes;
    int64_t count = 0, nroi = 0;
    if (!kl_onnx_list(n, "axes", &axes) || !axes.n)
        for (int i = 0; i < kl_rank(x); i++)
            push(&axes, i);
    bool by_size = sizes >= 0 && has(n, sizes) && kl_numel(in(n, sizes)) > 0;
    const int64_t *size = by_size ? kl_onnx_ints(n, sizes, &count) : NULL;
    const double *scale = by_size ? NULL : kl_onnx_numbers(n, scales, &count);
    const double *r = roi >= 0 && has(n, roi) && kl_numel(in(n, roi))
                          ? kl_onnx_numbers(n, roi, &nroi)
                          : NULL;
    if (kl_failed() || !kl_onnx_axes(n, &axes, kl_rank(x)))
        return -1;
    if ((!size && !scale) || count != axes.n || (r && nroi != 2 * count))
        return kl_onnx_fail(n, KL_ERR_SHAPE, "%lld scales or sizes for %d axes",
                            (long long)count, axes.n),
               -1;
    for (int i = 0; i < axes.n; i++) {
        int64_t d = kl_extent(x, (int)axes.v[i]);
        double s = size ? (double)size[i] / (double)(d ? d : 1) : scale[i];
        if (!(s > 0 && s < 1e9))
            return kl_onnx_fail(n, KL_ERR_ARG, "a scale of %g", s), -1;
        m[i] = (axis_map){(int)axes.v[i],
                          d,
                          size ? size[i] : whole64(floor(s * (double)d)),
                          s,
                          r ? r[i] : 0,
                          r ? r[axes.n + i] : 1};
    }
    if (size)
        keep_ratio(n, m, axes.n);
    return axes.n;
}

static void resize(kl_onnx_op *n, const plan *p, axis_map *m, int count)
{
    kl_tensor *x = in(n, 0);
    kl_dtype dt = kl_dtype_of(x);
    bool whole = p->mode[0] != 'n' && dt != KL_F32 && dt != KL_F64;
    kl_tensor *y = whole ? kl_to(x, KL_F32) : x;
    for (int i = 0; i < count && !kl_failed(); i++)
        if (m[i].scale != 1 || m[i].out != m[i].in || m[i].from != 0 || m[i].to != 1)
            y = by_program(n, p) ? along_open(y, p, &m[i]) : along(n, y, p, &m[i]);
    if (whole && !is_float(dt)) {
        double low = dt == KL_I8 ? -128 : dt == KL_U8 ? 0 : -2147483648.0;
        double high = dt == KL_I8 ? 127 : dt == KL_U8 ? 255 : 2147483520.0;
        y = kl_clamp(kl_round(y), low, high);
    }
    y = whole ? kl_to(y, dt) : y;
    give(n, 0, y == x ? kl_clone(x) : y);
}

OP(Resize)
{
    axis_map m[KL_INTS_MAX];
    bool old = n->opset < 11;
    plan p = {.mode = kl_onnx_text(n, "mode", "nearest"),
              .where = kl_onnx_text(n, "coordinate_transformation_mode",
                                    old ? "asymmetric" : "half_pixel"),
              .nearest =
                  kl_onnx_text(n, "nearest_mode", old ? "floor" : "round_prefer_floor"),
              .a = kl_onnx_float(n, "cubic_coeff_a", -0.75),
              .beyond = kl_onnx_float(n, "extrapolation_value", 0),
              .antialias = kl_onnx_int(n, "antialias", 0),
              .exclude = kl_onnx_int(n, "exclude_outside", 0)};
    int count = old ? axes_of(n, m, 1, -1, -1) : axes_of(n, m, 2, 3, 1);
    if (count >= 0)
        resize(n, &p, m, count);
}

OP(Upsample)
{
    axis_map m[KL_INTS_MAX];
    plan p = {.mode = kl_onnx_text(n, "mode", "nearest"),
              .where = "asymmetric",
              .nearest = "floor"};
    const attribute_proto *a = n->opset < 9 ? kl_onnx_attribute(n, "scales") : NULL;
    int count = a ? (int)a->n_floats : axes_of(n, m, 1, -1, -1);
    if (a && count != kl_rank(in(n, 0)))
        count = -1, kl_onnx_fail(n, KL_ERR_SHAPE, "another number of scales");
    for (int i = 0; a && i < count; i++) {
        int64_t d = kl_extent(in(n, 0), i);
        m[i] = (axis_map){
            i, d, whole64(floor((double)a->floats[i] * (double)d)), a->floats[i], 0, 1};
    }
    if (count >= 0)
        resize(n, &p, m, count);
}

/* ---- at given places ---- */

OP(GridSample)
{
    const char *mode = kl_onnx_text(n, "mode", "linear");
    const char *to = strstr(mode, "linear")  ? "bilinear"
                     : strstr(mode, "cubic") ? "bicubic"
                                             : "nearest";
    const char *padding = kl_onnx_text(n, "padding_mode", "zeros");
    bool corners = kl_onnx_int(n, "align_corners", 0);
    kl_dtype dt = kl_dtype_of(in(n, 0));
    give(n, 0,
         kl_to(kl_grid_sample_at(KL_HERE, in(n, 0), kl_to(in(n, 1), dt), to, padding,
                                 corners),
               dt));
}

OP(AffineGrid)
{
    kl_ints size;
    if (kl_onnx_list_of(n, 1, NULL, &size))
        give(n, 0,
             kl_affine_grid_at(KL_HERE, in(n, 0), size,
                               kl_onnx_int(n, "align_corners", 0)));
}
