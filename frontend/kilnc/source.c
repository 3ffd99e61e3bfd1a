/* source.c: a program as one C file: its kernels (codegen/artefact_c.c), the plan's steps
 * as a function, weights as bytes, and the entry that other artefacts have, with the same
 * checks.
 *
 *   launch head.0 kernel 0 (0, 3) dims (B) workers (B) grain 16
 *   ->  void *const at[] = {port[0], scratch + 64};  const int64_t dims[] = {d[0]};
 *       kl_call call = {at, dims, tiles, 128, &error, 0};
 *       kl_launch(&call, head_0_0, d[0], 16);
 *
 * What does not depend on the program stands in source.text, three parts of C. */
#include "kilnc.h"

static const char *const text[] = {
#include "source.inc"
    NULL};

enum { COLUMNS = 90 };

typedef struct source {
    const kl_artefact *a;
    kl_arena *arena;
    kl_text *out, *constants;
    int nconstants; /* arrays so far */
} source;

/* A program being run: the entry's, or the body of a loop or branch. Texts of C. */
typedef struct frame {
    const kl_program *p;
    const char *in, *out; /* arrays of addresses: the i-th operand is in[i] */
    int out_first;        /* out's first result */
    const char *scratch, *constants;
    int depth;
    bool entry;
} frame;

/* As many of a line's parts, each ending in ", ", as fit in the columns; at least one. */
static size_t fitting(const char *words, size_t room)
{
    size_t n = strlen(words), end = n;
    for (size_t i = 0; n > room && i + 2 < n && (i < room || end == n); i++)
        if (words[i] == ',' && words[i + 1] == ' ')
            end = i + 2;
    return end;
}

static void line(const source *s, const frame *f, const char *fmt, ...) KL_PRINTF(3, 4);
static void line(const source *s, const frame *f, const char *fmt, ...)
{
    char words[4096];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(words, sizeof words, fmt, ap);
    va_end(ap);
    s->out->failed |= n < 0 || (size_t)n >= sizeof words;
    int indent = 4 * (f->depth + 1);
    for (const char *at = words; *at; indent = 4 * (f->depth + 3)) {
        size_t len = fitting(at, (size_t)KL_MAX(COLUMNS - indent, 20)), next = len;
        while (len && at[len - 1] == ' ')
            len--;
        kl_text_printf(s->out, "%*s%.*s\n", indent, "", (int)len, at);
        at += next;
    }
}

static const char *size_text(const source *s, kl_size n)
{
    return kl_c_size(s->arena, n);
}

static const char *printed(const source *s, const char *p)
{
    (void)s;
    return p ? p : ""; /* the arena knows that it failed */
}

#define PRINT(s, ...) printed(s, kl_arena_printf((s)->arena, __VA_ARGS__))

/* ---- operands ---- */

static const char *address(const source *s, const frame *f, int slot)
{
    const kl_slot *k = &f->p->slots[slot];
    switch (k->kind) {
    case KL_SLOT_IN:
        return f->entry && s->a->weight[k->index] >= 0
                   ? PRINT(s, "(unsigned char *)kl_weights + %lld",
                           (long long)s->a->weight[k->index])
                   : PRINT(s, "%s[%d]", f->in, k->index);
    case KL_SLOT_OUT:
        return PRINT(s, "%s[%d]", f->out, f->out_first + k->index);
    case KL_SLOT_ARENA:
        return PRINT(s, "%s + %s", f->scratch, size_text(s, k->offset));
    default:
        return PRINT(s, "%s + %d", f->constants, k->index);
    }
}

static const char *addresses(const source *s, const frame *f, const int32_t *slots, int n)
{
    const char *y = "";
    for (int i = 0; i < n; i++)
        y = PRINT(s, "%s%s%s", y, i ? ", " : "", address(s, f, slots[i]));
    return y;
}

