/* complex.h: between complex.c (rows on pairs) and complex_product.c (products of many).
 */
#ifndef KL_COMPLEX_H
#define KL_COMPLEX_H

#include "passes/passes.h"

typedef struct kl_pair { /* KL_NONE: failed, recorded */
    kl_ref re, im;
} kl_pair;
kl_pair kl_pair_mul(kl_graph *g, kl_pair a, kl_pair b);
kl_pair kl_complex_reduce(kl_graph *g, kl_pair x, uint64_t mask);
kl_pair kl_complex_prefix(kl_graph *g, kl_pair x, int axis);
kl_pair kl_complex_scatter(kl_graph *g, kl_pair a, kl_ref index, kl_pair c, int axis,
                           int batch);

#endif
