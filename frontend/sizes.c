/* sizes.c: one program for many sizes. Programs of the same nodes that differ only in sizes
 * and numbers are a family. When a second one is asked for, what differs between their keys
 * becomes symbols, and one program is made that serves all the sizes that follow.
 *
 *   32 rows                48 rows                both                     then 50 rows:
 *   input f32[32,10]       input f32[48,10]       input f32[n0,10]         n0 is 50,
 *   const 32.0             const 48.0             number 0                 number 0 is 50.0
 *   reshape f32[320]       reshape f32[480]       reshape f32[10*n0]       500? yes: it fits
 *
 * What a word is in terms of symbols is a guess from the examples seen; but a program is used
 * only where every word that it depends on has the value that the guess gives (`fits`), so
 * that it computes exactly what the key says. A guess that fails is made again with one more
 * example. Extents of 0 and 1 are no symbols' values: they broadcast. */
#include "front.h"
#include "sizes.h"

enum {
    EXAMPLES = 3,  /* of a family, that guesses are made from */
    VARIANTS = 4,  /* programs of a family, the newest */
    SYMBOLS = 16,  /* of a program */
    FAMILIES = 512,
    PATIENCE = 3,  /* guesses that led to no program, before a family is left alone */
    NARROW = 4,    /* a contraction of fewer rows or columns is added up in another order */
};
#define MOST (INT64_C(1) << 31)

/* ---- the words of a key that may vary ---- */

typedef enum word_kind { EXTENT, LEAF_EXTENT, OFFSET, NUMBER } word_kind;
typedef struct word {
    uint32_t at; /* byte of the key */
    uint8_t kind;
} word;
typedef struct shape_of_key { /* what the keys of a family share */
    uint8_t *skeleton;        /* the key, those words and what follows from them being 0 */
    size_t nkey;
    word *words;
    uint32_t nwords, cap_words;
    uint32_t *inputs; /* words before each input node: its place among the numbers */
    uint32_t ninputs, cap_inputs;
    bool failed;
} shape_of_key;

static void free_shape(shape_of_key *s)
{
    kl_free(s->skeleton, s->nkey);
    kl_free(s->words, s->cap_words * sizeof *s->words);
    kl_free(s->inputs, s->cap_inputs * sizeof *s->inputs);
    *s = (shape_of_key){0};
}

/* Room for one more; false: out of memory. */
static bool grow(void *array, uint32_t n, uint32_t *cap, size_t size)
{
    void **p = array;
    if (n < *cap)
        return true;
    uint32_t more = *cap ? 2 * *cap : 32;
    void *q = kl_realloc(*p, *cap * size, more * size);
    if (!q)
        return false;
    *p = q;
    *cap = more;
    return true;
}

static void vary(shape_of_key *s, size_t at, int n, word_kind kind)
{
    memset(s->skeleton + at, 0, 8 * (size_t)n);
    for (int i = 0; i < n; i++, at += 8) {
        if (!grow(&s->words, s->nwords, &s->cap_words, sizeof *s->words)) {
            s->failed = true;
            return;
        }
        s->words[s->nwords++] = (word){(uint32_t)at, (uint8_t)kind};
    }
}

typedef struct head { /* of a node in a key; see key.c */
    uint16_t op;
    uint8_t dtype, rank;
    uint16_t nsrc, nattr;
} head;

/* Whether a node's shape is its own to say; otherwise it follows from its operands. */
static bool says_shape(kl_op op)
{
    return op == KL_OP_iota || op == KL_OP_reshape || op == KL_OP_expand ||
           op == KL_OP_slice || op == KL_OP_fold || op == KL_OP_strided;
}

/* Whether its sizes are constants for every program: bodies, calls, tables. */
static bool rigid(const head *h)
{
    kl_kind k = kl_ops[h->op].kind;
    return k == KL_KIND_CONTROL || k == KL_KIND_CALL || k == KL_KIND_FUNC ||
           (h->op == KL_OP_const && (h->rank > 0 || h->nattr > 1));
}

