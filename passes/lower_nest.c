/* lower_nest.c: a sum in order whose axis stands for several, as a loop of each.
 *
 *   for k: 6 {                                            for k: 3 { if lt(k, w) {
 *     let c = and(lt(floordiv(k, 2), w), lt(i, n))   ->     for k_1: 2 {
 *     set acc = fma(where(c, v, -0.0), 1.0, acc)              set acc = fma(where(lt(i,
 * n), }                                                            v, -0.0), 1.0, acc)
 * }}}
 *
 * Folds are such sums: of all taps each place has few, and the others add -0, which
 * changes no sum. What is the same for all lanes is asked where it is known, and a term
 * that no lane has is not met. */
#include "passes/passes.h"

enum { DEPTH = 8, TERMS = 64 };

typedef struct nest {
    kl_lower *l;
    kl_stage *s;
    kl_x axis;         /* the sum's */
    int depth;         /* loops, the outermost first */
    int64_t by[DEPTH]; /* how far a turn of each goes along the axis */
    uint32_t var[DEPTH];
    kl_x known[TERMS]; /* what is asked outside */
    int nknown;
    kl_x when[DEPTH + 1]; /* and where: in so many loops */
} nest;

/* A divisor of the axis in node e; 0: none. */
static int64_t divisor(const nest *t, kl_x e)
{
    const kl_exprs *x = t->l->x;
    const kl_xnode *n = &x->nodes[e], *in;
    int64_t d, c;
    if ((n->op != KL_OP_floordiv && n->op != KL_OP_mod) || n->dtype != KL_I64 ||
        !kl_x_is_int(x, n->src[1], &d) || d < 2)
        return 0;
    in = &x->nodes[n->src[0]];
    if (n->src[0] == t->axis)
        return d;
    return in->op == KL_OP_floordiv && in->src[0] == t->axis &&
                   kl_x_is_int(x, in->src[1], &c) && c < KL_BLOCK && d < KL_BLOCK
               ? c * d
               : 0;
}

/* Puts d among the loops, each a multiple of the next. */
static bool put(nest *t, int64_t d)
{
    int i = 0;
    while (i < t->depth && t->by[i] > d)
        i++;
    if (i < t->depth && t->by[i] == d)
        return true;
    bool fits = i > 0 && t->depth < DEPTH && t->by[i - 1] % d == 0 &&
                (i == t->depth || d % t->by[i] == 0);
    if (!fits)
        return false;
    memmove(t->by + i + 1, t->by + i, (size_t)(t->depth - i) * sizeof *t->by);
    t->by[i] = d;
    t->depth++;
    return true;
}

/* The loops: by[0] is the axis' extent n, until it is known what it falls into. */
static bool find_loops(nest *t, int64_t n)
{
    kl_xlist order = {0};
    bool ok = kl_x_order(t->l->x, t->s->value, &order) == KL_OK;
    t->by[0] = n;
    t->depth = 1;
    for (uint32_t i = 0; ok && i < order.count; i++) {
        int64_t d = divisor(t, order.items[i]);
        ok = d == 0 || d == n || put(t, d);
    }
    kl_xlist_free(&order);
    if (!ok || !put(t, 1))
        return false;
    for (int i = 0; i + 1 < t->depth; i++) {
        int64_t turns = t->by[i] / t->by[i + 1];
        t->by[i] = t->by[i + 1];
        t->var[i] = kl_x_newvar(t->l->x, "k", turns);
    }
    t->depth--;
    return true;
}

/* In how many loops a condition is known; -1: it is a lane's own. */
static int known_in(const nest *t, kl_x c)
{
    if (t->l->in_lanes && kl_x_uses_var(t->l->x, c, t->l->lane_var))
        return -1;
    int n = t->depth;
    while (n > 0 && !kl_x_uses_var(t->l->x, c, t->var[n - 1]))
        n--;
    return n;
}

/* Takes what is the same for all lanes out of condition c. */
static void ask_outside(nest *t, kl_x c)
{
    const kl_xnode *n = &t->l->x->nodes[c];
    if (n->op == KL_OP_and && n->dtype == KL_BOOL) {
        kl_x a = n->src[0], b = n->src[1];
        ask_outside(t, a);
        ask_outside(t, b);
        return;
    }
    int at = known_in(t, c);
    for (int i = 0; i < t->nknown; i++)
        if (t->known[i] == c)
            return;
    if (at < 0 || t->nknown == TERMS)
        return;
    t->known[t->nknown++] = c;
    t->when[at] = kl_x_and(t->l->x, t->when[at], c);
}

static kl_x holds(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const nest *t = ctx;
    for (int i = 0; i < t->nknown; i++)
        if (t->known[i] == node)
            return kl_x_bool(x, true);
    return kl_x_rebuild(x, node, src);
}

/* Is e a choice of something, or else of what changes no sum? */
static bool may_add_nothing(const nest *t, kl_x e)
{
    const kl_exprs *x = t->l->x;
    const kl_xnode *n = &x->nodes[e], *other = &x->nodes[n->src[2]];
    return n->op == KL_OP_where && other->op == KL_X_CONST &&
           other->imm == kl_identity(KL_OP_add, t->s->dtype).bits;
}

static bool is_one(const kl_exprs *x, kl_x e, kl_dtype dt)
{
    return x->nodes[e].op == KL_X_CONST &&
           x->nodes[e].imm == kl_scalar_from_int(dt, 1).bits;
}

bool kl_lower_nest(kl_lower *l, kl_build *b, kl_stage *s, kl_x acc, kl_x start, kl_x len)
{
    kl_exprs *x = l->x;
    uint16_t axis = s->axes[s->nfree];
    nest t = {.l = l, .s = s, .axis = kl_x_var(x, axis)};
    int64_t from, n;
    if (!l->k->target || l->k->target->kind != KL_TARGET_CPU || s->nchecks ||
        !is_one(x, s->rhs, s->dtype) || !may_add_nothing(&t, s->value) ||
        !kl_x_is_int(x, start, &from) || from != 0 || !kl_x_is_int(x, len, &n) || n < 2 ||
        !find_loops(&t, n))
        return false;
    for (int i = 0; i <= DEPTH; i++)
        t.when[i] = KL_NONE;
    l->axis[axis] = kl_x_int(x, 0);
    for (int i = 0; i < t.depth; i++)
        l->axis[axis] =
            kl_x_add(x, l->axis[axis], kl_x_scale(x, kl_x_var(x, t.var[i]), t.by[i]));
    kl_x v = kl_lower_expr(l, s->value);
    for (kl_x in = v; may_add_nothing(&t, in); in = x->nodes[in].src[1])
        ask_outside(&t, x->nodes[in].src[0]);
    v = kl_x_map(x, v, holds, &t);
    kl_build in, *at = b;
    for (int i = 0; i <= t.depth; i++) {
        if (t.when[i] != KL_NONE)
            in = kl_b_if(at, t.when[i]), at = &in;
        if (i == t.depth)
            break;
        in = kl_b_for(at, t.var[i], kl_x_int(x, n / t.by[i]), KL_BIND_SERIAL, 1);
        at = &in, n = t.by[i];
    }
    v = kl_is_float(s->dtype) ? kl_x_op(x, KL_OP_fma, v, s->rhs, acc)
                              : kl_combine(x, KL_OP_add, acc, v);
    kl_b_set(at, acc, v);
    return true;
}
