/* kernel_parse.c: a kernel's algorithm and schedule from its text (GRAMMAR.md,
 * kernel_text.c). Axes come into being where they are first named; an axis named again
 * must have the same extent. What is written is what is made: nothing is simplified. */
#include "ir/kernel_text.h"
#include "ir/kernel_forms.h"

enum { MANY = 256 /* stages of a part, parts, stores of a stage */ };

/* ---- axes ---- */

static kl_status find_axis(kl_parser *p, const char *name, int *out)
{
    for (*out = 0; (uint32_t)*out < p->k->naxes; ++*out)
        if (!strcmp(p->k->axes[*out].name, name))
            return KL_OK;
    return kl_lex_fail(&p->l, "no axis is called %s", name);
}

static kl_status declare(kl_parser *p, const char *name, kl_dim extent, kl_axis_kind kind,
                         uint16_t *out)
{
    uint32_t i = 0;
    kl_named as = {.kind = KL_N_EXPR};
    while (i < p->k->naxes && strcmp(p->k->axes[i].name, name))
        i++;
    if (i < p->k->naxes && p->k->axes[i].extent != extent)
        return kl_lex_fail(&p->l, "axis %s has two extents", name);
    if (i == p->k->naxes)
        i = kl_kernel_axis(p->k, kl_arena_strdup(p->arena, name), extent, kind);
    if (i >= UINT16_MAX)
        return kl_fail(KL_ERR_OOM, "out of memory: axes");
    *out = (uint16_t)i;
    memcpy(as.name, name, strlen(name) + 1);
    as.e = kl_x_var(p->k->x, i);
    return kl_parse_name(p, &as, NULL);
}

static bool ends_axes(const kl_lex *l)
{
    static const char *const words[] = {"of", "over", "store", "check", "let", "}"};
    for (size_t i = 0; i < KL_COUNT(words); i++)
        if (kl_lex_is(l, words[i]))
            return true;
    return l->kind != KL_TOK_NAME;
}

static kl_status parse_axes(kl_parser *p, kl_axis_kind kind, uint16_t *axes, int *n)
{
    kl_name name;
    kl_dim extent;
    if (ends_axes(&p->l))
        return KL_OK;
    do {
        KL_TRY(kl_lex_name(&p->l, name, sizeof name));
        KL_TRY(kl_lex_want(&p->l, ":"));
        KL_TRY(kl_dim_parse(p->k->x->dims, &p->l, &extent));
        if (*n == KL_MAX_RANK)
            return kl_lex_fail(&p->l, "more than %d axes", KL_MAX_RANK);
        KL_TRY(declare(p, name, extent, kind, &axes[(*n)++]));
    } while (kl_lex_take(&p->l, ","));
    return KL_OK;
}

/* ---- stages ---- */

/* "reduce.add", "contract.dot", "sort": one token. */
static kl_status parse_kind(kl_parser *p, kl_stage *s)
{
    const char *t = p->l.tok,
               *dot = p->l.kind == KL_TOK_NAME ? memchr(t, '.', p->l.len) : NULL;
    size_t base = dot ? (size_t)(dot - t) : p->l.len,
           rest = dot ? p->l.len - base - 1 : 0;
    int kind = 0, op = -1;
    while (kind < KL_NSTAGES && (strlen(kl_stage_names[kind]) != base ||
                                 memcmp(kl_stage_names[kind], t, base)))
        kind++;
    if (p->l.kind != KL_TOK_NAME || kind == KL_NSTAGES)
        return kl_lex_fail(&p->l, "expected a stage, found '%.*s'",
                           (int)KL_MIN(p->l.len, 40), t);
    s->kind = (kl_stage_kind)kind;
    s->dot = s->kind == KL_STAGE_CONTRACT && rest == 3 && !memcmp(dot + 1, "dot", 3);
    if (kl_stage_combines(s->kind)) {
        bool set = s->kind == KL_STAGE_SCATTER && rest == 3 && !memcmp(dot + 1, "set", 3);
        op = set ? KL_SET : dot ? kl_op_find(dot + 1, rest) : -1;
        if (op < 0 || (!set && !(kl_ops[op].flags & KL_F_RED)))
            return kl_lex_fail(&p->l, "%.*s does not combine", (int)KL_MIN(p->l.len, 40),
                               t);
        s->combine = (kl_op)op;
    } else if (dot && !s->dot) {
        return kl_lex_fail(&p->l, "expected a stage, found '%.*s'",
                           (int)KL_MIN(p->l.len, 40), t);
    }
    kl_lex_next(&p->l);
    s->descending = s->kind == KL_STAGE_SORT && kl_lex_take(&p->l, "descending");
    if (s->kind == KL_STAGE_SORT && kl_lex_take(&p->l, "first"))
        KL_TRY(kl_lex_int(&p->l, &s->first));
    return KL_OK;
}

