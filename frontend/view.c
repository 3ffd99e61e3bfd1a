/* view.c: functions that give views: the same storage through another affine map. Each
 * works out the map (offset, extents, strides in elements) and, beside it, the movement
 * node that reads the same elements from the value at hand, so that reading a fresh view
 * costs no `strided`.
 *
 *   x: f32[4,4] strides (4,1)      kl_select(x, 1, 2):  offset 2, f32[4] strides (4)
 *                                  node: reshape(slice x) */
#include "front.h"

#include <limits.h>

typedef struct map {
    int64_t offset;
    int rank;
    int64_t shape[2 * KL_MAX_RANK], stride[2 * KL_MAX_RANK];
} map;

static map map_of(kl_tensor *t)
{
    map m = {.offset = t->offset, .rank = t->rank};
    memcpy(m.shape, kl_t_shape(t), t->rank * sizeof *m.shape);
    memcpy(m.stride, kl_t_stride(t), t->rank * sizeof *m.stride);
    return m;
}

static kl_tensor *finish(kl_call *c, kl_tensor *t, const map *m, kl_lazy *n)
{
    if (!n)
        return kl_call_view(c, NULL);
    return kl_call_view(c, kl_tensor_view(t, m->offset, m->rank, m->shape, m->stride, n));
}

static void insert_axis(map *m, int at, int64_t extent, int64_t stride)
{
    memmove(m->shape + at + 1, m->shape + at, (size_t)(m->rank - at) * sizeof *m->shape);
    memmove(m->stride + at + 1, m->stride + at,
            (size_t)(m->rank - at) * sizeof *m->stride);
    m->shape[at] = extent;
    m->stride[at] = stride;
    m->rank++;
}

static void remove_axis(map *m, int at)
{
    m->rank--;
    memmove(m->shape + at, m->shape + at + 1, (size_t)(m->rank - at) * sizeof *m->shape);
    memmove(m->stride + at, m->stride + at + 1,
            (size_t)(m->rank - at) * sizeof *m->stride);
}

static kl_lazy *shaped(kl_lazy *n, const map *m)
{
    return kl_n_reshape(n, m->rank, m->shape);
}

/* ---- reshape ---- */

/* Fill in -1; the elements must be as many. */
static kl_status resolve(kl_ints *s, int64_t numel)
{
    char text[200];
    int64_t n = 1, hole = -1;
    kl_ints given = *s;
    if (s->n > KL_INTS_MAX)
        return kl_fail(KL_ERR_SHAPE, "more than %d dimensions", KL_INTS_MAX);
    for (int i = 0; i < s->n; i++) {
        if (s->v[i] == -1 && hole >= 0)
            return kl_fail(KL_ERR_SHAPE, "only one dimension can be inferred");
        if (s->v[i] < -1)
            return kl_fail(KL_ERR_SHAPE, "invalid shape dimension %lld",
                           (long long)s->v[i]);
        if (s->v[i] == -1)
            hole = i;
        else if (kl_mul_overflow(n, s->v[i], &n))
            n = -1;
        if (n < 0)
            break;
    }
    if (hole >= 0 && n == 0 && numel == 0)
        return kl_fail(KL_ERR_SHAPE,
                       "cannot reshape tensor of 0 elements into shape %s because the "
                       "unspecified dimension size -1 can be any value and is ambiguous",
                       kl_ints_text(given, text, sizeof text));
    if (hole >= 0 && n > 0 && numel % n == 0)
        s->v[hole] = numel / n;
    else if (n != numel || hole >= 0)
        return kl_fail(KL_ERR_SHAPE, "shape '%s' is invalid for input of size %lld",
                       kl_ints_text(given, text, sizeof text), (long long)numel);
    return KL_OK;
}

/* Strides for the new shape over the same memory; false where none exist. Walks runs of
 * axes that lie behind one another, innermost first. */
