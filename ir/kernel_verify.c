/* kernel_verify.c: what an algorithm and its schedule must satisfy, checked between
 * passes. Each failure names kernel, part and stage; lowering may then assume it.
 *
 *   scope   a stage reads its part's outer axes, its own axes, and earlier stages of its
 * part, each by one index a free axis; its stores and checks too, and the stage itself
 *   types   indices i64, conditions bool, values of their stage's or operand's dtype
 *   axes    each exists, has an extent, and is walked once on any path
 *   kinds   a reduce, arg or contract stage has a value; contract has two; sort stores
 * keys and permutation */
#include "ir/kernel_forms.h"

typedef struct scope {
    const kl_kernel *k;
    const kl_part *part;
    int part_number, stage_number;
    bool *visible; /* axes */
    kl_xlist order;
} scope;

static kl_status bad(const scope *c, const char *what)
{
    return kl_fail(KL_ERR_INTERNAL, "kernel %s: part %d stage %d: %s", c->k->name,
                   c->part_number, c->stage_number, what);
}

static kl_status check_stage_read(const scope *c, const kl_xnode *n, int readable)
{
    if (n->imm >= (uint64_t)readable)
        return bad(c, "it reads a stage that is not before it");
    const kl_stage *s = &c->part->stages[n->imm];
    if (s->value == KL_NONE || s->dtype != n->dtype || s->nfree != n->nsrc)
        return bad(
            c,
            "it reads a stage without a value, of another dtype or with other indices");
    return KL_OK;
}

static kl_status check_node(const scope *c, const kl_xnode *n, int readable)
{
    if (n->op == KL_X_STAGE)
        return check_stage_read(c, n, readable);
    if (n->op == KL_X_VAR && (n->imm >= c->k->naxes || !c->visible[n->imm]))
        return bad(c, "it reads an axis that it does not walk");
    if (n->op == KL_X_REG || n->op >= KL_X_END)
        return bad(c, "an expression that kernels cannot have");
    if (n->op == KL_X_LOAD &&
        (n->imm >= c->k->noperands || n->dtype != c->k->operands[n->imm].dtype ||
         c->k->x->nodes[n->src[0]].dtype != KL_I64))
        return bad(c, "a load of no operand, of another dtype, or with a bad index");
    return KL_OK;
}

static kl_status check_expr(scope *c, kl_x e, kl_dtype dt, int readable)
{
    if (e == KL_NONE || e >= c->k->x->count)
        return bad(c, "an expression is missing");
    if (dt != KL_DTYPE_NONE && c->k->x->nodes[e].dtype != dt)
        return bad(c, "an expression has the wrong dtype");
    KL_TRY(kl_x_order(c->k->x, e, &c->order));
    for (uint32_t i = 0; i < c->order.count; i++)
        KL_TRY(check_node(c, &c->k->x->nodes[c->order.items[i]], readable));
    return KL_OK;
}

static kl_status enter(scope *c, const uint16_t *axes, int n)
{
    for (int i = 0; i < n; i++) {
        if (axes[i] >= c->k->naxes || c->k->axes[axes[i]].extent == KL_DIM_BAD)
            return bad(c, "an axis that does not exist");
        if (c->visible[axes[i]])
            return bad(c, "an axis is walked twice");
        c->visible[axes[i]] = true;
    }
    return KL_OK;
}

static void leave(scope *c, const uint16_t *axes, int n)
{
    for (int i = 0; i < n; i++)
        c->visible[axes[i]] = false;
}

/* An arg stage compares values of any dtype and gives an index. */
static kl_status check_value(scope *c, const kl_stage *s)
{
    bool arg = s->kind == KL_STAGE_ARGMAX || s->kind == KL_STAGE_ARGMIN;
    bool contract = s->kind == KL_STAGE_CONTRACT, has = s->value != KL_NONE;
    if (kl_stage_reduces(s->kind) && !has)
        return bad(c, "it reduces nothing");
    if (contract != (s->rhs != KL_NONE))
        return bad(c, "only a contraction has two factors, and it has");
    if (arg && s->dtype != KL_I64)
        return bad(c, "its value is an index: i64");
    if (has)
        KL_TRY(check_expr(c, s->value, arg || contract ? KL_DTYPE_NONE : s->dtype,
                          c->stage_number));
    return contract ? check_expr(c, s->rhs, KL_DTYPE_NONE, c->stage_number) : KL_OK;
}

