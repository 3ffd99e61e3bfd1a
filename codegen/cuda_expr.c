/* cuda_expr.c: scalar expressions as constants of CUDA C.
 *
 * An expression is written once for as long as it is true: its name is kept under its
 * number, in the outermost frame where all it depends on is known, and is forgotten with
 * that frame or when a register or operand it has read changes.
 *
 *   load x[w*64 + c]   ->   const i32 t0 = w * 64;      before the loop over c
 *                           const i32 t1 = t0 + c;      in it
 *                           const f32 t2 = x[t1]; */
#include "codegen/cuda_emit.h"

/* ---- the values known ----------------------------------------------------------------
 */

static bool grow_heads(kl_cc *e)
{
    uint32_t n = e->x->count;
    if (n <= e->nhead)
        return true;
    n += n / 2 + 64;
    kl_cc_val **head = kl_arena_zeroed(e->a, n, sizeof *head);
    kl_x *lowered = kl_arena_alloc(e->a, n * sizeof *lowered);
    if (!head || !lowered) {
        kl_cc_fail(e, KL_ERR_OOM, "no memory for values");
        return false;
    }
    memset(lowered, 0xff, n * sizeof *lowered); /* KL_NONE */
    if (e->nhead) {
        memcpy(head, e->head, e->nhead * sizeof *head);
        memcpy(lowered, e->lowered, e->nhead * sizeof *lowered);
    }
    e->head = head;
    e->lowered = lowered;
    e->nhead = n;
    return true;
}

kl_x kl_cc_lower(kl_cc *e, kl_x x)
{
    if (x == KL_NONE || !grow_heads(e))
        return x;
    if (e->lowered[x] == KL_NONE) {
        kl_x y = kl_x_lower_math(e->x, x, e->native);
        if (y == KL_NONE || !grow_heads(e)) {
            kl_cc_fail(e, KL_ERR_INTERNAL, "an expression could not be lowered");
            return x;
        }
        e->lowered[x] = y;
    }
    return e->lowered[x];
}

static bool changed_since(const uint32_t *stamps, uint64_t set, uint32_t stamp)
{
    for (; set; set &= set - 1)
        if (stamps[__builtin_ctzll(set)] > stamp)
            return true;
    return false;
}

static const kl_cc_val *known(const kl_cc *e, kl_x x)
{
    const kl_cc_val *v = e->head[x];
    bool stale = v && (changed_since(e->reg_stamp, v->regs, v->stamp) ||
                       changed_since(e->mem_stamp, v->mem, v->stamp));
    return stale ? NULL : v;
}

bool kl_cc_narrow(const kl_cc *e, kl_x x)
{
    const kl_xnode *n = &e->x->nodes[x];
    int64_t lo, hi;
    if (n->dtype != KL_I64 || n->op == KL_X_DIM || n->op == KL_X_REG ||
        n->op == KL_X_LOAD)
        return false;
    kl_x_range(e->x, x, &lo, &hi);
    return lo > INT32_MIN && hi <= INT32_MAX;
}

/* What a value will depend on: gathered from its sources, then its own. */
typedef struct deps {
    int level;
    uint64_t regs, mem;
} deps;

static deps deps_of(const kl_cc *e, const kl_xnode *n)
{
    deps d = {0, 0, 0};
    for (int i = 0; i < n->nsrc; i++) {
        const kl_cc_val *v = n->src[i] == KL_NONE ? NULL : e->head[n->src[i]];
        if (!v)
            continue;
        d.level = KL_MAX(d.level, v->level);
        d.regs |= v->regs;
        d.mem |= v->mem;
    }
    return d;
}

static void keep(kl_cc *e, kl_x x, deps d, const char *text)
{
    kl_cc_val *v = kl_arena_zeroed(e->a, 1, sizeof *v);
    if (!v || !text) {
        kl_cc_fail(e, KL_ERR_OOM, "no memory for values");
        return;
    }
    kl_cc_frame *f = &e->frames[d.level];
    *v = (kl_cc_val){.prev = e->head[x],
                     .next = f->vals,
                     .x = x,
                     .level = d.level,
                     .stamp = e->stamp,
                     .regs = d.regs,
                     .mem = d.mem,
                     .text = text};
    e->head[x] = f->vals = v;
}

/* A branch keeps what is computed for it. */
static int lowest(const kl_cc *e, int level)
{
    for (int i = e->depth - 1; i > level; i--)
        if (e->frames[i].fixed)
            return i;
    return level;
}

static void name_it(kl_cc *e, kl_x x, deps d, const char *type, const char *text)
{
    const char *t = kl_cc_temp(e);
    d.level = lowest(e, d.level);
    kl_cc_line(e, d.level, "const %s %s = %s;", type, t, text);
    keep(e, x, d, t);
}

/* ---- leaves ---- */

static void leaf(kl_cc *e, kl_x x, int level, const char *text)
{
    keep(e, x, (deps){level, 0, 0}, text);
}

static void variable(kl_cc *e, kl_x x, uint32_t var)
{
    if (var >= e->nvars || !e->var[var])
        kl_cc_fail(e, KL_ERR_INTERNAL, "a variable outside its loop");
    else
        leaf(e, x, e->var_level[var], e->var[var]);
}

