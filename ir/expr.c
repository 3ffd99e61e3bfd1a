/* expr.c: scalar expressions, interned. A node is 24 bytes, its sources have smaller
 * indices than itself, and two equal expressions are one node, so equality is == and
 * walks are loops.
 *
 *   +----+-------+------+--------+--------+--------+-----+
 *   | op | dtype | nsrc | src[0] | src[1] | src[2] | imm |
 *   +----+-------+------+--------+--------+--------+-----+
 *
 * Builders check types, fold constants by kl_eval, and hand integer and bool rows to
 * expr_simplify.c; floats stay as written. A KL_NONE source gives KL_NONE: one check at
 * the end of a construction is enough. Parsers intern nodes exactly as written instead.
 *
 *   kl_x_op(x, KL_OP_add, i, 0)  ->  i          kl_x_op(x, KL_OP_add, f, 0.0)  ->  add(f,
 * 0.0) */
#include "ir/ir.h"

kl_exprs *kl_exprs_new(kl_arena *a, kl_dims *d)
{
    kl_exprs *x = kl_arena_zeroed(a, 1, sizeof *x);
    if (!x)
        return NULL;
    x->arena = a;
    x->dims = d ? d : kl_dims_new(a);
    x->epoch = kl_arena_zeroed(a, 1, sizeof *x->epoch);
    return x->dims && x->epoch ? x : NULL;
}

kl_exprs *kl_exprs_own(const kl_exprs *from, kl_arena *a)
{
    kl_exprs *x = kl_arena_copy(a, from, sizeof *x);
    if (!x)
        return NULL;
    x->arena = a;
    x->dims = kl_dims_own(from->dims, a);
    x->cap = x->cap_info = x->count;
    x->cap_vars = x->nvars;
    x->nodes = kl_arena_copy(a, from->nodes, x->count * sizeof *x->nodes);
    x->info = kl_arena_copy(a, from->info, x->count * sizeof *x->info);
    x->table = kl_arena_copy(a, from->table, x->table_cap * sizeof *x->table);
    x->epoch = kl_arena_copy(a, from->epoch, sizeof *x->epoch);
    x->var_extent = kl_arena_copy(a, from->var_extent, x->nvars * sizeof *x->var_extent);
    x->var_name = kl_arena_copy(a, from->var_name, x->nvars * sizeof *x->var_name);
    x->lowered = NULL;
    x->lowered_for = NULL;
    x->cap_lowered = 0;
    return kl_arena_failed(a) ? NULL : x;
}

uint32_t kl_x_newvar(kl_exprs *x, const char *name, kl_dim extent)
{
    uint32_t v = x->nvars, cap = x->cap_vars;
    if (kl_arena_grow(x->arena, &x->var_extent, &cap, v + 1, sizeof *x->var_extent))
        return KL_NONE;
    if (kl_arena_grow(x->arena, &x->var_name, &x->cap_vars, v + 1, sizeof *x->var_name))
        return KL_NONE;
    x->var_extent[v] = extent;
    x->var_name[v] = name;
    x->nvars++;
    return v;
}

/* ---- the table ---- */

static uint32_t hash_node(const kl_xnode *n)
{
    uint64_t w[3];
    memcpy(w, n, sizeof w);
    uint64_t h = w[0] * 0x9e3779b97f4a7c15u ^ (w[1] + 0x7f4a7c15u) * 0xc2b2ae3d27d4eb4fu;
    h = (h ^ h >> 29 ^ w[2]) * 0xbf58476d1ce4e5b9u;
    return (uint32_t)(h ^ h >> 32);
}

/* The slot that holds n, or the free one where it belongs. */
static uint32_t *slot_of(const kl_exprs *x, const kl_xnode *n)
{
    uint32_t i = hash_node(n) & (x->table_cap - 1);
    while (x->table[i] && memcmp(&x->nodes[x->table[i] - 1], n, sizeof *n))
        i = (i + 1) & (x->table_cap - 1);
    return &x->table[i];
}

static bool table_grow(kl_exprs *x)
{
    if (x->count * 2 < x->table_cap)
        return true;
    uint32_t cap = x->table_cap ? x->table_cap * 2 : 256;
    uint32_t *t = kl_arena_zeroed(x->arena, cap, sizeof *t);
    if (!t)
        return false;
    x->table = t;
    x->table_cap = cap;
    for (uint32_t i = 0; i < x->count; i++)
        *slot_of(x, &x->nodes[i]) = i + 1;
    return true;
}

