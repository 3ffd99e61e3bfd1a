/* lower_serial.c: stages that walk an axis of their own in order: prefix, scatter, sort.
 *
 *   prefix.add i: n of v   ->   acc = identity; for i serial { acc = acc + v; store y[i]
 * = acc } */
#include "passes/passes.h"

kl_build kl_lower_walk(kl_lower *l, kl_build *b, const kl_stage *s, int from, int to)
{
    kl_build in = *b;
    for (int i = from; i < to; i++) {
        kl_dim extent = l->k->axes[s->axes[i]].extent;
        uint32_t v = kl_x_newvar(l->x, l->k->axes[s->axes[i]].name, extent);
        in = kl_b_for(i == from ? b : &in, v, kl_x_dim(l->x, extent), KL_BIND_SERIAL, 1);
        l->axis[s->axes[i]] = kl_x_var(l->x, v);
    }
    return in;
}

kl_status kl_lower_prefix(kl_lower *l, kl_build *b, kl_stage *s)
{
    kl_exprs *x = l->x;
    kl_build mid = kl_lower_walk(l, b, s, 0, s->nfree - 1), *at = s->nfree > 1 ? &mid : b;
    kl_x acc = kl_b_reg(at, "acc", s->dtype, l->in_lanes ? l->lanes : 1, 0, NULL);
    kl_b_set(at, acc, kl_x_const(x, s->dtype, kl_identity(s->combine, s->dtype)));
    kl_build in = kl_lower_walk(l, at, s, s->nfree - 1, s->nfree);
    kl_lower_checks(l, &in, s);
    kl_b_set(&in, acc, kl_combine(x, s->combine, acc, kl_lower_expr(l, s->value)));
    kl_b_store(&in, s->stores[0].operand, kl_lower_expr(l, s->stores[0].index), acc,
               KL_NONE);
    return KL_OK;
}

void kl_lower_scatter_one(kl_lower *l, kl_build *in, kl_stage *s)
{
    kl_exprs *x = l->x;
    const kl_store *t = &s->stores[0];
    kl_lower_checks(l, in, s);
    kl_x at = kl_lower_expr(l, t->index), ok = kl_lower_expr(l, t->pred),
         v = kl_lower_expr(l, s->value);
    if (s->combine != KL_SET)
        v = kl_combine(x, s->combine, kl_x_load(x, t->operand, s->dtype, at, ok, KL_NONE),
                       v);
    kl_b_store(in, t->operand, at, v, ok);
}

kl_status kl_lower_scatter(kl_lower *l, kl_build *b, kl_stage *s)
{
    if (!l->in_lanes && !KL_PLANTED(copy_barrier)) /* the copy was spread over lanes */
        kl_b_barrier(b);
    kl_build own = kl_lower_walk(l, b, s, 0, s->nfree);
    kl_lower_scatter_one(l, s->nfree ? &own : b, s);
    return KL_OK;
}

/* ---- sort: runs of 1, 2, 4, .. merge by rank ---- */

/* An element's place in the merged
 * run is its place in its own half plus how many of the other half go before it, found by
 * bisection: no loop depends on data, every element is independent. */

typedef struct sorter {
    kl_lower *l;
    kl_exprs *x;
    kl_stage *s;
    uint32_t keys, perm, keys2, perm2; /* operands; the second pair is working space, */
    bool apart;                        /* and so is the first where not all are kept */
    kl_dim n;
    kl_dtype dt;
} sorter;

/* Where element i of this outer point lies in keys and perm. */
static kl_x place_of(sorter *t, kl_x i)
{
    if (t->apart)
        return i;
    t->l->axis[t->s->axes[t->s->nfree - 1]] = i;
    return kl_lower_expr(t->l, t->s->stores[0].index);
}

/* Does key a stand before key b? NaN is larger than every number. */
static kl_x before(sorter *t, kl_x a, kl_x b)
{
    kl_exprs *x = t->x;
    if (t->s->descending) {
        kl_x swap = a;
        a = b, b = swap;
    }
    kl_x less = kl_x_lt(x, a, b);
    if (!kl_is_float(t->dt))
        return less;
    kl_x an = kl_x_op(x, KL_OP_eq, a, a, KL_NONE),
         bn = kl_x_op(x, KL_OP_ne, b, b, KL_NONE);
    return kl_x_op(x, KL_OP_or, less, kl_x_op(x, KL_OP_and, an, bn, KL_NONE), KL_NONE);
}

