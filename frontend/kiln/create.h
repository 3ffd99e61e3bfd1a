/* kiln/create.h: tensors out of nothing, out of memory, out of numbers. dtype
 * KL_DTYPE_NONE is the default real dtype (f32 unless set). They belong to the open scope
 * (kiln/tensor.h) and lie on the default device (kiln/device.h). A negative extent, or
 * more bytes than an address space has, is KL_ERR_SHAPE; memory that ends, KL_ERR_OOM. */
#ifndef KILN_CREATE_H
#define KILN_CREATE_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

KL_API kl_status kl_set_default_dtype(kl_dtype dt); /* of this thread; real dtypes only */
KL_API kl_dtype kl_get_default_dtype(void);

KL_API kl_tensor *kl_full_at(const char *at, kl_ints shape, kl_arg v, kl_dtype dt);
KL_API kl_tensor *kl_empty_at(const char *at, kl_ints shape, kl_dtype dt);
KL_API kl_tensor *kl_full_like_at(const char *at, kl_tensor *t, kl_arg v);
KL_API kl_tensor *kl_eye_at(const char *at, int64_t n, int64_t m, kl_dtype dt);
/* start, start + step, .. below end; integers when all three are, else the default dtype
 */
KL_API kl_tensor *kl_arange_at(const char *at, kl_arg start, kl_arg end, kl_arg step,
                               kl_dtype dt);
KL_API kl_tensor *kl_linspace_at(const char *at, double start, double end, int64_t steps,
                                 kl_dtype dt);
/* base to the powers from start to end */
KL_API kl_tensor *kl_logspace_at(const char *at, double start, double end, int64_t steps,
                                 double base, kl_dtype dt);
/* ---- windows.c: of n elements over n - 1 steps (sym), or periodic over n ---- */
/* a[0] - a[1] cos(2 pi k / steps) + a[2] cos(4 pi k / steps) - .. */
KL_API kl_tensor *kl_cosine_sum_at(const char *at, int64_t n, const double *a, int terms,
                                   bool sym, kl_dtype dt);
typedef enum kl_window_kind {
    KL_WINDOW_BARTLETT,
    KL_WINDOW_COSINE,
    KL_WINDOW_EXPONENTIAL, /* p: the length in which it falls by e */
    KL_WINDOW_GAUSSIAN,    /* p: the standard deviation */
    KL_WINDOW_KAISER       /* p: beta */
} kl_window_kind;
KL_API kl_tensor *kl_window_at(const char *at, kl_window_kind kind, int64_t n, double p,
                               bool sym, kl_dtype dt);
/* kl_full takes the number's own dtype: i64, bool or the default */
#define kl_full(shape, v, dt) kl_full_at(KL_HERE, shape, KL_ARG(v), dt)
#define kl_zeros(shape, dt) kl_full_at(KL_HERE, shape, KL_ARG(0.0), dt)
#define kl_ones(shape, dt) kl_full_at(KL_HERE, shape, KL_ARG(1.0), dt)
#define kl_empty(shape, dt) kl_empty_at(KL_HERE, shape, dt)
#define kl_zeros_like(t) kl_full_like_at(KL_HERE, t, KL_ARG(0.0))
#define kl_ones_like(t) kl_full_like_at(KL_HERE, t, KL_ARG(1.0))
#define kl_full_like(t, v) kl_full_like_at(KL_HERE, t, KL_ARG(v))
#define kl_eye(n, dt) kl_eye_at(KL_HERE, n, n, dt)
#define kl_arange(start, end, step, dt)                                                  \
    kl_arange_at(KL_HERE, KL_ARG(start), KL_ARG(end), KL_ARG(step), dt)
#define kl_linspace(start, end, steps, dt) kl_linspace_at(KL_HERE, start, end, steps, dt)

/* A tensor of one number. */
KL_API kl_tensor *kl_scalar_at(const char *at, kl_arg v, kl_dtype dt);
#define kl_scalar_tensor(v, dt) kl_scalar_at(KL_HERE, KL_ARG(v), dt)
/* torch.tensor: a copy of dense row-major elements; data may go afterwards. */
KL_API kl_tensor *kl_tensor_copy_at(const char *at, const void *data, kl_dtype dt,
                                    kl_ints shape);
#define kl_tensor_copy(data, dt, shape) kl_tensor_copy_at(KL_HERE, data, dt, shape)
/* torch.from_numpy: the caller's memory itself, never copied. strides in bytes; NULL:
 * dense. release (may be NULL) is called when kiln has let go of it. While the tensor's
 * storage lives, operations read it at once (a result that is larger by copies of what it
 * reads), so that both sides see each other's writes. */
typedef void (*kl_release_fn)(void *user, void *data);
KL_API kl_tensor *kl_from_buffer_at(const char *at, void *data, kl_dtype dt,
                                    kl_ints shape, const int64_t *strides, bool read_only,
                                    kl_release_fn release, void *user);
#define kl_from_buffer(data, dt, shape, strides, read_only, release, user)               \
    kl_from_buffer_at(KL_HERE, data, dt, shape, strides, read_only, release, user)
/* A small dense tensor written out: kl_of(KL_F32, kl_shape(2, 2), 1, 2, 3, 4). */
KL_API kl_tensor *kl_of_at(const char *at, kl_dtype dt, kl_ints shape, size_t n,
                           const double *v);
#ifndef __cplusplus
#define kl_of(dt, shape, ...)                                                            \
    kl_of_at(KL_HERE, dt, shape, sizeof((const double[]){0, __VA_ARGS__}) / 8 - 1,       \
             (const double[]){0, __VA_ARGS__} + 1)
#endif

/* clone: the same values in a storage of their own; contiguous: only if t is not */
KL_API kl_tensor *kl_clone_at(const char *at, kl_tensor *t);
KL_API kl_tensor *kl_contiguous_at(const char *at, kl_tensor *t);
/* another dtype; the same handle's storage if it is that already */
KL_API kl_tensor *kl_to_at(const char *at, kl_tensor *t, kl_dtype dt);
/* the same bits, a copy */
KL_API kl_tensor *kl_bitcast_at(const char *at, kl_tensor *t, kl_dtype dt);
/* The same memory as elements of another dtype, of another size too: the last axis, dense,
 * is split or joined. Neither side is lazy from then on (kl_data). On a device, and while
 * a function is traced, a copy; complex numbers of the same size only. */
KL_API kl_tensor *kl_view_dtype_at(const char *at, kl_tensor *t, kl_dtype dt);
#define kl_clone(t) kl_clone_at(KL_HERE, t)
#define kl_contiguous(t) kl_contiguous_at(KL_HERE, t)
#define kl_to(t, dt) kl_to_at(KL_HERE, t, dt)
#define kl_bitcast(t, dt) kl_bitcast_at(KL_HERE, t, dt)
#define kl_view_dtype(t, dt) kl_view_dtype_at(KL_HERE, t, dt)

#ifdef __cplusplus
}
#endif
#endif
