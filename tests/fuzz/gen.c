/* gen.c: a seed becomes a graph of at most a dozen operations.
 *
 * A few extents are drawn first, around what vectors, blocks and unrolling care for (0,
 * 1, multiples of 32 and 4096, one more, one less); shapes are made of them, so that
 * values meet. Then operations are tried, one kind after another; what inference refuses
 * is not there. An operand of a certain type is found (match) among the values, or made
 * by casting, expanding, or a new input. */
#include "gen.h"

bool gen_chance(gen *n, int percent)
{
    return below(&n->s, 100) < percent;
}

int64_t gen_extent(const gen *n, kl_dim d)
{
    return kl_dim_eval(n->g->dims, d, n->syms);
}

/* Elements, an extent of 0 counted as 1: what is empty must not hide what is huge. */
int64_t gen_numel(const gen *n, const kl_type *t)
{
    int64_t p = 1;
    for (int i = 0; i < t->rank; i++)
        if (kl_mul_overflow(p, KL_MAX(1, gen_extent(n, t->shape[i])), &p))
            return INT64_MAX;
    return p;
}

static bool is_empty(const gen *n, const kl_type *t)
{
    for (int i = 0; i < t->rank; i++)
        if (gen_extent(n, t->shape[i]) == 0)
            return true;
    return false;
}

kl_type gen_type_of(const gen *n, kl_ref r)
{
    kl_type t;
    kl_graph_type(n->g, r, &t);
    return t;
}

/* ---- values ---- */

kl_ref gen_keep(gen *n, kl_ref r, bool exact)
{
    for (int i = 0; i < n->count; i++)
        if (n->values[i] == r)
            return r;
    if (r == KL_NONE || n->count == MAX_VALUES)
        return r;
    kl_type t = gen_type_of(n, r);
    if (gen_numel(n, &t) > 8 * n->limit)
        return KL_NONE;
    n->values[n->count] = r;
    n->exact[n->count++] = exact;
    return r;
}

/* Any value, the latest most often. */
kl_ref gen_any(gen *n)
{
    int64_t back =
        gen_chance(n, 60) ? below(&n->s, KL_MIN(3, n->count)) : below(&n->s, n->count);
    return n->values[n->count - 1 - back];
}

static bool is_exact(const gen *n, kl_ref r)
{
    for (int i = 0; i < n->count; i++)
        if (n->values[i] == r)
            return n->exact[i];
    return false;
}

kl_ref gen_node(gen *n, kl_op op, const kl_type *want, const kl_ref *src, uint32_t nsrc,
                const int64_t *attr, uint32_t nattr)
{
    kl_spec s = {.op = op, .src = src, .nsrc = nsrc, .attr = attr, .nattr = nattr};
    if (want)
        s.want = *want;
    return kl_graph_node(n->g, &s);
}

/* Strides of a permuted, reversed, widened or expanded layout; false: dense it is. */
static bool strides(gen *n, const kl_type *t, int64_t *stride)
{
    bool expands = gen_chance(n, 20), widens = gen_chance(n, 40);
    int64_t at = 1, e;
    int order[KL_MAX_RANK];
    if (!gen_chance(n, 35) || is_empty(n, t))
        return false;
    for (int i = 0; i < t->rank; i++) {
        order[i] = t->rank - 1 - i;
        if (!kl_dim_is_const(n->g->dims, t->shape[i], &e))
            return false;
    }
    for (int i = t->rank; i-- > 1 && gen_chance(n, 50);) {
        int j = (int)below(&n->s, i + 1), k = order[i];
        order[i] = order[j], order[j] = k;
    }
    for (int i = 0; i < t->rank; i++) {
        bool zero = expands && gen_chance(n, 50);
        stride[order[i]] = kl_dim_const(n->g->dims, zero                ? 0
                                                    : gen_chance(n, 25) ? -at
                                                                        : at);
        if (!zero)
            at *= t->shape[order[i]] * (widens && gen_chance(n, 50) ? 2 : 1);
    }
    return at <= 4 * n->limit;
}

