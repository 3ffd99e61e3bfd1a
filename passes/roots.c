/* roots.c: which nodes get a stage or memory of their own, their iteration axes, and how
 * each reads the others.
 *
 *   %1 = exp %0            light, used once: lives inside %2
 *   %2 = reduce.add %1     heavy: a root; iterates over %1's axes, the reduced one marked
 *   %3 = div %1', %2'      an output: a root, reads %2 at its own axis 0
 *
 * A light node with several users becomes a root when recomputing it costs more than a
 * load, unless all ways from it meet again before they leave its point: then it is
 * computed once in any case.
 *
 *   %1 = exp %0, %2 = sin %1, %3 = mul %1 %2, %4 = reduce.add %3      no root but %4 */
#include "passes/passes.h"

#include <stdlib.h>

enum { DEPTH_MAX = 96, COST_MAX = 400, CHEAP = 6, PROLOGUE = 3, FEW_PARTS = 16 };

bool kl_is_heavy(kl_op op)
{
    switch (kl_ops[op].kind) {
    case KL_KIND_REDUCE:
    case KL_KIND_PREFIX:
    case KL_KIND_CONTRACT:
    case KL_KIND_CALL:
    case KL_KIND_CONTROL:
        return true;
    default:
        return op == KL_OP_scatter || op == KL_OP_sort || op == KL_OP_fold;
    }
}

bool kl_is_elementwise(kl_op op)
{
    return kl_ops[op].kind == KL_KIND_ELT || kl_ops[op].kind == KL_KIND_CAST;
}

/* What one evaluation costs beside its loads, in elementwise operations. */
static int op_cost(const kl_node *n)
{
    if (kl_ops[n->op].kind == KL_KIND_ELT)
        return kl_ops[n->op].flags & KL_F_MATH             ? 16
               : n->op == KL_OP_div || n->op == KL_OP_sqrt ? 4
                                                           : 1;
    if (n->op == KL_OP_gather || n->op == KL_OP_concat || n->op == KL_OP_update)
        return 4;
    return n->op == KL_OP_cast || n->op == KL_OP_pad ? 1 : 0;
}

/* kept: why, of a light node that its readers could compute. */
static void mark_root(kl_fusion *f, kl_ref r, const char *kept)
{
    if (f->root_of[r] >= 0)
        return;
    f->root_of[r] = 0; /* numbered in topological order later */
    f->kept[r] = kept;
}

typedef struct tally {
    uint32_t *users; /* each once, however often it reads the node */
    kl_ref *end;     /* where all ways from a node meet at its own point, or itself */
    uint16_t *depth;
    float *cost, *loads; /* of one evaluation; readers of one end bear equal parts */
} tally;

/* Is operand i of r one of those before it? mul(a, a) costs a once. */
static bool repeated(const kl_graph *g, kl_ref r, uint32_t i)
{
    for (uint32_t j = 0; j < i; j++)
        if (kl_graph_src(g, r, j) == kl_graph_src(g, r, i))
            return true;
    return false;
}

/* Does n read an element of each operand, at one point? */
static bool at_own_point(const kl_node *n)
{
    return kl_is_elementwise((kl_op)n->op) || kl_ops[n->op].kind == KL_KIND_REDUCE;
}

/* The first node that ways from a and from b lead through; KL_NONE: there is none. */
static kl_ref meet(const kl_ref *next, kl_ref a, kl_ref b)
{
    while (a != b && a != KL_NONE && b != KL_NONE)
        if (a < b) /* readers have higher numbers */
            a = next[a];
        else
            b = next[b];
    return a == b ? a : KL_NONE;
}

/* next[r]: the nearest node that all ways from r lead through (its immediate
 * post-dominator), found from the readers down. What one expression holds is bounded; a
 * longer one ends where a single value passes. */
