/* linalg_rule.c: results of LAPACK with a derivative of our own (kl_custom), and the
 * checks of its operands and of what it reports.
 *
 *   L = cholesky(A)     forward: a call node, unrecorded; back: solves with L
 *
 * A rule keeps the operands as they were, and the raw results. When a derivative is
 * recorded to be differentiated again, the results are made anew from the operands. */
#include "factor.h"

/* ---- LAPACK on handles ---- */

void kl_lapack_sizes(kl_tensor *a, int64_t k, int64_t sizes[KL_LA_SIZES])
{
    int64_t m = kl_extent(a, -2), n = kl_extent(a, -1);
    memset(sizes, 0, KL_LA_SIZES * sizeof *sizes);
    sizes[KL_LA_BATCH] = kl_count(a->rank - 2, kl_t_shape(a));
    sizes[KL_LA_M] = m;
    sizes[KL_LA_N] = n;
    sizes[KL_LA_K] = k;
}

kl_lapack_out kl_lapack_like(kl_tensor *a, kl_dtype dt, int rank, int64_t x, int64_t y)
{
    kl_lapack_out o = {.dt = dt, .rank = a->rank - 2 + rank};
    memcpy(o.shape, kl_t_shape(a), (size_t)(a->rank - 2) * sizeof *o.shape);
    o.shape[a->rank - 2] = x;
    if (rank > 1)
        o.shape[a->rank - 1] = y;
    return o;
}

bool kl_lapack_tensors(const char *at, kl_lapack_routine routine, kl_tensor *const *in,
                       int nin, const int64_t sizes[KL_LA_SIZES],
                       const kl_lapack_out *types, int nout, kl_tensor **out)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *src[4], *r[KL_FACTOR_OUT + 1];
    bool ok = true;
    for (int i = 0; i < nin; i++)
        src[i] = kl_arg_tensor(in[i]);
    ok = kl_lapack_call(routine, (kl_dtype)in[0]->dtype, src, nin, sizes, types, nout, r);
    ok = ok && !(kl_thread()->exposed && kl_force(r, nout));
    for (int i = 0; i < nout && ok; i++) {
        out[i] = kl_tensor_wrap(r[i]);
        ok = out[i] && kl_scope_add(out[i]) == KL_OK;
    }
    kl_call_done(&c, KL_OK);
    return ok;
}

/* ---- rules ---- */

typedef struct saved {
    const kl_factor *rule;
    const char *at;
    int64_t opt[KL_FACTOR_OPT];
    kl_tensor *in[KL_FACTOR_IN], *out[KL_FACTOR_OUT]; /* references */
} saved;

static void drop(void *user)
{
    saved *s = user;
    for (int i = 0; i < KL_FACTOR_IN; i++)
        kl_tensor_unref(s->in[i]);
    for (int i = 0; i < KL_FACTOR_OUT; i++)
        kl_tensor_unref(s->out[i]);
    kl_free(s, sizeof *s);
}

/* A handle of what t is now, however it is written later. */
static kl_tensor *frozen(const char *at, kl_tensor *t)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = kl_arg_tensor(t);
    kl_tensor *f = n ? kl_tensor_wrap(n) : NULL;
    kl_call_done(&c, KL_OK);
    return f;
}

static kl_status back(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx, int nin)
{
    const saved *s = user;
    kl_tensor *all[KL_FACTOR_OUT] = {NULL}, *again[KL_FACTOR_OUT], *const *out = s->out;
    for (int i = 0; i < nout; i++)
        all[i] = dy[i];
    for (int i = 0; i < nin; i++)
        dx[i] = NULL;
    if (kl_grad_enabled()) {
        if (!kl_factor_apply(s->at, s->rule, s->in, s->opt, again))
            return kl_error_status();
        out = again;
    }
    s->rule->back(&(kl_diff){s->at, s->in, out, all, dx, s->opt});
    return kl_failed() ? kl_error_status() : KL_OK;
}

static bool tracked(const kl_factor *r, kl_tensor *const *in)
{
    bool any = false;
    for (int i = 0; i < r->nin; i++)
        any = any || kl_tracks(in[i]);
    return any && kl_grad_enabled();
}

