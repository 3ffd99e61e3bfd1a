/* op_quant.c: to quantized integers and float8 and back: one scale, one an index along
 * axis, or one a block along it. */
#include <math.h>

#include "op_cast.h"
#include "op_conv.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* s as it broadcasts over x. */
static kl_tensor *spread(kl_onnx_op *n, kl_tensor *s, kl_tensor *x)
{
    int64_t axis = kl_onnx_int(n, "axis", 1), block = kl_onnx_int(n, "block_size", 0);
    int rank = kl_rank(x);
    if (!s || kl_numel(s) == 1)
        return s ? kl_reshape(s, kl_shape()) : NULL;
    if (!kl_onnx_axis(n, &axis, rank))
        return NULL;
    int ax = (int)axis;
    if (kl_rank(s) == 1 && !block) {
        kl_ints shape = ints_fill(rank, 1);
        shape.v[ax] = kl_numel(s);
        return kl_reshape(s, shape);
    }
    if (block > 1)
        s = kl_repeat_interleave(s, block, ax);
    int64_t extent = kl_extent(x, ax);
    return kl_extent(s, ax) > extent ? kl_narrow(s, ax, 0, extent) : s;
}

static bool range_of(int type, double *low, double *high)
{
    static const struct {
        int type;
        double low, high;
    } rows[] = {{2, 0, 255}, {3, -128, 127}, {4, 0, 65535}, {5, -32768, 32767},
                {21, 0, 15}, {22, -8, 7},    {25, 0, 3},    {26, -2, 1}};
    for (size_t i = 0; i < KL_COUNT(rows); i++)
        if (rows[i].type == type) {
            *low = rows[i].low, *high = rows[i].high;
            return true;
        }
    return false;
}

OP(QuantizeLinear)
{
    kl_tensor *x = in(n, 0), *s = spread(n, in(n, 1), x);
    int type = has(n, 2) ? n->in[2].type : (int)kl_onnx_int(n, "output_dtype", 0);
    int precision = (int)kl_onnx_int(n, "precision", 0);
    double low, high;
    type = type ? type : 2;
    if (precision) {
        x = kl_to(x, kl_onnx_dtype(precision));
        s = kl_to(s, kl_onnx_dtype(precision));
    } else if (kl_dtype_of(x) != kl_dtype_of(s) || !is_float(kl_dtype_of(x))) {
        x = kl_to(x, KL_F32);
        s = kl_to(s, KL_F32);
    }
    kl_tensor *y = kl_div(x, s);
    if (!range_of(type, &low, &high)) {
        if (has(n, 2))
            y = kl_add(widen(y), spread(n, kl_onnx_decode(in(n, 2), type), in(n, 0)));
        give_as(n, 0, kl_onnx_encode(y, type, kl_onnx_int(n, "saturate", 1), "nearest"),
                type);
        return;
    }
    y = kl_round(widen(y));
    if (has(n, 2))
        y = kl_add(y, kl_to(spread(n, in(n, 2), in(n, 0)), kl_dtype_of(y)));
    give_as(n, 0, kl_to(kl_clamp(y, low, high), kl_onnx_dtype(type)), type);
}

OP(DequantizeLinear)
{
    kl_tensor *x = in(n, 0), *s = spread(n, in(n, 1), x);
    int type = (int)kl_onnx_int(n, "output_dtype", 0);
    kl_dtype dt = type ? kl_onnx_dtype(type) : kl_dtype_of(in(n, 1));
    kl_tensor *y = kl_to(kl_onnx_decode(x, n->in[0].type), KL_F32);
    if (kl_dtype_of(x) == KL_I32) /* of more bits than f32 has */
        y = kl_to(x, KL_F64);
    if (has(n, 2)) {
        kl_tensor *zero = kl_onnx_decode(in(n, 2), n->in[2].type);
        y = kl_sub(y, kl_to(spread(n, zero, x), kl_dtype_of(y)));
    }
    give(n, 0, kl_to(kl_mul(y, kl_to(s, kl_dtype_of(y))), dt));
}

OP(DynamicQuantizeLinear)
{
    kl_tensor *x = in(n, 0);
    kl_tensor *high = kl_max(kl_amax(x), 0.0), *low = kl_min(kl_amin(x), 0.0);
    kl_tensor *range = kl_sub(high, low);
    kl_tensor *scale = kl_div(kl_where(kl_eq(range, 0.0), 1.0, range), 255.0);
    kl_tensor *zero = kl_round(kl_clamp(kl_div(kl_neg(low), scale), 0.0, 255.0));
    kl_tensor *y = kl_add(kl_round(kl_div(x, scale)), zero);
    give(n, 0, kl_to(kl_clamp(y, 0.0, 255.0), KL_U8));
    give(n, 1, scale);
    give(n, 2, kl_to(zero, KL_U8));
}

/* ---- com.microsoft: an operator of floats between quantized operands ---- */

/* Operand i less its zero point, times its scale; these two follow it. */
static kl_tensor *floats(const kl_onnx_op *n, int i)
{
    kl_tensor *x = kl_to(in(n, i), KL_F32);
    if (has(n, i + 2))
        x = kl_sub(x, kl_to(number(in(n, i + 2)), KL_F32));
    return kl_mul(x, number(in(n, i + 1)));
}

/* Quantized operands, a scale and a zero point behind each, begin at from; the result's
 * two stand at y; what is before both is taken as it is. */
static void between(kl_onnx_op *n, const char *name, int from, int y)
{
    kl_onnx_op of = *n;
    int end = y > from ? y : n->nin;
    of.nin = y < from ? 0 : from;
    of.opset = (int)kl_onnx_int(n, "opset", 13);
    of.row = kl_onnx_find("", name, of.opset, NULL);
    of.in = kl_onnx_array(n->run, n->nin + 1, sizeof *of.in);
    if (kl_onnx_int(n, "channels_last", 0) || !of.row)
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, of.row ? "channels_last" : "opset %d",
                     of.opset);
    if (!of.in || kl_failed())
        return;
    for (int i = 0; i < of.nin; i++)
        of.in[i] = n->in[i];
    for (int i = from; i + 1 < end && i + 1 < n->nin; i += 3)
        of.in[of.nin++] = (kl_onnx_value){.t = floats(n, i), .type = 1, .n = -1};
    kl_onnx_carry_out(&of);
    give(n, 0, kl_onnx_requantize(n->out[0].t, number(in(n, y)), in(n, y + 1)));
}

#define BETWEEN(name, from, y)                                                           \
    OP(QLinear##name)                                                                    \
    {                                                                                    \
        between(n, #name, from, y);                                                      \
    }
BETWEEN(Add, 0, 6)
BETWEEN(AveragePool, 0, 3)
BETWEEN(Concat, 2, 0)
BETWEEN(GlobalAveragePool, 0, 3)
BETWEEN(LeakyRelu, 0, 3)
BETWEEN(Mul, 0, 6)
BETWEEN(ReduceMean, 0, 3)
BETWEEN(Sigmoid, 0, 3)
BETWEEN(Softmax, 0, 3)
BETWEEN(Where, 1, 7)
