/* rows.h: what rows of functions.def say besides one call of kiln: PyTorch's optional
 * parameters as compositions. Included by functions.c alone. */
#ifndef KILN_PY_ROWS_H
#define KILN_PY_ROWS_H

#include "py.h"
#include "rows_check.h"

#include <string.h>

/* Keys or values whose heads serve several of q's each, repeated. */
static kl_tensor *row_heads(const char *at, kl_tensor *t, kl_tensor *q, bool grouped)
{
    int64_t n = kl_rank(q) > 2 && kl_rank(t) > 2 ? kl_extent(t, -3) : 0;
    return grouped && n > 0 && kl_extent(q, -3) % n == 0
               ? kl_repeat_interleave_at(at, t, kl_extent(q, -3) / n, -3)
               : t;
}

/* Weights are dropped with that probability. */
static kl_tensor *row_attention(const char *at, kl_tensor *q, kl_tensor *k, kl_tensor *v,
                                kl_tensor *mask, double p, bool causal, double scale)
{
    if (p == 0)
        return kl_attention_at(at, q, k, v, mask, causal, scale);
    kl_tensor *w = kl_attention_weights_at(at, q, k, mask, causal, scale);
    w = w ? kl_dropout_at(at, w, p, true) : NULL;
    return w ? kl_matmul_at(at, w, v) : NULL;
}

static kl_tensor *row_to(const char *at, kl_tensor *t, kl_dtype dt)
{
    return dt == KL_DTYPE_NONE ? t : kl_to_at(at, t, dt);
}

/* A reduction of t in the dtype that was asked for, which its result has, too. */
static kl_tensor *row_reduced(const char *at, kl_tensor *r, kl_dtype dt)
{
    return r && dt != KL_DTYPE_NONE && kl_dtype_of(r) != dt ? kl_to_at(at, r, dt) : r;
}

/* Of complex numbers PyTorch's masked spreads are complex. */
static kl_tensor *row_as(const char *at, kl_tensor *of, kl_tensor *r)
{
    return r && kl_dtype_of(of) >= KL_C64 ? kl_to_at(at, r, kl_dtype_of(of)) : r;
}

/* A leaf stays one: x = ones(2, device="cuda", requires_grad=True). */
static kl_tensor *row_there(const char *at, kl_tensor *t, const char *device)
{
    bool leaf = kl_requires_grad(t) && kl_is_leaf(t);
    kl_tensor *from = leaf && strcmp(kl_device_of(t), device) ? kl_detach_at(at, t) : t;
    kl_tensor *to = from ? kl_to_device_at(at, from, device) : NULL;
    return to && from != t ? kl_requires_grad_at(at, to, true) : to;
}

/* v: the arguments of _multihead; flags 1 training, 2 one more key of zeros, 4 averages.
 */
static kl_tensor *row_multihead(const char *at, const py_value *v, kl_tensor **weights)
{
    kl_tensor *const *w = v[4].u.list.ts;
    bool joint = v[4].u.list.n == 1;
    int64_t flags = v[12].u.i;
    kl_multihead o = {
        .heads = (int)v[3].u.i,
        .w_in = joint ? w[0] : NULL,
        .w_q = joint ? NULL : w[0],
        .w_k = joint ? NULL : w[1],
        .w_v = joint ? NULL : w[2],
        .b_in = v[5].u.t,
        .bias_k = v[6].u.t,
        .bias_v = v[7].u.t,
        .w_out = v[8].u.t,
        .b_out = v[9].u.t,
        .mask = v[10].u.t,
        .key_mask = v[11].u.t,
        .training = flags & 1,
        .zero_attn = flags & 2,
        .average = flags & 4,
        .dropout = v[13].u.d,
    };
    return kl_multihead_attention_at(at, v[0].u.t, v[1].u.t, v[2].u.t, o, weights);
}

static kl_tensor *row_finish(const char *at, kl_arg in, bool inplace, kl_tensor *r)
{
    return inplace && r ? kl_scope_hold(kl_assign_at(at, in.t, r)) : r;
}

static kl_tensor *row_act(const char *at, kl_arg in, bool inplace,
                          kl_tensor *(*fn)(const char *, kl_arg))
{
    return row_finish(at, in, inplace, fn(at, in));
}