static void add_node(shape_of_key *s, size_t at, const head *h)
{
    kl_op op = (kl_op)h->op;
    size_t attr = at + 8 * (size_t)h->rank;
    if (op == KL_OP_input) {
        if (!grow(&s->inputs, s->ninputs, &s->cap_inputs, sizeof *s->inputs)) {
            s->failed = true;
            return;
        }
        s->inputs[s->ninputs++] = s->nwords;
        vary(s, at, h->rank, LEAF_EXTENT);
    } else if (op == KL_OP_const && !rigid(h)) {
        vary(s, attr, 1, NUMBER);
    } else if (!rigid(h)) {
        if (says_shape(op))
            vary(s, at, h->rank, EXTENT);
        else
            memset(s->skeleton + at, 0, 8 * (size_t)h->rank);
        if (op == KL_OP_pad || op == KL_OP_slice || op == KL_OP_strided ||
            op == KL_OP_update)
            vary(s, attr, h->nattr, OFFSET);
    }
}

static kl_status read_shape(const kl_linear *l, shape_of_key *s)
{
    *s = (shape_of_key){.skeleton = kl_alloc(l->nkey), .nkey = l->nkey};
    s->failed = !s->skeleton;
    if (s->skeleton)
        memcpy(s->skeleton, l->key, l->nkey);
    size_t at = 0;
    for (uint32_t i = 0; i < l->nnodes && !s->failed; i++) {
        head h;
        memcpy(&h, l->key + at, sizeof h);
        add_node(s, at + sizeof h, &h);
        at += sizeof h + 8 * (size_t)(h.rank + h.nattr) +
              4 * (size_t)(h.op == KL_OP_input ? 0 : h.nsrc);
    }
    if (s->failed)
        free_shape(s);
    return s->nkey ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory for a program's key");
}

static int64_t value_at(const uint8_t *key, const word *w)
{
    int64_t v;
    memcpy(&v, key + w->at, sizeof v);
    return v;
}

/* ---- families ---- */

/* A word as factor * symbol[a] * symbol[b] + plus; no symbol: 1. */
typedef struct formula {
    int64_t factor, plus;
    int8_t a, b;
    uint8_t defines; /* the first word that is symbol a */
    uint8_t number;  /* or: number `factor` of those given at run time */
} formula;
typedef struct variant {
    kl_program *program;
    formula *word;
    int64_t compile_ns, min[SYMBOLS], max[SYMBOLS];
    int32_t *ports; /* of the program: an input's number, or ~ that of a number */
    uint32_t nports, nnumbers;
    int nsyms;
    bool leaves; /* extents of inputs may be formulas too, not only symbols */
} variant;
typedef struct family family;
struct family {
    family *next;
    kl_hash hash;
    shape_of_key shape;
    int64_t *example[EXAMPLES]; /* values of the words, the newest first */
    int nexamples, nvariants, patience;
    variant *variants[VARIANTS];
    uint64_t used;
    int device;
    bool busy; /* a thread is making a variant */
};
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static family *table[FAMILIES];
static int count;
static uint64_t clock_;

static void free_variant(variant *v, uint32_t nwords)
{
    if (!v)
        return;
    kl_program_unref(v->program);
    kl_free(v->word, nwords * sizeof *v->word + 1);
    kl_free(v->ports, v->nports * sizeof *v->ports + 1);
    kl_free(v, sizeof *v);
}

static void free_family(family *f)
{
    for (int i = 0; i < f->nexamples; i++)
        kl_free(f->example[i], f->shape.nwords * sizeof(int64_t) + 1);
    for (int i = 0; i < f->nvariants; i++)
        free_variant(f->variants[i], f->shape.nwords);
    free_shape(&f->shape);
    kl_free(f, sizeof *f);
}

