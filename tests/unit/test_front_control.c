/* test_front_control.c: kl_scan, kl_while and kl_cond from C, against loops in C over the
 * same operations; gradients against the same loops; what is wrong is said with its
 * place. */
#include "front_test.h"

enum { N = 5, T = 7 };

static kl_tensor *f32(kl_ints shape, const float *v)
{
    return kl_tensor_copy(v, KL_F32, shape);
}

static void is(kl_tensor *t, const float *want)
{
    float v[256];
    ck_assert_msg(t && kl_copy_out(t, v, (size_t)kl_nbytes(t)) == KL_OK, "%s",
                  kl_error());
    for (int64_t i = 0; i < kl_numel(t); i++)
        ck_assert_msg(v[i] == want[i], "element %d is %g, not %g", (int)i, v[i], want[i]);
}

static void same(kl_tensor *a, kl_tensor *b)
{
    float v[256];
    ck_assert_msg(b && kl_copy_out(b, v, (size_t)kl_nbytes(b)) == KL_OK, "%s",
                  kl_error());
    is(a, v);
}

/* ---- scan ---- */

typedef struct net {
    kl_tensor *w, *b;
} net;

/* h = tanh(h w + x) + b: w and b come from outside. */
static kl_tensor *cell(const net *n, kl_tensor *h, kl_tensor *x)
{
    return kl_add(kl_tanh(kl_add(kl_matmul(h, n->w), x)), n->b);
}

static void cell_body(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = cell(user, in[0], in[1]);
    out[1] = kl_mul(out[0], 2.0);
}

static kl_tensor *unrolled(const net *n, kl_tensor *h, kl_tensor *xs, kl_tensor **ys)
{
    kl_tensor *y[T];
    for (int i = 0; i < T; i++) {
        h = cell(n, h, kl_select(xs, 0, i));
        y[i] = kl_unsqueeze(kl_mul(h, 2.0), 0);
    }
    *ys = kl_cat(y, T, 0);
    return h;
}

static net draw(kl_tensor **h, kl_tensor **xs)
{
    kl_manual_seed(3);
    *h = kl_randn(kl_shape(2, N), KL_F32);
    *xs = kl_randn(kl_shape(T, 2, N), KL_F32);
    return (net){kl_randn(kl_shape(N, N), KL_F32), kl_randn(kl_shape(N), KL_F32)};
}

START_TEST(a_scan_is_a_loop)
{
    kl_tensor *h, *xs, *out[2], *ys;
    net n = draw(&h, &xs);
    ck_assert_msg(kl_scan(cell_body, &n, &h, 1, &xs, 1, out, 2) == KL_OK, "%s",
                  kl_error());
    kl_tensor *last = unrolled(&n, h, xs, &ys);
    same(out[0], last);
    same(out[1], ys);
}
END_TEST

START_TEST(gradients_go_through_a_scan)
{
    kl_tensor *h, *xs, *out[2], *ys, *want[4], *got[4];
    net n = draw(&h, &xs);
    kl_tensor *leaf[] = {h, xs, n.w, n.b};
    for (int i = 0; i < 4; i++)
        kl_requires_grad_(leaf[i]);
    kl_tensor *last = unrolled(&n, h, xs, &ys);
    kl_tensor *loss = kl_add(kl_sum(kl_mul(ys, ys)), kl_sum(last));
    ck_assert_msg(kl_grad(loss, leaf, 4, want) == KL_OK, "%s", kl_error());
    ck_assert_msg(kl_scan(cell_body, &n, &h, 1, &xs, 1, out, 2) == KL_OK, "%s",
                  kl_error());
    loss = kl_add(kl_sum(kl_mul(out[1], out[1])), kl_sum(out[0]));
    ck_assert_msg(kl_grad(loss, leaf, 4, got) == KL_OK, "%s", kl_error());
    for (int i = 0; i < 4; i++)
        ck_assert_msg(kl_item(kl_amax(kl_abs(kl_sub(want[i], got[i])))) < 1e-3,
                      "leaf %d: %g", i,
                      kl_item(kl_amax(kl_abs(kl_sub(want[i], got[i])))));
}
END_TEST

static void sum_body(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_add(in[0], in[1]);
}

/* Nothing carried, nothing scanned twice, no trips. */
START_TEST(short_scans)
{
    kl_tensor *c = f32(kl_shape(2), (float[]){1, 2}), *out[1];
    kl_tensor *none = kl_zeros(kl_shape(0, 2), KL_F32),
              *one = f32(kl_shape(1, 2), (float[]){3, 4});
    ck_assert(kl_scan(sum_body, NULL, &c, 1, &none, 1, out, 1) == KL_OK);
    is(out[0], (float[]){1, 2});
    ck_assert(kl_scan(sum_body, NULL, &c, 1, &one, 1, out, 1) == KL_OK);
    is(out[0], (float[]){4, 6});
    ck_assert(kl_scan(sum_body, NULL, NULL, 0, ((kl_tensor *[]){one, one}), 2, out, 1) ==
              KL_OK);
    is(out[0], (float[]){6, 8});
}
END_TEST

