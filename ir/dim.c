/* dim.c: extents as canonical integer expressions over symbols. Every operation works on
 * a small array of terms on the stack, kept sorted and merged, and interns the result; so
 * two expressions that the rules below make equal are the same number.
 *
 *   (B+1)*2 - 2       ->  2*B
 *   floor((4*B+6)/4)  ->  B+1          what divides exactly leaves the floor
 *   mod(9*B+5, 8)     ->  mod(B+5,8)   coefficients are reduced first
 *   max(B+1, B)       ->  B+1          where ranges prove it
 *   4*floor(B/4)      ->  B            where 4 divides B
 *
 * Division and modulo are floor's; by zero they give 0 and the dividend. Whatever leaves
 * int64, or grows past the limits in dim.h, is KL_DIM_BAD, and so is all that is made of
 * it. */
#include "ir/dim.h"

typedef struct sum { /* a sum being built */
    int n;
    bool bad;
    kl_term t[KL_DIM_TERMS];
} sum;

kl_dims *kl_dims_new(kl_arena *a)
{
    kl_dims *d = kl_arena_zeroed(a, 1, sizeof *d);
    if (d)
        d->arena = a;
    else
        kl_fail(KL_ERR_OOM, "out of memory: symbols of a graph");
    return d;
}

kl_dims *kl_dims_own(const kl_dims *from, kl_arena *a)
{
    kl_dims *d = kl_arena_copy(a, from, sizeof *d);
    if (!d)
        return NULL;
    d->arena = a;
    d->cap_syms = d->nsyms;
    d->cap_atoms = d->natoms;
    d->cap_sums = d->nsums;
    d->syms = kl_arena_copy(a, from->syms, d->nsyms * sizeof *d->syms);
    d->atoms = kl_arena_copy(a, from->atoms, d->natoms * sizeof *d->atoms);
    d->sums = kl_arena_copy(a, from->sums, d->nsums * sizeof *d->sums);
    d->table = kl_arena_copy(a, from->table, d->table_cap * sizeof *d->table);
    return kl_arena_failed(a) ? NULL : d;
}

bool kl_dims_failed(const kl_dims *d)
{
    return d && kl_arena_failed(d->arena);
}

/* ---- order: by what expressions say ---- */

kl_sum kl_dim_terms(const kl_dims *d, kl_dim a, kl_term *one)
{
    if (a < 0)
        return d->sums[-1 - a];
    one->coef = a;
    one->n = 0;
    return (kl_sum){one, a != 0, 0, 1};
}

static int compare_dims(const kl_dims *d, kl_dim a, kl_dim b);

static int compare_atoms(const kl_dims *d, uint32_t i, uint32_t j)
{
    const kl_atom *a = &d->atoms[i], *b = &d->atoms[j];
    if (i == j)
        return 0;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    if (a->kind == KL_ATOM_SYM)
        return strcmp(d->syms[a->sym].name, d->syms[b->sym].name);
    int c = compare_dims(d, a->a, b->a);
    return c ? c : compare_dims(d, a->b, b->b);
}

/* Lexicographic; of a product and its extension the longer comes first, a constant last.
 */
static int compare_products(const kl_dims *d, const kl_term *a, const kl_term *b)
{
    for (uint32_t i = 0; i < a->n && i < b->n; i++) {
        int c = compare_atoms(d, a->atom[i], b->atom[i]);
        if (c)
            return c;
    }
    return a->n > b->n ? -1 : a->n < b->n;
}

static int compare_dims(const kl_dims *d, kl_dim a, kl_dim b)
{
    if (a == b)
        return 0;
    kl_term ta, tb;
    kl_sum x = kl_dim_terms(d, a, &ta), y = kl_dim_terms(d, b, &tb);
    for (int i = 0; i < x.n && i < y.n; i++) {
        int c = compare_products(d, &x.term[i], &y.term[i]);
        if (c)
            return c;
        if (x.term[i].coef != y.term[i].coef)
            return x.term[i].coef < y.term[i].coef ? -1 : 1;
    }
    return x.n < y.n ? -1 : 1;
}

