/* cuda_stmt.c: statements as CUDA C.
 *
 *   for c: 77 lane 32 { .. }   ->   for (i32 c = lane; c < 77; c += 32) { .. }
 *   set acc = v                ->   acc = t5;
 *   fold m = max acc           ->   t6 = kl_max(t6, kl_shfl_xor(t6, h))   for h = 16 .. 1
 *   store y[r] = m             ->   if (lane == 0) y[t7] = m;             outside lane
 * loops
 *
 * What all threads compute alike one of them stores, and where such memory is also read
 * in the phase the store stands between two barriers: of the warp where that is all who
 * run the statement, else of the block. */
#include "codegen/cuda_emit.h"

const char *kl_cc_or_empty(kl_cc *e, const char *s)
{
    if (!s)
        kl_cc_fail(e, KL_ERR_OOM, "no memory");
    return s ? s : "";
}

/* ---- what a body changes ---- */

typedef struct set_ctx {
    const kl_cc *e;
    uint8_t *sets;
} set_ctx;

static kl_status mark_set(void *ctx, const kl_stmt *s)
{
    set_ctx *c = ctx;
    const kl_kernel *k = c->e->k;
    if (s->kind == KL_S_SET || s->kind == KL_S_FOLD || s->kind == KL_S_TURN)
        c->sets[s->reg] = 1;
    if (s->kind == KL_S_STORE)
        c->sets[k->nregs + s->operand] = 1;
    for (uint32_t i = 0; i < k->noperands && s->kind == KL_S_BARRIER; i++)
        c->sets[k->nregs + i] |= c->e->stored[i]; /* others' stores are seen from here */
    return KL_OK;
}

const uint8_t *kl_cc_sets(kl_cc *e, const kl_stmt *body)
{
    static const uint8_t none[1];
    set_ctx c = {e, kl_arena_zeroed(e->a, (size_t)e->k->nregs + e->k->noperands + 1, 1)};
    if (!c.sets) {
        kl_cc_fail(e, KL_ERR_OOM, "no memory for a body");
        return none;
    }
    kl_stmt_walk(body, mark_set, &c);
    return c.sets;
}

/* ---- loops ---- */

static bool constant(const kl_cc *e, kl_x x, int64_t *n)
{
    return kl_x_is_int(e->x, x, n);
}

const char *kl_cc_var_name(kl_cc *e, uint32_t var)
{
    const char *s = e->x->var_name[var];
    return kl_cc_name(e, s && *s ? s : "i");
}

const char *kl_cc_counter_type(kl_cc *e, const kl_stmt *s, int64_t step)
{
    int64_t lo, hi;
    kl_x_range(e->x, kl_cc_lower(e, s->extent), &lo, &hi);
    return hi <= INT32_MAX - step && kl_cc_narrow(e, kl_x_var(e->x, s->var)) ? "i32"
                                                                             : "i64";
}

/* Where a loop is only the threads themselves, its variable is known from the start. */
void kl_cc_bind(kl_cc *e, uint32_t var, const kl_cc_loop *l)
{
    if (e->var_bound[var])
        kl_cc_fail(e, KL_ERR_INTERNAL, "two loops over one variable");
    e->var_bound[var] = true;
    e->var[var] = l->var;
    e->var_level[var] = l->head ? kl_cc_level(e) : 0;
}

static void enter(kl_cc *e, const kl_stmt *s, const kl_cc_loop *l)
{
    const uint8_t *sets = kl_cc_sets(e, s->body);
    kl_cc_push(e, l->head != NULL, l->cond, false, sets);
    kl_cc_bind(e, s->var, l);
    kl_cc_touch(e, sets);
    kl_cc_body(e, s->body);
    kl_cc_touch(e, sets);
    e->var[s->var] = NULL;
    kl_cc_pop(e, l->head, l->head ? "}" : NULL);
}

