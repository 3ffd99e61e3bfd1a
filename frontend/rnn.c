/* rnn.c: recurrent layers, composed of kiln's own calls: a layer is one scan over time.
 *
 *   layer(x)  ->  g = x W_ih^T + b_ih        for all steps together
 *                 scan over g: h = cell(g[t], h W_hh^T + b_hh)
 *
 * A step beyond a sequence's length leaves its state as it is and gives zeros, in both
 * directions, so that sequences of several lengths are one batch. */
#include "handles.h"

typedef struct weights {
    kl_tensor *w_ih, *w_hh, *b_ih, *b_hh, *w_hr;
} weights;
typedef struct step_of {
    const char *at;
    kl_cell cell;
    weights w;
    bool lengths, kept; /* kept: it also gives r and, of the LSTM, c */
} step_of;

/* Part i of n of the last axis. */
static kl_tensor *part(const char *at, kl_tensor *t, int i, int n)
{
    int64_t size = t ? kl_extent(t, -1) / n : 0;
    return t ? kl_narrow_at(at, t, -1, i * size, size) : NULL;
}

static kl_tensor *sigmoid(const char *at, kl_tensor *t)
{
    return t ? kl_sigmoid_at(at, T(t)) : NULL;
}

static kl_tensor *tanh_of(const char *at, kl_tensor *t)
{
    return t ? kl_tanh_at(at, T(t)) : NULL;
}

/* ---- cells: g is x's part of the gates, r is h's ---- */

static kl_tensor *lstm_cell(const char *at, kl_tensor *g, kl_tensor *r, kl_tensor **c)
{
    kl_tensor *s = plus(at, g, r), *in = sigmoid(at, part(at, s, 0, 4)),
              *keep = sigmoid(at, part(at, s, 1, 4)),
              *new = tanh_of(at, part(at, s, 2, 4)),
              *out = sigmoid(at, part(at, s, 3, 4));
    *c = plus(at, mul(at, keep, *c), mul(at, in, new));
    return mul(at, out, tanh_of(at, *c));
}

static kl_tensor *gru_cell(const char *at, kl_tensor *g, kl_tensor *r, kl_tensor *h)
{
    kl_tensor *reset = sigmoid(at, plus(at, part(at, g, 0, 3), part(at, r, 0, 3))),
              *keep = sigmoid(at, plus(at, part(at, g, 1, 3), part(at, r, 1, 3))),
              *n = tanh_of(
                  at, plus(at, part(at, g, 2, 3), mul(at, reset, part(at, r, 2, 3))));
    return n && keep ? plus(at, n, mul(at, keep, kl_sub_at(at, T(h), T(n)))) : NULL;
}

static kl_tensor *cell(const char *at, kl_cell kind, kl_tensor *g, kl_tensor *r,
                       kl_tensor *h, kl_tensor **c)
{
    kl_tensor *s;
    switch (kind) {
    case KL_CELL_LSTM:
        return lstm_cell(at, g, r, c);
    case KL_CELL_GRU:
        return gru_cell(at, g, r, h);
    case KL_CELL_RELU:
        s = plus(at, g, r);
        return s ? kl_relu_at(at, T(s)) : NULL;
    case KL_CELL_TANH:
        break;
    }
    return tanh_of(at, plus(at, g, r));
}

kl_tensor *kl_rnn_cell_at(const char *at, kl_cell kind, kl_tensor *x, kl_tensor *h,
                          kl_tensor *c, kl_tensor *const w[4], kl_tensor **c_out)
{
    kl_call call = kl_compose(at);
    kl_tensor *g = kl_linear_at(at, x, w[0], w[2]), *r = kl_linear_at(at, h, w[1], w[3]);
    kl_tensor *y = g && r ? cell(at, kind, g, r, h, &c) : NULL;
    if (c_out)
        *c_out = y && kind == KL_CELL_LSTM ? kl_keep(c) : NULL;
    return kl_composed(&call, NULL, y);
}