static kl_tensor *row_div(const char *at, kl_arg a, kl_arg b, const char *mode)
{
    if (!mode)
        return kl_div_at(at, a, b);
    if (strcmp(mode, "floor") != 0 && strcmp(mode, "trunc") != 0) {
        PyErr_Format(PyExc_RuntimeError,
                     "div expected rounding_mode to be one of None, 'trunc', or 'floor' "
                     "but found '%s'",
                     mode);
        return NULL;
    }
    return mode[0] == 'f' ? kl_floordiv_at(at, a, b) : kl_trunc_div_at(at, a, b);
}

static kl_tensor *row_cast_like(const char *at, kl_tensor *t, kl_arg v)
{
    return v.kind == KL_ARG_TENSOR ? kl_to_at(at, v.t, kl_dtype_of(t))
                                   : kl_scalar_at(at, v, kl_dtype_of(t));
}

/* The elements along dim that index names: values and indices of max(dim) and the like.
 */
static kl_tensor *row_along(const char *at, kl_tensor *t, int dim, bool keep,
                            kl_tensor *(*arg)(const char *, kl_tensor *, int, bool),
                            kl_tensor **index)
{
    kl_tensor *i = arg(at, t, dim, true);
    if (!i)
        return NULL;
    kl_tensor *v = kl_rank(t) ? kl_gather_at(at, t, dim, i) : kl_clone_at(at, t);
    bool drop = !keep && kl_rank(t) > 0;
    *index = drop ? kl_squeeze_at(at, i, kl_axes(dim)) : i;
    return drop && v ? kl_squeeze_at(at, v, kl_axes(dim)) : v;
}

static kl_tensor *row_arg(const char *at, kl_tensor *t, bool has_dim, int dim, bool keep,
                          kl_tensor *(*fn)(const char *, kl_tensor *, int, bool))
{
    if (has_dim)
        return fn(at, t, dim, keep);
    int rank = kl_rank(t);
    kl_tensor *r = fn(at, kl_reshape_at(at, t, kl_shape(-1)), 0, false);
    kl_ints ones = {.n = keep ? rank : 0};
    for (int i = 0; i < ones.n; i++)
        ones.v[i] = 1;
    return r && keep ? kl_reshape_at(at, r, ones) : r;
}

