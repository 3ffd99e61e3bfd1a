/* test_loader.c: objects made by hand, byte by byte: what loads, what is refused and why,
 * and damaged files at every byte. Objects made by LLVM are in test_llvm.c. */
#include "runtime.h"

#include <check.h>
#include <elf.h>

/* A small assembler of ELF objects. Sections: 0 null, 1 .text, 2 one more of the test's
 * choice, 3 .rela.text, 4 .symtab, 5 .strtab (also the section names). Symbols: 0 null, 1
 * the function, 2 one of the test's. */

enum { TEXT = 1, EXTRA, RELA, SYMTAB, STRTAB, SECTIONS };

typedef struct spec {
    const char *says;    /* in the refusal; NULL: it loads */
    const char *section; /* name, type and flags of section EXTRA */
    uint32_t type;
    uint64_t flags;
    const char *symbol; /* symbol 2; its section, type */
    uint16_t at;
    uint8_t kind;
    uint32_t reloc; /* at text byte 2, against symbol 2 */
    int machine;
} spec;

typedef struct object {
    uint8_t bytes[2048];
    size_t size;
} object;

static uint64_t put(object *o, const void *p, size_t n)
{
    uint64_t at = o->size = (o->size + 7) & ~(size_t)7;
    ck_assert_uint_le(at + n, sizeof o->bytes);
    memcpy(o->bytes + at, p, n);
    o->size += n;
    return at;
}

/* Appends a name to the string table; its index. */
static uint32_t put_name(char *table, size_t *len, const char *name)
{
    uint32_t at = (uint32_t)*len;
    strcpy(table + *len, name);
    *len += strlen(name) + 1;
    return at;
}

static void put_symbols(object *o, const spec *s, char *names, size_t *len, Elf64_Shdr *h)
{
    Elf64_Sym y[3] = {{0}};
    y[1] = (Elf64_Sym){.st_name = put_name(names, len, "answer"),
                       .st_shndx = TEXT,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, STT_FUNC),
                       .st_size = 8};
    y[2] = (Elf64_Sym){.st_name = put_name(names, len, s->symbol ? s->symbol : "datum"),
                       .st_shndx = s->at,
                       .st_info = ELF64_ST_INFO(STB_GLOBAL, s->kind)};
    h[SYMTAB] = (Elf64_Shdr){.sh_type = SHT_SYMTAB,
                             .sh_offset = put(o, y, sizeof y),
                             .sh_size = sizeof y,
                             .sh_link = STRTAB,
                             .sh_info = 1,
                             .sh_entsize = sizeof *y};
}

/* The function: mov eax, [rip + datum]; ret, or as many bytes of nothing for aarch64. */
static void assemble(object *o, const spec *s)
{
    static const uint8_t text[8] = {0x8b, 0x05, 0, 0, 0, 0, 0xc3};
    static const int32_t datum = 42;
    char names[256] = "";
    size_t len = 1;
    Elf64_Shdr h[SECTIONS] = {{0}};
    Elf64_Ehdr e = {.e_type = ET_REL,
                    .e_machine = (Elf64_Half)s->machine,
                    .e_version = 1,
                    .e_ehsize = sizeof e,
                    .e_shentsize = sizeof *h,
                    .e_shnum = SECTIONS,
                    .e_shstrndx = STRTAB};
    memcpy(e.e_ident, ELFMAG, SELFMAG);
    e.e_ident[EI_CLASS] = ELFCLASS64;
    e.e_ident[EI_DATA] = ELFDATA2LSB;
    o->size = sizeof e;
    h[TEXT] = (Elf64_Shdr){.sh_name = put_name(names, &len, ".text"),
                           .sh_type = SHT_PROGBITS,
                           .sh_flags = SHF_ALLOC | SHF_EXECINSTR,
                           .sh_size = sizeof text,
                           .sh_offset = put(o, text, sizeof text),
                           .sh_addralign = 16};
    h[EXTRA] = (Elf64_Shdr){.sh_name = put_name(names, &len, s->section),
                            .sh_type = s->type,
                            .sh_flags = s->flags,
                            .sh_size = sizeof datum,
                            .sh_offset = put(o, &datum, sizeof datum),
                            .sh_addralign = 64};
    Elf64_Rela r = {
        .r_offset = 2, .r_info = ELF64_R_INFO(2, (uint64_t)s->reloc), .r_addend = -4};
    h[RELA] = (Elf64_Shdr){.sh_type = SHT_RELA,
                           .sh_offset = put(o, &r, sizeof r),
                           .sh_size = sizeof r,
                           .sh_link = SYMTAB,
                           .sh_info = TEXT,
                           .sh_entsize = sizeof r};
    put_symbols(o, s, names, &len, h);
    h[STRTAB] = (Elf64_Shdr){
        .sh_type = SHT_STRTAB, .sh_offset = put(o, names, len), .sh_size = len};
    e.e_shoff = put(o, h, sizeof h);
    memcpy(o->bytes, &e, sizeof e);
}

