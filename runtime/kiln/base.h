/* kiln/base.h: what every kiln header stands on: status codes, dtypes, the error of this
 * thread, the allocation hooks. Public, C and C++, no include but the standard types. */
#ifndef KILN_BASE_H
#define KILN_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__GNUC__)
#define KL_API __attribute__((visibility("default")))
#define KL_PRINTF(fmt, first) __attribute__((format(printf, fmt, first)))
#else
#define KL_API
#define KL_PRINTF(fmt, first)
#endif

#ifdef __cplusplus
extern "C" {
#endif

/* What a call returns when it has nothing else to return. Names and default sentences are
 * in runtime/error.c. */
typedef enum kl_status {
    KL_OK = 0,
    KL_ERR_ARG,         /* a value no call accepts: a bad axis, a NULL, an unknown name */
    KL_ERR_SHAPE,       /* shapes that do not fit together */
    KL_ERR_DTYPE,       /* dtypes that do not fit together */
    KL_ERR_INDEX,       /* an index out of range */
    KL_ERR_OOM,         /* no memory */
    KL_ERR_UNSUPPORTED, /* valid, and not done here: the sentence names what is missing */
    KL_ERR_PARSE,       /* malformed text or file */
    KL_ERR_COMPILE,     /* LLVM or NVRTC refused */
    KL_ERR_DEVICE,      /* a driver call failed */
    KL_ERR_IO,          /* a file or folder */
    KL_ERR_STATE, /* right call, wrong moment: a gradient of a non-leaf, a freed graph */
    KL_ERR_INTERNAL, /* our mistake */
    KL_ERR_NUMERIC, /* no result: a singular matrix, an iteration that did not converge */
    KL_ERR_STOPPED, /* given up because kl_set_stop's function said so */
    KL_STATUS_COUNT
} kl_status;

/* Element types. The order is part of the file formats: append only. */
typedef enum kl_dtype {
    KL_BOOL,
    KL_U8,
    KL_I8,
    KL_U16,
    KL_I16,
    KL_U32,
    KL_I32,
    KL_U64,
    KL_I64,
    KL_F16,
    KL_BF16,
    KL_F32,
    KL_F64,
    KL_C64,  /* two f32 */
    KL_C128, /* two f64 */
    KL_DTYPE_COUNT,
    KL_DTYPE_NONE = 255
} kl_dtype;

/* The first failure of this thread since kl_error_clear(), as one line: what was wrong
 * with which values, and where in the user's code. Never NULL; "" when nothing failed.
 * The pointer is valid until this thread's next kiln call. */
KL_API const char *kl_error(void);
/* The full text of a compiler's log behind the line above ("" when there is none). */
KL_API const char *kl_error_log(void);
/* Its status; KL_OK when nothing failed. */
KL_API kl_status kl_error_status(void);
KL_API bool kl_failed(void);
KL_API void kl_error_clear(void);
/* Record a failure of one's own, as kiln's calls do: a front door's over this library, a
 * native function's. One line; returns s. */
KL_API kl_status kl_error_set(kl_status s, const char *line);
/* "shape", "out of memory", ... : the status's fixed name. */
KL_API const char *kl_status_name(kl_status s);

/* One hook for all of kiln's host memory, in the manner of Lua: new_size 0 frees, old
 * NULL allocates, else it resizes. Alignment is at least 64 bytes. Set before the first
 * other call. */
typedef void *(*kl_alloc_fn)(void *user, void *old, size_t old_size, size_t new_size);
KL_API void kl_set_allocator(kl_alloc_fn fn, void *user);

/* A contraction with fewer than 4 rows or columns adds k up over 16 lanes, larger ones in
 * order: a row's last bits depend on how many others there are. With this on all are in
 * order, and slower where they are small. It holds for what is compiled from then on. */
KL_API void kl_set_batch_invariant(bool on);

#ifdef __cplusplus
}
#endif
#endif
