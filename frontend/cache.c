/* cache.c: programs by key. The first thread that needs one makes it while others that
 * need the same wait; an entry lives as long as somebody runs it, even when it has been
 * pushed out. The oldest entries go first when there are too many.
 *
 *   hash(key) -> chain of entries -> memcmp of whole keys -> program */
#include "front.h"
#include "sizes.h"

enum { BUCKETS = 4096, LIMIT = 2048 };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t made = PTHREAD_COND_INITIALIZER;
static kl_entry *table[BUCKETS];
static int count;
static uint64_t clock_;
static bool interp, pinned;

bool kl_set_pinned_shapes(bool on)
{
    bool was = __atomic_exchange_n(&pinned, on, __ATOMIC_RELAXED);
    if (was != on) /* programs of the other kind are not to be found */
        kl_cache_clear();
    return was;
}

void kl_force_interp(bool on)
{
    if (on != interp)
        kl_cache_clear();
    interp = on;
}

bool kl_interp_on(void)
{
    return interp;
}

void kl_entry_unref(kl_entry *e)
{
    if (!e || __atomic_sub_fetch(&e->refs, 1, __ATOMIC_ACQ_REL) != 0)
        return;
    kl_program_unref(e->program);
    if (e->sized) {
        kl_sized_free(e->sized);
        kl_free(e->sized, sizeof *e->sized);
    }
    kl_arena_free(e->arena);
    kl_free(e->key, e->nkey);
    kl_free(e, sizeof *e);
}

/* Under the lock: out of the table. */
static void detach_entry(kl_entry *e)
{
    kl_entry **at = &table[e->hash.lo % BUCKETS];
    while (*at && *at != e)
        at = &(*at)->next;
    if (!*at)
        return;
    *at = e->next;
    count--;
    kl_entry_unref(e);
}

/* false: there was none. */
static bool drop_oldest(void)
{
    kl_entry *oldest = NULL;
    for (int b = 0; b < BUCKETS; b++)
        for (kl_entry *e = table[b]; e; e = e->next)
            if (e->state == 1 && (!oldest || e->used < oldest->used))
                oldest = e;
    if (oldest)
        detach_entry(oldest);
    return oldest != NULL;
}

void kl_cache_clear(void)
{
    pthread_mutex_lock(&lock);
    for (int b = 0; b < BUCKETS; b++)
        while (table[b])
            detach_entry(table[b]);
    pthread_mutex_unlock(&lock);
    kl_sizes_clear();
}

kl_status kl_cache_trim(int64_t bytes)
{
    bool more = true;
    if (bytes < 0)
        return kl_fail(KL_ERR_ARG, "cache_trim: %lld bytes", (long long)bytes);
    kl_store_trim(bytes);
    if (bytes == 0) {
        kl_cache_clear();
        kl_program_pool_clear();
    }
    while (more && kl_stats().code_bytes > bytes) {
        kl_modules_drop_unused();
        pthread_mutex_lock(&lock);
        more = kl_stats().code_bytes > bytes && drop_oldest();
        pthread_mutex_unlock(&lock);
    }
    return KL_OK;
}

static kl_entry *find(const kl_linear *l, kl_hash h)
{
    kl_entry *e = table[h.lo % BUCKETS];
    while (e && (!kl_hash_same(e->hash, h) || e->nkey != l->nkey ||
                 memcmp(e->key, l->key, l->nkey) != 0))
        e = e->next;
    return e;
}

/* Under the lock: a new entry, being made, with a reference for the maker. */
static kl_entry *insert(const kl_linear *l, kl_hash h)
{
    kl_entry *e = kl_alloc_zeroed(sizeof *e);
    uint8_t *key = kl_alloc(l->nkey);
    if (!e || !key) {
        kl_free(e, sizeof *e);
        kl_free(key, l->nkey);
        return NULL;
    }
    memcpy(key, l->key, l->nkey);
    *e = (kl_entry){
        .hash = h, .key = key, .nkey = l->nkey, .refs = 2, .next = table[h.lo % BUCKETS]};
    table[h.lo % BUCKETS] = e;
    if (++count > LIMIT)
        drop_oldest();
    return e;
}

