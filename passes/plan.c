/* plan.c: kernels in launch order become the program that runs: steps, buffers, offsets.
 *
 *   k0: (in x) -> (temp t)         slot 0: in 0      slot 2: arena offset 0 bytes 4096
 *   k1: (in t, in w) -> (out y)    slot 1: out 0     launch k0 (0, 2)   launch k1 (2, ..)
 *
 * A buffer lives from the step that writes it to the last that reads it; buffers of known
 * size share offsets first-fit, so peak bytes are exact and known before the run. An
 * elementwise kernel writes over an operand that dies there. Everything of the program
 * lies in its own arena, so that it outlives the compile. */
#include "passes/passes.h"

enum { ALIGN = 64 };

typedef struct life {
    int slot, first, last;
    int64_t bytes, offset;
    bool known;
    kl_dim size;
} life;

typedef struct planner {
    kl_unit *u;
    kl_graph *g;
    kl_arena *a; /* the program's */
    kl_program *p;
    int32_t *slot_of; /* node -> slot, or -1 */
    kl_slot *slots;
    uint32_t nslots, cap_slots;
    kl_step *steps;
    uint32_t nsteps, cap_steps;
    life *lives;
    uint32_t nlives, cap_lives;
} planner;

static const char *copy(planner *pl, const char *s)
{
    return s ? kl_arena_strdup(pl->a, s) : NULL;
}

static kl_size size_of(planner *pl, kl_dim d)
{
    return kl_dim_size(pl->g->dims, d, pl->a);
}

static kl_dim bytes_of(planner *pl, kl_dim count, kl_dtype dt)
{
    return kl_dim_mul(pl->g->dims, count, kl_dtypes[dt].size);
}

static kl_size *shape_of(planner *pl, kl_ref r)
{
    int rank = kl_graph_at(pl->g, r)->rank;
    kl_size *s = kl_arena_alloc(pl->a, ((size_t)rank + 1) * sizeof *s);
    for (int i = 0; s && i < rank; i++)
        s[i] = size_of(pl, kl_graph_shape(pl->g, r)[i]);
    return s;
}

static int new_slot(planner *pl, kl_slot_kind kind, kl_dtype dt, kl_dim count,
                    kl_ref node)
{
    if (kl_arena_grow(pl->a, &pl->slots, &pl->cap_slots, pl->nslots + 1,
                      sizeof *pl->slots) != KL_OK)
        return -1;
    kl_slot *s = &pl->slots[pl->nslots];
    *s = (kl_slot){
        .kind = kind, .dtype = dt, .bytes = size_of(pl, bytes_of(pl, count, dt))};
    s->offset = size_of(pl, 0);
    if (node != KL_NONE) {
        uint32_t name = kl_graph_at(pl->g, node)->name;
        s->name = name == KL_NONE ? NULL : copy(pl, pl->g->strings[name]);
        s->rank = kl_graph_at(pl->g, node)->rank;
        s->shape = shape_of(pl, node);
    }
    return (int)pl->nslots++;
}

/* ---- lifetimes
 * ----------------------------------------------------------------------------------- */

static kl_status new_life(planner *pl, int slot, int step, kl_dim size)
{
    KL_TRY(kl_arena_grow(pl->a, &pl->lives, &pl->cap_lives, pl->nlives + 1,
                         sizeof *pl->lives));
    life *f = &pl->lives[pl->nlives++];
    *f = (life){.slot = slot, .first = step, .last = step, .size = size};
    f->known = kl_dim_is_const(pl->g->dims, size, &f->bytes);
    return KL_OK;
}

static void touch(planner *pl, int slot, int step)
{
    for (uint32_t i = 0; i < pl->nlives; i++)
        if (pl->lives[i].slot == slot && step > pl->lives[i].last)
            pl->lives[i].last = step;
}

/* First-fit among the placed lives that overlap in time. */
static int64_t place(const planner *pl, uint32_t n)
{
    const life *f = &pl->lives[n];
    int64_t at = 0, size = (f->bytes + ALIGN - 1) / ALIGN * ALIGN;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < n; i++) {
            const life *o = &pl->lives[i];
            int64_t end = o->offset + (o->bytes + ALIGN - 1) / ALIGN * ALIGN;
            if (o->known && o->first <= f->last && f->first <= o->last && at < end &&
                o->offset < at + size)
                at = end, moved = true;
        }
    }
    return at;
}

