/* op_cast.h: types that kiln has no dtype for, to numbers and back (op_cast.c). */
#ifndef KL_ONNX_OP_CAST_H
#define KL_ONNX_OP_CAST_H

#include "op.h"

/* Carried elements as numbers (f32; integers of few bits as they are). */
kl_tensor *kl_onnx_decode(kl_tensor *t, int type);
/* Numbers as elements of the type. mode: of float8e8m0, "up", "down" or "nearest". */
kl_tensor *kl_onnx_encode(kl_tensor *x, int type, bool saturate, const char *mode);

#endif
