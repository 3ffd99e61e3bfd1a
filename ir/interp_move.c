/* interp_move.c: leaves and movement. A movement row is a copy between two arrays of the
 * same shape with strides of their own; which strides is all that a row has to say:
 *
 *   permute, expand, slice, flip, window, strided   read a through strides, write y
 * densely pad, concat, update                             fill y, then write through
 * strides fold                                            add through strides, window by
 * window */
#include "ir/interp.h"

typedef int64_t axes[KL_MAX_RANK];

/* Row-major strides in bytes. */
static void dense_strides(const kl_buffer *b, int64_t *out)
{
    int64_t step = (int64_t)kl_dense_size(b);
    for (int i = b->rank; i-- > 0; step *= b->shape[i])
        out[i] = step;
}

/* The next index in row-major order, moving both pointers; false after the last. */
static bool step(int rank, const int64_t *shape, int64_t *at, char **y, const int64_t *ys,
                 const char **a, const int64_t *as)
{
    for (int i = rank; i-- > 0;) {
        *y += ys[i], *a += as[i];
        if (++at[i] < shape[i])
            return true;
        *y -= ys[i] * shape[i], *a -= as[i] * shape[i];
        at[i] = 0;
    }
    return false;
}

static bool is_empty(int rank, const int64_t *shape)
{
    for (int i = 0; i < rank; i++)
        if (shape[i] == 0)
            return true;
    return false;
}

void kl_copy_strided(int rank, const int64_t *shape, size_t size, char *y,
                     const int64_t *ys, const char *a, const int64_t *as)
{
    int64_t at[3 * KL_MAX_RANK] = {0};
    if (is_empty(rank, shape))
        return;
    do
        memcpy(y, a, size);
    while (step(rank, shape, at, &y, ys, &a, as));
}

/* y, dense, from a through strides. */
static kl_status read_through(const kl_row *w, const char *a, const int64_t *as)
{
    axes ys;
    dense_strides(w->y, ys);
    kl_copy_strided(w->y->rank, w->y->shape, kl_dense_size(w->y), kl_dense(w->y), ys, a,
                    as);
    return KL_OK;
}

/* y through strides from b, dense. */
static kl_status write_through(const kl_buffer *b, char *y, const int64_t *ys)
{
    axes bs;
    dense_strides(b, bs);
    kl_copy_strided(b->rank, b->shape, kl_dense_size(b), y, ys, kl_dense(b), bs);
    return KL_OK;
}

/* ---- leaves ---- */

kl_status kl_interp_const(const kl_row *w)
{
    size_t bytes = (size_t)kl_dense_count(w->y) * kl_dense_size(w->y);
    memcpy(kl_dense(w->y), w->attr, bytes);
    return KL_OK;
}

kl_status kl_interp_iota(const kl_row *w)
{
    int axis = (int)w->attr[0];
    kl_span s = kl_span_of(w->y->rank, w->y->shape, axis, axis);
    size_t size = kl_dense_size(w->y);
    char *y = kl_dense(w->y);
    for (int64_t i = 0, n = s.outer * s.n * s.inner; i < n; i++, y += size) {
        int64_t index = i / s.inner % s.n;
        kl_eval_cast_n(w->y->dtype, KL_I64, 1, y, &index);
    }
    return KL_OK;
}

/* ---- through the strides of the operand ---- */

kl_status kl_interp_permute(const kl_row *w)
{
    axes as, through;
    dense_strides(w->src[0], as);
    for (int i = 0; i < w->y->rank; i++)
        through[i] = as[w->attr[i]];
    return read_through(w, kl_dense(w->src[0]), through);
}

kl_status kl_interp_expand(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    axes as, through;
    int lead = w->y->rank - a->rank;
    dense_strides(a, as);
    for (int i = 0; i < w->y->rank; i++)
        through[i] = i < lead || a->shape[i - lead] == 1 ? 0 : as[i - lead];
    return read_through(w, kl_dense(a), through);
}

/* Symbols may take values that inference could not refuse: whether start + sum of
 * (extent - 1) * step over the axes stays in [0, size). */
static kl_status check_reach(const kl_row *w, int rank, const int64_t *shape,
                             int64_t start, const int64_t *steps, int64_t size)
{
    int64_t lo = start, hi = start;
    bool over = false;
    for (int i = 0; i < rank; i++) {
        int64_t reach;
        if (shape[i] == 0)
            return KL_OK;
        over |= kl_mul_overflow(shape[i] - 1, steps[i], &reach);
        over |=
            !over && kl_add_overflow(reach < 0 ? lo : hi, reach, reach < 0 ? &lo : &hi);
    }
    if (!over && lo >= 0 && hi < size)
        return KL_OK;
    return kl_fail(KL_ERR_SHAPE, "%s: reaches outside its %lld elements",
                   kl_ops[w->node->op].name, (long long)size);
}

