/* build.c: a group of roots becomes the algorithm of a kernel.
 *
 *   group {m, s, y} over r      part {
 *   (fuse.c's example)     ->     outer r: 4096
 *                                 m: f32 = reduce.max c: 1024 of load a0[r*1024+c]
 *                                 s: f32 = reduce.add c: 1024 of exp(sub(load .., m))
 *                                 map c: 1024
 *                                   store y0[r*1024+c] = div(exp(sub(load .., m)), s)
 *
 * Reduced axes of one root are one axis of their product, in logical order. */
#include "passes/passes.h"

enum { PARTS_MAX = 32, LONG_BODY = 160 /* expressions */ };

typedef struct builder {
    kl_fusion *f;
    kl_kernel *k;
    int group;
    kl_part *part;
    kl_x outer[KL_MAX_RANK];
    int *stage_of; /* root -> stage, or -1 */
    bool dot;      /* a contraction here takes lanes of k */
    kl_reader *rd;
} builder;

/* ---- operands ---- */

/* The lowest element that a strided input touches, and how many it spans. */
static void strided_extent(const kl_graph *g, kl_ref r, kl_dim *low, kl_dim *count)
{
    const int64_t *stride = kl_graph_attr(g, r) + 1;
    const kl_dim *shape = kl_graph_shape(g, r);
    kl_dim lo = 0, hi = 1;
    for (int i = 0; i < kl_graph_at(g, r)->rank; i++) {
        kl_dim span = kl_dim_mul(g->dims, kl_dim_sub(g->dims, shape[i], 1), stride[i]);
        int64_t min, max;
        kl_dim_range(g->dims, span, &min, &max);
        if (min < 0)
            lo = kl_dim_add(g->dims, lo, span);
        else
            hi = kl_dim_add(g->dims, hi, span);
    }
    *low = lo, *count = kl_dim_sub(g->dims, hi, lo);
}

/* The user's name for a value, or its number in the text of the graph: %7 is v7. */
static const char *name_of(const builder *b, kl_ref r)
{
    const kl_fusion *f = b->f;
    if (f->names[r])
        return f->names[r];
    return f->names[r] = kl_arena_printf(f->u->arena, "v%u", f->numbers[r]);
}

static uint32_t operand_of(builder *b, kl_ref r, kl_role role)
{
    const kl_graph *g = b->f->g;
    r = b->f->as[r];
    for (uint32_t i = 0; i < b->k->noperands; i++)
        if (b->k->operands[i].node == r && b->k->operands[i].role == role)
            return i;
    const kl_node *n = kl_graph_at(g, r);
    kl_operand o = {
        .dtype = n->dtype, .role = role, .node = r, .count = kl_graph_numel(g, r)};
    o.name = name_of(b, r);
    o.shape = kl_graph_shape(g, r), o.rank = n->rank;
    if (n->op == KL_OP_input && n->nattr > 1)
        strided_extent(g, r, &o.low, &o.count);
    return kl_kernel_operand(b->k, &o);
}

/* ---- reading ---- */

static bool is_leaf(kl_reader *rd, kl_ref r)
{
    builder *b = rd->ctx;
    int op = kl_graph_at(b->f->g, r)->op;
    if (op == KL_OP_input || op == KL_OP_pick)
        return true;
    int32_t i = b->f->root_of[r];
    return i >= 0 && (b->f->roots[i].group != b->group || b->f->roots[i].heavy);
}

static kl_x leaf_flat(kl_reader *rd, kl_ref r, kl_x flat, kl_x pred)
{
    builder *b = rd->ctx;
    const kl_node *n = kl_graph_at(b->f->g, r);
    int32_t root = b->f->root_of[r];
    kl_exprs *x = b->k->x;
    if (root >= 0 && b->stage_of[root] >= 0) {
        uint32_t s = (uint32_t)b->stage_of[root];
        return kl_x_cast(x, kl_x_stage(x, s, b->part->stages[s].dtype, NULL, 0),
                         n->dtype);
    }
    if (n->op == KL_OP_input && n->nattr > 1) {
        kl_x idx[KL_MAX_RANK], at = kl_x_int(x, 0);
        kl_unflatten(x, n->rank, kl_graph_shape(b->f->g, r), flat, idx);
        for (int i = 0; i < n->rank; i++)
            at = kl_x_add(
                x, at,
                kl_x_mul(x, idx[i], kl_x_dim(x, kl_graph_attr(b->f->g, r)[1 + i])));
        flat = at;
    }
    return kl_x_load(x, operand_of(b, r, KL_ROLE_IN), n->dtype, flat, pred, KL_NONE);
}

