/* index.c: movement becomes arithmetic on indices.
 *
 * kl_read asks for one element of a node and answers with a scalar expression:
 * elementwise nodes become operators, movement nodes change the index, and only what
 * `leaf` knows (inputs, materialised nodes, stages of the same kernel) is loaded.
 *
 *   %1 = permute %0 axes (1, 0)
 *   %2 = slice %1 start (0, 2) step (1, 1)          read(%3, [i, j])
 *   %3 = exp %2                               ->      = exp(load x[(j+2)*64 + i])
 *
 * Reads are memoised by (node, indices), so a shared value is one expression. An index
 * that comes from data (gather) adds a check, and its load is predicated: out of range
 * reads nothing. */
#include "passes/passes.h"

#include <stdlib.h>

static kl_x dim_x(kl_reader *rd, kl_dim d)
{
    return kl_x_dim(rd->k->x, d);
}

static kl_x sub_x(kl_exprs *x, kl_x a, kl_x b)
{
    return kl_x_op(x, KL_OP_sub, a, b, KL_NONE);
}

/* ---- memory of what was read ---- */

static uint32_t hash_read(kl_ref r, const kl_x *idx, int n, kl_x pred)
{
    uint32_t h = r * 2654435761u ^ pred * 40503u;
    for (int i = 0; i < n; i++)
        h = (h ^ idx[i]) * 16777619u;
    return h ^ h >> 15;
}

static kl_memo *memo_find(kl_reader *rd, kl_ref r, const kl_x *idx, int n, kl_x pred)
{
    uint32_t hash = hash_read(r, idx, n, pred);
    kl_memo *m = rd->cap_memo ? rd->memo[hash % rd->cap_memo] : NULL;
    for (; m; m = m->next)
        if (m->hash == hash && m->r == r && m->pred == pred &&
            memcmp(m->idx, idx, (size_t)n * sizeof *idx) == 0)
            return m;
    return NULL;
}

static bool memo_grow(kl_reader *rd)
{
    uint32_t cap = rd->cap_memo ? 4 * rd->cap_memo : 64;
    kl_memo **to = kl_arena_zeroed(rd->k->arena, cap, sizeof *to);
    for (uint32_t i = 0; to && i < rd->cap_memo; i++)
        for (kl_memo *m = rd->memo[i], *next; m; m = next) {
            next = m->next;
            m->next = to[m->hash % cap];
            to[m->hash % cap] = m;
        }
    if (to)
        rd->memo = to, rd->cap_memo = cap;
    return to;
}

static void memo_put(kl_reader *rd, kl_ref r, const kl_x *idx, int n, kl_x pred,
                     kl_x value)
{
    if (rd->nmemo == rd->cap_memo && !memo_grow(rd))
        return;
    kl_memo *m = kl_arena_alloc(rd->k->arena, sizeof *m);
    if (!m)
        return;
    *m = (kl_memo){
        .r = r, .pred = pred, .value = value, .hash = hash_read(r, idx, n, pred)};
    memcpy(m->idx, idx, (size_t)n * sizeof *idx);
    uint32_t slot = m->hash % rd->cap_memo;
    m->next = rd->memo[slot];
    rd->memo[slot] = m;
    rd->nmemo++;
}

/* ---- flat indices ---- */

kl_x kl_flatten(kl_exprs *x, int rank, const kl_dim *shape, const kl_x *idx)
{
    kl_x flat = kl_x_int(x, 0);
    kl_dim stride = 1;
    for (int i = rank; i-- > 0;) {
        flat = kl_x_add(x, kl_x_mul(x, idx[i], kl_x_dim(x, stride)), flat);
        stride = kl_dim_mul(x->dims, stride, shape[i]);
    }
    return flat;
}

void kl_unflatten(kl_exprs *x, int rank, const kl_dim *shape, kl_x flat, kl_x *idx)
{
    kl_dim stride = 1;
    for (int i = rank; i-- > 0;) {
        kl_x q = kl_x_divf(x, flat, kl_x_dim(x, stride));
        bool whole = true; /* the outermost axis that is not 1 needs no modulo */
        for (int j = 0; j < i; j++)
            whole = whole && (shape[j] == 1 || KL_PLANTED(unflatten));
        if (shape[i] == 1)
            idx[i] = kl_x_int(x, 0);
        else
            idx[i] = whole ? q : kl_x_mod(x, q, kl_x_dim(x, shape[i]));
        stride = kl_dim_mul(x->dims, stride, shape[i]);
    }
}

