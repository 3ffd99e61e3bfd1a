/* kiln/onnx.h: ONNX models, in libkiln-onnx, over kiln.h. A model is read once; a call
 * builds its graph of tensors, lazily as everything else, and may be traced by kl_compile
 * like any other function of tensors.
 *
 * Opsets 7 to the newest, the ai.onnx domain; functions in a model are expanded. Tensors
 * of strings are refused. What has no dtype in kiln is carried by a wider one: float8
 * types by their bits in u8, 4- and 2-bit integers by i8 and u8, a value an element.
 * Errors say file, node, operator and opset. */
#ifndef KILN_ONNX_H
#define KILN_ONNX_H

#include "kiln/compile.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct kl_onnx kl_onnx;

/* External data is read from the model's own folder and nowhere else. NULL: an error. */
KL_API kl_onnx *kl_onnx_load(const char *path);
/* The same from memory, which may go afterwards; name for messages, folder (may be NULL:
 * no external data) for what lies outside. */
KL_API kl_onnx *kl_onnx_read(const char *name, const void *bytes, size_t size,
                             const char *folder);
KL_API void kl_onnx_free(kl_onnx *m);

/* What a model takes (initialisers are not inputs) and gives, in the graph's order. */
typedef struct kl_onnx_port {
    const char *name; /* lives as long as the model */
    int type;         /* TensorProto.DataType; 0: no tensor, or not said */
    kl_dtype dtype;   /* what carries it; KL_DTYPE_NONE: nothing does */
    bool shaped;      /* the rank is known */
    kl_ints shape;    /* -1: not known before a call */
    const char *const
        *dims; /* the extents' names, shape.n of them; "": a number or none */
} kl_onnx_port;
KL_API int kl_onnx_inputs(const kl_onnx *m);
KL_API int kl_onnx_outputs(const kl_onnx *m);
KL_API kl_onnx_port kl_onnx_input(const kl_onnx *m, int i);
KL_API kl_onnx_port kl_onnx_output(const kl_onnx *m, int i);

/* The model's operators that are supported, or those that are missing, a line each:
 * "Conv opset 13: 20 nodes", with what is nearest to a missing one. To be freed with
 * free(); NULL: out of memory. */
KL_API char *kl_onnx_operators(const kl_onnx *m, bool missing);

/* out[0 .. outputs) of in[0 .. inputs), in the open scope; in[i] of the i-th dtype. types
 * (may be NULL): the ONNX types of the results. What depends on elements (the size of
 * NonZero's result) is computed on the way; KL_ERR_STATE when in[] are parameters of a
 * traced function. */
KL_API kl_status kl_onnx_call(const kl_onnx *m, kl_tensor *const *in, kl_tensor **out,
                              int *types);

/* What kl_onnx_compile takes for an open dimension of that name ("d0", "d1" .. in order
 * where they have none): min to max, one size where these are equal. 1 to 2^20 unless
 * said. KL_ERR_ARG: there is no such dimension, or no size. */
KL_API kl_status kl_onnx_bound(kl_onnx *m, const char *dim, int64_t min, int64_t max);

/* The model as one program, its inputs' named dimensions left open (kl_compile_sized), or
 * at these shapes (one each; NULL: the model's own). */
KL_API kl_function *kl_onnx_compile(const kl_onnx *m, const kl_ints *shapes);
/* The same also where elements decide sizes (NonZero, Compress, Unique, NonMaxSuppression,
 * and what a few operators make of their results): such an output is as large as it may
 * get, and behind the model's outputs come the counts of those, i64 of no dimensions, in
 * their order (kl_function_counts). */
KL_API kl_function *kl_onnx_compile_padded(const kl_onnx *m, const kl_ints *shapes);

#ifdef __cplusplus
}
#endif
#endif
