/* expr_range.c: what is known of an integer or bool node when it is made: between which
 * values it lies, and which variables it contains. Ranges are what lets expr_simplify.c
 * drop a floordiv.
 *
 *   v with extent 64          0 .. 63        64*r + v, r with extent 10      0 .. 639
 *   mod(anything, 8)          0 .. 7         a loaded i64                    unknown
 *
 * Integers wrap, so a sum that may leave int64 is unknown. Where a range rests on a
 * symbol (whose bound, 2^40, is generous) it is cut at 2^62 instead: the sizes of all
 * tensors were checked when their shapes were made, so index arithmetic over symbols does
 * not overflow. */
#include "ir/ir.h"

__extension__ typedef __int128 wide;
typedef struct range {
    int64_t lo, hi;
    bool sym;
} range;
#define UNKNOWN ((range){INT64_MIN, INT64_MAX, false})
#define CUT (INT64_C(1) << 62)
#define SMALL (INT64_C(1) << 31)

static bool unknown(range r)
{
    return r.lo == INT64_MIN && r.hi == INT64_MAX;
}

/* Does the result of a and b rest on symbols, and on nothing of which less is known? */
static bool symbolic(range a, range b)
{
    bool closed = a.lo >= -CUT && a.hi <= CUT && b.lo >= -CUT && b.hi <= CUT;
    return closed && (a.sym || b.sym);
}

static range fit(wide lo, wide hi, bool sym)
{
    if (sym) {
        lo = KL_MIN(KL_MAX(lo, -CUT), CUT);
        hi = KL_MIN(KL_MAX(hi, -CUT), CUT);
    }
    if (lo < INT64_MIN || hi > INT64_MAX)
        return UNKNOWN;
    return (range){(int64_t)lo, (int64_t)hi, sym};
}

static range add(range a, range b)
{
    if (unknown(a) || unknown(b))
        return UNKNOWN;
    return fit((wide)a.lo + b.lo, (wide)a.hi + b.hi, symbolic(a, b));
}

static range sub(range a, range b)
{
    if (unknown(a) || unknown(b))
        return UNKNOWN;
    return fit((wide)a.lo - b.hi, (wide)a.hi - b.lo, symbolic(a, b));
}

/* A symbol's variable times a large constant may well wrap (a hash of an index does). */
static bool tame(range r)
{
    return r.sym || (r.lo >= -SMALL && r.hi <= SMALL);
}

static range mul(range a, range b)
{
    if (unknown(a) || unknown(b))
        return UNKNOWN;
    wide p[4] = {(wide)a.lo * b.lo, (wide)a.lo * b.hi, (wide)a.hi * b.lo,
                 (wide)a.hi * b.hi};
    wide lo = p[0], hi = p[0];
    for (int i = 1; i < 4; i++) {
        lo = KL_MIN(lo, p[i]);
        hi = KL_MAX(hi, p[i]);
    }
    if (lo >= INT64_MIN && hi <= INT64_MAX && lo >= -CUT && hi <= CUT)
        return (range){(int64_t)lo, (int64_t)hi, symbolic(a, b)};
    return fit(lo, hi, symbolic(a, b) && tame(a) && tame(b));
}

static int64_t floordiv(int64_t a, int64_t b)
{
    return a / b - (a % b != 0 && (a < 0) != (b < 0));
}

static range divf(range a, range b)
{
    if (b.lo < 1)
        return UNKNOWN;
    int64_t lo = floordiv(a.lo, a.lo < 0 ? b.lo : b.hi);
    int64_t hi = floordiv(a.hi, a.hi < 0 ? b.hi : b.lo);
    return (range){lo, hi, symbolic(a, b)};
}

static range mod(range a, range b)
{
    if (b.lo < 1)
        return UNKNOWN;
    int64_t hi = b.hi - 1;
    return (range){0, a.lo >= 0 ? KL_MIN(a.hi, hi) : hi, symbolic(a.lo >= 0 ? a : b, b)};
}

static range unite(range a, range b)
{
    return (range){KL_MIN(a.lo, b.lo), KL_MAX(a.hi, b.hi), symbolic(a, b)};
}

static range of_dtype(kl_dtype dt)
{
    unsigned bits = 8u * kl_dtypes[dt].size;
    if (dt == KL_BOOL)
        return (range){0, 1, false};
    if (!kl_is_int(dt) || bits == 64)
        return UNKNOWN;
    if (kl_dtypes[dt].cls == KL_CLS_UINT)
        return (range){0, (INT64_C(1) << bits) - 1, false};
    return (range){-(INT64_C(1) << (bits - 1)), (INT64_C(1) << (bits - 1)) - 1, false};
}

