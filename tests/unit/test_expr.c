/* test_expr.c: index expressions. Random ones must mean what they say, however they are
 * simplified; and a table of those that must fold. */
#include <check.h>
#include <stdlib.h>

#include "ir/ir.h"

enum { NV = 4 };
static kl_arena *a;
static kl_dims *d;
static kl_exprs *x;
static kl_dim symB, symC;

static void setup(void)
{
    kl_error_clear();
    a = kl_arena_new();
    d = kl_dims_new(a);
    symB = kl_dim_sym(d, "B");
    symC = kl_dim_sym(d, "C");
    x = kl_exprs_new(a, d);
    kl_x_newvar(x, "i", 7);
    kl_x_newvar(x, "j", 64);
    kl_x_newvar(x, "r", symB);
    kl_x_newvar(x, "c", symC);
}

static void teardown(void)
{
    kl_arena_free(a);
}

/* The value of an i64 or bool expression over variables and extents, by kl_eval alone. */
static int64_t value(kl_x e, const int64_t *vars, const int64_t *syms)
{
    kl_xlist l = {0};
    ck_assert_int_eq(kl_x_order(x, e, &l), KL_OK);
    kl_scalar *v = calloc(x->count, sizeof *v), y;
    for (uint32_t i = 0; i < l.count; i++) {
        const kl_xnode *n = &x->nodes[l.items[i]];
        kl_scalar s[3] = {{.bits = 0}, {.bits = 0}, {.bits = 0}};
        for (int k = 0; k < n->nsrc; k++)
            s[k] = v[n->src[k]];
        y.bits = n->imm;
        if (n->op == KL_X_VAR)
            y.i64 = vars[n->imm];
        else if (n->op == KL_X_DIM)
            y.i64 = kl_dim_eval(d, (kl_dim)n->imm, syms);
        else if (n->op == KL_OP_cast)
            y = kl_eval_cast(n->dtype, x->nodes[n->src[0]].dtype, s[0]);
        else if (n->op != KL_X_CONST)
            y = kl_eval((kl_op)n->op, x->nodes[n->src[n->nsrc - 1]].dtype, s[0], s[1],
                        s[2]);
        v[l.items[i]] = y;
    }
    y = v[e];
    bool isbool = x->nodes[e].dtype == KL_BOOL;
    free(v);
    kl_xlist_free(&l);
    return isbool ? y.b : y.i64;
}

static uint64_t seed;
static uint32_t rnd(uint32_t n)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(seed >> 33) % n;
}

static kl_x raw(kl_op op, kl_x p, kl_x q, kl_x r)
{
    kl_dtype dt =
        kl_ops[op].rule == KL_RULE_BOOL ? KL_BOOL : x->nodes[q == KL_NONE ? p : q].dtype;
    kl_xnode n = {
        .op = (uint16_t)op, .dtype = (uint8_t)dt, .nsrc = (uint8_t)kl_ops[op].arity};
    n.src[0] = p, n.src[1] = q, n.src[2] = r;
    return kl_x_intern(x, &n);
}

