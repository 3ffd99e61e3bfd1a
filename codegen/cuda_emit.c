/* cuda_emit.c: a lowered kernel as CUDA C: one function a phase.
 *
 *   phase w: 24 group 4 lane 32 { .. }   ->   extern "C" __global__ void
 *                                             __launch_bounds__(128) softmax_0(const f32
 * *a0, f32 *y0, i64 *error) { .. }
 *
 * Parameters are the operands that are not tiles, then the launch's extents, then the
 * error word: 8 bytes each. Tiles lie in the block's dynamic shared memory. Here also:
 * frames, names and extents, which the other cuda_*.c build on. */
#include "codegen/cuda_emit.h"

#include <ctype.h>
#include <stdarg.h>

enum { COLUMNS = 100 };

void kl_cc_fail(kl_cc *e, kl_status s, const char *what)
{
    if (e->status == KL_OK)
        e->status = kl_fail(s, "%s: kernel %s: %s", e->d->name, e->k->name, what);
}

/* ---- frames ---- */

kl_cc_frame *kl_cc_top(kl_cc *e)
{
    return &e->frames[e->depth - 1];
}

kl_cc_frame *kl_cc_push(kl_cc *e, bool braces, bool cond, bool fixed, const uint8_t *sets)
{
    if (e->depth == KL_CC_FRAMES) {
        kl_cc_fail(e, KL_ERR_UNSUPPORTED, "statements nested too deep");
        e->depth--; /* nothing will be printed from here on */
    }
    int indent = e->depth ? kl_cc_top(e)->indent : 0;
    e->frames[e->depth] = (kl_cc_frame){
        .indent = indent + braces, .cond = cond, .fixed = fixed, .sets = sets};
    return &e->frames[e->depth++];
}

static void put_lines(kl_text *t, int indent, const char *s)
{
    while (*s) {
        size_t n = strcspn(s, "\n");
        for (int i = 0; i < indent && *s != '#'; i++)
            kl_text_put(t, "    ");
        kl_text_putn(t, s, n);
        kl_text_put(t, "\n");
        s += n + (s[n] == '\n');
    }
}

void kl_cc_pop(kl_cc *e, const char *head, const char *tail)
{
    kl_cc_frame *f = &e->frames[--e->depth], *up = kl_cc_top(e);
    for (kl_cc_val *v = f->vals; v; v = v->next)
        if (e->head[v->x] == v)
            e->head[v->x] = v->prev;
    if (head)
        put_lines(&up->text, up->indent, head);
    kl_text_putn(&up->text, f->text.s ? f->text.s : "", f->text.len);
    if (tail)
        put_lines(&up->text, up->indent, tail);
    up->text.failed |= f->text.failed;
    kl_text_free(&f->text);
}

void kl_cc_line(kl_cc *e, int level, const char *fmt, ...)
{
    kl_text t = {0};
    char line[512];
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
    if (n < 0 || (size_t)n >= sizeof line)
        kl_cc_fail(e, KL_ERR_INTERNAL, "a line too long");
    else
        put_lines(&e->frames[level].text, e->frames[level].indent, line);
    if (e->frames[level].text.failed)
        kl_cc_fail(e, KL_ERR_OOM, "no memory for text");
    kl_text_free(&t);
}

static void changed(kl_cc *e, uint32_t *stamp)
{
    *stamp = ++e->stamp;
}

void kl_cc_touch_reg(kl_cc *e, uint32_t reg)
{
    changed(e, &e->reg_stamp[reg % 64]);
}

void kl_cc_touch_mem(kl_cc *e, uint32_t operand)
{
    changed(e, &e->mem_stamp[operand % 64]);
}

void kl_cc_touch(kl_cc *e, const uint8_t *sets)
{
    for (uint32_t i = 0; i < e->k->nregs; i++)
        if (sets[i])
            kl_cc_touch_reg(e, i);
    for (uint32_t i = 0; i < e->k->noperands; i++)
        if (sets[e->k->nregs + i])
            kl_cc_touch_mem(e, i);
}

/* ---- names ---- */

