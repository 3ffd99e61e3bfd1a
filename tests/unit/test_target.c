/* test_target.c: the table of machines, and which of them this one is. */
#include "ir/ir.h"

#include <check.h>

START_TEST(rows_are_sound)
{
    const kl_target *t = kl_target_at(_i);
    ck_assert_ptr_eq(kl_target_find(t->name), t);
    ck_assert_int_le(t->vector_bits, t->isa_bits);
    ck_assert_int_eq(t->vector_bits % 128, 0);
    ck_assert_int_gt(t->l1, 0);
    ck_assert_int_gt(t->l2, 0);
    ck_assert(t->flops > 0 && t->bandwidth > 0);
    if (t->kind == KL_TARGET_CPU) {
        ck_assert_ptr_nonnull(t->triple);
        ck_assert_ptr_nonnull(t->cpu);
        ck_assert_int_ge(t->vector_regs, 16);
    } else {
        ck_assert_int_ge(t->arch, 80);
        ck_assert_int_ge(t->shared, 64 * 1024);
        ck_assert_int_ge(t->nmatrix, 1);
        ck_assert_int_gt(t->matrix[t->nmatrix - 1][2], 0);
    }
}
END_TEST

START_TEST(names_are_unique)
{
    for (int i = 0; i < kl_target_count(); i++)
        for (int j = 0; j < i; j++)
            ck_assert_str_ne(kl_target_at(i)->name, kl_target_at(j)->name);
}
END_TEST

START_TEST(unknown_name_lists_the_known)
{
    kl_error_clear();
    ck_assert_ptr_null(kl_target_find("z80"));
    ck_assert_int_eq(kl_error_status(), KL_ERR_ARG);
    for (int i = 0; i < kl_target_count(); i++)
        ck_assert_ptr_nonnull(strstr(kl_error(), kl_target_at(i)->name));
    kl_error_clear();
}
END_TEST

START_TEST(host_is_known_by_its_features)
{
    const kl_target *h = kl_target_host();
    ck_assert_ptr_nonnull(h);
    ck_assert_str_eq(h->name, "host");
    ck_assert_ptr_eq(kl_target_find("host"), h);
    ck_assert_int_ge(h->l1, 8 * 1024);
    ck_assert_int_ge(h->l2, h->l1);
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool v4 = __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
    bool v3 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    ck_assert_int_eq(h->isa_bits, v4 ? 512 : v3 ? 256 : 128);
    ck_assert_int_eq(h->fma, v3);
#endif
}
END_TEST

int main(void)
{
    Suite *s = suite_create("target");
    TCase *tc = tcase_create("target");
    tcase_add_loop_test(tc, rows_are_sound, 0, kl_target_count());
    tcase_add_test(tc, names_are_unique);
    tcase_add_test(tc, unknown_name_lists_the_known);
    tcase_add_test(tc, host_is_known_by_its_features);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
