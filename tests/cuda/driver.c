/* driver.c: the stand-in libcuda.so.1: the driver functions that kiln calls, and no
 * others.
 *
 * A stream is a queue. What is enqueued happens when somebody waits (or the queue is
 * long), so a result that is read before a wait is seen to be missing, as on a device. A
 * copy from ordinary host memory takes its bytes at once, one from pinned memory when it
 * happens: both as the driver may do. A module is a shared object that nvrtc.c made.
 *
 * It is strict: a context must be current, a pointer must be of the side it is said to
 * be, a range must lie in one live allocation, a module with work pending may not be
 * unloaded. A kernel's fault breaks the context: every later call gives the same error.
 * All live objects and copies are counted in kl_standin. STANDIN_POOLS=0 takes memory
 * pools away. */
#include "machine.h"

#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define API __attribute__((visibility("default"))) cu_result
#define MAX_PARAMS 512
#define MAX_PENDING 1024

struct CUctx_st {
    int users;
};
struct CUmemPoolHandle_st {
    uint64_t threshold;
};
struct CUmod_st {
    void *lib;
    const kl_host_module *module;
    const unsigned char *code, *code_end;
    struct CUfunc_st *functions;
};
struct CUfunc_st {
    struct CUfunc_st *next;
    cu_module module;
    const kl_host_entry *entry;
    int max_shared;
};
struct CUevent_st {
    cu_stream stream; /* where it was recorded and has not happened; NULL: done */
};

typedef enum work_kind {
    TO_DEVICE,
    TO_HOST,
    ON_DEVICE,
    FILL,
    LAUNCH,
    FREE,
    EVENT
} work_kind;
typedef struct work {
    struct work *next;
    work_kind kind;
    cu_ptr dst, src;
    void *host;   /* TO_DEVICE from pinned memory, TO_HOST */
    void *staged; /* TO_DEVICE from ordinary memory: its bytes, ours */
    size_t size;
    int byte;
    cu_event event;
    grid_launch launch;
    uint64_t values[]; /* the launch's parameters */
} work;
struct CUstream_st {
    work *first, **last;
};

typedef struct pinned {
    struct pinned *next;
    unsigned char *base;
    size_t size;
} pinned;

__attribute__((visibility("default"))) kl_standin_state kl_standin;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static bool started;
static cu_result broken; /* what a kernel did to the context */
static struct CUctx_st context;
static pinned *pins;
static _Thread_local cu_context stack[16];
static _Thread_local int depth;

/* Every function's frame: the lock, a driver that was started, a context that is current.
 */
#define BEGIN(needs_context)                                                             \
    pthread_mutex_lock(&lock);                                                           \
    cu_result r_ = !started ? CU_NOT_INITIALIZED                                         \
                   : (needs_context) && (!depth || !stack[depth - 1])                    \
                       ? CU_INVALID_CONTEXT                                              \
                   : (needs_context) ? broken                                            \
                                     : CU_OK;                                            \
    if (r_ != CU_OK)                                                                     \
    return leave(r_)
#define END(result) return leave(result)

static cu_result leave(cu_result r)
{
    pthread_mutex_unlock(&lock);
    return r;
}

/* ---- the driver and its device ---- */

static void forgive(void)
{
    broken = CU_OK;
}

API cuInit(unsigned flags)
{
    pthread_mutex_lock(&lock);
    started = flags == 0 && mem_open();
    kl_standin.forgive = forgive;
    return leave(started ? CU_OK : CU_INVALID_VALUE);
}

API cuDriverGetVersion(int *version)
{
    *version = 13000;
    return CU_OK;
}