/* Sizes that depend on symbols come after all known ones, one after the other. */
static void place_all(planner *pl)
{
    int64_t top = 0;
    for (uint32_t i = 0; i < pl->nlives; i++) {
        life *f = &pl->lives[i];
        if (!f->known)
            continue;
        f->offset = place(pl, i);
        top = KL_MAX(top, f->offset + (f->bytes + ALIGN - 1) / ALIGN * ALIGN);
        pl->slots[f->slot].offset = size_of(pl, f->offset);
    }
    kl_dims *d = pl->g->dims;
    kl_dim end = top;
    for (uint32_t i = 0; i < pl->nlives; i++) {
        life *f = &pl->lives[i];
        if (f->known)
            continue;
        pl->slots[f->slot].offset = size_of(pl, end);
        end = kl_dim_add(d, end, kl_dim_mul(d, kl_dim_ceildiv(d, f->size, ALIGN), ALIGN));
    }
    pl->p->arena = size_of(pl, end);
}

/* ---- in place
 * ---------------------------------------------------------------------------------------
 */

/* All stages of the part map at one point: their values are computed before any store. */
static bool maps_at_once(const kl_part *p)
{
    for (int s = 0; s < p->nstages; s++)
        if (p->stages[s].kind != KL_STAGE_MAP || p->stages[s].nfree ||
            p->stages[s].nstores != 1 || p->nstages > KL_MAX_STORES)
            return false;
    return true;
}

/* May OUT operand o lie where IN operand i lies? Only if every load of i is at the very
 * element that is stored to o at that point, by the same worker. */
static bool index_by_index(const kl_kernel *k, uint32_t in, uint32_t out)
{
    const kl_operand *a = &k->operands[in], *b = &k->operands[out];
    kl_x at = KL_NONE;
    int part = -1;
    if (a->count != b->count || kl_dtypes[a->dtype].size != kl_dtypes[b->dtype].size)
        return false;
    for (int p = 0; p < k->nparts; p++)
        for (int s = 0; s < k->parts[p].nstages; s++) {
            const kl_stage *st = &k->parts[p].stages[s];
            for (int t = 0; t < st->nstores; t++) {
                if (st->stores[t].operand != out)
                    continue;
                if (at != KL_NONE || !maps_at_once(&k->parts[p]))
                    return false;
                at = st->stores[t].index;
                part = p;
            }
        }
    for (int p = 0; p < k->nparts && at != KL_NONE; p++) {
        uint32_t count = k->x->count;
        uint8_t *used = kl_part_uses(k, &k->parts[p], count);
        if (!used)
            return false;
        for (kl_x e = 0; e < count; e++)
            if (used[e] && k->x->nodes[e].op == KL_X_LOAD && k->x->nodes[e].imm == in &&
                (p != part || k->x->nodes[e].src[0] != at))
                at = KL_NONE;
        kl_free(used, count + 1);
    }
    return at != KL_NONE;
}

/* Take over the arena place of an operand that dies at this step. */
static bool reuse_operand(planner *pl, const kl_kernel *k, uint32_t out, int step,
                          const int *last_read, const int32_t *slots)
{
    for (uint32_t i = 0; i < k->noperands; i++) {
        if (k->operands[i].role != KL_ROLE_IN || slots[i] < 0 ||
            pl->slots[slots[i]].kind != KL_SLOT_ARENA)
            continue;
        if (last_read[k->operands[i].node] != step || !index_by_index(k, i, out))
            continue;
        pl->slot_of[k->operands[out].node] = slots[i];
        touch(pl, slots[i], step);
        return true;
    }
    return false;
}

/* ---- steps
 * ---------------------------------------------------------------------------------------------
 */

static kl_step *new_step(planner *pl, kl_step_kind kind, const char *name)
{
    if (kl_arena_grow(pl->a, &pl->steps, &pl->cap_steps, pl->nsteps + 1,
                      sizeof *pl->steps) != KL_OK)
        return NULL;
    kl_step *s = &pl->steps[pl->nsteps++];
    *s = (kl_step){.kind = kind, .name = copy(pl, name), .kernel = -1};
    s->scratch = size_of(pl, 0);
    return s;
}

