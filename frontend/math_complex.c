/* math_complex.c: elementwise functions of complex numbers, made of real ones over the
 * two parts.
 *
 *   exp(x + iy)  =  e^x cos y  +  i e^x sin y
 *
 * The inverse functions follow Kahan ("Branch cuts for complex elementary functions",
 * 1987): principal values, continuous from the side that a signed zero names.
 *
 * Infinities and NaN are C99's (annex G), which NumPy and PyTorch follow: where a product
 * of parts is NaN though its limit is known, the limit takes its place. Such a choice
 * asks for the NaN, so that it never stands for the product's derivative where that has
 * one. */
#include "math_compose.h"
#include "terms.h"

typedef struct parts {
    kl_lazy *x, *y;
} parts;

static parts split(kl_lazy *z)
{
    return (parts){un(KL_OP_real, z), un(KL_OP_imag, z)};
}

static kl_lazy *join(kl_lazy *x, kl_lazy *y)
{
    return kl_n_bin(KL_OP_complex, x, y);
}

/* i z, -i z */
static kl_lazy *turned(kl_lazy *z)
{
    parts p = split(z);
    return join(neg(p.y), p.x);
}
static kl_lazy *turned_back(kl_lazy *z)
{
    parts p = split(z);
    return join(p.y, neg(p.x));
}

/* z + v: v has no imaginary part, so that of z keeps its sign */
static kl_lazy *shifted(kl_lazy *z, double v)
{
    parts p = split(z);
    return join(plus(p.x, v), p.y);
}
static kl_lazy *one_minus(kl_lazy *z)
{
    parts p = split(z);
    return join(kl_n_cbin(KL_OP_sub, 1, p.x), neg(p.y));
}

static kl_lazy *both(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_and, a, b);
}
/* r, or what is known instead where r is NaN */
static kl_lazy *unless_nan(kl_lazy *r, kl_lazy *known, kl_lazy *instead)
{
    return kl_n_where(both(known, kl_f_isnan(r)), instead, r);
}
/* x is infinite and y has no direction: inf or NaN */
static kl_lazy *lost(kl_lazy *x, kl_lazy *y)
{
    return both(kl_f_isinf(x), kl_f_logical_not(kl_f_isfinite(y)));
}

static kl_lazy *scaled(kl_lazy *z, double by)
{
    parts p = split(z);
    return join(times(p.x, by), times(p.y, by));
}

kl_lazy *kl_c_abs(kl_lazy *z)
{
    parts p = split(z);
    return kl_f_hypot(p.x, p.y);
}

kl_lazy *kl_c_angle(kl_lazy *z)
{
    parts p = split(z);
    return kl_n_bin(KL_OP_atan2, p.y, p.x);
}

kl_lazy *kl_c_sgn(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *r = kl_f_hypot(p.x, p.y), *zero = equals(r, 0), *none = num(r, 0);
    r = kl_n_where(zero, num(r, 1), r);
    return join(kl_n_where(zero, none, over(p.x, r)),
                kl_n_where(zero, none, over(p.y, r)));
}

kl_lazy *kl_c_conj(kl_lazy *z)
{
    parts p = split(z);
    return join(p.x, neg(p.y));
}

/* ---- exponentials ---- */

/* r = e^x times (cos y, sin y); a real argument stays real where r is infinite, and with
 * x infinite r alone is known: 0 or inf. */
static kl_lazy *polar_of(kl_lazy *r, kl_lazy *x, kl_lazy *y)
{
    kl_lazy *s = mul(r, un(KL_OP_sin, y)), *c = mul(r, un(KL_OP_cos, y));
    kl_lazy *edge = lost(x, y);
    s = unless_nan(s, equals(y, 0), y);
    return join(kl_n_where(edge, r, c),
                kl_n_where(both(edge, below(x, 0)), num(s, 0), s));
}

kl_lazy *kl_c_exp(kl_lazy *z)
{
    parts p = split(z);
    return polar_of(un(KL_OP_exp, p.x), p.x, p.y);
}

kl_lazy *kl_c_exp2(kl_lazy *z)
{
    parts p = split(z);
    return polar_of(un(KL_OP_exp2, p.x), p.x, times(p.y, 0.69314718055994530942));
}

