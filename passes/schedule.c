/* schedule.c: which recipe a part takes and with which numbers, from the target's facts
 * alone.
 *
 *   reduce over the contiguous axis          -> class row     lanes 32
 *   the same, few rows and a long axis       -> class split
 *   reduce over an outer axis                -> class column  lanes = 2 vectors
 *   the same, long columns, on a CPU         -> class strip   lanes = a vector
 *   no axes of its own                       -> class map     lanes = 2 vectors
 *   the same, an operand transposed, CPU     -> class turned  squares of a cache line
 *   a large contraction                      -> class gemm (CUDA: tiles)
 *
 * A decision never changes a result's bits (DESIGN.md, "One number"); it may only change
 * speed. */
#include "passes/passes.h"

enum {
    WORK = 16384 /* elements that are worth a thread */,
    CUDA_BLOCK = 256,
    SHORT = 16,
    LONG = 64 /* rows that a strip is worth */,
    STRIPS = 4 /* enough for some threads */,
    STRIP_BYTES = 4096,
    STRIP_LEAST = 256,
    WRITTEN_OUT = 512 /* instructions that a short sum may be */,
    GATHERS = 64 /* written out, of which so many may take two vectors each */,
    GUARDED = 4 /* gathers that one under a condition is worth: addresses are chosen */,
    MANY_ELEMENTS = 1 << 19,
    HEAVY = 256 /* expressions */,
    BESIDE = 32 /* instructions of a row that stands beside others */,
    BESIDE_LEAST = 16 /* workers that there are then at least */,
    PREFIXES = 4 /* running sums side by side: as many streams are read and written */,
    CHUNK_BYTES = 1 << 20 /* of huge arrays: two halves, walked in turn */,
    TURN_BYTES = 2048
};

void kl_decide(kl_kernel *k, kl_dec_kind kind, int part, int axis, int64_t factor,
               const char *name)
{
    if (kl_arena_grow(k->arena, &k->schedule, &k->cap_decisions, k->ndecisions + 1,
                      sizeof *k->schedule) == KL_OK)
        k->schedule[k->ndecisions++] = (kl_decision){
            .kind = kind, .part = part, .axis = axis, .factor = factor, .name = name};
}

int64_t kl_param(const kl_kernel *k, int part, const char *name, int64_t dflt)
{
    for (uint32_t i = 0; i < k->ndecisions; i++)
        if (k->schedule[i].kind == KL_DEC_PARAM && k->schedule[i].part == part &&
            strcmp(k->schedule[i].name, name) == 0)
            return k->schedule[i].factor;
    return dflt;
}

const char *kl_part_class(const kl_kernel *k, int part)
{
    for (uint32_t i = 0; i < k->ndecisions; i++)
        if (k->schedule[i].kind == KL_DEC_CLASS && k->schedule[i].part == part)
            return k->schedule[i].name;
    return "";
}

static void param(kl_kernel *k, int part, const char *name, int64_t v)
{
    kl_decide(k, KL_DEC_PARAM, part, -1, v, name);
}

/* ---- how the accesses lie ---- */

/* For one axis: accesses that step by one element, that do not move, that jump. What a
 * stage does at each of its own points counts OFTEN times what it does once a row. */
typedef struct lay {
    int unit, still, jump;
    int gathers, guarded; /* loads that jump, however often; those under a condition */
    int pairs; /* loads of every other element: two vectors each, where all lanes are on
                */
} lay;

enum { OFTEN = 8 };

static bool has_own_axes(const kl_part *p)
{
    for (int i = 0; i < p->nstages; i++)
        if (p->stages[i].nfree + p->stages[i].nreduce)
            return true;
    return false;
}

static bool moves_inside(const kl_kernel *k, const kl_part *p, kl_x index)
{
    for (int i = 0; i < p->nstages; i++)
        for (int j = 0; j < p->stages[i].nfree + p->stages[i].nreduce; j++)
            if (kl_x_uses_var(k->x, index, p->stages[i].axes[j]))
                return true;
    return false;
}

static int how_often(const kl_kernel *k, const kl_part *p, kl_x index)
{
    return has_own_axes(p) && moves_inside(k, p, index) ? OFTEN : 1;
}