/* ---- a layer ---- */

/* in: h, c of the LSTM; then g[t] and, with lengths, whether t is within them. */
static void step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const step_of *s = user;
    const char *at = s->at;
    bool lstm = s->cell == KL_CELL_LSTM;
    int state = lstm ? 2 : 1;
    kl_tensor *h = in[0], *c = lstm ? in[1] : NULL, *g = in[state], *old_c = c;
    kl_tensor *r = kl_linear_at(at, h, s->w.w_hh, s->w.b_hh);
    kl_tensor *new = r ? cell(at, s->cell, g, r, h, &c) : NULL, *y;
    if (s->w.w_hr && new)
        new = kl_linear_at(at, new, s->w.w_hr, NULL);
    y = new;
    if (s->lengths && new) {
        kl_tensor *on = in[state + 1];
        y = kl_where_at(at, on, T(new), kl_arg_i(0));
        new = kl_where_at(at, on, T(new), T(h));
        c = lstm ? kl_where_at(at, on, T(c), T(old_c)) : NULL;
    }
    out[0] = new;
    if (lstm)
        out[1] = c;
    out[state] = y;
    if (s->kept) {
        out[state + 1] = r;
        out[state + 2] = c;
    }
}

static kl_tensor *flipped(const char *at, kl_tensor *t, bool flip)
{
    return t && flip ? kl_flip_at(at, t, kl_axes(0)) : t;
}

/* One direction: [T, N, H]; *h and *c become the last states. */
static kl_tensor *direction(const char *at, kl_tensor *x, kl_tensor **h, kl_tensor **c,
                            const weights *w, const kl_rnn_options *o, kl_tensor *within,
                            bool reverse)
{
    bool lstm = o->cell == KL_CELL_LSTM;
    int state = lstm ? 2 : 1;
    step_of s = {.at = at, .cell = o->cell, .w = *w, .lengths = within != NULL};
    kl_tensor *g = flipped(at, kl_linear_at(at, x, w->w_ih, w->b_ih), reverse);
    kl_tensor *carry[2] = {*h, *c}, *xs[2] = {g, flipped(at, within, reverse)}, *out[3];
    if (!g || kl_scan_at(at, step, &s, carry, state, xs, within ? 2 : 1, out, state + 1))
        return NULL;
    *h = out[0];
    *c = lstm ? out[1] : NULL;
    return flipped(at, out[state], reverse);
}

/* [T, N, 1]: whether step t is within sequence n. */
static kl_tensor *within(const char *at, kl_tensor *x, kl_tensor *lengths)
{
    kl_tensor *t =
        kl_arange_at(at, kl_arg_i(0), kl_arg_i(kl_extent(x, 0)), kl_arg_i(1), KL_I64);
    t = t ? kl_reshape_at(at, t, kl_shape(-1, 1, 1)) : NULL;
    lengths = kl_reshape_at(at, lengths, kl_shape(-1, 1));
    return t && lengths ? kl_lt_at(at, T(t), T(lengths)) : NULL;
}

static kl_status check(kl_tensor *x, kl_tensor *h, kl_tensor *c, int n,
                       const kl_rnn_options *o)
{
    int each = 2 + (o->no_bias ? 0 : 2) + o->projected, dirs = o->bidirectional ? 2 : 1;
    if (!x || !h || (o->cell == KL_CELL_LSTM && !c))
        return kl_failed() ? kl_error_status()
                           : kl_fail(KL_ERR_ARG, "rnn: an operand is NULL");
    if (kl_rank(x) != 3 || kl_rank(h) != 3 || (c && kl_rank(c) != 3))
        return kl_fail(KL_ERR_SHAPE, "rnn: input and states need 3 dimensions");
    if (n != each * dirs * o->layers || kl_extent(h, 0) != (int64_t)dirs * o->layers)
        return kl_fail(KL_ERR_SHAPE,
                       "rnn: %d layers in %d directions take %d weights and as many "
                       "states, not %d weights and %lld states",
                       o->layers, dirs, each * dirs * o->layers, n,
                       (long long)kl_extent(h, 0));
    return KL_OK;
}

