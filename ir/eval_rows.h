/* eval_rows.h: one function that computes any exact elementwise row over n elements of
 * one dtype. A template: eval.c includes it once a dtype, with
 *
 *   NAME     of the function            S        an element in memory
 *   T        what it is computed in     LOAD PUT between the two
 *   FN(x)    the helper x for T         IS_BOOL IS_INT IS_FLOAT: 0 or 1
 *
 * The meaning is ops.def's KL_SEM and nothing else. Each row becomes a case with one
 * loop:
 *
 *   KL_OP(lt, ELT, 2, BOOL, 0) KL_SEM(a < b)
 *   -> break; case KL_OP_lt: rule = KL_RULE_BOOL; for (..) ((bool *)y)[i] = a < b;
 *
 * The rule decides the types, and the compiler drops the loops of the other rules. */

static bool NAME(kl_op op, int64_t n, void *yp, const void *ap, const void *bp,
                 const void *cp)
{
    const S *av = ap, *bv = bp ? bp : ap, *cv = cp ? cp : bv;
    const uint8_t *cond = ap;
    S *yv = yp;
    uint8_t *truth = yp;
    kl_rule rule;
    switch (op) {
    default:
#define KL_OP(name, kind, arity, rule_, flags)                                           \
    return false;                                                                        \
    case KL_OP_##name:                                                                   \
        rule = FITS(rule_, flags) ? KL_RULE_##rule_ : KL_RULE_OWN;
#define KL_SEM(e)                                                                        \
    if (rule == KL_RULE_SAME || rule == KL_RULE_FLOAT) {                                 \
        EACH                                                                             \
        {                                                                                \
            T a = LOAD(av[i]), b = LOAD(bv[i]), c = LOAD(cv[i]);                         \
            (void)a, (void)b, (void)c;                                                   \
            yv[i] = PUT((T)(e));                                                         \
        }                                                                                \
        return true;                                                                     \
    }                                                                                    \
    if (rule == KL_RULE_BOOL) {                                                          \
        EACH                                                                             \
        {                                                                                \
            T a = LOAD(av[i]), b = LOAD(bv[i]), c = LOAD(cv[i]);                         \
            (void)a, (void)b, (void)c;                                                   \
            truth[i] = (bool)(e);                                                        \
        }                                                                                \
        return true;                                                                     \
    }                                                                                    \
    if (rule == KL_RULE_COND) {                                                          \
        EACH                                                                             \
        {                                                                                \
            bool a = cond[i] != 0;                                                       \
            S b = bv[i], c = cv[i];                                                      \
            (void)a, (void)b, (void)c;                                                   \
            yv[i] = (S)(e);                                                              \
        }                                                                                \
        return true;                                                                     \
    }
#include "ir/ops.def"
        return false;
    }
}
#undef NAME
#undef S
#undef T
#undef FN
#undef LOAD
#undef PUT
#undef IS_BOOL
#undef IS_INT
#undef IS_FLOAT
