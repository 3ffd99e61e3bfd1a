/* sizes_trace.c: functions whose sizes the user left open. The function is traced at a
 * few sizes; what differs between the traces follows from the dimensions
 * (sizes_follow.c), and what does so in no known way is refused.
 *
 *   x: f32[B,4] at B = 7, 10, 20     reshape f32[28], f32[40], f32[80]  ->  f32[4*B] */
#include "function.h"
#include "sizes.h"

enum { FEW = 4, SOME = 7 }; /* traces, where sizes are sums and products; windows too */

typedef struct traces {
    kl_linear l[KL_TRACES];
    kl_follow f;
    kl_trace_fn fn;
    void *user;
    int nout;
    kl_input *sized; /* [nin], of one trace */
    const char **names;
} traces;

/* ---- sizes to trace at ---- */

static kl_status read_dimension(kl_follow *f, const kl_dimension *d)
{
    int64_t by = KL_MAX(d->divisor, 1), first = (KL_MAX(d->min, 2) + by - 1) / by * by;
    if (!d->name || d->min < 0 || d->max < d->min || d->max - first < 2 * by)
        return kl_fail(KL_ERR_ARG,
                       "dimension %s of %lld..%lld: an open one has three sizes above 1",
                       d->name ? d->name : "NULL", (long long)d->min, (long long)d->max);
    if (f->nsyms == KL_SIZE_SYMBOLS)
        return kl_fail(KL_ERR_ARG, "a function of more than %d dimensions",
                       KL_SIZE_SYMBOLS);
    f->min[f->nsyms] = d->min;
    f->max[f->nsyms] = d->max;
    f->by[f->nsyms++] = by;
    return KL_OK;
}

/* Trace k's size of symbol s: unlike the others', of all remainders and orders of size; k
 * 0 is the smallest. In a narrow range it is what steps around it meet. */
static int64_t size_of(const kl_follow *f, const kl_dimension *d, int s, int k,
                       int64_t least)
{
    static const int step[3][SOME] = {{0, 3, 77, 130, 22, 183, 111},
                                      {0, 41, 11, 150, 86, 223, 129},
                                      {0, 97, 190, 29, 239, 66, 148}};
    int64_t by = f->by[s], lo = (KL_MAX(d->min, 2) + by - 1) / by, hi = d->max / by;
    int64_t first = d->like / by > lo ? d->like / by : lo + least + 17 * s;
    int64_t more =
        k < SOME ? step[s % 3][k] + 8 * k * (s / 3) : k + (s * (k % 5) + s) % 8;
    if (first + 240 + 48 * (s / 3) <= hi)
        return by * (first + more);
    first = KL_MIN(first, lo + (hi - lo - 2) / 2);
    int64_t n = hi - first + 1;
    return by * (first + k * (n / 3 + 1 + s) % n);
}

/* Whether dimension i is the height of an image, say: what windows walk along. */
static bool is_inner(const kl_follow *f, int i)
{
    for (int k = 0; k < f->nin; k++)
        for (int a = 2; a < f->in[k].shape.n && a < KL_INTS_MAX; a++)
            if (f->in[k].shape.v[a] == KL_ANY(i))
                return true;
    return false;
}

/* From `least` on, or `inner`, or what is known to work. */
static void choose_sizes(kl_follow *f, int64_t least, int64_t inner)
{
    for (int i = 0, s = 0; i < f->ndims; i++)
        if (!f->dims[i].is) {
            int64_t from = is_inner(f, i) ? inner : least;
            for (int k = 0; k < KL_TRACES; k++)
                f->sym[k][s] = size_of(f, &f->dims[i], s, k, from);
            s++;
        }
}

/* ---- tracing ---- */

static kl_status check_inputs(const kl_follow *f)
{
    for (int i = 0; i < f->nin; i++)
        for (int a = 0; a < f->in[i].shape.n && a < KL_INTS_MAX; a++)
            if (-1 - f->in[i].shape.v[a] >= f->ndims)
                return kl_fail(KL_ERR_ARG, "input %d: there is no dimension number %lld",
                               i, (long long)(-1 - f->in[i].shape.v[a]));
    return KL_OK;
}

static const void *bytes_of(kl_lazy *n)
{
    const kl_memory *m = kl_lazy_mem(n);
    return n->small ? kl_lazy_small_bytes(n) : m && !m->device ? m->base : NULL;
}

/* What comes from outside is the same in all traces, and no table for one size. */
static kl_status check_captured(const kl_linear *a, const kl_linear *b, uint32_t first)
{
    for (uint32_t i = first; i < a->inputs.n && i < b->inputs.n; i++) {
        kl_lazy *x = a->inputs.v[i], *y = b->inputs.v[i];
        if (x == y)
            continue;
        const void *p = bytes_of(x), *q = bytes_of(y);
        bool same =
            p && q && x->dtype == y->dtype && kl_lazy_numel(x) == kl_lazy_numel(y);
        size_t n = (size_t)kl_lazy_numel(x) * kl_dtypes[x->dtype].size;
        if (!same || memcmp(p, q, n) != 0)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "elements that were computed while the function was traced "
                           "depend on its sizes");
    }
    return KL_OK;
}

