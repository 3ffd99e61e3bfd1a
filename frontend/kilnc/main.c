/* main.c: kilnc, the compiler as a command.
 *
 *   kilnc net.kl -o net.o --header net.h          an object and its header
 *   kilnc net.kl --emit=loops                     any stage, to standard output
 *   kilnc cache list                              sub-commands: cache, bisect
 *
 * Everything is made in memory first and written at the end: on failure there is one line
 * on standard error, nothing on standard output, no file, and the result is 1. */
#include "kilnc.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char usage[] =
    "kilnc MODEL.kl|MODEL.onnx [OPTION..]\n"
    "  -o OUT.{o,a,so,c,ptx,cubin}  an object, a static or a shared library; C; a GPU's "
    "module\n"
    "  --launcher OUT.c         beside a module: C that opens the driver and runs it\n"
    "  --header OUT.h           its C header\n"
    "  --emit=STAGE             graph, kernel, loops, plan, llvm, asm, cuda, ptx, cubin "
    "or dot,\n"
    "                           to standard output, or to -o\n"
    "  --report OUT.html        a page that shows it all: graph, costs, kernels' forms\n"
    "  --check                  read and compile only; an ONNX model's operators\n"
    "  -g                       a line table; the loops' text goes to OUT.loops\n"
    "  --target=TRIPLE --cpu=NAME --arch=sm_NN\n"
    "                           the machine; this one's CPU unless given\n"
    "  --cpu=x86-64-v2,x86-64-v3,x86-64-v4\n"
    "                           several in one: the best that the processor has is run\n"
    "  --weights=embed|args|FILE  where the weights are: in the object, arguments, a "
    "file\n"
    "  --scratch=static|heap|caller  whose the working memory is\n"
    "  --name=NAME              the function's name; the model's unless given\n"
    "  --dims=D=N,E=LOW..HIGH   sizes of an ONNX model's open dimensions\n"
    "  --list-ops               the table of operations\n"
    "kilnc cache list | trim BYTES | why KEY\n"
    "kilnc bisect MODEL.kl      the first pass that changes a result\n";

/* ---- options ---- */

typedef struct option_row {
    const char *name;
    size_t value; /* offset of a text in kl_options; or */
    size_t flag;  /* offset of a bool */
} option_row;
#define TEXT(n, f)                                                                       \
    {                                                                                    \
        n, offsetof(kl_options, f), 0                                                    \
    }
#define FLAG(n, f)                                                                       \
    {                                                                                    \
        n, 0, offsetof(kl_options, f)                                                    \
    }
static const option_row rows[] = {TEXT("-o", out),
                                  TEXT("--header", header),
                                  TEXT("--emit", emit),
                                  TEXT("--report", report),
                                  TEXT("--launcher", launcher),
                                  TEXT("--target", target),
                                  TEXT("--cpu", cpu),
                                  TEXT("--arch", arch),
                                  TEXT("--weights", weights),
                                  TEXT("--scratch", scratch),
                                  TEXT("--name", name),
                                  TEXT("--dims", dims),
                                  FLAG("--check", check),
                                  FLAG("-g", lines),
                                  FLAG("--list-ops", list_ops),
                                  FLAG("--help", help),
                                  FLAG("-h", help),
                                  FLAG("--version", version)};

static kl_status set_option(kl_options *o, const option_row *row, const char *value)
{
    if (row->flag) {
        if (value)
            return kl_fail(KL_ERR_ARG, "%s takes no value", row->name);
        *(bool *)((char *)o + row->flag) = true;
        return KL_OK;
    }
    const char **at = (const char **)(void *)((char *)o + row->value);
    if (!value || !*value)
        return kl_fail(KL_ERR_ARG, "%s needs a value", row->name);
    if (*at)
        return kl_fail(KL_ERR_ARG, "%s is given twice", row->name);
    *at = value;
    return KL_OK;
}

/* "--emit=x", "--emit x", "-o x". */
static kl_status read_option(kl_options *o, char **argv, int argc, int *i)
{
    const char *arg = argv[*i], *equals = strchr(arg, '=');
    size_t n = equals ? (size_t)(equals - arg) : strlen(arg);
    for (size_t k = 0; k < KL_COUNT(rows); k++) {
        if (strlen(rows[k].name) != n || memcmp(rows[k].name, arg, n) != 0)
            continue;
        if (equals || rows[k].flag)
            return set_option(o, &rows[k], equals ? equals + 1 : NULL);
        return set_option(o, &rows[k], *i + 1 < argc ? argv[++*i] : NULL);
    }
    return kl_fail(KL_ERR_ARG, "no option %.80s; kilnc --help lists them", arg);
}

