/* readers.c: every reader of bytes from outside, with whole inputs for it, and damage.
 *
 * A reader promises: what it refuses leaves an error and no memory behind; what it
 * accepts prints and reads back the same. Whole inputs are made here (random graphs
 * printed at every level, packed plans, an object, arrays, archives). Damage is by bytes,
 * numbers, words and pieces of other inputs. */
#include "readers.h"
#ifdef KILN_ONNX
#include "frontend/front.h"
#include "kiln/onnx.h"
#include "models.h"
#endif

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- readers: false, and why, when a promise is broken ---- */

static char broken[256];
const char *readers_broken(void)
{
    return broken;
}

static bool fail(const char *why)
{
    snprintf(broken, sizeof broken, "%s", why);
    return false;
}

static bool accepted(kl_status st)
{
    return st == KL_OK;
}

/* A refusal has a sentence. */
static bool told(kl_status st)
{
    return st == KL_OK || *kl_error() ? true : fail("refused without a word");
}

typedef kl_status (*parse_fn)(kl_arena *a, const char *text, void **out);
typedef void (*print_fn)(const void *x, kl_text *out);

/* Names and places of nodes are comments, which the parser drops. */
static void drop_comments(kl_text *t)
{
    size_t to = 0;
    for (size_t i = 0; i < t->len; i++) {
        if (t->s[i] == '#')
            i += strcspn(t->s + i, "\n");
        while (to && t->s[i] == '\n' && t->s[to - 1] == ' ')
            to--;
        t->s[to++] = t->s[i];
    }
    t->s[to] = 0;
    t->len = to;
}

/* Accepted texts print to a text that is its own print. */
static bool text_round(const bytes *b, parse_fn parse, print_fn print)
{
    kl_arena *a = kl_arena_new();
    kl_text one = {0}, two = {0};
    void *x, *y;
    kl_status st = parse(a, b->s, &x);
    bool ok = told(st);
    if (accepted(st)) {
        print(x, &one);
        st = parse(a, one.s, &y);
        if (st != KL_OK)
            ok = fail("its print does not parse");
        else
            print(y, &two);
        drop_comments(&one); /* only now: lines are broken where comments end */
        if (st == KL_OK)
            drop_comments(&two);
        if (ok && strcmp(one.s, two.s) != 0)
            ok = fail("its print prints otherwise");
    }
    kl_text_free(&one), kl_text_free(&two);
    kl_arena_free(a);
    return ok;
}

static kl_status parse_graph(kl_arena *a, const char *s, void **out)
{
    return kl_graph_parse(a, "fuzz", s, (kl_graph **)out);
}
static void print_graph(const void *x, kl_text *out)
{
    kl_graph_print(x, out);
}
static kl_status parse_kernel(kl_arena *a, const char *s, void **out)
{
    return kl_kernel_parse(a, "fuzz", s, (kl_kernel **)out);
}
static void print_kernel(const void *x, kl_text *out)
{
    kl_kernel_print(x, out);
}
static kl_status parse_loops(kl_arena *a, const char *s, void **out)
{
    return kl_loops_parse(a, "fuzz", s, (kl_kernel **)out);
}
static void print_loops(const void *x, kl_text *out)
{
    kl_loops_print(x, out);
}

static bool read_graph(const bytes *b)
{
    return text_round(b, parse_graph, print_graph);
}
static bool read_kernel(const bytes *b)
{
    return text_round(b, parse_kernel, print_kernel);
}
static bool read_loops(const bytes *b)
{
    return text_round(b, parse_loops, print_loops);
}

static bool same_program(kl_program *p)
{
    kl_text one = {0}, two = {0}, packed = {0};
    kl_program *q = NULL;
    kl_program_print(p, &one);
    bool ok =
        kl_program_parse("again", one.s, &q) == KL_OK || fail("its print does not parse");
    if (q)
        kl_program_print(q, &two);
    if (ok && strcmp(one.s, two.s) != 0)
        ok = fail("its print prints otherwise");
    kl_program_unref(q);
    q = NULL;
    if (ok && (kl_program_pack(p, &packed) != KL_OK ||
               kl_program_unpack(packed.s, packed.len, &q) != KL_OK))
        ok = fail("its packed form does not read");
    kl_program_unref(q);
    kl_text_free(&one), kl_text_free(&two), kl_text_free(&packed);
    return ok;
}

