/* harness.h: one graph through every way of running it. Static functions, included by
 * tests. */
#ifndef KL_TEST_HARNESS_H
#define KL_TEST_HARNESS_H

#include "passes/passes.h"

#include <math.h>
#include <stdlib.h>

typedef struct filled {
    uint64_t state;
} filled;
static inline uint64_t draw(uint64_t *s)
{
    uint64_t z = (*s += 0x9e3779b97f4a7c15u);
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9u;
    z = (z ^ z >> 27) * 0x94d049bb133111ebu;
    return z ^ z >> 31;
}

/* A dense buffer of that type, drawn: mostly plain values, some special ones. */
static inline void fill_buffer(kl_buffer *b, uint64_t *seed, bool special)
{
    static const double odd[] = {0.0,       -0.0, 1,     -1,     INFINITY,
                                 -INFINITY, NAN,  1e-40, -1e-40, 3e38};
    int64_t n = 1;
    for (int i = 0; i < b->rank; i++)
        n *= b->shape[i];
    int size = kl_dtypes[b->dtype].size;
    for (int64_t i = 0; i < n; i++) {
        uint64_t r = draw(seed);
        kl_scalar s;
        if (kl_is_complex(b->dtype)) { /* two plain reals */
            float re = (float)(int64_t)(r % 2001) / 500.0f - 2,
                  im = (float)(int64_t)(r >> 32 & 1023) / 500.0f - 1;
            double d[2] = {re, im};
            float f[2] = {re, im};
            memcpy((char *)b->mem->base + i * size,
                   b->dtype == KL_C64 ? (void *)f : (void *)d, (size_t)size);
            continue;
        }
        if (kl_is_float(b->dtype))
            s = kl_scalar_from(b->dtype,
                               special && r % 16 == 0
                                   ? odd[(r >> 8) % KL_COUNT(odd)]
                                   : (double)(int64_t)((r >> 16) % 4001) / 1000.0 - 2.0);
        else
            s = kl_scalar_from_int(b->dtype, special && r % 32 == 0
                                                 ? (int64_t)(r >> 5)
                                                 : (int64_t)(r >> 40) % 21 - 10);
        if (b->dtype == KL_BOOL)
            s.bits = r >> 33 & 1;
        memcpy((char *)b->mem->base + i * size, &s, (size_t)size);
    }
}

static inline kl_status new_dense(kl_dtype dt, int rank, const int64_t *shape,
                                  kl_buffer *b)
{
    int64_t n;
    *b = (kl_buffer){.dtype = dt, .rank = rank};
    memcpy(b->shape, shape, (size_t)rank * sizeof *shape);
    KL_TRY(kl_shape_count(rank, shape, dt, &n));
    b->mem = kl_memory_new(0, (size_t)(n * kl_dtypes[dt].size + 1));
    kl_buffer_dense_strides(b);
    return b->mem ? KL_OK : KL_ERR_OOM;
}

/* Bits equal; all NaNs count as one. */
static inline bool same_element(kl_dtype dt, const char *a, const char *b)
{
    int size = kl_dtypes[dt].size;
    if (memcmp(a, b, (size_t)size) == 0)
        return true;
    if (kl_is_complex(dt))
        return same_element(kl_dtypes[dt].real, a, b) &&
               same_element(kl_dtypes[dt].real, a + size / 2, b + size / 2);
    if (!kl_is_float(dt))
        return false;
    kl_scalar x = {.bits = 0}, y = {.bits = 0};
    memcpy(&x, a, (size_t)size), memcpy(&y, b, (size_t)size);
    double dx = kl_scalar_to_double(dt, x), dy = kl_scalar_to_double(dt, y);
    return dx != dx && dy != dy;
}

static inline int64_t first_difference(const kl_buffer *a, const kl_buffer *b)
{
    int64_t n = 1, size = kl_dtypes[a->dtype].size;
    for (int i = 0; i < a->rank; i++)
        n *= a->shape[i];
    for (int64_t i = 0; i < n; i++)
        if (!same_element(a->dtype, (char *)a->mem->base + i * size,
                          (char *)b->mem->base + i * size))
            return i;
    return -1;
}

/* Run the unit's lowered kernels by their loops alone, as its plan says. */
static inline kl_status run_loops(const kl_unit *u, const kl_buffer *in,
                                  const int64_t *syms, kl_buffer *out)
{
    const kl_program *p = u->program;
    size_t size = (size_t)kl_program_peak(p, syms) + 64;
    char *arena = kl_alloc(size);
    void **from = calloc((size_t)(p->nin + p->nout) + 1, sizeof *from),
         **to = from + p->nin;
    for (int i = 0; i < p->nin; i++)
        from[i] = (char *)in[i].mem->base + in[i].offset;
    for (int i = 0; i < p->nout; i++)
        to[i] = out[i].mem->base;
    kl_status st = arena ? kl_unit_interp(u, from, to, arena, syms) : KL_ERR_OOM;
    free(from);
    kl_free(arena, size);
    return st;
}

#endif
