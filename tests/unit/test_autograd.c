/* test_autograd.c: gradients through the public interface, against formulas and against
 * PyTorch's texts; optimisers against a few lines of double arithmetic. */
#include "tests/unit/front_test.h"

static kl_tensor *leaf(kl_tensor *t)
{
    return kl_requires_grad_(t);
}
static kl_tensor *f3(void)
{
    return leaf(kl_of(KL_F32, kl_shape(3), 1, 2, 3));
}

START_TEST(squares)
{
    kl_tensor *x = f3();
    kl_backward(kl_sum(kl_pow(x, 2)));
    SHOWS(kl_grad_of(x), "tensor([2., 4., 6.])");
    kl_backward(kl_sum(kl_add(x, 2)));
    SHOWS(kl_grad_of(x), "tensor([3., 5., 7.])"); /* collected */
    kl_set_grad(x, NULL);
    ck_assert_ptr_null(kl_grad_of(x));
    kl_backward(kl_mean(kl_mul(x, x)));
    SHOWS(kl_grad_of(x), "tensor([0.6667, 1.3333, 2.0000])");
}
END_TEST

START_TEST(texts)
{
    kl_tensor *x = leaf(kl_ones(kl_shape(5), KL_F32));
    SHOWS(x, "tensor([1., 1., 1., 1., 1.], requires_grad=True)");
    SHOWS(kl_add(x, 2), "tensor([3., 3., 3., 3., 3.], grad_fn=<AddBackward0>)");
    ck_assert_str_eq(kl_grad_fn(kl_mul(x, 2)), "MulBackward0");
    ck_assert_str_eq(kl_grad_fn(kl_sub(x, 2)), "SubBackward0");
    ck_assert_str_eq(kl_grad_fn(kl_div(x, 2)), "DivBackward0");
    ck_assert_str_eq(kl_grad_fn(kl_pow(x, 2)), "PowBackward0");
    ck_assert_str_eq(kl_grad_fn(kl_sum(x)), "SumBackward0");
    ck_assert_str_eq(kl_grad_fn(kl_mean(x)), "MeanBackward0");
    ck_assert_ptr_null(kl_grad_fn(x));
    ck_assert(kl_is_leaf(x) && !kl_is_leaf(kl_add(x, 1)) &&
              kl_requires_grad(kl_add(x, 1)));
    ck_assert(!kl_requires_grad(kl_gt(x, 0)));
}
END_TEST

START_TEST(matrix_products)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(2, 3), 1, 2, 3, 4, 5, 6);
    kl_tensor *w = leaf(kl_of(KL_F32, kl_shape(3), 1, 0, -1));
    kl_tensor *y = kl_matmul(x, w); /* -2, -2 */
    kl_backward(kl_mean(kl_pow(y, 2)));
    SHOWS(kl_grad_of(w), "tensor([-10., -14., -18.])");
    kl_tensor *a = leaf(kl_ones(kl_shape(2, 3), KL_F32)),
              *b = leaf(kl_ones(kl_shape(4, 3, 5), KL_F32));
    kl_backward(kl_sum(kl_matmul(a, b)));
    SHOWS(kl_grad_of(a), "tensor([[20., 20., 20.],\n        [20., 20., 20.]])");
    ck_assert_int_eq(kl_rank(kl_grad_of(b)), 3);
    ck_assert(kl_item(kl_sum(kl_grad_of(b))) == 120);
}
END_TEST

START_TEST(no_grad_and_detach)
{
    kl_tensor *x = f3();
    kl_no_grad_begin();
    kl_tensor *y = kl_mul(x, 2);
    kl_no_grad_end();
    ck_assert(!kl_requires_grad(y) && kl_is_leaf(y));
    kl_tensor *d = kl_detach(x);
    ck_assert(kl_shares_memory(d, x) && !kl_requires_grad(d));
    kl_backward(kl_sum(kl_mul(x, d)));
    SHOWS(kl_grad_of(x), "tensor([1., 2., 3.])"); /* not 2 x */
    kl_tensor *z = kl_mul(x, x);
    kl_set_grad(x, NULL);
    kl_backward(kl_sum(kl_mul(z, kl_detach(z))));
    SHOWS(kl_grad_of(x), "tensor([ 2., 16., 54.])"); /* z constant: 2 x^3 */
}
END_TEST

