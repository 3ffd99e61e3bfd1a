/* test_tensors.c: tensors on a device, through the public interface: what is computed
 * there has the host's bits, nothing runs elsewhere than asked, operands of two devices
 * are refused at the call, training works, and copies are counted. 77 without a device.
 */
#include "tests/unit/front_test.h"

/* Of several classes: elementwise, rows, sums, products, gathers, random numbers. */
static kl_tensor *work(kl_tensor *x, kl_tensor *w)
{
    kl_tensor *h = kl_gelu(kl_linear(x, w, NULL));
    kl_tensor *s = kl_softmax(
        kl_add(h, kl_to_device(kl_arange(0, 24, 1, KL_F32), kl_device_of(x))), 1);
    kl_tensor *d = kl_dropout(s, 0.25, true);
    return kl_add(d, kl_sum_axes(kl_mul(h, h), kl_axes(0), true));
}

static void make(kl_tensor **x, kl_tensor **w)
{
    kl_manual_seed(3);
    *x = kl_realize(kl_randn(kl_shape(40, 33), KL_F32));
    *w = kl_realize(kl_randn(kl_shape(24, 33), KL_F32));
}

START_TEST(bits_are_the_hosts)
{
    static float host[40 * 24], device[40 * 24];
    kl_tensor *x, *w;
    make(&x, &w);
    kl_manual_seed(4);
    ck_assert_int_eq(kl_copy_out(work(x, w), host, sizeof host), KL_OK);
    kl_manual_seed(4);
    kl_tensor *y = work(kl_cuda(x), kl_cuda(w));
    ck_assert_msg(y != NULL, "%s", kl_error());
    ck_assert_str_eq(kl_device_of(y), "cuda:0");
    ck_assert_str_eq(kl_device_of(x), "cpu");
    ck_assert_msg(kl_copy_out(y, device, sizeof device) == KL_OK, "%s", kl_error());
    ck_assert(memcmp(host, device, sizeof host) == 0);
    kl_tensor *back = kl_cpu(y);
    ck_assert_str_eq(kl_device_of(back), "cpu");
    ck_assert(kl_item(kl_all(kl_eq(back, kl_cpu(y)))) == 1);
}
END_TEST

START_TEST(two_devices_are_refused)
{
    kl_tensor *x = kl_ones(kl_shape(4), KL_F32),
              *y = kl_cuda(kl_ones(kl_shape(4), KL_F32));
    FAILS(kl_add(x, y), "expected device cuda:0 but got device cpu");
    FAILS(kl_add_(y, x), "Expected all tensors to be on the same device");
    FAILS(kl_data(y),
          "can't convert cuda:0 device type tensor to numpy. Use Tensor.cpu() to "
          "copy the tensor to host memory first.");
    FAILS(kl_to_device(x, "cuda:77"), "no device cuda:77 here");
    FAILS(kl_to_device(x, "gpu"), "no device 'gpu'; known are cpu, cuda");
    kl_tensor *g = kl_requires_grad_(kl_ones(kl_shape(4), KL_F32));
    kl_backward(kl_sum(kl_mul(kl_cuda(kl_mul(g, 2.0)), y)));
    SHOWS(kl_grad_of(g), "tensor([2., 2., 2., 2.])"); /* it moved back */
    kl_tensor *number = kl_requires_grad_(kl_ones(kl_shape(), KL_F32));
    FAILS(kl_mul(y, number), "gradients do not flow from one device to another");
    SHOWS(y, "tensor([1., 1., 1., 1.], device='cuda:0')"); /* nothing was changed */
}
END_TEST