static kl_x lane_reg(sorter *t, kl_build *b, const char *name, kl_dtype dt, kl_x value)
{
    kl_x r = kl_b_reg(b, name, dt, t->l->lanes, 0, NULL);
    kl_b_set(b, r, value);
    return r;
}

static kl_build each(sorter *t, kl_build *b, kl_x *i)
{
    uint32_t v = kl_x_newvar(t->x, "i", t->n);
    *i = kl_x_var(t->x, v);
    return kl_b_for(b, v, kl_x_dim(t->x, t->n), KL_BIND_LANE, t->l->lanes);
}

/* How many of keys[lo..hi) go before `key`: those strictly before it for an element of
 * the left half, also its equals for one of the right half (stable). */
static kl_x bisect(sorter *t, kl_build *b, kl_x left, kl_x key, kl_x from, kl_x to,
                   kl_x steps)
{
    kl_exprs *x = t->x;
    kl_x lo = lane_reg(t, b, "lo", KL_I64, from), hi = lane_reg(t, b, "hi", KL_I64, to);
    uint32_t v = kl_x_newvar(x, "step", 64);
    kl_build in = kl_b_for(b, v, steps, KL_BIND_SERIAL, 1);
    kl_x open = lane_reg(t, &in, "open", KL_BOOL, kl_x_lt(x, lo, hi));
    kl_x one = kl_x_int(x, 1), twice = kl_x_add(x, lo, hi);
    kl_x mid =
        lane_reg(t, &in, "mid", KL_I64, kl_x_op(x, KL_OP_shr, twice, one, KL_NONE));
    kl_x there = kl_x_load(x, t->keys, t->dt, place_of(t, mid), open, KL_NONE);
    kl_x probe = lane_reg(t, &in, "probe", t->dt, there);
    kl_x not_after = kl_x_op(x, KL_OP_not, before(t, key, probe), KL_NONE, KL_NONE);
    kl_x go = kl_x_op(x, KL_OP_where, left, before(t, probe, key), not_after);
    kl_x right =
        lane_reg(t, &in, "right", KL_BOOL, kl_x_op(x, KL_OP_and, open, go, KL_NONE));
    kl_x stay = kl_x_op(x, KL_OP_and, open,
                        kl_x_op(x, KL_OP_not, right, KL_NONE, KL_NONE), KL_NONE);
    kl_b_set(&in, hi, kl_x_op(x, KL_OP_where, stay, mid, hi));
    kl_b_set(&in, lo,
             kl_x_op(x, KL_OP_where, right, kl_x_add(x, mid, kl_x_int(x, 1)), lo));
    return kl_x_op(x, KL_OP_sub, lo, from, KL_NONE);
}

static void merge_runs(sorter *t, kl_build *b, kl_x level)
{
    kl_exprs *x = t->x;
    kl_x i, n = kl_x_dim(x, t->n), one = kl_x_int(x, 1);
    kl_x width = kl_x_op(x, KL_OP_shl, one, level, KL_NONE),
         steps = kl_x_add(x, level, one);
    kl_build in = each(t, b, &i);
    kl_x run =
        kl_x_op(x, KL_OP_shl, kl_x_op(x, KL_OP_shr, i, steps, KL_NONE), steps, KL_NONE);
    kl_x base = lane_reg(t, &in, "base", KL_I64, run);
    kl_x middle = kl_x_op(x, KL_OP_min, kl_x_add(x, base, width), n, KL_NONE);
    kl_x mid = lane_reg(t, &in, "half", KL_I64, middle);
    kl_x end =
        kl_x_op(x, KL_OP_min, kl_x_add(x, kl_x_add(x, base, width), width), n, KL_NONE);
    kl_x left = lane_reg(t, &in, "left", KL_BOOL, kl_x_lt(x, i, mid));
    kl_x key = lane_reg(t, &in, "key", t->dt,
                        kl_x_load(x, t->keys, t->dt, place_of(t, i), KL_NONE, KL_NONE));
    kl_x from =
        lane_reg(t, &in, "from", KL_I64, kl_x_op(x, KL_OP_where, left, mid, base));
    kl_x to = lane_reg(t, &in, "to", KL_I64, kl_x_op(x, KL_OP_where, left, end, mid));
    kl_x rank = bisect(t, &in, left, key, from, to, steps);
    kl_x own =
        kl_x_op(x, KL_OP_sub, i, kl_x_op(x, KL_OP_where, left, base, mid), KL_NONE);
    kl_x dest =
        lane_reg(t, &in, "dest", KL_I64, kl_x_add(x, kl_x_add(x, base, own), rank));
    kl_b_store(&in, t->keys2, dest, key, KL_NONE);
    kl_b_store(&in, t->perm2, dest,
               kl_x_load(x, t->perm, KL_I64, place_of(t, i), KL_NONE, KL_NONE), KL_NONE);
    if (!KL_PLANTED(sort_merged))
        kl_b_barrier(b);
    kl_build back = each(t, b, &i);
    kl_x next_key = kl_x_load(x, t->keys2, t->dt, i, KL_NONE, KL_NONE);
    kl_b_store(&back, t->keys, place_of(t, i), next_key, KL_NONE);
    kl_x next = kl_x_load(x, t->perm2, KL_I64, i, KL_NONE, KL_NONE);
    kl_b_store(&back, t->perm, place_of(t, i), next, KL_NONE);
    if (!KL_PLANTED(sort_back))
        kl_b_barrier(b);
}

