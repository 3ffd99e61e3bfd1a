/* memory.c: the stand-in's device memory. One file in memory is mapped twice: at the
 * addresses that programs see, which nobody may touch unless kernels run, and at an
 * alias, where the driver itself copies and fills. So a host that follows a device
 * pointer gets SIGSEGV, and a host pointer is not one of ours. New memory is full of 0xff
 * (NaN). Between allocations lie gaps, and the checks of block.c and driver.c know where
 * each allocation ends. */
#include "machine.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define TOTAL ((size_t)4 << 30)
#define GAP 512

static unsigned char *seen, *alias;
static mem_range *ranges; /* in the order of their addresses */
static size_t count, capacity, top;

size_t mem_total(void)
{
    return TOTAL;
}

bool mem_open(void)
{
    if (seen)
        return true;
    int fd = memfd_create("kl-device", MFD_CLOEXEC);
    if (fd < 0 || ftruncate(fd, (off_t)TOTAL) != 0)
        return false;
    void *a =
        mmap(NULL, TOTAL, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    void *s = mmap(NULL, TOTAL, PROT_NONE, MAP_SHARED | MAP_NORESERVE, fd, 0);
    close(fd);
    if (a == MAP_FAILED || s == MAP_FAILED)
        return false;
    alias = a;
    seen = s;
    return true;
}

bool mem_is_device(const void *p)
{
    const unsigned char *c = p;
    return seen && c >= seen && c < seen + TOTAL;
}

void *mem_alias(cu_ptr p)
{
    return alias + ((unsigned char *)(uintptr_t)p - seen);
}

void mem_unlock(bool kernels_run)
{
    if (top && mprotect(seen, top, kernels_run ? PROT_READ | PROT_WRITE : PROT_NONE) != 0)
        abort();
}

/* The first range that begins above p. */
static size_t above(const void *p)
{
    size_t lo = 0, hi = count;
    while (lo < hi) {
        size_t mid = (lo + hi) / 2;
        if (ranges[mid].base > (const unsigned char *)p)
            hi = mid;
        else
            lo = mid + 1;
    }
    return lo;
}

mem_range *mem_find(const void *p, size_t n)
{
    size_t i = above(p);
    if (i == 0)
        return NULL;
    mem_range *r = &ranges[i - 1];
    size_t offset = (size_t)((const unsigned char *)p - r->base);
    return offset <= r->size && n <= r->size - offset ? r : NULL;
}

mem_range *mem_at(cu_ptr p)
{
    mem_range *r = mem_find((void *)(uintptr_t)p, 0);
    return r && r->base == (unsigned char *)(uintptr_t)p ? r : NULL;
}

/* First fit: the index of the new range and its place. */
static bool find_gap(size_t need, size_t *index, unsigned char **base)
{
    unsigned char *end = seen;
    for (*index = 0; *index <= count; ++*index) {
        unsigned char *next = *index < count ? ranges[*index].base : seen + TOTAL;
        if ((size_t)(next - end) >= need) {
            *base = end;
            return true;
        }
        if (*index < count)
            end = next + (ranges[*index].size + GAP + 255) / 256 * 256;
    }
    return false;
}

cu_result mem_alloc(size_t size, cu_ptr *out)
{
    size_t i;
    unsigned char *base;
    if (size == 0)
        return CU_INVALID_VALUE;
    if (size > TOTAL / 2 || !find_gap(size + GAP, &i, &base))
        return CU_OUT_OF_MEMORY;
    uint64_t *cells = mmap(NULL, size * sizeof *cells, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (cells == MAP_FAILED)
        return CU_OUT_OF_MEMORY;
    if (count == capacity) {
        capacity = capacity ? 2 * capacity : 64;
        ranges = realloc(ranges, capacity * sizeof *ranges);
        if (!ranges)
            abort();
    }
    memmove(ranges + i + 1, ranges + i, (count++ - i) * sizeof *ranges);
    ranges[i] = (mem_range){.base = base, .size = size, .cells = cells};
    top = KL_MAX(top, ((size_t)(base - seen) + size + 4095) / 4096 * 4096);
    *out = (cu_ptr)(uintptr_t)base;
    memset(mem_alias(*out), 0xff, size);
    kl_standin.allocations++;
    kl_standin.bytes += (long)size;
    return CU_OK;
}

void mem_free(mem_range *r)
{
    size_t i = (size_t)(r - ranges),
           from = ((size_t)(r->base - seen) + 4095) / 4096 * 4096;
    size_t to = ((size_t)(r->base - seen) + r->size) / 4096 * 4096;
    if (to > from)
        madvise(alias + from, to - from, MADV_REMOVE);
    munmap(r->cells, r->size * sizeof *r->cells);
    kl_standin.allocations--;
    kl_standin.bytes -= (long)r->size;
    memmove(r, r + 1, (--count - i) * sizeof *ranges);
}
