/* math_loop.c: special functions whose number of steps depends on the operands: loops in
 * the graph (kl_while), in f64, all elements together; an element that is done stays as
 * it is.
 *
 *   laguerre_polynomial_l(x, n)  ->  while any k < n:
 *                                        p, q = k < n ? ((2k + 1 - x) p - k q) / (k + 1),
 * p : p, q
 *
 * A loop has no derivative; where one is known it is given by a rule (factor.h).
 *
 * References: DLMF (NIST), 18.9 (recurrences), 8.7, 8.9, 8.11 (incomplete gamma), 25.11
 * (Hurwitz's zeta); Press and others, Numerical Recipes, 6.2. */
#include "factor.h"
#include "math_compose.h"

typedef struct loop {
    const char *at;
    int kind;
    kl_tensor *x, *n; /* what the steps read */
} loop;

static kl_tensor *number(const char *at, double v)
{
    return kl_scalar_at(at, kl_arg_d(v), KL_F64);
}
static kl_tensor *either_of(const char *at, kl_tensor *c, kl_tensor *a, kl_tensor *b)
{
    return c && a && b ? kl_where_at(at, c, T(a), T(b)) : NULL;
}
static kl_tensor *or_else(const char *at, kl_tensor *c, kl_tensor *a, double v)
{
    return c && a ? kl_where_at(at, c, T(a), kl_arg_d(v)) : NULL;
}
static kl_tensor *less(const char *at, kl_tensor *a, double v)
{
    return a ? kl_lt_at(at, T(a), kl_arg_d(v)) : NULL;
}
static kl_tensor *is(const char *at, kl_tensor *a, double v)
{
    return a ? kl_eq_at(at, T(a), kl_arg_d(v)) : NULL;
}
static kl_tensor *both_of(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? kl_logical_and_at(at, T(a), T(b)) : NULL;
}
static kl_tensor *not_of(const char *at, kl_tensor *a)
{
    return a ? kl_logical_not_at(at, T(a)) : NULL;
}
static kl_tensor *added(const char *at, kl_tensor *a, double v)
{
    return a ? kl_add_at(at, T(a), kl_arg_d(v)) : NULL;
}
static kl_tensor *any_of(const char *at, kl_tensor *a)
{
    return a ? kl_any_at(at, a, kl_axes(), false) : NULL;
}
static kl_tensor *inverse(const char *at, kl_tensor *a)
{
    return a ? kl_div_at(at, kl_arg_d(1), T(a)) : NULL;
}

/* Both operands in f64 and of one shape; *dt: what the result becomes. */
static bool operands(const char *at, const char *fn, kl_arg a, kl_arg b, kl_dtype *dt,
                     kl_tensor **out)
{
    kl_arg all[2] = {a, b};
    *dt = kl_arg_promote_float(2, all);
    if (*dt == KL_DTYPE_NONE)
        return false;
    if (kl_is_complex(*dt)) {
        kl_fail(KL_ERR_DTYPE, "%s: not implemented for '%s'", fn, kl_dtypes[*dt].scalar);
        return false;
    }
    kl_tensor *t[2];
    for (int i = 0; i < 2; i++)
        t[i] = all[i].kind == KL_ARG_TENSOR ? kl_to_at(at, all[i].t, KL_F64)
                                            : kl_scalar_at(at, all[i], KL_F64);
    return t[0] && t[1] && kl_broadcast_tensors_at(at, t, 2, out) == 2;
}

/* ---- orthogonal polynomials ---- */

static bool chebyshev(int kind)
{
    return kind <= KL_CHEBYSHEV_W;
}

/* p and q are the polynomials of degree k and k - 1. */
static void raise(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    const char *at = l->at;
    kl_tensor *p = in[0], *q = in[1], *k = in[2], *x = l->x, *r;
    kl_tensor *odd = added(at, scaled(at, k, 2), 1), *next = added(at, k, 1);
    switch (l->kind) {
    case KL_HERMITE_H:
        r = scaled(at, minus(at, mul(at, x, p), mul(at, k, q)), 2);
        break;
    case KL_HERMITE_HE:
        r = minus(at, mul(at, x, p), mul(at, k, q));
        break;
    case KL_LAGUERRE_L:
        r = minus(at, mul(at, minus(at, odd, x), p), mul(at, k, q));
        r = over(at, r, next);
        break;
    case KL_LEGENDRE_P:
        r = minus(at, mul(at, mul(at, odd, x), p), mul(at, k, q));
        r = over(at, r, next);
        break;
    default:
        r = minus(at, scaled(at, mul(at, x, p), 2), q);
    }
    kl_tensor *more = k && l->n ? kl_lt_at(at, T(k), T(l->n)) : NULL;
    out[0] = either_of(at, more, r, p);
    out[1] = either_of(at, more, p, q);
    out[2] = next;
}