static void count_access(kl_kernel *k, kl_x index, uint32_t axis, int weight, bool pairs,
                         lay *y)
{
    kl_x base;
    int64_t coef;
    if (!kl_x_affine(k->x, index, axis, &base, &coef))
        y->jump += weight;
    else if (coef == 0 || (coef == 2 && pairs))
        y->still += weight, y->pairs += coef == 2;
    else if (coef == 1)
        y->unit += weight;
    else
        y->jump += weight;
}

static void use(uint8_t *used, kl_x e)
{
    if (e != KL_NONE)
        used[e] = 1;
}

/* Sources come before users, so one walk backwards finds all. */
uint8_t *kl_part_uses(const kl_kernel *k, const kl_part *p, uint32_t count)
{
    uint8_t *used = kl_alloc_zeroed(count + 1);
    for (int i = 0; used && i < p->nstages; i++) {
        const kl_stage *s = &p->stages[i];
        use(used, s->value);
        use(used, s->rhs);
        for (int j = 0; j < s->nstores; j++) {
            use(used, s->stores[j].value);
            use(used, s->stores[j].pred);
        }
    }
    for (kl_x e = used ? count : 0; e-- > 0;)
        for (int s = 0; used[e] && s < k->x->nodes[e].nsrc; s++)
            use(used, k->x->nodes[e].src[s]);
    return used;
}

static lay layout(kl_kernel *k, const kl_part *p, uint32_t axis)
{
    lay y = {0};
    uint32_t count = k->x->count;
    uint8_t *used = kl_part_uses(k, p, count);
    if (!used)
        return y;
    for (int i = 0; i < p->nstages; i++)
        for (int j = 0; j < p->stages[i].nstores; j++)
            if (p->stages[i].kind == KL_STAGE_MAP ||
                p->stages[i].kind == KL_STAGE_PREFIX) {
                kl_x at = p->stages[i].stores[j].index;
                count_access(k, at, axis, 2 * how_often(k, p, at), false, &y);
            }
    for (kl_x e = 0; e < count; e++)
        if (used[e] && k->x->nodes[e].op == KL_X_LOAD) {
            kl_x at = k->x->nodes[e].src[0];
            int before = y.jump;
            count_access(k, at, axis, how_often(k, p, at), k->x->nodes[e].nsrc == 1, &y);
            y.gathers += y.jump > before;
            y.guarded += y.jump > before && k->x->nodes[e].nsrc > 1;
        }
    kl_free(used, count + 1);
    return y;
}

static int64_t hint(const kl_kernel *k, kl_dim d)
{
    int64_t lo, hi;
    kl_dim_range(k->x->dims, d, &lo, &hi);
    return lo == hi ? lo : KL_MIN(hi, KL_MAX(lo, 1024));
}

/* What an extent may be at most: what must hold for every size rests on this. */
static int64_t most(const kl_kernel *k, kl_dim d)
{
    int64_t lo, hi;
    kl_dim_range(k->x->dims, d, &lo, &hi);
    return hi;
}

static int64_t outer_hint(const kl_kernel *k, const kl_part *p)
{
    int64_t n = 1;
    for (int i = 0; i < p->nouter; i++)
        if (kl_mul_overflow(n, hint(k, k->axes[p->outer[i]].extent), &n))
            return INT64_MAX;
    return n;
}

/* The outer axis along which most accesses are contiguous; a longer one on a tie. */
static int vector_axis(kl_kernel *k, const kl_part *p, int *score)
{
    int best = -1, best_score = 0;
    for (int i = p->nouter; i-- > 0;) {
        lay y = layout(k, p, p->outer[i]);
        int s = 4 * y.unit - 4 * y.jump;
        if (hint(k, k->axes[p->outer[i]].extent) < 4)
            s -= 6 * (has_own_axes(p) ? OFTEN : 1);
        if (best < 0 || s > best_score)
            best = i, best_score = s;
    }
    *score = best_score;
    return best;
}

/* A short sum would leave most lanes idle along itself: they go along an outer axis that
 * is long enough, contiguous (vec) if it can be. Where masks cost nothing half a vector
 * of neighbours is better than a whole one of gathered elements. */
