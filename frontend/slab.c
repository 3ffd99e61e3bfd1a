/* slab.c: memory for the frontend's many small objects. Sizes are rounded up to 64 bytes;
 * each thread has a free list for each size, refilled from slabs of 64 KiB that all
 * threads share and fed by whatever this thread releases. A thread that ends gives its
 * lists to the others.
 *
 *   alloc 100 -> class 2 (128 bytes) -> pop this thread's list, else carve a slab
 *
 * An object released on another thread than its maker's simply changes lists. */
#include "front.h"

enum { GRAIN = 64, CLASSES = KL_SLAB_CLASSES, SLAB = 64 * 1024 };

typedef kl_slab_item item;
typedef kl_slab_lists lists;
typedef struct slab {
    struct slab *next;
} slab;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static slab *slabs;
static item *shared[CLASSES];
static int64_t live;
static uint32_t epoch; /* trims so far: lists of an older epoch are void */
static int threads;    /* that may have items on lists of their own */


static void push_all(item **to, item *from)
{
    while (from) {
        item *next = from->next;
        from->next = *to;
        *to = from;
        from = next;
    }
}

/* Under the lock. */
static void give_up(lists *l)
{
    live += l->live;
    l->live = 0;
    for (int c = 0; c < CLASSES; c++) {
        if (l->epoch == epoch)
            push_all(&shared[c], l->head[c]);
        l->head[c] = NULL;
    }
    l->epoch = epoch;
}

void kl_slab_thread_ends(lists *l)
{
    pthread_mutex_lock(&lock);
    give_up(l);
    threads -= l->known;
    l->known = false;
    pthread_mutex_unlock(&lock);
}

/* From its first item on, until it ends. */
static void enlist(lists *l)
{
    pthread_mutex_lock(&lock);
    threads += !l->known;
    l->known = true;
    pthread_mutex_unlock(&lock);
}

/* Under the lock: fill the list of class c. */
static bool refill(lists *l, int c)
{
    if (l->epoch != epoch)
        give_up(l);
    if (shared[c]) {
        l->head[c] = shared[c];
        shared[c] = NULL;
        return true;
    }
    slab *s = kl_alloc(SLAB);
    if (!s)
        return false;
    s->next = slabs;
    slabs = s;
    size_t size = (size_t)(c + 1) * GRAIN;
    for (size_t at = GRAIN; at + size <= SLAB; at += size) {
        item *i = (item *)(void *)((char *)s + at);
        i->next = l->head[c];
        l->head[c] = i;
    }
    return true;
}

static void *take_slow(lists *l, int c)
{
    enlist(l);
    pthread_mutex_lock(&lock);
    bool ok = refill(l, c);
    pthread_mutex_unlock(&lock);
    if (!ok)
        return NULL;
    item *i = l->head[c];
    l->head[c] = i->next;
    return i;
}

void *kl_slab_alloc(size_t size)
{
    size_t c = (size - 1) / GRAIN;
    lists *l = &kl_thread()->slabs;
    void *p;
    if (c >= CLASSES) {
        p = kl_alloc(size);
    } else if (l->head[c]) {
        p = l->head[c];
        l->head[c] = l->head[c]->next;
    } else {
        p = take_slow(l, (int)c);
    }
    if (p)
        l->live++;
    else
        kl_fail(KL_ERR_OOM, "out of memory for an object of %zu bytes", size);
    return p;
}

void kl_slab_free(void *p, size_t size)
{
    size_t c = (size - 1) / GRAIN;
    if (!p)
        return;
    lists *l = &kl_thread()->slabs;
    l->live--;
    if (c >= CLASSES) {
        kl_free(p, size);
        return;
    }
    if (!l->known)
        enlist(l); /* others made all that it lets go */
    item *i = p;
    i->next = l->head[c];
    l->head[c] = i;
}

/* Other threads take from their lists without the lock: while there are any, nothing
 * goes. */
bool kl_slab_trim(void)
{
    lists *l = &kl_thread()->slabs;
    pthread_mutex_lock(&lock);
    give_up(l);
    bool idle = live == 0 && threads <= (l->known ? 1 : 0);
    if (idle) {
        while (slabs) {
            slab *s = slabs;
            slabs = s->next;
            kl_free(s, SLAB);
        }
        memset(shared, 0, sizeof shared);
        epoch++;
        l->epoch = epoch;
    }
    pthread_mutex_unlock(&lock);
    return idle;
}
