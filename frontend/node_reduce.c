/* node_reduce.c: node.c's second half: primitives that combine, contract, index,
 * differentiate and call. Several results are told apart by pick nodes.
 *
 *   kl_n_sort(a, 1, false, &index)  ->  pick 0 of sort a; *index = pick 1 of it */
#include "front.h"

static kl_lazy *make(kl_op op, kl_dtype dt, int rank, const int64_t *shape, int nsrc,
                     kl_lazy *const *src, int nattr, const int64_t *attr)
{
    return kl_lazy_make(&(kl_make){op, dt, rank, shape, src, nsrc, attr, nattr});
}

/* a's shape with 1 for each masked axis (keep) or without them. */
static int reduced(kl_lazy *a, uint64_t axes, bool keep, int64_t *shape)
{
    int rank = 0;
    for (int i = 0; i < a->rank; i++) {
        if (!(axes >> i & 1))
            shape[rank++] = kl_lazy_shape(a)[i];
        else if (keep)
            shape[rank++] = 1;
    }
    return rank;
}

static kl_lazy *kept(kl_lazy *r, kl_lazy *a, uint64_t axes, bool keep)
{
    int64_t shape[KL_MAX_RANK];
    return r && keep ? kl_n_reshape(r, reduced(a, axes, true, shape), shape) : r;
}

kl_lazy *kl_n_reduce(kl_op combine, kl_lazy *a, uint64_t axes, bool keep)
{
    int64_t shape[KL_MAX_RANK], attr[2] = {combine, (int64_t)axes};
    if (!a || axes == 0)
        return a;
    int rank = reduced(a, axes, false, shape);
    kl_lazy *r = make(KL_OP_reduce, (kl_dtype)a->dtype, rank, shape, 1, &a, 2, attr);
    return kept(r, a, axes, keep);
}

kl_lazy *kl_n_arg(kl_op op, kl_lazy *a, int axis, bool keep)
{
    int64_t shape[KL_MAX_RANK], attr = axis;
    if (!a)
        return NULL;
    int rank = reduced(a, UINT64_C(1) << axis, false, shape);
    return kept(make(op, KL_I64, rank, shape, 1, &a, 1, &attr), a, UINT64_C(1) << axis,
                keep);
}

kl_lazy *kl_n_prefix(kl_op combine, kl_lazy *a, int axis)
{
    int64_t attr[2] = {combine, axis};
    if (!a || a->rank == 0)
        return a;
    return make(KL_OP_prefix, (kl_dtype)a->dtype, a->rank, kl_lazy_shape(a), 1, &a, 2,
                attr);
}

/* ---- contraction ---- */

/* A label of one operand that neither the other nor the result has is summed first. */
static kl_lazy *sum_lonely(kl_lazy *a, const char *own, size_t n, const char *other,
                           size_t nother, const char *result, char *left)
{
    uint64_t axes = 0;
    size_t k = 0;
    for (size_t i = 0; i < n; i++) {
        if (memchr(other, own[i], nother) || strchr(result, own[i]))
            left[k++] = own[i];
        else
            axes |= UINT64_C(1) << i;
    }
    left[k] = 0;
    return kl_n_reduce(KL_OP_add, a, axes, false);
}

typedef struct labels {
    char name[2 * KL_MAX_RANK];
    int64_t extent[2 * KL_MAX_RANK];
    int n;
} labels;

static int64_t number_label(labels *l, char c, int64_t extent)
{
    for (int i = 0; i < l->n; i++)
        if (l->name[i] == c)
            return i;
    l->name[l->n] = c;
    l->extent[l->n] = extent;
    return l->n++;
}

static kl_lazy *contract(kl_lazy *a, kl_lazy *b, const char *la, const char *lb,
                         const char *ly, kl_dtype acc)
{
    kl_lazy *s[2] = {a, b};
    labels l = {.n = 0};
    int64_t attr[3 + 3 * KL_MAX_RANK] = {a->rank, b->rank, (int64_t)strlen(ly)};
    int64_t shape[KL_MAX_RANK];
    int k = 3, rank = (int)strlen(ly);
    for (int i = 0; i < a->rank; i++)
        attr[k++] = number_label(&l, la[i], kl_lazy_shape(a)[i]);
    for (int i = 0; i < b->rank; i++)
        attr[k++] = number_label(&l, lb[i], kl_lazy_shape(b)[i]);
    for (int i = 0; i < rank; i++) {
        attr[k++] = number_label(&l, ly[i], 0);
        shape[i] = l.extent[attr[k - 1]];
    }
    return make(KL_OP_contract, acc, rank, shape, 2, s, k, attr);
}

