/* lower_reduce.c: one reduction at one outer point, in the canonical order.
 *
 * Blocks of 4096; in a block lane l of 32 takes elements l, l+32, ..; lanes fold by
 * halves; block results fold in adjacent pairs. A contraction is the same with fma: in
 * order along k, or over 16 lanes. Where the lanes of the order lie is the recipe's
 * business:
 *
 *   row     the 32 lanes are SIMD lanes            acc: f32 lanes 32
 *   column  SIMD lanes are 32 different columns    the order's lanes are an array of
 * vectors */
#include "passes/passes.h"

kl_x kl_lower_identity(kl_lower *l, const kl_stage *s)
{
    kl_scalar v = s->kind == KL_STAGE_CONTRACT ? (kl_scalar){.bits = 0}
                                               : kl_identity(s->combine, s->dtype);
    return kl_x_const(l->x, s->dtype, v);
}

kl_x kl_lower_accumulate(kl_lower *l, kl_stage *s, kl_x acc, kl_x at)
{
    l->axis[s->axes[s->nfree]] = at;
    kl_x v = kl_lower_expr(l, s->value);
    if (s->kind != KL_STAGE_CONTRACT)
        return kl_combine(l->x, s->combine, acc, v);
    kl_x r = kl_lower_expr(l, s->rhs);
    if (kl_is_float(s->dtype) && !KL_PLANTED(no_fma))
        return kl_x_op(l->x, KL_OP_fma, v, r, acc);
    return kl_combine(l->x, KL_OP_add, acc, kl_combine(l->x, KL_OP_mul, v, r));
}

/* The order's lanes are SIMD lanes. */
static kl_x block_in_lanes(kl_lower *l, kl_build *b, kl_stage *s, kl_x start, kl_x len,
                           int32_t lanes)
{
    kl_x acc = kl_b_reg(b, "acc", s->dtype, lanes, 0, NULL);
    kl_b_set(b, acc, kl_lower_identity(l, s));
    uint32_t v = kl_x_newvar(l->x, "j", KL_BLOCK);
    kl_build in = kl_b_for(b, v, len, KL_BIND_LANE, lanes);
    kl_x at = kl_x_add(l->x, start, kl_x_var(l->x, v)),
         next = kl_lower_accumulate(l, s, acc, at);
    kl_lower_checks(l, &in, s);
    kl_b_set(&in, acc, next);
    const kl_kept *kept = l->keep ? &l->keep[s - l->p->stages] : NULL;
    if (kept && kept->node != KL_NONE)
        kl_b_store(&in, kept->tile, at, kl_lower_expr(l, kept->node), KL_NONE);
    kl_x dst = kl_b_reg(b, "r", s->dtype, 1, 0, NULL);
    kl_b_fold(b, dst, s->combine, acc);
    return dst;
}

/* In order along k: one accumulator. */
static kl_x block_in_order(kl_lower *l, kl_build *b, kl_stage *s, kl_x start, kl_x len)
{
    kl_x acc = kl_b_reg(b, "acc", s->dtype, l->in_lanes ? l->lanes : 1, 0, NULL);
    kl_b_set(b, acc, kl_lower_identity(l, s));
    if (kl_lower_nest(l, b, s, acc, start, len))
        return acc;
    uint32_t v = kl_x_newvar(l->x, "k", KL_BLOCK);
    kl_build in = kl_b_for(b, v, len, KL_BIND_SERIAL, 1);
    kl_x next = kl_lower_accumulate(l, s, acc, kl_x_add(l->x, start, kl_x_var(l->x, v)));
    kl_lower_checks(l, &in, s);
    kl_b_set(&in, acc, next);
    return acc;
}

/* Rows j*lanes + first + u of `unroll` accumulators, u < unroll; guarded past len. */
static void walk_rows(kl_lower *l, kl_build *b, kl_stage *s, uint32_t areg, kl_x base,
                      kl_x row, kl_x len, int32_t unroll, bool guard)
{
    uint32_t u = kl_x_newvar(l->x, "u", unroll);
    kl_build in = kl_b_for(b, u, kl_x_int(l->x, unroll), KL_BIND_UNROLL, 1);
    kl_x ui = kl_x_var(l->x, u), at = kl_x_add(l->x, row, ui);
    if (guard)
        in = kl_b_if(&in, kl_x_lt(l->x, at, len));
    kl_x acc = kl_x_reg(l->x, areg, s->dtype, &ui, 1);
    kl_x next = kl_lower_accumulate(l, s, acc, kl_x_add(l->x, base, at));
    kl_lower_checks(l, &in, s);
    kl_b_set(&in, acc, next);
}

