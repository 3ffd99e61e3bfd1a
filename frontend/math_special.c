/* math_special.c: special functions, made of primitives. All are computed in f64 and
 * rounded once, so that cancellation never shows in f32. What a branch must not read is
 * replaced before it is computed, and so its derivative is right too.
 *
 *   lgamma(x)  =  Stirling's series at x + 8, less log(x (x + 1) .. (x + 7))
 *
 * References: Abramowitz and Stegun, ch. 6 (gamma and its derivatives) and 23 (zeta);
 * Wichura, algorithm AS 241 (the normal distribution's inverse). */
#include "math_compose.h"
#include "terms.h"

#define PI 3.1415926535897932385

kl_lazy *kl_f_in_f64(kl_lazy *(*f)(kl_lazy *x), kl_lazy *a)
{
    return a ? kl_n_cast(f(kl_n_cast(a, KL_F64)), type(a)) : NULL;
}

kl_lazy *kl_f_poly(kl_lazy *x, int n, const double *c)
{
    kl_lazy *r = num(x, c[n - 1]);
    for (int i = n - 1; i-- > 0;)
        r = plus(mul(r, x), c[i]);
    return r;
}

kl_lazy *kl_f_chebyshev(kl_lazy *t, int n, const double *c)
{
    kl_lazy *t2 = times(t, 2), *b1 = num(t, 0), *b2 = b1;
    for (int i = n; i-- > 1;) {
        kl_lazy *b = plus(sub(mul(t2, b1), b2), c[i]);
        b2 = b1, b1 = b;
    }
    return plus(sub(mul(t, b1), b2), c[0] / 2);
}

/* ---- gamma and its derivatives ---- */

enum { SHIFT = 8 };

/* x, or 1 - x where that is the larger, and so 1/2 at least. */
static kl_lazy *reflected(kl_lazy *x, kl_lazy **low)
{
    *low = below(x, 0.5);
    return kl_n_where(*low, kl_n_cbin(KL_OP_sub, 1, x), x);
}

/* How far x is from the nearest integer; 1/4 where no reflection asks for it. */
static kl_lazy *off_integer(kl_lazy *x, kl_lazy *low)
{
    kl_lazy *s = or_number(low, x, 0.25);
    return sub(s, un(KL_OP_round, s));
}

static kl_lazy *lgamma_high(kl_lazy *y) /* y >= 1/2 */
{
    static const double series[] = {1.0 / 12,   -1.0 / 360,      1.0 / 1260, -1.0 / 1680,
                                    1.0 / 1188, -691.0 / 360360, 1.0 / 156};
    kl_lazy *small = below(y, SHIFT), *s = or_number(small, y, 1), *p = s;
    kl_lazy *z = kl_n_where(small, plus(y, SHIFT), y);
    for (int k = 1; k < SHIFT; k++)
        p = mul(p, plus(s, k));
    kl_lazy *w = kl_n_cbin(KL_OP_div, 1, z);
    kl_lazy *tail = mul(w, kl_f_poly(mul(w, w), 7, series));
    kl_lazy *main = mul(plus(z, -0.5), plus(un(KL_OP_log, z), -1));
    kl_lazy *r = add(plus(main, 0.41893853320467274178), tail); /* log(2 pi) / 2 - 1/2 */
    return sub(r, or_number(small, un(KL_OP_log, p), 0));
}

static kl_lazy *lgamma64(kl_lazy *x)
{
    kl_lazy *low, *y = reflected(x, &low), *high = lgamma_high(y);
    kl_lazy *s = un(KL_OP_abs, un(KL_OP_sin, times(off_integer(x, low), PI)));
    kl_lazy *r =
        kl_n_where(low, sub(un(KL_OP_log, kl_n_cbin(KL_OP_div, PI, s)), high), high);
    return kl_n_where(kl_f_isinf(x), num(x, INFINITY), r);
}

/* sum over k < 8 of (y + k)^-s: the terms that the series at y + 8 lacks. */
static kl_lazy *first_terms(kl_lazy *y, int s)
{
    kl_lazy *sum = NULL;
    for (int k = 0; k < SHIFT; k++) {
        kl_lazy *w = kl_n_cbin(KL_OP_div, 1, plus(y, k)), *p = w;
        for (int i = 1; i < s; i++)
            p = mul(p, w);
        sum = sum ? add(sum, p) : p;
    }
    return sum;
}