/* The next weights of w. */
static weights take(kl_tensor *const **w, const kl_rnn_options *o)
{
    weights r = {.w_ih = *(*w)++};
    r.w_hh = *(*w)++;
    if (!o->no_bias) {
        r.b_ih = *(*w)++;
        r.b_hh = *(*w)++;
    }
    if (o->projected)
        r.w_hr = *(*w)++;
    return r;
}

/* All directions of a layer, side by side; states h and c of number i on. */
static kl_tensor *layer(const char *at, kl_tensor *x, kl_tensor *h, kl_tensor *c, int i,
                        kl_tensor *const **w, const kl_rnn_options *o, kl_tensor *mask,
                        kl_tensor **h_out, kl_tensor **c_out)
{
    kl_tensor *y[2] = {NULL};
    int dirs = o->bidirectional ? 2 : 1;
    for (int d = 0; d < dirs; d++) {
        weights of = take(w, o);
        h_out[i + d] = kl_select_at(at, h, 0, i + d);
        c_out[i + d] = c ? kl_select_at(at, c, 0, i + d) : NULL;
        y[d] = direction(at, x, &h_out[i + d], &c_out[i + d], &of, o, mask, d == 1);
        if (!y[d])
            return NULL;
    }
    return dirs == 1 ? y[0] : kl_cat_at(at, y, 2, -1);
}

kl_tensor *kl_rnn_at(const char *at, kl_tensor *x, kl_tensor *h, kl_tensor *c,
                     kl_tensor *const *w, int n, kl_rnn_options o, kl_tensor **h_out,
                     kl_tensor **c_out)
{
    enum { MOST = 64 };
    kl_call call = kl_compose(at);
    kl_tensor *hs[2 * MOST], *cs[2 * MOST], *mask = NULL;
    o.layers = o.layers ? o.layers : 1;
    kl_tensor *no_h, *no_c;
    h_out = h_out ? h_out : &no_h;
    c_out = c_out ? c_out : &no_c;
    *h_out = *c_out = NULL;
    if (o.layers > MOST)
        kl_fail(KL_ERR_ARG, "rnn: more than %d layers", MOST);
    if (o.layers > MOST || !kl_arg_given(w, n, "the list of weights") ||
        check(x, h, c, n, &o))
        return kl_composed(&call, NULL, NULL);
    if (o.lengths && !(mask = within(at, x, o.lengths)))
        return kl_composed(&call, NULL, NULL);
    int dirs = o.bidirectional ? 2 : 1, states = dirs * o.layers;
    for (int i = 0; i < o.layers && x; i++) {
        if (i > 0)
            x = kl_dropout_at(at, x, o.dropout, o.training);
        x = x ? layer(at, x, h, c, i * dirs, &w, &o, mask, hs, cs) : NULL;
    }
    if (x) {
        *h_out = kl_keep(kl_stack_at(at, hs, states, 0));
        *c_out = o.cell == KL_CELL_LSTM ? kl_keep(kl_stack_at(at, cs, states, 0)) : NULL;
    }
    return kl_composed(&call, NULL, x);
}

/* ---- an LSTM that keeps what its derivative reads, and that derivative ---- */

kl_tensor *kl_lstm_kept_at(const char *at, kl_tensor *x, kl_tensor *h, kl_tensor *c,
                           kl_tensor *const w[4], kl_tensor *out[4])
{
    kl_call call = kl_compose(at);
    step_of s = {.at = at,
                 .cell = KL_CELL_LSTM,
                 .w = {.w_ih = w[0], .w_hh = w[1], .b_ih = w[2], .b_hh = w[3]},
                 .kept = true};
    kl_tensor *g = kl_linear_at(at, x, w[0], w[2]), *carry[] = {h, c}, *all[5];
    if (!g || kl_scan_at(at, step, &s, carry, 2, &g, 1, all, 5))
        return kl_composed(&call, NULL, NULL);
    static const int from[] = {0, 1, 3, 4}; /* all[2] is the layer's output */
    for (int i = 0; i < 4; i++)
        out[i] = kl_keep(all[from[i]]);
    return kl_composed(&call, NULL, all[2]);
}

