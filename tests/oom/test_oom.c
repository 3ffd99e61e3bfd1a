/* test_oom.c: whole scenarios, with the n-th allocation failing for every n. Whatever
 * fails, the calls say KL_ERR_OOM, all memory comes back, and the next attempt works.
 * LLVM's own memory is not ours and does not fail here (README says what it does).
 *
 *   build a graph, compile it, run it; train a step; a compiled function, saved, loaded
 *   and called; arrays to a file and back; a model to an object and its header
 *
 * A scenario first runs twice whole, so that what a process keeps for good is there. */
#include "frontend/artefact.h"
#include "frontend/front.h"

#include <check.h>
#include <unistd.h>

static char folder[64];

static const char *path_of(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

/* ---- the scenarios: what they give is right, or something failed ---- */

static void compute(void)
{
    kl_tensor *x = kl_arange(0, 48, 1, KL_F32);
    kl_tensor *m = kl_reshape(x, kl_shape(6, 8)), *row = kl_select(m, 0, 2);
    kl_mul_(row, 2);
    kl_tensor *y = kl_softmax(kl_matmul(kl_t(m), kl_exp(kl_mul(m, -0.1))), 1);
    double sum = kl_item(kl_sum(y));
    ck_assert(kl_failed() || (sum > 7.99 && sum < 8.01));
}

static void train(void)
{
    kl_tensor *p[] = {kl_full(kl_shape(5, 6), 0.1, KL_F32),
                      kl_zeros(kl_shape(5), KL_F32)};
    kl_tensor *x = kl_ones(kl_shape(4, 6), KL_F32), *y = kl_zeros(kl_shape(4), KL_I64);
    kl_optim *o = kl_adam_new(p, 2, .lr = 1e-2);
    double loss[2] = {0, 0};
    for (int i = 0; i < 2; i++) {
        kl_tensor *l = kl_cross_entropy(kl_relu(kl_linear(x, p[0], p[1])), y);
        kl_adam_step(o, l);
        loss[i] = kl_item(l);
    }
    ck_assert(kl_failed() || loss[1] < loss[0]);
    kl_optim_free(o);
}

static void layer(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = kl_tanh(kl_add(kl_mul(in[0], 3), (kl_tensor *)user));
}

static void call(const kl_function *f)
{
    float x[4] = {0, 1, 2, 3}, y[4] = {0};
    if (f && kl_function_call(f, (const void *[]){x}, (void *[]){y}) == KL_OK)
        ck_assert(y[0] > 0.76f && y[0] < 0.77f);
}

static void square(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], in[0]);
}

static void functions(void)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(4)}};
    kl_tensor *w = kl_full(kl_shape(4), 1, KL_F32);
    kl_function *f = kl_compile(layer, w, in, 1, 1);
    call(f);
    if (f && kl_program_save(f, path_of("net.kl")) == KL_OK) {
        kl_function *g = kl_program_load(path_of("net.kl"));
        call(g);
        kl_function_free(g);
    }
    kl_function_free(f);
}

/* Three sizes: a program each way round, and a function of a size left open. */
static void sizes(void)
{
    float x[6] = {0}, y[6] = {7};
    int64_t n = 6;
    for (int i = 5; i < 8; i++) {
        kl_tensor *t = kl_arange(0, i, 1, KL_F32);
        double sum = kl_item(kl_sum(kl_mul(t, t)));
        ck_assert(kl_failed() || sum == i * (i - 1) * (2 * i - 1) / 6.0);
    }
    kl_input in[] = {{"x", KL_F32, kl_shape(KL_ANY(0))}};
    kl_dimension dims[] = {{.name = "n", .min = 1, .max = 100}};
    kl_function *f = kl_compile_sized(square, NULL, in, 1, 1, dims, 1);
    if (f && kl_function_call_sized(f, &n, (const void *[]){x}, (void *[]){y}) == KL_OK)
        ck_assert(y[0] == 0);
    kl_function_free(f);
}

static void files(void)
{
    kl_tensor *t[] = {kl_named(kl_arange(0, 300, 1, KL_F64), "a"),
                      kl_named(kl_ones(kl_shape(3, 5), KL_I32), "b")};
    if (kl_save(path_of("two.npz"), t, 2) != KL_OK)
        return;
    double sum = kl_item(kl_sum(kl_load(path_of("two.npz"), "a")));
    ck_assert(kl_failed() || sum == 44850);
}

