/* loops_interp.c: runs loops by what the statements mean (ir.h), on the host, slowly and
 * with every check: the oracle for lowering and for the emitters. Workers run one after
 * the other; groups of a group loop and lanes of a lane loop run together, position by
 * position of each statement, under a mask:
 *
 *   for c: 10 lane 32 {          positions 0..9 active, 10..31 masked
 *     if lt(c, 4) {              0..3
 *       set acc = load x[c]      4 lanes of acc change, 28 keep what they had
 *
 * An expression is evaluated for all positions at once, node after node (kl_eval_n). */
#include "ir/loops_interp.h"

enum { MAX_NEST = 64 };

static kl_status broken(const kl_irun *r, const char *what)
{
    return kl_fail(KL_ERR_INTERNAL, "loops %s: %s", r->k->name, what);
}

/* ---- preparing: each statement with its expressions in order ---- */

static kl_status prepare(kl_irun *r, const kl_stmt *s, int nest, kl_icode **out)
{
    *out = NULL;
    if (nest > MAX_NEST)
        return broken(r, "loops are nested too deep");
    for (; s; s = s->next) {
        kl_icode *c = kl_alloc_zeroed(sizeof *c);
        if (!c)
            return kl_fail(KL_ERR_OOM, "interpreter: a statement");
        *out = c;
        out = &c->next;
        c->s = s;
        kl_x e[6];
        uint32_t epoch = 0;
        int n = kl_stmt_exprs(s, e);
        for (int i = 0; i < n; i++)
            KL_TRY(kl_x_order_more(r->k->x, e[i], &epoch, &c->order));
        r->rows = KL_MAX(r->rows, c->order.count);
        KL_TRY(prepare(r, s->body, nest + 1, &c->body));
        KL_TRY(prepare(r, s->other, nest + 1, &c->other));
    }
    return KL_OK;
}

static void discard(kl_icode *c)
{
    while (c) {
        kl_icode *next = c->next;
        discard(c->body);
        discard(c->other);
        kl_xlist_free(&c->order);
        kl_free(c, sizeof *c);
        c = next;
    }
}

/* ---- registers ---- */

static int32_t elements_of(const kl_reg *g)
{
    int32_t n = 1;
    for (int i = 0; i < g->ndims; i++)
        n *= g->dims[i];
    return n;
}

static kl_status regs_open(kl_irun *r)
{
    for (uint32_t i = 0; i < r->k->nregs; i++) {
        const kl_reg *g = &r->k->regs[i];
        kl_ireg *v = &r->regs[i];
        v->elements = elements_of(g);
        v->copies = r->max_groups;
        size_t n = (size_t)v->elements * (size_t)v->copies * (size_t)g->lanes;
        v->data = kl_alloc_zeroed(n * 8 + 1);
        v->set = kl_alloc_zeroed(n + 1);
        if (!v->data || !v->set)
            return kl_fail(KL_ERR_OOM, "interpreter: register %s", g->name);
    }
    return KL_OK;
}

static size_t reg_slots(const kl_irun *r, uint32_t i)
{
    return (size_t)r->regs[i].elements * (size_t)r->regs[i].copies *
           (size_t)r->k->regs[i].lanes;
}

static void regs_close(kl_irun *r)
{
    for (uint32_t i = 0; i < r->k->nregs; i++) {
        if (r->regs[i].data)
            kl_free(r->regs[i].data, reg_slots(r, i) * 8 + 1);
        if (r->regs[i].set)
            kl_free(r->regs[i].set, reg_slots(r, i) + 1);
    }
}

/* ---- values ---- */

static char *row_of(const kl_irun *r, kl_x e)
{
    return r->values + (size_t)r->row[e] * 8 * (size_t)r->width;
}

static int64_t i64_at(const kl_irun *r, kl_x e, int p)
{
    return ((const int64_t *)row_of(r, e))[p];
}

static bool bool_at(const kl_irun *r, kl_x e, int p)
{
    return e == KL_NONE || ((const bool *)row_of(r, e))[p];
}

static int positions(const kl_irun *r)
{
    return r->groups * r->lanes;
}

/* Which slot of register `reg` does position p mean, with these indices; lane < 0: its
 * own. */
