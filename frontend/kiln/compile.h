/* kiln/compile.h: functions traced once and called many times on plain memory.
 *
 *   static void f(kl_tensor *const *in, kl_tensor **out, void *user)
 *   {
 *       out[0] = kl_relu(kl_linear(in[0], w, b));       w, b: tensors from outside
 *   }
 *   kl_input in[] = {{"x", KL_F32, kl_shape(32, 64)}};
 *   kl_function *g = kl_compile(f, NULL, in, 1, 1);
 *   kl_function_call(g, (const void *[]){x}, (void *[]){y});
 *
 * The ABI of a call: in[i] and out[i] are dense row-major arrays of the i-th dtype and
 * shape (f16 and bf16 as uint16_t, bool as uint8_t, complex interleaved), aligned to the
 * element; inputs may overlap each other, an output overlaps nothing else (an error
 * before anything is written), unless it is exactly the input given to it below. Tensors
 * from outside are captured with the value that they have when the function is compiled;
 * random numbers drawn in it are drawn then. A function may be called from several
 * threads at once. */
#ifndef KILN_COMPILE_H
#define KILN_COMPILE_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Tensors computed outside of compiled functions: the first sizes that a piece of program
 * meets get a program of their own; at the second sizes one is made whose extents are
 * symbols, which serves those that follow (kl_stats: program_sizes), with the same bits.
 * Sizes that stay for long get their own again. true: every size has its own from now on.
 * Returns what it was. */
KL_API bool kl_set_pinned_shapes(bool on);

typedef struct kl_function kl_function;
typedef struct kl_input {
    const char *name; /* NULL: x0, x1, .. */
    kl_dtype dtype;
    kl_ints shape;
} kl_input;
/* Build out[0 .. nout) from in; runs in a scope of its own, its elements cannot be looked
 * at. */
typedef void (*kl_trace_fn)(kl_tensor *const *in, kl_tensor **out, void *user);

KL_API kl_function *kl_compile_at(const char *at, kl_trace_fn fn, void *user,
                                  const kl_input *in, int nin, int nout);
#define kl_compile(fn, user, in, nin, nout)                                              \
    kl_compile_at(KL_HERE, fn, user, in, nin, nout)
/* donated[o]: 1 + the input over which output o may be written, of its dtype and shape (a
 * parameter and its next value, say); 0: none. A call may then pass both the same
 * address, and need not. */
KL_API kl_function *kl_compile_donating_at(const char *at, kl_trace_fn fn, void *user,
                                           const kl_input *in, int nin, int nout,
                                           const int *donated);
#define kl_compile_donating(fn, user, in, nin, nout, donated)                            \
    kl_compile_donating_at(KL_HERE, fn, user, in, nin, nout, donated)
/* The same with sizes left open: an extent KL_ANY(i) is dimension number i, any of its
 * range. fn is called a few times, with sizes of our own choosing, and what it makes of
 * them must follow from the dimensions: shapes of operations do (those of strided windows
 * too), and else sums, products and quotients of them, and numbers that are these or one
 * over these (a mean's). Refused otherwise, with the place. Sizes too small for the
 * windows along them are outside of the function's range. Call it by
 * kl_function_call_sized; kl_function_bind tells the dimensions. */
#define KL_ANY(i) (-1 - (int64_t)(i))
typedef struct kl_dimension {
    const char *name;
    int64_t min, max; /* at least three sizes above 1 */
    int64_t divisor;  /* of all its sizes; 0: 1 */
    int64_t like;     /* a size that is known to work; 0: none is */
    const char *is; /* or a formula of the others, "floor((n-1)/2)+1": no dimension of the
                       function, but what an input's extent may be */
} kl_dimension;
KL_API kl_function *kl_compile_sized_at(const char *at, kl_trace_fn fn, void *user,
                                        const kl_input *in, int nin, int nout,
                                        const kl_dimension *dims, int ndims);
#define kl_compile_sized(fn, user, in, nin, nout, dims, ndims)                           \
    kl_compile_sized_at(KL_HERE, fn, user, in, nin, nout, dims, ndims)
