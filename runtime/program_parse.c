/* program_parse.c: a plan from its text (ir/GRAMMAR.md, "Plan"): what program_text.c
 * prints. The plan that comes back has no code: its kernels are found by name or key. A
 * failure is one line with file, line and reason, and leaves nothing behind.
 *
 *   launch head.0 kernel 0 (0, 2) workers (floor((B+13)/14)) grain 1
 *                                          B 13 + 14 floor/ */
#include "runtime/program_text.h"

enum { NESTED = 64 };

typedef struct parser {
    kl_lex *l;
    kl_program *p;
    kl_arena *a; /* p's */
    int depth;   /* of bodies */
} parser;

static kl_status no_memory(void)
{
    return kl_fail(KL_ERR_OOM, "out of memory: a plan's text");
}

static kl_status unexpected(const kl_lex *l, const char *what)
{
    if (l->kind == KL_TOK_END)
        return kl_lex_fail(l, "expected %s, found the end of the file", what);
    return kl_lex_fail(l, "expected %s, found '%.*s'", what, (int)KL_MIN(l->len, 40),
                       l->tok);
}

/* ---- sizes ---- */

typedef struct sizer {
    parser *ps;
    int64_t *code;
    uint32_t len, cap;
    int depth;
} sizer;

static kl_status emit(sizer *z, int64_t word)
{
    if (kl_arena_grow(z->ps->a, &z->code, &z->cap, z->len + 1, sizeof *z->code) != KL_OK)
        return no_memory();
    z->code[z->len++] = word;
    return KL_OK;
}

static kl_status read_sum(sizer *z);

/* A name, which stood at `at` and is read: a symbol, or a function of two sums. */
static kl_status read_named(sizer *z, const char *name, const kl_lex *at)
{
    static const struct {
        const char *name, *between;
        int op;
    } rows[] = {{"floor", "/", KL_SIZE_DIV},
                {"mod", ",", KL_SIZE_MOD},
                {"max", ",", KL_SIZE_MAX},
                {"min", ",", KL_SIZE_MIN}};
    kl_lex *l = z->ps->l;
    for (size_t i = 0; i < KL_COUNT(rows) && kl_lex_is(l, "("); i++) {
        if (strcmp(rows[i].name, name) != 0)
            continue;
        kl_lex_next(l);
        KL_TRY(read_sum(z));
        KL_TRY(kl_lex_want(l, rows[i].between));
        KL_TRY(read_sum(z));
        KL_TRY(kl_lex_want(l, ")"));
        return emit(z, rows[i].op);
    }
    const kl_program *p = z->ps->p;
    for (int i = 0; i < p->nsyms; i++)
        if (strcmp(p->sym_names[i], name) == 0)
            return emit(z, (int64_t)KL_SIZE_SYM + i);
    return kl_lex_fail(at, "there is no dim called %.60s", name);
}

static kl_status read_atom(sizer *z)
{
    kl_lex *l = z->ps->l;
    char name[256];
    int64_t v;
    if (kl_lex_take(l, "(")) {
        KL_TRY(read_sum(z));
        return kl_lex_want(l, ")");
    }
    if (l->kind == KL_TOK_NAME) {
        kl_lex at = *l;
        KL_TRY(kl_lex_name(l, name, sizeof name));
        return read_named(z, name, &at);
    }
    if (l->kind != KL_TOK_INT)
        return unexpected(l, "a size");
    KL_TRY(kl_lex_int(l, &v));
    return emit(z, v);
}

static kl_status read_product(sizer *z)
{
    KL_TRY(read_atom(z));
    while (kl_lex_take(z->ps->l, "*")) {
        KL_TRY(read_atom(z));
        KL_TRY(emit(z, KL_SIZE_MUL));
    }
    return KL_OK;
}

static kl_status read_terms(sizer *z)
{
    kl_lex *l = z->ps->l;
    bool minus = kl_lex_take(l, "-");
    KL_TRY(read_product(z));
    if (minus)
        KL_TRY(emit(z, KL_SIZE_NEG));
    for (;;) {
        minus = kl_lex_is(l, "-");
        if (!kl_lex_take(l, "+") && !kl_lex_take(l, "-"))
            return KL_OK;
        KL_TRY(read_product(z));
        if (minus)
            KL_TRY(emit(z, KL_SIZE_NEG));
        KL_TRY(emit(z, KL_SIZE_ADD));
    }
}

