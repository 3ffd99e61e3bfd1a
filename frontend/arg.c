/* arg.c: what every call does with its operands: enter and leave, read them, promote
 * their dtypes, broadcast their shapes.
 *
 *   kl_add(x, 2)   x: i64[3], 2: a number      ->  i64[3] + i64[]
 *   kl_add(x, 2.5)                             ->  f32[3] + f32[]
 *
 * Promotion is PyTorch's: a number, a 0-d tensor and a tensor are three categories, and a
 * lower one only counts where its kind (bool, integer, real, complex) is higher. A number
 * becomes a constant of the program, unless this place in the source has shown another
 * number before: then it is an input, so that a value which changes each step costs no
 * compile. */
#include "front.h"

/* ---- calls ---- */

kl_call kl_call_enter(const char *at, const char *fn)
{
    kl_state *s = kl_thread();
    kl_call c = {s->ntemps, kl_place(), fn, s->numbers, s->exposed};
    s->exposed = false;
    s->nbare = 0;
    s->numbers = 0;
    kl_place_set(at);
    return c;
}

static void leave(kl_call *c)
{
    kl_state *s = kl_thread();
    while (s->ntemps > c->temps)
        kl_lazy_unref(s->temps[--s->ntemps]);
    s->exposed = c->exposed;
    s->nbare = c->exposed ? KL_BARE + 1 : 0; /* of the call around: not kept */
    s->numbers = c->numbers;
    kl_place_set(c->place);
}

enum { LONG = 4096, OLD = 16 /* forces */ };

/* Computed before the call returns: what saw exposed memory, and what is too long or has
 * waited for long (a loop's running mean holds on to what each turn has read). A trace
 * may be as long as it is: its parameters have no values yet. */
static bool due(kl_state *s, kl_lazy *r)
{
    uint32_t depth = __atomic_load_n(&r->depth, __ATOMIC_RELAXED);
    bool long_ = s->pending > LONG || depth > LONG;
    bool old = depth > 0 && (int32_t)(s->forces - r->born) > OLD;
    return s->exposed || ((long_ || old) && !s->tracing);
}

kl_tensor *kl_call_end_in_order(kl_call *c, kl_lazy *r, const int *perm)
{
    kl_tensor *t = NULL;
    if (r && kl_thread()->exposed)
        r = kl_stay_lazy(c, r);
    if (r && kl_lazy_settle(r) != KL_OK)
        r = NULL;
    if (r && !(due(kl_thread(), r) && kl_force_one(r)))
        t = perm ? kl_tensor_wrap_in_order(r, perm) : kl_tensor_wrap(r);
    leave(c);
    if (t && r->track)
        kl_tensor_named(t, c->fn);
    else if (t && !t->fn)
        t->fn = c->fn;
    return t && kl_scope_add(t) == KL_OK ? t : NULL;
}

kl_tensor *kl_call_end(kl_call *c, kl_lazy *r)
{
    return kl_call_end_in_order(c, r, NULL);
}

kl_tensor *kl_call_view(kl_call *c, kl_tensor *t)
{
    leave(c);
    if (t && !t->fn)
        t->fn = c->fn;
    return t && kl_scope_add(t) == KL_OK ? t : NULL;
}

kl_status kl_call_done(kl_call *c, kl_status s)
{
    leave(c);
    return s;
}

/* ---- numbers ---- */

typedef struct site {
    const char *place;
    uint64_t bits;
    int32_t ordinal, state; /* 0: free; 1: one number so far; 2: several */
} site;
enum { SITES = 4096, PROBES = 16 };
static site sites[SITES];
static pthread_mutex_t sites_lock = PTHREAD_MUTEX_INITIALIZER;

/* Whether the number here is another one than the last time. */
static bool varies(const char *place, int ordinal, uint64_t bits)
{
    uint64_t h =
        ((uintptr_t)place + (uint64_t)ordinal * 977) * UINT64_C(0x9E3779B97F4A7C15);
    for (int i = 0; i < PROBES; i++) {
        site *s = &sites[((h >> 40) + (uint64_t)i) & (SITES - 1)];
        if (s->state == 0) {
            *s = (site){place, bits, ordinal, 1};
            return false;
        }
        if (s->place != place || s->ordinal != ordinal)
            continue;
        if (s->bits != bits)
            s->state = 2;
        return s->state == 2;
    }
    return true;
}

