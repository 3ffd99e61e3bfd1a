/* padded_rules.c: what operators make of operands of which a counted part is meant. Most
 * move elements or look at each alone, and the count goes with its axis; what folds along
 * the axis finds there, in place of padding, what leaves a fold as it is. */
#include <math.h>

#include "op.h"

static void mark(kl_onnx_op *n, int out, kl_tensor *count, int axis)
{
    if (out < n->nout && n->out[out].t)
        n->out[out].count = count, n->out[out].axis = axis;
}

/* The node as it is, each result counted along that axis. */
static void keep(kl_onnx_op *n, int first, int axis)
{
    kl_tensor *count = n->in[first].count;
    kl_onnx_carry_out(n);
    for (int k = 0; k < n->nout; k++)
        mark(n, k, count, axis);
}

/* An operator that looks at counts itself. */
static void itself(kl_onnx_op *n, int first)
{
    (void)first;
    kl_onnx_carry_out(n);
}

/* ---- each element alone ---- */

static void each(kl_onnx_op *n, int first)
{
    const kl_onnx_value *f = &n->in[first];
    int rank = 0;
    for (int i = 0; i < n->nin; i++)
        if (has(n, i) && kl_rank(in(n, i)) > rank)
            rank = kl_rank(in(n, i));
    int axis = f->axis + rank - kl_rank(f->t);
    for (int i = 0; i < n->nin; i++) {
        const kl_onnx_value *v = &n->in[i];
        int own = v->t ? axis + kl_rank(v->t) - rank : -1;
        if (v->count ? v->count != f->count || v->axis != own
                     : own >= 0 && kl_extent(v->t, own) != 1) {
            kl_onnx_refuse_counted(n, v->count ? i : first);
            return;
        }
    }
    keep(n, first, axis);
}

/* ---- movement ---- */

static void transposed(kl_onnx_op *n, int first)
{
    kl_ints perm;
    int axis = n->in[0].axis, to = kl_rank(in(n, 0)) - 1 - axis;
    if (kl_onnx_list(n, "perm", &perm) && perm.n)
        for (int i = 0; i < perm.n && i < KL_INTS_MAX; i++)
            to = perm.v[i] == axis ? i : to;
    keep(n, first, to);
}

/* A shape out of counts, at its most: x's own is that, or the model is none. */
static void shape_at_most(kl_onnx_op *n)
{
    if (n->nin > 1 && n->in[1].most)
        n->in[1].t = n->in[1].most;
}

static void expanded(kl_onnx_op *n, int first)
{
    kl_onnx_value x = n->in[0];
    shape_at_most(n);
    if (!first)
        kl_onnx_carry_out(n);
    kl_tensor *y = first ? NULL : n->out[0].t;
    int axis = x.axis + kl_rank(y) - kl_rank(x.t);
    if (y && kl_extent(y, axis) == kl_extent(x.t, x.axis))
        mark(n, 0, x.count, axis);
    else if (!kl_failed())
        kl_onnx_refuse_counted(n, first);
}

static int64_t before(kl_ints s, int axis)
{
    int64_t p = 1;
    for (int i = 0; i < axis; i++)
        p = product64(p, s.v[i]);
    return p;
}

/* Where the axis of extent have goes among extents to; *by: grown so many times, or
 * shrunk where it is negative, which the outermost may. -1: it is none any more. */
static int place_of(kl_ints from, int axis, kl_ints to, int64_t *by)
{
    int64_t have = from.v[axis], outer = before(from, axis);
    *by = 1;
    for (int k = 0; k < to.n; k++)
        if (before(to, k) == outer && to.v[k] == have)
            return k;
    for (int k = 0; k < to.n && outer == 1 && have > 1; k++) {
        int64_t e = to.v[k];
        if (e > 1)
            return *by = e % have == 0 ? e / have : -(have / e),
                   e % have == 0 || have % e == 0 ? k : -1;
    }
    return -1;
}

static void reshaped(kl_onnx_op *n, int first)
{
    kl_onnx_value x = n->in[0];
    int64_t by;
    shape_at_most(n);
    if (!first)
        kl_onnx_carry_out(n);
    int k = first || !n->out[0].t
                ? -1
                : place_of(kl_shape_of(x.t), x.axis, kl_shape_of(n->out[0].t), &by);
    if (k < 0 && !kl_failed())
        kl_onnx_refuse_counted(n, first);
    else if (k >= 0)
        mark(n, 0,
             by == 1  ? x.count
             : by > 1 ? kl_mul(x.count, by)
                      : kl_floordiv(x.count, -by),
             k);
}

/* Operands one after the other along the axis that is counted: the elements that are
 * meant move together. */
