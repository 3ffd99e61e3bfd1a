/* program.c: runs a plan.
 *
 * A program owns no memory: intermediates lie in one block taken from a small pool for
 * the length of the call, so one program may run in many threads at once. Sizes that
 * depend on symbols are evaluated here, from postfix code. The error word is looked at
 * once, at the end.
 *
 *   launch k (0, 2)   bufs = {in[0], arena + 0}   dims = {B}   phases: workers = ceil(B /
 * 14) */
#include "runtime/runtime.h"

#include <pthread.h>

enum { POOL = 8, SMALL = 64 };

int64_t kl_size_eval(kl_size s, const int64_t *syms)
{
    int64_t stack[KL_SIZE_DEPTH];
    int n = 0;
    if (s.len == 1 && s.code[0] >= 0)
        return s.code[0];
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i], b = n ? stack[n - 1] : 0, a = n > 1 ? stack[n - 2] : 0;
        if (c >= 0) {
            stack[n++] = c;
            continue;
        }
        if (c >= KL_SIZE_SYM && c < KL_SIZE_SYM + (1 << 20)) {
            stack[n++] = syms[c - KL_SIZE_SYM];
            continue;
        }
        switch (c) {
        case KL_SIZE_ADD:
            stack[--n - 1] = a + b;
            break;
        case KL_SIZE_MUL:
            stack[--n - 1] = a * b;
            break;
        case KL_SIZE_DIV:
            stack[--n - 1] = b == 0 ? 0 : a / b - (a % b != 0 && (a < 0) != (b < 0));
            break;
        case KL_SIZE_MOD:
            stack[--n - 1] = b == 0 ? a : (a % b + b) % b;
            break;
        case KL_SIZE_MAX:
            stack[--n - 1] = KL_MAX(a, b);
            break;
        case KL_SIZE_MIN:
            stack[--n - 1] = KL_MIN(a, b);
            break;
        case KL_SIZE_NEG:
            stack[n - 1] = -b;
            break;
        }
    }
    return n ? stack[n - 1] : 0;
}

/* ---- blocks for one call ---- */

typedef struct block {
    void *p;
    size_t size, asked; /* what it holds; what this call needs of it */
    int device;
} block;
static block pool[POOL];
static pthread_mutex_t pool_lock = PTHREAD_MUTEX_INITIALIZER;
static int64_t limit = INT64_MAX; /* kl_set_memory_limit */

