/* kiln/math.h: elementwise operations. Operands are tensors or numbers; shapes broadcast
 * from the right, an extent of 1 or a missing axis repeats; dtypes promote as PyTorch's
 * do: a number or a 0-d tensor widens a tensor only to a higher kind (bool, integer,
 * real, complex). Functions of reals take integers to the default dtype. The result is a
 * new tensor of the joint shape; NULL after shapes that do not fit (KL_ERR_SHAPE), dtypes
 * the operation has no meaning for (KL_ERR_DTYPE) or operands of two devices
 * (KL_ERR_DEVICE). A name with a trailing underscore writes its first operand in place
 * and returns it; all is checked before the first byte, and the operand keeps shape and
 * dtype.
 *
 * What exact operations mean at their edges (division by 0, NaN, shifts) stands in
 * ir/ops.def; angles are in radians. Compositions, after PyTorch's definitions:
 *
 * relu max(x, 0); relu6 min(max(x, 0), 6); sigmoid 1 / (1 + e^-x); silu x sigmoid(x);
 * gelu x (1 + erf(x / sqrt 2)) / 2, gelu_tanh its approximation by tanh (Hendrycks and
 * Gimpel, 2016); elu x above 0, else e^x - 1; selu 1.0507 (x above 0, else 1.6733
 * (e^x - 1)) (Klambauer and others, 2017); softplus log(1 + e^x), x above 20; mish
 * x tanh(softplus x) (Misra, 2019); hardsigmoid relu6(x + 3) / 6, hardswish x times that;
 * softsign x / (1 + |x|); logsigmoid log(sigmoid x); frac x - trunc x; sign -1, 0, 1.
 * hypot sqrt(a^2 + b^2); logaddexp log(e^a + e^b); heaviside b where a is 0, else a > 0;
 * xlogy a log b, 0 where a is 0, xlog1py a log(1 + b); fmin and fmax leave out a NaN, min
 * and max give it. sinc sin(pi x) / (pi x); logit log(x / (1 - x)); entr -x log x; lgamma
 * log |gamma(x)|, digamma its derivative; ndtr the normal distribution's cumulative
 * function, ndtri its inverse, log_ndtr its logarithm; erfinv erf's inverse; erfcx
 * e^(x^2) erfc(x); i0 i1 the modified Bessel functions of the first kind, i0e i1e times
 * e^-|x|; bessel_j0 bessel_j1 bessel_y0 bessel_y1 Bessel's functions of both kinds,
 * modified_bessel_k0 modified_bessel_k1 the modified ones of the second kind, scaled_ times
 * e^x; spherical_bessel_j0 sin(x) / x; airy_ai Airy's; angle of a complex number, sgn z /
 * |z|; gcd lcm of integers; nextafter the next number from a towards b; logaddexp2
 * log2(2^a + 2^b); ldexp a 2^b; float_power in f64 or c128; polar a (cos b + i sin b).
 *
 * Complex operands: abs is real; angle, sgn, conj, exp, logarithms, roots, pow, sigmoid,
 * silu, circular and hyperbolic functions and their inverses have principal values. */
#ifndef KILN_MATH_H
#define KILN_MATH_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* clang-format off */
/* One operand. Rows of ir/ops.def first, then compositions. */
#define KL_UNARY_FUNCTIONS(F) \
    F(neg) F(abs) F(sqrt) F(floor) F(ceil) F(trunc) F(round) F(not) \
    F(exp) F(exp2) F(expm1) F(log) F(log2) F(log10) F(log1p) F(sin) F(cos) F(tan) F(asin) F(acos) \
    F(atan) F(sinh) F(cosh) F(tanh) F(erf) F(erfc) \
    F(real) F(imag) F(logical_not) F(square) F(reciprocal) F(rsqrt) F(sign) F(relu) \
    F(sigmoid) F(silu) F(softplus) F(gelu) F(gelu_tanh) F(relu6) F(elu) F(selu) F(mish) \
    F(hardswish) F(hardsigmoid) F(softsign) F(logsigmoid) \
    F(isnan) F(isinf) F(isfinite) F(signbit) F(frac) F(asinh) F(acosh) F(atanh) \
    F(deg2rad) F(rad2deg) F(nan_to_num) \
    F(sinc) F(logit) F(entr) F(lgamma) F(digamma) F(erfinv) F(ndtri) F(ndtr) F(log_ndtr) \
    F(erfcx) F(i0) F(i0e) F(i1) F(i1e) F(angle) F(sgn) F(isposinf) F(isneginf) F(isreal) \
    F(bessel_j0) F(bessel_j1) F(bessel_y0) F(bessel_y1) F(modified_bessel_k0) \
    F(modified_bessel_k1) F(scaled_modified_bessel_k0) F(scaled_modified_bessel_k1) \
    F(spherical_bessel_j0) F(airy_ai)
