/* slab.c: memory for the frontend's many small objects. Sizes are rounded up to 64 bytes;
 * each thread has a free list for each size, refilled from slabs of 64 KiB that all
 * threads share and fed by whatever this thread releases. A thread that ends gives its
 * lists to the others.
 *
 *   alloc 100 -> class 2 (128 bytes) -> pop this thread's list, else carve a slab
 *
 * An object released on another thread than its maker's simply changes lists. */
#include "front.h"

enum { GRAIN = 64, CLASSES = 16, SLAB = 64 * 1024 };

typedef struct item {
    struct item *next;
} item;
typedef struct slab {
    struct slab *next;
} slab;

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static slab *slabs;
static item *shared[CLASSES];
static int64_t live;
static uint32_t epoch; /* trims so far: lists of an older epoch are void */
static int threads;    /* that may have items on lists of their own */

typedef struct lists {
    item *head[CLASSES];
    int64_t live; /* of this thread: added to `live` when it refills or trims */
    uint32_t epoch;
    bool known;
} lists;
static __thread lists mine;
static pthread_key_t key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

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

static void thread_ends(void *p)
{
    lists *l = p;
    pthread_mutex_lock(&lock);
    give_up(l);
    l->known = false;
    threads--;
    pthread_mutex_unlock(&lock);
}

static void make_key(void)
{
    pthread_key_create(&key, thread_ends);
}

/* From its first item on, until it ends. */
static void enlist(void)
{
    if (mine.known)
        return;
    pthread_once(&once, make_key);
    pthread_setspecific(key, &mine);
    pthread_mutex_lock(&lock);
    mine.known = true;
    threads++;
    pthread_mutex_unlock(&lock);
}

/* Under the lock: fill this thread's list of class c. */
static bool refill(int c)
{
    if (mine.epoch != epoch)
        give_up(&mine);
    if (shared[c]) {
        mine.head[c] = shared[c];
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
        i->next = mine.head[c];
        mine.head[c] = i;
    }
    return true;
}

static void *take_slow(int c)
{
    enlist();
    pthread_mutex_lock(&lock);
    bool ok = refill(c);
    pthread_mutex_unlock(&lock);
    if (!ok)
        return NULL;
    item *i = mine.head[c];
    mine.head[c] = i->next;
    return i;
}

void *kl_slab_alloc(size_t size)
{
    size_t c = (size - 1) / GRAIN;
    void *p;
    if (c >= CLASSES) {
        p = kl_alloc(size);
    } else if (mine.head[c]) {
        p = mine.head[c];
        mine.head[c] = mine.head[c]->next;
    } else {
        p = take_slow((int)c);
    }
    if (p)
        mine.live++;
    else
        kl_fail(KL_ERR_OOM, "out of memory for an object of %zu bytes", size);
    return p;
}

void kl_slab_free(void *p, size_t size)
{
    size_t c = (size - 1) / GRAIN;
    if (!p)
        return;
    mine.live--;
    if (c >= CLASSES) {
        kl_free(p, size);
        return;
    }
    enlist(); /* also when others made all that it lets go */
    item *i = p;
    i->next = mine.head[c];
    mine.head[c] = i;
}

/* Other threads take from their lists without the lock: while there are any, nothing
 * goes. */
bool kl_slab_trim(void)
{
    pthread_mutex_lock(&lock);
    give_up(&mine);
    bool idle = live == 0 && threads <= (mine.known ? 1 : 0);
    if (idle) {
        while (slabs) {
            slab *s = slabs;
            slabs = s->next;
            kl_free(s, SLAB);
        }
        memset(shared, 0, sizeof shared);
        epoch++;
        mine.epoch = epoch;
    }
    pthread_mutex_unlock(&lock);
    return idle;
}
