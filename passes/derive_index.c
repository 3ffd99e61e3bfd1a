/* derive_index.c: cotangents through indices. A gather's go back by scatter.add, a
 * scatter's by gather; of several values at one place the last set one alone counts,
 * extremes share evenly, and a product hands each factor the product of the others.
 *
 *   y = gather a, b   ->  a' = scatter.add 0, b, u */
#include "passes/derive.h"

typedef struct scatter { /* a node y = scatter a, b, c, and what its rules need */
    kl_graph *g;
    kl_ref r, a, b, c, u;
    int64_t combine, axis, batch;
} scatter;

void kl_vjp_gather(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    int64_t how[] = {KL_OP_add, attr[0], attr[1]};
    kl_ref a = kl_graph_src(g, r, 0),
           src[] = {kl_g_const_like(g, a, 0.0), kl_graph_src(g, r, 1), u};
    kl_ad_give(d, a, kl_node_of(g, KL_OP_scatter, NULL, src, 3, how, 3));
}

/* What stands at the indices in a. */
static kl_ref at_indices(const scatter *s, kl_ref a)
{
    int64_t attr[] = {s->axis, s->batch};
    kl_ref src[] = {a, s->b};
    return kl_node_of(s->g, KL_OP_gather, NULL, src, 2, attr, 2);
}

static kl_ref into(const scatter *s, int64_t combine, kl_ref a, kl_ref c)
{
    int64_t attr[] = {combine, s->axis, s->batch};
    kl_ref src[] = {a, s->b, c};
    return kl_node_of(s->g, KL_OP_scatter, NULL, src, 3, attr, 3);
}

static kl_ref number(const scatter *s, kl_ref flag)
{
    return kl_g_cast(s->g, flag, (kl_dtype)s->g->nodes[s->a].dtype);
}

/* bool of c's shape: this value was the last one set at its place. Indices alone decide,
 * so the question is put to a table of the indexed axis: who wrote you last? */
static kl_ref was_last(const scatter *s)
{
    kl_graph *g = s->g;
    kl_dim table[KL_MAX_RANK], wide[KL_MAX_RANK], own = 1;
    int nb = (int)s->batch, rb = g->nodes[s->b].rank, rc = g->nodes[s->c].rank,
        pre = (int)s->axis - nb;
    memcpy(table, kl_graph_shape(g, s->b), (size_t)nb * sizeof *table);
    table[nb] = kl_graph_shape(g, s->a)[s->axis];
    for (int i = nb; i < rb; i++)
        own = kl_dim_mul(g->dims, own, kl_graph_shape(g, s->b)[i]);
    for (int i = 0; i < rc; i++)
        wide[i] = i < nb                          ? table[i]
                  : i >= nb + pre && i < pre + rb ? kl_graph_shape(g, s->c)[i]
                                                  : 1;
    kl_type t = {.dtype = KL_I64, .rank = nb + 1};
    kl_dim flat[KL_MAX_RANK];
    memcpy(t.shape, table, ((size_t)nb + 1) * sizeof *table);
    memcpy(flat, table, (size_t)nb * sizeof *flat);
    flat[nb] = own;
    kl_ref who = kl_g_iota(g, KL_I64, nb + 1, flat, nb);
    int64_t set[] = {KL_SET, nb, nb}, get[] = {nb, nb};
    kl_ref src[] = {kl_zeros(g, &t), s->b,
                    kl_g_reshape(g, who, rb, kl_graph_shape(g, s->b))};
    kl_ref by[] = {kl_node_of(g, KL_OP_scatter, NULL, src, 3, set, 3), s->b};
    kl_ref last = kl_node_of(g, KL_OP_gather, NULL, by, 2, get, 2);
    kl_ref won = kl_g_elt(g, KL_OP_eq, last, src[2], KL_NONE);
    return kl_g_expand(g, kl_g_reshape(g, won, rc, wide), rc, kl_graph_shape(g, s->c));
}

