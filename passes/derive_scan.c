/* derive_scan.c: cotangents through a scan: a scan run backwards over what the first one
 * carried, which a second scan of the forward body keeps.
 *
 *   (c, y) = scan c0, x     ->   keep:  (c, y, before) = scan c0, x
 *                                back:  (c0', x') = scan yc', flip(before), flip(x),
 * flip(y')
 *
 * A carry that the body hands on as it is (weights) is not kept a step: it is one of back
 * too. What each step gives of it is a sum of contractions and sums, as a rule: then its
 * operands are stacked instead, and all steps are one contraction after the loop, where
 * the steps' own would have few terms and go over the whole of it each time:
 *
 *   w' += contract a[t], b[t] "mk,mn->kn"     ->     w' = contract a, b "tmk,tmn->kn"
 *
 * What the body contracts is kept as well where back needs it; the rest it computes
 * again.
 */
#include "passes/derive.h"

typedef struct scan {
    kl_graph *g;
    kl_ref r;
    const kl_graph *body; /* it also gives what it contracts, behind its nout results */
    uint32_t ncarry, nsrc, nout;
    const kl_ref *res; /* cotangents of the results */
} scan;

/* The scan backwards. Its body's inputs: cotangents of floating carries that are not
 * late, then the forward body's own (carries that stay first), then cotangents of the
 * stacked results; its outputs: those cotangents again, what stays, then what is stacked:
 * the cotangents of the elements and the operands of what is late. */
typedef struct back {
    const scan *s;
    kl_graph *h;
    kl_refs in;    /* the forward body's inputs in h */
    kl_ref *u;     /* their cotangents in h, KL_ZERO where there is none */
    kl_ref *out;   /* the forward body's outputs in h */
    bool *reads;   /* by them: h takes it from the forward scan */
    bool *late;    /* by carry: it stays, and its cotangent is made after the loop */
    kl_refs given; /* h's outputs */
    uint32_t nstate, ncarry; /* those cotangents; with what stays */
    kl_refs src;             /* the scan's operands in g, in the order of h's inputs */
    kl_ref y;                /* the scan in g */
} back;

/* Is carry i handed on as it is? */
static bool stays(const scan *s, uint32_t i)
{
    return s->body->outputs[i] == s->body->inputs[i];
}

static bool floats(const scan *s, uint32_t i)
{
    return kl_ref_derivable(s->body, s->body->inputs[i]);
}

/* ---- the step backwards ---- */

/* The forward body's inputs: carries that stay, (scanned) those that came in, the
 * elements. */
static void inputs_back(back *w)
{
    const scan *s = w->s;
    const kl_graph *b = s->body;
    w->in = (kl_refs){.arena = b->arena};
    for (uint32_t i = 0; i < b->ninputs; i++)
        kl_refs_add(&w->in, 0);
    for (int scanned = 0; scanned < 2; scanned++)
        for (uint32_t i = 0; i < b->ninputs && !w->in.failed; i++)
            if (scanned == !(i < s->ncarry && stays(s, i))) {
                w->in.v[i] = kl_input_like(w->h, b, b->inputs[i]);
                w->in.failed |= w->in.v[i] == KL_NONE;
            }
}

/* h with its inputs, and the cotangents of the forward body's. */
static bool reverse_step(back *w)
{
    const scan *s = w->s;
    const kl_graph *b = s->body;
    kl_refs roots = {.arena = b->arena}, seeds = roots, by = roots;
    w->out = kl_arena_alloc(b->arena, ((size_t)b->noutputs + 1) * sizeof *w->out);
    w->h = kl_graph_new(b->arena, b->dims, kl_arena_printf(b->arena, "%s_back", b->name));
    if (!w->h || !w->out)
        return false;
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (floats(s, i) && !w->late[i])
            kl_refs_add(&seeds, kl_input_like(w->h, b, b->outputs[i]));
    w->nstate = w->ncarry = seeds.n;
    for (uint32_t i = 0; i < s->ncarry; i++)
        w->ncarry += stays(s, i);
    inputs_back(w);
    for (uint32_t i = s->ncarry; i < s->nout; i++)
        if (s->res[i] != KL_ZERO)
            kl_refs_add(&seeds, kl_input_like(w->h, b, b->outputs[i]));
    if (seeds.failed || w->in.failed ||
        kl_graph_inline(w->h, b, w->in.v, w->out) != KL_OK)
        return false;
    for (uint32_t i = 0; i < s->nout; i++)
        if (i < s->ncarry ? floats(s, i) && !w->late[i] : s->res[i] != KL_ZERO)
            kl_refs_add(&roots, w->out[i]);
    for (uint32_t i = 0; i < b->ninputs; i++)
        if (kl_ref_derivable(b, b->inputs[i]))
            kl_refs_add(&by, w->in.v[i]);
    kl_ref *u = kl_arena_alloc(b->arena, ((size_t)by.n + 1) * sizeof *u);
    w->u = kl_arena_alloc(b->arena, ((size_t)b->ninputs + 1) * sizeof *u);
    if (!u || !w->u || by.failed || roots.failed ||
        kl_ad_reverse(w->h, roots.v, seeds.v, roots.n, by.v, by.n, u) != KL_OK)
        return false;
    for (uint32_t i = 0, k = 0; i < b->ninputs; i++)
        w->u[i] = kl_ref_derivable(b, b->inputs[i]) ? u[k++] : KL_ZERO;
    return true;
}