/* Bytes that calls now under way asked the pool for, and the most ever. */
static void count_pool(int64_t more)
{
    int64_t now = __atomic_add_fetch(&kl_counts.pool_bytes, more, __ATOMIC_RELAXED),
            most = __atomic_load_n(&kl_counts.pool_peak, __ATOMIC_RELAXED);
    while (now > most &&
           !__atomic_compare_exchange_n(&kl_counts.pool_peak, &most, now, true,
                                        __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

/* The smallest pooled block that is large enough, else a new one. */
static kl_status take_block(int device, size_t size, block *out)
{
    int best = -1;
    *out = (block){NULL, 0, size, device};
    if (size == 0)
        return KL_OK;
    pthread_mutex_lock(&pool_lock);
    for (int i = 0; i < POOL; i++)
        if (pool[i].p && pool[i].device == device && pool[i].size >= size &&
            (best < 0 || pool[i].size < pool[best].size))
            best = i;
    if (best >= 0 && pool[best].size / 4 <= size + (1 << 16)) {
        *out = pool[best];
        out->asked = size;
        pool[best].p = NULL;
    }
    pthread_mutex_unlock(&pool_lock);
    if (!out->p) {
        const kl_device_ops *ops;
        int index;
        KL_TRY(kl_device_get(device, &ops, &index));
        KL_TRY(ops->alloc(index, size, &out->p));
        out->size = size;
    }
    count_pool((int64_t)size);
    return KL_OK;
}

static void free_block(block b)
{
    const kl_device_ops *ops;
    int index;
    if (b.p && kl_device_get(b.device, &ops, &index) == KL_OK)
        ops->free(index, b.p, b.size);
}

/* Back into the pool, or over its smallest block. */
static void give_block(block b)
{
    int at = -1;
    if (!b.p)
        return;
    count_pool(-(int64_t)b.asked);
    pthread_mutex_lock(&pool_lock);
    for (int i = 0; i < POOL; i++)
        if (!pool[i].p || at < 0 || (pool[at].p && pool[i].size < pool[at].size))
            at = i;
    block out = pool[at];
    pool[at] = b;
    pthread_mutex_unlock(&pool_lock);
    free_block(out);
}

void kl_program_pool_clear(void)
{
    pthread_mutex_lock(&pool_lock);
    for (int i = 0; i < POOL; i++) {
        free_block(pool[i]);
        pool[i].p = NULL;
    }
    pthread_mutex_unlock(&pool_lock);
    kl_alloc_trim();
}

/* ---- a run ---- */

typedef struct run {
    const kl_program *p;
    const kl_device_ops *ops;
    int index;
    void *const *in, *const *out;
    const int64_t *syms;
    char *arena;
    int64_t *error; /* one for the program and all bodies within it */
    int64_t *times; /* by step, or NULL; no body's */
} run;

static void *address(const run *r, int32_t slot)
{
    const kl_slot *s = &r->p->slots[slot];
    switch (s->kind) {
    case KL_SLOT_IN:
        return r->in[s->index];
    case KL_SLOT_OUT:
        return r->out[s->index];
    case KL_SLOT_ARENA:
        return r->arena + kl_size_eval(s->offset, r->syms);
    default:
        return (char *)(uintptr_t)r->p->constants + s->index;
    }
}

static int64_t whole_lines(int64_t bytes)
{
    return (bytes + 63) / 64 * 64;
}

static kl_status launch_on(run *r, const kl_step *s, void **bufs, int64_t *dims)
{
    for (int i = 0; i < s->nslots; i++)
        bufs[i] = address(r, s->slots[i]);
    for (int i = 0; i < s->ndims; i++)
        dims[i] = kl_size_eval(s->dims[i], r->syms);
    kl_args a = {.bufs = bufs, .dims = dims, .error = r->error};
    int64_t scratch = whole_lines(kl_size_eval(s->scratch, r->syms));
    block b;
    KL_TRY(take_block(r->p->device, (size_t)(scratch * kl_threads()), &b));
    a.scratch = b.p, a.scratch_stride = scratch;
    int64_t begin = kl_profile_on() ? kl_now_ns() : 0, workers = 0;
    kl_status st = KL_OK;
    for (int i = 0; i < s->nphases && st == KL_OK; i++) {
        const kl_plan_phase *ph = &s->phases[i];
        kl_phase_dims d = {.workers = kl_size_eval(ph->workers, r->syms),
                           .grain = ph->grain,
                           .group = ph->group,
                           .lane = ph->lane,
                           .shared = kl_size_eval(ph->shared, r->syms)};
        workers += d.workers;
        if (d.workers > 0)
            st = r->ops->launch(r->index, r->p->kernels[s->kernel].entry[i], &a,
                                s->nslots, s->ndims, &d);
    }
    give_block(b);
    if (workers == 0) /* nothing to do, or the other form of a contraction does it */
        return st;
    KL_TICK(kernels_launched);
    if (kl_profile_on())
        kl_profile_event("kernel", s->name, begin, kl_now_ns(), s->bytes, s->flops);
    return st;
}

/* Room for what the kernel is given: here for all but the largest. */
static kl_status launch(run *r, const kl_step *s)
{
    void *bufs[SMALL];
    int64_t dims[SMALL];
    if (s->nslots <= SMALL && s->ndims <= SMALL)
        return launch_on(r, s, bufs, dims);
    size_t words = (size_t)s->nslots + (size_t)s->ndims;
    int64_t *room = kl_alloc(words * sizeof *room);
    if (!room)
        return kl_fail(KL_ERR_OOM, "%s: out of memory for %zu operands", s->name, words);
    kl_status st = launch_on(r, s, (void **)(void *)(room + s->ndims), room);
    kl_free(room, words * sizeof *room);
    return st;
}

static void native_buffer(const run *r, int32_t slot, kl_memory *m, kl_buffer *b)
{
    const kl_slot *s = &r->p->slots[slot];
    *m = (kl_memory){.refs = 1,
                     .base = address(r, slot),
                     .size = (size_t)kl_size_eval(s->bytes, r->syms)};
    *b = (kl_buffer){.mem = m, .dtype = s->dtype, .rank = s->rank};
    for (int i = 0; i < s->rank; i++)
        b->shape[i] = kl_size_eval(s->shape[i], r->syms);
    kl_buffer_dense_strides(b);
}

/* A native function sees dense host buffers: inputs first, then outputs. */
static kl_status call(run *r, const kl_step *s)
{
    void *user;
    kl_native_fn fn = kl_native_find(s->symbol, &user);
    kl_memory mem[SMALL];
    kl_buffer bufs[SMALL];
    int nin = 0;
    if (!fn)
        return kl_fail(KL_ERR_ARG, "call: no native function named %s is registered",
                       s->symbol);
    if (s->nslots > SMALL)
        return kl_fail(KL_ERR_UNSUPPORTED, "%s: more than %d operands", s->name, SMALL);
    for (int i = 0; i < s->nslots; i++)
        native_buffer(r, s->slots[i], &mem[i], &bufs[i]);
    nin = s->ncarry;
    int rc = fn(user, nin, bufs, s->nslots - nin, bufs + nin);
    return rc == 0 ? KL_OK : kl_fail(KL_ERR_ARG, "%s returned %d", s->symbol, rc);
}

static kl_status loop(run *r, const kl_step *s);
static kl_status branch(run *r, const kl_step *s);

static kl_status step(run *r, const kl_step *s)
{
    switch (s->kind) {
    case KL_STEP_LAUNCH:
        return launch(r, s);
    case KL_STEP_CALL:
        return call(r, s);
    case KL_STEP_LOOP:
        return loop(r, s);
    case KL_STEP_BRANCH:
        return branch(r, s);
    case KL_STEP_COPY:
        return r->ops->copy(r->index, address(r, s->slots[0]), address(r, s->slots[1]),
                            (size_t)kl_size_eval(r->p->slots[s->slots[0]].bytes, r->syms),
                            false, false);
    case KL_STEP_FILL:
        return r->ops->fill(
            r->index, address(r, s->slots[0]), (int)s->value,
            (size_t)kl_size_eval(r->p->slots[s->slots[0]].bytes, r->syms));
    }
    return kl_fail(KL_ERR_INTERNAL, "%s: unknown step", s->name);
}

/* ---- programs within the program ---- */

static kl_status run_steps(run *r)
{
    kl_status st = KL_OK;
    for (int i = 0; i < r->p->nsteps && st == KL_OK; i++) {
        int64_t begin = r->times ? kl_now_ns() : 0;
        st = step(r, &r->p->steps[i]);
        if (r->times)
            r->times[i] = kl_now_ns() - begin;
        if (st == KL_OK && kl_stopped())
            st = kl_fail(KL_ERR_STOPPED, "%s: given up", r->p->steps[i].name);
    }
    return st;
}

static run within(const run *r, const kl_program *body, const kl_step *s, void **in,
                  void **out)
{
    run y = *r;
    y.p = body, y.in = in, y.out = out, y.times = NULL;
    y.arena = address(r, s->slots[s->nslots - 1]);
    return y;
}

int64_t kl_port_bytes(const kl_port *p, const int64_t *syms)
{
    int64_t n = kl_dtypes[p->dtype].size;
    for (int i = 0; i < p->rank; i++)
        n *= kl_size_eval(p->shape[i], syms);
    return n;
}

/* Addresses of a body's operands and results, which lie in slots first..; how far each
 * moves from trip to trip. */
typedef struct trip {
    void **in, **out;
    int64_t *step;
    int n, ncarry;
    size_t bytes;
} trip;

static kl_status trip_new(const run *r, const kl_step *s, int first, trip *t)
{
    const kl_program *b = s->body;
    *t = (trip){.n = b->nin + b->nout, .ncarry = s->kind == KL_STEP_LOOP ? s->ncarry : 0};
    t->bytes = ((size_t)t->n + 1) * (sizeof *t->in + sizeof *t->step);
    if (!(t->in = kl_alloc(t->bytes)))
        return kl_fail(KL_ERR_OOM, "%s: out of memory for %d operands", s->name, t->n);
    t->out = t->in + b->nin;
    t->step = (int64_t *)(void *)(t->in + t->n + 1);
    for (int i = 0; i < t->n; i++) {
        t->in[i] = address(r, s->slots[first + i]);
        const kl_port *p = i < b->nin ? &b->in[i] : &b->out[i - b->nin];
        bool carried = (i < b->nin ? i : i - b->nin) < t->ncarry;
        t->step[i] = carried ? 0 : kl_port_bytes(p, r->syms);
    }
    return KL_OK;
}

/* Results become the next trip's carried values; scanned ones move on. */
static void trip_next(trip *t)
{
    for (int i = 0; i < t->n; i++)
        t->in[i] = (char *)t->in[i] + t->step[i];
    for (int i = 0; i < t->ncarry; i++) {
        void *p = t->in[i];
        t->in[i] = t->out[i];
        t->out[i] = p;
    }
}

/* What `other` says of the carried values; *go stays false when an error is known. */
static kl_status ask(const run *r, const kl_step *s, trip *t, bool *go)
{
    uint8_t flag = 0;
    void *at = address(r, s->slots[s->nslots - 2]);
    run test = within(r, s->other, s, t->in, &at);
    KL_TRY(run_steps(&test));
    KL_TRY(r->ops->copy(r->index, &flag, at, 1, false, true));
    *go = flag && !r->error[0];
    return KL_OK;
}

static kl_status loop(run *r, const kl_step *s)
{
    trip t;
    KL_TRY(trip_new(r, s, 0, &t));
    int64_t n = 0, most = s->other ? INT64_MAX : kl_size_eval(s->trips, r->syms);
    run body = within(r, s->body, s, t.in, t.out);
    kl_status st = KL_OK;
    for (bool go = true; st == KL_OK && n < most && !r->error[0]; n++) {
        if (s->other && ((st = ask(r, s, &t, &go)) != KL_OK || !go))
            break;
        st = run_steps(&body);
        trip_next(&t);
    }
    for (int i = 0; i < t.ncarry && st == KL_OK; i++) {
        void *home = address(r, s->slots[i]);
        if (t.in[i] != home)
            st = r->ops->copy(r->index, home, t.in[i],
                              (size_t)kl_port_bytes(&s->body->in[i], r->syms), false,
                              false);
    }
    kl_debug("%s: %lld trips", s->name, (long long)n);
    kl_free(t.in, t.bytes);
    return st;
}

static kl_status branch(run *r, const kl_step *s)
{
    uint8_t flag = 0;
    trip t;
    KL_TRY(r->ops->copy(r->index, &flag, address(r, s->slots[0]), 1, false, true));
    KL_TRY(trip_new(r, s, 1, &t));
    run side = within(r, flag ? s->body : s->other, s, t.in, t.out);
    kl_status st = run_steps(&side);
    kl_debug("%s: %s", s->name, flag ? "true" : "false");
    kl_free(t.in, t.bytes);
    return st;
}

static kl_status fault(const run *r)
{
    static const char *const what[] = {"", "index %lld is out of range",
                                       "an access out of bounds at element %lld",
                                       "a check failed on value %lld"};
    char text[96];
    int64_t kind = r->error[0];
    snprintf(text, sizeof text, kind > 0 && kind < 4 ? what[kind] : "fault %lld",
             (long long)r->error[2]);
    return kl_fail(KL_ERR_INDEX, "%s: %s", r->p->name ? r->p->name : "program", text);
}

int64_t kl_program_peak(const kl_program *p, const int64_t *syms)
{
    return kl_size_eval(p->arena, syms);
}

/* Of all steps, the bodies' too, the most that one takes beside the arena. */
static int64_t most_tiles(const kl_program *p, const int64_t *syms)
{
    int64_t most = 0;
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        int64_t n = 0;
        if (s->kind == KL_STEP_LAUNCH)
            n = whole_lines(kl_size_eval(s->scratch, syms)) * kl_threads();
        if (s->body)
            n = most_tiles(s->body, syms);
        if (s->other)
            n = KL_MAX(n, most_tiles(s->other, syms));
        most = KL_MAX(most, n);
    }
    return most;
}

int64_t kl_program_need(const kl_program *p, const int64_t *syms)
{
    return kl_program_peak(p, syms) + most_tiles(p, syms);
}

kl_status kl_set_memory_limit(int64_t bytes)
{
    if (bytes < 0)
        return kl_fail(KL_ERR_ARG, "set_memory_limit: %lld bytes", (long long)bytes);
    __atomic_store_n(&limit, bytes ? bytes : INT64_MAX, __ATOMIC_RELAXED);
    return KL_OK;
}

kl_status kl_program_admit(const kl_program *p, const int64_t *syms, int64_t more)
{
    int64_t most = __atomic_load_n(&limit, __ATOMIC_RELAXED), need;
    if (most == INT64_MAX || (need = kl_program_need(p, syms) + more) <= most)
        return KL_OK;
    return kl_fail(KL_ERR_OOM,
                   "%s needs %lld bytes at its peak; the limit set by "
                   "kl_set_memory_limit is %lld",
                   p->name && *p->name ? p->name : "the program", (long long)need,
                   (long long)most);
}

static kl_status check_symbols(const kl_program *p, const int64_t *syms)
{
    for (int i = 0; i < p->nsyms && !KL_PLANTED(symbols); i++)
        if (syms[i] < p->sym_min[i] || syms[i] > p->sym_max[i] ||
            (p->sym_div[i] > 1 && syms[i] % p->sym_div[i]))
            return kl_fail(
                KL_ERR_SHAPE,
                "%s: dimension %s = %lld is outside %lld..%lld, multiple of %lld",
                p->name, p->sym_names[i], (long long)syms[i], (long long)p->sym_min[i],
                (long long)p->sym_max[i], (long long)p->sym_div[i]);
    return KL_OK;
}

kl_status kl_program_run(const kl_program *p, void *const *in, void *const *out,
                         const int64_t *syms)
{
    return kl_program_run_timed(p, in, out, syms, NULL);
}

kl_status kl_program_run_timed(const kl_program *p, void *const *in, void *const *out,
                               const int64_t *syms, int64_t *times)
{
    int64_t error[3] = {0};
    run r = {.p = p, .in = in, .out = out, .syms = syms, .error = error, .times = times};
    block arena;
    KL_TRY(check_symbols(p, syms));
    KL_TRY(kl_program_admit(p, syms, 0));
    KL_TRY(kl_device_get(p->device, &r.ops, &r.index));
    KL_TRY(take_block(p->device, (size_t)kl_size_eval(p->arena, syms), &arena));
    r.arena = arena.p;
    kl_status st = run_steps(&r);
    kl_status waited =
        p->device ? r.ops->sync(r.index) : KL_OK; /* it fills the error word */
    st = st ? st : waited;
    give_block(arena);
    if (st == KL_OK && r.error[0])
        st = fault(&r);
    return st;
}

kl_program *kl_program_ref(kl_program *p)
{
    if (p)
        __atomic_add_fetch(&p->refs, 1, __ATOMIC_RELAXED);
    return p;
}

void kl_program_unref(kl_program *p)
{
    if (!p || __atomic_sub_fetch(&p->refs, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    for (int i = 0; i < p->nkernels; i++)
        kl_module_unref(p->kernels[i].module);
    for (int i = 0; i < p->nsteps; i++) {
        kl_program_unref(p->steps[i].body);
        kl_program_unref(p->steps[i].other);
    }
    kl_arena_free(p->memory);
}
