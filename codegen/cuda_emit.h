/* cuda_emit.h: the CUDA C emitter's private state, shared by cuda_emit.c (kernels,
 * phases, names), cuda_stmt.c (statements), cuda_expr.c (values) and cuda_op.c (rows).
 *
 * The text is in three-address form: every operation is one constant of its own, named
 * t0, t1, .., written once where it is first needed. Each open loop or branch is a frame
 * with a text of its own; a value goes to the outermost frame in which all it depends on
 * is known, and so stands before the loop that uses it:
 *
 *   frame 1        const i32 t0 = w * 64;
 *                  for (i32 c = lane; c < 50; c += 32) {
 *   frame 2            const i32 t1 = t0 + c;
 *                      const f32 t2 = x[t1];
 *
 * What runs where: the threads of a lane loop take its values in turn; everything else
 * all threads of a block (in a group loop: of a group) compute alike, and one of them
 * stores. An i64 whose range fits is an i32. */
#ifndef KL_CUDA_EMIT_H
#define KL_CUDA_EMIT_H

#include "codegen/codegen.h"

enum { KL_CC_FRAMES = 64, KL_CC_NAME = 48 };

typedef struct kl_cc_val {
    struct kl_cc_val *prev; /* an older one of the same expression */
    struct kl_cc_val *next; /* of the same frame */
    kl_x x;
    int level;      /* the frame it was put in */
    uint32_t stamp; /* when; regs or mem changed since: no longer true */
    uint64_t regs, mem;
    const char *text; /* a name or a literal: an operand as it stands */
} kl_cc_val;

typedef struct kl_cc_frame {
    kl_text text;
    int indent;
    bool cond;  /* may not run although its parent does: loads stay inside */
    bool fixed; /* a branch: nothing moves out of it */
    const uint8_t
        *sets;       /* per register, then per operand: changed in this frame's body */
    kl_cc_val *vals; /* forgotten when the frame is left */
} kl_cc_frame;

typedef struct kl_cc kl_cc;
/* In what C for a CPU differs from CUDA C; the rest is shared. */
typedef struct kl_cc_dialect {
    const char *name;
    const char *unroll; /* the line before a loop to be unrolled */
    bool overloads;     /* C++: kl_max, whatever its operands are; else kl_max_f32 */
    bool threads;       /* lanes and groups are threads; else they are loops */
    void (*lanes)(kl_cc *e, const kl_stmt *s);
    void (*fold)(kl_cc *e, const kl_stmt *s);
    void (*turn)(kl_cc *e, const kl_stmt *s);
    /* A loop of no rounds is not in the text (NULL: nobody asks). */
    void (*skipped)(kl_cc *e, const kl_stmt *s);
    /* The text names that function of the prelude. */
    void (*needs)(kl_cc *e, const char *function, kl_dtype dt);
    /* A phase's signature and what stands before its body, and what stands after. */
    void (*head)(kl_cc *e, const char *function, const char *worker, const char *type,
                 kl_text *out);
    const char *tail;
    int indent; /* of the body */
} kl_cc_dialect;
extern const kl_cc_dialect kl_cc_cuda;

struct kl_cc {
    const kl_cc_dialect *d;
    const kl_kernel *k;
    kl_exprs *x;
    kl_arena *a;
    kl_status status;
    unsigned parts; /* of the prelude that the text needs */
    bool native[KL_OP_COUNT];
    const kl_phase *phase;
    kl_cc_frame frames[KL_CC_FRAMES];
    int depth;
    kl_cc_val **head; /* per expression */
    kl_x *lowered;    /* per expression: after kl_x_lower_math; KL_NONE: not yet */
    uint32_t nhead;
    kl_xlist order;
    const char **var; /* per variable: its text now; NULL outside its loop */
    int *var_level;
    bool *var_bound; /* by a loop of this phase */
    uint32_t nvars;
    const char **reg; /* per register */
    int *reg_level;   /* the frame it was declared in; -1: not declared */
    const char **op;  /* per operand */
    kl_dim *tile_offset;
    kl_dim *dims; /* the launch's, and what they are called */
    const char **dim;
    int ndims;
    const char **used; /* names taken, open addressing */
    uint32_t nused, cap_used;
    uint32_t temps;
    bool uses_lane, uses_group;
    bool uses_error;
    bool *op_used, *dim_used; /* in this phase */
    uint8_t *loaded, *stored; /* per operand, in this phase */
    uint32_t stamp, reg_stamp[64], mem_stamp[64];
    bool in_lane, in_group;
    /* Where lanes are a loop: the lane's number in the text, the frame that knows it, and
     * per register whether it is an array of lanes, declared outside of such a loop. */
    const char *lane;
    int lane_level;
    bool *reg_wide;
    void *user; /* the dialect's */
};

/* ---- cuda_emit.c ---- */

