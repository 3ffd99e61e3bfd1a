/* op_attention.c: attention and what stands around it. Masks are numbers added to the
 * scores: 0 where a key takes part, -infinity where it does not; a query without any key
 * gives 0.
 *
 *   scores = softcap(q sqrt(s) (k sqrt(s))^T) + mask;  y = softmax(scores) v */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* [N, L, heads * E] as [N, heads, L, E]. */
static kl_tensor *heads_of(kl_tensor *x, int64_t heads)
{
    if (kl_rank(x) != 3 || heads < 1)
        return x;
    int64_t N = kl_extent(x, 0), L = kl_extent(x, 1), E = kl_extent(x, 2) / heads;
    return kl_permute(kl_reshape(x, kl_shape(N, L, heads, E)), kl_axes(0, 2, 1, 3));
}

static kl_tensor *joined(kl_tensor *x)
{
    int64_t N = kl_extent(x, 0), L = kl_extent(x, 2);
    return kl_reshape(kl_permute(x, kl_axes(0, 2, 1, 3)), kl_shape(N, L, -1));
}

/* Each head of keys serves several of queries. */
static kl_tensor *shared(kl_tensor *x, int64_t heads)
{
    int64_t have = kl_extent(x, 1);
    return have > 0 && heads != have && heads % have == 0
               ? kl_repeat_interleave(x, heads / have, 1)
               : x;
}

static kl_tensor *masked_out(kl_tensor *allowed, kl_dtype dt)
{
    return kl_to(kl_where(allowed, 0.0, -INFINITY), dt);
}

static kl_tensor *plus(kl_tensor *a, kl_tensor *b)
{
    return !a ? b : b ? kl_add(a, b) : a;
}

/* ---- masks ---- */

typedef struct scope {
    int64_t L, S;      /* queries, keys */
    kl_tensor *before; /* keys before the first query: i64 [] or [N, 1, 1, 1] */
    kl_dtype dt;
} scope;

/* i + before - j */
static kl_tensor *distance(const scope *s)
{
    kl_tensor *i = kl_reshape(kl_arange(0, s->L, 1, KL_I64), kl_shape(s->L, 1));
    return kl_sub(kl_add(i, s->before), kl_arange(0, s->S, 1, KL_I64));
}

static kl_tensor *given_mask(kl_onnx_op *n, const scope *s)
{
    kl_tensor *m = in(n, 3);
    if (!m)
        return NULL;
    m = kl_dtype_of(m) == KL_BOOL ? masked_out(m, s->dt) : kl_to(m, s->dt);
    int64_t more = s->S - kl_extent(m, -1);
    return more > 0 ? kl_pad(m, kl_shape(0, more), -INFINITY) : m;
}

static kl_tensor *mask_of(kl_onnx_op *n, const scope *s)
{
    kl_tensor *m = given_mask(n, s), *d = NULL;
    int64_t left = kl_onnx_int(n, "left_window_size", -1);
    int64_t right = kl_onnx_int(n, "right_window_size", -1);
    bool causal = kl_onnx_int(n, "is_causal", 0);
    if (causal || left >= 0 || right >= 0)
        d = distance(s);
    m = causal ? plus(m, masked_out(kl_ge(d, 0), s->dt)) : m;
    m = left >= 0 ? plus(m, masked_out(kl_le(d, left), s->dt)) : m;
    m = right >= 0 ? plus(m, masked_out(kl_ge(d, -right), s->dt)) : m;
    if (has(n, 6)) {
        kl_tensor *there = kl_reshape(kl_to(in(n, 6), KL_I64), kl_shape(-1, 1, 1, 1));
        m = plus(m, masked_out(kl_lt(kl_arange(0, s->S, 1, KL_I64), there), s->dt));
    }
    return m;
}

/* ---- attention ---- */

/* The softmax of scores; rows whose mask lets nothing through are 0. */
static kl_tensor *weights_of(kl_tensor *scores, kl_tensor *mask)
{
    kl_tensor *p = kl_softmax(scores, -1);
    if (!mask)
        return p;
    kl_tensor *none = kl_isneginf(kl_amax_axes(mask, kl_axes(-1), true));
    return kl_where(none, 0.0, p);
}

