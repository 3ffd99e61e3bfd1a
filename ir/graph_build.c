/* graph_build.c: shorthands that fill in a kl_spec for the most used rows. Everything
 * goes through kl_graph_node; a KL_NONE operand gives KL_NONE, so calls nest and one
 * check at the end suffices. */
#include "ir/ir.h"

/* ---- constants ---- */

typedef union word {
    int64_t i;
    uint8_t b[8];
    uint16_t h;
    float f;
    double d;
} word;

static word pack_float(kl_dtype dt, double v)
{
    word w = {0};
    switch (dt) {
    case KL_F16:
        w.h = kl_f64_to_f16(v);
        break;
    case KL_BF16:
        w.h = kl_f64_to_bf16(v);
        break;
    case KL_F32:
        w.f = (float)v;
        break;
    default:
        w.d = v;
    }
    return w;
}

static double unpack_float(kl_dtype dt, word w)
{
    switch (dt) {
    case KL_F16:
        return (double)kl_f16_to_f32(w.h);
    case KL_BF16:
        return (double)kl_bf16_to_f32(w.h);
    case KL_F32:
        return (double)w.f;
    default:
        return w.d;
    }
}

/* Truncates, saturates, NaN gives 0: as cast does. */
static int64_t to_int(double v, kl_dtype dt)
{
    int bits = kl_dtypes[dt].bits;
    bool sign = kl_dtypes[dt].cls == KL_CLS_SINT;
    double top = (double)(UINT64_C(1) << (bits - 1)) * (sign ? 1.0 : 2.0);
    if (dt == KL_BOOL)
        return v != 0.0;
    if (!(v == v))
        return 0;
    if (v >= top)
        return sign ? (int64_t)((UINT64_C(1) << (bits - 1)) - 1) : (int64_t)UINT64_MAX;
    if (v < 0 && !sign)
        return 0;
    if (v < -top)
        return -(int64_t)((UINT64_C(1) << (bits - 1)) - 1) - 1;
    return sign || v < 9.2e18 ? (int64_t)v : (int64_t)(uint64_t)v;
}

/* The low bytes of v: two's complement of that dtype's size. */
static word pack_int(kl_dtype dt, int64_t v)
{
    word w = {.i = dt == KL_BOOL ? v != 0 : v}, y = {0};
    memcpy(y.b, w.b, kl_dtypes[dt].size);
    return y;
}

static int64_t unpack_int(kl_dtype dt, word w)
{
    int spare = 64 - kl_dtypes[dt].size * 8;
    uint64_t u = (uint64_t)w.i << spare;
    if (kl_dtypes[dt].cls == KL_CLS_SINT)
        return (int64_t)u >> spare;
    return (int64_t)(u >> spare);
}

static kl_ref scalar(kl_graph *g, kl_dtype dt, double v, int64_t iv)
{
    int64_t attr[2] = {0, 0};
    kl_dtype part = kl_is_complex(dt) ? kl_dtypes[dt].real : dt;
    attr[0] = kl_is_float(part) ? pack_float(part, v).i : pack_int(part, iv).i;
    kl_spec s = {.op = KL_OP_const,
                 .want = {.dtype = dt},
                 .attr = attr,
                 .nattr = 1 + (dt == KL_C128)};
    return kl_graph_node(g, &s);
}

kl_ref kl_g_const(kl_graph *g, kl_dtype dt, double v)
{
    bool whole = dt == KL_BOOL || kl_is_int(dt);
    return scalar(g, dt, v, whole ? to_int(v, dt) : 0);
}

kl_ref kl_g_const_int(kl_graph *g, kl_dtype dt, int64_t v)
{
    return scalar(g, dt, (double)v, v);
}

kl_ref kl_g_const_like(kl_graph *g, kl_ref like, double v)
{
    kl_type t;
    if (like == KL_NONE)
        return KL_NONE;
    kl_graph_type(g, like, &t);
    kl_ref c = kl_g_const(g, t.dtype, v);
    return t.rank ? kl_g_expand(g, c, t.rank, t.shape) : c;
}

