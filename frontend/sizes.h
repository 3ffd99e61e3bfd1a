/* sizes.h: programs that serve many sizes (sizes.c), to the cache (cache.c). */
#ifndef KL_SIZES_H
#define KL_SIZES_H

#include "front.h"

/* A program for sizes of which the key's are one; how to call it for these. */
typedef struct kl_sized {
    kl_program *program; /* NULL: there is none */
    int64_t *words;      /* its symbols' values, then the numbers' */
    int64_t *numbers;    /* of which these are inputs without axes */
    int32_t *ports;      /* its inputs: those of the linear form, or ~ one of the numbers */
    uint32_t nwords, nports;
    int64_t patience_ns; /* it may run so long in all before these sizes get their own */
} kl_sized;
/* Found, or made when l is the second of its kind. The caller frees what it gets. */
kl_status kl_sized_find(const kl_linear *l, int device, kl_sized *out);
void kl_sized_free(kl_sized *s);
void kl_sizes_clear(void); /* forget all */

#endif
