/* test_kilnc.c: the command from outside. Every model of tests/kilnc is compiled to an
 * object, a static and a shared library; its header compiles as C99 and C++ with every
 * warning an error; a C program that includes nothing else calls it; what comes out is
 * what the interpreter says, to the bit; and no symbol is undefined but libc's and the
 * user's. Wrong calls of the command and damaged models: one line, result 1, nothing
 * written.
 *
 *   test_kilnc KILNC SOURCE-FOLDER [--bless] */
#include "passes/passes.h"
#include "../unit/onnx_bytes.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *kilnc, *source;
static char here[64]; /* a folder of our own, and the current one */
static bool bless;

/* ---- commands ---- */

static int sh(const char *fmt, ...) KL_PRINTF(1, 2);
static int sh(const char *fmt, ...)
{
    char command[4096];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(command, sizeof command, fmt, ap);
    va_end(ap);
    int status = system(command);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

static void slurp(const char *path, kl_text *out)
{
    void *bytes;
    size_t size;
    kl_error_clear();
    ck_assert_msg(kl_file_read(path, &bytes, &size) == KL_OK, "%s", kl_error());
    kl_text_putn(out, bytes, size);
    kl_text_put(out, "");
    kl_free(bytes, size);
}

static void expect_ok(int rc, const char *what)
{
    kl_text err = {0};
    slurp("err", &err);
    ck_assert_msg(rc == 0, "%s: %d, %s", what, rc, err.s ? err.s : "");
    ck_assert_msg(err.len == 0, "%s: %s", what, err.s);
    kl_text_free(&err);
}

static int count_files(void)
{
    int n = 0;
    DIR *d = opendir("fresh");
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

/* Result 1, one line, and nothing else. Run from the folder "fresh", which stays empty.
 */
static void expect_refusal(const char *args, const char *why)
{
    kl_text out = {0}, err = {0};
    int rc = sh("cd fresh && %s %s >../out 2>../err", kilnc, args);
    slurp("out", &out);
    slurp("err", &err);
    ck_assert_msg(rc == 1, "%s: result %d: %s", args, rc, err.s ? err.s : "");
    ck_assert_msg(out.len == 0, "%s printed %s", args, out.s);
    ck_assert_msg(err.len > 1 && strchr(err.s, '\n') == err.s + err.len - 1,
                  "%s: not one line: %s", args, err.s ? err.s : "");
    ck_assert_msg(strstr(err.s, why) != NULL, "%s: %s lacks '%s'", args, err.s, why);
    ck_assert_msg(count_files() == 0, "%s left files", args);
    kl_text_free(&out);
    kl_text_free(&err);
}

/* ---- models ---- */

typedef struct model {
    const char *name;
    int64_t syms[2]; /* in the graph's order */
    bool user;       /* calls user.c */
} model;
static const model models[] = {{"head", {17, 0}, false},    {"mlp", {12, 0}, false},
                               {"scale", {1001, 0}, false}, {"dtypes", {9, 37}, false},
                               {"pick", {7, 0}, false},     {"twice", {5, 0}, true},
                               {"found", {40, 0}, false},   {"same", {0, 0}, false},
                               {"wide", {3, 0}, false},     {"walk", {5, 0}, false}};

typedef struct loaded {
    kl_arena *a;
    kl_graph *g;
    kl_buffer in[16], out[16];
} loaded;

static uint64_t draw(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

static int64_t numbers_of(const kl_buffer *b, kl_dtype *real)
{
    int64_t n = 1;
    *real = kl_dtypes[b->dtype].real;
    for (int i = 0; i < b->rank; i++)
        n *= b->shape[i];
    return n * kl_dtypes[b->dtype].size / kl_dtypes[*real].size;
}

static void fill(kl_buffer *b, uint64_t *seed)
{
    kl_dtype real;
    int64_t n = numbers_of(b, &real);
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = draw(seed) >> 8;
        kl_scalar v = kl_is_float(real)
                          ? kl_scalar_from(real, (double)(r % 4001) / 1000.0 - 2.0)
                          : kl_scalar_from_int(real, (int64_t)(r % 10));
        if (real == KL_BOOL)
            v.bits = r & 1;
        memcpy((char *)b->mem->base + i * kl_dtypes[real].size, &v, kl_dtypes[real].size);
    }
}

static void model_path(const model *m, char *path, size_t cap, const char *end)
{
    snprintf(path, cap, "%s/%s%s", source, m->name, end);
}

static void shape_of(const loaded *l, const model *m, kl_ref r, int64_t *shape)
{
    for (int i = 0; i < l->g->nodes[r].rank; i++)
        shape[i] = kl_dim_eval(l->g->dims, kl_graph_shape(l->g, r)[i], m->syms);
}

static int user_twice(void *user, int nin, const kl_buffer *in, int nout,
                      const kl_buffer *out)
{
    (void)user, (void)nin, (void)nout;
    const float *a = (const float *)(void *)kl_buffer_data(&in[0]);
    float *b = (float *)(void *)kl_buffer_data(&out[0]);
    for (int64_t i = 0; i < in[0].shape[0] * in[0].shape[1]; i++)
        b[i] = 2 * a[i];
    return 0;
}

/* Read and interpret. Weights ("%w_..") go to the file that the model's head names. */
static void load(const model *m, loaded *l)
{
    char path[512];
    kl_text text = {0};
    kl_archive weights = {0};
    uint64_t seed = 7;
    *l = (loaded){.a = kl_arena_new()};
    model_path(m, path, sizeof path, ".kl");
    slurp(path, &text);
    kl_error_clear();
    ck_assert_msg(kl_graph_parse(l->a, path, text.s, &l->g) == KL_OK, "%s", kl_error());
    for (uint32_t i = 0; i < l->g->ninputs; i++) {
        const kl_node *n = kl_graph_at(l->g, l->g->inputs[i]);
        int64_t shape[KL_MAX_RANK];
        shape_of(l, m, l->g->inputs[i], shape);
        ck_assert(kl_buffer_new((kl_dtype)n->dtype, n->rank, shape, &l->in[i]) == KL_OK);
        fill(&l->in[i], &seed);
        const char *name = n->name == KL_NONE ? "" : l->g->strings[n->name];
        if (l->g->weights && strncmp(name, "w_", 2) == 0)
            kl_archive_add(&weights, name, &l->in[i]);
    }
    snprintf(path, sizeof path, "%s.kl", m->name);
    ck_assert(kl_file_write(path, text.s, text.len) == KL_OK);
    if (l->g->weights)
        ck_assert_msg(kl_safetensors_write(l->g->weights, &weights) == KL_OK, "%s",
                      kl_error());
    kl_native_register("user_twice", user_twice, NULL);
    ck_assert_msg(kl_graph_interp(l->g, l->in, m->syms, l->out) == KL_OK, "%s",
                  kl_error());
    kl_archive_free(&weights);
    kl_text_free(&text);
}

static void unload(loaded *l)
{
    for (uint32_t i = 0; i < l->g->ninputs; i++)
        kl_memory_unref(l->in[i].mem);
    for (uint32_t i = 0; i < l->g->noutputs; i++)
        kl_memory_unref(l->out[i].mem);
    kl_arena_free(l->a);
}

static bool is_weight(const loaded *l, uint32_t i)
{
    const kl_node *n = kl_graph_at(l->g, l->g->inputs[i]);
    return l->g->weights && n->name != KL_NONE &&
           strncmp(l->g->strings[n->name], "w_", 2) == 0;
}

/* ---- a program that calls the model ---- */

/* The dims' order among the entry's parameters: first appearance in the inputs. */
static void put_dims(const model *m, kl_text *c)
{
    if (strcmp(m->name, "dtypes") == 0) /* declared k, m; used m, k */
        kl_text_printf(c, "%lld, %lld, ", (long long)m->syms[1], (long long)m->syms[0]);
    else if (m->syms[0])
        kl_text_printf(c, "%lld, ", (long long)m->syms[0]);
}

/* It reads "in", every input after the other, and writes "res" likewise. */
static void write_main(const model *m, const loaded *l)
{
    kl_text c = {0};
    const char *comma = "";
    kl_text_printf(
        &c,
        "#include \"%s.h\"\n#include <stdio.h>\n#include <stdlib.h>\n"
        "static void *part(FILE *f, size_t n)\n{\n    void *p = malloc(n + 1);\n"
        "    if (f && fread(p, 1, n, f) != n)\n        exit(9);\n    return p;\n}\n"
        "int main(void)\n{\n    FILE *f = fopen(\"in\", \"rb\"), *g = fopen(\"res\", "
        "\"wb\");\n"
        "    void *p[64];\n    int r;\n",
        m->name);
    uint32_t n = 0;
    for (uint32_t i = 0; i < l->g->ninputs; i++)
        if (!is_weight(l, i))
            kl_text_printf(&c, "    p[%u] = part(f, %zu);\n", n++, l->in[i].mem->size);
    uint32_t nin = n;
    for (uint32_t i = 0; i < l->g->noutputs; i++)
        kl_text_printf(&c, "    p[%u] = part(0, %zu);\n", n++, l->out[i].mem->size);
    kl_text_printf(&c, "    r = %s(", m->name);
    put_dims(m, &c);
    for (uint32_t i = 0; i < n; i++, comma = ", ")
        kl_text_printf(&c, "%sp[%u]", comma, i);
    kl_text_put(&c, ");\n    if (r)\n        return 100 + r;\n");
    for (uint32_t i = 0; i < l->g->noutputs; i++)
        kl_text_printf(&c, "    fwrite(p[%u], 1, %zu, g);\n", nin + i,
                       l->out[i].mem->size);
    kl_text_put(&c, "    return fclose(g);\n}\n");
    ck_assert(kl_file_write("main.c", c.s, c.len) == KL_OK);
    kl_text_free(&c);
    for (uint32_t i = 0; i < l->g->ninputs; i++)
        if (!is_weight(l, i))
            kl_text_putn(&c, l->in[i].mem->base, l->in[i].mem->size);
    ck_assert(kl_file_write("in", c.s ? c.s : "", c.len) == KL_OK);
    kl_text_free(&c);
}

static bool same_number(kl_dtype dt, const char *a, const char *b)
{
    size_t size = kl_dtypes[dt].size;
    kl_scalar x = {.bits = 0}, y = {.bits = 0};
    if (memcmp(a, b, size) == 0 || !kl_is_float(dt))
        return memcmp(a, b, size) == 0;
    memcpy(&x, a, size), memcpy(&y, b, size);
    return isnan(kl_scalar_to_double(dt, x)) && isnan(kl_scalar_to_double(dt, y));
}

static void compare(const model *m, const loaded *l, const char *how)
{
    kl_text got = {0};
    size_t at = 0;
    slurp("res", &got);
    for (uint32_t i = 0; i < l->g->noutputs; i++) {
        kl_dtype real;
        int64_t n = numbers_of(&l->out[i], &real), size = kl_dtypes[real].size;
        for (int64_t j = 0; j < n; j++)
            ck_assert_msg(same_number(real, (char *)l->out[i].mem->base + j * size,
                                      got.s + at + (size_t)(j * size)),
                          "%s %s: output %u differs at %lld", m->name, how, i,
                          (long long)j);
        at += l->out[i].mem->size;
    }
    ck_assert_uint_eq(at, got.len);
    kl_text_free(&got);
}

static const char *user_source(const model *m)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/user.c", source);
    if (m->user)
        sh("cp %s.h user.h", m->name);
    return m->user ? path : "";
}

/* ---- tests ---- */

#define LEVELS "--cpu=x86-64-v2,x86-64-v3,x86-64-v4"

START_TEST(numbers_are_the_interpreters)
{
    static const char *const ends[] = {"o",         "a",         "so",
                                       "o " LEVELS, "a " LEVELS, "so " LEVELS};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    write_main(m, &l);
    for (size_t i = 0; i < KL_COUNT(ends); i++) {
        expect_ok(sh("%s %s.kl --header %s.h -o %s.%s 2>err", kilnc, m->name, m->name,
                     m->name, ends[i]),
                  ends[i]);
        expect_ok(sh("cc -I. -o main main.c %s ./%s.%.*s 2>err", user_source(m), m->name,
                     (int)strcspn(ends[i], " "), ends[i]),
                  "cc");
        ck_assert_int_eq(sh("rm -f res; LD_LIBRARY_PATH=. ./main"), 0);
        compare(m, &l, ends[i]);
    }
    unload(&l);
}
END_TEST

/* Options of where weights and scratch are do not change what is computed. */
START_TEST(header_compiles_everywhere)
{
    static const char *const options[] = {"",
                                          "--weights=args",
                                          "--weights=wfile",
                                          "--scratch=caller",
                                          "--weights=wfile --scratch=caller",
                                          LEVELS};
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    for (size_t i = 0; i < KL_COUNT(options); i++) {
        expect_ok(sh("%s %s.kl -o h.o --header h.h %s 2>err", kilnc, m->name, options[i]),
                  options[i]);
        sh("printf '#include \"h.h\"\\n#include \"h.h\"\\n' >h.c; cp h.c h.cc");
        expect_ok(sh("cc -std=c99 -Wall -Wextra -Wpedantic -Werror -c h.c -o x.o 2>err"),
                  "C99");
        expect_ok(sh("c++ -std=c++98 -Wall -Wextra -Werror -c h.cc -o x.o 2>err"),
                  "C++98");
        expect_ok(sh("c++ -std=c++20 -Wall -Wextra -Werror -c h.cc -o x.o 2>err"),
                  "C++20");
    }
}
END_TEST

START_TEST(only_libc_is_undefined)
{
    static const char known[] = " memmove memcpy memset memcmp open close lseek mmap "
                                "munmap _GLOBAL_OFFSET_TABLE_ user_twice ";
    const model *m = &models[_i];
    char line[256], name[200], word[204];
    loaded l;
    load(m, &l);
    unload(&l);
    expect_ok(sh("%s %s.kl -o u.o --weights=wfile --scratch=caller " LEVELS " 2>err",
                 kilnc, m->name),
              "kilnc");
    ck_assert_int_eq(sh("nm -u u.o >undefined"), 0);
    FILE *f = fopen("undefined", "r");
    while (fgets(line, sizeof line, f)) {
        if (sscanf(line, " U %199s", name) != 1)
            continue;
        snprintf(word, sizeof word, " %s ", name);
        ck_assert_msg(strstr(known, word) != NULL, "%s needs %s", m->name, name);
        ck_assert(m->user || strcmp(name, "user_twice") != 0);
    }
    fclose(f);
    expect_ok(sh("nm -g --defined-only u.o | grep -v ' [A-Z] %s' >err", m->name) == 1 ? 0
                                                                                      : 1,
              "exports");
}
END_TEST

START_TEST(codes_come_back)
{
    for (int i = 0; i < (int)KL_COUNT(models); i++) {
        loaded l;
        load(&models[i], &l);
        unload(&l);
    }
    const char *const builds[] = {
        "head.kl -o head.o --header head.h",
        ("head.kl -o own.o --header own.h --name=own --weights=own.weights "
         "--scratch=caller"),
        "scale.kl -o scale.o --header scale.h", "pick.kl -o pick.o --header pick.h"};
    for (size_t i = 0; i < KL_COUNT(builds); i++)
        expect_ok(sh("%s %s 2>err", kilnc, builds[i]), builds[i]);
    expect_ok(
        sh("cc -I. -Wall -Wextra -Werror -o codes %s/codes.c head.o own.o scale.o pick.o "
           "-lpthread 2>err",
           source),
        "cc");
    expect_ok(sh("./codes own.weights >err"), "codes");
}
END_TEST

START_TEST(machines_of_the_table)
{
    static const struct {
        const char *cpu;
        int machine;
    } rows[] = {{"x86-64-v2", 62},
                {"x86-64-v4", 62},
                {"zen5", 62},
                {"aarch64-neon", 183},
                {"neoverse-v1", 183}};
    loaded l;
    load(&models[1], &l);
    unload(&l);
    for (size_t i = 0; i < KL_COUNT(rows); i++) {
        kl_text o = {0};
        expect_ok(sh("%s mlp.kl --cpu=%s -o t.o --header t.h 2>err", kilnc, rows[i].cpu),
                  rows[i].cpu);
        slurp("t.o", &o);
        ck_assert_int_eq((uint8_t)o.s[18], rows[i].machine);
        kl_text_free(&o);
    }
    expect_ok(sh("%s mlp.kl --target=aarch64-linux-gnu -o t.a 2>err", kilnc), "--target");
    expect_ok(sh("%s mlp.kl --target=x86_64-unknown-linux-gnu --cpu=zen4 --emit=asm -o "
                 "t.s 2>err",
                 kilnc),
              "asm");
    ck_assert_int_eq(sh("grep -q contract.0: t.s"), 0);
}
END_TEST

static const struct {
    const char *args, *why;
} refusals[] = {
    {"", "no model"},
    {"../scale.kl", "nothing to do"},
    {"../scale.kl --check=1", "--check takes no value"},
    {"../scale.kl --frob", "no option --frob; kilnc --help lists them"},
    {"../scale.kl -o", "-o needs a value"},
    {"../scale.kl -o a.o -o b.o", "-o is given twice"},
    {"../scale.kl ../pick.kl -o a.o", "one model at a time"},
    {"../scale.kl -o a.exe", "told by .o, .a, .so"},
    {"../scale.kl -o a.c", "C source is not written"},
    {"../scale.kl --report r.html --arch=sm_1", "sm_1"},
    {"../scale.kl --emit=soup", "no stage 'soup'; there are graph, kernel, loops, plan"},
    {"../scale.kl -o a.o --name=int", "no C identifier"},
    {"../scale.kl -o a.o --scratch=mine", "static or caller"},
    {"../scale.kl -o a.o --cpu=zen9", "known are host, x86-64-v2"},
    {"../scale.kl -o a.o --target=riscv64-linux-gnu",
     "known are x86_64-unknown-linux-gnu, aarch64-unknown-linux-gnu"},
    {"../scale.kl -o a.o --target=aarch64-linux-gnu --cpu=zen4", "CPU zen4 is x86_64"},
    {"../scale.kl -o a.o --cpu=x86-64-v2,zen4",
     "several are x86-64-v2, x86-64-v3 and x86-64-v4, not 'zen4'"},
    {"../scale.kl -o a.o --cpu=x86-64-v3,x86-64-v2,x86-64-v3",
     "x86-64-v3 is given twice"},
    {"../scale.kl --emit=asm --cpu=x86-64-v3,x86-64-v2", "stages and reports are of one"},
    {"../scale.kl -o a.o --cpu=x86-64-v2,x86-64-v3 --target=aarch64-linux-gnu",
     "CPU x86-64-v2 is x86_64"},
    {"../scale.kl --emit=cuda --arch=sm_17", "known are sm_80, sm_90a, sm_100"},
    {"../scale.kl -o no/such/folder/a.o --header h.h", "no/such/folder"},
    {"../scale.kl -o a.o --header no/such/folder/h.h", "no/such/folder"},
    {"../missing.kl --check", "missing.kl"},
    {"../net.onnx --check", "net.onnx: a model without a graph"},
    {"../scale.kl --check --dims=n=3", "--dims is for ONNX models"},
    {"../scale.txt --check", "a model is a .kl or .onnx file"},
    {"../orphan.kl -o a.o", "none.safetensors"},
    {"../misfit.kl -o a.o", "w_ is f32[3,3] in the graph and f32[10,64] in the file"},
    {"../huge.kl -o a.o", "--scratch=caller"},
    {"../strided.kl -o a.o", "input 0 has strides; an artefact's are dense"},
    {"../wild.kl -o a.o", "no name of a C function"},
    {"cache", "cache: list, trim BYTES or why KEY"},
    {"cache trim lots", "no number of bytes"},
    {"bisect", "bisect: no model"},
    {"bisect ../scale.kl --seed=x", "bisect: 'x' is no number"},
    {"bisect ../scale.kl ../pick.kl", "bisect: MODEL.kl and perhaps --seed=N"},
    {"../scale.kl --check --arch=sm_80 -o a.ptx",
     "--header and --check are for a CPU, not for sm_80"},
    {"../zero.kl --check", "zero.kl: not a text: it has a zero byte"},
    {"bisect ../missing.kl", "missing.kl"},
};

static void write_text(const char *path, const char *text)
{
    ck_assert(kl_file_write(path, text, strlen(text)) == KL_OK);
}

START_TEST(wrong_calls_are_refused)
{
    loaded l;
    load(&models[0], &l); /* head.safetensors */
    unload(&l);
    sh("cp %s/*.kl .; mkdir -p fresh", source);
    write_text("net.onnx", "");
    write_text("scale.txt", "");
    ck_assert(kl_file_write("zero.kl", "graph\0g", 7) == KL_OK);
    write_text("orphan.kl",
               "weights \"none.safetensors\"\ngraph g(%w: f32[3]) { out %w }");
    write_text("misfit.kl",
               "weights \"head.safetensors\"\ngraph g(%w_: f32[3,3]) { out %w_ }");
    write_text("huge.kl",
               "graph g(%x: f32[n,512]) { %y: f32[n,512] = sort %x axis 1\n"
               "%z: f32[n,512] = pick %y result 0\n %a: f32[n] = reduce.add %z axes (1)\n"
               "%b: f32[] = reduce.add %a axes (0)\n out %b }");
    write_text("strided.kl",
               "graph g(%x: f32[4,4] strides [1, 4]) { %y: f32[4,4] = neg %x\n out %y }");
    write_text("wild.kl",
               "graph g(%x: f32[4]) { %y: f32[4] = call %x \"a b\" results (f32[4])\n"
               "%z: f32[4] = pick %y result 0\n out %z }");
    expect_refusal(refusals[_i].args, refusals[_i].why);
}
END_TEST

/* Cut anywhere and bent anywhere: one line or fine, never a crash. */
START_TEST(damaged_models_are_refused)
{
    kl_text t = {0};
    char path[600];
    model_path(&models[_i], path, sizeof path, ".kl");
    slurp(path, &t);
    uint64_t seed = 3 + (uint64_t)_i;
    sh("mkdir -p fresh");
    for (int n = 0; n < 24; n++) {
        char *s = malloc(t.len + 1);
        memcpy(s, t.s, t.len + 1);
        if (n < 12)
            s[draw(&seed) % t.len] = 0;
        else
            s[draw(&seed) % t.len] = t.s[draw(&seed) % t.len];
        write_text("bent.kl", s);
        free(s);
        int rc = sh("cd fresh && %s ../bent.kl --emit=plan >../out 2>../err", kilnc);
        kl_text err = {0};
        slurp("err", &err);
        ck_assert_msg(rc == 0 || (rc == 1 && strchr(err.s, '\n') == err.s + err.len - 1),
                      "%d: %s", rc, err.s ? err.s : "");
        kl_text_free(&err);
    }
    kl_text_free(&t);
}
END_TEST

START_TEST(stages_print)
{
    static const char *const stages[] = {"graph", "kernel", "loops", "plan", "dot"};
    kl_text got = {0}, want = {0};
    char path[600];
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=%s >out 2>err", kilnc, stages[_i]),
              stages[_i]);
    slurp("out", &got);
    snprintf(path, sizeof path, "%s/golden/scale.%s", source, stages[_i]);
    if (bless)
        ck_assert(kl_file_write(path, got.s, got.len) == KL_OK);
    slurp(path, &want);
    ck_assert_str_eq(got.s, want.s);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=%s -o same 2>err && cmp same out",
                 kilnc, stages[_i]),
              "-o");
    kl_text_free(&got);
    kl_text_free(&want);
}
END_TEST

