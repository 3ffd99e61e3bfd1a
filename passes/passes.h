/* passes.h: graph to graph, graph to kernels, kernels to loops, kernels to a plan. One
 * pass is one file with one entry; their order stands in pipeline.c alone. Knows no LLVM,
 * CUDA or Python.
 *
 *   graph -> graph     autodiff.c derive.c inline.c complex.c simplify.c (rules.def)
 *   graph -> kernels   roots.c (what is kept), fuse.c (groups), build.c (a group's
 *                      algorithm), index.c (movement to index expressions), collapse.c
 *                      (axes that go together), control.c (rows with bodies)
 *   kernel -> loops    schedule.c (decisions), lower.c and lower_*.c, one file a class
 *   kernels -> plan    plan.c plan_control.c
 *   the recipe         pipeline.c; its loops' meaning: unit_interp.c */
#ifndef KL_PASSES_H
#define KL_PASSES_H

#include "ir/ir.h"

/* What a whole compile works on. */
/* Taps, strides and padding are what a kernel's code is written for. */
#define KL_SHARE 16

typedef struct kl_unit kl_unit;
struct kl_unit {
    kl_arena *arena;
    const kl_target *target;
    kl_graph *graph;
    bool fuse_off;       /* one kernel a node: for tests and unfused comparison */
    int64_t share;       /* kernels that differ in numbers above it alone: one code */
    bool fast;           /* leave "one number" (DESIGN.md) */
    int64_t lanes;       /* tests: force a vector width in lanes; 0: the target's */
    kl_kernel **kernels; /* after fuse: in launch order */
    int nkernels;
    kl_unit **bodies; /* after fuse: graphs of control rows; a kernel names its first */
    uint32_t nbodies, cap_bodies;
    int depth, ncarry; /* a body: in how many others; how many results replace operands */
    kl_program *program; /* after plan; it owns those of the bodies */
    kl_dim room;         /* after plan: bytes of its arena */
};

/* ---- pipeline.c: the recipe ---- */

typedef enum kl_level {
    KL_LEVEL_GRAPH,
    KL_LEVEL_KERNEL,
    KL_LEVEL_LOOPS,
    KL_LEVEL_PLAN
} kl_level;
typedef struct kl_pass {
    const char *name;
    kl_status (*fn)(kl_unit *u);
    kl_level in, out; /* verified before and after under KILN_VERIFY */
} kl_pass;
extern const kl_pass kl_pipeline[];
extern const int kl_pipeline_count;
/* Run passes first..last (names; NULL: all), dumping and verifying as the environment
 * says. */
kl_status kl_pipeline_run(kl_unit *u, const char *first, const char *last);
void kl_unit_print(const kl_unit *u, kl_level level,
                   kl_text *out); /* what stands at that level */
/* All kernels that are code: the bodies' first, each unit's in its program's order. NULL:
 * no memory, recorded. */
kl_kernel **kl_unit_kernels(const kl_unit *u, int *n);
/* unit_interp.c: run a planned unit by its loops alone, on host memory; arena: as many
 * bytes as its program's peak. Native calls are refused. */
kl_status kl_unit_interp(const kl_unit *u, void *const *in, void *const *out, char *arena,
                         const int64_t *syms);

/* ---- graph to graph ---- */

kl_status kl_pass_autodiff(kl_unit *u); /* grad and jvp nodes are gone */
kl_status kl_pass_inline(
    kl_unit *u); /* function nodes are gone, unless the target schedules them whole */
kl_status kl_pass_complex(kl_unit *u);  /* complex values are pairs of real ones */
kl_status kl_pass_simplify(kl_unit *u); /* rules as data, constant folding, dead code */
kl_status kl_pass_turn(kl_unit *u);     /* scans' weights lie as their steps read them */
kl_status kl_pass_stride(
    kl_unit *u); /* strided windows read rows of one phase, pairs rows that are turned */
typedef struct kl_rule_row {
    const char *name;
    int cls;
    const char *before, *after;
} kl_rule_row;
const kl_rule_row *kl_rule_rows(int *count);
kl_status
kl_simplify(kl_graph **g,
            int only); /* only: one rule's number, for its oracle test; -1: all */

/* ---- graph to kernels ---- */

/* A *root* is a node that gets a stage or memory of its own: every heavy node (reduction,
 * contraction, prefix, scatter, sort), every output, and light nodes worth keeping.
 * Everything else is recomputed where it is read. Roots that share a loop nest form a
 * group, and a group becomes one part of a kernel. */