static void plan_phases(planner *pl, const kl_kernel *k, kl_step *s)
{
    kl_plan_phase *ph = kl_arena_zeroed(pl->a, (size_t)k->nphases + 1, sizeof *ph);
    kl_dim dims[256], shared = kl_kernel_scratch(k, NULL);
    bool cuda = k->target && k->target->kind == KL_TARGET_CUDA;
    for (int i = 0; ph && i < k->nphases; i++)
        ph[i] = (kl_plan_phase){.workers = size_of(pl, k->phases[i].workers),
                                .grain = k->phases[i].grain,
                                .group = k->phases[i].group,
                                .lane = k->phases[i].lane,
                                .shared = size_of(pl, cuda ? shared : 0)};
    s->nphases = k->nphases;
    s->phases = ph;
    s->scratch = size_of(pl, cuda ? 0 : shared);
    s->ndims = kl_kernel_dims(k, dims, (int)KL_COUNT(dims));
    kl_size *d = kl_arena_alloc(pl->a, ((size_t)s->ndims + 1) * sizeof *d);
    for (int i = 0; d && i < s->ndims; i++)
        d[i] = size_of(pl, dims[i]);
    s->dims = d;
    s->flops = k->flops, s->bytes = k->bytes;
}

static kl_status plan_kernel(planner *pl, int n, const int *last_read)
{
    kl_kernel *k = pl->u->kernels[n];
    kl_step *s = new_step(pl, k->call ? KL_STEP_CALL : KL_STEP_LAUNCH, k->name);
    int32_t *slots = kl_arena_alloc(pl->a, (k->noperands + 1) * sizeof *slots);
    if (!s || !slots)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    int count = 0, step = (int)pl->nsteps - 1;
    memset(slots, 0xff, k->noperands * sizeof *slots);
    for (uint32_t i = 0; i < k->noperands; i++)
        if (k->operands[i].role == KL_ROLE_IN)
            touch(pl, slots[i] = pl->slot_of[k->operands[i].node], step);
    for (uint32_t i = 0; i < k->noperands; i++) {
        const kl_operand *o = &k->operands[i];
        if (o->role == KL_ROLE_IN || o->role == KL_ROLE_TILE)
            continue;
        bool mine = o->node == KL_NONE;
        if (mine || (pl->slot_of[o->node] < 0 &&
                     !reuse_operand(pl, k, i, step, last_read, slots))) {
            slots[i] = new_slot(pl, KL_SLOT_ARENA, o->dtype, o->count, o->node);
            KL_TRY(new_life(pl, slots[i], step, bytes_of(pl, o->count, o->dtype)));
            if (!mine)
                pl->slot_of[o->node] = slots[i];
        }
        if (!mine)
            slots[i] = pl->slot_of[o->node];
    }
    for (uint32_t i = 0; i < k->noperands; i++)
        if (k->operands[i].role != KL_ROLE_TILE)
            slots[count++] = slots[i];
    s = &pl->steps[step];
    s->nslots = count;
    s->slots = slots;
    s->place = copy(pl, k->place);
    s->symbol = copy(pl, k->call);
    s->kernel = k->call ? -1 : pl->p->nkernels++;
    for (uint32_t i = 0; i < k->noperands; i++)
        s->ncarry += k->call && k->operands[i].role == KL_ROLE_IN;
    if (!k->call)
        plan_phases(pl, k, s);
    return KL_OK;
}

static kl_status plan_copy(planner *pl, int to, int from)
{
    kl_step *s = new_step(pl, KL_STEP_COPY, "copy");
    int32_t *slots = kl_arena_alloc(pl->a, 2 * sizeof *slots);
    if (!s || !slots)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    slots[0] = to, slots[1] = from;
    s->slots = slots;
    s->nslots = 2;
    touch(pl, from, (int)pl->nsteps - 1);
    return KL_OK;
}

/* ---- inputs and outputs
 * ------------------------------------------------------------------------------------ */