static void scatter_set(kl_ad *d, const scatter *s)
{
    kl_graph *g = s->g;
    kl_ref none = kl_g_const_like(g, s->c, 0.0);
    if (kl_ad_wants(d, s->a))
        kl_ad_give(d, s->a, into(s, KL_SET, s->u, none));
    if (kl_ad_wants(d, s->c)) {
        kl_ref there = at_indices(s, s->u);
        kl_ad_give(d, s->c, kl_g_elt(g, KL_OP_where, was_last(s), there, none));
    }
}

/* c's factor: the product at its place without it; division only by what is not zero. */
static kl_ref without_it(const scatter *s)
{
    kl_graph *g = s->g;
    kl_ref zero = kl_g_const_like(g, s->c, 0.0), one = kl_g_const_like(g, s->c, 1.0);
    kl_ref is0 = kl_g_elt(g, KL_OP_eq, s->c, zero, KL_NONE);
    kl_ref safe = kl_g_elt(g, KL_OP_where, is0, one, s->c);
    kl_ref rest = at_indices(s, into(s, KL_OP_mul, s->a, safe));
    kl_ref ones = number(s, is0), nothing = kl_g_const_like(g, s->a, 0.0);
    kl_ref zeros = at_indices(s, into(s, KL_OP_add, nothing, ones));
    kl_ref alone =
        kl_g_elt(g, KL_OP_where, kl_g_elt(g, KL_OP_eq, zeros, one, KL_NONE), rest, zero);
    kl_ref none = kl_g_elt(g, KL_OP_eq, zeros, zero, KL_NONE);
    kl_ref over = kl_g_elt(g, KL_OP_div, rest, safe, KL_NONE);
    return kl_g_elt(g, KL_OP_where, is0, alone,
                    kl_g_elt(g, KL_OP_where, none, over, zero));
}

static void scatter_mul(kl_ad *d, const scatter *s)
{
    kl_graph *g = s->g;
    if (kl_ad_wants(d, s->a)) {
        kl_ref factor = into(s, KL_OP_mul, kl_g_const_like(g, s->a, 1.0), s->c);
        kl_ad_give(d, s->a, kl_g_elt(g, KL_OP_mul, s->u, factor, KL_NONE));
    }
    if (kl_ad_wants(d, s->c)) {
        kl_ref factor = without_it(s), there = at_indices(s, s->u);
        kl_ad_give(d, s->c, kl_g_elt(g, KL_OP_mul, there, factor, KL_NONE));
    }
}

static void scatter_extreme(kl_ad *d, const scatter *s)
{
    kl_graph *g = s->g;
    kl_ref ina = number(s, kl_g_elt(g, KL_OP_eq, s->a, s->r, KL_NONE));
    kl_ref inc = number(s, kl_g_elt(g, KL_OP_eq, s->c, at_indices(s, s->r), KL_NONE));
    kl_ref share = kl_g_elt(g, KL_OP_div, s->u, into(s, KL_OP_add, ina, inc), KL_NONE);
    kl_ad_give(d, s->a, kl_g_elt(g, KL_OP_mul, share, ina, KL_NONE));
    kl_ad_give(d, s->c, kl_g_elt(g, KL_OP_mul, at_indices(s, share), inc, KL_NONE));
}

void kl_vjp_scatter(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    scatter s = {g,
                 r,
                 kl_graph_src(g, r, 0),
                 kl_graph_src(g, r, 1),
                 kl_graph_src(g, r, 2),
                 u,
                 attr[0],
                 attr[1],
                 attr[2]};
    if (s.combine == KL_OP_add) {
        kl_ad_give(d, s.a, u);
        if (kl_ad_wants(d, s.c))
            kl_ad_give(d, s.c, at_indices(&s, u));
    } else if (s.combine == KL_SET)
        scatter_set(d, &s);
    else if (s.combine == KL_OP_mul && kl_is_float((kl_dtype)g->nodes[r].dtype))
        scatter_mul(d, &s);
    else if (kl_is_float((kl_dtype)g->nodes[r].dtype))
        scatter_extreme(d, &s);
    else {
        d->failed = true;
        kl_fail(KL_ERR_UNSUPPORTED, "scatter.%s has no derivative on %s",
                kl_ops[s.combine].name, kl_dtypes[g->nodes[r].dtype].name);
    }
}
