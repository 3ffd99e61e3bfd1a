/* stft.c: short-time Fourier transforms of kiln/fft.h, composed of windows of the signal,
 * kl_fft_rfft, and sums of what overlaps.
 *
 *   stft x [L] -> [n / 2 + 1, frames]    frame f: rfft(window * x[f hop : f hop + n]) */
#include "fft.h"
#include "handles.h"

/* The window in the middle of n_fft, or ones. */
static kl_tensor *whole_window(const char *at, const kl_stft_options *o, int64_t n_fft,
                               kl_dtype dt)
{
    int64_t length = o->win_length ? o->win_length : n_fft, left = (n_fft - length) / 2;
    kl_tensor *w =
        o->window ? o->window : kl_full_at(at, kl_shape(length), kl_arg_i(1), dt);
    return w && length != n_fft
               ? kl_pad_at(at, w, kl_shape(left, n_fft - length - left), kl_arg_i(0))
               : w;
}

static kl_status check(const char *fn, kl_tensor *t, int64_t n_fft, int64_t hop,
                       const kl_stft_options *o)
{
    int64_t length = o->win_length ? o->win_length : n_fft;
    if (!t)
        return KL_ERR_ARG;
    if (n_fft < 1)
        return kl_fail(KL_ERR_ARG, "%s: expected n_fft > 0, but got n_fft=%lld", fn,
                       (long long)n_fft);
    if (hop < 1)
        return kl_fail(KL_ERR_ARG, "%s: expected hop_length > 0, but got hop_length=%lld",
                       fn, (long long)hop);
    if (length < 1 || length > n_fft)
        return kl_fail(KL_ERR_ARG,
                       "%s: expected 0 < win_length <= n_fft, but got win_length=%lld",
                       fn, (long long)length);
    if (o->window && (kl_rank(o->window) != 1 || kl_extent(o->window, 0) != length))
        return kl_fail(
            KL_ERR_SHAPE,
            "%s: expected a 1D window tensor of size equal to win_length=%lld, but "
            "got window with size [%lld]",
            fn, (long long)length, (long long)kl_extent(o->window, 0));
    return KL_OK;
}

kl_tensor *kl_stft_at(const char *at, kl_tensor *t, int64_t n_fft, kl_stft_options o)
{
    kl_call c = kl_compose(at);
    int64_t hop = o.hop_length ? o.hop_length : n_fft / 4;
    if (check("stft", t, n_fft, hop, &o))
        return kl_composed(&c, NULL, NULL);
    if (t->rank < 1 || t->rank > 2) {
        kl_fail(KL_ERR_SHAPE, "stft: expected a 1D or 2D tensor");
        return kl_composed(&c, NULL, NULL);
    }
    bool vector = t->rank == 1,
         whole = o.twosided || is_complex(t) || is_complex(o.window);
    kl_tensor *x = vector ? kl_unsqueeze_at(at, t, 0) : t;
    if (!o.not_centered) {
        const char *mode = o.pad_mode ? o.pad_mode : "reflect";
        kl_ints by = kl_shape(n_fft / 2, n_fft / 2);
        x = strcmp(mode, "constant") == 0
                ? kl_pad_at(at, x, by, kl_arg_i(0))
                : kl_pad_mode_at(at, kl_unsqueeze_at(at, x, 0), by, mode);
        x = x && x->rank == 3 ? kl_squeeze_at(at, x, kl_axes(0)) : x;
    }
    if (x && kl_extent(x, -1) < n_fft) {
        kl_fail(KL_ERR_SHAPE, "stft: expected 0 < n_fft < %lld, but got n_fft=%lld",
                (long long)kl_extent(x, -1), (long long)n_fft);
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *frames = x ? kl_unfold_at(at, x, -1, n_fft, hop) : NULL;
    kl_tensor *w = frames ? whole_window(at, &o, n_fft, kl_dtype_of(t)) : NULL;
    kl_tensor *y = w ? kl_mul_at(at, T(frames), T(w)) : NULL;
    const char *norm = o.normalized ? "ortho" : NULL;
    if (y)
        y = whole ? kl_fft_fft_at(at, y, KL_FFT_ALL, -1, norm)
                  : kl_fft_rfft_at(at, y, KL_FFT_ALL, -1, norm);
    y = y ? kl_transpose_at(at, y, -2, -1) : NULL;
    return kl_composed(&c, __func__, y && vector ? kl_squeeze_at(at, y, kl_axes(0)) : y);
}

/* Frames [b, f, n] added up where they overlap: [b, (f - 1) hop + n]. */
static kl_tensor *overlap(const char *at, kl_tensor *frames, int64_t hop)
{
    int64_t b = kl_extent(frames, 0), f = kl_extent(frames, 1), n = kl_extent(frames, 2);
    kl_tensor *begin = kl_arange_at(at, kl_arg_i(0), kl_arg_i(f), kl_arg_i(1), KL_I64);
    kl_tensor *own = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), KL_I64);
    begin = kl_unsqueeze_at(at, kl_mul_at(at, T(begin), kl_arg_i(hop)), 1);
    kl_tensor *index = begin ? kl_add_at(at, T(begin), T(own)) : NULL;
    int64_t all = kl_sat_add(kl_sat_mul(f - 1, hop), n);
    kl_tensor *zero = kl_full_at(at, kl_shape(b, all), kl_arg_i(0), kl_dtype_of(frames));
    return index && zero
               ? kl_index_add_at(at, zero, 1, kl_reshape_at(at, index, kl_shape(-1)),
                                 kl_reshape_at(at, frames, kl_shape(b, -1)))
               : NULL;
}

