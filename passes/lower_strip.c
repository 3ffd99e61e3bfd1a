/* lower_strip.c: reductions down long columns, by strips that suit the caches.
 *
 * A worker owns a strip of some hundred columns. Every statement of its stages is a lane
 * loop along the strip, inside the walk down the rows, so memory is read in runs of some
 * KiB; what a column carries from row to row lies in tiles of the strip's width, which
 * the first caches hold:
 *
 *   s: f32 = reduce.add k: K of load x[k*N+n]   outer n: N   class strip, param strip
 * 1024
 *
 *   phase w: N/1024                                    the order's lane q of column n:
 *     for j: K/128, q: 32, n: 1024 lane 16               acc[q*1024+n], taking in
 *       v = acc[q*1024+n]                                x[q], x[q+32], x[q+64], ..;
 *       for u: 4 unroll: v += x[(j*128+u*32+q)*N + ..]   four rows at a time, so that
 *       acc[q*1024+n] = v                                acc is read and written less
 *
 * Where a few rows of the other operand are multiplied with the same columns ("points"),
 * a worker has all of them: what it reads of a column is read once.
 *
 * With few columns and many rows ("split") the blocks of 4096 rows are workers too, and a
 * second phase folds them. The order of additions is that of lower_reduce.c. */
#include "passes/passes.h"

/* Where a stage's values lie, one a column: operand[at + column]; the next block's
 * pitch further on. */
typedef struct place {
    uint32_t operand; /* KL_NONE: no stage of that kind */
    kl_x at, pitch;
    kl_dim count; /* of the reduced axis */
    kl_x next;    /* with several points: how far on the next one's lies */
} place;

typedef struct strip {
    kl_lower *l;
    kl_exprs *x;
    uint16_t axis;         /* the columns' */
    int64_t width, points; /* how many outer points a worker has, mostly one */
    bool run;              /* rows of all columns are one run of memory */
    kl_x first, len;       /* this worker's columns */
    place *value;          /* per stage */
} strip;

/* ---- the lane loop along the strip ---- */

static kl_x at_column(strip *t, const place *p, kl_dtype dt)
{
    kl_x at = kl_x_add(t->x, p->at, kl_x_var(t->x, t->l->lane_var));
    return kl_x_load(t->x, p->operand, dt, at, KL_NONE, KL_NONE);
}

/* An empty reduction, where the extent is a symbol that may be 0, is worth something
 * else than the order's start. */
static kl_x stage_value(strip *t, int i)
{
    kl_exprs *x = t->x;
    const kl_stage *s = &t->l->p->stages[i];
    int64_t min, max;
    bool arg = s->kind == KL_STAGE_ARGMAX || s->kind == KL_STAGE_ARGMIN;
    kl_x v = at_column(t, &t->value[i], arg ? kl_lower_arg_dtype(t->l, s) : s->dtype);
    if (arg)
        return kl_x_cast(x, v, KL_I64);
    kl_dim_range(x->dims, t->value[i].count, &min, &max);
    if (min > 0)
        return v;
    kl_x zero = kl_x_int(x, 0), count = kl_x_dim(x, t->value[i].count),
         none = kl_x_op(x, KL_OP_eq, count, zero, KL_NONE);
    return kl_x_op(x, KL_OP_where, none,
                   kl_x_const(x, s->dtype, kl_empty(s->combine, s->dtype)), v);
}

/* Open a lane loop along the strip: the column's axis and all stages so far mean its. */
static kl_build along(strip *t, kl_build *b)
{
    kl_lower *l = t->l;
    l->lane_var = kl_x_newvar(t->x, l->k->axes[t->axis].name, t->width);
    l->in_lanes = true;
    l->axis[t->axis] = kl_x_add(t->x, t->first, kl_x_var(t->x, l->lane_var));
    kl_build in = kl_b_for(b, l->lane_var, t->len, KL_BIND_LANE, l->lanes);
    for (int i = 0; i < l->p->nstages; i++)
        if (t->value[i].operand != KL_NONE)
            l->stage[i] = stage_value(t, i);
    return in;
}

