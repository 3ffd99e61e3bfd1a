/* function_dims.c: functions with symbolic dimensions: which they have, what inputs'
 * shapes say of them, and calls at given ones.
 *
 *   f(x: f32[B,T], y: f32[2*B])    x [3,5], y [6]  ->  dims (3, 5);   y [7]: refused */
#include "function.h"

int kl_function_dims(const kl_function *f)
{
    return f ? kl_dim_sym_count(f->graph->dims) : 0;
}

const char *kl_function_dim(const kl_function *f, int i, int64_t *min, int64_t *max,
                            int64_t *divisor)
{
    int64_t lo, hi, by;
    if (i < 0 || i >= kl_function_dims(f))
        return "";
    kl_dim_sym_facts(f->graph->dims, i, &lo, &hi, &by);
    if (min)
        *min = lo;
    if (max)
        *max = hi;
    if (divisor)
        *divisor = by;
    return kl_dim_sym_name(f->graph->dims, i);
}

static kl_status check_dims(const kl_function *f, const int64_t *dims)
{
    int64_t min, max, by;
    for (int i = 0; i < kl_function_dims(f); i++) {
        const char *name = kl_function_dim(f, i, &min, &max, &by);
        if (dims[i] < min || dims[i] > max || (by > 1 && dims[i] % by))
            return kl_fail(KL_ERR_SHAPE,
                           "dimension %s = %lld is outside %lld..%lld, multiple of %lld",
                           name, (long long)dims[i], (long long)min, (long long)max,
                           (long long)by);
    }
    return KL_OK;
}

static kl_port_at at_dims(const kl_graph *g, kl_ref r, const kl_port_at *p,
                          const int64_t *dims)
{
    kl_port_at q = *p;
    const kl_dim *shape = kl_graph_shape(g, r);
    for (int i = 0; p->open && i < p->shape.n; i++)
        q.shape.v[i] = kl_dim_eval(g->dims, shape[i], dims);
    if (p->open)
        q.bytes = (size_t)kl_count(q.shape.n, q.shape.v) * kl_dtypes[p->dtype].size;
    return q;
}

kl_status kl_function_call_sized(const kl_function *f, const int64_t *dims,
                                 const void *const *in, void *const *out)
{
    if (!f)
        return kl_fail(KL_ERR_ARG, "the function is NULL");
    KL_TRY(check_dims(f, dims));
    size_t n = (size_t)(f->nall + f->nout) * sizeof(kl_port_at) + 1;
    kl_port_at *p = kl_alloc(n), *q = p + f->nall;
    if (!p)
        return kl_fail(KL_ERR_OOM, "out of memory for %d operands", f->nall + f->nout);
    for (int i = 0; i < f->nall; i++)
        p[i] = at_dims(f->graph, f->graph->inputs[i], &f->in[i], dims);
    for (int i = 0; i < f->nout; i++)
        q[i] = at_dims(f->graph, f->graph->outputs[i], &f->out[i], dims);
    kl_status st = kl_function_run(f, &(kl_sizes){p, q, dims}, in, out);
    kl_free(p, n);
    return st;
}

/* ---- dimensions from shapes ---- */

/* Symbols that stand alone as an extent take its value. */
static void take_symbols(const kl_function *f, const kl_ints *shapes, int64_t *dims,
                         bool *known)
{
    for (int i = 0; i < f->nin; i++) {
        const kl_dim *shape = kl_graph_shape(f->graph, f->graph->inputs[i]);
        for (int k = 0; k < KL_MIN(f->in[i].shape.n, shapes[i].n); k++) {
            int s = kl_dim_sym_index(f->graph->dims, shape[k]);
            if (s >= 0 && !known[s]) {
                dims[s] = shapes[i].v[k];
                known[s] = true;
            }
        }
    }
}

static kl_status check_shape(const kl_function *f, int i, kl_ints given,
                             const int64_t *dims)
{
    char text[200];
    const kl_dim *shape = kl_graph_shape(f->graph, f->graph->inputs[i]);
    bool same = given.n == f->in[i].shape.n;
    for (int k = 0; same && k < f->in[i].shape.n; k++)
        same = kl_dim_eval(f->graph->dims, shape[k], dims) == given.v[k];
    return same ? KL_OK
                : kl_fail(KL_ERR_SHAPE, "input %s of shape %s does not fit the others",
                          f->names[i], kl_ints_text(given, text, sizeof text));
}

kl_status kl_function_bind(const kl_function *f, const kl_ints *shapes, int64_t *dims)
{
    enum { MANY = 64 };
    bool known[MANY] = {false};
    int n = kl_function_dims(f);
    if (!f || !shapes || (n && !dims) || n > MANY)
        return kl_fail(KL_ERR_ARG, f ? "the shapes are NULL" : "the function is NULL");
    take_symbols(f, shapes, dims, known);
    for (int s = 0; s < n; s++)
        if (!known[s])
            return kl_fail(KL_ERR_SHAPE, "no input's extent is dimension %s alone",
                           kl_dim_sym_name(f->graph->dims, s));
    KL_TRY(check_dims(f, dims));
    for (int i = 0; i < f->nin; i++)
        KL_TRY(check_shape(f, i, shapes[i], dims));
    return KL_OK;
}

kl_dtype kl_function_out_at(const kl_function *f, int i, const int64_t *dims,
                            kl_ints *shape)
{
    if (!f || i < 0 || i >= f->nout || check_dims(f, dims) != KL_OK)
        return KL_DTYPE_NONE;
    *shape = at_dims(f->graph, f->graph->outputs[i], &f->out[i], dims).shape;
    return f->out[i].dtype;
}
