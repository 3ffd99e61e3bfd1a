/* sizes_trace.c: functions whose sizes the user left open. The function is traced at a
 * few sizes; what differs between the traces follows from the dimensions (sizes_guess.c),
 * and what does so in no known way is refused.
 *
 *   x: f32[B,4] at B = 7, 11, 20     reshape f32[28], f32[44], f32[80]  ->  f32[4*B] */
#include "function.h"
#include "sizes.h"

typedef struct traces {
    kl_linear l[KL_EXAMPLES];
    kl_key_shape shape;
    int64_t *example[KL_EXAMPLES];
    kl_guess guess;
    const kl_dimension *dims;
    int ndims;
} traces;

/* Sizes unlike each other, within the dimension's range. */
static kl_status choose_sizes(traces *t)
{
    static const int64_t step[KL_EXAMPLES] = {0, 4, 13};
    for (int i = 0; i < t->ndims; i++) {
        const kl_dimension *d = &t->dims[i];
        if (!d->name || d->min < 0 || d->max < d->min || d->max - KL_MAX(d->min, 2) < 2)
            return kl_fail(
                KL_ERR_ARG,
                "dimension %s of %lld..%lld: an open one has three sizes above 1",
                d->name ? d->name : "NULL", (long long)d->min, (long long)d->max);
        for (int k = 0; k < KL_EXAMPLES; k++) {
            int64_t lo = KL_MAX(d->min, 2), v = lo + 5 + 17 * i + step[k] * (i + 1);
            t->guess.syms[k][i] = v <= d->max ? v : lo + k;
        }
        t->guess.min[i] = d->min;
        t->guess.max[i] = d->max;
    }
    t->guess.nsyms = t->ndims;
    t->guess.closed = t->guess.leaves = true;
    return KL_OK;
}

/* The inputs as they are in example k. */
static kl_status size_inputs(const traces *t, int k, const kl_input *in, int nin,
                             kl_input *sized)
{
    for (int i = 0; i < nin; i++) {
        sized[i] = in[i];
        for (int a = 0; a < in[i].shape.n && a < KL_INTS_MAX; a++) {
            int64_t d = -1 - in[i].shape.v[a];
            if (d >= t->ndims)
                return kl_fail(KL_ERR_ARG, "input %d: there is no dimension number %lld",
                               i, (long long)d);
            if (d >= 0)
                sized[i].shape.v[a] = t->guess.syms[k][d];
        }
    }
    return KL_OK;
}

static kl_status take_example(traces *t, int k)
{
    kl_key_shape s;
    KL_TRY(kl_key_shape_read(&t->l[k], false, &s));
    bool same = k == 0 || (s.nkey == t->shape.nkey &&
                           memcmp(s.skeleton, t->shape.skeleton, s.nkey) == 0);
    int64_t *v = kl_alloc(s.nwords * sizeof *v + 1);
    for (uint32_t i = 0; v && i < s.nwords; i++)
        v[i] = kl_word_value(t->l[k].key, &s.words[i]);
    t->example[k] = v;
    if (k == 0)
        t->shape = s;
    else
        kl_key_shape_free(&s);
    if (!v)
        return kl_fail(KL_ERR_OOM, "out of memory for a function");
    return same
               ? KL_OK
               : kl_fail(KL_ERR_UNSUPPORTED,
                         "the function does something else at other sizes (%u operations "
                         "in one trace, %u in another)",
                         t->l[0].nnodes, t->l[k].nnodes);
}

static kl_status find_formulas(traces *t)
{
    kl_guess *g = &t->guess;
    g->shape = &t->shape;
    g->example = t->example;
    g->nexamples = KL_EXAMPLES;
    g->out = kl_alloc(t->shape.nwords * sizeof *g->out + 1);
    if (!g->out)
        return kl_fail(KL_ERR_OOM, "out of memory for a function");
    if (kl_guess_all(g))
        return KL_OK;
    const kl_word *w = &t->shape.words[g->word];
    const char *place = t->l[0].labels[2 * kl_word_node(t->l[0].key, t->l[0].nnodes, w)];
    return kl_fail(KL_ERR_UNSUPPORTED,
                   "%s %s: it follows from the dimensions in no way that is known; give "
                   "them fixed values",
                   w->kind == KL_NUMBER ? "a number used at" : "a size made at",
                   place ? place : "an unknown place");
}

static kl_function *from_traces(traces *t, kl_trace_fn fn, void *user, const kl_input *in,
                                int nin, int nout, const int *donated)
{
    kl_input sized[KL_SIZE_SYMBOLS * 4];
    const char *names[KL_SIZE_SYMBOLS * 4], *dims[KL_SIZE_SYMBOLS];
    if (nin < 0 || nin > (int)KL_COUNT(sized) || t->ndims > KL_SIZE_SYMBOLS) {
        kl_fail(KL_ERR_ARG, "a function of %d inputs and %d dimensions", nin, t->ndims);
        return NULL;
    }
    if (choose_sizes(t) != KL_OK)
        return NULL;
    for (int k = 0; k < KL_EXAMPLES; k++)
        if (size_inputs(t, k, in, nin, sized) != KL_OK ||
            kl_trace(fn, user, sized, nin, nout, &t->l[k]) != KL_OK ||
            take_example(t, k) != KL_OK)
            return NULL;
    if (find_formulas(t) != KL_OK)
        return NULL;
    for (int i = 0; i < nin; i++)
        names[i] = in[i].name;
    for (int i = 0; i < t->ndims; i++)
        dims[i] = t->dims[i].name;
    return kl_function_from(&t->l[0], nin, names, donated, &(kl_open){&t->guess, dims});
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
    traces t = {.dims = dims, .ndims = ndims};
    kl_function *f = from_traces(&t, fn, user, in, nin, nout, donated);
    for (int k = 0; k < KL_EXAMPLES; k++) {
        kl_linear_free(&t.l[k]);
        kl_free(t.example[k], t.shape.nwords * sizeof(int64_t) + 1);
    }
    kl_free(t.guess.out, t.shape.nwords * sizeof *t.guess.out + 1);
    kl_key_shape_free(&t.shape);
    kl_call_done(&c, KL_OK);
    return f;
}
