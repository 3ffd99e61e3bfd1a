/* autodiff.c: grad and jvp nodes become the derivatives they stand for.
 *
 * Requires  a verified graph; bodies may hold grad and jvp nodes of their own.
 * Ensures   no grad, jvp or detach node; functions without a derivative of their own are
 * inlined where something is differentiated.
 *
 *   %1 = sin %0                            %1 = sin %0
 *   %2 = grad %1, %seed, %0        ->      %2 = cos %0
 *   %3 = pick %2 result 0                  %3 = mul %seed, %2
 *
 * Nodes are visited in order, so what a grad node differentiates has none left in it:
 * derivatives of derivatives need nothing more. A reverse sweep goes once down the nodes
 * between the first one to derive by and the value; a forward sweep goes up. Nothing
 * recurses over graph depth; only a body within a body costs stack. */
#include "passes/derive.h"

/* ---- a sweep's tables ---- */

bool kl_ad_wants(const kl_ad *d, kl_ref r)
{
    return r >= d->lo && r <= d->hi && d->active[r - d->lo];
}

static void add_to(kl_ad *d, kl_ref *at, kl_ref u)
{
    if (u == KL_NONE) {
        d->failed = true;
        return;
    }
    if (u != KL_ZERO)
        *at = *at == KL_ZERO || KL_PLANTED(add_up)
                  ? u
                  : kl_g_elt(d->g, KL_OP_add, *at, u, KL_NONE);
    d->failed |= *at == KL_NONE;
}

void kl_ad_give(kl_ad *d, kl_ref r, kl_ref u)
{
    if (kl_ad_wants(d, r))
        add_to(d, &d->cot[r - d->lo], u);
    else
        d->failed |= u == KL_NONE;
}

static bool several(const kl_graph *g, kl_ref r)
{
    return kl_ops[g->nodes[r].op].flags & KL_F_MULTI;
}

/* The table of a node of several results, all KL_ZERO at first. */
static kl_ref *results_of(kl_ad *d, kl_ref r)
{
    kl_ref **at = &d->results[r - d->lo];
    if (*at)
        return *at;
    int n = (int)kl_graph_results(d->g, r);
    *at = kl_arena_alloc(d->g->arena, ((size_t)n + 1) * sizeof **at);
    d->failed |= !*at;
    for (int i = 0; *at && i < n; i++)
        (*at)[i] = KL_ZERO;
    return *at;
}

void kl_ad_give_result(kl_ad *d, kl_ref r, int k, kl_ref u)
{
    kl_ref *at = kl_ad_wants(d, r) ? results_of(d, r) : NULL;
    if (at)
        add_to(d, &at[k], u);
    else
        d->failed |= u == KL_NONE;
}

/* Whether derivatives pass through r given that a source is active. */
static bool passes_through(const kl_graph *g, kl_ref r)
{
    const kl_node *n = &g->nodes[r];
    return n->op != KL_OP_detach && (several(g, r) || kl_derivable((kl_dtype)n->dtype));
}

/* Marks what lies on a way from `by` up to the roots. */
static void mark(kl_ad *d, const kl_ref *roots, uint32_t nroots, const kl_ref *by,
                 uint32_t nby, bool *needed)
{
    const kl_graph *g = d->g;
    for (uint32_t i = 0; i < nroots; i++)
        if (roots[i] >= d->lo)
            needed[roots[i] - d->lo] = true;
    for (kl_ref r = d->hi + 1; r-- > d->lo;)
        for (uint32_t i = 0; needed[r - d->lo] && i < g->nodes[r].nsrc; i++)
            if (kl_graph_src(g, r, i) >= d->lo)
                needed[kl_graph_src(g, r, i) - d->lo] = true;
    for (uint32_t i = 0; i < nby; i++)
        if (by[i] <= d->hi)
            d->active[by[i] - d->lo] = true;
    for (kl_ref r = d->lo; r <= d->hi; r++) {
        bool on = d->active[r - d->lo];
        for (uint32_t i = 0; !on && passes_through(g, r) && i < g->nodes[r].nsrc; i++)
            on = kl_ad_wants(d, kl_graph_src(g, r, i));
        d->active[r - d->lo] = on && needed[r - d->lo];
    }
}

