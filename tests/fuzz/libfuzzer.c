/* libfuzzer.c: libFuzzer drives the readers (readers.c), guided by the code they reach.
 *
 *   libfuzzer --reader=npy -max_total_time=20 CORPUS ..
 *
 * Built by clang with -Dsanitize=fuzzer-no-link,address,undefined. Half of the mutations
 * are libFuzzer's own, half the damage that bytes.c does too. A broken promise aborts; so
 * do 10 seconds for one input or a GiB of memory, by the options that run.sh gives. */
#include "readers.h"

#include <stdlib.h>

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t n, size_t most);

static const reader *target;
static corpus whole;

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    const char *a = *argc > 1 ? (*argv)[1] : "";
    for (const reader *t = readers; t->name && strncmp(a, "--reader=", 9) == 0; t++)
        if (strcmp(a + 9, t->name) == 0)
            target = t;
    if (!target)
        return fprintf(stderr, "libfuzzer --reader=NAME ..\n"), exit(2), 1;
    target->make(&whole);
    (*argv)[1] = (*argv)[0];
    (*argv)++, (*argc)--;
    return 0;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t n, size_t most, unsigned seed)
{
    static char room[INPUT_MOST + 1];
    uint64_t r = seed;
    if (draw(&r) % 2 || n > INPUT_MOST)
        return LLVMFuzzerMutate(data, n, most);
    memcpy(room, data, n);
    for (int64_t k = below(&r, 1 << below(&r, 4)); k >= 0; k--) {
        room[n] = 0;
        n = readers_damage(room, n, &whole, &r);
    }
    n = KL_MIN(n, most);
    memcpy(data, room, n);
    return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
    char *copy = malloc(n + 1);
    memcpy(copy, data, n);
    copy[n] = 0;
    if (!readers_read(target, &(bytes){copy, n})) {
        fprintf(stderr, "%s: %s\n", target->name, readers_broken());
        abort();
    }
    free(copy);
    return 0;
}