static const char *constants_of(source *s, const kl_program *p)
{
    if (!p->nconstants)
        return "0";
    const char *name =
        s->nconstants++ ? PRINT(s, "kl_constants_%d", s->nconstants) : "kl_constants";
    kl_c_bytes(s->constants, name, p->constants, p->nconstants);
    return PRINT(s, "(unsigned char *)%s", name);
}

/* ---- steps ---- */

static void put_launch(const source *s, const frame *f, const kl_step *st)
{
    char symbol[128];
    kl_cuda_symbol(f->p->kernels[st->kernel].name, symbol, sizeof symbol);
    const char *stride = size_text(s, st->scratch);
    if (strcmp(stride, "0") != 0)
        stride = PRINT(s, "kl_rounded(%s)", stride);
    line(s, f, "{");
    line(s, f, "    void *const at[] = {%s};", addresses(s, f, st->slots, st->nslots));
    const char *dims = "";
    for (int i = 0; i < st->ndims; i++)
        dims = PRINT(s, "%s%s, ", dims, size_text(s, st->dims[i]));
    line(s, f, "    const int64_t dims[] = {%s0};", dims);
    line(s, f, "    kl_call call = {at, dims, tiles, %s, &error, 0};", stride);
    for (int i = 0; i < st->nphases; i++)
        line(s, f, "    kl_launch(&call, %s_%d, %s, %lld);", symbol, i,
             size_text(s, st->phases[i].workers), (long long)st->phases[i].grain);
    line(s, f, "}");
}

static kl_status put_steps(source *s, const frame *f);

/* A program within f's: its operands are elements of the array `at`. */
static frame within(source *s, const frame *f, const kl_program *p, const kl_step *st,
                    const char *at)
{
    frame y = {.p = p, .in = at, .out = at, .out_first = p->nin, .depth = f->depth + 2};
    y.scratch = PRINT(s, "(%s)", address(s, f, st->slots[st->nslots - 1]));
    y.constants = constants_of(s, p);
    return y;
}

/* Whether there is another trip: else, or after a fault, the loop ends. */
static kl_status put_question(source *s, const frame *f, const kl_step *st,
                              const char *at)
{
    frame in = *f;
    in.depth += 2;
    if (st->other) {
        const char *flag = PRINT(s, "flag%d", f->depth);
        line(s, &in, "unsigned char *%s[] = {%s};", flag,
             address(s, f, st->slots[st->nslots - 2]));
        frame test = within(s, f, st->other, st, at);
        test.out = flag;
        test.out_first = 0;
        test.depth = in.depth;
        KL_TRY(put_steps(s, &test));
        line(s, &in, "if (!*%s[0] || error)", flag);
    } else {
        line(s, &in, "if (trip%d >= %s || error)", f->depth, size_text(s, st->trips));
    }
    line(s, &in, "    break;");
    return KL_OK;
}

/* Where operands and results lie the next trip: carried ones take turns, the others have
 * their next element. */
static void put_next_trip(const source *s, const frame *f, const kl_step *st,
                          const char *at)
{
    const kl_program *b = st->body;
    int n = b->nin + b->nout;
    frame in = *f;
    in.depth += 2;
    for (int i = 0; i < st->ncarry; i++) {
        line(s, &in, "unsigned char *turn%d = %s[%d];", i, at, i);
        line(s, &in, "%s[%d] = %s[%d];", at, i, at, i + b->nin);
        line(s, &in, "%s[%d] = turn%d;", at, i + b->nin, i);
    }
    for (int i = 0; i < n; i++) {
        const kl_port *port = i < b->nin ? &b->in[i] : &b->out[i - b->nin];
        if ((i < b->nin ? i : i - b->nin) >= st->ncarry)
            line(s, &in, "%s[%d] += %s;", at, i, kl_c_port_bytes(s->arena, port));
    }
}

