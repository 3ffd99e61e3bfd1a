/* expr_linear.h: linear forms of integer expressions (expr_linear.c), for
 * expr_simplify.c. */
#ifndef KL_EXPR_LINEAR_H
#define KL_EXPR_LINEAR_H

#include "ir/ir.h"

enum { KL_LIN_MAX = 16, KL_LIN_DEPTH = 8 };
typedef struct kl_coef {
    int64_t v;
    bool sym;
} kl_coef; /* the number v, or the extent v */
typedef struct kl_linterm {
    kl_coef c;
    kl_x atom;
} kl_linterm;
typedef struct kl_lin {
    kl_linterm t[KL_LIN_MAX];
    int n;
    kl_coef k;
    bool bad;
} kl_lin;

kl_coef kl_coef_int(int64_t v);
bool kl_coef_bad(kl_coef c); /* overflowed, or not known */
bool kl_coef_zero(kl_coef c);
bool kl_coef_same(kl_coef a, kl_coef b);
kl_coef kl_coef_add(const kl_exprs *x, kl_coef a, kl_coef b);
kl_coef kl_coef_mul(const kl_exprs *x, kl_coef a, kl_coef b);
kl_coef kl_coef_neg(const kl_exprs *x, kl_coef a);
bool kl_coef_negative(const kl_exprs *x, kl_coef c);
void kl_coef_range(const kl_exprs *x, kl_coef c, int64_t *lo, int64_t *hi);
/* c = by * q + r: exact (r = 0) or with a number 0 <= r < by. false: not proved; then q =
 * 0, r = c. */
bool kl_coef_split(const kl_exprs *x, kl_coef c, kl_coef by, kl_coef *q, kl_coef *r);
bool kl_coef_divides(const kl_exprs *x, kl_coef c, kl_coef by, kl_coef *q);
bool kl_coef_of(const kl_exprs *x, kl_x a, kl_coef *c); /* is a number or an extent */
kl_x kl_coef_node(kl_exprs *x, kl_coef c);
int64_t kl_int_floordiv(int64_t a, int64_t b);

void kl_lin_term(const kl_exprs *x, kl_lin *l, kl_x atom, kl_coef c); /* l += c * atom */
void kl_lin_put(const kl_exprs *x, kl_lin *l, kl_x a, kl_coef scale); /* l += scale * a */
kl_lin kl_lin_of(const kl_exprs *x, kl_x a);
kl_lin kl_lin_sub(const kl_exprs *x, kl_x a, kl_x b);
/* Numeric bounds; false: it may wrap. */
bool kl_lin_range(const kl_exprs *x, const kl_lin *l, int64_t *lo, int64_t *hi);
/* -1: l < 0 is proved; 1: l >= 0 is; 0: neither. */
int kl_lin_sign(const kl_exprs *x, const kl_lin *l);
kl_x kl_lin_build(kl_exprs *x, kl_lin *l);                        /* KL_NONE when bad */
kl_x kl_x_raw2(kl_exprs *x, int op, kl_dtype dt, kl_x a, kl_x b); /* as given */

#endif
