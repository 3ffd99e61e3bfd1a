/* loops_text.c: the text of loops, printed and parsed (GRAMMAR.md). The printed text is
 * complete: two kernels of one text make one object, so the hash of the text without
 * what is for readers alone is their key in the cache.
 *
 *   loops rows for x86-64-v4 {
 *     in x: f32[64*B]
 *     out y: f32[B]
 *     phase r: B grain 16 group 1 lane 1 {
 *       reg acc: f32 lanes 32
 *       set acc = -inf
 *       for c: 64 lane 32 {
 *         set acc = max(acc, load x[r*64+c])
 *       }
 *       .. */
#include "ir/kernel_text.h"

/* ---- printing ---- */

static void put_list(kl_printer *p, const kl_stmt *s);

static void put(kl_printer *p, const char *s)
{
    kl_text_put(p->out, s);
}

static void put_int(kl_printer *p, const char *word, int64_t v)
{
    put(p, word);
    kl_print_int(p->out, v);
}

static void put_body(kl_printer *p, const kl_stmt *body)
{
    put(p, " {");
    p->indent++;
    put_list(p, body);
    p->indent--;
    kl_print_line(p);
    put(p, "}");
}

/* A register with its indices; all are among the statement's expressions. */
static void put_target(kl_printer *p, const kl_stmt *s)
{
    put(p, s->reg < p->k->nregs ? p->names[p->reg0 + s->reg] : "nothing");
    for (int i = 0; i < 3 && s->index[i] != KL_NONE; i++) {
        put(p, i ? ", " : "[");
        kl_print_expr(p, s->index[i]);
    }
    if (s->index[0] != KL_NONE)
        put(p, "]");
}

static void put_for(kl_printer *p, const kl_stmt *s)
{
    put(p, "for ");
    put(p, s->var < p->reg0 ? p->names[s->var] : "nothing");
    put(p, ": ");
    kl_print_expr(p, s->extent);
    put(p, " ");
    put(p, kl_bind_names[s->bind]);
    if (s->lanes)
        put_int(p, " ", s->lanes);
    put_body(p, s->body);
}

static void put_if(kl_printer *p, const kl_stmt *s)
{
    put(p, "if ");
    kl_print_expr(p, s->value);
    put_body(p, s->body);
    if (s->other) {
        put(p, " else");
        put_body(p, s->other);
    }
}

static void put_reg(kl_printer *p, const kl_stmt *s)
{
    put(p, "reg ");
    if (s->reg >= p->k->nregs)
        return;
    const kl_reg *r = &p->k->regs[s->reg];
    put(p, p->names[p->reg0 + s->reg]);
    put(p, ": ");
    put(p, kl_dtypes[r->dtype].name);
    for (int i = 0; i < r->ndims; i++)
        put_int(p, i ? "," : "[", r->dims[i]);
    if (r->ndims)
        put(p, "]");
    if (r->lanes != 1)
        put_int(p, " lanes ", r->lanes);
}

static void put_set(kl_printer *p, const kl_stmt *s)
{
    put(p, s->kind == KL_S_SET ? "set " : "fold ");
    put_target(p, s);
    put(p, " = ");
    if (s->kind == KL_S_FOLD) {
        put(p, kl_ops[s->combine].name);
        put(p, " ");
    }
    kl_print_expr(p, s->value);
}

static void put_store(kl_printer *p, const kl_stmt *s)
{
    put(p, "store ");
    put(p, s->operand < p->k->noperands ? p->names[p->operand0 + s->operand] : "nothing");
    put(p, "[");
    kl_print_expr(p, s->at);
    put(p, "] = ");
    kl_print_expr(p, s->value);
    if (s->pred != KL_NONE) {
        put(p, " if ");
        kl_print_expr(p, s->pred);
    }
}

static void put_note(kl_printer *p, const char *note)
{
    put(p, "note \"");
    for (; note && *note; note++)
        kl_text_putn(p->out, *note == '"' || (unsigned char)*note < 32 ? "'" : note, 1);
    put(p, "\"");
}

/* The user's line, where it is another one than before. */
static void put_place(kl_printer *p, const kl_stmt *s)
{
    if (p->key || !s->place || s->place == p->place)
        return;
    p->place = s->place;
    kl_print_line(p);
    put(p, "# ");
    put(p, s->place);
}

