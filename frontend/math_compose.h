/* math_compose.h: the compositions behind math.c's table, one a function of kiln/math.h.
 */
#ifndef KL_MATH_COMPOSE_H
#define KL_MATH_COMPOSE_H

#include "front.h"

#define KL_F1(n) kl_lazy *kl_f_##n(kl_lazy *a);
#define KL_F2(n) kl_lazy *kl_f_##n(kl_lazy *a, kl_lazy *b);
KL_F1(real)
KL_F1(imag)
KL_F1(logical_not)
KL_F1(square)
KL_F1(reciprocal)
KL_F1(rsqrt)
KL_F1(sign)
KL_F1(relu)
KL_F1(sigmoid)
KL_F1(silu)
KL_F1(softplus)
/* clang-format off */
KL_F1(gelu) KL_F1(gelu_tanh) KL_F1(relu6) KL_F1(elu) KL_F1(selu) KL_F1(mish)
KL_F1(hardswish) KL_F1(hardsigmoid) KL_F1(softsign) KL_F1(logsigmoid) KL_F1(isnan)
KL_F1(isinf) KL_F1(isfinite) KL_F1(signbit) KL_F1(frac) KL_F1(asinh) KL_F1(acosh)
KL_F1(atanh) KL_F1(deg2rad) KL_F1(rad2deg) KL_F1(nan_to_num)
KL_F2(pow) KL_F2(gt) KL_F2(ge) KL_F2(logical_and) KL_F2(logical_or) KL_F2(logical_xor)
KL_F2(hypot) KL_F2(copysign) KL_F2(logaddexp) KL_F2(squared_difference) KL_F2(heaviside)
KL_F2(fmin) KL_F2(fmax) KL_F2(xlogy) KL_F2(trunc_div)
/* math_special.c */
KL_F1(sinc) KL_F1(logit) KL_F1(entr) KL_F1(lgamma) KL_F1(digamma) KL_F1(erfinv)
KL_F1(ndtri) KL_F1(ndtr) KL_F1(log_ndtr) KL_F1(erfcx) KL_F2(xlog1py)
/* math_bessel.c */
KL_F1(i0) KL_F1(i0e) KL_F1(i1) KL_F1(i1e) KL_F1(bessel_j0) KL_F1(bessel_j1)
KL_F1(bessel_y0) KL_F1(bessel_y1) KL_F1(modified_bessel_k0) KL_F1(modified_bessel_k1)
KL_F1(scaled_modified_bessel_k0) KL_F1(scaled_modified_bessel_k1)
KL_F1(spherical_bessel_j0) KL_F1(airy_ai)
/* math_more.c */
KL_F1(angle) KL_F1(sgn) KL_F1(isposinf) KL_F1(isneginf) KL_F1(isreal)
KL_F2(gcd) KL_F2(lcm) KL_F2(nextafter) KL_F2(logaddexp2) KL_F2(polar) KL_F2(ldexp)
KL_F2(float_power)
/* clang-format on */
#undef KL_F1
#undef KL_F2
    /* A tensor to the power of a number: squares and roots exactly as products and sqrt.
     */
    kl_lazy *kl_f_pow_number(kl_lazy *a, kl_arg e);
/* -1 or 1, by the sign bit */
kl_lazy *kl_f_sign_of(kl_lazy *a);
/* math_more.c: s, tracked as a is, with derivative 0 */
kl_lazy *kl_f_steps(kl_lazy *s, kl_lazy *a);
/* log(1 + e^-|a|); its derivative at 0 is that from below, or from above. */
kl_lazy *kl_f_tail(kl_lazy *a, bool below_zero);
kl_lazy *kl_f_polygamma(int n, kl_lazy *a);
kl_lazy *kl_f_mvlgamma(kl_lazy *a, int p);
/* math_special.c: c[0] + c[1] x + ..; Chebyshev's series over t in [-1, 1], c[0] / 2 +
 * c[1] T1(t) + .. (Clenshaw); f of a in f64, rounded to a's dtype */
kl_lazy *kl_f_poly(kl_lazy *x, int n, const double *c);
kl_lazy *kl_f_chebyshev(kl_lazy *t, int n, const double *c);
kl_lazy *kl_f_in_f64(kl_lazy *(*f)(kl_lazy *x), kl_lazy *a);
/* the incomplete gamma function of a >= 100: Q for x > a - 1, else P; f64 of one shape */
kl_tensor *kl_gamma_integral_at(const char *at, kl_tensor *a, kl_tensor *x);

/* math_complex.c: what takes the place of the above on complex numbers */
/* clang-format off */
#define KL_COMPLEX_FUNCTIONS(F) \
    F(abs) F(angle) F(sgn) F(exp) F(exp2) F(expm1) F(log) F(log2) F(log10) F(log1p) F(sqrt) \
    F(rsqrt) F(sigmoid) F(silu) F(sin) F(cos) F(tan) F(sinh) F(cosh) F(tanh) F(asin) F(acos) \
    F(atan) F(asinh) F(acosh) F(atanh) F(isinf) F(isfinite) F(isreal) F(softsign) F(sinc)
/* clang-format on */
#define KL_C1(n) kl_lazy *kl_c_##n(kl_lazy *z);
KL_COMPLEX_FUNCTIONS(KL_C1)
#undef KL_C1
kl_lazy *kl_c_conj(kl_lazy *z);
kl_lazy *kl_c_pow(kl_lazy *a, kl_lazy *b);
kl_lazy *kl_c_logaddexp(kl_lazy *a, kl_lazy *b);
kl_lazy *kl_f_clamp(kl_arg a, kl_arg low, kl_arg high);

#endif
