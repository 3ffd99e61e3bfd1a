/* rows_nn.h: what rows of functions_nn.def say besides one call of kiln. Included by
 * functions.c alone. */
#ifndef KILN_PY_ROWS_NN_H
#define KILN_PY_ROWS_NN_H

#include "rows.h"

/* size_average and reduce, where given, say what reduction did not yet. */
static kl_reduction row_reduce(PyObject *average, PyObject *reduce, const char *s)
{
    bool some = (average && average != Py_None) || (reduce && reduce != Py_None);
    if (strcmp(s, "batchmean") == 0)
        return KL_REDUCE_BATCHMEAN;
    if (!some)
        return row_reduction(s);
    if (reduce && reduce != Py_None && !PyObject_IsTrue(reduce))
        return KL_REDUCE_NONE;
    return average && average != Py_None && !PyObject_IsTrue(average) ? KL_REDUCE_SUM
                                                                      : KL_REDUCE_MEAN;
}

/* PyTorch's guess where softmax is told no dimension. */
static int row_soft_dim(kl_tensor *t, bool given, int64_t dim)
{
    int n = kl_rank(t);
    return given ? (int)dim : n == 0 || n == 1 || n == 3 ? 0 : 1;
}

/* Dropout of a layer for so many spatial axes: without one more than them a batch is
 * missing; dropout2d takes [N, C, L] for three axes. */
static kl_tensor *row_drop(const char *at, const char *name, kl_tensor *x, double p,
                           bool training, int how, int dims)
{
    if (dims == 1 && kl_rank(x) != 2 && kl_rank(x) != 3) {
        PyErr_Format(PyExc_RuntimeError,
                     "%s: Expected 2D or 3D input, but received a %dD input. Note that "
                     "dropout1d exists to provide channel-wise dropout on inputs with 1 "
                     "spatial dimension, a channel dimension, and an optional batch "
                     "dimension (i.e. 2D or 3D inputs).",
                     name, kl_rank(x));
        return NULL;
    }
    if (dims == 0 || dims == 2 || kl_rank(x) != dims + 1)
        return kl_dropout_by_at(at, x, p, training, how);
    kl_tensor *one = kl_dropout_by_at(at, kl_unsqueeze_at(at, x, 0), p, training, how);
    return one ? kl_squeeze_at(at, one, kl_axes(0)) : NULL;
}

static double row_eps(kl_tensor *t)
{
    switch (kl_dtype_of(t)) {
    case KL_F64:
        return 0x1p-52;
    case KL_F16:
        return 0x1p-10;
    case KL_BF16:
        return 0x1p-7;
    default:
        return 0x1p-23;
    }
}

/* The last dimensions are those that normalized_shape names. */
static bool row_normalized(kl_tensor *t, kl_ints shape)
{
    int lead = kl_rank(t) - shape.n;
    bool ok = lead >= 0 && shape.n > 0;
    for (int i = 0; ok && i < shape.n; i++)
        ok = kl_extent(t, lead + i) == shape.v[i];
    char s[200];
    if (!ok)
        PyErr_Format(PyExc_RuntimeError,
                     "Given normalized_shape of %d dimensions, expected input with those "
                     "last, but got input of size %s",
                     shape.n, kl_shape_text(t, s, sizeof s));
    return ok;
}

/* Rows of weight that index names, of p-norm above most, shrunk to it in place. */
static kl_tensor *row_bounded(const char *at, kl_tensor *weight, kl_tensor *index,
                              bool has_most, double most, double p)
{
    if (!has_most)
        return weight;
    kl_tensor *w = kl_detach_at(at, weight), *shrunk = kl_renorm_at(at, w, p, 0, most);
    kl_tensor *none = kl_full_at(at, kl_shape(kl_extent(w, 0)), kl_arg_b(false), KL_BOOL);
    kl_tensor *flat = kl_reshape_at(at, index, kl_shape(-1));
    kl_tensor *on = flat ? kl_index_fill_at(at, none, 0, flat, kl_arg_b(true)) : NULL;
    on = on ? kl_unsqueeze_at(at, on, 1) : NULL;
    kl_tensor *next = kl_where_at(at, on, kl_arg_t(shrunk), kl_arg_t(w));
    return next && kl_copy_in_at(at, w, kl_arg_t(next)) ? weight : NULL;
}

/* No gradient reaches the row of padding's number; scaled: each row's is divided by how
 * often it was read. */
