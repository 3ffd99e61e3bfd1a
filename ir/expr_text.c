/* expr_text.c: expressions, and what else the texts of kernel and loops have in common,
 * printed.
 *
 *   store y[r*64+c] = div(exp(sub(load x[r*64+c], m)), s)
 *
 * An expression that its statement uses twice, or that makes a line too long, is named by
 * a line before the statement, so the text is linear in the program and never nests deep:
 *
 *   let t0 = load x[r*64+c]
 *   store y[r*64+c] = mul(t0, t0)
 *
 * The text is the key of the kernel cache: it depends on the program alone, and lies on
 * the path of every compile, so numbers and names are put without printf. */
#include "ir/kernel_text.h"

enum { LINE = 48 /* nodes of an expression on one line */ };

const char *const kl_bind_names[] = {"serial", "worker", "group", "lane",
                                     "vector", "matrix", "unroll"};
const char *const kl_fault_names[] = {"none", "index", "bounds", "check"};
_Static_assert(KL_COUNT(kl_bind_names) == KL_NBINDS, "a name a binding");
_Static_assert(KL_COUNT(kl_fault_names) == KL_NFAULTS, "a name a fault");

void kl_print_int(kl_text *t, int64_t v)
{
    char buf[24], *p = buf + sizeof buf;
    uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;
    do
        *--p = (char)('0' + u % 10);
    while (u /= 10);
    if (v < 0)
        *--p = '-';
    kl_text_putn(t, p, (size_t)(buf + sizeof buf - p));
}

/* ---- names ---- */

static bool letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool digit(char c)
{
    return c >= '0' && c <= '9';
}

/* At most 47 characters of it, all of which a name may have. */
static size_t clean(const char *from, char *to)
{
    size_t n = 0;
    if (!from || !letter(*from))
        to[n++] = '_';
    for (; from && *from && n < 47; from++) {
        bool dot = *from == '.' && n && (letter(from[1]) || digit(from[1]));
        to[n++] = letter(*from) || digit(*from) || dot ? *from : '_';
    }
    to[n] = 0;
    return n;
}

void kl_print_name(kl_text *t, const char *name)
{
    kl_name s;
    kl_text_putn(t, s, clean(name, s));
}

/* Names that mean something else in an expression: lets, stages, words, literals. */
static bool reserved(const char *s)
{
    static const char *const words[] = {"load", "true", "false", "inf", "nan"};
    for (size_t i = 0; i < KL_COUNT(words); i++)
        if (!strcmp(s, words[i]))
            return true;
    if (!strncmp(s, "inf_", 4) || !strncmp(s, "nan_", 4))
        return true;
    if (s[0] != 't' && s[0] != 's')
        return false;
    const char *p = s + 1;
    while (digit(*p))
        p++;
    return p > s + 1 && !*p;
}

static uint32_t hash_name(const char *s)
{
    uint32_t h = 2166136261u;
    while (*s)
        h = (h ^ (unsigned char)*s++) * 16777619u;
    return h ^ h >> 15;
}

/* Is it taken? If not, it is now. */
static bool taken(const kl_printer *p, uint32_t *table, uint32_t cap, uint32_t name)
{
    uint32_t i = hash_name(p->names[name]) & (cap - 1);
    for (; table[i]; i = (i + 1) & (cap - 1))
        if (!strcmp(p->names[table[i] - 1], p->names[name]))
            return true;
    table[i] = name + 1;
    return false;
}

static void settle(kl_printer *p, uint32_t *table, uint32_t cap, uint32_t i,
                   const char *name)
{
    size_t n = clean(name, p->names[i]);
    bool again = i < p->operand0 && reserved(p->names[i]);
    if (again && (p->names[i][0] == 'i' || p->names[i][0] == 'n')) { /* inf, nan_.. */
        char safe[KL_NAME_MAX + 2];
        snprintf(safe, sizeof safe, "v_%s", p->names[i]);
        n = clean(safe, p->names[i]);
        again = false;
    }
    for (int k = 1; again || taken(p, table, cap, i); k++) {
        snprintf(p->names[i] + n, KL_NAME_MAX - n, "_%d", k);
        again = false;
    }
}

/* Operands in a key are numbered: kernels that differ in their tensors' names are one. */
static void key_name(char *to, uint32_t n)
{
    char *p = to + 12;
    *--p = 0;
    do
        *--p = (char)('0' + n % 10);
    while (n /= 10);
    *--p = 'a';
    memmove(to, p, (size_t)(to + 12 - p));
}

