/* op_math.c: elementwise operators that are more than one call: attributes, joint dtypes,
 * any number of operands, clipping, activations. */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

static double get(kl_onnx_op *n, const char *name, double fallback)
{
    return kl_onnx_float(n, name, fallback);
}

/* ---- arithmetic ---- */

/* Integers are divided towards zero. */
OP(Div)
{
    kl_tensor *a = in(n, 0), *b = in(n, 1);
    give(n, 0, is_float(kl_dtype_of(a)) ? kl_div(a, b) : kl_trunc_div(a, b));
}

OP(Mod)
{
    kl_tensor *a = in(n, 0), *b = in(n, 1);
    give(n, 0, kl_onnx_int(n, "fmod", 0) ? kl_rem(a, b) : kl_mod(a, b));
}

/* The result has the base's type. */
OP(Pow)
{
    kl_tensor *a = in(n, 0), *b = in(n, 1);
    kl_dtype dt = kl_dtype_of(a), of_b = kl_dtype_of(b);
    if (!is_float(dt) && is_float(of_b))
        a = kl_to(a, of_b == KL_F64 ? KL_F64 : KL_F32);
    else if (dt != of_b)
        b = kl_to(b, dt);
    kl_tensor *y = kl_pow(a, b);
    give(n, 0, kl_to(y, dt));
}

OP(BitShift)
{
    const char *way = kl_onnx_text(n, "direction", "");
    bool left = strcmp(way, "LEFT") == 0;
    if (!left && strcmp(way, "RIGHT") != 0) {
        kl_onnx_fail(n, KL_ERR_PARSE, "direction is LEFT or RIGHT, not '%.40s'", way);
        return;
    }
    give(n, 0, left ? kl_shl(in(n, 0), in(n, 1)) : kl_shr(in(n, 0), in(n, 1)));
}

/* ---- any number of operands ---- */

typedef kl_tensor *(*two_fn)(const char *at, kl_arg a, kl_arg b);

static kl_tensor *all(kl_onnx_op *n, two_fn f)
{
    kl_tensor *y = in(n, 0);
    for (int i = 1; i < n->nin; i++)
        y = f(KL_HERE, kl_arg_t(y), kl_arg_t(in(n, i)));
    return y;
}

OP(Max)
{
    give(n, 0, all(n, kl_max_at));
}
OP(Min)
{
    give(n, 0, all(n, kl_min_at));
}
OP(Sum)
{
    give(n, 0, all(n, kl_add_at));
}
OP(Mean)
{
    give(n, 0, kl_div(all(n, kl_add_at), (double)n->nin));
}

/* ---- activations ---- */

/* Bounds are attributes up to opset 6, operands since 11; of integers too. */
OP(Clip)
{
    kl_tensor *x = in(n, 0);
    if (n->opset < 11) {
        const char *lo = kl_onnx_attribute(n, "min") ? "min" : NULL;
        const char *hi = kl_onnx_attribute(n, "max") ? "max" : NULL;
        x = lo ? kl_max(x, get(n, "min", 0)) : x;
        x = hi ? kl_min(x, get(n, "max", 0)) : x;
    } else {
        x = has(n, 1) ? kl_max(x, in(n, 1)) : x;
        x = has(n, 2) ? kl_min(x, in(n, 2)) : x;
    }
    give(n, 0, x == in(n, 0) ? kl_clone(x) : x);
}

OP(Celu)
{
    give(n, 0, kl_celu_at(KL_HERE, in(n, 0), get(n, "alpha", 1)));
}
OP(Elu)
{
    give(n, 0, kl_elu_by_at(KL_HERE, in(n, 0), get(n, "alpha", 1), 1, 1));
}
OP(Selu)
{
    double alpha = get(n, "alpha", 1.67326319217681884765625);
    double gamma = get(n, "gamma", 1.05070102214813232421875);
    give(n, 0, kl_elu_by_at(KL_HERE, in(n, 0), alpha, gamma, 1));
}
OP(HardSigmoid)
{
    kl_tensor *y = kl_mul(in(n, 0), get(n, "alpha", 0.2));
    give(n, 0, kl_clamp(kl_add(y, get(n, "beta", 0.5)), 0.0, 1.0));
}
OP(HardSwish)
{
    kl_tensor *x = in(n, 0);
    give(n, 0, kl_mul(x, kl_clamp(kl_add(kl_mul(x, 1.0 / 6), 0.5), 0.0, 1.0)));
}
OP(LeakyRelu)
{
    give(n, 0, kl_leaky_relu(in(n, 0), get(n, "alpha", 0.01)));
}
OP(ThresholdedRelu)
{
    give(n, 0, kl_threshold_at(KL_HERE, in(n, 0), get(n, "alpha", 1), 0));
}
OP(Softplus)
{
    give(n, 0, kl_softplus(in(n, 0)));
}
OP(Softsign)
{
    kl_tensor *x = in(n, 0);
    give(n, 0, kl_div(x, kl_add(kl_abs(x), 1)));
}
OP(Sqrt)
{
    give(n, 0, kl_sqrt(in(n, 0)));
}