static kl_ref new_input(gen *n, const kl_type *t)
{
    int64_t attr[1 + KL_MAX_RANK] = {n->g->ninputs};
    if (n->depth || n->g->ninputs >= 6 || gen_numel(n, t) > 4 * n->limit)
        return KL_NONE;
    bool strided = strides(n, t, attr + 1);
    return gen_keep(
        n,
        gen_node(n, KL_OP_input, t, NULL, 0, attr, strided ? 1 + (uint32_t)t->rank : 1),
        true);
}

/* ---- an operand of a type ---- */

static bool same_shape(const kl_type *a, const kl_type *b)
{
    return a->rank == b->rank &&
           memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape) == 0;
}

static kl_ref constant(gen *n, kl_dtype dt)
{
    static const double nice[] = {0, 1, -1, 2, 0.5, 3, -0.0, -2.5, 7, 1e30};
    static const int64_t whole[] = {0,  1,   -1,   2,         3,        7,
                                    31, 100, -128, INT64_MAX, INT64_MIN};
    if (kl_is_float(dt))
        return kl_g_const(n->g, dt, nice[below(&n->s, KL_COUNT(nice))]);
    if (kl_is_complex(dt))
        return kl_g_const(n->g, dt, (double)below(&n->s, 4));
    return kl_g_const_int(
        n->g, dt, dt == KL_BOOL ? below(&n->s, 2) : whole[below(&n->s, KL_COUNT(whole))]);
}

static kl_ref expandable(gen *n, const kl_type *want)
{
    for (int i = 0; i < n->count; i++) {
        kl_type t = gen_type_of(n, n->values[(i + 3) % n->count]);
        bool fits = t.dtype == want->dtype && t.rank <= want->rank && t.rank > 0;
        for (int j = 0; j < t.rank && fits; j++)
            fits = t.shape[j] == 1 || t.shape[j] == want->shape[want->rank - t.rank + j];
        if (fits)
            return kl_g_expand(n->g, n->values[(i + 3) % n->count], want->rank,
                               want->shape);
    }
    return KL_NONE;
}

kl_ref gen_match(gen *n, const kl_type *want)
{
    kl_ref equal[MAX_VALUES], alike[MAX_VALUES], r = KL_NONE;
    int nequal = 0, nalike = 0;
    for (int i = 0; i < n->count; i++) {
        kl_type t = gen_type_of(n, n->values[i]);
        if (!same_shape(&t, want))
            continue;
        if (t.dtype == want->dtype)
            equal[nequal++] = n->values[i];
        else if (!kl_is_complex(t.dtype))
            alike[nalike++] = n->values[i];
    }
    if (nequal && gen_chance(n, 60))
        return equal[below(&n->s, nequal)];
    if (gen_chance(n, 45) && (r = new_input(n, want)) != KL_NONE)
        return r;
    if (nalike && gen_chance(n, 40))
        return kl_g_cast(n->g, alike[below(&n->s, nalike)], want->dtype);
    if (gen_chance(n, 50) && (r = expandable(n, want)) != KL_NONE)
        return r;
    if (nequal && gen_chance(n, 50))
        return equal[below(&n->s, nequal)];
    if ((r = new_input(n, want)) != KL_NONE)
        return r;
    return kl_g_expand(n->g, constant(n, want->dtype), want->rank, want->shape);
}

static kl_dtype some_dtype(gen *n)
{
    return n->dtypes[below(&n->s, MAX_DTYPES)];
}

/* ---- elements ---- */