/* Lane i of the order takes in lane i + h, in a tile of them. */
static void fold_apart(kl_lower *l, kl_build *b, kl_stage *s, uint32_t tile, kl_x i,
                       int64_t h)
{
    kl_exprs *x = l->x;
    kl_x lane = kl_x_var(x, l->lane_var),
         lo = kl_x_add(x, kl_x_scale(x, i, l->lanes), lane);
    kl_x hi = kl_x_add(x, lo, kl_x_int(x, h * l->lanes));
    kl_x a = kl_x_load(x, tile, s->dtype, lo, KL_NONE, KL_NONE),
         c = kl_x_load(x, tile, s->dtype, hi, KL_NONE, KL_NONE);
    kl_b_store(b, tile, lo, kl_combine(x, s->combine, a, c), KL_NONE);
}

/* SIMD lanes are columns: the order's lanes live in a tile, `unroll` of them in registers
 * at a time while the rows stream by. */
static kl_x block_down_columns(kl_lower *l, kl_build *b, kl_stage *s, kl_x start,
                               kl_x len, int32_t lanes)
{
    kl_exprs *x = l->x;
    int32_t unroll = (int32_t)kl_param(l->k, l->part, "rows", 8);
    uint32_t tile =
        kl_lower_tile(l, "lanes", s->dtype, (kl_dim)lanes * l->lanes, KL_ROLE_TILE);
    kl_x width = kl_x_int(x, l->lanes), column = kl_x_var(x, l->lane_var),
         full = kl_x_divf(x, len, kl_x_int(x, lanes));
    uint32_t lg = kl_x_newvar(x, "q", lanes / unroll);
    kl_build in = kl_b_for(b, lg, kl_x_int(x, lanes / unroll), KL_BIND_SERIAL, 1);
    kl_x first = kl_x_scale(x, kl_x_var(x, lg), unroll);
    kl_x acc = kl_b_reg(&in, "acc", s->dtype, l->lanes, 1, &unroll);
    uint32_t areg = (uint32_t)x->nodes[acc].imm, u = kl_x_newvar(x, "u", unroll),
             j = kl_x_newvar(x, "j", KL_BLOCK / lanes);
    kl_build init = kl_b_for(&in, u, kl_x_int(x, unroll), KL_BIND_UNROLL, 1);
    kl_x ui = kl_x_var(x, u);
    kl_x none = kl_lower_identity(l, s);
    kl_b_set(&init, kl_x_reg(x, areg, s->dtype, &ui, 1), none);
    kl_build body = kl_b_for(&in, j, full, KL_BIND_SERIAL, 1);
    kl_x row = kl_x_add(x, kl_x_scale(x, kl_x_var(x, j), lanes), first);
    walk_rows(l, &body, s, areg, start, row, len, unroll, false);
    row = kl_x_add(x, kl_x_mul(x, full, kl_x_int(x, lanes)), first);
    walk_rows(l, &in, s, areg, start, row, len, unroll, true);
    uint32_t o = kl_x_newvar(x, "u", unroll);
    kl_build out = kl_b_for(&in, o, kl_x_int(x, unroll), KL_BIND_UNROLL, 1);
    kl_x oi = kl_x_var(x, o),
         slot = kl_x_add(x, kl_x_mul(x, kl_x_add(x, first, oi), width), column);
    kl_b_store(&out, tile, slot, kl_x_reg(x, areg, s->dtype, &oi, 1), KL_NONE);
    for (int32_t h = lanes / 2; h >= 1; h /= 2) {
        uint32_t i = kl_x_newvar(x, "h", h);
        kl_build half = kl_b_for(b, i, kl_x_int(x, h), KL_BIND_SERIAL, 1);
        fold_apart(l, &half, s, tile, kl_x_var(x, i), h);
    }
    kl_x dst = kl_b_reg(b, "r", s->dtype, l->lanes, 0, NULL);
    kl_b_set(b, dst, kl_x_load(x, tile, s->dtype, column, KL_NONE, KL_NONE));
    return dst;
}

/* The same of at most a lane's worth of rows: a lane of the order has one, or none. Those
 * with none hold what changes nothing, so that they need not fold. */
