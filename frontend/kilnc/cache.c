/* cache.c: what is in the cache's folder.
 *
 *   kilnc cache list          KEY KIND BYTES SECONDS-SINCE-USE STATE, the last used first
 *   kilnc cache trim BYTES    drop the least recently used until the rest fits
 *   kilnc cache why KEY       what would happen to a lookup of that key, and why
 *
 * Entries are told apart by the build of kiln that wrote them: kilnc's own are "ours". */
#include "kilnc.h"

#include <stdlib.h>
#include <time.h>

typedef struct listing {
    kl_disk_entry *items;
    size_t count, cap;
    bool failed;
} listing;

static void collect(void *user, const kl_disk_entry *e)
{
    listing *l = user;
    if (l->count == l->cap) {
        size_t cap = l->cap * 2 + 64;
        void *more = kl_realloc(l->items, l->cap * sizeof *e, cap * sizeof *e);
        l->failed = l->failed || !more;
        if (!more)
            return;
        l->items = more;
        l->cap = cap;
    }
    l->items[l->count++] = *e;
}

static int by_use(const void *a, const void *b)
{
    const kl_disk_entry *x = a, *y = b;
    if (x->used != y->used)
        return x->used < y->used ? 1 : -1;
    return memcmp(&x->key, &y->key, sizeof x->key);
}

static const char *state(const kl_disk_entry *e)
{
    return !e->whole ? "damaged" : e->ours ? "ours" : "another-build";
}

static void put_list(const listing *l, kl_text *out)
{
    char hex[33];
    int64_t now = (int64_t)time(NULL), bytes = 0;
    for (size_t i = 0; i < l->count; i++) {
        const kl_disk_entry *e = &l->items[i];
        kl_hash_hex(e->key, hex);
        kl_text_printf(out, "%s %-8s %lld %lld %s\n", hex, e->kind, (long long)e->size,
                       (long long)KL_MAX(now - e->used, 0), state(e));
        bytes += e->size;
    }
    kl_text_printf(out, "%zu entries, %lld bytes, in %s\n", l->count, (long long)bytes,
                   *kl_store_folder() ? kl_store_folder() : "no folder");
}

/* The first field in which it is not what a lookup from here wants. */
static void put_verdict(const kl_disk_entry *e, kl_text *out)
{
    int machine;
    char theirs[33], ours[33];
    kl_hash_hex(e->build, theirs);
    kl_hash_hex(kl_disk_build(&machine), ours);
    if (!e->whole)
        kl_text_put(out, "a miss: the entry is damaged and will be replaced\n");
    else if (e->ours)
        kl_text_put(out, "a hit: the entry is whole and of this build\n");
    else if (e->machine != machine)
        kl_text_printf(out, "a miss here: machine differs: %d wrote it, this is %d\n",
                       e->machine, machine);
    else
        kl_text_printf(
            out, "a miss here: build differs: %.12s wrote it, this kilnc is %.12s\n",
            theirs, ours);
}

static void put_why(const listing *l, const char *key, kl_text *out)
{
    char hex[33];
    bool found = false;
    for (size_t i = 0; i < l->count; i++) {
        const kl_disk_entry *e = &l->items[i];
        kl_hash_hex(e->key, hex);
        if (strncmp(hex, key, strlen(key)) != 0)
            continue;
        found = true;
        kl_text_printf(out, "%s %s: ", hex, e->kind);
        put_verdict(e, out);
    }
    if (!found)
        kl_text_printf(out, "%s: a miss: no entry with that key is in %s\n", key,
                       *kl_store_folder() ? kl_store_folder()
                                          : "memory only (no folder)");
}

static kl_status trim(const char *bytes)
{
    int64_t most;
    const char *end = kl_scan_int(bytes, &most);
    if (end == bytes || *end || most < 0)
        return kl_fail(KL_ERR_ARG, "cache trim: '%.40s' is no number of bytes", bytes);
    kl_store_trim(most);
    return KL_OK;
}

kl_status kl_command_cache(int argc, char **argv, kl_text *out)
{
    listing l = {0};
    bool why = argc == 2 && strcmp(argv[0], "why") == 0;
    bool trims = argc == 2 && strcmp(argv[0], "trim") == 0;
    if (!why && !trims && !(argc == 1 && strcmp(argv[0], "list") == 0))
        return kl_fail(KL_ERR_ARG, "cache: list, trim BYTES or why KEY");
    if (trims)
        return trim(argv[1]);
    kl_disk_list(collect, &l);
    kl_status s = l.failed ? kl_fail(KL_ERR_OOM, "cache: out of memory") : KL_OK;
    if (s == KL_OK && l.count)
        qsort(l.items, l.count, sizeof *l.items, by_use);
    if (s == KL_OK && why)
        put_why(&l, argv[1], out);
    else if (s == KL_OK)
        put_list(&l, out);
    kl_free(l.items, l.cap * sizeof *l.items);
    return s;
}