static uint32_t tile(strip *t, const char *name, kl_dtype dt, kl_dim rows)
{
    return kl_lower_tile(t->l, name, dt, kl_dim_mul(t->x->dims, rows, t->width),
                         KL_ROLE_TILE);
}

static kl_build rows(strip *t, kl_build *b, const char *name, int64_t most, kl_x count,
                     kl_x *row)
{
    uint32_t v = kl_x_newvar(t->x, name, KL_MAX(most, 1));
    *row = kl_x_var(t->x, v);
    return kl_b_for(b, v, count, KL_BIND_SERIAL, 1);
}

static void store_column(strip *t, kl_build *b, const place *p, kl_x value)
{
    kl_b_store(b, p->operand, kl_x_add(t->x, p->at, kl_x_var(t->x, t->l->lane_var)),
               value, KL_NONE);
}

/* ---- a block of 4096 rows ---- */

/* Open a loop over all lanes of the order of all columns as one run, q the order's lane:
 * in memory the rows of few columns lie one after the other as acc does. */
static kl_build along_run(strip *t, kl_build *b, int64_t lanes, kl_x *q)
{
    kl_lower *l = t->l;
    kl_x width = kl_x_int(t->x, t->width);
    l->lane_var = kl_x_newvar(t->x, "i", lanes * t->width);
    l->in_lanes = true;
    kl_x i = kl_x_var(t->x, l->lane_var);
    *q = kl_x_divf(t->x, i, width);
    l->axis[t->axis] = kl_x_mod(t->x, i, width);
    return kl_b_for(b, l->lane_var, kl_x_int(t->x, lanes * t->width), KL_BIND_LANE,
                    l->lanes);
}

/* A lane loop over every lane q of the order of every column; acc is its place. */
static kl_build every_lane(strip *t, kl_build *b, int64_t lanes, place *acc, kl_x *q)
{
    if (t->run) {
        acc->at = kl_x_int(t->x, 0);
        return along_run(t, b, lanes, q);
    }
    kl_build in = rows(t, b, "q", lanes, kl_x_int(t->x, lanes), q);
    acc->at = kl_x_scale(t->x, *q, t->width * t->points);
    return along(t, &in);
}

/* The place of point m. */
static place of_point(strip *t, const place *p, int64_t m)
{
    place at = *p;
    if (m)
        at.at = kl_x_add(t->x, p->at, kl_x_mul(t->x, kl_x_int(t->x, m), p->next));
    return at;
}

static void set_point(strip *t, int64_t m)
{
    if (t->points > 1)
        kl_outer_point(t->l, kl_x_int(t->x, m), t->l->p->nouter - 1);
}

/* Rows at, at + step, .. (each of them) into the column's acc, inside a lane loop: every
 * point's, one register each. */
static void take_rows(strip *t, kl_build *in, kl_stage *s, const place *acc, kl_x at,
                      int64_t step, int64_t each)
{
    kl_exprs *x = t->x;
    kl_x v[KL_POINTS_MOST];
    for (int64_t m = 0; m < t->points; m++) {
        place mine = of_point(t, acc, m);
        v[m] = kl_b_reg(in, "v", s->dtype, t->l->lanes, 0, NULL);
        kl_b_set(in, v[m], at_column(t, &mine, s->dtype));
    }
    uint32_t u = kl_x_newvar(x, "u", each);
    kl_build body = kl_b_for(in, u, kl_x_int(x, each), KL_BIND_UNROLL, 1);
    kl_x row = kl_x_add(x, at, kl_x_scale(x, kl_x_var(x, u), step));
    for (int64_t m = 0; m < t->points; m++) {
        set_point(t, m);
        kl_x next = kl_lower_accumulate(t->l, s, v[m], row);
        kl_lower_checks(t->l, &body, s);
        kl_b_set(&body, v[m], next);
    }
    for (int64_t m = 0; m < t->points; m++) {
        place mine = of_point(t, acc, m);
        store_column(t, in, &mine, v[m]);
    }
}

