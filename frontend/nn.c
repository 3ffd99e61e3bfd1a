/* nn.c: layers of kiln/nn.h, composed of primitives.
 *
 *   layer_norm(x)  ->  d = x - mean x;  d / sqrt(mean d^2 + eps) * w + b
 *
 * Statistics are made in f32 for halves and the result is rounded once at the end. */
#include "math_compose.h"

kl_tensor *kl_softmax_at(const char *at, kl_tensor *x, int dim)
{
    int axis = 0;
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (!a || kl_dim_wrap(dim, a->rank, &axis) != KL_OK)
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, kl_n_softmax(a, axis));
}

kl_tensor *kl_log_softmax_at(const char *at, kl_tensor *x, int dim)
{
    int axis = 0;
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (!a || kl_dim_wrap(dim, a->rank, &axis) != KL_OK)
        return kl_call_end(&c, NULL);
    return kl_call_end(&c, kl_n_log_softmax(a, axis));
}

/* As PyTorch says it of matrices: the input's rows, whatever their axes, and the weight
 * turned. */
static void refuse_linear(kl_lazy *a, kl_lazy *k)
{
    char sa[128], sk[128];
    kl_ints ia = kl_ints_of(a->rank, kl_lazy_shape(a)),
            ik = kl_ints_of(k->rank, kl_lazy_shape(k));
    long long last = a->rank ? kl_lazy_shape(a)[a->rank - 1] : 0;
    if (a->rank < 2 || k->rank != 2)
        kl_fail(KL_ERR_SHAPE, "linear: input %s and weight %s do not fit",
                kl_ints_text(ia, sa, sizeof sa), kl_ints_text(ik, sk, sizeof sk));
    else
        kl_fail(
            KL_ERR_SHAPE,
            "linear: mat1 and mat2 shapes cannot be multiplied (%lldx%lld and %lldx%lld)",
            (long long)kl_count(a->rank - 1, kl_lazy_shape(a)), last,
            (long long)kl_lazy_shape(k)[1], (long long)kl_lazy_shape(k)[0]);
}

kl_tensor *kl_linear_at(const char *at, kl_tensor *x, kl_tensor *w, kl_tensor *b)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *k = kl_arg_tensor(w),
            *bias = b ? kl_arg_tensor(b) : NULL;
    if (!a || !k || (b && !bias))
        return kl_call_end(&c, NULL);
    if (k->rank == 1 && a->rank >= 1 &&
        kl_lazy_shape(a)[a->rank - 1] == kl_lazy_shape(k)[0]) { /* one output, no axis */
        kl_lazy *y = kl_n_matmul(a, k);
        return kl_call_end(&c, bias ? kl_n_bin(KL_OP_add, y, bias) : y);
    }
    if (a->rank < 1 || k->rank != 2 ||
        kl_lazy_shape(a)[a->rank - 1] != kl_lazy_shape(k)[1]) {
        refuse_linear(a, k);
        return kl_call_end(&c, NULL);
    }
    c.fn = bias ? c.fn : "kl_linear_plain_at"; /* named apart: grad_node.c */
    return kl_call_end(&c, kl_n_linear(a, k, bias));
}

/* ---- norms ---- */

static kl_lazy *scaled(kl_lazy *y, kl_lazy *w, kl_lazy *b)
{
    if (w)
        y = kl_n_bin(KL_OP_mul, y, kl_n_widen(w));
    return b ? kl_n_bin(KL_OP_add, y, kl_n_widen(b)) : y;
}

static kl_lazy *inverse_root(kl_lazy *v, double eps)
{
    kl_lazy *d = kl_n_binc(KL_OP_add, v, eps);
    if (d && kl_is_complex((kl_dtype)d->dtype))
        return kl_c_rsqrt(d);
    return kl_n_cbin(KL_OP_div, 1, kl_n_un(KL_OP_sqrt, d));
}

/* (x - mean) / sqrt(var + eps) over the axes. */
static kl_lazy *normalised(kl_lazy *x, uint64_t axes, double eps)
{
    kl_lazy *d = kl_n_bin(KL_OP_sub, x, kl_n_mean(x, axes, true));
    kl_lazy *v = kl_n_mean(kl_n_square(d), axes, true);
    return kl_n_bin(KL_OP_mul, d, inverse_root(v, eps));
}

static uint64_t last_axes(const kl_lazy *a, int dims)
{
    uint64_t mask = 0;
    for (int i = 0; i < dims; i++)
        mask |= UINT64_C(1) << (a->rank - 1 - i);
    return mask;
}

