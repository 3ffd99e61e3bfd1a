/* loader.c: closed objects into executable memory.
 *
 * One object is one anonymous mapping that holds its code and constants:
 *
 *   mmap (read, write)  ->  copy, relocate  ->  mprotect (read, execute)  ->  run  ->
 * munmap
 *
 * so memory is never writable and executable at once, and loading costs two system calls
 * and a page fault. Nothing has to be looked up elsewhere: the object is closed
 * (loader_elf.c). A table of its functions is kept beside, for kl_code_symbol. */
#include "runtime.h"

#include <elf.h>
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

struct kl_code {
    uint8_t *base;
    size_t size, own; /* bytes mapped; of this block, names included */
    kl_debug_entry *debug;
    size_t count;
    struct {
        const char *name;
        void *at;
    } symbols[];
};

#if defined(__x86_64__)
enum { HOST_MACHINE = EM_X86_64 };
#elif defined(__aarch64__)
enum { HOST_MACHINE = EM_AARCH64 };
#else
enum { HOST_MACHINE = EM_NONE };
#endif

/* A symbol that kl_code_symbol may be asked for. */
static bool is_named(const kl_elf *e, const kl_elf_symbol *y)
{
    return y->section < e->nsections && e->sections[y->section].place >= 0 && *y->name &&
           (y->type == STT_FUNC || y->type == STT_OBJECT || y->type == STT_NOTYPE);
}

static kl_code *new_code(const kl_elf *e)
{
    size_t count = 0, names = 0;
    for (uint32_t i = 0; i < e->nsymbols; i++)
        if (is_named(e, &e->symbols[i])) {
            count++;
            names += strlen(e->symbols[i].name) + 1;
        }
    size_t own = sizeof(kl_code) + count * sizeof(((kl_code *)0)->symbols[0]) + names;
    kl_code *c = kl_alloc_zeroed(own);
    if (c) {
        c->own = own;
        c->count = count;
    }
    return c;
}

static void fill_symbols(kl_code *c, const kl_elf *e)
{
    char *names = (char *)(c->symbols + c->count);
    size_t n = 0;
    for (uint32_t i = 0; i < e->nsymbols; i++) {
        const kl_elf_symbol *y = &e->symbols[i];
        if (!is_named(e, y))
            continue;
        c->symbols[n].name = strcpy(names, y->name);
        c->symbols[n].at = c->base + e->sections[y->section].place + y->value;
        names += strlen(names) + 1;
        n++;
    }
}

static kl_status map_image(kl_code *c, const kl_elf *e)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    c->size = (KL_MAX(e->image, 1) + page - 1) & ~(page - 1);
    void *p =
        mmap(NULL, c->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return kl_fail(KL_ERR_OOM, "%zu bytes for code: %s", c->size, strerror(errno));
    c->base = p;
    KL_TICK_BY(code_bytes, (int64_t)c->size);
    KL_TRY(kl_elf_link(e, p, (uint64_t)(uintptr_t)p));
    if (mprotect(p, c->size,
                 PROT_READ | PROT_EXEC | (KL_PLANTED(writable_code) ? PROT_WRITE : 0)) !=
        0)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "this system forbids new executable memory: %s", strerror(errno));
    __builtin___clear_cache((char *)p, (char *)p + e->image);
    return KL_OK;
}

static kl_status load(const kl_elf *e, kl_code **out)
{
    if (e->machine != HOST_MACHINE)
        return kl_fail(KL_ERR_UNSUPPORTED, "object file: code for another machine (%s)",
                       e->machine == EM_X86_64 ? "x86-64" : "aarch64");
    kl_code *c = new_code(e);
    if (!c)
        return kl_fail(KL_ERR_OOM, "object file: %u symbols", e->nsymbols);
    kl_status s = map_image(c, e);
    if (s != KL_OK) {
        kl_code_free(c);
        return s;
    }
    fill_symbols(c, e);
    c->debug = kl_debugger_add(e, (uint64_t)(uintptr_t)c->base);
    kl_perf_add(e, (uint64_t)(uintptr_t)c->base);
    *out = c;
    return KL_OK;
}

kl_status kl_code_load(const void *object, size_t size, kl_code **out)
{
    kl_elf e;
    *out = NULL;
    KL_TRY(kl_elf_open(object, size, &e));
    kl_status s = load(&e, out);
    kl_elf_close(&e);
    return s;
}

void *kl_code_symbol(const kl_code *c, const char *name)
{
    for (size_t i = 0; i < c->count; i++)
        if (strcmp(c->symbols[i].name, name) == 0)
            return c->symbols[i].at;
    return NULL;
}

void kl_code_free(kl_code *c)
{
    if (!c)
        return;
    kl_debugger_remove(c->debug);
    if (c->base) {
        munmap(c->base, c->size);
        KL_TICK_BY(code_bytes, -(int64_t)c->size);
    }
    kl_free(c, c->own);
}

kl_status kl_code_check(const void *object, size_t size)
{
    kl_elf e;
    KL_TRY(kl_elf_open(object, size, &e));
    kl_elf_close(&e);
    return KL_OK;
}
