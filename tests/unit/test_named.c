/* test_named.c: the functions that PyTorch names beside the primitives (join.c,
 * algebra.c, order.c): values as PyTorch 2.15 printed them, and what they refuse. */
#include "tests/unit/front_test.h"

static kl_tensor *range(int64_t n, kl_ints shape)
{
    return kl_reshape(kl_arange(0, n, 1, KL_F32), shape);
}

#define AT KL_HERE

START_TEST(joining)
{
    kl_tensor *a = kl_of(KL_I64, kl_shape(2), 1, 2),
              *b = kl_of(KL_I64, kl_shape(2), 3, 4);
    kl_tensor *ab[] = {a, b}, *out[4];
    SHOWS(kl_vstack_at(AT, ab, 2), "tensor([[1, 2],\n        [3, 4]])");
    SHOWS(kl_hstack_at(AT, ab, 2), "tensor([1, 2, 3, 4])");
    SHOWS(kl_column_stack_at(AT, ab, 2), "tensor([[1, 3],\n        [2, 4]])");
    SHOWS(kl_dstack_at(AT, ab, 2), "tensor([[[1, 3],\n         [2, 4]]])");
    SHOWS(kl_cartesian_prod_at(AT, ab, 2),
          "tensor([[1, 3],\n        [1, 4],\n        [2, 3],\n        [2, 4]])");
    SHOWS(kl_block_diag_at(AT, ab, 2), "tensor([[1, 2, 0, 0],\n        [0, 0, 3, 4]])");
    ck_assert_int_eq(kl_meshgrid_at(AT, ab, 2, false, out), 2);
    SHOWS(out[0], "tensor([[1, 1],\n        [2, 2]])");
    ck_assert_int_eq(kl_tensor_split_n_at(AT, kl_arange(0, 5, 1, KL_I64), 3, 0, out), 3);
    SHOWS(out[0], "tensor([0, 1])");
    SHOWS(out[2], "tensor([4])");
    int64_t ends[] = {1, -1};
    ck_assert_int_eq(kl_tensor_split_at(AT, kl_arange(0, 5, 1, KL_I64), ends, 2, 0, out),
                     3);
    SHOWS(out[1], "tensor([1, 2, 3])");
    FAILS(kl_tensor_split_n_at(AT, a, 0, 0, out) > 0,
          "number of sections must be larger than 0, got 0");
    FAILS(kl_meshgrid_at(AT, ab, 0, false, out) > 0,
          "meshgrid expects a non-empty TensorList");
}
END_TEST

START_TEST(turning)
{
    kl_tensor *x = range(4, kl_shape(2, 2)), *v = kl_of(KL_F32, kl_shape(2), 1, 2);
    SHOWS(kl_rot90_at(AT, x, 1, 0, 1), "tensor([[1., 3.],\n        [0., 2.]])");
    SHOWS(kl_rot90_at(AT, x, -1, 0, 1), "tensor([[2., 0.],\n        [3., 1.]])");
    SHOWS(kl_roll_axes_at(AT, x, kl_axes(1), kl_axes()),
          "tensor([[3., 0.],\n        [1., 2.]])");
    SHOWS(kl_diag_at(AT, v, 1),
          "tensor([[0., 1., 0.],\n        [0., 0., 2.],\n        [0., 0., 0.]])");
    SHOWS(kl_diag_at(AT, x, 0), "tensor([0., 3.])");
    SHOWS(kl_diagflat_at(AT, v, -1),
          "tensor([[0., 0., 0.],\n        [1., 0., 0.],\n        [0., 2., 0.]])");
    SHOWS(kl_tril_indices_at(AT, 2, 2, 0), "tensor([[0, 1, 1],\n        [0, 0, 1]])");
    SHOWS(kl_unflatten_at(AT, range(4, kl_shape(4)), 0, kl_shape(2, -1)),
          "tensor([[0., 1.],\n        [2., 3.]])");
    kl_tensor *m =
        kl_movedims_at(AT, range(6, kl_shape(1, 2, 3)), kl_axes(0, 1), kl_axes(2, 0));
    ck_assert(kl_extent(m, 0) == 2 && kl_extent(m, 1) == 3 && kl_extent(m, 2) == 1);
    FAILS(kl_diag_at(AT, m, 0), "diag(): Supports 1D or 2D tensors. Got 3D");
    FAILS(kl_roll_axes_at(AT, x, kl_axes(1, 2), kl_axes(0)),
          "shifts and dimensions must align. shifts: 2, dims:1");
    FAILS(kl_movedims_at(AT, x, kl_axes(0, 0), kl_axes(0, 1)),
          "movedim: repeated dim in");
}
END_TEST

