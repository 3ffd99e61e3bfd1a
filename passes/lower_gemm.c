/* lower_gemm.c: contraction through packed panels and a register-blocked micro-kernel.
 *
 *   phase 0   an operand that cannot be packed by vectors, or not often, is packed once
 *             (lower_pack.c)
 *   phase 1   a worker owns an MC x NC tile of C (and one block of 4096 in k):
 *             for kb: B's corner (KC x NC) packed
 *               for ir: A's panel (MR x KC) packed, or read where it lies
 *                 for jr: acc[MR] lanes NR
 *                   for k: acc[m] = fma(a[m,k], pb[k,j], acc[m])
 *                   after the last kb: the epilogue, or the block's partial sums
 *   phase 2   only if k has several blocks: they fold in adjacent pairs
 *
 * Every output adds along k in order: accumulators pass from one kb to the next through a
 * tile, as f32, exactly. M, N and batch may each be several axes (a convolution's rows
 * and columns): they are flat numbers here, and operands are read through their index
 * expressions (implicit GEMM). Rows and columns past the edge hold something and are not
 * stored. The numbers are the schedule's (schedule_gemm.c). */
#include "passes/gemm.h"

enum { SMALL_FLOPS = 16 * 16 * 16, GRAIN = 200000, PACK_GRAIN = 16384 };

/* ---- what the axes are ---- */

void kl_gemm_sides(kl_kernel *k, const kl_part *p, const kl_stage *s, kl_side *batch,
                   kl_side *m, kl_side *n)
{
    *batch = *m = *n = (kl_side){.count = 1};
    for (int i = 0; i < p->nouter; i++) {
        bool in_a = kl_x_uses_var(k->x, s->value, p->outer[i]),
             in_b = kl_x_uses_var(k->x, s->rhs, p->outer[i]);
        kl_side *to = in_a && !in_b ? m : in_b && !in_a ? n : batch;
        to->axes[to->n++] = p->outer[i];
        to->count = kl_dim_mul(k->x->dims, to->count, k->axes[p->outer[i]].extent);
    }
}

int64_t kl_gemm_hint(const kl_kernel *k, kl_dim d)
{
    int64_t lo, hi;
    kl_dim_range(k->x->dims, d, &lo, &hi);
    return lo == hi ? lo : KL_MIN(hi, KL_MAX(lo, 256));
}

bool kl_gemm_fits(const kl_kernel *k, const kl_part *p)
{
    const kl_stage *s = &p->stages[0];
    if (s->kind != KL_STAGE_CONTRACT || s->dot || s->nfree || s->nchecks ||
        (s->dtype != KL_F32 && s->dtype != KL_F64))
        return false;
    for (int i = 1; i < p->nstages; i++)
        if (p->stages[i].kind != KL_STAGE_MAP || p->stages[i].nfree)
            return false;
    kl_side batch, m, n;
    kl_gemm_sides((kl_kernel *)k, p, s, &batch, &m, &n);
    int64_t mm = kl_gemm_hint(k, m.count), nn = kl_gemm_hint(k, n.count),
            kk = kl_gemm_hint(k, k->axes[s->axes[0]].extent), work;
    if (kl_mul_overflow(mm, nn, &work) || kl_mul_overflow(work, kk, &work))
        work = INT64_MAX;
    return mm >= 4 && nn >= 4 && work >= SMALL_FLOPS;
}

bool kl_gemm_stored_along(kl_kernel *k, const kl_part *p, const kl_side *sd)
{
    kl_x base;
    int64_t c;
    for (int i = 1; i < p->nstages; i++)
        for (int j = 0; j < p->stages[i].nstores; j++)
            if (sd->n &&
                kl_x_affine(k->x, p->stages[i].stores[j].index, sd->axes[sd->n - 1],
                            &base, &c) &&
                c == 1)
                return true;
    return false;
}

bool kl_gemm_step(kl_exprs *x, kl_x e, uint32_t axis, int64_t step)
{
    kl_xlist order = {0};
    bool found = false;
    if (kl_x_order(x, e, &order) != KL_OK)
        return false;
    for (uint32_t i = 0; i < order.count && !found; i++) {
        kl_x base;
        int64_t c;
        const kl_xnode *n = &x->nodes[order.items[i]];
        found = n->op == KL_X_LOAD && kl_x_uses_var(x, n->src[0], axis) &&
                kl_x_affine(x, n->src[0], axis, &base, &c) && c == step;
    }
    kl_xlist_free(&order);
    return found;
}

void kl_gemm_point(kl_gemm *g, const kl_side *sd, kl_x flat)
{
    kl_dim shape[KL_MAX_RANK];
    kl_x idx[KL_MAX_RANK];
    for (int i = 0; i < sd->n; i++)
        shape[i] = g->l->k->axes[sd->axes[i]].extent;
    kl_unflatten(g->x, sd->n, shape, flat, idx);
    for (int i = 0; i < sd->n; i++)
        g->l->axis[sd->axes[i]] = idx[i];
}

