/* front.h: the frontend's private header: the four objects behind a tensor, and the
 * functions that make, read, write and compute them.
 *
 *   handle (kl_tensor) --> storage --> node (kl_lazy) --> sources ..
 *      |  map into it        |  version     |  value (memory) once computed
 *      +- leaf: .grad        +- exposed     +- place
 *
 * An operation reads its operands' current versions (kl_read_arg), builds nodes out of
 * them (node.c, compose.c), and wraps the last one in a new handle (kl_call_end). Nodes
 * made on the way are temporaries of the call. Nothing is computed before kl_force. */
#ifndef KL_FRONT_H
#define KL_FRONT_H

#include "passes/passes.h"
#include "kiln.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>

/* ---- reference counts ---- */

/* The calls of all threads exclude each other, by a lock of the host's (kl_set_wait): so
 * counts need no atomic operations, which are half of what a small object costs. */
extern bool kl_serial;
static inline void kl_count_up(int32_t *n)
{
    if (kl_serial)
        ++*n;
    else
        __atomic_add_fetch(n, 1, __ATOMIC_RELAXED);
}
static inline int32_t kl_count_down(int32_t *n) /* what is left */
{
    return kl_serial ? --*n : __atomic_sub_fetch(n, 1, __ATOMIC_ACQ_REL);
}

/* ---- slab.c: small objects ---- */

enum { KL_SLAB_CLASSES = 16 };
typedef struct kl_slab_item {
    struct kl_slab_item *next;
} kl_slab_item;
typedef struct kl_slab_lists { /* of a thread */
    kl_slab_item *head[KL_SLAB_CLASSES];
    int64_t live; /* added to all threads' when it refills or trims */
    uint32_t epoch;
    bool known;
} kl_slab_lists;

/* Objects of up to 1 KiB from per-thread free lists; larger ones from kl_alloc. NULL: out
 * of memory, recorded. */
void *kl_slab_alloc(size_t size);
void kl_slab_free(void *p, size_t size);
/* Give all slabs back when no object is live; false if some is. */
bool kl_slab_trim(void);
void kl_slab_thread_ends(kl_slab_lists *l);

/* ---- lazy.c: nodes ---- */

/* op, attributes and shape are encoded as in ir.h. A leaf is KL_OP_input: with memory (a
 * buffer), with an immediate (a number given at run time) or with neither (a parameter of
 * a function being traced). KL_OP_detach stops gradients; one with a leaf is a variable.
 */

typedef struct kl_lazy kl_lazy;
typedef struct kl_leaf kl_leaf;
typedef struct kl_counter {
    int32_t refs;
    uint32_t version;
} kl_counter;

struct kl_lazy {
    int32_t refs; /* atomic */
    uint16_t op;
    uint8_t dtype, rank;
    uint16_t nsrc, nattr;
    uint8_t track;  /* a gradient flows through it */
    uint8_t stored; /* the current version of some storage (relaxed atomic) */
    uint8_t small;  /* an input of at most 64 bytes kept in imm[] (its words) */
    uint8_t device;
    uint8_t past;   /* what earlier forces did with it, as key.c has it; under the lock */
    uint8_t before; /* and: past when the walk now under way began */
    uint8_t needed; /* by the walk now under way: a gradient goes through it */
    uint8_t cut;    /* and: numbered on top of a given value that is tracked */
    uint8_t freed;  /* its gradient was taken, the graph given up; under the graph lock */
    uint8_t param;  /* 1 + number of a traced function's parameter, small */
    uint8_t own;    /* bit i: source i is the version that it was written over itself */
    uint8_t indexed; /* by an index that may be wrong: 1 + dimension + 16 times its use */
    uint32_t mark, index, out, uses; /* of the walk now under way; under the graph lock */
    uint32_t born; /* how many forces there had been when the oldest of its history that
                      has no value was made */
    uint32_t depth, size; /* longest path to a leaf; bytes of this block */
    uint32_t expected;    /* version that `counter` had when this node was current */
    const char *place, *name;
    const char *fn;      /* the public function that gave it; NULL: a step of one */
    kl_memory *mem;      /* its value, dense row-major; set once, under the graph lock */
    kl_leaf *leaf;       /* where its gradient is collected, or NULL */
    kl_counter *counter; /* set when its storage went on to another version */
    int64_t words[];     /* shape[rank], attr[nattr], src[nsrc] */
};
static inline int64_t *kl_lazy_shape(kl_lazy *n)
{
    return n->words;
}
static inline int64_t *kl_lazy_attr(kl_lazy *n)
{
    return n->words + n->rank;
}
static inline kl_lazy **kl_lazy_srcs(kl_lazy *n)
{
    return (kl_lazy **)(void *)(n->words + n->rank + n->nattr);
}
static inline kl_lazy *kl_lazy_src(kl_lazy *n, int i)
{
    return kl_lazy_srcs(n)[i];
}
int64_t kl_lazy_numel(kl_lazy *n);
size_t kl_lazy_bytes(kl_lazy *n);
/* The device of what stands on no memory: it goes wherever it is used. What a tensor
 * holds has one. */