static int longest_axis(const kl_kernel *k, const kl_target *t, const kl_part *p, int vec,
                        bool contiguous)
{
    int best = vec;
    if (contiguous && t->kind == KL_TARGET_CPU && t->masked)
        return vec;
    for (int i = 0; i < p->nouter; i++)
        if (hint(k, k->axes[p->outer[best]].extent) < SHORT &&
            hint(k, k->axes[p->outer[i]].extent) >
                hint(k, k->axes[p->outer[best]].extent))
            best = i;
    return best;
}

/* ---- recipes' numbers ---- */

static int widest(const kl_kernel *k)
{
    int size = 1;
    for (uint32_t i = 0; i < k->noperands; i++)
        size = KL_MAX(size, kl_dtypes[k->operands[i].dtype].size);
    return KL_MIN(size, 8);
}

static int64_t map_lanes(const kl_kernel *k, const kl_target *t, int64_t forced)
{
    if (forced)
        return forced;
    return t->kind == KL_TARGET_CUDA ? CUDA_BLOCK
                                     : KL_MAX(t->vector_bits / (8 * widest(k)), 4);
}

/* A thread gets several elements where there are enough for all multiprocessors; lanes
 * walk all axes as one where one alone is short. */
static void schedule_elements(kl_kernel *k, int part, int64_t lanes, int vec)
{
    const kl_part *p = &k->parts[part];
    bool flat = vec >= 0 && hint(k, k->axes[p->outer[vec]].extent) < 4 * lanes;
    int64_t each = k->x->count > HEAVY ? 2 : 4;
    if (outer_hint(k, p) < MANY_ELEMENTS)
        each = 1;
    param(k, part, "flat", flat);
    param(k, part, "chunk", lanes * each);
}

/* The outer axis along which a load is contiguous that jumps along `vec`; -1: none. */
static int turned_axis(kl_kernel *k, const kl_part *p, int vec)
{
    uint32_t count = k->x->count;
    uint8_t *used = kl_part_uses(k, p, count);
    int found = -1;
    for (kl_x e = 0; used && e < count && vec >= 0 && found < 0; e++) {
        kl_x index = k->x->nodes[e].src[0], base;
        int64_t along, across;
        if (!used[e] || k->x->nodes[e].op != KL_X_LOAD ||
            !kl_x_affine(k->x, index, p->outer[vec], &base, &along) || along * along <= 1)
            continue;
        for (int i = 0; i < p->nouter; i++)
            if (i != vec && hint(k, k->axes[p->outer[i]].extent) >= SHORT &&
                hint(k, k->axes[p->outer[vec]].extent) >= SHORT &&
                kl_x_affine(k->x, index, p->outer[i], &base, &across) && across == 1)
                found = i;
    }
    if (used)
        kl_free(used, count + 1);
    return found;
}

/* Small squares: what is read against its grain comes in lines, and all of a line is used
 * before it leaves the cache. */
static void schedule_turned(kl_kernel *k, int part, const kl_target *t, int64_t forced,
                            int vec, int across)
{
    int64_t line = 64 / widest(k);
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "turned");
    param(k, part, "lanes", map_lanes(k, t, forced));
    param(k, part, "vec", vec);
    param(k, part, "across", across);
    param(k, part, "rows", line);
    param(k, part, "columns", 2 * line);
}

static void schedule_map(kl_kernel *k, int part, const kl_target *t, int64_t forced)
{
    int score, vec = vector_axis(k, &k->parts[part], &score);
    int across = t->kind == KL_TARGET_CPU ? turned_axis(k, &k->parts[part], vec) : -1;
    if (across >= 0) {
        schedule_turned(k, part, t, forced, vec, across);
        return;
    }
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "map");
    param(k, part, "lanes", map_lanes(k, t, forced));
    if (vec >= 0)
        param(k, part, "vec", vec);
    if (t->kind == KL_TARGET_CUDA) {
        schedule_elements(k, part, map_lanes(k, t, forced), vec);
        return;
    }
    int64_t size = widest(k);
    bool huge = vec >= 0 && hint(k, k->axes[k->parts[part].outer[vec]].extent) >=
                                64 * (CHUNK_BYTES / size);
    param(k, part, "chunk", huge ? CHUNK_BYTES / size : WORK);
    if (huge)
        param(k, part, "turn", TURN_BYTES / size);
}