static bool good_dims(const char *fn, const kl_lazy *a, int dims)
{
    if (dims >= 1 && dims <= a->rank)
        return true;
    kl_fail(KL_ERR_ARG, "%s: %d axes to normalise of a tensor of %d", fn, dims, a->rank);
    return false;
}

static kl_tensor *norm(const char *at, const char *fn, kl_tensor *x, int dims,
                       kl_tensor *w, kl_tensor *b, double eps, bool centred)
{
    kl_call c = kl_call_enter(at, fn);
    kl_lazy *a = kl_arg_tensor(x), *g = w ? kl_arg_tensor(w) : NULL,
            *s = b ? kl_arg_tensor(b) : NULL;
    if (!a || (w && !g) || (b && !s) || !good_dims(fn, a, dims))
        return kl_call_end(&c, NULL);
    kl_lazy *f = kl_n_widen(a), *y;
    uint64_t axes = last_axes(a, dims);
    if (centred)
        y = normalised(f, axes, eps);
    else
        y = kl_n_bin(KL_OP_mul, f,
                     inverse_root(kl_n_mean(kl_n_square(f), axes, true), eps));
    return kl_call_end(&c, kl_n_cast(scaled(y, g, s), (kl_dtype)a->dtype));
}

kl_tensor *kl_layer_norm_at(const char *at, kl_tensor *x, int dims, kl_tensor *w,
                            kl_tensor *b, double eps)
{
    return norm(at, "layer_norm", x, dims, w, b, eps, true);
}

kl_tensor *kl_rms_norm_at(const char *at, kl_tensor *x, int dims, kl_tensor *w,
                          double eps)
{
    return norm(at, "rms_norm", x, dims, w, NULL, eps, false);
}

/* A vector over channels as [C, 1, ..] beside x [N, C, ..]. */
static kl_lazy *per_channel(kl_lazy *v, const kl_lazy *x)
{
    int64_t shape[KL_MAX_RANK] = {0};
    if (!v)
        return NULL;
    for (int i = 0; i < x->rank - 1; i++)
        shape[i] = i ? 1 : kl_lazy_shape(v)[0];
    return kl_n_reshape(kl_n_widen(v), x->rank - 1, shape);
}

kl_tensor *kl_group_norm_at(const char *at, kl_tensor *x, int groups, kl_tensor *w,
                            kl_tensor *b, double eps)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *g = w ? kl_arg_tensor(w) : NULL,
            *s = b ? kl_arg_tensor(b) : NULL;
    if (!a || (w && !g) || (b && !s))
        return kl_call_end(&c, NULL);
    if (a->rank < 2 || groups < 1 || kl_lazy_shape(a)[1] % groups != 0) {
        kl_fail(KL_ERR_SHAPE, "group_norm: %d groups of %lld channels", groups,
                a->rank < 2 ? 0LL : (long long)kl_lazy_shape(a)[1]);
        return kl_call_end(&c, NULL);
    }
    int64_t n = kl_lazy_shape(a)[0], all = kl_lazy_numel(a), flat[3] = {n, groups, 0};
    flat[2] = n ? all / (n * groups) : 0;
    kl_lazy *y = normalised(kl_n_reshape(kl_n_widen(a), 3, flat), 4, eps);
    y = kl_n_reshape(y, a->rank, kl_lazy_shape(a));
    y = scaled(y, per_channel(g, a), per_channel(s, a));
    return kl_call_end(&c, kl_n_cast(y, (kl_dtype)a->dtype));
}

/* run += momentum * (now - run), in place and outside the gradient. */
static kl_status move_towards(kl_tensor *run, kl_lazy *now, double momentum)
{
    kl_lazy *read = run ? kl_tensor_read(run) : NULL, *old = kl_n_widen(read);
    if (!run)
        return KL_OK;
    now = old ? kl_n_cast(kl_n_detach(now), (kl_dtype)old->dtype) : NULL;
    kl_lazy *step = kl_n_binc(KL_OP_mul, kl_n_bin(KL_OP_sub, now, old), momentum);
    kl_lazy *next = kl_n_bin(KL_OP_add, old, step);
    return next ? kl_tensor_write(run, kl_n_cast(next, (kl_dtype)read->dtype))
                : kl_error_status();
}

/* Statistics and scales hold one number a channel, or are absent. */
static bool fit_channels(int64_t channels, kl_tensor *const parts[4])
{
    static const char *const names[] = {"running_mean", "running_var", "weight", "bias"};
    for (int i = 0; i < 4; i++) {
        kl_lazy *v = parts[i] ? kl_arg_tensor(parts[i]) : NULL;
        if (v && kl_lazy_numel(v) != channels) {
            kl_fail(KL_ERR_SHAPE, "%s should contain %lld elements not %lld", names[i],
                    (long long)channels, (long long)kl_lazy_numel(v));
            return false;
        }
    }
    return true;
}

