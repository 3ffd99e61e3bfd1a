/* expr_linear.c: integer expressions as linear forms: a sum of coefficient * atom plus a
 * constant, where a coefficient is an int64 or an extent and an atom is anything that is
 * not a sum (a variable, a floordiv, a load). A form is built back in one order, so equal
 * sums are one node.
 *
 *   64*(r + 1) + c - 64                  ->  r*64 + c
 *   C*(p floordiv C) + p mod C           ->  p       C a number or an extent
 *   C*(p floordiv C mod D) + p mod C     ->  p mod C*D
 *   56*((96*w + j) floordiv 56) + (40*w + j) mod 56   ->  96*w + j
 *
 * Sums and products are exact modulo 2^64, whatever the operands; what is said about
 * order needs ranges in which nothing wraps (expr_range.c). A form of more than
 * KL_LIN_MAX terms is bad and its expression left alone, so a chain of any length costs
 * the same at each step. */
#include "ir/expr_linear.h"
#include "ir/dim.h"

/* ---- coefficients ---- */

kl_coef kl_coef_int(int64_t v)
{
    return (kl_coef){v, false};
}

static kl_dim as_dim(const kl_exprs *x, kl_coef c)
{
    return c.sym || c.v >= 0 ? c.v : kl_dim_const(x->dims, c.v);
}

static kl_coef of_dim(const kl_exprs *x, kl_dim d)
{
    int64_t v;
    if (d != KL_DIM_BAD && kl_dim_is_const(x->dims, d, &v))
        return kl_coef_int(v);
    return (kl_coef){d, true};
}

bool kl_coef_bad(kl_coef c)
{
    return c.sym && c.v == KL_DIM_BAD;
}

kl_coef kl_coef_add(const kl_exprs *x, kl_coef a, kl_coef b)
{
    if (!a.sym && !b.sym)
        return kl_coef_int((int64_t)((uint64_t)a.v + (uint64_t)b.v));
    if (kl_coef_bad(a) || kl_coef_bad(b))
        return kl_coef_bad(a) ? a : b;
    kl_dim more = as_dim(x, b);
    return of_dim(x, kl_dim_add(x->dims, as_dim(x, a), more));
}

kl_coef kl_coef_mul(const kl_exprs *x, kl_coef a, kl_coef b)
{
    if (!a.sym && !b.sym)
        return kl_coef_int((int64_t)((uint64_t)a.v * (uint64_t)b.v));
    if (kl_coef_bad(a) || kl_coef_bad(b))
        return kl_coef_bad(a) ? a : b;
    kl_dim by = as_dim(x, b);
    return of_dim(x, kl_dim_mul(x->dims, as_dim(x, a), by));
}

kl_coef kl_coef_neg(const kl_exprs *x, kl_coef a)
{
    return kl_coef_mul(x, a, kl_coef_int(-1));
}

bool kl_coef_zero(kl_coef c)
{
    return !c.sym && c.v == 0;
}

bool kl_coef_same(kl_coef a, kl_coef b)
{
    return a.v == b.v && a.sym == b.sym;
}

void kl_coef_range(const kl_exprs *x, kl_coef c, int64_t *lo, int64_t *hi)
{
    *lo = *hi = c.v;
    if (c.sym)
        kl_dim_range(x->dims, c.v, lo, hi);
}

bool kl_coef_negative(const kl_exprs *x, kl_coef c)
{
    int64_t lo, hi;
    kl_coef_range(x, c, &lo, &hi);
    return hi < 0 || (c.sym && hi == 0 && lo < 0);
}

