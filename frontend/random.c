/* random.c: Philox 4x32-10 as a node, so that random numbers fuse with what uses
 * them and are the same however and wherever they are computed.
 *
 *   counter = (element, call): 64 bits each      key = seed
 *
 * Word 0 of the block is the element's number; word 1 is its second where one is not
 * enough.
 *
 * Seed and call number are run-time inputs of the compiled program: no key contains them.
 */
#include "front.h"

struct kl_generator {
    pthread_mutex_t lock;
    uint64_t seed, calls;
};
static kl_generator process_wide = {PTHREAD_MUTEX_INITIALIZER, 0, 0};
static __thread kl_generator *in_use; /* NULL: the process's own */

kl_generator *kl_generator_new(uint64_t seed)
{
    kl_generator *g = kl_alloc(sizeof *g);
    if (!g) {
        kl_fail(KL_ERR_OOM, "generator: out of memory");
        return NULL;
    }
    *g = (kl_generator){.seed = seed};
    pthread_mutex_init(&g->lock, NULL);
    return g;
}

void kl_generator_free(kl_generator *g)
{
    if (!g)
        return;
    pthread_mutex_destroy(&g->lock);
    kl_free(g, sizeof *g);
}

kl_generator *kl_generator_use(kl_generator *g)
{
    kl_generator *was = in_use;
    in_use = g;
    return was;
}

void kl_generator_set(kl_generator *g, uint64_t seed, uint64_t calls)
{
    g = g ? g : &process_wide;
    pthread_mutex_lock(&g->lock);
    g->seed = seed;
    g->calls = calls;
    pthread_mutex_unlock(&g->lock);
}

void kl_generator_get(kl_generator *g, uint64_t *seed, uint64_t *calls)
{
    g = g ? g : &process_wide;
    pthread_mutex_lock(&g->lock);
    *seed = g->seed;
    *calls = g->calls;
    pthread_mutex_unlock(&g->lock);
}

void kl_manual_seed(uint64_t seed)
{
    kl_generator_set(NULL, seed, 0);
}

/* ---- draws by a seed that is a tensor ---- */

static __thread struct {
    kl_lazy *seed; /* NULL: a generator's */
    uint64_t calls;
} from;

kl_status kl_draw_from_at(const char *at, kl_tensor *seed)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *n = seed ? kl_arg_tensor(seed) : NULL, *was = from.seed;
    kl_status st = seed && !n ? kl_error_status() : KL_OK;
    if (n && (n->dtype != KL_U32 || n->rank != 1 || kl_lazy_numel(n) != 2)) {
        st = kl_fail(KL_ERR_ARG, "draw_from: a seed is two numbers of uint32");
        n = NULL;
    }
    from.seed = n ? kl_lazy_ref(n) : NULL;
    from.calls = 0;
    kl_lazy_unref(was);
    return kl_call_done(&c, st);
}

/* One 0-d word of the state. */
static kl_lazy *state_word(kl_lazy *state, int i)
{
    return kl_n_reshape(kl_n_slice_axis(state, 0, i, 1, 1), 0, NULL);
}

static kl_lazy *times(kl_lazy *a, uint32_t m)
{
    return kl_n_bin(KL_OP_mul, kl_n_cast(a, KL_U64), kl_n_const_int(KL_U64, m));
}

/* Two u32 as one u64. */
static kl_lazy *joined(kl_lazy *low, kl_lazy *high)
{
    high = kl_n_bin(KL_OP_shl, kl_n_cast(high, KL_U64), kl_n_const_int(KL_U64, 32));
    return kl_n_bin(KL_OP_or, high, kl_n_cast(low, KL_U64));
}

/* ---- draws noted and repeated ---- */

static __thread kl_draws *noted;

kl_draws *kl_draws_begin(kl_draws *d, bool replay)
{
    kl_draws *outer = noted;
    d->replay = replay;
    d->next = 0;
    noted = d;
    return outer;
}

void kl_draws_end(kl_draws *outer)
{
    noted = outer;
}

void kl_draws_free(kl_draws *d)
{
    kl_free(d->calls, d->cap * sizeof *d->calls);
    *d = (kl_draws){0};
}

static bool note(kl_draws *d, uint64_t seed, uint64_t call)
{
    if (d->n + 2 > d->cap) {
        size_t cap = d->cap ? 2 * d->cap : 16;
        void *p = kl_realloc(d->calls, d->cap * sizeof(uint64_t), cap * sizeof(uint64_t));
        if (!p)
            return false;
        d->calls = p;
        d->cap = cap;
    }
    d->calls[d->n++] = seed;
    d->calls[d->n++] = call;
    return true;
}

