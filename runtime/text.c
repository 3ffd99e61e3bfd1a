/* text.c: building text, and reading numbers, the same in every locale.
 *
 * A float prints as the shortest decimal that reads back to the same bits of its dtype,
 * laid out as Python's repr does; it is always seen to be a float:
 *
 *     f64 0.1   -> 0.1        f32 0.1f  -> 0.1      f64 0.1f -> 0.10000000149011612
 *     f16 65504 -> 65500.0    f64 1e22  -> 1e+22    -0.0     -> -0.0
 *
 * The C library's conversions are exact, but their decimal point is the locale's: so we
 * give strtod digits and an exponent, never a point ("15e-1"), and take only digits and
 * exponent from printf. */
#include "runtime/runtime.h"

#include <stdlib.h>

/* ---- a growing string ---- */

void kl_text_free(kl_text *t)
{
    kl_free(t->s, t->cap);
    *t = (kl_text){0};
}

/* Room for n more characters and the final 0. */
static bool room(kl_text *t, size_t n)
{
    size_t need;
    if (t->failed || __builtin_add_overflow(t->len + 1, n, &need))
        return !(t->failed = true);
    if (need <= t->cap)
        return true;
    size_t cap = KL_MAX(KL_MAX(need, 64), t->cap + t->cap / 2);
    char *s = kl_realloc(t->s, t->cap, cap);
    if (!s)
        return !(t->failed = true);
    t->s = s;
    t->cap = cap;
    return true;
}

void kl_text_putn(kl_text *t, const char *s, size_t n)
{
    if (!room(t, n))
        return;
    if (n)
        memcpy(t->s + t->len, s, n);
    t->len += n;
    t->s[t->len] = 0;
}

void kl_text_put(kl_text *t, const char *s)
{
    kl_text_putn(t, s, strlen(s));
}

void kl_text_printf(kl_text *t, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    size_t have = t->failed ? 0 : t->cap - t->len;
    int n = vsnprintf(have ? t->s + t->len : NULL, have, fmt, ap);
    va_end(ap);
    if (n < 0 || !room(t, (size_t)n)) {
        t->failed = true;
        return;
    }
    if ((size_t)n >= have) {
        va_start(ap, fmt);
        vsnprintf(t->s + t->len, (size_t)n + 1, fmt, ap);
        va_end(ap);
    }
    t->len += (size_t)n;
}

void kl_text_put_json(kl_text *t, const char *s)
{
    kl_text_put(t, "\"");
    for (; *s; s++)
        if (*s == '"' || *s == '\\')
            kl_text_printf(t, "\\%c", *s);
        else if ((unsigned char)*s < 32 || *s == '<') /* no "</script>" in a page */
            kl_text_printf(t, "\\u%04x", *s);
        else
            kl_text_putn(t, s, 1);
    kl_text_put(t, "\"");
}

/* ---- short lines ---- */

enum { COLUMNS = 100, HANG = 4, HANG_MAX = 40 };

/* Where a line goes on in the next, when only the first `fit` characters stand on this
 * one: before a comment, else behind the last blank, '+', ',' or '('; 0: nowhere. */
static size_t break_at(const char *s, size_t fit, size_t from, char mark)
{
    size_t blank = 0, sign = 0;
    bool quoted = false;
    for (size_t i = 0; i < fit; i++) {
        quoted ^= s[i] == '"';
        if (quoted || i < from)
            continue;
        if (s[i] == mark)
            return i;
        if (s[i] == ' ')
            blank = i + 1;
        else if (s[i] == '+' || s[i] == ',' || s[i] == '(')
            sign = i + 1;
    }
    return blank ? blank : sign;
}

/* Whether a comment begins among the first n characters. */
static bool has_comment(const char *s, size_t n, char mark)
{
    bool quoted = false;
    for (size_t i = 0; i < n; i++) {
        quoted ^= s[i] == '"';
        if (!quoted && s[i] == mark)
            return true;
    }
    return false;
}

static void put_wrapped(kl_text *to, const char *s, size_t n, char mark)
{
    size_t indent = strspn(s, " "), width = COLUMNS, from = indent + 2 * HANG;
    size_t hang = KL_MIN(indent + HANG, HANG_MAX);
    bool comment = false;
    while (n > width) {
        size_t at = break_at(s, width, from, mark), end = at;
        if (!at)
            break;
        while (s[end - 1] == ' ')
            end--;
        kl_text_putn(to, s, end);
        kl_text_printf(to, "\n%*s", (int)hang, "");
        comment = comment || has_comment(s, at, mark);
        if (comment)
            kl_text_printf(to, "%c   ", mark);
        s += at, n -= at;
        width = COLUMNS - hang - (comment ? HANG : 0);
        from = HANG;
    }
    kl_text_putn(to, s, n);
}