/* ---- what is late ---- */

/* Where value r is among h's inputs; KL_NONE: it is another one. */
static uint32_t input_at(const back *w, kl_ref r)
{
    for (uint32_t i = 0; i < w->h->ninputs; i++)
        if (w->h->inputs[i] == r)
            return i;
    return KL_NONE;
}

/* Can operand r be had for all steps at once? One that is the same in each is not
 * stacked. */
static bool stacks(const back *w, kl_ref r)
{
    uint32_t i = input_at(w, r);
    return w->h->nodes[r].rank < KL_MAX_RANK && (i < w->nstate || i >= w->ncarry);
}

/* Can the sum of r over all steps be made of its stacked operands? */
static bool sums_late(const back *w, kl_ref r)
{
    const kl_graph *h = w->h;
    switch (h->nodes[r].op) {
    case KL_OP_add:
        return sums_late(w, kl_graph_src(h, r, 0)) && sums_late(w, kl_graph_src(h, r, 1));
    case KL_OP_permute:
    case KL_OP_reshape:
        return sums_late(w, kl_graph_src(h, r, 0));
    case KL_OP_contract:
        return stacks(w, kl_graph_src(h, r, 0)) && stacks(w, kl_graph_src(h, r, 1));
    case KL_OP_reduce:
        return kl_graph_attr(h, r)[0] == KL_OP_add && stacks(w, kl_graph_src(h, r, 0));
    default:
        return false;
    }
}

/* Where value r is among what is stacked; KL_NONE: it is not. */
static uint32_t given_at(const back *w, kl_ref r)
{
    for (uint32_t i = w->ncarry; i < w->given.n; i++)
        if (w->given.v[i] == r)
            return i;
    return KL_NONE;
}

static bool is_element(const back *w, kl_ref r)
{
    uint32_t i = input_at(w, r);
    return i != KL_NONE && i >= w->ncarry;
}

/* The operands of sums_late(r) that are not there already become outputs of the step. */
static void give_operands(back *w, kl_ref r)
{
    const kl_node *n = &w->h->nodes[r];
    bool leaf = n->op == KL_OP_contract || n->op == KL_OP_reduce;
    for (uint32_t i = 0; i < n->nsrc; i++) {
        kl_ref s = kl_graph_src(w->h, r, i);
        if (!leaf)
            give_operands(w, s);
        else if (!is_element(w, s) && given_at(w, s) == KL_NONE)
            kl_refs_add(&w->given, s);
    }
}

/* Value r of a step, of all steps, in g. */
static kl_ref stacked(const back *w, kl_ref r)
{
    if (is_element(w, r))
        return w->src.v[input_at(w, r)];
    return kl_g_pick(w->s->g, w->y, (int)given_at(w, r));
}

/* contract a[t], b[t] over all t as well: label 0, in front of both. */
static kl_ref contract_all(kl_graph *g, const kl_graph *h, kl_ref r, kl_ref a, kl_ref b)
{
    int64_t attr[3 + 3 * KL_MAX_RANK];
    const int64_t *one = kl_graph_attr(h, r), *label = one + 3;
    kl_ref src[] = {a, b};
    kl_type t = {.dtype = (kl_dtype)h->nodes[r].dtype};
    uint32_t at = 3;
    for (int part = 0; part < 3; part++) {
        attr[part] = one[part] + (part < 2);
        if (part < 2)
            attr[at++] = 0;
        for (int64_t i = 0; i < one[part]; i++)
            attr[at++] = *label++ + 1;
    }
    return kl_node_of(g, KL_OP_contract, &t, src, 2, attr, at);
}

