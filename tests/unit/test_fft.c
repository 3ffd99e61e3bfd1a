/* test_fft.c: Fourier transforms against their definition, of every kind of length, each
 * form and norm, their gradients, and what is refused. */
#include "tests/unit/front_test.h"

#define TAU 6.283185307179586

static kl_tensor *noise(kl_ints shape, kl_dtype dt)
{
    kl_tensor *t = kl_randn_at(KL_HERE, shape, KL_F64);
    if (dt != KL_C64 && dt != KL_C128)
        return kl_to(t, dt);
    return kl_to(kl_complex_at(KL_HERE, t, kl_randn_at(KL_HERE, shape, KL_F64)), dt);
}

static kl_tensor *modulus(kl_tensor *z)
{
    return kl_hypot(kl_real(z), kl_imag(z));
}

/* The largest difference, over the largest value of want. */
static double off(kl_tensor *got, kl_tensor *want)
{
    kl_tensor *w = kl_to(want, KL_C128), *d = kl_sub(kl_to(got, KL_C128), w);
    double most = kl_item(kl_amax(modulus(w)));
    ck_assert_msg(d != NULL, "%s", kl_error());
    return kl_item(kl_amax(modulus(d))) / (most > 0 ? most : 1);
}

/* The definition: x [b, n] times the matrix e^(sign 2 pi i j k / n), in f64. */
static kl_tensor *defined(kl_tensor *x, int64_t n, int sign)
{
    double *w = malloc((size_t)(n * n) * 2 * sizeof *w);
    for (int64_t j = 0; j < n; j++)
        for (int64_t k = 0; k < n; k++) {
            double a = sign * TAU * (double)(j * k % n) / (double)n;
            w[2 * (j * n + k)] = cos(a);
            w[2 * (j * n + k) + 1] = sin(a);
        }
    kl_tensor *m = kl_tensor_copy(w, KL_C128, kl_shape(n, n));
    free(w);
    return kl_matmul(kl_to(x, KL_C128), m);
}

/* Products of small primes, powers, primes with and without a chirp, two large primes. */
static const int64_t lengths[] = {1,  2,   3,   4,   7,   16,  17,  30,  64,
                                  97, 100, 128, 131, 210, 256, 262, 289, 1024};

START_TEST(any_length)
{
    int64_t n = lengths[_i];
    double slack[2] = {4 * 1.2e-7 * (1 + log2((double)n)),
                       4 * 2.3e-16 * (1 + log2((double)n))};
    for (int wide = 0; wide < 2; wide++) {
        kl_tensor *x = noise(kl_shape(3, n), wide ? KL_C128 : KL_C64);
        kl_tensor *y = kl_fft_fft(x, KL_FFT_ALL, -1, NULL);
        ck_assert_int_eq(kl_dtype_of(y), kl_dtype_of(x));
        ck_assert(off(y, defined(x, n, -1)) < (wide ? 1e-13 : slack[0]));
        ck_assert(off(kl_fft_ifft(y, KL_FFT_ALL, -1, NULL), x) < slack[wide]);
        kl_tensor *r = noise(kl_shape(2, n), wide ? KL_F64 : KL_F32);
        kl_tensor *h = kl_fft_rfft(r, KL_FFT_ALL, -1, NULL);
        ck_assert_int_eq(kl_extent(h, 1), n / 2 + 1);
        ck_assert(off(h, kl_slice(defined(r, n, -1), 1, 0, n / 2 + 1)) <
                  (wide ? 1e-13 : slack[0]));
        ck_assert(off(kl_fft_irfft(h, n, -1, NULL), r) < slack[wide]);
        ck_assert(off(kl_fft_hfft(kl_fft_ihfft(r, KL_FFT_ALL, -1, NULL), n, -1, NULL),
                      r) < slack[wide]);
    }
}
END_TEST