static int row_unbind(const char *at, kl_tensor *t, int dim, kl_tensor **out)
{
    int64_t n = kl_extent(t, dim);
    if (n < 0 || n > INT_MAX) {
        kl_select_at(at, t, dim, 0); /* says what is wrong with dim */
        return 0;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = kl_select_at(at, t, dim, i);
    return (int)n;
}

/* The largest or smallest of all; of none there is none, whichever dimension is meant. */
static kl_tensor *row_extreme(const char *at, const char *name, kl_tensor *t,
                              kl_tensor *(*fn)(const char *, kl_tensor *, kl_ints, bool))
{
    if (kl_numel(t) > 0)
        return fn(at, t, kl_axes(), false);
    PyErr_Format(PyExc_RuntimeError,
                 "%s(): Expected reduction dim to be specified for input.numel() == 0. "
                 "Specify the reduction dim with the 'dim' argument.",
                 name);
    return NULL;
}

static int row_split(const char *at, kl_tensor *t, const int64_t *sizes, int n, int dim,
                     kl_tensor **out)
{
    int64_t from = 0, all = kl_extent(t, dim);
    for (int i = 0; i < n; i++) {
        out[i] = kl_narrow_at(at, t, dim, from, sizes[i]);
        from += sizes[i];
    }
    if (from == all || kl_failed())
        return n;
    PyErr_Format(PyExc_RuntimeError,
                 "split_with_sizes expects split_sizes to sum exactly to %lld (input "
                 "tensor's size at dimension %d), but got split_sizes of %lld in all",
                 (long long)all, dim, (long long)from);
    return 0;
}

static int row_nonzero_tuple(const char *at, kl_tensor *t, kl_tensor **out)
{
    kl_tensor *all =
        kl_nonzero_at(at, kl_rank(t) ? t : kl_reshape_at(at, t, kl_shape(1)));
    all = all ? kl_lay_at(at, all, kl_shape(1, 0)) : NULL; /* each of them dense */
    return all ? row_unbind(at, all, 1, out) : 0;
}

/* A copy, both ways. */
static kl_tensor *row_diag(const char *at, kl_tensor *t, int64_t diagonal)
{
    kl_tensor *d = kl_diag_at(at, t, diagonal);
    return d && kl_shares_memory(d, t) ? kl_clone_at(at, d) : d;
}

/* tile: missing leading repeats are 1; missing leading dimensions are added. */
static kl_tensor *row_tile(const char *at, kl_tensor *t, kl_ints dims)
{
    kl_ints full = dims;
    int missing = kl_rank(t) - dims.n;
    for (int i = 0; missing > 0 && i < kl_rank(t); i++)
        full.v[i] = i < missing ? 1 : dims.v[i - missing];
    full.n = missing > 0 ? kl_rank(t) : dims.n;
    return kl_repeat_at(at, t, full);
}

static kl_tensor *row_interleave(const char *at, kl_tensor *t, int64_t times,
                                 bool has_dim, int dim)
{
    return has_dim ? kl_repeat_interleave_at(at, t, times, dim)
                   : kl_repeat_interleave_at(at, kl_reshape_at(at, t, kl_shape(-1)),
                                             times, 0);
}

static kl_reduction row_reduction(const char *s)
{
    return s[0] == 's' ? KL_REDUCE_SUM : s[0] == 'n' ? KL_REDUCE_NONE : KL_REDUCE_MEAN;
}

static kl_dtype row_default(kl_dtype dt)
{
    return dt == KL_DTYPE_NONE ? kl_get_default_dtype() : dt;
}

static kl_dtype row_int(kl_dtype dt)
{
    return dt == KL_DTYPE_NONE ? KL_I64 : dt;
}

static kl_dtype row_or(kl_dtype dt, kl_tensor *like)
{
    return dt == KL_DTYPE_NONE ? kl_dtype_of(like) : dt;
}

static kl_tensor *row_grad(const char *at, kl_tensor *t, bool requires_grad)
{
    return requires_grad && t ? kl_requires_grad_at(at, t, true) : t;
}

static kl_tensor *row_like(const char *at, kl_tensor *t, kl_arg v, kl_dtype dt)
{
    return kl_full_at(at, kl_shape_of(t), v, row_or(dt, t));
}

static kl_tensor *row_copy(const char *at, kl_tensor *t, bool copy)
{
    return copy && t ? kl_clone_at(at, t) : t;
}

static PyObject *row_size(kl_tensor *t, bool has_dim, int64_t dim)
{
    if (!has_dim)
        return py_size(kl_shape_of(t));
    int64_t n = kl_extent(t, (int)dim);
    if (n >= 0)
        return PyLong_FromLongLong(n);
    int r = kl_rank(t) ? kl_rank(t) : 1;
    PyErr_Format(
        PyExc_IndexError,
        "Dimension out of range (expected to be in range of [%d, %d], but got %lld)", -r,
        r - 1, (long long)dim);
    return NULL;
}

static PyObject *row_stride(kl_tensor *t, bool has_dim, int64_t dim)
{
    if (has_dim)
        return PyLong_FromLongLong(kl_stride(t, (int)dim));
    PyObject *all = PyTuple_New(kl_rank(t));
    for (int i = 0; all && i < kl_rank(t); i++)
        PyTuple_SetItem(all, i, PyLong_FromLongLong(kl_stride(t, i)));
    return all;
}

static PyObject *row_equal(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_ints x = kl_shape_of(a), y = kl_shape_of(b);
    bool same = x.n == y.n;
    for (int i = 0; same && i < x.n; i++)
        same = x.v[i] == y.v[i];
    if (!same)
        Py_RETURN_FALSE;
    kl_tensor *eq = kl_eq_at(at, kl_arg_t(a), kl_arg_t(b));
    kl_tensor *all = eq ? kl_all_at(at, eq, kl_axes(), false) : NULL;
    return all ? py_item(all) : py_raise();
}

static PyObject *row_none(kl_status s)
{
    if (s)
        return py_raise();
    Py_RETURN_NONE;
}

static PyObject *row_requires(const char *at, kl_tensor *t, bool on)
{
    return row_none(kl_requires_grad_at(at, t, on) ? KL_OK : KL_ERR_STATE);
}

/* mean + std times the normal distribution, of t's shape and dtype. */
static kl_tensor *row_normal(const char *at, kl_ints shape, kl_dtype dt, double mean,
                             double std)
{
    kl_dtype part = dt == KL_C64 ? KL_F32 : KL_F64;
    if (dt == KL_C64 || dt == KL_C128) { /* each part has half of the variance */
        kl_tensor *re = kl_randn_at(at, shape, part);
        kl_tensor *z = kl_complex_at(at, re, kl_randn_at(at, shape, part));
        z = kl_mul_at(at, kl_arg_t(z), kl_arg_d(std * 0.70710678118654752440));
        return z ? kl_add_at(at, kl_arg_t(z), kl_arg_d(mean)) : NULL;
    }
    kl_tensor *n = kl_randn_at(at, shape, dt);
    n = n ? kl_mul_at(at, kl_arg_t(n), kl_arg_d(std)) : NULL;
    return n ? kl_add_at(at, kl_arg_t(n), kl_arg_d(mean)) : NULL;
}

static kl_tensor *row_search(const char *at, kl_tensor *sorted, kl_arg v, bool narrow,
                             bool right)
{
    kl_tensor *r = kl_searchsorted_at(at, sorted, v, right);
    return r && narrow ? kl_to_at(at, r, KL_I32) : r;
}

/* Where the value so far stood last: the largest index so far at which it was met. */
static kl_tensor *row_cumulative(const char *at, kl_tensor *t, int dim,
                                 kl_tensor *(*fn)(const char *, kl_tensor *, int),
                                 kl_tensor **index)
{
    kl_tensor *v = fn(at, t, dim);
    if (!v || kl_rank(t) == 0) {
        *index = v ? kl_full_at(at, kl_shape(), kl_arg_i(0), KL_I64) : NULL;
        return v ? kl_clone_at(at, v) : NULL;
    }
    kl_ints along = {.n = kl_rank(t)};
    for (int i = 0; i < along.n; i++)
        along.v[i] = i == (dim < 0 ? dim + along.n : dim) ? kl_extent(t, i) : 1;
    kl_tensor *number = kl_reshape_at(
        at,
        kl_arange_at(at, kl_arg_i(0), kl_arg_i(kl_extent(t, dim)), kl_arg_i(1), KL_I64),
        along);
    kl_tensor *met = kl_eq_at(at, kl_arg_t(t), kl_arg_t(v));
    if (kl_dtype_of(t) >= KL_F16)
        met = kl_logical_or_at(at, kl_arg_t(met), kl_arg_t(kl_isnan_at(at, kl_arg_t(t))));
    kl_tensor *at_it = kl_where_at(at, met, kl_arg_t(number), kl_arg_i(0));
    *index = at_it ? kl_cummax_at(at, at_it, dim) : NULL;
    return v;
}

static kl_tensor *row_positive(const char *at, kl_tensor *t)
{
    kl_dtype dt = kl_dtype_of(t);
    return dt == KL_BOOL ? kl_neg_at(at, kl_arg_t(t)) : kl_to_at(at, t, dt);
}

static kl_arg row_number(bool given, double d)
{
    return given ? kl_arg_d(d) : kl_arg_none(NULL);
}

/* One truth of all elements. */
static PyObject *row_truth(const char *at, kl_tensor *t)
{
    kl_tensor *all = t ? kl_all_at(at, t, kl_axes(), false) : NULL;
    return all ? py_item(all) : py_raise();
}

static kl_tensor *row_times(const char *at, kl_tensor *t, kl_arg alpha)
{
    return row_scaled(at, kl_arg_t(t), kl_arg_t(t), alpha).t;
}

/* A number as a tensor like another. */
static kl_tensor *row_tensor(const char *at, kl_arg v, kl_tensor *like)
{
    return v.kind == KL_ARG_TENSOR ? v.t : kl_full_like_at(at, like, v);
}

static kl_tensor *row_filled(const char *at, kl_tensor *t, kl_arg v)
{
    kl_tensor *one = row_cast_like(at, t, v);
    kl_tensor *yes = kl_full_at(at, kl_shape(), kl_arg_b(true), KL_BOOL);
    return kl_where_at(at, yes, kl_arg_t(one), kl_arg_t(t)); /* tracked as t is */
}

/* squeeze without dim; a list of none leaves all as it is. */
static kl_tensor *row_squeeze(const char *at, kl_tensor *t, bool given, kl_ints dims)
{
    return given && dims.n == 0 ? kl_view_at(at, t, kl_shape_of(t))
                                : kl_squeeze_at(at, t, dims);
}

static int row_each(const char *at, kl_tensor *const *t, int n,
                    kl_tensor *(*fn)(const char *, kl_tensor *), kl_tensor **out)
{
    for (int i = 0; i < n; i++)
        out[i] = fn(at, t[i]);
    return n;
}

static int row_copies(const char *at, int n, kl_tensor **t)
{
    for (int i = 0; i < n; i++)
        t[i] = t[i] ? kl_clone_at(at, t[i]) : NULL;
    return n;
}

/* by: how many pieces, or where they end. */
static int row_tensor_split(const char *at, kl_tensor *t, kl_tensor *by, int dim,
                            py_result *r)
{
    int n = (int)kl_numel(by);
    py_room room = {.more = NULL};
    int64_t *v = kl_rank(by) > 1 ? NULL : py_room_for(&room, n);
    kl_tensor *wide = v ? kl_to_at(at, by, KL_I64) : NULL;
    if (kl_rank(by) > 1) {
        PyErr_Format(PyExc_RuntimeError,
                     "tensor_split expected tensor_indices_or_sections to be a "
                     "zero-dimensional or "
                     "one-dimensional tensor, but got a tensor with %d dims",
                     kl_rank(by));
        return 0;
    }
    bool ok = wide && kl_copy_out_at(at, wide, v, (size_t)n * sizeof *v) == KL_OK;
    if (ok && kl_rank(by) == 0)
        n = room_for(r, v[0]) ? kl_tensor_split_n_at(at, t, v[0], dim, r->x) : 0;
    else
        n = ok && room_for(r, n + 1) ? kl_tensor_split_at(at, t, v, n, dim, r->x) : 0;
    py_room_end(&room);
    return n;
}

/* Summed over the dimensions that broadcasting from size repeats. */
static kl_tensor *row_sum_to(const char *at, kl_tensor *t, kl_ints size)
{
    kl_ints axes = {0}, s = kl_shape_of(t);
    for (int i = 0; i < s.n; i++)
        if (i < s.n - size.n || (size.v[i - (s.n - size.n)] == 1 && s.v[i] != 1))
            axes.v[axes.n++] = i;
    bool counts = kl_dtype_of(t) < KL_F16; /* sums of integers are i64, also of one */
    kl_tensor *r = axes.n   ? kl_sum_at(at, t, axes, true)
                   : counts ? kl_to_at(at, t, KL_I64)
                            : t;
    return r ? kl_view_at(at, r, size) : NULL;
}

/* torch.norm by name: "fro" is the vector norm whatever the rank. */
static kl_tensor *row_norm_named(const char *at, kl_tensor *t, const char *p, kl_ints dim,
                                 bool keep)
{
    if (strcmp(p, "fro") == 0)
        return kl_norm_at(at, t, 2, dim, keep);
    return kl_linalg_matrix_norm_at(at, t, p, 0, dim, keep);
}

static kl_tensor *row_edges(const char *at, kl_tensor *t, int64_t bins,
                            const double *range, int given, int dim)
{
    return kl_histogram_edges_at(at, t, bins, given > 1 ? range[0] : 0,
                                 given > 1 ? range[1] : 0, given > 1, dim);
}

/* ---- several results ---- */

static kl_tensor *row_histogram(const char *at, kl_tensor *t, kl_tensor *edges,
                                kl_tensor *weight, bool density, kl_tensor **out)
{
    kl_tensor *flat = kl_reshape_at(at, t, kl_shape(-1, 1));
    kl_tensor *w = weight ? kl_reshape_at(at, weight, kl_shape(-1)) : NULL;
    *out = edges ? kl_clone_at(at, edges) : NULL;
    return *out ? kl_histogram_at(at, flat, &edges, 1, w, density) : NULL;
}

static kl_tensor *
row_spread(const char *at, kl_tensor *t, kl_ints axes, double correction, bool keep,
           kl_tensor *(*fn)(const char *, kl_tensor *, kl_ints, double, bool),
           kl_tensor **mean)
{
    kl_tensor *v = fn(at, t, axes, correction, keep);
    *mean = v ? kl_mean_at(at, t, axes, keep) : NULL;
    return *mean ? v : NULL;
}

static kl_tensor *row_aminmax(const char *at, kl_tensor *t, bool has_dim, int64_t dim,
                              bool keep, kl_tensor **max)
{
    kl_ints axes = has_dim ? kl_axes(dim) : kl_axes();
    kl_tensor *min = kl_amin_at(at, t, axes, keep);
    *max = min ? kl_amax_at(at, t, axes, keep) : NULL;
    return *max ? min : NULL;
}

static void row_unique(const char *at, kl_tensor *t, bool sorted, bool inverse,
                       bool counts, bool has_dim, int dim, py_result *r)
{
    kl_tensor *i = NULL, *c = NULL;
    kl_tensor **pi = inverse ? &i : NULL, **pc = counts ? &c : NULL;
    r->t = has_dim ? kl_unique_dim_at(at, t, dim, sorted, pi, pc)
                   : kl_unique_at(at, t, sorted, pi, pc);
    r->n = 1;
    if (r->t && inverse)
        r->x[r->n++ - 1] = i;
    if (r->t && counts)
        r->x[r->n++ - 1] = c;
}

static PyObject *row_nonzero_list(const char *at, kl_tensor *t, kl_tensor **room)
{
    int n = row_nonzero_tuple(at, t, room);
    PyObject *list = kl_failed() ? py_raise() : PyTuple_New(n);
    for (int i = 0; list && i < n; i++) {
        PyObject *o = py_wrap(room[i]);
        if (!o || PyTuple_SetItem(list, i, o))
            Py_CLEAR(list);
    }
    return list;
}

static kl_tensor *row_nonzero_static(const char *at, kl_tensor *t, int64_t size,
                                     int64_t fill)
{
    kl_tensor *all = kl_nonzero_at(at, t);
    int64_t n = kl_extent(all, 0);
    if (!all || n >= size)
        return all ? kl_narrow_at(at, all, 0, 0, size) : NULL;
    return kl_pad_at(at, all, kl_axes(0, 0, 0, size - n), kl_arg_i(fill));
}

typedef kl_tensor *(*row_quantile_fn)(const char *, kl_tensor *, kl_tensor *, int, bool,
                                      const char *);

/* q: a number or a tensor; without dim of the flattened input. */
static kl_tensor *row_quantile(const char *at, kl_tensor *t, kl_arg q, bool has_dim,
                               int dim, bool keep, const char *how, row_quantile_fn fn)
{
    kl_tensor *share =
        q.kind == KL_ARG_TENSOR ? q.t : kl_scalar_at(at, q, kl_dtype_of(t));
    if (has_dim)
        return fn(at, t, share, dim, keep, how);
    kl_tensor *r = fn(at, kl_reshape_at(at, t, kl_shape(-1)), share, 0, false, how);
    kl_ints s = kl_shape_of(r);
    for (int i = 0; keep && i < kl_rank(t); i++)
        s.v[s.n++] = 1;
    return r && keep ? kl_reshape_at(at, r, s) : r;
}

/* ---- by index ---- */

static kl_tensor *row_index_put(const char *at, kl_tensor *t, kl_tensor *const *index,
                                int n, kl_tensor *v, bool accumulate)
{
    kl_tensor *r = kl_clone_at(at, t);
    return r ? kl_index_put_at(at, r, index, n, kl_arg_t(v), accumulate) : NULL;
}

/* Element i times[i] times along dim: each place's element is the one whose share of the
 * running sum it is in. */
static kl_tensor *row_interleave_by(const char *at, kl_tensor *t, kl_tensor *times,
                                    bool has_dim, int dim)
{
    if (!has_dim)
        t = kl_reshape_at(at, t, kl_shape(-1)), dim = 0;
    if (kl_numel(times) == 1)
        return row_interleave(at, t, kl_item_int_at(at, times), true, dim);
    kl_tensor *ends = kl_cumsum_at(at, times, 0);
    int64_t n = kl_numel(times) ? kl_item_int_at(at, kl_select_at(at, ends, 0, -1)) : 0;
    kl_tensor *place = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
    kl_tensor *of = kl_searchsorted_at(at, ends, kl_arg_t(place), true);
    return of ? kl_index_select_at(at, t, dim, of) : NULL;
}

/* ---- windows, other orders in memory ---- */

static kl_tensor *row_centred(const char *at, kl_window_kind kind, int64_t n, double p,
                              bool sym, kl_dtype dt)
{
    return kl_window_at(at, kind, n, p, sym, dt);
}

/* exp(-|k - centre| / tau) */
static kl_tensor *row_exponential(const char *at, int64_t n, double centre, double tau,
                                  kl_dtype dt)
{
    kl_tensor *k =
        kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), row_default(dt));
    k = kl_abs_at(at, kl_arg_t(kl_sub_at(at, kl_arg_t(k), kl_arg_d(centre))));
    return kl_exp_at(at, kl_arg_t(kl_mul_at(at, kl_arg_t(k), kl_arg_d(-1 / tau))));
}