/* One expression twice: as written and simplified. */
static void grow(kl_x *plain, kl_x *simple, int n)
{
    static const kl_op ops[] = {KL_OP_add, KL_OP_add,      KL_OP_sub,  KL_OP_mul,
                                KL_OP_mul, KL_OP_min,      KL_OP_max,  KL_OP_floordiv,
                                KL_OP_mod, KL_OP_floordiv, KL_OP_mod,  KL_OP_div,
                                KL_OP_rem, KL_OP_neg,      KL_OP_where};
    static const int64_t ks[] = {0, 1, -1, 2, 3, 7, 8, 64, 448, -3, 5, 10};
    for (int i = 0; i < n; i++) {
        uint32_t kind = i < 8 ? (uint32_t)i % 4 : rnd(20);
        kl_op op = ops[rnd(KL_COUNT(ops))];
        uint32_t p = rnd(i ? (uint32_t)i : 1), q = rnd(i ? (uint32_t)i : 1);
        if (i < 4) {
            plain[i] = simple[i] = kl_x_var(x, (uint32_t)i);
        } else if (kind < 6) {
            plain[i] = simple[i] = kl_x_int(x, ks[rnd(KL_COUNT(ks))]);
        } else if (kind == 6) {
            plain[i] = simple[i] =
                kl_x_dim(x, kl_dim_mul(d, rnd(2) ? symB : symC, 1 + rnd(3)));
        } else if (op == KL_OP_where) {
            kl_op cmp = (kl_op[]){KL_OP_lt, KL_OP_le, KL_OP_eq, KL_OP_ne}[rnd(4)];
            kl_x c0 = raw(cmp, plain[p], plain[q], KL_NONE);
            kl_x c1 = kl_x_op(x, cmp, simple[p], simple[q], KL_NONE);
            if (rnd(2)) {
                c0 = raw(KL_OP_not, c0, KL_NONE, KL_NONE);
                c1 = kl_x_op(x, KL_OP_not, c1, KL_NONE, KL_NONE);
            }
            uint32_t u = rnd((uint32_t)i), v = rnd((uint32_t)i);
            plain[i] = raw(op, c0, plain[u], plain[v]);
            simple[i] = kl_x_op(x, op, c1, simple[u], simple[v]);
        } else if (op == KL_OP_neg) {
            plain[i] = raw(op, plain[p], KL_NONE, KL_NONE);
            simple[i] = kl_x_op(x, op, simple[p], KL_NONE, KL_NONE);
        } else {
            plain[i] = raw(op, plain[p], plain[q], KL_NONE);
            simple[i] = kl_x_op(x, op, simple[p], simple[q], KL_NONE);
        }
        ck_assert_msg(plain[i] != KL_NONE && simple[i] != KL_NONE, "%s", kl_error());
    }
}

START_TEST(random_meaning)
{
    enum { N = 24 };
    kl_x plain[N], simple[N];
    for (int round = 0; round < 300; round++) {
        seed = (uint64_t)_i * 1000 + (uint64_t)round;
        grow(plain, simple, N);
        for (int s = 0; s < 4; s++) {
            int64_t syms[2] = {1 + rnd(s ? 100 : 3), 1 + rnd(s ? 70 : 3)};
            int64_t vars[NV] = {rnd(7), rnd(64), rnd((uint32_t)syms[0]),
                                rnd((uint32_t)syms[1])};
            for (int i = 0; i < N; i++) {
                int64_t p = value(plain[i], vars, syms), q = value(simple[i], vars, syms),
                        lo, hi;
                ck_assert_msg(
                    p == q,
                    "round %d node %d: %ld, simplified %ld (i %ld j %ld r %ld c %ld)",
                    round, i, (long)p, (long)q, (long)vars[0], (long)vars[1],
                    (long)vars[2], (long)vars[3]);
                kl_x_range(x, simple[i], &lo, &hi);
                ck_assert_msg(lo <= q && q <= hi, "round %d node %d: %ld not in %ld..%ld",
                              round, i, (long)q, (long)lo, (long)hi);
            }
        }
    }
}
END_TEST

#define I kl_x_var(x, 0)
#define J kl_x_var(x, 1)
#define R kl_x_var(x, 2)
#define C kl_x_var(x, 3)
#define K(v) kl_x_int(x, v)
#define DIM(v) kl_x_dim(x, v)
#define ADD(p, q) kl_x_add(x, p, q)
#define SUB(p, q) kl_x_op(x, KL_OP_sub, p, q, KL_NONE)
#define MUL(p, q) kl_x_mul(x, p, q)
#define DIV(p, q) kl_x_divf(x, p, q)
#define MOD(p, q) kl_x_mod(x, p, q)
#define LT(p, q) kl_x_lt(x, p, q)
#define LE(p, q) kl_x_op(x, KL_OP_le, p, q, KL_NONE)
#define EQ(p, q) kl_x_op(x, KL_OP_eq, p, q, KL_NONE)
#define NOT(p) kl_x_op(x, KL_OP_not, p, KL_NONE, KL_NONE)
#define AND(p, q) kl_x_and(x, p, q)
#define TRUE kl_x_bool(x, true)
#define FALSE kl_x_bool(x, false)
#define FOLDS(p, q) ck_assert_msg((p) == (q), "line %d: %s is not %s", __LINE__, #p, #q)