/* CUDA takes 4096 bytes of arguments, 8 an operand; a kernel stays well below. */
enum { KL_MANY_OPERANDS = 200, KL_MANY_SOURCES = 128 };
enum { KL_ROLE_FREE, KL_ROLE_REDUCED, KL_ROLE_OWN /* walked inside: scanned, sorted */ };
enum { KL_READ_ZERO = -1, KL_READ_OTHER = -2 };
typedef struct kl_root_read { /* how a root reads another: per output axis of it, the axis
                                 of ours */
    kl_ref from;
    int8_t axis[KL_MAX_RANK]; /* or KL_READ_ZERO, KL_READ_OTHER */
} kl_root_read;
typedef struct kl_root {
    kl_ref node;
    bool heavy, stored;
    int naxes; /* iteration axes: all of a reduction's input, a contraction's labels */
    kl_dim extent[KL_MAX_RANK];
    uint8_t role[KL_MAX_RANK];
    int8_t out[KL_MAX_RANK];   /* iteration axis of each output axis */
    int8_t outer[KL_MAX_RANK]; /* position among the group's outer axes, or -1: its own */
    kl_root_read *reads;
    uint32_t nreads, cap_reads;
    int group;
    int cost; /* scalar operations inlined into it */
} kl_root;
typedef struct kl_group {
    int nouter;
    kl_dim outer[KL_MAX_RANK];
    int *members, nmembers, cap_members; /* roots, in topological order */
    uint64_t *needs;              /* bit set of groups it depends on, transitively */
    bool heavy, contract, merged; /* merged: into another, no longer there */
    bool needed;                  /* by some other group */
    int cost;
    uint32_t nreads; /* of its members: no more operands than these and its members */
    int apart;       /* a root that it reads and could not be fused with, or -1 */
    const char *apart_why;
} kl_group;
typedef struct kl_fusion {
    kl_unit *u;
    kl_graph *g;
    kl_arena *arena;  /* scratch of the pass */
    int32_t *root_of; /* node -> root, or -1 */
    kl_root *roots;
    uint32_t nroots, cap_roots;
    kl_group *groups;
    uint32_t ngroups, cap_groups;
    const char **names; /* per node, for readers; NULL: not named yet */
    uint32_t *numbers;  /* per node: its number in the graph's text */
    kl_ref *as;         /* per node: itself, or an output that is it in another shape */
    const char **kept;  /* per node: why it is a root though light, or NULL */
} kl_fusion;
bool kl_is_heavy(kl_op op);
bool kl_is_elementwise(
    kl_op op); /* each element of it reads the operands' at its point */
kl_status kl_find_roots(kl_fusion *f); /* roots.c */
/* Where source s of a heavy root is read at its iteration axes; *pred guards it (fold).
 */
void kl_source_index(const kl_fusion *f, const kl_root *root, uint32_t s, kl_exprs *x,
                     const kl_x *axis, kl_x *idx, kl_x *pred);
kl_status kl_split_wide(kl_unit *u);      /* wide.c */
kl_status kl_group_roots(kl_fusion *f);   /* fuse.c */
kl_status kl_build_kernels(kl_fusion *f); /* build.c */
/* 1 where k is added up in order, 0 where over lanes: M and N, the products of each
 * side's free extents without the batch, decide, by what they are at the launch. */
kl_dim kl_contract_in_order(const kl_graph *g, kl_ref r);
kl_status kl_collapse(kl_kernel *k, kl_part *p); /* collapse.c */
kl_status kl_pass_fuse(kl_unit *u);              /* u->kernels, each with its algorithm */

/* index.c: the element of node r at idx[rank] as an expression, looking through movement
 * and elementwise nodes down to leaves. pred (KL_NONE: true) guards every load on the
 * way. */
#define KL_MAX_CHECKS 64
typedef struct kl_memo kl_memo;
struct kl_memo {
    kl_memo *next;
    kl_ref r;
    kl_x pred, value, idx[KL_MAX_RANK];
    uint32_t hash;
};
typedef struct kl_reader kl_reader;
struct kl_reader {
    kl_kernel *k;
    const kl_graph *g;
    bool (*is_leaf)(kl_reader *rd, kl_ref r);
    /* A leaf's element by indices, or (leaf NULL) by its flat row-major number.
     * leaf_flat, where given, also serves reshapes and strided views of a leaf. */
    kl_x (*leaf)(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred);
    kl_x (*leaf_flat)(kl_reader *rd, kl_ref r, kl_x flat, kl_x pred);
    void *ctx;
    kl_check
        checks[KL_MAX_CHECKS]; /* faults met on the way: indices that come from data */
    int nchecks;
    kl_memo **memo; /* what was read, in a table that grows with it */
    uint32_t nmemo, cap_memo;
};
kl_x kl_read(kl_reader *rd, kl_ref r, const kl_x *idx, kl_x pred);
/* An index from data, as i64, with its check recorded; *in_range guards its use. */
kl_x kl_read_index(kl_reader *rd, kl_ref index, const kl_x *idx, kl_dim extent,
                   uint32_t node, kl_x pred, kl_x *in_range);
