/* math_complex.c: elementwise functions of complex numbers, made of real ones over the
 * two parts.
 *
 *   exp(x + iy)  =  e^x cos y  +  i e^x sin y
 *
 * The inverse functions follow Kahan ("Branch cuts for complex elementary functions",
 * 1987): principal values, continuous from the side that a signed zero names. */
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
    kl_lazy *r = kl_f_hypot(p.x, p.y), *zero = equals(r, 0);
    r = kl_n_where(zero, num(r, 1), r);
    return join(over(p.x, r), over(p.y, r));
}

kl_lazy *kl_c_conj(kl_lazy *z)
{
    parts p = split(z);
    return join(p.x, neg(p.y));
}

/* ---- exponentials ---- */

/* e^x times (cos y, sin y); a real argument stays real where e^x is infinite. */
static kl_lazy *polar_of(kl_lazy *r, kl_lazy *y)
{
    kl_lazy *s = mul(r, un(KL_OP_sin, y)), *c = mul(r, un(KL_OP_cos, y));
    kl_lazy *flat = equals(y, 0);
    return join(kl_n_where(flat, r, c), kl_n_where(flat, y, s));
}

kl_lazy *kl_c_exp(kl_lazy *z)
{
    parts p = split(z);
    return polar_of(un(KL_OP_exp, p.x), p.y);
}

kl_lazy *kl_c_exp2(kl_lazy *z)
{
    parts p = split(z);
    return polar_of(un(KL_OP_exp2, p.x), times(p.y, 0.69314718055994530942));
}

/* e^x cos y - 1 = expm1(x) cos y - 2 sin^2(y / 2) */
kl_lazy *kl_c_expm1(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *half = un(KL_OP_sin, times(p.y, 0.5));
    kl_lazy *re =
        sub(mul(un(KL_OP_expm1, p.x), un(KL_OP_cos, p.y)), times(mul(half, half), 2));
    return join(re, mul(un(KL_OP_exp, p.x), un(KL_OP_sin, p.y)));
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

/* |1 + z|^2 = 1 + (x (2 + x) + y^2) */
kl_lazy *kl_c_log1p(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *d = add(mul(p.x, plus(p.x, 2)), mul(p.y, p.y));
    return join(times(un(KL_OP_log1p, d), 0.5), kl_n_bin(KL_OP_atan2, p.y, plus(p.x, 1)));
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

/* t = sqrt((|x| + |z|) / 2) is one part, |y| / 2t the other */
kl_lazy *kl_c_sqrt(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *t = un(KL_OP_sqrt, times(add(un(KL_OP_abs, p.x), kl_c_abs(z)), 0.5));
    kl_lazy *none = equals(t, 0), *safe = kl_n_where(none, num(t, 1), t);
    kl_lazy *u = over(times(un(KL_OP_abs, p.y), 0.5), safe);
    kl_lazy *right = kl_n_cbin(KL_OP_le, 0, p.x);
    kl_lazy *im = kl_n_where(right, u, t);
    return join(kl_n_where(right, t, u), kl_f_copysign(im, p.y));
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

kl_lazy *kl_c_sin(kl_lazy *z)
{
    parts p = split(z);
    return join(mul(un(KL_OP_sin, p.x), un(KL_OP_cosh, p.y)),
                mul(un(KL_OP_cos, p.x), un(KL_OP_sinh, p.y)));
}
kl_lazy *kl_c_cos(kl_lazy *z)
{
    parts p = split(z);
    return join(mul(un(KL_OP_cos, p.x), un(KL_OP_cosh, p.y)),
                neg(mul(un(KL_OP_sin, p.x), un(KL_OP_sinh, p.y))));
}
kl_lazy *kl_c_sinh(kl_lazy *z)
{
    parts p = split(z);
    return join(mul(un(KL_OP_sinh, p.x), un(KL_OP_cos, p.y)),
                mul(un(KL_OP_cosh, p.x), un(KL_OP_sin, p.y)));
}
kl_lazy *kl_c_cosh(kl_lazy *z)
{
    parts p = split(z);
    return join(mul(un(KL_OP_cosh, p.x), un(KL_OP_cos, p.y)),
                mul(un(KL_OP_sinh, p.x), un(KL_OP_sin, p.y)));
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
    return join(kl_n_where(far, kl_f_copysign(num(p.x, 1), p.x), re),
                kl_n_where(far, num(p.y, 0), im));
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
    *minus = split(kl_c_sqrt(kl_n_cbin(KL_OP_sub, 1, z)));
    *add_ = split(kl_c_sqrt(plus(z, 1)));
}

kl_lazy *kl_c_asin(kl_lazy *z)
{
    parts m, p;
    roots(z, &m, &p);
    kl_lazy *cross = sub(mul(m.x, p.y), mul(m.y, p.x)); /* Im conj(m) p */
    kl_lazy *both = sub(mul(m.x, p.x), mul(m.y, p.y));  /* Re m p */
    return join(kl_n_bin(KL_OP_atan2, split(z).x, both), kl_f_asinh(cross));
}

kl_lazy *kl_c_acos(kl_lazy *z)
{
    parts m, p;
    roots(z, &m, &p);
    kl_lazy *cross = sub(mul(p.x, m.y), mul(p.y, m.x)); /* Im conj(p) m */
    return join(times(kl_n_bin(KL_OP_atan2, m.x, p.x), 2), kl_f_asinh(cross));
}

kl_lazy *kl_c_asinh(kl_lazy *z)
{
    return turned_back(kl_c_asin(turned(z)));
}

kl_lazy *kl_c_acosh(kl_lazy *z)
{
    parts m = split(kl_c_sqrt(plus(z, -1))), p = split(kl_c_sqrt(plus(z, 1)));
    kl_lazy *both = add(mul(m.x, p.x), mul(m.y, p.y)); /* Re conj(m) p */
    return join(kl_f_asinh(both), times(kl_n_bin(KL_OP_atan2, m.y, p.x), 2));
}

/* log1p(4x / ((1 - x)^2 + y^2)) / 4 and atan2(2y, (1 - x)(1 + x) - y^2) / 2 */
kl_lazy *kl_c_atanh(kl_lazy *z)
{
    parts p = split(z);
    kl_lazy *m = kl_n_cbin(KL_OP_sub, 1, p.x), *yy = mul(p.y, p.y);
    kl_lazy *re = over(times(p.x, 4), add(mul(m, m), yy));
    kl_lazy *im = kl_n_bin(KL_OP_atan2, times(p.y, 2), sub(mul(m, plus(p.x, 1)), yy));
    return join(times(un(KL_OP_log1p, re), 0.25), times(im, 0.5));
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
