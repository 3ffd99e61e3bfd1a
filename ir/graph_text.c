/* graph_text.c: a graph as text (GRAMMAR.md), one line a node, numbers dense, nothing of
 * hashes or addresses in it. Inputs are numbered first whenever they were made; bodies
 * come before the graphs that name them. A node's own name and place are a comment.
 *
 *   graph g(%x: f32[B,64], %w: f32[10,64]) {
 *     dim B 1..4096
 *     %2: f32[B,10] = contract %x, %w "ab,cb->ac"  # net.c:41
 *     out %2 as y
 *   } */
#include "ir/graph_text.h"

#include <ctype.h>

const char *const kl_attr_forms[KL_OP_COUNT] = {
    [KL_OP_iota] = "axis i",
    [KL_OP_permute] = "axes [i]",
    [KL_OP_pad] = "lo [e] hi [e] interior [e]",
    [KL_OP_slice] = "start [e] step [e]",
    [KL_OP_flip] = "axes m",
    [KL_OP_concat] = "axis i",
    [KL_OP_window] = "w",
    [KL_OP_fold] = "w",
    [KL_OP_strided] = "offset e strides [e]",
    [KL_OP_update] = "offset e strides [e]",
    [KL_OP_reduce] = ". axes m",
    [KL_OP_argmax] = "axis i",
    [KL_OP_argmin] = "axis i",
    [KL_OP_prefix] = ". axis i",
    [KL_OP_gather] = "axis i batch i",
    [KL_OP_scatter] = ". axis i batch i",
    [KL_OP_sort] = "axis i ?descending /first i",
    [KL_OP_while] = "cond b body b",
    [KL_OP_cond] = "then b else b",
    [KL_OP_scan] = "carries i body b",
    [KL_OP_pick] = "result i",
    [KL_OP_detach] = "number i",
};

bool kl_attr_next(const char **form, const char **word, size_t *len)
{
    *word = *form + strspn(*form, " ");
    *len = strcspn(*word, " ");
    *form = *word + *len;
    return *len > 0;
}

typedef struct printer {
    const kl_graph *g;
    kl_text *out;
    uint32_t *number;        /* of each node in the text */
    bool *named;             /* inputs that go by their name */
    kl_graph **all;          /* bodies first */
    const char *const *name; /* theirs, each unlike the others */
    uint32_t nall;
    bool *later; /* symbols of graphs that are not printed yet */
    size_t line; /* where the current line began */
} printer;

#define WIDE 84

static void put(printer *p, const char *s)
{
    kl_text_put(p->out, s);
}

static void put_int(printer *p, int64_t v)
{
    kl_text_printf(p->out, "%lld", (long long)v);
}

static void new_line(printer *p, const char *indent)
{
    put(p, "\n");
    p->line = p->out->len;
    put(p, indent);
}

/* ", ", and a new line where this one is full. */
static void comma(printer *p)
{
    put(p, ",");
    if (p->out->len - p->line > WIDE)
        new_line(p, "      ");
    else
        put(p, " ");
}

static bool is_name(const char *s)
{
    bool dot = false;
    if (!s || !((*s | 32) >= 'a' && (*s | 32) <= 'z') || strlen(s) > 250)
        return false;
    for (; *s; s++) {
        bool word = ((*s | 32) >= 'a' && (*s | 32) <= 'z') || (*s >= '0' && *s <= '9') ||
                    *s == '_';
        if (!word && (*s != '.' || dot || !s[1]))
            return false;
        dot = *s == '.';
    }
    return !dot;
}

static void put_ref(printer *p, kl_ref r)
{
    if (p->named[r])
        kl_text_printf(p->out, "%%%s", p->g->strings[p->g->nodes[r].name]);
    else
        kl_text_printf(p->out, "%%%u", p->number[r]);
}

static void put_type(printer *p, kl_ref r)
{
    kl_type t;
    kl_graph_type(p->g, r, &t);
    kl_type_print(p->g->dims, &t, p->out);
}

static const char *name_of(const printer *p, const kl_graph *g)
{
    for (uint32_t i = 0; i < p->nall; i++)
        if (p->all[i] == g)
            return p->name[i];
    return "?";
}

/* ---- attributes ---- */