static bool all_short(const char *s)
{
    for (; *s; s += strcspn(s, "\n"), s += *s == '\n')
        if (strcspn(s, "\n") > COLUMNS)
            return false;
    return true;
}

void kl_text_wrap(kl_text *t, size_t from, char mark)
{
    if (t->failed || t->len <= from || all_short(t->s + from))
        return;
    kl_text to = {0};
    kl_text_putn(&to, t->s, from);
    for (const char *s = t->s + from; *s;) {
        size_t n = strcspn(s, "\n");
        put_wrapped(&to, s, n, mark);
        s += n;
        if (*s)
            kl_text_putn(&to, s++, 1);
    }
    to.failed |= t->failed;
    kl_text_free(t);
    *t = to;
}

/* ---- reading numbers ---- */

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static int digit_value(char c, int base)
{
    if (is_digit(c))
        return c - '0';
    char low = (char)(c | 32);
    return base == 16 && low >= 'a' && low <= 'f' ? low - 'a' + 10 : -1;
}

const char *kl_scan_int(const char *s, int64_t *out)
{
    const char *p = s + (*s == '-' || *s == '+');
    int64_t v = 0;
    if (!is_digit(*p))
        return s;
    for (; is_digit(*p); p++)
        if (__builtin_mul_overflow(v, 10, &v) ||
            (*s == '-' ? __builtin_sub_overflow(v, *p - '0', &v)
                       : __builtin_add_overflow(v, *p - '0', &v)))
            return s;
    *out = v;
    return p;
}

/* More digits than decide any rounding (767 for f64); what follows them counts as "and
 * more". */
enum { DIGITS_MAX = 800 };
typedef struct digits {
    char d[DIGITS_MAX + 32]; /* no leading zeros; room for the exponent's text */
    int n;
    int64_t exp; /* the value is the integer d times base^exp (hex: 2^exp) */
} digits;

static void put_digit(digits *g, char c, int unit)
{
    if (g->n == 0 && c == '0')
        return;
    if (g->n < DIGITS_MAX) {
        g->d[g->n++] = c;
        return;
    }
    g->exp += unit;
    if (c != '0') /* sticky: not zero is all that matters out here */
        g->d[DIGITS_MAX - 1] = g->d[DIGITS_MAX - 1] == '0' ? '1' : g->d[DIGITS_MAX - 1];
}

/* [digits][.digits][e|p exponent]; returns p when there is no digit. */
static const char *scan_digits(const char *p, int base, digits *g)
{
    const char *s = p;
    int unit = base == 16 ? 4 : 1, seen = 0;
    bool point = false;
    for (; digit_value(*p, base) >= 0 || (*p == '.' && !point); p++) {
        if (*p == '.') {
            point = true;
            continue;
        }
        seen++;
        g->exp -= point ? unit : 0;
        put_digit(g, *p, unit);
    }
    if (!seen)
        return s;
    if ((*p | 32) != (base == 16 ? 'p' : 'e'))
        return p;
    const char *q = p + 1 + (p[1] == '-' || p[1] == '+');
    if (!is_digit(*q))
        return p;
    int64_t e = 0;
    for (; is_digit(*q); q++)
        e = KL_MIN(e * 10 + (*q - '0'), (int64_t)1 << 40);
    g->exp += p[1] == '-' ? -e : e;
    return q;
}

static double to_double(digits *g, int base)
{
    static const double tens[] = {1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                  1e8,  1e9,  1e10, 1e11, 1e12, 1e13, 1e14, 1e15,
                                  1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22};
    if (g->n == 0)
        return 0.0;
    if (base == 10 && g->n <= 15 && g->exp >= -22 && g->exp <= 22) {
        uint64_t m = 0; /* both exact, so the one operation rounds correctly */
        for (int i = 0; i < g->n; i++)
            m = m * 10 + (uint64_t)(g->d[i] - '0');
        return g->exp < 0 ? (double)m / tens[-g->exp] : (double)m * tens[g->exp];
    }
    char text[DIGITS_MAX + 64];
    int64_t e = KL_MAX(KL_MIN(g->exp, 100000), -100000);
    snprintf(text, sizeof text, base == 16 ? "0x%.*sp%d" : "%.*se%d", g->n, g->d, (int)e);
    return strtod(text, NULL);
}

/* The length of word if s begins with it in any case, else 0. */
static size_t starts(const char *s, const char *word)
{
    size_t n = 0;
    for (; word[n]; n++)
        if ((s[n] | 32) != word[n])
            return 0;
    return n;
}

