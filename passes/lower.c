/* lower.c: a schedule applied to an algorithm gives loops.
 *
 *   outer r: 4096                                phase w: 4096
 *   m = reduce.max c: 1024 of load x[r*1024+c]     reg acc: f32 lanes 32 = -inf
 *   class row, lanes 32                      ->    for c: 1024 lane 32: acc = max(acc,
 * load x[w*1024+c]) fold m = max acc
 *
 * The recipes differ in where the lanes lie; what one stage becomes is in lower_reduce.c
 * and lower_serial.c. Order of floating-point sums is DESIGN.md's, whatever the recipe.
 */
#include "passes/passes.h"

/* ---- what the recipes share ---- */

static kl_x replace_leaf(void *ctx, kl_exprs *x, kl_x leaf)
{
    kl_lower *l = ctx;
    const kl_xnode *n = &x->nodes[leaf];
    if (n->op == KL_X_STAGE)
        return l->stage[n->imm];
    return n->imm < l->k->naxes ? l->axis[n->imm] : KL_NONE;
}

kl_x kl_lower_expr(kl_lower *l, kl_x a)
{
    return a == KL_NONE ? a : kl_x_subst(l->x, a, replace_leaf, l);
}

kl_x kl_combine(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    return op == KL_SET ? b : kl_x_op(x, op, a, b, KL_NONE);
}

/* With siblings the number of workers is not known until the last part is lowered. */
#define ANY_WORKER ((kl_dim)1 << 40)

static kl_phase *new_phase(kl_lower *l, int64_t grain)
{
    kl_kernel *k = l->k;
    kl_phase *ph = kl_arena_zeroed(k->arena, (size_t)k->nphases + 1, sizeof *ph);
    if (!ph)
        return NULL;
    if (k->nphases)
        memcpy(ph, k->phases, (size_t)k->nphases * sizeof *ph);
    k->phases = ph;
    ph = &k->phases[k->nphases++];
    *ph = (kl_phase){.var = kl_x_newvar(k->x, "w", 1),
                     .workers = 0,
                     .grain = grain,
                     .group = 1,
                     .lane = 1};
    if (k->target && k->target->kind == KL_TARGET_CUDA)
        ph->lane = l->lanes;
    return ph;
}

kl_phase *kl_lower_phase(kl_lower *l, kl_dim workers, int64_t grain, kl_build *body,
                         kl_x *w)
{
    kl_kernel *k = l->k;
    kl_exprs *x = k->x;
    kl_phase *ph =
        l->nphases < k->nphases ? &k->phases[l->nphases] : new_phase(l, KL_MAX(grain, 1));
    if (!ph)
        return NULL;
    l->nphases++;
    kl_dim before = ph->workers;
    ph->workers = kl_dim_add(x->dims, before, workers);
    x->var_extent[ph->var] = k->nparts == 1 ? ph->workers : ANY_WORKER;
    ph->grain = KL_MIN(ph->grain, KL_MAX(grain, 1));
    *body = (kl_build){.k = k, .at = &ph->body};
    while (*body->at)
        body->at = &(*body->at)->next;
    *w = kl_x_var(x, ph->var);
    if (k->nparts == 1)
        return ph;
    kl_x first = kl_x_dim(x, before), end = kl_x_dim(x, ph->workers);
    kl_x below = kl_x_lt(x, *w, end),
         in = kl_x_and(x, kl_x_op(x, KL_OP_le, first, *w, KL_NONE), below);
    kl_build part = kl_b_if(body, in == KL_NONE ? kl_x_bool(x, true) : in);
    *w = kl_x_op(x, KL_OP_sub, *w, first, KL_NONE);
    *body = part;
    return ph;
}

/* Never empty: the first element is read even where nothing is known of it. */
uint32_t kl_lower_tile(kl_lower *l, const char *name, kl_dtype dt, kl_dim count,
                       kl_role role)
{
    int64_t min, max;
    kl_dim_range(l->x->dims, count, &min, &max);
    if (min < 1)
        count = kl_dim_max(l->x->dims, count, 1);
    kl_operand o = {.name = kl_arena_printf(l->k->arena, "%s%u", name, l->k->noperands),
                    .dtype = dt,
                    .role = role,
                    .count = count,
                    .scope = KL_SCOPE_WORKER,
                    .node = KL_NONE};
    return kl_kernel_operand(l->k, &o);
}