static kl_status check_kind(const scope *c, const kl_stage *s)
{
    bool set = s->kind == KL_STAGE_SCATTER && s->combine == (kl_op)KL_SET;
    if (s->kind > KL_STAGE_SORT || s->nfree < 0 || s->nreduce < 0 ||
        s->nfree + s->nreduce > KL_MAX_RANK)
        return bad(c, "its kind or its axes");
    if (kl_stage_combines(s->kind) && !set &&
        (s->combine >= KL_OP_COUNT || !(kl_ops[s->combine].flags & KL_F_RED)))
        return bad(c, "its row does not combine");
    return KL_OK;
}

static kl_status check_stores(scope *c, const kl_stage *s)
{
    int readable = c->stage_number + (s->value != KL_NONE);
    for (int i = 0; i < s->nstores; i++) {
        const kl_store *t = &s->stores[i];
        if (t->operand >= c->k->noperands ||
            c->k->operands[t->operand].role == KL_ROLE_IN)
            return bad(c, "it stores to no operand, or to an input");
        KL_TRY(check_expr(c, t->index, KL_I64, readable));
        kl_dtype dt = c->k->operands[t->operand].dtype;
        if (s->kind == KL_STAGE_SORT && i == 1) /* the permutation: it has no value */
            dt = KL_DTYPE_NONE;
        KL_TRY(check_expr(c, t->value, dt, readable));
        if (t->pred != KL_NONE)
            KL_TRY(check_expr(c, t->pred, KL_BOOL, readable));
    }
    return KL_OK;
}

static kl_status check_checks(scope *c, const kl_stage *s)
{
    int readable = c->stage_number + (s->value != KL_NONE);
    for (int i = 0; i < s->nchecks; i++) {
        KL_TRY(check_expr(c, s->checks[i].ok, KL_BOOL, readable));
        if (s->checks[i].value != KL_NONE)
            KL_TRY(check_expr(c, s->checks[i].value, KL_I64, readable));
    }
    return KL_OK;
}

/* Stores of a reduction come after it: they may not read what it walked; those of other
 * kinds are made at each step. Checks of a reduction guard its steps. */
static kl_status check_stage(scope *c, const kl_stage *s)
{
    KL_TRY(check_kind(c, s));
    KL_TRY(enter(c, s->axes, s->nfree + s->nreduce));
    KL_TRY(check_value(c, s));
    KL_TRY(check_checks(c, s));
    if (kl_stage_reduces(s->kind)) {
        leave(c, s->axes + s->nfree, s->nreduce);
        KL_TRY(check_stores(c, s));
        leave(c, s->axes, s->nfree);
        return KL_OK;
    }
    KL_TRY(check_stores(c, s));
    leave(c, s->axes, s->nfree + s->nreduce);
    return KL_OK;
}

static kl_status check_part(scope *c, const kl_part *t)
{
    c->part = t;
    c->stage_number = -1;
    KL_TRY(enter(c, t->outer, t->nouter));
    for (int i = 0; i < t->nstages; i++) {
        c->stage_number = i;
        KL_TRY(check_stage(c, &t->stages[i]));
    }
    leave(c, t->outer, t->nouter);
    return KL_OK;
}

static kl_status check_schedule(const kl_kernel *k)
{
    for (uint32_t i = 0; i < k->ndecisions; i++) {
        const kl_decision *d = &k->schedule[i];
        bool named = d->kind == KL_DEC_CLASS || d->kind == KL_DEC_PARAM;
        if ((int)d->kind >= (int)KL_NDECS || d->axis < -1 || d->axis >= (int)k->naxes ||
            d->part < 0 || (k->nparts && d->part >= k->nparts) || (named && !d->name) ||
            d->bind >= 7)
            return kl_fail(KL_ERR_INTERNAL, "kernel %s: decision %u", k->name, i);
    }
    return KL_OK;
}

kl_status kl_kernel_verify(const kl_kernel *k)
{
    scope c = {.k = k};
    size_t n = k->naxes + 1u;
    c.visible = kl_alloc_zeroed(n);
    kl_status s = c.visible ? check_schedule(k)
                            : kl_fail(KL_ERR_OOM, "verifying kernel %s", k->name);
    for (c.part_number = 0; c.part_number < k->nparts && s == KL_OK; c.part_number++)
        s = check_part(&c, &k->parts[c.part_number]);
    if (c.visible)
        kl_free(c.visible, n);
    kl_xlist_free(&c.order);
    return s;
}
