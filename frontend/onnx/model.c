/* model.c: a model read: its initialisers and constants as tensors, made once; its inputs
 * and outputs; what it needs that is not there. */
#include <errno.h>

#include "op.h"

enum { FUNCTIONS = 4096 };

__thread const char *kl_onnx_here;

static kl_status fail(const kl_onnx *m, kl_status s, const char *what, const char *name)
{
    char line[600];
    snprintf(line, sizeof line, "%.200s: %s%.200s", m->name, what, name);
    return kl_error_set(s, line);
}

/* ---- tensors ---- */

/* Its bytes are the tensor's now. */
static void forget_bytes(tensor_proto *p)
{
    free(p->raw_data.data);
    p->raw_data = (ProtobufCBinaryData){0, NULL};
}

static bool add_tensor(kl_onnx *m, tensor_proto *p)
{
    if (p->data_type == 8) /* an error where it is used */
        return true;
    kl_onnx_value v = {.n = -1, .type = p->data_type};
    v.t = kl_onnx_tensor(m->name, p, m->folder);
    if (!v.t || !kl_onnx_put(&m->tensors, p, v))
        return false;
    forget_bytes(p);
    return true;
}

static bool add_graph(kl_onnx *m, const graph_proto *g);

static bool add_nodes(kl_onnx *m, node_proto **node, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < node[i]->n_attribute; k++) {
            attribute_proto *a = node[i]->attribute[k];
            if (a->t && !add_tensor(m, a->t))
                return false;
            if (a->g && !add_graph(m, a->g))
                return false;
        }
    return true;
}

static bool add_graph(kl_onnx *m, const graph_proto *g)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!add_tensor(m, g->initializer[i]))
            return false;
    if (g->n_sparse_initializer)
        return fail(m, KL_ERR_UNSUPPORTED, "sparse initialisers are not supported", ""),
               false;
    return add_nodes(m, g->node, g->n_node);
}

/* ---- inputs and outputs ---- */

static bool shape_port(kl_onnx_port *p, const Onnx__TensorShapeProto *s)
{
    const char **dims = calloc(s->n_dim + 1, sizeof *dims);
    p->dims = dims;
    p->shaped = dims != NULL;
    p->shape.n = (int)s->n_dim;
    for (size_t i = 0; dims && i < s->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = s->dim[i];
        bool number =
            d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
        bool name = d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
        p->shape.v[i] = number && d->dim_value >= 0 ? d->dim_value : -1;
        dims[i] = name ? d->dim_param : "";
    }
    return dims != NULL;
}

static bool make_port(kl_onnx *m, const Onnx__ValueInfoProto *v, kl_onnx_port *p)
{
    *p = (kl_onnx_port){.name = v->name, .dtype = KL_DTYPE_NONE};
    if (!v->type || v->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE)
        return true;
    const Onnx__TypeProto__Tensor *t = v->type->tensor_type;
    p->type = t->elem_type;
    p->dtype = kl_onnx_dtype(t->elem_type);
    if (t->shape && t->shape->n_dim > 12)
        return fail(m, KL_ERR_PARSE, "more than 12 dimensions: ", v->name), false;
    return !t->shape || shape_port(p, t->shape) ||
           (kl_error_set(KL_ERR_OOM, "out of memory for a model"), false);
}

static bool initialisers(const graph_proto *g, kl_onnx_names *names)
{
    for (size_t i = 0; i < g->n_initializer; i++)
        if (!kl_onnx_put(names, g->initializer[i]->name, (kl_onnx_value){0}))
            return false;
    return true;
}

static bool make_ports(kl_onnx *m, const graph_proto *g)
{
    kl_onnx_names names = {0};
    m->in = calloc(g->n_input + 1, sizeof *m->in);
    m->out = calloc(g->n_output + 1, sizeof *m->out);
    bool ok = m->in && m->out;
    if (!ok)
        kl_error_set(KL_ERR_OOM, "out of memory for a model");
    ok = ok && initialisers(g, &names);
    for (size_t i = 0; ok && i < g->n_input; i++)
        if (!kl_onnx_get(&names, g->input[i]->name))
            ok = make_port(m, g->input[i], &m->in[m->nin++]);
    for (size_t i = 0; ok && i < g->n_output; i++)
        ok = make_port(m, g->output[i], &m->out[m->nout++]);
    kl_onnx_names_free(&names);
    return ok;
}

