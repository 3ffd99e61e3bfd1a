/* lower_gemm.c: contraction through packed panels and a register-blocked micro-kernel.
 *
 *   phase 0   B is packed: panels of NR columns, k running inside    pb[panel][k][NR]
 *   phase 1   a worker owns an MC x NC tile of C (and one block of 4096 in k):
 *             for kb: A's MC x KC corner packed (or read where it lies)
 *               for ir, jr: acc[MR] lanes NR; for k: acc[m] = fma(a[m,k], pb[k, j],
 * acc[m]) phase 2   only if k has several blocks: they fold in adjacent pairs, then the
 * epilogue
 *
 * Every output adds along k in order: accumulators pass from one kb to the next through a
 * tile, as f32, exactly. M, N and batch may each be several axes (a convolution's rows
 * and columns): they are flat numbers here, and operands are read through their index
 * expressions (implicit GEMM). Rows and columns past the edge read the last one again and
 * are not stored. */
#include "passes/gemm.h"

enum { KC = 512, SMALL_FLOPS = 16 * 16 * 16 };

/* ---- what the axes are
 * ------------------------------------------------------------------------- */

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

/* The lanes' side is the one along which results are stored one after the other. */
static bool stored_along(kl_gemm *g, const kl_side *sd)
{
    const kl_part *p = g->l->p;
    for (int i = 1; i < p->nstages; i++)
        for (int j = 0; j < p->stages[i].nstores; j++) {
            kl_x base;
            int64_t c;
            if (sd->n &&
                kl_x_affine(g->x, p->stages[i].stores[j].index, sd->axes[sd->n - 1],
                            &base, &c) &&
                c == 1)
                return true;
        }
    return false;
}

bool kl_gemm_unit(kl_gemm *g, kl_x e, uint32_t axis)
{
    for (kl_x i = 0; i <= e; i++) {
        kl_x base;
        int64_t c;
        const kl_xnode *n = &g->x->nodes[i];
        if (n->op == KL_X_LOAD && kl_x_uses_var(g->x, i, axis) &&
            kl_x_affine(g->x, n->src[0], axis, &base, &c) && c == 1)
            return true;
    }
    return false;
}

static bool plain_load(const kl_gemm *g, kl_x e)
{
    const kl_xnode *n = &g->x->nodes[e];
    return n->op == KL_X_LOAD && (n->nsrc < 2 || n->src[1] == KL_NONE);
}

/* Register tile from the target's registers: MR rows of NR lanes beside NR lanes of B. */
static void choose_tile(kl_gemm *g)
{
    const kl_target *t = g->l->k->target;
    int32_t v = KL_MAX(t->vector_bits / (8 * kl_dtypes[g->s->dtype].size), 1),
            regs = t->vector_regs;
    int64_t n = kl_gemm_hint(g->l->k, g->n.count), m = kl_gemm_hint(g->l->k, g->m.count);
    int32_t nv = regs >= 32 ? 3 : 2;
    while (nv > 1 && (n <= (nv - 1) * v ||
                      (n % (nv * v) != 0 && n < 8 * nv * v && n % ((nv - 1) * v) == 0)))
        nv--;
    g->nr = nv * v;
    g->mr = KL_MIN((regs - nv - 1) / nv, 14);
    g->mr = (int32_t)KL_MIN(g->mr, m);
    if (m > g->mr && m < 4 * g->mr) /* even panels waste no rows */
        g->mr = (int32_t)((m + (m + g->mr - 1) / g->mr - 1) / ((m + g->mr - 1) / g->mr));
    g->mc = KL_MAX(96 / g->mr, 1) * g->mr;
    g->nc = KL_MAX(192 / g->nr, 1) * g->nr;
    if (m <= g->mc && n > g->nc) /* few rows: make enough workers out of columns */
        g->nc = KL_MAX(96 / g->nr, 1) * g->nr;
}

/* ---- reading operands at flat numbers
 * ---------------------------------------------------------------- */

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