static kl_status ad_new(kl_ad *d, kl_graph *g, const kl_ref *roots, uint32_t nroots,
                        const kl_ref *by, uint32_t nby)
{
    *d = (kl_ad){.g = g, .lo = KL_NONE};
    for (uint32_t i = 0; i < nby; i++)
        d->lo = KL_MIN(d->lo, by[i]);
    for (uint32_t i = 0; i < nroots; i++)
        d->hi = KL_MAX(d->hi, roots[i]);
    d->hi = KL_MAX(d->hi, d->lo); /* nothing to do is a stretch of one inactive node */
    size_t n = (size_t)d->hi - d->lo + 1;
    d->active = kl_arena_zeroed(g->arena, n, sizeof *d->active);
    d->results = kl_arena_zeroed(g->arena, n, sizeof(kl_ref *));
    d->cot = kl_arena_alloc(g->arena, n * sizeof *d->cot);
    bool *needed = kl_arena_zeroed(g->arena, n, sizeof *needed);
    if (!d->active || !d->results || !d->cot || !needed)
        return kl_fail(KL_ERR_OOM, "autodiff: out of memory for %zu nodes", n);
    for (size_t i = 0; i < n; i++)
        d->cot[i] = KL_ZERO;
    mark(d, roots, nroots, by, nby, needed);
    return KL_OK;
}

static kl_status ended(const kl_ad *d, kl_ref r)
{
    if (!d->failed)
        return KL_OK;
    const char *op = kl_ops[d->g->nodes[r].op].name;
    if (!kl_error_status())
        return kl_fail(KL_ERR_INTERNAL, "autodiff: the rule of %s failed", op);
    return kl_error_status();
}

/* ---- reverse ---- */

static kl_status no_derivative(kl_ad *d, kl_ref r)
{
    const kl_op_info *o = &kl_ops[d->g->nodes[r].op];
    d->failed = true;
    return kl_fail(KL_ERR_UNSUPPORTED, "%s has no derivative: %s", o->name,
                   o->nod ? o->nod : "it has no rule");
}

static kl_status reverse_node(kl_ad *d, kl_ref r)
{
    const kl_op_info *o = &kl_ops[d->g->nodes[r].op];
    kl_rule_fn rule = kl_derive_rule((kl_op)d->g->nodes[r].op);
    kl_ref u = d->cot[r - d->lo];
    bool any = several(d->g, r) ? d->results[r - d->lo] != NULL : u != KL_ZERO;
    bool from = false;
    for (uint32_t i = 0; i < d->g->nodes[r].nsrc; i++)
        from |= kl_ad_wants(d, kl_graph_src(d->g, r, i));
    if (!any || !from || (d->g->nodes[r].op == KL_OP_detach && !KL_PLANTED(detach)))
        return KL_OK;
    if (KL_PLANTED_AT(adjoint, d->g->nodes[r].op))
        return KL_OK;
    if (rule)
        rule(d, r, u);
    else if (o->d[0])
        for (uint32_t i = 0; i < d->g->nodes[r].nsrc; i++) {
            kl_ref s = kl_graph_src(d->g, r, i);
            if (kl_ad_wants(d, s))
                kl_ad_give(d, s, kl_derive_times(d->g, r, o->d[i], u, true));
        }
    else
        no_derivative(d, r);
    return ended(d, r);
}

/* New nodes stand where the one they derive from stood. */
static void place_new(kl_graph *g, kl_ref from, uint32_t place)
{
    for (kl_ref i = from; i < g->count; i++)
        if (g->nodes[i].place == KL_NONE)
            g->nodes[i].place = place;
}