START_TEST(products)
{
    kl_tensor *a = range(4, kl_shape(2, 2)), *v = kl_of(KL_F32, kl_shape(2), 1, 2);
    kl_tensor *x = kl_of(KL_F32, kl_shape(3), 1, 0, 0), *three[3] = {a, a, a};
    kl_tensor *y = kl_of(KL_F32, kl_shape(3), 0, 1, 0);
    SHOWS(kl_addmm_at(AT, v, a, a, KL_ARG(2), KL_ARG(1)),
          "tensor([[ 4.,  7.],\n        [ 8., 15.]])");
    SHOWS(
        kl_addmm_at(AT, kl_full(kl_shape(2, 2), NAN, KL_F32), a, a, KL_ARG(0), KL_ARG(1)),
        "tensor([[ 2.,  3.],\n        [ 6., 11.]])");
    SHOWS(kl_outer_at(AT, v, v), "tensor([[1., 2.],\n        [2., 4.]])");
    SHOWS(kl_inner_at(AT, a, v), "tensor([2., 8.])");
    SHOWS(kl_trace_at(AT, a), "tensor(3.)");
    SHOWS(kl_kron_at(AT, v, a), "tensor([[0., 1., 0., 2.],\n        [2., 3., 4., 6.]])");
    SHOWS(kl_cross_at(AT, x, y, -1), "tensor([0., 0., 1.])");
    SHOWS(kl_matrix_power_at(AT, a, 3), "tensor([[ 6., 11.],\n        [22., 39.]])");
    SHOWS(kl_matrix_power_at(AT, a, 0), "tensor([[1., 0.],\n        [0., 1.]])");
    SHOWS(kl_multi_dot_at(AT, three, 3), "tensor([[ 6., 11.],\n        [22., 39.]])");
    SHOWS(kl_cdist_at(AT, a, a, 2),
          "tensor([[0.0000, 2.8284],\n        [2.8284, 0.0000]])");
    SHOWS(kl_vecdot_at(AT, a, a, -1), "tensor([ 1., 13.])");
    FAILS(kl_outer_at(AT, a, v), "outer: Expected 1-D arguments, but got 2-D and 1-D");
    FAILS(kl_tensordot_at(AT, a, a, kl_axes(0), kl_axes(0, 1)),
          "both dimension lists should have same length");
    FAILS(kl_tensordot_at(AT, a, x, kl_axes(0), kl_axes(0)),
          "contracted dimensions need to match, but first has size 2 in dim 0");
    FAILS(kl_trace_at(AT, v), "trace: expected a matrix, but got tensor with dim 1");
    FAILS(kl_cross_at(AT, v, v, 0),
          "linalg.cross: inputs dimension 0 must have length 3");
    FAILS(kl_matrix_power_at(AT, v, 2), "A must be batches of square matrices");
    SHOWS(kl_matrix_power_at(AT, kl_of(KL_F32, kl_shape(1, 1), 4), -1),
          "tensor([[0.2500]])");
    FAILS(kl_multi_dot_at(AT, three, 1), "multi_dot(): expected 2 to 32 tensors, got 1");
    FAILS(kl_cdist_at(AT, v, v, 2), "cdist only supports at least 2D tensors, got: 1D");
    kl_tensor *deep = kl_reshape(v, kl_shape(1, 1, 1, 1, 1, 1, 1, 1, 2));
    FAILS(kl_kron_at(AT, deep, deep), "kron: more than");
}
END_TEST

START_TEST(order)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(5), 3, 1, 4, 1, 5), *i, *inv, *counts;
    kl_tensor *n = kl_of(KL_I64, kl_shape(4), 0, 2, 2, 1);
    SHOWS(kl_kthvalue_at(AT, x, 3, 0, false, &i), "tensor(3.)");
    SHOWS(i, "tensor(0)");
    SHOWS(kl_median_at(AT, x, 0, false, &i), "tensor(3.)");
    SHOWS(kl_median_at(AT, kl_of(KL_F32, kl_shape(3), 1, NAN, 2), 0, false, &i),
          "tensor(nan)");
    SHOWS(i, "tensor(1)");
    SHOWS(kl_quantile_at(AT, x, kl_of(KL_F32, kl_shape(2), 0.5, 0.9), 0, false, "linear"),
          "tensor([3.0000, 4.6000])");
    SHOWS(kl_unique_at(AT, x, true, &inv, &counts), "tensor([1., 3., 4., 5.])");
    SHOWS(inv, "tensor([1, 0, 2, 0, 3])");
    SHOWS(counts, "tensor([2, 1, 1, 1])");
    SHOWS(kl_searchsorted_at(AT, kl_of(KL_F32, kl_shape(3), 1, 3, 5), KL_ARG(x), false),
          "tensor([1, 0, 2, 0, 2])");
    SHOWS(kl_bincount_at(AT, n, NULL, 5), "tensor([1, 1, 2, 0, 0])");
    SHOWS(kl_histc_at(AT, x, 4, 1, 5), "tensor([2., 0., 1., 2.])");
    SHOWS(kl_isin_at(AT, KL_ARG(n), KL_ARG(2), false),
          "tensor([False,  True,  True, False])");
    FAILS(kl_kthvalue_at(AT, x, 6, 0, false, &i), "selected number k out of range");
    FAILS(kl_bincount_at(AT, x, NULL, 0), "bincount only supports 1-d non-negative");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("named");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, joining);
    tcase_add_test(tc, turning);
    tcase_add_test(tc, products);
    tcase_add_test(tc, order);
    return front_run(s);
}