#define KL_FREE 255

/* A new node, a temporary of the current call (it lives until the call ends unless
 * referenced). NULL if a source is NULL or memory ends. Shape and dtype are the caller's
 * claim; under KILN_VERIFY they are compared with kl_infer's. */
typedef struct kl_make {
    kl_op op;
    kl_dtype dtype;
    int rank;
    const int64_t *shape;
    kl_lazy *const *src;
    int nsrc;
    const int64_t *attr;
    int nattr;
} kl_make;
kl_lazy *kl_lazy_make(const kl_make *m);
/* A leaf over memory (a new reference is taken) or nothing. */
kl_lazy *kl_lazy_input(kl_memory *mem, kl_dtype dt, int rank, const int64_t *shape);
/* A leaf whose few elements lie in the node and are no part of any key. */
kl_lazy *kl_lazy_small(kl_dtype dt, int rank, const int64_t *shape, const void *bytes);
const void *kl_lazy_small_bytes(kl_lazy *n);
/* The computed value in whose memory n's elements lie, dense, from byte *at on: n itself,
 * or what it is a part of. NULL: none yet. Under the graph lock. */
kl_lazy *kl_lazy_base(kl_lazy *n, size_t *at);
kl_lazy *kl_lazy_ref(kl_lazy *n);
void kl_lazy_unref(kl_lazy *n); /* iterative */
/* Drop the sources of a computed node. */
void kl_lazy_forget(kl_lazy *n);
kl_memory *kl_lazy_mem(kl_lazy *n); /* borrowed; NULL: not computed */
/* n becomes a variable over its former self, so that no gradient passes it unseen; leaf:
 * which keeps n's leaf. Under the graph lock. */
kl_status kl_lazy_barrier(kl_lazy *n, bool leaf);
/* Another place for a computed value. */
void kl_lazy_move(kl_lazy *n, kl_memory *mem);
int64_t kl_lazy_live(void);
kl_lazy *kl_lazy_temp(kl_lazy *n);    /* hand a reference over to the current call */
extern pthread_mutex_t kl_graph_lock; /* walks over nodes, and setting values */
uint32_t kl_next_mark(void);          /* a fresh mark; under the graph lock */

/* ---- devices.c */

#define KL_DEVICE_NAME 24
const char *kl_device_name(int device, char buf[KL_DEVICE_NAME]); /* "cuda:0" */
/* Where what stands on no memory is computed: KILN_DEVICE. Fails when it is not there. */
kl_status kl_default_device(int *out);
kl_status kl_lazy_settle(kl_lazy *n); /* tensor.c: on the default device, if on none */
/* The value in memory of another device, as a leaf; n itself if it is there. */
kl_lazy *kl_lazy_to(kl_lazy *n, int device);
/* Host values without axes among operands of a device are copied to it. */
kl_status kl_numbers_along(int n, kl_lazy **a);

/* ---- scope.c: what belongs to a thread ---- */

enum { KL_BARE = 4 };
typedef struct kl_state {
    kl_lazy **temps; /* nodes made by the calls now under way */
    size_t ntemps, cap_temps;
    kl_tensor **owned; /* handles of all open scopes, marks between them */
    size_t nowned, cap_owned;
    size_t *scopes;
    size_t nscopes, cap_scopes;
    size_t unkept;             /* scopes begun for which no memory was found */
    struct kl_storage **dirty; /* written in place, or gradients, and not yet computed */
    size_t ndirty, cap_dirty;
    uint32_t pending;   /* nodes made since the last force */
    uint32_t forces;    /* so far */
    kl_lazy *last_base; /* what the last kl_tensor_read stood on; compared only */
    uint32_t last_stamp;
    int numbers;            /* of the call under way, so far */
    int no_grad;            /* how many no_grad are open */
    bool exposed;           /* the call now under way read an exposed storage */
    kl_lazy *bare[KL_BARE]; /* those of its leaves that could be copied */
    int nbare;              /* above KL_BARE: there are others */
    bool tracing;           /* a function is traced: numbers are its constants */
    bool open;              /* and its sizes are examples: nodes do not depend on them */
    kl_dtype default_dtype;
    int default_device; /* kl_set_default_device's + 1; 0: KILN_DEVICE's */
    /* kl_cleanup clears what is above */
    int64_t nodes; /* made less released: of all threads' sum they are the number alive */
    kl_slab_lists slabs;
    uintptr_t thread; /* whose it is; atomic */
    struct kl_state *next;
} kl_state;
/* Thread-local variables of a shared library are far away: a look at the state that was
 * asked for last is all that most calls need. */
