/* device_cpu.c: the host as a device.
 *
 * Its memory is kl_alloc's, its copies are memcpy, its modules are loaded objects, and a
 * launch is kl_parallel_for over the phase's work items:
 *
 *   launch(entry, args, workers 37, grain 4)  ->  entry(args, 0, 4, worker 0), ... on the
 * pool
 *
 * Everything is done when a call returns, so sync has nothing to wait for. */
#include "runtime.h"

static int cpu_count(void)
{
    return 1;
}

static kl_status cpu_alloc(int index, size_t size, void **out)
{
    (void)index;
    *out = kl_alloc(size);
    return *out ? KL_OK : kl_fail(KL_ERR_OOM, "%zu bytes", size);
}

static void cpu_free(int index, void *p, size_t size)
{
    (void)index;
    kl_free(p, size);
}

static kl_status cpu_copy(int index, void *dst, const void *src, size_t n, bool src_host,
                          bool dst_host)
{
    (void)index, (void)src_host, (void)dst_host;
    memmove(dst, src, n);
    return KL_OK;
}

static kl_status cpu_fill(int index, void *dst, int byte, size_t n)
{
    (void)index;
    memset(dst, byte, n);
    return KL_OK;
}

static kl_status cpu_load(int index, const void *code, size_t size, kl_module **out)
{
    *out = NULL;
    kl_module *m = kl_alloc_zeroed(sizeof *m);
    if (!m)
        return kl_fail(KL_ERR_OOM, "a module");
    kl_code *c;
    kl_status s = kl_code_load(code, size, &c);
    if (s != KL_OK) {
        kl_free(m, sizeof *m);
        return s;
    }
    *m = (kl_module){.refs = 1, .ops = &kl_device_cpu, .index = index, .impl = c};
    *out = m;
    return KL_OK;
}

static void cpu_unload(kl_module *m)
{
    if (!m)
        return;
    kl_code_free(m->impl);
    kl_free(m, sizeof *m);
}

static void *cpu_symbol(kl_module *m, const char *name)
{
    return kl_code_symbol(m->impl, name);
}

typedef struct launch {
    kl_phase_fn fn;
    const kl_args *args;
} launch;

static void run_items(void *ctx, int64_t begin, int64_t end, int64_t worker)
{
    const launch *l = ctx;
    l->fn(l->args, begin, end, worker);
}

static kl_status cpu_launch(int index, void *entry, const kl_args *args, int nbufs,
                            int ndims, const kl_phase_dims *dims)
{
    (void)index, (void)nbufs, (void)ndims;
    launch l = {.args = args};
    memcpy(&l.fn, &entry,
           sizeof l.fn); /* ISO C has no cast from object to function pointer */
    kl_parallel_for(dims->workers, dims->grain, run_items, &l);
    return KL_OK;
}

static kl_status cpu_sync(int index)
{
    (void)index;
    return KL_OK;
}

/* The brand string as /proc/cpuinfo has it; "CPU" where there is none. */
static kl_status cpu_describe(int index, char *name, size_t cap)
{
    (void)index;
    snprintf(name, cap, "CPU");
    FILE *f = fopen("/proc/cpuinfo", "re");
    char line[256];
    while (f && fgets(line, sizeof line, f)) {
        char *value = strstr(line, ": ");
        if (strncmp(line, "model name", 10) != 0 || !value)
            continue;
        value[strcspn(value, "\n")] = 0;
        snprintf(name, cap, "%s", value + 2);
        break;
    }
    if (f)
        fclose(f);
    return KL_OK;
}

const kl_device_ops kl_device_cpu = {
    .name = "cpu",
    .count = cpu_count,
    .alloc = cpu_alloc,
    .free = cpu_free,
    .copy = cpu_copy,
    .fill = cpu_fill,
    .load = cpu_load,
    .unload = cpu_unload,
    .symbol = cpu_symbol,
    .launch = cpu_launch,
    .sync = cpu_sync,
    .describe = cpu_describe,
};
