/* test_rows.c: what users of other libraries ask for or complain of, each as the small
 * program that shows it (tests/README.md names the rows). */
#include "tests/unit/front_test.h"

/* ---- laziness that cannot be seen ---- */

/* A reader made before a write through a view reads the value of before. */
START_TEST(readers_keep_what_they_read)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(2), 1, 2);
    kl_tensor *reader = kl_add(kl_mul(x, 10.0), 1.0);
    kl_fill_(kl_slice(x, 0, 0, 1), 9.0);
    kl_tensor *after = kl_add(x, 0.0);
    SHOWS(reader, "tensor([11., 21.])");
    SHOWS(after, "tensor([9., 2.])");
}
END_TEST

/* Copies never alias; borrowed memory always does. */
START_TEST(aliases_only_where_the_name_says_so)
{
    float a[3] = {1, 2, 3};
    kl_tensor *copy = kl_tensor_copy(a, KL_F32, kl_shape(3));
    kl_tensor *same = kl_from_buffer(a, KL_F32, kl_shape(3), NULL, false, NULL, NULL);
    kl_tensor *clone = kl_clone(same);
    a[0] = 7;
    SHOWS(copy, "tensor([1., 2., 3.])");
    SHOWS(clone, "tensor([1., 2., 3.])");
    SHOWS(same, "tensor([7., 2., 3.])");
}
END_TEST

/* Signed strides of borrowed memory, on any axis, of one element too. */
START_TEST(strides_are_signed)
{
    double a[6] = {0, 1, 2, 3, 4, 5};
    int64_t back[] = {-8}, one[] = {-24, 8};
    kl_tensor *r = kl_from_buffer(a + 5, KL_F64, kl_shape(6), back, false, NULL, NULL);
    SHOWS(r, "tensor([5., 4., 3., 2., 1., 0.], dtype=torch.float64)");
    kl_tensor *s = kl_from_buffer(a + 3, KL_F64, kl_shape(1, 3), one, false, NULL, NULL);
    SHOWS(s, "tensor([[3., 4., 5.]], dtype=torch.float64)");
    kl_fill_(kl_select(r, 0, 0), -1);
    ck_assert(a[5] == -1);
}
END_TEST

/* Reading and copying read-only memory is silent, writing to it an error that changes
 * nothing. */
START_TEST(read_only_is_kept)
{
    static const float a[2] = {1, 2};
    kl_tensor *t =
        kl_from_buffer((void *)(uintptr_t)a, KL_F32, kl_shape(2), NULL, true, NULL, NULL);
    SHOWS(kl_add(kl_clone(t), t), "tensor([2., 4.])");
    FAILS(kl_add_(t, 1.0), "the tensor's memory is read-only");
    FAILS(kl_fill_(kl_slice(t, 0, 0, 1), 1.0), "the tensor's memory is read-only");
    SHOWS(t, "tensor([1., 2.])");
}
END_TEST

/* Every in-place call checks all before it writes a byte. */
START_TEST(refused_writes_change_nothing)
{
    float a[4] = {1, 2, 3, 4};
    kl_tensor *x = kl_from_buffer(a, KL_F32, kl_shape(4), NULL, false, NULL, NULL);
    kl_tensor *three = kl_ones(kl_shape(3), KL_F32),
              *wide = kl_ones(kl_shape(2, 4), KL_F32);
    kl_tensor *w = kl_requires_grad_(kl_ones(kl_shape(4), KL_F32));
    kl_tensor *i = kl_ones(kl_shape(4), KL_I64),
              *many = kl_expand(kl_ones(kl_shape(1), KL_F32), kl_shape(4));
    FAILS(kl_add_(x, three), "");
    FAILS(kl_sub_(x, three), "");
    FAILS(kl_mul_(x, wide), "");
    FAILS(kl_div_(x, wide), "");
    FAILS(kl_copy_(x, three), "");
    FAILS(kl_add_(i, 0.5), "");
    FAILS(kl_div_(i, 2), "");
    FAILS(kl_add_(w, 1.0), "a leaf Variable that requires grad");
    FAILS(kl_add_(many, 1.0), "more than one element of the written-to tensor");
    FAILS(kl_add_(x, kl_complex(three, three)), "");
    ck_assert(a[0] == 1 && a[1] == 2 && a[2] == 3 && a[3] == 4);
    SHOWS(i, "tensor([1, 1, 1, 1])");
    ck_assert(kl_item(kl_sum(w)) == 4 && kl_item(kl_sum(many)) == 4);
}
END_TEST

/* ---- the same bits ---- */

