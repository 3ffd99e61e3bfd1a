/* graph_parse.c: graphs from text (GRAMMAR.md). Every node goes through kl_graph_node, so
 * a text is accepted exactly when the graph could have been built, and its declared type
 * must be what inference says. A failure is one line with file, line and reason; nothing
 * is half-made that anybody sees, for the arena holds it all.
 *
 * Numbers may leave gaps and nodes may go by names, for texts written by hand:
 *
 *   %h: f32[4] = neg %0        "%3 is f32[4], not f32[5]"        "there is no %7 yet" */
#include "ir/graph_text.h"

#include <ctype.h>

#define GAP 1000 /* how far a number may run ahead of the nodes there are */

typedef struct parser {
    kl_arena *arena;
    kl_dims *dims;
    kl_lex *l;
    kl_graph *g;
    kl_ref *number; /* node of each number */
    uint32_t nnumber, cap_number;
    kl_ref *name; /* node of each string */
    uint32_t nname, cap_name;
    kl_ref *src; /* of the node being read */
    uint32_t nsrc, cap_src;
    int64_t *attr;
    uint32_t nattr, cap_attr;
    kl_graph **graphs; /* read so far */
    uint32_t ngraphs, cap_graphs;
} parser;

static kl_status no_memory(void)
{
    return kl_fail(KL_ERR_OOM, "out of memory: a program's text");
}

static kl_status expected(const kl_lex *l, const char *what)
{
    if (l->kind == KL_TOK_END)
        return kl_lex_fail(l, "expected %s, found the end of the file", what);
    return kl_lex_fail(l, "expected %s, found '%.*s'", what, (int)KL_MIN(l->len, 40),
                       l->tok);
}

/* ---- references ---- */

/* The current token's text without its first n characters. */
static kl_status token_text(const parser *p, size_t n, char out[256])
{
    if (p->l->len - n >= 256)
        return kl_lex_fail(p->l, "a name is longer than 255 characters");
    memcpy(out, p->l->tok + n, p->l->len - n);
    out[p->l->len - n] = 0;
    return KL_OK;
}

typedef struct place { /* in p->name or p->number */
    bool named;
    uint32_t index;
} place;

static kl_ref *node_at(const parser *p, place at)
{
    return (at.named ? p->name : p->number) + at.index;
}

/* Where the node of reference %12 or %name is kept. */
static kl_status find_ref(parser *p, bool define, place *at)
{
    char name[256];
    kl_lex *l = p->l;
    if (l->kind != KL_TOK_REF)
        return expected(l, "a reference like %2");
    bool named = l->ival < 0;
    uint64_t i = (uint64_t)l->ival;
    if (named) {
        KL_TRY(token_text(p, 1, name));
        uint32_t s = kl_graph_string(p->g, name);
        if (s == KL_NONE)
            return no_memory();
        i = s;
    } else if (i > (uint64_t)p->g->count + GAP) {
        return kl_lex_fail(l, "%%%llu is far beyond the numbers used so far",
                           (unsigned long long)i);
    }
    kl_ref **list = named ? &p->name : &p->number;
    uint32_t *n = named ? &p->nname : &p->nnumber;
    if (kl_arena_grow(p->arena, list, named ? &p->cap_name : &p->cap_number,
                      (uint32_t)i + 1, sizeof **list))
        return no_memory();
    while (*n <= i)
        (*list)[(*n)++] = KL_NONE;
    *at = (place){named, (uint32_t)i};
    if (define == (*node_at(p, *at) != KL_NONE))
        return kl_lex_fail(l, define ? "%.*s is there already" : "there is no %.*s yet",
                           (int)KL_MIN(l->len, 60), l->tok);
    kl_lex_next(l);
    return KL_OK;
}

static kl_status read_ref(parser *p, kl_ref *out)
{
    place at;
    KL_TRY(find_ref(p, false, &at));
    *out = *node_at(p, at);
    return KL_OK;
}

/* ---- types ---- */

static kl_status read_dtype(parser *p, kl_dtype *out)
{
    char name[16];
    if (p->l->kind == KL_TOK_NAME && p->l->len < sizeof name) {
        memcpy(name, p->l->tok, p->l->len);
        name[p->l->len] = 0;
        for (int i = 0; i < KL_DTYPE_COUNT; i++)
            if (strcmp(kl_dtypes[i].name, name) == 0) {
                kl_lex_next(p->l);
                *out = (kl_dtype)i;
                return KL_OK;
            }
    }
    return expected(p->l, "a dtype");
}

