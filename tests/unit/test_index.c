/* test_index.c: gather, scatter and indexing by tensors and masks, as PyTorch gives them.
 */
#include "tests/unit/front_test.h"

static kl_tensor *x23(void)
{
    return kl_of(KL_F32, kl_shape(2, 3), 1, 2, 3, 4, 5, 6);
}
#define I1(...)                                                                          \
    kl_of(KL_I64, kl_shape((int64_t)(sizeof((double[]){__VA_ARGS__}) / 8)), __VA_ARGS__)

START_TEST(reading)
{
    kl_tensor *x = x23();
    SHOWS(kl_index(x, ((kl_tensor *[]){I1(1, 0, -1)}), 1),
          "tensor([[4., 5., 6.],\n        [1., 2., 3.],\n        [4., 5., 6.]])");
    SHOWS(kl_index(x, ((kl_tensor *[]){NULL, I1(2, 0)}), 2),
          "tensor([[3., 1.],\n        [6., 4.]])");
    SHOWS(kl_index(x, ((kl_tensor *[]){I1(0, 1), I1(2, -1)}), 2), "tensor([3., 6.])");
    SHOWS(kl_index(x, ((kl_tensor *[]){kl_gt(x, 3)}), 1), "tensor([4., 5., 6.])");
    SHOWS(kl_index_select(x, 1, I1(0, 0, 2)),
          "tensor([[1., 1., 3.],\n        [4., 4., 6.]])");
    SHOWS(kl_gather(x, 1, kl_of(KL_I64, kl_shape(2, 2), 0, 2, 1, 1)),
          "tensor([[1., 3.],\n        [5., 5.]])");
    SHOWS(kl_gather(x, 0, kl_of(KL_I64, kl_shape(1, 3), 0, 1, 0)),
          "tensor([[1., 5., 3.]])");
    SHOWS(kl_take(x, I1(5, 0)), "tensor([6., 1.])");
    SHOWS(kl_one_hot(I1(0, 2), 3), "tensor([[1, 0, 0],\n        [0, 0, 1]])");
    SHOWS(kl_nonzero(kl_gt(x, 4)), "tensor([[1, 1],\n        [1, 2]])");
    SHOWS(kl_masked_select(x, kl_lt(x, 3)), "tensor([1., 2.])");
    SHOWS(kl_masked_fill(x, kl_gt(x, 3), -1),
          "tensor([[ 1.,  2.,  3.],\n        [-1., -1., -1.]])");
}
END_TEST

START_TEST(writing)
{
    kl_tensor *x = x23(), *z = kl_zeros(kl_shape(3), KL_F32);
    kl_index_put_(x, ((kl_tensor *[]){I1(0), I1(1)}), 2, 9, false);
    SHOWS(x, "tensor([[1., 9., 3.],\n        [4., 5., 6.]])");
    kl_index_put_(x, ((kl_tensor *[]){NULL, I1(0, 2)}), 2, 0, false);
    SHOWS(x, "tensor([[0., 9., 0.],\n        [0., 5., 0.]])");
    kl_index_put_(z, ((kl_tensor *[]){I1(0, 0, 2)}), 1, 1, true);
    SHOWS(z, "tensor([2., 0., 1.])");
    SHOWS(kl_scatter(z, 0, I1(1), kl_of(KL_F32, kl_shape(1), 7)), "tensor([2., 7., 1.])");
    SHOWS(kl_scatter_add(kl_zeros(kl_shape(2, 3), KL_F32), 1,
                         kl_of(KL_I64, kl_shape(2, 2), 0, 0, 1, 2),
                         kl_ones(kl_shape(2, 2), KL_F32)),
          "tensor([[2., 0., 0.],\n        [0., 1., 1.]])");
    SHOWS(kl_scatter_reduce(z, 0, I1(0, 0), kl_of(KL_F32, kl_shape(2), 5, 3), "amax"),
          "tensor([5., 0., 1.])");
    SHOWS(kl_index_add(z, 0, I1(1, 1), kl_of(KL_F32, kl_shape(2), 1, 2)),
          "tensor([2., 3., 1.])");
}
END_TEST

START_TEST(gradients)
{
    kl_tensor *x = kl_requires_grad_(x23());
    kl_backward(kl_sum(kl_mul(kl_index(x, ((kl_tensor *[]){I1(0, 0)}), 1), 2)));
    SHOWS(kl_grad_of(x), "tensor([[4., 4., 4.],\n        [0., 0., 0.]])");
    kl_set_grad(x, NULL);
    kl_backward(kl_sum(kl_gather(x, 1, kl_of(KL_I64, kl_shape(2, 1), 2, 0))));
    SHOWS(kl_grad_of(x), "tensor([[0., 0., 1.],\n        [1., 0., 0.]])");
}
END_TEST

START_TEST(out_of_range)
{
    kl_tensor *x = x23();
    FAILS(kl_realize(kl_index(x, ((kl_tensor *[]){I1(2)}), 1)), "");
    FAILS(kl_realize(kl_index(x, ((kl_tensor *[]){I1(0), I1(3)}), 2)), "");
    FAILS(kl_realize(kl_index_select(x, 0, I1(-3))), "");
    FAILS(kl_index(x, ((kl_tensor *[]){I1(0), I1(0), I1(0)}), 3), "too many indices");
    FAILS(kl_index(x, ((kl_tensor *[]){kl_ones(kl_shape(1), KL_F32)}), 1),
          "must be long");
}
END_TEST

/* What only the kernel knows: the index is computed. */
START_TEST(computed_out_of_range)
{
    kl_tensor *x = x23(), *late = kl_add(I1(1), 1);
    FAILS(kl_realize(kl_index(x, ((kl_tensor *[]){late}), 1)),
          "index 2 is out of bounds for dimension 0 with size 2");
    FAILS(kl_realize(kl_neg(kl_index_select(x, 0, kl_sub(I1(0), 3)))),
          "index out of range in self");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("index");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, reading);
    tcase_add_test(tc, writing);
    tcase_add_test(tc, gradients);
    tcase_add_test(tc, out_of_range);
    tcase_add_test(tc, computed_out_of_range);
    return front_run(s);
}
