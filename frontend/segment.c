/* segment.c: reductions of runs of an axis, as torch.segment_reduce has them.
 *
 *   segment_reduce(x, "sum", lengths [2, 0, 4])  ->  number of each element's run [1 1 3
 * 3 3 3] scatter_reduce into [before, 3 runs, after]
 */
#include "handles.h"

typedef struct segments {
    kl_tensor *offsets, *count; /* [.., runs + 1], [.., runs] */
    int64_t runs;
} segments;

/* The scatter's name for it, or NULL; *start what an empty run has. */
static const char *combination(const char *reduce, double *start)
{
    static const struct {
        const char *name, *scatter;
        double start;
    } all[] = {{"sum", "sum", 0},
               {"mean", "sum", 0},
               {"prod", "prod", 1},
               {"max", "amax", -INFINITY},
               {"min", "amin", INFINITY}};
    for (size_t i = 0; reduce && i < KL_COUNT(all); i++)
        if (strcmp(all[i].name, reduce) == 0)
            return *start = all[i].start, all[i].scatter;
    kl_fail(KL_ERR_ARG,
            "reduce argument must be either sum, prod, mean, max or min, got %s",
            reduce ? reduce : "NULL");
    return NULL;
}

/* Lengths that are no lengths, or do not fill n. */
static kl_status check_lengths(const char *at, kl_tensor *lengths, int64_t n)
{
    if (kl_numel(lengths) == 0)
        return KL_OK;
    kl_tensor *sum = kl_sum_at(at, lengths, kl_axes(-1), false);
    kl_tensor *least = kl_amin_at(at, lengths, kl_axes(), false);
    kl_tensor *off = sum ? kl_ne_at(at, T(sum), kl_arg_i(n)) : NULL;
    off = off ? kl_any_at(at, off, kl_axes(), false) : NULL;
    if (!least || !off)
        return KL_ERR_ARG;
    if (kl_item_int_at(at, least) < 0)
        return kl_fail(KL_ERR_ARG, "lengths contains negative value!");
    if (kl_item_int_at(at, off))
        return kl_fail(KL_ERR_ARG,
                       "segment_reduce(): Expected all rows of lengths along "
                       "axis to sum to data.size(lengths.dim()-1) when !unsafe.");
    return KL_OK;
}

static bool settle(const char *at, kl_tensor *lengths, kl_tensor *offsets, int axis,
                   int64_t n, bool unsafe, segments *s)
{
    kl_tensor *by = lengths ? lengths : offsets;
    if (!by)
        kl_fail(KL_ERR_ARG,
                "segment_reduce(): Either lengths or offsets must be defined.");
    else if (by->rank != axis + 1)
        kl_fail(
            KL_ERR_SHAPE,
            "segment_reduce(): Expected axis to be the last dimension of %s but got %d.",
            lengths ? "lengths" : "offsets", axis);
    else if (!lengths) {
        s->offsets = offsets;
        s->runs = kl_extent(offsets, -1) - 1;
        s->count = kl_diff_at(at, offsets, 1, -1, NULL, NULL);
    } else if (unsafe || !check_lengths(at, lengths, n)) {
        kl_tensor *ends = kl_cumsum_at(at, lengths, -1);
        s->count = lengths;
        s->runs = kl_extent(lengths, -1);
        s->offsets = ends ? kl_pad_at(at, ends, kl_shape(1, 0), kl_arg_i(0)) : NULL;
    }
    return s->offsets && s->count;
}

/* t [..] as it stands beside data, whose axes after t's repeat it. */
static kl_tensor *beside(const char *at, kl_tensor *t, kl_ints shape)
{
    kl_ints s = kl_shape_of(t);
    while (s.n < shape.n)
        s.v[s.n++] = 1;
    t = t ? kl_reshape_at(at, t, s) : NULL;
    return t ? kl_expand_at(at, t, shape) : NULL;
}

/* The number of each element's run, from 1; 0 before the first, runs + 1 after the last.
 */
static kl_tensor *numbers(const char *at, const segments *s, kl_ints shape, int64_t n)
{
    kl_ints places = kl_shape_of(s->offsets);
    places.v[places.n - 1] = n;
    kl_tensor *i = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
    i = i ? kl_expand_at(at, i, places) : NULL;
    return i ? beside(at, kl_searchsorted_at(at, s->offsets, T(i), true), shape) : NULL;
}

kl_tensor *kl_segment_reduce_at(const char *at, kl_tensor *data, const char *reduce,
                                kl_tensor *lengths, kl_tensor *offsets, int axis,
                                bool unsafe, kl_arg initial)
{
    kl_call c = kl_compose(at);
    segments s = {0};
    double start = 0;
    const char *how = data ? combination(reduce, &start) : NULL;
    int64_t n = data ? kl_extent(data, axis) : -1;
    if (!how || n < 0 || !settle(at, lengths, offsets, axis, n, unsafe, &s))
        return kl_composed(&c, NULL, NULL);
    kl_ints shape = kl_shape_of(data);
    kl_tensor *number = numbers(at, &s, shape, n);
    shape.v[axis] = s.runs + 2;
    bool given = initial.kind != KL_ARG_NONE;
    kl_tensor *from =
        kl_full_at(at, shape, given ? initial : kl_arg_d(start), kl_dtype_of(data));
    kl_tensor *r = number && from
                       ? kl_scatter_reduce_at(at, from, axis, number, data, how, true)
                       : NULL;
    r = r ? kl_narrow_at(at, r, axis, 1, s.runs) : NULL;
    if (r && strcmp(reduce, "mean") == 0) {
        kl_tensor *count = beside(at, s.count, kl_shape_of(r));
        kl_tensor *some = count ? kl_gt_at(at, T(count), kl_arg_i(0)) : NULL;
        kl_tensor *mean = some ? kl_div_at(at, T(r), T(count)) : NULL;
        r = mean ? kl_where_at(at, some, T(mean), given ? initial : kl_arg_d(NAN)) : NULL;
    }
    return kl_composed(&c, __func__, r);
}