static kl_status read_type(parser *p, kl_type *t)
{
    KL_TRY(read_dtype(p, &t->dtype));
    KL_TRY(kl_lex_want(p->l, "["));
    t->rank = 0;
    while (!kl_lex_take(p->l, "]")) {
        if (t->rank)
            KL_TRY(kl_lex_want(p->l, ","));
        if (t->rank == KL_MAX_RANK)
            return kl_lex_fail(p->l, "a type has more than %d axes", KL_MAX_RANK);
        KL_TRY(kl_dim_parse(p->dims, p->l, &t->shape[t->rank++]));
    }
    return KL_OK;
}

/* ---- attributes ---- */

static kl_status push(parser *p, int64_t v)
{
    if (kl_arena_grow(p->arena, &p->attr, &p->cap_attr, p->nattr + 1, sizeof *p->attr))
        return no_memory();
    p->attr[p->nattr++] = v;
    return KL_OK;
}

static kl_status push_int(parser *p)
{
    int64_t v;
    KL_TRY(kl_lex_int(p->l, &v));
    return push(p, v);
}

static kl_status push_extent(parser *p)
{
    kl_dim v;
    KL_TRY(kl_dim_parse(p->dims, p->l, &v));
    return push(p, v);
}

static kl_status push_body(parser *p, int64_t shift)
{
    char name[256];
    KL_TRY(kl_lex_want(p->l, "@"));
    KL_TRY(token_text(p, 0, name));
    for (uint32_t i = 0; i < p->ngraphs; i++)
        if (strcmp(p->graphs[i]->name, name) == 0) {
            uint32_t b = kl_graph_body(p->g, p->graphs[i]);
            kl_lex_next(p->l);
            return b == KL_NONE ? no_memory() : push(p, shift + b);
        }
    return kl_lex_fail(p->l, "no graph before this one is called @%.80s", name);
}

/* "(a, b)": each by fn. */
static kl_status push_list(parser *p, kl_status (*fn)(parser *p))
{
    KL_TRY(kl_lex_want(p->l, "("));
    for (bool first = true; !kl_lex_take(p->l, ")"); first = false) {
        if (!first)
            KL_TRY(kl_lex_want(p->l, ","));
        KL_TRY(fn(p));
    }
    return KL_OK;
}

static kl_status push_axis(parser *p)
{
    if (p->l->kind == KL_TOK_INT && (p->l->ival < 0 || p->l->ival >= KL_MAX_RANK))
        return kl_lex_fail(p->l, "there is no axis %.*s", (int)KL_MIN(p->l->len, 40),
                           p->l->tok);
    return push_int(p);
}

static kl_status push_mask(parser *p)
{
    uint32_t before = p->nattr;
    uint64_t mask = 0;
    KL_TRY(push_list(p, push_axis));
    for (uint32_t i = before; i < p->nattr; i++)
        if (p->attr[i] < 0)
            return kl_lex_fail(p->l, "there is no axis %lld", (long long)p->attr[i]);
        else if (mask >> p->attr[i] & 1)
            return kl_lex_fail(p->l, "axis %lld stands twice", (long long)p->attr[i]);
        else
            mask |= UINT64_C(1) << p->attr[i];
    p->nattr = before;
    return push(p, (int64_t)mask);
}

static kl_status push_windows(parser *p)
{
    static const char *const word[] = {"size", "stride", "dilation"};
    uint32_t count = p->nattr;
    KL_TRY(push(p, 0));
    while (kl_lex_take(p->l, "(")) {
        KL_TRY(kl_lex_want(p->l, "axis"));
        KL_TRY(push_int(p));
        for (int i = 0; i < 3; i++) {
            KL_TRY(kl_lex_want(p->l, word[i]));
            KL_TRY(push_extent(p));
        }
        KL_TRY(kl_lex_want(p->l, ")"));
        p->attr[count]++;
    }
    return KL_OK;
}

