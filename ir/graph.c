/* graph.c: making nodes. A graph is a few arrays in an arena: nodes, and what they point
 * into (extents, sources, attributes). kl_graph_node alone appends to them, and only a
 * node that infers, that has canonical operands and that isn't there yet; so equal values
 * are one ref, sources come before users, and an ill-typed graph cannot be built.
 *
 *   add(%0, %1) = %2, add(%1, %0) = %2        commutative: ordered, then found
 *   add(%0, const) never add(const, %0)        constants last
 *
 * The order is: inputs by number, then nodes by ref, then constants: the order of the
 * text, so that a program and its text agree. */
#include "ir/ir.h"

kl_graph *kl_graph_new(kl_arena *a, kl_dims *d, const char *name)
{
    kl_graph *g = kl_arena_zeroed(a, 1, sizeof *g);
    if (g) {
        g->arena = a;
        g->name = kl_arena_strdup(a, name ? name : "graph");
        g->dims = d ? d : kl_dims_new(a);
    }
    if (!g || !g->name || !g->dims) {
        kl_fail(KL_ERR_OOM, "out of memory: a graph");
        return NULL;
    }
    return g;
}

void kl_graph_type(const kl_graph *g, kl_ref r, kl_type *out)
{
    const kl_node *n = &g->nodes[r];
    out->dtype = (kl_dtype)n->dtype;
    out->rank = n->rank;
    memcpy(out->shape, g->extents + n->shape, n->rank * sizeof *out->shape);
}

kl_dim kl_graph_numel(const kl_graph *g, kl_ref r)
{
    kl_dim n = 1;
    for (int i = 0; i < g->nodes[r].rank; i++)
        n = kl_dim_mul(g->dims, n, kl_graph_shape(g, r)[i]);
    return n;
}

int kl_graph_body_words(kl_op op, uint32_t words[2])
{
    words[0] = op == KL_OP_scan;
    words[1] = op == KL_OP_function ? 2 : 1;
    if (op == KL_OP_while || op == KL_OP_cond || op == KL_OP_function)
        return 2;
    return op == KL_OP_scan;
}

bool kl_graph_effects(const kl_graph *g, kl_ref r)
{
    return g->nodes[r].op == KL_OP_call && kl_graph_attr(g, r)[2] != 0;
}

uint32_t kl_graph_results(const kl_graph *g, kl_ref r)
{
    const kl_node *n = &g->nodes[r];
    const int64_t *attr = g->attrs + n->attr;
    switch ((int)n->op) {
    case KL_OP_sort:
        return 2;
    case KL_OP_while:
        return n->nsrc;
    case KL_OP_grad:
        return n->nsrc - 2;
    case KL_OP_cond:
    case KL_OP_function:
        return g->bodies[attr[0]]->noutputs;
    case KL_OP_scan:
        return g->bodies[attr[1]]->noutputs;
    case KL_OP_call:
        return (uint32_t)attr[1];
    default:
        return 1;
    }
}

/* ---- strings and bodies ---- */

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * 0x9e3779b97f4a7c15u;
    return h ^ h >> 32;
}

static uint32_t string_slot(const kl_graph *g, const char *s)
{
    uint64_t h = 1;
    for (const char *p = s; *p; p++)
        h = (h ^ (unsigned char)*p) * 0x100000001b3u;
    uint32_t i = (uint32_t)mix(h, 0) & (g->string_table_cap - 1);
    while (g->string_table[i] && strcmp(g->strings[g->string_table[i] - 1], s) != 0)
        i = (i + 1) & (g->string_table_cap - 1);
    return i;
}

static bool grow_strings(kl_graph *g)
{
    if (g->string_table_cap >= 2 * (g->nstrings + 1))
        return true;
    uint32_t cap = g->string_table_cap ? 2 * g->string_table_cap : 32;
    uint32_t *table = kl_arena_zeroed(g->arena, cap, sizeof *table);
    if (!table)
        return false;
    g->string_table = table;
    g->string_table_cap = cap;
    for (uint32_t i = 0; i < g->nstrings; i++)
        table[string_slot(g, g->strings[i])] = i + 1;
    return true;
}