static void put_stmt(kl_printer *p, const kl_stmt *s)
{
    kl_x e[6];
    put_place(p, s);
    if (s->kind == KL_S_CHECK) {
        kl_print_check(p, s->fault, s->value, s->at, s->node);
        return;
    }
    kl_print_lets(p, e, kl_stmt_exprs(s, e));
    kl_print_line(p);
    if (p->line)
        ((kl_stmt *)s)->line = p->line; /* kl_loops_lines owns it */
    switch (s->kind) {
    case KL_S_FOR:
        put_for(p, s);
        break;
    case KL_S_IF:
        put_if(p, s);
        break;
    case KL_S_REG:
        put_reg(p, s);
        break;
    case KL_S_SET:
    case KL_S_FOLD:
        put_set(p, s);
        break;
    case KL_S_STORE:
        put_store(p, s);
        break;
    case KL_S_TURN:
        put(p, "turn ");
        put(p, s->reg < p->k->nregs ? p->names[p->reg0 + s->reg] : "nothing");
        break;
    case KL_S_BARRIER:
        put(p, "barrier");
        break;
    case KL_S_NOTE:
        put_note(p, s->note);
        break;
    case KL_S_CHECK:
    case KL_S_COUNT:
        break;
    }
}

static void put_list(kl_printer *p, const kl_stmt *s)
{
    for (; s; s = s->next)
        put_stmt(p, s);
}

static void put_phase(kl_printer *p, const kl_phase *ph)
{
    kl_print_line(p);
    if (p->line)
        ((kl_phase *)ph)->line = p->line;
    put(p, "phase ");
    put(p, p->names[ph->var]);
    put(p, ": ");
    kl_dim_print(p->x->dims, ph->workers, p->out);
    put_int(p, " grain ", ph->grain);
    put_int(p, " group ", ph->group);
    put_int(p, " lane ", ph->lane);
    put_body(p, ph->body);
}

/* The symbols of workers and of expressions; operands mark their own. */
static bool mark_syms(const kl_kernel *k, bool *syms)
{
    kl_xlist list;
    kl_status s = kl_kernel_exprs(k, &list);
    for (int p = 0; p < k->nphases; p++)
        kl_dim_uses(k->x->dims, k->phases[p].workers, syms);
    for (uint32_t i = 0; i < list.count; i++) {
        const kl_xnode *n = &k->x->nodes[list.items[i]];
        if (n->op == KL_X_DIM)
            kl_dim_uses(k->x->dims, (kl_dim)n->imm, syms);
    }
    kl_xlist_free(&list);
    return s == KL_OK;
}

/* line: 0, or the number of the line that this begins; *last: that of the last. */
static void print(const kl_kernel *k, bool key, uint32_t line, uint32_t *last,
                  kl_text *out)
{
    kl_printer p;
    size_t nsyms = (size_t)kl_dim_sym_count(k->x->dims) + 1;
    bool *syms = kl_alloc_zeroed(nsyms);
    bool ok = kl_printer_open(&p, k->x, k, key, out) && syms;
    p.failed = !ok || (nsyms > 1 && !mark_syms(k, syms));
    p.line = line;
    if (!p.failed) {
        put(&p, "loops ");
        kl_print_name(out, k->name);
        if (k->target) {
            put(&p, " for ");
            put(&p, k->target->name);
        }
        put(&p, " {");
        p.indent = 1;
        kl_print_operands(&p, syms);
        for (int i = 0; i < k->nphases; i++)
            put_phase(&p, &k->phases[i]);
        put(&p, "\n}\n");
    }
    if (syms)
        kl_free(syms, nsyms);
    if (last)
        *last = p.line + 1; /* its closing brace */
    kl_printer_close(&p);
}

void kl_loops_print(const kl_kernel *k, kl_text *out)
{
    size_t start = out->len;
    kl_print_head(k, out);
    print(k, false, 0, NULL, out);
    kl_text_wrap(out, start, '#');
}

void kl_loops_key(const kl_kernel *k, kl_text *out)
{
    print(k, true, 0, NULL, out);
}

uint32_t kl_loops_lines(kl_kernel *k, uint32_t line, kl_text *out)
{
    size_t start = out->len;
    kl_print_head(k, out);
    for (size_t i = start; i < out->len; i++)
        line += out->s[i] == '\n';
    print(k, false, line + 1, &line, out);
    return line;
}

/* ---- parsing ---- */

static kl_status parse_body(kl_parser *p, kl_build b);