static void close_up(kl_onnx_op *n, int axis)
{
    int64_t start = 0, room = kl_extent(n->out[0].t, axis);
    kl_tensor *at = kl_arange(0, room, 1, KL_I64), *from = at;
    kl_tensor *all = kl_scalar_tensor(0, KL_I64);
    for (int i = 0; i < n->nin; i++) {
        const kl_onnx_value *v = &n->in[i];
        int64_t extent = kl_extent(v->t, axis);
        kl_tensor *mine = kl_sub(at, all);
        from = kl_where(kl_ge(mine, 0), kl_add(mine, start), from);
        all = v->count ? kl_add(all, v->count) : kl_add(all, extent);
        start += extent;
    }
    from = kl_min(from, room > 0 ? room - 1 : 0);
    n->out[0].t = kl_index_select(n->out[0].t, axis, from);
    mark(n, 0, all, axis);
}

static void joined(kl_onnx_op *n, int first)
{
    const kl_onnx_value *f = &n->in[first];
    int64_t axis = kl_onnx_int(n, "axis", 1);
    bool fits = kl_onnx_axis(n, &axis, kl_rank(f->t)), along = f->axis == axis;
    for (int i = 0; i < n->nin; i++) {
        const kl_onnx_value *v = &n->in[i];
        fits &= along ? !v->count || v->axis == axis
                      : v->count == f->count && v->axis == f->axis;
    }
    if (!fits)
        kl_onnx_refuse_counted(n, first);
    else if (!along)
        keep(n, first, f->axis);
    else
        kl_onnx_carry_out(n);
    if (fits && along && n->out[0].t)
        close_up(n, (int)axis);
}

static void split(kl_onnx_op *n, int first)
{
    int64_t axis = kl_onnx_int(n, "axis", 0);
    if (!kl_onnx_axis(n, &axis, kl_rank(in(n, 0))))
        return;
    if (first || axis == n->in[0].axis)
        kl_onnx_refuse_counted(n, first);
    else
        keep(n, 0, n->in[0].axis);
}

/* ---- indices ---- */

kl_tensor *kl_onnx_within(kl_tensor *index, kl_tensor *count, int64_t extent)
{
    index = kl_to(index, KL_I64);
    index = kl_where(kl_lt(index, 0), kl_add(index, count), index);
    kl_tensor *good = kl_logical_and(kl_ge(index, 0), kl_lt(index, count));
    return kl_where(good, index, extent);
}

static void gathered(kl_onnx_op *n, int first)
{
    int64_t axis = kl_onnx_int(n, "axis", 0);
    kl_onnx_value x = n->in[0], at = n->in[1];
    (void)first;
    if (!kl_onnx_axis(n, &axis, kl_rank(x.t)))
        return;
    bool into = x.count && x.axis == axis;
    if (x.count && at.count && !into) {
        kl_onnx_refuse_counted(n, 1);
        return;
    }
    if (into)
        n->in[1].t = kl_onnx_within(at.t, x.count, kl_extent(x.t, x.axis));
    kl_onnx_fill_counted(n, 1, kl_arg_i(0));
    kl_onnx_carry_out(n);
    if (at.count)
        mark(n, 0, at.count, (int)axis + at.axis);
    else if (x.count && !into)
        mark(n, 0, x.count, x.axis < axis ? x.axis : x.axis + kl_rank(at.t) - 1);
}

static void gathered_by_rows(kl_onnx_op *n, int first)
{
    kl_onnx_value x = n->in[0], at = n->in[1];
    int rank = kl_rank(at.t);
    int64_t k = rank ? kl_extent(at.t, rank - 1) : 0;
    bool into = x.count && x.axis < k, beside = x.count && !into;
    if (kl_onnx_int(n, "batch_dims", 0) || (at.count && at.axis >= rank - 1) ||
        (beside && at.count)) {
        kl_onnx_refuse_counted(n, first);
        return;
    }
    if (into)
        n->in[1].t = kl_where(kl_eq(kl_arange(0, k, 1, KL_I64), x.axis),
                              kl_onnx_within(at.t, x.count, kl_extent(x.t, x.axis)),
                              kl_to(at.t, KL_I64));
    kl_onnx_fill_counted(n, 1, kl_arg_i(0));
    kl_onnx_carry_out(n);
    if (at.count)
        mark(n, 0, at.count, at.axis);
    else if (beside)
        mark(n, 0, x.count, rank - 1 + x.axis - (int)k);
}

/* ---- folds ---- */

/* In place of padding. */
static const struct {
    const char *op;
    double with;
} folds[] = {
    {"ReduceSum", 0},        {"ReduceMean", 0},        {"ReduceL1", 0},
    {"ReduceL2", 0},         {"ReduceSumSquare", 0},   {"ReduceLogSum", 0},
    {"ReduceProd", 1},       {"ReduceMax", -INFINITY}, {"ReduceLogSumExp", -INFINITY},
    {"ReduceMin", INFINITY}, {"ArgMax", -INFINITY},    {"ArgMin", INFINITY},
    {"TopK", -INFINITY}};