static kl_status check_spectrum(kl_tensor *t, int64_t n_fft, bool twosided)
{
    if (!is_complex(t) || t->rank < 2 || t->rank > 3)
        return kl_fail(KL_ERR_DTYPE,
                       "istft requires a complex-valued input tensor matching the output "
                       "from stft with return_complex=True.");
    int64_t want = twosided ? n_fft : n_fft / 2 + 1;
    if (kl_extent(t, -2) != want)
        return kl_fail(KL_ERR_SHAPE,
                       "istft: expected the frequency dimension (3rd to the last) of the "
                       "input tensor to match %s, but got %lld",
                       twosided ? "n_fft when onesided=False"
                                : "n_fft / 2 + 1 when onesided=True",
                       (long long)kl_extent(t, -2));
    return KL_OK;
}

/* The part that is wanted, of a sum of windows nowhere 0. */
static kl_tensor *cut(const char *at, kl_tensor *y, kl_tensor *weight, int64_t from,
                      int64_t length)
{
    int64_t have = kl_extent(y, 1) - from, n = length < have ? length : have;
    y = kl_slice_at(at, y, 1, from, from + n, 1);
    weight = kl_slice_at(at, weight, 1, from, from + n, 1);
    if (y && weight && !kl_thread()->tracing) {
        kl_tensor *least = kl_amin_at(at, kl_abs_at(at, T(weight)), kl_axes(), false);
        if (!least || kl_item_at(at, least) < 1e-11) {
            kl_fail(KL_ERR_ARG, "istft: window overlap add min: 1");
            return NULL;
        }
    }
    y = y && weight ? kl_div_at(at, T(y), T(weight)) : NULL;
    return y && length > n ? kl_pad_at(at, y, kl_shape(0, length - n), kl_arg_i(0)) : y;
}

kl_tensor *kl_istft_at(const char *at, kl_tensor *t, int64_t n_fft, kl_stft_options o)
{
    kl_call c = kl_compose(at);
    int64_t hop = o.hop_length ? o.hop_length : n_fft / 4;
    if (check("istft", t, n_fft, hop, &o) || check_spectrum(t, n_fft, o.twosided))
        return kl_composed(&c, NULL, NULL);
    bool vector = t->rank == 2;
    kl_tensor *x = kl_transpose_at(at, vector ? kl_unsqueeze_at(at, t, 0) : t, -2, -1);
    const char *norm = o.normalized ? "ortho" : NULL;
    kl_tensor *frames =
        o.return_complex ? kl_fft_ifft_at(at, x, n_fft, -1, norm)
        : o.twosided ? kl_fft_irfft_at(at, kl_slice_at(at, x, -1, 0, n_fft / 2 + 1, 1),
                                       n_fft, -1, norm)
                     : kl_fft_irfft_at(at, x, n_fft, -1, norm);
    kl_tensor *w = frames ? whole_window(at, &o, n_fft, kl_dtypes[t->dtype].real) : NULL;
    if (!w)
        return kl_composed(&c, NULL, NULL);
    int64_t f = kl_extent(frames, 1), from = o.not_centered ? 0 : n_fft / 2;
    int64_t all = kl_sat_add(kl_sat_mul(f - 1, hop), n_fft);
    int64_t length = o.length ? o.length : all - 2 * from;
    kl_tensor *y = overlap(at, kl_mul_at(at, T(frames), T(w)), hop);
    kl_tensor *square = kl_mul_at(at, T(w), T(w));
    kl_tensor *weight =
        square ? overlap(at, kl_expand_at(at, square, kl_shape(1, f, n_fft)), hop) : NULL;
    y = y && weight ? cut(at, y, weight, from, length) : NULL;
    return kl_composed(&c, __func__, y && vector ? kl_squeeze_at(at, y, kl_axes(0)) : y);
}
