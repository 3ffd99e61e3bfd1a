/* llvm_stmt.c: statements of the loops form, and control flow in SSA form.
 *
 * Control is structured, so a loop's phis are the registers its body sets, known before
 * the body is built; a branch's are those that either side sets. A loop is tested at its
 * end; one that may not run at all is stepped over before it begins, so what moves out of
 * its body lands where the loop is sure to run.
 *
 *   for k: K { set a = ... }   ->   if 0 < K { head: k = phi; a = phi; ..; k+1 < K ? head
 * : exit } a = phi(before, after) */
#include "codegen/llvm_emit.h"

/* A loop is about the values it carries: so many, or one for so few instructions. One
 * inside so many others is about theirs. */
enum { CARRIED_MANY = 8, CARRIED_SHARE = 6, DEEP = 4 };

/* ---- what a body changes ---- */

static void collect(const kl_ll *e, const kl_stmt *s, uint8_t *sets)
{
    for (; s; s = s->next) {
        if (s->kind == KL_S_SET || s->kind == KL_S_FOLD || s->kind == KL_S_TURN)
            sets[s->reg] = 1;
        if (s->kind == KL_S_STORE)
            sets[e->k->nregs + s->operand] = 1;
        collect(e, s->body, sets);
        collect(e, s->other, sets);
    }
}

const uint8_t *kl_ll_sets(kl_ll *e, const kl_stmt *body)
{
    static const uint8_t none[1];
    uint8_t *sets = kl_arena_zeroed(e->a, e->k->nregs + e->k->noperands + 1, 1);
    if (!sets) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for frames");
        return none;
    }
    collect(e, body, sets);
    return sets;
}

void kl_ll_touch_reg(kl_ll *e, uint32_t reg)
{
    e->reg_stamp[reg % 64] = ++e->stamp;
}

void kl_ll_touch_mem(kl_ll *e, uint32_t operand)
{
    e->mem_stamp[operand % 64] = ++e->stamp;
}

void kl_ll_touch(kl_ll *e, const uint8_t *sets)
{
    for (uint32_t i = 0; i < e->k->nregs; i++)
        if (sets[i])
            kl_ll_touch_reg(e, i);
    for (uint32_t i = 0; i < e->k->noperands; i++)
        if (sets[e->k->nregs + i])
            kl_ll_touch_mem(e, i);
}

/* ---- registers that a body sets, as one list ---- */

static bool merges(const kl_ll *e, const uint8_t *sets, uint32_t r)
{
    return sets[r] && e->regs[r].level >= 0;
}

static int count_values(const kl_ll *e, const uint8_t *sets)
{
    int n = 0;
    for (uint32_t r = 0; r < e->k->nregs; r++)
        if (merges(e, sets, r))
            n += e->regs[r].elems * e->regs[r].n;
    return n;
}

static LLVMTypeRef value_type(kl_ll *e, uint32_t r)
{
    return kl_ll_type(e, e->k->regs[r].dtype, e->regs[r].vec);
}

/* Copy the registers' values to list; a register not set yet counts as zero. */
static void save_values(kl_ll *e, const uint8_t *sets, LLVMValueRef *list)
{
    for (uint32_t r = 0; r < e->k->nregs; r++) {
        const kl_ll_reg *g = &e->regs[r];
        for (int i = 0; merges(e, sets, r) && i < g->elems * g->n; i++)
            *list++ = g->v[i] ? g->v[i] : LL.ConstNull(value_type(e, r));
    }
}

static void restore_values(kl_ll *e, const uint8_t *sets, LLVMValueRef *list)
{
    for (uint32_t r = 0; r < e->k->nregs; r++) {
        const kl_ll_reg *g = &e->regs[r];
        for (int i = 0; merges(e, sets, r) && i < g->elems * g->n; i++)
            g->v[i] = *list++;
    }
}

/* A phi each, where the builder stands; the registers become them. */
static void make_phis(kl_ll *e, const uint8_t *sets, LLVMValueRef *list)
{
    for (uint32_t r = 0; r < e->k->nregs; r++) {
        kl_ll_reg *g = &e->regs[r];
        for (int i = 0; merges(e, sets, r) && i < g->elems * g->n; i++)
            *list++ = g->v[i] = LL.BuildPhi(e->b, value_type(e, r), e->k->regs[r].name);
    }
}

