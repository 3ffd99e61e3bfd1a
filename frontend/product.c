/* product.c: products of matrices of kiln/linalg.h: matmul, einsum, attention, all one
 * primitive.
 *
 *   kl_einsum("bik,bjk->bij", a, b)  ->  contract a, b "bik,bjk->bij" */
#include "front.h"

/* The dtypes of a product's operands do not promote, as PyTorch's do not. */
static kl_status same_dtype(const char *fn, kl_lazy *a, kl_lazy *b)
{
    if (!a || !b)
        return KL_ERR_ARG;
    if (a->dtype == b->dtype)
        return KL_OK;
    return kl_fail(KL_ERR_DTYPE,
                   "%s: expected m1 and m2 to have the same dtype, but got: %s != %s; "
                   "cast one with kl_to",
                   fn, kl_dtypes[a->dtype].torch_name, kl_dtypes[b->dtype].torch_name);
}

static kl_tensor *product(kl_call *c, const char *fn, kl_lazy *x, kl_lazy *y,
                          kl_status fits)
{
    bool ok = fits == KL_OK && same_dtype(fn, x, y) == KL_OK;
    return kl_call_end(c, ok ? kl_n_matmul(x, y) : NULL);
}

kl_tensor *kl_matmul_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *x = kl_arg_tensor(a), *y = kl_arg_tensor(b);
    return product(&c, "matmul", x, y, KL_OK);
}

/* ---- the products whose operands have stated ranks ---- */

static bool ranks(kl_lazy *x, kl_lazy *y, int a, int b)
{
    return !x || !y || (x->rank == a && y->rank == b); /* else it has failed already */
}

kl_tensor *kl_mm_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *x = kl_arg_tensor(a), *y = kl_arg_tensor(b);
    kl_status fits = KL_OK;
    if (!ranks(x, y, 2, 2))
        fits = kl_fail(KL_ERR_SHAPE, "mm: %s must be a matrix, got %d-D tensor",
                       x->rank != 2 ? "self" : "mat2", x->rank != 2 ? x->rank : y->rank);
    return product(&c, "mm", x, y, fits);
}

kl_tensor *kl_bmm_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *x = kl_arg_tensor(a), *y = kl_arg_tensor(b);
    kl_status fits = KL_OK;
    if (!ranks(x, y, 3, 3))
        fits = kl_fail(KL_ERR_SHAPE, "batch%d must be a 3D tensor", x->rank != 3 ? 1 : 2);
    return product(&c, "bmm", x, y, fits);
}

kl_tensor *kl_mv_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *x = kl_arg_tensor(a), *y = kl_arg_tensor(b);
    kl_status fits = KL_OK;
    if (!ranks(x, y, 2, 1))
        fits = kl_fail(KL_ERR_SHAPE, "vector + matrix @ vector expected, got 1, %d, %d",
                       x->rank, y->rank);
    return product(&c, "mv", x, y, fits);
}

static kl_status two_vectors(kl_lazy *x, kl_lazy *y)
{
    if (!ranks(x, y, 1, 1))
        return kl_fail(KL_ERR_SHAPE, "1D tensors expected, but got %dD and %dD tensors",
                       x->rank, y->rank);
    long long n = x && y ? kl_lazy_shape(x)[0] : 0, m = x && y ? kl_lazy_shape(y)[0] : 0;
    if (n == m)
        return KL_OK;
    return kl_fail(
        KL_ERR_SHAPE,
        "inconsistent tensor size, expected tensor [%lld] and src [%lld] to have the "
        "same number of elements, but got %lld and %lld elements respectively",
        n, m, n, m);
}

kl_tensor *kl_dot_at(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *x = kl_arg_tensor(a), *y = kl_arg_tensor(b);
    return product(&c, "dot", x, y, two_vectors(x, y));
}

/* ---- einsum ---- */