static kl_tensor *row_strided(const char *at, kl_ints size, kl_ints stride, kl_dtype dt)
{
    int64_t span = 1;
    for (int i = 0; i < size.n && i < stride.n; i++)
        span += size.v[i] > 0 ? (size.v[i] - 1) * stride.v[i] : 0;
    kl_tensor *flat = kl_empty_at(at, kl_shape(span), row_default(dt));
    return flat ? kl_as_strided_at(at, flat, size, stride, 0) : NULL;
}

static kl_tensor *row_permuted(const char *at, kl_ints size, kl_ints order, kl_dtype dt)
{
    kl_ints stride = size;
    int64_t n = 1;
    for (int i = order.n; i-- > 0;) {
        int64_t k = order.v[i];
        if (k < 0 || k >= size.n)
            return kl_permute_at(at, kl_empty_at(at, size, dt), order); /* says why not */
        stride.v[k] = n;
        n *= size.v[k];
    }
    return row_strided(at, size, stride, dt);
}

static int row_unravel(const char *at, kl_tensor *t, kl_ints shape, kl_tensor **out)
{
    int64_t n = 1;
    for (int i = shape.n; i-- > 0; n *= shape.v[i]) {
        kl_tensor *over = kl_floordiv_at(at, kl_arg_t(t), kl_arg_i(n));
        out[i] = kl_mod_at(at, kl_arg_t(over), kl_arg_i(shape.v[i]));
    }
    return shape.n;
}

