/* kiln/fft.h: discrete Fourier transforms, torch.fft: of any length, in f32 and f64 (c64,
 * c128), with gradients of every order. Composed of kiln's own primitives: they fuse, run
 * on every device, and need no library.
 *
 *   y = kl_fft_fft(x, KL_FFT_ALL, -1, NULL);     y_k = sum x_j e^(-2 pi i j k / n)
 *   y = kl_fft_rfftn(x, kl_shape(), kl_axes(0, 1), "ortho");
 *
 * n (KL_FFT_ALL: the extent), s (none: the extents; -1: that one): the length to which an
 * axis is cut or padded with zeros first. r: of a real input, the n / 2 + 1 values that
 * determine the others; irfft is its inverse (KL_FFT_ALL: an even length), hfft and ihfft
 * the same for a real spectrum. norm: where to divide, "backward" (NULL: this), "forward"
 * by n, "ortho" by sqrt(n) both ways. Not among them: KL_ERR_ARG; an input of the wrong
 * kind: KL_ERR_DTYPE. */
#ifndef KILN_FFT_H
#define KILN_FFT_H

#include "kiln/tensor.h"

#ifdef __cplusplus
extern "C" {
#endif

#define KL_FFT_ALL INT64_MIN
/* One axis: fft, ifft, rfft, irfft, hfft, ihfft. */
#define KL_FFT_FUNCTIONS(F) F(fft) F(ifft) F(rfft) F(irfft) F(hfft) F(ihfft)
#define KL_DECLARE(name)                                                                 \
    KL_API kl_tensor *kl_fft_##name##_at(const char *at, kl_tensor *t, int64_t n,        \
                                         int dim, const char *norm);                     \
    KL_API kl_tensor *kl_fft_##name##n_at(const char *at, kl_tensor *t, kl_ints s,       \
                                          kl_ints dims, const char *norm);
KL_FFT_FUNCTIONS(KL_DECLARE)
#undef KL_DECLARE
#define kl_fft_fft(t, n, dim, norm) kl_fft_fft_at(KL_HERE, t, n, dim, norm)
#define kl_fft_ifft(t, n, dim, norm) kl_fft_ifft_at(KL_HERE, t, n, dim, norm)
#define kl_fft_rfft(t, n, dim, norm) kl_fft_rfft_at(KL_HERE, t, n, dim, norm)
#define kl_fft_irfft(t, n, dim, norm) kl_fft_irfft_at(KL_HERE, t, n, dim, norm)
#define kl_fft_hfft(t, n, dim, norm) kl_fft_hfft_at(KL_HERE, t, n, dim, norm)
#define kl_fft_ihfft(t, n, dim, norm) kl_fft_ihfft_at(KL_HERE, t, n, dim, norm)
/* Several axes; dims none: the last s.n, or all. The r and h forms halve the last one. */
#define kl_fft_fftn(t, s, dims, norm) kl_fft_fftn_at(KL_HERE, t, s, dims, norm)
#define kl_fft_ifftn(t, s, dims, norm) kl_fft_ifftn_at(KL_HERE, t, s, dims, norm)
#define kl_fft_rfftn(t, s, dims, norm) kl_fft_rfftn_at(KL_HERE, t, s, dims, norm)
#define kl_fft_irfftn(t, s, dims, norm) kl_fft_irfftn_at(KL_HERE, t, s, dims, norm)
#define kl_fft_hfftn(t, s, dims, norm) kl_fft_hfftn_at(KL_HERE, t, s, dims, norm)
#define kl_fft_ihfftn(t, s, dims, norm) kl_fft_ihfftn_at(KL_HERE, t, s, dims, norm)

/* Frequencies of the results, in cycles per unit of d: 0 1 .. -2 -1, all over n d; and
 * those of rfft. */
KL_API kl_tensor *kl_fft_fftfreq_at(const char *at, int64_t n, double d, kl_dtype dt);
KL_API kl_tensor *kl_fft_rfftfreq_at(const char *at, int64_t n, double d, kl_dtype dt);
/* Frequency 0 to the middle, and back; dims none: all. */
KL_API kl_tensor *kl_fft_fftshift_at(const char *at, kl_tensor *t, kl_ints dims);
KL_API kl_tensor *kl_fft_ifftshift_at(const char *at, kl_tensor *t, kl_ints dims);

/* ---- stft.c ---- */
/* Zero is PyTorch's default: hop n_fft / 4, window ones of n_fft, reflected borders. */
typedef struct kl_stft_options {
    int64_t hop_length, win_length;
    kl_tensor *window;
    bool not_centered, normalized, twosided,
        return_complex; /* the last: istft's result */
    const char *pad_mode;
    int64_t length; /* of istft's result */
} kl_stft_options;
/* [L] or [b, L] to complex [.., frequencies, frames], and back */
KL_API kl_tensor *kl_stft_at(const char *at, kl_tensor *t, int64_t n_fft,
                             kl_stft_options o);
KL_API kl_tensor *kl_istft_at(const char *at, kl_tensor *t, int64_t n_fft,
                              kl_stft_options o);

#ifdef __cplusplus
}
#endif
#endif