static kl_status push_word(parser *p, const char *word, size_t len)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)len, word);
    switch (len > 1 && *word != '[' && *word != '?' ? 0 : *word) {
    case 'i':
        return push_int(p);
    case 'e':
        return push_extent(p);
    case 'm':
        return push_mask(p);
    case 'b':
        return push_body(p, 0);
    case 'w':
        return push_windows(p);
    case '[':
        return push_list(p, word[1] == 'e' ? push_extent : push_int);
    case '?':
        return push(p, kl_lex_take(p->l, text + 1));
    case '.':
        return KL_OK; /* read with the name */
    default:
        return kl_lex_want(p->l, text);
    }
}

/* Is that word of a form the next of the text? */
static bool stands(const parser *p, const char *word, size_t len)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)len, word);
    return kl_lex_is(p->l, text);
}

/* ---- rows with a syntax of their own ---- */

static kl_status read_integer(parser *p, kl_dtype dt, uint64_t *bits)
{
    int width = 8 * kl_dtypes[dt].size;
    bool big = dt == KL_U64 && p->l->kind == KL_TOK_INT,
         sign = kl_dtypes[dt].cls == KL_CLS_SINT;
    int64_t v = p->l->ival;
    if (dt == KL_BOOL && (kl_lex_is(p->l, "true") || kl_lex_is(p->l, "false"))) {
        *bits = kl_lex_is(p->l, "true");
        kl_lex_next(p->l);
        return KL_OK;
    }
    if (big)
        kl_lex_next(p->l);
    else
        KL_TRY(kl_lex_int(p->l, &v));
    int64_t top = dt == KL_BOOL ? 1
                  : width == 64 ? INT64_MAX
                                : (INT64_C(1) << (width - sign)) - 1;
    if (!big && (v > top || v < (sign ? -top - 1 : 0)))
        return kl_lex_fail(p->l, "%lld is no %s", (long long)v, kl_dtypes[dt].name);
    *bits = (uint64_t)v;
    return KL_OK;
}

static kl_status read_float(parser *p, kl_dtype dt, uint64_t *bits)
{
    bool minus = kl_lex_take(p->l, "-");
    if (p->l->kind != KL_TOK_INT && p->l->kind != KL_TOK_FLOAT)
        return expected(p->l, "a number");
    double v = p->l->kind == KL_TOK_INT ? (double)(uint64_t)p->l->ival : p->l->fval;
    float f = (float)(v = minus ? -v : v);
    *bits = 0;
    if (dt == KL_F32)
        memcpy(bits, &f, sizeof f);
    else if (dt == KL_F64)
        memcpy(bits, &v, sizeof v);
    else
        *bits = dt == KL_F16 ? kl_f64_to_f16(v) : kl_f64_to_bf16(v);
    kl_lex_next(p->l);
    return KL_OK;
}

static kl_status read_const(parser *p, const kl_type *t)
{
    kl_dtype part = kl_dtypes[t->dtype].real;
    size_t size = kl_dtypes[part].size, n = 0;
    unsigned char bytes[64] = {0};
    KL_TRY(kl_lex_want(p->l, "{"));
    for (; !kl_lex_take(p->l, "}"); n++) {
        uint64_t bits = 0;
        if (n)
            KL_TRY(kl_lex_want(p->l, ","));
        if ((n + 1) * size > sizeof bytes)
            return kl_lex_fail(p->l, "a constant holds at most 64 bytes");
        KL_TRY(kl_is_float(part) ? read_float(p, part, &bits)
                                 : read_integer(p, part, &bits));
        memcpy(bytes + n * size, &bits, size);
    }
    kl_dim count = kl_is_complex(t->dtype) ? 2 : 1;
    for (int i = 0; i < t->rank; i++)
        count = kl_dim_mul(p->dims, count, t->shape[i]);
    if (count >= 0 && (size_t)count != n)
        return kl_lex_fail(p->l, "a constant has %zu elements instead of %lld", n,
                           (long long)count);
    for (size_t i = 0; i < n * size; i += 8) {
        int64_t word;
        memcpy(&word, bytes + i, sizeof word);
        KL_TRY(push(p, word));
    }
    return KL_OK;
}

