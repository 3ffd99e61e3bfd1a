/* schedule_gemm.c: the numbers of a contraction on the CPU, from the target's facts and
 * the sizes alone.
 *
 *   swap   lanes run along the first operand's side instead of the second's
 *   mr nr  a register tile: MR rows of NR lanes beside NR lanes of B and one element of A
 *   kc     how much of k at a time
 *   mc nc  a worker's tile of C: B's corner (KC x NC) stays in L2, and A passes by, a
 * panel (MR x KC) at a time: that little comes from further away as fast as it is used a
 * b    where each operand is read: 0 where it lies, 1 packed by the worker, 2 packed once
 *
 * Which side the lanes take is a matter of cost: what packing each operand takes, the
 * columns that fill no vector, and how the results are stored. So the weights' gradient
 * of a convolution, whose k runs over pixels, has its lanes along the channels: the image
 * is then copied along k by vectors, and only the small gradient is turned. */
#include "passes/gemm.h"

/* Register tiles: NV vectors of columns, MR rows, and what of the machine's rate they
 * reach in hundredths, measured on a Zen 5 and a Sapphire Rapids (where four vectors of B
 * a step from L2 are a little much). */
static const struct shape {
    int regs; /* vector registers at least */
    int nv, mr, rate;
} shapes[] = {{32, 4, 6, 97},  {32, 3, 9, 100}, {32, 2, 14, 93}, {32, 1, 14, 75},
              {16, 2, 6, 100}, {16, 3, 4, 98},  {16, 1, 12, 80}};

/* Costs in sixteenths of a cycle: of one element copied by vectors, one by one, and
 * stored one by one, each to a line of its own. */
enum { COPY = 3, TURN = 6, ALONE = 24, SCATTER = 96, TAPS = 64 };
/* Bytes of a panel along k; tiles that keep some threads busy, and of one row of them;
 * rows below which packing B for them alone costs more than it should; how often B may be
 * packed so that its panels never leave the worker's cache. */
enum {
    DEPTH = 2048,
    ENOUGH_TILES = 12,
    ENOUGH_COLUMNS = 32,
    FEW_ROWS = 128,
    MOST_ROWS = 1024,
    ROWS_TO_PACK = 64,
    FEW_PACKINGS = 2
};

/* ---- how operands lie ---- */

typedef struct divisors {
    int64_t least, most;
} divisors;

/* By what k is divided in e: k div c, k mod c, (k div b) div c, (k div b) mod c. */
static divisors divisors_of(kl_exprs *x, kl_x e, uint32_t k)
{
    kl_xlist order = {0};
    divisors d = {0, 0};
    if (kl_x_order(x, e, &order) != KL_OK)
        return d;
    for (uint32_t i = 0; i < order.count; i++) {
        const kl_xnode *n = &x->nodes[order.items[i]], *p;
        int64_t c, inner = 1;
        if ((n->op != KL_OP_floordiv && n->op != KL_OP_mod) ||
            !kl_x_uses_var(x, order.items[i], k) || !kl_x_is_int(x, n->src[1], &c) ||
            c < 1)
            continue;
        p = &x->nodes[n->src[0]];
        if (p->op == KL_OP_floordiv && !kl_x_is_int(x, p->src[1], &inner))
            continue;
        if (inner < 1 || kl_mul_overflow(c, inner, &c))
            continue;
        d.least = d.least ? KL_MIN(d.least, KL_MIN(c, inner > 1 ? inner : c)) : c;
        d.most = KL_MAX(d.most, c);
    }
    kl_xlist_free(&order);
    return d;
}

/* Runs so short that a vector would take more than four are no runs. */
static bool long_enough(int64_t run, int64_t vector)
{
    return run >= 4 && (run >= vector       ? true
                        : vector % run == 0 ? vector / run <= 4
                                            : (vector - 2) / run + 2 <= 4);
}

/* Every other element costs a vector two loads: still far from one by one. */
static bool by_vectors(kl_exprs *x, kl_x e, uint32_t axis, kl_reading *r)
{
    if (kl_gemm_step(x, e, axis, 1))
        return true;
    bool other = kl_gemm_step(x, e, axis, 2);
    r->plain = r->plain && !other;
    return other;
}

static void along_k(kl_kernel *k, kl_x e, uint32_t axis, int64_t vector, kl_reading *r)
{
    divisors d = divisors_of(k->x, e, axis);
    r->k_taps = d.most > 1 && d.most <= TAPS ? d.most : 1;
    if (!d.most) {
        r->k = by_vectors(k->x, e, axis, r);
        return;
    }
    if (!long_enough(d.least, vector))
        return;
    uint32_t lo;
    kl_x parts = kl_x_split(k->x, e, axis, d.least, &lo);
    r->k = parts != KL_NONE && by_vectors(k->x, parts, lo, r);
    r->k_run = d.least, r->k_image = d.most;
}

