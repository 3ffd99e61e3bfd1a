/* op_shape.c: movement: reshaping, slicing, joining, padding, and what makes tensors of
 * shapes. Where a shape is wanted, the operand's elements are looked at. */
#include <limits.h>
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

static void too_many(kl_onnx_op *n)
{
    kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "more than %d dimensions", KL_INTS_MAX);
}

/* ---- shapes ---- */

/* 0 keeps an extent unless allowzero, -1 is what is left. */
OP(Reshape)
{
    kl_tensor *x = in(n, 0);
    kl_ints s, have = kl_shape_of(x);
    bool zero = kl_onnx_int(n, "allowzero", 0);
    if (!kl_onnx_list_of(n, 1, n->opset < 5 ? "shape" : NULL, &s))
        return;
    for (int i = 0; i < s.n; i++)
        if (s.v[i] == 0 && !zero && i < have.n)
            s.v[i] = have.v[i];
    int64_t known = 1;
    int open = -1;
    for (int i = 0; i < s.n; i++)
        if (s.v[i] == -1)
            open = i;
        else
            known = product64(known, s.v[i]);
    if (open >= 0 && known > 0)
        s.v[open] = kl_numel(x) / known;
    else if (open >= 0 && kl_numel(x) == 0)
        s.v[open] = 0;
    give(n, 0, kl_reshape(x, s));
}

OP(Flatten)
{
    kl_tensor *x = in(n, 0);
    kl_ints have = kl_shape_of(x);
    int64_t axis = kl_onnx_int(n, "axis", 1), rows = 1, columns = 1;
    axis += axis < 0 ? have.n : 0;
    if (axis < 0 || axis > have.n) {
        kl_onnx_fail(n, KL_ERR_INDEX, "axis %lld of %d dimensions", (long long)axis,
                     have.n);
        return;
    }
    for (int i = 0; i < have.n; i++)
        *(i < axis ? &rows : &columns) *= have.v[i];
    give(n, 0, kl_reshape(x, kl_shape(rows, columns)));
}

OP(Squeeze)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes, have = kl_shape_of(x), s = {0};
    bool given = kl_onnx_list_of(n, n->opset < 13 ? -1 : 1, "axes", &axes);
    if (kl_failed() || !kl_onnx_axes(n, &axes, have.n))
        return;
    for (int i = 0; i < have.n; i++) {
        bool gone = !given && have.v[i] == 1;
        for (int k = 0; k < axes.n; k++)
            gone |= axes.v[k] == i;
        if (gone && have.v[i] != 1) {
            kl_onnx_fail(n, KL_ERR_SHAPE, "dimension %d has extent %lld, not 1", i,
                         (long long)have.v[i]);
            return;
        }
        if (!gone)
            push(&s, have.v[i]);
    }
    give(n, 0, kl_reshape(x, s));
}

OP(Unsqueeze)
{
    kl_tensor *x = in(n, 0);
    kl_ints axes, have = kl_shape_of(x), s = {0};
    if (!kl_onnx_list_of(n, n->opset < 13 ? -1 : 1, "axes", &axes))
        return;
    int rank = have.n + axes.n, from = 0;
    if (rank > KL_INTS_MAX)
        too_many(n);
    if (kl_failed() || !kl_onnx_axes(n, &axes, rank))
        return;
    for (int i = 0; i < rank; i++) {
        bool added = false;
        for (int k = 0; k < axes.n; k++)
            added |= axes.v[k] == i;
        push(&s, added || from >= have.n ? 1 : have.v[from++]);
    }
    give(n, 0, kl_reshape(x, s));
}

OP(Transpose)
{
    kl_tensor *x = in(n, 0);
    kl_ints perm;
    if (!kl_onnx_list(n, "perm", &perm) || !perm.n) {
        perm = (kl_ints){0};
        for (int i = kl_rank(x); i-- > 0;)
            push(&perm, i);
    }
    give(n, 0, kl_permute(x, perm));
}

OP(Expand)
{
    kl_tensor *x = in(n, 0);
    kl_ints want, have = kl_shape_of(x), s = {0};
    if (!kl_onnx_list_of(n, 1, NULL, &want))
        return;
    int rank = have.n > want.n ? have.n : want.n;
    for (int i = 0; i < rank; i++) {
        int a = i - (rank - have.n), b = i - (rank - want.n);
        int64_t x_ = a < 0 ? 1 : have.v[a], w = b < 0 ? 1 : want.v[b];
        push(&s, w == 1 ? x_ : w);
    }
    give(n, 0, kl_expand(x, s));
}