START_TEST(known_values)
{
    kl_tensor *x = kl_of(KL_F32, kl_shape(4), 1, 2, 3, 4);
    SHOWS(kl_fft_fft(x, KL_FFT_ALL, -1, NULL),
          "tensor([10.+0.j, -2.+2.j, -2.+0.j, -2.-2.j])");
    SHOWS(kl_fft_rfft(x, KL_FFT_ALL, 0, NULL), "tensor([10.+0.j, -2.+2.j, -2.+0.j])");
    SHOWS(kl_fft_rfft(kl_to(x, KL_I64), KL_FFT_ALL, 0, NULL),
          "tensor([10.+0.j, -2.+2.j, -2.+0.j])");
    SHOWS(kl_fft_hfft(x, KL_FFT_ALL, 0, NULL), "tensor([15., -4.,  0., -1.,  0., -4.])");
    SHOWS(kl_fft_fftfreq_at(KL_HERE, 4, 1, KL_F32),
          "tensor([ 0.0000,  0.2500, -0.5000, -0.2500])");
    SHOWS(kl_fft_fftfreq_at(KL_HERE, 5, 0.5, KL_F32),
          "tensor([ 0.0000,  0.4000,  0.8000, -0.8000, -0.4000])");
    SHOWS(kl_fft_rfftfreq_at(KL_HERE, 5, 1, KL_F32), "tensor([0.0000, 0.2000, 0.4000])");
    kl_tensor *i = kl_arange_at(KL_HERE, kl_arg_i(0), kl_arg_i(5), kl_arg_i(1), KL_I64);
    SHOWS(kl_fft_fftshift_at(KL_HERE, i, kl_axes()), "tensor([3, 4, 0, 1, 2])");
    SHOWS(kl_fft_ifftshift_at(KL_HERE, i, kl_axes(0)), "tensor([2, 3, 4, 0, 1])");
}
END_TEST

START_TEST(lengths_and_axes)
{
    kl_tensor *x = noise(kl_shape(3, 5, 4), KL_F64);
    kl_tensor *cut = kl_fft_fft(kl_slice(x, 1, 0, 3), KL_FFT_ALL, 1, NULL);
    ck_assert(off(kl_fft_fft(x, 3, 1, NULL), cut) == 0);
    kl_tensor *padded =
        kl_fft_fft(kl_pad(x, kl_shape(0, 0, 0, 2), 0.0), KL_FFT_ALL, 1, NULL);
    ck_assert(off(kl_fft_fft(x, 7, 1, NULL), padded) == 0);
    kl_tensor *y = kl_fft_fftn(x, kl_shape(), kl_axes(), NULL), *z = x;
    for (int d = 0; d < 3; d++)
        z = kl_fft_fft(z, KL_FFT_ALL, d, NULL);
    ck_assert(off(y, z) < 1e-14);
    ck_assert(off(kl_fft_ifftn(y, kl_shape(), kl_axes(), NULL), x) < 1e-14);
    kl_tensor *h = kl_fft_rfftn(x, kl_shape(), kl_axes(2, 1), NULL);
    ck_assert(off(h, kl_slice(kl_fft_fftn(x, kl_shape(), kl_axes(1, 2), NULL), 1, 0, 3)) <
              1e-14);
    ck_assert(off(kl_fft_irfftn(h, kl_shape(4, 5), kl_axes(2, 1), NULL), x) < 1e-14);
    h = kl_fft_ihfftn(x, kl_shape(-1, 6), kl_axes(), NULL);
    ck_assert_int_eq(kl_extent(h, 2), 4);
    ck_assert(off(kl_fft_hfftn(h, kl_shape(5, 6), kl_axes(), NULL),
                  kl_pad(x, kl_shape(0, 2), 0.0)) < 1e-14);
    ck_assert_int_eq(
        kl_extent(kl_fft_fft(kl_zeros(kl_shape(0, 6), KL_F32), 20, 1, NULL), 1), 20);
}
END_TEST

