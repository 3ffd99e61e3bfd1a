/* op_rnn.c: recurrent layers as scans, a direction after the other. Gates of all steps
 * come from one product before the scan; the body adds what the last state gives.
 *
 *   RNN  h' = f(x W^T + h R^T + b)         LSTM gates i o f c     GRU gates z r h */
#include <strings.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

enum { MOST_ACTIVATIONS = 3 };

typedef struct activation {
    const char *name;
    double alpha, beta;
} activation;

typedef struct cell {
    int gates;
    int64_t H;
    activation f[MOST_ACTIVATIONS];
    double clip;
    bool lengths, after_reset, coupled;
    kl_tensor *R, *rb;  /* [gates H, H], [gates H]: the recurrence's own bias */
    kl_tensor *peep[3]; /* i o f, [H] */
} cell;

/* ---- activations ---- */

static const struct {
    const char *name;
    double alpha, beta;
} defaults[] = {{"Affine", 1, 0},          {"LeakyRelu", 0.01, 0},
                {"ThresholdedRelu", 1, 0}, {"ScaledTanh", 1, 1},
                {"HardSigmoid", 0.2, 0.5}, {"Elu", 1, 0}};

static bool called(const activation *a, const char *name)
{
    return strcasecmp(a->name, name) == 0;
}

static kl_tensor *activate(const activation *a, kl_tensor *x)
{
    if (called(a, "Sigmoid"))
        return kl_sigmoid(x);
    if (called(a, "Tanh"))
        return kl_tanh(x);
    if (called(a, "Relu"))
        return kl_relu(x);
    if (called(a, "Affine"))
        return kl_add(kl_mul(x, a->alpha), a->beta);
    if (called(a, "LeakyRelu"))
        return kl_leaky_relu(x, a->alpha);
    if (called(a, "ThresholdedRelu"))
        return kl_threshold_at(KL_HERE, x, a->alpha, 0);
    if (called(a, "ScaledTanh"))
        return kl_mul(kl_tanh(kl_mul(x, a->beta)), a->alpha);
    if (called(a, "HardSigmoid"))
        return kl_clamp(kl_add(kl_mul(x, a->alpha), a->beta), 0.0, 1.0);
    if (called(a, "Elu"))
        return kl_elu_by_at(KL_HERE, x, a->alpha, 1, 1);
    if (called(a, "Softsign"))
        return kl_softsign(x);
    if (called(a, "Softplus"))
        return kl_softplus(x);
    return NULL;
}

/* The direction's part of the lists; alphas and betas are given to those that take them.
 */
static bool activations_of(kl_onnx_op *n, int dir, int count, const char *const *usual,
                           cell *c)
{
    const attribute_proto *names = kl_onnx_attribute(n, "activations"),
                          *alpha = kl_onnx_attribute(n, "activation_alpha"),
                          *beta = kl_onnx_attribute(n, "activation_beta");
    for (int i = 0; i < count; i++) {
        size_t k = (size_t)(dir * count + i);
        activation *a = &c->f[i];
        *a = (activation){usual[i], 1, 0};
        if (names && k < names->n_strings) {
            char *s = kl_onnx_alloc(n->run, names->strings[k].len + 1);
            if (!s)
                return false;
            memcpy(s, names->strings[k].data, names->strings[k].len);
            a->name = s;
        }
        for (size_t d = 0; d < KL_COUNT(defaults); d++)
            if (called(a, defaults[d].name))
                a->alpha = defaults[d].alpha, a->beta = defaults[d].beta;
        a->alpha = alpha && k < alpha->n_floats ? (double)alpha->floats[k] : a->alpha;
        a->beta = beta && k < beta->n_floats ? (double)beta->floats[k] : a->beta;
        if (!activate(a, kl_zeros(kl_shape(1), KL_F32)))
            return kl_onnx_fail(n, KL_ERR_UNSUPPORTED,
                                "activation '%.40s' is not supported", a->name),
                   false;
    }
    return true;
}

/* ---- a step ---- */

static kl_tensor *gate(const cell *c, kl_tensor *g, int i)
{
    return kl_narrow(g, -1, i * c->H, c->H);
}

static kl_tensor *clipped(const cell *c, kl_tensor *x)
{
    return c->clip > 0 ? kl_clamp(x, -c->clip, c->clip) : x;
}

static kl_tensor *recur(const cell *c, kl_tensor *h, int first, int count)
{
    kl_tensor *R = kl_narrow(c->R, 0, first * c->H, count * c->H);
    return kl_matmul(h, kl_transpose(R, 0, 1));
}

