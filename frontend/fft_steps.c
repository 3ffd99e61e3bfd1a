/* fft_steps.c: a Fourier transform of length n as contractions (Cooley and Tukey, 1965).
 * With n = p q, j = q j1 + j2 and k = k1 + p k2:
 *
 *   x [b, c, p, q]  --matrix p over j1-->  [b, 2, k1, j2]  --times w^(k1 j2)-->
 *   [b, 2, k1, j2]  --matrix q over j2-->  [b, 2, k2, k1]  =  y [b, 2, n]
 *
 * A contraction with a constant matrix of at most DIRECT points is one GEMM whose rows
 * are all that is not transformed. The inner transform goes on by itself while q is
 * larger. A prime above PRIME is a convolution with a chirp (Bluestein, 1970), done by
 * transforms of a power of two. Real and imaginary parts are an axis, so that everything
 * is real arithmetic; every step is linear, so gradients come by construction. */
#include "fft.h"

enum { DIRECT = 16, PRIME = 128 };

static int64_t smallest_factor(int64_t n)
{
    for (int64_t p = 2; p * p <= n; p++)
        if (n % p == 0)
            return p;
    return n;
}

/* The p of n = p q: at most DIRECT, and near n^(1/steps) for the fewest steps; else the
 * smallest prime factor. */
static int64_t first_factor(int64_t n)
{
    int steps = 1;
    for (double reach = DIRECT; reach < (double)n; reach *= DIRECT)
        steps++;
    double want = pow((double)n, 1.0 / steps);
    int64_t best = 1;
    for (int64_t p = 2; p <= DIRECT; p++)
        if (n % p == 0 && fabs((double)p - want) <= fabs((double)best - want))
            best = p;
    return best > 1 ? best : smallest_factor(n);
}

static kl_lazy *reshape(kl_lazy *x, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    int64_t shape[4] = {a, b, c, d};
    return x ? kl_n_reshape(x, rank, shape) : NULL;
}

static kl_lazy *part(kl_lazy *x, int axis, int which)
{
    return x ? kl_n_slice_axis(x, axis, which, 1, 1) : NULL;
}

/* x [b, 2, ..] times t [2, ..], as complex numbers. */
static kl_lazy *times(kl_lazy *x, kl_lazy *t)
{
    kl_lazy *re = part(x, 1, 0), *im = part(x, 1, 1), *c = part(t, 0, 0),
            *s = part(t, 0, 1);
    kl_lazy *y[2] = {
        kl_n_bin(KL_OP_sub, kl_n_bin(KL_OP_mul, re, c), kl_n_bin(KL_OP_mul, im, s)),
        kl_n_bin(KL_OP_add, kl_n_bin(KL_OP_mul, re, s), kl_n_bin(KL_OP_mul, im, c))};
    return y[0] && y[1] ? kl_n_concat(y, 2, 1) : NULL;
}

static kl_lazy *table_of(kl_lazy *x, kl_fft_table kind, int64_t n, int64_t m, int sign)
{
    return kl_fft_table_of(kind, n, m, sign, (kl_dtype)x->dtype, x->device);
}

static kl_lazy *direct(kl_lazy *x, const char *labels, int64_t n, int64_t parts, int sign)
{
    kl_lazy *w = x ? table_of(x, KL_FFT_MATRIX, n, parts, sign) : NULL;
    return w ? kl_n_contract(x, w, labels, (kl_dtype)x->dtype) : NULL;
}

/* x [b, c, p, q] transformed over p: [b, 2, p, q]. */
static kl_lazy *outer(kl_lazy *x, int sign)
{
    int64_t b = kl_lazy_shape(x)[0], c = kl_lazy_shape(x)[1];
    int64_t p = kl_lazy_shape(x)[2], q = kl_lazy_shape(x)[3];
    if (p <= DIRECT)
        return direct(x, "bcim,cidk->bdkm", p, c, sign);
    x = kl_n_permute(x, (const int[]){0, 3, 1, 2});
    x = kl_fft_steps(reshape(x, 3, b * q, c, p, 0), sign);
    x = reshape(x, 4, b, q, 2, p);
    return x ? kl_n_permute(x, (const int[]){0, 2, 3, 1}) : NULL;
}

