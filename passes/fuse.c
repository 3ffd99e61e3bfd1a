/* fuse.c: roots that can share one loop nest become one group.
 *
 * A group has outer axes. Every root in it iterates over them, plus axes of its own
 * (reduced, or free inside one outer point). Root u may join group G when each heavy
 * value of G that it reads is read at exactly its own outer point, and no other group
 * lies between them.
 *
 *   m = reduce.max x axes (1)          group: outer r
 *   s = reduce.add exp(x - m)      ->    m: over c     s: over c     y: own c
 *   y = exp(x - m) / s                 one kernel, the row stays in cache
 *
 * Groups are visited in topological order, so a group's stages stand in an order that
 * works. */
#include "passes/passes.h"

enum { ENOUGH_WORKERS = 8, SMALL_WORK = 32768, COST_MAX = 1500, MEMBERS_MAX = 64 };
enum { MANY_READS = 32, AGAIN = 8, FEW_POINTS = 4096 };

/* ---- dependence between groups: a bit set of what each needs, transitively ---- */

static size_t words(const kl_fusion *f)
{
    return (f->nroots + 63) / 64; /* there are never more groups than roots */
}

static bool needs(const kl_group *g, int other)
{
    return g->needs[other / 64] >> (other % 64) & 1;
}

static void need(kl_fusion *f, int g, int other)
{
    if (g == other)
        return;
    uint64_t *a = f->groups[g].needs;
    const uint64_t *b = f->groups[other].needs;
    for (size_t i = 0; i < words(f); i++)
        a[i] |= b[i];
    a[other / 64] |= 1ull << (other % 64);
    f->groups[other].needed = true;
}

/* After g gained needs, all that need g have them too. The newest group, which most roots
 * go to, is needed by nobody yet. */
static void spread(kl_fusion *f, int g)
{
    if (!f->groups[g].needed)
        return;
    for (uint32_t h = 0; h < f->ngroups; h++)
        if (!f->groups[h].merged && (int)h != g && needs(&f->groups[h], g))
            need(f, (int)h, g);
}

/* ---- groups ---- */

static kl_status add_member(kl_fusion *f, int g, int root)
{
    kl_group *G = &f->groups[g];
    uint32_t cap = (uint32_t)G->cap_members;
    KL_TRY(kl_arena_grow(f->arena, &G->members, &cap, (uint32_t)G->nmembers + 1,
                         sizeof(int)));
    G->cap_members = (int)cap;
    int at = G->nmembers++;
    for (; at > 0 && G->members[at - 1] > root; at--)
        G->members[at] = G->members[at - 1];
    G->members[at] = root;
    kl_root *r = &f->roots[root];
    r->group = g;
    G->heavy = G->heavy || r->heavy;
    G->contract = G->contract || kl_graph_at(f->g, r->node)->op == KL_OP_contract;
    G->cost += r->cost;
    G->nreads += r->nreads;
    for (uint32_t i = 0; i < r->nreads; i++) {
        int32_t p = f->root_of[r->reads[i].from];
        if (p >= 0)
            need(f, g, f->roots[p].group);
    }
    spread(f, g);
    return KL_OK;
}

static kl_status new_group(kl_fusion *f, int root)
{
    KL_TRY(kl_arena_grow(f->arena, &f->groups, &f->cap_groups, f->ngroups + 1,
                         sizeof(kl_group)));
    kl_group *G = &f->groups[f->ngroups];
    *G = (kl_group){.needs = kl_arena_zeroed(f->arena, words(f) + 1, 8)};
    if (!G->needs)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    kl_root *r = &f->roots[root];
    for (int i = 0; i < r->naxes; i++) {
        bool outer = r->role[i] == KL_ROLE_FREE && r->extent[i] != 1;
        r->outer[i] = outer ? (int8_t)G->nouter : -1;
        if (outer)
            G->outer[G->nouter++] = r->extent[i];
    }
    return add_member(f, (int)f->ngroups++, root);
}

/* ---- may u read what it needs of group G at one outer point? ---- */

typedef struct fit {
    int8_t outer[KL_MAX_RANK];
    bool any;
} fit; /* per axis of u */

/* One read of root p in G by u. A light p is recomputed: what counts are p's own reads,
 * seen through the way u reads p. */
