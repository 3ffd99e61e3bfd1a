/* handles.h: short names for calls on tensors, for files that compose them; at is the
 * place of the user's call. NULL in, NULL out. (terms.h: the same for nodes.) */
#ifndef KL_HANDLES_H
#define KL_HANDLES_H

#include "front.h"

static inline kl_arg T(kl_tensor *t)
{
    return kl_arg_t(t);
}
static inline bool is_complex(const kl_tensor *t)
{
    return t && kl_is_complex((kl_dtype)t->dtype);
}
static inline kl_tensor *plus(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? kl_add_at(at, T(a), T(b)) : NULL;
}
static inline kl_tensor *minus(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? kl_sub_at(at, T(a), T(b)) : NULL;
}
static inline kl_tensor *mul(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? kl_mul_at(at, T(a), T(b)) : NULL;
}
static inline kl_tensor *over(const char *at, kl_tensor *a, kl_tensor *b)
{
    return a && b ? kl_div_at(at, T(a), T(b)) : NULL;
}
static inline kl_tensor *scaled(const char *at, kl_tensor *a, double v)
{
    return a ? kl_mul_at(at, T(a), kl_arg_d(v)) : NULL;
}

#endif
