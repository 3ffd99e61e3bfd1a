/* lower_tiles.c: contraction on a GPU: tiles in shared memory, tiles in registers.
 *
 *   phase 0   a block owns BM x BN of C (and one block of 4096 in k), a thread TM x TN of
 * it: for kb in steps of BK: as[BK][BM], bs[BK][BN] <- what was fetched       barrier
 *                 fetch the next BK columns of A and rows of B into registers
 *                 for k in BK: acc[i,j] = fma(a[i], b[j], acc[i,j])  barrier
 *               the epilogue, or this block's partial sums
 *   phase 1   only if k has several blocks: they fold in adjacent pairs, then the
 * epilogue
 *
 * Every output adds along k in order, by fma from +0: the CPU's bits. Past the last k a
 * step adds -0.0 * 0, which changes no accumulator, not even -0. Rows and columns past
 * the edge read the last one again and are not stored. A thread's rows and columns lie
 * apart, so that threads side by side read and write side by side.
 *
 * For matrix units the same recipe will bind k to KL_BIND_MATRIX and give a warp, not a
 * thread, the register tile: numbers that the schedule decides (class tiles: bm bn bk tm
 * tn). */
#include "passes/gemm.h"

enum { THREADS = 256, ENOUGH_BLOCKS = 128 };

/* ---- the schedule's numbers ---- */

static const struct shape {
    int16_t bm, bn, bk, tm, tn;
} shapes[] = {{128, 128, 8, 8, 8}, {64, 64, 16, 4, 4}, {32, 32, 32, 2, 2}};

/* The largest tile that still gives every multiprocessor a block. */
void kl_schedule_tiles(kl_kernel *k, int part, const kl_target *t)
{
    const kl_part *p = &k->parts[part];
    kl_side batch, m, n;
    kl_gemm_sides(k, p, &p->stages[0], &batch, &m, &n);
    int64_t mm = kl_gemm_hint(k, m.count), nn = kl_gemm_hint(k, n.count);
    size_t best = p->stages[0].dtype == KL_F64; /* twice the registers */
    (void)t;
    for (; best + 1 < KL_COUNT(shapes); best++) {
        const struct shape *s = &shapes[best];
        if (s->bm >= 2 * mm || s->bn >= 2 * nn)
            continue; /* more than half of it idle */
        int64_t blocks = ((mm + s->bm - 1) / s->bm) * ((nn + s->bn - 1) / s->bn);
        if (blocks * kl_gemm_hint(k, batch.count) >= ENOUGH_BLOCKS)
            break;
    }
    const struct shape *s = &shapes[best];
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "tiles");
    kl_decide(k, KL_DEC_PARAM, part, -1, THREADS, "lanes");
    kl_decide(k, KL_DEC_PARAM, part, -1, s->bm, "bm");
    kl_decide(k, KL_DEC_PARAM, part, -1, s->bn, "bn");
    kl_decide(k, KL_DEC_PARAM, part, -1, s->bk, "bk");
    kl_decide(k, KL_DEC_PARAM, part, -1, s->tm, "tm");
    kl_decide(k, KL_DEC_PARAM, part, -1, s->tn, "tn");
}

/* ---- one operand's tile ---- */

typedef struct operand { /* A or B */
    const char *name;
    kl_side *side;
    kl_x value;
    double pad;     /* past the last k */
    int32_t extent; /* BM or BN */
    int32_t each;   /* elements a thread moves */
    bool along_k;   /* memory runs along k: threads do too */
    int32_t
        pitch; /* of the tile's rows: odd then, so that stores spread over the banks */
    uint32_t tile, reg;
    kl_x first; /* the tile's first row or column */
} operand;

typedef struct tiles {
    kl_gemm g;
    kl_exprs *x;
    kl_dtype dt;
    int32_t bk, tm, tn;
    operand a, b;
    kl_x batch, block, k0, end; /* the k of this block: [k0, end) */
} tiles;

static kl_x num(tiles *t, int64_t v)
{
    return kl_x_int(t->x, v);
}

static kl_x plus(tiles *t, kl_x a, kl_x b)
{
    return kl_x_add(t->x, a, b);
}

static kl_x times(tiles *t, kl_x a, int64_t b)
{
    return kl_x_mul(t->x, a, num(t, b));
}

static kl_x lesser(tiles *t, kl_x a, kl_x b)
{
    return kl_x_op(t->x, KL_OP_min, a, b, KL_NONE);
}

