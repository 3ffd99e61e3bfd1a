/* shape.c: movement functions whose result is a new tensor: joining, repeating, padding,
 * masking by position.
 *
 *   kl_roll(x, 1, 0)  ->  concat(x[-1:], x[:-1]) */
#include "front.h"

kl_tensor *kl_flip_at(const char *at, kl_tensor *t, kl_ints dims)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    uint64_t mask = 0;
    if (!n || (dims.n && kl_axes_mask(dims, n->rank, &mask)))
        return kl_call_end(&c, NULL);
    return kl_call_end_laid(&c, kl_n_flip(n, mask), 1, (kl_arg[]){kl_arg_t(t)});
}

kl_tensor *kl_roll_at(const char *at, kl_tensor *t, int64_t shift, int dim)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    if (!n || kl_dim_wrap(dim, n->rank, &axis))
        return kl_call_end(&c, NULL);
    int64_t extent = n->rank ? kl_lazy_shape(n)[axis] : 0;
    int64_t s = extent ? shift % extent : 0;
    s += s < 0 ? extent : 0;
    if (s == 0)
        return kl_call_end(&c, n);
    kl_lazy *parts[2] = {kl_n_slice_axis(n, axis, extent - s, s, 1),
                         kl_n_slice_axis(n, axis, 0, extent - s, 1)};
    return kl_call_end(&c, kl_n_concat(parts, 2, axis));
}

/* ---- joining ---- */

/* Read, promoted to one dtype. */
static kl_lazy **read_all(kl_tensor *const *t, int n)
{
    if (!kl_arg_given(t, n, "the list of tensors"))
        return NULL;
    kl_lazy **v = n > 0 ? kl_alloc_zeroed((size_t)n * sizeof *v) : NULL;
    kl_arg *a = n > 0 ? kl_alloc((size_t)n * sizeof *a) : NULL;
    kl_dtype dt = KL_DTYPE_NONE;
    if (n <= 0)
        kl_fail(KL_ERR_ARG, "expected a non-empty list of Tensors");
    else if (!v || !a)
        kl_fail(KL_ERR_OOM, "out of memory for %d tensors", n);
    for (int i = 0; v && a && i < n; i++)
        a[i] = kl_arg_t(t[i]);
    if (v && a)
        dt = kl_arg_promote(n, a);
    for (int i = 0; dt != KL_DTYPE_NONE && i < n; i++)
        v[i] = kl_arg_read(a[i], dt);
    kl_free(a, (size_t)n * sizeof *a);
    if (dt == KL_DTYPE_NONE) {
        kl_free(v, (size_t)n * sizeof *v);
        return NULL;
    }
    return v;
}

static kl_status check_cat(kl_lazy **v, int n, int axis)
{
    for (int i = 0; i < n; i++) {
        if (v[i]->rank == 0)
            return kl_fail(KL_ERR_SHAPE,
                           "zero-dimensional tensor (at position %d) cannot be "
                           "concatenated",
                           i);
        if (v[i]->rank != v[0]->rank)
            return kl_fail(KL_ERR_SHAPE,
                           "Tensors must have same number of dimensions: got %d and %d",
                           v[0]->rank, v[i]->rank);
        for (int d = 0; d < v[0]->rank; d++)
            if (d != axis && kl_lazy_shape(v[i])[d] != kl_lazy_shape(v[0])[d])
                return kl_fail(
                    KL_ERR_SHAPE,
                    "Sizes of tensors must match except in dimension %d. Expected size "
                    "%lld but got size %lld for tensor number %d in the list.",
                    axis, (long long)kl_lazy_shape(v[0])[d],
                    (long long)kl_lazy_shape(v[i])[d], i);
    }
    return KL_OK;
}

kl_tensor *kl_cat_at(const char *at, kl_tensor *const *t, int n, int dim)
{
    kl_call c = kl_call_begin(at);
    kl_lazy **v = read_all(t, n), *r = NULL;
    int axis;
    if (v && v[0] && kl_dim_wrap(dim, v[0]->rank, &axis) == KL_OK &&
        check_cat(v, n, axis) == KL_OK)
        r = kl_n_concat(v, n, axis);
    if (v)
        kl_free(v, (size_t)n * sizeof *v);
    return kl_call_end(&c, r);
}

static kl_status check_stack(kl_lazy **v, int n)
{
    char a[200], b[200];
    for (int i = 1; i < n; i++)
        if (v[i]->rank != v[0]->rank || memcmp(kl_lazy_shape(v[i]), kl_lazy_shape(v[0]),
                                               v[0]->rank * sizeof(int64_t)))
            return kl_fail(
                KL_ERR_SHAPE,
                "stack expects each tensor to be equal size, but got %s at entry 0 and "
                "%s at entry %d",
                kl_ints_text(kl_ints_of(v[0]->rank, kl_lazy_shape(v[0])), a, sizeof a),
                kl_ints_text(kl_ints_of(v[i]->rank, kl_lazy_shape(v[i])), b, sizeof b),
                i);
    return KL_OK;
}

kl_tensor *kl_stack_at(const char *at, kl_tensor *const *t, int n, int dim)
{
    kl_call c = kl_call_begin(at);
    kl_lazy **v = read_all(t, n), *r = NULL;
    int axis;
    if (v && v[0] && kl_dim_wrap(dim, v[0]->rank + 1, &axis) == KL_OK &&
        check_stack(v, n) == KL_OK) {
        for (int i = 0; i < n; i++)
            v[i] = kl_n_unsqueeze(v[i], axis);
        r = kl_n_concat(v, n, axis);
    }
    if (v)
        kl_free(v, (size_t)n * sizeof *v);
    return kl_call_end(&c, r);
}

/* ---- repeating ---- */