static bool restride(const map *old, map *new)
{
    int64_t base, have = 1, want = 1;
    int d = new->rank - 1;
    if (old->rank == 0 || kl_count(old->rank, old->shape) == 0) {
        int64_t n = 1;
        for (int i = new->rank; i-- > 0; n *= KL_MAX(new->shape[i], 1))
            new->stride[i] = n;
        return true;
    }
    base = old->stride[old->rank - 1];
    for (int i = old->rank; i-- > 0;) {
        have *= old->shape[i];
        if (i > 0 && (old->shape[i - 1] == 1 || old->stride[i - 1] == have * base))
            continue;
        for (; d >= 0 && (want < have || new->shape[d] == 1); d--) {
            new->stride[d] = want *base;
            want *= new->shape[d];
        }
        if (want != have)
            return false;
        if (i > 0)
            base = old->stride[i - 1];
        have = want = 1;
    }
    return d == -1;
}

static kl_tensor *reshape(kl_call *c, kl_tensor *t, kl_ints shape, bool copy)
{
    kl_lazy *n = kl_arg_tensor(t);
    if (!n || resolve(&shape, kl_lazy_numel(n)))
        return kl_call_view(c, NULL);
    map old = map_of(t), m = {.offset = t->offset, .rank = shape.n};
    memcpy(m.shape, shape.v, (size_t)shape.n * sizeof *m.shape);
    n = shaped(n, &m);
    if (restride(&old, &m))
        return finish(c, t, &m, n);
    if (copy)
        return kl_call_end(c, n);
    kl_fail(
        KL_ERR_SHAPE,
        "view size is not compatible with input tensor's size and stride (at least one "
        "dimension spans across two contiguous subspaces). Use .reshape(...) instead.");
    return kl_call_view(c, NULL);
}

kl_tensor *kl_view_at(const char *at, kl_tensor *t, kl_ints shape)
{
    kl_call c = kl_call_begin(at);
    return reshape(&c, t, shape, false);
}

kl_tensor *kl_reshape_at(const char *at, kl_tensor *t, kl_ints shape)
{
    kl_call c = kl_call_begin(at);
    return reshape(&c, t, shape, true);
}

kl_tensor *kl_flatten_at(const char *at, kl_tensor *t, int first, int last)
{
    kl_call c = kl_call_begin(at);
    kl_ints s = {0};
    int a, b;
    if (!kl_arg_tensor(t) || kl_dim_wrap(first, t->rank, &a) ||
        kl_dim_wrap(last, t->rank, &b))
        return kl_call_view(&c, NULL);
    if (a > b) {
        kl_fail(KL_ERR_ARG,
                "flatten() has invalid args: start_dim cannot come after end_dim");
        return kl_call_view(&c, NULL);
    }
    int64_t n = 1;
    for (int i = a; i <= b && i < t->rank; i++)
        n *= kl_t_shape(t)[i];
    for (int i = 0; i < a; i++)
        s.v[s.n++] = kl_t_shape(t)[i];
    s.v[s.n++] = n;
    for (int i = b + 1; i < t->rank; i++)
        s.v[s.n++] = kl_t_shape(t)[i];
    return reshape(&c, t, s, true);
}

/* ---- order ---- */

static kl_tensor *permute(kl_call *c, kl_tensor *t, const int *perm)
{
    map old = map_of(t), m = old;
    for (int i = 0; i < m.rank; i++) {
        m.shape[i] = old.shape[perm[i]];
        m.stride[i] = old.stride[perm[i]];
    }
    return finish(c, t, &m, kl_n_permute(kl_tensor_read(t), perm));
}