static bool fit_read(const kl_fusion *f, const kl_root *u, const kl_root_read *rr, int G,
                     fit *t, int depth)
{
    int32_t pi = f->root_of[rr->from];
    if (pi < 0 || f->roots[pi].group != G)
        return true;
    const kl_root *p = &f->roots[pi];
    int rank = kl_graph_at(f->g, p->node)->rank;
    if (!p->heavy) {
        for (uint32_t i = 0; i < p->nreads; i++) {
            kl_root_read through = p->reads[i];
            for (int j = 0; j < kl_graph_at(f->g, through.from)->rank; j++)
                if (through.axis[j] >= 0)
                    through.axis[j] = rr->axis[through.axis[j]];
            if (depth > 16 || !fit_read(f, u, &through, G, t, depth + 1))
                return false;
        }
        return true;
    }
    if (kl_ops[kl_graph_at(f->g, p->node)->op].flags & KL_F_MULTI)
        return false;
    t->any = true;
    for (int i = 0; i < rank; i++) {
        int o = p->outer[p->out[i]];
        if (p->role[p->out[i]] != KL_ROLE_FREE)
            return false; /* a prefix is not one value an outer point */
        if (o < 0 && p->extent[p->out[i]] == 1)
            continue;
        int j = rr->axis[i];
        if (j < 0 || o < 0 || u->role[j] != KL_ROLE_FREE ||
            u->extent[j] != p->extent[p->out[i]])
            return false;
        if (t->outer[j] >= 0 && t->outer[j] != o)
            return false;
        t->outer[j] = (int8_t)o;
    }
    return true;
}

static bool covers(const kl_fusion *f, const kl_root *u, int G, const fit *t)
{
    int seen = 0;
    for (int i = 0; i < u->naxes; i++)
        if (t->outer[i] >= 0) {
            if (seen >> t->outer[i] & 1)
                return false;
            seen |= 1 << t->outer[i];
        }
    return seen == (1 << f->groups[G].nouter) - 1;
}

/* Where u reads nothing of G, t->any is false. */
static bool fits_or_apart(const kl_fusion *f, const kl_root *u, int G, fit *t)
{
    memset(t->outer, -1, sizeof t->outer);
    t->any = false;
    for (uint32_t i = 0; i < u->nreads; i++)
        if (!fit_read(f, u, &u->reads[i], G, t, 0))
            return false;
    return !t->any || covers(f, u, G, t);
}

static bool fits(const kl_fusion *f, const kl_root *u, int G, fit *t)
{
    return fits_or_apart(f, u, G, t) && t->any;
}

/* A light root beside the others of a light group: same extents, same order. */
static bool beside(const kl_fusion *f, const kl_root *u, int G, fit *t)
{
    int o = 0;
    memset(t->outer, -1, sizeof t->outer);
    for (int i = 0; i < u->naxes; i++) {
        if (u->extent[i] == 1)
            continue;
        if (u->role[i] != KL_ROLE_FREE || o >= f->groups[G].nouter ||
            f->groups[G].outer[o] != u->extent[i])
            return false;
        t->outer[i] = (int8_t)o++;
    }
    return o == f->groups[G].nouter;
}

/* ---- is it worth it, and allowed? ---- */

static double product(const kl_fusion *f, int n, const kl_dim *e)
{
    double p = 1;
    for (int i = 0; i < n; i++) {
        int64_t lo, hi;
        kl_dim_range(f->g->dims, e[i], &lo, &hi);
        p *= lo == hi ? (double)lo : 1024;
    }
    return p;
}

/* No other group that u reads may itself need G: it would have to run in the middle. */
static bool between(const kl_fusion *f, const kl_root *u, int G)
{
    for (uint32_t i = 0; i < u->nreads; i++) {
        int32_t p = f->root_of[u->reads[i].from];
        int h = p >= 0 ? f->roots[p].group : -1;
        if (h >= 0 && h != G && needs(&f->groups[h], G) && !KL_PLANTED(between))
            return true;
    }
    return false;
}

/* What u computes again in G: light roots that it reads at other points than its own. A
 * chain of shifted reads (roll after roll) would double with each link. */