static bool read_plan(const bytes *b)
{
    kl_program *p = NULL;
    kl_status st = kl_program_parse("fuzz", b->s, &p);
    bool ok = told(st) && (st != KL_OK || same_program(p));
    kl_program_unref(p);
    return ok;
}

static bool read_pack(const bytes *b)
{
    kl_program *p = NULL;
    kl_status st = kl_program_unpack(b->s, b->n, &p);
    bool ok = told(st) && (st != KL_OK || same_program(p));
    kl_program_unref(p);
    return ok;
}

/* Every element can be read. */
static volatile char sink; /* a store to it needs the load */
static void touch(const kl_buffer *v)
{
    size_t n = kl_buffer_bytes(v);
    const char *p = kl_buffer_data(v);
    for (size_t i = 0; i < n; i += 61)
        sink = p[i];
    if (n)
        sink = p[n - 1];
}

static bool read_npy(const bytes *b)
{
    kl_buffer v;
    kl_status st = kl_npy_parse("fuzz", b->s, b->n, &v);
    if (st == KL_OK) {
        touch(&v);
        kl_memory_unref(v.mem);
    }
    return told(st);
}

static bool read_csv(const bytes *b)
{
    kl_buffer v;
    kl_status st = kl_csv_parse("fuzz", b->s, b->n, ',', 0, &v);
    if (st == KL_OK) {
        touch(&v);
        kl_memory_unref(v.mem);
    }
    return told(st);
}

static bool see_archive(kl_status st, kl_archive *a)
{
    for (size_t i = 0; st == KL_OK && i < a->count; i++)
        touch(&a->items[i].buffer);
    if (st == KL_OK)
        kl_archive_free(a);
    return told(st);
}

static bool read_npz(const bytes *b)
{
    kl_archive a = {0};
    return see_archive(kl_npz_parse("fuzz", b->s, b->n, &a), &a);
}

static bool read_safetensors(const bytes *b)
{
    kl_archive a = {0};
    char path[64];
    int fd = memfd_create("fuzz", 0);
    if (fd < 0 || write(fd, b->s, b->n) != (ssize_t)b->n)
        return fail("no memory file");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    bool ok = see_archive(kl_safetensors_read(path, &a), &a);
    close(fd);
    return ok;
}

static bool read_elf(const bytes *b)
{
    kl_code *code;
    kl_status st = kl_code_load(b->s, b->n, &code);
    if (st == KL_OK) {
        kl_code_symbol(code, "f.0");
        kl_code_free(code);
    }
    return told(st);
}

/* ---- whole inputs ---- */

static void add(corpus *c, const void *s, size_t n)
{
    if (c->count == CORPUS_MOST || n == 0 || n > 1 << 16)
        return;
    char *copy = malloc(n + 1);
    memcpy(copy, s, n);
    copy[n] = 0;
    c->item[c->count++] = (bytes){copy, n};
}

static void add_text(corpus *c, kl_text *t)
{
    add(c, t->s, t->len);
    kl_text_free(t);
}

enum { AT_GRAPH, AT_KERNEL, AT_LOOPS, AT_PLAN, AT_PACK, AT_ELF };
static void from_graph(corpus *c, uint64_t seed, int level)
{
    kl_arena *a = kl_arena_new();
    kl_unit u = {
        .arena = a, .target = kl_target_find("x86-64-v3"), .graph = fuzz_graph(a, seed)};
    kl_text t = {0};
    kl_error_clear();
    if (u.graph && level == AT_GRAPH)
        kl_graph_print(u.graph, &t);
    else if (u.graph && kl_pipeline_run(&u, NULL, NULL) == KL_OK && u.nkernels) {
        kl_kernel *k = u.kernels[0];
        if (level == AT_KERNEL && !k->call)
            kl_kernel_print(k, &t);
        else if (level == AT_LOOPS && !k->call)
            kl_loops_print(k, &t);
        else if (level == AT_PLAN)
            kl_program_print(u.program, &t);
        else if (level == AT_PACK)
            kl_program_pack(u.program, &t);
        else if (level == AT_ELF)
            kl_codegen_cpu((const kl_kernel *const *)u.kernels, 1, u.target,
                           KL_LLVM_OBJECT, &t);
    }
    add_text(c, &t);
    kl_program_unref(u.program);
    kl_arena_free(a);
}