static kl_status parse_stage_axes(kl_parser *p, kl_stage *s)
{
    bool scan = s->kind >= KL_STAGE_PREFIX, reduces = kl_stage_reduces(s->kind);
    kl_axis_kind first = reduces ? KL_AXIS_REDUCE : scan ? KL_AXIS_SCAN : KL_AXIS_FREE;
    int n = 0;
    KL_TRY(parse_axes(p, first, s->axes, &n));
    s->nfree = n;
    if (kl_lex_take(&p->l, "over")) {
        for (int i = 0; i < n && reduces; i++)
            p->k->axes[s->axes[i]].kind = KL_AXIS_FREE;
        KL_TRY(parse_axes(p, KL_AXIS_REDUCE, s->axes, &n));
    } else if (reduces) {
        s->nfree = 0;
    }
    s->nreduce = n - s->nfree;
    return KL_OK;
}

static kl_status parse_value(kl_parser *p, kl_stage *s)
{
    while (kl_lex_take(&p->l, "let"))
        KL_TRY(kl_parse_let(p));
    KL_TRY(kl_lex_want(&p->l, "of"));
    KL_TRY(kl_parse_expr(p, &s->value));
    if (kl_lex_take(&p->l, "times"))
        KL_TRY(kl_parse_expr(p, &s->rhs));
    return KL_OK;
}

static kl_status parse_store(kl_parser *p, kl_store *s)
{
    KL_TRY(kl_parse_operand_name(p, &s->operand));
    KL_TRY(kl_lex_want(&p->l, "["));
    KL_TRY(kl_parse_expr(p, &s->index));
    KL_TRY(kl_lex_want(&p->l, "]"));
    KL_TRY(kl_lex_want(&p->l, "="));
    KL_TRY(kl_parse_expr(p, &s->value));
    s->pred = KL_NONE;
    if (kl_lex_take(&p->l, "if"))
        KL_TRY(kl_parse_expr(p, &s->pred));
    return KL_OK;
}

static kl_status grow(kl_parser *p, void *items, int n, size_t size)
{
    uint32_t cap = n ? (uint32_t)n : 0;
    if (n >= MANY)
        return kl_lex_fail(&p->l, "more than %d", MANY);
    if (n & (n - 1)) /* room is made at powers of two */
        return KL_OK;
    return kl_arena_grow(p->arena, items, &cap, KL_MAX((uint32_t)n * 2, 1), size);
}

static kl_status parse_lines(kl_parser *p, kl_stage *s)
{
    for (;;) {
        if (kl_lex_take(&p->l, "let")) {
            KL_TRY(kl_parse_let(p));
        } else if (kl_lex_take(&p->l, "store")) {
            KL_TRY(grow(p, &s->stores, s->nstores, sizeof *s->stores));
            KL_TRY(parse_store(p, &s->stores[s->nstores++]));
        } else if (kl_lex_take(&p->l, "check")) {
            KL_TRY(grow(p, &s->checks, s->nchecks, sizeof *s->checks));
            kl_check *c = &s->checks[s->nchecks++];
            KL_TRY(kl_parse_check(p, &c->kind, &c->ok, &c->value, &c->node));
        } else {
            return s->value == KL_NONE && !s->nstores && !s->nchecks
                       ? kl_lex_fail(&p->l, "a stage that gives and stores nothing")
                       : KL_OK;
        }
    }
}

/* A name is declared only after its stage: a stage reads earlier ones. */
static kl_status parse_stage(kl_parser *p, kl_stage *s, uint32_t number)
{
    kl_named as = {.kind = KL_N_STAGE, .index = number};
    kl_lex ahead = p->l;
    *s = (kl_stage){
        .value = KL_NONE, .rhs = KL_NONE, .node = KL_NONE, .combine = KL_OP_add};
    kl_lex_next(&ahead);
    bool named = p->l.kind == KL_TOK_NAME && kl_lex_is(&ahead, ":");
    if (named) {
        KL_TRY(kl_lex_name(&p->l, as.name, sizeof as.name));
        KL_TRY(kl_lex_want(&p->l, ":"));
        KL_TRY(kl_parse_dtype(p, &s->dtype));
        KL_TRY(kl_lex_want(&p->l, "="));
    }
    KL_TRY(parse_kind(p, s));
    KL_TRY(parse_stage_axes(p, s));
    if (named)
        KL_TRY(parse_value(p, s));
    as.dtype = s->dtype;
    KL_TRY(named ? kl_parse_name(p, &as, NULL) : KL_OK); /* its own lines may store it */
    return parse_lines(p, s);
}