/* -g: an instruction belongs to a line of the loops' text, and that to the user's line.
 */
START_TEST(line_table)
{
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl -g -o g.o 2>err", kilnc), "-g");
    expect_ok(sh("%s scale.kl -o plain.o 2>err", kilnc), "without");
    ck_assert_int_eq(sh("grep -q '^loops add' g.o.loops"), 0);
    ck_assert_int_eq(sh("n=$(grep -n 'phase w' g.o.loops | cut -d: -f1) && "
                        "objdump -d -l g.o | grep -q \"g.o.loops:$n\""),
                     0);
    ck_assert_int_eq(sh("objdump -d -l g.o | grep -q 'scale.kl:5'"), 0);
    expect_ok(sh("%s scale.kl -g " LEVELS " -o levels.o 2>err", kilnc), "levels");
    ck_assert_int_eq(sh("test $(grep -c '^loops add' levels.o.loops) = 3"), 0);
    ck_assert_int_ne(sh("objdump -d -l plain.o | grep -q 'loops:'"), 0);
    ck_assert_int_ne(sh("test -e plain.o.loops"), 0);
}
END_TEST

/* LLVM's own text differs between its versions: that it is there is what we look at. */
START_TEST(code_prints)
{
    sh("cp %s/scale.kl .", source);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=llvm >out 2>err", kilnc), "llvm");
    ck_assert_int_eq(sh("grep -q '^define void @' out"), 0);
    expect_ok(sh("%s scale.kl --cpu=x86-64-v3 --emit=asm >out 2>err", kilnc), "asm");
    ck_assert_int_eq(sh("grep -q vmulps out"), 0);
    expect_ok(sh("%s scale.kl --arch=sm_90 --emit=cuda >out 2>err", kilnc), "cuda");
    ck_assert_int_eq(sh("grep -q __global__ out"), 0);
    expect_ok(sh("%s scale.kl --header h.h 2>err && cp h.h out", kilnc), "header");
    expect_ok(sh("%s --list-ops >out 2>err", kilnc), "--list-ops");
    ck_assert_int_eq(sh("grep -q '^contract ' out"), 0);
    expect_ok(sh("%s --help >out 2>err", kilnc), "--help");
}
END_TEST

