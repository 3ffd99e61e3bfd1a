/* device_cuda.c: CUDA devices as a kl_device_ops table, over the driver alone.
 *
 *   kl_device_cuda.launch -> enter (open, push context) -> cuLaunchKernel -> leave (pop)
 *
 * A device is opened at its first use: its primary context (the one PyTorch and the CUDA
 * runtime use too, so pointers can be shared), one stream, one memory pool of ours.
 * Everything is enqueued on the stream, so copies, fills, launches, allocations and frees
 * are ordered without waiting. What waits: sync, a copy to the host, and a copy from the
 * host of more than a staging block. The caller's current context is untouched.
 *
 * Memory comes from the pool, which keeps at most 1/16 of the device's memory unused
 * across waits; when it runs out it is trimmed and asked once more.
 *
 * Error words: a kernel's last parameter points at three int64 on the device. Each host
 * error word (kl_args.error) in use has a slot there from its first launch to the next
 * wait, which reads the slots back and fills the host words that are still zero. So a
 * host error word must live until its device was waited for.
 *
 * Threads: opening is under one lock, slots and staging under the device's; the driver
 * itself may be called from any thread. Fork: the child gets an error that says so. */
#include "cuda_driver.h"

#include <pthread.h>

#define MAX_DEVICES 16
#define MAX_PARAMS 512 /* 8 bytes each: CUDA's 4 KiB of kernel arguments */
#define SLOTS 64
#define STAGES 4
#define STAGE_BYTES ((size_t)256 << 10)

typedef struct stage { /* a pinned block from which a copy to the device may still run */
    void *bytes;
    cu_event done;
} stage;

typedef struct device {
    bool open;
    int index, major, minor;
    cu_device id;
    cu_context ctx;
    cu_stream stream;
    cu_pool pool; /* NULL: the driver has none, memory comes from cuMemAlloc */
    pthread_mutex_t lock;
    cu_ptr words; /* SLOTS error words */
    int64_t *host_word[SLOTS];
    int used;
    stage stages[STAGES];
    int next_stage;
} device;

typedef struct entry { /* a kernel of a module */
    struct entry *next;
    cu_function function;
    int64_t shared; /* dynamic shared bytes allowed so far */
    char name[];
} entry;

typedef struct code { /* kl_module.impl */
    device *d;
    cu_module handle;
    pthread_mutex_t lock;
    entry *entries;
} code;

static device devices[MAX_DEVICES];
static pthread_mutex_t opening = PTHREAD_MUTEX_INITIALIZER;

#define CU(d, doing, call)                                                               \
    do {                                                                                 \
        cu_result cu_r_ = (call);                                                        \
        if (cu_r_ != CU_OK)                                                              \
            return kl_cu_fail((d)->index, doing, cu_r_);                                 \
    } while (0)

/* ---- opening ---- */

static int cuda_count(void)
{
    int n = 0;
    if (!kl_cu_open() || kl_cu.device_count(&n) != CU_OK)
        return 0;
    return KL_MIN(n, MAX_DEVICES);
}

static kl_status open_pool(device *d)
{
    int has = 0;
    size_t total = 0;
    if (!kl_cu.pools || kl_cu.device_attr(&has, CU_ATTR_MEMORY_POOLS, d->id) != CU_OK ||
        !has)
        return KL_OK;
    cu_pool_props props = {.alloc_type = 1, .location_type = 1, .location_id = d->id};
    CU(d, "making a memory pool", kl_cu.pool_new(&d->pool, &props));
    CU(d, "asking for its memory", kl_cu.device_total(&total, d->id));
    uint64_t keep = total / 16;
    CU(d, "bounding the memory pool",
       kl_cu.pool_set(d->pool, CU_POOL_RELEASE_THRESHOLD, &keep));
    return KL_OK;
}

