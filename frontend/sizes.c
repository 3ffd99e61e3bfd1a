/* sizes.c: one program for many sizes. Programs of the same nodes that differ only in
 * sizes and numbers are a family. When a second one is asked for, what differs between
 * their keys becomes symbols (sizes_guess.c), and one program is made that serves all the
 * sizes that follow.
 *
 *   keys of 32 and of 48 rows  ->  input f32[n0,10], reshape f32[10*n0], number 0
 *   then 50 rows: n0 is 50, number 0 is 50.0; is the reshape's word 500? yes: it fits
 *
 * A program is used only where every word that it depends on has the value that its
 * formula gives (`fits`), so that it computes exactly what the key says. A guess that
 * fails is made again with one more example. */
#include "sizes.h"

enum {
    VARIANTS = 4, /* programs of a family, the newest */
    FAMILIES = 512,
    PATIENCE = 3 /* guesses that led to no program, before a family is left alone */
};

/* ---- families ---- */

typedef struct variant {
    kl_program *program;
    kl_guess guess;
    int64_t compile_ns;
    int32_t *ports; /* of the program: an input's number, or ~ that of a number */
    uint32_t nports;
} variant;
typedef struct family family;
struct family {
    family *next;
    kl_hash hash;
    kl_key_shape shape;
    int64_t *example[KL_EXAMPLES]; /* values of the words, the newest first */
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
    kl_free(v->guess.out, nwords * sizeof *v->guess.out + 1);
    kl_free(v->ports, v->nports * sizeof *v->ports + 1);
    kl_free(v, sizeof *v);
}

static void free_family(family *f)
{
    for (int i = 0; i < f->nexamples; i++)
        kl_free(f->example[i], f->shape.nwords * sizeof(int64_t) + 1);
    for (int i = 0; i < f->nvariants; i++)
        free_variant(f->variants[i], f->shape.nwords);
    kl_key_shape_free(&f->shape);
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
static family *family_of(kl_key_shape *s, int device)
{
    kl_hash h = kl_hash_bytes(s->skeleton, s->nkey);
    family **at = &table[h.lo % FAMILIES], *f = *at;
    while (f && (!kl_hash_same(f->hash, h) || f->device != device ||
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
        *s = (kl_key_shape){0};
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
        v[i] = kl_word_value(key, &f->shape.words[i]);
    if (f->nexamples == KL_EXAMPLES)
        kl_free(f->example[--f->nexamples], size);
    memmove(f->example + 1, f->example, (size_t)f->nexamples * sizeof *f->example);
    f->example[0] = v;
    f->nexamples++;
}

/* Whether the program of v computes what the key says; with which symbols. */
static bool fits(const family *f, const variant *v, const uint8_t *key, int64_t *syms)
{
    for (uint32_t i = 0; i < f->shape.nwords; i++) {
        const kl_formula *w = &v->guess.out[i];
        int64_t x = kl_word_value(key, &f->shape.words[i]);
        if (w->given)
            continue;
        if (w->defines) {
            if (x < v->guess.min[w->a] || x > v->guess.max[w->a])
                return false;
            syms[w->a] = x;
        } else if ((w->a < 0 ? 0 : w->factor * kl_formula_unit(syms, w)) + w->plus != x) {
            return false;
        }
    }
    return true;
}

/* ---- making the program ---- */

/* Where the program's inputs come from: inputs and numbers in the order of the key. */
static kl_status find_ports(const family *f, variant *v)
{
    const kl_key_shape *s = &f->shape;
    uint32_t n = 0, input = 0;
    v->nports = s->ninputs + v->guess.ngiven;
    v->ports = kl_alloc(v->nports * sizeof *v->ports + 1);
    if (!v->ports)
        return kl_fail(KL_ERR_OOM, "out of memory for a program");
    for (uint32_t i = 0; i <= s->nwords; i++) {
        while (input < s->ninputs && s->inputs[input] == i)
            v->ports[n++] = (int32_t)input++;
        if (i < s->nwords && v->guess.out[i].given)
            v->ports[n++] = ~(int32_t)v->guess.out[i].factor;
    }
    KL_ASSERT(n == v->nports);
    return KL_OK;
}

/* What the store knows the program by: the nodes and the formulas. */
static kl_status stored_key(const family *f, const variant *v, kl_text *key)
{
    kl_text_putn(key, (const char *)f->shape.skeleton, kl_portable_key(f->shape.nkey));
    for (uint32_t i = 0; i < f->shape.nwords; i++) {
        const kl_formula *w = &v->guess.out[i];
        kl_text_printf(key, "%d,%d,%d,%lld,%lld;", w->a, w->b, w->given,
                       (long long)w->factor, (long long)w->plus);
    }
    for (int i = 0; i < v->guess.nsyms; i++)
        kl_text_printf(key, "%lld-%lld;", (long long)v->guess.min[i],
                       (long long)v->guess.max[i]);
    return key->failed ? kl_fail(KL_ERR_OOM, "out of memory for a program's key") : KL_OK;
}

static kl_status compile(const family *f, variant *v, const kl_linear *l, kl_arena *a)
{
    kl_graph *g = NULL;
    kl_text key = {0};
    kl_substitution sub;
    KL_TRY(kl_guess_substitute(&v->guess, a, &sub));
    KL_TRY(kl_import(l, a, &sub, &g));
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
    if (st == KL_OK && v->program->nsyms != v->guess.nsyms)
        st = kl_fail(KL_ERR_INTERNAL, "a program has %d symbols instead of %d",
                     v->program->nsyms, v->guess.nsyms);
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
        v->guess = (kl_guess){.shape = &f->shape,
                              .example = f->example,
                              .nexamples = f->nexamples,
                              .leaves = leaves};
        v->guess.out = kl_alloc(f->shape.nwords * sizeof *v->guess.out + 1);
        st = v->guess.out ? KL_OK : kl_fail(KL_ERR_OOM, "out of memory to compile");
    }
    if (st == KL_OK && !kl_guess_all(&v->guess))
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
    size_t n = (size_t)v->guess.nsyms + v->guess.ngiven;
    out->words = kl_alloc(n * sizeof(int64_t) + 1);
    out->ports = kl_alloc(v->nports * sizeof *out->ports + 1);
    out->nwords = (uint32_t)n;
    out->nports = v->nports;
    if (!out->words || !out->ports) {
        kl_sized_free(out);
        return kl_fail(KL_ERR_OOM, "out of memory for a program's sizes");
    }
    memcpy(out->words, syms, (size_t)v->guess.nsyms * sizeof *syms);
    memcpy(out->ports, v->ports, v->nports * sizeof *v->ports);
    out->numbers = out->words + v->guess.nsyms;
    for (uint32_t i = 0; i < f->shape.nwords; i++)
        if (v->guess.out[i].given)
            out->numbers[v->guess.out[i].factor] = kl_word_value(key, &f->shape.words[i]);
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
    int64_t syms[KL_SIZE_SYMBOLS];
    for (int i = 0; i < f->nvariants; i++)
        if (fits(f, f->variants[i], key, syms))
            return take(f, f->variants[i], key, syms, out);
    return KL_OK;
}

kl_status kl_sized_find(const kl_linear *l, int device, kl_sized *out)
{
    kl_key_shape s;
    *out = (kl_sized){0};
    KL_TRY(kl_key_shape_read(l, true, &s));
    if (s.nwords == 0) {
        kl_key_shape_free(&s);
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
    kl_key_shape_free(&s);
    return st;
}