const char *kl_cc_element(kl_cc *e, uint32_t reg, const kl_x *index)
{
    const kl_reg *r = &e->k->regs[reg];
    const char *s = e->reg[reg];
    if (e->reg_level[reg] < 0) {
        kl_cc_fail(e, KL_ERR_INTERNAL, "a register outside its scope");
        return "0";
    }
    for (int i = 0; i < r->ndims && s; i++) {
        const kl_cc_val *v = e->head[index[i]];
        s = kl_arena_printf(e->a, "%s[%s]", s, v ? v->text : kl_cc_eval(e, index[i]));
    }
    if (s && e->lane && e->reg_wide[reg])
        s = kl_arena_printf(e->a, "%s[%s]", s, e->lane);
    return s ? s : "0";
}

static void read_reg(kl_cc *e, kl_x x, const kl_xnode *n)
{
    uint32_t r = (uint32_t)n->imm;
    deps d = deps_of(e, n);
    const char *text = kl_cc_element(e, r, n->src);
    int level = e->reg_level[r];
    if (level < 0)
        return;
    for (int i = e->depth - 1; i > level; i--) /* its value is not older */
        if (e->frames[i].sets[r])
            level = i;
    if (e->reg_wide[r])
        level = KL_MAX(level, e->lane_level);
    d.level = KL_MAX(d.level, level);
    d.regs |= (uint64_t)1 << r % 64;
    keep(e, x, d, text);
}

/* An element as it lies in memory: tiles of a lane are interleaved. */
const char *kl_cc_at(kl_cc *e, uint32_t operand, const char *index)
{
    const kl_operand *o = &e->k->operands[operand];
    const char *s;
    e->op_used[operand] = true;
    if (o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE) {
        if (e->phase->group > 1)
            kl_cc_fail(e, KL_ERR_UNSUPPORTED, "a tile of each lane beside groups");
        s = kl_arena_printf(e->a, "%s[%s * %d + %s]", e->op[operand], index,
                            (int)kl_kernel_lanes(e->k), kl_cc_lane(e));
    } else {
        s = kl_arena_printf(e->a, "%s[%s]", e->op[operand], index);
    }
    return s ? s : "0";
}

static void load(kl_cc *e, kl_x x, const kl_xnode *n)
{
    uint32_t o = (uint32_t)n->imm;
    deps d = deps_of(e, n);
    const char *at = kl_cc_at(e, o, e->head[n->src[0]]->text);
    for (int i = d.level + 1; i < e->depth; i++)
        if (e->frames[i].cond || e->frames[i].sets[e->k->nregs + o])
            d.level = i;
    d.mem |= (uint64_t)1 << o % 64;
    if (n->nsrc > 1 && n->src[1] != KL_NONE) {
        bool given = n->nsrc > 2 && n->src[2] != KL_NONE;
        const char *other =
            given ? e->head[n->src[2]]->text : kl_cc_literal(e, n->dtype, 0);
        at = kl_arena_printf(e->a, "%s ? %s : %s", e->head[n->src[1]]->text, at, other);
    }
    name_it(e, x, d, kl_cc_type(n->dtype), at ? at : "0");
}

/* ---- rows ---- */

static void row(kl_cc *e, kl_x x, const kl_xnode *n)
{
    const char *s[3] = {NULL, NULL, NULL}, *text;
    kl_dtype from = e->x->nodes[n->src[0]].dtype;
    bool narrow = kl_cc_narrow(e, x);
    for (int i = 0; i < n->nsrc; i++)
        s[i] = e->head[n->src[i]]->text;
    if (n->op == KL_OP_cast)
        text = kl_cc_cast(e, narrow ? KL_I32 : n->dtype, from, s[0]);
    else if (n->op == KL_OP_bitcast)
        text = kl_cc_bitcast(e, n->dtype, from, s[0]);
    else if (n->dtype == KL_I64)
        text = kl_cc_index(e, x, s);
    else
        text = kl_cc_op(e, (kl_op)n->op, n->op == KL_OP_where ? n->dtype : from, s[0],
                        s[1], s[2]);
    name_it(e, x, deps_of(e, n), kl_cc_type(narrow ? KL_I32 : n->dtype), text);
}

static void make(kl_cc *e, kl_x x)
{
    const kl_xnode n = e->x->nodes[x];
    switch ((int)n.op) {
    case KL_X_CONST:
        leaf(e, x, 0, kl_cc_literal(e, n.dtype, n.imm));
        return;
    case KL_X_VAR:
        variable(e, x, (uint32_t)n.imm);
        return;
    case KL_X_DIM:
        leaf(e, x, 0, kl_cc_extent(e, (kl_dim)n.imm));
        return;
    case KL_X_REG:
        read_reg(e, x, &n);
        return;
    case KL_X_LOAD:
        load(e, x, &n);
        return;
    default:
        if (n.op >= KL_OP_COUNT || kl_ops[n.op].flags & KL_F_MATH)
            kl_cc_fail(e, KL_ERR_INTERNAL, "an expression that loops cannot have");
        else
            row(e, x, &n);
    }
}

/* Sources come before their users in the order, so nothing here recurses. */
const char *kl_cc_eval(kl_cc *e, kl_x x)
{
    if (e->status == KL_OK && kl_x_order(e->x, x, &e->order) != KL_OK)
        kl_cc_fail(e, KL_ERR_OOM, "no memory for an expression");
    for (uint32_t i = 0; e->status == KL_OK && i < e->order.count; i++)
        if (!known(e, e->order.items[i]))
            make(e, e->order.items[i]);
    return e->status == KL_OK && e->head[x] ? e->head[x]->text : "0";
}

const char *kl_cc_value(kl_cc *e, kl_x x)
{
    return kl_cc_eval(e, kl_cc_lower(e, x));
}
