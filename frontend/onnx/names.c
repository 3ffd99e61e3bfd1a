/* names.c: hash tables from names, or from addresses, to values; texts that live as long
 * as the process. */
#include <pthread.h>

#include "onnx.h"

static size_t hash(const kl_onnx_names *t, const void *key)
{
    size_t h = 1469598103934665603u;
    if (t->by_address)
        return ((uintptr_t)key >> 4) * 11400714819323198485u;
    for (const unsigned char *p = key; *p; p++)
        h = (h ^ *p) * 1099511628211u;
    return h ^ h >> 29;
}

/* Where the key stands, or a free place. */
static kl_onnx_entry *place(const kl_onnx_names *t, const void *key)
{
    size_t i = hash(t, key) & (t->cap - 1);
    while (t->v[i].key && t->v[i].key != key &&
           (t->by_address || strcmp(t->v[i].key, key) != 0))
        i = (i + 1) & (t->cap - 1);
    return &t->v[i];
}

static bool grow(kl_onnx_names *t)
{
    kl_onnx_names more = {.cap = t->cap ? 2 * t->cap : 64, .by_address = t->by_address};
    more.v = calloc(more.cap, sizeof *more.v);
    if (!more.v)
        return kl_error_set(KL_ERR_OOM, "out of memory for a model's names"), false;
    for (size_t i = 0; i < t->cap; i++)
        if (t->v[i].key)
            *place(&more, t->v[i].key) = t->v[i];
    more.n = t->n;
    free(t->v);
    *t = more;
    return true;
}

bool kl_onnx_put(kl_onnx_names *t, const void *key, kl_onnx_value v)
{
    if (2 * (t->n + 1) > t->cap && !grow(t))
        return false;
    kl_onnx_entry *e = place(t, key);
    t->n += !e->key;
    *e = (kl_onnx_entry){key, v};
    return true;
}

kl_onnx_value *kl_onnx_get(const kl_onnx_names *t, const void *key)
{
    kl_onnx_entry *e = t->cap ? place(t, key) : NULL;
    return e && e->key ? &e->value : NULL;
}

void kl_onnx_names_free(kl_onnx_names *t)
{
    free(t->v);
    *t = (kl_onnx_names){0};
}

/* So many are kept: a process that reads models for ever does not grow for ever. */
enum { KEPT = 1 << 16 };

const char *kl_onnx_intern(const char *s)
{
    static kl_onnx_names texts; /* the value is not used */
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    const char *r = NULL;
    pthread_mutex_lock(&lock);
    if (2 * (texts.n + 1) <= texts.cap || grow(&texts)) {
        kl_onnx_entry *e = place(&texts, s);
        if (!e->key && texts.n < KEPT && (e->key = strdup(s)))
            texts.n++;
        r = e->key;
    }
    pthread_mutex_unlock(&lock);
    return r ? r : "a node of an ONNX model";
}