kl_x kl_x_intern(kl_exprs *x, const kl_xnode *n)
{
    for (int i = 0; i < n->nsrc; i++)
        if (n->src[i] == KL_NONE)
            return KL_NONE;
    if (!table_grow(x))
        return KL_NONE;
    uint32_t *slot = slot_of(x, n);
    if (*slot)
        return *slot - 1;
    if (kl_arena_grow(x->arena, &x->nodes, &x->cap, x->count + 1, sizeof *x->nodes) ||
        kl_arena_grow(x->arena, &x->info, &x->cap_info, x->count + 1, sizeof *x->info))
        return KL_NONE;
    x->nodes[x->count] = *n;
    x->info[x->count] = kl_x_info(x, n);
    *slot = ++x->count;
    return x->count - 1;
}

static kl_x make(kl_exprs *x, int op, kl_dtype dt, uint64_t imm, const kl_x *src, int n)
{
    kl_xnode node = {
        .op = (uint16_t)op, .dtype = (uint8_t)dt, .nsrc = (uint8_t)n, .imm = imm};
    for (int i = 0; i < 3; i++)
        node.src[i] = i < n ? src[i] : KL_NONE;
    return kl_x_intern(x, &node);
}

/* ---- leaves ---- */

kl_x kl_x_var(kl_exprs *x, uint32_t var)
{
    if (var >= x->nvars) {
        kl_fail(KL_ERR_INTERNAL, "expression: no variable %u", var);
        return KL_NONE;
    }
    return make(x, KL_X_VAR, KL_I64, var, NULL, 0);
}

kl_x kl_x_const(kl_exprs *x, kl_dtype dt, kl_scalar v)
{
    unsigned bits = 8u * kl_dtypes[dt].size;
    uint64_t imm = bits < 64 ? v.bits & ((UINT64_C(1) << bits) - 1) : v.bits;
    return make(x, KL_X_CONST, dt, imm, NULL, 0);
}

kl_x kl_x_int(kl_exprs *x, int64_t v)
{
    return make(x, KL_X_CONST, KL_I64, (uint64_t)v, NULL, 0);
}

kl_x kl_x_bool(kl_exprs *x, bool v)
{
    return make(x, KL_X_CONST, KL_BOOL, v, NULL, 0);
}

kl_x kl_x_dim(kl_exprs *x, kl_dim v)
{
    int64_t c;
    if (v == KL_DIM_BAD)
        return KL_NONE;
    if (kl_dim_is_const(x->dims, v, &c))
        return kl_x_int(x, c);
    return make(x, KL_X_DIM, KL_I64, (uint64_t)v, NULL, 0);
}

bool kl_x_is_int(const kl_exprs *x, kl_x a, int64_t *v)
{
    if (a == KL_NONE || x->nodes[a].op != KL_X_CONST || x->nodes[a].dtype != KL_I64)
        return false;
    *v = (int64_t)x->nodes[a].imm;
    return true;
}

static bool is_bool(const kl_exprs *x, kl_x a, bool v)
{
    return a != KL_NONE && x->nodes[a].op == KL_X_CONST && x->nodes[a].dtype == KL_BOOL &&
           x->nodes[a].imm == v;
}

/* ---- rows ---- */

static kl_x ill_typed(const kl_exprs *x, kl_op op, const kl_x *s, int n)
{
    const char *t[3] = {"-", "-", "-"};
    for (int i = 0; i < n; i++)
        t[i] = kl_dtypes[x->nodes[s[i]].dtype].name;
    kl_fail(KL_ERR_INTERNAL, "expression: %s of %s, %s, %s", kl_ops[op].name, t[0], t[1],
            t[2]);
    return KL_NONE;
}

kl_dtype kl_x_result(const kl_exprs *x, kl_op op, const kl_x *s, int n)
{
    const kl_op_info *o = &kl_ops[op];
    bool cond = o->rule == KL_RULE_COND;
    kl_dtype dt = x->nodes[s[cond ? 1 : 0]].dtype;
    if (cond && x->nodes[s[0]].dtype != KL_BOOL)
        return KL_DTYPE_NONE;
    for (int i = cond ? 2 : 1; i < n; i++)
        if (x->nodes[s[i]].dtype != dt)
            return KL_DTYPE_NONE;
    bool isfloat = kl_is_float(dt);
    if ((o->rule == KL_RULE_FLOAT && !isfloat) || kl_is_complex(dt) ||
        (o->rule == KL_RULE_U64 && dt != KL_U64) || ((o->flags & KL_F_INT) && isfloat) ||
        ((o->flags & KL_F_NOBOOL) && dt == KL_BOOL))
        return KL_DTYPE_NONE;
    return o->rule == KL_RULE_BOOL ? KL_BOOL : dt;
}

