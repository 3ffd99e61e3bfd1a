/* kernel.c: kernels as data: operands, axes, registers, the schedule's decisions, and the
 * tree of statements that is their loops. Builders append and never look back; a failed
 * allocation or a KL_NONE expression leaves a tree that the verifier refuses.
 *
 *   kl_build b = {k, &k->phases[0].body};
 *   kl_build in = kl_b_for(&b, v, kl_x_int(x, 8), KL_BIND_SERIAL, 0);   for v: 8 serial {
 *   kl_b_store(&in, y, kl_x_var(x, v), value, KL_NONE);                   store y[v] =
 * value
 *                                                                       } */
#include "ir/ir.h"

kl_kernel *kl_kernel_new(kl_arena *a, kl_dims *d, const char *name)
{
    kl_kernel *k = kl_arena_zeroed(a, 1, sizeof *k);
    if (!k)
        return NULL;
    k->arena = a;
    k->name = kl_arena_strdup(a, name);
    k->x = kl_exprs_new(a, d);
    k->when = 1;
    return k->name && k->x ? k : NULL;
}

kl_kernel *kl_kernel_own(const kl_kernel *k, kl_arena *a)
{
    kl_kernel *own = kl_arena_copy(a, k, sizeof *own);
    if (!own)
        return NULL;
    own->arena = a;
    own->x = kl_exprs_own(k->x, a);
    return own->x ? own : NULL;
}

kl_kernel *kl_code_of(kl_kernel *k)
{
    return k->code ? k->code : k;
}

uint32_t kl_kernel_operand(kl_kernel *k, const kl_operand *o)
{
    uint32_t n = k->noperands;
    if (kl_arena_grow(k->arena, &k->operands, &k->cap_operands, n + 1, sizeof *o))
        return KL_NONE;
    k->operands[n] = *o;
    return k->noperands++;
}

/* Axes are the first variables: both counts run together until the first loop counter is
 * made. */
uint32_t kl_kernel_axis(kl_kernel *k, const char *name, kl_dim extent, kl_axis_kind kind)
{
    uint32_t n = k->naxes;
    if (k->x->nvars != n) {
        kl_fail(KL_ERR_INTERNAL, "kernel %s: axis %s comes after a loop", k->name, name);
        return KL_NONE;
    }
    if (kl_arena_grow(k->arena, &k->axes, &k->cap_axes, n + 1, sizeof *k->axes) ||
        kl_x_newvar(k->x, name, extent) == KL_NONE)
        return KL_NONE;
    k->axes[n] = (kl_axis){.name = name, .extent = extent, .kind = kind};
    return k->naxes++;
}

uint32_t kl_kernel_reg(kl_kernel *k, const kl_reg *r)
{
    uint32_t n = k->nregs;
    if (kl_arena_grow(k->arena, &k->regs, &k->cap_regs, n + 1, sizeof *r))
        return KL_NONE;
    k->regs[n] = *r;
    return k->nregs++;
}

/* ---- statements ---- */

kl_stmt *kl_stmt_new(kl_kernel *k, kl_stmt_kind kind)
{
    kl_stmt *s = kl_arena_zeroed(k->arena, 1, sizeof *s);
    if (!s)
        return NULL;
    s->kind = kind;
    s->place = k->at;
    s->var = s->reg = s->operand = s->node = KL_NONE;
    s->extent = s->value = s->at = s->pred = KL_NONE;
    s->index[0] = s->index[1] = s->index[2] = KL_NONE;
    return s;
}

kl_stmt *kl_b_put(kl_build *b, kl_stmt *s)
{
    if (!b->at || !s)
        return s;
    *b->at = s;
    b->at = &s->next;
    return s;
}

static kl_stmt *put(kl_build *b, kl_stmt_kind kind)
{
    return kl_b_put(b, kl_stmt_new(b->k, kind));
}

kl_build kl_b_for(kl_build *b, uint32_t var, kl_x extent, kl_bind bind, int32_t lanes)
{
    kl_stmt *s = put(b, KL_S_FOR);
    if (!s)
        return (kl_build){b->k, NULL};
    s->var = var;
    s->extent = extent;
    s->bind = bind;
    s->lanes = lanes;
    return (kl_build){b->k, &s->body};
}

kl_build kl_b_if(kl_build *b, kl_x cond)
{
    kl_stmt *s = put(b, KL_S_IF);
    if (!s)
        return (kl_build){b->k, NULL};
    s->value = cond;
    return (kl_build){b->k, &s->body};
}

