/* models.h: an ONNX model for each operator that the reader knows (models.c). */
#ifndef KL_MODELS_H
#define KL_MODELS_H

#include "../unit/onnx_bytes.h"

int models_count(void);
pb models_of(int i);

#endif
