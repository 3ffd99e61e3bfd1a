/* sizes_guess.c: what differs between keys of the same nodes, as formulas over symbols.
 *
 *   32 rows                48 rows                both
 *   input f32[32,10]       input f32[48,10]       input f32[n0,10]
 *   const 32.0             const 48.0             a number given at run time
 *   reshape f32[320]       reshape f32[480]       reshape f32[10*n0]
 *
 * A formula is a guess from the examples seen: whoever uses it checks that the words of
 * another key have the values that it gives. Extents of 0 and 1 are no symbols' values:
 * they broadcast. */
#include "sizes.h"

#define MOST (INT64_C(1) << 31)

/* ---- the words of a key that may vary ---- */

void kl_key_shape_free(kl_key_shape *s)
{
    kl_free(s->skeleton, s->nkey);
    kl_free(s->words, s->cap_words * sizeof *s->words);
    kl_free(s->inputs, s->cap_inputs * sizeof *s->inputs);
    *s = (kl_key_shape){0};
}

static void vary(kl_key_shape *s, size_t at, int n, kl_word_kind kind)
{
    memset(s->skeleton + at, 0, 8 * (size_t)n);
    for (int i = 0; i < n; i++, at += 8) {
        if (!kl_grow(&s->words, s->nwords, &s->cap_words, sizeof *s->words)) {
            s->failed = true;
            return;
        }
        s->words[s->nwords++] = (kl_word){(uint32_t)at, (uint8_t)kind};
    }
}

typedef struct head { /* of a node in a key; see key.c */
    uint16_t op;
    uint8_t dtype, rank;
    uint16_t nsrc, nattr;
} head;

bool kl_op_says_shape(kl_op op)
{
    return op == KL_OP_iota || op == KL_OP_reshape || op == KL_OP_expand ||
           op == KL_OP_slice || op == KL_OP_fold || op == KL_OP_strided;
}

bool kl_op_says_offsets(kl_op op)
{
    return op == KL_OP_pad || op == KL_OP_slice || op == KL_OP_strided ||
           op == KL_OP_update;
}

bool kl_op_rigid(kl_op op)
{
    return kl_ops[op].kind == KL_KIND_CALL || op == KL_OP_function || op == KL_OP_const;
}

/* Whether its sizes are constants for every program: bodies, calls, tables. */
static bool rigid(const head *h)
{
    bool number = h->op == KL_OP_const && h->rank == 0 && h->nattr == 1;
    return !number && (kl_op_rigid((kl_op)h->op) || h->op == KL_OP_pick ||
                       kl_ops[h->op].kind == KL_KIND_CONTROL);
}

/* A convolution along an axis whose extent is a symbol is many times slower: with
 * `windows` set those extents do not vary. Bits of the axes that windows walk along. */
static uint64_t windowed(const kl_key_shape *s, size_t attr, const head *h)
{
    uint64_t axes = 0;
    int64_t m = 0, axis;
    if (!s->windows || (h->op != KL_OP_window && h->op != KL_OP_fold))
        return 0;
    memcpy(&m, s->skeleton + attr, sizeof m);
    for (int64_t i = 0; i < m; i++) {
        memcpy(&axis, s->skeleton + attr + 8 + 32 * (size_t)i, sizeof axis);
        axes |= UINT64_C(1) << axis;
    }
    return axes;
}

static void add_extents(kl_key_shape *s, size_t at, const head *h)
{
    uint64_t fixed = windowed(s, at + 8 * (size_t)h->rank, h);
    for (int i = 0; i < h->rank; i++)
        if (fixed >> i & 1)
            continue;
        else if (kl_op_says_shape((kl_op)h->op))
            vary(s, at + 8 * (size_t)i, 1, KL_EXTENT);
        else
            memset(s->skeleton + at + 8 * (size_t)i, 0, 8);
}

static void add_node(kl_key_shape *s, size_t at, const head *h)
{
    kl_op op = (kl_op)h->op;
    size_t attr = at + 8 * (size_t)h->rank;
    if (op == KL_OP_input) {
        if (!kl_grow(&s->inputs, s->ninputs, &s->cap_inputs, sizeof *s->inputs)) {
            s->failed = true;
            return;
        }
        s->inputs[s->ninputs++] = s->nwords;
        vary(s, at, h->rank, KL_LEAF_EXTENT);
    } else if (op == KL_OP_const && !rigid(h)) {
        vary(s, attr, 1, KL_NUMBER);
    } else if (!rigid(h)) {
        add_extents(s, at, h);
        if (kl_op_says_offsets(op))
            vary(s, attr, h->nattr, KL_OFFSET);
    }
}

static head head_at(const uint8_t *key, size_t at)
{
    head h;
    memcpy(&h, key + at, sizeof h);
    return h;
}

static size_t node_size(const head *h)
{
    return sizeof *h + 8 * (size_t)(h->rank + h->nattr * (h->op != KL_OP_input)) +
           4 * (size_t)(h->op == KL_OP_input ? 0 : h->nsrc);
}

kl_status kl_key_shape_read(const kl_linear *l, bool windows, kl_key_shape *s)
{
    *s = (kl_key_shape){
        .skeleton = kl_alloc(l->nkey), .nkey = l->nkey, .windows = windows};
    s->failed = !s->skeleton;
    if (s->skeleton)
        memcpy(s->skeleton, l->key, l->nkey);
    size_t at = 0;
    for (uint32_t i = 0; i < l->nnodes && !s->failed; i++) {
        head h = head_at(l->key, at);
        add_node(s, at + sizeof h, &h);
        at += node_size(&h);
    }
    if (s->failed)
        kl_key_shape_free(s);
    return s->skeleton ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for a program's key");
}