static kl_status read_labels(parser *p)
{
    char text[256];
    int64_t attr[3 + 3 * KL_MAX_RANK];
    if (p->l->kind != KL_TOK_STRING)
        return expected(p->l, "labels like \"bk,nk->bn\"");
    KL_TRY(token_text(p, 0, text));
    uint32_t n = kl_contract_attrs(text, attr);
    if (!n) {
        kl_fail_more(" (%s:%d)", p->l->file, p->l->line);
        return KL_ERR_ARG;
    }
    kl_lex_next(p->l);
    for (uint32_t i = 0; i < n; i++)
        KL_TRY(push(p, attr[i]));
    return KL_OK;
}

static kl_status push_result(parser *p)
{
    kl_type t;
    KL_TRY(read_type(p, &t));
    KL_TRY(push(p, t.dtype));
    KL_TRY(push(p, t.rank));
    for (int i = 0; i < t.rank; i++)
        KL_TRY(push(p, t.shape[i]));
    p->attr[1]++;
    return KL_OK;
}

static kl_status read_call(parser *p)
{
    char text[256];
    if (p->l->kind != KL_TOK_STRING || !p->l->len)
        return expected(p->l, "the called function's name in quotes");
    KL_TRY(token_text(p, 0, text));
    kl_lex_next(p->l);
    uint32_t name = kl_graph_string(p->g, text);
    if (name == KL_NONE)
        return no_memory();
    KL_TRY(push(p, name));
    KL_TRY(push(p, 0));
    KL_TRY(push(p, 0));
    KL_TRY(kl_lex_want(p->l, "results"));
    KL_TRY(push_list(p, push_result));
    p->attr[2] = kl_lex_take(p->l, "effects");
    return KL_OK;
}

static kl_status read_function(parser *p)
{
    int64_t results;
    KL_TRY(push_body(p, 0));
    results = p->g->bodies[p->attr[0]]->noutputs;
    KL_TRY(push(p, 0));
    if (kl_lex_take(p->l, "derivative"))
        KL_TRY(push_body(p, 1));
    else
        KL_TRY(push(p, 0));
    if (kl_lex_take(p->l, "results"))
        KL_TRY(kl_lex_int(p->l, &results));
    p->attr[1] = results;
    return KL_OK;
}

/* ---- nodes ---- */

/* "reduce.add": the row, and the combining row as first attribute. */
static kl_status read_op(parser *p, kl_op *op)
{
    char name[256];
    KL_TRY(kl_lex_name(p->l, name, sizeof name));
    size_t len = strcspn(name, ".");
    int row = kl_op_find(name, len);
    if (row < 0)
        return kl_lex_fail(p->l, "there is no operation %.80s", name);
    *op = (kl_op)row;
    bool combines = kl_attr_forms[row] && *kl_attr_forms[row] == '.';
    if (combines != (name[len] == '.'))
        return kl_lex_fail(p->l, "%.80s %s combining operation", name,
                           combines ? "needs a" : "has no");
    if (!combines)
        return KL_OK;
    int with = strcmp(name + len + 1, "set") == 0
                   ? (int)KL_SET
                   : kl_op_find(name + len + 1, strlen(name) - len - 1);
    if (with < 0)
        return kl_lex_fail(p->l, "there is no operation %.80s to combine with",
                           name + len + 1);
    return push(p, with);
}

static kl_status read_operands(parser *p)
{
    while (p->l->kind == KL_TOK_REF) {
        kl_ref r;
        KL_TRY(read_ref(p, &r));
        if (kl_arena_grow(p->arena, &p->src, &p->cap_src, p->nsrc + 1, sizeof *p->src))
            return no_memory();
        p->src[p->nsrc++] = r;
        if (!kl_lex_take(p->l, ","))
            break;
        if (p->l->kind != KL_TOK_REF)
            return expected(p->l, "an operand after ','");
    }
    return KL_OK;
}

static kl_status read_attrs(parser *p, kl_op op, const kl_type *t)
{
    const char *form = kl_attr_forms[op], *word;
    size_t len;
    switch (op) {
    case KL_OP_const:
        return read_const(p, t);
    case KL_OP_contract:
        return read_labels(p);
    case KL_OP_call:
        return read_call(p);
    case KL_OP_function:
        return read_function(p);
    case KL_OP_input:
        return kl_lex_fail(p->l, "inputs stand in the graph's first line");
    default:
        while (form && kl_attr_next(&form, &word, &len)) {
            if (*word == '/' && !stands(p, word + 1, len - 1))
                break;
            KL_TRY(push_word(p, word + (*word == '/'), len - (*word == '/')));
        }
        return KL_OK;
    }
}