static range of_const(const kl_xnode *n)
{
    int64_t v = (int64_t)n->imm;
    unsigned spare = 64 - 8u * kl_dtypes[n->dtype].size;
    if (n->dtype == KL_U64 && v < 0)
        return UNKNOWN;
    if (kl_dtypes[n->dtype].cls == KL_CLS_SINT)
        v = (int64_t)((uint64_t)v << spare) >> spare;
    return (range){v, v, false};
}

static range of_leaf(const kl_exprs *x, const kl_xnode *n)
{
    int64_t lo, hi, v;
    if (n->op == KL_X_CONST)
        return of_const(n);
    kl_dim d = n->op == KL_X_VAR ? x->var_extent[n->imm] : (kl_dim)n->imm;
    kl_dim_range(x->dims, d, &lo, &hi);
    bool sym = !kl_dim_is_const(x->dims, d, &v);
    if (n->op == KL_X_VAR)
        return (range){0, KL_MAX(hi - 1, 0), sym};
    return (range){lo, hi, sym};
}

static range of_row(const kl_xnode *n, range a, range b, range c)
{
    switch (n->op) {
    case KL_OP_add:
        return add(a, b);
    case KL_OP_sub:
        return sub(a, b);
    case KL_OP_neg:
        return sub((range){0, 0, false}, a);
    case KL_OP_mul:
        return mul(a, b);
    case KL_OP_floordiv:
        return divf(a, b);
    case KL_OP_mod:
        return mod(a, b);
    case KL_OP_div:
        return a.lo >= 0 ? divf(a, b) : UNKNOWN;
    case KL_OP_rem:
        return a.lo >= 0 ? mod(a, b) : UNKNOWN;
    case KL_OP_min:
        return (range){KL_MIN(a.lo, b.lo), KL_MIN(a.hi, b.hi), symbolic(a, b)};
    case KL_OP_max:
        return (range){KL_MAX(a.lo, b.lo), KL_MAX(a.hi, b.hi), symbolic(a, b)};
    case KL_OP_where:
        return unite(b, c);
    case KL_OP_cast:
        return a;
    default:
        return UNKNOWN;
    }
}

/* An index is divided by an extent only where that extent's axis is not empty. */
static bool divisor(const kl_exprs *x, const kl_xnode *n, int i)
{
    bool divides = n->op == KL_OP_floordiv || n->op == KL_OP_mod || n->op == KL_OP_div ||
                   n->op == KL_OP_rem;
    return divides && i == 1 && x->nodes[n->src[1]].op == KL_X_DIM;
}

static range range_of(const kl_exprs *x, const kl_xnode *n)
{
    range s[3] = {UNKNOWN, UNKNOWN, UNKNOWN}, all = of_dtype(n->dtype), r;
    bool whole = true;
    if (n->dtype != KL_BOOL && !kl_is_int(n->dtype))
        return UNKNOWN;
    if (n->op == KL_X_CONST || n->op == KL_X_VAR || n->op == KL_X_DIM)
        return of_leaf(x, n);
    for (int i = 0; i < n->nsrc; i++) {
        const kl_xinfo *f = &x->info[n->src[i]];
        kl_dtype dt = x->nodes[n->src[i]].dtype;
        s[i] = (range){f->min, f->max, f->sym};
        if (s[i].lo == 0 && divisor(x, n, i))
            s[i].lo = 1;
        whole = whole && (dt == KL_BOOL || (kl_is_int(dt) && dt != KL_U64));
    }
    r = whole && n->dtype != KL_U64 ? of_row(n, s[0], s[1], s[2]) : UNKNOWN;
    return unknown(r) || r.lo < all.lo || r.hi > all.hi ? all : r;
}

kl_xinfo kl_x_info(const kl_exprs *x, const kl_xnode *n)
{
    range r = range_of(x, n);
    uint64_t vars = n->op == KL_X_VAR ? UINT64_C(1) << (n->imm & 63) : 0;
    for (int i = 0; i < n->nsrc; i++)
        vars |= x->info[n->src[i]].vars;
    return (kl_xinfo){.min = r.lo, .max = r.hi, .vars = vars, .sym = r.sym};
}

void kl_x_range(const kl_exprs *x, kl_x a, int64_t *min, int64_t *max)
{
    *min = a == KL_NONE ? INT64_MIN : x->info[a].min;
    *max = a == KL_NONE ? INT64_MAX : x->info[a].max;
}
