/* run.c: a walk over a model's graph. Names are looked up in the frame of the graph under
 * way, then in those around it; a node is a row's function, or a function of the model,
 * whose body is walked in a frame of its own.
 *
 *   node Add(a, b) -> c      row Add: kl_add(value of a, value of b) becomes c's value */
#include "op.h"

/* Nodes of one call, also of bodies: what a model of functions and loops may blow up to.
 */
enum { DEEPEST = 64, MOST = 1 << 17 };
/* What shapes and lists of one call may take; tensors' elements are not among it. */
static const size_t BYTES = (size_t)512 << 20;

void *kl_onnx_alloc(kl_onnx_run *r, size_t size)
{
    bool fits = size <= BYTES - r->bytes;
    kl_onnx_block *b = fits ? calloc(1, sizeof *b + size) : NULL;
    r->bytes += fits ? size : 0;
    if (!b) {
        kl_error_set(KL_ERR_OOM, "out of memory for a model's shapes and lists");
        return NULL;
    }
    b->next = r->blocks;
    r->blocks = b;
    return b->bytes;
}

void *kl_onnx_array(kl_onnx_run *r, int64_t count, size_t each)
{
    bool fits = count >= 0 && (uint64_t)count < BYTES / each;
    return kl_onnx_alloc(r, fits ? ((size_t)count + 1) * each : SIZE_MAX);
}

void kl_onnx_run_free(kl_onnx_run *r)
{
    while (r->blocks) {
        kl_onnx_block *next = r->blocks->next;
        free(r->blocks);
        r->blocks = next;
    }
}

static bool same_domain(const char *a, const char *b)
{
    static const char own[] = "ai.onnx";
    return strcmp(*a ? a : own, *b ? b : own) == 0;
}

int kl_onnx_opset(const kl_onnx *m, const function_proto *f, const char *domain)
{
    size_t n = f ? f->n_opset_import : m->proto->n_opset_import;
    Onnx__OperatorSetIdProto **o = f ? f->opset_import : m->proto->opset_import;
    for (size_t i = 0; i < n; i++)
        if (same_domain(o[i]->domain, domain))
            return o[i]->version > 0 && o[i]->version < 10000 ? (int)o[i]->version : -1;
    return -1;
}

const function_proto *kl_onnx_function(const kl_onnx *m, const char *domain,
                                       const char *name, const char *overload)
{
    for (size_t i = 0; i < m->proto->n_functions; i++) {
        const function_proto *f = m->proto->functions[i];
        if (strcmp(f->name, name) == 0 && same_domain(f->domain, domain) &&
            strcmp(f->overload, overload) == 0)
            return f;
    }
    return NULL;
}

/* ---- names ---- */

static const kl_onnx_value *look_up(const kl_onnx_frame *f, const char *name)
{
    for (; f; f = f->up) {
        const kl_onnx_value *v = kl_onnx_get(&f->names, name);
        if (v)
            return v;
    }
    return NULL;
}

static bool operands(kl_onnx_op *n)
{
    n->nin = (int)n->node->n_input;
    n->nout = (int)n->node->n_output;
    n->in = kl_onnx_alloc(n->run, ((size_t)n->nin + 1) * sizeof *n->in);
    n->out = kl_onnx_alloc(n->run, ((size_t)n->nout + 1) * sizeof *n->out);
    if (!n->in || !n->out)
        return false;
    for (int i = 0; i < n->nout; i++)
        n->out[i].n = -1;
    for (int i = 0; i < n->nin; i++) {
        const char *name = n->node->input[i];
        const kl_onnx_value *v = *name ? look_up(n->frame, name) : NULL;
        n->in[i] = v ? *v : (kl_onnx_value){.n = -1};
        if (*name && !v)
            return kl_onnx_fail(n, KL_ERR_PARSE, "nothing gives its operand '%.100s'",
                                name),
                   false;
    }
    return true;
}