kl_build kl_gemm_loop(kl_gemm *g, kl_build *b, const char *name, kl_dim bound,
                      kl_x extent, kl_bind bind, int64_t lanes, kl_x *v)
{
    uint32_t var = kl_x_newvar(g->x, name, bound);
    *v = kl_x_var(g->x, var);
    return kl_b_for(b, var, extent, bind, (int32_t)lanes);
}

static kl_build serial(kl_gemm *g, kl_build *b, const char *name, kl_dim bound,
                       kl_x extent, kl_x *v)
{
    return kl_gemm_loop(g, b, name, bound, extent, KL_BIND_SERIAL, 1, v);
}

static kl_build lane_loop(kl_gemm *g, kl_build *b, kl_dim bound, kl_x extent, kl_x *v)
{
    return kl_gemm_loop(g, b, "j", bound, extent, KL_BIND_LANE, g->nr, v);
}

static kl_build unrolled(kl_gemm *g, kl_build *b, kl_x *v)
{
    return kl_gemm_loop(g, b, "m", g->mr, kl_g_int(g, g->mr), KL_BIND_UNROLL, 1, v);
}

static kl_status no_memory(void)
{
    return kl_fail(KL_ERR_OOM, "lower: no memory");
}

/* ---- phase 0: whole operands ---- */

static kl_dim panels(kl_gemm *g)
{
    return kl_dim_ceildiv(g->d, g->n.count, g->nr);
}

/* Where k = 0 of a panel of the whole B lies. */
static kl_x panel_at(kl_gemm *g, kl_x batch, kl_x panel)
{
    kl_x p = kl_g_add(g, kl_x_mul(g->x, batch, kl_x_dim(g->x, panels(g))), panel);
    return kl_g_mul(g, kl_x_mul(g->x, p, kl_x_dim(g->x, g->k)), g->nr);
}

static kl_status pack_b(kl_gemm *g)
{
    kl_build b;
    kl_x w;
    kl_dim np = panels(g), chunks = kl_dim_ceildiv(g->d, g->k, g->kc),
           all = kl_dim_mul(g->d, g->batch.count, np);
    g->pb =
        kl_lower_tile(g->l, "pb", g->s->dtype,
                      kl_dim_mul(g->d, all, kl_dim_mul(g->d, g->k, g->nr)), KL_ROLE_TEMP);
    if (!kl_lower_phase(g->l, kl_dim_mul(g->d, all, chunks),
                        KL_MAX(PACK_GRAIN / (g->kc * g->nr), 1), &b, &w))
        return no_memory();
    kl_x nc = kl_x_dim(g->x, chunks), pn = kl_x_dim(g->x, np);
    kl_x bp = kl_x_divf(g->x, w, nc), panel = kl_x_mod(g->x, bp, pn),
         batch = kl_x_divf(g->x, bp, pn), k0 = kl_g_mul(g, kl_x_mod(g->x, w, nc), g->kc);
    kl_x rows = kl_g_mul(g, k0, g->nr), at = kl_g_add(g, panel_at(g, batch, panel), rows);
    kl_gemm_point(g, &g->batch, batch);
    kl_packing p = {.value = g->b,
                    .side = &g->n,
                    .how = &g->rb,
                    .rows_k = true,
                    .row0 = k0,
                    .rows = kl_g_most(g, g->kc, kl_g_sub(g, kl_x_dim(g->x, g->k), k0)),
                    .lane0 = kl_g_mul(g, panel, g->nr),
                    .lanes = kl_g_int(g, g->nr),
                    .most_rows = g->kc,
                    .most_lanes = g->nr,
                    .to = g->pb,
                    .at = at,
                    .pitch = g->nr,
                    .step = 1};
    kl_gemm_pack(g, &b, &p);
    return KL_OK;
}

/* Rows of the whole A, with those that fill up the last panel. */
static kl_dim whole_rows(kl_gemm *g)
{
    return kl_dim_mul(g->d, kl_dim_ceildiv(g->d, g->m.count, g->mr), g->mr);
}

/* Element (row, k) of the whole A. */
static kl_x whole_a_at(kl_gemm *g, kl_x batch, kl_x row, kl_x k)
{
    kl_x r = kl_g_add(g, kl_x_mul(g->x, batch, kl_x_dim(g->x, whole_rows(g))), row);
    return kl_g_add(g, kl_x_mul(g->x, r, kl_x_dim(g->x, g->k)), k);
}

