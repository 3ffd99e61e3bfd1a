/* decompose.c: expressions as an emitter wants them: no MATH rows, no arithmetic of f16
 * and bf16, no row that the target lacks. An emitter names its native rows; the others
 * are built here from those, once for all emitters:
 *
 *   exp(a)            ->  its body in math.def, decomposed in turn
 *   add(a, b): f16    ->  f16(add(f32(a), f32(b)))
 *   mod(a, b): i32    ->  where(.., add(r, b), r), r = rem(a, b)
 *
 * Rows that nothing simpler expresses have no rule (add, mul, div and shifts of integers,
 * lt, eq, where, sqrt, f64's rem): a target must have them. Laws: a rule equals kl_eval
 * on every operand (test_decompose.c), and rests on rows that come to an end. */
#include "ir/decompose.h"
#include "ir/math.h"

/* ---- rules ---- */

static bool is_signed(kl_dtype dt)
{
    return kl_dtypes[dt].cls == KL_CLS_SINT;
}

static kl_x rule_neg(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)b, (void)c;
    return kl_is_float(dt) ? kl_float_neg(x, dt, a) : OP2(sub, INT(dt, 0), a);
}

static kl_x rule_abs(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)b, (void)c;
    if (kl_is_float(dt))
        return kl_float_abs(x, dt, a);
    return is_signed(dt) ? WHERE(OP2(lt, a, INT(dt, 0)), OP2(sub, INT(dt, 0), a), a) : a;
}

static kl_x rule_round(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b,
                       kl_x c)
{
    (void)native, (void)b, (void)c;
    return kl_float_round(x, dt, a);
}

/* From the nearest integer r one step to where it should be: when test(a, r) is true. */
static kl_x step(kl_exprs *x, kl_dtype dt, kl_x a, kl_x r, kl_x wrong, double by)
{
    return kl_float_signed(x, dt, WHERE(wrong, OP2(add, r, FLT(dt, by)), r), a);
}

static kl_x rule_floor(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b,
                       kl_x c)
{
    (void)native, (void)b, (void)c;
    kl_x r = kl_float_round(x, dt, a);
    return step(x, dt, a, r, OP2(lt, a, r), -1);
}

static kl_x rule_ceil(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b,
                      kl_x c)
{
    (void)native, (void)b, (void)c;
    kl_x r = kl_float_round(x, dt, a);
    return step(x, dt, a, r, OP2(lt, r, a), 1);
}

static kl_x rule_trunc(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b,
                       kl_x c)
{
    (void)native, (void)b, (void)c;
    kl_x m = kl_float_abs(x, dt, a), r = kl_float_round(x, dt, m);
    return step(x, dt, a, r, OP2(lt, m, r), -1);
}

static kl_x rule_not(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)b, (void)c;
    return OP2(xor, a, dt == KL_BOOL ? kl_x_bool(x, true) : INT(dt, -1));
}

/* Made as written: i64 sums would be simplified to what they came from. */
static kl_x plain_add(kl_exprs *x, kl_dtype dt, kl_x a, kl_x b)
{
    kl_xnode n = {
        .op = KL_OP_add, .dtype = (uint8_t)dt, .nsrc = 2, .src = {a, b, KL_NONE}};
    return kl_x_intern(x, &n);
}

static kl_x rule_sub(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)c;
    if (kl_is_float(dt))
        return OP2(add, a, kl_float_neg(x, dt, b));
    kl_x one = INT(dt, 1), minus = plain_add(x, dt, OP2(xor, b, INT(dt, -1)), one);
    return plain_add(x, dt, a, minus);
}

static kl_x rule_rem(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)c;
    if (dt == KL_F32)
        return kl_rule_rem_f32(x, a, b);
    if (kl_is_float(dt))
        return KL_NONE;
    return OP2(sub, a, OP2(mul, OP2(div, a, b), b)); /* by 0: a - 0 */
}

/* Is the remainder r on the other side of zero than b? Then floor is one step below
 * trunc. */
static kl_x other_side(kl_exprs *x, kl_dtype dt, kl_x r, kl_x b)
{
    kl_x zero = kl_is_float(dt) ? FLT(dt, 0) : INT(dt, 0);
    kl_x differ = OP2(ne, OP2(lt, r, zero), OP2(lt, b, zero));
    kl_x some = OP2(ne, r, zero);
    if (!kl_is_float(dt))
        some = OP2(and, some, OP2(ne, b, zero));
    return OP2(and, some, differ);
}

static kl_x rule_mod(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)c;
    kl_x r = OP2(rem, a, b);
    if (!kl_is_float(dt) && !is_signed(dt))
        return r;
    return WHERE(other_side(x, dt, r, b), OP2(add, r, b), r);
}

/* eval_float.h: from the exact remainder, so that floordiv and mod agree where a / b
 * rounds up. */