static kl_tensor *simple(const cell *c, kl_tensor *x, kl_tensor *h)
{
    kl_tensor *g = kl_add(kl_add(x, recur(c, h, 0, 1)), c->rb);
    return activate(&c->f[0], clipped(c, g));
}

static kl_tensor *gru(const cell *c, kl_tensor *x, kl_tensor *h)
{
    kl_tensor *zr = kl_add(kl_narrow(x, -1, 0, 2 * c->H), recur(c, h, 0, 2));
    zr = activate(&c->f[0], clipped(c, kl_add(zr, kl_narrow(c->rb, 0, 0, 2 * c->H))));
    kl_tensor *z = gate(c, zr, 0), *r = gate(c, zr, 1),
              *b = kl_narrow(c->rb, 0, 2 * c->H, c->H);
    kl_tensor *g = c->after_reset ? kl_mul(r, kl_add(recur(c, h, 2, 1), b))
                                  : kl_add(recur(c, kl_mul(r, h), 2, 1), b);
    g = activate(&c->f[1], clipped(c, kl_add(gate(c, x, 2), g)));
    return kl_add(kl_mul(kl_sub(1.0, z), g), kl_mul(z, h));
}

static kl_tensor *peeped(const cell *c, kl_tensor *g, int i, kl_tensor *state)
{
    return c->peep[i] ? kl_add(g, kl_mul(c->peep[i], state)) : g;
}

static kl_tensor *lstm(const cell *c, kl_tensor *x, kl_tensor *h, kl_tensor **state)
{
    kl_tensor *g = kl_add(kl_add(x, recur(c, h, 0, 4)), c->rb), *C = *state;
    kl_tensor *i = activate(&c->f[0], clipped(c, peeped(c, gate(c, g, 0), 0, C)));
    kl_tensor *f = c->coupled
                       ? kl_sub(1.0, i)
                       : activate(&c->f[0], clipped(c, peeped(c, gate(c, g, 2), 2, C)));
    kl_tensor *w = activate(&c->f[1], clipped(c, gate(c, g, 3)));
    C = kl_add(kl_mul(f, C), kl_mul(i, w));
    kl_tensor *o = activate(&c->f[0], clipped(c, peeped(c, gate(c, g, 1), 1, C)));
    *state = C;
    return kl_mul(o, activate(&c->f[2], C));
}

/* in: h, (c), gates of the step, (whether the sequence still goes on [N, 1]). */
static void step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const cell *c = user;
    bool two = c->gates == 4;
    kl_tensor *h = in[0], *state = two ? in[1] : NULL, *x = in[1 + two];
    kl_tensor *on = c->lengths ? in[2 + two] : NULL, *old = state;
    kl_tensor *y = two             ? lstm(c, x, h, &state)
                   : c->gates == 3 ? gru(c, x, h)
                                   : simple(c, x, h);
    out[0] = on ? kl_where(on, y, h) : y;
    if (two)
        out[1] = on ? kl_where(on, state, old) : state;
    out[1 + two] = on ? kl_where(on, y, 0.0) : kl_clone(y);
}

/* ---- a direction ---- */

typedef struct layer {
    kl_tensor *x, *w, *r, *b, *lengths, *h, *c, *p; /* x [T, N, I] */
    int64_t T, N, H;
    int gates, dirs;
} layer;

/* Steps in reverse, each sequence's within its length. */
static kl_tensor *reversed(const layer *l, kl_tensor *x)
{
    if (!l->lengths)
        return kl_flip(x, kl_axes(0));
    kl_tensor *t = kl_reshape(kl_arange(0, l->T, 1, KL_I64), kl_shape(l->T, 1, 1));
    kl_tensor *n = kl_reshape(kl_to(l->lengths, KL_I64), kl_shape(1, l->N, 1));
    kl_tensor *from = kl_where(kl_lt(t, n), kl_sub(kl_sub(n, 1), t), t);
    return kl_take_along_dim_at(KL_HERE, x, kl_expand(from, kl_shape_of(x)), 0, false);
}

static void take_weights(const layer *l, int d, cell *c)
{
    c->H = l->H;
    c->gates = l->gates;
    c->R = kl_select(l->r, 0, d);
    int64_t G = l->gates * l->H;
    c->rb = l->b ? kl_narrow(kl_select(l->b, 0, d), 0, G, G)
                 : kl_zeros(kl_shape(G), kl_dtype_of(l->x));
    for (int i = 0; l->p && i < 3; i++)
        c->peep[i] = kl_narrow(kl_select(l->p, 0, d), 0, i * l->H, l->H);
    c->lengths = l->lengths != NULL;
}

