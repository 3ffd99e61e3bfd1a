/* decompose.h: how decompose*.c write rules: expressions over one kl_exprs, tersely. A
 * rule says what a row means by other rows, exactly as ops.def does. */
#ifndef KL_DECOMPOSE_H
#define KL_DECOMPOSE_H

#include "ir/ir.h"

/* Operands stand in an initialiser, which gcc and clang evaluate from left to right: each
 * evaluates a call's arguments in an order of its own, and nodes would be numbered so. */
#define ROW(op, ...) kl_row(x, KL_OP_##op, (kl_x[]){__VA_ARGS__})
#define OP1(op, a) ROW(op, a, KL_NONE, KL_NONE)
#define OP2(op, a, b) ROW(op, a, b, KL_NONE)
#define WHERE(c, a, b) ROW(where, c, a, b)
static inline kl_x kl_row(kl_exprs *x, kl_op op, const kl_x *s)
{
    return kl_x_op(x, op, s[0], s[1], s[2]);
}
#define INT(dt, v) kl_x_const(x, dt, (kl_scalar){.i64 = (int64_t)(v)})
#define FLT(dt, v) kl_x_const(x, dt, kl_scalar_from(dt, v))
#define CAST(a, dt) kl_x_cast(x, a, dt)
#define BITS(a, dt) kl_x_bitcast(x, a, dt)

/* decompose_float.c: rules on the bits of floats. */
kl_dtype kl_bits_dtype(kl_dtype dt); /* f32: u32 */
kl_x kl_rule_fma(kl_exprs *x, kl_dtype dt, kl_x a, kl_x b, kl_x c);
kl_x kl_rule_rem_f32(kl_exprs *x, kl_x a, kl_x b);
kl_x kl_rule_cast(kl_exprs *x, kl_x a, kl_dtype to); /* to or from f16, bf16 */
kl_x kl_float_abs(kl_exprs *x, kl_dtype dt, kl_x a);
kl_x kl_float_neg(kl_exprs *x, kl_dtype dt, kl_x a);
kl_x kl_float_signed(kl_exprs *x, kl_dtype dt, kl_x a,
                     kl_x sign); /* |a| with sign's sign */
kl_x kl_float_round(kl_exprs *x, kl_dtype dt, kl_x a);

#endif
