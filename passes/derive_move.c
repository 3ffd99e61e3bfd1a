/* derive_move.c: transposes of the linear rows: what moves values moves cotangents back.
 *
 *   y = expand a   ->  a' = reduce.add u          y = slice a   ->  a' = pad u with zeros
 *   y = window a   ->  a' = fold u                y = contract  ->  two contractions with
 * u
 *
 * Complex cotangents follow PyTorch: the derivative by a real z = a + bi is d/da + i
 * d/db, so a product hands on the conjugate of the other factor. */
#include "passes/derive.h"

/* ---- shorthands ---- */

bool kl_derivable(kl_dtype dt)
{
    return kl_is_float(dt) || kl_is_complex(dt);
}

kl_ref kl_zeros(kl_graph *g, const kl_type *t)
{
    return kl_g_expand(g, kl_g_const(g, t->dtype, 0.0), t->rank, t->shape);
}

kl_ref kl_node_of(kl_graph *g, kl_op op, const kl_type *want, const kl_ref *src,
                  uint32_t nsrc, const int64_t *attr, uint32_t nattr)
{
    kl_spec s = {.op = op, .src = src, .nsrc = nsrc, .attr = attr, .nattr = nattr};
    if (want)
        s.want = *want;
    return kl_graph_node(g, &s);
}

kl_ref kl_sum_over(kl_graph *g, kl_ref a, uint64_t axes)
{
    kl_dtype dt = a == KL_NONE ? KL_F32 : (kl_dtype)g->nodes[a].dtype;
    bool narrow = dt == KL_F16 || dt == KL_BF16;
    if (!axes)
        return a;
    kl_ref s =
        kl_g_reduce(g, KL_OP_add, narrow ? kl_g_cast(g, a, KL_F32) : a, axes, false);
    return narrow ? kl_g_cast(g, s, dt) : s;
}

kl_ref kl_like(kl_graph *g, kl_ref a, kl_ref like)
{
    return kl_g_reshape(g, a, g->nodes[like].rank, kl_graph_shape(g, like));
}

static kl_ref source(const kl_ad *d, kl_ref r, uint32_t i)
{
    return kl_graph_src(d->g, r, i);
}

/* ---- complex numbers and casts ---- */

void kl_vjp_complex(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ad_give(d, source(d, r, 0), kl_g_elt(d->g, KL_OP_real, u, KL_NONE, KL_NONE));
    kl_ad_give(d, source(d, r, 1), kl_g_elt(d->g, KL_OP_imag, u, KL_NONE, KL_NONE));
}

void kl_vjp_real(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ref zero = kl_g_const_like(d->g, u, 0.0);
    kl_ad_give(d, source(d, r, 0), kl_g_elt(d->g, KL_OP_complex, u, zero, KL_NONE));
}

void kl_vjp_imag(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ref zero = kl_g_const_like(d->g, u, 0.0);
    kl_ad_give(d, source(d, r, 0), kl_g_elt(d->g, KL_OP_complex, zero, u, KL_NONE));
}

void kl_vjp_cast(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ref s = source(d, r, 0);
    kl_ad_give(d, s, kl_g_cast(d->g, u, (kl_dtype)d->g->nodes[s].dtype));
}

/* ---- movement ---- */

void kl_vjp_reshape(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ad_give(d, source(d, r, 0), kl_like(d->g, u, source(d, r, 0)));
}

void kl_vjp_permute(kl_ad *d, kl_ref r, kl_ref u)
{
    int back[KL_MAX_RANK];
    for (int i = 0; i < d->g->nodes[r].rank; i++)
        back[kl_graph_attr(d->g, r)[i]] = i;
    kl_ad_give(d, source(d, r, 0), kl_g_permute(d->g, u, back));
}

void kl_vjp_expand(kl_ad *d, kl_ref r, kl_ref u)
{
    const kl_graph *g = d->g;
    kl_ref s = source(d, r, 0);
    int lead = g->nodes[r].rank - g->nodes[s].rank;
    uint64_t axes = (UINT64_C(1) << lead) - 1;
    for (int i = 0; i < g->nodes[s].rank; i++)
        if (kl_graph_shape(g, s)[i] != kl_graph_shape(g, r)[lead + i])
            axes |= UINT64_C(1) << (lead + i);
    kl_ad_give(d, s, kl_like(d->g, kl_sum_over(d->g, u, axes), s));
}

static uint64_t all_axes(const kl_graph *g, kl_ref r)
{
    return (UINT64_C(1) << g->nodes[r].rank) - 1;
}

/* What of u the padding got: u where a mask of falses, padded with trues, is true. */
static kl_ref padding_of(kl_graph *g, kl_ref r, kl_ref u)
{
    const kl_ref a = kl_graph_src(g, r, 0);
    kl_type t;
    kl_graph_type(g, a, &t);
    t.dtype = KL_BOOL;
    kl_ref src[] = {kl_zeros(g, &t), kl_g_const_int(g, KL_BOOL, 1)};
    kl_ref mask =
        kl_node_of(g, KL_OP_pad, NULL, src, 2, kl_graph_attr(g, r), g->nodes[r].nattr);
    return kl_g_elt(g, KL_OP_where, mask, u, kl_g_const_like(g, u, 0.0));
}

