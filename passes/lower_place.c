/* lower_place.c: a choice among elements of one operand, the same for all lanes, chooses
 * where to load from.
 *
 *   where(t, load x[i+3] if p, load x[i+7] if q)      t knows no lane i
 *     ->  load x[i + where(t, 3, 7)] if where(t, p, q)
 *
 * Values put together of parts of one (a border that goes round, a shift) are such
 * choices, and choices of such: of 27 parts of a volume 3 loads a vector are left. */
#include "passes/passes.h"

enum { DEPTH = 8 };

typedef struct places {
    kl_exprs *x;
    uint32_t lane;
} places;

static kl_x guard_of(kl_exprs *x, kl_x load)
{
    const kl_xnode *n = &x->nodes[load];
    return n->nsrc > 1 && n->src[1] != KL_NONE ? n->src[1] : kl_x_bool(x, true);
}

typedef struct known {
    kl_x yes, no; /* what holds, and what does not */
} known;

/* A load within keeps its guard: both sides of a choice are computed. */
static kl_x assume(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const known *k = ctx;
    if (node == k->yes || node == k->no)
        return kl_x_bool(x, node == k->yes);
    bool keep = x->nodes[node].op == KL_X_LOAD || !x->nodes[node].nsrc;
    return keep ? node : kl_x_rebuild(x, node, src);
}

/* where(t, a, b) of guards: each is asked only where t has sent it. */
static kl_x guards(kl_exprs *x, kl_x t, kl_x a, kl_x b)
{
    kl_x not_t = kl_x_op(x, KL_OP_not, t, KL_NONE, KL_NONE);
    known in_a = {t, not_t}, in_b = {not_t, t};
    a = kl_x_map(x, a, assume, &in_a);
    b = kl_x_map(x, b, assume, &in_b);
    return kl_x_op(x, KL_OP_where, t, a, b);
}

/* where(t, a, b) of loads as one; KL_NONE: they are of two operands, or lanes apart. */
static kl_x one_load(const places *p, kl_x t, kl_x a, kl_x b)
{
    kl_exprs *x = p->x;
    const kl_xnode m = x->nodes[a], n = x->nodes[b];
    if (m.op != KL_X_LOAD || n.op != KL_X_LOAD || m.imm != n.imm || m.nsrc > 2 ||
        n.nsrc > 2)
        return KL_NONE;
    kl_x apart = kl_x_op(x, KL_OP_sub, m.src[0], n.src[0], KL_NONE),
         none = kl_x_int(x, 0);
    if (apart == KL_NONE || kl_x_uses_var(x, apart, p->lane))
        return KL_NONE;
    kl_x at = kl_x_add(x, n.src[0], kl_x_op(x, KL_OP_where, t, apart, none));
    kl_x of_a = guard_of(x, a), of_b = guard_of(x, b);
    return kl_x_load(x, (uint32_t)m.imm, m.dtype, at, guards(x, t, of_a, of_b), KL_NONE);
}

/* where(t, a, b) with t inside all choices that lanes make. */
static kl_x chosen(const places *p, kl_x t, kl_x a, kl_x b, int depth)
{
    const kl_xnode m = p->x->nodes[a], n = p->x->nodes[b];
    if (a == b)
        return a;
    if (m.op != KL_OP_where || n.op != KL_OP_where || m.src[0] != n.src[0] || !depth)
        return one_load(p, t, a, b);
    kl_x yes = chosen(p, t, m.src[1], n.src[1], depth - 1),
         no = yes == KL_NONE ? yes : chosen(p, t, m.src[2], n.src[2], depth - 1);
    return no == KL_NONE ? no : kl_x_op(p->x, KL_OP_where, m.src[0], yes, no);
}

static kl_x choose(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const places *p = ctx;
    const kl_xnode n = x->nodes[node];
    kl_x y = KL_NONE;
    if (n.op == KL_OP_where && n.dtype != KL_BOOL && !kl_x_uses_var(x, src[0], p->lane))
        y = chosen(p, src[0], src[1], src[2], DEPTH);
    return y != KL_NONE ? y : n.nsrc ? kl_x_rebuild(x, node, src) : node;
}

kl_x kl_lower_value(kl_lower *l, kl_x e)
{
    e = kl_lower_expr(l, e);
    places p = {l->x, l->lane_var};
    return l->by_place && e != KL_NONE ? kl_x_map(l->x, e, choose, &p) : e;
}