START_TEST(folds_numbers)
{
    FOLDS(ADD(I, K(0)), I);
    FOLDS(ADD(I, J), ADD(J, I));
    FOLDS(SUB(ADD(I, J), J), I);
    FOLDS(SUB(ADD(I, K(5)), K(5)), I);
    FOLDS(MUL(ADD(I, K(1)), K(4)), ADD(MUL(I, K(4)), K(4)));
    FOLDS(DIV(ADD(MUL(I, K(64)), J), K(64)), I);
    FOLDS(MOD(ADD(MUL(I, K(64)), J), K(64)), J);
    FOLDS(DIV(I, K(7)), K(0));
    FOLDS(MOD(I, K(7)), I);
    FOLDS(MOD(DIV(J, K(8)), K(8)), DIV(J, K(8)));
    FOLDS(ADD(MUL(DIV(J, K(10)), K(10)), MOD(J, K(10))), J);
    kl_x far = ADD(MUL(J, K(96)), I), near = ADD(MUL(J, K(40)), I);
    FOLDS(ADD(MUL(DIV(far, K(56)), K(56)), MOD(near, K(56))), far);
    FOLDS(ADD(MUL(MOD(DIV(J, K(4)), K(5)), K(4)), MOD(J, K(4))), MOD(J, K(20)));
    FOLDS(ADD(MUL(MOD(DIV(J, K(12)), K(2)), K(4)), MOD(DIV(J, K(3)), K(4))),
          MOD(DIV(J, K(3)), K(8)));
    kl_x in = ADD(MOD(MUL(J, K(16)), K(784)), I), all = ADD(MUL(J, K(16)), I);
    FOLDS(ADD(MUL(DIV(in, K(28)), K(28)), MOD(all, K(28))), in);
    FOLDS(DIV(DIV(J, K(4)), K(5)), DIV(J, K(20)));
    FOLDS(MOD(MOD(J, K(20)), K(5)), MOD(J, K(5)));
    FOLDS(DIV(MOD(J, K(20)), K(5)), MOD(DIV(J, K(5)), K(4)));
    FOLDS(DIV(MUL(J, K(6)), K(4)), DIV(MUL(J, K(3)), K(2)));
    FOLDS(MOD(ADD(MUL(J, K(6)), K(1)), K(4)),
          ADD(MUL(MOD(MUL(J, K(3)), K(2)), K(2)), K(1)));
    kl_x runs = ADD(MUL(J, K(8)), I); /* of 8: what is divided by 40 is the runs' number */
    FOLDS(DIV(runs, K(40)), DIV(J, K(5)));
    FOLDS(MOD(runs, K(40)), ADD(MUL(MOD(J, K(5)), K(8)), I));
    FOLDS(LT(J, K(64)), TRUE);
    FOLDS(LT(J, K(0)), FALSE);
    FOLDS(LT(ADD(MUL(I, K(64)), J), K(448)), TRUE);
    FOLDS(LT(ADD(MUL(I, K(64)), J), K(192)), LT(I, K(3)));
    FOLDS(LE(J, K(3)), LT(J, K(4)));
    FOLDS(NOT(LT(J, K(4))), LT(K(3), J));
    FOLDS(AND(LT(I, J), AND(LT(I, K(3)), LT(I, J))), AND(LT(I, K(3)), LT(I, J)));
    FOLDS(EQ(MUL(J, K(2)), K(7)), FALSE);
    FOLDS(kl_x_op(x, KL_OP_min, J, K(63), KL_NONE), J);
}
END_TEST