/* Words that mean something to C++, CUDA or the prelude. */
static const char *const reserved[] = {
    "alignas",      "alignof",  "and",       "and_eq",   "asm",        "auto",
    "bitand",       "bitor",    "bool",      "break",    "case",       "catch",
    "char",         "class",    "compl",     "const",    "const_cast", "constexpr",
    "continue",     "decltype", "default",   "delete",   "do",         "double",
    "dynamic_cast", "else",     "enum",      "explicit", "export",     "extern",
    "false",        "float",    "for",       "friend",   "goto",       "if",
    "inline",       "int",      "long",      "mutable",  "namespace",  "new",
    "noexcept",     "not",      "not_eq",    "nullptr",  "operator",   "or",
    "or_eq",        "private",  "protected", "public",   "register",   "reinterpret_cast",
    "return",       "short",    "signed",    "sizeof",   "static",     "static_assert",
    "static_cast",  "struct",   "switch",    "template", "this",       "thread_local",
    "throw",        "true",     "try",       "typedef",  "typeid",     "typename",
    "union",        "unsigned", "using",     "virtual",  "void",       "volatile",
    "wchar_t",      "while",    "xor",       "xor_eq",   "i8",         "u8",
    "i16",          "u16",      "i32",       "u32",      "i64",        "u64",
    "f32",          "f64",      "f16",       "bf16",     "threadIdx",  "blockIdx",
    "blockDim",     "gridDim",  "warpSize",  "linux",    "unix",       "error",
    "lane",         "group",    "char16_t",  "char32_t", "restrict",   "call",
    "begin",        "end",      "worker",
};

static const char **slot_of(const kl_cc *e, const char *name)
{
    uint32_t at = (uint32_t)kl_hash_text(name).lo & (e->cap_used - 1);
    while (e->used[at] && strcmp(e->used[at], name) != 0)
        at = (at + 1) & (e->cap_used - 1);
    return &e->used[at];
}

static void take(kl_cc *e, const char *name)
{
    const char **at = slot_of(e, name);
    if (!*at) {
        *at = name;
        e->nused++;
    }
}

static bool make_room(kl_cc *e)
{
    const char **old = e->used;
    uint32_t n = e->cap_used;
    if (e->nused * 2 < n)
        return true;
    const char **grown = kl_arena_zeroed(e->a, KL_MAX(n * 2, 512u), sizeof *grown);
    if (!grown) {
        kl_cc_fail(e, KL_ERR_OOM, "no memory for names");
        return false;
    }
    e->used = grown;
    e->cap_used = KL_MAX(n * 2, 512u);
    e->nused = 0;
    for (uint32_t i = 0; i < n; i++)
        if (old[i])
            take(e, old[i]);
    return true;
}

/* Letters, digits and single inner underscores; not one of our own kinds of name. */
static void readable(const char *wish, char *out)
{
    size_t n = 0;
    if (!isalpha((unsigned char)wish[0]) ||
        (wish[0] == 't' && isdigit((unsigned char)wish[1])) ||
        strncmp(wish, "kl_", 3) == 0 || strncmp(wish, "KL_", 3) == 0)
        out[n++] = 'v';
    for (; *wish && n < KL_CC_NAME - 12; wish++)
        if (isalnum((unsigned char)*wish) || (n && out[n - 1] != '_'))
            out[n++] = isalnum((unsigned char)*wish) ? *wish : '_';
    out[n] = 0;
}

const char *kl_cc_name(kl_cc *e, const char *wish)
{
    char base[KL_CC_NAME];
    readable(wish, base);
    if (!make_room(e))
        return "v";
    const char *s = kl_arena_strdup(e->a, base);
    for (int i = 2; s && *slot_of(e, s); i++)
        s = kl_arena_printf(e->a, "%s_%d", base, i);
    if (s)
        take(e, s);
    else
        kl_cc_fail(e, KL_ERR_OOM, "no memory for names");
    return s ? s : "v";
}

const char *kl_cc_temp(kl_cc *e)
{
    const char *s = kl_arena_printf(e->a, "t%u", e->temps++);
    if (!s)
        kl_cc_fail(e, KL_ERR_OOM, "no memory for names");
    return s ? s : "t";
}

const char *kl_cc_lane(kl_cc *e)
{
    e->uses_lane = true;
    return e->lane ? e->lane : "lane";
}

const char *kl_cc_group(kl_cc *e)
{
    e->uses_group = true;
    return "group";
}

const char *kl_cc_type(kl_dtype dt)
{
    return kl_dtypes[dt].name;
}

/* ---- extents ---- */

static const char *given(kl_cc *e, kl_dim d)
{
    for (int i = 0; i < e->ndims; i++)
        if (e->dims[i] == d) {
            e->dim_used[i] = true;
            return e->dim[i];
        }
    return NULL;
}

static const char *of_symbol(kl_cc *e, int64_t code)
{
    for (int i = 0; i < e->ndims; i++)
        if (kl_dim_sym_index(e->x->dims, e->dims[i]) == (int)(code - KL_SIZE_SYM))
            return given(e, e->dims[i]);
    kl_cc_fail(e, KL_ERR_UNSUPPORTED,
               "an extent rests on a symbol that the launch does not give");
    return "0";
}

