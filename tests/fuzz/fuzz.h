/* fuzz.h: random programs through every way of running them.
 *
 *   gen.c     a seed -> a graph
 *   cases.c   a graph's text, its inputs' data, its oracle's outputs
 *   runs.c    the same through passes and loops, through passes and LLVM or CUDA
 *   shrink.c  a failing text -> a smaller one that fails alike
 *   graphs.c  the driver: many seeds, in processes of their own
 *   sources.c the same as C files
 *
 * A case is its text and a number: extents' symbols and all data follow from both, so the
 * file that a failure leaves is the whole of it. */
#ifndef KL_FUZZ_H
#define KL_FUZZ_H

#include "codegen/codegen.h"
#include "passes/passes.h"

static inline uint64_t draw(uint64_t *s) /* splitmix64 */
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}
static inline int64_t below(uint64_t *s, int64_t n)
{
    return n <= 0 ? 0 : (int64_t)(draw(s) % (uint64_t)n);
}

enum { MAX_PORTS = 16, MAX_SYMS = 8 };

/* ---- gen.c ---- */
kl_graph *fuzz_graph(kl_arena *a, uint64_t seed);
/* The value of symbol i for a data seed, within its bounds. */
int64_t fuzz_symbol(const kl_dims *d, int i, uint64_t seed);

/* ---- cases.c ---- */
typedef struct guarded { /* elements between pages that may not be touched */
    char *pages;
    size_t size;
    kl_buffer view; /* of the memory below; strided where the graph's input is */
    kl_memory memory;
    char *at; /* first byte of the elements, and how many */
    size_t bytes;
} guarded;
/* Memory for elements lo..hi (one past) of a dtype; they end (or begin) at a page
 * boundary. */
bool guarded_new(guarded *m, kl_dtype dt, int64_t lo, int64_t hi, bool at_end);
void guarded_free(guarded *m);

typedef struct testcase {
    kl_arena *arena;
    kl_graph *g; /* as parsed: passes get graphs of their own */
    const char *text;
    uint64_t seed;
    int64_t syms[MAX_SYMS];
    guarded in[MAX_PORTS];
    kl_buffer want[MAX_PORTS];
    bool faults;  /* the oracle met an index out of range */
    int64_t work; /* elements of all nodes */
} testcase;
/* False: not a case (the reason is in kl_error). */
bool case_open(testcase *c, const char *text, uint64_t seed);
void case_close(testcase *c);
void case_print(const kl_graph *g, kl_text *out);

/* ---- runs.c ---- */
typedef struct way { /* one way of compiling */
    const char *target;
    bool fuse_off;
    int64_t lanes, share; /* kl_unit's */
    bool bounds; /* machine code checks each of its loads and stores (KILN_DEBUG) */
} way;
typedef struct compiled {
    kl_arena *arena;
    kl_unit u;
} compiled;
bool way_compile(const testcase *c, const way *w, const char *name, compiled *out);
void way_close(compiled *u);
/* NULL, or what was wrong (kept in a buffer of the callee's). */
const char *run_on_loops(const testcase *c, const compiled *u);
/* On one thread its memory ends at pages that may not be touched, on more it begins. */
const char *run_on_cpu(const testcase *c, const compiled *u, kl_module *code,
                       int threads);
/* A C file's program and the scratch that it asks for, by arrays of its arguments. */
typedef int (*run_c_fn)(const int64_t *d, const void *const *port);
typedef int64_t (*bytes_c_fn)(const int64_t *d);
const char *run_on_c(const testcase *c, run_c_fn run, bytes_c_fn bytes);
/* broken: the device takes no more work in this process. */
const char *run_on_cuda(const testcase *c, const compiled *u, kl_module *code,
                        bool *broken);
/* Memory that kiln asks for from now on comes full of one odd byte. */
void poison_memory(void);
void set_bounds(bool on);

/* ---- shrink.c ---- */
typedef bool (*fails_fn)(void *ctx, const char *text);
/* The smallest text found that still fails; kl_free'd by kl_text_free. */
void shrink(const char *text, fails_fn fails, void *ctx, kl_text *out);

#endif
