/* kiln/io.h: files. Every failure names file, place and reason; nothing half-written is
 * seen. */
#ifndef KILN_IO_H
#define KILN_IO_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* As numpy.loadtxt(path, delimiter=','): f64 [rows, columns]. */
KL_API kl_tensor *kl_load_csv_at(const char *at, const char *path, char delimiter,
                                 int skip_rows);
#define kl_load_csv(path) kl_load_csv_at(KL_HERE, path, ',', 0)
#define kl_load_csv_with(path, delimiter, skip_rows)                                     \
    kl_load_csv_at(KL_HERE, path, delimiter, skip_rows)
/* One tensor of a .npy file; of a .npz or .safetensors file the one of that name (NULL:
 * the first). */
KL_API kl_tensor *kl_load_at(const char *at, const char *path, const char *name);
#define kl_load(path, name) kl_load_at(KL_HERE, path, name)
/* All of a .npz or .safetensors file, in the file's order: how many there are (-1:
 * failed), at most cap written to out. Each tensor has its name. */
KL_API int kl_load_all_at(const char *at, const char *path, kl_tensor **out, int cap);
#define kl_load_all(path, out, cap) kl_load_all_at(KL_HERE, path, out, cap)
/* By the path's ending: .npy (one tensor), .npz, .safetensors. A tensor without a name
 * (kl_named) is arr_0, arr_1, .. */
KL_API kl_status kl_save_at(const char *at, const char *path, kl_tensor *const *t, int n);
#define kl_save(...) kl_save_at(KL_HERE, __VA_ARGS__) /* (path, t, n) */

#ifdef __cplusplus
}
#endif
#endif