static kl_ref make_elt(gen *n)
{
    kl_op op = (kl_op)below(&n->s, KL_OP_COUNT);
    kl_ref a = gen_any(n), src[3] = {a, KL_NONE, KL_NONE};
    kl_type t = gen_type_of(n, a);
    if (kl_ops[op].kind != KL_KIND_ELT || op == KL_OP_complex)
        return KL_NONE;
    if ((op == KL_OP_real || op == KL_OP_imag) != kl_is_complex(t.dtype) &&
        (op == KL_OP_real || op == KL_OP_imag))
        return KL_NONE;
    if (kl_ops[op].rule == KL_RULE_FLOAT && !kl_is_float(t.dtype)) {
        if (kl_is_complex(t.dtype))
            return KL_NONE;
        t.dtype = gen_chance(n, 70) ? KL_F32 : KL_F64;
        src[0] = kl_g_cast(n->g, a, t.dtype);
    }
    if (op == KL_OP_where) {
        kl_type b = t;
        b.dtype = KL_BOOL;
        src[1] = a;
        src[0] = gen_chance(n, 40) || (kl_ops[KL_OP_lt].flags & KL_F_CPLX) != 0
                     ? gen_match(n, &b)
                     : kl_g_elt(n->g, gen_chance(n, 50) ? KL_OP_ne : KL_OP_eq, a,
                                gen_match(n, &t), KL_NONE);
        src[2] = gen_match(n, &t);
    } else {
        for (int i = 1; i < kl_ops[op].arity; i++)
            src[i] = gen_match(n, &t);
    }
    bool exact = op == KL_OP_where
                     ? is_exact(n, src[1]) && is_exact(n, src[2])
                     : (op == KL_OP_neg || op == KL_OP_abs) && is_exact(n, a);
    return gen_keep(n, kl_g_elt(n->g, op, src[0], src[1], src[2]), exact);
}

static kl_ref make_cast(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    kl_dtype to =
        gen_chance(n, 60) ? some_dtype(n) : (kl_dtype)below(&n->s, KL_DTYPE_COUNT);
    if (gen_chance(n, 25)) {
        bool defined = !kl_is_float(t.dtype) || is_exact(n, a);
        return defined ? gen_keep(n, kl_g_bitcast(n->g, a, to), true) : KL_NONE;
    }
    return gen_keep(n, kl_g_cast(n->g, a, to), false);
}

static kl_ref make_complex(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    if (t.dtype != KL_F32 && t.dtype != KL_F64)
        return KL_NONE;
    return gen_keep(n, kl_g_elt(n->g, KL_OP_complex, a, gen_match(n, &t), KL_NONE),
                    false);
}

static kl_ref make_leaf(gen *n)
{
    kl_type t = {.dtype = some_dtype(n), .rank = 1 + (int)below(&n->s, 2)};
    for (int i = 0; i < t.rank; i++)
        t.shape[i] = n->dims[below(&n->s, MAX_DIMS)];
    if (t.rank > 0 && gen_chance(n, 60) && gen_numel(n, &t) <= n->limit)
        return gen_keep(
            n, kl_g_iota(n->g, t.dtype, t.rank, t.shape, (int)below(&n->s, t.rank)),
            true);
    uint8_t bytes[64];
    kl_dim count = 1 + below(&n->s, 64 / kl_dtypes[t.dtype].size);
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(t.dtype == KL_BOOL ? draw(&n->s) & 1 : draw(&n->s));
    return gen_keep(n, kl_g_const_data(n->g, t.dtype, 1, &count, bytes), true);
}

/* ---- movement ---- */

static kl_ref make_reshape(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a), y = t;
    y.rank = 0;
    for (int i = 0; i < t.rank && y.rank < 5; i++) {
        int64_t e;
        kl_dim d = t.shape[i];
        while (i + 1 < t.rank && gen_chance(n, 50))
            d = kl_dim_mul(n->g->dims, d, t.shape[++i]);
        if (kl_dim_is_const(n->g->dims, d, &e) && e > 1 && gen_chance(n, 60))
            for (int64_t f = 2 + below(&n->s, 7); f > 1; f--)
                if (e % f == 0) {
                    bool first = gen_chance(n, 50);
                    y.shape[y.rank++] = first ? f : e / f;
                    d = first ? e / f : f;
                    break;
                }
        y.shape[y.rank++] = d;
        if (gen_chance(n, 15))
            y.shape[y.rank++] = 1;
    }
    return gen_keep(n, kl_g_reshape(n->g, a, y.rank, y.shape), is_exact(n, a));
}

