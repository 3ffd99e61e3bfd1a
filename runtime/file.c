/* file.c: whole files in, whole files out.
 *
 * A writer writes to a temporary name beside the target and renames at the end: readers
 * see the old file or the new, never half of one, and a failure leaves the old. What is
 * no regular file (a pipe, /dev/stdout) is written as it comes.
 *
 *     net.npz.kiln-4711-0-83fa   --put, put, ..--close-->   net.npz */
#include "runtime/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

kl_status kl_file_fail(const char *path, const char *doing)
{
    int e = errno;
    kl_status s = e == ENOMEM ? KL_ERR_OOM : KL_ERR_IO;
    return kl_fail(s, "%s: cannot %s: %s", path, doing, strerror(e));
}

/* ---- reading ---- */

/* Read to the end of fd into a block that begins with room for guess bytes. */
static kl_status read_all(int fd, const char *path, size_t guess, void **bytes,
                          size_t *size)
{
    size_t cap = guess, len = 0;
    char *p = kl_alloc(cap + 1);
    while (p) {
        ssize_t n = read(fd, p + len, cap + 1 - len); /* one more: to see the end */
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            kl_free(p, cap + 1);
            return kl_file_fail(path, "read");
        }
        len += (size_t)n;
        if (n == 0)
            break;
        if (len <= cap)
            continue;
        size_t more = cap + cap / 2 + 4096;
        char *q = kl_realloc(p, cap + 1, more + 1);
        if (!q)
            kl_free(p, cap + 1);
        p = q;
        cap = more;
    }
    char *q = p ? kl_realloc(p, cap + 1, len) : NULL;
    if (!q) {
        kl_free(p, cap + 1);
        return kl_fail(KL_ERR_OOM, "%s: out of memory: %zu bytes", path, cap);
    }
    *bytes = q;
    *size = len;
    return KL_OK;
}

/* A regular file's length is known: no byte is copied. */
static kl_status read_known(int fd, const char *path, size_t size, void **bytes)
{
    char *p = kl_alloc(size);
    if (!p)
        return kl_fail(KL_ERR_OOM, "%s: out of memory: %zu bytes", path, size);
    for (size_t len = 0; len < size;) {
        ssize_t n = read(fd, p + len, size - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            kl_free(p, size);
            return n < 0 ? kl_file_fail(path, "read")
                         : kl_fail(KL_ERR_IO, "%s: became shorter while read", path);
        }
        len += (size_t)n;
    }
    *bytes = p;
    return KL_OK;
}

kl_status kl_file_read(const char *path, void **bytes, size_t *size)
{
    struct stat st;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return kl_file_fail(path, "open");
    kl_status s;
    if (fstat(fd, &st) != 0) {
        s = kl_file_fail(path, "open");
    } else if (S_ISREG(st.st_mode) && st.st_size > 0) {
        *size = (size_t)st.st_size;
        s = read_known(fd, path, *size, bytes);
    } else {
        s = read_all(fd, path, 4096, bytes, size);
    }
    close(fd);
    return s;
}

/* ---- writing ---- */

struct kl_writer {
    int fd;
    kl_status status;
    char *target, *temp; /* temp NULL: written in place */
    size_t target_size, temp_size;
    const char *path; /* as the caller named it */
};

static char *copy_text(const char *s, size_t more, size_t *size)
{
    *size = strlen(s) + 1 + more;
    char *p = kl_alloc(*size);
    return p ? strcpy(p, s) : NULL;
}

/* What to rename to: where a symbolic link leads, else the path itself. */
static bool name_target(kl_writer *w, const char *path)
{
    char resolved[PATH_MAX];
    const char *name = realpath(path, resolved) ? resolved : path;
    w->target = copy_text(name, 0, &w->target_size);
    return w->target != NULL;
}

static bool open_temp(kl_writer *w, mode_t mode)
{
    static int64_t counter;
    w->temp = copy_text(w->target, 64, &w->temp_size);
    if (!w->temp)
        return false;
    size_t n = strlen(w->temp);
    for (int tries = 0; tries < 100; tries++) {
        snprintf(w->temp + n, 64, ".kiln-%ld-%lld-%llx", (long)getpid(),
                 (long long)__atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED),
                 (unsigned long long)kl_now_ns());
        w->fd = open(w->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);
        if (w->fd >= 0 || errno != EEXIST)
            return true;
    }
    return true;
}

static void writer_free(kl_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    kl_free(w->target, w->target_size);
    kl_free(w->temp, w->temp_size);
    kl_free(w, sizeof *w);
}

kl_status kl_writer_open(const char *path, kl_writer **out)
{
    struct stat st;
    kl_writer *w = kl_alloc_zeroed(sizeof *w);
    if (!w)
        return kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    w->fd = -1;
    w->path = path;
    bool exists = stat(path, &st) == 0, named = true;
    if (exists && !S_ISREG(st.st_mode))
        w->fd = open(path, O_WRONLY | O_CLOEXEC);
    else
        named = name_target(w, path) && open_temp(w, exists ? st.st_mode & 0777 : 0666);
    if (w->fd >= 0) {
        *out = w;
        return KL_OK;
    }
    kl_status s = named ? kl_file_fail(path, "write")
                        : kl_fail(KL_ERR_OOM, "%s: out of memory", path);
    writer_free(w);
    return s;
}

void kl_writer_put(kl_writer *w, const void *bytes, size_t n)
{
    const char *p = bytes;
    while (n > 0 && w->status == KL_OK) {
        ssize_t k = write(w->fd, p, KL_MIN(n, (size_t)1 << 30));
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0) {
            w->status = kl_file_fail(w->path, "write");
            return;
        }
        p += k;
        n -= (size_t)k;
    }
}

kl_status kl_writer_close(kl_writer *w, kl_status s)
{
    if (s == KL_OK)
        s = w->status;
    if (close(w->fd) != 0 && s == KL_OK)
        s = kl_file_fail(w->path, "write");
    w->fd = -1;
    if (s == KL_OK && w->temp && rename(w->temp, w->target) != 0)
        s = kl_file_fail(w->path, "write");
    if (s != KL_OK && w->temp)
        unlink(w->temp);
    writer_free(w);
    return s;
}

kl_status kl_file_write(const char *path, const void *bytes, size_t size)
{
    kl_writer *w;
    KL_TRY(kl_writer_open(path, &w));
    kl_writer_put(w, bytes, size);
    return kl_writer_close(w, KL_OK);
}
