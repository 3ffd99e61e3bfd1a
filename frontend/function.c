/* function.c: compiled functions. Tracing calls the user's function once on parameters
 * without values; what comes out is put into linear form, parameters first, and its
 * program is kept with the captured inputs. A call fills in pointers and runs it.
 *
 *   in: [x, y | w, b, ..]      parameters, then what was captured, in the program's order
 *
 * What does not depend on a parameter and belongs to somebody outside is computed before.
 */
#include "function.h"
#include "lapack.h"
#include "sizes.h"

void kl_function_free(kl_function *f)
{
    if (!f)
        return;
    for (int i = f->nin; f->held && i < f->nall; i++)
        kl_memory_unref(f->held[i]);
    kl_program_unref(f->program);
    kl_arena_free(f->arena);
    kl_free(f, sizeof *f);
}

/* ---- parts of a function ---- */

static kl_function *function_new(kl_graph *g, kl_arena *a, int nin)
{
    kl_function *f = kl_alloc_zeroed(sizeof *f);
    if (!f) {
        kl_fail(KL_ERR_OOM, "out of memory for a function");
        kl_arena_free(a);
        return NULL;
    }
    *f = (kl_function){.nin = nin,
                       .nall = (int)g->ninputs,
                       .nout = (int)g->noutputs,
                       .graph = g,
                       .arena = a};
    f->in = kl_arena_zeroed(a, g->ninputs + 1, sizeof *f->in);
    f->out = kl_arena_zeroed(a, g->noutputs + 1, sizeof *f->out);
    f->names = kl_arena_zeroed(a, g->ninputs + 1, sizeof *f->names);
    f->held = kl_arena_zeroed(a, g->ninputs + 1, sizeof *f->held);
    if (kl_arena_failed(a)) {
        kl_fail(KL_ERR_OOM, "out of memory for a function");
        kl_function_free(f);
        return NULL;
    }
    return f;
}

static void describe(const kl_graph *g, kl_ref r, kl_port_at *p)
{
    kl_type t;
    kl_graph_type(g, r, &t);
    *p = (kl_port_at){.dtype = t.dtype, .shape = kl_ints_of((size_t)t.rank, t.shape)};
    for (int i = 0; i < t.rank; i++)
        if (p->shape.v[i] < 0)
            p->shape.v[i] = -1, p->open = true; /* depends on the dimensions of a call */
    p->bytes = p->open ? 0 : (size_t)kl_count(t.rank, t.shape) * kl_dtypes[t.dtype].size;
}

static void describe_all(kl_function *f)
{
    const kl_graph *g = f->graph;
    for (int i = 0; i < f->nall; i++)
        describe(g, g->inputs[i], &f->in[i]);
    for (int i = 0; i < f->nout; i++)
        describe(g, g->outputs[i], &f->out[i]);
}

static bool taken(const kl_function *f, int n, const char *name)
{
    for (int i = 0; i < n; i++)
        if (strcmp(f->names[i], name) == 0)
            return true;
    return false;
}

