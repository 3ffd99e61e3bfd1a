/* kernels.h: what the device tests share: handwritten kernels, as the CUDA emitter would
 * print them, and the steps from text to a launch. */
#ifndef KL_TEST_KERNELS_H
#define KL_TEST_KERNELS_H

#include "codegen/codegen.h"

#include <check.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define CUDA (&kl_device_cuda)
#define GLOBAL(name, threads)                                                            \
    "extern \"C\" __global__ void __launch_bounds__(" #threads ") " name
#define OK(call) ck_assert_msg((call) == KL_OK, "%s\n%.2000s", kl_error(), kl_error_log())

static const char saxpy_text[] =
    GLOBAL("saxpy_0", 128) "(f32 *x, f32 *y, i64 n, i64 *error)\n"
                           "{\n"
                           "    i64 i = (i64)blockIdx.x * 128 + threadIdx.x;\n"
                           "    if (i < n)\n"
                           "        y[i] = kl_fma(2.0f, x[i], y[i]);\n"
                           "}\n";

/* One block adds 1024 values: each thread 4, warps by shuffles, warps' sums through a
 * tile. */
static const char sum_text[] =
    GLOBAL("sum_0", 256) "(f32 *x, f32 *y, i64 *error)\n"
                         "{\n"
                         "    KL_TILE(f32, part, 0);\n"
                         "    i64 t = threadIdx.x + threadIdx.y * 32, b = blockIdx.x;\n"
                         "    f32 v = 0.0f;\n"
                         "    for (i64 i = 0; i < 4; i++)\n"
                         "        v = v + x[b * 1024 + i * 256 + t];\n"
                         "    for (i32 d = 16; d > 0; d >>= 1)\n"
                         "        v = v + kl_shfl_down(v, d);\n"
                         "    if (threadIdx.x == 0)\n"
                         "        part[threadIdx.y] = v;\n"
                         "    kl_barrier();\n"
                         "    if (t == 0) {\n"
                         "        for (i64 i = 1; i < 8; i++)\n"
                         "            v = v + part[i];\n"
                         "        y[b] = v;\n"
                         "    }\n"
                         "}\n";

/* The architecture to compile for: the device's own. */
static inline kl_module *load_form(const char *body, kl_nvrtc_form form)
{
    char arch[16];
    int major, minor;
    kl_nvrtc_code code;
    kl_module *m;
    kl_text text = {0};
    OK(kl_cuda_compute(0, &major, &minor));
    snprintf(arch, sizeof arch, "sm_%d%d", major, minor);
    kl_cuda_prelude(&text, KL_PRELUDE_ALL);
    kl_text_put(&text, body);
    OK(kl_nvrtc_compile("test", text.s, arch, form, &code));
    OK(CUDA->load(0, code.bytes, code.size, &m));
    kl_nvrtc_free(&code);
    kl_text_free(&text);
    return m;
}

static inline kl_module *load(const char *body)
{
    return load_form(body, KL_NVRTC_CUBIN);
}

static inline void *to_device(const void *p, size_t n)
{
    void *d;
    OK(CUDA->alloc(0, n, &d));
    OK(CUDA->copy(0, d, p, n, true, false));
    return d;
}

static inline void from_device(void *to, const void *d, size_t n)
{
    OK(CUDA->copy(0, to, d, n, false, true));
}

typedef struct shape { /* of a launch */
    int64_t blocks;
    int lane, group;
    int64_t shared;
} shape;

static inline kl_status start(kl_module *m, const char *name, shape s, int nbufs,
                              void *const *bufs, int ndims, const int64_t *dims,
                              int64_t *error)
{
    void *entry = CUDA->symbol(m, name);
    ck_assert_msg(entry != NULL, "no kernel %s", name);
    kl_args args = {.bufs = bufs, .dims = dims, .error = error};
    kl_phase_dims phase = {
        .workers = s.blocks, .lane = s.lane, .group = s.group, .shared = s.shared};
    return CUDA->launch(0, entry, &args, nbufs, ndims, &phase);
}

/* Asked in a child, so that the tests' own processes start CUDA themselves. */
static inline bool have_device(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(CUDA->count() > 0 && kl_nvrtc_found() ? 0 : 1);
    return waitpid(pid, &status, 0) == pid && WIFEXITED(status) &&
           WEXITSTATUS(status) == 0;
}

static inline int run_suite(TCase *tc)
{
    Suite *suite = suite_create("cuda");
    tcase_set_timeout(tc, 300);
    suite_add_tcase(suite, tc);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed != 0;
}

#endif
