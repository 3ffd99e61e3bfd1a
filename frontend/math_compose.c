/* math_compose.c: elementwise functions made of primitives. Each is what PyTorch
 * computes, kinks, infinities and NaN included; where PyTorch's kernel widens f16, math.c
 * has done it before.
 *
 *   kl_f_silu(a)  =  a / (1 + exp(-a)) */
#include "math_compose.h"
#include "terms.h"

/* ---- one operand ---- */

kl_lazy *kl_f_real(kl_lazy *a)
{
    return a && !kl_is_complex(type(a)) ? a : un(KL_OP_real, a);
}

kl_lazy *kl_f_imag(kl_lazy *a)
{
    if (a && kl_is_complex(type(a)))
        return un(KL_OP_imag, a);
    if (a)
        kl_fail(KL_ERR_DTYPE,
                "imag is not implemented for tensors with non-complex dtypes.");
    return NULL;
}

kl_lazy *kl_f_logical_not(kl_lazy *a)
{
    return kl_n_binc(KL_OP_eq, a, 0);
}
kl_lazy *kl_f_square(kl_lazy *a)
{
    a = a && type(a) == KL_BOOL ? kl_n_cast(a, KL_I64) : a;
    return kl_n_square(a);
}
kl_lazy *kl_f_reciprocal(kl_lazy *a)
{
    return kl_n_cbin(KL_OP_div, 1, a);
}
kl_lazy *kl_f_rsqrt(kl_lazy *a)
{
    return kl_n_cbin(KL_OP_div, 1, un(KL_OP_sqrt, a));
}

kl_lazy *kl_f_sign(kl_lazy *a)
{
    if (!a || type(a) == KL_BOOL)
        return a;
    kl_lazy *s = sub(kl_n_cast(above(a, 0), type(a)), kl_n_cast(below(a, 0), type(a)));
    return kl_f_steps(s, a);
}

kl_lazy *kl_f_relu(kl_lazy *a)
{
    return kl_n_relu(a);
}
kl_lazy *kl_f_sigmoid(kl_lazy *a)
{
    return kl_n_sigmoid(a);
}

kl_lazy *kl_f_silu(kl_lazy *a)
{
    return over(a, plus(un(KL_OP_exp, un(KL_OP_neg, a)), 1));
}

/* log(1 + e^a); a itself where e^a would swamp the 1 */
kl_lazy *kl_f_softplus(kl_lazy *a)
{
    return kl_n_where(above(a, 20), a, un(KL_OP_log1p, un(KL_OP_exp, a)));
}

kl_lazy *kl_f_gelu(kl_lazy *a)
{
    return mul(times(a, 0.5), plus(un(KL_OP_erf, times(a, 0.70710678118654752440)), 1));
}

kl_lazy *kl_f_gelu_tanh(kl_lazy *a)
{
    kl_lazy *cube = mul(mul(a, a), a);
    kl_lazy *inner = times(add(a, times(cube, 0.044715)), 0.79788456080286535588);
    return mul(times(a, 0.5), plus(un(KL_OP_tanh, inner), 1));
}

kl_lazy *kl_f_relu6(kl_lazy *a)
{
    return kl_n_where(kl_n_binc(KL_OP_le, a, 0), num(a, 0),
                      kl_n_where(kl_n_cbin(KL_OP_le, 6, a), num(a, 6), a));
}

kl_lazy *kl_f_elu(kl_lazy *a)
{
    return kl_n_where(above(a, 0), a, un(KL_OP_expm1, a));
}

kl_lazy *kl_f_selu(kl_lazy *a)
{
    const double alpha = 1.6732632423543772848, scale = 1.0507009873554804934;
    return times(kl_n_where(above(a, 0), a, times(un(KL_OP_expm1, a), alpha)), scale);
}

kl_lazy *kl_f_mish(kl_lazy *a)
{
    return mul(a, un(KL_OP_tanh, kl_f_softplus(a)));
}

kl_lazy *kl_f_hardsigmoid(kl_lazy *a)
{
    return kl_n_binc(KL_OP_div, kl_f_relu6(plus(a, 3)), 6);
}
kl_lazy *kl_f_hardswish(kl_lazy *a)
{
    return kl_n_binc(KL_OP_div, mul(a, kl_f_relu6(plus(a, 3))), 6);
}
kl_lazy *kl_f_softsign(kl_lazy *a)
{
    return over(a, plus(un(KL_OP_abs, a), 1));
}