/* x [b, 2, p, q] transformed over q: [b, 2, q, p]. */
static kl_lazy *inner(kl_lazy *x, int sign)
{
    int64_t b = kl_lazy_shape(x)[0], p = kl_lazy_shape(x)[2], q = kl_lazy_shape(x)[3];
    if (q <= DIRECT)
        return direct(x, "bckm,cmdj->bdjk", q, 2, sign);
    x = kl_n_permute(x, (const int[]){0, 2, 1, 3});
    x = kl_fft_steps(reshape(x, 3, b * p, 2, q, 0), sign);
    x = reshape(x, 4, b, p, 2, q);
    return x ? kl_n_permute(x, (const int[]){0, 2, 3, 1}) : NULL;
}

/* j k = (j^2 + k^2 - (k - j)^2) / 2: y = chirp (chirp x convolved with its conjugate). */
static kl_lazy *bluestein(kl_lazy *x, int64_t n, int64_t parts, int sign)
{
    int64_t m = 1;
    while (m < 2 * n - 1)
        m *= 2;
    kl_lazy *chirp = table_of(x, KL_FFT_CHIRP, n, 0, sign);
    kl_lazy *filter = table_of(x, KL_FFT_FILTER, n, m, sign);
    kl_lazy *zero = kl_n_const((kl_dtype)x->dtype, 0);
    if (parts == 1) /* a real row: no imaginary part yet */
        x = kl_n_pad(x, zero, (const int64_t[]){0, 0, 0}, (const int64_t[]){0, 1, 0},
                     (const int64_t[]){0, 0, 0});
    x = chirp ? times(x, chirp) : NULL;
    x = x ? kl_n_pad(x, zero, (const int64_t[]){0, 0, 0}, (const int64_t[]){0, 0, m - n},
                     (const int64_t[]){0, 0, 0})
          : NULL;
    x = kl_fft_steps(x, -1);
    x = x && filter ? kl_fft_steps(times(x, filter), 1) : NULL;
    x = x ? kl_n_binc(KL_OP_mul, kl_n_slice_axis(x, 2, 0, n, 1), 1.0 / (double)m) : NULL;
    return x ? times(x, chirp) : NULL;
}

/* The recursion is as deep as n has factors. */
kl_lazy *kl_fft_steps(kl_lazy *x, int sign)
{
    if (!x)
        return NULL;
    int64_t b = kl_lazy_shape(x)[0], c = kl_lazy_shape(x)[1], n = kl_lazy_shape(x)[2];
    if (n <= DIRECT || (n <= PRIME && smallest_factor(n) == n))
        return direct(x, "bcm,cmdk->bdk", n, c, sign);
    int64_t p = first_factor(n), q = n / p;
    if (p == n)
        return bluestein(x, n, c, sign);
    x = reshape(x, 4, b, c, p, q);
    x = x ? outer(x, sign) : NULL;
    x = x ? times(x, table_of(x, KL_FFT_TWIDDLE, p, q, sign)) : NULL;
    x = x ? inner(x, sign) : NULL;
    return reshape(x, 3, b, 2, n, 0);
}

/* ---- real signals of an even length: half as many complex numbers ---- */

bool kl_fft_halves(int64_t n)
{
    return n % 2 == 0 && n > 2 * DIRECT;
}

/* w(2 m)^k for k < n: [1, 1, n], the real or the imaginary parts. */
static kl_lazy *half_circle(kl_lazy *x, int64_t m, int64_t n, int sign, int which)
{
    kl_lazy *t = table_of(x, KL_FFT_HALF, 2 * m, 0, sign);
    t = t ? kl_n_slice_axis(part(t, 0, which), 1, 0, n, 1) : NULL;
    return reshape(t, 3, 1, 1, n, 0);
}

/* a b + c d, or with the other sign. */
static kl_lazy *dot(kl_lazy *a, kl_lazy *b, kl_op sign, kl_lazy *c, kl_lazy *d)
{
    kl_lazy *x[2] = {a, b}, *y[2] = {c, d};
    if (kl_broadcast("fft", 2, x) || kl_broadcast("fft", 2, y))
        return NULL;
    return kl_n_bin(sign, kl_n_bin(KL_OP_mul, x[0], x[1]),
                    kl_n_bin(KL_OP_mul, y[0], y[1]));
}