kl_build kl_b_else(kl_build *b)
{
    if (!b->at)
        return *b;
    kl_stmt *s = (kl_stmt *)((char *)b->at - offsetof(kl_stmt, next));
    return (kl_build){b->k, &s->other};
}

kl_x kl_b_reg(kl_build *b, const char *name, kl_dtype dt, int32_t lanes, int ndims,
              const int32_t *dims)
{
    kl_reg r = {.name = name, .dtype = dt, .lanes = lanes, .ndims = ndims};
    for (int i = 0; i < ndims && i < 3; i++)
        r.dims[i] = dims[i];
    kl_stmt *s = put(b, KL_S_REG);
    if (!s)
        return KL_NONE;
    s->reg = kl_kernel_reg(b->k, &r);
    s->lanes = lanes;
    return s->reg == KL_NONE ? KL_NONE : kl_x_reg(b->k->x, s->reg, dt, NULL, 0);
}

/* A register as the target of SET or FOLD. */
static void target(const kl_kernel *k, kl_stmt *s, kl_x reg)
{
    if (reg == KL_NONE || k->x->nodes[reg].op != KL_X_REG)
        return;
    const kl_xnode *n = &k->x->nodes[reg];
    s->reg = (uint32_t)n->imm;
    for (int i = 0; i < n->nsrc; i++)
        s->index[i] = n->src[i];
}

void kl_b_set(kl_build *b, kl_x reg, kl_x value)
{
    kl_stmt *s = put(b, KL_S_SET);
    if (!s)
        return;
    target(b->k, s, reg);
    s->value = value;
}

void kl_b_store(kl_build *b, uint32_t operand, kl_x index, kl_x value, kl_x pred)
{
    kl_stmt *s = put(b, KL_S_STORE);
    if (!s)
        return;
    s->operand = operand;
    s->at = index;
    s->value = value;
    s->pred = pred;
}

void kl_b_fold(kl_build *b, kl_x dst, kl_op combine, kl_x src)
{
    kl_stmt *s = put(b, KL_S_FOLD);
    if (!s)
        return;
    target(b->k, s, dst);
    s->combine = combine;
    s->value = src;
}

void kl_b_turn(kl_build *b, uint32_t reg)
{
    kl_stmt *s = put(b, KL_S_TURN);
    if (s)
        s->reg = reg;
}

void kl_b_barrier(kl_build *b)
{
    put(b, KL_S_BARRIER);
}

void kl_b_check(kl_build *b, kl_x ok, int32_t fault, uint32_t node, kl_x value)
{
    kl_stmt *s = put(b, KL_S_CHECK);
    if (!s)
        return;
    s->value = ok;
    s->fault = fault;
    s->node = node;
    s->at = value;
}

/* ---- the schedule ---- */

/* The last decision of that kind counts. KL_DEC_PARAM is looked up by name in schedule.c.
 */
int64_t kl_kernel_decided(const kl_kernel *k, kl_dec_kind kind, int part, int axis,
                          int64_t dflt)
{
    for (uint32_t i = k->ndecisions; i-- > 0;) {
        const kl_decision *d = &k->schedule[i];
        if (d->kind == kind && d->part == part && d->axis == axis)
            return kind == KL_DEC_BIND ? (int64_t)d->bind : d->factor;
    }
    return dflt;
}

const char *kl_kernel_class(const kl_kernel *k)
{
    for (uint32_t i = k->ndecisions; i-- > 0;)
        if (k->schedule[i].kind == KL_DEC_CLASS)
            return k->schedule[i].name;
    return NULL;
}

/* ---- what a launch needs ---- */

kl_status kl_stmt_walk(const kl_stmt *s, kl_stmt_fn fn, void *ctx)
{
    for (; s; s = s->next) {
        KL_TRY(fn(ctx, s));
        KL_TRY(kl_stmt_walk(s->body, fn, ctx));
        KL_TRY(kl_stmt_walk(s->other, fn, ctx));
    }
    return KL_OK;
}

int kl_stmt_exprs(const kl_stmt *s, kl_x out[6])
{
    const kl_x all[6] = {s->index[0],
                         s->index[1],
                         s->index[2],
                         s->kind == KL_S_FOR     ? s->extent
                         : s->kind == KL_S_STORE ? s->at
                                                 : s->value,
                         s->kind == KL_S_STORE   ? s->value
                         : s->kind == KL_S_CHECK ? s->at
                                                 : KL_NONE,
                         s->pred};
    int n = 0;
    for (int i = 0; i < 6; i++)
        if (all[i] != KL_NONE)
            out[n++] = all[i];
    return n;
}