/* An integer type's least or largest for an infinity. */
static kl_tensor *end_of(kl_dtype dt, double v)
{
    int bits = (int)kl_dtype_size(dt) * 8;
    if (!isinf(v) || is_float(dt))
        return kl_to(kl_scalar_tensor(v, KL_F64), dt);
    if (dt == KL_BOOL)
        return kl_scalar_tensor(v > 0, KL_BOOL);
    uint64_t most = UINT64_MAX >> (is_unsigned(dt) ? 64 - bits : 65 - bits);
    int64_t least = is_unsigned(dt) ? 0 : -(int64_t)most - 1;
    return kl_to(kl_scalar_tensor(v < 0 ? least : (int64_t)most, KL_I64), dt);
}

typedef struct folding {
    bool along; /* the counted axis */
    int axis;   /* of the results, if not */
} folding;

/* Its axes: of an attribute or operand, or one. */
static folding folding_of(kl_onnx_op *n, bool one, bool kept)
{
    const kl_onnx_value *x = &n->in[0];
    kl_ints axes = {0};
    bool top = strcmp(n->node->op_type, "TopK") == 0;
    if (one)
        axes = kl_shape(kl_onnx_int(n, "axis", top ? -1 : 0));
    else
        kl_onnx_list_of(n, 1, "axes", &axes);
    folding f = {.axis = x->axis};
    if (kl_failed() || !kl_onnx_axes(n, &axes, kl_rank(x->t)))
        return f;
    f.along = !axes.n && !kl_onnx_int(n, "noop_with_empty_axes", 0);
    for (int i = 0; i < axes.n; i++) {
        f.along |= axes.v[i] == x->axis;
        f.axis -= !kept && axes.v[i] < x->axis;
    }
    return f;
}

/* A sum over all of the axis as one over what is meant. */
static void share(kl_onnx_op *n, kl_tensor *count, int64_t all)
{
    kl_tensor *y = n->out[0].t, *of = kl_scalar_tensor((double)all, KL_F64);
    y = kl_mul(kl_to(y, KL_F64), kl_div(of, kl_to(count, KL_F64)));
    n->out[0].t = n->out[0].t ? kl_to(y, kl_dtype_of(n->out[0].t)) : NULL;
}

static void folded(kl_onnx_op *n, int first)
{
    const char *op = n->node->op_type;
    kl_onnx_value x = n->in[0];
    bool top = strcmp(op, "TopK") == 0, one = top || strncmp(op, "Arg", 3) == 0;
    double with = 0;
    for (size_t i = 0; i < KL_COUNT(folds); i++)
        with = strcmp(folds[i].op, op) == 0 ? folds[i].with : with;
    with = top && !kl_onnx_int(n, "largest", 1) ? -with : with;
    if (first) {
        kl_onnx_refuse_counted(n, first);
        return;
    }
    folding f = folding_of(n, one, top || kl_onnx_int(n, "keepdims", 1));
    if (kl_failed())
        return;
    if (!f.along) {
        keep(n, 0, f.axis);
        return;
    }
    kl_onnx_fill_counted(n, 0, kl_arg_t(end_of(kl_dtype_of(x.t), with)));
    kl_onnx_carry_out(n);
    if (strcmp(op, "ReduceMean") == 0)
        share(n, x.count, kl_extent(x.t, x.axis));
}

/* ---- rows that do not mix ---- */

/* Along one axis, or from one on: the counted is none of them. */
static void in_rows(kl_onnx_op *n, int first)
{
    bool norm = strstr(n->node->op_type, "Norm") != NULL, old = !norm && n->opset < 13;
    int64_t axis = kl_onnx_int(n, "axis", old ? 1 : -1);
    if (!kl_onnx_axis(n, &axis, kl_rank(in(n, 0))))
        return;
    if (first || (norm || old ? n->in[0].axis >= axis : n->in[0].axis == axis))
        kl_onnx_refuse_counted(n, first);
    else
        keep(n, 0, n->in[0].axis);
}

/* A product whose rows, columns or batches are counted, not what it sums over. */
static void multiplied(kl_onnx_op *n, int first)
{
    kl_onnx_value v = n->in[first];
    int rank = kl_rank(v.t), other = kl_rank(in(n, 1 - first));
    int from_end = rank - v.axis, summed = first ? 2 : 1;
    bool batch = from_end > 2;
    if (rank < 2 || n->in[1 - first].count || from_end == summed ||
        (batch && other > 2)) {
        kl_onnx_refuse_counted(n, first);
        return;
    }
    int all = rank > other ? rank : other;
    keep(n, first, batch ? v.axis : other == 1 ? rank - 2 : all - from_end);
}

