/* disk.c: the folder behind the store.
 *
 *     KILN_CACHE, or $XDG_CACHE_HOME/kiln, or ~/.cache/kiln
 *       0f3c..9a.kernel      [head: magic, machine, kind, key, build, size, checksum |
 * bytes] .new-4711-0-83fa     an entry being written: renamed when whole
 *
 * The folder is used only if it is ours and nobody else may write there; what we make is
 * 0700. An entry's name is the hash of its key and of this build of kiln (its linker's
 * build-id): two builds share a folder without ever reading each other's code. Which
 * features of the processor an entry needs is part of what its key was made from (the
 * target). An entry that is torn, damaged or not what its name says is a miss, and the
 * next put replaces it. A file's modification time is its last use; beyond the cap the
 * least recently used go. Failing to write (a full disk, a read-only folder) is said once
 * under KILN_DEBUG and is otherwise nothing. */
#include "runtime/runtime.h"

#include <dirent.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
    PATH_ROOM = 4096 + 128,
    KIND_MAX = 15,
    RECOUNT = 1024, /* puts after which the others' are counted too */
    SMALL_PART = 1024,
    RARELY = 256,
    TOUCH_S = 60,
    STALE_S = 3600
};

typedef struct head {
    char magic[8];
    uint32_t machine; /* ELF's number of the processor that the entry's code is for */
    uint32_t head_size;
    char kind[KIND_MAX + 1];
    kl_hash key, build;
    uint64_t size;    /* bytes that follow */
    kl_hash checksum; /* of the bytes, then of this head with a zero here */
} head;
_Static_assert(sizeof(head) == 88, "the head is part of the format");

#if defined(__x86_64__)
enum { MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { MACHINE = EM_AARCH64 };
#endif

static char folder[4096]; /* "": none */
static kl_hash build;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int64_t known_bytes =
    -1; /* in the folder, as far as we know; -1: not counted yet */
static int64_t put_count;

/* ---- this build ---- */

/* Our own object is the one whose segments hold this very function. */
static int visit_object(struct dl_phdr_info *info, size_t size, void *user)
{
    uintptr_t self = (uintptr_t)visit_object;
    bool ours = false;
    (void)size;
    (void)user;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        ours |= p->p_type == PT_LOAD && self - info->dlpi_addr - p->p_vaddr < p->p_memsz;
    }
    if (!ours)
        return 0;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const ElfW(Phdr) *p = &info->dlpi_phdr[i];
        const char *at = (const char *)info->dlpi_addr + p->p_vaddr,
                   *end = at + p->p_memsz;
        while (p->p_type == PT_NOTE && end - at >= (ptrdiff_t)sizeof(ElfW(Nhdr))) {
            const ElfW(Nhdr) *n = (const ElfW(Nhdr) *)at;
            const char *desc = at + sizeof *n + (n->n_namesz + 3) / 4 * 4;
            if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
                !memcmp(n + 1, "GNU", 4))
                build = kl_hash_bytes(desc, n->n_descsz);
            at = desc + (n->n_descsz + 3) / 4 * 4;
        }
        if (p->p_type == PT_LOAD && (p->p_flags & PF_X) &&
            !build.lo) /* no note: the code */
            build =
                kl_hash_bytes((const char *)info->dlpi_addr + p->p_vaddr, p->p_filesz);
    }
    return 1;
}

/* ---- the folder ---- */

static bool make_folders(char *path)
{
    for (char *p = strchr(path + 1, '/'); p; p = strchr(p + 1, '/')) {
        *p = 0;
        int made = mkdir(path, 0700);
        *p = '/';
        if (made != 0 && errno != EEXIST)
            return false;
    }
    return mkdir(path, 0700) == 0 || errno == EEXIST;
}

