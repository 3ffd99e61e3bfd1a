/* module.c: loaded code, by key, once; several keys may have one module.
 *
 * Two threads that need one kernel compile it once: the first to ask gets `mine` and
 * builds, the others wait; if the build fails, one of those who wait tries in turn, so
 * that each has an error of its own. The table keeps a bounded number of modules;
 * programs hold references of their own, so dropping one here costs a reload at most.
 *
 *     absent --begin: mine--> building --end(m)--> ready --trim--> absent
 *                                 \--end(NULL)--> absent */
#include "runtime/runtime.h"

#include <pthread.h>

enum { BUCKETS = 1024, MODULES_MAX = 4096 };

typedef struct entry {
    struct entry *next;
    kl_hash key;
    int device;
    kl_module *module; /* NULL: being built */
    uint64_t used;     /* the table's clock at the last use */
} entry;

static struct {
    entry *buckets[BUCKETS];
    int64_t count;
    uint64_t clock;
} table;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t built = PTHREAD_COND_INITIALIZER;

kl_module *kl_module_ref(kl_module *m)
{
    if (m)
        __atomic_add_fetch(&m->refs, 1, __ATOMIC_RELAXED);
    return m;
}

void kl_module_unref(kl_module *m)
{
    if (m && __atomic_sub_fetch(&m->refs, 1, __ATOMIC_ACQ_REL) == 0)
        m->ops->unload(m);
}

/* The link that points to the entry, or to the NULL where it would stand. */
static entry **find(kl_hash key, int device)
{
    entry **e = &table.buckets[(key.lo + (uint64_t)device) % BUCKETS];
    while (*e && (!kl_hash_same((*e)->key, key) || (*e)->device != device))
        e = &(*e)->next;
    return e;
}

static void drop(entry **link)
{
    entry *e = *link;
    *link = e->next;
    table.count--;
    if (e->module)
        e->module->tabled--;
    kl_module_unref(e->module);
    kl_free(e, sizeof *e);
}

/* The link to the ready entry whose use is the longest ago; NULL if none is ready. */
static entry **oldest(void)
{
    entry **old = NULL;
    for (int i = 0; i < BUCKETS; i++)
        for (entry **e = &table.buckets[i]; *e; e = &(*e)->next)
            if ((*e)->module && (!old || (*e)->used < (*old)->used))
                old = e;
    return old;
}

static void trim(int64_t most)
{
    entry **old;
    while (table.count > most && (old = oldest()))
        drop(old);
}

/* A child of fork has one thread: what others were building will never be finished. */
static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}
static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}
static void in_child(void)
{
    for (int i = 0; i < BUCKETS; i++)
        for (entry **e = &table.buckets[i]; *e;)
            if ((*e)->module)
                e = &(*e)->next;
            else
                drop(e);
    pthread_cond_init(&built, NULL);
    pthread_mutex_unlock(&lock);
}
static void at_fork(void)
{
    kl_at_fork(before_fork, after_fork, in_child);
}

kl_status kl_modules_begin(kl_hash key, int device, bool wait, kl_module **out,
                           bool *mine)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, at_fork);
    *out = NULL;
    *mine = false;
    pthread_mutex_lock(&lock);
    entry **e;
    while (*(e = find(key, device)) && !(*e)->module && wait)
        pthread_cond_wait(&built, &lock);
    bool busy = *e && !(*e)->module;
    if (*e && !busy) {
        (*e)->used = ++table.clock;
        *out = kl_module_ref((*e)->module);
    } else if (!busy && (*e = kl_alloc_zeroed(sizeof **e))) {
        (*e)->key = key;
        (*e)->device = device;
        table.count++;
        *mine = true;
    }
    pthread_mutex_unlock(&lock);
    return *out || *mine || busy
               ? KL_OK
               : kl_fail(KL_ERR_OOM, "out of memory: the table of modules");
}

void kl_modules_end(kl_hash key, int device, kl_module *m)
{
    pthread_mutex_lock(&lock);
    entry **e = find(key, device);
    KL_ASSERT(*e && !(*e)->module);
    if (*e && m) {
        (*e)->module = kl_module_ref(m);
        m->tabled++;
        (*e)->used = ++table.clock;
        trim(MODULES_MAX);
    } else if (*e) {
        drop(e);
    }
    pthread_cond_broadcast(&built);
    pthread_mutex_unlock(&lock);
}

void kl_modules_drop_unused(void)
{
    pthread_mutex_lock(&lock);
    for (int i = 0; i < BUCKETS; i++)
        for (entry **e = &table.buckets[i]; *e;)
            if ((*e)->module && /* nobody new: who takes it needs the lock */
                __atomic_load_n(&(*e)->module->refs, __ATOMIC_ACQUIRE) ==
                    (*e)->module->tabled)
                drop(e);
            else
                e = &(*e)->next;
    pthread_mutex_unlock(&lock);
}

void kl_modules_trim(int64_t most)
{
    pthread_mutex_lock(&lock);
    trim(most);
    pthread_mutex_unlock(&lock);
}