OP(Attention)
{
    kl_tensor *q = in(n, 0), *k = in(n, 1), *v = in(n, 2);
    bool flat = kl_rank(q) == 3;
    q = heads_of(q, kl_onnx_int(n, "q_num_heads", 0));
    k = heads_of(k, kl_onnx_int(n, "kv_num_heads", 0));
    v = heads_of(v, kl_onnx_int(n, "kv_num_heads", 0));
    if (kl_rank(q) != 4 || kl_rank(k) != 4 || kl_rank(v) != 4) {
        kl_onnx_fail(n, KL_ERR_SHAPE,
                     "operands of %d dimensions without numbers of heads", kl_rank(q));
        return;
    }
    scope s = {.L = kl_extent(q, 2), .dt = kl_dtype_of(q)};
    if (has(n, 4)) {
        k = kl_cat(((kl_tensor *[]){in(n, 4), k}), 2, 2);
        v = kl_cat(((kl_tensor *[]){in(n, 5), v}), 2, 2);
    }
    give(n, 1, k);
    give(n, 2, v);
    s.S = kl_extent(k, 2);
    int64_t before = has(n, 4) ? kl_extent(in(n, 4), 2) : 0;
    s.before = kl_scalar_tensor(before, KL_I64);
    if (has(n, 6) && !has(n, 4))
        s.before =
            kl_sub(kl_reshape(kl_to(in(n, 6), KL_I64), kl_shape(-1, 1, 1, 1)), s.L);
    double scale = kl_onnx_float(n, "scale", 1 / sqrt((double)kl_extent(q, 3)));
    double cap = kl_onnx_float(n, "softcap", 0);
    kl_tensor *root = kl_scalar_tensor(sqrt(scale), s.dt);
    k = shared(k, kl_extent(q, 1));
    v = shared(v, kl_extent(q, 1));
    kl_tensor *qk = kl_matmul(kl_mul(q, root), kl_mul(kl_transpose(k, 2, 3), root));
    kl_tensor *plain = qk;
    if (cap > 0)
        qk = kl_mul(kl_tanh(kl_div(qk, cap)), cap);
    kl_tensor *mask = mask_of(n, &s), *scores = plus(qk, mask);
    int type = (int)kl_onnx_int(n, "softmax_precision", 0);
    kl_tensor *p = weights_of(type ? kl_to(scores, kl_onnx_dtype(type)) : scores, mask);
    p = kl_to(p, s.dt);
    kl_tensor *y = kl_matmul(p, v);
    give(n, 0, flat ? joined(y) : y);
    int64_t mode = kl_onnx_int(n, "qk_matmul_output_mode", 0);
    bool v23 = n->opset < 24;
    (void)plain;
    (void)v23;
    give(n, 3, mode == 3 ? p : mode == 2 ? scores : qk);
}

/* A graph of one operand that is an attribute. */
static kl_tensor *modified(kl_onnx_op *n, const char *name, kl_tensor *x)
{
    const attribute_proto *a = kl_onnx_attribute(n, name);
    kl_onnx_value v = {.t = x, .type = kl_onnx_type(kl_dtype_of(x)), .n = -1},
                  out = {.n = -1};
    if (!a || !a->g)
        return x;
    kl_onnx_walk(n->run, a->g, n->frame, &v, 1, &out, 1);
    return kl_failed() ? NULL : kl_to(out.t, kl_dtype_of(x));
}

OP(FlexAttention)
{
    kl_tensor *q = in(n, 0), *k = shared(in(n, 1), kl_extent(q, 1)),
              *v = shared(in(n, 2), kl_extent(q, 1));
    double scale = kl_onnx_float(n, "scale", 1 / sqrt((double)kl_extent(q, 3)));
    kl_dtype dt = kl_dtype_of(q);
    int type = (int)kl_onnx_int(n, "softmax_precision", 0);
    kl_tensor *root = kl_scalar_tensor((double)sqrtf((float)scale), dt);
    kl_tensor *s = kl_matmul(kl_mul(q, root), kl_mul(kl_transpose(k, 2, 3), root));
    s = type ? kl_to(s, kl_onnx_dtype(type)) : widen(s);
    kl_tensor *p = modified(n, "prob_mod", kl_softmax(modified(n, "score_mod", s), -1));
    give(n, 0, kl_to(kl_matmul(p, kl_to(v, kl_dtype_of(p))), kl_dtype_of(in(n, 2))));
}

/* ---- positions ---- */

OP(RotaryEmbedding)
{
    kl_tensor *x = in(n, 0), *c = in(n, 1), *s = in(n, 2), *at = in(n, 3);
    bool flat = kl_rank(x) == 3, pairs = kl_onnx_int(n, "interleaved", 0);
    kl_tensor *w = heads_of(x, kl_onnx_int(n, "num_heads", 0));
    if (kl_rank(w) != 4) {
        kl_onnx_fail(n, KL_ERR_SHAPE,
                     "operands of 3 dimensions without a number of heads");
        return;
    }
    int64_t E = kl_extent(w, 3), part = kl_onnx_int(n, "rotary_embedding_dim", 0);
    part = part ? part : E;
    if (part < 0 || part > E) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "%lld of %lld elements are turned", (long long)part,
                     (long long)E);
        return;
    }
    if (at) {
        c = kl_embedding(at, c);
        s = kl_embedding(at, s);
    }
    c = kl_unsqueeze(c, 1);
    s = kl_unsqueeze(s, 1);
    kl_tensor *r = kl_narrow(w, 3, 0, part);
    kl_tensor *a = pairs ? kl_slice_step(r, 3, 0, part, 2) : kl_narrow(r, 3, 0, part / 2);
    kl_tensor *b =
        pairs ? kl_slice_step(r, 3, 1, part, 2) : kl_narrow(r, 3, part / 2, part / 2);
    kl_tensor *both[] = {kl_sub(kl_mul(c, a), kl_mul(s, b)),
                         kl_add(kl_mul(s, a), kl_mul(c, b))};
    kl_tensor *y =
        pairs ? kl_reshape(kl_stack(both, 2, 4), kl_shape_of(r)) : kl_cat(both, 2, 3);
    if (part < E)
        y = kl_cat(((kl_tensor *[]){y, kl_narrow(w, 3, part, E - part)}), 2, 3);
    give(n, 0, flat ? kl_reshape(joined(y), kl_shape_of(x)) : y);
}

