/* fft.c: the calls of kiln/fft.h: which axes, how long, real or complex, how scaled; each
 * axis is then one run of fft_steps.c.
 *
 *   irfft x [5] -> 8 = 2 (5 - 1)   x and its mirrored conjugate: 8 complex values,
 *                                  transformed with sign +, real parts, over 8 */
#include "fft.h"

#define MANY KL_MAX_RANK
enum { HALVED = 4096 }; /* longer ones turn their halves in memory, which costs more */
static const int64_t LONGEST = (int64_t)1 << 40; /* factors of more fit no memory */

typedef enum kind { WHOLE, FROM_REAL, TO_REAL } kind;
typedef struct form { /* a function of kiln/fft.h */
    const char *name;
    kind kind;
    bool inverse; /* e^(+ ..), and norm "backward" divides */
} form;
typedef struct plan {
    int n;
    int axis[MANY];
    int64_t size[MANY]; /* of the signal, also where the spectrum is half as long */
    double scale;
} plan;

/* ---- checks ---- */

static kl_status scale_of(const char *norm, bool inverse, double count, double *scale)
{
    *scale = 1;
    if (!norm)
        norm = "backward";
    if (strcmp(norm, "ortho") == 0)
        *scale = 1 / sqrt(count);
    else if (strcmp(norm, inverse ? "backward" : "forward") == 0)
        *scale = 1 / count;
    else if (strcmp(norm, inverse ? "forward" : "backward") != 0)
        return kl_fail(KL_ERR_ARG, "Invalid normalization mode: \"%s\"", norm);
    return KL_OK;
}

static kl_status check_dtype(const form *f, kl_dtype dt)
{
    if (f->kind == FROM_REAL && kl_is_complex(dt))
        return kl_fail(KL_ERR_DTYPE, "%s expects a real input tensor, but got %s",
                       f->name, kl_dtypes[dt].scalar);
    if (dt == KL_F16 || dt == KL_BF16)
        return kl_fail(KL_ERR_UNSUPPORTED, "Unsupported dtype %s", kl_dtypes[dt].scalar);
    return KL_OK;
}

/* Integers go to the default dtype; spectra are complex. */
static kl_lazy *read(const form *f, kl_tensor *t)
{
    kl_lazy *x = kl_arg_tensor(t);
    kl_dtype dt = x ? (kl_dtype)x->dtype : KL_F32;
    if (!x || check_dtype(f, dt))
        return NULL;
    if (!kl_is_float(dt) && !kl_is_complex(dt))
        x = kl_n_cast(x, kl_default());
    return x;
}

/* Which axes, as given by s and dims. */
static kl_status axes_of(kl_lazy *x, const kl_ints *s, const kl_ints *dims, plan *p)
{
    uint64_t seen = 0;
    if (s->n > KL_INTS_MAX || dims->n > KL_INTS_MAX)
        return kl_fail(KL_ERR_SHAPE, "more than %d axes", KL_INTS_MAX);
    if (s->n && dims->n && s->n != dims->n)
        return kl_fail(KL_ERR_ARG,
                       "When given, dim and shape arguments must have the same length");
    if (s->n > x->rank && !dims->n)
        return kl_fail(
            KL_ERR_SHAPE,
            "Got shape with %d values but input tensor only has %d dimensions.", s->n,
            x->rank);
    p->n = dims->n ? dims->n : s->n ? s->n : x->rank;
    for (int i = 0; i < p->n; i++) {
        int64_t d = dims->n ? dims->v[i] : x->rank - p->n + i;
        if (x->rank == 0)
            return kl_fail(KL_ERR_INDEX,
                           "Dimension specified as %lld but tensor has no dimensions",
                           (long long)d);
        KL_TRY(kl_dim_wrap(d, x->rank, &p->axis[i]));
        if (seen >> p->axis[i] & 1)
            return kl_fail(KL_ERR_ARG, "FFT dims must be unique");
        seen |= UINT64_C(1) << p->axis[i];
    }
    return KL_OK;
}

static kl_status plan_of(const form *f, kl_lazy *x, const kl_ints *s, const kl_ints *dims,
                         const char *norm, plan *p)
{
    double count = 1;
    KL_TRY(axes_of(x, s, dims, p));
    for (int i = 0; i < p->n; i++) {
        int64_t extent = kl_lazy_shape(x)[p->axis[i]];
        bool half = f->kind == TO_REAL && i == p->n - 1;
        bool whole = !s->n || s->v[i] == KL_FFT_ALL;
        p->size[i] = !whole ? s->v[i] : half ? kl_sat_mul(2, extent - 1) : extent;
        if (p->size[i] < 1 || p->size[i] > LONGEST)
            return kl_fail(KL_ERR_SHAPE, "Invalid number of data points (%lld) specified",
                           (long long)p->size[i]);
        count *= (double)p->size[i];
    }
    if (f->kind != WHOLE && p->n == 0)
        return kl_fail(KL_ERR_SHAPE, "%s must transform at least one axis", f->name);
    return scale_of(norm, f->inverse, count, &p->scale);
}