static kl_port *ports(planner *pl, uint32_t n, const kl_ref *refs, const char **names)
{
    kl_port *p = kl_arena_zeroed(pl->a, n + 1, sizeof *p);
    for (uint32_t i = 0; p && i < n; i++) {
        const kl_node *node = kl_graph_at(pl->g, refs[i]);
        const char *name = names && names[i]       ? names[i]
                           : node->name != KL_NONE ? pl->g->strings[node->name]
                                                   : NULL;
        p[i] = (kl_port){.name = copy(pl, name),
                         .dtype = node->dtype,
                         .rank = node->rank,
                         .shape = shape_of(pl, refs[i])};
    }
    return p;
}

/* When output i is donated input `in`: is anything of the input read at or after the
 * write? */
static bool donation_safe(planner *pl, kl_ref out, kl_ref in, const int *last_read)
{
    for (int n = 0; n < pl->u->nkernels; n++) {
        const kl_kernel *k = pl->u->kernels[n];
        for (uint32_t o = 0; o < k->noperands; o++) {
            if (k->operands[o].role != KL_ROLE_OUT || k->operands[o].node != out)
                continue;
            if (last_read[in] > n)
                return false;
            for (uint32_t i = 0; i < k->noperands && last_read[in] == n; i++)
                if (k->operands[i].role == KL_ROLE_IN && k->operands[i].node == in &&
                    !index_by_index(k, i, o))
                    return false;
            return true;
        }
    }
    return false;
}

/* An output gets its own memory as the place where its kernel writes, unless that node
 * already has a place (an input, or an output twice) or the donated input is still
 * needed. */
static void claim_outputs(planner *pl, const int *last_read)
{
    kl_graph *g = pl->g;
    for (uint32_t i = 0; i < g->noutputs; i++) {
        kl_ref r = g->outputs[i];
        int donated = g->donated ? g->donated[i] : 0;
        int slot =
            new_slot(pl, KL_SLOT_OUT, kl_graph_at(g, r)->dtype, kl_graph_numel(g, r), r);
        if (slot < 0)
            return;
        pl->slots[slot].index = (int32_t)i;
        pl->slots[slot].donated = donated;
        bool free_to_write =
            !donated || donation_safe(pl, r, g->inputs[donated - 1], last_read);
        if (pl->slot_of[r] < 0 && free_to_write)
            pl->slot_of[r] = slot;
    }
}

/* Does an output other than i lie where this input slot lies? */
static bool overwritten(const planner *pl, uint32_t i, int from)
{
    const kl_slot *s = &pl->slots[from];
    for (uint32_t o = 0; s->kind == KL_SLOT_IN && o < pl->g->noutputs; o++)
        if (o != i && pl->slots[pl->g->ninputs + o].donated == s->index + 1)
            return true;
    return false;
}

/* An input that is an output, and whose memory another output takes over, waits in the
 * arena until all copies into outputs are about to be made. */
static kl_status save_inputs(planner *pl, int *from)
{
    kl_graph *g = pl->g;
    for (uint32_t i = 0; i < g->noutputs; i++) {
        kl_ref r = g->outputs[i];
        from[i] = pl->slot_of[r];
        if (from[i] < 0)
            return kl_fail(KL_ERR_INTERNAL, "plan: output %u is never computed", i);
        if (!overwritten(pl, i, from[i]))
            continue;
        kl_dtype dt = kl_graph_at(g, r)->dtype;
        kl_dim count = kl_graph_numel(g, r);
        int slot = new_slot(pl, KL_SLOT_ARENA, dt, count, r);
        if (slot < 0)
            return kl_fail(KL_ERR_OOM, "plan: no memory");
        KL_TRY(new_life(pl, slot, (int)pl->nsteps, bytes_of(pl, count, dt)));
        KL_TRY(plan_copy(pl, slot, from[i]));
        from[i] = slot;
    }
    return KL_OK;
}

static kl_status copy_outputs(planner *pl)
{
    kl_graph *g = pl->g;
    int *from = kl_arena_alloc(pl->u->arena, (g->noutputs + 1) * sizeof *from);
    if (!from)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    KL_TRY(save_inputs(pl, from));
    for (uint32_t i = 0; i < g->noutputs; i++)
        if (from[i] != (int)(g->ninputs + i))
            KL_TRY(plan_copy(pl, (int)(g->ninputs + i), from[i]));
    return KL_OK;
}

