/* lex.c: one lexer for all of kiln's texts (ir/GRAMMAR.md).
 *
 *     %2: f32[B,10] = add %0, 1.5_f64   # net.c:41
 *     REF(ival 2) : NAME [ NAME , INT ] = NAME REF , FLOAT NAME(_f64)
 *
 * Numbers have no sign: '-' is punctuation, and so "a-1" is three tokens. A dtype stuck
 * to a number is a NAME of its own that begins with '_'. An integer above INT64_MAX that
 * u64 still holds has its bits in ival, which is then negative; beyond that it is BAD. A
 * string's token is what stands between the quotes; it has no escapes and ends on its
 * line. */
#include "runtime/runtime.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}
static bool is_alpha(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}
static bool is_word(char c)
{
    return is_alpha(c) || is_digit(c);
}

/* Letters, digits, '_' and single dots inside: "reduce.add", "head.0"; not the ".."
 * after. */
static const char *word_end(const char *p)
{
    while (is_word(*p) || (*p == '.' && is_word(p[1])))
        p++;
    return p;
}

static void skip_blank(kl_lex *l)
{
    l->note = NULL;
    for (;; l->p++) {
        if (*l->p == '#') {
            l->note = l->note ? l->note : l->p + 1;
            l->p += strcspn(l->p, "\n");
        }
        if (*l->p == '\n')
            l->line++;
        else if (*l->p != ' ' && *l->p != '\t' && *l->p != '\r')
            return;
    }
}

static void set(kl_lex *l, kl_tok kind, const char *end)
{
    l->kind = kind;
    l->tok = l->p;
    l->len = (size_t)(end - l->p);
    l->p = end;
}

/* Decimal or 0x digits as u64; NULL when it does not fit. */
static const char *scan_u64(const char *p, uint64_t *v)
{
    bool hex = p[0] == '0' && (p[1] | 32) == 'x';
    unsigned base = hex ? 16 : 10;
    p += hex ? 2 : 0;
    for (*v = 0;; p++) {
        unsigned d = is_digit(*p) ? (unsigned)(*p - '0')
                     : hex && (*p | 32) >= 'a' && (*p | 32) <= 'f'
                         ? (unsigned)(*p | 32) - 'a' + 10
                         : 16;
        if (d >= base)
            return p;
        if (__builtin_mul_overflow(*v, base, v) || __builtin_add_overflow(*v, d, v))
            return NULL;
    }
}

static void number(kl_lex *l)
{
    uint64_t v = 0;
    bool hex = l->p[0] == '0' && (l->p[1] | 32) == 'x';
    const char *e = scan_u64(l->p, &v), *f = kl_scan_float(l->p, &l->fval);
    const char *digits = l->p + (hex ? 2 : 0);
    size_t n = strspn(digits, hex ? "0123456789abcdefABCDEF" : "0123456789");
    const char *after = digits + n;
    if (hex && n == 0 && *after != '.') { /* "0x" alone */
        set(l, KL_TOK_BAD, after);
        return;
    }
    if (after[0] == '.' && after[1] == '.') /* 1..4096 */
        f = after;
    if (f > after) {
        set(l, KL_TOK_FLOAT, f);
    } else {
        l->ival = (int64_t)v;
        set(l, e ? KL_TOK_INT : KL_TOK_BAD, after);
    }
    if (is_word(*l->p) && *l->p != '_') { /* 12abc */
        l->p = word_end(l->p);
        l->len = (size_t)(l->p - l->tok);
        l->kind = KL_TOK_BAD;
    }
}

static void name(kl_lex *l)
{
    set(l, KL_TOK_NAME, word_end(l->p));
    if (l->len == 3 && (!memcmp(l->tok, "inf", 3) || !memcmp(l->tok, "nan", 3))) {
        l->kind = KL_TOK_FLOAT;
        kl_scan_float(l->tok, &l->fval);
    }
}

/* %12 has ival 12, %name has ival -1; the token includes the '%'. */
static void reference(kl_lex *l)
{
    uint64_t v = 0;
    const char *end = word_end(l->p + 1), *e = scan_u64(l->p + 1, &v);
    if (is_digit(l->p[1])) {
        bool whole = e == end && v <= INT64_MAX && (l->p[2] | 32) != 'x';
        l->ival = (int64_t)v;
        set(l, whole ? KL_TOK_REF : KL_TOK_BAD, end);
    } else {
        l->ival = -1;
        set(l, KL_TOK_REF, end);
    }
}