extern kl_state *kl_last_state; /* states are never given back; atomic */
kl_state *kl_thread_slow(void);
static inline uintptr_t kl_self(void)
{
#if defined __x86_64__ && defined __GNUC__
    return (uintptr_t)__builtin_thread_pointer();
#else
    return (uintptr_t)pthread_self();
#endif
}
static inline kl_state *kl_thread(void)
{
    kl_state *s = __atomic_load_n(&kl_last_state, __ATOMIC_ACQUIRE);
    return s && __atomic_load_n(&s->thread, __ATOMIC_RELAXED) == kl_self()
               ? s
               : kl_thread_slow();
}
kl_status
kl_scope_add(kl_tensor *t); /* takes over the caller's reference, also on failure */
kl_status kl_dirty_add(struct kl_storage *s);

/* ---- tensor.c, storage.c, view.c ---- */

typedef struct kl_storage {
    int32_t refs;    /* atomic */
    uint8_t lock;    /* spin */
    uint8_t dirty;   /* on some thread's dirty list */
    int32_t exposed; /* outside holders of a pointer */
    uint32_t version;
    /* The version since which detached handles of before see gradients, too: what was
     * written through one of them has some. 0: never. */
    uint32_t open;
    uint32_t stamp; /* moves whenever what was read before may no longer hold */
    int64_t numel;
    kl_lazy *node;   /* the current version */
    kl_memory *home; /* exposed: the memory that pointers outside point to */
    kl_counter *counter;
} kl_storage;

typedef struct kl_cut { /* cut.c: where the graph is cut for a derivative that is no node
                         */
    int32_t refs;       /* atomic */
    bool hook;     /* looks at the gradient of one tensor; else a function's derivative */
    bool collects; /* a checkpoint: gradients of what it captured are collected by it */
    uint64_t used; /* and given up by the backward of that number; 0: not yet */
    const char *place;
    kl_cut_fn fn;
    void *user, (*drop)(void *);
    kl_lazy **in; /* the function's operands */
    int nin, nout;
} kl_cut;
kl_cut *kl_cut_ref(kl_cut *c);
void kl_cut_unref(kl_cut *c);
bool kl_cuts_live(void);
/* value, whose gradient goes on to `of` as it is. */
kl_lazy *kl_n_standing_for(kl_lazy *of, kl_lazy *value);
/* kl_custom of one result, whose function collects gradients itself. */
kl_status kl_cut_again_at(const char *at, kl_tensor *const *in, int nin, kl_tensor **out,
                          kl_cut_fn fn, void *user, void (*drop)(void *));
/* Send y's gradient down. x given: dx[nx] by those; else leaves collect theirs. */
kl_status kl_cut_gradients(kl_lazy *y, kl_lazy *seed, kl_lazy *const *x, int nx,
                           bool retain, bool create, kl_lazy **dx);

struct kl_leaf { /* gradient state of one leaf, shared by its handle and its views */
    int32_t refs;
    bool of_node; /* the node's own; else it owns its variable */
    bool retain;  /* of a computed tensor: asked for by retain_grad */
    struct kl_leaf
        *of;     /* of a view of a leaf: that one, which its elements are read by */
    int output;  /* of the cut: which result this is */
    kl_cut *cut; /* called with the gradient before it goes on; or NULL */
    kl_tensor *grad;
    kl_lazy *var; /* detach of `base`, which gradients are taken by */
    /* Variables of versions before that graphs still hold: they collect here, too. */
    kl_lazy **older;
    size_t nolder, cap_older;
    kl_lazy *base; /* not a reference: compared only, with the stamp */
    uint32_t stamp;
    /* Of a leaf that is a part of its storage: where its elements lie in `base`, whose
     * shape the variable and its gradient have. */
    bool mapped;
    uint8_t rank;
    int64_t offset, shape[KL_MAX_RANK], stride[KL_MAX_RANK];
};

struct kl_tensor {
    int32_t refs; /* atomic */
    uint8_t dtype, rank;
    uint8_t whole;    /* the map is the identity on the storage's node */
    uint8_t detached; /* no gradient flows through this handle (kl_detached); 2: it is a
                         view of one that has some, made where nothing is recorded */
    uint8_t view;     /* made by a view function */
    kl_storage *storage;
    int64_t offset;  /* in elements of the flat storage */
    kl_leaf *leaf;   /* a leaf that requires grad, or a view of one */
    kl_tensor *grad; /* what was assigned while it required none; else the leaf's */
    const char *place, *name;
    const char *fn; /* the public function that made its value, "kl_add_at" */
    kl_lazy *cache; /* view: reading of `base` by movement nodes */
    kl_lazy *base;  /* not a reference: compared only, with the stamp */
    uint32_t stamp;
    uint32_t since;  /* the storage's version when this was made or detached */
    int64_t words[]; /* shape[rank], stride[rank] in elements */
};
/* t does not see the gradient of its storage's version: it was detached, and nothing that
 * has one was written through a detached handle since; or that was written last, and t is
 * what it had been detached from. */