const char *kl_scan_float(const char *s, double *out)
{
    const char *p = s + (*s == '-' || *s == '+'), *end;
    double v;
    size_t n;
    if ((n = starts(p, "infinity")) || (n = starts(p, "inf"))) {
        v = __builtin_inf();
        end = p + n;
    } else if ((n = starts(p, "nan"))) {
        v = __builtin_nan("");
        end = p + n;
    } else {
        digits g;
        g.n = 0;
        g.exp = 0;
        int base = p[0] == '0' && (p[1] | 32) == 'x' ? 16 : 10;
        end = scan_digits(p + (base == 16 ? 2 : 0), base, &g);
        if (base == 16 && end == p + 2) /* "0x" and no digit: a 0, then an x */
            end = p + 1;
        if (end == p)
            return s;
        v = to_double(&g, base);
    }
    *out = *s == '-' ? -v : v;
    return end;
}

/* ---- printing floats ---- */

/* v as a value of dtype dt. */
static double as_dtype(kl_dtype dt, double v)
{
    switch (kl_dtypes[dt].real) {
    case KL_F16:
        return kl_f16_to_f32(kl_f64_to_f16(v));
    case KL_BF16:
        return kl_bf16_to_f32(kl_f64_to_bf16(v));
    case KL_F32:
        return (float)v;
    default:
        return v;
    }
}

/* The n digits nearest to v, trailing zeros dropped: v ~ d[0].d[1]d[2].. * 10^exp. */
static void nearest(double v, int n, digits *g)
{
    char text[64], *e = text;
    snprintf(text, sizeof text, "%.*e", n - 1, v);
    g->n = 0;
    for (; *e != 'e'; e++)
        if (is_digit(*e))
            g->d[g->n++] = *e;
    while (g->n > 1 && g->d[g->n - 1] == '0')
        g->n--;
    g->exp = strtol(e + 1, NULL, 10);
}

static bool reads_back(kl_dtype dt, double v, const digits *g)
{
    digits h = *g;
    h.exp = g->exp - (g->n - 1);
    return as_dtype(dt, to_double(&h, 10)) == v;
}

/* One unit more in the last place. Above a power of two lie values twice as far apart as
 * below: there the nearest n digits may fail where the next do not. */
static bool bump(digits *g)
{
    int i = g->n - 1;
    while (i >= 0 && g->d[i] == '9')
        i--;
    if (i < 0)
        return false;
    g->d[i]++;
    g->n = i + 1;
    return true;
}

/* The shortest digits of v > 0. Up to the number of decimals that a dtype always keeps,
 * the nearest decimal of that many is, but for its zeros, also the shortest (denormals
 * aside). */
static void shortest(kl_dtype dt, double v, digits *g)
{
    kl_dtype r = kl_dtypes[dt].real;
    int kept = r == KL_F16 ? 3 : r == KL_BF16 ? 2 : r == KL_F32 ? 6 : 15;
    double normal = r == KL_F16 ? 0x1p-14 : r == KL_F64 ? 0x1p-1022 : 0x1p-126;
    nearest(v, kept, g);
    if (v >= normal && reads_back(dt, v, g))
        return;
    for (int n = v >= normal ? kept + 1 : 1; n <= 17; n++) {
        nearest(v, n, g);
        if (reads_back(dt, v, g) || (g->n == n && bump(g) && reads_back(dt, v, g)))
            return;
    }
}

void kl_text_put_float(kl_text *t, kl_dtype dt, double v)
{
    v = as_dtype(dt, v);
    if (v != v) {
        kl_text_put(t, "nan");
        return;
    }
    if (__builtin_signbit(v))
        kl_text_put(t, "-");
    v = __builtin_fabs(v);
    if (v == 0 || v == __builtin_inf()) {
        kl_text_put(t, v == 0 ? "0.0" : "inf");
        return;
    }
    digits g;
    shortest(dt, v, &g);
    int e = (int)g.exp, whole = KL_MIN(KL_MAX(e + 1, 0), g.n);
    if (e < -4 || e >= 16) {
        kl_text_putn(t, g.d, 1);
        if (g.n > 1)
            kl_text_printf(t, ".%.*s", g.n - 1, g.d + 1);
        kl_text_printf(t, "e%c%02d", e < 0 ? '-' : '+', e < 0 ? -e : e);
    } else if (e < 0) {
        kl_text_printf(t, "0.%.*s%.*s", -e - 1, "0000", g.n, g.d);
    } else {
        kl_text_printf(t, "%.*s%.*s.", whole, g.d, e + 1 - whole, "0000000000000000");
        kl_text_printf(t, "%.*s", whole < g.n ? g.n - whole : 1,
                       whole < g.n ? g.d + whole : "0");
    }
}
