/* llvm_emit.h: the loops emitter's private state, shared by llvm_emit.c (phases),
 * llvm_stmt.c llvm_turn.c llvm_outline.c llvm_lane.c llvm_stream.c (statements),
 * llvm_expr.c llvm_op.c llvm_cast.c llvm_rem.c llvm_fma.c llvm_index.c (values),
 * llvm_memory.c llvm_clamp.c llvm_runs.c (loads, stores), llvm_fault.c.
 *
 * The IR is in SSA form when it is made, so no pass has to run over it. Control is
 * structured, so that is easy: a loop's phis are the registers that its body sets. Each
 * open loop or branch is a frame; every value knows the outermost frame it can be
 * computed in (its level) and is put there, before the branch that leads further in:
 *
 *   for r { for c lane 32 { store y[r*64+c] = sub(load x[r*64+c], m) } }
 *
 *   frame 1 (r)   r*64; x + r*64; y + r*64; splat m
 *   frame 2 (c)   load, sub, store, a vector each chunk
 *
 * Inside a lane loop of width W a varying value is W / vec vectors ("chunks") of vec
 * lanes; uniform ones stay scalars until a vector needs them. */
#ifndef KL_LLVM_EMIT_H
#define KL_LLVM_EMIT_H

#include "codegen/codegen.h"

enum { KL_LL_CHUNKS = 16, KL_LL_FRAMES = 96 };

/* An operand's address at an index, known as long as the index is. */
typedef struct kl_ll_address {
    struct kl_ll_address *next;
    uint32_t operand;
    int64_t coef;
    LLVMValueRef base, at; /* base: the lane loop's, NULL: outside, or the same in all */
} kl_ll_address;

/* What an expression is worth here and now. */
typedef struct kl_ll_val {
    struct kl_ll_val *prev; /* an older one of the same expression */
    struct kl_ll_val *next; /* of the same frame */
    kl_x x;
    int32_t level;      /* the frame it was put in */
    uint32_t stamp;     /* when; regs or mem changed since: no longer true */
    uint64_t regs, mem; /* what it depends on, hashed to a bit each */
    bool vary, narrow;  /* narrow: an index whose lanes are 32 bits wide */
    int n;              /* chunks; 1 when uniform */
    LLVMValueRef splat; /* of a uniform value, for splat_lanes lanes */
    int splat_lanes;
    LLVMValueRef splat32,
        *wide;                /* a uniform index as narrow lanes; narrow lanes as wide */
    kl_ll_address *addresses; /* of a uniform index */
    LLVMValueRef v[];
} kl_ll_val;

typedef struct kl_ll_frame {
    LLVMValueRef
        enter;       /* the branch that leads here; NULL: goes on in the parent's block */
    kl_ll_val *vals; /* forgotten when the frame is left */
    bool cond;       /* may not run although its parent does: loads stay inside */
    bool unrolled;   /* one turn of a loop written out */
    const uint8_t
        *sets; /* per register, then per operand: changed in this frame's body */
} kl_ll_frame;

typedef struct kl_ll_reg { /* one register of the kernel, now */
    int vec, n, elems;     /* lanes of a vector, vectors of an element, elements */
    int level;             /* the frame it was declared in; -1: not declared */
    LLVMValueRef *v;       /* [elems * n] */
} kl_ll_reg;

typedef struct kl_ll_lane { /* the lane loop we are in */
    bool on;
    uint32_t var;
    int vec, n, level;
    LLVMValueRef base; /* the first lane's value of var */
} kl_ll_lane;