/* The extent of a loop as its variable's: a number, an extent, or what the range allows.
 */
static kl_dim extent_of(const kl_parser *p, kl_x e)
{
    const kl_xnode *n = &p->k->x->nodes[e];
    int64_t lo, hi;
    if (n->op == KL_X_DIM)
        return (kl_dim)n->imm;
    kl_x_range(p->k->x, e, &lo, &hi);
    return KL_MAX(hi, 0);
}

static kl_status new_var(kl_parser *p, kl_dim extent, const char *name, uint32_t *var)
{
    *var = kl_x_newvar(p->k->x, name, extent);
    p->names[p->nnames - 1].e = kl_x_var(p->k->x, *var);
    return *var == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: loops") : KL_OK;
}

/* The name stands before the extent, but is not yet one in it. */
static kl_status parse_for(kl_parser *p, kl_build *b)
{
    kl_name name;
    const char *copy;
    kl_x extent;
    int bind;
    int64_t lanes = 0;
    uint32_t var;
    KL_TRY(kl_lex_name(&p->l, name, sizeof name));
    KL_TRY(kl_lex_want(&p->l, ":"));
    KL_TRY(kl_parse_expr(p, &extent));
    if (p->k->x->nodes[extent].dtype != KL_I64)
        return kl_lex_fail(&p->l, "the extent of %s is no i64", name);
    KL_TRY(kl_parse_word(p, kl_bind_names, KL_NBINDS, "a binding", &bind));
    if (p->l.kind == KL_TOK_INT)
        KL_TRY(kl_lex_int(&p->l, &lanes));
    if (lanes < 0 || lanes > 1024 || (bind == KL_BIND_LANE && !lanes))
        return kl_lex_fail(&p->l, "lanes of %s: %ld, not 1 to 1024", name, (long)lanes);
    kl_named as = {.kind = KL_N_EXPR};
    uint32_t names = p->nnames;
    memcpy(as.name, name, sizeof name);
    KL_TRY(kl_parse_name(p, &as, &copy));
    KL_TRY(new_var(p, extent_of(p, extent), copy, &var));
    KL_TRY(parse_body(p, kl_b_for(b, var, extent, (kl_bind)bind, (int32_t)lanes)));
    p->nnames = names;
    return KL_OK;
}

static kl_status parse_if(kl_parser *p, kl_build *b)
{
    kl_x cond;
    KL_TRY(kl_parse_expr(p, &cond));
    KL_TRY(parse_body(p, kl_b_if(b, cond)));
    return kl_lex_take(&p->l, "else") ? parse_body(p, kl_b_else(b)) : KL_OK;
}

static kl_status parse_reg(kl_parser *p, kl_build *b)
{
    kl_named as = {.kind = KL_N_REG};
    const char *copy;
    int32_t dims[3];
    int n = 0;
    int64_t v, lanes = 1;
    KL_TRY(kl_lex_name(&p->l, as.name, sizeof as.name));
    KL_TRY(kl_lex_want(&p->l, ":"));
    KL_TRY(kl_parse_dtype(p, &as.dtype));
    if (kl_lex_take(&p->l, "["))
        do {
            KL_TRY(kl_lex_int(&p->l, &v));
            if (n == 3 || v < 1 || v > 4096)
                return kl_lex_fail(&p->l,
                                   "register %s: three dimensions at most, of 1 to 4096",
                                   as.name);
            dims[n++] = (int32_t)v;
        } while (kl_lex_take(&p->l, ","));
    if (n)
        KL_TRY(kl_lex_want(&p->l, "]"));
    if (kl_lex_take(&p->l, "lanes"))
        KL_TRY(kl_lex_int(&p->l, &lanes));
    if (lanes < 1 || lanes > 1024)
        return kl_lex_fail(&p->l, "register %s: %ld lanes, not 1 to 1024", as.name,
                           (long)lanes);
    as.index = p->k->nregs;
    KL_TRY(kl_parse_name(p, &as, &copy));
    if (kl_b_reg(b, copy, as.dtype, (int32_t)lanes, n, dims) == KL_NONE)
        return kl_fail(KL_ERR_OOM, "out of memory: loops");
    return KL_OK;
}

/* REG ["[" exprs "]"] as a KL_X_REG. */
static kl_status parse_target(kl_parser *p, kl_x *out)
{
    KL_TRY(kl_parse_expr(p, out));
    if (p->k->x->nodes[*out].op != KL_X_REG)
        return kl_lex_fail(&p->l, "expected a register");
    return kl_lex_want(&p->l, "=");
}

