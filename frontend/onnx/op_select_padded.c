/* op_select_padded.c: NonMaxSuppression within a program, all classes of all batches at a
 * time: boxes in the order of their scores, one a trip, each against those kept before
 * it. It keeps what op_select.c keeps on the host. */
#include "op.h"

enum { Y1, X1, Y2, X2, CORNERS };

typedef struct boxes {
    kl_tensor *corner[CORNERS]; /* f64 [B, C, N], by score */
    int64_t B, C, N;
    const kl_onnx_selection *s;
} boxes;

/* Two lists of corners of four: the lower ones first. f64 [B, N]. */
static void corners(kl_tensor *box, bool centred, kl_tensor **c)
{
    kl_tensor *v[CORNERS];
    for (int i = 0; i < CORNERS; i++)
        v[i] = kl_select(box, 2, i);
    for (int k = 0; k < 2; k++) { /* y, x */
        kl_tensor *half = centred ? kl_div(v[3 - k], 2) : NULL;
        c[Y1 + k] = centred ? kl_sub(v[1 - k], half) : kl_fmin(v[k], v[2 + k]);
        c[Y2 + k] = centred ? kl_add(v[1 - k], half) : kl_fmax(v[k], v[2 + k]);
    }
}

static kl_tensor *area(kl_tensor *const *c)
{
    return kl_mul(kl_sub(c[Y2], c[Y1]), kl_sub(c[X2], c[X1]));
}

/* The part of their union that both share; 0 of an empty one. */
static kl_tensor *overlap(kl_tensor *const *a, kl_tensor *const *b)
{
    kl_tensor *h = kl_sub(kl_fmin(a[Y2], b[Y2]), kl_fmax(a[Y1], b[Y1]));
    kl_tensor *w = kl_sub(kl_fmin(a[X2], b[X2]), kl_fmax(a[X1], b[X1]));
    kl_tensor *some = kl_logical_and(kl_gt(h, 0), kl_gt(w, 0));
    kl_tensor *both = kl_where(some, kl_mul(h, w), 0.0);
    kl_tensor *all = kl_sub(kl_add(area(a), area(b)), both);
    return kl_where(kl_gt(all, 0), kl_div(both, all), 0.0);
}

/* in: kept so far [B, C, N], how many [B, C]; number, score [B, C] and corners of the
 * next. out: both again, and whether it is kept. */
static void next_box(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const boxes *b = user;
    kl_tensor *one[CORNERS];
    for (int i = 0; i < CORNERS; i++)
        one[i] = kl_unsqueeze(in[4 + i], 2);
    kl_tensor *clear = kl_le(overlap(one, b->corner), b->s->overlap);
    kl_tensor *hit = kl_logical_and(in[0], kl_logical_not(clear));
    kl_tensor *take = kl_logical_not(kl_any_at(KL_HERE, hit, kl_axes(2), false));
    take = kl_logical_and(take, kl_gt(in[3], b->s->least));
    take = kl_logical_and(take, kl_lt(in[1], b->s->most));
    kl_tensor *here = kl_eq(kl_arange(0, b->N, 1, KL_I64), in[2]);
    out[0] = kl_logical_or(in[0], kl_logical_and(here, kl_unsqueeze(take, 2)));
    out[1] = kl_add(in[1], kl_to(take, KL_I64));
    out[2] = take;
}

/* bool [B, C, N]: which of those in order are kept. */
static kl_tensor *keep(boxes *b, kl_tensor *score)
{
    kl_ints first = kl_shape(2, 0, 1);
    kl_tensor *xs[2 + CORNERS] = {kl_arange(0, b->N, 1, KL_I64),
                                  kl_permute(score, first)};
    kl_tensor *carry[2] = {kl_zeros(kl_shape(b->B, b->C, b->N), KL_BOOL),
                           kl_zeros(kl_shape(b->B, b->C), KL_I64)},
              *out[3] = {NULL};
    for (int i = 0; i < CORNERS; i++)
        xs[2 + i] = kl_permute(b->corner[i], first);
    kl_scan(next_box, b, carry, 2, xs, 2 + CORNERS, out, 3);
    return out[2] ? kl_permute(out[2], kl_shape(1, 2, 0)) : NULL;
}

/* Rows (batch, class, box), the best first. */
static kl_tensor *rows(const boxes *b, kl_tensor *kept, kl_tensor *order,
                       kl_tensor **count)
{
    int64_t most = b->s->most < b->N ? b->s->most : b->N;
    kl_tensor *at = kl_nonzero_padded(kept, count);
    at = at ? kl_slice(at, 0, 0, b->B * b->C * most) : NULL;
    kl_tensor *batch = kl_select(at, 1, 0), *class = kl_select(at, 1, 1);
    kl_tensor *flat =
        kl_add(kl_mul(kl_add(kl_mul(batch, b->C), class), b->N), kl_select(at, 1, 2));
    kl_tensor *box = kl_index_select(kl_reshape(order, kl_shape(-1)), 0, flat);
    return kl_stack(((kl_tensor *[]){batch, class, box}), 3, 1);
}

void kl_onnx_select_padded(kl_onnx_op *n, const kl_onnx_selection *s)
{
    kl_tensor *box = kl_to(in(n, 0), KL_F64), *score = kl_to(in(n, 1), KL_F64);
    boxes b = {.s = s,
               .B = kl_extent(score, 0),
               .C = kl_extent(score, 1),
               .N = kl_extent(score, 2)};
    kl_ints shape = kl_shape(b.B, b.C, b.N);
    kl_tensor *order = kl_argsort(score, 2, true), *c[CORNERS], *count = NULL;
    corners(box, s->centred, c);
    for (int i = 0; i < CORNERS; i++)
        b.corner[i] = kl_gather(kl_expand(kl_unsqueeze(c[i], 1), shape), 2, order);
    kl_tensor *kept = keep(&b, kl_gather(score, 2, order));
    kl_tensor *y = kept ? rows(&b, kept, order, &count) : NULL;
    give_counted(n, 0, y, count, 0);
}
