/* stride.c: what is stepped over lies together, windows first:
 *
 *   window x (axis 1 size 3 stride 2)   ->   permute (reshape x [8, 10, 2]) axes (0, 2,
 * 1) window (axis 2 size 2 stride 1): taps a, of each of 2 phases b; tap w is (w div 2, w
 * mod 2)
 *
 * A large contraction packs its windows by vectors where neighbours lie side by side, and
 * element by element where they do not: rows of one phase each are made once (roots.c
 * keeps them), and every tap reads along one of them. On a GPU lanes load as they like.
 *
 * And what pairs are computed from, y[i, j] = sum over k of f(a[i, k], b[j, k]):
 *
 *   expand b [1, J, K]   ->   expand (permute (permute b [1, K, J]))
 *
 * The sum is short, so vectors lie along j: b is turned once (roots.c keeps it), where
 * each of its elements would be gathered for every i. */
#include "passes/derive.h"

enum { MOST_PHASES = 4, READ_OFTEN = 2, PAIRED_OFTEN = 8, SHORT_SUM = 128 };
enum { STEPPED = 1, PAIRED = 2 }; /* marks of the pass: windows, one side of pairs */

typedef struct strided {
    int64_t rank, entry,
        count; /* of the source; which of the windows is on its last axis */
    int64_t size, stride, out, length;
} strided;

static bool known_numel(const kl_graph *g, kl_ref r, int64_t *n)
{
    return kl_dim_is_const(g->dims, kl_graph_numel(g, r), n);
}

/* What window or fold r does along the last axis of rows, which lie in windows beside
 * each other in the other of its source and result. false: it leaves that axis alone. */
static bool read_last(const kl_graph *g, kl_ref r, kl_ref rows, kl_ref windows,
                      strided *s)
{
    const int64_t *at = kl_graph_attr(g, r), *w = NULL;
    *s = (strided){.rank = kl_graph_at(g, rows)->rank, .entry = -1, .count = at[0]};
    for (int64_t i = 0; i < at[0]; i++)
        if (at[1 + 4 * i] == s->rank - 1)
            s->entry = i, w = at + 1 + 4 * i;
    if (!w || s->rank + 1 + s->count >= KL_MAX_RANK)
        return false;
    s->size = w[1], s->stride = w[2];
    s->out = kl_graph_shape(g, windows)[s->rank - 1];
    s->length = kl_graph_shape(g, rows)[s->rank - 1]; /* below 0: not known */
    return w[3] == 1 && s->stride > 1 && s->stride <= MOST_PHASES && s->length > 0;
}

/* Does window r step along rows, and read much of them more than once? */
static bool steps(const kl_graph *g, kl_ref r, strided *s)
{
    kl_ref x = kl_graph_src(g, r, 0);
    int64_t all, once;
    return read_last(g, r, x, r, s) && s->size > 1 && s->out > 1 &&
           known_numel(g, r, &all) && known_numel(g, x, &once) &&
           all >= READ_OFTEN * once;
}

