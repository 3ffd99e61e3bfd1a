/* kiln/native.h: a C function of one's own as an operation: in a graph, in a training
 * step, and in what kilnc makes, where it stays a symbol of its name.
 *
 *   int spring(const float *x, float *y, const int64_t *const *shapes);
 *   int spring_back(const float *x, const float *y, const float *dy, float *dx,
 *                   const int64_t *const *shapes);
 *   kl_native("spring", (kl_c_function)spring);
 *   kl_native("spring_back", (kl_c_function)spring_back);
 *   y = kl_call_native("spring", "spring_back", &x, 1, KL_F32, kl_shape(64));
 *
 * A function takes the address of each input, of its result, and last shapes: shapes[i]
 * are operand i's extents, the result's after the inputs'. Arrays are dense, row-major,
 * in no way aligned beyond their elements. It returns 0, or a number that the error
 * tells. It must be a function of its inputs alone: equal calls may be made once, calls
 * whose result nobody reads are left out, and any thread may make them. */
#ifndef KILN_NATIVE_H
#define KILN_NATIVE_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef void (*kl_c_function)(void); /* what C calls any function's address */
/* Give a function its name, or another function that name; NULL forgets it. */
KL_API kl_status kl_native(const char *name, kl_c_function fn);
/* The result of the function of that name on n inputs, taken as they are. back (NULL:
 * none) names the one that gives the derivative. It takes the inputs, the result and the
 * result's cotangent, and writes one cotangent for each real input, of its shape. It has
 * no derivative itself. */
KL_API kl_tensor *kl_call_native_at(const char *at, const char *name, const char *back,
                                    kl_tensor *const *in, int n, kl_dtype dtype,
                                    kl_ints shape);
/* (name, back, in, n, dtype, shape) */
#define kl_call_native(...) kl_call_native_at(KL_HERE, __VA_ARGS__)

#ifdef __cplusplus
}
#endif
#endif
