/* op_cast.c: casts. Types that kiln has no dtype for are bits in u8: a table of 256
 * values decodes them; encoding rounds to nearest even by the type's own grid.
 *
 *   float8: sign, exponent of bias b, mantissa of m bits
 *   x -> q = rint(x / 2^(e - m)) 2^(e - m), e = floor(log2 x), not below 1 - b
 *   bits = (e + b) 2^m + mantissa */
#include <math.h>

#include "op_cast.h"

typedef struct small_float {
    int exponent, mantissa, bias;
    bool infinite;      /* the highest exponent is infinity and NaN, as IEEE 754 has it */
    bool unsigned_zero; /* "uz": no -0, whose bits are NaN */
    int nan;            /* bits; -1: it has none */
    double most;
} small_float;

static const small_float *small(int type)
{
    static const small_float rows[] = {{4, 3, 7, false, false, 0x7F, 448},
                                       {4, 3, 8, false, true, 0x80, 240},
                                       {5, 2, 15, true, false, 0x7F, 57344},
                                       {5, 2, 16, false, true, 0x80, 57344},
                                       {2, 1, 1, false, false, -1, 6}};
    return type >= 17 && type <= 20 ? &rows[type - 17] : type == 23 ? &rows[4] : NULL;
}

/* ---- to f32 ---- */

static double decoded(int type, int bits)
{
    const small_float *f = small(type);
    if (!f) /* float8e8m0: a power of two */
        return bits == 255 ? NAN : ldexp(1, bits - 127);
    int width = f->exponent + f->mantissa;
    int e = bits >> f->mantissa & ((1 << f->exponent) - 1);
    int m = bits & ((1 << f->mantissa) - 1);
    double sign = bits >> width & 1 ? -1 : 1;
    if (f->unsigned_zero ? bits == 0x80
                         : f->nan >= 0 && !f->infinite && (bits & 0x7F) == 0x7F)
        return NAN;
    if (f->infinite && e == (1 << f->exponent) - 1)
        return m ? NAN : sign * INFINITY;
    double v = e ? ldexp((1 << f->mantissa) + m, e - f->bias - f->mantissa)
                 : ldexp(m, 1 - f->bias - f->mantissa);
    return sign * v;
}

kl_tensor *kl_onnx_decode(kl_tensor *t, int type)
{
    float v[256];
    if (kl_onnx_dtype(type) == KL_DTYPE_NONE || !kl_onnx_carried(type))
        return t;
    if (!small(type) && type != 24) /* integers of few bits */
        return t;
    for (int i = 0; i < 256; i++)
        v[i] = (float)decoded(type, i);
    kl_tensor *table = kl_tensor_copy(v, KL_F32, kl_shape(256));
    return kl_take(table, kl_to(t, KL_I64));
}

/* ---- from f32 ---- */

/* Exponents and rounded magnitudes. x: above zero where ok. */
static kl_tensor *small_bits(const small_float *f, kl_tensor *x, bool saturate)
{
    kl_tensor *a = kl_abs(x), *e;
    kl_frexp_at(KL_HERE, kl_to(a, KL_F64), &e); /* a = m 2^e, m in [1/2, 1) */
    e = kl_max(kl_sub(e, 1), 1 - f->bias);
    kl_tensor *unit = kl_ldexp(kl_full(kl_shape(), 1.0, KL_F64), kl_sub(e, f->mantissa));
    kl_tensor *q = kl_round(kl_div(kl_to(a, KL_F64), unit)); /* of 2^m .. 2^(m + 1) */
    kl_tensor *bits = kl_add(
        kl_mul(kl_to(kl_add(e, f->bias - 1), KL_F64), (double)(1 << f->mantissa)), q);
    bits = kl_where(kl_eq(a, 0.0), 0.0, bits);
    kl_tensor *value = kl_mul(q, unit);
    kl_tensor *over = kl_gt(value, f->most);
    int width = f->exponent + f->mantissa;
    int sign = 1 << width;
    int top = f->infinite ? 0x7B : f->unsigned_zero ? 0x7F : f->nan < 0 ? 0x7 : 0x7E;
    int beyond = saturate || f->nan < 0 ? top : f->infinite ? 0x7C : f->nan;
    int infinite = saturate || f->nan < 0 ? top : f->infinite ? 0x7C : f->nan;
    bits = kl_where(over, (double)beyond, bits);
    bits = kl_where(kl_isinf(a), (double)infinite, bits);
    kl_tensor *negative = kl_signbit(x);
    if (f->unsigned_zero) {
        negative = kl_logical_and(negative, kl_ne(bits, 0.0));
        negative = kl_logical_and(negative, kl_ne(bits, (double)f->nan));
    }
    bits = kl_where(negative, kl_add(bits, (double)sign), bits);
    if (f->nan >= 0)
        bits = kl_where(kl_isnan(x),
                        f->unsigned_zero
                            ? kl_arg_d(f->nan)
                            : KL_ARG(kl_where(kl_signbit(x), (double)(f->nan + sign),
                                              (double)f->nan)),
                        bits);
    return kl_to(bits, KL_U8);
}