static inline bool kl_detached(const kl_tensor *t)
{
    const kl_storage *s = t->storage;
    return t->detached ? t->since >= s->open
                       : s->version == s->open && t->since < s->open;
}
static inline int64_t *kl_t_shape(kl_tensor *t)
{
    return t->words;
}
static inline int64_t *kl_t_stride(kl_tensor *t)
{
    return t->words + t->rank;
}
int64_t kl_count(int rank, const int64_t *shape);
/* Extents of what was asked for: beyond 64 bits they stay at the end, where a result is
 * refused for having too many elements (kl_shape_count). */
static inline int64_t kl_sat_add(int64_t a, int64_t b)
{
    int64_t r;
    return kl_add_overflow(a, b, &r) ? (b < 0 ? INT64_MIN : INT64_MAX) : r;
}
static inline int64_t kl_sat_mul(int64_t a, int64_t b)
{
    int64_t r;
    return kl_mul_overflow(a, b, &r) ? ((a < 0) != (b < 0) ? INT64_MIN : INT64_MAX) : r;
}
static inline int64_t kl_sat_neg(int64_t a)
{
    return kl_sat_mul(a, -1);
}
/* Bytes of n elements; more than kl_alloc gives where they are too many. */
static inline size_t kl_sat_bytes(int64_t n, size_t each)
{
    size_t r;
    return n < 0 || __builtin_mul_overflow((size_t)n, each, &r) ? SIZE_MAX : r;
}

/* A handle of a new storage whose first version is n. */
kl_tensor *kl_tensor_wrap(kl_lazy *n);
kl_tensor *kl_tensor_wrap_in_order(kl_lazy *n, const int *perm); /* layout.c */
/* A handle of t's storage through another map; n: what reading it now gives. */
kl_tensor *kl_tensor_view(kl_tensor *t, int64_t offset, int rank, const int64_t *shape,
                          const int64_t *stride, kl_lazy *n);
/* The value of a handle now; a temporary of the call. */
kl_lazy *kl_tensor_read(kl_tensor *t);
/* Make v (of t's dtype and shape) what t holds from now on. */
kl_status kl_tensor_write(kl_tensor *t, kl_lazy *v);
kl_lazy *kl_storage_node(kl_storage *s); /* a new reference to the current version */
/* Hand out a pointer: computed, in memory of the storage's own (home) from now on. */
kl_status kl_storage_expose(kl_storage *s);
/* The same version with its value in another memory, as a leaf; nodes made before keep
 * theirs. */
kl_status kl_storage_rebase(kl_storage *s, kl_lazy *n, kl_memory *mem);
const char *kl_intern(const char *s);
kl_storage *kl_storage_ref(kl_storage *s);
void kl_storage_unref(kl_storage *s);
kl_leaf *kl_leaf_ref(kl_leaf *l);
void kl_leaf_unref(kl_leaf *l);
void kl_counter_unref(kl_counter *c);

/* ---- arg.c: operands and promotion ---- */

typedef struct kl_call { /* saved state of the call around */
    size_t temps;
    const char *place, *fn;
    int numbers;
    bool exposed;
} kl_call;
kl_call kl_call_enter(const char *at, const char *fn);
#define kl_call_begin(at) kl_call_enter(at, __func__)
/* exposed.c: how a call reads an exposed storage, whose node is n: a copy, or n, and then
 * the call's result is due. */
kl_lazy *kl_read_exposed(kl_tensor *t, kl_lazy *n);
/* r over copies of what it read, where they are smaller, or r. */
kl_lazy *kl_stay_lazy(const kl_call *c, kl_lazy *r);
/* Wrap r (computing it if an exposed storage was read), drop the call's temporaries. */
kl_tensor *kl_call_end(kl_call *c, kl_lazy *r);
/* The same, the result's axes in memory as PyTorch lays an elementwise result's: after
 * the operands. */
kl_tensor *kl_call_end_laid(kl_call *c, kl_lazy *r, int n, const kl_arg *a);
enum { KL_LAID_MOST = 6 }; /* operands that are asked for their order */
/* perm: its axes in memory, the outermost first; NULL: row-major. */
kl_tensor *kl_call_end_in_order(kl_call *c, kl_lazy *r, const int *perm);
/* The same for a view, and for a call without a result. */
kl_tensor *kl_call_view(kl_call *c, kl_tensor *t);
kl_status kl_call_done(kl_call *c, kl_status s);