static kl_x floordiv_float(kl_exprs *x, kl_dtype dt, kl_x a, kl_x b)
{
    kl_x zero = FLT(dt, 0), one = FLT(dt, 1), r = OP2(rem, a, b), ratio = OP2(div, a, b);
    kl_x q = OP2(div, OP2(sub, a, r), b);
    q = WHERE(other_side(x, dt, r, b), OP2(sub, q, one), q);
    kl_x f = OP1(floor, q), up = OP2(lt, FLT(dt, 0.5), OP2(sub, q, f));
    f = WHERE(up, OP2(add, f, one), f);
    f = WHERE(OP2(eq, q, zero), kl_float_signed(x, dt, zero, ratio), f);
    return WHERE(OP2(eq, b, zero), ratio, f);
}

static kl_x rule_floordiv(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b,
                          kl_x c)
{
    (void)native, (void)c;
    if (kl_is_float(dt))
        return floordiv_float(x, dt, a, b);
    kl_x q = OP2(div, a, b);
    if (!is_signed(dt))
        return q;
    return WHERE(other_side(x, dt, OP2(rem, a, b), b), OP2(sub, q, INT(dt, 1)), q);
}

/* Of equal floats the bits decide: -0 < +0; a NaN wins. */
static kl_x extreme(kl_exprs *x, kl_dtype dt, kl_x less, kl_x more, bool min, kl_x a,
                    kl_x b)
{
    if (!kl_is_float(dt))
        return WHERE(less, a, b);
    kl_dtype u = kl_bits_dtype(dt);
    kl_x p = BITS(a, u), q = BITS(b, u);
    kl_x equal = BITS(min ? OP2(or, p, q) : OP2(and, p, q), dt);
    kl_x other = WHERE(OP2(eq, a, b), equal, OP2(add, a, b));
    return WHERE(less, a, WHERE(more, b, other));
}

static kl_x rule_min(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)c;
    if (dt == KL_BOOL)
        return OP2(and, a, b);
    kl_x less = OP2(lt, a, b), more = OP2(lt, b, a);
    return extreme(x, dt, less, more, true, a, b);
}

static kl_x rule_max(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)c;
    if (dt == KL_BOOL)
        return OP2(or, a, b);
    kl_x more = OP2(lt, b, a), less = OP2(lt, a, b);
    return extreme(x, dt, more, less, false, a, b);
}

static kl_x rule_le(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)dt, (void)c;
    return OP2(or, OP2(lt, a, b), OP2(eq, a, b));
}

static kl_x rule_ne(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native, (void)dt, (void)c;
    return OP2(xor, OP2(eq, a, b), kl_x_bool(x, true));
}

static kl_x rule_fma(kl_exprs *x, const bool *native, kl_dtype dt, kl_x a, kl_x b, kl_x c)
{
    (void)native;
    return kl_rule_fma(x, dt, a, b, c);
}

static const kl_x_rule_fn rules[KL_OP_COUNT] = {
    [KL_OP_neg] = rule_neg,     [KL_OP_abs] = rule_abs,
    [KL_OP_round] = rule_round, [KL_OP_floor] = rule_floor,
    [KL_OP_ceil] = rule_ceil,   [KL_OP_trunc] = rule_trunc,
    [KL_OP_not] = rule_not,     [KL_OP_sub] = rule_sub,
    [KL_OP_rem] = rule_rem,     [KL_OP_mod] = rule_mod,
    [KL_OP_min] = rule_min,     [KL_OP_floordiv] = rule_floordiv,
    [KL_OP_max] = rule_max,     [KL_OP_le] = rule_le,
    [KL_OP_ne] = rule_ne,       [KL_OP_fma] = rule_fma,
};

kl_x_rule_fn kl_x_rule(kl_op op)
{
    return rules[op];
}

/* ---- one node ---- */

static bool is_half(kl_dtype dt)
{
    return dt == KL_F16 || dt == KL_BF16;
}

/* f16 and bf16 arithmetic in f32, rounded back; comparisons need no rounding. */
static kl_x widen(kl_exprs *x, const kl_xnode *n, const kl_x *s)
{
    kl_x w[3] = {KL_NONE, KL_NONE, KL_NONE};
    for (int i = 0; i < n->nsrc; i++)
        w[i] = CAST(s[i], KL_F32);
    return CAST(kl_x_op(x, (kl_op)n->op, w[0], w[1], w[2]), n->dtype);
}