/* About how many instructions one point of the part's stages is. */
static int64_t weight_of(const kl_kernel *k, const kl_part *p)
{
    uint32_t count = k->x->count;
    int64_t weight = 0;
    uint8_t *used = kl_part_uses(k, p, count);
    for (kl_x e = 0; used && e < count; e++)
        if (used[e] && k->x->nodes[e].op < KL_OP_COUNT)
            weight += kl_ops[k->x->nodes[e].op].flags & KL_F_MATH ? 40 : 1;
    if (used)
        kl_free(used, count + 1);
    return weight;
}

/* How many of the nodes that one point computes depend on the last `axes` outer ones. */
static int64_t turns_weight(const kl_kernel *k, const kl_part *p, int axes)
{
    int64_t weight = 0;
    uint32_t count = k->x->count;
    uint8_t *used = kl_part_uses(k, p, count);
    for (kl_x e = 0; used && e < count; e++) {
        bool turns = false;
        for (int i = p->nouter - axes; used[e] && i < p->nouter && !turns; i++)
            turns = kl_x_uses_var(k->x, e, p->outer[i]);
        weight += turns && k->x->nodes[e].op < KL_OP_COUNT;
    }
    if (used)
        kl_free(used, count + 1);
    return weight;
}

/* The taps of a depthwise convolution's weight: the last outer axes along which one
 * factor stays the same, all that fit into `most`; 1: none. */
static int64_t taps_beside(const kl_kernel *k, const kl_part *p, int64_t most)
{
    const kl_stage *s = &p->stages[0];
    int64_t n = 1, extent, last;
    int axes = 0;
    for (; axes < p->nouter; axes++) {
        uint32_t axis = p->outer[p->nouter - 1 - axes];
        bool still =
            !kl_x_uses_var(k->x, s->value, axis) || !kl_x_uses_var(k->x, s->rhs, axis);
        if (!still || !kl_dim_is_const(k->x->dims, k->axes[axis].extent, &extent) ||
            n * extent > most)
            break;
        n *= extent;
    }
    last = outer_hint(k, p) / KL_MAX(n, 1);
    return last < BESIDE_LEAST || turns_weight(k, p, axes) > BESIDE ? 1 : n;
}

/* How many rows that are dot products a worker takes side by side: as many as keep the
 * units busy while each sum waits for itself, and as registers hold. */
static int64_t rows_beside(const kl_kernel *k, const kl_part *p, const kl_target *t)
{
    const kl_stage *s = &p->stages[0];
    int64_t last, n = t->vector_regs >= 32 ? 8 : 4, own;
    if (t->kind == KL_TARGET_CPU && s->kind == KL_STAGE_PREFIX && p->nstages == 1 &&
        s->nfree == 1 && p->nouter > 0 && weight_of(k, p) <= BESIDE &&
        kl_dim_is_const(k->x->dims, k->axes[p->outer[p->nouter - 1]].extent, &last))
        return last % PREFIXES == 0 && outer_hint(k, p) >= PREFIXES * BESIDE_LEAST
                   ? PREFIXES
                   : 1;
    if (t->kind != KL_TARGET_CPU || s->kind != KL_STAGE_CONTRACT || !s->dot || s->nfree ||
        p->nouter == 0 ||
        !kl_dim_is_const(k->x->dims, k->axes[p->outer[p->nouter - 1]].extent, &last) ||
        !kl_dim_is_const(k->x->dims, k->axes[s->axes[0]].extent, &own) ||
        own < 4 * KL_DOT_LANES)
        return 1;
    for (int i = 1; i < p->nstages; i++)
        if (p->stages[i].kind != KL_STAGE_MAP || p->stages[i].nfree)
            return 1;
    if (last < 2 * BESIDE_LEAST)
        return taps_beside(k, p, n + n / 2);
    while (n > 1 && (last % n || last / n < BESIDE_LEAST))
        n /= 2;
    return weight_of(k, p) > BESIDE ? 1 : n;
}

/* several: the part has no tile and no barrier, so a block may work on more points than
 * one. */
