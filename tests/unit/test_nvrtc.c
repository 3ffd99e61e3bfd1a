/* test_nvrtc.c: the prelude and NVRTC, without a device: handwritten kernels that use
 * every part of the prelude become cubins for the three architectures that the project
 * promises, with no spill; an architecture NVRTC has not heard of gets PTX; what it
 * refuses is one line with the whole log behind it, and nothing leaks on any path.
 * Skipped (77) where there is no NVRTC. */
#include "codegen/codegen.h"

#include <check.h>
#include <stdlib.h>

static const char kernels[] =
    "extern \"C\" __global__ void __launch_bounds__(128) saxpy_0(f32 *x, f32 *y, i64 n, "
    "i64 *error)\n"
    "{\n"
    "    i64 i = blockIdx.x * 128ll + threadIdx.x;\n"
    "    if (i < n)\n"
    "        y[i] = kl_fma(2.0f, x[i], y[i]);\n"
    "    else if (n < 0)\n"
    "        kl_fault(error, 1, 7, n);\n"
    "}\n"
    "extern \"C\" __global__ void __launch_bounds__(32) parts_0(f16 *h, bf16 *b, i32 *k, "
    "f64 *d, f32 *out, i64 *error)\n"
    "{\n"
    "    i32 t = kl_lane();\n"
    "    f32 v = kl_shfl_xor(kl_f32(h[t]), 16) + kl_f32(b[t]);\n"
    "    k[t] = kl_floordiv(kl_mul(k[t], 3), kl_shl(k[t + 32], t));\n"
    "    d[t] = kl_max(kl_mod(d[t], 3.0), kl_sqrt(kl_abs(d[t])));\n"
    "    h[t] = kl_f16(d[t]);\n"
    "    b[t] = kl_bf16(kl_f64_odd((i64)k[t]));\n"
    "    kl_atomic_add(k + 64, kl_to_i32(v));\n"
    "    out[t] = kl_min(v, kl_shfl_down(v, 1));\n"
    "}\n"
    "extern \"C\" __global__ void __launch_bounds__(32) mma_0(f16 *a, f32 *out, i64 "
    "*error)\n"
    "{\n"
    "    KL_TILE(f16, tile, 0);\n"
    "    i32 t = kl_lane();\n"
    "    kl_async_copy16(tile + 8 * t, a + 8 * t, 16);\n"
    "    kl_async_copy8(tile + 256 + 4 * t, a + 4 * t, 8);\n"
    "    kl_async_copy4(tile + 512 + 2 * t, a + 2 * t, 4);\n"
    "    kl_async_commit();\n"
    "    kl_async_wait<0>();\n"
    "    kl_barrier();\n"
    "    u32 x[4], y[4];\n"
    "    f32 d[4] = {0, 0, 0, 0};\n"
    "    i32 e[4] = {0, 0, 0, 0};\n"
    "    kl_ldmatrix4(x, tile + 8 * t);\n"
    "    kl_ldmatrix4_t(y, tile + 8 * t);\n"
    "    kl_mma_f16(d, x, y);\n"
    "    kl_mma_bf16(d, x, y);\n"
    "    kl_mma_i8(e, x, y);\n"
    "    kl_mma_u8(e, x, y);\n"
    "    for (int i = 0; i < 4; i++)\n"
    "        out[4 * t + i] = d[i] + (f32)e[i];\n"
    "}\n";

static kl_status compile(const char *body, const char *arch, kl_nvrtc_form form,
                         kl_nvrtc_code *out)
{
    kl_text text = {0};
    kl_cuda_prelude(&text, KL_PRELUDE_ALL);
    kl_text_put(&text, body);
    kl_error_clear();
    kl_status s = kl_nvrtc_compile("handwritten", text.s, arch, form, out);
    kl_text_free(&text);
    return s;
}

static bool holds(const kl_nvrtc_code *code, const char *what)
{
    return memmem(code->bytes, code->size, what, strlen(what)) != NULL;
}

static const char *const promised[] = {"sm_80", "sm_90a", "sm_100"};

START_TEST(test_cubin)
{
    kl_nvrtc_code code;
    size_t live = kl_alloc_live();
    kl_status s = compile(kernels, promised[_i], KL_NVRTC_CUBIN, &code);
    ck_assert_msg(s == KL_OK, "%s\n%.3000s", kl_error(), kl_error_log());
    ck_assert(code.cubin);
    ck_assert_str_eq(code.arch, promised[_i]);
    ck_assert(memcmp(code.bytes, "\177ELF", 4) == 0);
    ck_assert(holds(&code, "saxpy_0") && holds(&code, "parts_0") &&
              holds(&code, "mma_0"));
    ck_assert_int_eq(code.spill_bytes, 0);
    ck_assert_int_gt(code.registers, 0);
    kl_nvrtc_free(&code);
    kl_nvrtc_free(&code);
    ck_assert_uint_eq(kl_alloc_live(), live);
}
END_TEST