/* Element number flat of node r. */
static kl_x read_flat(kl_reader *rd, kl_ref r, kl_x flat, kl_x pred)
{
    while (kl_graph_at(rd->g, r)->op == KL_OP_reshape && !rd->is_leaf(rd, r))
        r = kl_graph_src(rd->g, r, 0);
    if (rd->is_leaf(rd, r) && rd->leaf_flat)
        return rd->leaf_flat(rd, r, flat, pred);
    kl_x idx[KL_MAX_RANK];
    kl_unflatten(rd->k->x, kl_graph_at(rd->g, r)->rank, kl_graph_shape(rd->g, r), flat,
                 idx);
    return kl_read(rd, r, idx, pred);
}

/* reshape: runs of axes with equal products keep to themselves, so that [B,64] -> [B,8,8]
 * costs one small flatten and no division by B. */
static kl_x read_reshape(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const kl_graph *g = rd->g;
    kl_ref s = kl_graph_src(g, r, 0);
    const kl_dim *to = kl_graph_shape(g, r), *from = kl_graph_shape(g, s);
    int nt = kl_graph_at(g, r)->rank, nf = kl_graph_at(g, s)->rank, t = 0, f = 0;
    kl_x out[KL_MAX_RANK];
    while (f < nf || t < nt) {
        int t1 = t < nt ? t + 1 : t, f1 = f < nf ? f + 1 : f;
        kl_dim pt = t < nt ? to[t] : 1, pf = f < nf ? from[f] : 1;
        while (pt != pf && (t1 < nt || f1 < nf)) {
            int64_t ct, cf;
            bool known =
                kl_dim_is_const(x->dims, pt, &ct) && kl_dim_is_const(x->dims, pf, &cf);
            if (f1 >= nf || (t1 < nt && (known ? ct < cf : t1 - t <= f1 - f)))
                pt = kl_dim_mul(x->dims, pt, to[t1++]);
            else
                pf = kl_dim_mul(x->dims, pf, from[f1++]);
        }
        if (pt != pf) { /* not provable group by group: flatten the whole */
            return read_flat(rd, s, kl_flatten(x, nt, to, idx), pred);
        }
        kl_x flat = kl_flatten(x, t1 - t, to + t, idx + t);
        kl_unflatten(x, f1 - f, from + f, flat, out + f);
        t = t1, f = f1;
    }
    return kl_read(rd, s, out, pred);
}

/* ---- one function a movement row ---- */

static kl_x read_permute(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_x out[KL_MAX_RANK];
    const int64_t *perm = kl_graph_attr(rd->g, r);
    for (int i = 0; i < kl_graph_at(rd->g, r)->rank; i++)
        if (KL_PLANTED(swapped_index))
            out[i] = idx[perm[i]];
        else
            out[perm[i]] = idx[i];
    return kl_read(rd, kl_graph_src(rd->g, r, 0), out, pred);
}

static kl_x read_expand(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_ref s = kl_graph_src(rd->g, r, 0);
    int rank = kl_graph_at(rd->g, r)->rank, n = kl_graph_at(rd->g, s)->rank;
    const kl_dim *shape = kl_graph_shape(rd->g, s);
    kl_x out[KL_MAX_RANK];
    for (int i = 0; i < n; i++)
        out[i] = shape[i] == 1 ? kl_x_int(rd->k->x, 0) : idx[rank - n + i];
    return kl_read(rd, s, out, pred);
}

static kl_x read_slice(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    int n = kl_graph_at(rd->g, r)->rank;
    const int64_t *start = kl_graph_attr(rd->g, r), *step = start + n;
    kl_x out[KL_MAX_RANK];
    for (int i = 0; i < n; i++) {
        kl_x steps = kl_x_mul(x, idx[i], dim_x(rd, step[i]));
        out[i] = kl_x_add(x, dim_x(rd, start[i]), steps);
    }
    return kl_read(rd, kl_graph_src(rd->g, r, 0), out, pred);
}

static kl_x read_flip(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    uint64_t axes = (uint64_t)kl_graph_attr(rd->g, r)[0];
    kl_x out[KL_MAX_RANK];
    for (int i = 0; i < kl_graph_at(rd->g, r)->rank; i++) {
        kl_dim last =
            kl_dim_sub(x->dims, kl_graph_shape(rd->g, r)[i], !KL_PLANTED(flip_end));
        out[i] = axes >> i & 1 ? sub_x(x, dim_x(rd, last), idx[i]) : idx[i];
    }
    return kl_read(rd, kl_graph_src(rd->g, r, 0), out, pred);
}

