/* devices.c: on which device a tensor's values lie, and moving them.
 *
 *   kl_tensor *x = kl_to_device(kl_load_npy(..), "cuda");    copied at once
 *   kl_tensor *y = kl_exp(x);                                a program of that device
 *   kl_item(kl_sum(y));                                      copied back: one number
 *
 * A node's device is that of the memory below it; one that stands on none (an arange, a
 * random draw) goes wherever it is used, and to the default device once a tensor holds
 * it. Operands of several devices are refused when the operation is called, but for host
 * values without axes, which are copied along. Nothing ever runs elsewhere than asked. */
#include "front.h"

const char *kl_device_name(int device, char buf[KL_DEVICE_NAME])
{
    if (device == 0 || device == KL_FREE)
        return "cpu";
    snprintf(buf, KL_DEVICE_NAME, "cuda:%d", device - 1);
    return buf;
}

/* The number of a device that is there. */
static kl_status find(const char *name, int *out)
{
    const kl_device_ops *ops;
    int index;
    if (!name)
        return kl_fail(KL_ERR_ARG, "the device's name is NULL");
    KL_TRY(kl_device_parse(name, out));
    KL_TRY(kl_device_get(*out, &ops, &index));
    return *out < KL_FREE ? KL_OK : kl_fail(KL_ERR_ARG, "no device '%s'", name);
}

kl_status kl_set_default_device_at(const char *at, const char *device)
{
    kl_call c = kl_call_begin(at);
    int d = -1;
    kl_status st = device ? find(device, &d) : KL_OK;
    if (st == KL_OK)
        kl_thread()->default_device = d + 1;
    return kl_call_done(&c, st);
}

const char *kl_get_default_device_at(const char *at)
{
    static __thread char buf[KL_DEVICE_NAME];
    kl_call c = kl_call_begin(at);
    int d = 0;
    kl_status st = kl_default_device(&d);
    return kl_call_done(&c, st) ? NULL : kl_device_name(d, buf);
}

kl_status kl_default_device(int *out)
{
    static int known = -1;
    const char *name = kl_env_get()->device;
    int d = __atomic_load_n(&known, __ATOMIC_RELAXED);
    bool first = !kl_failed(); /* an earlier error keeps its own text */
    *out = 0; /* a traced function is for the host, whose memory it is called on */
    if (kl_thread()->tracing)
        return KL_OK;
    if (kl_thread()->default_device) {
        *out = kl_thread()->default_device - 1;
        return KL_OK;
    }
    if (!name || !*name)
        return KL_OK;
    if (d < 0) {
        if (find(name, &d) != KL_OK) {
            if (first)
                kl_fail_more(" (KILN_DEVICE)");
            return kl_error_status();
        }
        __atomic_store_n(&known, d, __ATOMIC_RELAXED);
    }
    *out = d;
    return KL_OK;
}

/* From the host or to it; between two devices by way of it. */
static kl_status copy(kl_memory *to, const kl_memory *from, size_t size)
{
    const kl_device_ops *ops;
    int index;
    int d = to->device ? to->device : from->device;
    if (to->device && from->device && to->device != from->device) {
        kl_memory *host = kl_memory_new(0, size);
        kl_status st = host ? copy(host, from, size) : kl_error_status();
        if (st == KL_OK)
            st = copy(to, host, size);
        kl_memory_unref(host);
        return st;
    }
    KL_TRY(kl_device_get(d, &ops, &index));
    return ops->copy(index, to->base, from->base, size, !from->device, !to->device);
}

/* The bytes of a node that has its value. */
static kl_status copy_value(kl_lazy *n, kl_memory *to, size_t size)
{
    if (!n->small)
        return copy(to, kl_lazy_mem(n), size);
    kl_memory host = {.refs = 1, .base = kl_lazy_attr(n), .size = size};
    return copy(to, &host, size);
}

kl_lazy *kl_lazy_to(kl_lazy *n, int device)
{
    if (!n || (kl_lazy_mem(n) && kl_lazy_mem(n)->device == device))
        return n;
    size_t size = (size_t)kl_lazy_numel(n) * kl_dtypes[n->dtype].size;
    if (kl_force_one(n) != KL_OK)
        return NULL;
    kl_memory *m = kl_memory_new(device, size);
    if (!m || (size && copy_value(n, m, size) != KL_OK)) {
        kl_memory_unref(m);
        return NULL;
    }
    kl_lazy *r = kl_lazy_input(m, (kl_dtype)n->dtype, n->rank, kl_lazy_shape(n));
    kl_memory_unref(m);
    return r;
}