/* for (i32 v = from; v < n; v += step) */
static kl_cc_loop counting(kl_cc *e, const kl_stmt *s, const char *from, int64_t step)
{
    int64_t lo, hi;
    kl_x x = kl_cc_lower(e, s->extent);
    const char *n = kl_cc_eval(e, x);
    kl_x_range(e->x, x, &lo, &hi);
    const char *v = kl_cc_var_name(e, s->var);
    const char *next = step == 1 ? KL_CC_PRINT(e, "%s++", v)
                                 : KL_CC_PRINT(e, "%s += %lld", v, (long long)step);
    const char *unroll = s->bind == KL_BIND_UNROLL ? e->d->unroll : "";
    kl_cc_loop l = {.var = v, .cond = lo < (step == 1 ? 1 : step)};
    l.head = KL_CC_PRINT(e, "%sfor (%s %s = %s; %s < %s; %s) {", unroll,
                         kl_cc_counter_type(e, s, step), v, from, v, n, next);
    return l;
}

void kl_cc_serial(kl_cc *e, const kl_stmt *s)
{
    int64_t n;
    bool known = constant(e, kl_cc_lower(e, s->extent), &n);
    if (known && n <= 0) {
        if (e->d->skipped)
            e->d->skipped(e, s);
        return;
    }
    kl_cc_loop once = {.var = "0"}, l = known && n == 1 ? once : counting(e, s, "0", 1);
    enter(e, s, &l);
}

/* Threads `who` of `have` take the values in turn, `width` of them at a time. */
static void threads(kl_cc *e, const kl_stmt *s, const char *who, int64_t have,
                    int64_t width)
{
    int64_t n, lo, hi;
    kl_x x = kl_cc_lower(e, s->extent);
    bool known = constant(e, x, &n), idle = have > width;
    kl_x_range(e->x, x, &lo, &hi);
    if (known && n <= 0)
        return;
    if (width > have) {
        kl_cc_fail(e, KL_ERR_INTERNAL, "a lane or group loop wider than its block");
        return;
    }
    kl_cc_loop l = {.var = who};
    if (hi <= width && (!known || n < have)) {
        l.cond = true;
        l.head = KL_CC_PRINT(e, "if (%s < %s) {", who, kl_cc_eval(e, x));
        idle = false;
    } else if (hi > width) {
        l = counting(e, s, who, width);
    }
    if (idle) {
        kl_cc_push(e, true, true, false, kl_cc_sets(e, s->body));
        enter(e, s, &l);
        kl_cc_pop(e, KL_CC_PRINT(e, "if (%s < %lld) {", who, (long long)width), "}");
        return;
    }
    enter(e, s, &l);
}

void kl_cc_thread_lanes(kl_cc *e, const kl_stmt *s)
{
    if (e->in_lane) {
        kl_cc_fail(e, KL_ERR_INTERNAL, "a lane loop in a lane loop");
        return;
    }
    e->in_lane = true;
    threads(e, s, kl_cc_lane(e), e->phase->lane, s->lanes);
    e->in_lane = false;
}

static void groups(kl_cc *e, const kl_stmt *s)
{
    if (e->in_lane || e->in_group) {
        kl_cc_fail(e, KL_ERR_INTERNAL, "a group loop in a group or lane loop");
        return;
    }
    e->in_group = true;
    threads(e, s, kl_cc_group(e), e->phase->group, e->phase->group);
    e->in_group = false;
}

static void counted(kl_cc *e, const kl_stmt *s)
{
    if (s->bind == KL_BIND_LANE)
        e->d->lanes(e, s);
    else if (s->bind == KL_BIND_GROUP && e->d->threads)
        groups(e, s);
    else
        kl_cc_serial(e, s);
}

static void side(kl_cc *e, const kl_stmt *body, const char *head, const char *tail)
{
    const uint8_t *sets = kl_cc_sets(e, body);
    kl_cc_push(e, true, true, true, sets);
    kl_cc_body(e, body);
    kl_cc_pop(e, head, tail);
    kl_cc_touch(e, sets);
}