static void to_raise(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    kl_tensor *left = kl_lt_at(l->at, T(in[2]), T(l->n));
    kl_tensor *well = not_of(l->at, kl_isnan_at(l->at, T(in[0])));
    out[0] = any_of(l->at, both_of(l->at, left, well));
}

/* Of degree 1. */
static kl_tensor *linear(const char *at, int kind, kl_tensor *x)
{
    bool twice = kind == KL_CHEBYSHEV_U || kind == KL_CHEBYSHEV_V ||
                 kind == KL_CHEBYSHEV_W || kind == KL_HERMITE_H;
    kl_tensor *r = twice ? scaled(at, x, 2) : x;
    if (kind == KL_LAGUERRE_L)
        return x ? kl_sub_at(at, kl_arg_d(1), T(x)) : NULL;
    return kind == KL_CHEBYSHEV_V   ? added(at, r, -1)
           : kind == KL_CHEBYSHEV_W ? added(at, r, 1)
                                    : r;
}

/* Chebyshev's within (-1, 1) by angles, which need no loop: T cos(n t), U sin((n + 1) t)
 * / sin t, V cos((n + 1/2) t) / cos(t / 2), W sin((n + 1/2) t) / sin(t / 2). */
static kl_tensor *by_angle(const char *at, int kind, kl_tensor *x, kl_tensor *n)
{
    kl_tensor *t = x ? kl_acos_at(at, T(x)) : NULL, *half = scaled(at, t, 0.5);
    double shift = kind == KL_CHEBYSHEV_T ? 0 : kind == KL_CHEBYSHEV_U ? 1 : 0.5;
    kl_tensor *a = mul(at, added(at, n, shift), t);
    if (!a)
        return NULL;
    switch (kind) {
    case KL_CHEBYSHEV_T:
        return kl_cos_at(at, T(a));
    case KL_CHEBYSHEV_U:
        return over(at, kl_sin_at(at, T(a)), kl_sin_at(at, T(t)));
    case KL_CHEBYSHEV_V:
        return over(at, kl_cos_at(at, T(a)), kl_cos_at(at, T(half)));
    default:
        return over(at, kl_sin_at(at, T(a)), kl_sin_at(at, T(half)));
    }
}

static kl_tensor *polynomial(const char *at, int kind, kl_tensor *x, kl_tensor *n)
{
    kl_tensor *one = kl_full_like_at(at, x, kl_arg_d(1)), *out[3], *angle = NULL, *direct;
    kl_tensor *low = less(at, n, 0), *zero = is(at, n, 0), *steps = n;
    if (chebyshev(kind)) {
        kl_tensor *inside = less(at, kl_abs_at(at, T(x)), 1);
        direct =
            both_of(at, inside, not_of(at, less(at, n, kind == KL_CHEBYSHEV_T ? 7 : 9)));
        angle = by_angle(at, kind, or_else(at, direct, x, 0.5), n);
        steps = or_else(at, not_of(at, direct), n, 0);
    }
    loop l = {at, kind, x, steps};
    kl_tensor *carry[3] = {linear(at, kind, x), one, number(at, 1)};
    if (!carry[0] || !one || !steps ||
        kl_while_at(at, to_raise, raise, &l, carry, 3, out))
        return NULL;
    kl_tensor *r = angle ? either_of(at, direct, angle, out[0]) : out[0];
    return or_else(at, not_of(at, low), either_of(at, zero, one, r), 0);
}

/* The degree beyond which Hermite's are not computed, as in PyTorch. */
static double degree_limit(int kind, kl_dtype dt)
{
    return kind != KL_HERMITE_H && kind != KL_HERMITE_HE ? INFINITY
           : dt == KL_F64                                ? 512
                                                         : 128;
}

kl_tensor *kl_orthogonal_polynomial_at(const char *at, kl_polynomial kind, bool shifted,
                                       kl_arg x, kl_arg n)
{
    kl_call c = kl_compose(at);
    kl_dtype dt;
    kl_tensor *v[2], *r = NULL;
    kl_no_grad_begin();
    if (operands(at, "orthogonal_polynomial", x, n, &dt, v)) {
        v[0] = shifted ? added(at, scaled(at, v[0], 2), -1) : v[0];
        kl_tensor *degree = kl_trunc_at(at, T(v[1]));
        degree = or_else(at, kl_isfinite_at(at, T(v[1])), degree, -1);
        double limit = degree_limit(kind, dt);
        kl_tensor *most =
            limit < INFINITY ? kl_min_at(at, T(degree), kl_arg_d(limit)) : degree;
        r = v[0] && most ? polynomial(at, kind, v[0], most) : NULL;
        r = or_else(at, r ? kl_le_at(at, T(degree), kl_arg_d(limit)) : NULL, r, NAN);
        r = r ? kl_to_at(at, r, dt) : NULL;
    }
    kl_no_grad_end();
    return kl_composed(&c, __func__, r);
}