int64_t kl_word_value(const uint8_t *key, const kl_word *w)
{
    int64_t v;
    memcpy(&v, key + w->at, sizeof v);
    return v;
}

/* ---- guessing ---- */

static int64_t seen(const kl_guess *g, int example)
{
    return g->example[example][g->word];
}

/* Whether the word is that formula of a and b in every example, with this plus. */
static bool is_product(const kl_guess *g, int a, int b, int64_t plus, kl_formula *out)
{
    *out = (kl_formula){.a = (int8_t)a, .b = (int8_t)b, .plus = plus};
    int64_t unit = kl_formula_unit(g->syms[0], out), v = seen(g, 0) - plus;
    if (unit == 0 || v % unit != 0)
        return false;
    out->factor = v / unit;
    for (int i = 1; i < g->nexamples; i++)
        if (out->factor * kl_formula_unit(g->syms[i], out) + plus != seen(g, i))
            return false;
    return true;
}

/* factor * a + plus through the first two examples that differ in a. */
static bool is_line(const kl_guess *g, int a, kl_formula *out)
{
    for (int i = 1; i < g->nexamples; i++) {
        int64_t dx = g->syms[i][a] - g->syms[0][a], dy = seen(g, i) - seen(g, 0);
        if (dx && dy % dx == 0)
            return is_product(g, a, -1, seen(g, 0) - dy / dx * g->syms[0][a], out);
    }
    return false;
}

/* In order of likelihood: a symbol, a multiple, a product, a line. */
static bool find_formula(const kl_guess *g, bool whole, kl_formula *out)
{
    int n = g->nsyms;
    for (int a = 0; a < n; a++)
        if (is_product(g, a, -1, 0, out) && out->factor == 1)
            return true;
    for (int a = 0; a < n && !whole; a++)
        if (is_product(g, a, -1, 0, out))
            return true;
    for (int a = 0; a < n && !whole; a++)
        for (int b = a; b < n; b++)
            if (is_product(g, a, b, 0, out))
                return true;
    for (int a = 0; a < n && !whole; a++)
        if (is_line(g, a, out))
            return true;
    return false;
}

/* A new symbol with the bounds inside which programs are alike. */
static bool new_symbol(kl_guess *g, bool extent, kl_formula *out)
{
    int s = g->nsyms;
    int64_t min = extent ? 2 : 0, max = KL_BLOCK; /* sums of one block are simpler */
    if (s == KL_SIZE_SYMBOLS)
        return false;
    for (int i = 0; i < g->nexamples; i++) {
        int64_t x = g->syms[i][s] = seen(g, i);
        if (x < min || x > MOST)
            return false;
        max = x > max ? MOST : max;
    }
    g->min[s] = min;
    g->max[s] = max;
    g->nsyms++;
    *out = (kl_formula){.factor = 1, .a = (int8_t)s, .b = -1, .defines = 1};
    return true;
}

static bool guess_word(kl_guess *g)
{
    kl_formula *out = &g->out[g->word];
    const kl_word *w = &g->shape->words[g->word];
    bool same = true, negative = false;
    for (int i = 0; i < g->nexamples; i++) {
        same &= seen(g, i) == seen(g, 0);
        negative |= seen(g, i) < 0;
    }
    *out = (kl_formula){.plus = seen(g, 0), .a = -1, .b = -1};
    if (same)
        return true;
    if (w->kind == KL_NUMBER) {
        *out = (kl_formula){.factor = g->ngiven++, .a = -1, .b = -1, .given = 1};
        return true;
    }
    if (negative) /* a stride turned round */
        return false;
    bool whole = w->kind == KL_LEAF_EXTENT && !g->leaves;
    return find_formula(g, whole, out) || new_symbol(g, w->kind != KL_OFFSET, out);
}

bool kl_guess_all(kl_guess *g)
{
    for (g->word = 0; g->word < g->shape->nwords; g->word++)
        if (!guess_word(g))
            return false;
    return true;
}

/* ---- formulas as a graph's extents ---- */

static kl_dim dim_of(kl_dims *d, const kl_formula *w, const kl_dim *sym)
{
    kl_dim x = kl_dim_const(d, w->factor);
    if (w->a >= 0)
        x = kl_dim_mul(d, x, sym[w->a]);
    if (w->b >= 0)
        x = kl_dim_mul(d, x, sym[w->b]);
    return kl_dim_add(d, x, kl_dim_const(d, w->plus));
}

kl_status kl_guess_substitute(const kl_guess *g, kl_arena *a, kl_substitution *out)
{
    kl_dim sym[KL_SIZE_SYMBOLS];
    char name[16];
    *out = (kl_substitution){.dims = kl_dims_new(a)};
    out->word = kl_arena_alloc(a, g->shape->nwords * sizeof *out->word + 1);
    if (!out->dims || !out->word)
        return kl_fail(KL_ERR_OOM, "out of memory for symbols");
    for (int i = 0; i < g->nsyms; i++) {
        snprintf(name, sizeof name, "n%d", i);
        sym[i] = kl_dim_sym(out->dims, name);
        if (sym[i] == KL_DIM_BAD)
            return kl_fail(KL_ERR_OOM, "out of memory for a symbol");
        kl_dim_sym_bound(out->dims, sym[i], g->min[i], g->max[i], 1);
    }
    for (uint32_t i = 0; i < g->shape->nwords; i++) {
        const kl_formula *w = &g->out[i];
        if (w->a < 0 && !w->given)
            continue;
        kl_dim x = w->given ? 0 : dim_of(out->dims, w, sym);
        if (x == KL_DIM_BAD)
            return KL_ERR_UNSUPPORTED; /* beyond what symbols express */
        out->word[out->n++] =
            (kl_substitute){.at = g->shape->words[i].at, .given = w->given, .dim = x};
    }
    return KL_OK;
}