static LLVMValueRef *value_list(kl_ll *e, int n)
{
    LLVMValueRef *list = kl_arena_zeroed(e->a, (size_t)n + 1, sizeof *list);
    if (!list)
        kl_ll_fail(e, KL_ERR_OOM, "no memory for registers");
    return list;
}

static void incoming(LLVMValueRef phi, LLVMValueRef v, LLVMBasicBlockRef from)
{
    LL.AddIncoming(phi, &v, &from, 1);
}

/* ---- loops ---- */

/* A block that begins later; until then it stands at the end, as the cold ones do for
 * good. */
static LLVMBasicBlockRef later(kl_ll *e, const char *name)
{
    return kl_ll_block(e, name);
}

static void begin_block(kl_ll *e, LLVMBasicBlockRef b)
{
    LL.MoveBasicBlockAfter(b, e->block);
    kl_ll_set_block(e, b);
}

void kl_ll_loop_begin(kl_ll *e, kl_ll_loop *l, LLVMValueRef begin, LLVMValueRef end,
                      int64_t step, bool runs, const kl_stmt *body, const char *name)
{
    *l = (kl_ll_loop){.end = end, .step = step, .sets = kl_ll_sets(e, body)};
    e->loops++;
    l->nvals = count_values(e, l->sets);
    l->built = e->u->instructions;
    l->before = value_list(e, l->nvals);
    l->phi = value_list(e, l->nvals);
    l->exit = later(e, "exit");
    l->head = later(e, "loop");
    kl_ll_here(e);
    if (!runs) {
        LLVMBasicBlockRef pre = later(e, "runs");
        LLVMValueRef some = LL.BuildICmp(e->b, LLVMIntSLT, begin, end, "");
        l->from = e->block;
        LLVMValueRef enter = LL.BuildCondBr(e->b, some, pre, l->exit);
        begin_block(e, pre);
        kl_ll_push(e, enter, true, l->sets);
    }
    if (e->status != KL_OK)
        return;
    save_values(e, l->sets, l->before);
    LLVMBasicBlockRef pre = e->block;
    LLVMValueRef enter = LL.BuildBr(e->b, l->head);
    begin_block(e, l->head);
    kl_ll_push(e, enter, false, l->sets);
    l->iv = LL.BuildPhi(e->b, kl_ll_int(e, 64, 1), name ? name : "i");
    incoming(l->iv, begin, pre);
    make_phis(e, l->sets, l->phi);
    for (int i = 0; i < l->nvals; i++)
        incoming(l->phi[i], l->before[i], pre);
    kl_ll_touch(e, l->sets);
}

void kl_ll_loop_end(kl_ll *e, kl_ll_loop *l)
{
    if (e->status != KL_OK)
        return;
    LLVMValueRef *after = value_list(e, l->nvals), *joined = value_list(e, l->nvals);
    if (e->status != KL_OK)
        return;
    save_values(e, l->sets, after);
    kl_ll_here(e);
    LLVMValueRef next = LL.BuildNSWAdd(e->b, l->iv, kl_ll_i64(e, l->step), "");
    LLVMValueRef more = LL.BuildICmp(e->b, LLVMIntSLT, next, l->end, "");
    LL.BuildCondBr(e->b, more, l->head, l->exit);
    LLVMBasicBlockRef latch = e->block;
    incoming(l->iv, next, latch);
    int64_t body = e->u->instructions - l->built;
    e->u->carried = e->u->carried || l->nvals >= CARRIED_MANY || e->loops >= DEEP ||
                    (l->nvals && l->nvals * CARRIED_SHARE >= body);
    for (int i = 0; i < l->nvals; i++)
        incoming(l->phi[i], after[i], latch);
    e->loops--;
    kl_ll_pop(e);
    begin_block(e, l->exit);
    if (l->from) {
        kl_ll_pop(e);
        make_phis(e, l->sets, joined);
        for (int i = 0; i < l->nvals; i++) {
            incoming(joined[i], after[i], latch);
            incoming(joined[i], l->before[i], l->from);
        }
    }
    kl_ll_touch(e, l->sets);
}

/* ---- branches ---- */

