/* random_more.c: numbers of other distributions, by inverting their cumulative functions.
 *
 *   exponential of rate l  =  -log(1 - u) / l,  u uniform in [0, 1) */
#include "terms.h"

/* A tensor like t: f of uniform numbers, rounded to its dtype. */
static kl_lazy *uniform_like(kl_tensor *t)
{
    kl_dtype dt = kl_dtype_of(t);
    if (t && !kl_is_float(dt) && !kl_is_int(dt)) {
        kl_fail(KL_ERR_DTYPE, "random numbers: not implemented for '%s'",
                kl_dtypes[dt].scalar);
        return NULL;
    }
    return t ? kl_n_rand(dt == KL_F64 ? KL_F64 : KL_F32, t->rank, kl_t_shape(t))
             : kl_arg_tensor(t);
}

static kl_tensor *done(kl_call *c, kl_tensor *t, kl_lazy *r)
{
    return kl_call_end(c, r ? kl_n_cast(r, kl_dtype_of(t)) : NULL);
}

static kl_lazy *log_rest(kl_lazy *u)
{
    return un(KL_OP_log1p, neg(u)); /* log(1 - u): u is below 1 */
}

kl_tensor *kl_exponential_at(const char *at, kl_tensor *t, double rate)
{
    kl_call c = kl_call_begin(at);
    if (!(rate > 0)) {
        kl_fail(KL_ERR_ARG, "exponential_ expects lambda > 0.0, but found lambda=%g",
                rate);
        return kl_call_end(&c, NULL);
    }
    return done(&c, t, times(log_rest(uniform_like(t)), -1 / rate));
}

kl_tensor *kl_cauchy_at(const char *at, kl_tensor *t, double median, double sigma)
{
    kl_call c = kl_call_begin(at);
    if (!(sigma > 0)) {
        kl_fail(KL_ERR_ARG, "cauchy_ expects sigma > 0.0, but found sigma=%g", sigma);
        return kl_call_end(&c, NULL);
    }
    kl_lazy *x = un(KL_OP_tan, times(plus(uniform_like(t), -0.5), 3.1415926535897932385));
    return done(&c, t, plus(times(x, sigma), median));
}

/* How many trials of probability p until the first success. */
kl_tensor *kl_geometric_at(const char *at, kl_tensor *t, double p)
{
    kl_call c = kl_call_begin(at);
    if (!(p > 0 && p < 1)) {
        kl_fail(KL_ERR_ARG, "geometric_ expects p to be in (0, 1), but got p=%g", p);
        return kl_call_end(&c, NULL);
    }
    kl_lazy *n = un(KL_OP_ceil, times(log_rest(uniform_like(t)), 1 / log1p(-p)));
    return done(&c, t, kl_n_binc(KL_OP_max, n, 1));
}

kl_tensor *kl_log_normal_at(const char *at, kl_tensor *t, double mean, double std)
{
    kl_call c = kl_call_begin(at);
    if (!(std > 0)) {
        kl_fail(KL_ERR_ARG, "log_normal_ expects std > 0.0, but found std=%g", std);
        return kl_call_end(&c, NULL);
    }
    kl_lazy *like = uniform_like(t);
    kl_lazy *n = like ? kl_n_randn(type(like), t->rank, kl_t_shape(t)) : NULL;
    return done(&c, t, un(KL_OP_exp, plus(times(n, std), mean)));
}

/* drawn, with a fault where a row of weights is none to draw from. */
static kl_tensor *drawable(const char *at, kl_tensor *weights, kl_tensor *drawn)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *w = kl_arg_tensor(weights), *r = kl_arg_tensor(drawn);
    if (!w || !r)
        return kl_call_end(&c, NULL);
    const int64_t one = 1;
    uint64_t axis = UINT64_C(1) << (w->rank - 1);
    kl_lazy *zero = kl_n_const((kl_dtype)w->dtype, 0);
    kl_lazy *low = kl_n_bin(KL_OP_le, zero, kl_n_reduce(KL_OP_min, w, axis, true));
    kl_lazy *high = kl_n_bin(KL_OP_lt, kl_n_reduce(KL_OP_max, w, axis, true),
                             kl_n_const((kl_dtype)w->dtype, INFINITY));
    kl_lazy *some = kl_n_bin(KL_OP_lt, zero, kl_n_reduce(KL_OP_add, w, axis, true));
    kl_lazy *fault =
        kl_n_where(kl_n_bin(KL_OP_and, low, high),
                   kl_n_where(some, kl_n_const_int(KL_I64, 0), kl_n_const_int(KL_I64, 2)),
                   kl_n_const_int(KL_I64, 1));
    kl_lazy *none = kl_n_rows(kl_n_iota(KL_I64, 1, &one, 0), fault, KL_WEIGHTS);
    return kl_call_end(&c, kl_n_bin(KL_OP_add, r, none));
}

/* n draws a row of weights: of numbers by the running sum, or, each once, by the n first
 * arrivals at rates of the weights. */
kl_tensor *kl_multinomial_at(const char *at, kl_tensor *weights, int64_t n, bool again)
{
    kl_call c = kl_compose(at);
    int64_t classes = kl_extent(weights, -1);
    if (!weights || kl_rank(weights) < 1 || kl_rank(weights) > 2 ||
        !kl_is_float(kl_dtype_of(weights)) || n < 1 || (!again && n > classes)) {
        kl_fail(KL_ERR_ARG, "multinomial: needs 1 or 2 dimensions of real weights, and "
                            "cannot sample n_sample > prob_dist.size(-1) samples without "
                            "replacement");
        return kl_composed(&c, NULL, NULL);
    }
    kl_tensor *w =
        kl_to_at(at, weights, kl_dtype_of(weights) == KL_F64 ? KL_F64 : KL_F32);
    kl_tensor *r = NULL, *ignored;
    if (again) {
        kl_ints s = kl_shape_of(w);
        s.v[s.n - 1] = n;
        kl_tensor *u = kl_rand_at(at, s, kl_dtype_of(w)), *sum = kl_cumsum_at(at, w, -1);
        kl_tensor *all = kl_narrow_at(at, sum, -1, classes - 1, 1);
        kl_tensor *x = kl_mul_at(at, kl_arg_t(u), kl_arg_t(all));
        r = kl_searchsorted_at(at, sum, kl_arg_t(x), true);
    } else {
        kl_tensor *e = kl_exponential_at(at, w, 1);
        kl_tensor *rate = kl_div_at(at, kl_arg_t(w), kl_arg_t(e));
        ignored = kl_topk_at(at, rate, n, -1, true, &r);
        r = ignored ? r : NULL;
    }
    return kl_composed(&c, __func__, r ? drawable(at, w, r) : NULL);
}