START_TEST(check_says_ok)
{
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    expect_ok(sh("%s %s.kl --check >out 2>err", kilnc, m->name), m->name);
    ck_assert_int_eq(sh("grep -q '^%s.kl: ok' out", m->name), 0);
}
END_TEST

START_TEST(bisect_finds_nothing)
{
    const model *m = &models[_i];
    loaded l;
    load(m, &l);
    unload(&l);
    if (m->user) /* the command knows no function of the user's */
        return;
    expect_ok(sh("%s bisect %s.kl >out 2>err", kilnc, m->name), m->name);
    ck_assert_msg(sh("grep -q 'no pass changes a result' out") == 0, "%s", m->name);
}
END_TEST

/* y = softmax(relu(x w)) of an ONNX file: its operators, its stages by the nodes' names,
 * and a program that links the object alone. */
static const char onnx_user[] =
    "#include \"head.h\"\n#include <math.h>\n#include <stdio.h>\n"
    "int main(void) { float x[6] = {1, -2, 3, -1, -1, -1}, y[8];\n"
    "  if (head(2, x, y) != HEAD_OK || head(0, x, y) != HEAD_DIM) return 1;\n"
    "  double e[4], s = 0;\n"
    "  for (int j = 0; j < 4; j++) s += e[j] = exp((j - 2 * (4 + j) + 3 * (8 + j)) / "
    "10.);\n"
    "  for (int j = 0; j < 4; j++)\n"
    "    if (fabs(y[j] - e[j] / s) > 1e-6 || y[4 + j] != 0.25f) return 2;\n"
    "  return 0; }\n";

