/* loader_reloc.c: relocations as a table.
 *
 * A relocation puts some bits of an address into some bits of a little-endian word. Only
 * what a closed object needs is here: distances between two places in one image, and the
 * low 12 bits that follow an aarch64 ADRP (pages keep their low bits wherever they are
 * mapped). All else, be it absolute, through a GOT or thread-local, is refused by name:
 *
 *   PC     target - place                     call, jump, x86-64's rip-relative operand
 *   PAGE   page(target) - page(place)         adrp
 *   LO12   target & 0xfff                     the add, load or store after it */
#include "runtime.h"

#include <elf.h>

typedef enum kind { REFUSED, PC, PAGE, LO12 } kind;
typedef struct row {
    uint16_t machine, type;
    const char *name;
    kind kind;
    uint8_t bytes;  /* of the word */
    uint8_t shift;  /* low bits of the value that are not stored (and must be 0) */
    uint8_t at;     /* lowest bit of the field */
    uint8_t bits;   /* the field's width */
    bool unchecked; /* the value may overflow the field */
    bool split;     /* ADR's field: two low bits at 29, the rest at 5 */
} row;

static const row rows[] = {
#define X(t) .machine = EM_X86_64, .type = R_X86_64_##t, .name = "R_X86_64_" #t
#define A(t) .machine = EM_AARCH64, .type = R_AARCH64_##t, .name = "R_AARCH64_" #t
    {X(PC32), .kind = PC, .bytes = 4, .bits = 32},
    {X(PLT32), .kind = PC, .bytes = 4, .bits = 32},
    {X(PC64), .kind = PC, .bytes = 8, .bits = 64},
    {X(64), .kind = REFUSED},
    {X(32), .kind = REFUSED},
    {X(32S), .kind = REFUSED},
    {X(GOTPCREL), .kind = REFUSED},
    {X(GOTPCRELX), .kind = REFUSED},
    {X(REX_GOTPCRELX), .kind = REFUSED},
    {X(GOT32), .kind = REFUSED},
    {X(GOTOFF64), .kind = REFUSED},
    {X(GOTPC32), .kind = REFUSED},
    {X(TLSGD), .kind = REFUSED},
    {X(TLSLD), .kind = REFUSED},
    {X(GOTTPOFF), .kind = REFUSED},
    {X(TPOFF32), .kind = REFUSED},
    {A(PREL64), .kind = PC, .bytes = 8, .bits = 64},
    {A(PREL32), .kind = PC, .bytes = 4, .bits = 32},
    {A(LD_PREL_LO19), .kind = PC, .bytes = 4, .shift = 2, .at = 5, .bits = 19},
    {A(CONDBR19), .kind = PC, .bytes = 4, .shift = 2, .at = 5, .bits = 19},
    {A(TSTBR14), .kind = PC, .bytes = 4, .shift = 2, .at = 5, .bits = 14},
    {A(JUMP26), .kind = PC, .bytes = 4, .shift = 2, .bits = 26},
    {A(CALL26), .kind = PC, .bytes = 4, .shift = 2, .bits = 26},
    {A(ADR_PREL_LO21), .kind = PC, .bytes = 4, .bits = 21, .split = true},
    {A(ADR_PREL_PG_HI21), .kind = PAGE, .bytes = 4, .shift = 12, .bits = 21,
     .split = true},
    {A(ADR_PREL_PG_HI21_NC), .kind = PAGE, .bytes = 4, .shift = 12, .bits = 21,
     .split = true, .unchecked = true},
    {A(ADD_ABS_LO12_NC), .kind = LO12, .bytes = 4, .at = 10, .bits = 12},
    {A(LDST8_ABS_LO12_NC), .kind = LO12, .bytes = 4, .at = 10, .bits = 12},
    {A(LDST16_ABS_LO12_NC), .kind = LO12, .bytes = 4, .shift = 1, .at = 10, .bits = 11},
    {A(LDST32_ABS_LO12_NC), .kind = LO12, .bytes = 4, .shift = 2, .at = 10, .bits = 10},
    {A(LDST64_ABS_LO12_NC), .kind = LO12, .bytes = 4, .shift = 3, .at = 10, .bits = 9},
    {A(LDST128_ABS_LO12_NC), .kind = LO12, .bytes = 4, .shift = 4, .at = 10, .bits = 8},
    {A(ABS64), .kind = REFUSED},
    {A(ABS32), .kind = REFUSED},
    {A(ADR_GOT_PAGE), .kind = REFUSED},
    {A(LD64_GOT_LO12_NC), .kind = REFUSED},
#undef X
#undef A
};

static const row *find(int machine, uint32_t type)
{
    for (size_t i = 0; i < KL_COUNT(rows); i++)
        if (rows[i].machine == machine && rows[i].type == type)
            return &rows[i];
    return NULL;
}

const char *kl_reloc_why_not(int machine, uint32_t type)
{
    const row *r = find(machine, type);
    return !r ? "a relocation of an unknown type" : r->kind == REFUSED ? r->name : NULL;
}

int kl_reloc_bytes(int machine, uint32_t type)
{
    const row *r = find(machine, type);
    return r ? r->bytes : 0;
}

static int64_t value_of(const row *r, uint64_t place, uint64_t target)
{
    const uint64_t page = ~(uint64_t)0xfff;
    switch (r->kind) {
    case PC:
        return (int64_t)(target - place);
    case PAGE:
        return (int64_t)((target & page) - (place & page));
    case LO12:
        return (int64_t)(target & 0xfff);
    case REFUSED:
        break;
    }
    return 0;
}

static uint64_t low_bits(int n)
{
    return n >= 64 ? ~(uint64_t)0 : ((uint64_t)1 << n) - 1;
}

/* Whether v, an exact multiple of 1 << shift, fits the field: LO12 as unsigned, else
 * signed. */
static bool fits(const row *r, int64_t v)
{
    if (v & (int64_t)low_bits(r->shift))
        return false;
    if (r->bits == 64 || r->unchecked || r->kind == LO12)
        return true;
    int64_t limit = (int64_t)1 << (r->bits + r->shift - 1);
    return v >= -limit && v < limit;
}

const char *kl_reloc_apply(int machine, uint32_t type, void *field, uint64_t place,
                           uint64_t target)
{
    const row *r = find(machine, type);
    if (!r || r->kind == REFUSED)
        return kl_reloc_why_not(machine, type);
    int64_t v = value_of(r, place, target + 4 * KL_PLANTED(reloc_addend));
    if (!fits(r, v) && !KL_PLANTED(reloc_range))
        return "out of range or misaligned";
    uint64_t word = 0, bits = (uint64_t)v >> r->shift & low_bits(r->bits);
    memcpy(&word, field, r->bytes);
    if (r->split)
        word = (word & ~((low_bits(19) << 5) | (low_bits(2) << 29))) | (bits & 3) << 29 |
               (bits >> 2) << 5;
    else
        word = (word & ~(low_bits(r->bits) << r->at)) | bits << r->at;
    memcpy(field, &word, r->bytes);
    return NULL;
}