typedef struct listing {
    const kl_exprs *x;
    uint32_t epoch;
    kl_xlist *list;
} listing;

static kl_status list_exprs(void *ctx, const kl_stmt *s)
{
    listing *c = ctx;
    kl_x e[6];
    int n = kl_stmt_exprs(s, e);
    for (int i = 0; i < n; i++)
        KL_TRY(kl_x_order_more(c->x, e[i], &c->epoch, c->list));
    return KL_OK;
}

kl_status kl_kernel_exprs(const kl_kernel *k, kl_xlist *out)
{
    listing c = {.x = k->x, .list = out};
    *out = (kl_xlist){0};
    for (int p = 0; p < k->nphases; p++)
        KL_TRY(kl_stmt_walk(k->phases[p].body, list_exprs, &c));
    return KL_OK;
}

/* One more, unless it is there. */
static int add_dim(kl_dim d, kl_dim *out, int n, int cap, const kl_xlist *l,
                   const kl_exprs *x)
{
    for (uint32_t i = 0; i < l->count; i++)
        if (x->nodes[l->items[i]].op == KL_X_DIM &&
            (kl_dim)x->nodes[l->items[i]].imm == d)
            return n;
    if (n < cap)
        out[n] = d;
    return n + 1;
}

/* Operands' sizes (bounds, tiles' places) rest on symbols that the loops may not name. */
static int operand_symbols(const kl_kernel *k, kl_dim *out, int n, int cap,
                           const kl_xlist *l)
{
    kl_dims *d = k->x->dims;
    int count = kl_dim_sym_count(d);
    bool *used = kl_alloc_zeroed((size_t)count + 1);
    if (!used)
        return -1;
    for (uint32_t i = 0; i < k->noperands; i++) {
        kl_dim_uses(d, k->operands[i].count, used);
        kl_dim_uses(d, k->operands[i].low, used);
    }
    for (int i = 0; i < count; i++)
        if (used[i])
            n = add_dim(kl_dim_sym(d, kl_dim_sym_name(d, i)), out, n, cap, l, k->x);
    kl_free(used, (size_t)count + 1);
    return n;
}

/* More than cap: the count, of which out has the first cap. -1: out of memory. */
int kl_kernel_dims(const kl_kernel *k, kl_dim *out, int cap)
{
    kl_xlist list;
    kl_status s = kl_kernel_exprs(k, &list);
    int n = 0;
    for (uint32_t i = 0; i < list.count && s == KL_OK; i++) {
        const kl_xnode *e = &k->x->nodes[list.items[i]];
        if (e->op == KL_X_DIM && n++ < cap)
            out[n - 1] = (kl_dim)e->imm;
    }
    if (s == KL_OK)
        n = operand_symbols(k, out, n, cap, &list);
    kl_xlist_free(&list);
    return s == KL_OK ? n : -1;
}

static kl_status widest(void *ctx, const kl_stmt *s)
{
    int32_t *lanes = ctx;
    if (s->kind == KL_S_FOR && s->bind == KL_BIND_LANE)
        *lanes = KL_MAX(*lanes, s->lanes);
    return KL_OK;
}

int32_t kl_kernel_lanes(const kl_kernel *k)
{
    int32_t lanes = 1;
    for (int p = 0; p < k->nphases; p++)
        kl_stmt_walk(k->phases[p].body, widest, &lanes);
    return lanes;
}

kl_dim kl_kernel_scratch(const kl_kernel *k, kl_dim *offsets)
{
    kl_dims *d = k->x->dims;
    int32_t lanes = kl_kernel_lanes(k);
    kl_dim at = 0;
    for (uint32_t i = 0; i < k->noperands; i++) {
        const kl_operand *o = &k->operands[i];
        if (offsets)
            offsets[i] = at;
        if (o->role != KL_ROLE_TILE)
            continue;
        int64_t size = kl_dtypes[o->dtype].size * (o->scope == KL_SCOPE_LANE ? lanes : 1);
        at = kl_dim_add(
            d, at,
            kl_dim_mul(d, kl_dim_ceildiv(d, kl_dim_mul(d, o->count, size), 64), 64));
    }
    return at;
}