/* Both: sizes left open, outputs written over inputs. */
KL_API kl_function *kl_compile_sized_donating_at(const char *at, kl_trace_fn fn,
                                                 void *user, const kl_input *in, int nin,
                                                 int nout, const int *donated,
                                                 const kl_dimension *dims, int ndims);

/* Output i, an i64 of no dimensions, tells how much of output `of`'s axis is meant, whose
 * extent is a bound (kl_nonzero_padded). A saved program says so, and so does the header
 * that kilnc writes; calls do not depend on it. */
KL_API kl_status kl_function_counts(kl_function *f, int i, int of, int axis);
/* The output that output i counts, and along which axis; -1: none. */
KL_API int kl_function_counted(const kl_function *f, int i, int *axis);

KL_API kl_status kl_function_call(const kl_function *f, const void *const *in,
                                  void *const *out);
/* A function read by kl_program_load may have symbolic dimensions (ir/GRAMMAR.md): one
 * program for all sizes, compiled once. dims: their values, in order of first appearance;
 * one outside its range is KL_ERR_SHAPE before anything is written. Extents that depend
 * on them are -1 in kl_function_in and kl_function_out. */
KL_API kl_status kl_function_call_sized(const kl_function *f, const int64_t *dims,
                                        const void *const *in, void *const *out);
/* The same by somebody who knows: f is a function, no address is NULL, no output overlaps
 * anything else than the input given to it, dims (NULL: there are none) are within their
 * ranges. Costs nothing for each operand. */
KL_API kl_status kl_function_call_unchecked(const kl_function *f, const int64_t *dims,
                                            const void *const *in, void *const *out);
/* What the dimensions are when the inputs have these shapes (one each); dims: room for
 * kl_function_dims. KL_ERR_SHAPE: the shapes do not fit the inputs or each other. */
KL_API kl_status kl_function_bind(const kl_function *f, const kl_ints *shapes,
                                  int64_t *dims);
/* Output i's dtype and its shape at those dimensions; KL_DTYPE_NONE: there is none. */
KL_API kl_dtype kl_function_out_at(const kl_function *f, int i, const int64_t *dims,
                                   kl_ints *shape);
KL_API int kl_function_dims(const kl_function *f); /* how many; 0: fixed shapes */
/* Its name; "" if there is no dimension i. min, max, divisor may be NULL. */
KL_API const char *kl_function_dim(const kl_function *f, int i, int64_t *min,
                                   int64_t *max, int64_t *divisor);
KL_API void kl_function_free(kl_function *f);
KL_API int kl_function_inputs(const kl_function *f);
KL_API int kl_function_outputs(const kl_function *f);
KL_API const char *kl_function_name(const kl_function *f, int i); /* of input i */
KL_API kl_dtype kl_function_in(const kl_function *f, int i, kl_ints *shape);
KL_API kl_dtype kl_function_out(const kl_function *f, int i, kl_ints *shape);

/* A compiled function as an ordinary C function pointer, for libraries that know nothing
 * of kiln. The signature is its result and its arguments, one letter each: v void, i
 * int32, l int64, f float, d double, p pointer. "i:pp" is int f(const T0 *, const T1 *):
 * the result is the only output; with v the outputs' addresses follow the inputs'. A call
 * that fails gives 0 and is told by kl_failed(). Free it before the function. */
typedef struct kl_pointer kl_pointer;
KL_API kl_pointer *kl_function_pointer_at(const char *at, const kl_function *f,
                                          const char *signature);
#define kl_function_pointer(f, signature) kl_function_pointer_at(KL_HERE, f, signature)
KL_API void (*kl_pointer_code(const kl_pointer *p))(void);
KL_API void kl_pointer_free(kl_pointer *p);

/* As kiln's text: path ends in .kl; captured tensors go to .safetensors beside it. kilnc
 * reads it, and kl_program_load. */
KL_API kl_status kl_program_save_at(const char *at, const kl_function *f,
                                    const char *path);
#define kl_program_save(f, path) kl_program_save_at(KL_HERE, f, path)
KL_API kl_function *kl_program_load_at(const char *at, const char *path);
#define kl_program_load(path) kl_program_load_at(KL_HERE, path)

#ifdef __cplusplus
}
#endif
#endif