uint32_t kl_graph_string(kl_graph *g, const char *s)
{
    if (!s || !grow_strings(g))
        return KL_NONE;
    uint32_t i = string_slot(g, s);
    if (g->string_table[i])
        return g->string_table[i] - 1;
    const char *copy = kl_arena_strdup(g->arena, s);
    if (!copy || kl_arena_grow(g->arena, &g->strings, &g->cap_strings, g->nstrings + 1,
                               sizeof *g->strings))
        return KL_NONE;
    g->strings[g->nstrings] = copy;
    g->string_table[i] = ++g->nstrings;
    return g->nstrings - 1;
}

uint32_t kl_graph_body(kl_graph *g, kl_graph *body)
{
    for (uint32_t i = 0; i < g->nbodies; i++)
        if (g->bodies[i] == body)
            return i;
    if (!body || body == g ||
        kl_arena_grow(g->arena, &g->bodies, &g->cap_bodies, g->nbodies + 1,
                      sizeof *g->bodies))
        return KL_NONE;
    g->bodies[g->nbodies] = body;
    return g->nbodies++;
}

/* ---- what a new node is checked for ---- */

#define FEW 4 /* operands whose types fit on the stack */

static kl_ref fail(kl_status s, const char *what)
{
    kl_fail(s, "%s", what);
    return KL_NONE;
}

static bool check_sources(const kl_graph *g, const kl_spec *s)
{
    for (uint32_t i = 0; i < s->nsrc; i++) {
        kl_ref r = s->src[i];
        if (r == KL_NONE)
            return false;
        if (r >= g->count) {
            kl_fail(KL_ERR_INTERNAL, "%s: operand %%%u is not there yet",
                    kl_ops[s->op].name, r);
            return false;
        }
        if (kl_ops[g->nodes[r].op].flags & KL_F_MULTI && s->op != KL_OP_pick) {
            kl_fail(KL_ERR_ARG, "%s: operand %%%u (%s) has several results: pick one",
                    kl_ops[s->op].name, r, kl_ops[g->nodes[r].op].name);
            return false;
        }
    }
    return true;
}

static bool check_bodies(const kl_graph *g, const kl_spec *s)
{
    uint32_t words[2];
    int n = kl_graph_body_words(s->op, words);
    for (int i = 0; i < n; i++) {
        if (words[i] >= s->nattr)
            return true; /* inference says it better */
        bool shifted = s->op == KL_OP_function && i == 1;
        int64_t body = s->attr[words[i]] - shifted;
        if (shifted && body == -1)
            continue;
        if (body < 0 || body >= g->nbodies) {
            kl_fail(KL_ERR_ARG, "%s: there is no body number %lld", kl_ops[s->op].name,
                    (long long)body);
            return false;
        }
    }
    if (s->op == KL_OP_call && s->nattr &&
        (s->attr[0] < 0 || s->attr[0] >= g->nstrings)) {
        kl_fail(KL_ERR_ARG, "call: it has no name");
        return false;
    }
    return true;
}

static kl_status infer_picked(const kl_graph *g, const kl_spec *s, kl_type *types,
                              kl_type *out)
{
    const kl_node *n = &g->nodes[s->src[0]];
    if (s->nattr != 1)
        return kl_fail(KL_ERR_ARG, "pick: it has no result number");
    if (n->nsrc > FEW)
        types = kl_arena_alloc(g->arena, n->nsrc * sizeof *types);
    if (!types)
        return kl_fail(KL_ERR_OOM, "out of memory: %u operands", n->nsrc);
    for (uint32_t i = 0; i < n->nsrc; i++)
        kl_graph_type(g, g->srcs[n->src + i], &types[i]);
    int k = (int)KL_MAX(INT32_MIN, KL_MIN(s->attr[0], INT32_MAX));
    return kl_infer_pick(g->dims, (kl_op)n->op, types, n->nsrc, g->attrs + n->attr,
                         n->nattr, g->bodies, k, out);
}

