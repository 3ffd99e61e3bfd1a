/* op_linear.c: products of matrices and tensors, of floats and of quantized integers. */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* Products of integers of 32 and 64 bits too. */
OP(MatMul)
{
    give(n, 0, kl_matmul(in(n, 0), in(n, 1)));
}

OP(Gemm)
{
    kl_tensor *a = in(n, 0), *b = in(n, 1), *c = in(n, 2);
    double alpha = kl_onnx_float(n, "alpha", 1), beta = kl_onnx_float(n, "beta", 1);
    if (kl_rank(a) != 2 || kl_rank(b) != 2) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "operands of %d and %d dimensions", kl_rank(a),
                     kl_rank(b));
        return;
    }
    a = kl_onnx_int(n, "transA", 0) ? kl_transpose(a, 0, 1) : a;
    b = kl_onnx_int(n, "transB", 0) ? kl_transpose(b, 0, 1) : b;
    kl_tensor *y = kl_matmul(a, b);
    kl_dtype dt = kl_dtype_of(y);
    y = alpha != 1 ? kl_to(kl_mul(y, alpha), dt) : y;
    if (c)
        y = kl_add(y, beta != 1 ? kl_to(kl_mul(c, beta), dt) : c);
    give(n, 0, y);
}

OP(Einsum)
{
    const char *text = kl_onnx_text(n, "equation", "");
    char *plain = kl_onnx_alloc(n->run, strlen(text) + 1), *to = plain;
    kl_tensor **t = kl_onnx_alloc(n->run, ((size_t)n->nin + 1) * sizeof *t);
    for (; plain && *text; text++)
        if (*text != ' ')
            *to++ = *text;
    for (int i = 0; t && i < n->nin; i++)
        t[i] = in(n, i);
    if (t && plain)
        give(n, 0, kl_einsum_n_at(KL_HERE, plain, t, n->nin));
}

OP(Det)
{
    kl_tensor *x = in(n, 0);
    give(n, 0, kl_to(kl_linalg_det(widen(x)), kl_dtype_of(x)));
}

/* ---- integers less their zero points, in i32 ---- */

/* zero: a number, one a row of a or one a column of b (axis from the end). */
static kl_tensor *centred(kl_tensor *x, kl_tensor *zero, int axis)
{
    x = kl_to(x, KL_I32);
    if (!zero)
        return x;
    zero = number(kl_to(zero, KL_I32));
    if (kl_rank(zero) == 1 && axis == -2)
        zero = kl_unsqueeze(zero, 1);
    return kl_sub(x, zero);
}

OP(MatMulInteger)
{
    kl_tensor *a = centred(in(n, 0), in(n, 2), -2);
    give(n, 0, kl_matmul(a, centred(in(n, 1), in(n, 3), -1)));
}

/* rint(x / scale) + zero, held in the type of zero (none: bytes around 0); scale: of the
 * result's rows or one. */
kl_tensor *kl_onnx_requantize(kl_tensor *x, kl_tensor *scale, kl_tensor *zero)
{
    zero = zero ? number(zero) : kl_zeros(kl_shape(), KL_U8);
    kl_dtype dt = kl_dtype_of(zero);
    double low = dt == KL_I8 ? -128 : 0, high = dt == KL_I8 ? 127 : 255;
    kl_tensor *y = kl_round(kl_div(x, scale));
    y = kl_add(y, kl_to(zero, kl_dtype_of(y)));
    return kl_to(kl_clamp(y, low, high), dt);
}

static kl_tensor *row_scale(kl_tensor *s)
{
    s = number(s);
    return kl_rank(s) == 1 ? kl_unsqueeze(s, 1) : s;
}

OP(QLinearMatMul)
{
    kl_tensor *a = centred(in(n, 0), in(n, 2), -2), *b = centred(in(n, 3), in(n, 5), -1);
    kl_tensor *y = kl_to(kl_matmul(a, b), KL_F32);
    kl_tensor *s =
        kl_mul(row_scale(kl_to(in(n, 1), KL_F32)), number(kl_to(in(n, 4), KL_F32)));
    y = kl_mul(y, s);
    kl_tensor *ys = row_scale(kl_to(in(n, 6), KL_F32));
    give(n, 0, kl_onnx_requantize(y, ys, row_scale(in(n, 7))));
}

/* a a_scale a_zero b b_scale b_zero c y_scale y_zero; b's of its columns or one; floats
 * without y_scale. */
OP(QGemm)
{
    kl_tensor *a = in(n, 0), *b = in(n, 3);
    if (kl_onnx_int(n, "transA", 0))
        a = kl_transpose(a, 0, 1);
    if (kl_onnx_int(n, "transB", 0))
        b = kl_transpose(b, 0, 1);
    kl_tensor *y = kl_matmul(centred(a, in(n, 2), -1), centred(b, in(n, 5), -1));
    kl_tensor *s = kl_mul(number(in(n, 1)), kl_onnx_float(n, "alpha", 1));
    if (has(n, 6))
        y = kl_add(y, in(n, 6));
    y = kl_mul(kl_to(y, KL_F32), kl_mul(s, number(in(n, 4))));
    give(n, 0, has(n, 7) ? kl_onnx_requantize(y, number(in(n, 7)), in(n, 8)) : y);
}