static kl_x leaf(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    builder *b = rd->ctx;
    kl_exprs *x = b->k->x;
    const kl_node *n = kl_graph_at(b->f->g, r);
    int32_t root = b->f->root_of[r];
    bool strided = n->op == KL_OP_input && n->nattr > 1;
    if (!strided || (root >= 0 && b->stage_of[root] >= 0))
        return leaf_flat(rd, r, kl_flatten(x, n->rank, kl_graph_shape(b->f->g, r), idx),
                         pred);
    kl_x at = kl_x_int(x, 0);
    for (int i = 0; i < n->rank; i++)
        at = kl_x_add(x, at,
                      kl_x_mul(x, idx[i], kl_x_dim(x, kl_graph_attr(b->f->g, r)[1 + i])));
    return kl_x_load(x, operand_of(b, r, KL_ROLE_IN), n->dtype, at, pred, KL_NONE);
}

/* ---- stages ---- */

static kl_stage *new_stage(builder *b, kl_stage_kind kind, kl_ref node)
{
    kl_stage *s = &b->part->stages[b->part->nstages++];
    uint32_t place = kl_graph_at(b->f->g, node)->place;
    *s = (kl_stage){.kind = kind,
                    .node = node,
                    .place = place == KL_NONE ? NULL : b->f->g->strings[place],
                    .value = KL_NONE,
                    .rhs = KL_NONE,
                    .dtype = kl_graph_at(b->f->g, node)->dtype};
    return s;
}

static kl_x own_axis(builder *b, kl_stage *s, kl_dim extent, kl_axis_kind kind)
{
    uint32_t v = kl_kernel_axis(b->k, kl_arena_printf(b->k->arena, "i%u", b->k->naxes),
                                extent, kind);
    s->axes[s->nfree + s->nreduce] = (uint16_t)v;
    if (kind == KL_AXIS_REDUCE)
        s->nreduce++;
    else
        s->nfree++;
    return kl_x_var(b->k->x, v);
}

/* The expression of each iteration axis of a root: an outer variable, its own, or 0. */
static void root_axes(builder *b, const kl_root *root, kl_stage *s, kl_x *axis)
{
    kl_exprs *x = b->k->x;
    kl_dim reduced[KL_MAX_RANK], product = 1;
    int at[KL_MAX_RANK], n = 0;
    for (int i = 0; i < root->naxes; i++) {
        axis[i] = kl_x_int(x, 0);
        if (root->role[i] == KL_ROLE_REDUCED) {
            reduced[n] = root->extent[i];
            product = kl_dim_mul(x->dims, product, root->extent[i]);
            at[n++] = i;
        } else if (root->outer[i] >= 0) {
            axis[i] = b->outer[root->outer[i]];
        } else if (root->extent[i] != 1 || root->role[i] == KL_ROLE_OWN) {
            kl_x v = own_axis(b, s, root->extent[i],
                              root->role[i] == KL_ROLE_OWN ? KL_AXIS_SCAN : KL_AXIS_FREE);
            if (root->extent[i] != 1) /* else 0, as the analysis of reads has it */
                axis[i] = v;
        }
    }
    bool reduces = s->kind != KL_STAGE_MAP && s->kind != KL_STAGE_PREFIX &&
                   s->kind != KL_STAGE_SORT && s->kind != KL_STAGE_SCATTER;
    if (!reduces)
        return;
    kl_x idx[KL_MAX_RANK], v = own_axis(b, s, product, KL_AXIS_REDUCE);
    kl_unflatten(x, n, reduced, v, idx);
    for (int i = 0; i < n; i++)
        axis[at[i]] = idx[i];
}