static kl_ref make_permute(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    int perm[KL_MAX_RANK];
    if (t.rank < 2)
        return KL_NONE;
    for (int i = 0; i < t.rank; i++)
        perm[i] = i;
    for (int i = t.rank; i-- > 1;) {
        int j = (int)below(&n->s, i + 1), k = perm[i];
        perm[i] = perm[j], perm[j] = k;
    }
    return gen_keep(n, kl_g_permute(n->g, a, perm), is_exact(n, a));
}

static kl_ref make_expand(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a), y = t;
    int lead = t.rank < 4 ? (int)below(&n->s, 2) : 0;
    memmove(y.shape + lead, t.shape, (size_t)t.rank * sizeof *t.shape);
    y.rank += lead;
    for (int i = 0; i < y.rank; i++)
        if (i < lead || (y.shape[i] == 1 && gen_chance(n, 70)))
            y.shape[i] = n->dims[below(&n->s, MAX_DIMS)];
    return gen_numel(n, &y) <= n->limit
               ? gen_keep(n, kl_g_expand(n->g, a, y.rank, y.shape), is_exact(n, a))
               : KL_NONE;
}

static kl_ref make_pad(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    kl_dim lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, inner[KL_MAX_RANK] = {0};
    for (int i = 0; i < t.rank; i++)
        if (gen_chance(n, 50)) {
            lo[i] = below(&n->s, 4), hi[i] = below(&n->s, 4);
            inner[i] = gen_chance(n, 30) ? below(&n->s, 3) : 0;
        }
    return gen_keep(n, kl_g_pad(n->g, a, constant(n, t.dtype), lo, hi, inner), false);
}

/* A part of each axis: start, extent, step. */
static void part(gen *n, const kl_type *t, kl_dim *start, kl_dim *size, kl_dim *step)
{
    for (int i = 0; i < t->rank; i++) {
        int64_t e;
        start[i] = 0, size[i] = t->shape[i], step[i] = 1;
        if (!kl_dim_is_const(n->g->dims, t->shape[i], &e) || gen_chance(n, 40))
            continue;
        step[i] = gen_chance(n, 40) ? 1 + below(&n->s, 4) : 1;
        start[i] = below(&n->s, e / 2 + 1);
        int64_t most = e > start[i] ? (e - start[i] + step[i] - 1) / step[i] : 0;
        size[i] = gen_chance(n, 60) ? most : below(&n->s, most + 1);
    }
}

static kl_ref make_slice(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    kl_dim start[KL_MAX_RANK], size[KL_MAX_RANK], step[KL_MAX_RANK];
    part(n, &t, start, size, step);
    return gen_keep(n, kl_g_slice(n->g, a, start, size, step), is_exact(n, a));
}

static kl_ref make_flip(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    return gen_keep(n, kl_g_flip(n->g, a, (uint64_t)below(&n->s, 1 << t.rank)),
                    is_exact(n, a));
}

static kl_ref make_concat(gen *n)
{
    kl_ref src[3] = {gen_any(n)};
    kl_type t = gen_type_of(n, src[0]);
    uint32_t count = 2 + (uint32_t)below(&n->s, 2);
    if (t.rank == 0)
        return KL_NONE;
    int axis = (int)below(&n->s, t.rank);
    for (uint32_t i = 1; i < count; i++) {
        kl_type u = t;
        if (gen_chance(n, 50))
            u.shape[axis] =
                gen_chance(n, 50) ? n->dims[below(&n->s, MAX_DIMS)] : below(&n->s, 5);
        src[i] = gen_numel(n, &u) <= n->limit ? gen_match(n, &u) : src[0];
    }
    return gen_keep(n, kl_g_concat(n->g, src, count, axis), false);
}