/* Rows of x cut to n elements, or with zeros to as many. */
static kl_ref rows_of(kl_graph *g, kl_ref x, const strided *s, int64_t n)
{
    kl_dim none[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, one[KL_MAX_RANK],
           shape[KL_MAX_RANK];
    kl_type t;
    kl_graph_type(g, x, &t);
    for (int i = 0; i < s->rank; i++)
        shape[i] = t.shape[i], one[i] = 1;
    shape[s->rank - 1] = n;
    hi[s->rank - 1] = n - s->length;
    return n == s->length  ? x
           : n < s->length ? kl_g_slice(g, x, none, shape, one)
                           : kl_g_pad(g, x, kl_g_const(g, t.dtype, 0), none, hi, none);
}

/* x [.., L] as rows of one phase each: [.., stride, L / stride]. */
static kl_ref in_phases(kl_graph *g, kl_ref x, const strided *s, int64_t n)
{
    kl_dim shape[KL_MAX_RANK];
    int perm[KL_MAX_RANK], last = (int)s->rank;
    for (int i = 0; i < last; i++)
        shape[i] = kl_graph_shape(g, x)[i], perm[i] = i;
    x = rows_of(g, x, s, n * s->stride);
    shape[last - 1] = n, shape[last] = s->stride;
    perm[last - 1] = last, perm[last] = last - 1;
    return kl_g_permute(g, kl_g_reshape(g, x, last + 1, shape), perm);
}

/* [.., stride, out, windows..], a of them along the phases' rows, as the window was:
 * [.., out, windows..]. */
static kl_ref as_before(kl_graph *g, kl_ref y, const strided *s, int64_t a)
{
    int perm[KL_MAX_RANK], n = 0, last = (int)s->rank;
    kl_dim shape[KL_MAX_RANK], none[KL_MAX_RANK] = {0}, one[KL_MAX_RANK];
    for (int i = 0; i < last - 1; i++)
        perm[n++] = i;
    for (int i = last; i <= last + s->count; i++) {
        perm[n++] = i;
        if (i == last + 1 + s->entry)
            perm[n++] = last - 1;
    }
    y = kl_g_permute(g, y, perm);
    if (y == KL_NONE)
        return y;
    for (int i = 0, from = 0; i < last + s->count; i++, from++) {
        bool taps = i == last + s->entry;
        shape[i] = taps ? a * s->stride : kl_graph_shape(g, y)[from];
        from += taps;
        one[i] = 1;
    }
    y = kl_g_reshape(g, y, last + (int)s->count, shape);
    shape[last + s->entry] = s->size;
    return kl_g_slice(g, y, none, shape, one);
}

/* ---- folds ---- */

static bool fold_steps(const kl_graph *g, kl_ref r, strided *s)
{
    kl_ref u = kl_graph_src(g, r, 0);
    int64_t n;
    return read_last(g, r, r, u, s) && s->size > s->stride && s->out > 0 &&
           known_numel(g, r, &n) && known_numel(g, u, &n);
}

/* [.., out, windows..] as [.., stride, out, windows..]: the taps of each phase. A tap
 * more than there are adds what changes no sum. */
static kl_ref by_phases(kl_graph *g, kl_ref u, const strided *s, int64_t a)
{
    kl_dim none[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, shape[KL_MAX_RANK];
    int perm[KL_MAX_RANK], n = 0, taps = (int)(s->rank + s->entry),
                           rank = (int)(s->rank + s->count);
    kl_dtype dt = (kl_dtype)kl_graph_at(g, u)->dtype;
    hi[taps] = a * s->stride - s->size;
    if (hi[taps])
        u = kl_g_pad(g, u, kl_g_const(g, dt, -0.0), none, hi, none);
    if (u == KL_NONE)
        return u;
    for (int i = 0; i < rank; i++) {
        shape[n++] = i == taps ? a : kl_graph_shape(g, u)[i];
        if (i == taps)
            shape[n++] = s->stride;
    }
    u = kl_g_reshape(g, u, n, shape);
    n = 0;
    for (int i = 0; i < rank + 1; i++) {
        if (i == s->rank - 1)
            perm[n++] = taps + 1;
        if (i != taps + 1)
            perm[n++] = i;
    }
    return kl_g_permute(g, u, perm);
}

/* A fold as a fold of each phase, and these side by side. */
static kl_ref fold_phases(kl_graph *to, const kl_graph *from, kl_ref r, kl_ref u,
                          const strided *s)
{
    const kl_node *n = kl_graph_at(from, r);
    int64_t attr[1 + 4 * KL_MAX_RANK], a = (s->size + s->stride - 1) / s->stride,
                                       rows = s->out + a - 1;
    int perm[KL_MAX_RANK], last = (int)s->rank;
    kl_type t;
    kl_graph_type(from, r, &t);
    memcpy(attr, kl_graph_attr(from, r), n->nattr * sizeof *attr);
    int64_t *w = attr + 1 + 4 * s->entry;
    w[0] = last, w[1] = a, w[2] = 1;
    for (int i = 0; i < last; i++)
        perm[i] = i;
    perm[last - 1] = last, perm[last] = last - 1;
    t.rank = last + 1;
    t.shape[last - 1] = s->stride, t.shape[last] = rows;
    u = by_phases(to, u, s, a);
    kl_ref y = kl_node_of(to, KL_OP_fold, &t, &u, 1, attr, n->nattr);
    t.shape[last - 1] = rows * s->stride;
    y = kl_g_reshape(to, kl_g_permute(to, y, perm), last, t.shape);
    strided whole = *s;
    whole.length = rows * s->stride;
    return rows_of(to, y, &whole, s->length);
}

/* ---- pairs ---- */

static int64_t extent(const kl_graph *g, kl_ref r, int from_last)
{
    int64_t v = -1;
    int rank = kl_graph_at(g, r)->rank;
    return from_last < rank &&
                   kl_dim_is_const(g->dims, kl_graph_shape(g, r)[rank - 1 - from_last],
                                   &v)
               ? v
               : -1;
}

static bool sums_rows(const kl_graph *g, kl_ref r)
{
    kl_ref x = kl_graph_src(g, r, 0);
    int rank = kl_graph_at(g, x)->rank;
    return rank >= 2 && (uint64_t)kl_graph_attr(g, r)[1] == UINT64_C(1) << (rank - 1) &&
           extent(g, x, 0) > 1 && extent(g, x, 0) <= SHORT_SUM &&
           extent(g, x, 1) >= PAIRED_OFTEN;
}

/* Is expand r the side of pairs whose rows are the columns of the result, many times? */
static bool is_paired(const kl_graph *g, kl_ref r)
{
    kl_ref s = kl_graph_src(g, r, 0);
    int64_t all, once;
    return known_numel(g, r, &all) && known_numel(g, s, &once) &&
           extent(g, s, 0) == extent(g, r, 0) && extent(g, s, 1) == extent(g, r, 1) &&
           all >= PAIRED_OFTEN * once;
}

/* Marks them below sums of rows, as far as all is elementwise. */
static void mark_pairs(const kl_graph *g, uint8_t *is, bool *any)
{
    for (kl_ref r = g->count; r-- > 0;) {
        const kl_node *n = kl_graph_at(g, r);
        if (n->op == KL_OP_expand && is[r] && !is_paired(g, r))
            is[r] = 0;
        *any = *any || (n->op == KL_OP_expand && is[r]);
        if ((kl_is_elementwise((kl_op)n->op) && is[r]) ||
            (n->op == KL_OP_reduce && sums_rows(g, r)))
            for (uint32_t i = 0; i < n->nsrc; i++)
                is[kl_graph_src(g, r, i)] = PAIRED;
    }
}

static kl_ref swap_last(kl_graph *g, kl_ref x)
{
    int perm[KL_MAX_RANK], rank = x == KL_NONE ? 0 : kl_graph_at(g, x)->rank;
    for (int i = 0; i < rank; i++)
        perm[i] = i < rank - 2 ? i : 2 * rank - 3 - i;
    return x == KL_NONE ? x : kl_g_permute(g, x, perm);
}

/* ---- the pass ---- */

/* ctx: by node, what it is marked as. */
static kl_ref visit(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                    const kl_ref *src)
{
    const uint8_t *is = ctx;
    strided s;
    int64_t attr[1 + 4 * KL_MAX_RANK];
    if (kl_graph_at(from, r)->op == KL_OP_fold && fold_steps(from, r, &s))
        return fold_phases(to, from, r, src[0], &s);
    if (is[r] == PAIRED && kl_graph_at(from, r)->op == KL_OP_expand) {
        kl_ref x = swap_last(to, swap_last(to, src[0]));
        return x == KL_NONE ? x : kl_graph_copy_node(to, from, r, &x);
    }
    if (is[r] != STEPPED || !steps(from, r, &s))
        return kl_graph_copy_node(to, from, r, src);
    int64_t a = (s.size + s.stride - 1) / s.stride;
    memcpy(attr, kl_graph_attr(from, r), kl_graph_at(from, r)->nattr * sizeof *attr);
    int64_t *w = attr + 1 + 4 * s.entry;
    w[0] = s.rank, w[1] = a, w[2] = 1;
    kl_ref x = in_phases(to, src[0], &s, s.out + a - 1);
    x = kl_node_of(to, KL_OP_window, NULL, &x, 1, attr, kl_graph_at(from, r)->nattr);
    return as_before(to, x, &s, a);
}

/* Marks what the contraction reads through. */
static void mark_windows(const kl_graph *g, kl_ref r, uint8_t *is, bool *any)
{
    strided s;
    for (uint32_t i = 0; i < 2; i++) {
        kl_ref x = kl_graph_src(g, r, i);
        while (kl_ops[kl_graph_at(g, x)->op].kind == KL_KIND_MOVE &&
               kl_graph_at(g, x)->nsrc == 1) {
            if (kl_graph_at(g, x)->op == KL_OP_window && steps(g, x, &s))
                is[x] = STEPPED, *any = true;
            x = kl_graph_src(g, x, 0);
        }
    }
}

static kl_status lay_together(kl_unit *u, kl_graph **g)
{
    bool any = false;
    uint8_t *is = kl_arena_zeroed(u->arena, (size_t)(*g)->count + 1, sizeof *is);
    if (!is)
        return kl_fail(KL_ERR_OOM, "stride: no memory");
    strided s;
    mark_pairs(*g, is, &any);
    for (kl_ref r = 0; r < (*g)->count; r++)
        if (kl_graph_at(*g, r)->op == KL_OP_contract && kl_contract_in_order(*g, r) == 1)
            mark_windows(*g, r, is, &any);
        else if (kl_graph_at(*g, r)->op == KL_OP_fold)
            any = any || fold_steps(*g, r, &s);
    return any ? kl_graph_rewrite(g, visit, is) : KL_OK;
}

kl_status kl_pass_stride(kl_unit *u)
{
    bool host = u->target && u->target->kind == KL_TARGET_CPU;
    return host && !u->fuse_off ? kl_each_graph(u, lay_together) : KL_OK;
}
