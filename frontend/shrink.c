/* shrink.c: the smallest part of a graph that still goes wrong, as a text that a person
 * reads.
 *
 *   %2 = exp %0                            graph g(%v3: f32[4]) {
 *   %3 = neg %2           fails at %4        %1: f32[4] = sqrt %v3
 *   %4 = sqrt %3             ->              out %1
 *   %5 = add %4, %0                        }
 *
 * First the earliest node that fails as the only output; then, from its operands upwards,
 * every node that may be an input instead becomes one. Each try is a graph of its own. */
#include "artefact.h"

typedef struct part {
    const kl_graph *from;
    kl_ref out;
    const bool *cut; /* nodes that are inputs here */
} part;

/* What `out` needs, stopping at cut nodes. */
static bool *mark(const part *p)
{
    const kl_graph *g = p->from;
    bool *live = kl_arena_zeroed(g->arena, g->count + 1, sizeof *live);
    if (!live)
        return NULL;
    live[p->out] = true;
    for (kl_ref r = p->out + 1; r-- > 0;)
        for (uint32_t i = 0; live[r] && !p->cut[r] && i < g->nodes[r].nsrc; i++)
            live[kl_graph_src(g, r, i)] = true;
    return live;
}

static kl_ref make_input(kl_graph *to, const kl_graph *from, kl_ref r)
{
    char name[32];
    const kl_node *n = kl_graph_at(from, r);
    snprintf(name, sizeof name, "v%u", r);
    return kl_graph_input(to, n->name != KL_NONE ? from->strings[n->name] : name,
                          (kl_dtype)n->dtype, n->rank, kl_graph_shape(from, r));
}

/* NULL: out of memory, or no graph of its own. */
static kl_graph *extract(const part *p)
{
    const kl_graph *g = p->from;
    kl_graph *to = kl_graph_new(g->arena, g->dims, g->name);
    kl_ref *map = kl_arena_alloc(g->arena, ((size_t)g->count + 1) * sizeof *map);
    bool *live = mark(p);
    if (!to || !map || !live)
        return NULL;
    for (kl_ref r = 0; r <= p->out; r++) /* inputs come first */
        if (live[r] && (p->cut[r] || g->nodes[r].op == KL_OP_input))
            map[r] = make_input(to, g, r);
    for (kl_ref r = 0; r <= p->out; r++) {
        if (!live[r] || p->cut[r] || g->nodes[r].op == KL_OP_input)
            continue;
        kl_ref *src =
            kl_arena_alloc(g->arena, ((size_t)g->nodes[r].nsrc + 1) * sizeof *src);
        for (uint32_t i = 0; src && i < g->nodes[r].nsrc; i++)
            src[i] = map[kl_graph_src(g, r, i)];
        map[r] = src ? kl_graph_copy_node(to, g, r, src) : KL_NONE;
        if (map[r] == KL_NONE)
            return NULL;
    }
    return kl_graph_output(to, map[p->out], NULL) == KL_OK ? to : NULL;
}

/* Whether a node can be an output, or an input: a value of its own, and no number of
 * results. */
static bool is_value(const kl_graph *g, kl_ref r)
{
    return !(kl_ops[g->nodes[r].op].flags & KL_F_MULTI);
}

static bool still_fails(const part *p, kl_fails_fn fails, void *user)
{
    kl_graph *g = extract(p);
    return g && fails(user, g);
}

kl_status kl_graph_shrink(kl_graph **at, kl_fails_fn fails, void *user)
{
    kl_graph *g = *at;
    bool *cut = kl_arena_zeroed(g->arena, g->count + 1, sizeof *cut);
    if (!cut)
        return kl_fail(KL_ERR_OOM, "out of memory: %u nodes", g->count);
    part p = {.from = g, .cut = cut};
    bool found = false;
    for (; p.out < g->count; p.out++)
        if (is_value(g, p.out) && (found = still_fails(&p, fails, user)))
            break;
    if (!found)
        return KL_OK;
    for (kl_ref r = p.out; r-- > 0;) {
        if (!is_value(g, r) || g->nodes[r].op == KL_OP_input ||
            g->nodes[r].op == KL_OP_const)
            continue;
        cut[r] = true;
        cut[r] = still_fails(&p, fails, user);
    }
    g = extract(&p);
    if (g)
        *at = g;
    return KL_OK;
}