/* A native function's name is a pointer in the key, which means nothing elsewhere. */
bool kl_graph_portable(const kl_graph *g)
{
    for (uint32_t i = 0; i < g->count; i++)
        if (g->nodes[i].op == KL_OP_call)
            return false;
    return true;
}

static kl_status compile(kl_entry *e, const kl_linear *l, int device)
{
    KL_TRY(kl_import(l, e->arena, NULL, &e->graph));
    KL_TICK(programs_compiled);
    if (interp)
        return kl_prepare_interp(e->arena, &e->graph);
    bool keep = kl_graph_portable(e->graph);
    KL_TRY(kl_compile_graph(e->graph, device, &e->program));
    if (keep)
        kl_compile_keep(l->key, kl_portable_key(l->nkey), e->program);
    return KL_OK;
}

/* A program that serves other sizes too; e->program stays NULL: there is none. */
static kl_status find_sized(kl_entry *e, const kl_linear *l, int device)
{
    kl_sized s;
    KL_TRY(kl_sized_find(l, device, &s));
    if (!s.program)
        return KL_OK;
    e->sized = kl_alloc(sizeof s);
    if (!e->sized) {
        kl_sized_free(&s);
        return kl_fail(KL_ERR_OOM, "out of memory for a program's sizes");
    }
    *e->sized = s;
    e->program = kl_program_ref(s.program);
    return KL_OK;
}

/* own: for exactly these sizes. */
static kl_status make(kl_entry *e, const kl_linear *l, int device, bool own)
{
    e->device = device;
    if (!interp && !own && !l->looking && !__atomic_load_n(&pinned, __ATOMIC_RELAXED))
        KL_TRY(find_sized(e, l, device));
    if (e->program)
        return KL_OK;
    if (!interp)
        KL_TRY(kl_compile_find(l->key, kl_portable_key(l->nkey), device, &e->program));
    if (e->program) {
        KL_TICK(programs_from_disk);
        return KL_OK;
    }
    e->arena = kl_arena_new();
    if (!e->arena)
        return kl_fail(KL_ERR_OOM, "out of memory to compile");
    KL_TRY(compile(e, l, device));
    if (e->program) { /* the arena is the interpreter's */
        kl_arena_free(e->arena);
        e->arena = NULL;
        e->graph = NULL;
    }
    return KL_OK;
}

/* Whether so much was computed at these sizes that a program of their own is worth it. */
static bool worn(kl_entry *e)
{
    return e->state == 1 && e->sized &&
           __atomic_load_n(&e->spent_ns, __ATOMIC_RELAXED) > e->sized->patience_ns;
}

kl_status kl_cache_get(const kl_linear *l, int device, kl_entry **out)
{
    kl_hash h = kl_hash_bytes(l->key, l->nkey);
    pthread_mutex_lock(&lock);
    kl_entry *e = find(l, h);
    bool own = e && worn(e);
    if (own) {
        detach_entry(e);
        e = NULL;
    }
    bool mine = !e;
    e = mine ? insert(l, h) : e;
    if (e && !mine)
        __atomic_add_fetch(&e->refs, 1, __ATOMIC_RELAXED);
    while (e && !mine && e->state == 0)
        pthread_cond_wait(&made, &lock);
    if (e)
        e->used = ++clock_;
    int state = e ? e->state : 2;
    pthread_mutex_unlock(&lock);
    *out = e;
    if (!e)
        return kl_fail(KL_ERR_OOM, "out of memory for a program's key");
    if (!mine) {
        KL_TICK(program_hits);
        return state == 1 ? KL_OK
                          : kl_fail(KL_ERR_COMPILE, "the same program failed to compile");
    }
    kl_status st = make(e, l, device, own);
    pthread_mutex_lock(&lock);
    e->state = st == KL_OK ? 1 : 2;
    if (st != KL_OK)
        detach_entry(e); /* the next who needs it tries again */
    pthread_cond_broadcast(&made);
    pthread_mutex_unlock(&lock);
    return st;
}

