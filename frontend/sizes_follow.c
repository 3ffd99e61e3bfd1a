/* sizes_follow.c: a function traced at several sizes, its traces read side by side: what
 * differs between them is an expression of the dimensions. What an operation's shape is
 * follows from its operands exactly, floors of strided windows too; what a trace only
 * says as a number (a reshape's extent, a pad) is looked for among the extents that are
 * known by then.
 *
 *   x f32[2,3,32] [5,3,37]  window stride 2 of it  ->  f32[B,3,floor((H-1)/2)]  inferred
 *   reshape to [2,45]       [5,54]                 ->  [B,3*floor((H-1)/2)]     found
 *
 * What is found is a guess: the more traces there are, the surer. Where an extent is more
 * than a polynomial, more are asked for (`vague`, `guessed`). */
#include "sizes.h"

enum { UNITS = 96, FLOORS = 32, STEPS = 8 };

/* ---- what is known so far ---- */

static kl_status add_unit(kl_follow *f, kl_dim x)
{
    if (x == KL_DIM_BAD || kl_dim_is_const(f->d, x, NULL) || f->nunits == UNITS)
        return KL_OK;
    for (uint32_t i = 0; i < f->nunits; i++)
        if (f->unit[i].dim == x)
            return KL_OK;
    kl_unit_of *u = &f->unit[f->nunits++];
    u->dim = x;
    for (int k = 0; k < KL_TRACES; k++)
        u->v[k] = kl_dim_eval(f->d, x, f->sym[k]);
    return KL_OK;
}

/* A dimension that follows from others: the text of its formula. */
static kl_status derived(kl_follow *f, const kl_dimension *d, kl_dim *out)
{
    kl_lex l;
    int n = kl_dim_sym_count(f->d);
    kl_lex_init(&l, d->name ? d->name : "dimension", d->is);
    KL_TRY(kl_dim_parse(f->d, &l, out));
    if (l.kind != KL_TOK_END || *out == KL_DIM_BAD || kl_dim_sym_count(f->d) > n)
        return kl_fail(KL_ERR_ARG, "dimension %s: '%.100s' is no formula of the others",
                       d->name ? d->name : "NULL", d->is);
    return KL_OK;
}

static kl_status begin(kl_follow *f, kl_arena *a)
{
    f->nunits = 0;
    f->d = kl_dims_new(a);
    f->dim = kl_arena_alloc(a, ((size_t)f->ndims + 1) * sizeof *f->dim);
    f->unit = kl_arena_alloc(a, UNITS * sizeof *f->unit);
    if (!f->d || !f->dim || !f->unit)
        return kl_fail(KL_ERR_OOM, "out of memory for symbols");
    for (int i = 0, s = 0; i < f->ndims; i++) {
        if (f->dims[i].is)
            continue;
        f->dim[i] = kl_dim_sym(f->d, f->dims[i].name);
        if (kl_dim_sym_count(f->d) != s + 1)
            return kl_fail(KL_ERR_ARG, "two dimensions are called %s", f->dims[i].name);
        kl_dim_sym_bound(f->d, f->dim[i], f->min[s], f->max[s], f->by[s]);
        s++;
    }
    for (int i = 0; i < f->ndims; i++)
        if (f->dims[i].is)
            KL_TRY(derived(f, &f->dims[i], &f->dim[i]));
    for (int i = 0; i < f->ndims; i++)
        KL_TRY(add_unit(f, f->dim[i]));
    for (int i = 0, s = 0; i < f->ndims; i++) /* what a stride by its divisor leaves */
        if (!f->dims[i].is)
            KL_TRY(add_unit(f, kl_dim_div(f->d, f->dim[i], f->by[s++])));
    return KL_OK;
}

kl_status kl_follow_values(kl_follow *f)
{
    kl_arena *a = kl_arena_new();
    kl_status st = a ? begin(f, a) : kl_fail(KL_ERR_OOM, "out of memory for symbols");
    for (int k = 0; k < KL_TRACES && st == KL_OK; k++)
        for (int i = 0; i < f->ndims; i++)
            f->value[k * f->ndims + i] = kl_dim_eval(f->d, f->dim[i], f->sym[k]);
    kl_arena_free(a);
    return st;
}