bool kl_arg_ok(kl_arg a); /* a number or a tensor that is not NULL */
kl_dtype kl_arg_promote(int n, const kl_arg *a);
kl_dtype kl_arg_promote_float(int n,
                              const kl_arg *a); /* integers go to the default dtype */
kl_lazy *kl_arg_read(kl_arg a, kl_dtype dt);    /* read, cast; a number becomes 0-d */
kl_lazy *kl_arg_node(kl_arg a);                 /* read in its own dtype */
kl_lazy *kl_arg_tensor(kl_tensor *t);           /* read; NULL stays NULL */
/* Whether a list of n, or a place for n results, is one: "%s is NULL" else. */
bool kl_arg_given(const void *list, int64_t n, const char *what);
/* Every operand of the same shape (expanded). fn names the call in messages. */
kl_status kl_broadcast(const char *fn, int n, kl_lazy **a);
kl_status kl_broadcast_shape(const char *fn, int ra, const int64_t *sa, int rb,
                             const int64_t *sb, int *rank, int64_t *shape);
/* dim counted from the end when negative; PyTorch's message when out of range. */
kl_status kl_dim_wrap(int64_t dim, int rank, int *out);
kl_status kl_axes_mask(kl_ints axes, int rank, uint64_t *mask); /* none: all */
kl_dtype kl_default(void);
const char *kl_ints_text(kl_ints s, char *buf, size_t cap); /* "[2, 3]" */

/* ---- node.c: one function a primitive; NULL in, NULL out ---- */

kl_lazy *kl_n_const(kl_dtype dt, double v);
kl_lazy *kl_n_const_int(kl_dtype dt, int64_t v);
kl_lazy *kl_n_full(kl_dtype dt, int rank, const int64_t *shape, double v);
kl_lazy *kl_n_fill(kl_lazy *v, int rank, const int64_t *shape);
kl_lazy *kl_n_iota(kl_dtype dt, int rank, const int64_t *shape, int axis);
kl_lazy *kl_n_cast(kl_lazy *a, kl_dtype dt);
kl_lazy *kl_n_copy(kl_lazy *a); /* the same value as a node of its own */
kl_lazy *kl_n_bitcast(kl_lazy *a, kl_dtype dt);
kl_lazy *kl_n_detach(kl_lazy *a);
kl_lazy *kl_n_un(kl_op op, kl_lazy *a);
/* Operands of one dtype; 0-d or missing axes of the other side are expanded. */
kl_lazy *kl_n_bin(kl_op op, kl_lazy *a, kl_lazy *b);
kl_lazy *kl_n_binc(kl_op op, kl_lazy *a, double v); /* a op v */
kl_lazy *kl_n_cbin(kl_op op, double v, kl_lazy *a); /* v op a */
kl_lazy *kl_n_where(kl_lazy *c, kl_lazy *a, kl_lazy *b);
kl_lazy *kl_n_fma(kl_lazy *a, kl_lazy *b, kl_lazy *c);
kl_lazy *kl_n_philox(kl_lazy *counter, kl_lazy *call, kl_lazy *key); /* all u64 */
kl_lazy *kl_n_reshape(kl_lazy *a, int rank, const int64_t *shape);
kl_lazy *kl_n_permute(kl_lazy *a, const int *perm);
kl_lazy *kl_n_swap(kl_lazy *a, int i, int j);
kl_lazy *kl_n_expand(kl_lazy *a, int rank, const int64_t *shape);
kl_lazy *kl_n_expand_like(kl_lazy *a, kl_lazy *like);
kl_lazy *kl_n_unsqueeze(kl_lazy *a, int axis);
kl_lazy *kl_n_pad(kl_lazy *a, kl_lazy *fill, const int64_t *lo, const int64_t *hi,
                  const int64_t *interior);
kl_lazy *kl_n_slice(kl_lazy *a, const int64_t *start, const int64_t *extent,
                    const int64_t *step);
kl_lazy *kl_n_slice_axis(kl_lazy *a, int axis, int64_t start, int64_t extent,
                         int64_t step);
kl_lazy *kl_n_flip(kl_lazy *a, uint64_t axes);
kl_lazy *kl_n_concat(kl_lazy *const *a, int n, int axis);
typedef struct kl_window_axis {
    int axis;
    int64_t size, stride, dilation;
} kl_window_axis;
kl_lazy *kl_n_window(kl_lazy *a, int m, const kl_window_axis *w);
kl_lazy *kl_n_fold(kl_lazy *a, int rank, const int64_t *shape, int m,
                   const kl_window_axis *w);
kl_lazy *kl_n_strided(kl_lazy *a, int64_t offset, int rank, const int64_t *shape,
                      const int64_t *stride);