static kl_status finish(builder *b, kl_stage *s)
{
    s->nchecks = b->rd->nchecks;
    b->rd->nchecks = 0;
    s->checks = kl_arena_alloc(b->k->arena, (size_t)(s->nchecks + 1) * sizeof *s->checks);
    if (!s->checks)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    memcpy(s->checks, b->rd->checks, (size_t)s->nchecks * sizeof *s->checks);
    return kl_arena_failed(b->k->arena) ? kl_fail(KL_ERR_OOM, "fuse: no memory") : KL_OK;
}

static kl_status add_store(builder *b, kl_stage *s, kl_ref node, kl_x index, kl_x value,
                           kl_x pred)
{
    kl_store *t = kl_arena_alloc(b->k->arena, (size_t)(s->nstores + 1) * sizeof *t);
    if (!t)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    if (s->nstores)
        memcpy(t, s->stores, (size_t)s->nstores * sizeof *t);
    t[s->nstores++] = (kl_store){.operand = operand_of(b, node, KL_ROLE_OUT),
                                 .index = index,
                                 .value = value,
                                 .pred = pred};
    s->stores = t;
    return KL_OK;
}

/* The flat element of a root's result at its axes. */
static kl_x out_index(builder *b, const kl_root *root, const kl_x *axis)
{
    kl_x idx[KL_MAX_RANK];
    for (int i = 0; i < kl_graph_at(b->f->g, root->node)->rank; i++)
        idx[i] = axis[root->out[i]];
    return kl_flatten(b->k->x, kl_graph_at(b->f->g, root->node)->rank,
                      kl_graph_shape(b->f->g, root->node), idx);
}

static kl_x read_source(builder *b, const kl_root *root, uint32_t i, const kl_x *axis)
{
    kl_x idx[KL_MAX_RANK], pred;
    kl_source_index(b->f, root, i, b->k->x, axis, idx, &pred);
    kl_x v = kl_read(b->rd, kl_graph_src(b->f->g, root->node, i), idx, pred);
    if (pred == KL_NONE || v == KL_NONE)
        return v;
    kl_scalar none = kl_identity(KL_OP_add, kl_graph_at(b->f->g, root->node)->dtype);
    return kl_x_op(b->k->x, KL_OP_where, pred, v,
                   kl_x_const(b->k->x, kl_graph_at(b->f->g, root->node)->dtype, none));
}

static kl_status build_map(builder *b, const kl_root *root)
{
    kl_x axis[KL_MAX_RANK];
    if (!root->stored)
        return KL_OK;
    kl_stage *s = new_stage(b, KL_STAGE_MAP, root->node);
    root_axes(b, root, s, axis);
    kl_x v = kl_read(b->rd, root->node, axis, KL_NONE);
    if (v == KL_NONE)
        return kl_error_status();
    KL_TRY(add_store(b, s, root->node, out_index(b, root, axis), v, KL_NONE));
    return finish(b, s);
}

/* The value of a reduction or contraction, stored at its outer point if anybody needs it.
 */
static kl_status build_reduce(builder *b, kl_root *root, kl_stage_kind kind,
                              kl_op combine)
{
    kl_x axis[2 * KL_MAX_RANK];
    kl_stage *s = new_stage(b, kind, root->node);
    bool fold = kl_graph_at(b->f->g, root->node)->op == KL_OP_fold;
    s->combine = combine;
    root_axes(b, root, s, axis);
    s->value = read_source(b, root, 0, axis);
    if (kind == KL_STAGE_CONTRACT && !fold) {
        s->rhs = read_source(b, root, 1, axis);
        s->dot = b->dot;
        s->value = kl_x_cast(b->k->x, s->value, s->dtype);
        s->rhs = kl_x_cast(b->k->x, s->rhs, s->dtype);
    } else if (fold) { /* in window order from +0: a contraction with ones */
        s->rhs = kl_x_const(b->k->x, s->dtype, kl_scalar_from(s->dtype, 1));
    }
    if (s->value == KL_NONE || (kind == KL_STAGE_CONTRACT && s->rhs == KL_NONE))
        return kl_error_status();
    KL_TRY(finish(b, s));
    b->stage_of[b->f->root_of[root->node]] = b->part->nstages - 1;
    if (!root->stored)
        return KL_OK;
    kl_stage *w = new_stage(b, KL_STAGE_MAP, root->node);
    kl_x v = kl_x_stage(b->k->x, (uint32_t)b->part->nstages - 2, s->dtype, NULL, 0);
    v = kl_x_cast(b->k->x, v, w->dtype);
    return add_store(b, w, root->node, out_index(b, root, axis), v, KL_NONE);
}

