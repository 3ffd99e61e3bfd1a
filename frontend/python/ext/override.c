/* override.c: PyTorch's protocol for classes of the user's: __torch_function__ of an
 * argument's type, or of a mode, carries a function out.
 *
 *   class Mine(Tensor): ..
 *   Mine([1.]) + 1  ->  Mine.__torch_function__(Tensor.add, (Mine,), (x, 1), {})
 *
 * Tensor's own (overrides.py) gives results the argument's class. Where it is
 * _disabled_torch_function, as Parameter's is, the class counts as Tensor itself. */
#include "py.h"

static _Thread_local struct {
    PyObject *mode; /* what the innermost mode does; NULL: there is none */
    bool off;       /* subclasses count as Tensor */
} state;
static PyObject *disabled, *hook_name;

/* NULL, without an exception: the type has none. */
static PyObject *hook_of(PyTypeObject *type)
{
    PyObject *hook = PyObject_GetAttr((PyObject *)type, hook_name);
    if (!hook)
        PyErr_Clear();
    if (hook == disabled)
        Py_CLEAR(hook);
    return hook;
}

/* any: not of tensors alone. */
static bool has_hook(PyObject *o, bool any)
{
    PyTypeObject *t = Py_TYPE(o);
    if (t == py.tensor || (PyType_IsSubtype(t, py.tensor) ? state.off : !any))
        return false;
    PyObject *hook = hook_of(t);
    Py_XDECREF(hook);
    return hook != NULL;
}

bool py_overriding(PyObject *o)
{
    return has_hook(o, false);
}

/* A subclass comes before what it is made from. */
static bool add_type(PyObject *types, PyTypeObject *t)
{
    Py_ssize_t i = 0, n = PyList_Size(types);
    while (i < n && !PyType_IsSubtype(t, (PyTypeObject *)PyList_GetItem(types, i)))
        i++;
    if (i < n && PyList_GetItem(types, i) == (PyObject *)t)
        return true;
    return PyList_Insert(types, i, (PyObject *)t) == 0;
}

/* Whether an argument, or an element of a list that is one, has a hook; types: collects
 * whose. */
static bool look(PyObject *const *args, Py_ssize_t n, bool any, PyObject *types)
{
    bool found = false;
    for (Py_ssize_t i = 0; i < n && (types || !found); i++) {
        bool list = PyList_Check(args[i]), many = list || PyTuple_Check(args[i]);
        Py_ssize_t m = list ? PyList_Size(args[i]) : many ? PyTuple_Size(args[i]) : 1;
        for (Py_ssize_t k = 0; k < m; k++) {
            PyObject *o = list   ? PyList_GetItem(args[i], k)
                          : many ? PyTuple_GetItem(args[i], k)
                                 : args[i];
            if (has_hook(o, any))
                found = types ? add_type(types, Py_TYPE(o)) : true;
        }
    }
    return found;
}

bool py_overrides(PyObject *const *args, Py_ssize_t n)
{
    return state.mode || (!state.off && look(args, n, false, NULL));
}

/* The first hook's answer that is one. */
static PyObject *ask(PyObject *fn, PyObject *types, PyObject *args, PyObject *named)
{
    Py_ssize_t n = PyTuple_Size(types);
    for (Py_ssize_t i = state.mode ? -1 : 0; i < n; i++) {
        PyObject *hook =
            i < 0 ? state.mode : hook_of((PyTypeObject *)PyTuple_GetItem(types, i));
        if (i < 0)
            Py_INCREF(hook);
        PyObject *r =
            hook ? PyObject_CallFunctionObjArgs(hook, fn, types, args, named, NULL)
                 : NULL;
        Py_XDECREF(hook);
        if (r != Py_NotImplemented)
            return r;
        Py_DECREF(r);
    }
    PyErr_Format(PyExc_TypeError,
                 "no implementation found for %R on types that implement "
                 "__torch_function__: %R",
                 fn, types);
    return NULL;
}

static PyObject *as_tuple(PyObject *self, PyObject *const *args, Py_ssize_t n)
{
    int one = self != NULL;
    PyObject *all = PyTuple_New(n + one);
    for (Py_ssize_t i = 0; all && i < n + one; i++) {
        PyObject *o = i < one ? self : args[i - one];
        Py_INCREF(o);
        PyTuple_SetItem(all, i, o);
    }
    return all;
}

