/* test_tensor.c: creation, elementwise operations, promotion, reductions, movement and
 * printing, against what PyTorch prints for the same calls. */
#include "tests/unit/front_test.h"

static kl_tensor *x23(void)
{
    return kl_of(KL_F32, kl_shape(2, 3), 1, 2, 3, 4, 5, 6);
}

START_TEST(creation)
{
    SHOWS(kl_zeros(kl_shape(2, 2), KL_F32), "tensor([[0., 0.],\n        [0., 0.]])");
    SHOWS(kl_ones(kl_shape(3), KL_I32), "tensor([1, 1, 1], dtype=torch.int32)");
    SHOWS(kl_full(kl_shape(2), 7, KL_DTYPE_NONE), "tensor([7, 7])");
    SHOWS(kl_full(kl_shape(), 2.5, KL_DTYPE_NONE), "tensor(2.5000)");
    SHOWS(kl_arange(0, 10, 3, KL_DTYPE_NONE), "tensor([0, 3, 6, 9])");
    SHOWS(kl_arange(3, 0, -1, KL_DTYPE_NONE), "tensor([3, 2, 1])");
    SHOWS(kl_arange(0.0, 1.0, 0.25, KL_DTYPE_NONE),
          "tensor([0.0000, 0.2500, 0.5000, 0.7500])");
    SHOWS(kl_linspace(0, 1, 5, KL_DTYPE_NONE),
          "tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])");
    SHOWS(kl_linspace(3, 9, 1, KL_F64), "tensor([3.], dtype=torch.float64)");
    SHOWS(kl_linspace(4.3, -3.5, 3, KL_I64), "tensor([ 4,  0, -3])");
    SHOWS(kl_eye(2, KL_F32), "tensor([[1., 0.],\n        [0., 1.]])");
    SHOWS(kl_zeros(kl_shape(0), KL_F32), "tensor([])");
    SHOWS(kl_zeros(kl_shape(2, 0), KL_F32), "tensor([], size=(2, 0))");
    SHOWS(kl_empty(kl_shape(2), KL_F32), "tensor([0., 0.])");
}
END_TEST

START_TEST(copies_do_not_share)
{
    int64_t a[3] = {1, 2, 3};
    kl_tensor *t = kl_tensor_copy(a, KL_I64, kl_shape(3));
    a[0] = 9;
    SHOWS(t, "tensor([1, 2, 3])");
}
END_TEST

START_TEST(promotion)
{
    kl_tensor *i = kl_arange(0, 3, 1, KL_DTYPE_NONE), *f = kl_ones(kl_shape(3), KL_F32);
    ck_assert_int_eq(kl_dtype_of(kl_add(i, 2)), KL_I64);
    ck_assert_int_eq(kl_dtype_of(kl_add(i, 2.5)), KL_F32);
    ck_assert_int_eq(kl_dtype_of(kl_add(i, f)), KL_F32);
    ck_assert_int_eq(kl_dtype_of(kl_div(i, i)), KL_F32);
    ck_assert_int_eq(kl_dtype_of(kl_add(f, kl_full(kl_shape(), 1.0, KL_F64))), KL_F32);
    ck_assert_int_eq(kl_dtype_of(kl_add(f, kl_ones(kl_shape(1), KL_F64))), KL_F64);
    ck_assert_int_eq(kl_dtype_of(kl_add(kl_ones(kl_shape(2), KL_U8), 300)), KL_U8);
    ck_assert_int_eq(kl_dtype_of(kl_add(kl_ones(kl_shape(2), KL_BOOL), (bool)1)),
                     KL_BOOL);
    ck_assert_int_eq(kl_dtype_of(kl_add(kl_ones(kl_shape(2), KL_F16), 1)), KL_F16);
    ck_assert_int_eq(kl_dtype_of(kl_lt(f, 2)), KL_BOOL);
    ck_assert_int_eq(kl_dtype_of(kl_sum(kl_ones(kl_shape(2), KL_BOOL))), KL_I64);
    SHOWS(kl_div(kl_arange(0, 4, 1, KL_DTYPE_NONE), 2),
          "tensor([0.0000, 0.5000, 1.0000, 1.5000])");
}
END_TEST

