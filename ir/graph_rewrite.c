/* graph_rewrite.c: graphs from graphs, each in one walk over the nodes in order, so
 * linear and without recursion: compacting in place, rebuilding through a visitor,
 * inlining.
 *
 *   %1 = neg %0                      %1 = exp %0        compact, when only %2 is live
 *   %2 = exp %0               ->     out %1
 *   out %2
 *
 * Refs keep their order, and with it commutative operands theirs. */
#include "ir/ir.h"

static kl_status no_memory(uint32_t nodes)
{
    return kl_fail(KL_ERR_OOM, "out of memory: %u nodes", nodes);
}

/* ---- compact ---- */

/* Sources come before their users, so one walk backwards finds all that is live. */
static bool *mark(const kl_graph *g, const bool *given)
{
    bool *live = kl_arena_zeroed(g->arena, g->count + 1, sizeof *live);
    if (!live)
        return NULL;
    for (uint32_t i = 0; i < g->noutputs; i++)
        live[g->outputs[i]] = true;
    for (uint32_t i = 0; i < g->ninputs; i++)
        live[g->inputs[i]] = true;
    for (kl_ref r = g->count; r-- > 0;) {
        live[r] = live[r] || (given && given[r]) || kl_graph_effects(g, r);
        for (uint32_t i = 0; live[r] && i < g->nodes[r].nsrc; i++)
            live[kl_graph_src(g, r, i)] = true;
    }
    return live;
}

/* Moves live nodes down and renumbers what points at them. */
static void squeeze(kl_graph *g, const bool *live, kl_ref *map)
{
    kl_ref to = 0;
    for (kl_ref r = 0; r < g->count; r++) {
        if (!live[r])
            continue;
        for (uint32_t i = 0; i < g->nodes[r].nsrc; i++)
            g->srcs[g->nodes[r].src + i] = map[g->srcs[g->nodes[r].src + i]];
        g->nodes[to] = g->nodes[r];
        map[r] = to++;
    }
    g->count = to;
    for (uint32_t i = 0; i < g->ninputs; i++)
        g->inputs[i] = map[g->inputs[i]];
    for (uint32_t i = 0; i < g->noutputs; i++)
        g->outputs[i] = map[g->outputs[i]];
}

kl_status kl_graph_compact(kl_graph *g, const bool *given)
{
    bool *live = mark(g, given);
    kl_ref *map = kl_arena_alloc(g->arena, (g->count + 1) * sizeof *map);
    if (!live || !map)
        return no_memory(g->count);
    squeeze(g, live, map);
    kl_graph_reindex(g);
    return KL_OK;
}

/* ---- all graphs of a program ---- */

typedef struct frame { /* a graph, and the node from which to look on for bodies */
    const kl_graph *g;
    kl_ref at;
    int word;
} frame;
typedef struct collect {
    kl_arena *arena;
    kl_graph **seen, **done; /* in order of meeting, of leaving */
    frame *stack;
    uint32_t nseen, cap_seen, ndone, cap_done, depth, cap_stack;
} collect;

static bool enter(collect *c, const kl_graph *g)
{
    for (uint32_t i = 0; i < c->nseen; i++)
        if (c->seen[i] == g)
            return true;
    if (kl_arena_grow(c->arena, &c->seen, &c->cap_seen, c->nseen + 1, sizeof *c->seen) ||
        kl_arena_grow(c->arena, &c->done, &c->cap_done, c->nseen + 1, sizeof *c->done) ||
        kl_arena_grow(c->arena, &c->stack, &c->cap_stack, c->depth + 1, sizeof *c->stack))
        return false;
    c->seen[c->nseen++] = (kl_graph *)g;
    c->stack[c->depth++] = (frame){g, 0, 0};
    return true;
}

/* The next body that the topmost graph's nodes name; NULL: no more. */
static const kl_graph *next_body(frame *f)
{
    uint32_t words[2];
    for (; f->g->nbodies && f->at < f->g->count; f->at++, f->word = 0) {
        kl_op op = (kl_op)f->g->nodes[f->at].op;
        int n = kl_graph_body_words(op, words);
        while (f->word < n) {
            int i = f->word++;
            int64_t b =
                kl_graph_attr(f->g, f->at)[words[i]] - (op == KL_OP_function && i);
            if (b >= 0 && b < f->g->nbodies)
                return f->g->bodies[b];
        }
    }
    return NULL;
}