static const struct {
    cu_result r;
    const char *name, *text;
} results[] = {
    {CU_OK, "CUDA_SUCCESS", "no error"},
    {CU_INVALID_VALUE, "CUDA_ERROR_INVALID_VALUE", "invalid argument"},
    {CU_OUT_OF_MEMORY, "CUDA_ERROR_OUT_OF_MEMORY", "out of memory"},
    {CU_NOT_INITIALIZED, "CUDA_ERROR_NOT_INITIALIZED", "initialization error"},
    {CU_INVALID_DEVICE, "CUDA_ERROR_INVALID_DEVICE", "invalid device ordinal"},
    {CU_INVALID_IMAGE, "CUDA_ERROR_INVALID_IMAGE", "device kernel image is invalid"},
    {CU_INVALID_CONTEXT, "CUDA_ERROR_INVALID_CONTEXT", "invalid device context"},
    {CU_INVALID_HANDLE, "CUDA_ERROR_INVALID_HANDLE", "invalid resource handle"},
    {CU_NOT_FOUND, "CUDA_ERROR_NOT_FOUND", "named symbol not found"},
    {CU_ILLEGAL_ADDRESS, "CUDA_ERROR_ILLEGAL_ADDRESS",
     NULL}, /* NULL: what the kernel did */
    {CU_LAUNCH_FAILED, "CUDA_ERROR_LAUNCH_FAILED", NULL},
};

API cuGetErrorName(cu_result r, const char **s)
{
    *s = NULL;
    for (size_t i = 0; i < KL_COUNT(results); i++)
        if (results[i].r == r)
            *s = results[i].name;
    return *s ? CU_OK : CU_INVALID_VALUE;
}

API cuGetErrorString(cu_result r, const char **s)
{
    *s = NULL;
    for (size_t i = 0; i < KL_COUNT(results); i++)
        if (results[i].r == r)
            *s = results[i].text ? results[i].text : kl_standin.message;
    return *s ? CU_OK : CU_INVALID_VALUE;
}

API cuDeviceGetCount(int *n)
{
    BEGIN(false);
    *n = 1;
    END(CU_OK);
}

API cuDeviceGet(cu_device *d, int ordinal)
{
    BEGIN(false);
    *d = 0;
    END(ordinal == 0 ? CU_OK : CU_INVALID_DEVICE);
}

API cuDeviceGetName(char *name, int cap, cu_device d)
{
    BEGIN(false);
    snprintf(name, (size_t)cap, "kiln stand-in");
    END(d == 0 ? CU_OK : CU_INVALID_DEVICE);
}

API cuDeviceGetAttribute(int *value, int attr, cu_device d)
{
    BEGIN(false);
    const char *pools = getenv("STANDIN_POOLS");
    switch (attr) {
    case CU_ATTR_COMPUTE_MAJOR:
        *value = 9;
        break;
    case CU_ATTR_COMPUTE_MINOR:
        *value = 0;
        break;
    case CU_ATTR_SHARED_OPTIN:
        *value = 227 << 10;
        break;
    case CU_ATTR_MEMORY_POOLS:
        *value = !pools || strcmp(pools, "0") != 0;
        break;
    default:
        END(CU_INVALID_VALUE);
    }
    END(d == 0 ? CU_OK : CU_INVALID_DEVICE);
}

API cuDeviceTotalMem_v2(size_t *bytes, cu_device d)
{
    BEGIN(false);
    *bytes = mem_total();
    END(d == 0 ? CU_OK : CU_INVALID_DEVICE);
}

API cuDevicePrimaryCtxRetain(cu_context *ctx, cu_device d)
{
    BEGIN(false);
    if (d != 0)
        END(CU_INVALID_DEVICE);
    kl_standin.contexts += context.users++ == 0;
    *ctx = &context;
    END(CU_OK);
}

API cuDevicePrimaryCtxRelease_v2(cu_device d)
{
    BEGIN(false);
    if (d != 0 || context.users == 0)
        END(CU_INVALID_CONTEXT);
    kl_standin.contexts -= --context.users == 0;
    END(CU_OK);
}

API cuCtxPushCurrent_v2(cu_context ctx)
{
    BEGIN(false);
    if (ctx != &context || !context.users || depth == (int)KL_COUNT(stack))
        END(CU_INVALID_CONTEXT);
    stack[depth++] = ctx;
    END(CU_OK);
}

API cuCtxPopCurrent_v2(cu_context *ctx)
{
    BEGIN(false);
    if (depth == 0)
        END(CU_INVALID_CONTEXT);
    *ctx = stack[--depth];
    END(CU_OK);
}

