/* lower_elements.c: elementwise kernels on a GPU: several elements a thread.
 *
 *   a block of 256 threads has 1024 elements, all of them inside:
 *     for thread: 256 lane 256
 *       for e: 4 unroll   set v[e] = value at part + e*256 + thread       loads in flight
 *       for e: 4 unroll   store y[part + e*256 + thread] = v[e]
 *   or the last ones: one at a time, as far as they go
 *
 * Threads side by side have elements side by side. Short rows are walked as one flat
 * number (param flat), so that no thread is without work. */
#include "passes/passes.h"

typedef struct elements {
    kl_lower *l;
    kl_exprs *x;
    int n;         /* outer axes, the one that lanes walk last */
    bool flat;     /* lanes walk all of them */
    kl_dim count;  /* what lanes walk */
    int64_t chunk; /* of a block */
    int32_t each;  /* of a thread */
    kl_x part;     /* where the block's begin */
} elements;

static void vector_axis_last(kl_lower *l, int vec)
{
    uint16_t axis = l->p->outer[vec];
    int after = l->p->nouter - 1 - vec;
    memmove(l->p->outer + vec, l->p->outer + vec + 1, (size_t)after * sizeof axis);
    l->p->outer[l->p->nouter - 1] = axis;
}

static void stand_at(elements *t, kl_x at)
{
    if (t->flat)
        kl_outer_point(t->l, at, t->n);
    else
        t->l->axis[t->l->p->outer[t->n - 1]] = at;
}

static kl_build threads(elements *t, kl_build *b, kl_x extent, int64_t bound, kl_x *v)
{
    uint32_t var = kl_x_newvar(t->x, "thread", bound);
    *v = kl_x_var(t->x, var);
    return kl_b_for(b, var, extent, KL_BIND_LANE, t->l->lanes);
}

/* One thread's elements, one after the other; we stand at the e-th inside. */
static kl_build each(elements *t, kl_build *b, kl_x thread, kl_x *e)
{
    uint32_t var = kl_x_newvar(t->x, "e", t->each);
    *e = kl_x_var(t->x, var);
    kl_x far = kl_x_mul(t->x, *e, kl_x_int(t->x, t->l->lanes));
    stand_at(t, kl_x_add(t->x, kl_x_add(t->x, t->part, far), thread));
    return kl_b_for(b, var, kl_x_int(t->x, t->each), KL_BIND_UNROLL, 1);
}

static void whole_block(elements *t, kl_build *b)
{
    kl_lower *l = t->l;
    kl_x thread, e, value[KL_MAX_STORES];
    kl_build in = threads(t, b, kl_x_int(t->x, l->lanes), l->lanes, &thread);
    int n = 0;
    for (int i = 0; i < l->p->nstages; i++)
        for (int j = 0; j < l->p->stages[i].nstores; j++)
            value[n++] =
                kl_b_reg(&in, "v", t->x->nodes[l->p->stages[i].stores[j].value].dtype,
                         l->lanes, 1, &t->each);
    kl_build body = each(t, &in, thread, &e);
    n = 0;
    for (int i = 0; i < l->p->nstages; i++) {
        const kl_stage *s = &l->p->stages[i];
        kl_lower_checks(l, &body, s);
        for (int j = 0; j < s->nstores; j++, n++) {
            const kl_xnode r = t->x->nodes[value[n]];
            value[n] = kl_x_reg(t->x, (uint32_t)r.imm, (kl_dtype)r.dtype, &e, 1);
            kl_b_set(&body, value[n], kl_lower_expr(l, s->stores[j].value));
        }
    }
    body = each(t, &in, thread, &e);
    n = 0;
    for (int i = 0; i < l->p->nstages; i++)
        for (int j = 0; j < l->p->stages[i].nstores; j++, n++) {
            const kl_store *st = &l->p->stages[i].stores[j];
            const kl_xnode r = t->x->nodes[value[n]];
            kl_x pred = kl_lower_expr(l, st->pred),
                 v = kl_x_reg(t->x, (uint32_t)r.imm, (kl_dtype)r.dtype, &e, 1);
            kl_b_store(&body, st->operand, kl_lower_expr(l, st->index), v, pred);
        }
}

static kl_status last_block(elements *t, kl_build *b)
{
    kl_x thread,
        left = kl_x_op(t->x, KL_OP_sub, kl_x_dim(t->x, t->count), t->part, KL_NONE);
    kl_x len = kl_x_op(t->x, KL_OP_min, left, kl_x_int(t->x, t->chunk), KL_NONE);
    kl_build in = threads(t, b, len, t->chunk, &thread);
    stand_at(t, kl_x_add(t->x, t->part, thread));
    t->l->in_lanes = true;
    return kl_lower_stages(t->l, &in);
}

static bool many_at_once(const elements *t)
{
    int stores = 0;
    for (int i = 0; i < t->l->p->nstages; i++)
        stores += t->l->p->stages[i].nstores;
    return t->each > 1 && stores <= KL_MAX_STORES;
}

static kl_status both(elements *t, kl_build *b)
{
    kl_x end = kl_x_add(t->x, t->part, kl_x_int(t->x, t->chunk));
    kl_x all = kl_x_op(t->x, KL_OP_le, end, kl_x_dim(t->x, t->count), KL_NONE);
    bool known = t->x->nodes[all].op == KL_X_CONST;
    if (!many_at_once(t) || (known && !t->x->nodes[all].imm))
        return last_block(t, b);
    kl_build yes = known ? *b : kl_b_if(b, all);
    whole_block(t, &yes);
    if (known)
        return KL_OK;
    kl_build no = kl_b_else(b);
    return last_block(t, &no);
}

kl_status kl_lower_elements(kl_lower *l)
{
    kl_dims *d = l->x->dims;
    elements t = {.l = l, .x = l->x, .n = l->p->nouter};
    vector_axis_last(l, (int)kl_param(l->k, l->part, "vec", t.n - 1));
    t.flat = kl_param(l->k, l->part, "flat", 0) != 0;
    t.chunk = kl_param(l->k, l->part, "chunk", l->lanes);
    t.each = (int32_t)(t.chunk / l->lanes);
    t.count = t.flat ? kl_outer_count(l, t.n) : l->k->axes[l->p->outer[t.n - 1]].extent;
    kl_dim chunks = kl_dim_ceildiv(d, t.count, t.chunk);
    kl_dim rows = t.flat ? 1 : kl_outer_count(l, t.n - 1);
    kl_build b;
    kl_x w;
    if (!kl_lower_phase(l, kl_dim_mul(d, rows, chunks), 1, &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    kl_x n = kl_x_dim(l->x, chunks);
    t.part = kl_x_scale(l->x, kl_x_mod(l->x, w, n), t.chunk);
    if (!t.flat)
        kl_outer_point(l, kl_x_divf(l->x, w, n), t.n - 1);
    return both(&t, &b);
}
