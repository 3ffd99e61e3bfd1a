/* loader_gdb.c: telling debuggers and profilers about loaded code.
 *
 * gdb and lldb read a linked list that starts at a symbol of fixed name, and set a
 * breakpoint in a function of fixed name that is called when the list changes (gdb's "JIT
 * Compilation Interface"). Each entry is an object file in memory whose section headers
 * say where the sections were put:
 *
 *   __jit_debug_descriptor -> entry -> entry       symfile = the object, sh_addr filled
 * in
 *
 * The names are weak: a program that links another JIT statically has them too, of the
 * same layout. perf reads one line per function from /tmp/perf-PID.map, written under
 * KILN_DEBUG. */
#include "runtime.h"

#include <elf.h>
#include <fcntl.h>
#include <pthread.h>
#include <unistd.h>

struct jit_code_entry {
    struct jit_code_entry *next, *prev;
    const char *symfile;
    uint64_t size;
};
struct jit_descriptor {
    uint32_t version, action; /* 0 nothing, 1 added, 2 removed */
    struct jit_code_entry *relevant, *first;
};

void __jit_debug_register_code(void);
extern struct jit_descriptor __jit_debug_descriptor;
__attribute__((weak, used)) struct jit_descriptor __jit_debug_descriptor = {.version = 1};
/* gdb's breakpoint; the barrier keeps the call. */
__attribute__((weak, noinline, used)) void __jit_debug_register_code(void)
{
    __asm__ volatile("" ::: "memory");
}

struct kl_debug_entry {
    struct jit_code_entry e;
    size_t own;
    uint64_t object[]; /* aligned copy of the bytes */
};

static pthread_mutex_t list = PTHREAD_MUTEX_INITIALIZER;

/* Section headers of the copy learn where their sections lie. */
static void set_addresses(const kl_elf *e, uint8_t *copy, uint64_t address)
{
    Elf64_Ehdr h;
    memcpy(&h, copy, sizeof h);
    for (uint32_t i = 0; i < e->nsections; i++) {
        if (e->sections[i].place < 0)
            continue;
        uint64_t at = address + (uint64_t)e->sections[i].place;
        memcpy(copy + h.e_shoff + i * sizeof(Elf64_Shdr) + offsetof(Elf64_Shdr, sh_addr),
               &at, sizeof at);
    }
}

static void announce(uint32_t action, struct jit_code_entry *e)
{
    __jit_debug_descriptor.action = action;
    __jit_debug_descriptor.relevant = e;
    __jit_debug_register_code();
    __jit_debug_descriptor.action = 0;
    __jit_debug_descriptor.relevant = NULL;
}

kl_debug_entry *kl_debugger_add(const kl_elf *e, uint64_t address)
{
    size_t own = sizeof(kl_debug_entry) + e->size;
    kl_debug_entry *d = kl_alloc(own);
    if (!d)
        return NULL;
    *d = (kl_debug_entry){.e = {.symfile = (const char *)d->object, .size = e->size},
                          .own = own};
    memcpy(d->object, e->bytes, e->size);
    set_addresses(e, (uint8_t *)d->object, address);
    pthread_mutex_lock(&list);
    d->e.next = __jit_debug_descriptor.first;
    if (d->e.next)
        d->e.next->prev = &d->e;
    __jit_debug_descriptor.first = &d->e;
    announce(1, &d->e);
    pthread_mutex_unlock(&list);
    return d;
}

void kl_debugger_remove(kl_debug_entry *d)
{
    if (!d)
        return;
    pthread_mutex_lock(&list);
    if (d->e.next)
        d->e.next->prev = d->e.prev;
    if (d->e.prev)
        d->e.prev->next = d->e.next;
    else
        __jit_debug_descriptor.first = d->e.next;
    announce(2, &d->e);
    pthread_mutex_unlock(&list);
    kl_free(d, d->own);
}

static void put_lines(const kl_elf *e, uint64_t address, int fd)
{
    for (uint32_t i = 0; i < e->nsymbols; i++) {
        const kl_elf_symbol *y = &e->symbols[i];
        if (y->type != STT_FUNC || y->section >= e->nsections ||
            e->sections[y->section].place < 0)
            continue;
        uint64_t at = address + (uint64_t)e->sections[y->section].place + y->value;
        dprintf(fd, "%llx %llx kiln:%s\n", (unsigned long long)at,
                (unsigned long long)y->size, y->name);
    }
}

void kl_perf_add(const kl_elf *e, uint64_t address)
{
    if (!kl_env_get()->debug)
        return;
    char path[64];
    snprintf(path, sizeof path, "/tmp/perf-%d.map", (int)getpid());
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return;
    put_lines(e, address, fd);
    close(fd);
}