/* Two operands. */
#define KL_BINARY_FUNCTIONS(F) \
    F(add) F(sub) F(mul) F(div) F(floordiv) F(mod) F(rem) F(min) F(max) F(pow) F(atan2) \
    F(and) F(or) F(xor) F(shl) F(shr) F(lt) F(le) F(eq) F(ne) \
    F(gt) F(ge) F(logical_and) F(logical_or) F(logical_xor) F(hypot) F(copysign) F(logaddexp) \
    F(squared_difference) F(heaviside) F(fmin) F(fmax) F(xlogy) F(trunc_div) \
    F(xlog1py) F(gcd) F(lcm) F(nextafter) F(logaddexp2) F(ldexp) F(float_power) F(polar)
/* clang-format on */

#define KL_DECLARE_1(name)                                                               \
    KL_API kl_tensor *kl_##name##_at(const char *at, kl_arg a);                          \
    KL_API kl_tensor *kl_##name##_in_at(const char *at, kl_tensor *a);
#define KL_DECLARE_2(name)                                                               \
    KL_API kl_tensor *kl_##name##_at(const char *at, kl_arg a, kl_arg b);                \
    KL_API kl_tensor *kl_##name##_in_at(const char *at, kl_tensor *a, kl_arg b);
KL_UNARY_FUNCTIONS(KL_DECLARE_1)
KL_BINARY_FUNCTIONS(KL_DECLARE_2)
#undef KL_DECLARE_1
#undef KL_DECLARE_2