kl_tensor *kl_permute_at(const char *at, kl_tensor *t, kl_ints dims)
{
    kl_call c = kl_call_begin(at);
    int perm[KL_MAX_RANK];
    uint64_t seen = 0;
    if (!kl_arg_tensor(t))
        return kl_call_view(&c, NULL);
    if (dims.n != t->rank) {
        kl_fail(
            KL_ERR_SHAPE,
            "permute(): number of dimensions in the tensor input does not match the "
            "length "
            "of the desired ordering of dimensions i.e. input.dim() = %d is not equal to "
            "len(dims) = %d",
            t->rank, dims.n);
        return kl_call_view(&c, NULL);
    }
    for (int i = 0; i < dims.n; i++) {
        if (kl_dim_wrap(dims.v[i], t->rank, &perm[i]))
            return kl_call_view(&c, NULL);
        if (seen >> perm[i] & 1) {
            kl_fail(KL_ERR_ARG, "permute(): duplicate dims are not allowed.");
            return kl_call_view(&c, NULL);
        }
        seen |= UINT64_C(1) << perm[i];
    }
    return permute(&c, t, perm);
}

kl_tensor *kl_transpose_at(const char *at, kl_tensor *t, int i, int j)
{
    kl_call c = kl_call_begin(at);
    int perm[KL_MAX_RANK], a, b;
    if (!kl_arg_tensor(t) || kl_dim_wrap(i, t->rank, &a) || kl_dim_wrap(j, t->rank, &b))
        return kl_call_view(&c, NULL);
    for (int k = 0; k < t->rank; k++)
        perm[k] = k == a ? b : k == b ? a : k;
    return permute(&c, t, perm);
}

kl_tensor *kl_t_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    int perm[KL_MAX_RANK];
    if (!kl_arg_tensor(t))
        return kl_call_view(&c, NULL);
    for (int k = 0; k < t->rank; k++)
        perm[k] = t->rank - 1 - k;
    return permute(&c, t, perm);
}

kl_tensor *kl_movedim_at(const char *at, kl_tensor *t, int from, int to)
{
    kl_call c = kl_call_begin(at);
    int perm[KL_MAX_RANK], a, b, k = 0;
    if (!kl_arg_tensor(t) || kl_dim_wrap(from, t->rank, &a) ||
        kl_dim_wrap(to, t->rank, &b))
        return kl_call_view(&c, NULL);
    for (int i = 0; i < t->rank; i++) {
        if (k == a)
            k++;
        perm[i] = i == b ? a : k++;
    }
    return permute(&c, t, perm);
}

/* ---- parts ---- */

/* Python's: negative bounds from the end, then clamped; the number of elements. */
static int64_t clip(int64_t n, int64_t *start, int64_t stop, int64_t step)
{
    int64_t low = step > 0 ? 0 : -1, high = step > 0 ? n : n - 1;
    int64_t a = *start < 0 && *start != -KL_END ? *start + n : *start;
    int64_t b = stop < 0 && stop != -KL_END ? stop + n : stop;
    a = KL_MIN(KL_MAX(a, low), high);
    b = KL_MIN(KL_MAX(b, low), high);
    *start = a;
    if (step > 0)
        return b > a ? (b - a - 1) / step + 1 : 0;
    return a > b ? (a - b - 1) / kl_sat_neg(step) + 1 : 0;
}

static kl_tensor *slice(kl_call *c, kl_tensor *t, kl_lazy *n, int axis, int64_t start,
                        int64_t count, int64_t step)
{
    map m = map_of(t);
    m.offset += count ? start * m.stride[axis] : 0;
    m.shape[axis] = count;
    m.stride[axis] = kl_sat_mul(m.stride[axis], step);
    if (step > 0)
        return finish(c, t, &m, kl_n_slice_axis(n, axis, start, count, step));
    int64_t first = count ? start + (count - 1) * step : 0;
    n = kl_n_slice_axis(n, axis, first, count, kl_sat_neg(step));
    return finish(c, t, &m, kl_n_flip(n, UINT64_C(1) << axis));
}

kl_tensor *kl_slice_at(const char *at, kl_tensor *t, int dim, int64_t start, int64_t stop,
                       int64_t step)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    if (!n || kl_dim_wrap(dim, t->rank, &axis))
        return kl_call_view(&c, NULL);
    if (step == 0 || t->rank == 0) {
        kl_fail(KL_ERR_ARG, step == 0 ? "slice step cannot be zero"
                                      : "slice() cannot be applied to a 0-dim tensor.");
        return kl_call_view(&c, NULL);
    }
    int64_t count = clip(kl_t_shape(t)[axis], &start, stop, step);
    return slice(&c, t, n, axis, start, count, step);
}