/* Lane q of the order and those that fold into it, `half` and its fractions away. */
static kl_x folded(strip *t, kl_stage *s, const place *acc, int q, int half, int lanes)
{
    if (half == lanes) {
        place p = *acc;
        p.at = kl_x_add(t->x, acc->at, kl_x_int(t->x, q * t->width * t->points));
        return at_column(t, &p, s->dtype);
    }
    kl_x a = folded(t, s, acc, q, 2 * half, lanes);
    return kl_combine(t->x, s->combine, a, folded(t, s, acc, q + half, 2 * half, lanes));
}

/* The sums of rows start .. start + len of every column, to `to`. */
static void block(strip *t, kl_build *b, kl_stage *s, kl_x start, kl_x len,
                  const place *to)
{
    kl_exprs *x = t->x;
    int64_t lanes = s->kind == KL_STAGE_CONTRACT ? KL_DOT_LANES : KL_LANES,
            each = kl_param(t->l->k, t->l->part, "rows", 4), none;
    kl_x q, j, k, step = kl_x_int(x, lanes * each), width = kl_x_int(x, t->width);
    place acc = {.operand = tile(t, "lanes", s->dtype, lanes * t->points), .next = width};
    kl_build init = every_lane(t, b, lanes, &acc, &q);
    for (int64_t m = 0; m < t->points; m++) {
        place mine = of_point(t, &acc, m);
        store_column(t, &init, &mine, kl_lower_identity(t->l, s));
    }

    kl_x full = kl_x_divf(x, len, step), done = kl_x_mul(x, full, step);
    kl_build walk = rows(t, b, "j", KL_BLOCK / (lanes * each), full, &j);
    kl_build lane = every_lane(t, &walk, lanes, &acc, &q);
    kl_x row = kl_x_add(x, kl_x_add(x, start, kl_x_mul(x, j, step)), q);
    take_rows(t, &lane, s, &acc, row, lanes, each);

    kl_x left = kl_x_op(x, KL_OP_sub, len, done, KL_NONE);
    if (!kl_x_is_int(x, left, &none) || none) {
        kl_build last = rows(t, b, "k", lanes * each, left, &k);
        acc.at = kl_x_scale(x, kl_x_mod(x, k, kl_x_int(x, lanes)), t->width * t->points);
        lane = along(t, &last);
        take_rows(t, &lane, s, &acc, kl_x_add(x, kl_x_add(x, start, done), k), 0, 1);
    }

    kl_build out = along(t, b);
    acc.at = kl_x_int(x, 0);
    for (int64_t m = 0; m < t->points; m++) {
        place from = of_point(t, &acc, m), mine = of_point(t, to, m);
        store_column(t, &out, &mine, folded(t, s, &from, 0, 1, (int)lanes));
    }
}

static kl_x block_len(strip *t, kl_x len, kl_x start)
{
    kl_x left = kl_x_op(t->x, KL_OP_sub, len, start, KL_NONE);
    return kl_x_op(t->x, KL_OP_min, left, kl_x_int(t->x, KL_BLOCK), KL_NONE);
}

/* Blocks at p, count of them, fold in adjacent pairs. */
static void tree(strip *t, kl_build *b, kl_stage *s, const place *p, kl_dim count)
{
    kl_exprs *x = t->x;
    place a = *p, c = *p;
    kl_x lo, hi;
    kl_build pair = kl_lower_pairs(t->l, b, count, &lo, &hi);
    a.at = kl_x_add(x, p->at, kl_x_mul(x, lo, p->pitch));
    c.at = kl_x_add(x, p->at, kl_x_mul(x, hi, p->pitch));
    kl_build in = along(t, &pair);
    kl_x more = at_column(t, &c, s->dtype), here = at_column(t, &a, s->dtype);
    store_column(t, &in, &a, kl_combine(x, s->combine, here, more));
}

/* ---- stages ---- */

