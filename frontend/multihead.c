/* multihead.c: attention of several heads as torch.nn.MultiheadAttention defines it,
 * composed of kiln's own calls.
 *
 *   q k v  ->  projected, [L, N, E]  ->  [N heads, L, E / heads]
 *          ->  softmax(q k^T / sqrt(E / heads) + masks) v  ->  [L, N, E]  ->  projected
 */
#include "handles.h"

/* Rows i E .. of the joint projection. */
static kl_tensor *third(const char *at, kl_tensor *t, int i)
{
    int64_t e = t ? kl_extent(t, 0) / 3 : 0;
    return t ? kl_narrow_at(at, t, 0, i * e, e) : NULL;
}

static kl_tensor *projected(const char *at, kl_tensor *x, const kl_multihead *o, int i)
{
    kl_tensor *const own[3] = {o->w_q, o->w_k, o->w_v};
    kl_tensor *w = o->w_in ? third(at, o->w_in, i) : own[i];
    kl_tensor *b = o->b_in ? third(at, o->b_in, i) : NULL;
    return w ? kl_linear_at(at, x, w, b) : NULL;
}

/* [S, N, E] and one more row. */
static kl_tensor *with_row(const char *at, kl_tensor *x, kl_tensor *row)
{
    kl_ints shape = kl_shape_of(x);
    shape.v[0] = 1;
    kl_tensor *both[2] = {x, kl_expand_at(at, row, shape)};
    return both[1] ? kl_cat_at(at, both, 2, 0) : NULL;
}

/* [S, N, E] to [N heads, S, E / heads] */
static kl_tensor *by_head(const char *at, kl_tensor *x, int heads)
{
    kl_ints s = kl_shape_of(x);
    x = kl_reshape_at(at, x, kl_shape(s.v[0], s.v[1] * heads, s.v[2] / heads));
    return x ? kl_transpose_at(at, x, 0, 1) : NULL;
}

/* A mask as what is added to scores, with `more` columns that nothing is left out of. */
static kl_tensor *addend(const char *at, kl_tensor *m, kl_dtype dt, int more)
{
    if (m && kl_dtype_of(m) == KL_BOOL)
        m = kl_to_at(at, kl_where_at(at, m, kl_arg_d(-INFINITY), kl_arg_d(0)), dt);
    return m && more ? kl_pad_at(at, m, kl_shape(0, more), kl_arg_d(0)) : m;
}

/* Both masks together, [N heads or 1, L or 1, S], or NULL with *failed false: none. */
static kl_tensor *masks(const char *at, const kl_multihead *o, int64_t n, kl_dtype dt,
                        int more, bool *failed)
{
    kl_tensor *m = addend(at, o->mask, dt, more), *k = addend(at, o->key_mask, dt, more);
    *failed = (o->mask && !m) || (o->key_mask && !k);
    if (!k || *failed)
        return m;
    int64_t s = kl_extent(k, -1);
    k = kl_expand_at(at, kl_reshape_at(at, k, kl_shape(n, 1, 1, s)),
                     kl_shape(n, o->heads, 1, s));
    k = k ? kl_reshape_at(at, k, kl_shape(n * o->heads, 1, s)) : NULL;
    k = k && m ? kl_add_at(at, T(k), T(m)) : k;
    *failed = !k;
    return k;
}

static kl_status check(kl_tensor *q, kl_tensor *k, kl_tensor *v, const kl_multihead *o)
{
    if (!q || !k || !v)
        return kl_failed() ? kl_error_status()
                           : kl_fail(KL_ERR_ARG, "multihead_attention: NULL");
    if (kl_rank(q) != 3 || kl_rank(k) != 3 || kl_rank(v) != 3 || o->heads < 1 ||
        kl_extent(q, 2) % o->heads != 0)
        return kl_fail(KL_ERR_SHAPE,
                       "multihead_attention: query, key and value need 3 dimensions, the "
                       "last one divisible by %d heads",
                       o->heads);
    return KL_OK;
}

/* Scores of one head each [N heads, L, S], softmax taken. */
static kl_tensor *attention(const char *at, kl_tensor *q, kl_tensor *k, kl_tensor *mask)
{
    double root = sqrt((double)KL_MAX(kl_extent(q, 2), 1));
    q = kl_mul_at(at, T(q), kl_arg_d(1 / root));
    k = kl_transpose_at(at, k, 1, 2);
    kl_tensor *s = q && k ? kl_matmul_at(at, q, k) : NULL;
    s = s && mask ? kl_add_at(at, T(s), T(mask)) : s;
    return s ? kl_softmax_at(at, s, -1) : NULL;
}

static kl_tensor *shown(const char *at, kl_tensor *s, int64_t n, const kl_multihead *o)
{
    s = kl_reshape_at(at, s, kl_shape(n, o->heads, kl_extent(s, 1), kl_extent(s, 2)));
    return s && o->average ? kl_mean_at(at, s, kl_axes(1), false) : s;
}

kl_tensor *kl_multihead_attention_at(const char *at, kl_tensor *q, kl_tensor *k,
                                     kl_tensor *v, kl_multihead o, kl_tensor **weights)
{
    kl_call c = kl_compose(at);
    if (weights)
        *weights = NULL;
    if (check(q, k, v, &o))
        return kl_composed(&c, NULL, NULL);
    kl_ints shape = kl_shape_of(q);
    int more = (o.bias_k != NULL) + o.zero_attn;
    bool failed;
    q = projected(at, q, &o, 0), k = projected(at, k, &o, 1), v = projected(at, v, &o, 2);
    if (k && v && o.bias_k)
        k = with_row(at, k, o.bias_k), v = with_row(at, v, o.bias_v);
    if (k && v && o.zero_attn) {
        kl_tensor *zero = kl_full_at(at, kl_shape(1, 1, 1), kl_arg_d(0), kl_dtype_of(k));
        k = zero ? with_row(at, k, zero) : NULL, v = zero ? with_row(at, v, zero) : NULL;
    }
    if (!q || !k || !v)
        return kl_composed(&c, NULL, NULL);
    kl_tensor *mask = masks(at, &o, shape.v[1], kl_dtype_of(q), more, &failed);
    q = by_head(at, q, o.heads), k = by_head(at, k, o.heads), v = by_head(at, v, o.heads);
    kl_tensor *s = q && k && v && !failed ? attention(at, q, k, mask) : NULL;
    s = s ? kl_dropout_at(at, s, o.dropout, o.training) : NULL;
    kl_tensor *y = s ? kl_transpose_at(at, kl_matmul_at(at, s, v), 0, 1) : NULL;
    y = y ? kl_reshape_at(at, y, shape) : NULL;
    y = y && o.w_out ? kl_linear_at(at, y, o.w_out, o.b_out) : y;
    if (y && weights)
        *weights = kl_keep(shown(at, s, shape.v[1], &o));
    return kl_composed(&c, NULL, y);
}
