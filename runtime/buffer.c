/* buffer.c: strided arrays over shared memory.
 *
 * A kl_memory is one allocation, ours or the user's, and counts who holds it; a kl_buffer
 * says where in it the element [i, j, ..] lies:
 *
 *     base + offset + i * stride[0] + j * stride[1] + ..     (bytes; strides of any sign)
 *
 * so a transposed, reversed or expanded array is the same bytes read otherwise. */
#include "runtime/runtime.h"

/* ---- memory ---- */

static kl_memory *memory_head(void)
{
    kl_memory *m = kl_alloc_zeroed(sizeof *m);
    if (!m)
        kl_fail(KL_ERR_OOM, "out of memory: a buffer's head");
    else
        m->refs = 1;
    return m;
}

/* Device memory is given back by its release function, as the user's is. */
static void device_release(void *user, void *base)
{
    const kl_memory *m = user;
    const kl_device_ops *ops;
    int index;
    if (kl_device_get(m->device, &ops, &index) == KL_OK)
        ops->free(index, base, m->size);
}

static kl_status take_bytes(kl_memory *m)
{
    const kl_device_ops *ops;
    int index;
    if (m->device == 0) {
        m->base = kl_alloc(m->size);
        return m->base ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory: %zu bytes", m->size);
    }
    KL_TRY(kl_device_get(m->device, &ops, &index));
    KL_TRY(ops->alloc(index, m->size, &m->base));
    m->release = device_release;
    m->user = m;
    return KL_OK;
}

kl_memory *kl_memory_new(int device, size_t size)
{
    kl_memory *m = memory_head();
    if (!m)
        return NULL;
    m->device = device;
    m->size = size;
    if (take_bytes(m) == KL_OK)
        return m;
    kl_free(m, sizeof *m);
    return NULL;
}

/* The user's bytes without a release of his. */
static void keep(void *user, void *base)
{
    (void)user;
    (void)base;
}

kl_memory *kl_memory_wrap(void *base, size_t size, bool read_only,
                          void (*release)(void *user, void *base), void *user)
{
    static char nothing;
    kl_memory *m = memory_head();
    if (!m)
        return NULL;
    m->base = base ? base : &nothing;
    m->size = size;
    m->read_only = read_only;
    m->release = release ? release : keep;
    m->user = user;
    return m;
}

kl_memory *kl_memory_ref(kl_memory *m)
{
    if (m)
        __atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
    return m;
}

