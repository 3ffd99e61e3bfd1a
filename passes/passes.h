/* passes.h: graph to graph, graph to kernels, kernels to loops, kernels to a plan. One pass is one
 * file with one entry; their order stands in pipeline.c alone. Knows no LLVM, CUDA or Python.
 *
 *   graph -> graph     autodiff.c derive.c simplify.c inline.c complex.c
 *   graph -> kernels   fuse.c (groups) build.c (a group's algorithm) index.c (movement to index expressions)
 *   kernel -> loops    schedule.c (decisions) lower.c lower_*.c (the loops), one file a class
 *   kernels -> plan    plan.c
 *   the recipe         pipeline.c */
#ifndef KL_PASSES_H
#define KL_PASSES_H

#include "ir/ir.h"

/* What a whole compile works on. */
typedef struct kl_unit {
    kl_arena *arena;
    const kl_target *target;
    kl_graph *graph;
    bool fuse_off;      /* one kernel a node: for tests and unfused comparison */
    bool fast;          /* leave "one number" (DESIGN.md) */
    int64_t lanes;      /* tests: force a vector width in lanes; 0: the target's */
    kl_kernel **kernels; /* after fuse: in launch order */
    int nkernels;
    kl_program *program; /* after plan */
} kl_unit;

/* ---- pipeline.c: the recipe --------------------------------------------------------------- */

typedef enum kl_level { KL_LEVEL_GRAPH, KL_LEVEL_KERNEL, KL_LEVEL_LOOPS, KL_LEVEL_PLAN } kl_level;
typedef struct kl_pass {
    const char *name;
    kl_status (*fn)(kl_unit *u);
    kl_level in, out; /* verified before and after under KILN_VERIFY */
} kl_pass;
extern const kl_pass kl_pipeline[];
extern const int kl_pipeline_count;
/* Run passes first..last (names; NULL: all), dumping and verifying as the environment says. */
kl_status kl_pipeline_run(kl_unit *u, const char *first, const char *last);

/* ---- graph to graph ------------------------------------------------------------------------- */

kl_status kl_pass_autodiff(kl_unit *u); /* grad and jvp nodes are gone */
kl_status kl_pass_inline(kl_unit *u);   /* function nodes are gone, unless the target schedules them whole */
kl_status kl_pass_complex(kl_unit *u);  /* complex values are pairs of real ones */
kl_status kl_pass_simplify(kl_unit *u); /* rules as data, constant folding, dead code */

/* ---- graph to kernels ------------------------------------------------------------------------- */

kl_status kl_pass_fuse(kl_unit *u);     /* u->kernels, each with its algorithm */
/* index.c: the element of node r at idx[rank] as an expression, looking through movement and
 * elementwise nodes down to nodes for which `leaf` gives an expression (KL_NONE: look through). */
typedef struct kl_reader {
    kl_kernel *k;
    const kl_graph *g;
    kl_x (*leaf)(struct kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred);
    void *ctx;
    kl_check *checks; int nchecks; /* faults met on the way (gather indices) */
} kl_reader;
kl_x kl_read(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred);

/* ---- kernel to loops ---------------------------------------------------------------------------- */

kl_status kl_pass_schedule(kl_unit *u);
kl_status kl_pass_lower(kl_unit *u);
kl_status kl_schedule_kernel(kl_kernel *k, const kl_target *t, int64_t lanes);
kl_status kl_lower_kernel(kl_kernel *k);

/* ---- kernels to plan ------------------------------------------------------------------------------ */

kl_status kl_pass_plan(kl_unit *u); /* u->program, with exact peak bytes */

#endif
