/* test_extents.c: sizes at the ends of 64 bits, where a product or a sum of them would go
 * round: each call refuses them with a sentence, or gives what is right. A build with
 * UBSan checks the arithmetic itself. */
#include "front_test.h"

static const int64_t edges[] = {INT64_MAX,        INT64_MAX - 1,    INT64_MAX / 2 + 1,
                                INT64_C(1) << 61, INT64_C(1) << 32, INT64_MIN,
                                INT64_MIN + 1,    INT64_MIN / 2,    -(INT64_C(1) << 32)};

static kl_tensor *image(kl_dtype dt)
{
    return kl_ones(kl_shape(1, 2, 5, 5), dt);
}

static kl_tensor *kernel(kl_dtype dt)
{
    return kl_ones(kl_shape(2, 2, 3, 3), dt);
}

static kl_tensor *conv(kl_tensor *x, kl_tensor *w, kl_conv_axes o)
{
    return kl_convolution_at(KL_HERE, x, w, NULL, o);
}

/* Refused with a sentence, or a tensor whose elements can be counted. */
static void sane(kl_tensor *t)
{
    ck_assert(t || kl_failed());
    ck_assert(!kl_failed() || strlen(kl_error()) > 10);
    for (int i = 0; t && i < kl_rank(t); i++)
        ck_assert_int_ge(kl_extent(t, i), 0);
    if (t)
        ck_assert_int_ge(kl_numel(t), 0);
    kl_error_clear();
}

START_TEST(test_windows)
{
    int64_t v = edges[_i];
    for (int u8 = 0; u8 < 2; u8++) { /* of one byte as many fit as 63 bits count */
        kl_tensor *x = image(u8 ? KL_U8 : KL_F32), *w = kernel(u8 ? KL_U8 : KL_F32);
        for (int t = 0; t < 2; t++) {
            sane(conv(x, w, (kl_conv_axes){.padding = kl_axes(v), .transposed = t}));
            sane(conv(x, w, (kl_conv_axes){.dilation = kl_axes(v), .transposed = t}));
            sane(conv(x, w, (kl_conv_axes){.stride = kl_axes(v), .transposed = t}));
            sane(conv(x, w, (kl_conv_axes){.groups = v, .transposed = t}));
            sane(conv(x, w,
                      (kl_conv_axes){.stride = kl_axes(v),
                                     .output_padding = kl_axes(KL_MAX(v, 2) - 1),
                                     .transposed = t}));
            sane(conv(x, w, (kl_conv_axes){.dilation = kl_axes(v), .same = true}));
        }
        kl_pool_axes p[] = {{.size = kl_axes(v)},
                            {.size = kl_axes(2), .stride = kl_axes(v)},
                            {.size = kl_axes(2), .stride = kl_axes(v), .ceil = true},
                            {.size = kl_axes(2), .dilation = kl_axes(v)},
                            {.size = kl_axes(2), .padding = kl_axes(v)},
                            {.size = kl_axes(v), .padding = kl_axes(v / 2)}};
        for (size_t i = 0; i < KL_COUNT(p); i++)
            sane(kl_max_pool_axes_at(KL_HERE, x, 2, p[i], NULL));
        kl_column_options c[] = {{.size = kl_axes(v)},
                                 {.size = kl_axes(2), .stride = kl_axes(v)},
                                 {.size = kl_axes(2), .dilation = kl_axes(v)},
                                 {.size = kl_axes(2), .padding = kl_axes(v)}};
        for (size_t i = 0; i < KL_COUNT(c); i++) {
            sane(kl_im2col_at(KL_HERE, x, c[i]));
            sane(kl_col2im_at(KL_HERE, kl_ones(kl_shape(1, 4, 1), KL_F32), kl_axes(v),
                              c[i]));
        }
    }
}
END_TEST