static void branch(kl_cc *e, const kl_stmt *s)
{
    const char *c = kl_cc_value(e, s->value);
    side(e, s->body, KL_CC_PRINT(e, "if (%s) {", c), s->other ? "} else {" : "}");
    if (s->other)
        side(e, s->other, NULL, "}");
}

/* ---- registers ---- */

static const char *dims_text(kl_cc *e, const kl_reg *r)
{
    const char *s = "";
    for (int i = 0; i < r->ndims; i++)
        s = KL_CC_PRINT(e, "%s[%d]", s, (int)r->dims[i]);
    return s;
}

/* Is the register's first value the next thing said? Then it is said at once. */
static bool set_at_once(const kl_cc *e, const kl_stmt *s)
{
    return s->next && s->next->kind == KL_S_SET && s->next->reg == s->reg &&
           e->k->regs[s->reg].ndims == 0 && !e->reg_wide[s->reg];
}

static void declare(kl_cc *e, const kl_stmt *s)
{
    const kl_reg *r = &e->k->regs[s->reg];
    e->reg[s->reg] = kl_cc_name(e, r->name && *r->name ? r->name : "r");
    e->reg_level[s->reg] = kl_cc_level(e);
    e->reg_wide[s->reg] = !e->d->threads && !e->in_lane && r->lanes > 1;
    kl_cc_touch_reg(e, s->reg);
    if (e->reg_wide[s->reg])
        kl_cc_line(e, kl_cc_level(e), "%s %s%s[%d];", kl_cc_type(r->dtype),
                   e->reg[s->reg], dims_text(e, r), (int)r->lanes);
    else if (!set_at_once(e, s))
        kl_cc_line(e, kl_cc_level(e), "%s %s%s;", kl_cc_type(r->dtype), e->reg[s->reg],
                   dims_text(e, r));
}

const char *kl_cc_set_target(kl_cc *e, const kl_stmt *s)
{
    kl_x index[3] = {KL_NONE, KL_NONE, KL_NONE};
    for (int i = 0; i < e->k->regs[s->reg].ndims; i++) {
        index[i] = kl_cc_lower(e, s->index[i]);
        kl_cc_eval(e, index[i]);
    }
    return kl_cc_element(e, s->reg, index);
}

/* Outside of lane loops that are loops: all lanes of it. */
static void fill(kl_cc *e, const kl_stmt *s)
{
    const char *to = kl_cc_set_target(e, s), *v = kl_cc_value(e, s->value);
    const char *lane = kl_cc_name(e, "l");
    kl_cc_line(e, kl_cc_level(e), "for (i32 %s = 0; %s < %d; %s++)\n    %s[%s] = %s;",
               lane, lane, (int)e->k->regs[s->reg].lanes, lane, to, lane, v);
    kl_cc_touch_reg(e, s->reg);
}

static void set(kl_cc *e, const kl_stmt *s, bool first)
{
    if (e->reg_wide[s->reg] && !e->in_lane) {
        fill(e, s);
        return;
    }
    const char *to = kl_cc_set_target(e, s), *v = kl_cc_value(e, s->value);
    const char *type = first ? kl_cc_type(e->k->regs[s->reg].dtype) : "";
    kl_cc_line(e, kl_cc_level(e), "%s%s%s = %s;", type, first ? " " : "", to, v);
    kl_cc_touch_reg(e, s->reg);
}

/* ---- folds ---- */

typedef struct folding {
    kl_op op;
    kl_dtype dt, acc; /* halves fold as f32, rounded each time */
    int width;
} folding;

static const char *combine(kl_cc *e, const folding *f, const char *a, const char *b)
{
    const char *s = kl_cc_op(e, f->op, f->acc, a, b, NULL);
    if (f->dt == f->acc)
        return s;
    e->parts |= KL_PRELUDE_HALVES;
    return KL_CC_PRINT(e, "kl_round_%s(%s)", kl_cc_type(f->dt), s);
}

/* All in one warp. Exchanging both ways gives every lane the same bits, since rows that
 * combine are commutative. */