/* The node, and that its type is the declared one. */
static kl_status make_node(parser *p, kl_op op, const kl_type *t, int line, kl_ref *out)
{
    kl_type y;
    kl_spec s = {.op = op,
                 .want = *t,
                 .src = p->src,
                 .nsrc = p->nsrc,
                 .attr = p->attr,
                 .nattr = p->nattr};
    *out = kl_graph_node(p->g, &s);
    if (*out == KL_NONE) {
        kl_fail_more(" (%s:%d)", p->l->file, line);
        return kl_error_status() ? kl_error_status() : KL_ERR_INTERNAL;
    }
    kl_graph_type(p->g, *out, &y);
    if (y.dtype == t->dtype && y.rank == t->rank &&
        !memcmp(y.shape, t->shape, (size_t)y.rank * sizeof *y.shape))
        return KL_OK;
    kl_text is = {0}, want = {0};
    kl_type_print(p->dims, &y, &is);
    kl_type_print(p->dims, t, &want);
    kl_fail(KL_ERR_SHAPE, "%s:%d: %s gives %s, not %s", p->l->file, line, kl_ops[op].name,
            is.s ? is.s : "?", want.s ? want.s : "?");
    kl_text_free(&is);
    kl_text_free(&want);
    return KL_ERR_SHAPE;
}

/* n characters as a string of the graph. */
static kl_status keep_text(parser *p, const char *s, size_t n, uint32_t *out)
{
    char text[256];
    snprintf(text, sizeof text, "%.*s", (int)KL_MIN(n, sizeof text - 1), s);
    *out = kl_graph_string(p->g, text);
    return *out == KL_NONE ? no_memory() : KL_OK;
}

/* Where the text is the user's source, its lines are the nodes' places. */
static kl_status place_here(parser *p, kl_ref r, int line)
{
    char text[256];
    kl_node *n = &p->g->nodes[r];
    if (!p->l->source || n->place != KL_NONE)
        return KL_OK;
    const char *slash = strrchr(p->l->file, '/');
    snprintf(text, sizeof text, "%.240s:%d", slash ? slash + 1 : p->l->file, line);
    return keep_text(p, text, strlen(text), &n->place);
}

/* Where " layer1.0.conv" begins at the text's end, a module's path; end: there is none. */
static const char *module_path(const char *s, const char *end)
{
    const char *path = end;
    while (path > s && (isalnum((unsigned char)path[-1]) || strchr("_.", path[-1])))
        path--;
    return path > s && path < end && path[-1] == ' ' ? path - 1 : end;
}

/* Does the text end with a line, "net.c:41", "net.py:12 layer1.conv", or that of a
 * derivative's origin? */
static bool is_place(const char *s, const char *end)
{
    static const char back[] = " (backward)";
    size_t n = sizeof back - 1;
    if ((size_t)(end - s) > n && memcmp(end - n, back, n) == 0)
        end -= n;
    end = module_path(s, end);
    const char *line = end;
    while (line > s && line[-1] >= '0' && line[-1] <= '9')
        line--;
    return line < end && line - 1 > s && line[-1] == ':';
}

/* A node's name and place are the comment behind it: # "loss" net.c:41 */
static kl_status read_note(parser *p, kl_ref r, int at)
{
    const char *s = p->l->note, *end, *name = NULL;
    size_t named = 0;
    if (!s)
        return place_here(p, r, at);
    end = s + strcspn(s, "\r\n");
    while (s < end && *s == ' ')
        s++;
    if (*s == '"') {
        name = ++s;
        while (s < end && *s != '"')
            s++;
        named = (size_t)(s - name);
        s += s < end;
        while (s < end && *s == ' ')
            s++;
    }
    bool place = is_place(s, end);
    if (s < end && !place)
        return place_here(p, r, at); /* some other comment */
    kl_node *n = &p->g->nodes[r];
    if (named && n->name == KL_NONE)
        KL_TRY(keep_text(p, name, named, &n->name));
    if (place && n->place == KL_NONE)
        KL_TRY(keep_text(p, s, (size_t)(end - s), &n->place));
    return KL_OK;
}