static kl_status trace_at(traces *t, int k)
{
    const kl_follow *f = &t->f;
    const int64_t *at = f->value + (size_t)k * (size_t)f->ndims;
    for (int i = 0; i < f->nin; i++) {
        t->sized[i] = f->in[i];
        for (int a = 0; a < f->in[i].shape.n && a < KL_INTS_MAX; a++)
            if (f->in[i].shape.v[a] < 0)
                t->sized[i].shape.v[a] = at[-1 - f->in[i].shape.v[a]];
    }
    KL_TRY(kl_trace(t->fn, t->user, t->sized, f->nin, t->nout, true, &t->l[k]));
    return check_captured(&t->l[0], &t->l[k], (uint32_t)f->nin);
}

static kl_status trace_to(traces *t, int n)
{
    for (; t->f.n < n; t->f.n++)
        KL_TRY(trace_at(t, t->f.n));
    return KL_OK;
}

static void forget(traces *t)
{
    for (int k = 0; k < KL_TRACES; k++)
        kl_linear_free(&t->l[k]);
    t->f.n = 0;
}

/* Read to find out whether the traces agree, in memory of its own; again while that shows
 * which sizes are too small. */
static kl_status try_reading(kl_follow *f)
{
    kl_status st;
    do {
        kl_graph *g;
        kl_arena *a = kl_arena_new();
        f->raised = false;
        st = a ? kl_follow_read(f, a, &g) : kl_fail(KL_ERR_OOM, "out of memory");
        kl_arena_free(a);
    } while (st == KL_OK && f->raised);
    return st;
}

/* Read from so many traces, forgetting what fewer have said. */
static kl_status read_from(traces *t, int n, const int64_t *min)
{
    memcpy(t->f.min, min, sizeof t->f.min);
    t->f.vague = t->f.guessed = false;
    KL_TRY(trace_to(t, n));
    kl_status st = try_reading(&t->f);
    bool more = n == FEW ? t->f.vague : t->f.guessed;
    if (!more || n == KL_TRACES)
        return st;
    kl_error_clear();
    return read_from(t, n == FEW ? SOME : KL_TRACES, min);
}

static kl_status trace_from(traces *t, int64_t least, int64_t inner, const int64_t *min)
{
    forget(t);
    choose_sizes(&t->f, least, inner);
    KL_TRY(kl_follow_values(&t->f));
    return read_from(t, FEW, min);
}

/* Where sizes do not fit, others may. */
static kl_status trace_all(traces *t)
{
    static const int64_t least[] = {5, 38, 230}, inner[] = {230, 38, 5};
    int64_t min[KL_SIZE_SYMBOLS];
    kl_status st = KL_OK;
    memcpy(min, t->f.min, sizeof min);
    for (size_t i = 0; i < KL_COUNT(least); i++) {
        if (i)
            kl_error_clear();
        st = trace_from(t, least[i], inner[i], min);
        if (st != KL_ERR_SHAPE)
            break;
    }
    return st;
}

static kl_function *from_traces(traces *t, const int *donated)
{
    kl_follow *f = &t->f;
    for (int i = 0; i < f->ndims; i++)
        if (!f->dims[i].is && read_dimension(f, &f->dims[i]) != KL_OK)
            return NULL;
    if (check_inputs(f) != KL_OK || trace_all(t) != KL_OK)
        return NULL;
    for (int i = 0; i < f->nin; i++)
        t->names[i] = f->in[i].name;
    return kl_function_from(&t->l[0], f->nin, t->names, donated, f);
}

kl_function *kl_compile_sized_at(const char *at, kl_trace_fn fn, void *user,
                                 const kl_input *in, int nin, int nout,
                                 const kl_dimension *dims, int ndims)
{
    return kl_compile_sized_donating_at(at, fn, user, in, nin, nout, NULL, dims, ndims);
}

kl_function *kl_compile_sized_donating_at(const char *at, kl_trace_fn fn, void *user,
                                          const kl_input *in, int nin, int nout,
                                          const int *donated, const kl_dimension *dims,
                                          int ndims)
{
    kl_call c = kl_call_begin(at);
    kl_function *f = NULL;
    size_t n = (size_t)KL_MAX(nin, 0) + 1, m = KL_TRACES * (size_t)KL_MAX(ndims, 0) + 1;
    traces t = {.fn = fn, .user = user, .nout = nout};
    t.f = (kl_follow){.dims = dims, .ndims = ndims, .in = in, .nin = nin, .trace = t.l};
    t.f.value = kl_alloc(m * sizeof *t.f.value);
    t.sized = kl_alloc(n * sizeof *t.sized);
    t.names = kl_alloc(n * sizeof *t.names);
    if (t.f.value && t.sized && t.names && kl_arg_given(in, nin, "the list of inputs") &&
        kl_arg_given(dims, ndims, "the list of dimensions"))
        f = from_traces(&t, donated);
    else if (!kl_failed())
        kl_fail(KL_ERR_OOM, "out of memory for %d inputs", nin);
    forget(&t);
    kl_free(t.f.value, m * sizeof *t.f.value);
    kl_free(t.sized, n * sizeof *t.sized);
    kl_free(t.names, n * sizeof *t.names);
    kl_call_done(&c, KL_OK);
    return f;
}
