/* index.c: indexing by tensors, over the gather and scatter rows. Several indices become
 * one into the flattened dimensions:
 *
 *   t[i, j], t: f32[4,5]  ->  gather(reshape t [20], i * 5 + j)
 *
 * where each of i, j is wrapped and, if out of range, made an index that is out of range
 * for certain, so that the row's check finds it (index_check.c says which it was). A mask
 * of the first dimensions is one index into these; one number put there, a choice. */
#include "front.h"

static const char *lazy_text(kl_lazy *l, char s[200])
{
    return kl_ints_text(kl_ints_of(l->rank, kl_lazy_shape(l)), s, 200);
}

static bool is_index(kl_lazy *i)
{
    if (!i)
        return false;
    if (kl_is_int((kl_dtype)i->dtype))
        return true;
    kl_fail(KL_ERR_DTYPE,
            "tensors used as indices must be long, int, or byte tensors, not %s",
            kl_dtypes[i->dtype].scalar);
    return false;
}

kl_lazy *kl_n_at_least_1(kl_lazy *a)
{
    int64_t one = 1;
    return a && a->rank == 0 ? kl_n_reshape(a, 1, &one) : a;
}

/* ---- several indices ---- */

typedef struct many {
    kl_lazy *t,
        *index;   /* the indexed dimensions first and flattened; one index into them */
    int n, first; /* how many are indexed; where the result's index dimensions go */
    int perm[KL_MAX_RANK]; /* of t: indexed dimensions first */
    bool together;
} many;

/* i in [0, extent) or, if outside, -1 - total: outside whatever is added. */
static kl_lazy *bounded(kl_lazy *i, int64_t extent, int64_t total, int dim)
{
    i = kl_n_index(i, extent, dim, KL_INDEXED);
    kl_lazy *bad =
        kl_n_bin(KL_OP_or, kl_n_binc(KL_OP_lt, i, 0),
                 i ? kl_n_bin(KL_OP_le, kl_n_const_int(KL_I64, extent), i) : NULL);
    return kl_n_where(bad, kl_n_const_int(KL_I64, -1 - total), i);
}

static kl_lazy *joined(kl_lazy **index, const int64_t *extent, const int *dim, int n)
{
    int64_t total = 1;
    kl_lazy *r = NULL;
    for (int k = 0; k < n; k++)
        total *= extent[k];
    for (int k = 0; k < n; k++) {
        kl_lazy *i = n == 1 ? kl_n_index(index[k], extent[k], dim[k], KL_INDEXED)
                            : bounded(index[k], extent[k], total, dim[k]);
        r = r ? kl_n_bin(KL_OP_add,
                         kl_n_bin(KL_OP_mul, r, kl_n_const_int(KL_I64, extent[k])), i)
              : i;
        if (!r)
            return NULL;
    }
    return r;
}

/* A mask, of truth or bytes, in place of an index is its nonzero's columns; computed at
 * once. */
static kl_status expand_masks(kl_tensor *const *index, int n, kl_lazy **out, int *count)
{
    *count = 0;
    if (!kl_arg_given(index, n, "the list of indices"))
        return KL_ERR_ARG;
    for (int i = 0; i < n; i++) {
        kl_lazy *v = index[i] ? kl_arg_tensor(index[i]) : NULL;
        if (index[i] && !v)
            return kl_error_status();
        if (!v || (v->dtype != KL_BOOL && v->dtype != KL_U8)) {
            if (v && !is_index(v))
                return KL_ERR_DTYPE;
            if (*count == KL_MAX_RANK)
                return kl_fail(KL_ERR_INDEX, "too many indices");
            out[(*count)++] = v;
            continue;
        }
        kl_lazy *at = kl_n_nonzero(v);
        if (!at || *count + v->rank > KL_MAX_RANK)
            return at ? kl_fail(KL_ERR_INDEX, "too many indices") : kl_error_status();
        int64_t rows = kl_lazy_shape(at)[0];
        for (int k = 0; k < v->rank; k++)
            out[(*count)++] = kl_n_reshape(kl_n_slice_axis(at, 1, k, 1, 1), 1, &rows);
    }
    return KL_OK;
}

/* The mask, if that is all that t is indexed by and it has t's first dimensions. */
static kl_lazy *only_mask(kl_lazy *t, kl_tensor *const *index, int n)
{
    if (!index || n < 1 || !index[0] || index[0]->dtype != KL_BOOL ||
        index[0]->rank == 0 || index[0]->rank > t->rank)
        return NULL;
    for (int i = 1; i < n; i++)
        if (index[i])
            return NULL;
    for (int i = 0; i < index[0]->rank; i++)
        if (kl_t_shape(index[0])[i] != kl_lazy_shape(t)[i])
            return NULL;
    return kl_arg_tensor(index[0]);
}

