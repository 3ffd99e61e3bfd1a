/* test_device.c: CUDA devices through kl_device_cuda, from text to results: copies of all
 * kinds and sizes, launches, reductions over warps and tiles, matrix fragments, error
 * words, modules from cubin and PTX, threads, fork, and what goes wrong. The suite 'cuda'
 * runs it on the stand-in libraries, the suite 'gpu' on the real ones (77 where there is
 * no device). */
#include "kernels.h"

#include <pthread.h>

START_TEST(test_saxpy)
{
    enum { N = 1000 };
    float x[N], y[N], got[N];
    for (int i = 0; i < N; i++) {
        x[i] = (float)i;
        y[i] = 0.5f * (float)i;
    }
    kl_module *m = load_form(saxpy_text, _i ? KL_NVRTC_PTX : KL_NVRTC_CUBIN);
    void *bufs[] = {to_device(x, sizeof x), to_device(y, sizeof y)};
    int64_t n = N, error[3] = {0};
    OK(start(m, "saxpy.0", (shape){8, 128, 1, 0}, 2, bufs, 1, &n, error));
    OK(start(m, "saxpy.0", (shape){0, 128, 1, 0}, 2, bufs, 1, &n, error));
    from_device(got, bufs[1], sizeof got);
    for (int i = 0; i < N; i++)
        ck_assert_float_eq(got[i], 2.5f * (float)i);
    ck_assert_int_eq(error[0], KL_FAULT_NONE);
    ck_assert_ptr_null(CUDA->symbol(m, "saxpy.1"));
    CUDA->free(0, bufs[0], sizeof x);
    CUDA->free(0, bufs[1], sizeof y);
    CUDA->unload(m);
}
END_TEST

START_TEST(test_sum)
{
    enum { BLOCKS = 5, N = BLOCKS * 1024 };
    float x[N], got[BLOCKS], want[BLOCKS] = {0};
    for (int i = 0; i < N; i++) {
        x[i] = (float)(i * 7 % 101);
        want[i / 1024] += x[i];
    }
    kl_module *m = load(sum_text);
    void *bufs[] = {to_device(x, sizeof x), to_device(got, sizeof got)};
    OK(start(m, "sum.0", (shape){BLOCKS, 32, 8, 32}, 2, bufs, 0, NULL, NULL));
    from_device(got, bufs[1], sizeof got);
    for (int i = 0; i < BLOCKS; i++)
        ck_assert_float_eq(got[i], want[i]);
    CUDA->unload(m);
}
END_TEST

static const size_t sizes[] = {1, 7, 4096, 262144, 262145, 3000000};

/* To the device, within it, and back; the source may change at once. */
START_TEST(test_copies)
{
    size_t n = sizes[_i];
    unsigned char *host = malloc(n), *back = malloc(n);
    void *a, *b;
    OK(CUDA->alloc(0, n, &a));
    OK(CUDA->alloc(0, n, &b));
    for (int round = 0; round < 10; round++) {
        memset(host, round + 1, n);
        OK(CUDA->copy(0, a, host, n, true, false));
        memset(host, 0xee, n);
        OK(CUDA->copy(0, b, a, n, false, false));
        OK(CUDA->fill(0, a, 0x55, n));
        from_device(back, b, n);
        ck_assert(back[0] == round + 1 && back[n / 2] == round + 1 &&
                  back[n - 1] == round + 1);
        from_device(back, a, n);
        ck_assert(back[0] == 0x55 && back[n - 1] == 0x55);
    }
    CUDA->free(0, a, n);
    CUDA->free(0, b, n);
    free(host);
    free(back);
}
END_TEST

/* Every f16 and bf16 to f32, and back from f32 and f64 values around each, as half.c does
 * it. */