/* Values computed on the way, in any order, change nothing. */
START_TEST(forced_on_the_way)
{
    kl_tensor *x = f3(), *h = kl_mul(x, x), *y = kl_sum(kl_mul(h, x));
    ck_assert(kl_item(y) == 36);
    SHOWS(kl_detach(h), "tensor([1., 4., 9.])");
    kl_backward(y);
    ck_assert(kl_item(y) == 36);
    SHOWS(kl_grad_of(x), "tensor([ 3., 12., 27.])");
    SHOWS(kl_detach(h), "tensor([1., 4., 9.])");
}
END_TEST

/* One force reads a computed value as given and takes a gradient through it. */
START_TEST(given_and_passed_through)
{
    kl_tensor *x = f3(), *h = kl_mul(x, x);
    ck_assert(kl_item(kl_sum(kl_detach(h))) == 14);
    kl_tensor *r = kl_mul(h, 2), *y = kl_sum(kl_mul(r, x)), *seen = kl_sum(r);
    kl_backward_at(KL_HERE, y, NULL, true, false);
    ck_assert(kl_item(seen) == 28); /* its root comes before the gradient's */
    SHOWS(kl_grad_of(x), "tensor([ 6., 24., 54.])");
    kl_set_grad(x, NULL);
    kl_backward(y);
    SHOWS(kl_grad_of(x), "tensor([ 6., 24., 54.])");
}
END_TEST

START_TEST(views_carry_gradients)
{
    kl_tensor *x = leaf(kl_of(KL_F32, kl_shape(2, 3), 1, 2, 3, 4, 5, 6));
    kl_tensor *v = kl_select(x, 0, 1);
    ck_assert(kl_requires_grad(v) && !kl_is_leaf(v));
    kl_backward(
        kl_sum(kl_mul(v, kl_slice_step(kl_select(x, 0, 0), 0, KL_END, -KL_END, -1))));
    SHOWS(kl_grad_of(x), "tensor([[6., 5., 4.],\n        [3., 2., 1.]])");
    kl_tensor *w = leaf(kl_ones(kl_shape(2), KL_F32)),
              *base = kl_zeros(kl_shape(3), KL_F32);
    kl_copy_(kl_slice(base, 0, 1, 3), kl_mul(w, 3));
    ck_assert(kl_requires_grad(base));
    kl_backward(kl_sum(kl_mul(base, kl_of(KL_F32, kl_shape(3), 5, 6, 7))));
    SHOWS(kl_grad_of(w), "tensor([18., 21.])");
}
END_TEST

START_TEST(in_place)
{
    kl_tensor *x = f3(), *y = kl_mul(x, 2);
    kl_add_(y, 1); /* mul saves nothing of y */
    kl_backward(kl_sum(y));
    SHOWS(kl_grad_of(x), "tensor([2., 2., 2.])");
    y = kl_exp(x);
    kl_add_(y, 1); /* exp's derivative is its result */
    FAILS(kl_backward(kl_sum(y)) == KL_OK, "one of the variables needed for gradient "
                                           "computation has been modified by an inplace "
                                           "operation: [torch.FloatTensor [3]], which is "
                                           "output 0 of Exp, is at version 1; expected "
                                           "version 0 instead.");
    FAILS(kl_add_(x, 1),
          "a leaf Variable that requires grad is being used in an in-place operation.");
    FAILS(kl_add_(kl_select(x, 0, 0), 1), "a view of a leaf Variable");
    SHOWS(kl_detach(x), "tensor([1., 2., 3.])");
    kl_no_grad_begin();
    kl_sub_(x, 1);
    kl_no_grad_end();
    ck_assert(kl_is_leaf(x) && kl_requires_grad(x));
    SHOWS(x, "tensor([0., 1., 2.], requires_grad=True)");
}
END_TEST

START_TEST(errors)
{
    kl_tensor *x = f3();
    FAILS(kl_backward(kl_mul(x, 2)) == KL_OK,
          "grad can be implicitly created only for scalar outputs");
    FAILS(kl_requires_grad_(kl_ones(kl_shape(3), KL_I64)),
          "Only Tensors of floating point and complex dtype can require gradients");
    FAILS(kl_data(x), "Can't call numpy() on Tensor that requires grad. Use "
                      "tensor.detach().numpy() instead.");
    FAILS(kl_backward(kl_ones(kl_shape(), KL_F32)) == KL_OK, "does not require grad");
    kl_tensor *y = kl_sum(kl_mul(x, x));
    kl_backward(y);
    FAILS(kl_backward(y) == KL_OK, "Trying to backward through the graph a second time");
    y = kl_sum(kl_mul(x, x));
    ck_assert_int_eq(kl_backward_with(y, NULL, true, false), KL_OK);
    ck_assert_int_eq(kl_backward_with(y, NULL, false, false), KL_OK);
    SHOWS(kl_grad_of(x), "tensor([ 6., 12., 18.])");
}
END_TEST