static kl_status prepare_mask(kl_lazy *t, kl_lazy *mask, many *m)
{
    int64_t shape[KL_MAX_RANK], all = kl_lazy_numel(mask);
    kl_lazy *at = kl_n_nonzero(kl_n_reshape(mask, 1, &all));
    *m = (many){.together = true, .n = mask->rank};
    for (int i = 0; i < t->rank; i++)
        m->perm[i] = i;
    shape[0] = all;
    memcpy(shape + 1, kl_lazy_shape(t) + m->n, (size_t)(t->rank - m->n) * sizeof *shape);
    m->index = at ? kl_n_reshape(at, 1, kl_lazy_shape(at)) : NULL;
    m->t = m->index ? kl_n_reshape(t, 1 + t->rank - m->n, shape) : NULL;
    return m->t ? KL_OK : kl_error_status();
}

static kl_status prepare(kl_lazy *t, kl_tensor *const *index, int n, many *m)
{
    kl_lazy *mask = only_mask(t, index, n);
    if (mask)
        return prepare_mask(t, mask, m);
    kl_lazy *given[KL_MAX_RANK], *used[KL_MAX_RANK];
    int64_t extent[KL_MAX_RANK], shape[KL_MAX_RANK];
    int count, last = -1, p = 0;
    KL_TRY(expand_masks(index, n, given, &count));
    *m = (many){.together = true};
    if (count > t->rank)
        return kl_fail(KL_ERR_INDEX, "too many indices for tensor of dimension %d",
                       t->rank);
    for (int i = 0; i < count; i++) {
        if (!given[i])
            continue;
        m->together &= last < 0 || last == i - 1;
        m->first = last < 0 ? i : m->first;
        extent[m->n] = kl_lazy_shape(t)[i];
        KL_TRY(kl_index_known(given[i], extent[m->n], i, KL_INDEXED));
        used[m->n++] = given[i];
        m->perm[p++] = last = i;
    }
    if (m->n == 0)
        return kl_fail(KL_ERR_ARG, "at least one index is needed");
    for (int i = 0; i < t->rank; i++)
        if (i >= count || !given[i])
            m->perm[p++] = i;
    KL_TRY(kl_broadcast("index", m->n, used));
    m->index = joined(used, extent, m->perm, m->n);
    kl_lazy *moved = kl_n_permute(t, m->perm);
    if (!moved || !m->index)
        return kl_error_status();
    shape[0] = kl_count(m->n, extent);
    memcpy(shape + 1, kl_lazy_shape(moved) + m->n,
           (size_t)(t->rank - m->n) * sizeof *shape);
    m->t = kl_n_reshape(moved, 1 + t->rank - m->n, shape);
    return m->t ? KL_OK : kl_error_status();
}

/* The index's dimensions stand first; where all indexed dimensions were neighbours they
 * belong in their place. */
static void result_order(const many *m, int rank, int *perm)
{
    int k = m->index->rank, at = m->together ? m->first : 0, p = 0;
    for (int i = 0; i < at; i++)
        perm[p++] = k + i;
    for (int i = 0; i < k; i++)
        perm[p++] = i;
    for (int i = k + at; i < rank; i++)
        perm[p++] = i;
}

kl_tensor *kl_index_at(const char *at, kl_tensor *t, kl_tensor *const *index, int n)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *r = NULL;
    int perm[KL_MAX_RANK];
    many m;
    if (a && prepare(a, index, n, &m) == KL_OK)
        r = kl_n_gather(m.t, m.index, 0, 0);
    if (r) {
        result_order(&m, r->rank, perm);
        r = kl_n_permute(r, perm);
    }
    return kl_call_end(&c, r);
}

