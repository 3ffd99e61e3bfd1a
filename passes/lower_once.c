/* lower_once.c: a loop of one turn is no loop, and its variable is 0.
 *
 *   phase w: 1 {                                phase w: 1 {
 *     for p: 1 serial 1 {                  ->     for r: 16 serial 1 {
 *       for r: 16 serial 1 {                        store pb[r*48+j] = load x[r*40+j]
 *         store pb[p*768+r*48+j] =                }
 *             load x[w*48+p*48+r*40+j]          }
 *
 * Recipes write the loops of any size; what a size makes of them is seen here, once. Here
 * too: a variable that a recipe has put for an expression becomes that expression. */
#include "passes/passes.h"

static void subst(kl_exprs *x, kl_stmt *s, kl_x_subst_fn fn, void *ctx)
{
    kl_x *e[] = {&s->extent,   &s->value,    &s->at,      &s->pred,
                 &s->index[0], &s->index[1], &s->index[2]};
    for (size_t i = 0; i < KL_COUNT(e); i++)
        if (*e[i] != KL_NONE)
            *e[i] = kl_x_subst(x, *e[i], fn, ctx);
}

void kl_lower_named(kl_exprs *x, kl_stmt *s, uint32_t var, kl_x value)
{
    for (; s; s = s->next) {
        subst(x, s, kl_x_value_of, &(kl_x_named){var, value});
        kl_lower_named(x, s->body, var, value);
        kl_lower_named(x, s->other, var, value);
    }
}

typedef struct once {
    kl_exprs *x;
    bool *is;  /* per variable: never more than 0 */
    bool some; /* of the last look */
} once;

static bool in_turn(const kl_stmt *s)
{
    return s->kind == KL_S_FOR &&
           (s->bind == KL_BIND_SERIAL || s->bind == KL_BIND_UNROLL);
}

static void look(once *o, const kl_stmt *s)
{
    int64_t n;
    for (; s; s = s->next) {
        if (in_turn(s) && kl_x_is_int(o->x, s->extent, &n) && n == 1)
            o->is[s->var] = o->some = true;
        look(o, s->body);
        look(o, s->other);
    }
}

static kl_x zero(void *ctx, kl_exprs *x, kl_x leaf)
{
    const once *o = ctx;
    const kl_xnode *n = &x->nodes[leaf];
    return n->op == KL_X_VAR && o->is[n->imm] ? kl_x_int(x, 0) : KL_NONE;
}

/* The statements from *at on without such loops, their bodies in their place. */
static void splice(once *o, kl_stmt **at)
{
    for (kl_stmt *s; (s = *at);) {
        if (in_turn(s) && o->is[s->var]) {
            kl_stmt **end = &s->body;
            while (*end)
                end = &(*end)->next;
            *end = s->next;
            *at = s->body;
            continue;
        }
        subst(o->x, s, zero, o);
        splice(o, &s->body);
        splice(o, &s->other);
        at = &s->next;
    }
}

kl_status kl_lower_once(kl_kernel *k)
{
    once o = {.x = k->x};
    o.is = kl_arena_zeroed(k->arena, (size_t)k->x->nvars + 1, sizeof *o.is);
    if (!o.is)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    for (int i = 0; i < k->nphases; i++) {
        int64_t one;
        o.is[k->phases[i].var] =
            kl_dim_is_const(k->x->dims, k->phases[i].workers, &one) && one == 1;
        o.some = o.some || o.is[k->phases[i].var];
        look(&o, k->phases[i].body);
    }
    while (o.some) { /* an extent may be 1 only now */
        o.some = false;
        for (int i = 0; i < k->nphases; i++)
            splice(&o, &k->phases[i].body);
        for (int i = 0; i < k->nphases; i++)
            look(&o, k->phases[i].body);
    }
    return kl_arena_failed(k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}