typedef struct kl_ll {
    kl_llvm_unit *u;
    LLVMContextRef c;
    LLVMBuilderRef b;
    const kl_kernel *k;
    const kl_target *t;
    kl_exprs *x;
    kl_arena *a;
    kl_status status;
    bool bounds;
    bool outlined;  /* in a function that llvm_outline.c made */
    bool stream;    /* vector stores go past the caches */
    bool fence;     /* and did */
    uint32_t steps; /* blocks of llvm_turn.c */
    bool native[KL_OP_COUNT];
    const kl_phase *phase;
    LLVMValueRef fn, args;
    LLVMBasicBlockRef block; /* where the innermost frame goes on */
    kl_ll_frame frames[KL_LL_FRAMES];
    int depth;
    int loops;        /* open now */
    kl_ll_val **head; /* per expression */
    kl_x *lowered;    /* per expression: after kl_x_lower_math; KL_NONE: not yet */
    uint8_t
        *turns; /* per expression: uses a written out loop's variable? 0: not yet asked */
    uint32_t nhead;
    LLVMValueRef *var; /* per variable: its scalar value now */
    int *var_level;
    bool *written_out;               /* per variable: of a loop written out */
    uint32_t ends[2 * KL_LL_CHUNKS]; /* variables: llvm_runs.c */
    uint32_t nvars;
    kl_ll_reg *regs;
    bool *local;       /* per register: declared in the body being looked at */
    LLVMValueRef *ops; /* per operand: base pointer; NULL: not loaded yet */
    LLVMValueRef worker, dummy;
    LLVMValueRef astray, astray_at; /* first access out of bounds: node + 1, element */
    kl_dim *tile_offset;
    kl_dim *dims;
    int ndims;
    LLVMValueRef *dim_values;
    uint32_t stamp, reg_stamp[64], mem_stamp[64];
    kl_ll_lane lane;
    struct {
        int lanes, vec;
    } vecs[8];        /* kl_ll_vec_of's, of this phase */
    int scalar_lanes; /* > 0: a lane loop of this width runs a lane at a time */
    LLVMValueRef mask[KL_LL_CHUNKS]; /* active lanes; NULL: all */
    LLVMValueRef side[KL_LL_CHUNKS]; /* of them, what branches in the body decide */
} kl_ll;

/* ---- llvm_emit.c ---- */

void kl_ll_fail(kl_ll *e, kl_status s, const char *what); /* keeps the first */
void kl_ll_forget(kl_ll *e); /* a function begins: nothing is known */
void kl_ll_push(kl_ll *e, LLVMValueRef enter, bool cond, const uint8_t *sets);
void kl_ll_pop(kl_ll *e);
/* Build next where frame `level` can compute it. */
void kl_ll_place(kl_ll *e, int level);
/* Build next at the end of the innermost frame. */
void kl_ll_here(kl_ll *e);
static inline int kl_ll_top(const kl_ll *e)
{
    return e->depth - 1;
}
LLVMTypeRef kl_ll_type(kl_ll *e, kl_dtype dt,
                       int lanes); /* in registers; lanes 1: scalar */
LLVMTypeRef kl_ll_mem_type(kl_ll *e, kl_dtype dt,
                           int lanes); /* in memory: bool is a byte */
LLVMTypeRef kl_ll_int(kl_ll *e, int bits, int lanes);
LLVMValueRef kl_ll_i64(kl_ll *e, int64_t v);
LLVMValueRef kl_ll_const(kl_ll *e, kl_dtype dt, uint64_t bits, int lanes);
LLVMValueRef kl_ll_const_int(kl_ll *e, int bits, uint64_t v, int lanes);
LLVMValueRef kl_ll_call(kl_ll *e, const char *intrinsic, LLVMTypeRef *over, int nover,
                        LLVMValueRef *args, int n);
LLVMValueRef kl_ll_gep(kl_ll *e, LLVMTypeRef t, LLVMValueRef p, LLVMValueRef index);
LLVMValueRef kl_ll_extent(kl_ll *e, kl_dim d);    /* NULL and a failure: not given */
LLVMValueRef kl_ll_operand(kl_ll *e, uint32_t i); /* an operand's base pointer */
LLVMValueRef kl_ll_arg(kl_ll *e, int64_t byte, LLVMTypeRef t); /* a field of kl_args */
LLVMBasicBlockRef kl_ll_block(kl_ll *e, const char *name);     /* at the function's end */
void kl_ll_set_block(kl_ll *e, LLVMBasicBlockRef b);
LLVMValueRef kl_ll_name(LLVMValueRef v, const char *name);

/* ---- llvm_stmt.c ---- */

void kl_ll_body(kl_ll *e, const kl_stmt *s);
/* What a body changes, for a frame; and that it was changed. */
const uint8_t *kl_ll_sets(kl_ll *e, const kl_stmt *body);
void kl_ll_touch(kl_ll *e, const uint8_t *sets);
/* A counted loop, open: for (iv = begin; iv < end; iv += step), tested at its end. */
typedef struct kl_ll_loop {
    LLVMBasicBlockRef from, head,
        exit; /* from: where it may be stepped over; NULL: runs */
    LLVMValueRef iv, end;
    int64_t step;
    const uint8_t *sets;
    int nvals;
    int64_t built; /* instructions before it */
    LLVMValueRef *before, *phi;
} kl_ll_loop;
void kl_ll_loop_begin(kl_ll *e, kl_ll_loop *l, LLVMValueRef begin, LLVMValueRef end,
                      int64_t step, bool runs, const kl_stmt *body, const char *name);
