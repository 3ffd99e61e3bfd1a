/* autograd.c: derivatives written in Python: hooks on tensors and autograd.Function. kiln
 * calls back with the gradients that have arrived; Python's exceptions travel through it.
 */
#include "py.h"

/* A tensor of the open scope as a Python object, or None. */
static PyObject *lend(kl_tensor *t)
{
    if (t)
        return py_adopt(py.tensor, kl_tensor_ref(t));
    Py_RETURN_NONE;
}

/* A Python object as a tensor of the open scope. */
static kl_status take(PyObject *o, kl_tensor **t)
{
    *t = NULL;
    if (o == Py_None)
        return KL_OK;
    if (!py_is_tensor(o)) {
        PyErr_Format(PyExc_TypeError,
                     "expected Variable, but got an object of another type");
        return KL_ERR_ARG;
    }
    *t = kl_scope_hold(py_t(o));
    return *t ? KL_OK : KL_ERR_OOM;
}

/* user: a callable taking nout gradients, giving a tuple of nin. */
static kl_status call(void *user, kl_tensor *const *dy, int nout, kl_tensor **dx, int nin)
{
    PyObject *args = PyTuple_New(nout), *r = NULL;
    kl_status st = KL_ERR_STATE;
    for (int i = 0; args && i < nout; i++) {
        PyObject *o = lend(dy[i]);
        if (!o || PyTuple_SetItem(args, i, o))
            Py_CLEAR(args);
    }
    r = args ? PyObject_CallObject(user, args) : NULL;
    if (r && (!PyTuple_Check(r) || PyTuple_Size(r) != nin))
        PyErr_Format(
            PyExc_RuntimeError,
            "function returned an incorrect number of gradients (expected %d, got "
            "%zd)",
            nin, PyTuple_Check(r) ? PyTuple_Size(r) : 1);
    else if (r)
        st = KL_OK;
    for (int i = 0; i < nin && st == KL_OK; i++)
        st = take(PyTuple_GetItem(r, i), &dx[i]);
    Py_XDECREF(args);
    Py_XDECREF(r);
    return st;
}

static void drop(void *user)
{
    PyGILState_STATE s = PyGILState_Ensure();
    Py_DECREF((PyObject *)user);
    PyGILState_Release(s);
}

/* _hook(t, fn): fn(grad) gives a tuple of the gradient that goes on, or None. */
static PyObject *hook(PyObject *self, PyObject *args)
{
    PyObject *t, *fn;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O", py.tensor, &t, &fn))
        return NULL;
    Py_INCREF(fn);
    if (kl_hook_at(py_place(), py_t(t), call, fn, drop))
        return py_raise();
    Py_RETURN_NONE;
}

/* A name as a string that stays: tensors and nodes keep it without a count. */
static const char *kept_name(PyObject *name)
{
    static PyObject *names;
    if (!name || (!names && !(names = PyDict_New())))
        return NULL;
    PyObject *known = PyDict_GetItemWithError(names, name);
    if (!known && PyDict_SetItem(names, name, name) == 0)
        known = name;
    return known ? PyUnicode_AsUTF8AndSize(known, NULL) : NULL;
}

/* _custom(inputs, outputs, fn, name=None): outputs as results of inputs, with fn for
 * derivative; name: of their grad_fn. */
static PyObject *custom(PyObject *self, PyObject *args)
{
    PyObject *in, *out, *fn, *name = NULL;
    kl_tensor *x[PY_MAX_LIST], *y[PY_MAX_LIST];
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!O|U", &PyTuple_Type, &in, &PyTuple_Type, &out, &fn,
                          &name))
        return NULL;
    Py_ssize_t nin = PyTuple_Size(in), nout = PyTuple_Size(out);
    if (nin > PY_MAX_LIST || nout > PY_MAX_LIST)
        return PyErr_Format(PyExc_ValueError, "more than %d tensors", PY_MAX_LIST);
    for (Py_ssize_t i = 0; i < nin; i++)
        x[i] = py_t(PyTuple_GetItem(in, i));
    for (Py_ssize_t i = 0; i < nout; i++)
        y[i] = py_t(PyTuple_GetItem(out, i));
    Py_INCREF(fn);
    if (kl_custom_at(py_place(), x, (int)nin, y, (int)nout, call, fn, drop))
        return py_raise();
    const char *kept = kept_name(name);
    PyObject *r = PyErr_Occurred() ? NULL : PyTuple_New(nout);
    for (Py_ssize_t i = 0; kept && i < nout; i++)
        kl_tensor_named(y[i], kept);
    for (Py_ssize_t i = nout; r && i-- > 0;) {
        PyObject *o = py_wrap(y[i]);
        if (!o || PyTuple_SetItem(r, i, o))
            Py_CLEAR(r);
    }
    return r;
}

/* What a tensor's grad_fn was given: a list of tensors. */
static PyObject *grad_operands(PyObject *self, PyObject *of)
{
    kl_tensor *t[64];
    (void)self;
    if (!py_is_tensor(of))
        return PyErr_Format(PyExc_TypeError, "a tensor was expected");
    kl_scope_begin();
    int n = kl_grad_operands(py_t(of), t, 64);
    PyObject *list = n < 0 ? py_raise() : PyList_New(0);
    for (int i = 0; i < n && list; i++) {
        PyObject *o = py_adopt(py.tensor, kl_scope_take(t[i]));
        if (!o || PyList_Append(list, o))
            Py_CLEAR(list);
        Py_XDECREF(o);
    }
    kl_scope_drop();
    return list;
}

static PyObject *grad_id(PyObject *self, PyObject *of)
{
    (void)self;
    if (!py_is_tensor(of))
        return PyErr_Format(PyExc_TypeError, "a tensor was expected");
    return PyLong_FromUnsignedLongLong(kl_grad_id(py_t(of)));
}

static PyMethodDef methods[] = {
    {"_grad_id", grad_id, METH_O, "Alike where gradients meet in one operation or leaf."},
    {"_grad_operands", grad_operands, METH_O, "What a tensor's grad_fn was given."},
    {"_hook", hook, METH_VARARGS, "Call fn with the tensor's gradient on its way."},
    {"_custom", custom, METH_VARARGS, "Results of a function with its own derivative."},
    {0},
};

int py_autograd_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
