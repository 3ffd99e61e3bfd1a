/* op_index.c: gathering, scattering, one-hot, and results whose size the elements decide.
 */
#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

/* Negative indices count from the end. */
static kl_tensor *wrapped(kl_tensor *index, int64_t extent)
{
    index = kl_to(index, KL_I64);
    return kl_where(kl_lt(index, 0), kl_add(index, extent), index);
}

OP(Gather)
{
    kl_tensor *x = in(n, 0), *index = in(n, 1);
    int64_t axis = kl_onnx_int(n, "axis", 0);
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    kl_ints s = kl_shape_of(x), i = kl_shape_of(index), out = {0};
    for (int k = 0; k < axis; k++)
        push(&out, s.v[k]);
    for (int k = 0; k < i.n; k++)
        push(&out, i.v[k]);
    for (int k = (int)axis + 1; k < s.n; k++)
        push(&out, s.v[k]);
    index = wrapped(kl_reshape(index, kl_shape(kl_numel(index))), s.v[axis]);
    give(n, 0, kl_reshape(kl_index_select(x, (int)axis, index), out));
}

OP(GatherElements)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", 0);
    if (kl_onnx_axis(n, &axis, kl_rank(x)))
        give(n, 0, kl_gather(x, (int)axis, wrapped(in(n, 1), kl_extent(x, (int)axis))));
}

/* ---- indices of several dimensions, as places in x flattened ---- */

/* index [batch.., rows.., k] over the extents first..first + k of x: a place each, in the
 * order of those dimensions; the batch's places are added. */
static kl_tensor *places(kl_tensor *x, kl_tensor *index, int first, int k)
{
    kl_tensor *at = NULL;
    int last = kl_rank(index) - 1;
    for (int j = 0; j < k; j++) {
        int64_t extent = kl_extent(x, first + j);
        kl_tensor *i = wrapped(kl_select(index, last, j), extent);
        at = at ? kl_add(kl_mul(at, extent), i) : i;
    }
    return at;
}

static int64_t product(kl_ints s, int from, int to)
{
    int64_t p = 1;
    for (int i = from; i < to && i < s.n; i++)
        p *= s.v[i];
    return p;
}

OP(GatherND)
{
    kl_tensor *x = in(n, 0), *index = in(n, 1);
    int b = (int)kl_onnx_int(n, "batch_dims", 0), r = kl_rank(index);
    kl_ints s = kl_shape_of(x), is = kl_shape_of(index), out = {0};
    int64_t last = r ? is.v[r - 1] : 0;
    if (r < 1 || b < 0 || b >= r || b > s.n || last > s.n - b) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "indices of %lld dimensions into %d",
                     (long long)last, s.n);
        return;
    }
    int k = (int)last;
    for (int i = 0; i < r - 1; i++)
        push(&out, is.v[i]);
    for (int i = b + k; i < s.n; i++)
        push(&out, s.v[i]);
    int64_t batch = product(s, 0, b), space = product(s, b, b + k),
            inner = product(s, b + k, s.n);
    kl_tensor *at = k ? places(x, index, b, k) : kl_zeros(kl_shape(1), KL_I64);
    at = kl_reshape(at, kl_shape(batch, -1));
    kl_tensor *of_batch = kl_reshape(kl_arange(0, batch, 1, KL_I64), kl_shape(batch, 1));
    at = kl_add(at, kl_mul(of_batch, space));
    kl_tensor *flat = kl_reshape(x, kl_shape(batch * space, inner));
    give(n, 0, kl_reshape(kl_index_select(flat, 0, kl_reshape(at, kl_shape(-1))), out));
}

static const char *combining(kl_onnx_op *n)
{
    static const char *const names[][2] = {{"none", NULL},
                                           {"add", "sum"},
                                           {"mul", "prod"},
                                           {"max", "amax"},
                                           {"min", "amin"}};
    const char *how = kl_onnx_text(n, "reduction", "none");
    for (size_t i = 0; i < KL_COUNT(names); i++)
        if (strcmp(names[i][0], how) == 0)
            return names[i][1];
    kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "reduction '%.40s' is not supported", how);
    return NULL;
}

