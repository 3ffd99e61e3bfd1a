/* models.h: what the tests of kilnc share: commands in a folder of their own, the models
 * of this folder with numbers for their inputs and what the interpreter makes of them,
 * and a C program that calls one. */
#ifndef KILNC_MODELS_H
#define KILNC_MODELS_H

#include "passes/passes.h"
#include "tests/shell.h"

#include <check.h>
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *kilnc, *source;
static char here[64]; /* a folder of our own, and the current one */

/* ---- commands ---- */

static inline void slurp(const char *path, kl_text *out)
{
    void *bytes;
    size_t size;
    kl_error_clear();
    ck_assert_msg(kl_file_read(path, &bytes, &size) == KL_OK, "%s", kl_error());
    kl_text_putn(out, bytes, size);
    kl_text_put(out, "");
    kl_free(bytes, size);
}

static inline void expect_ok(int rc, const char *what)
{
    kl_text err = {0};
    slurp("err", &err);
    ck_assert_msg(rc == 0, "%s: %d, %s", what, rc, err.s ? err.s : "");
    ck_assert_msg(err.len == 0, "%s: %s", what, err.s);
    kl_text_free(&err);
}

static inline int count_files(void)
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
static inline void expect_refusal(const char *args, const char *why)
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
static const model models[] = {
    {"head", {17, 0}, false},   {"mlp", {12, 0}, false},    {"scale", {1001, 0}, false},
    {"dtypes", {9, 37}, false}, {"pick", {7, 0}, false},    {"twice", {5, 0}, true},
    {"found", {40, 0}, false},  {"same", {0, 0}, false},    {"wide", {3, 0}, false},
    {"walk", {5, 0}, false},    {"pooled", {13, 22}, false}};

typedef struct loaded {
    kl_arena *a;
    kl_graph *g;
    kl_buffer in[16], out[16];
} loaded;

static inline uint64_t draw(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    return z ^ z >> 31;
}

static inline int64_t numbers_of(const kl_buffer *b, kl_dtype *real)
{
    int64_t n = 1;
    *real = kl_dtypes[b->dtype].real;
    for (int i = 0; i < b->rank; i++)
        n *= b->shape[i];
    return n * kl_dtypes[b->dtype].size / kl_dtypes[*real].size;
}

static inline void fill(kl_buffer *b, uint64_t *seed)
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

static inline void model_path(const model *m, char *path, size_t cap, const char *end)
{
    snprintf(path, cap, "%s/%s%s", source, m->name, end);
}

static inline void shape_of(const loaded *l, const model *m, kl_ref r, int64_t *shape)
{
    for (int i = 0; i < l->g->nodes[r].rank; i++)
        shape[i] = kl_dim_eval(l->g->dims, kl_graph_shape(l->g, r)[i], m->syms);
}

static inline int user_twice(void *user, int nin, const kl_buffer *in, int nout,
                             const kl_buffer *out)
{
    (void)user, (void)nin, (void)nout;
    const float *a = (const float *)(void *)kl_buffer_data(&in[0]);
    float *b = (float *)(void *)kl_buffer_data(&out[0]);
    for (int64_t i = 0; i < in[0].shape[0] * in[0].shape[1]; i++)
        b[i] = 2 * a[i];
    return 0;
}

/* Read and interpret. Weights ("%w_..") go to the file that the model's head names.
 * False: these numbers have no result. */
static inline bool try_load(const model *m, loaded *l)
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
    bool ok = kl_graph_interp(l->g, l->in, m->syms, l->out) == KL_OK;
    kl_archive_free(&weights);
    kl_text_free(&text);
    return ok;
}

static inline void load(const model *m, loaded *l)
{
    ck_assert_msg(try_load(m, l), "%s", kl_error());
}

static inline void unload(loaded *l)
{
    for (uint32_t i = 0; i < l->g->ninputs; i++)
        kl_memory_unref(l->in[i].mem);
    for (uint32_t i = 0; i < l->g->noutputs; i++)
        kl_memory_unref(l->out[i].mem);
    kl_arena_free(l->a);
}

/* Every model's file and weights in the folder. */
static inline void write_models(void)
{
    for (int i = 0; i < (int)KL_COUNT(models); i++) {
        loaded l;
        load(&models[i], &l);
        unload(&l);
    }
}

