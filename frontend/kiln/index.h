/* kiln/index.h: indexing by tensors of indices, i64 or i32 (kl_index takes bool masks
 * too). Negative indices count from the end; one out of range is an error (KL_ERR_INDEX),
 * found when the value is computed. Results are new tensors of t's dtype; several values
 * for one element combine in the order of their indices. */
#ifndef KILN_INDEX_H
#define KILN_INDEX_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

/* t[i0, i1, ..]: one index tensor a dimension, NULL for a whole dimension (:), as
 * PyTorch's advanced indexing; the index tensors broadcast. */
KL_API kl_tensor *kl_index_at(const char *at, kl_tensor *t, kl_tensor *const *index,
                              int n);
#define kl_index(t, index, n) kl_index_at(KL_HERE, t, index, n)
/* t[i0, i1, ..] = v (or += v) in place */
KL_API kl_tensor *kl_index_put_at(const char *at, kl_tensor *t, kl_tensor *const *index,
                                  int n, kl_arg v, bool accumulate);
#define kl_index_put_(t, index, n, v, accumulate)                                        \
    kl_index_put_at(KL_HERE, t, index, n, KL_ARG(v), accumulate)
/* whole slices at index (1-d) along dim */
KL_API kl_tensor *kl_index_select_at(const char *at, kl_tensor *t, int dim,
                                     kl_tensor *index);
#define kl_index_select(t, dim, index) kl_index_select_at(KL_HERE, t, dim, index)
/* out[i][j] = t[index[i][j]][j] for dim 0, and so on */
KL_API kl_tensor *kl_gather_at(const char *at, kl_tensor *t, int dim, kl_tensor *index);
#define kl_gather(t, dim, index) kl_gather_at(KL_HERE, t, dim, index)
/* Its reverse into a copy of t: replace, or combine by "sum", "prod", "amin", "amax". */
KL_API kl_tensor *kl_scatter_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                                kl_arg src, const char *reduce);
#define kl_scatter(t, dim, index, src)                                                   \
    kl_scatter_at(KL_HERE, t, dim, index, KL_ARG(src), NULL)
#define kl_scatter_add(t, dim, index, src)                                               \
    kl_scatter_at(KL_HERE, t, dim, index, KL_ARG(src), "sum")
#define kl_scatter_reduce(t, dim, index, src, reduce)                                    \
    kl_scatter_at(KL_HERE, t, dim, index, KL_ARG(src), reduce)
/* whole slices added at index (1-d) along dim, into a copy of t */
KL_API kl_tensor *kl_index_add_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                                  kl_tensor *src);
#define kl_index_add(t, dim, index, src) kl_index_add_at(KL_HERE, t, dim, index, src)
KL_API kl_tensor *kl_take_at(const char *at, kl_tensor *t,
                             kl_tensor *index); /* of t flattened */
#define kl_take(t, index) kl_take_at(KL_HERE, t, index)
KL_API kl_tensor *kl_masked_fill_at(const char *at, kl_tensor *t, kl_tensor *mask,
                                    kl_arg v);
#define kl_masked_fill(t, mask, v) kl_masked_fill_at(KL_HERE, t, mask, KL_ARG(v))
/* i64 index [..] to [.., n]: 1 at the index */
KL_API kl_tensor *kl_one_hot_at(const char *at, kl_tensor *index, int64_t n);
#define kl_one_hot(index, n) kl_one_hot_at(KL_HERE, index, n)

/* ---- scatter.c: into copies of t ---- */
/* whole slices, or one value, at index (1-d) along dim */
KL_API kl_tensor *kl_index_copy_at(const char *at, kl_tensor *t, int dim,
                                   kl_tensor *index, kl_tensor *src);
KL_API kl_tensor *kl_index_fill_at(const char *at, kl_tensor *t, int dim,
                                   kl_tensor *index, kl_arg v);
/* combined by "sum", "prod", "mean", "amax", "amin"; self: t's own elements take part.
 * Slices at index (1-d), or elements as kl_scatter. */
