/* codes.c: what an artefact does when it is called wrongly, and with threads: a program
 * that knows nothing of kiln but the headers. Links head.o (static scratch), own.o (the
 * same model with the caller's scratch and a file of weights), scale.o, pick.o, sorted.o
 * (each call takes its scratch). argv[1]: own's weights. */
#define _XOPEN_SOURCE 700
#include "head.h"
#include "own.h"
#include "pick.h"
#include "scale.h"
#include "sorted.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

enum { B = 64 };
static float x[B * 64], y[B * 10], l[B * 10], y2[B * 10], l2[B * 10];
static int failed, inner;

static void expect(const char *what, int is, int want)
{
    if (is == want)
        return;
    printf("%s: %d, not %d\n", what, is, want);
    failed = 1;
}

/* ---- threads ---- */

typedef void (*work_fn)(void *context, int64_t begin, int64_t end, int64_t worker);
typedef struct part {
    work_fn work;
    void *context;
    int64_t begin, end, worker;
} part;

static void *run_part(void *p)
{
    part *a = p;
    for (int64_t i = a->begin; i < a->end; i++)
        a->work(a->context, i, i + 1, a->worker);
    return NULL;
}

static void two_threads(int64_t n, int64_t grain, work_fn work, void *context)
{
    pthread_t t;
    part a = {work, context, 0, n / 2, 63}, b = {work, context, n / 2, n, 0};
    (void)grain;
    pthread_create(&t, NULL, run_part, &a);
    run_part(&b);
    pthread_join(t, NULL);
}

static void enter_again(int64_t n, int64_t grain, work_fn work, void *context)
{
    (void)grain;
    inner = head(B, x, y2, l2);
    work(context, 0, n, 0);
}

/* ---- cases ---- */

static void same(const char *what)
{
    expect(what, memcmp(y, y2, sizeof y) || memcmp(l, l2, sizeof l), 0);
}

static void test_head(void)
{
    expect("head", head(B, x, y, l), HEAD_OK);
    expect("too large", head(B + 1, x, y2, l2), HEAD_DIM);
    expect("too small", head(3, x, y2, l2), HEAD_DIM);
    expect("null", head(B, x, NULL, l2), HEAD_POINTER);
    expect("outputs overlap", head(B, x, y2, y2 + 1), HEAD_OVERLAP);
    expect("over the input", head(B, x, y2, x + 5), HEAD_OVERLAP);
    for (int i = 0; i < B * 10; i++)
        if (y2[i] != 0 || l2[i] != 0)
            expect("nothing is written after an error", i, -1);
    head_parallel_for = two_threads;
    expect("two threads", head(B, x, y2, l2), HEAD_OK);
    same("two threads, same bits");
    head_parallel_for = enter_again;
    expect("outer", head(B, x, y2, l2), HEAD_OK);
    expect("inner", inner, HEAD_BUSY);
    head_parallel_for = NULL;
    expect("free again", head(B, x, y2, l2), HEAD_OK);
    same("afterwards, same bits");
}

static void test_own(const char *weights)
{
    int64_t n = own_scratch_bytes(B);
    char *scratch = aligned_alloc(64, (size_t)(n + 127) / 64 * 64);
    memset(scratch + n, 77, 64);
    expect("not loaded", own(B, x, y2, l2, scratch), OWN_WEIGHTS);
    expect("no file", own_load("/nowhere"), OWN_WEIGHTS);
    expect("another file", own_load("own.h"), OWN_WEIGHTS);
    expect("load", own_load(weights), OWN_OK);
    expect("load twice", own_load(weights), OWN_OK);
    memset(y2, 0, sizeof y2);
    expect("own", own(B, x, y2, l2, scratch), OWN_OK);
    same("weights from a file, same bits");
    expect("scratch overlaps", own(B, x, y2, l2, (char *)y2), OWN_OVERLAP);
    expect("no scratch", n > 0 ? own(B, x, y2, l2, NULL) : OWN_POINTER, OWN_POINTER);
    own_parallel_for = two_threads;
    expect("more for more", own_scratch_bytes(B) >= n, 1);
    expect("beyond its scratch", scratch[n], 77);
    free(scratch);
}

static void test_scale(void)
{
    float a = 2, u[5] = {1, 2, 3, 4, 5}, v[5] = {1, 1, 1, 1, 1};
    expect("donated", scale(5, u, v, &a, v), SCALE_OK);
    expect("donated result", v[0] == 3 && v[4] == 11, 1);
    expect("partly", scale(4, u, v, &a, v + 1), SCALE_OVERLAP);
    expect("not donated", scale(5, u, v, &a, u), SCALE_OVERLAP);
    expect("inputs may overlap", scale(5, u, u, &a, v), SCALE_OK);
    expect("their sum", v[4] == 15, 1);
}

static void test_pick(void)
{
    float table[40], out[8];
    int64_t good[2] = {9, 0}, bad[2] = {3, 10};
    for (int i = 0; i < 40; i++)
        table[i] = (float)i;
    expect("pick", pick(2, table, good, out), PICK_OK);
    expect("picked", out[0] == 36 && out[7] == 3, 1);
    expect("index", pick(2, table, bad, out), PICK_INDEX);
    expect("next call is clean", pick(2, table, good, out), PICK_OK);
}

/* What the scratch of 2^20 rows would take is refused before x is read. */
static void test_sorted(void)
{
    struct rlimit most = {(rlim_t)1 << 29, (rlim_t)1 << 29};
    float u[2 * 512], sum = 0;
    for (int i = 0; i < 2 * 512; i++)
        u[i] = 0.5f;
    expect("sorted", sorted(2, u, &sum), SORTED_OK);
    expect("its sum", sum == 512, 1);
    setrlimit(RLIMIT_AS, &most);
    expect("its sum in x", sorted(1 << 20, u, u + 1024), SORTED_OVERLAP);
    expect("no memory", sorted(1 << 20, (float *)(uintptr_t)64, &sum), SORTED_MEMORY);
}

int main(int argc, char **argv)
{
    for (int i = 0; i < B * 64; i++)
        x[i] = (float)(i % 97) / 50 - 1;
    test_head();
    test_own(argc > 1 ? argv[1] : "");
    test_scale();
    test_pick();
    test_sorted();
    return failed;
}
