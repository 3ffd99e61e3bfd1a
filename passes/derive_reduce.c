/* derive_reduce.c: cotangents of reductions and prefixes. Sums spread or run backwards.
 * Ties of min and max share evenly, as PyTorch's amax and amin; a running maximum hands
 * everything to the last place where it was reached, as cummax. A product uses the
 * products of the others, never a division, so zeros are exact in every order of
 * derivative:
 *
 *   y = a0 a1 a2    others = (1, a0, a0 a1) * (a1 a2, a2, 1)      left and right prefixes
 */
#include "passes/derive.h"

static kl_ref source(const kl_ad *d, kl_ref r, uint32_t i)
{
    return kl_graph_src(d->g, r, i);
}

static kl_ref prefix(kl_graph *g, kl_op combine, kl_ref a, int axis)
{
    int64_t attr[] = {combine, axis};
    return kl_node_of(g, KL_OP_prefix, NULL, &a, 1, attr, 2);
}

/* a moved one place along the axis, `first` coming in: up, or down when back. */
static kl_ref shifted(kl_graph *g, kl_ref a, int axis, double first, bool back)
{
    kl_dim lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, start[KL_MAX_RANK] = {0};
    kl_dim shape[KL_MAX_RANK];
    if (a == KL_NONE)
        return a;
    memcpy(shape, kl_graph_shape(g, a), g->nodes[a].rank * sizeof *shape);
    *(back ? &hi[axis] : &lo[axis]) = 1;
    start[axis] = back;
    kl_ref fill = kl_g_const(g, (kl_dtype)g->nodes[a].dtype, first);
    return kl_g_slice(g, kl_g_pad(g, a, fill, lo, hi, NULL), start, shape, NULL);
}

/* ---- rows: an axis last, all others as one ---- */

typedef struct rows {
    int perm[KL_MAX_RANK], back[KL_MAX_RANK], rank;
    kl_dim moved[KL_MAX_RANK]; /* the shape once permuted */
    kl_dim shape[2];
} rows;

static rows rows_by(kl_graph *g, kl_ref a, uint64_t last)
{
    rows w = {.rank = g->nodes[a].rank, .shape = {1, 1}};
    int at = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int i = 0; i < w.rank; i++)
            if ((int)(last >> i & 1) == pass) {
                w.moved[at] = kl_graph_shape(g, a)[i];
                w.shape[pass] = kl_dim_mul(g->dims, w.shape[pass], w.moved[at]);
                w.back[i] = at;
                w.perm[at++] = i;
            }
    return w;
}

static kl_ref to_rows(kl_graph *g, const rows *w, kl_ref a)
{
    return kl_g_reshape(g, kl_g_permute(g, a, w->perm), 2, w->shape);
}

static kl_ref from_rows(kl_graph *g, const rows *w, kl_ref a)
{
    kl_ref m = kl_g_reshape(g, a, w->rank, w->moved);
    return kl_g_permute(g, m, w->back);
}

/* ---- reductions ---- */

/* u, of reduced shape, over the shape of the operand. */
static kl_ref spread(kl_graph *g, kl_ref u, kl_ref like, uint64_t axes)
{
    kl_dim keep[KL_MAX_RANK];
    int n = g->nodes[like].rank;
    for (int i = 0; i < n; i++)
        keep[i] = axes >> i & 1 ? 1 : kl_graph_shape(g, like)[i];
    u = kl_g_reshape(g, u, n, keep);
    return kl_g_expand(g, u, n, kl_graph_shape(g, like));
}

static kl_ref product_of_others(kl_graph *g, kl_ref a, uint64_t axes)
{
    rows w = rows_by(g, a, axes);
    kl_ref x = to_rows(g, &w, a), f = kl_g_flip(g, x, 2);
    kl_ref left = shifted(g, prefix(g, KL_OP_mul, x, 1), 1, 1.0, false);
    kl_ref right = kl_g_flip(g, shifted(g, prefix(g, KL_OP_mul, f, 1), 1, 1.0, false), 2);
    kl_ref y = kl_g_elt(g, KL_OP_mul, left, right, KL_NONE);
    return y == KL_NONE ? y : from_rows(g, &w, y);
}

static kl_ref shared_evenly(kl_graph *g, kl_ref a, kl_ref y, kl_ref u, uint64_t axes)
{
    kl_ref mask = kl_g_elt(g, KL_OP_eq, a, spread(g, y, a, axes), KL_NONE);
    mask = kl_g_cast(g, mask, (kl_dtype)g->nodes[a].dtype);
    kl_ref count = spread(g, kl_sum_over(g, mask, axes), a, axes);
    kl_ref all = kl_g_elt(g, KL_OP_mul, spread(g, u, a, axes), mask, KL_NONE);
    return kl_g_elt(g, KL_OP_div, all, count, KL_NONE);
}

static void unsupported(kl_ad *d, kl_ref r, const char *row)
{
    d->failed = true;
    kl_fail(KL_ERR_UNSUPPORTED, "%s.%s has no derivative on %s", row,
            kl_ops[kl_graph_attr(d->g, r)[0]].name, kl_dtypes[d->g->nodes[r].dtype].name);
}

