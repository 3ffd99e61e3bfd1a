/* rows_make.h: what rows that make tensors, of random numbers or of numbers in a row, say
 * besides one call of kiln. Included by functions.c. */
#ifndef KILN_PY_ROWS_MAKE_H
#define KILN_PY_ROWS_MAKE_H

#include "rows.h"

/* A number as it is, or the one that a tensor holds, which is read. */
static kl_arg row_read(const char *at, kl_arg a)
{
    if (a.kind != KL_ARG_TENSOR || kl_numel(a.t) != 1)
        return a;
    return kl_dtype_of(a.t) < KL_F16 ? kl_arg_i(kl_item_int_at(at, a.t))
                                     : kl_arg_d(kl_item_at(at, a.t));
}

static kl_tensor *row_arange(const char *at, kl_arg start, kl_arg end, kl_arg step,
                             kl_dtype dt)
{
    return kl_arange_at(at, row_read(at, start), row_read(at, end), row_read(at, step),
                        dt);
}

/* ---- random numbers ---- */

static kl_tensor *row_uniform(const char *at, kl_ints shape, kl_dtype dt, double lo,
                              double hi)
{
    kl_dtype part = dt == KL_C64 ? KL_F32 : KL_F64;
    if (dt != KL_C64 && dt != KL_C128)
        return kl_uniform_at(at, shape, dt, lo, hi);
    kl_tensor *re = kl_uniform_at(at, shape, part, lo, hi);
    return kl_complex_at(at, re, kl_uniform_at(at, shape, part, lo, hi));
}

/* Deviations are not negative, which their tensor is read for. */
static bool row_all_deviate(const char *at, kl_arg std)
{
    if (std.kind != KL_ARG_TENSOR || kl_dtype_of(std.t) >= KL_C64 || !kl_numel(std.t))
        return true;
    if (!(kl_item_at(at, kl_amin_at(at, std.t, kl_axes(), false)) < 0))
        return true;
    PyErr_SetString(PyExc_RuntimeError, "normal expects all elements of std >= 0.0");
    return false;
}

/* mean + std times the normal distribution, of their joint shape. */
static kl_tensor *row_normal_of(const char *at, kl_arg mean, kl_arg std)
{
    if (!row_all_deviate(at, std))
        return NULL;
    kl_tensor *like = kl_add_at(at, mean, std);
    if (!like)
        return NULL;
    kl_tensor *n = kl_randn_at(at, kl_shape_of(like), kl_dtype_of(like));
    n = kl_mul_at(at, kl_arg_t(n), std);
    return kl_add_at(at, kl_arg_t(n), mean);
}

/* ---- numbers in a row ---- */

/* One end of a row of numbers: a number, or a tensor of one. */
static kl_arg row_end(const char *at, kl_arg a)
{
    if (a.kind != KL_ARG_TENSOR)
        return a;
    if (kl_rank(a.t) != 0) {
        PyErr_Format(
            PyExc_RuntimeError,
            "linspace only supports 0-dimensional start and end tensors, but got %d",
            kl_rank(a.t));
        return kl_arg_none(NULL);
    }
    kl_dtype dt = kl_dtype_of(a.t);
    if (dt < KL_C64)
        return kl_arg_d(kl_item_at(at, a.t));
    double z[2];
    kl_tensor *wide = kl_to_at(at, a.t, KL_C128);
    return wide && kl_copy_out_at(at, wide, z, sizeof z) == KL_OK ? kl_arg_c(z[0], z[1])
                                                                  : kl_arg_none(NULL);
}

/* Of complex ends the parts each by itself. */
static kl_tensor *row_linspace(const char *at, kl_arg from, kl_arg to, int64_t n,
                               kl_dtype dt)
{
    kl_arg a = row_end(at, from), b = row_end(at, to);
    if (a.kind == KL_ARG_NONE || b.kind == KL_ARG_NONE)
        return NULL;
    if (a.kind != KL_ARG_COMPLEX && b.kind != KL_ARG_COMPLEX)
        return kl_linspace_at(at, a.d, b.d, n, dt);
    bool wide = row_default(KL_DTYPE_NONE) == KL_F64;
    kl_dtype own = dt == KL_DTYPE_NONE ? (wide ? KL_C128 : KL_C64) : dt;
    if (own < KL_C64) {
        PyErr_Format(PyExc_RuntimeError,
                     "torch.linspace(): inferred dtype %s can't be safely cast to passed "
                     "dtype %s",
                     wide ? "ComplexDouble" : "ComplexFloat", kl_dtype_name(own));
        return NULL;
    }
    kl_tensor *re = kl_linspace_at(at, a.d, b.d, n, KL_F64);
    kl_tensor *im = kl_linspace_at(at, a.im, b.im, n, KL_F64);
    return re && im ? kl_to_at(at, kl_complex_at(at, re, im), own) : NULL;
}

static kl_tensor *row_logspace(const char *at, kl_arg from, kl_arg to, int64_t n,
                               double base, kl_dtype dt)
{
    kl_arg a = row_end(at, from), b = row_end(at, to);
    if (a.kind == KL_ARG_NONE || b.kind == KL_ARG_NONE)
        return NULL;
    if (a.kind != KL_ARG_COMPLEX && b.kind != KL_ARG_COMPLEX)
        return kl_logspace_at(at, a.d, b.d, n, base, dt);
    kl_tensor *power = row_linspace(at, a, b, n, dt);
    return power ? kl_pow_at(at, kl_arg_d(base), kl_arg_t(power)) : NULL;
}

#endif