kl_tensor *kl_narrow_at(const char *at, kl_tensor *t, int dim, int64_t start,
                        int64_t length)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    if (!n || kl_dim_wrap(dim, t->rank, &axis))
        return kl_call_view(&c, NULL);
    int64_t extent = t->rank ? kl_t_shape(t)[axis] : 0;
    if (start < 0)
        start += extent;
    if (t->rank == 0 || length < 0 || start < 0 || start > extent - length) {
        kl_fail(KL_ERR_SHAPE,
                "start (%lld) + length (%lld) exceeds dimension size (%lld).",
                (long long)start, (long long)length, (long long)extent);
        return kl_call_view(&c, NULL);
    }
    return slice(&c, t, n, axis, start, length, 1);
}

kl_tensor *kl_select_at(const char *at, kl_tensor *t, int dim, int64_t index)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    if (n && t->rank == 0) {
        kl_fail(KL_ERR_INDEX, "select() cannot be applied to a 0-dim tensor.");
        n = NULL;
    }
    if (!n || kl_dim_wrap(dim, t->rank, &axis))
        return kl_call_view(&c, NULL);
    map m = map_of(t);
    int64_t i = index < 0 ? index + m.shape[axis] : index;
    if (i < 0 || i >= m.shape[axis]) {
        kl_fail(KL_ERR_INDEX,
                "index %lld is out of bounds for dimension %d with size %lld",
                (long long)index, axis, (long long)m.shape[axis]);
        return kl_call_view(&c, NULL);
    }
    m.offset += i * m.stride[axis];
    n = kl_n_slice_axis(n, axis, i, 1, 1);
    remove_axis(&m, axis);
    return finish(&c, t, &m, shaped(n, &m));
}

kl_tensor *kl_diagonal_at(const char *at, kl_tensor *t, int64_t offset, int dim1,
                          int dim2)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int a, b;
    if (!n || kl_dim_wrap(dim1, t->rank, &a) || kl_dim_wrap(dim2, t->rank, &b))
        return kl_call_view(&c, NULL);
    if (a == b) {
        kl_fail(KL_ERR_ARG, "diagonal dimensions cannot be identical %d, %d", dim1, dim2);
        return kl_call_view(&c, NULL);
    }
    map m = map_of(t), s = {0};
    int64_t na = m.shape[a] + KL_MIN(offset, 0), nb = m.shape[b] - KL_MAX(offset, 0),
            dense = 1;
    int64_t count = KL_MAX(KL_MIN(na, nb), 0), stride = m.stride[a] + m.stride[b],
            dst[KL_MAX_RANK];
    for (int i = m.rank; i-- > 0; dense *= KL_MAX(m.shape[i], 1))
        dst[i] = dense;
    if (count)
        m.offset += offset < 0 ? -offset * m.stride[a] : offset * m.stride[b];
    s.offset = count == 0 ? 0 : offset < 0 ? -offset * dst[a] : offset * dst[b];
    for (int i = 0; i < m.rank; i++)
        s.stride[i] = dst[i];
    remove_axis(&m, KL_MAX(a, b));
    remove_axis(&m, KL_MIN(a, b));
    s.rank = t->rank;
    remove_axis(&s, KL_MAX(a, b));
    remove_axis(&s, KL_MIN(a, b));
    insert_axis(&s, s.rank, count, dst[a] + dst[b]);
    insert_axis(&m, m.rank, count, stride);
    return finish(&c, t, &m, kl_n_strided(n, s.offset, m.rank, m.shape, s.stride));
}