static void reduce(strip *t, kl_build *b, int i)
{
    kl_exprs *x = t->x;
    kl_stage *s = &t->l->p->stages[i];
    kl_dim n = t->l->k->axes[s->axes[s->nfree]].extent;
    int64_t min, max;
    kl_dim_range(x->dims, n, &min, &max);
    if (max == 0) {
        t->l->stage[i] = kl_x_const(x, s->dtype, kl_empty(s->combine, s->dtype));
        return;
    }
    kl_dim blocks = kl_dim_ceildiv(x->dims, n, KL_BLOCK);
    place p = {.operand =
                   tile(t, "part", s->dtype, kl_dim_mul(x->dims, blocks, t->points)),
               .at = kl_x_int(x, 0),
               .pitch = kl_x_int(x, t->width),
               .next = kl_x_mul(x, kl_x_dim(x, blocks), kl_x_int(x, t->width)),
               .count = n};
    kl_x v, len = kl_x_dim(x, n);
    if (max <= KL_BLOCK) {
        block(t, b, s, kl_x_int(x, 0), len, &p);
    } else {
        int64_t least, most;
        kl_dim_range(x->dims, blocks, &least, &most);
        kl_build in = rows(t, b, "blk", most, kl_x_dim(x, blocks), &v);
        kl_x start = kl_x_mul(x, v, kl_x_int(x, KL_BLOCK));
        place to = p;
        to.at = kl_x_mul(x, v, p.pitch);
        block(t, &in, s, start, block_len(t, len, start), &to);
        for (int64_t m = 0; m < t->points; m++) {
            place mine = of_point(t, &p, m);
            tree(t, b, s, &mine, blocks);
        }
    }
    t->value[i] = p;
}

static void maps(strip *t, kl_build *b, int first, int last)
{
    kl_build own =
        kl_lower_walk(t->l, b, &t->l->p->stages[first], 0, t->l->p->stages[first].nfree);
    const kl_stage *s = &t->l->p->stages[first];
    for (int j = first + 1; j < last; j++)
        for (int i = 0; i < s->nfree; i++)
            t->l->axis[t->l->p->stages[j].axes[i]] = t->l->axis[s->axes[i]];
    kl_build in = along(t, s->nfree ? &own : b);
    kl_lower_store_all(t->l, &in, first, last);
}

static void prefix(strip *t, kl_build *b, kl_stage *s)
{
    kl_build mid = kl_lower_walk(t->l, b, s, 0, s->nfree - 1),
             *at = s->nfree > 1 ? &mid : b;
    place acc = {.operand = tile(t, "acc", s->dtype, 1), .at = kl_x_int(t->x, 0)};
    kl_build init = along(t, at);
    store_column(t, &init, &acc, kl_lower_identity(t->l, s));
    kl_build walk = kl_lower_walk(t->l, at, s, s->nfree - 1, s->nfree);
    kl_build in = along(t, &walk);
    kl_lower_checks(t->l, &in, s);
    kl_x v = kl_b_reg(&in, "v", s->dtype, t->l->lanes, 0, NULL);
    kl_x value = kl_lower_expr(t->l, s->value), so_far = at_column(t, &acc, s->dtype);
    kl_b_set(&in, v, kl_combine(t->x, s->combine, so_far, value));
    store_column(t, &in, &acc, v);
    kl_b_store(&in, s->stores[0].operand, kl_lower_expr(t->l, s->stores[0].index), v,
               KL_NONE);
}

static void scatter(strip *t, kl_build *b, kl_stage *s)
{
    kl_build walk = kl_lower_walk(t->l, b, s, 0, s->nfree);
    kl_build in = along(t, s->nfree ? &walk : b);
    kl_lower_scatter_one(t->l, &in, s);
}