/* ---- a state in place of keys ---- */

typedef struct linear {
    bool gated, delta;
    double scale;
    int64_t heads;
} linear;

/* in: state [N, H, K, V], q [N, Hq, K], k, v, then decay, beta where there are such. */
static void step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const linear *l = user;
    kl_tensor *state = in[0], *q = in[1], *k = in[2], *v = in[3];
    kl_tensor *decay = l->gated ? in[4] : NULL,
              *beta = l->delta ? in[4 + l->gated] : NULL;
    if (decay)
        state = kl_mul(state, kl_unsqueeze(kl_exp(decay), -1));
    if (beta) {
        kl_tensor *kept =
            kl_sum_axes(kl_mul(state, kl_unsqueeze(k, -1)), kl_axes(2), false);
        v = kl_mul(beta, kl_sub(v, kept));
    }
    state = kl_add(state, kl_mul(kl_unsqueeze(k, -1), kl_unsqueeze(v, -2)));
    kl_tensor *read = shared(state, l->heads);
    kl_tensor *y = kl_sum_axes(kl_mul(kl_unsqueeze(q, -1), read), kl_axes(2), false);
    out[0] = state;
    out[1] = kl_mul(y, l->scale);
}

/* [N, T, heads * D] as [T, N, heads, D], in f32. */
static kl_tensor *by_step(kl_tensor *x, int64_t heads)
{
    int64_t N = kl_extent(x, 0), T = kl_extent(x, 1);
    x = kl_reshape(kl_to(x, KL_F32), kl_shape(N, T, heads, -1));
    return kl_permute(x, kl_axes(1, 0, 2, 3));
}

OP(LinearAttention)
{
    const char *rule = kl_onnx_text(n, "update_rule", "gated_delta");
    int64_t hq = kl_onnx_int(n, "q_num_heads", 0), h = kl_onnx_int(n, "kv_num_heads", 0);
    kl_tensor *q = in(n, 0), *v = in(n, 2), *xs[5], *out[2];
    linear l = {strncmp(rule, "gated", 5) == 0, strstr(rule, "delta") != NULL, 0, hq};
    if (hq < 1 || h < 1 || hq % h || kl_rank(q) != 3 || (l.gated && !has(n, 4)) ||
        (l.delta && !has(n, 5))) {
        kl_onnx_fail(n, KL_ERR_ARG, "%lld heads of queries, %lld of keys, rule '%.20s'",
                     (long long)hq, (long long)h, rule);
        return;
    }
    int64_t N = kl_extent(q, 0), T = kl_extent(q, 1), K = kl_extent(q, 2) / hq,
            V = kl_extent(v, 2) / h;
    int nx = 0;
    l.scale = kl_onnx_float(n, "scale", 0);
    l.scale = l.scale != 0 ? l.scale : 1 / sqrt((double)K);
    xs[nx++] = by_step(q, hq);
    xs[nx++] = by_step(in(n, 1), h);
    xs[nx++] = by_step(v, h);
    if (l.gated)
        xs[nx++] = by_step(in(n, 4), h);
    if (l.delta)
        xs[nx++] = by_step(in(n, 5), kl_extent(in(n, 5), 2));
    kl_tensor *state =
        has(n, 3) ? kl_to(in(n, 3), KL_F32) : kl_zeros(kl_shape(N, h, K, V), KL_F32);
    kl_dtype dt = kl_dtype_of(q), of_state = has(n, 3) ? kl_dtype_of(in(n, 3)) : dt;
    if (kl_scan(step, &l, &state, 1, xs, nx, out, 2))
        return;
    kl_tensor *y = kl_reshape(kl_permute(out[1], kl_axes(1, 0, 2, 3)),
                              kl_shape(N, T, product64(hq, V)));
    give(n, 0, kl_to(y, dt));
    give(n, 1, kl_to(out[0], of_state));
}

/* A convolution of each channel over what came before. */
OP(CausalConvWithState)
{
    kl_tensor *x = in(n, 0), *w = in(n, 1), *past = in(n, 3);
    const char *then = kl_onnx_text(n, "activation", "none");
    int64_t k = kl_extent(w, -1) - 1, C = kl_extent(x, 1);
    kl_dtype dt = kl_dtype_of(x);
    if (!past)
        past = kl_zeros(kl_shape(kl_extent(x, 0), C, k), dt);
    kl_tensor *all = k ? kl_cat(((kl_tensor *[]){past, x}), 2, 2) : x;
    kl_tensor *y =
        kl_convolution_at(KL_HERE, all, w, in(n, 2), (kl_conv_axes){.groups = C});
    if (strcmp(then, "none") != 0)
        y = kl_to(kl_silu(widen(y)), dt);
    give(n, 0, y);
    give(n, 1, kl_narrow(all, 2, kl_extent(all, 2) - k, k));
}
