/* math_more.c: elementwise functions of PyTorch's that need more than a formula: of
 * integers, of the bits of numbers, with parameters.
 *
 *   nextafter(a, b)  =  the number whose bits are one more or less than a's */
#include "math_compose.h"
#include "terms.h"

#define PI 3.1415926535897932385

/* s, which depends on a by steps: tracked as a is, with derivative 0. */
kl_lazy *kl_f_steps(kl_lazy *s, kl_lazy *a)
{
    return s && a && a->track ? kl_n_where(kl_n_const(KL_BOOL, 1), s, a) : s;
}

/* ---- signs ---- */

kl_lazy *kl_f_angle(kl_lazy *a)
{
    kl_lazy *r = kl_n_where(below(a, 0), num(a, PI), num(a, 0));
    return kl_f_steps(kl_n_where(kl_f_isnan(a), a, r), a);
}

kl_lazy *kl_f_sgn(kl_lazy *a)
{
    return kl_f_sign(a);
}

static kl_lazy *equal_to(kl_lazy *a, double v)
{
    if (a && !kl_is_float(type(a)))
        return kl_n_full(KL_BOOL, a->rank, kl_lazy_shape(a), 0);
    return equals(a, v);
}
kl_lazy *kl_f_isposinf(kl_lazy *a)
{
    return equal_to(a, INFINITY);
}
kl_lazy *kl_f_isneginf(kl_lazy *a)
{
    return equal_to(a, -INFINITY);
}
kl_lazy *kl_f_isreal(kl_lazy *a)
{
    return a ? kl_n_full(KL_BOOL, a->rank, kl_lazy_shape(a), 1) : NULL;
}

/* ---- integers ---- */

static kl_lazy *magnitude(kl_lazy *a)
{
    return a && (type(a) == KL_U8 || type(a) == KL_BOOL) ? a : un(KL_OP_abs, a);
}

/* Euclid's steps, as many as the width can need: Fibonacci's numbers are the worst. */
kl_lazy *kl_f_gcd(kl_lazy *a, kl_lazy *b)
{
    if (!a || !b)
        return NULL;
    if (type(a) == KL_BOOL)
        return kl_n_bin(KL_OP_or, a, b);
    static const int steps[] = {0, 13, 24, 0, 47, 0, 0, 0, 92};
    kl_lazy *x = magnitude(a), *y = magnitude(b);
    for (int i = 0; i < steps[kl_dtypes[type(a)].size]; i++) {
        kl_lazy *done = equals(y, 0);
        kl_lazy *r = kl_n_bin(KL_OP_rem, x, kl_n_where(done, num(y, 1), y));
        x = kl_n_where(done, x, y);
        y = kl_n_where(done, y, r);
    }
    return x;
}

kl_lazy *kl_f_lcm(kl_lazy *a, kl_lazy *b)
{
    if (!a || !b)
        return NULL;
    if (type(a) == KL_BOOL)
        return kl_n_bin(KL_OP_and, a, b);
    return magnitude(mul(kl_n_bin(KL_OP_div, a, kl_f_gcd(a, b)), b)); /* x / 0 is 0 */
}

/* ---- bits ---- */

static kl_dtype bits_of(kl_lazy *a)
{
    int size = kl_dtypes[type(a)].size;
    return size == 2 ? KL_I16 : size == 4 ? KL_I32 : KL_I64;
}

kl_lazy *kl_f_nextafter(kl_lazy *a, kl_lazy *b)
{
    if (!a || !b)
        return NULL;
    kl_dtype dt = type(a), it = bits_of(a);
    kl_lazy *i = kl_n_bitcast(a, it), *one = kl_n_const_int(it, 1);
    kl_lazy *outwards = kl_n_bin(KL_OP_eq, kl_n_bin(KL_OP_lt, a, b), above(a, 0));
    i = kl_n_where(outwards, kl_n_bin(KL_OP_add, i, one), kl_n_bin(KL_OP_sub, i, one));
    kl_lazy *tiny = kl_f_copysign(kl_n_bitcast(one, dt), b);
    kl_lazy *r = kl_n_where(equals(a, 0), tiny, kl_n_bitcast(i, dt));
    kl_lazy *same = kl_n_bin(KL_OP_eq, a, b), *from = kl_n_where(same, b, a);
    r = kl_n_where(same, b, r);
    if (from && from->track) { /* a step away from what the gradient goes to; exact */
        kl_lazy *d = kl_n_detach(sub(r, from));
        r = kl_n_where(kl_f_isfinite(d), add(from, d), r);
    }
    return kl_n_where(kl_f_isnan(a), a, kl_n_where(kl_f_isnan(b), b, r));
}

