/* loops_verify.c: what every tree of loops must satisfy, checked between passes. Each
 * failure names kernel and statement; emitters may then assume it.
 *
 *   scope     a variable is read inside its loop, a register after its REG in the same
 * body types     extents and indices i64, conditions bool, values of their register's or
 * operand's lanes     no lane loop in a lane loop; a register of W lanes is read and set
 * in lane loops of width W, set (to all lanes) outside, folded outside; W a power of two
 * where folded writes    no store to an input */
#include "ir/ir.h"

typedef struct scope {
    const kl_kernel *k;
    bool *var, *reg; /* now visible */
    int32_t lanes;   /* of the enclosing lane loop; 0: none */
    bool group;      /* inside a group loop */
    bool cpu;        /* the phase's block is 1 by 1 */
    int nest;
    kl_xlist order;
} scope;

static const char *const names[] = {"for",  "if",   "reg",     "set",   "store",
                                    "fold", "turn", "barrier", "check", "note"};
_Static_assert(KL_COUNT(names) == KL_S_COUNT, "a name a statement");

static kl_status bad(const scope *c, const kl_stmt *s, const char *what,
                     const char *whose)
{
    return kl_fail(KL_ERR_INTERNAL, "loops %s: %s: %s%s%s", c->k->name, names[s->kind],
                   what, whose ? " " : "", whose ? whose : "");
}

static kl_status check_reg(const scope *c, const kl_stmt *s, const kl_xnode *n)
{
    if (n->imm >= c->k->nregs || !c->reg[n->imm])
        return bad(c, s, "a register outside its body", NULL);
    const kl_reg *g = &c->k->regs[n->imm];
    if (g->dtype != n->dtype)
        return bad(c, s, "the dtype of register", g->name);
    if (g->ndims != n->nsrc)
        return bad(c, s, "the indices of register", g->name);
    if (g->lanes > 1 && g->lanes != c->lanes)
        return bad(c, s, "lanes read outside a lane loop of their width: register",
                   g->name);
    return KL_OK;
}

static kl_status check_load(const scope *c, const kl_stmt *s, const kl_xnode *n)
{
    const kl_xnode *e = c->k->x->nodes;
    if (n->imm >= c->k->noperands || n->dtype != c->k->operands[n->imm].dtype)
        return bad(c, s, "a load of no operand, or of another dtype", NULL);
    const kl_operand *o = &c->k->operands[n->imm];
    if (e[n->src[0]].dtype != KL_I64 || (n->nsrc > 1 && e[n->src[1]].dtype != KL_BOOL) ||
        (n->nsrc > 2 && e[n->src[2]].dtype != n->dtype))
        return bad(c, s, "index, condition or other value in a load of", o->name);
    if (o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE && !c->lanes)
        return bad(c, s, "a load outside lane loops of lane tile", o->name);
    return KL_OK;
}

static kl_status check_node(const scope *c, const kl_stmt *s, const kl_xnode *n)
{
    if (n->op == KL_X_REG)
        return check_reg(c, s, n);
    if (n->op == KL_X_LOAD)
        return check_load(c, s, n);
    if (n->op == KL_X_VAR && (n->imm >= c->k->x->nvars || !c->var[n->imm]))
        return bad(c, s, "a variable outside its loop:",
                   n->imm < c->k->x->nvars ? c->k->x->var_name[n->imm] : "unknown");
    if (n->op == KL_X_STAGE || n->op >= KL_X_END)
        return bad(c, s, "an expression that loops cannot have", NULL);
    return KL_OK;
}

/* All nodes of e but, where given, one that the statement treats itself. */
static kl_status check_expr(scope *c, const kl_stmt *s, kl_x e, kl_dtype dt, kl_x skip)
{
    if (e == KL_NONE || e >= c->k->x->count)
        return bad(c, s, "an expression is missing", NULL);
    if (dt != KL_DTYPE_NONE && c->k->x->nodes[e].dtype != dt)
        return bad(c, s, "an expression should be", kl_dtypes[dt].name);
    KL_TRY(kl_x_order(c->k->x, e, &c->order));
    for (uint32_t i = 0; i < c->order.count; i++)
        if (c->order.items[i] != skip)
            KL_TRY(check_node(c, s, &c->k->x->nodes[c->order.items[i]]));
    return KL_OK;
}