static bool is_input(kl_arg a)
{
    uint64_t bits;
    const char *place = kl_place();
    kl_state *s = kl_thread();
    memcpy(&bits, a.kind == KL_ARG_FLOAT ? (void *)&a.d : (void *)&a.i, sizeof bits);
    if (!place || s->tracing)
        return !s->tracing;
    pthread_mutex_lock(&sites_lock);
    bool v = varies(place, s->numbers++, bits);
    pthread_mutex_unlock(&sites_lock);
    return v;
}

static kl_lazy *complex_number(kl_arg a, kl_dtype dt)
{
    float f[2] = {(float)a.d, (float)a.im};
    double d[2] = {a.d, a.im};
    return kl_lazy_small(dt, 0, NULL, dt == KL_C64 ? (void *)f : (void *)d);
}

static kl_lazy *number(kl_arg a, kl_dtype dt)
{
    if (a.kind == KL_ARG_COMPLEX && kl_is_complex(dt))
        return complex_number(a, dt);
    bool exact = a.kind != KL_ARG_FLOAT && kl_is_int(dt);
    if (!is_input(a) || kl_is_complex(dt))
        return exact ? kl_n_const_int(dt, a.i) : kl_n_const(dt, a.d);
    kl_scalar v = exact ? kl_scalar_from_int(dt, a.i) : kl_scalar_from(dt, a.d);
    return kl_lazy_small(dt, 0, NULL, &v);
}

/* ---- reading ---- */

bool kl_arg_ok(kl_arg a)
{
    if (a.kind == KL_ARG_NONE || (a.kind == KL_ARG_TENSOR && !a.t)) {
        kl_fail(KL_ERR_ARG, "an operand is NULL");
        return false;
    }
    return true;
}

bool kl_arg_given(const void *list, int64_t n, const char *what)
{
    if (list || n <= 0)
        return true;
    kl_fail(KL_ERR_ARG, "%s is NULL", what);
    return false;
}

kl_lazy *kl_arg_tensor(kl_tensor *t)
{
    if (t)
        return kl_tensor_read(t);
    kl_fail(KL_ERR_ARG, "a tensor is NULL");
    return NULL;
}

kl_lazy *kl_arg_read(kl_arg a, kl_dtype dt)
{
    if (!kl_arg_ok(a) || dt == KL_DTYPE_NONE)
        return NULL;
    if (a.kind == KL_ARG_TENSOR)
        return kl_n_cast(kl_tensor_read(a.t), dt);
    return number(a, dt);
}

static kl_dtype own_dtype(kl_arg a)
{
    switch (a.kind) {
    case KL_ARG_TENSOR:
        return (kl_dtype)a.t->dtype;
    case KL_ARG_FLOAT:
        return kl_default();
    case KL_ARG_INT:
        return KL_I64;
    case KL_ARG_BOOL:
        return KL_BOOL;
    case KL_ARG_COMPLEX:
        return kl_default() == KL_F64 ? KL_C128 : KL_C64;
    case KL_ARG_NONE:
        break;
    }
    return KL_DTYPE_NONE;
}

kl_lazy *kl_arg_node(kl_arg a)
{
    return kl_arg_ok(a) ? kl_arg_read(a, own_dtype(a)) : NULL;
}

kl_dtype kl_default(void)
{
    return kl_thread()->default_dtype;
}

/* ---- promotion ---- */

static kl_dtype promote(kl_dtype a, kl_dtype b)
{
    kl_dtype dt = kl_dtype_promote(a, b);
    if (dt == KL_DTYPE_NONE)
        kl_fail(
            KL_ERR_DTYPE,
            "Promotion for uint16, uint32, uint64 types is not supported, attempted to "
            "promote %s and %s",
            kl_dtypes[a].scalar, kl_dtypes[b].scalar);
    return dt;
}

static kl_dtype join(kl_dtype a, kl_dtype b)
{
    return a == KL_DTYPE_NONE ? b : b == KL_DTYPE_NONE ? a : promote(a, b);
}

/* A higher category with a lower one. */
static kl_dtype combine(kl_dtype high, kl_dtype low)
{
    if (high == KL_DTYPE_NONE || low == KL_DTYPE_NONE)
        return join(high, low);
    if (kl_is_complex(high))
        return high;
    if (kl_is_float(high))
        return kl_is_complex(low) ? promote(high, KL_C64) : high;
    if (high == KL_BOOL || kl_is_float(low) || kl_is_complex(low))
        return promote(high, low);
    return high;
}