OP(ScatterND)
{
    kl_tensor *x = in(n, 0), *index = in(n, 1), *v = in(n, 2);
    kl_ints s = kl_shape_of(x), is = kl_shape_of(index);
    int64_t last = is.n ? is.v[is.n - 1] : 0;
    const char *how = combining(n);
    if (kl_failed() || last < 1 || last > s.n) {
        kl_onnx_fail(n, KL_ERR_SHAPE, "indices of %lld dimensions into %d",
                     (long long)last, s.n);
        return;
    }
    int k = (int)last;
    int64_t space = product(s, 0, k), inner = product(s, k, s.n);
    int64_t rows = product(is, 0, is.n - 1);
    kl_tensor *at = kl_reshape(places(x, index, 0, k), kl_shape(rows, 1));
    at = kl_expand(at, kl_shape(rows, inner));
    kl_tensor *y = kl_reshape(x, kl_shape(space, inner));
    v = kl_reshape(v, kl_shape(rows, inner));
    give(n, 0, kl_reshape(kl_scatter_at(KL_HERE, y, 0, at, kl_arg_t(v), how), s));
}

OP(ScatterElements)
{
    kl_tensor *x = in(n, 0);
    int64_t axis = kl_onnx_int(n, "axis", 0);
    const char *how = combining(n);
    if (kl_failed() || !kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    kl_tensor *index = wrapped(in(n, 1), kl_extent(x, (int)axis));
    give(n, 0, kl_scatter_at(KL_HERE, x, (int)axis, index, kl_arg_t(in(n, 2)), how));
}

OP(Scatter)
{
    kl_onnx_op_ScatterElements(n);
}

/* update [b, .., steps, ..] into past at write_indices[b], along axis. */
OP(TensorScatter)
{
    kl_tensor *past = in(n, 0), *v = in(n, 1), *start = in(n, 2);
    int64_t axis = kl_onnx_int(n, "axis", -2);
    bool circular = strcmp(kl_onnx_text(n, "mode", "linear"), "circular") == 0;
    if (!kl_onnx_axis(n, &axis, kl_rank(past)))
        return;
    int ax = (int)axis;
    kl_ints a = ints_fill(kl_rank(past), 1), b = a;
    a.v[ax] = kl_extent(v, ax);
    b.v[0] = kl_extent(past, 0);
    kl_tensor *at = kl_reshape(kl_arange(0, a.v[ax], 1, KL_I64), a);
    if (start)
        at = kl_add(at, kl_reshape(kl_to(start, KL_I64), b));
    if (circular)
        at = kl_mod(at, kl_extent(past, ax));
    give(n, 0, kl_scatter(past, ax, kl_expand(at, kl_shape_of(v)), v));
}

/* values: what is elsewhere, what is at the index; indices outside are nowhere. */
OP(OneHot)
{
    kl_tensor *index = in(n, 0), *values = in(n, 2);
    int64_t axis = kl_onnx_int(n, "axis", -1), count;
    const int64_t *depth = kl_onnx_ints(n, 1, &count);
    int rank = kl_rank(index) + 1;
    if (depth && rank > KL_INTS_MAX)
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "more than %d dimensions", KL_INTS_MAX);
    if (!depth || !count || kl_failed() || !kl_onnx_axis(n, &axis, rank))
        return;
    kl_ints s = ints_fill(rank, 1);
    s.v[axis] = depth[0];
    kl_tensor *at = kl_reshape(kl_arange(0, depth[0], 1, KL_I64), s);
    index = kl_to(index, KL_I64);
    index = kl_unsqueeze(wrapped(index, depth[0]), (int)axis);
    kl_tensor *off = kl_select(values, 0, 0), *on = kl_select(values, 0, 1);
    give(n, 0, kl_where(kl_eq(at, index), on, off));
}

/* ---- sizes that elements decide ---- */