START_TEST(onnx_models_compile)
{
    pb m = onnx_head();
    kl_text got = {0};
    ck_assert(kl_file_write("head.onnx", m.s, m.n) == KL_OK);
    write_text("user.c", onnx_user);
    expect_ok(sh("%s head.onnx --check >out 2>err", kilnc), "--check");
    slurp("out", &got);
    ck_assert_msg(strncmp(got.s,
                          "MatMul opset 17: 1 node\nRelu opset 17: 1 node\n"
                          "Softmax opset 17: 1 node\nhead.onnx: ok: ",
                          84) == 0,
                  "%s", got.s);
    kl_text_free(&got);
    expect_ok(sh("%s head.onnx --emit=graph >out 2>err", kilnc), "--emit");
    ck_assert_int_eq(
        sh("grep -q \"contract %%x, %%w .*head.onnx: node 'h' (MatMul\" out"), 0);
    expect_ok(sh("%s head.onnx -o head.o --header head.h 2>err", kilnc), "-o");
    expect_ok(sh("cc -std=c99 -Wall -Wextra -Werror user.c head.o -o user -lm 2>err"),
              "cc");
    ck_assert_int_eq(sh("./user"), 0);
    expect_ok(sh("%s bisect head.onnx >out 2>err", kilnc), "bisect");
    expect_ok(sh("%s head.onnx --dims=batch=2 --emit=graph >out 2>err", kilnc), "--dims");
    ck_assert_int_eq(sh("grep -q 'x: f32.2,3.' out"), 0);
    expect_ok(sh("%s head.onnx --dims=batch=1..8 --emit=graph >out 2>err", kilnc),
              "--dims");
    ck_assert_int_eq(sh("grep -q 'dim batch 1..8' out"), 0);
    sh("mkdir -p fresh");
    expect_refusal("../head.onnx --check --dims=batch=x",
                   "is not NAME=SIZE or NAME=LOW..HIGH");
    expect_refusal("../head.onnx --check --dims=b=2", "head.onnx: no open dimension 'b'");
    expect_refusal("../head.onnx --check --dims=batch=9..2",
                   "bounds are 0 <= min <= max");
}
END_TEST