kl_lazy *kl_n_update(kl_lazy *a, kl_lazy *b, int64_t offset, const int64_t *stride);
kl_lazy *kl_n_reduce(kl_op combine, kl_lazy *a, uint64_t axes, bool keep);
kl_lazy *kl_n_arg(kl_op op, kl_lazy *a, int axis, bool keep);
kl_lazy *kl_n_prefix(kl_op combine, kl_lazy *a, int axis);
kl_lazy *kl_n_contract(kl_lazy *a, kl_lazy *b, const char *labels, kl_dtype acc);
kl_lazy *kl_n_gather(kl_lazy *a, kl_lazy *index, int axis, int batch);
kl_lazy *kl_n_scatter(int combine, kl_lazy *a, kl_lazy *index, kl_lazy *v, int axis,
                      int batch);
kl_lazy *kl_n_sort(kl_lazy *a, int axis, bool descending, kl_lazy **index);
kl_lazy *kl_n_sort_first(kl_lazy *a, int axis, bool descending, int64_t first,
                         kl_lazy **index);
kl_lazy *kl_n_grad(kl_lazy *y, kl_lazy *seed, kl_lazy *const *x, int n, kl_lazy **out);

/* ---- random.c: [0, 1) and the normal distribution; each call draws from a stream of its
 * own ---------- */

/* Streams that this thread's calls drew from, to draw from them again. */
typedef struct kl_draws {
    uint64_t *calls; /* pairs: seed, number of the call */
    size_t n, cap, next;
    bool replay;
} kl_draws;
/* From here on draws are noted in d, or taken from it; gives what to end with. */
kl_draws *kl_draws_begin(kl_draws *d, bool replay);
void kl_draws_end(kl_draws *outer);
void kl_draws_free(kl_draws *d);
kl_lazy *kl_n_rand(kl_dtype dt, int rank, const int64_t *shape);
kl_lazy *kl_n_randn(kl_dtype dt, int rank, const int64_t *shape);

/* ---- compose.c: functions of nodes ---- */

kl_lazy *kl_n_relu(kl_lazy *a);
kl_lazy *kl_n_sigmoid(kl_lazy *a);
kl_lazy *kl_n_square(kl_lazy *a);
kl_lazy *kl_n_mean(kl_lazy *a, uint64_t axes, bool keep);
kl_lazy *kl_n_var(kl_lazy *a, uint64_t axes, double correction, bool keep);
kl_lazy *kl_n_softmax(kl_lazy *a, int axis);
kl_lazy *kl_n_log_softmax(kl_lazy *a, int axis);
kl_lazy *kl_n_logsumexp(kl_lazy *a, uint64_t axes, bool keep);
kl_lazy *kl_n_matmul(kl_lazy *a, kl_lazy *b);
kl_lazy *kl_n_linear(kl_lazy *x, kl_lazy *w, kl_lazy *b);
kl_lazy *kl_n_wrap_index(kl_lazy *index,
                         int64_t extent); /* negative ones from the end, i64 */
/* index_check.c: the same, checked now or when it is used; of a dimension of the user's
 * tensor, and what it is used for: what the error says. */
typedef enum kl_index_use {
    KL_INDEXED,
    KL_SCATTERED,
    KL_SELECTED,
    KL_TAKEN,
    KL_TARGET,
    KL_WEIGHTS /* of a drawing: 1, where they are no weights, 2, where all are 0 */
} kl_index_use;
kl_lazy *kl_n_index(kl_lazy *index, int64_t extent, int dim, kl_index_use use);
/* Rows of a, without counting from the end. */
kl_lazy *kl_n_rows(kl_lazy *a, kl_lazy *index, kl_index_use use);
kl_status kl_index_known(kl_lazy *i, int64_t extent, int dim, kl_index_use use);
/* Computing these failed with an index out of range: say which, in place of that error.
 */
/* explain.c: what this machine's memory and arithmetic reach a second, measured once. */
kl_status kl_machine_speed(double *bytes, double *flops);
kl_status kl_index_explain(kl_lazy *const *roots, int n);
kl_lazy *kl_n_widen(kl_lazy *a); /* f16 and bf16 to f32 */
kl_lazy *kl_n_one_hot(kl_lazy *index, int64_t n, kl_dtype dt);
kl_lazy *kl_n_reduced(kl_lazy *loss, kl_reduction r); /* loss.c */
/* index.c: v combined into a, an element an index along axis; all of one rank */
kl_lazy *kl_n_scatter_along(int op, kl_lazy *a, kl_lazy *index, kl_lazy *v, int axis);
kl_lazy *kl_n_nonzero(kl_lazy *a); /* index.c: computed at once, i64 [count, rank] */

/* ---- force.c, key.c, cache.c: computing ---- */

