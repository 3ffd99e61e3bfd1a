/* native.c: a user's C function as an operation. Without a derivative it is a call node;
 * with one it is a function node whose body is the call, and whose derivative's body is a
 * call of the other function:
 *
 *   graph f_0(%x)           { %c = call %x "f";              out pick 0 }
 *   graph f_back_1(%x %y %u) { %c = call %x, %y, %u "f_back"; out pick 0 .. }
 *   %y = function %x @f_0 derivative @f_back_1
 *
 * The lazy node names both (attributes: name, 1, name or 0); import.c makes the bodies
 * here, from the types in the linear form. A call goes through libffi: addresses of the
 * operands, then their extents, as in what kilnc writes. */
#include "front.h"

enum { OPERANDS = 32 };

/* ---- calling ---- */

_Static_assert(sizeof(kl_c_function) == sizeof(void *),
               "a function's address is an address");

static int trampoline(void *user, int nin, const kl_buffer *in, int nout,
                      const kl_buffer *out)
{
    void *address[OPERANDS], *args[OPERANDS + 1];
    const int64_t *shape[OPERANDS], **shapes = shape;
    char signature[OPERANDS + 4] = "i:";
    int n = nin + nout, result = 0;
    kl_c_function fn;
    if (n > OPERANDS)
        return -1;
    for (int i = 0; i < n; i++) {
        const kl_buffer *b = i < nin ? &in[i] : &out[i - nin];
        address[i] = kl_buffer_data(b);
        args[i] = &address[i];
        shape[i] = b->shape;
    }
    args[n] = &shapes;
    memset(signature + 2, 'p', (size_t)n + 1);
    memcpy(&fn, &user, sizeof fn);
    return kl_ffi_call(fn, signature, &result, args) == KL_OK ? result : -1;
}

kl_status kl_native(const char *name, kl_c_function fn)
{
    void *user;
    memcpy(&user, &fn, sizeof user);
    return kl_native_register(name, fn ? trampoline : NULL, user);
}

/* ---- the node ---- */

static kl_status check(const char *name, const char *back, kl_tensor *const *in, int n,
                       kl_dtype dt, const kl_ints *shape)
{
    void *user;
    int64_t count;
    if (!name || !kl_native_find(name, &user))
        return kl_fail(KL_ERR_ARG,
                       "kl_call_native: no function is named %s: see kl_native",
                       name ? name : "NULL");
    if (back && !kl_native_find(back, &user))
        return kl_fail(KL_ERR_ARG,
                       "kl_call_native: no function is named %s: see kl_native", back);
    if (n < 1 || n > OPERANDS / 2 - 2 || dt >= KL_DTYPE_COUNT)
        return kl_fail(KL_ERR_ARG, "kl_call_native: %s of %d inputs", name, n);
    for (int i = 0; i < n; i++)
        if (!in[i])
            return kl_fail(KL_ERR_ARG, "kl_call_native: input %d of %s is NULL", i, name);
    return kl_shape_count(shape->n, shape->v, dt, &count);
}

/* Without a derivative the result's type is among the attributes. */
static kl_lazy *call_node(const char *name, const char *back, kl_lazy *const *src, int n,
                          kl_dtype dt, const kl_ints *shape)
{
    int64_t attr[5 + KL_MAX_RANK] = {(int64_t)(uintptr_t)kl_intern(name), 1,
                                     (int64_t)(uintptr_t)(back ? kl_intern(back) : NULL),
                                     dt, shape->n},
                     zero = 0;
    memcpy(attr + 5, shape->v, (size_t)shape->n * sizeof *attr);
    kl_lazy *f =
        kl_lazy_make(&(kl_make){back ? KL_OP_function : KL_OP_call, dt, shape->n,
                                shape->v, src, n, attr, back ? 3 : 5 + shape->n});
    return f ? kl_lazy_make(
                   &(kl_make){KL_OP_pick, dt, shape->n, shape->v, &f, 1, &zero, 1})
             : NULL;
}

