/* program_pack.c: a plan as bytes, for the store. What is kept is what runs: everything
 * that the text carries, and each kernel's key, by which its code is found; no code, no
 * addresses.
 *
 *   "kilnplan" version payload-size checksum(128)  |  integers (LEB128, zigzag) and
 * strings
 *
 * One description of each struct serves both ways: the field functions below write when
 * the wire has an output and read otherwise, so that the two cannot differ. A reader
 * takes nothing on trust: the checksum goes first, every length is bounded by what is
 * left, and kl_program_verify looks at the result. */
#include "runtime/program_text.h"

enum { HEAD = 40, VERSION = 2 };
static const char magic[8] = {'k', 'i', 'l', 'n', 'p', 'l', 'a', 'n'};

typedef struct wire {
    kl_text *out; /* writing; NULL: reading */
    const uint8_t *p, *end;
    kl_arena *a; /* reading: the program's */
    bool bad;    /* reading: ended early, or too long */
    bool oom;    /* reading: a body found no memory */
    int depth;
} wire;

/* ---- words ---- */

static void put_word(wire *w, uint64_t u)
{
    for (; u > 127; u >>= 7)
        kl_text_putn(w->out, (const char[]){(char)(u | 128)}, 1);
    kl_text_putn(w->out, (const char[]){(char)u}, 1);
}

static uint64_t get_word(wire *w)
{
    uint64_t u = 0;
    for (int shift = 0; shift < 64; shift += 7) {
        if (w->p >= w->end)
            break;
        uint8_t b = *w->p++;
        u |= (uint64_t)(b & 127) << shift;
        if (!(b & 128))
            return u;
    }
    w->bad = true;
    return 0;
}

static void wire_i64(wire *w, int64_t *v)
{
    if (w->out) {
        put_word(w, (uint64_t)*v << 1 ^ (*v < 0 ? UINT64_MAX : 0));
        return;
    }
    uint64_t u = get_word(w);
    *v = (int64_t)(u >> 1 ^ (u & 1 ? UINT64_MAX : 0));
}

static void wire_i32(wire *w, int32_t *v)
{
    int64_t wide = *v;
    wire_i64(w, &wide);
    w->bad = w->bad || wide < INT32_MIN || wide > INT32_MAX;
    *v = w->bad ? 0 : (int32_t)wide;
}

static void wire_u64(wire *w, uint64_t *v)
{
    if (w->out)
        put_word(w, *v);
    else
        *v = get_word(w);
}

static void wire_double(wire *w, double *v)
{
    uint64_t bits;
    memcpy(&bits, v, sizeof bits);
    wire_u64(w, &bits);
    memcpy(v, &bits, sizeof bits);
}

/* The elements of an array of *n, made when reading; NULL: none, or something is wrong.
 */
static void *wire_array(wire *w, const void *items, int32_t *n, size_t size)
{
    wire_i32(w, n);
    if (w->out)
        return (void *)(uintptr_t)items;
    if (*n < 0 || *n > w->end - w->p) /* an element takes at least a byte */
        w->bad = true;
    if (w->bad)
        *n = 0;
    void *made = kl_arena_zeroed(w->a, (size_t)*n + 1, size);
    if (!made)
        *n = 0;
    return made;
}

/* A string, or NULL. */
static void wire_string(wire *w, const char **s)
{
    int32_t n = w->out && *s ? (int32_t)KL_MIN(strlen(*s), INT32_MAX - 1) : -1;
    wire_i32(w, &n);
    if (w->out) {
        if (n > 0)
            kl_text_putn(w->out, *s, (size_t)n);
        return;
    }
    *s = NULL;
    if (n < 0 || n > w->end - w->p) {
        w->bad = w->bad || n != -1;
        return;
    }
    *s = kl_arena_printf(w->a, "%.*s", (int)n, (const char *)w->p);
    w->p += n;
}

/* ---- parts ---- */

static void wire_size(wire *w, kl_size *s)
{
    int64_t *code = wire_array(w, s->code, &s->len, sizeof *code);
    for (int i = 0; code && i < s->len; i++)
        wire_i64(w, &code[i]);
    s->code = code;
}

static const kl_size *wire_sizes(wire *w, const kl_size *s, int32_t *n)
{
    kl_size *items = wire_array(w, s, n, sizeof *items);
    for (int i = 0; items && i < *n; i++)
        wire_size(w, &items[i]);
    return items;
}