void kl_vjp_pad(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_ref s = source(d, r, 0);
    int n = g->nodes[r].rank;
    kl_dim step[KL_MAX_RANK], start[KL_MAX_RANK];
    const int64_t *attr = kl_graph_attr(g, r);
    for (int i = 0; i < n; i++) {
        start[i] = attr[i];
        step[i] = kl_dim_add(g->dims, attr[2 * n + i], 1);
    }
    if (kl_ad_wants(d, s))
        kl_ad_give(d, s, kl_g_slice(g, u, start, kl_graph_shape(g, s), step));
    if (kl_ad_wants(d, source(d, r, 1)))
        kl_ad_give(d, source(d, r, 1),
                   kl_sum_over(g, padding_of(g, r, u), all_axes(g, r)));
}

void kl_vjp_slice(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_dims *k = g->dims;
    kl_ref s = source(d, r, 0);
    int n = g->nodes[r].rank;
    kl_dim lo[KL_MAX_RANK], hi[KL_MAX_RANK], inner[KL_MAX_RANK];
    const int64_t *attr = kl_graph_attr(g, r);
    for (int i = 0; i < n; i++) {
        kl_dim extent = kl_graph_shape(g, r)[i];
        lo[i] = attr[i];
        inner[i] = kl_dim_sub(k, attr[n + i], 1);
        kl_dim gaps = kl_dim_mul(k, kl_dim_max(k, kl_dim_sub(k, extent, 1), 0), inner[i]);
        kl_dim used = kl_dim_add(k, lo[i], kl_dim_add(k, extent, inner[i] ? gaps : 0));
        hi[i] = kl_dim_sub(k, kl_graph_shape(g, s)[i], used);
    }
    kl_ref zero = kl_g_const(g, (kl_dtype)g->nodes[r].dtype, 0.0);
    kl_ad_give(d, s, kl_g_pad(g, u, zero, lo, hi, inner));
}

void kl_vjp_flip(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ad_give(d, source(d, r, 0),
               kl_g_flip(d->g, u, (uint64_t)kl_graph_attr(d->g, r)[0]));
}

void kl_vjp_concat(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    int axis = (int)kl_graph_attr(g, r)[0];
    kl_dim start[KL_MAX_RANK] = {0};
    for (uint32_t i = 0; i < g->nodes[r].nsrc; i++) {
        kl_ref s = source(d, r, i);
        if (kl_ad_wants(d, s))
            kl_ad_give(d, s, kl_g_slice(g, u, start, kl_graph_shape(g, s), NULL));
        start[axis] = kl_dim_add(g->dims, start[axis], kl_graph_shape(g, s)[axis]);
    }
}

void kl_vjp_fold(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ad_give(d, source(d, r, 0),
               kl_node_of(d->g, KL_OP_window, NULL, &u, 1, kl_graph_attr(d->g, r),
                          d->g->nodes[r].nattr));
}

/* ---- affine maps ---- */

/* No two indices of the map meet: constant, and each stride steps over all smaller ones.
 */
static bool injective(const kl_graph *g, kl_ref r, const int64_t *attr)
{
    int64_t reach = 0, stride, extent;
    bool done[KL_MAX_RANK] = {false};
    int n = g->nodes[r].rank;
    for (int k = 0; k < n; k++) {
        int least = -1;
        int64_t size = INT64_MAX;
        for (int i = 0; i < n; i++) {
            if (!kl_dim_is_const(g->dims, attr[1 + i], &stride) ||
                !kl_dim_is_const(g->dims, kl_graph_shape(g, r)[i], &extent))
                return false;
            stride = stride < 0 ? -stride : stride;
            if (!done[i] && stride < size) {
                size = stride;
                least = i;
            }
        }
        if (least < 0)
            return true;
        done[least] = true;
        kl_dim_is_const(g->dims, kl_graph_shape(g, r)[least], &extent);
        if (extent > 1 && size <= reach)
            return false;
        reach += extent > 1 ? (extent - 1) * size : 0;
    }
    return true;
}

/* The map's flat index of each element of r, as one i64 list. */
static kl_ref flat_index(kl_graph *g, kl_ref r, const int64_t *attr)
{
    int n = g->nodes[r].rank;
    kl_dim shape[KL_MAX_RANK], count = kl_graph_numel(g, r);
    memcpy(shape, kl_graph_shape(g, r), (size_t)n * sizeof *shape);
    int64_t v, offset;
    if (!kl_dim_is_const(g->dims, attr[0], &offset))
        return kl_fail(KL_ERR_UNSUPPORTED, "strided: a symbolic map has no derivative"),
               KL_NONE;
    kl_ref at = kl_g_expand(g, kl_g_const_int(g, KL_I64, offset), n, shape);
    for (int i = 0; i < n; i++) {
        if (!kl_dim_is_const(g->dims, attr[1 + i], &v))
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "strided: a symbolic map has no derivative"),
                   KL_NONE;
        kl_ref along = kl_g_iota(g, KL_I64, n, shape, i);
        kl_ref by = kl_g_expand(g, kl_g_const_int(g, KL_I64, v), n, shape);
        at = kl_g_elt(g, KL_OP_add, at, kl_g_elt(g, KL_OP_mul, along, by, KL_NONE),
                      KL_NONE);
    }
    return kl_g_reshape(g, at, 1, &count);
}