static bool choose_folder(void)
{
    const char *cache = kl_env_get()->cache, *xdg = getenv("XDG_CACHE_HOME");
    const char *home = getenv("HOME");
    int n = 0;
    if (cache)
        n = snprintf(folder, sizeof folder, "%s", cache);
    else if (xdg && xdg[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/kiln", xdg);
    else if (home && home[0] == '/')
        n = snprintf(folder, sizeof folder, "%s/.cache/kiln", home);
    return n > 0 && (size_t)n < sizeof folder;
}

static const char *refusal(void)
{
    struct stat st;
    if (stat(folder, &st) != 0 && (!make_folders(folder) || stat(folder, &st) != 0))
        return strerror(errno);
    if (!S_ISDIR(st.st_mode))
        return "not a folder";
    if (st.st_uid != geteuid())
        return "another user owns it";
    if (st.st_mode & 022 && !KL_PLANTED(store_mode))
        return "others may write there";
    return NULL;
}

static void init(void)
{
    if (!choose_folder()) {
        folder[0] = 0;
        return;
    }
    const char *why = refusal();
    if (why) {
        kl_debug("cache folder %s is not used: %s", folder, why);
        folder[0] = 0;
    }
    dl_iterate_phdr(visit_object, NULL);
    if (KL_PLANTED(store_build))
        build = (kl_hash){0};
}

const char *kl_disk_folder(void)
{
    pthread_once(&once, init);
    return folder;
}

static void say_once(const char *path)
{
    static int said;
    int e = errno;
    if (!__atomic_exchange_n(&said, 1, __ATOMIC_RELAXED))
        kl_debug("cache folder %s cannot be written: %s: %s", folder, path, strerror(e));
}

/* ---- entries ---- */

static void entry_path(kl_hash key, const char *kind, char *path)
{
    kl_hash both[2] = {key, build};
    char hex[33];
    kl_hash_hex(kl_hash_bytes(both, sizeof both), hex);
    snprintf(path, PATH_ROOM, "%s/%s.%.*s", folder, hex, KIND_MAX, kind);
}

static head make_head(kl_hash key, const char *kind, const void *bytes, size_t size)
{
    head h;
    memset(&h, 0, sizeof h);
    memcpy(h.magic, "kilnent1", 8);
    h.machine = MACHINE;
    h.head_size = sizeof h;
    snprintf(h.kind, sizeof h.kind, "%s", kind);
    h.key = key;
    h.build = build;
    h.size = size;
    kl_hash both[2] = {kl_hash_bytes(bytes, size), kl_hash_bytes(&h, sizeof h)};
    h.checksum = kl_hash_bytes(both, sizeof both);
    return h;
}

static bool read_full(int fd, void *p, size_t n)
{
    for (char *q = p; n > 0;) {
        ssize_t k = read(fd, q, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k <= 0)
            return false;
        q += k;
        n -= (size_t)k;
    }
    return true;
}

static bool write_full(int fd, const void *p, size_t n)
{
    for (const char *q = p; n > 0;) {
        ssize_t k = write(fd, q, n);
        if (k < 0 && errno == EINTR)
            continue;
        if (k < 0)
            return false;
        q += k;
        n -= (size_t)k;
    }
    return true;
}

/* The bytes behind a head that says what we ask for; NULL and why if not. */
static void *read_entry(int fd, kl_hash key, const char *kind, size_t *size,
                        const char **why)
{
    struct stat st;
    head h;
    *why = "damaged";
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || st.st_uid != geteuid() ||
        !read_full(fd, &h, sizeof h) || h.size != (uint64_t)st.st_size - sizeof h)
        return NULL;
    void *bytes = kl_alloc(h.size);
    if (!bytes) {
        *why = "no memory for it";
        return NULL;
    }
    if (read_full(fd, bytes, h.size)) {
        head want = make_head(key, kind, bytes, h.size);
        if (KL_PLANTED(store_sum))
            want.checksum = h.checksum;
        if (!memcmp(&h, &want, sizeof h)) {
            if (time(NULL) - st.st_mtime > TOUCH_S)
                futimens(fd, NULL);
            *size = h.size;
            return bytes;
        }
    }
    kl_free(bytes, h.size);
    return NULL;
}

void *kl_disk_get(kl_hash key, const char *kind, size_t *size, const char **why)
{
    char path[PATH_ROOM];
    *why = "no folder";
    if (!*kl_disk_folder())
        return NULL;
    *why = "not there";
    entry_path(key, kind, path);
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0) {
        KL_TICK(store_absent);
        return NULL;
    }
    void *bytes = read_entry(fd, key, kind, size, why);
    close(fd);
    if (!bytes)
        KL_TICK(store_damaged);
    return bytes;
}

static int create_temp(char *path)
{
    static int64_t counter;
    snprintf(path, PATH_ROOM, "%s/.new-%ld-%lld-%llx", folder, (long)getpid(),
             (long long)__atomic_fetch_add(&counter, 1, __ATOMIC_RELAXED),
             (unsigned long long)kl_now_ns());
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0 && errno == ENOENT &&
        make_folders(folder)) /* somebody removed the folder */
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    return fd;
}

static bool write_entry(const char *path, const head *h, const void *bytes)
{
    char temp[PATH_ROOM];
    int fd = create_temp(temp);
    if (fd < 0) {
        say_once(temp);
        return false;
    }
    bool ok = write_full(fd, h, sizeof *h) && write_full(fd, bytes, h->size);
    ok = (close(fd) == 0) && ok && rename(temp, path) == 0;
    if (!ok) {
        say_once(path);
        unlink(temp);
    }
    return ok;
}

void kl_disk_put(kl_hash key, const char *kind, const void *bytes, size_t size)
{
    char path[PATH_ROOM];
    int64_t cap = kl_env_get()->cache_max, more = (int64_t)(size + sizeof(head));
    if (!*kl_disk_folder() || more > cap)
        return;
    head h = make_head(key, kind, bytes, size);
    entry_path(key, kind, path);
    if (!write_entry(path, &h, bytes))
        return;
    int64_t known = __atomic_load_n(&known_bytes, __ATOMIC_RELAXED);
    /* A full folder is long to count: of the entries that matter little only now and then
     * one has it done, in whichever process. */
    if (known < 0 && more < cap / SMALL_PART && key.lo % RARELY != 0)
        return;
    bool counted =
        known >= 0 && __atomic_add_fetch(&put_count, 1, __ATOMIC_RELAXED) % RECOUNT;
    if (!counted || __atomic_add_fetch(&known_bytes, more, __ATOMIC_RELAXED) > cap)
        kl_disk_trim(cap);
}