static kl_status put_loop(source *s, const frame *f, const kl_step *st)
{
    const kl_program *b = st->body;
    const char *at = PRINT(s, "at%d", f->depth);
    frame in = *f;
    line(s, f, "{");
    in.depth++;
    line(s, &in, "unsigned char *%s[] = {%s};", at,
         addresses(s, f, st->slots, b->nin + b->nout));
    line(s, &in, "for (int64_t trip%d = 0;; trip%d++) {", f->depth, f->depth);
    KL_TRY(put_question(s, f, st, at));
    frame inner = within(s, f, b, st, at);
    KL_TRY(put_steps(s, &inner));
    put_next_trip(s, f, st, at);
    line(s, &in, "}");
    for (int i = 0; i < st->ncarry; i++)
        if (st->slots[i] != st->slots[b->nin + i])
            line(s, &in, "memmove(%s, %s[%d], (size_t)(%s));",
                 address(s, f, st->slots[i]), at, i,
                 kl_c_port_bytes(s->arena, &b->in[i]));
    line(s, f, "}");
    return KL_OK;
}

static kl_status put_side(source *s, const frame *f, const kl_step *st,
                          const kl_program *b)
{
    const char *at = PRINT(s, "at%d", f->depth);
    frame in = within(s, f, b, st, at);
    in.depth = f->depth + 1;
    line(s, &in, "unsigned char *%s[] = {%s};", at,
         addresses(s, f, st->slots + 1, b->nin + b->nout));
    return put_steps(s, &in);
}

static kl_status put_branch(source *s, const frame *f, const kl_step *st)
{
    line(s, f, "if (*(%s)) {", address(s, f, st->slots[0]));
    KL_TRY(put_side(s, f, st, st->body));
    line(s, f, "} else {");
    KL_TRY(put_side(s, f, st, st->other));
    line(s, f, "}");
    return KL_OK;
}

/* The arguments as the header's prototype has them, then the extents of each. */
static kl_status put_call(const source *s, const frame *f, const kl_step *st)
{
    const char *shapes = "", *args = "";
    line(s, f, "{");
    for (int i = 0; i < st->nslots; i++) {
        const kl_slot *slot = &f->p->slots[st->slots[i]];
        const char *extents = "";
        for (int j = 0; j < slot->rank; j++)
            extents = PRINT(s, "%s%s, ", extents, size_text(s, slot->shape[j]));
        line(s, f, "    const int64_t shape%d[] = {%s0};", i, extents);
        shapes = PRINT(s, "%s%sshape%d", shapes, i ? ", " : "", i);
        args = PRINT(s, "%s(void *)(%s), ", args, address(s, f, st->slots[i]));
    }
    line(s, f, "    const int64_t *const shapes[] = {%s};", shapes);
    line(s, f, "    if (%s(%sshapes))", st->symbol, args);
    line(s, f, "        return error ? KL_INDEX : KL_CALL;");
    line(s, f, "}");
    return KL_OK;
}

static kl_status put_step(source *s, const frame *f, const kl_step *st)
{
    const char *n =
        st->kind == KL_STEP_COPY || st->kind == KL_STEP_FILL
            ? PRINT(s, "(size_t)(%s)", size_text(s, f->p->slots[st->slots[0]].bytes))
            : "";
    switch (st->kind) {
    case KL_STEP_LAUNCH:
        put_launch(s, f, st);
        return KL_OK;
    case KL_STEP_COPY:
        line(s, f, "memmove(%s, %s, %s);", address(s, f, st->slots[0]),
             address(s, f, st->slots[1]), n);
        return KL_OK;
    case KL_STEP_FILL:
        line(s, f, "memset(%s, %d, %s);", address(s, f, st->slots[0]),
             (int)(st->value & 255), n);
        return KL_OK;
    case KL_STEP_CALL:
        return put_call(s, f, st);
    case KL_STEP_LOOP:
        return put_loop(s, f, st);
    case KL_STEP_BRANCH:
        return put_branch(s, f, st);
    }
    return KL_OK;
}