/* NonZero of an ONNX file: the count comes through a pointer, the header says of what. */
static const char found_user[] =
    "#include \"nz.h\"\n"
    "int main(void) { float x[6] = {1, 0, 3, 0, 0, -1}; int64_t y[12], n = -1;\n"
    "  if (nz(2, x, y, &n) != NZ_OK || n != 3) return 1;\n"
    "  return y[0] || y[1] || y[2] || y[3] != 2 || y[4] != 1 || y[5] != 2; }\n";

START_TEST(sizes_that_elements_decide_are_counted)
{
    pb g = {0},
       node[] = {onnx_node("NonZero", "x", "i"), onnx_node("Transpose", "i", "y")};
    pb x = onnx_value("x", ONNX_FLOAT, "batch 3"), y = onnx_value("y", ONNX_INT64, "k 2");
    pb_part(&g, 1, &node[0]);
    pb_part(&g, 1, &node[1]);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    pb m = onnx_model(&g, 17);
    ck_assert(kl_file_write("nz.onnx", m.s, m.n) == KL_OK);
    write_text("user.c", found_user);
    expect_ok(sh("%s nz.onnx --dims=batch=1..9 -o nz.o --header nz.h 2>err", kilnc),
              "-o");
    ck_assert_int_eq(
        sh("grep -q 'int64_t.3.batch..2.  (i64), room for the most: the first "
           ".y_count along axis 0 are meant' nz.h"),
        0);
    ck_assert_int_eq(sh("grep -q 'y_count .*how much of y is meant' nz.h"), 0);
    expect_ok(sh("cc -std=c99 -Wall -Wextra -Werror user.c nz.o -o user 2>err"), "cc");
    ck_assert_int_eq(sh("./user"), 0);
}
END_TEST