/* A worker packs MR rows. */
static kl_status pack_whole_a(kl_gemm *g)
{
    kl_build b;
    kl_x w;
    kl_dim np = kl_dim_ceildiv(g->d, g->m.count, g->mr);
    g->pa = kl_lower_tile(
        g->l, "pa", g->s->dtype,
        kl_dim_mul(g->d, kl_dim_mul(g->d, g->batch.count, whole_rows(g)), g->k),
        KL_ROLE_TEMP);
    int64_t each = g->mr * kl_gemm_hint(g->l->k, g->k);
    if (!kl_lower_phase(g->l, kl_dim_mul(g->d, g->batch.count, np),
                        KL_MAX(PACK_GRAIN / KL_MAX(each, 1), 1), &b, &w))
        return no_memory();
    kl_x batch = kl_x_divf(g->x, w, kl_x_dim(g->x, np)),
         row = kl_g_mul(g, kl_x_mod(g->x, w, kl_x_dim(g->x, np)), g->mr);
    kl_gemm_point(g, &g->batch, batch);
    kl_packing p = {.value = g->a,
                    .side = &g->m,
                    .how = &g->ra,
                    .rows_k = true,
                    .row0 = kl_g_int(g, 0),
                    .rows = kl_x_dim(g->x, g->k),
                    .lane0 = row,
                    .lanes = kl_g_int(g, g->mr),
                    .most_rows = g->k,
                    .most_lanes = g->mr,
                    .to = g->pa,
                    .at = whole_a_at(g, batch, row, kl_g_int(g, 0)),
                    .pitch = 1,
                    .step = g->k};
    kl_gemm_pack(g, &b, &p);
    return KL_OK;
}

/* ---- phase 1: one tile of C ---- */

typedef struct tile {
    kl_x batch, row0, col0, rows, cols, k0, klen;
    bool many;             /* several kb: accumulators pass through the C tile */
    kl_x kb, last;         /* is it the last kb? KL_NONE: yes */
    kl_x kfrom, len;       /* of this kb, in k */
    kl_x ir, jr, row, col; /* a register tile, and where it lies in the worker's */
    kl_x blk;              /* KL_NONE: one block of k */
} tile;

/* Rows of A in the worker's tile (where k runs outside: its k) lie so far apart: not by a
 * power of two. */
static int64_t pitch_a(const kl_gemm *g)
{
    return (g->ra.k ? g->kc : g->mc) + 16;
}

/* A of one panel (MR rows), or of the worker's tile: where rows go tap by tap their
 * guards serve all rows then, and where A lies along its rows they fill vectors. */
static bool by_panel(const kl_gemm *g)
{
    return g->ra.k && g->ra.side_taps == 1;
}

/* A at [kfrom, kfrom + len): pa[m][pitch], or pa[k][pitch] where A lies so. */
static void pack_a(kl_gemm *g, kl_build *b, const tile *t, kl_x row, kl_x rows,
                   int64_t most)
{
    kl_packing p = {.value = g->a,
                    .side = &g->m,
                    .how = &g->ra,
                    .row0 = kl_g_add(g, t->row0, row),
                    .rows = rows,
                    .lane0 = t->kfrom,
                    .lanes = t->len,
                    .most_rows = most,
                    .most_lanes = g->kc,
                    .to = g->pa,
                    .at = kl_g_int(g, 0),
                    .pitch = pitch_a(g),
                    .step = 1};
    if (!g->ra.k) {
        p.rows_k = true;
        p.lane0 = p.row0, p.lanes = rows, p.most_lanes = most;
        p.row0 = t->kfrom, p.rows = t->len, p.most_rows = g->kc;
    }
    kl_gemm_pack(g, b, &p);
}

/* B's columns of this tile: pb[panel][k][NR]. */
static void pack_corner_b(kl_gemm *g, kl_build *b, const tile *t)
{
    kl_x panel;
    kl_build in = serial(g, b, "p", g->nc / g->nr, kl_g_ceil(g, t->cols, g->nr), &panel);
    kl_packing p = {.value = g->b,
                    .side = &g->n,
                    .how = &g->rb,
                    .rows_k = true,
                    .row0 = t->kfrom,
                    .rows = t->len,
                    .lane0 = kl_g_add(g, t->col0, kl_g_mul(g, panel, g->nr)),
                    .lanes = kl_g_int(g, g->nr),
                    .most_rows = g->kc,
                    .most_lanes = g->nr,
                    .to = g->pb,
                    .at = kl_g_mul(g, panel, g->kc * g->nr),
                    .pitch = g->nr,
                    .step = 1};
    kl_gemm_pack(g, &in, &p);
}

static kl_x a_at(kl_gemm *g, const tile *t, kl_x m, kl_x k)
{
    kl_x row = kl_g_add(g, t->row, m), at;
    kl_x here = by_panel(g) ? m : row;
    kl_x all_k = kl_g_add(g, t->kfrom, k);
    if (g->pack_a == KL_PACK_NONE)
        return kl_gemm_element(g, g->a, &g->m, kl_g_add(g, t->row0, row), all_k);
    if (g->pack_a == KL_PACK_WHOLE)
        at = whole_a_at(g, t->batch, kl_g_add(g, t->row0, row), all_k);
    else if (g->ra.k)
        at = kl_g_add(g, kl_g_mul(g, here, pitch_a(g)), k);
    else
        at = kl_g_add(g, kl_g_mul(g, k, pitch_a(g)), row);
    return kl_x_load(g->x, g->pa, g->s->dtype, at, KL_NONE, KL_NONE);
}