/* The value inside, the fill elsewhere; outside nothing is loaded. */
static kl_x read_pad(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    kl_ref s = kl_graph_src(rd->g, r, 0);
    int n = kl_graph_at(rd->g, r)->rank;
    const int64_t *lo = kl_graph_attr(rd->g, r), *interior = lo + 2 * n;
    kl_x out[KL_MAX_RANK], in = KL_NONE;
    for (int i = 0; i < n; i++) {
        kl_x p = sub_x(x, idx[i], dim_x(rd, lo[i]));
        if (!KL_PLANTED(pad_low))
            in = kl_x_and(x, in, kl_x_op(x, KL_OP_le, kl_x_int(x, 0), p, KL_NONE));
        if (interior[i] != 0) {
            kl_x step = dim_x(rd, kl_dim_add(x->dims, interior[i], 1));
            kl_x zero = kl_x_int(x, 0), between = kl_x_mod(x, p, step);
            in = kl_x_and(x, in, kl_x_op(x, KL_OP_eq, between, zero, KL_NONE));
            p = kl_x_divf(x, p, step);
        }
        in = kl_x_and(x, in, kl_x_lt(x, p, dim_x(rd, kl_graph_shape(rd->g, s)[i])));
        out[i] = p;
    }
    kl_x fill = kl_read(rd, kl_graph_src(rd->g, r, 1), NULL, pred);
    kl_x inner = kl_read(rd, s, out, kl_x_and(x, pred, in));
    return in == KL_NONE ? inner : kl_x_op(x, KL_OP_where, in, inner, fill);
}

static kl_x read_concat(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const kl_node *n = kl_graph_at(rd->g, r);
    int axis = (int)kl_graph_attr(rd->g, r)[0];
    kl_dim end = kl_graph_shape(rd->g, r)[axis];
    kl_x y = KL_NONE, out[KL_MAX_RANK];
    memcpy(out, idx, n->rank * sizeof *out);
    for (uint32_t i = n->nsrc; i-- > 0;) {
        kl_ref s = kl_graph_src(rd->g, r, i);
        kl_dim begin = kl_dim_sub(x->dims, end, kl_graph_shape(rd->g, s)[axis]);
        kl_x before = kl_x_lt(x, idx[axis], dim_x(rd, end)),
             after = kl_x_op(x, KL_OP_le, dim_x(rd, begin), idx[axis], KL_NONE),
             here = kl_x_and(x, after, before);
        out[axis] = sub_x(x, idx[axis], dim_x(rd, begin));
        kl_x v = kl_read(rd, s, out, kl_x_and(x, pred, here));
        y = y == KL_NONE
                ? v
                : kl_x_op(x, KL_OP_where, kl_x_lt(x, idx[axis], dim_x(rd, end)), v, y);
        end = begin;
    }
    return y;
}

static kl_x read_window(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const int64_t *at = kl_graph_attr(rd->g, r);
    kl_ref s = kl_graph_src(rd->g, r, 0);
    int m = (int)at[0], n = kl_graph_at(rd->g, s)->rank;
    kl_x out[KL_MAX_RANK];
    memcpy(out, idx, (size_t)n * sizeof *out);
    for (int j = 0; j < m; j++) {
        const int64_t *w = at + 1 + 4 * j; /* axis size stride dilation */
        kl_x inside = kl_x_mul(x, idx[n + j], dim_x(rd, w[3]));
        kl_x stride = dim_x(rd, w[KL_PLANTED(window_step) ? 3 : 2]);
        out[w[0]] = kl_x_add(x, kl_x_mul(x, idx[w[0]], stride), inside);
    }
    return kl_read(rd, s, out, pred);
}

static kl_x read_strided(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const int64_t *at = kl_graph_attr(rd->g, r);
    kl_x flat = dim_x(rd, at[0]);
    for (int i = 0; i < kl_graph_at(rd->g, r)->rank; i++)
        flat = kl_x_add(x, flat, kl_x_mul(x, idx[i], dim_x(rd, at[1 + i])));
    return read_flat(rd, kl_graph_src(rd->g, r, 0), flat, pred);
}

/* update: the axes of b from the widest stride down peel the flat position; what is left
 * over must be nothing, else the position is a's own. */