static kl_status build_prefix(builder *b, kl_root *root)
{
    kl_x axis[KL_MAX_RANK];
    kl_stage *s = new_stage(b, KL_STAGE_PREFIX, root->node);
    s->combine = (kl_op)kl_graph_attr(b->f->g, root->node)[0];
    root_axes(b, root, s, axis);
    s->value = read_source(b, root, 0, axis);
    if (s->value == KL_NONE)
        return kl_error_status();
    KL_TRY(add_store(b, s, root->node, out_index(b, root, axis), s->value, KL_NONE));
    return finish(b, s);
}

/* store 0 writes sorted keys (pick 0), store 1 the permutation (pick 1). Both have
 * memory: the permutation is the sort's working space. */
static kl_status build_sort(builder *b, kl_root *root)
{
    kl_x axis[KL_MAX_RANK];
    const kl_graph *g = b->f->g;
    kl_stage *s = new_stage(b, KL_STAGE_SORT, root->node);
    s->descending = kl_graph_attr(g, root->node)[1] != 0;
    s->first =
        kl_graph_at(g, root->node)->nattr > 2 ? kl_graph_attr(g, root->node)[2] : 0;
    root_axes(b, root, s, axis);
    s->value = read_source(b, root, 0, axis);
    if (s->value == KL_NONE)
        return kl_error_status();
    kl_x at = out_index(b, root, axis), number = kl_x_var(b->k->x, s->axes[s->nfree - 1]);
    s->stores = kl_arena_zeroed(b->k->arena, 2, sizeof *s->stores);
    if (!s->stores)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    for (int k = 0; k < 2; k++) {
        kl_operand o = {.name = k ? "perm" : "keys",
                        .dtype = k ? KL_I64 : s->dtype,
                        .role = KL_ROLE_TEMP,
                        .count = kl_graph_numel(g, root->node),
                        .node = KL_NONE};
        for (kl_ref r = 0; r < g->count; r++)
            if (kl_graph_at(g, r)->op == KL_OP_pick &&
                kl_graph_src(g, r, 0) == root->node && kl_graph_attr(g, r)[0] == k)
                o.role = KL_ROLE_OUT, o.node = r, o.name = name_of(b, r);
        s->stores[k] = (kl_store){.operand = kl_kernel_operand(b->k, &o),
                                  .index = at,
                                  .pred = KL_NONE,
                                  .value = k ? number : s->value};
    }
    s->nstores = 2;
    return finish(b, s);
}

/* scatter: first every element of a, then the updates in index order. One outer point
 * owns all that its updates can touch, so nothing races. */