/* dim=() transforms nothing, and dim=None everything. */
static kl_tensor *row_fftn(const char *at, kl_tensor *t, kl_ints s, bool has_dim,
                           kl_ints dim, const char *norm,
                           kl_tensor *(*fn)(const char *, kl_tensor *, kl_ints, kl_ints,
                                            const char *),
                           const char *name)
{
    if (!has_dim || dim.n > 0)
        return fn(at, t, s, dim, norm);
    if (name[0] == 'f' || (name[0] == 'i' && name[1] == 'f'))
        return kl_to_at(at, t, kl_dtype_of(t) == KL_F64 ? KL_C128 : KL_C64);
    PyErr_Format(PyExc_RuntimeError, "%s must transform at least one axis", name);
    return NULL;
}

/* Without dim: of the flattened input. */
static kl_tensor *row_masked_arg(const char *at, kl_masked_op op, kl_tensor *t,
                                 bool has_dim, int dim, bool keep, kl_tensor *mask)
{
    if (has_dim)
        return kl_masked_along_at(at, op, t, dim, keep, mask);
    if (mask) /* of t's shape before both are flattened */
        mask = kl_reshape_at(at, kl_expand_at(at, mask, kl_shape_of(t)), kl_shape(-1));
    kl_tensor *flat = kl_reshape_at(at, t, kl_shape(-1));
    kl_tensor *r = kl_masked_along_at(at, op, flat, 0, false, mask);
    kl_ints ones = {.n = keep ? kl_rank(t) : 0};
    for (int i = 0; i < ones.n; i++)
        ones.v[i] = 1;
    return r && keep ? kl_reshape_at(at, r, ones) : r;
}