static void string(kl_lex *l)
{
    const char *end = l->p + 1 + strcspn(l->p + 1, "\"\n");
    if (*end != '"') {
        set(l, KL_TOK_BAD, end);
        return;
    }
    l->p++;
    set(l, KL_TOK_STRING, end);
    l->p++;
}

static void punctuation(kl_lex *l)
{
    static const char *const pairs[] = {"->", "..", "==", "<=", ">=", "!=", "<<", ">>"};
    for (size_t i = 0; i < KL_COUNT(pairs); i++)
        if (!strncmp(l->p, pairs[i], 2)) {
            set(l, KL_TOK_PUNCT, l->p + 2);
            return;
        }
    bool printable = *l->p > 32 && *l->p < 127;
    set(l, printable ? KL_TOK_PUNCT : KL_TOK_BAD, l->p + 1);
}

void kl_lex_next(kl_lex *l)
{
    l->last = l->tok;
    l->last_line = l->line;
    skip_blank(l);
    if (!*l->p)
        set(l, KL_TOK_END, l->p);
    else if (is_digit(*l->p))
        number(l);
    else if (is_alpha(*l->p))
        name(l);
    else if (*l->p == '%' && is_word(l->p[1]))
        reference(l);
    else if (*l->p == '"')
        string(l);
    else
        punctuation(l);
}

void kl_lex_init(kl_lex *l, const char *file, const char *text)
{
    *l = (kl_lex){.file = file, .s = text, .p = text, .line = 1};
    kl_lex_next(l);
}

bool kl_lex_is(const kl_lex *l, const char *word)
{
    return l->kind != KL_TOK_STRING && l->kind != KL_TOK_END && strlen(word) == l->len &&
           !memcmp(l->tok, word, l->len);
}

bool kl_lex_take(kl_lex *l, const char *word)
{
    if (!kl_lex_is(l, word))
        return false;
    kl_lex_next(l);
    return true;
}

kl_status kl_lex_fail(const kl_lex *l, const char *fmt, ...)
{
    char what[768];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    bool here = !l->last || strncmp(what, "expected", 8) == 0 ||
                (l->len > 1 && memmem(what, strlen(what), l->tok, l->len));
    const char *at = here ? l->tok : l->last, *line = at;
    while (line > l->s && line[-1] != '\n')
        line--;
    return kl_fail(KL_ERR_PARSE, "%s:%d:%d: %s", l->file, here ? l->line : l->last_line,
                   (int)(at - line) + 1, what);
}

static kl_status wanted(const kl_lex *l, const char *what)
{
    if (l->kind == KL_TOK_END)
        return kl_lex_fail(l, "expected %s, found the end of the file", what);
    int n = (int)KL_MIN(l->len, 40);
    return kl_lex_fail(l, "expected %s, found '%.*s'%s", what, n, l->tok,
                       l->kind == KL_TOK_BAD ? ", which is no token" : "");
}

kl_status kl_lex_want(kl_lex *l, const char *word)
{
    if (kl_lex_take(l, word))
        return KL_OK;
    char quoted[64];
    snprintf(quoted, sizeof quoted, "'%s'", word);
    return wanted(l, quoted);
}

kl_status kl_lex_name(kl_lex *l, char *out, size_t cap)
{
    if (l->kind != KL_TOK_NAME)
        return wanted(l, "a name");
    if (l->len >= cap)
        return kl_lex_fail(l, "'%.*s..' is too long a name (at most %zu characters)", 20,
                           l->tok, cap - 1);
    memcpy(out, l->tok, l->len);
    out[l->len] = 0;
    kl_lex_next(l);
    return KL_OK;
}

kl_status kl_lex_int(kl_lex *l, int64_t *out)
{
    bool minus = kl_lex_take(l, "-");
    if (l->kind != KL_TOK_INT)
        return wanted(l, "an integer");
    if (l->ival < 0 && !(minus && l->ival == INT64_MIN))
        return kl_lex_fail(l, "%.*s does not fit in 64 bits", (int)KL_MIN(l->len, 40),
                           l->tok);
    *out = minus ? (int64_t)(0 - (uint64_t)l->ival) : l->ival;
    kl_lex_next(l);
    return KL_OK;
}
