/* plan.c: kernels in launch order become the program that runs: steps, buffers, offsets.
 *
 *   k0: (in x) -> (temp t)         slot 0: in 0      slot 2: arena offset 0 bytes 4096
 *   k1: (in t, in w) -> (out y)    slot 1: out 0     launch k0 (0, 2)   launch k1 (2, ..)
 *
 * A buffer lives from the step that writes it to the last that reads it; buffers of known
 * size share offsets first-fit, so peak bytes are exact and known before the run. An
 * elementwise kernel writes over an operand that dies there. Everything of the program
 * lies in its own arena, so that it outlives the compile. */
#include "passes/plan.h"

enum { ALIGN = 64 };

const char *kl_plan_text(kl_planner *pl, const char *s)
{
    return s ? kl_arena_strdup(pl->a, s) : NULL;
}

kl_size kl_plan_size(kl_planner *pl, kl_dim d)
{
    return kl_dim_size(pl->g->dims, d, pl->a);
}

static kl_dim bytes_of(kl_planner *pl, kl_dim count, kl_dtype dt)
{
    return kl_dim_mul(pl->g->dims, count, kl_dtypes[dt].size);
}

static kl_size *shape_of(kl_planner *pl, kl_ref r)
{
    int rank = kl_graph_at(pl->g, r)->rank;
    kl_size *s = kl_arena_alloc(pl->a, ((size_t)rank + 1) * sizeof *s);
    for (int i = 0; s && i < rank; i++)
        s[i] = kl_plan_size(pl, kl_graph_shape(pl->g, r)[i]);
    return s;
}

int kl_plan_slot(kl_planner *pl, kl_slot_kind kind, kl_dtype dt, kl_dim count,
                 kl_ref node)
{
    if (kl_arena_grow(pl->a, &pl->slots, &pl->cap_slots, pl->nslots + 1,
                      sizeof *pl->slots) != KL_OK)
        return -1;
    kl_slot *s = &pl->slots[pl->nslots];
    *s = (kl_slot){
        .kind = kind, .dtype = dt, .bytes = kl_plan_size(pl, bytes_of(pl, count, dt))};
    s->offset = kl_plan_size(pl, 0);
    if (node != KL_NONE) {
        uint32_t name = kl_graph_at(pl->g, node)->name;
        s->name = name == KL_NONE ? NULL : kl_plan_text(pl, pl->g->strings[name]);
        s->rank = kl_graph_at(pl->g, node)->rank;
        s->shape = shape_of(pl, node);
    }
    return (int)pl->nslots++;
}

/* ---- lifetimes ---- */

kl_status kl_plan_life(kl_planner *pl, int slot, int step, kl_dim size)
{
    KL_TRY(kl_arena_grow(pl->a, &pl->lives, &pl->cap_lives, pl->nlives + 1,
                         sizeof *pl->lives));
    kl_life *f = &pl->lives[pl->nlives++];
    *f = (kl_life){.slot = slot, .first = step, .last = step, .size = size};
    f->known = kl_dim_is_const(pl->g->dims, size, &f->bytes);
    return KL_OK;
}

/* The slot whose life is that of this memory. */
static int owner(const kl_planner *pl, int slot)
{
    for (uint32_t i = pl->nreused; i-- > 0;)
        if (pl->reused[i][0] == slot)
            return pl->reused[i][1];
    return slot;
}

void kl_plan_touch(kl_planner *pl, int slot, int step)
{
    slot = owner(pl, slot);
    for (uint32_t i = 0; i < pl->nlives; i++)
        if (pl->lives[i].slot == slot && step > pl->lives[i].last)
            pl->lives[i].last = step;
}

/* First-fit among the placed lives that overlap in time. */
static int64_t place(const kl_planner *pl, uint32_t n)
{
    const kl_life *f = &pl->lives[n];
    int64_t at = 0, size = (f->bytes + ALIGN - 1) / ALIGN * ALIGN;
    for (bool moved = true; moved;) {
        moved = false;
        for (uint32_t i = 0; i < n; i++) {
            const kl_life *o = &pl->lives[i];
            int64_t end = o->offset + (o->bytes + ALIGN - 1) / ALIGN * ALIGN;
            if (o->known && o->first <= f->last &&
                f->first + KL_PLANTED(life_end) <= o->last && at < end &&
                o->offset < at + size)
                at = end, moved = true;
        }
    }
    return at;
}

