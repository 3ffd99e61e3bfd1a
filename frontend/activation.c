/* activation.c: activations with parameters, of kiln/nn.h. Each is PyTorch's, the
 * gradient at its kinks included; f16 and bf16 are computed in f32.
 *
 *   kl_hardtanh(x, lo, hi)  =  x <= lo ? lo : hi <= x ? hi : x */
#include "math_compose.h"
#include "terms.h"

/* x read for a function of reals; integers where the function has a meaning for them. */
static kl_lazy *read(kl_tensor *x, bool integers, kl_dtype *dt)
{
    kl_lazy *a = kl_arg_tensor(x);
    if (!a)
        return NULL;
    *dt = type(a);
    if (!kl_is_float(*dt) && !(integers && kl_is_int(*dt))) {
        kl_fail(KL_ERR_DTYPE, "activation: not implemented for '%s'",
                kl_dtypes[*dt].scalar);
        return NULL;
    }
    return kl_n_widen(a);
}

static kl_tensor *done(kl_call *c, kl_lazy *r, kl_dtype dt)
{
    return kl_call_end(c, r ? kl_n_cast(r, dt) : NULL);
}

kl_tensor *kl_elu_by_at(const char *at, kl_tensor *x, double alpha, double scale,
                        double input_scale)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, false, &dt), *on = above(a, 0);
    kl_lazy *low = kl_n_where(on, num(a, 0), a); /* its exponential stays finite */
    low = times(un(KL_OP_expm1, times(low, input_scale)), alpha * scale);
    return done(&c, kl_n_where(on, times(a, scale), low), dt);
}

kl_tensor *kl_celu_at(const char *at, kl_tensor *x, double alpha)
{
    kl_call c = kl_call_begin(at);
    if (alpha == 0) {
        kl_fail(KL_ERR_ARG, "ZeroDivisionError: alpha cannot be 0 for CELU");
        return kl_call_end(&c, NULL);
    }
    kl_tensor *r = kl_elu_by_at(at, x, alpha, 1, 1 / alpha);
    kl_call_done(&c, KL_OK);
    return r;
}

kl_tensor *kl_softplus_by_at(const char *at, kl_tensor *x, double beta, double threshold)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, false, &dt), *b = times(a, beta), *high = above(b, threshold);
    kl_lazy *safe = kl_n_where(high, num(a, 0), b);
    kl_lazy *soft = kl_n_binc(KL_OP_div, un(KL_OP_log1p, un(KL_OP_exp, safe)), beta);
    return done(&c, kl_n_where(high, a, soft), dt);
}

kl_tensor *kl_hardtanh_at(const char *at, kl_tensor *x, double lo, double hi)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, true, &dt);
    kl_lazy *top = kl_n_where(kl_n_cbin(KL_OP_le, hi, a), num(a, hi), a);
    return done(&c, kl_n_where(kl_n_binc(KL_OP_le, a, lo), num(a, lo), top), dt);
}

kl_tensor *kl_threshold_at(const char *at, kl_tensor *x, double threshold, double value)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, true, &dt);
    return done(&c, kl_n_where(kl_n_binc(KL_OP_le, a, threshold), num(a, value), a), dt);
}

kl_tensor *kl_hardshrink_at(const char *at, kl_tensor *x, double lambda)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, false, &dt);
    kl_lazy *in = kl_n_bin(KL_OP_and, kl_n_cbin(KL_OP_le, -lambda, a),
                           kl_n_binc(KL_OP_le, a, lambda));
    return done(&c, kl_n_where(in, num(a, 0), a), dt);
}

kl_tensor *kl_softshrink_at(const char *at, kl_tensor *x, double lambda)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, false, &dt);
    if (a && lambda < 0) {
        kl_fail(KL_ERR_ARG, "lambda must be greater or equal to 0, but found to be %g.",
                lambda);
        return kl_call_end(&c, NULL);
    }
    kl_lazy *low = kl_n_where(below(a, -lambda), plus(a, lambda), times(a, 0));
    return done(&c, kl_n_where(above(a, lambda), plus(a, -lambda), low), dt);
}

