/* derive_window.c: the transpose of a window, where convolutions get their input's
 * gradient.
 *
 *   y = window a (size K stride s dilation d)
 *   a' = fold u                                            in general
 *   a' = contract(window(pad g), flip w)                   when u = contract(g, w), with
 * the window's places in g alone and its taps in w alone: no window is ever stored,
 * unless that is cheaper (few places, or many zeros)
 *
 * Place p of a' meets tap x of output o = (p - x d) / s. With g spread by s (interior
 * padding) and (K-1) d zeros before it, that is element p + (K-1-x) d: a window again,
 * the taps reversed. spread.h says how those zeros are left out. */
#include "passes/derive.h"
#include "passes/spread.h"

typedef struct conv {
    kl_graph *g;
    kl_ref u, r;        /* the contraction; the window node */
    const int64_t *win; /* m, then axis size stride dilation */
    int m;
    kl_labels l;                                    /* u's */
    int places, taps;                               /* which operand holds which: 0, 1 */
    int place_at[KL_MAX_RANK], tap_at[KL_MAX_RANK]; /* their axes there */
    kl_spread s[KL_MAX_RANK];
    int phases; /* axes that have them */
} conv;

/* Is u a contraction whose places and taps stand apart, of known sizes? */
static bool matches(conv *c)
{
    const kl_node *n = kl_graph_at(c->g, c->u);
    if (n->op != KL_OP_contract)
        return false;
    int rank = n->rank - c->m;
    c->l = kl_contract_labels(c->g, c->u);
    for (int j = 0; j < c->m; j++) {
        int64_t place = c->l.of[2][c->win[1 + 4 * j]], tap = c->l.of[2][rank + j], k;
        int in_place = kl_label_at(&c->l, 0, place) >= 0 ? 0 : 1;
        int in_tap = kl_label_at(&c->l, 0, tap) >= 0 ? 0 : 1;
        if (j && (in_place != c->places || in_tap != c->taps))
            return false;
        c->places = in_place, c->taps = in_tap;
        if (in_place == in_tap || kl_label_at(&c->l, in_tap, place) >= 0 ||
            kl_label_at(&c->l, in_place, tap) >= 0)
            return false;
        c->place_at[j] = kl_label_at(&c->l, in_place, place);
        c->tap_at[j] = kl_label_at(&c->l, in_tap, tap);
        for (int i = 1; i < 4; i++)
            if (!kl_dim_is_const(c->g->dims, c->win[1 + 4 * j + i], &k))
                return false;
    }
    return c->m > 0 && c->l.n[c->places] + c->m <= KL_MAX_RANK;
}

static int used_labels(const conv *c)
{
    int used = 0;
    for (int i = 0; i < 3; i++)
        for (int j = 0; j < c->l.n[i]; j++)
            used = KL_MAX(used, (int)c->l.of[i][j] + 1);
    return used;
}

static void settle(conv *c)
{
    int rank = kl_graph_at(c->g, c->u)->rank;
    bool fits = rank <= KL_MAX_RANK && c->l.n[c->taps] + c->m <= KL_MAX_RANK &&
                used_labels(c) + c->m <= 26; /* the most axes and letters */
    for (int j = 0; j < c->m; j++) {
        const int64_t *w = c->win + 1 + 4 * j; /* axis size stride dilation */
        c->s[j] =
            fits ? kl_spread_of(w[1], w[2], w[3]) : kl_spread_plain(w[1], w[2], w[3]);
        c->phases += c->s[j].held > 1;
    }
}

/* Is every element of a' a place of the contraction, in a window's order? */
static bool whole(const kl_spread *s)
{
    return s->phases == 1 && s->apart == 1;
}

/* How many more places there are than outputs o: a' ends before stride n + reach, n being
 * their number. */
static int64_t beyond(const kl_spread *s)
{
    return (s->length - (s->apart == 1) + s->phases - 1) / s->phases;
}