typedef struct layout { /* of a dtype's bits */
    int fraction, bias;
    int64_t exponent; /* mask, shifted down */
} layout;

static layout layout_of(kl_dtype dt)
{
    return dt == KL_F64    ? (layout){52, 1023, 2047}
           : dt == KL_F16  ? (layout){10, 15, 31}
           : dt == KL_BF16 ? (layout){7, 127, 255}
                           : (layout){23, 127, 255};
}

static kl_lazy *exponent_bits(kl_lazy *a, const layout *l)
{
    kl_dtype it = bits_of(a);
    kl_lazy *i =
        kl_n_bin(KL_OP_shr, kl_n_bitcast(a, it), kl_n_const_int(it, l->fraction));
    return kl_n_bin(KL_OP_and, i, kl_n_const_int(it, l->exponent));
}

/* 2^e, built of bits. */
static kl_lazy *power_of_2(kl_lazy *e, kl_dtype dt, const layout *l)
{
    int size = kl_dtypes[dt].size;
    kl_dtype it = size == 2 ? KL_I16 : size == 4 ? KL_I32 : KL_I64;
    kl_lazy *i = kl_n_cast(plus(e, l->bias), it);
    return kl_n_bitcast(kl_n_bin(KL_OP_shl, i, kl_n_const_int(it, l->fraction)), dt);
}

kl_tensor *kl_frexp_at(const char *at, kl_tensor *t, kl_tensor **exponent)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t);
    kl_tensor *unused;
    exponent = exponent ? exponent : &unused;
    *exponent = NULL;
    if (a && !kl_is_float(type(a))) {
        kl_fail(KL_ERR_DTYPE,
                "torch.frexp() only supports floating-point dtypes, but got %s",
                kl_dtypes[type(a)].scalar);
        a = NULL;
    }
    if (!a)
        return kl_call_end(&c, NULL);
    layout l = layout_of(type(a));
    kl_lazy *odd = kl_n_bin(KL_OP_or, equals(a, 0),
                            kl_n_bin(KL_OP_or, kl_f_isnan(a), kl_f_isinf(a)));
    kl_lazy *x = kl_n_where(odd, num(a, 1), a), *low = equals(exponent_bits(x, &l), 0);
    x = kl_n_where(low, times(x, ldexp(1, l.fraction + 1)), x); /* no denormal any more */
    kl_lazy *e = kl_n_cast(exponent_bits(x, &l), KL_I32);
    kl_lazy *shift = kl_n_where(low, kl_n_const_int(KL_I32, -l.fraction - l.bias),
                                kl_n_const_int(KL_I32, 1 - l.bias));
    e = kl_n_where(odd, kl_n_const_int(KL_I32, 0), add(e, shift));
    kl_lazy *half = kl_n_binc(KL_OP_div, e, 2); /* 2^-e as two factors: one may not do */
    kl_lazy *m = mul(mul(x, power_of_2(neg(half), type(a), &l)),
                     power_of_2(sub(half, e), type(a), &l));
    m = kl_n_where(low, times(m, ldexp(1, -l.fraction - 1)), m);
    *exponent = kl_tensor_wrap(e);
    if (*exponent && kl_scope_add(*exponent))
        *exponent = NULL;
    return kl_call_end(&c, *exponent ? kl_n_where(odd, a, m) : NULL);
}

/* ---- two operands ---- */