static kl_status reg_slot(const kl_irun *r, uint32_t reg, const kl_x *index, int p,
                          int lane, size_t *slot)
{
    const kl_reg *g = &r->k->regs[reg];
    const kl_ireg *v = &r->regs[reg];
    int64_t at = 0;
    for (int i = 0; i < g->ndims; i++) {
        if (index[i] == KL_NONE)
            return broken(r, "a register array is used without its indices");
        int64_t j = i64_at(r, index[i], p);
        if (j < 0 || j >= g->dims[i])
            return kl_fail(KL_ERR_INTERNAL, "loops %s: index %ld of register %s",
                           r->k->name, (long)j, g->name);
        at = at * g->dims[i] + j;
    }
    int group = v->grouped ? p / r->lanes : 0;
    int l = lane >= 0 ? lane : g->lanes > 1 ? p % r->lanes : 0;
    *slot = (size_t)((group * v->elements + at) * g->lanes + l);
    return KL_OK;
}

static kl_status read_reg(kl_irun *r, const kl_xnode *n, char *y)
{
    uint32_t reg = (uint32_t)n->imm;
    const kl_reg *g = &r->k->regs[reg];
    size_t slot, size = kl_dtypes[n->dtype].size;
    if (g->lanes > 1 && (!r->in_lane || r->lanes != g->lanes))
        return kl_fail(KL_ERR_INTERNAL,
                       "loops %s: register %s of %d lanes is read elsewhere", r->k->name,
                       g->name, (int)g->lanes);
    for (int p = 0; p < positions(r); p++) {
        if (!r->mask[p])
            continue;
        KL_TRY(reg_slot(r, reg, n->src, p, -1, &slot));
        if (!r->regs[reg].set[slot])
            return kl_fail(KL_ERR_INTERNAL,
                           "loops %s: register %s is read before it is set", r->k->name,
                           g->name);
        memcpy(y + (size_t)p * size, r->regs[reg].data + slot * 8, size);
    }
    return KL_OK;
}

static kl_status read_mem(kl_irun *r, const kl_xnode *n, char *y)
{
    size_t size = kl_dtypes[n->dtype].size;
    kl_x pred = n->nsrc > 1 ? n->src[1] : KL_NONE;
    for (int p = 0; p < positions(r); p++) {
        void *at;
        if (!r->mask[p])
            continue;
        if (bool_at(r, pred, p)) {
            KL_TRY(
                kl_imem_at(r, (uint32_t)n->imm, i64_at(r, n->src[0], p), p, false, &at));
            memcpy(y + (size_t)p * size, at, size);
        } else if (n->nsrc > 2) {
            memcpy(y + (size_t)p * size, row_of(r, n->src[2]) + (size_t)p * size, size);
        }
    }
    return KL_OK;
}

static void fill(const kl_irun *r, char *y, const void *v, size_t size)
{
    for (int p = 0; p < positions(r); p++)
        memcpy(y + (size_t)p * size, v, size);
}

static void read_var(const kl_irun *r, uint32_t var, int64_t *y)
{
    const kl_ivar *v = &r->vars[var];
    for (int p = 0; p < positions(r); p++)
        y[p] = v->base + (v->lane ? p % r->lanes : 0) + (v->group ? p / r->lanes : 0);
}

static kl_status eval_one(kl_irun *r, kl_x e)
{
    const kl_xnode *n = &r->k->x->nodes[e];
    char *y = row_of(r, e), *s[3] = {NULL, NULL, NULL};
    size_t size = kl_dtypes[n->dtype].size;
    int64_t count = positions(r), v;
    for (int i = 0; i < n->nsrc; i++)
        s[i] = row_of(r, n->src[i]);
    switch (n->op) {
    case KL_X_CONST:
        fill(r, y, &n->imm, size);
        return KL_OK;
    case KL_X_DIM:
        v = kl_dim_eval(r->k->x->dims, (kl_dim)n->imm, r->syms);
        fill(r, y, &v, size);
        return KL_OK;
    case KL_X_VAR:
        read_var(r, (uint32_t)n->imm, (int64_t *)y);
        return KL_OK;
    case KL_X_LOAD:
        memset(y, 0, (size_t)count * size);
        return read_mem(r, n, y);
    case KL_X_REG:
        memset(y, 0, (size_t)count * size);
        return read_reg(r, n, y);
    case KL_OP_cast:
        kl_eval_cast_n(n->dtype, r->k->x->nodes[n->src[0]].dtype, count, y, s[0]);
        return KL_OK;
    case KL_OP_bitcast:
        memcpy(y, s[0], (size_t)count * size);
        return KL_OK;
    default:
        break;
    }
    if (n->op >= KL_OP_COUNT || kl_ops[n->op].kind != KL_KIND_ELT)
        return broken(r, "an expression that loops cannot have");
    kl_eval_n((kl_op)n->op, r->k->x->nodes[n->src[n->nsrc - 1]].dtype, count, y, s[0],
              s[1], s[2]);
    return KL_OK;
}

