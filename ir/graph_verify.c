/* graph_verify.c: what every graph satisfies, checked again from nothing. kl_graph_node
 * cannot build anything else, so a failure here is a pass that wrote into the arrays and
 * got it wrong.
 *
 *   sources before users; the type is what inference says; commutative operands ordered;
 *   inputs numbered in order; outputs single values; donations of equal types;
 *   bodies share the symbols, and are graphs that verify. */
#include "ir/ir.h"

static kl_status bad(const kl_graph *g, kl_ref r, const char *what)
{
    const char *op = g->nodes[r].op < KL_OP_COUNT ? kl_ops[g->nodes[r].op].name : "?";
    return kl_fail(KL_ERR_INTERNAL, "graph %s: %%%u (%s) %s", g->name, r, op, what);
}

static kl_status check_arrays(const kl_graph *g, kl_ref r)
{
    const kl_node *n = &g->nodes[r];
    if (n->op >= KL_OP_COUNT || n->dtype >= KL_DTYPE_COUNT || n->rank > KL_MAX_RANK)
        return bad(g, r, "is no node at all");
    if ((uint64_t)n->src + n->nsrc > g->nsrcs ||
        (uint64_t)n->attr + n->nattr > g->nattrs ||
        (uint64_t)n->shape + n->rank > g->nextents)
        return bad(g, r, "points outside the graph's arrays");
    if ((n->name != KL_NONE && n->name >= g->nstrings) ||
        (n->place != KL_NONE && n->place >= g->nstrings))
        return bad(g, r, "has a name or place that is no string");
    for (uint32_t i = 0; i < n->nsrc; i++)
        if (kl_graph_src(g, r, i) >= r)
            return bad(g, r, "has a source that comes after it");
    return KL_OK;
}

/* Making the node again finds the node itself. */
static kl_status check_node(kl_graph *g, kl_ref r)
{
    const kl_node *n = &g->nodes[r];
    kl_spec s = {.op = (kl_op)n->op,
                 .src = g->srcs + n->src,
                 .nsrc = n->nsrc,
                 .attr = g->attrs + n->attr,
                 .nattr = n->nattr};
    kl_type t;
    kl_graph_type(g, r, &s.want);
    KL_TRY(kl_graph_infer(g, &s, &t));
    if (t.dtype != s.want.dtype || t.rank != s.want.rank ||
        memcmp(t.shape, s.want.shape, (size_t)t.rank * sizeof *t.shape))
        return bad(g, r, "has another type than inference gives it");
    if (n->op == KL_OP_input) {
        int64_t i = s.attr[0];
        return i >= 0 && i < g->ninputs && g->inputs[i] == r
                   ? KL_OK
                   : bad(g, r, "is not its input");
    }
    if (!kl_graph_effects(g, r) && kl_graph_find(g, &s, &t) != r)
        return bad(g, r, "is not canonical, or there twice");
    return KL_OK;
}

static kl_status check_ports(const kl_graph *g)
{
    kl_type a, b;
    for (uint32_t i = 0; i < g->ninputs; i++)
        if (g->inputs[i] >= g->count || g->nodes[g->inputs[i]].op != KL_OP_input)
            return kl_fail(KL_ERR_INTERNAL, "graph %s: input %u is none", g->name, i);
    for (uint32_t i = 0; i < g->noutputs; i++) {
        kl_ref r = g->outputs[i];
        if (r >= g->count || kl_ops[g->nodes[r].op].flags & KL_F_MULTI)
            return kl_fail(KL_ERR_INTERNAL, "graph %s: output %u is no value", g->name,
                           i);
        int32_t d = g->donated ? g->donated[i] : 0;
        if (d == 0)
            continue;
        if (d < 0 || (uint32_t)d > g->ninputs)
            return bad(g, r, "donates an input that is not there");
        kl_graph_type(g, r, &a);
        kl_graph_type(g, g->inputs[d - 1], &b);
        if (a.dtype != b.dtype || a.rank != b.rank ||
            memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape))
            return bad(g, r, "donates an input of another type");
    }
    return KL_OK;
}

static kl_status verify_one(const kl_graph *g)
{
    for (kl_ref r = 0; r < g->count; r++) {
        KL_TRY(check_arrays(g, r));
        if (check_node((kl_graph *)g, r) != KL_OK) {
            kl_fail_more(" (graph %s, %%%u)", g->name, r);
            return KL_ERR_INTERNAL;
        }
    }
    for (uint32_t i = 0; i < g->nbodies; i++)
        if (g->bodies[i]->dims != g->dims)
            return kl_fail(KL_ERR_INTERNAL, "graph %s: body @%s has symbols of its own",
                           g->name, g->bodies[i]->name);
    return check_ports(g);
}

kl_status kl_graph_verify(const kl_graph *g)
{
    uint32_t n;
    kl_graph *const *all = kl_graph_all(g, &n);
    if (!all)
        return kl_fail(KL_ERR_OOM, "out of memory: bodies");
    for (uint32_t i = 0; i < n; i++)
        KL_TRY(verify_one(all[i]));
    return KL_OK;
}