/* g padded so that a window of the reversed taps reaches every place of a'. */
static kl_ref spread(const conv *c, kl_ref g, const kl_dim *shape)
{
    kl_dim lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, in[KL_MAX_RANK] = {0};
    kl_dims *d = c->g->dims;
    for (int j = 0; j < c->m; j++) {
        const int64_t *w = c->win + 1 + 4 * j; /* axis size stride dilation */
        const kl_spread *s = &c->s[j];
        int ax = c->place_at[j];
        kl_dim last = kl_dim_mul(d, kl_dim_sub(d, kl_graph_shape(c->g, g)[ax], 1), w[2]);
        lo[ax] = (s->taps - 1) * s->dilation;
        hi[ax] =
            whole(s) ? kl_dim_sub(d, shape[w[0]], kl_dim_add(d, last, 1)) : beyond(s);
        in[ax] = s->between;
    }
    kl_ref zero = kl_g_const(c->g, (kl_dtype)kl_graph_at(c->g, g)->dtype, 0);
    return kl_g_pad(c->g, g, zero, lo, hi, in);
}

static kl_ref windowed(const conv *c, kl_ref g)
{
    int64_t attr[1 + 4 * KL_MAX_RANK] = {c->m};
    for (int j = 0; j < c->m; j++) {
        int64_t *to = attr + 1 + 4 * j;
        to[0] = c->place_at[j], to[1] = c->s[j].taps, to[2] = 1, to[3] = c->s[j].dilation;
    }
    return kl_node_of(c->g, KL_OP_window, NULL, &g, 1, attr, (uint32_t)(1 + 4 * c->m));
}

/* Which window runs over this axis of its operand; -1: none. */
static int window_at(const int *at, int m, int axis)
{
    for (int j = 0; j < m; j++)
        if (at[j] == axis)
            return j;
    return -1;
}

/* The taps reversed, an axis of phases after each axis that has them. */
static kl_ref turned(const conv *c, kl_ref b)
{
    kl_graph *g = c->g;
    kl_dim lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, in[KL_MAX_RANK] = {0};
    kl_dim shape[KL_MAX_RANK];
    uint64_t flip = 0;
    int rank = 0;
    for (int i = 0; i < c->l.n[c->taps]; i++) {
        int j = window_at(c->tap_at, c->m, i);
        shape[rank++] = j < 0 ? kl_graph_shape(g, b)[i] : c->s[j].taps;
        if (j < 0)
            continue;
        flip |= UINT64_C(1) << (rank - 1);
        hi[i] = c->s[j].w_after, in[i] = c->s[j].w_between;
        if (c->s[j].held > 1)
            shape[rank++] = c->s[j].held;
    }
    if (c->phases) {
        kl_ref zero = kl_g_const(g, (kl_dtype)kl_graph_at(g, b)->dtype, 0);
        b = kl_g_reshape(g, kl_g_pad(g, b, zero, lo, hi, in), rank, shape);
    }
    return kl_g_flip(g, b, flip);
}

/* The labels of the taps' operand: those of phases are `fresh` and on. */
static char *tap_labels(const conv *c, int fresh, char *s)
{
    for (int i = 0; i < c->l.n[c->taps]; i++) {
        int j = window_at(c->tap_at, c->m, i);
        *s++ = (char)('a' + c->l.of[c->taps][i]);
        if (j >= 0 && c->s[j].held > 1)
            *s++ = (char)('a' + fresh + j);
    }
    return s;
}

/* The axis of a' before which the contraction has its axes of phases. */
static int first_place(const conv *c)
{
    int at = KL_MAX_RANK;
    for (int j = 0; j < c->m; j++)
        at = KL_MIN(at, (int)c->win[1 + 4 * j]);
    return at;
}

