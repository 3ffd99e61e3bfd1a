/* bisect.c: which pass changes a result.
 *
 *   kilnc bisect net.kl [--seed=N]
 *
 * The graph is interpreted by definition, then again after each pass over graphs; lowered
 * kernels are interpreted as loops, unfused and fused; last the compiled program itself
 * runs. Results must be equal to the bit, all NaNs counting as one. At the first that is
 * not, the pass is named and the smallest part of the graph that shows it is printed.
 *
 *   # simplify: output 0 differs at element 3
 *   graph g(%x: f32[4]) { .. } */
#include "kilnc.h"

#include "front.h"

enum { UNFUSED = 5, NATIVE = 7 };
static const struct {
    const char *name, *last; /* passes up to */
} stages[] = {{"inline", "inline"},     {"complex", "complex"},
              {"simplify", "simplify"}, {"turn", "turn"},
              {"stride", "stride"},     {"schedule or lower", "plan"},
              {"fuse", "plan"},         {"code generation", NULL}};

typedef struct trial {
    uint64_t seed;
    int stage;
    kl_text *why; /* where it differs; NULL: not wanted */
} trial;

/* ---- data ---- */

static uint64_t draw(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

static void fill(kl_buffer *b, int64_t n, int64_t limit, uint64_t *seed)
{
    kl_dtype real = kl_dtypes[b->dtype].real;
    int size = kl_dtypes[real].size;
    n = n * kl_dtypes[b->dtype].size / size;
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = draw(seed);
        kl_scalar v =
            kl_is_float(real)
                ? kl_scalar_from(real, (double)(int64_t)(r % 4001) / 1000.0 - 2.0)
                : kl_scalar_from_int(real, (int64_t)(r % (uint64_t)limit));
        if (real == KL_BOOL)
            v.bits = r & 1;
        memcpy((char *)b->mem->base + i * size, &v, (size_t)size);
    }
}

/* About 5, within its bounds. */
static void symbol_values(const kl_graph *g, int64_t *syms)
{
    for (int i = 0; i < kl_dim_sym_count(g->dims); i++) {
        int64_t min, max, div;
        kl_dim_sym_facts(g->dims, i, &min, &max, &div);
        syms[i] = (KL_MAX(min, 5) + div - 1) / div * div;
        if (syms[i] > max)
            syms[i] = (min + div - 1) / div * div;
    }
}

typedef struct bench { /* one graph with its data */
    const kl_graph *g;
    int64_t syms[64];
    kl_buffer *in, *want, *got;
} bench;

static kl_status new_buffer(const bench *b, kl_ref r, kl_buffer *out, int64_t *count)
{
    const kl_node *n = kl_graph_at(b->g, r);
    int64_t shape[KL_MAX_RANK];
    for (int i = 0; i < n->rank; i++)
        shape[i] = kl_dim_eval(b->g->dims, kl_graph_shape(b->g, r)[i], b->syms);
    KL_TRY(kl_shape_count(n->rank, shape, (kl_dtype)n->dtype, count));
    return kl_buffer_new((kl_dtype)n->dtype, n->rank, shape, out);
}

static kl_status new_results(const bench *b)
{
    int64_t n;
    for (uint32_t i = 0; i < b->g->noutputs; i++)
        KL_TRY(new_buffer(b, b->g->outputs[i], &b->got[i], &n));
    return KL_OK;
}

static void drop(kl_buffer *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        kl_memory_unref(b[i].mem);
}

/* ---- running ---- */

static kl_status run_loops(const bench *b, const kl_unit *u)
{
    size_t size = (size_t)kl_program_peak(u->program, b->syms) + 64;
    void **in = kl_arena_alloc(u->arena, (b->g->ninputs + 1) * sizeof *in);
    void **out = kl_arena_alloc(u->arena, (b->g->noutputs + 1) * sizeof *out);
    char *arena = kl_alloc_zeroed(size);
    kl_status s = arena && in && out ? new_results(b)
                                     : kl_fail(KL_ERR_OOM, "bisect: out of memory");
    for (uint32_t i = 0; s == KL_OK && i < b->g->ninputs; i++)
        in[i] = b->in[i].mem->base;
    for (uint32_t i = 0; s == KL_OK && i < b->g->noutputs; i++)
        out[i] = b->got[i].mem->base;
    if (s == KL_OK)
        s = kl_unit_interp(u, in, out, arena, b->syms);
    kl_free(arena, size);
    return s;
}