static bool all_const(const kl_exprs *x, const kl_x *s, int n)
{
    for (int i = 0; i < n; i++)
        if (x->nodes[s[i]].op != KL_X_CONST)
            return false;
    return true;
}

static kl_x fold(kl_exprs *x, kl_op op, kl_dtype dt, const kl_x *s, int n)
{
    kl_scalar v[3] = {{.bits = 0}, {.bits = 0}, {.bits = 0}};
    for (int i = 0; i < n; i++)
        v[i].bits = x->nodes[s[i]].imm;
    return kl_x_const(x, dt, kl_eval(op, x->nodes[s[n - 1]].dtype, v[0], v[1], v[2]));
}

/* A commutative row exists in one order only: the first that was asked for. */
static kl_x make_row(kl_exprs *x, kl_op op, kl_dtype dt, const kl_x *s, int n)
{
    if (n == 2 && (kl_ops[op].flags & KL_F_COMM || KL_PLANTED_AT(commutes, op)) &&
        x->table_cap) {
        kl_xnode node = {.op = (uint16_t)op, .dtype = (uint8_t)dt, .nsrc = 2};
        node.src[0] = s[1];
        node.src[1] = s[0];
        node.src[2] = KL_NONE;
        uint32_t *slot = slot_of(x, &node);
        if (*slot)
            return *slot - 1;
    }
    return make(x, op, dt, 0, s, n);
}

kl_x kl_x_op(kl_exprs *x, kl_op op, kl_x a, kl_x b, kl_x c)
{
    kl_x s[3] = {a, b, c};
    int n = kl_ops[op].arity;
    if (kl_ops[op].kind != KL_KIND_ELT || kl_ops[op].rule == KL_RULE_OWN) {
        kl_fail(KL_ERR_INTERNAL, "expression: %s is no scalar row", kl_ops[op].name);
        return KL_NONE;
    }
    for (int i = 0; i < n; i++)
        if (s[i] == KL_NONE)
            return KL_NONE;
    kl_dtype dt = kl_x_result(x, op, s, n);
    if (dt == KL_DTYPE_NONE)
        return ill_typed(x, op, s, n);
    if (all_const(x, s, n) && !(kl_ops[op].flags & KL_F_MATH))
        return fold(x, op, dt, s, n);
    kl_x y = kl_x_simplify(x, op, a, b, c);
    return y != KL_NONE ? y : make_row(x, op, dt, s, n);
}

/* Does every value of `from` survive a cast to `to`? Then a cast back is the identity. */
static bool widens(kl_dtype from, kl_dtype to)
{
    const kl_dtype_info *f = &kl_dtypes[from], *t = &kl_dtypes[to];
    if (from == KL_BOOL)
        return t->cls != KL_CLS_COMPLEX;
    if (f->cls == KL_CLS_FLOAT)
        return t->cls == KL_CLS_FLOAT && t->size > f->size;
    if (f->cls == KL_CLS_UINT)
        return (t->cls == KL_CLS_UINT || t->cls == KL_CLS_SINT) && t->size > f->size;
    return f->cls == KL_CLS_SINT && t->cls == KL_CLS_SINT && t->size > f->size;
}

kl_x kl_x_cast(kl_exprs *x, kl_x a, kl_dtype to)
{
    if (a == KL_NONE)
        return KL_NONE;
    kl_xnode n = x->nodes[a];
    if (n.dtype == to)
        return a;
    if (n.op == KL_X_CONST)
        return kl_x_const(x, to, kl_eval_cast(to, n.dtype, (kl_scalar){.bits = n.imm}));
    if (n.op == KL_OP_cast && x->nodes[n.src[0]].dtype == to && widens(to, n.dtype))
        return n.src[0];
    return make(x, KL_OP_cast, to, 0, &a, 1);
}

kl_x kl_x_bitcast(kl_exprs *x, kl_x a, kl_dtype to)
{
    if (a == KL_NONE)
        return KL_NONE;
    kl_xnode n = x->nodes[a];
    if (n.dtype == to)
        return a;
    if (kl_dtypes[n.dtype].size != kl_dtypes[to].size) {
        kl_fail(KL_ERR_INTERNAL, "expression: bitcast of %s to %s",
                kl_dtypes[n.dtype].name, kl_dtypes[to].name);
        return KL_NONE;
    }
    if (n.op == KL_X_CONST)
        return kl_x_const(x, to, (kl_scalar){.bits = n.imm});
    if (n.op == KL_OP_bitcast)
        return kl_x_bitcast(x, n.src[0], to);
    return make(x, KL_OP_bitcast, to, 0, &a, 1);
}

