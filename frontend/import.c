/* import.c: from the linear form (key.c) to a graph in a compile arena. Reads nothing but
 * the key's bytes, so that it needs no lock and cannot see anything that is not in the
 * key; places and names of nodes come beside it, for messages and dumps.
 *
 *   (input f32[4]) (exp 0)  out 1   ->   graph g(%0: f32[4]) { %1: f32[4] = exp %0  out
 * %1 } */
#include "front.h"

typedef struct reader {
    const uint8_t *p, *key;
    const kl_substitution *sub;
    uint32_t nsub; /* of its words passed so far */
    kl_graph *g;
    kl_ref *refs;
    uint32_t n, ninputs;
    const char **labels;
} reader;

static void take(reader *r, void *to, size_t n)
{
    memcpy(to, r->p, n);
    r->p += n;
}

/* n words, those that vary as symbolic extents. Bits of those are set in the result. */
static uint64_t take_words(reader *r, int64_t *to, uint32_t n)
{
    uint64_t varied = 0;
    size_t begin = (size_t)(r->p - r->key);
    take(r, to, n * sizeof *to);
    for (; r->sub && r->nsub < r->sub->n; r->nsub++) {
        const kl_substitute *w = &r->sub->word[r->nsub];
        size_t i = (w->at - begin) / sizeof *to;
        if (w->at >= begin + n * sizeof *to)
            break;
        to[i] = w->given ? to[i] : w->dim;
        varied |= UINT64_C(1) << KL_MIN(i, 63u);
    }
    return varied;
}

/* A constant that varies: an input, or what the extent says; counted to by an iota. */
static kl_ref number(reader *r, kl_dtype dt, const kl_substitute *w)
{
    kl_graph *g = r->g;
    kl_dim one = 1, count = kl_dim_add(g->dims, w->dim, 1);
    if (w->given)
        return kl_graph_input(g, kl_arena_printf(g->arena, "number%u", r->n), dt, 0,
                              NULL);
    kl_ref all = kl_g_iota(g, KL_I64, 1, &count, 0);
    kl_ref last = kl_g_reshape(g, kl_g_slice(g, all, &w->dim, &one, &one), 0, NULL);
    if (w->number == 1)
        return kl_g_cast(g, last, dt);
    kl_ref n = kl_g_cast(g, last, KL_F64);
    return kl_g_cast(g, kl_g_elt(g, KL_OP_div, kl_g_const(g, KL_F64, 1), n, KL_NONE), dt);
}

static kl_ref input(reader *r, kl_type *t)
{
    char name[24];
    const char *given = r->labels ? r->labels[2 * r->n + 1] : NULL;
    snprintf(name, sizeof name, "a%u", r->ninputs++);
    return kl_graph_input(r->g, given ? given : name, t->dtype, t->rank, t->shape);
}

static kl_status control_bodies(kl_graph *g, kl_op op, int64_t *attr, uint32_t *nattr);

static kl_ref node(reader *r, kl_op op, kl_type *t, uint32_t nsrc, uint32_t nattr)
{
    int64_t *attr = kl_arena_alloc(r->g->arena, (nattr + 1) * sizeof *attr);
    kl_ref *src = kl_arena_alloc(r->g->arena, (nsrc + 1) * sizeof *src);
    if (!attr || !src)
        return KL_NONE;
    uint64_t varied = take_words(r, attr, nattr);
    for (uint32_t i = 0; i < nsrc; i++) {
        uint32_t number;
        take(r, &number, sizeof number);
        src[i] = r->refs[number];
    }
    /* offsets and strides below 0 are expressions in a graph */
    for (uint32_t i = 0; (op == KL_OP_strided || op == KL_OP_update) && i < nattr; i++)
        attr[i] = varied >> i & 1 ? attr[i] : kl_dim_const(r->g->dims, attr[i]);
    if (op == KL_OP_const && varied)
        return number(r, t->dtype, &r->sub->word[r->nsub - 1]);
    if (op == KL_OP_function && kl_native_bodies(r->g, t, src, nsrc, attr) != KL_OK)
        return KL_NONE;
    if (kl_ops[op].kind == KL_KIND_CONTROL &&
        control_bodies(r->g, op, attr, &nattr) != KL_OK)
        return KL_NONE;
    if (op == KL_OP_call)
        attr[0] = kl_graph_string(r->g, (const char *)(uintptr_t)attr[0]);
    return kl_graph_node(r->g, &(kl_spec){op, *t, src, nsrc, attr, nattr});
}

