/* fft.h: the discrete Fourier transform of one axis, as nodes; fft_tables.c has the
 * numbers that it multiplies by, fft_steps.c the steps, fft.c what users call. */
#ifndef KL_FFT_H
#define KL_FFT_H

#include "front.h"

/* ---- fft_tables.c: leaves over memory that is kept for the next call; made where ----
 */

/* Of f32 or f64, w = e^(sign 2 pi i / n), real parts before imaginary ones:
 * matrix  [cin, n, 2, n]  what a row of cin (1: real) parts is multiplied by
 * twiddle [2, n1, n2]     w(n1 n2)^(k1 j2)
 * half    [2, n / 2 + 1]  w(n)^k
 * chirp   [2, n]          e^(sign pi i j^2 / n), Bluestein's
 * filter  [2, m]          the transform over m of the conjugate chirp, wrapped */
typedef enum kl_fft_table {
    KL_FFT_MATRIX,
    KL_FFT_TWIDDLE,
    KL_FFT_HALF,
    KL_FFT_CHIRP,
    KL_FFT_FILTER
} kl_fft_table;
kl_lazy *kl_fft_table_of(kl_fft_table kind, int64_t n, int64_t m, int sign, kl_dtype dt,
                         int device);
void kl_fft_tables_clear(void);

/* ---- fft_steps.c ---- */

/* x [b, 1 or 2, n]: real, or real and imaginary parts. y [b, 2, n], unscaled: the sum of
 * x_j e^(sign 2 pi i j k / n). */
kl_lazy *kl_fft_steps(kl_lazy *x, int sign);
/* The same by half as many complex numbers: x [b, 1, n] real to [b, 2, n / 2 + 1], the
 * half that says all, and from that half back to [b, 1, n]. */
bool kl_fft_halves(int64_t n); /* is n for it? */
kl_lazy *kl_fft_from_real(kl_lazy *x, int sign);
kl_lazy *kl_fft_to_real(kl_lazy *x, int sign);

#endif