/* The postfix code of an extent of symbols, as an expression. */
static const char *computed(kl_cc *e, kl_dim d)
{
    static const char *const ops[] = {"+", "*", "/", "%"};
    kl_size code = kl_dim_size(e->x->dims, d, e->a);
    const char *stack[32];
    int n = 0;
    for (int i = 0; i < code.len && n < 31; i++) {
        int64_t c = code.code[i];
        if (c >= 0)
            stack[n++] = kl_arena_printf(e->a, "%lld", (long long)c);
        else if (c < KL_SIZE_NEG)
            stack[n++] = of_symbol(e, c);
        else if (c == KL_SIZE_NEG)
            stack[n - 1] = kl_arena_printf(e->a, "(-%s)", stack[n - 1]);
        else if (c >= KL_SIZE_MOD)
            n--, stack[n - 1] = kl_arena_printf(e->a, "(%s %s %s)", stack[n - 1],
                                                ops[-1 - c], stack[n]);
        else
            n--, stack[n - 1] = kl_arena_printf(
                     e->a, "(%s %c %s ? %s : %s)", stack[n - 1],
                     c == KL_SIZE_MAX ? '>' : '<', stack[n], stack[n - 1], stack[n]);
    }
    return n == 1 && stack[0] ? stack[0] : "0";
}

const char *kl_cc_extent(kl_cc *e, kl_dim d)
{
    const char *s = given(e, d);
    return s ? s : computed(e, d);
}

/* ---- a phase ---- */

static bool open_arrays(kl_cc *e)
{
    const kl_kernel *k = e->k;
    size_t n = (size_t)k->noperands + 1;
    e->nvars = k->x->nvars;
    e->reg = kl_arena_zeroed(e->a, k->nregs + 1, sizeof *e->reg);
    e->reg_level = kl_arena_alloc(e->a, (k->nregs + 1) * sizeof *e->reg_level);
    e->op = kl_arena_zeroed(e->a, n, sizeof *e->op);
    e->tile_offset = kl_arena_zeroed(e->a, n, sizeof *e->tile_offset);
    e->op_used = kl_arena_zeroed(e->a, n, sizeof *e->op_used);
    e->reg_wide = kl_arena_zeroed(e->a, k->nregs + 1, sizeof *e->reg_wide);
    e->loaded = kl_arena_zeroed(e->a, n, 1);
    e->stored = kl_arena_zeroed(e->a, n, 1);
    e->ndims = kl_kernel_dims(k, NULL, 0);
    e->dims = kl_arena_zeroed(e->a, (size_t)KL_MAX(e->ndims, 0) + 1, sizeof *e->dims);
    e->dim = kl_arena_zeroed(e->a, (size_t)KL_MAX(e->ndims, 0) + 1, sizeof *e->dim);
    e->dim_used =
        kl_arena_zeroed(e->a, (size_t)KL_MAX(e->ndims, 0) + 1, sizeof *e->dim_used);
    if (e->ndims < 0 || kl_arena_failed(e->a))
        return false;
    e->ndims = kl_kernel_dims(k, e->dims, e->ndims);
    kl_kernel_scratch(k, e->tile_offset);
    return e->ndims >= 0 && !kl_arena_failed(e->a);
}

static kl_status mark_access(void *ctx, const kl_stmt *s)
{
    kl_cc *e = ctx;
    kl_x roots[6];
    int n = kl_stmt_exprs(s, roots);
    if (s->kind == KL_S_STORE)
        e->stored[s->operand] = 1;
    for (int i = 0; i < n; i++) {
        KL_TRY(kl_x_order(e->x, roots[i], &e->order));
        for (uint32_t j = 0; j < e->order.count; j++)
            if (e->x->nodes[e->order.items[j]].op == KL_X_LOAD)
                e->loaded[e->x->nodes[e->order.items[j]].imm] = 1;
    }
    return KL_OK;
}

static void name_all(kl_cc *e)
{
    kl_dims *d = e->x->dims;
    e->used = NULL;
    e->cap_used = e->nused = e->temps = 0;
    for (size_t i = 0; i < KL_COUNT(reserved) && make_room(e); i++)
        take(e, reserved[i]);
    for (uint32_t i = 0; i < e->k->noperands; i++)
        e->op[i] = kl_cc_name(e, e->k->operands[i].name ? e->k->operands[i].name : "x");
    for (int i = 0; i < e->ndims; i++) {
        int sym = kl_dim_sym_index(d, e->dims[i]);
        e->dim[i] = kl_cc_name(e, sym >= 0 ? kl_dim_sym_name(d, sym) : "n");
    }
}