static void annotate(reader *r, kl_ref ref)
{
    kl_node *n = &r->g->nodes[ref];
    const char *place = r->labels[2 * r->n], *name = r->labels[2 * r->n + 1];
    if (place && n->place == KL_NONE)
        n->place = kl_graph_string(r->g, place);
    if (name && n->name == KL_NONE)
        n->name = kl_graph_string(r->g, name);
}

static kl_ref read_node(reader *r)
{
    uint16_t op, nsrc, nattr;
    uint8_t dtype, rank;
    kl_type t;
    take(r, &op, sizeof op);
    take(r, &dtype, sizeof dtype);
    take(r, &rank, sizeof rank);
    take(r, &nsrc, sizeof nsrc);
    take(r, &nattr, sizeof nattr);
    t.dtype = (kl_dtype)dtype;
    t.rank = rank;
    take_words(r, t.shape, rank);
    return op == KL_OP_input ? input(r, &t) : node(r, (kl_op)op, &t, nsrc, nattr);
}

/* ---- bodies of control nodes ---- */

typedef struct making { /* a body's graph */
    kl_graph *g, *body;
} making;

static kl_status make_body(void *user, const kl_body *b)
{
    making *m = user;
    kl_arena *a = m->g->arena;
    reader r = {
        .p = b->key,
        .key = b->key,
        .g = kl_graph_new(a, m->g->dims, kl_arena_printf(a, "body_%u", m->g->nbodies)),
        .labels = b->labels};
    r.refs = kl_arena_alloc(a, ((size_t)b->nnodes + 1) * sizeof *r.refs);
    if (!r.g || !r.refs)
        return kl_fail(KL_ERR_OOM, "out of memory for a body of %u nodes", b->nnodes);
    for (; r.n < b->nnodes; r.n++) {
        kl_ref ref = r.refs[r.n] = read_node(&r);
        if (ref == KL_NONE)
            return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
        annotate(&r, ref);
    }
    for (uint32_t i = 0, number; i < b->nout; i++) {
        take(&r, &number, sizeof number);
        KL_TRY(kl_graph_output(r.g, r.refs[number], NULL));
    }
    m->body = r.g;
    return KL_OK;
}

/* Hashes, two words each, become numbers of bodies. */
static kl_status control_bodies(kl_graph *g, kl_op op, int64_t *attr, uint32_t *nattr)
{
    uint32_t words[2], first = op == KL_OP_scan,
                       n = (uint32_t)kl_graph_body_words(op, words);
    for (uint32_t i = 0; i < n; i++) {
        making m = {.g = g};
        KL_TRY(kl_body_read(attr + first + 2 * i, make_body, &m));
        attr[words[i]] = kl_graph_body(g, m.body);
    }
    *nattr = first + n;
    return KL_OK;
}

kl_status kl_import(const kl_linear *l, kl_arena *a, const kl_substitution *sub,
                    kl_graph **out)
{
    reader r = {.p = l->key, .key = l->key, .sub = sub, .labels = l->labels};
    r.g = kl_graph_new(a, sub ? sub->dims : NULL, "g");
    r.refs = kl_arena_alloc(a, l->nnodes * sizeof *r.refs + 1);
    if (!r.g || !r.refs)
        return kl_fail(KL_ERR_OOM, "out of memory to compile %u nodes", l->nnodes);
    for (; r.n < l->nnodes; r.n++) {
        kl_ref ref = r.refs[r.n] = read_node(&r);
        if (ref == KL_NONE)
            return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
        annotate(&r, ref);
    }
    for (uint32_t i = 0, number; i < l->outputs.n; i++) {
        take(&r, &number, sizeof number);
        KL_TRY(kl_graph_output(r.g, r.refs[number], l->labels[2 * number + 1]));
    }
    *out = r.g;
    return KL_OK;
}

kl_status kl_prepare_interp(kl_arena *a, kl_graph **g)
{
    kl_unit u = {.arena = a, .target = kl_target_host(), .graph = *g};
    KL_TRY(kl_pass_autodiff(&u));
    KL_TRY(kl_pass_inline(&u));
    *g = u.graph;
    return KL_OK;
}
