/* test_table.c: every row of ops.def on every dtype that inference allows, compiled for
 * this machine and run over special values, against the interpreter; the same of its
 * gradient, where the row has one. A row that the passes or a backend refuse is found
 * here. */
#include "only.h"
#include "table.h"

#include <check.h>

/* What the walk holds: a row or a dtype that falls out of it changes these. */
enum { CASES = 1354, GRADIENTS = 394 };

static int cases, gradients;

static void drop(kl_buffer *b, int n)
{
    for (int i = 0; i < n; i++)
        kl_memory_unref(b[i].mem);
}

static void compare(const table_case *c, const char *what, kl_graph *oracle)
{
    kl_buffer in[TABLE_INPUTS], want[TABLE_OUTPUTS], got[TABLE_OUTPUTS];
    void *from[TABLE_INPUTS], *to[TABLE_OUTPUTS];
    kl_program *p = NULL;
    char name[100];
    table_name(c, name, sizeof name);
    int nout = (int)c->g->noutputs;
    ck_assert_msg(kl_compile_graph(c->g, 0, &p) == KL_OK, "%s, %s: %s", name, what,
                  kl_error());
    for (uint32_t i = 0; i < TABLE_INPUTS; i++) {
        ck_assert(table_input(c, i, &in[i]) == KL_OK);
        from[i] = in[i].mem->base;
    }
    ck_assert_msg(kl_prepare_interp(oracle->arena, &oracle) == KL_OK &&
                      kl_graph_interp(oracle, in, NULL, want) == KL_OK,
                  "%s, %s: %s", name, what, kl_error());
    for (int i = 0; i < nout; i++) {
        ck_assert(new_dense(want[i].dtype, want[i].rank, want[i].shape, &got[i]) ==
                  KL_OK);
        to[i] = got[i].mem->base;
    }
    ck_assert_msg(kl_program_run(p, from, to, NULL) == KL_OK, "%s, %s: %s", name, what,
                  kl_error());
    for (int i = 0; i < nout; i++)
        ck_assert_msg(first_difference(&want[i], &got[i]) < 0,
                      "%s, %s: output %d differs at %d", name, what, i,
                      (int)first_difference(&want[i], &got[i]));
    kl_program_unref(p);
    drop(in, TABLE_INPUTS), drop(want, nout), drop(got, nout);
}

static bool real(kl_dtype dt)
{
    return kl_is_float(dt) || kl_is_complex(dt);
}

/* The gradient of all floating-point outputs by x, y, z as the only outputs. */
static bool take_gradient(table_case *c)
{
    kl_graph *g = c->g;
    kl_ref by[] = {KL_NONE, KL_NONE, c->x, c->y, c->z};
    int n = c->nout;
    c->nout = 0;
    g->noutputs = 0;
    for (int i = 0; i < n; i++) {
        if (!real((kl_dtype)g->nodes[c->out[i]].dtype))
            continue;
        by[0] = c->out[i];
        by[1] = c->out[i]; /* its own value as the seed */
        kl_spec s = {.op = KL_OP_grad, .src = by, .nsrc = 5};
        kl_ref d = kl_graph_node(g, &s);
        for (int k = 0; k < 3 && d != KL_NONE; k++)
            if (kl_graph_output(g, kl_g_pick(g, d, k), NULL) == KL_OK)
                c->nout++;
    }
    kl_error_clear();
    return c->nout > 0;
}

/* Refused by autodiff, with a reason that the row gives. */
static bool without_derivative(kl_arena *a, kl_op op, int v, kl_dtype dt)
{
    table_case c;
    bool has = table_case_new(&c, a, op, v, dt) && take_gradient(&c);
    kl_unit u = {.arena = a, .target = kl_target_host(), .graph = c.g};
    bool refused = has && kl_pass_autodiff(&u) != KL_OK;
    if (refused)
        ck_assert_msg(strstr(kl_error(), "derivative") != NULL, "%s", kl_error());
    kl_error_clear();
    return !has || refused;
}

static void walk_row(kl_op op, kl_dtype dt)
{
    for (int v = 0; v < table_variants(op); v++) {
        kl_arena *a = kl_arena_new();
        table_case c, same;
        if (table_case_new(&c, a, op, v, dt) && table_case_new(&same, a, op, v, dt)) {
            cases++;
            compare(&c, "forward", same.g);
        }
        if (real(dt) && kl_ops[op].kind != KL_KIND_TRANSFORM &&
            !without_derivative(a, op, v, dt)) {
            ck_assert(table_case_new(&c, a, op, v, dt) && take_gradient(&c));
            ck_assert(table_case_new(&same, a, op, v, dt) && take_gradient(&same));
            gradients++;
            compare(&c, "gradient", same.g);
        }
        kl_arena_free(a);
    }
}

START_TEST(a_dtype)
{
    kl_native_register("table_copy", table_copy, NULL);
    for (int op = 0; op < KL_OP_COUNT; op++)
        if (only_row(kl_ops[op].name) && only_dtype((kl_dtype)_i))
            walk_row((kl_op)op, (kl_dtype)_i);
}
END_TEST

/* How much is walked, without running it. */
START_TEST(all_of_it)
{
    kl_arena *a = kl_arena_new();
    for (int op = 0; op < KL_OP_COUNT; op++) {
        int before = cases;
        for (int dt = 0; dt < KL_DTYPE_COUNT; dt++)
            for (int v = 0; v < table_variants((kl_op)op); v++) {
                table_case c;
                cases += table_case_new(&c, a, (kl_op)op, v, (kl_dtype)dt);
                gradients += real((kl_dtype)dt) && kl_ops[op].kind != KL_KIND_TRANSFORM &&
                             !without_derivative(a, (kl_op)op, v, (kl_dtype)dt);
            }
        ck_assert_msg(cases > before || op == KL_OP_pick, "no case of %s",
                      kl_ops[op].name);
    }
    ck_assert_int_eq(cases, CASES);
    ck_assert_int_eq(gradients, GRADIENTS);
    kl_arena_free(a);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("table");
    TCase *tc = tcase_create("table");
    tcase_set_timeout(tc, 600);
    tcase_add_loop_test(tc, a_dtype, 0, KL_DTYPE_COUNT);
    tcase_add_test(tc, all_of_it);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