static kl_x int_x(kl_gemm *g, int64_t v)
{
    return kl_x_int(g->x, v);
}
static kl_x add_x(kl_gemm *g, kl_x a, kl_x b)
{
    return kl_x_add(g->x, a, b);
}
static kl_x mul_x(kl_gemm *g, kl_x a, int64_t b)
{
    return kl_x_mul(g->x, a, kl_x_int(g->x, b));
}
static kl_x min_x(kl_gemm *g, kl_x a, kl_x b)
{
    return kl_x_op(g->x, KL_OP_min, a, b, KL_NONE);
}
static kl_x sub_x(kl_gemm *g, kl_x a, kl_x b)
{
    return kl_x_op(g->x, KL_OP_sub, a, b, KL_NONE);
}

/* The last row or column again, past the edge. */
static kl_x clamp(kl_gemm *g, kl_x i, kl_dim count)
{
    return min_x(g, i, kl_x_dim(g->x, kl_dim_sub(g->d, count, 1)));
}

static kl_x read_a(kl_gemm *g, kl_x row, kl_x k)
{
    kl_gemm_point(g, &g->m, clamp(g, row, g->m.count));
    g->l->axis[g->s->axes[0]] = k;
    return kl_lower_expr(g->l, g->a);
}

static kl_x read_b(kl_gemm *g, kl_x col, kl_x k)
{
    kl_gemm_point(g, &g->n, g->pack_b ? clamp(g, col, g->n.count) : col);
    g->l->axis[g->s->axes[0]] = k;
    return kl_lower_expr(g->l, g->b);
}

static kl_build loop(kl_gemm *g, kl_build *b, const char *name, kl_dim bound, kl_x extent,
                     kl_bind bind, kl_x *v)
{
    uint32_t var = kl_x_newvar(g->x, name, bound);
    *v = kl_x_var(g->x, var);
    return kl_b_for(b, var, extent, bind, bind == KL_BIND_LANE ? g->nr : 1);
}

/* ---- phase 0: B into panels
 * ---------------------------------------------------------------------------- */

static kl_dim panels(kl_gemm *g)
{
    return kl_dim_ceildiv(g->d, g->n.count, g->nr);
}

static kl_x packed_at(kl_gemm *g, kl_x batch, kl_x panel, kl_x k)
{
    kl_x p = add_x(g, kl_x_mul(g->x, batch, kl_x_dim(g->x, panels(g))), panel);
    return mul_x(g, add_x(g, kl_x_mul(g->x, p, kl_x_dim(g->x, g->k)), k), g->nr);
}

/* Columns of several axes (a convolution's images, rows, columns): when whole runs of the
 * innermost one fill a panel, each run is contiguous in x and is packed by vectors of its
 * own length. */
static int64_t runs_of(const kl_gemm *g)
{
    int64_t e;
    if (g->n.n < 2 ||
        !kl_dim_is_const(g->d, g->l->k->axes[g->n.axes[g->n.n - 1]].extent, &e))
        return 1;
    return e >= 4 && e < g->nr && g->nr % e == 0 ? g->nr / e : 1;
}

static kl_status pack_runs(kl_gemm *g, kl_build *b, kl_x batch, kl_x panel, kl_x chunk,
                           kl_x len)
{
    int64_t runs = runs_of(g), e = g->nr / runs;
    kl_x k, r;
    kl_build in = loop(g, b, "k", KC, len, KL_BIND_SERIAL, &k);
    kl_build each = loop(g, &in, "r", runs, int_x(g, runs), KL_BIND_SERIAL, &r);
    uint32_t var = kl_x_newvar(g->x, "j", e);
    kl_build body = kl_b_for(&each, var, int_x(g, e), KL_BIND_LANE, (int32_t)e);
    kl_x j = kl_x_var(g->x, var), row = add_x(g, mul_x(g, panel, runs), r);
    kl_dim rows = kl_dim_div(g->d, g->n.count, e);
    kl_x col = add_x(g, mul_x(g, clamp(g, row, rows), e), j), kk = add_x(g, chunk, k);
    kl_gemm_point(g, &g->n, col);
    g->l->axis[g->s->axes[0]] = kk;
    kl_x at = add_x(g, packed_at(g, batch, panel, kk), add_x(g, mul_x(g, r, e), j));
    kl_b_store(&body, g->pb, at, kl_lower_expr(g->l, g->b), KL_NONE);
    return KL_OK;
}