/* ---- work ---- */

static bool is_live(cu_ptr p, size_t n)
{
    return mem_find((void *)(uintptr_t)p, n) != NULL;
}

static cu_result run_launch(work *w)
{
    void *params[MAX_PARAMS];
    for (int i = 0; i < w->launch.entry->nparams; i++)
        params[i] = &w->values[i];
    w->launch.params = params;
    mem_unlock(true);
    cu_result r = grid_run(&w->launch);
    mem_unlock(false);
    return r;
}

static cu_result free_later(work *w)
{
    mem_range *r = mem_at(w->dst);
    if (r)
        mem_free(r);
    return r ? CU_OK : CU_INVALID_VALUE;
}

static cu_result vanished(void)
{
    snprintf(kl_standin.message, sizeof kl_standin.message,
             "memory was freed before a copy or fill that uses it happened");
    return CU_ILLEGAL_ADDRESS;
}

static cu_result perform(work *w)
{
    bool from = w->kind == TO_HOST || w->kind == ON_DEVICE;
    bool to = w->kind == TO_DEVICE || w->kind == ON_DEVICE || w->kind == FILL;
    if ((to && !is_live(w->dst, w->size)) || (from && !is_live(w->src, w->size)))
        return vanished();
    switch (w->kind) {
    case TO_DEVICE:
        memcpy(mem_alias(w->dst), w->staged ? w->staged : w->host, w->size);
        return CU_OK;
    case TO_HOST:
        memcpy(w->host, mem_alias(w->src), w->size);
        return CU_OK;
    case ON_DEVICE:
        memmove(mem_alias(w->dst), mem_alias(w->src), w->size);
        return CU_OK;
    case FILL:
        memset(mem_alias(w->dst), w->byte, w->size);
        return CU_OK;
    case LAUNCH:
        return run_launch(w);
    case FREE:
        return free_later(w);
    case EVENT:
        w->event->stream = NULL;
        return CU_OK;
    }
    return CU_INVALID_VALUE;
}

/* All that is enqueued happens; after a fault only frees and events do. */
static cu_result drain(cu_stream s)
{
    while (s->first) {
        work *w = s->first;
        s->first = w->next;
        if (!s->first)
            s->last = &s->first;
        if (broken == CU_OK || w->kind == FREE || w->kind == EVENT) {
            cu_result r = perform(w);
            broken = broken == CU_OK ? r : broken;
        }
        kl_standin.pending--;
        free(w->staged);
        free(w);
    }
    return broken;
}

static work *new_work(work_kind kind, size_t values)
{
    work *w = calloc(1, sizeof *w + values * sizeof *w->values);
    if (w)
        w->kind = kind;
    return w;
}

static cu_result enqueue(cu_stream s, work *w)
{
    if (!w)
        return CU_OUT_OF_MEMORY;
    *s->last = w;
    s->last = &w->next;
    kl_standin.pending++;
    return kl_standin.pending > MAX_PENDING ? drain(s) : CU_OK;
}

/* ---- streams and events ---- */

API cuStreamCreate(cu_stream *s, unsigned flags)
{
    BEGIN(true);
    (void)flags;
    *s = calloc(1, sizeof **s);
    if (!*s)
        END(CU_OUT_OF_MEMORY);
    (*s)->last = &(*s)->first;
    kl_standin.streams++;
    END(CU_OK);
}

API cuStreamDestroy_v2(cu_stream s)
{
    pthread_mutex_lock(&lock);
    drain(s);
    free(s);
    kl_standin.streams--;
    return leave(CU_OK);
}

API cuStreamSynchronize(cu_stream s)
{
    BEGIN(true);
    kl_standin.waits++;
    END(drain(s));
}

API cuEventCreate(cu_event *e, unsigned flags)
{
    BEGIN(true);
    (void)flags;
    *e = calloc(1, sizeof **e);
    kl_standin.events += *e != NULL;
    END(*e ? CU_OK : CU_OUT_OF_MEMORY);
}

