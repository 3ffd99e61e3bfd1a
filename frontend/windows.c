/* windows.c: windows of signal processing, of kiln/create.h, and numbers evenly spread on
 * a logarithmic scale.
 *
 *   hann(n)  ->  0.5 - 0.5 cos(2 pi k / (n - 1)),  k = 0 .. n - 1; periodic: over n */
#include "math_compose.h"
#include "terms.h"

#define PI 3.1415926535897932385

/* 0 .. n - 1 in f64. */
static kl_lazy *steps(int64_t n)
{
    return kl_n_iota(KL_F64, 1, &n, 0);
}

static bool fits(const char *fn, int64_t n, kl_dtype dt)
{
    if (n < 0)
        kl_fail(KL_ERR_ARG, "%s requires non-negative window length, got M=%lld", fn,
                (long long)n);
    else if (!kl_is_float(dt))
        kl_fail(KL_ERR_DTYPE, "%s expects floating point dtypes, got: %s", fn,
                kl_dtypes[dt].torch_name);
    return n >= 0 && kl_is_float(dt);
}

/* One element is 1, whatever the formula. */
static kl_tensor *done(kl_call *c, kl_lazy *w, int64_t n, kl_dtype dt)
{
    if (n == 1)
        w = kl_n_full(KL_F64, 1, &n, 1);
    return kl_call_end(c, w ? kl_n_cast(w, dt) : NULL);
}

kl_tensor *kl_cosine_sum_at(const char *at, int64_t n, const double *a, int terms,
                            bool sym, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    dt = dt == KL_DTYPE_NONE ? kl_default() : dt;
    if (!fits("general_cosine", n, dt) ||
        !kl_arg_given(a, KL_MAX(terms, 1), "the list of terms"))
        return kl_call_end(&c, NULL);
    double unit = 2 * PI / (double)KL_MAX(sym ? n - 1 : n, 1);
    kl_lazy *k = steps(n), *sum = k ? kl_n_full(KL_F64, 1, &n, a[0]) : NULL;
    for (int i = 1; i < terms; i++) {
        kl_lazy *wave = un(KL_OP_cos, times(k, unit * i));
        sum = add(sum, times(wave, i % 2 ? -a[i] : a[i]));
    }
    return done(&c, sum, n, dt);
}

kl_tensor *kl_window_at(const char *at, kl_window_kind kind, int64_t n, double p,
                        bool sym, kl_dtype dt)
{
    static const char *const names[] = {"bartlett", "cosine", "exponential", "gaussian",
                                        "kaiser"};
    kl_call c = kl_call_begin(at);
    dt = dt == KL_DTYPE_NONE ? kl_default() : dt;
    if (!fits(names[kind], n, dt))
        return kl_call_end(&c, NULL);
    if ((kind == KL_WINDOW_EXPONENTIAL || kind == KL_WINDOW_GAUSSIAN) && !(p > 0)) {
        kl_fail(KL_ERR_ARG, "%s: its width must be positive, got: %g instead.",
                names[kind], p);
        return kl_call_end(&c, NULL);
    }
    double last = (double)KL_MAX(sym ? n - 1 : n, 1), mid = last / 2;
    kl_lazy *k = steps(n), *d = plus(k, -mid), *w = NULL; /* d: from the middle */
    switch (kind) {
    case KL_WINDOW_BARTLETT:
        w = kl_n_cbin(KL_OP_sub, 1, times(un(KL_OP_abs, d), 1 / mid));
        break;
    case KL_WINDOW_COSINE:
        w = un(KL_OP_sin, times(plus(k, 0.5), PI / ((double)n + !sym)));
        break;
    case KL_WINDOW_EXPONENTIAL:
        w = un(KL_OP_exp, times(un(KL_OP_abs, d), -1 / p));
        break;
    case KL_WINDOW_GAUSSIAN:
        w = un(KL_OP_exp, times(mul(d, d), -0.5 / (p * p)));
        break;
    case KL_WINDOW_KAISER: {
        kl_lazy *r = times(d, 1 / mid), *x = kl_n_cbin(KL_OP_sub, 1, mul(r, r));
        x = times(un(KL_OP_sqrt, kl_n_binc(KL_OP_max, x, 0)), p);
        w = over(kl_f_i0(x), kl_f_i0(num(x, p)));
        break;
    }
    }
    return done(&c, w, n, dt);
}

/* base to the powers from start to end */
kl_tensor *kl_logspace_at(const char *at, double start, double end, int64_t n,
                          double base, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    dt = dt == KL_DTYPE_NONE ? kl_default() : dt;
    if (n < 0) {
        kl_fail(KL_ERR_ARG, "number of steps must be non-negative");
        return kl_call_end(&c, NULL);
    }
    double step = n > 1 ? (end - start) / (double)(n - 1) : 0;
    /* the second half from the end, as PyTorch has it: both ends are exact */
    kl_lazy *k = steps(n), *up = plus(times(k, step), start);
    kl_lazy *down =
        kl_n_cbin(KL_OP_sub, end, times(kl_n_cbin(KL_OP_sub, (double)(n - 1), k), step));
    kl_lazy *e = kl_n_where(below(k, (double)(n / 2)), up, n > 1 ? down : up);
    kl_lazy *r = e ? kl_n_bin(KL_OP_pow, num(e, base), e) : NULL;
    return kl_call_end(&c, r ? kl_n_cast(r, dt) : NULL);
}
