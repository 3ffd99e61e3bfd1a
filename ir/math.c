/* math.c: reads the bodies in math.def. A body is a text over exact rows:
 *
 *   t = x * 1.5 + 1;          mul, add; a number takes the dtype of what it meets
 *   i = bits_i32(t);          bitcast; f64(t) is a cast
 *   hi, lo = two_sum(t, x);   a function of math.def, written out here
 *   p = poly(r, c0, c1, c2);  fma(fma(c2, r, c1), r, c0)
 *   return where(x < 0, p, hi);
 *   return usually(x < 9, p, q);   the same, and an emitter may branch around q
 *
 * and becomes a tape: one line a row, equal lines merged, numbered in order. Tapes are
 * made on first use, in memory of their own that is never given back: eval has no way to
 * fail. Only
 * + - * / < <= == and negation have signs; the other rows are called by name. */
#include "ir/math.h"

#include <pthread.h>

/* ---- the texts ---- */

typedef struct body_text {
    const char *name; /* NULL: not a row's */
    kl_op op;
    kl_dtype dt;
    const char *params, *text;
} body_text;

enum { ANY = KL_DTYPE_NONE };
#define KL_MATH(name, dt, params, ...)                                                   \
    {#name, KL_OP_##name, (kl_dtype)dt, #params, #__VA_ARGS__},
#define KL_MATH_FN(name, dt, params, ...)                                                \
    {#name, KL_OP_COUNT, (kl_dtype)dt, #params, #__VA_ARGS__},
static const body_text bodies[] = {
#include "ir/math.def"
};

/* ---- the tape under construction ---- */

/* A value in a text: a line of the tape, or a number that has no dtype yet. */
typedef struct val {
    int line; /* < 0: a number */
    bool whole;
    double f;
    int64_t i;
} val;

enum { NAMES = 512, RESULTS = 4 };

typedef struct named {
    const char *name;
    size_t len;
    val v;
} named;

typedef struct maker {
    kl_math_line line[KL_MATH_MAX];
    int count;
    named names[NAMES]; /* a stack; a function sees from frame on */
    int nnames, frame;
    kl_dtype dt; /* of numbers that meet nothing else */
    kl_lex lex;
    int usual; /* the last line that is a `usually` */
    bool bad;  /* a mistake in math.def */
} maker;

static int put(maker *m, kl_math_line l)
{
    for (int i = 0; i < m->count; i++) {
        const kl_math_line *o = &m->line[i];
        if (o->op == l.op && o->from == l.from && o->to == l.to && o->imm == l.imm &&
            memcmp(o->src, l.src, sizeof l.src) == 0)
            return i;
    }
    if (m->count == KL_MATH_MAX) {
        m->bad = true;
        return 0;
    }
    m->line[m->count] = l;
    return m->count++;
}

static val of_line(int line)
{
    return (val){.line = line};
}

static kl_dtype dtype_of(const maker *m, val v)
{
    return v.line < 0 ? KL_DTYPE_NONE : (kl_dtype)m->line[v.line].to;
}

/* A line for v; a number becomes a constant of dtype dt. */
static int settle(maker *m, val v, kl_dtype dt)
{
    if (v.line >= 0) {
        m->bad |= m->line[v.line].to != dt;
        return v.line;
    }
    m->bad |= !v.whole && !kl_is_float(dt);
    kl_scalar s = v.whole ? kl_scalar_from_int(dt, v.i) : kl_scalar_from(dt, v.f);
    return put(m, (kl_math_line){.op = KL_OP_const, .from = dt, .to = dt, .imm = s.bits});
}

/* op over n values; the dtype is that of those which have one. */
static val row(maker *m, kl_op op, const val *v, int n)
{
    int first = kl_ops[op].rule == KL_RULE_COND;
    kl_dtype dt = KL_DTYPE_NONE;
    for (int i = first; i < n && dt == KL_DTYPE_NONE; i++)
        dt = dtype_of(m, v[i]);
    if (dt == KL_DTYPE_NONE)
        dt = m->dt;
    kl_math_line l = {.op = (uint16_t)op, .from = dt, .to = dt};
    if (kl_ops[op].rule == KL_RULE_BOOL)
        l.to = KL_BOOL;
    for (int i = 0; i < n; i++)
        l.src[i] = (uint16_t)settle(m, v[i], i < first ? KL_BOOL : dt);
    return of_line(put(m, l));
}

static val convert(maker *m, kl_op op, kl_dtype to, val v)
{
    if (v.line < 0 && op == KL_OP_cast)
        return of_line(settle(m, v, to));
    kl_dtype from = v.line < 0 ? m->dt : dtype_of(m, v);
    kl_math_line l = {.op = (uint16_t)op, .from = from, .to = to};
    l.src[0] = (uint16_t)settle(m, v, from);
    return from == to ? of_line(l.src[0]) : of_line(put(m, l));
}

/* ---- parsing ---- */

static val expr(maker *m);
static int run_text(maker *m, const body_text *b, const val *arg, int nargs, val *out);

static val fault(maker *m)
{
    m->bad = true;
    m->lex.kind = KL_TOK_END;
    return (val){.line = -1, .whole = true};
}

static const body_text *find_text(const char *name, size_t len, kl_op op, kl_dtype dt)
{
    for (size_t i = 0; i < KL_COUNT(bodies); i++) {
        const body_text *b = &bodies[i];
        bool same = strlen(b->name) == len && memcmp(b->name, name, len) == 0;
        if (same && b->op == op && (op == KL_OP_COUNT || b->dt == dt))
            return b;
    }
    return NULL;
}

static int arguments(maker *m, val *v, int cap)
{
    int n = 0;
    while (!kl_lex_is(&m->lex, ")") && n < cap && !m->bad) {
        v[n++] = expr(m);
        if (!kl_lex_take(&m->lex, ","))
            break;
    }
    if (!kl_lex_take(&m->lex, ")"))
        fault(m);
    return n;
}

/* Horner's scheme: c[0] + x c[1] + x^2 c[2] ... */
static val poly(maker *m, const val *v, int n)
{
    val p = v[n - 1];
    for (int i = n - 2; i > 0; i--)
        p = row(m, KL_OP_fma, (val[]){p, v[0], v[i]}, 3);
    return p;
}

/* NAME "(" has been read: a function of math.def, a row, a cast, a bitcast or poly. */
static int call(maker *m, const char *name, size_t len, val *out)
{
    val v[40];
    int n = arguments(m, v, (int)KL_COUNT(v));
    char word[32];
    snprintf(word, sizeof word, "%.*s", (int)len, name);
    bool bits = strncmp(word, "bits_", 5) == 0;
    kl_dtype to = kl_dtype_parse(bits ? word + 5 : word);
    const body_text *fn = find_text(name, len, KL_OP_COUNT, KL_DTYPE_NONE);
    int op = kl_op_find(name, len);
    if (fn && !m->bad)
        return run_text(m, fn, v, n, out);
    if (to != KL_DTYPE_NONE && n == 1)
        *out = convert(m, bits ? KL_OP_bitcast : KL_OP_cast, to, v[0]);
    else if (strcmp(word, "usually") == 0 && n == 3)
        *out = row(m, KL_OP_where, v, n), m->usual = out->line;
    else if (strcmp(word, "poly") == 0 && n > 1)
        *out = poly(m, v, n);
    else if (op >= 0 && kl_ops[op].flags & KL_F_MATH)
        return run_text(m, find_text(name, len, (kl_op)op, dtype_of(m, v[0])), v, n, out);
    else if (op >= 0 && kl_ops[op].arity == n)
        *out = row(m, (kl_op)op, v, n);
    else
        *out = fault(m);
    return 1;
}

static val lookup(maker *m, const char *name, size_t len)
{
    for (int i = m->nnames; i-- > m->frame;)
        if (m->names[i].len == len && memcmp(m->names[i].name, name, len) == 0)
            return m->names[i].v;
    return fault(m);
}

static val primary(maker *m)
{
    kl_lex t = m->lex;
    val v = {.line = -1};
    kl_lex_next(&m->lex);
    if (t.kind == KL_TOK_INT) {
        v.whole = true, v.i = t.ival;
    } else if (t.kind == KL_TOK_FLOAT) {
        v.f = t.fval;
    } else if (t.kind == KL_TOK_NAME && kl_lex_take(&m->lex, "(")) {
        val all[RESULTS];
        if (call(m, t.tok, t.len, all) != 1)
            return fault(m);
        v = all[0];
    } else if (t.kind == KL_TOK_NAME) {
        v = lookup(m, t.tok, t.len);
    } else if (kl_lex_is(&t, "(")) {
        v = expr(m);
        if (!kl_lex_take(&m->lex, ")"))
            return fault(m);
    } else {
        return fault(m);
    }
    return v;
}

static val unary(maker *m)
{
    if (!kl_lex_take(&m->lex, "-"))
        return primary(m);
    val v = primary(m);
    if (v.line >= 0)
        return row(m, KL_OP_neg, &v, 1);
    v.i = (int64_t)(0 - (uint64_t)v.i), v.f = -v.f;
    return v;
}

static const struct {
    const char *sign;
    int level; /* binds tighter when higher */
    kl_op op;
} signs[] = {{"*", 2, KL_OP_mul}, {"/", 2, KL_OP_div}, {"+", 1, KL_OP_add},
             {"-", 1, KL_OP_sub}, {"<", 0, KL_OP_lt},  {"<=", 0, KL_OP_le},
             {"==", 0, KL_OP_eq}, {"!=", 0, KL_OP_ne}};

static val binary(maker *m, int level)
{
    if (level > 2)
        return unary(m);
    val v = binary(m, level + 1);
    for (size_t i = 0; i < KL_COUNT(signs) && !m->bad; i++)
        if (signs[i].level == level && kl_lex_take(&m->lex, signs[i].sign)) {
            val both[2] = {v, binary(m, level + 1)};
            v = row(m, signs[i].op, both, 2);
            i = (size_t)-1; /* from the first sign again: a - b + c */
        }
    return v;
}

static val expr(maker *m)
{
    return binary(m, 0);
}

/* expr {"," expr} ";": the values of a list; a call alone may have several. */
static int values(maker *m, val *out)
{
    int n = 0;
    kl_lex t = m->lex;
    if (t.kind == KL_TOK_NAME) {
        kl_lex_next(&m->lex);
        if (kl_lex_take(&m->lex, "("))
            n = call(m, t.tok, t.len, out);
        if (n > 0 && kl_lex_take(&m->lex, ";"))
            return n;
        m->lex = t; /* it was the beginning of something longer: equal lines merge */
    }
    n = 0;
    do
        out[n++] = expr(m);
    while (n < RESULTS && kl_lex_take(&m->lex, ","));
    if (!kl_lex_take(&m->lex, ";"))
        fault(m);
    return n;
}

static void define(maker *m, const char *name, size_t len, val v)
{
    if (m->nnames == NAMES)
        m->bad = true;
    else
        m->names[m->nnames++] = (named){name, len, v};
}

/* NAME {"," NAME} "=" values */
static void statement(maker *m)
{
    kl_lex target[RESULTS];
    val v[RESULTS];
    int n = 0;
    do {
        target[n++] = m->lex;
        if (m->lex.kind != KL_TOK_NAME)
            fault(m);
        kl_lex_next(&m->lex);
    } while (n < RESULTS && kl_lex_take(&m->lex, ","));
    if (!kl_lex_take(&m->lex, "=") || values(m, v) != n)
        fault(m);
    for (int i = 0; i < n && !m->bad; i++)
        define(m, target[i].tok, target[i].len, v[i]);
}

/* A fault (plant.h): a body's value is larger by 2^-10. */
#ifdef KILN_PLANT
const char *kl_math_body(int i, const char **dtype)
{
    if (i >= (int)KL_COUNT(bodies))
        return NULL;
    *dtype = bodies[i].dt == (kl_dtype)ANY ? "any" : kl_dtypes[bodies[i].dt].name;
    return bodies[i].name;
}

static val more(maker *m, val v)
{
    bool real = v.line < 0 || kl_is_float(dtype_of(m, v));
    val by = {.line = -1, .whole = !real, .i = 1, .f = 1.0009765625};
    return row(m, real ? KL_OP_mul : KL_OP_add, (val[]){v, by}, 2);
}
#else
static val more(maker *m, val v)
{
    (void)m;
    return v;
}
#endif

/* Binds "(a, b)" to the arguments in a new frame, reads the statements, gives the
 * results. */
static int run_text(maker *m, const body_text *b, const val *arg, int nargs, val *out)
{
    kl_lex outer = m->lex;
    int frame = m->frame, nnames = m->nnames, n = 0;
    if (!b)
        return fault(m), 1;
    kl_dtype dt = m->dt;
    m->frame = m->nnames;
    m->dt = b->dt == (kl_dtype)ANY ? dt : b->dt;
    kl_lex_init(&m->lex, b->name, b->params);
    while (kl_lex_next(&m->lex), m->lex.kind == KL_TOK_NAME && n < nargs) {
        define(m, m->lex.tok, m->lex.len, arg[n++]);
        kl_lex_next(&m->lex);
    }
    m->bad |= n != nargs;
    kl_lex_init(&m->lex, b->name, b->text);
    while (!m->bad && !kl_lex_take(&m->lex, "return"))
        statement(m);
    n = m->bad ? 1 : values(m, out);
    m->bad |= m->lex.kind != KL_TOK_END;
    if (KL_PLANTED_AT(math, b - bodies))
        out[0] = more(m, out[0]);
    m->lex = outer, m->frame = frame, m->nnames = nnames, m->dt = dt;
    return n;
}

/* ---- from lines to a tape ---- */

static int arity(const kl_math_line *l)
{
    return l->op == KL_OP_const || l->op == KL_OP_input ? 0 : kl_ops[l->op].arity;
}

/* Drops lines that the result does not need; the result comes last. */
static void compact(maker *m, int result)
{
    static const uint16_t dead = UINT16_MAX;
    uint16_t to[KL_MATH_MAX];
    bool live[KL_MATH_MAX] = {false};
    live[result] = true;
    for (int i = result; i >= 0; i--)
        for (int k = 0; live[i] && k < arity(&m->line[i]); k++)
            live[m->line[i].src[k]] = true;
    int n = 0;
    for (int i = 0; i <= result; i++) {
        to[i] = live[i] ? (uint16_t)n : dead;
        if (!live[i])
            continue;
        m->line[n] = m->line[i];
        for (int k = 0; k < arity(&m->line[n]); k++)
            m->line[n].src[k] = to[m->line[n].src[k]];
        n++;
    }
    m->count = n;
}

/* Constants get places of their own; another value's place is free again after its last
 * use. */
static void assign_places(maker *m, kl_math_tape *t)
{
    uint16_t last[KL_MATH_MAX] = {0}, free_list[KL_MATH_MAX];
    int nfree = 0;
    for (int i = 0; i < m->count; i++) {
        for (int k = 0; k < arity(&m->line[i]); k++)
            last[m->line[i].src[k]] = (uint16_t)i;
        if (m->line[i].op == KL_OP_const)
            m->line[i].place = (uint16_t)t->consts++;
    }
    t->places = t->consts;
    for (int i = 0; i < m->count; i++) {
        kl_math_line *l = &m->line[i];
        if (arity(l) == 0)
            continue;
        l->place = nfree ? free_list[--nfree] : (uint16_t)t->places++;
        for (int k = 0; k < arity(l); k++) {
            const kl_math_line *s = &m->line[l->src[k]];
            bool again =
                (k > 0 && l->src[k] == l->src[0]) || (k > 1 && l->src[k] == l->src[1]);
            if (last[l->src[k]] == i && !again && arity(s) > 0)
                free_list[nfree++] = s->place;
        }
    }
}

/* ---- made once ---- */

enum { POOL = 12000 };
static kl_math_line pool[POOL];
static int pool_used;
enum { DTYPES = 3 }; /* that bodies have: f32, f64, u64 */
static kl_math_tape tapes[KL_OP_COUNT][DTYPES];
static const kl_math_tape *ready[KL_OP_COUNT][DTYPES];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static const kl_math_tape *make(const body_text *b, kl_math_tape *t)
{
    static maker m; /* under the lock; too large for a stack */
    val arg[3], out[RESULTS];
    m = (maker){.dt = b->dt, .usual = -1};
    for (int i = 0; i < kl_ops[b->op].arity; i++)
        arg[i] = of_line(put(
            &m, (kl_math_line){
                    .op = KL_OP_input, .from = b->dt, .to = b->dt, .imm = (uint64_t)i}));
    int n = run_text(&m, b, arg, kl_ops[b->op].arity, out);
    KL_ASSERT(!m.bad && n == 1 && dtype_of(&m, out[0]) == b->dt);
    if (m.bad || n != 1)
        return NULL;
    t->usual = m.usual == out[0].line;
    compact(&m, out[0].line);
    assign_places(&m, t);
    KL_ASSERT(pool_used + m.count <= POOL);
    if (pool_used + m.count > POOL)
        return NULL;
    memcpy(pool + pool_used, m.line, (size_t)m.count * sizeof *pool);
    t->line = pool + pool_used;
    t->count = m.count;
    pool_used += m.count;
    return t;
}

const kl_math_tape *kl_math_tape_of(kl_op op, kl_dtype dt)
{
    int which = dt == KL_F32 ? 0 : dt == KL_F64 ? 1 : dt == KL_U64 ? 2 : -1;
    const kl_math_tape *t =
        which < 0 ? NULL : __atomic_load_n(&ready[op][which], __ATOMIC_ACQUIRE);
    if (t || which < 0)
        return t;
    const body_text *b = find_text(kl_ops[op].name, strlen(kl_ops[op].name), op, dt);
    if (!b)
        return NULL;
    pthread_mutex_lock(&lock);
    t = ready[op][which];
    if (!t) {
        t = make(b, &tapes[op][which]);
        __atomic_store_n(&ready[op][which], t, __ATOMIC_RELEASE);
    }
    pthread_mutex_unlock(&lock);
    return t;
}
