/* expr_simplify.c: the rules for integer and bool rows. i64 sums and products become
 * linear forms (expr_linear.c); floordiv and mod take out what divides, by range;
 * comparisons are decided where the ranges decide them.
 *
 *   (64*r + c) floordiv 64   ->  r          when 0 <= c < 64, c's extent
 *   (64*r + c) mod 64        ->  c
 *   (64*r + c) floordiv 512  ->  r floordiv 8
 *   r < B                    ->  true       r a variable of extent B
 *   64*r + c < 64*B          ->  true
 *
 * Laws: a rule holds for every value its operands may have; what is about order (div,
 * mod, <) applies only where nothing wraps. An extent that divides is positive: an index
 * is divided by an extent only where that extent's axis is not empty. */
#include "ir/expr_linear.h"

static kl_x split_op(kl_exprs *x, kl_x a, kl_coef c, bool mod, int depth);

static bool wraps(const kl_exprs *x, kl_x a)
{
    return x->info[a].min == INT64_MIN && x->info[a].max == INT64_MAX;
}

/* ---- floordiv and mod ---- */

/* The part of l that c divides goes to q (divided), the rest to r. */
static void split(const kl_exprs *x, const kl_lin *l, kl_coef c, kl_lin *q, kl_lin *r)
{
    *q = *r = (kl_lin){.n = 0};
    for (int i = 0; i < l->n; i++) {
        kl_coef by;
        if (kl_coef_divides(x, l->t[i].c, c, &by))
            kl_lin_term(x, q, l->t[i].atom, by);
        else
            kl_lin_term(x, r, l->t[i].atom, l->t[i].c);
    }
    kl_coef_split(x, l->k, c, &q->k, &r->k);
}

/* r = c * n + (0 .. c-1) for one n: then it. */
static bool within(const kl_exprs *x, const kl_lin *r, kl_coef c, int64_t *n)
{
    int64_t lo, hi;
    if (!kl_lin_range(x, r, &lo, &hi))
        return false;
    *n = 0;
    if (!c.sym) {
        *n = kl_int_floordiv(lo, c.v);
        if (*n == kl_int_floordiv(hi, c.v))
            return true;
        *n = 0;
    }
    kl_lin over = *r;
    over.k = kl_coef_add(x, over.k, kl_coef_neg(x, c));
    over.bad |= kl_coef_bad(over.k);
    return lo >= 0 && kl_lin_sign(x, &over) < 0;
}

static int64_t gcd(int64_t a, int64_t b)
{
    uint64_t u = a < 0 ? 0 - (uint64_t)a : (uint64_t)a,
             v = b < 0 ? 0 - (uint64_t)b : (uint64_t)b;
    while (v) {
        uint64_t t = u % v;
        u = v;
        v = t;
    }
    return (int64_t)u;
}

/* What divides c and all of r's coefficients (its constant aside). */
static int64_t common(kl_exprs *x, const kl_lin *r, int64_t c)
{
    for (int i = 0; i < r->n; i++) {
        kl_coef k = r->t[i].c;
        if (!k.sym)
            c = gcd(c, k.v);
        else if (!c || !kl_dim_divides(x->dims, c, k.v))
            c = 1;
    }
    return c;
}

/* Divide r by g, which divides all but its constant; *rest is what remains of that. */
static bool reduce(const kl_exprs *x, kl_lin *r, int64_t g, int64_t *rest)
{
    kl_coef by = kl_coef_int(g), k;
    for (int i = 0; i < r->n; i++)
        if (!kl_coef_divides(x, r->t[i].c, by, &r->t[i].c))
            return false;
    if (!kl_coef_split(x, r->k, by, &r->k, &k) || k.sym)
        return false;
    *rest = k.v;
    return true;
}

/* r mod c only: coefficients count modulo c, and k*(a mod m) is k*a where c divides k*m.
 */
static void reduce_mod(const kl_exprs *x, kl_lin *r, kl_coef c)
{
    kl_lin l = {.k = r->k};
    for (int i = 0; i < r->n; i++) {
        const kl_xnode *n = &x->nodes[r->t[i].atom];
        kl_coef k = r->t[i].c, m, q;
        if (!c.sym && !k.sym)
            k.v %= c.v;
        if (n->op == KL_OP_mod && !wraps(x, n->src[0]) && kl_coef_of(x, n->src[1], &m) &&
            kl_coef_divides(x, kl_coef_mul(x, k, m), c, &q))
            kl_lin_put(x, &l, n->src[0], k);
        else
            kl_lin_term(x, &l, r->t[i].atom, k);
    }
    int64_t lo, hi;
    if (!l.bad && kl_lin_range(x, &l, &lo, &hi))
        *r = l;
}