static void begin_phase(kl_cc *e, const kl_phase *ph)
{
    uint32_t nvars = e->nvars + 1;
    e->phase = ph;
    e->depth = 0;
    e->uses_lane = e->uses_group = e->in_lane = e->in_group = false;
    e->var = kl_arena_zeroed(e->a, nvars, sizeof *e->var);
    e->var_level = kl_arena_zeroed(e->a, nvars, sizeof *e->var_level);
    e->var_bound = kl_arena_zeroed(e->a, nvars, sizeof *e->var_bound);
    e->uses_error = false;
    e->lane = NULL;
    memset(e->op_used, 0, e->k->noperands * sizeof *e->op_used);
    memset(e->dim_used, 0, (size_t)e->ndims * sizeof *e->dim_used);
    memset(e->loaded, 0, e->k->noperands);
    memset(e->stored, 0, e->k->noperands);
    memset(e->reg_level, 0xff, e->k->nregs * sizeof *e->reg_level); /* -1 */
    if (kl_arena_failed(e->a))
        kl_cc_fail(e, KL_ERR_OOM, "no memory for a phase");
    else if (kl_stmt_walk(ph->body, mark_access, e) != KL_OK)
        kl_cc_fail(e, KL_ERR_OOM, "no memory for a phase");
}

/* ---- its text ---- */

static void describe(kl_cc *e, int number, kl_text *out)
{
    static const char *const roles[] = {"in", "out", "temp", "tile"};
    const kl_dims *d = e->x->dims;
    size_t start = out->len;
    kl_text_put(out, "/* ");
    kl_kernel_head(e->k, out);
    kl_text_wrap(out, start, '*');
    for (char *s = out->failed ? NULL : strchr(out->s + start, '\n'); s;
         s = strchr(s + 1, '\n'))
        s[2] = '*'; /* it goes on behind the bar of the comment */
    kl_text_printf(out, "\n *   phase %d of %d: ", number, e->k->nphases);
    kl_dim_print(d, e->phase->workers, out);
    if (e->d->threads)
        kl_text_printf(out, " blocks of %d x %d threads", (int)e->phase->lane,
                       (int)e->phase->group);
    else
        kl_text_put(out, " workers");
    for (uint32_t i = 0; i < e->k->noperands; i++) {
        const kl_operand *o = &e->k->operands[i];
        if (!e->loaded[i] && !e->stored[i])
            continue;
        kl_text_printf(out, "\n *   %-4s %s: %s[", roles[o->role], e->op[i],
                       kl_cc_type(o->dtype));
        kl_dim_print(d, o->count, out);
        kl_text_put(out, "]");
        if (!o->shape || (o->rank == 1 && o->shape[0] == o->count))
            continue;
        kl_type t = {.dtype = o->dtype, .rank = (uint8_t)o->rank};
        memcpy(t.shape, o->shape, (size_t)o->rank * sizeof *t.shape);
        kl_text_put(out, " = ");
        kl_type_print(d, &t, out);
    }
    for (int i = 0; i < e->ndims; i++) {
        if (kl_dim_sym_index(d, e->dims[i]) >= 0)
            continue;
        kl_text_printf(out, "\n *   %s = ", e->dim[i]);
        kl_dim_print(d, e->dims[i], out);
    }
    kl_text_put(out, " */\n");
}

/* One parameter, on a new line when this one is full. */
void kl_cc_parameter(kl_text *out, size_t *line, const char *text)
{
    size_t n = strlen(text);
    if (out->len - *line + n + 2 > COLUMNS) {
        if (out->len && out->s[out->len - 1] == ' ')
            out->len--;
        kl_text_put(out, "\n    ");
        *line = out->len - 4;
    }
    kl_text_put(out, text);
}

static void signature(kl_cc *e, const char *function, kl_text *out)
{
    char text[2 * KL_CC_NAME + 32];
    kl_text_printf(out, "extern \"C\" __global__ void __launch_bounds__(%d)\n",
                   (int)(e->phase->lane * e->phase->group));
    size_t line = out->len;
    kl_text_printf(out, "%s(", function);
    for (uint32_t i = 0; i < e->k->noperands; i++) {
        const kl_operand *o = &e->k->operands[i];
        if (o->role == KL_ROLE_TILE)
            continue;
        snprintf(text, sizeof text, "%s%s *%s, ", o->role == KL_ROLE_IN ? "const " : "",
                 kl_cc_type(o->dtype), e->op[i]);
        kl_cc_parameter(out, &line, text);
    }
    for (int i = 0; i < e->ndims; i++) {
        snprintf(text, sizeof text, "i64 %s, ", e->dim[i]);
        kl_cc_parameter(out, &line, text);
    }
    kl_cc_parameter(out, &line, "i64 *error)");
    kl_text_put(out, "\n{\n");
}

