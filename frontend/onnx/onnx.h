/* onnx.h: the ONNX front door's parts, over kiln's public headers alone.
 *
 *   file -> reader.c (protobuf-c, checked) -> model.c (initialisers as tensors, ports)
 *        -> run.c walks the graph: each node's row (rows.c) composes kl_* calls (op_*.c)
 *
 * A row reads operands, attributes and, where a shape is wanted, the values of small
 * tensors; while a function is traced these are known when no input of the model is
 * behind them. */
#ifndef KL_ONNX_PRIVATE_H
#define KL_ONNX_PRIVATE_H

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "op_flags.h"
#include "kiln.h"
#include "kiln/onnx.h"
#include "onnx.pb-c.h"

#define KL_COUNT(a) (sizeof(a) / sizeof(a)[0])
/* A call's place is the node under way. */
extern __thread const char *kl_onnx_here;
#undef KL_HERE
#define KL_HERE kl_onnx_here

typedef Onnx__GraphProto graph_proto;
typedef Onnx__NodeProto node_proto;
typedef Onnx__TensorProto tensor_proto;
typedef Onnx__AttributeProto attribute_proto;
typedef Onnx__FunctionProto function_proto;

/* ---- types.c: ONNX's element types ---- */
enum { KL_ONNX_TYPES = 27 };
/* What carries it; KL_DTYPE_NONE: nothing. */
kl_dtype kl_onnx_dtype(int type);
int kl_onnx_type(kl_dtype dt);
const char *kl_onnx_type_name(int type);
/* Whether kiln's dtype is something else than the type. */
bool kl_onnx_carried(int type);

/* ---- reader.c ---- */
/* A whole file, checked: no message nests deeper than a stack bears, none is larger than
 * the file explains. Freed by kl_onnx_unpacked_free. */
Onnx__ModelProto *kl_onnx_unpack(const char *name, const void *bytes, size_t size);
void kl_onnx_unpacked_free(Onnx__ModelProto *p);

/* ---- tensor.c ---- */
/* A TensorProto's elements; folder: of external data. A new reference, in no scope. */
kl_tensor *kl_onnx_tensor(const char *name, const tensor_proto *p, const char *folder);

/* ---- values and names ---- */
typedef struct kl_onnx_value {
    kl_tensor *t; /* NULL: absent, or a list */
    int type;
    int n; /* of the list; -1: no list */
    struct kl_onnx_value *list;
    kl_tensor *count; /* how much of t's axis is meant (padded.c); NULL: all */
    int axis;
    kl_tensor *most; /* t computed with counts at their most: known; NULL: with none */
    bool stacked;    /* t is a list: its elements along axis 0 */
    bool growing; /* the list is what a trip of a loop appends, not what was before it */
} kl_onnx_value;

typedef struct kl_onnx_entry { /* of an open hash table */
    const void *key;           /* NULL: free */
    kl_onnx_value value;
} kl_onnx_entry;
typedef struct kl_onnx_names { /* by text, or by address */
    kl_onnx_entry *v;
    size_t n, cap;
    bool by_address;
} kl_onnx_names;
/* names.c. false: out of memory, which is an error. */
bool kl_onnx_put(kl_onnx_names *t, const void *key, kl_onnx_value v);
kl_onnx_value *kl_onnx_get(const kl_onnx_names *t, const void *key);
void kl_onnx_names_free(kl_onnx_names *t);
/* A text that lives as long as the process: places stay in tensors. */
const char *kl_onnx_intern(const char *s);

/* ---- model.c ---- */
enum { KL_ONNX_DIMS = 16, KL_ONNX_LARGEST = 1 << 20 };
typedef struct kl_onnx_dim { /* an open dimension of the inputs */
    char name[64];           /* as a program has it */
    const char *text;        /* the model's, "" for none */
    int64_t min, max;
} kl_onnx_dim;
struct kl_onnx {
    char *name, *folder;
    Onnx__ModelProto *proto;
    kl_onnx_names tensors; /* TensorProto -> its tensor */
    int nin, nout, ndims;  /* ndims: KL_ONNX_DIMS + 1 when there are too many */
    kl_onnx_port *in, *out;
    kl_onnx_dim dims[KL_ONNX_DIMS];
    signed char (
        *open)[KL_INTS_MAX]; /* per input and extent: the dimension's number, or -1 */
};

/* dims.c: of m's ports, once they are there. */
bool kl_onnx_find_dims(kl_onnx *m);

