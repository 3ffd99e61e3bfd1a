/* trial.h: programs run on inputs of our own: for reports, and for choosing schedules. */
#ifndef KL_FRONT_TRIAL_H
#define KL_FRONT_TRIAL_H

#include "passes/passes.h"

typedef struct kl_trial {
    void **port; /* inputs, then outputs */
    int nports, nin;
    char *room; /* what they point into; outputs lie from results on */
    size_t size, results;
} kl_trial;

/* Memory for p's inputs and outputs; inputs from number `from` on lie in held[i]. False:
 * p cannot be run so (its sizes vary, a loop may not end, it calls native functions), or
 * there is no memory; then nothing is to be freed. */
bool kl_trial_new(kl_trial *t, const kl_program *p, kl_memory *const *held, int from);
void kl_trial_free(kl_trial *t);
/* best gets the nanoseconds of each of p's steps, the least of up to three runs. False: a
 * run failed, kl_error says why. */
bool kl_trial_run(const kl_trial *t, const kl_program *p, int64_t *best);

/* ---- tune.c ---- */

/* Kernels of a scheduled unit take the numbers that were found to be better. */
kl_status kl_tune_apply(kl_unit *u);
/* A graph's program in place of *p, which it became in so many nanoseconds: other numbers
 * are tried on this machine for KILN_TUNE milliseconds, and kept where they are faster
 * and change no bit. */
void kl_tune(const char *text, int64_t cost, kl_program **p);
/* compile.c: the program of a graph's text, on this machine's CPU. */
kl_status kl_compile_text(const char *text, kl_program **out);

#endif