/* ---- sums ---- */

/* s += coef * product, at its place. */
static void put(const kl_dims *d, sum *s, int64_t coef, const kl_term *product)
{
    int i = 0, c = 1;
    while (i < s->n && (c = compare_products(d, &s->t[i], product)) < 0)
        i++;
    if (i < s->n && c == 0) {
        s->bad |= kl_add_overflow(s->t[i].coef, coef, &s->t[i].coef);
        if (s->t[i].coef == 0)
            memmove(&s->t[i], &s->t[i + 1], (size_t)(--s->n - i) * sizeof(kl_term));
        return;
    }
    if (coef == 0 || (s->bad |= s->n == KL_DIM_TERMS))
        return;
    memmove(&s->t[i + 1], &s->t[i], (size_t)(s->n++ - i) * sizeof(kl_term));
    s->t[i] = *product;
    s->t[i].coef = coef;
}

static void put_const(const kl_dims *d, sum *s, int64_t v)
{
    put(d, s, v, &(kl_term){.n = 0});
}

/* s += coef * a */
static void put_dim(const kl_dims *d, sum *s, int64_t coef, kl_dim a)
{
    kl_term one;
    if ((s->bad |= a == KL_DIM_BAD))
        return;
    kl_sum x = kl_dim_terms(d, a, &one);
    for (int i = 0; i < x.n; i++) {
        int64_t c;
        s->bad |= kl_mul_overflow(coef, x.term[i].coef, &c) || c == INT64_MIN;
        if (!s->bad)
            put(d, s, c, &x.term[i]);
    }
}

static uint64_t hash_sum(const kl_term *t, int n)
{
    uint64_t h = 0x9e3779b97f4a7c15u;
    for (int i = 0; i < n; i++) {
        h = (h ^ (uint64_t)t[i].coef) * 0xff51afd7ed558ccdu;
        for (uint32_t j = 0; j < t[i].n; j++)
            h = (h ^ t[i].atom[j]) * 0xc4ceb9fe1a85ec53u;
        h ^= h >> 32;
    }
    return h;
}

static bool same_terms(const kl_term *a, const kl_term *b, int n)
{
    for (int i = 0; i < n; i++)
        if (a[i].coef != b[i].coef || a[i].n != b[i].n ||
            memcmp(a[i].atom, b[i].atom, a[i].n * sizeof *a[i].atom) != 0)
            return false;
    return true;
}

/* Where these terms stand in the table, or the empty slot where they would. */
static uint32_t slot_of(const kl_dims *d, const kl_term *t, int n)
{
    uint32_t h = (uint32_t)hash_sum(t, n) & (d->table_cap - 1);
    while (d->table[h]) {
        const kl_sum *s = &d->sums[d->table[h] - 1];
        if (s->n == n && same_terms(s->term, t, n))
            break;
        h = (h + 1) & (d->table_cap - 1);
    }
    return h;
}

static bool grow_table(kl_dims *d)
{
    if (d->table_cap >= 2 * (d->nsums + 1))
        return true;
    uint32_t cap = d->table_cap ? d->table_cap * 2 : 64;
    uint32_t *table = kl_arena_zeroed(d->arena, cap, sizeof *table);
    if (!table)
        return false;
    d->table = table;
    d->table_cap = cap;
    for (uint32_t i = 0; i < d->nsums; i++)
        d->table[slot_of(d, d->sums[i].term, d->sums[i].n)] = i + 1;
    return true;
}

static kl_sum measure(const kl_dims *d, const kl_term *t, int n)
{
    kl_sum s = {t, n, 0, n};
    for (int i = 0; i < n; i++)
        for (uint32_t j = 0; j < t[i].n; j++) {
            s.depth = KL_MAX(s.depth, d->atoms[t[i].atom[j]].depth);
            s.weight += d->atoms[t[i].atom[j]].weight;
        }
    return s;
}

