/* artefact_file.c: libraries around an object. A static one is a few headers, written
 * here; a shared one is a linker's work, and the linker is the only other program that
 * kiln runs.
 *
 *   !<arch>\n  |  "/": which member defines a symbol  |  "net.o/": the object */
#include "artefact.h"

#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int kl_artefact_symbols(const kl_artefact *a, char names[4][320])
{
    int n = 0;
    snprintf(names[n++], 320, "%s", a->name);
    snprintf(names[n++], 320, "%s_parallel_for", a->name);
    if (a->scratch_caller)
        snprintf(names[n++], 320, "%s_scratch_bytes", a->name);
    if (a->weights_file && a->nweights > KL_WEIGHTS_HEAD)
        snprintf(names[n++], 320, "%s_load", a->name);
    return n;
}

/* ---- static libraries: ar's format ---- */

/* No time, no owner: the same bytes for the same object. */
static void put_member(kl_text *out, const char *name, const char *bytes, size_t size)
{
    kl_text_printf(out, "%-16s%-12d%-6d%-6d%-8s%-10zu`\n", name, 0, 0, 0, "644", size);
    kl_text_putn(out, bytes, size);
    kl_text_putn(out, "\n", size & 1);
}

static void put_big_endian(kl_text *out, uint32_t v)
{
    char b[4] = {(char)(v >> 24), (char)(v >> 16), (char)(v >> 8), (char)v};
    kl_text_putn(out, b, 4);
}

kl_status kl_static_library(const kl_artefact *a, const void *object, size_t size,
                            kl_text *out)
{
    char names[4][320], member[32];
    int n = kl_artefact_symbols(a, names);
    kl_text index = {0};
    enum { MAGIC = 8, HEAD = 60 };
    if (size > 9999999999u)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "%s: an object of %zu bytes is too large for a library", a->name,
                       size);
    size_t room = 4 + 4 * (size_t)n;
    for (int i = 0; i < n; i++)
        room += strlen(names[i]) + 1;
    put_big_endian(&index, (uint32_t)n);
    for (int i = 0; i < n; i++)
        put_big_endian(&index, (uint32_t)(MAGIC + HEAD + room + (room & 1)));
    for (int i = 0; i < n; i++)
        kl_text_putn(&index, names[i], strlen(names[i]) + 1);
    snprintf(member, sizeof member, "%.13s.o/", a->name);
    kl_text_put(out, "!<arch>\n");
    put_member(out, "/", index.s ? index.s : "", index.len);
    put_member(out, member, object, size);
    bool failed = index.failed || out->failed;
    kl_text_free(&index);
    return failed ? kl_fail(KL_ERR_OOM, "out of memory: a library") : KL_OK;
}

/* ---- shared libraries: a linker's work ---- */

typedef struct folder {
    char path[64], object[96], library[96], log[96];
} folder;

static kl_status make_folder(folder *f)
{
    const char *tmp = getenv("TMPDIR");
    if (!tmp || strlen(tmp) > 32)
        tmp = "/tmp";
    snprintf(f->path, sizeof f->path, "%s/kilnc-XXXXXX", tmp);
    if (!mkdtemp(f->path))
        return kl_fail(KL_ERR_IO, "%s: cannot make a folder: %s", f->path,
                       strerror(errno));
    snprintf(f->object, sizeof f->object, "%s/in.o", f->path);
    snprintf(f->library, sizeof f->library, "%s/out.so", f->path);
    snprintf(f->log, sizeof f->log, "%s/log", f->path);
    return KL_OK;
}

static void drop_folder(const folder *f)
{
    unlink(f->object);
    unlink(f->library);
    unlink(f->log);
    rmdir(f->path);
}

/* 0 when it ran and was content; errno when it could not be started; -1 otherwise. */
static int run(char *const argv[], const char *log)
{
    posix_spawn_file_actions_t fa;
    pid_t pid;
    int status = 0, e = posix_spawn_file_actions_init(&fa);
    if (e)
        return e;
    posix_spawn_file_actions_addopen(&fa, 1, log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&fa, 1, 2);
    e = posix_spawnp(&pid, argv[0], &fa, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&fa);
    if (e)
        return e;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0     ? 0
           : WIFEXITED(status) && WEXITSTATUS(status) == 127 ? ENOENT
                                                             : -1;
}

/* The first line that the linker said. */
static kl_status refused(const char *linker, const char *log)
{
    void *bytes = NULL;
    size_t size = 0;
    if (kl_file_read(log, &bytes, &size) != KL_OK)
        return kl_error_status();
    int n = 0;
    while ((size_t)n < size && n < 300 && ((char *)bytes)[n] != '\n')
        n++;
    kl_status s = kl_fail(KL_ERR_COMPILE, "%s: %.*s", linker, n, (char *)bytes);
    kl_free(bytes, size);
    return s;
}

static kl_status link_in(const folder *f, const char *soname, const void *object,
                         size_t size, kl_text *out)
{
    static const char *const linkers[] = {"ld.lld", "ld"};
    void *bytes;
    KL_TRY(kl_file_write(f->object, object, size));
    for (size_t i = 0; i < KL_COUNT(linkers); i++) {
        const char *argv[] = {linkers[i], "-shared",  "-z",          "relro",   "-z",
                              "now",      "-z",       "noexecstack", "-soname", soname,
                              "-o",       f->library, f->object,     NULL};
        int e = run((char *const *)(uintptr_t)argv, f->log);
        if (e == ENOENT)
            continue;
        if (e)
            return e > 0 ? kl_fail(KL_ERR_IO, "%s: %s", linkers[i], strerror(e))
                         : refused(linkers[i], f->log);
        KL_TRY(kl_file_read(f->library, &bytes, &size));
        kl_text_putn(out, bytes, size);
        kl_free(bytes, size);
        return out->failed ? kl_fail(KL_ERR_OOM, "out of memory: a library") : KL_OK;
    }
    return kl_fail(
        KL_ERR_UNSUPPORTED,
        "a shared library needs a linker: neither ld.lld nor ld is on the path");
}

kl_status kl_shared_library(const char *soname, const void *object, size_t size,
                            kl_text *out)
{
    folder f;
    KL_TRY(make_folder(&f));
    kl_status s = link_in(&f, soname, object, size, out);
    drop_folder(&f);
    return s;
}
