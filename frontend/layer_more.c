/* layer_more.c: draws of a class, and weights whose length is a parameter of its own;
 * composed of kiln's own calls.
 *
 *   gumbel_softmax(x)  ->  softmax((x - log(-log u)) / tau),  u uniform in [0, 1) */
#include "handles.h"

/* 1 for the largest along dim, with y's gradient. */
static kl_tensor *hardened(const char *at, kl_tensor *y, int dim)
{
    kl_tensor *i = kl_argmax_at(at, y, dim, true);
    kl_tensor *none = kl_full_like_at(at, y, kl_arg_d(0));
    kl_tensor *one =
        i && none ? kl_scatter_at(at, none, dim, i, kl_arg_d(1), NULL) : NULL;
    one = one ? kl_sub_at(at, T(one), T(kl_detach_at(at, y))) : NULL;
    return one ? kl_add_at(at, T(one), T(y)) : NULL;
}

kl_tensor *kl_gumbel_softmax_at(const char *at, kl_tensor *x, double tau, bool hard,
                                int dim)
{
    kl_call c = kl_compose(at);
    if (!x)
        return kl_composed(&c, NULL, NULL);
    kl_tensor *u = kl_rand_at(at, kl_shape_of(x), kl_dtype_of(x));
    kl_tensor *g = u ? kl_neg_at(at, T(kl_log_at(at, T(u)))) : NULL;
    g = g ? kl_sub_at(at, T(x), T(kl_log_at(at, T(g)))) : NULL;
    g = g ? kl_div_at(at, T(g), kl_arg_d(tau)) : NULL;
    kl_tensor *y = g ? kl_softmax_at(at, g, dim) : NULL;
    return kl_composed(&c, NULL, y && hard ? hardened(at, y, dim) : y);
}

kl_tensor *kl_weight_norm_at(const char *at, kl_tensor *v, kl_tensor *g, int dim)
{
    kl_call c = kl_compose(at);
    kl_ints axes = {0};
    int rank = v ? kl_rank(v) : 0;
    for (int i = 0; i < rank; i++)
        if (dim == -1 || i != (dim < 0 ? dim + rank : dim))
            axes.v[axes.n++] = i;
    kl_tensor *n = v ? kl_norm_at(at, v, 2, axes, true) : NULL;
    n = n && g ? kl_div_at(at, T(g), T(n)) : NULL;
    return kl_composed(&c, NULL, n ? kl_mul_at(at, T(v), T(n)) : NULL);
}