/* ---- one axis, the last ---- */

/* Cut, or padded with zeros. */
static kl_lazy *resize(kl_lazy *x, int64_t n)
{
    int last = x->rank - 1;
    int64_t have = kl_lazy_shape(x)[last];
    int64_t zero[KL_MAX_RANK] = {0}, after[KL_MAX_RANK] = {0};
    if (have > n)
        return kl_n_slice_axis(x, last, 0, n, 1);
    after[last] = n - have;
    return have == n ? x
                     : kl_n_pad(x, kl_n_const((kl_dtype)x->dtype, 0), zero, after, zero);
}

/* [.., n] as [b, 1 or 2, n]. */
static kl_lazy *in_parts(kl_lazy *x)
{
    int64_t n = kl_lazy_shape(x)[x->rank - 1];
    int64_t rows = kl_count(x->rank - 1, kl_lazy_shape(x)), shape[3] = {rows, 1, n};
    if (!kl_is_complex((kl_dtype)x->dtype))
        return kl_n_reshape(x, 3, shape);
    kl_lazy *p[2] = {kl_n_reshape(kl_n_un(KL_OP_real, x), 3, shape),
                     kl_n_reshape(kl_n_un(KL_OP_imag, x), 3, shape)};
    return p[0] && p[1] ? kl_n_concat(p, 2, 1) : NULL;
}

static kl_lazy *part(kl_lazy *y, int which, int rank, const int64_t *shape)
{
    kl_lazy *p = y ? kl_n_slice_axis(y, 1, which, 1, 1) : NULL;
    return p ? kl_n_reshape(p, rank, shape) : NULL;
}

/* x [.., n] real or complex to complex; half: what lies behind the middle of a real one's
 * spectrum is not asked for, and may be missing. */
static kl_lazy *transform(kl_lazy *x, int sign, bool half)
{
    int64_t shape[KL_MAX_RANK];
    int rank = x->rank;
    memcpy(shape, kl_lazy_shape(x), (size_t)rank * sizeof *shape);
    kl_lazy *p = in_parts(x), *y;
    if (p && half && shape[rank - 1] <= HALVED && kl_fft_halves(shape[rank - 1])) {
        y = kl_fft_from_real(p, sign);
        shape[rank - 1] = shape[rank - 1] / 2 + 1;
    } else {
        y = kl_fft_steps(p, sign);
    }
    return kl_n_bin(KL_OP_complex, part(y, 0, rank, shape), part(y, 1, rank, shape));
}

static kl_lazy *conjugate(kl_lazy *x)
{
    return kl_n_bin(KL_OP_complex, kl_n_un(KL_OP_real, x),
                    kl_n_un(KL_OP_neg, kl_n_un(KL_OP_imag, x)));
}

/* x [.., n / 2 + 1] to the real [.., n] whose spectrum begins with it. */
static kl_lazy *to_real(kl_lazy *x, int64_t n, int sign)
{
    int last = x->rank - 1;
    int64_t shape[KL_MAX_RANK];
    kl_lazy *all[2] = {resize(x, n / 2 + 1), NULL};
    if (all[0] && kl_fft_halves(n)) {
        memcpy(shape, kl_lazy_shape(x), x->rank * sizeof *shape);
        shape[last] = n;
        return kl_n_reshape(kl_fft_to_real(in_parts(all[0]), sign), x->rank, shape);
    }
    int64_t more = n - (n / 2 + 1);
    if (all[0] && more > 0)
        all[1] = conjugate(
            kl_n_flip(kl_n_slice_axis(all[0], last, 1, more, 1), UINT64_C(1) << last));
    x = all[1] ? kl_n_concat(all, 2, last) : more > 0 ? NULL : all[0];
    if (!x)
        return NULL;
    memcpy(shape, kl_lazy_shape(x), x->rank * sizeof *shape);
    return part(kl_fft_steps(in_parts(x), sign), 0, x->rank, shape);
}

static kl_lazy *along(kl_lazy *x, kind k, int axis, int64_t n, int sign)
{
    int last = x->rank - 1;
    x = axis == last ? x : kl_n_swap(x, axis, last);
    if (x && k == TO_REAL)
        x = to_real(x, n, sign);
    else if (x && (x = resize(x, n)))
        x = transform(x, sign, k == FROM_REAL);
    if (x && k == FROM_REAL)
        x = kl_n_slice_axis(x, last, 0, n / 2 + 1, 1);
    return x && axis != last ? kl_n_swap(x, axis, last) : x;
}

/* ---- all axes ---- */

static kl_dtype complex_of(kl_dtype dt)
{
    return dt == KL_F32 ? KL_C64 : dt == KL_F64 ? KL_C128 : dt;
}

