/* test_users.c: 32 threads of a program's own, each building, differentiating, compiling
 * and running: the same graphs and graphs of its own, functions of their own and one that
 * all share, a tensor that all force at once, with the caches emptied meanwhile and the
 * folder of KILN_CACHE shared. Every result has the bits that one thread alone gets. Run
 * under TSan too (tests/run.sh). */
#include "tests/unit/front_test.h"

#include <pthread.h>
#include <unistd.h>

enum { USERS = 32, ROWS = 6, WIDE = 10, OUT = 3, STEPS = 3, PARAMS = 2 };

typedef struct user {
    int number;   /* what its own graphs and data depend on */
    float got[8]; /* its results */
    const char *wrong;
} user;

static user users[USERS];

/* One thread a user, all at once. */
static void all_at_once(void *(*work)(void *))
{
    pthread_t t[USERS];
    for (int i = 0; i < USERS; i++) {
        users[i] = (user){.number = i};
        ck_assert_int_eq(pthread_create(&t[i], NULL, work, &users[i]), 0);
    }
    for (int i = 0; i < USERS; i++)
        pthread_join(t[i], NULL);
}

/* Each again by itself, with the same results. */
static void each_alone(void *(*work)(void *))
{
    pthread_t t;
    for (int i = 0; i < USERS; i++) {
        user alone = {.number = i};
        ck_assert_int_eq(pthread_create(&t, NULL, work, &alone), 0);
        pthread_join(t, NULL);
        ck_assert_msg(!users[i].wrong, "user %d: %s", i, users[i].wrong);
        ck_assert_msg(!alone.wrong, "user %d alone: %s", i, alone.wrong);
        ck_assert_msg(memcmp(alone.got, users[i].got, sizeof alone.got) == 0,
                      "user %d has other results alone", i);
    }
}

static void side_by_side(void *(*work)(void *))
{
    all_at_once(work);
    each_alone(work);
}

/* What a thread ends with: its error is kept for the one who asserts. */
static void *leave(user *u)
{
    static char text[USERS][200];
    if (kl_failed()) {
        snprintf(text[u->number], sizeof *text, "%s", kl_error());
        u->wrong = text[u->number];
    }
    kl_error_clear();
    kl_cleanup();
    return NULL;
}

/* Values that differ from user to user. */
static kl_tensor *some(int seed, int64_t rows, int64_t columns)
{
    float v[WIDE * WIDE];
    for (int i = 0; i < rows * columns; i++)
        v[i] = (float)((i * 37 + seed * 11) % 29 - 14) / 16;
    return kl_tensor_copy(v, KL_F32, kl_shape(rows, columns));
}

/* ---- training ---- */

static kl_tensor *net(kl_tensor *x, kl_tensor *const *p)
{
    return kl_linear(kl_gelu(kl_linear(x, p[0], NULL)), p[1], NULL);
}

/* The same step for all: a few losses and a parameter's sum. */
static void train(user *u)
{
    kl_tensor *p[PARAMS] = {some(u->number, WIDE, WIDE), some(u->number + 1, OUT, WIDE)};
    kl_adam *opt = kl_adam_new(p, PARAMS, .lr = 1e-2);
    kl_tensor *x = some(u->number + 2, ROWS, WIDE);
    kl_tensor *y = kl_mod(kl_arange(u->number, u->number + ROWS, 1, KL_I64), OUT);
    for (int i = 0; i < STEPS; i++) {
        kl_scope_begin();
        kl_tensor *loss = kl_cross_entropy(net(x, p), y);
        kl_adam_step(opt, loss);
        u->got[i] = (float)kl_item(loss);
        kl_scope_end();
    }
    u->got[STEPS] = (float)kl_item(kl_sum(kl_detach(p[0])));
    kl_optim_free(opt);
}

/* A graph that only this user has, backwards through it, and a write through a view. */
static void own_graph(user *u)
{
    kl_tensor *x = kl_requires_grad_(some(u->number, ROWS, WIDE)), *y = x;
    for (int i = 0; i <= u->number % 4; i++)
        y = i % 2 ? kl_tanh(y) : kl_mul(y, y);
    kl_backward(kl_sum(kl_slice(y, 1, 0, 1 + u->number % 7)));
    u->got[4] = (float)kl_item(kl_sum(kl_grad_of(x)));
    kl_tensor *z = kl_clone(kl_detach(x));
    kl_fill_(kl_select(z, 0, u->number % ROWS), (double)u->number);
    u->got[5] = (float)kl_item(kl_sum(z));
}

