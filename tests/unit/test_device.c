/* test_device.c: device numbers and names; the host's memory and launches. */
#include "codegen/codegen.h"

#include <check.h>

static const struct {
    const char *name;
    int device; /* -1: refused */
} names[] = {{"cpu", 0},      {"cpu:0", 0},    {"cuda", 1},   {"cuda:0", 1},
             {"cuda:12", 13}, {"", -1},        {"gpu", -1},   {"cuda:", -1},
             {"cuda:1x", -1}, {"cuda:-1", -1}, {"cpu:1", -1}, {"cuda:99999999999", -1}};

START_TEST(device_names)
{
    int d = -2;
    kl_error_clear();
    kl_status s = kl_device_parse(names[_i].name, &d);
    ck_assert_int_eq(s, names[_i].device < 0 ? KL_ERR_ARG : KL_OK);
    ck_assert_int_eq(d, names[_i].device < 0 ? -2 : names[_i].device);
    kl_error_clear();
}
END_TEST

START_TEST(device_numbers)
{
    const kl_device_ops *ops;
    int index;
    char name[128];
    ck_assert_int_eq(kl_device_get(0, &ops, &index), KL_OK);
    ck_assert_ptr_eq(ops, &kl_device_cpu);
    ck_assert_int_eq(ops->describe(index, name, sizeof name), KL_OK);
    ck_assert_uint_gt(strlen(name), 0);
    ck_assert_int_eq(kl_device_get(-1, &ops, &index), KL_ERR_ARG);
    kl_error_clear();
    ck_assert_int_eq(kl_device_get(1000, &ops, &index), KL_ERR_DEVICE);
    ck_assert_ptr_nonnull(strstr(kl_error(), "cuda:999"));
    kl_error_clear();
}
END_TEST

START_TEST(cpu_memory)
{
    void *a, *b;
    ck_assert_int_eq(kl_device_cpu.alloc(0, 256, &a), KL_OK);
    ck_assert_int_eq(kl_device_cpu.alloc(0, 256, &b), KL_OK);
    ck_assert_int_eq(kl_device_cpu.fill(0, a, 0x5a, 256), KL_OK);
    ck_assert_int_eq(kl_device_cpu.copy(0, b, a, 256, true, true), KL_OK);
    ck_assert_int_eq(((uint8_t *)b)[255], 0x5a);
    ck_assert_int_eq(kl_device_cpu.sync(0), KL_OK);
    kl_device_cpu.free(0, a, 256);
    kl_device_cpu.free(0, b, 256);
}
END_TEST

/* phase(args, begin, end, worker): bufs[0][begin] = end. */
static void build_phase(kl_llvm_unit *u)
{
    LLVMTypeRef i64 = LL.IntTypeInContext(u->ctx, 64),
                ptr = LL.PointerTypeInContext(u->ctx, 0);
    LLVMTypeRef params[] = {ptr, i64, i64, i64};
    LLVMTypeRef type = LL.FunctionType(LL.VoidTypeInContext(u->ctx), params, 4, 0);
    LLVMValueRef fn = LL.AddFunction(u->mod, "phase", type), begin = LL.GetParam(fn, 1);
    LL.PositionBuilderAtEnd(u->b, LL.AppendBasicBlockInContext(u->ctx, fn, ""));
    LLVMValueRef bufs = LL.BuildLoad2(u->b, ptr, LL.GetParam(fn, 0), "");
    LLVMValueRef buf = LL.BuildLoad2(u->b, ptr, bufs, "");
    LL.BuildStore(u->b, LL.GetParam(fn, 2), LL.BuildGEP2(u->b, i64, buf, &begin, 1, ""));
    LL.BuildRetVoid(u->b);
}

START_TEST(cpu_launch)
{
    kl_llvm_unit u;
    kl_text o = {0};
    kl_module *m;
    ck_assert_msg(kl_llvm_begin(&u, "m", kl_target_host(), KL_LLVM_QUICK, false) == KL_OK,
                  "%s", kl_error());
    build_phase(&u);
    ck_assert_msg(kl_llvm_emit(u.mod, u.target, u.cls, KL_LLVM_OBJECT, &o) == KL_OK, "%s",
                  kl_error());
    kl_llvm_end(&u);
    ck_assert_int_eq(kl_device_cpu.load(0, o.s, o.len, &m), KL_OK);
    kl_text_free(&o);
    int64_t ends[100] = {0};
    void *bufs[] = {ends};
    kl_args args = {.bufs = bufs};
    kl_phase_dims dims = {.workers = 100, .grain = 7};
    void *entry = kl_device_cpu.symbol(m, "phase");
    ck_assert_ptr_nonnull(entry);
    ck_assert_ptr_null(kl_device_cpu.symbol(m, "absent"));
    ck_assert_int_eq(kl_device_cpu.launch(0, entry, &args, 1, 0, &dims), KL_OK);
    int64_t at = 0; /* the chunks [at, ends[at]) cover [0, 100) */
    while (at < 100) {
        ck_assert_int_gt(ends[at], at);
        at = ends[at];
    }
    ck_assert_int_eq(at, 100);
    kl_device_cpu.unload(m);
    ck_assert_int_ne(kl_device_cpu.load(0, "junk", 4, &m), KL_OK);
    ck_assert_ptr_null(m);
    kl_device_cpu.unload(NULL);
    kl_error_clear();
}
END_TEST

int main(void)
{
    Suite *s = suite_create("device");
    TCase *tc = tcase_create("device");
    tcase_add_loop_test(tc, device_names, 0, (int)KL_COUNT(names));
    tcase_add_test(tc, device_numbers);
    tcase_add_test(tc, cpu_memory);
    tcase_add_test(tc, cpu_launch);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