/* e^x cos y - 1 = expm1(x) cos y - 2 sin^2(y / 2) */
kl_lazy *kl_c_expm1(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *half = un(KL_OP_sin, times(p.y, 0.5));
    kl_lazy *re =
        sub(mul(un(KL_OP_expm1, p.x), un(KL_OP_cos, p.y)), times(mul(half, half), 2));
    kl_lazy *im = mul(un(KL_OP_exp, p.x), un(KL_OP_sin, p.y)), *edge = lost(p.x, p.y);
    im = unless_nan(im, equals(p.y, 0), p.y);
    return join(kl_n_where(edge, un(KL_OP_expm1, p.x), re),
                kl_n_where(both(edge, below(p.x, 0)), num(im, 0), im));
}

kl_lazy *kl_c_log(kl_lazy *z)
{
    return z ? join(un(KL_OP_log, kl_c_abs(z)), kl_c_angle(z)) : NULL;
}
kl_lazy *kl_c_log2(kl_lazy *z)
{
    return scaled(kl_c_log(z), 1.4426950408889634074);
}
kl_lazy *kl_c_log10(kl_lazy *z)
{
    return scaled(kl_c_log(z), 0.43429448190325182765);
}

/* |1 + z|^2 = 1 + (x (2 + x) + y^2); far from 1 the square, which may overflow, says no
 * more than |1 + z| */
kl_lazy *kl_c_log1p(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *d = add(mul(p.x, plus(p.x, 2)), mul(p.y, p.y)), *near = below(d, 8);
    kl_lazy *x = plus(p.x, 1), *im = kl_n_bin(KL_OP_atan2, p.y, x);
    kl_lazy *r = kl_f_hypot(kl_n_where(near, num(x, 1), x), p.y);
    kl_lazy *re = times(un(KL_OP_log1p, kl_n_where(near, d, num(d, 0))), 0.5);
    return join(kl_n_where(near, re, un(KL_OP_log, r)), im);
}

/* from the operand of the larger real part */
kl_lazy *kl_c_logaddexp(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *first = kl_n_bin(KL_OP_le, un(KL_OP_real, b), un(KL_OP_real, a));
    kl_lazy *big = kl_n_where(first, a, b), *small = kl_n_where(first, b, a);
    return add(big, kl_c_log1p(kl_c_exp(sub(small, big))));
}

kl_lazy *kl_c_sigmoid(kl_lazy *z)
{
    return kl_n_cbin(KL_OP_div, 1, plus(kl_c_exp(neg(z)), 1));
}
kl_lazy *kl_c_silu(kl_lazy *z)
{
    return mul(z, kl_c_sigmoid(z));
}

/* ---- roots and powers ---- */

/* t = sqrt((|x| + |z|) / 2) is one part, y / 2t the other; on the left both with the sign
 * of y. Signs are factors, not |x| and |y|, which have no derivative on the axes. */
kl_lazy *kl_c_sqrt(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *right = kl_n_cbin(KL_OP_le, 0, p.x), *s = kl_f_sign_of(p.y);
    kl_lazy *x = kl_n_where(right, p.x, neg(p.x));
    kl_lazy *t = un(KL_OP_sqrt, times(add(x, kl_c_abs(z)), 0.5));
    kl_lazy *none = equals(t, 0), *safe = kl_n_where(none, num(t, 1), t);
    kl_lazy *u = over(times(p.y, 0.5), safe);
    kl_lazy *endless = kl_f_isinf(p.y); /* both parts are, and u inf / inf */
    kl_lazy *re = kl_n_where(right, t, mul(u, s)), *im = kl_n_where(right, u, mul(t, s));
    return join(kl_n_where(endless, num(re, INFINITY), re), unless_nan(im, endless, p.y));
}

kl_lazy *kl_c_rsqrt(kl_lazy *z)
{
    return kl_n_cbin(KL_OP_div, 1, kl_c_sqrt(z));
}

/* e^(b log a); anything to the power of 0 is 1, 0 to another power NaN, as PyTorch's */
kl_lazy *kl_c_pow(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *r = kl_c_exp(mul(b, kl_c_log(a)));
    return kl_n_where(equals(b, 0), num(a, 1), r);
}