static kl_status read_node(parser *p)
{
    kl_type t;
    kl_op op = KL_OP_input;
    kl_ref r;
    place at;
    int line = p->l->line;
    KL_TRY(find_ref(p, true, &at));
    KL_TRY(kl_lex_want(p->l, ":"));
    KL_TRY(read_type(p, &t));
    KL_TRY(kl_lex_want(p->l, "="));
    p->nsrc = p->nattr = 0;
    KL_TRY(read_op(p, &op));
    KL_TRY(read_operands(p));
    KL_TRY(read_attrs(p, op, &t));
    KL_TRY(make_node(p, op, &t, line, &r));
    *node_at(p, at) = r;
    if (at.named && p->g->nodes[r].name == KL_NONE)
        p->g->nodes[r].name = at.index;
    return read_note(p, r, line);
}

/* ---- the graph ---- */

/* "%8" after a range is a divisor, unless it begins a node: "%8: f32[..] = ..". */
static bool at_divisor(const kl_lex *l)
{
    kl_lex ahead = *l;
    kl_lex_next(&ahead);
    return l->kind == KL_TOK_REF && l->ival > 0 && !kl_lex_is(&ahead, ":");
}

static kl_status read_dim(parser *p)
{
    char name[64];
    int64_t min = 0, max = INT64_C(1) << 40, div = 1;
    KL_TRY(kl_lex_name(p->l, name, sizeof name));
    kl_dim s = kl_dim_sym(p->dims, name);
    if (s == KL_DIM_BAD)
        return no_memory();
    if (p->l->kind == KL_TOK_INT) {
        KL_TRY(kl_lex_int(p->l, &min));
        KL_TRY(kl_lex_want(p->l, ".."));
        KL_TRY(kl_lex_int(p->l, &max));
    }
    if (at_divisor(p->l)) {
        div = p->l->ival; /* "%8" without a space */
        kl_lex_next(p->l);
    } else if (kl_lex_take(p->l, "%"))
        KL_TRY(kl_lex_int(p->l, &div));
    if (min < 0 || max < min || max > INT64_C(1) << 60 || div < 1)
        return kl_lex_fail(p->l, "dim %s has impossible bounds", name);
    kl_dim_sym_bound(p->dims, s, min, max, div);
    return KL_OK;
}

/* Facts come before extents that use them, though their lines stand below: canonical
 * forms depend on them. */
static kl_status read_dims_ahead(parser *p)
{
    kl_lex ahead = *p->l, *here = p->l;
    kl_status s = KL_OK;
    while (ahead.kind != KL_TOK_END && ahead.kind != KL_TOK_BAD &&
           !kl_lex_take(&ahead, "{"))
        kl_lex_next(&ahead);
    p->l = &ahead;
    while (s == KL_OK && kl_lex_take(&ahead, "dim"))
        s = read_dim(p);
    p->l = here;
    return s;
}

static kl_status read_input(parser *p)
{
    kl_type t;
    kl_ref r;
    place at;
    int line = p->l->line;
    KL_TRY(find_ref(p, true, &at));
    KL_TRY(kl_lex_want(p->l, ":"));
    KL_TRY(read_type(p, &t));
    p->nsrc = p->nattr = 0;
    KL_TRY(push(p, p->g->ninputs));
    if (kl_lex_take(p->l, "strides")) {
        KL_TRY(kl_lex_want(p->l, "["));
        while (!kl_lex_take(p->l, "]")) {
            if (p->nattr > 1)
                KL_TRY(kl_lex_want(p->l, ","));
            KL_TRY(push_extent(p));
        }
    }
    KL_TRY(make_node(p, KL_OP_input, &t, line, &r));
    *node_at(p, at) = r;
    if (at.named)
        p->g->nodes[r].name = at.index;
    return KL_OK;
}

/* "counts 0 axis 1": of an output that comes before. */
static kl_status read_counts(parser *p)
{
    int64_t of, axis;
    KL_TRY(kl_lex_int(p->l, &of));
    KL_TRY(kl_lex_want(p->l, "axis"));
    KL_TRY(kl_lex_int(p->l, &axis));
    return kl_graph_counts(p->g, p->g->noutputs - 1, of, axis);
}

