/* csv.c: tables of numbers as text, as numpy.loadtxt reads them.
 *
 *     # a comment                     -> nothing
 *     1, 2.5e3, nan   # and another   -> a row of 3
 *                                     -> nothing
 *     4,5                             -> error: t.csv:4: 2 columns, the rows above have 3
 *
 * Two passes: one counts rows and the columns of the first, the other reads into memory
 * of just that size. Reading numbers ignores the locale; a delimiter of ' ' stands for
 * any blanks. */
#include "runtime/runtime.h"

typedef struct csv {
    const char *file, *p, *end; /* p: the rest of the text, which ends with a 0 at end */
    char delimiter;
    int64_t line;
} csv;

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\v' || c == '\f';
}

static const char *trim_left(const char *s, const char *e)
{
    while (s < e && blank(*s))
        s++;
    return s;
}

static const char *trim_right(const char *s, const char *e)
{
    while (s < e && blank(e[-1]))
        e--;
    return e;
}

/* The next line without its end ("\n", "\r\n" or "\r"); false at the end of the text. */
static bool next_line(csv *c, const char **s, const char **e)
{
    if (c->p == c->end)
        return false;
    const char *q = c->p;
    while (q < c->end && *q != '\n' && *q != '\r')
        q++;
    *s = c->p;
    *e = q;
    c->line++;
    c->p = q + (q < c->end) + (q + 1 < c->end && q[0] == '\r' && q[1] == '\n');
    return true;
}

/* The next line that has something in it, without comment and blanks around. */
static bool next_row(csv *c, const char **s, const char **e)
{
    while (next_line(c, s, e)) {
        const char *comment = memchr(*s, '#', (size_t)(*e - *s));
        *e = comment ? comment : *e;
        if (trim_left(*s, *e) == *e)
            continue;
        if (c->delimiter == ' ') {
            *s = trim_left(*s, *e);
            *e = trim_right(*s, *e);
        }
        return true;
    }
    return false;
}

/* Where the field that begins at s ends. */
static const char *field_end(const csv *c, const char *s, const char *e)
{
    if (c->delimiter == ' ') {
        while (s < e && !blank(*s))
            s++;
        return s;
    }
    const char *d = memchr(s, c->delimiter, (size_t)(e - s));
    return d ? d : e;
}

static const char *field_next(const csv *c, const char *f, const char *e)
{
    return c->delimiter == ' ' ? trim_left(f, e) : f + 1;
}

static int64_t count_fields(const csv *c, const char *s, const char *e)
{
    int64_t n = 1;
    for (const char *f = field_end(c, s, e); f < e; f = field_end(c, s, e)) {
        s = field_next(c, f, e);
        n++;
    }
    return n;
}

static kl_status bad_field(const csv *c, int64_t column, const char *s, const char *e)
{
    int n = (int)KL_MIN(e - s, 40);
    return kl_fail(KL_ERR_PARSE, "%s:%lld: column %lld: '%.*s' is not a number", c->file,
                   (long long)c->line, (long long)column + 1, n, s);
}

static kl_status read_row(const csv *c, const char *s, const char *e, int64_t columns,
                          double *out)
{
    int64_t n = count_fields(c, s, e);
    if (n != columns)
        return kl_fail(KL_ERR_PARSE, "%s:%lld: %lld columns, the rows above have %lld",
                       c->file, (long long)c->line, (long long)n, (long long)columns);
    for (int64_t i = 0; i < n; i++) {
        const char *f = field_end(c, s, e), *a = trim_left(s, f), *b = trim_right(a, f);
        bool hex = b - a > 1 && memchr(a, 'x', (size_t)(b - a)); /* loadtxt reads none */
        hex |= b - a > 1 && memchr(a, 'X', (size_t)(b - a));
        if (a == b || hex || kl_scan_float(a, &out[i]) != b)
            return bad_field(c, i, a, b);
        s = f < e ? field_next(c, f, e) : f;
    }
    return KL_OK;
}

static kl_status read_rows(csv *c, int64_t rows, int64_t columns, kl_buffer *out)
{
    const char *s, *e;
    double *p = (double *)out->mem->base;
    for (int64_t i = 0; i < rows; i++) {
        next_row(c, &s, &e);
        KL_TRY(read_row(c, s, e, columns, p + i * columns));
    }
    return KL_OK;
}

/* A table of which the first row is so wide that the text cannot hold all rows is ragged;
 * find where, without memory for it. */
static kl_status ragged(csv *c, int64_t columns)
{
    const char *s, *e;
    while (next_row(c, &s, &e))
        if (count_fields(c, s, e) != columns)
            return kl_fail(
                KL_ERR_PARSE, "%s:%lld: %lld columns, the rows above have %lld", c->file,
                (long long)c->line, (long long)count_fields(c, s, e), (long long)columns);
    return kl_fail(KL_ERR_PARSE, "%s: empty fields", c->file);
}

/* text[size] is a 0. */
static kl_status parse(const char *name, const char *text, size_t size, char delimiter,
                       int skip_rows, kl_buffer *out)
{
    if (!delimiter || strchr("0123456789+-.eEnNaAiIfF#\n\r", delimiter))
        return kl_fail(KL_ERR_ARG, "%s: character %d cannot separate numbers", name,
                       delimiter);
    csv c = {name, text, text + size, delimiter, 0};
    const char *s, *e;
    if (size >= 3 && !memcmp(text, "\xEF\xBB\xBF", 3)) /* some editors' mark for UTF-8 */
        c.p += 3;
    for (int i = 0; i < skip_rows; i++)
        next_line(&c, &s, &e);
    csv first = c;
    int64_t shape[2] = {0, 0};
    while (next_row(&c, &s, &e))
        if (shape[0]++ == 0)
            shape[1] = count_fields(&c, s, e);
    if (shape[0] && shape[1] > (int64_t)size / shape[0] + 1)
        return ragged(&first, shape[1]);
    kl_buffer b;
    KL_TRY(kl_buffer_new(KL_F64, 2, shape, &b));
    kl_status st = read_rows(&first, shape[0], shape[1], &b);
    if (st == KL_OK)
        *out = b;
    else
        kl_memory_unref(b.mem);
    return st;
}

kl_status kl_csv_parse(const char *name, const char *text, size_t size, char delimiter,
                       int skip_rows, kl_buffer *out)
{
    char *copy = kl_alloc(size + 1);
    if (!copy)
        return kl_fail(KL_ERR_OOM, "%s: out of memory: %zu bytes", name, size);
    memcpy(copy, text, size);
    copy[size] = 0;
    kl_status s = parse(name, copy, size, delimiter, skip_rows, out);
    kl_free(copy, size + 1);
    return s;
}

kl_status kl_csv_read(const char *path, char delimiter, int skip_rows, kl_buffer *out)
{
    void *bytes;
    size_t size;
    KL_TRY(kl_file_read(path, &bytes, &size));
    kl_status s = kl_csv_parse(path, bytes, size, delimiter, skip_rows, out);
    kl_free(bytes, size);
    return s;
}