/* A letter, then letters, digits and '_'; each name once. */
static kl_status name_input(kl_function *f, int i, const char *given)
{
    char base[80], name[100];
    size_t n = 0;
    for (const char *p = given ? given : ""; *p && n < sizeof base - 1; p++) {
        bool digit = *p >= '0' && *p <= '9';
        bool letter = (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || *p == '_';
        if (n == 0 && (digit || !letter || *p == '_'))
            base[n++] = i < f->nin ? 'x' : 'w';
        base[n++] = digit || letter ? *p : '_';
    }
    base[n] = 0;
    snprintf(name, sizeof name, n ? "%s" : "%s%d",
             n            ? base
             : i < f->nin ? "x"
                          : "w",
             i < f->nin ? i : i - f->nin);
    for (int k = 1; taken(f, i, name); k++)
        snprintf(name, sizeof name, "%s_%d", n ? base : "w", k);
    f->names[i] = kl_arena_strdup(f->arena, name);
    uint32_t s = f->names[i] ? kl_graph_string(f->graph, name) : KL_NONE;
    if (s == KL_NONE)
        return kl_fail(KL_ERR_OOM, "out of memory for names");
    f->graph->nodes[f->graph->inputs[i]].name = s;
    return KL_OK;
}

/* The text without the comments, which hold places and names. */
static void put_key(const char *text, kl_text *key)
{
    bool quoted = false;
    for (const char *p = text; *p; p++) {
        quoted ^= *p == '"';
        if (*p == '#' && !quoted)
            p += strcspn(p, "\n");
        kl_text_putn(key, p, *p != 0);
        if (!*p)
            break;
    }
}

/* The store's program of that text, or one made of it. */
static kl_status find_or_compile(kl_function *f, kl_arena *a, const char *text)
{
    kl_graph *copy = NULL;
    kl_text key = {0};
    put_key(text, &key);
    kl_status st = key.failed ? kl_fail(KL_ERR_OOM, "out of memory to compile") : KL_OK;
    if (st == KL_OK)
        st = kl_compile_find(key.s, key.len, 0, &f->program);
    bool found = f->program != NULL;
    if (st == KL_OK && !found)
        st = kl_graph_parse(a, "function", text, &copy);
    bool keep = st == KL_OK && !found && kl_graph_portable(copy);
    if (st == KL_OK && !found)
        st = kl_compile_graph(copy, 0, &f->program);
    if (st == KL_OK && keep)
        kl_compile_keep(key.s, key.len, f->program);
    kl_text_free(&key);
    return st;
}

static _Thread_local bool graphs_only;

void kl_function_programs(bool on)
{
    graphs_only = !on;
}

/* The program; the traced graph stays as it is, for saving. */
static kl_status build(kl_function *f)
{
    if (graphs_only)
        return KL_OK;
    kl_text text = {0};
    kl_graph_print(f->graph, &text);
    kl_arena *a = kl_arena_new();
    kl_status st =
        a && !text.failed ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory to compile");
    if (st == KL_OK && kl_interp_on()) {
        st = kl_graph_parse(f->arena, "function", text.s, &f->run);
        if (st == KL_OK)
            st = kl_prepare_interp(f->arena, &f->run);
    } else if (st == KL_OK) {
        st = find_or_compile(f, a, text.s);
        if (st == KL_OK && f->program->nsyms == 0)
            st = kl_program_admit(f->program, NULL, 0);
    }
    kl_text_free(&text);
    kl_arena_free(a);
    return st;
}

/* ---- calling ---- */

static void fill(const kl_port_at *p, kl_memory *m, kl_buffer *b)
{
    *b = (kl_buffer){.mem = m, .dtype = p->dtype, .rank = p->shape.n};
    memcpy(b->shape, p->shape.v, (size_t)p->shape.n * sizeof *b->shape);
    kl_buffer_dense_strides(b);
}

static kl_status call_interp(const kl_function *f, const kl_sizes *z,
                             const void *const *in, void *const *out)
{
    kl_buffer *b = kl_alloc_zeroed((size_t)(f->nall + f->nout + 1) * sizeof *b),
              *y = b + f->nall;
    kl_status st =
        b ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for %d operands", f->nall);
    for (int i = 0; i < f->nall && st == KL_OK; i++) {
        kl_memory *m = i >= f->nin ? kl_memory_ref(f->held[i])
                                   : kl_memory_wrap((void *)(uintptr_t)in[i],
                                                    z->in[i].bytes, true, NULL, NULL);
        st = m ? KL_OK : kl_error_status();
        fill(&z->in[i], m, &b[i]);
    }
    if (st == KL_OK)
        st = kl_graph_interp(f->run, b, z->dims, y);
    for (int i = 0; i < f->nout && st == KL_OK; i++) {
        if (z->out[i].bytes)
            memcpy(out[i], y[i].mem->base, z->out[i].bytes);
        kl_memory_unref(y[i].mem);
    }
    for (int i = 0; b && i < f->nall; i++)
        kl_memory_unref(b[i].mem);
    kl_free(b, (size_t)(f->nall + f->nout + 1) * sizeof *b);
    return st;
}

static bool overlap(const void *a, size_t n, const void *b, size_t m)
{
    uintptr_t x = (uintptr_t)a, y = (uintptr_t)b;
    return n && m && x < y + m && y < x + n;
}

/* Before anything is written: an output lies apart from all else, or exactly where the
 * input is that it was declared to take over. */
static kl_status check_memory(const kl_function *f, const kl_sizes *z,
                              const void *const *in, void *const *out)
{
    for (int i = 0; i < f->nin; i++)
        if (!in[i] && z->in[i].bytes)
            return kl_fail(KL_ERR_ARG, "input %s is NULL", f->names[i]);
    for (int o = 0; o < f->nout; o++) {
        size_t n = z->out[o].bytes;
        int donor = f->graph->donated ? f->graph->donated[o] : 0;
        if (!out[o] && n)
            return kl_fail(KL_ERR_ARG, "output %d is NULL", o);
        for (int i = 0; i < f->nin; i++)
            if (overlap(out[o], n, in[i], z->in[i].bytes) &&
                (out[o] != in[i] || donor != i + 1))
                return kl_fail(KL_ERR_ARG,
                               "output %d overlaps input %s, which was not given to it "
                               "by kl_compile_donating",
                               o, f->names[i]);
        for (int k = 0; k < o; k++)
            if (overlap(out[o], n, out[k], z->out[k].bytes))
                return kl_fail(KL_ERR_ARG, "output %d overlaps output %d", o, k);
    }
    return KL_OK;
}

static kl_status run(const kl_function *f, const kl_sizes *z, const void *const *in,
                     void *const *out)
{
    enum { FEW = 32 };
    void *few[FEW], **p = few;
    if (f->run)
        return call_interp(f, z, in, out);
    if (f->nall > FEW && !(p = kl_alloc((size_t)f->nall * sizeof *p)))
        return kl_fail(KL_ERR_OOM, "out of memory for %d operands", f->nall);
    for (int i = 0; i < f->nin; i++)
        p[i] = (void *)(uintptr_t)in[i];
    for (int i = f->nin; i < f->nall; i++)
        p[i] = f->held[i]->base;
    kl_status st = kl_program_run(f->program, p, out, z->dims);
    if (p != few)
        kl_free(p, (size_t)f->nall * sizeof *p);
    return st;
}

kl_status kl_function_run(const kl_function *f, const kl_sizes *z, const void *const *in,
                          void *const *out)
{
    KL_TRY(check_memory(f, z, in, out));
    return run(f, z, in, out);
}

kl_status kl_function_call(const kl_function *f, const void *const *in, void *const *out)
{
    if (!f)
        return kl_fail(KL_ERR_ARG, "the function is NULL");
    if (kl_function_dims(f) > 0)
        return kl_fail(KL_ERR_ARG,
                       "the function has %d symbolic dimension(s): call it by "
                       "kl_function_call_sized",
                       kl_function_dims(f));
    return kl_function_run(f, &(kl_sizes){f->in, f->out, NULL}, in, out);
}

kl_status kl_function_call_unchecked(const kl_function *f, const int64_t *dims,
                                     const void *const *in, void *const *out)
{
    kl_sizes z = {f->in, f->out, dims};
    return f->run ? dims ? kl_function_call_sized(f, dims, in, out)
                         : kl_function_call(f, in, out)
                  : run(f, &z, in, out);
}

const kl_program *kl_function_program(const kl_function *f)
{
    return f ? f->program : NULL;
}

int kl_function_inputs(const kl_function *f)
{
    return f ? f->nin : 0;
}
int kl_function_outputs(const kl_function *f)
{
    return f ? f->nout : 0;
}
const char *kl_function_name(const kl_function *f, int i)
{
    return f && i >= 0 && i < f->nin ? f->names[i] : "";
}

kl_dtype kl_function_in(const kl_function *f, int i, kl_ints *shape)
{
    if (!f || i < 0 || i >= f->nin)
        return KL_DTYPE_NONE;
    if (shape)
        *shape = f->in[i].shape;
    return f->in[i].dtype;
}

kl_dtype kl_function_out(const kl_function *f, int i, kl_ints *shape)
{
    if (!f || i < 0 || i >= f->nout)
        return KL_DTYPE_NONE;
    if (shape)
        *shape = f->out[i].shape;
    return f->out[i].dtype;
}

kl_status kl_function_counts(kl_function *f, int i, int of, int axis)
{
    return f ? kl_graph_counts(f->graph, (uint32_t)i, of, axis)
             : kl_fail(KL_ERR_ARG, "the function is NULL");
}

int kl_function_counted(const kl_function *f, int i, int *axis)
{
    if (!f || i < 0 || i >= f->nout || !f->graph->counts || !f->graph->counts[i].of)
        return -1;
    *axis = f->graph->counts[i].axis;
    return f->graph->counts[i].of - 1;
}

/* ---- from a trace ---- */

/* donated NULL: none. */
static kl_status donate(kl_function *f, const int *donated)
{
    for (int o = 0; donated && o < f->nout; o++) {
        if (donated[o] < 0 || donated[o] > f->nin)
            return kl_fail(KL_ERR_ARG, "output %d: there is no input number %d", o,
                           donated[o] - 1);
        if (donated[o] > 0)
            KL_TRY(kl_graph_donate(f->graph, (uint32_t)o, (uint32_t)donated[o] - 1));
    }
    return KL_OK;
}

kl_function *kl_function_from(const kl_linear *l, int nin, const char *const *names,
                              const int *donated, kl_follow *open)
{
    kl_graph *g = NULL;
    kl_arena *a = kl_arena_new();
    if (!a || (open ? kl_follow_read(open, a, &g) : kl_import(l, a, NULL, &g))) {
        kl_arena_free(a);
        return NULL;
    }
    kl_function *f = function_new(g, a, nin);
    kl_status st = f ? KL_OK : KL_ERR_OOM;
    if (f)
        describe_all(f);
    if (st == KL_OK)
        st = donate(f, donated);
    for (int i = 0; st == KL_OK && i < f->nall; i++) {
        kl_lazy *n = l->inputs.v[i];
        st = name_input(f, i, i < nin ? names[i] : n->name);
        if (st == KL_OK && i >= nin &&
            n->small) { /* a number: its bytes move out of the node */
            f->held[i] = kl_memory_new(0, 64);
            if (f->held[i])
                memcpy(f->held[i]->base, kl_lazy_small_bytes(n), f->in[i].bytes);
        } else if (st == KL_OK && i >= nin && kl_lazy_mem(n) && kl_lazy_mem(n)->device) {
            st = kl_fail(KL_ERR_DEVICE,
                         "a function works on the host's memory; the captured "
                         "tensor %s is on a device",
                         f->names[i]);
        } else if (st == KL_OK && i >= nin) {
            f->held[i] = kl_memory_ref(kl_lazy_mem(n));
        }
        if (st == KL_OK && i >= nin && !f->held[i])
            st = kl_fail(KL_ERR_STATE, "a parameter of another function being traced");
    }
    if (st == KL_OK && build(f) == KL_OK)
        return f;
    kl_function_free(f);
    return NULL;
}

/* ---- files ---- */

static bool weights_path(const char *path, char *out, size_t cap)
{
    size_t n = strlen(path);
    if (n < 4 || strcmp(path + n - 3, ".kl") != 0 || n + 12 > cap) {
        kl_fail(KL_ERR_IO, "%s: a program's path ends in .kl", path);
        return false;
    }
    snprintf(out, cap, "%.*s.safetensors", (int)(n - 3), path);
    return true;
}

static const char *file_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static kl_status save_weights(const kl_function *f, const char *path)
{
    kl_archive a = {0};
    kl_status st = KL_OK;
    for (int i = f->nin; i < f->nall && st == KL_OK; i++) {
        kl_buffer b;
        fill(&f->in[i], f->held[i], &b);
        st = kl_archive_add(&a, f->names[i], &b);
    }
    if (st == KL_OK)
        st = kl_safetensors_write(path, &a);
    kl_archive_free(&a);
    return st;
}

/* The graph is called as its file. */
static kl_status rename_graph(kl_function *f, const char *path)
{
    char name[100];
    const char *p = file_name(path);
    size_t n = 0;
    for (; p[n] && p[n] != '.' && n < sizeof name - 1; n++) {
        bool plain = (p[n] >= 'a' && p[n] <= 'z') || (p[n] >= 'A' && p[n] <= 'Z') ||
                     (n && p[n] >= '0' && p[n] <= '9');
        name[n] = plain ? p[n] : '_';
    }
    name[n] = 0;
    f->graph->name = kl_arena_strdup(f->arena, n ? name : "g");
    return f->graph->name ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for a name");
}

kl_status kl_program_save_at(const char *at, const kl_function *f, const char *path)
{
    char weights[4096];
    kl_call c = kl_call_begin(at);
    kl_text text = {0};
    kl_function *w = (kl_function *)(uintptr_t)f;
    if (!f || !path || !weights_path(path, weights, sizeof weights))
        return kl_call_done(
            &c, f && path ? KL_ERR_IO
                          : kl_fail(KL_ERR_ARG, "the function or the path is NULL"));
    kl_status st = rename_graph(w, path);
    w->graph->weights =
        f->nall > f->nin ? kl_arena_strdup(f->arena, file_name(weights)) : NULL;
    if (st == KL_OK && f->nall > f->nin)
        st = save_weights(f, weights);
    if (st == KL_OK)
        kl_graph_print(f->graph, &text);
    if (text.failed)
        st = kl_fail(KL_ERR_OOM, "out of memory to print a program");
    if (st == KL_OK)
        st = kl_file_write(path, text.s, text.len);
    kl_text_free(&text);
    return kl_call_done(&c, st);
}

/* ---- reading ---- */

static int find(const kl_archive *a, const char *name)
{
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->items[i].name, name) == 0)
            return (int)i;
    return -1;
}