kl_lazy *kl_f_tail(kl_lazy *a, bool below_zero)
{
    kl_lazy *low = below_zero ? kl_n_binc(KL_OP_le, a, 0) : below(a, 0);
    kl_lazy *less = kl_n_where(low, a, un(KL_OP_neg, a)); /* -|a| */
    return un(KL_OP_log1p, un(KL_OP_exp, less));
}

kl_lazy *kl_f_logsigmoid(kl_lazy *a)
{
    return sub(kl_n_where(below(a, 0), a, num(a, 0)), kl_f_tail(a, false));
}

kl_lazy *kl_f_isnan(kl_lazy *a)
{
    return kl_n_bin(KL_OP_ne, a, a);
}

static kl_lazy *all_equal(kl_lazy *a, bool v)
{
    return a ? kl_n_full(KL_BOOL, a->rank, kl_lazy_shape(a), v) : NULL;
}

kl_lazy *kl_f_isinf(kl_lazy *a)
{
    return a && is_real(a) ? kl_n_binc(KL_OP_eq, un(KL_OP_abs, a), INFINITY)
                           : all_equal(a, false);
}

kl_lazy *kl_f_isfinite(kl_lazy *a)
{
    return a && is_real(a) ? below(un(KL_OP_abs, a), INFINITY) : all_equal(a, true);
}

static kl_dtype bits_of(kl_lazy *a)
{
    int size = kl_dtypes[a->dtype].size;
    return size == 2 ? KL_I16 : size == 4 ? KL_I32 : KL_I64;
}

kl_lazy *kl_f_signbit(kl_lazy *a)
{
    if (!a || type(a) == KL_BOOL)
        return all_equal(a, false);
    return kl_n_binc(KL_OP_lt, kl_is_float(type(a)) ? kl_n_bitcast(a, bits_of(a)) : a, 0);
}

kl_lazy *kl_f_frac(kl_lazy *a)
{
    return sub(a, un(KL_OP_trunc, a));
}

kl_lazy *kl_f_sign_of(kl_lazy *a)
{
    return kl_n_where(kl_f_signbit(a), num(a, -1), num(a, 1));
}

/* Where the square of x may overflow and 1 beside it is nothing, asinh x and acosh x are
 * log 2x, of which this is the part that the logarithm of half as much lacks. */
#define FAR 1e10
static kl_lazy *log_2_where(kl_lazy *far, kl_lazy *like)
{
    return kl_n_where(far, num(like, 0.69314718055994530942), num(like, 0));
}

/* sign(a) times a, not |a|, whose derivative at 0 would be 0 */
kl_lazy *kl_f_asinh(kl_lazy *a)
{
    kl_lazy *s = kl_f_sign_of(a), *x = mul(a, s), *far = above(x, FAR);
    kl_lazy *near = kl_n_where(far, num(x, 1), x), *xx = mul(near, near);
    kl_lazy *root = plus(un(KL_OP_sqrt, plus(xx, 1)), 1);
    kl_lazy *w = kl_n_where(far, plus(x, -1), add(near, over(xx, root)));
    return mul(add(un(KL_OP_log1p, w), log_2_where(far, x)), s);
}

kl_lazy *kl_f_acosh(kl_lazy *a)
{
    kl_lazy *far = above(a, FAR), *near = kl_n_where(far, num(a, 2), a);
    kl_lazy *m = plus(near, -1), *p = plus(near, 1);
    kl_lazy *root = mul(un(KL_OP_sqrt, m), un(KL_OP_sqrt, p));
    kl_lazy *w = kl_n_where(far, a, add(near, root));
    return add(un(KL_OP_log, w), log_2_where(far, a));
}

kl_lazy *kl_f_atanh(kl_lazy *a)
{
    kl_lazy *r = over(times(a, 2), kl_n_cbin(KL_OP_sub, 1, a));
    return times(un(KL_OP_log1p, r), 0.5);
}

kl_lazy *kl_f_deg2rad(kl_lazy *a)
{
    return times(a, 0.017453292519943295769);
}
kl_lazy *kl_f_rad2deg(kl_lazy *a)
{
    return times(a, 57.295779513082320877);
}