typedef struct pull { /* cotangents of a step's h and c */
    const char *at;
    kl_tensor *w_hh, *dh, *dc;
} pull;

static kl_tensor *dot(const char *at, kl_tensor *a, kl_tensor *b)
{
    kl_tensor *p = a && b ? mul(at, a, b) : NULL;
    return p ? kl_sum_at(at, p, kl_axes(), false) : NULL;
}

/* x: the gates before their functions, and c before the step. */
static kl_tensor *pulled(kl_tensor *const *x, int n, void *user)
{
    const pull *p = user;
    kl_tensor *c = n == 3 ? x[2] : NULL, *h = lstm_cell(p->at, x[0], x[1], &c),
              *y = dot(p->at, h, p->dh), *z = dot(p->at, c, p->dc);
    return y && z ? plus(p->at, y, z) : NULL;
}

/* in: cotangents of h and c after the step; then what x and h gave to the gates, c before
 * the step, and the cotangent of its output. out: those of h and c before it, and of the
 * gates. */
static void step_back(kl_tensor *const *in, kl_tensor **out, void *user)
{
    pull p = *(const pull *)user;
    kl_tensor *d[3];
    p.dh = plus(p.at, in[0], in[5]);
    p.dc = in[1];
    if (!p.dh || !kl_value_and_grad_at(p.at, pulled, &p, in + 2, 3, d))
        return;
    out[0] = kl_matmul_at(p.at, d[0], p.w_hh);
    out[1] = d[2];
    out[2] = d[0];
}

/* [T, N, H], before each step: the first, and what the steps left. */
static kl_tensor *before(const char *at, kl_tensor *first, kl_tensor *after)
{
    kl_tensor *rest = kl_narrow_at(at, after, 0, 0, kl_extent(after, 0) - 1),
              *both[] = {kl_unsqueeze_at(at, first, 0), rest};
    return both[0] && rest ? kl_cat_at(at, both, 2, 0) : NULL;
}

kl_tensor *kl_lstm_back_at(const char *at, kl_tensor *x, kl_tensor *h, kl_tensor *c,
                           kl_tensor *const w[4], kl_tensor *const kept[3],
                           kl_tensor *const du[3], kl_tensor *out[6])
{
    kl_call call = kl_compose(at);
    pull p = {.at = at, .w_hh = w[1]};
    kl_tensor *h_before = before(at, h, kept[0]), *carry[] = {du[1], du[2]}, *d[3],
              *xs[] = {kl_linear_at(at, x, w[0], w[2]), kept[1], before(at, c, kept[2]),
                       du[0]};
    for (int i = 0; i < 4; i++)
        xs[i] = flipped(at, xs[i], true);
    if (kl_failed() || kl_scan_at(at, step_back, &p, carry, 2, xs, 4, d, 3))
        return kl_composed(&call, NULL, NULL);
    kl_tensor *g = flipped(at, d[2], true);
    kl_tensor *bias = g ? kl_sum_at(at, g, kl_axes(0, 1), false) : NULL;
    out[0] = kl_keep(kl_einsum_at(at, "tna,tnb->ab", g, x));
    out[1] = kl_keep(kl_einsum_at(at, "tna,tnb->ab", g, h_before));
    out[2] = kl_keep(bias);
    out[3] = bias ? kl_keep(kl_clone_at(at, bias)) : NULL; /* each may be written to */
    out[4] = kl_keep(d[0]);
    out[5] = kl_keep(d[1]);
    return kl_composed(&call, NULL, g ? kl_matmul_at(at, g, w[0]) : NULL);
}