static const char *input_name(const kl_graph *g, uint32_t i)
{
    uint32_t s = g->nodes[g->inputs[i]].name;
    return s == KL_NONE ? "" : g->strings[s];
}

/* Inputs named in the weights' file must come after the others. */
static kl_status bind(const char *path, kl_function *f, const kl_archive *a)
{
    for (int i = 0; i < f->nall; i++) {
        const char *name = input_name(f->graph, (uint32_t)i);
        int k = find(a, name);
        f->names[i] = name;
        if ((k >= 0) != (i >= f->nin))
            return kl_fail(KL_ERR_PARSE, "%s: input %s stands among the weights' inputs",
                           path, name);
        if (k < 0)
            continue;
        const kl_buffer *b = &a->items[k].buffer;
        bool same =
            b->dtype == f->in[i].dtype && b->rank == f->in[i].shape.n &&
            memcmp(b->shape, f->in[i].shape.v, (size_t)b->rank * sizeof *b->shape) == 0;
        if (!same)
            return kl_fail(
                KL_ERR_PARSE,
                "%s: weight %s has another dtype or shape than the program says", path,
                name);
        f->held[i] = kl_memory_new(0, f->in[i].bytes);
        if (!f->held[i])
            return kl_error_status();
        kl_buffer own;
        fill(&f->in[i], f->held[i], &own);
        kl_buffer_copy(&own, b);
    }
    return KL_OK;
}