/* "net.c:12 (backward)", once however often a derivative is derived. */
static uint32_t backward_of(kl_graph *g, kl_ref r)
{
    uint32_t place = g->nodes[r].place;
    const char *s = place == KL_NONE ? NULL : g->strings[place];
    if (!s || strstr(s, " (backward)"))
        return place;
    return kl_graph_string(g, kl_arena_printf(g->arena, "%s (backward)", s));
}

kl_status kl_ad_reverse(kl_graph *g, const kl_ref *roots, const kl_ref *seeds,
                        uint32_t nroots, const kl_ref *by, uint32_t nby, kl_ref *out)
{
    kl_ad d;
    KL_TRY(ad_new(&d, g, roots, nroots, by, nby));
    for (uint32_t i = 0; i < nroots; i++)
        kl_ad_give(&d, roots[i], seeds[i]);
    for (kl_ref r = d.hi + 1; r-- > d.lo;) {
        kl_ref before = g->count;
        if (d.active[r - d.lo])
            KL_TRY(reverse_node(&d, r));
        if (g->count > before)
            place_new(g, before, backward_of(g, r));
    }
    for (uint32_t k = 0; k < nby; k++)
        out[k] = by[k] <= d.hi ? d.cot[by[k] - d.lo] : KL_ZERO;
    return KL_OK;
}

/* ---- forward ---- */

static kl_ref tangent(const kl_ad *d, kl_ref r)
{
    return kl_ad_wants(d, r) ? d->cot[r - d->lo] : KL_ZERO;
}

static kl_ref solid_tangent(const kl_ad *d, kl_ref r)
{
    kl_ref t = tangent(d, r);
    return t == KL_ZERO ? kl_g_const_like(d->g, r, 0.0) : t;
}

/* A linear row is its own derivative: tangents in the place of its numbers. */
static void by_linearity(kl_ad *d, kl_ref r)
{
    kl_graph *g = d->g;
    const kl_node n = g->nodes[r];
    kl_type want;
    kl_ref *src = kl_arena_alloc(g->arena, (n.nsrc + 1) * sizeof *src);
    d->failed |= !src;
    for (uint32_t i = 0; src && i < n.nsrc; i++) {
        src[i] = kl_graph_src(g, r, i);
        if (kl_derivable((kl_dtype)g->nodes[src[i]].dtype))
            src[i] = solid_tangent(d, src[i]);
    }
    kl_graph_type(g, r, &want);
    if (src)
        kl_ad_give(
            d, r,
            kl_node_of(g, (kl_op)n.op, &want, src, n.nsrc, kl_graph_attr(g, r), n.nattr));
}

static void by_product(kl_ad *d, kl_ref r)
{
    kl_graph *g = d->g;
    kl_type want;
    kl_graph_type(g, r, &want);
    for (uint32_t i = 0; i < 2; i++) {
        kl_ref src[] = {kl_graph_src(g, r, 0), kl_graph_src(g, r, 1)};
        kl_ref t = tangent(d, src[i]);
        src[i] = t;
        if (t != KL_ZERO)
            kl_ad_give(d, r,
                       kl_node_of(g, KL_OP_contract, &want, src, 2, kl_graph_attr(g, r),
                                  g->nodes[r].nattr));
    }
}

/* A value that nothing is known of: detached, and unlike any other. */
static kl_ref placeholder(kl_graph *g, const kl_type *t)
{
    int64_t number = (INT64_C(1) << 40) + g->count;
    kl_ref zero = kl_zeros(g, t);
    return kl_node_of(g, KL_OP_detach, NULL, &zero, 1, &number, 1);
}

static kl_status result_type(kl_graph *g, kl_ref r, int k, kl_type *t)
{
    kl_ref p = several(g, r) ? kl_g_pick(g, r, k) : r;
    if (p == KL_NONE)
        return kl_error_status();
    kl_graph_type(g, p, t);
    return KL_OK;
}

/* The rule of r on placeholders u gives cotangents linear in u; their transpose on the
 * tangents of r's sources is r's tangent. */