kl_lazy *kl_n_contract(kl_lazy *a, kl_lazy *b, const char *text, kl_dtype acc)
{
    char la[KL_MAX_RANK + 1], lb[KL_MAX_RANK + 1];
    const char *comma = strchr(text, ','), *arrow = strstr(text, "->");
    if (!a || !b)
        return NULL;
    size_t na = (size_t)(comma - text), nb = (size_t)(arrow - comma - 1);
    a = sum_lonely(a, text, na, comma + 1, nb, arrow + 2, la);
    b = sum_lonely(b, comma + 1, nb, la, strlen(la), arrow + 2, lb);
    return a && b ? contract(a, b, la, lb, arrow + 2, acc) : NULL;
}

/* ---- indexing ---- */

kl_lazy *kl_n_gather(kl_lazy *a, kl_lazy *index, int axis, int batch)
{
    int64_t shape[2 * KL_MAX_RANK], attr[2] = {axis, batch};
    kl_lazy *s[2] = {a, index};
    int rank = 0;
    if (!a || !index)
        return NULL;
    if (a->rank - 1 + index->rank - batch > KL_MAX_RANK) {
        kl_fail(KL_ERR_SHAPE, "more than %d dimensions", KL_MAX_RANK);
        return NULL;
    }
    for (int i = 0; i < axis; i++)
        shape[rank++] = kl_lazy_shape(a)[i];
    for (int i = batch; i < index->rank; i++)
        shape[rank++] = kl_lazy_shape(index)[i];
    for (int i = axis + 1; i < a->rank; i++)
        shape[rank++] = kl_lazy_shape(a)[i];
    return make(KL_OP_gather, (kl_dtype)a->dtype, rank, shape, 2, s, 2, attr);
}

kl_lazy *kl_n_scatter(int combine, kl_lazy *a, kl_lazy *index, kl_lazy *v, int axis,
                      int batch)
{
    int64_t attr[3] = {combine, axis, batch};
    kl_lazy *s[3] = {a, index, v};
    if (!a || !index || !v)
        return NULL;
    return make(KL_OP_scatter, (kl_dtype)a->dtype, a->rank, kl_lazy_shape(a), 3, s, 3,
                attr);
}

static kl_lazy *pick(kl_lazy *a, int k, kl_dtype dt, int rank, const int64_t *shape)
{
    int64_t attr = k;
    return a ? make(KL_OP_pick, dt, rank, shape, 1, &a, 1, &attr) : NULL;
}

kl_lazy *kl_n_sort(kl_lazy *a, int axis, bool descending, kl_lazy **index)
{
    return a ? kl_n_sort_first(a, axis, descending, kl_lazy_shape(a)[axis], index) : NULL;
}

/* The first of them alone: where they are few they are chosen, not sorted. */
kl_lazy *kl_n_sort_first(kl_lazy *a, int axis, bool descending, int64_t first,
                         kl_lazy **index)
{
    int64_t attr[3] = {axis, descending, first}, shape[KL_MAX_RANK];
    if (!a)
        return NULL;
    memcpy(shape, kl_lazy_shape(a), a->rank * sizeof *shape);
    int nattr = first >= shape[axis] ? 2 : 3;
    shape[axis] = KL_MIN(first, shape[axis]);
    kl_lazy *s = make(KL_OP_sort, (kl_dtype)a->dtype, a->rank, shape, 1, &a, nattr, attr);
    if (index)
        *index = pick(s, 1, KL_I64, a->rank, shape);
    return pick(s, 0, (kl_dtype)a->dtype, a->rank, shape);
}

/* ---- gradients and calls ---- */

kl_lazy *kl_n_grad(kl_lazy *y, kl_lazy *seed, kl_lazy *const *x, int n, kl_lazy **out)
{
    if (!y || !seed || n <= 0)
        return NULL;
    kl_lazy **src = kl_alloc((size_t)(n + 2) * sizeof *src);
    if (!src || n > UINT16_MAX - 2) {
        kl_fail(KL_ERR_OOM, "gradients by %d tensors", n);
        return NULL;
    }
    src[0] = y;
    src[1] = seed;
    memcpy(src + 2, x, (size_t)n * sizeof *x);
    kl_lazy *g = make(KL_OP_grad, (kl_dtype)x[0]->dtype, x[0]->rank, kl_lazy_shape(x[0]),
                      n + 2, src, 0, NULL);
    kl_free(src, (size_t)(n + 2) * sizeof *src);
    for (int i = 0; i < n; i++)
        out[i] = pick(g, i, (kl_dtype)x[i]->dtype, x[i]->rank, kl_lazy_shape(x[i]));
    return g;
}