static kl_build unrolled(tiles *t, kl_build *b, const char *name, int32_t n, kl_x *v)
{
    uint32_t var = kl_x_newvar(t->x, name, n);
    *v = kl_x_var(t->x, var);
    return kl_b_for(b, var, num(t, n), KL_BIND_UNROLL, 1);
}

static kl_build threads(tiles *t, kl_build *b, kl_x *v)
{
    uint32_t var = kl_x_newvar(t->x, "thread", THREADS);
    *v = kl_x_var(t->x, var);
    return kl_b_for(b, var, num(t, THREADS), KL_BIND_LANE, THREADS);
}

static void open_operand(tiles *t, operand *o, int32_t extent)
{
    kl_gemm *g = &t->g;
    bool along_side =
        o->side->n && kl_gemm_step(g->x, o->value, o->side->axes[o->side->n - 1], 1);
    o->extent = extent;
    o->each = extent * t->bk / THREADS;
    o->along_k = !along_side && kl_gemm_step(g->x, o->value, g->s->axes[0], 1);
    o->pitch = extent + o->along_k;
    o->tile = kl_lower_tile(g->l, o->name, t->dt, (kl_dim)o->pitch * t->bk, KL_ROLE_TILE);
}

/* Where in the tile a thread's element e lies: row or column, and k. */
static void place(tiles *t, const operand *o, kl_x thread, kl_x e, kl_x *side, kl_x *k)
{
    kl_x at = plus(t, times(t, e, THREADS), thread),
         n = num(t, o->along_k ? t->bk : o->extent);
    kl_x fast = kl_x_mod(t->x, at, n), slow = kl_x_divf(t->x, at, n);
    *side = o->along_k ? slow : fast;
    *k = o->along_k ? fast : slow;
}

/* The operand's element at the flat row or column `at` and at k, inside its array. */
static kl_x element(tiles *t, const operand *o, kl_x at, kl_x k)
{
    kl_gemm *g = &t->g;
    kl_x last = kl_x_dim(t->x, kl_dim_sub(g->d, o->side->count, 1));
    kl_x end = kl_x_op(t->x, KL_OP_sub, t->end, num(t, 1), KL_NONE);
    kl_gemm_point(g, &g->batch, t->batch);
    kl_gemm_point(g, o->side, lesser(t, at, last));
    g->l->axis[g->s->axes[0]] = lesser(t, k, end);
    kl_x v = kl_lower_expr(g->l, o->value);
    kl_x pad = kl_x_const(t->x, t->dt, kl_scalar_from(t->dt, o->pad));
    return kl_x_op(t->x, KL_OP_where, kl_x_lt(t->x, k, t->end), v, pad);
}

/* Into registers: this thread's elements of the step that begins at k. */
static void fetch(tiles *t, kl_build *b, const operand *o, kl_x thread, kl_x k)
{
    kl_x e, side, kk;
    kl_build in = unrolled(t, b, "e", o->each, &e);
    place(t, o, thread, e, &side, &kk);
    kl_x at_k = plus(t, k, kk), v = element(t, o, plus(t, o->first, side), at_k);
    kl_b_set(&in, kl_x_reg(t->x, o->reg, t->dt, &e, 1), v);
}

static void put(tiles *t, kl_build *b, const operand *o, kl_x thread)
{
    kl_x e, side, k;
    kl_build in = unrolled(t, b, "e", o->each, &e);
    place(t, o, thread, e, &side, &k);
    kl_x v = kl_x_reg(t->x, o->reg, t->dt, &e, 1);
    kl_b_store(&in, o->tile, plus(t, times(t, k, o->pitch), side), v, KL_NONE);
}

/* ---- a step ---- */

/* Row (column) i of this thread: they lie `apart` from each other. */
static kl_x mine(tiles *t, kl_x who, kl_x i, int32_t apart)
{
    return plus(t, times(t, i, apart), who);
}

static uint32_t read_tile(tiles *t, kl_build *b, const operand *o, const char *name,
                          kl_x who, kl_x k, int32_t n)
{
    kl_x i, r = kl_b_reg(b, name, t->dt, THREADS, 1, &n);
    uint32_t reg = (uint32_t)t->x->nodes[r].imm;
    kl_build in = unrolled(t, b, "i", n, &i);
    kl_x column = mine(t, who, i, o->extent / n);
    kl_x at = plus(t, times(t, k, o->pitch), column);
    kl_x v = kl_x_load(t->x, o->tile, t->dt, at, KL_NONE, KL_NONE);
    kl_b_set(&in, kl_x_reg(t->x, reg, t->dt, &i, 1), v);
    return reg;
}

