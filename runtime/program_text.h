/* program_text.h: what a plan's printer, parser and binary form share. */
#ifndef KL_PROGRAM_TEXT_H
#define KL_PROGRAM_TEXT_H

#include "runtime/runtime.h"

/* program_verify.c */
extern const char *const kl_slot_words[KL_SLOT_CONST + 1];
extern const char *const kl_step_words[KL_STEP_BRANCH + 1];
#define KL_BODY_DEPTH 16 /* loops in loops */
/* An empty program that owns its memory; NULL: out of memory, recorded. */
kl_program *kl_program_new(void);

#endif
