/* generator.c: kiln.Generator: a stream of random numbers of one's own. Its state is the
 * seed and the number of draws so far, 16 bytes. */
#include "py.h"

#include <string.h>

typedef struct py_generator {
    PyObject_HEAD kl_generator *g; /* NULL: the process's */
} py_generator;

static PyTypeObject *type;

static kl_generator *of(PyObject *o)
{
    return ((py_generator *)o)->g;
}

int py_generator_use(PyObject *o)
{
    if (o == Py_None) {
        kl_generator_use(NULL);
        return 0;
    }
    if (Py_TYPE(o) != type)
        return py_fail_type(PyExc_TypeError, "expected a torch.Generator (got %U)", o);
    kl_generator_use(of(o));
    return 0;
}

static PyObject *make(kl_generator *g)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(type, Py_tp_alloc);
    py_generator *o = (py_generator *)alloc(type, 0);
    if (o)
        o->g = g;
    return (PyObject *)o;
}

static PyObject *generator_new(PyTypeObject *t, PyObject *args, PyObject *kw)
{
    static char *names[] = {"device", NULL};
    PyObject *device = NULL;
    (void)t;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "|O", names, &device) ||
        (device && device != Py_None && !py_as_device(device)))
        return NULL;
    kl_generator *g = kl_generator_new(UINT64_C(67280421310721)) /* as PyTorch's */;
    return g ? make(g) : py_raise();
}

static void generator_dealloc(PyObject *self)
{
    PyTypeObject *t = Py_TYPE(self);
    kl_generator_free(of(self));
    freefunc free_it = (freefunc)PyType_GetSlot(t, Py_tp_free);
    free_it(self);
    Py_DECREF(t);
}

static PyObject *manual_seed(PyObject *self, PyObject *seed)
{
    PyObject *i = PyNumber_Index(seed);
    unsigned long long v = i ? PyLong_AsUnsignedLongLongMask(i) : 0;
    Py_XDECREF(i);
    if (PyErr_Occurred())
        return NULL;
    kl_generator_set(of(self), v, 0);
    Py_INCREF(self);
    return self;
}

static PyObject *initial_seed(PyObject *self, PyObject *unused)
{
    uint64_t seed, calls;
    (void)unused;
    kl_generator_get(of(self), &seed, &calls);
    return PyLong_FromUnsignedLongLong(seed);
}

static PyObject *get_state(PyObject *self, PyObject *unused)
{
    uint64_t state[2];
    (void)unused;
    kl_generator_get(of(self), &state[0], &state[1]);
    return py_wrap(kl_tensor_copy_at(py_place(), state, KL_U8, kl_shape(sizeof state)));
}

static PyObject *set_state(PyObject *self, PyObject *o)
{
    uint64_t state[2];
    if (!py_is_tensor(o) || kl_dtype_of(py_t(o)) != KL_U8 ||
        kl_nbytes(py_t(o)) != (int64_t)sizeof state) {
        PyErr_SetString(PyExc_TypeError, "RNG state must be a torch.ByteTensor");
        return NULL;
    }
    if (kl_copy_out_at(py_place(), py_t(o), state, sizeof state))
        return py_raise();
    kl_generator_set(of(self), state[0], state[1]);
    Py_INCREF(self);
    return self;
}

static PyObject *get_device(PyObject *self, void *unused)
{
    (void)self;
    (void)unused;
    return PyObject_CallFunction((PyObject *)py.device, "s", "cpu");
}

static PyMethodDef methods[] = {
    {"manual_seed", manual_seed, METH_O, "Begin the stream of that seed; returns self."},
    {"initial_seed", initial_seed, METH_NOARGS, "The seed."},
    {"get_state", get_state, METH_NOARGS, "The state, a uint8 tensor."},
    {"set_state", set_state, METH_O, "Go on from a state."},
    {0},
};
static PyGetSetDef getset[] = {{"device", get_device, NULL, "cpu", NULL}, {0}};
static PyType_Slot slots[] = {
    {Py_tp_new, generator_new},
    {Py_tp_dealloc, generator_dealloc},
    {Py_tp_methods, methods},
    {Py_tp_getset, getset},
    {Py_tp_doc, "A stream of random numbers of one's own."},
    {0, NULL},
};
static PyType_Spec spec = {"kiln.Generator", sizeof(py_generator), 0, Py_TPFLAGS_DEFAULT,
                           slots};

int py_generator_init(PyObject *module)
{
    type = (PyTypeObject *)PyType_FromSpec(&spec);
    PyObject *own = type && !PyModule_AddType(module, type) ? make(NULL) : NULL;
    int bad = !own || PyModule_AddObjectRef(module, "default_generator", own);
    Py_XDECREF(own);
    return bad ? -1 : 0;
}
