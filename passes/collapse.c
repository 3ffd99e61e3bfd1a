/* collapse.c: neighbouring axes that every access walks as one become one axis.
 *
 *   outer i: 32, j: 100   store y[i*100+j] = load x[i*100+j]     ->   outer j: 3200  y[j]
 * = x[j]
 *
 * Two axes i, j (j inside) may merge when every index is affine in both with coefficient
 * of i = extent of j times coefficient of j, and neither occurs anywhere else. What is
 * cast from an index (the counter of random numbers) counts as one.
 *
 * A last axis of two, of which each has a formula of its own (the parts of complex
 * numbers), is written out: lanes then lie along the axis before it.
 *
 *   outer i, j: 2   store y[2*i+j] = where(j < 1, f, g)   ->   y[2*i] = f, y[2*i+1] = g
 */
#include "passes/passes.h"

typedef struct merge {
    uint32_t outer, inner;
    uint32_t into;
} merge;

/* Is expression a an index in which (i, j) act as i * extent_j + j? */
static bool walks_as_one(kl_exprs *x, kl_x a, uint32_t i, uint32_t j, int64_t extent)
{
    kl_x base;
    int64_t ci, cj;
    if (!kl_x_affine(x, a, i, &base, &ci) || !kl_x_affine(x, base, j, &base, &cj))
        return false;
    return ci == cj * extent;
}

/* All loads under the roots seen so far have good indices, and outside indices neither
 * occurs. */
static bool clean(kl_exprs *x, const uint8_t *bad, kl_x a)
{
    (void)x;
    return a == KL_NONE || !bad[a];
}

/* bad[e]: e uses i or j in a way that does not merge. Sources come before users. */
static void judge(kl_exprs *x, uint32_t count, uint32_t i, uint32_t j, int64_t extent,
                  uint8_t *bad)
{
    for (kl_x e = 0; e < count; e++) {
        const kl_xnode *n = &x->nodes[e];
        bad[e] = n->op == KL_X_VAR && (n->imm == i || n->imm == j);
        for (int s = 0; s < n->nsrc; s++) {
            kl_x src = n->src[s];
            if (src == KL_NONE)
                continue;
            bool index = (n->op == KL_X_LOAD && s == 0) ||
                         (n->op == KL_OP_cast && x->nodes[src].dtype == KL_I64);
            bad[e] |= index ? bad[src] && !walks_as_one(x, src, i, j, extent) : bad[src];
            n = &x->nodes[e]; /* asking may have grown the table */
        }
    }
}

static bool stage_clean(kl_exprs *x, const uint8_t *bad, uint32_t count,
                        const kl_stage *s, uint32_t i, uint32_t j, int64_t extent)
{
    bool ok = clean(x, bad, s->value) && clean(x, bad, s->rhs);
    for (int k = 0; k < s->nstores && ok; k++) {
        const kl_store *t = &s->stores[k];
        ok = clean(x, bad, t->value) && clean(x, bad, t->pred) && t->index < count &&
             (!bad[t->index] || walks_as_one(x, t->index, i, j, extent));
    }
    for (int k = 0; k < s->nchecks && ok; k++)
        ok = clean(x, bad, s->checks[k].ok) && clean(x, bad, s->checks[k].value);
    return ok;
}

static kl_x rename_axes(void *ctx, kl_exprs *x, kl_x leaf)
{
    const merge *m = ctx;
    const kl_xnode *n = &x->nodes[leaf];
    if (n->op != KL_X_VAR)
        return KL_NONE;
    if (n->imm == m->outer)
        return kl_x_int(x, 0);
    return n->imm == m->inner ? kl_x_var(x, m->into) : KL_NONE;
}

static kl_x renamed(kl_exprs *x, kl_x a, merge *m)
{
    return a == KL_NONE ? a : kl_x_subst(x, a, rename_axes, m);
}

static void rename_stage(kl_exprs *x, kl_stage *s, merge *m)
{
    s->value = renamed(x, s->value, m);
    s->rhs = renamed(x, s->rhs, m);
    for (int k = 0; k < s->nstores; k++) {
        s->stores[k].index = renamed(x, s->stores[k].index, m);
        s->stores[k].value = renamed(x, s->stores[k].value, m);
        s->stores[k].pred = renamed(x, s->stores[k].pred, m);
    }
    for (int k = 0; k < s->nchecks; k++) {
        s->checks[k].ok = renamed(x, s->checks[k].ok, m);
        s->checks[k].value = renamed(x, s->checks[k].value, m);
    }
}