static kl_status pack_b(kl_gemm *g)
{
    kl_build b;
    kl_x j, k, chunk, w;
    kl_dim np = panels(g), chunks = kl_dim_ceildiv(g->d, g->k, KC),
           all = kl_dim_mul(g->d, g->batch.count, np);
    g->pb =
        kl_lower_tile(g->l, "pb", g->s->dtype,
                      kl_dim_mul(g->d, all, kl_dim_mul(g->d, g->k, g->nr)), KL_ROLE_TEMP);
    kl_phase *ph = kl_lower_phase(g->l, kl_dim_mul(g->d, all, chunks),
                                  KL_MAX(16384 / (KC * g->nr), 1), &b, &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x nc = kl_x_dim(g->x, chunks), pn = kl_x_dim(g->x, np);
    kl_x bp = kl_x_divf(g->x, w, nc), panel = kl_x_mod(g->x, bp, pn),
         batch = kl_x_divf(g->x, bp, pn);
    chunk = mul_x(g, kl_x_mod(g->x, w, nc), KC);
    kl_gemm_point(g, &g->batch, batch);
    kl_x len = min_x(g, int_x(g, KC), sub_x(g, kl_x_dim(g->x, g->k), chunk));
    bool along_k = !g->n.n || (!kl_gemm_unit(g, g->b, g->n.axes[g->n.n - 1]) &&
                               kl_gemm_unit(g, g->b, g->s->axes[0]));
    if (!along_k && runs_of(g) > 1)
        return pack_runs(g, &b, batch, panel, chunk, len);
    kl_build in = along_k ? loop(g, &b, "j", g->nr, int_x(g, g->nr), KL_BIND_SERIAL, &j)
                          : loop(g, &b, "j", g->nr, int_x(g, g->nr), KL_BIND_LANE, &j);
    kl_build body = loop(g, &in, "k", KC, len, KL_BIND_SERIAL, &k);
    kl_x kk = add_x(g, chunk, k), v = read_b(g, add_x(g, mul_x(g, panel, g->nr), j), kk);
    kl_b_store(&body, g->pb, add_x(g, packed_at(g, batch, panel, kk), j), v, KL_NONE);
    return KL_OK;
}

/* ---- phase 1: one tile of C
 * -------------------------------------------------------------------------------- */

/* A's rows [row0, row0 + MC) at k in [k0, k0 + len): pa[panel][k][MR]. */
static void pack_a(kl_gemm *g, kl_build *b, kl_x row0, kl_x rows, kl_x k0, kl_x len)
{
    kl_x p, m, k;
    int64_t np = g->mc / g->mr;
    kl_x used = kl_x_divf(g->x, add_x(g, rows, int_x(g, g->mr - 1)), int_x(g, g->mr));
    kl_build in = loop(g, b, "p", np, used, KL_BIND_SERIAL, &p);
    bool along_k = kl_gemm_unit(g, g->a, g->s->axes[0]);
    kl_build o = along_k ? loop(g, &in, "m", g->mr, int_x(g, g->mr), KL_BIND_SERIAL, &m)
                         : loop(g, &in, "k", KC, len, KL_BIND_SERIAL, &k);
    kl_build body = along_k
                        ? loop(g, &o, "k", KC, len, KL_BIND_SERIAL, &k)
                        : loop(g, &o, "m", g->mr, int_x(g, g->mr), KL_BIND_SERIAL, &m);
    kl_x v = read_a(g, add_x(g, row0, add_x(g, mul_x(g, p, g->mr), m)), add_x(g, k0, k));
    kl_x at = add_x(g, mul_x(g, add_x(g, mul_x(g, p, KC), k), g->mr), m);
    kl_b_store(&body, g->pa, at, v, KL_NONE);
}

typedef struct tile {
    kl_x batch, row0, col0, rows, cols, k0, klen;
} tile;

/* acc[MR] lanes NR over one kb, from and back to the C tile. */
static void micro(kl_gemm *g, kl_build *b, const tile *t, kl_x kb, kl_x k0, kl_x len,
                  kl_x ir, kl_x jr)
{
    kl_exprs *x = g->x;
    kl_x j, k, m, acc = kl_b_reg(b, "acc", g->s->dtype, g->nr, 1, &g->mr),
                  zero = kl_x_const(x, g->s->dtype, (kl_scalar){.bits = 0});
    uint32_t reg = (uint32_t)x->nodes[acc].imm;
    kl_x row = mul_x(g, ir, g->mr), col = mul_x(g, jr, g->nr),
         first = kl_x_op(x, KL_OP_eq, kb, int_x(g, 0), KL_NONE);
    kl_build in = loop(g, b, "m", g->mr, int_x(g, g->mr), KL_BIND_UNROLL, &m);
    kl_b_set(&in, kl_x_reg(x, reg, g->s->dtype, &m, 1), zero);
    kl_build again = kl_b_if(b, kl_x_op(x, KL_OP_not, first, KL_NONE, KL_NONE));
    kl_build lanes = loop(g, &again, "j", g->nr, int_x(g, g->nr), KL_BIND_LANE, &j);
    in = loop(g, &lanes, "m", g->mr, int_x(g, g->mr), KL_BIND_UNROLL, &m);
    kl_x at = add_x(g, add_x(g, mul_x(g, add_x(g, row, m), g->nc), col), j);
    kl_b_set(&in, kl_x_reg(x, reg, g->s->dtype, &m, 1),
             kl_x_load(x, g->ct, g->s->dtype, at, KL_NONE, KL_NONE));

    kl_build body = loop(g, b, "k", KC, len, KL_BIND_SERIAL, &k);
    lanes = loop(g, &body, "j", g->nr, int_x(g, g->nr), KL_BIND_LANE, &j);
    in = loop(g, &lanes, "m", g->mr, int_x(g, g->mr), KL_BIND_UNROLL, &m);
    kl_x kk = add_x(g, k0, k), bv, av;
    kl_x panel = kl_x_divf(x, add_x(g, t->col0, col), int_x(g, g->nr));
    if (g->pack_b)
        bv = kl_x_load(x, g->pb, g->s->dtype,
                       add_x(g, packed_at(g, t->batch, panel, kk), j), KL_NONE, KL_NONE);
    else
        bv = read_b(g, add_x(g, add_x(g, t->col0, col), j), kk);
    if (g->pack_a)
        av = kl_x_load(x, g->pa, g->s->dtype,
                       add_x(g, mul_x(g, add_x(g, mul_x(g, ir, KC), k), g->mr), m),
                       KL_NONE, KL_NONE);
    else
        av = read_a(g, add_x(g, t->row0, add_x(g, row, m)), kk);
    kl_x mine = kl_x_reg(x, reg, g->s->dtype, &m, 1);
    if (KL_PLANTED(no_fma))
        kl_b_set(&in, mine,
                 kl_combine(x, KL_OP_add, kl_combine(x, KL_OP_mul, av, bv), mine));
    else
        kl_b_set(&in, mine, kl_x_op(x, KL_OP_fma, av, bv, mine));

    lanes = loop(g, b, "j", g->nr, int_x(g, g->nr), KL_BIND_LANE, &j);
    in = loop(g, &lanes, "m", g->mr, int_x(g, g->mr), KL_BIND_UNROLL, &m);
    at = add_x(g, add_x(g, mul_x(g, add_x(g, row, m), g->nc), col), j);
    kl_b_store(&in, g->ct, at, kl_x_reg(x, reg, g->s->dtype, &m, 1), KL_NONE);
}

/* The finished tile goes through the epilogue, or to the partial sums of its block. */
static void finish(kl_gemm *g, kl_build *b, const tile *t, kl_x blk)
{
    kl_x m, j;
    kl_build in = loop(g, b, "m", g->mc, t->rows, KL_BIND_SERIAL, &m);
    kl_build lanes = loop(g, &in, "j", g->nc, t->cols, KL_BIND_LANE, &j);
    kl_x row = add_x(g, t->row0, m), col = add_x(g, t->col0, j);
    kl_x c = kl_x_load(g->x, g->ct, g->s->dtype, add_x(g, mul_x(g, m, g->nc), j), KL_NONE,
                       KL_NONE);
    if (blk != KL_NONE) {
        kl_x at = kl_gemm_part_at(g, blk, t->batch, row, col);
        kl_b_store(&lanes, g->part, at, c, KL_NONE);
        return;
    }
    kl_gemm_point(g, &g->batch, t->batch);
    kl_gemm_point(g, &g->m, row);
    kl_gemm_point(g, &g->n, col);
    g->l->stage[0] = c;
    g->l->in_lanes = true;
    for (int i = 1; i < g->l->p->nstages; i++)
        kl_lower_stores(g->l, &lanes, &g->l->p->stages[i]);
}

static kl_status multiply(kl_gemm *g)
{
    kl_exprs *x = g->x;
    kl_build b;
    kl_x kb, ir, jr, w;
    bool many = g->blocks != 1;
    kl_dim mb = kl_dim_ceildiv(g->d, g->m.count, g->mc),
           nb = kl_dim_ceildiv(g->d, g->n.count, g->nc);
    kl_dim workers = kl_dim_mul(g->d, kl_dim_mul(g->d, g->batch.count, g->blocks),
                                kl_dim_mul(g->d, mb, nb));
    int64_t work = KL_MIN(g->mc, kl_gemm_hint(g->l->k, g->m.count)) *
                   KL_MIN(g->nc, kl_gemm_hint(g->l->k, g->n.count)) *
                   KL_MIN(kl_gemm_hint(g->l->k, g->k), KL_BLOCK);
    g->ct = kl_lower_tile(g->l, "c", g->s->dtype, g->mc * g->nc, KL_ROLE_TILE);
    if (g->pack_a)
        g->pa = kl_lower_tile(g->l, "pa", g->s->dtype, g->mc * KC, KL_ROLE_TILE);
    kl_phase *ph =
        kl_lower_phase(g->l, workers, KL_MAX(400000 / KL_MAX(work, 1), 1), &b, &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x nn = kl_x_dim(x, nb), mm = kl_x_dim(x, mb), blk = kl_x_dim(x, g->blocks);
    tile t;
    t.col0 = mul_x(g, kl_x_mod(x, w, nn), g->nc);
    w = kl_x_divf(x, w, nn);
    t.row0 = mul_x(g, kl_x_mod(x, w, mm), g->mc);
    w = kl_x_divf(x, w, mm);
    kl_x block = kl_x_mod(x, w, blk);
    t.batch = kl_x_divf(x, w, blk);
    t.rows = min_x(g, int_x(g, g->mc), sub_x(g, kl_x_dim(x, g->m.count), t.row0));
    t.cols = min_x(g, int_x(g, g->nc), sub_x(g, kl_x_dim(x, g->n.count), t.col0));
    t.k0 = mul_x(g, block, KL_BLOCK);
    t.klen = min_x(g, int_x(g, KL_BLOCK), sub_x(g, kl_x_dim(x, g->k), t.k0));
    kl_gemm_point(g, &g->batch, t.batch);
    kl_x steps = kl_x_divf(x, add_x(g, t.klen, int_x(g, KC - 1)), int_x(g, KC));
    kl_build in = loop(g, &b, "kb", KL_BLOCK / KC, steps, KL_BIND_SERIAL, &kb);
    kl_x from = mul_x(g, kb, KC), len = min_x(g, int_x(g, KC), sub_x(g, t.klen, from)),
         k0 = add_x(g, t.k0, from);
    if (g->pack_a)
        pack_a(g, &in, t.row0, t.rows, k0, len);
    kl_x rows = kl_x_divf(x, add_x(g, t.rows, int_x(g, g->mr - 1)), int_x(g, g->mr));
    kl_x cols = kl_x_divf(x, add_x(g, t.cols, int_x(g, g->nr - 1)), int_x(g, g->nr));
    kl_build outer = loop(g, &in, "ir", g->mc / g->mr, rows, KL_BIND_SERIAL, &ir);
    kl_build inner = loop(g, &outer, "jr", g->nc / g->nr, cols, KL_BIND_SERIAL, &jr);
    micro(g, &inner, &t, kb, k0, len, ir, jr);
    finish(g, &b, &t, many ? block : KL_NONE);
    return KL_OK;
}

/* ---- phase 2: blocks of k fold
 * -------------------------------------------------------------------------------- */

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
    kl_build in = loop(g, &b, "j", g->n.count, kl_x_dim(x, g->n.count), KL_BIND_LANE, &j);
    kl_x at = add_x(g, kl_x_mul(x, w, kl_x_dim(x, g->n.count)), j),
         n = kl_x_dim(x, g->blocks), one = int_x(g, 1);
    int64_t lo, hi, levels = 0;
    kl_dim_range(g->d, g->blocks, &lo, &hi);
    while (hi > (int64_t)1 << levels)
        levels++;
    kl_x lev, i;
    kl_build up =
        loop(g, &in, "level", KL_MAX(levels, 1), int_x(g, levels), KL_BIND_SERIAL, &lev);
    kl_x span = kl_x_op(x, KL_OP_shl, one, lev, KL_NONE);
    kl_x pairs = kl_x_op(x, KL_OP_shr, sub_x(g, add_x(g, n, span), one),
                         add_x(g, lev, one), KL_NONE);
    kl_build body = loop(g, &up, "i", KL_MAX(hi / 2, 1), pairs, KL_BIND_SERIAL, &i);
    kl_x first = kl_x_mul(x, mul_x(g, i, 2), span), second = add_x(g, first, span),
         step = kl_x_dim(x, area);
    kl_build both = kl_b_if(&body, kl_x_lt(x, second, n));
    kl_x p = add_x(g, kl_x_mul(x, first, step), at),
         q = add_x(g, kl_x_mul(x, second, step), at);
    kl_b_store(&both, g->part, p,
               kl_combine(x, KL_OP_add,
                          kl_x_load(x, g->part, g->s->dtype, p, KL_NONE, KL_NONE),
                          kl_x_load(x, g->part, g->s->dtype, q, KL_NONE, KL_NONE)),
               KL_NONE);
    kl_x sum = kl_b_reg(&in, "sum", g->s->dtype, g->nr, 0, NULL);
    kl_b_set(&in, sum, kl_x_load(x, g->part, g->s->dtype, at, KL_NONE, KL_NONE));
    kl_gemm_point(g, &g->batch, batch);
    kl_gemm_point(g, &g->m, row);
    kl_gemm_point(g, &g->n, j);
    g->l->stage[0] = sum;
    for (int s = 1; s < g->l->p->nstages; s++)
        kl_lower_stores(g->l, &in, &g->l->p->stages[s]);
    return KL_OK;
}

void kl_gemm_open(kl_gemm *g, kl_lower *l)
{
    kl_stage *s = &l->p->stages[0];
    *g =
        (kl_gemm){.l = l, .x = l->x, .d = l->x->dims, .s = s, .a = s->value, .b = s->rhs};
    kl_gemm_sides(l->k, l->p, s, &g->batch, &g->m, &g->n);
    if (stored_along(g, &g->m) && !stored_along(g, &g->n)) {
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
    kl_x at = add_x(g, kl_x_mul(g->x, block, kl_x_dim(g->x, g->batch.count)), batch);
    at = add_x(g, kl_x_mul(g->x, at, kl_x_dim(g->x, g->m.count)), row);
    return add_x(g, kl_x_mul(g->x, at, kl_x_dim(g->x, g->n.count)), col);
}

kl_status kl_lower_gemm(kl_lower *l)
{
    kl_gemm g;
    kl_gemm_open(&g, l);
    choose_tile(&g);
    int64_t m = kl_gemm_hint(l->k, g.m.count), n = kl_gemm_hint(l->k, g.n.count);
    bool b_lies_well = plain_load(&g, g.b) && g.n.n == 1 &&
                       kl_gemm_unit(&g, g.b, g.n.axes[0]) && n % g.nr == 0;
    g.pack_b = !(b_lies_well && m <= 64) || !kl_dim_divides(g.d, g.nr, g.n.count);
    g.pack_a = !(plain_load(&g, g.a) && g.m.n <= 1) || n >= 512;
    if (g.pack_b)
        KL_TRY(pack_b(&g));
    if (g.blocks != 1)
        kl_gemm_part(&g);
    KL_TRY(multiply(&g));
    if (g.blocks != 1)
        KL_TRY(kl_gemm_fold(&g));
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}