static uint32_t windows(gen *n, const kl_type *t, int64_t *attr)
{
    int m = 0;
    for (int i = 0; i < t->rank && m < 2; i++)
        if (gen_chance(n, 60)) {
            int64_t *w = attr + 1 + 4 * m++;
            w[0] = i, w[1] = 1 + below(&n->s, 4), w[2] = 1 + below(&n->s, 3);
            w[3] = gen_chance(n, 30) ? 2 : 1;
        }
    attr[0] = m;
    return 1 + 4 * (uint32_t)m;
}

static kl_ref make_window(gen *n)
{
    int64_t attr[16];
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    uint32_t words = windows(n, &t, attr);
    kl_ref y = gen_node(n, KL_OP_window, NULL, &a, 1, attr, words);
    if (y == KL_NONE)
        return KL_NONE;
    kl_type w = gen_type_of(n, y);
    if (gen_numel(n, &w) > 4 * n->limit)
        return KL_NONE;
    gen_keep(n, y, is_exact(n, a));
    if (gen_chance(n, 50) || t.dtype == KL_BOOL)
        return y;
    kl_ref b = gen_match(n, &w); /* and back, through something of the window's shape */
    return gen_keep(n, gen_node(n, KL_OP_fold, &t, &b, 1, attr, words), false);
}

/* offset and strides of a part of a's elements, possibly reversed: injective. */
static kl_type view(gen *n, const kl_type *t, int64_t *attr)
{
    kl_dim start[KL_MAX_RANK], size[KL_MAX_RANK], step[KL_MAX_RANK];
    kl_type v = *t;
    int64_t dense = 1, offset = 0;
    part(n, t, start, size, step);
    for (int i = t->rank; i-- > 0;) {
        int64_t e = gen_extent(n, size[i]);
        bool back = e > 0 && gen_chance(n, 20);
        v.shape[i] = e;
        attr[1 + i] = kl_dim_const(n->g->dims, (back ? -1 : 1) * step[i] * dense);
        offset += (start[i] + (back ? (e - 1) * step[i] : 0)) * dense;
        dense *= gen_extent(n, t->shape[i]);
    }
    attr[0] = offset;
    return v;
}

static kl_ref make_view(gen *n)
{
    int64_t attr[1 + KL_MAX_RANK], e;
    kl_ref a = gen_any(n), src[2] = {a};
    kl_type t = gen_type_of(n, a);
    for (int i = 0; i < t.rank; i++)
        if (!kl_dim_is_const(n->g->dims, t.shape[i], &e))
            return KL_NONE;
    kl_type v = view(n, &t, attr);
    uint32_t words = 1 + (uint32_t)v.rank;
    if (gen_chance(n, 40))
        return gen_keep(n, gen_node(n, KL_OP_strided, &v, src, 1, attr, words),
                        is_exact(n, a));
    src[1] = gen_match(n, &v);
    return gen_keep(n, gen_node(n, KL_OP_update, NULL, src, 2, attr, words), false);
}

/* ---- reductions ---- */

static kl_op combining(gen *n)
{
    for (;;) {
        kl_op op = (kl_op)below(&n->s, KL_OP_COUNT);
        if (gen_chance(n, 40) || kl_ops[op].flags & KL_F_RED)
            return kl_ops[op].flags & KL_F_RED ? op : KL_OP_add;
    }
}

static kl_ref make_reduce(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    uint64_t axes = (uint64_t)below(&n->s, 1 << t.rank);
    if (t.rank && axes == 0)
        axes = UINT64_C(1) << (t.rank - 1);
    return gen_keep(n, kl_g_reduce(n->g, combining(n), a, axes, gen_chance(n, 40)),
                    false);
}

static kl_ref make_arg(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    int64_t axis = below(&n->s, t.rank);
    if (t.rank == 0 || gen_extent(n, t.shape[axis]) == 0)
        return KL_NONE;
    return gen_keep(n,
                    gen_node(n, gen_chance(n, 50) ? KL_OP_argmax : KL_OP_argmin, NULL, &a,
                             1, &axis, 1),
                    true);
}