static void put_element(printer *p, kl_dtype dt, const char *bytes)
{
    union {
        uint64_t u;
        int64_t i;
        float f;
        double d;
        uint16_t h;
    } v = {0};
    memcpy(&v, bytes, kl_dtypes[dt].size);
    int spare = 64 - 8 * kl_dtypes[dt].size;
    if (dt == KL_BOOL)
        put(p, v.u ? "true" : "false");
    else if (kl_dtypes[dt].cls == KL_CLS_UINT)
        kl_text_printf(p->out, "%llu", (unsigned long long)v.u);
    else if (kl_dtypes[dt].cls == KL_CLS_SINT)
        put_int(p, (int64_t)(v.u << spare) >> spare);
    else
        kl_text_put_float(p->out, dt,
                          dt == KL_F64    ? v.d
                          : dt == KL_F32  ? (double)v.f
                          : dt == KL_BF16 ? (double)kl_bf16_to_f32(v.h)
                                          : (double)kl_f16_to_f32(v.h));
}

/* Complex elements are two numbers. */
static void put_const(printer *p, kl_ref r)
{
    kl_dtype dt = (kl_dtype)p->g->nodes[r].dtype;
    int parts = kl_is_complex(dt) ? 2 : 1;
    kl_dtype part = kl_dtypes[dt].real;
    const char *bytes = (const char *)kl_graph_attr(p->g, r);
    int64_t n = kl_graph_numel(p->g, r) * parts;
    put(p, " {");
    for (int64_t i = 0; i < n; i++) {
        if (i)
            comma(p);
        put_element(p, part, bytes + i * kl_dtypes[part].size);
    }
    put(p, "}");
}

static void put_labels(printer *p, const int64_t *attr)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEF";
    const char *const after[] = {",", "->", "\""};
    const int64_t *label = attr + 3;
    put(p, " \"");
    for (int i = 0; i < 3; i++) {
        for (int64_t j = 0; j < attr[i]; j++)
            kl_text_putn(p->out, &letters[*label++], 1);
        put(p, after[i]);
    }
}

static void put_call(printer *p, const int64_t *attr)
{
    const int64_t *at = attr + 3;
    kl_type t;
    kl_text_printf(p->out, " \"%s\" results (", p->g->strings[attr[0]]);
    for (int64_t i = 0; i < attr[1]; i++) {
        if (i)
            comma(p);
        t.dtype = (kl_dtype)at[0];
        t.rank = (int)at[1];
        memcpy(t.shape, at + 2, (size_t)t.rank * sizeof *t.shape);
        kl_type_print(p->g->dims, &t, p->out);
        at += 2 + t.rank;
    }
    put(p, attr[2] ? ") effects" : ")");
}

static void put_function(printer *p, const int64_t *attr)
{
    const kl_graph *body = p->g->bodies[attr[0]];
    kl_text_printf(p->out, " @%s", name_of(p, body));
    if (attr[2])
        kl_text_printf(p->out, " derivative @%s", name_of(p, p->g->bodies[attr[2] - 1]));
    if (attr[1] != body->noutputs)
        kl_text_printf(p->out, " results %lld", (long long)attr[1]);
}

static void put_windows(printer *p, const int64_t *attr)
{
    static const char *const word[] = {" size ", " stride ", " dilation "};
    for (int64_t i = 0; i < attr[0]; i++) {
        const int64_t *w = attr + 1 + 4 * i;
        kl_text_printf(p->out, " (axis %lld", (long long)w[0]);
        for (int k = 0; k < 3; k++) {
            put(p, word[k]);
            kl_dim_print(p->g->dims, w[1 + k], p->out);
        }
        put(p, ")");
    }
}

static void put_list(printer *p, const int64_t *v, uint32_t n, bool extents)
{
    put(p, "(");
    for (uint32_t i = 0; i < n; i++) {
        if (i)
            put(p, ", ");
        if (extents)
            kl_dim_print(p->g->dims, v[i], p->out);
        else
            put_int(p, v[i]);
    }
    put(p, ")");
}

static void put_mask(printer *p, uint64_t mask)
{
    int64_t axes[64];
    uint32_t n = 0;
    for (int i = 0; i < 64; i++)
        if (mask >> i & 1)
            axes[n++] = i;
    put_list(p, axes, n, false);
}

/* How long the lists of a form are: what single words leave, divided among them. */
static uint32_t list_length(const char *form, uint32_t nattr)
{
    const char *word;
    size_t len;
    uint32_t lists = 0;
    while (kl_attr_next(&form, &word, &len)) {
        lists += *word == '[';
        nattr -= *word != '[' && (len == 1 || *word == '?');
    }
    return lists ? nattr / lists : 0;
}