OP(Shape)
{
    kl_ints s = kl_shape_of(in(n, 0));
    int64_t first = kl_onnx_int(n, "start", 0), end = kl_onnx_int(n, "end", s.n);
    first = first < 0 ? first + s.n : first;
    end = end < 0 ? end + s.n : end;
    first = first < 0 ? 0 : first > s.n ? s.n : first;
    end = end < first ? first : end > s.n ? s.n : end;
    give(n, 0, i64s(s.v + first, end - first));
}

OP(Size)
{
    give(n, 0, kl_scalar_tensor(kl_numel(in(n, 0)), KL_I64));
}

/* ---- out of nothing ---- */

OP(Constant)
{
    static const char *const numbers[] = {"value_float", "value_int", "value_floats",
                                          "value_ints"};
    const attribute_proto *a = kl_onnx_attribute(n, "value");
    if (a && a->t) {
        const kl_onnx_value *v = kl_onnx_get(&n->run->m->tensors, a->t);
        if (v)
            n->out[0] = *v;
        return;
    }
    for (int i = 0; i < 4; i++) {
        a = kl_onnx_attribute(n, numbers[i]);
        if (a && i == 0)
            give(n, 0, kl_scalar_tensor((double)a->f, KL_F32));
        else if (a && i == 1)
            give(n, 0, kl_scalar_tensor(a->i, KL_I64));
        else if (a && i == 2)
            give(n, 0, kl_tensor_copy(a->floats, KL_F32, kl_shape(a->n_floats)));
        else if (a)
            give(n, 0, i64s(a->ints, (int64_t)a->n_ints));
        if (a)
            return;
    }
    kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "a constant that is no tensor of numbers");
}

OP(ConstantOfShape)
{
    kl_ints s;
    const attribute_proto *a = kl_onnx_attribute(n, "value");
    const kl_onnx_value *v = a && a->t ? kl_onnx_get(&n->run->m->tensors, a->t) : NULL;
    if (!kl_onnx_list_of(n, 0, NULL, &s))
        return;
    if (!v)
        give(n, 0, kl_full(s, 0.0, KL_F32));
    else
        give_as(n, 0, kl_expand(kl_reshape(v->t, kl_shape()), s), v->type);
}

/* To an end that is a count: as far as it may be, of which so much is meant. */
static void range_counted(kl_onnx_op *n)
{
    int64_t count;
    kl_tensor *end = kl_reshape(kl_to(in(n, 1), KL_I64), kl_shape());
    n->in[1] = (kl_onnx_value){.t = n->in[1].most, .n = -1};
    const int64_t *a = kl_onnx_ints(n, 0, &count), *b = kl_onnx_ints(n, 1, &count),
                  *c = kl_onnx_ints(n, 2, &count);
    if (!a || !b || !c)
        return;
    if (*c != 1 || is_float(kl_dtype_of(in(n, 0)))) {
        kl_onnx_fail(n, KL_ERR_STATE,
                     "a step that is not 1, to an end that elements decide");
        return;
    }
    kl_tensor *y = kl_arange(*a, *a > *b ? *a : *b, 1, KL_I64);
    give_counted(n, 0, kl_to(y, kl_dtype_of(in(n, 0))), kl_max(kl_sub(end, *a), 0), 0);
}

OP(Range)
{
    kl_dtype dt = kl_dtype_of(in(n, 0));
    int64_t count;
    if (n->in[1].most) {
        range_counted(n);
        return;
    }
    if (!is_float(dt)) {
        const int64_t *a = kl_onnx_ints(n, 0, &count), *b = kl_onnx_ints(n, 1, &count),
                      *c = kl_onnx_ints(n, 2, &count);
        if (!a || !b || !c)
            return;
        bool none = *c > 0 ? *a >= *b : *a <= *b;
        give(n, 0, kl_to(kl_arange(*a, none && *c ? *a : *b, *c, KL_I64), dt));
        return;
    }
    const double *a = kl_onnx_numbers(n, 0, &count), *b = kl_onnx_numbers(n, 1, &count),
                 *c = kl_onnx_numbers(n, 2, &count);
    if (!a || !b || !c)
        return;
    double steps = *c != 0 ? ceil((*b - *a) / *c) : NAN;
    if (!(steps < 1e15)) {
        kl_onnx_fail(n, KL_ERR_ARG, "a range without an end");
        return;
    }
    kl_tensor *i =
        kl_to(kl_arange(0, (int64_t)(steps < 0 ? 0 : steps), 1, KL_I64), KL_F64);
    give(n, 0, kl_to(kl_add(kl_mul(i, *c), *a), dt));
}

