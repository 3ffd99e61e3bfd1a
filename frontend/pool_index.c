/* pool_index.c: pooling by places: the reverse of max_pool, and windows at random places.
 *
 *   fractional_max_pool(x [N,C,H,W])  ->  first rows and columns of windows [N,C,h],
 * [N,C,w] places [N,C,h,w,kh kw] in x's H W; the largest there
 *
 * Reference: Graham, "Fractional max-pooling" (2014). */
#include "factor.h"

/* ---- max_pool's reverse ---- */

/* in: x and places, [.., count]; opt 0: how many places there are. */
static bool unpool_forward(const char *at, kl_tensor *const *in, const int64_t *opt,
                           kl_tensor **out)
{
    kl_ints shape = kl_shape_of(in[0]);
    shape.v[shape.n - 1] = opt[0];
    kl_tensor *zero = kl_full_at(at, shape, kl_arg_i(0), kl_dtype_of(in[0]));
    out[0] = zero ? kl_scatter_at(at, zero, -1, in[1], T(in[0]), NULL) : NULL;
    return out[0] != NULL;
}

/* Of several values at one place each gets the gradient there, as in PyTorch. */
static void unpool_back(const kl_diff *d)
{
    d->dx[0] = d->dy[0] ? kl_gather_at(d->at, d->dy[0], -1, d->in[1]) : NULL;
}

static const kl_factor unpool_rule = {2, 1, 1, unpool_forward, unpool_back};

static bool same_shape(kl_tensor *a, kl_tensor *b)
{
    return a->rank == b->rank &&
           memcmp(kl_t_shape(a), kl_t_shape(b), a->rank * sizeof(int64_t)) == 0;
}

/* The last dims axes as one. */
static kl_tensor *flattened(const char *at, kl_tensor *t, int dims)
{
    return kl_flatten_at(at, t, t->rank - dims, t->rank - 1);
}

kl_tensor *kl_max_unpool_at(const char *at, kl_tensor *x, kl_tensor *index, int dims,
                            kl_ints out)
{
    kl_call c = kl_compose(at);
    if (!x || !index)
        return kl_composed(&c, NULL, NULL);
    int lead = x->rank - dims;
    if (lead < 1 || out.n != dims || !same_shape(x, index)) {
        kl_fail(KL_ERR_SHAPE, "max_unpool: Expected shape of indices to be same as that "
                              "of the input tensor");
        return kl_composed(&c, NULL, NULL);
    }
    int64_t opt[KL_FACTOR_OPT] = {1};
    kl_ints shape = kl_shape_of(x);
    for (int k = 0; k < dims; k++)
        opt[0] = kl_sat_mul(opt[0], shape.v[lead + k] = out.v[k]);
    kl_tensor *in[2] = {flattened(at, x, dims), flattened(at, index, dims)}, *r = NULL;
    bool ok = in[0] && in[1] && kl_factor_apply(at, &unpool_rule, in, opt, &r);
    return kl_composed(&c, __func__, ok ? kl_reshape_at(at, r, shape) : NULL);
}

/* ---- windows at random places ---- */

/* The first elements of n windows of k among `extent`, [N, C, n], by a sample each [N,
 * C]: floor((i + sample) a) - floor(sample a), the last one at the end. */
static kl_tensor *first_places(const char *at, kl_tensor *sample, int64_t extent,
                               int64_t k, int64_t n)
{
    kl_dtype dt = kl_dtype_of(sample);
    double a = n > 1 ? (double)(extent - k) / (double)(n - 1) : 0;
    kl_tensor *step = kl_scalar_at(at, kl_arg_d(a), dt), *s = column(at, sample);
    kl_tensor *i = kl_arange_at(at, kl_arg_i(0), kl_arg_i(n), kl_arg_i(1), dt);
    kl_tensor *to = mul(at, plus(at, s, i), step), *from = mul(at, s, step);
    kl_tensor *r =
        to && from ? minus(at, kl_floor_at(at, T(to)), kl_floor_at(at, T(from))) : NULL;
    kl_tensor *last = i ? kl_eq_at(at, T(i), kl_arg_i(n - 1)) : NULL;
    r = r && last ? kl_where_at(at, last, kl_arg_i(extent - k), T(r)) : NULL;
    return r ? kl_to_at(at, r, KL_I64) : NULL;
}

/* Places of all windows along an axis, [N, C, n, k], then with axes of 1 for the others':
 * n stands at axis 2 + i of dims, k at 2 + dims + i. */
static kl_tensor *places_along(const char *at, kl_tensor *first, int64_t k, int dims,
                               int i)
{
    kl_tensor *within = kl_arange_at(at, kl_arg_i(0), kl_arg_i(k), kl_arg_i(1), KL_I64);
    kl_tensor *p = plus(at, column(at, first), within);
    kl_ints shape = {.n = 2 + 2 * dims};
    for (int j = 0; j < shape.n; j++)
        shape.v[j] = j < 2 ? kl_extent(p, j) : 1;
    shape.v[2 + i] = kl_extent(p, 2);
    shape.v[2 + dims + i] = k;
    return p ? kl_reshape_at(at, p, shape) : NULL;
}