#define RODATA ".rodata", SHT_PROGBITS, SHF_ALLOC
#define DATUM "datum", EXTRA, STT_OBJECT
#define X86 .machine = EM_X86_64
static const spec good = {NULL, RODATA, DATUM, R_X86_64_PC32, X86};

static const spec specs[] = {
    {NULL, RODATA, DATUM, R_X86_64_PC32, X86},
    {NULL, RODATA, DATUM, R_X86_64_PLT32, X86},
    {NULL, RODATA, DATUM, R_AARCH64_PREL32, EM_AARCH64},
    {"R_X86_64_64", RODATA, DATUM, R_X86_64_64, X86},
    {"R_X86_64_32S", RODATA, DATUM, R_X86_64_32S, X86},
    {"R_X86_64_GOTPCREL", RODATA, DATUM, R_X86_64_GOTPCREL, X86},
    {"R_X86_64_REX_GOTPCRELX", RODATA, DATUM, R_X86_64_REX_GOTPCRELX, X86},
    {"R_X86_64_TPOFF32", RODATA, DATUM, R_X86_64_TPOFF32, X86},
    {"unknown type (type 200)", RODATA, DATUM, 200, X86},
    {"R_AARCH64_ADR_GOT_PAGE", RODATA, DATUM, R_AARCH64_ADR_GOT_PAGE, EM_AARCH64},
    {"R_AARCH64_ABS64", RODATA, DATUM, R_AARCH64_ABS64, EM_AARCH64},
    {"outside its section", RODATA, DATUM, R_X86_64_PC64, X86},
    {"undefined symbol 'memset'", RODATA, "memset", SHN_UNDEF, STT_NOTYPE, R_X86_64_PLT32,
     X86},
    {"common symbol 'pool'", RODATA, "pool", SHN_COMMON, STT_OBJECT, R_X86_64_PC32, X86},
    {"thread-local symbol 'tls'", RODATA, "tls", EXTRA, STT_TLS, R_X86_64_PC32, X86},
    {"indirect function 'pick'", RODATA, "pick", TEXT, STT_GNU_IFUNC, R_X86_64_PC32, X86},
    {"not loaded, 'abs'", RODATA, "abs", SHN_ABS, STT_NOTYPE, R_X86_64_PC32, X86},
    {"writable section '.data'", ".data", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, DATUM,
     R_X86_64_PC32, X86},
    {"writable section '.bss'", ".bss", SHT_NOBITS, SHF_ALLOC | SHF_WRITE, DATUM,
     R_X86_64_PC32, X86},
    {"thread-local section", ".tdata", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE | SHF_TLS,
     DATUM, R_X86_64_PC32, X86},
    {"constructors in '.init_array'", ".init_array", SHT_INIT_ARRAY,
     SHF_ALLOC | SHF_WRITE, DATUM, R_X86_64_PC32, X86},
    {"constructors in '.ctors'", ".ctors", SHT_PROGBITS, SHF_ALLOC | SHF_WRITE, DATUM,
     R_X86_64_PC32, X86},
    {"not loaded, 'datum'", ".debug_x", SHT_PROGBITS, 0, DATUM, R_X86_64_PC32, X86},
    {"machine 62000", RODATA, DATUM, R_X86_64_PC32, .machine = 62000},
};

START_TEST(closed_or_refused)
{
    const spec *s = &specs[_i];
    object o = {.size = 0};
    assemble(&o, s);
    kl_error_clear();
    size_t live = kl_alloc_live();
    kl_status st = kl_code_check(o.bytes, o.size);
    ck_assert_uint_eq(kl_alloc_live(), live);
    if (!s->says) {
        ck_assert_msg(st == KL_OK, "%s", kl_error());
        return;
    }
    ck_assert_int_ne(st, KL_OK);
    ck_assert_msg(strstr(kl_error(), s->says) != NULL, "%s: %s", s->says, kl_error());
    kl_error_clear();
}
END_TEST

#if defined(__x86_64__)
/* The rights of the mapping that holds p, as /proc/self/maps has them. */
static void rights_at(const void *p, char out[5])
{
    FILE *f = fopen("/proc/self/maps", "r");
    unsigned long lo, hi;
    char line[512], rights[5];
    strcpy(out, "none");
    while (f && fgets(line, sizeof line, f))
        if (sscanf(line, "%lx-%lx %4s", &lo, &hi, rights) == 3 &&
            lo <= (unsigned long)p && (unsigned long)p < hi)
            strcpy(out, rights);
    if (f)
        fclose(f);
}

