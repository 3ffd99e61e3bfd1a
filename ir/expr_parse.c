/* expr_parse.c: expressions, and what else the texts of kernel and loops have in common,
 * parsed. A node is made exactly as written, nothing is folded or reordered:
 * parse(print(x)) is x, and what a test's text says is what the test gets. Passes that
 * rebuild expressions simplify them.
 *
 *   expr    := product (("+" | "-") product)*          i64
 *   product := factor ("*" factor)*                    i64
 *   factor  := literal | name ["[" expr, .. "]"] | row(expr, ..) | f32(expr) |
 * bits_f32(expr) | dim(extent) | load name[expr] | "(" expr ")" | "(" load name[expr] if
 * expr [else expr] ")" */
#include "ir/kernel_text.h"

enum { DEEP = 200 };

static kl_status parse_sum(kl_parser *p, kl_x *out);

static kl_status make(kl_parser *p, const kl_xnode *n, kl_x *out)
{
    *out = kl_x_intern(p->k->x, n);
    return *out == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: expressions") : KL_OK;
}

static kl_status make_row(kl_parser *p, kl_op op, const kl_x *s, int n, kl_x *out)
{
    const kl_xnode *nodes = p->k->x->nodes;
    kl_dtype dt = kl_x_result(p->k->x, op, s, n);
    kl_xnode e = {.op = (uint16_t)op, .dtype = (uint8_t)dt, .nsrc = (uint8_t)n};
    if (dt == KL_DTYPE_NONE)
        return kl_lex_fail(&p->l, "%s does not take %s%s%s%s%s", kl_ops[op].name,
                           kl_dtypes[nodes[s[0]].dtype].name, n > 1 ? ", " : "",
                           n > 1 ? kl_dtypes[nodes[s[1]].dtype].name : "",
                           n > 2 ? ", " : "",
                           n > 2 ? kl_dtypes[nodes[s[2]].dtype].name : "");
    for (int i = 0; i < 3; i++)
        e.src[i] = i < n ? s[i] : KL_NONE;
    return make(p, &e, out);
}

static kl_status want_dtype(kl_parser *p, kl_x e, kl_dtype dt, const char *what)
{
    kl_dtype is = p->k->x->nodes[e].dtype;
    if (is == dt)
        return KL_OK;
    return kl_lex_fail(&p->l, "%s is %s, not %s", what, kl_dtypes[is].name,
                       kl_dtypes[dt].name);
}

/* ---- literals ---- */

static kl_dtype dtype_of(const char *s, size_t n)
{
    for (int i = 0; i < KL_DTYPE_COUNT; i++)
        if (strlen(kl_dtypes[i].name) == n && !memcmp(kl_dtypes[i].name, s, n))
            return (kl_dtype)i;
    return KL_DTYPE_NONE;
}

kl_status kl_parse_dtype(kl_parser *p, kl_dtype *out)
{
    *out = p->l.kind == KL_TOK_NAME ? dtype_of(p->l.tok, p->l.len) : KL_DTYPE_NONE;
    if (*out == KL_DTYPE_NONE || kl_is_complex(*out))
        return kl_lex_fail(&p->l, "expected a dtype, found '%.*s'",
                           (int)KL_MIN(p->l.len, 20), p->l.tok);
    kl_lex_next(&p->l);
    return KL_OK;
}

/* "_f64" right behind a number. */
static kl_status suffix(kl_parser *p, const char *end, kl_dtype *dt)
{
    if (p->l.kind != KL_TOK_NAME || p->l.tok != end || *end != '_')
        return KL_OK;
    *dt = dtype_of(end + 1, p->l.len - 1);
    if (*dt == KL_DTYPE_NONE || kl_is_complex(*dt) || *dt == KL_BOOL)
        return kl_lex_fail(&p->l, "'%.*s' is no dtype of a number",
                           (int)KL_MIN(p->l.len, 20), p->l.tok);
    kl_lex_next(&p->l);
    return KL_OK;
}

static kl_status put_float(kl_parser *p, kl_dtype dt, double v, kl_x *out)
{
    if (!kl_is_float(dt))
        return kl_lex_fail(&p->l, "a number with a point is no %s", kl_dtypes[dt].name);
    *out = kl_x_const(p->k->x, dt, kl_scalar_from(dt, v));
    return *out == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: expressions") : KL_OK;
}