static kl_status read_options(kl_options *o, int argc, char **argv)
{
    *o = (kl_options){0};
    for (int i = 1; i < argc; i++) {
        if (argv[i][0] == '-' && argv[i][1]) {
            KL_TRY(read_option(o, argv, argc, &i));
        } else if (o->model) {
            return kl_fail(KL_ERR_ARG, "one model at a time: %.80s and %.80s", o->model,
                           argv[i]);
        } else {
            o->model = argv[i];
        }
    }
    return KL_OK;
}

static bool ends_with(const char *s, const char *end)
{
    size_t n = strlen(s), m = strlen(end);
    return n >= m && strcmp(s + n - m, end) == 0;
}

static bool is_module(const char *path)
{
    return ends_with(path, ".ptx") || ends_with(path, ".cubin");
}

bool kl_is_source(const kl_options *o)
{
    return o->out && !o->emit && ends_with(o->out, ".c");
}

static bool is_one_of(const char *s, const char *a, const char *b)
{
    return strcmp(s, a) == 0 || strcmp(s, b) == 0;
}

static kl_weights_mode weights_mode(const kl_options *o)
{
    if (!o->weights || strcmp(o->weights, "embed") == 0)
        return KL_WEIGHTS_EMBED;
    return strcmp(o->weights, "args") == 0 ? KL_WEIGHTS_ARGS : KL_WEIGHTS_FILE;
}

static kl_status check_options(const kl_options *o)
{
    if (!o->model)
        return kl_fail(KL_ERR_ARG, "no model; kilnc --help shows what can be given");
    if (!ends_with(o->model, ".kl") && !kl_is_onnx(o->model))
        return kl_fail(KL_ERR_ARG, "%s: a model is a .kl or .onnx file", o->model);
    if (o->launcher && (!o->out || o->emit || !is_module(o->out)))
        return kl_fail(KL_ERR_ARG, "--launcher goes with -o OUT.ptx or OUT.cubin");
    if (!o->out && !o->header && !o->emit && !o->check && !o->report)
        return kl_fail(KL_ERR_ARG,
                       "nothing to do: give -o, --header, --emit, --report or --check");
    if (o->emit && !kl_emit_known(o->emit))
        return kl_fail(KL_ERR_ARG, "no stage '%.60s'; there are %s", o->emit,
                       kl_emit_names);
    if (o->scratch && !is_one_of(o->scratch, "static", "caller") &&
        strcmp(o->scratch, "heap") != 0)
        return kl_fail(KL_ERR_ARG, "--scratch is static, heap or caller, not '%.60s'",
                       o->scratch);
    if (o->cpu && strchr(o->cpu, ',') &&
        (o->emit || o->report || kl_is_source(o) || (o->out && is_module(o->out))))
        return kl_fail(
            KL_ERR_ARG,
            "--cpu: several are for .o, .a, .so and --header; stages and reports "
            "are of one, and so is C");
    if (kl_is_source(o) && o->lines)
        return kl_fail(KL_ERR_ARG, "-g: a line table is an object's, and %s is C",
                       o->out);
    if (o->launcher && (o->scratch || o->check || weights_mode(o) == KL_WEIGHTS_FILE))
        return kl_fail(KL_ERR_ARG,
                       "--launcher: no --scratch, no --check, and no file of weights");
    if (o->name && !kl_is_c_name(o->name))
        return kl_fail(KL_ERR_ARG, "--name: '%.60s' is no C identifier", o->name);
    return KL_OK;
}

/* ---- what is made ---- */

/* A GPU's stages, or any other stage of its kernels when one is named. */
static bool is_for_gpu(const kl_options *o)
{
    if (!o->emit)
        return o->out && is_module(o->out);
    return kl_emit_is_cuda(o->emit) || (o->arch && !is_one_of(o->emit, "llvm", "asm"));
}

enum { FILES = 6 };
typedef struct product {
    kl_text text, files[FILES];
    const char *paths[FILES];
    int nfiles;
    char lines[4096]; /* the path of the loops' text */
} product;

