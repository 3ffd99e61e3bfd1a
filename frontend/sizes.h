/* sizes.h: programs that serve many sizes.
 *
 *   sizes_guess.c   what differs between keys of the same nodes, as formulas over symbols
 *   sizes.c         programs of tensors: found out from the sizes that come (cache.c)
 *   sizes_trace.c   functions whose sizes the user left open (trace.c) */
#ifndef KL_SIZES_H
#define KL_SIZES_H

#include "front.h"

enum { KL_EXAMPLES = 3, KL_SIZE_SYMBOLS = 16 };

/* ---- sizes_guess.c ---- */

typedef enum kl_word_kind {
    KL_EXTENT,
    KL_LEAF_EXTENT,
    KL_OFFSET,
    KL_NUMBER
} kl_word_kind;
typedef struct kl_word { /* of a key; it may vary between keys of the same nodes */
    uint32_t at;         /* its first byte */
    uint8_t kind, dtype; /* dtype: of a number */
} kl_word;
typedef struct kl_key_shape { /* what the keys of a family share */
    uint8_t *skeleton; /* the key, those words and what follows from them being 0 */
    size_t nkey;
    kl_word *words;
    uint32_t nwords, ninputs;
    uint32_t *inputs; /* words before each input node: its place among the numbers */
    size_t cap_words, cap_inputs;
    bool windows, failed;
} kl_key_shape;
/* windows: extents that windows walk along are the same in all of a family. */
kl_status kl_key_shape_read(const kl_linear *l, bool windows, kl_key_shape *s);
void kl_key_shape_free(kl_key_shape *s);
int64_t kl_word_value(const uint8_t *key, const kl_word *w);

/* A word as factor * symbol[a] * symbol[b] + plus; no symbol: 1. */
typedef struct kl_formula {
    int64_t factor, plus;
    int8_t a, b;
    uint8_t defines; /* the first word that is symbol a */
    uint8_t given;   /* or: number `factor` of those given at run time */
    uint8_t number;  /* or: a number, the formula's value (1) or one over it (2) */
} kl_formula;
/* The value of the product of its symbols. */
static inline int64_t kl_formula_unit(const int64_t *syms, const kl_formula *f)
{
    return (f->a < 0 ? 1 : syms[f->a]) * (f->b < 0 ? 1 : syms[f->b]);
}

typedef struct kl_guess kl_guess;
struct kl_guess { /* of all words, from a few keys */
    const kl_key_shape *shape;
    int64_t *const *example; /* values of the words, by example */
    int nexamples;
    bool leaves; /* extents of inputs may be formulas too, not only symbols */
    bool closed; /* the symbols are given: there are no others, nor numbers given later */
    int64_t syms[KL_EXAMPLES][KL_SIZE_SYMBOLS];
    int64_t min[KL_SIZE_SYMBOLS], max[KL_SIZE_SYMBOLS];
    int nsyms;
    uint32_t ngiven, word; /* word: looked at now; where it failed */
    const int64_t *count;  /* looked at instead: what is behind a number */
    kl_formula *out;       /* room for all words */
};
/* false: there are no such formulas. */
bool kl_guess_all(kl_guess *g);
/* Which node the word belongs to, of a key of so many. */
uint32_t kl_word_node(const uint8_t *key, uint32_t nnodes, const kl_word *w);
/* The words that vary, over symbols of these names (NULL: n0, n1, ..) of d. */
kl_status kl_guess_substitute(const kl_guess *g, const char *const *names, kl_arena *a,
                              kl_substitution *out);

/* ---- sizes.c ---- */

/* A program for sizes of which the key's are one; how to call it for these. */
typedef struct kl_sized {
    kl_program *program; /* NULL: there is none */
    int64_t *words;      /* its symbols' values, then the numbers' */
    int64_t *numbers;    /* of which these are inputs without axes */
    int32_t *ports; /* its inputs: those of the linear form, or ~ one of the numbers */
    uint32_t nwords, nports;
    int64_t patience_ns; /* it may run so long in all before these sizes get their own */
} kl_sized;
/* Found, or made when l is the second of its kind. The caller frees what it gets. */
kl_status kl_sized_find(const kl_linear *l, int device, kl_sized *out);
void kl_sized_free(kl_sized *s);
void kl_sizes_clear(void); /* forget all */

#endif