/* The user's tensors keep their names; a counter that has the same one is changed. */
static bool name_all(kl_printer *p)
{
    uint32_t cap = 16;
    while (cap < p->nnames * 2)
        cap *= 2;
    uint32_t *table = kl_alloc_zeroed(cap * sizeof *table);
    if (!table)
        return false;
    for (uint32_t i = p->operand0; i < p->nnames && !p->key; i++)
        settle(p, table, cap, i, p->k->operands[i - p->operand0].name);
    for (uint32_t i = 0; i < p->reg0; i++)
        settle(p, table, cap, i, p->x->var_name[i]);
    for (uint32_t i = p->reg0; i < p->operand0; i++)
        settle(p, table, cap, i, p->k->regs[i - p->reg0].name);
    for (uint32_t i = p->operand0; i < p->nnames && p->key; i++)
        key_name(p->names[i], i - p->operand0);
    kl_free(table, cap * sizeof *table);
    return true;
}

bool kl_printer_open(kl_printer *p, const kl_exprs *x, const kl_kernel *k, bool key,
                     kl_text *out)
{
    *p = (kl_printer){.x = x, .k = k, .key = key, .out = out, .reg0 = x->nvars};
    p->operand0 = p->reg0 + (k ? k->nregs : 0);
    p->nnames = p->operand0 + (k ? k->noperands : 0);
    p->names = kl_alloc((p->nnames + 1) * sizeof *p->names);
    p->failed = !p->names || !name_all(p);
    return !p->failed;
}

void kl_printer_close(kl_printer *p)
{
    if (p->failed)
        p->out->failed = true;
    if (p->names)
        kl_free(p->names, (p->nnames + 1) * sizeof *p->names);
    if (p->notes)
        kl_free(p->notes, p->cap_notes * sizeof *p->notes);
    kl_xlist_free(&p->order);
}

/* ---- expressions ---- */

static void put(kl_printer *p, const char *s)
{
    kl_text_put(p->out, s);
}

static void put_slot(kl_printer *p, uint32_t first, uint32_t end, uint64_t i,
                     const char *letter)
{
    if (i < end - first) {
        put(p, p->names[first + i]);
        return;
    }
    put(p, letter);
    kl_print_int(p->out, (int64_t)i);
}

static void put_uint(kl_text *t, uint64_t v)
{
    if (v >> 63) {
        kl_print_int(t, (int64_t)(v / 10));
        v %= 10;
    }
    kl_print_int(t, (int64_t)v);
}

static void put_suffix(kl_printer *p, kl_dtype dt)
{
    put(p, "_");
    put(p, kl_dtypes[dt].name);
}

/* A NaN other than the usual one is its bits. */
static void put_float(kl_printer *p, kl_dtype dt, uint64_t bits)
{
    static const kl_dtype same_size[] = {[2] = KL_U16, [4] = KL_U32, [8] = KL_U64};
    double v = kl_scalar_to_double(dt, (kl_scalar){.bits = bits});
    uint64_t usual = kl_scalar_from(dt, __builtin_nan("")).bits;
    if (v != v && (usual ^ bits) << (64 - 8u * kl_dtypes[dt].size)) {
        put(p, "bits");
        put_suffix(p, dt);
        put(p, "(");
        put_uint(p->out, bits);
        put_suffix(p, same_size[kl_dtypes[dt].size]);
        put(p, ")");
        return;
    }
    kl_text_put_float(p->out, dt, v);
    if (dt != KL_F32)
        put_suffix(p, dt);
}

static void put_const(kl_printer *p, const kl_xnode *n)
{
    kl_dtype dt = n->dtype;
    if (dt == KL_BOOL) {
        put(p, n->imm ? "true" : "false");
        return;
    }
    if (kl_is_float(dt)) {
        put_float(p, dt, n->imm);
        return;
    }
    unsigned spare = 64 - 8u * kl_dtypes[dt].size;
    if (kl_dtypes[dt].cls == KL_CLS_UINT)
        put_uint(p->out, n->imm);
    else
        kl_print_int(p->out, (int64_t)(n->imm << spare) >> spare);
    if (dt != KL_I64)
        put_suffix(p, dt);
}

static void put_node(kl_printer *p, kl_x a, int tight);

static void put_list(kl_printer *p, const kl_xnode *n, const char *open,
                     const char *close)
{
    put(p, open);
    for (int i = 0; i < n->nsrc; i++) {
        if (i)
            put(p, ", ");
        put_node(p, n->src[i], 0);
    }
    put(p, close);
}

