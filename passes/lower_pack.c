/* lower_pack.c: an operand of a contraction copied to where its micro-kernel wants it.
 *
 *   B  panels of NR columns, k inside     to[k][NR]      rows along k, lanes along
 * columns A  rows, k along each                 to[m][KC]      rows along M, lanes along
 * k (or MR rows inside k, when it lies so)
 *
 * Lanes are flat numbers; where those of an image's rows are (56 pixels a row, 48 lanes),
 * a vector takes the end of one row and the beginning of the next:
 *
 *   p = first div 56, q = first mod 56, lane l:
 *   where(l < 56 - q, load x[p, q + l] if l < 56 - q, load x[p + 1, q + l - 56] if l >=
 * 56 - q)
 *
 * B that lies along k is read along k: squares of registers, one lane of each a row, are
 * turned (x[n, k..] becomes to[k][n..]); what is left of k goes one by one.
 *
 * Rows that are taps of a window (c, y, x: 3x3 taps of channel c) go tap by tap, channels
 * inside: a tap's guards (the padding) are computed once for all channels. Weights, which
 * have none and lie by channels, go channel by channel. What lies past
 * the edge is the last one again, or zero, and is not stored later. */
#include "passes/gemm.h"

/* The side's axes: those whose product is run come from lo, the others from hi. */
void kl_gemm_place(kl_gemm *g, const kl_side *sd, kl_flat at)
{
    kl_side outer = *sd, inner = {.count = 1};
    if (!at.run) {
        kl_gemm_point(g, sd, at.lo);
        return;
    }
    while (outer.n && inner.count != at.run) {
        inner.count =
            kl_dim_mul(g->d, inner.count, g->l->k->axes[sd->axes[--outer.n]].extent);
        inner.n++;
    }
    memcpy(inner.axes, sd->axes + outer.n, (size_t)inner.n * sizeof *inner.axes);
    if (at.image)
        g->l->axis[sd->axes[--outer.n]] = at.row;
    kl_gemm_point(g, &outer, at.hi);
    kl_gemm_point(g, &inner, at.lo);
}

typedef struct renaming {
    uint32_t hi, lo, row;
    kl_flat to;
} renaming;

static kl_x rename_var(void *ctx, kl_exprs *x, kl_x leaf)
{
    const renaming *r = ctx;
    const kl_xnode *n = &x->nodes[leaf];
    if (n->op != KL_X_VAR)
        return KL_NONE;
    return n->imm == r->hi    ? r->to.hi
           : n->imm == r->lo  ? r->to.lo
           : n->imm == r->row ? r->to.row
                              : KL_NONE;
}

/* where(p, load x[i] if p, 0) is that load alone. */
static kl_x strip(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const kl_xnode n = x->nodes[node];
    (void)ctx;
    if (n.op != KL_OP_where)
        return n.nsrc ? kl_x_rebuild(x, node, src) : node;
    const kl_xnode *l = &x->nodes[src[1]], *z = &x->nodes[src[2]];
    bool same = l->op == KL_X_LOAD && l->nsrc == 2 && l->src[1] == src[0] &&
                z->op == KL_X_CONST && z->imm == 0;
    return same ? src[1] : kl_x_rebuild(x, node, src);
}

/* k as hi * run + lo is divided as variables of known range, which then become what they
 * are. */
static kl_x element(kl_gemm *g, kl_x e, const kl_side *sd, kl_flat at, kl_flat k)
{
    uint32_t axis = g->s->axes[0];
    kl_gemm_place(g, sd, at);
    if (!k.run) {
        g->l->axis[axis] = k.lo;
        return kl_x_map(g->x, kl_lower_expr(g->l, e), strip, NULL);
    }
    int64_t whole = k.image ? k.image : k.run;
    renaming r = {.hi = kl_x_newvar(g->x, "hi", kl_dim_ceildiv(g->d, g->k, whole)),
                  .lo = kl_x_newvar(g->x, "lo", k.run),
                  .row = KL_NONE,
                  .to = k};
    kl_x lo = kl_x_var(g->x, r.lo);
    if (k.image) {
        r.row = kl_x_newvar(g->x, "row", k.image / k.run);
        lo = kl_g_add(g, kl_g_mul(g, kl_x_var(g->x, r.row), k.run), lo);
    }
    g->l->axis[axis] = kl_g_add(g, kl_g_mul(g, kl_x_var(g->x, r.hi), whole), lo);
    e = kl_x_subst(g->x, kl_lower_expr(g->l, e), rename_var, &r);
    return kl_x_map(g->x, e, strip, NULL);
}

