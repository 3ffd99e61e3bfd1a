/* golden.c: runs the text files below a folder. Each is a program, the passes to run on
 * it, and the text expected of them:
 *
 *   # A row's softmax is one kernel.   what the file shows
 *   # stage: simplify fuse       passes in order; "parse" runs none; "cuda" and "llvm"
 * after them print what these emitters make of the kernels # target: x86-64-v3 that is
 * the default graph g(..) { .. }           or kernel .., or loops ..
 *   ---- expect
 *   graph g(..) { .. }           or "error: STATUS: SENTENCE"
 *
 * Several cases may stand in one file, apart by lines "---- next"; lines count from each.
 *
 *   golden [--bless] [--all] FOLDER..    --bless writes the texts as they are now; --all:
 * a pass or an emitter without a file is a failure
 *
 * Besides the text: what is printed parses back to the same program, before and after
 * each pass; and both sides compute the same bits on random inputs: graphs by the
 * interpreter, kernels and what follows by the rest of the passes and the interpreter of
 * loops. A file whose sides differ is not blessed. The text of LLVM is what we emit,
 * before its own passes. */
#include "codegen/codegen.h"
#include "passes/passes.h"
#include "unit/harness.h"
#include "unit/same_text.h"

#include <dirent.h>
#include <sys/stat.h>

static int passed, failed, blessed;
static bool bless;

typedef struct file {
    const char *path, *name;
    char *text, *expect; /* the program; what follows the line "---- expect" */
    char stage[256], target[64];
} file;

static void complain(const file *f, const char *what)
{
    fprintf(stderr, "%s: %s\n", f->path, what);
}

/* ---- reading ---- */

static void header(const char *text, const char *key, char *out, size_t cap)
{
    const char *p = strstr(text, key);
    if (!p || (p != text && p[-1] != '\n'))
        return;
    p += strlen(key);
    p += strspn(p, " ");
    size_t n = strcspn(p, "\n");
    n = KL_MIN(n, cap - 1);
    memcpy(out, p, n);
    out[n] = 0;
}

static bool split(file *f)
{
    static const char line[] = "\n---- expect\n";
    char *at = strstr(f->text, line);
    if (!at)
        return false;
    f->expect = at + sizeof line - 1;
    at[1] = 0;
    snprintf(f->target, sizeof f->target, "x86-64-v3");
    header(f->text, "# stage:", f->stage, sizeof f->stage);
    header(f->text, "# target:", f->target, sizeof f->target);
    return *f->stage;
}

/* ---- running ---- */

typedef struct side { /* a program at its level */
    kl_unit unit;
    kl_level level;
    void (*emit)(const struct side *s, kl_text *out); /* NULL: its text at that level */
} side;

static bool begins(const char *text, const char *word)
{
    kl_lex l;
    kl_lex_init(&l, "", text);
    return kl_lex_is(&l, word);
}

static kl_status parse(kl_arena *a, const char *name, const char *text, side *s)
{
    *s = (side){.unit = {.arena = a, .share = KL_SHARE}, .level = KL_LEVEL_GRAPH};
    if (begins(text, "program")) {
        s->level = KL_LEVEL_PLAN;
        return kl_program_parse(name, text, &s->unit.program);
    }
    if (!begins(text, "kernel") && !begins(text, "loops"))
        return kl_graph_parse(a, name, text, &s->unit.graph);
    s->level = begins(text, "kernel") ? KL_LEVEL_KERNEL : KL_LEVEL_LOOPS;
    s->unit.kernels = kl_arena_zeroed(a, 1, sizeof *s->unit.kernels);
    s->unit.nkernels = 1;
    if (s->level == KL_LEVEL_LOOPS)
        return kl_loops_parse(a, name, text, s->unit.kernels);
    KL_TRY(kl_kernel_parse(a, name, text, s->unit.kernels));
    return kl_kernel_verify(s->unit.kernels[0]);
}

static bool reads_back(const file *f, const kl_unit *u, kl_level level)
{
    kl_text t = {0}, again = {0};
    kl_arena *a = kl_arena_new();
    side back;
    kl_unit_print(u, level, &t);
    bool same = parse(a, f->name, t.s, &back) == KL_OK;
    if (same)
        kl_unit_print(&back.unit, back.level, &again);
    if (same && level != KL_LEVEL_GRAPH) {
        words_only(t.s);
        words_only(again.s);
    }
    same = same && strcmp(t.s, again.s) == 0;
    if (!same)
        fprintf(stderr, "%s: this does not read back: %s\n%s\n", f->path, kl_error(),
                t.s);
    kl_program_unref(back.unit.program);
    kl_text_free(&t);
    kl_text_free(&again);
    kl_arena_free(a);
    return same;
}

