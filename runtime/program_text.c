/* program_text.c: a plan as text (ir/GRAMMAR.md, "Plan"); program_parse.c reads it back.
 *
 *   program head for cpu {
 *     dim B 1..4096 % 1
 *     in x: f32[B,64]
 *     ...
 *     launch head.0 kernel 0 (0, 2) dims (B) workers (floor((B+13)/14)) grain 1
 *   }
 *
 * Sizes print as the infix of their postfix code, with parentheses wherever another
 * reading would give other code: "a+(b+c)" is a b c + +, and "a-b" is a b neg +. */
#include "runtime/program_text.h"

/* ---- sizes ---- */

enum { SUM, PRODUCT, ATOM };
typedef struct piece {
    kl_text t;
    int level;
    bool minus; /* begins with '-': a sum of one term */
} piece;

static void wrap(piece *p, bool yes)
{
    kl_text in = p->t;
    if (!yes)
        return;
    p->t = (kl_text){0};
    kl_text_put(&p->t, "(");
    kl_text_putn(&p->t, in.s ? in.s : "", in.len);
    kl_text_put(&p->t, ")");
    kl_text_free(&in);
}

static void append(piece *a, const char *between, piece *b)
{
    kl_text_put(&a->t, between);
    kl_text_putn(&a->t, b->t.s ? b->t.s : "", b->t.len);
    kl_text_free(&b->t);
}

static void put_function(const char *name, const char *between, piece *a, piece *b)
{
    piece y = {.level = ATOM};
    kl_text_printf(&y.t, "%s(", name);
    wrap(a, *between == '/' && a->level < ATOM);
    wrap(b, *between == '/' && b->level < ATOM);
    append(&y, "", a);
    append(&y, between, b);
    kl_text_put(&y.t, ")");
    *a = y;
}

static void put_binary(int64_t op, piece *a, piece *b)
{
    static const char *const names[] = {[-KL_SIZE_DIV] = "floor",
                                        [-KL_SIZE_MOD] = "mod",
                                        [-KL_SIZE_MAX] = "max",
                                        [-KL_SIZE_MIN] = "min"};
    if (op == KL_SIZE_ADD) {
        wrap(b, b->level == SUM && !b->minus);
        append(a, b->minus ? "" : "+", b);
        a->level = SUM;
        a->minus = false;
    } else if (op == KL_SIZE_MUL) {
        wrap(a, a->level < PRODUCT);
        wrap(b, b->level < ATOM);
        append(a, "*", b);
        a->level = PRODUCT;
        a->minus = false;
    } else {
        put_function(names[-op], op == KL_SIZE_DIV ? "/" : ",", a, b);
    }
}

static void negate(piece *a)
{
    piece y = {.level = SUM, .minus = true};
    wrap(a, a->level == SUM);
    append(&y, "-", a);
    *a = y;
}

void kl_size_print(const kl_program *p, kl_size s, kl_text *out)
{
    piece st[KL_SIZE_DEPTH];
    int n = 0;
    if (!kl_size_valid(s, p->nsyms)) {
        kl_text_put(out, "?");
        return;
    }
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i];
        if (c >= 0 || c < KL_SIZE_NEG)
            st[n] = (piece){.level = ATOM};
        if (c >= 0)
            kl_text_printf(&st[n++].t, "%lld", (long long)c);
        else if (c == KL_SIZE_NEG)
            negate(&st[n - 1]);
        else if (c < KL_SIZE_NEG)
            kl_text_put(&st[n++].t, p->sym_names[c - KL_SIZE_SYM]);
        else
            n--, put_binary(c, &st[n - 1], &st[n]);
    }
    kl_text_putn(out, st[0].t.s ? st[0].t.s : "", st[0].t.len);
    kl_text_free(&st[0].t);
}

static bool is_zero(kl_size s)
{
    return s.len == 1 && s.code[0] == 0;
}

static void put_sizes(kl_text *out, const kl_program *p, const char *open,
                      const kl_size *s, int n, const char *close)
{
    kl_text_put(out, open);
    for (int i = 0; i < n; i++) {
        kl_text_put(out, i ? "," : "");
        kl_size_print(p, s[i], out);
    }
    kl_text_put(out, close);
}

