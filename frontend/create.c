/* create.c: tensors out of nothing, out of memory, out of numbers; copies and casts.
 *
 *   kl_arange(0, 10, 2, KL_DTYPE_NONE)  ->  iota i64[5] * 2 + 0
 *
 * kl_from_buffer is the only one that keeps the caller's memory: a storage that is
 * exposed from the beginning. Its nodes see that memory as one flat array; strides are
 * the handle's. */
#include "front.h"

kl_status kl_set_default_dtype(kl_dtype dt)
{
    if (dt >= KL_DTYPE_COUNT || !kl_is_float(dt))
        return kl_fail(KL_ERR_DTYPE, "set_default_dtype: only floating-point types are "
                                     "supported as the default type");
    kl_thread()->default_dtype = dt;
    return KL_OK;
}

kl_dtype kl_get_default_dtype(void)
{
    return kl_thread()->default_dtype;
}

/* Negative extents, too many axes, more bytes than memory can have. */
static kl_status check_shape(kl_ints s, kl_dtype dt)
{
    int64_t n;
    char text[200];
    if (s.n > KL_INTS_MAX)
        return kl_fail(KL_ERR_SHAPE, "more than %d dimensions", KL_INTS_MAX);
    if (dt >= KL_DTYPE_COUNT)
        return kl_fail(KL_ERR_DTYPE, "no such dtype: %d", (int)dt);
    for (int i = 0; i < s.n; i++)
        if (s.v[i] < 0)
            return kl_fail(KL_ERR_SHAPE,
                           "Trying to create tensor with negative dimension %lld: %s",
                           (long long)s.v[i], kl_ints_text(s, text, sizeof text));
    return kl_shape_count(s.n, s.v, dt, &n);
}

static kl_dtype or_default(kl_dtype dt)
{
    return dt == KL_DTYPE_NONE ? kl_default() : dt;
}

kl_tensor *kl_full_at(const char *at, kl_ints shape, kl_arg v, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    if (dt == KL_DTYPE_NONE && v.kind == KL_ARG_TENSOR && v.t)
        dt = (kl_dtype)v.t->dtype;
    else if (dt == KL_DTYPE_NONE)
        dt = v.kind == KL_ARG_INT    ? KL_I64
             : v.kind == KL_ARG_BOOL ? KL_BOOL
                                     : kl_default();
    if (check_shape(shape, dt))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, kl_n_fill(kl_arg_read(v, dt), shape.n, shape.v));
}

kl_tensor *kl_full_like_at(const char *at, kl_tensor *t, kl_arg v)
{
    if (!t) {
        kl_call c = kl_call_begin(at);
        return kl_call_end(&c, kl_arg_tensor(t));
    }
    kl_call c = kl_call_begin(at);
    kl_ints s = kl_shape_of(t);
    kl_lazy *n = kl_n_fill(kl_arg_read(v, (kl_dtype)t->dtype), s.n, s.v);
    if (n && n->device == KL_FREE) /* where t is */
        n->device = kl_arg_tensor(t)->device;
    return kl_call_end(&c, n);
}

/* Memory just made on the host, where new tensors belong. */
static kl_lazy *on_default(kl_lazy *leaf)
{
    int device;
    return leaf && kl_default_device(&device) == KL_OK ? kl_lazy_to(leaf, device) : NULL;
}

kl_tensor *kl_empty_at(const char *at, kl_ints shape, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    dt = or_default(dt);
    if (check_shape(shape, dt))
        return kl_call_end(&c, NULL);
    int64_t n = kl_count(shape.n, shape.v);
    kl_memory *m = kl_memory_new(0, (size_t)n * kl_dtypes[dt].size);
    if (!m)
        return kl_call_end(&c, NULL);
    memset(m->base, 0,
           (size_t)n * kl_dtypes[dt].size); /* what it holds is a function of nothing */
    kl_lazy *r = kl_lazy_input(m, dt, shape.n, shape.v);
    kl_memory_unref(m);
    return kl_call_end(&c, on_default(r));
}

kl_tensor *kl_eye_at(const char *at, int64_t n, int64_t m, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    int64_t shape[2] = {n, m};
    dt = or_default(dt);
    if (check_shape(kl_ints_of(2, shape), dt))
        return kl_call_end(&c, NULL);
    kl_lazy *eq = kl_n_bin(KL_OP_eq, kl_n_iota(KL_I64, 2, shape, 0),
                           kl_n_iota(KL_I64, 2, shape, 1));
    return kl_call_end(&c, kl_n_cast(eq, dt));
}