static void layer(kl_onnx_op *n, int first)
{
    kl_tensor *c = in(n, 2);
    bool rows = c && kl_rank(c) == 2 && kl_extent(c, 0) != 1;
    if (first || n->in[0].axis || kl_onnx_int(n, "transA", 0) || n->in[1].count || rows ||
        (c && n->in[2].count))
        kl_onnx_refuse_counted(n, first);
    else
        keep(n, 0, 0);
}

/* ---- counts as sizes ---- */

/* The count in place of the axis' extent; the others are numbers, which a program of all
 * sizes follows, where elements of one tensor would be what they are. */
static void shape_of(kl_onnx_op *n, int first)
{
    const kl_onnx_value *x = &n->in[first];
    kl_tensor *part[KL_INTS_MAX];
    kl_onnx_carry_out(n);
    int64_t from = kl_onnx_int(n, "start", 0), k = 0, many = kl_numel(n->out[0].t);
    from += from < 0 ? kl_rank(x->t) : 0;
    from = from < 0 ? 0 : from;
    for (; k < many && k < KL_INTS_MAX; k++)
        part[k] = from + k == x->axis
                      ? x->count
                      : kl_full(kl_shape(), kl_extent(x->t, (int)(from + k)), KL_I64);
    n->out[0].most = n->out[0].t;
    if (k)
        n->out[0].t = kl_stack(part, (int)k, 0);
}

static void size_of(kl_onnx_op *n, int first)
{
    const kl_onnx_value *x = &n->in[first];
    int64_t each = 1;
    for (int i = 0; i < kl_rank(x->t); i++)
        each = product64(each, i == x->axis ? 1 : kl_extent(x->t, i));
    kl_onnx_carry_out(n);
    n->out[0].most = n->out[0].t;
    n->out[0].t = n->out[0].t ? kl_mul(x->count, each) : NULL;
}

/* Operators whose results are at their most where their operands are. */
static const char *const grows[] = {"Add",   "Cast",    "Concat",   "Div",     "Gather",
                                    "Max",   "Min",     "Mul",      "Reshape", "Identity",
                                    "Slice", "Squeeze", "Unsqueeze"};

void kl_onnx_carry_most(kl_onnx_op *n)
{
    kl_onnx_op again = *n;
    bool known = false;
    for (size_t i = 0; i < KL_COUNT(grows); i++)
        known |= strcmp(grows[i], n->node->op_type) == 0;
    again.in = kl_onnx_array(n->run, n->nin, sizeof *again.in);
    again.out = kl_onnx_array(n->run, n->nout, sizeof *again.out);
    for (int i = 0; again.in && i < n->nin && known; i++) {
        again.in[i] = n->in[i];
        again.in[i].t = n->in[i].most ? n->in[i].most : n->in[i].t;
        known = !n->in[i].count && (!has(n, i) || kl_onnx_known(again.in[i].t));
    }
    if (!known || !again.in || !again.out)
        return;
    kl_onnx_carry_out(&again);
    for (int k = 0; k < n->nout; k++)
        n->out[k].most = again.out[k].t;
}

static const struct {
    const char *op;
    void (*rule)(kl_onnx_op *n, int first);
} rules[] = {{"Compress", itself},
             {"Concat", joined},
             {"ConcatFromSequence", itself},
             {"Expand", expanded},
             {"Flatten", reshaped},
             {"Gather", gathered},
             {"GatherND", gathered_by_rows},
             {"Gemm", layer},
             {"LayerNormalization", in_rows},
             {"LogSoftmax", in_rows},
             {"Loop", itself},
             {"MatMul", multiplied},
             {"NonMaxSuppression", itself},
             {"NonZero", itself},
             {"Reshape", reshaped},
             {"SequenceAt", itself},
             {"SequenceLength", itself},
             {"Shape", shape_of},
             {"Size", size_of},
             {"Slice", itself},
             {"Softmax", in_rows},
             {"Split", split},
             {"Squeeze", reshaped},
             {"Transpose", transposed},
             {"Unsqueeze", reshaped}};

void (*kl_onnx_rule(const kl_onnx_op *n))(kl_onnx_op *n, int first)
{
    const char *op = n->node->op_type;
    for (size_t i = 0; i < KL_COUNT(rules); i++)
        if (strcmp(rules[i].op, op) == 0)
            return rules[i].rule;
    for (size_t i = 0; i < KL_COUNT(folds); i++)
        if (strcmp(folds[i].op, op) == 0)
            return folded;
    return n->row->one || n->row->two || n->row->flags & KL_ONNX_EACH ? each : NULL;
}
