/* import.c: from the linear form (key.c) to a graph in a compile arena. Reads nothing but
 * the key's bytes, so that it needs no lock and cannot see anything that is not in the
 * key; places and names of nodes come beside it, for messages and dumps.
 *
 *   (input f32[4]) (exp 0)  out 1   ->   graph g(%0: f32[4]) { %1: f32[4] = exp %0  out
 * %1 }
 *
 * A function whose sizes were left open comes as several traces, read side by side: they
 * are the same but for sizes, which become expressions of its dimensions
 * (sizes_follow.c). */
#include "sizes.h"

typedef struct reader {
    const uint8_t *p, *key;
    const kl_substitution *sub;
    uint32_t nsub; /* of its words passed so far */
    kl_graph *g;
    kl_ref *refs;
    uint32_t n, ninputs;
    const char **labels;
    /* with sub->follow: the same node in the other traces lies at the same place */
    const uint8_t *peer[KL_TRACES];
    int npeers;
    bool differs;
    /* a body: what its inputs are like, those from `scanned` on without the first axis */
    const kl_ref *operand;
    uint32_t scanned;
    const kl_graph *outer;
} reader;

static kl_follow *follow(const reader *r)
{
    return r->sub ? r->sub->follow : NULL;
}

static const char *place_of(const reader *r)
{
    const char *place = r->labels ? r->labels[2 * r->n] : NULL;
    return place ? place : "an unknown place";
}

/* ---- what the traces of a function must share ---- */

static void take(reader *r, void *to, size_t n)
{
    memcpy(to, r->p, n);
    for (int k = 0; k < r->npeers; k++)
        r->differs |= memcmp(r->peer[k] + (r->p - r->key), to, n) != 0;
    r->p += n;
}

static kl_status alike(const reader *r)
{
    return r->differs ? kl_fail(KL_ERR_UNSUPPORTED,
                                "%s: the function does something else at other sizes",
                                place_of(r))
                      : KL_OK;
}

static kl_status unknown(const reader *r, const char *what)
{
    return kl_fail(KL_ERR_UNSUPPORTED,
                   "%s %s: it follows from the dimensions in no way that is known; give "
                   "them fixed values",
                   what, place_of(r));
}

/* ---- words that may differ ---- */

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

/* The next word in each trace; false: it is the same in all. */
static bool peek(const reader *r, int64_t *v)
{
    bool same = true;
    memcpy(&v[0], r->p, sizeof *v);
    for (int k = 0; k < r->npeers; k++) {
        memcpy(&v[k + 1], r->peer[k] + (r->p - r->key), sizeof *v);
        same &= v[k + 1] == v[0];
    }
    return !same;
}

/* The same with traces side by side: found among the extents known by then. */
static kl_status find_words(reader *r, int64_t *to, uint32_t n, kl_ref operand,
                            uint64_t *varied)
{
    int64_t v[KL_TRACES];
    *varied = 0;
    for (uint32_t i = 0; i < n; i++, r->p += sizeof *v) {
        bool open = peek(r, v);
        to[i] = v[0];
        if (!open)
            continue;
        const kl_node *near = operand == KL_NONE ? NULL : &r->g->nodes[operand];
        to[i] =
            kl_follow_extent(follow(r), v, near ? kl_graph_shape(r->g, operand) : NULL,
                             near ? near->rank : 0);
        if (to[i] == KL_DIM_BAD)
            return unknown(r, "a size made at");
        *varied |= UINT64_C(1) << KL_MIN(i, 63u);
    }
    return KL_OK;
}

/* Inferred, in each trace as in the graph. */
static void skip_words(reader *r, uint32_t n)
{
    r->p += n * sizeof(int64_t);
}

/* An extent's value as a number: counted to by an iota. */
static kl_ref counted(kl_graph *g, kl_dtype dt, kl_dim n)
{
    kl_dim one = 1, count = kl_dim_add(g->dims, n, 1);
    kl_ref all = kl_g_iota(g, KL_I64, 1, &count, 0);
    return kl_g_cast(g, kl_g_reshape(g, kl_g_slice(g, all, &n, &one, &one), 0, NULL), dt);
}

static kl_ref number_of(kl_graph *g, kl_dtype dt, const kl_number *w)
{
    if (w->form == KL_NUMBER_COUNT && w->over == 1)
        return counted(g, dt, w->count);
    kl_ref n = counted(g, KL_F64, w->count), y;
    kl_ref over = kl_g_const(g, KL_F64, (double)w->over);
    if (w->form == KL_NUMBER_COUNT)
        y = kl_g_elt(g, KL_OP_mul, over, n, KL_NONE);
    else if (w->form == KL_NUMBER_INVERSE)
        y = kl_g_elt(g, KL_OP_div, over, n, KL_NONE);
    else if (w->form == KL_NUMBER_QUOTIENT)
        y = kl_g_elt(g, KL_OP_div, n, counted(g, KL_F64, w->by), KL_NONE);
    else
        y = kl_g_elt(g, KL_OP_div, n, kl_g_elt(g, KL_OP_sub, n, over, KL_NONE), KL_NONE);
    return kl_g_cast(g, y, dt);
}

