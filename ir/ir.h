/* ir.h: the program forms. Graph (what is computed), kernel (what one fused group
 * computes, and the schedule), loops (how). Everything lives in a compile arena;
 * references are dense 32-bit indices; nodes and scalar expressions are immutable and
 * interned, so equality is ==.
 *
 *   tables   ops.c infer.c infer_move.c infer_body.c dim.c dim_facts.c
 *            dim_text.c target.c
 *   graph    graph.c graph_build.c graph_rewrite.c graph_text.c graph_parse.c
 * graph_verify.c scalars  eval.c eval_cast.c eval_complex.c math.c expr.c expr_range.c
 * expr_linear.c expr_simplify.c expr_text.c expr_parse.c decompose.c decompose_float.c
 *   kernel   kernel.c kernel_text.c loops_text.c kernel_verify.c loops_verify.c
 *   meaning  graph_interp.c loops_interp.c loops_memory.c
 *
 * Texts: GRAMMAR.md. Nothing here knows LLVM, CUDA, or who owns a buffer. */
#ifndef KL_IR_H
#define KL_IR_H

#include "runtime/runtime.h"

#define KL_NONE UINT32_MAX
typedef uint32_t kl_ref; /* a node of one graph */
typedef uint32_t kl_x;   /* a scalar expression of one kernel */
typedef struct kl_kernel kl_kernel;

/* ---- ops.c: the table ---- */

typedef enum kl_op {
#define KL_OP(name, kind, arity, rule, flags) KL_OP_##name,
#include "ir/ops.def"
    KL_OP_COUNT
} kl_op;
typedef enum kl_kind {
    KL_KIND_LEAF,
    KL_KIND_ELT,
    KL_KIND_CAST,
    KL_KIND_MOVE,
    KL_KIND_REDUCE,
    KL_KIND_PREFIX,
    KL_KIND_CONTRACT,
    KL_KIND_INDEX,
    KL_KIND_CONTROL,
    KL_KIND_CALL,
    KL_KIND_FUNC,
    KL_KIND_TRANSFORM
} kl_kind;
typedef enum kl_rule {
    KL_RULE_SAME,
    KL_RULE_FLOAT,
    KL_RULE_BOOL,
    KL_RULE_U64,
    KL_RULE_COND,
    KL_RULE_ARG,
    KL_RULE_IDX,
    KL_RULE_SRC0,
    KL_RULE_OWN
} kl_rule;
enum {
    KL_F_COMM = 1,
    KL_F_ASSOC = 2,
    KL_F_IDEMP = 4,
    KL_F_RED = 8,
    KL_F_INT = 16,
    KL_F_NOBOOL = 32,
    KL_F_CPLX = 64,
    KL_F_MATH = 128,
    KL_F_MULTI = 256,
    KL_F_GRAPH = 512
};
typedef struct kl_op_info {
    const char *name;
    kl_kind kind;
    int arity; /* -1: any */
    kl_rule rule;
    unsigned flags;
    const char *doc;
    const char *ll[3]; /* uint, sint, float; "" : none */
    const char *cu;
    const char
        *sem; /* the scalar meaning's text; NULL: a body in math.def, or not scalar */
    const char *id[3]; /* neutral element's text: bool, int, float */
    const char *d[3];  /* derivative texts; all NULL when the row has none of that kind */
    const char *t;     /* transpose's name, or NULL */
    const char *deriv; /* name of the function giving both modes, or NULL */
    const char *nod;   /* the reason, or NULL */
} kl_op_info;
extern const kl_op_info kl_ops[KL_OP_COUNT + 1]; /* the last is scatter's "set": KL_SET */
int kl_op_find(const char *name, size_t len);    /* -1: unknown */

/* ---- dim.c: extents ---- */

/* An extent is
 * an int64: >= 0 is itself; < 0 is -1 - index into a table of canonical integer
 * expressions over symbols: sums of products with floor-division, modulo, max and min. A
 * symbol has a range and a known divisor. Equality of canonical forms is ==. */

typedef int64_t kl_dim;
typedef struct kl_dims kl_dims;
kl_dims *kl_dims_new(kl_arena *a);
kl_dims *kl_dims_own(const kl_dims *d, kl_arena *a); /* a copy, added to apart from d */
bool kl_dims_failed(const kl_dims *d); /* there was no memory for one; d may be NULL */
/* The symbol of that name, made on first use with range [0, 2^40] and divisor 1. */
kl_dim kl_dim_sym(kl_dims *d, const char *name);
void kl_dim_sym_bound(kl_dims *d, kl_dim sym, int64_t min, int64_t max, int64_t divisor);
int kl_dim_sym_count(const kl_dims *d);
const char *kl_dim_sym_name(const kl_dims *d, int i); /* in order of first appearance */
void kl_dim_sym_facts(const kl_dims *d, int i, int64_t *min, int64_t *max,
                      int64_t *divisor);
int kl_dim_sym_index(const kl_dims *d, kl_dim sym); /* -1 when it is not a bare symbol */
/* Folding and canonical. d may be NULL when both are constants. Overflow gives
 * KL_DIM_BAD. */