START_TEST(higher_order)
{
    kl_tensor *x = f3(), *g, *h;
    kl_tensor *y = kl_sum(kl_mul(kl_mul(x, x), x));
    ck_assert_int_eq(kl_grad_with(y, &x, 1, NULL, false, true, &g), KL_OK);
    SHOWS(kl_detach(g), "tensor([ 3., 12., 27.])");
    ck_assert_int_eq(kl_grad(kl_sum(g), &x, 1, &h), KL_OK);
    SHOWS(h, "tensor([ 6., 12., 18.])");
    ck_assert_ptr_null(kl_grad_of(x));
}
END_TEST

static kl_tensor *cube(kl_tensor *const *x, int n, void *user)
{
    (void)n;
    (void)user;
    return kl_sum(kl_mul(kl_mul(x[0], x[0]), x[0]));
}

START_TEST(functional)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(2), 1, 2), *g;
    kl_tensor *y = kl_value_and_grad(cube, NULL, &x, 1, &g);
    SHOWS(y, "tensor(9.)");
    SHOWS(g, "tensor([ 3., 12.])");
    ck_assert(!kl_requires_grad(x));
}
END_TEST

START_TEST(retained)
{
    kl_tensor *x = f3(), *h = kl_mul(x, 2);
    kl_retain_grad(h);
    kl_backward(kl_sum(kl_mul(h, h)));
    SHOWS(kl_grad_of(h), "tensor([ 4.,  8., 12.])");
    SHOWS(kl_grad_of(x), "tensor([ 8., 16., 24.])");
}
END_TEST

START_TEST(retained_views)
{
    kl_tensor *x = f3(), *v = kl_slice(x, 0, 1, 3), *same = kl_view(x, kl_shape(3));
    kl_tensor *before = kl_mul(v, v);
    kl_retain_grad(v);
    kl_retain_grad(same);
    kl_tensor *end = kl_select(v, 0, 1); /* through v */
    kl_backward(kl_add(kl_sum(before), kl_add(end, kl_sum(kl_mul(kl_add(x, same), 10)))));
    SHOWS(kl_grad_of(v), "tensor([4., 7.])");
    SHOWS(kl_grad_of(same), "tensor([10., 10., 10.])");
    SHOWS(kl_grad_of(x), "tensor([20., 24., 27.])");
    ck_assert(!kl_is_leaf(v) && kl_is_leaf(x));
    FAILS(kl_fill_(v, 0), "a view of a leaf Variable");
    kl_error_clear();
}
END_TEST

START_TEST(data_in_another_order)
{
    kl_tensor *w = kl_requires_grad_(kl_ones(kl_shape(2, 3), KL_F32));
    kl_tensor *x = kl_reshape(kl_arange(0, 6, 1, KL_F32), kl_shape(2, 3));
    w = kl_with_data(w, kl_t(kl_clone(kl_reshape(x, kl_shape(3, 2)))));
    kl_backward(kl_sum(kl_mul(w, x)));
    SHOWS(kl_grad_of(w), "tensor([[0., 1., 2.],\n        [3., 4., 5.]])");
}
END_TEST

START_TEST(retained_then_written)
{
    kl_tensor *x = f3(), *y = kl_mul(x, 2), *z = kl_mul(x, 3), *v = kl_view(z, kl_shape(3));
    kl_retain_grad(y);
    kl_retain_grad(v);
    kl_mul_(y, 10);
    kl_mul_(v, 10);
    kl_backward(kl_sum(kl_add(kl_mul(y, 5), kl_mul(v, 7))));
    SHOWS(kl_grad_of(y), "tensor([5., 5., 5.])");
    SHOWS(kl_grad_of(v), "tensor([7., 7., 7.])");
    SHOWS(kl_grad_of(x), "tensor([310., 310., 310.])");
}
END_TEST

/* ---- optimisers ---- */

START_TEST(gradient_descent)
{
    kl_tensor *w = f3();
    double loss[5];
    for (int i = 0; i < 5; i++) {
        kl_tensor *y = kl_sum(kl_mul(w, w));
        kl_backward(y);
        kl_no_grad_begin();
        kl_sub_(w, kl_mul(kl_grad_of(w), 0.1));
        kl_zero_(kl_grad_of(w));
        kl_no_grad_end();
        loss[i] = kl_item(y);
        ck_assert(i == 0 || loss[i] < loss[i - 1]);
    }
}
END_TEST

