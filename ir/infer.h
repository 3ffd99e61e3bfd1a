/* infer.h: what infer.c, infer_move.c and infer_body.c share: the question being
 * answered, and the checks that rows have in common. */
#ifndef KL_INFER_H
#define KL_INFER_H

#include "ir/ir.h"

typedef struct kl_infer_args {
    kl_dims *d;
    kl_op op;
    const kl_type *src;
    uint32_t nsrc;
    const int64_t *attr;
    uint32_t nattr;
    const kl_type *want;
    kl_type *out;
    struct kl_graph *const *bodies; /* NULL: unknown here (kl_infer) */
    int pick;
} kl_infer_args;

/* infer.c */
kl_status kl_infer_fail(const kl_infer_args *in, kl_status s, const char *fmt, ...)
    KL_PRINTF(3, 4);
kl_status kl_infer_fail_type(const kl_infer_args *in, kl_status s, const char *what,
                             const kl_type *type);
kl_status kl_infer_shape(const kl_infer_args *in, const kl_type *t);
kl_status kl_infer_attrs(const kl_infer_args *in, uint32_t n);
kl_status kl_infer_axis(const kl_infer_args *in, int64_t axis, int rank);
bool kl_same_shape(const kl_type *a, const kl_type *b);
bool kl_same_type(const kl_type *a, const kl_type *b);
kl_dim kl_type_numel(kl_dims *d, const kl_type *t);
bool kl_dim_never_le(kl_dims *d, kl_dim a, kl_dim b);

/* infer_move.c */
kl_status kl_infer_reshape(const kl_infer_args *in);
kl_status kl_infer_permute(const kl_infer_args *in);
kl_status kl_infer_expand(const kl_infer_args *in);
kl_status kl_infer_pad(const kl_infer_args *in);
kl_status kl_infer_slice(const kl_infer_args *in);
kl_status kl_infer_flip(const kl_infer_args *in);
kl_status kl_infer_concat(const kl_infer_args *in);
kl_status kl_infer_window(const kl_infer_args *in);
kl_status kl_infer_fold(const kl_infer_args *in);
kl_status kl_infer_strided(const kl_infer_args *in);
kl_status kl_infer_update(const kl_infer_args *in);

/* infer_body.c */
kl_status kl_infer_while(const kl_infer_args *in);
kl_status kl_infer_cond(const kl_infer_args *in);
kl_status kl_infer_scan(const kl_infer_args *in);
kl_status kl_infer_call(const kl_infer_args *in);
kl_status kl_infer_function(const kl_infer_args *in);
kl_status kl_infer_grad(const kl_infer_args *in);
kl_status kl_infer_jvp(const kl_infer_args *in);

#endif
