/* interp.h: what the files of the graph interpreter share. Every value is a dense
 * row-major kl_buffer on the host; a row's function reads its sources and fills results
 * that graph_interp.c has allocated. */
#ifndef KL_INTERP_H
#define KL_INTERP_H

#include "ir/ir.h"

typedef struct kl_interp {
    const kl_graph *g;
    const int64_t *syms; /* a value for each symbol of g->dims */
} kl_interp;

/* One node about to be computed. */
typedef struct kl_row {
    const kl_interp *in;
    kl_ref r;
    const kl_node *node;
    const int64_t *attr;
    const kl_buffer *const *src;
    kl_buffer *y; /* y[0] is allocated; y[1], ... for sort */
} kl_row;

static inline char *kl_dense(const kl_buffer *b)
{
    return (char *)b->mem->base + b->offset;
}
static inline int64_t kl_dense_count(const kl_buffer *b)
{
    int64_t n = 1;
    for (int i = 0; i < b->rank; i++)
        n *= b->shape[i];
    return n;
}
static inline size_t kl_dense_size(const kl_buffer *b)
{
    return kl_dtypes[b->dtype].size;
}
/* An attribute that is a kl_dim, as a number. */
static inline int64_t kl_row_dim(const kl_row *w, int64_t dim)
{
    return kl_dim_eval(w->in->g->dims, dim, w->in->syms);
}
/* A new dense buffer; no shape is NULL when rank is 0. */
kl_status kl_dense_new(kl_dtype dt, int rank, const int64_t *shape, kl_buffer *out);

/* An array seen as [outer, n, inner] around the axes [first, last]. */
typedef struct kl_span {
    int64_t outer, n, inner;
} kl_span;
kl_span kl_span_of(int rank, const int64_t *shape, int first, int last);

/* y[i . ys] = a[i . as] over all i in shape; strides in bytes. */
void kl_copy_strided(int rank, const int64_t *shape, size_t size, char *y,
                     const int64_t *ys, const char *a, const int64_t *as);

/* interp_move.c */
kl_status kl_interp_const(const kl_row *w);
kl_status kl_interp_iota(const kl_row *w);
kl_status kl_interp_permute(const kl_row *w);
kl_status kl_interp_expand(const kl_row *w);
kl_status kl_interp_pad(const kl_row *w);
kl_status kl_interp_slice(const kl_row *w);
kl_status kl_interp_flip(const kl_row *w);
kl_status kl_interp_concat(const kl_row *w);
kl_status kl_interp_window(const kl_row *w);
kl_status kl_interp_fold(const kl_row *w);
kl_status kl_interp_strided(const kl_row *w);
kl_status kl_interp_update(const kl_row *w);

/* interp_index.c */
kl_status kl_interp_gather(const kl_row *w);
kl_status kl_interp_scatter(const kl_row *w);
kl_status kl_interp_sort(const kl_row *w);

/* interp_sum.c */
kl_status kl_interp_reduce(const kl_row *w);
kl_status kl_interp_arg(const kl_row *w);
kl_status kl_interp_prefix(const kl_row *w);
/* n rows of width elements, folded in adjacent pairs into the first. */
void kl_fold_pairs(kl_op op, kl_dtype dt, int64_t n, int64_t width, char *v);

/* interp_contract.c */
kl_status kl_interp_contract(const kl_row *w);

#endif