/* The last row or column again, past the edge. */
static kl_x clamp(kl_gemm *g, kl_x i, kl_dim count)
{
    return kl_g_min(g, i, kl_x_dim(g->x, kl_dim_sub(g->d, count, 1)));
}

kl_x kl_gemm_element(kl_gemm *g, kl_x e, const kl_side *side, kl_x at, kl_x k)
{
    return element(g, e, side, (kl_flat){.lo = clamp(g, at, side->count)},
                   (kl_flat){.lo = k});
}

/* ---- lanes ---- */

typedef struct guard {
    uint32_t lane;
    kl_x pred;
} guard;

static kl_x guard_load(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const guard *u = ctx;
    const kl_xnode n = x->nodes[node];
    if (n.op != KL_X_LOAD || !kl_x_uses_var(x, src[0], u->lane))
        return n.nsrc ? kl_x_rebuild(x, node, src) : node;
    return kl_x_load(x, (uint32_t)n.imm, n.dtype, src[0],
                     kl_x_and(x, n.nsrc > 1 ? src[1] : KL_NONE, u->pred),
                     n.nsrc > 2 ? src[2] : KL_NONE);
}

typedef struct lanes { /* a group of lanes, and the row they are of */
    kl_gemm *g;
    const kl_packing *p;
    kl_x first, lane; /* the flat number of lane 0; the lane's variable */
    int64_t wide, run, image;
    bool vectors;
    kl_flat row;
} lanes;

static kl_x at_lanes(const lanes *n, kl_flat at)
{
    const kl_packing *p = n->p;
    return p->rows_k ? element(n->g, p->value, p->side, at, n->row)
                     : element(n->g, p->value, p->side, n->row, at);
}

/* Is every load's place the lane's? Then lanes that are off read nothing. */
static bool all_by_lane(const lanes *n, kl_x e)
{
    kl_exprs *x = n->g->x;
    kl_xlist order = {0};
    bool all = kl_x_order(x, e, &order) == KL_OK;
    for (uint32_t i = 0; i < order.count && all; i++) {
        const kl_xnode *l = &x->nodes[order.items[i]];
        all = l->op != KL_X_LOAD ||
              kl_x_uses_var(x, l->src[0], (uint32_t)x->nodes[n->lane].imm);
    }
    kl_xlist_free(&order);
    return all;
}

/* Is the first lane's number known to be a multiple? */
static bool aligned(const lanes *n, int64_t by)
{
    int64_t v;
    return kl_x_is_int(n->g->x, kl_x_mod(n->g->x, n->first, kl_g_int(n->g, by)), &v) &&
           v == 0;
}

/* Guards every load that the lane has a part in. */
static kl_x guarded(const lanes *n, kl_x e, kl_x in)
{
    guard u = {(uint32_t)n->g->x->nodes[n->lane].imm, in};
    return in == KL_NONE ? e : kl_x_map(n->g->x, e, guard_load, &u);
}

/* That the lane is a row or column at all; KL_NONE where all are: one group of a number
 * that divides theirs. Lanes along k end with k. */
static kl_x inside(const lanes *n)
{
    kl_gemm *g = n->g;
    kl_dim count = n->p->side->count;
    bool whole = n->p->most_lanes <= n->wide && aligned(n, n->wide) &&
                 kl_dim_divides(g->d, n->wide, count);
    if (!n->p->rows_k || whole)
        return KL_NONE;
    kl_x end = kl_x_dim(g->x, count);
    return kl_x_lt(g->x, kl_g_add(g, n->first, n->lane), end);
}

/* The lanes' elements. Lanes that are off may lie past the end: what is read alike by all
 * is read inside. */
static kl_x of_lanes(const lanes *n, kl_flat at)
{
    kl_gemm *g = n->g;
    kl_dim count = n->p->rows_k ? n->p->side->count : g->k;
    kl_x e = at_lanes(n, at);
    if (all_by_lane(n, e))
        return e;
    at.hi = clamp(g, at.hi, kl_dim_ceildiv(g->d, count, at.image ? at.image : at.run));
    if (at.image)
        at.row = clamp(g, at.row, at.image / at.run);
    return at_lanes(n, at);
}

/* Are all lanes of one image? */
static bool in_image(const lanes *n)
{
    return n->image > n->run && n->image % n->run == 0 && n->image % n->wide == 0 &&
           aligned(n, n->wide);
}

