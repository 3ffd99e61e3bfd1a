/* spread.h: a convolution whose input has zeros between its elements, without the zeros.
 *
 *   y[p] = sum of x[j] w[k] over stride j + dilation k = p    (transposed, or a gradient)
 *
 * With g their greatest common divisor only every g-th y is other than zero; of those,
 * y[s q + r] = sum over t of x[q - t] w[s t + r], w's elements dilation / g apart: s
 * convolutions of stride 1, each with its share of the taps. They are one contraction,
 * whose result has an axis of phases r beside that of places q. */
#ifndef KL_SPREAD_H
#define KL_SPREAD_H

#include <stdint.h>

typedef struct kl_spread {
    int64_t between;            /* zeros that stay between x's elements */
    int64_t taps, dilation;     /* of the window over x */
    int64_t apart;              /* g */
    int64_t phases, held;       /* s; how many of them have taps, 1: no axis of phases */
    int64_t w_between, w_after; /* zeros between w's elements and after them */
    int64_t length;             /* of w with the zeros between */
} kl_spread;

static inline kl_spread kl_spread_plain(int64_t size, int64_t stride, int64_t dilation)
{
    return (kl_spread){.between = stride - 1,
                       .taps = size,
                       .dilation = dilation,
                       .apart = 1,
                       .phases = 1,
                       .held = 1};
}

/* Phases where they are fewer products than those with zeros. */
static inline kl_spread kl_spread_of(int64_t size, int64_t stride, int64_t dilation)
{
    if (size > INT32_MAX || stride > INT32_MAX || dilation > INT32_MAX)
        return kl_spread_plain(size, stride, dilation); /* products leave 64 bits */
    int64_t g = stride, rest = dilation;
    while (rest) {
        int64_t t = g % rest;
        g = rest, rest = t;
    }
    int64_t s = stride / g, d = dilation / g, length = (size - 1) * d + 1;
    if (s == 1) {
        kl_spread p = kl_spread_plain(size, 1, d);
        p.apart = g, p.length = length;
        return p;
    }
    int64_t taps = (length + s - 1) / s, held = length < s ? length : s;
    if (taps * held >= size * s)
        return kl_spread_plain(size, stride, dilation);
    return (kl_spread){.taps = taps,
                       .dilation = 1,
                       .apart = g,
                       .phases = s,
                       .held = held,
                       .w_between = d - 1,
                       .w_after = taps * held - length,
                       .length = length};
}

#endif
