/* complex_product.c: products of complex numbers where rows combine many: reduce, prefix
 * and scatter. Sums go part by part; a product mixes the parts, and a kernel's stage has
 * one value: so the order of "One number" (DESIGN.md) is written out in rows. What goes
 * one after the other is a scan, which carries both parts.
 *
 *   reduce.mul   x[n] in blocks of 4096, each in rows of 32 lanes:  scan over the rows;
 *                the lanes fold by halves, the blocks in pairs, absent ones left out
 *   prefix.mul   scan over the axis         scatter.mul   scan over the updates */
#include "passes/complex.h"

typedef kl_pair pair;

static kl_ref elt(kl_graph *g, kl_op op, kl_ref a, kl_ref b)
{
    return kl_g_elt(g, op, a, b, KL_NONE);
}

pair kl_pair_mul(kl_graph *g, pair a, pair b)
{
    kl_ref im_im = elt(g, KL_OP_mul, a.im, b.im), re_re = elt(g, KL_OP_mul, a.re, b.re);
    kl_ref re = elt(g, KL_OP_sub, re_re, im_im);
    kl_ref im_re = elt(g, KL_OP_mul, a.im, b.re), re_im = elt(g, KL_OP_mul, a.re, b.im);
    return (pair){re, elt(g, KL_OP_add, re_im, im_re)};
}

static pair choose(kl_graph *g, kl_ref c, pair a, pair b)
{
    return (pair){kl_g_elt(g, KL_OP_where, c, a.re, b.re),
                  kl_g_elt(g, KL_OP_where, c, a.im, b.im)};
}

static kl_ref node(kl_graph *g, kl_op op, const kl_ref *src, uint32_t nsrc,
                   const int64_t *attr, uint32_t nattr)
{
    return kl_graph_node(
        g, &(kl_spec){.op = op, .src = src, .nsrc = nsrc, .attr = attr, .nattr = nattr});
}

static kl_ref gather(kl_graph *g, kl_ref a, kl_ref index, int axis, int batch)
{
    return node(g, KL_OP_gather, (kl_ref[]){a, index}, 2, (int64_t[]){axis, batch}, 2);
}

static pair shaped(kl_graph *g, pair a, int rank, const kl_dim *shape)
{
    return (pair){kl_g_reshape(g, a.re, rank, shape), kl_g_reshape(g, a.im, rank, shape)};
}

static pair permuted(kl_graph *g, pair a, const int *perm)
{
    return (pair){kl_g_permute(g, a.re, perm), kl_g_permute(g, a.im, perm)};
}

static kl_dim product(kl_graph *g, const kl_dim *shape, int from, int to)
{
    kl_dim n = 1;
    for (int i = from; i < to; i++)
        n = kl_dim_mul(g->dims, n, shape[i]);
    return n;
}

/* ---- a scan that multiplies ---- */

static kl_ref input_like(kl_graph *h, const kl_graph *g, kl_ref r, int drop)
{
    kl_type t;
    kl_graph_type(g, r, &t);
    return kl_graph_input(h, NULL, t.dtype, t.rank - drop, t.shape + drop);
}

/* (c, first, x, there): y = first ? x : there ? c * x : c; next c and the stacked y. */
static kl_graph *product_step(kl_graph *g, pair c, pair x, kl_ref there)
{
    kl_graph *h = kl_graph_new(g->arena, g->dims, "product");
    if (!h)
        return NULL;
    pair a = {input_like(h, g, c.re, 0), input_like(h, g, c.im, 0)};
    kl_ref first = kl_graph_input(h, NULL, KL_BOOL, 0, NULL);
    pair b = {input_like(h, g, x.re, 1), input_like(h, g, x.im, 1)};
    kl_ref ok = there == KL_NONE ? KL_NONE : input_like(h, g, there, 1);
    pair p = kl_pair_mul(h, a, b);
    if (ok != KL_NONE)
        p = choose(h, ok, p, a);
    const kl_node *n = p.re == KL_NONE ? NULL : kl_graph_at(h, p.re);
    if (!n)
        return NULL;
    p = choose(h, kl_g_expand(h, first, n->rank, kl_graph_shape(h, p.re)), b, p);
    kl_ref outs[] = {p.re, p.im, kl_g_const_int(h, KL_BOOL, 0), p.re, p.im};
    for (size_t i = 0; i < KL_COUNT(outs); i++)
        if (kl_graph_output(h, outs[i], NULL) != KL_OK)
            return NULL;
    return h;
}

/* Products along axis 0 of x, one after the other, where `there` (KL_NONE: all) is true:
 * the last one, or (stacked) each. */