static void wire_dtype(wire *w, kl_dtype *dt)
{
    int32_t v = (int32_t)*dt;
    wire_i32(w, &v);
    w->bad = w->bad || v < 0 || v >= KL_DTYPE_COUNT;
    *dt = w->bad ? KL_BOOL : (kl_dtype)v;
}

static void wire_port(wire *w, kl_port *p)
{
    wire_string(w, &p->name);
    wire_dtype(w, &p->dtype);
    p->shape = wire_sizes(w, p->shape, &p->rank);
}

static void wire_slot(wire *w, kl_slot *s)
{
    int32_t kind = (int32_t)s->kind;
    wire_i32(w, &kind);
    w->bad = w->bad || kind < 0 || kind > KL_SLOT_CONST;
    s->kind = w->bad ? KL_SLOT_IN : (kl_slot_kind)kind;
    wire_dtype(w, &s->dtype);
    wire_i32(w, &s->index);
    wire_i32(w, &s->donated);
    wire_size(w, &s->offset);
    wire_size(w, &s->bytes);
    wire_string(w, &s->name);
    s->shape = wire_sizes(w, s->shape, &s->rank);
}

static void wire_phase(wire *w, kl_plan_phase *ph)
{
    wire_size(w, &ph->workers);
    wire_i64(w, &ph->grain);
    wire_i32(w, &ph->group);
    wire_i32(w, &ph->lane);
    wire_size(w, &ph->shared);
}

static void wire_program(wire *w, kl_program *p);

static kl_program *new_body(wire *w)
{
    kl_program *p = ++w->depth > KL_BODY_DEPTH ? NULL : kl_program_new();
    w->oom = w->oom || (!p && w->depth <= KL_BODY_DEPTH);
    w->bad = w->bad || !p;
    return p;
}

static void wire_body(wire *w, kl_program **body)
{
    int32_t there = *body != NULL;
    wire_i32(w, &there);
    if (!there || w->bad)
        return;
    if (!w->out && !(*body = new_body(w)))
        return;
    kl_arena *outer = w->a;
    w->a = (*body)->memory;
    wire_program(w, *body);
    w->oom = w->oom || (!w->out && kl_arena_failed(w->a));
    w->a = outer;
    w->depth--;
}

static void wire_step(wire *w, kl_step *s)
{
    int32_t kind = (int32_t)s->kind;
    wire_i32(w, &kind);
    w->bad = w->bad || kind < 0 || kind > KL_STEP_BRANCH;
    s->kind = w->bad ? KL_STEP_LAUNCH : (kl_step_kind)kind;
    wire_string(w, &s->name);
    wire_string(w, &s->place);
    wire_i32(w, &s->kernel);
    int32_t *slots = wire_array(w, s->slots, &s->nslots, sizeof *slots);
    for (int i = 0; slots && i < s->nslots; i++)
        wire_i32(w, &slots[i]);
    s->slots = slots;
    s->dims = wire_sizes(w, s->dims, &s->ndims);
    kl_plan_phase *ph = wire_array(w, s->phases, &s->nphases, sizeof *ph);
    for (int i = 0; ph && i < s->nphases; i++)
        wire_phase(w, &ph[i]);
    s->phases = ph;
    wire_size(w, &s->scratch);
    wire_string(w, &s->symbol);
    wire_i64(w, &s->value);
    wire_i32(w, &s->ncarry);
    wire_double(w, &s->flops);
    wire_double(w, &s->bytes);
    wire_size(w, &s->trips);
    wire_body(w, &s->body);
    wire_body(w, &s->other);
}

static void wire_symbols(wire *w, kl_program *p)
{
    const char **names = wire_array(w, p->sym_names, &p->nsyms, sizeof *names);
    const int64_t **facts[] = {&p->sym_min, &p->sym_max, &p->sym_div};
    for (int i = 0; names && i < p->nsyms; i++)
        wire_string(w, &names[i]);
    p->sym_names = names;
    for (int f = 0; f < 3; f++) {
        int32_t n = p->nsyms;
        int64_t *v = wire_array(w, *facts[f], &n, sizeof *v);
        w->bad = w->bad || n != p->nsyms;
        for (int i = 0; v && i < n; i++)
            wire_i64(w, &v[i]);
        *facts[f] = v;
    }
}

static void wire_kernels(wire *w, kl_program *p)
{
    kl_kernel_code *k = wire_array(w, p->kernels, &p->nkernels, sizeof *k);
    for (int i = 0; k && i < p->nkernels; i++) {
        wire_string(w, &k[i].name);
        wire_u64(w, &k[i].key.lo);
        wire_u64(w, &k[i].key.hi);
        w->bad = w->bad || !k[i].name;
    }
    p->kernels = k;
}