/* [a0, a1] times (r0, r1): [1, a0, 1, a1] -> [r0, a0, r1, a1] -> [r0 a0, r1 a1] */
kl_tensor *kl_repeat_at(const char *at, kl_tensor *t, kl_ints times)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int64_t from[KL_MAX_RANK], to[KL_MAX_RANK], out[KL_MAX_RANK];
    if (n && (times.n < n->rank || 2 * times.n > KL_MAX_RANK)) {
        kl_fail(KL_ERR_SHAPE,
                "Number of dimensions of repeat dims can not be smaller than number "
                "of dimensions of tensor, nor larger than %d",
                KL_MAX_RANK / 2);
        n = NULL;
    }
    for (int i = 0; n && i < times.n; i++) {
        int lead = times.n - n->rank;
        int64_t extent = i < lead ? 1 : kl_lazy_shape(n)[i - lead];
        if (times.v[i] < 0 || kl_mul_overflow(extent, times.v[i], &out[i])) {
            kl_fail(KL_ERR_ARG, "repeat: %lld times", (long long)times.v[i]);
            return kl_call_end(&c, NULL);
        }
        from[2 * i] = 1;
        to[2 * i] = times.v[i];
        from[2 * i + 1] = to[2 * i + 1] = extent;
    }
    n = kl_n_expand(kl_n_reshape(n, 2 * times.n, from), 2 * times.n, to);
    return kl_call_end(&c, kl_n_reshape(n, times.n, out));
}

kl_tensor *kl_repeat_interleave_at(const char *at, kl_tensor *t, int64_t times, int dim)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    int64_t shape[KL_MAX_RANK + 1];
    if (!n || kl_dim_wrap(dim, n->rank, &axis))
        return kl_call_end(&c, NULL);
    if (times < 0 || n->rank == 0 || n->rank == KL_MAX_RANK) {
        kl_fail(KL_ERR_ARG, "repeat_interleave: %lld times along dimension %d",
                (long long)times, axis);
        return kl_call_end(&c, NULL);
    }
    int rank = n->rank;
    kl_lazy *u = kl_n_unsqueeze(n, axis + 1);
    if (!u)
        return kl_call_end(&c, NULL);
    memcpy(shape, kl_lazy_shape(u), (size_t)(rank + 1) * sizeof *shape);
    shape[axis + 1] = times;
    u = kl_n_expand(u, rank + 1, shape); /* NULL where the product below left 63 bits */
    memcpy(shape, kl_lazy_shape(n), (size_t)rank * sizeof *shape);
    if (u)
        shape[axis] *= times;
    return kl_call_end(&c, kl_n_reshape(u, rank, shape));
}

/* ---- padding ---- */

kl_tensor *kl_pad_at(const char *at, kl_tensor *t, kl_ints pads, kl_arg v)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t), *fill = n ? kl_arg_read(v, (kl_dtype)n->dtype) : NULL;
    int64_t lo[KL_MAX_RANK] = {0}, hi[KL_MAX_RANK] = {0};
    if (!fill)
        return kl_call_end(&c, NULL);
    if (pads.n % 2 || pads.n > 2 * n->rank || pads.n > KL_INTS_MAX || fill->rank) {
        kl_fail(KL_ERR_ARG,
                "Padding length should be less than or equal to two times the input "
                "dimension and even, but got padding length %d and input of dimension %d",
                pads.n, n->rank);
        return kl_call_end(&c, NULL);
    }
    for (int i = 0; i < pads.n / 2 && n; i++) {
        int ax = n->rank - 1 - i;
        int64_t a = pads.v[2 * i], b = pads.v[2 * i + 1], extent = kl_lazy_shape(n)[ax];
        int64_t cut = KL_MAX(kl_sat_neg(a), 0),
                left = kl_sat_add(extent - cut, KL_MIN(b, 0));
        if (left < 0) {
            kl_fail(KL_ERR_SHAPE,
                    "pad: dimension %d of size %lld cannot be cropped by %lld and %lld",
                    ax, (long long)extent, (long long)kl_sat_neg(a),
                    (long long)kl_sat_neg(b));
            return kl_call_end(&c, NULL);
        }
        n = kl_n_slice_axis(n, ax, cut, left, 1);
        lo[ax] = KL_MAX(a, 0);
        hi[ax] = KL_MAX(b, 0);
    }
    return kl_call_end(&c, kl_n_pad(n, fill, lo, hi, NULL));
}

/* ---- triangles ---- */

/* Where column - row <= diagonal (lower) or >= it. */
static kl_tensor *triangle(const char *at, kl_tensor *t, int64_t diagonal, bool lower)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    if (n && n->rank < 2) {
        kl_fail(KL_ERR_SHAPE, "%s: input tensor must have at least 2 dimensions",
                lower ? "tril" : "triu");
        n = NULL;
    }
    if (!n)
        return kl_call_end(&c, NULL);
    const int64_t *shape = kl_lazy_shape(n) + n->rank - 2;
    kl_lazy *d = kl_n_bin(KL_OP_sub, kl_n_iota(KL_I64, 2, shape, 1),
                          kl_n_iota(KL_I64, 2, shape, 0));
    kl_lazy *k = kl_n_const_int(KL_I64, diagonal);
    kl_lazy *keep = lower ? kl_n_bin(KL_OP_le, d, k) : kl_n_bin(KL_OP_le, k, d);
    return kl_call_end(&c, kl_n_where(keep, n, kl_n_const((kl_dtype)n->dtype, 0)));
}

kl_tensor *kl_tril_at(const char *at, kl_tensor *t, int64_t d)
{
    return triangle(at, t, d, true);
}
kl_tensor *kl_triu_at(const char *at, kl_tensor *t, int64_t d)
{
    return triangle(at, t, d, false);
}