/* Lanes of run i past the one that the first lane is in. Those of one image are rows of
 * it: where they lie one after the other too, all are one place. */
static kl_x of_run(const lanes *n, kl_x hi, kl_x lo, int64_t i, int64_t count)
{
    kl_gemm *g = n->g;
    kl_x begin = kl_g_sub(g, kl_g_int(g, i * n->run), lo);
    kl_x end = kl_g_add(g, begin, kl_g_int(g, n->run)), in = inside(n);
    kl_flat at = {.lo = kl_g_sub(g, n->lane, begin), .run = n->run};
    if (count > 1 && in_image(n)) {
        kl_x row = kl_g_div(g, kl_x_mod(g->x, n->first, kl_g_int(g, n->image)), n->run);
        at.image = n->image;
        at.hi = kl_g_div(g, n->first, n->image);
        at.row = kl_g_add(g, row, kl_g_int(g, i));
    } else {
        at.hi = kl_g_add(g, hi, kl_g_int(g, i));
    }
    kl_x e = of_lanes(n, at);
    if (i > 0)
        in = kl_x_and(g->x, in, kl_x_op(g->x, KL_OP_le, begin, n->lane, KL_NONE));
    if (i + 1 < count)
        in = kl_x_and(g->x, in, kl_x_lt(g->x, n->lane, end));
    return guarded(n, e, in);
}

/* Lanes below end from a, the others from b: one load if both are of one place. */
static kl_x join(const lanes *n, kl_x end, kl_x a, kl_x b)
{
    kl_exprs *x = n->g->x;
    const kl_xnode p = x->nodes[a], q = x->nodes[b];
    if (p.op == KL_X_LOAD && q.op == KL_X_LOAD && p.imm == q.imm &&
        p.src[0] == q.src[0] && p.nsrc == 2 && q.nsrc == 2)
        return kl_x_load(x, (uint32_t)p.imm, p.dtype, p.src[0],
                         kl_x_op(x, KL_OP_or, p.src[1], q.src[1], KL_NONE), KL_NONE);
    return kl_x_op(x, KL_OP_where, kl_x_lt(x, n->lane, end), a, b);
}

/* Of how many runs the lanes are: one or a whole number where they begin with one. */
static int64_t runs_touched(const lanes *n)
{
    int64_t by = KL_MIN(n->wide, n->run), to = KL_MAX(n->wide, n->run);
    bool begins = to % by == 0 && aligned(n, by);
    return begins ? n->wide / by : (n->wide - 2) / n->run + 2;
}

static kl_x in_runs(const lanes *n)
{
    kl_gemm *g = n->g;
    int64_t count = runs_touched(n);
    kl_x hi = kl_g_div(g, n->first, n->run),
         lo = kl_x_mod(g->x, n->first, kl_g_int(g, n->run));
    kl_x v = of_run(n, hi, lo, count - 1, count);
    for (int64_t i = count - 1; i-- > 0;) {
        kl_x end = kl_g_sub(g, kl_g_int(g, (i + 1) * n->run), lo);
        v = join(n, end, of_run(n, hi, lo, i, count), v);
    }
    return v;
}

static kl_x value(const lanes *n)
{
    kl_gemm *g = n->g;
    const kl_packing *p = n->p;
    kl_x at = kl_g_add(g, n->first, n->lane);
    if (n->run)
        return in_runs(n);
    if (!p->rows_k)
        return at_lanes(n, (kl_flat){.lo = at});
    if (!n->vectors)
        return at_lanes(n, (kl_flat){.lo = clamp(g, at, p->side->count)});
    kl_x in = inside(n);
    return guarded(n, at_lanes(n, (kl_flat){.lo = at}), in);
}

/* ---- rows ---- */

static void store(const lanes *n, kl_build *b, kl_x row)
{
    kl_gemm *g = n->g;
    const kl_packing *p = n->p;
    kl_x lane = kl_g_add(g, kl_g_sub(g, n->first, p->lane0), n->lane);
    kl_x at = kl_g_add(g, p->at, kl_x_mul(g->x, row, kl_x_dim(g->x, p->pitch)));
    at = kl_g_add(g, at, kl_x_mul(g->x, lane, kl_x_dim(g->x, p->step)));
    kl_b_store(b, p->to, at, value(n), KL_NONE);
}