static bool number(kl_arg a)
{
    return a.kind != KL_ARG_NONE && a.kind != KL_ARG_TENSOR;
}

static kl_lazy *arange(kl_arg start, kl_arg end, kl_arg step, kl_dtype dt)
{
    if (!number(start) || !number(end) || !number(step)) {
        kl_fail(KL_ERR_ARG, "arange: start, end and step are numbers");
        return NULL;
    }
    bool whole = start.kind != KL_ARG_FLOAT && end.kind != KL_ARG_FLOAT &&
                 step.kind != KL_ARG_FLOAT;
    if (dt == KL_DTYPE_NONE)
        dt = whole ? KL_I64 : kl_default();
    double n = step.d != 0 ? ceil((end.d - start.d) / step.d) : -1;
    bool against = step.d > 0 ? end.d < start.d : end.d > start.d;
    if (against || !(n >= 0) || n > 9e15) {
        kl_fail(KL_ERR_ARG, step.d == 0 ? "arange: step must be nonzero"
                            : n > 9e15  ? "arange: too many elements"
                                        : "arange: upper bound and lower bound "
                                          "inconsistent with step sign");
        return NULL;
    }
    int64_t count = (int64_t)n;
    if (whole) { /* exactly, in integers; the difference of two may need 64 bits */
        uint64_t up = (uint64_t)end.i - (uint64_t)start.i, by = (uint64_t)step.i;
        uint64_t span = step.i > 0 ? up : -up;
        by = step.i > 0 ? by : -by;
        count = (int64_t)(span / by + (span % by != 0));
    }
    if (check_shape(kl_ints_of(1, &count), dt))
        return NULL;
    kl_dtype in = whole             ? KL_I64
                  : kl_is_float(dt) ? (dt == KL_F64 ? KL_F64 : KL_F32)
                                    : KL_F64;
    kl_lazy *i = kl_n_iota(in, 1, &count, 0);
    if (whole ? step.i != 1 : step.d != 1)
        i = kl_n_bin(KL_OP_mul, i, kl_arg_read(step, in));
    if (whole ? start.i != 0 : start.d != 0)
        i = kl_n_bin(KL_OP_add, i, kl_arg_read(start, in));
    return kl_n_cast(i, dt);
}

kl_tensor *kl_arange_at(const char *at, kl_arg start, kl_arg end, kl_arg step,
                        kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    return kl_call_end(&c, arange(start, end, step, dt));
}

/* From both ends, each half from its own, so that both are exact. */
kl_tensor *kl_linspace_at(const char *at, double start, double end, int64_t steps,
                          kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    dt = or_default(dt);
    if (check_shape(kl_ints_of(1, &steps), dt))
        return kl_call_end(&c, NULL);
    if (!kl_is_float(dt) && !kl_is_complex(dt))
        start = trunc(start), end = trunc(end);
    if (steps == 1)
        return kl_call_end(&c, kl_n_full(dt, 1, &steps, start));
    kl_dtype in = dt == KL_F32 ? KL_F32 : KL_F64;
    double step = steps > 1 ? (end - start) / (double)(steps - 1) : 0;
    kl_lazy *i = kl_n_iota(KL_I64, 1, &steps, 0);
    kl_lazy *back = kl_n_bin(KL_OP_sub, kl_n_const_int(KL_I64, steps - 1), i);
    kl_lazy *low =
        kl_n_binc(KL_OP_add, kl_n_binc(KL_OP_mul, kl_n_cast(i, in), step), start);
    kl_lazy *high =
        kl_n_cbin(KL_OP_sub, end, kl_n_binc(KL_OP_mul, kl_n_cast(back, in), step));
    kl_lazy *first = kl_n_bin(KL_OP_lt, i, kl_n_const_int(KL_I64, steps / 2));
    return kl_call_end(&c, kl_n_cast(kl_n_where(first, low, high), dt));
}

kl_tensor *kl_scalar_at(const char *at, kl_arg v, kl_dtype dt)
{
    return kl_full_at(at, kl_shape(), v, dt);
}

/* ---- memory ---- */

