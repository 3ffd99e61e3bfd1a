/* loader_elf.c: a relocatable ELF object, read, found closed, and linked for an address.
 *
 * Closed means: nothing outside it is needed and nothing inside it changes. Each of these
 * is looked for and refused by name, so that a loaded object can only compute:
 *
 *   undefined or common symbol, writable section, thread-local data, constructors,
 *   indirect functions, relocations that are not distances within the object
 *
 * The object may come from a damaged cache file: every offset, index and string is
 * checked against the bytes there are before it is used. Loaded sections follow each
 * other in the image:
 *
 *   .text (align 16)   .rodata.cst64 (align 64)        place 0, 448; image 576 bytes
 *
 * Structures are copied out of the bytes, which need no alignment. */
#include "runtime.h"

#include <elf.h>

enum { PAGE = 4096, MAX_IMAGE = 1 << 28 };

static kl_status damaged(const char *why)
{
    return kl_fail(KL_ERR_PARSE, "object file: damaged: %s", why);
}

/* n items of `each` bytes at `at` lie inside the file. */
static bool inside(const kl_elf *e, uint64_t at, uint64_t n, uint64_t each)
{
    return at <= e->size && (each == 0 || n <= (e->size - at) / each);
}

/* A string of a string table section; NULL when it does not end inside it. */
static const char *string_at(const kl_elf *e, const kl_elf_section *table, uint64_t at)
{
    if (table->type != SHT_STRTAB || at >= table->size)
        return NULL;
    const char *s = (const char *)e->bytes + table->offset + at;
    return memchr(s, 0, table->size - at) ? s : NULL;
}

/* ---- reading ---- */

static kl_status read_header(kl_elf *e, Elf64_Ehdr *h)
{
    if (e->size < sizeof *h)
        return damaged("too short");
    memcpy(h, e->bytes, sizeof *h);
    if (memcmp(h->e_ident, ELFMAG, SELFMAG) != 0 || h->e_ident[EI_CLASS] != ELFCLASS64 ||
        h->e_ident[EI_DATA] != ELFDATA2LSB || h->e_type != ET_REL)
        return damaged("not a little-endian 64-bit relocatable ELF object");
    if (h->e_machine != EM_X86_64 && h->e_machine != EM_AARCH64)
        return kl_fail(KL_ERR_UNSUPPORTED,
                       "object file: machine %d is not x86-64 or aarch64", h->e_machine);
    e->machine = h->e_machine;
    if (h->e_shnum == 0 || h->e_shentsize != sizeof(Elf64_Shdr) ||
        !inside(e, h->e_shoff, h->e_shnum, sizeof(Elf64_Shdr)) ||
        h->e_shstrndx >= h->e_shnum)
        return damaged("section table");
    e->nsections = h->e_shnum;
    return KL_OK;
}

static kl_status read_sections(kl_elf *e, const Elf64_Ehdr *h)
{
    e->sections = kl_alloc_zeroed(e->nsections * sizeof *e->sections);
    if (!e->sections)
        return kl_fail(KL_ERR_OOM, "object file: %u sections", e->nsections);
    for (uint32_t i = 0; i < e->nsections; i++) {
        Elf64_Shdr s;
        memcpy(&s, e->bytes + h->e_shoff + i * sizeof s, sizeof s);
        e->sections[i] = (kl_elf_section){.type = s.sh_type,
                                          .link = s.sh_link,
                                          .info = s.sh_info,
                                          .flags = s.sh_flags,
                                          .offset = s.sh_offset,
                                          .size = s.sh_size,
                                          .align = s.sh_addralign ? s.sh_addralign : 1,
                                          .entry = s.sh_name,
                                          .place = -1};
        if (s.sh_type != SHT_NOBITS && s.sh_type != SHT_NULL &&
            !inside(e, s.sh_offset, s.sh_size, 1))
            return damaged("a section lies outside the file");
    }
    for (uint32_t i = 0; i < e->nsections; i++) {
        kl_elf_section *s = &e->sections[i];
        s->name = string_at(e, &e->sections[h->e_shstrndx], s->entry);
        if (!s->name)
            return damaged("a section's name");
    }
    return KL_OK;
}

