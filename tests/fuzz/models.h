/* models.h: an ONNX model for each operator that the reader knows (models.c). */
#ifndef KL_MODELS_H
#define KL_MODELS_H

#include "../unit/onnx_bytes.h"

int models_count(void);
pb models_of(int i);
/* A model in which one number is another: the lengths around it fit. n: it is none, or
 * longer than most. */
size_t models_damage(char *s, size_t n, size_t most, uint64_t *r);

#endif