void kl_ll_branch_begin(kl_ll *e, kl_ll_branch *br, LLVMValueRef cond,
                        const uint8_t *sets)
{
    *br = (kl_ll_branch){.sets = sets, .nvals = count_values(e, sets)};
    br->before = value_list(e, br->nvals);
    br->after = value_list(e, br->nvals);
    if (e->status != KL_OK)
        return;
    e->u->carried = e->u->carried || br->nvals >= CARRIED_MANY;
    save_values(e, sets, br->before);
    br->yes = later(e, "then");
    br->no = later(e, "else");
    br->join = later(e, "join");
    kl_ll_here(e);
    br->term = LL.BuildCondBr(e->b, cond, br->yes, br->no);
    begin_block(e, br->yes);
    kl_ll_push(e, br->term, true, sets);
}

void kl_ll_branch_else(kl_ll *e, kl_ll_branch *br)
{
    if (e->status != KL_OK)
        return;
    save_values(e, br->sets, br->after);
    restore_values(e, br->sets, br->before);
    kl_ll_here(e);
    LL.BuildBr(e->b, br->join);
    br->yes_end = e->block;
    kl_ll_pop(e);
    begin_block(e, br->no);
    kl_ll_push(e, br->term, true, br->sets);
    kl_ll_touch(e, br->sets);
}

void kl_ll_branch_end(kl_ll *e, kl_ll_branch *br)
{
    if (e->status != KL_OK)
        return;
    LLVMValueRef *other = value_list(e, br->nvals), *joined = value_list(e, br->nvals);
    if (e->status != KL_OK)
        return;
    save_values(e, br->sets, other);
    kl_ll_here(e);
    LL.BuildBr(e->b, br->join);
    LLVMBasicBlockRef no_end = e->block;
    kl_ll_pop(e);
    begin_block(e, br->join);
    make_phis(e, br->sets, joined);
    for (int i = 0; i < br->nvals; i++) {
        incoming(joined[i], br->after[i], br->yes_end);
        incoming(joined[i], other[i], no_end);
    }
    kl_ll_touch(e, br->sets);
}

/* ---- statements ---- */

static void bind(kl_ll *e, uint32_t var, LLVMValueRef v)
{
    e->var[var] = v;
    e->var_level[var] = kl_ll_top(e);
}

static void unrolled(kl_ll *e, const kl_stmt *s, int64_t n)
{
    const uint8_t *sets = kl_ll_sets(e, s->body);
    e->written_out[s->var] = true;
    for (int64_t i = 0; i < n && e->status == KL_OK; i++) {
        kl_ll_push(e, NULL, false, sets);
        e->frames[kl_ll_top(e)].unrolled = true;
        e->var[s->var] = kl_ll_i64(e, i); /* a constant: known from the first frame on */
        e->var_level[s->var] = 0;
        kl_ll_body(e, s->body);
        kl_ll_pop(e);
    }
    e->var[s->var] = NULL;
}

static void counted(kl_ll *e, const kl_stmt *s)
{
    kl_x x = kl_ll_lower(e, s->extent);
    int64_t n = -1, lo, hi;
    bool known = kl_ll_static(e, x, &n);
    if (known && (s->bind == KL_BIND_UNROLL || n <= 1)) {
        unrolled(e, s, n);
        return;
    }
    LLVMValueRef end = kl_ll_uniform(e, x);
    if (!end)
        return;
    kl_x_range(e->x, x, &lo, &hi);
    kl_ll_loop l;
    kl_ll_loop_begin(e, &l, kl_ll_i64(e, 0), end, 1, known || lo > 0, s->body,
                     e->x->var_name[s->var]);
    if (e->status != KL_OK)
        return;
    bind(e, s->var, l.iv);
    kl_ll_body(e, s->body);
    kl_ll_loop_end(e, &l);
    e->var[s->var] = NULL;
}

/* Lanes that disagree: both sides run for the lanes they are for, if there are any. */
static void side(kl_ll *e, const kl_stmt *body, kl_ll_val *cond, bool yes,
                 const uint8_t *sets)
{
    LLVMValueRef outer[2][KL_LL_CHUNKS], any = NULL;
    if (!body)
        return;
    memcpy(outer[0], e->mask, sizeof e->mask);
    memcpy(outer[1], e->side, sizeof e->side);
    kl_ll_here(e);
    for (int c = 0; c < e->lane.n; c++) {
        LLVMValueRef m = yes ? cond->v[c] : LL.BuildNot(e->b, cond->v[c], "");
        e->mask[c] = kl_ll_and(e, e->mask[c], m);
        e->side[c] = kl_ll_and(e, e->side[c], m);
        LLVMValueRef some = kl_ll_any(e, e->mask[c]);
        any = any ? LL.BuildOr(e->b, any, some, "") : some;
    }
    kl_ll_branch br;
    kl_ll_branch_begin(e, &br, any, sets);
    kl_ll_body(e, body);
    kl_ll_branch_else(e, &br);
    kl_ll_branch_end(e, &br);
    memcpy(e->mask, outer[0], sizeof e->mask);
    memcpy(e->side, outer[1], sizeof e->side);
}