/* Numbers and host values without axes go along; what stands on no memory too. */
START_TEST(numbers_go_along)
{
    kl_tensor *y = kl_cuda(kl_of(KL_F32, kl_shape(3), 1, 2, 3));
    kl_tensor *s = kl_sum(kl_of(KL_F32, kl_shape(2), 4, 6));
    SHOWS(kl_add(kl_mul(y, 2.0), s), "tensor([12., 14., 16.], device='cuda:0')");
    kl_tensor *z = kl_zeros_like(y);
    ck_assert_str_eq(kl_device_of(z), "cuda:0");
    kl_add_(z, y);
    kl_add_(kl_slice(z, 0, 0, 1), 10.0);
    SHOWS(z, "tensor([11.,  2.,  3.], device='cuda:0')");
    ck_assert(kl_item(kl_amax(z)) == 11);
    kl_tensor *c = kl_cuda(kl_zeros(kl_shape(3), KL_F32));
    kl_copy_(c, kl_of(KL_F32, kl_shape(3), 7, 8, 9)); /* copies across */
    ck_assert_str_eq(kl_device_of(c), "cuda:0");
    SHOWS(c, "tensor([7., 8., 9.], device='cuda:0')");
    SHOWS(kl_nonzero(kl_gt(z, 2.5)), "tensor([[0],\n        [2]], device='cuda:0')");
    ck_assert_str_eq(kl_device_of(kl_nonzero(z)), "cuda:0");
}
END_TEST

static double train(bool device, float *w)
{
    kl_manual_seed(7);
    kl_tensor *x = kl_realize(kl_randn(kl_shape(32, 8), KL_F32));
    kl_tensor *p[2] = {kl_realize(kl_randn(kl_shape(4, 8), KL_F32)),
                       kl_realize(kl_zeros(kl_shape(4), KL_F32))};
    for (int i = 0; i < 2 && device; i++)
        p[i] = kl_cuda(p[i]);
    x = device ? kl_cuda(x) : x;
    kl_adam *opt = kl_adam_new(p, 2, .lr = 1e-2);
    double last = 0;
    for (int i = 0; i < 4; i++) {
        kl_tensor *y = kl_tanh(kl_linear(x, p[0], p[1])), *loss = kl_mean(kl_mul(y, y));
        ck_assert_msg(kl_adam_step(opt, loss) == KL_OK, "%s", kl_error());
        last = kl_item(loss);
    }
    ck_assert_msg(kl_copy_out(p[0], w, 4 * 8 * sizeof *w) == KL_OK, "%s", kl_error());
    kl_optim_free(opt);
    return last;
}

START_TEST(training_has_the_hosts_bits)
{
    float a[32], b[32];
    double on_host = train(false, a), on_device = train(true, b);
    ck_assert(on_host == on_device && memcmp(a, b, sizeof a) == 0);
}
END_TEST

/* A step without looks at values copies nothing but its numbers. */
START_TEST(copies_are_counted)
{
    kl_tensor *y = kl_cuda(kl_ones(kl_shape(1000), KL_F32));
    kl_tensor *z = kl_exp(kl_sin(y));
    int64_t before = kl_stats().device_copies;
    kl_realize(z);
    ck_assert_int_eq(kl_stats().device_copies, before);
    ck_assert_int_eq(kl_synchronize("cuda"), KL_OK);
    kl_item(kl_sum(z));
    ck_assert_int_eq(kl_stats().device_copies, before + 1);
}
END_TEST

static void keeps(kl_tensor *const *in, kl_tensor **out, void *user)
{
    out[0] = kl_add(in[0], user ? (kl_tensor *)user : in[0]);
}

START_TEST(functions_are_the_hosts)
{
    kl_input in[] = {{"x", KL_F32, kl_shape(4)}};
    FAILS(kl_compile(keeps, kl_cuda(kl_ones(kl_shape(4), KL_F32)), in, 1, 1),
          "Expected all tensors to be on the same device");
}
END_TEST

int main(void)
{
    if (kl_device_count() == 0) {
        printf("skipped: %s\n", kl_cuda_why());
        return 77;
    }
    Suite *s = suite_create("tensors");
    TCase *tc = front_case(s, "all");
    tcase_add_test(tc, bits_are_the_hosts);
    tcase_add_test(tc, two_devices_are_refused);
    tcase_add_test(tc, numbers_go_along);
    tcase_add_test(tc, training_has_the_hosts_bits);
    tcase_add_test(tc, copies_are_counted);
    tcase_add_test(tc, functions_are_the_hosts);
    SRunner *sr = srunner_create(s);
    srunner_set_fork_status(sr, CK_NOFORK); /* CUDA does not survive fork */
    srunner_run_all(sr, CK_ENV);
    int failed = srunner_ntests_failed(sr);
    srunner_free(sr);
    return failed != 0;
}