static const char *fold_warp(kl_cc *e, const folding *f, const char *v)
{
    const char *t = kl_cc_temp(e), *h = kl_cc_name(e, "h");
    const char *next = combine(e, f, t, KL_CC_PRINT(e, "kl_shfl_xor(%s, %s)", t, h));
    e->parts |= KL_PRELUDE_WARP;
    kl_cc_line(e, kl_cc_level(e), "%s %s = %s;", kl_cc_type(f->acc), t, v);
    kl_cc_line(e, kl_cc_level(e), "#pragma unroll");
    kl_cc_line(e, kl_cc_level(e), "for (i32 %s = %d; %s > 0; %s >>= 1)", h, f->width / 2,
               h, h);
    kl_cc_line(e, kl_cc_level(e), "    %s = %s;", t, next);
    if (f->width < 32)
        kl_cc_line(e, kl_cc_level(e), "%s = kl_shfl(%s, 0);", t, t);
    return t;
}

/* Through shared memory, a step at a time. */
static const char *fold_block(kl_cc *e, const folding *f, const char *v)
{
    const char *tile = kl_cc_name(e, "fold"), *h = kl_cc_name(e, "h"), *t = kl_cc_temp(e);
    const char *lane = kl_cc_lane(e), *type = kl_cc_type(f->acc);
    const char *mine = KL_CC_PRINT(e, "%s[%s]", tile, lane),
               *other = KL_CC_PRINT(e, "%s[%s + %s]", tile, lane, h),
               *next = combine(e, f, mine, other);
    int l = kl_cc_level(e);
    e->parts |= KL_PRELUDE_WARP;
    kl_cc_line(e, l, "__shared__ %s %s[%d];", type, tile, f->width);
    kl_cc_line(e, l, "if (%s < %d)", lane, f->width);
    kl_cc_line(e, l, "    %s[%s] = %s;", tile, lane, v);
    kl_cc_line(e, l, "kl_barrier();");
    kl_cc_line(e, l, "for (i32 %s = %d; %s > 0; %s >>= 1) {", h, f->width / 2, h, h);
    kl_cc_line(e, l, "    if (%s < %s)", lane, h);
    kl_cc_line(e, l, "        %s[%s] = %s;", tile, lane, next);
    if (!KL_PLANTED(fold_barrier))
        kl_cc_line(e, l, "    kl_barrier();");
    kl_cc_line(e, l, "}");
    kl_cc_line(e, l, "const %s %s = %s[0];", type, t, tile);
    kl_cc_line(e, l, "kl_barrier();");
    return t;
}

void kl_cc_thread_fold(kl_cc *e, const kl_stmt *s)
{
    const kl_reg *from = &e->k->regs[e->x->nodes[s->value].imm];
    bool half = from->dtype == KL_F16 || from->dtype == KL_BF16;
    folding f = {s->combine, from->dtype, half ? KL_F32 : from->dtype, from->lanes};
    const char *to = kl_cc_set_target(e, s), *v = kl_cc_value(e, s->value), *t = v;
    if (half)
        v = kl_cc_cast(e, KL_F32, from->dtype, v);
    if (f.width & (f.width - 1) || e->in_lane)
        kl_cc_fail(e, KL_ERR_UNSUPPORTED, "a fold of lanes that are no power of two");
    else if (f.width > 1 && e->phase->lane == 32 && f.width <= 32)
        t = fold_warp(e, &f, v);
    else if (f.width > 1 && e->phase->group <= 1)
        t = fold_block(e, &f, v);
    else if (f.width > 1)
        kl_cc_fail(e, KL_ERR_UNSUPPORTED,
                   "a fold of lanes beside groups that are no warps");
    if (half)
        t = kl_cc_cast(e, from->dtype, KL_F32, t);
    kl_cc_line(e, kl_cc_level(e), "%s = %s;", to, t);
    kl_cc_touch_reg(e, s->reg);
}

/* ---- memory ---- */