void kl_disk_drop(kl_hash key, const char *kind)
{
    char path[PATH_ROOM];
    if (!*kl_disk_folder())
        return;
    entry_path(key, kind, path);
    unlink(path);
}

/* ---- the cap ---- */

typedef struct file {
    char name[64];
    int64_t size;
    struct timespec used;
} file;

static int by_use(const void *a, const void *b)
{
    const file *x = KL_PLANTED(store_newest) ? b : a,
               *y = KL_PLANTED(store_newest) ? a : b;
    if (x->used.tv_sec != y->used.tv_sec)
        return x->used.tv_sec < y->used.tv_sec ? -1 : 1;
    if (x->used.tv_nsec != y->used.tv_nsec)
        return x->used.tv_nsec < y->used.tv_nsec ? -1 : 1;
    return strcmp(x->name, y->name);
}

/* 32 hex digits, a dot, a kind: anything else in the folder is not ours to touch. */
static bool entry_name(const char *name)
{
    return strspn(name, "0123456789abcdef") == 32 && name[32] == '.' && name[33] &&
           strlen(name) < 33 + KIND_MAX + 2;
}

static void remove_stale(int dir, const char *name)
{
    struct stat st;
    if (!strncmp(name, ".new-", 5) && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
        time(NULL) - st.st_mtime > STALE_S)
        unlinkat(dir, name, 0);
}

/* All entries, and what they weigh together; NULL when there are none or memory ended. */
static file *list(DIR *d, size_t *count, size_t *cap, int64_t *total)
{
    file *files = NULL;
    struct stat st;
    *count = *cap = 0;
    *total = 0;
    for (struct dirent *e; (e = readdir(d));) {
        remove_stale(dirfd(d), e->d_name);
        if (!entry_name(e->d_name) ||
            fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0 ||
            !S_ISREG(st.st_mode))
            continue;
        if (*count == *cap) {
            size_t more = *cap ? 2 * *cap : 256;
            file *p = kl_realloc(files, *cap * sizeof *p, more * sizeof *p);
            if (!p)
                return files;
            files = p;
            *cap = more;
        }
        file *f = &files[(*count)++];
        snprintf(f->name, sizeof f->name, "%.63s", e->d_name);
        f->size = st.st_size;
        f->used = st.st_mtim;
        *total += st.st_size;
    }
    return files;
}

/* Down to 7/8 when over, so that not every put has to sort. */
void kl_disk_trim(int64_t most)
{
    DIR *d = *kl_disk_folder() ? opendir(folder) : NULL;
    if (!d)
        return;
    size_t count, cap;
    int64_t total;
    file *files = list(d, &count, &cap, &total);
    if (total > most) {
        qsort(files, count, sizeof *files, by_use);
        for (size_t i = 0; i < count && total > (i + 1 < count ? most / 8 * 7 : most);
             i++)
            if (unlinkat(dirfd(d), files[i].name, 0) == 0 || errno == ENOENT)
                total -= files[i].size;
    }
    kl_free(files, cap * sizeof *files);
    closedir(d);
    __atomic_store_n(&known_bytes, total, __ATOMIC_RELAXED);
}

/* ---- looking at it ---- */

/* An entry is whole when the checksum in its head is that of its bytes, whoever wrote it.
 */
static bool look_at(int dir, const char *name, kl_disk_entry *e)
{
    struct stat st;
    head h;
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return false;
    bool ok = fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && read_full(fd, &h, sizeof h) &&
              memcmp(h.magic, "kilnent1", 8) == 0;
    if (ok) {
        *e = (kl_disk_entry){.key = h.key, .size = st.st_size, .used = st.st_mtime};
        memcpy(e->kind, h.kind, KIND_MAX);
        e->build = h.build;
        e->machine = (int)h.machine;
        e->ours = memcmp(&h.build, &build, sizeof build) == 0 && h.machine == MACHINE;
        void *bytes = h.size == (uint64_t)st.st_size - sizeof h ? kl_alloc(h.size) : NULL;
        if (bytes && read_full(fd, bytes, h.size)) {
            kl_hash sum = h.checksum;
            h.checksum = (kl_hash){0};
            kl_hash both[2] = {kl_hash_bytes(bytes, h.size), kl_hash_bytes(&h, sizeof h)};
            kl_hash want = kl_hash_bytes(both, sizeof both);
            e->whole = kl_hash_same(want, sum);
        }
        kl_free(bytes, h.size);
    }
    close(fd);
    return ok;
}

kl_hash kl_disk_build(int *machine)
{
    kl_disk_folder();
    *machine = MACHINE;
    return build;
}

void kl_disk_list(void (*visit)(void *user, const kl_disk_entry *e), void *user)
{
    DIR *d = *kl_disk_folder() ? opendir(folder) : NULL;
    kl_disk_entry e;
    for (struct dirent *at; d && (at = readdir(d));)
        if (at->d_name[0] != '.' && look_at(dirfd(d), at->d_name, &e))
            visit(user, &e);
    if (d)
        closedir(d);
}
