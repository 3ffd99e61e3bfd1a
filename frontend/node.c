/* node.c: one function a primitive: it works out the result's shape and makes the node.
 * NULL in, NULL out. Callers have checked what a user can get wrong; what stays is true
 * by construction, and compared with kl_infer under KILN_VERIFY.
 *
 *   kl_n_bin(KL_OP_add, f32[2,3], f32[])  ->  add(f32[2,3], expand f32[2,3])
 *
 * A function that has nothing to do (a cast to the same dtype) gives its operand. */
#include "front.h"

static kl_lazy *make(kl_op op, kl_dtype dt, int rank, const int64_t *shape, int nsrc,
                     kl_lazy *const *src, int nattr, const int64_t *attr)
{
    return kl_lazy_make(&(kl_make){op, dt, rank, shape, src, nsrc, attr, nattr});
}

/* One source, another shape. */
static kl_lazy *move(kl_op op, kl_lazy *a, int rank, const int64_t *shape, int nattr,
                     const int64_t *attr)
{
    return make(op, (kl_dtype)a->dtype, rank, shape, 1, &a, nattr, attr);
}

static bool same_shape(kl_lazy *a, int rank, const int64_t *shape)
{
    return a->rank == rank &&
           memcmp(kl_lazy_shape(a), shape, (size_t)rank * sizeof *shape) == 0;
}

/* ---- leaves ---- */

static kl_lazy *constant(kl_dtype dt, kl_scalar v)
{
    int64_t word[2] = {(int64_t)v.bits, 0};
    int n = 1;
    if (kl_is_complex(dt)) { /* v is the real part */
        n = dt == KL_C128 ? 2 : 1;
    }
    return make(KL_OP_const, dt, 0, NULL, 0, NULL, n, word);
}

/* Only the dtype's own bytes count. */
static kl_scalar masked(kl_dtype dt, kl_scalar v)
{
    int size = kl_dtypes[dt].size;
    if (size < 8)
        v.bits &= (UINT64_C(1) << 8 * size) - 1;
    return v;
}

kl_lazy *kl_n_const(kl_dtype dt, double v)
{
    kl_dtype real = kl_dtypes[dt].real;
    return constant(dt, masked(real, kl_scalar_from(real, v)));
}

kl_lazy *kl_n_const_int(kl_dtype dt, int64_t v)
{
    kl_dtype real = kl_dtypes[dt].real;
    return constant(dt, masked(real, kl_scalar_from_int(real, v)));
}

kl_lazy *kl_n_fill(kl_lazy *v, int rank, const int64_t *shape)
{
    return kl_n_expand(v, rank, shape);
}

kl_lazy *kl_n_full(kl_dtype dt, int rank, const int64_t *shape, double v)
{
    return kl_n_fill(kl_n_const(dt, v), rank, shape);
}

kl_lazy *kl_n_iota(kl_dtype dt, int rank, const int64_t *shape, int axis)
{
    int64_t attr = axis;
    return make(KL_OP_iota, dt, rank, shape, 0, NULL, 1, &attr);
}

/* ---- casts ---- */

static kl_lazy *same_as(kl_op op, kl_lazy *a, kl_dtype dt, int nattr, const int64_t *attr)
{
    return a ? make(op, dt, a->rank, kl_lazy_shape(a), 1, &a, nattr, attr) : NULL;
}

kl_lazy *kl_n_cast(kl_lazy *a, kl_dtype dt)
{
    return a && a->dtype == dt ? a : same_as(KL_OP_cast, a, dt, 0, NULL);
}

kl_lazy *kl_n_copy(kl_lazy *a)
{
    return a ? same_as(KL_OP_cast, a, (kl_dtype)a->dtype, 0, NULL) : NULL;
}

kl_lazy *kl_n_bitcast(kl_lazy *a, kl_dtype dt)
{
    return a && a->dtype == dt ? a : same_as(KL_OP_bitcast, a, dt, 0, NULL);
}