static kl_ref product(const conv *c, const kl_type *t)
{
    kl_graph *g = c->g;
    kl_ref a = kl_graph_src(g, c->u, (uint32_t)c->places),
           b = kl_graph_src(g, c->u, (uint32_t)c->taps);
    kl_dtype acc = (kl_dtype)kl_graph_at(g, c->u)->dtype;
    char text[6 * KL_MAX_RANK], *s = text;
    int rank = kl_graph_at(g, c->u)->rank - c->m, fresh = used_labels(c);
    for (int i = 0; i < c->l.n[c->places]; i++)
        *s++ = (char)('a' + c->l.of[c->places][i]);
    for (int j = 0; j < c->m; j++)
        *s++ = (char)('a' + c->l.of[2][rank + j]);
    *s++ = ',';
    s = tap_labels(c, fresh, s);
    *s++ = '-', *s++ = '>';
    for (int i = 0; i < rank; i++) {
        for (int j = 0; i == first_place(c) && j < c->m; j++)
            if (c->s[j].held > 1)
                *s++ = (char)('a' + fresh + j);
        *s++ = (char)('a' + c->l.of[2][i]);
    }
    *s = 0;
    kl_ref back = turned(c, b);
    return kl_g_contract(g, windowed(c, spread(c, a, t->shape)), back, text, acc);
}

/* The product [.., phases.., places..] as a'. */
static kl_ref interleaved(const conv *c, kl_ref y, const kl_type *t)
{
    kl_graph *g = c->g;
    kl_dim none[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0}, in[KL_MAX_RANK] = {0};
    kl_dim shape[KL_MAX_RANK], apart[KL_MAX_RANK] = {0};
    int perm[KL_MAX_RANK], at = first_place(c), n = 0;
    for (int i = 0; y != KL_NONE && i < t->rank; i++) {
        int j = 0, held = 0;
        perm[n++] = i < at ? i : i + c->phases;
        shape[i] = kl_graph_shape(g, y)[perm[n - 1]];
        for (; j < c->m && c->win[1 + 4 * j] != i; j++)
            held += c->s[j].held > 1;
        if (j == c->m)
            continue;
        const kl_spread *s = &c->s[j];
        shape[i] = kl_dim_mul(g->dims, shape[i], s->phases);
        apart[i] = s->apart - 1;
        if (s->held > 1) {
            hi[n] = s->phases - s->held;
            perm[n++] = at + held;
        } else {
            hi[n - 1] = in[n - 1] = s->phases - 1;
        }
    }
    kl_ref zero = kl_g_const(g, t->dtype, 0);
    y = kl_g_pad(g, kl_g_permute(g, y, perm), zero, none, hi, in);
    y = kl_g_pad(g, kl_g_reshape(g, y, t->rank, shape), zero, none, none, apart);
    return kl_g_slice(g, y, none, t->shape, NULL);
}

/* Is it cheaper to store u and fold it? Costs by element of u and per product summed in
 * it: the convolution has waste products for each, and a weight that it packs serves as
 * many as there are places. In products' time, measured on a Zen 4. */
static bool fold_pays(const conv *c)
{
    enum { STORED = 75, PACKED = 25 };
    double sums = 1, places = 1, waste = 1;
    const kl_ref a = kl_graph_src(c->g, c->u, (uint32_t)c->places);
    int64_t v;
    for (int i = 0; i < c->l.n[c->places]; i++) {
        int64_t label = c->l.of[c->places][i];
        if (!kl_dim_is_const(c->g->dims, kl_graph_shape(c->g, a)[i], &v))
            return false;
        if (kl_label_at(&c->l, 2, label) < 0)
            sums *= (double)v;
        else if (kl_label_at(&c->l, c->taps, label) < 0)
            places *= (double)v;
    }
    for (int j = 0; j < c->m; j++) {
        kl_dim_is_const(c->g->dims, c->win[2 + 4 * j], &v);
        waste *= (double)(c->s[j].taps * c->s[j].held) / (double)v;
    }
    return 1 + STORED / sums < waste + PACKED / places;
}

/* u, computed with its taps before its places: those lie side by side then, in what is
 * multiplied as in what is folded. */