kl_ref kl_g_const_data(kl_graph *g, kl_dtype dt, int rank, const kl_dim *shape,
                       const void *bytes)
{
    int64_t attr[8] = {0}, n = 1;
    kl_spec s = {.op = KL_OP_const, .want = {.dtype = dt, .rank = rank}, .attr = attr};
    for (int i = 0; i < rank && i < KL_MAX_RANK; i++) {
        s.want.shape[i] = shape[i];
        n = shape[i] < 0 || shape[i] > 64 ? 65 : KL_MIN(n * shape[i], 65);
    }
    if (n * kl_dtypes[dt].size <= 64) /* else inference refuses it */
        memcpy(attr, bytes, (size_t)n * kl_dtypes[dt].size);
    s.nattr = (uint32_t)KL_MIN((n * kl_dtypes[dt].size + 7) / 8, 8);
    return kl_graph_node(g, &s);
}

/* All elements of a constant are alike; *v and *iv get one of them. */
static bool alike(const kl_graph *g, kl_ref r, double *v, int64_t *iv)
{
    kl_dtype dt = (kl_dtype)g->nodes[r].dtype;
    size_t size = kl_dtypes[dt].size, n = (size_t)kl_graph_numel(g, r);
    const char *p = (const char *)kl_graph_attr(g, r);
    word w = {0};
    if (kl_is_complex(dt) || n == 0)
        return false;
    for (size_t i = 1; i < n; i++)
        if (memcmp(p, p + i * size, size) != 0)
            return false;
    memcpy(w.b, p, size);
    int64_t x = kl_is_float(dt) ? 0 : unpack_int(dt, w);
    double f = kl_is_float(dt) ? unpack_float(dt, w)
               : dt == KL_U64  ? (double)(uint64_t)x
                               : (double)x;
    if (v)
        *v = f;
    if (iv)
        *iv = kl_is_float(dt) ? to_int(f, KL_I64) : x;
    return true;
}

bool kl_graph_const_value(const kl_graph *g, kl_ref r, double *v, int64_t *iv)
{
    for (;;)
        switch ((kl_op)g->nodes[r].op) {
        case KL_OP_expand:
        case KL_OP_reshape:
        case KL_OP_permute:
        case KL_OP_flip:
        case KL_OP_slice:
        case KL_OP_window:
        case KL_OP_strided:
            r = kl_graph_src(g, r, 0);
            break;
        default:
            return g->nodes[r].op == KL_OP_const && alike(g, r, v, iv);
        }
}

/* ---- elementwise ---- */

kl_ref kl_g_elt(kl_graph *g, kl_op op, kl_ref a, kl_ref b, kl_ref c)
{
    kl_ref src[] = {a, b, c};
    kl_spec s = {.op = op, .src = src, .nsrc = (uint32_t)kl_ops[op].arity};
    KL_ASSERT(kl_ops[op].arity >= 1 && kl_ops[op].arity <= 3);
    return kl_graph_node(g, &s);
}

kl_ref kl_g_cast(kl_graph *g, kl_ref a, kl_dtype dt)
{
    kl_spec s = {.op = KL_OP_cast, .want = {.dtype = dt}, .src = &a, .nsrc = 1};
    if (a != KL_NONE && g->nodes[a].dtype == dt)
        return a;
    return kl_graph_node(g, &s);
}

kl_ref kl_g_bitcast(kl_graph *g, kl_ref a, kl_dtype dt)
{
    kl_spec s = {.op = KL_OP_bitcast, .want = {.dtype = dt}, .src = &a, .nsrc = 1};
    if (a != KL_NONE && g->nodes[a].dtype == dt)
        return a;
    return kl_graph_node(g, &s);
}

/* ---- movement: none where nothing moves ---- */

static bool has_shape(const kl_graph *g, kl_ref a, int rank, const kl_dim *shape)
{
    return g->nodes[a].rank == rank &&
           (!rank || !memcmp(kl_graph_shape(g, a), shape, (size_t)rank * sizeof *shape));
}

