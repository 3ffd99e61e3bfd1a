/* ffi.c: C functions whose signatures are known only at run time, both ways, through
 * libffi.
 *
 *     "d:ppi" or "dppi"     double f(void *, void *, int32_t)
 *
 * kl_ffi_call calls a function pointer with values given by address; a closure is the
 * reverse: an ordinary function pointer that hands its arguments, by address, to a
 * handler. Integers narrower than a register are widened by libffi in results; here they
 * come back as they are. */
#include "runtime/runtime.h"

#include <ffi.h>

enum { ARGS_MAX = 64 };

typedef struct call_type {
    ffi_cif cif;
    ffi_type *types[ARGS_MAX];
    char result;
} call_type;

static ffi_type *type_of(char c)
{
    switch (c) {
    case 'i':
        return &ffi_type_sint32;
    case 'l':
        return &ffi_type_sint64;
    case 'f':
        return &ffi_type_float;
    case 'd':
        return &ffi_type_double;
    case 'p':
        return &ffi_type_pointer;
    default:
        return NULL;
    }
}

static kl_status bad(const char *signature, const char *why)
{
    return kl_fail(KL_ERR_ARG, "signature \"%.80s\": %s", signature, why);
}

static kl_status prepare(const char *signature, call_type *t)
{
    ffi_type *result = signature[0] == 'v' ? &ffi_type_void : type_of(signature[0]);
    const char *p =
        signature + (signature[0] != 0) + (signature[0] && signature[1] == ':');
    unsigned n = 0;
    if (!result)
        return bad(signature, "the result is none of v i l f d p");
    for (; *p; p++) {
        if (n == ARGS_MAX)
            return bad(signature, "more than 64 arguments");
        t->types[n++] = type_of(*p);
        if (!t->types[n - 1])
            return bad(signature, "an argument is none of i l f d p");
    }
    t->result = signature[0];
    if (ffi_prep_cif(&t->cif, FFI_DEFAULT_ABI, n, result, t->types) != FFI_OK)
        return kl_fail(KL_ERR_INTERNAL, "signature \"%.80s\": libffi refuses it",
                       signature);
    return KL_OK;
}

kl_status kl_ffi_call(void (*fn)(void), const char *signature, void *result, void **args)
{
    call_type t;
    union {
        ffi_arg wide; /* libffi writes a whole register for an i */
        int64_t l;
        float f;
        double d;
        void *p;
    } r = {0};
    KL_TRY(prepare(signature, &t));
    ffi_call(&t.cif, fn, &r, args);
    switch (t.result) {
    case 'i':
        *(int32_t *)result = (int32_t)r.wide;
        break;
    case 'l':
        *(int64_t *)result = r.l;
        break;
    case 'f':
        *(float *)result = r.f;
        break;
    case 'd':
        *(double *)result = r.d;
        break;
    case 'p':
        *(void **)result = r.p;
        break;
    default:
        break;
    }
    return KL_OK;
}

struct kl_closure {
    call_type type;
    ffi_closure *closure; /* libffi's own memory, never writable and executable at once */
    void *code;
    void (*handler)(void *user, void *result, void **args);
    void *user;
};

/* libffi wants a whole register for an i. */
static void called(ffi_cif *cif, void *result, void **args, void *user)
{
    const kl_closure *c = user;
    int32_t i = 0;
    (void)cif;
    c->handler(c->user, c->type.result == 'i' ? &i : result, args);
    if (c->type.result == 'i')
        *(ffi_arg *)result = (ffi_arg)(ffi_sarg)i;
}

kl_status kl_closure_new(const char *signature,
                         void (*handler)(void *user, void *result, void **args),
                         void *user, kl_closure **out)
{
    kl_closure *c = kl_alloc_zeroed(sizeof *c);
    if (!c)
        return kl_fail(KL_ERR_OOM, "out of memory: a closure");
    c->handler = handler;
    c->user = user;
    kl_status s = prepare(signature, &c->type);
    if (s == KL_OK && !(c->closure = ffi_closure_alloc(sizeof *c->closure, &c->code)))
        s = kl_fail(KL_ERR_OOM, "out of memory: a closure");
    if (s == KL_OK &&
        ffi_prep_closure_loc(c->closure, &c->type.cif, called, c, c->code) != FFI_OK)
        s = kl_fail(KL_ERR_INTERNAL, "signature \"%.80s\": libffi refuses it", signature);
    if (s != KL_OK) {
        kl_closure_free(c);
        return s;
    }
    *out = c;
    return KL_OK;
}

void (*kl_closure_code(kl_closure *c))(void)
{
    void (*fn)(void);
    _Static_assert(sizeof fn == sizeof c->code, "a function's address is an address");
    memcpy(&fn, &c->code, sizeof fn);
    return fn;
}

void kl_closure_free(kl_closure *c)
{
    if (!c)
        return;
    if (c->closure)
        ffi_closure_free(c->closure);
    kl_free(c, sizeof *c);
}