static kl_status build_scatter(builder *b, kl_root *root)
{
    const kl_graph *g = b->f->g;
    kl_exprs *x = b->k->x;
    const int64_t *at = kl_graph_attr(g, root->node);
    kl_ref a = kl_graph_src(g, root->node, 0);
    int axis_at = (int)at[1], rank = kl_graph_at(g, a)->rank,
        nj = kl_graph_at(g, kl_graph_src(g, root->node, 2))->rank - (rank - 1);
    kl_x axis[KL_MAX_RANK], to[KL_MAX_RANK], ok;
    kl_stage *copy = new_stage(b, KL_STAGE_MAP, root->node);
    for (int i = 0; i < rank; i++)
        to[i] = i == axis_at ? own_axis(b, copy, kl_graph_shape(g, a)[i], KL_AXIS_FREE)
                             : (root->outer[i < axis_at ? i : i + nj - 1] >= 0
                                    ? b->outer[root->outer[i < axis_at ? i : i + nj - 1]]
                                    : kl_x_int(x, 0));
    kl_x old = kl_read(b->rd, a, to, KL_NONE);
    if (old == KL_NONE)
        return kl_error_status();
    KL_TRY(add_store(b, copy, root->node, kl_flatten(x, rank, kl_graph_shape(g, a), to),
                     old, KL_NONE));
    KL_TRY(finish(b, copy));
    kl_stage *s = new_stage(b, KL_STAGE_SCATTER, root->node);
    s->combine = (kl_op)at[0];
    root_axes(b, root, s, axis);
    kl_x idx[KL_MAX_RANK], pred;
    kl_source_index(b->f, root, 1, x, axis, idx, &pred);
    to[axis_at] = kl_read_index(b->rd, kl_graph_src(g, root->node, 1), idx,
                                kl_graph_shape(g, a)[axis_at], root->node, KL_NONE, &ok);
    s->value = read_source(b, root, 2, axis);
    if (to[axis_at] == KL_NONE || s->value == KL_NONE)
        return kl_error_status();
    KL_TRY(add_store(b, s, root->node, kl_flatten(x, rank, kl_graph_shape(g, a), to),
                     s->value, ok));
    return finish(b, s);
}

/* A call, a loop, a branch: a launch without a kernel on whole buffers. */
static kl_status build_whole(builder *b, kl_ref r)
{
    const kl_graph *g = b->f->g;
    b->k->call =
        kl_graph_at(g, r)->op == KL_OP_call ? g->strings[kl_graph_attr(g, r)[0]] : NULL;
    KL_TRY(b->k->call ? kl_whole_operands(g, b->k, r)
                      : kl_build_control(b->f->u, b->k, r));
    for (uint32_t i = 0; i < b->k->noperands; i++)
        if (b->k->operands[i].node != KL_NONE)
            b->k->operands[i].name = name_of(b, b->k->operands[i].node);
    return KL_OK;
}

static kl_status build_root(builder *b, kl_root *root)
{
    const int64_t *at = kl_graph_attr(b->f->g, root->node);
    switch (kl_graph_at(b->f->g, root->node)->op) {
    case KL_OP_reduce:
        return build_reduce(b, root, KL_STAGE_REDUCE, (kl_op)at[0]);
    case KL_OP_fold:
        return build_reduce(b, root, KL_STAGE_CONTRACT, KL_OP_add);
    case KL_OP_argmax:
        return build_reduce(b, root, KL_STAGE_ARGMAX, KL_OP_max);
    case KL_OP_argmin:
        return build_reduce(b, root, KL_STAGE_ARGMIN, KL_OP_min);
    case KL_OP_contract:
        return build_reduce(b, root, KL_STAGE_CONTRACT, KL_OP_add);
    case KL_OP_prefix:
        return build_prefix(b, root);
    case KL_OP_sort:
        return build_sort(b, root);
    case KL_OP_scatter:
        return build_scatter(b, root);
    case KL_OP_call:
    case KL_OP_while:
    case KL_OP_cond:
    case KL_OP_scan:
        return build_whole(b, root->node);
    default:
        break;
    }
    if (root->heavy)
        return kl_fail(KL_ERR_UNSUPPORTED, "%s: not compiled to a kernel",
                       kl_ops[kl_graph_at(b->f->g, root->node)->op].name);
    return build_map(b, root);
}

/* ---- kernels ---- */

/* Names say what is inside and nothing else, so that equal kernels have equal texts. */
static const char *kernel_name(builder *b)
{
    const kl_group *G = &b->f->groups[b->group];
    kl_text t = {0};
    int said = 0;
    for (int i = 0; i < G->nmembers && said < 3; i++) {
        const kl_node *n = kl_graph_at(b->f->g, b->f->roots[G->members[i]].node);
        kl_text_printf(&t, "%s%s", said++ ? "_" : "", kl_ops[n->op].name);
        if (n->op == KL_OP_reduce)
            kl_text_printf(
                &t, "_%s",
                kl_ops[kl_graph_attr(b->f->g, b->f->roots[G->members[i]].node)[0]].name);
    }
    const char *name = t.failed || !t.s ? "kernel" : kl_arena_strdup(b->k->arena, t.s);
    kl_text_free(&t);
    return name;
}

