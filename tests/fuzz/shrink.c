/* shrink.c: a failing program becomes a smaller one that still fails.
 *
 * Four kinds of change are tried in turn until none helps: one output instead of several,
 * a node replaced by a source of its type, a node cut off (its value becomes an input),
 * an extent made smaller wherever it occurs. Each gives a text; what the parser refuses
 * is no candidate. The number of trials is bounded, for each may cost a process. */
#include "fuzz.h"

enum { TRIALS = 1500 };

typedef struct change {
    enum { ONE_OUTPUT, DROP_OUTPUT, NO_DONATION, USE_SOURCE, CUT, EXTENT } kind;
    uint32_t at, which; /* output or node; source */
    int64_t from, to;   /* EXTENT */
    const kl_graph *g;
} change;

static void replace_extents(const change *h, kl_dim *e, int n)
{
    for (int i = 0; h->kind == EXTENT && i < n; i++)
        if (e[i] == h->from)
            e[i] = h->to;
}

/* The node again, in the new graph, from its parts: shapes are inferred afresh. */
static kl_ref again(const change *h, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    const kl_node *n = kl_graph_at(from, r);
    int64_t attr[64];
    kl_spec s = {
        .op = (kl_op)n->op, .src = src, .nsrc = n->nsrc, .attr = attr, .nattr = n->nattr};
    if (n->nattr > KL_COUNT(attr))
        return KL_NONE;
    memcpy(attr, kl_graph_attr(from, r), n->nattr * sizeof *attr);
    kl_graph_type(from, r, &s.want);
    replace_extents(h, s.want.shape, s.want.rank);
    if (h->kind == EXTENT && n->op == KL_OP_slice && s.want.rank == n->rank)
        for (int i = 0; i < n->rank; i++)
            attr[i] = KL_MIN(attr[i], h->to);
    if (n->op == KL_OP_input && h->kind == EXTENT)
        s.nattr = 1; /* dense */
    if (n->op == KL_OP_input)
        for (uint32_t i = 0; i < to->ninputs; i++)
            if (kl_graph_attr(to, to->inputs[i])[0] == attr[0])
                return to->inputs[i];
    return kl_graph_node(to, &s);
}

static kl_ref new_input(kl_graph *to, const kl_graph *like, kl_ref r)
{
    kl_type t;
    kl_graph_type(like, r, &t);
    return kl_graph_input(to, NULL, t.dtype, t.rank, t.shape);
}

static bool rebuild(const change *h, kl_graph *to)
{
    const kl_graph *g = h->g;
    kl_ref *map = kl_arena_alloc(to->arena, (g->count + 1) * sizeof *map);
    for (uint32_t i = 0; map && i < g->ninputs; i++)
        if (again(h, to, g, g->inputs[i], NULL) == KL_NONE)
            return false;
    for (kl_ref r = 0; map && r < g->count; r++) {
        kl_ref src[16];
        uint32_t n = kl_graph_at(g, r)->nsrc;
        for (uint32_t i = 0; i < n && i < KL_COUNT(src); i++)
            src[i] = map[kl_graph_src(g, r, i)];
        if (h->kind == USE_SOURCE && r == h->at)
            map[r] = src[h->which];
        else if (h->kind == CUT && r == h->at)
            map[r] = new_input(to, g, r);
        else
            map[r] = n > KL_COUNT(src) ? KL_NONE : again(h, to, g, r, src);
        if (map[r] == KL_NONE)
            return false;
    }
    for (uint32_t o = 0, n = 0; map && o < g->noutputs; o++) {
        if ((h->kind == ONE_OUTPUT && o != h->at) ||
            (h->kind == DROP_OUTPUT && o == h->at))
            continue;
        if (kl_graph_output(to, map[g->outputs[o]], NULL) != KL_OK)
            return false;
        if (g->donated && g->donated[o] && h->kind != NO_DONATION)
            kl_graph_donate(to, n, (uint32_t)g->donated[o] - 1);
        n++;
    }
    return map && to->noutputs > 0;
}