static kl_status by_transposition(kl_ad *d, kl_ref r)
{
    kl_graph *g = d->g;
    uint32_t nu = kl_graph_results(g, r), nby = 0, nroots = 0;
    kl_ref *u = kl_arena_alloc(g->arena, (4 * (size_t)nu + 2) * sizeof *u), *y = u + nu;
    kl_ref *by = y + nu,
           *root =
               kl_arena_alloc(g->arena, (2 * (size_t)g->nodes[r].nsrc + 2) * sizeof *u);
    uint32_t *which = kl_arena_alloc(g->arena, (nu + 1) * sizeof *which);
    if (!u || !root || !which)
        return kl_fail(KL_ERR_OOM, "autodiff: out of memory");
    kl_ref *seed = root + g->nodes[r].nsrc;
    kl_ad one = *d; /* the same stretch, cotangents of its own */
    size_t n = (size_t)d->hi - d->lo + 1;
    one.cot = kl_arena_alloc(g->arena, n * sizeof *one.cot);
    one.results = kl_arena_zeroed(g->arena, n, sizeof(kl_ref *));
    if (!one.cot || !one.results)
        return kl_fail(KL_ERR_OOM, "autodiff: out of memory");
    for (size_t i = 0; i < n; i++)
        one.cot[i] = KL_ZERO;
    for (uint32_t k = 0; k < nu; k++) {
        kl_type t;
        KL_TRY(result_type(g, r, (int)k, &t));
        if (!kl_derivable(t.dtype))
            continue;
        which[nby] = k;
        by[nby] = placeholder(g, &t);
        if (several(g, r))
            kl_ad_give_result(&one, r, (int)k, by[nby]);
        else
            one.cot[r - d->lo] = by[nby];
        nby++;
    }
    KL_TRY(ended(&one, r));
    kl_derive_rule((kl_op)g->nodes[r].op)(&one, r, one.cot[r - d->lo]);
    KL_TRY(ended(&one, r));
    for (uint32_t i = 0; i < g->nodes[r].nsrc; i++) {
        kl_ref s = kl_graph_src(g, r, i);
        bool again = false;
        for (uint32_t j = 0; j < i; j++)
            again |= kl_graph_src(g, r, j) == s;
        if (again || tangent(d, s) == KL_ZERO || one.cot[s - d->lo] == KL_ZERO)
            continue;
        root[nroots] = one.cot[s - d->lo];
        seed[nroots++] = tangent(d, s);
    }
    KL_TRY(kl_ad_reverse(g, root, seed, nroots, by, nby, y));
    for (uint32_t k = 0; k < nby; k++)
        if (several(g, r))
            kl_ad_give_result(d, r, (int)which[k], y[k]);
        else
            kl_ad_give(d, r, y[k]);
    return ended(d, r);
}

static bool linear(const kl_graph *g, kl_ref r)
{
    const kl_node *n = &g->nodes[r];
    bool combines =
        n->op == KL_OP_reduce || n->op == KL_OP_prefix || n->op == KL_OP_scatter;
    return kl_ops[n->op].t || (combines && kl_graph_attr(g, r)[0] == KL_OP_add);
}

static void forward_pick(kl_ad *d, kl_ref r)
{
    kl_ref s = kl_graph_src(d->g, r, 0),
           *all = kl_ad_wants(d, s) ? results_of(d, s) : NULL;
    if (all)
        kl_ad_give(d, r, all[kl_graph_attr(d->g, r)[0]]);
}