START_TEST(elementwise)
{
    kl_tensor *x = x23();
    SHOWS(kl_add(kl_mul(x, 2), 1.5), "tensor([[ 3.5000,  5.5000,  7.5000],\n"
                                     "        [ 9.5000, 11.5000, 13.5000]])");
    SHOWS(kl_sub(x, kl_of(KL_F32, kl_shape(3), 1, 2, 3)),
          "tensor([[0., 0., 0.],\n        [3., 3., 3.]])");
    SHOWS(kl_pow(kl_arange(0, 4, 1, KL_DTYPE_NONE), 2), "tensor([0, 1, 4, 9])");
    SHOWS(kl_pow(kl_of(KL_F32, kl_shape(2), 2, 3), -1), "tensor([0.5000, 0.3333])");
    SHOWS(kl_sqrt(kl_of(KL_F32, kl_shape(3), 1, 4, 9)), "tensor([1., 2., 3.])");
    SHOWS(kl_where(kl_gt(x, 3), x, 0), "tensor([[0., 0., 0.],\n        [4., 5., 6.]])");
    SHOWS(kl_clamp(x, 2, 5), "tensor([[2., 2., 3.],\n        [4., 5., 5.]])");
    SHOWS(kl_clamp(x, NULL, 5), "tensor([[1., 2., 3.],\n        [4., 5., 5.]])");
    SHOWS(kl_clamp(x, 9, 5), "tensor([[5., 5., 5.],\n        [5., 5., 5.]])");
    SHOWS(kl_relu(kl_of(KL_F32, kl_shape(3), -1, 0, NAN)), "tensor([0., 0., nan])");
    SHOWS(kl_floordiv(kl_of(KL_I64, kl_shape(3), -7, 7, 8), 2), "tensor([-4,  3,  4])");
    SHOWS(kl_mod(kl_of(KL_I64, kl_shape(2), -7, 7), 3), "tensor([2, 1])");
    SHOWS(kl_rem(kl_of(KL_I64, kl_shape(2), -7, 7), 3), "tensor([-1,  1])");
    SHOWS(kl_floor(kl_arange(0, 3, 1, KL_DTYPE_NONE)), "tensor([0, 1, 2])");
    SHOWS(kl_isnan(kl_of(KL_F32, kl_shape(2), NAN, 1)), "tensor([ True, False])");
    SHOWS(kl_sign(kl_of(KL_F32, kl_shape(3), -2, 0, 5)), "tensor([-1.,  0.,  1.])");
    SHOWS(kl_logical_and(kl_of(KL_F32, kl_shape(2), 1, 0), true),
          "tensor([ True, False])");
    SHOWS(kl_and(kl_of(KL_I64, kl_shape(2), 6, 3), 2), "tensor([2, 2])");
    SHOWS(kl_neg(x), "tensor([[-1., -2., -3.],\n        [-4., -5., -6.]])");
    SHOWS(kl_max(x, 4), "tensor([[4., 4., 4.],\n        [4., 5., 6.]])");
    SHOWS(kl_fma(x, 2, 1), "tensor([[ 3.,  5.,  7.],\n        [ 9., 11., 13.]])");
}
END_TEST

START_TEST(reductions)
{
    kl_tensor *x = x23();
    SHOWS(kl_sum(x), "tensor(21.)");
    SHOWS(kl_sum_axes(x, kl_axes(0), false), "tensor([5., 7., 9.])");
    SHOWS(kl_mean_axes(x, kl_axes(-1), true), "tensor([[2.],\n        [5.]])");
    SHOWS(kl_prod(kl_of(KL_I64, kl_shape(3), 2, 3, 4)), "tensor(24)");
    SHOWS(kl_amax_axes(x, kl_axes(1), false), "tensor([3., 6.])");
    SHOWS(kl_any(kl_gt(x, 5)), "tensor(True)");
    SHOWS(kl_all(kl_gt(x, 5)), "tensor(False)");
    SHOWS(kl_var(kl_of(KL_F32, kl_shape(4), 1, 2, 3, 4), kl_axes(), 1, false),
          "tensor(1.6667)");
    SHOWS(kl_std(kl_of(KL_F32, kl_shape(4), 1, 2, 3, 4), kl_axes(), 0, false),
          "tensor(1.1180)");
    SHOWS(kl_argmax(x, 1, false), "tensor([2, 2])");
    SHOWS(kl_cumsum(x, 1), "tensor([[ 1.,  3.,  6.],\n        [ 4.,  9., 15.]])");
    SHOWS(kl_norm(kl_of(KL_F32, kl_shape(2), 3, 4), 2, kl_axes(), false), "tensor(5.)");
    SHOWS(kl_sum(kl_zeros(kl_shape(0), KL_F32)), "tensor(0.)");
    kl_tensor *index;
    SHOWS(kl_sort(kl_of(KL_F32, kl_shape(4), 3, 1, NAN, 2), 0, false, &index),
          "tensor([1., 2., 3., nan])");
    SHOWS(index, "tensor([1, 3, 0, 2])");
    SHOWS(kl_topk(kl_of(KL_F32, kl_shape(4), 3, 1, 5, 2), 2, 0, true, &index),
          "tensor([5., 3.])");
    SHOWS(index, "tensor([2, 0])");
}
END_TEST