static kl_x read_update(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const kl_graph *g = rd->g;
    const int64_t *at = kl_graph_attr(g, r);
    kl_ref b = kl_graph_src(g, r, 1);
    int n = kl_graph_at(g, b)->rank, order[KL_MAX_RANK];
    const kl_dim *shape = kl_graph_shape(g, b);
    int64_t offset = 0, stride[KL_MAX_RANK];
    if (!kl_dim_is_const(x->dims, at[0], &offset))
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "update: its offset must be a number, not an extent of symbols"),
               KL_NONE;
    for (int i = 0; i < n; i++) {
        int64_t e;
        if (!kl_dim_is_const(x->dims, at[1 + i], &stride[i]) ||
            !kl_dim_is_const(x->dims, shape[i], &e))
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "update: its strides must be numbers, not extents of symbols"),
                   KL_NONE;
        if (stride[i] < 0)
            offset += stride[i] * (e - 1);
        order[i] = i;
    }
    for (int i = 1; i < n; i++)
        for (int j = i; j > 0 && llabs(stride[order[j]]) > llabs(stride[order[j - 1]]);
             j--) {
            int t = order[j];
            order[j] = order[j - 1], order[j - 1] = t;
        }
    kl_x out[KL_MAX_RANK], in = KL_NONE;
    kl_x rest = kl_flatten(x, kl_graph_at(g, r)->rank, kl_graph_shape(g, r), idx);
    rest = sub_x(x, rest, kl_x_int(x, offset));
    in = kl_x_and(x, in, kl_x_op(x, KL_OP_le, kl_x_int(x, 0), rest, KL_NONE));
    for (int i = 0; i < n; i++) {
        int a = order[i];
        out[a] = kl_x_int(x, 0);
        if (shape[a] == 1)
            continue;
        kl_x step = kl_x_int(x, llabs(stride[a])), q = kl_x_divf(x, rest, step);
        rest = kl_x_mod(x, rest, step);
        in = kl_x_and(x, in, kl_x_lt(x, q, kl_x_dim(x, shape[a])));
        out[a] = stride[a] > 0
                     ? q
                     : sub_x(x, kl_x_dim(x, kl_dim_sub(x->dims, shape[a], 1)), q);
    }
    in = kl_x_and(x, in, kl_x_op(x, KL_OP_eq, rest, kl_x_int(x, 0), KL_NONE));
    kl_x vb = kl_read(rd, b, out, kl_x_and(x, pred, in));
    if (in == KL_NONE)
        return vb;
    return kl_x_op(x, KL_OP_where, in, vb, kl_read(rd, kl_graph_src(g, r, 0), idx, pred));
}

kl_x kl_read_index(kl_reader *rd, kl_ref index, const kl_x *idx, kl_dim extent,
                   uint32_t node, kl_x pred, kl_x *in_range)
{
    kl_exprs *x = rd->k->x;
    kl_x j = kl_x_cast(x, kl_read(rd, index, idx, pred), KL_I64);
    kl_x below = kl_x_lt(x, j, kl_x_dim(x, extent)),
         ok = kl_x_and(x, kl_x_op(x, KL_OP_le, kl_x_int(x, 0), j, KL_NONE), below);
    *in_range = ok;
    kl_x fine = ok;
    if (pred != KL_NONE && ok != KL_NONE) /* only indices that are used are checked */
        fine = kl_x_op(x, KL_OP_or, ok, kl_x_op(x, KL_OP_not, pred, KL_NONE, KL_NONE),
                       KL_NONE);
    if (fine == KL_NONE || KL_PLANTED(gather_range))
        return j;
    for (int i = 0; i < rd->nchecks; i++)
        if (rd->checks[i].ok == fine)
            return j;
    if (rd->nchecks == KL_MAX_CHECKS) {
        kl_fail(KL_ERR_UNSUPPORTED, "more than %d data indices in one kernel",
                KL_MAX_CHECKS);
        return KL_NONE;
    }
    rd->checks[rd->nchecks++] =
        (kl_check){.ok = fine, .value = j, .kind = KL_FAULT_INDEX, .node = node};
    return j;
}

static kl_x read_gather(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const kl_graph *g = rd->g;
    kl_ref a = kl_graph_src(g, r, 0), b = kl_graph_src(g, r, 1);
    int axis = (int)kl_graph_attr(g, r)[0], batch = (int)kl_graph_attr(g, r)[1];
    int na = kl_graph_at(g, a)->rank, nj = kl_graph_at(g, b)->rank - batch;
    kl_x bi[KL_MAX_RANK], ai[KL_MAX_RANK], ok;
    memcpy(bi, idx, (size_t)batch * sizeof *bi);
    memcpy(bi + batch, idx + axis, (size_t)nj * sizeof *bi);
    memcpy(ai, idx, (size_t)axis * sizeof *ai);
    ai[axis] = kl_read_index(rd, b, bi, kl_graph_shape(g, a)[axis], r, pred, &ok);
    memcpy(ai + axis + 1, idx + axis + nj, (size_t)(na - axis - 1) * sizeof *ai);
    if (ai[axis] == KL_NONE)
        return KL_NONE;
    return kl_read(rd, a, ai, kl_x_and(x, pred, ok));
}