static kl_status put_steps(source *s, const frame *f)
{
    for (int i = 0; i < f->p->nsteps; i++)
        KL_TRY(put_step(s, f, &f->p->steps[i]));
    return KL_OK;
}

static kl_status put_program(source *s)
{
    const kl_program *p = s->a->level[0].program;
    frame f = {.p = p,
               .in = "port",
               .out = "port",
               .out_first = p->nin,
               .scratch = "scratch",
               .constants = constants_of(s, p),
               .entry = true};
    kl_text_put(s->out,
                "\n/* ---- the program ---- */\n\n"
                "KL_FN int64_t kl_rounded(int64_t bytes)\n{\n"
                "    return (bytes + 63) / 64 * 64;\n}\n\n"
                "/* d: the dimensions; port: inputs, then outputs. */\n"
                "static int kl_steps(const int64_t *d, unsigned char *const *port,\n"
                "                    unsigned char *scratch, unsigned char *tiles)\n{\n"
                "    int64_t error = 0;\n    (void)d;\n    (void)port;\n"
                "    (void)scratch;\n    (void)tiles;\n");
    KL_TRY(put_steps(s, &f));
    kl_text_put(s->out, "    return error ? KL_INDEX : KL_OK;\n}\n");
    return KL_OK;
}

/* ---- the entry ---- */

static bool has_weights_file(const source *s)
{
    return s->a->weights_file && s->a->nweights > KL_WEIGHTS_HEAD;
}

static void put_run(const source *s, const char *fixed, const char *tile, int64_t most)
{
    bool is_heap = s->a->scratch_heap;
    bool is_static = !s->a->scratch_caller && !is_heap && most > 0;
    kl_text_printf(s->out,
                   "\nstatic int kl_run(const int64_t *d, const void *const *ports)\n{\n"
                   "    int64_t bytes[KL_INS + KL_OUTS + 1];\n"
                   "    unsigned char *port[KL_INS + KL_OUTS + 1] = {0};\n"
                   "    int code = %skl_check_dims(d);\n"
                   "    if (code != KL_OK)\n        return code;\n"
                   "    kl_sizes(d, bytes);\n"
                   "    code = kl_check_ports(ports, bytes);\n"
                   "    if (code != KL_OK)\n        return code;\n"
                   "    for (int i = 0; i < KL_INS + KL_OUTS; i++)\n"
                   "        port[i] = (unsigned char *)(uintptr_t)ports[i];\n",
                   has_weights_file(s) ? "!kl_weights ? KL_WEIGHTS : " : "");
    if (is_static)
        kl_text_printf(
            s->out,
            "    if (%s + %s * %d > (int64_t)sizeof kl_scratch)\n        return KL_DIM;\n"
            "    if (__atomic_exchange_n(&kl_busy, 1, __ATOMIC_ACQ_REL))\n"
            "        return KL_BUSY;\n",
            fixed, tile, KL_ARTEFACT_WORKERS);
    if (is_heap)
        kl_text_put(s->out, "    int64_t most = kl_scratch_bytes(d);\n"
                            "    void *heap = most < 0 ? 0 : aligned_alloc(64, "
                            "(size_t)most + 64);\n"
                            "    if (!heap)\n        return KL_MEMORY;\n");
    kl_text_printf(s->out,
                   "    unsigned char *scratch = %s;\n"
                   "    u64 old = kl_fp_enter();\n"
                   "    code = kl_steps(d, port, scratch, scratch%s%s);\n"
                   "    kl_fp_leave(old);\n",
                   is_heap                ? "heap"
                   : is_static            ? "kl_scratch"
                   : s->a->scratch_caller ? "port[KL_INS + KL_OUTS - 1]"
                                          : "0",
                   strcmp(fixed, "0") ? " + " : "", strcmp(fixed, "0") ? fixed : "");
    if (is_static)
        kl_text_put(s->out, "    __atomic_store_n(&kl_busy, 0, __ATOMIC_RELEASE);\n");
    kl_text_printf(s->out, "%s    return code;\n}\n\n",
                   is_heap ? "    free(heap);\n" : "");
}