static kl_status parse_set(kl_parser *p, kl_build *b)
{
    kl_x reg, value;
    KL_TRY(parse_target(p, &reg));
    KL_TRY(kl_parse_expr(p, &value));
    if (p->k->x->nodes[reg].dtype != p->k->x->nodes[value].dtype)
        return kl_lex_fail(&p->l, "set: the register is %s, the value %s",
                           kl_dtypes[p->k->x->nodes[reg].dtype].name,
                           kl_dtypes[p->k->x->nodes[value].dtype].name);
    kl_b_set(b, reg, value);
    return KL_OK;
}

static kl_status parse_fold(kl_parser *p, kl_build *b)
{
    kl_x dst, src;
    KL_TRY(parse_target(p, &dst));
    int op = p->l.kind == KL_TOK_NAME ? kl_op_find(p->l.tok, p->l.len) : -1;
    if (op < 0 || !(kl_ops[op].flags & KL_F_RED))
        return kl_lex_fail(&p->l, "fold: '%.*s' does not combine",
                           (int)KL_MIN(p->l.len, 20), p->l.tok);
    kl_lex_next(&p->l);
    KL_TRY(kl_parse_expr(p, &src));
    if (p->k->x->nodes[src].op != KL_X_REG ||
        p->k->x->nodes[src].dtype != p->k->x->nodes[dst].dtype)
        return kl_lex_fail(&p->l, "fold: its source is no register of the same dtype");
    kl_b_fold(b, dst, (kl_op)op, src);
    return KL_OK;
}

static kl_status parse_store(kl_parser *p, kl_build *b)
{
    uint32_t o;
    kl_x at, value, pred = KL_NONE;
    KL_TRY(kl_parse_operand_name(p, &o));
    KL_TRY(kl_lex_want(&p->l, "["));
    KL_TRY(kl_parse_expr(p, &at));
    KL_TRY(kl_lex_want(&p->l, "]"));
    KL_TRY(kl_lex_want(&p->l, "="));
    KL_TRY(kl_parse_expr(p, &value));
    if (kl_lex_take(&p->l, "if"))
        KL_TRY(kl_parse_expr(p, &pred));
    const kl_xnode *n = p->k->x->nodes;
    if (n[at].dtype != KL_I64 || n[value].dtype != p->k->operands[o].dtype ||
        (pred != KL_NONE && n[pred].dtype != KL_BOOL))
        return kl_lex_fail(&p->l,
                           "store %s: index, value or condition of the wrong dtype",
                           p->k->operands[o].name);
    kl_b_store(b, o, at, value, pred);
    return KL_OK;
}

static kl_status parse_turn(kl_parser *p, kl_build *b)
{
    const kl_named *n =
        p->l.kind == KL_TOK_NAME ? kl_parse_find(p, p->l.tok, p->l.len) : NULL;
    if (!n || n->kind != KL_N_REG)
        return kl_lex_fail(&p->l, "expected a register");
    kl_lex_next(&p->l);
    kl_b_turn(b, n->index);
    return KL_OK;
}

static kl_status parse_barrier(kl_parser *p, kl_build *b)
{
    (void)p;
    kl_b_barrier(b);
    return KL_OK;
}

static kl_status parse_check(kl_parser *p, kl_build *b)
{
    int32_t kind;
    kl_x ok, value;
    uint32_t node;
    KL_TRY(kl_parse_check(p, &kind, &ok, &value, &node));
    kl_b_check(b, ok, kind, node, value);
    return KL_OK;
}

static kl_status parse_note(kl_parser *p, kl_build *b)
{
    if (p->l.kind != KL_TOK_STRING)
        return kl_lex_fail(&p->l, "note: expected a string");
    kl_stmt *s = kl_b_put(b, kl_stmt_new(p->k, KL_S_NOTE));
    if (s)
        s->note = kl_arena_printf(p->arena, "%.*s", (int)p->l.len, p->l.tok);
    kl_lex_next(&p->l);
    return KL_OK;
}

static kl_status parse_let(kl_parser *p, kl_build *b)
{
    (void)b;
    return kl_parse_let(p);
}

