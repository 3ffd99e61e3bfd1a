/* compile.c: a model as one program, by tracing its walk; which operators it needs.
 */
#include "op.h"

/* ---- one program ---- */

enum { FEW = 2 }; /* of a dimension, where another one is looked at */

typedef struct plan {
    const kl_onnx *m;
    kl_input *in;
    kl_dimension dim[KL_ONNX_DIMS];
    int number[KL_ONNX_DIMS]; /* of a model's dimension among the program's */
    int ndims;
    kl_onnx_counts counts;
    bool padded;
} plan;

static void trace(kl_tensor *const *in, kl_tensor **out, void *user)
{
    plan *p = user;
    kl_onnx_run_model(p->m, in, out, NULL, p->ndims ? KL_ONNX_OPEN : KL_ONNX_TRACED,
                      p->padded ? &p->counts : NULL);
}

static kl_status refuse(const kl_onnx *m, const char *name, const char *what)
{
    char line[500];
    snprintf(line, sizeof line, "%.120s: input '%.120s' %s", m->name, name, what);
    return kl_error_set(KL_ERR_UNSUPPORTED, line);
}

/* Those of more than one size are the program's. */
static void plan_dimensions(plan *p)
{
    for (int i = 0; i < p->m->ndims && i < KL_ONNX_DIMS; i++) {
        const kl_onnx_dim *d = &p->m->dims[i];
        if (d->min == d->max)
            continue;
        p->number[i] = p->ndims;
        p->dim[p->ndims++] =
            (kl_dimension){.name = d->name, .min = d->min, .max = d->max};
    }
}

static kl_status plan_input(plan *p, int i, const kl_ints *shapes)
{
    const kl_onnx_port *port = &p->m->in[i];
    if (port->dtype == KL_DTYPE_NONE)
        return refuse(p->m, port->name, "is no tensor of numbers");
    if (!shapes && !port->shaped)
        return refuse(p->m, port->name, "has no known number of dimensions");
    if (!shapes && p->m->ndims > KL_ONNX_DIMS)
        return refuse(p->m, port->name, "is one of inputs with too many open dimensions");
    p->in[i] = (kl_input){port->name, port->dtype, shapes ? shapes[i] : port->shape};
    for (int k = 0; !shapes && k < port->shape.n; k++) {
        int d = p->m->open[i][k];
        const kl_onnx_dim *dim = d >= 0 ? &p->m->dims[d] : NULL;
        if (dim)
            p->in[i].shape.v[k] = dim->min == dim->max ? dim->min : KL_ANY(p->number[d]);
    }
    return KL_OK;
}

/* Weights are called as in the model from here on: kiln keeps such names for ever. */
static void name_weights(const kl_onnx *m)
{
    for (size_t i = 0; i < m->tensors.cap; i++) {
        const tensor_proto *p = m->tensors.v[i].key;
        if (p && *p->name)
            kl_named(m->tensors.v[i].value.t, p->name);
    }
}

static kl_function *trace_all(plan *p)
{
    const kl_onnx *m = p->m;
    int nout = m->nout + p->counts.room;
    return p->ndims ? kl_compile_sized(trace, p, p->in, m->nin, nout, p->dim, p->ndims)
                    : kl_compile(trace, p, p->in, m->nin, nout);
}

/* How many counts there are, the first trace tells; where there are some, another one has
 * room for them. */
static kl_function *trace_counted(plan *p)
{
    kl_function *f = trace_all(p);
    if (!f || !p->counts.n)
        return f;
    kl_function_free(f);
    p->counts.room = p->counts.n;
    f = trace_all(p);
    for (int i = 0, c = p->m->nout; f && i < p->m->nout; i++)
        if (p->counts.axis[i] >= 0)
            kl_function_counts(f, c++, i, p->counts.axis[i]);
    return f;
}

/* ---- bounds ---- */

/* Whether the model takes n of dimension d, and few of the others; nothing is computed.
 */
static bool takes(const plan *p, int d, int64_t n)
{
    const kl_onnx *m = p->m;
    kl_onnx_counts counts = {.axis = p->counts.axis};
    kl_tensor **t = calloc((size_t)(m->nin + m->nout) + 1, sizeof *t);
    bool ok = t != NULL;
    kl_scope_begin();
    for (int i = 0; i < m->nin && ok; i++) {
        kl_ints s = p->in[i].shape;
        for (int k = 0; k < s.n; k++)
            if (s.v[k] < 0)
                s.v[k] = s.v[k] == KL_ANY(d) ? n : FEW;
        t[i] = kl_zeros(s, p->in[i].dtype);
        ok = t[i] != NULL;
    }
    ok = ok && kl_onnx_run_model(m, t, t + m->nin, NULL, KL_ONNX_TRACED,
                                 p->padded ? &counts : NULL) == KL_OK;
    kl_scope_drop();
    kl_error_clear();
    free(t);
    return ok;
}

/* A table of positions ends, say: the most that is taken of a dimension that has no bound
 * of the user's. */
static void find_bounds(plan *p)
{
    for (int d = 0; d < p->ndims && takes(p, d, FEW); d++) {
        int64_t low = FEW, high = p->dim[d].max;
        if (high != KL_ONNX_LARGEST || takes(p, d, high))
            continue;
        while (high - low > 1) {
            int64_t n = low + (high - low) / 2;
            *(takes(p, d, n) ? &low : &high) = n;
        }
        if (low > FEW) /* else it is another's size, and no table ends */
            p->dim[d].max = low;
    }
}

