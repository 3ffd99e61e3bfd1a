/* philox.c: Philox 4x32-10, the counter-based generator of Salmon, Moraes, Dror and Shaw
 * ("Parallel random numbers: as easy as 1, 2, 3", SC 2011).
 *
 * Ten rounds mix a 128-bit counter under a 64-bit key: the numbers of element i are a
 * function of (key, i), in any order, on any number of threads. One round:
 *
 *     c0 c1 c2 c3  ->  hi(M1*c2)^c1^k0   lo(M1*c2)   hi(M0*c0)^c3^k1   lo(M0*c0) */
#include "runtime/runtime.h"

enum { ROUNDS = 10 };
static const uint32_t M0 = 0xD2511F53, M1 = 0xCD9E8D57; /* multipliers */
static const uint32_t W0 = 0x9E3779B9, W1 = 0xBB67AE85; /* the key's steps */

void kl_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = key[0], k1 = key[1];
    for (int i = 0; i < ROUNDS; i++, k0 += W0, k1 += W1) {
        uint64_t p0 = (uint64_t)M0 * c0, p1 = (uint64_t)M1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}