static kl_x decompose_row(kl_exprs *x, const kl_xnode *n, const kl_x *s,
                          const bool *native)
{
    kl_dtype dt = x->nodes[s[n->nsrc - 1]].dtype;
    if (kl_ops[n->op].flags & KL_F_MATH)
        return kl_math_expand(x, (kl_op)n->op, s[0], n->nsrc > 1 ? s[1] : KL_NONE,
                              n->nsrc > 2 ? s[2] : KL_NONE);
    kl_x y = rules[n->op] ? rules[n->op](x, native, dt, s[0], s[1], s[2]) : KL_NONE;
    if (y == KL_NONE)
        kl_fail(KL_ERR_INTERNAL, "%s of %s is not native, and no rule makes it of others",
                kl_ops[n->op].name, kl_dtypes[dt].name);
    return y;
}

/* The image of node a, given those of its sources. *again: it is to be lowered itself. */
static kl_x lower_one(kl_exprs *x, kl_x a, const kl_x *s, const bool *native, bool *again)
{
    kl_xnode n = x->nodes[a];
    bool changed = false, elt = n.op < KL_OP_COUNT && kl_ops[n.op].kind == KL_KIND_ELT;
    *again = true;
    if (elt && n.op != KL_OP_where && is_half(x->nodes[s[0]].dtype))
        return widen(x, &n, s);
    if (elt && (!native[n.op] || (kl_ops[n.op].flags & KL_F_MATH &&
                                  !kl_math_has_usual(n.op, x->nodes[s[0]].dtype))))
        return decompose_row(x, &n, s, native);
    if (n.op == KL_OP_cast && !native[KL_OP_cast] &&
        (is_half(n.dtype) || is_half(x->nodes[s[0]].dtype)))
        return kl_rule_cast(x, s[0], n.dtype);
    *again = false;
    for (int i = 0; i < n.nsrc; i++) {
        changed |= n.src[i] != s[i];
        n.src[i] = s[i];
    }
    return changed ? kl_x_intern(x, &n) : a;
}

/* ---- the walk ---- */

/* x->lowered[a] is a's image, as long as the native rows stay the same. */
static bool ready(kl_exprs *x, const bool *native)
{
    if (!x->lowered_for || memcmp(x->lowered_for, native, KL_OP_COUNT)) {
        if (!x->lowered_for && !(x->lowered_for = kl_arena_alloc(x->arena, KL_OP_COUNT)))
            return false;
        memcpy(x->lowered_for, native, KL_OP_COUNT);
        for (uint32_t i = 0; i < x->cap_lowered; i++)
            x->lowered[i] = KL_NONE;
    }
    uint32_t had = x->cap_lowered;
    if (x->count <= had)
        return true;
    if (kl_arena_grow(x->arena, &x->lowered, &x->cap_lowered, x->count,
                      sizeof *x->lowered))
        return false;
    for (uint32_t i = had; i < x->cap_lowered; i++)
        x->lowered[i] = KL_NONE;
    return true;
}

static bool push(kl_xlist *l, kl_x a)
{
    if (l->count == l->cap) {
        uint32_t cap = l->cap ? l->cap * 2 : 64;
        kl_x *p = kl_realloc(l->items, l->cap * sizeof *p, cap * sizeof *p);
        if (!p)
            return kl_fail(KL_ERR_OOM, "out of memory for an expression") == KL_OK;
        l->items = p;
        l->cap = cap;
    }
    l->items[l->count++] = a;
    return true;
}

/* The node on top of the stack: its sources first, then itself, then what it became. */
static bool advance(kl_exprs *x, kl_xlist *stack, const bool *native)
{
    kl_x a = stack->items[stack->count - 1], s[3] = {KL_NONE, KL_NONE, KL_NONE};
    uint32_t before = stack->count;
    bool again;
    for (int i = x->nodes[a].nsrc; i-- > 0;) {
        s[i] = x->lowered[x->nodes[a].src[i]];
        if (s[i] == KL_NONE && !push(stack, x->nodes[a].src[i]))
            return false;
    }
    if (stack->count > before)
        return true;
    kl_x y = lower_one(x, a, s, native, &again);
    if (y == KL_NONE || !ready(x, native))
        return false;
    if (!again)
        x->lowered[y] = y;
    if (x->lowered[y] == KL_NONE && y == a)
        kl_fail(KL_ERR_INTERNAL, "the rule of %s gives itself",
                kl_ops[x->nodes[a].op].name);
    if (x->lowered[y] == KL_NONE)
        return y != a && push(stack, y);
    x->lowered[a] = x->lowered[y];
    stack->count--;
    return true;
}

kl_x kl_x_lower_math(kl_exprs *x, kl_x a, const bool *native)
{
    kl_xlist stack = {0};
    bool ok = a != KL_NONE && ready(x, native) && push(&stack, a);
    while (ok && stack.count) {
        if (x->lowered[stack.items[stack.count - 1]] != KL_NONE)
            stack.count--;
        else
            ok = advance(x, &stack, native);
    }
    kl_xlist_free(&stack);
    return ok ? x->lowered[a] : KL_NONE;
}