static void put_load(kl_printer *p, const kl_xnode *n)
{
    put(p, n->nsrc > 1 ? "(load " : "load ");
    put_slot(p, p->operand0, p->nnames, n->imm, "x");
    put(p, "[");
    put_node(p, n->src[0], 0);
    put(p, "]");
    if (n->nsrc > 1) {
        put(p, " if ");
        put_node(p, n->src[1], 0);
    }
    if (n->nsrc > 2) {
        put(p, " else ");
        put_node(p, n->src[2], 0);
    }
    if (n->nsrc > 1)
        put(p, ")");
}

/* tight: 1 as a factor (or after a sign), 2 as a right factor. */
static void put_infix(kl_printer *p, const kl_xnode *n, int tight)
{
    bool product = n->op == KL_OP_mul, paren = tight > (int)product;
    if (paren)
        put(p, "(");
    put_node(p, n->src[0], product ? 1 : 0);
    put(p, product ? "*" : n->op == KL_OP_add ? "+" : "-");
    put_node(p, n->src[1], product ? 2 : 1);
    if (paren)
        put(p, ")");
}

static void put_whole(kl_printer *p, const kl_xnode *n, int tight)
{
    bool infix = n->op == KL_OP_add || n->op == KL_OP_sub || n->op == KL_OP_mul;
    switch (n->op) {
    case KL_X_CONST:
        put_const(p, n);
        return;
    case KL_X_VAR:
        put_slot(p, 0, p->reg0, n->imm, "v");
        return;
    case KL_X_DIM:
        put(p, "dim(");
        kl_dim_print(p->x->dims, (kl_dim)n->imm, p->out);
        put(p, ")");
        return;
    case KL_X_LOAD:
        put_load(p, n);
        return;
    case KL_X_STAGE:
        put(p, "s");
        kl_print_int(p->out, (int64_t)n->imm);
        break;
    case KL_X_REG:
        put_slot(p, p->reg0, p->operand0, n->imm, "r");
        break;
    default:
        if (infix && n->dtype == KL_I64) {
            put_infix(p, n, tight);
            return;
        }
        if (n->op == KL_OP_bitcast)
            put(p, "bits_");
        put(p, kl_ops[n->op].kind == KL_KIND_CAST ? kl_dtypes[n->dtype].name
                                                  : kl_ops[n->op].name);
        put_list(p, n, "(", ")");
        return;
    }
    if (n->nsrc)
        put_list(p, n, "[", "]");
}

static void put_node(kl_printer *p, kl_x a, int tight)
{
    const kl_xnote *note = &p->notes[p->x->info[a].pos];
    if (note->let != KL_NONE) {
        put(p, "t");
        kl_print_int(p->out, note->let);
        return;
    }
    put_whole(p, &p->x->nodes[a], tight);
}

void kl_print_expr(kl_printer *p, kl_x a)
{
    if (a == KL_NONE)
        put(p, "nothing");
    else if (!p->failed)
        put_node(p, a, 0);
}

void kl_print_line(kl_printer *p)
{
    static const char spaces[] = "                                ";
    put(p, "\n");
    p->line += p->line != 0;
    kl_text_putn(p->out, spaces, (size_t)KL_MIN(p->indent * 2, 32));
}

static bool make_notes(kl_printer *p, uint32_t n)
{
    if (n <= p->cap_notes)
        return true;
    uint32_t cap = KL_MAX(n * 2, 64);
    kl_xnote *t = kl_realloc(p->notes, p->cap_notes * sizeof *t, cap * sizeof *t);
    if (!t)
        return false;
    p->notes = t;
    p->cap_notes = cap;
    return true;
}

static void count_uses(kl_printer *p, const kl_x *roots, int n)
{
    for (uint32_t i = 0; i < p->order.count; i++) {
        kl_x a = p->order.items[i];
        p->x->info[a].pos = i;
        p->notes[i] = (kl_xnote){.size = 1, .let = KL_NONE};
        for (int j = 0; j < p->x->nodes[a].nsrc; j++)
            p->notes[p->x->info[p->x->nodes[a].src[j]].pos].uses++;
    }
    for (int i = 0; i < n; i++)
        if (roots[i] != KL_NONE)
            p->notes[p->x->info[roots[i]].pos].uses++;
}