void kl_sizes_clear(void)
{
    pthread_mutex_lock(&lock);
    for (int b = 0; b < FAMILIES; b++)
        for (family **at = &table[b], *f; (f = *at);) {
            if (f->busy) {
                at = &f->next;
                continue;
            }
            *at = f->next;
            free_family(f);
            count--;
        }
    pthread_mutex_unlock(&lock);
}

/* Under the lock. */
static void drop_oldest(void)
{
    family **oldest = NULL;
    for (int b = 0; b < FAMILIES; b++)
        for (family **at = &table[b]; *at; at = &(*at)->next)
            if (!(*at)->busy && (!oldest || (*at)->used < (*oldest)->used))
                oldest = at;
    if (!oldest)
        return;
    family *f = *oldest;
    *oldest = f->next;
    free_family(f);
    count--;
}

/* Under the lock: that of s, which it takes over; NULL: out of memory. */
static family *family_of(shape_of_key *s, int device)
{
    kl_hash h = kl_hash_bytes(s->skeleton, s->nkey);
    family **at = &table[h.lo % FAMILIES], *f = *at;
    while (f && (f->hash.lo != h.lo || f->hash.hi != h.hi || f->device != device ||
                 f->shape.nkey != s->nkey ||
                 memcmp(f->shape.skeleton, s->skeleton, s->nkey) != 0))
        f = f->next;
    if (!f) {
        if (count >= FAMILIES)
            drop_oldest();
        f = kl_alloc_zeroed(sizeof *f);
        if (!f)
            return NULL;
        *f = (family){.next = *at, .hash = h, .shape = *s, .device = device};
        *s = (shape_of_key){0};
        *at = f;
        count++;
    }
    f->used = ++clock_;
    return f;
}

static void add_example(family *f, const uint8_t *key)
{
    size_t size = f->shape.nwords * sizeof(int64_t) + 1;
    int64_t *v = kl_alloc(size);
    if (!v)
        return;
    for (uint32_t i = 0; i < f->shape.nwords; i++)
        v[i] = value_at(key, &f->shape.words[i]);
    if (f->nexamples == EXAMPLES)
        kl_free(f->example[--f->nexamples], size);
    memmove(f->example + 1, f->example, (size_t)f->nexamples * sizeof *f->example);
    f->example[0] = v;
    f->nexamples++;
}

/* ---- guessing formulas ---- */

static int64_t factor_of(const int64_t *syms, const formula *f)
{
    return (f->a < 0 ? 1 : syms[f->a]) * (f->b < 0 ? 1 : syms[f->b]);
}

typedef struct guess {
    const family *f;
    variant *v;
    int64_t syms[EXAMPLES][SYMBOLS];
    uint32_t word;
} guess;

static int64_t seen(const guess *g, int example)
{
    return g->f->example[example][g->word];
}

/* Whether the word is that formula of a and b in every example, with this plus. */
static bool is_product(const guess *g, int a, int b, int64_t plus, formula *out)
{
    *out = (formula){.a = (int8_t)a, .b = (int8_t)b, .plus = plus};
    int64_t unit = factor_of(g->syms[0], out), v = seen(g, 0) - plus;
    if (unit == 0 || v % unit != 0)
        return false;
    out->factor = v / unit;
    for (int i = 1; i < g->f->nexamples; i++)
        if (out->factor * factor_of(g->syms[i], out) + plus != seen(g, i))
            return false;
    return true;
}

/* factor * a + plus through the first two examples that differ in a. */
static bool is_line(const guess *g, int a, formula *out)
{
    for (int i = 1; i < g->f->nexamples; i++) {
        int64_t dx = g->syms[i][a] - g->syms[0][a], dy = seen(g, i) - seen(g, 0);
        if (dx && dy % dx == 0)
            return is_product(g, a, -1, seen(g, 0) - dy / dx * g->syms[0][a], out);
    }
    return false;
}