static kl_x read_const(kl_reader *rd, kl_ref r, const kl_x *idx)
{
    kl_exprs *x = rd->k->x;
    const kl_graph *g = rd->g;
    const kl_node *n = kl_graph_at(g, r);
    const char *bytes = (const char *)kl_graph_attr(g, r);
    int64_t count = kl_graph_numel(g, r), size = kl_dtypes[n->dtype].size;
    kl_x flat = kl_flatten(x, n->rank, kl_graph_shape(g, r), idx), y = KL_NONE;
    for (int64_t i = count; i-- > 0;) {
        kl_scalar s = {.bits = 0};
        memcpy(&s, bytes + i * size, (size_t)size);
        kl_x v = kl_x_const(x, n->dtype, s);
        y = y == KL_NONE
                ? v
                : kl_x_op(x, KL_OP_where,
                          kl_x_op(x, KL_OP_eq, flat, kl_x_int(x, i), KL_NONE), v, y);
    }
    return y == KL_NONE ? kl_x_const(x, n->dtype, (kl_scalar){.bits = 0}) : y;
}

static kl_x read_elt(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    kl_exprs *x = rd->k->x;
    const kl_node *n = kl_graph_at(rd->g, r);
    kl_x s[3] = {KL_NONE, KL_NONE, KL_NONE};
    for (uint32_t i = 0; i < n->nsrc; i++) {
        s[i] = kl_read(rd, kl_graph_src(rd->g, r, i), idx, pred);
        if (s[i] == KL_NONE)
            return KL_NONE;
    }
    if (n->op == KL_OP_cast)
        return kl_x_cast(x, s[0], n->dtype);
    if (n->op == KL_OP_bitcast)
        return kl_x_bitcast(x, s[0], n->dtype);
    return kl_x_op(x, (kl_op)n->op, s[0], s[1], s[2]);
}

static kl_x read_node(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    const kl_node *n = kl_graph_at(rd->g, r);
    switch (n->op) {
    case KL_OP_const:
        return read_const(rd, r, idx);
    case KL_OP_iota:
        return kl_x_cast(rd->k->x, idx[kl_graph_attr(rd->g, r)[0]], n->dtype);
    case KL_OP_reshape:
        return read_reshape(rd, r, idx, pred);
    case KL_OP_permute:
        return read_permute(rd, r, idx, pred);
    case KL_OP_expand:
        return read_expand(rd, r, idx, pred);
    case KL_OP_pad:
        return read_pad(rd, r, idx, pred);
    case KL_OP_slice:
        return read_slice(rd, r, idx, pred);
    case KL_OP_flip:
        return read_flip(rd, r, idx, pred);
    case KL_OP_concat:
        return read_concat(rd, r, idx, pred);
    case KL_OP_window:
        return read_window(rd, r, idx, pred);
    case KL_OP_strided:
        return read_strided(rd, r, idx, pred);
    case KL_OP_update:
        return read_update(rd, r, idx, pred);
    case KL_OP_gather:
        return read_gather(rd, r, idx, pred);
    default:
        break;
    }
    if (kl_is_elementwise((kl_op)n->op))
        return read_elt(rd, r, idx, pred);
    kl_fail(KL_ERR_INTERNAL, "read: %s is no index expression", kl_ops[n->op].name);
    return KL_NONE;
}

/* Recursion here is bounded by fusion's limit on the depth of a group, not by the
 * graph's. */
kl_x kl_read(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred)
{
    int n = kl_graph_at(rd->g, r)->rank;
    kl_memo *m = memo_find(rd, r, idx, n, pred);
    if (m)
        return m->value;
    kl_x v;
    if (!rd->is_leaf(rd, r))
        v = read_node(rd, r, idx, pred);
    else if (rd->leaf)
        v = rd->leaf(rd, r, idx, pred);
    else
        v = rd->leaf_flat(rd, r, kl_flatten(rd->k->x, n, kl_graph_shape(rd->g, r), idx),
                          pred);
    if (v != KL_NONE)
        memo_put(rd, r, idx, n, pred, v);
    return v;
}