/* [B,C] as one row of B*C and back; [B,64] as [64*B]. */
START_TEST(folds_extents)
{
    kl_dim bc = kl_dim_mul(d, symB, symC);
    kl_x flat = ADD(MUL(R, DIM(symC)), C);
    FOLDS(DIV(flat, DIM(symC)), R);
    FOLDS(MOD(flat, DIM(symC)), C);
    FOLDS(LT(R, DIM(symB)), TRUE);
    FOLDS(LT(flat, DIM(bc)), TRUE);
    FOLDS(LT(ADD(MUL(R, K(64)), J), DIM(kl_dim_mul(d, symB, 64))), TRUE);
    uint32_t pv = kl_x_newvar(x, "p", bc),
             qv = kl_x_newvar(x, "q", kl_dim_mul(d, 64, symB));
    kl_x p = kl_x_var(x, pv), q = kl_x_var(x, qv);
    FOLDS(ADD(MUL(DIV(p, DIM(symC)), DIM(symC)), MOD(p, DIM(symC))), p);
    FOLDS(LT(DIV(p, DIM(symC)), DIM(symB)), TRUE);
    kl_x row = DIV(q, K(64)), col = MOD(q, K(64));
    FOLDS(ADD(MUL(row, K(64)), col), q);
    FOLDS(LT(row, DIM(symB)), TRUE);
    kl_x t = ADD(MUL(col, DIM(symB)), row); /* transposed, and back */
    FOLDS(DIV(t, DIM(symB)), col);
    FOLDS(MOD(t, DIM(symB)), row);
    /* [64*B] -> [B,8,8] -> [64*B] */
    kl_x h = MOD(DIV(q, K(8)), K(8)), w = MOD(q, K(8));
    FOLDS(ADD(ADD(MUL(row, K(64)), MUL(h, K(8))), w), q);
}
END_TEST

/* A hash of an index wraps: no rule about order may be applied to it. */
START_TEST(keeps_what_wraps)
{
    kl_x big = MUL(I, K(6364136223846793005)), m = MOD(big, K(10));
    int64_t v[NV] = {3, 0, 0, 0}, s[2] = {1, 1};
    int64_t w = (int64_t)(3 * UINT64_C(6364136223846793005));
    ck_assert_int_eq(value(m, v, s), ((w % 10) + 10) % 10);
}
END_TEST

START_TEST(affine)
{
    kl_x base;
    int64_t k;
    ck_assert(kl_x_affine(x, ADD(MUL(I, K(64)), ADD(J, R)), 1, &base, &k));
    ck_assert_int_eq(k, 1);
    FOLDS(base, ADD(MUL(I, K(64)), R));
    ck_assert(kl_x_affine(x, ADD(MUL(R, DIM(symC)), MUL(J, K(-3))), 1, &base, &k));
    ck_assert_int_eq(k, -3);
    ck_assert(kl_x_affine(x, R, 1, &base, &k) && k == 0 && base == R);
    ck_assert(!kl_x_affine(x, ADD(DIV(J, K(3)), J), 1, &base, &k));
    ck_assert(!kl_x_affine(x, MUL(J, DIM(symC)), 1, &base, &k));
    ck_assert(
        !kl_x_affine(x, kl_x_load(x, 0, KL_I64, J, KL_NONE, KL_NONE), 1, &base, &k));
}
END_TEST

/* Ten thousand operations in a chain: linear time, no recursion. */
START_TEST(long_chains)
{
    kl_x e = kl_x_load(x, 0, KL_I64, I, KL_NONE, KL_NONE),
         f = kl_x_const(x, KL_F32, (kl_scalar){.f32 = 2});
    kl_x g = kl_x_load(x, 0, KL_F32, I, KL_NONE, KL_NONE);
    for (int i = 0; i < 100000; i++) {
        e = ADD(e, kl_x_load(x, 1, KL_I64, ADD(I, K(i)), KL_NONE, KL_NONE));
        g = kl_x_op(x, i & 1 ? KL_OP_mul : KL_OP_add, g, f, KL_NONE);
    }
    ck_assert(e != KL_NONE && g != KL_NONE);
    ck_assert(kl_x_uses_var(x, g, 0) && !kl_x_uses_var(x, g, 1));
    kl_xlist l = {0};
    ck_assert_int_eq(kl_x_order(x, g, &l), KL_OK);
    ck_assert_uint_eq(l.count, 100003);
    kl_xlist_free(&l);
}
END_TEST