/* Sizes that depend on symbols come after all known ones, one after the other. */
static void place_all(kl_planner *pl)
{
    int64_t top = 0;
    for (uint32_t i = 0; i < pl->nlives; i++) {
        kl_life *f = &pl->lives[i];
        if (!f->known)
            continue;
        f->offset = place(pl, i);
        top = KL_MAX(top, f->offset + (f->bytes + ALIGN - 1) / ALIGN * ALIGN);
        pl->slots[f->slot].offset = kl_plan_size(pl, f->offset);
    }
    kl_dims *d = pl->g->dims;
    kl_dim end = top;
    for (uint32_t i = 0; i < pl->nlives; i++) {
        kl_life *f = &pl->lives[i];
        if (f->known)
            continue;
        pl->slots[f->slot].offset = kl_plan_size(pl, end);
        end = kl_dim_add(d, end, kl_dim_mul(d, kl_dim_ceildiv(d, f->size, ALIGN), ALIGN));
    }
    for (uint32_t i = 0; i < pl->nreused; i++)
        pl->slots[pl->reused[i][0]].offset = pl->slots[pl->reused[i][1]].offset;
    pl->u->room = end;
    pl->p->arena = kl_plan_size(pl, end);
}

/* ---- in place ---- */

/* All stages of the part map at one point: their values are computed before any store. */
static bool maps_at_once(const kl_part *p)
{
    for (int s = 0; s < p->nstages; s++)
        if (p->stages[s].kind != KL_STAGE_MAP || p->stages[s].nfree ||
            p->stages[s].nstores != 1 || p->nstages > KL_MAX_STORES)
            return false;
    return true;
}

/* Do several threads compute the part's one point? A GPU's do. */
static bool redundant(const kl_kernel *k, const kl_part *p)
{
    return p->nouter == 0 && k->target && k->target->kind == KL_TARGET_CUDA;
}

/* May OUT operand o lie where IN operand i lies? Only if every load of i is at the very
 * element that is stored to o at that point, by the same thread. */
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
                if (at != KL_NONE || !maps_at_once(&k->parts[p]) ||
                    redundant(k, &k->parts[p]))
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

/* Does an earlier result of this kernel lie there? */
static bool taken(const kl_planner *pl, const kl_kernel *k, uint32_t out,
                  const int32_t *slots, int at)
{
    for (uint32_t i = 0; i < out; i++)
        if (k->operands[i].role == KL_ROLE_OUT && slots[i] >= 0 &&
            owner(pl, slots[i]) == owner(pl, at))
            return true;
    return false;
}

/* Take over the arena place of an operand that dies at this step: another slot, of the
 * result's dtype and shape, there. */
static bool reuse_operand(kl_planner *pl, int n, uint32_t out, const int32_t *slots)
{

    const kl_kernel *k = pl->u->kernels[n];
    for (uint32_t i = 0; i < k->noperands; i++) {
        if (k->operands[i].role != KL_ROLE_IN || slots[i] < 0 ||
            pl->slots[slots[i]].kind != KL_SLOT_ARENA)
            continue;
        if ((pl->last_read[k->operands[i].node] != n && !KL_PLANTED(reuse_live)) ||
            taken(pl, k, out, slots, slots[i]) ||
            (!index_by_index(k, i, out) && !KL_PLANTED(reuse_index)))
            continue;
        const kl_operand *o = &k->operands[out];
        if (kl_arena_grow(pl->a, &pl->reused, &pl->cap_reused, pl->nreused + 1,
                          sizeof *pl->reused) != KL_OK)
            return false;
        int slot = kl_plan_slot(pl, KL_SLOT_ARENA, o->dtype, o->count, o->node);
        if (slot < 0)
            return false;
        pl->reused[pl->nreused][0] = slot;
        pl->reused[pl->nreused++][1] = owner(pl, slots[i]);
        pl->slot_of[o->node] = slot;
        kl_plan_touch(pl, slot, (int)pl->nsteps - 1);
        return true;
    }
    return false;
}

/* ---- steps ---- */

kl_step *kl_plan_step(kl_planner *pl, kl_step_kind kind, const char *name)
{
    if (kl_arena_grow(pl->a, &pl->steps, &pl->cap_steps, pl->nsteps + 1,
                      sizeof *pl->steps) != KL_OK)
        return NULL;
    kl_step *s = &pl->steps[pl->nsteps++];
    *s = (kl_step){.kind = kind, .name = kl_plan_text(pl, name), .kernel = -1};
    s->scratch = kl_plan_size(pl, 0);
    return s;
}