START_TEST(what_onnx_models_lack_is_told)
{
    pb g = {0}, a = onnx_node("Foo", "x", "h"), b = onnx_node("Relux", "h", "y");
    pb x = onnx_value("x", ONNX_FLOAT, "3"), y = onnx_value("y", ONNX_FLOAT, "3");
    pb_part(&g, 1, &a);
    pb_part(&g, 1, &b);
    pb_part(&g, 11, &x);
    pb_part(&g, 12, &y);
    pb m = onnx_model(&g, 17);
    ck_assert(kl_file_write("lacks.onnx", m.s, m.n) == KL_OK);
    sh("mkdir -p fresh");
    expect_refusal("../lacks.onnx --check",
                   "2 operators are missing: Foo opset 17: 1 node (nearest: Cos),Relux "
                   "opset 17: 1 node (nearest: Relu)");
}
END_TEST

START_TEST(cache_is_listed)
{
    sh("mkdir -m 700 -p cache");
    expect_ok(sh("KILN_CACHE=$PWD/cache %s cache list >out 2>err", kilnc), "list");
    ck_assert_int_eq(sh("grep -q '^0 entries, 0 bytes' out"), 0);
    expect_ok(sh("KILN_CACHE=$PWD/cache %s cache why 12ab >out 2>err", kilnc), "why");
    ck_assert_int_eq(sh("grep -q '12ab: a miss: no entry' out"), 0);
    expect_ok(sh("KILN_CACHE=$PWD/cache %s cache trim 0 >out 2>err", kilnc), "trim");
}
END_TEST