kl_tensor *kl_unfold_at(const char *at, kl_tensor *t, int dim, int64_t size, int64_t step)
{
    if (t && t->rank == 0 && (size == 0 || size == 1) && step > 0) { /* of a number */
        kl_call c = kl_compose(at);
        kl_tensor *one = kl_unsqueeze_at(at, t, 0);
        return kl_composed(&c, __func__,
                           one ? kl_narrow_at(at, one, dim, 0, size) : NULL);
    }
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    if (!n || kl_dim_wrap(dim, t->rank, &axis))
        return kl_call_view(&c, NULL);
    int64_t extent = t->rank ? kl_t_shape(t)[axis] : 1;
    if (t->rank == 0 || t->rank == KL_MAX_RANK || size < 1 || size > extent || step < 1) {
        kl_fail(KL_ERR_ARG,
                "unfold: size %lld and step %lld do not fit dimension %d of size %lld",
                (long long)size, (long long)step, axis, (long long)extent);
        return kl_call_view(&c, NULL);
    }
    map m = map_of(t);
    int64_t stride = m.stride[axis];
    m.shape[axis] = (extent - size) / step + 1;
    m.stride[axis] = kl_sat_mul(m.stride[axis], step);
    insert_axis(&m, m.rank, size, stride);
    return finish(&c, t, &m, kl_n_window(n, 1, &(kl_window_axis){axis, size, step, 1}));
}

/* ---- extents of 1 ---- */

kl_tensor *kl_expand_at(const char *at, kl_tensor *t, kl_ints shape)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    if (!n)
        return kl_call_view(&c, NULL);
    map old = map_of(t), m = {.offset = t->offset, .rank = shape.n};
    int lead = shape.n - old.rank;
    char a[200], b[200];
    bool ok = lead >= 0 && shape.n <= KL_INTS_MAX;
    int i = shape.n;
    while (ok && i-- > 0) {
        int64_t from = i < lead ? 1 : old.shape[i - lead];
        int64_t to = shape.v[i] == -1 && i >= lead ? from : shape.v[i];
        ok = to >= 0 && (from == to || from == 1);
        int64_t outer = i + 1 < shape.n ? m.shape[i + 1] * m.stride[i + 1] : 1;
        m.shape[i] = to;
        m.stride[i] = from == 1 && to != 1 ? 0 : i < lead ? outer : old.stride[i - lead];
    }
    if (!ok) {
        kl_ints_text(kl_shape_of(t), a, sizeof a);
        kl_ints_text(shape, b, sizeof b);
        if (lead < 0 || shape.n > KL_INTS_MAX)
            kl_fail(KL_ERR_SHAPE,
                    "expand(%s, size=%s): the number of sizes provided (%d) must be "
                    "greater or "
                    "equal to the number of dimensions in the tensor (%d)",
                    a, b, shape.n, old.rank);
        else if (i < lead)
            kl_fail(KL_ERR_SHAPE,
                    "The expanded size of the tensor (%lld) isn't allowed in a leading, "
                    "non-existing dimension %d",
                    (long long)shape.v[i], i);
        else
            kl_fail(KL_ERR_SHAPE,
                    "The expanded size of the tensor (%lld) must match the existing size "
                    "(%lld) at non-singleton dimension %d.  Target sizes: %s.  Tensor "
                    "sizes: %s",
                    (long long)shape.v[i], (long long)old.shape[i - lead], i, b, a);
        return kl_call_view(&c, NULL);
    }
    int64_t count;
    if (kl_shape_count(m.rank, m.shape, (kl_dtype)n->dtype, &count) != KL_OK)
        return kl_call_view(&c, NULL);
    return finish(&c, t, &m, kl_n_expand(n, m.rank, m.shape));
}

kl_tensor *kl_unsqueeze_at(const char *at, kl_tensor *t, int dim)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int axis;
    if (!n || kl_dim_wrap(dim, t->rank + 1, &axis))
        return kl_call_view(&c, NULL);
    if (t->rank == KL_MAX_RANK) {
        kl_fail(KL_ERR_SHAPE, "more than %d dimensions", KL_MAX_RANK);
        return kl_call_view(&c, NULL);
    }
    map m = map_of(t);
    insert_axis(&m, axis, 1, axis < m.rank ? m.shape[axis] * m.stride[axis] : 1);
    return finish(&c, t, &m, shaped(n, &m));
}