/* A thread that is handed less than some microseconds of work costs more than it does:
 * its items are at least so many. Rates are those of one core, on the fast side. */
static int64_t grain_of(const kl_planner *pl, const kl_kernel *k, const kl_phase *ph)
{
    enum { WORTH_NS = 5000, FLOPS_A_NS = 100, BYTES_A_NS = 50 };
    double ns = k->flops / FLOPS_A_NS + k->bytes / BYTES_A_NS;
    int64_t n;
    if (!kl_dim_is_const(pl->g->dims, ph->workers, &n) || ns <= 0 ||
        kl_kernel_dims(k, NULL, 0) != 0) /* figures at hinted sizes */
        return ph->grain;
    return KL_MAX(ph->grain, ns < WORTH_NS ? n : (int64_t)((double)n * WORTH_NS / ns));
}

static kl_status plan_phases(kl_planner *pl, kl_kernel *k, kl_step *s)
{
    kl_plan_phase *ph = kl_arena_zeroed(pl->a, (size_t)k->nphases + 1, sizeof *ph);
    kl_dim dims[256], shared = kl_kernel_scratch(k, NULL);
    int ndims = kl_kernel_dims(kl_code_of(k), dims, (int)KL_COUNT(dims));
    kl_size *d = kl_arena_alloc(pl->a, ((size_t)KL_MAX(ndims, 0) + 1) * sizeof *d);
    if (!ph || !d || ndims < 0)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    bool cuda = k->target && k->target->kind == KL_TARGET_CUDA;
    for (int i = 0; i < k->nphases; i++)
        ph[i] = (kl_plan_phase){.workers = kl_plan_size(pl, k->phases[i].workers),
                                .grain = cuda ? k->phases[i].grain
                                              : grain_of(pl, k, &k->phases[i]),
                                .group = k->phases[i].group,
                                .lane = k->phases[i].lane,
                                .shared = kl_plan_size(pl, cuda ? shared : 0)};
    s->nphases = k->nphases;
    s->phases = ph;
    s->scratch = kl_plan_size(pl, cuda ? 0 : shared);
    for (int i = 0; i < ndims; i++)
        d[i] = kl_plan_size(pl, k->code ? kl_dim_eval(k->code->x->dims, dims[i], k->sizes)
                                        : dims[i]);
    s->dims = d;
    s->ndims = ndims;
    s->flops = k->flops, s->bytes = k->bytes;
    return KL_OK;
}