static kl_status read_output(parser *p)
{
    char name[256];
    kl_ref r, d;
    int line = p->l->line;
    bool named;
    KL_TRY(read_ref(p, &r));
    if ((named = kl_lex_take(p->l, "as")))
        KL_TRY(kl_lex_name(p->l, name, sizeof name));
    kl_status s = kl_graph_output(p->g, r, named ? name : NULL);
    if (s == KL_OK && kl_lex_take(p->l, "donates")) {
        KL_TRY(read_ref(p, &d));
        if (p->g->nodes[d].op != KL_OP_input)
            return kl_lex_fail(p->l, "only an input can be donated");
        s = kl_graph_donate(p->g, p->g->noutputs - 1,
                            (uint32_t)kl_graph_attr(p->g, d)[0]);
    }
    if (s == KL_OK && kl_lex_take(p->l, "counts"))
        s = read_counts(p);
    if (s != KL_OK)
        kl_fail_more(" (%s:%d)", p->l->file, line);
    return s;
}

static kl_status read_lines(parser *p)
{
    while (kl_lex_take(p->l, "dim"))
        KL_TRY(read_dim(p));
    while (!kl_lex_take(p->l, "out"))
        KL_TRY(read_node(p));
    while (!kl_lex_take(p->l, "}")) {
        if (p->g->noutputs)
            KL_TRY(kl_lex_want(p->l, ","));
        KL_TRY(read_output(p));
    }
    return KL_OK;
}

static kl_status read_graph(parser *p)
{
    char name[256];
    KL_TRY(kl_lex_want(p->l, "graph"));
    KL_TRY(kl_lex_name(p->l, name, sizeof name));
    for (uint32_t i = 0; i < p->ngraphs; i++)
        if (strcmp(p->graphs[i]->name, name) == 0)
            return kl_lex_fail(p->l, "there is a graph %s already", name);
    p->g = kl_graph_new(p->arena, p->dims, name);
    if (!p->g)
        return KL_ERR_OOM;
    p->nnumber = p->nname = 0;
    KL_TRY(read_dims_ahead(p));
    KL_TRY(kl_lex_want(p->l, "("));
    while (!kl_lex_take(p->l, ")")) {
        if (p->g->ninputs)
            KL_TRY(kl_lex_want(p->l, ","));
        KL_TRY(read_input(p));
    }
    KL_TRY(kl_lex_want(p->l, "{"));
    KL_TRY(read_lines(p));
    if (kl_arena_grow(p->arena, &p->graphs, &p->cap_graphs, p->ngraphs + 1,
                      sizeof *p->graphs))
        return no_memory();
    p->graphs[p->ngraphs++] = p->g;
    return KL_OK;
}

kl_status kl_graph_parse_at(kl_arena *a, kl_dims *d, kl_lex *l, kl_graph **out)
{
    parser p = {.arena = a, .dims = d ? d : kl_dims_new(a), .l = l};
    char weights[256] = "";
    *out = NULL;
    if (!p.dims)
        return KL_ERR_OOM;
    if (kl_lex_take(l, "weights")) {
        if (l->kind != KL_TOK_STRING)
            return expected(l, "the weights' file in quotes");
        KL_TRY(token_text(&p, 0, weights));
        kl_lex_next(l);
    }
    do
        KL_TRY(read_graph(&p));
    while (kl_lex_is(l, "graph"));
    if (*weights)
        p.g->weights = kl_arena_strdup(a, weights);
    *out = p.g;
    return KL_OK;
}

static kl_status parse_all(kl_arena *a, kl_lex *l, kl_graph **out)
{
    kl_graph *g = NULL;
    *out = NULL;
    KL_TRY(kl_graph_parse_at(a, NULL, l, &g));
    if (l->kind != KL_TOK_END)
        return expected(l, "the end of the file");
    *out = g;
    return KL_OK;
}

kl_status kl_graph_parse(kl_arena *a, const char *file, const char *text, kl_graph **out)
{
    kl_lex l;
    kl_lex_init(&l, file, text);
    return parse_all(a, &l, out);
}

kl_status kl_graph_parse_source(kl_arena *a, const char *file, const char *text,
                                kl_graph **out)
{
    kl_lex l;
    kl_lex_init(&l, file, text);
    l.source = true;
    return parse_all(a, &l, out);
}