kl_entry *kl_cache_last(void)
{
    kl_entry *last = NULL;
    pthread_mutex_lock(&lock);
    for (int b = 0; b < BUCKETS; b++)
        for (kl_entry *e = table[b]; e; e = e->next)
            if (e->state == 1 && (!last || e->used > last->used))
                last = e;
    if (last)
        __atomic_add_fetch(&last->refs, 1, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&lock);
    return last;
}

/* ---- running ---- */

static void *bytes_of(const kl_given *g)
{
    void *base =
        g->base->small ? (void *)kl_lazy_attr(g->base) : kl_lazy_mem(g->base)->base;
    return (char *)base + g->at;
}

static void describe(kl_buffer *b, kl_lazy *n, kl_memory *m)
{
    *b = (kl_buffer){.mem = m, .dtype = (kl_dtype)n->dtype, .rank = n->rank};
    memcpy(b->shape, kl_lazy_shape(n), n->rank * sizeof *b->shape);
    kl_buffer_dense_strides(b);
}

/* Buffers of the inputs, with room for the outputs behind them; each memory is to be let
 * go. NULL: out of memory. */
static kl_buffer *operands(const kl_linear *l)
{
    uint32_t ni = l->inputs.n, no = l->outputs.n;
    kl_buffer *b = kl_alloc_zeroed((ni + no + 1) * sizeof *b);
    if (!b)
        kl_fail(KL_ERR_OOM, "out of memory for %u operands", ni + no);
    for (uint32_t i = 0; b && i < ni; i++) {
        kl_lazy *n = l->inputs.v[i];
        kl_memory *m =
            kl_memory_wrap(bytes_of(&l->given[i]), kl_lazy_bytes(n), true, NULL, NULL);
        describe(&b[i], n, m);
    }
    return b;
}

static kl_status all_there(const kl_buffer *b, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        if (!b[i].mem)
            return kl_error_status();
    return KL_OK;
}

static kl_status run_interp(const kl_entry *e, const kl_linear *l, kl_memory **out)
{
    uint32_t ni = l->inputs.n, no = l->outputs.n;
    if (e->device != 0)
        return kl_fail(KL_ERR_UNSUPPORTED, "the reference interpreter is the host's");
    kl_buffer *b = operands(l);
    if (!b)
        return KL_ERR_OOM;
    kl_status st = all_there(b, ni);
    if (st == KL_OK)
        st = kl_graph_interp(e->graph, b, NULL, b + ni);
    for (uint32_t i = 0; i < no && st == KL_OK; i++)
        out[i] = b[ni + i].mem;
    for (uint32_t i = 0; i < ni; i++)
        kl_memory_unref(b[i].mem);
    kl_free(b, (ni + no + 1) * sizeof *b);
    return st;
}

/* Bytes of the host on the program's device, in *held. */
static kl_status place_copy(const kl_entry *e, size_t size, kl_memory **held, void **out)
{
    const kl_device_ops *ops;
    int index;
    *held = kl_memory_new(e->device, size);
    if (!*held)
        return kl_error_status();
    KL_TRY(kl_device_get(e->device, &ops, &index));
    KL_TRY(ops->copy(index, (*held)->base, *out, size, true, false));
    *out = (*held)->base;
    return KL_OK;
}

/* An input's address on the program's device: its own, or (a number that is on the host)
 * that of a copy in *held. */
static kl_status place_input(const kl_entry *e, kl_lazy *n, const kl_given *g,
                             kl_memory **held, void **out)
{
    *out = bytes_of(g);
    if (e->device == 0 || (!g->base->small && g->base->mem->device == e->device))
        return KL_OK;
    return place_copy(e, kl_lazy_bytes(n), held, out);
}

static kl_status place_number(const kl_entry *e, int64_t *number, kl_memory **held,
                              void **out)
{
    *out = number;
    return e->device == 0 ? KL_OK : place_copy(e, sizeof *number, held, out);
}

