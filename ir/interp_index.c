/* interp_index.c: gather, scatter and sort. An array is seen as [batch, pre, axis, post];
 * index arrays are [batch, j]. An index outside [0, extent) is a fault: KL_ERR_INDEX with
 * its value. scatter takes several updates of one element in the order of j. */
#include "ir/interp.h"

typedef struct view {
    int64_t batch, pre, axis, post, j;
} view;

static view view_of(const kl_buffer *a, const kl_buffer *index, int axis, int nbatch)
{
    view v = {1, 1, a->shape[axis], 1, 1};
    for (int i = 0; i < nbatch; i++)
        v.batch *= a->shape[i];
    for (int i = nbatch; i < axis; i++)
        v.pre *= a->shape[i];
    for (int i = axis + 1; i < a->rank; i++)
        v.post *= a->shape[i];
    for (int i = nbatch; i < index->rank; i++)
        v.j *= index->shape[i];
    return v;
}

static kl_status index_at(const kl_row *w, const kl_buffer *b, int64_t i, int64_t extent,
                          int64_t *out)
{
    const char *p = kl_dense(b) + (size_t)i * kl_dense_size(b);
    kl_eval_cast_n(KL_I64, b->dtype, 1, out, p);
    if (*out >= 0 && *out < extent)
        return KL_OK;
    const char *name = kl_ops[w->node->op].name;
    return kl_fail(KL_ERR_INDEX, "%s: index %lld is out of range for an axis of %lld",
                   name, (long long)*out, (long long)extent);
}

kl_status kl_interp_gather(const kl_row *w)
{
    const kl_buffer *a = w->src[0], *index = w->src[1];
    view v = view_of(a, index, (int)w->attr[0], (int)w->attr[1]);
    size_t row = (size_t)v.post * kl_dense_size(a);
    char *y = kl_dense(w->y);
    if (v.pre == 0 || v.post == 0)
        return KL_OK;
    for (int64_t b = 0; b < v.batch; b++)
        for (int64_t p = 0; p < v.pre; p++)
            for (int64_t j = 0; j < v.j; j++, y += row) {
                int64_t at;
                KL_TRY(index_at(w, index, b * v.j + j, v.axis, &at));
                int64_t from = (b * v.pre + p) * v.axis + at;
                memcpy(y, kl_dense(a) + (size_t)from * row, row);
            }
    return KL_OK;
}

kl_status kl_interp_scatter(const kl_row *w)
{
    const kl_buffer *a = w->src[0], *index = w->src[1], *c = w->src[2];
    view v = view_of(a, index, (int)w->attr[1], (int)w->attr[2]);
    size_t row = (size_t)v.post * kl_dense_size(a);
    const char *from = kl_dense(c);
    memcpy(kl_dense(w->y), kl_dense(a), (size_t)kl_dense_count(a) * kl_dense_size(a));
    if (v.pre == 0 || v.post == 0)
        return KL_OK;
    for (int64_t b = 0; b < v.batch; b++)
        for (int64_t p = 0; p < v.pre; p++)
            for (int64_t j = 0; j < v.j; j++, from += row) {
                int64_t at;
                KL_TRY(index_at(w, index, b * v.j + j, v.axis, &at));
                char *y = kl_dense(w->y) + (size_t)((b * v.pre + p) * v.axis + at) * row;
                if (w->attr[0] == KL_SET)
                    memcpy(y, from, row);
                else
                    kl_eval_n((kl_op)w->attr[0], a->dtype, v.post, y, y, from, NULL);
            }
    return KL_OK;
}

/* ---- sort ---- */

typedef struct item {
    uint64_t
        key; /* orders as the elements do; equal elements (-0 and +0, all NaNs) alike */
    int64_t at;
} item;

static uint64_t key_of(kl_dtype dt, const char *p)
{
    uint64_t top = UINT64_C(1) << 63, u;
    if (!kl_is_float(dt)) {
        kl_eval_cast_n(KL_U64, dt, 1, &u, p);
        return kl_dtypes[dt].cls == KL_CLS_SINT ? u ^ top : u;
    }
    double d;
    kl_eval_cast_n(KL_F64, dt, 1, &d, p);
    if (d != d)
        return UINT64_MAX;
    d += 0.0; /* -0 is +0 */
    memcpy(&u, &d, sizeof u);
    return u & top ? ~u : u | top;
}

/* Bottom-up merging: stable, and no deeper than its two loops. */
static void merge_sort(item *v, item *tmp, int64_t n)
{
    for (int64_t run = 1; run < n; run *= 2) {
        for (int64_t lo = 0; lo < n; lo += 2 * run) {
            int64_t mid = KL_MIN(lo + run, n), hi = KL_MIN(lo + 2 * run, n);
            int64_t i = lo, j = mid;
            for (int64_t k = lo; k < hi; k++)
                tmp[k] = j >= hi || (i < mid && v[i].key <= v[j].key) ? v[i++] : v[j++];
        }
        memcpy(v, tmp, (size_t)n * sizeof *v);
    }
}

kl_status kl_interp_sort(const kl_row *w)
{
    const kl_buffer *a = w->src[0];
    int axis = (int)w->attr[0];
    kl_span s = kl_span_of(a->rank, a->shape, axis, axis);
    int64_t first = w->node->nattr > 2 ? w->attr[2] : s.n;
    size_t size = kl_dense_size(a), bytes = 2 * (size_t)s.n * sizeof(item);
    item *v = kl_alloc(bytes ? bytes : 1);
    if (!v)
        return kl_fail(KL_ERR_OOM, "sort: %zu bytes", bytes);
    for (int64_t line = 0; line < s.outer * s.inner; line++) {
        int64_t base = line / s.inner * s.n * s.inner + line % s.inner,
                into = line / s.inner * first * s.inner + line % s.inner;
        for (int64_t k = 0; k < s.n; k++) {
            uint64_t key =
                key_of(a->dtype, kl_dense(a) + (size_t)(base + k * s.inner) * size);
            v[k] = (item){w->attr[1] ? ~key : key, k};
        }
        merge_sort(v, v + s.n, s.n);
        for (int64_t k = 0; k < first; k++) {
            int64_t to = into + k * s.inner, from = base + v[k].at * s.inner;
            memcpy(kl_dense(&w->y[0]) + (size_t)to * size,
                   kl_dense(a) + (size_t)from * size, size);
            memcpy(kl_dense(&w->y[1]) + (size_t)to * 8, &v[k].at, 8);
        }
    }
    kl_free(v, bytes ? bytes : 1);
    return KL_OK;
}
