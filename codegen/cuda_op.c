/* cuda_op.c: one operation on named operands as an expression of CUDA C.
 *
 *   add f32 a b    a + b                    lt any a b    a < b
 *   add i32 a b    kl_add(a, b)             exp           never comes: kl_x_lower_math
 *
 * ops.def's KL_CU column has the infix forms. They hold where C's own operator is total
 * and keeps the type: signed integers wrap through the prelude's functions instead, and
 * what is narrower than int is brought back by its constant's type. Index arithmetic,
 * whose range is known, is always infix. */
#include "codegen/cuda_emit.h"

static const char *print(kl_cc *e, const char *fmt, const char *a, const char *b,
                         const char *c)
{
    const char *args[3] = {a, b, c};
    kl_text t = {0};
    for (const char *p = fmt; *p; p++) {
        bool operand =
            *p >= 'a' && *p <= 'c' && (p == fmt || !(p[-1] >= 'a' && p[-1] <= 'z'));
        if (operand && args[*p - 'a'][0] == '-')
            kl_text_printf(&t, "(%s)", args[*p - 'a']);
        else if (operand)
            kl_text_put(&t, args[*p - 'a']);
        else
            kl_text_putn(&t, p, 1);
    }
    const char *s = t.failed ? NULL : kl_arena_strdup(e->a, t.s ? t.s : "");
    kl_text_free(&t);
    if (!s)
        kl_cc_fail(e, KL_ERR_OOM, "no memory");
    return s ? s : "0";
}

#define PRINT(e, ...) or_zero(e, kl_arena_printf((e)->a, __VA_ARGS__))
static const char *or_zero(kl_cc *e, const char *s)
{
    if (!s)
        kl_cc_fail(e, KL_ERR_OOM, "no memory");
    return s ? s : "0";
}

const char *kl_cc_fn(kl_cc *e, const char *name, kl_dtype dt)
{
    if (e->d->overloads)
        return PRINT(e, "kl_%s", name);
    e->d->needs(e, name, dt);
    return PRINT(e, "kl_%s_%s", name, kl_dtypes[dt].name);
}

static const char *half_of(kl_cc *e, kl_dtype dt, const char *bits)
{
    return PRINT(e, e->d->overloads ? "%s{%s}" : "(%s){%s}", kl_cc_type(dt), bits);
}

/* ---- literals ---- */

static const char *float_literal(kl_cc *e, kl_dtype dt, uint64_t bits)
{
    kl_scalar v = {.bits = bits};
    double d = kl_scalar_to_double(dt, v);
    if (d != d || d - d != 0) /* NaN, infinity */
        return PRINT(e, dt == KL_F32 ? "%s(0x%llxu)" : "%s(0x%llxull)",
                     kl_cc_fn(e, "from_bits", dt),
                     (unsigned long long)(dt == KL_F32 ? v.u32 : v.u64));
    kl_text t = {0};
    kl_text_put_float(&t, dt, d);
    if (dt == KL_F32)
        kl_text_put(&t, "f");
    const char *s = t.failed ? NULL : kl_arena_strdup(e->a, t.s);
    kl_text_free(&t);
    return or_zero(e, s);
}

static const char *int_literal(kl_cc *e, kl_dtype dt, kl_scalar v)
{
    switch (dt) {
    case KL_U8:
        return PRINT(e, "(u8)%u", v.u8);
    case KL_I8:
        return PRINT(e, "(i8)%d", v.i8);
    case KL_U16:
        return PRINT(e, "(u16)%u", v.u16);
    case KL_I16:
        return PRINT(e, "(i16)%d", v.i16);
    case KL_U32:
        return PRINT(e, "%uu", v.u32);
    case KL_U64:
        return PRINT(e, "%lluull", (unsigned long long)v.u64);
    case KL_I32:
        return v.i32 == INT32_MIN ? "(i32)0x80000000u" : PRINT(e, "%d", v.i32);
    default:
        if (v.i64 == INT64_MIN)
            return "(i64)(1ull << 63)";
        return PRINT(e, v.i64 == (int32_t)v.i64 && v.i64 != INT32_MIN ? "%lld" : "%lldll",
                     (long long)v.i64);
    }
}