/* The sum of value r of h over all steps, in g. */
static kl_ref sum_late(const back *w, kl_ref r)
{
    const kl_graph *h = w->h;
    const kl_node *n = &h->nodes[r];
    kl_graph *g = w->s->g;
    if (n->op == KL_OP_contract)
        return contract_all(g, h, r, stacked(w, kl_graph_src(h, r, 0)),
                            stacked(w, kl_graph_src(h, r, 1)));
    if (n->op == KL_OP_reduce) {
        uint64_t axes = (uint64_t)kl_graph_attr(h, r)[1];
        return kl_g_reduce(g, KL_OP_add, stacked(w, kl_graph_src(h, r, 0)), axes << 1 | 1,
                           false);
    }
    kl_ref src[2];
    kl_type t;
    kl_graph_type(h, r, &t);
    for (uint32_t i = 0; i < n->nsrc; i++)
        if ((src[i] = sum_late(w, kl_graph_src(h, r, i))) == KL_NONE)
            return KL_NONE;
    return kl_node_of(g, (kl_op)n->op, &t, src, n->nsrc, kl_graph_attr(h, r), n->nattr);
}

/* ---- the scan backwards ---- */

/* A step in which all is late that can be. */
static bool step_back(back *w)
{
    const scan *s = w->s;
    bool again = false;
    w->late = kl_arena_zeroed(s->g->arena, s->ncarry + 1, sizeof *w->late);
    if (!w->late)
        return false;
    for (uint32_t i = 0; i < s->ncarry; i++)
        w->late[i] = stays(s, i) && floats(s, i);
    do {
        if (!reverse_step(w))
            return false;
        again = false;
        for (uint32_t i = 0; i < s->ncarry; i++)
            if (w->late[i] && w->u[i] != KL_ZERO && !sums_late(w, w->u[i])) {
                w->late[i] = false;
                again = true;
            }
    } while (again);
    return true;
}

static bool outputs_back(back *w)
{
    const scan *s = w->s;
    w->given = (kl_refs){.arena = s->g->arena};
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (floats(s, i) && !w->late[i])
            kl_refs_add(&w->given, kl_solid(w->h, w->u[i], w->in.v[i]));
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (stays(s, i))
            kl_refs_add(&w->given, w->in.v[i]);
    for (uint32_t i = s->ncarry; i < s->nsrc; i++)
        if (floats(s, i))
            kl_refs_add(&w->given, kl_solid(w->h, w->u[i], w->in.v[i]));
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (w->late[i] && w->u[i] != KL_ZERO)
            give_operands(w, w->u[i]);
    return !w->given.failed && kl_refs_output(w->h, &w->given);
}

/* ---- what the forward scan keeps ---- */

/* The body with what it contracts among its outputs. */
static const kl_graph *with_products(const kl_graph *body)
{
    kl_body_copy c;
    kl_refs given = {.arena = body->arena};
    if (!kl_body_copy_of(&c, body, NULL))
        return NULL;
    for (uint32_t i = 0; i < body->noutputs; i++)
        kl_refs_add(&given, c.out[i]);
    for (kl_ref r = 0; r < c.h->count; r++)
        if (c.h->nodes[r].op == KL_OP_contract)
            kl_refs_add(&given, r);
    return given.failed || !kl_refs_output(c.h, &given) ? NULL : c.h;
}

/* Which of the forward body's outputs from nout on value r of h is; KL_NONE: none. */
static uint32_t product_at(const back *w, kl_ref r)
{
    for (uint32_t i = w->s->nout; i < w->s->body->noutputs; i++)
        if (w->out[i] == r)
            return i;
    return KL_NONE;
}

/* Sets reads: the products that h's outputs are made of, when no product is made again.
 */
static bool find_reads(back *w)
{
    const kl_graph *h = w->h;
    bool *live = kl_arena_zeroed(h->arena, h->count + 1, sizeof *live);
    w->reads = kl_arena_zeroed(h->arena, w->s->body->noutputs + 1, sizeof *w->reads);
    if (!live || !w->reads)
        return false;
    for (uint32_t i = 0; i < h->noutputs; i++)
        live[h->outputs[i]] = true;
    for (kl_ref r = h->count; r-- > 0;) {
        uint32_t i = live[r] ? product_at(w, r) : KL_NONE;
        if (i != KL_NONE)
            w->reads[i] = true;
        for (uint32_t k = 0; live[r] && i == KL_NONE && k < h->nodes[r].nsrc; k++)
            live[kl_graph_src(h, r, k)] = true;
    }
    return true;
}