static void plan_symbols(planner *pl)
{
    kl_dims *d = pl->g->dims;
    int n = kl_dim_sym_count(d);
    const char **names = kl_arena_zeroed(pl->a, (size_t)n + 1, sizeof *names);
    int64_t *min = kl_arena_zeroed(pl->a, (size_t)n + 1, 8),
            *max = kl_arena_zeroed(pl->a, (size_t)n + 1, 8);
    int64_t *div = kl_arena_zeroed(pl->a, (size_t)n + 1, 8);
    for (int i = 0; names && min && max && div && i < n; i++) {
        names[i] = copy(pl, kl_dim_sym_name(d, i));
        kl_dim_sym_facts(d, i, &min[i], &max[i], &div[i]);
    }
    pl->p->nsyms = n;
    pl->p->sym_names = names;
    pl->p->sym_min = min, pl->p->sym_max = max, pl->p->sym_div = div;
}

static kl_status plan(planner *pl)
{
    kl_graph *g = pl->g;
    pl->slot_of =
        kl_arena_alloc(pl->u->arena, ((size_t)g->count + 1) * sizeof *pl->slot_of);
    int *last_read =
        kl_arena_alloc(pl->u->arena, ((size_t)g->count + 1) * sizeof *last_read);
    if (!pl->slot_of || !last_read)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    for (uint32_t i = 0; i < g->count; i++)
        pl->slot_of[i] = last_read[i] = -1;
    for (int n = 0; n < pl->u->nkernels; n++)
        for (uint32_t i = 0; i < pl->u->kernels[n]->noperands; i++)
            if (pl->u->kernels[n]->operands[i].role == KL_ROLE_IN)
                last_read[pl->u->kernels[n]->operands[i].node] = n;
    for (uint32_t i = 0; i < g->noutputs; i++) /* it may be copied at the end */
        last_read[g->outputs[i]] = pl->u->nkernels;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_ref r = g->inputs[i];
        pl->slot_of[r] =
            new_slot(pl, KL_SLOT_IN, kl_graph_at(g, r)->dtype, kl_graph_numel(g, r), r);
        if (pl->slot_of[r] < 0)
            return kl_fail(KL_ERR_OOM, "plan: no memory");
        pl->slots[pl->slot_of[r]].index = (int32_t)i;
    }
    claim_outputs(pl, last_read);
    for (int n = 0; n < pl->u->nkernels; n++)
        KL_TRY(plan_kernel(pl, n, last_read));
    KL_TRY(copy_outputs(pl));
    place_all(pl);
    kl_program *p = pl->p;
    plan_symbols(pl);
    p->name = copy(pl, g->name);
    p->nin = (int32_t)g->ninputs, p->nout = (int32_t)g->noutputs;
    p->in = ports(pl, g->ninputs, g->inputs, NULL);
    p->out = ports(pl, g->noutputs, g->outputs, g->output_names);
    p->nslots = (int32_t)pl->nslots, p->slots = pl->slots;
    p->nsteps = (int32_t)pl->nsteps, p->steps = pl->steps;
    p->kernels = kl_arena_zeroed(pl->a, (size_t)p->nkernels + 1, sizeof *p->kernels);
    for (int n = 0, at = 0; p->kernels && n < pl->u->nkernels; n++)
        if (!pl->u->kernels[n]->call)
            p->kernels[at++].name = copy(pl, pl->u->kernels[n]->name);
    return kl_arena_failed(pl->a) ? kl_fail(KL_ERR_OOM, "plan: no memory") : KL_OK;
}

kl_status kl_pass_plan(kl_unit *u)
{
    planner pl = {.u = u, .g = u->graph, .a = kl_arena_new()};
    if (!pl.a || !(pl.p = kl_arena_zeroed(pl.a, 1, sizeof *pl.p))) {
        if (pl.a)
            kl_arena_free(pl.a);
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    }
    pl.p->memory = pl.a;
    pl.p->refs = 1;
    kl_status s = plan(&pl);
    if (s != KL_OK)
        kl_arena_free(pl.a);
    else
        u->program = pl.p;
    return s;
}