static kl_tensor *row_embedding(const char *at, kl_tensor *index, kl_tensor *weight,
                                bool has_padding, int64_t padding, bool has_most,
                                double most, double p, bool scaled)
{
    weight = row_bounded(at, weight, index, has_most, most, p);
    kl_tensor *r = weight ? kl_embedding_at(at, index, weight) : NULL;
    kl_tensor *still = r && (has_padding || scaled) ? kl_detach_at(at, r) : NULL;
    if (r && scaled) { /* still + (r - still) / count */
        kl_tensor *flat = kl_reshape_at(at, index, kl_shape(-1));
        kl_tensor *n = kl_bincount_at(at, flat, NULL, 0);
        n = n ? kl_index_select_at(at, n, 0, flat) : NULL;
        kl_ints s = kl_shape_of(index);
        s.v[s.n++] = 1;
        n = n ? kl_reshape_at(at, n, s) : NULL;
        kl_tensor *d = kl_sub_at(at, kl_arg_t(r), kl_arg_t(still));
        d = kl_div_at(at, kl_arg_t(d), kl_arg_t(n));
        r = kl_add_at(at, kl_arg_t(still), kl_arg_t(d));
    }
    if (!r || !has_padding)
        return r;
    int64_t k = padding < 0 ? padding + kl_extent(weight, 0) : padding;
    kl_tensor *pad = kl_eq_at(at, kl_arg_t(index), kl_arg_i(k));
    pad = pad ? kl_unsqueeze_at(at, pad, -1) : NULL;
    return kl_where_at(at, pad, kl_arg_t(still), kl_arg_t(r));
}

/* ---- norms with their statistics ---- */

/* Mean and one over the deviation of x over axes, into r after its first result. */
static void row_moments(const char *at, kl_tensor *x, kl_ints axes, bool keep, double eps,
                        py_result *r)
{
    kl_tensor *var = x ? kl_var_at(at, x, axes, 0, keep) : NULL;
    kl_tensor *sum = var ? kl_add_at(at, kl_arg_t(var), kl_arg_d(eps)) : NULL;
    r->x[0] = sum ? kl_mean_at(at, x, axes, keep) : NULL;
    r->x[1] = sum ? kl_rsqrt_at(at, kl_arg_t(sum)) : NULL;
    r->n = 3;
}

static void row_native_layer_norm(const char *at, kl_tensor *x, kl_ints shape,
                                  kl_tensor *w, kl_tensor *b, double eps, py_result *r)
{
    kl_ints axes = {.n = shape.n};
    for (int i = 0; i < axes.n; i++)
        axes.v[i] = i - axes.n;
    r->t = row_normalized(x, shape) ? kl_layer_norm_at(at, x, shape.n, w, b, eps) : NULL;
    row_moments(at, r->t ? kl_detach_at(at, x) : NULL, axes, true, eps, r);
}

static void row_native_group_norm(const char *at, kl_tensor *x, kl_tensor *w,
                                  kl_tensor *b, kl_ints groups, double eps, py_result *r)
{
    r->t = kl_group_norm_at(at, x, (int)groups.v[1], w, b, eps);
    kl_tensor *flat = r->t ? kl_reshape_at(at, x, groups) : NULL;
    row_moments(at, flat, kl_axes(-1), false, eps, r);
}

static void row_native_batch_norm(const char *at, kl_tensor *x, kl_tensor *mean,
                                  kl_tensor *var, kl_tensor *w, kl_tensor *b,
                                  bool training, double momentum, double eps,
                                  py_result *r)
{
    kl_ints axes = {0};
    for (int i = 0; i < kl_rank(x); i++)
        if (i != 1)
            axes.v[axes.n++] = i;
    r->t = kl_batch_norm_at(at, x, mean, var, w, b, training, momentum, eps);
    if (training) {
        row_moments(at, r->t ? kl_detach_at(at, x) : NULL, axes, false, eps, r);
        return;
    }
    for (int i = 0; i < 2; i++)
        r->x[i] = kl_empty_at(at, kl_shape(0), kl_dtype_of(x));
    r->n = 3;
}

/* ---- pooling ---- */

static void row_max_pool(const char *at, kl_tensor *t, int dims, kl_pool_axes o,
                         bool index, py_result *r)
{
    r->t = kl_max_pool_axes_at(at, t, dims, o, index ? r->x : NULL);
    r->n = 1 + index;
}

static void row_adaptive_max(const char *at, kl_tensor *t, int dims, kl_ints out,
                             bool index, py_result *r)
{
    r->t = kl_adaptive_max_pool_at(at, t, dims, out, index ? r->x : NULL);
    r->n = 1 + index;
}

