/* optim_rules.h: what optim.c, which drives a step, knows of a rule of optim_rules.c. */
#ifndef KILN_OPTIM_RULES_H
#define KILN_OPTIM_RULES_H

#include "front.h"

enum { OPTIM_SCALARS = 4 };

/* One parameter's step: its value, its gradient, its states; the new ones go back there.
 */
typedef struct kl_optim_slot {
    kl_lazy *p, *g, *state[KL_OPTIM_STATES], *k[OPTIM_SCALARS];
} kl_optim_slot;

typedef struct kl_optim_rule_info {
    int states, optional; /* states that it always has; with an option: one more each */
    kl_optim_options defaults;
    /* The step's scalars, worked out in double. */
    void (*scalars)(const kl_optim_options *o, double step, double *carry, double *k);
    void (*update)(const kl_optim_options *o, kl_optim_slot *s);
} kl_optim_rule_info;
extern const kl_optim_rule_info kl_optim_rules[KL_RULE_COUNT];

/* Options with the rule's defaults where they are 0. */
kl_optim_options kl_optim_filled(kl_optim_rule rule, kl_optim_options o);
/* Which of the states these options ask for, as a mask. */
int kl_optim_states(kl_optim_rule rule, const kl_optim_options *o);

#endif