static kl_dim intern(kl_dims *d, const sum *s)
{
    bool bad = s->bad;
    for (int i = 0; i < s->n; i++)
        bad |= s->t[i].coef == INT64_MIN; /* has no magnitude to print */
    if (bad)
        return KL_DIM_BAD;
    if (s->n == 0)
        return 0;
    if (s->n == 1 && s->t[0].n == 0 && s->t[0].coef > 0)
        return s->t[0].coef;
    if (!d || !grow_table(d))
        return KL_DIM_BAD;
    uint32_t h = slot_of(d, s->t, s->n);
    if (d->table[h])
        return -(int64_t)d->table[h];
    kl_sum y = measure(d, s->t, s->n);
    size_t bytes = (size_t)s->n * sizeof(kl_term);
    kl_term *t = y.weight > KL_DIM_WEIGHT ? NULL : kl_arena_alloc(d->arena, bytes);
    if (!t ||
        kl_arena_grow(d->arena, &d->sums, &d->cap_sums, d->nsums + 1, sizeof *d->sums))
        return KL_DIM_BAD;
    memcpy(t, s->t, bytes);
    y.term = t;
    d->sums[d->nsums++] = y;
    d->table[h] = d->nsums;
    return -(int64_t)d->nsums;
}

/* ---- symbols and atoms ---- */

static uint32_t new_atom(kl_dims *d, kl_atom a)
{
    for (uint32_t i = 0; i < d->natoms; i++) {
        const kl_atom *b = &d->atoms[i];
        if (b->kind == a.kind && b->sym == a.sym && b->a == a.a && b->b == a.b)
            return i;
    }
    if (kl_arena_grow(d->arena, &d->atoms, &d->cap_atoms, d->natoms + 1,
                      sizeof *d->atoms))
        return KL_NONE;
    d->atoms[d->natoms] = a;
    return d->natoms++;
}

static kl_dim atom_dim(kl_dims *d, uint32_t atom)
{
    sum s = {0};
    if (atom == KL_NONE)
        return KL_DIM_BAD;
    put(d, &s, 1, &(kl_term){.n = 1, .atom = {atom}});
    return intern(d, &s);
}

/* kind(a, b) as a new value: nothing folded. */
static kl_dim function(kl_dims *d, kl_atom_kind kind, kl_dim a, kl_dim b)
{
    kl_term one;
    if (!d || a == KL_DIM_BAD || b == KL_DIM_BAD)
        return KL_DIM_BAD;
    kl_sum x = kl_dim_terms(d, a, &one), y = kl_dim_terms(d, b, &one);
    int depth = KL_MAX(x.depth, y.depth) + 1;
    if (depth > KL_DIM_DEPTH)
        return KL_DIM_BAD;
    int weight = 1 + x.weight + y.weight;
    return atom_dim(d, new_atom(d, (kl_atom){kind, depth, weight, 0, a, b}));
}

kl_dim kl_dim_sym(kl_dims *d, const char *name)
{
    for (uint32_t i = 0; i < d->nsyms; i++)
        if (strcmp(d->syms[i].name, name) == 0)
            return d->syms[i].dim;
    const char *copy = kl_arena_strdup(d->arena, name);
    if (!copy ||
        kl_arena_grow(d->arena, &d->syms, &d->cap_syms, d->nsyms + 1, sizeof *d->syms))
        return KL_DIM_BAD;
    uint32_t i = d->nsyms++;
    d->syms[i] = (kl_sym){copy, 0, INT64_C(1) << 40, 1, KL_DIM_BAD};
    d->syms[i].dim = atom_dim(d, new_atom(d, (kl_atom){KL_ATOM_SYM, 0, 1, i, 0, 0}));
    return d->syms[i].dim;
}