static kl_status read_symbol(kl_elf *e, const kl_elf_section *strings, const Elf64_Sym *y,
                             kl_elf_symbol *out)
{
    *out = (kl_elf_symbol){.name = string_at(e, strings, y->st_name),
                           .type = ELF64_ST_TYPE(y->st_info),
                           .bind = ELF64_ST_BIND(y->st_info),
                           .section = y->st_shndx,
                           .value = y->st_value,
                           .size = y->st_size};
    if (!out->name)
        return damaged("a symbol's name");
    if (out->section < SHN_LORESERVE) {
        if (out->section >= e->nsections)
            return damaged("a symbol's section");
        if (out->section && out->value > e->sections[out->section].size)
            return damaged("a symbol lies outside its section");
        if (out->type == STT_SECTION)
            out->name = e->sections[out->section].name;
    }
    return KL_OK;
}

static kl_status read_symbols(kl_elf *e)
{
    const kl_elf_section *t = NULL;
    for (uint32_t i = 0; i < e->nsections && !t; i++)
        if (e->sections[i].type == SHT_SYMTAB)
            t = &e->sections[i];
    if (!t || t->link >= e->nsections)
        return damaged("no symbol table");
    e->nsymbols = (uint32_t)(t->size / sizeof(Elf64_Sym));
    e->symbols = kl_alloc_zeroed((e->nsymbols + 1) * sizeof *e->symbols);
    if (!e->symbols)
        return kl_fail(KL_ERR_OOM, "object file: %u symbols", e->nsymbols);
    for (uint32_t i = 0; i < e->nsymbols; i++) {
        Elf64_Sym y;
        memcpy(&y, e->bytes + t->offset + i * sizeof y, sizeof y);
        KL_TRY(read_symbol(e, &e->sections[t->link], &y, &e->symbols[i]));
    }
    return KL_OK;
}

/* ---- checking ---- */

static kl_status open_because(const char *what, const char *name)
{
    return kl_fail(KL_ERR_COMPILE, "object file is not closed: %s '%s'", what, name);
}

static kl_status check_section(const kl_elf_section *s)
{
    if (!(s->flags & SHF_ALLOC) || s->size == 0)
        return KL_OK;
    if (s->flags & SHF_TLS)
        return open_because("thread-local section", s->name);
    if (s->type == SHT_INIT_ARRAY || s->type == SHT_FINI_ARRAY ||
        s->type == SHT_PREINIT_ARRAY || strncmp(s->name, ".ctors", 6) == 0 ||
        strncmp(s->name, ".dtors", 6) == 0 || strcmp(s->name, ".init") == 0)
        return open_because("constructors in", s->name);
    if (s->flags & SHF_WRITE)
        return open_because("writable section", s->name);
    if (s->align > PAGE || (s->align & (s->align - 1)))
        return damaged("a section's alignment");
    return KL_OK;
}

static kl_status check_symbol(const kl_elf_symbol *y)
{
    if (y->section == SHN_UNDEF && !KL_PLANTED(open_object))
        return open_because("undefined symbol", y->name);
    if (y->section == SHN_COMMON)
        return open_because("common symbol", y->name);
    if (y->type == STT_TLS)
        return open_because("thread-local symbol", y->name);
    if (y->type == STT_GNU_IFUNC)
        return open_because("indirect function", y->name);
    return KL_OK;
}

/* Loaded sections one after the other. */
static kl_status place_sections(kl_elf *e)
{
    uint64_t at = 0;
    for (uint32_t i = 0; i < e->nsections; i++) {
        kl_elf_section *s = &e->sections[i];
        KL_TRY(check_section(s));
        if (!(s->flags & SHF_ALLOC) || s->size == 0 || s->type == SHT_NOTE ||
            s->type == SHT_NULL)
            continue;
        at = (at + s->align - 1) & ~(s->align - 1);
        if (s->size > MAX_IMAGE || at + s->size > MAX_IMAGE)
            return damaged("over 256 MiB");
        s->place = (int64_t)at;
        at += s->size;
    }
    e->image = at;
    return KL_OK;
}

/* ---- relocations ---- */

/* Calls fn for each relocation of a loaded section. */
typedef kl_status (*each_fn)(const kl_elf *e, const kl_elf_section *s,
                             const Elf64_Rela *r, void *ctx);

static kl_status each_in(const kl_elf *e, const kl_elf_section *table, each_fn fn,
                         void *ctx)
{
    const kl_elf_section *s = &e->sections[table->info];
    for (uint64_t i = 0; i < table->size / sizeof(Elf64_Rela); i++) {
        Elf64_Rela r;
        memcpy(&r, e->bytes + table->offset + i * sizeof r, sizeof r);
        KL_TRY(fn(e, s, &r, ctx));
    }
    return KL_OK;
}