kl_tensor *kl_tanhshrink_at(const char *at, kl_tensor *x)
{
    kl_call c = kl_call_begin(at);
    kl_arg arg = kl_arg_t(x);
    kl_dtype dt = kl_arg_promote_float(1, &arg);
    if (kl_is_complex(dt)) {
        kl_lazy *z = kl_arg_tensor(x);
        return kl_call_end(&c, sub(z, kl_c_tanh(z)));
    }
    kl_lazy *a = kl_n_widen(kl_arg_read(arg, dt));
    return done(&c, sub(a, un(KL_OP_tanh, a)), dt);
}

/* One slope, or one a channel (the second dimension). */
kl_tensor *kl_prelu_at(const char *at, kl_tensor *x, kl_tensor *slope)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, false, &dt), *w = kl_arg_tensor(slope);
    if (!a || !w)
        return kl_call_end(&c, NULL);
    int64_t n = kl_lazy_numel(w), channels = a->rank > 1 ? kl_lazy_shape(a)[1] : 1;
    if (n != 1 && n != channels) {
        kl_fail(KL_ERR_SHAPE,
                "Mismatch of parameter numbers and input channel size. Found parameter "
                "numbers = %lld and channel size = %lld.",
                (long long)n, (long long)channels);
        return kl_call_end(&c, NULL);
    }
    int64_t shape[KL_MAX_RANK] = {n};
    int rank = n == 1 ? 0 : a->rank - 1;
    for (int i = 1; i < rank; i++)
        shape[i] = 1;
    w = kl_n_widen(kl_n_reshape(w, rank, shape));
    return done(&c, kl_n_where(above(a, 0), a, mul(a, w)), dt);
}

/* Where x is negative, a random slope in [lo, hi), or their mean. */
kl_tensor *kl_rrelu_at(const char *at, kl_tensor *x, double lo, double hi, bool training)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    kl_lazy *a = read(x, false, &dt), *slope = num(a, (lo + hi) / 2);
    if (a && training)
        slope = plus(times(kl_n_rand(type(a), a->rank, kl_lazy_shape(a)), hi - lo), lo);
    return done(&c, kl_n_where(kl_n_binc(KL_OP_le, a, 0), mul(a, slope), a), dt);
}

/* The first half along dim times the sigmoid of the second. */
kl_tensor *kl_glu_at(const char *at, kl_tensor *x, int dim)
{
    kl_call c = kl_call_begin(at);
    kl_dtype dt = KL_F32;
    int axis;
    kl_lazy *a = read(x, false, &dt);
    if (!a || kl_dim_wrap(dim, a->rank, &axis))
        return kl_call_end(&c, NULL);
    int64_t n = a->rank ? kl_lazy_shape(a)[axis] : 0;
    if (a->rank == 0)
        kl_fail(KL_ERR_SHAPE, "glu does not support 0-dimensional tensors");
    else if (n % 2)
        kl_fail(KL_ERR_SHAPE,
                "Halving dimension must be even, but dimension %d is size %lld", axis,
                (long long)n);
    if (a->rank == 0 || n % 2)
        return kl_call_end(&c, NULL);
    kl_lazy *gate = kl_n_sigmoid(kl_n_slice_axis(a, axis, n / 2, n / 2, 1));
    return done(&c, mul(kl_n_slice_axis(a, axis, 0, n / 2, 1), gate), dt);
}

kl_tensor *kl_softmin_at(const char *at, kl_tensor *x, int dim)
{
    kl_call c = kl_call_begin(at);
    int axis;
    kl_lazy *a = kl_arg_tensor(x);
    if (!a || kl_dim_wrap(dim, a->rank, &axis))
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, kl_n_softmax(neg(a), axis));
}
