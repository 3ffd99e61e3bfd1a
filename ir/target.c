/* target.c: the table of machines, and which row this machine is.
 *
 * The host is known by what its CPU and its operating system can do, never by its name:
 * the widest ISA level whose every feature is there, with the caches that the system
 * reports. A CPU that nobody has heard of yet is then as good as its features:
 *
 *   cpuid: AVX2, FMA, BMI2 ...; xgetbv: 256-bit state   ->   the row x86-64-v3
 *   cpuid or sysfs: 48 KiB, 1 MiB, 32 MiB                ->   l1, l2, l3 */
#include "ir/ir.h"

#include <pthread.h>
#include <stdlib.h>

static const kl_target rows[] = {
#define KL_CPU(nm, tr, c, ft, isa, vec, nregs, f, msk, gat, c1, c2, c3, fl, bw)          \
    {.name = nm,                                                                         \
     .kind = KL_TARGET_CPU,                                                              \
     .triple = tr,                                                                       \
     .cpu = c,                                                                           \
     .features = ft,                                                                     \
     .isa_bits = isa,                                                                    \
     .vector_bits = vec,                                                                 \
     .vector_regs = nregs,                                                               \
     .fma = f,                                                                           \
     .masked = msk,                                                                      \
     .gather = gat,                                                                      \
     .l1 = c1,                                                                           \
     .l2 = c2,                                                                           \
     .l3 = c3,                                                                           \
     .flops = fl,                                                                        \
     .bandwidth = bw},
#define KL_CUDA(nm, ar, sfx, sh, c1, c2, fl, bw, ...)                                    \
    {.name = nm,                                                                         \
     .kind = KL_TARGET_CUDA,                                                             \
     .arch = ar,                                                                         \
     .arch_suffix = sfx,                                                                 \
     .warp = 32,                                                                         \
     .max_threads = 1024,                                                                \
     .isa_bits = 128,                                                                    \
     .vector_bits = 128,                                                                 \
     .fma = true,                                                                        \
     .masked = true,                                                                     \
     .gather = true,                                                                     \
     .shared = sh,                                                                       \
     .regs = 255,                                                                        \
     .l1 = c1,                                                                           \
     .l2 = c2,                                                                           \
     .flops = fl,                                                                        \
     .bandwidth = bw,                                                                    \
     .nmatrix = sizeof((int16_t[][3])__VA_ARGS__) / sizeof(int16_t[3]),                  \
     .matrix = __VA_ARGS__},
#include "ir/target.def"
};

int kl_target_count(void)
{
    return (int)KL_COUNT(rows);
}
const kl_target *kl_target_at(int i)
{
    return &rows[i];
}

/* ---- this machine ---- */

enum { EAX, EBX, ECX, EDX };
#define EXT (KL_CPUID_EXT + 1)

/* The psABI's levels. */
const kl_cpu_level kl_cpu_levels[KL_CPU_LEVELS] = {
    {"x86-64-v2",
     0, /* sse3 ssse3 cx16 sse4.1 sse4.2 popcnt lahf */
     {{1, ECX, 0},
      {1, ECX, 9},
      {1, ECX, 13},
      {1, ECX, 19},
      {1, ECX, 20},
      {1, ECX, 23},
      {EXT, ECX, 0}}},
    {"x86-64-v3",
     0x6, /* fma movbe osxsave avx f16c, bmi1 avx2 bmi2, lzcnt */
     {{1, ECX, 12},
      {1, ECX, 22},
      {1, ECX, 27},
      {1, ECX, 28},
      {1, ECX, 29},
      {7, EBX, 3},
      {7, EBX, 5},
      {7, EBX, 8},
      {EXT, ECX, 5}}},
    {"x86-64-v4",
     0xe6, /* avx512 f dq cd bw vl */
     {{7, EBX, 16}, {7, EBX, 17}, {7, EBX, 28}, {7, EBX, 30}, {7, EBX, 31}}},
};

#if defined(__x86_64__)
#include <cpuid.h>

/* Asked once a leaf: in a virtual machine each question is a way out of it and back. */
static bool has_feature(kl_cpu_bit f)
{
    static struct {
        uint32_t leaf, r[4];
    } seen[4];
    size_t i = 0;
    while (seen[i].leaf && seen[i].leaf != f.leaf)
        i++;
    uint32_t *r = seen[i].r;
    if (!seen[i].leaf &&
        !__get_cpuid_count(f.leaf, 0, &r[EAX], &r[EBX], &r[ECX], &r[EDX]))
        memset(r, 0, sizeof seen[i].r);
    seen[i].leaf = f.leaf;
    return r[f.reg] >> f.bit & 1;
}

/* Register state that the operating system saves. */
static uint64_t saved_state(void)
{
    uint32_t lo, hi;
    __asm__ volatile("xgetbv" : "=a"(lo), "=d"(hi) : "c"(0));
    return (uint64_t)hi << 32 | lo;
}

