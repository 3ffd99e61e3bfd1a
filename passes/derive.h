/* derive.h: what autodiff.c (the sweeps) and the derive_*.c files (the rules) share.
 *
 * A sweep works on one stretch of a growing graph: nodes lo..hi, where lo is the first
 * that we differentiate by. Reverse: every node has a cotangent, the derivative of the
 * sought sum by it; a rule turns the cotangent of a node into those of its sources. A
 * rule is linear in u, made of rows that have rules: so derivatives have derivatives, and
 * forward mode of an odd row is the transpose of its rule (autodiff.c: by_transposition).
 */
#ifndef KL_DERIVE_H
#define KL_DERIVE_H

#include "passes/passes.h"

#define KL_ZERO (KL_NONE - 1) /* a derivative known to be zero: no node */

typedef struct kl_ad {
    kl_graph *g;
    kl_ref lo, hi; /* the stretch, both ends in it */
    bool *active;  /* by r - lo: the wanted depends on it, and it on what we derive by */
    kl_ref *cot;   /* by r - lo: cotangent or tangent, KL_ZERO */
    kl_ref **results; /* by r - lo: the same for each result of a node of several */
    bool failed;
} kl_ad;

/* autodiff.c */
bool kl_ad_wants(const kl_ad *d, kl_ref r);
void kl_ad_give(kl_ad *d, kl_ref r,
                kl_ref u); /* adds to r's cotangent; KL_NONE: failure */
void kl_ad_give_result(kl_ad *d, kl_ref r, int k, kl_ref u);
/* Sum over i of seeds[i] * d roots[i] / d by[k], k < nby; KL_ZERO where there is none. */
kl_status kl_ad_reverse(kl_graph *g, const kl_ref *roots, const kl_ref *seeds,
                        uint32_t nroots, const kl_ref *by, uint32_t nby, kl_ref *out);
/* Tangents of roots, given those of by. */
kl_status kl_ad_forward(kl_graph *g, const kl_ref *roots, uint32_t nroots,
                        const kl_ref *by, const kl_ref *tangents, uint32_t nby,
                        kl_ref *out);

/* derive_text.c: u times the derivative written in a KL_D column; conj: of its conjugate.
 */
kl_ref kl_derive_times(kl_graph *g, kl_ref node, const char *text, kl_ref u, bool conj);

/* derive_body.c: what the rules of nodes with bodies share */
typedef struct kl_refs { /* a growing list */
    kl_arena *arena;
    kl_ref *v;
    uint32_t n, cap;
    bool failed; /* no memory, or KL_NONE was added */
} kl_refs;
void kl_refs_add(kl_refs *l, kl_ref r);
bool kl_refs_output(kl_graph *h, const kl_refs *l); /* they become h's outputs */
typedef struct kl_body_copy { /* a body inlined into a graph of its own */
    kl_graph *h;
    kl_refs in;  /* its inputs, as the body's */
    kl_ref *out; /* the body's outputs in it: no outputs of h yet */
} kl_body_copy;
/* h is called "body_suffix", or as the body where suffix is NULL. False: no memory, or
 * kl_error. */
bool kl_body_copy_of(kl_body_copy *c, const kl_graph *body, const char *suffix);
kl_ref kl_input_like(kl_graph *h, const kl_graph *g, kl_ref r);
kl_ref kl_solid(kl_graph *g, kl_ref u, kl_ref like); /* zeros where u is KL_ZERO */
bool kl_ref_derivable(const kl_graph *g, kl_ref r);
void kl_ad_fail(kl_ad *d); /* out of memory, unless an error is there */

/* derive_move.c, derive_index.c, derive_body.c, derive_scan.c: the rules by row; NULL:
 * KL_D or none. */
typedef void (*kl_rule_fn)(kl_ad *d, kl_ref r, kl_ref u);
kl_rule_fn kl_derive_rule(kl_op op);
#define KL_RULE_OF(name) void kl_vjp_##name(kl_ad *d, kl_ref r, kl_ref u);
/* KL_T and KL_DERIV name them */
#define KL_T(name) KL_RULE_OF(name)
#define KL_DERIV(name) KL_RULE_OF(name)
#include "ir/ops.def"
kl_status kl_jvp_while(kl_ad *d, kl_ref r);

/* derive_move.c: shorthands */
bool kl_derivable(kl_dtype dt);
kl_ref kl_zeros(kl_graph *g, const kl_type *t);
kl_ref kl_node_of(kl_graph *g, kl_op op, const kl_type *want, const kl_ref *src,
                  uint32_t nsrc, const int64_t *attr, uint32_t nattr);
kl_ref kl_sum_over(kl_graph *g, kl_ref a, uint64_t axes); /* f16 and bf16 add up in f32 */
kl_ref kl_like(kl_graph *g, kl_ref a, kl_ref like);       /* reshaped */

#endif
