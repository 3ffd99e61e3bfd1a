/* passes.h: graph to graph, graph to kernels, kernels to loops, kernels to a plan. One pass is one
 * file with one entry; their order stands in pipeline.c alone. Knows no LLVM, CUDA or Python.
 *
 *   graph -> graph     autodiff.c derive.c simplify.c inline.c complex.c
 *   graph -> kernels   roots.c (what is kept) fuse.c (groups) build.c (a group's algorithm)
 *                      index.c (movement to index expressions) collapse.c (axes that go together)
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

/* ---- graph to kernels -------------------------------------------------------------------------
 * A *root* is a node that gets a stage or memory of its own: every heavy node (reduction,
 * contraction, prefix, scatter, sort), every output, and light nodes worth keeping. Everything
 * else is recomputed where it is read. Roots that share a loop nest form a group, and a group
 * becomes one part of a kernel. */

enum { KL_ROLE_FREE, KL_ROLE_REDUCED, KL_ROLE_OWN /* walked inside: scanned, sorted */ };
enum { KL_READ_ZERO = -1, KL_READ_OTHER = -2 };
typedef struct kl_root_read { /* how a root reads another: per output axis of it, the axis of ours */
    kl_ref from;
    int8_t axis[KL_MAX_RANK]; /* or KL_READ_ZERO, KL_READ_OTHER */
} kl_root_read;
typedef struct kl_root {
    kl_ref node;
    bool heavy, stored;
    int naxes;                    /* iteration axes: all of a reduction's input, a contraction's labels */
    kl_dim extent[KL_MAX_RANK];
    uint8_t role[KL_MAX_RANK];
    int8_t out[KL_MAX_RANK];      /* iteration axis of each output axis */
    int8_t outer[KL_MAX_RANK];    /* position among the group's outer axes, or -1: its own */
    kl_root_read *reads;
    uint32_t nreads, cap_reads;
    int group;
    int cost;                     /* scalar operations inlined into it */
} kl_root;
typedef struct kl_group {
    int nouter;
    kl_dim outer[KL_MAX_RANK];
    int *members, nmembers, cap_members; /* roots, in topological order */
    uint64_t *needs;                     /* bit set of groups it depends on, transitively */
    bool heavy, contract, merged;        /* merged: into another, no longer there */
    int cost;
} kl_group;
typedef struct kl_fusion {
    kl_unit *u;
    kl_graph *g;
    kl_arena *arena;       /* scratch of the pass */
    int32_t *root_of;      /* node -> root, or -1 */
    kl_root *roots;
    uint32_t nroots, cap_roots;
    kl_group *groups;
    uint32_t ngroups, cap_groups;
} kl_fusion;
bool kl_is_heavy(kl_op op);
kl_status kl_find_roots(kl_fusion *f); /* roots.c */
/* Where source s of a heavy root is read at its iteration axes; *pred guards it (fold). */
void kl_source_index(const kl_fusion *f, const kl_root *root, uint32_t s, kl_exprs *x, const kl_x *axis,
                     kl_x *idx, kl_x *pred);
kl_status kl_group_roots(kl_fusion *f);                 /* fuse.c */
kl_status kl_build_kernels(kl_fusion *f);               /* build.c */
kl_status kl_collapse(kl_kernel *k, kl_part *p);        /* collapse.c */
kl_status kl_pass_fuse(kl_unit *u);     /* u->kernels, each with its algorithm */

/* index.c: the element of node r at idx[rank] as an expression, looking through movement and
 * elementwise nodes down to leaves. pred (KL_NONE: true) guards every load on the way. */
#define KL_MAX_CHECKS 8
typedef struct kl_memo kl_memo;
struct kl_memo { kl_memo *next; kl_ref r; kl_x pred, value, idx[KL_MAX_RANK]; };
typedef struct kl_reader kl_reader;
struct kl_reader {
    kl_kernel *k;
    const kl_graph *g;
    bool (*is_leaf)(kl_reader *rd, kl_ref r);
    /* A leaf's element by indices, or (leaf NULL) by its flat row-major number. leaf_flat, where
     * given, also serves reshapes and strided views of a leaf. */
    kl_x (*leaf)(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred);
    kl_x (*leaf_flat)(kl_reader *rd, kl_ref r, kl_x flat, kl_x pred);
    void *ctx;
    kl_check checks[KL_MAX_CHECKS]; /* faults met on the way: indices that come from data */
    int nchecks;
    kl_memo *memo[256];
};
kl_x kl_read(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred);
/* An index from data, as i64, with its check recorded; *in_range guards its use. */
kl_x kl_read_index(kl_reader *rd, kl_ref index, const kl_x *idx, kl_dim extent, uint32_t node,
                   kl_x pred, kl_x *in_range);
kl_x kl_flatten(kl_exprs *x, int rank, const kl_dim *shape, const kl_x *idx);
void kl_unflatten(kl_exprs *x, int rank, const kl_dim *shape, kl_x flat, kl_x *idx);

/* ---- kernel to loops ---------------------------------------------------------------------------- */

kl_status kl_pass_schedule(kl_unit *u);
kl_status kl_pass_lower(kl_unit *u);
kl_status kl_schedule_kernel(kl_kernel *k, const kl_target *t, int64_t lanes);
kl_status kl_lower_kernel(kl_kernel *k);

/* ---- kernels to plan ------------------------------------------------------------------------------ */

kl_status kl_pass_plan(kl_unit *u); /* u->program, with exact peak bytes */

#endif