/* ---- the incomplete gamma function ---- */

enum { WIDE = 100, MOST = 1000 }; /* a from which no loop is run; steps of one */

/* x^a e^-x / gamma(a + 1) for a below WIDE */
static kl_tensor *gamma_front(const char *at, kl_tensor *a, kl_tensor *x)
{
    kl_tensor *e = minus(at, mul(at, a, kl_log_at(at, T(x))), x);
    e = minus(at, e, kl_lgamma_at(at, T(added(at, a, 1))));
    return e ? kl_exp_at(at, T(e)) : NULL;
}

/* 1 + x / (a + 1) + x^2 / ((a + 1)(a + 2)) + ..: carries sum, term, k */
static void series_step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    const char *at = l->at;
    kl_tensor *k = added(at, in[2], 1);
    out[1] = mul(at, in[1], over(at, l->x, plus(at, l->n, k)));
    out[0] = plus(at, in[0], out[1]);
    out[2] = k;
}
static void series_more(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    kl_tensor *small = scaled(l->at, in[0], 0x1p-54);
    kl_tensor *more = small ? kl_gt_at(l->at, T(in[1]), T(small)) : NULL;
    out[0] = both_of(l->at, any_of(l->at, more), less(l->at, in[2], MOST));
}

/* 1 / (x + 1 - a - 1 (1 - a) / (x + 3 - a - ..)) by Lentz's method: carries h, c, d,
 * delta,
 * k */
static void fraction_step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    const char *at = l->at;
    kl_tensor *k = added(at, in[4], 1),
              *b = minus(at, plus(at, l->x, scaled(at, k, 2)), l->n);
    kl_tensor *an = mul(at, k, minus(at, l->n, k));
    b = added(at, b, 1);
    out[2] = inverse(at, plus(at, b, mul(at, an, in[2])));
    out[1] = plus(at, b, over(at, an, in[1]));
    out[3] = mul(at, out[1], out[2]);
    out[0] = mul(at, in[0], out[3]);
    out[4] = k;
}
static void fraction_more(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    kl_tensor *off = kl_abs_at(l->at, T(added(l->at, in[3], -1)));
    kl_tensor *more = off ? kl_gt_at(l->at, T(off), kl_arg_d(0x1p-51)) : NULL;
    out[0] = both_of(l->at, any_of(l->at, more), less(l->at, in[4], MOST));
}

/* The lower function by its series, for x < a + 1. */
static kl_tensor *gamma_series(const char *at, kl_tensor *a, kl_tensor *x)
{
    kl_tensor *one = kl_full_like_at(at, x, kl_arg_d(1)), *out[3];
    loop l = {at, 0, x, a};
    kl_tensor *carry[3] = {one, one, number(at, 0)};
    if (!one || !carry[2] || kl_while_at(at, series_more, series_step, &l, carry, 3, out))
        return NULL;
    return mul(at, gamma_front(at, a, x), out[0]);
}

/* The upper function by its continued fraction, for x >= a + 1. */
static kl_tensor *gamma_fraction(const char *at, kl_tensor *a, kl_tensor *x)
{
    kl_tensor *b = added(at, minus(at, x, a), 1), *h = inverse(at, b), *out[5];
    kl_tensor *huge = kl_full_like_at(at, x, kl_arg_d(1e300));
    loop l = {at, 0, x, a};
    kl_tensor *carry[5] = {h, huge, h, huge, number(at, 0)};
    if (!h || !huge || !carry[4] ||
        kl_while_at(at, fraction_more, fraction_step, &l, carry, 5, out))
        return NULL;
    return mul(at, mul(at, gamma_front(at, a, x), a), out[0]);
}

/* P, or Q, by the one of three ways that is good there; what an element does not take is
 * computed of other numbers. */