/* A power of two: rounded up, down or to the nearer one. */
static kl_tensor *power_bits(kl_tensor *x, bool saturate, const char *mode)
{
    kl_tensor *e, *m = kl_frexp_at(KL_HERE, kl_to(x, KL_F64), &e);
    kl_tensor *low = kl_to(kl_sub(e, 1), KL_F64);
    kl_tensor *up = strcmp(mode, "up") == 0     ? kl_gt(m, 0.5)
                    : strcmp(mode, "down") == 0 ? kl_lt(m, 0.0)
                                                : kl_ge(m, 0.75);
    kl_tensor *bits = kl_add(kl_where(up, kl_add(low, 1.0), low), 127.0);
    bits =
        saturate ? kl_clamp(bits, 0.0, 254.0) : kl_where(kl_gt(bits, 254.0), 255.0, bits);
    bits = kl_max(bits, 0.0);
    bits = kl_where(kl_le(x, 0.0), 0.0, bits);
    bits = kl_where(kl_isinf(x), saturate ? 254.0 : 255.0, bits);
    return kl_to(kl_where(kl_isnan(x), 255.0, bits), KL_U8);
}

/* Integers of few bits wrap around. */
static kl_tensor *few_bits(kl_tensor *x, int type)
{
    int bits = type == 21 || type == 22 ? 4 : 2;
    bool is_signed = type == 22 || type == 26;
    kl_tensor *v = kl_to(is_float(kl_dtype_of(x)) ? kl_trunc(x) : x, KL_I32);
    v = kl_and(v, (1 << bits) - 1);
    if (is_signed)
        v = kl_sub(v, kl_mul(kl_shr(v, bits - 1), 1 << bits));
    return kl_to(v, is_signed ? KL_I8 : KL_U8);
}

kl_tensor *kl_onnx_encode(kl_tensor *x, int type, bool saturate, const char *mode)
{
    if (!kl_onnx_carried(type))
        return kl_to(x, kl_onnx_dtype(type));
    if (type == 24)
        return power_bits(kl_to(x, KL_F32), saturate, mode);
    if (!small(type))
        return few_bits(x, type);
    if (kl_dtype_of(x) != KL_F64)
        x = kl_to(x, KL_F32);
    return small_bits(small(type), x, saturate);
}

/* ---- the operators ---- */

static void cast(kl_onnx_op *n, int to)
{
    kl_tensor *x = in(n, 0);
    if (kl_onnx_dtype(to) == KL_DTYPE_NONE) {
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "casts to %s are not supported",
                     kl_onnx_type_name(to));
        return;
    }
    x = kl_onnx_decode(x, n->in[0].type);
    bool saturate = kl_onnx_int(n, "saturate", 1);
    const char *mode = kl_onnx_text(n, "round_mode", "up");
    kl_tensor *y =
        n->in[0].type == to ? kl_clone(in(n, 0)) : kl_onnx_encode(x, to, saturate, mode);
    give_as(n, 0, y, to);
}

void kl_onnx_op_Cast(kl_onnx_op *n)
{
    cast(n, (int)kl_onnx_int(n, "to", 0));
}

void kl_onnx_op_CastLike(kl_onnx_op *n)
{
    cast(n, n->in[1].type);
}

void kl_onnx_op_BitCast(kl_onnx_op *n)
{
    int to = (int)kl_onnx_int(n, "to", 0);
    kl_dtype dt = kl_onnx_dtype(to);
    if (kl_dtype_size(dt) != kl_dtype_size(kl_dtype_of(in(n, 0)))) {
        kl_onnx_fail(n, KL_ERR_DTYPE, "%s and %s have not the same size",
                     kl_onnx_type_name(n->in[0].type), kl_onnx_type_name(to));
        return;
    }
    kl_tensor *x = in(n, 0); /* a bool's bits are those of 0 and 1 */
    if (kl_dtype_of(x) == KL_BOOL && dt != KL_BOOL)
        x = kl_to(x, KL_U8);
    give_as(n, 0, dt == KL_BOOL ? kl_to(x, dt) : kl_bitcast(x, dt), to);
}