int kl_onnx_inputs(const kl_onnx *m)
{
    return m ? m->nin : 0;
}
int kl_onnx_outputs(const kl_onnx *m)
{
    return m ? m->nout : 0;
}
kl_onnx_port kl_onnx_input(const kl_onnx *m, int i)
{
    return m && i >= 0 && i < m->nin ? m->in[i] : (kl_onnx_port){.name = ""};
}
kl_onnx_port kl_onnx_output(const kl_onnx *m, int i)
{
    return m && i >= 0 && i < m->nout ? m->out[i] : (kl_onnx_port){.name = ""};
}

/* ---- reading ---- */

void kl_onnx_free(kl_onnx *m)
{
    if (!m)
        return;
    for (size_t i = 0; i < m->tensors.cap; i++)
        if (m->tensors.v[i].key)
            kl_tensor_unref(m->tensors.v[i].value.t);
    kl_onnx_names_free(&m->tensors);
    for (int i = 0; m->in && i < m->nin; i++)
        free((void *)(uintptr_t)m->in[i].dims);
    for (int i = 0; m->out && i < m->nout; i++)
        free((void *)(uintptr_t)m->out[i].dims);
    free(m->open);
    free(m->in);
    free(m->out);
    kl_onnx_unpacked_free(m->proto);
    free(m->name);
    free(m->folder);
    free(m);
}

static bool read_all(kl_onnx *m, const void *bytes, size_t size)
{
    m->proto = kl_onnx_unpack(m->name, bytes, size);
    if (!m->proto)
        return false;
    if (!m->proto->graph)
        return fail(m, KL_ERR_PARSE, "a model without a graph", ""), false;
    if (!m->proto->n_opset_import)
        return fail(m, KL_ERR_PARSE, "a model that imports no opset", ""), false;
    if (m->proto->n_functions > FUNCTIONS)
        return fail(m, KL_ERR_UNSUPPORTED, "more than 4096 functions", ""), false;
    if (!add_graph(m, m->proto->graph) || !make_ports(m, m->proto->graph) ||
        !kl_onnx_find_dims(m))
        return false;
    for (size_t i = 0; i < m->proto->n_functions; i++)
        if (!add_nodes(m, m->proto->functions[i]->node, m->proto->functions[i]->n_node))
            return false;
    return true;
}

kl_onnx *kl_onnx_read(const char *name, const void *bytes, size_t size,
                      const char *folder)
{
    kl_onnx *m = calloc(1, sizeof *m);
    if (m) {
        m->tensors.by_address = true;
        m->name = strdup(name ? name : "model");
        m->folder = folder ? strdup(folder) : NULL;
    }
    if (!m || !m->name || (folder && !m->folder))
        kl_error_set(KL_ERR_OOM, "out of memory for a model");
    const char *before = kl_onnx_here;
    kl_onnx_here = m && m->name ? kl_onnx_intern(m->name) : before;
    bool ok = m && m->name && (!folder || m->folder) && read_all(m, bytes, size);
    kl_onnx_here = before;
    if (ok)
        return m;
    kl_onnx_free(m);
    return NULL;
}

/* The whole file; NULL is an error. */
static void *read_file(const char *path, size_t *size)
{
    char line[600];
    FILE *f = fopen(path, "rb");
    long n = f && fseek(f, 0, SEEK_END) == 0 ? ftell(f) : -1;
    char *p = n >= 0 ? malloc((size_t)n + 1) : NULL;
    bool ok = p && fseek(f, 0, SEEK_SET) == 0 && fread(p, 1, (size_t)n, f) == (size_t)n;
    *size = ok ? (size_t)n : 0;
    if (!ok) {
        snprintf(line, sizeof line, "%.300s: cannot read: %s", path,
                 strerror(errno ? errno : EIO));
        kl_error_set(KL_ERR_IO, line);
        free(p);
        p = NULL;
    }
    if (f)
        fclose(f);
    return p;
}

kl_onnx *kl_onnx_load(const char *path)
{
    size_t size;
    if (!path)
        return kl_error_set(KL_ERR_ARG, "the path is NULL"), NULL;
    void *bytes = read_file(path, &size);
    const char *slash = strrchr(path, '/');
    char *folder =
        slash ? strndup(path, slash == path ? 1 : (size_t)(slash - path)) : strdup(".");
    kl_onnx *m = bytes && folder
                     ? kl_onnx_read(slash ? slash + 1 : path, bytes, size, folder)
                     : NULL;
    free(bytes);
    free(folder);
    return m;
}
