/* kiln/tensor.h: handles, operands, scopes, values.
 *
 * A kl_tensor is a reference-counted handle. What a function returns belongs to the
 * innermost open scope of this thread and lives until that scope ends; kl_tensor_ref
 * holds it longer (kl_tensor_unref lets go again), kl_keep moves it to the scope around.
 * With no scope open it belongs to the thread; kl_keep then gives it to the caller, who
 * calls kl_tensor_unref.
 *
 * Functions that make tensors are macros over kl_NAME_at(place, ...), so that an error
 * knows the line of the call that failed. NULL in, NULL out: check kl_failed() at the end
 * of an expression. A tensor's value is computed when somebody looks, and nothing else
 * can be told from it. */
#ifndef KILN_TENSOR_H
#define KILN_TENSOR_H

#include "kiln/base.h"

typedef struct kl_tensor kl_tensor;

/* ---- where a call stands ---- */
#define KL_STR_(x) #x
#define KL_STR(x) KL_STR_(x)
#define KL_HERE __FILE__ ":" KL_STR(__LINE__)

/* ---- an operand: a tensor or a number ---- */
typedef enum kl_arg_kind {
    KL_ARG_NONE,
    KL_ARG_TENSOR,
    KL_ARG_FLOAT,
    KL_ARG_INT,
    KL_ARG_BOOL,
    KL_ARG_COMPLEX
} kl_arg_kind;
typedef struct kl_arg {
    kl_arg_kind kind;
    kl_tensor *t;
    double d, im; /* im: of a complex number */
    int64_t i;
} kl_arg;
static inline kl_arg kl_arg_t(const kl_tensor *t)
{
    kl_arg a = {KL_ARG_TENSOR, (kl_tensor *)(uintptr_t)t, 0, 0, 0};
    return a;
}
static inline kl_arg kl_arg_d(double d)
{
    kl_arg a = {KL_ARG_FLOAT, NULL, d, 0, 0};
    return a;
}
static inline kl_arg kl_arg_i(int64_t i)
{
    kl_arg a = {KL_ARG_INT, NULL, (double)i, 0, i};
    return a;
}
static inline kl_arg kl_arg_b(bool b)
{
    kl_arg a = {KL_ARG_BOOL, NULL, (double)b, 0, b};
    return a;
}
static inline kl_arg kl_arg_c(double re, double im)
{
    kl_arg a = {KL_ARG_COMPLEX, NULL, re, im, 0};
    return a;
}
/* NULL as an operand: nothing (an absent bound of clamp), or a failed call's result. */
static inline kl_arg kl_arg_none(const void *p)
{
    kl_arg a = {KL_ARG_NONE, NULL, 0, 0, 0};
    (void)p;
    return a;
}
static inline kl_arg kl_arg_self(kl_arg a)
{
    return a;
}

/* ---- a short list of integers: a shape, axes, a permutation ---- */
#define KL_INTS_MAX 16
typedef struct kl_ints {
    int n;
    int64_t v[KL_INTS_MAX];
} kl_ints;
static inline kl_ints kl_ints_of(size_t n, const int64_t *v)
{
    kl_ints s;
    s.n = n <= KL_INTS_MAX ? (int)n : KL_INTS_MAX + 1; /* too many: refused by the call */
    for (size_t i = 0; i < KL_INTS_MAX; i++)
        s.v[i] = i < n ? v[i] : 0;
    return s;
}