static kl_status check_labels(const char *labels, kl_lazy *a, kl_lazy *b)
{
    const char *arrow = strstr(labels, "->"), *comma = strchr(labels, ',');
    int64_t extent[128] = {0};
    kl_lazy *x[2] = {a, b};
    int at = 0;
    if (!arrow || !!b != (comma && comma < arrow) || strlen(labels) > 60)
        return kl_fail(KL_ERR_ARG,
                       "einsum: \"%s\" does not name the operands and the result as "
                       "\"ij,jk->ik\"",
                       labels);
    for (int o = 0; o < (b ? 2 : 1); o++, at++) {
        uint64_t own[2] = {0};
        for (int i = 0; i < x[o]->rank; i++, at++) {
            unsigned char l = (unsigned char)labels[at];
            int64_t n = kl_lazy_shape(x[o])[i];
            if (l >= 128 || l == ',' || l == '-' || own[l / 64] >> (l % 64) & 1)
                return kl_fail(KL_ERR_ARG,
                               "einsum: \"%s\" does not fit operand %d of %d dimensions",
                               labels, o, x[o]->rank);
            if (extent[l] && extent[l] != n + 1)
                return kl_fail(KL_ERR_SHAPE, "einsum: label %c has extents %lld and %lld",
                               l, (long long)extent[l] - 1, (long long)n);
            own[l / 64] |= UINT64_C(1) << (l % 64);
            extent[l] = n + 1;
        }
        if (labels[at] != (o == 0 && b ? ',' : '-'))
            return kl_fail(KL_ERR_ARG,
                           "einsum: \"%s\" does not fit operand %d of %d dimensions",
                           labels, o, x[o]->rank);
    }
    for (const char *p = arrow + 2; *p; p++)
        if ((unsigned char)*p >= 128 || !extent[(unsigned char)*p] || strchr(p + 1, *p))
            return kl_fail(KL_ERR_ARG,
                           "einsum: the result of \"%s\" repeats or invents a label",
                           labels);
    return KL_OK;
}

/* One operand: sum what the result lacks, then order. */
static kl_lazy *rearrange(kl_lazy *a, const char *labels)
{
    const char *out = strstr(labels, "->") + 2;
    char left[KL_MAX_RANK + 1] = "";
    uint64_t axes = 0;
    int perm[KL_MAX_RANK], n = 0;
    for (int i = 0; i < a->rank; i++) {
        if (strchr(out, labels[i]))
            left[n++] = labels[i];
        else
            axes |= UINT64_C(1) << i;
    }
    for (int i = 0; out[i]; i++)
        perm[i] = (int)(strchr(left, out[i]) - left);
    return kl_n_permute(kl_n_reduce(KL_OP_add, a, axes, false), perm);
}

kl_tensor *kl_einsum_at(const char *at, const char *labels, kl_tensor *a, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *x = kl_arg_tensor(a), *y = b ? kl_arg_tensor(b) : NULL;
    if (!x || !kl_arg_given(labels, 1, "the text of labels") ||
        (b && same_dtype("einsum", x, y)) || check_labels(labels, x, y))
        return kl_call_end(&c, NULL);
    if (!b)
        return kl_call_end(&c, rearrange(x, labels));
    kl_dtype dt = (kl_dtype)x->dtype, acc = kl_n_widen(x) == x ? dt : KL_F32;
    return kl_call_end(&c, kl_n_cast(kl_n_contract(x, y, labels, acc), dt));
}

/* ---- attention ---- */

enum { ROWS = 128 /* queries worth kernels of their own */, MOST_PARTS = 8 };

/* first: the number of the first query, which sees keys up to its own; below 0: all see
 * all. */
static kl_lazy *masked_scores(kl_lazy *s, kl_lazy *mask, int64_t first)
{
    kl_lazy *low = s ? kl_n_const((kl_dtype)s->dtype, -INFINITY) : NULL;
    if (s && mask)
        s = mask->dtype == KL_BOOL
                ? kl_n_where(mask, s, low)
                : kl_n_bin(KL_OP_add, s, kl_n_cast(mask, (kl_dtype)s->dtype));
    if (s && first >= 0) {
        const int64_t *shape = kl_lazy_shape(s) + s->rank - 2;
        kl_lazy *row = kl_n_iota(KL_I64, 2, shape, 0);
        row = first ? kl_n_binc(KL_OP_add, row, (double)first) : row;
        kl_lazy *keep = kl_n_bin(KL_OP_le, kl_n_iota(KL_I64, 2, shape, 1), row);
        s = kl_n_where(keep, s, low);
    }
    return s;
}

/* softmax of scores, but zeros, not NaN, in a row where every score is masked. */
static kl_lazy *safe_softmax(kl_lazy *s)
{
    if (!s)
        return NULL;
    kl_lazy *low = kl_n_const((kl_dtype)s->dtype, -INFINITY),
            *zero = kl_n_const((kl_dtype)s->dtype, 0);
    kl_lazy *most = kl_n_reduce(KL_OP_max, s, UINT64_C(1) << (s->rank - 1), true);
    kl_lazy *none = kl_n_bin(KL_OP_eq, most, low);
    return kl_n_where(none, zero, kl_n_softmax(kl_n_where(none, zero, s), s->rank - 1));
}