OP(EyeLike)
{
    kl_tensor *x = in(n, 0);
    int64_t k = kl_onnx_int(n, "k", 0), rows = kl_extent(x, 0), columns = kl_extent(x, 1);
    int type = (int)kl_onnx_int(n, "dtype", n->in[0].type);
    kl_tensor *i = kl_reshape(kl_arange(0, rows, 1, KL_I64), kl_shape(rows, 1));
    kl_tensor *j = kl_arange(0, columns, 1, KL_I64);
    give(n, 0, kl_to(kl_eq(kl_add(i, k), j), kl_onnx_dtype(type)));
}

/* ---- joining and cutting ---- */

OP(Concat)
{
    int64_t axis = kl_onnx_int(n, "axis", 0);
    kl_tensor **t = kl_onnx_alloc(n->run, ((size_t)n->nin + 1) * sizeof *t);
    if (!t || !kl_onnx_axis(n, &axis, kl_rank(in(n, 0))))
        return;
    for (int i = 0; i < n->nin; i++)
        t[i] = in(n, i);
    give(n, 0, kl_cat(t, n->nin, (int)axis));
}

/* Sizes of the pieces: given, or equal ones, the last smaller. */
static const int64_t *split_sizes(kl_onnx_op *n, int64_t extent, int64_t *count)
{
    kl_ints list;
    if (n->opset < 13 && kl_onnx_attribute(n, "split")) {
        const attribute_proto *a = kl_onnx_attribute(n, "split");
        *count = (int64_t)a->n_ints;
        return a->ints;
    }
    if (n->opset >= 13 && has(n, 1))
        return kl_onnx_ints(n, 1, count);
    (void)list;
    *count = n->nout;
    int64_t *v = kl_onnx_alloc(n->run, ((size_t)n->nout + 1) * sizeof *v);
    int64_t pieces = kl_onnx_int(n, "num_outputs", n->nout);
    int64_t size = pieces > 0 ? extent / pieces + (extent % pieces != 0) : 0;
    for (int i = 0; v && i < n->nout; i++) {
        int64_t left = extent - (i ? product64(size, i) : 0);
        v[i] = left < 0 ? 0 : left < size ? left : size;
    }
    return v;
}

OP(Split)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", 0), count, at = 0;
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    const int64_t *size = split_sizes(n, kl_extent(x, (int)axis), &count);
    for (int i = 0; size && i < n->nout && i < count; i++) {
        give(n, i, kl_narrow(x, (int)axis, at, size[i]));
        at = sum64(at, size[i]);
    }
    if (!kl_failed() && size && at != kl_extent(x, (int)axis))
        kl_onnx_fail(n, KL_ERR_SHAPE, "the pieces have %lld elements together, not %lld",
                     (long long)at, (long long)kl_extent(x, (int)axis));
}

/* One axis; ends are clamped as the operator's text says. */
static kl_tensor *cut(kl_tensor *x, int axis, int64_t from, int64_t to, int64_t step)
{
    int64_t d = kl_extent(x, axis);
    from = from < 0 ? from + d : from;
    to = to < 0 ? (to < -d - 1 ? -1 : to + d) : to;
    if (step > 0) {
        from = from < 0 ? 0 : from > d ? d : from;
        to = to < 0 ? 0 : to > d ? d : to;
        to = to < from ? from : to;
        return kl_slice_step(x, axis, from, to, step);
    }
    from = from < 0 ? -1 : from > d - 1 ? d - 1 : from;
    to = to < -1 ? -1 : to > d - 1 ? d - 1 : to;
    if (from <= to || step == 0)
        return kl_slice_step(x, axis, 0, 0, 1);
    return kl_slice_step(x, axis, from, to < 0 ? -KL_END : to, step);
}

OP(Slice)
{
    kl_onnx_value y = n->in[0];
    kl_ints from, to, axes, step;
    bool old = n->opset < 10;
    if (!kl_onnx_list_of(n, old ? -1 : 1, old ? "starts" : NULL, &from) ||
        !kl_onnx_list_of(n, old ? -1 : 2, old ? "ends" : NULL, &to))
        return;
    bool some = kl_onnx_list_of(n, old ? -1 : 3, old ? "axes" : NULL, &axes);
    bool steps = !old && kl_onnx_list_of(n, 4, NULL, &step);
    for (int i = 0; !some && i < from.n; i++)
        push(&axes, i);
    if (kl_failed() || !kl_onnx_axes(n, &axes, kl_rank(y.t)))
        return;
    if (to.n != from.n || axes.n != from.n || (steps && step.n != from.n)) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "starts, ends, axes and steps differ in length");
        return;
    }
    for (int i = 0; i < from.n; i++) {
        int ax = (int)axes.v[i];
        int64_t by = steps ? step.v[i] : 1;
        if (y.count && y.axis == ax)
            kl_onnx_cut_counted(n, &y, from.v[i], to.v[i], by);
        else
            y.t = cut(y.t, ax, from.v[i], to.v[i], by);
    }
    give_counted(n, 0, y.t, y.count, y.axis);
}

