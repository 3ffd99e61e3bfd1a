/* scope.c: what belongs to a thread: its open scopes and the tensors in them, the
 * temporaries of the call under way, gradient mode, default dtype, and the storages
 * written but not computed.
 *
 *   owned:   [ base .. | scope 1 .. | scope 2 .. ]      scopes: [n1, n2]
 *
 * kl_keep swaps a tensor to the front of its scope and moves the border past it, so that
 * it is the outer scope's from then on. */
#include "fft.h"

#include <sched.h>

bool kl_serial;

static __thread kl_state *state;
static kl_state *all;
kl_state *kl_last_state; /* one of them */
static pthread_mutex_t all_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void release_all(kl_state *s)
{
    while (s->nowned > 0)
        kl_tensor_unref(s->owned[--s->nowned]);
    while (s->ndirty > 0) {
        kl_storage *d = s->dirty[--s->ndirty];
        __atomic_store_n(&d->dirty, 0, __ATOMIC_RELAXED);
        kl_storage_unref(d);
    }
    kl_free(s->owned, s->cap_owned * sizeof *s->owned);
    kl_free(s->temps, s->cap_temps * sizeof *s->temps);
    kl_free(s->scopes, s->cap_scopes * sizeof *s->scopes);
    kl_free(s->dirty, s->cap_dirty * sizeof *s->dirty);
    kl_force_trim();
    memset(s, 0, offsetof(kl_state, nodes)); /* other threads read what is behind */
    s->default_dtype = KL_F32;
}

/* States are never given back, so that the last can always be looked at; the next
 * thread takes over that of one that has ended. */
static void thread_ends(void *p)
{
    kl_state *s = p;
    release_all(s);
    kl_slab_thread_ends(&s->slabs);
    __atomic_store_n(&s->thread, 0, __ATOMIC_RELEASE);
}
static void make_key(void)
{
    pthread_key_create(&key, thread_ends);
}

/* One that is free, or a new one; NULL: there is no memory for it. */
static kl_state *take_state(void)
{
    kl_state *s;
    pthread_mutex_lock(&all_lock);
    for (s = all; s && __atomic_load_n(&s->thread, __ATOMIC_ACQUIRE); s = s->next)
        ;
    if (!s && (s = calloc(1, sizeof *s))) {
        s->next = all;
        all = s;
    }
    if (s)
        __atomic_store_n(&s->thread, kl_self(), __ATOMIC_RELEASE);
    pthread_mutex_unlock(&all_lock);
    return s;
}

static kl_state *new_state(void)
{
    kl_state *s;
    pthread_once(&once, make_key);
    while (!(s = take_state())) /* until another thread ends or memory comes back */
        sched_yield();
    s->default_dtype = KL_F32;
    pthread_setspecific(key, s);
    return s;
}

kl_state *kl_thread_slow(void)
{
    if (!state)
        state = new_state();
    /* threads side by side would take it from each other all the time */
    if (kl_serial || !__atomic_load_n(&kl_last_state, __ATOMIC_RELAXED))
        __atomic_store_n(&kl_last_state, state, __ATOMIC_RELEASE);
    return state;
}

int64_t kl_lazy_live(void)
{
    int64_t n = 0;
    pthread_mutex_lock(&all_lock);
    for (kl_state *s = all; s; s = s->next)
        n += __atomic_load_n(&s->nodes, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&all_lock);
    return n;
}

static kl_status room(void *items, size_t *cap, size_t n, size_t size)
{
    return kl_grow(items, n, cap, size)
               ? KL_OK
               : kl_fail(KL_ERR_OOM, "out of memory for %zu handles", n + 1);
}

kl_status kl_scope_add(kl_tensor *t)
{
    kl_state *s = kl_thread();
    kl_status st = room(&s->owned, &s->cap_owned, s->nowned, sizeof *s->owned);
    if (st) {
        kl_tensor_unref(t);
        return st;
    }
    s->owned[s->nowned++] = t;
    return KL_OK;
}

kl_status kl_dirty_add(kl_storage *d)
{
    kl_state *s = kl_thread();
    if (__atomic_exchange_n(&d->dirty, 1, __ATOMIC_RELAXED))
        return KL_OK;
    kl_status st = room(&s->dirty, &s->cap_dirty, s->ndirty, sizeof *s->dirty);
    if (st) {
        __atomic_store_n(&d->dirty, 0, __ATOMIC_RELAXED);
        return st;
    }
    s->dirty[s->ndirty++] = kl_storage_ref(d);
    return KL_OK;
}

void kl_scope_begin(void)
{
    kl_state *s = kl_thread();
    if (s->unkept == 0 &&
        room(&s->scopes, &s->cap_scopes, s->nscopes, sizeof *s->scopes) == KL_OK)
        s->scopes[s->nscopes++] = s->nowned;
    else
        s->unkept++; /* its handles live as long as the scope around it */
}

void kl_scope_drop(void)
{
    kl_state *s = kl_thread();
    if (s->unkept > 0 || s->nscopes == 0) {
        s->unkept -= s->unkept > 0;
        return;
    }
    size_t from = s->scopes[--s->nscopes];
    while (s->nowned > from)
        kl_tensor_unref(s->owned[--s->nowned]);
}

void kl_scope_end(void)
{
    kl_state *s = kl_thread();
    bool open = s->nscopes > 0;
    kl_scope_drop();
    if (open && s->nscopes == 0 && s->ndirty > 0)
        kl_force_dirty();
}

kl_tensor *kl_keep(kl_tensor *t)
{
    kl_state *s = kl_thread();
    size_t from = s->nscopes ? s->scopes[s->nscopes - 1] : 0;
    for (size_t i = s->nowned; t && i-- > from;) {
        if (s->owned[i] != t)
            continue;
        if (s->nscopes) { /* to the front, and the border past it */
            s->owned[i] = s->owned[from];
            s->owned[from] = t;
            s->scopes[s->nscopes - 1]++;
        } else {
            s->owned[i] = s->owned[--s->nowned];
        }
        break;
    }
    return t;
}

kl_tensor *kl_scope_hold(kl_tensor *t)
{
    return t && kl_scope_add(kl_tensor_ref(t)) == KL_OK ? t : NULL;
}

kl_tensor *kl_scope_take(kl_tensor *t)
{
    kl_state *s = kl_thread();
    size_t i = s->nowned;
    while (t && i-- > 0 && s->owned[i] != t)
        ;
    if (!t || i == SIZE_MAX)
        return t;
    memmove(s->owned + i, s->owned + i + 1, (--s->nowned - i) * sizeof *s->owned);
    for (size_t k = s->nscopes; k-- > 0 && s->scopes[k] > i;)
        s->scopes[k]--;
    return t;
}

void kl_cleanup(void)
{
    kl_state *s = kl_thread();
    release_all(s);
    kl_cache_clear();
    kl_body_clear();
    kl_fft_tables_clear();
    kl_slab_trim();
}