/* Tap by tap: rows i * taps + t of [row0, row0 + rows). */
static void rows_by_taps(lanes *n, kl_build *b, int64_t taps)
{
    kl_gemm *g = n->g;
    const kl_packing *p = n->p;
    kl_x t, i;
    kl_build in =
        kl_gemm_loop(g, b, "tap", taps, kl_g_int(g, taps), KL_BIND_SERIAL, 1, &t);
    kl_x begin = kl_g_ceil(g, kl_g_sub(g, p->row0, t), taps);
    kl_x end = kl_g_ceil(g, kl_g_sub(g, kl_g_add(g, p->row0, p->rows), t), taps);
    kl_x count = kl_g_sub(g, end, begin);
    kl_build body = kl_gemm_loop(g, &in, "i", kl_dim_ceildiv(g->d, p->most_rows, taps),
                                 count, KL_BIND_SERIAL, 1, &i);
    kl_x hi = kl_g_add(g, begin, i);
    kl_x row = kl_g_sub(g, kl_g_add(g, kl_g_mul(g, hi, taps), t), p->row0);
    if (!p->rows_k)
        hi = clamp(g, hi, kl_dim_div(g->d, p->side->count, taps));
    n->row = (kl_flat){.hi = hi, .lo = t, .run = taps};
    store(n, &body, row);
}

/* Does a whole operand lie channel by channel, taps side by side, along neither rows nor
 * lanes? A convolution's weights do for its input's gradient. */
static bool by_channels(const kl_gemm *g, const kl_packing *p, int64_t taps)
{
    int64_t first;
    return p->rows_k && p->how->plain && !p->how->side && taps > 1 &&
           kl_x_is_int(g->x, p->row0, &first) && first == 0 && p->most_rows == g->k &&
           kl_dim_divides(g->d, taps, g->k);
}

/* Channel outside and taps inside: what is read lies together. */
static void rows_by_channels(lanes *n, kl_build *b, int64_t taps)
{
    enum { FEW = 16 };
    kl_gemm *g = n->g;
    const kl_packing *p = n->p;
    int64_t one;
    kl_x i, t, all = kl_g_int(g, taps), count = kl_g_div(g, p->rows, taps);
    kl_build in = kl_gemm_loop(g, b, "i", kl_dim_div(g->d, p->most_rows, taps), count,
                               KL_BIND_SERIAL, 1, &i);
    kl_build of =
        kl_gemm_loop(g, &in, "j", p->most_lanes, p->lanes, KL_BIND_SERIAL, 1, &n->lane);
    /* side by side in what is read, and where they go if rows of k do: one vector */
    bool along = kl_dim_is_const(g->d, p->pitch, &one) && one == 1 && g->vector > 1;
    kl_build body = kl_gemm_loop(g, &of, "tap", taps, all,
                                 along         ? KL_BIND_LANE
                                 : taps <= FEW ? KL_BIND_UNROLL
                                               : KL_BIND_SERIAL,
                                 along ? g->vector : 1, &t);
    n->first = p->lane0;
    n->row = (kl_flat){.hi = i, .lo = t, .run = taps};
    store(n, &body, kl_g_add(g, kl_g_mul(g, i, taps), t));
}

static void rows_in_turn(lanes *n, kl_build *b)
{
    kl_gemm *g = n->g;
    const kl_packing *p = n->p;
    kl_x r;
    kl_build body = kl_gemm_loop(g, b, "r", p->most_rows, p->rows, KL_BIND_SERIAL, 1, &r);
    kl_x row = kl_g_add(g, p->row0, r);
    n->row = (kl_flat){.lo = p->rows_k ? row : clamp(g, row, p->side->count)};
    store(n, &body, r);
}

/* ---- all of it ---- */

/* Rows outside: each is one run of lanes from end to end. */
static void copy_rows(lanes *n, kl_build *b)
{
    kl_gemm *g = n->g;
    const kl_packing *p = n->p;
    kl_x r;
    kl_build in = kl_gemm_loop(g, b, "r", p->most_rows, p->rows, KL_BIND_SERIAL, 1, &r);
    kl_build body =
        kl_gemm_loop(g, &in, "j", p->most_lanes, p->lanes, KL_BIND_LANE, g->nr, &n->lane);
    n->first = p->lane0;
    n->row = (kl_flat){.lo = clamp(g, kl_g_add(g, p->row0, r), p->side->count)};
    store(n, &body, r);
}

/* May squares of registers turn what lies along k into lanes of the side? */
static bool turns(const kl_gemm *g, const kl_packing *p)
{
    int64_t one;
    return p->rows_k && g->vector > 1 && kl_gemm_turns(p->how) &&
           p->most_lanes % g->vector == 0 && kl_dim_is_const(g->d, p->step, &one) &&
           one == 1 && kl_dtypes[g->s->dtype].size >= 4 &&
           g->x->nodes[p->value].dtype == g->s->dtype;
}

