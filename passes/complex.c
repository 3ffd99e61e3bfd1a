/* complex.c: complex values become pairs of real ones.
 *
 *   %2: c64[4] = mul %0, %1        %re = sub(mul(ar, br), mul(ai, bi))
 *                             ->   %im = add(mul(ar, bi), mul(ai, br))
 *
 * Requires  no grad, jvp or function node.
 * Ensures   no node has a complex dtype. A complex input or output, of the graph, of a
 * body or of a call, is a real one with a last axis of 2: the same bytes. The formulas
 * are those of ir/eval_complex.c. */
#include "passes/complex.h"

typedef struct pairs {
    bool *cx;   /* old nodes that are complex */
    kl_ref *im; /* their imaginary parts */
} pairs;

static kl_ref elt(kl_graph *g, kl_op op, kl_ref a, kl_ref b)
{
    return kl_g_elt(g, op, a, b, KL_NONE);
}

/* The same node on real parts: component by component. */
static kl_ref on_part(kl_graph *to, const kl_graph *from, kl_ref r, const kl_ref *src)
{
    const kl_node *n = kl_graph_at(from, r);
    kl_spec s = {.op = (kl_op)n->op,
                 .src = src,
                 .nsrc = n->nsrc,
                 .attr = kl_graph_attr(from, r),
                 .nattr = n->nattr};
    kl_graph_type(from, r, &s.want);
    s.want.dtype = kl_dtypes[n->dtype].real;
    return kl_graph_node(to, &s);
}

static const kl_ref *imaginary(pairs *p, kl_graph *to, const kl_graph *from, kl_ref r,
                               const kl_ref *src)
{
    uint32_t n = kl_graph_at(from, r)->nsrc;
    kl_ref *im = kl_arena_alloc(to->arena, (n + 1) * sizeof *im);
    for (uint32_t i = 0; im && i < n; i++)
        im[i] =
            p->cx[kl_graph_src(from, r, i)] ? p->im[kl_graph_src(from, r, i)] : src[i];
    return im;
}

/* A buffer of pairs, and its two halves. */
static kl_ref halves(pairs *p, kl_graph *to, kl_ref both, kl_ref r)
{
    kl_dim start[KL_MAX_RANK] = {0}, step[KL_MAX_RANK], extent[KL_MAX_RANK];
    if (both == KL_NONE)
        return KL_NONE;
    int rank = kl_graph_at(to, both)->rank - 1;
    for (int i = 0; i < rank; i++)
        extent[i] = kl_graph_shape(to, both)[i], step[i] = 1;
    extent[rank] = 1, step[rank] = 2;
    kl_ref re = kl_g_slice(to, both, start, extent, step);
    start[rank] = 1;
    kl_ref im = kl_g_slice(to, both, start, extent, step);
    p->im[r] = kl_g_reshape(to, im, rank, extent);
    return kl_g_reshape(to, re, rank, extent);
}

/* A complex input of shape [s] is a real one of [s, 2] in `g`, a copy of the graph's
 * head. */
static kl_status reveal_input(kl_graph *g, kl_ref r)
{
    kl_node *n = &g->nodes[r];
    uint32_t rank = n->rank;
    if (rank + 1 > KL_MAX_RANK)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "a complex input of rank %u leaves no axis for its two parts",
                       rank);
    KL_TRY(kl_arena_grow(g->arena, &g->extents, &g->cap_extents, g->nextents + rank + 1,
                         sizeof *g->extents));
    memcpy(g->extents + g->nextents, g->extents + n->shape, rank * sizeof *g->extents);
    g->extents[g->nextents + rank] = 2;
    n->shape = g->nextents;
    g->nextents += rank + 1;
    n->rank++;
    n->dtype = (uint8_t)kl_dtypes[n->dtype].real;
    if (n->nattr < 2)
        return KL_OK;
    KL_TRY(kl_arena_grow(g->arena, &g->attrs, &g->cap_attrs, g->nattrs + n->nattr + 1,
                         sizeof *g->attrs));
    int64_t *to = g->attrs + g->nattrs, *from = g->attrs + n->attr;
    to[0] = from[0];
    for (uint32_t i = 1; i < n->nattr; i++)
        to[i] = kl_dim_mul(g->dims, from[i], 2);
    to[n->nattr] = 1;
    n->attr = g->nattrs;
    g->nattrs += ++n->nattr;
    return KL_OK;
}