/* clang-format off */
#define kl_neg(a) kl_neg_at(KL_HERE, KL_ARG(a))
#define kl_abs(a) kl_abs_at(KL_HERE, KL_ARG(a))
#define kl_sqrt(a) kl_sqrt_at(KL_HERE, KL_ARG(a))
#define kl_floor(a) kl_floor_at(KL_HERE, KL_ARG(a))
#define kl_ceil(a) kl_ceil_at(KL_HERE, KL_ARG(a))
#define kl_trunc(a) kl_trunc_at(KL_HERE, KL_ARG(a))
#define kl_round(a) kl_round_at(KL_HERE, KL_ARG(a))
#define kl_not(a) kl_not_at(KL_HERE, KL_ARG(a))
#define kl_exp(a) kl_exp_at(KL_HERE, KL_ARG(a))
#define kl_exp2(a) kl_exp2_at(KL_HERE, KL_ARG(a))
#define kl_expm1(a) kl_expm1_at(KL_HERE, KL_ARG(a))
#define kl_log(a) kl_log_at(KL_HERE, KL_ARG(a))
#define kl_log2(a) kl_log2_at(KL_HERE, KL_ARG(a))
#define kl_log10(a) kl_log10_at(KL_HERE, KL_ARG(a))
#define kl_log1p(a) kl_log1p_at(KL_HERE, KL_ARG(a))
#define kl_sin(a) kl_sin_at(KL_HERE, KL_ARG(a))
#define kl_cos(a) kl_cos_at(KL_HERE, KL_ARG(a))
#define kl_tan(a) kl_tan_at(KL_HERE, KL_ARG(a))
#define kl_asin(a) kl_asin_at(KL_HERE, KL_ARG(a))
#define kl_acos(a) kl_acos_at(KL_HERE, KL_ARG(a))
#define kl_atan(a) kl_atan_at(KL_HERE, KL_ARG(a))
#define kl_sinh(a) kl_sinh_at(KL_HERE, KL_ARG(a))
#define kl_cosh(a) kl_cosh_at(KL_HERE, KL_ARG(a))
#define kl_tanh(a) kl_tanh_at(KL_HERE, KL_ARG(a))
#define kl_erf(a) kl_erf_at(KL_HERE, KL_ARG(a))
#define kl_erfc(a) kl_erfc_at(KL_HERE, KL_ARG(a))
#define kl_real(a) kl_real_at(KL_HERE, KL_ARG(a))
#define kl_imag(a) kl_imag_at(KL_HERE, KL_ARG(a))
#define kl_logical_not(a) kl_logical_not_at(KL_HERE, KL_ARG(a))
#define kl_square(a) kl_square_at(KL_HERE, KL_ARG(a))
#define kl_reciprocal(a) kl_reciprocal_at(KL_HERE, KL_ARG(a))
#define kl_rsqrt(a) kl_rsqrt_at(KL_HERE, KL_ARG(a))
#define kl_sign(a) kl_sign_at(KL_HERE, KL_ARG(a))
#define kl_relu(a) kl_relu_at(KL_HERE, KL_ARG(a))
#define kl_sigmoid(a) kl_sigmoid_at(KL_HERE, KL_ARG(a))
#define kl_silu(a) kl_silu_at(KL_HERE, KL_ARG(a))
#define kl_softplus(a) kl_softplus_at(KL_HERE, KL_ARG(a))
#define kl_gelu(a) kl_gelu_at(KL_HERE, KL_ARG(a))
#define kl_gelu_tanh(a) kl_gelu_tanh_at(KL_HERE, KL_ARG(a))
#define kl_relu6(a) kl_relu6_at(KL_HERE, KL_ARG(a))
#define kl_elu(a) kl_elu_at(KL_HERE, KL_ARG(a))
#define kl_selu(a) kl_selu_at(KL_HERE, KL_ARG(a))
#define kl_mish(a) kl_mish_at(KL_HERE, KL_ARG(a))
#define kl_hardswish(a) kl_hardswish_at(KL_HERE, KL_ARG(a))
#define kl_hardsigmoid(a) kl_hardsigmoid_at(KL_HERE, KL_ARG(a))
#define kl_softsign(a) kl_softsign_at(KL_HERE, KL_ARG(a))
#define kl_logsigmoid(a) kl_logsigmoid_at(KL_HERE, KL_ARG(a))
#define kl_isnan(a) kl_isnan_at(KL_HERE, KL_ARG(a))
#define kl_isinf(a) kl_isinf_at(KL_HERE, KL_ARG(a))
#define kl_isfinite(a) kl_isfinite_at(KL_HERE, KL_ARG(a))
#define kl_signbit(a) kl_signbit_at(KL_HERE, KL_ARG(a))
#define kl_frac(a) kl_frac_at(KL_HERE, KL_ARG(a))
#define kl_asinh(a) kl_asinh_at(KL_HERE, KL_ARG(a))
#define kl_acosh(a) kl_acosh_at(KL_HERE, KL_ARG(a))
#define kl_atanh(a) kl_atanh_at(KL_HERE, KL_ARG(a))
#define kl_deg2rad(a) kl_deg2rad_at(KL_HERE, KL_ARG(a))
#define kl_rad2deg(a) kl_rad2deg_at(KL_HERE, KL_ARG(a))
#define kl_nan_to_num(a) kl_nan_to_num_at(KL_HERE, KL_ARG(a))
#define kl_sinc(a) kl_sinc_at(KL_HERE, KL_ARG(a))
#define kl_logit(a) kl_logit_at(KL_HERE, KL_ARG(a))
#define kl_entr(a) kl_entr_at(KL_HERE, KL_ARG(a))
#define kl_lgamma(a) kl_lgamma_at(KL_HERE, KL_ARG(a))
#define kl_digamma(a) kl_digamma_at(KL_HERE, KL_ARG(a))
#define kl_erfinv(a) kl_erfinv_at(KL_HERE, KL_ARG(a))
#define kl_ndtri(a) kl_ndtri_at(KL_HERE, KL_ARG(a))
#define kl_ndtr(a) kl_ndtr_at(KL_HERE, KL_ARG(a))
#define kl_log_ndtr(a) kl_log_ndtr_at(KL_HERE, KL_ARG(a))
#define kl_erfcx(a) kl_erfcx_at(KL_HERE, KL_ARG(a))
#define kl_i0(a) kl_i0_at(KL_HERE, KL_ARG(a))
#define kl_i0e(a) kl_i0e_at(KL_HERE, KL_ARG(a))
#define kl_i1(a) kl_i1_at(KL_HERE, KL_ARG(a))
#define kl_i1e(a) kl_i1e_at(KL_HERE, KL_ARG(a))
#define kl_angle(a) kl_angle_at(KL_HERE, KL_ARG(a))
#define kl_sgn(a) kl_sgn_at(KL_HERE, KL_ARG(a))
#define kl_isposinf(a) kl_isposinf_at(KL_HERE, KL_ARG(a))
#define kl_isneginf(a) kl_isneginf_at(KL_HERE, KL_ARG(a))
#define kl_isreal(a) kl_isreal_at(KL_HERE, KL_ARG(a))
#define kl_bessel_j0(a) kl_bessel_j0_at(KL_HERE, KL_ARG(a))
#define kl_bessel_j1(a) kl_bessel_j1_at(KL_HERE, KL_ARG(a))
#define kl_bessel_y0(a) kl_bessel_y0_at(KL_HERE, KL_ARG(a))
#define kl_bessel_y1(a) kl_bessel_y1_at(KL_HERE, KL_ARG(a))
#define kl_modified_bessel_k0(a) kl_modified_bessel_k0_at(KL_HERE, KL_ARG(a))
#define kl_modified_bessel_k1(a) kl_modified_bessel_k1_at(KL_HERE, KL_ARG(a))
#define kl_scaled_modified_bessel_k0(a) kl_scaled_modified_bessel_k0_at(KL_HERE, KL_ARG(a))
#define kl_scaled_modified_bessel_k1(a) kl_scaled_modified_bessel_k1_at(KL_HERE, KL_ARG(a))
#define kl_spherical_bessel_j0(a) kl_spherical_bessel_j0_at(KL_HERE, KL_ARG(a))
#define kl_airy_ai(a) kl_airy_ai_at(KL_HERE, KL_ARG(a))
#define kl_add(a, b) kl_add_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_sub(a, b) kl_sub_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_mul(a, b) kl_mul_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_div(a, b) kl_div_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_floordiv(a, b) kl_floordiv_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_mod(a, b) kl_mod_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_rem(a, b) kl_rem_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_min(a, b) kl_min_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_max(a, b) kl_max_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_pow(a, b) kl_pow_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_atan2(a, b) kl_atan2_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_and(a, b) kl_and_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_or(a, b) kl_or_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_xor(a, b) kl_xor_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_shl(a, b) kl_shl_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_shr(a, b) kl_shr_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_lt(a, b) kl_lt_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_le(a, b) kl_le_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_eq(a, b) kl_eq_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_ne(a, b) kl_ne_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_gt(a, b) kl_gt_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_ge(a, b) kl_ge_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_logical_and(a, b) kl_logical_and_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_logical_or(a, b) kl_logical_or_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_logical_xor(a, b) kl_logical_xor_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_hypot(a, b) kl_hypot_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_copysign(a, b) kl_copysign_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_logaddexp(a, b) kl_logaddexp_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_squared_difference(a, b) kl_squared_difference_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_heaviside(a, b) kl_heaviside_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_fmin(a, b) kl_fmin_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_fmax(a, b) kl_fmax_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_xlogy(a, b) kl_xlogy_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_trunc_div(a, b) kl_trunc_div_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_xlog1py(a, b) kl_xlog1py_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_gcd(a, b) kl_gcd_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_lcm(a, b) kl_lcm_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_nextafter(a, b) kl_nextafter_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_logaddexp2(a, b) kl_logaddexp2_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_ldexp(a, b) kl_ldexp_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_float_power(a, b) kl_float_power_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_polar(a, b) kl_polar_at(KL_HERE, KL_ARG(a), KL_ARG(b))
#define kl_neg_(a) kl_neg_in_at(KL_HERE, a)
#define kl_abs_(a) kl_abs_in_at(KL_HERE, a)
#define kl_sqrt_(a) kl_sqrt_in_at(KL_HERE, a)
#define kl_floor_(a) kl_floor_in_at(KL_HERE, a)
#define kl_ceil_(a) kl_ceil_in_at(KL_HERE, a)
#define kl_trunc_(a) kl_trunc_in_at(KL_HERE, a)
#define kl_round_(a) kl_round_in_at(KL_HERE, a)
#define kl_not_(a) kl_not_in_at(KL_HERE, a)
#define kl_exp_(a) kl_exp_in_at(KL_HERE, a)
#define kl_exp2_(a) kl_exp2_in_at(KL_HERE, a)
#define kl_expm1_(a) kl_expm1_in_at(KL_HERE, a)
#define kl_log_(a) kl_log_in_at(KL_HERE, a)
#define kl_log2_(a) kl_log2_in_at(KL_HERE, a)
#define kl_log10_(a) kl_log10_in_at(KL_HERE, a)
#define kl_log1p_(a) kl_log1p_in_at(KL_HERE, a)
#define kl_sin_(a) kl_sin_in_at(KL_HERE, a)
#define kl_cos_(a) kl_cos_in_at(KL_HERE, a)
#define kl_tan_(a) kl_tan_in_at(KL_HERE, a)
#define kl_asin_(a) kl_asin_in_at(KL_HERE, a)
#define kl_acos_(a) kl_acos_in_at(KL_HERE, a)
#define kl_atan_(a) kl_atan_in_at(KL_HERE, a)
#define kl_sinh_(a) kl_sinh_in_at(KL_HERE, a)
#define kl_cosh_(a) kl_cosh_in_at(KL_HERE, a)
#define kl_tanh_(a) kl_tanh_in_at(KL_HERE, a)
#define kl_erf_(a) kl_erf_in_at(KL_HERE, a)
#define kl_erfc_(a) kl_erfc_in_at(KL_HERE, a)
#define kl_real_(a) kl_real_in_at(KL_HERE, a)
#define kl_imag_(a) kl_imag_in_at(KL_HERE, a)
#define kl_logical_not_(a) kl_logical_not_in_at(KL_HERE, a)
#define kl_square_(a) kl_square_in_at(KL_HERE, a)
#define kl_reciprocal_(a) kl_reciprocal_in_at(KL_HERE, a)
#define kl_rsqrt_(a) kl_rsqrt_in_at(KL_HERE, a)
#define kl_sign_(a) kl_sign_in_at(KL_HERE, a)
#define kl_relu_(a) kl_relu_in_at(KL_HERE, a)
#define kl_sigmoid_(a) kl_sigmoid_in_at(KL_HERE, a)
#define kl_silu_(a) kl_silu_in_at(KL_HERE, a)
#define kl_softplus_(a) kl_softplus_in_at(KL_HERE, a)
#define kl_gelu_(a) kl_gelu_in_at(KL_HERE, a)
#define kl_gelu_tanh_(a) kl_gelu_tanh_in_at(KL_HERE, a)
#define kl_relu6_(a) kl_relu6_in_at(KL_HERE, a)
#define kl_elu_(a) kl_elu_in_at(KL_HERE, a)
#define kl_selu_(a) kl_selu_in_at(KL_HERE, a)
#define kl_mish_(a) kl_mish_in_at(KL_HERE, a)
#define kl_hardswish_(a) kl_hardswish_in_at(KL_HERE, a)
#define kl_hardsigmoid_(a) kl_hardsigmoid_in_at(KL_HERE, a)
#define kl_softsign_(a) kl_softsign_in_at(KL_HERE, a)
#define kl_logsigmoid_(a) kl_logsigmoid_in_at(KL_HERE, a)
#define kl_isnan_(a) kl_isnan_in_at(KL_HERE, a)
#define kl_isinf_(a) kl_isinf_in_at(KL_HERE, a)
#define kl_isfinite_(a) kl_isfinite_in_at(KL_HERE, a)
#define kl_signbit_(a) kl_signbit_in_at(KL_HERE, a)
#define kl_frac_(a) kl_frac_in_at(KL_HERE, a)
#define kl_asinh_(a) kl_asinh_in_at(KL_HERE, a)
#define kl_acosh_(a) kl_acosh_in_at(KL_HERE, a)
#define kl_atanh_(a) kl_atanh_in_at(KL_HERE, a)
#define kl_deg2rad_(a) kl_deg2rad_in_at(KL_HERE, a)
#define kl_rad2deg_(a) kl_rad2deg_in_at(KL_HERE, a)
#define kl_nan_to_num_(a) kl_nan_to_num_in_at(KL_HERE, a)
#define kl_sinc_(a) kl_sinc_in_at(KL_HERE, a)
#define kl_logit_(a) kl_logit_in_at(KL_HERE, a)
#define kl_entr_(a) kl_entr_in_at(KL_HERE, a)
#define kl_lgamma_(a) kl_lgamma_in_at(KL_HERE, a)
#define kl_digamma_(a) kl_digamma_in_at(KL_HERE, a)
#define kl_erfinv_(a) kl_erfinv_in_at(KL_HERE, a)
#define kl_ndtri_(a) kl_ndtri_in_at(KL_HERE, a)
#define kl_ndtr_(a) kl_ndtr_in_at(KL_HERE, a)
#define kl_log_ndtr_(a) kl_log_ndtr_in_at(KL_HERE, a)
#define kl_erfcx_(a) kl_erfcx_in_at(KL_HERE, a)
#define kl_i0_(a) kl_i0_in_at(KL_HERE, a)
#define kl_i0e_(a) kl_i0e_in_at(KL_HERE, a)
#define kl_i1_(a) kl_i1_in_at(KL_HERE, a)
#define kl_i1e_(a) kl_i1e_in_at(KL_HERE, a)
#define kl_angle_(a) kl_angle_in_at(KL_HERE, a)
#define kl_sgn_(a) kl_sgn_in_at(KL_HERE, a)
#define kl_isposinf_(a) kl_isposinf_in_at(KL_HERE, a)
#define kl_isneginf_(a) kl_isneginf_in_at(KL_HERE, a)
#define kl_isreal_(a) kl_isreal_in_at(KL_HERE, a)
#define kl_bessel_j0_(a) kl_bessel_j0_in_at(KL_HERE, a)
#define kl_bessel_j1_(a) kl_bessel_j1_in_at(KL_HERE, a)
#define kl_bessel_y0_(a) kl_bessel_y0_in_at(KL_HERE, a)
#define kl_bessel_y1_(a) kl_bessel_y1_in_at(KL_HERE, a)
#define kl_modified_bessel_k0_(a) kl_modified_bessel_k0_in_at(KL_HERE, a)
#define kl_modified_bessel_k1_(a) kl_modified_bessel_k1_in_at(KL_HERE, a)
#define kl_scaled_modified_bessel_k0_(a) kl_scaled_modified_bessel_k0_in_at(KL_HERE, a)
#define kl_scaled_modified_bessel_k1_(a) kl_scaled_modified_bessel_k1_in_at(KL_HERE, a)
#define kl_spherical_bessel_j0_(a) kl_spherical_bessel_j0_in_at(KL_HERE, a)
#define kl_airy_ai_(a) kl_airy_ai_in_at(KL_HERE, a)
#define kl_add_(a, b) kl_add_in_at(KL_HERE, a, KL_ARG(b))
#define kl_sub_(a, b) kl_sub_in_at(KL_HERE, a, KL_ARG(b))
#define kl_mul_(a, b) kl_mul_in_at(KL_HERE, a, KL_ARG(b))
#define kl_div_(a, b) kl_div_in_at(KL_HERE, a, KL_ARG(b))
#define kl_floordiv_(a, b) kl_floordiv_in_at(KL_HERE, a, KL_ARG(b))
#define kl_mod_(a, b) kl_mod_in_at(KL_HERE, a, KL_ARG(b))
#define kl_rem_(a, b) kl_rem_in_at(KL_HERE, a, KL_ARG(b))
#define kl_min_(a, b) kl_min_in_at(KL_HERE, a, KL_ARG(b))
#define kl_max_(a, b) kl_max_in_at(KL_HERE, a, KL_ARG(b))
#define kl_pow_(a, b) kl_pow_in_at(KL_HERE, a, KL_ARG(b))
#define kl_atan2_(a, b) kl_atan2_in_at(KL_HERE, a, KL_ARG(b))
#define kl_and_(a, b) kl_and_in_at(KL_HERE, a, KL_ARG(b))
#define kl_or_(a, b) kl_or_in_at(KL_HERE, a, KL_ARG(b))
#define kl_xor_(a, b) kl_xor_in_at(KL_HERE, a, KL_ARG(b))
#define kl_shl_(a, b) kl_shl_in_at(KL_HERE, a, KL_ARG(b))
#define kl_shr_(a, b) kl_shr_in_at(KL_HERE, a, KL_ARG(b))
#define kl_lt_(a, b) kl_lt_in_at(KL_HERE, a, KL_ARG(b))
#define kl_le_(a, b) kl_le_in_at(KL_HERE, a, KL_ARG(b))
#define kl_eq_(a, b) kl_eq_in_at(KL_HERE, a, KL_ARG(b))
#define kl_ne_(a, b) kl_ne_in_at(KL_HERE, a, KL_ARG(b))
#define kl_gt_(a, b) kl_gt_in_at(KL_HERE, a, KL_ARG(b))
#define kl_ge_(a, b) kl_ge_in_at(KL_HERE, a, KL_ARG(b))
#define kl_logical_and_(a, b) kl_logical_and_in_at(KL_HERE, a, KL_ARG(b))
#define kl_logical_or_(a, b) kl_logical_or_in_at(KL_HERE, a, KL_ARG(b))
#define kl_logical_xor_(a, b) kl_logical_xor_in_at(KL_HERE, a, KL_ARG(b))
#define kl_hypot_(a, b) kl_hypot_in_at(KL_HERE, a, KL_ARG(b))
#define kl_copysign_(a, b) kl_copysign_in_at(KL_HERE, a, KL_ARG(b))
#define kl_logaddexp_(a, b) kl_logaddexp_in_at(KL_HERE, a, KL_ARG(b))
#define kl_squared_difference_(a, b) kl_squared_difference_in_at(KL_HERE, a, KL_ARG(b))
#define kl_heaviside_(a, b) kl_heaviside_in_at(KL_HERE, a, KL_ARG(b))
#define kl_fmin_(a, b) kl_fmin_in_at(KL_HERE, a, KL_ARG(b))
#define kl_fmax_(a, b) kl_fmax_in_at(KL_HERE, a, KL_ARG(b))
#define kl_xlogy_(a, b) kl_xlogy_in_at(KL_HERE, a, KL_ARG(b))
#define kl_trunc_div_(a, b) kl_trunc_div_in_at(KL_HERE, a, KL_ARG(b))
#define kl_xlog1py_(a, b) kl_xlog1py_in_at(KL_HERE, a, KL_ARG(b))
#define kl_gcd_(a, b) kl_gcd_in_at(KL_HERE, a, KL_ARG(b))
#define kl_lcm_(a, b) kl_lcm_in_at(KL_HERE, a, KL_ARG(b))
#define kl_nextafter_(a, b) kl_nextafter_in_at(KL_HERE, a, KL_ARG(b))
#define kl_logaddexp2_(a, b) kl_logaddexp2_in_at(KL_HERE, a, KL_ARG(b))
#define kl_ldexp_(a, b) kl_ldexp_in_at(KL_HERE, a, KL_ARG(b))
#define kl_float_power_(a, b) kl_float_power_in_at(KL_HERE, a, KL_ARG(b))
#define kl_polar_(a, b) kl_polar_in_at(KL_HERE, a, KL_ARG(b))
/* clang-format on */