/* A constant of one element: one that varies is given at run time, or made of sizes. */
static kl_ref number(reader *r, kl_type *t)
{
    kl_graph *g = r->g;
    int64_t v[KL_TRACES], bits;
    kl_number w;
    if (follow(r) && peek(r, v)) {
        if (kl_follow_number(follow(r), t->dtype, v, &w))
            return number_of(g, t->dtype, &w);
        unknown(r, "a number used at");
        return KL_NONE;
    }
    if (take_words(r, &bits, 1))
        return kl_graph_input(g, kl_arena_printf(g->arena, "number%u", r->n), t->dtype, 0,
                              NULL);
    return kl_graph_node(g, &(kl_spec){KL_OP_const, *t, NULL, 0, &bits, 1});
}

static kl_ref input(reader *r, kl_type *t)
{
    char name[24];
    const char *given = r->labels ? r->labels[2 * r->n + 1] : NULL;
    snprintf(name, sizeof name, "a%u", r->ninputs++);
    return kl_graph_input(r->g, given ? given : name, t->dtype, t->rank, t->shape);
}

/* ---- nodes ---- */

static kl_status control_bodies(reader *r, kl_op op, const kl_ref *src, int64_t *attr,
                                uint32_t *nattr);

static kl_status take_shape(reader *r, kl_op op, kl_type *t, kl_ref operand)
{
    uint64_t varied;
    if (!follow(r) || kl_op_rigid(op)) {
        take_words(r, t->shape, (uint32_t)t->rank);
        return alike(r);
    }
    if (kl_op_says_shape(op))
        return find_words(r, t->shape, (uint32_t)t->rank, operand, &varied);
    skip_words(r, (uint32_t)t->rank);
    return KL_OK;
}

static kl_status take_attrs(reader *r, kl_op op, int64_t *attr, uint32_t n,
                            kl_ref operand, uint64_t *varied)
{
    if (follow(r) && kl_op_says_offsets(op))
        return find_words(r, attr, n, operand, varied);
    *varied = take_words(r, attr, n);
    return alike(r);
}

/* Its sources stand behind its shape and attributes. */
static kl_status take_sources(reader *r, uint32_t words, kl_ref *src, uint32_t n)
{
    const uint8_t *begin = r->p;
    r->p += words * sizeof(int64_t);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t number;
        take(r, &number, sizeof number);
        src[i] = r->refs[number];
    }
    r->p = begin;
    return alike(r);
}