static kl_status check_target(scope *c, const kl_stmt *s)
{
    if (s->reg >= c->k->nregs || !c->reg[s->reg])
        return bad(c, s, "its register is outside its body", NULL);
    const kl_reg *g = &c->k->regs[s->reg];
    for (int i = 0; i < 3; i++)
        if ((i < g->ndims) != (s->index[i] != KL_NONE))
            return bad(c, s, "the indices of register", g->name);
    for (int i = 0; i < g->ndims; i++)
        KL_TRY(check_expr(c, s, s->index[i], KL_I64, KL_NONE));
    return KL_OK;
}

static kl_status check_list(scope *c, const kl_stmt *s);

/* Registers declared in a body end with it. */
static kl_status check_body(scope *c, const kl_stmt *body)
{
    if (++c->nest > 48)
        return kl_fail(KL_ERR_INTERNAL, "loops %s: nested deeper than 48", c->k->name);
    KL_TRY(check_list(c, body));
    for (const kl_stmt *s = body; s; s = s->next)
        if (s->kind == KL_S_REG)
            c->reg[s->reg] = false;
    c->nest--;
    return KL_OK;
}

static kl_status check_for(scope *c, const kl_stmt *s)
{
    int32_t lanes = c->lanes;
    bool group = c->group;
    KL_TRY(check_expr(c, s, s->extent, KL_I64, KL_NONE));
    if (s->var >= c->k->x->nvars || c->var[s->var])
        return bad(c, s, "its variable belongs to an enclosing loop", NULL);
    if (s->bind == KL_BIND_WORKER)
        return bad(c, s, "workers are phases, not loops", NULL);
    if ((s->bind == KL_BIND_LANE && (c->lanes || s->lanes < 1 || s->lanes > 1024)) ||
        (s->bind == KL_BIND_GROUP && (c->lanes || c->group)))
        return bad(c, s, "lanes in lanes, groups in groups, or no width", NULL);
    if (s->bind == KL_BIND_LANE)
        c->lanes = s->lanes;
    c->group |= s->bind == KL_BIND_GROUP;
    c->var[s->var] = true;
    KL_TRY(check_body(c, s->body));
    c->var[s->var] = false;
    c->lanes = lanes;
    c->group = group;
    return KL_OK;
}

static kl_status check_if(scope *c, const kl_stmt *s)
{
    KL_TRY(check_expr(c, s, s->value, KL_BOOL, KL_NONE));
    KL_TRY(check_body(c, s->body));
    return check_body(c, s->other);
}

static kl_status declare_reg(scope *c, const kl_stmt *s)
{
    if (s->reg >= c->k->nregs || c->reg[s->reg])
        return bad(c, s, "no such register, or declared twice", NULL);
    const kl_reg *g = &c->k->regs[s->reg];
    if (g->lanes < 1 || g->lanes > 1024 || g->ndims < 0 || g->ndims > 3)
        return bad(c, s, "the shape of register", g->name);
    for (int i = 0; i < g->ndims; i++)
        if (g->dims[i] < 1)
            return bad(c, s, "the shape of register", g->name);
    c->reg[s->reg] = true;
    return KL_OK;
}

static kl_status check_set(scope *c, const kl_stmt *s)
{
    KL_TRY(check_target(c, s));
    const kl_reg *g = &c->k->regs[s->reg];
    if (c->lanes && c->lanes != g->lanes)
        return bad(c, s, "lanes would race on register", g->name);
    return check_expr(c, s, s->value, g->dtype, KL_NONE);
}

static kl_status check_store(scope *c, const kl_stmt *s)
{
    if (s->operand >= c->k->noperands)
        return bad(c, s, "no such operand", NULL);
    const kl_operand *o = &c->k->operands[s->operand];
    if (o->role == KL_ROLE_IN)
        return bad(c, s, "to the input", o->name);
    if (o->role == KL_ROLE_TILE && o->scope == KL_SCOPE_LANE && !c->lanes)
        return bad(c, s, "outside lane loops to lane tile", o->name);
    KL_TRY(check_expr(c, s, s->at, KL_I64, KL_NONE));
    KL_TRY(check_expr(c, s, s->value, o->dtype, KL_NONE));
    return s->pred == KL_NONE ? KL_OK : check_expr(c, s, s->pred, KL_BOOL, KL_NONE);
}