/* _ex functions with check_errors: info must be 0. */
static kl_tensor *row_checked(const char *at, kl_tensor *t, kl_tensor *info, bool check,
                              const char *fn)
{
    kl_tensor *bad = t && check ? kl_any_at(at, kl_ne_at(at, kl_arg_t(info), kl_arg_i(0)),
                                            kl_axes(), false)
                                : NULL;
    if (bad && kl_item_at(at, bad) != 0) {
        PyErr_Format(py.linalg_error,
                     "%s: the input matrix is singular, or not positive-definite", fn);
        return NULL;
    }
    return t;
}

/* Rows, columns or n, whichever is less. */
static int64_t row_least(kl_tensor *t, int64_t n)
{
    int64_t rows = kl_extent(t, -2), cols = kl_extent(t, -1),
            least = rows < cols ? rows : cols;
    return least < n ? least : n;
}

/* Results that stand in r->x from 0 on. */
static void row_several(bool ok, py_result *r, int n)
{
    r->n = n;
    r->t = ok ? r->x[0] : NULL;
    for (int i = 1; ok && i < n; i++)
        r->x[i - 1] = r->x[i];
}

static void row_three(bool ok, py_result *r)
{
    row_several(ok, r, 3);
}

static void row_four(bool ok, py_result *r)
{
    row_several(ok, r, 4);
}

