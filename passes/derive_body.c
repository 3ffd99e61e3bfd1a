/* derive_body.c: cotangents through graphs within graphs. A body's derivative is a body:
 * its inputs are the old ones and a cotangent for each result that has one, its outputs a
 * cotangent for each floating-point input. A cond becomes a cond, a function its own
 * derivative graph, a scan (derive_scan.c) a scan run backwards.
 *
 * A while's reverse would need room for an unknown number of carries: an error says so;
 * forward mode carries tangents along. */
#include "passes/derive.h"

/* ---- lists of refs with their types ---- */

void kl_refs_add(kl_refs *l, kl_ref r)
{
    l->failed |= r == KL_NONE ||
                 kl_arena_grow(l->arena, &l->v, &l->cap, l->n + 1, sizeof *l->v) != KL_OK;
    if (!l->failed)
        l->v[l->n++] = r;
}

bool kl_refs_output(kl_graph *h, const kl_refs *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (kl_graph_output(h, l->v[i], NULL) != KL_OK)
            return false;
    return true;
}

kl_ref kl_input_like(kl_graph *h, const kl_graph *g, kl_ref r)
{
    kl_type t;
    kl_graph_type(g, r, &t);
    return kl_graph_input(h, NULL, t.dtype, t.rank, t.shape);
}

kl_ref kl_solid(kl_graph *g, kl_ref u, kl_ref like)
{
    return u == KL_ZERO ? kl_g_const_like(g, like, 0.0) : u;
}

bool kl_ref_derivable(const kl_graph *g, kl_ref r)
{
    return kl_derivable((kl_dtype)g->nodes[r].dtype);
}

void kl_ad_fail(kl_ad *d)
{
    d->failed = true;
    if (!kl_error_status())
        kl_fail(KL_ERR_OOM, "autodiff: out of memory");
}

/* ---- a body inlined into a new graph ---- */

bool kl_body_copy_of(kl_body_copy *c, const kl_graph *body, const char *suffix)
{
    const char *name =
        suffix ? kl_arena_printf(body->arena, "%s_%s", body->name, suffix) : body->name;
    *c = (kl_body_copy){.h = kl_graph_new(body->arena, body->dims, name)};
    c->in.arena = body->arena;
    c->out = kl_arena_alloc(body->arena, ((size_t)body->noutputs + 1) * sizeof *c->out);
    if (!c->h || !c->out)
        return false;
    for (uint32_t i = 0; i < body->ninputs; i++)
        kl_refs_add(&c->in, kl_input_like(c->h, body, body->inputs[i]));
    return !c->in.failed && kl_graph_inline(c->h, body, c->in.v, c->out) == KL_OK;
}

/* Cotangents of the floating-point inputs of a copied body become outputs. */
static bool output_cotangents(kl_body_copy *c, const kl_refs *roots, const kl_refs *seeds)
{
    kl_refs by = {.arena = c->h->arena}, given = by;
    for (uint32_t i = 0; i < c->in.n; i++)
        if (kl_ref_derivable(c->h, c->in.v[i]))
            kl_refs_add(&by, c->in.v[i]);
    kl_ref *u = kl_arena_alloc(c->h->arena, ((size_t)by.n + 1) * sizeof *u);
    if (!u || by.failed ||
        kl_ad_reverse(c->h, roots->v, seeds->v, roots->n, by.v, by.n, u) != KL_OK)
        return false;
    for (uint32_t i = 0; i < by.n; i++)
        kl_refs_add(&given, kl_solid(c->h, u[i], by.v[i]));
    return !given.failed && kl_refs_output(c->h, &given);
}

/* ---- pick, call, function ---- */

void kl_vjp_pick(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_ad_give_result(d, kl_graph_src(d->g, r, 0), (int)kl_graph_attr(d->g, r)[0], u);
}

void kl_vjp_call(kl_ad *d, kl_ref r, kl_ref u)
{
    (void)u;
    d->failed = true;
    kl_fail(KL_ERR_UNSUPPORTED,
            "call of \"%s\" has no derivative: wrap it in a function that has one",
            d->g->strings[kl_graph_attr(d->g, r)[0]]);
}

static bool any_cotangent(const kl_ref *res, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (res[i] != KL_ZERO)
            return true;
    return false;
}

/* Results that only the derivative reads have none of their own: the body's, on operands
 * that are cut off from what they are made of. */