kl_tensor *kl_tensor_copy_at(const char *at, const void *data, kl_dtype dt, kl_ints shape)
{
    kl_call c = kl_call_begin(at);
    if (check_shape(shape, dt))
        return kl_call_end(&c, NULL);
    size_t size = (size_t)kl_count(shape.n, shape.v) * kl_dtypes[dt].size;
    if (!data && size) {
        kl_fail(KL_ERR_ARG, "the data is NULL");
        return kl_call_end(&c, NULL);
    }
    kl_memory *m = kl_memory_new(0, size);
    if (!m)
        return kl_call_end(&c, NULL);
    if (size)
        memcpy(m->base, data, size);
    KL_TICK(host_copies);
    KL_TICK_BY(host_copy_bytes, (int64_t)size);
    kl_lazy *r = kl_lazy_input(m, dt, shape.n, shape.v);
    kl_memory_unref(m);
    return kl_call_end(&c, on_default(r));
}

/* Bytes the strides reach, in whole elements. */
static kl_status extent(kl_buffer *b, kl_ints shape, const int64_t *strides)
{
    int64_t size = kl_dtypes[b->dtype].size;
    memcpy(b->shape, shape.v, sizeof b->shape);
    b->rank = shape.n;
    kl_buffer_dense_strides(b);
    for (int i = 0; strides && i < shape.n; i++) {
        if (strides[i] % size)
            return kl_fail(KL_ERR_ARG,
                           "stride %lld is no multiple of the element's %lld bytes",
                           (long long)strides[i], (long long)size);
        b->stride[i] = strides[i];
    }
    return KL_OK;
}

static kl_tensor *expose(kl_memory *m, const kl_buffer *b, int64_t lo, int64_t hi)
{
    int64_t size = kl_dtypes[b->dtype].size, flat = (hi - lo) / size, stride[KL_MAX_RANK];
    bool dense = kl_buffer_is_dense(b);
    kl_lazy *n = dense ? kl_lazy_input(m, b->dtype, b->rank, b->shape)
                       : kl_lazy_input(m, b->dtype, 1, &flat);
    kl_tensor *t = n ? kl_tensor_wrap(n) : NULL;
    if (!t)
        return NULL;
    t->storage->exposed = 1;
    t->storage->home = kl_memory_ref(m);
    if (dense)
        return t;
    for (int i = 0; i < b->rank; i++)
        stride[i] = b->stride[i] / size;
    kl_tensor *v = kl_tensor_view(t, -lo / size, b->rank, b->shape, stride, NULL);
    if (v)
        v->view = 0; /* nobody else has the flat array */
    kl_tensor_unref(t);
    return v;
}

kl_tensor *kl_from_buffer_at(const char *at, void *data, kl_dtype dt, kl_ints shape,
                             const int64_t *strides, bool read_only,
                             kl_release_fn release, void *user)
{
    kl_call c = kl_call_begin(at);
    kl_buffer b = {.dtype = dt};
    int64_t lo = 0, hi = 0;
    if (check_shape(shape, dt) || extent(&b, shape, strides))
        return kl_call_view(&c, NULL);
    kl_buffer_extent(&b, &lo, &hi);
    if (!data && hi > lo) {
        kl_fail(KL_ERR_ARG, "the data is NULL");
        return kl_call_view(&c, NULL);
    }
    /* release gets the caller's own pointer: a negative stride puts our base below it */
    kl_memory *m =
        kl_memory_wrap((char *)data + lo, (size_t)(hi - lo), read_only, release, user);
    kl_tensor *t = m ? expose(m, &b, lo, hi) : NULL;
    kl_memory_unref(m);
    return kl_call_view(&c, t);
}

/* What a tensor is to be seen or copied as. */
static kl_status check_target(const kl_tensor *t, kl_dtype dt)
{
    if (!t)
        return kl_fail(KL_ERR_ARG, "a tensor is NULL");
    return dt < KL_DTYPE_COUNT ? KL_OK : kl_fail(KL_ERR_DTYPE, "no such dtype");
}

/* ---- the same memory as another dtype ---- */

static kl_status refuse_view(const kl_tensor *t, kl_dtype dt, const char *what,
                             const char *fix, int64_t by, int64_t got)
{
    return kl_fail(
        KL_ERR_SHAPE,
        "%s must be %s%lld to view %s as %s (different element sizes), but got "
        "%lld",
        what, fix, (long long)by, kl_dtypes[t->dtype].scalar, kl_dtypes[dt].scalar,
        (long long)got);
}

static const char *stride_name(int axis, char name[32])
{
    snprintf(name, 32, "self.stride(%d)", axis);
    return name;
}

