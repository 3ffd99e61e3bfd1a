/* artefact_header.c: the C header of an artefact: the entry's prototype, then all that a
 * caller must know, in words.
 *
 *   int net(int64_t B, const float *x, float *y);
 *
 * It needs <stdint.h> and nothing else, in C99 and C++. */
#include "artefact.h"

#include <ctype.h>

/* ---- names ---- */

static const char *const keywords[] = {
    "alignas",     "alignof",      "and",       "and_eq",
    "asm",         "auto",         "bitand",    "bitor",
    "bool",        "break",        "case",      "catch",
    "char",        "char16_t",     "char32_t",  "char8_t",
    "class",       "co_await",     "co_return", "co_yield",
    "compl",       "concept",      "const",     "const_cast",
    "consteval",   "constexpr",    "constinit", "continue",
    "decltype",    "default",      "delete",    "do",
    "double",      "dynamic_cast", "else",      "enum",
    "explicit",    "export",       "extern",    "false",
    "float",       "for",          "friend",    "goto",
    "if",          "inline",       "int",       "long",
    "main",        "mutable",      "namespace", "new",
    "noexcept",    "not",          "not_eq",    "nullptr",
    "operator",    "or",           "or_eq",     "private",
    "protected",   "public",       "register",  "reinterpret_cast",
    "requires",    "restrict",     "return",    "short",
    "signed",      "sizeof",       "static",    "static_assert",
    "static_cast", "struct",       "switch",    "template",
    "this",        "thread_local", "throw",     "true",
    "try",         "typedef",      "typeid",    "typename",
    "typeof",      "union",        "unsigned",  "using",
    "virtual",     "void",         "volatile",  "wchar_t",
    "while",       "xor",          "xor_eq"};

static bool is_keyword(const char *s)
{
    for (size_t i = 0; i < KL_COUNT(keywords); i++)
        if (strcmp(keywords[i], s) == 0)
            return true;
    return false;
}

bool kl_is_c_name(const char *s)
{
    if (!*s || isdigit((unsigned char)*s) || is_keyword(s))
        return false;
    for (; *s; s++)
        if (!isalnum((unsigned char)*s) && *s != '_')
            return false;
    return true;
}

void kl_c_name(const char *text, char *out, size_t cap)
{
    size_t n = 0;
    if (!*text || isdigit((unsigned char)*text))
        out[n++] = '_';
    for (; *text && n + 2 < cap; text++)
        out[n++] = isalnum((unsigned char)*text) ? *text : '_';
    out[n] = 0;
    if (is_keyword(out))
        strcpy(out + n, "_");
}

const char *kl_c_type(kl_dtype dt)
{
    static const char *const types[KL_DTYPE_COUNT] = {
        [KL_BOOL] = "uint8_t", [KL_U8] = "uint8_t",    [KL_I8] = "int8_t",
        [KL_U16] = "uint16_t", [KL_I16] = "int16_t",   [KL_U32] = "uint32_t",
        [KL_I32] = "int32_t",  [KL_U64] = "uint64_t",  [KL_I64] = "int64_t",
        [KL_F16] = "uint16_t", [KL_BF16] = "uint16_t", [KL_F32] = "float",
        [KL_F64] = "double",   [KL_C64] = "float",     [KL_C128] = "double"};
    return types[dt];
}

static const char *c_note(kl_dtype dt)
{
    switch (dt) {
    case KL_BOOL:
        return "bool, each 0 or 1";
    case KL_F16:
        return "f16, as bits";
    case KL_BF16:
        return "bf16, as bits";
    case KL_C64:
        return "c64, real and imaginary part in turn";
    case KL_C128:
        return "c128, real and imaginary part in turn";
    default:
        return kl_dtypes[dt].name;
    }
}

/* ---- parameters ---- */

enum { NAME_ROOM = 64 };
typedef char c_name[NAME_ROOM];

typedef struct header {
    const kl_artefact *a;
    const kl_program *p;
    kl_text *out;
    c_name *names; /* dims in the entry's order, inputs, outputs */
    int nnames;
    char upper[256]; /* prefix of constants */
} header;

