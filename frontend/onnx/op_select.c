/* op_select.c: choices of boxes, whose number the elements decide: made here, on the
 * host. */
#include <math.h>
#include <pthread.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

typedef struct selection {
    const double *box, *score; /* [B, N, 4], [B, C, N] */
    int64_t B, C, N, most;
    float overlap;
    double least;
    bool centred;
    int64_t *found; /* [count, 3] */
    int64_t count, room;
} selection;

/* NaN of NaN, as in a program: such a box overlaps none. */
static float lower(float a, float b)
{
    return a < b || a != a ? a : b;
}
static float upper(float a, float b)
{
    return a > b || a != a ? a : b;
}

/* Corners of box i, the lower first; in f32, as boxes are. */
static void corners(const selection *s, int64_t i, float c[4])
{
    float b[4];
    for (int k = 0; k < 4; k++)
        b[k] = (float)s->box[4 * i + k];
    if (s->centred) {
        c[0] = b[1] - b[3] / 2, c[1] = b[0] - b[2] / 2;
        c[2] = b[1] + b[3] / 2, c[3] = b[0] + b[2] / 2;
        return;
    }
    c[0] = lower(b[0], b[2]), c[1] = lower(b[1], b[3]);
    c[2] = upper(b[0], b[2]), c[3] = upper(b[1], b[3]);
}

static float overlap(const selection *s, int64_t i, int64_t j)
{
    float a[4], b[4];
    corners(s, i, a);
    corners(s, j, b);
    float h = lower(a[2], b[2]) - upper(a[0], b[0]),
          w = lower(a[3], b[3]) - upper(a[1], b[1]);
    float both = h > 0 && w > 0 ? h * w : 0;
    float all = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both;
    return all > 0 ? both / all : 0;
}

static const double *sorted_by;

static int by_score(const void *a, const void *b)
{
    int64_t i = *(const int64_t *)a, j = *(const int64_t *)b;
    double x = sorted_by[i], y = sorted_by[j];
    return x > y ? -1 : x < y ? 1 : i < j ? -1 : i > j;
}

static bool found(selection *s, int64_t batch, int64_t class, int64_t box)
{
    if (s->count == s->room) {
        int64_t room = s->room ? 2 * s->room : 64;
        int64_t *more = realloc(s->found, (size_t)room * 3 * sizeof *more);
        if (!more)
            return kl_error_set(KL_ERR_OOM, "out of memory for a choice of boxes"), false;
        s->found = more, s->room = room;
    }
    int64_t *f = s->found + 3 * s->count++;
    f[0] = batch, f[1] = class, f[2] = box;
    return true;
}

/* The best first; what overlaps one that was taken is left out. */
static bool select_class(selection *s, int64_t batch, int64_t class, int64_t *order)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const double *score = s->score + (batch * s->C + class) * s->N;
    int64_t n = 0, first = s->count;
    for (int64_t i = 0; i < s->N; i++)
        if (score[i] > s->least)
            order[n++] = i;
    pthread_mutex_lock(&lock); /* qsort has no argument for the scores */
    sorted_by = score;
    qsort(order, (size_t)n, sizeof *order, by_score);
    pthread_mutex_unlock(&lock);
    for (int64_t i = 0; i < n && s->count - first < s->most; i++) {
        bool free_ = true;
        for (int64_t k = first; k < s->count && free_; k++)
            free_ = overlap(s, batch * s->N + order[i],
                            batch * s->N + s->found[3 * k + 2]) <= s->overlap;
        if (free_ && !found(s, batch, class, order[i]))
            return false;
    }
    return true;
}

/* An operand of one number; v where it is not there. */
static double told(kl_onnx_op *n, int i, double v)
{
    int64_t count = 0;
    const double *x = has(n, i) ? kl_onnx_numbers(n, i, &count) : NULL;
    return x && count ? *x : v;
}

static void select_here(kl_onnx_op *n)
{
    int64_t count = 0;
    kl_tensor *v = in(n, 1);
    selection s = {.most = whole64(told(n, 2, 0)),
                   .B = kl_extent(v, 0),
                   .C = kl_extent(v, 1),
                   .N = kl_extent(v, 2),
                   .overlap = (float)told(n, 3, 0),
                   .least = told(n, 4, -INFINITY),
                   .centred = kl_onnx_int(n, "center_point_box", 0)};
    s.box = kl_onnx_numbers(n, 0, &count);
    s.score = kl_onnx_numbers(n, 1, &count);
    int64_t *order = kl_onnx_array(n->run, s.N, sizeof *order);
    bool ok = !kl_failed() && s.box && s.score && order;
    for (int64_t i = 0; ok && s.most > 0 && i < s.B * s.C; i++)
        ok = select_class(&s, i / s.C, i % s.C, order);
    if (ok)
        give(n, 0,
             kl_tensor_copy(s.count ? s.found : order, KL_I64, kl_shape(s.count, 3)));
    free(s.found);
}

OP(NonMaxSuppression)
{
    kl_tensor *b = in(n, 0), *v = in(n, 1);
    if (kl_rank(b) != 3 || kl_rank(v) != 3 || kl_extent(b, 2) != 4 ||
        kl_extent(b, 1) != kl_extent(v, 2) || kl_extent(b, 0) != kl_extent(v, 0)) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "boxes and scores do not fit together");
        return;
    }
    bool known = true;
    for (int i = 0; i < n->nin; i++)
        known &= !n->in[i].count && !kl_onnx_pads(n, in(n, i));
    if (known)
        select_here(n);
    else
        kl_onnx_select_padded(n);
}
