/* math_run.c: runs a tape of math.c over arrays, some elements at a time, each line by
 * kl_eval_n: the interpreter's and the constant folder's exp, log, sin, ... f16 and bf16
 * are widened to f32, and the result is rounded. */
#include "ir/math.h"

enum { CHUNK = 64, PLACES = 160 };

typedef struct bench { /* one place holds CHUNK elements of any dtype */
    _Alignas(64) char place[PLACES][CHUNK * 8];
} bench;

static void fill_constants(const kl_math_tape *t, bench *w, int64_t n)
{
    for (int i = 0; i < t->count; i++) {
        const kl_math_line *l = &t->line[i];
        size_t size = kl_dtypes[l->to].size;
        for (int64_t k = 0; l->op == KL_OP_const && k < n; k++)
            memcpy(w->place[l->place] + (size_t)k * size, &l->imm, size);
    }
}

static const void *value(const kl_math_tape *t, const bench *w, int line,
                         const void *const *in)
{
    const kl_math_line *l = &t->line[line];
    return l->op == KL_OP_input ? in[l->imm] : w->place[l->place];
}

/* NULL where the line has no such operand: then it is not read either. */
static const void *operand(const kl_math_tape *t, const bench *w, const kl_math_line *l,
                           int i, const void *const *in)
{
    return i < kl_ops[l->op].arity ? value(t, w, l->src[i], in) : NULL;
}

static void run_chunk(const kl_math_tape *t, bench *w, int64_t n, void *y,
                      const void *const *in)
{
    for (int i = 0; i < t->count; i++) {
        const kl_math_line *l = &t->line[i];
        if (l->op == KL_OP_const || l->op == KL_OP_input)
            continue;
        const void *a = value(t, w, l->src[0], in);
        if (l->op == KL_OP_bitcast)
            memcpy(w->place[l->place], a, (size_t)n * kl_dtypes[l->to].size);
        else if (l->op == KL_OP_cast)
            kl_eval_cast_n((kl_dtype)l->to, (kl_dtype)l->from, n, w->place[l->place], a);
        else
            kl_eval_n((kl_op)l->op, (kl_dtype)l->from, n, w->place[l->place], a,
                      operand(t, w, l, 1, in), operand(t, w, l, 2, in));
    }
    memcpy(y, value(t, w, t->count - 1, in), (size_t)n * kl_dtypes[t->line[0].to].size);
}

static void run(const kl_math_tape *t, kl_dtype dt, int64_t n, char *y, const char *a,
                const char *b, const char *c)
{
    bench w;
    size_t size = kl_dtypes[dt].size;
    KL_ASSERT(t->places <= PLACES);
    fill_constants(t, &w, KL_MIN(n, CHUNK));
    for (int64_t i = 0; i < n; i += CHUNK) {
        size_t at = (size_t)i * size;
        const void *in[3] = {a + at, b ? b + at : a + at, c ? c + at : a + at};
        run_chunk(t, &w, KL_MIN(n - i, CHUNK), y + at, in);
    }
}

static void run_half(const kl_math_tape *t, kl_dtype dt, int64_t n, uint16_t *y,
                     const uint16_t *a, const uint16_t *b)
{
    float wide[3][CHUNK];
    for (int64_t i = 0; i < n; i += CHUNK) {
        int64_t c = KL_MIN(n - i, CHUNK);
        kl_eval_cast_n(KL_F32, dt, c, wide[0], a + i);
        kl_eval_cast_n(KL_F32, dt, c, wide[1], (b ? b : a) + i);
        run(t, KL_F32, c, (char *)wide[2], (char *)wide[0], (char *)wide[1], NULL);
        kl_eval_cast_n(dt, KL_F32, c, y + i, wide[2]);
    }
}

bool kl_math_eval_n(kl_op op, kl_dtype dt, int64_t n, void *y, const void *a,
                    const void *b, const void *c)
{
    bool half = dt == KL_F16 || dt == KL_BF16;
    const kl_math_tape *t = kl_math_tape_of(op, half ? KL_F32 : dt);
    if (!t)
        return false;
    if (half)
        run_half(t, dt, n, y, a, b);
    else
        run(t, dt, n, y, a, b, c);
    return true;
}