void kl_ll_loop_end(kl_ll *e, kl_ll_loop *l);
/* A branch taken or not, open; kl_ll_else between the two sides. */
typedef struct kl_ll_branch {
    LLVMBasicBlockRef yes, no, join, yes_end, from;
    LLVMValueRef term;
    const uint8_t *sets;
    int nvals;
    LLVMValueRef *before, *after;
} kl_ll_branch;
void kl_ll_branch_begin(kl_ll *e, kl_ll_branch *br, LLVMValueRef cond,
                        const uint8_t *sets);
void kl_ll_branch_else(kl_ll *e, kl_ll_branch *br);
void kl_ll_branch_end(kl_ll *e, kl_ll_branch *br);
void kl_ll_touch_reg(kl_ll *e, uint32_t reg);
void kl_ll_touch_mem(kl_ll *e, uint32_t operand);

/* ---- llvm_turn.c ---- */

void kl_ll_turn(kl_ll *e, const kl_stmt *s);

/* ---- llvm_outline.c ---- */

/* The statements from the declaration s to its register's last use as a function, called
 * here: the last of them; NULL: not worth one, nothing done. */
const kl_stmt *kl_ll_outline(kl_ll *e, const kl_stmt *s);

/* ---- llvm_lane.c ---- */

void kl_ll_lanes(kl_ll *e, const kl_stmt *s);
int kl_ll_vec_of(kl_ll *e, int lanes); /* vector length of registers of that many lanes */

/* ---- llvm_expr.c ---- */

kl_ll_val *kl_ll_eval(kl_ll *e, kl_x x);      /* x as kl_ll_lower gave it; NULL: failed */
kl_x kl_ll_lower(kl_ll *e, kl_x x);           /* exact native rows only */
LLVMValueRef kl_ll_uniform(kl_ll *e, kl_x x); /* NULL and a failure when it varies */
/* What of a condition is the same in all lanes, placed at level; NULL: nothing. */
LLVMValueRef kl_ll_uniform_part(kl_ll *e, kl_x cond, int level);
LLVMValueRef kl_ll_chunk(kl_ll *e, kl_ll_val *v, int c); /* as a vector in a lane loop */
LLVMValueRef kl_ll_broadcast(kl_ll *e, LLVMValueRef s,
                             int lanes); /* where the builder stands */
LLVMValueRef kl_ll_splat(kl_ll *e, kl_ll_val *v, int lanes);
bool kl_ll_static(kl_ll *e, kl_x x,
                  int64_t *out); /* a constant here (unrolled variables are) */
int kl_ll_element(kl_ll *e, uint32_t reg,
                  const kl_x *index); /* of an array; -1: failed */
kl_ll_val *kl_ll_new(kl_ll *e, kl_x x, int level, bool vary, uint64_t regs, uint64_t mem);

/* ---- llvm_op.c, llvm_cast.c: one row, where the builder stands ---- */

LLVMValueRef kl_ll_op(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a, LLVMValueRef b,
                      LLVMValueRef c);
LLVMValueRef kl_ll_cast(kl_ll *e, kl_dtype to, kl_dtype from, LLVMValueRef a);
LLVMValueRef kl_ll_bitcast(kl_ll *e, kl_dtype to, kl_dtype from, LLVMValueRef a);

/* ---- llvm_index.c ---- */

/* x as a comparison of the lane's number; NULL: it is none. */
kl_ll_val *kl_ll_lane_compare(kl_ll *e, kl_x x, const kl_xnode *n);
/* May x be computed of lanes of 32 bits? Then chunk c of a source, and the row of them.
 */
bool kl_ll_may_be_narrow(kl_ll *e, kl_x x, const kl_xnode *n);
LLVMValueRef kl_ll_narrow_chunk(kl_ll *e, kl_ll_val *v, int c);
/* Where the operand's address at a uniform index is kept, or would be; NULL: no memory.
 */
kl_ll_address *kl_ll_address_of(kl_ll *e, uint32_t operand, kl_ll_val *index,
                                int64_t coef, LLVMValueRef base);
/* That address. What a loop's turns have in common is added outside of it: the rest is
 * part of the instruction. */