static kl_ref constant(pairs *p, kl_graph *to, const kl_graph *from, kl_ref r)
{
    const kl_node *n = kl_graph_at(from, r);
    size_t size = kl_dtypes[n->dtype].size / 2;
    int64_t count = kl_graph_numel(from, r), word[2][8] = {{0}};
    const char *bytes = (const char *)kl_graph_attr(from, r);
    for (int64_t i = 0; i < 2 * count; i++)
        memcpy((char *)word[i & 1] + (size_t)(i / 2) * size, bytes + (size_t)i * size,
               size);
    kl_spec s = {.op = KL_OP_const,
                 .attr = word[1],
                 .nattr = (uint32_t)(((size_t)count * size + 7) / 8)};
    kl_graph_type(from, r, &s.want);
    s.want.dtype = kl_dtypes[n->dtype].real;
    p->im[r] = kl_graph_node(to, &s);
    s.attr = word[0];
    return kl_graph_node(to, &s);
}

static kl_ref keep(pairs *p, kl_ref r, kl_pair y)
{
    p->im[r] = y.im;
    return y.re;
}

/* op of the real parts, join op of the imaginary ones. */
static kl_ref both_parts(kl_graph *g, kl_op join, kl_op op, const kl_ref *re,
                         const kl_ref *im)
{
    kl_ref second = elt(g, op, im[0], im[1]);
    return elt(g, join, elt(g, op, re[0], re[1]), second);
}

/* Smith's: divide by the larger part of b first. */
static kl_ref divide(pairs *p, kl_graph *g, kl_ref r, const kl_ref *re, const kl_ref *im)
{
    kl_ref zero = kl_g_const_like(g, re[1], 0);
    kl_ref re_size = elt(g, KL_OP_abs, re[1], KL_NONE),
           im_size = elt(g, KL_OP_abs, im[1], KL_NONE),
           wide = elt(g, KL_OP_le, im_size, re_size);
    kl_ref big = kl_g_elt(g, KL_OP_where, wide, re[1], im[1]),
           small = kl_g_elt(g, KL_OP_where, wide, im[1], re[1]);
    kl_ref none = elt(g, KL_OP_and, wide, elt(g, KL_OP_eq, re[1], zero));
    kl_ref q = kl_g_elt(g, KL_OP_where, none, zero, elt(g, KL_OP_div, small, big));
    kl_ref t = elt(g, KL_OP_add, big, elt(g, KL_OP_mul, small, q));
    kl_ref rq = elt(g, KL_OP_mul, re[0], q), iq = elt(g, KL_OP_mul, im[0], q);
    kl_ref re_tall = elt(g, KL_OP_add, rq, im[0]), re_wide = elt(g, KL_OP_add, re[0], iq),
           y_re = kl_g_elt(g, KL_OP_where, wide, re_wide, re_tall);
    kl_ref im_tall = elt(g, KL_OP_sub, iq, re[0]), im_wide = elt(g, KL_OP_sub, im[0], rq),
           y_im = kl_g_elt(g, KL_OP_where, wide, im_wide, im_tall);
    p->im[r] = elt(g, KL_OP_div, y_im, t);
    return elt(g, KL_OP_div, y_re, t);
}

static kl_ref contract(pairs *p, kl_graph *to, const kl_graph *from, kl_ref r,
                       const kl_ref *re, const kl_ref *im)
{
    kl_ref cross[2] = {re[0], im[1]}, back[2] = {im[0], re[1]};
    kl_ref im_re = on_part(to, from, r, back), re_im = on_part(to, from, r, cross);
    p->im[r] = elt(to, KL_OP_add, re_im, im_re);
    kl_ref im_im = on_part(to, from, r, im), re_re = on_part(to, from, r, re);
    return elt(to, KL_OP_sub, re_re, im_im);
}

static kl_ref cast(pairs *p, kl_graph *to, const kl_graph *from, kl_ref r,
                   const kl_ref *re)
{
    kl_dtype dt = (kl_dtype)kl_graph_at(from, r)->dtype;
    kl_ref s = kl_graph_src(from, r, 0), y = kl_g_cast(to, re[0], kl_dtypes[dt].real);
    if (dt == KL_BOOL) /* is either part not zero? */
        return elt(to, KL_OP_or, y, kl_g_cast(to, p->im[s], KL_BOOL));
    if (!kl_is_complex(dt))
        return y;
    p->im[r] = p->cx[s] ? kl_g_cast(to, p->im[s], kl_dtypes[dt].real)
                        : kl_g_const_like(to, y, 0);
    return y;
}