kl_x kl_flatten(kl_exprs *x, int rank, const kl_dim *shape, const kl_x *idx);
void kl_unflatten(kl_exprs *x, int rank, const kl_dim *shape, kl_x flat, kl_x *idx);

/* ---- kernel to loops ---- */

/* Classes of kernels, each a recipe of lower_*.c:
 *
 *   map      no stage has axes of its own: lanes along one outer axis
 *   row      lanes along the stages' own axes; a worker (GPU: a warp) is one outer point,
 *            or some, side by side, where they are dot products
 *   split    one long reduction of few outer points: its blocks of 4096 are workers, a
 *            second phase folds them
 *   column   lanes along an outer axis, own axes walked inside (sums down columns,
 *            prefixes, scatters of rows, small contractions)
 *   strip    the same for long columns: lanes innermost, what a column carries in tiles
 *   gemm     contraction through packed panels and a register-blocked micro-kernel */

kl_status kl_pass_schedule(kl_unit *u);
kl_status kl_pass_lower(kl_unit *u);
kl_status kl_pass_share(kl_unit *u); /* nothing where u->share is 0 */
kl_status kl_schedule_kernel(kl_kernel *k, const kl_target *t, int64_t lanes);
kl_status kl_lower_kernel(kl_kernel *k);
void kl_decide(kl_kernel *k, kl_dec_kind kind, int part, int axis, int64_t factor,
               const char *name);
int64_t kl_param(const kl_kernel *k, int part, const char *name, int64_t dflt);
const char *kl_part_class(const kl_kernel *k, int part);
/* Which of the first count expressions the part's stages use; kl_free(it, count + 1). */
uint8_t *kl_part_uses(const kl_kernel *k, const kl_part *p, uint32_t count);

/* What the recipes share. */
enum {
    KL_BLOCK = 4096,
    KL_LANES = 32,
    KL_DOT_LANES = 16,  /* "One number": never changed */
    KL_SPLIT_MOST = 32, /* reductions whose blocks are workers */
    KL_POINTS_MOST = 4  /* rows that a strip's worker has together */
};
typedef struct kl_kept { /* what a stage keeps for later ones; node KL_NONE: nothing */
    kl_x node;
    uint32_t tile;
} kl_kept;
typedef struct kl_lower {
    kl_kernel *k;
    kl_exprs *x;
    kl_part *p;
    int part;
    kl_x *axis;  /* per axis: what replaces it, or KL_NONE */
    kl_x *stage; /* per stage: the register that holds its value, or KL_NONE */
    int32_t lanes;
    kl_kept *keep;     /* row: per stage; NULL: none do */
    uint32_t lane_var; /* column: the lane's counter, 0 .. lanes-1 */
    bool in_lanes;     /* column: statements stand inside the lane loop */
    bool by_place;     /* map: lanes are lane_var's, and values chosen by their place */
    const char *cls;
    int nphases; /* of this part so far */
} kl_lower;
kl_x kl_lower_expr(kl_lower *l, kl_x a);  /* axes and stages replaced */
kl_x kl_lower_value(kl_lower *l, kl_x e); /* lower_place.c: the same, of a value stored */
kl_x kl_combine(kl_exprs *x, kl_op op, kl_x a, kl_x b);
/* One more phase of the part: its body, and the number of the part's worker. Siblings'
 * phases of like rank share a launch, each behind a range of worker numbers. NULL: no
 * memory. */
kl_phase *kl_lower_phase(kl_lower *l, kl_dim workers, int64_t grain, kl_build *body,
                         kl_x *w);
uint32_t kl_lower_tile(kl_lower *l, const char *name, kl_dtype dt, kl_dim count,
                       kl_role role);
enum { KL_MAX_STORES = 16 };
void kl_lower_checks(kl_lower *l, kl_build *b, const kl_stage *s);
void kl_lower_stores(kl_lower *l, kl_build *b, const kl_stage *s);
kl_dim kl_outer_count(kl_lower *l, int n); /* product of the first n outer extents */
void kl_outer_point(kl_lower *l, kl_x w,
                    int n); /* the first n outer axes from a flat number */
kl_status kl_lower_stages(kl_lower *l, kl_build *b);
bool kl_lower_alike(const kl_lower *l, const kl_stage *a,
                    const kl_stage *b); /* MAPs that share loops */
void kl_lower_store_all(kl_lower *l, kl_build *b, int first,
                        int last);          /* of MAPs [first, last) */