static void conditional(kl_ll *e, const kl_stmt *s)
{
    kl_ll_val *c = kl_ll_eval(e, kl_ll_lower(e, s->value));
    kl_stmt both = {.kind = KL_S_IF, .body = s->body, .other = s->other};
    if (!c)
        return;
    const uint8_t *sets = kl_ll_sets(e, &both);
    if (c->vary) {
        side(e, s->body, c, true, sets);
        side(e, s->other, c, false, sets);
        return;
    }
    if (LL.IsAConstantInt(c->v[0])) {
        kl_ll_push(e, NULL, false, sets);
        kl_ll_body(e, LL.ConstIntGetSExtValue(c->v[0]) ? s->body : s->other);
        kl_ll_pop(e);
        return;
    }
    kl_ll_branch br;
    kl_ll_branch_begin(e, &br, c->v[0], sets);
    kl_ll_body(e, s->body);
    kl_ll_branch_else(e, &br);
    kl_ll_body(e, s->other);
    kl_ll_branch_end(e, &br);
}

static void declare(kl_ll *e, const kl_stmt *s)
{
    const kl_reg *d = &e->k->regs[s->reg];
    kl_ll_reg *g = &e->regs[s->reg];
    *g = (kl_ll_reg){.vec = 1, .n = 1, .elems = 1, .level = kl_ll_top(e)};
    for (int i = 0; i < d->ndims; i++)
        g->elems *= d->dims[i];
    if (d->lanes > 1 && e->lane.on) {
        g->vec = e->lane.vec;
        g->n = e->lane.n;
    } else if (d->lanes > 1 && e->scalar_lanes != d->lanes) {
        g->vec = kl_ll_vec_of(e, d->lanes);
        g->n = d->lanes / g->vec;
    }
    g->v = value_list(e, g->elems * g->n);
    kl_ll_touch_reg(e, s->reg);
}

/* Chunk c of what a SET stores: masked lanes keep what they have. A register of the
 * loop's own body has nothing worth keeping in lanes past the end. */
static LLVMValueRef set_chunk(kl_ll *e, kl_ll_val *v, const kl_ll_reg *g, int c,
                              LLVMValueRef was)
{
    LLVMValueRef x = v->vary ? kl_ll_chunk(e, v, c) : kl_ll_splat(e, v, g->vec);
    LLVMValueRef mask = g->level < e->lane.level ? e->mask[c] : e->side[c];
    if (!e->lane.on || !mask)
        return x;
    kl_ll_here(e);
    if (!was)
        was = LL.ConstNull(LL.TypeOf(x));
    return LL.BuildSelect(e->b, mask, x, was, "");
}

static void set(kl_ll *e, const kl_stmt *s)
{
    const kl_reg *d = &e->k->regs[s->reg];
    kl_ll_reg *g = &e->regs[s->reg];
    int elem = kl_ll_element(e, s->reg, s->index);
    kl_ll_val *v = kl_ll_eval(e, kl_ll_lower(e, s->value));
    if (!v || elem < 0)
        return;
    LLVMValueRef *at = g->v + elem * g->n;
    if (d->lanes <= 1 || (g->n == 1 && g->vec == 1 && !e->lane.on)) {
        if (v->vary)
            kl_ll_fail(e, KL_ERR_INTERNAL,
                       "a uniform register set to a value that varies");
        at[0] = v->v[0];
    } else {
        int n = e->lane.on ? e->lane.n : g->n;
        for (int c = 0; c < n; c++)
            at[c] = set_chunk(e, v, g, c, at[c]);
    }
    kl_ll_touch_reg(e, s->reg);
}