static bool has_level(const kl_cpu_level *l)
{
    for (size_t i = 0; i < KL_COUNT(l->needs) && l->needs[i].leaf; i++)
        if (!has_feature(l->needs[i]))
            return false;
    return !l->state || (saved_state() & l->state) == l->state;
}

static const char *host_row(void)
{
    const char *row = NULL;
    for (size_t i = 0; i < KL_CPU_LEVELS && has_level(&kl_cpu_levels[i]); i++)
        row = kl_cpu_levels[i].row;
    return row;
}

/* The processor describes its caches one by one, in a leaf of its maker's; false: it does
 * not. A question costs 1 us, where the system's files cost 0.2 ms. */
static bool ask_caches(int64_t *const sizes[4])
{
    static const unsigned AMD = 0x1d, INTEL = 4; /* clang's functions give an int */
    unsigned last = (unsigned)__get_cpuid_max(0x80000000, NULL);
    bool amd = last >= 0x80000000u + AMD, any = false;
    if (!amd && (unsigned)__get_cpuid_max(0, NULL) < INTEL)
        return false;
    for (unsigned i = 0, level = 0; i < 8 && level != 3; i++) {
        unsigned a, b, c, d;
        __cpuid_count(amd ? 0x80000000u + AMD : INTEL, i, a, b, c, d);
        int64_t ways = (b >> 22) + 1, parts = (b >> 12 & 1023) + 1, line = (b & 4095) + 1;
        unsigned type = a & 31;
        level = a >> 5 & 7;
        if (type == 0)
            break;
        if (type == 2 || level < 1 || level > 3) /* instructions */
            continue;
        *sizes[level] = ways * parts * line * ((int64_t)c + 1);
        any = true;
    }
    return any;
}
#elif defined(__aarch64__)
static const char *host_row(void)
{
    return "aarch64-neon";
}
static bool ask_caches(int64_t *const sizes[4])
{
    (void)sizes;
    return false;
}
#else
static const char *host_row(void)
{
    return NULL;
}
static bool ask_caches(int64_t *const sizes[4])
{
    (void)sizes;
    return false;
}
#endif

/* One line of a file of cpu0's i-th cache; false when it is not there. */
static bool cache_fact(int i, const char *what, char *out, size_t cap)
{
    char path[96];
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu0/cache/index%d/%s", i, what);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    bool ok = fgets(out, (int)cap, f) != NULL;
    fclose(f);
    return ok;
}

/* The row's sizes stay where the system does not say. */
static void measure_caches(kl_target *t)
{
    int64_t *const sizes[] = {NULL, &t->l1, &t->l2, &t->l3};
    char level[32], type[32], size[32];
    if (ask_caches(sizes))
        return;
    for (int i = 0; cache_fact(i, "level", level, sizeof level); i++) {
        long n = strtol(level, NULL, 10);
        if (n < 1 || n > 3 || !cache_fact(i, "type", type, sizeof type) ||
            type[0] == 'I' || !cache_fact(i, "size", size, sizeof size))
            continue;
        char *unit;
        int64_t bytes = strtol(size, &unit, 10);
        bytes *= *unit == 'K' ? 1024 : *unit == 'M' ? 1024 * 1024 : 1;
        if (bytes > 0)
            *sizes[n] = bytes;
    }
}

static kl_target host;
static const char *host_isa;
static pthread_once_t host_once = PTHREAD_ONCE_INIT;

static const kl_target *row_named(const char *name)
{
    for (size_t i = 0; i < KL_COUNT(rows); i++)
        if (strcmp(rows[i].name, name) == 0)
            return &rows[i];
    return NULL;
}

static void find_host(void)
{
    host_isa = host_row();
    if (!host_isa)
        return;
    host = *row_named(host_isa);
    host.name = "host";
    measure_caches(&host);
}

const kl_target *kl_target_host(void)
{
    pthread_once(&host_once, find_host);
    if (host_isa)
        return &host;
    kl_fail(KL_ERR_UNSUPPORTED,
            "this CPU is below x86-64-v2 (SSE4.2, POPCNT) and not aarch64");
    return NULL;
}

/* ---- by name ---- */

static void list_names(char *out, size_t cap)
{
    size_t n = 0;
    out[0] = 0;
    for (size_t i = 0; i < KL_COUNT(rows) && n < cap; i++)
        n += (size_t)snprintf(out + n, cap - n, ", %s", rows[i].name);
}

const kl_target *kl_target_find(const char *name)
{
    if (strcmp(name, "host") == 0)
        return kl_target_host();
    const kl_target *t = row_named(name);
    if (t)
        return t;
    char names[512];
    list_names(names, sizeof names);
    kl_fail(KL_ERR_ARG, "no target '%s'; known are host%s", name, names);
    return NULL;
}