void kl_vjp_reduce(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_ref a = source(d, r, 0);
    uint64_t axes = (uint64_t)kl_graph_attr(g, r)[1];
    int64_t combine = kl_graph_attr(g, r)[0];
    bool real = kl_is_float((kl_dtype)g->nodes[a].dtype);
    if (combine == KL_OP_add)
        kl_ad_give(d, a, spread(g, u, a, axes));
    else if (combine == KL_OP_mul && real) {
        kl_ref others = product_of_others(g, a, axes), by = spread(g, u, a, axes);
        kl_ad_give(d, a, kl_g_elt(g, KL_OP_mul, by, others, KL_NONE));
    } else if (real)
        kl_ad_give(d, a, shared_evenly(g, a, r, u, axes));
    else
        unsupported(d, r, "reduce");
}

/* ---- prefixes ---- */

/* s[i] = u[i] + a[i+1] * s[i+1] along axis 0, as a scan. */
static kl_ref recurrence(kl_graph *g, kl_ref u, kl_ref next)
{
    kl_graph *body = kl_graph_new(g->arena, g->dims, "recurrence");
    kl_type t;
    kl_graph_type(g, u, &t);
    t.rank--;
    memmove(t.shape, t.shape + 1, (size_t)t.rank * sizeof *t.shape);
    kl_ref in[3], y;
    if (!body)
        return KL_NONE;
    for (int i = 0; i < 3; i++)
        in[i] = kl_graph_input(body, NULL, t.dtype, t.rank, t.shape);
    y = kl_g_elt(body, KL_OP_add, in[1], kl_g_elt(body, KL_OP_mul, in[2], in[0], KL_NONE),
                 KL_NONE);
    if (kl_graph_output(body, y, NULL) || kl_graph_output(body, y, NULL))
        return KL_NONE;
    int64_t attr[] = {1, kl_graph_body(g, body)};
    kl_ref src[] = {kl_zeros(g, &t), u, next};
    return kl_g_pick(g, kl_node_of(g, KL_OP_scan, NULL, src, 3, attr, 2), 1);
}

/* The cotangent of a[i] is (product before i) * s[i], s as above. */
static kl_ref running_product(kl_graph *g, kl_ref a, kl_ref u, int axis)
{
    int perm[KL_MAX_RANK], back[KL_MAX_RANK], n = g->nodes[a].rank;
    perm[0] = axis;
    for (int i = 1; i < n; i++)
        perm[i] = i <= axis ? i - 1 : i;
    for (int i = 0; i < n; i++)
        back[perm[i]] = i;
    kl_ref before = shifted(g, prefix(g, KL_OP_mul, a, axis), axis, 1.0, false);
    kl_ref next = shifted(g, a, axis, 1.0, true);
    kl_ref factors = kl_g_flip(g, kl_g_permute(g, next, perm), 1),
           terms = kl_g_flip(g, kl_g_permute(g, u, perm), 1),
           s = recurrence(g, terms, factors);
    if (s == KL_NONE)
        return s;
    return kl_g_elt(g, KL_OP_mul, before, kl_g_permute(g, kl_g_flip(g, s, 1), back),
                    KL_NONE);
}

/* Each u goes to the last place at or before it where the running value was reached. */
static kl_ref running_extreme(kl_graph *g, kl_ref a, kl_ref y, kl_ref u, int axis)
{
    rows w = rows_by(g, a, UINT64_C(1) << axis);
    kl_ref ar = to_rows(g, &w, a), yr = to_rows(g, &w, y), ur = to_rows(g, &w, u);
    kl_ref at = kl_g_iota(g, KL_I64, 2, w.shape, 1);
    kl_ref reached = kl_g_elt(g, KL_OP_eq, ar, yr, KL_NONE);
    kl_ref place = kl_g_elt(g, KL_OP_where, reached, at, kl_g_const_like(g, at, 0.0));
    int64_t how[] = {KL_OP_add, 1, 1};
    kl_ref src[] = {kl_g_const_like(g, ar, 0.0), prefix(g, KL_OP_max, place, 1), ur};
    kl_ref s = kl_node_of(g, KL_OP_scatter, NULL, src, 3, how, 3);
    return s == KL_NONE ? s : from_rows(g, &w, s);
}

void kl_vjp_prefix(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_ref a = source(d, r, 0);
    int64_t combine = kl_graph_attr(g, r)[0];
    int axis = (int)kl_graph_attr(g, r)[1];
    uint64_t mask = UINT64_C(1) << axis;
    bool real = kl_is_float((kl_dtype)g->nodes[a].dtype);
    if (combine == KL_OP_add)
        kl_ad_give(d, a,
                   kl_g_flip(g, prefix(g, KL_OP_add, kl_g_flip(g, u, mask), axis), mask));
    else if (combine == KL_OP_mul && real)
        kl_ad_give(d, a, running_product(g, a, u, axis));
    else if (real)
        kl_ad_give(d, a, running_extreme(g, a, r, u, axis));
    else
        unsupported(d, r, "prefix");
}

/* ---- sort: values and cotangents travel by the same permutation ---- */

void kl_vjp_sort(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    kl_ref a = source(d, r, 0);
    uint64_t axis = UINT64_C(1) << kl_graph_attr(g, r)[0];
    rows w = rows_by(g, a, axis), first = rows_by(g, r, axis);
    int64_t how[] = {KL_OP_add, 1, 1};
    u = d->results[r - d->lo][0];
    if (u == KL_ZERO)
        return;
    kl_ref src[] = {to_rows(g, &w, kl_g_const_like(g, a, 0.0)),
                    to_rows(g, &first, kl_g_pick(g, r, 1)), to_rows(g, &first, u)};
    kl_ref s = kl_node_of(g, KL_OP_scatter, NULL, src, 3, how, 3);
    kl_ad_give(d, a, s == KL_NONE ? s : from_rows(g, &w, s));
}
