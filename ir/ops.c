/* ops.c: the table of primitives as data, read off ops.def's columns. Each row of the
 * file becomes one element below: KL_OP closes the element before it and opens its own,
 * so that a column is just a designated initialiser, and a column that a row lacks stays
 * NULL.
 *
 *   KL_OP(neg, ELT, 1, SAME, NOBOOL) KL_DOC("y = -a")
 *     -> }, [KL_OP_neg] = { .name = "neg", .kind = KL_KIND_ELT, .arity = 1, .. , .doc =
 * "y = -a",
 *
 * The element past the last row is "set", the combination of scatter that is no
 * primitive. */
#include "ir/ir.h"

enum {
    COMM = KL_F_COMM,
    ASSOC = KL_F_ASSOC,
    IDEMP = KL_F_IDEMP,
    RED = KL_F_RED,
    INT = KL_F_INT,
    NOBOOL = KL_F_NOBOOL,
    CPLX = KL_F_CPLX,
    MATH = KL_F_MATH,
    MULTI = KL_F_MULTI,
    GRAPH = KL_F_GRAPH
};

/* clang-format off */
#define KL_OP(n, k, ar, r, f) \
    }, [KL_OP_##n] = { .name = #n, .kind = KL_KIND_##k, .arity = ar, .rule = KL_RULE_##r, \
                       .flags = f,
#define KL_DOC(s) .doc = s,
#define KL_SEM(e) .sem = #e,
#define KL_ID(b, i, f) .id = { #b, #i, #f },
#define KL_LL(u, s, f) .ll = { u, s, f },
#define KL_CU(s) .cu = s,
#define KL_D(...) .d = { __VA_ARGS__ },
#define KL_T(fn) .t = #fn,
#define KL_DERIV(fn) .deriv = #fn,
#define KL_NOD(reason) .nod = reason,

const kl_op_info kl_ops[KL_OP_COUNT + 1] = {
    [KL_SET] = { .name = "set", .arity = 2, .doc = "y = b, whatever was there",
#include "ir/ops.def"
    }
};
/* clang-format on */

/* Names are few and short: a scan that compares the first letter first is quick enough.
 */
int kl_op_find(const char *name, size_t len)
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        if (kl_ops[op].name[0] == *name && strlen(kl_ops[op].name) == len &&
            memcmp(kl_ops[op].name, name, len) == 0)
            return op;
    return -1;
}
