/* artefact_size.c: how much scratch a call of an artefact needs, as postfix code: the
 * same code is evaluated here, for the largest dimensions, and built into the artefact.
 *
 *   [ arena of the program, bodies of loops within | tiles, a share a worker ]
 *     <------------------ fixed ------------------>  <--- tile * workers ---->
 *
 * Every part begins at a multiple of 64. */
#include "codegen/codegen.h"

kl_size kl_size_const(kl_arena *into, int64_t v)
{
    int64_t *code = kl_arena_alloc(into, sizeof *code);
    if (!code)
        return (kl_size){NULL, 0};
    *code = v;
    return (kl_size){code, 1};
}

static bool is_const(kl_size s, int64_t *v)
{
    if (s.len != 1 || s.code[0] < 0)
        return false;
    *v = s.code[0];
    return true;
}

static int64_t fold(int op, int64_t x, int64_t y)
{
    const int64_t code[] = {x, y, op};
    return kl_size_eval((kl_size){code, 3}, NULL);
}

kl_size kl_size_op(kl_arena *into, int op, kl_size a, kl_size b)
{
    int64_t x, y;
    if (a.len < 1 || b.len < 1)
        return (kl_size){NULL, 0};
    if (is_const(a, &x) && is_const(b, &y))
        return kl_size_const(into, fold(op, x, y));
    if (is_const(b, &y) && y == 0 && (op == KL_SIZE_ADD || op == KL_SIZE_MAX))
        return a; /* sizes of memory are not negative */
    if (is_const(a, &x) && x == 0 && (op == KL_SIZE_ADD || op == KL_SIZE_MAX))
        return b;
    int64_t *code =
        kl_arena_alloc(into, ((size_t)a.len + (size_t)b.len + 1) * sizeof *code);
    if (!code)
        return (kl_size){NULL, 0};
    memcpy(code, a.code, (size_t)a.len * sizeof *code);
    memcpy(code + a.len, b.code, (size_t)b.len * sizeof *code);
    code[a.len + b.len] = op;
    return (kl_size){code, a.len + b.len + 1};
}

static kl_size aligned(kl_arena *a, kl_size s)
{
    kl_size by = kl_size_const(a, KL_ARTEFACT_ALIGN);
    s = kl_size_op(a, KL_SIZE_ADD, s, kl_size_const(a, KL_ARTEFACT_ALIGN - 1));
    return kl_size_op(a, KL_SIZE_MUL, kl_size_op(a, KL_SIZE_DIV, s, by), by);
}

static kl_size most_tiles(const kl_program *p, kl_arena *a, kl_size tile)
{
    for (int i = 0; i < p->nsteps; i++) {
        const kl_step *s = &p->steps[i];
        if (s->kind == KL_STEP_LAUNCH)
            tile = kl_size_op(a, KL_SIZE_MAX, tile, aligned(a, s->scratch));
        if (s->body)
            tile = most_tiles(s->body, a, tile);
        if (s->other)
            tile = most_tiles(s->other, a, tile);
    }
    return tile;
}

/* The most of any level: what a caller is told does not depend on the machine. */
kl_artefact_scratch kl_artefact_scratch_of(const kl_artefact *art, kl_arena *a)
{
    kl_artefact_scratch y = {kl_size_const(a, 0), kl_size_const(a, 0)};
    for (int i = 0; i < art->nlevels; i++) {
        const kl_program *p = art->level[i].program;
        y.fixed = kl_size_op(a, KL_SIZE_MAX, y.fixed, aligned(a, p->arena));
        y.tile = most_tiles(p, a, y.tile);
    }
    return y;
}

/* About how much, where int64 may not hold it. */
static double estimate(kl_size s, const int64_t *syms)
{
    double st[KL_SIZE_DEPTH];
    int n = 0;
    for (int i = 0; i < s.len; i++) {
        int64_t c = s.code[i];
        double b = n ? st[n - 1] : 0, a = n > 1 ? st[n - 2] : 0;
        if (c >= 0 || c < KL_SIZE_NEG) {
            st[n++] = (double)(c >= 0 ? c : syms[c - KL_SIZE_SYM]);
            continue;
        }
        n -= c != KL_SIZE_NEG;
        st[n - 1] = c == KL_SIZE_ADD   ? a + b
                    : c == KL_SIZE_MUL ? a * b
                    : c == KL_SIZE_DIV ? (b == 0 ? 0 : a / b)
                    : c == KL_SIZE_MOD ? b
                    : c == KL_SIZE_MAX ? KL_MAX(a, b)
                    : c == KL_SIZE_MIN ? KL_MIN(a, b)
                                       : -b;
    }
    return n ? st[n - 1] : 0;
}

int64_t kl_artefact_scratch_max(const kl_program *p, kl_artefact_scratch s,
                                int64_t workers)
{
    const double most = 0x1p60;
    double about =
        estimate(s.fixed, p->sym_max) + estimate(s.tile, p->sym_max) * (double)workers;
    if (!(about >= 0 && about < most))
        return -1;
    return kl_size_eval(s.fixed, p->sym_max) + kl_size_eval(s.tile, p->sym_max) * workers;
}

bool kl_artefact_is_vast(int64_t most)
{
    return most < 0 || most > KL_ARTEFACT_STATIC_MOST;
}

int kl_program_donated(const kl_program *p, int out)
{
    for (int i = 0; i < p->nslots; i++)
        if (p->slots[i].kind == KL_SLOT_OUT && p->slots[i].index == out)
            return p->slots[i].donated - 1;
    return -1;
}

kl_status kl_artefact_weights(const kl_buffer *in, int n, int64_t *weight, kl_text *out)
{
    char head[KL_WEIGHTS_HEAD] = "kilnwts1";
    static const char zeros[KL_ARTEFACT_ALIGN];
    size_t start = out->len;
    kl_text_putn(out, head, sizeof head);
    for (int i = 0; i < n; i++) {
        weight[i] = -1;
        if (!in[i].mem)
            continue;
        int64_t lo, hi;
        kl_buffer_extent(&in[i], &lo, &hi);
        weight[i] = (int64_t)(out->len - start);
        kl_text_putn(out, kl_buffer_data(&in[i]), (size_t)(hi - lo));
        kl_text_putn(out, zeros, (size_t)(-(hi - lo) & (KL_ARTEFACT_ALIGN - 1)));
    }
    if (out->failed)
        return kl_fail(KL_ERR_OOM, "out of memory: weights");
    uint64_t size = out->len - start;
    kl_hash h = kl_hash_bytes(out->s + start + sizeof head, size - sizeof head);
    uint64_t words[] = {size, h.lo, h.hi};
    for (int i = 0; i < 24; i++)
        head[8 + i] = (char)(words[i / 8] >> i % 8 * 8);
    memcpy(out->s + start, head, sizeof head);
    return KL_OK;
}