int kl_dim_sym_index(const kl_dims *d, kl_dim sym)
{
    if (!d || sym >= 0 || sym == KL_DIM_BAD)
        return -1;
    kl_sum s = d->sums[-1 - sym];
    bool bare = s.n == 1 && s.term[0].coef == 1 && s.term[0].n == 1;
    const kl_atom *a = bare ? &d->atoms[s.term[0].atom[0]] : NULL;
    return a && a->kind == KL_ATOM_SYM ? (int)a->sym : -1;
}

void kl_dim_sym_bound(kl_dims *d, kl_dim sym, int64_t min, int64_t max, int64_t divisor)
{
    int i = kl_dim_sym_index(d, sym);
    KL_ASSERT(i >= 0);
    if (i < 0)
        return;
    d->syms[i].min = min;
    d->syms[i].max = max;
    d->syms[i].divisor = divisor < 1 ? 1 : divisor;
}

int kl_dim_sym_count(const kl_dims *d)
{
    return d ? (int)d->nsyms : 0;
}

const char *kl_dim_sym_name(const kl_dims *d, int i)
{
    return d->syms[i].name;
}

void kl_dim_sym_facts(const kl_dims *d, int i, int64_t *min, int64_t *max,
                      int64_t *divisor)
{
    *min = d->syms[i].min;
    *max = d->syms[i].max;
    *divisor = d->syms[i].divisor;
}

/* ---- constants of either form ---- */

bool kl_dim_is_const(const kl_dims *d, kl_dim a, int64_t *v)
{
    if (a == KL_DIM_BAD)
        return false;
    if (a < 0) {
        kl_sum s = d->sums[-1 - a];
        if (s.n != 1 || s.term[0].n)
            return false;
        a = s.term[0].coef;
    }
    if (v)
        *v = a;
    return true;
}

kl_dim kl_dim_const(kl_dims *d, int64_t v)
{
    sum s = {0};
    s.bad = v == INT64_MIN;
    put_const(d, &s, v);
    return intern(d, &s);
}

/* ---- arithmetic ---- */

kl_dim kl_dim_add(kl_dims *d, kl_dim a, kl_dim b)
{
    int64_t y;
    if (a >= 0 && b >= 0)
        return kl_add_overflow(a, b, &y) ? KL_DIM_BAD : y;
    sum s = {0};
    put_dim(d, &s, 1, a);
    put_dim(d, &s, 1, b);
    return intern(d, &s);
}

kl_dim kl_dim_sub(kl_dims *d, kl_dim a, kl_dim b)
{
    if (a >= b && b >= 0)
        return a - b;
    sum s = {0};
    put_dim(d, &s, 1, a);
    put_dim(d, &s, -1, b);
    return intern(d, &s);
}

/* t = x * y: coefficients multiplied, atoms merged in order. */
static bool product(const kl_dims *d, const kl_term *x, const kl_term *y, kl_term *t)
{
    uint32_t i = 0, j = 0;
    if (x->n + y->n > KL_DIM_DEGREE || kl_mul_overflow(x->coef, y->coef, &t->coef) ||
        t->coef == INT64_MIN)
        return false;
    t->n = 0;
    while (i < x->n || j < y->n) {
        bool left =
            j == y->n || (i < x->n && compare_atoms(d, x->atom[i], y->atom[j]) <= 0);
        t->atom[t->n++] = left ? x->atom[i++] : y->atom[j++];
    }
    return true;
}

/* 4*floor(B/4) is B where 4 divides B. KL_DIM_BAD: no factor is such a floor. */
static kl_dim whole(kl_dims *d, const kl_term *t)
{
    for (uint32_t j = 0; j < t->n; j++) {
        kl_atom a = d->atoms[t->atom[j]];
        int64_t c;
        if (a.kind != KL_ATOM_FLOOR || !kl_dim_is_const(d, a.b, &c) || c < 1 ||
            t->coef % c || !kl_dim_divides(d, c, a.a))
            continue;
        kl_term rest = {.coef = t->coef / c};
        for (uint32_t i = 0; i < t->n; i++)
            if (i != j)
                rest.atom[rest.n++] = t->atom[i];
        sum s = {0};
        put(d, &s, rest.coef, &rest);
        return kl_dim_mul(d, intern(d, &s), a.a);
    }
    return KL_DIM_BAD;
}