/* ---- names ---- */

/* A name as the lexer knows it stands bare, any other in quotes, without what they cannot
 * hold. */
static void put_name(kl_text *out, const char *name)
{
    kl_lex l;
    kl_lex_init(&l, "", name);
    if (l.kind == KL_TOK_NAME && l.len == strlen(name)) {
        kl_text_put(out, name);
        return;
    }
    kl_text_put(out, "\"");
    for (; *name; name++) {
        char c = *name == '"' || *name == '\n' ? '_' : *name;
        kl_text_putn(out, &c, 1);
    }
    kl_text_put(out, "\"");
}

/* ---- parts ---- */

typedef struct printer {
    const kl_program *p;
    kl_text *out;
    int indent;
} printer;

static void begin_line(const printer *pr)
{
    kl_text_printf(pr->out, "%*s", pr->indent, "");
}

static void put_type(const printer *pr, kl_dtype dt, int rank, const kl_size *shape)
{
    kl_text_put(pr->out, kl_dtypes[dt].name);
    put_sizes(pr->out, pr->p, "[", shape, rank, "]");
}

static void put_port(const printer *pr, const char *what, int i, const kl_port *port)
{
    begin_line(pr);
    kl_text_printf(pr->out, "%s ", what);
    if (port->name)
        put_name(pr->out, port->name);
    else
        kl_text_printf(pr->out, "%%%d", i);
    kl_text_put(pr->out, ": ");
    put_type(pr, port->dtype, port->rank, port->shape);
    kl_text_put(pr->out, "\n");
}

static void put_constants(const printer *pr)
{
    const uint8_t *b = pr->p->constants;
    for (size_t i = 0; i < pr->p->nconstants; i += 32) {
        begin_line(pr);
        kl_text_put(pr->out, "constants \"");
        for (size_t j = i; j < pr->p->nconstants && j < i + 32; j++)
            kl_text_printf(pr->out, "%02x", b[j]);
        kl_text_put(pr->out, "\"\n");
    }
}

static void put_slot(const printer *pr, int i)
{
    const kl_slot *s = &pr->p->slots[i];
    kl_text *out = pr->out;
    begin_line(pr);
    kl_text_printf(out, "slot %d: %s ", i, kl_slot_words[s->kind]);
    if (s->kind != KL_SLOT_ARENA)
        kl_text_printf(out, "%d ", s->index);
    put_type(pr, s->dtype, s->rank, s->shape);
    if (s->kind == KL_SLOT_ARENA)
        put_sizes(out, pr->p, " offset ", &s->offset, 1, "");
    put_sizes(out, pr->p, " bytes ", &s->bytes, 1, "");
    if (s->donated)
        kl_text_printf(out, " donates %d", s->donated - 1);
    if (s->name) {
        kl_text_put(out, " name ");
        put_name(out, s->name);
    }
    kl_text_put(out, "\n");
}

static void put_phase(const printer *pr, const kl_plan_phase *ph)
{
    put_sizes(pr->out, pr->p, " workers (", &ph->workers, 1, ")");
    kl_text_printf(pr->out, " grain %lld", (long long)ph->grain);
    if (ph->group != 1 || ph->lane != 1)
        kl_text_printf(pr->out, " block %d %d", ph->lane, ph->group);
    if (!is_zero(ph->shared))
        put_sizes(pr->out, pr->p, " shared (", &ph->shared, 1, ")");
}

static void put_number(kl_text *out, const char *what, double v)
{
    if (v == 0)
        return;
    kl_text_printf(out, " %s ", what);
    kl_text_put_float(out, KL_F64, v);
}

static void put_program(const printer *pr);