/* Opset 6: the second operand stands at attribute axis of the first. */
static void stand_at_axis(kl_onnx_op *n)
{
    if (n->opset > 6 || n->nin < 2 || !kl_onnx_attribute(n, "broadcast"))
        return;
    int64_t axis = kl_onnx_int(n, "axis", -1);
    kl_tensor *a = in(n, 0), *b = in(n, 1);
    kl_ints s = kl_shape_of(b);
    for (int i = (int)axis + s.n; a && b && axis >= 0 && i < kl_rank(a); i++)
        push(&s, 1);
    n->in[1].t = b ? kl_reshape(b, s) : NULL;
}

static bool results(kl_onnx_op *n, kl_onnx_frame *f)
{
    for (int i = 0; i < n->nout; i++)
        if (*n->node->output[i] && !kl_onnx_put(&f->names, n->node->output[i], n->out[i]))
            return false;
    return true;
}

/* ---- a node ---- */

static kl_status walk_nodes(kl_onnx_run *r, kl_onnx_frame *f, node_proto *const *node,
                            size_t n);

static kl_status call_function(kl_onnx_op *n, const function_proto *body)
{
    kl_onnx_frame f = {.function = body, .call = n, .depth = n->frame->depth + 1};
    kl_status s = KL_OK;
    if (f.depth > DEEPEST)
        return kl_onnx_fail(n, KL_ERR_UNSUPPORTED, "functions call each other too deep");
    for (size_t i = 0; i < body->n_input && s == KL_OK; i++) {
        kl_onnx_value v = (int)i < n->nin ? n->in[i] : (kl_onnx_value){.n = -1};
        s = kl_onnx_put(&f.names, body->input[i], v) ? KL_OK : KL_ERR_OOM;
    }
    if (s == KL_OK)
        s = walk_nodes(n->run, &f, body->node, body->n_node);
    for (size_t i = 0; s == KL_OK && i < body->n_output && (int)i < n->nout; i++) {
        const kl_onnx_value *v = kl_onnx_get(&f.names, body->output[i]);
        n->out[i] = v ? *v : (kl_onnx_value){.n = -1};
    }
    kl_onnx_names_free(&f.names);
    return s;
}

static void missing_row(const kl_onnx_op *n, const kl_onnx_row *near)
{
    if (n->opset < 0)
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED,
                     "the model imports no opset of its domain '%.60s'", n->node->domain);
    else if (!kl_onnx_other(near, n->node))
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED,
                     "not supported in this opset; it is there from opset %d on",
                     near->first);
    else
        kl_onnx_fail(n, KL_ERR_UNSUPPORTED,
                     "no such operator is supported; the nearest is %s",
                     near ? near->name : "none");
}

static bool check_operands(const kl_onnx_op *n)
{
    const kl_onnx_row *row = n->row;
    int least = row->least ? row->least : row->two ? 2 : row->one || row->reduce ? 1 : 0;
    for (int i = 0; i < least; i++)
        if (i >= n->nin || (!n->in[i].t && n->in[i].n < 0))
            return kl_onnx_fail(n, KL_ERR_PARSE, "operand %d is missing", i), false;
    for (int i = 0; i < n->nin; i++)
        if (n->in[i].stacked && !(row->flags & KL_ONNX_ANY))
            return kl_onnx_fail(n, KL_ERR_DTYPE, "operand %d is a sequence", i), false;
        else if (!(row->flags & (KL_ONNX_ANY | KL_ONNX_KEEPS)) &&
                 kl_onnx_carried(n->in[i].type))
            return kl_onnx_fail(n, KL_ERR_DTYPE, "does not take %s operands",
                                kl_onnx_type_name(n->in[i].type)),
                   false;
    return true;
}

void kl_onnx_carry_out(kl_onnx_op *n)
{
    const kl_onnx_row *row = n->row;
    if (row->fn)
        row->fn(n);
    else if (row->one)
        give(n, 0, row->one(KL_HERE, kl_arg_t(in(n, 0))));
    else if (row->two)
        give(n, 0, row->two(KL_HERE, kl_arg_t(in(n, 0)), kl_arg_t(in(n, 1))));
    if (row->flags & KL_ONNX_KEEPS && n->nin && kl_onnx_carried(n->in[0].type))
        for (int i = 0; i < n->nout; i++)
            if (n->out[i].t && kl_dtype_of(n->out[i].t) == kl_dtype_of(n->in[0].t))
                n->out[i].type = n->in[0].type;
}