LLVMValueRef kl_ll_uniform_address(kl_ll *e, uint32_t operand, kl_ll_val *index);
LLVMValueRef kl_ll_narrow_row(kl_ll *e, const kl_xnode *n, LLVMValueRef a,
                              LLVMValueRef b);
/* base + chunk * vec + lane, for every lane of every chunk. */
kl_ll_val *kl_ll_lane_numbers(kl_ll *e, kl_x x);
LLVMValueRef kl_ll_wide(kl_ll *e, kl_ll_val *v, int c); /* a narrow value's chunk */

/* ---- llvm_scale.c ---- */

/* Is x m 2^n, for which the target has an instruction? */
bool kl_ll_scale_of(kl_ll *e, kl_x x, kl_x *m, kl_x *n);
LLVMValueRef kl_ll_scale(kl_ll *e, kl_dtype dt, LLVMValueRef m, LLVMValueRef n);
int kl_ll_lanes_of(LLVMValueRef v); /* 1: scalar */
LLVMValueRef kl_ll_as_bits(kl_ll *e, LLVMValueRef a);
/* A node of an expression, its sources given. */
LLVMValueRef kl_ll_row(kl_ll *e, const kl_xnode *n, LLVMValueRef a, LLVMValueRef b,
                       LLVMValueRef c);
/* llvm_fma.c: by a function of the module: fma for targets without the instruction, a row
 * of math.def that has a usual case. */
LLVMValueRef kl_ll_called(kl_ll *e, kl_op op, kl_dtype dt, LLVMValueRef a, LLVMValueRef b,
                          LLVMValueRef c);
/* llvm_rem.c: the module's function for the exact remainder of two floats of that dtype.
 */
LLVMValueRef kl_ll_rem_function(kl_ll *e, kl_dtype dt);
/* Division of non-negative by positive: index arithmetic. */
bool kl_ll_divides_plainly(const kl_ll *e, const kl_xnode *n);
LLVMValueRef kl_ll_udiv(kl_ll *e, kl_op op, LLVMValueRef a, LLVMValueRef b);

/* ---- llvm_stream.c ---- */

/* i1, whether the lane loop's stores, vec lanes each, should go past the caches; NULL:
 * no. */
LLVMValueRef kl_ll_may_stream(kl_ll *e, const kl_stmt *loop, int vec);
void kl_ll_streamed(kl_ll *e, LLVMValueRef store, int bytes); /* this store does */
/* A step's loads before its arithmetic. In the order of their use LLVM puts arithmetic
 * between them, and a Zen 5 reads a quarter slower. (A fence of one thread is no
 * instruction: it keeps LLVM from moving loads across.) */
void kl_ll_loads_first(kl_ll *e, const kl_stmt *body);
void kl_ll_stream_end(kl_ll *e); /* at the phase's end */

/* ---- llvm_runs.c ---- */

bool kl_ll_ends_init(kl_ll *e);   /* once a kernel, before its variables are counted */
void kl_ll_ends_forget(kl_ll *e); /* a step of lanes begins */
/* The index where the lane is the first or last of chunk c, as a scalar; NULL: failed. */
kl_ll_val *kl_ll_at_end(kl_ll *e, kl_x index, int c, bool last);
/* Lanes of chunk c before the first multiple of run that is not lane 0. */
LLVMValueRef kl_ll_of_row(kl_ll *e, int64_t run, int c);

/* ---- llvm_memory.c ---- */

/* llvm_clamp.c: a load equal to this one without the clamp in its index; KL_NONE: none.
 */
kl_x kl_ll_unclamp(kl_ll *e, kl_x load);
kl_ll_val *kl_ll_load(kl_ll *e, kl_x x);
void kl_ll_store(kl_ll *e, const kl_stmt *s);
LLVMValueRef kl_ll_any(kl_ll *e, LLVMValueRef mask); /* i1: some lane is set */
LLVMValueRef kl_ll_and(kl_ll *e, LLVMValueRef a, LLVMValueRef b); /* NULL: all set */

/* ---- llvm_fault.c ---- */

LLVMValueRef kl_ll_first(kl_ll *e, LLVMValueRef v,
                         LLVMValueRef mask); /* v's first lane in mask */
/* If bad (i1) then set the error word, once. */
void kl_ll_fault(kl_ll *e, LLVMValueRef bad, int kind, LLVMValueRef node,
                 LLVMValueRef value);
void kl_ll_bounds_end(kl_ll *e); /* at the phase's end, where accesses are checked */

#endif