static bool fits(kl_dtype dt, int64_t v, bool minus)
{
    unsigned bits = 8u * kl_dtypes[dt].size;
    bool is_signed = kl_dtypes[dt].cls == KL_CLS_SINT;
    if (bits == 64) /* v is the bits of a number up to 2^64 - 1, perhaps negated */
        return is_signed ? minus ? v <= 0 : v >= 0 : !minus || v == 0;
    int64_t hi = INT64_C(1) << (is_signed ? bits - 1 : bits), lo = is_signed ? -hi : 0;
    return v >= lo && v < hi && (minus ? v <= 0 : v >= 0);
}

static kl_status number(kl_parser *p, bool minus, kl_x *out)
{
    bool is_float = p->l.kind == KL_TOK_FLOAT;
    kl_dtype dt = is_float ? KL_F32 : KL_I64;
    const char *end = p->l.tok + p->l.len;
    double f = minus ? -p->l.fval : p->l.fval;
    int64_t v = (int64_t)(minus ? 0 - (uint64_t)p->l.ival : (uint64_t)p->l.ival);
    kl_lex_next(&p->l);
    KL_TRY(suffix(p, end, &dt));
    if (is_float)
        return put_float(p, dt, f, out);
    if (kl_is_float(dt))
        return put_float(p, dt, (double)v, out);
    if (!fits(dt, v, minus))
        return kl_lex_fail(&p->l, "the number does not fit %s", kl_dtypes[dt].name);
    *out = kl_x_const(p->k->x, dt, (kl_scalar){.i64 = v});
    return *out == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: expressions") : KL_OK;
}

/* inf_f64, nan_f16: one token. Others: not a literal. */
static bool named_float(const kl_parser *p, kl_dtype *dt, double *v)
{
    const char *s = p->l.tok;
    if (p->l.len < 5 || (strncmp(s, "inf_", 4) && strncmp(s, "nan_", 4)))
        return false;
    *dt = dtype_of(s + 4, p->l.len - 4);
    *v = *s == 'i' ? __builtin_inf() : __builtin_nan("");
    return *dt != KL_DTYPE_NONE && kl_is_float(*dt);
}

static kl_status negative(kl_parser *p, kl_x *out)
{
    kl_dtype dt;
    double v;
    if (p->l.kind == KL_TOK_INT || p->l.kind == KL_TOK_FLOAT)
        return number(p, true, out);
    if (p->l.kind != KL_TOK_NAME || !named_float(p, &dt, &v))
        return kl_lex_fail(&p->l,
                           "'-' stands before a number; of an expression, neg(..)");
    kl_lex_next(&p->l);
    return put_float(p, dt, -v, out);
}

/* ---- names ---- */

const kl_named *kl_parse_find(const kl_parser *p, const char *name, size_t len)
{
    for (uint32_t i = p->nnames; i-- > 0;)
        if (!strncmp(p->names[i].name, name, len) && !p->names[i].name[len])
            return &p->names[i];
    return NULL;
}

kl_status kl_parse_name(kl_parser *p, kl_named *as, const char **copy)
{
    KL_TRY(kl_arena_grow(p->arena, &p->names, &p->cap_names, p->nnames + 1,
                         sizeof *p->names));
    p->names[p->nnames++] = *as;
    if (copy && !(*copy = kl_arena_strdup(p->arena, as->name)))
        return kl_fail(KL_ERR_OOM, "out of memory: names");
    return KL_OK;
}

kl_status kl_parse_let(kl_parser *p)
{
    kl_named as = {.kind = KL_N_EXPR};
    KL_TRY(kl_lex_name(&p->l, as.name, sizeof as.name));
    KL_TRY(kl_lex_want(&p->l, "="));
    KL_TRY(kl_parse_expr(p, &as.e));
    return kl_parse_name(p, &as, NULL);
}

kl_status kl_parse_operand_name(kl_parser *p, uint32_t *out)
{
    kl_name name;
    KL_TRY(kl_lex_name(&p->l, name, sizeof name));
    for (*out = 0; *out < p->k->noperands; ++*out)
        if (!strcmp(p->k->operands[*out].name, name))
            return KL_OK;
    return kl_lex_fail(&p->l, "no operand is called %s", name);
}

kl_status kl_parse_exprs(kl_parser *p, const char *close, kl_x *out, int *n)
{
    *n = 0;
    do {
        if (*n == 3)
            return kl_lex_fail(&p->l, "more than three expressions");
        KL_TRY(kl_parse_expr(p, &out[(*n)++]));
    } while (kl_lex_take(&p->l, ","));
    return kl_lex_want(&p->l, close);
}