static int again(const kl_fusion *f, const kl_root *u, int G)
{
    int cost = 0;
    for (uint32_t i = 0; i < u->nreads; i++) {
        int32_t p = f->root_of[u->reads[i].from];
        if (p < 0 || f->roots[p].group != G || f->roots[p].heavy)
            continue;
        for (int j = 0; j < kl_graph_at(f->g, f->roots[p].node)->rank; j++)
            if (u->reads[i].axis[j] == KL_READ_OTHER) {
                cost += f->roots[p].cost;
                break;
            }
    }
    return cost;
}

/* Would u beside G compute so much again that the other's memory is cheaper? At few
 * points a launch costs more than either. */
static bool better_loaded(const kl_fusion *f, const kl_root *u, int G)
{
    return again(f, u, G) > AGAIN && product(f, u->naxes, u->extent) > FEW_POINTS;
}

/* Why u should stay out of G; NULL: it had better be in. */
static const char *not_worth(const kl_fusion *f, const kl_root *u, int G, const fit *t)
{
    const kl_group *g = &f->groups[G];
    if (g->cost + u->cost + again(f, u, G) > COST_MAX || g->nmembers >= MEMBERS_MAX)
        return "the kernel would grow too large";
    if (g->nreads + u->nreads + (uint32_t)g->nmembers > KL_MANY_OPERANDS)
        return "the kernel would have too many operands";
    double outer = product(f, g->nouter, g->outer), all = product(f, u->naxes, u->extent);
    bool own = false, own_free = false;
    for (int i = 0; i < u->naxes; i++)
        if (t->outer[i] < 0 && u->extent[i] != 1) {
            own = true;
            own_free = own_free || u->role[i] == KL_ROLE_FREE;
        }
    if (own && u->nreads > MANY_READS) /* what it reads here it would compute again */
        return "it reads so many others that one more load is nothing";
    if (u->heavy && own_free) /* one value an outer point is what a stage has */
        return "it has several values at each point of that kernel";
    if (g->contract && (own || u->heavy))
        return "behind a contraction only elementwise operations ride along";
    if (!g->contract && u->heavy && kl_graph_at(f->g, u->node)->op != KL_OP_reduce)
        return "behind other work only a reduction rides along";
    if (!g->contract && own && outer < ENOUGH_WORKERS && all > SMALL_WORK)
        return "too few points for all threads to work on";
    return NULL;
}

static kl_status join(kl_fusion *f, int root, int G, const fit *t)
{
    memcpy(f->roots[root].outer, t->outer, sizeof t->outer);
    f->roots[root].cost += again(f, &f->roots[root], G);
    return add_member(f, G, root);
}

static bool alone(const kl_fusion *f, kl_ref r)
{
    int op = kl_graph_at(f->g, r)->op;
    kl_kind kind = kl_ops[op].kind;
    return kind == KL_KIND_CALL || kind == KL_KIND_CONTROL || kind == KL_KIND_PREFIX ||
           op == KL_OP_sort || op == KL_OP_scatter || op == KL_OP_argmax ||
           op == KL_OP_argmin;
}

/* Does u load anything that a member of G loads too? */
static bool share_load(const kl_fusion *f, const kl_root *u, int G)
{
    const kl_group *g = &f->groups[G];
    for (uint32_t i = 0; i < u->nreads; i++)
        for (int m = 0; m < g->nmembers; m++) {
            const kl_root *v = &f->roots[g->members[m]];
            if (v->node == u->reads[i].from)
                return true;
            for (uint32_t j = 0; j < v->nreads; j++)
                if (v->reads[j].from == u->reads[i].from)
                    return true;
        }
    return false;
}

/* Does each member of group X read what it reads of group Y at one outer point, which the
 * two share once Y's axis a is X's to[a]? Not all that could have joined Y did. */
static bool reads_alike(const kl_fusion *f, int X, int Y, const int8_t *to)
{
    const kl_group *g = &f->groups[X];
    for (int m = 0; m < g->nmembers && needs(g, Y); m++) {
        const kl_root *v = &f->roots[g->members[m]];
        fit t;
        if (!fits_or_apart(f, v, Y, &t))
            return false;
        for (int a = 0; a < v->naxes && t.any; a++)
            if (t.outer[a] >= 0 && to[t.outer[a]] != v->outer[a])
                return false;
    }
    return true;
}

/* Two groups that u ties together become one: H's outer axes are renamed by way of u's.
 */