static kl_lazy *digamma_high(kl_lazy *y)
{
    static const double series[] = {-1.0 / 12,  1.0 / 120,       -1.0 / 252, 1.0 / 240,
                                    -1.0 / 132, 691.0 / 32760.0, -1.0 / 12};
    kl_lazy *z = plus(y, SHIFT), *w = kl_n_cbin(KL_OP_div, 1, z), *ww = mul(w, w);
    kl_lazy *r = sub(un(KL_OP_log, z), times(w, 0.5));
    return sub(add(r, mul(ww, kl_f_poly(ww, 7, series))), first_terms(y, 1));
}

static kl_lazy *digamma64(kl_lazy *x)
{
    kl_lazy *low, *y = reflected(x, &low), *high = digamma_high(y);
    kl_lazy *t = un(KL_OP_tan, times(off_integer(x, low), PI));
    kl_lazy *r = kl_n_where(low, sub(high, kl_n_cbin(KL_OP_div, PI, t)), high);
    r = kl_n_where(kl_n_bin(KL_OP_and, low, equals(t, 0)), num(x, NAN), r);
    return kl_n_where(equals(x, 0), kl_f_copysign(num(x, -INFINITY), neg(x)), r);
}

/* zeta(s, z) for z >= 8.5, by Euler and Maclaurin. */
static kl_lazy *zeta_tail(kl_lazy *z, int s)
{
    static const double bernoulli[] = {1.0 / 6,  -1.0 / 30,     1.0 / 42, -1.0 / 30,
                                       5.0 / 66, -691.0 / 2730, 7.0 / 6,  -3617.0 / 510};
    kl_lazy *w = kl_n_cbin(KL_OP_div, 1, z), *p = w; /* z^(1 - s) */
    for (int i = 2; i < s; i++)
        p = mul(p, w);
    double c[8], f = 0.5 * s;
    for (int j = 0; j < 8; j++) { /* B_2j / (2j)! s (s + 1) .. (s + 2j - 2) */
        c[j] = bernoulli[j] * f;
        f *= (s + 2.0 * j + 1) * (s + 2.0 * j + 2) / ((2.0 * j + 3) * (2.0 * j + 4));
    }
    kl_lazy *ww = mul(w, w);
    kl_lazy *rest = add(plus(times(w, 0.5), 1.0 / (s - 1)), mul(ww, kl_f_poly(ww, 8, c)));
    return mul(p, rest);
}

/* The n-th derivative of cot(pi x) is a polynomial in c = cot(pi x), for
 * c' = -pi (1 + c^2). */
static kl_lazy *cotangent_derivative(kl_lazy *c, int n)
{
    double p[KL_POLYGAMMA_MAX + 2] = {0, 1}, q[KL_POLYGAMMA_MAX + 2];
    for (int k = 0; k < n; k++) {
        memset(q, 0, sizeof q);
        for (int i = 1; i <= k + 1; i++) {
            q[i - 1] -= PI * i * p[i];
            q[i + 1] -= PI * i * p[i];
        }
        memcpy(p, q, sizeof p);
    }
    return kl_f_poly(c, n + 2, p);
}

/* (-1)^(n+1) n! zeta(n + 1, x) */
kl_lazy *kl_f_polygamma(int n, kl_lazy *a)
{
    if (n == 0 || !a)
        return kl_f_digamma(a);
    double sign = n % 2 ? 1 : -1, f = sign;
    for (int i = 2; i <= n; i++)
        f *= i;
    kl_lazy *x = kl_n_cast(a, KL_F64), *low, *y = reflected(x, &low);
    kl_lazy *high =
        times(add(first_terms(y, n + 1), zeta_tail(plus(y, SHIFT), n + 1)), f);
    kl_lazy *r = off_integer(x, low), *pole = equals(r, 0);
    r = kl_n_where(pole, num(r, 0.25), r);
    kl_lazy *c = kl_n_cbin(KL_OP_div, 1, un(KL_OP_tan, times(r, PI)));
    kl_lazy *mirror = sub(times(high, -sign), times(cotangent_derivative(c, n), PI));
    r = kl_n_where(low, kl_n_where(pole, num(x, sign * INFINITY), mirror), high);
    return kl_n_cast(r, type(a));
}

/* log of the p-dimensional gamma function */
kl_lazy *kl_f_mvlgamma(kl_lazy *a, int p)
{
    kl_lazy *x = a ? kl_n_cast(a, KL_F64) : NULL, *sum = NULL;
    for (int j = 0; j < p; j++) {
        kl_lazy *g = lgamma64(plus(x, -0.5 * j));
        sum = sum ? add(sum, g) : g;
    }
    return kl_n_cast(plus(sum, 0.25 * p * (p - 1) * log(PI)), a ? type(a) : KL_F64);
}