/* ---- run.c: a walk over a graph ---- */
typedef struct kl_onnx_row kl_onnx_row;
typedef struct kl_onnx_op kl_onnx_op;
/* Names of one graph under way, over those around it. */
typedef struct kl_onnx_frame {
    const struct kl_onnx_frame *up;
    kl_onnx_names names;
    const function_proto *function; /* whose body it is in, or NULL */
    const kl_onnx_op *call;         /* the node that calls the function */
    int depth;
} kl_onnx_frame;
typedef struct kl_onnx_block { /* memory of the run */
    struct kl_onnx_block *next;
    max_align_t bytes[];
} kl_onnx_block;
typedef struct kl_onnx_run {
    const kl_onnx *m;
    kl_onnx_block *blocks;
    int64_t nodes; /* carried out so far */
    size_t bytes;  /* in blocks */
    bool traced;   /* inputs are parameters of a function being traced */
    bool open;     /* and their sizes are examples: what follows from them may vary */
    bool padded;   /* sizes that elements decide are bounds, beside a count */
    struct kl_onnx_choice *choices;
} kl_onnx_run;
struct kl_onnx_op {
    kl_onnx_run *run;
    const kl_onnx_frame *frame;
    const node_proto *node;
    const kl_onnx_row *row;
    int opset, nin, nout;
    kl_onnx_value *in, *out;
};
/* The row's meaning: n's operands to its results. */
void kl_onnx_carry_out(kl_onnx_op *n);
void *kl_onnx_alloc(kl_onnx_run *r, size_t size); /* zeroed; NULL is an error */
/* So many elements, and one; a number out of the model. */
void *kl_onnx_array(kl_onnx_run *r, int64_t count, size_t each);
void kl_onnx_run_free(kl_onnx_run *r); /* its memory */
/* The graph's nodes with these values for its inputs. */
kl_status kl_onnx_walk(kl_onnx_run *r, const graph_proto *g, const kl_onnx_frame *up,
                       const kl_onnx_value *in, int nin, kl_onnx_value *out, int nout);
/* kl_onnx_call, and the same in a function being traced; counted (NULL: refused): per
 * output, its axis whose size the elements decide, or -1; the counts of those follow the
 * outputs in out, as many as there is room for. */
typedef struct kl_onnx_counts {
    int *axis; /* m->nout of them */
    int n, room;
} kl_onnx_counts;
typedef enum kl_onnx_how { KL_ONNX_NOW, KL_ONNX_TRACED, KL_ONNX_OPEN } kl_onnx_how;
kl_status kl_onnx_run_model(const kl_onnx *m, kl_tensor *const *in, kl_tensor **out,
                            int *types, kl_onnx_how how, kl_onnx_counts *counts);

/* ---- padded.c ---- */
/* kl_onnx_carry_out, also of operands whose size elements decide: by the operator's rule,
 * or an error. */
void kl_onnx_carry_counted(kl_onnx_op *n);
int kl_onnx_opset(const kl_onnx *m, const function_proto *f, const char *domain);
const function_proto *kl_onnx_function(const kl_onnx *m, const char *domain,
                                       const char *name, const char *overload);

/* An operator as messages have it, for "%.80s%s%.80s": "com.microsoft.FusedConv". */
#define KL_ONNX_OPERATOR(node) (node)->domain, *(node)->domain ? "." : "", (node)->op_type

/* ---- rows.c: the operators ---- */
typedef void (*kl_onnx_fn)(kl_onnx_op *n);
struct kl_onnx_row {
    const char *name;
    int first, last; /* opsets; last 0: to the newest */
    kl_onnx_fn fn;   /* or: */
    kl_tensor *(*one)(const char *at, kl_arg a);
    kl_tensor *(*two)(const char *at, kl_arg a, kl_arg b);
    kl_tensor *(*reduce)(const char *at, kl_tensor *t, kl_ints axes, bool keep);
    int least; /* operands that must be there; 0: one, or two */
    unsigned flags;
    const char *domain; /* NULL: ai.onnx */
};
extern const kl_onnx_row kl_onnx_rows[];
extern const int kl_onnx_row_count;
/* NULL: there is none. *near (may be NULL): the row of that name for other opsets, or of
 * the name most like it (kl_onnx_other: which of the two). */
const kl_onnx_row *kl_onnx_find(const char *domain, const char *name, int opset,
                                const kl_onnx_row **near);
bool kl_onnx_other(const kl_onnx_row *near, const node_proto *node);

#endif