kl_dtype kl_arg_promote(int n, const kl_arg *a)
{
    kl_dtype dt[3] = {KL_DTYPE_NONE, KL_DTYPE_NONE, KL_DTYPE_NONE};
    for (int i = 0; i < n; i++) {
        if (!kl_arg_ok(a[i]))
            return KL_DTYPE_NONE;
        int category = a[i].kind != KL_ARG_TENSOR ? 2 : a[i].t->rank == 0 ? 1 : 0;
        dt[category] = join(dt[category], own_dtype(a[i]));
        if (dt[category] == KL_DTYPE_NONE)
            return KL_DTYPE_NONE;
    }
    kl_dtype low = combine(dt[1], dt[2]);
    if (low == KL_DTYPE_NONE && dt[1] != low)
        return low;
    return combine(dt[0], low);
}

kl_dtype kl_arg_promote_float(int n, const kl_arg *a)
{
    kl_dtype dt = kl_arg_promote(n, a);
    return dt == KL_DTYPE_NONE || kl_is_float(dt) || kl_is_complex(dt) ? dt
                                                                       : kl_default();
}

/* ---- shapes ---- */

const char *kl_ints_text(kl_ints s, char *buf, size_t cap)
{
    size_t n = (size_t)snprintf(buf, cap, "[");
    for (int i = 0; i < s.n && i < KL_INTS_MAX && n < cap; i++)
        n += (size_t)snprintf(buf + n, cap - n, "%s%lld", i ? ", " : "",
                              (long long)s.v[i]);
    if (n < cap)
        snprintf(buf + n, cap - n, "]");
    return buf;
}

kl_status kl_broadcast_shape(const char *fn, int ra, const int64_t *sa, int rb,
                             const int64_t *sb, int *rank, int64_t *shape)
{
    int r = *rank = KL_MAX(ra, rb);
    for (int i = r; i-- > 0;) { /* the last that differs is told */
        int64_t a = i < r - ra ? 1 : sa[i - (r - ra)],
                b = i < r - rb ? 1 : sb[i - (r - rb)];
        if (a != b && a != 1 && b != 1) {
            char ta[200], tb[200];
            return kl_fail(
                KL_ERR_SHAPE,
                "%s: The size of tensor a (%lld) must match the size of tensor b "
                "(%lld) at non-singleton dimension %d: %s and %s",
                fn, (long long)a, (long long)b, i,
                kl_ints_text(kl_ints_of((size_t)ra, sa), ta, sizeof ta),
                kl_ints_text(kl_ints_of((size_t)rb, sb), tb, sizeof tb));
        }
        shape[i] = a == 1 ? b : a;
    }
    return KL_OK;
}

kl_status kl_broadcast(const char *fn, int n, kl_lazy **a)
{
    int rank = 0;
    int64_t shape[KL_MAX_RANK], before[KL_MAX_RANK];
    for (int i = 0; i < n; i++) {
        if (!a[i])
            return kl_error_status();
        memcpy(before, shape, (size_t)rank * sizeof *shape);
        KL_TRY(kl_broadcast_shape(fn, rank, before, a[i]->rank, kl_lazy_shape(a[i]),
                                  &rank, shape));
    }
    KL_TRY(kl_numbers_along(n, a));
    for (int i = 0; i < n; i++)
        a[i] = kl_n_expand(a[i], rank, shape);
    return KL_OK;
}

kl_status kl_dim_wrap(int64_t dim, int rank, int *out)
{
    int64_t r = KL_MAX(rank, 1);
    if (dim < -r || dim >= r)
        return kl_fail(
            KL_ERR_INDEX,
            "Dimension out of range (expected to be in range of [%lld, %lld], but "
            "got %lld)",
            (long long)-r, (long long)r - 1, (long long)dim);
    *out = (int)(dim < 0 ? dim + r : dim);
    return KL_OK;
}

kl_status kl_axes_mask(kl_ints axes, int rank, uint64_t *mask)
{
    *mask = 0;
    if (axes.n > KL_INTS_MAX)
        return kl_fail(KL_ERR_SHAPE, "more than %d axes", KL_INTS_MAX);
    for (int i = 0, ax = 0; i < axes.n; i++) {
        KL_TRY(kl_dim_wrap(axes.v[i], rank, &ax));
        if (*mask >> ax & 1)
            return kl_fail(KL_ERR_ARG,
                           "dim %d appears multiple times in the list of dims", ax);
        *mask |= UINT64_C(1) << ax;
    }
    if (axes.n == 0)
        *mask = (UINT64_C(1) << rank) - 1;
    if (rank == 0)
        *mask = 0;
    return KL_OK;
}