/* In order of likelihood: a symbol, a multiple, a product, a line. */
static bool find_formula(const guess *g, bool whole, formula *out)
{
    int n = g->v->nsyms;
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
static bool new_symbol(guess *g, bool extent, formula *out)
{
    variant *v = g->v;
    int s = v->nsyms, n = g->f->nexamples;
    int64_t min = extent ? 2 : 0, max = MOST;
    bool wide = true, narrow = true;
    if (s == SYMBOLS)
        return false;
    for (int i = 0; i < n; i++) {
        int64_t x = g->syms[i][s] = seen(g, i);
        if (x < min || x > max)
            return false;
        wide &= x >= NARROW;
        narrow &= x < NARROW;
    }
    v->min[s] = extent && wide ? NARROW : min;
    v->max[s] = extent && narrow ? NARROW - 1 : max;
    v->nsyms++;
    *out = (formula){.factor = 1, .a = (int8_t)s, .b = -1, .defines = 1};
    return true;
}

static bool guess_word(guess *g)
{
    formula *out = &g->v->word[g->word];
    word_kind kind = g->f->shape.words[g->word].kind;
    bool same = true, negative = false;
    for (int i = 0; i < g->f->nexamples; i++) {
        same &= seen(g, i) == seen(g, 0);
        negative |= seen(g, i) < 0;
    }
    *out = (formula){.plus = seen(g, 0), .a = -1, .b = -1};
    if (same)
        return true;
    if (kind == NUMBER) {
        *out = (formula){.factor = g->v->nnumbers++, .a = -1, .b = -1, .number = 1};
        return true;
    }
    if (negative) /* a stride turned round */
        return false;
    bool whole = kind == LEAF_EXTENT && !g->v->leaves;
    return find_formula(g, whole, out) || new_symbol(g, kind != OFFSET, out);
}

/* Formulas for all words; false: there are none. */
static bool guess_all(const family *f, variant *v)
{
    guess g = {.f = f, .v = v};
    for (; g.word < f->shape.nwords; g.word++)
        if (!guess_word(&g))
            return false;
    return v->nsyms + (int)v->nnumbers > 0;
}

/* Whether the program of v computes what the key says; with which symbols. */
static bool fits(const family *f, const variant *v, const uint8_t *key, int64_t *syms)
{
    for (uint32_t i = 0; i < f->shape.nwords; i++) {
        const formula *w = &v->word[i];
        int64_t x = value_at(key, &f->shape.words[i]);
        if (w->number)
            continue;
        if (w->defines) {
            if (x < v->min[w->a] || x > v->max[w->a])
                return false;
            syms[w->a] = x;
        } else if ((w->a < 0 ? 0 : w->factor * factor_of(syms, w)) + w->plus != x) {
            return false;
        }
    }
    return true;
}

/* ---- making the program ---- */

/* Words that vary, as the graph's extents. */
static kl_status substitute(const family *f, const variant *v, kl_dims *d,
                            kl_substitution *sub)
{
    kl_dim sym[SYMBOLS];
    char name[16];
    for (int i = 0; i < v->nsyms; i++) {
        snprintf(name, sizeof name, "n%d", i);
        sym[i] = kl_dim_sym(d, name);
        if (sym[i] == KL_DIM_BAD)
            return kl_fail(KL_ERR_OOM, "out of memory for a symbol");
        kl_dim_sym_bound(d, sym[i], v->min[i], v->max[i], 1);
    }
    for (uint32_t i = 0; i < f->shape.nwords; i++) {
        const formula *w = &v->word[i];
        if (w->a < 0 && !w->number)
            continue;
        kl_dim x = w->number ? 0 : kl_dim_const(d, w->factor);
        if (w->a >= 0)
            x = kl_dim_mul(d, x, sym[w->a]);
        if (w->b >= 0)
            x = kl_dim_mul(d, x, sym[w->b]);
        x = kl_dim_add(d, x, kl_dim_const(d, w->plus));
        if (x == KL_DIM_BAD)
            return KL_ERR_UNSUPPORTED; /* beyond what symbols express */
        sub->word[sub->n++] = (kl_substitute){f->shape.words[i].at, w->number, x};
    }
    return KL_OK;
}

/* Where the program's inputs come from: inputs and numbers in the order of the key. */
static kl_status find_ports(const family *f, variant *v)
{
    const shape_of_key *s = &f->shape;
    uint32_t n = 0, input = 0;
    v->nports = s->ninputs + v->nnumbers;
    v->ports = kl_alloc(v->nports * sizeof *v->ports + 1);
    if (!v->ports)
        return kl_fail(KL_ERR_OOM, "out of memory for a program");
    for (uint32_t i = 0; i <= s->nwords; i++) {
        while (input < s->ninputs && s->inputs[input] == i)
            v->ports[n++] = (int32_t)input++;
        if (i < s->nwords && v->word[i].number)
            v->ports[n++] = ~(int32_t)v->word[i].factor;
    }
    KL_ASSERT(n == v->nports);
    return KL_OK;
}

/* What the store knows the program by: the nodes and the formulas. */
static kl_status stored_key(const family *f, const variant *v, kl_text *key)
{
    kl_text_putn(key, (const char *)f->shape.skeleton, kl_portable_key(f->shape.nkey));
    for (uint32_t i = 0; i < f->shape.nwords; i++) {
        const formula *w = &v->word[i];
        kl_text_printf(key, "%d,%d,%d,%lld,%lld;", w->a, w->b, w->number,
                       (long long)w->factor, (long long)w->plus);
    }
    for (int i = 0; i < v->nsyms; i++)
        kl_text_printf(key, "%lld-%lld;", (long long)v->min[i], (long long)v->max[i]);
    return key->failed ? kl_fail(KL_ERR_OOM, "out of memory for a program's key") : KL_OK;
}

static kl_status import(const family *f, const variant *v, const kl_linear *l, kl_arena *a,
                        kl_graph **g)
{
    kl_substitution sub = {.dims = kl_dims_new(a)};
    sub.word = kl_arena_alloc(a, f->shape.nwords * sizeof *sub.word + 1);
    if (!sub.dims || !sub.word)
        return kl_fail(KL_ERR_OOM, "out of memory to compile %u nodes", l->nnodes);
    KL_TRY(substitute(f, v, sub.dims, &sub));
    return kl_import(l, a, &sub, g);
}

static kl_status compile(const family *f, variant *v, const kl_linear *l, kl_arena *a)
{
    kl_graph *g = NULL;
    kl_text key = {0};
    KL_TRY(import(f, v, l, a, &g));
    kl_status st = stored_key(f, v, &key);
    bool keep = kl_graph_portable(g);
    if (st == KL_OK && keep)
        st = kl_compile_find(key.s, key.len, f->device, &v->program);
    if (st == KL_OK && v->program) {
        KL_TICK(programs_from_disk);
    } else if (st == KL_OK) {
        KL_TICK(programs_compiled);
        KL_TICK(programs_of_sizes);
        st = kl_compile_graph(g, f->device, &v->program);
        if (st == KL_OK && keep)
            kl_compile_keep(key.s, key.len, v->program);
    }
    kl_text_free(&key);
    if (st == KL_OK && v->program->nsyms != v->nsyms)
        st = kl_fail(KL_ERR_INTERNAL, "a program has %d symbols instead of %d",
                     v->program->nsyms, v->nsyms);
    return st;
}

static kl_status make_variant(const family *f, const kl_linear *l, bool leaves,
                              variant **out)
{
    variant *v = kl_alloc_zeroed(sizeof *v);
    kl_arena *a = kl_arena_new();
    kl_status st = v && a ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory to compile");
    int64_t begin = kl_now_ns();
    if (st == KL_OK) {
        v->leaves = leaves;
        v->word = kl_alloc(f->shape.nwords * sizeof *v->word + 1);
        st = v->word ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory to compile");
    }
    if (st == KL_OK && !guess_all(f, v))
        st = KL_ERR_UNSUPPORTED; /* their sizes have nothing in common */
    if (st == KL_OK)
        st = compile(f, v, l, a);
    if (st == KL_OK)
        st = find_ports(f, v);
    if (a)
        kl_arena_free(a);
    if (st == KL_OK) {
        v->compile_ns = kl_now_ns() - begin;
        *out = v;
    } else {
        free_variant(v, f->shape.nwords);
    }
    return st;
}

/* ---- the cache's side ---- */

static kl_status take(const family *f, const variant *v, const uint8_t *key,
                      const int64_t *syms, kl_sized *out)
{
    size_t n = (size_t)v->nsyms + v->nnumbers;
    out->words = kl_alloc(n * sizeof(int64_t) + 1);
    out->ports = kl_alloc(v->nports * sizeof *out->ports + 1);
    out->nwords = (uint32_t)n;
    out->nports = v->nports;
    if (!out->words || !out->ports) {
        kl_sized_free(out);
        return kl_fail(KL_ERR_OOM, "out of memory for a program's sizes");
    }
    memcpy(out->words, syms, (size_t)v->nsyms * sizeof *syms);
    memcpy(out->ports, v->ports, v->nports * sizeof *v->ports);
    out->numbers = out->words + v->nsyms;
    for (uint32_t i = 0; i < f->shape.nwords; i++)
        if (v->word[i].number)
            out->numbers[v->word[i].factor] = value_at(key, &f->shape.words[i]);
    out->program = kl_program_ref(v->program);
    out->patience_ns = 10 * v->compile_ns;
    return KL_OK;
}

void kl_sized_free(kl_sized *s)
{
    kl_program_unref(s->program);
    kl_free(s->words, s->nwords * sizeof *s->words + 1);
    kl_free(s->ports, s->nports * sizeof *s->ports + 1);
    *s = (kl_sized){0};
}

/* A program for f's examples, the newest of which l is; without the lock. */
static variant *try_make(const family *f, const kl_linear *l)
{
    variant *v = NULL;
    for (int leaves = 0; leaves < 2 && !v; leaves++)
        if (make_variant(f, l, leaves, &v) != KL_OK) {
            kl_debug("no program for other sizes: %s", kl_error());
            kl_error_clear();
        }
    return v;
}

static void keep_variant(family *f, variant *v)
{
    if (!v) { /* the next guess shall not fall for the same examples */
        while (f->nexamples > 1)
            kl_free(f->example[--f->nexamples], f->shape.nwords * sizeof(int64_t) + 1);
        f->patience++;
        return;
    }
    if (f->nvariants == VARIANTS)
        free_variant(f->variants[--f->nvariants], f->shape.nwords);
    memmove(f->variants + 1, f->variants, (size_t)f->nvariants * sizeof *f->variants);
    f->variants[0] = v;
    f->nvariants++;
}

static kl_status find(family *f, const uint8_t *key, kl_sized *out)
{
    int64_t syms[SYMBOLS];
    for (int i = 0; i < f->nvariants; i++)
        if (fits(f, f->variants[i], key, syms))
            return take(f, f->variants[i], key, syms, out);
    return KL_OK;
}

kl_status kl_sized_find(const kl_linear *l, int device, kl_sized *out)
{
    shape_of_key s;
    *out = (kl_sized){0};
    KL_TRY(read_shape(l, &s));
    if (s.nwords == 0) {
        free_shape(&s);
        return KL_OK;
    }
    pthread_mutex_lock(&lock);
    family *f = family_of(&s, device);
    kl_status st = f ? find(f, l->key, out) : KL_OK;
    if (f && st == KL_OK && !out->program && !f->busy && f->patience < PATIENCE) {
        add_example(f, l->key);
        if (f->nexamples > 1) {
            f->busy = true;
            pthread_mutex_unlock(&lock);
            variant *v = try_make(f, l);
            pthread_mutex_lock(&lock);
            f->busy = false;
            keep_variant(f, v);
            st = find(f, l->key, out);
        }
    } else if (out->program) {
        KL_TICK(program_sizes);
    }
    pthread_mutex_unlock(&lock);
    free_shape(&s);
    return st;
}
