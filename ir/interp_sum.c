/* interp_sum.c: reductions and prefixes by their definition (DESIGN.md, "One number"):
 * the values of one reduced axis, or of several adjacent ones as if they were one, come
 * in blocks of 4096; in a block, lane l of 32 combines elements l, l+32, ... starting
 * from its first; the lanes fold by halves, absent ones left out; the blocks' results
 * fold in adjacent pairs. Groups of axes that are not adjacent are reduced one after the
 * other, innermost first. The same order holds for every combining row.
 *
 *   6 values, 4 lanes instead of 32:   l0 = v0+v4  l1 = v1+v5  l2 = v2  l3 = v3
 *                                      (l0+l2) + (l1+l3) */
#include "ir/interp.h"

enum { BLOCK = 4096, LANES = 32 };

/* n values one after the other into v[0]; v is used up. */
static void block(kl_op op, kl_dtype dt, int64_t n, char *v, char *y)
{
    size_t size = kl_dtypes[dt].size;
    _Alignas(16) char lanes[LANES * 16];
    int64_t have = KL_MIN(n, LANES);
    memcpy(lanes, v, (size_t)have * size);
    for (int64_t i = LANES; i < n; i += LANES)
        kl_eval_n(op, dt, KL_MIN(n - i, LANES), lanes, lanes, v + (size_t)i * size, NULL);
    for (int64_t half = LANES / 2; half > 0; half /= 2) {
        if (have > half)
            kl_eval_n(op, dt, have - half, lanes, lanes, lanes + (size_t)half * size,
                      NULL);
        have = KL_MIN(have, half);
    }
    memcpy(y, lanes, size);
}

/* n results of width elements each, folded in adjacent pairs into the first. */
void kl_fold_pairs(kl_op op, kl_dtype dt, int64_t n, int64_t width, char *v)
{
    size_t row = (size_t)width * kl_dtypes[dt].size;
    for (; n > 1; n = (n + 1) / 2) {
        for (int64_t i = 0; i < n / 2; i++) {
            char *pair = v + (size_t)(2 * i) * row;
            kl_eval_n(op, dt, width, v + (size_t)i * row, pair, pair + row, NULL);
        }
        if (n % 2)
            memcpy(v + (size_t)(n / 2) * row, v + (size_t)(n - 1) * row, row);
    }
}

static void reduce_line(kl_op op, kl_dtype dt, int64_t n, char *v, char *y)
{
    size_t size = kl_dtypes[dt].size;
    int64_t blocks = (n + BLOCK - 1) / BLOCK;
    for (int64_t b = 0; b < blocks; b++) /* result b lies before block b + 1 */
        block(op, dt, KL_MIN(n - b * BLOCK, BLOCK), v + (size_t)(b * BLOCK) * size,
              v + (size_t)b * size);
    kl_fold_pairs(op, dt, blocks, 1, v);
    memcpy(y, v, size);
}

static void fill_empty(kl_op op, kl_dtype dt, int64_t n, char *y)
{
    kl_dtype part = kl_dtypes[dt].real;
    kl_scalar re = kl_empty(op, part), im = kl_scalar_from_int(part, 0);
    size_t size = kl_dtypes[dt].size, ps = kl_dtypes[part].size;
    for (int64_t i = 0; i < n; i++, y += size) {
        memcpy(y, &re, ps);
        if (part != dt)
            memcpy(y + ps, &im, ps);
    }
}

/* One group of adjacent axes: y[outer, inner] = combine over n of a[outer, n, inner]. */
static void reduce_span(kl_op op, kl_dtype dt, kl_span s, const char *a, char *line,
                        char *y)
{
    size_t size = kl_dtypes[dt].size;
    if (s.n == 0) {
        fill_empty(op, dt, s.outer * s.inner, y);
        return;
    }
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++, y += size) {
            for (int64_t k = 0; k < s.n; k++)
                memcpy(line + (size_t)k * size,
                       a + (size_t)((o * s.n + k) * s.inner + i) * size, size);
            reduce_line(op, dt, s.n, line, y);
        }
}

