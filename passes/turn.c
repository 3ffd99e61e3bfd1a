/* turn.c: a loop's weights lie as its steps read them.
 *
 *   scan h, w, x carries 2 body @step        w' = permute w axes (1, 0)
 *     contract h, w "ab,cb->ac"        ->    scan h, w, w', x carries 3 body @step
 *                                              contract h, w' "ab,bc->ac"
 *
 * A step of few rows reads a weight once, vectors along its columns. One whose rows lie
 * along what is summed would be turned in every step: it is turned before the loop. On a
 * GPU it is shared memory that turns it, at no cost. */
#include "passes/derive.h"

enum { FEW_ROWS = 64 };

/* Which carry of body b is the matrix that contraction r has on this side, if the body
 * hands it on as it is; -1: none. */
static int carry_of(const kl_graph *b, uint32_t ncarry, kl_ref r, int side)
{
    kl_ref w = kl_graph_src(b, r, (uint32_t)side);
    for (uint32_t i = 0; i < ncarry; i++)
        if (b->inputs[i] == w && b->outputs[i] == w && kl_graph_at(b, w)->rank == 2)
            return (int)i;
    return -1;
}

/* Is it read along its columns' sum, by few rows of the other operand? */
static bool lies_badly(const kl_graph *b, kl_ref r, int side)
{
    kl_labels l = kl_contract_labels(b, r);
    const int64_t *w = l.of[side];
    const kl_dim *shape = kl_graph_shape(b, kl_graph_src(b, r, (uint32_t)!side));
    kl_dim rows = 1;
    int64_t least, most;
    if (kl_label_at(&l, 2, w[1]) >= 0 || kl_label_at(&l, 2, w[0]) < 0 ||
        kl_label_at(&l, !side, w[0]) >= 0)
        return false;
    for (int i = 0; i < l.n[!side]; i++)
        if (kl_label_at(&l, 2, l.of[!side][i]) >= 0)
            rows = kl_dim_mul(b->dims, rows, shape[i]);
    kl_dim_range(b->dims, rows, &least, &most);
    return most <= FEW_ROWS;
}

/* The carry that contraction r of body b should find turned, and on which side; -1:
 * none. */
static int to_turn(const kl_graph *b, uint32_t ncarry, kl_ref r, int *side)
{
    for (*side = 0; kl_graph_at(b, r)->op == KL_OP_contract && *side < 2; ++*side) {
        int i = carry_of(b, ncarry, r, *side);
        if (i >= 0 && lies_badly(b, r, *side))
            return i;
    }
    return -1;
}

typedef struct step { /* a body in the making: what is turned comes behind the carries */
    uint32_t ncarry, nturned;
    uint32_t *at; /* by carry: which input its turned self is; 0: there is none */
} step;

static kl_ref visit_step(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                         const kl_ref *src)
{
    const step *s = ctx;
    int side, carry = to_turn(from, s->ncarry, r, &side);
    if (carry < 0)
        return kl_graph_copy_node(to, from, r, src);
    const kl_node *n = kl_graph_at(from, r);
    int64_t attr[3 + 3 * KL_MAX_RANK];
    memcpy(attr, kl_graph_attr(from, r), n->nattr * sizeof *attr);
    int64_t *w = attr + 3 + (side ? attr[0] : 0), first = w[0];
    w[0] = w[1], w[1] = first;
    kl_ref both[] = {src[0], src[1]};
    both[side] = to->inputs[s->at[carry]];
    kl_type t = {.dtype = (kl_dtype)n->dtype};
    return kl_node_of(to, KL_OP_contract, &t, both, 2, attr, n->nattr);
}

static kl_ref turned_input(kl_graph *h, kl_ref w)
{
    kl_type t;
    kl_graph_type(h, w, &t);
    kl_dim turned[] = {t.shape[1], t.shape[0]};
    return kl_graph_input(h, NULL, t.dtype, 2, turned);
}

/* Marks what body b should have turned. */
static bool find_turned(const kl_graph *b, step *s)
{
    int side, carry;
    s->at = kl_arena_zeroed(b->arena, (size_t)s->ncarry + 1, sizeof *s->at);
    for (kl_ref r = 0; s->at && r < b->count; r++)
        if ((carry = to_turn(b, s->ncarry, r, &side)) >= 0)
            s->at[carry] = 1;
    for (uint32_t i = 0; s->at && i < s->ncarry; i++)
        if (s->at[i])
            s->at[i] = s->ncarry + s->nturned++;
    return s->at;
}