/* The program's inputs and outputs, of these sizes. */
static kl_status place_operands(const kl_entry *e, const kl_linear *l, kl_memory **out,
                                kl_memory **held, void **p)
{
    uint32_t ni = e->sized ? e->sized->nports : l->inputs.n;
    for (uint32_t i = 0; i < ni; i++) {
        int32_t k = e->sized ? e->sized->ports[i] : (int32_t)i;
        if (k < 0)
            KL_TRY(place_number(e, &e->sized->numbers[~k], &held[i], &p[i]));
        else
            KL_TRY(place_input(e, l->inputs.v[k], &l->given[k], &held[i], &p[i]));
    }
    for (uint32_t i = 0; i < l->outputs.n; i++) {
        out[i] = kl_memory_new(e->device, kl_lazy_bytes(l->outputs.v[i]));
        if (!out[i])
            return kl_error_status();
        p[ni + i] = out[i]->base;
    }
    return KL_OK;
}

static kl_status call(const kl_entry *e, void **in, void **out)
{
    if (!e->sized)
        return kl_program_run(e->program, in, out, NULL);
    int64_t begin = kl_now_ns();
    kl_status st = kl_program_run(e->program, in, out, e->sized->words);
    __atomic_add_fetch(&((kl_entry *)e)->spent_ns, kl_now_ns() - begin, __ATOMIC_RELAXED);
    return st;
}

static kl_status run_program(const kl_entry *e, const kl_linear *l, kl_memory **out)
{
    uint32_t ni = e->sized ? e->sized->nports : l->inputs.n, np = ni + l->outputs.n;
    int64_t results = 0;
    for (uint32_t i = 0; i < l->outputs.n; i++)
        results += (int64_t)kl_lazy_bytes(l->outputs.v[i]);
    KL_TRY(kl_program_admit(e->program, e->sized ? e->sized->words : NULL, results));
    void **p = kl_alloc_zeroed(2 * (np + 1) * sizeof *p);
    kl_memory **held = (kl_memory **)(p ? p + np + 1 : NULL);
    kl_status st = p ? place_operands(e, l, out, held, p)
                     : kl_fail(KL_ERR_OOM, "out of memory for %u operands", np);
    if (st == KL_OK)
        st = call(e, p, p + ni);
    for (uint32_t i = 0; p && i < ni; i++)
        kl_memory_unref(held[i]);
    kl_free(p, 2 * (np + 1) * sizeof *p);
    return st;
}

/* The graph that was compiled, once more, watched. */
static kl_status find_nan(const kl_linear *l)
{
    uint32_t ni = l->inputs.n, no = l->outputs.n;
    kl_graph *g = NULL;
    kl_arena *a = kl_arena_new();
    kl_buffer *b = operands(l);
    kl_status st = a && b ? all_there(b, ni) : kl_fail(KL_ERR_OOM, "out of memory");
    if (st == KL_OK)
        st = kl_import(l, a, NULL, &g);
    if (st == KL_OK)
        st = kl_prepare_interp(a, &g);
    if (st == KL_OK)
        st = kl_nan_find(g, b, b + ni);
    for (uint32_t i = 0; b && i < ni; i++)
        kl_memory_unref(b[i].mem);
    if (b)
        kl_free(b, (ni + no + 1) * sizeof *b);
    kl_arena_free(a);
    return st;
}

kl_status kl_entry_run(const kl_entry *e, const kl_linear *l, kl_memory **out)
{
    KL_TRY(e->program ? run_program(e, l, out) : run_interp(e, l, out));
    bool found = false;
    for (uint32_t i = 0; i < l->outputs.n && kl_nan_on() && e->device == 0; i++)
        found |= kl_nan_in((kl_dtype)l->outputs.v[i]->dtype, out[i]->base,
                           kl_lazy_numel(l->outputs.v[i])) >= 0;
    return found ? find_nan(l) : KL_OK;
}