static kl_tensor *model(kl_tensor *x, kl_tensor *w)
{
    kl_tensor *h = kl_gelu(kl_linear(x, w, NULL));
    kl_tensor *n = kl_layer_norm(h, 1, NULL, NULL, 1e-5);
    return kl_mul(kl_softmax(n, 1), kl_mean_axes(h, kl_axes(1), true));
}

static kl_hash bits(kl_tensor *t)
{
    size_t size = (size_t)kl_nbytes(t);
    void *p = malloc(size);
    ck_assert_msg(kl_copy_out(t, p, size) == KL_OK, "%s", kl_error());
    kl_hash h = kl_hash_bytes(p, size);
    free(p);
    return h;
}

static bool equal(kl_hash a, kl_hash b)
{
    return a.hi == b.hi && a.lo == b.lo;
}

START_TEST(threads_do_not_show)
{
    static const int counts[] = {1, 2, 7, 16, 64};
    int threads = kl_num_threads();
    int64_t n = front_interp ? 3 : 200;
    kl_hash first[4] = {{0, 0}};
    for (size_t i = 0; i < KL_COUNT(counts); i++) {
        kl_set_num_threads(counts[i]);
        kl_manual_seed(11);
        kl_tensor *x = kl_realize(kl_randn(kl_shape(n, 129), KL_F32));
        kl_tensor *w = kl_realize(kl_randn(kl_shape(65, 129), KL_F32));
        kl_tensor *y[4] = {model(x, w), kl_dropout(x, 0.5, true), kl_sum(kl_exp(x)),
                           kl_matmul(kl_t(x), x)};
        for (int k = 0; k < 4; k++) {
            kl_hash h = bits(y[k]);
            ck_assert_msg(i == 0 || equal(h, first[k]), "result %d with %d threads", k,
                          counts[i]);
            first[k] = h;
        }
    }
    kl_set_num_threads(threads);
}
END_TEST

/* A row of a batch has the bits that it has in any other batch. */
START_TEST(batches_do_not_show)
{
    kl_tensor *w = kl_realize(kl_randn(kl_shape(65, 129), KL_F32));
    int64_t big = front_interp ? 9 : 64;
    kl_tensor *x = kl_realize(kl_randn(kl_shape(big, 129), KL_F32));
    kl_tensor *all = kl_realize(model(x, w));
    for (int64_t n = 4; n < big; n = 2 * n + 1)
        ck_assert(
            equal(bits(kl_slice(all, 0, 0, n)), bits(model(kl_slice(x, 0, 0, n), w))));
}
END_TEST

/* The mask is the same alone, fused into others, or read by several. */
START_TEST(masks_do_not_see_fusion)
{
    kl_tensor *x = kl_realize(kl_add(kl_rand(kl_shape(50, 70), KL_F32), 1.0));
    kl_manual_seed(2);
    kl_tensor *alone = kl_realize(kl_ne(kl_dropout(x, 0.3, true), 0.0));
    kl_manual_seed(2);
    kl_tensor *d = kl_dropout(kl_mul(x, 2.0), 0.3, true);
    kl_tensor *sum = kl_sum_axes(d, kl_axes(1), false), *fused = kl_ne(kl_sin(d), 0.0);
    kl_realize(sum);
    ck_assert(equal(bits(alone), bits(fused)));
}
END_TEST

/* Several updates of one element are made in their order, whatever runs them. */
START_TEST(scatters_add_in_order)
{
    enum { N = 5000, M = 37 };
    static int64_t index[N];
    static float value[N], want[M];
    for (int i = 0; i < N; i++) {
        index[i] = (i * 7919 + i / 3) % M;
        value[i] = 1.0f / (float)(i % 977 + 1);
        want[index[i]] += value[i];
    }
    kl_tensor *t = kl_zeros(kl_shape(M), KL_F32);
    kl_tensor *y = kl_scatter_add(t, 0, kl_tensor_copy(index, KL_I64, kl_shape(N)),
                                  kl_tensor_copy(value, KL_F32, kl_shape(N)));
    float got[M];
    ck_assert_int_eq(kl_copy_out(y, got, sizeof got), KL_OK);
    ck_assert(memcmp(got, want, sizeof got) == 0);
}
END_TEST

/* ---- threads of the user's ---- */

enum { USERS = 16 };
static int differing;

/* Each on tensors of its own: all need one program, and each another one. */
static void *use(void *p)
{
    int me = *(int *)p;
    kl_scope_begin();
    kl_tensor *x = kl_arange(0, 77, 1, KL_F64);
    double same = kl_item(kl_sum(kl_mul(kl_sub(x, 3.0), x)));
    double own = kl_item(kl_sum(kl_arange(0, 100 + me, 1, KL_F64)));
    if (same != 140448 || own != (100 + me) * (99 + me) / 2.0)
        __atomic_store_n(&differing, 1, __ATOMIC_RELAXED);
    kl_scope_end();
    kl_cleanup();
    return NULL;
}