/* c ? a : b; the side not taken cannot leak */
KL_API kl_tensor *kl_where_at(const char *at, kl_tensor *c, kl_arg a, kl_arg b);
#define kl_where(c, a, b) kl_where_at(KL_HERE, c, KL_ARG(a), KL_ARG(b))
/* a * b + c with one rounding */
KL_API kl_tensor *kl_fma_at(const char *at, kl_arg a, kl_arg b, kl_arg c);
#define kl_fma(a, b, c) kl_fma_at(KL_HERE, KL_ARG(a), KL_ARG(b), KL_ARG(c))
/* either bound may be NULL; NaN passes; low > high gives high */
KL_API kl_tensor *kl_clamp_at(const char *at, kl_arg a, kl_arg low, kl_arg high);
KL_API kl_tensor *kl_clamp_in_at(const char *at, kl_tensor *a, kl_arg low, kl_arg high);
#define kl_clamp(a, low, high) kl_clamp_at(KL_HERE, KL_ARG(a), KL_ARG(low), KL_ARG(high))
#define kl_clamp_(a, low, high) kl_clamp_in_at(KL_HERE, a, KL_ARG(low), KL_ARG(high))
KL_API kl_tensor *kl_lerp_at(const char *at, kl_arg a, kl_arg b, kl_arg weight);
#define kl_lerp(a, b, weight) kl_lerp_at(KL_HERE, KL_ARG(a), KL_ARG(b), KL_ARG(weight))
KL_API kl_tensor *kl_leaky_relu_at(const char *at, kl_arg a, double slope);
#define kl_leaky_relu(a, slope) kl_leaky_relu_at(KL_HERE, KL_ARG(a), slope)
KL_API kl_tensor *kl_complex_at(const char *at, kl_tensor *re, kl_tensor *im);
#define kl_complex(re, im) kl_complex_at(KL_HERE, re, im)
/* the complex conjugate; a real tensor itself */
KL_API kl_tensor *kl_conj_at(const char *at, kl_tensor *t);
#define kl_conj(t) kl_conj_at(KL_HERE, t)
/* n decimals; n < 0: before the point */
KL_API kl_tensor *kl_round_to_at(const char *at, kl_arg a, int64_t decimals);
#define kl_round_to(a, decimals) kl_round_to_at(KL_HERE, KL_ARG(a), decimals)
/* logit of a held in [eps, 1 - eps] */
KL_API kl_tensor *kl_logit_eps_at(const char *at, kl_arg a, double eps);
/* other numbers for NaN and the infinities; NULL: 0, the dtype's ends */
KL_API kl_tensor *kl_nan_to_num_by_at(const char *at, kl_arg a, kl_arg nan, kl_arg posinf,
                                      kl_arg neginf);