kl_graph **kl_graph_all(const kl_graph *g, uint32_t *n)
{
    collect c = {.arena = g->arena};
    bool ok = enter(&c, g);
    while (ok && c.depth) {
        const kl_graph *body = next_body(&c.stack[c.depth - 1]);
        if (body)
            ok = enter(&c, body);
        else
            c.done[c.ndone++] = (kl_graph *)c.stack[--c.depth].g;
    }
    *n = c.ndone;
    return ok ? c.done : NULL;
}

/* ---- one node into another graph ---- */

/* String and body numbers mean the same in a rebuilt graph; in another one they're looked
 * up. */
static uint32_t string_in(kl_graph *to, const kl_graph *from, uint32_t s)
{
    if (s == KL_NONE || (s < to->nstrings && to->strings[s] == from->strings[s]))
        return s;
    return kl_graph_string(to, from->strings[s]);
}

static int64_t body_in(kl_graph *to, const kl_graph *from, int64_t b)
{
    if (b < to->nbodies && to->bodies[b] == from->bodies[b])
        return b;
    uint32_t y = kl_graph_body(to, from->bodies[b]);
    return y == KL_NONE ? -1 : (int64_t)y;
}

/* The node's attributes in terms of `to`; NULL when out of memory. */
static const int64_t *attrs_in(kl_graph *to, const kl_graph *from, const kl_node *n)
{
    uint32_t words[2];
    const int64_t *old = from->attrs + n->attr;
    int bodies = kl_graph_body_words((kl_op)n->op, words);
    if (!bodies && n->op != KL_OP_call)
        return old;
    int64_t *attr = kl_arena_alloc(to->arena, n->nattr * sizeof *attr);
    if (!attr)
        return NULL;
    memcpy(attr, old, n->nattr * sizeof *attr);
    if (n->op == KL_OP_call)
        attr[0] = string_in(to, from, (uint32_t)attr[0]);
    for (int i = 0; i < bodies; i++) {
        int64_t shift = n->op == KL_OP_function && i == 1;
        if (attr[words[i]] >= shift)
            attr[words[i]] = shift + body_in(to, from, attr[words[i]] - shift);
    }
    return attr;
}

/* What r was called and where it was written, unless y already says. */
static void follow(kl_graph *to, const kl_graph *from, kl_ref r, kl_ref y)
{
    const kl_node *n = &from->nodes[r];
    if (to->nodes[y].name == KL_NONE && n->name != KL_NONE)
        to->nodes[y].name = string_in(to, from, n->name);
    if (to->nodes[y].place == KL_NONE && n->place != KL_NONE)
        to->nodes[y].place = string_in(to, from, n->place);
}

kl_ref kl_graph_copy_node(kl_graph *to, const kl_graph *from, kl_ref r, const kl_ref *src)
{
    const kl_node *n = &from->nodes[r];
    if (n->op == KL_OP_input && from->attrs[n->attr] < to->ninputs)
        return to->inputs[from->attrs[n->attr]];
    kl_spec s = {.op = (kl_op)n->op,
                 .src = src,
                 .nsrc = n->nsrc,
                 .attr = attrs_in(to, from, n),
                 .nattr = n->nattr};
    if (!s.attr && n->nattr) {
        no_memory(1);
        return KL_NONE;
    }
    kl_graph_type(from, r, &s.want);
    kl_ref y = kl_graph_node(to, &s);
    if (y != KL_NONE)
        follow(to, from, r, y);
    return y;
}

/* ---- rebuild ---- */

typedef struct walk {
    kl_graph *to;
    const kl_graph *from;
    kl_ref *map;
    kl_ref *src, few[8]; /* the node's sources, mapped */
    uint32_t cap;
} walk;

static bool walk_new(walk *w, kl_graph *to, const kl_graph *from)
{
    *w = (walk){.to = to, .from = from};
    for (kl_ref r = 0; r < from->count; r++)
        w->cap = KL_MAX(w->cap, from->nodes[r].nsrc);
    w->src = w->cap <= KL_COUNT(w->few)
                 ? w->few
                 : kl_arena_alloc(to->arena, w->cap * sizeof *w->src);
    w->map = kl_arena_alloc(to->arena, (from->count + 1) * sizeof *w->map);
    return w->src && w->map;
}