/* ---- results that are others in a new shape ---- */

/* Marks what must stay what it is: what is handed out, and what calls and control see,
 * who look at its shape. */
static void mark_fixed(const kl_graph *g, bool *fixed)
{
    for (uint32_t i = 0; i < g->noutputs; i++)
        fixed[g->outputs[i]] = true;
    for (kl_ref r = 0; r < g->count; r++) {
        kl_kind kind = kl_ops[kl_graph_at(g, r)->op].kind;
        bool whole = kind == KL_KIND_CALL || kind == KL_KIND_CONTROL;
        fixed[r] = fixed[r] || whole;
        for (uint32_t i = 0; whole && i < kl_graph_at(g, r)->nsrc; i++)
            fixed[kl_graph_src(g, r, i)] = true;
    }
}

/* An output that is a stored value in another shape: the value is stored as the output,
 * which needs no copy. */
static kl_status find_shown(kl_fusion *f)
{
    const kl_graph *g = f->g;
    bool *fixed = kl_arena_zeroed(f->arena, g->count + 1, sizeof *fixed);
    f->as = kl_arena_alloc(f->arena, (g->count + 1) * sizeof *f->as);
    if (!fixed || !f->as)
        return kl_fail(KL_ERR_OOM, "fuse: %u nodes", g->count);
    mark_fixed(g, fixed);
    for (kl_ref r = 0; r < g->count; r++)
        f->as[r] = r;
    for (uint32_t i = 0; i < g->noutputs && !f->u->fuse_off; i++) {
        kl_ref r = g->outputs[i];
        if (kl_graph_at(g, r)->op != KL_OP_reshape)
            continue;
        kl_ref of = kl_graph_src(g, r, 0);
        int32_t p = f->root_of[of];
        if (p < 0 || !f->roots[p].stored || !f->roots[p].heavy || fixed[of])
            continue;
        f->as[of] = r;
        fixed[of] = true;
    }
    return KL_OK;
}

/* Has another root stored it already? */
static bool is_shown(const kl_fusion *f, const kl_root *root)
{
    return kl_graph_at(f->g, root->node)->op == KL_OP_reshape &&
           f->as[kl_graph_src(f->g, root->node, 0)] == root->node;
}

/* Appends the group to k as one more part. */
static kl_status build_group(kl_fusion *f, int group, kl_kernel *k, bool dot)
{
    kl_group *G = &f->groups[group];
    builder b = {.f = f, .group = group, .k = k, .dot = dot};
    kl_part *parts = kl_arena_zeroed(k->arena, (size_t)k->nparts + 1, sizeof(kl_part));
    b.stage_of = kl_arena_alloc(f->arena, (f->nroots + 1) * sizeof(int));
    b.rd = kl_arena_zeroed(f->arena, 1, sizeof(kl_reader));
    if (!parts || !b.stage_of || !b.rd)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    if (k->nparts)
        memcpy(parts, k->parts, (size_t)k->nparts * sizeof(kl_part));
    k->parts = parts;
    b.part = &parts[k->nparts++];
    b.part->stages =
        kl_arena_zeroed(k->arena, (size_t)G->nmembers * 2 + 1, sizeof(kl_stage));
    if (!b.part->stages)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    *b.rd = (kl_reader){.k = k,
                        .g = f->g,
                        .is_leaf = is_leaf,
                        .leaf = leaf,
                        .leaf_flat = leaf_flat,
                        .ctx = &b};
    memset(b.stage_of, -1, f->nroots * sizeof(int));
    b.part->nouter = G->nouter;
    for (int i = 0; i < G->nouter; i++) {
        const char *name = kl_arena_printf(k->arena, "i%u", k->naxes);
        uint32_t v = kl_kernel_axis(k, name, G->outer[i], KL_AXIS_FREE);
        b.part->outer[i] = (uint16_t)v;
        b.outer[i] = kl_x_var(k->x, v);
    }
    if (k->nparts == 1)
        k->name = kernel_name(&b);
    if (G->apart_why) {
        k->apart = name_of(&b, f->roots[G->apart].node);
        k->apart_why = G->apart_why;
    }
    for (int i = 0; i < G->nmembers; i++) {
        kl_root *root = &f->roots[G->members[i]];
        if (is_shown(f, root))
            continue;
        uint32_t place = kl_graph_at(f->g, root->node)->place;
        if (place != KL_NONE)
            k->place = f->g->strings[place];
        if (root->stored && f->kept[root->node])
            k->kept_why = f->kept[root->node];
        KL_TRY(build_root(&b, root));
    }
    KL_TRY(kl_collapse(k, b.part));
    return kl_arena_failed(k->arena) ? kl_fail(KL_ERR_OOM, "fuse: no memory") : KL_OK;
}