/* argmax, argmin: the best value so far and where it stood, a tile each. */
static void arg(strip *t, kl_build *b, int i)
{
    kl_lower *l = t->l;
    kl_exprs *x = t->x;
    kl_stage *s = &l->p->stages[i];
    kl_dtype dt = x->nodes[s->value].dtype, at_dt = kl_lower_arg_dtype(l, s);
    kl_dim n = l->k->axes[s->axes[s->nfree]].extent;
    int64_t min, max;
    kl_dim_range(x->dims, n, &min, &max);
    place best = {.operand = tile(t, "best", dt, 1), .at = kl_x_int(x, 0), .count = n};
    place at = best;
    at.operand = tile(t, "at", at_dt, 1);
    kl_build init = along(t, b);
    store_column(t, &init, &best, kl_x_const(x, dt, kl_identity(s->combine, dt)));
    store_column(t, &init, &at, kl_x_const(x, at_dt, (kl_scalar){.bits = 0}));
    kl_x j;
    kl_build walk = rows(t, b, "j", max, kl_x_dim(x, n), &j);
    kl_build in = along(t, &walk);
    l->axis[s->axes[s->nfree]] = j;
    kl_x was = kl_b_reg(&in, "was", dt, l->lanes, 0, NULL),
         where = kl_b_reg(&in, "where", at_dt, l->lanes, 0, NULL);
    kl_b_set(&in, was, at_column(t, &best, dt));
    kl_b_set(&in, where, at_column(t, &at, at_dt));
    kl_lower_checks(l, &in, s);
    kl_lower_better(l, &in, s, was, where, j);
    store_column(t, &in, &best, was);
    store_column(t, &in, &at, where);
    t->value[i] = at;
}

static void stages(strip *t, kl_build *b, int first)
{
    const kl_part *p = t->l->p;
    for (int i = first; i < p->nstages; i++) {
        kl_stage *s = &p->stages[i];
        int last = i + 1;
        switch (s->kind) {
        case KL_STAGE_MAP:
            while (last < p->nstages && kl_lower_alike(t->l, s, &p->stages[last]))
                last++;
            maps(t, b, i, last);
            i = last - 1;
            break;
        case KL_STAGE_REDUCE:
        case KL_STAGE_CONTRACT:
            reduce(t, b, i);
            break;
        case KL_STAGE_ARGMAX:
        case KL_STAGE_ARGMIN:
            arg(t, b, i);
            break;
        case KL_STAGE_PREFIX:
            prefix(t, b, s);
            break;
        case KL_STAGE_SCATTER:
            scatter(t, b, s);
            break;
        case KL_STAGE_SORT: /* never in strips */
            break;
        }
    }
}

/* ---- phases ---- */

/* The worker's strip and outer point from its number; gives the point's. Points of one
 * strip come one after the other: they often read the same columns. */
static kl_x columns(strip *t, kl_x w)
{
    kl_lower *l = t->l;
    kl_dim extent = l->k->axes[t->axis].extent;
    kl_dim all = t->points > 1 ? 1 : kl_outer_count(l, l->p->nouter - 1);
    kl_x points = kl_x_dim(t->x, all), point = kl_x_mod(t->x, w, points);
    t->first = kl_x_scale(t->x, kl_x_divf(t->x, w, points), t->width);
    kl_x left = kl_x_op(t->x, KL_OP_sub, kl_x_dim(t->x, extent), t->first, KL_NONE);
    t->len = kl_x_op(t->x, KL_OP_min, left, kl_x_int(t->x, t->width), KL_NONE);
    if (t->points == 1)
        kl_outer_point(l, point, l->p->nouter - 1);
    return point;
}

