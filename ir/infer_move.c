/* infer_move.c: shapes of the movement rows. Extents may be symbolic; what can be
 * disproved is refused, what can be proved is exact, the rest is a matter of sizes bound
 * at run time.
 *
 *   window f32[1,8,9] (axis 2 size 3 stride 2 dilation 1)  ->  f32[1,8,4,3]
 *   slice  f32[B,64] start (0, 60) step (1, 1) to f32[B,8]  ->  "reads past axis 1" */
#include "ir/infer.h"

/* d - 1 - (start + (extent - 1) * step) is not known to be negative, or nothing is read.
 */
static bool reads_past(kl_dims *d, kl_dim start, kl_dim extent, kl_dim step, kl_dim size)
{
    if (extent == 0)
        return false;
    kl_dim last = kl_dim_add(d, start, kl_dim_mul(d, kl_dim_sub(d, extent, 1), step));
    int64_t min, max;
    kl_dim_range(d, extent, &min, &max);
    return min > 0 && kl_dim_never_le(d, kl_dim_add(d, last, 1), size);
}

/* The wanted shape with operand 0's dtype. */
static kl_status wanted_shape(const kl_infer_args *in)
{
    if (!in->want)
        return kl_infer_fail(in, KL_ERR_SHAPE, "needs a shape to take");
    *in->out = *in->want;
    in->out->dtype = in->src[0].dtype;
    return kl_infer_shape(in, in->out);
}

kl_status kl_infer_reshape(const kl_infer_args *in)
{
    KL_TRY(wanted_shape(in));
    KL_TRY(kl_infer_attrs(in, 0));
    if (kl_type_numel(in->d, &in->src[0]) != kl_type_numel(in->d, in->out))
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "does not have the elements of",
                                  in->out);
    return KL_OK;
}

kl_status kl_infer_permute(const kl_infer_args *in)
{
    unsigned seen = 0;
    const kl_type *a = &in->src[0];
    KL_TRY(kl_infer_attrs(in, (uint32_t)a->rank));
    *in->out = *a;
    for (int i = 0; i < a->rank; i++) {
        KL_TRY(kl_infer_axis(in, in->attr[i], a->rank));
        if (seen >> in->attr[i] & 1)
            return kl_infer_fail(in, KL_ERR_ARG, "has axis %d twice", (int)in->attr[i]);
        seen |= 1u << in->attr[i];
        in->out->shape[i] = a->shape[in->attr[i]];
    }
    return KL_OK;
}

kl_status kl_infer_expand(const kl_infer_args *in)
{
    const kl_type *a = &in->src[0];
    KL_TRY(wanted_shape(in));
    KL_TRY(kl_infer_attrs(in, 0));
    int lead = in->out->rank - a->rank;
    if (lead < 0)
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "has more axes than", in->out);
    for (int i = 0; i < a->rank; i++)
        if (a->shape[i] != 1 && a->shape[i] != in->out->shape[lead + i])
            return kl_infer_fail_type(in, KL_ERR_SHAPE, "does not expand to", in->out);
    return KL_OK;
}

kl_status kl_infer_pad(const kl_infer_args *in)
{
    const kl_type *a = &in->src[0], *fill = &in->src[1];
    int n = a->rank;
    KL_TRY(kl_infer_attrs(in, 3 * (uint32_t)n));
    if (fill->rank || fill->dtype != a->dtype)
        return kl_infer_fail(in, KL_ERR_DTYPE, "need a scalar of one dtype to pad with");
    *in->out = *a;
    for (int i = 0; i < n; i++) {
        kl_dim lo = in->attr[i], hi = in->attr[n + i], inner = in->attr[2 * n + i];
        if (kl_dim_never_le(in->d, 0, lo) || kl_dim_never_le(in->d, 0, hi) ||
            kl_dim_never_le(in->d, 0, inner))
            return kl_infer_fail(in, KL_ERR_ARG,
                                 "cannot pad axis %d by a negative amount", i);
        kl_dim gaps = kl_dim_max(in->d, kl_dim_sub(in->d, a->shape[i], 1), 0);
        kl_dim y = kl_dim_add(in->d, a->shape[i],
                              inner == 0 ? 0 : kl_dim_mul(in->d, gaps, inner));
        in->out->shape[i] = kl_dim_add(in->d, kl_dim_add(in->d, lo, hi), y);
    }
    return kl_infer_shape(in, in->out);
}

kl_status kl_infer_slice(const kl_infer_args *in)
{
    const kl_type *a = &in->src[0];
    int n = a->rank;
    KL_TRY(wanted_shape(in));
    KL_TRY(kl_infer_attrs(in, 2 * (uint32_t)n));
    if (in->out->rank != n)
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "has not the axes of", in->out);
    for (int i = 0; i < n; i++) {
        kl_dim start = in->attr[i], step = in->attr[n + i];
        if (kl_dim_never_le(in->d, 0, start) || kl_dim_never_le(in->d, 1, step))
            return kl_infer_fail(in, KL_ERR_ARG,
                                 "needs start >= 0 and step > 0 for axis %d", i);
        if (reads_past(in->d, start, in->out->shape[i], step, a->shape[i]))
            return kl_infer_fail(in, KL_ERR_SHAPE, "is read past the end of axis %d", i);
    }
    return KL_OK;
}

kl_status kl_infer_flip(const kl_infer_args *in)
{
    KL_TRY(kl_infer_attrs(in, 1));
    if (in->attr[0] < 0 || in->attr[0] >> in->src[0].rank)
        return kl_infer_fail(in, KL_ERR_ARG, "has no such axes");
    *in->out = in->src[0];
    return KL_OK;
}