API cuEventRecord(cu_event e, cu_stream s)
{
    BEGIN(true);
    work *w = new_work(EVENT, 0);
    if (w) {
        w->event = e;
        e->stream = s;
    }
    END(enqueue(s, w));
}

API cuEventSynchronize(cu_event e)
{
    BEGIN(true);
    END(e->stream ? drain(e->stream) : CU_OK);
}

API cuEventDestroy_v2(cu_event e)
{
    pthread_mutex_lock(&lock);
    if (e->stream)
        drain(e->stream);
    free(e);
    kl_standin.events--;
    return leave(CU_OK);
}

/* ---- memory ---- */

API cuMemAlloc_v2(cu_ptr *p, size_t size)
{
    BEGIN(true);
    END(mem_alloc(size, p));
}

API cuMemFree_v2(cu_ptr p)
{
    pthread_mutex_lock(&lock);
    mem_range *r = mem_at(p);
    if (!r || r->freed)
        return leave(CU_INVALID_VALUE);
    mem_free(r);
    return leave(CU_OK);
}

API cuMemHostAlloc(void **p, size_t size, unsigned flags)
{
    BEGIN(true);
    (void)flags;
    pinned *pin = calloc(1, sizeof *pin);
    *p = calloc(1, size);
    if (!pin || !*p) {
        free(pin);
        free(*p);
        END(CU_OUT_OF_MEMORY);
    }
    *pin = (pinned){pins, *p, size};
    pins = pin;
    kl_standin.host_allocations++;
    END(CU_OK);
}

API cuMemFreeHost(void *p)
{
    pthread_mutex_lock(&lock);
    for (pinned **at = &pins; *at; at = &(*at)->next)
        if ((*at)->base == p) {
            pinned *pin = *at;
            *at = pin->next;
            free(pin->base);
            free(pin);
            kl_standin.host_allocations--;
            return leave(CU_OK);
        }
    return leave(CU_INVALID_VALUE);
}

static bool is_pinned(const void *p)
{
    const unsigned char *c = p;
    for (const pinned *pin = pins; pin; pin = pin->next)
        if (c >= pin->base && c < pin->base + pin->size)
            return true;
    return false;
}

API cuMemPoolCreate(cu_pool *pool, const cu_pool_props *props)
{
    BEGIN(false);
    if (props->alloc_type != 1 || props->location_type != 1 || props->location_id != 0)
        END(CU_INVALID_VALUE);
    *pool = calloc(1, sizeof **pool);
    kl_standin.pools += *pool != NULL;
    END(*pool ? CU_OK : CU_OUT_OF_MEMORY);
}

API cuMemPoolDestroy(cu_pool pool)
{
    pthread_mutex_lock(&lock);
    free(pool);
    kl_standin.pools--;
    return leave(CU_OK);
}

API cuMemPoolSetAttribute(cu_pool pool, int attr, void *value)
{
    BEGIN(false);
    if (attr != CU_POOL_RELEASE_THRESHOLD)
        END(CU_INVALID_VALUE);
    memcpy(&pool->threshold, value, sizeof pool->threshold);
    END(CU_OK);
}

API cuMemPoolTrimTo(cu_pool pool, size_t keep)
{
    BEGIN(false);
    (void)pool, (void)keep;
    END(CU_OK);
}

API cuMemAllocFromPoolAsync(cu_ptr *p, size_t size, cu_pool pool, cu_stream s)
{
    BEGIN(true);
    if (!pool || !s)
        END(CU_INVALID_HANDLE);
    END(mem_alloc(size, p));
}

API cuMemFreeAsync(cu_ptr p, cu_stream s)
{
    BEGIN(true);
    mem_range *r = mem_at(p);
    if (!r || r->freed)
        END(CU_INVALID_VALUE);
    r->freed = true;
    work *w = new_work(FREE, 0);
    if (w)
        w->dst = p;
    END(enqueue(s, w));
}

/* ---- copies ---- */

