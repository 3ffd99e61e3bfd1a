/* loops_interp.h: the state of the loops' interpreter, shared by loops_interp.c
 * (statements and expressions) and loops_memory.c (operands: bounds, poison, races). */
#ifndef KL_LOOPS_INTERP_H
#define KL_LOOPS_INTERP_H

#include "ir/ir.h"

/* Who touched an element last, and when. phase 0: nobody; an epoch ends at a barrier. */
typedef struct kl_touch {
    int64_t worker;
    uint32_t phase, agent;
    uint64_t epoch;
} kl_touch;
typedef struct kl_shadow {
    kl_touch wrote, read;
    bool many_workers, many_agents; /* read's phase, read's epoch: others read it too */
} kl_shadow;
typedef struct kl_imem { /* an operand */
    char *base;          /* of index low */
    int64_t low, count;  /* count of one copy */
    int64_t copies;      /* LANE tiles: one a lane and group */
    kl_shadow *shadow;   /* NULL: only read */
    bool own, own_shadow;
} kl_imem;
typedef struct kl_ireg {
    char *data; /* [copy][element][lane] */
    bool *set;
    int32_t elements, copies;
    bool grouped; /* declared inside the group loop: a copy a group */
} kl_ireg;
typedef struct kl_ivar {
    int64_t base;
    bool lane, group;
} kl_ivar;
typedef struct kl_icode { /* a statement with its expressions in order of evaluation */
    const kl_stmt *s;
    kl_xlist order;
    struct kl_icode *next, *body, *other;
} kl_icode;
typedef struct kl_irun {
    const kl_kernel *k;
    const int64_t *syms;
    int64_t *error;
    kl_imem *mem;
    kl_ireg *regs;
    kl_ivar *vars;
    char *values;  /* a row of 8 * width bytes per expression of the statement */
    uint32_t rows; /* of the longest statement */
    uint32_t *row; /* node: its row */
    bool *masks;   /* a stack of rows of width */
    int depth;
    int32_t width, max_groups; /* positions at most */
    int32_t groups, lanes;     /* now: position = group * lanes + lane */
    bool in_group, in_lane, cpu;
    bool *mask;
    int64_t worker;
    uint32_t phase;
    uint64_t epoch;
} kl_irun;

kl_status kl_imem_open(kl_irun *r, void *const *bufs);
void kl_imem_close(kl_irun *r);
/* The element's address for position p, after all checks. */
kl_status kl_imem_at(kl_irun *r, uint32_t operand, int64_t index, int p, bool write,
                     void **out);

#endif
