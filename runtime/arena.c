/* arena.c: memory of one compile, released at once.
 *
 * A list of blocks, each as large as all before it (from 16 KiB to 1 MiB, or what one
 * request needs), cut from the front in 16-byte steps. Nothing is freed singly; a failure
 * sticks, so that a pass may allocate along and ask once. The arena itself lies in its
 * first block.
 *
 *     block 2 [....used....|....free....]  ->  block 1 [arena|..used..]  ->  NULL */
#include "runtime/runtime.h"

enum { STEP = 16 };
static const size_t FIRST = 16 << 10, MOST = 1 << 20;

typedef struct block {
    struct block *next;
    size_t size, used; /* of the whole block, this head included */
} block;

struct kl_arena {
    block *blocks; /* the first is the one being cut */
    size_t total;
    bool failed;
};

static size_t up(size_t n)
{
    return (n + STEP - 1) & ~(size_t)(STEP - 1);
}

static block *block_new(size_t size, block *next)
{
    block *b = kl_alloc(size);
    if (b)
        *b = (block){.next = next, .size = size, .used = up(sizeof *b)};
    return b;
}

kl_arena *kl_arena_new(void)
{
    block *b = block_new(FIRST, NULL);
    if (!b)
        return NULL;
    kl_arena *a = (kl_arena *)((char *)b + b->used);
    b->used += up(sizeof *a);
    *a = (kl_arena){.blocks = b, .total = FIRST};
    return a;
}

void kl_arena_free(kl_arena *a)
{
    block *next;
    for (block *b = a ? a->blocks : NULL; b; b = next) {
        next = b->next;
        kl_free(b, b->size);
    }
}

bool kl_arena_failed(const kl_arena *a)
{
    return a->failed;
}

void kl_arena_fail(kl_arena *a)
{
    a->failed = true;
}

/* A block for a request of n bytes that the current one cannot hold. */
static bool add_block(kl_arena *a, size_t n)
{
    size_t size = KL_MIN(a->total, MOST), need = up(sizeof(block)) + n;
    block *b = block_new(KL_MAX(size, need), a->blocks);
    if (!b)
        return false;
    a->total += b->size;
    a->blocks = b;
    return true;
}

void *kl_arena_alloc(kl_arena *a, size_t size)
{
    size_t n = up(size ? size : 1);
    bool fits = size <= PTRDIFF_MAX / 2 && n <= a->blocks->size - a->blocks->used;
    if (!fits && (size > PTRDIFF_MAX / 2 || !add_block(a, n))) {
        a->failed = true;
        return NULL;
    }
    void *p = (char *)a->blocks + a->blocks->used;
    a->blocks->used += n;
    return p;
}

void *kl_arena_zeroed(kl_arena *a, size_t count, size_t size)
{
    size_t n;
    if (__builtin_mul_overflow(count, size, &n)) {
        a->failed = true;
        return NULL;
    }
    void *p = kl_arena_alloc(a, n);
    return p ? memset(p, 0, n) : NULL;
}

void *kl_arena_copy(kl_arena *a, const void *p, size_t size)
{
    void *c = kl_arena_alloc(a, size);
    if (c && size)
        memcpy(c, p, size);
    return c;
}

char *kl_arena_strdup(kl_arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *p = kl_arena_alloc(a, n);
    return p ? memcpy(p, s, n) : NULL;
}

char *kl_arena_printf(kl_arena *a, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(NULL, 0, fmt, ap);
    va_end(ap);
    char *p = n < 0 ? NULL : kl_arena_alloc(a, (size_t)n + 1);
    if (!p) {
        a->failed = true;
        return NULL;
    }
    va_start(ap, fmt);
    vsnprintf(p, (size_t)n + 1, fmt, ap);
    va_end(ap);
    return p;
}

/* If p's n bytes are the last cut from the current block, make them m bytes in place. */
static bool extend(kl_arena *a, char *p, size_t n, size_t m)
{
    block *b = a->blocks;
    if (!p || p + up(n) != (char *)b + b->used || up(m) - up(n) > b->size - b->used)
        return false;
    b->used += up(m) - up(n);
    return true;
}

kl_status kl_arena_grow(kl_arena *a, void *items, uint32_t *cap, uint32_t need,
                        size_t size)
{
    if (need <= *cap)
        return KL_OK;
    uint64_t want = KL_MIN(KL_MAX((uint64_t)need, 2 * (uint64_t)*cap), UINT32_MAX);
    want = KL_MAX(want, 8);
    char *old;
    memcpy(&old, items, sizeof old);
    if (!extend(a, old, *cap * size, want * size)) {
        char *p = kl_arena_alloc(a, want * size);
        if (!p)
            return kl_fail(KL_ERR_OOM, "out of memory: an array of %u items of %zu bytes",
                           need, size);
        if (*cap)
            memcpy(p, old, *cap * size);
        memcpy(items, &p, sizeof p);
    }
    *cap = (uint32_t)want;
    return KL_OK;
}