static kl_status merge_other(kl_fusion *f, int root, int G)
{
    kl_root *u = &f->roots[root];
    for (uint32_t i = 0; i < u->nreads; i++) {
        int32_t p = f->root_of[u->reads[i].from];
        int h = p >= 0 ? f->roots[p].group : -1;
        fit t;
        if (h < 0 || h == G || f->groups[h].merged || f->groups[h].contract ||
            f->groups[G].contract || !f->groups[h].heavy || alone(f, f->roots[p].node) ||
            !fits(f, u, h, &t))
            continue;
        kl_group *H = &f->groups[h], *g = &f->groups[G];
        int8_t to[KL_MAX_RANK], back[KL_MAX_RANK];
        bool same = H->nouter == g->nouter && g->nmembers + H->nmembers <= MEMBERS_MAX &&
                    g->cost + H->cost + again(f, u, h) <= COST_MAX &&
                    g->nreads + H->nreads <= KL_MANY_OPERANDS;
        for (int a = 0; a < u->naxes && same; a++) {
            same = (t.outer[a] < 0) == (u->outer[a] < 0);
            if (same && t.outer[a] >= 0) {
                to[t.outer[a]] = u->outer[a];
                back[u->outer[a]] = t.outer[a];
            }
        }
        same = same && reads_alike(f, G, h, to) && reads_alike(f, h, G, back);
        /* anything in the middle, either way round? */
        for (uint32_t k = 0; k < f->ngroups && same; k++)
            if (!f->groups[k].merged && (int)k != h && (int)k != G)
                same = !(needs(&f->groups[k], h) && needs(g, (int)k)) &&
                       !(needs(&f->groups[k], G) && needs(H, (int)k));
        if (!same)
            continue;
        H->merged = true;
        g->cost += again(f, u, h);
        for (int m = 0; m < H->nmembers; m++) {
            kl_root *v = &f->roots[H->members[m]];
            for (int a = 0; a < v->naxes; a++)
                if (v->outer[a] >= 0)
                    v->outer[a] = to[v->outer[a]];
            KL_TRY(add_member(f, G, H->members[m]));
        }
        for (uint32_t k = 0; k < f->ngroups; k++)
            if (needs(&f->groups[k], h))
                need(f, (int)k, G);
        g->needs[G / 64] &= ~(1ull << (G % 64));
    }
    return KL_OK;
}

/* Why u cannot or should not be in G, which computes what it reads; NULL: t says how it
 * is. */
static const char *stays_out(const kl_fusion *f, const kl_root *u, int G, fit *t)
{
    if (alone(f, f->roots[f->groups[G].members[0]].node))
        return "the kernel that computes it does nothing else";
    if (between(f, u, G))
        return "another kernel has to run between the two";
    if (!fits(f, u, G, t))
        return "it is read at other points than the one being computed";
    return not_worth(f, u, G, t);
}

static kl_status place_alone(kl_fusion *f, int root, int apart, const char *why)
{
    KL_TRY(new_group(f, root));
    f->groups[f->ngroups - 1].apart = apart;
    f->groups[f->ngroups - 1].apart_why = why;
    return KL_OK;
}

static kl_status place_root(kl_fusion *f, int root)
{
    kl_root *u = &f->roots[root];
    const char *why = NULL;
    int apart = -1;
    fit t;
    for (uint32_t i = u->nreads; i-- > 0;) {
        int32_t p = f->root_of[u->reads[i].from];
        int G = p >= 0 ? f->roots[p].group : -1;
        if (G < 0)
            continue;
        const char *out =
            f->u->fuse_off ? "fusion is off"
            : alone(f, u->node)
                ? "a scan, sort, argmax, scatter or call is a kernel of its own"
                : stays_out(f, u, G, &t);
        if (!out) {
            KL_TRY(join(f, root, G, &t));
            return merge_other(f, root, G);
        }
        why = out, apart = p;
    }
    bool light = !u->heavy && !f->u->fuse_off && !alone(f, u->node);
    for (uint32_t G = f->ngroups; light && G-- > 0 && G + 16 > f->ngroups;)
        if (!f->groups[G].merged && !f->groups[G].heavy && beside(f, u, (int)G, &t) &&
            share_load(f, u, (int)G) && !between(f, u, (int)G) &&
            !better_loaded(f, u, (int)G) && !not_worth(f, u, (int)G, &t))
            return join(f, root, (int)G, &t);
    return place_alone(f, root, apart, why);
}