/* y [T, N, H], h and c [N, H] of direction d. */
static bool direction(const layer *l, int d, bool backward, cell *c, kl_tensor **y,
                      kl_tensor **h, kl_tensor **state)
{
    take_weights(l, d, c);
    kl_tensor *x = backward ? reversed(l, l->x) : l->x, *carry[2], *xs[2], *out[3];
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *g = kl_matmul(x, kl_transpose(kl_select(l->w, 0, d), 0, 1));
    if (l->b)
        g = kl_add(g, kl_narrow(kl_select(l->b, 0, d), 0, 0, l->gates * l->H));
    int nc = 1 + (l->gates == 4), nx = 1;
    carry[0] = l->h ? kl_select(l->h, 0, d) : kl_zeros(kl_shape(l->N, l->H), dt);
    carry[1] = l->c ? kl_select(l->c, 0, d) : kl_zeros(kl_shape(l->N, l->H), dt);
    xs[0] = g;
    if (l->lengths) {
        kl_tensor *t = kl_reshape(kl_arange(0, l->T, 1, KL_I64), kl_shape(l->T, 1, 1));
        xs[nx++] = kl_lt(t, kl_reshape(kl_to(l->lengths, KL_I64), kl_shape(1, l->N, 1)));
    }
    if (kl_scan(step, c, carry, nc, xs, nx, out, nc + 1))
        return false;
    *y = backward ? reversed(l, out[nc]) : out[nc];
    *h = out[0];
    *state = nc == 2 ? out[1] : NULL;
    return true;
}

static void layer_of(kl_onnx_op *n, int gates, const char *const *usual, int count,
                     bool after)
{
    const char *way = kl_onnx_text(n, "direction", "forward");
    bool batch_first = kl_onnx_int(n, "layout", 0);
    kl_tensor *y[2], *h[2], *c[2];
    layer l = {in(n, 0),
               in(n, 1),
               in(n, 2),
               in(n, 3),
               in(n, 4),
               in(n, 5),
               gates == 4 ? in(n, 6) : NULL,
               gates == 4 ? in(n, 7) : NULL,
               0,
               0,
               0,
               gates,
               0};
    if (batch_first) {
        l.x = kl_transpose(l.x, 0, 1);
        l.h = l.h ? kl_transpose(l.h, 0, 1) : NULL;
        l.c = l.c ? kl_transpose(l.c, 0, 1) : NULL;
    }
    l.T = kl_extent(l.x, 0), l.N = kl_extent(l.x, 1), l.H = kl_extent(l.r, 2);
    l.dirs = way[0] == 'b' ? 2 : 1;
    if (kl_rank(l.x) != 3 || kl_rank(l.w) != 3 || kl_rank(l.r) != 3 ||
        kl_extent(l.w, 0) != l.dirs || kl_extent(l.r, 1) != product64(gates, l.H)) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "weights do not fit %d direction(s) of %lld",
                     l.dirs, (long long)l.H);
        return;
    }
    for (int d = 0; d < l.dirs; d++) {
        cell cell_ = {.clip = kl_onnx_float(n, "clip", 0),
                      .after_reset = after,
                      .coupled = kl_onnx_int(n, "input_forget", 0)};
        bool backward = d == 1 || way[0] == 'r';
        if (!activations_of(n, d, count, usual, &cell_) ||
            !direction(&l, d, backward, &cell_, &y[d], &h[d], &c[d]))
            return;
    }
    int at = batch_first ? 1 : 0;
    kl_tensor *all = kl_stack(y, l.dirs, 1); /* [T, D, N, H] */
    give(n, 0, batch_first ? kl_permute(all, kl_axes(2, 0, 1, 3)) : all);
    give(n, 1, kl_stack(h, l.dirs, at));
    if (gates == 4)
        give(n, 2, kl_stack(c, l.dirs, at));
}

OP(RNN)
{
    static const char *const usual[] = {"Tanh"};
    layer_of(n, 1, usual, 1, false);
}
OP(GRU)
{
    static const char *const usual[] = {"Sigmoid", "Tanh"};
    layer_of(n, 3, usual, 2, kl_onnx_int(n, "linear_before_reset", 0));
}
OP(LSTM)
{
    static const char *const usual[] = {"Sigmoid", "Tanh", "Tanh"};
    layer_of(n, 4, usual, 3, false);
}