START_TEST(movement)
{
    kl_tensor *x = x23();
    SHOWS(kl_t(x), "tensor([[1., 4.],\n        [2., 5.],\n        [3., 6.]])");
    SHOWS(kl_reshape(x, kl_shape(3, -1)),
          "tensor([[1., 2.],\n        [3., 4.],\n        [5., 6.]])");
    SHOWS(kl_select(x, 1, -1), "tensor([3., 6.])");
    SHOWS(kl_slice(x, 1, 1, KL_END), "tensor([[2., 3.],\n        [5., 6.]])");
    SHOWS(kl_slice_step(x, 1, KL_END, -KL_END, -1),
          "tensor([[3., 2., 1.],\n        [6., 5., 4.]])");
    SHOWS(kl_flip(x, kl_axes(0)), "tensor([[4., 5., 6.],\n        [1., 2., 3.]])");
    SHOWS(kl_roll(kl_arange(0, 4, 1, KL_DTYPE_NONE), 1, 0), "tensor([3, 0, 1, 2])");
    SHOWS(kl_cat(((kl_tensor *[]){x, x}), 2, 1), "tensor([[1., 2., 3., 1., 2., 3.],\n"
                                                 "        [4., 5., 6., 4., 5., 6.]])");
    SHOWS(kl_stack(((kl_tensor *[]){kl_select(x, 0, 0), kl_select(x, 0, 1)}), 2, 1),
          "tensor([[1., 4.],\n        [2., 5.],\n        [3., 6.]])");
    SHOWS(kl_repeat(kl_arange(1, 4, 1, KL_DTYPE_NONE), kl_shape(2)),
          "tensor([1, 2, 3, 1, 2, 3])");
    SHOWS(kl_repeat_interleave(kl_arange(1, 4, 1, KL_DTYPE_NONE), 2, 0),
          "tensor([1, 1, 2, 2, 3, 3])");
    SHOWS(kl_pad(kl_arange(1, 3, 1, KL_DTYPE_NONE), kl_shape(1, 2), 0),
          "tensor([0, 1, 2, 0, 0])");
    SHOWS(kl_tril(kl_ones(kl_shape(2, 2), KL_F32), 0),
          "tensor([[1., 0.],\n        [1., 1.]])");
    SHOWS(kl_diagonal(kl_of(KL_I64, kl_shape(2, 2), 1, 2, 3, 4), 0, 0, 1),
          "tensor([1, 4])");
    SHOWS(kl_unfold(kl_arange(0, 5, 1, KL_DTYPE_NONE), 0, 3, 2),
          "tensor([[0, 1, 2],\n        [2, 3, 4]])");
    SHOWS(kl_expand(kl_of(KL_F32, kl_shape(2, 1), 1, 2), kl_shape(2, 2)),
          "tensor([[1., 1.],\n        [2., 2.]])");
    SHOWS(kl_movedim(kl_zeros(kl_shape(2, 1, 1), KL_F32), 0, 2), "tensor([[[0., 0.]]])");
}
END_TEST

START_TEST(printing)
{
    SHOWS(kl_of(KL_F32, kl_shape(3), 1e-5, 1, 1000),
          "tensor([1.0000e-05, 1.0000e+00, 1.0000e+03])");
    SHOWS(kl_of(KL_F32, kl_shape(2), 1e9, 1), "tensor([1.0000e+09, 1.0000e+00])");
    SHOWS(kl_of(KL_F32, kl_shape(3), INFINITY, -INFINITY, NAN),
          "tensor([inf, -inf, nan])");
    SHOWS(kl_of(KL_F32, kl_shape(2), 0.1, 100), "tensor([  0.1000, 100.0000])");
    SHOWS(kl_of(KL_BOOL, kl_shape(2), 1, 0), "tensor([ True, False])");
    SHOWS(kl_of(KL_I64, kl_shape(3), 100, 2, -3), "tensor([100,   2,  -3])");
    SHOWS(kl_arange(0, 1001, 1, KL_DTYPE_NONE),
          "tensor([   0,    1,    2,  ...,  998,  999, 1000])");
    SHOWS(kl_zeros(kl_shape(2, 1, 2), KL_F64),
          "tensor([[[0., 0.]],\n\n        [[0., 0.]]], dtype=torch.float64)");
    char text[64];
    ck_assert_str_eq(
        kl_shape_text(kl_zeros(kl_shape(2, 3, 4), KL_F32), text, sizeof text),
        "torch.Size([2, 3, 4])");
}
END_TEST