/* Of a call's own -1, where there is no such number. */
static void put_scratch_bytes(const source *s, kl_artefact_scratch size,
                              const char *fixed, const char *tile)
{
    if (s->a->scratch_heap)
        kl_c_text(s->out, text, 3);
    kl_text_put(s->out, "\nstatic int64_t kl_scratch_bytes(const int64_t *d)\n{\n"
                        "    (void)d;\n");
    if (s->a->scratch_heap)
        kl_text_printf(s->out, "    if (!(%s + %s * %d. < 0x1p60))\n        return -1;\n",
                       kl_c_about(s->arena, size.fixed), kl_c_about(s->arena, size.tile),
                       KL_ARTEFACT_WORKERS);
    kl_text_printf(s->out, "    return %s + %s * (KL_PARALLEL_FOR ? %d : 1);\n}\n", fixed,
                   tile, KL_ARTEFACT_WORKERS);
}

static kl_status put_scratch(const source *s)
{
    const kl_program *p = s->a->program;
    kl_artefact_scratch size = kl_artefact_scratch_of(s->a, s->arena);
    const char *fixed = size_text(s, size.fixed), *tile = size_text(s, size.tile);
    int64_t most = kl_artefact_scratch_max(p, size, KL_ARTEFACT_WORKERS);
    const char *bytes = "0";
    if (s->a->scratch_caller || s->a->scratch_heap) {
        bytes = s->a->scratch_caller ? "kl_scratch_bytes(d)" : "0";
        put_scratch_bytes(s, size, fixed, tile);
    } else if (kl_artefact_is_vast(most)) {
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: the scratch of the largest dimensions does not fit into a "
                       "program: bound them (dim B 1..N; ONNX: --dims=B=1..N) or give "
                       "--scratch=caller or heap",
                       s->a->name);
    } else if (most > 0) {
        kl_text_printf(s->out,
                       "\nstatic unsigned char kl_scratch[%lld] "
                       "__attribute__((aligned(64)));\nstatic int kl_busy;\n",
                       (long long)most);
    }
    kl_text_put(s->out, "\n");
    kl_c_sizes(s->a, s->arena, bytes, s->out);
    put_run(s, fixed, tile, most);
    return KL_OK;
}

/* ---- the file ---- */

static const char file_headers[] =
    "#define _POSIX_C_SOURCE 200809L\n"
    "#include <fcntl.h>\n#include <sys/mman.h>\n#include <unistd.h>\n";

static kl_status put_intro(const source *s, const char *from)
{
    const char *name = s->a->name;
    kl_text_printf(
        s->out,
        "/* %s: made by kilnc from %s. C11 for gcc and clang, which must not "
        "contract:\n"
        " *\n"
        " *   cc -std=c11 -O2 -ffp-contract=off -c %s.c\n"
        " *\n"
        " * (-march=native has multiply-adds done by the machine.) Kernels come "
        "first, each with the\n"
        " * expression it computes and where that was written, then the "
        "program's steps, then the entry,\n"
        " * whose prototype and codes `kilnc --header` tells. Nothing but libc "
        "is needed. */\n"
        "%s#include <stdbool.h>\n#include <stdint.h>\n%s#include <string.h>\n",
        name, from, name, has_weights_file(s) ? file_headers : "",
        s->a->scratch_heap ? "#include <stdlib.h>\n" : "");
    kl_c_text(s->out, text, 0);
    kl_text_put(s->out, "\n");
    kl_c_tables(s->a, s->out);
    kl_c_text(s->out, kl_c_checks, 0);
    kl_text_printf(s->out,
                   "\n/* The caller's threads, if there are any. */\n"
                   "void (*%s_parallel_for)(int64_t n, int64_t grain,\n"
                   "    void (*work)(void *context, int64_t begin, int64_t end, int64_t "
                   "worker),\n    void *context);\n"
                   "#define KL_PARALLEL_FOR %s_parallel_for\n",
                   name, name);
    return kl_artefact_calls(s->a, s->out);
}