kl_lazy *kl_f_lgamma(kl_lazy *a)
{
    return kl_f_in_f64(lgamma64, a);
}
kl_lazy *kl_f_digamma(kl_lazy *a)
{
    return kl_f_in_f64(digamma64, a);
}

/* log of e^-(a - 1) (a - 1)^(a - 1) / gamma(a), a >= 100: nothing large is subtracted. */
static kl_lazy *peak_log(kl_lazy *a)
{
    static const double series[] = {1.0 / 12, -1.0 / 360, 1.0 / 1260};
    kl_lazy *w = kl_n_cbin(KL_OP_div, 1, a);
    kl_lazy *stirling = mul(w, kl_f_poly(mul(w, w), 3, series));
    kl_lazy *main = mul(plus(a, -1), un(KL_OP_log1p, neg(w)));
    main = sub(main, times(un(KL_OP_log, a), 0.5));
    return sub(plus(main, 0.08106146679532725822), stirling); /* 1 - log(2 pi) / 2 */
}

/* The integral of t^(a - 1) e^-t / gamma(a) between x and where nothing is left, on x's
 * side of the peak at a - 1, by Gauss and Legendre's rule of 36 points (those above 0).
 */
static kl_lazy *gamma_integral(kl_lazy *a, kl_lazy *x)
{
    static const double node[] = {
        0.043018198473708607, 0.12873610380938479, 0.21350089231686558,
        0.29668499534402827,  0.37767254711968922, 0.45586394443342027,
        0.53068028592624516,  0.60156765813598054, 0.66800123658552106,
        0.72948917159355658,  0.78557623013220651, 0.83584716699247531,
        0.87992980089039713,  0.91749777451565907, 0.94827298439950755,
        0.97202769104969795,  0.98858647890221224, 0.99783046248408584};
    static const double weight[] = {
        0.085983275670394747, 0.085346685739338627, 0.084078218979661935,
        0.08218726670433971,  0.079687828912071602, 0.076598410645870675,
        0.072941885005653061, 0.068745323835736443, 0.06403979735501549,
        0.058860144245324817, 0.053244713977759919, 0.047235083490265978,
        0.040875750923644895, 0.03421381077030723,  0.027298621498568779,
        0.020181515297735472, 0.012915947284065574, 0.0055657196642450454};
    kl_lazy *peak = plus(a, -1), *width = un(KL_OP_sqrt, peak);
    kl_lazy *high = kl_n_bin(KL_OP_lt, peak, x);
    kl_lazy *top =
        kl_n_bin(KL_OP_max, add(peak, times(width, 11.5)), add(x, times(width, 6)));
    kl_lazy *low =
        kl_n_bin(KL_OP_min, sub(peak, times(width, 7.5)), sub(x, times(width, 5)));
    kl_lazy *end = kl_n_where(high, top, kl_n_binc(KL_OP_max, low, 0));
    kl_lazy *half = times(sub(end, x), 0.5), *mid = times(add(end, x), 0.5),
            *sum = num(x, 0);
    for (int i = 0; i < 2 * (int)KL_COUNT(node); i++) {
        kl_lazy *t = add(mid, times(half, i % 2 ? node[i / 2] : -node[i / 2]));
        kl_lazy *u = over(sub(t, peak), peak); /* log of t's value over the peak's */
        kl_lazy *e = mul(peak, sub(un(KL_OP_log1p, u), u));
        sum = add(sum, times(un(KL_OP_exp, e), weight[i / 2]));
    }
    return mul(mul(un(KL_OP_abs, half), sum), un(KL_OP_exp, peak_log(a)));
}

kl_tensor *kl_gamma_integral_at(const char *at, kl_tensor *a, kl_tensor *x)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(a), *m = kl_arg_tensor(x);
    return kl_call_end(&c, n && m ? gamma_integral(n, m) : NULL);
}

/* ---- the normal distribution ---- */

