/* op_select_padded.c: NonMaxSuppression within a program: one loop, whose trip takes the
 * best box that is left of a class and strikes out what overlaps it, or goes on to the
 * next class. It keeps what op_select.c keeps on the host.
 *
 *   trip   class  alive        best           kept
 *      1       0  0 1 2 3 4    2              (0, 2)
 *      2       0  0 . . 3 .    0              (0, 2) (0, 0)
 *      3       0  . . . . .    none           class 1 is next */
#include <math.h>

#include "op.h"

enum { Y1, X1, Y2, X2, CORNERS };
enum { ROW, KEPT, ALL, LEFT, PLACES, STATE }; /* what is carried from trip to trip */

typedef struct boxes {
    kl_tensor *corner[CORNERS]; /* [B, N] */
    kl_tensor *score;           /* [B * C, N]; -inf: never taken */
    kl_tensor *most, *overlap;  /* of a class; two boxes that are kept */
    int64_t B, C, N, room;
} boxes;

/* Two lists of corners of four: the lower ones first. */
static void corners(kl_tensor *box, bool centred, kl_tensor **c)
{
    kl_tensor *v[CORNERS];
    for (int i = 0; i < CORNERS; i++)
        v[i] = kl_select(box, 2, i);
    for (int k = 0; k < 2; k++) { /* y, x */
        kl_tensor *half = centred ? kl_div(v[3 - k], 2) : NULL;
        c[Y1 + k] = centred ? kl_sub(v[1 - k], half) : kl_min(v[k], v[2 + k]);
        c[Y2 + k] = centred ? kl_add(v[1 - k], half) : kl_max(v[k], v[2 + k]);
    }
}

static kl_tensor *area(kl_tensor *const *c)
{
    return kl_mul(kl_sub(c[Y2], c[Y1]), kl_sub(c[X2], c[X1]));
}

/* Whether both share more of their union than they may; no part of an empty one. */
static kl_tensor *too_near(kl_tensor *const *a, kl_tensor *const *b, kl_tensor *most)
{
    kl_tensor *h = kl_sub(kl_min(a[Y2], b[Y2]), kl_max(a[Y1], b[Y1]));
    kl_tensor *w = kl_sub(kl_min(a[X2], b[X2]), kl_max(a[X1], b[X1]));
    kl_tensor *some = kl_logical_and(kl_gt(h, 0), kl_gt(w, 0));
    kl_tensor *both = kl_where(some, kl_mul(h, w), 0.0);
    kl_tensor *all = kl_sub(kl_add(area(a), area(b)), both);
    kl_tensor *part = kl_where(kl_gt(all, 0), kl_div(both, all), 0.0);
    return kl_gt(part, most);
}

static kl_tensor *at_row(kl_tensor *t, kl_tensor *row)
{
    return kl_index_select(t, 0, kl_reshape(row, kl_shape(1)));
}

static void unfinished(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const boxes *b = user;
    out[0] = kl_lt(in[ROW], b->B * b->C);
}

static void take_one(kl_tensor *const *in, kl_tensor **out, void *user)
{
    const boxes *b = user;
    kl_tensor *batch = kl_floordiv(in[ROW], b->C), *one[CORNERS], *row[CORNERS];
    kl_tensor *left = in[LEFT]; /* scores of the class; -inf where it is struck out */
    kl_tensor *best = kl_argmax(left, 1, false); /* [1] */
    kl_tensor *top = kl_index_select(left, 1, best);
    kl_tensor *take = kl_logical_and(kl_gt(top, -INFINITY), kl_lt(in[KEPT], b->most));
    for (int i = 0; i < CORNERS; i++) {
        row[i] = b->B == 1 ? b->corner[i] : at_row(b->corner[i], batch);
        one[i] = kl_index_select(row[i], 1, best);
    }
    kl_tensor *itself = kl_eq(kl_arange(0, b->N, 1, KL_I64), best);
    kl_tensor *gone = kl_logical_or(too_near(one, row, b->overlap), itself);
    take = kl_reshape(take, kl_shape());
    out[ROW] = kl_add(in[ROW], kl_to(kl_logical_not(take), KL_I64));
    out[KEPT] = kl_where(take, kl_add(in[KEPT], 1), 0);
    out[ALL] = kl_add(in[ALL], kl_to(take, KL_I64));
    kl_tensor *next = at_row(b->score, kl_min(kl_add(in[ROW], 1), b->B * b->C - 1));
    out[LEFT] = kl_where(take, kl_where(gone, -INFINITY, left), next);
    kl_tensor *to = kl_reshape(kl_where(take, in[ALL], b->room), kl_shape(1));
    out[PLACES] = kl_scatter(in[PLACES], 0, to, kl_add(kl_mul(in[ROW], b->N), best));
}

/* Rows (batch, class, box), in the order in which they were taken. */
static void choose(kl_onnx_op *n, boxes *b)
{
    kl_tensor *zero = kl_scalar_tensor(0, KL_I64), *out[STATE];
    kl_tensor *first = kl_slice(b->score, 0, 0, 1);
    kl_tensor *carry[] = {zero, zero, zero, first,
                          kl_zeros(kl_shape(b->room + 1), KL_I64)};
    if (kl_while(unfinished, take_one, b, carry, STATE, out))
        return;
    kl_tensor *at = kl_slice(out[PLACES], 0, 0, b->room), *row = kl_floordiv(at, b->N);
    kl_tensor *column[] = {kl_floordiv(row, b->C), kl_mod(row, b->C), kl_mod(at, b->N)};
    give_counted(n, 0, kl_stack(column, 3, 1), out[ALL], 0);
}

/* An operand of one number; v where it is not there. */
static kl_tensor *told(kl_onnx_op *n, int i, kl_dtype dt, double v)
{
    return has(n, i) ? kl_to(kl_reshape(in(n, i), kl_shape()), dt)
                     : kl_to(kl_scalar_tensor(v, KL_F64), dt);
}

void kl_onnx_select_padded(kl_onnx_op *n)
{
    int64_t count;
    kl_onnx_fill_counted(n, 1, kl_arg_d(-INFINITY));
    kl_tensor *score = in(n, 1);
    boxes b = {
        .B = kl_extent(score, 0), .C = kl_extent(score, 1), .N = kl_extent(score, 2)};
    const int64_t *most = kl_onnx_known(in(n, 2)) ? kl_onnx_ints(n, 2, &count) : NULL;
    if ((n->in[0].count && n->in[0].axis != 1) ||
        (n->in[1].count && n->in[1].axis != 2)) {
        kl_onnx_refuse_counted(n, n->in[0].count ? 0 : 1);
        return;
    }
    int64_t each = most && count && *most < b.N ? *most : b.N;
    b.room = b.B * b.C * (each > 0 ? each : 0);
    b.most = told(n, 2, KL_I64, 0);
    b.overlap = told(n, 3, kl_dtype_of(in(n, 0)), 0);
    if (has(n, 4))
        score =
            kl_where(kl_gt(score, told(n, 4, kl_dtype_of(score), 0)), score, -INFINITY);
    b.score = kl_reshape(score, kl_shape(b.B * b.C, b.N));
    corners(in(n, 0), kl_onnx_int(n, "center_point_box", 0), b.corner);
    if (!kl_failed())
        choose(n, &b);
}
