/* math_expand.c: a body of math.def as scalar expressions of a kernel: the tape of
 * math.c, line by line. Equal lines of several bodies become one, since expressions are
 * interned.
 *
 *   exp(load x[i]) : f32   ->   where(lt(x, -104.0), 0.0, where(lt(89.0, x), inf,
 * mul(..)))
 *
 * f16 and bf16 go through f32, as they do in math_run.c. */
#include "ir/math.h"

static kl_x line(kl_exprs *x, const kl_math_line *l, const kl_x *v, const kl_x *in)
{
    kl_x a = v[l->src[0]];
    switch ((int)l->op) {
    case KL_OP_const:
        return kl_x_const(x, (kl_dtype)l->to, (kl_scalar){.bits = l->imm});
    case KL_OP_input:
        return in[l->imm];
    case KL_OP_cast:
        return kl_x_cast(x, a, (kl_dtype)l->to);
    case KL_OP_bitcast:
        return kl_x_bitcast(x, a, (kl_dtype)l->to);
    default:
        return kl_x_op(x, (kl_op)l->op, a,
                       kl_ops[l->op].arity > 1 ? v[l->src[1]] : KL_NONE,
                       kl_ops[l->op].arity > 2 ? v[l->src[2]] : KL_NONE);
    }
}

bool kl_math_has_usual(kl_op op, kl_dtype dt)
{
    const kl_math_tape *t = kl_ops[op].flags & KL_F_MATH ? kl_math_tape_of(op, dt) : NULL;
    return t && t->usual;
}

kl_x kl_math_expand(kl_exprs *x, kl_op op, kl_x a, kl_x b, kl_x c)
{
    if (a == KL_NONE)
        return KL_NONE;
    kl_dtype dt = (kl_dtype)x->nodes[a].dtype;
    if (dt == KL_F16 || dt == KL_BF16) {
        kl_x wide = kl_x_cast(x, a, KL_F32);
        kl_x other = b == KL_NONE ? b : kl_x_cast(x, b, KL_F32);
        return kl_x_cast(x, kl_math_expand(x, op, wide, other, c), dt);
    }
    const kl_math_tape *t = kl_math_tape_of(op, dt);
    if (!t)
        return KL_NONE;
    kl_x v[KL_MATH_MAX];
    const kl_x in[3] = {a, b, c};
    for (int i = 0; i < t->count; i++)
        v[i] = line(x, &t->line[i], v, in);
    return v[t->count - 1];
}