static void put_step(const printer *pr, const kl_step *s)
{
    kl_text *out = pr->out;
    begin_line(pr);
    kl_text_printf(out, "%s ", kl_step_words[s->kind]);
    put_name(out, s->name);
    if (s->kind == KL_STEP_LAUNCH)
        kl_text_printf(out, " kernel %d", s->kernel);
    if (s->kind == KL_STEP_CALL)
        kl_text_printf(out, " \"%s\"", s->symbol);
    kl_text_put(out, " (");
    for (int i = 0; i < s->nslots; i++)
        kl_text_printf(out, "%s%d", i ? ", " : "", s->slots[i]);
    kl_text_put(out, ")");
    if (s->kind == KL_STEP_FILL)
        kl_text_printf(out, " byte %lld", (long long)s->value);
    if (s->kind == KL_STEP_CALL)
        kl_text_printf(out, " inputs %d", s->ncarry);
    if (s->kind == KL_STEP_LOOP)
        kl_text_printf(out, " carries %d", s->ncarry);
    if (s->kind == KL_STEP_LOOP && !s->other)
        put_sizes(out, pr->p, " trips (", &s->trips, 1, ")");
    if (s->ndims)
        put_sizes(out, pr->p, " dims (", s->dims, s->ndims, ")");
    for (int i = 0; i < s->nphases; i++)
        put_phase(pr, &s->phases[i]);
    if (!is_zero(s->scratch))
        put_sizes(out, pr->p, " scratch (", &s->scratch, 1, ")");
    put_number(out, "flops", s->flops);
    put_number(out, "bytes", s->bytes);
    if (s->place) {
        kl_text_put(out, " at ");
        put_name(out, s->place);
    }
    kl_text_put(out, "\n");
    if (s->body)
        put_program(&(printer){s->body, out, pr->indent + 2});
    if (!s->other)
        return;
    begin_line(pr);
    kl_text_put(out, s->kind == KL_STEP_LOOP ? "while\n" : "else\n");
    put_program(&(printer){s->other, out, pr->indent + 2});
}

static void put_kernel(const printer *pr, int i)
{
    const kl_kernel_code *k = &pr->p->kernels[i];
    char hex[33];
    begin_line(pr);
    kl_text_printf(pr->out, "kernel %d: ", i);
    put_name(pr->out, k->name);
    if (k->key.lo || k->key.hi) {
        kl_hash_hex(k->key, hex);
        kl_text_printf(pr->out, " key \"%s\"", hex);
    }
    kl_text_put(pr->out, "\n");
}

static void put_symbols(const printer *pr)
{
    const kl_program *p = pr->p;
    for (int i = 0; i < p->nsyms; i++) {
        begin_line(pr);
        kl_text_printf(pr->out, "dim %s %lld..%lld %% %lld\n", p->sym_names[i],
                       (long long)p->sym_min[i], (long long)p->sym_max[i],
                       (long long)p->sym_div[i]);
    }
}

static void put_program(const printer *outer)
{
    const kl_program *p = outer->p;
    printer pr = {p, outer->out, outer->indent + 2};
    begin_line(outer);
    kl_text_put(pr.out, "program ");
    put_name(pr.out, p->name ? p->name : "main");
    if (p->device > 0)
        kl_text_printf(pr.out, " for cuda:%d {\n", p->device - 1);
    else
        kl_text_put(pr.out, " for cpu {\n");
    put_symbols(&pr);
    for (int i = 0; i < p->nin; i++)
        put_port(&pr, "in", i, &p->in[i]);
    for (int i = 0; i < p->nout; i++)
        put_port(&pr, "out", i, &p->out[i]);
    begin_line(&pr);
    put_sizes(pr.out, p, "arena ", &p->arena, 1, "\n");
    put_constants(&pr);
    for (int i = 0; i < p->nslots; i++)
        put_slot(&pr, i);
    for (int i = 0; i < p->nkernels; i++)
        put_kernel(&pr, i);
    for (int i = 0; i < p->nsteps; i++)
        put_step(&pr, &p->steps[i]);
    begin_line(outer);
    kl_text_put(pr.out, "}\n");
}

void kl_program_print(const kl_program *p, kl_text *out)
{
    size_t start = out->len;
    put_program(&(printer){p, out, 0});
    kl_text_wrap(out, start, '#');
}
