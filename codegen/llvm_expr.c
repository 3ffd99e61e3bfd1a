/* llvm_expr.c: scalar expressions as LLVM values.
 *
 * An expression is built once for as long as it is true: its value is kept under its
 * number, in the outermost frame where all it depends on is known, and is forgotten with
 * that frame or when a register or operand it has read changes.
 *
 *   for r { for c lane 32 { set a = add(a, mul(load x[r*64+c], load s[r])) } }
 *
 *   r*64, load s[r], splat: in r's frame, once a row; load x, mul: in c's; add: until a
 * is set */
#include "codegen/llvm_emit.h"

/* ---- the values known ---- */

static bool grow_heads(kl_ll *e)
{
    uint32_t n = e->x->count;
    if (n <= e->nhead)
        return true;
    n += n / 2 + 64;
    kl_ll_val **head = kl_arena_zeroed(e->a, n, sizeof *head);
    kl_x *lowered = kl_arena_alloc(e->a, n * sizeof *lowered);
    uint8_t *turns = kl_arena_zeroed(e->a, n, sizeof *turns);
    if (!head || !lowered || !turns) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for values");
        return false;
    }
    memset(lowered, 0xff, n * sizeof *lowered); /* KL_NONE */
    if (e->nhead) {
        memcpy(head, e->head, e->nhead * sizeof *head);
        memcpy(lowered, e->lowered, e->nhead * sizeof *lowered);
        memcpy(turns, e->turns, e->nhead * sizeof *turns);
    }
    e->head = head;
    e->lowered = lowered;
    e->turns = turns;
    e->nhead = n;
    return true;
}

kl_x kl_ll_lower(kl_ll *e, kl_x x)
{
    if (x == KL_NONE || !grow_heads(e))
        return x;
    if (e->lowered[x] == KL_NONE) {
        kl_x y = kl_x_lower_math(e->x, x, e->native);
        if (y == KL_NONE || !grow_heads(e)) {
            kl_ll_fail(e, KL_ERR_INTERNAL, "an expression could not be lowered");
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

static bool is_true(const kl_ll *e, const kl_ll_val *v)
{
    return !changed_since(e->reg_stamp, v->regs, v->stamp) &&
           !changed_since(e->mem_stamp, v->mem, v->stamp);
}

/* Does x use the variable of a loop that is written out? */
static bool turns(kl_ll *e, kl_x x)
{
    enum { NO = 1, YES = 2 };
    if (!e->turns[x]) {
        const kl_xnode n = e->x->nodes[x];
        bool yes = n.op == KL_X_VAR && n.imm < e->nvars && e->written_out[n.imm];
        for (int i = 0; i < n.nsrc && !yes; i++)
            yes = n.src[i] != KL_NONE && turns(e, n.src[i]);
        e->turns[x] = yes ? YES : NO;
    }
    return e->turns[x] == YES;
}

/* The frame with which x's value is forgotten: that of its turn if it differs in the
 * next, though it stands outside of the loops around. */
static int kept_in(kl_ll *e, kl_x x, int level)
{
    if (turns(e, x))
        for (int i = kl_ll_top(e); i > level; i--)
            if (e->frames[i].unrolled)
                return i;
    return level;
}

kl_ll_val *kl_ll_new(kl_ll *e, kl_x x, int level, bool vary, uint64_t regs, uint64_t mem)
{
    int n = vary ? e->lane.n : 1;
    kl_ll_val *v = kl_arena_zeroed(e->a, 1, sizeof *v + (size_t)n * sizeof *v->v);
    if (!v || !grow_heads(e)) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for values");
        return NULL;
    }
    kl_ll_frame *f = &e->frames[kept_in(e, x, level)];
    v->x = x;
    v->prev = e->head[x];
    v->next = f->vals;
    v->level = level;
    v->stamp = e->stamp;
    v->regs = regs;
    v->mem = mem;
    v->vary = vary;
    v->n = n;
    e->u->instructions += n;
    e->head[x] = f->vals = v;
    return v;
}

/* ---- uniform values as vectors ---- */

LLVMValueRef kl_ll_broadcast(kl_ll *e, LLVMValueRef s, int lanes)
{
    if (lanes == 1)
        return s;
    LLVMTypeRef t = LL.VectorType(LL.TypeOf(s), (unsigned)lanes);
    LLVMValueRef zero = kl_ll_const_int(e, 32, 0, 1), poison = LL.GetPoison(t);
    LLVMValueRef one = LL.BuildInsertElement(e->b, poison, s, zero, "");
    return LL.BuildShuffleVector(e->b, one, poison, LL.ConstNull(kl_ll_int(e, 32, lanes)),
                                 "");
}

LLVMValueRef kl_ll_splat(kl_ll *e, kl_ll_val *v, int lanes)
{
    if (lanes == 1)
        return v->v[0];
    if (!v->splat || v->splat_lanes != lanes) {
        const kl_xnode *n = &e->x->nodes[v->x];
        kl_ll_place(e, v->level);
        v->splat = n->op == KL_X_CONST ? kl_ll_const(e, n->dtype, n->imm, lanes)
                                       : kl_ll_broadcast(e, v->v[0], lanes);
        v->splat_lanes = lanes;
    }
    return v->splat;
}

LLVMValueRef kl_ll_chunk(kl_ll *e, kl_ll_val *v, int c)
{
    if (v->narrow)
        return kl_ll_wide(e, v, c);
    return v->vary ? v->v[c] : kl_ll_splat(e, v, e->lane.vec);
}

/* ---- leaves ---- */

static kl_ll_val *variable(kl_ll *e, kl_x x, uint32_t var)
{
    if (e->lane.on && var == e->lane.var)
        return kl_ll_lane_numbers(e, x);
    if (var >= e->nvars || !e->var[var]) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a variable outside its loop");
        return NULL;
    }
    kl_ll_val *v = kl_ll_new(e, x, e->var_level[var], false, 0, 0);
    if (v)
        v->v[0] = e->var[var];
    return v;
}

static kl_ll_val *dimension(kl_ll *e, kl_x x, kl_dim d)
{
    kl_ll_val *v = kl_ll_new(e, x, 0, false, 0, 0);
    if (v)
        v->v[0] = kl_ll_extent(e, d);
    return v && v->v[0] ? v : NULL;
}

/* The innermost frame that changes register r: its value is not older. */
static int reg_level(const kl_ll *e, uint32_t r)
{
    for (int i = kl_ll_top(e); i > e->regs[r].level; i--)
        if (e->frames[i].sets[r])
            return i;
    return e->regs[r].level;
}

static kl_ll_val *reg_value(kl_ll *e, kl_x x, const kl_xnode *n)
{
    uint32_t r = (uint32_t)n->imm;
    const kl_ll_reg *g = &e->regs[r];
    int elem = kl_ll_element(e, r, n->src);
    if (elem < 0)
        return NULL;
    bool vary = e->lane.on && e->k->regs[r].lanes > 1;
    if (!vary && g->n * g->vec > 1) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a register of lanes read outside its lane loop");
        return NULL;
    }
    int level = reg_level(e, r);
    for (int j = 0; j < e->k->regs[r].ndims; j++) /* another element in another turn */
        level = KL_MAX(level, kl_ll_eval(e, n->src[j])->level);
    kl_ll_val *v = kl_ll_new(e, x, level, vary, (uint64_t)1 << r % 64, 0);
    for (int c = 0; v && c < v->n; c++) {
        v->v[c] = g->v[elem * g->n + c];
        if (!v->v[c])
            v->v[c] = LL.ConstNull(kl_ll_type(e, n->dtype, vary ? g->vec : 1));
    }
    return v;
}