static kl_status find_ends(kl_fusion *f, tally *t)
{
    const kl_graph *g = f->g;
    kl_ref *next = kl_arena_alloc(f->arena, (g->count + 1) * sizeof *next);
    float *size = kl_arena_zeroed(f->arena, g->count + 1, sizeof *size);
    if (!next || !size)
        return kl_fail(KL_ERR_OOM, "fuse: %u nodes", g->count);
    for (kl_ref r = g->count; r-- > 0;) {
        const kl_node *n = kl_graph_at(g, r);
        if (t->users[r] == 0 || f->root_of[r] >= 0 || kl_is_heavy((kl_op)n->op))
            next[r] = KL_NONE;
        for (uint32_t i = 0; i < n->nsrc; i++) {
            kl_ref s = kl_graph_src(g, r, i), way = at_own_point(n) ? r : KL_NONE;
            next[s] = t->end[s] == KL_NONE ? way : meet(next, next[s], way);
            t->end[s] = s;
        }
    }
    for (kl_ref r = 0; r < g->count; r++) {
        size[r] += (float)op_cost(kl_graph_at(g, r));
        if (next[r] != KL_NONE)
            size[next[r]] += size[r];
    }
    for (kl_ref r = g->count; r-- > 0;)
        t->end[r] = next[r] != KL_NONE && size[next[r]] <= COST_MAX ? t->end[next[r]] : r;
    return KL_OK;
}

/* Is r moved elements only, which readers find where they lie? What is put together of
 * several is computed at each point that is read, and asks which part it is in. */
static bool only_moved(const kl_node *n)
{
    return kl_ops[n->op].kind == KL_KIND_MOVE && n->op != KL_OP_update &&
           n->op != KL_OP_concat && n->op != KL_OP_pad;
}

/* A light node read by several, or too deep to recompute, is kept. Constants and index
 * values never are: a load would cost more. */
static void judge_light(kl_fusion *f, const tally *t, kl_ref r)
{
    const kl_node *n = kl_graph_at(f->g, r);
    if (n->nsrc == 0 || f->root_of[r] >= 0 || n->op == KL_OP_pick || t->loads[r] == 0)
        return;
    bool dear = t->cost[r] > CHEAP && t->users[r] > 1 && t->end[r] == r && !only_moved(n);
    if (dear)
        mark_root(f, r,
                  "several read it, and a load costs less than to compute it again");
    else if (t->depth[r] > DEPTH_MAX || t->loads[r] > 16 || t->cost[r] > COST_MAX)
        mark_root(f, r, "the expression ends here: it has grown long");
}

static void measure(kl_fusion *f, tally *t, kl_ref r, bool again)
{
    const kl_node *n = kl_graph_at(f->g, r);
    unsigned depth = 0;
    float cost = (float)op_cost(n), loads = 0;
    for (uint32_t i = 0; i < n->nsrc; i++) {
        kl_ref s = kl_graph_src(f->g, r, i);
        if (repeated(f->g, r, i))
            continue;
        bool leaf = f->root_of[s] >= 0 || kl_graph_at(f->g, s)->op == KL_OP_input ||
                    kl_graph_at(f->g, s)->op == KL_OP_pick;
        float part = t->end[s] == s ? 1 : 1 / (float)t->users[s];
        depth = KL_MAX(depth, leaf ? 0u : t->depth[s]);
        cost += leaf ? 0 : t->cost[s] * part;
        loads += leaf ? 1 : t->loads[s] * part;
    }
    if (loads > KL_MANY_OPERANDS &&
        !again) { /* so many operands: its sources get memory */
        for (uint32_t i = 0; i < n->nsrc; i++)
            if (t->loads[kl_graph_src(f->g, r, i)] > 1)
                mark_root(f, kl_graph_src(f->g, r, i),
                          "one kernel takes so many operands");
        measure(f, t, r, true);
        return;
    }
    t->depth[r] = (uint16_t)KL_MIN(depth + 1, 60000u);
    t->cost[r] = cost;
    t->loads[r] = loads;
}

/* Windows over a padded tensor, summed a tap at a time (pooling, a convolution of each
 * channel alone): every tap would ask where the edges are. A large contraction asks once,
 * when it packs. */