static void graphs_at(corpus *c, int level)
{
    for (uint64_t seed = 1; seed < 60 && c->count < 24; seed++)
        from_graph(c, seed, level);
}
static void make_graphs(corpus *c)
{
    graphs_at(c, AT_GRAPH);
}
static void make_kernels(corpus *c)
{
    graphs_at(c, AT_KERNEL);
}
static void make_loops(corpus *c)
{
    graphs_at(c, AT_LOOPS);
}
static void make_plans(corpus *c)
{
    graphs_at(c, AT_PLAN);
}
static void make_packs(corpus *c)
{
    graphs_at(c, AT_PACK);
}
static void make_elfs(corpus *c)
{
    if (kl_llvm_open() == KL_OK)
        for (uint64_t seed = 1; seed < 20 && c->count < 6; seed++)
            from_graph(c, seed, AT_ELF);
}

static kl_buffer array(kl_dtype dt, int rank, const int64_t *shape)
{
    kl_buffer b;
    if (kl_buffer_new(dt, rank, shape, &b) != KL_OK)
        abort();
    memset(kl_buffer_data(&b), 1, kl_buffer_bytes(&b));
    return b;
}

static void make_npy(corpus *c)
{
    static const kl_dtype dts[] = {KL_F32, KL_BOOL, KL_I64, KL_F16, KL_C64, KL_U8};
    for (size_t i = 0; i < KL_COUNT(dts); i++) {
        kl_buffer b = array(dts[i], (int)i % 4, (int64_t[]){3, 5, 2, 1});
        kl_text t = {0};
        kl_npy_put_head("fuzz", &b, &t);
        kl_text_putn(&t, kl_buffer_data(&b), kl_buffer_bytes(&b));
        add_text(c, &t);
        kl_memory_unref(b.mem);
    }
}

static void make_archive(corpus *c,
                         kl_status (*save)(const char *path, const kl_archive *a))
{
    char path[] = "/tmp/kiln-fuzz-XXXXXX";
    int fd = mkstemp(path);
    void *all;
    size_t size;
    kl_archive a = {0};
    kl_buffer one = array(KL_F32, 2, (int64_t[]){3, 5}),
              two = array(KL_I64, 1, (int64_t[]){4});
    kl_archive_add(&a, "one", &one);
    kl_archive_add(&a, "two.weight", &two);
    if (fd >= 0 && save(path, &a) == KL_OK && kl_file_read(path, &all, &size) == KL_OK) {
        add(c, all, size);
        kl_free(all, size);
    }
    close(fd);
    unlink(path);
    kl_archive_free(&a);
    kl_memory_unref(one.mem), kl_memory_unref(two.mem);
}
static void make_npz(corpus *c)
{
    make_archive(c, kl_npz_write);
}
static void make_safetensors(corpus *c)
{
    make_archive(c, kl_safetensors_write);
}

static void make_csv(corpus *c)
{
    static const char *const texts[] = {"1,2,3\n4,5,6\n",
                                        "# head\n1e3,-0.5\n\n nan , inf\n", "7\n",
                                        "1.5,2.25,1e-300\r\n4,5,6\r\n"};
    for (size_t i = 0; i < KL_COUNT(texts); i++)
        add(c, texts[i], strlen(texts[i]));
}

#ifdef KILN_ONNX

/* A model's values at small sizes, lazily: rows see every attribute; nothing is computed
 * but what a shape asks for. */
static void call_model(const kl_onnx *m)
{
    kl_tensor *in[8], *out[8];
    int n = kl_onnx_inputs(m);
    bool fits = n <= 8 && kl_onnx_outputs(m) <= 8;
    kl_scope_begin();
    for (int i = 0; i < n && fits; i++) {
        kl_onnx_port p = kl_onnx_input(m, i);
        int64_t all = 1;
        for (int k = 0; k < p.shape.n && all < 4096; k++)
            all *= p.shape.v[k] = p.shape.v[k] < 0 ? 2 : KL_MIN(p.shape.v[k], 4096);
        fits = p.dtype != KL_DTYPE_NONE && all < 4096;
        in[i] = fits ? kl_zeros(p.shape, p.dtype) : NULL;
    }
    if (fits)
        kl_onnx_call(m, in, out, NULL);
    kl_scope_drop();
}

static bool read_onnx(const bytes *b)
{
    kl_force_interp(true); /* what looking at elements compiles would be kept */
    kl_onnx *m = kl_onnx_read("fuzz.onnx", b->s, b->n, NULL);
    char *missing = m ? kl_onnx_operators(m, true) : NULL;
    bool ok = m || *kl_error() ? true : fail("refused without a word");
    if (m && missing && !*missing)
        call_model(m);
    ok = ok && strchr(kl_error(), '\n') ? fail("more than a line") : ok;
    free(missing);
    kl_onnx_free(m);
    kl_cleanup();
    return ok;
}