static void expect(kl_tensor *t, const double *want, int n, double tolerance)
{
    float got[16];
    ck_assert_int_eq(kl_copy_out(t, got, (size_t)n * 4), KL_OK);
    for (int i = 0; i < n; i++)
        ck_assert_msg(fabs(got[i] - want[i]) <= tolerance, "%d: %.9g, not %.9g", i,
                      got[i], want[i]);
}

/* loss = sum w^2 / 2, so that the gradient is w. */
START_TEST(adam_and_friends)
{
    double w[3] = {1, 2, 3}, m[3] = {0}, v[3] = {0}, a[3] = {1, 2, 3}, n[3] = {1, 2, 3},
           b[3] = {0};
    kl_tensor *pw = kl_of(KL_F32, kl_shape(3), 1, 2, 3), *pa = kl_clone(pw),
              *pn = kl_clone(pw);
    kl_optim *ow = kl_adamw_new(&pw, 1, .lr = 0.1, .weight_decay = 0.01);
    kl_optim *oa = kl_adam_new(&pa, 1, .lr = 0.1);
    kl_optim *on = kl_sgd_new(&pn, 1, .lr = 0.1, .momentum = 0.9, .nesterov = true);
    double ma[3] = {0}, va[3] = {0};
    for (int t = 1; t <= 4; t++) {
        kl_optim *o[3] = {ow, oa, on};
        kl_tensor *p[3] = {pw, pa, pn};
        for (int k = 0; k < 3; k++) {
            kl_scope_begin();
            ck_assert_int_eq(
                kl_optim_minimize(o[k], kl_mul(kl_sum(kl_mul(p[k], p[k])), 0.5)), KL_OK);
            kl_scope_end();
        }
        for (int i = 0; i < 3; i++) {
            double g = w[i];
            w[i] *= 1 - 0.1 * 0.01;
            m[i] += (g - m[i]) * 0.1, v[i] = v[i] * 0.999 + g * g * 0.001;
            w[i] -= 0.1 / (1 - pow(0.9, t)) * m[i] /
                    (sqrt(v[i]) / sqrt(1 - pow(0.999, t)) + 1e-8);
            g = a[i];
            ma[i] += (g - ma[i]) * 0.1, va[i] = va[i] * 0.999 + g * g * 0.001;
            a[i] -= 0.1 / (1 - pow(0.9, t)) * ma[i] /
                    (sqrt(va[i]) / sqrt(1 - pow(0.999, t)) + 1e-8);
            g = n[i];
            b[i] = t == 1 ? g : 0.9 * b[i] + g;
            n[i] -= 0.1 * (g + 0.9 * b[i]);
        }
    }
    expect(kl_detach(pw), w, 3, 1e-6);
    expect(kl_detach(pa), a, 3, 1e-6);
    expect(kl_detach(pn), n, 3, 1e-6);
    kl_optim_free(ow);
    kl_optim_free(oa);
    kl_optim_free(on);
}
END_TEST

/* With another learning rate each time: two compiles at most, the second for steady
 * state. */
START_TEST(a_step_compiles_once)
{
    kl_tensor *p[2] = {kl_ones(kl_shape(4, 3), KL_F32), kl_zeros(kl_shape(4), KL_F32)};
    kl_tensor *x = kl_of(KL_F32, kl_shape(2, 3), 1, 2, 3, 4, 5, 6);
    kl_optim *o = kl_adam_new(p, 2, .lr = 0.1);
    int64_t compiled = 0;
    double last = 1e9;
    for (int i = 0; i < 6; i++) {
        kl_scope_begin();
        kl_tensor *loss = kl_mean(kl_pow(kl_linear(x, p[0], p[1]), 2));
        kl_optim_set_lr(o, 0.1 / (i + 1));
        kl_adam_step(o, loss);
        ck_assert(kl_item(loss) < last);
        last = kl_item(loss);
        kl_scope_end();
        if (i == 0)
            compiled = kl_counts.programs_compiled;
    }
    ck_assert_int_eq(kl_counts.programs_compiled, compiled);
    kl_optim_free(o);
}
END_TEST

/* Minibatches are slices: where one lies is no part of the program. And what is added up
 * of a step's loss, in the next step, does not run its forward again. */