static bool pads_first(const kl_fusion *f, const kl_node *n, kl_ref r, kl_ref window,
                       kl_ref s)
{
    const kl_graph *g = f->g;
    int64_t all = 1, padded = 1, v;
    if (window == KL_NONE || kl_graph_at(g, s)->op != KL_OP_pad ||
        (n->op == KL_OP_contract && kl_contract_in_order(g, r) != 0) ||
        (n->op != KL_OP_contract && n->op != KL_OP_reduce))
        return false;
    for (int i = 0; i < kl_graph_at(g, window)->rank; i++)
        if (!kl_dim_is_const(g->dims, kl_graph_shape(g, window)[i], &v) ||
            kl_mul_overflow(all, v, &all))
            return false;
    for (int i = 0; i < kl_graph_at(g, s)->rank; i++)
        if (!kl_dim_is_const(g->dims, kl_graph_shape(g, s)[i], &v) ||
            kl_mul_overflow(padded, v, &padded))
            return false;
    return all >= 2 * padded;
}

/* Is r a fold whose windows share elements? Each then reads several. */
static bool overlaps(const kl_graph *g, kl_ref r)
{
    const int64_t *at = kl_graph_attr(g, r);
    bool some = false;
    for (int64_t i = 0; kl_graph_at(g, r)->op == KL_OP_fold && i < at[0]; i++)
        some = some || at[2 + 4 * i] != at[3 + 4 * i];
    return some;
}

/* Rows as stride.c makes them: the last axis in two, these turned. */
static bool lies_in_phases(const kl_graph *g, kl_ref r)
{
    const kl_node *n = kl_graph_at(g, r);
    const int64_t *perm = kl_graph_attr(g, r);
    if (n->op != KL_OP_permute || n->rank < 2 || perm[n->rank - 1] != n->rank - 2 ||
        kl_graph_at(g, kl_graph_src(g, r, 0))->op != KL_OP_reshape)
        return false;
    for (int i = 0; i < n->rank - 2; i++)
        if (perm[i] != i)
            return false;
    return true;
}

/* Turned and turned back, as stride.c makes what vectors are to lie along: the first of
 * them is made. */
static void keep_turned(kl_fusion *f, kl_ref r)
{
    const kl_graph *g = f->g;
    kl_ref s = kl_graph_src(g, r, 0);
    int rank = kl_graph_at(g, r)->rank;
    const int64_t *perm = kl_graph_attr(g, r);
    if (kl_graph_at(g, s)->op != KL_OP_permute)
        return;
    for (int i = 0; i < rank; i++)
        if (kl_graph_attr(g, s)[perm[i]] != i)
            return;
    mark_root(f, s, "vectors lie along it: it is turned once");
}

/* They are made once, and what is padded before: edges are looked for once. */
static void keep_phases(kl_fusion *f, kl_ref r)
{
    kl_ref s = kl_graph_src(f->g, kl_graph_src(f->g, r, 0), 0);
    mark_root(f, r, "strided windows read it: its phases lie apart");
    if (kl_graph_at(f->g, s)->op == KL_OP_pad)
        mark_root(f, s, "many taps read it: edges are looked for once");
}

/* Does scatter r place single elements? They go one by one. */
static bool by_elements(const kl_graph *g, kl_ref r)
{
    return kl_graph_numel(g, kl_graph_src(g, r, 1)) ==
           kl_graph_numel(g, kl_graph_src(g, r, 2));
}

/* The operands of a contraction are read many times: only the cheapest arithmetic may
 * ride along; windows read theirs several times, or out of step: a little more may, and
 * as much where elements are scattered one by one: vectors compute more. A sort reads its
 * operand in data order: nothing rides along. */