/* Kernels and loops are texts of their own, one each. */
static bool round_trip(const file *f, const side *s)
{
    bool same = true;
    if (s->level == KL_LEVEL_GRAPH || s->level == KL_LEVEL_PLAN)
        return reads_back(f, &s->unit, s->level);
    for (int i = 0; i < s->unit.nkernels && same; i++) {
        kl_unit one = {.kernels = &s->unit.kernels[i], .nkernels = 1};
        same = reads_back(f, &one, s->level);
    }
    return same;
}

static void print_cuda(const side *s, kl_text *out)
{
    const kl_unit *u = &s->unit;
    if (kl_codegen_cuda((const kl_kernel *const *)u->kernels, u->nkernels, u->target,
                        KL_CUDA_BODY, out) != KL_OK)
        kl_text_printf(out, "error: %s: %s\n", kl_status_name(kl_error_status()),
                       kl_error());
}

/* The functions alone: what stands around them is LLVM's. */
static void print_functions(const char *text, kl_text *out)
{
    for (const char *at = text; (at = strstr(at, "\ndefine "));) {
        const char *end = strstr(at, "\n}\n");
        kl_text_putn(out, at + 1, (size_t)(end + 3 - at - 1));
        at = end;
    }
}

static void print_llvm(const side *s, kl_text *out)
{
    kl_llvm_unit m;
    kl_status st = kl_llvm_begin(&m, "golden", s->unit.target, KL_LLVM_NORMAL, true);
    for (int i = 0; i < s->unit.nkernels && st == KL_OK; i++) {
        char symbol[128];
        kl_codegen_symbol(s->unit.kernels[i]->name, symbol, sizeof symbol);
        st = kl_llvm_kernel(&m, s->unit.kernels[i], symbol, s->unit.arena);
    }
    if (st == KL_OK) {
        size_t start = out->len;
        char *text = LL.PrintModuleToString(m.mod);
        print_functions(text, out);
        LL.DisposeMessage(text);
        kl_text_wrap(out, start, ';');
    } else {
        kl_text_printf(out, "error: %s: %s\n", kl_status_name(st), kl_error());
    }
    kl_llvm_end(&m);
}

static const struct {
    const char *name;
    void (*emit)(const side *s, kl_text *out);
} emitters[] = {{"cuda", print_cuda}, {"llvm", print_llvm}};

static kl_status verify(const side *s)
{
    if (s->level == KL_LEVEL_GRAPH)
        return kl_graph_verify(s->unit.graph);
    if (s->level == KL_LEVEL_PLAN)
        return kl_program_verify(s->unit.program);
    return s->level == KL_LEVEL_KERNEL ? kl_kernel_verify(s->unit.kernels[0])
                                       : kl_loops_verify(s->unit.kernels[0]);
}

static kl_status run_stage(side *s, const char *stage)
{
    for (size_t i = 0; i < KL_COUNT(emitters); i++)
        if (strcmp(emitters[i].name, stage) == 0) {
            s->emit = emitters[i].emit;
            return KL_OK;
        }
    if (strcmp(stage, "parse") == 0)
        return verify(s);
    KL_TRY(kl_pipeline_run(&s->unit, stage, stage));
    for (int i = 0; i < kl_pipeline_count; i++)
        if (strcmp(kl_pipeline[i].name, stage) == 0)
            s->level = kl_pipeline[i].out;
    return KL_OK;
}

enum { STAGES = 16 };
static int shown[STAGES]; /* files that end with that pass, then that emitter */
_Static_assert(KL_COUNT(emitters) + 8 <= STAGES, "room for passes and emitters");

static const char *stage_name(int i)
{
    return i < kl_pipeline_count ? kl_pipeline[i].name
                                 : emitters[i - kl_pipeline_count].name;
}

static int stage_count(void)
{
    return kl_pipeline_count + (int)KL_COUNT(emitters);
}