static kl_status run_native(const bench *b, kl_graph *g)
{
    kl_program *p;
    void **in = kl_arena_alloc(g->arena, (g->ninputs + 1) * sizeof *in);
    void **out = kl_arena_alloc(g->arena, (g->noutputs + 1) * sizeof *out);
    if (!in || !out)
        return kl_fail(KL_ERR_OOM, "bisect: out of memory");
    KL_TRY(new_results(b));
    for (uint32_t i = 0; i < g->ninputs; i++)
        in[i] = b->in[i].mem->base;
    for (uint32_t i = 0; i < g->noutputs; i++)
        out[i] = b->got[i].mem->base;
    KL_TRY(kl_compile_graph(g, 0, &p));
    kl_status s = kl_program_run(p, in, out, b->syms);
    kl_program_unref(p);
    return s;
}

/* A copy to work on: the passes may change a graph in place. */
static kl_status copy_graph(const kl_graph *g, kl_arena *a, kl_graph **out)
{
    kl_text t = {0};
    kl_graph_print(g, &t);
    kl_status s = t.failed ? kl_fail(KL_ERR_OOM, "bisect: out of memory")
                           : kl_graph_parse(a, g->name, t.s, out);
    kl_text_free(&t);
    return s;
}

/* After pass "complex" an input of complex numbers is one of pairs: the same bytes. */
static kl_status run_graph(const bench *b, const kl_graph *g)
{
    kl_buffer *in = kl_arena_zeroed(g->arena, g->ninputs + 1, sizeof *in);
    if (!in)
        return kl_fail(KL_ERR_OOM, "bisect: out of memory");
    for (uint32_t i = 0; i < g->ninputs; i++) {
        in[i] = b->in[i];
        if (in[i].dtype != (kl_dtype)g->nodes[g->inputs[i]].dtype) {
            in[i].shape[in[i].rank++] = 2;
            in[i].dtype = kl_dtypes[in[i].dtype].real;
            kl_buffer_dense_strides(&in[i]);
        }
    }
    return kl_graph_interp(g, in, b->syms, b->got);
}

static kl_status run_stage(const bench *b, int stage, kl_arena *a)
{
    kl_unit u = {.arena = a, .target = kl_target_host(), .fuse_off = stage == UNFUSED};
    if (!u.target)
        return kl_error_status();
    KL_TRY(copy_graph(b->g, a, &u.graph));
    if (stage == NATIVE)
        return run_native(b, u.graph);
    KL_TRY(kl_pipeline_run(&u, NULL, stages[stage].last));
    if (!u.program)
        return run_graph(b, u.graph);
    kl_status s = run_loops(b, &u);
    kl_program_unref(u.program);
    return s;
}

/* ---- comparing ---- */

static bool same(kl_dtype dt, const char *a, const char *b)
{
    size_t size = kl_dtypes[dt].size;
    kl_scalar x = {.bits = 0}, y = {.bits = 0};
    if (memcmp(a, b, size) == 0 || !kl_is_float(dt))
        return memcmp(a, b, size) == 0;
    memcpy(&x, a, size);
    memcpy(&y, b, size);
    double dx = kl_scalar_to_double(dt, x), dy = kl_scalar_to_double(dt, y);
    return dx != dx && dy != dy;
}

/* The first real number of output i that differs; -1: none. */
static int64_t first_difference(const kl_buffer *a, const kl_buffer *b)
{
    kl_dtype real = kl_dtypes[a->dtype].real;
    int64_t n = 0, size = kl_dtypes[real].size;
    if (kl_shape_count(a->rank, a->shape, a->dtype, &n) != KL_OK)
        return -1;
    n = n * kl_dtypes[a->dtype].size / size;
    for (int64_t j = 0; j < n; j++)
        if (!same(real, kl_buffer_data(a) + j * size, kl_buffer_data(b) + j * size))
            return j;
    return -1;
}

static bool differs(const bench *b, const trial *t)
{
    for (uint32_t i = 0; i < b->g->noutputs; i++) {
        int64_t at = first_difference(&b->want[i], &b->got[i]);
        if (at >= 0 && t->why)
            kl_text_printf(t->why, "%s: output %u differs at element %lld",
                           stages[t->stage].name, i, (long long)at);
        if (at >= 0)
            return true;
    }
    return false;
}

static kl_status draw_inputs(bench *b, const trial *t, int64_t limit)
{
    uint64_t seed = t->seed;
    for (uint32_t i = 0; i < b->g->ninputs; i++) {
        int64_t n;
        kl_memory_unref(b->in[i].mem);
        b->in[i].mem = NULL;
        KL_TRY(new_buffer(b, b->g->inputs[i], &b->in[i], &n));
        fill(&b->in[i], n, limit, &seed);
    }
    return KL_OK;
}

