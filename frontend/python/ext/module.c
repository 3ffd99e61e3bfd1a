/* module.c: the extension module kiln._kiln: the types, the table's functions, and the
 * few calls that fit no row. */
#include "py.h"

#define FUNCTION(name) static PyObject *name(PyObject *self, PyObject *args)

FUNCTION(tensor_from)
{
    PyObject *data, *dtype = Py_None;
    kl_dtype dt = KL_DTYPE_NONE;
    (void)self;
    if (!PyArg_ParseTuple(args, "O|O", &data, &dtype))
        return NULL;
    if (dtype != Py_None && py_as_dtype(dtype, &dt) != 1) {
        PyErr_SetString(PyExc_TypeError,
                        "tensor(): argument 'dtype' must be torch.dtype");
        return NULL;
    }
    return py_make(data, dt);
}

static PyObject *from_buffer(PyObject *self, PyObject *o)
{
    (void)self;
    return py_from_buffer(o);
}

/* _over_bytes(buffer, dtype) */
FUNCTION(over_bytes)
{
    PyObject *o, *dtype;
    kl_dtype dt;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!", &o, py.dtype, &dtype) ||
        py_as_dtype(dtype, &dt) != 1)
        return NULL;
    return py_over_bytes(o, dt);
}

static PyObject *set_grad_enabled(PyObject *self, PyObject *on)
{
    (void)self;
    return PyBool_FromLong(kl_set_grad_enabled(PyObject_IsTrue(on) == 1));
}

static PyObject *is_grad_enabled(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyBool_FromLong(kl_grad_enabled());
}

static PyObject *set_default_dtype(PyObject *self, PyObject *o)
{
    kl_dtype dt;
    (void)self;
    if (py_as_dtype(o, &dt) != 1) {
        PyErr_SetString(PyExc_TypeError, "invalid dtype object");
        return NULL;
    }
    if (kl_set_default_dtype(dt))
        return py_raise();
    Py_RETURN_NONE;
}

static PyObject *get_default_dtype(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return py_dtype(kl_get_default_dtype());
}

/* The tensors of a tuple; NULL: exception. */
static kl_tensor **inputs_of(PyObject *x, py_room *room)
{
    Py_ssize_t n = PyTuple_Size(x);
    kl_tensor **in = py_room_for(room, n);
    for (Py_ssize_t i = 0; in && i < n; i++)
        in[i] = py_t(PyTuple_GetItem(x, i));
    return in;
}

/* _grad(y, seed or None, [x..], retain, create): a tuple of gradients. */
FUNCTION(grad)
{
    PyObject *y, *seed, *x;
    int retain, create;
    py_room from = {.more = NULL}, to = {.more = NULL};
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO!pp", &y, &seed, &PyTuple_Type, &x, &retain, &create))
        return NULL;
    Py_ssize_t n = PyTuple_Size(x);
    kl_tensor **in = inputs_of(x, &from), **out = in ? py_room_for(&to, n) : NULL;
    bool ok =
        out && !kl_grad_at(py_place(), py_t(y), in, (int)n,
                           seed == Py_None ? NULL : py_t(seed), retain, create, out);
    PyObject *r = ok ? PyTuple_New(n) : py_raise();
    for (Py_ssize_t i = n; r && i-- > 0;) {
        PyObject *g = py_wrap(out[i]);
        if (!g || PyTuple_SetItem(r, i, g))
            Py_CLEAR(r);
    }
    py_room_end(&from);
    py_room_end(&to);
    return r;
}

/* _depends(y, [x..]): a tuple of bools. */
FUNCTION(depends)
{
    PyObject *y, *x;
    py_room from = {.more = NULL}, to = {.more = NULL};
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!", &y, &PyTuple_Type, &x))
        return NULL;
    Py_ssize_t n = PyTuple_Size(x);
    kl_tensor **in = inputs_of(x, &from);
    bool *on = in ? py_room_for(&to, n) : NULL;
    bool ok = on && !kl_depends_at(py_place(), py_t(y), in, (int)n, on);
    PyObject *r = ok ? PyTuple_New(n) : py_raise();
    for (Py_ssize_t i = n; r && i-- > 0;)
        if (PyTuple_SetItem(r, i, PyBool_FromLong(on[i])))
            Py_CLEAR(r);
    py_room_end(&from);
    py_room_end(&to);
    return r;
}

static PyObject *shares_memory(PyObject *self, PyObject *args)
{
    PyObject *a, *b;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!", py.tensor, &a, py.tensor, &b))
        return NULL;
    return PyBool_FromLong(kl_shares_memory(py_t(a), py_t(b)));
}

/* t.unsqueeze_(0): the object is what its view was. */
FUNCTION(become)
{
    (void)self;
    PyObject *t, *other;
    if (!PyArg_ParseTuple(args, "O!O!", py.tensor, &t, py.tensor, &other))
        return NULL;
    py_become(t, other);
    Py_INCREF(t);
    return t;
}

/* _as_class(cls, t, follow=False): an object of the class over t's storage; follow: with
 * t's gradient, as a view. */
