/* gen.h: a graph being drawn: between gen.c and gen_control.c. */
#ifndef KL_FUZZ_GEN_H
#define KL_FUZZ_GEN_H

#include "fuzz.h"

enum { MAX_VALUES = 64, MAX_DIMS = 4, MAX_DTYPES = 3 };
typedef struct gen {
    kl_graph *g;
    uint64_t s;
    kl_dim dims[MAX_DIMS];
    kl_dtype dtypes[MAX_DTYPES];
    kl_ref values[MAX_VALUES];
    bool exact[MAX_VALUES]; /* bits of its NaNs are defined */
    int count;
    int64_t syms[MAX_SYMS], limit;
    int depth; /* of bodies around; these have no inputs but their operands */
} gen;

bool gen_chance(gen *n, int percent);
int64_t gen_extent(const gen *n, kl_dim d);
/* Elements, an extent of 0 counted as 1: what is empty must not hide what is huge. */
int64_t gen_numel(const gen *n, const kl_type *t);
kl_type gen_type_of(const gen *n, kl_ref r);
/* r among the values to draw from; exact: the bits of its NaNs are defined. */
kl_ref gen_keep(gen *n, kl_ref r, bool exact);
kl_ref gen_any(gen *n); /* any value, the latest most often */
kl_ref gen_node(gen *n, kl_op op, const kl_type *want, const kl_ref *src, uint32_t nsrc,
                const int64_t *attr, uint32_t nattr);
kl_ref gen_match(gen *n, const kl_type *want); /* a value of that type, or a new one */
void gen_one_more(gen *n);                     /* an operation, if one fits */
kl_ref gen_control(gen *n);                    /* gen_control.c */

#endif
