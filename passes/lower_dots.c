/* lower_dots.c: rows that are each a dot product or a running sum, some of them side by
 * side.
 *
 *   row w: for j lane 16: acc = fma(x[j], W[w*K+j], acc)
 *      ->   w: for j lane 16: for u of 4: acc[u] = fma(x[j], W[(w*4+u)*K+j], acc[u])
 *
 * One row waits for each sum before the next, and memory for one stream; several have as
 * many sums under way, as many streams, and read what they share once. The order of each
 * row's sum is what it is alone. */
#include "passes/passes.h"

typedef struct dots {
    kl_lower *l;
    kl_stage *s;
    kl_x first; /* row */
    int32_t n;  /* rows */
} dots;

/* Row u of them: registers want its loop written out. */
static kl_build each(const dots *d, kl_build *b, kl_bind bind, kl_x *u)
{
    kl_exprs *x = d->l->x;
    uint32_t v = kl_x_newvar(x, "u", d->n);
    *u = kl_x_var(x, v);
    kl_outer_point(d->l, kl_x_add(x, d->first, *u), d->l->p->nouter);
    return kl_b_for(b, v, kl_x_int(x, d->n), bind, 1);
}

static kl_x element(const dots *d, kl_x array, kl_x u)
{
    kl_exprs *x = d->l->x;
    return kl_x_reg(x, (uint32_t)x->nodes[array].imm, d->s->dtype, &u, 1);
}

/* The sums of a block: an array of registers. */
static kl_x block(const dots *d, kl_build *b, kl_x start, kl_x len)
{
    kl_lower *l = d->l;
    kl_x u, acc = kl_b_reg(b, "acc", d->s->dtype, KL_DOT_LANES, 1, &d->n);
    kl_build in = each(d, b, KL_BIND_UNROLL, &u);
    kl_b_set(&in, element(d, acc, u), kl_lower_identity(l, d->s));
    uint32_t v = kl_x_newvar(l->x, "j", KL_BLOCK);
    kl_build lanes = kl_b_for(b, v, len, KL_BIND_LANE, KL_DOT_LANES);
    in = each(d, &lanes, KL_BIND_UNROLL, &u);
    kl_x at = kl_x_add(l->x, start, kl_x_var(l->x, v)),
         next = kl_lower_accumulate(l, d->s, element(d, acc, u), at);
    kl_lower_checks(l, &in, d->s);
    kl_b_set(&in, element(d, acc, u), next);
    kl_x sum = kl_b_reg(b, "r", d->s->dtype, 1, 1, &d->n);
    in = each(d, b, KL_BIND_UNROLL, &u);
    kl_b_fold(&in, element(d, sum, u), d->s->combine, element(d, acc, u));
    return sum;
}

/* All blocks but one row's beside another's: row u's begin at u * blocks of the tile. */
static void blocks_of(const dots *d, kl_build *b, kl_x len, kl_dim blocks, uint32_t tile)
{
    kl_exprs *x = d->l->x;
    uint32_t v = kl_x_newvar(x, "blk", blocks);
    kl_build in = kl_b_for(b, v, kl_x_dim(x, blocks), KL_BIND_SERIAL, 1);
    kl_x start = kl_x_scale(x, kl_x_var(x, v), KL_BLOCK), u,
         left = kl_x_op(x, KL_OP_sub, len, start, KL_NONE);
    left = kl_x_op(x, KL_OP_min, left, kl_x_int(x, KL_BLOCK), KL_NONE);
    kl_x part = block(d, &in, start, left);
    kl_build out = each(d, &in, KL_BIND_UNROLL, &u);
    kl_x at = kl_x_add(x, kl_x_mul(x, u, kl_x_dim(x, blocks)), kl_x_var(x, v));
    kl_b_store(&out, tile, at, element(d, part, u), KL_NONE);
}

kl_status kl_lower_dots(kl_lower *l, int32_t n)
{
    kl_exprs *x = l->x;
    dots d = {.l = l, .s = &l->p->stages[0], .n = n};
    kl_dim k = l->k->axes[d.s->axes[0]].extent,
           blocks = kl_dim_ceildiv(x->dims, k, KL_BLOCK),
           rows = kl_outer_count(l, l->p->nouter);
    kl_build b;
    kl_x w, u, sum = KL_NONE;
    uint32_t tile = KL_NONE;
    int64_t grain = kl_param(l->k, l->part, "grain", 1);
    if (!kl_lower_phase(l, kl_dim_div(x->dims, rows, n), KL_MAX(grain / n, 1), &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    d.first = kl_x_scale(x, w, n);
    l->k->at = d.s->place;
    if (blocks == 1) {
        sum = block(&d, &b, kl_x_int(x, 0), kl_x_dim(x, k));
    } else {
        tile = kl_lower_tile(l, "part", d.s->dtype, kl_dim_mul(x->dims, blocks, n),
                             KL_ROLE_TILE);
        blocks_of(&d, &b, kl_x_dim(x, k), blocks, tile);
    }
    kl_build in = each(&d, &b, blocks == 1 ? KL_BIND_UNROLL : KL_BIND_SERIAL, &u);
    if (blocks == 1)
        l->stage[0] = element(&d, sum, u);
    else
        l->stage[0] =
            kl_lower_tree(l, &in, d.s, tile, kl_x_mul(x, u, kl_x_dim(x, blocks)), blocks);
    if (l->p->nstages > 1)
        kl_lower_store_all(l, &in, 1, l->p->nstages);
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}

kl_status kl_lower_prefixes(kl_lower *l, int32_t n)
{
    kl_exprs *x = l->x;
    dots d = {.l = l, .s = &l->p->stages[0], .n = n};
    kl_build b;
    kl_x w, u;
    if (!kl_lower_phase(l, kl_dim_div(x->dims, kl_outer_count(l, l->p->nouter), n),
                        KL_MAX(kl_param(l->k, l->part, "grain", 1) / n, 1), &b, &w))
        return kl_fail(KL_ERR_OOM, "lower: no memory");
    d.first = kl_x_scale(x, w, n);
    l->k->at = d.s->place;
    kl_x acc = kl_b_reg(&b, "acc", d.s->dtype, 1, 1, &n);
    kl_build in = each(&d, &b, KL_BIND_UNROLL, &u);
    kl_b_set(&in, element(&d, acc, u),
             kl_x_const(x, d.s->dtype, kl_identity(d.s->combine, d.s->dtype)));
    kl_build along = kl_lower_walk(l, &b, d.s, 0, 1);
    in = each(&d, &along, KL_BIND_UNROLL, &u);
    kl_x sum = element(&d, acc, u);
    kl_lower_checks(l, &in, d.s);
    kl_b_set(&in, sum, kl_combine(x, d.s->combine, sum, kl_lower_expr(l, d.s->value)));
    kl_b_store(&in, d.s->stores[0].operand, kl_lower_expr(l, d.s->stores[0].index), sum,
               KL_NONE);
    return kl_arena_failed(l->k->arena) ? kl_fail(KL_ERR_OOM, "lower: no memory") : KL_OK;
}