kl_status kl_interp_slice(const kl_row *w)
{
    axes as;
    int rank = w->y->rank;
    const char *a = kl_dense(w->src[0]);
    dense_strides(w->src[0], as);
    for (int i = 0; i < rank; i++) {
        int64_t start = kl_row_dim(w, w->attr[i]), by = kl_row_dim(w, w->attr[rank + i]);
        KL_TRY(check_reach(w, 1, &w->y->shape[i], start, &by, w->src[0]->shape[i]));
        a += as[i] * start;
        as[i] *= by;
    }
    return read_through(w, a, as);
}

kl_status kl_interp_flip(const kl_row *w)
{
    axes as;
    const char *a = kl_dense(w->src[0]);
    dense_strides(w->src[0], as);
    for (int i = 0; i < w->y->rank; i++)
        if (w->attr[0] >> i & 1) {
            a += as[i] * (w->y->shape[i] - 1);
            as[i] = -as[i];
        }
    return read_through(w, a, as);
}

/* Strides of the windowed view of an array of the given dense strides: its own axes, the
 * listed ones now counting windows, then one axis for each listed one. */
static void window_strides(const kl_row *w, int rank, const int64_t *dense, int64_t *out)
{
    memcpy(out, dense, (size_t)rank * sizeof *out);
    for (int64_t i = 0; i < w->attr[0]; i++) {
        const int64_t *p = w->attr + 1 + 4 * i; /* axis size stride dilation */
        out[p[0]] = dense[p[0]] * kl_row_dim(w, p[2]);
        out[rank + i] = dense[p[0]] * kl_row_dim(w, p[3]);
    }
}

kl_status kl_interp_window(const kl_row *w)
{
    axes as, through;
    dense_strides(w->src[0], as);
    window_strides(w, w->src[0]->rank, as, through);
    return read_through(w, kl_dense(w->src[0]), through);
}

kl_status kl_interp_strided(const kl_row *w)
{
    axes as;
    int64_t size = (int64_t)kl_dense_size(w->y), start = kl_row_dim(w, w->attr[0]);
    for (int i = 0; i < w->y->rank; i++)
        as[i] = kl_row_dim(w, w->attr[1 + i]);
    KL_TRY(check_reach(w, w->y->rank, w->y->shape, start, as, kl_dense_count(w->src[0])));
    for (int i = 0; i < w->y->rank; i++)
        as[i] *= size;
    return read_through(w, kl_dense(w->src[0]) + start * size, as);
}

/* ---- through the strides of the result ---- */

kl_status kl_interp_pad(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    axes ys, zero = {0};
    int rank = w->y->rank;
    char *y = kl_dense(w->y);
    read_through(w, kl_dense(w->src[1]), zero);
    dense_strides(w->y, ys);
    for (int i = 0; i < rank; i++) {
        y += ys[i] * kl_row_dim(w, w->attr[i]);
        ys[i] *= 1 + kl_row_dim(w, w->attr[2 * rank + i]);
    }
    return write_through(a, y, ys);
}

kl_status kl_interp_concat(const kl_row *w)
{
    axes ys;
    int64_t axis = w->attr[0];
    char *y = kl_dense(w->y);
    dense_strides(w->y, ys);
    for (uint32_t i = 0; i < w->node->nsrc; i++) {
        write_through(w->src[i], y, ys);
        y += ys[axis] * w->src[i]->shape[axis];
    }
    return KL_OK;
}

kl_status kl_interp_update(const kl_row *w)
{
    const kl_buffer *a = w->src[0], *b = w->src[1];
    axes ys;
    int64_t size = (int64_t)kl_dense_size(a), start = kl_row_dim(w, w->attr[0]);
    for (int i = 0; i < b->rank; i++)
        ys[i] = kl_row_dim(w, w->attr[1 + i]);
    KL_TRY(check_reach(w, b->rank, b->shape, start, ys, kl_dense_count(a)));
    memcpy(kl_dense(w->y), kl_dense(a), (size_t)(kl_dense_count(a) * size));
    for (int i = 0; i < b->rank; i++)
        ys[i] *= size;
    return write_through(b, kl_dense(w->y) + start * size, ys);
}

/* y starts at +0; for each position in the window, in row-major order, every window adds
 * its value there. So an element's values come in window order. */
kl_status kl_interp_fold(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    int rank = w->y->rank, m = (int)w->attr[0];
    axes dense, ys, as, at = {0}, in_window = {0};
    dense_strides(w->y, dense);
    window_strides(w, rank, dense, ys);
    dense_strides(a, as);
    memset(kl_dense(w->y), 0, (size_t)kl_dense_count(w->y) * kl_dense_size(w->y));
    if (is_empty(a->rank, a->shape))
        return KL_OK;
    char *y = kl_dense(w->y);
    const char *from = kl_dense(a);
    do {
        do
            kl_eval_n(KL_OP_add, a->dtype, 1, y, y, from, NULL);
        while (step(rank, a->shape, at, &y, ys, &from, as));
    } while (step(m, a->shape + rank, in_window, &y, ys + rank, &from, as + rank));
    return KL_OK;
}