API cuMemcpyHtoDAsync_v2(cu_ptr dst, const void *src, size_t n, cu_stream s)
{
    BEGIN(true);
    if (!is_live(dst, n) || mem_is_device(src))
        END(CU_INVALID_VALUE);
    work *w = new_work(TO_DEVICE, 0);
    if (!w)
        END(CU_OUT_OF_MEMORY);
    w->dst = dst;
    w->size = n;
    w->host = (void *)(uintptr_t)src;
    if (!is_pinned(src) && !(w->staged = malloc(n + 1))) {
        free(w);
        END(CU_OUT_OF_MEMORY);
    }
    if (w->staged)
        memcpy(w->staged, src, n);
    kl_standin.to_device++;
    END(enqueue(s, w));
}

API cuMemcpyDtoHAsync_v2(void *dst, cu_ptr src, size_t n, cu_stream s)
{
    BEGIN(true);
    if (!is_live(src, n) || mem_is_device(dst))
        END(CU_INVALID_VALUE);
    work *w = new_work(TO_HOST, 0);
    if (w) {
        w->host = dst;
        w->src = src;
        w->size = n;
    }
    kl_standin.to_host++;
    END(enqueue(s, w));
}

API cuMemcpyDtoDAsync_v2(cu_ptr dst, cu_ptr src, size_t n, cu_stream s)
{
    BEGIN(true);
    if (!is_live(src, n) || !is_live(dst, n))
        END(CU_INVALID_VALUE);
    work *w = new_work(ON_DEVICE, 0);
    if (w) {
        w->dst = dst;
        w->src = src;
        w->size = n;
    }
    kl_standin.on_device++;
    END(enqueue(s, w));
}

API cuMemsetD8Async(cu_ptr dst, unsigned char byte, size_t n, cu_stream s)
{
    BEGIN(true);
    if (!is_live(dst, n))
        END(CU_INVALID_VALUE);
    work *w = new_work(FILL, 0);
    if (w) {
        w->dst = dst;
        w->byte = byte;
        w->size = n;
    }
    kl_standin.fills++;
    END(enqueue(s, w));
}

/* ---- modules ---- */

static unsigned hex(char c)
{
    return (unsigned)(c <= '9' ? c - '0' : c - 'a' + 10);
}

/* The shared object in a cubin or a PTX of nvrtc.c's: its bytes go to the file. */
static bool write_image(const char *image, FILE *f)
{
    const char *head = ".version 9.0\n.target stand-in\n";
    if (memcmp(image, "\177ELF", 4) == 0) {
        ElfW(Ehdr) e;
        memcpy(&e, image, sizeof e);
        size_t size = e.e_shoff + (size_t)e.e_shnum * e.e_shentsize;
        return fwrite(image, 1, size, f) == size;
    }
    if (strncmp(image, head, strlen(head)) != 0)
        return false;
    for (const char *p = image + strlen(head); p[0] && p[1]; p += 2)
        fputc((int)(hex(p[0]) << 4 | hex(p[1])), f);
    return true;
}