kl_dim kl_dim_mul(kl_dims *d, kl_dim a, kl_dim b)
{
    int64_t c;
    if (a >= 0 && b >= 0)
        return kl_mul_overflow(a, b, &c) ? KL_DIM_BAD : c;
    if (a == KL_DIM_BAD || b == KL_DIM_BAD)
        return KL_DIM_BAD;
    sum s = {0};
    kl_term oa, ob, t;
    kl_sum x = kl_dim_terms(d, a, &oa), y = kl_dim_terms(d, b, &ob);
    for (int i = 0; i < x.n; i++)
        for (int j = 0; j < y.n && !s.bad; j++) {
            s.bad |= !product(d, &x.term[i], &y.term[j], &t);
            kl_dim exact = s.bad ? KL_DIM_BAD : whole(d, &t);
            if (exact != KL_DIM_BAD)
                put_dim(d, &s, 1, exact);
            else if (!s.bad)
                put(d, &s, t.coef, &t);
        }
    return intern(d, &s);
}

/* The terms of a, each coefficient divided: quotients into q, remainders (0 <= r < c)
 * into r. */
static void divide_terms(const kl_dims *d, kl_dim a, int64_t c, sum *q, sum *r)
{
    kl_term one;
    kl_sum x = kl_dim_terms(d, a, &one);
    for (int i = 0; i < x.n; i++) {
        put(d, q, kl_floordiv(x.term[i].coef, c), &x.term[i]);
        put(d, r, kl_floormod(x.term[i].coef, c), &x.term[i]);
    }
}

/* The greatest common divisor of c and the coefficients of all terms with symbols. */
static int64_t common(const sum *s, int64_t c)
{
    for (int i = 0; i < s->n; i++)
        if (s->t[i].n)
            c = kl_gcd(c, s->t[i].coef);
    return c;
}

static bool within(const kl_dims *d, kl_dim a, int64_t c)
{
    kl_range r = kl_range_of(d, a);
    return r.min >= 0 && r.max < c;
}

/* If a is floor(x/m) + k with m constant, gives them: a floor of a floor is one floor. */
static bool floor_plus(const kl_dims *d, kl_dim a, kl_dim *x, int64_t *m, int64_t *k)
{
    kl_term one;
    kl_sum s = kl_dim_terms(d, a, &one);
    if (s.n < 1 || s.n > 2 || s.term[0].coef != 1 || s.term[0].n != 1)
        return false;
    const kl_atom *t = &d->atoms[s.term[0].atom[0]];
    if (t->kind != KL_ATOM_FLOOR || !kl_dim_is_const(d, t->b, m) ||
        (s.n == 2 && s.term[1].n))
        return false;
    *k = s.n == 2 ? s.term[1].coef : 0;
    *x = t->a;
    return *m > 0;
}

/* What a constant among the terms is without what is below the unit of the others and c:
 * floor((B+6)/8) is floor((B+4)/8) where 4 divides B. */
static int64_t above_unit(const kl_dims *d, const sum *s, int64_t c, int64_t k)
{
    for (int i = 0; i < s->n; i++)
        if (s->t[i].n)
            c = kl_gcd(c, kl_term_content(d, &s->t[i]));
    return k - kl_floormod(k, c);
}

