/* plan.h: what plan.c (kernels, buffers, offsets) and plan_control.c (steps with bodies)
 * share while they make a program. */
#ifndef KL_PLAN_H
#define KL_PLAN_H

#include "passes/passes.h"

typedef struct kl_life { /* of a slot in the arena: steps first to last */
    int slot, first, last;
    int64_t bytes, offset;
    bool known;
    kl_dim size;
} kl_life;

typedef struct kl_planner {
    kl_unit *u;
    kl_graph *g;
    kl_arena *a; /* the program's */
    kl_program *p;
    int32_t *slot_of; /* node -> slot, or -1 */
    int *last_read;   /* node -> the last kernel that reads it; outputs: after all */
    kl_slot *slots;
    uint32_t nslots, cap_slots;
    kl_step *steps;
    uint32_t nsteps, cap_steps;
    kl_life *lives;
    uint32_t nlives, cap_lives;
    int32_t (*reused)[2]; /* a slot, and that of an operand whose memory it takes over */
    uint32_t nreused, cap_reused;
} kl_planner;

const char *kl_plan_text(kl_planner *pl, const char *s); /* a copy; NULL stays NULL */
kl_size kl_plan_size(kl_planner *pl, kl_dim d);
/* A slot of count elements, in node's shape (KL_NONE: none is told); -1: no memory. */
int kl_plan_slot(kl_planner *pl, kl_slot_kind kind, kl_dtype dt, kl_dim count,
                 kl_ref node);
kl_status kl_plan_life(kl_planner *pl, int slot, int step, kl_dim bytes);
void kl_plan_touch(kl_planner *pl, int slot,
                   int step); /* it is still needed at that step */
kl_step *kl_plan_step(kl_planner *pl, kl_step_kind kind, const char *name);
kl_status kl_plan_copy(kl_planner *pl, int to, int from);
kl_status kl_plan_control(kl_planner *pl, int kernel); /* plan_control.c */

#endif