kl_status kl_graph_infer(const kl_graph *g, const kl_spec *s, kl_type *out)
{
    if (!check_sources(g, s) || !check_bodies(g, s))
        return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
    kl_type few[FEW], *types = few;
    if (s->op == KL_OP_pick && s->nsrc == 1)
        return infer_picked(g, s, few, out);
    if (s->nsrc > FEW)
        types = kl_arena_alloc(g->arena, s->nsrc * sizeof *types);
    if (!types)
        return kl_fail(KL_ERR_OOM, "out of memory: %u operands", s->nsrc);
    for (uint32_t i = 0; i < s->nsrc; i++)
        kl_graph_type(g, s->src[i], &types[i]);
    if (kl_ops[s->op].flags & KL_F_MULTI)
        return kl_infer_pick(g->dims, s->op, types, s->nsrc, s->attr, s->nattr, g->bodies,
                             0, out);
    return kl_infer(g->dims, s->op, types, s->nsrc, s->attr, s->nattr, &s->want, out);
}

/* ---- canonical operands and attributes ---- */

static bool constant(const kl_graph *g, kl_ref r)
{
    while (g->nodes[r].op == KL_OP_expand || g->nodes[r].op == KL_OP_reshape)
        r = kl_graph_src(g, r, 0);
    return g->nodes[r].op == KL_OP_const;
}

/* Inputs by number, nodes by ref, constants: what comes first is the left operand. */
static uint64_t rank_of(const kl_graph *g, kl_ref r)
{
    if (g->nodes[r].op == KL_OP_input)
        return (uint64_t)kl_graph_attr(g, r)[0];
    return (constant(g, r) ? UINT64_C(2) : UINT64_C(1)) << 32 | r;
}

/* A contraction's labels are numbered as they appear. */
static void relabel(int64_t *attr, uint32_t n)
{
    int64_t map[2 * KL_MAX_RANK], next = 0;
    memset(map, -1, sizeof map);
    for (uint32_t i = 3; i < n; i++) {
        if (attr[i] < 0 || attr[i] >= 2 * KL_MAX_RANK)
            return;
        if (map[attr[i]] < 0)
            map[attr[i]] = next++;
    }
    for (uint32_t i = 3; i < n; i++)
        attr[i] = map[attr[i]];
}

/* All NaNs count as equal: constants hold one of them, so that the text can say it. */
static uint64_t one_nan(uint64_t bits, kl_dtype dt)
{
    static const uint64_t inf[] = {[KL_F16] = 0x7c00,
                                   [KL_BF16] = 0x7f80,
                                   [KL_F32] = 0x7f800000,
                                   [KL_F64] = UINT64_C(0x7ff0000000000000)};
    uint64_t sign = UINT64_C(1) << (kl_dtypes[dt].bits - 1);
    if ((bits & (sign - 1)) <= inf[dt])
        return bits;
    return inf[dt] |
           (inf[dt] & (~inf[dt] + 1)) >> 1; /* the highest bit of the fraction */
}

static void one_nan_each(int64_t *attr, uint32_t nattr, kl_dtype dt)
{
    kl_dtype part = kl_is_complex(dt) ? kl_dtypes[dt].real : dt;
    size_t size = kl_dtypes[part].size;
    unsigned char *p = (unsigned char *)attr;
    for (size_t i = 0; kl_is_float(part) && i < nattr * sizeof *attr; i += size) {
        uint64_t bits = 0;
        memcpy(&bits, p + i, size);
        bits = one_nan(bits, part);
        memcpy(p + i, &bits, size);
    }
}

#define WORDS (3 + 3 * KL_MAX_RANK) /* of a constant or a contraction */

/* s with operands and attributes as they will stand in the graph; src, attr: room for
 * them. */
static kl_spec canonical(const kl_graph *g, const kl_spec *s, kl_ref src[2],
                         int64_t *attr)
{
    kl_spec y = *s;
    if (s->op == KL_OP_contract || s->op == KL_OP_const) {
        if (s->nattr <= WORDS && s->nattr)
            y.attr = memcpy(attr, s->attr, s->nattr * sizeof *attr);
        if (s->nattr <= WORDS && s->op == KL_OP_contract)
            relabel(attr, s->nattr);
        else if (s->nattr <= WORDS && s->want.dtype < KL_DTYPE_COUNT)
            one_nan_each(attr, s->nattr, s->want.dtype);
    } else if ((kl_ops[s->op].flags & KL_F_COMM || KL_PLANTED_AT(commutes, s->op)) &&
               s->nsrc == 2 && !g->simplify_off &&
               rank_of(g, s->src[0]) > rank_of(g, s->src[1])) {
        src[0] = s->src[1];
        src[1] = s->src[0];
        y.src = src;
    }
    return y;
}