static void schedule_row(kl_kernel *k, int part, const kl_target *t, int64_t own,
                         bool several)
{
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "row");
    param(k, part, "lanes", KL_LANES);
    param(k, part, "grain", KL_MAX(WORK / KL_MAX(own, 1), 1));
    int64_t beside = rows_beside(k, &k->parts[part], t);
    if (beside > 1)
        param(k, part, "beside", beside);
    if (t->kind == KL_TARGET_CUDA && several)
        param(k, part, "group", 4);
}

/* What the loads that jump along `vec` cost where so many lanes walk it: one under a
 * condition more, and of a vector that is not full all are under one more. */
static int64_t gathered(kl_kernel *k, const kl_part *p, int vec, int64_t lanes)
{
    int64_t lo, hi;
    lay y = layout(k, p, p->outer[vec]);
    kl_dim_range(k->x->dims, k->axes[p->outer[vec]].extent, &lo, &hi);
    bool full = lo == hi && lo % lanes == 0;
    int64_t all = y.gathers + (GUARDED - 1) * y.guarded;
    return full ? all : (all + y.pairs) * GUARDED;
}

static void schedule_column(kl_kernel *k, int part, const kl_target *t, int vec,
                            int64_t own, int64_t forced)
{
    const kl_part *p = &k->parts[part];
    kl_part sums = {.stages = p->stages, .nstages = p->nstages};
    while (sums.nstages > 1 && !p->stages[sums.nstages - 1].nfree &&
           p->stages[sums.nstages - 1].kind == KL_STAGE_MAP)
        sums.nstages--; /* what is done once a point is written once */
    int64_t one = map_lanes(k, t, forced), gathers = gathered(k, p, vec, one);
    /* 7 x 7 taps of a depthwise convolution are worth twice as much code: their lanes of
     * k would else lie in memory */
    int64_t twice = p->stages[0].kind == KL_STAGE_CONTRACT ? 2 : 1;
    /* what is written out and gathered holds as many vectors of addresses as of values */
    bool few = t->kind == KL_TARGET_CPU && own <= twice * KL_LANES &&
               own * weight_of(k, &sums) + weight_of(k, p) <= twice * WRITTEN_OUT &&
               own * gathers <= 2 * GATHERS;
    int64_t both = gathered(k, p, vec, 2 * one);
    bool two = !forced && !(few && own * both > GATHERS);
    int64_t lanes = t->kind == KL_TARGET_CUDA ? 64 : one * (two ? 2 : 1);
    uint32_t weight = k->x->count;
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "column");
    param(k, part, "lanes", lanes);
    param(k, part, "vec", vec);
    param(k, part, "rows", /* unrolled copies of the expression */
          weight > 160 || 8 * both > GATHERS ? 1 : 8);
    if (few)
        param(k, part, "few", 1);
    param(k, part, "grain", KL_MAX(WORK / KL_MAX(own * lanes, 1), 1));
}

/* How many reductions the part begins with, if they do not read each other and only
 * values stored once follow, so that the blocks of all may go to any worker; else 0. */
static int free_blocks(const kl_kernel *k, const kl_part *p, bool dots)
{
    int n = 0;
    while (n < p->nstages && (p->stages[n].kind == KL_STAGE_REDUCE ||
                              (dots && p->stages[n].kind == KL_STAGE_CONTRACT)))
        n++;
    for (int i = n; i < p->nstages; i++)
        if (p->stages[i].kind != KL_STAGE_MAP || p->stages[i].nfree)
            return 0;
    for (kl_x e = 0; e < k->x->count && n > 1; e++)
        if (k->x->nodes[e].op == KL_X_STAGE && n > 1)
            for (int i = 0; i < n; i++)
                if (e <= p->stages[i].value)
                    return 0; /* may be read by a later reduction: keep the order */
    return n <= KL_SPLIT_MOST ? n : 0;
}

static bool splits(const kl_kernel *k, const kl_part *p, int64_t own)
{
    return own >= 4 * KL_BLOCK && outer_hint(k, p) < 64 && free_blocks(k, p, false) > 0;
}

/* How many outer points beside the columns' one worker has: a few rows that a contraction
 * multiplies with the same columns, its only work. */