kl_status kl_follow_read(kl_follow *f, kl_arena *a, kl_graph **out)
{
    KL_TRY(begin(f, a));
    return kl_import(&f->trace[0], a, &(kl_substitution){.dims = f->d, .follow = f}, out);
}

void kl_follow_input(const kl_follow *f, uint32_t i, kl_type *t)
{
    for (int a = 0; i < (uint32_t)f->nin && a < t->rank; a++) {
        int64_t d = -1 - f->in[i].shape.v[a];
        if (d >= 0)
            t->shape[a] = f->dim[d];
    }
}

/* ---- an extent that must not be below `least`: sizes too small for it are refused ----
 */

/* The smallest value of symbol s, others as in the first trace, from which on x is large
 * enough; it grows with s. */
static void raise_symbol(kl_follow *f, int s, kl_dim x, int64_t least)
{
    int64_t at[KL_SIZE_SYMBOLS], by = f->by[s];
    memcpy(at, f->sym[0], sizeof at);
    int64_t lo = (f->min[s] + by - 1) / by, hi = f->sym[0][s] / by;
    while (lo < hi) {
        int64_t mid = lo + (hi - lo) / 2;
        at[s] = mid * by;
        if (kl_dim_eval(f->d, x, at) >= least)
            hi = mid;
        else
            lo = mid + 1;
    }
    if (lo * by > f->min[s] + by - 1) {
        f->min[s] = lo * by;
        f->raised = true;
    }
}

static void at_least(kl_follow *f, kl_dim x, int64_t least)
{
    int64_t min, max;
    bool uses[KL_SIZE_SYMBOLS] = {false};
    kl_dim_range(f->d, x, &min, &max);
    if (min >= least)
        return;
    kl_dim_uses(f->d, x, uses);
    for (int s = 0; s < f->nsyms; s++)
        if (uses[s])
            raise_symbol(f, s, x, least);
}

void kl_follow_note(kl_follow *f, const kl_graph *g, kl_ref r)
{
    const kl_node *n = &g->nodes[r];
    bool windows = n->op == KL_OP_window || n->op == KL_OP_fold;
    if (kl_ops[n->op].flags & KL_F_MULTI)
        return;
    const kl_dim *shape = kl_graph_shape(g, r),
                 *from = windows ? kl_graph_shape(g, kl_graph_src(g, r, 0)) : shape;
    for (int i = 0; i < n->rank; i++) {
        if (kl_dim_is_const(f->d, shape[i], NULL))
            continue;
        bool moved = windows && shape[i] != from[i];
        f->vague |= moved;
        at_least(f, shape[i], moved);
        add_unit(f, shape[i]);
    }
}

/* ---- looking for an expression with these values ---- */

typedef struct search {
    kl_follow *f;
    const int64_t *v; /* [f->n] */
    const kl_dim *near;
    int nnear; /* extents of the operand */
    kl_dim found;
} search;

static int64_t value(const search *s, kl_dim x, int k)
{
    return kl_dim_eval(s->f->d, x, s->f->sym[k]);
}

static bool accept(search *s, kl_dim x)
{
    if (x == KL_DIM_BAD)
        return false;
    for (int k = 0; k < s->f->n; k++)
        if (value(s, x, k) != s->v[k])
            return false;
    s->found = x;
    return true;
}

/* v = factor * x, of whole factors. */
static bool multiple(search *s, kl_dim x)
{
    int64_t u = x == KL_DIM_BAD ? 0 : value(s, x, 0);
    kl_dims *d = s->f->d;
    return u != 0 && s->v[0] % u == 0 &&
           accept(s, kl_dim_mul(d, x, kl_dim_const(d, s->v[0] / u)));
}

/* v = factor * x + plus. */
static bool line(search *s, kl_dim x)
{
    kl_dims *d = s->f->d;
    for (int k = 1; k < s->f->n; k++) {
        int64_t dx = value(s, x, k) - value(s, x, 0), dv = s->v[k] - s->v[0];
        if (dx == 0)
            continue;
        if (dv == 0 || dv % dx)
            return false;
        kl_dim y = kl_dim_mul(d, x, kl_dim_const(d, dv / dx));
        int64_t plus = s->v[0] - dv / dx * value(s, x, 0);
        return accept(s, kl_dim_add(d, y, kl_dim_const(d, plus)));
    }
    return false;
}

static bool same(search *s, kl_dim x)
{
    return accept(s, x);
}