/* A register or stage with its indices: right behind the name. */
static kl_status indexed(kl_parser *p, const kl_named *as, kl_x *out)
{
    kl_xnode n = {.op = as->kind == KL_N_REG ? KL_X_REG : KL_X_STAGE,
                  .dtype = (uint8_t)as->dtype};
    int count = 0, want = as->kind == KL_N_REG ? p->k->regs[as->index].ndims : -1;
    kl_name name;
    memcpy(name, as->name, sizeof name);
    n.imm = as->index;
    n.src[0] = n.src[1] = n.src[2] = KL_NONE;
    if (kl_lex_take(&p->l, "["))
        KL_TRY(kl_parse_exprs(p, "]", n.src, &count));
    for (int i = 0; i < count; i++)
        KL_TRY(want_dtype(p, n.src[i], KL_I64, "an index"));
    if (want >= 0 && count != want && count)
        return kl_lex_fail(&p->l, "%s has %d dimensions, not %d", name, want, count);
    n.nsrc = (uint8_t)count;
    return make(p, &n, out);
}

static kl_status call_row(kl_parser *p, kl_op op, kl_x *out)
{
    kl_x s[3];
    int n;
    KL_TRY(kl_parse_exprs(p, ")", s, &n));
    if (n != kl_ops[op].arity)
        return kl_lex_fail(&p->l, "%s takes %d operands, not %d", kl_ops[op].name,
                           kl_ops[op].arity, n);
    return make_row(p, op, s, n, out);
}

static kl_status call_cast(kl_parser *p, kl_op op, kl_dtype dt, kl_x *out)
{
    kl_x s;
    KL_TRY(kl_parse_expr(p, &s));
    KL_TRY(kl_lex_want(&p->l, ")"));
    kl_xnode from = p->k->x->nodes[s];
    kl_xnode n = {.op = (uint16_t)op,
                  .dtype = (uint8_t)dt,
                  .nsrc = 1,
                  .src = {s, KL_NONE, KL_NONE}};
    if (op == KL_OP_bitcast && kl_dtypes[from.dtype].size != kl_dtypes[dt].size)
        return kl_lex_fail(&p->l, "the bits of %s are not as many as those of %s",
                           kl_dtypes[from.dtype].name, kl_dtypes[dt].name);
    if (op != KL_OP_bitcast || from.op != KL_X_CONST)
        return make(p, &n, out);
    *out =
        kl_x_const(p->k->x, dt, (kl_scalar){.bits = from.imm}); /* a NaN, spelled out */
    return *out == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: expressions") : KL_OK;
}

/* NAME "(": a row, a cast, or an extent. */
static kl_status call(kl_parser *p, const char *s, size_t len, kl_x *out)
{
    kl_dim d;
    kl_dtype dt = dtype_of(s, len);
    int op = kl_op_find(s, len);
    if (len == 3 && !memcmp(s, "dim", 3)) {
        KL_TRY(kl_dim_parse(p->k->x->dims, &p->l, &d));
        KL_TRY(kl_lex_want(&p->l, ")"));
        *out = kl_x_dim(p->k->x, d);
        return *out == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: expressions")
                               : KL_OK;
    }
    if (dt != KL_DTYPE_NONE && !kl_is_complex(dt))
        return call_cast(p, KL_OP_cast, dt, out);
    if (len > 5 && !memcmp(s, "bits_", 5) &&
        (dt = dtype_of(s + 5, len - 5)) != KL_DTYPE_NONE)
        return call_cast(p, KL_OP_bitcast, dt, out);
    if (op < 0 || kl_ops[op].kind != KL_KIND_ELT || kl_ops[op].rule == KL_RULE_OWN)
        return kl_lex_fail(&p->l, "no row of expressions is called %.*s",
                           (int)KL_MIN(len, 40), s);
    return call_row(p, (kl_op)op, out);
}

static kl_status word(kl_parser *p, kl_x *out)
{
    const char *s = p->l.tok;
    size_t len = p->l.len;
    double v;
    kl_dtype dt;
    bool literal = named_float(p, &dt, &v), truth = kl_lex_is(&p->l, "true");
    bool is_bool = truth || kl_lex_is(&p->l, "false");
    kl_lex_next(&p->l);
    if (kl_lex_take(&p->l, "("))
        return call(p, s, len, out);
    if (literal)
        return put_float(p, dt, v, out);
    if (is_bool) {
        *out = kl_x_bool(p->k->x, truth);
        return *out == KL_NONE ? kl_fail(KL_ERR_OOM, "out of memory: expressions")
                               : KL_OK;
    }
    const kl_named *as = kl_parse_find(p, s, len);
    if (!as)
        return kl_lex_fail(&p->l, "nothing is called %.*s", (int)KL_MIN(len, 40), s);
    if (as->kind != KL_N_EXPR)
        return indexed(p, as, out);
    *out = as->e;
    return KL_OK;
}