/* v, broadcast to the shape that reading would give, index dimensions first. */
static kl_lazy *put_value(kl_lazy *v, const many *m)
{
    int64_t shape[KL_MAX_RANK], natural[KL_MAX_RANK];
    int perm[KL_MAX_RANK], inverse[KL_MAX_RANK], rank = m->index->rank + m->t->rank - 1;
    char a[200], b[200];
    if (rank > KL_MAX_RANK)
        return NULL;
    memcpy(shape, kl_lazy_shape(m->index), m->index->rank * sizeof *shape);
    memcpy(shape + m->index->rank, kl_lazy_shape(m->t) + 1,
           (size_t)(m->t->rank - 1) * sizeof *shape);
    result_order(m, rank, perm);
    for (int i = 0; i < rank; i++) {
        natural[i] = shape[perm[i]];
        inverse[perm[i]] = i;
    }
    for (int i = 0; v && i < v->rank; i++) {
        int64_t from = kl_lazy_shape(v)[i];
        if (v->rank > rank || (from != 1 && from != natural[rank - v->rank + i])) {
            kl_fail(KL_ERR_SHAPE,
                    "shape mismatch: value tensor of shape %s cannot be broadcast to "
                    "indexing result of shape %s",
                    kl_ints_text(kl_ints_of(v->rank, kl_lazy_shape(v)), a, sizeof a),
                    kl_ints_text(kl_ints_of((size_t)rank, natural), b, sizeof b));
            return NULL;
        }
    }
    return kl_n_permute(kl_n_expand(v, rank, natural), inverse);
}

/* Several values go to places of their own dtype alone. */
static bool same_dtype(const kl_lazy *a, kl_arg v)
{
    if (v.kind != KL_ARG_TENSOR || kl_numel(v.t) == 1 || v.t->dtype == a->dtype)
        return true;
    kl_fail(KL_ERR_DTYPE,
            "Index put requires the source and destination dtypes match, got %s for the "
            "destination and %s for the source.",
            kl_dtypes[a->dtype].scalar, kl_dtypes[v.t->dtype].scalar);
    return false;
}

/* One number where mask is true: nothing has to be counted. */
static kl_lazy *choose(kl_lazy *a, kl_lazy *mask, kl_lazy *number)
{
    int64_t shape[KL_MAX_RANK];
    for (int i = 0; i < a->rank; i++)
        shape[i] = i < mask->rank ? kl_lazy_shape(mask)[i] : 1;
    mask = kl_n_expand(kl_n_reshape(mask, a->rank, shape), a->rank, kl_lazy_shape(a));
    number = kl_n_expand(kl_n_reshape(number, 0, NULL), a->rank, kl_lazy_shape(a));
    return kl_n_where(mask, number, a);
}

static kl_lazy *scattered(kl_lazy *a, kl_tensor *const *index, int n, kl_lazy *v,
                          int combine)
{
    int inverse[KL_MAX_RANK];
    int64_t shape[KL_MAX_RANK];
    many m;
    if (prepare(a, index, n, &m) != KL_OK)
        return NULL;
    kl_lazy *value = put_value(v, &m);
    kl_lazy *r = value ? kl_n_scatter(combine, m.t, m.index, value, 0, 0) : NULL;
    for (int i = 0; r && i < a->rank; i++) {
        inverse[m.perm[i]] = i;
        shape[i] = kl_lazy_shape(a)[m.perm[i]];
    }
    return r ? kl_n_permute(kl_n_reshape(r, a->rank, shape), inverse) : NULL;
}

kl_tensor *kl_index_put_at(const char *at, kl_tensor *t, kl_tensor *const *index, int n,
                           kl_arg v, bool accumulate)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *r = NULL;
    kl_lazy *value = a ? kl_arg_read(v, (kl_dtype)a->dtype) : NULL;
    kl_lazy *mask = value && kl_lazy_numel(value) == 1 && value->rank <= 1 && !accumulate
                        ? only_mask(a, index, n)
                        : NULL;
    if (value)
        r = mask ? choose(a, mask, value)
                 : scattered(a, index, n, value,
                             accumulate ? (int)KL_OP_add : (int)KL_SET);
    r = r && same_dtype(a, v) ? r : NULL;
    kl_status st = r ? kl_tensor_write(t, r) : KL_ERR_ARG;
    kl_call_done(&c, st);
    return st == KL_OK ? t : NULL;
}

/* ---- along one dimension ---- */