static bool positive(const kl_exprs *x, kl_coef c)
{
    int64_t lo, hi;
    kl_coef_range(x, c, &lo, &hi);
    return c.sym ? lo >= 0 : lo > 0;
}

/* floordiv by c of a form that is one atom: (a div b) div c, (a mod b) div c. */
static kl_x div_nested(kl_exprs *x, const kl_lin *r, kl_coef c, int depth)
{
    const kl_xnode *n = r->n == 1 ? &x->nodes[r->t[0].atom] : NULL;
    kl_coef b, q;
    if (!n || !kl_coef_zero(r->k) || !kl_coef_same(r->t[0].c, kl_coef_int(1)) || !depth ||
        (n->op != KL_OP_floordiv && n->op != KL_OP_mod) ||
        !kl_coef_of(x, n->src[1], &b) || !positive(x, b))
        return KL_NONE;
    kl_x a = n->src[0];
    if (n->op == KL_OP_floordiv) {
        int64_t v;
        q = kl_coef_mul(x, b, c);
        if (kl_coef_bad(q) || (!b.sym && !c.sym && kl_mul_overflow(b.v, c.v, &v)))
            return KL_NONE;
        return split_op(x, a, q, false, depth - 1);
    }
    if (!kl_coef_divides(x, b, c, &q))
        return KL_NONE;
    kl_x d = split_op(x, a, c, false, depth - 1);
    return d == KL_NONE ? KL_NONE : split_op(x, d, q, true, depth - 1);
}

static kl_x quotient(kl_exprs *x, kl_lin *q, kl_x rest)
{
    if (rest == KL_NONE)
        return KL_NONE;
    kl_lin_put(x, q, rest, kl_coef_int(1));
    return kl_lin_build(x, q);
}

static kl_x raw_op(kl_exprs *x, kl_lin *r, kl_coef c, bool mod)
{
    kl_x a = kl_lin_build(x, r), b = kl_coef_node(x, c);
    if (a == KL_NONE || b == KL_NONE)
        return KL_NONE;
    return kl_x_raw2(x, mod ? KL_OP_mod : KL_OP_floordiv, KL_I64, a, b);
}

/* r = g * whole + part for a coefficient g that divides c, 0 <= part < g: 1 if none, else
 * g.
 */
static int64_t run_of(const kl_exprs *x, const kl_lin *r, kl_coef c, kl_lin *whole,
                      kl_lin *part)
{
    int64_t lo, hi;
    for (int i = 0; i < r->n && !c.sym && r->n > 1; i++) {
        kl_coef g = r->t[i].c;
        if (g.sym || g.v <= 1 || g.v >= c.v || c.v % g.v)
            continue;
        split(x, r, g, whole, part);
        if (!whole->bad && !part->bad && kl_lin_range(x, part, &lo, &hi) && lo >= 0 &&
            hi < g.v && kl_lin_range(x, whole, &lo, &hi))
            return g.v;
    }
    return 1;
}

/* r is what c does not divide: (q*c + r) floordiv c = q + r floordiv c. */
static kl_x div_rest(kl_exprs *x, kl_lin *q, kl_lin *r, kl_coef c, int depth)
{
    kl_lin whole, part;
    int64_t run = depth ? run_of(x, r, c, &whole, &part) : 1;
    if (run > 1) {
        kl_x a = kl_lin_build(x, &whole);
        return a == KL_NONE
                   ? a
                   : quotient(x, q,
                              split_op(x, a, kl_coef_int(c.v / run), false, depth - 1));
    }
    int64_t g = c.sym ? 1 : common(x, r, c.v), rest;
    kl_lin s = *r;
    if (g > 1 && g < c.v && reduce(x, &s, g, &rest)) {
        *r = s;
        c.v /= g;
    }
    kl_x y = div_nested(x, r, c, depth);
    return quotient(x, q, y != KL_NONE ? y : raw_op(x, r, c, false));
}

