/* rows.h: what rows of functions.def say besides one call of kiln: PyTorch's optional
 * parameters as compositions. Included by functions.c alone. */
#ifndef KILN_PY_ROWS_H
#define KILN_PY_ROWS_H

#include "py.h"

static kl_tensor *row_to(const char *at, kl_tensor *t, kl_dtype dt)
{
    return dt == KL_DTYPE_NONE ? t : kl_to_at(at, t, dt);
}

static kl_arg row_scaled(const char *at, kl_arg a, kl_arg alpha)
{
    if (alpha.kind == KL_ARG_INT && alpha.i == 1)
        return a;
    return kl_arg_t(kl_mul_at(at, a, alpha));
}

static kl_tensor *row_finish(const char *at, kl_arg in, bool inplace, kl_tensor *r)
{
    return inplace && r ? kl_assign_at(at, in.t, r) : r;
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
    if (n < 0 || n > PY_MAX_LIST) {
        kl_select_at(at, t, dim, 0); /* says what is wrong with dim */
        return 0;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = kl_select_at(at, t, dim, i);
    return (int)n;
}

static int row_split(const char *at, kl_tensor *t, kl_ints sizes, int dim,
                     kl_tensor **out)
{
    int64_t from = 0;
    for (int i = 0; i < sizes.n; i++) {
        out[i] = kl_narrow_at(at, t, dim, from, sizes.v[i]);
        from += sizes.v[i];
    }
    return sizes.n;
}

static int row_nonzero_tuple(const char *at, kl_tensor *t, kl_tensor **out)
{
    kl_tensor *all =
        kl_nonzero_at(at, kl_rank(t) ? t : kl_reshape_at(at, t, kl_shape(1)));
    return all ? row_unbind(at, all, 1, out) : 0;
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
static kl_tensor *row_normal(const char *at, kl_tensor *t, double mean, double std)
{
    kl_tensor *n = kl_randn_at(at, kl_shape_of(t), kl_dtype_of(t));
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

#endif