static kl_x b_at(kl_gemm *g, const tile *t, kl_x k, kl_x j)
{
    kl_x at = kl_g_mul(g, kl_g_add(g, kl_g_mul(g, t->jr, g->kc), k), g->nr);
    if (g->pack_b == KL_PACK_NONE) {
        kl_gemm_point(g, &g->n, kl_g_add(g, kl_g_add(g, t->col0, t->col), j));
        g->l->axis[g->s->axes[0]] = kl_g_add(g, t->kfrom, k);
        return kl_lower_expr(g->l, g->b);
    }
    if (g->pack_b == KL_PACK_WHOLE) {
        kl_x panel = kl_g_div(g, kl_g_add(g, t->col0, t->col), g->nr);
        kl_x rows = kl_g_mul(g, kl_g_add(g, t->kfrom, k), g->nr);
        at = kl_g_add(g, panel_at(g, t->batch, panel), rows);
    }
    return kl_x_load(g->x, g->pb, g->s->dtype, kl_g_add(g, at, j), KL_NONE, KL_NONE);
}

/* How far apart columns of the turned register tile lie. */
static int64_t turned_pitch(const kl_gemm *g)
{
    return (g->mr + g->vector - 1) / g->vector * g->vector;
}

/* A register tile's place in the C tile: each lies by itself. */
static kl_x c_at(kl_gemm *g, const tile *t, kl_x m, kl_x j)
{
    kl_x n = kl_g_add(g, kl_g_mul(g, t->ir, g->nc / g->nr), t->jr);
    kl_x at = kl_g_add(g, kl_g_mul(g, m, g->nr), j);
    return t->many ? kl_g_add(g, kl_g_mul(g, n, (int64_t)g->mr * g->nr), at) : at;
}

/* acc[MR] lanes NR over one kb, from and to the C tile. */
static void micro(kl_gemm *g, kl_build *b, const tile *t)
{
    kl_exprs *x = g->x;
    kl_dtype dt = g->s->dtype;
    kl_x j, k, m, acc = kl_b_reg(b, "acc", dt, g->nr, 1, &g->mr);
    uint32_t reg = (uint32_t)x->nodes[acc].imm;
    kl_build in = unrolled(g, b, &m), lanes;
    kl_x none = kl_x_const(x, dt, (kl_scalar){.bits = 0});
    kl_b_set(&in, kl_x_reg(x, reg, dt, &m, 1), none);
    if (t->many) {
        kl_x first = kl_x_op(x, KL_OP_eq, t->kb, kl_g_int(g, 0), KL_NONE);
        kl_build again = kl_b_if(b, kl_x_op(x, KL_OP_not, first, KL_NONE, KL_NONE));
        lanes = lane_loop(g, &again, g->nr, kl_g_int(g, g->nr), &j);
        in = unrolled(g, &lanes, &m);
        kl_x so_far = kl_x_load(x, g->ct, dt, c_at(g, t, m, j), KL_NONE, KL_NONE);
        kl_b_set(&in, kl_x_reg(x, reg, dt, &m, 1), so_far);
    }
    kl_build body = serial(g, b, "k", g->kc, t->len, &k);
    lanes = lane_loop(g, &body, g->nr, kl_g_int(g, g->nr), &j);
    in = unrolled(g, &lanes, &m);
    kl_x mine = kl_x_reg(x, reg, dt, &m, 1);
    kl_x av = a_at(g, t, m, k), bv = b_at(g, t, k, j);
    if (KL_PLANTED(no_fma))
        kl_b_set(&in, mine,
                 kl_combine(x, KL_OP_add, kl_combine(x, KL_OP_mul, av, bv), mine));
    else
        kl_b_set(&in, mine, kl_x_op(x, KL_OP_fma, av, bv, mine));
    lanes = lane_loop(g, b, g->nr, kl_g_int(g, g->nr), &j);
    in = unrolled(g, &lanes, &m);
    kl_x sum = kl_x_reg(x, reg, dt, &m, 1);
    kl_b_store(&in, g->ct, c_at(g, t, m, j), sum, KL_NONE);
}

/* ---- results ---- */

/* Do all results lie side by side along lo, a side's numbers being hi * run + lo? */
static bool stored_in_runs(kl_gemm *g, const kl_side *sd, int64_t run)
{
    const kl_part *p = g->l->p;
    uint32_t hi = kl_x_newvar(g->x, "hi", sd->count),
             lo = kl_x_newvar(g->x, "lo", run ? run : sd->count);
    bool unit = true;
    kl_flat at = {.hi = kl_x_var(g->x, hi), .lo = kl_x_var(g->x, lo), .run = run};
    kl_gemm_place(g, sd, at);
    for (int i = 1; i < p->nstages; i++)
        for (int j = 0; j < p->stages[i].nstores && unit; j++) {
            kl_x base, at = kl_lower_expr(g->l, p->stages[i].stores[j].index);
            int64_t c;
            unit = kl_x_affine(g->x, at, lo, &base, &c) && c == 1;
        }
    return unit;
}