static kl_ref shaped(kl_graph *g, kl_op op, kl_ref a, int rank, const kl_dim *shape)
{
    kl_spec s = {.op = op, .want = {.rank = rank}, .src = &a, .nsrc = 1};
    if (a == KL_NONE || (rank <= KL_MAX_RANK && has_shape(g, a, rank, shape)))
        return a;
    if (rank > 0 && rank <= KL_MAX_RANK)
        memcpy(s.want.shape, shape, (size_t)rank * sizeof *shape);
    return kl_graph_node(g, &s);
}

kl_ref kl_g_reshape(kl_graph *g, kl_ref a, int rank, const kl_dim *shape)
{
    return shaped(g, KL_OP_reshape, a, rank, shape);
}

kl_ref kl_g_expand(kl_graph *g, kl_ref a, int rank, const kl_dim *shape)
{
    return shaped(g, KL_OP_expand, a, rank, shape);
}

kl_ref kl_g_permute(kl_graph *g, kl_ref a, const int *perm)
{
    int64_t attr[KL_MAX_RANK];
    bool moved = false;
    if (a == KL_NONE)
        return a;
    kl_spec s = {.op = KL_OP_permute,
                 .src = &a,
                 .nsrc = 1,
                 .attr = attr,
                 .nattr = g->nodes[a].rank};
    for (int i = 0; i < g->nodes[a].rank; i++) {
        attr[i] = perm[i];
        moved |= perm[i] != i;
    }
    return moved ? kl_graph_node(g, &s) : a;
}

kl_ref kl_g_pad(kl_graph *g, kl_ref a, kl_ref fill, const kl_dim *lo, const kl_dim *hi,
                const kl_dim *interior)
{
    int64_t attr[3 * KL_MAX_RANK];
    kl_ref src[] = {a, fill};
    bool any = false;
    if (a == KL_NONE || fill == KL_NONE)
        return KL_NONE;
    int n = g->nodes[a].rank;
    for (int i = 0; i < n; i++) {
        attr[i] = lo[i];
        attr[n + i] = hi[i];
        attr[2 * n + i] = interior ? interior[i] : 0;
        any |= attr[i] || attr[n + i] || attr[2 * n + i];
    }
    kl_spec s = {
        .op = KL_OP_pad, .src = src, .nsrc = 2, .attr = attr, .nattr = 3 * (uint32_t)n};
    return any ? kl_graph_node(g, &s) : a;
}

kl_ref kl_g_slice(kl_graph *g, kl_ref a, const kl_dim *start, const kl_dim *extent,
                  const kl_dim *step)
{
    int64_t attr[2 * KL_MAX_RANK];
    bool any = false;
    if (a == KL_NONE)
        return a;
    int n = g->nodes[a].rank;
    kl_spec s = {.op = KL_OP_slice,
                 .want = {.rank = n},
                 .src = &a,
                 .nsrc = 1,
                 .attr = attr,
                 .nattr = 2 * (uint32_t)n};
    for (int i = 0; i < n; i++) {
        attr[i] = start[i];
        attr[n + i] = step ? step[i] : 1;
        s.want.shape[i] = extent[i];
        any |= attr[i] || attr[n + i] != 1 || extent[i] != kl_graph_shape(g, a)[i];
    }
    return any ? kl_graph_node(g, &s) : a;
}

kl_ref kl_g_flip(kl_graph *g, kl_ref a, uint64_t axes)
{
    int64_t attr = (int64_t)axes;
    kl_spec s = {.op = KL_OP_flip, .src = &a, .nsrc = 1, .attr = &attr, .nattr = 1};
    return axes ? kl_graph_node(g, &s) : a;
}

kl_ref kl_g_concat(kl_graph *g, const kl_ref *a, uint32_t n, int axis)
{
    int64_t attr = axis;
    kl_spec s = {.op = KL_OP_concat, .src = a, .nsrc = n, .attr = &attr, .nattr = 1};
    return n == 1 ? a[0] : kl_graph_node(g, &s);
}