/* softmax(q k^T scale + mask); safe: see above. */
static kl_lazy *weights(kl_lazy *q, kl_lazy *k, kl_lazy *mask, int64_t first,
                        double scale, bool safe)
{
    if (q->rank < 2 || k->rank < 2) {
        kl_fail(KL_ERR_SHAPE,
                "attention: query, key and value need at least 2 dimensions");
        return NULL;
    }
    double e = (double)kl_lazy_shape(q)[q->rank - 1];
    kl_lazy *s = kl_n_matmul(q, kl_n_swap(k, k->rank - 2, k->rank - 1));
    s = kl_n_binc(KL_OP_mul, s, scale != 0 ? scale : 1 / sqrt(e));
    s = masked_scores(s, mask, first);
    return safe ? safe_softmax(s) : kl_n_softmax(s, s ? s->rank - 1 : 0);
}

kl_tensor *kl_attention_weights_at(const char *at, kl_tensor *q, kl_tensor *k,
                                   kl_tensor *mask, bool causal, double scale)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *nq = kl_arg_tensor(q), *nk = kl_arg_tensor(k);
    kl_lazy *nm = mask ? kl_arg_tensor(mask) : NULL;
    bool bad = same_dtype("attention", nq, nk) != KL_OK;
    return kl_call_end(&c,
                       bad ? NULL : weights(nq, nk, nm, causal ? 0 : -1, scale, false));
}

/* Are there so many queries of as many keys that some at a time are worth it? */
static bool many_rows(kl_lazy *q, kl_lazy *k, kl_lazy *v)
{
    return q->rank >= 2 && k->rank >= 2 && v->rank >= 2 &&
           kl_lazy_shape(q)[q->rank - 2] >= 2 * ROWS &&
           kl_lazy_shape(q)[q->rank - 2] == kl_lazy_shape(k)[k->rank - 2] &&
           kl_lazy_shape(k)[k->rank - 2] == kl_lazy_shape(v)[v->rank - 2];
}

/* Queries that see no later keys: some at a time, by the keys that the last of them sees.
 */
static kl_lazy *by_rows(kl_lazy *q, kl_lazy *k, kl_lazy *v, double scale)
{
    int aq = q->rank - 2, ak = k->rank - 2, av = v->rank - 2, parts = 0;
    int64_t n = kl_lazy_shape(q)[aq],
            rows = KL_MAX(ROWS, (n + MOST_PARTS - 1) / MOST_PARTS);
    kl_lazy *part[MOST_PARTS];
    for (int64_t at = 0; at < n; at += rows) {
        int64_t end = KL_MIN(at + rows, n);
        kl_lazy *seen = kl_n_slice_axis(k, ak, 0, end, 1),
                *some = kl_n_slice_axis(q, aq, at, end - at, 1),
                *w = seen && some ? weights(some, seen, NULL, at, scale, false) : NULL;
        part[parts] = w ? kl_n_matmul(w, kl_n_slice_axis(v, av, 0, end, 1)) : NULL;
        if (!part[parts++])
            return NULL;
    }
    return kl_n_concat(part, parts, part[0]->rank - 2);
}

kl_tensor *kl_attention_at(const char *at, kl_tensor *q, kl_tensor *k, kl_tensor *v,
                           kl_tensor *mask, bool causal, double scale)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *nq = kl_arg_tensor(q), *nk = kl_arg_tensor(k), *nv = kl_arg_tensor(v);
    kl_lazy *nm = mask ? kl_arg_tensor(mask) : NULL;
    if (same_dtype("attention", nq, nk) || same_dtype("attention", nk, nv))
        return kl_call_end(&c, NULL);
    if (nv->rank < 2)
        kl_fail(KL_ERR_SHAPE,
                "attention: query, key and value need at least 2 dimensions");
    if (causal && !nm && many_rows(nq, nk, nv))
        return kl_call_end(&c, by_rows(nq, nk, nv, scale));
    kl_lazy *w =
        nv->rank < 2 ? NULL : weights(nq, nk, nm, causal ? 0 : -1, scale, nm != NULL);
    return kl_call_end(&c, w ? kl_n_matmul(w, nv) : NULL);
}