kl_status kl_infer_concat(const kl_infer_args *in)
{
    if (in->nsrc == 0)
        return kl_infer_fail(in, KL_ERR_ARG, "needs at least one operand");
    KL_TRY(kl_infer_attrs(in, 1));
    KL_TRY(kl_infer_axis(in, in->attr[0], in->src[0].rank));
    *in->out = in->src[0];
    kl_dim *sum = &in->out->shape[in->attr[0]], first = *sum;
    for (uint32_t i = 1; i < in->nsrc; i++) {
        kl_type t = in->src[i];
        bool axis = t.rank == in->out->rank;
        kl_dim more = axis ? t.shape[in->attr[0]] : 0;
        if (axis)
            t.shape[in->attr[0]] = first;
        if (!axis || !kl_same_type(&t, &in->src[0]))
            return kl_infer_fail(in, KL_ERR_SHAPE,
                                 "do not join along axis %d: operand %u",
                                 (int)in->attr[0], i + 1);
        *sum = kl_dim_add(in->d, *sum, more);
    }
    return kl_infer_shape(in, in->out);
}

/* windows(t): each listed axis becomes positions; its offsets within the window come
 * last. */
static kl_status windows(const kl_infer_args *in, const kl_type *t, kl_type *y)
{
    int64_t m = in->nattr ? in->attr[0] : 0;
    unsigned seen = 0;
    if (in->nattr < 1 || m < 0 || m > KL_MAX_RANK)
        return kl_infer_fail(in, KL_ERR_ARG, "has no list of axes");
    KL_TRY(kl_infer_attrs(in, 1 + 4 * (uint32_t)m));
    kl_type r = *t;
    if (t->rank + m > KL_MAX_RANK)
        return kl_infer_fail(in, KL_ERR_SHAPE, "gives rank %d; at most %d are possible",
                             t->rank + (int)m, KL_MAX_RANK);
    for (int i = 0; i < m; i++) {
        const int64_t *w = in->attr + 1 + 4 * i;
        KL_TRY(kl_infer_axis(in, w[0], t->rank));
        if (seen >> w[0] & 1 || kl_dim_never_le(in->d, 1, w[1]) ||
            kl_dim_never_le(in->d, 1, w[2]) || kl_dim_never_le(in->d, 1, w[3]))
            return kl_infer_fail(in, KL_ERR_ARG,
                                 "needs different axes, and size, stride, dilation > 0");
        seen |= 1u << w[0];
        kl_dim span = kl_dim_mul(in->d, kl_dim_sub(in->d, w[1], 1), w[3]);
        kl_dim rest = kl_dim_sub(in->d, t->shape[w[0]], span); /* positions at stride 1 */
        r.shape[w[0]] = kl_dim_max(
            in->d,
            kl_dim_div(in->d, kl_dim_add(in->d, rest, kl_dim_sub(in->d, w[2], 1)), w[2]),
            0);
        r.shape[r.rank++] = w[1];
    }
    *y = r;
    return KL_OK;
}

kl_status kl_infer_window(const kl_infer_args *in)
{
    KL_TRY(windows(in, &in->src[0], in->out));
    return kl_infer_shape(in, in->out);
}

kl_status kl_infer_fold(const kl_infer_args *in)
{
    kl_type w;
    KL_TRY(wanted_shape(in));
    KL_TRY(windows(in, in->out, &w));
    if (kl_is_complex(in->src[0].dtype) || in->src[0].dtype != KL_BOOL) {
        if (!kl_same_shape(&w, &in->src[0]))
            return kl_infer_fail_type(in, KL_ERR_SHAPE, "should be the windows", &w);
        return KL_OK;
    }
    return kl_infer_fail(in, KL_ERR_DTYPE, "has no sum");
}

/* Whether some index of the map leaves [0, n); symbolic maps are not decided. */
static bool map_leaves(kl_dims *d, const int64_t *attr, const kl_type *t, kl_dim n)
{
    kl_dim lo = attr[0], hi = attr[0];
    for (int i = 0; i < t->rank; i++) {
        int64_t min, max;
        kl_dim_range(d, t->shape[i], &min, &max);
        if (min <= 0)
            return false;
        kl_dim reach = kl_dim_mul(d, kl_dim_sub(d, t->shape[i], 1), attr[1 + i]);
        kl_dim_range(d, reach, &min, &max);
        if (max <= 0)
            lo = kl_dim_add(d, lo, reach);
        else if (min >= 0)
            hi = kl_dim_add(d, hi, reach);
    }
    return kl_dim_never_le(d, 0, lo) || kl_dim_never_le(d, kl_dim_add(d, hi, 1), n);
}

kl_status kl_infer_strided(const kl_infer_args *in)
{
    KL_TRY(wanted_shape(in));
    KL_TRY(kl_infer_attrs(in, 1 + (uint32_t)in->out->rank));
    if (map_leaves(in->d, in->attr, in->out, kl_type_numel(in->d, &in->src[0])))
        return kl_infer_fail_type(in, KL_ERR_SHAPE, "does not hold the strided", in->out);
    return KL_OK;
}

kl_status kl_infer_update(const kl_infer_args *in)
{
    KL_TRY(kl_infer_attrs(in, 1 + (uint32_t)in->src[1].rank));
    if (in->src[0].dtype != in->src[1].dtype)
        return kl_infer_fail(in, KL_ERR_DTYPE, "do not match");
    if (map_leaves(in->d, in->attr, &in->src[1], kl_type_numel(in->d, &in->src[0])))
        return kl_infer_fail(in, KL_ERR_SHAPE,
                             "do not fit: the second is written past the first");
    *in->out = in->src[0];
    return KL_OK;
}