PyObject *py_override(PyObject *fn, PyObject *self, PyObject *const *args, Py_ssize_t n,
                      PyObject *names)
{
    Py_ssize_t k = names ? PyTuple_Size(names) : 0;
    PyObject *types = PyList_New(0), *of = NULL, *all = NULL, *named = NULL, *r = NULL;
    if (!types)
        return NULL;
    bool found = self && look(&self, 1, true, types);
    found = look(args, n + k, true, types) || found || state.mode;
    if (found && !PyErr_Occurred()) {
        of = PyList_AsTuple(types);
        all = as_tuple(self, args, n);
        named = PyDict_New();
        bool ok = of && all && named;
        for (Py_ssize_t i = 0; ok && i < k; i++)
            ok = !PyDict_SetItem(named, PyTuple_GetItem(names, i), args[n + i]);
        r = ok ? ask(fn, of, all, named) : NULL;
    }
    Py_XDECREF(named);
    Py_XDECREF(all);
    Py_XDECREF(of);
    Py_DECREF(types);
    return r;
}

PyObject *py_operator(const char *name, const char *reflected, PyObject *const *args,
                      Py_ssize_t n)
{
    bool swap = n == 2 && reflected && !py_is_tensor(args[0]);
    PyObject *turned[] = {args[n - 1], args[0]};
    PyObject *fn = PyObject_GetAttrString((PyObject *)py.tensor, swap ? reflected : name);
    PyObject *r = fn ? py_override(fn, NULL, swap ? turned : args, n, NULL) : NULL;
    Py_XDECREF(fn);
    if (!r && reflected && PyErr_ExceptionMatches(PyExc_TypeError))
        PyErr_Clear(); /* the other operand's turn */
    if (!r && !PyErr_Occurred())
        Py_RETURN_NOTIMPLEMENTED;
    return r;
}

/* ---- for overrides.py ---- */

/* _disabled_torch_function(func, types, args, kwargs) */
static PyObject *run_plain(PyObject *self, PyObject *args)
{
    PyObject *fn, *types, *all = NULL, *named = NULL;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO|OO", &fn, &types, &all, &named))
        return NULL;
    PyObject *none = all ? NULL : PyTuple_New(0);
    bool was = state.off;
    state.off = true;
    PyObject *r = PyObject_Call(fn, all ? all : none, named == Py_None ? NULL : named);
    state.off = was;
    Py_XDECREF(none);
    return r;
}

/* _torch_function_off(on): what it was. */
static PyObject *set_off(PyObject *self, PyObject *on)
{
    (void)self;
    bool was = state.off;
    state.off = PyObject_IsTrue(on) == 1;
    return PyBool_FromLong(was);
}

static PyObject *set_mode(PyObject *self, PyObject *hook)
{
    (void)self;
    PyObject *was = state.mode;
    state.mode = hook == Py_None ? NULL : hook;
    Py_XINCREF(state.mode);
    Py_XDECREF(was);
    Py_RETURN_NONE;
}

/* _like_class(of, t): t, of of's class where that is the user's. */
static PyObject *like_class(PyObject *self, PyObject *args)
{
    PyObject *of, *t;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!O!", py.tensor, &of, py.tensor, &t))
        return NULL;
    if (py_overriding(of))
        return py_wrap_as(Py_TYPE(of), kl_detach_at(py_place(), py_t(t)));
    Py_INCREF(t);
    return t;
}

static PyMethodDef methods[] = {
    {"_disabled_torch_function", run_plain, METH_VARARGS,
     "The __torch_function__ of a class that counts as Tensor."},
    {"_like_class", like_class, METH_VARARGS,
     "A new tensor, of another's class where that is the user's."},
    {"_torch_function_off", set_off, METH_O,
     "Whether the thread's subclasses count as Tensor; gives what it was."},
    {"_set_mode", set_mode, METH_O, "What the thread's innermost mode does, or None."},
    {0},
};

int py_override_init(PyObject *module)
{
    hook_name = PyUnicode_InternFromString("__torch_function__");
    if (!hook_name || PyModule_AddFunctions(module, methods))
        return -1;
    disabled = PyObject_GetAttrString(module, methods[0].ml_name);
    return disabled ? 0 : -1;
}