/* Combining by a product mixes the parts; by a sum, or replacing, does not. */
static bool multiplies(const kl_graph *g, kl_ref r)
{
    int op = kl_graph_at(g, r)->op;
    return (op == KL_OP_reduce || op == KL_OP_prefix || op == KL_OP_scatter) &&
           kl_graph_attr(g, r)[0] == KL_OP_mul;
}

static kl_ref multiply(pairs *p, kl_graph *to, const kl_graph *from, kl_ref r,
                       const kl_ref *re, const kl_ref *im)
{
    const int64_t *at = kl_graph_attr(from, r);
    kl_pair a = {re[0], im[0]};
    switch (kl_graph_at(from, r)->op) {
    case KL_OP_reduce:
        return keep(p, r, kl_complex_reduce(to, a, (uint64_t)at[1]));
    case KL_OP_prefix:
        return keep(p, r, kl_complex_prefix(to, a, (int)at[1]));
    default:
        return keep(p, r,
                    kl_complex_scatter(to, a, re[1], (kl_pair){re[2], im[2]}, (int)at[1],
                                       (int)at[2]));
    }
}

/* ---- rows that take whole buffers: pairs side by side ---- */

/* Two parts side by side on a last axis. */
static kl_ref interleave(kl_graph *g, kl_ref re, kl_ref im)
{
    kl_dim shape[KL_MAX_RANK];
    int rank = kl_graph_at(g, re)->rank;
    if (rank == KL_MAX_RANK) {
        kl_fail(KL_ERR_UNSUPPORTED, "a complex buffer of rank %d", rank);
        return KL_NONE;
    }
    memcpy(shape, kl_graph_shape(g, re), (size_t)rank * sizeof *shape);
    shape[rank] = 1;
    kl_ref two[2] = {kl_g_reshape(g, re, rank + 1, shape),
                     kl_g_reshape(g, im, rank + 1, shape)};
    int64_t axis = rank;
    kl_spec s = {.op = KL_OP_concat, .src = two, .nsrc = 2, .attr = &axis, .nattr = 1};
    return kl_graph_node(g, &s);
}

/* A call's results as it promises them: dtype, rank, extents; NULL: no memory. */
static int64_t *real_results(kl_graph *to, const kl_graph *from, kl_ref r, uint32_t *n)
{
    const kl_node *node = kl_graph_at(from, r);
    const int64_t *old = kl_graph_attr(from, r), *at = old + 3;
    int64_t *attr =
        kl_arena_alloc(to->arena, (node->nattr + (size_t)old[1] + 1) * sizeof *attr);
    if (!attr)
        return NULL;
    memcpy(attr, old, 3 * sizeof *attr);
    *n = 3;
    for (int64_t k = 0; k < old[1]; k++, at += 2 + at[1]) {
        bool cx = kl_is_complex((kl_dtype)at[0]);
        int64_t *t = attr + *n;
        memcpy(t, at, (size_t)(2 + at[1]) * sizeof *attr);
        t[0] = kl_dtypes[at[0]].real;
        t[1] += cx;
        if (cx)
            t[1 + t[1]] = 2;
        *n += 2 + (uint32_t)t[1];
    }
    return attr;
}

static kl_ref whole(pairs *p, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    const kl_node *n = kl_graph_at(from, r);
    kl_ref *own = kl_arena_alloc(to->arena, (n->nsrc + 1) * sizeof *own);
    for (uint32_t i = 0; own && i < n->nsrc; i++) {
        kl_ref s = kl_graph_src(from, r, i);
        own[i] = p->cx[s] ? interleave(to, src[i], p->im[s]) : src[i];
    }
    if (!own)
        return KL_NONE;
    if (n->op != KL_OP_call)
        return kl_graph_copy_node(to, from, r, own);
    kl_spec s = {.op = KL_OP_call, .src = own, .nsrc = n->nsrc};
    s.attr = real_results(to, from, r, &s.nattr);
    return s.attr ? kl_graph_node(to, &s) : KL_NONE;
}

