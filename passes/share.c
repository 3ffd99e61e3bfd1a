/* share.c: kernels of one program that differ in sizes alone are one piece of code, which
 * is given its sizes at each launch.
 *
 *   y[i0*96+i1] = x[i1*40+i0]                y[i0*48*s0+i1] = x[i1*8*s1+i0]
 *   y[i0*144+i1] = x[i1*56+i0]       ->      sizes {2, 5} and {3, 7}
 *
 * A network's blocks are alike but for their channels and rows: half of its kernels and
 * more go without a compile of their own. What changes how code looks stays a constant:
 * small numbers (taps, strides, padding), divisors, what a vector's lanes are multiplied
 * by, extents of loops that are written out or run on lanes. Kernels are compared in
 * full: an expression's nodes are taken together with those that stand in the same place
 * in the other kernels, and only numbers may differ. */
#include "ir/dim.h"
#include "passes/passes.h"

#include <stdlib.h>

enum {
    SIZES = 32,   /* that a kernel is given, at most */
    MEMBERS = 64, /* kernels of one code, at most */
};

/* ---- which kernels are worth a comparison ---- */

static kl_status no_memory(void)
{
    return kl_fail(KL_ERR_OOM, "share: no memory");
}

static uint64_t mix(uint64_t h, uint64_t v)
{
    h = (h ^ v) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

typedef struct sketch { /* of one kernel: what equals that of those it may share with */
    const kl_kernel *k;
    int64_t small;  /* numbers up to here are constants of the code */
    uint64_t lanes; /* loop variables on lanes, as kl_xinfo.vars */
    uint64_t *of;   /* by node */
    uint64_t all;
} sketch;

static kl_status find_lanes(void *ctx, const kl_stmt *s)
{
    sketch *h = ctx;
    if (s->kind == KL_S_FOR && s->bind == KL_BIND_LANE)
        h->lanes |= UINT64_C(1) << s->var % 64;
    return KL_OK;
}

static bool is_size(const sketch *h, const kl_xnode *n)
{
    int64_t v = (int64_t)n->imm;
    return n->op == KL_X_CONST && n->dtype == KL_I64 && (v > h->small || v < -h->small);
}

/* A number as it is. */
static uint64_t exactly(const sketch *h, kl_x e)
{
    return mix(h->of[e], h->k->x->nodes[e].imm);
}

/* Does the operand beside this one make it a constant of the code? */
static bool fixed(const sketch *h, const kl_xnode *n, int i)
{
    const kl_exprs *x = h->k->x;
    if (n->op == KL_OP_floordiv || n->op == KL_OP_mod)
        return i == 1;
    return n->op == KL_OP_mul && (x->info[n->src[!i]].vars & h->lanes) != 0;
}

static void sketch_node(sketch *h, kl_x e)
{
    const kl_xnode *n = &h->k->x->nodes[e];
    uint64_t v = is_size(h, n) ? (uint64_t)((int64_t)n->imm > 0) : mix(1, n->imm);
    v = mix(v, (uint64_t)n->op << 16 | (uint64_t)n->dtype << 8 | n->nsrc);
    for (int i = 0; i < n->nsrc; i++)
        v = mix(v, fixed(h, n, i) ? exactly(h, n->src[i]) : h->of[n->src[i]]);
    h->of[e] = v;
}

/* A loop whose turns are written out has its number of them, one on lanes the vector that
 * ends it; other loops may have any number, but for one. */
static uint64_t sketch_extent(const sketch *h, const kl_stmt *s)
{
    int64_t n, whole;
    uint64_t kind = (uint64_t)s->bind << 32 | (uint64_t)s->lanes;
    if (!kl_x_is_int(h->k->x, s->extent, &n))
        return mix(h->of[s->extent], kind);
    whole = s->bind == KL_BIND_SERIAL                 ? n > 1
            : s->bind == KL_BIND_LANE && n > s->lanes ? n % s->lanes == 0
                                                      : n;
    return mix(kind, (uint64_t)whole);
}

static kl_status sketch_stmt(void *ctx, const kl_stmt *s)
{
    sketch *h = ctx;
    kl_x e[6];
    int n = kl_stmt_exprs(s, e);
    bool loop = s->kind == KL_S_FOR;
    h->all = mix(h->all, (uint64_t)s->kind << 32 | (uint64_t)n);
    for (int i = 0; i < n; i++)
        h->all = mix(h->all, loop ? sketch_extent(h, s) : h->of[e[i]]);
    return KL_OK;
}

static kl_status sketch_of(const kl_kernel *k, int64_t small, uint64_t *out)
{
    sketch h = {.k = k, .small = small, .all = mix(k->noperands, (uint64_t)k->nphases)};
    size_t bytes = (k->x->count + 1u) * sizeof *h.of;
    kl_xlist order;
    kl_status st = kl_kernel_exprs(k, &order);
    h.of = st == KL_OK ? kl_alloc(bytes) : NULL;
    for (int p = 0; h.of && p < k->nphases; p++)
        kl_stmt_walk(k->phases[p].body, find_lanes, &h);
    for (uint32_t i = 0; h.of && i < order.count; i++)
        sketch_node(&h, order.items[i]);
    for (int p = 0; h.of && p < k->nphases; p++)
        kl_stmt_walk(k->phases[p].body, sketch_stmt, &h);
    *out = h.all;
    if (st == KL_OK && !h.of)
        st = no_memory();
    kl_free(h.of, h.of ? bytes : 0);
    kl_xlist_free(&order);
    return st;
}

/* ---- nodes that stand in the same place in all members ---- */

typedef struct shared {
    kl_kernel **k; /* the members */
    uint32_t m;
    kl_kernel *code;
    kl_exprs *x; /* the code's */
    int64_t *sizes[SIZES];
    int nsizes;
    kl_x *tuples, *image; /* m nodes each; what they become: KL_NONE, not yet */
    uint32_t n, cap, cap_image;
    uint32_t *table, table_cap; /* tuples by content: 1 + index */
    uint32_t *stack, cap_stack;
    bool differ; /* in more than sizes, or in too many */
} shared;

static kl_x *tuple_at(const shared *s, uint32_t t)
{
    return s->tuples + (size_t)t * s->m;
}

static uint32_t *slot_of(const shared *s, const kl_x *ids)
{
    uint64_t h = 0;
    for (uint32_t j = 0; j < s->m; j++)
        h = mix(h, ids[j]);
    uint32_t i = (uint32_t)h & (s->table_cap - 1);
    while (s->table[i] &&
           memcmp(tuple_at(s, s->table[i] - 1), ids, s->m * sizeof *ids) != 0)
        i = (i + 1) & (s->table_cap - 1);
    return &s->table[i];
}

static bool table_grow(shared *s)
{
    kl_arena *a = s->code->arena;
    if (s->n * 2 < s->table_cap)
        return true;
    uint32_t cap = s->table_cap ? s->table_cap * 2 : 1024;
    uint32_t *t = kl_arena_zeroed(a, cap, sizeof *t);
    if (!t)
        return false;
    s->table = t;
    s->table_cap = cap;
    for (uint32_t i = 0; i < s->n; i++)
        *slot_of(s, tuple_at(s, i)) = i + 1;
    return true;
}

/* The tuple of these nodes; KL_NONE: no memory. */
static uint32_t tuple_of(shared *s, const kl_x *ids)
{
    kl_arena *a = s->code->arena;
    if (!table_grow(s))
        return KL_NONE;
    uint32_t *slot = slot_of(s, ids);
    if (*slot)
        return *slot - 1;
    if (kl_arena_grow(a, &s->tuples, &s->cap, (s->n + 1) * s->m, sizeof *s->tuples) ||
        kl_arena_grow(a, &s->image, &s->cap_image, s->n + 1, sizeof *s->image))
        return KL_NONE;
    memcpy(tuple_at(s, s->n), ids, s->m * sizeof *ids);
    s->image[s->n] = KL_NONE;
    *slot = s->n + 1;
    return s->n++;
}

/* The symbol whose values these are. */
static kl_dim symbol_of(shared *s, const int64_t *v)
{
    kl_dims *d = s->x->dims;
    size_t bytes = s->m * sizeof *v;
    int64_t min = v[0], max = v[0];
    char name[16];
    for (int i = 0; i < s->nsizes; i++)
        if (memcmp(s->sizes[i], v, bytes) == 0)
            return kl_dim_sym(d, kl_dim_sym_name(d, i));
    for (uint32_t j = 1; j < s->m; j++)
        min = KL_MIN(min, v[j]), max = KL_MAX(max, v[j]);
    s->differ |= s->nsizes == SIZES || min < 0;
    if (s->differ)
        return 0;
    snprintf(name, sizeof name, "s%d", s->nsizes);
    s->sizes[s->nsizes] = kl_arena_copy(s->code->arena, v, bytes);
    kl_dim sym = s->sizes[s->nsizes] ? kl_dim_sym(d, name) : KL_DIM_BAD;
    if (sym != KL_DIM_BAD) {
        kl_dim_sym_bound(d, sym, min, max, 1);
        s->nsizes++;
    }
    return sym;
}

/* These numbers, one a member, as an extent of the code: a constant if they are equal,
 * else a symbol times what they have in common: 96 and 160 are 32 * {3, 5}. */
static kl_dim size_of(shared *s, const int64_t *v)
{
    kl_dims *d = s->x->dims;
    int64_t common = 0, rest[MEMBERS];
    bool equal = true;
    for (uint32_t j = 0; j < s->m; j++) {
        common = kl_gcd(common, v[j]);
        equal &= v[j] == v[0];
    }
    if (equal)
        return kl_dim_const(d, v[0]);
    for (uint32_t j = 0; j < s->m; j++)
        rest[j] = v[j] / common;
    kl_dim sym = symbol_of(s, rest);
    return s->differ || sym == KL_DIM_BAD ? sym : kl_dim_mul(d, sym, common);
}

static kl_x number_of(shared *s, const kl_x *ids)
{
    int64_t v[MEMBERS], sign = 1;
    for (uint32_t j = 0; j < s->m; j++) {
        v[j] = (int64_t)s->k[j]->x->nodes[ids[j]].imm;
        s->differ |= (v[j] < 0) != (v[0] < 0) || v[j] == INT64_MIN;
    }
    if (s->differ)
        return KL_NONE;
    if (v[0] < 0)
        sign = -1;
    for (uint32_t j = 0; j < s->m; j++)
        v[j] *= sign;
    return kl_x_scale(s->x, kl_x_dim(s->x, size_of(s, v)), sign);
}

/* What the nodes become; src: what their sources have become. */
static kl_x node_of(shared *s, const kl_x *ids, const kl_x *src)
{
    kl_xnode n = s->k[0]->x->nodes[ids[0]];
    bool same = true;
    for (uint32_t j = 1; j < s->m; j++) {
        const kl_xnode *o = &s->k[j]->x->nodes[ids[j]];
        s->differ |= o->op != n.op || o->dtype != n.dtype || o->nsrc != n.nsrc;
        same &= o->imm == n.imm;
    }
    if (s->differ)
        return KL_NONE;
    if (!same && n.op == KL_X_CONST && n.dtype == KL_I64)
        return number_of(s, ids);
    s->differ |= !same || n.op == KL_X_DIM;
    memcpy(n.src, src, n.nsrc * sizeof *src);
    return s->differ ? KL_NONE : kl_x_intern(s->x, &n);
}

/* The tuple of the nodes' i-th sources. */
static uint32_t source_of(shared *s, uint32_t t, int i)
{
    kl_x ids[MEMBERS];
    for (uint32_t j = 0; j < s->m; j++) {
        const kl_xnode *n = &s->k[j]->x->nodes[tuple_at(s, t)[j]];
        if (i >= n->nsrc) {
            s->differ = true;
            return 0;
        }
        ids[j] = n->src[i];
    }
    return tuple_of(s, ids);
}

/* One step of the walk: a node whose sources are done, or its sources before it. */
static kl_status visit(shared *s, uint32_t t, uint32_t *depth)
{
    const kl_xnode *n = &s->k[0]->x->nodes[tuple_at(s, t)[0]];
    kl_x src[3];
    uint32_t before = *depth;
    for (int i = 0; i < n->nsrc; i++) {
        uint32_t of = source_of(s, t, i);
        if (s->differ)
            return KL_OK;
        if (of == KL_NONE || kl_arena_grow(s->code->arena, &s->stack, &s->cap_stack,
                                           *depth + 1, sizeof *s->stack))
            return no_memory();
        src[i] = s->image[of];
        if (src[i] == KL_NONE)
            s->stack[(*depth)++] = of;
    }
    if (*depth > before)
        return KL_OK;
    s->image[t] = node_of(s, tuple_at(s, t), src);
    --*depth;
    return s->image[t] == KL_NONE && !s->differ ? no_memory() : KL_OK;
}

/* One expression of the code for the members' in the same place. */
static kl_status merge(shared *s, const kl_x *ids, kl_x *out)
{
    uint32_t depth = 1, root;
    for (uint32_t j = 0; j < s->m; j++)
        s->differ |= (ids[j] == KL_NONE) != (ids[0] == KL_NONE);
    *out = KL_NONE;
    if (s->differ || ids[0] == KL_NONE)
        return KL_OK;
    root = tuple_of(s, ids);
    if (root == KL_NONE ||
        kl_arena_grow(s->code->arena, &s->stack, &s->cap_stack, 1, sizeof *s->stack))
        return no_memory();
    s->stack[0] = root;
    while (depth > 0 && !s->differ) {
        uint32_t t = s->stack[depth - 1];
        if (s->image[t] != KL_NONE)
            depth--;
        else
            KL_TRY(visit(s, t, &depth));
    }
    *out = s->image[root];
    return KL_OK;
}

/* ---- statements ---- */

static bool alike(const kl_stmt *a, const kl_stmt *b)
{
    return a->kind == b->kind && a->var == b->var && a->bind == b->bind &&
           a->lanes == b->lanes && a->reg == b->reg && a->operand == b->operand &&
           a->combine == b->combine && a->fault == b->fault && a->node == b->node &&
           !a->next == !b->next && !a->body == !b->body && !a->other == !b->other;
}

static kl_status merge_field(shared *s, const kl_stmt *const *of, size_t field,
                             kl_stmt *y)
{
    kl_x ids[MEMBERS];
    for (uint32_t j = 0; j < s->m; j++)
        memcpy(&ids[j], (const char *)of[j] + field, sizeof ids[j]);
    return merge(s, ids, (kl_x *)(void *)((char *)y + field));
}

static kl_status merge_stmt(shared *s, const kl_stmt *const *of, kl_stmt *y)
{
    static const size_t fields[] = {
        offsetof(kl_stmt, extent),   offsetof(kl_stmt, index[0]),
        offsetof(kl_stmt, index[1]), offsetof(kl_stmt, index[2]),
        offsetof(kl_stmt, value),    offsetof(kl_stmt, at),
        offsetof(kl_stmt, pred)};
    for (uint32_t j = 1; j < s->m; j++)
        s->differ |= !alike(of[0], of[j]);
    for (size_t f = 0; f < KL_COUNT(fields) && !s->differ; f++)
        KL_TRY(merge_field(s, of, fields[f], y));
    return KL_OK;
}

static kl_status merge_list(shared *s, const kl_stmt *const *first, kl_stmt **out)
{
    const kl_stmt *of[MEMBERS], *inner[MEMBERS];
    memcpy(of, first, s->m * sizeof *of);
    *out = NULL;
    while (of[0] && !s->differ) {
        kl_stmt *y = kl_arena_copy(s->code->arena, of[0], sizeof *y);
        if (!y)
            return no_memory();
        *out = y;
        out = &y->next;
        y->next = NULL;
        KL_TRY(merge_stmt(s, of, y));
        for (int side = 0; side < 2 && !s->differ; side++) {
            for (uint32_t j = 0; j < s->m; j++)
                inner[j] = side ? of[j]->other : of[j]->body;
            KL_TRY(merge_list(s, inner, side ? &y->other : &y->body));
        }
        for (uint32_t j = 0; j < s->m; j++)
            of[j] = of[j]->next;
    }
    return KL_OK;
}

/* ---- kernels ---- */

/* The members' extents in the same place, which are constants, as one of the code. */
static kl_dim merge_extents(shared *s, const kl_dim *of)
{
    int64_t v[MEMBERS];
    for (uint32_t j = 0; j < s->m; j++)
        s->differ |= !kl_dim_is_const(s->k[j]->x->dims, of[j], &v[j]);
    return s->differ ? 0 : size_of(s, v);
}

static kl_status merge_operands(shared *s)
{
    kl_kernel *code = s->code;
    code->operands =
        kl_arena_copy(code->arena, code->operands, code->noperands * sizeof(kl_operand));
    if (!code->operands)
        return no_memory();
    for (uint32_t i = 0; i < code->noperands && !s->differ; i++) {
        const kl_operand *o = &s->k[0]->operands[i];
        kl_dim count[MEMBERS], low[MEMBERS];
        for (uint32_t j = 0; j < s->m; j++) {
            const kl_operand *p = &s->k[j]->operands[i];
            s->differ |= p->dtype != o->dtype || p->role != o->role ||
                         p->scope != o->scope || p->inplace != o->inplace;
            count[j] = p->count, low[j] = p->low;
        }
        code->operands[i].count = merge_extents(s, count);
        code->operands[i].low = merge_extents(s, low);
        code->operands[i].shape = NULL;
    }
    return KL_OK;
}

static kl_status merge_vars(shared *s)
{
    int64_t v[MEMBERS];
    for (uint32_t i = 0; i < s->k[0]->x->nvars && !s->differ; i++) {
        for (uint32_t j = 0; j < s->m; j++)
            s->differ |=
                !kl_dim_is_const(s->k[j]->x->dims, s->k[j]->x->var_extent[i], &v[j]);
        if (!s->differ &&
            kl_x_newvar(s->x, s->k[0]->x->var_name[i], size_of(s, v)) == KL_NONE)
            return no_memory();
    }
    return KL_OK;
}

static bool same_regs(const kl_kernel *a, const kl_kernel *b)
{
    bool same = a->nregs == b->nregs;
    for (uint32_t i = 0; i < a->nregs && same; i++) {
        const kl_reg *r = &a->regs[i], *o = &b->regs[i];
        same = r->dtype == o->dtype && r->lanes == o->lanes && r->ndims == o->ndims &&
               memcmp(r->dims, o->dims, (size_t)r->ndims * sizeof *r->dims) == 0;
    }
    return same;
}

static kl_status merge_phases(shared *s)
{
    kl_kernel *code = s->code;
    const kl_stmt *of[MEMBERS];
    kl_dim workers[MEMBERS];
    code->phases = kl_arena_copy(code->arena, code->phases,
                                 (size_t)code->nphases * sizeof(kl_phase));
    if (!code->phases)
        return no_memory();
    for (int p = 0; p < code->nphases && !s->differ; p++) {
        kl_phase *y = &code->phases[p];
        for (uint32_t j = 0; j < s->m; j++) {
            const kl_phase *o = &s->k[j]->phases[p];
            s->differ |= o->var != y->var || o->group != y->group || o->lane != y->lane;
            of[j] = o->body, workers[j] = o->workers;
        }
        y->workers = merge_extents(s, workers);
        y->grain = 1;
        y->body = NULL;
        if (!s->differ)
            KL_TRY(merge_list(s, of, &y->body));
    }
    return KL_OK;
}

static kl_status merge_kernels(shared *s)
{
    for (uint32_t j = 1; j < s->m; j++) {
        const kl_kernel *a = s->k[0], *b = s->k[j];
        s->differ |= a->noperands != b->noperands || a->nphases != b->nphases ||
                     a->x->nvars != b->x->nvars || !same_regs(a, b);
    }
    if (!s->differ)
        KL_TRY(merge_vars(s));
    if (!s->differ)
        KL_TRY(merge_operands(s));
    if (!s->differ)
        KL_TRY(merge_phases(s));
    return kl_dims_failed(s->x->dims) || kl_arena_failed(s->code->arena) ? no_memory()
                                                                         : KL_OK;
}

/* Each member's sizes, by the code's symbols. */
static kl_status give_sizes(const shared *s)
{
    for (uint32_t j = 0; j < s->m; j++) {
        int64_t *v = kl_arena_alloc(s->code->arena, SIZES * sizeof *v);
        if (!v)
            return no_memory();
        for (int i = 0; i < s->nsizes; i++)
            v[i] = s->sizes[i][j];
        s->k[j]->code = s->code;
        s->k[j]->sizes = v;
    }
    return KL_OK;
}

/* One code for these kernels of one sketch, if nothing but sizes differs. */
static kl_status share(kl_arena *a, kl_kernel **k, uint32_t m)
{
    shared s = {.k = k, .m = m, .code = kl_arena_copy(a, k[0], sizeof **k)};
    kl_dims *d = kl_dims_new(a);
    if (!s.code || !d)
        return no_memory();
    s.code->arena = a;
    s.code->x = s.x = kl_exprs_new(a, d);
    if (!s.x)
        return no_memory();
    KL_TRY(merge_kernels(&s));
    if (s.differ || s.nsizes == 0)
        return KL_OK;
    return give_sizes(&s);
}

typedef struct sketched {
    uint64_t sketch;
    int i;
} sketched;

static int by_sketch(const void *a, const void *b)
{
    const sketched *x = a, *y = b;
    int order = (x->sketch > y->sketch) - (x->sketch < y->sketch);
    return order ? order : (x->i > y->i) - (x->i < y->i);
}

static kl_status share_alike(kl_unit *u, const sketched *each, int n)
{
    kl_kernel *k[MEMBERS];
    for (int begin = 0, m; begin < n; begin += m) {
        for (m = 0; begin + m < n && m < MEMBERS; m++) {
            if (each[begin + m].sketch != each[begin].sketch)
                break;
            k[m] = u->kernels[each[begin + m].i];
        }
        if (m > 1)
            KL_TRY(share(u->arena, k, (uint32_t)m));
    }
    return KL_OK;
}

kl_status kl_pass_share(kl_unit *u)
{
    if (u->share <= 0 || u->target->kind != KL_TARGET_CPU)
        return KL_OK;
    sketched *each = kl_arena_alloc(u->arena, ((size_t)u->nkernels + 1) * sizeof *each);
    int n = 0;
    if (!each)
        return no_memory();
    for (int i = 0; i < u->nkernels; i++) {
        const kl_kernel *k = u->kernels[i];
        if (k->call || kl_kernel_dims(k, NULL, 0) != 0)
            continue;
        each[n].i = i;
        KL_TRY(sketch_of(k, u->share, &each[n++].sketch));
    }
    qsort(each, (size_t)n, sizeof *each, by_sketch);
    return share_alike(u, each, n);
}
