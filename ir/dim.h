/* dim.h: what dim.c (the algebra), dim_facts.c and dim_text.c share: the table's entries;
 * and arithmetic on whole numbers.
 *
 * A symbolic extent is a sum of terms, each a coefficient times a product of atoms:
 *
 *   4*B*floor((H+1)/2)+1   =   { 4, [B, floor(..)] }, { 1, [] }
 *
 * Atoms and sums are interned; a sum's terms and a product's atoms are ordered by what
 * they say, never by when they were made, so equal sums are one entry and texts are
 * stable. */
#ifndef KL_DIM_H
#define KL_DIM_H

#include "ir/ir.h"

#define KL_DIM_DEGREE 16   /* atoms in a product */
#define KL_DIM_TERMS 48    /* terms in a sum */
#define KL_DIM_DEPTH 12    /* functions within functions */
#define KL_DIM_WEIGHT 4096 /* all terms and atoms, as a tree: bounds every walk */

typedef enum kl_atom_kind {
    KL_ATOM_SYM,
    KL_ATOM_FLOOR, /* floor(a / b) */
    KL_ATOM_MOD,
    KL_ATOM_MAX,
    KL_ATOM_MIN
} kl_atom_kind;
typedef struct kl_atom {
    kl_atom_kind kind;
    int depth, weight;
    uint32_t sym; /* SYM: its index */
    kl_dim a, b;  /* the others' operands */
} kl_atom;
typedef struct kl_term {
    int64_t coef;
    uint32_t n;
    uint32_t atom[KL_DIM_DEGREE];
} kl_term;
typedef struct kl_sum {
    const kl_term *term;
    int n, depth, weight;
} kl_sum;
typedef struct kl_sym {
    const char *name;
    int64_t min, max, divisor;
    kl_dim dim;
} kl_sym;
struct kl_dims {
    kl_arena *arena;
    kl_sym *syms;
    uint32_t nsyms, cap_syms;
    kl_atom *atoms;
    uint32_t natoms, cap_atoms;
    kl_sum *sums;
    uint32_t nsums, cap_sums;
    uint32_t *table; /* sums by content: 1 + index */
    uint32_t table_cap;
};
/* Floor's division of constants; by zero 0 and the dividend. */
static inline int64_t kl_floordiv(int64_t a, int64_t b)
{
    if (b == 0)
        return 0;
    if (b == -1)
        return a == INT64_MIN ? a : -a;
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static inline int64_t kl_floormod(int64_t a, int64_t b)
{
    if (b == 0)
        return a;
    int64_t m = b == -1 ? 0 : a % b;
    return m != 0 && (m < 0) != (b < 0) ? m + b : m;
}

static inline int64_t kl_gcd(int64_t a, int64_t b)
{
    a = a < 0 ? -a : a;
    b = b < 0 ? -b : b;
    while (b) {
        int64_t t = a % b;
        a = b;
        b = t;
    }
    return a;
}

typedef struct kl_range {
    int64_t min, max;
} kl_range;
static inline kl_range kl_range_of(const kl_dims *d, kl_dim a)
{
    kl_range r;
    kl_dim_range(d, a, &r.min, &r.max);
    return r;
}
/* dim_facts.c: what divides a term whatever its symbols are. */
int64_t kl_term_content(const kl_dims *d, const kl_term *t);
/* dim.c: The terms of any extent; a constant's go into *one. */
kl_sum kl_dim_terms(const kl_dims *d, kl_dim a, kl_term *one);

#endif