/* Each in turn, reading back what it gives. */
static kl_status run_passes(const file *f, side *s, bool *good)
{
    char stage[256], last[32] = "";
    snprintf(stage, sizeof stage, "%s", f->stage);
    for (char *save, *p = strtok_r(stage, " ", &save); p;
         p = strtok_r(NULL, " ", &save)) {
        KL_TRY(run_stage(s, p));
        *good = round_trip(f, s) && *good;
        snprintf(last, sizeof last, "%s", p);
    }
    for (int i = 0; i < stage_count(); i++)
        shown[i] += strcmp(stage_name(i), last) == 0;
    return KL_OK;
}

/* ---- the same on both sides ---- */

static uint64_t seed;
static uint64_t rnd(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
}

static void random_element(kl_dtype dt, void *at)
{
    static const double special[] = {0.0, -0.0, 1.0, -1.0, 0.5, 3.0, 1e30, -1e-30};
    double v = rnd() % 3 ? (double)rnd() / 1e9 - 1.0 : special[rnd() % KL_COUNT(special)];
    float f = (float)v;
    uint16_t h = dt == KL_F16 ? kl_f64_to_f16(v) : kl_f64_to_bf16(v);
    int64_t i = dt == KL_BOOL ? (int64_t)(rnd() & 1) : (int64_t)(rnd() % 4);
    bool wide = kl_dtypes[dt].size == 8;
    if (kl_is_float(dt))
        memcpy(at,
               dt == KL_F64   ? (void *)&v
               : dt == KL_F32 ? (void *)&f
                              : (void *)&h,
               kl_dtypes[dt].size);
    else
        memcpy(at, &i, wide ? 8 : kl_dtypes[dt].size);
}

static bool random_input(const kl_graph *g, kl_ref r, const int64_t *syms, kl_buffer *out)
{
    kl_type t;
    int64_t n;
    kl_graph_type(g, r, &t);
    *out = (kl_buffer){.dtype = t.dtype, .rank = t.rank};
    for (int i = 0; i < t.rank; i++)
        out->shape[i] = kl_dim_eval(g->dims, t.shape[i], syms);
    if (kl_shape_count(t.rank, out->shape, t.dtype, &n) != KL_OK || n > 1 << 20)
        return false;
    kl_buffer_dense_strides(out);
    out->mem = kl_memory_new(0, (size_t)n * kl_dtypes[t.dtype].size + 1);
    kl_dtype part = kl_dtypes[t.dtype].real;
    size_t size = kl_dtypes[part].size,
           parts = (size_t)n * (kl_is_complex(t.dtype) ? 2 : 1);
    for (size_t i = 0; out->mem && i < parts; i++)
        random_element(part, (char *)out->mem->base + i * size);
    return out->mem != NULL;
}

/* Values of the symbols: small ones that keep their bounds and divisors. */
static int64_t *small_symbols(const kl_graph *g)
{
    int n = kl_dim_sym_count(g->dims);
    int64_t *v = kl_arena_zeroed(g->arena, (size_t)n + 1, sizeof *v), min, max, div;
    for (int i = 0; v && i < n; i++) {
        kl_dim_sym_facts(g->dims, i, &min, &max, &div);
        v[i] = (KL_MAX(min, 1) + 4 + div - 1) / div * div;
        v[i] = v[i] > max ? max / div * div : v[i];
    }
    return v;
}

static bool same_buffer(const kl_buffer *a, const kl_buffer *b)
{
    kl_dtype part = kl_dtypes[a->dtype].real;
    size_t size = kl_dtypes[part].size, n = (size_t)kl_dtypes[a->dtype].size;
    for (int i = 0; i < a->rank; i++)
        n *= (size_t)a->shape[i];
    size_t bytes_b = kl_dtypes[b->dtype].size;
    for (int i = 0; i < b->rank; i++)
        bytes_b *= (size_t)b->shape[i];
    bool same = n == bytes_b;
    for (size_t i = 0; same && i < n; i += size)
        same = same_element(part, (char *)a->mem->base + i, (char *)b->mem->base + i);
    return same;
}

/* What a graph gives on these inputs; false: it cannot be run (grad nodes, native calls).
 */
static bool run(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                kl_buffer *out)
{
    for (kl_ref r = 0; r < g->count; r++)
        if (kl_ops[g->nodes[r].op].kind == KL_KIND_TRANSFORM)
            return false;
    bool ok = kl_graph_interp(g, in, syms, out) == KL_OK;
    kl_error_clear();
    return ok;
}