/* the n-th derivative of digamma, n to 20; log of the p-dimensional gamma function */
#define KL_POLYGAMMA_MAX 20
KL_API kl_tensor *kl_polygamma_at(const char *at, int64_t n, kl_arg a);
KL_API kl_tensor *kl_mvlgamma_at(const char *at, kl_arg a, int64_t p);
/* x's orthogonal polynomial of degree n, an integer or a tensor of them, 0 below 0; shifted: at
 * 2x - 1. Steps as many as the largest degree; without a derivative. */
typedef enum kl_polynomial {
    KL_CHEBYSHEV_T,
    KL_CHEBYSHEV_U,
    KL_CHEBYSHEV_V,
    KL_CHEBYSHEV_W,
    KL_HERMITE_H,
    KL_HERMITE_HE,
    KL_LAGUERRE_L,
    KL_LEGENDRE_P
} kl_polynomial;
KL_API kl_tensor *kl_orthogonal_polynomial_at(const char *at, kl_polynomial kind,
                                              bool shifted, kl_arg x, kl_arg n);
#define kl_orthogonal_polynomial(kind, shifted, x, n)                                    \
    kl_orthogonal_polynomial_at(KL_HERE, kind, shifted, KL_ARG(x), KL_ARG(n))
/* the regularized incomplete gamma functions P(a, x) and Q(a, x); sum over k >= 0 of
 * (q + k)^-s. Derivatives by x and by q alone. */