static bool each(search *s, bool (*test)(search *s, kl_dim x))
{
    for (int i = 0; i < s->nnear; i++)
        if (!kl_dim_is_const(s->f->d, s->near[i], NULL) && test(s, s->near[i]))
            return true;
    for (uint32_t i = 0; i < s->f->nunits; i++)
        if (test(s, s->f->unit[i].dim))
            return true;
    return false;
}

/* Some of the operand's extents that stand together. */
static bool run_of_extents(search *s)
{
    for (int i = 0; i < s->nnear; i++) {
        kl_dim x = s->near[i];
        for (int k = i + 1; k < s->nnear; k++) {
            x = kl_dim_mul(s->f->d, x, s->near[k]);
            if (multiple(s, x))
                return true;
        }
    }
    return false;
}

/* factor * a product of up to `more` + 1 units, from number i on. Values are tried before
 * an expression is made of them. */
static bool products(search *s, uint32_t i, int more, kl_dim x, const int64_t *xv)
{
    for (; i < s->f->nunits; i++) {
        int64_t v[KL_TRACES];
        bool ok = true;
        for (int k = 0; k < s->f->n; k++)
            ok &= !kl_mul_overflow(xv[k], s->f->unit[i].v[k], &v[k]) && v[k] != 0 &&
                  s->v[k] % v[k] == 0;
        if (!ok)
            continue;
        kl_dim y = kl_dim_mul(s->f->d, x, s->f->unit[i].dim);
        if (multiple(s, y) || (more && products(s, i, more - 1, y, v)))
            return true;
    }
    return false;
}

static const int64_t ones[KL_TRACES] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};
_Static_assert(KL_TRACES == 16, "as many ones");

/* ---- what is no polynomial of units ---- */

/* v = a * x + b * y + plus, of small factors. */
static bool combination(search *s, kl_dim x, kl_dim y)
{
    kl_dims *d = s->f->d;
    for (int a = -STEPS; a <= STEPS; a++)
        for (int b = -STEPS; b <= STEPS; b++) {
            int64_t first = a * value(s, x, 0) + b * value(s, y, 0);
            bool ok = a && b;
            for (int k = 1; k < s->f->n && ok; k++)
                ok = a * value(s, x, k) + b * value(s, y, k) - first == s->v[k] - s->v[0];
            kl_dim z = !ok ? KL_DIM_BAD
                           : kl_dim_add(d, kl_dim_mul(d, x, kl_dim_const(d, a)),
                                        kl_dim_mul(d, y, kl_dim_const(d, b)));
            if (ok && accept(s, kl_dim_add(d, z, kl_dim_const(d, s->v[0] - first))))
                return true;
        }
    return false;
}

static bool combinations(search *s)
{
    kl_follow *f = s->f;
    for (uint32_t i = 0; i < f->nunits; i++)
        for (uint32_t k = 0; k < i; k++)
            if (combination(s, f->unit[k].dim, f->unit[i].dim))
                return true;
    return false;
}

/* Whether v could be a line of such values. */
static bool on_line(const search *s, const int64_t *x)
{
    int k = 1;
    while (k < s->f->n && x[k] == x[0])
        k++;
    if (k == s->f->n || (s->v[k] - s->v[0]) % (x[k] - x[0]))
        return false;
    int64_t factor = (s->v[k] - s->v[0]) / (x[k] - x[0]);
    for (k = 0; k < s->f->n; k++)
        if (s->v[k] - s->v[0] != factor * (x[k] - x[0]))
            return false;
    return factor != 0;
}

/* v = factor * floor((x + a) / by) + plus, or with mod. */
static bool floors(search *s, kl_dim x)
{
    kl_dims *d = s->f->d;
    int64_t q[KL_TRACES], r[KL_TRACES];
    for (int64_t by = 2; by <= FLOORS; by++)
        for (int64_t a = 0; a < by; a++) {
            for (int k = 0; k < s->f->n; k++) {
                q[k] = (value(s, x, k) + a) / by; /* none is below 0 */
                r[k] = (value(s, x, k) + a) % by;
            }
            kl_dim y = kl_dim_add(d, x, kl_dim_const(d, a));
            if ((on_line(s, q) && line(s, kl_dim_div(d, y, by))) ||
                (on_line(s, r) && line(s, kl_dim_mod(d, y, by))))
                return true;
        }
    return false;
}