static kl_status read_sum(sizer *z)
{
    if (++z->depth > NESTED)
        return kl_lex_fail(z->ps->l, "a size is nested more than %d deep", NESTED);
    kl_status s = read_terms(z);
    z->depth--;
    return s;
}

static kl_status read_size(parser *ps, kl_size *out)
{
    sizer z = {.ps = ps};
    KL_TRY(read_sum(&z));
    *out = (kl_size){z.code, (int32_t)z.len};
    return kl_size_valid(*out, ps->p->nsyms)
               ? KL_OK
               : kl_lex_fail(ps->l, "a size needs more than %d places", KL_SIZE_DEPTH);
}

/* (SIZE) */
static kl_status read_one(parser *ps, kl_size *out)
{
    KL_TRY(kl_lex_want(ps->l, "("));
    KL_TRY(read_size(ps, out));
    return kl_lex_want(ps->l, ")");
}

/* Up to the closing bracket; the opening one is read. */
static kl_status read_sizes(parser *ps, const char *close, const kl_size **out,
                            int32_t *n)
{
    kl_size *s = NULL;
    uint32_t cap = 0, count = 0;
    while (!kl_lex_take(ps->l, close)) {
        if (count)
            KL_TRY(kl_lex_want(ps->l, ","));
        if (kl_arena_grow(ps->a, &s, &cap, count + 1, sizeof *s) != KL_OK)
            return no_memory();
        KL_TRY(read_size(ps, &s[count++]));
    }
    *out = s;
    *n = (int32_t)count;
    return KL_OK;
}

/* ---- words ---- */

static kl_status read_int(parser *ps, int64_t min, int64_t max, int64_t *out)
{
    KL_TRY(kl_lex_int(ps->l, out));
    if (*out < min || *out > max)
        return kl_lex_fail(ps->l, "%lld is not within %lld..%lld", (long long)*out,
                           (long long)min, (long long)max);
    return KL_OK;
}

static kl_status read_i32(parser *ps, int32_t *out)
{
    int64_t v;
    KL_TRY(read_int(ps, 0, INT32_MAX, &v));
    *out = (int32_t)v;
    return KL_OK;
}

/* A name or a string, kept. */
static kl_status read_name(parser *ps, const char **out)
{
    kl_lex *l = ps->l;
    if (l->kind != KL_TOK_NAME && l->kind != KL_TOK_STRING)
        return unexpected(l, "a name");
    *out = kl_arena_printf(ps->a, "%.*s", (int)KL_MIN(l->len, 4096), l->tok);
    kl_lex_next(l);
    return *out ? KL_OK : no_memory();
}

static kl_status read_type(parser *ps, kl_dtype *dt, int32_t *rank, const kl_size **shape)
{
    char name[16];
    KL_TRY(kl_lex_name(ps->l, name, sizeof name));
    for (*dt = 0; *dt < KL_DTYPE_COUNT; (*dt)++)
        if (strcmp(kl_dtypes[*dt].name, name) == 0)
            break;
    if (*dt == KL_DTYPE_COUNT)
        return kl_lex_fail(ps->l, "there is no dtype %s", name);
    KL_TRY(kl_lex_want(ps->l, "["));
    return read_sizes(ps, "]", shape, rank);
}