kl_lazy *kl_f_nan_to_num(kl_lazy *a)
{
    if (!a || !is_real(a))
        return a;
    double top = type(a) == KL_F64    ? 1.7976931348623157081e308
                 : type(a) == KL_F16  ? 65504.0
                 : type(a) == KL_BF16 ? 3.3895313892515354759e38
                                      : 3.4028234663852885981e38;
    kl_lazy *r = kl_n_where(kl_n_bin(KL_OP_ne, a, a), num(a, 0), a);
    r = kl_n_where(kl_n_binc(KL_OP_eq, r, INFINITY), num(a, top), r);
    return kl_n_where(kl_n_binc(KL_OP_eq, r, -INFINITY), num(a, -top), r);
}

/* ---- two operands ---- */

kl_lazy *kl_f_gt(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_lt, b, a);
}
kl_lazy *kl_f_ge(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_le, b, a);
}

static kl_lazy *truth(kl_lazy *a)
{
    return a && type(a) == KL_BOOL ? a : kl_n_binc(KL_OP_ne, a, 0);
}

kl_lazy *kl_f_logical_and(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_and, truth(a), truth(b));
}
kl_lazy *kl_f_logical_or(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_or, truth(a), truth(b));
}
kl_lazy *kl_f_logical_xor(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_xor, truth(a), truth(b));
}

kl_lazy *kl_f_hypot(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *x = un(KL_OP_abs, a), *y = un(KL_OP_abs, b);
    kl_lazy *big = kl_n_bin(KL_OP_max, x, y), *r = over(kl_n_bin(KL_OP_min, x, y), big);
    kl_lazy *h = mul(big, un(KL_OP_sqrt, plus(mul(r, r), 1)));
    kl_lazy *far = kl_n_bin(KL_OP_or, kl_f_isinf(x), kl_f_isinf(y)); /* beside NaN too */
    h = kl_n_where(equals(big, 0), big, h);
    return kl_n_where(far, num(h, INFINITY), h);
}

kl_lazy *kl_f_copysign(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *x = un(KL_OP_abs, a);
    return kl_f_steps(kl_n_where(kl_f_signbit(b), un(KL_OP_neg, x), x), b);
}

kl_lazy *kl_f_logaddexp(kl_lazy *a, kl_lazy *b)
{
    if (a && kl_is_complex(type(a)))
        return kl_c_logaddexp(a, b);
    kl_lazy *big = kl_n_bin(KL_OP_max, a, b);
    kl_lazy *e = un(KL_OP_exp, un(KL_OP_neg, un(KL_OP_abs, sub(a, b))));
    kl_lazy *same = kl_n_bin(KL_OP_and, kl_n_bin(KL_OP_eq, a, b), kl_f_isinf(a));
    return kl_n_where(same, a, add(big, un(KL_OP_log1p, e)));
}

kl_lazy *kl_f_squared_difference(kl_lazy *a, kl_lazy *b)
{
    return kl_n_square(sub(a, b));
}

kl_lazy *kl_f_heaviside(kl_lazy *a, kl_lazy *b)
{
    return kl_n_where(kl_n_binc(KL_OP_eq, a, 0), b,
                      a ? kl_n_cast(above(a, 0), type(a)) : NULL);
}

kl_lazy *kl_f_fmin(kl_lazy *a, kl_lazy *b)
{
    return kl_n_where(kl_f_isnan(a), b,
                      kl_n_where(kl_f_isnan(b), a, kl_n_bin(KL_OP_min, a, b)));
}

kl_lazy *kl_f_fmax(kl_lazy *a, kl_lazy *b)
{
    return kl_n_where(kl_f_isnan(a), b,
                      kl_n_where(kl_f_isnan(b), a, kl_n_bin(KL_OP_max, a, b)));
}

kl_lazy *kl_f_xlogy(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *r =
        kl_n_where(kl_n_binc(KL_OP_eq, a, 0), num(a, 0), mul(a, un(KL_OP_log, b)));
    return kl_n_where(kl_f_isnan(b), b, r);
}

kl_lazy *kl_f_trunc_div(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *q = over(a, b);
    return q && kl_is_float(type(q)) ? un(KL_OP_trunc, q) : q;
}

/* Integers by squaring, over all bits of the exponent: odd numbers wrap, but never to 0.
 */