void kl_gemm_turn(kl_gemm *g, kl_build *b, uint32_t reg, const char *row,
                  const char *lane, kl_square to)
{
    int32_t w = g->vector;
    kl_x k, j, wide = kl_g_int(g, w);
    kl_b_turn(b, reg);
    kl_build line = kl_gemm_loop(g, b, row, w, wide, KL_BIND_UNROLL, 1, &k);
    kl_build lanes = kl_gemm_loop(g, &line, lane, w, wide, KL_BIND_LANE, w, &j);
    kl_x at = kl_x_mul(g->x, k, kl_x_dim(g->x, to.pitch));
    at = kl_g_add(g, kl_g_add(g, to.at, at), j);
    kl_b_store(&lanes, to.operand, at, kl_x_reg(g->x, reg, g->s->dtype, &k, 1), KL_NONE);
}

/* What has guards is read by lines first, their guards computed once for many: as many
 * lines as a register has lanes, then turned from there. */
static int64_t line_pitch(const kl_gemm *g)
{
    return g->kc + 16;
}

static void read_lines(kl_gemm *g, kl_build *b, const kl_packing *p, kl_x column)
{
    kl_packing lines = *p;
    if (!g->lines)
        g->lines = kl_lower_tile(g->l, "lines", g->s->dtype, g->vector * line_pitch(g),
                                 KL_ROLE_TILE);
    lines.rows_k = false;
    lines.row0 = kl_g_add(g, p->lane0, column), lines.rows = kl_g_int(g, g->vector);
    lines.most_rows = g->vector;
    lines.lane0 = p->row0, lines.lanes = p->rows, lines.most_lanes = g->kc;
    lines.to = g->lines, lines.at = kl_g_int(g, 0), lines.pitch = line_pitch(g);
    kl_gemm_pack(g, b, &lines);
}

static kl_x of_line(kl_gemm *g, kl_x line, kl_x k)
{
    kl_x at = kl_g_add(g, kl_g_mul(g, line, line_pitch(g)), k);
    return kl_x_load(g->x, g->lines, g->s->dtype, at, KL_NONE, KL_NONE);
}

/* Lanes along k of the side's number `line`, from k = first on. */
static kl_x along_line(kl_gemm *g, const kl_packing *p, kl_x line, kl_x first, kl_x lane)
{
    kl_packing along = *p;
    lanes n = {.g = g,
               .p = &along,
               .first = kl_g_add(g, p->row0, first),
               .lane = lane,
               .wide = g->vector,
               .run = p->how->k_run,
               .image = p->how->k_image,
               .vectors = true,
               .row = {.lo = clamp(g, kl_g_add(g, p->lane0, line), p->side->count)}};
    along.rows_k = false;
    return value(&n);
}

/* What whole squares leave of the lines, one by one. */
static void rest_of_lines(kl_gemm *g, kl_build *b, const kl_packing *p, kl_x column)
{
    int32_t w = g->vector;
    kl_x j, r, done = kl_g_mul(g, kl_g_div(g, p->rows, w), w);
    kl_build in =
        kl_gemm_loop(g, b, "r", w - 1, kl_g_sub(g, p->rows, done), KL_BIND_SERIAL, 1, &r);
    kl_build of = kl_gemm_loop(g, &in, "j", w, kl_g_int(g, w), KL_BIND_SERIAL, 1, &j);
    kl_x row = kl_g_add(g, done, r);
    kl_x to = kl_x_mul(g->x, row, kl_x_dim(g->x, p->pitch));
    to = kl_g_add(g, kl_g_add(g, p->at, to), kl_g_add(g, column, j));
    kl_b_store(&of, p->to, to, of_line(g, j, row), KL_NONE);
}