#ifdef __cplusplus
static inline kl_arg kl_arg_of(const kl_tensor *t)
{
    return kl_arg_t(t);
}
static inline kl_arg kl_arg_of(double d)
{
    return kl_arg_d(d);
}
static inline kl_arg kl_arg_of(float d)
{
    return kl_arg_d(d);
}
static inline kl_arg kl_arg_of(int i)
{
    return kl_arg_i(i);
}
static inline kl_arg kl_arg_of(unsigned i)
{
    return kl_arg_i(i);
}
static inline kl_arg kl_arg_of(long i)
{
    return kl_arg_i(i);
}
static inline kl_arg kl_arg_of(long long i)
{
    return kl_arg_i(i);
}
static inline kl_arg kl_arg_of(unsigned long i)
{
    return kl_arg_i((int64_t)i);
}
static inline kl_arg kl_arg_of(bool b)
{
    return kl_arg_b(b);
}
static inline kl_arg kl_arg_of(decltype(nullptr))
{
    return kl_arg_none(nullptr);
}
static inline kl_arg kl_arg_of(kl_arg a)
{
    return a;
}
#define KL_ARG(x) kl_arg_of(x)
template <class... T> static inline kl_ints kl_ints_pack(T... x)
{
    const int64_t v[sizeof...(x) + 1] = {(int64_t)x..., 0};
    return kl_ints_of(sizeof...(x), v);
}
#define KL_INTS(...) kl_ints_pack(__VA_ARGS__)
extern "C" {
#else
/* clang-format off */
#define KL_ARG(x) _Generic((x), \
    kl_tensor *: kl_arg_t, const kl_tensor *: kl_arg_t, void *: kl_arg_none, \
    double: kl_arg_d, float: kl_arg_d, _Bool: kl_arg_b, \
    char: kl_arg_i, signed char: kl_arg_i, unsigned char: kl_arg_i, \
    short: kl_arg_i, unsigned short: kl_arg_i, int: kl_arg_i, unsigned: kl_arg_i, \
    long: kl_arg_i, unsigned long: kl_arg_i, long long: kl_arg_i, \
    unsigned long long: kl_arg_i, kl_arg: kl_arg_self)(x)
/* clang-format on */
#define KL_INTS(...)                                                                     \
    kl_ints_of(sizeof((const int64_t[]){0, __VA_ARGS__}) / sizeof(int64_t) - 1,          \
               (const int64_t[]){0, __VA_ARGS__} + 1)
#endif
#define kl_shape(...) KL_INTS(__VA_ARGS__)
#define kl_axes(...) KL_INTS(__VA_ARGS__)

/* ---- references and scopes ---- */
KL_API kl_tensor *kl_tensor_ref(kl_tensor *t);
KL_API void kl_tensor_unref(kl_tensor *t);
KL_API void kl_scope_begin(void);
/* Tensors of the scope go, but for those that kl_keep moved out and kl_tensor_ref holds.
 * The end of the outermost scope computes what was written and is still pending. */
KL_API void kl_scope_end(void);
/* The same without computing anything. */
KL_API void kl_scope_drop(void);
KL_API kl_tensor *kl_keep(kl_tensor *t);
/* Out of whatever scope holds it, to the caller, who calls kl_tensor_unref. */
KL_API kl_tensor *kl_scope_take(kl_tensor *t);
/* The innermost scope holds t too; returns t, or NULL without memory. */
KL_API kl_tensor *kl_scope_hold(kl_tensor *t);
/* End all scopes of this thread, and give back memory that the library holds. */
KL_API void kl_cleanup(void);

/* ---- what a tensor is ---- */
KL_API kl_dtype kl_dtype_of(const kl_tensor *t);
KL_API const char *kl_dtype_name(kl_dtype dt); /* "float32" */
KL_API size_t kl_dtype_size(kl_dtype dt);
KL_API int kl_rank(const kl_tensor *t);
KL_API int64_t kl_extent(const kl_tensor *t, int dim); /* -1 when dim is out of range */
KL_API int64_t kl_stride(const kl_tensor *t, int dim); /* in elements */
KL_API kl_ints kl_shape_of(const kl_tensor *t);
KL_API int64_t kl_numel(const kl_tensor *t);
KL_API int64_t kl_nbytes(const kl_tensor *t);
KL_API int64_t kl_storage_offset(const kl_tensor *t);
KL_API bool kl_is_contiguous(const kl_tensor *t);
/* A number that all tensors over one storage share while it lives, and no other; the bytes
 * of the whole storage. */
