/* math.h: a body of math.def in the form that its two readers share: a straight line of
 * exact rows, each naming earlier ones. math.c makes it from the text, once; math_run.c
 * runs it over arrays; math_expand.c repeats it as scalar expressions. */
#ifndef KL_MATH_H
#define KL_MATH_H

#include "ir/ir.h"

enum { KL_MATH_MAX = 1000 }; /* lines of one tape */

typedef struct kl_math_line {
    uint16_t
        op; /* ELT row, cast, bitcast; const: imm has the bits; input: imm is 0 to 2 */
    uint8_t from;    /* dtype of the operands (where: of b and c) */
    uint8_t to;      /* dtype of the result */
    uint16_t src[3]; /* earlier lines; unused: 0 */
    uint16_t
        place; /* where math_run.c keeps the value: constants first, then reused places */
    uint64_t imm;
} kl_math_line;

typedef struct kl_math_tape {
    const kl_math_line *line;
    int count; /* the last line is the result */
    int consts, places;
    bool usual; /* the result is a `usually` */
} kl_math_tape;

/* The body of a MATH row at f32 or f64 (philox: u64), or of a float row that machines lack
 * (rem, mod, floordiv); NULL when math.def has none. */
const kl_math_tape *kl_math_tape_of(kl_op op, kl_dtype dt);

/* Is op's body of that dtype a `usually`: is what it computes for seldom operands worth a
 * branch? */
bool kl_math_has_usual(kl_op op, kl_dtype dt);

#ifdef KILN_PLANT
/* Name and dtype of math.def's body number i; NULL past the last. */
const char *kl_math_body(int i, const char **dtype);
#endif

#endif