/* The longest such run; 0 also where there is none. */
static int64_t result_run(kl_gemm *g)
{
    int64_t run[KL_MAX_RANK], v, count = 1;
    int n = 0;
    if (g->n.n < 2 || stored_in_runs(g, &g->n, 0))
        return 0;
    while (n + 1 < g->n.n &&
           kl_dim_is_const(g->d, g->l->k->axes[g->n.axes[g->n.n - 1 - n]].extent, &v) &&
           !kl_mul_overflow(count, v, &count))
        run[n++] = count;
    while (n > 0 && (run[n - 1] < 4 || !stored_in_runs(g, &g->n, run[n - 1])))
        n--;
    return n ? run[n - 1] : 0;
}

/* The side's axes from one variable, so that a result's place is that and what else it
 * has; what the variable is, the statements are told when they are there. */
static void flat_point(kl_gemm *g, const kl_side *sd, kl_x is)
{
    g->flat = kl_x_newvar(g->x, "flat", sd->count);
    g->flat_is = is;
    kl_gemm_point(g, sd, kl_x_var(g->x, g->flat));
}

static void store_results(kl_gemm *g, kl_build *b)
{
    kl_stmt **from = b->at;
    g->l->in_lanes = true;
    for (int i = 1; i < g->l->p->nstages; i++)
        kl_lower_stores(g->l, b, &g->l->p->stages[i]);
    if (g->flat != KL_NONE && from)
        kl_lower_named(g->x, *from, g->flat, g->flat_is);
}

/* A loop over columns from first on, by lanes: run by run where results do not lie side
 * by side throughout. The columns' axes are set; *j counts from first. */
static kl_build columns(kl_gemm *g, kl_build *b, kl_x first, kl_dim most, kl_x count,
                        kl_x *j)
{
    g->flat = KL_NONE;
    if (!g->run) {
        kl_build lanes = lane_loop(g, b, most, count, j);
        flat_point(g, &g->n, kl_g_add(g, first, *j));
        return lanes;
    }
    kl_x s, at, lo = kl_x_mod(g->x, first, kl_g_int(g, g->run));
    kl_x runs = kl_g_ceil(g, kl_g_add(g, lo, count), g->run);
    kl_dim most_runs = kl_dim_add(g->d, kl_dim_div(g->d, most, g->run), 2);
    kl_build in = serial(g, b, "s", most_runs, runs, &s);
    kl_x begin = kl_g_sub(g, kl_g_mul(g, s, g->run), lo);
    kl_x from = kl_x_op(g->x, KL_OP_max, begin, kl_g_int(g, 0), KL_NONE);
    kl_x to = kl_g_min(g, kl_g_add(g, begin, kl_g_int(g, g->run)), count);
    kl_x n = kl_g_sub(g, to, from);
    kl_build lanes = lane_loop(g, &in, kl_dim_min(g->d, most, g->run), n, &at);
    *j = kl_g_add(g, from, at);
    kl_flat place = {.hi = kl_g_add(g, kl_g_div(g, first, g->run), s),
                     .lo = kl_g_sub(g, *j, begin),
                     .run = g->run};
    kl_gemm_place(g, &g->n, place);
    return lanes;
}

/* Rows of the register tile from `first` on, as many as a vector has lanes: a square of
 * its columns c, turned. */
static void turn_rows(kl_gemm *g, kl_build *b, const tile *t, kl_x c, int32_t first)
{
    int32_t w = g->vector, rows = KL_MIN(w, g->mr - first);
    kl_dtype dt = g->s->dtype;
    kl_x i, k, col = kl_g_mul(g, c, w), wide = kl_g_int(g, w);
    kl_x square = kl_b_reg(b, "t", dt, w, 1, &w);
    uint32_t reg = (uint32_t)g->x->nodes[square].imm;
    kl_build in = kl_gemm_loop(g, b, "m", rows, kl_g_int(g, rows), KL_BIND_UNROLL, 1, &i);
    kl_build lane = kl_gemm_loop(g, &in, "j", w, wide, KL_BIND_LANE, w, &k);
    kl_x from = c_at(g, t, kl_g_add(g, i, kl_g_int(g, first)), kl_g_add(g, col, k));
    kl_b_set(&lane, kl_x_reg(g->x, reg, dt, &i, 1),
             kl_x_load(g->x, g->ct, dt, from, KL_NONE, KL_NONE));
    in = kl_gemm_loop(g, b, "m", w - rows, kl_g_int(g, w - rows), KL_BIND_UNROLL, 1, &i);
    i = kl_g_add(g, i, kl_g_int(g, rows));
    kl_b_set(&in, kl_x_reg(g->x, reg, dt, &i, 1),
             kl_x_const(g->x, dt, (kl_scalar){.bits = 0}));
    int64_t pitch = turned_pitch(g);
    kl_x to = kl_g_add(g, kl_g_mul(g, col, pitch), kl_g_int(g, first));
    kl_gemm_turn(g, b, reg, "j", "m", (kl_square){g->tt, to, pitch});
}

