/* derive_body.c: cotangents through graphs within graphs. A body's derivative is a body:
 * its inputs are the old ones and a cotangent for each result that has one, its outputs a
 * cotangent for each floating-point input. A cond becomes a cond, a scan a scan run
 * backwards over what it carried (a second scan of the forward body keeps that), a
 * function its own derivative graph.
 *
 *   (c, y) = scan c0, x             keep:  (c, before) = scan c0, x
 *                            ->     back:  (c0', x') = scan yc', flip(before), flip(x),
 * flip(y')
 *
 * A carry that the body hands on as it is (weights) is not kept a step: it is one of back
 * too.
 *
 * A while's reverse would need room for an unknown number of carries: an error says so;
 * forward mode carries tangents along. */
#include "passes/derive.h"

/* ---- lists of refs with their types ---- */

typedef struct list {
    kl_arena *arena;
    kl_ref *v;
    uint32_t n, cap;
    bool failed;
} list;

static void add(list *l, kl_ref r)
{
    l->failed |= r == KL_NONE ||
                 kl_arena_grow(l->arena, &l->v, &l->cap, l->n + 1, sizeof *l->v) != KL_OK;
    if (!l->failed)
        l->v[l->n++] = r;
}

static bool is_float(const kl_graph *g, kl_ref r)
{
    return kl_derivable((kl_dtype)g->nodes[r].dtype);
}

/* An input of h like value r of g. */
static kl_ref input_like(kl_graph *h, const kl_graph *g, kl_ref r)
{
    kl_type t;
    kl_graph_type(g, r, &t);
    return kl_graph_input(h, NULL, t.dtype, t.rank, t.shape);
}

static kl_ref solid(kl_graph *g, kl_ref u, kl_ref like)
{
    return u == KL_ZERO ? kl_g_const_like(g, like, 0.0) : u;
}

/* ---- a body inlined into a new graph ---- */

typedef struct copy {
    kl_graph *h;
    list in;     /* its inputs, as the body's */
    kl_ref *out; /* the body's outputs in it */
} copy;

static bool copy_body(copy *c, const kl_graph *body, const char *suffix)
{
    *c = (copy){
        .h = kl_graph_new(body->arena, body->dims,
                          kl_arena_printf(body->arena, "%s_%s", body->name, suffix))};
    c->in.arena = body->arena;
    c->out = kl_arena_alloc(body->arena, ((size_t)body->noutputs + 1) * sizeof *c->out);
    if (!c->h || !c->out)
        return false;
    for (uint32_t i = 0; i < body->ninputs; i++)
        add(&c->in, input_like(c->h, body, body->inputs[i]));
    return !c->in.failed && kl_graph_inline(c->h, body, c->in.v, c->out) == KL_OK;
}

static bool output_all(kl_graph *h, const list *l)
{
    for (uint32_t i = 0; i < l->n; i++)
        if (kl_graph_output(h, l->v[i], NULL) != KL_OK)
            return false;
    return true;
}

/* Cotangents of the floating-point inputs of a copied body become outputs; those of the
 * first ncarry are followed by what is handed on. */
static bool output_cotangents(copy *c, const list *roots, const list *seeds,
                              uint32_t ncarry, const list *handed)
{
    list by = {.arena = c->h->arena};
    uint32_t carries = 0;
    for (uint32_t i = 0; i < c->in.n; i++)
        if (is_float(c->h, c->in.v[i])) {
            add(&by, c->in.v[i]);
            carries += i < ncarry;
        }
    kl_ref *u = kl_arena_alloc(c->h->arena, ((size_t)by.n + 1) * sizeof *u);
    if (!u || by.failed ||
        kl_ad_reverse(c->h, roots->v, seeds->v, roots->n, by.v, by.n, u) != KL_OK)
        return false;
    for (uint32_t i = 0; i < by.n; i++)
        if ((i == carries && !output_all(c->h, handed)) ||
            kl_graph_output(c->h, solid(c->h, u[i], by.v[i]), NULL) != KL_OK)
            return false;
    return carries < by.n || output_all(c->h, handed);
}