/* floor(r / c) where 0 <= coefficients < c, c > 1. */
static kl_dim floor_rest(kl_dims *d, const sum *rest, int64_t c)
{
    int64_t g = common(rest, c), m, k, mc, mk;
    sum s = {0};
    for (int i = 0; i < rest->n; i++) {
        const kl_term *t = &rest->t[i];
        put(d, &s, kl_floordiv(t->n ? t->coef : above_unit(d, rest, c, t->coef), g), t);
    }
    kl_dim a = intern(d, &s), x;
    c /= g;
    if (a == KL_DIM_BAD || c == 1 || within(d, a, c))
        return a == KL_DIM_BAD || c == 1 ? a : 0;
    if (floor_plus(d, a, &x, &m, &k) && !kl_mul_overflow(m, c, &mc) &&
        !kl_mul_overflow(m, k, &mk))
        return kl_dim_div(d, kl_dim_add(d, x, kl_dim_const(d, mk)), mc);
    return function(d, KL_ATOM_FLOOR, a, c);
}

static kl_dim div_const(kl_dims *d, kl_dim a, int64_t c)
{
    if (c == 0)
        return 0;
    if (a >= 0 && c > 0)
        return a / c;
    if (c < 0)
        return c == INT64_MIN ? KL_DIM_BAD : div_const(d, kl_dim_sub(d, 0, a), -c);
    if (a == KL_DIM_BAD)
        return a;
    sum q = {0}, r = {0};
    divide_terms(d, a, c, &q, &r);
    if (r.n)
        put_dim(d, &q, 1, floor_rest(d, &r, c));
    return intern(d, &q);
}

/* t / by as one product, if it is one. */
static bool quotient(const kl_term *t, const kl_term *by, kl_term *y)
{
    uint32_t j = 0;
    if (t->coef % by->coef)
        return false;
    y->coef = t->coef / by->coef;
    y->n = 0;
    for (uint32_t i = 0; i < t->n; i++)
        if (j < by->n && t->atom[i] == by->atom[j])
            j++;
        else
            y->atom[y->n++] = t->atom[i];
    return j == by->n;
}

/* a / b when b is one product, known to be positive, that divides every term of a. */
static kl_dim div_exact(kl_dims *d, kl_dim a, kl_dim b)
{
    kl_term oa, ob, t;
    sum s = {0};
    kl_sum x = kl_dim_terms(d, a, &oa), y = kl_dim_terms(d, b, &ob);
    if (a != b && y.n != 1)
        return KL_DIM_BAD;
    if (kl_range_of(d, b).min < 1)
        return KL_DIM_BAD;
    if (a == b)
        return 1;
    for (int i = 0; i < x.n; i++) {
        if (!quotient(&x.term[i], &y.term[0], &t))
            return KL_DIM_BAD;
        put(d, &s, t.coef, &t);
    }
    return intern(d, &s);
}

kl_dim kl_dim_div(kl_dims *d, kl_dim a, kl_dim b)
{
    int64_t c;
    if (a == KL_DIM_BAD || b == KL_DIM_BAD)
        return KL_DIM_BAD;
    if (kl_dim_is_const(d, b, &c))
        return div_const(d, a, c);
    kl_dim y = div_exact(d, a, b);
    if (y != KL_DIM_BAD)
        return y;
    kl_range ra = kl_range_of(d, a), rb = kl_range_of(d, b);
    if (a == 0 || (ra.min >= 0 && rb.min > ra.max))
        return 0;
    return function(d, KL_ATOM_FLOOR, a, b);
}

kl_dim kl_dim_ceildiv(kl_dims *d, kl_dim a, kl_dim b)
{
    return kl_dim_div(d, kl_dim_add(d, a, kl_dim_sub(d, b, 1)), b);
}

/* mod(a, c), c > 0: coefficients reduced, what c divides dropped, common factors outside.
 */