/* Compute these nodes (and whatever else is due); afterwards each has memory. */
kl_status kl_force(kl_lazy *const *roots, int n);
kl_status kl_force_one(kl_lazy *n);
kl_status kl_force_dirty(void);
void kl_force_trim(void); /* what this thread keeps between forces */
/* What a force of these would run, without running it: its linear form (the caller's to
 * free) and its program; *out NULL when nothing is left to compute. */
struct kl_entry;
struct kl_linear;
kl_status kl_force_look(kl_lazy *const *roots, int n, struct kl_linear *l,
                        struct kl_entry **out);
/* The value's bytes on the host, dense row-major, computed first. From another device: a
 * copy that lives as long as the call. */
kl_status kl_value(kl_lazy *n, const void **bytes);
/* Tests: run everything through the reference interpreter instead of compiled code. */
KL_API void kl_force_interp(bool on);
bool kl_interp_on(void);

/* The linear form of some nodes' cone: bytes that are the cache's key and the import's
 * input. */
typedef struct kl_list {
    kl_lazy **v;
    uint32_t n, cap;
} kl_list;
typedef struct kl_given { /* where an input's elements lie */
    kl_lazy *base;        /* referenced; NULL: a parameter of a function being traced */
    size_t at;
} kl_given;
typedef struct kl_carried { /* who makes what a loop hands on from turn to turn */
    uint16_t op;
    const char *place;
} kl_carried;
typedef struct kl_linear {
    uint8_t *key;
    size_t nkey, cap_key;
    uint32_t nnodes;
    kl_list inputs, outputs; /* by number; referenced */
    kl_given *given;         /* by input */
    uint32_t cap_given;
    kl_list stack;
    kl_list first;       /* leaves to be numbered before all others; borrowed */
    const char **labels; /* place and name of each node */
    uint32_t cap_labels;
    kl_carried carried[8];
    int ncarried;
    kl_list handed; /* what they made that nobody holds, but perhaps other nodes do */
    int device;
    bool failed, grads;
    bool looking; /* leave no trace: the same program must come out the next time */
} kl_linear;
/* Bytes at a key's end: how many nodes, outputs, batch_invariant, the device. */
enum { KL_KEY_TAIL = 16 };
/* In the store programs are known by the target, not by the device's number, the last
 * word of a key: what one device's process made serves the next device of its kind. */
static inline size_t kl_portable_key(size_t nkey)
{
    return nkey - sizeof(uint32_t);
}
/* Under the graph lock. extra: also compute what is cheap, due or computed before. */
kl_status kl_linearise(kl_linear *l, kl_lazy *const *roots, int n, bool extra);
/* The same of a body: leaves are its inputs whatever they are, roots its outputs in
 * order. */
kl_status kl_linearise_body(kl_linear *l, const kl_list *leaves, const kl_list *roots);
void kl_linear_reset(kl_linear *l); /* drops references, keeps capacity */
void kl_linear_free(kl_linear *l);

/* import.c: from the linear form to a graph in an arena. Inputs are numbered as in l. */
typedef struct kl_substitute { /* for one word of a key */
    uint32_t at;               /* its first byte */
    uint8_t given;             /* the constant becomes an input */
    kl_dim dim;                /* else this is its extent */
} kl_substitute;
typedef struct kl_substitution { /* in ascending order; over symbols of these dims */
    kl_dims *dims;
    kl_substitute *word;
    uint32_t n;
    struct kl_follow *follow; /* or: what traces at several sizes say (sizes.h) */
} kl_substitution;
/* sub NULL: as it stands. */
kl_status kl_import(const kl_linear *l, kl_arena *a, const kl_substitution *sub,
                    kl_graph **out);

/* body.c: bodies of control nodes by content. keep: its hash; both ways compared in full.
 */
kl_status kl_body_keep(const kl_linear *l, uint32_t nin, uint32_t nout, int64_t hash[2]);
void kl_body_clear(void); /* forget all */
typedef struct kl_body {
    kl_hash hash;
    uint8_t *key;
    size_t nkey;
    uint32_t nnodes, nin, nout;
    const char **labels; /* place and name of each node, of the first such body */
    uint64_t used;
} kl_body;
/* Of that hash, to be read while f runs; NULL: it is forgotten. */
kl_status kl_body_read(const int64_t hash[2],
                       kl_status (*f)(void *user, const kl_body *b), void *user);

/* native.c: the bodies of a function node that calls native functions. attr: as the lazy
 * node has them (names), then as the graph's node has them (bodies). */
kl_status kl_native_bodies(kl_graph *g, const kl_type *out, const kl_ref *src,
                           uint32_t nsrc, int64_t *attr);