/* The step's program is compiled once. */
START_TEST(the_same_scan_is_known)
{
    kl_tensor *c = f32(kl_shape(2), (float[]){1, 2}),
              *x = kl_realize(kl_ones(kl_shape(3, 2), KL_F32)), *out[1];
    for (int i = 0; i < 5; i++) {
        int64_t before = kl_counts.programs_compiled;
        kl_scope_begin();
        ck_assert(kl_scan(sum_body, NULL, &c, 1, &x, 1, out, 1) == KL_OK);
        is(out[0], (float[]){4, 5});
        kl_scope_end();
        ck_assert(i == 0 || kl_counts.programs_compiled == before);
    }
}
END_TEST

/* ---- while ---- */

static void small(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = kl_lt(kl_sum(in[0]), *(kl_tensor **)user);
}

static void twice(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_add(in[0], in[0]);
    out[1] = kl_add(in[1], 1);
}

START_TEST(a_while_is_a_loop)
{
    for (int limit = 0; limit < 100; limit += 33) {
        kl_tensor *c[] = {f32(kl_shape(2), (float[]){1, 2}),
                          kl_zeros(kl_shape(), KL_I64)};
        kl_tensor *most = kl_full(kl_shape(), limit, KL_F32), *out[2];
        float x[] = {1, 2};
        int trips = 0;
        for (; x[0] + x[1] < (float)limit; trips++)
            x[0] += x[0], x[1] += x[1];
        ck_assert_msg(kl_while(small, twice, &most, c, 2, out) == KL_OK, "%s",
                      kl_error());
        is(out[0], x);
        ck_assert_int_eq(kl_item_int(out[1]), trips);
    }
}
END_TEST

/* x = x * a while its sum is small, and how often. */
static void grow(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor **u = user;
    out[0] = kl_mul(in[0], u[1]);
    out[1] = kl_add(in[1], 1);
}

/* sum of x a^k for the k that the loop makes: by x a^k, by a k x a^(k-1). */
START_TEST(a_while_of_bounded_trips_has_gradients)
{
    for (int64_t most = 1; most <= 7; most += 3) {
        kl_tensor *x = kl_requires_grad_(f32(kl_shape(2), (float[]){1, 2})),
                  *a = kl_requires_grad_(f32(kl_shape(2), (float[]){2, 2}));
        kl_tensor *user[] = {kl_full(kl_shape(), 30, KL_F32), a}, *by[] = {x, a}, *g[2];
        kl_tensor *c[] = {x, kl_zeros(kl_shape(), KL_I64)}, *out[2];
        int k = 0;
        float p = 1;
        for (; k < most && 3 * p < 30; k++)
            p *= 2;
        ck_assert_msg(kl_while_within(small, grow, user, c, 2, most, out) == KL_OK, "%s",
                      kl_error());
        is(out[0], (float[]){p, 2 * p});
        ck_assert_int_eq(kl_item_int(out[1]), k);
        ck_assert_msg(kl_grad(kl_sum(out[0]), by, 2, g) == KL_OK, "%s", kl_error());
        is(g[0], (float[]){p, p});
        float s = (float)k * p / 2;
        is(g[1], (float[]){s, 2 * s});
    }
}
END_TEST

/* ---- cond ---- */

static void squares(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_mul(in[0], in[0]);
    out[1] = in[0];
}

static void halves(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = kl_mul(in[0], *(kl_tensor **)user);
    out[1] = kl_neg(in[0]);
}

START_TEST(one_side_of_a_branch)
{
    kl_tensor *x = kl_requires_grad_(f32(kl_shape(3), (float[]){1, -2, 3}));
    kl_tensor *half = kl_requires_grad_(f32(kl_shape(3), (float[]){0.5, 0.5, 0.25}));
    kl_tensor *by[] = {x, half}, *out[2], *g[2];
    for (int side = 0; side < 2; side++) {
        kl_tensor *p = side ? kl_gt(kl_sum(x), 0.0) : kl_lt(kl_sum(x), 0.0);
        ck_assert_msg(kl_cond(p, squares, halves, &half, &x, 1, out, 2) == KL_OK, "%s",
                      kl_error());
        is(out[0], side ? (float[]){1, 4, 9} : (float[]){0.5, -1, 0.75});
        is(out[1], side ? (float[]){1, -2, 3} : (float[]){-1, 2, -3});
        ck_assert_msg(kl_grad(kl_sum(out[0]), by, 2, g) == KL_OK, "%s", kl_error());
        is(g[0], side ? (float[]){2, -4, 6} : (float[]){0.5, 0.5, 0.25});
        is(g[1], side ? (float[]){0, 0, 0} : (float[]){1, -2, 3});
    }
}
END_TEST

/* ---- in each other, and in compiled functions ---- */