static void put_form(printer *p, const char *form, const int64_t *attr, uint32_t nattr)
{
    const char *word;
    size_t len;
    const int64_t *end = attr + nattr;
    uint32_t n = list_length(form, nattr);
    if (*form == '.') {
        kl_attr_next(&form, &word, &len);
        attr++;
    }
    while (kl_attr_next(&form, &word, &len)) {
        if (*word == '?' && !*attr++)
            continue;
        if (*word == '/' && attr == end)
            return;
        if (*word == 'w') {
            put_windows(p, attr);
            return;
        }
        put(p, " ");
        if (*word == '[') {
            put_list(p, attr, n, word[1] == 'e');
            attr += n;
        } else if (len > 1)
            kl_text_putn(p->out, word + !isalpha(*word), len - !isalpha(*word));
        else if (*word == 'e')
            kl_dim_print(p->g->dims, *attr++, p->out);
        else if (*word == 'm')
            put_mask(p, (uint64_t)*attr++);
        else if (*word == 'b')
            kl_text_printf(p->out, "@%s", name_of(p, p->g->bodies[*attr++]));
        else
            put_int(p, *attr++);
    }
}

static void put_attrs(printer *p, kl_ref r)
{
    const kl_node *n = &p->g->nodes[r];
    const int64_t *attr = kl_graph_attr(p->g, r);
    if (kl_attr_forms[n->op])
        put_form(p, kl_attr_forms[n->op], attr, n->nattr);
    else if (n->op == KL_OP_const)
        put_const(p, r);
    else if (n->op == KL_OP_contract)
        put_labels(p, attr);
    else if (n->op == KL_OP_call)
        put_call(p, attr);
    else if (n->op == KL_OP_function)
        put_function(p, attr);
}

/* ---- the graph ---- */

/* Of a node: its name in quotes, its place. */
static void put_comment(printer *p, const kl_node *n)
{
    const uint32_t what[] = {n->name, n->place};
    const char *before[] = {"  # \"", n->name == KL_NONE ? "  # " : "\" "};
    for (int i = 0; i < 2; i++) {
        if (what[i] == KL_NONE)
            continue;
        put(p, before[i]);
        for (const char *s = p->g->strings[what[i]]; *s; s++)
            kl_text_putn(p->out, (unsigned char)*s < ' ' ? "?" : s, 1);
    }
    if (n->name != KL_NONE && n->place == KL_NONE)
        put(p, "\"");
}

static void put_node(printer *p, kl_ref r)
{
    const kl_node *n = &p->g->nodes[r];
    new_line(p, "  ");
    put_ref(p, r);
    put(p, ": ");
    put_type(p, r);
    kl_text_printf(p->out, " = %s", kl_ops[n->op].name);
    if (kl_attr_forms[n->op] && *kl_attr_forms[n->op] == '.')
        kl_text_printf(p->out, ".%s", kl_ops[kl_graph_attr(p->g, r)[0]].name);
    for (uint32_t i = 0; i < n->nsrc; i++) {
        if (i)
            comma(p);
        else
            put(p, " ");
        put_ref(p, kl_graph_src(p->g, r, i));
    }
    put_attrs(p, r);
    put_comment(p, n);
}

static void put_inputs(printer *p)
{
    const kl_graph *g = p->g;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        kl_ref r = g->inputs[i];
        if (i)
            comma(p);
        put_ref(p, r);
        put(p, ": ");
        put_type(p, r);
        if (g->nodes[r].nattr == 1)
            continue;
        put(p, " strides [");
        for (uint32_t k = 1; k < g->nodes[r].nattr; k++) {
            put(p, k > 1 ? "," : "");
            kl_dim_print(g->dims, kl_graph_attr(g, r)[k], p->out);
        }
        put(p, "]");
    }
}

static void put_outputs(printer *p)
{
    const kl_graph *g = p->g;
    new_line(p, "  out");
    for (uint32_t i = 0; i < g->noutputs; i++) {
        if (i)
            comma(p);
        else
            put(p, " ");
        put_ref(p, g->outputs[i]);
        if (g->output_names && is_name(g->output_names[i]))
            kl_text_printf(p->out, " as %s", g->output_names[i]);
        if (g->donated && g->donated[i]) {
            put(p, " donates ");
            put_ref(p, g->inputs[g->donated[i] - 1]);
        }
        if (g->counts && g->counts[i].of)
            kl_text_printf(p->out, " counts %d axis %d", g->counts[i].of - 1,
                           g->counts[i].axis);
    }
}

/* The symbols in extents and attributes; attributes below zero that are no extents occur
 * in constants alone. */
static bool *used_symbols(const kl_graph *g)
{
    bool *used =
        kl_arena_zeroed(g->arena, (size_t)kl_dim_sym_count(g->dims) + 1, sizeof *used);
    for (kl_ref r = 0; used && r < g->count; r++) {
        const kl_node *n = &g->nodes[r];
        for (int i = 0; i < n->rank; i++)
            kl_dim_uses(g->dims, kl_graph_shape(g, r)[i], used);
        for (uint32_t i = 0; n->op != KL_OP_const && i < n->nattr; i++)
            kl_dim_uses(g->dims, kl_graph_attr(g, r)[i], used);
    }
    return used;
}