static bool takes_whole(const kl_graph *g, kl_ref r)
{
    kl_kind kind = kl_ops[kl_graph_at(g, r)->op].kind;
    return kind == KL_KIND_CONTROL || kind == KL_KIND_CALL;
}

static kl_ref visit(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    pairs *p = ctx;
    const kl_node *n = kl_graph_at(from, r);
    bool any = p->cx[r];
    if (takes_whole(from, r))
        return whole(p, to, from, r, src);
    for (uint32_t i = 0; i < n->nsrc; i++)
        any = any || p->cx[kl_graph_src(from, r, i)];
    if (!any && n->op != KL_OP_input)
        return kl_graph_copy_node(to, from, r, src);
    const kl_ref *im = imaginary(p, to, from, r, src);
    if (!im)
        return kl_fail(KL_ERR_OOM, "complex: no memory"), KL_NONE;
    switch (n->op) {
    case KL_OP_input:
        return any ? halves(p, to, kl_graph_copy_node(to, from, r, src), r)
                   : kl_graph_copy_node(to, from, r, src);
    case KL_OP_pick:
        return halves(p, to, kl_graph_copy_node(to, from, r, src), r);
    case KL_OP_const:
        return constant(p, to, from, r);
    case KL_OP_complex:
        p->im[r] = src[1];
        return src[0];
    case KL_OP_real:
        return src[0];
    case KL_OP_imag:
        return im[0];
    case KL_OP_mul:
        return keep(p, r,
                    kl_pair_mul(to, (kl_pair){src[0], im[0]}, (kl_pair){src[1], im[1]}));
    case KL_OP_div:
        return divide(p, to, r, src, im);
    case KL_OP_eq:
        return both_parts(to, KL_OP_and, KL_OP_eq, src, im);
    case KL_OP_ne:
        return both_parts(to, KL_OP_or, KL_OP_ne, src, im);
    case KL_OP_contract:
        return contract(p, to, from, r, src, im);
    case KL_OP_cast:
        return cast(p, to, from, r, src);
    default:
        break;
    }
    if (multiplies(from, r))
        return multiply(p, to, from, r, src, im);
    if (!(kl_ops[n->op].flags & KL_F_CPLX)) {
        kl_fail(KL_ERR_UNSUPPORTED, "%s: not compiled for %s", kl_ops[n->op].name,
                kl_dtypes[n->dtype].torch_name);
        return KL_NONE;
    }
    p->im[r] = on_part(to, from, r, im);
    return on_part(to, from, r, src);
}

static kl_status make_pairs(kl_unit *u, kl_graph **graph)
{
    kl_graph head = **graph, *g = &head;
    uint32_t n = g->count;
    bool any = false;
    pairs p = {.im = kl_arena_alloc(u->arena, (n + 1) * sizeof *p.im),
               .cx = kl_arena_zeroed(u->arena, n + 1, sizeof *p.cx)};
    head.nodes = kl_arena_alloc(u->arena, (n + 1) * sizeof *head.nodes);
    if (!p.im || !p.cx || !head.nodes)
        return kl_fail(KL_ERR_OOM, "complex: no memory");
    memcpy(head.nodes, (*graph)->nodes, n * sizeof *head.nodes);
    memset(p.im, 0xff, n * sizeof *p.im);
    for (kl_ref r = 0; r < n; r++) {
        bool cx = kl_is_complex((kl_dtype)kl_graph_at(g, r)->dtype);
        any = any || cx;
        p.cx[r] = cx && !takes_whole(g, r); /* that has results, not a value */
    }
    if (!any)
        return KL_OK;
    for (kl_ref r = 0; r < n; r++)
        if (p.cx[r] && kl_graph_at(g, r)->op == KL_OP_input)
            KL_TRY(reveal_input(g, r));
    const kl_ref *outputs = head.outputs;
    KL_TRY(kl_graph_rewrite(&g, visit, &p));
    for (uint32_t i = 0; i < g->noutputs; i++)
        if (p.im[outputs[i]] != KL_NONE) {
            g->outputs[i] = interleave(g, g->outputs[i], p.im[outputs[i]]);
            if (g->outputs[i] == KL_NONE)
                return kl_error_status();
        }
    *graph = g;
    return KL_OK;
}

kl_status kl_pass_complex(kl_unit *u)
{
    return kl_each_graph(u, make_pairs);
}