/* ---- circular and hyperbolic functions ---- */

kl_lazy *kl_c_sinh(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *re = mul(un(KL_OP_sinh, p.x), un(KL_OP_cos, p.y));
    kl_lazy *im = mul(un(KL_OP_cosh, p.x), un(KL_OP_sin, p.y));
    re = kl_n_where(lost(p.x, p.y), p.x, unless_nan(re, equals(p.x, 0), p.x));
    return join(re, unless_nan(im, equals(p.y, 0), p.y));
}
kl_lazy *kl_c_cosh(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *re = mul(un(KL_OP_cosh, p.x), un(KL_OP_cos, p.y));
    kl_lazy *im = mul(un(KL_OP_sinh, p.x), un(KL_OP_sin, p.y));
    kl_lazy *flat = kl_n_where(below(p.x, 0), neg(p.y), p.y);
    im = unless_nan(unless_nan(im, equals(p.y, 0), flat), equals(p.x, 0), p.x);
    return join(kl_n_where(lost(p.x, p.y), num(re, INFINITY), re), im);
}
kl_lazy *kl_c_sin(kl_lazy *z)
{
    return turned_back(kl_c_sinh(turned(z)));
}
kl_lazy *kl_c_cos(kl_lazy *z)
{
    return kl_c_cosh(turned(z));
}

/* With t = tan y, b = 1 + t^2, s = sinh x: (b s cosh x + i t) / (1 + b s^2); beyond 20
 * the real part is 1 in any precision. */
kl_lazy *kl_c_tanh(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *far = above(un(KL_OP_abs, p.x), 20);
    kl_lazy *x = kl_n_where(far, num(p.x, 0), p.x);
    kl_lazy *t = un(KL_OP_tan, p.y), *b = plus(mul(t, t), 1), *s = un(KL_OP_sinh, x);
    kl_lazy *d = plus(mul(b, mul(s, s)), 1);
    kl_lazy *re = over(mul(b, mul(s, un(KL_OP_cosh, x))), d);
    kl_lazy *im = over(t, d);
    kl_lazy *none =
        kl_n_where(kl_f_isinf(p.x), num(p.y, 0), sub(p.y, p.y)); /* 0 or NaN */
    re = kl_n_where(far, add(kl_f_copysign(num(p.x, 1), p.x), none), re);
    return join(unless_nan(re, equals(p.x, 0), p.x),
                unless_nan(kl_n_where(far, none, im), equals(p.y, 0), p.y));
}
kl_lazy *kl_c_tan(kl_lazy *z)
{
    return turned_back(kl_c_tanh(turned(z)));
}

kl_lazy *kl_c_sinc(kl_lazy *z)
{
    kl_lazy *zero = equals(z, 0),
            *x = scaled(kl_n_where(zero, num(z, 1), z), 3.1415926535897932385);
    return kl_n_where(zero, num(z, 1), over(kl_c_sin(x), x));
}

/* ---- their inverses ---- */

/* sqrt(1 - z) and sqrt(1 + z) */
static void roots(kl_lazy *z, parts *minus, parts *add_)
{
    *minus = split(kl_c_sqrt(one_minus(z)));
    *add_ = split(kl_c_sqrt(shifted(z, 1)));
}

static kl_lazy *infinite(parts p)
{
    return kl_n_bin(KL_OP_or, kl_f_isinf(p.x), kl_f_isinf(p.y));
}
/* atan2(y, x) where far says so, else r. What is not far must not reach atan2, whose
 * derivative is NaN at 0. */
static kl_lazy *or_angle(kl_lazy *far, kl_lazy *y, kl_lazy *x, kl_lazy *r)
{
    y = kl_n_where(far, y, num(y, 1)), x = kl_n_where(far, x, num(x, 1));
    return kl_n_where(far, kl_n_bin(KL_OP_atan2, y, x), r);
}
static kl_lazy *or_infinity(kl_lazy *far, kl_lazy *sign, kl_lazy *r)
{
    return kl_n_where(far, kl_f_copysign(num(r, INFINITY), sign), r);
}