START_TEST(minibatches_share_a_program)
{
    kl_tensor *p = kl_ones(kl_shape(3), KL_F32), *losses = kl_zeros(kl_shape(1), KL_F32);
    kl_tensor *x = kl_realize(kl_reshape(kl_arange(0, 36, 1, KL_F32), kl_shape(12, 3)));
    kl_optim *o = kl_sgd_new(&p, 1, .lr = 1e-3);
    int64_t compiled = 0, launched = 0, first = 0;
    double w[3] = {1, 1, 1}, sum = 0;
    for (int i = 0; i < 6; i++) {
        int64_t before = kl_counts.kernels_launched;
        kl_scope_begin();
        kl_tensor *rows = kl_slice(x, 0, 2 * i, 2 * i + 2);
        kl_tensor *loss = kl_mean(kl_matmul(kl_select(rows, 0, 1), kl_mul(p, p)));
        kl_sgd_step(o, loss);
        kl_add_(losses, kl_detach(loss));
        kl_scope_end();
        for (int k = 0; k < 3; k++) {
            double at = 6 * i + 3 + k;
            sum += at * w[k] * w[k];
            w[k] -= 1e-3 * 2 * w[k] * at;
        }
        launched = kl_counts.kernels_launched - before;
        first = i == 0 ? launched : first;
        if (i == 2)
            compiled = kl_counts.programs_compiled;
    }
    ck_assert_int_eq(kl_counts.programs_compiled, compiled);
    ck_assert_int_le(launched, first + 1);
    ck_assert(fabs(kl_item(losses) / sum - 1) < 1e-5);
    kl_optim_free(o);
}
END_TEST

/* PyTorch's own loop: forward, look, backward, step. */
START_TEST(classic_loop)
{
    kl_tensor *w = kl_of(KL_F32, kl_shape(3), 1, 2, 3);
    kl_optim *o = kl_sgd_new(&w, 1, .lr = 0.1);
    double want[3] = {1, 2, 3};
    for (int i = 0; i < 4; i++) {
        kl_scope_begin();
        kl_zero_grad(o);
        kl_tensor *y = kl_sum(kl_mul(w, w));
        ck_assert(kl_item(y) > 0);
        kl_backward(y);
        kl_optim_step(o);
        kl_scope_end();
        for (int k = 0; k < 3; k++)
            want[k] -= 0.1 * 2 * want[k];
    }
    expect(kl_detach(w), want, 3, 1e-5);
    kl_tensor *g = kl_grad_of(w);
    ck_assert_ptr_nonnull(g);
    kl_tensor *norm = kl_clip_grad_norm(&w, 1, 0.5);
    ck_assert(kl_item(norm) > 0.5);
    ck_assert(fabs(kl_item(kl_norm(g, 2, kl_axes(), false)) - 0.5) < 1e-5);
    kl_optim_free(o);
}
END_TEST

/* What waits for a gradient keeps its value when the gradient's memory is written. */
START_TEST(exported_gradient)
{
    kl_tensor *w = kl_requires_grad_at(KL_HERE, kl_ones(kl_shape(3), KL_F32), true);
    kl_backward(kl_sum(kl_mul(w, w)));
    kl_tensor *g = kl_grad_of(w), *waits = kl_mul(g, 5);
    float *p = kl_data(g);
    p[0] += 1;
    ck_assert(kl_item(kl_select(waits, 0, 0)) == 10 && kl_item(kl_select(g, 0, 0)) == 3);
}
END_TEST

int main(void)
{
    Suite *s = suite_create("autograd");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, squares);
    tcase_add_test(tc, texts);
    tcase_add_test(tc, matrix_products);
    tcase_add_test(tc, no_grad_and_detach);
    tcase_add_test(tc, forced_on_the_way);
    tcase_add_test(tc, given_and_passed_through);
    tcase_add_test(tc, views_carry_gradients);
    tcase_add_test(tc, in_place);
    tcase_add_test(tc, errors);
    tcase_add_test(tc, higher_order);
    tcase_add_test(tc, functional);
    tcase_add_test(tc, retained);
    tcase_add_test(tc, retained_views);
    tcase_add_test(tc, data_in_another_order);
    tcase_add_test(tc, retained_then_written);
    tcase_add_test(tc, gradient_descent);
    tcase_add_test(tc, adam_and_friends);
    tcase_add_test(tc, a_step_compiles_once);
    tcase_add_test(tc, minibatches_share_a_program);
    tcase_add_test(tc, classic_loop);
    tcase_add_test(tc, exported_gradient);
    return front_run(s);
}