/* The last axis first where the input is real, last where the result is. */
static kl_lazy *run(const form *f, kl_lazy *x, const plan *p)
{
    int sign = f->inverse ? 1 : -1, half = p->n - 1;
    if (f->kind != FROM_REAL)
        x = kl_n_cast(x, complex_of((kl_dtype)x->dtype));
    if (f->kind == FROM_REAL)
        x = along(x, FROM_REAL, p->axis[half], p->size[half], sign);
    for (int i = 0; x && i < p->n - (f->kind != WHOLE); i++)
        x = along(x, WHOLE, p->axis[i], p->size[i], sign);
    if (x && f->kind == TO_REAL)
        x = along(x, TO_REAL, p->axis[half], p->size[half], sign);
    return x && p->scale != 1 ? kl_n_binc(KL_OP_mul, x, p->scale) : x;
}

static kl_tensor *call(const char *at, const char *fn, const form *f, kl_tensor *t,
                       const kl_ints *s, const kl_ints *dims, const char *norm)
{
    kl_call c = kl_call_enter(at, fn);
    plan p;
    kl_lazy *x = read(f, t);
    if (!x || plan_of(f, x, s, dims, norm, &p))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, run(f, x, &p));
}

#define FFT(name, kind, inverse)                                                         \
    kl_tensor *kl_fft_##name##_at(const char *at, kl_tensor *t, int64_t n, int dim,      \
                                  const char *norm)                                      \
    {                                                                                    \
        kl_ints s = kl_shape(n), dims = kl_axes(dim);                                    \
        return call(at, __func__, &(form){#name, kind, inverse}, t, &s, &dims, norm);    \
    }                                                                                    \
    kl_tensor *kl_fft_##name##n_at(const char *at, kl_tensor *t, kl_ints s,              \
                                   kl_ints dims, const char *norm)                       \
    {                                                                                    \
        for (int i = 0; i < s.n && i < KL_INTS_MAX; i++)                                 \
            s.v[i] = s.v[i] == -1 ? KL_FFT_ALL : s.v[i];                                 \
        return call(at, __func__, &(form){#name "n", kind, inverse}, t, &s, &dims,       \
                    norm);                                                               \
    }
FFT(fft, WHOLE, false)
FFT(ifft, WHOLE, true)
FFT(rfft, FROM_REAL, false)
FFT(irfft, TO_REAL, true)
FFT(hfft, TO_REAL, false)
FFT(ihfft, FROM_REAL, true)

/* ---- frequencies ---- */

static kl_tensor *frequencies(const char *at, int64_t n, double d, kl_dtype dt,
                              int64_t count, int64_t negative)
{
    kl_call c = kl_compose(at);
    dt = dt == KL_DTYPE_NONE ? kl_get_default_dtype() : dt;
    kl_tensor *k = kl_arange_at(at, kl_arg_i(0), kl_arg_i(count), kl_arg_i(1), KL_I64);
    kl_tensor *low = k ? kl_ge_at(at, kl_arg_t(k), kl_arg_i(negative)) : NULL;
    k = low ? kl_where_at(at, low, kl_arg_t(kl_sub_at(at, kl_arg_t(k), kl_arg_i(n))),
                          kl_arg_t(k))
            : NULL;
    k = k ? kl_to_at(at, k, dt) : NULL;
    return kl_composed(
        &c, NULL, k ? kl_mul_at(at, kl_arg_t(k), kl_arg_d(1.0 / ((double)n * d))) : NULL);
}

kl_tensor *kl_fft_fftfreq_at(const char *at, int64_t n, double d, kl_dtype dt)
{
    return frequencies(at, n, d, dt, n, n / 2 + n % 2);
}

kl_tensor *kl_fft_rfftfreq_at(const char *at, int64_t n, double d, kl_dtype dt)
{
    return frequencies(at, n, d, dt, n / 2 + 1, kl_sat_add(n, 1));
}

static kl_tensor *shift(const char *at, kl_tensor *t, kl_ints dims, bool back)
{
    kl_call c = kl_compose(at);
    kl_ints by = {.n = dims.n ? dims.n : kl_rank(t)};
    for (int i = 0; dims.n == 0 && i < by.n; i++)
        dims.v[i] = i;
    dims.n = by.n;
    for (int i = 0; t && i < by.n; i++) {
        int axis;
        if (kl_dim_wrap(dims.v[i], t->rank, &axis))
            return kl_composed(&c, NULL, NULL);
        int64_t n = kl_extent(t, axis);
        by.v[i] = back ? (n + 1) / 2 : n / 2;
    }
    return kl_composed(&c, NULL,
                       by.n ? kl_roll_axes_at(at, t, by, dims)
                            : kl_to_at(at, t, kl_dtype_of(t)));
}

kl_tensor *kl_fft_fftshift_at(const char *at, kl_tensor *t, kl_ints dims)
{
    return shift(at, t, dims, false);
}

kl_tensor *kl_fft_ifftshift_at(const char *at, kl_tensor *t, kl_ints dims)
{
    return shift(at, t, dims, true);
}