/* Whole squares of rows and lanes: read along k, turned, stored along the side. */
static void squares(kl_gemm *g, kl_build *b, const kl_packing *p)
{
    int32_t w = g->vector;
    kl_x c, r, j, k, wide = kl_g_int(g, w);
    kl_build in = kl_gemm_loop(g, b, "c", p->most_lanes / w, kl_g_ceil(g, p->lanes, w),
                               KL_BIND_SERIAL, 1, &c);
    kl_x count = kl_g_div(g, p->rows, w), column = kl_g_mul(g, c, w);
    if (!p->how->plain)
        read_lines(g, &in, p, column);
    kl_build body = kl_gemm_loop(g, &in, "r", kl_dim_ceildiv(g->d, p->most_rows, w),
                                 count, KL_BIND_SERIAL, 1, &r);
    kl_x t = kl_b_reg(&body, "t", g->s->dtype, w, 1, &w);
    uint32_t reg = (uint32_t)g->x->nodes[t].imm;
    kl_x row = kl_g_mul(g, r, w);
    kl_build line = kl_gemm_loop(g, &body, "j", w, wide, KL_BIND_UNROLL, 1, &j);
    kl_build lane = kl_gemm_loop(g, &line, "k", w, wide, KL_BIND_LANE, w, &k);
    kl_x v = p->how->plain ? along_line(g, p, kl_g_add(g, column, j), row, k)
                           : of_line(g, j, kl_g_add(g, row, k));
    kl_b_set(&lane, kl_x_reg(g->x, reg, g->s->dtype, &j, 1), v);
    kl_x to = kl_x_mul(g->x, row, kl_x_dim(g->x, p->pitch));
    to = kl_g_add(g, kl_g_add(g, p->at, to), column);
    kl_gemm_turn(g, &body, reg, "k", "j", (kl_square){p->to, to, p->pitch});
    if (!p->how->plain)
        rest_of_lines(g, &in, p, column);
}

/* The rows that whole squares leave. */
static kl_packing below_squares(kl_gemm *g, const kl_packing *p)
{
    kl_packing rest = *p;
    kl_x done = kl_g_mul(g, kl_g_div(g, p->rows, g->vector), g->vector);
    rest.row0 = kl_g_add(g, p->row0, done);
    rest.rows = kl_g_sub(g, p->rows, done);
    rest.at = kl_g_add(g, p->at, kl_x_mul(g->x, done, kl_x_dim(g->x, p->pitch)));
    rest.most_rows = g->vector - 1;
    return rest;
}

/* A panel's, or a register's where these are of fewer runs, or of one image. */
static int64_t lanes_at_once(const lanes *n)
{
    const kl_gemm *g = n->g;
    bool one = n->image % g->nr && n->image % g->vector == 0;
    return n->run && (n->run < g->nr || one) ? g->vector : g->nr;
}

void kl_gemm_pack(kl_gemm *g, kl_build *b, const kl_packing *p)
{
    lanes n = {.g = g, .p = p, .vectors = p->rows_k ? p->how->side : p->how->k};
    int64_t taps = p->rows_k ? p->how->k_taps : p->how->side_taps;
    kl_packing rest;
    if (turns(g, p)) {
        squares(g, b, p);
        bool whole = g->kc % g->vector == 0 && kl_dim_divides(g->d, g->vector, g->k);
        if (whole || !p->how->plain)
            return;
        rest = below_squares(g, p);
        n.p = p = &rest;
    }
    n.run = !n.vectors ? 0 : p->rows_k ? p->how->side_run : p->how->k_run;
    n.image = p->rows_k ? p->how->side_image : p->how->k_image;
    if (n.vectors && !n.run && !p->rows_k && taps == 1) {
        copy_rows(&n, b);
        return;
    }
    if (!n.vectors && by_channels(g, p, taps)) {
        n.wide = p->most_lanes;
        rows_by_channels(&n, b, taps);
        return;
    }
    kl_build in = *b;
    kl_x group = kl_g_int(g, 0), left = p->lanes;
    n.wide = n.vectors ? KL_MIN(lanes_at_once(&n), p->most_lanes) : p->most_lanes;
    if (p->most_lanes > n.wide) {
        kl_x groups = kl_g_ceil(g, p->lanes, n.wide);
        in = kl_gemm_loop(g, b, "g", kl_dim_ceildiv(g->d, p->most_lanes, n.wide), groups,
                          KL_BIND_SERIAL, 1, &group);
        left = kl_g_sub(g, p->lanes, kl_g_mul(g, group, n.wide));
    }
    n.first = kl_g_add(g, p->lane0, kl_g_mul(g, group, n.wide));
    kl_build body =
        kl_gemm_loop(g, p->most_lanes > n.wide ? &in : b, "j", n.wide,
                     kl_g_min(g, kl_g_int(g, n.wide), left),
                     n.vectors ? KL_BIND_LANE : KL_BIND_SERIAL, n.wide, &n.lane);
    if (taps > 1)
        rows_by_taps(&n, &body, taps);
    else
        rows_in_turn(&n, &body);
}