kl_lazy *kl_c_asin(kl_lazy *z)
{
    parts m, p, w = split(z);
    roots(z, &m, &p);
    kl_lazy *cross = sub(mul(m.x, p.y), mul(m.y, p.x)); /* Im conj(m) p */
    kl_lazy *dot = sub(mul(m.x, p.x), mul(m.y, p.y));   /* Re m p */
    kl_lazy *re = kl_n_bin(KL_OP_atan2, w.x, dot), *far = infinite(w);
    re = unless_nan(re, equals(w.x, 0), w.x);
    return join(or_angle(far, w.x, un(KL_OP_abs, w.y), re),
                or_infinity(far, w.y, kl_f_asinh(cross)));
}

#define HALF_PI 1.5707963267948966192

kl_lazy *kl_c_acos(kl_lazy *z)
{
    parts m, p, w = split(z);
    roots(z, &m, &p);
    kl_lazy *cross = sub(mul(p.x, m.y), mul(p.y, m.x)); /* Im conj(p) m */
    kl_lazy *re = times(kl_n_bin(KL_OP_atan2, m.x, p.x), 2), *far = infinite(w);
    re = unless_nan(re, equals(w.x, 0), num(re, HALF_PI));
    return join(or_angle(far, un(KL_OP_abs, w.y), w.x, re),
                or_infinity(far, neg(w.y), kl_f_asinh(cross)));
}

kl_lazy *kl_c_asinh(kl_lazy *z)
{
    return turned_back(kl_c_asin(turned(z)));
}

kl_lazy *kl_c_acosh(kl_lazy *z)
{
    parts m = split(kl_c_sqrt(shifted(z, -1))), p = split(kl_c_sqrt(shifted(z, 1)));
    parts w = split(z);
    kl_lazy *dot = add(mul(m.x, p.x), mul(m.y, p.y)); /* Re conj(m) p */
    kl_lazy *im = times(kl_n_bin(KL_OP_atan2, m.y, p.x), 2), *far = infinite(w);
    im = unless_nan(im, equals(w.x, 0), num(im, HALF_PI));
    return join(or_infinity(far, num(dot, 1), kl_f_asinh(dot)),
                or_angle(far, w.y, w.x, im));
}

/* log1p(4x / |1 - z|^2) / 4, without the square, which may overflow, and atan2(2y, (1 -
 * x)(1 + x) - y^2) / 2 */
kl_lazy *kl_c_atanh(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *m = kl_n_cbin(KL_OP_sub, 1, p.x), *yy = mul(p.y, p.y);
    kl_lazy *r = kl_f_hypot(m, p.y), *re = over(times(over(p.x, r), 4), r);
    kl_lazy *im = kl_n_bin(KL_OP_atan2, times(p.y, 2), sub(mul(m, plus(p.x, 1)), yy));
    re = times(un(KL_OP_log1p, re), 0.25), im = times(im, 0.5);
    kl_lazy *far = infinite(p), *edge = kl_f_copysign(num(im, HALF_PI), p.y);
    re = kl_n_where(far, kl_f_copysign(num(re, 0), p.x),
                    unless_nan(re, equals(p.x, 0), p.x));
    return join(re, kl_n_where(far, kl_n_where(kl_f_isnan(p.y), p.y, edge), im));
}
kl_lazy *kl_c_atan(kl_lazy *z)
{
    return turned_back(kl_c_atanh(turned(z)));
}

/* z / (1 + |z|) */
kl_lazy *kl_c_softsign(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *d = plus(kl_c_abs(z), 1);
    return join(over(p.x, d), over(p.y, d));
}

/* ---- tests ---- */

kl_lazy *kl_c_isinf(kl_lazy *z)
{
    parts p = split(z);
    return kl_n_bin(KL_OP_or, kl_f_isinf(p.x), kl_f_isinf(p.y));
}
kl_lazy *kl_c_isfinite(kl_lazy *z)
{
    parts p = split(z);
    return kl_n_bin(KL_OP_and, kl_f_isfinite(p.x), kl_f_isfinite(p.y));
}
kl_lazy *kl_c_isreal(kl_lazy *z)
{
    return equals(un(KL_OP_imag, z), 0);
}
