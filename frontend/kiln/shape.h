/* kiln/shape.h: movement. Functions of the first group give views: the result shares its
 * operand's storage, and writing through either is seen by both. Any dtype, any device.
 * Dimensions count from the end when negative; one out of range is KL_ERR_INDEX, a shape
 * of another number of elements KL_ERR_SHAPE with PyTorch's text. */
#ifndef KILN_SHAPE_H
#define KILN_SHAPE_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KL_END INT64_MAX /* an open end of a slice */

/* ---- views ---- */
/* one extent may be -1; an error when the strides do not allow it */
KL_API kl_tensor *kl_view_at(const char *at, kl_tensor *t, kl_ints shape);
#define kl_view(t, shape) kl_view_at(KL_HERE, t, shape)
KL_API kl_tensor *kl_permute_at(const char *at, kl_tensor *t, kl_ints perm);
#define kl_permute(t, perm) kl_permute_at(KL_HERE, t, perm)
KL_API kl_tensor *kl_transpose_at(const char *at, kl_tensor *t, int i, int j);
#define kl_transpose(t, i, j) kl_transpose_at(KL_HERE, t, i, j)
#define kl_swapaxes(t, i, j) kl_transpose_at(KL_HERE, t, i, j)
KL_API kl_tensor *kl_t_at(const char *at, kl_tensor *t); /* .T: all dimensions reversed */
#define kl_t(t) kl_t_at(KL_HERE, t)
KL_API kl_tensor *kl_movedim_at(const char *at, kl_tensor *t, int from, int to);
#define kl_movedim(t, from, to) kl_movedim_at(KL_HERE, t, from, to)
/* t[.., start:stop:step, ..] along dim; negative step reverses */
KL_API kl_tensor *kl_slice_at(const char *at, kl_tensor *t, int dim, int64_t start,
                              int64_t stop, int64_t step);
#define kl_slice(t, dim, start, stop) kl_slice_at(KL_HERE, t, dim, start, stop, 1)
#define kl_slice_step(t, dim, start, stop, step)                                         \
    kl_slice_at(KL_HERE, t, dim, start, stop, step)
KL_API kl_tensor *kl_narrow_at(const char *at, kl_tensor *t, int dim, int64_t start,
                               int64_t length);
#define kl_narrow(t, dim, start, length) kl_narrow_at(KL_HERE, t, dim, start, length)
KL_API kl_tensor *kl_select_at(const char *at, kl_tensor *t, int dim, int64_t index);
#define kl_select(t, dim, index) kl_select_at(KL_HERE, t, dim, index)
/* -1 keeps an extent; others repeat an extent of 1 */
KL_API kl_tensor *kl_expand_at(const char *at, kl_tensor *t, kl_ints shape);
#define kl_expand(t, shape) kl_expand_at(KL_HERE, t, shape)
KL_API kl_tensor *kl_unsqueeze_at(const char *at, kl_tensor *t, int dim);
#define kl_unsqueeze(t, dim) kl_unsqueeze_at(KL_HERE, t, dim)
/* the listed dimensions of extent 1; none listed: all of them */
KL_API kl_tensor *kl_squeeze_at(const char *at, kl_tensor *t, kl_ints dims);
#define kl_squeeze(t, dims) kl_squeeze_at(KL_HERE, t, dims)
KL_API kl_tensor *kl_diagonal_at(const char *at, kl_tensor *t, int64_t offset, int dim1,
                                 int dim2);
#define kl_diagonal(t, offset, dim1, dim2) kl_diagonal_at(KL_HERE, t, offset, dim1, dim2)
/* all windows of size along dim, every step; the window is a new last dimension */
KL_API kl_tensor *kl_unfold_at(const char *at, kl_tensor *t, int dim, int64_t size,
                               int64_t step);
#define kl_unfold(t, dim, size, step) kl_unfold_at(KL_HERE, t, dim, size, step)
/* any map into the storage: strides and offset in elements */
KL_API kl_tensor *kl_as_strided_at(const char *at, kl_tensor *t, kl_ints shape,
                                   kl_ints strides, int64_t offset);