static void wire_constants(wire *w, kl_program *p)
{
    int32_t n = (int32_t)p->nconstants;
    char *bytes = wire_array(w, p->constants, &n, 1);
    if (w->out && n)
        kl_text_putn(w->out, bytes, (size_t)n);
    if (!w->out && n) {
        memcpy(bytes, w->p, (size_t)n);
        w->p += n;
    }
    p->constants = bytes;
    p->nconstants = (size_t)n;
}

static kl_port *wire_ports(wire *w, const kl_port *ports, int32_t *n)
{
    kl_port *items = wire_array(w, ports, n, sizeof *items);
    for (int i = 0; items && i < *n; i++)
        wire_port(w, &items[i]);
    return items;
}

static void wire_program(wire *w, kl_program *p)
{
    wire_string(w, &p->name);
    wire_i32(w, &p->device);
    wire_symbols(w, p);
    p->in = wire_ports(w, p->in, &p->nin);
    p->out = wire_ports(w, p->out, &p->nout);
    wire_size(w, &p->arena);
    wire_constants(w, p);
    kl_slot *slots = wire_array(w, p->slots, &p->nslots, sizeof *slots);
    for (int i = 0; slots && i < p->nslots; i++)
        wire_slot(w, &slots[i]);
    p->slots = slots;
    wire_kernels(w, p);
    kl_step *steps = wire_array(w, p->steps, &p->nsteps, sizeof *steps);
    p->steps = steps;
    for (int i = 0; steps && i < p->nsteps; i++)
        wire_step(w, &steps[i]);
}

/* ---- the head ---- */

static void put_fixed(uint8_t *at, uint64_t v)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(v >> 8 * i);
}

static uint64_t get_fixed(const uint8_t *at)
{
    uint64_t v = 0;
    for (int i = 0; i < 8; i++)
        v |= (uint64_t)at[i] << 8 * i;
    return v;
}

kl_status kl_program_pack(const kl_program *p, kl_text *out)
{
    uint8_t head[HEAD];
    size_t start = out->len;
    wire w = {.out = out};
    if (p->nconstants > INT32_MAX)
        return kl_fail(KL_ERR_UNSUPPORTED, "plan %s: constants of more than 2 GiB",
                       p->name);
    kl_text_putn(out, (const char *)memset(head, 0, HEAD), HEAD);
    wire_program(&w, (kl_program *)(uintptr_t)p); /* only read from, while writing */
    if (out->failed)
        return kl_fail(KL_ERR_OOM, "out of memory: a plan's bytes");
    size_t size = out->len - start - HEAD;
    kl_hash h = kl_hash_bytes(out->s + start + HEAD, size);
    memcpy(head, magic, sizeof magic);
    put_fixed(head + 8, VERSION);
    put_fixed(head + 16, size);
    put_fixed(head + 24, h.lo);
    put_fixed(head + 32, h.hi);
    memcpy(out->s + start, head, HEAD);
    return KL_OK;
}

static kl_status damaged(const char *why)
{
    return kl_fail(KL_ERR_PARSE, "a plan's bytes: %s", why);
}

static kl_status check_head(const uint8_t *b, size_t size)
{
    if (size < HEAD || memcmp(b, magic, sizeof magic) != 0)
        return damaged("not a plan");
    if (get_fixed(b + 8) != VERSION)
        return damaged("of another version");
    if (get_fixed(b + 16) != size - HEAD)
        return damaged("of another length than its head says");
    kl_hash h = kl_hash_bytes(b + HEAD, size - HEAD);
    if (get_fixed(b + 24) != h.lo || get_fixed(b + 32) != h.hi)
        return damaged("the checksum differs");
    return KL_OK;
}

kl_status kl_program_unpack(const void *bytes, size_t size, kl_program **out)
{
    const uint8_t *b = bytes;
    *out = NULL;
    KL_TRY(check_head(b, size));
    kl_program *p = kl_program_new();
    if (!p)
        return kl_error_status();
    wire w = {.p = b + HEAD, .end = b + size, .a = p->memory};
    wire_program(&w, p);
    kl_status s = KL_OK;
    if (w.oom || kl_arena_failed(p->memory))
        s = kl_fail(KL_ERR_OOM, "out of memory: a plan");
    else if (w.bad || w.p != w.end)
        s = damaged("do not hold a plan");
    if (s == KL_OK)
        s = kl_program_verify(p);
    if (s == KL_OK)
        *out = p;
    else
        kl_program_unref(p);
    return s;
}
