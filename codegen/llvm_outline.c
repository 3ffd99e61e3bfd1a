/* llvm_outline.c: a block of many registers as a function of its own.
 *
 * A contraction's register tile takes every vector register the machine has, and LLVM
 * keeps whatever else the phase knows (constants of the epilogue, addresses of the
 * packing) alive across it: one vector too many, and the innermost loop moves a dozen of
 * them around. So the statements from such a declaration to its last use become a
 * function that is told the loop variables and knows nothing else:
 *
 *   for ir { for jr { reg acc: f32[6] lanes 16        ->   for ir { for jr {
 *              ..; for k { .. }; store c = acc               call @k.1.acc(args, worker,
 *              store y = f(load c) }}                                      ir, jr)
 *                                                            store y = f(load c) }} */
#include "codegen/llvm_emit.h"

enum { MANY = 8 /* vectors */, MOST_VARS = 24 };

/* ---- what is outlined ---- */

static bool reads_reg(const kl_ll *e, const kl_stmt *s, const uint8_t *regs, bool in)
{
    kl_xlist order = {0};
    kl_x x[6];
    int n = kl_stmt_exprs(s, x);
    bool found = false;
    for (int i = 0; i < n && !found; i++) {
        order.count = 0;
        if (x[i] == KL_NONE || kl_x_order(e->x, x[i], &order) != KL_OK)
            continue;
        for (uint32_t j = 0; j < order.count && !found; j++) {
            const kl_xnode *a = &e->x->nodes[order.items[j]];
            found = a->op == KL_X_REG && (regs[a->imm] != 0) == in;
        }
    }
    kl_xlist_free(&order);
    return found;
}

/* Does a statement of s (and what follows it, if all) touch one of regs, or with in =
 * false one that is none of them? */
static bool touches(const kl_ll *e, const kl_stmt *s, const uint8_t *regs, bool in,
                    bool all)
{
    for (; s; s = all ? s->next : NULL) {
        bool sets = s->kind == KL_S_SET || s->kind == KL_S_FOLD || s->kind == KL_S_TURN;
        if ((sets && (regs[s->reg] != 0) == in) || reads_reg(e, s, regs, in) ||
            touches(e, s->body, regs, in, true) || touches(e, s->other, regs, in, true))
            return true;
    }
    return false;
}

static void declared(const kl_stmt *s, uint8_t *regs, bool all)
{
    for (; s; s = all ? s->next : NULL) {
        if (s->kind == KL_S_REG)
            regs[s->reg] = 1;
        declared(s->body, regs, true);
        declared(s->other, regs, true);
    }
}

/* A copy of the statements from the declaration s to the register's last use, if that is
 * worth a function: many vectors, carried round a loop, with nothing from outside.
 * *last: the last of them. */
static kl_stmt *block_of(kl_ll *e, const kl_stmt *s, const kl_stmt **last)
{
    uint8_t *mine = kl_arena_zeroed(e->a, e->k->nregs + 1, 1),
            *inside = kl_arena_zeroed(e->a, e->k->nregs + 1, 1);
    kl_stmt *first = NULL, **at = &first;
    bool loop = false;
    if (!mine || !inside)
        return NULL;
    mine[s->reg] = 1;
    *last = s;
    for (const kl_stmt *i = s->next; i; i = i->next)
        if (touches(e, i, mine, true, false))
            *last = i;
    for (const kl_stmt *i = s; i != (*last)->next; i = i->next) {
        declared(i, inside, false);
        loop = loop || (i->kind == KL_S_FOR && i->bind == KL_BIND_SERIAL);
    }
    for (const kl_stmt *i = s; loop && i != (*last)->next; i = i->next) {
        kl_stmt *copy = kl_arena_alloc(e->a, sizeof *copy);
        if (!copy || touches(e, i, inside, false, false))
            return NULL;
        *copy = *i;
        copy->next = NULL;
        *at = copy, at = &copy->next;
    }
    return first;
}

static bool is_many(kl_ll *e, const kl_stmt *s)
{
    const kl_reg *d = &e->k->regs[s->reg];
    int vectors = d->lanes > 1 ? d->lanes / kl_ll_vec_of(e, d->lanes) : 0;
    for (int i = 0; i < d->ndims; i++)
        vectors *= d->dims[i];
    return vectors >= MANY;
}

/* ---- the function ---- */

/* The variables of the loops that are open: what is no constant is handed over. */
static int open_vars(const kl_ll *e, uint32_t *vars)
{
    int n = 0;
    for (uint32_t i = 0; i < e->nvars; i++)
        if (e->var[i] && !LL.IsAConstantInt(e->var[i])) {
            if (n == MOST_VARS)
                return -1;
            vars[n++] = i;
        }
    return n;
}