static kl_status read_double(parser *ps, double *out)
{
    if (ps->l->kind != KL_TOK_FLOAT)
        return unexpected(ps->l, "a number with a point");
    *out = ps->l->fval;
    kl_lex_next(ps->l);
    return KL_OK;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A string of hex digits into out, which holds cap bytes. */
static kl_status read_hex(parser *ps, uint8_t *out, size_t cap)
{
    const kl_lex *l = ps->l;
    if (l->kind != KL_TOK_STRING || l->len != 2 * cap)
        return unexpected(l, "a string of hexadecimal digits, two a byte");
    for (size_t i = 0; i < cap; i++) {
        int hi = hex_digit(l->tok[2 * i]), lo = hex_digit(l->tok[2 * i + 1]);
        if (hi < 0 || lo < 0)
            return unexpected(l, "hexadecimal digits");
        out[i] = (uint8_t)(hi << 4 | lo);
    }
    kl_lex_next(ps->l);
    return KL_OK;
}

/* ---- the head ---- */

typedef struct symbols {
    const char **names;
    int64_t *facts[3];
    uint32_t cap_names, caps[3];
} symbols;

static kl_status read_symbol(parser *ps, symbols *s)
{
    kl_program *p = ps->p;
    static const int64_t least[] = {INT64_MIN, INT64_MIN, 1};
    static const char *const before[] = {NULL, "..", "%"};
    uint32_t n = (uint32_t)p->nsyms;
    if (kl_arena_grow(ps->a, &s->names, &s->cap_names, n + 1, sizeof *s->names) != KL_OK)
        return no_memory();
    KL_TRY(read_name(ps, &s->names[n]));
    for (int i = 0; i < 3; i++) {
        if (kl_arena_grow(ps->a, &s->facts[i], &s->caps[i], n + 1, sizeof(int64_t)) !=
            KL_OK)
            return no_memory();
        if (before[i])
            KL_TRY(kl_lex_want(ps->l, before[i]));
        KL_TRY(read_int(ps, least[i], INT64_MAX, &s->facts[i][n]));
    }
    p->sym_names = s->names;
    p->sym_min = s->facts[0], p->sym_max = s->facts[1], p->sym_div = s->facts[2];
    p->nsyms++;
    return KL_OK;
}

static kl_status read_ports(parser *ps, const char *word, const kl_port **out, int32_t *n)
{
    kl_port *ports = NULL;
    uint32_t cap = 0;
    while (kl_lex_take(ps->l, word)) {
        kl_port port = {0};
        if (ps->l->kind == KL_TOK_REF)
            kl_lex_next(ps->l);
        else
            KL_TRY(read_name(ps, &port.name));
        KL_TRY(kl_lex_want(ps->l, ":"));
        KL_TRY(read_type(ps, &port.dtype, &port.rank, &port.shape));
        if (kl_arena_grow(ps->a, &ports, &cap, (uint32_t)*n + 1, sizeof port) != KL_OK)
            return no_memory();
        ports[(*n)++] = port;
    }
    *out = ports;
    return KL_OK;
}

static kl_status read_constants(parser *ps)
{
    uint8_t *bytes = NULL;
    uint32_t cap = 0, n = 0;
    while (kl_lex_take(ps->l, "constants")) {
        uint32_t more = (uint32_t)KL_MIN(ps->l->len / 2, 4096);
        if (n > INT32_MAX - more)
            return kl_lex_fail(ps->l, "constants of more than 2 GiB");
        if (kl_arena_grow(ps->a, &bytes, &cap, n + more + 1, 1) != KL_OK)
            return no_memory();
        KL_TRY(read_hex(ps, bytes + n, more));
        n += more;
    }
    ps->p->constants = bytes;
    ps->p->nconstants = n;
    return KL_OK;
}

/* "slot 3:" and the like are numbered without gaps. */
static kl_status read_number(parser *ps, int32_t expected)
{
    int64_t v;
    KL_TRY(kl_lex_int(ps->l, &v));
    if (v != expected)
        return kl_lex_fail(ps->l, "expected number %d, found %lld", expected,
                           (long long)v);
    return kl_lex_want(ps->l, ":");
}

static kl_status read_word(parser *ps, const char *const *words, int n, int *out)
{
    for (*out = 0; *out < n; (*out)++)
        if (kl_lex_take(ps->l, words[*out]))
            return KL_OK;
    return unexpected(ps->l, words == kl_slot_words ? "in, out, arena or const"
                                                    : "a step or '}'");
}

static kl_status read_slot(parser *ps, kl_slot *s)
{
    static const int64_t zero[1] = {0};
    int kind;
    KL_TRY(read_word(ps, kl_slot_words, KL_SLOT_CONST + 1, &kind));
    s->kind = (kl_slot_kind)kind;
    s->offset = (kl_size){zero, 1};
    if (kind != KL_SLOT_ARENA)
        KL_TRY(read_i32(ps, &s->index));
    KL_TRY(read_type(ps, &s->dtype, &s->rank, &s->shape));
    if (kl_lex_take(ps->l, "offset"))
        KL_TRY(read_size(ps, &s->offset));
    KL_TRY(kl_lex_want(ps->l, "bytes"));
    KL_TRY(read_size(ps, &s->bytes));
    if (kl_lex_take(ps->l, "donates")) {
        int64_t v;
        KL_TRY(read_int(ps, 0, INT32_MAX - 1, &v));
        s->donated = (int32_t)v + 1;
    }
    return kl_lex_take(ps->l, "name") ? read_name(ps, &s->name) : KL_OK;
}

static kl_status read_slots(parser *ps)
{
    kl_slot *slots = NULL;
    uint32_t cap = 0;
    while (kl_lex_take(ps->l, "slot")) {
        kl_slot s = {0};
        KL_TRY(read_number(ps, ps->p->nslots));
        KL_TRY(read_slot(ps, &s));
        if (kl_arena_grow(ps->a, &slots, &cap, (uint32_t)ps->p->nslots + 1, sizeof s) !=
            KL_OK)
            return no_memory();
        slots[ps->p->nslots++] = s;
        ps->p->slots = slots;
    }
    return KL_OK;
}

static kl_status read_kernels(parser *ps)
{
    kl_program *p = ps->p;
    uint32_t cap = 0;
    while (kl_lex_take(ps->l, "kernel")) {
        kl_kernel_code k = {0};
        uint8_t b[16];
        KL_TRY(read_number(ps, p->nkernels));
        KL_TRY(read_name(ps, &k.name));
        if (kl_lex_take(ps->l, "key")) {
            KL_TRY(read_hex(ps, b, sizeof b));
            for (int i = 0; i < 8; i++) {
                k.key.hi = k.key.hi << 8 | b[i];
                k.key.lo = k.key.lo << 8 | b[8 + i];
            }
        }
        if (kl_arena_grow(ps->a, &p->kernels, &cap, (uint32_t)p->nkernels + 1,
                          sizeof k) != KL_OK)
            return no_memory();
        p->kernels[p->nkernels++] = k;
    }
    return KL_OK;
}

/* ---- steps ---- */

static kl_status read_slot_list(parser *ps, kl_step *s)
{
    int32_t *slots = NULL;
    uint32_t cap = 0;
    KL_TRY(kl_lex_want(ps->l, "("));
    while (!kl_lex_take(ps->l, ")")) {
        if (s->nslots)
            KL_TRY(kl_lex_want(ps->l, ","));
        if (kl_arena_grow(ps->a, &slots, &cap, (uint32_t)s->nslots + 1, sizeof *slots) !=
            KL_OK)
            return no_memory();
        KL_TRY(read_i32(ps, &slots[s->nslots++]));
    }
    s->slots = slots;
    return KL_OK;
}

static kl_status read_phases(parser *ps, kl_step *s)
{
    static const int64_t zero[1] = {0};
    kl_plan_phase *phases = NULL;
    uint32_t cap = 0;
    while (kl_lex_take(ps->l, "workers")) {
        kl_plan_phase ph = {.group = 1, .lane = 1, .shared = {zero, 1}};
        KL_TRY(read_one(ps, &ph.workers));
        KL_TRY(kl_lex_want(ps->l, "grain"));
        KL_TRY(kl_lex_int(ps->l, &ph.grain));
        if (kl_lex_take(ps->l, "block")) {
            KL_TRY(read_i32(ps, &ph.lane));
            KL_TRY(read_i32(ps, &ph.group));
        }
        if (kl_lex_take(ps->l, "shared"))
            KL_TRY(read_one(ps, &ph.shared));
        if (kl_arena_grow(ps->a, &phases, &cap, (uint32_t)s->nphases + 1, sizeof ph) !=
            KL_OK)
            return no_memory();
        phases[s->nphases++] = ph;
    }
    s->phases = phases;
    return KL_OK;
}

static kl_status read_program(kl_lex *l, int depth, kl_program **out);

/* What may follow the operands, each once, in this order. */
static kl_status read_tail(parser *ps, kl_step *s)
{
    kl_lex *l = ps->l;
    if (kl_lex_take(l, "byte"))
        KL_TRY(kl_lex_int(l, &s->value));
    if (kl_lex_take(l, "inputs") || kl_lex_take(l, "carries"))
        KL_TRY(read_i32(ps, &s->ncarry));
    if (kl_lex_take(l, "trips"))
        KL_TRY(read_one(ps, &s->trips));
    if (kl_lex_take(l, "dims")) {
        KL_TRY(kl_lex_want(l, "("));
        KL_TRY(read_sizes(ps, ")", &s->dims, &s->ndims));
    }
    KL_TRY(read_phases(ps, s));
    if (kl_lex_take(l, "scratch"))
        KL_TRY(read_one(ps, &s->scratch));
    if (kl_lex_take(l, "flops"))
        KL_TRY(read_double(ps, &s->flops));
    if (kl_lex_take(l, "bytes"))
        KL_TRY(read_double(ps, &s->bytes));
    return kl_lex_take(l, "at") ? read_name(ps, &s->place) : KL_OK;
}

static kl_status read_step(parser *ps, kl_step *s)
{
    static const int64_t zero[1] = {0};
    int kind;
    KL_TRY(read_word(ps, kl_step_words, KL_STEP_BRANCH + 1, &kind));
    *s = (kl_step){.kind = (kl_step_kind)kind, .kernel = -1, .scratch = {zero, 1}};
    KL_TRY(read_name(ps, &s->name));
    if (kl_lex_take(ps->l, "kernel"))
        KL_TRY(read_i32(ps, &s->kernel));
    if (s->kind == KL_STEP_CALL)
        KL_TRY(read_name(ps, &s->symbol));
    KL_TRY(read_slot_list(ps, s));
    KL_TRY(read_tail(ps, s));
    if (s->kind != KL_STEP_LOOP && s->kind != KL_STEP_BRANCH)
        return KL_OK;
    KL_TRY(read_program(ps->l, ps->depth + 1, &s->body));
    if (!kl_lex_take(ps->l, s->kind == KL_STEP_LOOP ? "while" : "else"))
        return KL_OK;
    return read_program(ps->l, ps->depth + 1, &s->other);
}

static kl_status read_steps(parser *ps)
{
    kl_program *p = ps->p;
    kl_step *steps = NULL;
    uint32_t cap = 0;
    while (!kl_lex_take(ps->l, "}")) {
        if (kl_arena_grow(ps->a, &steps, &cap, (uint32_t)p->nsteps + 1, sizeof *steps) !=
            KL_OK)
            return no_memory();
        p->steps = steps;
        steps[p->nsteps] = (kl_step){0};
        KL_TRY(read_step(ps, &steps[p->nsteps++]));
    }
    return KL_OK;
}

/* ---- all of it ---- */

static kl_status read_device(parser *ps)
{
    KL_TRY(kl_lex_want(ps->l, "for"));
    if (kl_lex_take(ps->l, "cpu"))
        return KL_OK;
    int64_t i;
    KL_TRY(kl_lex_want(ps->l, "cuda"));
    KL_TRY(kl_lex_want(ps->l, ":"));
    KL_TRY(read_int(ps, 0, 1 << 20, &i));
    ps->p->device = 1 + (int32_t)i;
    return KL_OK;
}

static kl_status read_body(parser *ps)
{
    symbols syms = {0};
    kl_program *p = ps->p;
    KL_TRY(kl_lex_want(ps->l, "program"));
    KL_TRY(read_name(ps, &p->name));
    KL_TRY(read_device(ps));
    KL_TRY(kl_lex_want(ps->l, "{"));
    while (kl_lex_take(ps->l, "dim"))
        KL_TRY(read_symbol(ps, &syms));
    KL_TRY(read_ports(ps, "in", &p->in, &p->nin));
    KL_TRY(read_ports(ps, "out", &p->out, &p->nout));
    KL_TRY(kl_lex_want(ps->l, "arena"));
    KL_TRY(read_size(ps, &p->arena));
    KL_TRY(read_constants(ps));
    KL_TRY(read_slots(ps));
    KL_TRY(read_kernels(ps));
    return read_steps(ps);
}

static kl_status read_program(kl_lex *l, int depth, kl_program **out)
{
    *out = NULL;
    if (depth > KL_BODY_DEPTH)
        return kl_lex_fail(l, "loops in loops are at most %d", KL_BODY_DEPTH);
    parser ps = {.l = l, .p = kl_program_new(), .depth = depth};
    if (!ps.p)
        return kl_error_status();
    ps.a = ps.p->memory;
    kl_status s = read_body(&ps);
    if (s == KL_OK && kl_arena_failed(ps.a))
        s = no_memory();
    if (s == KL_OK)
        *out = ps.p;
    else
        kl_program_unref(ps.p);
    return s;
}

kl_status kl_program_parse(const char *file, const char *text, kl_program **out)
{
    kl_lex l;
    kl_lex_init(&l, file, text);
    KL_TRY(read_program(&l, 0, out));
    kl_status s = l.kind == KL_TOK_END ? kl_program_verify(*out)
                                       : unexpected(&l, "the end of the file");
    if (s != KL_OK) {
        kl_program_unref(*out);
        *out = NULL;
    }
    return s;
}
