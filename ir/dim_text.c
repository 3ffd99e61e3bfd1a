/* dim_text.c: extents as text (GRAMMAR.md) and as postfix code for the runner, which
 * knows no symbolic algebra. Printing canonical forms in their own order makes texts
 * stable; parsing goes through the same arithmetic, so any spelling ends as the canonical
 * one.
 *
 *   1+B*4      parses to 4*B+1      as code: 4 B * 1 + */
#include "ir/dim.h"

/* ---- printing ---- */

/* In a quotient, sums and products stand in parentheses, for the reader. */
static void print_operand(const kl_dims *d, kl_dim a, bool quotient, kl_text *out)
{
    kl_term one;
    kl_sum s = kl_dim_terms(d, a, &one);
    bool wrap = quotient && (s.n > 1 || (s.n && s.term->coef != 1 && s.term->n) ||
                             (s.n && s.term->n > 1));
    kl_text_put(out, wrap ? "(" : "");
    kl_dim_print(d, a, out);
    kl_text_put(out, wrap ? ")" : "");
}

static void print_atom(const kl_dims *d, const kl_atom *t, kl_text *out)
{
    static const char *const open[] = {[KL_ATOM_FLOOR] = "floor(",
                                       [KL_ATOM_MOD] = "mod(",
                                       [KL_ATOM_MAX] = "max(",
                                       [KL_ATOM_MIN] = "min("};
    if (t->kind == KL_ATOM_SYM) {
        kl_text_put(out, d->syms[t->sym].name);
        return;
    }
    bool floor = t->kind == KL_ATOM_FLOOR;
    kl_text_put(out, open[t->kind]);
    print_operand(d, t->a, floor, out);
    kl_text_put(out, floor ? "/" : ",");
    print_operand(d, t->b, floor, out);
    kl_text_put(out, ")");
}

void kl_dim_print(const kl_dims *d, kl_dim a, kl_text *out)
{
    kl_term one;
    if (a == KL_DIM_BAD || a == 0) {
        kl_text_put(out, a ? "overflow" : "0");
        return;
    }
    kl_sum s = kl_dim_terms(d, a, &one);
    for (int i = 0; i < s.n; i++) {
        int64_t c = s.term[i].coef;
        if (c < 0 || i)
            kl_text_put(out, c < 0 ? "-" : "+");
        c = c < 0 ? -c : c;
        if (c != 1 || s.term[i].n == 0)
            kl_text_printf(out, "%lld", (long long)c);
        for (uint32_t j = 0; j < s.term[i].n; j++) {
            if (j || c != 1)
                kl_text_put(out, "*");
            print_atom(d, &d->atoms[s.term[i].atom[j]], out);
        }
    }
}

/* ---- parsing: by precedence, nested at most so deep ---- */

#define NESTED 64

typedef struct reader {
    kl_dims *d;
    kl_lex *l;
    int depth;
} reader;

static kl_status read_sum(reader *r, kl_dim *out);

/* "floor(a/b)", "mod(a,b)", ..: the name is read. */
static kl_status read_function(reader *r, const char *name, kl_dim *out)
{
    static const struct {
        const char *name, *between;
        kl_dim (*fn)(kl_dims *d, kl_dim a, kl_dim b);
    } rows[] = {{"floor", "/", kl_dim_div},
                {"mod", ",", kl_dim_mod},
                {"max", ",", kl_dim_max},
                {"min", ",", kl_dim_min}};
    kl_dim a, b;
    for (size_t i = 0; i < KL_COUNT(rows); i++) {
        if (strcmp(name, rows[i].name) != 0)
            continue;
        KL_TRY(kl_lex_want(r->l, "("));
        KL_TRY(read_sum(r, &a));
        KL_TRY(kl_lex_want(r->l, rows[i].between));
        KL_TRY(read_sum(r, &b));
        KL_TRY(kl_lex_want(r->l, ")"));
        *out = rows[i].fn(r->d, a, b);
        return KL_OK;
    }
    return kl_lex_fail(r->l, "no function of extents is called %s", name);
}