/* A root needs memory when it is an output or somebody outside its group reads it. */
static void mark_stored(kl_fusion *f)
{
    for (uint32_t i = 0; i < f->g->noutputs; i++)
        if (f->root_of[f->g->outputs[i]] >= 0)
            f->roots[f->root_of[f->g->outputs[i]]].stored = true;
    for (uint32_t i = 0; i < f->nroots; i++)
        for (uint32_t j = 0; j < f->roots[i].nreads; j++) {
            int32_t p = f->root_of[f->roots[i].reads[j].from];
            if (p >= 0 && f->roots[p].group != f->roots[i].group)
                f->roots[p].stored = true;
        }
}

kl_status kl_group_roots(kl_fusion *f)
{
    for (uint32_t i = 0; i < f->nroots; i++)
        KL_TRY(place_root(f, (int)i));
    mark_stored(f);
    return KL_OK;
}

/* ---- what is handed on whole is dense ---- */

static bool strided_input(const kl_graph *g, kl_ref r)
{
    return kl_graph_at(g, r)->op == KL_OP_input && kl_graph_at(g, r)->nattr > 1;
}

/* A reshape to the same shape: a root that copies. */
static kl_ref dense(kl_graph *to, const kl_graph *from, kl_ref r, kl_ref src)
{
    kl_spec s = {.op = KL_OP_reshape, .src = &src, .nsrc = 1};
    kl_graph_type(from, r, &s.want);
    return kl_graph_node(to, &s);
}

static kl_ref copy_for_calls(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                             const kl_ref *src)
{
    const kl_node *n = kl_graph_at(from, r);
    kl_kind kind = kl_ops[n->op].kind;
    kl_ref *own = ctx;
    if (kind != KL_KIND_CALL && kind != KL_KIND_CONTROL)
        return kl_graph_copy_node(to, from, r, src);
    for (uint32_t i = 0; i < n->nsrc; i++) {
        kl_ref s = kl_graph_src(from, r, i);
        own[i] = strided_input(from, s) ? dense(to, from, s, src[i]) : src[i];
    }
    return kl_graph_copy_node(to, from, r, own);
}

/* Outputs and the operands of calls have no strides: a strided input there is copied. */
static kl_status make_dense(kl_unit *u)
{
    kl_graph *g = u->graph;
    uint32_t most = 0;
    bool any = false;
    for (uint32_t i = 0; i < g->ninputs; i++)
        any = any || strided_input(g, g->inputs[i]);
    if (!any)
        return KL_OK;
    for (kl_ref r = 0; r < g->count; r++)
        most = KL_MAX(most, kl_graph_at(g, r)->nsrc);
    kl_ref *own = kl_arena_alloc(u->arena, (most + 1) * sizeof *own);
    if (!own)
        return kl_fail(KL_ERR_OOM, "fuse: %u nodes", g->count);
    KL_TRY(kl_graph_rewrite(&u->graph, copy_for_calls, own));
    g = u->graph;
    for (uint32_t i = 0; i < g->noutputs; i++)
        if (strided_input(g, g->outputs[i])) {
            g->outputs[i] = dense(g, g, g->outputs[i], g->outputs[i]);
            if (g->outputs[i] == KL_NONE)
                return kl_error_status();
        }
    return KL_OK;
}

kl_status kl_pass_fuse(kl_unit *u)
{
    KL_TRY(make_dense(u));
    KL_TRY(kl_split_wide(u));
    kl_fusion f = {.u = u, .g = u->graph, .arena = kl_arena_new()};
    kl_status s = KL_OK;
    if (!f.arena ||
        !(f.root_of = kl_arena_alloc(f.arena, (u->graph->count + 1) * sizeof *f.root_of)))
        s = kl_fail(KL_ERR_OOM, "fuse: %u nodes", u->graph->count);
    for (uint32_t i = 0; s == KL_OK && i < u->graph->count; i++)
        f.root_of[i] = -1;
    if (s == KL_OK && (s = kl_find_roots(&f)) == KL_OK &&
        (s = kl_group_roots(&f)) == KL_OK)
        s = kl_build_kernels(&f);
    if (s == KL_OK && kl_arena_failed(f.arena))
        s = kl_fail(KL_ERR_OOM, "fuse: no memory");
    if (f.arena)
        kl_arena_free(f.arena);
    return s;
}