static void keep_operands(kl_fusion *f, const tally *t, kl_ref r)
{
    const kl_node *n = kl_graph_at(f->g, r);
    bool often = n->op == KL_OP_contract || overlaps(f->g, r);
    bool single = n->op == KL_OP_scatter && by_elements(f->g, r);
    int limit = often ? PROLOGUE : n->op == KL_OP_sort ? 0 : single ? CHEAP : 1 << 20;
    for (uint32_t i = 0; i < n->nsrc; i++) {
        kl_ref s = kl_graph_src(f->g, r, i), window = KL_NONE;
        const kl_node *m = kl_graph_at(f->g, s);
        bool call =
            kl_ops[n->op].kind == KL_KIND_CALL || kl_ops[n->op].kind == KL_KIND_CONTROL;
        while (!call && kl_ops[m->op].kind == KL_KIND_MOVE && f->root_of[s] < 0 &&
               (m->nsrc == 1 || (m->op == KL_OP_pad && n->op == KL_OP_fold))) {
            if (window != KL_NONE && n->op == KL_OP_contract && lies_in_phases(f->g, s)) {
                keep_phases(f, s);
                break;
            }
            window = m->op == KL_OP_window ? s : window;
            m = kl_graph_at(f->g, s = kl_graph_src(f->g, s, 0));
        }
        if (pads_first(f, n, r, window, s))
            mark_root(f, s, "many taps read it: edges are looked for once");
        if (m->op == KL_OP_input || m->op == KL_OP_pick || (single && i == 0))
            continue;
        int most = window != KL_NONE ? KL_MIN(limit, CHEAP) : limit;
        if (call || (m->nsrc > 0 && t->cost[s] > most))
            mark_root(
                f, s,
                call                  ? "a call reads memory"
                : n->op == KL_OP_sort ? "a sort reads its keys in the order of the data"
                : n->op == KL_OP_contract
                    ? "a contraction reads it many times: too much to compute each time"
                : single ? "elements are scattered one by one: vectors compute it"
                         : "windows read it: too much to compute for each");
    }
}

/* What computes an element of a concatenation asks every part in turn, and keeps what it
 * loads of each at hand: of many parts it only loads one value. */
static void keep_parts(kl_fusion *f, const tally *t, kl_ref r)
{
    uint32_t n = kl_graph_at(f->g, r)->nsrc;
    for (uint32_t i = 0; i < n && n > FEW_PARTS; i++) {
        kl_ref s = kl_graph_src(f->g, r, i);
        const kl_node *m = kl_graph_at(f->g, s);
        while (kl_ops[m->op].kind == KL_KIND_MOVE && m->nsrc == 1 && f->root_of[s] < 0)
            m = kl_graph_at(f->g, s = kl_graph_src(f->g, s, 0));
        if (m->nsrc > 0 && m->op != KL_OP_pick && t->cost[s] > 0)
            mark_root(f, s, "it is one of many parts");
    }
}

static kl_status choose(kl_fusion *f)
{
    kl_graph *g = f->g;
    tally t = {.users = kl_arena_zeroed(f->arena, g->count, sizeof *t.users),
               .end = kl_arena_alloc(f->arena, (g->count + 1) * sizeof *t.end),
               .depth = kl_arena_zeroed(f->arena, g->count, sizeof *t.depth),
               .cost = kl_arena_zeroed(f->arena, g->count, sizeof *t.cost),
               .loads = kl_arena_zeroed(f->arena, g->count, sizeof *t.loads)};
    if (kl_arena_failed(f->arena))
        return kl_fail(KL_ERR_OOM, "fuse: %u nodes", g->count);
    for (kl_ref r = 0; r < g->count; r++) {
        t.end[r] = KL_NONE;
        for (uint32_t i = 0; i < kl_graph_at(g, r)->nsrc; i++)
            t.users[kl_graph_src(g, r, i)] += !repeated(g, r, i);
    }
    for (uint32_t i = 0; i < g->noutputs; i++)
        if (kl_graph_at(g, g->outputs[i])->op != KL_OP_pick)
            mark_root(f, g->outputs[i], NULL);
    KL_TRY(find_ends(f, &t));
    for (kl_ref r = 0; r < g->count; r++) {
        const kl_node *n = kl_graph_at(g, r);
        if (n->op == KL_OP_input || n->op == KL_OP_pick)
            f->root_of[r] = -1;
        else if (kl_is_heavy((kl_op)n->op) || (f->u->fuse_off && n->nsrc > 0))
            mark_root(f, r, NULL);
        if (kl_is_heavy((kl_op)n->op))
            keep_operands(f, &t, r);
        if (n->op == KL_OP_permute)
            keep_turned(f, r);
        if (n->op == KL_OP_concat)
            keep_parts(f, &t, r);
        measure(f, &t, r, false);
        judge_light(f, &t, r);
    }
    return KL_OK;
}