kl_tensor *kl_index_select_at(const char *at, kl_tensor *t, int dim, kl_tensor *index)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *i = kl_arg_tensor(index);
    int axis;
    if (!a || !is_index(i) || kl_dim_wrap(dim, a->rank, &axis))
        return kl_call_end(&c, NULL);
    if (a->rank == 0 && kl_lazy_numel(i) == 1) { /* of a number: itself */
        int64_t one = 1;
        kl_lazy *at_ = kl_n_reshape(kl_n_wrap_index(i, 1), 1, &one);
        return kl_call_end(
            &c, kl_n_reshape(kl_n_gather(kl_n_reshape(a, 1, &one), at_, 0, 0), 0, NULL));
    }
    if (i->rank > 1 || a->rank == 0) {
        kl_fail(KL_ERR_INDEX, "index_select(): Index is supposed to be a vector");
        return kl_call_end(&c, NULL);
    }
    return kl_call_end(
        &c, kl_n_gather(a, kl_n_index(i, kl_lazy_shape(a)[axis], axis, KL_SELECTED), axis,
                        0));
}

kl_tensor *kl_index_add_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                           kl_tensor *src)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *raw = kl_arg_tensor(t), *a = kl_n_at_least_1(raw);
    kl_lazy *i = kl_n_at_least_1(kl_arg_tensor(index)),
            *v = kl_n_at_least_1(kl_arg_tensor(src));
    int axis;
    if (!a || !v || !is_index(i) || kl_dim_wrap(dim, a->rank, &axis))
        return kl_call_end(&c, NULL);
    bool ok = i->rank == 1 && v->rank == a->rank && a->rank > 0;
    for (int k = 0; ok && k < a->rank; k++)
        ok = kl_lazy_shape(v)[k] ==
             (k == axis ? kl_lazy_shape(i)[0] : kl_lazy_shape(a)[k]);
    if (!ok) {
        char s[2][200];
        if (v->rank == a->rank && i->rank == 1 && a->rank > 0 &&
            kl_lazy_shape(v)[axis] != kl_lazy_shape(i)[0])
            kl_fail(KL_ERR_SHAPE,
                    "index_add_(): Number of indices (%lld) should be equal to "
                    "source.size(dim): "
                    "(%lld), for dim: %d",
                    (long long)kl_lazy_shape(i)[0], (long long)kl_lazy_shape(v)[axis],
                    axis);
        else
            kl_fail(KL_ERR_SHAPE,
                    "source tensor shape must match self tensor shape, excluding the "
                    "specified "
                    "dimension. Got self.shape = %s source.shape = %s",
                    lazy_text(a, s[0]), lazy_text(v, s[1]));
        return kl_call_end(&c, NULL);
    }
    i = kl_n_index(i, kl_lazy_shape(a)[axis], axis, KL_SCATTERED);
    kl_lazy *r = kl_n_scatter(KL_OP_add, a, i, kl_n_cast(v, (kl_dtype)a->dtype), axis, 0);
    return kl_call_end(&c, r ? kl_n_reshape(r, raw->rank, kl_lazy_shape(raw)) : NULL);
}

/* a and index with every dimension but axis as a batch and axis last; a cut to index's
 * extents. */
static kl_status pair(const char *fn, kl_lazy *a, kl_lazy *i, int axis, kl_lazy **pa,
                      kl_lazy **pi)
{
    char s[2][200];
    int64_t extent[KL_MAX_RANK], start[KL_MAX_RANK] = {0};
    bool ok = a->rank == i->rank;
    for (int k = 0; ok && k < a->rank; k++) {
        ok = k == axis || kl_lazy_shape(i)[k] <= kl_lazy_shape(a)[k];
        extent[k] = k == axis ? kl_lazy_shape(a)[k] : kl_lazy_shape(i)[k];
    }
    if (!ok)
        return kl_fail(
            KL_ERR_SHAPE,
            "%s: Expected index %s to be no larger than self %s apart from dimension %d",
            fn, kl_ints_text(kl_ints_of(i->rank, kl_lazy_shape(i)), s[0], 200),
            kl_ints_text(kl_ints_of(a->rank, kl_lazy_shape(a)), s[1], 200), axis);
    *pa = kl_n_swap(kl_n_slice(a, start, extent, NULL), axis, a->rank - 1);
    *pi = kl_n_swap(kl_n_index(i, extent[axis], axis, KL_SCATTERED), axis, a->rank - 1);
    return *pa && *pi ? KL_OK : kl_error_status();
}

kl_tensor *kl_gather_at(const char *at, kl_tensor *t, int dim, kl_tensor *index)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_n_at_least_1(kl_arg_tensor(t)), *raw = kl_arg_tensor(index),
            *i = kl_n_at_least_1(raw);
    kl_lazy *pa, *pi;
    int axis;
    if (!a || !is_index(i) || kl_dim_wrap(dim, a->rank, &axis) ||
        pair("gather", a, i, axis, &pa, &pi))
        return kl_call_end(&c, NULL);
    kl_lazy *r =
        kl_n_swap(kl_n_gather(pa, pi, a->rank - 1, a->rank - 1), axis, a->rank - 1);
    return kl_call_end(&c, r ? kl_n_reshape(r, raw->rank, kl_lazy_shape(raw)) : NULL);
}