static void fail(kl_ad *d)
{
    d->failed = true;
    if (!kl_error_status())
        kl_fail(KL_ERR_OOM, "autodiff: out of memory");
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
    list by = {.arena = g->arena}, roots = by, seeds = by;
    kl_ref *out =
        kl_arena_alloc(g->arena, ((size_t)body->noutputs + n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++) {
        kl_ref s = kl_graph_src(g, r, i);
        int64_t number = (INT64_C(1) << 40) + g->count;
        add(&by, kl_node_of(g, KL_OP_detach, NULL, &s, 1, &number, 1));
    }
    if (!out || by.failed || kl_graph_inline(g, body, by.v, out) != KL_OK)
        return false;
    for (uint32_t i = first; i < body->noutputs; i++)
        if (res[i] != KL_ZERO) {
            add(&roots, out[i]);
            add(&seeds, res[i]);
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
    list in = {.arena = g->arena};
    const kl_ref *res = d->results[r - d->lo];
    int64_t nresults = attr[1];
    (void)u;
    if (any_cotangent(res, (uint32_t)nresults, body->noutputs) &&
        !function_extras(d, r, body, res)) {
        fail(d);
        return;
    }
    if (!any_cotangent(res, 0, (uint32_t)nresults))
        return;
    for (uint32_t i = 0; i < n; i++)
        add(&in, kl_graph_src(g, r, i));
    for (uint32_t i = 0; i < body->noutputs; i++)
        add(&in, kl_g_pick(g, r, (int)i));
    for (int64_t i = 0; !in.failed && i < nresults; i++)
        if (is_float(g, in.v[n + i]))
            add(&in, solid(g, res[i], in.v[n + i]));
    uint32_t floats = 0;
    for (uint32_t i = 0; i < n; i++)
        floats += is_float(g, kl_graph_src(g, r, i));
    if (!back || in.failed || in.n != back->ninputs || floats != back->noutputs) {
        kl_fail(KL_ERR_ARG, "function @%s: its derivative needs %u inputs and %u outputs",
                body->name, in.n, floats);
        d->failed = true;
        return;
    }
    kl_ref *out = kl_arena_alloc(g->arena, ((size_t)floats + 1) * sizeof *out);
    if (!out || kl_graph_inline(g, back, in.v, out) != KL_OK) {
        fail(d);
        return;
    }
    for (uint32_t i = 0; i < n; i++)
        if (is_float(g, in.v[i]))
            kl_ad_give(d, in.v[i], out[k++]);
}

/* ---- cond ---- */

/* then or else with cotangents of the results that have one; gives those of the operands.
 */
static uint32_t cond_body(kl_ad *d, const kl_graph *body, const kl_ref *res)
{
    copy c;
    list roots = {.arena = d->g->arena}, seeds = roots;
    if (!copy_body(&c, body, "grad"))
        return KL_NONE;
    for (uint32_t i = 0; i < body->noutputs; i++)
        if (res[i] != KL_ZERO) {
            add(&seeds, input_like(c.h, body, body->outputs[i]));
            add(&roots, c.out[i]);
        }
    if (roots.failed || seeds.failed ||
        !output_cotangents(&c, &roots, &seeds, 0, &(list){0}))
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
    list in = {.arena = g->arena};
    (void)u;
    for (uint32_t i = 0; i < n; i++)
        add(&in, kl_graph_src(g, r, i));
    for (uint32_t i = 0; i < yes->noutputs; i++)
        if (res[i] != KL_ZERO)
            add(&in, res[i]);
    if (bodies[0] == KL_NONE || bodies[1] == KL_NONE || in.failed) {
        fail(d);
        return;
    }
    kl_ref y = kl_node_of(g, KL_OP_cond, NULL, in.v, in.n, bodies, 2);
    int k = 0;
    for (uint32_t i = 1; i < n; i++)
        if (is_float(g, kl_graph_src(g, r, i)))
            kl_ad_give(d, kl_graph_src(g, r, i), kl_g_pick(g, y, k++));
}

/* ---- scan ---- */

typedef struct scan {
    kl_graph *g;
    kl_ref r;
    const kl_graph *body;
    uint32_t ncarry, nsrc, nout;
    const kl_ref *res; /* cotangents of the results */
} scan;

/* Is carry i handed on as it is? */
static bool stays(const scan *s, uint32_t i)
{
    return s->body->outputs[i] == s->body->inputs[i];
}

/* The forward body, also giving its carries as they come in: once it is there, what else
 * reads the scan reads this one (autodiff.c). */
static kl_ref carried(const scan *s)
{
    copy c;
    if (!copy_body(&c, s->body, "keep"))
        return KL_NONE;
    c.h->extends = s->body;
    for (uint32_t i = 0; i < s->nout; i++)
        if (kl_graph_output(c.h, c.out[i], NULL) != KL_OK)
            return KL_NONE;
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (!stays(s, i) && kl_graph_output(c.h, c.in.v[i], NULL) != KL_OK)
            return KL_NONE;
    int64_t attr[] = {s->ncarry, kl_graph_body(s->g, c.h)};
    const kl_ref *src = s->g->srcs + s->g->nodes[s->r].src;
    return kl_node_of(s->g, KL_OP_scan, NULL, src, s->nsrc, attr, 2);
}

/* The body's inputs in the order of a step backwards: carries that stay, (scanned) those
 * that came in, the elements. */
static void inputs_back(const scan *s, copy *c)
{
    const kl_graph *b = s->body;
    for (uint32_t i = 0; i < b->ninputs; i++)
        add(&c->in, 0);
    for (int scanned = 0; scanned < 2; scanned++)
        for (uint32_t i = 0; i < b->ninputs && !c->in.failed; i++)
            if (scanned == !(i < s->ncarry && stays(s, i))) {
                c->in.v[i] = input_like(c->h, b, b->inputs[i]);
                c->in.failed |= c->in.v[i] == KL_NONE;
            }
}

/* One step backwards. Inputs: cotangents of floating carries, then the body's own, then
 * cotangents of the stacked results. */
static uint32_t step_back(const scan *s)
{
    const kl_graph *b = s->body;
    list roots = {.arena = s->g->arena}, seeds = roots, handed = roots;
    copy c = {.h = kl_graph_new(b->arena, b->dims,
                                kl_arena_printf(b->arena, "%s_back", b->name)),
              .in = {.arena = b->arena}};
    c.out = kl_arena_alloc(b->arena, ((size_t)s->nout + 1) * sizeof *c.out);
    if (!c.h || !c.out)
        return KL_NONE;
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (is_float(b, b->outputs[i]))
            add(&seeds, input_like(c.h, b, b->outputs[i]));
    inputs_back(s, &c);
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (stays(s, i))
            add(&handed, c.in.v[i]);
    for (uint32_t i = s->ncarry; i < s->nout; i++)
        if (s->res[i] != KL_ZERO)
            add(&seeds, input_like(c.h, b, b->outputs[i]));
    if (seeds.failed || c.in.failed || handed.failed ||
        kl_graph_inline(c.h, b, c.in.v, c.out) != KL_OK)
        return KL_NONE;
    for (uint32_t i = 0; i < s->nout; i++)
        if (i < s->ncarry ? is_float(b, b->outputs[i]) : s->res[i] != KL_ZERO)
            add(&roots, c.out[i]);
    if (roots.failed || !output_cotangents(&c, &roots, &seeds, s->ncarry, &handed))
        return KL_NONE;
    return kl_graph_body(s->g, c.h);
}

/* *ncarry: cotangents that it carries. */
static kl_ref scan_back(const scan *s, kl_ref keep, uint32_t *ncarry)
{
    kl_graph *g = s->g;
    list in = {.arena = g->arena};
    int k = (int)s->nout;
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (is_float(s->body, s->body->outputs[i]))
            add(&in, solid(g, s->res[i], kl_graph_src(g, s->r, i)));
    *ncarry = in.n;
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (stays(s, i))
            add(&in, kl_graph_src(g, s->r, i));
    int64_t attr[] = {in.n, step_back(s)};
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (!stays(s, i))
            add(&in, kl_g_flip(g, kl_g_pick(g, keep, k++), 1));
    for (uint32_t i = s->ncarry; i < s->nsrc; i++)
        add(&in, kl_g_flip(g, kl_graph_src(g, s->r, i), 1));
    for (uint32_t i = s->ncarry; i < s->nout; i++)
        if (s->res[i] != KL_ZERO)
            add(&in, kl_g_flip(g, s->res[i], 1));
    if (in.failed || attr[1] == KL_NONE)
        return KL_NONE;
    return kl_node_of(g, KL_OP_scan, NULL, in.v, in.n, attr, 2);
}

void kl_vjp_scan(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    scan s = {g,
              r,
              g->bodies[attr[1]],
              (uint32_t)attr[0],
              g->nodes[r].nsrc,
              0,
              d->results[r - d->lo]};
    uint32_t ncarry = 0, handed = 0, k = 0;
    (void)u;
    s.nout = s.body->noutputs;
    for (uint32_t i = 0; i < s.ncarry; i++)
        handed += stays(&s, i);
    kl_ref keep = carried(&s), y = keep == KL_NONE ? keep : scan_back(&s, keep, &ncarry);
    if (y == KL_NONE) {
        fail(d);
        return;
    }
    for (uint32_t i = 0; i < s.nsrc; i++) {
        kl_ref a = kl_graph_src(g, r, i);
        if (!is_float(g, a))
            continue;
        kl_ref p = kl_g_pick(g, y, (int)(k < ncarry ? k : k + handed));
        k++;
        kl_ad_give(d, a, i < s.ncarry ? p : kl_g_flip(g, p, 1));
    }
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
    copy c;
    if (!copy_body(&c, test, "jvp") || kl_graph_output(c.h, c.out[0], NULL) != KL_OK)
        return KL_NONE;
    for (uint32_t i = 0; i < test->ninputs; i++)
        if (is_float(test, test->inputs[i]) &&
            input_like(c.h, test, test->inputs[i]) == KL_NONE)
            return KL_NONE;
    return kl_graph_body(g, c.h);
}

static uint32_t step_with_tangents(kl_graph *g, const kl_graph *body)
{
    copy c;
    list by = {.arena = g->arena}, t = by, roots = by;
    if (!copy_body(&c, body, "jvp"))
        return KL_NONE;
    for (uint32_t i = 0; i < body->ninputs; i++)
        if (is_float(body, body->inputs[i])) {
            add(&by, c.in.v[i]);
            add(&t, input_like(c.h, body, body->inputs[i]));
            add(&roots, c.out[i]);
        }
    kl_ref *y = kl_arena_alloc(g->arena, ((size_t)by.n + 1) * sizeof *y);
    if (!y || by.failed || t.failed || roots.failed ||
        kl_ad_forward(c.h, roots.v, roots.n, by.v, t.v, by.n, y) != KL_OK)
        return KL_NONE;
    for (uint32_t i = 0; i < body->noutputs; i++)
        if (kl_graph_output(c.h, c.out[i], NULL) != KL_OK)
            return KL_NONE;
    for (uint32_t i = 0; i < by.n; i++)
        if (kl_graph_output(c.h, solid(c.h, y[i], roots.v[i]), NULL) != KL_OK)
            return KL_NONE;
    return kl_graph_body(g, c.h);
}

kl_status kl_jvp_while(kl_ad *d, kl_ref r)
{
    kl_graph *g = d->g;
    const int64_t *attr = kl_graph_attr(g, r);
    uint32_t n = g->nodes[r].nsrc, k = n;
    list in = {.arena = g->arena};
    int64_t bodies[] = {test_with_tangents(g, g->bodies[attr[0]]),
                        step_with_tangents(g, g->bodies[attr[1]])};
    for (uint32_t i = 0; i < n; i++)
        add(&in, kl_graph_src(g, r, i));
    for (uint32_t i = 0; i < n; i++) {
        kl_ref s = kl_graph_src(g, r, i);
        if (is_float(g, s))
            add(&in, solid(g, kl_ad_wants(d, s) ? d->cot[s - d->lo] : KL_ZERO, s));
    }
    if (in.failed || bodies[0] == KL_NONE || bodies[1] == KL_NONE) {
        fail(d);
        return kl_error_status();
    }
    kl_ref y = kl_node_of(g, KL_OP_while, NULL, in.v, in.n, bodies, 2);
    for (uint32_t i = 0; i < n; i++)
        if (is_float(g, kl_graph_src(g, r, i)))
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