static kl_status parse_part(kl_parser *p, kl_part *t)
{
    uint32_t names = p->nnames;
    KL_TRY(kl_lex_want(&p->l, "{"));
    if (kl_lex_take(&p->l, "outer"))
        KL_TRY(parse_axes(p, KL_AXIS_FREE, t->outer, &t->nouter));
    while (!kl_lex_take(&p->l, "}")) {
        KL_TRY(grow(p, &t->stages, t->nstages, sizeof *t->stages));
        KL_TRY(parse_stage(p, &t->stages[t->nstages], (uint32_t)t->nstages));
        t->nstages++;
    }
    p->nnames = names;
    return KL_OK;
}

/* ---- the schedule ---- */

static kl_status parse_decision(kl_parser *p)
{
    kl_decision d = {.axis = -1};
    kl_name name;
    int kind, bind;
    int64_t v = 0;
    KL_TRY(kl_parse_word(p, kl_dec_names, KL_NDECS, "a decision", &kind));
    d.kind = (kl_dec_kind)kind;
    if (kind == KL_DEC_CLASS || kind == KL_DEC_PARAM) {
        KL_TRY(kl_lex_name(&p->l, name, sizeof name));
        d.name = kl_arena_strdup(p->arena, name);
    }
    bool has_axis = kind == KL_DEC_SPLIT || kind == KL_DEC_BIND || kind == KL_DEC_ORDER;
    bool next =
        kind != KL_DEC_CLASS && p->l.kind == KL_TOK_NAME && !kl_lex_is(&p->l, "part");
    if (has_axis || next) {
        KL_TRY(kl_lex_name(&p->l, name, sizeof name));
        KL_TRY(find_axis(p, name, &d.axis));
    }
    if (kind == KL_DEC_BIND) {
        KL_TRY(kl_parse_word(p, kl_bind_names, KL_NBINDS, "a binding", &bind));
        d.bind = (kl_bind)bind;
    } else if (kind != KL_DEC_CLASS && kind != KL_DEC_ORDER) {
        KL_TRY(kl_lex_int(&p->l, &d.factor));
    }
    if (kl_lex_take(&p->l, "part"))
        KL_TRY(kl_lex_int(&p->l, &v));
    d.part = (int)v;
    KL_TRY(kl_arena_grow(p->arena, &p->k->schedule, &p->k->cap_decisions,
                         p->k->ndecisions + 1, sizeof d));
    p->k->schedule[p->k->ndecisions++] = d;
    return KL_OK;
}

static kl_status parse_kernel(kl_parser *p)
{
    kl_name target;
    KL_TRY(kl_parse_head(p, "kernel", target));
    if (*target && !(p->k->target = kl_target_find(target)))
        return kl_lex_fail(&p->l, "no target is called %s", target);
    KL_TRY(kl_parse_operands(p));
    p->k->control = kl_lex_is(&p->l, "control");
    if (kl_lex_take(&p->l, "call") || kl_lex_take(&p->l, "control")) {
        if (p->l.kind != KL_TOK_STRING)
            return kl_lex_fail(&p->l, "%s: expected a name in quotes",
                               p->k->control ? "control" : "call");
        p->k->call = kl_arena_printf(p->arena, "%.*s", (int)p->l.len, p->l.tok);
        kl_lex_next(&p->l);
    }
    if (kl_lex_take(&p->l, "when"))
        KL_TRY(kl_dim_parse(p->k->x->dims, &p->l, &p->k->when));
    while (kl_lex_take(&p->l, "part")) {
        kl_part t = {0};
        KL_TRY(grow(p, &p->k->parts, p->k->nparts, sizeof t));
        KL_TRY(parse_part(p, &t));
        p->k->parts[p->k->nparts++] = t;
    }
    if (kl_lex_take(&p->l, "schedule")) {
        KL_TRY(kl_lex_want(&p->l, "{"));
        while (!kl_lex_take(&p->l, "}"))
            KL_TRY(parse_decision(p));
    }
    KL_TRY(kl_lex_want(&p->l, "}"));
    return p->l.kind == KL_TOK_END ? KL_OK
                                   : kl_lex_fail(&p->l, "something follows the kernel");
}

kl_status kl_kernel_parse(kl_arena *a, const char *file, const char *text,
                          kl_kernel **out)
{
    kl_parser p = {.arena = a};
    kl_lex_init(&p.l, file, text);
    p.k = kl_kernel_new(a, NULL, "kernel");
    if (!p.k)
        return kl_fail(KL_ERR_OOM, "out of memory: kernel");
    KL_TRY(parse_kernel(&p));
    if (kl_arena_failed(a))
        return kl_fail(KL_ERR_OOM, "out of memory: kernel");
    *out = p.k;
    return KL_OK;
}