/* If A needs B, A needs more groups than B does: sorting by that number is a topological
 * order. */
static int count_needs(const kl_fusion *f, const kl_group *g)
{
    int n = 0;
    for (uint32_t i = 0; i < f->ngroups; i++)
        n += !f->groups[i].merged && (g->needs[i / 64] >> (i % 64) & 1);
    return n;
}

static bool anything_stored(const kl_fusion *f, const kl_group *g)
{
    for (int i = 0; i < g->nmembers; i++) {
        const kl_root *root = &f->roots[g->members[i]];
        bool multi = kl_ops[kl_graph_at(f->g, root->node)->op].flags & KL_F_MULTI;
        if ((root->stored && !is_shown(f, root)) || multi)
            return true;
    }
    return false;
}

/* Elementwise groups that nobody waits for (an optimiser's updates) share one launch, but
 * a launch is nothing beside a long body (random numbers): kernels of its own, one for
 * all that are alike, compile sooner. */
static bool is_sibling(const kl_fusion *f, int group)
{
    if (f->u->fuse_off || f->groups[group].heavy)
        return false;
    for (uint32_t i = 0; i < f->ngroups; i++)
        if (!f->groups[i].merged && (f->groups[i].needs[group / 64] >> (group % 64) & 1))
            return false;
    return true;
}

static kl_kernel *next_kernel(kl_fusion *f)
{
    kl_kernel *k = kl_kernel_new(f->u->arena, f->g->dims, "kernel");
    if (k)
        f->u->kernels[f->u->nkernels++] = k;
    return k;
}

static kl_status build_siblings(kl_fusion *f, const int *groups, int n)
{
    kl_kernel *k = NULL;
    for (int i = 0; i < n; i++) {
        if (!k || k->noperands > KL_MANY_OPERANDS || k->nparts >= PARTS_MAX)
            k = next_kernel(f);
        if (!k)
            return kl_fail(KL_ERR_OOM, "fuse: no memory");
        uint32_t before = k->x->count;
        KL_TRY(build_group(f, groups[i], k, false));
        if (k->nparts == 2)
            k->name = kl_arena_printf(k->arena, "siblings_%s", k->name);
        if (k->x->count - before > LONG_BODY)
            k = NULL;
    }
    return KL_OK;
}

/* Names for readers, numbers as kl_graph_print counts: inputs first. */
static kl_status name_values(kl_fusion *f)
{
    const kl_graph *g = f->g;
    uint32_t next = g->ninputs;
    f->names = kl_arena_zeroed(f->arena, g->count + 1, sizeof *f->names);
    f->numbers = kl_arena_zeroed(f->arena, g->count + 1, sizeof *f->numbers);
    if (!f->names || !f->numbers)
        return kl_fail(KL_ERR_OOM, "fuse: %u nodes", g->count);
    for (uint32_t i = 0; i < g->ninputs; i++)
        f->numbers[g->inputs[i]] = i;
    for (kl_ref r = 0; r < g->count; r++) {
        if (kl_graph_at(g, r)->op != KL_OP_input)
            f->numbers[r] = next++;
        if (kl_graph_at(g, r)->name != KL_NONE)
            f->names[r] = g->strings[kl_graph_at(g, r)->name];
    }
    for (uint32_t i = 0; i < g->noutputs && g->output_names; i++)
        if (!f->names[g->outputs[i]])
            f->names[g->outputs[i]] = g->output_names[i];
    return KL_OK;
}