static void along_side(kl_kernel *k, kl_x e, const kl_side *side, int64_t vector,
                       kl_reading *r)
{
    int64_t run = 0, taps = 1, v;
    r->side_taps = 1;
    if (!side->n)
        return;
    uint32_t last = side->axes[side->n - 1];
    r->side = by_vectors(k->x, e, last, r);
    if (side->n == 1)
        return;
    if (!kl_dim_is_const(k->x->dims, k->axes[last].extent, &run) ||
        !long_enough(run, vector))
        r->side = false;
    r->side_run = run;
    if (kl_dim_is_const(k->x->dims, k->axes[side->axes[side->n - 2]].extent, &v) &&
        !kl_mul_overflow(run, v, &v))
        r->side_image = v;
    for (int i = 1; i < side->n && taps; i++)
        taps = kl_dim_is_const(k->x->dims, k->axes[side->axes[i]].extent, &v) &&
                       v <= TAPS / taps
                   ? taps * v
                   : 0;
    r->side_taps = KL_MAX(taps, 1);
}

void kl_gemm_reading(kl_kernel *k, const kl_stage *s, kl_x e, const kl_side *side,
                     int64_t vector, kl_reading *out)
{
    const kl_xnode *n = &k->x->nodes[e];
    *out = (kl_reading){.plain =
                            n->op == KL_X_LOAD && (n->nsrc < 2 || n->src[1] == KL_NONE)};
    along_k(k, e, s->axes[0], vector, out);
    along_side(k, e, side, vector, out);
}

bool kl_gemm_turns(const kl_reading *r)
{
    return !r->side && r->k;
}

/* ---- sizes ---- */

typedef struct sizes { /* one way to lay it out */
    kl_side m, n;
    kl_x a, b;
    kl_reading ra, rb;
    int64_t mm, nn, kk;
    int64_t mr, nr, mc, nc, kc;
    int pack_a, pack_b;
    bool along;  /* results are stored along n */
    bool turned; /* or along m */
    double work; /* sixteenths of a cycle */
} sizes;

static int64_t up(int64_t a, int64_t b)
{
    return (a + b - 1) / b * b;
}