static kl_status check_fold(scope *c, const kl_stmt *s)
{
    KL_TRY(check_target(c, s));
    if (s->value == KL_NONE || c->k->x->nodes[s->value].op != KL_X_REG)
        return bad(c, s, "its source is no register", NULL);
    const kl_xnode *n = &c->k->x->nodes[s->value];
    if (n->imm >= c->k->nregs || !c->reg[n->imm])
        return bad(c, s, "its source is outside its body", NULL);
    const kl_reg *to = &c->k->regs[s->reg], *from = &c->k->regs[n->imm];
    if (c->lanes || to->lanes != 1 || from->dtype != to->dtype || n->dtype != to->dtype)
        return bad(c, s, "inside a lane loop, or of another dtype: register", from->name);
    if (from->lanes & (from->lanes - 1) || from->ndims != n->nsrc)
        return bad(c, s, "lanes no power of two, or indices, of register", from->name);
    if (s->combine >= KL_OP_COUNT || !(kl_ops[s->combine].flags & KL_F_RED))
        return bad(c, s, "its row does not combine", NULL);
    return check_expr(c, s, s->value, to->dtype, s->value);
}

static kl_status check_turn(scope *c, const kl_stmt *s)
{
    if (s->reg >= c->k->nregs || !c->reg[s->reg])
        return bad(c, s, "its register is outside its body", NULL);
    const kl_reg *g = &c->k->regs[s->reg];
    if (c->lanes || !c->cpu)
        return bad(c, s, "inside a lane loop, or on a GPU: register", g->name);
    if (g->ndims != 1 || g->dims[0] != g->lanes || g->lanes & (g->lanes - 1))
        return bad(c, s, "not square, or no power of two: register", g->name);
    return KL_OK;
}

static kl_status check_check(scope *c, const kl_stmt *s)
{
    KL_TRY(check_expr(c, s, s->value, KL_BOOL, KL_NONE));
    return s->at == KL_NONE ? KL_OK : check_expr(c, s, s->at, KL_I64, KL_NONE);
}

static kl_status check_nothing(scope *c, const kl_stmt *s)
{
    (void)c, (void)s;
    return KL_OK;
}

static kl_status (*const checks[KL_S_COUNT])(scope *, const kl_stmt *) = {
    [KL_S_FOR] = check_for,     [KL_S_IF] = check_if,
    [KL_S_REG] = declare_reg,   [KL_S_SET] = check_set,
    [KL_S_STORE] = check_store, [KL_S_FOLD] = check_fold,
    [KL_S_TURN] = check_turn,   [KL_S_BARRIER] = check_nothing,
    [KL_S_CHECK] = check_check, [KL_S_NOTE] = check_nothing,
};

static kl_status check_list(scope *c, const kl_stmt *s)
{
    for (; s; s = s->next) {
        if (s->kind >= KL_S_COUNT)
            return kl_fail(KL_ERR_INTERNAL, "loops %s: statement %d", c->k->name,
                           (int)s->kind);
        KL_TRY(checks[s->kind](c, s));
    }
    return KL_OK;
}

static kl_status check_phase(scope *c, const kl_phase *ph)
{
    if (ph->var >= c->k->x->nvars || ph->workers == KL_DIM_BAD || ph->group < 1 ||
        ph->lane < 1)
        return kl_fail(KL_ERR_INTERNAL, "loops %s: a phase's grid", c->k->name);
    c->var[ph->var] = true;
    c->cpu = ph->group == 1 && ph->lane == 1;
    KL_TRY(check_body(c, ph->body));
    c->var[ph->var] = false;
    return KL_OK;
}

kl_status kl_loops_verify(const kl_kernel *k)
{
    scope c = {.k = k};
    size_t nvar = k->x->nvars + 1u, nreg = k->nregs + 1u;
    c.var = kl_alloc_zeroed(nvar);
    c.reg = kl_alloc_zeroed(nreg);
    kl_status s = KL_OK;
    if (!c.var || !c.reg)
        s = kl_fail(KL_ERR_OOM, "verifying kernel %s", k->name);
    for (uint32_t i = 0; i < k->noperands && s == KL_OK; i++)
        if (k->operands[i].count == KL_DIM_BAD || k->operands[i].inplace > k->noperands)
            s = kl_fail(KL_ERR_INTERNAL, "loops %s: operand %s", k->name,
                        k->operands[i].name);
    for (int p = 0; p < k->nphases && s == KL_OK; p++)
        s = check_phase(&c, &k->phases[p]);
    if (c.var)
        kl_free(c.var, nvar);
    if (c.reg)
        kl_free(c.reg, nreg);
    kl_xlist_free(&c.order);
    return s;
}