static kl_x few_down_columns(kl_lower *l, kl_build *b, kl_stage *s, kl_x start, int64_t n)
{
    kl_exprs *x = l->x;
    uint32_t i = kl_x_newvar(x, "i", n),
             tile = kl_lower_tile(l, "lanes", s->dtype, n * l->lanes, KL_ROLE_TILE);
    kl_x width = kl_x_int(x, l->lanes), column = kl_x_var(x, l->lane_var);
    kl_build in = kl_b_for(b, i, kl_x_int(x, n), KL_BIND_SERIAL, 1);
    kl_x at = kl_x_add(x, start, kl_x_var(x, i)),
         v = kl_lower_accumulate(l, s, kl_lower_identity(l, s), at);
    kl_lower_checks(l, &in, s);
    kl_b_store(&in, tile, kl_x_add(x, kl_x_mul(x, kl_x_var(x, i), width), column), v,
               KL_NONE);
    for (int64_t h = KL_LANES / 2; h >= 1; h /= 2) {
        if (n <= h)
            continue;
        uint32_t p = kl_x_newvar(x, "h", n - h);
        kl_build half = kl_b_for(b, p, kl_x_int(x, n - h), KL_BIND_SERIAL, 1);
        fold_apart(l, &half, s, tile, kl_x_var(x, p), h);
        n = h;
    }
    kl_x dst = kl_b_reg(b, "r", s->dtype, l->lanes, 0, NULL);
    kl_b_set(b, dst, kl_x_load(x, tile, s->dtype, column, KL_NONE, KL_NONE));
    return dst;
}

/* Does the stage check what differs along its axis? Else once is enough. */
static bool checks_move(const kl_lower *l, const kl_stage *s)
{
    for (int i = 0; i < s->nchecks; i++)
        if (kl_x_uses_var(l->x, s->checks[i].ok, s->axes[s->nfree]) ||
            kl_x_uses_var(l->x, s->checks[i].value, s->axes[s->nfree]))
            return true;
    return false;
}

/* Of few elements: lane q's and those that fold into it; KL_NONE: there are none. One
 * element alone is what it is; only a contraction's lanes may have several. */
static kl_x fold_few(kl_lower *l, kl_build *b, kl_stage *s, int q, int half, int lanes,
                     int64_t n)
{
    if (q >= n)
        return KL_NONE;
    if (half == lanes) {
        kl_x v = kl_lower_identity(l, s);
        for (int64_t at = q; at < n; at += lanes) {
            v = kl_lower_accumulate(l, s, v, kl_x_int(l->x, at));
            if (at == 0 || checks_move(l, s))
                kl_lower_checks(l, b, s);
        }
        return s->kind == KL_STAGE_CONTRACT ? v : kl_lower_expr(l, s->value);
    }
    kl_x a = fold_few(l, b, s, q, 2 * half, lanes, n);
    kl_x c = fold_few(l, b, s, q + half, 2 * half, lanes, n);
    if (c == KL_NONE && s->kind != KL_STAGE_CONTRACT)
        return a;
    if (c == KL_NONE) /* +0 in every lane, which turns a product rounded to -0 */
        c = kl_lower_identity(l, s);
    return kl_combine(l->x, s->combine, a, c);
}

/* Few enough that every element stands in the code by itself. */
static bool is_few(const kl_lower *l, kl_x start, kl_x len, int64_t most, int64_t *n)
{
    int64_t from;
    return kl_param(l->k, l->part, "few", 0) && kl_x_is_int(l->x, start, &from) &&
           from == 0 && kl_x_is_int(l->x, len, n) && *n > 0 && *n <= most;
}

kl_x kl_lower_block(kl_lower *l, kl_build *b, kl_stage *s, kl_x start, kl_x len)
{
    int64_t n;
    bool contract = s->kind == KL_STAGE_CONTRACT;
    if (contract && !s->dot)
        return block_in_order(l, b, s, start, len);
    int32_t lanes = contract ? KL_DOT_LANES : KL_LANES;
    if (l->in_lanes && is_few(l, start, len, contract ? 4 * lanes : lanes, &n)) {
        kl_x dst = kl_b_reg(b, "r", s->dtype, l->lanes, 0, NULL);
        kl_b_set(b, dst, fold_few(l, b, s, 0, 1, lanes, n));
        return dst;
    }
    if (l->in_lanes && !contract && kl_x_is_int(l->x, len, &n) && n > 0 && n <= KL_LANES)
        return few_down_columns(l, b, s, start, n);
    return l->in_lanes ? block_down_columns(l, b, s, start, len, lanes)
                       : block_in_lanes(l, b, s, start, len, lanes);
}