const char *kl_cc_literal(kl_cc *e, kl_dtype dt, uint64_t bits)
{
    kl_scalar v = {.bits = bits};
    if (dt == KL_BOOL)
        return v.b ? "true" : "false";
    if (dt == KL_F16 || dt == KL_BF16)
        return half_of(e, dt, PRINT(e, "0x%x", v.u16));
    return kl_is_float(dt) ? float_literal(e, dt, bits) : int_literal(e, dt, v);
}

/* ---- rows ---- */

static bool is_half(kl_dtype dt)
{
    return dt == KL_F16 || dt == KL_BF16;
}

/* Is C's own operator the row's meaning at this dtype? */
static bool infix(kl_op op, kl_dtype dt)
{
    switch (op) {
    case KL_OP_add:
    case KL_OP_sub:
    case KL_OP_mul:
        return kl_is_float(dt) || dt == KL_U32 || dt == KL_U64;
    case KL_OP_neg:
        return kl_is_float(dt);
    default:
        return true;
    }
}

static const char *half_op(kl_cc *e, kl_op op, kl_dtype dt, const char *a, const char *b,
                           const char *c)
{
    const char *f32 = kl_cc_fn(e, "f32", dt);
    const char *x = PRINT(e, "%s(%s)", f32, a),
               *y = b ? PRINT(e, "%s(%s)", f32, b) : NULL;
    const char *z = c ? PRINT(e, "%s(%s)", f32, c) : NULL;
    const char *r = kl_cc_op(e, op, KL_F32, x, y, z);
    e->parts |= KL_PRELUDE_HALVES;
    return kl_ops[op].rule == KL_RULE_BOOL
               ? r
               : PRINT(e, "%s(%s)", kl_cc_fn(e, kl_cc_type(dt), KL_F32), r);
}

const char *kl_cc_op(kl_cc *e, kl_op op, kl_dtype dt, const char *a, const char *b,
                     const char *c)
{
    if (is_half(dt) && op != KL_OP_where)
        return half_op(e, op, dt, a, b, c);
    KL_PLANT_ROW(cuda, op, dt, a, b, c);
    const kl_op_info *row = &kl_ops[op];
    if (row->cu && *row->cu && infix(op, dt))
        return print(e, row->cu, a, b, c);
    if (op == KL_OP_div && kl_is_float(dt) && !e->d->overloads)
        return print(e, "a / b", a, b, c);
    if (!row->sem) {
        kl_cc_fail(e, KL_ERR_INTERNAL, "a row that CUDA C has no text for");
        return "0";
    }
    e->parts |= kl_is_float(dt) ? KL_PRELUDE_FLOATS : KL_PRELUDE_INTS;
    const char *fn = kl_cc_fn(e, row->name, dt);
    return c   ? PRINT(e, "%s(%s, %s, %s)", fn, a, b, c)
           : b ? PRINT(e, "%s(%s, %s)", fn, a, b)
               : PRINT(e, "%s(%s)", fn, a);
}

/* ---- i64 arithmetic of known range ---- */

static bool known(const kl_cc *e, kl_x x)
{
    int64_t lo, hi;
    kl_x_range(e->x, x, &lo, &hi);
    return lo != INT64_MIN && hi != INT64_MAX;
}

static bool within(const kl_cc *e, kl_x x, int64_t least, int64_t most)
{
    int64_t lo, hi;
    kl_x_range(e->x, x, &lo, &hi);
    return lo >= least && hi <= most;
}

/* C's operator for a row whose operands and result are known not to leave their range. */
static const char *index_template(const kl_cc *e, kl_x x)
{
    const kl_xnode *n = &e->x->nodes[x];
    bool plain = n->nsrc == 2 && within(e, n->src[0], 0, INT64_MAX) &&
                 within(e, n->src[1], 1, INT64_MAX);
    switch ((int)n->op) {
    case KL_OP_add:
        return known(e, x) ? "a + b" : NULL;
    case KL_OP_sub:
        return known(e, x) ? "a - b" : NULL;
    case KL_OP_mul:
        return known(e, x) ? "a * b" : NULL;
    case KL_OP_div:
    case KL_OP_floordiv:
        return plain ? "a / b" : NULL;
    case KL_OP_rem:
    case KL_OP_mod:
        return plain ? "a % b" : NULL;
    case KL_OP_shr:
        return within(e, n->src[1], 0, 31) ? "a >> b" : NULL;
    case KL_OP_shl:
        return known(e, x) && within(e, n->src[0], 0, INT64_MAX) &&
                       within(e, n->src[1], 0, 31)
                   ? "a << b"
                   : NULL;
    case KL_OP_where:
        return "a ? b : c";
    default:
        return NULL;
    }
}