/* One size among elements, as a number: that a program of all sizes follows where it is
 * computed with, elements of a table it does not. */
static void tell_size(kl_onnx_op *n)
{
    kl_tensor *t = n->nout ? n->out[0].t : NULL;
    int64_t v;
    if (t && kl_dtype_of(t) == KL_I64 && kl_numel(t) == 1 && kl_onnx_known(t) &&
        kl_peek(t, &v, sizeof v) == KL_OK)
        n->out[0].t = kl_full(kl_shape_of(t), v, KL_I64);
}

/* "model.onnx: node 'x' (Conv, opset 13)", which lives for ever. */
static const char *place(const kl_onnx_op *n)
{
    char text[512];
    snprintf(text, sizeof text, "%.120s: node '%.120s' (%.80s%s%.80s, opset %d)",
             n->run->m->name, n->node->name, KL_ONNX_OPERATOR(n->node), n->opset);
    return kl_onnx_intern(text);
}

static kl_status do_node(kl_onnx_run *r, kl_onnx_frame *f, const node_proto *node)
{
    kl_onnx_op n = {.run = r, .frame = f, .node = node};
    const char *before = kl_onnx_here;
    const kl_onnx_row *near = NULL;
    const function_proto *body =
        kl_onnx_function(r->m, node->domain, node->op_type, node->overload);
    n.opset = kl_onnx_opset(r->m, f->function, node->domain);
    kl_onnx_here = place(&n);
    n.row = body ? NULL : kl_onnx_find(node->domain, node->op_type, n.opset, &near);
    if (++r->nodes > MOST)
        kl_onnx_fail(&n, KL_ERR_UNSUPPORTED, "more than %d nodes in one call", MOST);
    else if (!body && !n.row)
        missing_row(&n, near);
    else if (operands(&n) && body)
        call_function(&n, body);
    else if (!kl_failed() && check_operands(&n)) {
        stand_at_axis(&n);
        kl_onnx_carry_counted(&n);
        if (r->open && n.row->flags & KL_ONNX_SIZES)
            tell_size(&n);
    }
    for (int i = 0; !kl_failed() && i < n.nout; i++)
        if (!body && *node->output[i] && !n.out[i].t && n.out[i].n < 0 && i == 0)
            kl_onnx_fail(&n, KL_ERR_UNSUPPORTED, "gives no result");
    if (!kl_failed())
        results(&n, f);
    kl_onnx_here = before;
    return kl_error_status();
}

static kl_status walk_nodes(kl_onnx_run *r, kl_onnx_frame *f, node_proto *const *node,
                            size_t n)
{
    for (size_t i = 0; i < n && !kl_failed(); i++)
        do_node(r, f, node[i]);
    return kl_error_status();
}

/* ---- a graph ---- */

static bool enter(kl_onnx_run *r, const graph_proto *g, kl_onnx_frame *f,
                  const kl_onnx_value *in, int nin)
{
    int k = 0;
    for (size_t i = 0; i < g->n_initializer; i++) {
        const kl_onnx_value *v = kl_onnx_get(&r->m->tensors, g->initializer[i]);
        if (v && !kl_onnx_put(&f->names, g->initializer[i]->name, *v))
            return false;
    }
    for (size_t i = 0; i < g->n_input; i++) {
        bool given = kl_onnx_get(&f->names, g->input[i]->name) != NULL;
        if (!given && k < nin && !kl_onnx_put(&f->names, g->input[i]->name, in[k++]))
            return false;
    }
    return true;
}

