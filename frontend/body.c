/* body.c: bodies of loops and branches by content. A lazy node names its bodies by
 * 128-bit hashes of their linear forms, which says the same in every process; the bytes
 * are kept here for import.c, which makes graphs of them when a program is compiled.
 *
 *   trace   linear form of the body -> bytes, hash        kept once, compared in full
 *   import  hash -> bytes -> graph
 *
 * At most LIMIT bodies are kept, least recently used forgotten first. */
#include "front.h"

enum { LIMIT = 4096, SLOTS = 2 * LIMIT };

static kl_body *table[SLOTS]; /* open addressing, under the lock */
static uint32_t count;
static uint64_t now;
/* Recursive: a body being read may name further ones. */
static pthread_mutex_t lock = PTHREAD_RECURSIVE_MUTEX_INITIALIZER_NP;

static void body_free(kl_body *b)
{
    if (!b)
        return;
    kl_free(b->key, b->nkey);
    kl_free(b->labels, ((size_t)2 * b->nnodes + 1) * sizeof *b->labels);
    kl_free(b, sizeof *b);
}

static bool is_it(const kl_body *b, kl_hash h)
{
    return kl_hash_same(b->hash, h);
}

/* Its slot, or the free one where it would stand. */
static uint32_t slot_of(kl_hash h)
{
    uint32_t i = (uint32_t)h.lo % SLOTS;
    while (table[i] && !is_it(table[i], h))
        i = (i + 1) % SLOTS;
    return i;
}

/* The oldest half goes: rare, and one walk. */
static void forget_half(void)
{
    kl_body *all[SLOTS];
    uint64_t before = now - LIMIT / 2;
    memcpy(all, table, sizeof all);
    memset(table, 0, sizeof table);
    count = 0;
    for (uint32_t i = 0; i < SLOTS; i++) {
        if (all[i] && all[i]->used > before) {
            table[slot_of(all[i]->hash)] = all[i];
            count++;
        } else {
            body_free(all[i]);
        }
    }
}

static kl_body *body_new(const kl_linear *l, uint32_t nin, uint32_t nout, kl_hash h)
{
    kl_body *b = kl_alloc_zeroed(sizeof *b);
    if (!b)
        return NULL;
    size_t labels = ((size_t)2 * l->nnodes + 1) * sizeof *b->labels;
    *b = (kl_body){
        .hash = h, .nkey = l->nkey, .nnodes = l->nnodes, .nin = nin, .nout = nout};
    b->key = kl_alloc(l->nkey);
    b->labels = kl_alloc_zeroed(labels);
    if (!b->key || !b->labels) {
        kl_free(b->key, b->key ? b->nkey : 0);
        kl_free(b->labels, b->labels ? labels : 0);
        kl_free(b, sizeof *b);
        return NULL;
    }
    memcpy(b->key, l->key, l->nkey);
    memcpy(b->labels, l->labels, (size_t)2 * l->nnodes * sizeof *b->labels);
    return b;
}

kl_status kl_body_keep(const kl_linear *l, uint32_t nin, uint32_t nout, int64_t hash[2])
{
    kl_status st = KL_OK;
    kl_hash h = kl_hash_bytes(l->key, l->nkey);
    hash[0] = (int64_t)h.lo, hash[1] = (int64_t)h.hi;
    pthread_mutex_lock(&lock);
    if (count >= LIMIT)
        forget_half();
    kl_body **at = &table[slot_of(h)];
    if (!*at && (*at = body_new(l, nin, nout, h)))
        count++;
    if (!*at)
        st = kl_fail(KL_ERR_OOM, "out of memory for a body of %u nodes", l->nnodes);
    else if ((*at)->nkey != l->nkey || memcmp((*at)->key, l->key, l->nkey) != 0)
        st = kl_fail(KL_ERR_INTERNAL, "two bodies have one hash");
    else
        (*at)->used = ++now;
    pthread_mutex_unlock(&lock);
    return st;
}

kl_status kl_body_read(const int64_t hash[2],
                       kl_status (*f)(void *user, const kl_body *b), void *user)
{
    kl_hash h = {(uint64_t)hash[0], (uint64_t)hash[1]};
    pthread_mutex_lock(&lock);
    kl_body *b = table[slot_of(h)];
    if (b)
        b->used = ++now;
    kl_status st =
        b ? f(user, b)
          : kl_fail(KL_ERR_STATE, "a body made more than %d bodies ago is forgotten",
                    LIMIT / 2);
    pthread_mutex_unlock(&lock);
    return st;
}

void kl_body_clear(void)
{
    pthread_mutex_lock(&lock);
    for (uint32_t i = 0; i < SLOTS; i++) {
        body_free(table[i]);
        table[i] = NULL;
    }
    count = 0;
    pthread_mutex_unlock(&lock);
}