static kl_status eval(kl_irun *r, const kl_icode *c)
{
    const kl_xnode *nodes = r->k->x->nodes;
    for (uint32_t i = 0; i < c->order.count; i++)
        r->row[c->order.items[i]] = i;
    /* FOLD's source is read by fold itself: as a whole, not by position. */
    uint32_t n = c->order.count;
    for (uint32_t i = 0; i < n; i++) {
        kl_x e = c->order.items[i];
        if (c->s->kind == KL_S_FOLD && e == c->s->value && nodes[e].op == KL_X_REG)
            continue;
        KL_TRY(eval_one(r, e));
    }
    return KL_OK;
}

/* ---- statements ---- */

static kl_status run_list(kl_irun *r, const kl_icode *c);

static kl_status push_mask(kl_irun *r, bool **m)
{
    if (r->depth >= MAX_NEST * 2)
        return broken(r, "loops are nested too deep");
    *m = r->masks + (size_t)r->depth++ * (size_t)r->width;
    return KL_OK;
}

static bool any(const bool *m, int n)
{
    for (int i = 0; i < n; i++)
        if (m[i])
            return true;
    return false;
}

/* Run the body under mask m; its masks are given back after it. */
static kl_status run_masked(kl_irun *r, const kl_icode *body, bool *m)
{
    bool *old = r->mask;
    kl_status s = KL_OK;
    r->mask = m;
    if (any(m, positions(r)))
        s = run_list(r, body);
    r->mask = old;
    return s;
}

/* What the loop's positions are: the extents seen from outside, one a position there. */
typedef struct loop {
    const kl_icode *c;
    int64_t *extent, max;
    bool *mask; /* inside */
} loop;

static kl_status run_serial(kl_irun *r, loop *l)
{
    for (int64_t v = 0; v < l->max; v++) {
        r->vars[l->c->s->var] = (kl_ivar){.base = v};
        for (int p = 0; p < positions(r); p++)
            l->mask[p] = r->mask[p] && v < l->extent[p];
        KL_TRY(run_masked(r, l->c->body, l->mask));
    }
    return KL_OK;
}

static kl_status run_lanes(kl_irun *r, loop *l)
{
    int32_t w = l->c->s->lanes;
    kl_status s = KL_OK;
    bool *outer = r->mask;
    if (r->in_lane || w < 1)
        return broken(r, "a lane loop inside a lane loop, or without a width");
    for (int64_t v = 0; v < l->max && s == KL_OK; v += w) {
        r->vars[l->c->s->var] = (kl_ivar){.base = v, .lane = true};
        for (int p = 0; p < r->groups * w; p++)
            l->mask[p] = outer[p / w] && v + p % w < l->extent[p / w];
        r->epoch += r->cpu;
        r->in_lane = true;
        r->lanes = w;
        s = run_masked(r, l->c->body, l->mask);
        r->in_lane = false;
        r->lanes = 1;
    }
    return s;
}

static kl_status run_groups(kl_irun *r, loop *l)
{
    int32_t n = r->max_groups;
    kl_status s = KL_OK;
    bool active = r->mask[0];
    if (r->in_lane || r->in_group)
        return broken(r, "a group loop inside a group or lane loop");
    for (int64_t v = 0; v < l->max && s == KL_OK; v += n) {
        r->vars[l->c->s->var] = (kl_ivar){.base = v, .group = true};
        for (int p = 0; p < n; p++)
            l->mask[p] = active && v + p < l->extent[0];
        r->in_group = true;
        r->groups = n;
        s = run_masked(r, l->c->body, l->mask);
        r->in_group = false;
        r->groups = 1;
    }
    return s;
}