#define KL_DIM_BAD INT64_MIN
kl_dim kl_dim_add(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_sub(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_mul(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_div(kl_dims *d, kl_dim a, kl_dim b); /* floor */
kl_dim kl_dim_ceildiv(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_mod(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_max(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_min(kl_dims *d, kl_dim a, kl_dim b);
kl_dim kl_dim_const(kl_dims *d, int64_t v); /* v may be negative: then an expression */
bool kl_dim_is_const(const kl_dims *d, kl_dim a, int64_t *v);
void kl_dim_range(const kl_dims *d, kl_dim a, int64_t *min, int64_t *max);
bool kl_dim_divides(kl_dims *d, int64_t by, kl_dim a);    /* proved */
void kl_dim_uses(const kl_dims *d, kl_dim a, bool *syms); /* sets those of its symbols */
int64_t kl_dim_eval(const kl_dims *d, kl_dim a, const int64_t *syms);
void kl_dim_print(const kl_dims *d, kl_dim a, kl_text *out);
kl_status kl_dim_parse(kl_dims *d, kl_lex *l, kl_dim *out);
/* postfix, for the runner */
kl_size kl_dim_size(const kl_dims *d, kl_dim a, kl_arena *into);

/* ---- graph.c ---- */

/*   +----+-------+------+-------+------+-----+-------+------+-------+------+-------+
 *   | op | dtype | rank | shape | nsrc | src | nattr | attr | graph | name | place |
 *   +----+-------+------+-------+------+-----+-------+------+-------+------+-------+
 *
 * Attributes are int64, by op (every kl_dim-valued one may be symbolic):
 *   input    index [, stride per axis in elements]      (no strides: dense row-major)
 *   const    the elements' bytes, row-major, packed 8 a word
 *   iota, concat, argmax, argmin   axis
 *   permute  perm[rank]
 *   pad      lo[rank] hi[rank] interior[rank]
 *   slice    start[rank] step[rank]
 *   flip     axes mask
 *   window, fold   m, then m times: axis size stride dilation (fold: its result's axes)
 *   strided, update   offset, stride per axis of y (strided) or of b (update)
 *   reduce   combining op, axes mask
 *   prefix   combining op, axis
 *   contract na nb ny, then the labels of each axis (small ints in order of appearance)
 *   gather   axis, batch axes
 *   scatter  combining op (KL_SET: plain), axis, batch axes
 *   sort     axis, descending [, how many of the first are kept]
 *   while    body graphs: cond, body        (sources: carries; results: carries)
 *   cond     body graphs: then, else        (sources: predicate, operands)
 *   scan     number of carries, axis 0 is scanned; body graph  (sources: carries, xs)
 *   call     name index, number of results, has-effects; per result dtype rank extents
 *   function body graph, number of results, 1 + derivative graph or 0. Outputs beyond the
 *            results are for the derivative alone, which takes inputs, body outputs and a
 *            cotangent for each floating-point result, and gives one for each such input
 *   pick     k
 *   detach   number                          (gone after autodiff, as grad and jvp)
 *   grad     -  (sources: y, seed, inputs..)
 *   jvp      -  (sources: y, (input, tangent)..)
 */

#define KL_SET KL_OP_COUNT /* scatter's "replace" */

typedef struct kl_node {
    uint16_t op;
    uint8_t dtype, rank;
    uint32_t shape;       /* first extent in g->extents */
    uint32_t nsrc, src;   /* in g->srcs */
    uint32_t nattr, attr; /* in g->attrs */
    uint32_t name;  /* g->strings index or KL_NONE: the user's name for this value */
    uint32_t place; /* g->strings index or KL_NONE: "file:line" */
} kl_node;
_Static_assert(sizeof(kl_node) == 32, "a node is half a cache line");

typedef struct kl_graph {
    kl_arena *arena;
    kl_dims *dims; /* shared by bodies and kernels made from it */
    const char *name;
    kl_node *nodes;
    uint32_t count, cap;
    kl_dim *extents;
    uint32_t nextents, cap_extents;
    kl_ref *srcs;
    uint32_t nsrcs, cap_srcs;
    int64_t *attrs;
    uint32_t nattrs, cap_attrs;
    const char **strings;
    uint32_t nstrings, cap_strings;
    kl_ref *inputs; /* by input index */
    uint32_t ninputs, cap_inputs;
    kl_ref *outputs;
    const char **output_names; /* may be NULL */
    uint32_t noutputs, cap_outputs;
    struct kl_graph **bodies; /* of control and function nodes */
    const struct kl_graph *extends; /* a scan's body: it gives all that this one gives,
                                       in its order, and more; or NULL */
    uint32_t nbodies, cap_bodies;
    int32_t *donated; /* per output: 1 + input it may overwrite, or 0; NULL: none */
    struct kl_counted *counts; /* per output: what it counts; NULL: none */
    uint32_t *table;  /* hash-consing, open addressing: 1 + node */
    uint32_t table_cap;
    uint32_t *string_table; /* strings likewise */
    uint32_t string_table_cap;
    const char *weights; /* the safetensors file named at the text's head, or NULL */
    bool simplify_off;   /* text of a test: keep commutative operands as written */
} kl_graph;

/* An output that tells how much of another is meant: so many of that one's axis, whose
 * extent is a bound, where only the data decides. */
typedef struct kl_counted {
    int32_t of; /* 1 + the other output, or 0 */
    int32_t axis;
} kl_counted;

typedef struct kl_type { /* what inference speaks about */
    kl_dtype dtype;
    int rank;
    kl_dim shape[KL_MAX_RANK];
} kl_type;
typedef struct kl_spec { /* a node about to be made */
    kl_op op;
    kl_type want; /* ARG dtypes; the shape of input const iota reshape expand slice fold
                     strided */
    const kl_ref *src;
    uint32_t nsrc;
    const int64_t *attr;
    uint32_t nattr;
} kl_spec;

kl_graph *kl_graph_new(kl_arena *a, kl_dims *d, const char *name); /* d NULL: its own */
/* The only way to make a node: infers, validates, orders commutative operands, looks up,
 * else appends. KL_NONE on failure (recorded) or if a source is KL_NONE. */
kl_ref kl_graph_node(kl_graph *g, const kl_spec *spec);
/* The type that node would have, and the node that already is it (KL_NONE: none). */
kl_status kl_graph_infer(const kl_graph *g, const kl_spec *spec, kl_type *out);
kl_ref kl_graph_find(kl_graph *g, const kl_spec *spec, const kl_type *type);
kl_ref kl_graph_input(kl_graph *g, const char *name, kl_dtype dt, int rank,
                      const kl_dim *shape);
kl_status kl_graph_output(kl_graph *g, kl_ref r, const char *name);
uint32_t kl_graph_body(kl_graph *g, kl_graph *body);  /* its index for attributes */
uint32_t kl_graph_string(kl_graph *g, const char *s); /* interned, or KL_NONE */
/* Output i may be written over input k. */
kl_status kl_graph_donate(kl_graph *g, uint32_t output, uint32_t input);
/* Output i, an i64 of no dimensions, says how much of output `of`'s axis is meant. */
kl_status kl_graph_counts(kl_graph *g, uint32_t i, int64_t of, int64_t axis);
/* The output that counts output i, or -1. */
int kl_graph_counter(const kl_graph *g, uint32_t i);
/* The words of its attributes that name bodies (function's second: 1 + body, or 0). */
int kl_graph_body_words(kl_op op, uint32_t words[2]);
bool kl_graph_effects(const kl_graph *g, kl_ref r);     /* a call that must stay */
uint32_t kl_graph_results(const kl_graph *g, kl_ref r); /* how many a node has */
/* g and all bodies that its nodes name, and theirs, bodies first, each once; NULL: no
 * memory. */
kl_graph **kl_graph_all(const kl_graph *g, uint32_t *n);
void kl_graph_reindex(kl_graph *g); /* the hash table again: nodes were renumbered */

/* ---- graph_build.c: shorthands; all return KL_NONE on failure ---- */

kl_ref kl_g_const(kl_graph *g, kl_dtype dt, double v);      /* 0-d */
kl_ref kl_g_const_int(kl_graph *g, kl_dtype dt, int64_t v); /* 0-d */
kl_ref kl_g_const_like(kl_graph *g, kl_ref like, double v); /* like's dtype and shape */
kl_ref kl_g_elt(kl_graph *g, kl_op op, kl_ref a, kl_ref b, kl_ref c); /* or KL_NONE */
kl_ref kl_g_cast(kl_graph *g, kl_ref a, kl_dtype dt);
kl_ref kl_g_bitcast(kl_graph *g, kl_ref a, kl_dtype dt);
kl_ref kl_g_reshape(kl_graph *g, kl_ref a, int rank, const kl_dim *shape);
kl_ref kl_g_permute(kl_graph *g, kl_ref a, const int *perm);
kl_ref kl_g_expand(kl_graph *g, kl_ref a, int rank, const kl_dim *shape);
kl_ref kl_g_pad(kl_graph *g, kl_ref a, kl_ref fill, const kl_dim *lo, const kl_dim *hi,
                const kl_dim *interior);
kl_ref kl_g_slice(kl_graph *g, kl_ref a, const kl_dim *start, const kl_dim *extent,
                  const kl_dim *step);
kl_ref kl_g_flip(kl_graph *g, kl_ref a, uint64_t axes);
kl_ref kl_g_reduce(kl_graph *g, kl_op combine, kl_ref a, uint64_t axes, bool keep);
kl_ref kl_g_contract(kl_graph *g, kl_ref a, kl_ref b,
                     const char *labels /* "bk,nk->bn" */, kl_dtype acc);
kl_ref kl_g_pick(kl_graph *g, kl_ref a, int k);
kl_ref kl_g_const_data(kl_graph *g, kl_dtype dt, int rank, const kl_dim *shape,
                       const void *bytes);
kl_ref kl_g_concat(kl_graph *g, const kl_ref *a, uint32_t n, int axis);
kl_ref kl_g_iota(kl_graph *g, kl_dtype dt, int rank, const kl_dim *shape, int axis);
/* "bk,nk->bn" as attribute words; 0: recorded failure. */
uint32_t kl_contract_attrs(const char *labels, int64_t *attr /* [3 + 3 * KL_MAX_RANK] */);
/* The labels of a contract's operands, 0 and 1, and of its result, 2. */
typedef struct kl_labels {
    int n[3];
    int64_t of[3][KL_MAX_RANK];
} kl_labels;
kl_labels kl_contract_labels(const kl_graph *g, kl_ref r);
int kl_label_at(const kl_labels *l, int part, int64_t label); /* its axis; -1: none */
static inline const kl_node *kl_graph_at(const kl_graph *g, kl_ref r)
{
    return &g->nodes[r];
}
static inline kl_ref kl_graph_src(const kl_graph *g, kl_ref r, uint32_t i)
{
    return g->srcs[g->nodes[r].src + i];
}
static inline const kl_dim *kl_graph_shape(const kl_graph *g, kl_ref r)
{
    return g->extents + g->nodes[r].shape;
}
static inline const int64_t *kl_graph_attr(const kl_graph *g, kl_ref r)
{
    return g->attrs + g->nodes[r].attr;
}
void kl_graph_type(const kl_graph *g, kl_ref r, kl_type *out);
kl_dim kl_graph_numel(const kl_graph *g, kl_ref r);
bool kl_graph_const_value(const kl_graph *g, kl_ref r, double *v,
                          int64_t *iv); /* 0-d or all alike, through expand */

/* ---- graph_rewrite.c: compacting, rebuilding, inlining ---- */

/* Keep what is live, in the same order, dense again. live may be NULL: what outputs need.
 * Inputs and calls with effects always stay. */
kl_status kl_graph_compact(kl_graph *g, const bool *live);
/* A rebuilding walk: a new graph in the same arena in which node r became map[r]; the
 * visitor is given each node (inputs too, which are already there) with its sources
 * mapped, and returns its replacement. Inputs, outputs, donations, bodies keep their
 * numbers; names and places follow. */
typedef kl_ref (*kl_visit_fn)(void *ctx, kl_graph *to, const kl_graph *from, kl_ref r,
                              const kl_ref *src);
kl_status kl_graph_rewrite(kl_graph **g, kl_visit_fn visit, void *ctx);
kl_ref kl_graph_copy_node(kl_graph *to, const kl_graph *from, kl_ref r,
                          const kl_ref *src); /* the identity visitor */
/* Inline body's outputs for given arguments (its inputs); out gets noutputs refs. */
kl_status kl_graph_inline(kl_graph *to, const kl_graph *body, const kl_ref *args,
                          kl_ref *out);

/* ---- infer.c: dtype and shape, shared with the frontend's lazy nodes ---- */

/* Validates and gives result 0's type. The failure names op, shapes and dtypes. */
kl_status kl_infer(kl_dims *d, kl_op op, const kl_type *src, uint32_t nsrc,
                   const int64_t *attr, uint32_t nattr, const kl_type *want,
                   kl_type *out);
/* Result k of a node with several (bodies: the graph's). */
kl_status kl_infer_pick(kl_dims *d, kl_op op, const kl_type *src, uint32_t nsrc,
                        const int64_t *attr, uint32_t nattr,
                        struct kl_graph *const *bodies, int k, kl_type *out);
void kl_type_print(const kl_dims *d, const kl_type *t, kl_text *out); /* "f32[2,3]" */

/* ---- graph_text.c, graph_verify.c ---- */

void kl_graph_print(const kl_graph *g, kl_text *out);
kl_status kl_graph_parse(kl_arena *a, const char *file, const char *text, kl_graph **out);
/* The same of a text that a user keeps: nodes without a place of their own get its lines.
 */
kl_status kl_graph_parse_source(kl_arena *a, const char *file, const char *text,
                                kl_graph **out);
/* From a lexer standing at "graph": for files with several parts. */
kl_status kl_graph_parse_at(kl_arena *a, kl_dims *d, kl_lex *l, kl_graph **out);
kl_status kl_graph_verify(const kl_graph *g); /* KL_ERR_INTERNAL naming the node */

/* ---- eval.c, eval_cast.c, eval_complex.c: the meaning of ELT and CAST rows ---- */
#include "ir/eval.h"

/* ---- expr.c: scalar expressions, interned ---- */

/* Shared by kernels and loops. Index arithmetic is i64. ELT and CAST rows are themselves;
 * the other operators are: */
typedef enum kl_xop {
    KL_X_CONST = KL_OP_COUNT + 1, /* imm: the bits */
    KL_X_VAR,   /* imm: variable: a kernel axis or a loop's counter; i64 */
    KL_X_DIM,   /* imm: a kl_dim (symbolic); i64 */
    KL_X_LOAD,  /* imm: operand; src: index, then optionally predicate (bool) and other
                   value */
    KL_X_STAGE, /* kernel level: value of stage imm at the current outer point; src: index
                   along each of that stage's own free axes */
    KL_X_REG,   /* loops level: register imm; src: index into each of its array dimensions
                 */
    KL_X_END
} kl_xop;
typedef struct kl_xnode {
    uint16_t op;
    uint8_t dtype, nsrc;
    kl_x src[3];
    uint64_t imm;
} kl_xnode;
_Static_assert(sizeof(kl_xnode) == 24, "no padding: nodes are compared as bytes");
typedef struct kl_xinfo { /* derived facts, beside each node */
    int64_t min,
        max;       /* of an integer or bool; INT64_MIN..INT64_MAX: unknown, or may wrap */
    uint64_t vars; /* bit v % 64 is set when variable v occurs */
    uint32_t mark, pos; /* kl_x_order's, kl_x_map's */
    bool sym; /* the range rests on a symbol's bounds: sums of such do not overflow */
} kl_xinfo;
typedef struct kl_exprs {
    kl_arena *arena;
    kl_dims *dims;
    kl_xnode *nodes;
    uint32_t count, cap;
    kl_xinfo *info;
    uint32_t cap_info, *epoch;
    uint32_t *table, table_cap;
    kl_dim *var_extent; /* per variable: 0 <= v < extent; for range reasoning */
    uint32_t nvars, cap_vars;
    const char **var_name;
    kl_x *lowered; /* kl_x_lower_math's, per node, for the native rows lowered_for */
    uint32_t cap_lowered;
    bool *lowered_for;
} kl_exprs;
kl_exprs *kl_exprs_new(kl_arena *a, kl_dims *d);
kl_exprs *kl_exprs_own(const kl_exprs *x, kl_arena *a); /* a copy, over dims of its own */
uint32_t kl_x_newvar(kl_exprs *x, const char *name, kl_dim extent);
kl_x kl_x_var(kl_exprs *x, uint32_t var);
kl_x kl_x_const(kl_exprs *x, kl_dtype dt, kl_scalar v);
kl_x kl_x_int(kl_exprs *x, int64_t v); /* i64 */
kl_x kl_x_bool(kl_exprs *x, bool v);
kl_x kl_x_dim(kl_exprs *x, kl_dim v); /* a constant or KL_X_DIM */
/* Any ELT row, folding constants and simplifying i64 index arithmetic with the variables'
 * ranges ((4*a + b) / 4 = a when 0 <= b < 4). The float rows are never rearranged. */
kl_x kl_x_op(kl_exprs *x, kl_op op, kl_x a, kl_x b, kl_x c);
kl_x kl_x_cast(kl_exprs *x, kl_x a, kl_dtype to);
kl_x kl_x_bitcast(kl_exprs *x, kl_x a, kl_dtype to);
/* Where pred (KL_NONE: true) is false nothing is read and the value is other (KL_NONE:
 * zero). */
kl_x kl_x_load(kl_exprs *x, uint32_t operand, kl_dtype dt, kl_x index, kl_x pred,
               kl_x other);
kl_x kl_x_stage(kl_exprs *x, uint32_t stage, kl_dtype dt, const kl_x *index, int n);
kl_x kl_x_reg(kl_exprs *x, uint32_t reg, kl_dtype dt, const kl_x *index, int n);
/* Index shorthands on i64. */
kl_x kl_x_add(kl_exprs *x, kl_x a, kl_x b);
kl_x kl_x_mul(kl_exprs *x, kl_x a, kl_x b);
kl_x kl_x_scale(kl_exprs *x, kl_x a, int64_t by);
kl_x kl_x_divf(kl_exprs *x, kl_x a, kl_x b); /* floordiv */
kl_x kl_x_mod(kl_exprs *x, kl_x a, kl_x b);
kl_x kl_x_lt(kl_exprs *x, kl_x a, kl_x b);
kl_x kl_x_and(kl_exprs *x, kl_x a, kl_x b); /* KL_NONE = true on either side */
bool kl_x_is_int(const kl_exprs *x, kl_x a, int64_t *v);
/* of an i64 expression */
void kl_x_range(const kl_exprs *x, kl_x a, int64_t *min, int64_t *max);
/* index = base + coef * var with base free of var and coef constant? Emitters ask. */
bool kl_x_affine(kl_exprs *x, kl_x index, uint32_t var, kl_x *base, int64_t *coef);
/* For kl_x_subst: a variable becomes a value; ctx: a kl_x_named. */
typedef struct kl_x_named {
    uint32_t var;
    kl_x value;
} kl_x_named;
kl_x kl_x_value_of(void *ctx, kl_exprs *x, kl_x leaf);
/* e with var as hi * run + lo: two new variables. KL_NONE: no memory. */
kl_x kl_x_split(kl_exprs *x, kl_x e, uint32_t var, int64_t run, uint32_t *lo);
/* index rises by one from var to var + 1 but where so many of var end: rows of an array
 * inside of wider ones. 0: it does not. */
int64_t kl_x_run(kl_exprs *x, kl_x index, uint32_t var);
bool kl_x_uses_var(const kl_exprs *x, kl_x a, uint32_t var);
/* What root needs, sources before users, root last. For walks that do not recurse. */
typedef struct kl_xlist {
    kl_x *items;
    uint32_t count, cap;
} kl_xlist;                                                        /* zero-initialise */
kl_status kl_x_order(const kl_exprs *x, kl_x root, kl_xlist *out); /* replaces it */
/* The same appended, without what calls with the same epoch gave (0: a new one). */
kl_status kl_x_order_more(const kl_exprs *x, kl_x root, uint32_t *epoch, kl_xlist *out);
void kl_xlist_free(kl_xlist *l);
/* The image of a: fn gives each node's, knowing its sources'; sources first. */
typedef kl_x (*kl_x_map_fn)(void *ctx, kl_exprs *x, kl_x node, const kl_x *src);
kl_x kl_x_map(kl_exprs *x, kl_x a, kl_x_map_fn fn, void *ctx);
/* Replace variables and stage reads everywhere; memoised. The rest is rebuilt, so
 * simplified. */
typedef kl_x (*kl_x_subst_fn)(void *ctx, kl_exprs *x,
                              kl_x leaf); /* leaf: VAR, or STAGE with its
                         indices replaced already; KL_NONE keeps it */
kl_x kl_x_subst(kl_exprs *x, kl_x a, kl_x_subst_fn fn, void *ctx);
/* Every MATH row in a expanded over exact rows (math.def), and rows outside `native` (a
 * bit set by op) decomposed by shared rules; f16 and bf16 arithmetic widened to f32 and
 * rounded back. */
kl_x kl_x_lower_math(kl_exprs *x, kl_x a, const bool *native);
/* The shared rules: how a row outside `native` is built of others; NULL: it has no rule.
 * Casts to and from f16 and bf16 are decomposed too unless native[KL_OP_cast]. */
typedef kl_x (*kl_x_rule_fn)(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b,
                             kl_x c);
kl_x_rule_fn kl_x_rule(kl_op op);
void kl_x_print(const kl_exprs *x, kl_x a, const kl_kernel *k, kl_text *out);
/* Between expr*.c and the parsers: a node exactly as given; node with new sources,
 * simplified; facts of a node about to be; the simpler form of an integer or bool row
 * (KL_NONE: none). */
kl_x kl_x_intern(kl_exprs *x, const kl_xnode *n);
kl_x kl_x_rebuild(kl_exprs *x, kl_x a, const kl_x *src);
/* The dtype of an ELT row of these n operands; KL_DTYPE_NONE: they do not fit it. */
kl_dtype kl_x_result(const kl_exprs *x, kl_op op, const kl_x *src, int n);
kl_xinfo kl_x_info(const kl_exprs *x, const kl_xnode *n);
kl_x kl_x_simplify(kl_exprs *x, kl_op op, kl_x a, kl_x b, kl_x c);

/* ---- math.c, math_run.c, math_expand.c, math.def: MATH rows over exact rows ---- */

/* y = op(a, b, c) for a MATH row at any float dtype (f16 and bf16 go through f32), philox
 * at u64; false: op has no body in math.def. */
bool kl_math_eval_n(kl_op op, kl_dtype dt, int64_t n, void *y, const void *a,
                    const void *b, const void *c);

/* The body of a MATH row for such arguments; KL_NONE where it has fewer. */
kl_x kl_math_expand(kl_exprs *x, kl_op op, kl_x a, kl_x b, kl_x c);

/* ---- kernel.c: algorithm, schedule, loops ---- */

/* A kernel is one or more parts (siblings fused side by side share the launch). A part
 * computes its stages in order at every point of its outer axes. Value of a stage:
 *
 *   for outer axes, for its own free axes:  v = value                                 MAP
 *                                           v = combine over its reduce axes of value
 * REDUCE
 *
 * Later stages of the part read it with KL_X_STAGE. A MAP stage may also write to an
 * operand. */

typedef enum kl_axis_kind { KL_AXIS_FREE, KL_AXIS_REDUCE, KL_AXIS_SCAN } kl_axis_kind;
typedef struct kl_axis { /* variable number = index in k->axes: axes are the first
                            variables */
    const char *name;
    kl_dim extent;
    kl_axis_kind kind;
} kl_axis;
typedef enum kl_role {
    KL_ROLE_IN,
    KL_ROLE_OUT,
    KL_ROLE_TEMP /* global, of the launch */,
    KL_ROLE_TILE
} kl_role;
typedef enum kl_scope_of {
    KL_SCOPE_WORKER /* shared memory, worker scratch */,
    KL_SCOPE_LANE
} kl_scope_of;
typedef struct kl_operand {
    const char *name;
    kl_dtype dtype;
    kl_role role;
    kl_dim count; /* elements addressed: low <= index < low + count */
    kl_dim
        low; /* inputs with negative strides: the lowest index (a kl_dim_const), else 0 */
    kl_scope_of scope; /* TILE */
    kl_ref node;       /* the graph node this is, or KL_NONE */
    const kl_dim *shape;
    int rank; /* the node's, for readers; NULL: not told */
    uint32_t
        inplace; /* OUT: 1 + IN operand it may share memory with index by index, or 0 */
} kl_operand;
typedef enum kl_stage_kind {
    KL_STAGE_MAP,
    KL_STAGE_REDUCE,
    KL_STAGE_ARGMAX,
    KL_STAGE_ARGMIN,
    KL_STAGE_CONTRACT, /* REDUCE by add of a product of two loads' expressions, contract's
                          order */
    KL_STAGE_PREFIX, /* own axes: .., scan axis last; value combined in order; stored each
                        step */
    KL_STAGE_SCATTER, /* own axis walked in order; store combines into the operand */
    KL_STAGE_SORT     /* own axis: stable; store[0] keys, store[1] i64 permutation */
} kl_stage_kind;
typedef struct kl_store {
    uint32_t operand;
    kl_x index, pred, value;
} kl_store; /* pred KL_NONE: always */
typedef struct kl_check {
    kl_x ok, value;
    int32_t kind;
    uint32_t node;
} kl_check; /* !ok: error word */
typedef struct kl_stage {
    kl_stage_kind kind;
    kl_op combine;
    kl_dtype dtype;     /* of its value */
    int nfree, nreduce; /* own axes: free first, then reduced ones, outermost first */
    uint16_t axes[KL_MAX_RANK];
    kl_x value;      /* KL_NONE for a stage that only stores */
    kl_x rhs;        /* CONTRACT: value * rhs */
    bool descending; /* SORT */
    int64_t first;   /* SORT: how many of the first are kept; 0: all */
    bool dot;        /* CONTRACT: k over 16 lanes folded by halves (M or N below 4) */
    kl_store *stores;
    int nstores;
    kl_check *checks;
    int nchecks;
    kl_ref node;       /* the graph node it comes from */
    const char *place; /* its user's file and line, or NULL */
} kl_stage;
typedef struct kl_part {
    int nouter;
    uint16_t outer[KL_MAX_RANK]; /* axes, outermost first */
    kl_stage *stages;
    int nstages;
} kl_part;

/* The schedule: decisions as data. Which a class of kernels understands is in
 * passes/schedule.c. */
typedef enum kl_dec_kind {
    KL_DEC_CLASS, /* the lowering recipe: text name in `name` (map, row, column, split,
                     contract, ..) */
    KL_DEC_SPLIT, /* axis into chunks of factor */
    KL_DEC_BIND,  /* axis to bind */
    KL_DEC_ORDER, /* axis goes innermost next */
    KL_DEC_LANES, /* lane width of the innermost loop */
    KL_DEC_UNROLL,
    KL_DEC_TILE /* stage factor kept in a tile */,
    KL_DEC_GRAIN,
    KL_DEC_PARAM /* name = factor */
} kl_dec_kind;
typedef enum kl_bind {
    KL_BIND_SERIAL,
    KL_BIND_WORKER,
    KL_BIND_GROUP,
    KL_BIND_LANE,
    KL_BIND_VECTOR,
    KL_BIND_MATRIX,
    KL_BIND_UNROLL
} kl_bind;
typedef struct kl_decision {
    kl_dec_kind kind;
    int part, axis;
    int64_t factor;
    kl_bind bind;
    const char *name;
} kl_decision;

/* Loops: a tree of statements.
 *
 * FOR v in extent: SERIAL and UNROLL as named. LANE of width W: the body runs for W
 * consecutive values of v at once (SIMD on the CPU, threads of a group on the GPU), in
 * steps of W up to extent; positions past extent are masked off: they load nothing, store
 * nothing, keep registers. No lane loop inside another. REG declares a register for the
 * rest of the enclosing body: an array (dims[0..ndims)) of lanes-wide vectors; lanes 1 is
 * uniform. A lanes-W register is used inside lane loops of width W, where each lane sees
 * its own; SET outside them fills all lanes. Array indices are constants once unrolled
 * loops are expanded. FOLD: uniform dst = lanes of src combined by halves (16 8 4 2 1 for
 * 32). TURN, on the CPU: element i's lane l of a square array (as many elements as lanes)
 * becomes element l's lane i. A predicate of a load or store guards that access alone,
 * not what its operands read. A phase whose block is 1 by 1 runs on the CPU: its groups
 * run one after the other, and so may its lanes, statement by statement or one after the
 * other: in a round of a lane loop none reads what another stores. Barriers say nothing
 * there. On the GPU all threads of a group run uniform code redundantly; a worker is a
 * block; BARRIER waits for the whole block. Between two phases of a kernel all workers
 * have finished. */
typedef enum kl_stmt_kind {
    KL_S_FOR,
    KL_S_IF,
    KL_S_REG,
    KL_S_SET,
    KL_S_STORE,
    KL_S_FOLD,
    KL_S_TURN,
    KL_S_BARRIER,
    KL_S_CHECK,
    KL_S_NOTE /* a comment line */,
    KL_S_COUNT
} kl_stmt_kind;
typedef struct kl_stmt kl_stmt;
struct kl_stmt {
    kl_stmt_kind kind;
    kl_stmt *next, *body, *other; /* body: FOR, IF; other: IF's else */
    uint32_t var;                 /* FOR */
    kl_bind bind;
    int32_t lanes;    /* FOR LANE: width; REG: lanes */
    kl_x extent;      /* FOR: i64 uniform */
    uint32_t reg;     /* REG SET FOLD(dst) TURN */
    kl_x index[3];    /* SET: array indices; unused KL_NONE */
    kl_x value;       /* SET STORE value; IF, CHECK condition; FOLD: a KL_X_REG of src */
    kl_x at, pred;    /* STORE: element index, predicate */
    uint32_t operand; /* STORE */
    kl_op combine;    /* FOLD */
    int32_t fault;    /* CHECK: KL_FAULT_*; its value in `at` */
    uint32_t node;
    const char *note;
    const char *place; /* the user's file and line that it comes from, or NULL */
    uint32_t line;     /* in the text that kl_loops_lines wrote; 0: in none */
};
typedef struct kl_reg {
    const char *name;
    kl_dtype dtype;
    int32_t lanes;
    int ndims;
    int32_t dims[3];
} kl_reg;
typedef struct kl_phase { /* one launch grid */
    uint32_t var;         /* the worker's number */
    kl_dim workers;
    int64_t grain;
    int32_t group, lane; /* GPU block shape; CPU: 1, 1 */
    uint32_t line;       /* as a statement's */
    kl_stmt *body;
} kl_phase;

struct kl_kernel {
    kl_arena *arena;
    const char *name, *place;
    /* Why it stands alone: the value that another kernel computes for it, and why that is
     * apart; why its own result has memory although its readers could compute it. NULL:
     * no such thing. */
    const char *apart, *apart_why, *kept_why;
    const char *at;                 /* the place that new statements get */
    const struct kl_target *target; /* scheduled for; NULL before */
    kl_exprs *x;
    kl_operand *operands;
    uint32_t noperands, cap_operands;
    kl_axis *axes;
    uint32_t naxes, cap_axes;
    kl_part *parts;
    int nparts;
    kl_dim when; /* 1; or of 0 and 1: launched where it is 1 */
    kl_decision *schedule;
    uint32_t ndecisions, cap_decisions;
    kl_reg *regs;
    uint32_t nregs, cap_regs; /* loops */
    kl_phase *phases;
    int nphases;            /* loops: > 0 once lowered */
    struct kl_kernel *code; /* whose loops do the same, given sizes; NULL: its own */
    const int64_t *sizes;   /* by code's symbol */
    double flops, bytes; /* at hinted sizes */
    const char *call; /* not a kernel: a call of this native function on its operands */
    bool control; /* .. or this control row: its bodies are programs of their own */
    int body;     /* control: its first body's number, known to the passes */
};
kl_kernel *kl_code_of(kl_kernel *k); /* its code, or itself */
kl_kernel *kl_kernel_new(kl_arena *a, kl_dims *d, const char *name);
/* The same kernel with expressions and extents of its own in a, to be added to while
 * others use the arena that k lies in. NULL: no memory. */
kl_kernel *kl_kernel_own(const kl_kernel *k, kl_arena *a);
uint32_t kl_kernel_operand(kl_kernel *k, const kl_operand *o);
uint32_t kl_kernel_axis(kl_kernel *k, const char *name, kl_dim extent, kl_axis_kind kind);
uint32_t kl_kernel_reg(kl_kernel *k, const kl_reg *r);
kl_stmt *kl_stmt_new(kl_kernel *k, kl_stmt_kind kind);
/* A cursor that appends statements: B.at is the tail pointer. */
typedef struct kl_build {
    kl_kernel *k;
    kl_stmt **at;
} kl_build;
kl_stmt *kl_b_put(kl_build *b, kl_stmt *s);
kl_build kl_b_for(kl_build *b, uint32_t var, kl_x extent, kl_bind bind,
                  int32_t lanes); /* inside */
kl_build kl_b_if(kl_build *b, kl_x cond);
kl_build kl_b_else(kl_build *b); /* of the IF just put */
kl_x kl_b_reg(kl_build *b, const char *name, kl_dtype dt, int32_t lanes, int ndims,
              const int32_t *dims);
void kl_b_set(kl_build *b, kl_x reg /* KL_X_REG with its indices */, kl_x value);
void kl_b_store(kl_build *b, uint32_t operand, kl_x index, kl_x value, kl_x pred);
void kl_b_fold(kl_build *b, kl_x dst, kl_op combine, kl_x src);
void kl_b_turn(kl_build *b, uint32_t reg);
void kl_b_barrier(kl_build *b);
void kl_b_check(kl_build *b, kl_x ok, int32_t fault, uint32_t node, kl_x value);
/* Every statement, a body after its head. The expressions of one, in the order of its
 * text; of all, each once, sources first. */
typedef kl_status (*kl_stmt_fn)(void *ctx, const kl_stmt *s);
kl_status kl_stmt_walk(const kl_stmt *s, kl_stmt_fn fn, void *ctx);
int kl_stmt_exprs(const kl_stmt *s, kl_x out[6]);
kl_status kl_kernel_exprs(const kl_kernel *k, kl_xlist *out); /* to be freed, failed too */
int64_t kl_kernel_decided(const kl_kernel *k, kl_dec_kind kind, int part, int axis,
                          int64_t dflt);
const char *kl_kernel_class(const kl_kernel *k);
int32_t kl_kernel_lanes(const kl_kernel *k); /* of the widest lane loop */
/* The dims the loops use (KL_X_DIM, each once), by first use, then the symbols of
 * operands' sizes that are not among them: the launch's dims array. */
int kl_kernel_dims(const kl_kernel *k, kl_dim *out, int cap);
/* Bytes of one worker's tiles, and each tile's offset (64-byte aligned). A LANE tile has
 * one copy a lane of the widest lane loop: element i of lane l lies at i * lanes + l. */
kl_dim kl_kernel_scratch(const kl_kernel *k, kl_dim *offsets /* per operand, or NULL */);

/* ---- kernel_text.c, kernel_verify.c: levels "kernel" and "loops" ---- */

void kl_kernel_print(const kl_kernel *k, kl_text *out); /* algorithm and schedule */
void kl_loops_print(const kl_kernel *k, kl_text *out);
/* The same loops without what is for readers (names of operands, comments, line ends that
 * keep lines short): the text whose hash is the kernel's key. */
void kl_loops_key(const kl_kernel *k, kl_text *out);
/* The loops appended to a text whose last line was number `line`; statements and phases
 * learn theirs. Returns the last line's number. */
uint32_t kl_loops_lines(kl_kernel *k, uint32_t line, kl_text *out);
/* kernel_head.c: "y = div(x): class map, flops 1000, bytes 8000, net.c:41" */
void kl_kernel_head(const kl_kernel *k, kl_text *out);
kl_status kl_kernel_parse(kl_arena *a, const char *file, const char *text,
                          kl_kernel **out);
kl_status kl_loops_parse(kl_arena *a, const char *file, const char *text,
                         kl_kernel **out);
kl_status kl_kernel_verify(const kl_kernel *k);
kl_status kl_loops_verify(const kl_kernel *k);

/* ---- graph_interp.c, loops_interp.c ---- */

/* Runs a graph on dense host buffers by its definition alone (DESIGN.md, "One number"):
 * the oracle. out[i] are new dense buffers. Faults come back as KL_ERR_INDEX. */
kl_status kl_graph_interp(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                          kl_buffer *out);
/* The same, and every node of g (not of bodies) is shown once it is computed: its
 * sources' first results and its own. A status other than KL_OK ends the run with it. */
typedef kl_status (*kl_interp_watch)(void *user, const kl_graph *g, kl_ref r,
                                     const kl_buffer *const *src, const kl_buffer *y);
kl_status kl_graph_interp_watched(const kl_graph *g, const kl_buffer *in,
                                  const int64_t *syms, kl_buffer *out,
                                  kl_interp_watch watch, void *user);
/* Runs loops on operands (base pointers by operand number; a TILE's is not read: tiles
 * are its own). Also finds: a load or store outside an operand, a read of a tile never
 * written, two lanes, groups or workers that touch one place without a barrier between
 * (one of them writing). */
kl_status kl_loops_interp(const kl_kernel *k, void *const *bufs, const int64_t *syms,
                          int64_t error[3]);

/* ---- target.c ---- */
#include "ir/target.h"

#endif