static kl_status plan_kernel(kl_planner *pl, int n)
{
    kl_kernel *k = pl->u->kernels[n];
    if (k->control)
        return kl_plan_control(pl, n);
    kl_step *s = kl_plan_step(pl, k->call ? KL_STEP_CALL : KL_STEP_LAUNCH, k->name);
    int32_t *slots = kl_arena_alloc(pl->a, (k->noperands + 1) * sizeof *slots);
    if (!s || !slots)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    int count = 0, step = (int)pl->nsteps - 1;
    memset(slots, 0xff, k->noperands * sizeof *slots);
    for (uint32_t i = 0; i < k->noperands; i++)
        if (k->operands[i].role == KL_ROLE_IN) {
            if (pl->slot_of[k->operands[i].node] < 0)
                return kl_fail(KL_ERR_INTERNAL, "plan: %s reads what nobody stores",
                               k->name);
            kl_plan_touch(pl, slots[i] = pl->slot_of[k->operands[i].node], step);
        }
    for (uint32_t i = 0; i < k->noperands; i++) {
        const kl_operand *o = &k->operands[i];
        if (o->role == KL_ROLE_IN || o->role == KL_ROLE_TILE)
            continue;
        bool mine = o->node == KL_NONE;
        if (mine || (pl->slot_of[o->node] < 0 && !reuse_operand(pl, n, i, slots))) {
            slots[i] = kl_plan_slot(pl, KL_SLOT_ARENA, o->dtype, o->count, o->node);
            KL_TRY(kl_plan_life(pl, slots[i], step, bytes_of(pl, o->count, o->dtype)));
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
    s->place = kl_plan_text(pl, k->place);
    s->symbol = kl_plan_text(pl, k->call);
    s->kernel = k->call ? -1 : pl->p->nkernels++;
    for (uint32_t i = 0; i < k->noperands; i++)
        s->ncarry += k->call && k->operands[i].role == KL_ROLE_IN;
    return k->call ? KL_OK : plan_phases(pl, k, s);
}

kl_status kl_plan_copy(kl_planner *pl, int to, int from)
{
    kl_step *s = kl_plan_step(pl, KL_STEP_COPY, "copy");
    int32_t *slots = kl_arena_alloc(pl->a, 2 * sizeof *slots);
    if (!s || !slots)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    slots[0] = to, slots[1] = from;
    s->slots = slots;
    s->nslots = 2;
    kl_plan_touch(pl, from, (int)pl->nsteps - 1);
    return KL_OK;
}

/* ---- inputs and outputs ---- */

static kl_port *ports(kl_planner *pl, uint32_t n, const kl_ref *refs, const char **names)
{
    kl_port *p = kl_arena_zeroed(pl->a, n + 1, sizeof *p);
    for (uint32_t i = 0; p && i < n; i++) {
        const kl_node *node = kl_graph_at(pl->g, refs[i]);
        const char *name = names && names[i]       ? names[i]
                           : node->name != KL_NONE ? pl->g->strings[node->name]
                                                   : NULL;
        p[i] = (kl_port){.name = kl_plan_text(pl, name),
                         .dtype = node->dtype,
                         .rank = node->rank,
                         .shape = shape_of(pl, refs[i])};
    }
    return p;
}

/* When output i is donated input `in`: is anything of the input read at or after the
 * write? */
static bool donation_safe(kl_planner *pl, kl_ref out, kl_ref in)
{
    const int *last_read = pl->last_read;
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
 * needed. A body's carried results are donated their operands where that is free: whoever
 * runs it asks. */
static void claim_outputs(kl_planner *pl)
{
    kl_graph *g = pl->g;
    for (uint32_t i = 0; i < g->noutputs; i++) {
        kl_ref r = g->outputs[i];
        bool carried = i < (uint32_t)pl->u->ncarry;
        int donated = carried ? (int)i + 1 : g->donated ? g->donated[i] : 0;
        int slot = kl_plan_slot(pl, KL_SLOT_OUT, kl_graph_at(g, r)->dtype,
                                kl_graph_numel(g, r), r);
        if (slot < 0)
            return;
        bool free_to_write = !donated || KL_PLANTED(donation) ||
                             donation_safe(pl, r, g->inputs[donated - 1]);
        bool claims = pl->slot_of[r] < 0 && free_to_write;
        if (carried && !claims && r != g->inputs[i])
            donated = 0, claims = pl->slot_of[r] < 0;
        pl->slots[slot].index = (int32_t)i;
        pl->slots[slot].donated = donated;
        if (claims)
            pl->slot_of[r] = slot;
    }
}

/* Does an output other than i lie where this input slot lies? */
static bool overwritten(const kl_planner *pl, uint32_t i, int from)
{
    const kl_slot *s = &pl->slots[from];
    for (uint32_t o = 0; s->kind == KL_SLOT_IN && o < pl->g->noutputs; o++)
        if (o != i && pl->slots[pl->g->ninputs + o].donated == s->index + 1)
            return true;
    return false;
}

/* An input that is an output, and whose memory another output takes over, waits in the
 * arena until all copies into outputs are about to be made. */
static kl_status save_inputs(kl_planner *pl, int *from)
{
    kl_graph *g = pl->g;
    for (uint32_t i = 0; i < g->noutputs; i++) {
        kl_ref r = g->outputs[i];
        from[i] = pl->slot_of[r];
        if (from[i] < 0)
            return kl_fail(KL_ERR_INTERNAL, "plan: output %u is never computed", i);
        if (!overwritten(pl, i, from[i]) || KL_PLANTED(saved_input))
            continue;
        kl_dtype dt = kl_graph_at(g, r)->dtype;
        kl_dim count = kl_graph_numel(g, r);
        int slot = kl_plan_slot(pl, KL_SLOT_ARENA, dt, count, r);
        if (slot < 0)
            return kl_fail(KL_ERR_OOM, "plan: no memory");
        KL_TRY(kl_plan_life(pl, slot, (int)pl->nsteps, bytes_of(pl, count, dt)));
        KL_TRY(kl_plan_copy(pl, slot, from[i]));
        from[i] = slot;
    }
    return KL_OK;
}

static kl_status copy_outputs(kl_planner *pl)
{
    kl_graph *g = pl->g;
    int *from = kl_arena_alloc(pl->u->arena, (g->noutputs + 1) * sizeof *from);
    if (!from)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    KL_TRY(save_inputs(pl, from));
    for (uint32_t i = 0; i < g->noutputs; i++)
        if (from[i] != (int)(g->ninputs + i) &&
            (i >= (uint32_t)pl->u->ncarry || g->outputs[i] != g->inputs[i]))
            KL_TRY(kl_plan_copy(pl, (int)(g->ninputs + i), from[i]));
    return KL_OK;
}

static void plan_symbols(kl_planner *pl)
{
    kl_dims *d = pl->g->dims;
    int n = kl_dim_sym_count(d);
    const char **names = kl_arena_zeroed(pl->a, (size_t)n + 1, sizeof *names);
    int64_t *min = kl_arena_zeroed(pl->a, (size_t)n + 1, 8),
            *max = kl_arena_zeroed(pl->a, (size_t)n + 1, 8);
    int64_t *div = kl_arena_zeroed(pl->a, (size_t)n + 1, 8);
    for (int i = 0; names && min && max && div && i < n; i++) {
        names[i] = kl_plan_text(pl, kl_dim_sym_name(d, i));
        kl_dim_sym_facts(d, i, &min[i], &max[i], &div[i]);
    }
    pl->p->nsyms = n;
    pl->p->sym_names = names;
    pl->p->sym_min = min, pl->p->sym_max = max, pl->p->sym_div = div;
}

static kl_status find_last_reads(kl_planner *pl)
{
    const kl_graph *g = pl->g;
    size_t n = (size_t)g->count + 1;
    pl->slot_of = kl_arena_alloc(pl->u->arena, n * sizeof *pl->slot_of);
    pl->last_read = kl_arena_alloc(pl->u->arena, n * sizeof *pl->last_read);
    if (!pl->slot_of || !pl->last_read)
        return kl_fail(KL_ERR_OOM, "plan: no memory");
    for (uint32_t i = 0; i < g->count; i++)
        pl->slot_of[i] = pl->last_read[i] = -1;
    for (int k = 0; k < pl->u->nkernels; k++)
        for (uint32_t i = 0; i < pl->u->kernels[k]->noperands; i++)
            if (pl->u->kernels[k]->operands[i].role == KL_ROLE_IN)
                pl->last_read[pl->u->kernels[k]->operands[i].node] = k;
    for (uint32_t i = 0; i < g->noutputs; i++) /* it may be copied at the end */
        pl->last_read[g->outputs[i]] = pl->u->nkernels;
    return KL_OK;
}

static kl_status plan(kl_planner *pl)
{
    kl_graph *g = pl->g;
    KL_TRY(find_last_reads(pl));
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_ref r = g->inputs[i];
        pl->slot_of[r] = kl_plan_slot(pl, KL_SLOT_IN, kl_graph_at(g, r)->dtype,
                                      kl_graph_numel(g, r), r);
        if (pl->slot_of[r] < 0)
            return kl_fail(KL_ERR_OOM, "plan: no memory");
        pl->slots[pl->slot_of[r]].index = (int32_t)i;
    }
    claim_outputs(pl);
    for (int n = 0; n < pl->u->nkernels; n++)
        KL_TRY(plan_kernel(pl, n));
    KL_TRY(copy_outputs(pl));
    place_all(pl);
    kl_program *p = pl->p;
    plan_symbols(pl);
    p->name = kl_plan_text(pl, g->name);
    p->nin = (int32_t)g->ninputs, p->nout = (int32_t)g->noutputs;
    p->in = ports(pl, g->ninputs, g->inputs, NULL);
    p->out = ports(pl, g->noutputs, g->outputs, g->output_names);
    p->nslots = (int32_t)pl->nslots, p->slots = pl->slots;
    p->nsteps = (int32_t)pl->nsteps, p->steps = pl->steps;
    p->kernels = kl_arena_zeroed(pl->a, (size_t)p->nkernels + 1, sizeof *p->kernels);
    for (int n = 0, at = 0; p->kernels && n < pl->u->nkernels; n++)
        if (!pl->u->kernels[n]->call)
            p->kernels[at++].name = kl_plan_text(pl, kl_code_of(pl->u->kernels[n])->name);
    return kl_arena_failed(pl->a) ? kl_fail(KL_ERR_OOM, "plan: no memory") : KL_OK;
}

kl_status kl_pass_plan(kl_unit *u)
{
    kl_planner pl = {.u = u, .g = u->graph, .a = kl_arena_new()};
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