kl_tensor *kl_call_native_at(const char *at, const char *name, const char *back,
                             kl_tensor *const *in, int n, kl_dtype dtype, kl_ints shape)
{
    kl_call c = kl_call_begin(at);
    kl_lazy *src[OPERANDS], *r = NULL;
    bool real = kl_is_float(dtype) || kl_is_complex(dtype);
    kl_status st = check(name, back, in, n, dtype, &shape);
    for (int i = 0; i < n && st == KL_OK; i++) {
        src[i] = kl_arg_tensor(in[i]);
        if (src[i] && src[i]->device && src[i]->device != KL_FREE)
            st = kl_fail(KL_ERR_UNSUPPORTED, "kl_call_native: %s reads the host's memory",
                         name);
    }
    if (st == KL_OK)
        r = call_node(name, real ? back : NULL, src, n, dtype, &shape);
    return kl_call_end(&c, r);
}

/* ---- bodies, for import.c ---- */

typedef struct body {
    kl_graph *h;
    kl_ref in[OPERANDS];
    uint32_t nin;
    int64_t attr[3 + OPERANDS * (2 + KL_MAX_RANK)];
    uint32_t nattr;
} body;

static bool is_real(const kl_type *t)
{
    return kl_is_float(t->dtype) || kl_is_complex(t->dtype);
}

static body *body_new(kl_graph *g, const char *name)
{
    body *b = kl_arena_zeroed(g->arena, 1, sizeof *b);
    if (!b)
        return NULL;
    b->h = kl_graph_new(g->arena, g->dims,
                        kl_arena_printf(g->arena, "%s_%u", name, g->nbodies));
    if (!b->h)
        return NULL;
    b->attr[0] = kl_graph_string(b->h, name);
    b->nattr = 3;
    return b;
}

static void input(body *b, const kl_type *t)
{
    b->in[b->nin++] = kl_graph_input(b->h, NULL, t->dtype, t->rank, t->shape);
}

static void result(body *b, const kl_type *t)
{
    b->attr[1]++;
    b->attr[b->nattr++] = t->dtype;
    b->attr[b->nattr++] = t->rank;
    memcpy(b->attr + b->nattr, t->shape, (size_t)t->rank * sizeof *t->shape);
    b->nattr += (uint32_t)t->rank;
}

/* The call, its results as the outputs; the body's number in g. */
static uint32_t finish(kl_graph *g, body *b)
{
    kl_type any = {.dtype = (kl_dtype)b->attr[3]};
    kl_ref c = kl_graph_node(
        b->h, &(kl_spec){KL_OP_call, any, b->in, b->nin, b->attr, b->nattr});
    for (int64_t k = 0; k < b->attr[1]; k++) {
        kl_ref p = kl_graph_node(b->h, &(kl_spec){KL_OP_pick, any, &c, 1, &k, 1});
        if (p == KL_NONE || kl_graph_output(b->h, p, NULL) != KL_OK)
            return KL_NONE;
    }
    return kl_graph_body(g, b->h);
}

kl_status kl_native_bodies(kl_graph *g, const kl_type *out, const kl_ref *src,
                           uint32_t nsrc, int64_t *attr)
{
    body *f = body_new(g, (const char *)(uintptr_t)attr[0]);
    uint32_t forward = KL_NONE, backward = KL_NONE;
    kl_type t;
    for (uint32_t i = 0; f && i < nsrc; i++) {
        kl_graph_type(g, src[i], &t);
        input(f, &t);
    }
    if (f) {
        result(f, out);
        forward = finish(g, f);
    }
    body *b = forward == KL_NONE ? NULL : body_new(g, (const char *)(uintptr_t)attr[2]);
    for (uint32_t i = 0; b && i < nsrc; i++) {
        kl_graph_type(g, src[i], &t);
        input(b, &t);
        if (is_real(&t))
            result(b, &t);
    }
    if (b) {
        input(b, out);
        input(b, out);
        backward = b->attr[1] ? finish(g, b) : forward;
    }
    if (backward == KL_NONE)
        return kl_fail(KL_ERR_OOM, "out of memory for a native function's graph");
    attr[0] = forward;
    attr[2] = b->attr[1] ? 1 + (int64_t)backward : 0;
    return KL_OK;
}
