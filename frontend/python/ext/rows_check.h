/* rows_check.h: rows that look at the kinds or shapes of their operands before they
 * compute, and refuse some of them or choose another way, as PyTorch does.
 *
 *   add(ints, ints, alpha=1.5)   row_scaled: "argument alpha must not be a floating point
 * .." */
#ifndef KILN_PY_ROWS_CHECK_H
#define KILN_PY_ROWS_CHECK_H

#include "py.h"

#include <stdio.h>

/* Truth, integer, real, complex: what promotion looks at first. */
static int row_category(kl_arg a)
{
    if (a.kind != KL_ARG_TENSOR)
        return a.kind == KL_ARG_BOOL  ? 0
               : a.kind == KL_ARG_INT ? 1
                                      : 2 + (a.kind == KL_ARG_COMPLEX);
    kl_dtype dt = kl_dtype_of(a.t);
    return dt == KL_BOOL ? 0 : dt < KL_F16 ? 1 : 2 + (dt == KL_C64 || dt == KL_C128);
}

/* alpha * a, for a sum with other, whose kind alpha may not exceed. */
static kl_arg row_scaled(const char *at, kl_arg other, kl_arg a, kl_arg alpha)
{
    static const char *const text[] = {
        "Boolean alpha only supported for Boolean results.", NULL,
        "For integral input tensors, argument alpha must not be a floating point number.",
        "For non-complex input tensors, argument alpha must not be a complex number."};
    if (alpha.kind == KL_ARG_INT && alpha.i == 1)
        return a;
    int kind = row_category(alpha), most = row_category(other), second = row_category(a);
    most = most > second ? most : second;
    if (kind == 0 ? most > 0 : kind > 1 && kind > most) {
        PyErr_SetString(PyExc_RuntimeError, text[kind]);
        return kl_arg_none(NULL);
    }
    return kl_arg_t(kl_mul_at(at, a, alpha));
}

/* a + alpha b: of f16 and bf16 in f32, as PyTorch's kernel adds. */
static kl_tensor *row_add(const char *at, kl_arg a, kl_arg b, kl_arg alpha)
{
    kl_arg scaled = row_scaled(at, a, b, alpha);
    kl_dtype dt =
        scaled.kind == KL_ARG_TENSOR && scaled.t ? kl_dtype_of(scaled.t) : KL_F32;
    if ((dt == KL_F16 || dt == KL_BF16) && (alpha.kind != KL_ARG_INT || alpha.i != 1))
        return kl_addcmul_at(at, a, b, kl_arg_i(1), alpha);
    return kl_add_at(at, a, scaled);
}

static kl_tensor *row_addcdiv(const char *at, const py_value *v)
{
    if (row_category(v[1].u.a) < 2 && row_category(v[2].u.a) < 2) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "Integer division with addcdiv is no longer supported, and in a future  "
            "release "
            "addcdiv will perform a true division of tensor1 and tensor2. The historic "
            "addcdiv "
            "behavior can be implemented as (input + value * torch.trunc(tensor1 / "
            "tensor2)).to(input.dtype) for integer inputs and as (input + value * "
            "tensor1 / "
            "tensor2) for float inputs. The future addcdiv behavior is just the latter "
            "implementation: (input + value * tensor1 / tensor2), for all dtypes.");
        return NULL;
    }
    return kl_addcdiv_at(at, v[0].u.a, v[1].u.a, v[2].u.a, v[3].u.a);
}

/* Whether two tensors that stand beside each other are of one dtype, as they must be. */
static bool row_alike(kl_arg a, kl_arg b)
{
    if (a.kind != KL_ARG_TENSOR || b.kind != KL_ARG_TENSOR ||
        kl_dtype_of(a.t) == kl_dtype_of(b.t))
        return true;
    PyErr_Format(PyExc_RuntimeError, "%s did not match %s",
                 kl_dtype_name(kl_dtype_of(a.t)), kl_dtype_name(kl_dtype_of(b.t)));
    return false;
}

static kl_tensor *row_isclose(const char *at, const py_value *v)
{
    kl_arg a = v[0].u.a, b = v[1].u.a;
    return row_alike(a, b) ? kl_isclose_at(at, a, b, v[2].u.d, v[3].u.d, v[4].u.i != 0)
                           : NULL;
}

/* t reversed along dim, which it must have. */
static kl_tensor *row_flip(const char *at, kl_tensor *t, int dim)
{
    if (kl_rank(t) > dim)
        return kl_flip_at(at, t, kl_axes(dim));
    PyErr_Format(PyExc_RuntimeError, "Input must be >= %d-d.", dim + 1);
    return NULL;
}

static kl_tensor *row_roll(const char *at, kl_tensor *t, kl_ints shifts, kl_ints dims)
{
    if (shifts.n)
        return kl_roll_axes_at(at, t, shifts, dims);
    PyErr_SetString(PyExc_RuntimeError, "`shifts` required");
    return NULL;
}

static kl_tensor *row_eye(const char *at, int64_t n, int64_t m, kl_dtype dt)
{
    if (n >= 0 && m >= 0)
        return kl_eye_at(at, n, m, dt);
    PyErr_Format(PyExc_RuntimeError, "%c must be greater or equal to 0, got %lld",
                 n < 0 ? 'n' : 'm', (long long)(n < 0 ? n : m));
    return NULL;
}