START_TEST(test_halves)
{
    enum { N = 65536 };
    static uint16_t h[N], back[4][N];
    static float f[2][N];
    static float x[N];
    for (int i = 0; i < N; i++) {
        uint32_t bits = (uint32_t)i << 16 | (uint32_t)i * 2654435761u >> 17;
        h[i] = (uint16_t)i;
        memcpy(&x[i], &bits, 4);
        if (i % 3 == 0)
            x[i] = kl_f16_to_f32((uint16_t)i);
        if (i % 3 == 1)
            x[i] = (kl_f16_to_f32((uint16_t)i) + kl_f16_to_f32((uint16_t)(i + 1))) / 2;
    }
    kl_module *m = load(GLOBAL(
        "half_0", 256) "(f16 *h, bf16 *b, f32 *f, f32 *x, u16 *back, i64 *error)\n"
                       "{\n"
                       "    i64 i = blockIdx.x * 256 + threadIdx.x, n = 65536;\n"
                       "    f[i] = kl_f32(h[i]);\n"
                       "    f[n + i] = kl_f32(b[i]);\n"
                       "    back[i] = kl_f16(x[i]).bits;\n"
                       "    back[n + i] = kl_bf16(x[i]).bits;\n"
                       "    back[2 * n + i] = kl_f16((f64)x[i] * 1.00000001).bits;\n"
                       "    back[3 * n + i] = kl_bf16((f64)x[i] * 1.00000001).bits;\n"
                       "}\n");
    void *hd = to_device(h, sizeof h);
    void *bufs[] = {hd, hd, to_device(f, sizeof f), to_device(x, sizeof x),
                    to_device(back, sizeof back)};
    OK(start(m, "half.0", (shape){N / 256, 256, 1, 0}, 5, bufs, 0, NULL, NULL));
    from_device(f, bufs[2], sizeof f);
    from_device(back, bufs[4], sizeof back);
    for (int i = 0; i < N; i++) {
        float a = kl_f16_to_f32((uint16_t)i), b = kl_bf16_to_f32((uint16_t)i);
        double d = (double)x[i] * 1.00000001;
        bool nan = x[i] != x[i];
        ck_assert(a != a ? f[0][i] != f[0][i] : memcmp(&a, &f[0][i], 4) == 0);
        ck_assert(b != b ? f[1][i] != f[1][i] : memcmp(&b, &f[1][i], 4) == 0);
        ck_assert_msg(nan || back[0][i] == kl_f32_to_f16(x[i]), "f16(%a)", (double)x[i]);
        ck_assert_msg(nan || back[1][i] == kl_f32_to_bf16(x[i]), "bf16(%a)",
                      (double)x[i]);
        ck_assert_msg(nan || back[2][i] == kl_f64_to_f16(d), "f16(%a)", d);
        ck_assert_msg(nan || back[3][i] == kl_f64_to_bf16(d), "bf16(%a)", d);
    }
    CUDA->unload(m);
}
END_TEST

/* One warp: D[16,8] = A[16,16] B[16,8] through asynchronous copy, ldmatrix and mma. B's
 * rows are along k in memory, so its fragments come transposed. Small integers: exact. */
static const char mma_text[] =
    GLOBAL("mma_0", 32) "(f16 *a, f16 *b, f32 *d, i64 *error)\n"
                        "{\n"
                        "    KL_TILE(f16, ta, 0);\n"
                        "    KL_TILE(f16, tb, 512);\n"
                        "    i32 t = kl_lane();\n"
                        "    kl_async_copy16(ta + 8 * t, a + 8 * t, 16);\n"
                        "    kl_async_copy8(tb + 4 * t, b + 4 * t, 8);\n"
                        "    kl_async_commit();\n"
                        "    kl_async_wait<0>();\n"
                        "    kl_barrier();\n"
                        "    u32 x[4], y[4];\n"
                        "    f32 v[4] = {0.0f, 0.0f, 0.0f, 0.0f};\n"
                        "    kl_ldmatrix4(x, ta + t % 16 * 16 + t / 16 * 8);\n"
                        "    kl_ldmatrix4_t(y, tb + t % 16 * 8);\n"
                        "    kl_mma_f16(v, x, y);\n"
                        "    for (i32 r = 0; r < 4; r++)\n"
                        "        d[(t / 4 + r / 2 * 8) * 8 + t % 4 * 2 + r % 2] = v[r];\n"
                        "}\n";