static void *build_and_run(void *p)
{
    user *u = p;
    kl_scope_begin();
    train(u);
    own_graph(u);
    kl_scope_end();
    return leave(u);
}

START_TEST(graphs_of_all_and_of_each)
{
    side_by_side(build_and_run);
}
END_TEST

/* ---- compiled functions ---- */

static kl_function *shared;

static void rows_of(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor *h = kl_softmax(kl_mul(in[0], *(const double *)user), 1);
    out[0] = kl_sum_axes(kl_mul(h, in[0]), kl_axes(1), false);
}

static void call_on(const kl_function *f, int seed, float *sum)
{
    float x[ROWS * WIDE], y[ROWS];
    for (int i = 0; i < ROWS * WIDE; i++)
        x[i] = (float)((i * 7 + seed) % 23) / 8;
    *sum = 0;
    kl_function_call(f, (const void *[]){x}, (void *[]){y});
    for (int i = 0; i < ROWS; i++)
        *sum += y[i];
}

/* Each compiles a function that all have and one of its own; all call the shared one. */
static void *compile_and_call(void *p)
{
    user *u = p;
    kl_input in[] = {{"x", KL_F32, kl_shape(ROWS, WIDE)}};
    double by[] = {2, 3 + u->number};
    for (int i = 0; i < 2; i++) {
        kl_function *f = kl_compile(rows_of, &by[i], in, 1, 1);
        for (int round = 0; f && round < 5; round++) {
            call_on(f, u->number + round, &u->got[2 * i]);
            call_on(shared, u->number + round, &u->got[2 * i + 1]);
        }
        kl_function_free(f);
    }
    return leave(u);
}

START_TEST(functions_of_all_and_of_each)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(ROWS, WIDE)}};
    double by = 2;
    shared = kl_compile(rows_of, &by, in, 1, 1);
    side_by_side(compile_and_call);
    kl_function_free(shared);
}
END_TEST

/* ---- one tensor ---- */

static kl_tensor *common;

/* All force it at once, and read it in graphs of their own. */
static void *force(void *p)
{
    user *u = p;
    kl_scope_begin();
    u->got[0] = (float)kl_item(kl_sum(common));
    u->got[1] = (float)kl_item(kl_sum(kl_mul(common, (double)u->number)));
    kl_scope_end();
    return leave(u);
}

START_TEST(a_tensor_that_all_force)
{
    for (int round = 0; round < 3; round++) {
        common = kl_exp(kl_add(some(round, ROWS, WIDE), 1.0));
        side_by_side(force);
    }
}
END_TEST

/* ---- caches ---- */

static bool done;

/* Empties the caches in memory and in the folder while others fill and use them. */
static void *trim(void *p)
{
    while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
        kl_cache_trim(0);
        kl_stats();
        usleep(2000);
    }
    return leave(p);
}

static void emptied_meanwhile(void *(*work)(void *))
{
    pthread_t t;
    user u = {0};
    done = false;
    ck_assert_int_eq(pthread_create(&t, NULL, trim, &u), 0);
    all_at_once(work);
    __atomic_store_n(&done, true, __ATOMIC_RELEASE);
    pthread_join(t, NULL);
    ck_assert_msg(!u.wrong, "%s", u.wrong);
    each_alone(work);
}

START_TEST(caches_emptied_meanwhile)
{
    emptied_meanwhile(build_and_run);
}
END_TEST

/* In a process of its own, as every test: the environment is read anew. */
START_TEST(one_folder_for_all)
{
    char folder[] = "/tmp/kiln-users-XXXXXX";
    ck_assert_ptr_nonnull(mkdtemp(folder));
    setenv("KILN_CACHE", folder, 1);
    side_by_side(build_and_run);
    kl_cache_clear();
    kl_modules_drop_unused();
    kl_store_forget(0); /* from the folder now */
    emptied_meanwhile(build_and_run);
    ck_assert(front_interp || kl_stats().programs_from_disk > 0);
    kl_cache_trim(0);
    ck_assert_msg(rmdir(folder) == 0, "%s is not empty", folder);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("users");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, graphs_of_all_and_of_each);
    tcase_add_test(tc, functions_of_all_and_of_each);
    tcase_add_test(tc, a_tensor_that_all_force);
    tcase_add_test(tc, caches_emptied_meanwhile);
    tcase_add_test(tc, one_folder_for_all);
    return front_run(s);
}