static Suite *suite(void)
{
    Suite *s = suite_create("kilnc");
    TCase *tc = tcase_create("kilnc");
    int n = (int)KL_COUNT(models);
    tcase_set_timeout(tc, 300);
    tcase_add_loop_test(tc, numbers_are_the_interpreters, 0, n);
    tcase_add_loop_test(tc, header_compiles_everywhere, 0, n);
    tcase_add_loop_test(tc, only_libc_is_undefined, 0, n);
    tcase_add_test(tc, codes_come_back);
    tcase_add_test(tc, machines_of_the_table);
    tcase_add_loop_test(tc, wrong_calls_are_refused, 0, (int)KL_COUNT(refusals));
    tcase_add_loop_test(tc, damaged_models_are_refused, 0, n);
    tcase_add_loop_test(tc, stages_print, 0, 5);
    tcase_add_test(tc, line_table);
    tcase_add_test(tc, code_prints);
    tcase_add_loop_test(tc, check_says_ok, 0, n);
    tcase_add_loop_test(tc, bisect_finds_nothing, 0, n);
    tcase_add_test(tc, onnx_models_compile);
    tcase_add_test(tc, sizes_that_elements_decide_are_counted);
    tcase_add_test(tc, what_onnx_models_lack_is_told);
    tcase_add_test(tc, cache_is_listed);
    suite_add_tcase(s, tc);
    return s;
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return 2;
    kilnc = argv[1];
    source = argv[2];
    bless = argc > 3 && strcmp(argv[3], "--bless") == 0;
    snprintf(here, sizeof here, "/tmp/test_kilnc-XXXXXX");
    if (!mkdtemp(here) || chdir(here) != 0)
        return 2;
    SRunner *r = srunner_create(suite());
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    if (!failed)
        sh("rm -rf %s", here);
    return failed != 0;
}