/* A decimal comma in the locale changes nothing. */
START_TEST(printing_ignores_the_locale)
{
    if (setlocale(LC_ALL, "de_DE.UTF-8") || setlocale(LC_ALL, "fr_FR.UTF-8"))
        SHOWS(kl_of(KL_F32, kl_shape(2), 0.5, 1), "tensor([0.5000, 1.0000])");
    setlocale(LC_ALL, "C");
}
END_TEST

START_TEST(scopes_release)
{
    int64_t before = kl_lazy_live();
    kl_tensor *kept;
    kl_scope_begin();
    for (int i = 0; i < 100; i++)
        kl_add(x23(), 1);
    kept = kl_keep(kl_add(x23(), 1));
    kl_scope_end();
    SHOWS(kl_select(kept, 0, 0), "tensor([2., 3., 4.])");
    ck_assert_int_lt(kl_lazy_live() - before, 10);
}
END_TEST

/* A long chain is built, run in pieces and released without recursion. */
START_TEST(long_chains)
{
    kl_tensor *t = kl_zeros(kl_shape(2), KL_I64);
    for (int i = 0; i < 20000; i++) {
        kl_scope_begin();
        kl_tensor *n = kl_keep(kl_add(t, 1));
        kl_scope_end();
        t = n;
    }
    SHOWS(t, "tensor([20000, 20000])");
}
END_TEST

/* An unchanged step compiles once; so does one whose literal changes, from its second
 * value on. */
START_TEST(steps_hit_the_cache)
{
    kl_tensor *x = x23();
    int64_t compiled = 0;
    for (int i = 0; i < 6; i++) {
        kl_tensor *y = kl_sum(kl_mul(x, 1.0 + i));
        ck_assert(fabs(kl_item(y) - 21 * (1.0 + i)) < 1e-4);
        if (i == 2)
            compiled = kl_counts.programs_compiled;
    }
    ck_assert_int_eq(kl_counts.programs_compiled, compiled);
}
END_TEST

/* Missing axes of either side stand in front. */
START_TEST(broadcast)
{
    kl_tensor *v = kl_of(KL_F32, kl_shape(3), 1, 2, 3),
              *m = kl_ones(kl_shape(2, 3), KL_F32);
    SHOWS(kl_add(v, m), "tensor([[2., 3., 4.],\n        [2., 3., 4.]])");
    SHOWS(kl_add(m, v), "tensor([[2., 3., 4.],\n        [2., 3., 4.]])");
    SHOWS(kl_where(kl_gt(v, 1), v, kl_zeros(kl_shape(2, 1), KL_F32)),
          "tensor([[0., 2., 3.],\n        [0., 2., 3.]])");
    FAILS(kl_add(kl_ones(kl_shape(2), KL_F32), kl_ones(kl_shape(4, 3), KL_F32)),
          "(3) at non-singleton dimension 1: [2] and [4, 3]");
}
END_TEST

static bool stop_now(void *token)
{
    return token == NULL;
}

START_TEST(given_up) /* and asked for again */
{
    if (front_interp) /* which asks nobody */
        return;
    kl_tensor *x = kl_eye(600, KL_F32);
    for (int i = 0; i < 400; i++) /* long on any machine */
        x = kl_matmul(x, x);
    kl_set_stop(stop_now);
    FAILS(kl_realize(x) == KL_OK, "given up");
    kl_set_stop(NULL);
    ck_assert_double_eq(kl_item(kl_sum(x)), 600);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("tensor");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, creation);
    tcase_add_test(tc, broadcast);
    tcase_add_test(tc, copies_do_not_share);
    tcase_add_test(tc, promotion);
    tcase_add_test(tc, elementwise);
    tcase_add_test(tc, reductions);
    tcase_add_test(tc, movement);
    tcase_add_test(tc, printing);
    tcase_add_test(tc, printing_ignores_the_locale);
    tcase_add_test(tc, scopes_release);
    tcase_add_test(tc, given_up);
    tcase_add_test(tc, long_chains);
    tcase_add_test(tc, steps_hit_the_cache);
    return front_run(s);
}