static pair multiply_rows(kl_graph *g, pair x, kl_ref there, bool stacked)
{
    const pair none = {KL_NONE, KL_NONE};
    kl_type t;
    if (x.re == KL_NONE || x.im == KL_NONE)
        return none;
    kl_graph_type(g, x.re, &t);
    kl_ref zero = kl_g_expand(g, kl_g_const(g, t.dtype, 0), t.rank - 1, t.shape + 1);
    pair c = {zero, zero};
    kl_graph *h = zero == KL_NONE ? NULL : product_step(g, c, x, there);
    int64_t attr[] = {3, h ? (int64_t)kl_graph_body(g, h) : -1};
    kl_ref src[] = {zero, zero, kl_g_const_int(g, KL_BOOL, 1), x.re, x.im, there};
    kl_ref s = h ? node(g, KL_OP_scan, src, there == KL_NONE ? 5 : 6, attr, 2) : KL_NONE;
    return s == KL_NONE ? none
                        : (pair){kl_g_pick(g, s, stacked ? 3 : 0),
                                 kl_g_pick(g, s, stacked ? 4 : 1)};
}

/* ---- reduce ---- */

enum { BLOCK = 4096, LANES = 32 };

/* An extent as a number. */
static kl_ref value_of(kl_graph *g, kl_dim n)
{
    int64_t v;
    if (kl_dim_is_const(g->dims, n, &v))
        return kl_g_const_int(g, KL_I64, v);
    kl_ref ones = kl_g_expand(g, kl_g_const_int(g, KL_I64, 1), 1, &n);
    return kl_g_reduce(g, KL_OP_add, ones, 1, false);
}

static kl_ref spread(kl_graph *g, kl_ref a, int rank, const kl_dim *shape)
{
    return kl_g_expand(g, a, rank, shape);
}

static kl_ref number_each(kl_graph *g, kl_dim n)
{
    return kl_g_iota(g, KL_I64, 1, &n, 0);
}

typedef struct line { /* x seen as [outer, n, inner] */
    kl_dim outer, n, inner, blocks, rows;
    kl_ref count; /* n as a number */
} line;

/* [n] of all: the elements with these numbers; numbers past the end read what is there,
 * which is 1. */
static pair elements(kl_graph *g, const line *l, pair x, kl_ref number)
{
    kl_dim one[] = {l->outer, 1, l->inner};
    kl_dtype dt = (kl_dtype)kl_graph_at(g, x.re)->dtype;
    kl_ref re[] = {x.re, spread(g, kl_g_const(g, dt, 1), 3, one)};
    kl_ref im[] = {x.im, spread(g, kl_g_const(g, dt, 0), 3, one)};
    const kl_dim *shape = kl_graph_shape(g, number);
    kl_ref at = elt(g, KL_OP_min, number, spread(g, l->count, 1, shape));
    return (pair){gather(g, kl_g_concat(g, re, 2, 1), at, 1, 0),
                  gather(g, kl_g_concat(g, im, 2, 1), at, 1, 0)};
}

/* A mask [blocks, lanes] for [outer, blocks, lanes, inner]. */
static kl_ref mask_for(kl_graph *g, const line *l, kl_ref mask, kl_dim lanes)
{
    kl_dim thin[] = {1, l->blocks, lanes, 1},
           full[] = {l->outer, l->blocks, lanes, l->inner};
    return spread(g, kl_g_reshape(g, mask, 4, thin), 4, full);
}

static pair part_of(kl_graph *g, const line *l, pair x, kl_dim from, kl_dim lanes)
{
    kl_dim start[] = {0, 0, from, 0}, extent[] = {l->outer, l->blocks, lanes, l->inner},
           step[] = {1, 1, 1, 1};
    return (pair){kl_g_slice(g, x.re, start, extent, step),
                  kl_g_slice(g, x.im, start, extent, step)};
}

/* [outer, blocks, 32, inner] by halves; there: [blocks, 32], which lanes have anything.
 */
static pair fold_lanes(kl_graph *g, const line *l, pair x, kl_ref there)
{
    for (kl_dim half = LANES / 2; half > 0; half /= 2) {
        kl_dim start[] = {0, half}, extent[] = {l->blocks, half}, step[] = {1, 1};
        kl_ref upper = kl_g_slice(g, there, start, extent, step);
        pair low = part_of(g, l, x, 0, half), high = part_of(g, l, x, half, half);
        pair both = kl_pair_mul(g, low, high);
        x = choose(g, mask_for(g, l, upper, half), both, low);
    }
    kl_dim shape[] = {l->outer, l->blocks, l->inner};
    return shaped(g, x, 3, shape);
}