/* ---- finding and appending ---- */

static uint64_t hash(const kl_spec *s, const kl_type *t)
{
    uint64_t h = mix(s->op, (uint64_t)t->dtype << 8 | (uint64_t)t->rank);
    for (int i = 0; i < t->rank; i++)
        h = mix(h, (uint64_t)t->shape[i]);
    for (uint32_t i = 0; i < s->nsrc; i++)
        h = mix(h, s->src[i]);
    for (uint32_t i = 0; i < s->nattr; i++)
        h = mix(h, (uint64_t)s->attr[i]);
    return h;
}

static bool same(const kl_graph *g, const kl_node *n, const kl_spec *s, const kl_type *t)
{
    return n->op == s->op && n->dtype == t->dtype && n->rank == t->rank &&
           n->nsrc == s->nsrc && n->nattr == s->nattr &&
           !memcmp(g->extents + n->shape, t->shape, n->rank * sizeof(kl_dim)) &&
           (!n->nsrc || !memcmp(g->srcs + n->src, s->src, n->nsrc * sizeof(kl_ref))) &&
           (!n->nattr ||
            !memcmp(g->attrs + n->attr, s->attr, n->nattr * sizeof(int64_t)));
}

static uint32_t slot(const kl_graph *g, const kl_spec *s, const kl_type *t)
{
    uint32_t i = (uint32_t)hash(s, t) & (g->table_cap - 1);
    while (g->table[i] && !same(g, &g->nodes[g->table[i] - 1], s, t))
        i = (i + 1) & (g->table_cap - 1);
    return i;
}

/* Puts node r, which is like no other, into the table. */
static void enter(kl_graph *g, kl_ref r)
{
    kl_type t;
    const kl_node *n = &g->nodes[r];
    kl_graph_type(g, r, &t);
    kl_spec s = {.op = (kl_op)n->op,
                 .src = g->srcs + n->src,
                 .nsrc = n->nsrc,
                 .attr = g->attrs + n->attr,
                 .nattr = n->nattr};
    uint32_t i = (uint32_t)hash(&s, &t) & (g->table_cap - 1);
    while (g->table[i])
        i = (i + 1) & (g->table_cap - 1);
    g->table[i] = r + 1;
}

static bool grow_table(kl_graph *g)
{
    if (g->table_cap >= 2 * (g->count + 1))
        return true;
    uint32_t cap = g->table_cap ? 2 * g->table_cap : 64;
    uint32_t *table = kl_arena_zeroed(g->arena, cap, sizeof *table);
    if (!table)
        return false;
    g->table = table;
    g->table_cap = cap;
    for (kl_ref r = 0; r < g->count; r++)
        if (!kl_graph_effects(g, r))
            enter(g, r);
    return true;
}

void kl_graph_reindex(kl_graph *g)
{
    if (g->table)
        memset(g->table, 0, g->table_cap * sizeof *g->table);
    for (kl_ref r = 0; r < g->count; r++)
        if (!kl_graph_effects(g, r))
            enter(g, r);
}

/* Elementwise chains share one shape. */
static bool place_shape(kl_graph *g, const kl_spec *s, const kl_type *t, uint32_t *at)
{
    size_t bytes = (size_t)t->rank * sizeof(kl_dim);
    if (s->nsrc) {
        const kl_node *n = &g->nodes[s->src[s->nsrc - 1]];
        *at = n->shape;
        if (n->rank == t->rank && !memcmp(g->extents + n->shape, t->shape, bytes))
            return true;
    }
    if (kl_arena_grow(g->arena, &g->extents, &g->cap_extents,
                      g->nextents + (uint32_t)t->rank + 1, sizeof *g->extents))
        return false;
    memcpy(g->extents + g->nextents, t->shape, bytes);
    *at = g->nextents;
    g->nextents += (uint32_t)t->rank;
    return true;
}

