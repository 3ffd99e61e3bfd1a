/* alloc.c: every byte of host memory that kiln asks for.
 *
 * Callers pass the size back when they free, so a block needs no header of ours to be
 * counted, and a user's hook is told what Lua's is. Without a hook:
 *
 *     below 2 MiB   malloc with room to align: the byte before the block says by how much
 * it was moved (glibc's posix_memalign takes four times as long) from 2 MiB    mmap on a
 * 2 MiB boundary with MADV_HUGEPAGE: fresh pages come at 21 GB/s instead of 2.7; given
 * back at once, for keeping blocks is the pool's job
 *
 * kl_alloc_fail_at(n) makes the call n calls from now fail, once: the tests' loop over
 * all n shows that running out of memory anywhere is an error and leaks nothing. */
#include "runtime/runtime.h"

#include <stdlib.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define EXACT 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define EXACT 1
#endif
#endif
#ifndef EXACT
#define EXACT 0 /* under ASan: blocks that end where they end */
#endif

enum { ALIGN = 64 };
static const size_t LARGE = (size_t)2 << 20, PAGE = 64 << 10; /* a multiple of any page */
static const size_t MOST_KEPT = (size_t)32 << 20;

static kl_alloc_fn hook;
static void *hook_user;
static size_t live_bytes, peak_bytes;
static int64_t fail_in = -1;

void kl_set_allocator(kl_alloc_fn fn, void *user)
{
    hook = fn;
    hook_user = user;
}

int64_t kl_alloc_fail_at(int64_t n)
{
    return __atomic_exchange_n(&fail_in, n, __ATOMIC_SEQ_CST);
}

static bool fault(void)
{
    if (__atomic_load_n(&fail_in, __ATOMIC_RELAXED) < 0)
        return false;
    return __atomic_fetch_sub(&fail_in, 1, __ATOMIC_SEQ_CST) == 0;
}

size_t kl_alloc_live(void)
{
    return __atomic_load_n(&live_bytes, __ATOMIC_RELAXED);
}
size_t kl_alloc_peak(void)
{
    return __atomic_load_n(&peak_bytes, __ATOMIC_RELAXED);
}
void kl_alloc_peak_reset(void)
{
    __atomic_store_n(&peak_bytes, kl_alloc_live(), __ATOMIC_RELAXED);
}

