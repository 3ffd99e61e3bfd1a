/* lower_keep.c: what a row's reduction computes at length and a later stage computes
 * again is kept in a tile as long as the row.
 *
 *   m = max of load x[..c];  s = add of exp(load x[..c] - m);  y[..c] = exp(..) / s
 *
 *   for c: N lane 32 { s = s + exp(load x[r*N+c] - m); store kept[c] = exp(..) }
 *   for c: N lane 32 { store y[r*N+c] = load kept[c] / s }
 *
 * Only where the expression has a transcendental row in it, and the row lies in the
 * second cache. The stages are rewritten in a copy: the algorithm stays what it was. */
#include "passes/passes.h"

/* A stage that walks one axis of its own, and by how much. */
static bool walks_one(const kl_stage *s)
{
    bool reduces = s->kind == KL_STAGE_REDUCE || (s->kind == KL_STAGE_CONTRACT && s->dot);
    return (reduces && s->nfree == 0 && s->nreduce == 1) ||
           (s->kind == KL_STAGE_MAP && s->nfree == 1);
}

static kl_dim extent_of(const kl_lower *l, const kl_stage *s)
{
    return l->k->axes[s->axes[0]].extent;
}

typedef struct rename_axis {
    uint32_t from, to;
} rename_axis;

static kl_x other_axis(void *ctx, kl_exprs *x, kl_x leaf)
{
    const rename_axis *r = ctx;
    const kl_xnode *n = &x->nodes[leaf];
    return n->op == KL_X_VAR && n->imm == r->from ? kl_x_var(x, r->to) : KL_NONE;
}

static kl_x renamed(kl_exprs *x, kl_x a, uint32_t from, uint32_t to)
{
    rename_axis r = {from, to};
    return a == KL_NONE ? a : kl_x_subst(x, a, other_axis, &r);
}

/* The largest expression that both have and that takes long; KL_NONE: there is none. */
static kl_x shared(kl_exprs *x, kl_x a, kl_x b, uint32_t axis)
{
    kl_xlist la = {0}, lb = {0};
    kl_x best = KL_NONE;
    if (a != KL_NONE && b != KL_NONE && kl_x_order(x, a, &la) == KL_OK &&
        kl_x_order(x, b, &lb) == KL_OK) {
        uint8_t *in_b = kl_alloc_zeroed(x->count), *slow = kl_alloc_zeroed(x->count);
        for (uint32_t i = 0; in_b && i < lb.count; i++)
            in_b[lb.items[i]] = 1;
        for (uint32_t i = 0; in_b && slow && i < la.count; i++) {
            const kl_xnode *n = &x->nodes[la.items[i]];
            bool math = n->op < KL_OP_COUNT && (kl_ops[n->op].flags & KL_F_MATH);
            for (int s = 0; s < n->nsrc; s++)
                math = math || (n->src[s] != KL_NONE && slow[n->src[s]]);
            slow[la.items[i]] = math;
            if (math && in_b[la.items[i]] && kl_x_uses_var(x, la.items[i], axis))
                best = la.items[i];
        }
        kl_free(in_b, x->count);
        kl_free(slow, x->count);
    }
    kl_xlist_free(&la);
    kl_xlist_free(&lb);
    return best;
}

/* ---- a stage's expressions, one after the other ---- */

static kl_x *expression(kl_stage *s, int i)
{
    if (i == 0)
        return &s->value;
    return i == 1 ? &s->rhs : i - 2 < s->nstores ? &s->stores[i - 2].value : NULL;
}

static kl_x shared_by(kl_lower *l, kl_stage *s, kl_stage *later)
{
    kl_x *e;
    for (int i = 0; (e = expression(later, i)); i++) {
        kl_x there = renamed(l->x, *e, later->axes[0], s->axes[0]);
        kl_x both = shared(l->x, s->value, there, s->axes[0]);
        if (both != KL_NONE)
            return both;
    }
    return KL_NONE;
}

typedef struct kept {
    kl_x node, load;
} kept;

static kl_x read_kept(void *ctx, kl_exprs *x, kl_x node, const kl_x *src)
{
    const kept *r = ctx;
    return node == r->node ? r->load : kl_x_rebuild(x, node, src);
}

static void use_kept(kl_lower *l, const kl_stage *s, kl_stage *later, kept *r)
{
    kl_x *e;
    uint32_t own = s->axes[0], its = later->axes[0];
    for (int i = 0; (e = expression(later, i)); i++)
        if (*e != KL_NONE)
            *e = renamed(l->x, kl_x_map(l->x, renamed(l->x, *e, its, own), read_kept, r),
                         own, its);
}

/* ---- the part ---- */

static kl_status copy_part(kl_lower *l)
{
    kl_part *p = kl_arena_alloc(l->k->arena, sizeof *p);
    size_t n = (size_t)l->p->nstages + 1;
    l->keep = kl_arena_zeroed(l->k->arena, n, sizeof *l->keep);
    kl_stage *stages = kl_arena_zeroed(l->k->arena, n, sizeof *stages);
    if (!p || !stages || !l->keep)
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    *p = *l->p;
    memcpy(stages, p->stages, (size_t)p->nstages * sizeof *stages);
    for (int i = 0; i < p->nstages; i++) {
        kl_stage *s = &stages[i];
        kl_store *stores =
            kl_arena_alloc(l->k->arena, (size_t)(s->nstores + 1) * sizeof *stores);
        if (!stores)
            return kl_fail(KL_ERR_OOM, "lower: no memory");
        if (s->nstores)
            memcpy(stores, s->stores, (size_t)s->nstores * sizeof *stores);
        s->stores = stores;
        l->keep[i] = (kl_kept){.node = KL_NONE};
    }
    p->stages = stages;
    l->p = p;
    return KL_OK;
}

static bool fits(const kl_lower *l, const kl_stage *s)
{
    int64_t min, max;
    kl_dim_range(l->x->dims, extent_of(l, s), &min, &max);
    return max <= l->k->target->l2 / 2 / kl_dtypes[s->dtype].size;
}

static void keep_for_later(kl_lower *l, int i)
{
    kl_stage *s = &l->p->stages[i];
    for (int j = i + 1; j < l->p->nstages; j++) {
        kl_stage *later = &l->p->stages[j];
        kl_x node = KL_NONE;
        if (!walks_one(later) || extent_of(l, later) != extent_of(l, s))
            continue;
        if (l->keep[i].node == KL_NONE) {
            if ((node = shared_by(l, s, later)) == KL_NONE)
                continue;
            kl_dtype dt = l->x->nodes[node].dtype;
            l->keep[i] = (kl_kept){
                node, kl_lower_tile(l, "kept", dt, extent_of(l, s), KL_ROLE_TILE)};
        }
        node = l->keep[i].node;
        kept r = {node, kl_x_load(l->x, l->keep[i].tile, l->x->nodes[node].dtype,
                                  kl_x_var(l->x, s->axes[0]), KL_NONE, KL_NONE)};
        use_kept(l, s, later, &r);
    }
}

kl_status kl_lower_keep(kl_lower *l)
{
    if (!l->k->target || l->k->target->kind != KL_TARGET_CPU)
        return KL_OK;
    KL_TRY(copy_part(l));
    for (int i = 0; i < l->p->nstages; i++) {
        const kl_stage *s = &l->p->stages[i];
        if (s->kind == KL_STAGE_REDUCE && walks_one(s) && fits(l, s))
            keep_for_later(l, i);
    }
    return KL_OK;
}