kl_dim kl_outer_count(kl_lower *l, int n)
{
    kl_dim c = 1;
    for (int i = 0; i < n; i++)
        c = kl_dim_mul(l->x->dims, c, l->k->axes[l->p->outer[i]].extent);
    return c;
}

void kl_outer_point(kl_lower *l, kl_x w, int n)
{
    kl_dim shape[KL_MAX_RANK] = {0};
    kl_x idx[KL_MAX_RANK];
    for (int i = 0; i < n; i++)
        shape[i] = l->k->axes[l->p->outer[i]].extent;
    kl_unflatten(l->x, n, shape, w, idx);
    for (int i = 0; i < n; i++)
        l->axis[l->p->outer[i]] = idx[i];
}

void kl_lower_checks(kl_lower *l, kl_build *b, const kl_stage *s)
{
    l->k->at = s->place;
    for (int i = 0; i < s->nchecks; i++) {
        kl_x value = kl_lower_expr(l, s->checks[i].value);
        kl_b_check(b, kl_lower_expr(l, s->checks[i].ok), s->checks[i].kind,
                   s->checks[i].node, value);
    }
}

void kl_lower_stores(kl_lower *l, kl_build *b, const kl_stage *s)
{
    kl_lower_checks(l, b, s);
    for (int i = 0; i < s->nstores && s->kind == KL_STAGE_MAP; i++) {
        kl_x pred = kl_lower_expr(l, s->stores[i].pred),
             value = kl_lower_value(l, s->stores[i].value);
        kl_b_store(b, s->stores[i].operand, kl_lower_expr(l, s->stores[i].index), value,
                   pred);
    }
}

/* ---- stages at one outer point ---- */

bool kl_lower_alike(const kl_lower *l, const kl_stage *a, const kl_stage *b)
{
    if (b->kind != KL_STAGE_MAP || a->nfree != b->nfree)
        return false;
    for (int i = 0; i < a->nfree; i++)
        if (l->k->axes[a->axes[i]].extent != l->k->axes[b->axes[i]].extent)
            return false;
    return true;
}

/* All values first, then all stores: a result may lie where an operand of a later stage
 * does. */
void kl_lower_store_all(kl_lower *l, kl_build *b, int first, int last)
{
    const kl_stage *st = l->p->stages;
    kl_x value[KL_MAX_STORES];
    int n = 0;
    bool lanes = l->in_lanes || st[first].nfree;
    if (last - first == 1 || last - first > KL_MAX_STORES || KL_PLANTED(stores_early)) {
        for (int j = first; j < last; j++)
            kl_lower_stores(l, b, &st[j]);
        return;
    }
    for (int j = first; j < last; j++) {
        kl_lower_checks(l, b, &st[j]);
        value[n] = kl_b_reg(b, "v", l->x->nodes[st[j].stores[0].value].dtype,
                            lanes ? l->lanes : 1, 0, NULL);
        kl_b_set(b, value[n++], kl_lower_value(l, st[j].stores[0].value));
    }
    for (int j = first; j < last; j++) {
        kl_x pred = kl_lower_expr(l, st[j].stores[0].pred);
        kl_b_store(b, st[j].stores[0].operand, kl_lower_expr(l, st[j].stores[0].index),
                   value[j - first], pred);
    }
}

/* Consecutive MAP stages over alike axes share their loops: [first, last). */
static void lower_maps(kl_lower *l, kl_build *b, int first, int last)
{
    kl_build in = *b;
    const kl_stage *s = &l->p->stages[first];
    for (int i = 0; i < s->nfree; i++) {
        kl_dim extent = l->k->axes[s->axes[i]].extent;
        uint32_t v = kl_x_newvar(l->x, l->k->axes[s->axes[i]].name, extent);
        bool lane = i == s->nfree - 1 && !l->in_lanes;
        in = kl_b_for(i ? &in : b, v, kl_x_dim(l->x, extent),
                      lane ? KL_BIND_LANE : KL_BIND_SERIAL, lane ? l->lanes : 1);
        for (int j = first; j < last; j++)
            l->axis[l->p->stages[j].axes[i]] = kl_x_var(l->x, v);
    }
    kl_lower_store_all(l, s->nfree ? &in : b, first, last);
}