static int combining(const char *reduce)
{
    static const struct {
        const char *name;
        int op;
    } rows[] = {
        {"sum", KL_OP_add},      {"add", KL_OP_add},  {"prod", KL_OP_mul},
        {"multiply", KL_OP_mul}, {"amin", KL_OP_min}, {"amax", KL_OP_max},
    };
    for (size_t i = 0; reduce && i < KL_COUNT(rows); i++)
        if (strcmp(reduce, rows[i].name) == 0)
            return rows[i].op;
    if (reduce)
        kl_fail(KL_ERR_ARG,
                "reduce argument must be either sum, prod, amin or amax, got %s", reduce);
    return reduce ? -1 : (int)KL_SET;
}

/* Into the whole of a, where index is smaller than it: through its part and back. */
kl_lazy *kl_n_scatter_along(int op, kl_lazy *a, kl_lazy *i, kl_lazy *v, int axis)
{
    kl_lazy *pa, *pi, *pv = kl_n_swap(v, axis, a->rank - 1);
    int64_t stride[KL_MAX_RANK], n = 1;
    if (pair("scatter", a, i, axis, &pa, &pi))
        return NULL;
    kl_lazy *r = kl_n_swap(kl_n_scatter(op, pa, pi, pv, a->rank - 1, a->rank - 1), axis,
                           a->rank - 1);
    if (!r || kl_lazy_numel(r) == kl_lazy_numel(a))
        return r;
    for (int k = a->rank; k-- > 0; n *= kl_lazy_shape(a)[k])
        stride[k] = n;
    return kl_n_update(a, r, 0, stride);
}

kl_tensor *kl_scatter_at(const char *at, kl_tensor *t, int dim, kl_tensor *index,
                         kl_arg src, const char *reduce)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *i = kl_arg_tensor(index),
            *v = a ? kl_arg_read(src, (kl_dtype)a->dtype) : NULL;
    int axis, op = combining(reduce);
    int64_t zero[KL_MAX_RANK] = {0};
    if (!a || !v || !is_index(i) || op < 0 || kl_dim_wrap(dim, a->rank, &axis))
        return kl_call_end(&c, NULL);
    if (kl_lazy_numel(i) == 0) /* nothing is written, whatever the shapes */
        return kl_call_end(&c, kl_n_copy(a));
    bool ok = a->rank > 0 && i->rank == a->rank && (v->rank == 0 || v->rank == i->rank);
    for (int k = 0; ok && k < v->rank; k++)
        ok = kl_lazy_shape(v)[k] >= kl_lazy_shape(i)[k];
    if (!ok) {
        char s[3][200];
        kl_fail(
            KL_ERR_SHAPE,
            "scatter: index %s and src %s must have as many dimensions as the tensor %s, "
            "and src no smaller extents than index",
            lazy_text(i, s[0]), lazy_text(v, s[1]), lazy_text(a, s[2]));
        return kl_call_end(&c, NULL);
    }
    v = v->rank ? kl_n_slice(v, zero, kl_lazy_shape(i), NULL) : kl_n_expand_like(v, i);
    return kl_call_end(&c, kl_n_scatter_along(op, a, i, v, axis));
}

kl_tensor *kl_take_at(const char *at, kl_tensor *t, kl_tensor *index)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *i = kl_arg_tensor(index);
    int64_t n = a ? kl_lazy_numel(a) : 0;
    if (!a || !is_index(i))
        return kl_call_end(&c, NULL);
    return kl_call_end(
        &c, kl_n_gather(kl_n_reshape(a, 1, &n), kl_n_index(i, n, 0, KL_TAKEN), 0, 0));
}

/* ---- masks ---- */

static bool is_mask(const char *fn, kl_lazy *m)
{
    if (m && m->dtype == KL_BOOL)
        return true;
    if (m)
        kl_fail(KL_ERR_DTYPE, "%s: expected BoolTensor for mask, not %s", fn,
                kl_dtypes[m->dtype].scalar);
    return false;
}