static kl_status run_for(kl_irun *r, const kl_icode *c)
{
    loop l = {.c = c};
    int n = positions(r), depth = r->depth;
    kl_status s = push_mask(r, &l.mask);
    l.extent = kl_alloc((size_t)n * sizeof *l.extent);
    if (!l.extent)
        return kl_fail(KL_ERR_OOM, "interpreter: a loop");
    for (int p = 0; p < n; p++) {
        l.extent[p] = i64_at(r, c->s->extent, p);
        if (r->mask[p])
            l.max = KL_MAX(l.max, l.extent[p]);
    }
    if (s == KL_OK)
        s = c->s->bind == KL_BIND_LANE    ? run_lanes(r, &l)
            : c->s->bind == KL_BIND_GROUP ? run_groups(r, &l)
                                          : run_serial(r, &l);
    r->depth = depth;
    kl_free(l.extent, (size_t)n * sizeof *l.extent);
    return s;
}

static kl_status run_if(kl_irun *r, const kl_icode *c)
{
    bool *yes = NULL, *no = NULL;
    int depth = r->depth;
    KL_TRY(push_mask(r, &yes));
    KL_TRY(push_mask(r, &no));
    for (int p = 0; p < positions(r); p++) {
        yes[p] = r->mask[p] && bool_at(r, c->s->value, p);
        no[p] = r->mask[p] && !yes[p];
    }
    KL_TRY(run_masked(r, c->body, yes));
    KL_TRY(run_masked(r, c->other, no));
    r->depth = depth;
    return KL_OK;
}

static void run_reg(kl_irun *r, const kl_stmt *s)
{
    r->regs[s->reg].grouped = r->in_group;
    memset(r->regs[s->reg].set, 0, reg_slots(r, s->reg));
}

/* A register may be set where each of its copies has one position, or all lanes of it. */
static kl_status may_set(const kl_irun *r, uint32_t reg)
{
    const kl_reg *g = &r->k->regs[reg];
    if (r->in_lane && r->lanes > 1 && g->lanes != r->lanes)
        return kl_fail(KL_ERR_INTERNAL, "loops %s: lanes race on register %s", r->k->name,
                       g->name);
    if (r->groups > 1 && !r->regs[reg].grouped)
        return kl_fail(KL_ERR_INTERNAL, "loops %s: groups race on register %s",
                       r->k->name, g->name);
    return KL_OK;
}

static kl_status put_reg(kl_irun *r, const kl_stmt *s, int p, const void *v)
{
    const kl_reg *g = &r->k->regs[s->reg];
    int lo = r->in_lane ? -1 : 0, hi = r->in_lane ? 0 : g->lanes;
    for (int l = lo; l < hi; l++) {
        size_t slot;
        KL_TRY(reg_slot(r, s->reg, s->index, p, l, &slot));
        memcpy(r->regs[s->reg].data + slot * 8, v, kl_dtypes[g->dtype].size);
        r->regs[s->reg].set[slot] = true;
    }
    return KL_OK;
}

static kl_status run_set(kl_irun *r, const kl_stmt *s)
{
    size_t size = kl_dtypes[r->k->regs[s->reg].dtype].size;
    KL_TRY(may_set(r, s->reg));
    for (int p = 0; p < positions(r); p++)
        if (r->mask[p])
            KL_TRY(put_reg(r, s, p, row_of(r, s->value) + (size_t)p * size));
    return KL_OK;
}

static kl_status run_store(kl_irun *r, const kl_stmt *s)
{
    size_t size = kl_dtypes[r->k->operands[s->operand].dtype].size;
    for (int p = 0; p < positions(r); p++) {
        void *at;
        if (!r->mask[p] || !bool_at(r, s->pred, p))
            continue;
        KL_TRY(kl_imem_at(r, s->operand, i64_at(r, s->at, p), p, true, &at));
        memcpy(at, row_of(r, s->value) + (size_t)p * size, size);
    }
    return KL_OK;
}

