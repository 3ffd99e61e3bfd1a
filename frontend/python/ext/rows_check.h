/* rows_check.h: rows that look at the kinds or shapes of their operands before they
 * compute, and refuse some of them or choose another way, as PyTorch does.
 *
 *   add(ints, ints, alpha=1.5)   row_scaled: "argument alpha must not be a floating point
 * .." */
#ifndef KILN_PY_ROWS_CHECK_H
#define KILN_PY_ROWS_CHECK_H

#include "py.h"

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

/* t reversed along dim, which it must have. */
static kl_tensor *row_flip(const char *at, kl_tensor *t, int dim)
{
    if (kl_rank(t) > dim)
        return kl_flip_at(at, t, kl_axes(dim));
    PyErr_Format(PyExc_RuntimeError, "Input must be >= %d-d.", dim + 1);
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

/* hsplit and the like: pieces of one size alone. */
static int row_split_n(const char *at, kl_tensor *t, const char *name, int64_t n, int dim,
                       kl_tensor **out)
{
    int64_t extent = kl_extent(t, dim);
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

/* In [0, 1); of a complex dtype both parts. */
static kl_tensor *row_rand(const char *at, kl_ints shape, kl_dtype dt)
{
    kl_dtype part = dt == KL_C64 ? KL_F32 : KL_F64;
    if (dt != KL_C64 && dt != KL_C128)
        return kl_rand_at(at, shape, dt);
    kl_tensor *real = kl_rand_at(at, shape, part), *imag = kl_rand_at(at, shape, part);
    return real && imag ? kl_complex_at(at, real, imag) : NULL;
}

#endif
