/* test_math_expand.c: a body as scalar expressions computes what its tape computes, to
 * the bit. */
#include "ir/math.h"

#include <check.h>
#include <stdlib.h>

static uint64_t state = 88172645463325252u;
static uint64_t random_bits(void)
{
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    return state * UINT64_C(0x2545f4914f6cdd1d);
}

/* Any bits, or an ordinary number. */
static kl_scalar argument(kl_dtype dt, int i)
{
    uint64_t bits = random_bits();
    if (i % 2)
        return (kl_scalar){.bits = bits >> (64 - kl_dtypes[dt].bits)};
    double unit = (double)(int64_t)bits * 0x1p-63;
    return kl_scalar_from(dt, i % 4 ? unit * 10 : unit);
}

/* Every node in order: sources have smaller numbers. Loads of operand k are arg[k]. */
static kl_scalar evaluate(const kl_exprs *x, kl_x root, const kl_scalar *arg)
{
    kl_scalar *v = calloc(x->count, sizeof *v), y;
    for (uint32_t i = 0; i <= root; i++) {
        const kl_xnode *n = &x->nodes[i];
        kl_dtype from =
            n->nsrc ? (kl_dtype)x->nodes[n->src[n->op == KL_OP_where]].dtype : 0;
        const kl_scalar none = {.bits = 0};
        if (n->op == KL_X_CONST)
            v[i].bits = n->imm;
        else if (n->op == KL_X_LOAD)
            v[i] = arg[n->imm];
        else if (n->op == KL_OP_cast)
            v[i] = kl_eval_cast((kl_dtype)n->dtype, from, v[n->src[0]]);
        else if (n->op == KL_OP_bitcast)
            v[i] = v[n->src[0]];
        else
            v[i] = kl_eval((kl_op)n->op, from, v[n->src[0]],
                           n->nsrc > 1 ? v[n->src[1]] : none,
                           n->nsrc > 2 ? v[n->src[2]] : none);
    }
    y = v[root];
    free(v);
    return y;
}

START_TEST(expressions)
{
    static const kl_dtype floats[] = {KL_F16, KL_BF16, KL_F32, KL_F64};
    kl_op op = (kl_op)_i;
    if (!kl_math_tape_of(op, KL_F32))
        return; /* no body: an exact row that machines have */
    for (size_t t = 0; t < KL_COUNT(floats); t++) {
        kl_dtype dt = floats[t];
        kl_arena *arena = kl_arena_new();
        kl_exprs *x = kl_exprs_new(arena, kl_dims_new(arena));
        kl_x a = kl_x_load(x, 0, dt, kl_x_int(x, 0), KL_NONE, KL_NONE);
        kl_x b = kl_x_load(x, 1, dt, kl_x_int(x, 0), KL_NONE, KL_NONE);
        kl_x e = kl_math_expand(x, op, a, kl_ops[op].arity > 1 ? b : KL_NONE, KL_NONE);
        ck_assert(e != KL_NONE && x->nodes[e].dtype == dt);
        for (uint32_t i = 0; i < x->count; i++)
            ck_assert(x->nodes[i].op >= KL_OP_COUNT ||
                      !kl_math_tape_of((kl_op)x->nodes[i].op, KL_F32));
        for (int i = 0; i < 2000; i++) {
            kl_scalar arg[2] = {argument(dt, i), argument(dt, i / 2)};
            kl_scalar got = evaluate(x, e, arg),
                      want = kl_eval(op, dt, arg[0], arg[1], arg[1]);
            double g = kl_scalar_to_double(dt, got), w = kl_scalar_to_double(dt, want);
            ck_assert_msg(got.bits == want.bits || (g != g && w != w),
                          "%s %s of bits %llx, %llx: %a, not %a", kl_ops[op].name,
                          kl_dtypes[dt].name, (unsigned long long)arg[0].bits,
                          (unsigned long long)arg[1].bits, g, w);
        }
        kl_arena_free(arena);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("math_expand");
    TCase *tc = tcase_create("bodies");
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, expressions, 0, KL_OP_COUNT);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_NORMAL);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