#define kl_as_strided(t, shape, strides, offset)                                         \
    kl_as_strided_at(KL_HERE, t, shape, strides, offset)
/* The same value in memory of its own, axes in that order, the outermost first:
 * kl_lay(image, kl_shape(0, 2, 3, 1)) is PyTorch's channels_last. t itself where it lies
 * so. */
KL_API kl_tensor *kl_lay_at(const char *at, kl_tensor *t, kl_ints order);
#define kl_lay(t, order) kl_lay_at(KL_HERE, t, order)
/* The same, in the order that an elementwise result of these n operands has (NULL among
 * them: none). */
KL_API kl_tensor *kl_lay_after_at(const char *at, kl_tensor *t, kl_tensor *const *x,
                                  int n);
#define kl_lay_after(t, x, n) kl_lay_after_at(KL_HERE, t, x, n)
/* Split into pieces of size (the last may be shorter): how many, at most cap written to
 * out. */
KL_API int kl_split_at(const char *at, kl_tensor *t, int64_t size, int dim,
                       kl_tensor **out, int cap);
#define kl_split(t, size, dim, out, cap) kl_split_at(KL_HERE, t, size, dim, out, cap)
KL_API int kl_chunk_at(const char *at, kl_tensor *t, int n, int dim, kl_tensor **out);
#define kl_chunk(t, n, dim, out) kl_chunk_at(KL_HERE, t, n, dim, out)

/* ---- views where possible ---- */
KL_API kl_tensor *kl_reshape_at(const char *at, kl_tensor *t, kl_ints shape);
#define kl_reshape(t, shape) kl_reshape_at(KL_HERE, t, shape)
KL_API kl_tensor *kl_flatten_at(const char *at, kl_tensor *t, int first, int last);
#define kl_flatten(t, first, last) kl_flatten_at(KL_HERE, t, first, last)

/* ---- new tensors ---- */
KL_API kl_tensor *kl_flip_at(const char *at, kl_tensor *t, kl_ints dims);
#define kl_flip(t, dims) kl_flip_at(KL_HERE, t, dims)
KL_API kl_tensor *kl_roll_at(const char *at, kl_tensor *t, int64_t shift, int dim);
#define kl_roll(t, shift, dim) kl_roll_at(KL_HERE, t, shift, dim)
KL_API kl_tensor *kl_cat_at(const char *at, kl_tensor *const *t, int n, int dim);
/* (t, n, dim); the list may stand there itself: kl_cat((kl_tensor *[]){a, b}, 2, 0) */
#define kl_cat(...) kl_cat_at(KL_HERE, __VA_ARGS__)
KL_API kl_tensor *kl_stack_at(const char *at, kl_tensor *const *t, int n, int dim);
#define kl_stack(...) kl_stack_at(KL_HERE, __VA_ARGS__)
/* the whole repeated (numpy.tile) */
KL_API kl_tensor *kl_repeat_at(const char *at, kl_tensor *t, kl_ints times);
#define kl_repeat(t, times) kl_repeat_at(KL_HERE, t, times)
/* each element repeated (numpy.repeat) */
KL_API kl_tensor *kl_repeat_interleave_at(const char *at, kl_tensor *t, int64_t times,
                                          int dim);
#define kl_repeat_interleave(t, times, dim)                                              \
    kl_repeat_interleave_at(KL_HERE, t, times, dim)
/* v around t: before and after of the last dimension first, as torch.nn.functional.pad;
 * negative ones crop */
KL_API kl_tensor *kl_pad_at(const char *at, kl_tensor *t, kl_ints pads, kl_arg v);
#define kl_pad(t, pads, v) kl_pad_at(KL_HERE, t, pads, KL_ARG(v))
KL_API kl_tensor *kl_tril_at(const char *at, kl_tensor *t, int64_t diagonal);
KL_API kl_tensor *kl_triu_at(const char *at, kl_tensor *t, int64_t diagonal);
#define kl_tril(t, diagonal) kl_tril_at(KL_HERE, t, diagonal)
#define kl_triu(t, diagonal) kl_triu_at(KL_HERE, t, diagonal)

