/* hash.c: 128-bit keys of contents, by XXH3. Two texts with one key are taken to be one
 * text: with 128 bits, chance will not see to it otherwise. Keys are files' names too, so
 * the hash of given bytes is the same on every machine. */
#include "runtime/runtime.h"

#include <xxhash.h>

kl_hash kl_hash_bytes(const void *p, size_t n)
{
    XXH128_hash_t h = XXH3_128bits(p, n);
    return (kl_hash){.lo = h.low64, .hi = h.high64};
}

kl_hash kl_hash_text(const char *s)
{
    return kl_hash_bytes(s, strlen(s));
}

void kl_hash_hex(kl_hash h, char out[33])
{
    static const char digits[] = "0123456789abcdef";
    for (int i = 0; i < 16; i++) {
        out[i] = digits[h.hi >> (60 - 4 * i) & 15];
        out[16 + i] = digits[h.lo >> (60 - 4 * i) & 15];
    }
    out[32] = 0;
}