/* The stream of this call. false: no memory to note it. */
static bool stream(uint64_t *seed, uint64_t *call)
{
    kl_draws *d = noted;
    if (d && d->replay && d->next < d->n) {
        *seed = d->calls[d->next];
        *call = d->calls[d->next + 1];
        d->next += 2;
        return true;
    }
    if (from.seed) {
        *seed = 0;
        *call = from.calls++;
        return !d || d->replay || note(d, *seed, *call);
    }
    kl_generator *g = in_use ? in_use : &process_wide;
    pthread_mutex_lock(&g->lock);
    *call = g->calls++;
    *seed = g->seed;
    pthread_mutex_unlock(&g->lock);
    return !d || d->replay || note(d, *seed, *call);
}

/* Two words of 32 random bits an element, in its own shape from the counter on: for all
 * of it to be one kernel. */
static void words(int rank, const int64_t *shape, kl_lazy **w0, kl_lazy **w1)
{
    int64_t n = kl_count(rank, shape);
    uint64_t call, seed;
    *w0 = *w1 = NULL;
    if (!stream(&seed, &call)) {
        kl_fail(KL_ERR_OOM, "out of memory to note a random draw");
        return;
    }
    if (KL_PLANTED(random_call))
        call = 0;
    int64_t two = 2;
    kl_lazy *state = kl_lazy_small(KL_U64, 1, &two, (uint64_t[]){seed, call});
    kl_lazy *index = kl_n_reshape(kl_n_iota(KL_U64, 1, &n, 0), rank, shape);
    kl_lazy *key = from.seed ? joined(state_word(from.seed, 0), state_word(from.seed, 1))
                             : state_word(state, 0);
    kl_lazy *both = kl_n_philox(index, kl_n_fill(state_word(state, 1), rank, shape),
                                kl_n_fill(key, rank, shape));
    *w0 = kl_n_cast(both, KL_U32);
    *w1 = kl_n_cast(kl_n_bin(KL_OP_shr, both, kl_n_const_int(KL_U64, 32)), KL_U32);
}

/* [0, 1): 24 bits of one word, or 53 of two. */
static kl_lazy *unit(kl_dtype dt, kl_lazy *w0, kl_lazy *w1)
{
    if (dt != KL_F64) {
        kl_lazy *top = kl_n_bin(KL_OP_shr, w0, kl_n_const_int(KL_U32, 8));
        return kl_n_binc(KL_OP_mul, kl_n_cast(top, KL_F32), 0x1p-24);
    }
    kl_lazy *both = kl_n_bin(KL_OP_shr, joined(w0, w1), kl_n_const_int(KL_U64, 11));
    return kl_n_binc(KL_OP_mul, kl_n_cast(both, KL_F64), 0x1p-53);
}

/* f16 would round values near 1 up to it: its numbers have as many bits as it can hold.
 */
static kl_lazy *narrow(kl_lazy *u, kl_dtype dt)
{
    int bits = dt == KL_F16 ? 11 : dt == KL_BF16 ? 8 : 0;
    if (bits && u)
        u = kl_n_binc(KL_OP_mul,
                      kl_n_un(KL_OP_floor, kl_n_binc(KL_OP_mul, u, (double)(1 << bits))),
                      1.0 / (double)(1 << bits));
    return kl_n_cast(u, dt);
}

kl_lazy *kl_n_rand(kl_dtype dt, int rank, const int64_t *shape)
{
    kl_lazy *w0, *w1;
    words(rank, shape, &w0, &w1);
    return narrow(unit(dt, w0, w1), dt);
}

/* Box and Muller: sqrt(-2 ln u) cos(2 pi v), u in (0, 1]. */
kl_lazy *kl_n_randn(kl_dtype dt, int rank, const int64_t *shape)
{
    kl_lazy *w0, *w1, *x0, *x1;
    kl_dtype wide = dt == KL_F64 ? KL_F64 : KL_F32;
    words(rank, shape, &w0, &w1);
    x0 = w0, x1 = w1;
    if (dt == KL_F64)
        words(rank, shape, &x0, &x1);
    kl_lazy *u = kl_n_cbin(KL_OP_sub, 1, unit(wide, w0, w1));
    kl_lazy *v = dt == KL_F64 ? unit(wide, x0, x1) : unit(wide, x1, x0);
    kl_lazy *r = kl_n_un(KL_OP_sqrt, kl_n_binc(KL_OP_mul, kl_n_un(KL_OP_log, u), -2));
    kl_lazy *a = kl_n_un(KL_OP_cos, kl_n_binc(KL_OP_mul, v, 6.283185307179586));
    return kl_n_cast(kl_n_bin(KL_OP_mul, r, a), dt);
}

/* ---- the calls ---- */