/* Halves narrow a half at a time: first whole vectors, then the halves of one. */
static LLVMValueRef combine(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a,
                            LLVMValueRef b)
{
    if (dt != KL_F16 && dt != KL_BF16)
        return kl_ll_op(e, op, dt, a, b, NULL);
    a = kl_ll_cast(e, KL_F32, dt, a);
    b = kl_ll_cast(e, KL_F32, dt, b);
    return kl_ll_cast(e, dt, KL_F32, kl_ll_op(e, op, KL_F32, a, b, NULL));
}

static LLVMValueRef half_of(kl_ll *e, LLVMValueRef v, int from, int n)
{
    LLVMValueRef order[256];
    if (n == 1)
        return LL.BuildExtractElement(e->b, v, kl_ll_const_int(e, 32, (uint64_t)from, 1),
                                      "");
    for (int i = 0; i < n; i++)
        order[i] = kl_ll_const_int(
            e, 32, (uint64_t)(KL_PLANTED(fold_order) ? 2 * i + (from > 0) : from + i), 1);
    return LL.BuildShuffleVector(e->b, v, LL.GetPoison(LL.TypeOf(v)),
                                 LL.ConstVector(order, (unsigned)n), "");
}

/* Bools fold as the bits of one integer. (LLVM 19 turns the shuffles of halves into a
 * test of the whole vector, and where lanes are known to be off it takes that for true.)
 */
static LLVMValueRef fold_bools(kl_ll *e, kl_op op, LLVMValueRef v, int lanes)
{
    LLVMTypeRef bits = kl_ll_int(e, lanes, 1);
    if (op == KL_OP_add || op == KL_OP_max || op == KL_OP_or)
        return kl_ll_any(e, v);
    if (op == KL_OP_mul || op == KL_OP_min || op == KL_OP_and)
        return LL.BuildNot(e->b, kl_ll_any(e, LL.BuildNot(e->b, v, "")), "");
    LLVMValueRef x = LL.BuildBitCast(e->b, v, bits, "");
    for (int h = lanes / 2; h >= 1; h /= 2)
        x = LL.BuildXor(e->b, x,
                        LL.BuildLShr(e->b, x, LL.ConstInt(bits, (unsigned)h, 0), ""), "");
    return LL.BuildCast(e->b, LLVMTrunc, x, kl_ll_int(e, 1, 1), "");
}

/* All bits but the sign's where x is negative. */
static LLVMValueRef flips(kl_ll *e, LLVMValueRef x, int bits, int vec)
{
    LLVMValueRef shift = kl_ll_const_int(e, bits, (uint64_t)bits - 1, vec);
    LLVMValueRef rest = kl_ll_const_int(e, bits, ((uint64_t)1 << (bits - 1)) - 1, vec);
    return LL.BuildAnd(e->b, LL.BuildAShr(e->b, x, shift, ""), rest, "");
}

/* The largest (least) lane of floats as integers of the same order, -0 below +0 and NaN
 * beyond all: one instruction a step instead of five. */
static LLVMValueRef fold_ordered(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef v, int vec)
{
    kl_dtype as = dt == KL_F32 ? KL_I32 : KL_I64;
    int bits = kl_dtypes[dt].size * 8;
    uint64_t top = (uint64_t)1 << (bits - 1);
    LLVMTypeRef t = kl_ll_type(e, as, vec);
    LLVMValueRef nan = LL.BuildFCmp(e->b, LLVMRealUNO, v, v, "");
    LLVMValueRef x = LL.BuildBitCast(e->b, v, t, "");
    x = LL.BuildXor(e->b, x, flips(e, x, bits, vec), "");
    uint64_t beyond = op == KL_OP_max ? top - 1 : top;
    x = LL.BuildSelect(e->b, nan, kl_ll_const_int(e, bits, beyond, vec), x, "");
    for (; vec > 1; vec /= 2) {
        LLVMValueRef high = half_of(e, x, vec / 2, vec / 2);
        x = kl_ll_op(e, op, as, half_of(e, x, 0, vec / 2), high, NULL);
    }
    x = LL.BuildXor(e->b, x, flips(e, x, bits, 1), "");
    return LL.BuildBitCast(e->b, x, kl_ll_type(e, dt, 1), "");
}

