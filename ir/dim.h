/* dim.h: what dim.c (the algebra) and dim_text.c (texts) share: the table's entries.
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
/* The terms of any extent; a constant's go into *one. */
kl_sum kl_dim_terms(const kl_dims *d, kl_dim a, kl_term *one);

#endif