kl_tensor *kl_squeeze_at(const char *at, kl_tensor *t, kl_ints dims)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    uint64_t mask;
    if (!n || kl_axes_mask(dims, t->rank, &mask))
        return kl_call_view(&c, NULL);
    map m = map_of(t);
    for (int i = t->rank; i-- > 0;)
        if (mask >> i & 1 && m.shape[i] == 1)
            remove_axis(&m, i);
    return finish(&c, t, &m, shaped(n, &m));
}

/* ---- any map ---- */

kl_tensor *kl_as_strided_at(const char *at, kl_tensor *t, kl_ints shape, kl_ints strides,
                            int64_t offset)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    int64_t low = offset, high = offset, part;
    bool ok = shape.n == strides.n && shape.n <= KL_INTS_MAX;
    bool none = false;
    for (int i = 0; ok && i < shape.n; i++) {
        ok = shape.v[i] >= 0 && !kl_mul_overflow(shape.v[i] - 1, strides.v[i], &part) &&
             !kl_add_overflow(part > 0 ? high : low, part, part > 0 ? &high : &low);
        none |= shape.v[i] == 0;
    }
    if (!n)
        return kl_call_view(&c, NULL);
    if (shape.n != strides.n) {
        kl_fail(KL_ERR_SHAPE, "mismatch in length of strides and shape");
        return kl_call_view(&c, NULL);
    }
    if (!ok || (!none && (low < 0 || high >= t->storage->numel))) {
        char a[200], b[200];
        kl_fail(KL_ERR_SHAPE,
                "as_strided: size %s, stride %s and offset %lld leave the storage of "
                "%lld elements",
                kl_ints_text(shape, a, sizeof a), kl_ints_text(strides, b, sizeof b),
                (long long)offset, (long long)t->storage->numel);
        return kl_call_view(&c, NULL);
    }
    return kl_call_view(&c, kl_tensor_view(t, offset, shape.n, shape.v, strides.v, NULL));
}

/* ---- several ---- */

int kl_split_at(const char *at, kl_tensor *t, int64_t size, int dim, kl_tensor **out,
                int cap)
{
    int axis, n = 0;
    kl_call c = kl_call_begin(at);
    bool ok = kl_arg_tensor(t) && kl_dim_wrap(dim, t->rank, &axis) == KL_OK;
    if (ok && (size <= 0 || t->rank == 0)) {
        kl_fail(KL_ERR_ARG,
                "split expects split_size be positive, but got split_size=%lld",
                (long long)size);
        ok = false;
    }
    ok = ok && kl_arg_given(out, cap, "the place for the results");
    kl_call_done(&c, KL_OK);
    int64_t extent = ok ? kl_t_shape(t)[axis] : 0;
    int64_t all = ok ? KL_MAX(extent / size + (extent % size != 0), 1) : 0;
    for (; n < cap && n < all; n++)
        out[n] = kl_slice_at(at, t, axis, n * size, kl_sat_add(n * size, size), 1);
    return (int)KL_MIN(all, INT_MAX);
}

int kl_chunk_at(const char *at, kl_tensor *t, int n, int dim, kl_tensor **out)
{
    int axis;
    if (!t || n <= 0 || t->rank == 0 || kl_dim_wrap(dim, t->rank, &axis)) {
        kl_call c = kl_call_begin(at);
        if (t && t->rank)
            kl_fail(KL_ERR_ARG, "chunk expects `chunks` to be greater than 0, got: %d",
                    n);
        else
            kl_fail(KL_ERR_ARG, "chunk expects at least a 1-dimensional tensor");
        kl_call_end(&c, NULL);
        return 0;
    }
    int64_t size = kl_t_shape(t)[axis] / n + (kl_t_shape(t)[axis] % n != 0);
    for (int i = 0; i < n && size == 0; i++)
        out[i] = kl_slice_at(at, t, axis, 0, 0, 1);
    if (size == 0)
        return n;
    return kl_split_at(at, t, size, dim, out, n);
}