static bool is_taken(const header *h, const char *name)
{
    for (int i = 0; i < h->nnames; i++)
        if (strcmp(h->names[i], name) == 0)
            return true;
    return strcmp(name, h->a->name) == 0 || strcmp(name, "scratch") == 0;
}

/* text, or dflt and a number, as a parameter that no other is called. */
static void add_name(header *h, const char *text, const char *dflt, int number)
{
    c_name base, name;
    if (text)
        kl_c_name(text, base, sizeof base - 8);
    else
        snprintf(base, sizeof base - 8, "%s%d", dflt, number);
    memcpy(name, base, sizeof name);
    for (int i = 2; is_taken(h, name) && i < 100000; i++)
        snprintf(name, sizeof name, "%.50s_%d", base, i);
    memcpy(h->names[h->nnames++], name, sizeof name);
}

static bool is_argument(const header *h, int in)
{
    return h->a->weight[in] < 0;
}

static void name_all(header *h)
{
    for (int i = 0; i < h->p->nsyms; i++)
        add_name(h, h->p->sym_names[h->a->syms[i]], "n", i);
    for (int i = 0; i < h->p->nin; i++)
        add_name(h, h->p->in[i].name, "in", i);
    for (int i = 0; i < h->p->nout; i++)
        add_name(h, h->p->out[i].name, "out", i);
}

static const char *port_name(const header *h, int port)
{
    return h->names[h->p->nsyms + port];
}

static void put_params(const header *h)
{
    const kl_program *p = h->p;
    const char *comma = "";
    for (int i = 0; i < p->nsyms; i++, comma = ", ")
        kl_text_printf(h->out, "%sint64_t %s", comma, h->names[i]);
    for (int i = 0; i < p->nin; i++) {
        if (!is_argument(h, i))
            continue;
        kl_text_printf(h->out, "%sconst %s *%s", comma, kl_c_type(p->in[i].dtype),
                       port_name(h, i));
        comma = ", ";
    }
    for (int i = 0; i < p->nout; i++, comma = ", ")
        kl_text_printf(h->out, "%s%s *%s", comma, kl_c_type(p->out[i].dtype),
                       port_name(h, p->nin + i));
    if (h->a->scratch_caller)
        kl_text_printf(h->out, "%svoid *scratch", comma);
}

/* ---- words ---- */

/* Text inside a comment must not end it. */
static void put_safe(kl_text *out, const char *s)
{
    for (; *s; s++) {
        char c = (*s == '/' && out->len && out->s[out->len - 1] == '*') || *s == '\n'
                     ? '_'
                     : *s;
        if (c == '?')
            c = '_'; /* no trigraphs */
        kl_text_putn(out, &c, 1);
    }
}

static void put_port(const header *h, const char *what, const kl_port *port,
                     const char *name)
{
    kl_text size = {0};
    kl_text_printf(h->out, " *   %-8s %-4s %s", name, what, kl_c_type(port->dtype));
    for (int i = 0; i < port->rank; i++) {
        size.len = 0;
        kl_size_print(h->p, port->shape[i], &size);
        kl_text_put(h->out, "[");
        put_safe(h->out, size.s ? size.s : "");
        kl_text_put(h->out, "]");
    }
    kl_text_printf(h->out, "%s  (%s)", port->rank ? "" : "[1]", c_note(port->dtype));
    kl_text_free(&size);
}

static void put_symbol(const header *h, int i)
{
    int s = h->a->syms[i];
    kl_text_printf(h->out, " *   %-8s dim  %lld to %lld", h->names[i],
                   (long long)h->p->sym_min[s], (long long)h->p->sym_max[s]);
    if (h->p->sym_div[s] > 1)
        kl_text_printf(h->out, ", a multiple of %lld", (long long)h->p->sym_div[s]);
    kl_text_put(h->out, "\n");
}

/* found  out  int64_t[6][2]  (i64), room for the most: the first *rows along axis 0 .. */
static void put_counts(const header *h, int i)
{
    const kl_counted *c = h->a->counts;
    if (c && c[i].of)
        kl_text_printf(h->out, ", how much of %s is meant",
                       port_name(h, h->p->nin + c[i].of - 1));
    for (int k = 0; c && k < h->p->nout; k++)
        if (c[k].of == i + 1)
            kl_text_printf(h->out,
                           ", room for the most: the first *%s along axis %d are meant",
                           port_name(h, h->p->nin + k), c[k].axis);
}