/* ---- reads ---- */

kl_x kl_x_load(kl_exprs *x, uint32_t operand, kl_dtype dt, kl_x index, kl_x pred,
               kl_x other)
{
    if (is_bool(x, pred, true))
        pred = KL_NONE;
    if (is_bool(x, pred, false))
        return other != KL_NONE ? other : kl_x_const(x, dt, (kl_scalar){.bits = 0});
    if (pred == KL_NONE)
        return make(x, KL_X_LOAD, dt, operand, &index, 1);
    kl_x s[3] = {index, pred, other};
    return make(x, KL_X_LOAD, dt, operand, s, other == KL_NONE ? 2 : 3);
}

static kl_x indexed(kl_exprs *x, int op, uint32_t imm, kl_dtype dt, const kl_x *index,
                    int n)
{
    if (n > 3) {
        kl_fail(KL_ERR_INTERNAL, "expression: %d indices, at most 3", n);
        return KL_NONE;
    }
    return make(x, op, dt, imm, index, n);
}

kl_x kl_x_stage(kl_exprs *x, uint32_t stage, kl_dtype dt, const kl_x *index, int n)
{
    return indexed(x, KL_X_STAGE, stage, dt, index, n);
}

kl_x kl_x_reg(kl_exprs *x, uint32_t reg, kl_dtype dt, const kl_x *index, int n)
{
    return indexed(x, KL_X_REG, reg, dt, index, n);
}

/* ---- shorthands ---- */

kl_x kl_x_add(kl_exprs *x, kl_x a, kl_x b)
{
    return kl_x_op(x, KL_OP_add, a, b, KL_NONE);
}

kl_x kl_x_mul(kl_exprs *x, kl_x a, kl_x b)
{
    return kl_x_op(x, KL_OP_mul, a, b, KL_NONE);
}

kl_x kl_x_scale(kl_exprs *x, kl_x a, int64_t by)
{
    return kl_x_mul(x, a, kl_x_int(x, by));
}

kl_x kl_x_divf(kl_exprs *x, kl_x a, kl_x b)
{
    return kl_x_op(x, KL_OP_floordiv, a, b, KL_NONE);
}

kl_x kl_x_mod(kl_exprs *x, kl_x a, kl_x b)
{
    return kl_x_op(x, KL_OP_mod, a, b, KL_NONE);
}

kl_x kl_x_lt(kl_exprs *x, kl_x a, kl_x b)
{
    return kl_x_op(x, KL_OP_lt, a, b, KL_NONE);
}

kl_x kl_x_and(kl_exprs *x, kl_x a, kl_x b)
{
    kl_x yes = kl_x_bool(x, true); /* "always" is spelt KL_NONE in predicates */
    a = a == yes ? KL_NONE : a;
    b = b == yes ? KL_NONE : b;
    if (a == KL_NONE || b == KL_NONE)
        return a == KL_NONE ? b : a;
    return kl_x_op(x, KL_OP_and, a, b, KL_NONE);
}

/* ---- walks ---- */

static kl_status list_put(kl_xlist *l, kl_x a)
{
    if (l->count == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 64;
        kl_x *p = kl_realloc(l->items, l->cap * sizeof *p, cap * sizeof *p);
        if (!p)
            return kl_fail(KL_ERR_OOM, "expression: a list of %u nodes", cap);
        l->items = p;
        l->cap = cap;
    }
    l->items[l->count++] = a;
    return KL_OK;
}

void kl_xlist_free(kl_xlist *l)
{
    if (l->items)
        kl_free(l->items, l->cap * sizeof *l->items);
    *l = (kl_xlist){0};
}

/* Depth first with a stack of our own: a node is pushed, then its sources, and listed
 * when it comes up again with all sources listed. mark: epoch = listed. */
static kl_status order_from(const kl_exprs *x, kl_xlist *stack, uint32_t epoch,
                            kl_xlist *out)
{
    while (stack->count) {
        kl_x a = stack->items[stack->count - 1];
        const kl_xnode *n = &x->nodes[a];
        uint32_t before = stack->count;
        if (x->info[a].mark == epoch) {
            stack->count--;
            continue;
        }
        for (int i = n->nsrc; i-- > 0;)
            if (x->info[n->src[i]].mark != epoch)
                KL_TRY(list_put(stack, n->src[i]));
        if (stack->count > before)
            continue;
        stack->count--;
        x->info[a].mark = epoch;
        KL_TRY(list_put(out, a));
    }
    return KL_OK;
}

