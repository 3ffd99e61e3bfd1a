/* op_conv.h: windows over spatial axes (op_conv.c), and requantizing (op_linear.c). */
#ifndef KL_ONNX_OP_CONV_H
#define KL_ONNX_OP_CONV_H

#include "op.h"

typedef struct kl_onnx_windows {
    int d;
    kl_ints size, stride, dilation, pads; /* pads: begins, then ends */
    kl_ints out;
    bool ceil;
} kl_onnx_windows;

static inline int64_t kl_onnx_reach(const kl_onnx_windows *w, int i)
{
    return w->dilation.v[i] * (w->size.v[i] - 1) + 1;
}
/* From the node's attributes, over the axes of x behind the second. */
bool kl_onnx_windows_of(kl_onnx_op *n, kl_tensor *x, kl_ints size, kl_onnx_windows *w);
/* zero: what stands around x. */
kl_tensor *kl_onnx_convolve(kl_onnx_op *n, kl_tensor *x, kl_tensor *w, kl_tensor *b,
                            double zero);
kl_tensor *kl_onnx_requantize(kl_tensor *x, kl_tensor *scale, kl_tensor *zero);

#endif