KL_API kl_tensor *kl_igamma_at(const char *at, kl_arg a, kl_arg x);
KL_API kl_tensor *kl_igammac_at(const char *at, kl_arg a, kl_arg x);
KL_API kl_tensor *kl_zeta_at(const char *at, kl_arg s, kl_arg q);
#define kl_igamma(a, x) kl_igamma_at(KL_HERE, KL_ARG(a), KL_ARG(x))
#define kl_igammac(a, x) kl_igammac_at(KL_HERE, KL_ARG(a), KL_ARG(x))
#define kl_zeta(s, q) kl_zeta_at(KL_HERE, KL_ARG(s), KL_ARG(q))
/* mantissa in [0.5, 1) and *exponent (may be NULL), i32: a = m 2^e */
KL_API kl_tensor *kl_frexp_at(const char *at, kl_tensor *a, kl_tensor **exponent);
#define kl_polygamma(n, a) kl_polygamma_at(KL_HERE, n, KL_ARG(a))
#define kl_frexp(a, exponent) kl_frexp_at(KL_HERE, a, exponent)
/* |a - b| <= atol + rtol |b|, or equal */
KL_API kl_tensor *kl_isclose_at(const char *at, kl_arg a, kl_arg b, double rtol,
                                double atol, bool equal_nan);
