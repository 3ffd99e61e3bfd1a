/* control.c: rows whose bodies are graphs: while, cond, scan. A body is compiled like any
 * graph, by a unit of its own that goes through the same passes; the row becomes a launch
 * without a kernel, whose operands are whole buffers, and plan_control.c says how its
 * bodies run.
 *
 *   %3 = scan %0, %1 carries 1 body @step         kernel scan { in a, a  out y, y
 *   %4 = pick %3 result 0                  ->       control "scan" }
 *   %5 = pick %3 result 1                         unit step: kernels add, mul, .. */
#include "passes/passes.h"

/* g with other bodies: those now[i] that the graphs old[i] have become. */
static kl_graph *rebodied(const kl_graph *g, kl_graph *const *old, kl_graph *const *now,
                          uint32_t n)
{
    kl_graph *h = kl_arena_alloc(g->arena, sizeof *h);
    kl_graph **bodies = kl_arena_alloc(g->arena, (g->nbodies + 1) * sizeof *bodies);
    if (!h || !bodies)
        return NULL;
    *h = *g;
    h->bodies = bodies;
    h->cap_bodies = g->nbodies;
    for (uint32_t i = 0; i < g->nbodies; i++) {
        bodies[i] = g->bodies[i];
        for (uint32_t k = 0; k < n; k++)
            if (old[k] == g->bodies[i])
                bodies[i] = now[k];
    }
    return h;
}

/* The graphs given stay as they are: whoever made them may still interpret them. */
kl_status kl_each_graph(kl_unit *u, kl_graph_fn fn)
{
    uint32_t n;
    kl_graph **all = kl_graph_all(u->graph, &n);
    kl_graph **now = kl_arena_alloc(u->graph->arena, ((size_t)n + 1) * sizeof *now);
    if (!all || !now)
        return kl_fail(KL_ERR_OOM, "out of memory: %u nodes", u->graph->count);
    for (uint32_t i = 0; i < n; i++) {
        now[i] = all[i]->nbodies ? rebodied(all[i], all, now, i) : all[i];
        if (!now[i])
            return kl_fail(KL_ERR_OOM, "out of memory: %u nodes", all[i]->count);
        KL_TRY(fn(u, &now[i]));
    }
    u->graph = now[n - 1];
    return KL_OK;
}

kl_ref *kl_results(kl_arena *a, const kl_graph *g, kl_ref r, uint32_t *n)
{
    *n = kl_graph_results(g, r);
    kl_ref *out = kl_arena_alloc(a, ((size_t)*n + 1) * sizeof *out);
    if (!out)
        return NULL;
    memset(out, 0xff, *n * sizeof *out);
    for (kl_ref p = r + 1; p < g->count; p++)
        if (kl_graph_at(g, p)->op == KL_OP_pick && kl_graph_src(g, p, 0) == r)
            out[kl_graph_attr(g, p)[0]] = p;
    return out;
}

static kl_status no_memory(void)
{
    return kl_fail(KL_ERR_OOM, "control: no memory");
}

static kl_status put_operand(const kl_graph *g, kl_kernel *k, kl_role role, kl_ref node,
                             const kl_type *t)
{
    kl_operand o = {.name = role == KL_ROLE_IN ? "a" : "y",
                    .dtype = t->dtype,
                    .role = role,
                    .node = node,
                    .count = 1};
    for (int i = 0; i < t->rank; i++)
        o.count = kl_dim_mul(g->dims, o.count, t->shape[i]);
    return kl_kernel_operand(k, &o) == KL_NONE ? no_memory() : KL_OK;
}

kl_status kl_whole_operands(const kl_graph *g, kl_kernel *k, kl_ref r)
{
    uint32_t n;
    kl_type t;
    const kl_ref *picks = kl_results(k->arena, g, r, &n);
    if (!picks)
        return no_memory();
    for (uint32_t i = 0; i < kl_graph_at(g, r)->nsrc; i++) {
        kl_ref s = kl_graph_src(g, r, i);
        KL_ASSERT(kl_graph_at(g, s)->op != KL_OP_input || kl_graph_at(g, s)->nattr < 2);
        kl_graph_type(g, s, &t);
        KL_TRY(put_operand(g, k, KL_ROLE_IN, s, &t));
    }
    for (int64_t i = 0; i < n; i++) {
        kl_spec pick = {.op = KL_OP_pick, .src = &r, .nsrc = 1, .attr = &i, .nattr = 1};
        KL_TRY(kl_graph_infer(g, &pick, &t));
        KL_TRY(put_operand(g, k, picks[i] == KL_NONE ? KL_ROLE_TEMP : KL_ROLE_OUT,
                           picks[i], &t));
    }
    return KL_OK;
}

static kl_status put_body(kl_unit *u, kl_graph *body, int ncarry)
{
    enum { DEPTH = 15 }; /* runtime/program_text.h's limit, counted from the program */
    kl_unit *b = kl_arena_zeroed(u->arena, 1, sizeof *b);
    if (!b || kl_arena_grow(u->arena, &u->bodies, &u->cap_bodies, u->nbodies + 1,
                            sizeof *u->bodies) != KL_OK)
        return no_memory();
    if (u->depth >= DEPTH)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "@%s: loops and branches nested more than %d deep", body->name,
                       DEPTH);
    for (uint32_t i = 0; i < body->ninputs; i++)
        if (kl_graph_at(body, body->inputs[i])->nattr > 1)
            return kl_fail(KL_ERR_UNSUPPORTED, "@%s: input %u of a body has strides",
                           body->name, i);
    *b = (kl_unit){.arena = u->arena,
                   .target = u->target,
                   .graph = body,
                   .fuse_off = u->fuse_off,
                   .fast = u->fast,
                   .share = u->share,
                   .lanes = u->lanes,
                   .depth = u->depth + 1,
                   .ncarry = ncarry};
    u->bodies[u->nbodies++] = b;
    return kl_pass_fuse(b);
}

kl_status kl_build_control(kl_unit *u, kl_kernel *k, kl_ref r)
{
    const kl_graph *g = u->graph;
    const kl_node *n = kl_graph_at(g, r);
    const int64_t *attr = kl_graph_attr(g, r);
    uint32_t words[2];
    k->call = kl_ops[n->op].name;
    k->control = true;
    k->body = (int)u->nbodies;
    KL_TRY(kl_whole_operands(g, k, r));
    int bodies = kl_graph_body_words((kl_op)n->op, words);
    for (int i = 0; i < bodies; i++) {
        bool step = n->op == KL_OP_while && i == 1;
        int ncarry = n->op == KL_OP_scan ? (int)attr[0] : step ? (int)n->nsrc : 0;
        KL_TRY(put_body(u, g->bodies[attr[words[i]]], ncarry));
    }
    return KL_OK;
}