OP(NonZero)
{
    kl_tensor *x = in(n, 0);
    kl_onnx_value at = {.t = NULL};
    if (kl_onnx_pads(n, x))
        at = kl_onnx_chosen(n, 0);
    else
        at.t = kl_nonzero(kl_rank(x) ? x : kl_reshape(x, kl_shape(1)));
    kl_tensor *y = at.t ? kl_contiguous_at(KL_HERE, kl_transpose(at.t, 0, 1)) : NULL;
    give_counted(n, 0, y, at.count, 1);
}

OP(Compress)
{
    kl_tensor *x = in(n, 0);
    kl_onnx_value at = {.t = NULL};
    bool flat = !kl_onnx_attribute(n, "axis");
    int64_t axis = kl_onnx_int(n, "axis", 0);
    x = flat ? kl_reshape(x, kl_shape(kl_numel(x))) : x;
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    if (n->in[0].count && (n->in[1].count != n->in[0].count || n->in[0].axis != axis)) {
        kl_onnx_refuse_counted(n, 0);
        return;
    }
    if (kl_onnx_pads(n, in(n, 1)))
        at = kl_onnx_chosen(n, 1);
    else
        at.t = kl_nonzero(in(n, 1));
    kl_tensor *y = at.t ? kl_index_select(x, (int)axis, kl_select(at.t, 1, 0)) : NULL;
    give_counted(n, 0, y, at.count, (int)axis);
}

/* Where each distinct value stands first, by a minimum over who has it. */
static kl_tensor *first_places(kl_tensor *inverse, int64_t count)
{
    int64_t all = kl_numel(inverse);
    kl_tensor *none = kl_full(kl_shape(count), all, KL_I64);
    return kl_scatter_reduce(none, 0, inverse, kl_arange(0, all, 1, KL_I64), "amin");
}

typedef struct distinct { /* what Unique gives; count NULL: of known size */
    kl_tensor *y, *first, *inverse, *counts, *count;
} distinct;

/* By where they stand first; what is padding comes last. */
static void by_place(distinct *d, int axis)
{
    kl_tensor *place = d->first;
    if (d->count) {
        int64_t all = kl_numel(place);
        place = kl_where(kl_lt(kl_arange(0, all, 1, KL_I64), d->count), place, all);
    }
    kl_tensor *order = kl_argsort(place, 0, false), *rank = kl_argsort(order, 0, false);
    d->y = kl_index_select(d->y, axis, order);
    d->first = kl_index_select(d->first, 0, order);
    d->counts = kl_index_select(d->counts, 0, order);
    d->inverse = kl_index_select(rank, 0, d->inverse);
}

static distinct find_distinct(kl_onnx_op *n, kl_tensor *x, bool flat, int axis)
{
    distinct d = {.y = NULL};
    if (flat && kl_onnx_pads(n, x))
        d.y = kl_unique_padded(x, &d.first, &d.inverse, &d.counts, &d.count);
    else if (flat)
        d.y = kl_unique_at(KL_HERE, x, true, &d.inverse, &d.counts);
    else
        d.y = kl_unique_dim_at(KL_HERE, x, axis, true, &d.inverse, &d.counts);
    if (!d.y)
        return d;
    d.inverse = kl_reshape(d.inverse, kl_shape(kl_numel(d.inverse)));
    if (!d.count)
        d.first = first_places(d.inverse, kl_extent(d.y, axis));
    return d;
}

OP(Unique)
{
    kl_tensor *x = in(n, 0);
    bool sorted = kl_onnx_int(n, "sorted", 1), flat = !kl_onnx_attribute(n, "axis");
    int64_t axis = kl_onnx_int(n, "axis", 0);
    x = flat ? kl_reshape(x, kl_shape(kl_numel(x))) : x;
    if (!kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    distinct d = find_distinct(n, x, flat, (int)axis);
    if (!d.y)
        return;
    if (!sorted)
        by_place(&d, (int)axis);
    give_counted(n, 0, d.y, d.count, (int)axis);
    give_counted(n, 1, d.first, d.count, 0);
    give(n, 2, d.inverse);
    give_counted(n, 3, d.counts, d.count, 0);
}