static kl_status read_atom(reader *r, kl_dim *out)
{
    char name[64];
    int64_t v;
    if (kl_lex_take(r->l, "(")) {
        KL_TRY(read_sum(r, out));
        return kl_lex_want(r->l, ")");
    }
    if (r->l->kind == KL_TOK_NAME) {
        KL_TRY(kl_lex_name(r->l, name, sizeof name));
        if (kl_lex_is(r->l, "("))
            return read_function(r, name, out);
        *out = kl_dim_sym(r->d, name);
        return KL_OK;
    }
    KL_TRY(kl_lex_int(r->l, &v));
    *out = kl_dim_const(r->d, v);
    return KL_OK;
}

static kl_status read_product(reader *r, kl_dim *out)
{
    kl_dim x;
    KL_TRY(read_atom(r, out));
    while (kl_lex_take(r->l, "*")) {
        KL_TRY(read_atom(r, &x));
        *out = kl_dim_mul(r->d, *out, x);
    }
    return KL_OK;
}

static kl_status read_terms(reader *r, kl_dim *out)
{
    kl_dim x;
    bool minus = kl_lex_take(r->l, "-");
    KL_TRY(read_product(r, out));
    if (minus)
        *out = kl_dim_sub(r->d, 0, *out);
    for (;;) {
        minus = kl_lex_is(r->l, "-");
        if (!kl_lex_take(r->l, "+") && !kl_lex_take(r->l, "-"))
            return KL_OK;
        KL_TRY(read_product(r, &x));
        *out = minus ? kl_dim_sub(r->d, *out, x) : kl_dim_add(r->d, *out, x);
    }
}

static kl_status read_sum(reader *r, kl_dim *out)
{
    if (++r->depth > NESTED)
        return kl_lex_fail(r->l, "an extent is nested more than %d deep", NESTED);
    kl_status s = read_terms(r, out);
    r->depth--;
    return s;
}

kl_status kl_dim_parse(kl_dims *d, kl_lex *l, kl_dim *out)
{
    reader r = {d, l, 0};
    KL_TRY(read_sum(&r, out));
    return *out == KL_DIM_BAD ? kl_lex_fail(l, "an extent is too large") : KL_OK;
}

/* ---- postfix ---- */

typedef struct code {
    int64_t *at; /* NULL: only count */
    int32_t n;
} code;

static void emit(code *c, int64_t word)
{
    if (c->at)
        c->at[c->n] = word;
    c->n++;
}

static void emit_dim(code *c, const kl_dims *d, kl_dim a);

static void emit_atom(code *c, const kl_dims *d, const kl_atom *t)
{
    static const int64_t op[] = {[KL_ATOM_FLOOR] = KL_SIZE_DIV,
                                 [KL_ATOM_MOD] = KL_SIZE_MOD,
                                 [KL_ATOM_MAX] = KL_SIZE_MAX,
                                 [KL_ATOM_MIN] = KL_SIZE_MIN};
    if (t->kind == KL_ATOM_SYM) {
        emit(c, (int64_t)KL_SIZE_SYM + t->sym);
        return;
    }
    emit_dim(c, d, t->a);
    emit_dim(c, d, t->b);
    emit(c, op[t->kind]);
}

static void emit_term(code *c, const kl_dims *d, const kl_term *t)
{
    int64_t k = t->coef < 0 ? -t->coef : t->coef;
    bool bare = k == 1 && t->n;
    if (!bare)
        emit(c, k);
    for (uint32_t j = 0; j < t->n; j++) {
        emit_atom(c, d, &d->atoms[t->atom[j]]);
        if (j || !bare)
            emit(c, KL_SIZE_MUL);
    }
    if (t->coef < 0)
        emit(c, KL_SIZE_NEG);
}

static void emit_dim(code *c, const kl_dims *d, kl_dim a)
{
    kl_term one;
    kl_sum s = kl_dim_terms(d, a, &one);
    if (s.n == 0)
        emit(c, 0);
    for (int i = 0; i < s.n; i++) {
        emit_term(c, d, &s.term[i]);
        if (i)
            emit(c, KL_SIZE_ADD);
    }
}

/* len 0 when out of memory. */
kl_size kl_dim_size(const kl_dims *d, kl_dim a, kl_arena *into)
{
    code c = {NULL, 0};
    if (a == KL_DIM_BAD)
        return (kl_size){NULL, 0};
    emit_dim(&c, d, a);
    c.at = kl_arena_alloc(into, (size_t)c.n * sizeof *c.at);
    if (!c.at)
        return (kl_size){NULL, 0};
    c.n = 0;
    emit_dim(&c, d, a);
    return (kl_size){c.at, c.n};
}
