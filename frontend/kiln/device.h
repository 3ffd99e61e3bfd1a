/* kiln/device.h: where tensors lie. A device's name is "cpu", "cuda" (the first) or
 * "cuda:1". An operation runs on the device of its operands, never on another:
 *
 *   kl_tensor *x = kl_to_device(kl_ones(kl_shape(8), KL_F32), "cpu");
 *
 * KILN_DEVICE names the device of tensors that stand on no memory (kl_zeros, kl_rand,
 * kl_arange, ..); without it that is the cpu. If it is not there, making one is an error.
 * kl_set_default_device says otherwise for this thread.
 * Functions of kl_compile work on the host's memory. */
#ifndef KILN_DEVICE_H
#define KILN_DEVICE_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* The same values there; t itself if they are there already. Computed and copied at once,
 * as a gradient is on its way back; an error when that device is not there. */
KL_API kl_tensor *kl_to_device_at(const char *at, kl_tensor *t, const char *device);
#define kl_to_device(t, device) kl_to_device_at(KL_HERE, t, device)
#define kl_cpu(t) kl_to_device_at(KL_HERE, t, "cpu")
#define kl_cuda(t) kl_to_device_at(KL_HERE, t, "cuda")
/* "cpu" or "cuda:0"; valid until this thread's next call of it. */
KL_API const char *kl_device_of(const kl_tensor *t);
/* Where this thread's new tensors are made from now on; NULL: where KILN_DEVICE says. An
 * error when that device is not there. */
KL_API kl_status kl_set_default_device_at(const char *at, const char *device);
#define kl_set_default_device(device) kl_set_default_device_at(KL_HERE, device)
/* "cpu" or "cuda:0"; valid until this thread's next call of it. */
KL_API const char *kl_get_default_device_at(const char *at);
#define kl_get_default_device() kl_get_default_device_at(KL_HERE)
/* How many CUDA devices there are; 0 without a driver. */
KL_API int kl_device_count(void);
/* The maker's name for a device ("NVIDIA H200"), cut to cap; its compute capability (9
 * and 0; the cpu's is 0 and 0). */
KL_API kl_status kl_device_describe(const char *device, char *out, size_t cap);
KL_API kl_status kl_device_capability(const char *device, int *major, int *minor);
/* Wait until everything given to that device is done; reports what went wrong there. */
KL_API kl_status kl_synchronize(const char *device);

#ifdef __cplusplus
}
#endif
#endif