static bool row_lu_unpack(const char *at, kl_tensor *lu, kl_tensor *pivots, bool data,
                          bool order, kl_tensor **out)
{
    kl_dtype dt = kl_dtype_of(lu);
    if (!kl_lu_unpack_at(at, lu, pivots, out))
        return false;
    if (!order)
        out[0] = kl_empty_at(at, kl_shape(0), dt);
    for (int i = 1; !data && i < 3; i++)
        out[i] = kl_empty_at(at, kl_shape(0), dt);
    return out[0] && out[1] && out[2];
}

/* torch.svd: V in place of its conjugate transpose; without vectors zeros. */
static kl_tensor *row_svd(const char *at, kl_tensor *t, bool some, bool vectors,
                          kl_tensor **out)
{
    kl_ints s = kl_shape_of(t);
    if (vectors) {
        kl_tensor *u = kl_linalg_svd_at(at, t, !some, &out[0], &out[1]);
        out[1] = u ? kl_conj_at(at, kl_transpose_at(at, out[1], -2, -1)) : NULL;
        return u;
    }
    out[0] = kl_linalg_svdvals_at(at, t);
    if (!out[0])
        return NULL;
    int64_t m = s.v[s.n - 2], n = s.v[s.n - 1];
    s.v[s.n - 2] = n;
    out[1] = kl_full_at(at, s, kl_arg_i(0), kl_dtype_of(t));
    s.v[s.n - 1] = s.v[s.n - 2] = m;
    return kl_full_at(at, s, kl_arg_i(0), kl_dtype_of(t));
}