/* Inputs that nothing reads go, the rest are numbered anew. */
static bool tidy(kl_graph *g)
{
    bool *used = kl_arena_zeroed(g->arena, g->count + 1, 1);
    if (!used || kl_graph_compact(g, NULL) != KL_OK)
        return false;
    for (kl_ref r = 0; r < g->count; r++)
        for (uint32_t i = 0; i < kl_graph_at(g, r)->nsrc; i++)
            used[kl_graph_src(g, r, i)] = true;
    for (uint32_t i = 0; i < g->noutputs; i++)
        used[g->outputs[i]] = true;
    for (uint32_t i = 0; g->donated && i < g->noutputs; i++)
        if (g->donated[i])
            used[g->inputs[g->donated[i] - 1]] = true;
    for (uint32_t i = g->ninputs; i-- > 0;)
        if (!used[g->inputs[i]] && i + 1 == g->ninputs)
            g->ninputs--; /* only from the end: the others' numbers seed their data */
    return true;
}

/* The candidate's text, or nothing. */
static bool apply(const change *h, const char *text, kl_text *out)
{
    kl_arena *a = kl_arena_new();
    change c = *h;
    kl_graph *g = NULL;
    bool ok = a && kl_graph_parse(a, "case", text, &g) == KL_OK;
    kl_graph *to = ok ? kl_graph_new(a, g->dims, "g") : NULL;
    c.g = g;
    ok = ok && to && rebuild(&c, to) && tidy(to);
    if (ok)
        kl_graph_print(to, out);
    kl_error_clear();
    kl_arena_free(a);
    return ok && !out->failed && strcmp(out->s, text) != 0;
}

typedef struct state {
    kl_text best;
    fails_fn fails;
    void *ctx;
    int trials;
} state;

static bool attempt(state *s, const change *h)
{
    kl_text t = {0};
    bool better = s->trials < TRIALS && apply(h, s->best.s, &t) &&
                  (s->trials++, s->fails(s->ctx, t.s));
    if (better) {
        kl_text_free(&s->best);
        s->best = t;
    } else {
        kl_text_free(&t);
    }
    return better;
}

/* One round over a graph's nodes and extents; the graph is read anew after each success.
 */
static bool round_of(state *s)
{
    bool better = false, changed = true;
    for (uint32_t at = 0; changed || at;) {
        kl_arena *a = kl_arena_new();
        kl_graph *g;
        changed = false;
        if (kl_graph_parse(a, "case", s->best.s, &g) != KL_OK)
            return false;
        uint32_t noutputs = g->noutputs, count = g->count;
        for (uint32_t o = 0; o < noutputs && noutputs > 1 && !changed; o++)
            changed = attempt(s, &(change){.kind = ONE_OUTPUT, .at = o}) ||
                      attempt(s, &(change){.kind = DROP_OUTPUT, .at = o});
        changed = changed || (g->donated && attempt(s, &(change){.kind = NO_DONATION}));
        for (kl_ref r = count; r-- > 0 && !changed;) {
            const kl_node *n = kl_graph_at(g, r);
            for (uint32_t i = 0; i < n->nsrc && !changed; i++)
                changed = attempt(s, &(change){.kind = USE_SOURCE, .at = r, .which = i});
            if (n->op != KL_OP_input && !changed && !(kl_ops[n->op].flags & KL_F_MULTI))
                changed = attempt(s, &(change){.kind = CUT, .at = r});
        }
        for (uint32_t e = 0; e < g->nextents && !changed; e++) {
            int64_t v = g->extents[e];
            const int64_t less[] = {1, 2, v / 8, v / 2, v - 32, v - 1};
            for (size_t i = 0; v > 1 && i < KL_COUNT(less) && !changed; i++)
                changed = less[i] > 0 && less[i] < v &&
                          attempt(s, &(change){.kind = EXTENT, .from = v, .to = less[i]});
        }
        kl_arena_free(a);
        better = better || changed;
        at = 0;
    }
    return better;
}

void shrink(const char *text, fails_fn fails, void *ctx, kl_text *out)
{
    state s = {.fails = fails, .ctx = ctx};
    kl_text_put(&s.best, text);
    while (s.trials < TRIALS && round_of(&s))
        ;
    *out = s.best;
}