static bool good(const char *fn, kl_ints s, kl_dtype dt)
{
    int64_t n;
    if (!kl_is_float(dt)) {
        kl_fail(KL_ERR_DTYPE, "%s: not for %s", fn,
                dt < KL_DTYPE_COUNT ? kl_dtypes[dt].torch_name : "that dtype");
        return false;
    }
    return kl_shape_count(s.n, s.v, dt, &n) == KL_OK;
}

kl_tensor *kl_rand_at(const char *at, kl_ints shape, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    return kl_call_end(&c,
                       good("rand", shape, dt) ? kl_n_rand(dt, shape.n, shape.v) : NULL);
}

kl_tensor *kl_randn_at(const char *at, kl_ints shape, kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    return kl_call_end(&c, good("randn", shape, dt) ? kl_n_randn(dt, shape.n, shape.v)
                                                    : NULL);
}

kl_tensor *kl_uniform_at(const char *at, kl_ints shape, kl_dtype dt, double lo, double hi)
{
    kl_call c = kl_call_begin(at);
    if (!good("uniform", shape, dt))
        return kl_call_end(&c, NULL);
    kl_lazy *u = kl_n_binc(KL_OP_mul, kl_n_rand(dt, shape.n, shape.v), hi - lo);
    return kl_call_end(&c, kl_n_binc(KL_OP_add, u, lo));
}

kl_tensor *kl_kaiming_at(const char *at, kl_ints shape)
{
    kl_call c = kl_call_begin(at);
    double fan = 1;
    for (int i = 1; i < shape.n && i < KL_INTS_MAX; i++)
        fan *= (double)shape.v[i];
    double bound = 1 / sqrt(KL_MAX(fan, 1));
    if (!good("kaiming", shape, KL_F32))
        return kl_call_end(&c, NULL);
    kl_lazy *u = kl_n_binc(KL_OP_mul, kl_n_rand(KL_F32, shape.n, shape.v), 2 * bound);
    return kl_call_end(&c, kl_n_binc(KL_OP_add, u, -bound));
}

/* The high word of bits * range: even to one part in 2^64 / range. */
kl_tensor *kl_randint_at(const char *at, int64_t lo, int64_t hi, kl_ints shape,
                         kl_dtype dt)
{
    kl_call c = kl_call_begin(at);
    int64_t n;
    kl_lazy *w0, *w1;
    if (hi <= lo || !(kl_is_int(dt) || dt == KL_BOOL || kl_is_float(dt))) {
        kl_fail(
            KL_ERR_ARG,
            "random_ expects 'from' to be less than 'to', but got from=%lld >= to=%lld",
            (long long)lo, (long long)hi);
        return kl_call_end(&c, NULL);
    }
    if (kl_shape_count(shape.n, shape.v, dt, &n) != KL_OK)
        return kl_call_end(&c, NULL);
    words(shape.n, shape.v, &w0, &w1);
    uint64_t range = (uint64_t)hi - (uint64_t)lo;
    kl_lazy *r;
    if (range <= UINT32_MAX) {
        r = kl_n_bin(KL_OP_shr, times(w0, (uint32_t)range), kl_n_const_int(KL_U64, 32));
    } else {
        kl_lazy *both =
            kl_n_bin(KL_OP_shl, kl_n_cast(w1, KL_U64), kl_n_const_int(KL_U64, 32));
        both = kl_n_bin(KL_OP_or, both, kl_n_cast(w0, KL_U64));
        r = kl_n_bin(KL_OP_mod, both, kl_n_const_int(KL_U64, (int64_t)range));
    }
    r = kl_n_bin(KL_OP_add, kl_n_cast(r, KL_I64), kl_n_const_int(KL_I64, lo));
    return kl_call_end(&c, kl_n_cast(r, dt));
}

kl_tensor *kl_randperm_at(const char *at, int64_t n)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *w0, *w1, *index = NULL;
    if (n < 0) {
        kl_fail(KL_ERR_ARG, "randperm: n must be non-negative, got %lld", (long long)n);
        return kl_call_end(&c, NULL);
    }
    words(1, &n, &w0, &w1);
    kl_lazy *both =
        kl_n_bin(KL_OP_shl, kl_n_cast(w1, KL_U64), kl_n_const_int(KL_U64, 32));
    kl_n_sort(kl_n_bin(KL_OP_or, both, kl_n_cast(w0, KL_U64)), 0, false, &index);
    return kl_call_end(&c, index);
}

kl_tensor *kl_bernoulli_at(const char *at, kl_tensor *p)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *a = kl_arg_tensor(p);
    if (!a)
        return kl_call_end(&c, NULL);
    kl_lazy *u = kl_n_rand(KL_F32, a->rank, kl_lazy_shape(a));
    kl_lazy *yes = kl_n_bin(KL_OP_lt, u, kl_n_cast(a, KL_F32));
    return kl_call_end(&c, kl_n_cast(yes, (kl_dtype)a->dtype));
}