/* Results that lie along rows: columns one by one, the tile turned. */
static void finish_turned(kl_gemm *g, kl_build *b, const tile *t, kl_x rows, kl_x cols)
{
    kl_x c, j, m;
    kl_build in = serial(g, b, "c", g->nr / g->vector, kl_g_ceil(g, cols, g->vector), &c);
    for (int32_t first = 0; first < g->mr; first += g->vector)
        turn_rows(g, &in, t, c, first);
    in = serial(g, b, "j", g->nr, cols, &j);
    kl_build lanes = kl_gemm_loop(g, &in, "m", g->mr, rows, KL_BIND_LANE, g->vector, &m);
    kl_x at = kl_g_add(g, kl_g_mul(g, j, turned_pitch(g)), m);
    kl_gemm_point(g, &g->batch, t->batch);
    flat_point(g, &g->m, kl_g_add(g, kl_g_add(g, t->row0, t->row), m));
    kl_gemm_point(g, &g->n, kl_g_add(g, kl_g_add(g, t->col0, t->col), j));
    g->l->stage[0] = kl_x_load(g->x, g->tt, g->s->dtype, at, KL_NONE, KL_NONE);
    store_results(g, &lanes);
}

/* A finished register tile goes through the epilogue, or to its block's partial sums. */
static void finish(kl_gemm *g, kl_build *b, const tile *t)
{
    kl_x m, j, rows = kl_g_most(g, g->mr, kl_g_sub(g, t->rows, t->row)),
               cols = kl_g_most(g, g->nr, kl_g_sub(g, t->cols, t->col));
    if (g->turned && t->blk == KL_NONE) {
        finish_turned(g, b, t, rows, cols);
        return;
    }
    kl_build in = serial(g, b, "m", g->mr, rows, &m);
    kl_x row = kl_g_add(g, kl_g_add(g, t->row0, t->row), m),
         col = kl_g_add(g, t->col0, t->col);
    kl_build lanes = t->blk == KL_NONE ? columns(g, &in, col, g->nr, cols, &j)
                                       : lane_loop(g, &in, g->nr, cols, &j);
    kl_x c = kl_x_load(g->x, g->ct, g->s->dtype, c_at(g, t, m, j), KL_NONE, KL_NONE);
    if (t->blk != KL_NONE) {
        kl_x at = kl_gemm_part_at(g, t->blk, t->batch, row, kl_g_add(g, col, j));
        kl_b_store(&lanes, g->part, at, c, KL_NONE);
        return;
    }
    kl_gemm_point(g, &g->batch, t->batch);
    kl_gemm_point(g, &g->m, row);
    g->l->stage[0] = c;
    store_results(g, &lanes);
}

/* Which tile worker w has. */
static void find_tile(kl_gemm *g, tile *t, kl_x w, kl_dim mb, kl_dim nb)
{
    kl_exprs *x = g->x;
    kl_x nn = kl_x_dim(x, nb), mm = kl_x_dim(x, mb), blk = kl_x_dim(x, g->blocks);
    t->col0 = kl_g_mul(g, kl_x_mod(x, w, nn), g->nc);
    w = kl_x_divf(x, w, nn);
    t->row0 = kl_g_mul(g, kl_x_mod(x, w, mm), g->mc);
    w = kl_x_divf(x, w, mm);
    kl_x block = kl_x_mod(x, w, blk);
    t->batch = kl_x_divf(x, w, blk);
    t->blk = g->blocks != 1 ? block : KL_NONE;
    t->rows = kl_g_most(g, g->mc, kl_g_sub(g, kl_x_dim(x, g->m.count), t->row0));
    t->cols = kl_g_most(g, g->nc, kl_g_sub(g, kl_x_dim(x, g->n.count), t->col0));
    t->k0 = kl_g_mul(g, block, KL_BLOCK);
    t->klen = kl_g_most(g, KL_BLOCK, kl_g_sub(g, kl_x_dim(x, g->k), t->k0));
}

static void open_tiles(kl_gemm *g, const tile *t)
{
    kl_dtype dt = g->s->dtype;
    int64_t rows = by_panel(g) ? g->mr : g->ra.k ? g->mc : g->kc;
    g->ct = kl_lower_tile(g->l, "c", dt, t->many ? g->mc * g->nc : g->mr * g->nr,
                          KL_ROLE_TILE);
    if (g->pack_a == KL_PACK_TILE)
        g->pa = kl_lower_tile(g->l, "pa", dt, rows * pitch_a(g), KL_ROLE_TILE);
    if (g->pack_b == KL_PACK_TILE)
        g->pb = kl_lower_tile(g->l, "pb", dt, g->nc * g->kc, KL_ROLE_TILE);
    if (g->turned)
        g->tt = kl_lower_tile(g->l, "ct", dt, g->nr * turned_pitch(g), KL_ROLE_TILE);
}

/* One kb: what is packed, then register tile after register tile. B's corner stays in L2
 * and a panel of A in L1: what comes from further away is that panel, MR rows at a time.
 */