static kl_status fold_group(kl_irun *r, const kl_stmt *s, int p)
{
    const kl_xnode *src = &r->k->x->nodes[s->value];
    const kl_reg *g = &r->k->regs[src->imm];
    const kl_ireg *v = &r->regs[src->imm];
    size_t slot;
    kl_scalar a[1024];
    for (int l = 0; l < g->lanes; l++) {
        KL_TRY(reg_slot(r, (uint32_t)src->imm, src->src, p, l, &slot));
        if (!v->set[slot])
            return kl_fail(KL_ERR_INTERNAL,
                           "loops %s: fold of register %s before all its lanes "
                           "are set",
                           r->k->name, g->name);
        memcpy(&a[l].bits, v->data + slot * 8, 8);
    }
    for (int h = g->lanes / 2; h > 0; h /= 2)
        for (int l = 0; l < h; l++)
            a[l] = kl_eval(s->combine, g->dtype, a[l], a[l + h], (kl_scalar){.bits = 0});
    return put_reg(r, s, p, &a[0]);
}

static kl_status run_fold(kl_irun *r, const kl_stmt *s)
{
    const kl_xnode *src = &r->k->x->nodes[s->value];
    if (r->in_lane || src->op != KL_X_REG || r->k->regs[src->imm].lanes > 1024)
        return broken(r, "a fold inside a lane loop, or of no register");
    KL_TRY(may_set(r, s->reg));
    for (int p = 0; p < positions(r); p++)
        if (r->mask[p])
            KL_TRY(fold_group(r, s, p));
    return KL_OK;
}

/* Element i's lane l and element l's lane i change places. */
static kl_status run_turn(kl_irun *r, const kl_stmt *s)
{
    const kl_reg *g = &r->k->regs[s->reg];
    kl_ireg *v = &r->regs[s->reg];
    if (r->in_lane || v->elements != g->lanes)
        return broken(r, "a turn inside a lane loop, or of what is not square");
    KL_TRY(may_set(r, s->reg));
    for (int p = 0; p < positions(r); p++) {
        int64_t *a = (int64_t *)(void *)v->data;
        size_t n = (size_t)g->lanes, from = (v->grouped ? (size_t)p : 0) * n * n;
        for (size_t i = 0; i < n * n && r->mask[p]; i++)
            if (!v->set[from + i])
                return kl_fail(KL_ERR_INTERNAL,
                               "loops %s: turn of register %s before all of it is set",
                               r->k->name, g->name);
        for (size_t i = 0; i < n && r->mask[p]; i++)
            for (size_t l = 0; l < i; l++) {
                int64_t x = a[from + i * n + l];
                a[from + i * n + l] = a[from + l * n + i];
                a[from + l * n + i] = x;
            }
    }
    return KL_OK;
}

static kl_status run_barrier(kl_irun *r)
{
    for (int p = 0; p < positions(r) && !r->cpu; p++)
        if (!r->mask[p])
            return broken(r, "a barrier that not all threads reach");
    r->epoch++;
    return KL_OK;
}

/* The error word keeps the first fault: the lowest worker's, its lowest position's. */
static void run_check(kl_irun *r, const kl_stmt *s)
{
    for (int p = 0; p < positions(r); p++) {
        if (!r->mask[p] || bool_at(r, s->value, p) || !r->error || r->error[0])
            continue;
        r->error[0] = s->fault;
        r->error[1] = s->node;
        r->error[2] = s->at == KL_NONE ? 0 : i64_at(r, s->at, p);
    }
}

static kl_status run_one(kl_irun *r, const kl_icode *c)
{
    KL_TRY(eval(r, c));
    switch (c->s->kind) {
    case KL_S_FOR:
        return run_for(r, c);
    case KL_S_IF:
        return run_if(r, c);
    case KL_S_REG:
        run_reg(r, c->s);
        break;
    case KL_S_SET:
        return run_set(r, c->s);
    case KL_S_STORE:
        return run_store(r, c->s);
    case KL_S_FOLD:
        return run_fold(r, c->s);
    case KL_S_TURN:
        return run_turn(r, c->s);
    case KL_S_BARRIER:
        return run_barrier(r);
    case KL_S_CHECK:
        run_check(r, c->s);
        break;
    case KL_S_NOTE:
    case KL_S_COUNT:
        break;
    }
    return KL_OK;
}