START_TEST(test_ptx)
{
    kl_nvrtc_code code;
    kl_status s = compile(kernels, promised[_i], KL_NVRTC_PTX, &code);
    ck_assert_msg(s == KL_OK, "%s", kl_error());
    ck_assert(!code.cubin && holds(&code, ".version") && holds(&code, promised[_i]));
    ck_assert(holds(&code, "fma.rn.f32") && holds(&code, "cp.async.cg.shared.global"));
    kl_nvrtc_free(&code);
}
END_TEST

/* a * b + c must stay two roundings, division and root correctly rounded, denormals kept.
 */
START_TEST(test_exact)
{
    kl_nvrtc_code code;
    kl_status s = compile("extern \"C\" __global__ void __launch_bounds__(32) k(f32 *p) "
                          "{ p[0] = p[1] * p[2] + p[3]; "
                          "p[4] = kl_sqrt(p[5]) / p[6]; }",
                          "sm_80", KL_NVRTC_PTX, &code);
    ck_assert_msg(s == KL_OK, "%s", kl_error());
    ck_assert(holds(&code, "mul.rn.f32") || holds(&code, "mul.f32"));
    ck_assert(!holds(&code, "fma.") && !holds(&code, ".ftz") && !holds(&code, "approx"));
    ck_assert(holds(&code, "sqrt.rn.f32") && holds(&code, "div.rn.f32"));
    kl_nvrtc_free(&code);
}
END_TEST

START_TEST(test_newer_arch_gets_ptx)
{
    kl_nvrtc_code code;
    ck_assert(compile(kernels, "sm_999a", KL_NVRTC_CUBIN, &code) == KL_OK);
    ck_assert(!code.cubin && holds(&code, ".version"));
    ck_assert(strncmp(code.arch, "compute_", 8) == 0 && !strchr(code.arch, 'a'));
    kl_nvrtc_free(&code);
}
END_TEST

static const struct {
    const char *text, *arch;
    kl_status status;
    const char *says[3];
} refusals[] = {
    {"extern \"C\" __global__ void __launch_bounds__(32) k(f32 *p) { p[0] = nothing; }",
     "sm_80",
     KL_ERR_COMPILE,
     {"handwritten for sm_80", "error", "nothing"}},
    {"", "sm_20", KL_ERR_UNSUPPORTED, {"NVRTC ", "sm_20", "and newer"}},
    {"", "gfx90a", KL_ERR_ARG, {"gfx90a", "sm_90a", "unknown"}},
    {"", "sm_90b", KL_ERR_ARG, {"sm_90b", "sm_90a", "unknown"}},
    {"", "sm_99999999999", KL_ERR_ARG, {"sm_99999", "sm_90a", "unknown"}},
};

START_TEST(test_refusals)
{
    kl_nvrtc_code code;
    kl_status s = compile(refusals[_i].text, refusals[_i].arch, KL_NVRTC_CUBIN, &code);
    ck_assert_int_eq(s, refusals[_i].status);
    ck_assert_ptr_null(code.bytes);
    for (int k = 0; k < 3; k++)
        ck_assert_msg(strstr(kl_error(), refusals[_i].says[k]) != NULL, "%s", kl_error());
    ck_assert_ptr_null(strchr(kl_error(), '\n'));
    if (s == KL_ERR_COMPILE)
        ck_assert(strstr(kl_error_log(), "error") != NULL);
}
END_TEST

START_TEST(test_out_of_memory)
{
    kl_nvrtc_code code;
    kl_text text = {0};
    kl_cuda_prelude(&text, 0);
    size_t live = kl_alloc_live();
    kl_status s = KL_ERR_OOM;
    for (int n = 0; s != KL_OK && n < 10; n++) {
        kl_error_clear();
        kl_alloc_fail_at(n);
        s = kl_nvrtc_compile("empty", text.s, "sm_80", KL_NVRTC_CUBIN, &code);
        kl_alloc_fail_at(-1);
        ck_assert(s == KL_OK || s == KL_ERR_OOM);
        kl_nvrtc_free(&code);
        ck_assert_uint_eq(kl_alloc_live(), live);
    }
    ck_assert_int_eq(s, KL_OK);
    kl_text_free(&text);
}
END_TEST

int main(void)
{
    if (!kl_nvrtc_found())
        return 77;
    Suite *suite = suite_create("nvrtc");
    TCase *tc = tcase_create("nvrtc");
    tcase_set_timeout(tc, 120);
    tcase_add_loop_test(tc, test_cubin, 0, (int)KL_COUNT(promised));
    tcase_add_loop_test(tc, test_ptx, 0, (int)KL_COUNT(promised));
    tcase_add_test(tc, test_exact);
    tcase_add_test(tc, test_newer_arch_gets_ptx);
    tcase_add_loop_test(tc, test_refusals, 0, (int)KL_COUNT(refusals));
    tcase_add_test(tc, test_out_of_memory);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}