static void count_up(size_t n)
{
    size_t now = __atomic_add_fetch(&live_bytes, n, __ATOMIC_RELAXED);
    size_t peak = __atomic_load_n(&peak_bytes, __ATOMIC_RELAXED);
    while (now > peak && !__atomic_compare_exchange_n(&peak_bytes, &peak, now, true,
                                                      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
        ;
}

static void count_down(size_t n)
{
    __atomic_sub_fetch(&live_bytes, n, __ATOMIC_RELAXED);
}

static size_t pages(size_t size)
{
    return (size + PAGE - 1) & ~(PAGE - 1);
}

/* Map 2 MiB more than asked and give back both ends. */
static void *large_new(size_t n)
{
    char *raw =
        mmap(NULL, n + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (raw == MAP_FAILED)
        return NULL;
    size_t head = (size_t)(-(uintptr_t)raw & (LARGE - 1));
    if (head)
        munmap(raw, head);
    if (LARGE - head)
        munmap(raw + head + n, LARGE - head);
    madvise(raw + head, n, MADV_HUGEPAGE);
    return raw + head;
}

/* ---- large blocks kept for the next call ----
 *
 * A slot is taken and filled by an exchange: no lock to be held over a fork. While it is
 * kept, a block's first word is its size. */

static size_t *kept[8];
static unsigned kept_next; /* the slot to fill */

static size_t *swap(size_t **slot, size_t *block)
{
    return __atomic_exchange_n(slot, block, __ATOMIC_ACQ_REL);
}

/* What another thread put in the slot meanwhile goes. */
static void keep(size_t **slot, size_t *block)
{
    block = swap(slot, block);
    if (block)
        munmap(block, *block);
}

static void large_free(void *p, size_t n)
{
    if (EXACT || n > MOST_KEPT) {
        munmap(p, n);
        return;
    }
    *(size_t *)p = n;
    unsigned at = __atomic_fetch_add(&kept_next, 1, __ATOMIC_RELAXED);
    keep(&kept[at % KL_COUNT(kept)], p);
}

static void *large_kept(size_t n)
{
    for (size_t i = 0; i < KL_COUNT(kept) && n <= MOST_KEPT; i++) {
        size_t *block = swap(&kept[i], NULL);
        if (block && *block == n)
            return block;
        if (block)
            keep(&kept[i], block);
    }
    return NULL;
}

void kl_alloc_trim(void)
{
    for (size_t i = 0; i < KL_COUNT(kept); i++)
        keep(&kept[i], NULL);
}

static void *small_new(size_t size)
{
    if (EXACT) {
        void *p;
        return posix_memalign(&p, ALIGN, size) == 0 ? p : NULL;
    }
    char *raw = malloc(size + ALIGN);
    if (!raw)
        return NULL;
    size_t moved = ALIGN - ((uintptr_t)raw & (ALIGN - 1));
    raw[moved - 1] = (char)moved;
    return raw + moved;
}

static void small_free(char *p)
{
    free(EXACT ? p : p - p[-1]);
}

static void *block_new(size_t size, bool zeroed)
{
    if (hook)
        return hook(hook_user, NULL, 0, size);
    if (size < LARGE)
        return small_new(size);
    void *p = zeroed ? NULL : large_kept(pages(size));
    return p ? p : large_new(pages(size));
}

static void block_free(void *p, size_t size)
{
    if (hook)
        hook(hook_user, p, size, 0);
    else if (size >= LARGE)
        large_free(p, pages(size));
    else
        small_free(p);
}

/* No block is empty (NULL means failure) or beyond what pointers can subtract. */
static size_t block_size(size_t size)
{
    return size ? size : 1;
}
static bool too_big(size_t size)
{
    return size > PTRDIFF_MAX - 2 * LARGE;
}

static void *alloc(size_t size, bool zeroed)
{
    size = block_size(size);
    if (too_big(size) || fault())
        return NULL;
    void *p = block_new(size, zeroed);
    if (p)
        count_up(size);
    return p;
}

void *kl_alloc(size_t size)
{
    return alloc(size, false);
}

void *kl_alloc_zeroed(size_t size)
{
    void *p = alloc(size, true);
    if (p && (hook || block_size(size) < LARGE)) /* fresh mappings are zero */
        memset(p, 0, size);
    return p;
}

void *kl_realloc(void *p, size_t old_size, size_t new_size)
{
    if (!p)
        return kl_alloc(new_size);
    if (!hook) {
        void *q = kl_alloc(new_size);
        if (q) {
            memcpy(q, p, KL_MIN(old_size, new_size));
            kl_free(p, old_size);
        }
        return q;
    }
    old_size = block_size(old_size);
    new_size = block_size(new_size);
    if (too_big(new_size) || fault())
        return NULL;
    void *q = hook(hook_user, p, old_size, new_size);
    if (q) {
        count_down(old_size);
        count_up(new_size);
    }
    return q;
}

bool kl_grow(void *array, size_t n, size_t *cap, size_t size)
{
    void **p = array;
    if (n < *cap)
        return true;
    size_t more = *cap ? 2 * *cap : 64;
    void *q = kl_realloc(*p, *cap * size, more * size);
    if (!q)
        return false;
    *p = q;
    *cap = more;
    return true;
}

void kl_free(void *p, size_t size)
{
    if (!p)
        return;
    size = block_size(size);
    count_down(size);
    block_free(p, size);
}

bool kl_mul_overflow(int64_t a, int64_t b, int64_t *out)
{
    return __builtin_mul_overflow(a, b, out);
}

bool kl_add_overflow(int64_t a, int64_t b, int64_t *out)
{
    return __builtin_add_overflow(a, b, out);
}