/* v = floor((x + a) / by) * one of y: of an image that was strided, then laid flat. */
static bool floor_product(search *s, kl_dim x, kl_dim y)
{
    kl_dims *d = s->f->d;
    int64_t rest[KL_TRACES];
    for (int64_t by = 2; by <= FLOORS; by++)
        for (int64_t a = 0; a < by; a++) {
            bool ok = true;
            for (int k = 0; k < s->f->n && ok; k++) {
                int64_t q = (value(s, x, k) + a) / by;
                ok = q > 0 && s->v[k] % q == 0;
                rest[k] = ok ? s->v[k] / q : 0;
            }
            search other = {.f = s->f, .v = rest};
            kl_dim z = kl_dim_add(d, x, kl_dim_const(d, a));
            if (ok && floors(&other, y) &&
                accept(s, kl_dim_mul(d, kl_dim_div(d, z, by), other.found)))
                return true;
        }
    return false;
}

static bool floor_products(search *s)
{
    kl_follow *f = s->f;
    for (int i = 0; i < f->ndims; i++)
        for (int k = 0; k < i; k++)
            if (floor_product(s, f->dim[k], f->dim[i]))
                return true;
    return false;
}

static bool find(search *s)
{
    if (each(s, same) || each(s, multiple) || run_of_extents(s) ||
        products(s, 0, 3, 1, ones) || each(s, line))
        return true;
    s->f->vague = s->f->guessed = true;
    return combinations(s) || each(s, floors) || floor_products(s);
}

kl_dim kl_follow_extent(kl_follow *f, const int64_t *v, const kl_dim *near, int nnear)
{
    search s = {.f = f, .v = v, .near = near, .nnear = nnear};
    return find(&s) ? s.found : KL_DIM_BAD;
}

/* ---- numbers that sizes make: a count, one over it, a count over the one before ---- */

static int64_t encode(kl_dtype dt, double v)
{
    int size = kl_dtypes[dt].size;
    uint64_t bits = kl_scalar_from(dt, v).bits;
    return (int64_t)(size < 8 ? bits & ((UINT64_C(1) << 8 * size) - 1) : bits);
}

/* The number that stands for count n. */
static double number_of(kl_number_form form, int64_t over, double n)
{
    return form == KL_NUMBER_COUNT     ? (double)over * n
           : form == KL_NUMBER_INVERSE ? (double)over / n
                                       : n / (n - 1);
}

static double count_of(kl_number_form form, int64_t over, double x)
{
    return nearbyint(form == KL_NUMBER_COUNT     ? x / (double)over
                     : form == KL_NUMBER_INVERSE ? (double)over / x
                                                 : x / (x - 1));
}

static bool counts(const kl_follow *f, kl_dtype dt, const int64_t *v, const kl_number *as,
                   int64_t *count)
{
    for (int k = 0; k < f->n; k++) {
        double x = kl_scalar_to_double(dt, (kl_scalar){.bits = (uint64_t)v[k]});
        double n = count_of(as->form, as->over, x);
        if (!(n >= 0 && n < 1e15) || encode(dt, number_of(as->form, as->over, n)) != v[k])
            return false;
        count[k] = (int64_t)n + as->less;
    }
    return true;
}

/* One extent over another, or both less one, as resampling has it. */
static bool quotient(const kl_follow *f, kl_dtype dt, const int64_t *v,
                     const kl_unit_of *a, const kl_unit_of *b, int less)
{
    for (int k = 0; k < f->n; k++)
        if (b->v[k] == less ||
            encode(dt, (double)(a->v[k] - less) / (double)(b->v[k] - less)) != v[k])
            return false;
    return true;
}

/* One extent over a whole number. */
static bool fractions(kl_follow *f, kl_dtype dt, const int64_t *v, kl_number *out)
{
    double x0 = kl_scalar_to_double(dt, (kl_scalar){.bits = (uint64_t)v[0]});
    for (uint32_t i = 0; i < f->nunits && x0 > 0; i++) {
        double by = nearbyint((double)f->unit[i].v[0] / x0);
        bool ok = by >= 1 && by < 1e6;
        for (int k = 0; k < f->n && ok; k++)
            ok = encode(dt, (double)f->unit[i].v[k] / by) == v[k];
        if (ok) {
            *out = (kl_number){KL_NUMBER_QUOTIENT, 1, 0, f->unit[i].dim,
                               kl_dim_const(f->d, (int64_t)by)};
            return true;
        }
    }
    return false;
}