KL_API uint64_t kl_storage_id(const kl_tensor *t);
KL_API int64_t kl_storage_nbytes(const kl_tensor *t);
KL_API bool kl_is_view(const kl_tensor *t); /* a function made it as a view of another */
KL_API bool kl_shares_memory(const kl_tensor *a, const kl_tensor *b);
/* How often the storage has been written in place. */
KL_API uint32_t kl_version(const kl_tensor *t);
/* A name for reports, kernels and saved files; copied. */
KL_API kl_tensor *kl_named(kl_tensor *t, const char *name);
KL_API const char *kl_name(const kl_tensor *t);
/* "(2, 3)" or "torch.Size([2, 3])" into buf. */
KL_API const char *kl_shape_text(const kl_tensor *t, char *buf, size_t cap);

/* ---- values ---- */
/* Compute now; returns t. */
KL_API kl_tensor *kl_realize_at(const char *at, kl_tensor *t);
#define kl_realize(t) kl_realize_at(KL_HERE, t)
/* Compute several in one program. */
KL_API kl_status kl_realize_all_at(const char *at, kl_tensor *const *t, int n);
#define kl_realize_all(...) kl_realize_all_at(KL_HERE, __VA_ARGS__) /* (t, n) */
/* The one element of t; 0 after a failure. */
KL_API double kl_item_at(const char *at, kl_tensor *t);
#define kl_item(t) kl_item_at(KL_HERE, t)
KL_API int64_t kl_item_int_at(const char *at, kl_tensor *t);
#define kl_item_int(t) kl_item_int_at(KL_HERE, t)
/* Copy all elements, row-major and in t's dtype, to bytes of the caller's. */
KL_API kl_status kl_copy_out_at(const char *at, kl_tensor *t, void *to, size_t size);
#define kl_copy_out(t, to, size) kl_copy_out_at(KL_HERE, t, to, size)
/* The same of a few elements computed from few, without the compiler: what a shape is
 * computed by is run by the interpreter, and t stays as lazy as it was. What is too large
 * for that goes the usual way. KL_ERR_STATE: t depends on a parameter of a function being
 * traced. */
KL_API kl_status kl_peek_at(const char *at, kl_tensor *t, void *to, size_t size);
#define kl_peek(t, to, size) kl_peek_at(KL_HERE, t, to, size)
/* The storage's memory at t's first element (numpy()): strides are kl_stride's. From here
 * on operations read the storage at once, until kl_data_done or its end. */
KL_API void *kl_data_at(const char *at, kl_tensor *t);
#define kl_data(t) kl_data_at(KL_HERE, t)
KL_API void kl_data_done(kl_tensor *t);

/* Called around every wait of a thread for the compiler or for kernels, so that a host
 * language can let go of its lock; what begin gives, end gets. The lock is held around all
 * other calls, so that no two threads are in one at a time. NULL: nothing is called, and
 * threads call side by side. Set before anything else is called. */
KL_API void kl_set_wait(void *(*begin)(void), void (*end)(void *token));

/* ---- printing: as PyTorch prints ---- */
KL_API kl_status kl_print_at(const char *at,
                             kl_tensor *t); /* to stdout, with a newline */
#define kl_print(t) kl_print_at(KL_HERE, t)
/* How: decimals; above how many elements only edgeitems at each end of a dimension are
 * shown; characters in a line; scientific notation 1 always, 0 never, -1 where numbers
 * ask for it. Set them before other threads print. */
typedef struct kl_printoptions {
    int precision;
    int64_t threshold, edgeitems;
    int linewidth, sci_mode;
} kl_printoptions;
KL_API void kl_set_printoptions(kl_printoptions o);
KL_API kl_printoptions kl_get_printoptions(void);
/* The text; to be freed with free(). NULL after a failure. */
KL_API char *kl_repr_at(const char *at, kl_tensor *t);
#define kl_repr(t) kl_repr_at(KL_HERE, t)

#ifdef __cplusplus
}
#endif
#endif