kl_status kl_x_order_more(const kl_exprs *x, kl_x root, uint32_t *epoch, kl_xlist *out)
{
    kl_xlist stack = {0};
    if (root == KL_NONE)
        return KL_OK;
    if (!*epoch)
        *epoch = ++*x->epoch;
    kl_status s = list_put(&stack, root);
    if (s == KL_OK)
        s = order_from(x, &stack, *epoch, out);
    kl_xlist_free(&stack);
    if (s != KL_OK)
        kl_arena_fail(x->arena);
    return s;
}

kl_status kl_x_order(const kl_exprs *x, kl_x root, kl_xlist *out)
{
    uint32_t epoch = 0;
    out->count = 0;
    return kl_x_order_more(x, root, &epoch, out);
}

bool kl_x_uses_var(const kl_exprs *x, kl_x a, uint32_t var)
{
    if (a == KL_NONE || !(x->info[a].vars >> (var & 63) & 1))
        return false;
    kl_xlist l = {0};
    bool found = x->nvars <= 64 || kl_x_order(x, a, &l) != KL_OK;
    for (uint32_t i = 0; i < l.count && !found; i++)
        found = x->nodes[l.items[i]].op == KL_X_VAR && x->nodes[l.items[i]].imm == var;
    kl_xlist_free(&l);
    return found;
}

kl_x kl_x_rebuild(kl_exprs *x, kl_x a, const kl_x *s)
{
    kl_xnode n = x->nodes[a];
    if (n.op < KL_OP_COUNT && kl_ops[n.op].kind == KL_KIND_ELT)
        return kl_x_op(x, (kl_op)n.op, s[0], s[1], s[2]);
    switch (n.op) {
    case KL_OP_cast:
        return kl_x_cast(x, s[0], n.dtype);
    case KL_OP_bitcast:
        return kl_x_bitcast(x, s[0], n.dtype);
    case KL_X_LOAD:
        return kl_x_load(x, (uint32_t)n.imm, n.dtype, s[0], s[1], s[2]);
    default:
        return make(x, n.op, n.dtype, n.imm, s, n.nsrc);
    }
}

/* fn may walk expressions itself, so what this walk knows is its own: for each node of
 * the order its result and its sources' places in the order. */
static kl_x map_order(kl_exprs *x, const kl_xlist *order, uint32_t *w, kl_x_map_fn fn,
                      void *ctx)
{
    uint32_t n = order->count;
    for (uint32_t i = 0; i < n; i++) {
        const kl_xnode *node = &x->nodes[order->items[i]];
        for (int j = 0; j < node->nsrc; j++)
            w[n + 3 * i + j] = x->info[node->src[j]].pos;
        x->info[order->items[i]].pos = i;
    }
    for (uint32_t i = 0; i < n; i++) {
        kl_x s[3] = {KL_NONE, KL_NONE, KL_NONE};
        for (int j = 0; j < x->nodes[order->items[i]].nsrc; j++)
            s[j] = w[w[n + 3 * i + j]];
        w[i] = fn(ctx, x, order->items[i], s);
        if (w[i] == KL_NONE)
            return KL_NONE;
    }
    return w[n - 1];
}

kl_x kl_x_map(kl_exprs *x, kl_x a, kl_x_map_fn fn, void *ctx)
{
    kl_xlist order = {0};
    kl_x y = KL_NONE;
    if (a == KL_NONE || kl_x_order(x, a, &order) != KL_OK)
        goto out;
    size_t bytes = (size_t)order.count * 4 * sizeof(uint32_t);
    uint32_t *w = kl_alloc(bytes);
    if (w)
        y = map_order(x, &order, w, fn, ctx);
    else
        kl_arena_fail(x->arena);
    if (w)
        kl_free(w, bytes);
out:
    kl_xlist_free(&order);
    return y;
}

typedef struct subst_ctx {
    kl_x_subst_fn fn;
    void *ctx;
} subst_ctx;

static kl_x subst_one(void *ctx, kl_exprs *x, kl_x a, const kl_x *s)
{
    const subst_ctx *c = ctx;
    uint16_t op = x->nodes[a].op;
    kl_x y = x->nodes[a].nsrc ? kl_x_rebuild(x, a, s) : a;
    if (y == KL_NONE || (op != KL_X_VAR && op != KL_X_STAGE))
        return y;
    kl_x r = c->fn(c->ctx, x, y);
    return r == KL_NONE ? y : r;
}

kl_x kl_x_subst(kl_exprs *x, kl_x a, kl_x_subst_fn fn, void *ctx)
{
    return kl_x_map(x, a, subst_one, &(subst_ctx){fn, ctx});
}