/* Those of the graph, and before them such of later graphs as come before in the table:
 * the parser meets all in the table's order. */
static void put_dims(printer *p, const bool *used)
{
    int64_t min, max, div;
    int last = kl_dim_sym_count(p->g->dims);
    while (last > 0 && !used[last - 1])
        last--;
    for (int i = 0; i < last; i++) {
        bool now = used[i] || p->later[i];
        p->later[i] = false;
        kl_dim_sym_facts(p->g->dims, i, &min, &max, &div);
        if (!now || (min == 0 && max == INT64_C(1) << 40 && div == 1))
            continue;
        new_line(p, "  dim ");
        put(p, kl_dim_sym_name(p->g->dims, i));
        kl_text_printf(p->out, " %lld..%lld", (long long)min, (long long)max);
        if (div != 1)
            kl_text_printf(p->out, " %% %lld", (long long)div);
    }
}

/* Inputs first, then the others in order; names that can be read back, each once. */
static bool number(printer *p)
{
    const kl_graph *g = p->g;
    p->number = kl_arena_alloc(g->arena, (g->count + 1) * sizeof *p->number);
    p->named = kl_arena_zeroed(g->arena, g->count + 1, sizeof *p->named);
    bool *taken = kl_arena_zeroed(g->arena, g->nstrings + 1, sizeof *taken);
    if (!p->number || !p->named || !taken)
        return false;
    for (uint32_t i = 0; i < g->ninputs; i++) {
        uint32_t s = g->nodes[g->inputs[i]].name;
        p->number[g->inputs[i]] = i;
        if (s == KL_NONE || taken[s] || !is_name(g->strings[s]))
            continue;
        p->named[g->inputs[i]] = taken[s] = true;
    }
    uint32_t next = g->ninputs;
    for (kl_ref r = 0; r < g->count; r++)
        if (g->nodes[r].op != KL_OP_input)
            p->number[r] = next++;
    return true;
}

static void print_one(printer *p, const kl_graph *g, const char *name)
{
    p->g = g;
    bool *used = used_symbols(g);
    if (!used || !number(p)) {
        p->out->failed = true;
        return;
    }
    p->line = p->out->len;
    kl_text_printf(p->out, "graph %s(", name);
    put_inputs(p);
    put(p, ") {");
    put_dims(p, used);
    for (kl_ref r = 0; r < g->count; r++)
        if (g->nodes[r].op != KL_OP_input)
            put_node(p, r);
    put_outputs(p);
    put(p, "\n}\n");
}

/* A name for graph i that can be read, and that none before it has. */
static const char *fresh_name(const kl_graph *const *all, const char **name, uint32_t i)
{
    kl_arena *a = all[i]->arena;
    const char *base = all[i]->name;
    if (!is_name(base)) {
        char *s = kl_arena_printf(a, "g_%.200s", base);
        for (char *c = s; c && *c; c++)
            if (!((*c | 32) >= 'a' && (*c | 32) <= 'z') && !(*c >= '0' && *c <= '9'))
                *c = '_';
        base = s;
    }
    name[i] = base;
    for (uint32_t j = 0, k = 2; base && name[i] && j < i; j++)
        if (strcmp(name[j], name[i]) == 0) {
            name[i] = kl_arena_printf(a, "%.240s_%u", base, k++);
            j = KL_NONE; /* from the start */
        }
    return name[i];
}

void kl_graph_print(const kl_graph *g, kl_text *out)
{
    printer p = {.out = out};
    p.all = kl_graph_all(g, &p.nall);
    const char **name = p.all ? kl_arena_alloc(g->arena, p.nall * sizeof *name) : NULL;
    p.name = name;
    p.later = kl_arena_zeroed(g->arena, (size_t)kl_dim_sym_count(g->dims) + 1, 1);
    out->failed |= !name || !p.later;
    for (uint32_t i = 0; !out->failed && i < p.nall; i++) {
        const bool *used = used_symbols(p.all[i]);
        out->failed |= !used;
        for (int k = 0; used && k < kl_dim_sym_count(g->dims); k++)
            p.later[k] |= used[k];
    }
    for (uint32_t i = 0; name && i < p.nall; i++)
        out->failed |= !fresh_name((const kl_graph *const *)p.all, name, i);
    if (out->failed)
        return;
    size_t start = out->len;
    if (g->weights)
        kl_text_printf(out, "weights \"%s\"\n", g->weights);
    for (uint32_t i = 0; i < p.nall; i++)
        print_one(&p, p.all[i], p.name[i]);
    kl_text_wrap(out, start, '#');
}