START_TEST(test_moves)
{
    int64_t v = edges[_i];
    for (int u8 = 0; u8 < 2; u8++) {
        kl_tensor *x = image(u8 ? KL_U8 : KL_F32), *out[4];
        sane(kl_pad(x, kl_shape(v, 0), 0));
        sane(kl_pad(x, kl_shape(v, v), 0));
        sane(kl_pad(x, kl_shape(v, -1, 1, v), 0));
        sane(kl_pad_mode_at(KL_HERE, x, kl_shape(v, v), "replicate"));
        sane(kl_pad_mode_at(KL_HERE, x, kl_shape(v, 1), "circular"));
        sane(kl_roll(x, v, 3));
        sane(kl_slice_step(x, 3, 0, KL_END, v));
        sane(kl_slice_step(x, 3, v, kl_sat_neg(v) / 2, v));
        sane(kl_slice(kl_slice_step(x, 3, 0, KL_END, v), 2, v, KL_END));
        sane(kl_narrow(x, 3, v, v));
        sane(kl_select(x, 3, v));
        sane(kl_unfold(x, 3, 2, v));
        sane(kl_unfold(x, 3, v, 1));
        sane(kl_diagonal(x, v, 2, 3));
        sane(kl_diag_embed_at(KL_HERE, x, v, -2, -1));
        sane(kl_repeat(x, kl_shape(1, v, 2, v)));
        sane(kl_repeat_interleave(x, v, 2));
        sane(kl_reshape(x, kl_shape(v, v, -1)));
        sane(kl_expand(x, kl_shape(v, 2, 5, 5)));
        sane(kl_pixel_shuffle_at(KL_HERE, x, v));
        sane(kl_tril(x, v));
        ck_assert_int_le(kl_split(x, v, 3, out, 4), 4);
        kl_error_clear();
    }
}
END_TEST

START_TEST(test_made)
{
    int64_t v = edges[_i];
    sane(kl_zeros(kl_shape(v, 0, v), KL_U8));
    sane(kl_zeros(kl_shape(v), KL_U8));
    sane(kl_eye_at(KL_HERE, v, v, KL_F32));
    sane(kl_arange(v, v, v, KL_I64));
    sane(kl_arange(INT64_MIN, INT64_MAX, v, KL_I64));
    sane(kl_arange(INT64_MAX, INT64_MIN, v, KL_I64));
    sane(kl_linspace(0, 1, v, KL_F32));
    sane(kl_window_at(KL_HERE, KL_WINDOW_COSINE, v, 0, false, KL_F32));
    sane(kl_interpolate_at(KL_HERE, image(KL_F32), kl_shape(v, v), NULL, "nearest", false,
                           false));
    sane(kl_interpolate_at(KL_HERE, image(KL_F32), kl_shape(v, 2), NULL, "bilinear",
                           false, true));
    sane(kl_interpolate_at(KL_HERE, image(KL_F32), kl_shape(3, 2),
                           (double[]){1e-300, 1e300}, "bilinear", false, true));
    sane(kl_interpolate_at(KL_HERE, image(KL_F32), kl_shape(3, 2),
                           (double[]){1e-300, 1e300}, "nearest", false, false));
    sane(kl_fft_fft(image(KL_F32), v, -1, NULL));
    sane(kl_fft_irfft(image(KL_F32), v, -1, NULL));
    sane(kl_stft_at(KL_HERE, kl_ones(kl_shape(64), KL_F32), 16,
                    (kl_stft_options){.hop_length = v}));
    sane(kl_stft_at(KL_HERE, kl_ones(kl_shape(64), KL_F32), v, (kl_stft_options){0}));
}
END_TEST

/* A handful of long axes that hold their elements by repeating one. */
START_TEST(test_long_axes)
{
    kl_tensor *x = kl_expand(kl_ones(kl_shape(1, 1, 1), KL_U8),
                             kl_shape(1, 1, INT64_MAX / 2)),
              *out[2];
    ck_assert(x != NULL);
    ck_assert_int_eq(kl_split(x, 1, 2, out, 2), INT32_MAX);
    ck_assert_int_eq(kl_extent(out[1], 2), 1);
    ck_assert_int_eq(kl_chunk(x, 2, 2, out), 2);
    ck_assert_int_eq(kl_extent(out[0], 2), INT64_MAX / 4 + 1);
    sane(kl_roll(x, -1, 2));
    sane(kl_cat(((kl_tensor *[]){x, x, x}), 3, 2));
    sane(kl_adaptive_avg_pool_at(KL_HERE, kl_to(x, KL_F32), 1, kl_shape(INT64_MAX / 4)));
    sane(kl_fft_irfft(kl_to(x, KL_F32), KL_FFT_ALL, -1, NULL));
}
END_TEST