/* [outer, blocks, inner] in adjacent pairs to [outer, inner]. */
static pair fold_blocks(kl_graph *g, const line *l, pair x)
{
    kl_dim n = l->blocks, two = 2;
    kl_ref one = kl_g_const_int(g, KL_I64, 1);
    for (int64_t min, max;; n = kl_dim_ceildiv(g->dims, n, two)) {
        kl_dim_range(g->dims, n, &min, &max);
        if (max <= 1)
            break;
        kl_dim m = kl_dim_ceildiv(g->dims, n, two), full[] = {l->outer, m, l->inner},
               thin[] = {1, m, 1};
        kl_ref i = number_each(g, m), ones = spread(g, one, 1, &m);
        kl_ref even = elt(g, KL_OP_add, i, i), odd = elt(g, KL_OP_add, even, ones);
        kl_ref last = spread(g, elt(g, KL_OP_sub, value_of(g, n), one), 1, &m);
        kl_ref there = elt(g, KL_OP_le, odd, last);
        kl_ref at = elt(g, KL_OP_min, odd, last);
        pair a = {gather(g, x.re, even, 1, 0), gather(g, x.im, even, 1, 0)};
        pair b = {gather(g, x.re, at, 1, 0), gather(g, x.im, at, 1, 0)};
        kl_ref mask = spread(g, kl_g_reshape(g, there, 3, thin), 3, full);
        x = choose(g, mask, kl_pair_mul(g, a, b), a);
    }
    kl_ref zero = kl_g_const_int(g, KL_I64, 0);
    return (pair){gather(g, x.re, zero, 1, 0), gather(g, x.im, zero, 1, 0)};
}

/* [outer, n, inner] to [outer, inner]. */
static pair reduce_line(kl_graph *g, line *l, pair x)
{
    kl_dims *d = g->dims;
    l->blocks = kl_dim_max(d, 1, kl_dim_ceildiv(d, l->n, BLOCK));
    l->rows =
        kl_dim_max(d, 1, kl_dim_min(d, kl_dim_ceildiv(d, l->n, LANES), BLOCK / LANES));
    l->count = value_of(g, l->n);
    kl_dim block = kl_dim_mul(d, l->rows, LANES), all = kl_dim_mul(d, l->blocks, block);
    kl_ref number = number_each(g, all);
    pair y = elements(g, l, x, number);
    kl_dim parts[] = {l->outer, l->blocks, l->rows, LANES, l->inner},
           flags[] = {l->blocks, l->rows, LANES},
           thin[] = {l->rows, 1, l->blocks, LANES, 1},
           full[] = {l->rows, l->outer, l->blocks, LANES, l->inner},
           first[] = {l->blocks, LANES}, start[] = {0, 0, 0},
           top[] = {l->blocks, 1, LANES}, step[] = {1, 1, 1};
    y = permuted(g, shaped(g, y, 5, parts), (const int[]){2, 0, 1, 3, 4});
    kl_ref there = elt(g, KL_OP_lt, number, spread(g, l->count, 1, &all));
    there = kl_g_reshape(g, there, 3, flags);
    kl_ref rows = kl_g_permute(g, there, (const int[]){1, 0, 2});
    rows = spread(g, kl_g_reshape(g, rows, 5, thin), 5, full);
    kl_ref lanes = kl_g_reshape(g, kl_g_slice(g, there, start, top, step), 2, first);
    return fold_blocks(g, l, fold_lanes(g, l, multiply_rows(g, y, rows, false), lanes));
}

pair kl_complex_reduce(kl_graph *g, pair x, uint64_t mask)
{
    while (mask && x.re != KL_NONE && x.im != KL_NONE) {
        kl_dim shape[KL_MAX_RANK];
        int rank = kl_graph_at(g, x.re)->rank, last = 63 - __builtin_clzll(mask),
            first = last;
        while (first > 0 && mask >> (first - 1) & 1)
            first--;
        memcpy(shape, kl_graph_shape(g, x.re), (size_t)rank * sizeof *shape);
        line l = {.outer = product(g, shape, 0, first),
                  .n = product(g, shape, first, last + 1),
                  .inner = product(g, shape, last + 1, rank)};
        kl_dim flat[] = {l.outer, l.n, l.inner};
        x = reduce_line(g, &l, shaped(g, x, 3, flat));
        memmove(shape + first, shape + last + 1,
                (size_t)(rank - last - 1) * sizeof *shape);
        x = shaped(g, x, rank - (last - first + 1), shape);
        mask &= ((uint64_t)1 << first) - 1;
    }
    return x;
}