void kl_print_lets(kl_printer *p, const kl_x *roots, int n)
{
    uint32_t epoch = 0, lets = 0;
    p->order.count = 0;
    for (int i = 0; i < n && !p->failed; i++)
        p->failed = kl_x_order_more(p->x, roots[i], &epoch, &p->order) != KL_OK;
    p->failed = p->failed || !make_notes(p, p->order.count);
    if (p->failed)
        return;
    count_uses(p, roots, n);
    for (uint32_t i = 0; i < p->order.count; i++) {
        const kl_xnode *e = &p->x->nodes[p->order.items[i]];
        kl_xnote *note = &p->notes[i];
        for (int j = 0; j < e->nsrc; j++)
            note->size += p->notes[p->x->info[e->src[j]].pos].size;
        if (!e->nsrc || (note->uses < 2 && note->size <= LINE))
            continue;
        kl_print_line(p);
        put(p, "let t");
        kl_print_int(p->out, lets);
        put(p, " = ");
        put_whole(p, e, 0);
        note->let = lets++;
        note->size = 1;
    }
}

void kl_x_print(const kl_exprs *x, kl_x a, const kl_kernel *k, kl_text *out)
{
    kl_printer p;
    if (kl_printer_open(&p, x, k, false, out)) {
        size_t start = out->len;
        kl_print_lets(&p, &a, 1);
        if (out->len > start)
            kl_print_line(&p);
        kl_print_expr(&p, a);
    }
    kl_printer_close(&p);
}

/* ---- operands, symbols, checks ---- */

void kl_print_dims(kl_printer *p, const bool *syms)
{
    const kl_dims *d = p->x->dims;
    for (int i = 0; i < kl_dim_sym_count(d); i++) {
        int64_t min, max, by;
        kl_dim_sym_facts(d, i, &min, &max, &by);
        if (!syms[i] || (min == 0 && max == INT64_C(1) << 40 && by == 1))
            continue;
        kl_print_line(p);
        put(p, "dim ");
        put(p, kl_dim_sym_name(d, i));
        put(p, " ");
        kl_print_int(p->out, min);
        put(p, "..");
        kl_print_int(p->out, max);
        if (by != 1) {
            put(p, " % ");
            kl_print_int(p->out, by);
        }
    }
}

static void put_operand(kl_printer *p, uint32_t i)
{
    static const char *const roles[] = {"in ", "out ", "temp ", "tile "};
    const kl_operand *o = &p->k->operands[i];
    kl_print_line(p);
    put(p, roles[o->role]);
    put(p, p->names[p->operand0 + i]);
    put(p, ": ");
    put(p, kl_dtypes[o->dtype].name);
    put(p, "[");
    kl_dim_print(p->x->dims, o->count, p->out);
    put(p, "]");
    if (o->low) {
        put(p, " low ");
        kl_dim_print(p->x->dims, o->low, p->out);
    }
    if (o->scope == KL_SCOPE_LANE)
        put(p, " lane");
    if (o->inplace) {
        put(p, " inplace ");
        put(p, p->names[p->operand0 + o->inplace - 1]);
    }
    if (p->key || !o->shape || (o->rank == 1 && o->shape[0] == o->count))
        return;
    put(p, "  # ");
    kl_type t = {.dtype = o->dtype, .rank = (uint8_t)o->rank};
    memcpy(t.shape, o->shape, (size_t)o->rank * sizeof *t.shape);
    kl_type_print(p->x->dims, &t, p->out);
}

void kl_print_operands(kl_printer *p, bool *syms)
{
    for (uint32_t i = 0; i < p->k->noperands; i++) {
        kl_dim_uses(p->x->dims, p->k->operands[i].count, syms);
        kl_dim_uses(p->x->dims, p->k->operands[i].low, syms);
    }
    kl_print_dims(p, syms);
    for (uint32_t i = 0; i < p->k->noperands; i++)
        put_operand(p, i);
}

void kl_print_check(kl_printer *p, int32_t kind, kl_x ok, kl_x value, uint32_t node)
{
    kl_print_lets(p, (kl_x[]){ok, value}, 2);
    kl_print_line(p);
    put(p, "check ");
    put(p, kl_fault_names[kind >= 0 && kind < KL_NFAULTS ? kind : 0]);
    put(p, " ");
    kl_print_expr(p, ok);
    if (value != KL_NONE) {
        put(p, " value ");
        kl_print_expr(p, value);
    }
    if (node != KL_NONE) {
        put(p, " node ");
        kl_print_int(p->out, node);
    }
}
