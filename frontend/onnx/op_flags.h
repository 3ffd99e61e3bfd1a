/* op_flags.h: what a row of rows.def says of its operator. The fuzzer's models read the
 * rows without the reader. */
#ifndef KILN_ONNX_OP_FLAGS_H
#define KILN_ONNX_OP_FLAGS_H

enum {
    KL_ONNX_KEEPS = 1, /* moves elements: the result has the first operand's type */
    KL_ONNX_ANY = 2,   /* takes types that kiln has no dtype for */
    KL_ONNX_SIZES = 4, /* what sizes are taken by */
    KL_ONNX_EACH = 8,  /* element by element of operands that broadcast */
};

#endif