/* A state that knows nothing but its parameters. */
static bool fresh(kl_ll *e, const kl_ll *outer, const uint32_t *vars, int n)
{
    const kl_kernel *k = e->k;
    e->head = kl_arena_zeroed(e->a, e->nhead + 1, sizeof *e->head);
    e->regs = kl_arena_zeroed(e->a, k->nregs + 1, sizeof *e->regs);
    e->ops = kl_arena_zeroed(e->a, k->noperands + 1, sizeof *e->ops);
    e->var = kl_arena_zeroed(e->a, e->nvars + 1, sizeof *e->var);
    e->var_level = kl_arena_zeroed(e->a, e->nvars + 1, sizeof *e->var_level);
    e->dim_values = kl_arena_zeroed(e->a, (size_t)e->ndims + 1, sizeof *e->dim_values);
    if (kl_arena_failed(e->a))
        return false;
    kl_ll_forget(e);
    for (uint32_t i = 0; i < e->nvars; i++)
        if (outer->var[i] && LL.IsAConstantInt(outer->var[i]))
            e->var[i] = outer->var[i];
    for (int i = 0; i < n; i++)
        e->var[vars[i]] =
            kl_ll_name(LL.GetParam(e->fn, (unsigned)i + 2), e->x->var_name[vars[i]]);
    return true;
}

static LLVMValueRef declare(kl_ll *e, const kl_stmt *s, int n)
{
    LLVMTypeRef types[MOST_VARS + 2];
    char name[200];
    size_t len;
    const char *phase = LL.GetValueName2(e->fn, &len);
    snprintf(name, sizeof name, "%s.%s", phase, e->k->regs[s->reg].name);
    types[0] = LL.PointerTypeInContext(e->c, 0);
    for (int i = 0; i < n + 1; i++)
        types[i + 1] = kl_ll_int(e, 64, 1);
    LLVMTypeRef type =
        LL.FunctionType(LL.VoidTypeInContext(e->c), types, (unsigned)n + 2, 0);
    LLVMValueRef fn = LL.AddFunction(e->u->mod, name, type);
    LL.SetLinkage(fn, LLVMInternalLinkage);
    return fn;
}

static void define(kl_ll *e, LLVMValueRef fn, const kl_stmt *block, const uint32_t *vars,
                   int n)
{
    kl_ll *outer = kl_arena_alloc(e->a, sizeof *outer);
    if (!outer) {
        kl_ll_fail(e, KL_ERR_OOM, "no memory for a function");
        return;
    }
    *outer = *e;
    e->fn = fn;
    if (!fresh(e, outer, vars, n))
        kl_ll_fail(e, KL_ERR_OOM, "no memory for a function");
    if (e->status == KL_OK) {
        e->args = kl_ll_name(LL.GetParam(fn, 0), "args");
        e->worker = kl_ll_name(LL.GetParam(fn, 1), "worker");
        kl_ll_set_block(e, kl_ll_block(e, "entry"));
        kl_llvm_lines_enter(e->u, fn, block->line);
        kl_ll_push(e, NULL, false, kl_ll_sets(e, block));
        kl_ll_body(e, block);
        kl_ll_here(e);
        LL.BuildRetVoid(e->b);
        kl_ll_pop(e);
        kl_llvm_lines_leave(e->u);
    }
    outer->status = e->status;
    outer->stamp = e->stamp;
    memcpy(outer->reg_stamp, e->reg_stamp, sizeof e->reg_stamp);
    memcpy(outer->mem_stamp, e->mem_stamp, sizeof e->mem_stamp);
    outer->fence = outer->fence || e->fence;
    *e = *outer;
    kl_ll_here(e);
}

const kl_stmt *kl_ll_outline(kl_ll *e, const kl_stmt *s)
{
    uint32_t vars[MOST_VARS];
    LLVMValueRef args[MOST_VARS + 2] = {e->args, e->worker};
    const kl_stmt *last;
    if (e->lane.on || e->scalar_lanes || e->bounds || e->outlined || !is_many(e, s))
        return NULL;
    int n = open_vars(e, vars);
    kl_stmt *block = n < 0 ? NULL : block_of(e, s, &last);
    if (!block)
        return NULL;
    e->outlined = true;
    LLVMValueRef fn = declare(e, s, n);
    define(e, fn, block, vars, n);
    e->outlined = false;
    for (int i = 0; i < n; i++)
        args[i + 2] = e->var[vars[i]];
    kl_ll_here(e);
    LL.BuildCall2(e->b, LL.GlobalGetValueType(fn), fn, args, (unsigned)n + 2, "");
    kl_ll_touch(e, kl_ll_sets(e, block));
    return last;
}