START_TEST(norms)
{
    kl_tensor *x = noise(kl_shape(2, 12), KL_C128);
    kl_tensor *y = kl_fft_fft(x, KL_FFT_ALL, -1, NULL);
    kl_tensor *ortho = kl_fft_fft(x, KL_FFT_ALL, -1, "ortho");
    double ex = kl_item(kl_sum(kl_square(modulus(x))));
    ck_assert(fabs(kl_item(kl_sum(kl_square(modulus(ortho)))) / ex - 1) <
              1e-14); /* Parseval */
    ck_assert(off(kl_fft_fft(x, KL_FFT_ALL, -1, "forward"), kl_div(y, 12.0)) < 1e-15);
    ck_assert(off(kl_fft_ifft(y, KL_FFT_ALL, -1, "forward"), kl_mul(x, 12.0)) < 1e-14);
    ck_assert(off(kl_fft_ifft(ortho, KL_FFT_ALL, -1, "ortho"), x) < 1e-14);
    ck_assert(off(kl_fft_irfft(y, 20, -1, "backward"),
                  kl_div(kl_fft_irfft(y, 20, -1, "forward"), 20.0)) < 1e-14);
}
END_TEST

/* d sum |fft x|^2 / d x = 2 n x, whatever the length; of irfft against differences. */
START_TEST(gradients)
{
    static const int64_t n[] = {6, 40, 131};
    kl_tensor *g;
    for (int i = 0; i < 3; i++) {
        kl_tensor *x = kl_requires_grad_(noise(kl_shape(n[i]), KL_F64));
        kl_tensor *y = kl_fft_fft(x, KL_FFT_ALL, -1, NULL);
        kl_tensor *e = kl_sum(kl_add(kl_square(kl_real(y)), kl_square(kl_imag(y))));
        ck_assert_int_eq(kl_grad(e, &x, 1, &g), KL_OK);
        ck_assert(off(g, kl_mul(x, 2.0 * (double)n[i])) < 1e-13);
    }
    for (int64_t size = 7; size <= 40; size += 33) {
        int64_t half = size / 2 + 1;
        kl_tensor *x = kl_requires_grad_(noise(kl_shape(half), KL_F64));
        kl_tensor *z = kl_complex_at(KL_HERE, x, kl_mul(x, 2.0));
        kl_tensor *e = kl_sum(kl_square(kl_fft_irfft(z, size, -1, NULL)));
        ck_assert_int_eq(kl_grad(e, &x, 1, &g), KL_OK);
        /* |y|^2 = (sum |z_k|^2, twice but where z_k is its own mirror, there without its
         * imaginary part) / size */
        kl_tensor *want = kl_full(kl_shape(half), 20.0 / (double)size, KL_F64);
        kl_fill_(kl_select(want, 0, 0), 2.0 / (double)size);
        if (size % 2 == 0)
            kl_fill_(kl_select(want, 0, half - 1), 2.0 / (double)size);
        ck_assert(off(g, kl_mul(x, want)) < 1e-13);
    }
}
END_TEST