/* ---- iteration axes ---- */

static void axes_like(kl_fusion *f, kl_root *root, kl_ref of)
{
    root->naxes = kl_graph_at(f->g, of)->rank;
    for (int i = 0; i < root->naxes; i++) {
        root->extent[i] = kl_graph_shape(f->g, of)[i];
        root->role[i] = KL_ROLE_FREE;
        root->out[i] = (int8_t)i;
    }
}

static void axes_reduce(kl_fusion *f, kl_root *root, uint64_t mask)
{
    axes_like(f, root, kl_graph_src(f->g, root->node, 0));
    for (int i = 0, o = 0; i < root->naxes; i++)
        if (mask >> i & 1)
            root->role[i] = KL_ROLE_REDUCED;
        else
            root->out[o++] = (int8_t)i;
}

/* Labels are numbered by first appearance in a, b, y; y's come first here, in y's order.
 */
static void axes_contract(kl_fusion *f, kl_root *root)
{
    const int64_t *at = kl_graph_attr(f->g, root->node), *lab = at + 3;
    int n[3] = {(int)at[0], (int)at[1], (int)at[2]}, axis_of[3 * KL_MAX_RANK];
    const int64_t *y = lab + n[0] + n[1];
    for (int i = 0; i < 3 * KL_MAX_RANK; i++)
        axis_of[i] = -1;
    for (int i = 0; i < n[2]; i++) {
        axis_of[y[i]] = root->naxes;
        root->out[i] = (int8_t)root->naxes;
        root->role[root->naxes] = KL_ROLE_FREE;
        root->extent[root->naxes++] = kl_graph_shape(f->g, root->node)[i];
    }
    for (int s = 0, at_lab = 0; s < 2; s++)
        for (int i = 0; i < n[s]; i++, at_lab++) {
            if (axis_of[lab[at_lab]] >= 0)
                continue;
            axis_of[lab[at_lab]] = root->naxes;
            root->role[root->naxes] = KL_ROLE_REDUCED;
            root->extent[root->naxes++] =
                kl_graph_shape(f->g, kl_graph_src(f->g, root->node, (uint32_t)s))[i];
        }
}

static void axes_fold(kl_fusion *f, kl_root *root)
{
    const int64_t *at = kl_graph_attr(f->g, root->node);
    axes_like(f, root, root->node);
    for (int j = 0; j < at[0]; j++) {
        root->role[root->naxes] = KL_ROLE_REDUCED;
        root->extent[root->naxes++] = at[1 + 4 * j + 1];
    }
}

/* scatter: iterates over the updates; the axes of the indices are walked in order. */
static void axes_scatter(kl_fusion *f, kl_root *root)
{
    const int64_t *at = kl_graph_attr(f->g, root->node); /* combine axis batch */
    int nj = kl_graph_at(f->g, kl_graph_src(f->g, root->node, 1))->rank - (int)at[2];
    axes_like(f, root, kl_graph_src(f->g, root->node, 2));
    for (int i = 0; i < nj; i++)
        root->role[at[1] + i] = KL_ROLE_OWN;
}

static void set_axes(kl_fusion *f, kl_root *root)
{
    const int64_t *at = kl_graph_attr(f->g, root->node);
    switch (kl_graph_at(f->g, root->node)->op) {
    case KL_OP_reduce:
        axes_reduce(f, root, (uint64_t)at[1]);
        break;
    case KL_OP_argmax:
    case KL_OP_argmin:
        axes_reduce(f, root, 1ull << at[0]);
        break;
    case KL_OP_contract:
        axes_contract(f, root);
        break;
    case KL_OP_fold:
        axes_fold(f, root);
        break;
    case KL_OP_scatter:
        axes_scatter(f, root);
        break;
    case KL_OP_prefix:
        axes_like(f, root, root->node);
        root->role[at[1]] = KL_ROLE_OWN;
        break;
    case KL_OP_sort:
        axes_like(f, root, kl_graph_src(f->g, root->node, 0));
        root->role[at[0]] = KL_ROLE_OWN;
        break;
    default:
        axes_like(f, root, root->node);
    }
}

