/* lower_arg.c: argmax and argmin. An index is exact, so any order gives it, if ties go to
 * the first and the first NaN wins.
 *
 *   argmax i: N of load x[r*N+i]   ->   best, at: lanes 32, each in order
 *                                       for i: N lane 32 { if better: best = v, at = i }
 *                                       m = fold max best
 *                                       fold min of (at where best is m)
 *
 * Every lane keeps the first of its best. A lane without elements has the identity at 0:
 * it can be best only where all elements are worth as little, and then 0 is the first. */
#include "passes/passes.h"

/* Half as wide as an index where that holds every place: lanes are compared faster. */
kl_dtype kl_lower_arg_dtype(const kl_lower *l, const kl_stage *s)
{
    int64_t min, max;
    kl_dim_range(l->x->dims, l->k->axes[s->axes[s->nfree]].extent, &min, &max);
    return max <= INT32_MAX ? KL_I32 : KL_I64;
}

/* Does v, met after best, beat it? NaN beats all numbers, and nothing beats a NaN. */
static kl_x beats(kl_exprs *x, const kl_stage *s, kl_x v, kl_x best)
{
    kl_x win = s->kind == KL_STAGE_ARGMAX ? kl_x_lt(x, best, v) : kl_x_lt(x, v, best);
    if (!kl_is_float(x->nodes[v].dtype))
        return win;
    kl_x number = kl_x_op(x, KL_OP_eq, best, best, KL_NONE),
         nan = kl_x_op(x, KL_OP_ne, v, v, KL_NONE),
         first = kl_x_op(x, KL_OP_and, nan, number, KL_NONE);
    return kl_x_op(x, KL_OP_or, win, first, KL_NONE);
}

void kl_lower_better(kl_lower *l, kl_build *b, kl_stage *s, kl_x best, kl_x at, kl_x j)
{
    kl_exprs *x = l->x;
    uint16_t axis = s->axes[s->nfree];
    kl_dtype dt = x->nodes[best].dtype;
    int32_t lanes = l->k->regs[x->nodes[best].imm].lanes;
    l->axis[axis] = j;
    kl_lower_checks(l, b, s);
    kl_x v = kl_b_reg(b, "v", dt, lanes, 0, NULL),
         win = kl_b_reg(b, "win", KL_BOOL, lanes, 0, NULL);
    kl_b_set(b, v, kl_lower_expr(l, s->value));
    kl_b_set(b, win, beats(x, s, v, best));
    kl_b_set(b, best, kl_x_op(x, KL_OP_where, win, v, best));
    kl_b_set(b, at,
             kl_x_op(x, KL_OP_where, win, kl_x_cast(x, j, x->nodes[at].dtype), at));
}

/* The lowest place among the lanes that have the best value. */
static kl_x first_of_lanes(kl_lower *l, kl_build *b, kl_stage *s, kl_x best, kl_x at)
{
    kl_exprs *x = l->x;
    kl_dtype dt = x->nodes[best].dtype, at_dt = x->nodes[at].dtype;
    int32_t lanes = l->lanes;
    kl_x most = kl_b_reg(b, "most", dt, 1, 0, NULL);
    kl_b_fold(b, most, s->combine, best);
    uint32_t q = kl_x_newvar(x, "q", lanes);
    kl_build in = kl_b_for(b, q, kl_x_int(x, lanes), KL_BIND_LANE, lanes);
    kl_x has = kl_x_op(x, KL_OP_eq, best, most, KL_NONE);
    if (kl_is_float(dt)) {
        kl_x most_nan = kl_x_op(x, KL_OP_ne, most, most, KL_NONE),
             best_nan = kl_x_op(x, KL_OP_ne, best, best, KL_NONE),
             nan = kl_x_op(x, KL_OP_and, best_nan, most_nan, KL_NONE);
        has = kl_x_op(x, KL_OP_or, has, nan, KL_NONE);
    }
    kl_b_set(&in, at,
             kl_x_op(x, KL_OP_where, has, at,
                     kl_x_const(x, at_dt, kl_identity(KL_OP_min, at_dt))));
    kl_x r = kl_b_reg(b, "r", at_dt, 1, 0, NULL);
    kl_b_fold(b, r, KL_OP_min, at);
    return r;
}

kl_x kl_lower_arg(kl_lower *l, kl_build *b, kl_stage *s)
{
    kl_exprs *x = l->x;
    kl_dtype dt = x->nodes[s->value].dtype, at_dt = kl_lower_arg_dtype(l, s);
    kl_dim n = l->k->axes[s->axes[s->nfree]].extent;
    kl_x best = kl_b_reg(b, "best", dt, l->lanes, 0, NULL),
         at = kl_b_reg(b, "at", at_dt, l->lanes, 0, NULL);
    kl_b_set(b, best, kl_x_const(x, dt, kl_identity(s->combine, dt)));
    kl_b_set(b, at, kl_x_const(x, at_dt, (kl_scalar){.bits = 0}));
    uint32_t v = kl_x_newvar(x, "j", n);
    kl_bind bind = l->in_lanes ? KL_BIND_SERIAL : KL_BIND_LANE;
    kl_build in = kl_b_for(b, v, kl_x_dim(x, n), bind, l->in_lanes ? 1 : l->lanes);
    kl_lower_better(l, &in, s, best, at, kl_x_var(x, v));
    if (!l->in_lanes)
        at = first_of_lanes(l, b, s, best, at);
    return kl_x_cast(x, at, KL_I64);
}