static const kl_ref *mapped(walk *w, kl_ref r)
{
    for (uint32_t i = 0; i < w->from->nodes[r].nsrc; i++)
        w->src[i] = w->map[kl_graph_src(w->from, r, i)];
    return w->src;
}

static kl_status failed(void)
{
    return kl_error_status()
               ? kl_error_status()
               : kl_fail(KL_ERR_INTERNAL, "rewrite: a node has no replacement");
}

/* Strings, bodies and inputs under the same numbers. */
static kl_status begin(kl_graph *to, const kl_graph *from)
{
    to->simplify_off = from->simplify_off;
    to->weights = from->weights;
    for (uint32_t i = 0; i < from->nstrings; i++)
        if (kl_graph_string(to, from->strings[i]) != i)
            return no_memory(from->count);
    for (uint32_t i = 0; i < from->nbodies; i++)
        if (kl_graph_body(to, from->bodies[i]) != i)
            return no_memory(from->count);
    for (uint32_t i = 0; i < from->ninputs; i++)
        if (kl_graph_copy_node(to, from, from->inputs[i], NULL) == KL_NONE)
            return failed();
    return KL_OK;
}

/* What outputs may lie over, and what they count. */
static kl_status copy_marks(const kl_graph *from, kl_graph *to)
{
    if (from->donated && from->noutputs &&
        !(to->donated = kl_arena_zeroed(to->arena, to->cap_outputs, sizeof *to->donated)))
        return no_memory(from->count);
    if (from->counts && from->noutputs &&
        !(to->counts = kl_arena_zeroed(to->arena, to->cap_outputs, sizeof *to->counts)))
        return no_memory(from->count);
    for (uint32_t i = 0; i < from->noutputs; i++) {
        if (to->donated)
            to->donated[i] = from->donated[i];
        if (to->counts)
            to->counts[i] = from->counts[i];
    }
    return KL_OK;
}

static kl_status finish(const walk *w)
{
    const kl_graph *from = w->from;
    for (uint32_t i = 0; i < from->noutputs; i++)
        KL_TRY(kl_graph_output(w->to, w->map[from->outputs[i]],
                               from->output_names ? from->output_names[i] : NULL));
    return copy_marks(from, w->to);
}

/* Replaces r; all nodes made on the way stand at its place. */
static kl_status visit_node(walk *w, kl_visit_fn visit, void *ctx, kl_ref r)
{
    kl_graph *to = w->to;
    uint32_t before = to->count, place = w->from->nodes[r].place;
    kl_ref y = visit(ctx, to, w->from, r, mapped(w, r));
    if (y == KL_NONE || y >= to->count)
        return failed();
    if (place != KL_NONE)
        for (kl_ref i = before; i < to->count; i++)
            if (to->nodes[i].place == KL_NONE)
                to->nodes[i].place = place;
    bool several =
        kl_ops[w->from->nodes[r].op].flags & KL_F_MULTI; /* its picks have the names */
    if (to->nodes[y].op != KL_OP_input && !several)
        follow(to, w->from, r, y);
    w->map[r] = y;
    return KL_OK;
}

kl_status kl_graph_rewrite(kl_graph **g, kl_visit_fn visit, void *ctx)
{
    walk w;
    const kl_graph *from = *g;
    kl_graph *to = kl_graph_new(from->arena, from->dims, from->name);
    if (!to || !walk_new(&w, to, from))
        return no_memory(from->count);
    KL_TRY(begin(to, from));
    for (kl_ref r = 0; r < from->count; r++)
        KL_TRY(visit_node(&w, visit, ctx, r));
    KL_TRY(finish(&w));
    *g = to;
    return KL_OK;
}

/* ---- inline ---- */

kl_status kl_graph_inline(kl_graph *to, const kl_graph *body, const kl_ref *args,
                          kl_ref *out)
{
    walk w;
    if (!walk_new(&w, to, body))
        return no_memory(body->count);
    for (kl_ref r = 0; r < body->count; r++) {
        if (body->nodes[r].op == KL_OP_input)
            w.map[r] = args[kl_graph_attr(body, r)[0]];
        else
            w.map[r] = kl_graph_copy_node(to, body, r, mapped(&w, r));
        if (w.map[r] == KL_NONE)
            return failed();
    }
    for (uint32_t i = 0; i < body->noutputs; i++)
        out[i] = w.map[body->outputs[i]];
    return KL_OK;
}