/* With the context current. */
static kl_status open_parts(device *d)
{
    CU(d, "making a stream", kl_cu.stream_new(&d->stream, CU_STREAM_NON_BLOCKING));
    KL_TRY(open_pool(d));
    CU(d, "allocating error words", kl_cu.mem_alloc(&d->words, SLOTS * 24));
    CU(d, "clearing error words", kl_cu.fill(d->words, 0, SLOTS * 24, d->stream));
    return KL_OK;
}

/* With the context current. Gives back what a device holds; used where opening failed
 * too. */
static void close_parts(device *d)
{
    for (int i = 0; i < STAGES; i++) {
        if (d->stages[i].done)
            kl_cu.event_free(d->stages[i].done);
        if (d->stages[i].bytes)
            kl_cu.host_free(d->stages[i].bytes);
        d->stages[i] = (stage){0};
    }
    if (d->words)
        kl_cu.mem_free(d->words);
    if (d->pool)
        kl_cu.pool_free(d->pool);
    if (d->stream)
        kl_cu.stream_free(d->stream);
    d->words = 0;
    d->pool = NULL;
    d->stream = NULL;
    d->used = 0;
}

static kl_status open_device(device *d, int index)
{
    d->index = index;
    CU(d, "finding the device", kl_cu.device_get(&d->id, index));
    CU(d, "asking for its architecture",
       kl_cu.device_attr(&d->major, CU_ATTR_COMPUTE_MAJOR, d->id));
    CU(d, "asking for its architecture",
       kl_cu.device_attr(&d->minor, CU_ATTR_COMPUTE_MINOR, d->id));
    CU(d, "opening its context", kl_cu.ctx_retain(&d->ctx, d->id));
    cu_context old;
    cu_result r = kl_cu.ctx_push(d->ctx);
    kl_status s = KL_OK;
    if (r != CU_OK) {
        s = kl_cu_fail(index, "entering its context", r);
    } else {
        s = open_parts(d);
        if (s != KL_OK)
            close_parts(d);
        kl_cu.ctx_pop(&old);
    }
    if (s != KL_OK)
        kl_cu.ctx_release(d->id);
    else
        pthread_mutex_init(&d->lock, NULL);
    __atomic_store_n(&d->open, s == KL_OK, __ATOMIC_RELEASE);
    return s;
}

static kl_status find_device(int index, device **out)
{
    *out = NULL;
    if (!kl_cu_open())
        return kl_fail(KL_ERR_DEVICE, "cuda:%d: %s", index, kl_cu_why());
    int n = cuda_count();
    if (index < 0 || index >= n)
        return kl_fail(KL_ERR_DEVICE, "cuda:%d: this machine has %d CUDA device%s", index,
                       n, n == 1 ? "" : "s");
    device *d = &devices[index];
    kl_status s = KL_OK;
    if (!__atomic_load_n(&d->open, __ATOMIC_ACQUIRE)) {
        pthread_mutex_lock(&opening);
        if (!d->open)
            s = open_device(d, index);
        pthread_mutex_unlock(&opening);
    }
    *out = d;
    return s;
}

/* Open device and make its context current; every KL_OK is followed by one leave(). */
static kl_status enter(int index, device **out)
{
    if (index >= 0 && index < MAX_DEVICES && !kl_cu_forked() &&
        __atomic_load_n(&devices[index].open, __ATOMIC_ACQUIRE))
        *out = &devices[index];
    else
        KL_TRY(find_device(index, out));
    CU(*out, "entering its context", kl_cu.ctx_push((*out)->ctx));
    return KL_OK;
}

static void leave(void)
{
    cu_context old;
    kl_cu.ctx_pop(&old);
}

kl_status kl_cuda_compute(int index, int *major, int *minor)
{
    device *d = NULL;
    KL_TRY(find_device(index, &d));
    *major = d->major;
    *minor = d->minor;
    return KL_OK;
}

const char *kl_cuda_why(void)
{
    if (kl_cu_open())
        return cuda_count() ? "" : "the CUDA driver finds no device";
    return kl_cu_why();
}