static int64_t row_at(kl_ints v, int i, int64_t none)
{
    return v.n == 0 ? none : v.v[v.n == 1 ? 0 : i];
}

static kl_tensor *row_max_unpool(const char *at, kl_tensor *t, kl_tensor *index, int dims,
                                 kl_ints size, kl_ints stride, kl_ints padding,
                                 bool given, kl_ints out)
{
    kl_ints to = {.n = dims};
    int lead = kl_rank(t) - dims;
    for (int i = 0; i < dims; i++) {
        int64_t k = row_at(size, i, 1), s = row_at(stride, i, k);
        to.v[i] = (kl_extent(t, lead + i) - 1) * s - 2 * row_at(padding, i, 0) + k;
        if (given)
            to.v[i] = out.v[out.n - dims + i];
    }
    return kl_max_unpool_at(at, t, index, dims, to);
}

/* Windows by their number, or by a share of the extents; samples drawn unless given. */
static void row_fractional(const char *at, kl_tensor *t, int dims, kl_ints size,
                           kl_ints out, const double *ratio, int nratio, bool index,
                           kl_tensor *samples, py_result *r)
{
    int lead = kl_rank(t) - dims;
    if (out.n == 0 && nratio == 0) {
        PyErr_Format(
            PyExc_ValueError,
            "fractional_max_pool%dd requires specifying either an output_size or "
            "an output_ratio",
            dims);
        return;
    }
    for (int i = 0; out.n < dims && nratio && lead >= 0; i++)
        out.v[out.n++] =
            (int64_t)((double)kl_extent(t, lead + i) * ratio[nratio == 1 ? 0 : i]);
    if (!samples && lead > 0)
        samples = kl_rand_at(
            at, kl_shape(lead > 1 ? kl_extent(t, 0) : 1, kl_extent(t, lead - 1), dims),
            kl_dtype_of(t));
    r->t = kl_fractional_max_pool_at(at, t, dims, size, out, samples, r->x);
    r->n = 1 + index;
}

/* ---- images ---- */

static kl_tensor *row_pad(const char *at, kl_tensor *t, kl_ints pads, const char *mode,
                          kl_arg v)
{
    return strcmp(mode, "constant") == 0 ? kl_pad_at(at, t, pads, v)
                                         : kl_pad_mode_at(at, t, pads, mode);
}

static kl_tensor *row_interpolate(const char *at, kl_tensor *t, bool has_size,
                                  kl_ints size, const double *scale, int scales,
                                  const char *mode, bool corners, bool recompute,
                                  bool antialias)
{
    int dims = kl_rank(t) - 2;
    double by[KL_INTS_MAX] = {0};
    kl_ints to = {.n = dims};
    if (has_size == (scale != NULL)) {
        PyErr_SetString(PyExc_ValueError,
                        has_size ? "only one of size or scale_factor should be defined"
                                 : "either size or scale_factor should be defined");
        return NULL;
    }
    if ((has_size && size.n != 1 && size.n != dims) ||
        (scale && scales != 1 && scales != dims)) {
        PyErr_Format(
            PyExc_ValueError,
            "Input and output must have the same number of spatial dimensions, but "
            "got input with %d of them and %d numbers",
            dims, has_size ? size.n : scales);
        return NULL;
    }
    for (int i = 0; i < dims && i < KL_INTS_MAX; i++) {
        by[i] = scale ? scale[scales == 1 ? 0 : i] : 0;
        int64_t in = kl_extent(t, 2 + i);
        to.v[i] = has_size ? size.v[size.n == 1 ? 0 : i] : (int64_t)((double)in * by[i]);
    }
    if (strcmp(mode, "area") == 0)
        return kl_adaptive_avg_pool_at(at, t, dims, to);
    return kl_interpolate_at(at, t, to, scale && !recompute ? by : NULL, mode, corners,
                             antialias);
}

static kl_tensor *row_grid(const char *at, kl_tensor *t, kl_tensor *grid, int64_t mode,
                           int64_t padding, bool corners)
{
    static const char *const modes[] = {"bilinear", "nearest", "bicubic"};
    static const char *const paddings[] = {"zeros", "border", "reflection"};
    return kl_grid_sample_at(at, t, grid, modes[mode >= 0 && mode < 3 ? mode : 0],
                             paddings[padding >= 0 && padding < 3 ? padding : 0],
                             corners);
}