static kl_text *add_file(product *p, const char *path)
{
    p->paths[p->nfiles] = path;
    return &p->files[p->nfiles++];
}

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static void entry_name(const kl_options *o, char *out, size_t cap)
{
    char stem[256];
    snprintf(stem, sizeof stem, "%s", base_name(o->model));
    char *dot = strrchr(stem, '.');
    if (dot)
        *dot = 0;
    kl_c_name(o->name ? o->name : stem, out, cap);
}

static kl_status make_library(const kl_artefact *a, const char *path, kl_text *out)
{
    kl_text object = {0};
    kl_status s = kl_artefact_emit(a, KL_LLVM_OPEN_OBJECT, &object);
    if (s == KL_OK && ends_with(path, ".a"))
        s = kl_static_library(a, object.s, object.len, out);
    else if (s == KL_OK && ends_with(path, ".so"))
        s = kl_shared_library(base_name(path), object.s, object.len, out);
    else if (s == KL_OK)
        kl_text_putn(out, object.s, object.len);
    kl_text_free(&object);
    return s;
}

/* The loops of all kernels, to which the object's line table points. */
static kl_status write_lines(const char *out, product *p, kl_artefact *a)
{
    size_t n = (size_t)snprintf(p->lines, sizeof p->lines, "%s.loops", out);
    if (n >= sizeof p->lines)
        return kl_fail(KL_ERR_IO, "%s: the path is too long", out);
    kl_text *text = add_file(p, p->lines);
    uint32_t line = 0;
    for (int i = 0; i < a->nlevels; i++)
        for (int j = 0; j < a->level[i].nkernels; j++)
            if (a->level[i].kernels[j]->nphases)
                line = kl_loops_lines((kl_kernel *)a->level[i].kernels[j], line, text);
    a->lines = p->lines;
    return text->failed ? kl_fail(KL_ERR_OOM, "out of memory: %s", p->lines) : KL_OK;
}

static kl_scratch_mode scratch_mode(const kl_options *o)
{
    return !o->scratch            ? KL_SCRATCH_FIT
           : o->scratch[0] == 's' ? KL_SCRATCH_STATIC
           : o->scratch[0] == 'h' ? KL_SCRATCH_HEAP
                                  : KL_SCRATCH_CALLER;
}

/* m: the model, compiled for each of n levels. */
static kl_status make_artefact(const kl_options *o, kl_model *m, int n, product *p)
{
    char name[200];
    kl_artefact a;
    const char *out = o->emit ? NULL : o->out;
    entry_name(o, name, sizeof name);
    kl_weights_mode w = weights_mode(o);
    KL_TRY(kl_model_artefact(m, n, name, w, scratch_mode(o), &a));
    if (out && o->lines)
        KL_TRY(write_lines(out, p, &a));
    if (kl_is_source(o)) {
        a.source = true;
        KL_TRY(kl_c_source(&a, base_name(o->model), add_file(p, out)));
    } else if (out || o->check) {
        kl_text unused = {0};
        kl_status s = make_library(&a, out ? out : "", out ? add_file(p, out) : &unused);
        kl_text_free(&unused);
        KL_TRY(s);
    }
    if (o->header)
        KL_TRY(kl_artefact_header(&a, base_name(o->model), add_file(p, o->header)));
    if (w == KL_WEIGHTS_FILE && out && m->weights.len > KL_WEIGHTS_HEAD)
        kl_text_putn(add_file(p, o->weights), m->weights.s, m->weights.len);
    return KL_OK;
}

static kl_status check_out(const kl_options *o)
{
    static const char *const ends[] = {".o", ".a", ".so", ".c", ".ptx", ".cubin"};
    if (!o->out || o->emit)
        return KL_OK;
    for (size_t i = 0; i < KL_COUNT(ends); i++)
        if (ends_with(o->out, ends[i]))
            return KL_OK;
    return kl_fail(KL_ERR_ARG,
                   "%s: what to write is told by .o, .a, .so, .c, .ptx or .cubin",
                   o->out);
}

/* A stage needs a compile of its own: the passes replace the graph that they are given.
 */
static kl_status make_stage(const kl_options *o, const kl_target *t, product *p)
{
    bool ptx = !o->emit && o->out && ends_with(o->out, ".ptx");
    bool cubin = !o->emit && o->out && ends_with(o->out, ".cubin");
    const char *stage = o->emit ? o->emit : ptx ? "ptx" : cubin ? "cubin" : NULL;
    kl_model m;
    if (!stage)
        return KL_OK;
    kl_status s = kl_model_open(o->model, o->dims, false, NULL, &m);
    if (s == KL_OK)
        s = kl_emit_stage(&m, stage, t, o->out ? add_file(p, o->out) : &p->text);
    kl_model_free(&m);
    return s;
}