typedef struct kl_entry kl_entry; /* of the program cache */
struct kl_sized;
struct kl_entry {
    kl_hash hash;
    uint8_t *key;
    size_t nkey;
    int device;
    int32_t refs; /* atomic */
    int state;    /* under the cache's lock: 0 being made, 1 ready, 2 failed */
    kl_program *program;
    struct kl_sized *sized; /* the program serves other sizes too (sizes.h), or NULL */
    int64_t spent_ns;       /* by a program of many sizes with these; atomic */
    /* or, interpreted: */
    kl_graph *graph;
    kl_arena *arena;
    kl_entry *next;
    uint64_t used;
};
/* Find or make the program of l; a new reference. */
kl_status kl_cache_get(const kl_linear *l, int device, kl_entry **out);
/* Whether it means something in another process: native functions do not. */
bool kl_graph_portable(const kl_graph *g);
kl_entry *kl_cache_last(void); /* used last, a new reference; NULL: none */
void kl_entry_unref(kl_entry *e);
void kl_cache_clear(void);
/* Run it: in and out by number, as memory of the device. */
kl_status kl_entry_run(const kl_entry *e, const kl_linear *l, kl_memory **out);
bool kl_list_add(kl_list *l, kl_lazy *n);  /* out of memory: false */
bool kl_list_hold(kl_list *l, kl_lazy *n); /* with a reference of the list's own */

/* ---- compile.c: graph -> passes -> codegen -> program ---- */

kl_status kl_compile_graph(kl_graph *g, int device, kl_program **out);
/* The same from the store by a key that says what it computes; *out NULL: not there. */
kl_status kl_compile_find(const void *key, size_t nkey, int device, kl_program **out);
void kl_compile_keep(const void *key, size_t nkey, const kl_program *p);

/* ---- link.c: a program's kernels as code that is loaded ---- */

/* Of a unit whose program is planned, its bodies' too. fresh: past every cache. */
kl_status kl_link_unit(kl_unit *u, int device, bool fresh);
/* From the caches alone, by code->key; code->module NULL: not there. */
kl_status kl_link_found(kl_kernel_code *code, int nphases, int device);
/* What else than its text an object, or a plan, depends on. */
void kl_link_setting(kl_text *text, const kl_target *t);
kl_hash kl_build_id(void); /* build_id.c: of this very build of the library */
/* What the interpreter needs done: gradients expanded. */
kl_status kl_prepare_interp(kl_arena *a, kl_graph **g);

/* ---- autograd.c ---- */

/* The graph is given up by this backward, kept for another, or only marked as given up.
 */
typedef enum kl_walk { KL_WALK_LAST, KL_WALK_KEEP, KL_WALK_MARK } kl_walk;

/* Check that gradients of y may be taken, and collect the variables below it. */
typedef struct kl_vars {
    kl_lazy **v;
    int n, cap;
    bool reads; /* a derivative on the way there reads values that are tracked */
} kl_vars;
kl_status kl_vars_below(kl_lazy *y, kl_walk walk, kl_vars *out);
void kl_vars_free(kl_vars *v);
/* create: the sum is a tensor of its own, which can be differentiated. */
kl_status kl_leaf_accumulate(kl_leaf *l, kl_lazy *g, bool create);
kl_lazy *kl_leaf_part(const kl_leaf *l, kl_lazy *g); /* g, of l's variable, as l's own */
bool kl_tracks(kl_tensor *t);
/* l collects the gradient of n, a node that flows on. */
void kl_leaf_watch(kl_leaf *l, kl_lazy *n);
void kl_leaf_move(kl_leaf *l, kl_lazy *from, kl_lazy *to);
/* An error if one of the variables is a cut: what cannot go through it. */
kl_status kl_cuts_refuse(const kl_vars *found, const char *what);

/* ---- nan.c: where a NaN came from */

bool kl_nan_on(void);
/* The first NaN among n elements; -1: none. */
int64_t kl_nan_in(kl_dtype dt, const void *bytes, int64_t n);
/* Run g on host buffers and fail at the first node that makes a NaN out of operands
 * without one; KL_OK if all NaNs came in. out: room for the outputs. */
kl_status kl_nan_find(const kl_graph *g, const kl_buffer *in, kl_buffer *out);

/* ---- join.c: compositions of public calls: what is made between these two goes with the
 * call, but for r, which is fn's result (NULL: as its maker has it) ---- */
kl_call kl_compose(const char *at);
kl_tensor *kl_composed(kl_call *c, const char *fn, kl_tensor *r);
/* A function of two results: the second stays too. */
kl_tensor *kl_composed_two(kl_call *c, const char *fn, kl_tensor *r, kl_tensor **second);

/* ---- conv.c ---- */

/* One number for all axes, or one each; none given: the default. false: neither. */
bool kl_per_axis(kl_ints given, int dims, int64_t none, int64_t *out);

/* ---- index.c ---- */

/* A 0-d node as one of one element. */
kl_lazy *kl_n_at_least_1(kl_lazy *a);

/* ---- print.c ---- */

void kl_text_put_fixed(kl_text *t, double v, int decimals, bool scientific);

#endif