const char *kl_cc_index(kl_cc *e, kl_x x, const char *const *s)
{
    const kl_xnode n = e->x->nodes[x];
    const char *fmt = index_template(e, x), *w[3] = {NULL, NULL, NULL};
    int first = n.op == KL_OP_where, narrow = 0;
    for (int i = first; i < n.nsrc; i++)
        narrow += kl_cc_narrow(e, n.src[i]);
    bool all = narrow == n.nsrc - first;
    for (int i = 0; i < n.nsrc;
         i++) { /* functions want one type; so does a wide product */
        bool widen = i >= first && kl_cc_narrow(e, n.src[i]) &&
                     (fmt ? all && i == first && !kl_cc_narrow(e, x)
                          : !(all && kl_cc_narrow(e, x)));
        w[i] = widen ? PRINT(e, "(i64)%s", s[i]) : s[i];
    }
    if (fmt && n.op != KL_OP_where && !all && kl_cc_narrow(e, x))
        return PRINT(e, "(i32)(%s)", print(e, fmt, w[0], w[1], w[2]));
    if (fmt)
        return print(e, fmt, w[0], w[1], w[2]);
    return kl_cc_op(e, (kl_op)n.op, KL_I64, w[0], w[1], w[2]);
}

/* ---- casts ---- */

static const char *half_from(kl_cc *e, kl_dtype to, kl_dtype from, const char *a)
{
    const char *t = kl_cc_type(to);
    e->parts |= KL_PRELUDE_HALVES;
    if (is_half(from))
        return PRINT(e, "%s(%s(%s))", kl_cc_fn(e, t, KL_F32), kl_cc_fn(e, "f32", from),
                     a);
    if (kl_is_float(from))
        return PRINT(e, "%s(%s)", kl_cc_fn(e, t, from), a);
    t = kl_cc_fn(e, t, KL_F64);
    if (from == KL_I64 || from == KL_U64)
        return PRINT(e, "%s(%s((%s)%s))", t, kl_cc_fn(e, "f64_odd", from),
                     kl_cc_type(from), a);
    return PRINT(e, "%s((f64)%s)", t, a);
}

const char *kl_cc_cast(kl_cc *e, kl_dtype to, kl_dtype from, const char *a)
{
    const char *t = kl_cc_type(to);
    if (is_half(to))
        return half_from(e, to, from, a);
    if (is_half(from)) {
        e->parts |= KL_PRELUDE_HALVES;
        const char *f = PRINT(e, "%s(%s)", kl_cc_fn(e, "f32", from), a);
        return to == KL_F32 ? f : kl_cc_cast(e, to, KL_F32, f);
    }
    if (to == KL_BOOL)
        return PRINT(e, "%s != 0", a);
    if (kl_is_float(from) && !kl_is_float(to)) {
        e->parts |= KL_PRELUDE_FLOATS;
        return PRINT(e, "%s(%s)", kl_cc_fn(e, PRINT(e, "to_%s", t), from), a);
    }
    return PRINT(e, "(%s)%s", t, a);
}

const char *kl_cc_bitcast(kl_cc *e, kl_dtype to, kl_dtype from, const char *a)
{
    bool wide = kl_dtypes[to].size == 8;
    if (is_half(from)) {
        a = PRINT(e, "%s.bits", a);
    } else if (kl_is_float(from)) {
        a = PRINT(e, "%s(%s)", kl_cc_fn(e, "bits", from), a);
    }
    if (is_half(to))
        return half_of(e, to, PRINT(e, "(u16)%s", a));
    if (kl_is_float(to))
        return PRINT(e, "%s((%s)%s)", kl_cc_fn(e, "from_bits", to), wide ? "u64" : "u32",
                     a);
    return to == KL_BOOL ? PRINT(e, "%s != 0", a) : PRINT(e, "(%s)%s", kl_cc_type(to), a);
}