/* x below -lambd is moved up by bias, above it down; what lies between is 0. */
OP(Shrink)
{
    kl_tensor *x = in(n, 0);
    double bias = get(n, "bias", 0), lambda = get(n, "lambd", 0.5);
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *w = is_float(dt) ? x : kl_to(x, KL_F64);
    kl_tensor *y = kl_where(kl_gt(w, lambda), kl_sub(w, bias), 0.0);
    y = kl_where(kl_lt(w, -lambda), kl_add(w, bias), y);
    give(n, 0, kl_to(y, dt));
}

OP(Gelu)
{
    const char *how = kl_onnx_text(n, "approximate", "none");
    bool tanh_ = strcmp(how, "tanh") == 0;
    give(n, 0, tanh_ ? kl_gelu_tanh(in(n, 0)) : kl_gelu(in(n, 0)));
}

OP(Swish)
{
    kl_tensor *x = in(n, 0);
    give(n, 0, kl_mul(x, kl_sigmoid(kl_mul(x, get(n, "alpha", 1)))));
}

OP(SwiGLU)
{
    kl_tensor *a = in(n, 0), *s = kl_sigmoid(kl_mul(a, get(n, "alpha", 1)));
    give(n, 0, kl_mul(kl_mul(a, s), in(n, 1)));
}

OP(IsInf)
{
    kl_tensor *x = in(n, 0);
    bool up = kl_onnx_int(n, "detect_positive", 1),
         down = kl_onnx_int(n, "detect_negative", 1);
    if (up && down)
        give(n, 0, kl_isinf(x));
    else if (up || down)
        give(n, 0, up ? kl_isposinf(x) : kl_isneginf(x));
    else
        give(n, 0, kl_full_at(KL_HERE, kl_shape_of(x), kl_arg_b(false), KL_BOOL));
}

OP(PRelu)
{
    kl_tensor *x = in(n, 0), *slope = in(n, 1);
    if (n->opset < 7 && kl_numel(slope) > 1) /* one a channel */
        slope = channels(slope, kl_rank(x));
    give(n, 0, kl_where(kl_lt(x, 0), kl_mul(x, slope), x));
}

OP(Where)
{
    give(n, 0, kl_where(in(n, 0), in(n, 1), in(n, 2)));
    if (kl_onnx_carried(n->in[1].type) && n->nout)
        n->out[0].type = n->in[1].type;
}

OP(Identity)
{
    if (n->nout)
        n->out[0] = n->in[0];
}

/* ---- along an axis ---- */

typedef kl_tensor *(*along_fn)(const char *at, kl_tensor *x, int dim);

/* Before opset 13 the operand is seen as a matrix, split at axis. */
static kl_tensor *along(kl_onnx_op *n, along_fn f)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", n->opset < 13 ? 1 : -1);
    int rank = kl_rank(x);
    if (!kl_onnx_axis(n, &axis, n->opset < 13 && axis == rank ? rank + 1 : rank))
        return NULL;
    if (n->opset >= 13)
        return f(KL_HERE, x, (int)axis);
    kl_ints shape = kl_shape_of(x);
    int64_t rows = 1, columns = 1;
    for (int i = 0; i < shape.n; i++)
        *(i < axis ? &rows : &columns) *= shape.v[i];
    kl_tensor *y = kl_reshape(x, kl_shape(rows, columns));
    return kl_reshape(f(KL_HERE, y, 1), shape);
}

static kl_tensor *hardmax(const char *at, kl_tensor *x, int dim)
{
    if (kl_numel(x) == 0)
        return kl_clone(x);
    kl_tensor *i = kl_argmax(x, dim, false);
    kl_tensor *y = kl_one_hot_at(at, i, kl_extent(x, dim));
    return kl_to(kl_movedim(y, -1, dim), kl_dtype_of(x));
}

OP(Softmax)
{
    give(n, 0, along(n, kl_softmax_at));
}
OP(LogSoftmax)
{
    give(n, 0, along(n, kl_log_softmax_at));
}
OP(Hardmax)
{
    give(n, 0, along(n, hardmax));
}

/* Inference unless training_mode says otherwise. */
OP(Dropout)
{
    kl_tensor *x = in(n, 0);
    int64_t count;
    double ratio = kl_onnx_float(n, "ratio", 0.5);
    const double *given = has(n, 1) ? kl_onnx_numbers(n, 1, &count) : NULL;
    const int64_t *training = has(n, 2) ? kl_onnx_ints(n, 2, &count) : NULL;
    ratio = given ? *given : ratio;
    kl_ints shape = kl_shape_of(x);
    if (!training || !*training || ratio == 0) {
        give(n, 0, kl_clone(x));
        give(n, 1, kl_full_at(KL_HERE, shape, kl_arg_b(true), KL_BOOL));
        return;
    }
    kl_tensor *keep = kl_ge(kl_rand(shape, KL_F32), ratio);
    kl_tensor *y = kl_mul(kl_where(keep, x, 0), ratio < 1 ? 1 / (1 - ratio) : 0.0);
    give(n, 0, kl_to(y, kl_dtype_of(x)));
    give(n, 1, keep);
}