static kl_x mod_rest(kl_exprs *x, kl_lin *r, kl_coef c, int depth)
{
    int64_t n, rest = 0, g;
    reduce_mod(x, r, c);
    if (within(x, r, c, &n)) {
        r->k = kl_coef_add(x, r->k, kl_coef_mul(x, c, kl_coef_int(-n)));
        return kl_lin_build(x, r);
    }
    kl_lin whole, part;
    int64_t run = depth ? run_of(x, r, c, &whole, &part) : 1;
    if (run > 1) {
        kl_x a = kl_lin_build(x, &whole);
        if (a != KL_NONE)
            a = split_op(x, a, kl_coef_int(c.v / run), true, depth - 1);
        if (a == KL_NONE)
            return a;
        kl_lin_put(x, &part, a, kl_coef_int(run));
        return kl_lin_build(x, &part);
    }
    g = c.sym ? 1 : common(x, r, c.v);
    kl_lin s = *r, y = {.n = 0};
    if (g <= 1 || g >= c.v || !reduce(x, &s, g, &rest))
        return raw_op(x, r, c, true);
    kl_x m = raw_op(x, &s, kl_coef_int(c.v / g), true);
    if (m == KL_NONE)
        return KL_NONE;
    kl_lin_put(x, &y, m, kl_coef_int(g));
    y.k = kl_coef_add(x, y.k, kl_coef_int(rest));
    return kl_lin_build(x, &y);
}

static kl_x split_op(kl_exprs *x, kl_x a, kl_coef c, bool mod, int depth)
{
    kl_lin l = kl_lin_of(x, a), q, r;
    int64_t n, lo, hi;
    if (l.bad || wraps(x, a) || !kl_lin_range(x, &l, &lo, &hi)) {
        l = (kl_lin){.n = 0};
        kl_lin_term(x, &l, a, kl_coef_int(1));
    }
    if (kl_coef_same(c, kl_coef_int(1)))
        return mod ? kl_x_int(x, 0) : a;
    split(x, &l, c, &q, &r);
    if (q.bad || r.bad || !kl_lin_range(x, &r, &lo, &hi))
        return KL_NONE;
    if (within(x, &r, c, &n)) {
        kl_coef k = mod ? kl_coef_mul(x, c, kl_coef_int(-n)) : kl_coef_int(n);
        kl_lin *y = mod ? &r : &q;
        y->k = kl_coef_add(x, y->k, k);
        return kl_lin_build(x, y);
    }
    return mod ? mod_rest(x, &r, c, depth) : div_rest(x, &q, &r, c, depth);
}

static kl_x divide(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    kl_coef c;
    bool trunc = op == KL_OP_div || op == KL_OP_rem;
    if (!kl_coef_of(x, b, &c) || !positive(x, c) || (trunc && x->info[a].min < 0))
        return KL_NONE;
    return split_op(x, a, c, op == KL_OP_mod || op == KL_OP_rem, KL_LIN_DEPTH);
}

/* ---- comparisons ---- */

/* l < 0 is 64*(r - B) + c < 0: the same as r - B < 0 when 0 <= c < 64. */
static void drop_small(const kl_exprs *x, kl_lin *l)
{
    int64_t g = 0, lo, hi;
    for (int i = 0; i < l->n; i++)
        if (!l->t[i].c.sym && l->t[i].c.v != INT64_MIN)
            g = KL_MAX(g, l->t[i].c.v < 0 ? -l->t[i].c.v : l->t[i].c.v);
    kl_lin q, r;
    if (g <= 1)
        return;
    split(x, l, kl_coef_int(g), &q, &r);
    if (q.bad || r.bad || (l->k.sym && !kl_coef_zero(r.k)))
        return;
    if (kl_lin_range(x, &r, &lo, &hi) && lo >= 0 && hi < g)
        *l = q;
}

/* l < 0 as left < right with what is negative on the right. */
static kl_x less(kl_exprs *x, const kl_lin *l)
{
    kl_lin left = {.n = 0}, right = {.n = 0};
    for (int i = 0; i < l->n; i++) {
        kl_coef c = l->t[i].c;
        if (kl_coef_negative(x, c))
            kl_lin_term(x, &right, l->t[i].atom, kl_coef_neg(x, c));
        else
            kl_lin_term(x, &left, l->t[i].atom, c);
    }
    if (kl_coef_negative(x, l->k) || !right.n)
        right.k = kl_coef_neg(x, l->k);
    else
        left.k = l->k;
    kl_x a = kl_lin_build(x, &left), b = kl_lin_build(x, &right);
    if (a == KL_NONE || b == KL_NONE || wraps(x, a) || wraps(x, b))
        return KL_NONE;
    return kl_x_raw2(x, KL_OP_lt, KL_BOOL, a, b);
}