/* The first that are kept, to where they belong. */
static void keep_first(sorter *t, kl_build *b)
{
    kl_exprs *x = t->x;
    uint32_t v = kl_x_newvar(x, "i", t->s->first);
    kl_x i = kl_x_var(x, v), first = kl_x_int(x, t->s->first);
    kl_build in = kl_b_for(b, v, first, KL_BIND_LANE, t->l->lanes);
    t->l->axis[t->s->axes[t->s->nfree - 1]] = i;
    kl_x at = kl_lower_expr(t->l, t->s->stores[0].index);
    kl_x key = kl_x_load(x, t->keys, t->dt, i, KL_NONE, KL_NONE);
    kl_b_store(&in, t->s->stores[0].operand, at, key, KL_NONE);
    kl_x from = kl_x_load(x, t->perm, KL_I64, i, KL_NONE, KL_NONE);
    kl_b_store(&in, t->s->stores[1].operand, at, from, KL_NONE);
}

kl_status kl_lower_sort(kl_lower *l, kl_build *b, kl_stage *s)
{
    kl_exprs *x = l->x;
    if (l->k->target && l->k->target->kind == KL_TARGET_CPU)
        return kl_lower_sort_serial(l, b, s);
    kl_dim n = l->k->axes[s->axes[s->nfree - 1]].extent;
    int64_t min, max, levels = 0;
    kl_dim_range(x->dims, n, &min, &max);
    while (max > (int64_t)1 << levels)
        levels++;
    sorter t = {.l = l,
                .x = x,
                .s = s,
                .n = n,
                .dt = s->dtype,
                .apart = s->first != 0,
                .keys = s->first ? kl_lower_tile(l, "all", s->dtype, n, KL_ROLE_TILE)
                                 : s->stores[0].operand,
                .perm = s->first ? kl_lower_tile(l, "from", KL_I64, n, KL_ROLE_TILE)
                                 : s->stores[1].operand,
                .keys2 = kl_lower_tile(l, "keys", s->dtype, n, KL_ROLE_TILE),
                .perm2 = kl_lower_tile(l, "perm", KL_I64, n, KL_ROLE_TILE)};
    kl_x i;
    kl_build in = each(&t, b, &i);
    kl_x at = place_of(&t, i);
    l->axis[s->axes[s->nfree - 1]] = i;
    kl_lower_checks(l, &in, s);
    kl_b_store(&in, t.keys, at, kl_lower_expr(l, s->value), KL_NONE);
    kl_b_store(&in, t.perm, at, i, KL_NONE);
    if (!KL_PLANTED(sort_filled))
        kl_b_barrier(b);
    uint32_t v = kl_x_newvar(x, "level", KL_MAX(levels, 1));
    in = kl_b_for(b, v, kl_x_int(x, levels), KL_BIND_SERIAL, 1);
    merge_runs(&t, &in, kl_x_var(x, v));
    if (t.apart)
        keep_first(&t, b);
    return KL_OK;
}
