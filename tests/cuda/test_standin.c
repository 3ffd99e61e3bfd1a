/* test_standin.c: what only the stand-in libraries can tell, and that they do tell it:
 * planted races, addresses of the wrong side, accesses out of bounds, dead locks, results
 * read before a wait, leaks. Each planted fault has a twin without it that passes. Run
 * with LD_LIBRARY_PATH set to the stand-ins; 77 with other libraries. */
#include "kernels.h"

#include <dlfcn.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "standin.h"

static kl_standin_state *standin(void)
{
    void *lib = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
    return lib ? dlsym(lib, "kl_standin") : NULL;
}

/* One kernel of two blocks of 64 threads over 64 floats x and 64 floats y, with 256 bytes
 * of shared memory. says: what the error must name; NULL: none. */
#define KERNEL(body)                                                                     \
    GLOBAL("k_0", 64)                                                                    \
    "(f32 *x, f32 *y, i64 n, i64 *error)\n"                                              \
    "{\n    KL_TILE(f32, tile, 0);\n    i32 t = threadIdx.x, b = blockIdx.x;\n" body     \
    "}\n"
static const struct {
    const char *text, *says[2];
} planted[] = {
    {KERNEL("tile[t] = x[t]; kl_barrier(); if (!b) y[t] = tile[63 - t];"), {NULL, NULL}},
    {KERNEL("tile[t] = x[t]; if (!b) y[t] = tile[63 - t];"), {"race: ", "shared memory"}},
    {KERNEL("f32 v = tile[63 - t]; tile[t] = v;"), {"race: reads", "wrote"}},
    {KERNEL("y[t] = x[t];"), {"race: writes", "block 0 thread 0 wrote"}},
    {KERNEL("if (b == 0) y[t] = 1.0f;"), {NULL, NULL}},
    {KERNEL("if (b == 0) y[t / 2] = 1.0f;"), {"race: writes", "an allocation"}},
    {KERNEL("if (b == t) y[t] = x[t + 1]; if (b == 1 && t == 1) x[1] = 0.0f;"),
     {"race: writes", "block 0 thread 0 read"}},
    {KERNEL("if (b == 0) ((u8 *)y)[t] = (u8)t;"), {NULL, NULL}},
    {KERNEL("if (b == 0) kl_atomic_add((i32 *)y, 1);"), {NULL, NULL}},
    {KERNEL("kl_atomic_add((i32 *)y, 1);"), {NULL, NULL}},
    {KERNEL("kl_atomic_add((i32 *)y, 1); if (t == 9) y[0] = 1.0f;"), {"race: ", NULL}},
    {KERNEL("if (t < 32) { tile[t] = x[t]; kl_warp_barrier(); y[b * 32 + t] = tile[31 - "
            "t]; }"),
     {NULL, NULL}},
    {KERNEL("if (t < 32) { tile[t] = x[t]; kl_shfl_xor(1, 1); y[b * 32 + t] = tile[31 - "
            "t]; }"),
     {"race: reads", "shared memory"}},
    {KERNEL(
         "tile[t] = 1.0f; kl_warp_barrier(); y[b * 32 + t % 32] = tile[(t + 32) % 64];"),
     {"race: ", NULL}},
    {KERNEL("if (b == 0) y[t] = x[t + (t == 63)];"),
     {"offset 256 of an allocation of 256", "ILLEGAL_ADDRESS"}},
    {KERNEL("if (t == 0 && b == 1) y[-1] = 0.0f;"),
     {"ILLEGAL_ADDRESS", "block 1 thread 0"}},
    {KERNEL("tile[t + 1] = 0.0f;"), {"shared memory", "offset 256 of 256"}},
    {KERNEL("if (t == 3) *(f32 *)((u8 *)y + 2) = 1.0f;"), {"not aligned", "thread 3"}},
    {KERNEL("if (t < 40) kl_barrier();"),
     {NULL, NULL}}, /* threads that returned do not count */
    {KERNEL("if (t < 32) kl_barrier(); else kl_warp_barrier();"), {NULL, NULL}},
    {KERNEL("if (t != 5) kl_warp_barrier(); else kl_barrier();"),
     {"wait at a barrier", "for ever"}},
    {KERNEL("if (t % 2) kl_shfl_xor(t, 1); else kl_warp_barrier();"),
     {"two different warp functions", NULL}},
    {KERNEL("if (b == 0 && t < 16) kl_async_copy16(tile + 4 * t, x + 4 * t, 16);"
            "kl_async_commit(); kl_async_wait<0>(); kl_barrier(); if (b == 0) y[t] = "
            "tile[t];"),
     {NULL, NULL}},
    {KERNEL("if (b == 0 && t < 16) kl_async_copy16(tile + 4 * t, x + 4 * t, 16);"
            "kl_async_commit(); kl_async_wait<0>(); if (b == 0) y[t] = tile[t];"),
     {"race: reads", "shared memory"}},
    {KERNEL("if (b == 0 && t < 16) kl_async_copy16(tile + 4 * t, x + t, 16);"),
     {"asynchronously", "ILLEGAL_ADDRESS"}},
};