static kl_tensor *incomplete(const char *at, kl_tensor *a, kl_tensor *x, bool upper)
{
    kl_tensor *wide = not_of(at, less(at, a, WIDE)), *narrow = not_of(at, wide);
    kl_tensor *near = both_of(at, kl_lt_at(at, T(x), T(added(at, a, 1))), narrow);
    kl_tensor *far = both_of(at, narrow, not_of(at, near));
    kl_tensor *s = gamma_series(at, or_else(at, near, a, 1), or_else(at, near, x, 0.5));
    kl_tensor *f = gamma_fraction(at, or_else(at, far, a, 1), or_else(at, far, x, 3));
    kl_tensor *i =
        kl_gamma_integral_at(at, or_else(at, wide, a, WIDE), or_else(at, wide, x, WIDE));
    kl_tensor *beyond = kl_gt_at(at, T(x), T(added(at, a, -1)));
    kl_tensor *r = either_of(at, near, s, either_of(at, far, f, i));
    kl_tensor *above = either_of(at, wide, beyond, far),
              *rest = added(at, scaled(at, r, -1), 1);
    return upper ? either_of(at, above, r, rest) : either_of(at, above, rest, r);
}

/* The edges: 0 and infinity of both. */
static kl_tensor *incomplete_all(const char *at, kl_tensor *a, kl_tensor *x, bool upper)
{
    kl_tensor *a_inf = kl_isinf_at(at, T(a)), *x_inf = kl_isinf_at(at, T(x));
    kl_tensor *a_in = both_of(at, kl_gt_at(at, T(a), kl_arg_d(0)), not_of(at, a_inf));
    kl_tensor *x_in = both_of(at, kl_gt_at(at, T(x), kl_arg_d(0)), not_of(at, x_inf));
    kl_tensor *in = both_of(at, a_in, x_in), *zero = is(at, x, 0), *none = is(at, a, 0);
    kl_tensor *r = incomplete(at, or_else(at, in, a, 1), or_else(at, in, x, 1), upper);
    r = or_else(at, not_of(at, x_inf), r, !upper);
    r = or_else(at, not_of(at, a_inf), r, upper);
    r = or_else(at, not_of(at, zero), r, upper);
    r = or_else(at, not_of(at, none), r, !upper);
    kl_tensor *bad =
        kl_logical_or_at(at, T(both_of(at, a_inf, x_inf)), T(both_of(at, zero, none)));
    kl_tensor *low = kl_logical_or_at(at, T(less(at, a, 0)), T(less(at, x, 0)));
    kl_tensor *sum = plus(at, a, x), *nan = sum ? kl_isnan_at(at, T(sum)) : NULL;
    bad = kl_logical_or_at(at, T(bad), T(kl_logical_or_at(at, T(low), T(nan))));
    return or_else(at, not_of(at, bad), r, NAN);
}

/* opt 0: the upper function. */
static bool gamma_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                          kl_tensor **out)
{
    out[0] = incomplete_all(at, in[0], in[1], opt[0]);
    return out[0] != NULL;
}

/* dP / dx = x^(a - 1) e^-x / gamma(a) */
static void gamma_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *a = d->in[0], *x = d->in[1];
    if (kl_tracks(a)) {
        kl_fail(KL_ERR_UNSUPPORTED, "the derivative for '%s: input' is not implemented.",
                d->opt[0] ? "igammac" : "igamma");
        return;
    }
    kl_tensor *e = minus(at, mul(at, added(at, a, -1), kl_log_at(at, T(x))), x);
    e = minus(at, e, kl_lgamma_at(at, T(a)));
    e = e ? kl_exp_at(at, T(e)) : NULL;
    d->dx[1] = mul(at, d->dy[0], scaled(at, e, d->opt[0] ? -1 : 1));
}

static const kl_factor gamma_rule = {2, 1, 1, gamma_forward, gamma_back};

/* rule's result in f64, rounded once. */
static kl_tensor *by_rule(const char *at, const char *fn, const kl_factor *rule, kl_arg a,
                          kl_arg b, int64_t flag)
{
    int64_t opt[KL_FACTOR_OPT] = {flag};
    kl_dtype dt;
    kl_tensor *v[2], *r = NULL;
    if (!operands(at, fn, a, b, &dt, v) || !kl_factor_apply(at, rule, v, opt, &r))
        return NULL;
    return kl_to_at(at, r, dt);
}

kl_tensor *kl_igamma_at(const char *at, kl_arg a, kl_arg x)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__, by_rule(at, "igamma", &gamma_rule, a, x, 0));
}

kl_tensor *kl_igammac_at(const char *at, kl_arg a, kl_arg x)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__, by_rule(at, "igammac", &gamma_rule, a, x, 1));
}

/* ---- Hurwitz's zeta function ---- */

