/* native.c: the C functions that a graph may call by name. A name keeps its place for the
 * life of the process; registering it again replaces the function, registering NULL
 * forgets it.
 *
 *   kl_native_register("lapack.potrf", potrf, NULL);     %3 = call %1 "lapack.potrf" ..
 */
#include "runtime/runtime.h"

#include <pthread.h>

typedef struct entry {
    struct entry *next;
    kl_native_fn fn;
    void *user;
    char name[]; /* ends with 0 */
} entry;

static entry *first;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* The link that leads to the entry of that name, or the last, NULL link. */
static entry **seek(const char *name)
{
    entry **at = &first;
    while (*at && strcmp((*at)->name, name) != 0)
        at = &(*at)->next;
    return at;
}

static kl_status append(entry **at, const char *name)
{
    size_t len = strlen(name) + 1;
    entry *e = kl_alloc(sizeof *e + len);
    if (!e)
        return kl_fail(KL_ERR_OOM, "registering \"%s\"", name);
    *e = (entry){.next = NULL};
    memcpy(e->name, name, len);
    *at = e;
    return KL_OK;
}

static void forget(entry **at)
{
    entry *e = *at;
    *at = e->next;
    kl_free(e, sizeof *e + strlen(e->name) + 1);
}

kl_status kl_native_register(const char *name, kl_native_fn fn, void *user)
{
    if (!name || !*name)
        return kl_fail(KL_ERR_ARG, "a native function needs a name");
    pthread_mutex_lock(&lock);
    entry **at = seek(name);
    kl_status st = *at || !fn ? KL_OK : append(at, name);
    if (*at && fn)
        (*at)->fn = fn, (*at)->user = user;
    else if (*at)
        forget(at);
    pthread_mutex_unlock(&lock);
    return st;
}

kl_native_fn kl_native_find(const char *name, void **user)
{
    pthread_mutex_lock(&lock);
    const entry *e = *seek(name);
    kl_native_fn fn = e ? e->fn : NULL;
    *user = e ? e->user : NULL;
    pthread_mutex_unlock(&lock);
    return fn;
}