START_TEST(test_planted)
{
    float x[64] = {0};
    int64_t n = 64;
    kl_module *m = load(planted[_i].text);
    void *bufs[] = {to_device(x, sizeof x), to_device(x, sizeof x)};
    OK(start(m, "k.0", (shape){2, 64, 1, 256}, 2, bufs, 1, &n, NULL));
    kl_status s = CUDA->sync(0);
    const char *first = planted[_i].says[0];
    if (!first) {
        ck_assert_msg(s == KL_OK, "%s", kl_error());
        CUDA->unload(m);
        return;
    }
    ck_assert_msg(s == KL_ERR_DEVICE, "not found: %s", planted[_i].text);
    ck_assert_msg(strstr(kl_error(), first) != NULL, "%s", kl_error());
    if (planted[_i].says[1])
        ck_assert_msg(strstr(kl_error(), planted[_i].says[1]) != NULL, "%s", kl_error());
    ck_assert_int_eq(CUDA->fill(0, bufs[0], 0, 4),
                     KL_ERR_DEVICE); /* the context is broken */
    CUDA->unload(m);
}
END_TEST

/* An asynchronous copy that nobody waits for has not happened. */
START_TEST(test_copy_not_waited_for)
{
    float x[64] = {0}, y[64];
    int64_t n = 64;
    kl_module *m = load(KERNEL("if (b == 0 && t == 0) { kl_async_copy16(tile, x, 16);"
                               "kl_async_commit(); y[0] = tile[0]; }"));
    void *bufs[] = {to_device(x, sizeof x), to_device(x, sizeof x)};
    OK(start(m, "k.0", (shape){2, 64, 1, 256}, 2, bufs, 1, &n, NULL));
    from_device(y, bufs[1], sizeof y);
    ck_assert(y[0] != y[0]);
    CUDA->unload(m);
}
END_TEST

START_TEST(test_host_pointer_in_kernel)
{
    static float x[128];
    int64_t n = 128;
    kl_module *m = load(saxpy_text);
    void *bufs[] = {x, to_device(x, sizeof x)};
    OK(start(m, "saxpy.0", (shape){1, 128, 1, 0}, 2, bufs, 1, &n, NULL));
    ck_assert_int_eq(CUDA->sync(0), KL_ERR_DEVICE);
    ck_assert_msg(strstr(kl_error(), "an address of the host") != NULL, "%s", kl_error());
    CUDA->unload(m);
}
END_TEST

START_TEST(test_freed_memory_in_kernel)
{
    static float x[128];
    int64_t n = 128;
    kl_module *m = load(saxpy_text);
    void *bufs[] = {to_device(x, sizeof x), to_device(x, sizeof x)};
    CUDA->free(0, bufs[0], sizeof x);
    OK(start(m, "saxpy.0", (shape){1, 128, 1, 0}, 2, bufs, 1, &n, NULL));
    ck_assert_int_eq(CUDA->sync(0), KL_ERR_DEVICE);
    ck_assert_msg(strstr(kl_error(), "nothing is allocated") != NULL, "%s", kl_error());
    CUDA->unload(m);
}
END_TEST

/* A free is in the order of the stream: what was launched before it still finds its
 * memory. */
START_TEST(test_free_after_launch)
{
    static float x[128];
    int64_t n = 128;
    kl_module *m = load(saxpy_text);
    void *bufs[] = {to_device(x, sizeof x), to_device(x, sizeof x)};
    OK(start(m, "saxpy.0", (shape){1, 128, 1, 0}, 2, bufs, 1, &n, NULL));
    CUDA->free(0, bufs[0], sizeof x);
    OK(CUDA->sync(0));
    CUDA->unload(m);
}
END_TEST

START_TEST(test_device_pointer_on_host)
{
    float x = 1;
    volatile float *d = to_device(&x, sizeof x);
    signal(SIGSEGV, SIG_DFL);
    x = *d;
}
END_TEST

START_TEST(test_wrong_side_copies)
{
    float x[4] = {0};
    char *d = to_device(x, sizeof x);
    const struct {
        void *dst, *src;
        bool src_host, dst_host;
    } wrong[] = {{d, x, false, true},  {x, x, true, false},      {d, d, false, true},
                 {x, d, false, false}, {d, d + 4, false, false}, {d + 4, x, true, false}};
    for (size_t i = 0; i < KL_COUNT(wrong); i++) {
        kl_error_clear();
        kl_status s = CUDA->copy(0, wrong[i].dst, wrong[i].src, sizeof x,
                                 wrong[i].src_host, wrong[i].dst_host);
        ck_assert_msg(s == KL_ERR_DEVICE, "copy %zu", i);
        ck_assert(strstr(kl_error(), "CUDA_ERROR_INVALID_VALUE") != NULL);
    }
}
END_TEST