/* Whole numbers may be indices: if those drawn are out of range, zeros. */
static kl_status compare(bench *b, const trial *t, kl_arena *a, bool *differ)
{
    if (kl_dim_sym_count(b->g->dims) > (int)KL_COUNT(b->syms))
        return kl_fail(KL_ERR_UNSUPPORTED, "bisect: more than 64 dimensions");
    symbol_values(b->g, b->syms);
    KL_TRY(draw_inputs(b, t, 10));
    kl_status s = kl_graph_interp(b->g, b->in, b->syms, b->want);
    if (s == KL_ERR_INDEX) {
        kl_error_clear();
        KL_TRY(draw_inputs(b, t, 1));
        s = kl_graph_interp(b->g, b->in, b->syms, b->want);
    }
    KL_TRY(s);
    KL_TRY(run_stage(b, t->stage, a));
    *differ = differs(b, t);
    return KL_OK;
}

static kl_status try_graph(const kl_graph *g, const trial *t, bool *differ)
{
    kl_arena *a = kl_arena_new();
    bench b = {.g = g};
    *differ = false;
    if (!a)
        return kl_fail(KL_ERR_OOM, "bisect: out of memory");
    b.in = kl_arena_zeroed(a, g->ninputs + 1, sizeof *b.in);
    b.want = kl_arena_zeroed(a, g->noutputs + 1, sizeof *b.want);
    b.got = kl_arena_zeroed(a, g->noutputs + 1, sizeof *b.got);
    bool ready = b.in && b.want && b.got;
    kl_status s =
        ready ? compare(&b, t, a, differ) : kl_fail(KL_ERR_OOM, "bisect: out of memory");
    if (ready) {
        drop(b.in, g->ninputs);
        drop(b.want, g->noutputs);
        drop(b.got, g->noutputs);
    }
    kl_arena_free(a);
    return s;
}

static bool still_differs(void *user, const kl_graph *part)
{
    bool differ = false;
    if (try_graph(part, user, &differ) != KL_OK)
        kl_error_clear(); /* a part that cannot be run shows nothing */
    return differ;
}

/* ---- the command ---- */

static kl_status report(kl_graph *g, trial *t, kl_text *out)
{
    bool differ;
    kl_text why = {0};
    KL_TRY(kl_graph_shrink(&g, still_differs, t));
    t->why = &why;
    kl_status s = try_graph(g, t, &differ);
    if (s == KL_OK) {
        kl_text_printf(out, "# %s\n", why.s ? why.s : stages[t->stage].name);
        kl_graph_print(g, out);
    }
    kl_text_free(&why);
    return s;
}

static kl_status bisect(kl_graph *g, uint64_t seed, kl_text *out)
{
    for (size_t i = 0; i < KL_COUNT(stages); i++) {
        trial t = {.seed = seed, .stage = (int)i};
        bool differ;
        KL_TRY(try_graph(g, &t, &differ));
        if (differ)
            return report(g, &t, out);
    }
    kl_text_put(out, "no pass changes a result\n");
    return KL_OK;
}

static kl_status read_arguments(int argc, char **argv, const char **model, int64_t *seed)
{
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "--seed=", 7) == 0) {
            const char *end = kl_scan_int(argv[i] + 7, seed);
            if (end == argv[i] + 7 || *end)
                return kl_fail(KL_ERR_ARG, "bisect: '%.40s' is no number", argv[i] + 7);
        } else if (*model || argv[i][0] == '-') {
            return kl_fail(KL_ERR_ARG, "bisect: MODEL.kl and perhaps --seed=N");
        } else {
            *model = argv[i];
        }
    }
    return *model ? KL_OK : kl_fail(KL_ERR_ARG, "bisect: no model");
}

kl_status kl_command_bisect(int argc, char **argv, kl_text *out)
{
    const char *model = NULL;
    int64_t seed = 1;
    kl_model m;
    KL_TRY(read_arguments(argc, argv, &model, &seed));
    kl_status s = kl_model_open(model, NULL, false, NULL, &m);
    if (s == KL_OK) { /* the interpreter knows no derivatives: they are expanded first */
        kl_unit u = {.arena = m.arena, .target = kl_target_host(), .graph = m.graph};
        s = u.target ? kl_pipeline_run(&u, NULL, "autodiff") : kl_error_status();
        if (s == KL_OK)
            s = bisect(u.graph, (uint64_t)seed, out);
    }
    kl_model_free(&m);
    return s;
}