static bool on_a_device(const kl_lazy *n)
{
    return n->device != 0 && n->device != KL_FREE;
}

/* A number of the host where it is used: no tensor of its own device any more. */
static kl_lazy *number_on(kl_lazy *n, int device)
{
    if (n->track) {
        kl_fail(KL_ERR_UNSUPPORTED,
                "gradients do not flow from one device to another; detach the value made "
                "at %s",
                n->place ? n->place : "an unknown place");
        return NULL;
    }
    return n->small ? kl_lazy_small((kl_dtype)n->dtype, 0, NULL, kl_lazy_small_bytes(n))
                    : kl_lazy_to(n, device);
}

kl_status kl_numbers_along(int n, kl_lazy **a)
{
    int device = 0;
    for (int i = 0; i < n; i++)
        device = on_a_device(a[i]) ? a[i]->device : device;
    for (int i = 0; i < n && device; i++)
        if (a[i]->device == 0 && a[i]->rank == 0 && !(a[i] = number_on(a[i], device)))
            return kl_error_status();
    return KL_OK;
}

/* ---- the calls ---- */

static int device_of(kl_tensor *t)
{
    kl_lazy *n = kl_storage_node(t->storage);
    int d = n->device;
    kl_lazy_unref(n);
    return d;
}

const char *kl_device_of(const kl_tensor *t)
{
    static __thread char buf[KL_DEVICE_NAME];
    return t ? kl_device_name(device_of((kl_tensor *)(uintptr_t)t), buf) : "";
}

/* The gradient of what was moved goes back to where it came from: user is that device. */
static kl_status move_back(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx,
                           int nin)
{
    char name[KL_DEVICE_NAME];
    (void)nout;
    (void)nin;
    if (!dy[0])
        return KL_OK;
    dx[0] = kl_to_device_at(NULL, dy[0], kl_device_name((int)(intptr_t)user, name));
    return dx[0] ? KL_OK : kl_error_status();
}

static kl_tensor *move_tracked(const char *at, kl_tensor *t, const char *name)
{
    kl_tensor *plain = kl_detach_at(at, t);
    kl_tensor *moved = plain ? kl_to_device_at(at, plain, name) : NULL;
    void *from = (void *)(intptr_t)device_of(t);
    bool ok = moved && kl_custom_at(at, &t, 1, &moved, 1, move_back, from, NULL) == KL_OK;
    return ok ? moved : NULL;
}

kl_tensor *kl_to_device_at(const char *at, kl_tensor *t, const char *name)
{
    kl_call c = kl_call_begin(at);
    int d;
    kl_lazy *n = kl_arg_tensor(t);
    if (!n || find(name, &d) != KL_OK)
        return kl_call_end(&c, NULL);
    if (device_of(t) == d) { /* the same handle's storage, as kl_to */
        kl_call_done(&c, KL_OK);
        return kl_scope_add(kl_tensor_ref(t)) == KL_OK ? t : NULL;
    }
    if (n->track) {
        kl_call_done(&c, KL_OK);
        return move_tracked(at, t, name);
    }
    return kl_call_end(&c, kl_lazy_to(n, d));
}

kl_status kl_device_describe(const char *name, char *out, size_t cap)
{
    const kl_device_ops *ops;
    int d, index;
    KL_TRY(find(name, &d));
    KL_TRY(kl_device_get(d, &ops, &index));
    return ops->describe(index, out, cap);
}

kl_status kl_device_capability(const char *name, int *major, int *minor)
{
    const kl_device_ops *ops;
    int d, index;
    *major = *minor = 0;
    KL_TRY(find(name, &d));
    KL_TRY(kl_device_get(d, &ops, &index));
    return d ? kl_cuda_compute(index, major, minor) : KL_OK;
}

int kl_device_count(void)
{
    return kl_device_cuda.count();
}

kl_status kl_synchronize(const char *name)
{
    const kl_device_ops *ops;
    int d, index;
    KL_TRY(find(name, &d));
    KL_TRY(kl_device_get(d, &ops, &index));
    return ops->sync(index);
}
