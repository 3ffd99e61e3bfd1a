/* op_signal.c: Fourier transforms, whose complex numbers are a last axis of two, windows,
 * and the matrix of mel filters. */
#include <math.h>

#include "op.h"

#define OP(name) void kl_onnx_op_##name(kl_onnx_op *n)

static bool single(kl_onnx_op *n, int i, int64_t *v)
{
    int64_t count;
    const int64_t *x = has(n, i) ? kl_onnx_ints(n, i, &count) : NULL;
    if (x && count)
        *v = x[0];
    return x && count;
}

/* [.., 1] as reals, [.., 2] as complex numbers. */
static kl_tensor *numbers(kl_tensor *x)
{
    if (kl_extent(x, -1) == 1)
        return kl_select(x, -1, 0);
    return kl_view_as_complex_at(KL_HERE, kl_contiguous(x));
}

static bool is_complex(kl_tensor *x)
{
    return kl_dtype_of(x) == KL_C64 || kl_dtype_of(x) == KL_C128;
}

static kl_tensor *transform(kl_tensor *x, int64_t length, int axis, bool inverse,
                            bool half)
{
    if (inverse && half)
        return kl_unsqueeze(kl_fft_irfft(x, length, axis, "backward"), -1);
    kl_tensor *y = inverse                  ? kl_fft_ifft(x, length, axis, "backward")
                   : half && !is_complex(x) ? kl_fft_rfft(x, length, axis, "backward")
                                            : kl_fft_fft(x, length, axis, "backward");
    if (half && is_complex(x))
        y = kl_narrow(y, axis, 0, length / 2 + 1);
    return kl_view_as_real_at(KL_HERE, y);
}

OP(DFT)
{
    kl_tensor *x = in(n, 0);
    bool inverse = kl_onnx_int(n, "inverse", 0), half = kl_onnx_int(n, "onesided", 0);
    int64_t axis = n->opset < 20 ? kl_onnx_int(n, "axis", 1) : -2;
    if (n->opset >= 20)
        single(n, 2, &axis);
    if (kl_failed() || !kl_onnx_axis(n, &axis, kl_rank(x)))
        return;
    int64_t d = kl_extent(x, (int)axis), length = inverse && half ? 2 * (d - 1) : d;
    single(n, 1, &length);
    kl_dtype dt = kl_dtype_of(x);
    give(n, 0, kl_to(transform(numbers(widen(x)), length, (int)axis, inverse, half), dt));
}

/* Frames of the signal [N, L, 1 or 2], each times the window. */
OP(STFT)
{
    kl_tensor *x = in(n, 0), *window = in(n, 2);
    int64_t step = 0, length = window ? kl_extent(window, 0) : kl_extent(x, 1);
    bool half = kl_onnx_int(n, "onesided", 1);
    single(n, 1, &step);
    single(n, 3, &length);
    if (kl_failed() || step < 1 || length < 1 || kl_rank(x) != 3) {
        kl_onnx_fail(n, KL_ERR_ARG, "frames of %lld every %lld", (long long)length,
                     (long long)step);
        return;
    }
    kl_dtype dt = kl_dtype_of(x);
    kl_tensor *f = kl_unfold(widen(x), 1, length, step); /* [N, frames, 1 or 2, length] */
    f = window ? kl_mul(f, kl_to(window, kl_dtype_of(f))) : f;
    f = numbers(kl_transpose(f, 2, 3));
    give(n, 0, kl_to(transform(f, length, 2, false, half), dt));
}

/* ---- windows ---- */

static void window(kl_onnx_op *n, const double *a, int terms)
{
    int64_t size = 0;
    int type = (int)kl_onnx_int(n, "output_datatype", 1);
    bool sym = !kl_onnx_int(n, "periodic", 1);
    if (single(n, 0, &size))
        give(n, 0,
             kl_to(kl_cosine_sum_at(KL_HERE, size, a, terms, sym, KL_F64),
                   kl_onnx_dtype(type)));
}

OP(HannWindow)
{
    window(n, (const double[]){0.5, 0.5}, 2);
}
OP(HammingWindow)
{
    window(n, (const double[]){25.0 / 46, 21.0 / 46}, 2);
}
OP(BlackmanWindow)
{
    window(n, (const double[]){0.42, 0.5, 0.08}, 3);
}

/* ---- mel filters: triangles that rise from one edge to the next and fall to the third
 * ---- */

static double of_mel(double mel)
{
    return 700 * (pow(10, mel / 2595) - 1);
}

static void triangle(float *v, int64_t bins, int64_t mels, int64_t i, const int64_t *edge)
{
    int64_t low = edge[i], mid = edge[i + 1], high = edge[i + 2];
    for (int64_t j = low; j <= mid && j < bins; j++)
        if (j >= 0)
            v[j * mels + i] = mid > low ? (float)(j - low) / (float)(mid - low) : 1;
    for (int64_t j = mid; j < high && j < bins; j++)
        if (j >= 0)
            v[j * mels + i] = (float)(high - j) / (float)(high - mid);
}

OP(MelWeightMatrix)
{
    int64_t mels = 0, length = 0, rate = 0, count;
    const double *low = kl_onnx_numbers(n, 3, &count),
                 *high = kl_onnx_numbers(n, 4, &count);
    if (!low || !high || !single(n, 0, &mels) || !single(n, 1, &length) ||
        !single(n, 2, &rate))
        return;
    int64_t bins = length / 2 + 1;
    if (mels < 1 || mels > 1 << 16 || length < 0 || length > 1 << 24 || rate < 1) {
        kl_onnx_fail(n, KL_ERR_ARG, "%lld filters of %lld", (long long)mels,
                     (long long)length);
        return;
    }
    double from = 2595 * log10(1 + *low / 700), to = 2595 * log10(1 + *high / 700);
    int64_t *edge = kl_onnx_alloc(n->run, (size_t)(mels + 2) * sizeof *edge);
    float *v = kl_onnx_alloc(n->run, (size_t)(bins * mels) * sizeof *v);
    for (int64_t i = 0; edge && i < mels + 2; i++) {
        double hz = of_mel(from + (double)i * (to - from) / (double)(mels + 2));
        double at = floor((double)(length + 1) * hz / (double)rate);
        edge[i] = at > -1 && at < 1e9 ? (int64_t)at : 1 << 30;
    }
    for (int64_t i = 0; edge && v && i < mels; i++)
        triangle(v, bins, mels, i, edge);
    int type = (int)kl_onnx_int(n, "output_datatype", 1);
    if (v)
        give(n, 0,
             kl_to(kl_tensor_copy(v, KL_F32, kl_shape(bins, mels)), kl_onnx_dtype(type)));
}
