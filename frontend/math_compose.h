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
KL_F1(gelu) KL_F1(gelu_tanh) KL_F1(relu6) KL_F1(elu) KL_F1(selu) KL_F1(mish)
    KL_F1(hardswish) KL_F1(hardsigmoid) KL_F1(softsign) KL_F1(logsigmoid) KL_F1(isnan)
        KL_F1(isinf) KL_F1(isfinite) KL_F1(signbit) KL_F1(frac) KL_F1(asinh) KL_F1(acosh)
            KL_F1(atanh) KL_F1(deg2rad) KL_F1(rad2deg) KL_F1(nan_to_num) KL_F2(pow)
                KL_F2(gt) KL_F2(ge) KL_F2(logical_and) KL_F2(logical_or)
                    KL_F2(logical_xor) KL_F2(hypot) KL_F2(copysign) KL_F2(logaddexp)
                        KL_F2(squared_difference) KL_F2(heaviside) KL_F2(fmin) KL_F2(fmax)
                            KL_F2(xlogy) KL_F2(trunc_div)
#undef KL_F1
#undef KL_F2
    /* A tensor to the power of a number: squares and roots exactly as products and sqrt.
     */
    kl_lazy *kl_f_pow_number(kl_lazy *a, kl_arg e);
kl_lazy *kl_f_clamp(kl_arg a, kl_arg low, kl_arg high);

#endif
