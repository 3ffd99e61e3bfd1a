/* index_check.c: indices by tensors, checked: at once where their values are known, else
 * by the kernel that uses them. Such a kernel says little; when one has failed, the
 * indices below the values that were asked for are computed alone, and the first that is
 * out of range is told as PyTorch tells it, with its operation's place.
 *
 *   x[i], x f32[5], i lazy   ->  IndexError: index 7 is out of bounds for dimension 0
 * with size 5 (at net.py:12), when the value is read */
#include "front.h"

/* ---- indices whose values are known ---- */

enum { LOOKED_AT = 1 << 16 };

/* The elements, of dtype *dt, of an index that has its value on the host, but for a cast;
 * NULL: later, or elsewhere. */
static const char *known(kl_lazy *i, kl_dtype *dt)
{
    if (i->op == KL_OP_cast && i->nsrc > 0 && !kl_lazy_mem(i) &&
        kl_is_int((kl_dtype)kl_lazy_src(i, 0)->dtype))
        i = kl_lazy_src(i, 0);
    *dt = (kl_dtype)i->dtype;
    if (kl_thread()->tracing || i->param || kl_lazy_numel(i) > LOOKED_AT)
        return NULL;
    if (i->small)
        return kl_lazy_small_bytes(i);
    size_t at = 0;
    pthread_mutex_lock(&kl_graph_lock);
    kl_lazy *base = kl_lazy_base(i, &at);
    kl_memory *m = base ? kl_lazy_mem(base) : NULL;
    pthread_mutex_unlock(&kl_graph_lock);
    return m && m->device == 0 ? (const char *)m->base + at : NULL;
}

static int64_t element(const char *p, kl_dtype dt)
{
    int size = (int)kl_dtypes[dt].size;
    uint64_t v = 0;
    memcpy(&v, p, (size_t)size); /* hosts are little-endian */
    bool negative = kl_dtypes[dt].cls == KL_CLS_SINT && v >> (8 * size - 1) & 1;
    return (int64_t)(negative && size < 8 ? v | ~(uint64_t)0 << (8 * size) : v);
}

static kl_status refuse(int64_t v, int64_t extent, int dim, kl_index_use use)
{
    switch (use) {
    case KL_SELECTED:
        return kl_fail(KL_ERR_INDEX, "index out of range in self");
    case KL_TARGET:
        return kl_fail(KL_ERR_INDEX, "Target %lld is out of bounds.", (long long)v);
    case KL_WEIGHTS:
        return kl_fail(KL_ERR_ARG,
                       v == 1 ? "probability tensor contains either `inf`, `nan` "
                                "or element < 0"
                              : "invalid multinomial distribution (sum of "
                                "probabilities <= 0)");
    case KL_TAKEN:
        return kl_fail(KL_ERR_INDEX,
                       "out of range: tried to access index %lld on a tensor of %lld "
                       "elements.",
                       (long long)v, (long long)extent);
    default: /* of a gather or scatter: PyTorch's RuntimeError */
        return kl_fail(use == KL_INDEXED ? KL_ERR_INDEX : KL_ERR_ARG,
                       "index %lld is out of bounds for dimension %d with size %lld",
                       (long long)v, dim, (long long)extent);
    }
}

kl_status kl_index_known(kl_lazy *i, int64_t extent, int dim, kl_index_use use)
{
    kl_dtype dt;
    const char *p = known(i, &dt);
    int64_t n = p ? kl_lazy_numel(i) : 0;
    for (int64_t k = 0; k < n; k++) {
        int64_t v = element(p + (size_t)k * kl_dtypes[dt].size, dt);
        v = element((const char *)&v, (kl_dtype)i->dtype);
        if (v < -extent || v >= extent)
            return refuse(v, extent, dim, use);
    }
    return KL_OK;
}

/* ---- others: marked, and looked at when a kernel has failed ---- */

kl_lazy *kl_n_index(kl_lazy *i, int64_t extent, int dim, kl_index_use use)
{
    if (!i || kl_index_known(i, extent, dim, use))
        return NULL;
    kl_lazy *w = kl_n_wrap_index(i, extent);
    if (w && w->op == KL_OP_where)
        w->indexed = (uint8_t)(1 + dim + use * KL_MAX_RANK);
    return w;
}