void kl_vjp_strided(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_ref s = source(d, r, 0), zero = kl_g_const_like(g, s, 0.0);
    const int64_t *attr = kl_graph_attr(g, r);
    if (injective(g, r, attr)) {
        kl_ref src[] = {zero, u};
        kl_ad_give(d, s,
                   kl_node_of(g, KL_OP_update, NULL, src, 2, attr, g->nodes[r].nattr));
        return;
    }
    kl_dim size = kl_graph_numel(g, s), count = kl_graph_numel(g, r);
    int64_t how[] = {KL_OP_add, 0, 0};
    kl_ref src[] = {kl_g_reshape(g, zero, 1, &size), flat_index(g, r, attr),
                    kl_g_reshape(g, u, 1, &count)};
    kl_ref y = kl_node_of(g, KL_OP_scatter, NULL, src, 3, how, 3);
    kl_ad_give(d, s, y == KL_NONE ? y : kl_like(g, y, s));
}

void kl_vjp_update(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_ref a = source(d, r, 0), b = source(d, r, 1);
    kl_type t;
    kl_graph_type(g, b, &t);
    if (kl_ad_wants(d, a)) {
        kl_ref src[] = {u, kl_zeros(g, &t)};
        kl_ad_give(d, a,
                   kl_node_of(g, KL_OP_update, NULL, src, 2, kl_graph_attr(g, r),
                              g->nodes[r].nattr));
    }
    if (kl_ad_wants(d, b))
        kl_ad_give(d, b,
                   kl_node_of(g, KL_OP_strided, &t, &u, 1, kl_graph_attr(g, r),
                              g->nodes[r].nattr));
}

/* ---- contraction ---- */

static kl_ref conjugate(kl_graph *g, kl_ref a)
{
    if (!kl_is_complex((kl_dtype)g->nodes[a].dtype))
        return a;
    kl_ref re = kl_g_elt(g, KL_OP_real, a, KL_NONE, KL_NONE);
    kl_ref im = kl_g_elt(g, KL_OP_imag, a, KL_NONE, KL_NONE);
    return kl_g_elt(g, KL_OP_complex, re, kl_g_elt(g, KL_OP_neg, im, KL_NONE, KL_NONE),
                    KL_NONE);
}

/* The derivative by operand i: u contracted with the other one. A u that was only widened
 * from the operands' dtype is taken as it was; else the other operand is widened to u's.
 */
static kl_ref factor(kl_graph *g, kl_ref r, kl_ref u, int i)
{
    const int64_t *attr = kl_graph_attr(g, r);
    int64_t n[3] = {attr[0], attr[1], attr[2]}, to[3 + 3 * KL_MAX_RANK];
    const int64_t *label[3] = {attr + 3, attr + 3 + n[0], attr + 3 + n[0] + n[1]};
    const int order[] = {2, 1 - i, i};
    kl_dtype dt = (kl_dtype)g->nodes[kl_graph_src(g, r, 0)].dtype,
             acc = (kl_dtype)g->nodes[r].dtype;
    kl_ref other = conjugate(g, kl_graph_src(g, r, (uint32_t)(1 - i)));
    uint32_t at = 3;
    for (int k = 0; k < 3; k++) {
        to[k] = n[order[k]];
        for (int64_t j = 0; j < n[order[k]]; j++)
            to[at++] = label[order[k]][j];
    }
    if (dt != acc && g->nodes[u].op == KL_OP_cast &&
        g->nodes[kl_graph_src(g, u, 0)].dtype == (uint8_t)dt)
        u = kl_graph_src(g, u, 0);
    else
        other = kl_g_cast(g, other, acc);
    kl_ref src[] = {u, other};
    return kl_g_cast(
        g, kl_node_of(g, KL_OP_contract, &(kl_type){.dtype = acc}, src, 2, to, at), dt);
}

void kl_vjp_contract(kl_ad *d, kl_ref r, kl_ref u)
{
    for (int i = 0; i < 2; i++)
        if (kl_ad_wants(d, source(d, r, (uint32_t)i)))
            kl_ad_give(d, source(d, r, (uint32_t)i), factor(d->g, r, u, i));
}

/* ---- the table ---- */

#define KL_T(name) [KL_OP_##name] = kl_vjp_##name,
#define KL_DERIV(name) [KL_OP_##name] = kl_vjp_##name,
static const kl_rule_fn rules[KL_OP_COUNT] = {
#include "ir/ops.def"
};

kl_rule_fn kl_derive_rule(kl_op op)
{
    return rules[op];
}