static bool row_is_lower(const char *uplo)
{
    return uplo[0] == 'L' || uplo[0] == 'l';
}

static bool row_uplo(const char *s)
{
    bool known = strchr("LlUu", s[0]) && s[0] && !s[1];
    if (!known)
        PyErr_Format(PyExc_RuntimeError,
                     "Expected UPLO argument to be 'L' or 'U', but got %s", s);
    return known;
}

static kl_tensor *row_triangular(const char *at, kl_tensor *b, kl_tensor *a, bool upper,
                                 bool transpose, bool unit)
{
    if (transpose)
        a = kl_transpose_at(at, a, -2, -1);
    return kl_linalg_solve_triangular_at(at, a, b, upper != transpose, true, unit);
}

/* A length that was given is at least what it says, so that 0 is refused. */
static int64_t row_length(const py_value *v)
{
    return !v->given ? 0 : v->u.i == 0 ? -1 : v->u.i;
}

static kl_tensor *row_stft(const char *at, const py_value *v)
{
    bool complex =
        kl_dtype_of(v[0].u.t) >= KL_C64 || (v[4].u.t && kl_dtype_of(v[4].u.t) >= KL_C64);
    kl_stft_options o = {.hop_length = row_length(&v[2]),
                         .win_length = row_length(&v[3]),
                         .window = v[4].u.t,
                         .not_centered = !v[5].u.i,
                         .pad_mode = v[6].u.s,
                         .normalized = v[7].u.i != 0,
                         .twosided = v[8].given && !v[8].u.i};
    if (!v[9].given && !complex) {
        PyErr_SetString(PyExc_RuntimeError,
                        "stft requires the return_complex parameter be given for real "
                        "inputs, and will further require that return_complex=True in a "
                        "future PyTorch release.");
        return NULL;
    }
    kl_tensor *y = kl_stft_at(at, v[0].u.t, v[1].u.i, o);
    return y && v[9].given && !v[9].u.i ? kl_view_as_real_at(at, y) : y;
}

static kl_tensor *row_istft(const char *at, const py_value *v)
{
    kl_stft_options o = {.hop_length = row_length(&v[2]),
                         .win_length = row_length(&v[3]),
                         .window = v[4].u.t,
                         .not_centered = !v[5].u.i,
                         .normalized = v[6].u.i != 0,
                         .twosided = v[9].u.i || (v[7].given && !v[7].u.i),
                         .length = v[8].given ? v[8].u.i : 0,
                         .return_complex = v[9].u.i != 0};
    return kl_istft_at(at, v[0].u.t, v[1].u.i, o);
}

#endif