kl_tensor *kl_batch_norm_at(const char *at, kl_tensor *x, kl_tensor *mean, kl_tensor *var,
                            kl_tensor *w, kl_tensor *b, bool training, double momentum,
                            double eps)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x), *g = w ? kl_arg_tensor(w) : NULL,
            *s = b ? kl_arg_tensor(b) : NULL;
    if (!a || (w && !g) || (b && !s))
        return kl_call_end(&c, NULL);
    if (kl_lazy_numel(a) == 0)
        return kl_call_end(&c, kl_n_copy(a));
    if (a->rank < 2 || (!training && (!mean || !var))) {
        kl_fail(KL_ERR_ARG, a->rank < 2
                                ? "batch_norm: a tensor of fewer than 2 axes"
                                : "batch_norm: no running statistics to evaluate with");
        return kl_call_end(&c, NULL);
    }
    uint64_t axes = ((UINT64_C(1) << a->rank) - 1) & ~UINT64_C(2);
    kl_lazy *f = kl_n_widen(a), *m, *v;
    int64_t channels = kl_lazy_shape(a)[1],
            count = kl_lazy_numel(a) / KL_MAX(channels, 1);
    if (!fit_channels(channels, (kl_tensor *const[]){mean, var, w, b}))
        return kl_call_end(&c, NULL);
    if (training) {
        m = kl_n_mean(f, axes, true);
        v = kl_n_mean(kl_n_square(kl_n_bin(KL_OP_sub, f, m)), axes, true);
        kl_lazy *unbiased =
            kl_n_binc(KL_OP_mul, v, (double)count / (double)KL_MAX(count - 1, 1));
        if (move_towards(mean, kl_n_reshape(m, 1, &channels), momentum) != KL_OK ||
            move_towards(var, kl_n_reshape(unbiased, 1, &channels), momentum) != KL_OK)
            return kl_call_end(&c, NULL);
    } else {
        m = per_channel(kl_arg_tensor(mean), a);
        v = per_channel(kl_arg_tensor(var), a);
    }
    kl_lazy *y = kl_n_bin(KL_OP_mul, kl_n_bin(KL_OP_sub, f, m), inverse_root(v, eps));
    y = scaled(y, per_channel(g, a), per_channel(s, a));
    return kl_call_end(&c, kl_n_cast(y, (kl_dtype)a->dtype));
}

/* ---- others ---- */

kl_tensor *kl_embedding_at(const char *at, kl_tensor *index, kl_tensor *weight)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *i = kl_arg_tensor(index), *w = kl_arg_tensor(weight);
    if (!i || !w)
        return kl_call_end(&c, NULL);
    if (w->rank != 2) {
        kl_fail(KL_ERR_ARG, "'weight' must be 2-D");
        return kl_call_end(&c, NULL);
    }
    if (!kl_is_int((kl_dtype)i->dtype)) {
        kl_fail(KL_ERR_DTYPE,
                "Expected tensor for argument #1 'indices' to have one of the following "
                "scalar types: Long, Int; but got torch.%sTensor instead (while checking "
                "arguments for embedding)",
                kl_dtypes[i->dtype].scalar);
        return kl_call_end(&c, NULL);
    }
    return kl_call_end(&c, kl_n_rows(w, kl_n_cast(i, KL_I64), KL_SELECTED));
}

kl_tensor *kl_dropout_at(const char *at, kl_tensor *x, double p, bool training)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(x);
    if (!a)
        return kl_call_end(&c, NULL);
    if (!(p >= 0 && p <= 1)) {
        kl_fail(KL_ERR_ARG, "dropout probability has to be between 0 and 1, but got %g",
                p);
        return kl_call_end(&c, NULL);
    }
    if (!training || p == 0)
        return kl_call_end(&c, kl_n_copy(a));
    kl_lazy *u = kl_n_rand(KL_F32, a->rank, kl_lazy_shape(a));
    kl_lazy *kept = kl_n_binc(KL_OP_mul, a, p < 1 ? 1 / (1 - p) : 0);
    kl_lazy *drop = kl_n_binc(KL_OP_lt, u, p);
    return kl_call_end(
        &c, kept ? kl_n_where(drop, kl_n_const((kl_dtype)a->dtype, 0), kept) : NULL);
}