static void who_am_i(tiles *t, kl_x thread, kl_x *row, kl_x *col)
{
    kl_x wide = num(t, t->b.extent / t->tn);
    *row = kl_x_divf(t->x, thread, wide);
    *col = kl_x_mod(t->x, thread, wide);
}

static void multiply(tiles *t, kl_build *b, uint32_t acc)
{
    kl_x thread, row, col, k, ij[2];
    kl_build in = threads(t, b, &thread);
    who_am_i(t, thread, &row, &col);
    kl_build step = unrolled(t, &in, "k", t->bk, &k);
    uint32_t ra = read_tile(t, &step, &t->a, "a", row, k, t->tm);
    uint32_t rb = read_tile(t, &step, &t->b, "b", col, k, t->tn);
    kl_build rows = unrolled(t, &step, "i", t->tm, &ij[0]);
    kl_build cols = unrolled(t, &rows, "j", t->tn, &ij[1]);
    kl_x c = kl_x_reg(t->x, acc, t->dt, ij, 2),
         right = kl_x_reg(t->x, rb, t->dt, &ij[1], 1),
         left = kl_x_reg(t->x, ra, t->dt, &ij[0], 1);
    kl_b_set(&cols, c, kl_x_op(t->x, KL_OP_fma, left, right, c));
}

/* ---- results ---- */

static void store(tiles *t, kl_build *b, kl_x row, kl_x col, kl_x value)
{
    kl_gemm *g = &t->g;
    kl_x in_n = kl_x_lt(t->x, col, kl_x_dim(t->x, g->n.count)),
         inside = kl_x_and(t->x, kl_x_lt(t->x, row, kl_x_dim(t->x, g->m.count)), in_n);
    kl_build in = inside == KL_NONE ? *b : kl_b_if(b, inside);
    if (g->blocks != 1) {
        kl_b_store(&in, g->part, kl_gemm_part_at(g, t->block, t->batch, row, col), value,
                   KL_NONE);
        return;
    }
    kl_gemm_point(g, &g->batch, t->batch);
    kl_gemm_point(g, &g->m, row);
    kl_gemm_point(g, &g->n, col);
    g->l->stage[0] = value;
    g->l->in_lanes = true;
    for (int i = 1; i < g->l->p->nstages; i++)
        kl_lower_stores(g->l, &in, &g->l->p->stages[i]);
}

static void finish(tiles *t, kl_build *b, uint32_t acc)
{
    kl_x thread, row, col, ij[2];
    kl_build in = threads(t, b, &thread);
    who_am_i(t, thread, &row, &col);
    kl_build rows = unrolled(t, &in, "i", t->tm, &ij[0]);
    kl_build cols = unrolled(t, &rows, "j", t->tn, &ij[1]);
    kl_x r = plus(t, t->a.first, mine(t, row, ij[0], t->a.extent / t->tm));
    kl_x c = plus(t, t->b.first, mine(t, col, ij[1], t->b.extent / t->tn));
    store(t, &cols, r, c, kl_x_reg(t->x, acc, t->dt, ij, 2));
}

/* ---- the phase ---- */

static uint32_t accumulators(tiles *t, kl_build *b)
{
    int32_t dims[2] = {t->tm, t->tn};
    kl_x ij[2], acc = kl_b_reg(b, "acc", t->dt, THREADS, 2, dims);
    uint32_t reg = (uint32_t)t->x->nodes[acc].imm;
    kl_build rows = unrolled(t, b, "i", t->tm, &ij[0]);
    kl_build cols = unrolled(t, &rows, "j", t->tn, &ij[1]);
    kl_x none = kl_x_const(t->x, t->dt, (kl_scalar){.bits = 0});
    kl_b_set(&cols, kl_x_reg(t->x, reg, t->dt, ij, 2), none);
    return reg;
}