#define kl_isclose(a, b, rtol, atol, equal_nan)                                          \
    kl_isclose_at(KL_HERE, KL_ARG(a), KL_ARG(b), rtol, atol, equal_nan)
/* complex as pairs of reals [.., 2] and back; new tensors */
KL_API kl_tensor *kl_view_as_real_at(const char *at, kl_tensor *t);
KL_API kl_tensor *kl_view_as_complex_at(const char *at, kl_tensor *t);
/* a + alpha * b * c, a + alpha * b / c */
KL_API kl_tensor *kl_addcmul_at(const char *at, kl_arg a, kl_arg b, kl_arg c,
                                kl_arg alpha);
KL_API kl_tensor *kl_addcdiv_at(const char *at, kl_arg a, kl_arg b, kl_arg c,
                                kl_arg alpha);
#define kl_addcmul(a, b, c, alpha)                                                       \
    kl_addcmul_at(KL_HERE, KL_ARG(a), KL_ARG(b), KL_ARG(c), KL_ARG(alpha))
#define kl_addcdiv(a, b, c, alpha)                                                       \
    kl_addcdiv_at(KL_HERE, KL_ARG(a), KL_ARG(b), KL_ARG(c), KL_ARG(alpha))

/* Writing: t's storage gets a new version that every view of it sees. */
KL_API kl_tensor *kl_copy_in_at(const char *at, kl_tensor *t, kl_arg v);
/* As an in-place operation writes its result: a kind that t's dtype cannot hold is
 * refused. */
KL_API kl_tensor *kl_assign_at(const char *at, kl_tensor *t, kl_tensor *v);
#define kl_copy_(t, v) kl_copy_in_at(KL_HERE, t, KL_ARG(v))
#define kl_fill_(t, v) kl_copy_in_at(KL_HERE, t, KL_ARG(v))
#define kl_zero_(t) kl_copy_in_at(KL_HERE, t, KL_ARG(0))

#ifdef __cplusplus
}
#endif
#endif