/* ---- join.c: by other names ---- */

/* with dimensions of 1 added, up to one, two or three */
KL_API kl_tensor *kl_atleast_1d_at(const char *at, kl_tensor *t);
KL_API kl_tensor *kl_atleast_2d_at(const char *at, kl_tensor *t);
KL_API kl_tensor *kl_atleast_3d_at(const char *at, kl_tensor *t);
/* along the first, second, third dimension; 1-d tensors as rows, columns */
KL_API kl_tensor *kl_vstack_at(const char *at, kl_tensor *const *t, int n);
KL_API kl_tensor *kl_hstack_at(const char *at, kl_tensor *const *t, int n);
KL_API kl_tensor *kl_dstack_at(const char *at, kl_tensor *const *t, int n);
KL_API kl_tensor *kl_column_stack_at(const char *at, kl_tensor *const *t, int n);
/* Views into out[]: how many, or -1. Pieces that end at the indices, and the rest; n
 * pieces, the first ones longer by one. */
KL_API int kl_tensor_split_at(const char *at, kl_tensor *t, const int64_t *ends, int n,
                              int dim, kl_tensor **out);
KL_API int kl_tensor_split_n_at(const char *at, kl_tensor *t, int64_t n, int dim,
                                kl_tensor **out);
KL_API kl_tensor *kl_unflatten_at(const char *at, kl_tensor *t, int dim, kl_ints sizes);
/* each 1-d tensor over the grid of all, into out[n]; xy: NumPy's order */
KL_API int kl_meshgrid_at(const char *at, kl_tensor *const *t, int n, bool xy,
                          kl_tensor **out);
KL_API kl_tensor *kl_cartesian_prod_at(const char *at, kl_tensor *const *t, int n);
KL_API kl_tensor *kl_block_diag_at(const char *at, kl_tensor *const *t, int n);
/* 1-d: the matrix with that diagonal; 2-d: a view of the diagonal */
KL_API kl_tensor *kl_diag_at(const char *at, kl_tensor *t, int64_t diagonal);
KL_API kl_tensor *kl_diag_embed_at(const char *at, kl_tensor *t, int64_t offset, int dim1,
                                   int dim2);
KL_API kl_tensor *kl_diagflat_at(const char *at, kl_tensor *t, int64_t offset);
/* i64 [2, count]: rows and columns of a triangle's elements */
KL_API kl_tensor *kl_tril_indices_at(const char *at, int64_t rows, int64_t cols,
                                     int64_t offset);
KL_API kl_tensor *kl_triu_indices_at(const char *at, int64_t rows, int64_t cols,
                                     int64_t offset);
/* k quarter turns from dim0 towards dim1 */
KL_API kl_tensor *kl_rot90_at(const char *at, kl_tensor *t, int64_t k, int dim0,
                              int dim1);
KL_API kl_tensor *kl_roll_axes_at(const char *at, kl_tensor *t, kl_ints shifts,
                                  kl_ints dims);
/* views of one shape, into out[n] */
KL_API int kl_broadcast_tensors_at(const char *at, kl_tensor *const *t, int n,
                                   kl_tensor **out);
/* all choices of r elements of t (1-d) as rows, in order; again: an element more often */
KL_API kl_tensor *kl_combinations_at(const char *at, kl_tensor *t, int64_t r, bool again);
/* x [..] to its powers [.., n]: n - 1 down to 0, or rising */
KL_API kl_tensor *kl_vander_at(const char *at, kl_tensor *x, int64_t n, bool rising);
KL_API kl_tensor *kl_movedims_at(const char *at, kl_tensor *t, kl_ints from, kl_ints to);

#ifdef __cplusplus
}
#endif
#endif