static kl_ref append(kl_graph *g, const kl_spec *s, const kl_type *t)
{
    uint32_t shape;
    if (g->count >= KL_NONE - 1 || !place_shape(g, s, t, &shape) ||
        kl_arena_grow(g->arena, &g->srcs, &g->cap_srcs, g->nsrcs + s->nsrc + 1,
                      sizeof *g->srcs) ||
        kl_arena_grow(g->arena, &g->attrs, &g->cap_attrs, g->nattrs + s->nattr + 1,
                      sizeof *g->attrs) ||
        kl_arena_grow(g->arena, &g->nodes, &g->cap, g->count + 1, sizeof *g->nodes))
        return KL_NONE;
    if (s->nsrc)
        memcpy(g->srcs + g->nsrcs, s->src, s->nsrc * sizeof *g->srcs);
    if (s->nattr)
        memcpy(g->attrs + g->nattrs, s->attr, s->nattr * sizeof *g->attrs);
    g->nodes[g->count] = (kl_node){.op = (uint16_t)s->op,
                                   .dtype = (uint8_t)t->dtype,
                                   .rank = (uint8_t)t->rank,
                                   .shape = shape,
                                   .nsrc = s->nsrc,
                                   .src = g->nsrcs,
                                   .nattr = s->nattr,
                                   .attr = g->nattrs,
                                   .name = KL_NONE,
                                   .place = KL_NONE};
    g->nsrcs += s->nsrc;
    g->nattrs += s->nattr;
    return g->count++;
}

static kl_ref append_input(kl_graph *g, const kl_spec *s, const kl_type *t)
{
    if (s->attr[0] != g->ninputs) {
        kl_fail(KL_ERR_ARG, "input: number %lld comes after number %u",
                (long long)s->attr[0], g->ninputs);
        return KL_NONE;
    }
    if (kl_arena_grow(g->arena, &g->inputs, &g->cap_inputs, g->ninputs + 1,
                      sizeof *g->inputs))
        return KL_NONE;
    kl_ref r = append(g, s, t);
    if (r != KL_NONE)
        g->inputs[g->ninputs++] = r;
    return r;
}

kl_ref kl_graph_node(kl_graph *g, const kl_spec *spec)
{
    kl_type t;
    kl_ref src[2];
    int64_t attr[WORDS];
    for (uint32_t i = 0; i < spec->nsrc; i++)
        if (spec->src[i] >= g->count) /* KL_NONE too: canonical order looks at them */
            return kl_graph_infer(g, spec, &t), KL_NONE;
    kl_spec s = canonical(g, spec, src, attr);
    if (kl_graph_infer(g, &s, &t) != KL_OK)
        return KL_NONE;
    if (!grow_table(g))
        return fail(KL_ERR_OOM, "out of memory: a graph");
    bool alone = s.op == KL_OP_call && s.attr[2]; /* an effect is never merged */
    uint32_t i = alone ? 0 : slot(g, &s, &t);
    if (!alone && g->table[i])
        return g->table[i] - 1;
    kl_ref r = s.op == KL_OP_input ? append_input(g, &s, &t) : append(g, &s, &t);
    if (r == KL_NONE)
        return fail(KL_ERR_OOM, "out of memory: a graph");
    if (!alone)
        g->table[i] = r + 1;
    return r;
}

kl_ref kl_graph_find(kl_graph *g, const kl_spec *spec, const kl_type *type)
{
    kl_ref src[2];
    int64_t attr[WORDS];
    kl_spec s = canonical(g, spec, src, attr);
    return g->table ? g->table[slot(g, &s, type)] - 1 : KL_NONE;
}

kl_ref kl_graph_input(kl_graph *g, const char *name, kl_dtype dt, int rank,
                      const kl_dim *shape)
{
    int64_t index = g->ninputs;
    kl_spec s = {.op = KL_OP_input,
                 .want = {.dtype = dt, .rank = rank},
                 .attr = &index,
                 .nattr = 1};
    if (rank > KL_MAX_RANK)
        return fail(KL_ERR_SHAPE, "input: too many axes");
    if (rank > 0)
        memcpy(s.want.shape, shape, (size_t)rank * sizeof *shape);
    kl_ref r = kl_graph_node(g, &s);
    if (r != KL_NONE)
        g->nodes[r].name = kl_graph_string(g, name);
    return r;
}