static int call(void *p)
{
    int (*fn)(void);
    memcpy(&fn, &p, sizeof p);
    return fn();
}

START_TEST(runs_and_is_never_writable)
{
    object o = {.size = 0};
    kl_code *c;
    char rights[5];
    assemble(&o, &good);
    ck_assert_msg(kl_code_load(o.bytes, o.size, &c) == KL_OK, "%s", kl_error());
    void *fn = kl_code_symbol(c, "answer");
    ck_assert_ptr_nonnull(fn);
    ck_assert_ptr_nonnull(kl_code_symbol(c, "datum"));
    ck_assert_ptr_null(kl_code_symbol(c, "question"));
    ck_assert_int_eq(call(fn), 42);
    rights_at(fn, rights);
    ck_assert_str_eq(rights, "r-xp");
    kl_code_free(c);
    kl_code_free(NULL);
}
END_TEST

/* Whichever allocation fails, the load fails cleanly or goes without the debugger. */
START_TEST(out_of_memory)
{
    object o = {.size = 0};
    assemble(&o, &good);
    size_t live = kl_alloc_live();
    bool whole = false;
    for (int64_t n = 0; !whole; n++) {
        kl_code *c;
        ck_assert_int_lt(n, 20);
        kl_error_clear();
        kl_alloc_fail_at(n);
        kl_status st = kl_code_load(o.bytes, o.size, &c);
        kl_alloc_fail_at(-1);
        if (st == KL_OK) {
            ck_assert_int_eq(call(kl_code_symbol(c, "answer")), 42);
            whole = true;
        } else {
            ck_assert_int_eq(st, KL_ERR_OOM);
            ck_assert_ptr_null(c);
        }
        kl_code_free(c);
        ck_assert_uint_eq(kl_alloc_live(), live);
    }
    kl_error_clear();
}
END_TEST

/* What gdb reads. */
struct entry {
    struct entry *next, *prev;
    const char *file;
    uint64_t size;
};
extern struct descriptor {
    uint32_t version, action;
    struct entry *relevant, *first;
} __jit_debug_descriptor;

START_TEST(debuggers_are_told)
{
    object o = {.size = 0};
    kl_code *a, *b;
    assemble(&o, &good);
    ck_assert_int_eq(kl_code_load(o.bytes, o.size, &a), KL_OK);
    ck_assert_int_eq(kl_code_load(o.bytes, o.size, &b), KL_OK);
    struct entry *first = __jit_debug_descriptor.first;
    ck_assert_uint_eq(__jit_debug_descriptor.version, 1);
    ck_assert_ptr_nonnull(first);
    ck_assert_ptr_nonnull(first->next);
    ck_assert_uint_eq(first->size, o.size);
    Elf64_Ehdr e;
    Elf64_Shdr h;
    memcpy(&e, first->file, sizeof e);
    memcpy(&h, first->file + e.e_shoff + TEXT * sizeof h, sizeof h);
    ck_assert_uint_eq(h.sh_addr, (uint64_t)(uintptr_t)kl_code_symbol(b, "answer"));
    kl_code_free(a);
    ck_assert_ptr_eq(__jit_debug_descriptor.first, first);
    ck_assert_ptr_null(first->next);
    kl_code_free(b);
    ck_assert_ptr_null(__jit_debug_descriptor.first);
}
END_TEST
#endif

/* The null section has no bytes, whatever its header says. */
START_TEST(null_section)
{
    object o = {.size = 0};
    Elf64_Ehdr e;
    assemble(&o, &good);
    memcpy(&e, o.bytes, sizeof e);
    Elf64_Shdr h = {.sh_flags = SHF_ALLOC, .sh_size = 0xfffc, .sh_offset = 1 << 30};
    memcpy(o.bytes + e.e_shoff, &h, sizeof h);
    kl_code *c = NULL;
    ck_assert_int_eq(kl_code_load(o.bytes, o.size, &c), KL_OK);
    kl_code_free(c);
}
END_TEST

/* Every byte of a good object changed, and every shorter file: an answer, never a crash.
 */
START_TEST(damage_is_survived)
{
    object o = {.size = 0};
    assemble(&o, &good);
    int refused = 0;
    for (size_t n = 0; n < o.size; n++)
        refused += kl_code_check(o.bytes, n) != KL_OK;
    ck_assert_int_eq(refused, (int)o.size); /* the section table comes last */
    static const uint8_t flips[] = {0xff, 0x80, 0x01, 0x7f};
    static uint8_t image[1 << 16];
    for (size_t i = 0; i < o.size; i++)
        for (size_t k = 0; k < KL_COUNT(flips); k++) {
            object bad = o;
            kl_elf e;
            bad.bytes[i] ^= flips[k];
            if (kl_elf_open(bad.bytes, bad.size, &e) != KL_OK)
                continue;
            if (e.image <= sizeof image)
                kl_elf_link(&e, image, 0x10000);
            kl_elf_close(&e);
        }
    kl_error_clear();
}
END_TEST