void kl_memory_unref(kl_memory *m)
{
    if (!m || __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    if (m->release)
        m->release(m->user, m->base);
    else
        kl_free(m->base, m->size);
    kl_free(m, sizeof *m);
}

/* ---- shapes and strides ---- */

static kl_status shape_fail(int rank, const int64_t *shape, const char *why)
{
    char text[400];
    size_t n = 0;
    rank = KL_MIN(rank, KL_MAX_RANK); /* more are nowhere to be read */
    for (int i = 0; i < rank && n < sizeof text - 24; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%s%lld", i ? "," : "",
                              (long long)shape[i]);
    text[n] = 0;
    return kl_fail(KL_ERR_SHAPE, "shape (%s): %s", text, why);
}

/* A shape with a zero is empty; yet its other extents must make sense together, for
 * strides are computed from them. */
const char *kl_shape_fault(int rank, const int64_t *shape, kl_dtype dt, int64_t *count)
{
    int64_t n = 1, bytes;
    bool empty = false;
    if (rank < 0 || rank > KL_MAX_RANK)
        return "the rank is not 0 to 16";
    for (int i = 0; i < rank; i++) {
        if (shape[i] < 0)
            return "negative extent";
        empty |= shape[i] == 0;
        if (kl_mul_overflow(n, KL_MAX(shape[i], 1), &n) || n == INT64_MAX) /* saturated */
            return "too many elements for 64 bits";
    }
    if (kl_mul_overflow(n, kl_dtypes[dt].size, &bytes))
        return "too many bytes for 64 bits";
    *count = empty ? 0 : n;
    return NULL;
}

kl_status kl_shape_count(int rank, const int64_t *shape, kl_dtype dt, int64_t *count)
{
    const char *why = kl_shape_fault(rank, shape, dt, count);
    return why ? shape_fail(rank, shape, why) : KL_OK;
}

void kl_buffer_dense_strides(kl_buffer *b)
{
    int64_t step = kl_dtypes[b->dtype].size;
    b->offset = 0;
    for (int i = b->rank; i-- > 0; step *= KL_MAX(b->shape[i], 1))
        b->stride[i] = step;
}

bool kl_buffer_is_dense(const kl_buffer *b)
{
    int64_t step = kl_dtypes[b->dtype].size;
    for (int i = 0; i < b->rank; i++)
        if (b->shape[i] == 0)
            return true;
    for (int i = b->rank; i-- > 0; step *= b->shape[i])
        if (b->shape[i] != 1 && b->stride[i] != step)
            return false;
    return true;
}

void kl_buffer_extent(const kl_buffer *b, int64_t *lo, int64_t *hi)
{
    *lo = b->offset;
    *hi = b->offset + kl_dtypes[b->dtype].size;
    for (int i = 0; i < b->rank; i++) {
        if (b->shape[i] == 0) {
            *lo = *hi = b->offset;
            return;
        }
        int64_t span = (b->shape[i] - 1) * b->stride[i];
        *(span < 0 ? lo : hi) += span;
    }
}

kl_status kl_buffer_new(kl_dtype dt, int rank, const int64_t *shape, kl_buffer *out)
{
    int64_t count;
    KL_TRY(kl_shape_count(rank, shape, dt, &count));
    kl_buffer b = {.dtype = dt, .rank = rank};
    for (int i = 0; i < rank; i++)
        b.shape[i] = shape[i];
    kl_buffer_dense_strides(&b);
    b.mem = kl_memory_new(0, (size_t)count * kl_dtypes[dt].size);
    if (!b.mem)
        return KL_ERR_OOM;
    *out = b;
    return KL_OK;
}

char *kl_buffer_data(const kl_buffer *b)
{
    return (char *)b->mem->base + b->offset;
}

size_t kl_buffer_bytes(const kl_buffer *b)
{
    size_t n = kl_dtypes[b->dtype].size;
    for (int i = 0; i < b->rank; i++)
        n *= (size_t)b->shape[i];
    return n;
}

/* ---- copying ---- */

typedef struct axis {
    int64_t n, dst, src; /* extent, strides */
} axis;

/* One row of n elements. */
static void copy_row(char *dst, const char *src, axis x, size_t size)
{
    if (x.dst == (int64_t)size && x.src == (int64_t)size) {
        memcpy(dst, src, (size_t)x.n * size);
        return;
    }
#define ROW(bytes)                                                                       \
    case bytes:                                                                          \
        for (int64_t i = 0; i < x.n; i++)                                                \
            memcpy(dst + i * x.dst, src + i * x.src, bytes);                             \
        return;
    switch (size) {
        ROW(1)
        ROW(2)
        ROW(4)
        ROW(8)
        ROW(16)
    }
#undef ROW
}

/* The axes that matter, neighbours that walk both sides as one merged into one; 0
 * extents: -1. */
static int merge_axes(const kl_buffer *dst, const kl_buffer *src, axis *x)
{
    int k = 0;
    for (int i = 0; i < dst->rank; i++) {
        axis y = {dst->shape[i], dst->stride[i], src->stride[i]};
        if (y.n == 0)
            return -1;
        if (y.n == 1)
            continue;
        if (k && x[k - 1].dst == y.n * y.dst && x[k - 1].src == y.n * y.src) {
            y.n *= x[k - 1].n;
            k--;
        }
        x[k++] = y;
    }
    return k;
}

void kl_buffer_copy(const kl_buffer *dst, const kl_buffer *src)
{
    axis x[KL_MAX_RANK];
    int64_t at[KL_MAX_RANK] = {0};
    size_t size = kl_dtypes[dst->dtype].size;
    char *d = kl_buffer_data(dst);
    const char *s = kl_buffer_data(src);
    int k = merge_axes(dst, src, x);
    if (k < 0)
        return;
    if (k == 0)
        x[k++] = (axis){1, (int64_t)size, (int64_t)size};
    for (int i = 0; i >= 0;) {
        copy_row(d, s, x[k - 1], size);
        for (i = k - 2; i >= 0; i--) { /* the next row: count like an odometer */
            d += x[i].dst;
            s += x[i].src;
            if (++at[i] < x[i].n)
                break;
            d -= x[i].n * x[i].dst;
            s -= x[i].n * x[i].src;
            at[i] = 0;
        }
    }
}

kl_status kl_buffer_dense(const kl_buffer *b, kl_buffer *out)
{
    if (kl_buffer_is_dense(b)) {
        *out = *b;
        kl_memory_ref(out->mem);
        return KL_OK;
    }
    KL_TRY(kl_buffer_new(b->dtype, b->rank, b->shape, out));
    kl_buffer_copy(out, b);
    return KL_OK;
}