/* Where sizes do not fit, with bounds to them; else the same error. */
static kl_function *trace_bounded(plan *p)
{
    kl_function *f = trace_counted(p);
    if (f || !p->ndims || kl_error_status() != KL_ERR_SHAPE)
        return f;
    kl_error_clear();
    find_bounds(p);
    p->counts.n = p->counts.room = 0;
    return trace_counted(p);
}

static kl_function *compile(const kl_onnx *m, const kl_ints *shapes, bool padded)
{
    plan p = {.m = m, .padded = padded};
    kl_function *f = NULL;
    if (!m)
        return kl_error_set(KL_ERR_ARG, "the model is NULL"), NULL;
    p.in = calloc((size_t)m->nin + 1, sizeof *p.in);
    p.counts.axis = calloc((size_t)m->nout + 1, sizeof *p.counts.axis);
    kl_status s = p.in && p.counts.axis
                      ? KL_OK
                      : kl_error_set(KL_ERR_OOM, "out of memory for a model's inputs");
    name_weights(m);
    if (!shapes)
        plan_dimensions(&p);
    for (int i = 0; i < m->nin && s == KL_OK; i++)
        s = plan_input(&p, i, shapes);
    const char *before = kl_onnx_here;
    kl_onnx_here = kl_onnx_intern(m->name);
    if (s == KL_OK)
        f = trace_bounded(&p);
    kl_onnx_here = before;
    free(p.in);
    free(p.counts.axis);
    return f;
}

kl_function *kl_onnx_compile(const kl_onnx *m, const kl_ints *shapes)
{
    return compile(m, shapes, false);
}

kl_function *kl_onnx_compile_padded(const kl_onnx *m, const kl_ints *shapes)
{
    return compile(m, shapes, true);
}

/* ---- operators ---- */

typedef struct survey {
    const kl_onnx *m;
    kl_onnx_names seen; /* text -> n: how many, type: 1 where there is a row */
    kl_onnx_run run;
    int depth;
} survey;

/* "ai.onnx.ml.Binarizer opset 1"; what is near to one that is missing goes to after. */
static bool describe(const survey *s, const function_proto *f, const node_proto *node,
                     char *text, size_t cap, char *after)
{
    const kl_onnx_row *near = NULL;
    int opset = kl_onnx_opset(s->m, f, node->domain);
    bool row = kl_onnx_find(node->domain, node->op_type, opset, &near) != NULL;
    snprintf(text, cap, "%.80s%s%.80s opset %d", KL_ONNX_OPERATOR(node), opset);
    after[0] = 0;
    if (row || !near)
        return row;
    if (!kl_onnx_other(near, node))
        snprintf(after, 80, " (there from opset %d)", near->first);
    else
        snprintf(after, 80, " (nearest: %s)", near->name);
    return false;
}

static void count_node(survey *s, const function_proto *f, const node_proto *node)
{
    char text[400], after[80];
    bool row = describe(s, f, node, text, sizeof text, after);
    kl_onnx_value *v = kl_onnx_get(&s->seen, text);
    size_t n = strlen(text) + 1;
    if (v) {
        v->n++;
        return;
    }
    char *key = kl_onnx_alloc(&s->run, n + sizeof after); /* what is near stands behind */
    if (!key)
        return;
    memcpy(key, text, n);
    memcpy(key + n, after, sizeof after);
    kl_onnx_put(&s->seen, key, (kl_onnx_value){.n = 1, .type = row});
}

static void look_at(survey *s, const function_proto *f, node_proto *const *node, size_t n)
{
    s->depth++;
    for (size_t i = 0; i < n && s->depth < 64 && !kl_failed(); i++) {
        const function_proto *body =
            kl_onnx_function(s->m, node[i]->domain, node[i]->op_type, node[i]->overload);
        if (!body)
            count_node(s, f, node[i]);
        for (size_t k = 0; k < node[i]->n_attribute; k++) {
            const graph_proto *g = node[i]->attribute[k]->g;
            if (g)
                look_at(s, f, g->node, g->n_node);
        }
    }
    s->depth--;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(((const kl_onnx_entry *)a)->key, ((const kl_onnx_entry *)b)->key);
}

/* Those that are missing, or there, in order. */
static char *listed(survey *s, bool missing)
{
    size_t len = 0, cap = 1, n = 0;
    kl_onnx_entry *v = s->seen.v; /* no table any more */
    for (size_t i = 0; i < s->seen.cap; i++)
        if (v[i].key && (v[i].value.type == 0) == missing) {
            cap += strlen(v[i].key) + 120;
            v[n++] = v[i];
        }
    if (n)
        qsort(v, n, sizeof *v, by_name);
    char *text = kl_failed() ? NULL : calloc(1, cap);
    for (size_t i = 0; text && i < n; i++) {
        const char *name = v[i].key;
        len += (size_t)snprintf(text + len, cap - len, "%s: %d node%s%s\n", name,
                                v[i].value.n, v[i].value.n == 1 ? "" : "s",
                                name + strlen(name) + 1);
    }
    return text;
}

char *kl_onnx_operators(const kl_onnx *m, bool missing)
{
    survey s = {.m = m, .run = {.m = m}};
    look_at(&s, NULL, m->proto->graph->node, m->proto->graph->n_node);
    for (size_t i = 0; i < m->proto->n_functions; i++)
        look_at(&s, m->proto->functions[i], m->proto->functions[i]->node,
                m->proto->functions[i]->n_node);
    char *text = listed(&s, missing);
    kl_onnx_names_free(&s.seen);
    kl_onnx_run_free(&s.run);
    return text;
}