kl_lazy *kl_f_logaddexp2(kl_lazy *a, kl_lazy *b)
{
    kl_lazy *big = kl_n_bin(KL_OP_max, a, b);
    kl_lazy *same = kl_n_bin(KL_OP_and, kl_n_bin(KL_OP_eq, a, b), kl_f_isinf(a));
    kl_lazy *d = kl_n_where(same, num(a, 0), sub(a, b));
    kl_lazy *e = un(KL_OP_exp2, neg(un(KL_OP_abs, d)));
    return kl_n_where(same, a,
                      add(big, times(un(KL_OP_log1p, e), 1.4426950408889634074)));
}

kl_lazy *kl_f_ldexp(kl_lazy *a, kl_lazy *b)
{
    bool complex = b && kl_is_complex(type(b));
    return mul(a, complex ? kl_c_exp2(b) : un(KL_OP_exp2, b));
}

kl_lazy *kl_f_float_power(kl_lazy *a, kl_lazy *b)
{
    return kl_f_pow(a, b);
}

kl_lazy *kl_f_polar(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_complex, mul(a, un(KL_OP_cos, b)), mul(a, un(KL_OP_sin, b)));
}

/* ---- with parameters ---- */

static kl_lazy *real_of(kl_arg a)
{
    return kl_arg_read(a, kl_arg_promote_float(1, &a));
}

kl_tensor *kl_round_to_at(const char *at, kl_arg a, int64_t decimals)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = kl_arg_promote(1, &a);
    kl_lazy *n = kl_arg_read(a, dt);
    if (!n || !kl_is_float(dt) || decimals == 0)
        return kl_call_end(&c, n && kl_is_float(dt) ? un(KL_OP_round, n) : n);
    kl_lazy *w = kl_n_widen(n);
    double ten = pow(10, (double)llabs(decimals));
    w = decimals > 0 ? kl_n_binc(KL_OP_div, un(KL_OP_round, times(w, ten)), ten)
                     : times(un(KL_OP_round, kl_n_binc(KL_OP_div, w, ten)), ten);
    return kl_call_end(&c, kl_n_cast(w, dt));
}

kl_tensor *kl_logit_eps_at(const char *at, kl_arg a, double eps)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = real_of(a), *w = kl_n_widen(n);
    kl_lazy *low = kl_n_where(below(w, eps), num(w, eps), w);
    kl_lazy *x = kl_n_where(above(low, 1 - eps), num(w, 1 - eps), low);
    return kl_call_end(&c, n ? kl_n_cast(kl_f_logit(x), type(n)) : NULL);
}

/* A real n, numbers in place of what is not finite. */
static kl_lazy *all_finite(kl_lazy *n, kl_arg nan, kl_arg posinf, kl_arg neginf)
{
    if (!n)
        return NULL;
    kl_lazy *bad = kl_f_isnan(n), *hi = equals(n, INFINITY), *lo = equals(n, -INFINITY);
    kl_lazy *r = kl_f_nan_to_num(n);
    if (nan.kind != KL_ARG_NONE)
        r = or_number(kl_n_un(KL_OP_not, bad), r, nan.d);
    if (posinf.kind != KL_ARG_NONE)
        r = or_number(kl_n_un(KL_OP_not, hi), r, posinf.d);
    if (neginf.kind != KL_ARG_NONE)
        r = or_number(kl_n_un(KL_OP_not, lo), r, neginf.d);
    return r;
}

kl_tensor *kl_nan_to_num_by_at(const char *at, kl_arg a, kl_arg nan, kl_arg posinf,
                               kl_arg neginf)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_node(a), *r = n;
    if (n && kl_is_float(type(n)))
        r = all_finite(n, nan, posinf, neginf);
    else if (n && kl_is_complex(type(n))) /* each part by itself */
        r = kl_n_bin(KL_OP_complex,
                     all_finite(kl_n_un(KL_OP_real, n), nan, posinf, neginf),
                     all_finite(kl_n_un(KL_OP_imag, n), nan, posinf, neginf));
    return kl_call_end(&c, r);
}