kl_lazy *kl_n_detach(kl_lazy *a)
{
    int64_t number = 0; /* given by the key, which tells two of them apart */
    return a ? same_as(KL_OP_detach, a, (kl_dtype)a->dtype, 1, &number) : NULL;
}

/* ---- elementwise ---- */

kl_lazy *kl_n_un(kl_op op, kl_lazy *a)
{
    if (!a)
        return NULL;
    kl_dtype dt = (kl_dtype)a->dtype;
    if (op == KL_OP_real || op == KL_OP_imag)
        dt = kl_dtypes[dt].real;
    return same_as(op, a, dt, 0, NULL);
}

/* Missing axes and extents of 1 are repeated to the other's; ours, so it fits. */
static bool fit(kl_lazy **a, int n)
{
    return kl_broadcast(kl_ops[KL_OP_expand].name, n, a) == KL_OK;
}

kl_lazy *kl_n_bin(kl_op op, kl_lazy *a, kl_lazy *b)
{
    kl_lazy *s[2] = {a, b};
    if (!a || !b || !fit(s, 2) || !s[0])
        return NULL;
    kl_dtype dt = kl_ops[op].rule == KL_RULE_BOOL ? KL_BOOL : (kl_dtype)a->dtype;
    if (op == KL_OP_complex)
        dt = dt == KL_F32 ? KL_C64 : KL_C128;
    return make(op, dt, s[0]->rank, kl_lazy_shape(s[0]), 2, s, 0, NULL);
}

kl_lazy *kl_n_binc(kl_op op, kl_lazy *a, double v)
{
    return a ? kl_n_bin(op, a, kl_n_const((kl_dtype)a->dtype, v)) : NULL;
}

kl_lazy *kl_n_cbin(kl_op op, double v, kl_lazy *a)
{
    return a ? kl_n_bin(op, kl_n_const((kl_dtype)a->dtype, v), a) : NULL;
}

static kl_lazy *ternary(kl_op op, kl_lazy *a, kl_lazy *b, kl_lazy *c)
{
    kl_lazy *s[3] = {a, b, c};
    if (!a || !b || !c || !fit(s, 3) || !s[0])
        return NULL;
    return make(op, (kl_dtype)b->dtype, s[0]->rank, kl_lazy_shape(s[0]), 3, s, 0, NULL);
}

kl_lazy *kl_n_where(kl_lazy *c, kl_lazy *a, kl_lazy *b)
{
    return ternary(KL_OP_where, c, a, b);
}
kl_lazy *kl_n_fma(kl_lazy *a, kl_lazy *b, kl_lazy *c)
{
    return ternary(KL_OP_fma, a, b, c);
}
kl_lazy *kl_n_philox(kl_lazy *counter, kl_lazy *call, kl_lazy *key)
{
    return ternary(KL_OP_philox, counter, call, key);
}

/* ---- movement ---- */

kl_lazy *kl_n_reshape(kl_lazy *a, int rank, const int64_t *shape)
{
    if (!a || same_shape(a, rank, shape))
        return a;
    return move(KL_OP_reshape, a, rank, shape, 0, NULL);
}

kl_lazy *kl_n_permute(kl_lazy *a, const int *perm)
{
    int64_t attr[KL_MAX_RANK], shape[KL_MAX_RANK];
    bool moves = false;
    for (int i = 0; a && i < a->rank; i++) {
        attr[i] = perm[i];
        shape[i] = kl_lazy_shape(a)[perm[i]];
        moves |= perm[i] != i;
    }
    return moves ? move(KL_OP_permute, a, a->rank, shape, a->rank, attr) : a;
}

kl_lazy *kl_n_swap(kl_lazy *a, int i, int j)
{
    int perm[KL_MAX_RANK];
    for (int k = 0; a && k < a->rank; k++)
        perm[k] = k == i ? j : k == j ? i : k;
    return kl_n_permute(a, perm);
}