static kl_status forward_node(kl_ad *d, kl_ref r)
{
    const kl_op_info *o = &kl_ops[d->g->nodes[r].op];
    kl_op op = (kl_op)d->g->nodes[r].op;
    bool from = false;
    for (uint32_t i = 0; i < d->g->nodes[r].nsrc; i++) {
        kl_ref s = kl_graph_src(d->g, r, i);
        from |= tangent(d, s) != KL_ZERO || (kl_ad_wants(d, s) && d->results[s - d->lo]);
    }
    if (!from || op == KL_OP_detach || KL_PLANTED_AT(tangent, op))
        return KL_OK;
    if (op == KL_OP_pick)
        forward_pick(d, r);
    else if (op == KL_OP_contract)
        by_product(d, r);
    else if (op == KL_OP_while)
        KL_TRY(kl_jvp_while(d, r));
    else if (linear(d->g, r))
        by_linearity(d, r);
    else if (kl_derive_rule(op))
        KL_TRY(by_transposition(d, r));
    else if (o->d[0])
        for (uint32_t i = 0; i < d->g->nodes[r].nsrc; i++) {
            kl_ref t = tangent(d, kl_graph_src(d->g, r, i));
            if (t != KL_ZERO)
                kl_ad_give(d, r, kl_derive_times(d->g, r, o->d[i], t, false));
        }
    else
        no_derivative(d, r);
    return ended(d, r);
}

kl_status kl_ad_forward(kl_graph *g, const kl_ref *roots, uint32_t nroots,
                        const kl_ref *by, const kl_ref *tangents, uint32_t nby,
                        kl_ref *out)
{
    kl_ad d;
    KL_TRY(ad_new(&d, g, roots, nroots, by, nby));
    for (uint32_t k = 0; k < nby; k++)
        if (by[k] <= d.hi)
            kl_ad_give(&d, by[k], tangents[k]);
    for (kl_ref r = d.lo; r <= d.hi; r++) {
        kl_ref before = g->count;
        if (d.active[r - d.lo])
            KL_TRY(forward_node(&d, r));
        place_new(g, before, g->nodes[r].place);
    }
    for (uint32_t i = 0; i < nroots; i++)
        out[i] = roots[i] >= d.lo ? tangent(&d, roots[i]) : KL_ZERO;
    return KL_OK;
}

/* ---- the pass ---- */

typedef struct expander {
    kl_ref **results; /* by old node: of grad and inlined function nodes */
    bool again;       /* an inlined body held another function */
    kl_status status;
} expander;

static kl_ref expand_grad(expander *x, kl_graph *to, kl_ref r, const kl_ref *src,
                          uint32_t nsrc)
{
    uint32_t n = nsrc - 2;
    kl_ref *out = kl_arena_alloc(to->arena, (n + 1) * sizeof *out);
    x->status = out ? kl_ad_reverse(to, src, src + 1, 1, src + 2, n, out)
                    : kl_fail(KL_ERR_OOM, "autodiff: out of memory");
    if (x->status != KL_OK)
        return KL_NONE;
    for (uint32_t i = 0; i < n; i++)
        if (out[i] == KL_ZERO)
            out[i] = kl_g_const_like(to, src[2 + i], 0.0);
    x->results[r] = out;
    return out[0];
}

static kl_ref expand_jvp(expander *x, kl_graph *to, const kl_ref *src, uint32_t nsrc)
{
    uint32_t n = (nsrc - 1) / 2;
    kl_ref *by = kl_arena_alloc(to->arena, 2 * (size_t)n * sizeof *by), y = KL_ZERO;
    for (uint32_t i = 0; by && i < n; i++) {
        by[i] = src[1 + 2 * i];
        by[n + i] = src[2 + 2 * i];
    }
    x->status = by ? kl_ad_forward(to, src, 1, by, by + n, n, &y)
                   : kl_fail(KL_ERR_OOM, "autodiff: out of memory");
    if (x->status != KL_OK)
        return KL_NONE;
    return y == KL_ZERO ? kl_g_const_like(to, src[0], 0.0) : y;
}

static kl_ref inline_function(expander *x, kl_graph *to, const kl_graph *body, kl_ref r,
                              const kl_ref *src)
{
    kl_ref *out = kl_arena_alloc(to->arena, ((size_t)body->noutputs + 1) * sizeof *out);
    x->status = out ? kl_graph_inline(to, body, src, out)
                    : kl_fail(KL_ERR_OOM, "autodiff: out of memory");
    if (x->status != KL_OK)
        return KL_NONE;
    for (kl_ref i = 0; i < body->count; i++)
        x->again |= body->nodes[i].op == KL_OP_function;
    x->results[r] = out;
    return out[0];
}

