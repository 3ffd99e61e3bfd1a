/* llvm_run.h: what the tests of emitted code share: buffers that end or begin at a page
 * that may not be touched, random elements with many special ones, kernels built by hand,
 * compiled for a target and called. */
#ifndef KL_TEST_LLVM_RUN_H
#define KL_TEST_LLVM_RUN_H

#include "codegen/codegen.h"

#include <check.h>
#include <stdlib.h>
#include <sys/mman.h>

#ifdef __SANITIZE_ADDRESS__ /* which looks at the emitter: two levels take it everywhere */
static const char *const levels[] = {"x86-64-v2", "x86-64-v4"};
#else
static const char *const levels[] = {"x86-64-v2", "x86-64-v3", "x86-64-v4",
                                     "aarch64-neon"};
#endif

static inline bool runs_here(const kl_target *t)
{
    const kl_target *h = kl_target_host();
    return h && strcmp(h->triple, t->triple) == 0 && h->isa_bits >= t->isa_bits;
}

/* ---- buffers beside forbidden pages ---- */

enum { PAGE = 4096 };
typedef struct guarded {
    char *map, *p;
    size_t bytes, size;
} guarded;

static inline guarded guarded_new(size_t size, bool at_end)
{
    guarded g = {.size = size};
    size_t inside = (size + PAGE - 1) / PAGE * PAGE;
    inside = inside ? inside : PAGE;
    g.bytes = inside + 2 * PAGE;
    g.map = mmap(NULL, g.bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    ck_assert(g.map != MAP_FAILED);
    ck_assert(mprotect(g.map + PAGE, inside, PROT_READ | PROT_WRITE) == 0);
    memset(g.map + PAGE, 0xA5, inside);
    g.p = at_end ? g.map + PAGE + inside - size : g.map + PAGE;
    return g;
}

static inline void guarded_free(guarded *g)
{
    munmap(g->map, g->bytes);
}

static uint64_t seed = 88172645463325252u;
static inline uint64_t rnd(void)
{
    seed ^= seed << 13;
    seed ^= seed >> 7;
    seed ^= seed << 17;
    return seed;
}

/* ---- elements ---- */

static const double specials[] = {0.0,
                                  -0.0,
                                  1,
                                  -1,
                                  2,
                                  -2,
                                  3,
                                  7,
                                  -7,
                                  0.5,
                                  -0.5,
                                  1.5,
                                  2.5,
                                  -2.5,
                                  127,
                                  128,
                                  -128,
                                  -129,
                                  255,
                                  256,
                                  32767,
                                  32768,
                                  65504,
                                  65519,
                                  65520,
                                  65535,
                                  2147483647,
                                  2147483648.0,
                                  -2147483648.0,
                                  4294967295.0,
                                  4294967296.0,
                                  9223372036854775807.0,
                                  -9223372036854775808.0,
                                  18446744073709551615.0,
                                  1e-8,
                                  6e-8,
                                  3e-5,
                                  6.1e-5,
                                  1e-40,
                                  -1e-45,
                                  1e-310,
                                  3.4e38,
                                  -3.4e38,
                                  1e300,
                                  (double)INFINITY,
                                  -(double)INFINITY,
                                  (double)NAN,
                                  0.1,
                                  1.0 / 3};
static const uint64_t int_specials[] = {0,
                                        1,
                                        2,
                                        3,
                                        7,
                                        8,
                                        15,
                                        31,
                                        63,
                                        64,
                                        0x7f,
                                        0x80,
                                        0x81,
                                        0xff,
                                        0x7fff,
                                        0x8000,
                                        0xffff,
                                        0x7fffffff,
                                        0x80000000,
                                        0xffffffff,
                                        0x7fffffffffffffff,
                                        0x8000000000000000,
                                        0xffffffffffffffff,
                                        0x20000000000001,
                                        0x7ffffffffffffdff,
                                        0x8000000000000400,
                                        0x1000000000000081};

static inline uint64_t element(kl_dtype dt, uint64_t i)
{
    if (dt == KL_BOOL)
        return i & 1;
    if (kl_is_float(dt)) {
        if (i < KL_COUNT(specials))
            return kl_scalar_from(dt, specials[i]).bits;
        return i % 3 ? kl_scalar_from(dt, (double)(int64_t)rnd() * 0x1p-60).bits : rnd();
    }
    return i < KL_COUNT(int_specials) ? int_specials[i] : i % 2 ? rnd() : rnd() % 9 - 4;
}

static inline void put(void *p, kl_dtype dt, int64_t i, uint64_t bits)
{
    memcpy((char *)p + i * kl_dtypes[dt].size, &bits, kl_dtypes[dt].size);
}

static inline uint64_t get(const void *p, kl_dtype dt, int64_t i)
{
    uint64_t bits = 0;
    memcpy(&bits, (const char *)p + i * kl_dtypes[dt].size, kl_dtypes[dt].size);
    return bits;
}

static inline bool is_nan(kl_dtype dt, uint64_t bits)
{
    double v;
    if (!kl_is_float(dt))
        return false;
    v = kl_scalar_to_double(dt, (kl_scalar){.bits = bits});
    return v != v;
}

static inline bool same(kl_dtype dt, uint64_t a, uint64_t b)
{
    return a == b || (is_nan(dt, a) && is_nan(dt, b));
}

/* ---- compiling and running ---- */

static inline kl_code *compile(const kl_kernel *const *ks, int n, const kl_target *t)
{
    kl_text object = {0};
    kl_code *code = NULL;
    kl_status s = kl_codegen_cpu(ks, n, t, KL_LLVM_OBJECT, &object);
    ck_assert_msg(s == KL_OK, "%s: %s\n%s", t->name, kl_error(), kl_error_log());
    if (runs_here(t)) {
        s = kl_code_load(object.s, object.len, &code);
        ck_assert_msg(s == KL_OK, "%s", kl_error());
    }
    kl_text_free(&object);
    return code;
}

static inline void run(const kl_code *c, const char *name, void *const *bufs,
                       const int64_t *dims, int64_t workers, char *scratch,
                       int64_t *error)
{
    int64_t word[3] = {0};
    kl_args args = {
        .bufs = bufs, .dims = dims, .scratch = scratch, .error = error ? error : word};
    kl_phase_fn fn = NULL;
    void *p = kl_code_symbol(c, name);
    ck_assert_msg(p != NULL, "no %s", name);
    memcpy(&fn, &p, sizeof p);
    fn(&args, 0, workers, 0);
    if (!error)
        ck_assert_int_eq(word[0], 0);
}

/* A kernel with one phase, whose body is to be filled. */
static inline kl_kernel *kernel_new(kl_arena *a, kl_dims *d, const char *name,
                                    kl_dim workers, kl_build *b, uint32_t *worker)
{
    kl_kernel *k = kl_kernel_new(a, d, name);
    ck_assert(k != NULL);
    *worker = kl_x_newvar(k->x, "w", workers);
    k->phases = kl_arena_zeroed(a, 1, sizeof *k->phases);
    k->nphases = 1;
    k->phases[0] =
        (kl_phase){.var = *worker, .workers = workers, .grain = 1, .group = 1, .lane = 1};
    *b = (kl_build){k, &k->phases[0].body};
    return k;
}

static inline uint32_t operand(kl_kernel *k, const char *name, kl_dtype dt, kl_role role,
                               kl_dim count)
{
    return kl_kernel_operand(
        k, &(kl_operand){
               .name = name, .dtype = dt, .role = role, .count = count, .node = KL_NONE});
}

#endif