kl_ref kl_g_iota(kl_graph *g, kl_dtype dt, int rank, const kl_dim *shape, int axis)
{
    int64_t attr = axis;
    kl_spec s = {
        .op = KL_OP_iota, .want = {.dtype = dt, .rank = rank}, .attr = &attr, .nattr = 1};
    memcpy(s.want.shape, shape, (size_t)KL_MIN(rank, KL_MAX_RANK) * sizeof *shape);
    return kl_graph_node(g, &s);
}

/* ---- the rest ---- */

kl_ref kl_g_reduce(kl_graph *g, kl_op combine, kl_ref a, uint64_t axes, bool keep)
{
    int64_t attr[] = {combine, (int64_t)axes};
    kl_type t;
    kl_spec s = {.op = KL_OP_reduce, .src = &a, .nsrc = 1, .attr = attr, .nattr = 2};
    if (a == KL_NONE || axes == 0)
        return a;
    kl_ref y = kl_graph_node(g, &s);
    kl_graph_type(g, a, &t);
    for (int i = 0; i < t.rank; i++)
        if (axes >> i & 1)
            t.shape[i] = 1;
    return keep ? kl_g_reshape(g, y, t.rank, t.shape) : y;
}

/* One operand's labels: "bk" up to `stop`. */
static const char *read_labels(const char *s, char stop, int64_t *attr, int64_t *n)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
    const char *at;
    for (*n = 0; *s && *s != stop && *s != '-'; s++, ++*n) {
        if (*n == KL_MAX_RANK || !(at = strchr(letters, *s)))
            return NULL;
        attr[*n] = at - letters;
    }
    return s;
}

uint32_t kl_contract_attrs(const char *labels, int64_t *attr)
{
    int64_t part[3][KL_MAX_RANK], n[3];
    const char *s = read_labels(labels, ',', part[0], &n[0]);
    s = s && *s == ',' ? read_labels(s + 1, '-', part[1], &n[1]) : NULL;
    s = s && s[0] == '-' && s[1] == '>' ? read_labels(s + 2, '-', part[2], &n[2]) : NULL;
    if (!s || *s) {
        kl_fail(KL_ERR_ARG, "contract: labels \"%.80s\" are not like \"bk,nk->bn\"",
                labels);
        return 0;
    }
    uint32_t at = 3;
    for (int i = 0; i < 3; i++) {
        attr[i] = n[i];
        for (int64_t j = 0; j < n[i]; j++)
            attr[at++] = part[i][j];
    }
    return at;
}

kl_labels kl_contract_labels(const kl_graph *g, kl_ref r)
{
    const int64_t *attr = kl_graph_attr(g, r), *at = attr + 3;
    kl_labels l;
    for (int part = 0; part < 3; at += attr[part++]) {
        l.n[part] = (int)attr[part];
        memcpy(l.of[part], at, (size_t)attr[part] * sizeof *at);
    }
    return l;
}

int kl_label_at(const kl_labels *l, int part, int64_t label)
{
    for (int i = 0; i < l->n[part]; i++)
        if (l->of[part][i] == label)
            return i;
    return -1;
}

kl_ref kl_g_contract(kl_graph *g, kl_ref a, kl_ref b, const char *labels, kl_dtype acc)
{
    int64_t attr[3 + 3 * KL_MAX_RANK];
    kl_ref src[] = {a, b};
    if (a == KL_NONE || b == KL_NONE)
        return KL_NONE;
    kl_spec s = {.op = KL_OP_contract,
                 .want = {.dtype = acc},
                 .src = src,
                 .nsrc = 2,
                 .attr = attr,
                 .nattr = kl_contract_attrs(labels, attr)};
    return s.nattr ? kl_graph_node(g, &s) : KL_NONE;
}

kl_ref kl_g_pick(kl_graph *g, kl_ref a, int k)
{
    int64_t attr = k;
    kl_spec s = {.op = KL_OP_pick, .src = &a, .nsrc = 1, .attr = &attr, .nattr = 1};
    return kl_graph_node(g, &s);
}