/* The file's own names begin with kl_, but for its types' and kernels'. */
static kl_status check_name(const kl_artefact *a)
{
    const kl_artefact_level *l = &a->level[0];
    bool taken = strncmp(a->name, "kl_", 3) == 0 || strcmp(a->name, "b8") == 0;
    for (int i = 0; i < KL_DTYPE_COUNT; i++)
        taken |= strcmp(a->name, kl_dtypes[i].name) == 0;
    for (int i = 0; i < l->nkernels; i++)
        for (int k = 0; k < l->kernels[i]->nphases; k++) {
            char symbol[128], function[144];
            kl_cuda_symbol(l->kernels[i]->name, symbol, sizeof symbol);
            snprintf(function, sizeof function, "%s_%d", symbol, k);
            taken |= strcmp(a->name, function) == 0;
        }
    return taken ? kl_fail(KL_ERR_ARG,
                           "%s: the C file has that name for something else: give --name",
                           a->name)
                 : KL_OK;
}

static kl_status put_kernels(const source *s)
{
    const kl_artefact_level *l = &s->a->level[0];
    kl_text_put(s->out, "\n/* ---- kernels ---- */\n\n");
    return kl_codegen_c(l->kernels, l->nkernels, s->out);
}

static void put_weights(const source *s)
{
    const kl_artefact *a = s->a;
    if (!has_weights_file(s)) {
        if (a->nweights > KL_WEIGHTS_HEAD)
            kl_c_bytes(s->out, "kl_weights", a->weights, a->nweights);
        return;
    }
    kl_c_bytes(s->out, "kl_head", a->weights, KL_WEIGHTS_HEAD);
    kl_text_printf(s->out, "#define KL_FILE_SIZE %zu\n", a->nweights);
    kl_c_text(s->out, text, 2);
    kl_text_printf(s->out,
                   "\nint %s_load(const char *path);\nint %s_load(const char *path)\n{\n"
                   "    return kl_load(path);\n}\n",
                   a->name, a->name);
}

static kl_status put_file(source *s, const char *from)
{
    const kl_artefact *a = s->a;
    kl_text steps = {0}, *out = s->out;
    KL_TRY(check_name(a));
    KL_TRY(put_intro(s, from));
    put_weights(s);
    KL_TRY(put_kernels(s));
    kl_c_text(out, text, 1);
    s->out = &steps;
    kl_status ok = put_program(s);
    s->out = out;
    kl_text_putn(out, s->constants->s ? s->constants->s : "", s->constants->len);
    kl_text_putn(out, steps.s ? steps.s : "", steps.len);
    out->failed |= steps.failed || s->constants->failed;
    kl_text_free(&steps);
    KL_TRY(ok);
    KL_TRY(put_scratch(s));
    return kl_artefact_entry(a, out);
}

kl_status kl_c_source(const kl_artefact *a, const char *from, kl_text *out)
{
    kl_text constants = {0};
    source s = {.a = a, .arena = kl_arena_new(), .out = out, .constants = &constants};
    if (!s.arena)
        return kl_fail(KL_ERR_OOM, "out of memory: %s", from);
    kl_status ok =
        !a->weights_file && a->nweights > KL_C_EMBED_MOST
            ? kl_fail(KL_ERR_UNSUPPORTED,
                      "%s: %zu bytes of weights are too many for a C file: give "
                      "--weights=FILE or --weights=args",
                      a->name, a->nweights)
            : put_file(&s, from);
    if (ok == KL_OK && (out->failed || kl_arena_failed(s.arena)))
        ok = kl_fail(KL_ERR_OOM, "out of memory: %s", from);
    kl_text_free(&constants);
    kl_arena_free(s.arena);
    return ok;
}