/* Places in the flattened last axes, [N, C, windows, k..]. The samples are of x's axes
 * from the first one, in two dimensions from the last one. */
static kl_tensor *all_places(const char *at, kl_tensor *x, int dims, kl_ints size,
                             kl_ints out, kl_tensor *samples)
{
    kl_tensor *all = NULL;
    int64_t windows = 1, elements = 1;
    for (int i = 0; i < dims; i++) {
        int64_t extent = kl_extent(x, 2 + i);
        kl_tensor *s = kl_select_at(at, samples, 2, dims == 2 ? 1 - i : i);
        kl_tensor *f = s ? first_places(at, s, extent, size.v[i], out.v[i]) : NULL;
        kl_tensor *p = f ? places_along(at, f, size.v[i], dims, i) : NULL;
        all = all ? plus(at, kl_mul_at(at, T(all), kl_arg_i(extent)), p) : p;
        windows = kl_sat_mul(windows, out.v[i]);
        elements = kl_sat_mul(elements, size.v[i]);
        if (!all)
            return NULL;
    }
    return kl_reshape_at(at, all,
                         kl_shape(kl_extent(x, 0), kl_extent(x, 1), windows, elements));
}

static kl_status check_fractional(kl_tensor *x, int dims, kl_ints size, kl_ints out,
                                  kl_tensor *samples)
{
    char s[128];
    if (x->rank != dims + 1 && x->rank != dims + 2)
        return kl_fail(
            KL_ERR_SHAPE,
            "fractional_max_pool%dd(): Expected %dD or %dD tensor, but got: %s", dims,
            dims + 1, dims + 2, kl_ints_text(kl_shape_of(x), s, sizeof s));
    if (samples->rank != 3)
        return kl_fail(KL_ERR_SHAPE,
                       "Expect _random_samples to have 3 dimensions, got %d",
                       samples->rank);
    if (kl_extent(samples, 1) != kl_extent(x, -dims - 1))
        return kl_fail(KL_ERR_SHAPE,
                       "Expect _random_samples.size(1) equals to input channel size.");
    for (int i = 0; i < dims; i++) {
        if (size.v[i] < 1)
            return kl_fail(KL_ERR_ARG,
                           "fractional_max_pool%dd(): kernel size should be greater than "
                           "zero, but got %lld",
                           dims, (long long)size.v[i]);
        if (out.v[i] < 1 || kl_sat_add(out.v[i], size.v[i] - 1) > kl_extent(x, i - dims))
            return kl_fail(
                KL_ERR_SHAPE,
                "fractional_max_pool%dd(): pool size %lld too large relative to "
                "input size %lld",
                dims, (long long)size.v[i], (long long)kl_extent(x, i - dims));
    }
    return KL_OK;
}

kl_tensor *kl_fractional_max_pool_at(const char *at, kl_tensor *x, int dims, kl_ints size,
                                     kl_ints out, kl_tensor *samples, kl_tensor **index)
{
    kl_call c = kl_compose(at);
    kl_tensor *r[2] = {NULL};
    int64_t full[2][3];
    if (!x || !samples || !kl_per_axis(size, dims, 1, full[0]) ||
        !kl_per_axis(out, dims, 1, full[1]))
        return kl_composed(&c, NULL, NULL);
    size = kl_ints_of(dims, full[0]), out = kl_ints_of(dims, full[1]);
    if (check_fractional(x, dims, size, out, samples))
        return kl_composed(&c, NULL, NULL);
    bool batch = x->rank == dims + 2;
    kl_tensor *b = batch ? x : kl_unsqueeze_at(at, x, 0), *flat = flattened(at, b, dims);
    kl_tensor *place = flat ? all_places(at, b, dims, size, out, samples) : NULL;
    kl_tensor *p = place ? flattened(at, place, 2) : NULL;
    kl_tensor *v = p ? kl_gather_at(at, kl_detach_at(at, flat), -1, p) : NULL;
    v = v ? kl_reshape_at(at, v, kl_shape_of(place)) : NULL;
    kl_tensor *which = v ? kl_argmax_at(at, v, -1, true) : NULL;
    place =
        which ? kl_squeeze_at(at, kl_gather_at(at, place, -1, which), kl_axes(-1)) : NULL;
    kl_ints shape = kl_shape_of(x);
    for (int i = 0; i < dims; i++)
        shape.v[shape.n - dims + i] = out.v[i];
    r[0] = place ? kl_reshape_at(at, kl_gather_at(at, flat, -1, place), shape) : NULL;
    r[1] = place ? kl_reshape_at(at, place, shape) : NULL;
    bool ok = kl_composed_all(&c, __func__, r[0] && r[1], r, 2);
    *index = r[1];
    return ok ? r[0] : NULL;
}