OP(Tile)
{
    kl_ints times;
    if (kl_onnx_list_of(n, 1, NULL, &times))
        give(n, 0, kl_repeat(in(n, 0), times));
}

/* ---- padding ---- */

/* Begins and ends of all axes. */
static bool all_pads(kl_onnx_op *n, int rank, kl_ints *pads)
{
    int64_t count, k;
    kl_ints axes, list;
    const int64_t *v;
    if (n->opset < 11) {
        if (!kl_onnx_list(n, "pads", &list))
            return false;
        v = list.v, count = list.n;
    } else {
        v = kl_onnx_ints(n, 1, &count);
    }
    bool some = n->opset >= 18 && kl_onnx_list_of(n, 3, NULL, &axes);
    *pads = ints_fill(2 * rank, 0);
    k = some ? axes.n : rank;
    if (!v || kl_failed())
        return false;
    if (count != 2 * k || rank > KL_INTS_MAX / 2 ||
        (some && !kl_onnx_axes(n, &axes, rank)))
        return kl_onnx_fail(n, KL_ERR_SHAPE, "%lld pads for %lld dimensions",
                            (long long)count, (long long)k),
               false;
    for (int i = 0; i < k; i++) {
        int64_t ax = some ? axes.v[i] : i;
        pads->v[ax] = v[i];
        pads->v[rank + ax] = v[k + i];
    }
    return true;
}

/* One axis by the elements at these places, which the program works out. */
static kl_tensor *pad_axis(kl_tensor *x, int axis, int64_t before, int64_t after,
                           const char *mode)
{
    int64_t d = kl_extent(x, axis), total = sum64(sum64(d, before), after);
    if (!x || (!before && !after) || total < 0)
        return x;
    if (d < 1)
        return NULL;
    int64_t period = d > 1 ? product64(2, d - 1) : 1;
    kl_tensor *k = kl_sub(kl_arange(0, total, 1, KL_I64), before);
    if (mode[0] == 'e')
        k = kl_clamp(k, 0, d - 1);
    else if (mode[0] == 'w')
        k = kl_mod(k, d);
    else if ((k = kl_mod(k, period)))
        k = kl_where(kl_lt(k, d), k, kl_sub(period, k));
    return kl_index_select(x, axis, k);
}

OP(Pad)
{
    kl_tensor *x = in(n, 0);
    kl_ints pads;
    int rank = kl_rank(x);
    const char *mode = kl_onnx_text(n, "mode", "constant");
    if (!all_pads(n, rank, &pads))
        return;
    if (strcmp(mode, "constant") == 0) {
        kl_arg v = kl_arg_d(n->opset < 11 ? kl_onnx_float(n, "value", 0) : 0);
        if (n->opset >= 11 && has(n, 2))
            v = kl_arg_t(kl_reshape(in(n, 2), kl_shape()));
        else if (!is_float(kl_dtype_of(x)))
            v = kl_arg_i(whole64(v.d));
        int64_t count;
        if (v.kind == KL_ARG_TENSOR && is_float(kl_dtype_of(x))) {
            const double *d = kl_onnx_numbers(n, 2, &count);
            v = d && count ? kl_arg_d(*d) : kl_arg_d(0);
        } else if (v.kind == KL_ARG_TENSOR) {
            const int64_t *d = kl_onnx_ints(n, 2, &count);
            v = d && count ? kl_arg_i(*d) : kl_arg_i(0);
        }
        kl_tensor *y = kl_onnx_pad(x, pads, v);
        give(n, 0, y == x ? kl_clone(x) : y);
        return;
    }
    if (strcmp(mode, "edge") && strcmp(mode, "reflect") && strcmp(mode, "wrap")) {
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "mode '%.40s' is not supported", mode);
        return;
    }
    for (int i = 0; i < rank; i++)
        x = pad_axis(x, i, pads.v[i], pads.v[rank + i], mode);
    if (!x && !kl_failed())
        kl_onnx_fail(n, KL_ERR_SHAPE, "nothing to pad with");
    give(n, 0, x);
}