/* The map in elements of dt, as PyTorch has it: the last axis is split or joined. */
static kl_status other_elements(kl_tensor *t, kl_dtype dt, kl_buffer *b)
{
    int64_t from = kl_dtypes[t->dtype].size, to = kl_dtypes[dt].size,
            *st = kl_t_stride(t);
    int last = t->rank - 1;
    char name[32];
    *b = (kl_buffer){.dtype = dt, .rank = t->rank, .offset = t->offset * from};
    for (int i = 0; i < t->rank; i++) {
        b->shape[i] = kl_t_shape(t)[i];
        b->stride[i] = st[i] * from;
    }
    if (from == to)
        return KL_OK;
    if (last < 0)
        return kl_fail(
            KL_ERR_SHAPE,
            "self.dim() cannot be 0 to view %s as %s (different element sizes)",
            kl_dtypes[t->dtype].scalar, kl_dtypes[dt].scalar);
    if (st[last] != 1)
        return refuse_view(t, dt, "self.stride(-1)", "", 1, st[last]);
    if (b->shape[last] * from % to)
        return refuse_view(t, dt, "self.size(-1)", "divisible by ", to / from,
                           b->shape[last]);
    if (b->offset % to)
        return refuse_view(t, dt, "self.storage_offset()", "divisible by ", to / from,
                           t->offset);
    for (int i = 0; i < last; i++)
        if (b->stride[i] % to)
            return refuse_view(t, dt, stride_name(i, name), "divisible by ", to / from,
                               st[i]);
    b->shape[last] = b->shape[last] * from / to;
    b->stride[last] = to;
    return KL_OK;
}

static void let_go(void *user, void *base)
{
    (void)base;
    kl_memory_unref(user);
}

/* A storage of its own over the memory of the other's, which both then show to all. */
static kl_tensor *share_memory(kl_tensor *t, kl_dtype dt)
{
    kl_buffer b;
    int64_t lo, hi;
    if (other_elements(t, dt, &b) || kl_storage_expose(t->storage))
        return NULL;
    kl_memory *home = t->storage->home;
    kl_buffer_extent(&b, &lo, &hi);
    kl_memory *m = kl_memory_wrap((char *)home->base + lo, (size_t)(hi - lo),
                                  home->read_only, let_go, kl_memory_ref(home));
    if (!m) {
        kl_memory_unref(home);
        return NULL;
    }
    lo -= b.offset, hi -= b.offset, b.offset = 0;
    kl_tensor *v = expose(m, &b, lo, hi);
    kl_memory_unref(m);
    if (v)
        v->view = 1;
    return v;
}

static kl_dtype unsigned_of(int size)
{
    return size == 1 ? KL_U8 : size == 2 ? KL_U16 : size == 4 ? KL_U32 : KL_U64;
}

/* By how much each of n parts is shifted, `bits` the widths. */
static kl_lazy *shifts(kl_dtype dt, int64_t n, int bits)
{
    return kl_n_binc(KL_OP_mul, kl_n_iota(dt, 1, &n, 0), bits);
}

/* The bits as a value, the last axis split or joined: parts are shifted, the lowest
 * first. */
static kl_lazy *other_bits(kl_lazy *a, kl_dtype dt)
{
    int from = kl_dtypes[a->dtype].size, to = kl_dtypes[dt].size, last = a->rank - 1;
    int64_t shape[KL_MAX_RANK + 1], n = from > to ? from / to : to / from;
    kl_lazy *u =
        a->dtype == KL_BOOL ? kl_n_cast(a, KL_U8) : kl_n_bitcast(a, unsigned_of(from));
    if (from == to)
        return kl_n_bitcast(u, dt);
    if (last < 0 || last + 1 >= KL_MAX_RANK ||
        (to > from && kl_lazy_shape(a)[last] % n)) {
        kl_fail(KL_ERR_SHAPE, "the last dimension cannot be viewed as %s",
                kl_dtypes[dt].scalar);
        return NULL;
    }
    memcpy(shape, kl_lazy_shape(a), (size_t)a->rank * sizeof *shape);
    shape[last + 1] = from > to ? 1 : n;
    shape[last] = from > to ? shape[last] : shape[last] / n;
    u = kl_n_reshape(kl_n_cast(u, unsigned_of(KL_MAX(from, to))), last + 2, shape);
    if (from > to)
        u = kl_n_bin(KL_OP_shr, u, shifts(unsigned_of(from), n, 8 * to));
    else
        u = kl_n_reduce(KL_OP_add,
                        kl_n_bin(KL_OP_shl, u, shifts(unsigned_of(to), n, 8 * from)),
                        UINT64_C(1) << (last + 1), false);
    shape[last] *= from > to ? n : 1;
    return kl_n_bitcast(kl_n_reshape(kl_n_cast(u, unsigned_of(to)), last + 1, shape), dt);
}