int kl_ll_element(kl_ll *e, uint32_t r, const kl_x *index)
{
    const kl_reg *d = &e->k->regs[r];
    int64_t at = 0, i;
    if (e->regs[r].level < 0) {
        kl_ll_fail(e, KL_ERR_INTERNAL, "a register outside its scope");
        return -1;
    }
    for (int j = 0; j < d->ndims; j++) {
        if (!kl_ll_static(e, index[j], &i) || i < 0 || i >= d->dims[j]) {
            kl_ll_fail(e, KL_ERR_INTERNAL, "a register's index is no constant in range");
            return -1;
        }
        at = at * d->dims[j] + i;
    }
    return (int)at;
}

/* ---- rows ---- */

/* Index arithmetic on what is known not to be negative divides without a sign. */
bool kl_ll_divides_plainly(const kl_ll *e, const kl_xnode *n)
{
    bool div = n->op == KL_OP_floordiv || n->op == KL_OP_div || n->op == KL_OP_mod ||
               n->op == KL_OP_rem;
    int64_t lo, hi;
    if (!div || n->dtype != KL_I64)
        return false;
    kl_x_range(e->x, n->src[0], &lo, &hi);
    if (lo < 0)
        return false;
    kl_x_range(e->x, n->src[1], &lo, &hi);
    return lo > 0;
}

LLVMValueRef kl_ll_row(kl_ll *e, const kl_xnode *n, LLVMValueRef a, LLVMValueRef b,
                       LLVMValueRef c)
{
    kl_dtype from = e->x->nodes[n->src[0]].dtype;
    if (n->op == KL_OP_cast)
        return kl_ll_cast(e, n->dtype, from, a);
    if (n->op == KL_OP_bitcast)
        return kl_ll_bitcast(e, n->dtype, from, a);
    if (kl_ll_divides_plainly(e, n))
        return kl_ll_udiv(e, n->op, a, b);
    return kl_ll_op(e, n->op, n->op == KL_OP_where ? n->dtype : from, a, b, c);
}

