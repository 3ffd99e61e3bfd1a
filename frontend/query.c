/* query.c: what a tensor is, and its elements on the host.
 *
 *   kl_item(loss)  ->  force the node; read one element; nothing is exposed by it
 *   kl_data(x)     ->  force, make the memory the storage's own, expose it */
#include "front.h"

static kl_tensor *mutable(const kl_tensor *t)
{
    return (kl_tensor *)(uintptr_t)t;
}

kl_dtype kl_dtype_of(const kl_tensor *t)
{
    return t ? (kl_dtype)t->dtype : KL_DTYPE_NONE;
}
const char *kl_dtype_name(kl_dtype dt)
{
    return dt < KL_DTYPE_COUNT ? kl_dtypes[dt].torch_name : "none";
}
size_t kl_dtype_size(kl_dtype dt)
{
    return dt < KL_DTYPE_COUNT ? kl_dtypes[dt].size : 0;
}
int kl_rank(const kl_tensor *t)
{
    return t ? t->rank : 0;
}

static int wrapped(const kl_tensor *t, int dim)
{
    int d = !t ? -1 : dim < 0 ? dim + t->rank : dim;
    return t && d >= 0 && d < t->rank ? d : -1;
}

int64_t kl_extent(const kl_tensor *t, int dim)
{
    int d = wrapped(t, dim);
    return d < 0 ? -1 : kl_t_shape(mutable(t))[d];
}

int64_t kl_stride(const kl_tensor *t, int dim)
{
    int d = wrapped(t, dim);
    return d < 0 ? 0 : kl_t_stride(mutable(t))[d];
}

kl_ints kl_shape_of(const kl_tensor *t)
{
    return t ? kl_ints_of(t->rank, kl_t_shape(mutable(t))) : kl_shape();
}

int64_t kl_numel(const kl_tensor *t)
{
    return t ? kl_count(t->rank, kl_t_shape(mutable(t))) : 0;
}
int64_t kl_nbytes(const kl_tensor *t)
{
    return t ? kl_numel(t) * kl_dtypes[t->dtype].size : 0;
}
int64_t kl_storage_offset(const kl_tensor *t)
{
    return t ? t->offset : 0;
}

uint64_t kl_storage_id(const kl_tensor *t)
{
    return t ? (uint64_t)(uintptr_t)t->storage : 0;
}

int64_t kl_storage_nbytes(const kl_tensor *t)
{
    return t ? t->storage->numel * kl_dtypes[t->storage->node->dtype].size : 0;
}

bool kl_is_contiguous(const kl_tensor *t)
{
    int64_t n = 1;
    for (int i = t ? t->rank : 0; i-- > 0;) {
        int64_t extent = kl_t_shape(mutable(t))[i];
        if (extent != 1 && kl_t_stride(mutable(t))[i] != n && kl_numel(t) > 0)
            return false;
        n *= extent;
    }
    return t != NULL;
}

bool kl_shares_memory(const kl_tensor *a, const kl_tensor *b)
{
    return a && b && a->storage == b->storage;
}

uint32_t kl_version(const kl_tensor *t)
{
    return t ? t->storage->version : 0;
}

/* ---- names: a few strings that live as long as the process ---- */

typedef struct name {
    struct name *next;
    char text[];
} name;
static name *names[1024];
static pthread_mutex_t names_lock = PTHREAD_MUTEX_INITIALIZER;

const char *kl_intern(const char *s)
{
    size_t size = strlen(s) + 1;
    name **chain = &names[kl_hash_bytes(s, size).lo % KL_COUNT(names)];
    pthread_mutex_lock(&names_lock);
    name *n = *chain;
    while (n && strcmp(n->text, s) != 0)
        n = n->next;
    if (!n && (n = malloc(sizeof *n + size))) { /* not counted as live: never released */
        memcpy(n->text, s, size);
        n->next = *chain;
        *chain = n;
    }
    pthread_mutex_unlock(&names_lock);
    return n ? n->text : "";
}

kl_tensor *kl_named(kl_tensor *t, const char *s)
{
    if (!t || !s)
        return t;
    t->name = kl_intern(s);
    kl_lazy *n = kl_storage_node(t->storage);
    if (t->whole && !n->name)
        n->name = t->name;
    kl_lazy_unref(n);
    return t;
}

const char *kl_name(const kl_tensor *t)
{
    return t && t->name ? t->name : "";
}

const char *kl_shape_text(const kl_tensor *t, char *buf, size_t cap)
{
    char s[400];
    snprintf(buf, cap, "torch.Size(%s)", kl_ints_text(kl_shape_of(t), s, sizeof s));
    return buf;
}

/* ---- values ---- */

kl_tensor *kl_realize_at(const char *at, kl_tensor *t)
{
    return kl_realize_all_at(at, &t, 1) == KL_OK ? t : NULL;
}