static kl_status run_list(kl_irun *r, const kl_icode *c)
{
    for (; c; c = c->next) {
        r->epoch += r->cpu && !r->in_lane;
        KL_TRY(run_one(r, c));
    }
    return KL_OK;
}

/* ---- phases ---- */

static kl_status run_phase(kl_irun *r, const kl_phase *ph, const kl_icode *code)
{
    int64_t workers = kl_dim_eval(r->k->x->dims, ph->workers, r->syms);
    r->cpu = ph->group <= 1 && ph->lane <= 1;
    r->max_groups = KL_MAX(ph->group, 1);
    r->phase++;
    for (int64_t w = 0; w < workers; w++) {
        r->worker = w;
        r->epoch++;
        r->groups = r->lanes = 1;
        r->depth = 1;
        r->mask = r->masks;
        r->mask[0] = true;
        r->vars[ph->var] = (kl_ivar){.base = w};
        KL_TRY(run_list(r, code));
    }
    return KL_OK;
}

static kl_status run_kernel(kl_irun *r, void *const *bufs, kl_icode **code)
{
    const kl_kernel *k = r->k;
    KL_TRY(regs_open(r));
    KL_TRY(kl_imem_open(r, bufs));
    for (int p = 0; p < k->nphases; p++)
        KL_TRY(prepare(r, k->phases[p].body, 0, &code[p]));
    r->values = kl_alloc_zeroed((size_t)r->rows * 8 * (size_t)r->width + 1);
    if (!r->values)
        return kl_fail(KL_ERR_OOM, "interpreter: %u values", r->rows);
    for (int p = 0; p < k->nphases; p++)
        KL_TRY(run_phase(r, &k->phases[p], code[p]));
    return KL_OK;
}

kl_status kl_loops_interp(const kl_kernel *k, void *const *bufs, const int64_t *syms,
                          int64_t error[3])
{
    kl_irun r = {.k = k, .syms = syms, .error = error, .max_groups = 1};
    for (int p = 0; p < k->nphases; p++)
        r.max_groups = KL_MAX(r.max_groups, k->phases[p].group);
    r.width = r.max_groups * kl_kernel_lanes(k);
    size_t nmem = (k->noperands + 1u) * sizeof *r.mem,
           nreg = (k->nregs + 1u) * sizeof *r.regs;
    size_t nvar = (k->x->nvars + 1u) * sizeof *r.vars,
           nrow = (k->x->count + 1u) * sizeof *r.row;
    size_t nmask = (size_t)MAX_NEST * 2 * (size_t)r.width;
    size_t ncode = ((size_t)k->nphases + 1) * sizeof(kl_icode *);
    kl_icode **code = kl_alloc_zeroed(ncode);
    r.mem = kl_alloc_zeroed(nmem);
    r.regs = kl_alloc_zeroed(nreg);
    r.vars = kl_alloc_zeroed(nvar);
    r.row = kl_alloc_zeroed(nrow);
    r.masks = kl_alloc_zeroed(nmask);
    kl_status s = KL_OK;
    if (!code || !r.mem || !r.regs || !r.vars || !r.row || !r.masks)
        s = kl_fail(KL_ERR_OOM, "interpreter: kernel %s", k->name);
    else
        s = run_kernel(&r, bufs, code);
    for (int p = 0; code && p < k->nphases; p++)
        discard(code[p]);
    if (r.mem)
        kl_imem_close(&r);
    if (r.regs)
        regs_close(&r);
    if (r.values)
        kl_free(r.values, (size_t)r.rows * 8 * (size_t)r.width + 1);
    struct {
        void *p;
        size_t n;
    } own[] = {{code, ncode},  {r.mem, nmem}, {r.regs, nreg},
               {r.vars, nvar}, {r.row, nrow}, {r.masks, nmask}};
    for (size_t i = 0; i < KL_COUNT(own); i++)
        if (own[i].p)
            kl_free(own[i].p, own[i].n);
    return s;
}