/* a + more < b */
static kl_x compare(kl_exprs *x, kl_x a, kl_x b, int64_t more)
{
    int64_t lo, hi;
    if (a == b)
        return kl_x_bool(x, more < 0);
    if (wraps(x, a) || wraps(x, b))
        return KL_NONE;
    kl_lin l = kl_lin_sub(x, a, b);
    l.k = kl_coef_add(x, l.k, kl_coef_int(more));
    if (l.bad || kl_coef_bad(l.k) || !kl_lin_range(x, &l, &lo, &hi))
        return KL_NONE;
    int s = kl_lin_sign(x, &l);
    if (s)
        return kl_x_bool(x, s < 0);
    drop_small(x, &l);
    s = kl_lin_sign(x, &l);
    return s ? kl_x_bool(x, s < 0) : less(x, &l);
}

static kl_x equal(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    kl_lin l = kl_lin_sub(x, a, b);
    int64_t g;
    if (l.bad || kl_coef_bad(l.k))
        return KL_NONE;
    if (!l.n && !l.k.sym)
        return kl_x_bool(x, kl_coef_zero(l.k) == (op == KL_OP_eq));
    if (wraps(x, a) || wraps(x, b))
        return KL_NONE;
    kl_lin more = l;
    more.k = kl_coef_add(x, more.k, kl_coef_int(-1)); /* l - 1 >= 0: l > 0 */
    if (kl_lin_sign(x, &l) < 0 || kl_lin_sign(x, &more) > 0)
        return kl_x_bool(x, op == KL_OP_ne);
    g = common(x, &l, 0);
    if (g > 1 && !l.k.sym && l.k.v % g)
        return kl_x_bool(x, op == KL_OP_ne);
    return KL_NONE;
}

static kl_x extreme(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    kl_lin l = kl_lin_sub(x, a, b);
    if (wraps(x, a) || wraps(x, b))
        return KL_NONE;
    kl_lin less = l;
    less.k = kl_coef_add(x, l.k, kl_coef_int(-1)); /* l - 1 < 0: a <= b */
    less.bad |= kl_coef_bad(less.k);
    if (kl_lin_sign(x, &less) < 0)
        return op == KL_OP_min ? a : b;
    return kl_lin_sign(x, &l) > 0 ? (op == KL_OP_min ? b : a) : KL_NONE;
}

/* ---- rows ---- */

static kl_x sum(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    kl_lin l = {.n = 0};
    kl_lin_put(x, &l, a, kl_coef_int(op == KL_OP_neg ? -1 : 1));
    if (op != KL_OP_neg)
        kl_lin_put(x, &l, b, kl_coef_int(op == KL_OP_sub ? -1 : 1));
    return l.bad ? KL_NONE : kl_lin_build(x, &l);
}

static kl_x product(kl_exprs *x, kl_x a, kl_x b)
{
    kl_coef c;
    kl_lin l = {.n = 0};
    if (!kl_coef_of(x, a, &c)) {
        kl_x t = a;
        a = b;
        b = t;
    }
    if (!kl_coef_of(x, a, &c))
        return KL_NONE;
    kl_lin_put(x, &l, b, c);
    return l.bad ? KL_NONE : kl_lin_build(x, &l);
}

static kl_x index_row(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    switch (op) {
    case KL_OP_add:
    case KL_OP_sub:
    case KL_OP_neg:
        return sum(x, op, a, b);
    case KL_OP_mul:
        return product(x, a, b);
    case KL_OP_floordiv:
    case KL_OP_mod:
    case KL_OP_div:
    case KL_OP_rem:
        return divide(x, op, a, b);
    case KL_OP_lt:
        return compare(x, a, b, 0);
    case KL_OP_le:
        return compare(x, a, b, -1);
    case KL_OP_eq:
    case KL_OP_ne:
        return equal(x, op, a, b);
    case KL_OP_min:
    case KL_OP_max:
        return extreme(x, op, a, b);
    default:
        return KL_NONE;
    }
}

static int truth(const kl_exprs *x, kl_x a)
{
    return x->nodes[a].op == KL_X_CONST ? (int)x->nodes[a].imm : -1;
}

/* Is p one of the terms of the conjunction (disjunction) a? */
static bool holds(const kl_exprs *x, kl_op op, kl_x a, kl_x p)
{
    for (int i = 0; i < KL_LIN_MAX; i++) {
        const kl_xnode *n = &x->nodes[a];
        if (a == p || (n->op == op && n->src[1] == p))
            return true;
        if (n->op != op)
            return false;
        a = n->src[0];
    }
    return false;
}