const char *kl_cc_offset(kl_cc *e, uint32_t tile)
{
    kl_dim at = e->tile_offset[tile];
    const char *s =
        at >= 0 ? kl_arena_printf(e->a, "%lld", (long long)at) : kl_cc_extent(e, at);
    return s ? s : "0";
}

static void head(kl_cc *e, const char *function, const char *worker, const char *type,
                 kl_text *out)
{
    signature(e, function, out);
    for (uint32_t i = 0; i < e->k->noperands; i++)
        if (e->op_used[i] && e->k->operands[i].role == KL_ROLE_TILE) {
            e->parts |= KL_PRELUDE_SHARED;
            kl_text_printf(out, "    KL_TILE(%s, %s, %s);\n",
                           kl_cc_type(e->k->operands[i].dtype), e->op[i],
                           kl_cc_offset(e, i));
        }
    kl_text_printf(out, "    const %s %s = blockIdx.x;\n", type, worker);
    if (e->uses_lane)
        kl_text_put(out, "    const i32 lane = threadIdx.x;\n");
    if (e->uses_group)
        kl_text_put(out, "    const i32 group = threadIdx.y;\n");
}

static void emit_phase(kl_cc *e, const char *symbol, int number, kl_text *out)
{
    const kl_phase *ph = &e->k->phases[number];
    begin_phase(e, ph);
    if (e->status != KL_OK)
        return;
    name_all(e);
    const char *worker =
        kl_cc_name(e, e->x->var_name[ph->var] ? e->x->var_name[ph->var] : "w");
    const char *type = kl_cc_narrow(e, kl_x_var(e->x, ph->var)) ? "i32" : "i64";
    const char *function = kl_arena_printf(e->a, "%s_%d", symbol, number);
    e->var[ph->var] = worker;
    kl_cc_push(e, true, false, true, kl_cc_sets(e, ph->body))->indent = e->d->indent;
    kl_cc_body(e, ph->body);
    describe(e, number, out);
    e->d->head(e, function ? function : symbol, worker, type, out);
    kl_text *body = &e->frames[0].text;
    kl_text_putn(out, body->s ? body->s : "", body->len);
    kl_text_put(out, e->d->tail);
    for (int i = e->depth; i-- > 0;)
        kl_text_free(&e->frames[i].text);
    for (kl_cc_val *v = e->frames[0].vals; v; v = v->next)
        e->head[v->x] = NULL;
}

/* Rows with a text of their own: all exact ones. */
static void choose_native(kl_cc *e)
{
    for (int op = 0; op < KL_OP_COUNT; op++)
        e->native[op] = kl_ops[op].kind == KL_KIND_ELT && kl_ops[op].sem;
}

kl_status kl_cc_kernel(const kl_cc_dialect *d, void *user, const kl_kernel *k,
                       const char *symbol, kl_arena *a, unsigned *parts, kl_text *out)
{
    kl_cc *e = kl_arena_zeroed(a, 1, sizeof *e);
    k = kl_kernel_own(k, a);
    if (!e || !k)
        return kl_fail(KL_ERR_OOM, "%s: kernel %s", d->name, symbol);
    *e = (kl_cc){.d = d, .user = user, .k = k, .x = k->x, .a = a};
    choose_native(e);
    if (!open_arrays(e))
        kl_cc_fail(e, KL_ERR_OOM, "no memory");
    for (int i = 0; i < k->nphases && e->status == KL_OK; i++) {
        if (i)
            kl_text_put(out, "\n");
        emit_phase(e, symbol, i, out);
    }
    kl_xlist_free(&e->order);
    *parts |= e->parts;
    if (e->status == KL_OK &&
        (out->failed || kl_arena_failed(a) || kl_arena_failed(k->arena)))
        kl_cc_fail(e, KL_ERR_OOM, "no memory for text");
    return e->status;
}

const kl_cc_dialect kl_cc_cuda = {.name = "cuda",
                                  .unroll = "#pragma unroll\n",
                                  .overloads = true,
                                  .threads = true,
                                  .lanes = kl_cc_thread_lanes,
                                  .fold = kl_cc_thread_fold,
                                  .head = head,
                                  .tail = "}\n",
                                  .indent = 1};

kl_status kl_cuda_kernel(const kl_kernel *k, const char *symbol, kl_arena *a,
                         unsigned *parts, kl_text *out)
{
    return kl_cc_kernel(&kl_cc_cuda, NULL, k, symbol, a, parts, out);
}
