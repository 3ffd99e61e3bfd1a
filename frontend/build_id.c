/* build_id.c: which build of kiln this is, for keys of things kept on disk: an object
 * made by other code is another object. The linker's build-id of the module that holds
 * this function; without one, the module's size and time.
 *
 *   libkiln.so  PT_NOTE "GNU" NT_GNU_BUILD_ID 9f3c..  ->  hash */
#include "front.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/stat.h>

static kl_hash id;

typedef ElfW(Nhdr) note;

/* Aligned to 4, as notes are. */
static size_t padded(size_t n)
{
    return (n + 3) & ~(size_t)3;
}

static bool find_note(const char *p, size_t size)
{
    while (size >= sizeof(note)) {
        const note *n = (const note *)(const void *)p;
        size_t all = sizeof *n + padded(n->n_namesz) + padded(n->n_descsz);
        const char *desc = p + sizeof *n + padded(n->n_namesz);
        if (all > size)
            break;
        if (n->n_type == NT_GNU_BUILD_ID && n->n_namesz == 4 &&
            memcmp(p + sizeof *n, "GNU", 4) == 0) {
            id = kl_hash_bytes(desc, n->n_descsz);
            return true;
        }
        p += all;
        size -= all;
    }
    return false;
}

/* 1: this module is ours; the walk ends. */
static int visit(struct dl_phdr_info *m, size_t size, void *ctx)
{
    uintptr_t here = (uintptr_t)&id;
    bool ours = false;
    (void)size;
    (void)ctx;
    for (int i = 0; i < m->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &m->dlpi_phdr[i];
        uintptr_t start = m->dlpi_addr + h->p_vaddr;
        ours |= h->p_type == PT_LOAD && here - start < h->p_memsz;
    }
    for (int i = 0; ours && i < m->dlpi_phnum; i++) {
        const ElfW(Phdr) *h = &m->dlpi_phdr[i];
        if (h->p_type == PT_NOTE &&
            find_note((const char *)(m->dlpi_addr + h->p_vaddr), h->p_memsz))
            break;
    }
    return ours;
}

static void look(void)
{
    struct stat s;
    Dl_info where;
    dl_iterate_phdr(visit, NULL);
    if ((id.lo | id.hi) == 0 && dladdr(&id, &where) && stat(where.dli_fname, &s) == 0) {
        int64_t words[3] = {s.st_size, s.st_mtim.tv_sec, s.st_mtim.tv_nsec};
        id = kl_hash_bytes(words, sizeof words);
    }
}

kl_hash kl_build_id(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, look);
    return id;
}