START_TEST(users_share_programs)
{
    pthread_t t[USERS];
    int number[USERS];
    differing = 0;
    for (int i = 0; i < USERS; i++) {
        number[i] = i;
        ck_assert_int_eq(pthread_create(&t[i], NULL, use, &number[i]), 0);
    }
    for (int i = 0; i < USERS; i++)
        pthread_join(t[i], NULL);
    ck_assert(!differing);
}
END_TEST

static void affine(kl_tensor *const *in, kl_tensor **out, void *user)
{
    (void)user;
    out[0] = kl_cumsum(kl_add(kl_mul(in[0], 3.0), 1.0), 0);
}

static kl_function *shared;

static void *call(void *p)
{
    float x[500], y[500];
    (void)p;
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 500; i++)
            x[i] = (float)round;
        kl_function_call(shared, (const void *[]){x}, (void *[]){y});
        if (y[499] != 500.0f * (3.0f * (float)round + 1))
            __atomic_store_n(&differing, 1, __ATOMIC_RELAXED);
    }
    return NULL;
}

START_TEST(functions_are_called_side_by_side)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(500)}};
    pthread_t t[USERS];
    differing = 0;
    shared = kl_compile(affine, NULL, in, 1, 1);
    for (int i = 0; i < USERS; i++)
        ck_assert_int_eq(pthread_create(&t[i], NULL, call, NULL), 0);
    for (int i = 0; i < USERS; i++)
        pthread_join(t[i], NULL);
    ck_assert(!differing);
    kl_function_free(shared);
}
END_TEST

/* ---- size ---- */

/* More operands than a kernel has room for, as a sum and side by side. */
START_TEST(many_operands)
{
    enum { N = 300 };
    kl_tensor *t[N], *sum = NULL;
    for (int i = 0; i < N; i++) {
        t[i] = kl_realize(kl_add(kl_zeros(kl_shape(5), KL_F64), (double)i));
        sum = sum ? kl_add(sum, t[i]) : t[i];
    }
    double v = kl_item(kl_select(sum, 0, 4)), c = kl_item(kl_sum(kl_cat(t, N, 0)));
    ck_assert_msg(v == N * (N - 1) / 2 && c == 5 * v, "%g %g %s", v, c, kl_error());
}
END_TEST

/* Programs made, run and dropped: nothing of them stays. */
START_TEST(programs_come_and_go)
{
    size_t live = 0;
    for (int i = 0; i < 60; i++) {
        kl_scope_begin();
        kl_tensor *x = kl_ones(kl_shape(3 + i), KL_F32);
        ck_assert(kl_item(kl_sum(kl_exp(kl_sub(x, 1.0)))) == 3 + i);
        kl_scope_end();
        kl_cache_trim(0);
        ck_assert_int_eq(kl_stats().code_bytes, 0);
        if (i == 10)
            live = kl_alloc_live();
    }
    ck_assert_msg(kl_alloc_live() <= live, "%zu bytes, %zu after ten", kl_alloc_live(),
                  live);
}
END_TEST

/* A graph of 1 TB takes no more to build and refuse than one of 1 KB. */
START_TEST(virtual_sizes_cost_nothing)
{
    kl_tensor *x = kl_zeros(kl_shape(1 << 20, 1 << 18), KL_F32);
    kl_tensor *y = kl_sum(kl_exp(kl_add(x, 1.0)));
    kl_cost c;
    if (front_interp)
        return;
    ck_assert_msg(kl_plan(&y, 1, &c) == KL_OK, "%s", kl_error());
    ck_assert(c.results < 100 && c.flops > 2e11);
    kl_tensor *z = kl_exp(x);
    kl_set_memory_limit((int64_t)1 << 33);
    FAILS(kl_realize(z), "needs 1099511627776 bytes at its peak");
    kl_set_memory_limit(0);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("rows");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, readers_keep_what_they_read);
    tcase_add_test(tc, aliases_only_where_the_name_says_so);
    tcase_add_test(tc, strides_are_signed);
    tcase_add_test(tc, read_only_is_kept);
    tcase_add_test(tc, refused_writes_change_nothing);
    tcase_add_test(tc, threads_do_not_show);
    tcase_add_test(tc, batches_do_not_show);
    tcase_add_test(tc, masks_do_not_see_fusion);
    tcase_add_test(tc, scatters_add_in_order);
    tcase_add_test(tc, users_share_programs);
    tcase_add_test(tc, functions_are_called_side_by_side);
    tcase_add_test(tc, many_operands);
    tcase_add_test(tc, programs_come_and_go);
    tcase_add_test(tc, virtual_sizes_cost_nothing);
    return front_run(s);
}
