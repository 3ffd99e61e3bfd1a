/* store.c: bytes by the hash of what they were made from: kernels' objects and plans.
 *
 *     get ->  memory (64 MiB, least recently used goes first)  ->  folder (disk.c)  ->  a
 * miss put ->  both
 *
 * A key names its content wholly (text, target, version), so an entry never changes:
 * whoever finds one may use it, and two who put the same do no harm. kind is "kernel",
 * "plan", ..: at most 15 letters, which end the file's name. */
#include "runtime/runtime.h"

#include <pthread.h>

enum { BUCKETS = 1024, MEMORY_MAX = 64 << 20 };

typedef struct entry {
    struct entry *chain;         /* in its bucket */
    struct entry *newer, *older; /* by last use */
    kl_hash key;
    char kind[16];
    size_t size;
    char bytes[];
} entry;

static struct {
    entry *buckets[BUCKETS];
    entry *newest, *oldest;
    int64_t bytes;
} memory;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static void before_fork(void)
{
    pthread_mutex_lock(&lock);
}
static void after_fork(void)
{
    pthread_mutex_unlock(&lock);
}
static void at_fork(void)
{
    kl_at_fork(before_fork, after_fork, after_fork);
}

static void take_lock(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, at_fork);
    pthread_mutex_lock(&lock);
}

/* ---- in memory, under the lock ---- */

static entry **find(kl_hash key, const char *kind)
{
    entry **e = &memory.buckets[key.lo % BUCKETS];
    while (*e && (!kl_hash_same((*e)->key, key) || strcmp((*e)->kind, kind)))
        e = &(*e)->chain;
    return e;
}

static void unlink_use(entry *e)
{
    *(e->newer ? &e->newer->older : &memory.newest) = e->older;
    *(e->older ? &e->older->newer : &memory.oldest) = e->newer;
}

static void link_newest(entry *e)
{
    e->newer = NULL;
    e->older = memory.newest;
    *(memory.newest ? &memory.newest->newer : &memory.oldest) = e;
    memory.newest = e;
}

static size_t weight(const entry *e)
{
    return sizeof *e + e->size;
}

static void drop(entry **link)
{
    entry *e = *link;
    *link = e->chain;
    unlink_use(e);
    memory.bytes -= (int64_t)weight(e);
    kl_free(e, weight(e));
}

static void trim(int64_t most)
{
    while (memory.bytes > most && memory.oldest)
        drop(find(memory.oldest->key, memory.oldest->kind));
}

static int64_t memory_cap(void)
{
    return KL_MIN(kl_env_get()->cache_max, MEMORY_MAX);
}

/* Without memory for it the entry is not kept: no harm but time. */
static void remember(kl_hash key, const char *kind, const void *bytes, size_t size)
{
    entry *e = (int64_t)size < memory_cap() / 2 ? kl_alloc(sizeof *e + size) : NULL;
    if (!e)
        return;
    *e = (entry){.key = key, .size = size};
    snprintf(e->kind, sizeof e->kind, "%s", kind);
    if (size)
        memcpy(e->bytes, bytes, size);
    take_lock();
    entry **at = find(key, e->kind);
    if (*at)
        drop(at);
    at = find(key, e->kind);
    *at = e;
    link_newest(e);
    memory.bytes += (int64_t)weight(e);
    trim(memory_cap());
    pthread_mutex_unlock(&lock);
}

/* A copy, for the entry may go as soon as the lock is open. false: it is there, memory is
 * not. */
static bool recall(kl_hash key, const char *kind, void **bytes, size_t *size)
{
    bool ok = true;
    take_lock();
    entry *e = *find(key, kind);
    if (e) {
        unlink_use(e);
        link_newest(e);
        *bytes = kl_alloc(e->size);
        ok = *bytes != NULL;
        if (ok)
            memcpy(*bytes, e->bytes, e->size);
        *size = e->size;
    }
    pthread_mutex_unlock(&lock);
    return ok;
}

/* ---- both ---- */

kl_status kl_store_get(kl_hash key, const char *kind, void **bytes, size_t *size)
{
    const char *why;
    char hex[33];
    *bytes = NULL;
    if (!recall(key, kind, bytes, size))
        return kl_fail(KL_ERR_OOM, "out of memory: %zu bytes from the store", *size);
    if (*bytes)
        return KL_OK;
    *bytes = kl_disk_get(key, kind, size, &why);
    if (kl_env_get()->debug) {
        kl_hash_hex(key, hex);
        kl_debug("store: %s %s: %s", kind, hex, *bytes ? "on disk" : why);
    }
    if (*bytes)
        remember(key, kind, *bytes, *size);
    return KL_OK;
}

void kl_store_put(kl_hash key, const char *kind, const void *bytes, size_t size)
{
    KL_ASSERT(strlen(kind) < sizeof((entry *)0)->kind);
    remember(key, kind, bytes, size);
    kl_disk_put(key, kind, bytes, size);
}

void kl_store_forget(int64_t most)
{
    take_lock();
    trim(most);
    pthread_mutex_unlock(&lock);
}

void kl_store_drop(kl_hash key, const char *kind)
{
    take_lock();
    entry **e = find(key, kind);
    if (*e)
        drop(e);
    pthread_mutex_unlock(&lock);
    kl_disk_drop(key, kind);
}

const char *kl_store_folder(void)
{
    return kl_disk_folder();
}

void kl_store_trim(int64_t most)
{
    kl_store_forget(most);
    kl_disk_trim(most);
}
