/* archive.c: a list of named buffers, what .npz and safetensors files hold, in file
 * order. */
#include "runtime/runtime.h"

/* Room is a power of two, so it need not be stored. */
static size_t room(size_t count)
{
    size_t cap = 1;
    while (cap < count)
        cap *= 2;
    return count ? cap : 0;
}

void kl_archive_free(kl_archive *a)
{
    for (size_t i = 0; i < a->count; i++) {
        kl_free(a->items[i].name, strlen(a->items[i].name) + 1);
        kl_memory_unref(a->items[i].buffer.mem);
    }
    kl_free(a->items, room(a->count) * sizeof *a->items);
    *a = (kl_archive){0};
}

kl_status kl_archive_add(kl_archive *a, const char *name, const kl_buffer *b)
{
    size_t cap = room(a->count), need = room(a->count + 1), n = strlen(name) + 1;
    char *copy = kl_alloc(n);
    if (copy && need > cap) {
        void *items =
            kl_realloc(a->items, cap * sizeof *a->items, need * sizeof *a->items);
        if (!items) {
            kl_free(copy, n);
            copy = NULL;
        } else {
            a->items = items;
        }
    }
    if (!copy)
        return kl_fail(KL_ERR_OOM, "out of memory: an archive of %zu", a->count + 1);
    memcpy(copy, name, n);
    a->items[a->count] = (kl_named_buffer){copy, *b};
    kl_memory_ref(b->mem);
    a->count++;
    return KL_OK;
}

const kl_buffer *kl_archive_find(const kl_archive *a, const char *name)
{
    for (size_t i = 0; i < a->count; i++)
        if (!strcmp(a->items[i].name, name))
            return &a->items[i].buffer;
    return NULL;
}

kl_status kl_archive_check_names(const char *path, const kl_archive *a)
{
    for (size_t i = 0; i < a->count; i++)
        if (kl_archive_find(a, a->items[i].name) != &a->items[i].buffer)
            return kl_fail(KL_ERR_ARG, "%s: two arrays are called '%s'", path,
                           a->items[i].name);
    return KL_OK;
}