/* The longest window of adaptive pooling, that is worked out and not looked for. */
START_TEST(test_adaptive)
{
    for (int64_t in = 1; in < 14; in++)
        for (int64_t out = 1; out < 14; out++) {
            kl_tensor *x = kl_arange(0, in, 1, KL_F32), *index = NULL;
            x = kl_reshape(x, kl_shape(1, 1, in));
            kl_tensor *y = kl_adaptive_max_pool_at(KL_HERE, x, 1, kl_shape(out), &index);
            for (int64_t i = 0; i < out; i++) /* the last of each window */
                ck_assert_double_eq(kl_item(kl_select(y, 2, i)),
                                    (double)(((i + 1) * in + out - 1) / out - 1));
            y = kl_adaptive_avg_pool_at(KL_HERE, x, 1, kl_shape(out));
            for (int64_t i = 0; i < out; i++)
                ck_assert_double_eq_tol(
                    kl_item(kl_select(y, 2, i)),
                    (double)(i * in / out + ((i + 1) * in + out - 1) / out - 1) / 2,
                    1e-5);
        }
}
END_TEST

/* What has one dimension more or twice as many than a list holds. */
START_TEST(test_many_dimensions)
{
    kl_ints s = {.n = KL_INTS_MAX};
    for (int i = 0; i < s.n; i++)
        s.v[i] = 1;
    kl_tensor *x = kl_ones(s, KL_F32);
    FAILS(kl_local_response_norm_at(KL_HERE, x, 3, 1e-4, 0.75, 1), "16 dimensions");
    FAILS(kl_vander_at(KL_HERE, x, 2, false), "vander");
    FAILS(kl_unsqueeze(x, 0), "more than 16 dimensions");
    int64_t many[KL_INTS_MAX + 1] = {0};
    FAILS(kl_roll_axes_at(KL_HERE, x, kl_ints_of(KL_INTS_MAX + 1, many),
                          kl_ints_of(KL_INTS_MAX + 1, many)),
          "more than 16 axes");
}
END_TEST

START_TEST(test_ranges)
{
    SHOWS(kl_arange(INT64_MIN, INT64_MAX, INT64_MAX, KL_I64),
          "tensor([-9223372036854775808,                   -1,  9223372036854775806])");
    FAILS(kl_arange(5, 4, 2, KL_I64), "inconsistent with step sign");
    FAILS(kl_arange(4.0, 5.0, -2.0, KL_F32), "inconsistent with step sign");
    ck_assert_int_eq(kl_numel(kl_arange(5, 5, 2, KL_I64)), 0);
    SHOWS(kl_slice_step(kl_arange(0, 4, 1, KL_I64), 0, 3, -KL_END, INT64_MIN),
          "tensor([3])");
}
END_TEST

int main(void)
{
    Suite *s = suite_create("extents");
    TCase *tc = tcase_create("extents");
    int n = (int)KL_COUNT(edges);
    tcase_add_checked_fixture(tc, front_setup, front_teardown);
    tcase_set_timeout(tc, 60);
    tcase_add_loop_test(tc, test_windows, 0, n);
    tcase_add_loop_test(tc, test_moves, 0, n);
    tcase_add_loop_test(tc, test_made, 0, n);
    tcase_add_test(tc, test_long_axes);
    tcase_add_test(tc, test_adaptive);
    tcase_add_test(tc, test_ranges);
    tcase_add_test(tc, test_many_dimensions);
    suite_add_tcase(s, tc);
    return front_run(s);
}