static kl_lazy *pow_int(kl_lazy *a, kl_lazy *e)
{
    kl_lazy *r = num(a, 1), *p = a;
    int bits = e ? 8 * (int)kl_dtype_size(type(e)) : 0;
    for (int bit = 0; bit < bits; bit++, p = mul(p, p)) {
        kl_lazy *rest = bit ? kl_n_binc(KL_OP_shr, e, bit) : e;
        r = kl_n_where(equals(kl_n_binc(KL_OP_and, rest, 1), 1), mul(r, p), r);
    }
    /* 1 / a^|e|: of 1 and -1 alone it is no 0 */
    kl_lazy *odd = equals(kl_n_binc(KL_OP_and, e, 1), 1);
    kl_lazy *sign = kl_n_where(odd, a, num(a, 1)), *unit = equals(mul(a, a), 1);
    return kl_n_where(below(e, 0), or_number(unit, sign, 0), r);
}

kl_lazy *kl_f_pow(kl_lazy *a, kl_lazy *b)
{
    if (!a || !b)
        return NULL;
    if (type(a) == KL_BOOL)
        return kl_n_bin(KL_OP_or, a, kl_n_un(KL_OP_not, b));
    if (kl_is_complex(type(a)))
        return kl_c_pow(a, b);
    return kl_is_float(type(a)) ? kl_n_bin(KL_OP_pow, a, b) : pow_int(a, b);
}

/* a^n by squaring, n > 0 */
static kl_lazy *power(kl_lazy *a, int64_t n)
{
    kl_lazy *r = NULL;
    for (; n > 0; n >>= 1, a = n ? mul(a, a) : a)
        if (n & 1)
            r = r ? mul(r, a) : a;
    return r;
}

kl_lazy *kl_f_pow_number(kl_lazy *a, kl_arg e)
{
    if (!a)
        return NULL;
    int64_t n = e.kind == KL_ARG_FLOAT && fabs(e.d) < 1e6 ? (int64_t)e.d : e.i;
    bool whole = e.kind != KL_ARG_COMPLEX && (e.kind != KL_ARG_FLOAT || (double)n == e.d);
    if (!is_real(a) && n < 0) {
        kl_fail(KL_ERR_ARG, "Integers to negative integer powers are not allowed.");
        return NULL;
    }
    if (whole && n == 0)
        return kl_n_full(type(a), a->rank, kl_lazy_shape(a), 1);
    if (whole && n > 0 && (n <= 3 || !is_real(a)))
        return power(a, n);
    if (whole && (n == -1 || n == -2))
        return kl_n_cbin(KL_OP_div, 1, power(a, -n));
    if (kl_is_complex(type(a)))
        return e.d == 0.5 && e.im == 0 ? kl_c_sqrt(a)
                                       : kl_c_pow(a, kl_arg_read(e, type(a)));
    if (e.d == 0.5)
        return un(KL_OP_sqrt, a);
    return kl_n_bin(KL_OP_pow, a, kl_arg_read(e, type(a)));
}

/* ---- three ---- */

kl_lazy *kl_f_clamp(kl_arg a, kl_arg low, kl_arg high)
{
    kl_arg x[3] = {a};
    int n = 1;
    if (low.kind != KL_ARG_NONE)
        x[n++] = low;
    if (high.kind != KL_ARG_NONE)
        x[n++] = high;
    if (n == 1) {
        kl_fail(KL_ERR_ARG, "clamp: At least one of 'min' or 'max' must not be None");
        return NULL;
    }
    kl_dtype dt = kl_arg_promote(n, x);
    kl_lazy *v[3] = {kl_arg_read(a, dt)};
    for (int i = 1; i < n; i++)
        v[i] = kl_arg_read(x[i], dt);
    if (kl_broadcast("clamp", n, v))
        return NULL;
    kl_lazy *r = v[0], *lo = low.kind != KL_ARG_NONE ? v[1] : NULL;
    kl_lazy *hi = high.kind != KL_ARG_NONE ? v[n - 1] : NULL;
    /* at a bound the gradient is none's, at a tensor's both have half of it */
    if (lo)
        r = low.kind == KL_ARG_TENSOR ? kl_n_bin(KL_OP_max, r, lo)
                                      : kl_n_where(kl_n_bin(KL_OP_le, r, lo), lo, r);
    if (hi)
        r = high.kind == KL_ARG_TENSOR ? kl_n_bin(KL_OP_min, r, hi)
                                       : kl_n_where(kl_n_bin(KL_OP_le, hi, r), hi, r);
    return r;
}