/* The last group of adjacent axes in the mask. */
static void last_group(uint64_t mask, int *first, int *last)
{
    *last = 63 - __builtin_clzll(mask);
    for (*first = *last; *first > 0 && mask >> (*first - 1) & 1;)
        --*first;
}

kl_status kl_interp_reduce(const kl_row *w)
{
    kl_op op = (kl_op)w->attr[0];
    uint64_t mask = (uint64_t)w->attr[1];
    kl_buffer now = *w->src[0], next, line;
    kl_memory_ref(now.mem);
    kl_status st = KL_OK;
    while (mask && st == KL_OK) {
        int first, last, rank = 0;
        int64_t shape[KL_MAX_RANK];
        last_group(mask, &first, &last);
        for (int i = 0; i < now.rank; i++)
            if (i < first || i > last)
                shape[rank++] = now.shape[i];
        kl_span s = kl_span_of(now.rank, now.shape, first, last);
        st = kl_dense_new(now.dtype, 1, &s.n, &line);
        if (st != KL_OK)
            break;
        st = kl_dense_new(now.dtype, rank, shape, &next);
        if (st == KL_OK) {
            reduce_span(op, now.dtype, s, kl_dense(&now), kl_dense(&line),
                        kl_dense(&next));
            kl_memory_unref(now.mem);
            now = next;
            mask &= ((uint64_t)1 << first) - 1;
        }
        kl_memory_unref(line.mem);
    }
    if (st == KL_OK)
        memcpy(kl_dense(w->y), kl_dense(&now),
               (size_t)kl_dense_count(w->y) * kl_dense_size(w->y));
    kl_memory_unref(now.mem);
    return st;
}

/* ---- argmax, argmin ---- */

static bool is_nan(kl_dtype dt, const char *v)
{
    kl_scalar y = {.bits = 0};
    if (!kl_is_float(dt))
        return false;
    kl_eval_n(KL_OP_ne, dt, 1, &y, v, v, NULL);
    return y.b;
}

static bool less(kl_dtype dt, const char *a, const char *b)
{
    kl_scalar y = {.bits = 0};
    kl_eval_n(KL_OP_lt, dt, 1, &y, a, b, NULL);
    return y.b;
}

static int64_t arg_line(bool max, kl_dtype dt, int64_t n, const char *a, size_t step)
{
    int64_t best = 0;
    for (int64_t k = 0; k < n; k++) {
        const char *v = a + (size_t)k * step, *top = a + (size_t)best * step;
        if (is_nan(dt, v))
            return k;
        if (max ? less(dt, top, v) : less(dt, v, top))
            best = k;
    }
    return best;
}

kl_status kl_interp_arg(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    int axis = (int)w->attr[0];
    kl_span s = kl_span_of(a->rank, a->shape, axis, axis);
    size_t size = kl_dense_size(a);
    int64_t *y = (int64_t *)(void *)kl_dense(w->y);
    if (s.n == 0 && s.outer * s.inner > 0)
        return kl_fail(KL_ERR_SHAPE, "%s: axis %d is empty", kl_ops[w->node->op].name,
                       axis);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t i = 0; i < s.inner; i++)
            *y++ = arg_line(w->node->op == KL_OP_argmax, a->dtype, s.n,
                            kl_dense(a) + (size_t)(o * s.n * s.inner + i) * size,
                            (size_t)s.inner * size);
    return KL_OK;
}

/* ---- prefix: strictly in order ---- */

kl_status kl_interp_prefix(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    int axis = (int)w->attr[1];
    kl_span s = kl_span_of(a->rank, a->shape, axis, axis);
    size_t row = (size_t)s.inner * kl_dense_size(a);
    const char *from = kl_dense(a);
    char *to = kl_dense(w->y);
    for (int64_t o = 0; o < s.outer; o++)
        for (int64_t k = 0; k < s.n; k++, from += row, to += row) {
            if (k == 0)
                memcpy(to, from, row);
            else
                kl_eval_n((kl_op)w->attr[0], a->dtype, s.inner, to, to - row, from, NULL);
        }
    return KL_OK;
}