static void make_onnx(corpus *c)
{
    pb head = onnx_head();
    c->damage = models_damage;
    add(c, head.s, head.n);
    for (int i = 0; i < models_count(); i++) {
        pb m = models_of(i);
        add(c, m.s, m.n);
    }
}

#endif

const reader readers[] = {
    {"graph", make_graphs, read_graph},
    {"kernel", make_kernels, read_kernel},
    {"loops", make_loops, read_loops},
    {"plan", make_plans, read_plan},
    {"pack", make_packs, read_pack},
    {"npy", make_npy, read_npy},
    {"npz", make_npz, read_npz},
    {"csv", make_csv, read_csv},
    {"safetensors", make_safetensors, read_safetensors},
    {"elf", make_elfs, read_elf},
#ifdef KILN_ONNX
    {"onnx", make_onnx, read_onnx},
#endif
    {NULL, NULL, NULL},
};

/* *more: memory that is left afterwards. */
static bool read_once(const reader *t, const bytes *b, bool *more)
{
    size_t before = kl_alloc_live();
    kl_error_clear();
    bool ok = t->read(b);
    kl_error_clear();
    *more = kl_alloc_live() != before;
    return ok;
}

/* What is made once a process (LAPACK's functions by name) is there the second time. */
bool readers_read(const reader *t, const bytes *b)
{
    bool more, ok = read_once(t, b, &more);
    if (ok && more && read_once(t, b, &more) && more)
        ok = fail("memory was left behind");
    return ok;
}

/* ---- damage ---- */

static size_t splice_in(char *s, size_t n, size_t at, size_t gone, const char *piece,
                        size_t len)
{
    if (at > n)
        at = n;
    gone = KL_MIN(gone, n - at);
    if (n - gone + len >= INPUT_MOST)
        return n;
    memmove(s + at + len, s + at + gone, n - at - gone);
    memcpy(s + at, piece, len);
    return n - gone + len;
}

size_t readers_damage(char *s, size_t n, const corpus *c, uint64_t *r)
{
    static const char *const words[] = {"0",
                                        "1",
                                        "-1",
                                        "9223372036854775807",
                                        "-9223372036854775808",
                                        "4294967296",
                                        "1e999",
                                        "nan",
                                        "[",
                                        "]",
                                        "{",
                                        "}",
                                        "(",
                                        ")",
                                        ",",
                                        "%",
                                        "%0",
                                        "%4294967295",
                                        ":",
                                        "\"",
                                        "\n",
                                        "#",
                                        "\0",
                                        "x",
                                        "f32",
                                        "out",
                                        "dim",
                                        "graph",
                                        "load",
                                        "let",
                                        "for",
                                        "if",
                                        "inf",
                                        "999999999999999999999"};
    const bytes *other = &c->item[below(r, c->count)];
    size_t at = (size_t)below(r, (int64_t)n + 1),
           len = (size_t)below(r, 1 << below(r, 8));
    char byte = (char)draw(r);
    if (c->damage && below(r, 2))
        return c->damage(s, n, INPUT_MOST, r);
    switch (below(r, 8)) {
    case 0:
        if (at < n)
            s[at] ^= (char)(1 << below(r, 8));
        return n;
    case 1:
        return splice_in(s, n, at, 1, &byte, 1);
    case 2:
        return splice_in(s, n, at, len, "", 0);
    case 3: {
        size_t from = (size_t)below(r, (int64_t)other->n);
        return splice_in(s, n, at, below(r, 2) ? len : 0, other->s + from,
                         KL_MIN(len, other->n - from));
    }
    case 4:
    case 5: {
        const char *w = words[below(r, KL_COUNT(words))];
        return splice_in(s, n, at, (size_t)below(r, 3), w, strlen(w));
    }
    case 6: { /* a number becomes another */
        while (at < n && (s[at] < '0' || s[at] > '9'))
            at++;
        const char *w = words[below(r, 6)];
        size_t digits = strspn(s + at, "0123456789");
        return splice_in(s, n, at, KL_MIN(digits, n - at), w, strlen(w));
    }
    default:
        return below(r, 12) ? n : at;
    }
}