/* Its inverse at p = 1/2 + q, r = the smaller of p and 1 - p. */
static kl_lazy *quantile(kl_lazy *q, kl_lazy *r)
{
    static const double a[] = {3.3871328727963666080e0,  1.3314166789178437745e+2,
                               1.9715909503065514427e+3, 1.3731693765509461125e+4,
                               4.5921953931549871457e+4, 6.7265770927008700853e+4,
                               3.3430575583588128105e+4, 2.5090809287301226727e+3};
    static const double b[] = {1,
                               4.2313330701600911252e+1,
                               6.8718700749205790830e+2,
                               5.3941960214247511077e+3,
                               2.1213794301586595867e+4,
                               3.9307895800092710610e+4,
                               2.8729085735721942674e+4,
                               5.2264952788528545610e+3};
    static const double c[] = {1.42343711074968357734e0,  4.63033784615654529590e0,
                               5.76949722146069140550e0,  3.64784832476320460504e0,
                               1.27045825245236838258e0,  2.41780725177450611770e-1,
                               2.27238449892691845833e-2, 7.74545014278341407640e-4};
    static const double d[] = {1,
                               2.05319162663775882187e0,
                               1.67638483018380384940e0,
                               6.89767334985100004550e-1,
                               1.48103976427480074590e-1,
                               1.51986665636164571966e-2,
                               5.47593808499534494600e-4,
                               1.05075007164441684324e-9};
    static const double e[] = {6.65790464350110377720e0,  5.46378491116411436990e0,
                               1.78482653991729133580e0,  2.96560571828504891230e-1,
                               2.65321895265761230930e-2, 1.24266094738807843860e-3,
                               2.71155556874348757815e-5, 2.01033439929228813265e-7};
    static const double f[] = {1,
                               5.99832206555887937690e-1,
                               1.36929880922735805310e-1,
                               1.48753612908506148525e-2,
                               7.86869131145613259100e-4,
                               1.84631831751005468180e-5,
                               1.42151175831644588870e-7,
                               2.04426310338993978564e-15};
    kl_lazy *centre = kl_n_binc(KL_OP_le, un(KL_OP_abs, q), 0.425);
    kl_lazy *qc = or_number(centre, q, 0);
    kl_lazy *v = kl_n_cbin(KL_OP_sub, 0.180625, mul(qc, qc));
    kl_lazy *mid = mul(qc, over(kl_f_poly(v, 8, a), kl_f_poly(v, 8, b)));
    kl_lazy *rt = kl_n_where(centre, num(r, 0.01), r);
    kl_lazy *ends = equals(rt, 0);
    kl_lazy *s = un(KL_OP_sqrt, neg(un(KL_OP_log, kl_n_where(ends, num(r, 0.01), rt))));
    kl_lazy *near = kl_n_binc(KL_OP_le, s, 5), *sn = plus(s, -1.6), *sf = plus(s, -5);
    kl_lazy *tail = kl_n_where(near, over(kl_f_poly(sn, 8, c), kl_f_poly(sn, 8, d)),
                               over(kl_f_poly(sf, 8, e), kl_f_poly(sf, 8, f)));
    tail = kl_n_where(ends, num(tail, INFINITY), tail);
    return kl_n_where(centre, mid, kl_f_copysign(tail, q));
}

/* NaN outside [0, limit]. */
static kl_lazy *within(kl_lazy *x, double lo, double hi, kl_lazy *r)
{
    kl_lazy *in =
        kl_n_bin(KL_OP_and, kl_n_cbin(KL_OP_le, lo, x), kl_n_binc(KL_OP_le, x, hi));
    return or_number(in, r, NAN);
}

static kl_lazy *ndtri64(kl_lazy *p)
{
    kl_lazy *r = kl_n_where(below(p, 0.5), p, kl_n_cbin(KL_OP_sub, 1, p));
    return within(p, 0, 1, quantile(plus(p, -0.5), r));
}

/* erf(y) = x: y = ndtri((1 + x) / 2) / sqrt 2; 1 - |x| is exact where it counts. The
 * derivative is sqrt(pi) / 2 exp(y^2). */
static kl_lazy *erfinv64(kl_lazy *x)
{
    kl_lazy *r = times(kl_n_cbin(KL_OP_sub, 1, un(KL_OP_abs, x)), 0.5);
    return within(x, -1, 1, times(quantile(times(x, 0.5), r), 0.70710678118654752440));
}

kl_lazy *kl_f_ndtri(kl_lazy *a)
{
    return kl_f_in_f64(ndtri64, a);
}
kl_lazy *kl_f_erfinv(kl_lazy *a)
{
    return kl_f_in_f64(erfinv64, a);
}