static kl_x to_j(void *ctx, kl_exprs *e, kl_x leaf)
{
    (void)ctx;
    return e->nodes[leaf].op == KL_X_VAR && e->nodes[leaf].imm == 0 ? kl_x_var(e, 1)
                                                                    : KL_NONE;
}

START_TEST(substitutes)
{
    kl_x e = kl_x_load(x, 0, KL_F32, ADD(MUL(I, K(64)), I), LT(I, K(3)), KL_NONE);
    kl_x y = kl_x_subst(x, e, to_j, NULL);
    FOLDS(y, kl_x_load(x, 0, KL_F32, MUL(J, K(65)), LT(J, K(3)), KL_NONE));
}
END_TEST

START_TEST(folds_scalars)
{
    kl_x two = kl_x_const(x, KL_F32, kl_scalar_from(KL_F32, 2)), l;
    FOLDS(ADD(two, two), kl_x_const(x, KL_F32, kl_scalar_from(KL_F32, 4)));
    l = kl_x_load(x, 0, KL_F32, I, KL_NONE, KL_NONE);
    kl_x zero = kl_x_const(x, KL_F32, kl_scalar_from(KL_F32, 0));
    ck_assert(ADD(l, zero) != l);
    FOLDS(ADD(l, zero), ADD(zero, l));
    kl_x h = kl_x_load(x, 0, KL_F16, I, KL_NONE, KL_NONE);
    FOLDS(kl_x_cast(x, kl_x_cast(x, h, KL_F32), KL_F16), h);
    ck_assert(kl_x_cast(x, kl_x_cast(x, l, KL_F16), KL_F32) != l);
    FOLDS(kl_x_cast(x, two, KL_I32), kl_x_const(x, KL_I32, (kl_scalar){.i32 = 2}));
    ck_assert(kl_x_op(x, KL_OP_add, l, I, KL_NONE) == KL_NONE);
    ck_assert_int_eq(kl_error_status(), KL_ERR_INTERNAL);
    ck_assert(ADD(KL_NONE, I) == KL_NONE);
}
END_TEST

/* Each row of two operands: one expression for both orders if it is COMM, else two. */
START_TEST(orders)
{
    const kl_op_info *o = &kl_ops[_i];
    kl_dtype dt = o->rule == KL_RULE_FLOAT ? KL_F32 : KL_I32;
    if (o->kind != KL_KIND_ELT || o->arity != 2 || o->rule == KL_RULE_OWN)
        return;
    kl_x at = kl_x_var(x, 1);
    kl_x p = kl_x_load(x, 0, dt, at, KL_NONE, KL_NONE),
         q = kl_x_load(x, 1, dt, at, KL_NONE, KL_NONE);
    kl_x pq = kl_x_op(x, (kl_op)_i, p, q, KL_NONE),
         qp = kl_x_op(x, (kl_op)_i, q, p, KL_NONE);
    ck_assert_msg(pq != KL_NONE && qp != KL_NONE, "%s: %s", o->name, kl_error());
    ck_assert_msg((pq == qp) == !!(o->flags & KL_F_COMM), "%s", o->name);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("expr");
    TCase *tc = tcase_create("expr");
    tcase_add_checked_fixture(tc, setup, teardown);
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, random_meaning, 0, 8);
    tcase_add_test(tc, folds_numbers);
    tcase_add_test(tc, folds_extents);
    tcase_add_test(tc, keeps_what_wraps);
    tcase_add_test(tc, affine);
    tcase_add_test(tc, long_chains);
    tcase_add_test(tc, substitutes);
    tcase_add_test(tc, folds_scalars);
    tcase_add_loop_test(tc, orders, 0, KL_OP_COUNT);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_NORMAL);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed ? 1 : 0;
}