/* Read and compiled anew for each level: the passes replace the graph. */
static kl_status compile_levels(const kl_options *o, const kl_targets *t, kl_model *m,
                                kl_text *says)
{
    for (int i = 0; i < t->n; i++) {
        bool first = i == 0, weights = first && weights_mode(o) != KL_WEIGHTS_ARGS;
        KL_TRY(kl_model_open(o->model, o->dims, weights, first ? says : NULL, &m[i]));
        KL_TRY(kl_model_compile(&m[i], t->at[i], NULL));
    }
    return KL_OK;
}

static void say_ok(const kl_options *o, const kl_model *m, int n, kl_text *out)
{
    for (int i = 0; i < n; i++)
        kl_text_printf(out, "%s: ok: %u nodes, %d kernels, %d steps for %s\n", o->model,
                       m[i].graph->count, m[i].unit.nkernels, m[i].unit.program->nsteps,
                       m[i].unit.target->name);
}

static kl_status make_native(const kl_options *o, const kl_targets *t, product *p)
{
    bool module = o->out && is_module(o->out);
    kl_model m[KL_CPU_LEVELS] = {{0}};
    if (!((o->out && !o->emit && !module) || o->header || o->check))
        return KL_OK;
    if (t->at[0]->kind != KL_TARGET_CPU)
        return kl_fail(KL_ERR_ARG, "--header and --check are for a CPU, not for %s",
                       t->at[0]->name);
    kl_status s = compile_levels(o, t, m, o->check ? &p->text : NULL);
    if (s == KL_OK)
        s = make_artefact(o, m, t->n, p);
    if (s == KL_OK && o->check)
        say_ok(o, m, t->n, &p->text);
    for (int i = 0; i < t->n; i++)
        kl_model_free(&m[i]);
    return s;
}

/* The module, the C around it and its header, by one compile. */
static kl_status put_launcher(const kl_options *o, kl_model *m, const kl_target *t,
                              product *p)
{
    char name[200];
    kl_artefact a;
    int n;
    kl_text *image = add_file(p, o->out);
    entry_name(o, name, sizeof name);
    KL_TRY(kl_model_compile(m, t, NULL));
    kl_kernel **kernels = kl_unit_kernels(&m->unit, &n);
    if (!kernels)
        return kl_error_status();
    KL_TRY(kl_codegen_cuda((const kl_kernel *const *)kernels, n, t,
                           ends_with(o->out, ".ptx") ? KL_CUDA_PTX : KL_CUDA_CUBIN,
                           image));
    KL_TRY(kl_model_artefact(m, 1, name, weights_mode(o), KL_SCRATCH_STATIC, &a));
    KL_TRY(kl_launcher(&a, image, add_file(p, o->launcher)));
    return o->header ? kl_artefact_header(&a, base_name(o->model), add_file(p, o->header))
                     : KL_OK;
}

static kl_status make_launcher(const kl_options *o, const kl_target *t, product *p)
{
    kl_model m;
    kl_status s =
        kl_model_open(o->model, o->dims, weights_mode(o) != KL_WEIGHTS_ARGS, NULL, &m);
    if (s == KL_OK)
        s = put_launcher(o, &m, t, p);
    kl_model_free(&m);
    return s;
}

/* The model is compiled for a CPU, and beside it for a GPU. */
static kl_status make_report(const kl_options *o, const kl_target *t, product *p)
{
    const kl_target *gpu = kl_target_of_arch(o->arch ? o->arch : "sm_80");
    kl_model m = {0}, other = {0};
    if (!o->report)
        return KL_OK;
    if (!gpu)
        return kl_error_status();
    if (t->kind != KL_TARGET_CPU) /* another stage's that was asked for together */
        t = o->cpu ? kl_target_of_cpu(o->cpu) : kl_target_host();
    if (!t)
        return kl_error_status();
    kl_status s = kl_model_open(o->model, o->dims, false, NULL, &m);
    if (s == KL_OK)
        s = kl_model_open(o->model, o->dims, false, NULL, &other);
    kl_function *run =
        t == kl_target_host() && s == KL_OK ? kl_function_open(o->model, o->dims) : NULL;
    kl_report_part part = {m.graph ? m.graph->name : "", &m, &other, run};
    if (s == KL_OK)
        s = kl_report(base_name(o->model), &part, 1, t, gpu, add_file(p, o->report));
    kl_function_free(run);
    kl_model_free(&m);
    kl_model_free(&other);
    return s;
}