/* Nothing happens until somebody waits. */
START_TEST(test_pending)
{
    kl_standin_state *st = standin();
    static float x[128], y[128];
    int64_t n = 128, error[3] = {0};
    kl_module *m = load(saxpy_text);
    void *bufs[] = {to_device(x, sizeof x), to_device(y, sizeof y)};
    OK(CUDA->sync(0));
    long blocks = st->blocks, launches = st->launches, waits = st->waits;
    for (int i = 0; i < 3; i++)
        OK(start(m, "saxpy.0", (shape){1, 128, 1, 0}, 2, bufs, 1, &n, error));
    ck_assert_int_eq(st->blocks, blocks);
    ck_assert_int_eq(st->pending, 3);
    ck_assert_int_eq(st->waits, waits);
    OK(CUDA->sync(0));
    ck_assert_int_eq(st->blocks, blocks + 3);
    ck_assert_int_eq(st->launches, launches + 3);
    ck_assert_int_eq(st->waits, waits + 1);
    ck_assert_int_eq(st->pending, 0);
    CUDA->unload(m);
}
END_TEST

/* All that was made is given back; what was not is seen. With and without memory pools.
 */
START_TEST(test_leaks)
{
    kl_standin_state *st = standin();
    size_t live = kl_alloc_live();
    float x[256] = {0};
    int64_t n = 256;
    setenv("STANDIN_POOLS", _i ? "0" : "1", 1);
    kl_module *m = load(saxpy_text);
    void *bufs[] = {to_device(x, sizeof x), to_device(x, sizeof x)};
    ck_assert_int_eq(st->allocations, 3); /* and the error words */
    ck_assert_int_eq(st->pools, _i ? 0 : 1);
    ck_assert(st->streams == 1 && st->contexts == 1 && st->modules == 1);
    long to = st->to_device, from = st->to_host;
    OK(start(m, "saxpy.0", (shape){2, 128, 1, 0}, 2, bufs, 1, &n, NULL));
    from_device(x, bufs[1], sizeof x);
    ck_assert(st->to_device == to && st->to_host == from + 2);
    CUDA->unload(m);
    CUDA->free(0, bufs[0], sizeof x);
    OK(CUDA->sync(0));
    ck_assert_int_eq(st->allocations, 2);
    CUDA->free(0, bufs[1], sizeof x);
    kl_cuda_close();
    ck_assert(st->allocations == 0 && st->bytes == 0 && st->host_allocations == 0);
    ck_assert(st->streams == 0 && st->events == 0 && st->pools == 0 && st->modules == 0);
    ck_assert(st->contexts == 0 && st->pending == 0);
    ck_assert_uint_eq(kl_alloc_live(), live);
    OK(CUDA->sync(0)); /* opens again */
    kl_cuda_close();
    ck_assert_int_eq(st->contexts, 0);
}
END_TEST

/* Loading a module with the n-th allocation failing. */
START_TEST(test_out_of_memory)
{
    kl_standin_state *st = standin();
    kl_nvrtc_code code;
    kl_text text = {0};
    kl_module *m = NULL;
    kl_cuda_prelude(&text, KL_PRELUDE_FLOATS);
    kl_text_put(&text, saxpy_text);
    OK(kl_nvrtc_compile("oom", text.s, "sm_90", KL_NVRTC_PTX, &code));
    size_t live = kl_alloc_live();
    kl_status s = KL_ERR_OOM;
    int n = 0;
    for (; s != KL_OK && n < 10; n++) {
        kl_error_clear();
        kl_alloc_fail_at(n);
        s = CUDA->load(0, code.bytes, code.size, &m);
        kl_alloc_fail_at(-1);
        ck_assert(s == KL_OK || (s == KL_ERR_OOM && !m && kl_alloc_live() == live));
        ck_assert_int_eq(st->modules, s == KL_OK);
    }
    ck_assert_int_eq(n, 4); /* three allocations */
    kl_alloc_fail_at(0);
    ck_assert_ptr_null(CUDA->symbol(m, "saxpy.0"));
    kl_alloc_fail_at(-1);
    ck_assert_ptr_nonnull(CUDA->symbol(m, "saxpy.0"));
    CUDA->unload(m);
    ck_assert_uint_eq(kl_alloc_live(), live);
    kl_nvrtc_free(&code);
    kl_text_free(&text);
}
END_TEST

int main(void)
{
    int status;
    pid_t pid = fork();
    if (pid == 0)
        _exit(standin() && CUDA->count() == 1 && kl_nvrtc_found() ? 0 : 1);
    if (waitpid(pid, &status, 0) != pid || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
        return 77;
    TCase *tc = tcase_create("standin");
    tcase_add_loop_test(tc, test_planted, 0, (int)KL_COUNT(planted));
    tcase_add_test(tc, test_copy_not_waited_for);
    tcase_add_test(tc, test_host_pointer_in_kernel);
    tcase_add_test(tc, test_freed_memory_in_kernel);
    tcase_add_test(tc, test_free_after_launch);
    tcase_add_test_raise_signal(tc, test_device_pointer_on_host, SIGSEGV);
    tcase_add_test(tc, test_wrong_side_copies);
    tcase_add_test(tc, test_pending);
    tcase_add_loop_test(tc, test_leaks, 0, 2);
    tcase_add_test(tc, test_out_of_memory);
    return run_suite(tc);
}