kl_status kl_lower_stages(kl_lower *l, kl_build *b)
{
    for (int i = 0; i < l->p->nstages; i++) {
        kl_stage *s = &l->p->stages[i];
        int last = i + 1;
        l->k->at = s->place;
        switch (s->kind) {
        case KL_STAGE_MAP:
            while (last < l->p->nstages && kl_lower_alike(l, s, &l->p->stages[last]))
                last++;
            lower_maps(l, b, i, last);
            i = last - 1;
            break;
        case KL_STAGE_REDUCE:
        case KL_STAGE_CONTRACT:
            l->stage[i] = kl_lower_reduce(l, b, s);
            break;
        case KL_STAGE_ARGMAX:
        case KL_STAGE_ARGMIN:
            l->stage[i] = kl_lower_arg(l, b, s);
            break;
        case KL_STAGE_PREFIX:
            KL_TRY(kl_lower_prefix(l, b, s));
            break;
        case KL_STAGE_SCATTER:
            KL_TRY(kl_lower_scatter(l, b, s));
            break;
        case KL_STAGE_SORT:
            KL_TRY(kl_lower_sort(l, b, s));
            break;
        }
    }
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}

/* ---- recipes ---- */

uint16_t kl_lower_last(kl_lower *l, int i)
{
    uint16_t axis = l->p->outer[i];
    memmove(l->p->outer + i, l->p->outer + i + 1,
            (size_t)(l->p->nouter - 1 - i) * sizeof axis);
    l->p->outer[l->p->nouter - 1] = axis;
    return axis;
}

/* A chunk's halves in turn, so many elements of each: memory serves two places that are
 * walked at once faster than one. Where the turn begins in the chunk. */
static kl_x take_turns(kl_lower *l, int64_t chunk, int64_t turn, kl_build *b)
{
    uint32_t t = kl_x_newvar(l->x, "t", chunk / 2 / turn),
             half = kl_x_newvar(l->x, "half", 2);
    *b = kl_b_for(b, t, kl_x_int(l->x, chunk / 2 / turn), KL_BIND_SERIAL, 1);
    *b = kl_b_for(b, half, kl_x_int(l->x, 2), KL_BIND_SERIAL, 1);
    kl_x within = kl_x_scale(l->x, kl_x_var(l->x, t), turn);
    return kl_x_add(l->x, kl_x_scale(l->x, kl_x_var(l->x, half), chunk / 2), within);
}