/* Who stores what all compute alike: one of those who run the statement. */
static const char *one_thread(kl_cc *e)
{
    const char *lane = e->phase->lane > 1 ? KL_CC_PRINT(e, "%s == 0", kl_cc_lane(e)) : "";
    if (e->in_group || e->phase->group <= 1)
        return lane;
    return KL_CC_PRINT(e, "%s%s%s == 0", lane, *lane ? " && " : "", kl_cc_group(e));
}

/* All who run a uniform statement wait for each other. */
static void meet(kl_cc *e)
{
    bool group = e->in_group || e->phase->group <= 1;
    e->parts |= KL_PRELUDE_WARP;
    if (group && e->phase->lane == 32)
        kl_cc_line(e, kl_cc_level(e), "kl_warp_barrier();");
    else if (group && e->in_group && e->phase->group > 1)
        kl_cc_fail(e, KL_ERR_UNSUPPORTED, "a tile of a group that is no warp");
    else
        kl_cc_line(e, kl_cc_level(e), "kl_barrier();");
}

static void store(kl_cc *e, const kl_stmt *s)
{
    const char *at = kl_cc_value(e, s->at), *v = kl_cc_value(e, s->value);
    const char *pred = s->pred == KL_NONE ? "" : kl_cc_value(e, s->pred);
    const char *who = e->in_lane ? "" : one_thread(e), *to = kl_cc_at(e, s->operand, at);
    bool shared = !e->in_lane && *who && e->loaded[s->operand];
    if (shared && !KL_PLANTED(warp_before))
        meet(e);
    if (*who || *pred)
        kl_cc_line(e, kl_cc_level(e), "if (%s%s%s)\n    %s = %s;", who,
                   *who && *pred ? " && " : "", pred, to, v);
    else
        kl_cc_line(e, kl_cc_level(e), "%s = %s;", to, v);
    if (shared && !KL_PLANTED(warp_after))
        meet(e);
    kl_cc_touch_mem(e, s->operand);
}

static void barrier(kl_cc *e)
{
    e->parts |= KL_PRELUDE_WARP;
    if (e->d->threads)
        kl_cc_line(e, kl_cc_level(e), "kl_barrier();");
    for (uint32_t i = 0; i < e->k->noperands; i++)
        if (e->stored[i])
            kl_cc_touch_mem(e, i);
}

static void check(kl_cc *e, const kl_stmt *s)
{
    const char *ok = kl_cc_value(e, s->value);
    const char *v = s->at == KL_NONE ? "0" : kl_cc_value(e, s->at);
    e->uses_error = true;
    kl_cc_line(e, kl_cc_level(e), "if (!%s)\n    kl_fault(error, %d, %u, %s);", ok,
               (int)s->fault, s->node, v);
}

/* ---- bodies ---- */

static void statement(kl_cc *e, const kl_stmt *s, const kl_stmt *before)
{
    switch (s->kind) {
    case KL_S_FOR:
        counted(e, s);
        return;
    case KL_S_IF:
        branch(e, s);
        return;
    case KL_S_REG:
        declare(e, s);
        return;
    case KL_S_SET:
        set(e, s, before && before->kind == KL_S_REG && set_at_once(e, before));
        return;
    case KL_S_STORE:
        store(e, s);
        return;
    case KL_S_FOLD:
        e->d->fold(e, s);
        return;
    case KL_S_BARRIER:
        barrier(e);
        return;
    case KL_S_CHECK:
        check(e, s);
        return;
    case KL_S_NOTE:
        if (s->note && !strstr(s->note, "*/"))
            kl_cc_line(e, kl_cc_level(e), "/* %s */", s->note);
        return;
    case KL_S_TURN: /* of the CPU alone: kl_loops_verify */
        if (e->d->turn)
            e->d->turn(e, s);
        return;
    case KL_S_COUNT:
        return;
    }
}

void kl_cc_body(kl_cc *e, const kl_stmt *s)
{
    const kl_stmt *before = NULL, *first = s;
    for (; s && e->status == KL_OK; before = s, s = s->next)
        statement(e, s, before);
    for (s = first; s; s = s->next)
        if (s->kind == KL_S_REG)
            e->reg_level[s->reg] = -1;
}
