/* dim_facts.c: what is known of an extent whatever its symbols turn out to be: the range
 * it stays in (interval arithmetic, term by term), a number that divides it, the symbols
 * in it.
 *
 *   B in 8..4096, 8 divides B:   2*B+1 in 17..8193;   4 divides floor(B/2) */
#include "ir/dim.h"

#define FAR (INT64_C(1) << 61) /* ranges saturate here */

static int64_t clamp(int64_t v)
{
    return v > FAR ? FAR : v < -FAR ? -FAR : v;
}

static int64_t far_mul(int64_t a, int64_t b)
{
    int64_t y;
    if (kl_mul_overflow(a, b, &y))
        return (a < 0) == (b < 0) ? FAR : -FAR;
    return clamp(y);
}

static kl_range range_mul(kl_range a, kl_range b)
{
    int64_t v[] = {far_mul(a.min, b.min), far_mul(a.min, b.max), far_mul(a.max, b.min),
                   far_mul(a.max, b.max)};
    kl_range y = {v[0], v[0]};
    for (int i = 1; i < 4; i++)
        y = (kl_range){KL_MIN(y.min, v[i]), KL_MAX(y.max, v[i])};
    return y;
}

static kl_range range_floor(kl_range a, kl_range b)
{
    if (b.min < 1) /* any sign, or zero: no larger than the dividend in size */
        return (kl_range){KL_MIN(-FAR, a.min), KL_MAX(FAR, a.max)};
    int64_t v[] = {kl_floordiv(a.min, b.min), kl_floordiv(a.min, b.max),
                   kl_floordiv(a.max, b.min), kl_floordiv(a.max, b.max)};
    return (kl_range){KL_MIN(v[0], v[1]), KL_MAX(v[2], v[3])};
}

static kl_range range_mod(kl_range a, kl_range b)
{
    if (b.min < 1)
        return (kl_range){-FAR, FAR};
    if (a.min >= 0)
        return (kl_range){0, KL_MIN(a.max, b.max - 1)};
    return (kl_range){0, b.max - 1};
}

static kl_range range_atom(const kl_dims *d, const kl_atom *t)
{
    if (t->kind == KL_ATOM_SYM)
        return (kl_range){clamp(d->syms[t->sym].min), clamp(d->syms[t->sym].max)};
    kl_range a = kl_range_of(d, t->a), b = kl_range_of(d, t->b);
    switch (t->kind) {
    case KL_ATOM_FLOOR:
        return range_floor(a, b);
    case KL_ATOM_MOD:
        return range_mod(a, b);
    case KL_ATOM_MAX:
        return (kl_range){KL_MAX(a.min, b.min), KL_MAX(a.max, b.max)};
    default:
        return (kl_range){KL_MIN(a.min, b.min), KL_MIN(a.max, b.max)};
    }
}

/* Interval arithmetic; each term on its own. */
void kl_dim_range(const kl_dims *d, kl_dim a, int64_t *min, int64_t *max)
{
    kl_term one;
    *min = -FAR;
    *max = FAR;
    if (a == KL_DIM_BAD)
        return;
    kl_sum s = kl_dim_terms(d, a, &one);
    kl_range y = {0, 0};
    for (int i = 0; i < s.n; i++) {
        kl_range t = {s.term[i].coef, s.term[i].coef};
        for (uint32_t j = 0; j < s.term[i].n; j++)
            t = range_mul(t, range_atom(d, &d->atoms[s.term[i].atom[j]]));
        y = (kl_range){clamp(y.min + clamp(t.min)), clamp(y.max + clamp(t.max))};
    }
    *min = y.min;
    *max = y.max;
}

static int64_t content(const kl_dims *d, kl_dim a);

/* A number that divides the atom whatever its symbols are. */
static int64_t content_atom(const kl_dims *d, const kl_atom *t)
{
    int64_t c;
    switch (t->kind) {
    case KL_ATOM_SYM:
        return d->syms[t->sym].divisor;
    case KL_ATOM_FLOOR:
        if (!kl_dim_is_const(d, t->b, &c) || c < 1)
            return 1;
        return content(d, t->a) % c ? 1 : content(d, t->a) / c;
    default:
        return kl_gcd(content(d, t->a), content(d, t->b));
    }
}

int64_t kl_term_content(const kl_dims *d, const kl_term *t)
{
    int64_t c = t->coef < 0 ? -t->coef : t->coef;
    for (uint32_t j = 0; j < t->n; j++) {
        int64_t k = content_atom(d, &d->atoms[t->atom[j]]), y;
        if (!kl_mul_overflow(c, k, &y))
            c = y;
    }
    return c;
}

static int64_t content(const kl_dims *d, kl_dim a)
{
    kl_term one;
    int64_t y = 0;
    kl_sum s = kl_dim_terms(d, a, &one);
    for (int i = 0; i < s.n; i++)
        y = kl_gcd(y, kl_term_content(d, &s.term[i]));
    return y;
}

bool kl_dim_divides(kl_dims *d, int64_t by, kl_dim a)
{
    return a != KL_DIM_BAD && by != 0 && content(d, a) % by == 0;
}

void kl_dim_uses(const kl_dims *d, kl_dim a, bool *syms)
{
    if (a >= 0 || a == KL_DIM_BAD)
        return;
    kl_sum s = d->sums[-1 - a];
    for (int i = 0; i < s.n; i++)
        for (uint32_t j = 0; j < s.term[i].n; j++) {
            const kl_atom *t = &d->atoms[s.term[i].atom[j]];
            if (t->kind == KL_ATOM_SYM) {
                syms[t->sym] = true;
                continue;
            }
            kl_dim_uses(d, t->a, syms);
            kl_dim_uses(d, t->b, syms);
        }
}