/* Which tile of C, which block of k. */
static void which(tiles *t, kl_x w, kl_dim mb, kl_dim nb)
{
    kl_gemm *g = &t->g;
    kl_x n = kl_x_dim(t->x, nb), m = kl_x_dim(t->x, mb),
         blocks = kl_x_dim(t->x, g->blocks);
    t->b.first = times(t, kl_x_mod(t->x, w, n), t->b.extent);
    w = kl_x_divf(t->x, w, n);
    t->a.first = times(t, kl_x_mod(t->x, w, m), t->a.extent);
    w = kl_x_divf(t->x, w, m);
    t->block = kl_x_mod(t->x, w, blocks);
    t->batch = kl_x_divf(t->x, w, blocks);
    t->k0 = times(t, t->block, KL_BLOCK);
    kl_x all = kl_x_dim(t->x, g->k);
    t->end = lesser(t, plus(t, t->k0, num(t, KL_BLOCK)), all);
}

static void fetch_both(tiles *t, kl_build *b, kl_x k)
{
    kl_x thread;
    kl_build in = threads(t, b, &thread);
    fetch(t, &in, &t->a, thread, k);
    fetch(t, &in, &t->b, thread, k);
}

static void steps(tiles *t, kl_build *b, uint32_t acc)
{
    kl_x thread, len = kl_x_op(t->x, KL_OP_sub, t->end, t->k0, KL_NONE);
    kl_x bk = num(t, t->bk), n = kl_x_divf(t->x, plus(t, len, num(t, t->bk - 1)), bk);
    uint32_t var = kl_x_newvar(t->x, "step", KL_BLOCK / t->bk);
    fetch_both(t, b, t->k0);
    kl_build in = kl_b_for(b, var, n, KL_BIND_SERIAL, 1);
    kl_build move = threads(t, &in, &thread);
    put(t, &move, &t->a, thread);
    put(t, &move, &t->b, thread);
    if (!KL_PLANTED(tile_first))
        kl_b_barrier(&in);
    kl_x one = num(t, 1), next = plus(t, kl_x_var(t->x, var), one);
    fetch_both(t, &in, plus(t, t->k0, times(t, next, t->bk)));
    multiply(t, &in, acc);
    if (!KL_PLANTED(tile_last))
        kl_b_barrier(&in);
}

static kl_status phase(tiles *t)
{
    kl_gemm *g = &t->g;
    kl_build b;
    kl_x w;
    kl_dim mb = kl_dim_ceildiv(g->d, g->m.count, t->a.extent),
           nb = kl_dim_ceildiv(g->d, g->n.count, t->b.extent);
    kl_dim tiles = kl_dim_mul(g->d, mb, nb),
           workers = kl_dim_mul(g->d, kl_dim_mul(g->d, g->batch.count, g->blocks), tiles);
    if (!kl_lower_phase(g->l, workers, 1, &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    which(t, w, mb, nb);
    uint32_t acc = accumulators(t, &b);
    kl_x next_a = kl_b_reg(&b, "next_a", t->dt, THREADS, 1, &t->a.each);
    kl_x next_b = kl_b_reg(&b, "next_b", t->dt, THREADS, 1, &t->b.each);
    t->a.reg = (uint32_t)t->x->nodes[next_a].imm; /* the nodes may have moved before */
    t->b.reg = (uint32_t)t->x->nodes[next_b].imm;
    steps(t, &b, acc);
    finish(t, &b, acc);
    return KL_OK;
}

kl_status kl_lower_tiles(kl_lower *l)
{
    tiles t = {.x = l->x};
    kl_gemm_open(&t.g, l);
    t.dt = t.g.s->dtype;
    t.bk = (int32_t)kl_param(l->k, l->part, "bk", 16);
    t.tm = (int32_t)kl_param(l->k, l->part, "tm", 4);
    t.tn = (int32_t)kl_param(l->k, l->part, "tn", 4);
    t.a = (operand){.name = "as", .side = &t.g.m, .value = t.g.a, .pad = -0.0};
    t.b = (operand){.name = "bs", .side = &t.g.n, .value = t.g.b, .pad = 0.0};
    open_operand(&t, &t.a, (int32_t)kl_param(l->k, l->part, "bm", 64));
    open_operand(&t, &t.b, (int32_t)kl_param(l->k, l->part, "bn", 64));
    t.g.nr = THREADS;
    if (t.g.blocks != 1)
        kl_gemm_part(&t.g);
    KL_TRY(phase(&t));
    if (t.g.blocks != 1)
        KL_TRY(kl_gemm_fold(&t.g));
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}