static kl_ref visit_read(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                         const kl_ref *src)
{
    const back *w = ctx;
    uint32_t i = product_at(w, r);
    if (i != KL_NONE && w->reads[i])
        return kl_input_like(to, from, r);
    return kl_graph_copy_node(to, from, r, src);
}

/* The forward scan, also giving its carries as they come in, but those that stay, and
 * what back reads: once it is there, what else reads the scan reads this one
 * (autodiff.c). */
static kl_ref carried(const back *w)
{
    const scan *s = w->s;
    const kl_graph *b = s->body;
    kl_body_copy c;
    kl_refs given = {.arena = b->arena};
    if (!kl_body_copy_of(&c, b, "keep"))
        return KL_NONE;
    c.h->extends = s->g->bodies[kl_graph_attr(s->g, s->r)[1]];
    for (uint32_t i = 0; i < s->nout; i++)
        kl_refs_add(&given, c.out[i]);
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (!stays(s, i))
            kl_refs_add(&given, c.in.v[i]);
    for (uint32_t i = s->nout; i < b->noutputs; i++)
        if (w->reads[i])
            kl_refs_add(&given, c.out[i]);
    if (given.failed || !kl_refs_output(c.h, &given))
        return KL_NONE;
    int64_t attr[] = {s->ncarry, kl_graph_body(s->g, c.h)};
    const kl_ref *src = s->g->srcs + s->g->nodes[s->r].src;
    return kl_node_of(s->g, KL_OP_scan, NULL, src, s->nsrc, attr, 2);
}

static bool scan_back(back *w)
{
    const scan *s = w->s;
    kl_graph *g = s->g, *h = w->h;
    kl_refs in = {.arena = g->arena};
    kl_ref keep = find_reads(w) ? carried(w) : KL_NONE;
    int k = (int)s->nout;
    if (keep == KL_NONE || kl_graph_rewrite(&h, visit_read, w) != KL_OK)
        return false;
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (floats(s, i) && !w->late[i])
            kl_refs_add(&in, kl_solid(g, s->res[i], kl_graph_src(g, s->r, i)));
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (stays(s, i))
            kl_refs_add(&in, kl_graph_src(g, s->r, i));
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (!stays(s, i))
            kl_refs_add(&in, kl_g_flip(g, kl_g_pick(g, keep, k++), 1));
    for (uint32_t i = s->ncarry; i < s->nsrc; i++)
        kl_refs_add(&in, kl_g_flip(g, kl_graph_src(g, s->r, i), 1));
    for (uint32_t i = s->ncarry; i < s->nout; i++)
        if (s->res[i] != KL_ZERO)
            kl_refs_add(&in, kl_g_flip(g, s->res[i], 1));
    for (uint32_t i = s->nout; i < s->body->noutputs; i++)
        if (w->reads[i])
            kl_refs_add(&in, kl_g_flip(g, kl_g_pick(g, keep, k++), 1));
    int64_t attr[] = {w->ncarry, kl_graph_body(g, h)};
    w->src = in;
    w->y = in.failed || attr[1] == KL_NONE
               ? KL_NONE
               : kl_node_of(g, KL_OP_scan, NULL, in.v, in.n, attr, 2);
    return w->y != KL_NONE;
}

void kl_vjp_scan(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_graph *g = d->g;
    const kl_graph *body = g->bodies[kl_graph_attr(g, r)[1]];
    scan s = {.g = g,
              .r = r,
              .body = with_products(body),
              .ncarry = (uint32_t)kl_graph_attr(g, r)[0],
              .nsrc = g->nodes[r].nsrc,
              .nout = body->noutputs,
              .res = d->results[r - d->lo]};
    back w = {.s = &s};
    (void)u;
    if (!s.body || !step_back(&w) || !outputs_back(&w) || !scan_back(&w)) {
        kl_ad_fail(d);
        return;
    }
    int state = 0, stack = (int)w.ncarry;
    for (uint32_t i = 0; i < s.ncarry; i++) {
        kl_ref a = kl_graph_src(g, r, i);
        if (floats(&s, i) && !w.late[i])
            kl_ad_give(d, a, kl_g_pick(g, w.y, state++));
        if (w.late[i] && s.res[i] != KL_ZERO)
            kl_ad_give(d, a, s.res[i]);
        if (w.late[i] && w.u[i] != KL_ZERO)
            kl_ad_give(d, a, sum_late(&w, w.u[i]));
    }
    for (uint32_t i = s.ncarry; i < s.nsrc; i++)
        if (floats(&s, i))
            kl_ad_give(d, kl_graph_src(g, r, i),
                       kl_g_flip(g, kl_g_pick(g, w.y, stack++), 1));
}