static int64_t points_of(const kl_kernel *k, const kl_part *p, int vec)
{
    int64_t all = 1, n;
    const kl_stage *s = &p->stages[0];
    if (s->kind != KL_STAGE_CONTRACT || s->nfree || !free_blocks(k, p, true) ||
        hint(k, k->axes[p->outer[vec]].extent) < STRIP_LEAST / 2 ||
        hint(k, k->axes[s->axes[0]].extent) >= 4 * KL_BLOCK)
        return 1;
    bool left = kl_x_uses_var(k->x, s->value, p->outer[vec]);
    kl_x columns = left ? s->value : s->rhs, rows = left ? s->rhs : s->value;
    if (kl_x_uses_var(k->x, rows, p->outer[vec]))
        return 1;
    for (int i = 0; i < p->nouter; i++) {
        if (i == vec)
            continue;
        if (kl_x_uses_var(k->x, columns, p->outer[i]) ||
            !kl_dim_is_const(k->x->dims, k->axes[p->outer[i]].extent, &n) || n < 1 ||
            n > KL_POINTS_MOST / all)
            return 1;
        all *= n;
    }
    return all;
}

/* As wide as runs of 4 KiB and tiles of a quarter of the second cache let it be, but
 * enough strips for all threads. */
static int64_t strip_width(const kl_kernel *k, const kl_part *p, const kl_target *t,
                           int vec)
{
    int64_t n = hint(k, k->axes[p->outer[vec]].extent), size = widest(k),
            points = points_of(k, p, vec),
            others = points > 1 ? 1 : KL_MAX(outer_hint(k, p) / KL_MAX(n, 1), 1),
            most = KL_MIN(STRIP_BYTES / size, t->l2 / 4 / (KL_LANES * size * points)),
            want = (n + STRIPS - 1) / KL_MIN(STRIPS, KL_MAX(STRIPS / others, 1));
    want = KL_MAX(KL_MIN(want, most), STRIP_LEAST);
    return KL_MIN((want + 63) / 64 * 64, n);
}

/* Do all loads of the part's first n stages walk rows and columns as one axis? */
static bool one_run(kl_kernel *k, const kl_part *p, int n, int vec)
{
    int64_t lo, columns, along, across;
    uint32_t count = k->x->count;
    kl_part first = {.stages = p->stages, .nstages = n};
    kl_dim_range(k->x->dims, k->axes[p->outer[vec]].extent, &lo, &columns);
    uint8_t *used = lo == columns ? kl_part_uses(k, &first, count) : NULL;
    bool ok = used != NULL;
    for (kl_x e = 0; ok && e < count; e++) {
        kl_x index = k->x->nodes[e].src[0], base;
        bool row = false;
        if (!used[e] || k->x->nodes[e].op != KL_X_LOAD)
            continue;
        for (int i = 0; ok && i < n; i++)
            if (kl_x_uses_var(k->x, e, p->stages[i].axes[0])) {
                row = true;
                ok = kl_x_affine(k->x, index, p->outer[vec], &base, &along) &&
                     kl_x_affine(k->x, base, p->stages[i].axes[0], &base, &across) &&
                     across == along * columns;
            }
        ok = ok && (row || !kl_x_uses_var(k->x, e, p->outer[vec]));
    }
    if (used)
        kl_free(used, count + 1);
    return ok;
}

static void schedule_strip(kl_kernel *k, int part, const kl_target *t, int vec,
                           int64_t own, int64_t forced)
{
    const kl_part *p = &k->parts[part];
    int64_t width = strip_width(k, p, t, vec), strips = outer_hint(k, p) / width;
    int64_t points = points_of(k, p, vec);
    int free = free_blocks(k, p, true);
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "strip");
    param(k, part, "lanes", map_lanes(k, t, forced));
    param(k, part, "vec", vec);
    param(k, part, "strip", width);
    param(k, part, "rows", k->x->count > 160 ? 1 : k->x->count > 64 ? 4 : 8); /* copies */
    param(k, part, "grain", KL_MAX(WORK / KL_MAX(own * width * points, 1), 1));
    if (points > 1) {
        param(k, part, "points", points);
        return;
    }
    if (free && own >= 4 * KL_BLOCK && strips < STRIPS)
        param(k, part, "split", free);
    if (free && width < STRIP_LEAST / 2 && one_run(k, p, free, vec))
        param(k, part, "run", 1);
}