static kl_ref node(reader *r, kl_op op, kl_type *t, uint32_t nsrc, uint32_t nattr)
{
    int64_t *attr = kl_arena_alloc(r->g->arena, (nattr + 1) * sizeof *attr);
    kl_ref *src = kl_arena_alloc(r->g->arena, (nsrc + 1) * sizeof *src);
    uint64_t varied = 0;
    if (!attr || !src || take_sources(r, (uint32_t)t->rank + nattr, src, nsrc) != KL_OK ||
        take_shape(r, op, t, nsrc ? src[0] : KL_NONE) != KL_OK)
        return KL_NONE;
    if (op == KL_OP_const && t->rank == 0 && nattr == 1)
        return number(r, t);
    bool control = kl_ops[op].kind == KL_KIND_CONTROL;
    if (control ? control_bodies(r, op, src, attr, &nattr)
                : take_attrs(r, op, attr, nattr, nsrc ? src[0] : KL_NONE, &varied))
        return KL_NONE;
    /* offsets and strides below 0 are expressions in a graph */
    for (uint32_t i = 0; (op == KL_OP_strided || op == KL_OP_update) && i < nattr; i++)
        attr[i] = varied >> i & 1 ? attr[i] : kl_dim_const(r->g->dims, attr[i]);
    if (op == KL_OP_function && kl_native_bodies(r->g, t, src, nsrc, attr) != KL_OK)
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

/* An input's type: the function's as the user left it open, a body's its operand's. */
static void take_type(reader *r, kl_type *t)
{
    if (!follow(r)) {
        take_words(r, t->shape, (uint32_t)t->rank);
        return;
    }
    memcpy(t->shape, r->p, (size_t)t->rank * sizeof *t->shape);
    skip_words(r, (uint32_t)t->rank);
    if (r->operand) {
        const kl_dim *shape = kl_graph_shape(r->outer, r->operand[r->ninputs]);
        memcpy(t->shape, shape + (r->ninputs >= r->scanned),
               (size_t)t->rank * sizeof *t->shape);
    } else {
        kl_follow_input(follow(r), r->ninputs, t);
    }
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
    if (alike(r) != KL_OK)
        return KL_NONE;
    if (op != KL_OP_input) {
        const uint8_t *end = r->p + 8 * ((size_t)rank + nattr) + 4 * (size_t)nsrc;
        kl_ref y = node(r, (kl_op)op, &t, nsrc, nattr);
        r->p = end;
        return y;
    }
    take_type(r, &t);
    return input(r, &t);
}

static kl_status read_nodes(reader *r, uint32_t n)
{
    r->refs = kl_arena_alloc(r->g->arena, ((size_t)n + 1) * sizeof *r->refs);
    if (!r->refs)
        return kl_fail(KL_ERR_OOM, "out of memory to compile %u nodes", n);
    for (; r->n < n; r->n++) {
        kl_ref ref = r->refs[r->n] = read_node(r);
        if (ref == KL_NONE)
            return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
        annotate(r, ref);
        if (follow(r))
            kl_follow_note(follow(r), r->g, ref);
    }
    return KL_OK;
}

static kl_status read_outputs(reader *r, uint32_t n, const char *const *labels)
{
    for (uint32_t i = 0, number; i < n; i++) {
        take(r, &number, sizeof number);
        KL_TRY(alike(r));
        KL_TRY(kl_graph_output(r->g, r->refs[number],
                               labels ? labels[2 * number + 1] : NULL));
    }
    return KL_OK;
}

/* ---- bodies of control nodes ---- */

typedef struct making { /* a body's graph */
    const reader *from;
    const int64_t *hash[KL_TRACES]; /* of the body in each trace */
    const kl_body *found[KL_TRACES];
    int n;
    const kl_ref *operand;
    uint32_t scanned;
    kl_graph *body;
} making;

static kl_status make_body(making *m)
{
    const kl_body *b = m->found[0];
    kl_graph *g = m->from->g;
    kl_substitution inside = {.dims = g->dims, .follow = follow(m->from)};
    reader r = {.p = b->key,
                .key = b->key,
                .sub = inside.follow ? &inside : NULL,
                .g = kl_graph_new(g->arena, g->dims,
                                  kl_arena_printf(g->arena, "body_%u", g->nbodies)),
                .labels = b->labels,
                .npeers = m->from->npeers,
                .operand = m->operand,
                .scanned = m->scanned,
                .outer = g};
    if (!r.g)
        return kl_fail(KL_ERR_OOM, "out of memory for a body of %u nodes", b->nnodes);
    for (int k = 0; k < r.npeers; k++) {
        r.peer[k] = m->found[k + 1]->key;
        r.differs |= m->found[k + 1]->nkey != b->nkey;
    }
    KL_TRY(alike(m->from->differs ? m->from : &r));
    KL_TRY(read_nodes(&r, b->nnodes));
    m->body = r.g;
    return read_outputs(&r, b->nout, NULL);
}

/* One trace's after the other, all held at once. */
static kl_status find_body(void *user, const kl_body *b)
{
    making *m = user;
    m->found[m->n++] = b;
    return m->n > m->from->npeers ? make_body(m)
                                  : kl_body_read(m->hash[m->n], find_body, m);
}

/* Hashes, two words each, become numbers of bodies. */
static kl_status control_bodies(reader *r, kl_op op, const kl_ref *src, int64_t *attr,
                                uint32_t *nattr)
{
    int64_t hash[KL_TRACES][2];
    uint32_t words[2], first = op == KL_OP_scan,
                       n = (uint32_t)kl_graph_body_words(op, words);
    take(r, attr, first * sizeof *attr);
    KL_TRY(alike(r));
    for (uint32_t i = 0; i < n; i++) {
        making m = {.from = r, .operand = src + (op == KL_OP_cond)};
        m.scanned = op == KL_OP_scan ? (uint32_t)attr[0] : UINT32_MAX;
        memcpy(hash[0], r->p, sizeof hash[0]);
        for (int k = 0; k < r->npeers; k++)
            memcpy(hash[k + 1], r->peer[k] + (r->p - r->key), sizeof hash[0]);
        for (int k = 0; k <= r->npeers; k++)
            m.hash[k] = hash[k];
        r->p += sizeof hash[0];
        KL_TRY(kl_body_read(m.hash[0], find_body, &m));
        attr[words[i]] = kl_graph_body(r->g, m.body);
    }
    *nattr = first + n;
    return KL_OK;
}

/* The other traces' keys; they are as long as the first one's. */
static kl_status add_peers(reader *r)
{
    const kl_follow *f = follow(r);
    for (int k = 1; f && k < f->n; k++) {
        const kl_linear *l = &f->trace[k];
        if (l->nkey != f->trace[0].nkey)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "the function does something else at other sizes (%u "
                           "operations in one trace, %u in another)",
                           f->trace[0].nnodes, l->nnodes);
        r->peer[r->npeers++] = l->key;
    }
    return KL_OK;
}

kl_status kl_import(const kl_linear *l, kl_arena *a, const kl_substitution *sub,
                    kl_graph **out)
{
    reader r = {.p = l->key, .key = l->key, .sub = sub, .labels = l->labels};
    r.g = kl_graph_new(a, sub ? sub->dims : NULL, "g");
    if (!r.g)
        return kl_fail(KL_ERR_OOM, "out of memory to compile %u nodes", l->nnodes);
    KL_TRY(add_peers(&r));
    KL_TRY(read_nodes(&r, l->nnodes));
    KL_TRY(read_outputs(&r, l->outputs.n, l->labels));
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