KL_API kl_tensor *kl_index_reduce_at(const char *at, kl_tensor *t, int dim,
                                     kl_tensor *index, kl_tensor *src, const char *reduce,
                                     bool self);
KL_API kl_tensor *kl_scatter_reduce_at(const char *at, kl_tensor *t, int dim,
                                       kl_tensor *index, kl_tensor *src,
                                       const char *reduce, bool self);
/* data's runs along axis, of so many elements each (lengths) or between offsets (one of the two
 * may be NULL; its last axis is axis), to their "sum", "mean", "prod", "max" or "min" with
 * initial, if that is given. unsafe: lengths are not checked. */
KL_API kl_tensor *kl_segment_reduce_at(const char *at, kl_tensor *data, const char *reduce,
                                       kl_tensor *lengths, kl_tensor *offsets, int axis,
                                       bool unsafe, kl_arg initial);
/* in t flattened; the next element of src wherever mask is true */
KL_API kl_tensor *kl_put_at(const char *at, kl_tensor *t, kl_tensor *index,
                            kl_tensor *src, bool accumulate);
KL_API kl_tensor *kl_masked_scatter_at(const char *at, kl_tensor *t, kl_tensor *mask,
                                       kl_tensor *src);
/* src in place of a part */
KL_API kl_tensor *kl_select_scatter_at(const char *at, kl_tensor *t, kl_tensor *src,
                                       int dim, int64_t index);
KL_API kl_tensor *kl_slice_scatter_at(const char *at, kl_tensor *t, kl_tensor *src,
                                      int dim, int64_t start, int64_t end, int64_t step);
KL_API kl_tensor *kl_diagonal_scatter_at(const char *at, kl_tensor *t, kl_tensor *src,
                                         int64_t offset, int dim1, int dim2);
KL_API kl_tensor *kl_as_strided_scatter_at(const char *at, kl_tensor *t, kl_tensor *src,
                                           kl_ints shape, kl_ints strides,
                                           int64_t offset);
/* gather with the other dimensions broadcast; flat: of t flattened */
KL_API kl_tensor *kl_take_along_dim_at(const char *at, kl_tensor *t, kl_tensor *index,
                                       int dim, bool flat);

/* Extents that depend on data: computed at once. Indices [count, rank] of what is not
 * zero; the elements where mask is true, as 1-d. */
KL_API kl_tensor *kl_nonzero_at(const char *at, kl_tensor *t);
#define kl_nonzero(t) kl_nonzero_at(KL_HERE, t)
KL_API kl_tensor *kl_masked_select_at(const char *at, kl_tensor *t, kl_tensor *mask);
#define kl_masked_select(t, mask) kl_masked_select_at(KL_HERE, t, mask)

/* The same as part of a program, also of a traced function's: as large as they may get,
 * *count, an i64 of no dimensions, telling how many rows are meant; zeros follow them. */
KL_API kl_tensor *kl_nonzero_padded_at(const char *at, kl_tensor *t, kl_tensor **count);
#define kl_nonzero_padded(t, count) kl_nonzero_padded_at(KL_HERE, t, count)
KL_API kl_tensor *kl_masked_select_padded_at(const char *at, kl_tensor *t,
                                             kl_tensor *mask, kl_tensor **count);
#define kl_masked_select_padded(t, mask, count)                                          \
    kl_masked_select_padded_at(KL_HERE, t, mask, count)
/* t's distinct values, in order: where in t flattened each stands *first, what each
 * element of t became (*inverse, of t's shape), how often each stands there (*counts);
 * these three may be NULL. */
KL_API kl_tensor *kl_unique_padded_at(const char *at, kl_tensor *t, kl_tensor **first,
                                      kl_tensor **inverse, kl_tensor **counts,
                                      kl_tensor **count);
#define kl_unique_padded(t, first, inverse, counts, count)                               \
    kl_unique_padded_at(KL_HERE, t, first, inverse, counts, count)

#ifdef __cplusplus
}
#endif
#endif
