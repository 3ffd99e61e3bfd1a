/* plan_control.c: steps with bodies. A body is a program of its own, planned before; the
 * row becomes a loop or a branch on slots of the program around it, whose arena holds the
 * bodies' too, so that peak bytes stay exact and nothing is allocated from trip to trip.
 *
 *   %3 = scan %0, %1 carries 1       copy (4, 0)                  the carry's first value
 *   %4 = pick %3 result 0       ->   loop scan (4, 1, 4, 5, 6) carries 1 trips (N)
 *   %5 = pick %3 result 1            slot 4: the carry  5: what is stacked  6: an arena
 *
 * A carried value has one slot where the body can write over what it reads: it was
 * planned with each such result donated its operand (kl_unit.ncarry). Else it has two
 * that take turns. A first value that nobody else reads is not copied but taken over. */
#include "passes/plan.h"

typedef struct control {
    kl_planner *pl;
    const kl_kernel *k;
    int kernel; /* its number among the unit's */
    const kl_unit *body, *other;
    uint32_t nin, nout, ncarry;
    int32_t *slots;
    int n;
} control;

static kl_status no_memory(void)
{
    return kl_fail(KL_ERR_OOM, "plan: no memory");
}

static int source(const control *c, uint32_t i)
{
    return c->pl->slot_of[c->k->operands[i].node];
}

/* ---- memory of results ---- */

/* A result that nobody picks has a shape all the same: a body's value, stacked or not. */
static kl_status describe(control *c, int slot, uint32_t result, bool stacked)
{
    const kl_graph *g = c->body->graph;
    kl_ref r = g->outputs[result];
    int rank = kl_graph_at(g, r)->rank, at = 0;
    kl_size *shape = kl_arena_alloc(c->pl->a, ((size_t)rank + 2) * sizeof *shape);
    if (!shape)
        return no_memory();
    if (stacked)
        shape[at++] = kl_plan_size(
            c->pl, kl_graph_shape(c->pl->g, c->k->operands[c->ncarry].node)[0]);
    for (int i = 0; i < rank; i++)
        shape[at++] = kl_plan_size(c->pl, kl_graph_shape(g, r)[i]);
    c->pl->slots[slot].rank = at;
    c->pl->slots[slot].shape = shape;
    return KL_OK;
}

/* Memory of result i, from this step on. */
static int new_result(control *c, uint32_t i, kl_ref node, bool stacked)
{
    kl_planner *pl = c->pl;
    const kl_operand *o = &c->k->operands[c->nin + i];
    int slot = kl_plan_slot(pl, KL_SLOT_ARENA, o->dtype, o->count, node);
    kl_dim bytes = kl_dim_mul(pl->g->dims, o->count, kl_dtypes[o->dtype].size);
    if (slot < 0 || kl_plan_life(pl, slot, (int)pl->nsteps, bytes) != KL_OK ||
        (node == KL_NONE && describe(c, slot, i, stacked) != KL_OK))
        return -1;
    if (node != KL_NONE)
        pl->slot_of[node] = slot;
    return slot;
}

static int result_slot(control *c, uint32_t i, bool stacked)
{
    kl_ref node = c->k->operands[c->nin + i].node;
    if (node != KL_NONE && c->pl->slot_of[node] >= 0)
        return c->pl->slot_of[node];
    return new_result(c, i, node, stacked);
}

/* ---- carried values ---- */

/* Is operand i's memory in the arena, and this row alone still reads it, once? */
static bool dies_here(const control *c, uint32_t i)
{
    kl_ref node = c->k->operands[i].node;
    int uses = 0;
    for (uint32_t k = 0; k < c->nin; k++)
        uses += c->k->operands[k].node == node;
    return uses == 1 && c->pl->last_read[node] == c->kernel &&
           c->pl->slots[source(c, i)].kind == KL_SLOT_ARENA;
}

static bool unchanged(const control *c, uint32_t i)
{
    const kl_graph *g = c->body->graph;
    return g->outputs[i] == g->inputs[i] && c->k->operands[c->nin + i].node == KL_NONE;
}

/* Where carried value i lies before and after the loop. */
static kl_status carry_home(control *c, uint32_t i, int *home)
{
    kl_planner *pl = c->pl;
    kl_ref node = c->k->operands[c->nin + i].node;
    *home = source(c, i);
    if (unchanged(c, i))
        return KL_OK;
    if (dies_here(c, i) && (node == KL_NONE || pl->slot_of[node] < 0)) {
        if (node != KL_NONE)
            pl->slot_of[node] = *home;
        return KL_OK;
    }
    *home = result_slot(c, i, false);
    return *home < 0 ? no_memory() : kl_plan_copy(pl, *home, source(c, i));
}