/* ---- who reads whom, at which axes ---- */

static bool leaf_in_analysis(kl_reader *rd, kl_ref r)
{
    kl_fusion *f = ((kl_fusion **)rd->ctx)[0];
    kl_root *me = ((kl_root **)rd->ctx)[1];
    int op = kl_graph_at(f->g, r)->op;
    return op == KL_OP_input || op == KL_OP_pick || (f->root_of[r] >= 0 && r != me->node);
}

static int8_t axis_read(const kl_exprs *x, kl_x i)
{
    int64_t v;
    if (i == KL_NONE) /* no memory: the pass fails at its end */
        return KL_READ_OTHER;
    if (x->nodes[i].op == KL_X_VAR)
        return (int8_t)x->nodes[i].imm;
    return kl_x_is_int(x, i, &v) && v == 0 ? KL_READ_ZERO : KL_READ_OTHER;
}

static kl_x note_read(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_fusion *f = ((kl_fusion **)rd->ctx)[0];
    kl_root *me = ((kl_root **)rd->ctx)[1];
    const kl_node *n = kl_graph_at(f->g, r);
    kl_root_read rr = {.from = n->op == KL_OP_pick ? kl_graph_src(f->g, r, 0) : r};
    for (int i = 0; i < n->rank; i++)
        rr.axis[i] = pred == KL_NONE && n->op != KL_OP_pick ? axis_read(rd->k->x, idx[i])
                                                            : KL_READ_OTHER;
    if (kl_arena_grow(f->arena, &me->reads, &me->cap_reads, me->nreads + 1, sizeof rr) !=
        KL_OK)
        return KL_NONE;
    me->reads[me->nreads++] = rr;
    /* any expression does; distinct per node so that nothing folds away */
    return kl_x_load(rd->k->x, r, n->dtype,
                     kl_flatten(rd->k->x, n->rank, kl_graph_shape(f->g, r), idx), pred,
                     KL_NONE);
}

void kl_source_index(const kl_fusion *f, const kl_root *root, uint32_t s, kl_exprs *x,
                     const kl_x *axis, kl_x *idx, kl_x *pred)
{
    const kl_graph *g = f->g;
    const int64_t *at = kl_graph_attr(g, root->node);
    int op = kl_graph_at(g, root->node)->op,
        n = kl_graph_at(g, kl_graph_src(g, root->node, s))->rank;
    *pred = KL_NONE;
    for (int i = 0; i < n; i++)
        idx[i] = axis[i];
    if (op == KL_OP_contract) {
        const int64_t *lab = at + 3, *y = lab + at[0] + at[1];
        kl_x of[3 * KL_MAX_RANK];
        bool set[3 * KL_MAX_RANK] = {false};
        int next = (int)at[2];
        for (int i = 0; i < at[2]; i++)
            of[y[i]] = axis[i], set[y[i]] = true;
        for (int i = 0; i < at[0] + at[1]; i++)
            if (!set[lab[i]])
                of[lab[i]] = axis[next++], set[lab[i]] = true;
        for (int i = 0; i < n; i++)
            idx[i] = of[lab[(s ? at[0] : 0) + i]];
    } else if (op == KL_OP_scatter && s == 1) {
        for (int i = 0; i < n; i++)
            idx[i] = i < at[2] ? axis[i] : axis[at[1] + i - at[2]];
    } else if (op == KL_OP_fold) {
        int rank = kl_graph_at(g, root->node)->rank;
        for (int j = 0; j < at[0]; j++) { /* position p = o * stride + w * dilation */
            const int64_t *w = at + 1 + 4 * j;
            kl_dim count = kl_graph_shape(g, kl_graph_src(g, root->node, 0))[w[0]];
            kl_x p = kl_x_op(x, KL_OP_sub, axis[w[0]],
                             kl_x_mul(x, axis[rank + j], kl_x_dim(x, w[3])), KL_NONE);
            kl_x o = kl_x_divf(x, p, kl_x_dim(x, w[2])), zero = kl_x_int(x, 0);
            *pred = kl_x_and(x, *pred, kl_x_op(x, KL_OP_le, zero, p, KL_NONE));
            *pred = kl_x_and(
                x, *pred,
                kl_x_op(x, KL_OP_eq, kl_x_mod(x, p, kl_x_dim(x, w[2])), zero, KL_NONE));
            *pred = kl_x_and(x, *pred, kl_x_lt(x, o, kl_x_dim(x, count)));
            idx[w[0]] = o;
            idx[rank + j] = axis[rank + j];
        }
    }
}