static void power_step(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_tensor *c[] = {in[0], kl_to(in[1], KL_I64)}, *r[2];
    kl_while(small, twice, user, c, 2, r);
    out[0] = kl_mul(r[0], 0.25);
    out[1] = kl_to(r[1], KL_F32);
}

static void nested(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_scan(power_step, user, in, 1, in + 1, 1, out, 2);
}

START_TEST(loops_in_loops_in_functions)
{
    kl_tensor *most = kl_full(kl_shape(), 20, KL_F32);
    kl_input in[] = {{"x", KL_F32, kl_shape(2)}, {"i", KL_F32, kl_shape(3)}};
    kl_function *f = kl_compile(nested, &most, in, 2, 2);
    ck_assert_msg(f != NULL, "%s", kl_error());
    float x[] = {1, 2}, i[] = {10, 20, 30}, y[2], z[3], want[2] = {1, 2};
    ck_assert(kl_function_call(f, (const void *[]){x, i}, (void *[]){y, z}) == KL_OK);
    for (int t = 0; t < 3; t++) {
        float trips = i[t];
        for (; want[0] + want[1] < 20; trips++)
            want[0] += want[0], want[1] += want[1];
        want[0] *= 0.25f, want[1] *= 0.25f;
        ck_assert(z[t] == trips);
    }
    ck_assert(y[0] == want[0] && y[1] == want[1]);
    kl_function_free(f);
}
END_TEST

/* ---- what is wrong ---- */

static void none(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)in, (void)out, (void)user;
}

static void grows(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_cat(((kl_tensor *[]){in[0], in[0]}), 2, 0);
}

static void counts(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_sum(in[0]);
}

static void writes(kl_tensor *const *in, kl_tensor **out, void *user)
{
    kl_add_(*(kl_tensor **)user, 1.0);
    out[0] = in[0];
}

START_TEST(mistakes_are_told)
{
    kl_tensor *c = kl_ones(kl_shape(2), KL_F32), *x = kl_ones(kl_shape(3, 2), KL_F32),
              *out[1];
    kl_tensor *p = kl_lt(c, 0.0), *null = NULL;
#define BAD(call, text) FAILS((call) == KL_OK, text)
    BAD(kl_scan(none, NULL, &c, 1, &x, 1, out, 1), "kl_scan: the body gives no result 0");
    BAD(kl_scan(grows, NULL, &c, 1, &x, 1, out, 1),
        "kl_scan: carried tensor 0 is f32[2] and comes back as f32[4]");
    BAD(kl_scan(sum_body, NULL, &c, 1, ((kl_tensor *[]){x, c}), 2, out, 1),
        "kl_scan: scanned tensor 1 is f32[2]: all share the extent of axis 0");
    BAD(kl_scan(sum_body, NULL, &null, 1, &x, 1, out, 1),
        "kl_scan: carried tensor 0 is NULL");
    BAD(kl_scan(sum_body, NULL, &c, 1, &x, 0, out, 1),
        "kl_scan: called on 1 and 0 tensors");
    BAD(kl_scan(writes, &c, &c, 1, &x, 1, out, 1),
        "wrote in place to a tensor from outside");
    BAD(kl_while(counts, grows, NULL, &c, 1, out),
        "kl_while: the test is f32[], not one bool");
    BAD(kl_while_within(counts, grows, NULL, &c, 1, 0, out),
        "kl_while_within: a test, a body, at least one carried tensor and one trip, but");
    BAD(kl_while_within(none, grows, NULL, &c, 1, 3, out),
        "kl_while_within: the test gives nothing");
    BAD(kl_cond(p, grows, grows, NULL, &c, 1, out, 1),
        "kl_cond: the condition is bool[2], not one bool");
    BAD(kl_cond(kl_lt(kl_sum(c), 0.0), grows, counts, NULL, &c, 1, out, 1),
        "kl_cond: result 0 is f32[4] on one side and f32[] on the other");
    kl_tensor *leaf = kl_requires_grad_(kl_ones(kl_shape(2), KL_F32));
    kl_tensor *most = kl_full(kl_shape(), 9, KL_F32), *two[2];
    kl_tensor *carry[] = {leaf, kl_zeros(kl_shape(), KL_I64)};
    ck_assert(kl_while(small, twice, &most, carry, 2, two) == KL_OK);
    ck_assert(kl_backward(kl_sum(two[0])) == KL_OK);
    FAILS(kl_realize(kl_grad_of(leaf)), "while has no reverse derivative");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("control");
    TCase *tc = front_case(s, "control");
    tcase_add_test(tc, a_scan_is_a_loop);
    tcase_add_test(tc, gradients_go_through_a_scan);
    tcase_add_test(tc, short_scans);
    tcase_add_test(tc, the_same_scan_is_known);
    tcase_add_test(tc, a_while_is_a_loop);
    tcase_add_test(tc, a_while_of_bounded_trips_has_gradients);
    tcase_add_test(tc, one_side_of_a_branch);
    tcase_add_test(tc, loops_in_loops_in_functions);
    tcase_add_test(tc, mistakes_are_told);
    return front_run(s);
}