static void put_ports(const header *h)
{
    const kl_program *p = h->p;
    for (int i = 0; i < p->nsyms; i++)
        put_symbol(h, i);
    for (int i = 0; i < p->nin; i++) {
        if (!is_argument(h, i))
            continue;
        put_port(h, "in", &p->in[i], port_name(h, i));
        kl_text_put(h->out, "\n");
    }
    for (int i = 0; i < p->nout; i++) {
        int d = kl_program_donated(p, i);
        put_port(h, "out", &p->out[i], port_name(h, p->nin + i));
        if (d >= 0 && is_argument(h, d))
            kl_text_printf(h->out, ", may be %s itself", port_name(h, d));
        put_counts(h, i);
        kl_text_put(h->out, "\n");
    }
}

static bool is_gpu(const header *h)
{
    return h->a->level[0].target->kind == KL_TARGET_CUDA;
}

static bool is_static(const header *h)
{
    const kl_program *p = h->p;
    if (h->a->scratch_caller || h->a->scratch_heap || is_gpu(h))
        return false;
    kl_arena *a = kl_arena_new();
    if (!a)
        return true;
    int64_t n =
        kl_artefact_scratch_max(p, kl_artefact_scratch_of(h->a, a), KL_ARTEFACT_WORKERS);
    kl_arena_free(a);
    return n != 0;
}

/* "for x86-64-v2 or x86-64-v3, as the processor has it, x86_64-unknown-linux-gnu." */
static void put_levels(const header *h)
{
    const kl_artefact *a = h->a;
    if (a->source) {
        kl_text_put(h->out, " as C.\n *\n");
        return;
    }
    for (int i = 0; i < a->nlevels; i++) {
        const kl_target *t = a->level[i].target;
        kl_text_printf(h->out, "%s%s",
                       i == 0               ? " for "
                       : i + 1 < a->nlevels ? ", "
                                            : " or ",
                       strcmp(t->name, "host") == 0 ? t->cpu : t->name);
    }
    kl_text_printf(h->out, "%s, %s.\n *\n",
                   a->nlevels > 1 ? ", whichever is the best that the processor has" : "",
                   is_gpu(h) ? "the first GPU that its driver has"
                             : a->level[0].target->triple);
}

static void put_intro(const header *h, const char *source)
{
    const kl_artefact *a = h->a;
    kl_text_printf(h->out, "/* %s: made by kilnc from ", a->name);
    put_safe(h->out, source);
    put_levels(h);
    put_ports(h);
    kl_text_put(
        h->out,
        " *\n"
        " * Arrays are dense and row-major; extents count elements. A pointer needs the "
        "alignment of\n"
        " * its elements, no more. Inputs may overlap each other; an output may overlap "
        "no other\n"
        " * argument, unless it says so above. The result is 0, or a code below: then "
        "nothing was\n"
        " * written, but after INDEX and CALL, which leave the outputs undefined.\n");
    if (a->scratch_caller)
        kl_text_printf(h->out,
                       " * scratch: %s_scratch_bytes bytes, aligned to 64. Calls with "
                       "different scratch may run\n"
                       " * at the same time.\n",
                       a->name);
    else if (is_static(h))
        kl_text_put(h->out, " * The function is not re-entrant: its scratch is static, "
                            "and a second call while one runs\n"
                            " * returns BUSY.\n");
    else if (a->scratch_heap)
        kl_text_put(h->out,
                    " * Each call takes its scratch by aligned_alloc and frees it "
                    "(MEMORY: there was none),\n"
                    " * so that the function is re-entrant.\n");
    else
        kl_text_put(h->out, " * The function is re-entrant.\n");
    if (a->weights_file && a->nweights > KL_WEIGHTS_HEAD)
        kl_text_printf(h->out, " * Call %s_load once before it.\n", a->name);
    kl_text_put(h->out, " */\n");
}

/* ---- the rest ---- */