void kl_cuda_close(void)
{
    if (kl_cu_forked())
        return;
    pthread_mutex_lock(&opening);
    for (int i = 0; i < MAX_DEVICES; i++) {
        device *d = &devices[i];
        if (!d->open || kl_cu.ctx_push(d->ctx) != CU_OK)
            continue;
        kl_cu.stream_sync(d->stream);
        close_parts(d);
        leave();
        kl_cu.ctx_release(d->id);
        pthread_mutex_destroy(&d->lock);
        __atomic_store_n(&d->open, false, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&opening);
}

/* ---- error words ---- */

/* With the lock held and the stream idle: words holds what the slots held. */
static kl_status give_words(device *d, const int64_t (*words)[3])
{
    bool dirty = false;
    for (int i = 0; i < d->used; i++) {
        dirty |= words[i][0] != KL_FAULT_NONE;
        if (words[i][0] != KL_FAULT_NONE && d->host_word[i] && !d->host_word[i][0])
            memcpy(d->host_word[i], words[i], sizeof words[i]);
    }
    d->used = 0;
    if (dirty)
        CU(d, "clearing error words", kl_cu.fill(d->words, 0, SLOTS * 24, d->stream));
    return KL_OK;
}

/* With the lock held: wait for the stream, then hand out the error words. */
static kl_status wait(device *d)
{
    int64_t words[SLOTS][3];
    int n = d->used;
    if (n)
        CU(d, "reading error words",
           kl_cu.copy_to_host(words, d->words, (size_t)n * 24, d->stream));
    CU(d, "waiting", kl_cu.stream_sync(d->stream));
    return n ? give_words(d, (const int64_t(*)[3])words) : KL_OK;
}

/* The device's word for this host word (NULL: one that nobody reads). */
static kl_status word_for(device *d, int64_t *host, cu_ptr *out)
{
    kl_status s = KL_OK;
    pthread_mutex_lock(&d->lock);
    int i = 0;
    while (i < d->used && d->host_word[i] != host)
        i++;
    if (i == SLOTS) {
        s = wait(d);
        i = 0;
    }
    if (i == d->used)
        d->host_word[d->used++] = host;
    pthread_mutex_unlock(&d->lock);
    *out = d->words + (cu_ptr)i * 24;
    return s;
}

static kl_status cuda_sync(int index)
{
    device *d;
    KL_TRY(enter(index, &d));
    pthread_mutex_lock(&d->lock);
    kl_status s = wait(d);
    pthread_mutex_unlock(&d->lock);
    leave();
    return s;
}

/* ---- memory ---- */

static cu_result try_alloc(device *d, size_t size, cu_ptr *out)
{
    if (d->pool)
        return kl_cu.pool_alloc(out, size, d->pool, d->stream);
    return kl_cu.mem_alloc(out, size);
}

static kl_status cuda_alloc(int index, size_t size, void **out)
{
    device *d;
    cu_ptr p = 0;
    *out = NULL;
    KL_TRY(enter(index, &d));
    size = size ? size : 1;
    cu_result r = try_alloc(d, size, &p);
    if (r == CU_OUT_OF_MEMORY && kl_cu.stream_sync(d->stream) == CU_OK) {
        if (d->pool)
            kl_cu.pool_trim(d->pool, 0);
        r = try_alloc(d, size, &p);
    }
    leave();
    if (r == CU_OUT_OF_MEMORY)
        return kl_fail(KL_ERR_OOM, "cuda:%d: no %zu bytes of device memory", index, size);
    if (r != CU_OK)
        return kl_cu_fail(index, "allocating memory", r);
    *out = (void *)(uintptr_t)p;
    return KL_OK;
}

/* In the order of the stream: what was launched before may still use p. */
static void cuda_free(int index, void *p, size_t size)
{
    device *d;
    (void)size;
    if (!p || kl_cu_forked() || enter(index, &d) != KL_OK)
        return;
    if (d->pool)
        kl_cu.pool_release((cu_ptr)(uintptr_t)p, d->stream);
    else if (kl_cu.stream_sync(d->stream) == CU_OK)
        kl_cu.mem_free((cu_ptr)(uintptr_t)p);
    leave();
}

/* With the lock held. The next staging block, once its last copy is done. */
static kl_status take_stage(device *d, stage **out)
{
    stage *s = &d->stages[d->next_stage];
    d->next_stage = (d->next_stage + 1) % STAGES;
    if (!s->bytes)
        CU(d, "allocating a staging block", kl_cu.host_alloc(&s->bytes, STAGE_BYTES, 0));
    if (!s->done)
        CU(d, "making an event", kl_cu.event_new(&s->done, CU_EVENT_NO_TIMING));
    else
        CU(d, "waiting for a copy", kl_cu.event_sync(s->done));
    *out = s;
    return KL_OK;
}

/* src may be changed or freed as soon as this returns. */
static kl_status copy_in(device *d, cu_ptr dst, const void *src, size_t n)
{
    stage *s = NULL;
    if (n > STAGE_BYTES) {
        CU(d, "copying to it", kl_cu.copy_to_device(dst, src, n, d->stream));
        CU(d, "copying to it", kl_cu.stream_sync(d->stream));
        return KL_OK;
    }
    KL_TRY(take_stage(d, &s));
    memcpy(s->bytes, src, n);
    CU(d, "copying to it", kl_cu.copy_to_device(dst, s->bytes, n, d->stream));
    CU(d, "recording an event", kl_cu.event_record(s->done, d->stream));
    return KL_OK;
}

static kl_status copy_any(device *d, void *dst, const void *src, size_t n, bool src_host,
                          bool dst_host)
{
    cu_ptr to = (cu_ptr)(uintptr_t)dst, from = (cu_ptr)(uintptr_t)src;
    if (src_host)
        return copy_in(d, to, src, n);
    if (dst_host) {
        CU(d, "copying from it", kl_cu.copy_to_host(dst, from, n, d->stream));
        return wait(d);
    }
    CU(d, "copying on it", kl_cu.copy_on_device(to, from, n, d->stream));
    return KL_OK;
}

static kl_status cuda_copy(int index, void *dst, const void *src, size_t n, bool src_host,
                           bool dst_host)
{
    device *d;
    if (n == 0)
        return KL_OK;
    if (src_host && dst_host) {
        memmove(dst, src, n);
        return KL_OK;
    }
    KL_TRY(enter(index, &d));
    pthread_mutex_lock(&d->lock);
    kl_status s = copy_any(d, dst, src, n, src_host, dst_host);
    pthread_mutex_unlock(&d->lock);
    leave();
    KL_TICK(device_copies);
    KL_TICK_BY(device_copy_bytes, (int64_t)n);
    return s;
}

static kl_status cuda_fill(int index, void *dst, int byte, size_t n)
{
    device *d;
    if (n == 0)
        return KL_OK;
    KL_TRY(enter(index, &d));
    cu_result r = kl_cu.fill((cu_ptr)(uintptr_t)dst, (unsigned char)byte, n, d->stream);
    leave();
    return r == CU_OK ? KL_OK : kl_cu_fail(index, "filling memory", r);
}

/* ---- modules ---- */

/* PTX begins with ".version 9.0"; a cubin is an ELF file. */
static bool is_ptx(const char *code, size_t size)
{
    return size < 4 || code[0] != 0x7f;
}

static kl_status load_failed(device *d, cu_result r, const char *code, const char *log)
{
    int v = 0;
    kl_cu.version(&v);
    const char *isa = code ? strstr(code, ".version ") : NULL;
    if (log[0])
        kl_fail_log(log);
    kl_status s = kl_cu_fail(d->index, "loading code", r);
    kl_fail_more(": the code is %s%.*s for sm_%d%d, the driver is CUDA %d.%d's",
                 isa ? "PTX " : "a cubin", isa ? (int)strcspn(isa + 9, "\r\n") : 0,
                 isa ? isa + 9 : "", d->major, d->minor, v / 1000, v % 1000 / 10);
    return s == KL_ERR_OOM ? s : KL_ERR_DEVICE;
}

/* With the context current. PTX goes in with a NUL behind it. */
static kl_status load_image(device *d, const char *code, size_t size, cu_module *out)
{
    char log[4096] = "";
    char *text = NULL;
    if (is_ptx(code, size)) {
        text = kl_alloc(size + 1);
        if (!text)
            return kl_fail(KL_ERR_OOM, "cuda:%d: %zu bytes of PTX", d->index, size);
        memcpy(text, code, size);
        text[size] = 0;
    }
    int options[] = {CU_JIT_ERROR_LOG, CU_JIT_ERROR_LOG_SIZE};
    void *values[] = {log, (void *)(uintptr_t)sizeof log};
    cu_result r = kl_cu.module_load(out, text ? text : code, 2, options, values);
    kl_status s = r == CU_OK ? KL_OK : load_failed(d, r, text, log);
    kl_free(text, size + 1);
    return s;
}

static kl_status cuda_load(int index, const void *image, size_t size, kl_module **out)
{
    device *d = NULL;
    *out = NULL;
    KL_TRY(enter(index, &d));
    kl_module *m = kl_alloc_zeroed(sizeof *m);
    code *c = kl_alloc_zeroed(sizeof *c);
    kl_status s = m && c ? load_image(d, image, size, &c->handle)
                         : kl_fail(KL_ERR_OOM, "cuda:%d: a module", index);
    leave();
    if (s != KL_OK) {
        kl_free(m, sizeof *m);
        kl_free(c, sizeof *c);
        return s;
    }
    c->d = d;
    pthread_mutex_init(&c->lock, NULL);
    *m = (kl_module){.refs = 1, .index = index, .ops = &kl_device_cuda, .impl = c};
    *out = m;
    return KL_OK;
}

static void cuda_unload(kl_module *m)
{
    device *d = NULL;
    code *c = m->impl;
    if (!kl_cu_forked() && enter(m->index, &d) == KL_OK) {
        kl_cu.stream_sync(d->stream); /* its kernels may still run */
        kl_cu.module_unload(c->handle);
        leave();
    }
    while (c->entries) {
        entry *e = c->entries;
        c->entries = e->next;
        kl_free(e, sizeof *e + strlen(e->name) + 1);
    }
    pthread_mutex_destroy(&c->lock);
    kl_free(c, sizeof *c);
    kl_free(m, sizeof *m);
}

/* "head.0.1" is head_0_1 in CUDA C. */
static entry *new_entry(const char *name)
{
    size_t n = strlen(name);
    entry *e = kl_alloc_zeroed(sizeof *e + n + 1);
    for (size_t i = 0; e && i < n; i++)
        e->name[i] = name[i] == '.' ? '_' : name[i];
    return e;
}

static bool same_name(const char *c_name, const char *name)
{
    while (*name && *c_name == (*name == '.' ? '_' : *name))
        c_name++, name++;
    return *c_name == *name;
}

/* With the lock held: a kernel not asked for before. */
static entry *find_function(code *c, const char *name)
{
    device *d = NULL;
    entry *e = new_entry(name);
    cu_result r = CU_NOT_FOUND;
    if (e && enter(c->d->index, &d) == KL_OK) {
        r = kl_cu.module_function(&e->function, c->handle, e->name);
        leave();
    }
    if (r != CU_OK) {
        kl_free(e, e ? sizeof *e + strlen(name) + 1 : 0);
        return NULL;
    }
    e->shared = 48 << 10;
    e->next = c->entries;
    c->entries = e;
    return e;
}

static void *cuda_symbol(kl_module *m, const char *name)
{
    code *c = m->impl;
    pthread_mutex_lock(&c->lock);
    entry *e = c->entries;
    while (e && !same_name(e->name, name))
        e = e->next;
    if (!e)
        e = find_function(c, name);
    pthread_mutex_unlock(&c->lock);
    return e;
}

/* ---- launch ---- */

static kl_status check_launch(int index, const entry *e, int nparams,
                              const kl_phase_dims *dims)
{
    if (dims->workers > INT32_MAX)
        return kl_fail(KL_ERR_SHAPE, "cuda:%d: %s: %lld blocks, a launch has at most %d",
                       index, e->name, (long long)dims->workers, INT32_MAX);
    if (nparams > MAX_PARAMS)
        return kl_fail(KL_ERR_UNSUPPORTED, "cuda:%d: %s: %d arguments, CUDA takes %d",
                       index, e->name, nparams, MAX_PARAMS);
    if (dims->lane < 1 || dims->group < 1 || dims->lane > 1024 / dims->group)
        return kl_fail(KL_ERR_ARG, "cuda:%d: %s: a block of %d x %d threads", index,
                       e->name, dims->lane, dims->group);
    return KL_OK;
}

/* More than 48 KiB of dynamic shared memory must be asked for, once a kernel. */
static kl_status allow_shared(device *d, entry *e, int64_t bytes)
{
    if (bytes <= __atomic_load_n(&e->shared, __ATOMIC_RELAXED))
        return KL_OK;
    cu_result r =
        bytes > INT32_MAX
            ? CU_INVALID_VALUE
            : kl_cu.func_set(e->function, CU_FUNC_MAX_DYNAMIC_SHARED, (int)bytes);
    if (r != CU_OK) {
        kl_status s = kl_cu_fail(d->index, e->name, r);
        kl_fail_more(": %lld bytes of shared memory", (long long)bytes);
        return s;
    }
    __atomic_store_n(&e->shared, bytes, __ATOMIC_RELAXED);
    return KL_OK;
}

static kl_status launch_in(device *d, entry *e, const kl_args *args, int nbufs, int ndims,
                           const kl_phase_dims *dims)
{
    cu_ptr word;
    void *params[MAX_PARAMS];
    KL_TRY(allow_shared(d, e, dims->shared));
    KL_TRY(word_for(d, args->error, &word));
    for (int i = 0; i < nbufs; i++)
        params[i] = (void *)&args->bufs[i];
    for (int i = 0; i < ndims; i++)
        params[nbufs + i] = (void *)&args->dims[i];
    params[nbufs + ndims] = &word;
    CU(d, e->name,
       kl_cu.launch(e->function, (unsigned)dims->workers, 1, 1, (unsigned)dims->lane,
                    (unsigned)dims->group, 1, (unsigned)dims->shared, d->stream, params,
                    NULL));
    return KL_OK;
}

static kl_status cuda_launch(int index, void *kernel, const kl_args *args, int nbufs,
                             int ndims, const kl_phase_dims *dims)
{
    device *d;
    entry *e = kernel;
    if (dims->workers <= 0)
        return KL_OK;
    KL_TRY(check_launch(index, e, nbufs + ndims + 1, dims));
    KL_TRY(enter(index, &d));
    kl_status s = launch_in(d, e, args, nbufs, ndims, dims);
    leave();
    return s;
}

static kl_status cuda_describe(int index, char *name, size_t cap)
{
    device *d = NULL;
    KL_TRY(find_device(index, &d));
    CU(d, "asking for its name", kl_cu.device_name(name, (int)cap, d->id));
    return KL_OK;
}

const kl_device_ops kl_device_cuda = {
    .name = "cuda",
    .count = cuda_count,
    .alloc = cuda_alloc,
    .free = cuda_free,
    .copy = cuda_copy,
    .fill = cuda_fill,
    .load = cuda_load,
    .unload = cuda_unload,
    .symbol = cuda_symbol,
    .launch = cuda_launch,
    .sync = cuda_sync,
    .describe = cuda_describe,
};