kl_tensor *kl_masked_fill_at(const char *at, kl_tensor *t, kl_tensor *mask, kl_arg v)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t), *m = kl_arg_tensor(mask);
    kl_lazy *n[3] = {m, a ? kl_arg_read(v, (kl_dtype)a->dtype) : NULL, a};
    if (!a || !is_mask("masked_fill", m) || !n[1] || kl_broadcast("masked_fill", 3, n))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, kl_n_where(n[0], n[1], n[2]));
}

kl_tensor *kl_one_hot_at(const char *at, kl_tensor *index, int64_t n)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *i = kl_arg_tensor(index);
    if (i && (i->dtype != KL_I64 || n < 1)) {
        kl_fail(KL_ERR_DTYPE, "one_hot is only applicable to index tensor of type "
                              "LongTensor, and a positive "
                              "number of classes");
        i = NULL;
    }
    if (!i)
        return kl_call_end(&c, NULL);
    i = kl_n_gather(kl_n_iota(KL_I64, 1, &n, 0), i, 0,
                    0); /* a class out of range is an error */
    return kl_call_end(&c, kl_n_one_hot(i, n, KL_I64));
}

/* ---- extents that depend on data ---- */

/* The numbers of the bytes that are not zero. Each is written where the next one will be
 * unless it counts, so that no branch is guessed: at has room for one more. */
static void note_hits(const uint8_t *hit, int64_t n, int64_t *at)
{
    int64_t i = 0, k = 0;
    for (; i + 8 <= n; i += 8) {
        uint64_t eight;
        memcpy(&eight, hit + i, 8);
        for (int j = 0; j < 8 && eight; j++) {
            at[k] = i + j;
            k += hit[i + j] != 0;
        }
    }
    for (; i < n; i++) {
        at[k] = i;
        k += hit[i] != 0;
    }
}

/* They, which lie at the end of at, as places in shape: a run along the last dimension at
 * a time, none written before all below it are read. */
static void note_places(int64_t *at, int64_t count, int rank, const int64_t *shape)
{
    const int64_t *flat = at + (rank - 1) * count;
    int64_t last = shape[rank - 1];
    for (int64_t i = 0; i < count;) {
        int64_t first = i, row = flat[i] / last, begin = row * last;
        for (; i < count && flat[i] < begin + last; i++)
            at[i * rank + rank - 1] = flat[i] - begin;
        for (int d = rank - 1; d-- > 0; row /= shape[d])
            for (int64_t k = first; k < i; k++)
                at[k * rank + d] = row % shape[d];
    }
}

/* The flat numbers of what is not zero, row by row. */
kl_lazy *kl_n_nonzero(kl_lazy *a)
{
    const void *bytes;
    int64_t n = kl_lazy_numel(a), count = 0;
    kl_lazy *hit = a->dtype == KL_BOOL ? a : kl_n_binc(KL_OP_ne, a, 0);
    if (!hit || kl_value(hit, &bytes))
        return NULL;
    for (int64_t i = 0; i < n; i++)
        count += ((const uint8_t *)bytes)[i] != 0;
    int64_t shape[2] = {count, a->rank};
    kl_memory *m = kl_memory_new(0, (size_t)(count * a->rank + 1) * sizeof(int64_t));
    if (!m)
        return NULL;
    if (a->rank > 0)
        note_hits(bytes, n, (int64_t *)m->base + (a->rank - 1) * count);
    if (a->rank > 1)
        note_places(m->base, count, a->rank, kl_lazy_shape(a));
    kl_lazy *r = kl_lazy_input(m, KL_I64, 2, shape);
    kl_memory_unref(m);
    return a->device == KL_FREE ? r : kl_lazy_to(r, a->device);
}

kl_tensor *kl_nonzero_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t);
    return kl_call_end(&c, a ? kl_n_nonzero(a) : NULL);
}

kl_tensor *kl_masked_select_at(const char *at, kl_tensor *t, kl_tensor *mask)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *v[2] = {kl_arg_tensor(t), kl_arg_tensor(mask)};
    if (!v[0] || !is_mask("masked_select", v[1]) || kl_broadcast("masked_select", 2, v))
        return kl_call_end(&c, NULL);
    int64_t n = v[0] && v[1] ? kl_lazy_numel(v[0]) : 0;
    kl_lazy *flat = kl_n_reshape(v[1], 1, &n), *at_ = flat ? kl_n_nonzero(flat) : NULL;
    int64_t rows = at_ ? kl_lazy_shape(at_)[0] : 0;
    return kl_call_end(
        &c, kl_n_gather(kl_n_reshape(v[0], 1, &n), kl_n_reshape(at_, 1, &rows), 0, 0));
}