static void put_codes(const header *h)
{
    static const struct {
        const char *name, *text;
    } codes[] = {
#define X(name, text) {#name, text},
        KL_ARTEFACT_CODES(X)
#undef X
    };
    kl_text_printf(h->out, "enum {\n");
    for (size_t i = 0; i < KL_COUNT(codes); i++)
        kl_text_printf(h->out, "    %s_%s = %d%s /* %s */\n", h->upper, codes[i].name,
                       (int)i, i + 1 < KL_COUNT(codes) ? "," : "", codes[i].text);
    kl_text_put(h->out, "};\n");
}

static void put_threads(const header *h)
{
    kl_text_printf(h->out,
                   "\n/* Threads, if you want them: a function that calls work(context, "
                   "begin, end, worker) for\n"
                   " * parts of 0 .. n - 1 that together are all of it, each of at least "
                   "grain (but the last), on\n"
                   " * any threads, and returns when all are done. worker is from 0 to "
                   "%s_WORKERS - 1, and no two\n"
                   " * parts at a time have the same. Results do not depend on it. Set "
                   "it before the first call;\n"
                   " * 0, as at the start: one thread. */\n"
                   "#define %s_WORKERS %d\n"
                   "extern void (*%s_parallel_for)(int64_t n, int64_t grain,\n"
                   "    void (*work)(void *context, int64_t begin, int64_t end, int64_t "
                   "worker), void *context);\n",
                   h->upper, h->upper, KL_ARTEFACT_WORKERS, h->a->name);
}

static void put_load(const header *h)
{
    kl_text_printf(h->out,
                   "\n/* Map the weights: the file that kilnc wrote with this header. 0, "
                   "or %s_WEIGHTS. */\n"
                   "int %s_load(const char *path);\n",
                   h->upper, h->a->name);
}

static void put_scratch_bytes(const header *h)
{
    kl_text_printf(h->out,
                   "\n/* Bytes of scratch for these dimensions; set parallel_for before "
                   "you ask. */\n"
                   "int64_t %s_scratch_bytes(",
                   h->a->name);
    for (int i = 0; i < h->p->nsyms; i++)
        kl_text_printf(h->out, "%sint64_t %s", i ? ", " : "", h->names[i]);
    kl_text_put(h->out, h->p->nsyms ? ");\n" : "void);\n");
}

static void put_call(const header *h, const kl_program *p, const kl_step *s, kl_text *out)
{
    (void)h;
    kl_text_printf(out, "int %s(", s->symbol);
    for (int i = 0; i < s->nslots; i++) {
        bool in = i < s->ncarry;
        kl_text_printf(out, "%s%s *%s%d, ", in ? "const " : "",
                       kl_c_type(p->slots[s->slots[i]].dtype), in ? "in" : "out",
                       in ? i : i - s->ncarry);
    }
    kl_text_put(out, "const int64_t *const *shapes);\n");
}

/* One prototype a function, however often it is called. */
static kl_status put_calls(const header *h, const kl_program *p, kl_text *all)
{
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        if (s->body)
            KL_TRY(put_calls(h, s->body, all));
        if (s->other)
            KL_TRY(put_calls(h, s->other, all));
        if (s->kind != KL_STEP_CALL)
            continue;
        kl_text one = {0}, head = {0};
        put_call(h, p, s, &one);
        kl_text_printf(&head, "int %s(", s->symbol);
        bool known = all->s && one.s && strstr(all->s, one.s);
        bool other = !known && all->s && head.s && strstr(all->s, head.s);
        if (!known && one.s)
            kl_text_put(all, one.s);
        kl_text_free(&one);
        kl_text_free(&head);
        if (other)
            return kl_fail(KL_ERR_UNSUPPORTED,
                           "call: %s is called with arguments of different types",
                           s->symbol);
    }
    return KL_OK;
}

static kl_status put_externals(const header *h)
{
    kl_text calls = {0};
    kl_status s = put_calls(h, h->p, &calls);
    if (s == KL_OK && calls.len) {
        kl_text_put(h->out, "\n/* Yours to define: shapes[i] are the extents of argument "
                            "i; 0 when all went well. */\n");
        kl_text_put(h->out, calls.s);
    }
    kl_text_free(&calls);
    return s;
}