START_TEST(short_time)
{
    kl_tensor *x = noise(kl_shape(2, 64), KL_F64),
              *n = kl_arange_at(KL_HERE, kl_arg_i(0), kl_arg_i(16), kl_arg_i(1), KL_F64);
    kl_tensor *w = kl_sub(0.5, kl_mul(kl_cos(kl_mul(n, TAU / 16)), 0.5));
    for (int k = 0; k < 4; k++) {
        kl_stft_options o = {.window = w, .normalized = k & 1, .twosided = k & 2};
        kl_tensor *y = kl_stft_at(KL_HERE, x, 16, o);
        ck_assert_int_eq(kl_extent(y, 1), k & 2 ? 16 : 9);
        ck_assert_int_eq(kl_extent(y, 2), 17);
        ck_assert(off(kl_istft_at(KL_HERE, y, 16, o), x) < 1e-14);
    }
    kl_tensor *v = kl_select(x, 0, 0);
    kl_stft_options plain = {.hop_length = 8, .win_length = 8, .not_centered = true};
    kl_tensor *y = kl_stft_at(KL_HERE, v, 16, plain);
    kl_tensor *frame = kl_pad(kl_slice(v, 0, 12, 20), kl_shape(4, 4), 0.0);
    ck_assert(off(kl_select(y, 1, 1), kl_fft_rfft(frame, KL_FFT_ALL, -1, NULL)) < 1e-14);
    FAILS(kl_stft_at(KL_HERE, v, 0, plain), "stft: expected n_fft > 0, but got n_fft=0");
    FAILS(kl_stft_at(KL_HERE, v, 128, plain),
          "stft: expected 0 < n_fft < 64, but got n_fft=128");
    FAILS(kl_stft_at(KL_HERE, v, 2, (kl_stft_options){0}),
          "stft: expected hop_length > 0, but got hop_length=0");
    FAILS(kl_stft_at(KL_HERE, v, 4, plain),
          "stft: expected 0 < win_length <= n_fft, but got win_length=8");
    FAILS(kl_stft_at(KL_HERE, v, 8, (kl_stft_options){.window = w}),
          "expected a 1D window tensor of size equal to win_length=8, but got window "
          "with size [16]");
    FAILS(kl_stft_at(KL_HERE, kl_sum(v), 8, plain), "stft: expected a 1D or 2D tensor");
    FAILS(kl_istft_at(KL_HERE, v, 16, plain),
          "istft requires a complex-valued input tensor");
    FAILS(kl_istft_at(KL_HERE, y, 8, plain),
          "input tensor to match n_fft / 2 + 1 when onesided=True, but got 9");
    FAILS(
        kl_istft_at(KL_HERE, y, 16, (kl_stft_options){.window = w, .not_centered = true}),
        "istft: window overlap add min: 1");
}
END_TEST

START_TEST(refusals)
{
    kl_tensor *x = kl_ones(kl_shape(4, 3), KL_F32), *z = kl_to(x, KL_C64);
    FAILS(kl_fft_fft(x, 0, -1, NULL), "Invalid number of data points (0) specified");
    FAILS(kl_fft_irfft(kl_slice(x, 1, 0, 1), KL_FFT_ALL, -1, NULL),
          "Invalid number of data points (0) specified");
    FAILS(kl_fft_rfft(z, KL_FFT_ALL, -1, NULL),
          "rfft expects a real input tensor, but got ComplexFloat");
    FAILS(kl_fft_fft(x, KL_FFT_ALL, -1, "x"), "Invalid normalization mode: \"x\"");
    FAILS(kl_fft_fft(x, KL_FFT_ALL, 5, NULL), "Dimension out of range");
    FAILS(kl_fft_fft(kl_to(x, KL_F16), KL_FFT_ALL, 0, NULL), "Unsupported dtype Half");
    FAILS(kl_fft_fftn(x, kl_shape(2, 2), kl_axes(0), NULL),
          "When given, dim and shape arguments must have the same length");
    FAILS(kl_fft_fftn(x, kl_shape(), kl_axes(0, -2), NULL), "FFT dims must be unique");
    FAILS(kl_fft_fftn(x, kl_shape(2, 2, 2), kl_axes(), NULL),
          "Got shape with 3 values but input tensor only has 2 dimensions.");
    FAILS(kl_fft_fft(kl_ones(kl_shape(), KL_F32), KL_FFT_ALL, -1, NULL),
          "Dimension specified as -1 but tensor has no dimensions");
    FAILS(kl_fft_rfftn(kl_ones(kl_shape(), KL_F32), kl_shape(), kl_axes(), NULL),
          "rfftn must transform at least one axis");
    FAILS(kl_fft_fftn(x, kl_ints_of(17, (const int64_t[17]){0}), kl_axes(), NULL),
          "more than 16 axes");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("fft");
    TCase *tc = front_case(s, "all");
    tcase_add_loop_test(tc, any_length, 0, sizeof lengths / sizeof *lengths);
    tcase_add_test(tc, known_values);
    tcase_add_test(tc, lengths_and_axes);
    tcase_add_test(tc, norms);
    tcase_add_test(tc, gradients);
    tcase_add_test(tc, short_time);
    tcase_add_test(tc, refusals);
    return front_run(s);
}