/* Try to merge axes[at] into axes[at + 1] of a list that first..last stages use. */
static bool try_merge(kl_kernel *k, kl_part *p, int first, int last, uint16_t *axes,
                      int *n, int at)
{
    kl_exprs *x = k->x;
    uint32_t i = axes[at], j = axes[at + 1], count = x->count;
    int64_t extent;
    if (!kl_dim_is_const(x->dims, k->axes[j].extent, &extent) ||
        k->axes[i].kind != k->axes[j].kind)
        return false;
    uint8_t *bad = kl_alloc(count + 1);
    if (!bad)
        return false;
    judge(x, count, i, j, extent, bad);
    bool ok = true;
    for (int s = first; s < last && ok; s++)
        ok = stage_clean(x, bad, count, &p->stages[s], i, j, extent);
    kl_free(bad, count + 1);
    if (!ok)
        return false;
    kl_dim both = kl_dim_mul(x->dims, k->axes[i].extent, k->axes[j].extent);
    merge m = {.outer = i,
               .inner = j,
               .into = kl_kernel_axis(k, k->axes[j].name, both, k->axes[j].kind)};
    for (int s = first; s < last; s++)
        rename_stage(x, &p->stages[s], &m);
    axes[at] = (uint16_t)m.into;
    memmove(axes + at + 1, axes + at + 2, (size_t)(*n - at - 2) * sizeof *axes);
    (*n)--;
    return true;
}

/* Is what a point's stores hold chosen by axis j? */
static bool chosen_by(const kl_kernel *k, const kl_part *p, uint32_t j)
{
    uint32_t count = k->x->count;
    bool found = false;
    uint8_t *used = kl_part_uses(k, p, count);
    for (kl_x e = 0; used && e < count && !found; e++)
        found = used[e] && k->x->nodes[e].op == KL_OP_where &&
                kl_x_uses_var(k->x, k->x->nodes[e].src[0], j);
    if (used)
        kl_free(used, count + 1);
    return found;
}

static void write_pair_out(kl_kernel *k, kl_part *p)
{
    kl_exprs *x = k->x;
    kl_stage *st = &p->stages[0];
    uint32_t j = p->outer[p->nouter - 1];
    kl_store *both = kl_arena_alloc(k->arena, 2 * (size_t)st->nstores * sizeof *both);
    for (int i = 0; both && i < 2 * st->nstores; i++) {
        kl_x_named part = {j, kl_x_int(x, i % 2)};
        both[i] = st->stores[i / 2];
        kl_x *of[] = {&both[i].index, &both[i].value, &both[i].pred};
        for (int e = 0; e < 3; e++)
            if (*of[e] != KL_NONE)
                *of[e] = kl_x_subst(x, *of[e], kl_x_value_of, &part);
    }
    if (!both)
        return;
    st->stores = both;
    st->nstores *= 2;
    p->nouter--;
}

static void try_pair(kl_kernel *k, kl_part *p)
{
    const kl_stage *st = &p->stages[0];
    int64_t extent;
    if (p->nstages == 1 && st->kind == KL_STAGE_MAP && st->nfree == 0 &&
        st->nchecks == 0 && p->nouter >= 2 &&
        kl_dim_is_const(k->x->dims, k->axes[p->outer[p->nouter - 1]].extent, &extent) &&
        extent == 2 && chosen_by(k, p, p->outer[p->nouter - 1]))
        write_pair_out(k, p);
}

kl_status kl_collapse(kl_kernel *k, kl_part *p)
{
    for (int at = p->nouter - 2; at >= 0; at--)
        try_merge(k, p, 0, p->nstages, p->outer, &p->nouter, at);
    for (int s = 0; s < p->nstages; s++) {
        kl_stage *st = &p->stages[s];
        if (st->kind != KL_STAGE_MAP)
            continue;
        int n = st->nfree;
        for (int at = n - 2; at >= 0; at--)
            try_merge(k, p, s, s + 1, st->axes, &n, at);
        st->nfree = n;
    }
    try_pair(k, p);
    return kl_arena_failed(k->arena) ? kl_fail(KL_ERR_OOM, "fuse: no memory") : KL_OK;
}