/* z_j = x_2j + i x_2j+1 has the spectrum Z. With E those of the even, O of the odd ones,
 *
 *   2 E_k = Z_k + conj Z_(m-k)     2 i O_k = Z_k - conj Z_(m-k)     X_k = E_k + w^k O_k
 */
kl_lazy *kl_fft_from_real(kl_lazy *x, int sign)
{
    int64_t b = kl_lazy_shape(x)[0], m = kl_lazy_shape(x)[2] / 2;
    x = kl_n_permute(reshape(x, 3, b, m, 2, 0), (const int[]){0, 2, 1});
    kl_lazy *round[2] = {kl_fft_steps(x, sign), NULL};
    round[1] = round[0] ? kl_n_slice_axis(round[0], 2, 0, 1, 1) : NULL;
    kl_lazy *z = round[1] ? kl_n_concat(round, 2, 2) : NULL; /* Z_m is Z_0 */
    kl_lazy *back = z ? kl_n_flip(z, 1 << 2) : NULL;
    kl_lazy *zr = part(z, 1, 0), *zi = part(z, 1, 1), *br = part(back, 1, 0),
            *bi = part(back, 1, 1);
    if (!br || !bi)
        return NULL;
    kl_lazy *c = half_circle(x, m, m + 1, sign, 0),
            *s = half_circle(x, m, m + 1, sign, 1);
    kl_lazy *odd_r = kl_n_bin(KL_OP_add, zi, bi), *odd_i = kl_n_bin(KL_OP_sub, br, zr);
    kl_lazy *even_r = kl_n_bin(KL_OP_add, zr, br), *even_i = kl_n_bin(KL_OP_sub, zi, bi);
    kl_lazy *y[2] = {kl_n_bin(KL_OP_add, even_r, dot(odd_r, c, KL_OP_sub, odd_i, s)),
                     kl_n_bin(KL_OP_add, even_i, dot(odd_r, s, KL_OP_add, odd_i, c))};
    x = y[0] && y[1] ? kl_n_concat(y, 2, 1) : NULL;
    return x ? kl_n_binc(KL_OP_mul, x, 0.5) : NULL;
}

/* The way back, unscaled: Z_k = X_k + conj X_(m-k) + i w^k (X_k - conj X_(m-k)). What is
 * imaginary of X_0 and X_m counts for nothing. */
kl_lazy *kl_fft_to_real(kl_lazy *x, int sign)
{
    int64_t b = kl_lazy_shape(x)[0], m = kl_lazy_shape(x)[2] - 1;
    const int64_t one[3] = {0, 0, 1};
    kl_lazy *re = part(x, 1, 0), *im = part(x, 1, 1);
    im = im ? kl_n_pad(kl_n_slice_axis(im, 2, 1, m - 1, 1),
                       kl_n_const((kl_dtype)im->dtype, 0), one, one, (int64_t[3]){0})
            : NULL;
    if (!re || !im)
        return NULL;
    kl_lazy *zr = kl_n_slice_axis(re, 2, 0, m, 1), *zi = kl_n_slice_axis(im, 2, 0, m, 1);
    kl_lazy *br = kl_n_flip(kl_n_slice_axis(re, 2, 1, m, 1), 1 << 2),
            *bi = kl_n_flip(kl_n_slice_axis(im, 2, 1, m, 1), 1 << 2);
    kl_lazy *c = half_circle(x, m, m, sign, 0), *s = half_circle(x, m, m, sign, 1);
    kl_lazy *dr = kl_n_bin(KL_OP_sub, zr, br), *di = kl_n_bin(KL_OP_add, zi, bi);
    kl_lazy *z[2] = {
        kl_n_bin(KL_OP_sub, kl_n_bin(KL_OP_add, zr, br), dot(c, di, KL_OP_add, s, dr)),
        kl_n_bin(KL_OP_add, kl_n_bin(KL_OP_sub, zi, bi), dot(c, dr, KL_OP_sub, s, di))};
    kl_lazy *y = kl_fft_steps(z[0] && z[1] ? kl_n_concat(z, 2, 1) : NULL, sign);
    return y ? reshape(kl_n_permute(y, (const int[]){0, 2, 1}), 3, b, 1, 2 * m, 0) : NULL;
}