kl_status kl_graph_output(kl_graph *g, kl_ref r, const char *name)
{
    uint32_t caps[3] = {g->cap_outputs, g->cap_outputs, g->cap_outputs};
    if (r == KL_NONE)
        return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
    if (r >= g->count || kl_ops[g->nodes[r].op].flags & KL_F_MULTI)
        return kl_fail(KL_ERR_ARG, "output %u: %%%u is no single value: pick one",
                       g->noutputs, r);
    uint32_t s = kl_graph_string(g, name);
    if (kl_arena_grow(g->arena, &g->output_names, &caps[0], g->noutputs + 1,
                      sizeof *g->output_names) ||
        (g->donated && kl_arena_grow(g->arena, &g->donated, &caps[1], g->noutputs + 1,
                                     sizeof *g->donated)) ||
        (g->counts && kl_arena_grow(g->arena, &g->counts, &caps[2], g->noutputs + 1,
                                    sizeof *g->counts)) ||
        kl_arena_grow(g->arena, &g->outputs, &g->cap_outputs, g->noutputs + 1,
                      sizeof *g->outputs))
        return kl_fail(KL_ERR_OOM, "out of memory: outputs");
    if (g->donated)
        g->donated[g->noutputs] = 0;
    if (g->counts)
        g->counts[g->noutputs] = (kl_counted){0, 0};
    g->output_names[g->noutputs] = s == KL_NONE ? NULL : g->strings[s];
    g->outputs[g->noutputs++] = r;
    return KL_OK;
}

static kl_status unlike(const kl_graph *g, uint32_t output, const kl_type *a,
                        uint32_t input, const kl_type *b)
{
    kl_text is = {0}, want = {0};
    kl_type_print(g->dims, a, &is);
    kl_type_print(g->dims, b, &want);
    kl_status s = kl_fail(KL_ERR_SHAPE, "donation: output %u is %s, input %u is %s",
                          output, is.s ? is.s : "?", input, want.s ? want.s : "?");
    kl_text_free(&is);
    kl_text_free(&want);
    return s;
}

kl_status kl_graph_donate(kl_graph *g, uint32_t output, uint32_t input)
{
    kl_type a, b;
    if (output >= g->noutputs || input >= g->ninputs)
        return kl_fail(KL_ERR_ARG, "donation: no output %u or no input %u", output,
                       input);
    kl_graph_type(g, g->outputs[output], &a);
    kl_graph_type(g, g->inputs[input], &b);
    if (a.dtype != b.dtype || a.rank != b.rank ||
        memcmp(a.shape, b.shape, (size_t)a.rank * sizeof *a.shape))
        return unlike(g, output, &a, input, &b);
    if (!g->donated)
        g->donated = kl_arena_zeroed(g->arena, g->cap_outputs, sizeof *g->donated);
    if (!g->donated)
        return kl_fail(KL_ERR_OOM, "out of memory: donations");
    g->donated[output] = 1 + (int32_t)input;
    return KL_OK;
}

kl_status kl_graph_counts(kl_graph *g, uint32_t i, int64_t of, int64_t axis)
{
    if (i >= g->noutputs || of < 0 || of >= g->noutputs || of == i)
        return kl_fail(KL_ERR_ARG, "counts: output %u counts no output %lld", i,
                       (long long)of);
    const kl_node *n = &g->nodes[g->outputs[i]], *y = &g->nodes[g->outputs[of]];
    if (n->dtype != KL_I64 || n->rank != 0)
        return kl_fail(KL_ERR_SHAPE, "counts: output %u is no i64[]", i);
    if (axis < 0 || axis >= y->rank)
        return kl_fail(KL_ERR_SHAPE, "counts: output %lld has no axis %lld",
                       (long long)of, (long long)axis);
    if (!g->counts)
        g->counts = kl_arena_zeroed(g->arena, g->cap_outputs, sizeof *g->counts);
    if (!g->counts)
        return kl_fail(KL_ERR_OOM, "out of memory: counts");
    g->counts[i] = (kl_counted){1 + (int32_t)of, (int32_t)axis};
    return KL_OK;
}

int kl_graph_counter(const kl_graph *g, uint32_t i)
{
    for (uint32_t k = 0; g->counts && k < g->noutputs; k++)
        if (g->counts[k].of == (int32_t)i + 1)
            return (int)k;
    return -1;
}