static kl_ref make_prefix(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    int64_t attr[2] = {combining(n), below(&n->s, t.rank)};
    return t.rank ? gen_keep(n, gen_node(n, KL_OP_prefix, NULL, &a, 1, attr, 2), false)
                  : KL_NONE;
}

/* Each axis of a is free, contracted or batch; b has the latter two and free ones of its
 * own. */
static kl_ref make_contract(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a), u = {.dtype = t.dtype};
    char la[8] = "", lb[8] = "", ly[8] = "", text[32];
    int na = 0, nb = 0, ny = 0;
    int64_t work = 1;
    if (t.rank > 3)
        return KL_NONE;
    for (int i = 0; i < t.rank; i++) {
        int64_t kind = i == t.rank - 1 ? (gen_chance(n, 70) ? 1 : 0) : below(&n->s, 3);
        la[na++] = (char)('a' + i);
        work *= KL_MAX(1, gen_extent(n, t.shape[i]));
        if (kind != 1)
            ly[ny++] = (char)('a' + i);
        if (kind != 0) {
            lb[nb] = (char)('a' + i);
            u.shape[nb++] = t.shape[i];
        }
    }
    for (int i = 0; i < 2 && nb < 4 && gen_chance(n, 60); i++) {
        int at = gen_chance(n, 50)
                     ? 0
                     : nb; /* leading or trailing: either operand transposed */
        memmove(lb + at + 1, lb + at, (size_t)(nb - at));
        memmove(u.shape + at + 1, u.shape + at, (size_t)(nb - at) * sizeof *u.shape);
        lb[at] = (char)('p' + i), u.shape[at] = n->dims[below(&n->s, MAX_DIMS)];
        work *= KL_MAX(1, gen_extent(n, u.shape[at]));
        ly[ny++] = lb[at], nb++;
    }
    for (int i = ny; i-- > 1 && gen_chance(n, 40);) {
        char c = ly[i - 1];
        ly[i - 1] = ly[i], ly[i] = c;
    }
    if (work > 40 * n->limit || gen_numel(n, &u) > 4 * n->limit)
        return KL_NONE;
    u.rank = nb;
    snprintf(text, sizeof text, "%.*s,%.*s->%.*s", na, la, nb, lb, ny, ly);
    kl_dtype acc = gen_chance(n, 80) ? t.dtype : (kl_dtype)below(&n->s, KL_DTYPE_COUNT);
    return gen_keep(n, kl_g_contract(n->g, a, gen_match(n, &u), text, acc), false);
}

/* ---- indexing ---- */

/* Numbers below n: an input of indices, or any integers modulo n. */
static kl_ref indices(gen *n, const kl_type *of, kl_dim size)
{
    kl_type t = *of;
    int64_t e;
    t.dtype = gen_chance(n, 75) ? KL_I64 : KL_I32;
    kl_ref r = gen_chance(n, 60) ? new_input(n, &t) : KL_NONE;
    if (r != KL_NONE)
        return r;
    if (!kl_dim_is_const(n->g->dims, size, &e))
        return KL_NONE;
    kl_ref m = kl_g_expand(n->g, kl_g_const_int(n->g, t.dtype, e), t.rank, t.shape);
    return kl_g_elt(n->g, KL_OP_mod, gen_match(n, &t), m, KL_NONE);
}