/* First round: functions without a derivative become their bodies. */
static kl_ref visit_function(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                             const kl_ref *src)
{
    expander *x = ctx;
    const kl_node *n = &from->nodes[r];
    const int64_t *attr = kl_graph_attr(from, r);
    if (n->op == KL_OP_pick && x->results[kl_graph_src(from, r, 0)])
        return x->results[kl_graph_src(from, r, 0)][attr[0]];
    if (n->op == KL_OP_function && !attr[2])
        return inline_function(x, to, from->bodies[attr[0]], r, src);
    return kl_graph_copy_node(to, from, r, src);
}

static kl_ref visit(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    expander *x = ctx;
    const kl_node *n = &from->nodes[r];
    if (n->op == KL_OP_pick && x->results[kl_graph_src(from, r, 0)])
        return x->results[kl_graph_src(from, r, 0)][kl_graph_attr(from, r)[0]];
    if (n->op == KL_OP_grad)
        return expand_grad(x, to, r, src, n->nsrc);
    if (n->op == KL_OP_jvp)
        return expand_jvp(x, to, src, n->nsrc);
    return kl_graph_copy_node(to, from, r, src);
}

/* The scan that a derivative made of scan r, which gives more; r: there is none. */
static kl_ref keeper(const kl_graph *g, kl_ref r)
{
    const kl_graph *body = g->bodies[kl_graph_attr(g, r)[1]];
    for (kl_ref s = r + 1; s < g->count; s++) {
        bool same = g->nodes[s].op == KL_OP_scan &&
                    g->nodes[s].nsrc == g->nodes[r].nsrc &&
                    g->bodies[kl_graph_attr(g, s)[1]]->extends == body;
        for (uint32_t i = 0; same && i < g->nodes[r].nsrc; i++)
            same = kl_graph_src(g, r, i) == kl_graph_src(g, s, i);
        if (same)
            return s;
    }
    return r;
}

/* Last round: no node says where gradients end, and no scan runs twice. */
static kl_ref visit_detach(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                           const kl_ref *src)
{
    const kl_node *n = &from->nodes[r];
    (void)ctx;
    if (n->op == KL_OP_detach)
        return src[0];
    kl_ref s = n->op == KL_OP_scan ? keeper(from, r) : r;
    if (s != r)
        return kl_node_of(to, KL_OP_scan, NULL, src, n->nsrc, kl_graph_attr(from, s), 2);
    return kl_graph_copy_node(to, from, r, src);
}

static kl_status rewrite(kl_graph **g, kl_visit_fn fn, expander *x)
{
    *x = (expander){.results =
                        kl_arena_zeroed((*g)->arena, (*g)->count + 1, sizeof(kl_ref *))};
    if (!x->results)
        return kl_fail(KL_ERR_OOM, "autodiff: out of memory");
    return kl_graph_rewrite(g, fn, x);
}

static kl_status expand(kl_unit *u, kl_graph **g)
{
    bool derives = false, detaches = false;
    expander x;
    (void)u;
    for (kl_ref r = 0; r < (*g)->count; r++) {
        int op = (*g)->nodes[r].op;
        derives |= op == KL_OP_grad || op == KL_OP_jvp;
        detaches |= op == KL_OP_detach;
    }
    if (!derives && !detaches)
        return KL_OK;
    if (derives) {
        do
            KL_TRY(rewrite(g, visit_function, &x));
        while (x.again);
        KL_TRY(rewrite(g, visit, &x));
    }
    KL_TRY(rewrite(g, visit_detach, &x));
    return kl_graph_compact(*g, NULL);
}

kl_status kl_pass_autodiff(kl_unit *u)
{
    return kl_each_graph(u, expand);
}