static void *open_image(const char *image)
{
    const char *tmp = getenv("TMPDIR");
    char path[256];
    snprintf(path, sizeof path, "%.200s/kl-module-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    int fd = mkstemp(path);
    FILE *f = fd >= 0 ? fdopen(fd, "wb") : NULL;
    if (!f)
        return NULL;
    bool ok = write_image(image, f);
    ok = fclose(f) == 0 && ok;
    void *lib = ok ? dlopen(path, RTLD_NOW | RTLD_LOCAL) : NULL;
    unlink(path);
    return lib;
}

static int find_code(struct dl_phdr_info *info, size_t size, void *data)
{
    cu_module m = data;
    struct link_map *map;
    (void)size;
    if (dlinfo(m->lib, RTLD_DI_LINKMAP, &map) != 0 || info->dlpi_addr != map->l_addr)
        return 0;
    m->code = (unsigned char *)info->dlpi_addr;
    for (int i = 0; i < info->dlpi_phnum; i++)
        if (info->dlpi_phdr[i].p_type == PT_LOAD)
            m->code_end = KL_MAX(m->code_end, m->code + info->dlpi_phdr[i].p_vaddr +
                                                  info->dlpi_phdr[i].p_memsz);
    return 1;
}

static void write_log(unsigned n, const int *options, void **values, const char *s)
{
    char *log = NULL;
    size_t cap = 0;
    for (unsigned i = 0; i < n; i++) {
        if (options[i] == CU_JIT_ERROR_LOG)
            log = values[i];
        if (options[i] == CU_JIT_ERROR_LOG_SIZE)
            cap = (uintptr_t)values[i];
    }
    if (log && cap)
        snprintf(log, cap, "%s", s);
}

API cuModuleLoadDataEx(cu_module *out, const void *image, unsigned n, int *options,
                       void **values)
{
    BEGIN(true);
    cu_module m = calloc(1, sizeof *m);
    m->lib = m ? open_image(image) : NULL;
    m->module = m && m->lib ? dlsym(m->lib, "kl_standin_module") : NULL;
    if (!m || !m->module) {
        write_log(n, options, values, "not made by the stand-in libnvrtc.so");
        if (m && m->lib)
            dlclose(m->lib);
        free(m);
        END(CU_INVALID_IMAGE);
    }
    dl_iterate_phdr(find_code, m);
    kl_standin.modules++;
    *out = m;
    END(CU_OK);
}

API cuModuleUnload(cu_module m)
{
    pthread_mutex_lock(&lock);
    if (kl_standin.pending && broken == CU_OK) {
        snprintf(kl_standin.message, sizeof kl_standin.message,
                 "a module was unloaded while work was pending");
        return leave(broken = CU_LAUNCH_FAILED);
    }
    while (m->functions) {
        cu_function f = m->functions;
        m->functions = f->next;
        free(f);
    }
    dlclose(m->lib);
    free(m);
    kl_standin.modules--;
    return leave(CU_OK);
}

API cuModuleGetFunction(cu_function *out, cu_module m, const char *name)
{
    BEGIN(true);
    const kl_host_entry *e = m->module->entries;
    while (e->name && strcmp(e->name, name) != 0)
        e++;
    if (!e->name)
        END(CU_NOT_FOUND);
    cu_function f = calloc(1, sizeof *f);
    if (!f)
        END(CU_OUT_OF_MEMORY);
    *f = (struct CUfunc_st){m->functions, m, e, 48 << 10};
    m->functions = f;
    *out = f;
    END(CU_OK);
}

API cuFuncSetAttribute(cu_function f, int attr, int value)
{
    BEGIN(true);
    if (attr != CU_FUNC_MAX_DYNAMIC_SHARED || value < 0 || value > 227 << 10)
        END(CU_INVALID_VALUE);
    f->max_shared = value;
    END(CU_OK);
}

/* ---- launches ---- */

API cuLaunchKernel(cu_function f, unsigned gx, unsigned gy, unsigned gz, unsigned bx,
                   unsigned by, unsigned bz, unsigned shared, cu_stream s, void **params,
                   void **extra)
{
    BEGIN(true);
    uint64_t n = (uint64_t)bx * by * bz, most = 1024;
    if (f->entry->max_threads)
        most = (uint64_t)f->entry->max_threads;
    if (gx == 0 || gx > INT32_MAX || gy != 1 || gz != 1 || n == 0 || n > most || extra ||
        shared > (unsigned)f->max_shared || f->entry->nparams > MAX_PARAMS)
        END(CU_INVALID_VALUE);
    work *w = new_work(LAUNCH, (size_t)f->entry->nparams);
    if (!w)
        END(CU_OUT_OF_MEMORY);
    w->launch = (grid_launch){.module = f->module->module,
                              .entry = f->entry,
                              .code = f->module->code,
                              .code_end = f->module->code_end,
                              .grid = {gx, gy, gz},
                              .block = {bx, by, bz},
                              .shared = shared};
    for (int i = 0; i < f->entry->nparams; i++)
        memcpy(&w->values[i], params[i], sizeof w->values[i]);
    kl_standin.launches++;
    END(enqueue(s, w));
}

/* Each function above has the parameters that cuda_driver.h says. */
#define ROW(field, symbol, params) .field = symbol,
HIDDEN const kl_cu_table kl_standin_table = {KL_CU_NEEDED(ROW) KL_CU_POOLS(ROW).pools =
                                                 true};