/* The same bytes as the inputs of a graph whose types differ (complex numbers as pairs).
 */
static void retype(const kl_graph *g, const kl_buffer *in, const int64_t *syms,
                   kl_buffer *out)
{
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_type t;
        kl_graph_type(g, g->inputs[i], &t);
        out[i] = (kl_buffer){.mem = in[i].mem, .dtype = t.dtype, .rank = t.rank};
        for (int k = 0; k < t.rank; k++)
            out[i].shape[k] = kl_dim_eval(g->dims, t.shape[k], syms);
        kl_buffer_dense_strides(&out[i]);
    }
}

/* Compares bits of two graphs' results, or of a graph and of kernels. */
typedef struct trial {
    kl_buffer in[64], a[64], b[64];
    int64_t *syms;
} trial;

static bool trial_open(const kl_graph *g, trial *t)
{
    bool ok = g->ninputs <= 64 && g->noutputs <= 64;
    for (uint32_t i = 0; i < g->ninputs; i++)
        ok = ok && kl_graph_at(g, g->inputs[i])->nattr == 1; /* dense */
    *t = (trial){.syms = small_symbols(g)};
    seed = 1;
    for (uint32_t i = 0; ok && i < g->ninputs; i++)
        ok = random_input(g, g->inputs[i], t->syms, &t->in[i]);
    return ok && run(g, t->in, t->syms, t->a);
}

static void trial_close(trial *t)
{
    for (int i = 0; i < 64; i++) {
        kl_memory_unref(t->in[i].mem);
        kl_memory_unref(t->a[i].mem);
        kl_memory_unref(t->b[i].mem);
    }
}

/* The passes that are still to come, then the loops as the plan says. */
static bool run_kernels(side *s, const kl_graph *origin, trial *t)
{
    int next = 0;
    while (next < kl_pipeline_count && kl_pipeline[next].in < s->level)
        next++;
    if (s->level != KL_LEVEL_PLAN &&
        kl_pipeline_run(&s->unit, kl_pipeline[next].name, NULL) != KL_OK)
        return false;
    bool ok = true;
    for (uint32_t i = 0; i < origin->noutputs && ok; i++)
        ok = new_dense(t->a[i].dtype, t->a[i].rank, t->a[i].shape, &t->b[i]) == KL_OK;
    return ok && run_loops(&s->unit, t->in, t->syms, t->b) == KL_OK;
}

static bool calls_native(const kl_unit *u)
{
    for (int i = 0; i < u->nkernels; i++)
        if (u->kernels[i]->call)
            return true;
    return false;
}

/* Do both sides give the same bits? What cannot be run (grad nodes, calls) passes. */
static bool same_bits(const kl_graph *before, side *s)
{
    trial t;
    kl_buffer retyped[64];
    bool same = true;
    const kl_graph *after = s->level == KL_LEVEL_GRAPH ? s->unit.graph : NULL;
    if (!trial_open(before, &t)) {
        trial_close(&t);
        return true;
    }
    if (after && after->ninputs == before->ninputs) {
        retype(after, t.in, t.syms, retyped);
        same = run(after, retyped, t.syms, t.b);
    } else if (!after && !calls_native(&s->unit)) {
        same = run_kernels(s, before, &t);
    }
    for (uint32_t i = 0; same && t.b[0].mem && i < before->noutputs; i++)
        same = same_buffer(&t.a[i], &t.b[i]);
    if (!same && kl_failed())
        fprintf(stderr, "%s\n", kl_error());
    trial_close(&t);
    return same;
}

/* ---- one file ---- */

/* The text that the file's program gives, or its error; false: it may not be blessed. */
static bool produce(const file *f, kl_arena *a, kl_text *out)
{
    side s, origin;
    bool good = true;
    kl_error_clear();
    kl_status st = parse(a, f->name, f->text, &s);
    if (st == KL_OK && !(s.unit.target = kl_target_find(f->target)))
        st = kl_error_status();
    if (st == KL_OK) {
        good = round_trip(f, &s);
        parse(a, f->name, f->text, &origin);
        st = run_passes(f, &s, &good);
    }
    if (st != KL_OK) {
        kl_text_printf(out, "error: %s: %s\n", kl_status_name(st), kl_error());
        return good;
    }
    if (s.emit)
        s.emit(&s, out);
    else
        kl_unit_print(&s.unit, s.level, out);
    if (origin.level == KL_LEVEL_GRAPH && !same_bits(origin.unit.graph, &s)) {
        complain(f, "the two sides compute different values");
        good = false;
    }
    kl_program_unref(s.unit.program);
    return good && !out->failed;
}