kl_tensor *kl_view_dtype_at(const char *at, kl_tensor *t, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    if (check_target(t, dt)) {
        return kl_call_view(&c, NULL);
    }
    if (t->dtype == dt)
        return kl_call_view(&c, kl_tensor_view(t, t->offset, t->rank, kl_t_shape(t),
                                               kl_t_stride(t), NULL));
    kl_lazy *n = kl_storage_node(t->storage);
    bool here = n->device == 0 || n->device == KL_FREE;
    kl_lazy_unref(n);
    bool value = !here || kl_thread()->tracing; /* no memory to share */
    if (value && dt != KL_BOOL && !kl_is_complex(dt) && !kl_is_complex(t->dtype)) {
        kl_lazy *a = kl_arg_tensor(t);
        return kl_call_end(&c, a ? other_bits(a, dt) : NULL);
    }
    if (value) {
        kl_tensor *r = kl_bitcast_at(at, t, dt);
        kl_call_done(&c, KL_OK);
        return r;
    }
    return kl_call_view(&c, share_memory(t, dt));
}

static kl_lazy *written_out(kl_dtype dt, kl_ints shape, size_t n, const double *v)
{
    int64_t count = kl_count(shape.n, shape.v);
    if ((int64_t)n != count) {
        char text[200];
        kl_fail(KL_ERR_SHAPE, "%zu elements given for shape %s", n,
                kl_ints_text(shape, text, sizeof text));
        return NULL;
    }
    kl_memory *m = kl_memory_new(0, n * kl_dtypes[dt].size);
    if (!m)
        return NULL;
    kl_dtype real = kl_dtypes[dt].real;
    memset(m->base, 0, n * kl_dtypes[dt].size);
    for (size_t i = 0; i < n; i++) {
        kl_scalar s = kl_scalar_from(real, v[i]);
        memcpy((char *)m->base + i * kl_dtypes[dt].size, &s, kl_dtypes[real].size);
    }
    kl_lazy *r = kl_lazy_input(m, dt, shape.n, shape.v);
    kl_memory_unref(m);
    return r;
}

kl_tensor *kl_of_at(const char *at, kl_dtype dt, kl_ints shape, size_t n, const double *v)
{
    kl_call c = kl_call_begin(at);
    dt = or_default(dt);
    bool told = check_shape(shape, dt) || !kl_arg_given(v, (int64_t)n, "the data");
    return kl_call_end(&c, told ? NULL : written_out(dt, shape, n, v));
}

/* ---- copies ---- */

kl_tensor *kl_clone_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_arg a = kl_arg_t(t);
    return kl_call_end_laid(&c, kl_n_copy(kl_arg_tensor(t)), 1, &a);
}

/* The same handle, as a new reference. */
static kl_tensor *again(kl_call *c, kl_tensor *t)
{
    return kl_call_view(c, kl_tensor_ref(t));
}

kl_tensor *kl_contiguous_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    if (t && !kl_is_contiguous(t))
        return kl_call_end(&c, kl_n_copy(kl_arg_tensor(t)));
    if (!t)
        kl_arg_tensor(t);
    return again(&c, t);
}

kl_tensor *kl_to_at(const char *at, kl_tensor *t, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    if (check_target(t, dt)) {
        return kl_call_end(&c, NULL);
    }
    if (t->dtype == dt)
        return again(&c, t);
    KL_TICK(casts);
    kl_arg a = kl_arg_t(t);
    return kl_call_end_laid(&c, kl_n_cast(kl_arg_tensor(t), dt), 1, &a);
}

kl_tensor *kl_bitcast_at(const char *at, kl_tensor *t, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(t);
    if (a && (dt >= KL_DTYPE_COUNT || kl_dtypes[dt].size != kl_dtypes[a->dtype].size ||
              kl_is_complex(dt) || kl_is_complex((kl_dtype)a->dtype) ||
              (dt == KL_BOOL) != (a->dtype == KL_BOOL))) {
        kl_fail(KL_ERR_DTYPE, "bitcast: %s has other bits than %s",
                kl_dtypes[a->dtype].name,
                dt < KL_DTYPE_COUNT ? kl_dtypes[dt].name : "no dtype");
        a = NULL;
    }
    return kl_call_end(&c, kl_n_bitcast(a, dt));
}