bool kl_factor_apply(const char *at, const kl_factor *r, kl_tensor *const *in,
                     const int64_t opt[KL_FACTOR_OPT], kl_tensor **out)
{
    kl_no_grad_begin();
    bool ok = r->forward(at, in, opt, out);
    kl_no_grad_end();
    if (!ok || !tracked(r, in))
        return ok;
    saved *s = kl_alloc_zeroed(sizeof *s);
    if (!s)
        return kl_fail(KL_ERR_OOM, "out of memory for a derivative"), false;
    s->rule = r;
    s->at = kl_intern(at);
    memcpy(s->opt, opt, sizeof s->opt);
    for (int i = 0; i < r->nin; i++) {
        s->in[i] = frozen(at, in[i]);
        ok = ok && s->in[i];
    }
    for (int i = 0; i < r->nout; i++)
        s->out[i] = kl_tensor_ref(out[i]);
    if (!ok) {
        drop(s);
        return false;
    }
    return kl_custom_at(at, in, r->nin, out, r->ndiff, back, s, drop) == KL_OK;
}

bool kl_composed_all(kl_call *c, const char *fn, bool ok, kl_tensor **out, int n)
{
    kl_call_done(c, KL_OK);
    for (int i = 0; i < n; i++) {
        if (!ok)
            out[i] = NULL;
        else if (kl_keep(out[i]))
            out[i]->fn = fn;
    }
    kl_scope_drop();
    return ok;
}

/* ---- what LAPACK reports ---- */

int64_t kl_info_first(const char *at, kl_tensor *info, kl_tensor *const *with, int n,
                      int *value)
{
    kl_tensor *all[KL_FACTOR_OUT + 1];
    int64_t count = kl_numel(info), first = -1;
    *value = 0;
    if (kl_thread()->tracing)
        return -1;
    for (int i = 0; i < n; i++)
        all[i] = with[i];
    all[n] = info;
    int32_t *v = kl_alloc((size_t)count * sizeof *v + 1);
    if (v && kl_realize_all_at(at, all, n + 1) == KL_OK &&
        kl_copy_out_at(at, info, v, (size_t)count * sizeof *v) == KL_OK)
        for (int64_t i = count; i-- > 0;)
            if (v[i] != 0)
                first = i, *value = v[i];
    kl_free(v, (size_t)count * sizeof *v + 1);
    return first;
}

const char *kl_info_batch(kl_tensor *info, int64_t which, char buf[40])
{
    buf[0] = 0;
    if (info->rank > 0)
        snprintf(buf, 40, "(Batch element %lld): ", (long long)which);
    return buf;
}

kl_status kl_check_matrix(const char *fn, kl_tensor *a, bool square)
{
    if (!a)
        return KL_ERR_ARG;
    if (a->rank < 2)
        return kl_fail(KL_ERR_SHAPE,
                       "%s: The input tensor A must have at least 2 dimensions.", fn);
    kl_dtype dt = (kl_dtype)a->dtype;
    if (!kl_is_float(dt) && !kl_is_complex(dt))
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: Expected a floating point or complex tensor as input. Got %s",
                       fn, kl_dtypes[dt].scalar);
    if (dt == KL_F16 || dt == KL_BF16)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: Low precision dtypes not supported. Got %s", fn,
                       kl_dtypes[dt].scalar);
    if (square && kl_extent(a, -1) != kl_extent(a, -2))
        return kl_fail(KL_ERR_SHAPE,
                       "%s: A must be batches of square matrices, but they are %lld by "
                       "%lld matrices",
                       fn, (long long)kl_extent(a, -2), (long long)kl_extent(a, -1));
    return KL_OK;
}

kl_tensor *kl_identity_like(const char *at, kl_tensor *a)
{
    if (!a)
        return NULL;
    kl_tensor *eye =
        kl_eye_at(at, kl_extent(a, -1), kl_extent(a, -1), (kl_dtype)a->dtype);
    return eye ? kl_expand_at(at, eye, kl_shape_of(a)) : NULL;
}