/* x as llvm_scale.c's one instruction; NULL: it is no such product, or not of vectors. */
static kl_ll_val *scale(kl_ll *e, kl_x x, kl_dtype dt)
{
    kl_x m, n;
    if (!kl_ll_scale_of(e, x, &m, &n))
        return NULL;
    kl_ll_val *a = kl_ll_eval(e, m), *b = kl_ll_eval(e, n);
    if (!a || !b || !a->vary || !b->vary ||
        kl_ll_lanes_of(a->v[0]) * kl_dtypes[dt].size < 16)
        return NULL;
    kl_ll_val *v = kl_ll_new(e, x, KL_MAX(a->level, b->level), true, a->regs | b->regs,
                             a->mem | b->mem);
    for (int c = 0; v && c < v->n; c++) {
        kl_ll_place(e, v->level);
        v->v[c] = kl_ll_scale(e, dt, kl_ll_chunk(e, a, c), kl_ll_chunk(e, b, c));
    }
    return v;
}

static kl_ll_val *apply(kl_ll *e, kl_x x, const kl_xnode *n)
{
    kl_ll_val *s[3] = {NULL, NULL, NULL};
    int level = 0;
    bool vary = false;
    uint64_t regs = 0, mem = 0;
    for (int i = 0; i < n->nsrc; i++) {
        s[i] = kl_ll_eval(e, n->src[i]);
        if (!s[i])
            return NULL;
        level = KL_MAX(level, s[i]->level);
        vary |= s[i]->vary;
        regs |= s[i]->regs;
        mem |= s[i]->mem;
    }
    bool narrow = vary && kl_ll_may_be_narrow(e, x, n);
    kl_ll_val *v = kl_ll_new(e, x, level, vary, regs, mem);
    if (v)
        v->narrow = narrow && n->dtype == KL_I64;
    for (int c = 0; v && c < v->n; c++) {
        LLVMValueRef a[3] = {NULL, NULL, NULL};
        for (int i = 0; i < n->nsrc; i++)
            a[i] = narrow ? kl_ll_narrow_chunk(e, s[i], c)
                   : vary ? kl_ll_chunk(e, s[i], c)
                          : s[i]->v[0];
        kl_ll_place(e, level);
        v->v[c] = narrow ? kl_ll_narrow_row(e, n, a[0], a[1])
                         : kl_ll_row(e, n, a[0], a[1], a[2]);
    }
    return v;
}

kl_ll_val *kl_ll_eval(kl_ll *e, kl_x x)
{
    if (e->status != KL_OK || x == KL_NONE || !grow_heads(e))
        return NULL;
    if (e->head[x] && is_true(e, e->head[x]))
        return e->head[x];
    const kl_xnode n = e->x->nodes[x]; /* a copy: the array may move */
    kl_ll_val *v;
    switch ((int)n.op) {
    case KL_X_CONST:
        if ((v = kl_ll_new(e, x, 0, false, 0, 0)))
            v->v[0] = kl_ll_const(e, n.dtype, n.imm, 1);
        return v;
    case KL_X_VAR:
        return variable(e, x, (uint32_t)n.imm);
    case KL_X_DIM:
        return dimension(e, x, (kl_dim)n.imm);
    case KL_X_REG:
        return reg_value(e, x, &n);
    case KL_X_LOAD:
        return kl_ll_load(e, x);
    case KL_OP_mul:
        if ((v = scale(e, x, n.dtype)))
            return v;
        /* fall through */
    default:
        v = kl_ll_lane_compare(e, x, &n);
        return v ? v : apply(e, x, &n);
    }
}

LLVMValueRef kl_ll_uniform(kl_ll *e, kl_x x)
{
    kl_ll_val *v = kl_ll_eval(e, x);
    if (v && v->vary)
        kl_ll_fail(e, KL_ERR_INTERNAL,
                   "a value that must be the same in all lanes is not");
    return v && !v->vary ? v->v[0] : NULL;
}

LLVMValueRef kl_ll_uniform_part(kl_ll *e, kl_x cond, int level)
{
    kl_ll_val *v = kl_ll_eval(e, cond);
    const kl_xnode n = e->x->nodes[cond];
    if (!v || !v->vary)
        return v ? v->v[0] : NULL;
    if (n.op != KL_OP_and)
        return NULL;
    LLVMValueRef a = kl_ll_uniform_part(e, n.src[0], level),
                 b = kl_ll_uniform_part(e, n.src[1], level);
    kl_ll_place(e, level);
    return a && b ? LL.BuildAnd(e->b, a, b, "") : a ? a : b;
}

/* Unrolled variables and folded arithmetic are LLVM constants by the time they are built.
 */
bool kl_ll_static(kl_ll *e, kl_x x, int64_t *out)
{
    if (kl_x_is_int(e->x, x, out))
        return true;
    kl_ll_val *v = kl_ll_eval(e, x);
    if (!v || v->vary || !LL.IsAConstantInt(v->v[0]))
        return false;
    *out = LL.ConstIntGetSExtValue(v->v[0]);
    return true;
}
