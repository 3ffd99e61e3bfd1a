/* artefact_model.c: a model on its way to an artefact: its text, its weights, what the
 * passes made of it.
 *
 *   weights "net.safetensors"                     %w is in that file: a weight, and no
 * argument graph net(%x: f32[B,64], %w: f32[10,64]) {..} ->  int net(int64_t B, const
 * float *x, float *y) */
#include "artefact.h"
#include "function.h"

/* ---- weights ---- */

/* The weights' file lies beside the model's. */
static kl_status beside(const char *path, const char *file, char *out, size_t cap)
{
    const char *slash = strrchr(path, '/');
    int n = slash && *file != '/' ? (int)(slash - path) + 1 : 0;
    if ((size_t)snprintf(out, cap, "%.*s%s", n, path, file) >= cap)
        return kl_fail(KL_ERR_IO, "%s: the path of its weights is too long", path);
    return KL_OK;
}

static kl_status check_weight(const kl_model *m, const char *name, kl_ref r,
                              const kl_buffer *b)
{
    kl_type t, have = {.dtype = b->dtype, .rank = b->rank};
    kl_graph_type(m->graph, r, &t);
    memcpy(have.shape, b->shape, sizeof have.shape);
    bool same = t.dtype == b->dtype && t.rank == b->rank;
    for (int i = 0; same && i < t.rank; i++)
        same = t.shape[i] == b->shape[i];
    if (same)
        return KL_OK;
    kl_text want = {0}, is = {0};
    kl_type_print(m->graph->dims, &t, &want);
    kl_type_print(m->graph->dims, &have, &is);
    kl_status s =
        kl_fail(KL_ERR_SHAPE, "%s: %s is %s in the graph and %s in the file",
                m->graph->weights, name, want.s ? want.s : "", is.s ? is.s : "");
    kl_text_free(&want);
    kl_text_free(&is);
    return s;
}

static kl_status bind_weights(kl_model *m, const char *path)
{
    char file[4096];
    const kl_graph *g = m->graph;
    KL_TRY(beside(path, g->weights, file, sizeof file));
    KL_TRY(kl_safetensors_read(file, &m->archive));
    for (uint32_t i = 0; i < g->ninputs; i++) {
        uint32_t s = g->nodes[g->inputs[i]].name;
        for (size_t j = 0; s != KL_NONE && j < m->archive.count; j++) {
            const kl_named_buffer *w = &m->archive.items[j];
            if (strcmp(w->name, g->strings[s]) != 0)
                continue;
            KL_TRY(check_weight(m, w->name, g->inputs[i], &w->buffer));
            m->in[i] = w->buffer;
        }
    }
    return KL_OK;
}

/* ---- reading ---- */

kl_status kl_model_parse(const char *path, const char *text, bool with_weights,
                         kl_model *m)
{
    *m = (kl_model){.arena = kl_arena_new()};
    if (!m->arena)
        return kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    KL_TRY(kl_graph_parse_source(m->arena, path, text, &m->graph));
    KL_TRY(kl_graph_verify(m->graph));
    m->in = kl_arena_zeroed(m->arena, m->graph->ninputs + 1, sizeof *m->in);
    if (!m->in)
        return kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    return with_weights && m->graph->weights ? bind_weights(m, path) : KL_OK;
}

kl_status kl_model_read(const char *path, bool with_weights, kl_model *m)
{
    void *bytes;
    size_t size;
    *m = (kl_model){0};
    KL_TRY(kl_file_read(path, &bytes, &size));
    char *text = kl_alloc(size + 1);
    kl_status s = KL_OK;
    if (!text) {
        s = kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    } else if (memchr(bytes, 0, size)) {
        s = kl_fail(KL_ERR_PARSE, "%s: not a text: it has a zero byte", path);
    } else {
        memcpy(text, bytes, size);
        text[size] = 0;
        s = kl_model_parse(path, text, with_weights, m);
    }
    kl_free(text, size + 1);
    kl_free(bytes, size);
    return s;
}

kl_status kl_model_of(kl_function *f, bool with_weights, kl_model *m)
{
    *m = (kl_model){.arena = kl_arena_new(), .function = f};
    if (!m->arena || !f)
        return f ? kl_fail(KL_ERR_OOM, "out of memory for a model") : kl_error_status();
    m->graph = f->graph;
    m->in = kl_arena_zeroed(m->arena, m->graph->ninputs + 1, sizeof *m->in);
    if (!m->in)
        return kl_fail(KL_ERR_OOM, "out of memory for a model");
    for (int i = f->nin; with_weights && i < f->nall; i++) {
        kl_buffer *b = &m->in[i];
        *b = (kl_buffer){
            .mem = f->held[i], .dtype = f->in[i].dtype, .rank = f->in[i].shape.n};
        memcpy(b->shape, f->in[i].shape.v, (size_t)b->rank * sizeof *b->shape);
        kl_buffer_dense_strides(b);
    }
    return KL_OK;
}

void kl_model_free(kl_model *m)
{
    kl_program_unref(m->unit.program);
    kl_archive_free(&m->archive);
    kl_text_free(&m->weights);
    if (m->arena)
        kl_arena_free(m->arena);
    kl_function_free(m->function);
    *m = (kl_model){0};
}

/* ---- compiling ---- */

static bool is_taken(kl_kernel *const *all, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(all[i]->name, name) == 0)
            return true;
    return false;
}

/* A kernel is named after what it does, so that equal ones are one in the store; in one
 * object each needs a name of its own: add, add_2, .. */