static kl_ref make_gather(gen *n)
{
    kl_ref src[3] = {gen_any(n)};
    kl_type t = gen_type_of(n, src[0]), j = {.rank = 0};
    if (t.rank == 0)
        return KL_NONE;
    int64_t axis = below(&n->s, t.rank),
            batch = gen_chance(n, 30) ? below(&n->s, axis + 1) : 0;
    if (gen_extent(n, t.shape[axis]) == 0)
        return KL_NONE;
    for (int i = 0; i < batch; i++)
        j.shape[j.rank++] = t.shape[i];
    for (int64_t own = below(&n->s, 3); own > 0 && j.rank < 3; own--)
        j.shape[j.rank++] = n->dims[below(&n->s, MAX_DIMS)];
    int64_t made = gen_numel(n, &t) / gen_extent(n, t.shape[axis]);
    for (int i = (int)batch; i < j.rank; i++)
        made *= KL_MAX(1, gen_extent(n, j.shape[i]));
    src[1] = made <= n->limit ? indices(n, &j, t.shape[axis]) : KL_NONE;
    if (src[1] == KL_NONE)
        return KL_NONE;
    int64_t at[2] = {axis, batch};
    kl_ref g = gen_node(n, KL_OP_gather, NULL, src, 2, at, 2);
    if (g == KL_NONE || gen_chance(n, 50))
        return gen_keep(n, g, is_exact(n, src[0]));
    kl_type c = gen_type_of(n, g); /* what a scatter at the same indices takes */
    int64_t attr[3] = {gen_chance(n, 30) ? (int64_t)KL_SET : (int64_t)combining(n), axis,
                       batch};
    src[2] = gen_match(n, &c);
    return gen_keep(n, gen_node(n, KL_OP_scatter, NULL, src, 3, attr, 3), false);
}

static kl_ref make_sort(gen *n)
{
    kl_ref a = gen_any(n);
    kl_type t = gen_type_of(n, a);
    int64_t attr[3] = {below(&n->s, t.rank), gen_chance(n, 40), 1}, extent;
    if (t.rank == 0 || gen_numel(n, &t) > n->limit / 2)
        return KL_NONE;
    bool some = kl_dim_is_const(n->g->dims, t.shape[attr[0]], &extent) && extent > 0 &&
                gen_chance(n, 40);
    if (some)
        attr[2] = 1 + below(&n->s, extent);
    kl_ref s = gen_node(n, KL_OP_sort, NULL, &a, 1, attr, some ? 3 : 2);
    int which = (int)below(&n->s, 3);
    if (which != 0)
        gen_keep(n, kl_g_pick(n->g, s, 1), true);
    return which != 1 ? gen_keep(n, kl_g_pick(n->g, s, 0), false) : s;
}

/* ---- the whole ---- */

static const struct {
    kl_ref (*fn)(gen *n);
    int weight;
} kinds[] = {
    {make_elt, 60},     {make_cast, 6},    {make_complex, 1}, {make_leaf, 3},
    {make_reshape, 7},  {make_permute, 6}, {make_expand, 5},  {make_pad, 4},
    {make_slice, 5},    {make_flip, 3},    {make_concat, 4},  {make_window, 4},
    {make_view, 4},     {make_reduce, 14}, {make_arg, 3},     {make_prefix, 4},
    {make_contract, 8}, {make_gather, 5},  {make_sort, 2},    {gen_control, 5},
};

void gen_one_more(gen *n)
{
    int total = 0;
    for (size_t i = 0; i < KL_COUNT(kinds); i++)
        total += kinds[i].weight;
    int64_t at = below(&n->s, total);
    for (size_t i = 0; i < KL_COUNT(kinds); i++)
        if ((at -= kinds[i].weight) < 0) {
            kinds[i].fn(n);
            break;
        }
    kl_error_clear(); /* what does not fit is not there */
}

int64_t fuzz_symbol(const kl_dims *d, int i, uint64_t seed)
{
    int64_t min, max, divisor;
    kl_dim_sym_facts(d, i, &min, &max, &divisor);
    uint64_t s = kl_hash_text(kl_dim_sym_name(d, i)).lo ^ seed;
    int64_t first = (min + divisor - 1) / divisor,
            last = KL_MIN(max, min + 4999) / divisor;
    return (first + below(&s, last - first + 1)) * divisor;
}