/* ---- prefix, scatter ---- */

/* perm that brings axes from..to (to excluded) before all others; back: its inverse. */
static void to_front(int rank, int from, int to, int *perm, int *back)
{
    int n = 0;
    for (int i = from; i < to; i++)
        perm[n++] = i;
    for (int i = 0; i < rank; i++)
        if (i < from || i >= to)
            perm[n++] = i;
    for (int i = 0; i < rank; i++)
        back[perm[i]] = i;
}

pair kl_complex_prefix(kl_graph *g, pair x, int axis)
{
    int perm[KL_MAX_RANK], back[KL_MAX_RANK];
    to_front(kl_graph_at(g, x.re)->rank, axis, axis + 1, perm, back);
    return permuted(g, multiply_rows(g, permuted(g, x, perm), KL_NONE, true), back);
}

/* (a, index [batch], c [batch, pre, post]): a with c multiplied in at the index. */
static kl_graph *scatter_step(kl_graph *g, pair a, kl_ref index, pair c, int axis,
                              int batch)
{
    kl_graph *h = kl_graph_new(g->arena, g->dims, "scatter_product");
    if (!h)
        return NULL;
    pair b = {input_like(h, g, a.re, 0), input_like(h, g, a.im, 0)};
    kl_ref i = input_like(h, g, index, 1);
    pair v = {input_like(h, g, c.re, 1), input_like(h, g, c.im, 1)};
    if (i == KL_NONE || v.im == KL_NONE)
        return NULL;
    kl_dim at[KL_MAX_RANK], one[KL_MAX_RANK];
    int rank = kl_graph_at(h, b.re)->rank;
    memcpy(at, kl_graph_shape(h, i), (size_t)batch * sizeof *at);
    at[batch] = 1;
    memcpy(one, kl_graph_shape(h, b.re), (size_t)rank * sizeof *one);
    one[axis] = 1;
    i = kl_g_reshape(h, i, batch + 1, at);
    pair old = {gather(h, b.re, i, axis, batch), gather(h, b.im, i, axis, batch)};
    pair y = kl_pair_mul(h, old, shaped(h, v, rank, one));
    int64_t attr[] = {KL_SET, axis, batch};
    kl_ref re = node(h, KL_OP_scatter, (kl_ref[]){b.re, i, y.re}, 3, attr, 3);
    kl_ref im = node(h, KL_OP_scatter, (kl_ref[]){b.im, i, y.im}, 3, attr, 3);
    return kl_graph_output(h, re, NULL) == KL_OK &&
                   kl_graph_output(h, im, NULL) == KL_OK &&
                   kl_graph_output(h, i, NULL) == KL_OK
               ? h
               : NULL;
}

pair kl_complex_scatter(kl_graph *g, pair a, kl_ref index, pair c, int axis, int batch)
{
    int perm[KL_MAX_RANK], back[KL_MAX_RANK], rank = kl_graph_at(g, c.re)->rank,
                                              nj = kl_graph_at(g, index)->rank - batch;
    kl_dim shape[KL_MAX_RANK];
    to_front(rank, axis, axis + nj, perm, back);
    c = permuted(g, c, perm);
    memcpy(shape, kl_graph_shape(g, c.re), (size_t)rank * sizeof *shape);
    kl_dim n = product(g, shape, 0, nj);
    memmove(shape + 1, shape + nj, (size_t)(rank - nj) * sizeof *shape);
    shape[0] = n;
    c = shaped(g, c, rank - nj + 1, shape);
    to_front(batch + nj, batch, batch + nj, perm, back);
    index = kl_g_permute(g, index, perm);
    memcpy(shape + 1, kl_graph_shape(g, index) + nj, (size_t)batch * sizeof *shape);
    index = kl_g_reshape(g, index, batch + 1, shape);
    kl_graph *h = index == KL_NONE || c.im == KL_NONE
                      ? NULL
                      : scatter_step(g, a, index, c, axis, batch);
    int64_t attr[] = {2, h ? (int64_t)kl_graph_body(g, h) : -1};
    kl_ref src[] = {a.re, a.im, index, c.re, c.im};
    kl_ref s = h ? node(g, KL_OP_scan, src, 5, attr, 2) : KL_NONE;
    return s == KL_NONE ? (pair){KL_NONE, KL_NONE}
                        : (pair){kl_g_pick(g, s, 0), kl_g_pick(g, s, 1)};
}