void kl_cc_fail(kl_cc *e, kl_status s, const char *what); /* keeps the first */
kl_cc_frame *kl_cc_top(kl_cc *e);
kl_cc_frame *kl_cc_push(kl_cc *e, bool braces, bool cond, bool fixed,
                        const uint8_t *sets);
/* Close the innermost frame: its text goes into its parent between head and tail. */
void kl_cc_pop(kl_cc *e, const char *head, const char *tail);
/* A line of the frame at that level, indented, with its end. */
void kl_cc_line(kl_cc *e, int level, const char *fmt, ...) KL_PRINTF(3, 4);
const char *kl_cc_name(kl_cc *e, const char *wish); /* one not taken yet */
const char *kl_cc_temp(kl_cc *e);                   /* t0, t1, .. */
const char *kl_cc_lane(kl_cc *e);                   /* "lane" */
const char *kl_cc_group(kl_cc *e);                  /* "group" */
const char *kl_cc_extent(kl_cc *e, kl_dim d);       /* of the launch's symbols */
const char *kl_cc_offset(kl_cc *e, uint32_t tile);  /* in bytes, among the tiles */
const char *kl_cc_type(kl_dtype dt);
void kl_cc_touch_reg(kl_cc *e, uint32_t reg);
void kl_cc_touch_mem(kl_cc *e, uint32_t operand);
void kl_cc_touch(kl_cc *e, const uint8_t *sets);
/* A phase's parameters, on several lines where one is too short; n keeps the column. */
void kl_cc_parameter(kl_text *out, size_t *line, const char *text);
/* k's phases as SYMBOL_0, SYMBOL_1, ..; needs: e->user. */
kl_status kl_cc_kernel(const kl_cc_dialect *d, void *user, const kl_kernel *k,
                       const char *symbol, kl_arena *a, unsigned *parts, kl_text *out);

/* ---- cuda_stmt.c ---- */

typedef struct kl_cc_loop {
    const char *head; /* NULL: the body as it stands */
    bool cond;
    const char *var;
} kl_cc_loop;
void kl_cc_serial(kl_cc *e, const kl_stmt *s);
const char *kl_cc_var_name(kl_cc *e, uint32_t var);
const char *kl_cc_counter_type(kl_cc *e, const kl_stmt *s, int64_t step);
/* The body's frame is open: the variable is known from here on, by that name. */
void kl_cc_bind(kl_cc *e, uint32_t var, const kl_cc_loop *l);
/* What a SET or FOLD sets. */
const char *kl_cc_set_target(kl_cc *e, const kl_stmt *s);
/* kl_cc_cuda's. */
void kl_cc_thread_lanes(kl_cc *e, const kl_stmt *s);
void kl_cc_thread_fold(kl_cc *e, const kl_stmt *s);

/* Text in the emitter's memory; "" after a failure. */
#define KL_CC_PRINT(e, ...) kl_cc_or_empty(e, kl_arena_printf((e)->a, __VA_ARGS__))
const char *kl_cc_or_empty(kl_cc *e, const char *s);
/* The innermost frame's number. */
static inline int kl_cc_level(const kl_cc *e)
{
    return e->depth - 1;
}
void kl_cc_body(kl_cc *e, const kl_stmt *s);
const uint8_t *kl_cc_sets(kl_cc *e, const kl_stmt *body); /* what a body changes */

/* ---- cuda_expr.c ---- */

kl_x kl_cc_lower(kl_cc *e, kl_x x);        /* exact rows only */
const char *kl_cc_eval(kl_cc *e, kl_x x);  /* lowered; never NULL: "0" after a failure */
const char *kl_cc_value(kl_cc *e, kl_x x); /* of an expression as the loops have it */
bool kl_cc_narrow(const kl_cc *e, kl_x x); /* an i64 kept as an i32 */
/* A register's element: acc[m]. */
const char *kl_cc_element(kl_cc *e, uint32_t reg, const kl_x *index);
const char *kl_cc_at(kl_cc *e, uint32_t operand, const char *index); /* x[t3] */

/* ---- cuda_op.c: one operation as an expression of C ---- */

const char *kl_cc_fn(kl_cc *e, const char *name, kl_dtype dt); /* "kl_max" */
const char *kl_cc_op(kl_cc *e, kl_op op, kl_dtype dt, const char *a, const char *b,
                     const char *c);
/* i64 rows on operands of known range, where n says which are kept as i32. */
const char *kl_cc_index(kl_cc *e, kl_x x, const char *const *s);
const char *kl_cc_cast(kl_cc *e, kl_dtype to, kl_dtype from, const char *a);
const char *kl_cc_bitcast(kl_cc *e, kl_dtype to, kl_dtype from, const char *a);
const char *kl_cc_literal(kl_cc *e, kl_dtype dt, uint64_t bits);

#endif