static void artefact(void)
{
    static const char text[] =
        "graph g(%x: f32[B,8], %w: f32[8,6]) { dim B 1..64 "
        "%2: f32[B,6] = contract %x, %w \"mk,kn->mn\" %3: f32[B,6] = tanh %2 out %3 }";
    kl_model m = {0};
    kl_artefact a;
    kl_text object = {0}, header = {0}, library = {0};
    kl_status st = kl_model_parse("g.kl", text, false, &m);
    if (st == KL_OK)
        st = kl_model_compile(&m, kl_target_host(), NULL);
    if (st == KL_OK)
        st = kl_model_artefact(&m, 1, "g", KL_WEIGHTS_ARGS, KL_SCRATCH_FIT, &a);
    if (st == KL_OK)
        st = kl_artefact_emit(&a, KL_LLVM_OPEN_OBJECT, &object);
    if (st == KL_OK)
        st = kl_artefact_header(&a, "g.kl", &header);
    if (st == KL_OK)
        st = kl_static_library(&a, object.s, object.len, &library);
    ck_assert(kl_failed() || (library.len > object.len && object.len > 100));
    kl_text_free(&object);
    kl_text_free(&header);
    kl_text_free(&library);
    kl_model_free(&m);
}

/* ---- the loop ---- */

/* kept: its kernels' objects stay from run to run, where the machine code of so many
 * would take minutes; what comes before and after is all done anew. */
typedef struct scenario {
    const char *name;
    void (*run)(void);
    bool kept;
} scenario;

static const scenario scenarios[] = {
    {"compute", compute, false}, {"train", train, true},  {"functions", functions, false},
    {"sizes", sizes, false},     {"files", files, false}, {"artefact", artefact, false}};

static char message[512];

/* The status, and nothing of the scenario left: not its programs, not its kernels. n < 0:
 * nothing fails; *failed: the n-th allocation was made. */
static kl_status once(const scenario *s, int64_t n, bool *failed)
{
    kl_error_clear();
    kl_alloc_fail_at(n);
    kl_scope_begin();
    s->run();
    kl_scope_end();
    *failed = kl_alloc_fail_at(-1) < 0;
    kl_status st = kl_error_status();
    snprintf(message, sizeof message, "%s: %s", kl_status_name(st), kl_error());
    kl_error_clear();
    kl_cleanup();
    kl_modules_trim(0);
    if (!s->kept)
        kl_store_forget(0);
    kl_program_pool_clear();
    return st;
}

/* What is kept is what one whole run keeps. */
static void settle(const scenario *s)
{
    bool failed;
    kl_store_forget(0);
    ck_assert_msg(once(s, -1, &failed) == KL_OK, "%s: %s", s->name, message);
}

START_TEST(test_every_allocation)
{
    const scenario *s = &scenarios[_i];
    const char *name = s->name;
    bool failed = true;
    ck_assert_msg(once(s, -1, &failed) == KL_OK, "%s: %s", name, message);
    settle(s);
    size_t before = kl_alloc_live();
    int n = 0, told = 0;
    for (failed = true; failed; n++) {
        kl_status st = once(s, n, &failed);
        ck_assert_msg(st == KL_OK || st == KL_ERR_OOM, "%s, allocation %d: %s", name, n,
                      message);
        if (s->kept && kl_alloc_live() != before)
            settle(s); /* other kernels were made and kept */
        ck_assert_msg(kl_alloc_live() == before, "%s, allocation %d: %zd bytes are left",
                      name, n, (ssize_t)(kl_alloc_live() - before));
        ck_assert_int_eq(kl_lazy_live(), 0);
        told += st != KL_OK;
    }
    /* a few failures cost only speed: a kernel is not kept, a node not found again */
    ck_assert_msg(n > 10 && told > n / 2, "%s: %d of %d", name, told, n);
    ck_assert_int_eq(once(s, -1, &failed), KL_OK);
}
END_TEST

/* test_oom [SCENARIO]: all of them, or one. */
int main(int argc, char **argv)
{
    const char *tmp = getenv("TMPDIR");
    snprintf(folder, sizeof folder, "%.40s/kiln-oom-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(folder))
        return 1;
    setenv("KILN_CACHE", "", 1);
    Suite *s = suite_create("oom");
    TCase *tc = tcase_create("oom");
    tcase_set_timeout(tc, 600);
    for (int i = 0; i < (int)KL_COUNT(scenarios); i++)
        if (argc < 2 || strcmp(argv[1], scenarios[i].name) == 0)
            tcase_add_loop_test(tc, test_every_allocation, i, i + 1);
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    unlink(path_of("net.kl"));
    unlink(path_of("net.safetensors"));
    unlink(path_of("two.npz"));
    rmdir(folder);
    return failed != 0;
}
