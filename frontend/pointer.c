/* pointer.c: a compiled function as an ordinary C function pointer, for libraries that
 * know nothing of kiln: a libffi closure fills in the operands' addresses and runs the
 * program.
 *
 *   "i:pp"      int f(const T0 *, const T1 *)       the result is output 0
 *   "d:d"       double f(double)
 *   "v:ppp"     void f(const T0 *, const T1 *, U *)  outputs follow the inputs
 *
 * A number stands for a 0-d operand of exactly that dtype, p for the address of any. */
#include "front.h"

enum { OPERANDS_MAX = 64 };
struct kl_pointer {
    const kl_function *f;
    kl_closure *closure;
    const char *letters; /* of the arguments, in the record itself */
    char signature[OPERANDS_MAX + 4];
};

static kl_dtype dtype_of(char letter)
{
    switch (letter) {
    case 'i':
        return KL_I32;
    case 'l':
        return KL_I64;
    case 'f':
        return KL_F32;
    case 'd':
        return KL_F64;
    default:
        return KL_DTYPE_NONE;
    }
}

static void called(void *user, void *result, void **args)
{
    const kl_pointer *p = user;
    int nin = kl_function_inputs(p->f), nout = kl_function_outputs(p->f);
    void *operand[OPERANDS_MAX + 1];
    for (int i = 0; p->letters[i]; i++)
        operand[i] = p->letters[i] == 'p' ? *(void **)args[i] : args[i];
    if (p->signature[0] != 'v') {
        memset(result, 0, kl_dtypes[dtype_of(p->signature[0])].size);
        operand[nin] = result;
    }
    if (nin + nout <= OPERANDS_MAX)
        kl_function_call(p->f, (const void *const *)operand, operand + nin);
}

/* ---- making ---- */

static kl_status check_number(const kl_pointer *p, int i, char letter)
{
    kl_ints shape;
    int nin = kl_function_inputs(p->f);
    kl_dtype dt = i < nin ? kl_function_in(p->f, i, &shape)
                          : kl_function_out(p->f, i - nin, &shape);
    if (letter == 'p' || (dt == dtype_of(letter) && shape.n == 0))
        return KL_OK;
    return kl_fail(KL_ERR_ARG, "signature \"%s\": %s %d is %s%s, not '%c'", p->signature,
                   i < nin ? "input" : "output", i < nin ? i : i - nin,
                   kl_dtypes[dt].name, shape.n ? " with dimensions" : "", letter);
}

static kl_status check(const kl_pointer *p)
{
    int nin = kl_function_inputs(p->f), nout = kl_function_outputs(p->f);
    bool value = p->signature[0] != 'v';
    int want = value ? nin : nin + nout;
    if ((int)strlen(p->letters) != want || (value && nout != 1))
        return kl_fail(KL_ERR_ARG,
                       "signature \"%s\": a function of %d inputs and %d outputs",
                       p->signature, nin, nout);
    for (int i = 0; i < want; i++)
        KL_TRY(check_number(p, i, p->letters[i]));
    return value ? check_number(p, nin, p->signature[0] == 'p' ? 'v' : p->signature[0])
                 : KL_OK;
}

static kl_pointer *fill_in(const kl_function *f, const char *signature)
{
    if (!f || !signature || !*signature || strlen(signature) >= OPERANDS_MAX) {
        kl_fail(KL_ERR_ARG,
                f ? "no signature of at most 60 arguments" : "the function is NULL");
        return NULL;
    }
    kl_pointer *p = kl_alloc_zeroed(sizeof *p);
    if (!p) {
        kl_fail(KL_ERR_OOM, "out of memory for a function pointer");
        return NULL;
    }
    p->f = f;
    memcpy(p->signature, signature, strlen(signature));
    p->letters = p->signature + 1 + (p->signature[1] == ':');
    return p;
}

kl_pointer *kl_function_pointer_at(const char *at, const kl_function *f,
                                   const char *signature)
{
    kl_call c = kl_call_begin(at);
    kl_pointer *p = fill_in(f, signature);
    kl_status st = p ? check(p) : kl_error_status();
    if (st == KL_OK)
        st = kl_closure_new(p->signature, called, p, &p->closure);
    kl_call_done(&c, st);
    if (st == KL_OK)
        return p;
    kl_pointer_free(p);
    return NULL;
}

void (*kl_pointer_code(const kl_pointer *p))(void)
{
    return p ? kl_closure_code(p->closure) : NULL;
}

void kl_pointer_free(kl_pointer *p)
{
    if (!p)
        return;
    kl_closure_free(p->closure);
    kl_free(p, sizeof *p);
}