static void choose_dims(gen *n, uint64_t seed)
{
    static const int64_t small[] = {1,  2,  3,   4,   5,   7,   8,   9,  15, 16,
                                    17, 24, 31,  32,  33,  48,  63,  64, 65, 95,
                                    96, 97, 100, 127, 128, 129, 160, 257};
    static const int64_t big[] = {1000, 4095, 4096, 4097, 5000, 8191, 8192, 8193, 12289};
    static const char *const names[] = {"B", "N", "M", "K"};
    for (int i = 0; i < MAX_DIMS; i++) {
        n->dims[i] = gen_chance(n, 2)   ? 0
                     : gen_chance(n, 8) ? big[below(&n->s, KL_COUNT(big))]
                                        : small[below(&n->s, KL_COUNT(small))];
        if (!gen_chance(n, 6))
            continue;
        int64_t by = gen_chance(n, 25) ? 8 : 1, most = gen_chance(n, 20) ? 5000 : 70;
        n->dims[i] = kl_dim_sym(n->g->dims, names[i]);
        kl_dim_sym_bound(n->g->dims, n->dims[i], below(&n->s, 3) * by, most / by * by,
                         by);
        int k = kl_dim_sym_index(n->g->dims, n->dims[i]);
        n->syms[k] = fuzz_symbol(n->g->dims, k, seed);
    }
}

/* An output over an input that is like it. */
static void maybe_donate(gen *n)
{
    for (uint32_t o = 0; o < n->g->noutputs; o++)
        for (uint32_t i = 0; i < n->g->ninputs; i++) {
            const kl_node *in = kl_graph_at(n->g, n->g->inputs[i]);
            kl_type a = gen_type_of(n, n->g->inputs[i]),
                    b = gen_type_of(n, n->g->outputs[o]);
            bool taken = false;
            for (uint32_t k = 0; n->g->donated && k < n->g->noutputs; k++)
                taken = taken || n->g->donated[k] == (int32_t)i + 1;
            if (taken || (n->g->donated && n->g->donated[o]) || in->nattr > 1 ||
                a.dtype != b.dtype || !same_shape(&a, &b) || !gen_chance(n, 40))
                continue;
            kl_graph_donate(n->g, o, i);
            kl_error_clear();
        }
}

static kl_ref same_node(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                        const kl_ref *src)
{
    (void)ctx;
    return kl_graph_copy_node(to, from, r, src);
}

kl_graph *fuzz_graph(kl_arena *a, uint64_t seed)
{
    gen n = {.s = seed * 2 + 1, .g = kl_graph_new(a, NULL, "g")};
    static const kl_dtype usual[] = {KL_F32, KL_F32, KL_F32,  KL_F64,
                                     KL_I32, KL_I64, KL_BF16, KL_F16};
    if (!n.g)
        return NULL;
    n.limit = gen_chance(&n, 10) ? 60000 : 9000;
    choose_dims(&n, seed);
    for (int i = 0; i < MAX_DTYPES; i++)
        n.dtypes[i] = gen_chance(&n, 75)  ? usual[below(&n.s, KL_COUNT(usual))]
                      : gen_chance(&n, 6) ? (gen_chance(&n, 70) ? KL_C64 : KL_C128)
                                          : (kl_dtype)below(&n.s, KL_C64);
    for (int tries = 0; tries < 20 && n.g->ninputs < 1 + (uint32_t)(seed & 1); tries++) {
        kl_type t = {.dtype = some_dtype(&n), .rank = (int)below(&n.s, 4)};
        t.rank += t.rank == 0 && gen_chance(&n, 70);
        for (int i = 0; i < t.rank; i++)
            t.shape[i] = n.dims[below(&n.s, MAX_DIMS)];
        if (gen_numel(&n, &t) <= n.limit)
            new_input(&n, &t);
    }
    int64_t tries = gen_chance(&n, 60) ? 3 + below(&n.s, 5) : 12; /* mostly small */
    for (int64_t i = 0; i < tries && n.count < 24 && n.count && n.g->count < 30; i++)
        gen_one_more(&n);
    if (n.count == 0)
        return NULL;
    kl_graph_output(n.g, n.values[n.count - 1], NULL);
    for (int64_t more = below(&n.s, 4); more > 0; more--)
        kl_graph_output(n.g, gen_any(&n), NULL);
    maybe_donate(&n);
    kl_error_clear();
    return kl_graph_rewrite(&n.g, same_node, NULL) == KL_OK ? n.g : NULL;
}