static kl_x bool_row(kl_exprs *x, kl_op op, kl_x a, kl_x b)
{
    const kl_xnode n = x->nodes[a];
    if (op == KL_OP_not && n.op == KL_OP_not)
        return n.src[0];
    if (op == KL_OP_not && n.op == KL_OP_lt && x->nodes[n.src[0]].dtype == KL_I64)
        return compare(x, n.src[1], n.src[0], -1);
    if (op != KL_OP_and && op != KL_OP_or)
        return KL_NONE;
    int zero = op == KL_OP_or, ta = truth(x, a), tb = truth(x, b);
    if (ta >= 0)
        return ta == zero ? kl_x_bool(x, zero) : b;
    if (tb >= 0)
        return tb == zero ? kl_x_bool(x, zero) : a;
    if (holds(x, op, a, b))
        return a;
    return holds(x, op, b, a) ? b : KL_NONE;
}

kl_x kl_x_simplify(kl_exprs *x, kl_op op, kl_x a, kl_x b, kl_x c)
{
    if (op == KL_OP_where) {
        int t = truth(x, a);
        return b == c ? b : t < 0 ? KL_NONE : t ? b : c;
    }
    switch (x->nodes[a].dtype) {
    case KL_I64:
        return index_row(x, op, a, b);
    case KL_BOOL:
        return bool_row(x, op, a, b);
    default:
        return KL_NONE;
    }
}

bool kl_x_affine(kl_exprs *x, kl_x index, uint32_t var, kl_x *base, int64_t *coef)
{
    *base = index;
    *coef = 0;
    if (index == KL_NONE)
        return false;
    if (!kl_x_uses_var(x, index, var))
        return true;
    kl_lin l = kl_lin_of(x, index), rest = {.k = l.k};
    for (int i = 0; i < l.n && !l.bad; i++) {
        const kl_xnode *n = &x->nodes[l.t[i].atom];
        if (n->op == KL_X_VAR && n->imm == var) {
            if (l.t[i].c.sym)
                return false;
            *coef = l.t[i].c.v;
        } else if (kl_x_uses_var(x, l.t[i].atom, var)) {
            return false;
        } else {
            kl_lin_term(x, &rest, l.t[i].atom, l.t[i].c);
        }
    }
    if (!l.bad)
        *base = kl_lin_build(x, &rest);
    return !l.bad && *base != KL_NONE;
}

kl_x kl_x_value_of(void *ctx, kl_exprs *x, kl_x leaf)
{
    const kl_x_named *n = ctx;
    const kl_xnode *v = &x->nodes[leaf];
    return v->op == KL_X_VAR && v->imm == n->var ? n->value : KL_NONE;
}

/* ---- runs ---- */

/* The least number that var itself is divided by in e; 0: none. */
static int64_t least_divisor(kl_exprs *x, kl_x e, uint32_t var)
{
    kl_xlist order = {0};
    int64_t least = 0, by;
    if (kl_x_order(x, e, &order) != KL_OK)
        return 0;
    for (uint32_t i = 0; i < order.count; i++) {
        const kl_xnode *n = &x->nodes[order.items[i]];
        if (n->op != KL_OP_floordiv && n->op != KL_OP_mod)
            continue;
        const kl_xnode *a = &x->nodes[n->src[0]];
        if (a->op == KL_X_VAR && a->imm == var && kl_x_is_int(x, n->src[1], &by) &&
            by > 1)
            least = least ? KL_MIN(least, by) : by;
    }
    kl_xlist_free(&order);
    return least;
}

typedef struct parts {
    uint32_t var, hi, lo;
    int64_t run;
} parts;

static kl_x in_parts(void *ctx, kl_exprs *x, kl_x leaf)
{
    const parts *p = ctx;
    const kl_xnode *n = &x->nodes[leaf];
    if (n->op != KL_X_VAR || n->imm != p->var)
        return KL_NONE;
    return kl_x_add(x, kl_x_scale(x, kl_x_var(x, p->hi), p->run), kl_x_var(x, p->lo));
}

kl_x kl_x_split(kl_exprs *x, kl_x e, uint32_t var, int64_t run, uint32_t *lo)
{
    kl_dim runs = kl_dim_ceildiv(x->dims, x->var_extent[var], run);
    parts p = {var, kl_x_newvar(x, "hi", runs), kl_x_newvar(x, "lo", run), run};
    *lo = p.lo;
    return p.hi == KL_NONE || p.lo == KL_NONE ? KL_NONE : kl_x_subst(x, e, in_parts, &p);
}

int64_t kl_x_run(kl_exprs *x, kl_x index, uint32_t var)
{
    int64_t run = least_divisor(x, index, var), coef;
    uint32_t lo;
    kl_x base, e = run < 2 ? KL_NONE : kl_x_split(x, index, var, run, &lo);
    return e != KL_NONE && kl_x_affine(x, e, lo, &base, &coef) && coef == 1 ? run : 0;
}