uint16_t kl_lower_last(kl_lower *l, int i); /* outer axis i goes innermost */
kl_x kl_lower_reduce(kl_lower *l, kl_build *b, kl_stage *s); /* lower_reduce.c */
kl_x kl_lower_block(kl_lower *l, kl_build *b, kl_stage *s, kl_x start, kl_x len);
/* lower_nest.c: a block in order, added to acc by a loop for each of the axes that its
 * own stands for; false: it is no sum of such, nothing done. */
bool kl_lower_nest(kl_lower *l, kl_build *b, kl_stage *s, kl_x acc, kl_x start, kl_x len);
kl_x kl_lower_tree(kl_lower *l, kl_build *b, kl_stage *s, uint32_t operand, kl_x first,
                   kl_dim count);
kl_x kl_lower_identity(kl_lower *l, const kl_stage *s);
/* One more element at position `at` of the reduced axis. */
kl_x kl_lower_accumulate(kl_lower *l, kl_stage *s, kl_x acc, kl_x at);
/* Loops over the adjacent pairs (lo, hi) in which count results fold, level by level. */
kl_build kl_lower_pairs(kl_lower *l, kl_build *b, kl_dim count, kl_x *lo, kl_x *hi);
kl_x kl_lower_arg(kl_lower *l, kl_build *b, kl_stage *s); /* lower_arg.c */
kl_dtype kl_lower_arg_dtype(const kl_lower *l,
                            const kl_stage *s); /* of a place on the way */
/* The stage's value at its axis, at `j`, into registers best and at if it is better. */
void kl_lower_better(kl_lower *l, kl_build *b, kl_stage *s, kl_x best, kl_x at, kl_x j);
/* Serial loops over a stage's own axes [from, to), outermost first. */
kl_build kl_lower_walk(kl_lower *l, kl_build *b, const kl_stage *s, int from, int to);
void kl_lower_scatter_one(kl_lower *l, kl_build *b, kl_stage *s);
kl_status kl_lower_once(kl_kernel *k); /* lower_once.c: no loops of one turn */
/* var, in the statements from s on, becomes what it stands for: what is made of a flat
 * number's parts is put together before the number is taken apart. */
void kl_lower_named(kl_exprs *x, kl_stmt *s, uint32_t var, kl_x value);
kl_status kl_lower_keep(kl_lower *l);  /* lower_keep.c: l->keep; l->p becomes a copy */
kl_status kl_lower_strip(kl_lower *l); /* lower_strip.c */
kl_status kl_lower_prefix(kl_lower *l, kl_build *b, kl_stage *s); /* lower_serial.c */
kl_status kl_lower_scatter(kl_lower *l, kl_build *b, kl_stage *s);
kl_status kl_lower_sort(kl_lower *l, kl_build *b, kl_stage *s);
kl_status kl_lower_sort_serial(kl_lower *l, kl_build *b, kl_stage *s); /* lower_sort.c */
kl_status kl_lower_gemm(kl_lower *l);                                  /* lower_gemm.c */
kl_status kl_lower_dots(kl_lower *l, int32_t n); /* lower_dots.c: so many rows at once */
kl_status kl_lower_prefixes(kl_lower *l, int32_t n);
kl_status kl_lower_elements(kl_lower *l); /* lower_elements.c: CUDA's map */
kl_status kl_lower_tiles(kl_lower *l);    /* lower_tiles.c */
void kl_schedule_tiles(kl_kernel *k, int part, const kl_target *t);
void kl_schedule_gemm(kl_kernel *k, int part, const kl_target *t); /* schedule_gemm.c */
bool kl_gemm_fits(const kl_kernel *k, const kl_part *p);

void kl_kernel_cost(kl_kernel *k); /* cost.c: its flops and bytes */

/* ---- kernels to plan ---- */

kl_status kl_pass_plan(kl_unit *u); /* u->program, with exact peak bytes */

/* ---- control rows ---- */

/* control.c: fn on every graph that the unit's names, bodies first; each may be replaced
 * (what was there before stays as it is). */
typedef kl_status (*kl_graph_fn)(kl_unit *u, kl_graph **g);
kl_status kl_each_graph(kl_unit *u, kl_graph_fn fn);
/* The results of node r: its picks, or KL_NONE where there is none; *n of them. NULL: no
 * memory. */
kl_ref *kl_results(kl_arena *a, const kl_graph *g, kl_ref r, uint32_t *n);
/* Node r's operands and results as whole buffers: k is a launch without a kernel. */
kl_status kl_whole_operands(const kl_graph *g, kl_kernel *k, kl_ref r);
/* A control row as what the plan runs: k's operands, and the units of its bodies, fused.
 */
kl_status kl_build_control(kl_unit *u, kl_kernel *k, kl_ref r);

#endif