kl_lazy *kl_n_expand(kl_lazy *a, int rank, const int64_t *shape)
{
    if (!a || same_shape(a, rank, shape))
        return a;
    return move(KL_OP_expand, a, rank, shape, 0, NULL);
}

kl_lazy *kl_n_expand_like(kl_lazy *a, kl_lazy *like)
{
    return a && like ? kl_n_expand(a, like->rank, kl_lazy_shape(like)) : NULL;
}

kl_lazy *kl_n_unsqueeze(kl_lazy *a, int axis)
{
    int64_t shape[KL_MAX_RANK];
    if (!a)
        return NULL;
    if (a->rank == KL_MAX_RANK) {
        kl_fail(KL_ERR_SHAPE, "more than %d dimensions", KL_MAX_RANK);
        return NULL;
    }
    for (int i = 0; i <= a->rank; i++)
        shape[i] = i == axis ? 1 : kl_lazy_shape(a)[i - (i > axis)];
    return kl_n_reshape(a, a->rank + 1, shape);
}

kl_lazy *kl_n_pad(kl_lazy *a, kl_lazy *fill, const int64_t *lo, const int64_t *hi,
                  const int64_t *interior)
{
    int64_t attr[3 * KL_MAX_RANK], shape[KL_MAX_RANK], any = 0;
    if (!a || !fill)
        return NULL;
    int r = a->rank;
    for (int i = 0; i < r; i++) {
        int64_t n = kl_lazy_shape(a)[i], in = interior ? interior[i] : 0;
        attr[i] = lo[i];
        attr[r + i] = hi[i];
        attr[2 * r + i] = in;
        shape[i] = kl_sat_add(n, kl_sat_mul(KL_MAX(n - 1, 0), in));
        shape[i] = kl_sat_add(kl_sat_add(shape[i], lo[i]), hi[i]);
        any |= lo[i] | hi[i] | in;
    }
    kl_lazy *s[2] = {a, fill};
    return any || kl_thread()->open
               ? make(KL_OP_pad, (kl_dtype)a->dtype, r, shape, 2, s, 3 * r, attr)
               : a;
}

kl_lazy *kl_n_slice(kl_lazy *a, const int64_t *start, const int64_t *extent,
                    const int64_t *step)
{
    int64_t attr[2 * KL_MAX_RANK];
    if (!a)
        return NULL;
    for (int i = 0; i < a->rank; i++) {
        attr[i] = extent[i] ? start[i] : 0;
        attr[a->rank + i] = step ? step[i] : 1;
        if (extent[i] < 2 && attr[a->rank + i] > INT32_MAX) /* beyond the only element */
            attr[a->rank + i] = 1;
    }
    if (same_shape(a, a->rank, extent))
        return a;
    return move(KL_OP_slice, a, a->rank, extent, 2 * a->rank, attr);
}

kl_lazy *kl_n_slice_axis(kl_lazy *a, int axis, int64_t start, int64_t extent,
                         int64_t step)
{
    int64_t starts[KL_MAX_RANK], extents[KL_MAX_RANK], steps[KL_MAX_RANK];
    for (int i = 0; a && i < a->rank; i++) {
        starts[i] = i == axis ? start : 0;
        extents[i] = i == axis ? extent : kl_lazy_shape(a)[i];
        steps[i] = i == axis ? step : 1;
    }
    return kl_n_slice(a, starts, extents, steps);
}

kl_lazy *kl_n_flip(kl_lazy *a, uint64_t axes)
{
    int64_t attr = (int64_t)axes;
    return a && axes ? move(KL_OP_flip, a, a->rank, kl_lazy_shape(a), 1, &attr) : a;
}

enum { PIECE = 64 };