static bool function_extras(kl_ad *d, kl_ref r, const kl_graph *body, const kl_ref *res)
{
    kl_graph *g = d->g;
    uint32_t first = (uint32_t)kl_graph_attr(g, r)[1], n = body->ninputs;
    kl_refs by = {.arena = g->arena}, roots = by, seeds = by;
    kl_ref *out =
        kl_arena_alloc(g->arena, ((size_t)body->noutputs + n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        kl_ref s = kl_graph_src(g, r, i);
        int64_t number = (INT64_C(1) << 40) + g->count;
        kl_refs_add(&by, kl_node_of(g, KL_OP_detach, NULL, &s, 1, &number, 1));
    }
    if (!out || by.failed || kl_graph_inline(g, body, by.v, out) != KL_OK)
        return false;
    for (uint32_t i = first; i < body->noutputs; i++)
        if (res[i] != KL_ZERO) {
            kl_refs_add(&roots, out[i]);
            kl_refs_add(&seeds, res[i]);
        }
    if (roots.failed || seeds.failed ||
        kl_ad_reverse(g, roots.v, seeds.v, roots.n, by.v, n, out) != KL_OK)
        return false;
    for (uint32_t i = 0; i < n; i++)
        kl_ad_give(d, kl_graph_src(g, r, i), out[i]);
    return true;
}

/* The derivative graph takes the inputs, all results, and a cotangent of each
 * floating-point result that the node promises; it gives one for each floating-point
 * input. */
void kl_vjp_function(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    uint32_t n = g->nodes[r].nsrc, k = 0;
    const kl_graph *body = g->bodies[attr[0]],
                   *back = attr[2] ? g->bodies[attr[2] - 1] : NULL;
    kl_refs in = {.arena = g->arena};
    const kl_ref *res = d->results[r - d->lo];
    int64_t nresults = attr[1];
    (void)u;
    if (any_cotangent(res, (uint32_t)nresults, body->noutputs) &&
        !function_extras(d, r, body, res)) {
        kl_ad_fail(d);
        return;
    }
    if (!any_cotangent(res, 0, (uint32_t)nresults))
        return;
    for (uint32_t i = 0; i < n; i++)
        kl_refs_add(&in, kl_graph_src(g, r, i));
    for (uint32_t i = 0; i < body->noutputs; i++)
        kl_refs_add(&in, kl_g_pick(g, r, (int)i));
    for (int64_t i = 0; !in.failed && i < nresults; i++)
        if (kl_ref_derivable(g, in.v[n + i]))
            kl_refs_add(&in, kl_solid(g, res[i], in.v[n + i]));
    uint32_t floats = 0;
    for (uint32_t i = 0; i < n; i++)
        floats += kl_ref_derivable(g, kl_graph_src(g, r, i));
    if (!back || in.failed || in.n != back->ninputs || floats != back->noutputs) {
        kl_fail(KL_ERR_ARG, "function @%s: its derivative needs %u inputs and %u outputs",
                body->name, in.n, floats);
        d->failed = true;
        return;
    }
    kl_ref *out = kl_arena_alloc(g->arena, ((size_t)floats + 1) * sizeof *out);
    if (!out || kl_graph_inline(g, back, in.v, out) != KL_OK) {
        kl_ad_fail(d);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (kl_ref_derivable(g, in.v[i]))
            kl_ad_give(d, in.v[i], out[k++]);
}

/* ---- cond ---- */

/* then or else with cotangents of the results that have one; gives those of the operands.
 */
static uint32_t cond_body(kl_ad *d, const kl_graph *body, const kl_ref *res)
{
    kl_body_copy c;
    kl_refs roots = {.arena = d->g->arena}, seeds = roots;
    if (!kl_body_copy_of(&c, body, "grad"))
        return KL_NONE;
    for (uint32_t i = 0; i < body->noutputs; i++)
        if (res[i] != KL_ZERO) {
            kl_refs_add(&seeds, kl_input_like(c.h, body, body->outputs[i]));
            kl_refs_add(&roots, c.out[i]);
        }
    if (roots.failed || seeds.failed || !output_cotangents(&c, &roots, &seeds))
        return KL_NONE;
    return kl_graph_body(d->g, c.h);
}

void kl_vjp_cond(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    const kl_graph *yes = g->bodies[attr[0]], *no = g->bodies[attr[1]];
    const kl_ref *res = d->results[r - d->lo];
    uint32_t n = g->nodes[r].nsrc;
    int64_t bodies[] = {cond_body(d, yes, res), cond_body(d, no, res)};
    kl_refs in = {.arena = g->arena};
    (void)u;
    for (uint32_t i = 0; i < n; i++)
        kl_refs_add(&in, kl_graph_src(g, r, i));
    for (uint32_t i = 0; i < yes->noutputs; i++)
        if (res[i] != KL_ZERO)
            kl_refs_add(&in, res[i]);
    if (bodies[0] == KL_NONE || bodies[1] == KL_NONE || in.failed) {
        kl_ad_fail(d);
        return;
    }
    kl_ref y = kl_node_of(g, KL_OP_cond, NULL, in.v, in.n, bodies, 2);
    int k = 0;
    for (uint32_t i = 1; i < n; i++)
        if (kl_ref_derivable(g, kl_graph_src(g, r, i)))
            kl_ad_give(d, kl_graph_src(g, r, i), kl_g_pick(g, y, k++));
}

/* ---- while ---- */

void kl_vjp_while(kl_ad *d, kl_ref r, kl_ref u)
{
    (void)r;
    (void)u;
    d->failed = true;
    kl_fail(KL_ERR_UNSUPPORTED,
            "while has no reverse derivative: its number of steps is unknown; "
            "use scan, or forward mode");
}

/* cond with the tangents beside the carries, unread. */
static uint32_t test_with_tangents(kl_graph *g, const kl_graph *test)
{
    kl_body_copy c;
    if (!kl_body_copy_of(&c, test, "jvp") ||
        kl_graph_output(c.h, c.out[0], NULL) != KL_OK)
        return KL_NONE;
    for (uint32_t i = 0; i < test->ninputs; i++)
        if (kl_ref_derivable(test, test->inputs[i]) &&
            kl_input_like(c.h, test, test->inputs[i]) == KL_NONE)
            return KL_NONE;
    return kl_graph_body(g, c.h);
}

static uint32_t step_with_tangents(kl_graph *g, const kl_graph *body)
{
    kl_body_copy c;
    kl_refs by = {.arena = g->arena}, t = by, roots = by;
    if (!kl_body_copy_of(&c, body, "jvp"))
        return KL_NONE;
    for (uint32_t i = 0; i < body->ninputs; i++)
        if (kl_ref_derivable(body, body->inputs[i])) {
            kl_refs_add(&by, c.in.v[i]);
            kl_refs_add(&t, kl_input_like(c.h, body, body->inputs[i]));
            kl_refs_add(&roots, c.out[i]);
        }
    kl_ref *y = kl_arena_alloc(g->arena, ((size_t)by.n + 1) * sizeof *y);
    if (!y || by.failed || t.failed || roots.failed ||
        kl_ad_forward(c.h, roots.v, roots.n, by.v, t.v, by.n, y) != KL_OK)
        return KL_NONE;
    for (uint32_t i = 0; i < body->noutputs; i++)
        if (kl_graph_output(c.h, c.out[i], NULL) != KL_OK)
            return KL_NONE;
    for (uint32_t i = 0; i < by.n; i++)
        if (kl_graph_output(c.h, kl_solid(c.h, y[i], roots.v[i]), NULL) != KL_OK)
            return KL_NONE;
    return kl_graph_body(g, c.h);
}

kl_status kl_jvp_while(kl_ad *d, kl_ref r)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    uint32_t n = g->nodes[r].nsrc, k = n;
    kl_refs in = {.arena = g->arena};
    int64_t bodies[] = {test_with_tangents(g, g->bodies[attr[0]]),
                        step_with_tangents(g, g->bodies[attr[1]])};
    for (uint32_t i = 0; i < n; i++)
        kl_refs_add(&in, kl_graph_src(g, r, i));
    for (uint32_t i = 0; i < n; i++) {
        kl_ref s = kl_graph_src(g, r, i);
        if (kl_ref_derivable(g, s))
            kl_refs_add(&in,
                        kl_solid(g, kl_ad_wants(d, s) ? d->cot[s - d->lo] : KL_ZERO, s));
    }
    if (in.failed || bodies[0] == KL_NONE || bodies[1] == KL_NONE) {
        kl_ad_fail(d);
        return kl_error_status();
    }
    kl_ref y = kl_node_of(g, KL_OP_while, NULL, in.v, in.n, bodies, 2);
    for (uint32_t i = 0; i < n; i++)
        if (kl_ref_derivable(g, kl_graph_src(g, r, i)))
            kl_ad_give_result(d, r, (int)i, kl_g_pick(g, y, (int)k++));
    return d->failed ? kl_error_status() : KL_OK;
}

/* ---- derivatives themselves: gone before anything above them is derived ---- */

static void in_order(kl_ad *d)
{
    d->failed = true;
    kl_fail(KL_ERR_INTERNAL, "autodiff: a derivative was met before it was expanded");
}

void kl_vjp_grad(kl_ad *d, kl_ref r, kl_ref u)
{
    (void)r;
    (void)u;
    in_order(d);
}

void kl_vjp_jvp(kl_ad *d, kl_ref r, kl_ref u)
{
    (void)r;
    (void)u;
    in_order(d);
}