kl_build kl_lower_pairs(kl_lower *l, kl_build *b, kl_dim count, kl_x *lo, kl_x *hi)
{
    kl_exprs *x = l->x;
    int64_t min, max, levels = 0;
    kl_dim_range(x->dims, count, &min, &max);
    while (max > (int64_t)1 << levels)
        levels++;
    kl_x n = kl_x_dim(x, count), one = kl_x_int(x, 1), two = kl_x_int(x, 2);
    uint32_t lev = kl_x_newvar(x, "level", KL_MAX(levels, 1)),
             i = kl_x_newvar(x, "i", KL_MAX(max / 2, 1));
    kl_build in = kl_b_for(b, lev, kl_x_int(x, levels), KL_BIND_SERIAL, 1);
    kl_x span = kl_x_op(x, KL_OP_shl, one, kl_x_var(x, lev),
                        KL_NONE); /* results now 2^level apart */
    kl_x above = kl_x_op(x, KL_OP_sub, kl_x_add(x, n, span), one, KL_NONE);
    kl_x pairs =
        kl_x_op(x, KL_OP_shr, above, kl_x_add(x, kl_x_var(x, lev), one), KL_NONE);
    kl_build body = kl_b_for(&in, i, pairs, KL_BIND_SERIAL, 1);
    *lo = kl_x_mul(x, kl_x_mul(x, kl_x_var(x, i), two), span);
    *hi = kl_x_add(x, *lo, span);
    kl_x odd = KL_PLANTED(tree_odd) ? kl_x_add(x, *hi, one) : *hi;
    return kl_b_if(&body, kl_x_lt(x, odd, n));
}

/* count results at operand[first..] fold in adjacent pairs, an odd one passing on. */
kl_x kl_lower_tree(kl_lower *l, kl_build *b, kl_stage *s, uint32_t operand, kl_x first,
                   kl_dim count)
{
    kl_exprs *x = l->x;
    kl_x lo, hi, unit = kl_x_int(x, l->in_lanes ? l->lanes : 1);
    kl_build both = kl_lower_pairs(l, b, count, &lo, &hi);
    kl_x lane = l->in_lanes ? kl_x_var(x, l->lane_var) : kl_x_int(x, 0);
    kl_x at = kl_x_add(x, kl_x_add(x, first, kl_x_mul(x, lo, unit)), lane);
    kl_x other = kl_x_add(x, kl_x_add(x, first, kl_x_mul(x, hi, unit)), lane);
    kl_x more = kl_x_load(x, operand, s->dtype, other, KL_NONE, KL_NONE),
         here = kl_x_load(x, operand, s->dtype, at, KL_NONE, KL_NONE);
    kl_b_store(&both, operand, at, kl_combine(x, s->combine, here, more), KL_NONE);
    kl_x dst = kl_b_reg(b, "r", s->dtype, l->in_lanes ? l->lanes : 1, 0, NULL);
    kl_b_set(b, dst,
             kl_x_load(x, operand, s->dtype, kl_x_add(x, first, lane), KL_NONE, KL_NONE));
    return dst;
}

kl_x kl_lower_reduce(kl_lower *l, kl_build *b, kl_stage *s)
{
    kl_exprs *x = l->x;
    kl_dim n = l->k->axes[s->axes[s->nfree]].extent;
    int64_t min, max;
    kl_dim_range(x->dims, n, &min, &max);
    if (max == 0)
        return kl_x_const(x, s->dtype, kl_empty(s->combine, s->dtype));
    kl_x len = kl_x_dim(x, n), r;
    if (max <= KL_BLOCK) {
        r = kl_lower_block(l, b, s, kl_x_int(x, 0), len);
    } else {
        kl_dim blocks = kl_dim_ceildiv(x->dims, n, KL_BLOCK);
        int32_t stride = l->in_lanes ? l->lanes : 1;
        uint32_t tile = kl_lower_tile(l, "part", s->dtype,
                                      kl_dim_mul(x->dims, blocks, stride), KL_ROLE_TILE);
        uint32_t v = kl_x_newvar(x, "blk", blocks);
        kl_build in = kl_b_for(b, v, kl_x_dim(x, blocks), KL_BIND_SERIAL, 1);
        kl_x start = kl_x_scale(x, kl_x_var(x, v), KL_BLOCK);
        kl_x left = kl_x_op(x, KL_OP_sub, len, start, KL_NONE);
        kl_x part =
            kl_lower_block(l, &in, s, start,
                           kl_x_op(x, KL_OP_min, left, kl_x_int(x, KL_BLOCK), KL_NONE));
        kl_x lane = l->in_lanes ? kl_x_var(x, l->lane_var) : kl_x_int(x, 0);
        kl_b_store(&in, tile, kl_x_add(x, kl_x_scale(x, kl_x_var(x, v), stride), lane),
                   part, KL_NONE);
        r = kl_lower_tree(l, b, s, tile, kl_x_int(x, 0), blocks);
    }
    if (min > 0)
        return r;
    kl_x none = kl_x_op(x, KL_OP_eq, len, kl_x_int(x, 0), KL_NONE);
    return kl_x_op(x, KL_OP_where, none,
                   kl_x_const(x, s->dtype, kl_empty(s->combine, s->dtype)), r);
}
