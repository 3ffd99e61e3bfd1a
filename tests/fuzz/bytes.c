/* bytes.c: damaged texts and files through every reader (readers.c).
 *
 *   bytes READER|all [--seconds N] [--seed S] [--dir FOLDER] [FILE ..]
 *   bytes READER --write FOLDER
 *   bytes kept FOLDER/READER/FILE ..
 *
 * Whole inputs are damaged, most often in a few places, and read. The input at hand
 * stands in FOLDER/bytes-READER.last, its length before it, so that it survives a crash.
 * FILEs are read as they are: what libfuzzer.c found, or (kept) inputs that once broke a
 * promise, each in the folder of its reader. --write puts the whole inputs into a folder,
 * for libfuzzer.c to begin with. */
#include "readers.h"

#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- driving ---- */

static const char *dir = ".";
static char *last; /* a mapped file: the input at hand, with its length before it */

static bool open_last(const reader *t, char path[512])
{
    snprintf(path, 512, "%s/bytes-%s.last", dir, t->name);
    FILE *f = fopen(path, "w+");
    if (!f || ftruncate(fileno(f), INPUT_MOST + 64) != 0)
        return false;
    last = mmap(NULL, INPUT_MOST + 64, PROT_READ | PROT_WRITE, MAP_SHARED, fileno(f), 0);
    fclose(f);
    return last != MAP_FAILED;
}

static int drive(const reader *t, double seconds, uint64_t seed)
{
    corpus c = {.count = 0};
    char path[512];
    int64_t trials = 0, end = kl_now_ns() + (int64_t)(seconds * 1e9);
    bool ok = true;
    t->make(&c);
    kl_error_clear();
    if (c.count == 0 || !open_last(t, path))
        return fprintf(stderr, "%s: nothing to damage\n", t->name), 1;
    for (uint64_t r = seed * 977; ok && kl_now_ns() < end; trials++) {
        const bytes *from = &c.item[below(&r, c.count)];
        char *s = malloc(INPUT_MOST + 1);
        size_t n = from->n;
        memcpy(s, from->s, n);
        s[n] = 0;
        for (int64_t k = trials < c.count ? 0 : 1 + below(&r, 1 << below(&r, 4)); k > 0;
             k--) {
            n = readers_damage(s, n, &c, &r);
            s[n] = 0;
        }
        memcpy(last + 8, s, n + 1);
        memcpy(last, &n, sizeof n);
        char *exact = malloc(n + 1); /* readers of bytes must not look past the end */
        memcpy(exact, s, n + 1);
        ok = readers_read(t, &(bytes){exact, n});
        free(exact);
        free(s);
    }
    printf("%s: %lld inputs from %d%s%s\n", t->name, (long long)trials, c.count,
           ok ? "" : ": ", ok ? "" : readers_broken());
    for (int i = 0; i < c.count; i++)
        free(c.item[i].s);
    munmap(last, INPUT_MOST + 64);
    if (ok)
        unlink(path);
    else
        printf("  kept in %s\n", path);
    fflush(stdout);
    return !ok;
}

/* A file's bytes; what open_last left says first how many of them count. */
static int read_file(const reader *t, const char *path)
{
    void *all;
    size_t size, n, skip = strstr(path, ".last") ? sizeof n : 0;
    if (kl_file_read(path, &all, &size) != KL_OK || size < skip)
        return fprintf(stderr, "%s\n", kl_error()), 1;
    n = size;
    memcpy(&n, all, skip);
    char *exact = malloc(n + 1);
    memcpy(exact, (char *)all + skip, n);
    exact[n] = 0;
    kl_free(all, size);
    bool ok = readers_read(t, &(bytes){exact, n});
    if (!ok || skip)
        printf("%s: %s\n", path, ok ? "as promised" : readers_broken());
    free(exact);
    return !ok;
}

static int write_whole(const reader *t, const char *folder)
{
    corpus c = {.count = 0};
    int rc = 0;
    t->make(&c);
    for (int i = 0; i < c.count; i++) {
        char path[512];
        snprintf(path, sizeof path, "%s/whole-%d", folder, i);
        rc |= kl_file_write(path, c.item[i].s, c.item[i].n) != KL_OK;
        free(c.item[i].s);
    }
    return rc;
}

static const reader *find(const char *name, size_t len)
{
    const reader *t = readers;
    while (t->name && (strlen(t->name) != len || memcmp(t->name, name, len) != 0))
        t++;
    return t->name ? t : NULL;
}

/* The reader is the one that the file's folder is named after. */
static int read_kept(const char *path)
{
    const char *end = strrchr(path, '/'), *begin = end;
    while (begin && begin > path && begin[-1] != '/')
        begin--;
    const reader *t = end ? find(begin, (size_t)(end - begin)) : NULL;
    return t ? read_file(t, path) : (fprintf(stderr, "%s: of no reader\n", path), 1);
}

static int run(const reader *t, int argc, char **argv)
{
    double seconds = 2;
    uint64_t seed = 1;
    int rc = 0, files = 0;
    for (int i = 2; i < argc; i++) {
        bool more = i + 1 < argc;
        if (strcmp(argv[i], "--seconds") == 0 && more)
            seconds = strtod(argv[++i], NULL);
        else if (strcmp(argv[i], "--seed") == 0 && more)
            seed = strtoull(argv[++i], NULL, 10);
        else if (strcmp(argv[i], "--dir") == 0 && more)
            dir = argv[++i];
        else if (strcmp(argv[i], "--write") == 0 && more)
            return write_whole(t, argv[i + 1]);
        else
            rc |= read_file(t, argv[i]), files++;
    }
    return files ? rc : drive(t, seconds, seed);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";
    const reader *one = find(name, strlen(name));
    int rc = 0;
    if (one)
        return run(one, argc, argv);
    if (strcmp(name, "kept") == 0)
        for (int i = 2; i < argc; i++)
            rc |= read_kept(argv[i]);
    else if (strcmp(name, "all") == 0)
        for (const reader *t = readers; t->name; t++)
            rc |= run(t, argc, argv);
    else
        return fprintf(stderr, "bytes READER|all|kept [--seconds N] [--seed S] "
                               "[--dir FOLDER] [--write FOLDER] [FILE ..]\n"),
               2;
    return rc;
}