static void walk(kl_gemm *g, kl_build *b, tile *t)
{
    kl_x rows = kl_g_ceil(g, t->rows, g->mr);
    bool a = g->pack_a == KL_PACK_TILE;
    if (g->pack_b == KL_PACK_TILE)
        pack_corner_b(g, b, t);
    if (a && !by_panel(g)) {
        kl_x all = kl_g_mul(g, rows, g->mr);
        pack_a(g, b, t, kl_g_int(g, 0), all, g->mc);
    }
    kl_build outer = serial(g, b, "ir", g->mc / g->mr, rows, &t->ir);
    t->row = kl_g_mul(g, t->ir, g->mr);
    if (a && by_panel(g))
        pack_a(g, &outer, t, t->row, kl_g_int(g, g->mr), g->mr);
    kl_build inner =
        serial(g, &outer, "jr", g->nc / g->nr, kl_g_ceil(g, t->cols, g->nr), &t->jr);
    t->col = kl_g_mul(g, t->jr, g->nr);
    micro(g, &inner, t);
    kl_build end = t->many ? kl_b_if(&inner, t->last) : inner;
    finish(g, &end, t);
}

static kl_status multiply(kl_gemm *g)
{
    kl_build b;
    kl_x w;
    int64_t lo, most;
    kl_dim mb = kl_dim_ceildiv(g->d, g->m.count, g->mc),
           nb = kl_dim_ceildiv(g->d, g->n.count, g->nc);
    kl_dim tiles = kl_dim_mul(g->d, mb, nb),
           workers = kl_dim_mul(g->d, kl_dim_mul(g->d, g->batch.count, g->blocks), tiles);
    int64_t work = KL_MIN(g->mc, kl_gemm_hint(g->l->k, g->m.count)) *
                   KL_MIN(g->nc, kl_gemm_hint(g->l->k, g->n.count)) *
                   KL_MIN(kl_gemm_hint(g->l->k, g->k), KL_BLOCK);
    kl_dim_range(g->d, g->k, &lo, &most);
    tile t = {.many = KL_MIN(most, KL_BLOCK) > g->kc, .kb = kl_g_int(g, 0)};
    open_tiles(g, &t);
    if (!kl_lower_phase(g->l, workers, KL_MAX(GRAIN / KL_MAX(work, 1), 1), &b, &w))
        return no_memory();
    find_tile(g, &t, w, mb, nb);
    kl_gemm_point(g, &g->batch, t.batch);
    t.kfrom = t.k0, t.len = t.klen;
    if (!t.many) {
        walk(g, &b, &t);
        return KL_OK;
    }
    kl_x steps = kl_g_ceil(g, t.klen, g->kc);
    kl_build in = serial(g, &b, "kb", (KL_BLOCK + g->kc - 1) / g->kc, steps, &t.kb);
    kl_x from = kl_g_mul(g, t.kb, g->kc);
    t.last = kl_x_op(g->x, KL_OP_eq, t.kb, kl_g_sub(g, steps, kl_g_int(g, 1)), KL_NONE);
    t.len = kl_g_most(g, g->kc, kl_g_sub(g, t.klen, from));
    t.kfrom = kl_g_add(g, t.k0, from);
    walk(g, &in, &t);
    return KL_OK;
}

/* ---- phase 2: blocks of k fold ---- */

