/* readers.h: the readers under attack (readers.c), for bytes.c and libfuzzer.c. */
#ifndef KL_READERS_H
#define KL_READERS_H

#include "fuzz.h"

enum { CORPUS_MOST = 256, INPUT_MOST = 1 << 17 };

typedef struct bytes {
    char *s; /* a zero stands behind them */
    size_t n;
} bytes;

typedef struct corpus {
    bytes item[CORPUS_MOST];
    int count;
    size_t (*damage)(char *s, size_t n, size_t most, uint64_t *r); /* NULL: by bytes */
} corpus;

typedef struct reader {
    const char *name;
    void (*make)(corpus *c); /* whole inputs */
    bool (*read)(const bytes *b);
} reader;
extern const reader readers[]; /* ends with a NULL name */

/* True: all promises kept; else readers_broken says which was not. */
bool readers_read(const reader *t, const bytes *b);
const char *readers_broken(void);
/* Damages the n bytes at s, which has room for INPUT_MOST + 1; returns how many there
 * are. */
size_t readers_damage(char *s, size_t n, const corpus *c, uint64_t *r);

#endif