kl_status kl_onnx_walk(kl_onnx_run *r, const graph_proto *g, const kl_onnx_frame *up,
                       const kl_onnx_value *in, int nin, kl_onnx_value *out, int nout)
{
    kl_onnx_frame f = {.up = up,
                       .function = up ? up->function : NULL,
                       .call = up ? up->call : NULL,
                       .depth = up ? up->depth + 1 : 0};
    char line[400];
    if (f.depth > DEEPEST)
        return kl_error_set(KL_ERR_UNSUPPORTED, "graphs nest too deep");
    if (++r->nodes > MOST) /* a body without a node takes its time too */
        return kl_error_set(KL_ERR_UNSUPPORTED, "too many nodes and bodies in one call");
    if (enter(r, g, &f, in, nin))
        walk_nodes(r, &f, g->node, g->n_node);
    for (int i = 0; !kl_failed() && i < nout; i++) {
        const kl_onnx_value *v =
            (size_t)i < g->n_output ? look_up(&f, g->output[i]->name) : NULL;
        if (v) {
            out[i] = *v;
            continue;
        }
        snprintf(line, sizeof line, "%.120s: nothing gives output '%.120s'", r->m->name,
                 (size_t)i < g->n_output ? g->output[i]->name : "");
        kl_error_set(KL_ERR_PARSE, line);
    }
    kl_onnx_names_free(&f.names);
    return kl_error_status();
}

/* ---- a model ---- */

/* A program's outputs are called as the model's. */
static void hand_over(const kl_onnx *m, const kl_onnx_value *v, kl_tensor **out,
                      int *types, bool traced)
{
    char line[300];
    for (int i = 0; i < m->nout && !kl_failed(); i++) {
        if (!v[i].t || v[i].stacked) {
            snprintf(line, sizeof line, "%.120s: output '%.120s' is no tensor", m->name,
                     m->out[i].name);
            kl_error_set(KL_ERR_UNSUPPORTED, line);
            return;
        }
        out[i] = kl_tensor_ref(v[i].t);
        if (traced && !*kl_name(v[i].t))
            kl_named(v[i].t, m->out[i].name);
        if (types)
            types[i] = v[i].type;
    }
}

/* The counts behind the outputs, called as these are. */
static void hand_over_counts(const kl_onnx *m, const kl_onnx_value *v, kl_tensor **out,
                             kl_onnx_counts *c)
{
    char name[160];
    c->n = 0;
    for (int i = 0; i < m->nout && !kl_failed(); i++) {
        c->axis[i] = v[i].count ? v[i].axis : -1;
        if (!v[i].count || c->n++ >= c->room)
            continue;
        snprintf(name, sizeof name, "%.140s_count", m->out[i].name);
        kl_tensor *t = kl_add(v[i].count, 0); /* each output a value of its own */
        out[m->nout + c->n - 1] = t ? kl_tensor_ref(kl_named(t, name)) : NULL;
    }
}

kl_status kl_onnx_call(const kl_onnx *m, kl_tensor *const *in, kl_tensor **out,
                       int *types)
{
    return m ? kl_onnx_run_model(m, in, out, types, KL_ONNX_NOW, NULL)
             : kl_error_set(KL_ERR_ARG, "the model is NULL");
}

kl_status kl_onnx_run_model(const kl_onnx *m, kl_tensor *const *in, kl_tensor **out,
                            int *types, kl_onnx_how how, kl_onnx_counts *counts)
{
    bool traced = how != KL_ONNX_NOW;
    kl_onnx_run r = {
        .m = m, .traced = traced, .open = how == KL_ONNX_OPEN, .padded = counts != NULL};
    int nout = m->nout + (counts ? counts->room : 0);
    kl_scope_begin();
    kl_onnx_value *v = kl_onnx_alloc(&r, ((size_t)m->nin + 1) * sizeof *v);
    kl_onnx_value *w = kl_onnx_alloc(&r, ((size_t)m->nout + 1) * sizeof *w);
    for (int i = 0; i < nout; i++)
        out[i] = NULL;
    for (int i = 0; v && i < m->nin; i++)
        v[i] = (kl_onnx_value){.t = in[i], .type = m->in[i].type, .n = -1};
    if (v && w)
        kl_onnx_walk(&r, m->proto->graph, NULL, v, m->nin, w, m->nout);
    if (v && w && !kl_failed())
        hand_over(m, w, out, types, traced);
    if (v && w && !kl_failed() && counts)
        hand_over_counts(m, w, out, counts);
    kl_scope_drop();
    for (int i = 0; i < nout; i++)
        if (out[i]) {
            kl_scope_hold(out[i]);
            kl_tensor_unref(out[i]);
        }
    kl_onnx_run_free(&r);
    return kl_error_status();
}