START_TEST(test_matrix_unit)
{
    uint16_t a[256], b[128];
    float d[128];
    for (int i = 0; i < 256; i++)
        a[i] = kl_f32_to_f16((float)(i * 5 % 17 - 8));
    for (int i = 0; i < 128; i++)
        b[i] = kl_f32_to_f16((float)(i * 3 % 13 - 6));
    kl_module *m = load(mma_text);
    void *bufs[] = {to_device(a, sizeof a), to_device(b, sizeof b),
                    to_device(d, sizeof d)};
    OK(start(m, "mma.0", (shape){1, 32, 1, 768}, 3, bufs, 0, NULL, NULL));
    from_device(d, bufs[2], sizeof d);
    for (int i = 0; i < 16; i++)
        for (int j = 0; j < 8; j++) {
            float want = 0;
            for (int k = 0; k < 16; k++)
                want += kl_f16_to_f32(a[i * 16 + k]) * kl_f16_to_f32(b[k * 8 + j]);
            ck_assert_msg(d[i * 8 + j] == want, "[%d,%d] %g, not %g", i, j,
                          (double)d[i * 8 + j], (double)want);
        }
    CUDA->unload(m);
}
END_TEST

static const char fault_text[] =
    GLOBAL("fault_0", 64) "(f32 *x, i64 n, i64 *error)\n"
                          "{\n"
                          "    if ((i64)threadIdx.x >= n)\n"
                          "        kl_fault(error, 1, 42, n);\n"
                          "}\n";

/* 100 programs with an error word each, one of three faulty, all waited for at once; then
 * an error word that already holds an error keeps it. */
START_TEST(test_error_words)
{
    kl_module *m = load(fault_text);
    static int64_t error[100][3];
    float x = 0;
    void *bufs[] = {to_device(&x, sizeof x)};
    for (int i = 0; i < 100; i++) {
        int64_t n = i % 3 ? 64 : i % 64;
        OK(start(m, "fault.0", (shape){2, 64, 1, 0}, 1, bufs, 1, &n, error[i]));
    }
    OK(CUDA->sync(0));
    for (int i = 0; i < 100; i++) {
        ck_assert_int_eq(error[i][0], i % 3 ? KL_FAULT_NONE : KL_FAULT_INDEX);
        ck_assert_int_eq(error[i][1], i % 3 ? 0 : 42);
        ck_assert_int_eq(error[i][2], i % 3 ? 0 : i % 64);
    }
    int64_t n = 5;
    OK(start(m, "fault.0", (shape){1, 64, 1, 0}, 1, bufs, 1, &n, error[3]));
    OK(start(m, "fault.0", (shape){1, 64, 1, 0}, 1, bufs, 1, &n, error[1]));
    OK(start(m, "fault.0", (shape){1, 64, 1, 0}, 1, bufs, 1, &n, NULL));
    OK(CUDA->sync(0));
    ck_assert_int_eq(error[3][2], 3);
    ck_assert_int_eq(error[1][2], 5);
    CUDA->unload(m);
}
END_TEST