/* ---- relocations, against words from binutils ---- */

static const struct reloc {
    int machine;
    uint32_t type, before;
    uint64_t place, target;
    uint32_t after; /* 0: refused */
} relocs[] = {
    {EM_X86_64, R_X86_64_PC32, 0, 0x1000, 0x0ffc, 0xfffffffc},
    {EM_X86_64, R_X86_64_PC32, 0, 0x1000, 0x80000fff, 0x7fffffff},
    {EM_X86_64, R_X86_64_PC32, 0, 0x1000, 0x80001000, 0},
    {EM_AARCH64, R_AARCH64_CALL26, 0x94000000, 0x1000, 0x2000,
     0x94000400}, /* bl .+0x1000 */
    {EM_AARCH64, R_AARCH64_JUMP26, 0x14000000, 0x2000, 0x1ffc, 0x17ffffff}, /* b .-4 */
    {EM_AARCH64, R_AARCH64_CALL26, 0x94000000, 0x1000, 0x1000 + (1 << 27), 0},
    {EM_AARCH64, R_AARCH64_CALL26, 0x94000000, 0x1000, 0x1002, 0},
    {EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, 0x90000000, 0x1004, 0x3210, 0xd0000000},
    {EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, 0x90000001, 0x5004, 0x1210, 0x90ffffe1},
    {EM_AARCH64, R_AARCH64_ADR_PREL_PG_HI21, 0x90000000, 0, (uint64_t)1 << 32, 0},
    {EM_AARCH64, R_AARCH64_ADR_PREL_LO21, 0x10000000, 0x1000, 0x1005, 0x30000020},
    {EM_AARCH64, R_AARCH64_ADD_ABS_LO12_NC, 0x91000000, 0x1000, 0x3210, 0x91084000},
    {EM_AARCH64, R_AARCH64_LDST8_ABS_LO12_NC, 0x39400000, 0, 0x3211, 0x39484400},
    {EM_AARCH64, R_AARCH64_LDST16_ABS_LO12_NC, 0x79400000, 0, 0x3212, 0x79442400},
    {EM_AARCH64, R_AARCH64_LDST32_ABS_LO12_NC, 0xb9400000, 0, 0x3214, 0xb9421400},
    {EM_AARCH64, R_AARCH64_LDST64_ABS_LO12_NC, 0xf9400000, 0, 0x3218, 0xf9410c00},
    {EM_AARCH64, R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc00000, 0, 0x3220, 0x3dc08800},
    {EM_AARCH64, R_AARCH64_LDST128_ABS_LO12_NC, 0x3dc00000, 0, 0x3228, 0},
    {EM_AARCH64, R_AARCH64_CONDBR19, 0x54000000, 0x1000, 0x1008, 0x54000040},
    {EM_AARCH64, R_AARCH64_TSTBR14, 0x36000000, 0x1000, 0x0ff8, 0x3607ffc0},
    {EM_AARCH64, R_AARCH64_PREL32, 0, 0x1000, 0x1010, 0x10},
    {EM_AARCH64, R_AARCH64_ABS32, 0, 0x1000, 0x1010, 0},
};

START_TEST(words)
{
    const struct reloc *r = &relocs[_i];
    uint32_t w = r->before;
    const char *why = kl_reloc_apply(r->machine, r->type, &w, r->place, r->target);
    if (r->after) {
        ck_assert_msg(!why, "%s", why);
        ck_assert_uint_eq(w, r->after);
    } else {
        ck_assert_ptr_nonnull(why);
        ck_assert_uint_eq(w, r->before);
    }
}
END_TEST

int main(void)
{
    Suite *s = suite_create("loader");
    TCase *tc = tcase_create("loader");
    tcase_add_loop_test(tc, closed_or_refused, 0, (int)KL_COUNT(specs));
#if defined(__x86_64__)
    tcase_add_test(tc, runs_and_is_never_writable);
    tcase_add_test(tc, debuggers_are_told);
    tcase_add_test(tc, out_of_memory);
#endif
    tcase_add_test(tc, null_section);
    tcase_add_test(tc, damage_is_survived);
    tcase_add_loop_test(tc, words, 0, (int)KL_COUNT(relocs));
    suite_add_tcase(s, tc);
    SRunner *r = srunner_create(s);
    srunner_run_all(r, CK_ENV);
    int failed = srunner_ntests_failed(r);
    srunner_free(r);
    return failed != 0;
}