static kl_status put_only_calls(header *h, const char *unused)
{
    (void)unused;
    return put_externals(h);
}

static kl_status put_header(header *h, const char *source)
{
    kl_text *out = h->out;
    for (size_t i = 0; h->a->name[i] && i + 1 < sizeof h->upper; i++)
        h->upper[i] = (char)toupper((unsigned char)h->a->name[i]);
    name_all(h);
    put_intro(h, source);
    kl_text_printf(out,
                   "#ifndef %s_KILN_H\n#define %s_KILN_H\n\n#include <stdint.h>\n\n"
                   "#ifdef __cplusplus\nextern \"C\" {\n#endif\n\nint %s(",
                   h->upper, h->upper, h->a->name);
    put_params(h);
    kl_text_put(out, ");\n\n");
    put_codes(h);
    if (h->a->scratch_caller)
        put_scratch_bytes(h);
    if (h->a->weights_file && h->a->nweights > KL_WEIGHTS_HEAD)
        put_load(h);
    if (!is_gpu(h))
        put_threads(h);
    KL_TRY(put_externals(h));
    kl_text_put(out, "\n#ifdef __cplusplus\n}\n#endif\n#endif\n");
    return out->failed ? kl_fail(KL_ERR_OOM, "out of memory: a header") : KL_OK;
}

/* kl_d, by the program's numbers, of the entry's parameters. */
static void put_dims(const header *h)
{
    const kl_program *p = h->p;
    kl_text_put(h->out, "\n{\n    const int64_t kl_d[] = {");
    for (int s = 0; s < p->nsyms; s++)
        for (int i = 0; i < p->nsyms; i++)
            if (h->a->syms[i] == s)
                kl_text_printf(h->out, "%s, ", h->names[i]);
    kl_text_put(h->out, "0};\n");
}

/* Each with its prototype, for compilers that want one before. */
static kl_status put_entry(header *h, const char *unused)
{
    const kl_program *p = h->p;
    (void)unused;
    name_all(h);
    for (int i = 0; i < 2; i++) {
        kl_text_printf(h->out, "int %s(", h->a->name);
        put_params(h);
        kl_text_put(h->out, i ? ")" : ");\n");
    }
    put_dims(h);
    kl_text_put(h->out, "    const void *const kl_port[] = {");
    for (int i = 0; i < p->nin + p->nout; i++)
        kl_text_printf(h->out, "%s, ",
                       i < p->nin && !is_argument(h, i) ? "0" : port_name(h, i));
    kl_text_printf(h->out, "%s0};\n    return kl_run(kl_d, kl_port);\n}\n",
                   h->a->scratch_caller ? "scratch, " : "");
    if (h->a->scratch_caller) {
        put_scratch_bytes(h);
        h->out->len -= 2; /* ";\n" */
        put_dims(h);
        kl_text_put(h->out, "    return kl_scratch_bytes(kl_d);\n}\n");
    }
    return h->out->failed ? kl_fail(KL_ERR_OOM, "out of memory: an entry") : KL_OK;
}

static kl_status with_names(const kl_artefact *a, const char *source, kl_text *out,
                            kl_status (*put)(header *, const char *))
{
    const kl_program *p = a->program;
    size_t n = (size_t)(p->nsyms + p->nin + p->nout + 1) * sizeof(c_name);
    header h = {.a = a, .p = p, .out = out, .names = kl_alloc_zeroed(n)};
    if (!h.names)
        return kl_fail(KL_ERR_OOM, "out of memory: a header");
    kl_status s = put(&h, source);
    kl_free(h.names, n);
    return s;
}

kl_status kl_artefact_header(const kl_artefact *a, const char *source, kl_text *out)
{
    return with_names(a, source, out, put_header);
}

kl_status kl_artefact_calls(const kl_artefact *a, kl_text *out)
{
    return with_names(a, NULL, out, put_only_calls);
}

kl_status kl_artefact_entry(const kl_artefact *a, kl_text *out)
{
    return with_names(a, NULL, out, put_entry);
}