static kl_tensor *row_rot90(const char *at, kl_tensor *t, int64_t k, bool given,
                            kl_ints dims)
{
    int64_t rank = kl_rank(t), a = given ? dims.v[0] : 0, b = given ? dims.v[1] : 1;
    if (given && dims.n != 2)
        PyErr_Format(PyExc_RuntimeError,
                     "expected total rotation dims == 2, but got dims = %d", dims.n);
    else if (rank < 2)
        PyErr_Format(PyExc_RuntimeError,
                     "expected total dims >= 2, but got total dims = %d", (int)rank);
    else if (a == b || a - b == rank || b - a == rank)
        PyErr_Format(
            PyExc_RuntimeError,
            "expected rotation dims to be different, but got dim0 = %lld and dim1 = %lld",
            (long long)a, (long long)b);
    else
        return kl_rot90_at(at, t, k, (int)a, (int)b);
    return NULL;
}

/* vsplit and dsplit need dimensions that hsplit does not. */
static bool row_splits(kl_tensor *t, const char *name)
{
    int least = *name == 'h' ? 1 : *name == 'v' ? 2 : 3;
    if (kl_rank(t) >= least)
        return true;
    PyErr_Format(
        PyExc_RuntimeError,
        "torch.%s requires a tensor with at least %d dimension, but got a tensor with %d "
        "dimensions!",
        name, least, kl_rank(t));
    return false;
}

/* hsplit and the like: pieces of one size alone. */
static int row_split_n(const char *at, kl_tensor *t, const char *name, int64_t n, int dim,
                       kl_tensor **out)
{
    int64_t extent = kl_extent(t, dim);
    if (!row_splits(t, name))
        return 0;
    if (n < 1 || extent < 0 || extent % n) {
        PyErr_Format(
            PyExc_RuntimeError,
            "torch.%s attempted to split along dimension %d, but the size of the "
            "dimension %lld is not divisible by the split_size %lld!",
            name, dim, (long long)extent, (long long)n);
        return 0;
    }
    return kl_tensor_split_n_at(at, t, n, dim, out);
}

static kl_tensor *row_t(const char *at, kl_tensor *t)
{
    if (kl_rank(t) <= 2)
        return kl_t_at(at, t);
    PyErr_Format(PyExc_RuntimeError,
                 "t() expects a tensor with <= 2 dimensions, but self is %dD",
                 kl_rank(t));
    return NULL;
}

/* An empty vector may stand beside tensors of any shape. */
static bool row_is_nothing(const kl_tensor *t)
{
    return kl_rank(t) == 1 && kl_extent(t, 0) == 0;
}

static kl_tensor *row_none_of(const char *at, kl_tensor *t, kl_ints shape, int dim)
{
    dim += dim < 0 ? shape.n : 0;
    if (dim >= 0 && dim < shape.n)
        shape.v[dim] = 0;
    return kl_reshape_at(at, t, shape);
}

/* Vectors of no elements join with whatever stands beside them. */
static kl_tensor *row_cat(const char *at, kl_tensor *const *ts, int n, int dim)
{
    py_room room = {.more = NULL};
    kl_tensor **kept = py_room_for(&room, n);
    const kl_tensor *like = NULL;
    int k = 0;
    for (int i = n; i-- > 0;)
        if (!row_is_nothing(ts[i]))
            like = ts[i];
    for (int i = 0; kept && i < n; i++)
        if (!row_is_nothing(ts[i]))
            kept[k++] = ts[i];
        else if (like) /* its dtype counts, and its gradient */
            kept[k++] = row_none_of(at, ts[i], kl_shape_of(like), dim);
    kl_tensor *r = k ? kl_cat_at(at, kept, k, dim) : kl_cat_at(at, ts, n, dim);
    py_room_end(&room);
    return r;
}

/* Of no dtype that was asked for, a complex number makes a complex tensor. */
static kl_tensor *row_full(const char *at, kl_ints shape, kl_arg v, kl_dtype dt)
{
    if (dt == KL_DTYPE_NONE && v.kind == KL_ARG_COMPLEX)
        dt = kl_get_default_dtype() == KL_F64 ? KL_C128 : KL_C64;
    return kl_full_at(at, shape, v, dt);
}

/* A deviation is not negative; NaN passes. */
static bool row_deviates(double std)
{
    if (!(std < 0))
        return true;
    char s[99];
    snprintf(s, sizeof s, "normal expects std >= 0.0, but found std %g", std);
    PyErr_SetString(PyExc_RuntimeError, s);
    return false;
}

static bool row_range(double from, double to)
{
    if (!(from > to))
        return true;
    char s[99];
    snprintf(s, sizeof s,
             "uniform_ expects to return a [from, to) range, but found from=%g > to=%g",
             from, to);
    PyErr_SetString(PyExc_RuntimeError, s);
    return false;
}

/* 1 with probability p, which is a number or broadcasts to t, in t's shape and dtype. */
static kl_tensor *row_bernoulli(const char *at, kl_tensor *t, kl_arg p)
{
    if (p.kind != KL_ARG_TENSOR && !(p.d >= 0 && p.d <= 1)) {
        char s[99];
        snprintf(s, sizeof s, "bernoulli_ expects p to be in [0, 1], but got p=%g", p.d);
        PyErr_SetString(PyExc_RuntimeError, s);
        return NULL;
    }
    kl_tensor *all = p.kind == KL_ARG_TENSOR ? kl_expand_at(at, p.t, kl_shape_of(t))
                                             : kl_full_at(at, kl_shape_of(t), p, KL_F32);
    kl_tensor *drawn = all ? kl_bernoulli_at(at, all) : NULL;
    return drawn ? kl_to_at(at, drawn, kl_dtype_of(t)) : NULL;
}

#endif