/* Terms while the argument is below 9, and nine at least: carries sum, argument, k */
static void zeta_step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    const char *at = l->at;
    kl_tensor *next = added(at, in[1], 1), *term = NULL;
    kl_tensor *more = kl_logical_or_at(at, T(less(at, in[2], 9)), T(less(at, in[1], 9)));
    term = next ? kl_pow_at(at, T(next), T(scaled(at, l->x, -1))) : NULL;
    out[0] = either_of(at, more, plus(at, in[0], term), in[0]);
    out[1] = either_of(at, more, next, in[1]);
    out[2] = added(at, in[2], 1);
}
static void zeta_more(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const loop *l = user;
    kl_tensor *low = any_of(l->at, less(l->at, in[1], 9)), *early = less(l->at, in[2], 9);
    out[0] = low && early ? kl_logical_or_at(l->at, T(low), T(early)) : NULL;
}

/* The terms beyond w, by Euler and Maclaurin: p = w^-s times w / (s - 1) - 1/2 + sum of
 * B_2j / (2j)! s (s + 1) .. (s + 2j - 2) w^(1 - 2j). */
static kl_tensor *zeta_tail(const char *at, kl_tensor *s, kl_tensor *w)
{
    static const double fraction[] = {1.0 / 12,
                                      -1.0 / 720,
                                      1.0 / 30240,
                                      -1.0 / 1209600,
                                      1.0 / 47900160,
                                      -691.0 / 1307674368000,
                                      1.0 / 74724249600,
                                      -3617.0 / 10670622842880000,
                                      43867.0 / 5109094217170944000};
    kl_tensor *sum = added(at, over(at, w, added(at, s, -1)), -0.5);
    kl_tensor *iw = inverse(at, w), *f = mul(at, s, iw), *ww = mul(at, iw, iw);
    for (int j = 0; j < (int)KL_COUNT(fraction); j++) {
        sum = plus(at, sum, scaled(at, f, fraction[j]));
        kl_tensor *two = mul(at, added(at, s, 2 * j + 1), added(at, s, 2 * j + 2));
        f = mul(at, f, mul(at, two, ww));
    }
    return mul(at, sum, kl_pow_at(at, T(w), T(scaled(at, s, -1))));
}

static bool zeta_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                         kl_tensor **out)
{
    kl_tensor *s = in[0], *q = in[1], *end[3];
    kl_tensor *low = not_of(at, kl_gt_at(at, T(q), kl_arg_d(0)));
    kl_tensor *pole = both_of(at, low, kl_eq_at(at, T(q), T(kl_floor_at(at, T(q)))));
    kl_tensor *part = kl_ne_at(at, T(s), T(kl_floor_at(at, T(s))));
    kl_tensor *below_1 = less(at, s, 1), *one = is(at, s, 1);
    kl_tensor *bad = kl_logical_or_at(at, T(both_of(at, low, part)), T(below_1));
    kl_tensor *in_domain = not_of(
        at, kl_logical_or_at(at, T(kl_logical_or_at(at, T(bad), T(pole))), T(one)));
    kl_tensor *s1 = or_else(at, in_domain, s, 2), *q1 = or_else(at, in_domain, q, 1);
    loop l = {at, 0, s1, NULL};
    kl_tensor *first = s1 && q1 ? kl_pow_at(at, T(q1), T(scaled(at, s1, -1))) : NULL;
    kl_tensor *carry[3] = {first, q1, number(at, 0)};
    (void)opt;
    if (!first || !carry[2] || kl_while_at(at, zeta_more, zeta_step, &l, carry, 3, end))
        return false;
    kl_tensor *r = plus(at, end[0], zeta_tail(at, s1, end[1]));
    r = or_else(at, not_of(at, bad), r, NAN);
    r = or_else(at, not_of(at, both_of(at, pole, not_of(at, below_1))), r, INFINITY);
    out[0] = or_else(at, not_of(at, one), r, INFINITY);
    return out[0] != NULL;
}

/* d / dq = -s zeta(s + 1, q) */
static void zeta_back(const kl_diff *d)
{
    const char *at = d->at;
    kl_tensor *s = d->in[0], *q = d->in[1];
    if (kl_tracks(s)) {
        kl_fail(KL_ERR_UNSUPPORTED, "the derivative for 'zeta' is not implemented.");
        return;
    }
    kl_tensor *next = kl_zeta_at(at, T(added(at, s, 1)), T(q));
    d->dx[1] = mul(at, d->dy[0], mul(at, scaled(at, s, -1), next));
}

static const kl_factor zeta_rule = {2, 1, 1, zeta_forward, zeta_back};

kl_tensor *kl_zeta_at(const char *at, kl_arg s, kl_arg q)
{
    kl_call c = kl_compose(at);
    return kl_composed(&c, __func__, by_rule(at, "zeta", &zeta_rule, s, q, 0));
}