/* Of more operands than one kernel should have: pieces first. */
static kl_lazy *concat_many(kl_lazy *const *a, int n, int axis)
{
    int m = (n + PIECE - 1) / PIECE;
    kl_lazy **part = kl_alloc((size_t)m * sizeof *part);
    if (!part) {
        kl_fail(KL_ERR_OOM, "out of memory to join %d tensors", n);
        return NULL;
    }
    for (int i = 0; i < m; i++)
        part[i] = kl_n_concat(a + i * PIECE, KL_MIN(PIECE, n - i * PIECE), axis);
    kl_lazy *r = kl_n_concat(part, m, axis);
    kl_free(part, (size_t)m * sizeof *part);
    return r;
}

kl_lazy *kl_n_concat(kl_lazy *const *a, int n, int axis)
{
    if (n > PIECE)
        return concat_many(a, n, axis);
    int64_t attr = axis, shape[KL_MAX_RANK];
    for (int i = 0; i < n; i++)
        if (!a[i])
            return NULL;
    memcpy(shape, kl_lazy_shape(a[0]), a[0]->rank * sizeof *shape);
    for (int i = 1; i < n; i++)
        shape[axis] = kl_sat_add(shape[axis], kl_lazy_shape(a[i])[axis]);
    return n == 1 ? a[0]
                  : make(KL_OP_concat, (kl_dtype)a[0]->dtype, a[0]->rank, shape, n, a, 1,
                         &attr);
}

kl_lazy *kl_n_window(kl_lazy *a, int m, const kl_window_axis *w)
{
    int64_t attr[1 + 4 * KL_MAX_RANK] = {m}, shape[2 * KL_MAX_RANK];
    if (!a)
        return NULL;
    if (a->rank + m > KL_MAX_RANK) {
        kl_fail(KL_ERR_SHAPE, "more than %d dimensions", KL_MAX_RANK);
        return NULL;
    }
    memcpy(shape, kl_lazy_shape(a), a->rank * sizeof *shape);
    for (int i = 0; i < m; i++) {
        int64_t *x = attr + 1 + 4 * i;
        int64_t reach = kl_sat_add(kl_sat_mul(w[i].size - 1, w[i].dilation), 1);
        x[0] = w[i].axis;
        x[1] = w[i].size;
        x[2] = w[i].stride;
        x[3] = w[i].dilation;
        shape[w[i].axis] = (shape[w[i].axis] - reach) / w[i].stride + 1;
        shape[a->rank + i] = w[i].size;
    }
    return move(KL_OP_window, a, a->rank + m, shape, 1 + 4 * m, attr);
}

/* The windows summed back into a tensor of that shape: window's adjoint. */
kl_lazy *kl_n_fold(kl_lazy *a, int rank, const int64_t *shape, int m,
                   const kl_window_axis *w)
{
    int64_t attr[1 + 4 * KL_MAX_RANK] = {m};
    for (int i = 0; i < m; i++) {
        int64_t *x = attr + 1 + 4 * i;
        x[0] = w[i].axis, x[1] = w[i].size, x[2] = w[i].stride, x[3] = w[i].dilation;
    }
    return a ? move(KL_OP_fold, a, rank, shape, 1 + 4 * m, attr) : NULL;
}

kl_lazy *kl_n_strided(kl_lazy *a, int64_t offset, int rank, const int64_t *shape,
                      const int64_t *stride)
{
    int64_t attr[1 + KL_MAX_RANK] = {offset};
    if (!a)
        return NULL;
    memcpy(attr + 1, stride, (size_t)rank * sizeof *stride);
    return move(KL_OP_strided, a, rank, shape, 1 + rank, attr);
}

kl_lazy *kl_n_update(kl_lazy *a, kl_lazy *b, int64_t offset, const int64_t *stride)
{
    int64_t attr[1 + KL_MAX_RANK] = {offset};
    kl_lazy *s[2] = {a, b};
    if (!a || !b)
        return NULL;
    memcpy(attr + 1, stride, b->rank * sizeof *stride);
    return make(KL_OP_update, (kl_dtype)a->dtype, a->rank, kl_lazy_shape(a), 2, s,
                1 + b->rank, attr);
}
