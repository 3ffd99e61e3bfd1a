/* terms.h: short names for elementwise nodes, for files that write formulas. NULL in,
 * NULL out. */
#ifndef KL_TERMS_H
#define KL_TERMS_H

#include "front.h"

static inline kl_dtype type(kl_lazy *a)
{
    return (kl_dtype)a->dtype;
}
static inline kl_lazy *un(kl_op op, kl_lazy *a)
{
    return kl_n_un(op, a);
}
static inline kl_lazy *add(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_add, a, b);
}
static inline kl_lazy *sub(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_sub, a, b);
}
static inline kl_lazy *mul(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_mul, a, b);
}
static inline kl_lazy *over(kl_lazy *a, kl_lazy *b)
{
    return kl_n_bin(KL_OP_div, a, b);
}
static inline kl_lazy *neg(kl_lazy *a)
{
    return kl_n_un(KL_OP_neg, a);
}
static inline kl_lazy *plus(kl_lazy *a, double v)
{
    return kl_n_binc(KL_OP_add, a, v);
}
static inline kl_lazy *times(kl_lazy *a, double v)
{
    return kl_n_binc(KL_OP_mul, a, v);
}
static inline kl_lazy *equals(kl_lazy *a, double v)
{
    return kl_n_binc(KL_OP_eq, a, v);
}
static inline kl_lazy *below(kl_lazy *a, double v)
{
    return kl_n_binc(KL_OP_lt, a, v);
}
static inline kl_lazy *above(kl_lazy *a, double v)
{
    return kl_n_cbin(KL_OP_lt, v, a);
}
static inline kl_lazy *num(kl_lazy *like, double v)
{
    return like ? kl_n_const(type(like), v) : NULL;
}
/* c ? a : v */
static inline kl_lazy *or_number(kl_lazy *c, kl_lazy *a, double v)
{
    return kl_n_where(c, a, num(a, v));
}
static inline bool is_real(kl_lazy *a)
{
    return kl_is_float(type(a)) || kl_is_complex(type(a));
}

#endif