/* ---- loads and precedence ---- */

static kl_status parse_load(kl_parser *p, kl_x *out)
{
    uint32_t o;
    kl_x at;
    KL_TRY(kl_parse_operand_name(p, &o));
    KL_TRY(kl_lex_want(&p->l, "["));
    KL_TRY(kl_parse_expr(p, &at));
    KL_TRY(kl_lex_want(&p->l, "]"));
    KL_TRY(want_dtype(p, at, KL_I64, "an index"));
    kl_xnode n = {
        .op = KL_X_LOAD, .dtype = (uint8_t)p->k->operands[o].dtype, .nsrc = 1, .imm = o};
    n.src[0] = at;
    n.src[1] = n.src[2] = KL_NONE;
    return make(p, &n, out);
}

/* After "(": an expression, or a load with its condition. */
static kl_status parenthesis(kl_parser *p, kl_x *out)
{
    KL_TRY(kl_parse_expr(p, out));
    kl_xnode n = p->k->x->nodes[*out];
    if (n.op == KL_X_LOAD && n.nsrc == 1 && kl_lex_take(&p->l, "if")) {
        KL_TRY(kl_parse_expr(p, &n.src[n.nsrc++]));
        KL_TRY(want_dtype(p, n.src[1], KL_BOOL, "a condition"));
        if (kl_lex_take(&p->l, "else")) {
            KL_TRY(kl_parse_expr(p, &n.src[n.nsrc++]));
            KL_TRY(want_dtype(p, n.src[2], n.dtype, "the other value"));
        }
        KL_TRY(make(p, &n, out));
    }
    return kl_lex_want(&p->l, ")");
}

static kl_status factor(kl_parser *p, kl_x *out)
{
    if (p->l.kind == KL_TOK_INT || p->l.kind == KL_TOK_FLOAT)
        return number(p, false, out);
    if (kl_lex_take(&p->l, "-"))
        return negative(p, out);
    if (kl_lex_take(&p->l, "("))
        return parenthesis(p, out);
    if (kl_lex_take(&p->l, "load"))
        return parse_load(p, out);
    if (p->l.kind == KL_TOK_NAME)
        return word(p, out);
    return kl_lex_fail(&p->l, "expected an expression, found '%.*s'",
                       (int)KL_MIN(p->l.len, 40), p->l.tok);
}

static kl_status infix(kl_parser *p, kl_op op, kl_x a, kl_x b, kl_x *out)
{
    KL_TRY(want_dtype(p, a, KL_I64, "what stands before + - *"));
    KL_TRY(want_dtype(p, b, KL_I64, "what stands after + - *"));
    return make_row(p, op, (kl_x[]){a, b}, 2, out);
}

static kl_status product(kl_parser *p, kl_x *out)
{
    kl_x b;
    KL_TRY(factor(p, out));
    while (kl_lex_take(&p->l, "*")) {
        KL_TRY(factor(p, &b));
        KL_TRY(infix(p, KL_OP_mul, *out, b, out));
    }
    return KL_OK;
}

static kl_status parse_sum(kl_parser *p, kl_x *out)
{
    kl_x b;
    KL_TRY(product(p, out));
    for (;;) {
        bool minus = kl_lex_is(&p->l, "-");
        if (!minus && !kl_lex_is(&p->l, "+"))
            return KL_OK;
        kl_lex_next(&p->l);
        KL_TRY(product(p, &b));
        KL_TRY(infix(p, minus ? KL_OP_sub : KL_OP_add, *out, b, out));
    }
}

kl_status kl_parse_expr(kl_parser *p, kl_x *out)
{
    if (p->nest >= DEEP)
        return kl_lex_fail(&p->l,
                           "an expression is nested too deep: name its parts by let");
    p->nest++;
    KL_TRY(parse_sum(p, out));
    p->nest--;
    return KL_OK;
}

/* ---- heads, symbols, operands ---- */

kl_status kl_parse_word(kl_parser *p, const char *const *words, int n, const char *what,
                        int *out)
{
    for (*out = 0; *out < n; ++*out)
        if (p->l.kind == KL_TOK_NAME && kl_lex_take(&p->l, words[*out]))
            return KL_OK;
    return kl_lex_fail(&p->l, "expected %s, found '%.*s'", what,
                       (int)KL_MIN(p->l.len, 40), p->l.tok);
}

