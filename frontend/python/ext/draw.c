/* draw.c: 64 bits from the state of PyTorch's CPU generator, and the state moved on, as
 * its own kernels would: at::mt19937 (Matsumoto and Nishimura, 1998) in the form that
 * torch.Generator.get_state gives. */
#include "py.h"

enum { N = 624, M = 397 };
typedef struct state { /* CPUGeneratorImplState; what follows is a normal draw kept back
                        */
    uint64_t seed;
    int32_t left, seeded;
    uint64_t next, word[N];
    double normal[3];
    int32_t normal_valid;
    float kept;
    bool kept_valid;
} state;

static uint32_t twist(uint64_t u, uint64_t v)
{
    uint32_t mixed = ((uint32_t)u & 0x80000000u) | ((uint32_t)v & 0x7FFFFFFFu);
    return mixed >> 1 ^ (v & 1 ? 0x9908B0DFu : 0);
}

static void renew(state *s)
{
    uint64_t *w = s->word;
    for (int i = 0; i < N; i++)
        w[i] = (uint32_t)w[(i + M) % N] ^ twist(w[i], w[(i + 1) % N]);
    s->left = N;
    s->next = 0;
}

static uint32_t draw32(state *s)
{
    if (--s->left == 0)
        renew(s);
    uint32_t y = (uint32_t)s->word[s->next++ % N];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

/* _mt19937_draw(address, bytes) */
static PyObject *draw(PyObject *self, PyObject *args)
{
    unsigned long long at;
    long bytes;
    (void)self;
    if (!PyArg_ParseTuple(args, "Kl", &at, &bytes))
        return NULL;
    if (bytes != (long)sizeof(state))
        return PyErr_Format(PyExc_RuntimeError, "a generator's state of %ld bytes",
                            bytes);
    state *s = (state *)(uintptr_t)at;
    uint64_t high = draw32(s);
    return PyLong_FromUnsignedLongLong(high << 32 | draw32(s));
}

static PyMethodDef methods[] = {
    {"_mt19937_draw", draw, METH_VARARGS, "64 bits from a generator's state."},
    {0},
};

int py_draw_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