static bool in_place(const control *c, uint32_t i)
{
    const kl_program *p = c->body->program;
    for (int s = 0; s < p->nslots; s++)
        if (p->slots[s].kind == KL_SLOT_OUT && p->slots[s].index == (int32_t)i)
            return p->slots[s].donated == (int32_t)i + 1;
    return false;
}

/* ---- steps ---- */

static kl_status put_arena(control *c)
{
    kl_planner *pl = c->pl;
    kl_dim room = c->body->room;
    if (c->other)
        room = kl_dim_max(pl->g->dims, room, c->other->room);
    int slot = kl_plan_slot(pl, KL_SLOT_ARENA, KL_U8, room, KL_NONE);
    if (slot < 0)
        return no_memory();
    c->slots[c->n++] = slot;
    return kl_plan_life(pl, slot, (int)pl->nsteps, room);
}

/* The step itself, when all its slots are known: they live as long as it runs. */
static kl_step *put_step(control *c, kl_step_kind kind)
{
    kl_step *s = kl_plan_step(c->pl, kind, c->k->name);
    if (!s)
        return NULL;
    s->place = kl_plan_text(c->pl, c->k->place);
    s->slots = c->slots;
    s->nslots = c->n;
    for (int i = 0; i < c->n; i++)
        kl_plan_touch(c->pl, c->slots[i], (int)c->pl->nsteps - 1);
    s->body = c->body->program;
    s->other = c->other ? c->other->program : NULL;
    return s;
}

static kl_status plan_loop(control *c)
{
    kl_planner *pl = c->pl;
    for (uint32_t i = 0; i < c->nin; i++) {
        int home = source(c, i);
        if (i < c->ncarry)
            KL_TRY(carry_home(c, i, &home));
        c->slots[c->n++] = home;
    }
    for (uint32_t i = 0; i < c->nout; i++) {
        bool carried = i < c->ncarry;
        int slot = !carried         ? result_slot(c, i, true)
                   : in_place(c, i) ? c->slots[i]
                                    : new_result(c, i, KL_NONE, false);
        if (slot < 0)
            return no_memory();
        c->slots[c->n++] = slot;
    }
    if (c->other) {
        int flag = kl_plan_slot(pl, KL_SLOT_ARENA, KL_BOOL, 1, KL_NONE);
        if (flag < 0)
            return no_memory();
        c->slots[c->n++] = flag;
        KL_TRY(kl_plan_life(pl, flag, (int)pl->nsteps, 1));
    }
    KL_TRY(put_arena(c));
    kl_step *s = put_step(c, KL_STEP_LOOP);
    if (!s)
        return no_memory();
    s->ncarry = (int32_t)c->ncarry;
    if (!c->other)
        s->trips =
            kl_plan_size(pl, kl_graph_shape(pl->g, c->k->operands[c->ncarry].node)[0]);
    return KL_OK;
}

static kl_status plan_branch(control *c)
{
    for (uint32_t i = 0; i < c->nin; i++)
        c->slots[c->n++] = source(c, i);
    for (uint32_t i = 0; i < c->nout; i++) {
        int slot = result_slot(c, i, false);
        if (slot < 0)
            return no_memory();
        c->slots[c->n++] = slot;
    }
    KL_TRY(put_arena(c));
    return put_step(c, KL_STEP_BRANCH) ? KL_OK : no_memory();
}

kl_status kl_plan_control(kl_planner *pl, int kernel)
{
    const kl_kernel *k = pl->u->kernels[kernel];
    kl_unit *const *bodies = pl->u->bodies + k->body;
    int op = kl_op_find(k->call, strlen(k->call));
    bool tests = op == KL_OP_while, branches = op == KL_OP_cond;
    control c = {.pl = pl,
                 .k = k,
                 .kernel = kernel,
                 .body = tests ? bodies[1] : bodies[0],
                 .other = tests      ? bodies[0]
                          : branches ? bodies[1]
                                     : NULL};
    c.nin = c.body->graph->ninputs + branches;
    c.nout = c.body->graph->noutputs;
    c.ncarry = (uint32_t)c.body->ncarry;
    c.slots = kl_arena_alloc(pl->a, (k->noperands + c.ncarry + 3) * sizeof *c.slots);
    if (!c.slots)
        return no_memory();
    return branches ? plan_branch(&c) : plan_loop(&c);
}