static const struct {
    const char *word;
    kl_status (*fn)(kl_parser *p, kl_build *b);
} statements[] = {
    {"for", parse_for},         {"if", parse_if},     {"reg", parse_reg},
    {"let", parse_let},         {"set", parse_set},   {"store", parse_store},
    {"fold", parse_fold},       {"turn", parse_turn}, {"check", parse_check},
    {"barrier", parse_barrier}, {"note", parse_note}};

static kl_status parse_stmt(kl_parser *p, kl_build *b)
{
    for (size_t i = 0; i < KL_COUNT(statements); i++)
        if (p->l.kind == KL_TOK_NAME && kl_lex_take(&p->l, statements[i].word))
            return statements[i].fn(p, b);
    return kl_lex_fail(&p->l, "expected a statement, found '%.*s'",
                       (int)KL_MIN(p->l.len, 40), p->l.tok);
}

/* Names of a body end with it. */
static kl_status parse_body(kl_parser *p, kl_build b)
{
    uint32_t names = p->nnames;
    if (++p->nest > 48)
        return kl_lex_fail(&p->l, "loops are nested deeper than 48");
    KL_TRY(kl_lex_want(&p->l, "{"));
    while (!kl_lex_is(&p->l, "}"))
        KL_TRY(parse_stmt(p, &b));
    kl_lex_next(&p->l);
    p->nest--;
    p->nnames = names;
    return KL_OK;
}

static kl_status parse_phase(kl_parser *p, kl_phase *ph)
{
    kl_named as = {.kind = KL_N_EXPR};
    const char *copy;
    int64_t group, lane;
    uint32_t names = p->nnames;
    KL_TRY(kl_lex_name(&p->l, as.name, sizeof as.name));
    KL_TRY(kl_lex_want(&p->l, ":"));
    KL_TRY(kl_dim_parse(p->k->x->dims, &p->l, &ph->workers));
    KL_TRY(kl_lex_want(&p->l, "grain"));
    KL_TRY(kl_lex_int(&p->l, &ph->grain));
    KL_TRY(kl_lex_want(&p->l, "group"));
    KL_TRY(kl_lex_int(&p->l, &group));
    KL_TRY(kl_lex_want(&p->l, "lane"));
    KL_TRY(kl_lex_int(&p->l, &lane));
    if (group < 1 || group > 64 || lane < 1 || lane > 1024)
        return kl_lex_fail(&p->l,
                           "a block of %ld groups of %ld lanes; at most 64 of 1024",
                           (long)group, (long)lane);
    ph->group = (int32_t)group;
    ph->lane = (int32_t)lane;
    KL_TRY(kl_parse_name(p, &as, &copy));
    KL_TRY(new_var(p, ph->workers, copy, &ph->var));
    KL_TRY(parse_body(p, (kl_build){p->k, &ph->body}));
    p->nnames = names;
    return KL_OK;
}

static kl_status parse_loops(kl_parser *p)
{
    kl_name target;
    enum { PHASES = 64 };
    KL_TRY(kl_parse_head(p, "loops", target));
    if (*target && !(p->k->target = kl_target_find(target)))
        return kl_lex_fail(&p->l, "no target is called %s", target);
    KL_TRY(kl_parse_operands(p));
    p->k->phases = kl_arena_zeroed(p->arena, PHASES, sizeof *p->k->phases);
    if (!p->k->phases)
        return kl_fail(KL_ERR_OOM, "out of memory: loops");
    while (kl_lex_take(&p->l, "phase")) {
        if (p->k->nphases == PHASES)
            return kl_lex_fail(&p->l, "more than %d phases", PHASES);
        KL_TRY(parse_phase(p, &p->k->phases[p->k->nphases++]));
    }
    KL_TRY(kl_lex_want(&p->l, "}"));
    return p->l.kind == KL_TOK_END ? KL_OK
                                   : kl_lex_fail(&p->l, "something follows the loops");
}

kl_status kl_loops_parse(kl_arena *a, const char *file, const char *text, kl_kernel **out)
{
    kl_parser p = {.arena = a};
    kl_lex_init(&p.l, file, text);
    p.k = kl_kernel_new(a, NULL, "loops");
    if (!p.k)
        return kl_fail(KL_ERR_OOM, "out of memory: loops");
    KL_TRY(parse_loops(&p));
    if (kl_arena_failed(a))
        return kl_fail(KL_ERR_OOM, "out of memory: loops");
    *out = p.k;
    return KL_OK;
}