static kl_tensor *row_one_hot(const char *at, kl_tensor *t, int64_t n)
{
    if (n == -1 && kl_numel(t) > 0)
        n = kl_item_int_at(at, kl_amax_at(at, t, kl_axes(), false)) + 1;
    return kl_one_hot_at(at, t, n);
}

/* A sequence of integers, or a tensor, as a tensor. */
static kl_tensor *row_lengths(PyObject *o)
{
    PyObject *made = py_is_tensor(o) ? NULL : py_make(o, KL_I64);
    kl_tensor *t = made ? kl_tensor_ref(py_t(made)) : py_is_tensor(o) ? py_t(o) : NULL;
    if (made && t && !kl_scope_hold(t))
        t = NULL;
    if (made && t)
        kl_tensor_unref(t); /* the scope holds it now */
    Py_XDECREF(made);
    return t;
}

/* ---- sizes that are most likely a mistake ---- */

static bool row_sizes_agree(const kl_tensor *x, const kl_tensor *y)
{
    kl_ints a = kl_shape_of(x), b = kl_shape_of(y);
    return a.n == b.n && memcmp(a.v, b.v, (size_t)a.n * sizeof *a.v) == 0;
}

/* A loss broadcasts a target of another size, with a warning. */
static bool row_target(const kl_tensor *x, const kl_tensor *y)
{
    char a[200], b[200], text[600];
    if (row_sizes_agree(x, y))
        return true;
    PyOS_snprintf(
        text, sizeof text,
        "Using a target size (%s) that is different to the input size (%s). This "
        "will likely lead to incorrect results due to broadcasting. Please ensure "
        "they have the same size.",
        kl_shape_text(y, a, sizeof a), kl_shape_text(x, b, sizeof b));
    return PyErr_WarnEx(PyExc_UserWarning, text, 1) == 0;
}

/* Cross entropy of probabilities refuses it. */
static bool row_own_target(const kl_tensor *x, const kl_tensor *y)
{
    char a[200], b[200];
    if (row_sizes_agree(x, y))
        return true;
    PyErr_Format(PyExc_ValueError,
                 "Using a target size (%s) that is different to the input size (%s) is "
                 "deprecated. Please ensure they have the same size.",
                 kl_shape_text(y, a, sizeof a), kl_shape_text(x, b, sizeof b));
    return false;
}

/* And that of logits. */
static bool row_logits_target(const kl_tensor *x, const kl_tensor *y)
{
    char a[200], b[200];
    if (row_sizes_agree(x, y))
        return true;
    PyErr_Format(PyExc_ValueError, "Target size (%s) must be the same as input size (%s)",
                 kl_shape_text(y, a, sizeof a), kl_shape_text(x, b, sizeof b));
    return false;
}

/* Of each sample one class, where the target is of classes' numbers. */
static bool row_batch(const kl_tensor *x, const kl_tensor *y)
{
    int64_t n = kl_extent(x, 0), m = kl_rank(y) ? kl_extent(y, 0) : 1;
    if (kl_rank(x) == 0)
        PyErr_SetString(PyExc_ValueError, "Expected 1 or more dimensions (got 0)");
    else if (kl_dtype_of(y) >= KL_F16 || (kl_rank(x) > 1 && n == m) ||
             (kl_rank(x) == 1 && m == 1))
        return true;
    else if (kl_rank(x) == 1)
        PyErr_Format(
            PyExc_ValueError,
            "For 1D input, 1D target must have size 1, but got target size: %lld",
            (long long)m);
    else
        PyErr_Format(
            PyExc_ValueError,
            "Expected input batch_size (%lld) to match target batch_size (%lld).",
            (long long)n, (long long)m);
    return false;
}

static bool row_share(double p)
{
    if (p >= 0 && p <= 1)
        return true;
    PyObject *given = PyFloat_FromDouble(p);
    PyErr_Format(PyExc_ValueError,
                 "dropout probability has to be between 0 and 1, but got %S", given);
    Py_XDECREF(given);
    return false;
}

/* One value has no variance: of a channel in the batch, or of each sample's channel. */
static bool row_many(const kl_tensor *x, bool training, bool of_batch)
{
    kl_ints s = kl_shape_of(x);
    int64_t n = of_batch && s.n > 0 ? s.v[0] : 1;
    char a[200];
    for (int i = 2; i < s.n; i++)
        n *= s.v[i];
    if (!training || n != 1)
        return true;
    PyErr_Format(PyExc_ValueError,
                 "Expected more than 1 %s when training, got input size %s",
                 of_batch ? "value per channel" : "spatial element",
                 kl_shape_text(x, a, sizeof a));
    return false;
}

#endif
