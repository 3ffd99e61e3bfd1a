/* op_ml.c: the few operators of ai.onnx.ml that work on tensors of numbers, and what asks
 * whether an optional value is there. */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

OP(Binarizer)
{
    kl_tensor *x = in(n, 0);
    give(n, 0, kl_to(kl_gt(x, kl_onnx_float(n, "threshold", 0)), kl_dtype_of(x)));
}

OP(ArrayFeatureExtractor)
{
    kl_tensor *x = in(n, 0), *at = in(n, 1);
    at = kl_to(kl_reshape(at, kl_shape(kl_numel(at))), KL_I64);
    kl_tensor *y = kl_index_select(x, -1, at);
    give(n, 0, kl_rank(x) == 1 ? kl_reshape(y, kl_shape(1, -1)) : y);
}

OP(OptionalHasElement)
{
    bool there = n->nin > 0 && (n->in[0].t || n->in[0].n >= 0);
    give(n, 0, kl_scalar_tensor(there, KL_BOOL));
}

OP(OptionalGetElement)
{
    if (n->nout)
        n->out[0] = n->in[0];
}