static kl_status each_relocation(const kl_elf *e, each_fn fn, void *ctx)
{
    for (uint32_t i = 0; i < e->nsections; i++) {
        const kl_elf_section *t = &e->sections[i];
        if (t->type != SHT_RELA && t->type != SHT_REL)
            continue;
        if (t->info >= e->nsections)
            return damaged("a relocation table's section");
        if (e->sections[t->info].place < 0)
            continue;
        if (t->type == SHT_REL)
            return damaged("relocations without addends");
        KL_TRY(each_in(e, t, fn, ctx));
    }
    return KL_OK;
}

static kl_status check_relocation(const kl_elf *e, const kl_elf_section *s,
                                  const Elf64_Rela *r, void *ctx)
{
    (void)ctx;
    uint64_t index = ELF64_R_SYM(r->r_info);
    uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    if (index == 0 || index >= e->nsymbols)
        return damaged("a relocation's symbol");
    const kl_elf_symbol *y = &e->symbols[index];
    const char *why = kl_reloc_why_not(e->machine, type);
    if (why)
        return kl_fail(KL_ERR_COMPILE,
                       "object file is not closed: %s (type %u) in %s against '%s'", why,
                       type, s->name, y->name);
    if (y->section >= e->nsections || e->sections[y->section].place < 0)
        return open_because("a relocation against what is not loaded,", y->name);
    if (r->r_offset > s->size ||
        s->size - r->r_offset < (uint64_t)kl_reloc_bytes(e->machine, type))
        return damaged("a relocation lies outside its section");
    return KL_OK;
}

typedef struct link_to {
    uint8_t *image;
    uint64_t address;
} link_to;

static kl_status apply_relocation(const kl_elf *e, const kl_elf_section *s,
                                  const Elf64_Rela *r, void *ctx)
{
    const link_to *l = ctx;
    const kl_elf_symbol *y = &e->symbols[ELF64_R_SYM(r->r_info)];
    uint64_t at = (uint64_t)s->place + r->r_offset;
    uint64_t to =
        (uint64_t)e->sections[y->section].place + y->value + (uint64_t)r->r_addend;
    const char *why = kl_reloc_apply(e->machine, (uint32_t)ELF64_R_TYPE(r->r_info),
                                     l->image + at, l->address + at, l->address + to);
    return why ? kl_fail(KL_ERR_COMPILE, "object file: relocation in %s against '%s': %s",
                         s->name, y->name, why)
               : KL_OK;
}

/* ---- entries ---- */

static kl_status open_all(kl_elf *e)
{
    Elf64_Ehdr h;
    KL_TRY(read_header(e, &h));
    KL_TRY(read_sections(e, &h));
    KL_TRY(read_symbols(e));
    for (uint32_t i = 1; i < e->nsymbols; i++)
        KL_TRY(check_symbol(&e->symbols[i]));
    KL_TRY(place_sections(e));
    return each_relocation(e, check_relocation, NULL);
}

kl_status kl_elf_open(const void *object, size_t size, kl_elf *e)
{
    *e = (kl_elf){.bytes = object, .size = size};
    kl_status s = open_all(e);
    if (s != KL_OK)
        kl_elf_close(e);
    return s;
}

void kl_elf_close(kl_elf *e)
{
    if (e->sections)
        kl_free(e->sections, e->nsections * sizeof *e->sections);
    if (e->symbols)
        kl_free(e->symbols, (e->nsymbols + 1) * sizeof *e->symbols);
    *e = (kl_elf){0};
}

kl_status kl_elf_link(const kl_elf *e, void *image, uint64_t address)
{
    link_to l = {image, address};
    memset(image, 0, e->image);
    for (uint32_t i = 0; i < e->nsections; i++) {
        const kl_elf_section *s = &e->sections[i];
        if (s->place >= 0 && s->type != SHT_NOBITS)
            memcpy(l.image + s->place, e->bytes + s->offset, s->size);
    }
    return each_relocation(e, apply_relocation, &l);
}

int64_t kl_elf_find(const kl_elf *e, const char *name)
{
    for (uint32_t i = 1; i < e->nsymbols; i++) {
        const kl_elf_symbol *y = &e->symbols[i];
        if (y->section < e->nsections && e->sections[y->section].place >= 0 &&
            y->type != STT_SECTION && strcmp(y->name, name) == 0)
            return e->sections[y->section].place + (int64_t)y->value;
    }
    return -1;
}