/* Blocks of the leading reductions as workers; their sums' places for the next phase. */
static kl_status split_blocks(strip *t, kl_dim workers, int n)
{
    kl_lower *l = t->l;
    kl_exprs *x = t->x;
    kl_dims *d = x->dims;
    place part[KL_SPLIT_MOST];
    kl_dim most = 1, outer = kl_outer_count(l, l->p->nouter - 1),
           extent = l->k->axes[t->axis].extent;
    for (int i = 0; i < n; i++) {
        kl_dim count = l->k->axes[l->p->stages[i].axes[0]].extent,
               blocks = kl_dim_ceildiv(d, count, KL_BLOCK);
        most = kl_dim_max(d, most, blocks);
        kl_dim all = kl_dim_mul(d, kl_dim_mul(d, outer, blocks), extent);
        part[i] = (place){
            .operand = kl_lower_tile(l, "part", l->p->stages[i].dtype, all, KL_ROLE_TEMP),
            .pitch = kl_x_dim(x, extent),
            .count = count};
    }
    kl_build b;
    kl_x w;
    if (!kl_lower_phase(l, kl_dim_mul(d, workers, most), 1, &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x nb = kl_x_dim(x, most), blk = kl_x_mod(x, w, nb),
         row = columns(t, kl_x_divf(x, w, nb));
    kl_x start = kl_x_mul(x, blk, kl_x_int(x, KL_BLOCK));
    for (int i = 0; i < n; i++) {
        place p = part[i];
        kl_dim blocks = kl_dim_ceildiv(d, p.count, KL_BLOCK);
        kl_x here = kl_x_and(x, KL_NONE, kl_x_lt(x, blk, kl_x_dim(x, blocks)));
        kl_build in = here == KL_NONE ? b : kl_b_if(&b, here);
        kl_x at = kl_x_add(x, kl_x_mul(x, row, kl_x_dim(x, blocks)), blk);
        p.at = kl_x_add(x, kl_x_mul(x, at, p.pitch), t->first);
        block(t, &in, &l->p->stages[i], start, block_len(t, kl_x_dim(x, p.count), start),
              &p);
        if (here == KL_NONE)
            b = in;
    }
    memcpy(t->value, part, (size_t)n * sizeof *part);
    return KL_OK;
}

static void fold_blocks(strip *t, kl_build *b, kl_x row, int n)
{
    kl_exprs *x = t->x;
    kl_dims *d = x->dims;
    for (int i = 0; i < n; i++) {
        place *p = &t->value[i];
        kl_dim blocks = kl_dim_ceildiv(d, p->count, KL_BLOCK);
        kl_x at = kl_x_mul(x, row, kl_x_dim(x, blocks));
        p->at = kl_x_add(x, kl_x_mul(x, at, p->pitch), t->first);
    }
    for (int i = 0; i < n; i++)
        tree(t, b, &t->l->p->stages[i], &t->value[i],
             kl_dim_ceildiv(d, t->value[i].count, KL_BLOCK));
}

/* The first stage for all points together, the others point by point. */
static void by_points(strip *t, kl_build *b)
{
    kl_x m;
    reduce(t, b, 0);
    kl_build in = rows(t, b, "point", t->points, kl_x_int(t->x, t->points), &m);
    kl_outer_point(t->l, m, t->l->p->nouter - 1);
    place *p = &t->value[0];
    p->at = kl_x_add(t->x, p->at, kl_x_mul(t->x, m, p->next));
    stages(t, &in, 1);
}

kl_status kl_lower_strip(kl_lower *l)
{
    kl_dims *d = l->x->dims;
    int n = (int)kl_param(l->k, l->part, "split", 0);
    strip t = {.l = l,
               .x = l->x,
               .axis = kl_lower_last(l, (int)kl_param(l->k, l->part, "vec", 0)),
               .width = kl_param(l->k, l->part, "strip", 1024),
               .points = kl_param(l->k, l->part, "points", 1),
               .run = kl_param(l->k, l->part, "run", 0) != 0};
    t.value = kl_arena_zeroed(l->k->arena, (size_t)l->p->nstages + 1, sizeof *t.value);
    if (!t.value)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    for (int i = 0; i < l->p->nstages; i++)
        t.value[i].operand = KL_NONE;
    kl_dim strips = kl_dim_ceildiv(d, l->k->axes[t.axis].extent, t.width),
           points = t.points > 1 ? 1 : kl_outer_count(l, l->p->nouter - 1),
           workers = kl_dim_mul(d, points, strips);
    if (n)
        KL_TRY(split_blocks(&t, workers, n));
    kl_build b;
    kl_x w;
    if (!kl_lower_phase(l, workers, kl_param(l->k, l->part, "grain", 1), &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x row = columns(&t, w);
    if (n)
        fold_blocks(&t, &b, row, n);
    if (t.points > 1)
        by_points(&t, &b);
    else
        stages(&t, &b, n);
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}