static kl_status read_weights(const char *path, const kl_graph *g, kl_archive *a)
{
    char full[4096];
    if (!g->weights)
        return KL_OK;
    int dir = (int)(file_name(path) - path);
    if (snprintf(full, sizeof full, "%.*s%s", dir, path, file_name(g->weights)) >=
        (int)sizeof full)
        return kl_fail(KL_ERR_IO, "%s: the path is too long", path);
    return kl_safetensors_read(full, a);
}

static kl_function *load(const char *path, const char *text, kl_arena *arena)
{
    kl_graph *g = NULL;
    kl_archive a = {0};
    kl_function *f = NULL;
    int nin = 0;
    kl_status st = kl_graph_parse(arena, path, text, &g);
    if (st == KL_OK)
        st = read_weights(path, g, &a);
    while (st == KL_OK && nin < (int)g->ninputs &&
           find(&a, input_name(g, (uint32_t)nin)) < 0)
        nin++;
    if (st == KL_OK) {
        f = function_new(g, arena, nin);
        arena = NULL; /* the function's, or gone with it */
        st = f ? KL_OK : KL_ERR_OOM;
    }
    if (f)
        describe_all(f);
    if (f && st == KL_OK)
        st = bind(path, f, &a);
    if (f && st == KL_OK)
        st = build(f);
    kl_archive_free(&a);
    if (st == KL_OK && f)
        return f;
    kl_function_free(f);
    kl_arena_free(arena);
    return NULL;
}

kl_function *kl_program_load_at(const char *at, const char *path)
{
    kl_call c = kl_call_begin(at);
    void *bytes = NULL;
    size_t size = 0;
    kl_text text = {0};
    kl_function *f = NULL;
    kl_arena *a = kl_arena_new();
    kl_status st = !path ? kl_fail(KL_ERR_ARG, "the path is NULL")
                   : a   ? kl_file_read(path, &bytes, &size)
                         : kl_fail(KL_ERR_OOM, "out of memory for a program");
    if (st == KL_OK) {
        kl_text_putn(&text, bytes, size);
        kl_free(bytes, size);
    }
    if (text.failed)
        st = kl_fail(KL_ERR_OOM, "out of memory for a program");
    if (st == KL_OK && text.s && kl_lapack_names() == KL_OK)
        f = load(path, text.s, a);
    else
        kl_arena_free(a);
    if (st == KL_OK && !f && !kl_failed())
        kl_fail(KL_ERR_PARSE, "%s: no program", path);
    kl_text_free(&text);
    kl_call_done(&c, KL_OK);
    return f;
}