/* Lanes along one outer axis, in chunks that are worth a thread. */
static kl_status lower_map(kl_lower *l)
{
    kl_dims *d = l->x->dims;
    int n = l->p->nouter, vec = (int)kl_param(l->k, l->part, "vec", n - 1);
    int64_t chunk = kl_param(l->k, l->part, "chunk", 16384),
            turn = kl_param(l->k, l->part, "turn", 0), at_once = turn ? turn : chunk;
    uint16_t axis = 0;
    kl_dim extent = 1;
    if (n && l->k->target && l->k->target->kind == KL_TARGET_CUDA)
        return kl_lower_elements(l);
    if (n) {
        axis = kl_lower_last(l, vec);
        extent = l->k->axes[axis].extent;
    }
    kl_dim chunks = KL_PLANTED(tail) ? kl_dim_div(d, extent, chunk)
                                     : kl_dim_ceildiv(d, extent, chunk),
           rows = kl_outer_count(l, n ? n - 1 : 0);
    int64_t c, e, grain = 1;
    if (kl_dim_is_const(d, chunks, &c) && c <= 1 && kl_dim_is_const(d, extent, &e))
        grain = chunk / KL_MAX(e, 1);
    kl_build b;
    kl_x w;
    kl_phase *ph = kl_lower_phase(l, kl_dim_mul(d, rows, chunks), grain, &b, &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x nc = kl_x_dim(l->x, chunks);
    kl_x part = kl_x_scale(l->x, kl_x_mod(l->x, w, nc), chunk);
    kl_outer_point(l, kl_x_divf(l->x, w, nc), n ? n - 1 : 0);
    if (turn)
        part = kl_x_add(l->x, part, take_turns(l, chunk, turn, &b));
    kl_x left = kl_x_op(l->x, KL_OP_sub, kl_x_dim(l->x, extent), part, KL_NONE);
    kl_x len = kl_x_op(l->x, KL_OP_min, left, kl_x_int(l->x, at_once), KL_NONE);
    if (!n)
        return kl_lower_stages(l, &b);
    if (turn)
        len = kl_x_op(l->x, KL_OP_max, len, kl_x_int(l->x, 0), KL_NONE);
    uint32_t v = kl_x_newvar(l->x, l->k->axes[axis].name, kl_dim_min(d, extent, at_once));
    kl_build in = kl_b_for(&b, v, len, KL_BIND_LANE, l->lanes);
    l->axis[axis] = kl_x_add(l->x, part, kl_x_var(l->x, v));
    l->lane_var = v;
    l->in_lanes = l->by_place = true;
    return kl_lower_stages(l, &in);
}

/* Lanes along one outer axis, rows of another inside a worker: squares in which operands
 * of either order have their cache lines used up. */
static kl_status lower_turned(kl_lower *l)
{
    kl_dims *d = l->x->dims;
    kl_exprs *x = l->x;
    int n = l->p->nouter, vec = (int)kl_param(l->k, l->part, "vec", 0),
        across = (int)kl_param(l->k, l->part, "across", 1);
    int64_t high = kl_param(l->k, l->part, "rows", 16),
            wide = kl_param(l->k, l->part, "columns", 32);
    uint16_t r = kl_lower_last(l, across), c = kl_lower_last(l, vec - (vec > across));
    kl_dim rows = l->k->axes[r].extent, columns = l->k->axes[c].extent;
    kl_dim nr = kl_dim_ceildiv(d, rows, high), nc = kl_dim_ceildiv(d, columns, wide);
    kl_dim tiles = kl_dim_mul(d, nr, nc),
           workers = kl_dim_mul(d, kl_outer_count(l, n - 2), tiles);
    kl_build b;
    kl_x w, i;
    if (!kl_lower_phase(l, workers, 16384 / (high * wide), &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x strip = kl_x_divf(x, w, kl_x_dim(x, nr));
    kl_outer_point(l, kl_x_divf(x, strip, kl_x_dim(x, nc)), n - 2);
    kl_x row = kl_x_scale(x, kl_x_mod(x, w, kl_x_dim(x, nr)), high);
    kl_x col = kl_x_scale(x, kl_x_mod(x, strip, kl_x_dim(x, nc)), wide);
    uint32_t v = kl_x_newvar(x, l->k->axes[r].name, high),
             j = kl_x_newvar(x, l->k->axes[c].name, wide);
    i = kl_x_op(x, KL_OP_sub, kl_x_dim(x, rows), row, KL_NONE);
    kl_build in = kl_b_for(&b, v, kl_x_op(x, KL_OP_min, i, kl_x_int(x, high), KL_NONE),
                           KL_BIND_SERIAL, 1);
    i = kl_x_op(x, KL_OP_sub, kl_x_dim(x, columns), col, KL_NONE);
    in = kl_b_for(&in, j, kl_x_op(x, KL_OP_min, i, kl_x_int(x, wide), KL_NONE),
                  KL_BIND_LANE, l->lanes);
    l->axis[r] = kl_x_add(x, row, kl_x_var(x, v));
    l->axis[c] = kl_x_add(x, col, kl_x_var(x, j));
    l->in_lanes = true;
    return kl_lower_stages(l, &in);
}

static kl_status lower_row(kl_lower *l)
{
    kl_build b, in;
    kl_x w;
    kl_dims *d = l->x->dims;
    int64_t beside = kl_param(l->k, l->part, "beside", 1);
    if (beside > 1)
        return l->p->stages[0].kind == KL_STAGE_PREFIX
                   ? kl_lower_prefixes(l, (int32_t)beside)
                   : kl_lower_dots(l, (int32_t)beside);
    KL_TRY(kl_lower_keep(l));
    kl_dim rows = kl_outer_count(l, l->p->nouter);
    int64_t group = kl_param(l->k, l->part, "group", 1);
    kl_phase *ph = kl_lower_phase(l, kl_dim_ceildiv(d, rows, group),
                                  kl_param(l->k, l->part, "grain", 1), &b, &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    if (group == 1) {
        kl_outer_point(l, w, l->p->nouter);
        return kl_lower_stages(l, &b);
    }
    ph->group = (int32_t)group;
    uint32_t g = kl_x_newvar(l->x, "g", group);
    in = kl_b_for(&b, g, kl_x_int(l->x, group), KL_BIND_GROUP, 1);
    kl_x mine = kl_x_var(l->x, g), row = kl_x_add(l->x, kl_x_scale(l->x, w, group), mine);
    kl_x inside = kl_x_and(l->x, KL_NONE, kl_x_lt(l->x, row, kl_x_dim(l->x, rows)));
    if (inside != KL_NONE && !KL_PLANTED(group_mask))
        in = kl_b_if(&in, inside);
    kl_outer_point(l, row, l->p->nouter);
    return kl_lower_stages(l, &in);
}

/* One long reduction: every block of 4096 is a worker's; the second phase folds and
 * finishes. */
static kl_status lower_split(kl_lower *l)
{
    kl_dims *d = l->x->dims;
    kl_build b;
    kl_x w;
    kl_dim rows = kl_outer_count(l, l->p->nouter), most = 1;
    uint32_t temp[32];
    kl_dim blocks[32];
    int n = 0;
    for (; n < l->p->nstages && l->p->stages[n].kind == KL_STAGE_REDUCE && n < 32; n++) {
        blocks[n] =
            kl_dim_ceildiv(d, l->k->axes[l->p->stages[n].axes[0]].extent, KL_BLOCK);
        most = kl_dim_max(d, most, blocks[n]);
        temp[n] = kl_lower_tile(l, "part", l->p->stages[n].dtype,
                                kl_dim_mul(d, rows, blocks[n]), KL_ROLE_TEMP);
    }
    kl_phase *ph = kl_lower_phase(l, kl_dim_mul(d, rows, most), 8, &b, &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x nb = kl_x_dim(l->x, most);
    kl_x row = kl_x_divf(l->x, w, nb), blk = kl_x_mod(l->x, w, nb),
         start = kl_x_mul(l->x, blk, kl_x_int(l->x, KL_BLOCK));
    kl_outer_point(l, row, l->p->nouter);
    for (int i = 0; i < n; i++) {
        kl_stage *s = &l->p->stages[i];
        l->k->at = s->place;
        kl_x here =
            kl_x_and(l->x, KL_NONE, kl_x_lt(l->x, blk, kl_x_dim(l->x, blocks[i])));
        kl_build in = here == KL_NONE ? b : kl_b_if(&b, here);
        kl_x extent = kl_x_dim(l->x, l->k->axes[s->axes[0]].extent);
        kl_x left = kl_x_op(l->x, KL_OP_sub, extent, start, KL_NONE);
        kl_x v = kl_lower_block(
            l, &in, s, start,
            kl_x_op(l->x, KL_OP_min, left, kl_x_int(l->x, KL_BLOCK), KL_NONE));
        kl_b_store(&in, temp[i],
                   kl_x_add(l->x, kl_x_mul(l->x, row, kl_x_dim(l->x, blocks[i])), blk), v,
                   KL_NONE);
        if (here == KL_NONE)
            b = in;
    }
    ph = kl_lower_phase(l, rows, 16, &b, &w);
    if (!ph)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_outer_point(l, w, l->p->nouter);
    for (int i = 0; i < n; i++)
        l->stage[i] =
            kl_lower_tree(l, &b, &l->p->stages[i], temp[i],
                          kl_x_mul(l->x, w, kl_x_dim(l->x, blocks[i])), blocks[i]);
    for (int i = n; i < l->p->nstages; i++)
        kl_lower_stores(l, &b, &l->p->stages[i]);
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}

/* What a worker of columns takes: rows of the last other axis, all vectors of each. */
typedef struct share {
    int64_t rows; /* 1: a single vector */
    int64_t grain;
} share;

/* So many rows as are worth a thread, if one alone is not. */
static share share_of(const kl_lower *l, kl_dim rows, kl_dim chunks)
{
    share s = {1, kl_param(l->k, l->part, "grain", 1)};
    int64_t most, each;
    bool cpu = !l->k->target || l->k->target->kind == KL_TARGET_CPU;
    if (!cpu || !kl_dim_is_const(l->x->dims, rows, &most) ||
        !kl_dim_is_const(l->x->dims, chunks, &each) || each < 1)
        return s;
    s.rows = KL_MAX(KL_MIN(most, s.grain / each), 1);
    if (s.rows > 1)
        s.grain = KL_MAX(s.grain / (s.rows * each), 1);
    return s;
}

/* Is more read once a column than once a row (the places and weights of pixels along an
 * axis)? Then a vector of columns is walked down the rows. */
static bool columns_share(const kl_lower *l, uint16_t row, uint16_t column)
{
    int rows = 0, columns = 0;
    uint32_t count = l->x->count;
    uint8_t *used = kl_part_uses(l->k, l->p, count);
    for (kl_x e = 0; used && e < count; e++) {
        bool load = used[e] && l->x->nodes[e].op == KL_X_LOAD,
             r = load && kl_x_uses_var(l->x, e, row),
             c = load && kl_x_uses_var(l->x, e, column);
        rows += r && !c;
        columns += c && !r;
    }
    if (used)
        kl_free(used, count + 1);
    return columns > rows;
}

/* A worker's part of the columns' recipe. */
typedef struct columns {
    share s;
    kl_dim shares, chunks;
    uint16_t axis; /* that lanes walk */
} columns;

/* The vector of columns number `chunk`, open. */
static kl_build vector_of(kl_lower *l, const columns *t, kl_build *b, kl_x chunk)
{
    kl_x at = kl_x_scale(l->x, chunk, l->lanes);
    kl_x left =
        kl_x_op(l->x, KL_OP_sub, kl_x_dim(l->x, l->k->axes[t->axis].extent), at, KL_NONE);
    l->lane_var = kl_x_newvar(l->x, l->k->axes[t->axis].name, l->lanes);
    l->axis[t->axis] = kl_x_add(l->x, at, kl_x_var(l->x, l->lane_var));
    l->in_lanes = true;
    left = kl_x_op(l->x, KL_OP_min, left, kl_x_int(l->x, l->lanes), KL_NONE);
    return kl_b_for(b, l->lane_var, left, KL_BIND_LANE, l->lanes);
}

/* The outer point of worker w, walked in b: a share of rows, vector by vector, or each
 * vector down the rows. */
static kl_build walk_rows(kl_lower *l, const columns *t, kl_x w, kl_build *b)
{
    kl_exprs *x = l->x;
    int n = l->p->nouter;
    uint16_t row = l->p->outer[n - 2];
    uint32_t r = kl_x_newvar(x, l->k->axes[row].name, t->s.rows),
             c = kl_x_newvar(x, "c", t->chunks);
    kl_x ns = kl_x_dim(x, t->shares), chunk = kl_x_var(x, c),
         first = kl_x_scale(x, kl_x_mod(x, w, ns), t->s.rows);
    kl_x left =
        kl_x_op(x, KL_OP_sub, kl_x_dim(x, l->k->axes[row].extent), first, KL_NONE);
    kl_outer_point(l, kl_x_divf(x, w, ns), n - 2);
    l->axis[row] = kl_x_add(x, first, kl_x_var(x, r));
    left = kl_x_op(x, KL_OP_min, left, kl_x_int(x, t->s.rows), KL_NONE);
    if (columns_share(l, row, t->axis)) {
        kl_build in = kl_b_for(b, c, kl_x_dim(x, t->chunks), KL_BIND_SERIAL, 1);
        in = vector_of(l, t, &in, chunk);
        return kl_b_for(&in, r, left, KL_BIND_SERIAL, 1);
    }
    kl_build in = kl_b_for(b, r, left, KL_BIND_SERIAL, 1);
    in = kl_b_for(&in, c, kl_x_dim(x, t->chunks), KL_BIND_SERIAL, 1);
    return vector_of(l, t, &in, chunk);
}

/* Lanes along one outer axis; a worker is one vector of it at one point of the others, or
 * some rows of vectors, so that what these share (a channel's weights) is read once. */
static kl_status lower_column(kl_lower *l)
{
    kl_dims *d = l->x->dims;
    int n = l->p->nouter, vec = (int)kl_param(l->k, l->part, "vec", n - 1);
    columns t = {.axis = kl_lower_last(l, vec)};
    kl_dim extent = l->k->axes[t.axis].extent,
           rows = n > 1 ? l->k->axes[l->p->outer[n - 2]].extent : 1;
    t.chunks = kl_dim_ceildiv(d, extent, l->lanes);
    t.s = share_of(l, rows, t.chunks);
    t.shares = t.s.rows > 1 ? kl_dim_ceildiv(d, rows, t.s.rows) : t.chunks;
    kl_dim points = kl_outer_count(l, t.s.rows > 1 ? n - 2 : n - 1);
    kl_build b, in;
    kl_x w;
    if (!kl_lower_phase(l, kl_dim_mul(d, points, t.shares), t.s.grain, &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    if (t.s.rows > 1) {
        in = walk_rows(l, &t, w, &b);
    } else {
        kl_outer_point(l, kl_x_divf(l->x, w, kl_x_dim(l->x, t.chunks)), n - 1);
        in = vector_of(l, &t, &b, kl_x_mod(l->x, w, kl_x_dim(l->x, t.chunks)));
    }
    return kl_lower_stages(l, &in);
}

static const struct {
    const char *name;
    kl_status (*fn)(kl_lower *l);
} recipes[] = {
    {"map", lower_map},        {"row", lower_row},       {"split", lower_split},
    {"column", lower_column},  {"gemm", kl_lower_gemm},  {"tiles", kl_lower_tiles},
    {"strip", kl_lower_strip}, {"turned", lower_turned},
};

kl_status kl_lower_kernel(kl_kernel *k)
{
    for (int p = 0; p < k->nparts; p++) {
        kl_lower l = {
            .k = k, .x = k->x, .p = &k->parts[p], .part = p, .cls = kl_part_class(k, p)};
        l.lanes = (int32_t)kl_param(k, p, "lanes", KL_LANES);
        l.axis = kl_arena_alloc(k->arena, (k->naxes + 1) * sizeof(kl_x));
        l.stage = kl_arena_alloc(k->arena, ((size_t)l.p->nstages + 1) * sizeof(kl_x));
        if (!l.axis || !l.stage)
            return kl_fail(KL_ERR_OOM, "lower: no memory");
        memset(l.axis, 0xff, k->naxes * sizeof(kl_x));
        memset(l.stage, 0xff, (size_t)l.p->nstages * sizeof(kl_x));
        size_t i = 0;
        while (i < KL_COUNT(recipes) && strcmp(recipes[i].name, l.cls) != 0)
            i++;
        if (i == KL_COUNT(recipes))
            return kl_fail(KL_ERR_ARG, "lower: no recipe for class %s", l.cls);
        KL_TRY(recipes[i].fn(&l));
    }
    for (int i = 0; i < k->nphases; i++) { /* nobody works where it does not run */
        kl_phase *ph = &k->phases[i];
        ph->workers = kl_dim_mul(k->x->dims, ph->workers, k->when);
        if (k->when != 1)
            k->x->var_extent[ph->var] = ph->workers;
    }
    return kl_lower_once(k);
}

kl_status kl_pass_lower(kl_unit *u)
{
    for (int i = 0; i < u->nkernels; i++)
        if (!u->kernels[i]->call) {
            KL_TRY(kl_lower_kernel(u->kernels[i]));
            kl_kernel_cost(u->kernels[i]);
        }
    return KL_OK;
}