static kl_status make_all(const kl_options *o, product *p)
{
    KL_TRY(check_options(o));
    KL_TRY(check_out(o));
    kl_targets t;
    KL_TRY(kl_targets_choose(o, is_for_gpu(o), &t));
    KL_TRY(make_report(o, t.at[0], p));
    if (o->launcher)
        return make_launcher(o, t.at[0], p);
    KL_TRY(make_stage(o, t.at[0], p));
    return make_native(o, &t, p);
}

/* ---- writing ---- */

/* Pipes and devices cannot be renamed to. */
static bool is_plain(const char *path)
{
    struct stat st;
    return stat(path, &st) != 0 || S_ISREG(st.st_mode);
}

static void temporary(const char *path, char *out, size_t cap)
{
    snprintf(out, cap, "%s.kilnc-%d", path, (int)getpid());
}

static kl_status write_temporaries(const product *p, int *made)
{
    char name[4200];
    for (*made = 0; *made < p->nfiles; (*made)++) {
        if (!is_plain(p->paths[*made]))
            continue;
        temporary(p->paths[*made], name, sizeof name);
        const kl_text *t = &p->files[*made];
        KL_TRY(kl_file_write(name, t->s ? t->s : "", t->len));
    }
    return KL_OK;
}

static kl_status place_file(const product *p, int i)
{
    char name[4200];
    const kl_text *t = &p->files[i];
    if (!is_plain(p->paths[i]))
        return kl_file_write(p->paths[i], t->s ? t->s : "", t->len);
    temporary(p->paths[i], name, sizeof name);
    if (rename(name, p->paths[i]) != 0)
        return kl_fail(KL_ERR_IO, "%s: cannot write: %s", p->paths[i], strerror(errno));
    return KL_OK;
}

/* All or nothing: first under other names, then renamed. */
static kl_status write_files(const product *p)
{
    int made = 0;
    for (int i = 0; i < p->nfiles; i++)
        if (p->files[i].failed)
            return kl_fail(KL_ERR_OOM, "%s: out of memory", p->paths[i]);
    kl_status s = write_temporaries(p, &made);
    for (int i = 0; i < p->nfiles && s == KL_OK; i++)
        s = place_file(p, i);
    for (int i = 0; i < made && s != KL_OK; i++) {
        char name[4200];
        temporary(p->paths[i], name, sizeof name);
        unlink(name);
    }
    return s;
}

static kl_status write_out(const product *p)
{
    if (p->text.failed)
        return kl_fail(KL_ERR_OOM, "out of memory: standard output");
    KL_TRY(write_files(p));
    if (p->text.len &&
        (fwrite(p->text.s, 1, p->text.len, stdout) != p->text.len || fflush(stdout) != 0))
        return kl_fail(KL_ERR_IO, "standard output: %s", strerror(errno));
    return KL_OK;
}

/* ---- the command ---- */

static kl_status run(int argc, char **argv, product *p)
{
    kl_options o;
    if (argc > 1 && strcmp(argv[1], "cache") == 0)
        return kl_command_cache(argc - 2, argv + 2, &p->text);
    if (argc > 1 && strcmp(argv[1], "bisect") == 0)
        return kl_command_bisect(argc - 2, argv + 2, &p->text);
    KL_TRY(read_options(&o, argc, argv));
    if (o.help)
        kl_text_put(&p->text, usage);
    else if (o.version)
        kl_text_printf(&p->text, "kilnc %s\n", KILN_VERSION);
    else if (o.list_ops)
        kl_ops_list(&p->text);
    else
        return make_all(&o, p);
    return KL_OK;
}

int main(int argc, char **argv)
{
    product p = {0};
    kl_status s = run(argc, argv, &p);
    if (s == KL_OK)
        s = write_out(&p);
    kl_text_free(&p.text);
    for (int i = 0; i < p.nfiles; i++)
        kl_text_free(&p.files[i]);
    if (s == KL_OK)
        return 0;
    char line[1200];
    snprintf(line, sizeof line, "%s", *kl_error() ? kl_error() : kl_status_name(s));
    for (char *c = line; *c; c++)
        if (*c == '\n' || *c == '\r')
            *c = ' ';
    fprintf(stderr, "kilnc: %s\n", line);
    return 1;
}