static kl_lazy *ndtr64(kl_lazy *x)
{
    return times(un(KL_OP_erfc, times(x, -0.70710678118654752440)), 0.5);
}
kl_lazy *kl_f_ndtr(kl_lazy *a)
{
    return kl_f_in_f64(ndtr64, a);
}

/* ---- logarithms at their edges ---- */

/* sin(pi x) / (pi x), 1 at 0 */
kl_lazy *kl_f_sinc(kl_lazy *a)
{
    kl_lazy *zero = equals(a, 0), *x = times(kl_n_where(zero, num(a, 1), a), PI);
    return kl_n_where(zero, num(a, 1), over(un(KL_OP_sin, x), x));
}

kl_lazy *kl_f_logit(kl_lazy *a)
{
    return un(KL_OP_log, over(a, kl_n_cbin(KL_OP_sub, 1, a)));
}

/* -x log x; 0 at 0, -inf below */
kl_lazy *kl_f_entr(kl_lazy *a)
{
    kl_lazy *ok = above(a, 0), *x = or_number(ok, a, 1);
    kl_lazy *r = neg(mul(x, un(KL_OP_log, x)));
    kl_lazy *edge = kl_n_where(equals(a, 0), num(a, 0), num(a, -INFINITY));
    return kl_n_where(kl_f_isnan(a), a, kl_n_where(ok, r, edge));
}

/* a log(1 + b), 0 where a is 0 */
kl_lazy *kl_f_xlog1py(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *r = or_number(kl_n_binc(KL_OP_ne, a, 0), mul(a, un(KL_OP_log1p, b)), 0);
    return kl_n_where(kl_f_isnan(b), b, r);
}

/* ---- the error function's complement, scaled ---- */

/* Chebyshev's series, fitted to 57 bits in multiple precision: of (1 + 2x) e^(x^2) erfc x
 * over t = (x - 3.75) / (x + 3.75) (Shepherd and Laframboise, 1981). */
/* clang-format off */
static const double erfcx_fit[] = {
    2.3551578691348035, -0.0045900545806464773, -0.084249133366517916,
    0.05920993999819189, -0.026658668435305752, 0.0090749976707052651,
    -0.0024131635404176082, 0.00049077583652580863, -6.9169733025012064e-5,
    4.1390279860730102e-6, 7.7403830661984907e-7, -2.1886401049234396e-7,
    1.076499946567091e-8, 4.5219598112182869e-9, -7.7544002088313511e-10,
    -6.3180883408866845e-11, 2.8687950109306699e-11, 1.9455868545777347e-13,
    -9.6546967484334389e-13, 3.2525481481487398e-14, 3.3478119482868054e-14,
    -1.8645628804193131e-15, -1.2507950530688647e-15, 7.4182352566240435e-17,
    5.0681489047961113e-17};
/* clang-format on */

static kl_lazy *erfcx64(kl_lazy *x)
{
    kl_lazy *y = un(KL_OP_abs, x), *inf = kl_f_isinf(y);
    y = kl_n_where(inf, num(y, 1), y);
    kl_lazy *t = over(plus(y, -3.75), plus(y, 3.75));
    kl_lazy *r =
        over(kl_f_chebyshev(t, KL_COUNT(erfcx_fit), erfcx_fit), plus(times(y, 2), 1));
    kl_lazy *low = below(x, 0), *m = or_number(low, x, 0);
    kl_lazy *mirror = sub(times(un(KL_OP_exp, mul(m, m)), 2), r); /* of -x */
    r = kl_n_where(low, mirror, kl_n_where(inf, num(r, 0), r));
    return r;
}
kl_lazy *kl_f_erfcx(kl_lazy *a)
{
    return kl_f_in_f64(erfcx64, a);
}

/* log(erfcx(-x / sqrt 2) / 2) - x^2 / 2 below -1 */
static kl_lazy *log_ndtr64(kl_lazy *x)
{
    kl_lazy *low = below(x, -1), *m = or_number(low, x, -1),
            *p = kl_n_where(low, num(x, 0), x);
    kl_lazy *e = erfcx64(times(m, -0.70710678118654752440));
    kl_lazy *far = sub(un(KL_OP_log, times(e, 0.5)), times(mul(m, m), 0.5));
    kl_lazy *upper = times(un(KL_OP_erfc, times(p, 0.70710678118654752440)), -0.5);
    return kl_n_where(low, far, un(KL_OP_log1p, upper));
}
kl_lazy *kl_f_log_ndtr(kl_lazy *a)
{
    return kl_f_in_f64(log_ndtr64, a);
}