int64_t kl_int_floordiv(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

/* c = by * q + r: exact (r = 0) or, for numbers, with 0 <= r < by. */
static kl_dim atom_of(kl_dims *d, uint32_t i)
{
    kl_atom t = d->atoms[i];
    switch (t.kind) {
    case KL_ATOM_SYM:
        return d->syms[t.sym].dim;
    case KL_ATOM_FLOOR:
        return kl_dim_div(d, t.a, t.b);
    case KL_ATOM_MOD:
        return kl_dim_mod(d, t.a, t.b);
    case KL_ATOM_MAX:
        return kl_dim_max(d, t.a, t.b);
    default:
        return kl_dim_min(d, t.a, t.b);
    }
}

/* The first product of a divided by the first of b. */
static kl_dim lead_over(kl_dims *d, kl_dim a, kl_dim b)
{
    kl_term oa, ob;
    kl_sum sa = kl_dim_terms(d, a, &oa), sb = kl_dim_terms(d, b, &ob);
    if (!sa.n || !sb.n || sa.term[0].coef % sb.term[0].coef)
        return KL_DIM_BAD;
    kl_term t = sa.term[0], by = sb.term[0];
    kl_dim q = kl_dim_const(d, t.coef / by.coef);
    uint32_t j = 0;
    for (uint32_t i = 0; i < t.n; i++)
        if (j < by.n && t.atom[i] == by.atom[j])
            j++;
        else
            q = kl_dim_mul(d, q, atom_of(d, t.atom[i]));
    return j == by.n ? q : KL_DIM_BAD;
}

/* c / by by long division, for a divisor that is an extent; false: it does not come out.
 * kl_dim_div itself may not cancel an extent that could be 0. */
static bool dim_over(kl_dims *d, kl_dim c, kl_dim by, kl_dim *q)
{
    *q = 0;
    for (int i = 0; i < 8 && c != KL_DIM_BAD; i++) {
        if (c == 0)
            return true;
        kl_dim lead = lead_over(d, c, by);
        *q = kl_dim_add(d, *q, lead);
        c = kl_dim_sub(d, c, kl_dim_mul(d, lead, by));
    }
    return false;
}

bool kl_coef_split(const kl_exprs *x, kl_coef c, kl_coef by, kl_coef *q, kl_coef *r)
{
    *q = kl_coef_int(0);
    *r = c;
    if (kl_coef_zero(c))
        return true;
    if (!c.sym && by.sym)
        return false;
    if (!c.sym) {
        q->v = kl_int_floordiv(c.v, by.v);
        r->v = c.v - q->v * by.v;
        return true;
    }
    kl_dim quot;
    if (by.sym && !dim_over(x->dims, c.v, by.v, &quot))
        return false;
    kl_coef f = of_dim(x, by.sym ? quot : kl_dim_div(x->dims, c.v, as_dim(x, by)));
    kl_coef rest = kl_coef_add(x, c, kl_coef_neg(x, kl_coef_mul(x, f, by)));
    if (kl_coef_bad(rest) || rest.sym || rest.v < 0 || (by.sym ? rest.v : rest.v >= by.v))
        return false;
    *q = f;
    *r = rest;
    return true;
}

bool kl_coef_divides(const kl_exprs *x, kl_coef c, kl_coef by, kl_coef *q)
{
    kl_coef r;
    return kl_coef_split(x, c, by, q, &r) && kl_coef_zero(r);
}

/* ---- linear forms ---- */

void kl_lin_term(const kl_exprs *x, kl_lin *l, kl_x atom, kl_coef c)
{
    if (kl_coef_zero(c))
        return;
    for (int i = 0; i < l->n; i++) {
        if (l->t[i].atom != atom)
            continue;
        l->t[i].c = kl_coef_add(x, l->t[i].c, c);
        l->bad |= kl_coef_bad(l->t[i].c);
        if (kl_coef_zero(l->t[i].c))
            l->t[i] = l->t[--l->n];
        return;
    }
    l->bad |= l->n == KL_LIN_MAX || kl_coef_bad(c);
    if (!l->bad)
        l->t[l->n++] = (kl_linterm){c, atom};
}

/* Is this node a number or an extent? */
bool kl_coef_of(const kl_exprs *x, kl_x a, kl_coef *c)
{
    const kl_xnode *n = &x->nodes[a];
    *c = (kl_coef){(int64_t)n->imm, n->op == KL_X_DIM};
    return n->op == KL_X_CONST || n->op == KL_X_DIM;
}

/* l += scale * a */
void kl_lin_put(const kl_exprs *x, kl_lin *l, kl_x a, kl_coef scale)
{
    kl_linterm stack[2 * KL_LIN_MAX];
    int n = 0;
    for (stack[n++] = (kl_linterm){scale, a}; n && !l->bad;) {
        kl_linterm t = stack[--n];
        const kl_xnode *e = &x->nodes[t.atom];
        kl_coef c, d;
        if (n + 2 > 2 * KL_LIN_MAX) {
            l->bad = true;
        } else if (kl_coef_of(x, t.atom, &c)) {
            l->k = kl_coef_add(x, l->k, kl_coef_mul(x, t.c, c));
            l->bad |= kl_coef_bad(l->k);
        } else if (e->op == KL_OP_add || e->op == KL_OP_sub) {
            kl_coef right = e->op == KL_OP_add ? t.c : kl_coef_neg(x, t.c);
            stack[n++] = (kl_linterm){right, e->src[1]};
            stack[n++] = (kl_linterm){t.c, e->src[0]};
        } else if (e->op == KL_OP_neg) {
            stack[n++] = (kl_linterm){kl_coef_neg(x, t.c), e->src[0]};
        } else if (e->op == KL_OP_mul && kl_coef_of(x, e->src[1], &d)) {
            stack[n++] = (kl_linterm){kl_coef_mul(x, t.c, d), e->src[0]};
        } else if (e->op == KL_OP_mul && kl_coef_of(x, e->src[0], &d)) {
            stack[n++] = (kl_linterm){kl_coef_mul(x, t.c, d), e->src[1]};
        } else {
            kl_lin_term(x, l, t.atom, t.c);
        }
    }
}

kl_lin kl_lin_of(const kl_exprs *x, kl_x a)
{
    kl_lin l = {.n = 0};
    kl_lin_put(x, &l, a, kl_coef_int(1));
    return l;
}

kl_lin kl_lin_sub(const kl_exprs *x, kl_x a, kl_x b)
{
    kl_lin l = kl_lin_of(x, a);
    kl_lin_put(x, &l, b, kl_coef_int(-1));
    return l;
}

/* Numeric bounds; false: may wrap. */
bool kl_lin_range(const kl_exprs *x, const kl_lin *l, int64_t *lo, int64_t *hi)
{
    __extension__ __int128 a, b;
    int64_t c0, c1;
    const int64_t cut = INT64_C(1) << 62;
    bool sym = l->k.sym, closed = true;
    kl_coef_range(x, l->k, &c0, &c1);
    a = c0, b = c1;
    for (int i = 0; i < l->n; i++) {
        const kl_xinfo *f = &x->info[l->t[i].atom];
        if (f->min == INT64_MIN && f->max == INT64_MAX)
            return false;
        kl_coef_range(x, l->t[i].c, &c0, &c1);
        __extension__ __int128 p[4] = {c0, c0, c1, c1}, u, v;
        p[0] *= f->min, p[1] *= f->max, p[2] *= f->min, p[3] *= f->max;
        u = KL_MIN(KL_MIN(p[0], p[1]), KL_MIN(p[2], p[3]));
        v = KL_MAX(KL_MAX(p[0], p[1]), KL_MAX(p[2], p[3]));
        a += u, b += v;
        sym |= l->t[i].c.sym || f->sym;
        closed &= f->min >= -cut && f->max <= cut;
    }
    sym &= closed;
    if (!sym && (a < INT64_MIN || b > INT64_MAX))
        return false;
    *lo = (int64_t)KL_MAX(a, (sym ? -cut : INT64_MIN));
    *hi = (int64_t)KL_MIN(b, (sym ? cut : INT64_MAX));
    return true;
}

/* ---- symbolic bounds: r < B is beyond numbers ---- */

static kl_coef lin_bound(const kl_exprs *x, const kl_lin *l, bool upper, int depth);
static const kl_coef unbounded = {KL_DIM_BAD, true};

static kl_coef bound_add(const kl_exprs *x, kl_coef a, kl_coef b)
{
    int64_t v;
    if (!a.sym && !b.sym && kl_add_overflow(a.v, b.v, &v))
        return unbounded;
    return kl_coef_add(x, a, b);
}

static kl_coef bound_mul(const kl_exprs *x, kl_coef a, kl_coef b)
{
    int64_t v;
    if (!a.sym && !b.sym && kl_mul_overflow(a.v, b.v, &v))
        return unbounded;
    return kl_coef_mul(x, a, b);
}

static kl_coef numeric(const kl_exprs *x, kl_x a, bool upper)
{
    const kl_xinfo *f = &x->info[a];
    if (f->min == INT64_MIN && f->max == INT64_MAX)
        return unbounded;
    return kl_coef_int(upper ? f->max : f->min);
}

/* a <= b: then a floordiv c <= b floordiv c, which is q - 1 where b + 1 is q * c. */
static kl_coef quotient_bound(const kl_exprs *x, kl_coef b, kl_coef c)
{
    kl_coef q, end = bound_add(x, b, kl_coef_int(1));
    if (kl_coef_bad(end) || (!c.sym && c.v <= 0))
        return unbounded;
    if (kl_coef_divides(x, end, c, &q))
        return bound_add(x, q, kl_coef_int(-1));
    kl_dim by = as_dim(x, c);
    return of_dim(x, kl_dim_div(x->dims, as_dim(x, b), by));
}

static kl_coef atom_bound(const kl_exprs *x, kl_x a, bool upper, int depth)
{
    const kl_xnode *n = &x->nodes[a];
    kl_coef c;
    if (!x->info[a].sym || depth == 0)
        return numeric(x, a, upper);
    if (n->op == KL_X_VAR)
        return upper ? kl_coef_add(x, of_dim(x, x->var_extent[n->imm]), kl_coef_int(-1))
                     : kl_coef_int(0);
    if (n->op == KL_OP_mod && upper && kl_coef_of(x, n->src[1], &c))
        return kl_coef_add(x, c, kl_coef_int(-1));
    if (n->op == KL_OP_floordiv && kl_coef_of(x, n->src[1], &c) && upper) {
        kl_lin l = kl_lin_of(x, n->src[0]);
        return l.bad ? unbounded
                     : quotient_bound(x, lin_bound(x, &l, true, depth - 1), c);
    }
    if ((n->op == KL_OP_min && upper) || (n->op == KL_OP_max && !upper))
        return kl_coef_of(x, n->src[1], &c) ? c
                                            : atom_bound(x, n->src[0], upper, depth - 1);
    return numeric(x, a, upper);
}

static kl_coef lin_bound(const kl_exprs *x, const kl_lin *l, bool upper, int depth)
{
    kl_coef sum = l->k;
    for (int i = 0; i < l->n && !kl_coef_bad(sum); i++) {
        int64_t lo, hi;
        kl_coef_range(x, l->t[i].c, &lo, &hi);
        if (lo < 0 && hi > 0)
            return unbounded;
        kl_coef b = atom_bound(x, l->t[i].atom, upper == (lo >= 0), depth);
        sum = bound_add(x, sum, bound_mul(x, l->t[i].c, b));
    }
    return sum;
}

/* Proved l < 0, l >= 0? Neither: 0. */
int kl_lin_sign(const kl_exprs *x, const kl_lin *l)
{
    int64_t lo, hi, d;
    if (l->bad || !kl_lin_range(x, l, &lo, &hi))
        return 0;
    if (hi < 0 || lo >= 0)
        return hi < 0 ? -1 : 1;
    kl_coef up = lin_bound(x, l, true, KL_LIN_DEPTH),
            down = lin_bound(x, l, false, KL_LIN_DEPTH);
    if (!kl_coef_bad(up)) {
        kl_coef_range(x, up, &d, &hi);
        if (hi < 0)
            return -1;
    }
    if (!kl_coef_bad(down)) {
        kl_coef_range(x, down, &lo, &d);
        if (lo >= 0)
            return 1;
    }
    return 0;
}

/* ---- forms back to nodes ---- */

kl_x kl_x_raw2(kl_exprs *x, int op, kl_dtype dt, kl_x a, kl_x b)
{
    kl_xnode n = {
        .op = (uint16_t)op, .dtype = (uint8_t)dt, .nsrc = 2, .src = {a, b, KL_NONE}};
    return kl_x_intern(x, &n);
}

kl_x kl_coef_node(kl_exprs *x, kl_coef c)
{
    return c.sym ? kl_x_dim(x, c.v) : kl_x_int(x, c.v);
}

static kl_x plus(kl_exprs *x, kl_x acc, int op, kl_x a)
{
    return acc == KL_NONE ? a : kl_x_raw2(x, op, KL_I64, acc, a);
}

/* l with k * (p mod m) as k * p where c divides k * m: equal but for a multiple of c. */
static kl_lin unreduced(const kl_exprs *x, const kl_lin *l, kl_coef c)
{
    kl_lin r = {.k = l->k, .bad = l->bad};
    for (int i = 0; i < l->n; i++) {
        const kl_xnode *n = &x->nodes[l->t[i].atom];
        kl_coef m, q;
        if (n->op == KL_OP_mod && kl_coef_of(x, n->src[1], &m) &&
            kl_coef_divides(x, kl_coef_mul(x, l->t[i].c, m), c, &q))
            kl_lin_put(x, &r, n->src[0], l->t[i].c);
        else
            kl_lin_term(x, &r, l->t[i].atom, l->t[i].c);
    }
    return r;
}

/* a and b differ by a multiple of c, and nothing wraps. */
static bool congruent(const kl_exprs *x, kl_x a, kl_x b, kl_coef c)
{
    kl_lin l = kl_lin_of(x, a), m = kl_lin_of(x, b), d = kl_lin_sub(x, a, b);
    int64_t lo, hi;
    kl_coef q;
    d = unreduced(x, &d, c);
    if (l.bad || m.bad || d.bad || !kl_lin_range(x, &l, &lo, &hi) ||
        !kl_lin_range(x, &m, &lo, &hi) || !kl_coef_divides(x, d.k, c, &q))
        return false;
    for (int i = 0; i < d.n; i++)
        if (!kl_coef_divides(x, d.t[i].c, c, &q))
            return false;
    return true;
}

/* Is d the quotient of what kl_linterm i, p mod C, is the rest of? Then what both make.
 */
static kl_x joined(const kl_exprs *x, const kl_xnode *m, kl_coef c, kl_x quotient)
{
    const kl_xnode *d = &x->nodes[quotient], *p = &x->nodes[m->src[0]];
    kl_coef by, inner;
    if (d->op != KL_OP_floordiv || !kl_coef_of(x, d->src[1], &by))
        return KL_NONE;
    if (p->op == KL_OP_floordiv && kl_coef_of(x, p->src[1], &inner) &&
        d->src[0] == p->src[0] && kl_coef_same(by, kl_coef_mul(x, inner, c)))
        return m->src[0];
    bool one = kl_coef_same(by, c) &&
               (d->src[0] == m->src[0] || congruent(x, d->src[0], m->src[0], c));
    return one ? d->src[0] : KL_NONE;
}

/* p mod C*D, of numbers alone. */
static kl_x mod_product(kl_exprs *x, kl_x p, kl_coef c, kl_x d)
{
    int64_t by;
    if (c.sym || !kl_x_is_int(x, d, &by) || c.v < 1 || by < 1 ||
        kl_mul_overflow(c.v, by, &by))
        return KL_NONE;
    return kl_x_raw2(x, KL_OP_mod, KL_I64, p, kl_x_int(x, by));
}

/* p mod C and p floordiv C: find the partner of kl_linterm i, whose coefficient is C
 * times its own. */
static int partner(kl_exprs *x, const kl_lin *l, int i, kl_x *whole)
{
    const kl_xnode m = x->nodes[l->t[i].atom];
    kl_coef c;
    if (m.op != KL_OP_mod || !kl_coef_of(x, m.src[1], &c))
        return -1;
    for (int j = 0; j < l->n; j++) {
        const kl_xnode d = x->nodes[l->t[j].atom];
        if (!kl_coef_same(l->t[j].c, kl_coef_mul(x, l->t[i].c, c)))
            continue;
        *whole = joined(x, &m, c, d.op == KL_OP_mod ? d.src[0] : l->t[j].atom);
        if (*whole != KL_NONE && d.op == KL_OP_mod)
            *whole = mod_product(x, *whole, c, d.src[1]);
        if (*whole != KL_NONE)
            return j;
    }
    return -1;
}

static void rejoin(kl_exprs *x, kl_lin *l)
{
    kl_x whole;
    for (int i = 0; i < l->n; i++) {
        int j = l->n > 1 ? partner(x, l, i, &whole) : -1;
        if (j < 0)
            continue;
        kl_coef c = l->t[i].c;
        int hi = KL_MAX(i, j), lo = KL_MIN(i, j);
        l->t[hi] = l->t[--l->n];
        l->t[lo] = l->t[--l->n];
        kl_lin_put(x, l, whole, c);
        if (l->bad)
            return;
        i = -1;
    }
}

static void sort_terms(kl_lin *l)
{
    for (int i = 1; i < l->n; i++)
        for (int j = i; j > 0 && l->t[j - 1].atom > l->t[j].atom; j--) {
            kl_linterm t = l->t[j];
            l->t[j] = l->t[j - 1];
            l->t[j - 1] = t;
        }
}

/* Positive terms first, then negative ones are subtracted, then the constant. */
kl_x kl_lin_build(kl_exprs *x, kl_lin *l)
{
    kl_x acc = KL_NONE;
    rejoin(x, l);
    if (l->bad || kl_coef_bad(l->k))
        return KL_NONE;
    sort_terms(l);
    for (int neg = 0; neg < 2; neg++)
        for (int i = 0; i < l->n; i++) {
            kl_coef c = l->t[i].c;
            if (kl_coef_negative(x, c) != (bool)neg)
                continue;
            if (neg && acc == KL_NONE && !kl_coef_negative(x, l->k)) {
                acc = kl_coef_node(x, l->k);
                l->k = kl_coef_int(0);
            }
            bool minus = neg && acc != KL_NONE && !(!c.sym && c.v == INT64_MIN);
            c = minus ? kl_coef_neg(x, c) : c;
            kl_x t = l->t[i].atom;
            if (c.sym || c.v != 1)
                t = kl_x_raw2(x, KL_OP_mul, KL_I64, t, kl_coef_node(x, c));
            acc = plus(x, acc, minus ? KL_OP_sub : KL_OP_add, t);
        }
    if (kl_coef_zero(l->k))
        return acc == KL_NONE ? kl_x_int(x, 0) : acc;
    bool minus =
        acc != KL_NONE && kl_coef_negative(x, l->k) && (l->k.sym || l->k.v != INT64_MIN);
    return plus(x, acc, minus ? KL_OP_sub : KL_OP_add,
                kl_coef_node(x, minus ? kl_coef_neg(x, l->k) : l->k));
}