kl_tensor *kl_polygamma_at(const char *at, int64_t n, kl_arg a)
{
    kl_call c = kl_call_begin(at);
    if (n < 0 || n > KL_POLYGAMMA_MAX) {
        kl_fail(KL_ERR_ARG, "polygamma(n, x) needs n from 0 to %d, but n is %lld",
                KL_POLYGAMMA_MAX, (long long)n);
        return kl_call_end(&c, NULL);
    }
    return kl_call_end(&c, kl_f_polygamma((int)n, real_of(a)));
}

kl_tensor *kl_mvlgamma_at(const char *at, kl_arg a, int64_t p)
{
    kl_call c = kl_call_begin(at);
    if (p < 1 || p > 64) {
        kl_fail(KL_ERR_ARG, "p has to be greater than or equal to 1, and at most 64");
        return kl_call_end(&c, NULL);
    }
    return kl_call_end(&c, kl_f_mvlgamma(real_of(a), (int)p));
}

kl_tensor *kl_isclose_at(const char *at, kl_arg a, kl_arg b, double rtol, double atol,
                         bool equal_nan)
{
    kl_call c = kl_compose(at);
    if (rtol < 0 || atol < 0) {
        kl_fail(KL_ERR_ARG, "rtol must be greater than or equal to zero, but got %g",
                rtol < 0 ? rtol : atol);
        return kl_composed(&c, NULL, NULL);
    }
    kl_arg ab[2] = {a, b};
    if (kl_arg_promote(2, ab) == KL_BOOL)
        return kl_composed(&c, __func__, kl_eq_at(at, a, b));
    kl_tensor *d = kl_abs_at(at, kl_arg_t(kl_sub_at(at, a, b)));
    kl_tensor *most = kl_mul_at(at, kl_arg_t(kl_abs_at(at, b)), kl_arg_d(rtol));
    most = kl_add_at(at, kl_arg_t(most), kl_arg_d(atol));
    kl_tensor *near = kl_le_at(at, kl_arg_t(d), kl_arg_t(most));
    near =
        kl_logical_and_at(at, kl_arg_t(near), kl_arg_t(kl_isfinite_at(at, kl_arg_t(d))));
    kl_tensor *r = kl_logical_or_at(at, kl_arg_t(near), kl_arg_t(kl_eq_at(at, a, b)));
    if (equal_nan) {
        kl_tensor *both = kl_logical_and_at(at, kl_arg_t(kl_isnan_at(at, a)),
                                            kl_arg_t(kl_isnan_at(at, b)));
        r = kl_logical_or_at(at, kl_arg_t(r), kl_arg_t(both));
    }
    return kl_composed(&c, __func__, r);
}

/* ---- complex as pairs ---- */

kl_tensor *kl_view_as_real_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t);
    if (a && !kl_is_complex(type(a))) {
        kl_fail(KL_ERR_DTYPE, "view_as_real is only supported for complex tensors");
        a = NULL;
    }
    kl_lazy *part[2] = {un(KL_OP_real, a), un(KL_OP_imag, a)};
    for (int i = 0; i < 2 && a; i++)
        part[i] = kl_n_unsqueeze(part[i], a->rank);
    return kl_call_end(&c, a ? kl_n_concat(part, 2, a->rank) : NULL);
}

kl_tensor *kl_view_as_complex_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t);
    int last = a ? a->rank - 1 : 0;
    bool ok = a && (type(a) == KL_F32 || type(a) == KL_F64) && last >= 0 &&
              kl_lazy_shape(a)[last] == 2;
    if (a && !ok)
        kl_fail(KL_ERR_DTYPE, "view_as_complex is only supported for tensors of float32 "
                              "or float64 whose last dimension has a size of 2");
    if (!ok)
        return kl_call_end(&c, NULL);
    kl_lazy *part[2];
    for (int i = 0; i < 2; i++)
        part[i] = kl_n_reshape(kl_n_slice_axis(a, last, i, 1, 1), last, kl_lazy_shape(a));
    return kl_call_end(&c, kl_n_bin(KL_OP_complex, part[0], part[1]));
}