static void schedule_split(kl_kernel *k, int part)
{
    kl_decide(k, KL_DEC_CLASS, part, -1, 0, "split");
    param(k, part, "lanes", KL_LANES);
}

static void schedule_part(kl_kernel *k, int part, const kl_target *t, int64_t forced)
{
    kl_part *p = &k->parts[part];
    int64_t own = 0;
    bool one_block = true;
    int ordered = 0, sorts = 0, dots = 0, in_order = 0;
    lay y = {0};
    for (int i = 0; i < p->nstages; i++) {
        const kl_stage *s = &p->stages[i];
        int n = s->nfree + s->nreduce;
        int64_t work = n ? 1 : 0, longest = 1;
        for (int j = 0; j < n; j++) {
            work *= hint(k, k->axes[s->axes[j]].extent);
            if (kl_mul_overflow(longest, most(k, k->axes[s->axes[j]].extent), &longest))
                longest = INT64_MAX;
        }
        own = KL_MAX(own, work);
        one_block = one_block && longest <= KL_BLOCK;
        dots += s->kind == KL_STAGE_CONTRACT && s->dot;
        in_order += s->kind == KL_STAGE_CONTRACT && !s->dot;
        ordered += s->kind == KL_STAGE_PREFIX || s->kind == KL_STAGE_SCATTER;
        sorts += s->kind == KL_STAGE_SORT;
        if (n) {
            lay z = layout(k, p, s->axes[n - 1]);
            y.unit += z.unit, y.jump += z.jump;
        }
    }
    int score = 0, vec = vector_axis(k, p, &score);
    bool several = one_block && sorts + ordered == 0;
    bool wide = vec >= 0 && hint(k, k->axes[p->outer[vec]].extent) >= 4;
    bool long_columns = t->kind == KL_TARGET_CPU && wide && own >= LONG && !in_order;
    if (!own && !sorts)
        schedule_map(k, part, t, forced);
    else if (sorts)
        schedule_row(k, part, t, own, several);
    else if (!dots && !in_order && splits(k, p, own) &&
             (p->nouter == 0 || score <= 4 * (y.unit - y.jump)))
        schedule_split(k, part);
    else if (p->nouter == 0)
        schedule_row(k, part, t, own, several);
    else if (in_order && kl_gemm_fits(k, p) && t->kind == KL_TARGET_CUDA)
        kl_schedule_tiles(k, part, t);
    else if (in_order && kl_gemm_fits(k, p))
        kl_schedule_gemm(k, part, t);
    else if (ordered && t->kind == KL_TARGET_CPU && 4 * (y.unit - y.jump) >= score)
        schedule_row(k, part, t, own, true);
    else if (long_columns && ordered)
        schedule_strip(k, part, t, vec, own, forced);
    else if (in_order || ordered)
        schedule_column(k, part, t, vec, own, forced);
    else if (wide && own > 0 && own <= SHORT && !dots)
        schedule_column(k, part, t, longest_axis(k, t, p, vec, score > 0), own, forced);
    else if (wide && score > 0 && 4 * (y.unit - y.jump) < score && long_columns)
        schedule_strip(k, part, t, vec, own, forced);
    else if (wide && score > 0 && 4 * (y.unit - y.jump) < score)
        schedule_column(k, part, t, vec, own, forced);
    else
        schedule_row(k, part, t, own, several);
}

kl_status kl_schedule_kernel(kl_kernel *k, const kl_target *t, int64_t lanes)
{
    k->target = t;
    k->ndecisions = 0;
    for (int p = 0; p < k->nparts; p++)
        schedule_part(k, p, t, lanes);
    return kl_arena_failed(k->arena) ? kl_fail(KL_ERR_OOM, "schedule: no memory") : KL_OK;
}

kl_status kl_pass_schedule(kl_unit *u)
{
    for (int i = 0; i < u->nkernels; i++)
        if (!u->kernels[i]->call)
            KL_TRY(kl_schedule_kernel(u->kernels[i], u->target, u->lanes));
    return KL_OK;
}