static void fold(kl_ll *e, const kl_stmt *s)
{
    const kl_xnode n = e->x->nodes[s->value];
    uint32_t r = (uint32_t)n.imm;
    const kl_ll_reg *g = &e->regs[r];
    int from = kl_ll_element(e, r, n.src), dst = kl_ll_element(e, s->reg, s->index);
    int chunks = g->n, vec = g->vec;
    LLVMValueRef v[KL_LL_CHUNKS];
    if (from < 0 || dst < 0)
        return;
    if ((chunks * vec) & (chunks * vec - 1)) {
        kl_ll_fail(e, KL_ERR_UNSUPPORTED, "fold of lanes that are no power of two");
        return;
    }
    for (int c = 0; c < chunks; c++) {
        v[c] = g->v[from * g->n + c];
        if (!v[c])
            v[c] = LL.ConstNull(value_type(e, r));
    }
    kl_ll_here(e);
    for (; chunks > 1; chunks /= 2)
        for (int c = 0; c < chunks / 2; c++)
            v[c] = combine(e, s->combine, n.dtype, v[c], v[c + chunks / 2]);
    if (n.dtype == KL_BOOL && vec > 1) {
        v[0] = fold_bools(e, s->combine, v[0], vec);
        vec = 1;
    }
    bool wide = n.dtype == KL_F32 || n.dtype == KL_F64;
    if (wide && vec > 1 && (s->combine == KL_OP_max || s->combine == KL_OP_min)) {
        v[0] = fold_ordered(e, s->combine, n.dtype, v[0], vec);
        vec = 1;
    }
    for (; vec > 1; vec /= 2) {
        LLVMValueRef high = half_of(e, v[0], vec / 2, vec / 2);
        v[0] = combine(e, s->combine, n.dtype, half_of(e, v[0], 0, vec / 2), high);
    }
    e->regs[s->reg].v[dst] = v[0];
    kl_ll_touch_reg(e, s->reg);
}

static void check(kl_ll *e, const kl_stmt *s)
{
    kl_ll_val *ok = kl_ll_eval(e, kl_ll_lower(e, s->value));
    kl_x at = s->at == KL_NONE ? kl_x_int(e->x, 0) : kl_ll_lower(e, s->at);
    kl_ll_val *value = kl_ll_eval(e, at);
    if (!ok || !value)
        return;
    int n = ok->vary ? ok->n : 1;
    for (int c = 0; c < n; c++) {
        LLVMValueRef v = ok->vary ? kl_ll_chunk(e, value, c) : value->v[0];
        kl_ll_here(e);
        v = kl_ll_cast(e, KL_I64, e->x->nodes[value->x].dtype, v);
        LLVMValueRef bad = LL.BuildNot(e->b, ok->v[c], "");
        if (ok->vary)
            bad = kl_ll_and(e, e->mask[c], bad);
        LLVMValueRef first = kl_ll_lanes_of(v) > 1 ? kl_ll_first(e, v, bad) : v;
        kl_ll_fault(e, kl_ll_any(e, bad), s->fault, kl_ll_i64(e, s->node), first);
    }
}

static void statement(kl_ll *e, const kl_stmt *s)
{
    switch (s->kind) {
    case KL_S_FOR:
        if (s->bind == KL_BIND_LANE)
            kl_ll_lanes(e, s);
        else
            counted(e, s);
        return;
    case KL_S_IF:
        conditional(e, s);
        return;
    case KL_S_REG:
        declare(e, s);
        return;
    case KL_S_SET:
        set(e, s);
        return;
    case KL_S_STORE:
        kl_ll_store(e, s);
        return;
    case KL_S_FOLD:
        fold(e, s);
        return;
    case KL_S_TURN:
        kl_ll_turn(e, s);
        return;
    case KL_S_CHECK:
        check(e, s);
        return;
    case KL_S_BARRIER: /* one thread a worker: nothing to wait for */
    case KL_S_NOTE:
    case KL_S_COUNT:
        return;
    }
}

/* Registers declared in the body end with it. */
void kl_ll_body(kl_ll *e, const kl_stmt *s)
{
    const kl_stmt *first = s;
    for (; s && e->status == KL_OK; s = s->next) {
        const kl_stmt *done = s->kind == KL_S_REG ? kl_ll_outline(e, s) : NULL;
        kl_llvm_lines_at(e->u, s);
        if (done)
            s = done;
        else
            statement(e, s);
    }
    for (s = first; s; s = s->next)
        if (s->kind == KL_S_REG)
            e->regs[s->reg].level = -1;
}
