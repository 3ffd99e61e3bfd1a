/* kernel_forms.h: what kernel_text.c, kernel_parse.c and kernel_verify.c share about
 * stages. */
#ifndef KL_KERNEL_FORMS_H
#define KL_KERNEL_FORMS_H

#include "ir/ir.h"

enum { KL_NSTAGES = KL_STAGE_SORT + 1, KL_NDECS = KL_DEC_PARAM + 1 };
extern const char *const kl_stage_names[], *const kl_dec_names[];
bool kl_stage_combines(kl_stage_kind kind); /* has a combining row in its text */
bool kl_stage_reduces(
    kl_stage_kind kind); /* its axes are reduced ones unless said otherwise */
/* All expressions of a stage appended in order, as kl_x_order_more. */
kl_status kl_stage_order(const kl_kernel *k, const kl_stage *s, uint32_t *epoch,
                         kl_xlist *l);

#endif