/* The sources of a heavy root, each at its iteration axes. */
static kl_status read_sources(kl_fusion *f, const kl_root *root, kl_reader *rd,
                              const kl_x *axis)
{
    const kl_node *n = kl_graph_at(f->g, root->node);
    kl_kernel *k = rd->k;
    kl_x idx[KL_MAX_RANK], pred;
    for (uint32_t s = 0; s < n->nsrc; s++) {
        bool whole = kl_ops[n->op].kind == KL_KIND_CALL ||
                     kl_ops[n->op].kind == KL_KIND_CONTROL ||
                     (n->op == KL_OP_scatter && s == 0);
        if (whole) { /* read outside this root's own axes */
            kl_ref src = kl_graph_src(f->g, root->node, s);
            for (int i = 0; i < kl_graph_at(f->g, src)->rank; i++)
                idx[i] =
                    kl_x_var(k->x, kl_x_newvar(k->x, "o", kl_graph_shape(f->g, src)[i]));
            kl_x one = kl_x_int(k->x, 1);
            pred = kl_x_lt(k->x, kl_x_var(k->x, kl_x_newvar(k->x, "p", 2)), one);
        } else {
            kl_source_index(f, root, s, k->x, axis, idx, &pred);
        }
        if (kl_read(rd, kl_graph_src(f->g, root->node, s), idx, pred) == KL_NONE)
            return kl_error_status();
    }
    return KL_OK;
}

static kl_status analyse(kl_fusion *f, kl_root *root)
{
    kl_kernel *k = kl_kernel_new(f->arena, f->g->dims, "analysis");
    if (!k)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    kl_x axis[2 * KL_MAX_RANK];
    for (int i = 0; i < root->naxes; i++) {
        kl_kernel_axis(k, "i", root->extent[i], KL_AXIS_FREE);
        axis[i] = root->extent[i] == 1 ? kl_x_int(k->x, 0) : kl_x_var(k->x, (uint32_t)i);
    }
    void *ctx[2] = {f, root};
    kl_reader *rd = kl_arena_zeroed(f->arena, 1, sizeof *rd);
    if (!rd)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    rd->k = k, rd->g = f->g, rd->is_leaf = leaf_in_analysis, rd->leaf = note_read,
    rd->ctx = ctx;
    kl_status s = root->heavy ? read_sources(f, root, rd, axis)
                  : kl_read(rd, root->node, axis, KL_NONE) == KL_NONE ? kl_error_status()
                                                                      : KL_OK;
    root->cost = (int)k->x->count;
    return s;
}

kl_status kl_find_roots(kl_fusion *f)
{
    f->kept = kl_arena_zeroed(f->arena, f->g->count + 1, sizeof *f->kept);
    if (!f->kept)
        return kl_fail(KL_ERR_OOM, "fuse: %u nodes", f->g->count);
    KL_TRY(choose(f));
    for (kl_ref r = 0; r < f->g->count; r++) {
        if (f->root_of[r] < 0)
            continue;
        KL_TRY(kl_arena_grow(f->arena, &f->roots, &f->cap_roots, f->nroots + 1,
                             sizeof(kl_root)));
        f->root_of[r] = (int32_t)f->nroots;
        kl_root *root = &f->roots[f->nroots++];
        *root = (kl_root){.node = r,
                          .group = -1,
                          .heavy = kl_is_heavy((kl_op)kl_graph_at(f->g, r)->op)};
        set_axes(f, root);
    }
    for (uint32_t i = 0; i < f->nroots; i++)
        KL_TRY(analyse(f, &f->roots[i]));
    return KL_OK;
}