START_TEST(test_refusals)
{
    void *p;
    kl_module *m;
    int64_t n = 1;
    ck_assert_int_eq(CUDA->alloc(0, (size_t)1 << 50, &p), KL_ERR_OOM);
    ck_assert_ptr_null(p);
    ck_assert(strstr(kl_error(), "cuda:0") && strstr(kl_error(), "1125899906842624"));
    kl_error_clear();
    ck_assert_int_eq(CUDA->alloc(99, 1, &p), KL_ERR_DEVICE);
    ck_assert(strstr(kl_error(), "cuda:99: this machine has") != NULL);
    kl_error_clear();
    ck_assert_int_eq(CUDA->load(0, ".version 99.9\n.target sm_80\n", 28, &m),
                     KL_ERR_DEVICE);
    ck_assert_msg(strstr(kl_error(), "PTX 99.9") &&
                      strstr(kl_error(), "the driver is CUDA"),
                  "%s", kl_error());
    ck_assert_ptr_null(m);
    kl_error_clear();
    m = load(saxpy_text);
    OK(CUDA->alloc(0, 1024, &p));
    void *bufs[] = {p, p};
    shape wide = {1, 1024, 2, 0}, tall = {(int64_t)1 << 31, 128, 1, 0},
          deep = {1, 128, 1, 1 << 20};
    ck_assert_int_eq(start(m, "saxpy.0", wide, 2, bufs, 1, &n, NULL), KL_ERR_ARG);
    ck_assert_int_eq(start(m, "saxpy.0", tall, 2, bufs, 1, &n, NULL), KL_ERR_SHAPE);
    kl_error_clear();
    ck_assert_int_eq(start(m, "saxpy.0", deep, 2, bufs, 1, &n, NULL), KL_ERR_DEVICE);
    ck_assert(strstr(kl_error(), "saxpy_0") && strstr(kl_error(), "shared memory"));
    CUDA->unload(m);
}
END_TEST

static void *thread_main(void *arg)
{
    kl_module *m = arg;
    enum { N = 640 };
    float x[N], y[N];
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < N; i++)
            x[i] = y[i] = (float)(i + round);
        void *bufs[] = {to_device(x, sizeof x), to_device(y, sizeof y)};
        int64_t n = N, error[3] = {0};
        OK(start(m, "saxpy.0", (shape){5, 128, 1, 0}, 2, bufs, 1, &n, error));
        from_device(y, bufs[1], sizeof y);
        for (int i = 0; i < N; i++)
            ck_assert_float_eq(y[i], 3.0f * (float)(i + round));
        CUDA->free(0, bufs[0], sizeof x);
        CUDA->free(0, bufs[1], sizeof y);
    }
    return NULL;
}

START_TEST(test_threads)
{
    pthread_t t[8];
    kl_module *m = load(saxpy_text);
    for (int i = 0; i < 8; i++)
        ck_assert(pthread_create(&t[i], NULL, thread_main, m) == 0);
    for (int i = 0; i < 8; i++)
        pthread_join(t[i], NULL);
    CUDA->unload(m);
}
END_TEST

/* A child of a process that has started CUDA is told so; freeing what it inherited is
 * harmless. */
START_TEST(test_fork)
{
    void *p, *q;
    int status;
    OK(CUDA->alloc(0, 16, &p));
    pid_t pid = fork();
    if (pid == 0) {
        bool ok = CUDA->count() == 0 && CUDA->alloc(0, 16, &q) == KL_ERR_DEVICE &&
                  strstr(kl_error(), "forked") != NULL;
        CUDA->free(0, p, 16);
        _exit(ok ? 0 : 1);
    }
    ck_assert(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    ck_assert_int_eq(WEXITSTATUS(status), 0);
    OK(CUDA->sync(0));
    CUDA->free(0, p, 16);
}
END_TEST

START_TEST(test_describe)
{
    char name[128] = "";
    OK(CUDA->describe(0, name, sizeof name));
    ck_assert_uint_gt(strlen(name), 0);
    ck_assert_str_eq(kl_cuda_why(), "");
    const kl_device_ops *ops;
    int index;
    OK(kl_device_get(1, &ops, &index));
    ck_assert(ops == CUDA && index == 0);
}
END_TEST

int main(void)
{
    if (!have_device())
        return 77;
    TCase *tc = tcase_create("device");
    tcase_add_loop_test(tc, test_saxpy, 0, 2);
    tcase_add_test(tc, test_sum);
    tcase_add_loop_test(tc, test_copies, 0, (int)KL_COUNT(sizes));
    tcase_add_test(tc, test_halves);
    tcase_add_test(tc, test_matrix_unit);
    tcase_add_test(tc, test_error_words);
    tcase_add_test(tc, test_refusals);
    tcase_add_test(tc, test_threads);
    tcase_add_test(tc, test_fork);
    tcase_add_test(tc, test_describe);
    return run_suite(tc);
}
