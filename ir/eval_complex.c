/* eval_complex.c: the rows that have a meaning on complex numbers, as pairs of real
 * lanes. These are the definitions that passes/complex.c writes out as real rows,
 * rounding after each:
 *
 *   mul   (a.re b.re - a.im b.im,  a.re b.im + a.im b.re)
 *   div   Smith's: with |b.re| >= |b.im|, r = b.im / b.re (0 when b.re is 0), t = b.re +
 * b.im r:
 *         ((a.re + a.im r) / t,  (a.im - a.re r) / t); else r = b.re / b.im, t = b.im +
 * b.re r:
 *         ((a.re r + a.im) / t,  (a.im r - a.re) / t)
 *   eq    both parts are equal; ne: not eq */
#include "ir/ir.h"

#define KL_COMPLEX(T, S, NAME)                                                           \
    static inline T NAME##_mul(T a, T b)                                                 \
    {                                                                                    \
        return (T){a.re * b.re - a.im * b.im, a.re * b.im + a.im * b.re};                \
    }                                                                                    \
    static inline T NAME##_div(T a, T b)                                                 \
    {                                                                                    \
        S re = b.re < 0 ? -b.re : b.re, im = b.im < 0 ? -b.im : b.im;                    \
        if (re >= im) {                                                                  \
            S r = b.re == 0 ? 0 : b.im / b.re, t = b.re + b.im * r;                      \
            return (T){(a.re + a.im * r) / t, (a.im - a.re * r) / t};                    \
        }                                                                                \
        S r = b.re / b.im, t = b.im + b.re * r;                                          \
        return (T){(a.re * r + a.im) / t, (a.im * r - a.re) / t};                        \
    }                                                                                    \
    static inline T NAME##_value(kl_op op, T a, T b)                                     \
    {                                                                                    \
        switch (op) {                                                                    \
        case KL_OP_neg:                                                                  \
            return (T){-a.re, -a.im};                                                    \
        case KL_OP_add:                                                                  \
            return (T){a.re + b.re, a.im + b.im};                                        \
        case KL_OP_sub:                                                                  \
            return (T){a.re - b.re, a.im - b.im};                                        \
        case KL_OP_mul:                                                                  \
            return NAME##_mul(a, b);                                                     \
        default:                                                                         \
            return NAME##_div(a, b);                                                     \
        }                                                                                \
    }                                                                                    \
    bool kl_eval_##NAME(kl_op op, int64_t n, void *yp, const void *ap, const void *bp,   \
                        const void *cp)                                                  \
    {                                                                                    \
        const T *a = ap, *b = bp ? bp : ap, *c = cp;                                     \
        T *y = yp;                                                                       \
        uint8_t *truth = yp;                                                             \
        const uint8_t *cond = ap;                                                        \
        bool value = op == KL_OP_neg || op == KL_OP_add || op == KL_OP_sub ||            \
                     op == KL_OP_mul || op == KL_OP_div;                                 \
        if (!value && op != KL_OP_where && op != KL_OP_eq && op != KL_OP_ne)             \
            return false;                                                                \
        for (int64_t i = 0; i < n; i++) {                                                \
            if (value)                                                                   \
                y[i] = NAME##_value(op, a[i], b[i]);                                     \
            else if (op == KL_OP_where)                                                  \
                y[i] = cond[i] ? b[i] : c[i];                                            \
            else                                                                         \
                truth[i] =                                                               \
                    (a[i].re == b[i].re && a[i].im == b[i].im) == (op == KL_OP_eq);      \
        }                                                                                \
        return true;                                                                     \
    }

typedef struct c64 {
    float re, im;
} c64;
typedef struct c128 {
    double re, im;
} c128;
KL_COMPLEX(c64, float, c64)
KL_COMPLEX(c128, double, c128)