FUNCTION(as_class)
{
    PyObject *cls, *t;
    int follow = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!|p", &PyType_Type, &cls, py.tensor, &t, &follow))
        return NULL;
    if (!PyType_IsSubtype((PyTypeObject *)cls, py.tensor)) {
        PyErr_SetString(
            PyExc_RuntimeError,
            "Creating a Tensor subclass from a class that does not inherit from "
            "Tensor is not possible. Make sure your class inherits from Tensor.");
        return NULL;
    }
    kl_tensor *of = py_t(t);
    return py_wrap_as((PyTypeObject *)cls,
                      follow ? kl_view_at(py_place(), of, kl_shape_of(of))
                             : kl_detach_at(py_place(), of));
}

/* _slice(t, dim, start, stop, step): a view, as Python's slice.indices gives the bounds:
 * with a negative step stop -1 is before the first. */
FUNCTION(slice)
{
    PyObject *t;
    long long start, stop, step;
    int dim;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!iLLL", py.tensor, &t, &dim, &start, &stop, &step))
        return NULL;
    stop = stop < 0 ? -KL_END : stop;
    return py_wrap(kl_slice_at(py_place(), py_t(t), dim, start, stop, step));
}

/* _printoptions(precision, threshold, edgeitems, linewidth, sci_mode); sci_mode -1: by
 * the numbers. Without arguments: what they are. */
FUNCTION(printoptions)
{
    kl_printoptions o = kl_get_printoptions();
    long long threshold = o.threshold, edgeitems = o.edgeitems;
    (void)self;
    if (!PyArg_ParseTuple(args, "|iLLii", &o.precision, &threshold, &edgeitems,
                          &o.linewidth, &o.sci_mode))
        return NULL;
    o.threshold = threshold;
    o.edgeitems = edgeitems;
    kl_set_printoptions(o);
    return Py_BuildValue("iLLii", o.precision, threshold, edgeitems, o.linewidth,
                         o.sci_mode);
}

/* _setup(Size, return_types, package folder) */
FUNCTION(setup)
{
    PyObject *size, *types, *package;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOO", &size, &types, &package))
        return NULL;
    Py_INCREF(size);
    Py_INCREF(types);
    Py_INCREF(package);
    py.size = size;
    py.return_types = types;
    py.package = package;
    Py_RETURN_NONE;
}

/* Other Python threads run while this one waits for a kernel. */
static void *let_go(void)
{
    return PyEval_SaveThread();
}

static void take_back(void *thread)
{
    PyEval_RestoreThread(thread);
}

/* Whether a signal's handler has raised: Ctrl-C. */
static bool interrupted(void *thread)
{
    PyEval_RestoreThread(thread);
    bool stop = PyErr_CheckSignals() != 0;
    PyEval_SaveThread();
    return stop;
}

static PyMethodDef methods[] = {
    {"_tensor", tensor_from, METH_VARARGS, "A new tensor of data."},
    {"_from_buffer", from_buffer, METH_O, "A tensor over another's memory."},
    {"_over_bytes", over_bytes, METH_VARARGS, "A 1-d tensor over a buffer's bytes."},
    {"_set_grad_enabled", set_grad_enabled, METH_O, "Returns what it was."},
    {"is_grad_enabled", is_grad_enabled, METH_NOARGS, "Whether operations are recorded."},
    {"set_default_dtype", set_default_dtype, METH_O, "The real dtype of new tensors."},
    {"get_default_dtype", get_default_dtype, METH_NOARGS,
     "The real dtype of new tensors."},
    {"_grad", grad, METH_VARARGS, "Gradients by some tensors."},
    {"_depends", depends, METH_VARARGS, "Whether it was made from each of some tensors."},
    {"_shares_memory", shares_memory, METH_VARARGS, "Whether two have one storage."},
    {"_as_class", as_class, METH_VARARGS, "An object of a subclass."},
    {"_become", become, METH_VARARGS, "An object with another's tensor from here on."},
    {"_slice", slice, METH_VARARGS, "A view of every step-th; the step may be negative."},
    {"_printoptions", printoptions, METH_VARARGS, "How tensors print."},
    {"_setup", setup, METH_VARARGS, "What the Python side gives."},
    {0},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_kiln", "kiln's C side.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__kiln(void)
{
    kl_set_wait(let_go, take_back);
    kl_set_stop(interrupted);
    PyObject *m = PyModule_Create(&definition);
    py.linalg_error =
        PyErr_NewException("kiln.linalg.LinAlgError", PyExc_RuntimeError, NULL);
    if (m && PyModule_AddObjectRef(m, "LinAlgError", py.linalg_error))
        Py_CLEAR(m);
    if (m && (py_types_init(m) || py_tensor_init(m) || py_functions_init(m) ||
              py_autograd_init(m) || py_optim_init(m) || py_override_init(m) ||
              py_generator_init(m) || py_files_init(m) || py_device_init(m) ||
              py_inspect_init(m) || py_dlpack_init(m) || py_autocast_init(m) ||
              py_jit_init(m) || py_report_init(m) || py_caller_init(m) ||
              py_draw_init(m) || py_place_init(m)))
        Py_CLEAR(m);
    return m;
}