static kl_status unique_names(kl_model *m)
{
    int n;
    kl_kernel **all = kl_unit_kernels(&m->unit, &n);
    if (!all)
        return kl_error_status();
    for (int i = 0; i < n; i++) {
        const char *name = all[i]->name;
        for (int k = 2; name && is_taken(all, i, name); k++)
            name = kl_arena_printf(m->arena, "%s_%d", all[i]->name, k);
        if (!name)
            return kl_fail(KL_ERR_OOM, "out of memory: names of kernels");
        all[i]->name = name;
    }
    return KL_OK;
}

kl_status kl_model_compile(kl_model *m, const kl_target *t, const char *last)
{
    m->unit = (kl_unit){.arena = m->arena, .target = t, .graph = m->graph};
    if (last && strcmp(last, "plan") != 0 && strcmp(last, "lower") != 0 &&
        strcmp(last, "schedule") != 0)
        return kl_pipeline_run(&m->unit, NULL, last);
    KL_TRY(kl_pipeline_run(&m->unit, NULL, "fuse"));
    KL_TRY(unique_names(m));
    return kl_pipeline_run(&m->unit, "schedule", last);
}

/* Symbols of the inputs' extents first, as they come; then the others. */
static kl_status order_symbols(kl_model *m, int n)
{
    const kl_graph *g = m->graph;
    bool *uses = kl_arena_alloc(m->arena, (size_t)n + 1),
         *seen = kl_arena_zeroed(m->arena, (size_t)n + 1, 1);
    int at = 0;
    m->syms = kl_arena_alloc(m->arena, ((size_t)n + 1) * sizeof *m->syms);
    if (!m->syms || !uses || !seen)
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    for (uint32_t i = 0; i < g->ninputs; i++)
        for (int j = 0; j < g->nodes[g->inputs[i]].rank; j++) {
            memset(uses, 0, (size_t)n + 1);
            kl_dim_uses(g->dims, kl_graph_shape(g, g->inputs[i])[j], uses);
            for (int s = 0; s < n; s++)
                if (uses[s] && !seen[s])
                    seen[m->syms[at++] = s] = true;
        }
    for (int s = 0; s < n; s++)
        if (!seen[s])
            m->syms[at++] = s;
    return KL_OK;
}

static kl_status check_dense(const kl_graph *g)
{
    for (uint32_t i = 0; i < g->ninputs; i++)
        if (g->nodes[g->inputs[i]].nattr > 1)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "input %u has strides; an artefact's are dense", i);
    return KL_OK;
}

static kl_status check_calls(const kl_program *p)
{
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        if (s->kind == KL_STEP_CALL && !kl_is_c_name(s->symbol))
            return kl_fail(KL_ERR_ARG, "call: \"%s\" is no name of a C function",
                           s->symbol);
        if (s->body)
            KL_TRY(check_calls(s->body));
        if (s->other)
            KL_TRY(check_calls(s->other));
    }
    return KL_OK;
}

/* The passes choose steps by the CPU, but what a caller sees is the graph's. */
static bool same_ports(const kl_program *p, const kl_program *q)
{
    bool same = p->nsyms == q->nsyms && p->nin == q->nin && p->nout == q->nout;
    for (int i = 0; same && i < p->nsyms; i++)
        same = strcmp(p->sym_names[i], q->sym_names[i]) == 0 &&
               p->sym_min[i] == q->sym_min[i] && p->sym_max[i] == q->sym_max[i];
    for (int i = 0; same && i < p->nout; i++)
        same = kl_program_donated(p, i) == kl_program_donated(q, i);
    return same;
}

static kl_status take_levels(kl_model *m, int n, kl_artefact *out)
{
    for (int i = 0; i < n; i++) {
        kl_artefact_level *l = &out->level[i];
        const kl_program *p = m[i].unit.program;
        kl_kernel **kernels = kl_unit_kernels(&m[i].unit, &l->nkernels);
        if (!kernels)
            return kl_error_status();
        if (!same_ports(p, m[0].unit.program))
            return kl_fail(KL_ERR_INTERNAL, "artefact: the levels' arguments differ");
        l->target = m[i].unit.target;
        l->program = p;
        l->kernels = (const kl_kernel *const *)kernels;
    }
    out->nlevels = n;
    return KL_OK;
}

/* Whether each call takes its own. */
static bool wants_heap(kl_model *m, const kl_artefact *a, kl_scratch_mode mode)
{
    return mode == KL_SCRATCH_HEAP ||
           (mode == KL_SCRATCH_FIT &&
            kl_artefact_is_vast(kl_artefact_scratch_max(
                a->program, kl_artefact_scratch_of(a, m->arena), KL_ARTEFACT_WORKERS)));
}

kl_status kl_model_artefact(kl_model *m, int n, const char *name, kl_weights_mode weights,
                            kl_scratch_mode scratch, kl_artefact *out)
{
    const kl_program *p = m->unit.program;
    KL_TRY(check_dense(m->graph));
    KL_TRY(check_calls(p));
    KL_TRY(order_symbols(m, p->nsyms));
    m->weight = kl_arena_alloc(m->arena, ((size_t)p->nin + 1) * sizeof *m->weight);
    if (!m->weight)
        return kl_fail(KL_ERR_OOM, "artefact: no memory");
    KL_TRY(kl_artefact_weights(m->in, p->nin, m->weight, &m->weights));
    *out = (kl_artefact){.name = name,
                         .program = p,
                         .counts = m->graph->counts,
                         .syms = m->syms,
                         .weight = m->weight,
                         .weights = m->weights.s,
                         .nweights = m->weights.len,
                         .weights_file = weights == KL_WEIGHTS_FILE,
                         .scratch_caller = scratch == KL_SCRATCH_CALLER};
    KL_TRY(take_levels(m, n, out));
    out->scratch_heap = wants_heap(m, out, scratch);
    return kl_arena_failed(m->arena) ? kl_fail(KL_ERR_OOM, "artefact: no memory") : KL_OK;
}