static void show_difference(const char *want, const char *is)
{
    int line = 1;
    while (*want && *want == *is) {
        line += *want == '\n';
        want++, is++;
    }
    fprintf(stderr,
            "  from line %d of the expected text:\n  expected: %.*s\n  found:    %.*s\n",
            line, (int)strcspn(want, "\n"), want, (int)strcspn(is, "\n"), is);
}

static void put_case(const file *f, const char *result, kl_text *whole)
{
    if (whole->len)
        kl_text_put(whole, "---- next\n");
    kl_text_put(whole, f->text);
    kl_text_put(whole, "---- expect\n");
    kl_text_put(whole, result);
}

/* whole gathers the file's cases as they are now; true: this one is as expected. */
static bool check_case(file *f, kl_text *whole)
{
    kl_arena *a = kl_arena_new();
    kl_text out = {0};
    bool good = split(f);
    if (!good)
        complain(f, "has no stage, or no line '---- expect'");
    good = good && produce(f, a, &out);
    if (good && strstr(f->path, "/refused/") && strncmp(out.s, "error: ", 7) != 0) {
        complain(f, "is not refused");
        fprintf(stderr, "%s\n", f->text);
        good = false;
    }
    bool same = good && strcmp(out.s, f->expect) == 0;
    if (good && !same && !bless) {
        complain(f, "differs");
        show_difference(f->expect, out.s);
    }
    if (good)
        put_case(f, bless ? out.s : f->expect, whole);
    failed += !good || (!same && !bless);
    passed += same || (good && bless);
    kl_text_free(&out);
    kl_arena_free(a);
    return same;
}

/* Cases of one file stand apart by lines "---- next". */
static void check_cases(file *f)
{
    static const char next[] = "\n---- next\n";
    int failures = failed, changed = 0;
    kl_text whole = {0};
    for (char *at = f->text, *end; at; at = end) {
        file one = {.path = f->path, .name = f->name, .text = at};
        end = strstr(at, next);
        if (end) {
            end[1] = 0;
            end += sizeof next - 1;
        }
        changed += !check_case(&one, &whole);
    }
    if (bless && changed && failed == failures) {
        failed += kl_file_write(f->path, whole.s, whole.len) != KL_OK;
        blessed++;
    }
    kl_text_free(&whole);
}

static void visit_file(const char *path)
{
    void *bytes;
    size_t size;
    const char *slash = strrchr(path, '/');
    file f = {.path = path, .name = slash ? slash + 1 : path};
    kl_error_clear();
    if (kl_file_read(path, &bytes, &size) != KL_OK) {
        complain(&f, kl_error());
        failed++;
        return;
    }
    f.text = malloc(size + 1);
    memcpy(f.text, bytes, size);
    f.text[size] = 0;
    kl_free(bytes, size);
    check_cases(&f);
    free(f.text);
}

static void visit(const char *folder)
{
    struct dirent **names;
    int n = scandir(folder, &names, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        char path[4096];
        struct stat st;
        const char *dot = strrchr(names[i]->d_name, '.');
        snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
        if (names[i]->d_name[0] != '.' && stat(path, &st) == 0) {
            if (S_ISDIR(st.st_mode))
                visit(path);
            else if (dot && strcmp(dot, ".kl") == 0)
                visit_file(path);
        }
        free(names[i]);
    }
    if (n >= 0)
        free(names);
}

static void check_all(void)
{
    for (int i = 0; i < stage_count(); i++)
        if (!shown[i]) {
            fprintf(stderr, "no golden file ends with the stage %s\n", stage_name(i));
            failed++;
        }
}

int main(int argc, char **argv)
{
    bool all = false;
    for (int i = 1; i < argc; i++) {
        struct stat st;
        if (strcmp(argv[i], "--bless") == 0)
            bless = true;
        else if (strcmp(argv[i], "--all") == 0)
            all = true;
        else if (stat(argv[i], &st) == 0 && S_ISDIR(st.st_mode))
            visit(argv[i]);
        else
            visit_file(argv[i]);
    }
    if (all)
        check_all();
    printf("%d as expected (%d blessed now), %d not\n", passed, blessed, failed);
    return failed || !passed;
}