static int64_t blocks(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* What of its rate a tile of so many rows reaches: the fewer, the more it loads for what
 * it multiplies. */
static double rate_of(const struct shape *s, int64_t rows)
{
    double all = 1.2 - 0.5 * (s->mr + s->nv) / (s->mr * s->nv),
           few = 1.2 - 0.5 * (double)(rows + s->nv) / (double)(rows * s->nv);
    return s->rate / 100.0 * few / all;
}

/* B is read where it lies by so few rows, if its columns are whole panels. */
static bool b_lies(const sizes *z, bool divides)
{
    return z->rb.plain && z->n.n == 1 && z->rb.side && z->mm <= ROWS_TO_PACK && divides;
}

/* The register tile that wastes least, of rows made even: 64 rows are 8 of 8, not 7 of 9
 * and 1. */
static void choose_registers(sizes *z, const kl_target *t, int64_t v)
{
    double best = 0;
    for (size_t i = 0; i < KL_COUNT(shapes); i++) {
        const struct shape *s = &shapes[i];
        if (s->regs != (t->vector_regs >= 32 ? 32 : 16))
            continue;
        int64_t nr = s->nv * v, mr = blocks(z->mm, blocks(z->mm, s->mr));
        double work = 16.0 / (double)(2 * v) * (double)up(z->nn, nr) *
                      (double)up(z->mm, mr) / rate_of(s, mr);
        double pack = b_lies(z, true) && z->nn % nr ? (double)COPY * (double)z->nn : 0;
        if (best == 0 || work + pack < best)
            best = work + pack, z->nr = nr, z->mr = mr, z->work = work * (double)z->kk;
    }
}

static double packing_cost(const kl_reading *r, int64_t count, int64_t k, bool lanes,
                           int pack)
{
    bool vectors = lanes ? r->side : r->side || r->k;
    int each = vectors ? COPY : !kl_gemm_turns(r) ? ALONE : r->plain ? TURN : COPY + TURN;
    return pack ? (double)count * (double)k * each : 0;
}

/* A with k outside, as it lies or copied so: what a register tile reads of it at each k
 * is a line of its own, from L2, a good half of the time that its products take. */
static double reading_cost(const sizes *z)
{
    return z->pack_a != KL_PACK_WHOLE && !z->ra.k ? z->work / 2 : 0;
}

static double cost(const sizes *z)
{
    return z->work + reading_cost(z) +
           packing_cost(&z->rb, z->nn, z->kk, true, z->pack_b) +
           packing_cost(&z->ra, z->mm, z->kk, false, z->pack_a) +
           (double)z->mm * (double)z->nn *
               (z->along    ? COPY
                : z->turned ? TURN
                            : SCATTER);
}

/* Packing pays when a panel is read often, or where it lies badly. */
static void choose_packing(sizes *z, bool divides)
{
    bool a_lies = z->ra.plain && z->m.n <= 1;
    z->pack_a = z->ra.k || z->ra.side ? KL_PACK_TILE : KL_PACK_WHOLE;
    if (a_lies && (z->ra.k || (z->ra.side && z->nn <= 4 * z->nr)))
        z->pack_a = KL_PACK_NONE;
    z->pack_b = b_lies(z, divides) ? KL_PACK_NONE
                : z->rb.side       ? KL_PACK_TILE
                                   : KL_PACK_WHOLE;
}

/* Rows of a worker's tile at most: its C stays in L2 too, and A where it is packed at
 * once. */
static int64_t most_rows(const sizes *z, const kl_target *t, int64_t size)
{
    int64_t most = MOST_ROWS;
    if (z->kk > z->kc)
        most = t->l2 / 2 / (z->nc * size);
    if (z->pack_a == KL_PACK_TILE && (!z->ra.k || z->ra.side_taps > 1))
        most = KL_MIN(most, t->l2 * 3 / 8 / (z->kc * size));
    return KL_MAX(most / z->mr, 1) * z->mr;
}

static void choose_tile(sizes *z, const kl_target *t, int64_t size, int64_t batch)
{
    int64_t deep = KL_MIN(z->kk, KL_BLOCK), depth = DEPTH / size,
            steps = KL_MAX((deep + depth / 2) / depth, 1), panels = blocks(z->nn, z->nr);
    z->kc = up(blocks(deep, steps), 16);
    z->nc = KL_MAX(t->l2 / 2 / (z->kc * size) / z->nr, 1) * z->nr;
    int64_t cols = blocks(z->nn, z->nc), rows = blocks(z->mm, most_rows(z, t, size)),
            most = KL_MAX(z->mm / FEW_ROWS, 1), each = batch * blocks(z->kk, KL_BLOCK);
    if (rows * cols * each < ENOUGH_TILES)
        rows = KL_MAX(rows, KL_MIN(blocks(ENOUGH_TILES, cols * each), most));
    int64_t enough = rows == 1 ? ENOUGH_COLUMNS : ENOUGH_TILES;
    if (rows * cols * each < enough)
        cols = KL_MIN(blocks(enough, rows * each), panels);
    z->mc = up(blocks(z->mm, rows), z->mr);
    z->nc = blocks(panels, cols) * z->nr;
    if (z->pack_b == KL_PACK_WHOLE && rows <= FEW_PACKINGS)
        z->pack_b = KL_PACK_TILE;
}

static sizes sizes_of(kl_kernel *k, const kl_part *p, const kl_target *t, bool swap)
{
    const kl_stage *s = &p->stages[0];
    kl_side batch;
    sizes z = {.a = s->value, .b = s->rhs};
    int64_t size = kl_dtypes[s->dtype].size, v = KL_MAX(t->vector_bits / (8 * size), 1);
    kl_gemm_sides(k, p, s, &batch, &z.m, &z.n);
    if (swap) {
        kl_side m = z.m;
        z.m = z.n, z.n = m;
        z.a = s->rhs, z.b = s->value;
    }
    z.mm = kl_gemm_hint(k, z.m.count), z.nn = kl_gemm_hint(k, z.n.count);
    z.kk = KL_MAX(kl_gemm_hint(k, k->axes[s->axes[0]].extent), 1);
    z.along = kl_gemm_stored_along(k, p, &z.n);
    z.turned = v > 1 && z.kk <= KL_BLOCK && kl_gemm_stored_along(k, p, &z.m);
    kl_gemm_reading(k, s, z.a, &z.m, v, &z.ra);
    kl_gemm_reading(k, s, z.b, &z.n, v, &z.rb);
    choose_registers(&z, t, v);
    choose_packing(&z, kl_dim_divides(k->x->dims, z.nr, z.n.count));
    choose_tile(&z, t, size, KL_MAX(kl_gemm_hint(k, batch.count), 1));
    return z;
}

void kl_schedule_gemm(kl_kernel *k, int part, const kl_target *t)
{
    const kl_part *p = &k->parts[part];
    sizes straight = sizes_of(k, p, t, false), swapped = sizes_of(k, p, t, true);
    bool swap = cost(&swapped) < cost(&straight);
    const sizes *z = swap ? &swapped : &straight;
    const struct {
        const char *name;
        int64_t v;
    } numbers[] = {{"swap", swap}, {"mr", z->mr}, {"nr", z->nr},    {"mc", z->mc},
                   {"nc", z->nc},  {"kc", z->kc}, {"a", z->pack_a}, {"b", z->pack_b}};
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "gemm");
    for (size_t i = 0; i < KL_COUNT(numbers); i++)
        kl_decide(k, KL_DEC_PARAM, part, -1, numbers[i].v, numbers[i].name);
}