kl_lazy *kl_n_rows(kl_lazy *a, kl_lazy *index, kl_index_use use)
{
    kl_lazy *r = kl_n_gather(a, index, 0, 0);
    if (r && r->op == KL_OP_gather)
        r->indexed = (uint8_t)(1 + use * KL_MAX_RANK);
    return r;
}

static int by_depth(const void *a, const void *b)
{
    const kl_lazy *x = *(kl_lazy *const *)a, *y = *(kl_lazy *const *)b;
    return x->depth < y->depth ? -1 : x->depth > y->depth;
}

/* The marked nodes below roots, without values, from the leaves on; held. */
static bool collect(kl_lazy *const *roots, int n, kl_list *found)
{
    kl_list stack = {0};
    bool ok = true;
    pthread_mutex_lock(&kl_graph_lock);
    uint32_t mark = kl_next_mark();
    for (int i = 0; i < n && ok; i++)
        ok = kl_list_add(&stack, roots[i]);
    while (stack.n > 0 && ok) {
        kl_lazy *at = stack.v[--stack.n];
        if (at->mark == mark || at->mem)
            continue;
        at->mark = mark;
        if (at->indexed)
            ok = kl_list_hold(found, at);
        for (int i = 0; i < at->nsrc && ok; i++)
            ok = kl_list_add(&stack, kl_lazy_src(at, i));
    }
    pthread_mutex_unlock(&kl_graph_lock);
    kl_free(stack.v, stack.cap * sizeof *stack.v);
    if (found->n)
        qsort(found->v, found->n, sizeof *found->v, by_depth);
    return ok;
}

/* The index that n uses, on the host, and its bounds. where(i < 0, i + extent, i): its
 * last operand; a gather's: the rows' numbers. */
static const int64_t *values(kl_lazy *n, int64_t *count, int64_t *low, int64_t *extent)
{
    const void *i = NULL, *past = NULL;
    bool rows = n->op == KL_OP_gather;
    if (n->nsrc != (rows ? 2 : 3))
        return NULL; /* computed by somebody in between */
    kl_lazy *index = kl_lazy_src(n, rows ? 1 : 2);
    *count = kl_lazy_numel(index);
    if (*count == 0 || index->dtype != KL_I64 || kl_value(index, &i) ||
        (!rows && kl_value(kl_lazy_src(n, 1), &past)))
        return NULL;
    *extent = rows ? kl_lazy_shape(kl_lazy_src(n, 0))[0]
                   : ((const int64_t *)past)[0] - ((const int64_t *)i)[0];
    *low = rows ? 0 : -*extent;
    return i;
}

/* Whether n's index is to blame, or could not be computed: the error says so. */
static bool told(kl_lazy *n)
{
    int64_t count = 0, low, extent;
    const int64_t *i = values(n, &count, &low, &extent);
    for (int64_t k = 0; i && k < count; k++)
        if (i[k] < low || i[k] >= extent) {
            kl_place_set(n->place);
            refuse(i[k], extent, (n->indexed - 1) % KL_MAX_RANK,
                   (kl_index_use)((n->indexed - 1) / KL_MAX_RANK));
            return true;
        }
    return kl_failed();
}

kl_status kl_index_explain(kl_lazy *const *roots, int n)
{
    kl_list found = {0};
    char before[512];
    const char *place = kl_place();
    snprintf(before, sizeof before, "%s", kl_error());
    kl_call c = kl_call_begin(place);
    bool known_now = false, ok = collect(roots, n, &found);
    kl_error_clear();
    for (uint32_t i = 0; i < found.n && ok && !known_now; i++)
        known_now = told(found.v[i]);
    if (!known_now) {
        kl_place_set(NULL);
        kl_fail(KL_ERR_INDEX, "%s", before);
    }
    kl_call_done(&c, KL_OK);
    for (uint32_t i = 0; i < found.n; i++)
        kl_lazy_unref(found.v[i]);
    kl_free(found.v, found.cap * sizeof *found.v);
    return kl_error_status();
}
