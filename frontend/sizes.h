/* sizes.h: programs that serve many sizes.
 *
 *   sizes_guess.c   what differs between keys of the same nodes, as formulas over symbols
 *   sizes.c         programs of tensors: found out from the sizes that come (cache.c)
 *   sizes_trace.c   functions whose sizes the user left open (trace.c)
 *   sizes_follow.c  what differs between their traces, while import.c reads them */
#ifndef KL_SIZES_H
#define KL_SIZES_H

#include "front.h"

enum { KL_EXAMPLES = 3, KL_TRACES = 16, KL_SIZE_SYMBOLS = 16 };

/* ---- sizes_guess.c ---- */

typedef enum kl_word_kind {
    KL_EXTENT,
    KL_LEAF_EXTENT,
    KL_OFFSET,
    KL_NUMBER
} kl_word_kind;
typedef struct kl_word { /* of a key; it may vary between keys of the same nodes */
    uint32_t at;         /* its first byte */
    uint8_t kind;
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
    int64_t syms[KL_EXAMPLES][KL_SIZE_SYMBOLS];
    int64_t min[KL_SIZE_SYMBOLS], max[KL_SIZE_SYMBOLS];
    int nsyms;
    uint32_t ngiven, word; /* word: looked at now; where it failed */
    kl_formula *out;       /* room for all words */
};
/* false: there are no such formulas. */
bool kl_guess_all(kl_guess *g);
/* Whether a node's shape is its own to say (otherwise it follows from its operands);
 * whether its attributes are sizes; whether it has the sizes it was traced with. */
bool kl_op_says_shape(kl_op op);
bool kl_op_says_offsets(kl_op op);
bool kl_op_rigid(kl_op op);
/* The words that vary, over symbols n0, n1, .. */
kl_status kl_guess_substitute(const kl_guess *g, kl_arena *a, kl_substitution *out);

/* ---- sizes_follow.c ---- */

typedef struct kl_unit_of { /* an extent that is known, and its value in each trace */
    kl_dim dim;
    int64_t v[KL_TRACES];
} kl_unit_of;
typedef enum kl_number_form {
    KL_NUMBER_COUNT,   /* over * count */
    KL_NUMBER_INVERSE, /* over / count */
    KL_NUMBER_RATIO,   /* count / (count - 1) */
    KL_NUMBER_QUOTIENT /* count / by */
} kl_number_form;
typedef struct kl_number { /* a constant that sizes make */
    kl_number_form form;
    int64_t over, less; /* less: what a count is below a product, while it is looked for */
    kl_dim count, by;
} kl_number;
typedef struct kl_follow kl_follow;
struct kl_follow {
    const kl_dimension *dims; /* those without a formula are symbols, in order */
    const kl_input *in;
    int ndims, nin, nsyms;
    const kl_linear *trace; /* [n] */
    int n;
    int64_t sym[KL_TRACES][KL_SIZE_SYMBOLS]; /* values, the smallest first */
    int64_t min[KL_SIZE_SYMBOLS], max[KL_SIZE_SYMBOLS], by[KL_SIZE_SYMBOLS];
    int64_t *value; /* [KL_TRACES][ndims] */
    bool vague;     /* something found may be chance: look at more traces */
    bool guessed;   /* or it is an expression that only many traces can confirm */
    bool raised;    /* sizes below the new `min` make no sense: read the traces again */
    /* while they are read: */
    kl_dims *d;
    kl_dim *dim; /* of each dimension */
    kl_unit_of *unit;
    uint32_t nunits;
};
/* What all dimensions are in each trace, given the symbols. */
kl_status kl_follow_values(kl_follow *f);
/* The traces as one graph in that arena. */
kl_status kl_follow_read(kl_follow *f, kl_arena *a, kl_graph **out);
/* The extents of input i that were left open. */
void kl_follow_input(const kl_follow *f, uint32_t i, kl_type *t);
/* A node that was read: its extents are known from here on. */
void kl_follow_note(kl_follow *f, const kl_graph *g, kl_ref r);
/* An extent of these values in the traces, KL_DIM_BAD if none is known; near: extents of
 * what it is made of. */
kl_dim kl_follow_extent(kl_follow *f, const int64_t *v, const kl_dim *near, int nnear);
/* A constant of these bits. */
bool kl_follow_number(kl_follow *f, kl_dtype dt, const int64_t *v, kl_number *out);

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