static kl_dim mod_const(kl_dims *d, kl_dim a, int64_t c)
{
    sum q = {0}, r = {0}, s = {0};
    divide_terms(d, a, c, &q, &r);
    for (int i = 0; i < r.n; i++)
        if (kl_term_content(d, &r.t[i]) % c)
            put(d, &s, r.t[i].coef, &r.t[i]);
    kl_dim x = intern(d, &s);
    if (x == KL_DIM_BAD || within(d, x, c))
        return x;
    int64_t g = common(&s, c);
    for (int i = 0; i < s.n; i++)
        g = kl_gcd(g, s.t[i].coef);
    if (g > 1)
        return kl_dim_mul(d, g, mod_const(d, div_const(d, x, g), c / g));
    kl_term one;
    kl_sum t = kl_dim_terms(d, x, &one);
    const kl_atom *at = t.n == 1 && t.term[0].coef == 1 && t.term[0].n == 1
                            ? &d->atoms[t.term[0].atom[0]]
                            : NULL;
    int64_t m;
    if (at && at->kind == KL_ATOM_MOD && kl_dim_is_const(d, at->b, &m) && m % c == 0)
        return mod_const(d, at->a, c);
    return function(d, KL_ATOM_MOD, x, c);
}

kl_dim kl_dim_mod(kl_dims *d, kl_dim a, kl_dim b)
{
    int64_t c;
    if (a == KL_DIM_BAD || b == KL_DIM_BAD)
        return KL_DIM_BAD;
    bool constant = kl_dim_is_const(d, b, &c);
    if (constant && c == 0)
        return a;
    if (constant && c > 0 && a >= 0)
        return a % c;
    if (constant && c > 0)
        return mod_const(d, a, c);
    if (constant)
        return kl_dim_sub(d, a, kl_dim_mul(d, b, kl_dim_div(d, a, b)));
    kl_range ra = kl_range_of(d, a), rb = kl_range_of(d, b);
    if (ra.min >= 0 && rb.min > ra.max)
        return a;
    if (div_exact(d, a, b) != KL_DIM_BAD)
        return 0;
    return function(d, KL_ATOM_MOD, a, b);
}

static kl_dim extreme(kl_dims *d, kl_atom_kind kind, kl_dim a, kl_dim b)
{
    if (a == KL_DIM_BAD || b == KL_DIM_BAD)
        return KL_DIM_BAD;
    if (a >= 0 && b >= 0)
        return (kind == KL_ATOM_MAX) == (a > b) ? a : b;
    kl_range r = kl_range_of(d, kl_dim_sub(d, a, b));
    if (r.min >= 0)
        return kind == KL_ATOM_MAX ? a : b;
    if (r.max <= 0)
        return kind == KL_ATOM_MAX ? b : a;
    bool swap = compare_dims(d, a, b) > 0;
    return function(d, kind, swap ? b : a, swap ? a : b);
}

kl_dim kl_dim_max(kl_dims *d, kl_dim a, kl_dim b)
{
    return extreme(d, KL_ATOM_MAX, a, b);
}

kl_dim kl_dim_min(kl_dims *d, kl_dim a, kl_dim b)
{
    return extreme(d, KL_ATOM_MIN, a, b);
}

/* ---- values ---- */

static int64_t eval_atom(const kl_dims *d, const kl_atom *t, const int64_t *syms)
{
    if (t->kind == KL_ATOM_SYM)
        return syms[t->sym];
    int64_t a = kl_dim_eval(d, t->a, syms), b = kl_dim_eval(d, t->b, syms);
    switch (t->kind) {
    case KL_ATOM_FLOOR:
        return kl_floordiv(a, b);
    case KL_ATOM_MOD:
        return kl_floormod(a, b);
    case KL_ATOM_MAX:
        return KL_MAX(a, b);
    default:
        return KL_MIN(a, b);
    }
}

/* Wraps where int64 ends: callers check sizes with kl_shape_count. */
int64_t kl_dim_eval(const kl_dims *d, kl_dim a, const int64_t *syms)
{
    kl_term one;
    uint64_t y = 0;
    kl_sum s = kl_dim_terms(d, a, &one);
    for (int i = 0; i < s.n; i++) {
        uint64_t t = (uint64_t)s.term[i].coef;
        for (uint32_t j = 0; j < s.term[i].n; j++)
            t *= (uint64_t)eval_atom(d, &d->atoms[s.term[i].atom[j]], syms);
        y += t;
    }
    return (int64_t)y;
}