/* Body b that also has them; NULL: no memory, or kl_error. */
static kl_graph *turned_body(const kl_graph *b, step *s)
{
    kl_graph *h = kl_graph_new(b->arena, b->dims, b->name);
    kl_refs in = {.arena = b->arena}, given = in;
    kl_ref *out = kl_arena_alloc(b->arena, ((size_t)b->noutputs + 1) * sizeof *out);
    if (!h || !out)
        return NULL;
    for (uint32_t i = 0; i < s->ncarry; i++)
        kl_refs_add(&in, kl_input_like(h, b, b->inputs[i]));
    for (uint32_t i = 0; i < s->ncarry && !in.failed; i++)
        if (s->at[i] && turned_input(h, in.v[i]) == KL_NONE)
            return NULL;
    for (uint32_t i = s->ncarry; i < b->ninputs; i++)
        kl_refs_add(&in, kl_input_like(h, b, b->inputs[i]));
    if (in.failed || kl_graph_inline(h, b, in.v, out) != KL_OK)
        return NULL;
    for (uint32_t i = 0; i <= b->noutputs; i++) {
        for (uint32_t k = 0; i == s->ncarry && k < s->nturned; k++)
            kl_refs_add(&given, h->inputs[s->ncarry + k]);
        if (i < b->noutputs)
            kl_refs_add(&given, out[i]);
    }
    bool ok = !given.failed && kl_refs_output(h, &given) &&
              kl_graph_rewrite(&h, visit_step, s) == KL_OK;
    return ok ? h : NULL;
}

/* ---- the graph that has the loop ---- */

static kl_ref turned_scan(kl_graph *to, const kl_graph *b, step *s, const kl_ref *src,
                          uint32_t nsrc)
{
    static const int swapped[] = {1, 0};
    kl_refs in = {.arena = to->arena};
    kl_graph *h = turned_body(b, s);
    for (uint32_t i = 0; i < s->ncarry; i++)
        kl_refs_add(&in, src[i]);
    for (uint32_t i = 0; i < s->ncarry; i++)
        if (s->at[i])
            kl_refs_add(&in, kl_g_permute(to, src[i], swapped));
    for (uint32_t i = s->ncarry; i < nsrc; i++)
        kl_refs_add(&in, src[i]);
    int64_t attr[] = {s->ncarry + s->nturned, h ? kl_graph_body(to, h) : KL_NONE};
    return !h || in.failed || attr[1] == KL_NONE
               ? KL_NONE
               : kl_node_of(to, KL_OP_scan, NULL, in.v, in.n, attr, 2);
}

/* ctx: by node of the graph, how many carries a scan has more. */
static kl_ref visit(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    uint32_t *more = ctx;
    const kl_node *n = kl_graph_at(from, r);
    const int64_t *attr = kl_graph_attr(from, r);
    if (n->op == KL_OP_pick) {
        kl_ref of = kl_graph_src(from, r, 0);
        bool stacked = more[of] && attr[0] >= kl_graph_attr(from, of)[0];
        return kl_g_pick(to, src[0], (int)(attr[0] + (stacked ? more[of] : 0)));
    }
    if (n->op != KL_OP_scan)
        return kl_graph_copy_node(to, from, r, src);
    step s = {.ncarry = (uint32_t)attr[0]};
    const kl_graph *body = from->bodies[attr[1]];
    if (!find_turned(body, &s))
        return KL_NONE;
    more[r] = s.nturned;
    return s.nturned ? turned_scan(to, body, &s, src, n->nsrc)
                     : kl_graph_copy_node(to, from, r, src);
}

static kl_status turn_weights(kl_unit *u, kl_graph **g)
{
    bool any = false;
    for (kl_ref r = 0; r < (*g)->count; r++)
        any = any || kl_graph_at(*g, r)->op == KL_OP_scan;
    if (!any)
        return KL_OK;
    uint32_t *more = kl_arena_zeroed(u->arena, (size_t)(*g)->count + 1, sizeof *more);
    return more ? kl_graph_rewrite(g, visit, more)
                : kl_fail(KL_ERR_OOM, "turn: no memory");
}

kl_status kl_pass_turn(kl_unit *u)
{
    bool host = u->target && u->target->kind == KL_TARGET_CPU;
    return host ? kl_each_graph(u, turn_weights) : KL_OK;
}