OP(Trilu)
{
    int64_t count, k = 0;
    const int64_t *v = has(n, 1) ? kl_onnx_ints(n, 1, &count) : NULL;
    k = v && count ? *v : 0;
    bool upper = kl_onnx_int(n, "upper", 1);
    give(n, 0, upper ? kl_triu(in(n, 0), k) : kl_tril(in(n, 0), k));
}

/* ---- blocks between channels and space ---- */

OP(DepthToSpace)
{
    kl_tensor *x = in(n, 0);
    int64_t b = kl_onnx_int(n, "blocksize", 1);
    bool column = strcmp(kl_onnx_text(n, "mode", "DCR"), "CRD") == 0;
    if (kl_rank(x) != 4 || b < 1 || b > INT_MAX || kl_extent(x, 1) % (b * b)) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "blocks of %lld do not fit", (long long)b);
        return;
    }
    int64_t N = kl_extent(x, 0), C = kl_extent(x, 1) / (b * b), H = kl_extent(x, 2),
            W = kl_extent(x, 3);
    if (column)
        x = kl_permute(kl_reshape(x, kl_shape(N, C, b, b, H, W)),
                       kl_axes(0, 1, 4, 2, 5, 3));
    else
        x = kl_permute(kl_reshape(x, kl_shape(N, b, b, C, H, W)),
                       kl_axes(0, 3, 4, 1, 5, 2));
    give(n, 0, kl_reshape(x, kl_shape(N, C, product64(H, b), product64(W, b))));
}

OP(SpaceToDepth)
{
    kl_tensor *x = in(n, 0);
    int64_t b = kl_onnx_int(n, "blocksize", 1);
    bool column = strcmp(kl_onnx_text(n, "mode", "DCR"), "CRD") == 0;
    if (kl_rank(x) != 4 || b < 1 || kl_extent(x, 2) % b || kl_extent(x, 3) % b) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "blocks of %lld do not fit", (long long)b);
        return;
    }
    int64_t N = kl_extent(x, 0), C = kl_extent(x, 1), H = kl_extent(x, 2) / b,
            W = kl_extent(x, 3) / b;
    x = kl_reshape(x, kl_shape(N, C, H, b, W, b));
    x = kl_permute(x, column ? kl_axes(0, 1, 3, 5, 2, 4) : kl_axes(0, 3, 5, 1, 2, 4));
    give(n, 0, kl_reshape(x, kl_shape(N, product64(product64(C, b), b), H, W)));
}

OP(CenterCropPad)
{
    kl_tensor *x = in(n, 0);
    int rank = kl_rank(x);
    kl_ints want, axes;
    if (2 * rank > KL_INTS_MAX)
        too_many(n);
    if (kl_failed() || !kl_onnx_list_of(n, 1, NULL, &want))
        return;
    if (!kl_onnx_list(n, "axes", &axes))
        for (int i = 0; i < rank; i++)
            push(&axes, i);
    if (kl_failed() || !kl_onnx_axes(n, &axes, rank) || want.n != axes.n)
        return;
    kl_ints pads = ints_fill(2 * rank, 0);
    for (int i = 0; i < axes.n; i++) {
        int ax = (int)axes.v[i];
        int64_t d = kl_extent(x, ax), more = sum64(want.v[i], -d);
        if (more < 0)
            x = kl_narrow(x, ax, -more / 2, want.v[i]);
        else
            pads.v[ax] = more / 2, pads.v[rank + ax] = more - more / 2;
    }
    kl_tensor *y = kl_onnx_pad(x, pads, kl_arg_i(0));
    give(n, 0, y == in(n, 0) ? kl_clone(y) : y);
}

/* Each sequence's first steps reversed. */
OP(ReverseSequence)
{
    kl_tensor *x = in(n, 0), *lengths = in(n, 1);
    int64_t batch = kl_onnx_int(n, "batch_axis", 1),
            time = kl_onnx_int(n, "time_axis", 0);
    if (!kl_onnx_axis(n, &batch, kl_rank(x)) || !kl_onnx_axis(n, &time, kl_rank(x)))
        return;
    kl_ints a = ints_fill(kl_rank(x), 1), b = a;
    a.v[time] = kl_extent(x, (int)time);
    b.v[batch] = kl_extent(x, (int)batch);
    kl_tensor *t = kl_reshape(kl_arange(0, a.v[time], 1, KL_I64), a);
    kl_tensor *l = kl_reshape(lengths, b);
    kl_tensor *from = kl_where(kl_lt(t, l), kl_sub(kl_sub(l, 1), t), t);
    give(n, 0,
         kl_take_along_dim_at(KL_HERE, x, kl_expand(from, kl_shape_of(x)), (int)time,
                              false));
}