/* ---- the order of a contraction's sum ---- */

/* min(1, floor(e / 4)): is it at least 4? Known for most extents, and then 0 or 1. */
static kl_dim at_least_4(kl_dims *d, kl_dim e)
{
    int64_t lo, hi;
    kl_dim_range(d, e, &lo, &hi);
    return lo >= 4 ? 1 : hi < 4 ? 0 : kl_dim_min(d, 1, kl_dim_div(d, e, 4));
}

kl_dim kl_contract_in_order(const kl_graph *g, kl_ref r)
{
    const int64_t *at = kl_graph_attr(g, r), *la = at + 3, *lb = la + at[0],
                  *y = lb + at[1];
    kl_dim side[2] = {1, 1};
    if (kl_env_get()->batch_invariant)
        return 1;
    for (int i = 0; i < at[2]; i++) {
        bool in_a = false, in_b = false;
        for (int j = 0; j < at[0]; j++)
            in_a = in_a || la[j] == y[i];
        for (int j = 0; j < at[1]; j++)
            in_b = in_b || lb[j] == y[i];
        if (in_a != in_b)
            side[in_b] = kl_dim_mul(g->dims, side[in_b], kl_graph_shape(g, r)[i]);
    }
    kl_dim wide = at_least_4(g->dims, side[1]);
    return kl_dim_mul(g->dims, at_least_4(g->dims, side[0]), wide);
}

static kl_dim group_in_order(const kl_fusion *f, const kl_group *G)
{
    for (int i = 0; i < G->nmembers; i++)
        if (kl_graph_at(f->g, f->roots[G->members[i]].node)->op == KL_OP_contract)
            return kl_contract_in_order(f->g, f->roots[G->members[i]].node);
    return 1;
}

/* One kernel, or one for each order: exactly one of the two runs. */
static kl_status build_forms(kl_fusion *f, int group)
{
    kl_dim order = group_in_order(f, &f->groups[group]);
    if (order == KL_DIM_BAD)
        return kl_fail(KL_ERR_UNSUPPORTED, "contract: its sizes are too intricate");
    for (int dot = 0; dot < 2; dot++) {
        kl_dim when = dot ? kl_dim_sub(f->g->dims, 1, order) : order;
        kl_kernel *k = when == 0 ? NULL : next_kernel(f);
        if (when == 0)
            continue;
        if (!k)
            return kl_fail(KL_ERR_OOM, "fuse: no memory");
        k->when = when;
        KL_TRY(build_group(f, group, k, dot));
    }
    return KL_OK;
}

kl_status kl_build_kernels(kl_fusion *f)
{
    KL_TRY(name_values(f));
    KL_TRY(find_shown(f));
    int *order = kl_arena_alloc(f->arena, (f->ngroups + 1) * sizeof(int)), n = 0,
        last = 0;
    int *key = kl_arena_alloc(f->arena, (f->ngroups + 1) * sizeof(int));
    int *siblings = kl_arena_alloc(f->arena, (f->ngroups + 1) * sizeof(int));
    if (!order || !key || !siblings)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    for (uint32_t i = 0; i < f->ngroups; i++) {
        if (f->groups[i].merged || !anything_stored(f, &f->groups[i]))
            continue;
        if (is_sibling(f, (int)i)) {
            siblings[last++] = (int)i;
            continue;
        }
        key[i] = count_needs(f, &f->groups[i]);
        int at = n++;
        for (; at > 0 && key[order[at - 1]] > key[i]; at--)
            order[at] = order[at - 1];
        order[at] = (int)i;
    }
    f->u->kernels =
        kl_arena_zeroed(f->u->arena, (size_t)(2 * n + last) + 1, sizeof *f->u->kernels);
    f->u->nkernels = 0;
    if (!f->u->kernels)
        return kl_fail(KL_ERR_OOM, "fuse: no memory");
    for (int i = 0; i < n; i++)
        KL_TRY(build_forms(f, order[i]));
    return build_siblings(f, siblings, last);
}