/* heavy.kl: 32 MiB of weights, too many for a C file. */
static inline void write_heavy(void)
{
    static const char heavy[] =
        "weights \"heavy.safetensors\"\n"
        "graph heavy(%x: f32[8,1024], %w_: f32[8192,1024]) {\n"
        "  %2: f32[8,8192] = contract %x, %w_ \"mk,nk->mn\"\n  out %2\n}\n";
    int64_t shape[] = {8192, 1024};
    kl_archive w = {0};
    kl_buffer b;
    ck_assert(kl_buffer_new(KL_F32, 2, shape, &b) == KL_OK);
    kl_archive_add(&w, "w_", &b);
    ck_assert_msg(kl_safetensors_write("heavy.safetensors", &w) == KL_OK, "%s",
                  kl_error());
    kl_archive_free(&w);
    kl_memory_unref(b.mem);
    ck_assert(kl_file_write("heavy.kl", heavy, strlen(heavy)) == KL_OK);
}

/* sorted.kl: of its largest dimension it needs more scratch than an object can hold. */
static inline void write_sorted(void)
{
    static const char sorted[] =
        "graph g(%x: f32[n,512]) { %y: f32[n,512] = sort %x axis 1\n"
        "%z: f32[n,512] = pick %y result 0\n %a: f32[n] = reduce.add %z axes (1)\n"
        "%b: f32[] = reduce.add %a axes (0)\n out %b }";
    ck_assert(kl_file_write("sorted.kl", sorted, strlen(sorted)) == KL_OK);
}

/* What codes.c calls, as files of that ending and headers. */
static inline void build_for_codes(const char *ending)
{
    static const struct {
        const char *model, *as, *options;
    } builds[] = {{"head", "head", ""},
                  {"head", "own", "--name=own --weights=own.weights --scratch=caller"},
                  {"scale", "scale", ""},
                  {"pick", "pick", ""},
                  {"sorted", "sorted", ""}};
    write_models();
    write_sorted();
    for (size_t i = 0; i < KL_COUNT(builds); i++)
        expect_ok(sh("%s %s.kl -o %s.%s --header %s.h %s 2>err", kilnc, builds[i].model,
                     builds[i].as, ending, builds[i].as, builds[i].options),
                  builds[i].as);
}

/* Objects are there. */
static inline void run_codes(void)
{
    expect_ok(
        sh("cc -I. -Wall -Wextra -Werror -o codes %s/codes.c head.o own.o scale.o pick.o "
           "sorted.o -lpthread 2>err",
           source),
        "cc");
    expect_ok(sh("./codes own.weights >err"), "codes");
}

static inline bool is_weight(const loaded *l, uint32_t i)
{
    const kl_node *n = kl_graph_at(l->g, l->g->inputs[i]);
    return l->g->weights && n->name != KL_NONE &&
           strncmp(l->g->strings[n->name], "w_", 2) == 0;
}

/* ---- a program that calls the model ---- */

/* The dims' order among the entry's parameters: first appearance in the inputs. */
static inline void put_dims(const model *m, kl_text *c)
{
    if (strcmp(m->name, "dtypes") == 0) /* declared k, m; used m, k */
        kl_text_printf(c, "%lld, %lld, ", (long long)m->syms[1], (long long)m->syms[0]);
    else
        for (int i = 0; i < 2 && m->syms[i]; i++)
            kl_text_printf(c, "%lld, ", (long long)m->syms[i]);
}

/* It reads "in", every input after the other, and writes "res" likewise. */
static inline void write_main(const model *m, const loaded *l)
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

static inline bool same_number(kl_dtype dt, const char *a, const char *b)
{
    size_t size = kl_dtypes[dt].size;
    kl_scalar x = {.bits = 0}, y = {.bits = 0};
    if (memcmp(a, b, size) == 0 || !kl_is_float(dt))
        return memcmp(a, b, size) == 0;
    memcpy(&x, a, size), memcpy(&y, b, size);
    return isnan(kl_scalar_to_double(dt, x)) && isnan(kl_scalar_to_double(dt, y));
}

static inline void compare(const model *m, const loaded *l, const char *how)
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

static inline const char *user_source(const model *m)
{
    static char path[600];
    snprintf(path, sizeof path, "%s/user.c", source);
    if (m->user)
        sh("cp %s.h user.h", m->name);
    return m->user ? path : "";
}

/* In an empty folder of this program's; back when all is well. */
static inline int run_in_folder(Suite *(*suite)(void), int argc, char **argv)
{
    if (argc < 3)
        return 2;
    kilnc = argv[1];
    source = argv[2];
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

#endif