static bool quotients(kl_follow *f, kl_dtype dt, const int64_t *v, kl_number *out)
{
    for (uint32_t i = 0; i < f->nunits && !kl_is_complex(dt); i++)
        for (uint32_t k = 0; k < f->nunits; k++)
            for (int less = 0; less < 2; less++)
                if (quotient(f, dt, v, &f->unit[i], &f->unit[k], less)) {
                    kl_dim one = kl_dim_const(f->d, less);
                    *out = (kl_number){KL_NUMBER_QUOTIENT, 1, 0,
                                       kl_dim_sub(f->d, f->unit[i].dim, one),
                                       kl_dim_sub(f->d, f->unit[k].dim, one)};
                    return true;
                }
    return false;
}

/* The count of such a number as a multiple of up to `more` + 1 units, from number i on:
 * where the number's few digits do not tell it. */
static bool number_product(kl_follow *f, kl_dtype dt, const int64_t *v, kl_number *out,
                           uint32_t i, int more, kl_dim x, const int64_t *xv)
{
    double x0 = kl_scalar_to_double(dt, (kl_scalar){.bits = (uint64_t)v[0]});
    double less = (double)out->less, first = count_of(out->form, out->over, x0) + less;
    for (; i < f->nunits && first >= 1 && first < 1e15; i++) {
        int64_t y[KL_TRACES];
        bool ok = true;
        for (int k = 0; k < f->n; k++)
            ok &= !kl_mul_overflow(xv[k], f->unit[i].v[k], &y[k]) && y[k] > 0;
        if (!ok || (double)y[0] > 1.5 * first)
            continue;
        double by = KL_MAX(nearbyint(first / (double)y[0]), 1);
        kl_dim z = kl_dim_mul(f->d, x, f->unit[i].dim);
        for (int k = 0; k < f->n && ok; k++)
            ok = encode(dt, number_of(out->form, out->over, by * (double)y[k] - less)) ==
                 v[k];
        if (ok)
            out->count =
                kl_dim_sub(f->d, kl_dim_mul(f->d, z, kl_dim_const(f->d, (int64_t)by)),
                           kl_dim_const(f->d, out->less));
        if (ok || (more && number_product(f, dt, v, out, i, more - 1, z, y)))
            return out->count != KL_DIM_BAD;
    }
    return false;
}

static bool counted_number(kl_follow *f, kl_dtype dt, const int64_t *v, kl_number *out)
{
    int64_t count[KL_TRACES];
    if (counts(f, dt, v, out, count)) {
        kl_dim n = kl_follow_extent(f, count, NULL, 0);
        out->count =
            n == KL_DIM_BAD ? n : kl_dim_sub(f->d, n, kl_dim_const(f->d, out->less));
        if (out->count != KL_DIM_BAD)
            return true;
    }
    return (out->form != KL_NUMBER_COUNT || kl_is_float(dt)) &&
           number_product(f, dt, v, out, 0, 3, 1, ones);
}

bool kl_follow_number(kl_follow *f, kl_dtype dt, const int64_t *v, kl_number *out)
{
    static const kl_number forms[] = {
        {KL_NUMBER_COUNT, 1, 0, 0, 0},   {KL_NUMBER_INVERSE, 1, 0, 0, 0},
        {KL_NUMBER_COUNT, -1, 0, 0, 0},  {KL_NUMBER_INVERSE, -1, 0, 0, 0},
        {KL_NUMBER_INVERSE, 2, 0, 0, 0}, {KL_NUMBER_RATIO, 1, 0, 0, 0},
        {KL_NUMBER_INVERSE, 4, 0, 0, 0}, {KL_NUMBER_INVERSE, -2, 0, 0, 0},
        {KL_NUMBER_COUNT, 1, 1, 0, 0},   {KL_NUMBER_INVERSE, 1, 1, 0, 0},
        {KL_NUMBER_INVERSE, 2, 1, 0, 0},
    };
    for (size_t i = 0; i < KL_COUNT(forms) && !kl_is_complex(dt); i++) {
        *out = forms[i];
        if (counted_number(f, dt, v, out))
            return true;
    }
    return quotients(f, dt, v, out) || (kl_is_float(dt) && fractions(f, dt, v, out));
}
