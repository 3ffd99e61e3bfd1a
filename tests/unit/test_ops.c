/* The table of primitives is whole: every row, one test. */
#include "ir/ir.h"

#include <check.h>

START_TEST(row)
{
    const kl_op_info *o = &kl_ops[_i];
    ck_assert_ptr_nonnull(o->name);
    ck_assert_int_eq(kl_op_find(o->name, strlen(o->name)), _i);
    ck_assert_ptr_nonnull(o->doc);
    ck_assert_str_ne(o->doc, "");
    ck_assert_int_ge(o->arity, -1);
    ck_assert_int_le(o->arity, 3);
}
END_TEST

/* Whether the meaning speaks of that operand: the letter alone, not within a word. */
static bool speaks_of(const char *sem, char operand)
{
    for (const char *p = sem; *p; p++) {
        bool before = p > sem && (p[-1] == '_' || (p[-1] | 32) >= 'a');
        if (*p == operand && !before && p[1] != '_' &&
            !((p[1] | 32) >= 'a' && p[1] <= 'z'))
            return true;
    }
    return false;
}

START_TEST(meaning_has_the_arity)
{
    const kl_op_info *o = &kl_ops[_i];
    if (o->kind != KL_KIND_ELT || o->flags & KL_F_GRAPH)
        return;
    ck_assert_msg((o->sem != NULL) != !!(o->flags & KL_F_MATH),
                  "%s: a meaning here or in math.def, not both", o->name);
    for (int i = 0; o->sem && i < 3; i++)
        ck_assert_msg(speaks_of(o->sem, (char)('a' + i)) == (i < o->arity), "%s: %s",
                      o->name, o->sem);
}
END_TEST

START_TEST(combining_rows_have_an_identity)
{
    const kl_op_info *o = &kl_ops[_i];
    ck_assert_msg(!!(o->flags & KL_F_RED) == (o->id[0] != NULL), "%s", o->name);
    if (o->flags & KL_F_RED)
        ck_assert_int_eq(o->arity, 2);
}
END_TEST

START_TEST(derivative_or_reason)
{
    const kl_op_info *o = &kl_ops[_i];
    int ways = (o->d[0] != NULL) + (o->t != NULL) + (o->deriv != NULL) + (o->nod != NULL);
    ck_assert_msg(ways == 1, "%s has %d derivative columns", o->name, ways);
    for (int i = 0; o->d[0] && i < 3; i++)
        ck_assert_msg((o->d[i] != NULL) == (i < o->arity), "%s operand %d", o->name, i);
}
END_TEST

START_TEST(algebra_is_binary)
{
    const kl_op_info *o = &kl_ops[_i];
    if (o->flags & (KL_F_COMM | KL_F_ASSOC | KL_F_IDEMP | KL_F_RED))
        ck_assert_int_eq(o->arity, 2);
    if (o->kind == KL_KIND_ELT && !(o->flags & (KL_F_MATH | KL_F_GRAPH)))
        ck_assert_ptr_nonnull(o->ll[0]);
}
END_TEST

START_TEST(names_are_unique)
{
    for (int j = 0; j < _i; j++)
        ck_assert_str_ne(kl_ops[_i].name, kl_ops[j].name);
    ck_assert_str_ne(kl_ops[_i].name, kl_ops[KL_SET].name);
}
END_TEST

START_TEST(unknown_names)
{
    ck_assert_int_eq(kl_op_find("addd", 4), -1);
    ck_assert_int_eq(kl_op_find("add", 2), -1);
    ck_assert_int_eq(kl_op_find("", 0), -1);
    ck_assert_int_eq(kl_op_find("set", 3), -1);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("ops");
    TCase *tc = tcase_create("table");
    tcase_add_loop_test(tc, row, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, meaning_has_the_arity, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, combining_rows_have_an_identity, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, derivative_or_reason, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, algebra_is_binary, 0, KL_OP_COUNT);
    tcase_add_loop_test(tc, names_are_unique, 0, KL_OP_COUNT);
    tcase_add_test(tc, unknown_names);
    suite_add_tcase(s, tc);
    SRunner *sr = srunner_create(s);
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