kl_status kl_gemm_fold(kl_gemm *g)
{
    kl_exprs *x = g->x;
    kl_build b;
    kl_x j, w;
    kl_dim rows = kl_dim_mul(g->d, g->batch.count, g->m.count),
           area = kl_dim_mul(g->d, rows, g->n.count);
    kl_phase *ph = kl_lower_phase(
        g->l, rows, KL_MAX(16384 / KL_MAX(kl_gemm_hint(g->l->k, g->n.count), 1), 1), &b,
        &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x row = kl_x_mod(x, w, kl_x_dim(x, g->m.count)),
         batch = kl_x_divf(x, w, kl_x_dim(x, g->m.count));
    kl_x width = kl_x_dim(x, g->n.count);
    kl_build in = columns(g, &b, kl_g_int(g, 0), g->n.count, width, &j);
    kl_x at = kl_g_add(g, kl_x_mul(x, w, width), j), n = kl_x_dim(x, g->blocks),
         one = kl_g_int(g, 1);
    int64_t lo, hi, levels = 0;
    kl_dim_range(g->d, g->blocks, &lo, &hi);
    while (hi > (int64_t)1 << levels)
        levels++;
    kl_x lev, i;
    kl_build up = serial(g, &in, "level", KL_MAX(levels, 1), kl_g_int(g, levels), &lev);
    kl_x span = kl_x_op(x, KL_OP_shl, one, lev, KL_NONE);
    kl_x next = kl_g_add(g, lev, one), sums = kl_g_sub(g, kl_g_add(g, n, span), one),
         pairs = kl_x_op(x, KL_OP_shr, sums, next, KL_NONE);
    kl_build body = serial(g, &up, "i", KL_MAX(hi / 2, 1), pairs, &i);
    kl_x first = kl_x_mul(x, kl_g_mul(g, i, 2), span), second = kl_g_add(g, first, span),
         step = kl_x_dim(x, area);
    kl_build both = kl_b_if(&body, kl_x_lt(x, second, n));
    kl_x p = kl_g_add(g, kl_x_mul(x, first, step), at),
         q = kl_g_add(g, kl_x_mul(x, second, step), at);
    kl_x more = kl_x_load(x, g->part, g->s->dtype, q, KL_NONE, KL_NONE),
         here = kl_x_load(x, g->part, g->s->dtype, p, KL_NONE, KL_NONE);
    kl_b_store(&both, g->part, p, kl_combine(x, KL_OP_add, here, more), KL_NONE);
    kl_x sum = kl_b_reg(&in, "sum", g->s->dtype, g->nr, 0, NULL);
    kl_b_set(&in, sum, kl_x_load(x, g->part, g->s->dtype, at, KL_NONE, KL_NONE));
    kl_gemm_point(g, &g->batch, batch);
    kl_gemm_point(g, &g->m, row);
    g->l->stage[0] = sum;
    store_results(g, &in);
    return KL_OK;
}

/* ---- the recipe ---- */

void kl_gemm_open(kl_gemm *g, kl_lower *l)
{
    kl_stage *s = &l->p->stages[0];
    *g =
        (kl_gemm){.l = l, .x = l->x, .d = l->x->dims, .s = s, .a = s->value, .b = s->rhs};
    kl_gemm_sides(l->k, l->p, s, &g->batch, &g->m, &g->n);
    bool along_m = kl_gemm_stored_along(l->k, l->p, &g->m) &&
                   !kl_gemm_stored_along(l->k, l->p, &g->n);
    if (kl_param(l->k, l->part, "swap", along_m)) {
        kl_side m = g->m;
        g->m = g->n, g->n = m;
        g->a = s->rhs, g->b = s->value;
    }
    g->k = l->k->axes[s->axes[0]].extent;
    g->blocks = kl_dim_ceildiv(g->d, g->k, KL_BLOCK);
}

void kl_gemm_part(kl_gemm *g)
{
    kl_dim area = kl_dim_mul(g->d, g->m.count, g->n.count);
    area = kl_dim_mul(g->d, kl_dim_mul(g->d, g->blocks, g->batch.count), area);
    g->part = kl_lower_tile(g->l, "part", g->s->dtype, area, KL_ROLE_TEMP);
}

kl_x kl_gemm_part_at(kl_gemm *g, kl_x block, kl_x batch, kl_x row, kl_x col)
{
    kl_x at = kl_g_add(g, kl_x_mul(g->x, block, kl_x_dim(g->x, g->batch.count)), batch);
    at = kl_g_add(g, kl_x_mul(g->x, at, kl_x_dim(g->x, g->m.count)), row);
    return kl_g_add(g, kl_x_mul(g->x, at, kl_x_dim(g->x, g->n.count)), col);
}

static void read_schedule(kl_gemm *g)
{
    const kl_kernel *k = g->l->k;
    int part = g->l->part;
    g->mr = (int32_t)kl_param(k, part, "mr", 1);
    g->nr = (int32_t)kl_param(k, part, "nr", 1);
    g->mc = kl_param(k, part, "mc", g->mr);
    g->nc = kl_param(k, part, "nc", g->nr);
    g->kc = kl_param(k, part, "kc", KL_BLOCK);
    g->pack_a = (int)kl_param(k, part, "a", KL_PACK_WHOLE);
    g->pack_b = (int)kl_param(k, part, "b", KL_PACK_WHOLE);
    g->vector =
        (int32_t)KL_MAX(k->target->vector_bits / (8 * kl_dtypes[g->s->dtype].size), 1);
    kl_gemm_reading(g->l->k, g->s, g->a, &g->m, g->vector, &g->ra);
    kl_gemm_reading(g->l->k, g->s, g->b, &g->n, g->vector, &g->rb);
}

kl_status kl_lower_gemm(kl_lower *l)
{
    kl_gemm g;
    kl_gemm_open(&g, l);
    read_schedule(&g);
    g.run = result_run(&g);
    g.turned = g.vector > 1 && g.blocks == 1 && kl_dtypes[g.s->dtype].size >= 4 &&
               !stored_in_runs(&g, &g.n, g.run) && stored_in_runs(&g, &g.m, 0);
    if (g.pack_a == KL_PACK_WHOLE)
        KL_TRY(pack_whole_a(&g));
    if (g.pack_b == KL_PACK_WHOLE)
        KL_TRY(pack_b(&g));
    if (g.blocks != 1)
        kl_gemm_part(&g);
    KL_TRY(multiply(&g));
    if (g.blocks != 1)
        KL_TRY(kl_gemm_fold(&g));
    return kl_arena_failed(l->k->arena) ? no_memory() : KL_OK;
}