kl_status kl_realize_all_at(const char *at, kl_tensor *const *t, int n)
{
    kl_call c = kl_call_begin(at);
    if (!kl_arg_given(t, n, "the list of tensors"))
        return kl_call_done(&c, KL_ERR_ARG);
    kl_lazy **v = kl_alloc_zeroed((size_t)KL_MAX(n, 0) * sizeof *v + 1);
    kl_status st = v ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d tensors", n);
    for (int i = 0; i < n && st == KL_OK; i++) { /* whole storages: views read them */
        v[i] = t[i] ? kl_lazy_temp(kl_storage_node(t[i]->storage)) : kl_arg_tensor(NULL);
        st = v[i] ? KL_OK : kl_error_status();
    }
    if (st == KL_OK)
        st = kl_force(v, n);
    kl_free(v, (size_t)KL_MAX(n, 0) * sizeof *v + 1);
    return kl_call_done(&c, st);
}

/* The one element, as bits of its dtype. */
static kl_status one(kl_tensor *t, kl_dtype *dt, const void **bytes)
{
    kl_lazy *n = kl_arg_tensor(t);
    if (!n)
        return KL_ERR_ARG;
    if (kl_lazy_numel(n) != 1)
        return kl_fail(KL_ERR_SHAPE,
                       "a Tensor with %lld elements cannot be converted to Scalar",
                       (long long)kl_lazy_numel(n));
    *dt = kl_dtypes[n->dtype].real;
    return kl_value(n, bytes);
}

double kl_item_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    const void *bytes = NULL;
    kl_dtype dt = KL_F64;
    kl_scalar s = {.bits = 0};
    kl_status st = one(t, &dt, &bytes);
    if (st == KL_OK)
        memcpy(&s, bytes, kl_dtypes[dt].size);
    kl_call_done(&c, st);
    return st == KL_OK ? kl_scalar_to_double(dt, s) : 0;
}

int64_t kl_item_int_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    const void *bytes = NULL;
    kl_dtype dt = KL_I64;
    kl_scalar s = {.bits = 0};
    kl_status st = one(t, &dt, &bytes);
    if (st == KL_OK)
        memcpy(&s, bytes, kl_dtypes[dt].size);
    kl_call_done(&c, st);
    return st == KL_OK ? kl_eval_cast(KL_I64, dt, s).i64 : 0;
}

kl_status kl_copy_out_at(const char *at, kl_tensor *t, void *to, size_t size)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    const void *bytes;
    kl_status st = n ? KL_OK : KL_ERR_ARG;
    size_t have = (size_t)kl_nbytes(t);
    if (n && have != size)
        st = kl_fail(KL_ERR_SHAPE, "%zu bytes do not hold the tensor's %zu", size, have);
    if (st == KL_OK && !kl_arg_given(to, (int64_t)size, "the place for the elements"))
        st = KL_ERR_ARG;
    if (st == KL_OK)
        st = kl_value(n, &bytes);
    if (st == KL_OK && size)
        memcpy(to, bytes, size);
    return kl_call_done(&c, st);
}

/* ---- exposing ---- */

kl_status kl_storage_expose(kl_storage *s)
{
    const void *bytes = NULL;
    char name[KL_DEVICE_NAME];
    kl_lazy *n = kl_storage_node(s);
    kl_status st = n->device && n->device != KL_FREE
                       ? kl_fail(KL_ERR_DEVICE,
                                 "can't convert %s device type tensor to numpy. Use "
                                 "Tensor.cpu() to copy the tensor to host memory first.",
                                 kl_device_name(n->device, name))
                       : kl_value(n, &bytes);
    size_t size = (size_t)s->numel * kl_dtypes[n->dtype].size;
    if (st == KL_OK && !s->home) {
        kl_memory *m = kl_lazy_mem(n);
        /* others may hold the value: they keep the old memory, we get our own. The three
         * are the storage, n and kl_value's temporary; of a detached node the value is
         * another's. */
        bool alone = m && m->refs == 1 && n->op != KL_OP_detach &&
                     __atomic_load_n(&n->refs, __ATOMIC_RELAXED) == 3 && !m->read_only;
        kl_memory *own = alone ? kl_memory_ref(m) : kl_memory_new(0, size);
        st = own ? KL_OK : kl_error_status();
        if (own && !alone && size)
            memcpy(own->base, bytes, size);
        if (own && !alone)
            st = kl_storage_rebase(s, n, own);
        s->home = own;
    }
    if (st == KL_OK) {
        s->exposed++;
        s->stamp++;
    }
    kl_lazy_unref(n);
    return st;
}

void *kl_data_at(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_status st = t ? KL_OK : kl_fail(KL_ERR_ARG, "a tensor is NULL");
    if (t && kl_tracks(t))
        st = kl_fail(KL_ERR_STATE, "Can't call numpy() on Tensor that requires grad. Use "
                                   "tensor.detach().numpy() instead.");
    if (st == KL_OK)
        st = kl_storage_expose(t->storage);
    kl_call_done(&c, st);
    return st == KL_OK
               ? (char *)t->storage->home->base + t->offset * kl_dtypes[t->dtype].size
               : NULL;
}

void kl_data_done(kl_tensor *t)
{
    if (!t || t->storage->exposed <= 0)
        return;
    t->storage->exposed--;
    t->storage->stamp++;
    if (t->storage->exposed ==
        0) { /* from here on its memory is a value like any other */
        kl_memory_unref(t->storage->home);
        t->storage->home = NULL;
    }
}