kl_status kl_parse_head(kl_parser *p, const char *what, kl_name rest)
{
    kl_name name;
    *rest = 0;
    KL_TRY(kl_lex_want(&p->l, what));
    KL_TRY(kl_lex_name(&p->l, name, sizeof name));
    p->k->name = kl_arena_strdup(p->arena, name);
    if (kl_lex_take(&p->l, "for")) {
        const char *from = p->l.tok, *end = from;
        while (p->l.kind != KL_TOK_END && !kl_lex_is(&p->l, "{")) {
            end = p->l.tok + p->l.len;
            kl_lex_next(&p->l);
        }
        if (end - from >= KL_NAME_MAX)
            return kl_lex_fail(&p->l, "'%.20s..' is no target", from);
        memcpy(rest, from, (size_t)(end - from));
        rest[end - from] = 0;
    }
    return kl_lex_want(&p->l, "{");
}

static kl_status parse_dim(kl_parser *p)
{
    kl_dims *d = p->k->x->dims;
    kl_name name;
    int64_t min = 0, max = INT64_C(1) << 40, by = 1;
    KL_TRY(kl_lex_name(&p->l, name, sizeof name));
    kl_dim s = kl_dim_sym(d, kl_arena_strdup(p->arena, name));
    if (p->l.kind == KL_TOK_INT) {
        KL_TRY(kl_lex_int(&p->l, &min));
        KL_TRY(kl_lex_want(&p->l, ".."));
        KL_TRY(kl_lex_int(&p->l, &max));
    }
    if (kl_lex_take(&p->l, "%"))
        KL_TRY(kl_lex_int(&p->l, &by));
    if (min < 0 || max < min || by < 1)
        return kl_lex_fail(&p->l, "dim %s has impossible bounds", name);
    kl_dim_sym_bound(d, s, min, max, by);
    return KL_OK;
}

static kl_status parse_operand(kl_parser *p, int role)
{
    kl_operand o = {.role = (kl_role)role, .node = KL_NONE};
    kl_name name;
    uint32_t same;
    KL_TRY(kl_lex_name(&p->l, name, sizeof name));
    for (uint32_t i = 0; i < p->k->noperands; i++)
        if (!strcmp(p->k->operands[i].name, name))
            return kl_lex_fail(&p->l, "two operands are called %s", name);
    o.name = kl_arena_strdup(p->arena, name);
    KL_TRY(kl_lex_want(&p->l, ":"));
    KL_TRY(kl_parse_dtype(p, &o.dtype));
    KL_TRY(kl_lex_want(&p->l, "["));
    KL_TRY(kl_dim_parse(p->k->x->dims, &p->l, &o.count));
    KL_TRY(kl_lex_want(&p->l, "]"));
    if (kl_lex_take(&p->l, "low"))
        KL_TRY(kl_dim_parse(p->k->x->dims, &p->l, &o.low));
    if (kl_lex_take(&p->l, "lane"))
        o.scope = KL_SCOPE_LANE;
    if (kl_lex_take(&p->l, "inplace")) {
        KL_TRY(kl_parse_operand_name(p, &same));
        o.inplace = same + 1;
    }
    return kl_kernel_operand(p->k, &o) == KL_NONE
               ? kl_fail(KL_ERR_OOM, "out of memory: operands")
               : KL_OK;
}

kl_status kl_parse_operands(kl_parser *p)
{
    static const char *const roles[] = {"in", "out", "temp", "tile"};
    while (kl_lex_take(&p->l, "dim"))
        KL_TRY(parse_dim(p));
    for (;;) {
        int role = 0;
        while (role < 4 && !kl_lex_is(&p->l, roles[role]))
            role++;
        if (role == 4)
            return KL_OK;
        kl_lex_next(&p->l);
        KL_TRY(parse_operand(p, role));
    }
}

kl_status kl_parse_check(kl_parser *p, int32_t *kind, kl_x *ok, kl_x *value,
                         uint32_t *node)
{
    int fault;
    int64_t n;
    *value = *node = KL_NONE;
    KL_TRY(kl_parse_word(p, kl_fault_names, KL_NFAULTS, "a kind of fault", &fault));
    *kind = fault;
    KL_TRY(kl_parse_expr(p, ok));
    KL_TRY(want_dtype(p, *ok, KL_BOOL, "a condition"));
    if (kl_lex_take(&p->l, "value")) {
        KL_TRY(kl_parse_expr(p, value));
        KL_TRY(want_dtype(p, *value, KL_I64, "the value of a check"));
    }
    if (kl_lex_take(&p->l, "node")) {
        KL_TRY(kl_lex_int(&p->l, &n));
        *node = (uint32_t)n;
    }
    return KL_OK;
}