static kl_ref taps_first(const conv *c)
{
    kl_graph *g = c->g;
    char text[6 * KL_MAX_RANK], *s = text;
    int rank = kl_graph_at(g, c->u)->rank, at = first_place(c), perm[KL_MAX_RANK];
    for (int side = 0; side < 2; side++) {
        for (int i = 0; i < c->l.n[side]; i++)
            *s++ = (char)('a' + c->l.of[side][i]);
        *s++ = side ? '-' : ',';
    }
    *s++ = '>';
    for (int i = 0; i < rank; i++) {
        int tap = i - at, place = i < at ? i : i - c->m;
        bool is_tap = tap >= 0 && tap < c->m;
        *s++ = (char)('a' + c->l.of[2][is_tap ? rank - c->m + tap : place]);
        perm[is_tap ? rank - c->m + tap : place] = i;
    }
    *s = 0;
    kl_ref a = kl_graph_src(g, c->u, 0), b = kl_graph_src(g, c->u, 1);
    kl_dtype acc = (kl_dtype)kl_graph_at(g, c->u)->dtype;
    return kl_g_permute(g, kl_g_contract(g, a, b, text, acc), perm);
}

static kl_ref contraction(const conv *c, const kl_type *t)
{
    bool all = true;
    for (int j = 0; j < c->m; j++)
        all &= whole(&c->s[j]);
    kl_ref y = product(c, t);
    return all ? y : interleaved(c, y, t);
}

/* Windows that do not meet (pooling): the places of a' are those of u, in another order.
 *   u [.., P, .., K] -> [.., P, K, ..] -> [.., P K, ..], zeros after it */
static kl_ref tiles(const conv *c, const kl_type *t)
{
    kl_graph *g = c->g;
    int perm[KL_MAX_RANK], rank = t->rank, n = 0;
    kl_dim shape[KL_MAX_RANK], lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK];
    for (int i = 0; i < rank; i++) {
        shape[i] = kl_graph_shape(g, c->u)[i];
        perm[n++] = i;
        for (int j = 0; j < c->m; j++) {
            const int64_t *w = c->win + 1 + 4 * j;
            if (w[0] != i)
                continue;
            if (w[2] != w[1] || (w[3] != 1 && w[1] != 1))
                return KL_NONE;
            shape[i] = kl_dim_mul(g->dims, shape[i], w[1]);
            perm[n++] = rank + j;
        }
        hi[i] = kl_dim_sub(g->dims, t->shape[i], shape[i]);
    }
    kl_ref y = kl_g_reshape(g, kl_g_permute(g, c->u, perm), rank, shape);
    return kl_g_pad(g, y, kl_g_const(g, t->dtype, 0), lo, hi, lo);
}

void kl_vjp_window(kl_ad *d, kl_ref r, kl_ref u)
{
    kl_type t;
    kl_ref a = kl_graph_src(d->g, r, 0);
    const int64_t *attr = kl_graph_attr(d->g, r);
    conv c = {.g = d->g, .u = u, .r = r, .win = attr, .m = (int)attr[0]};
    kl_graph_type(d->g, a, &t);
    kl_ref apart = u == KL_NONE || kl_graph_at(d->g, r)->rank > KL_MAX_RANK - 1
                       ? KL_NONE
                       : tiles(&c, &t);
    if (apart != KL_NONE) {
        kl_ad_give(d, a, apart);
        return;
    }
    bool is_contraction = u != KL_NONE && matches(&c);
    if (is_contraction)
        settle(&c);
    if (is_contraction && !fold_pays(&c)) {
        int64_t win[1 + 4 * KL_MAX_RANK]; /* making nodes moves attributes */
        memcpy(win, c.win, (size_t)(1 + 4 * c.m) * sizeof *win);
        c.win = win;
        kl_ad_give(d, a, contraction(&c, &t));
        return;
    }
    if (is_contraction && used_labels(&c) <= 26)
        u = taps_first(&c);
    attr = kl_graph_attr(d->g, r);
    kl_ad_give(
        d, a, kl_node_of(d->g, KL_OP_fold, &t, &u, 1, attr, kl_graph_at(d->g, r)->nattr));
}
