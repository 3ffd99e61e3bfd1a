/* convert.c: Python's values as kiln's: numbers, operands, lists of integers. */
#include "py.h"

static int complex_arg(PyObject *o, kl_arg *a)
{
    *a = kl_arg_c(PyComplex_RealAsDouble(o), PyComplex_ImagAsDouble(o));
    return 1;
}

/* Neither Python's numbers nor tensors: NumPy's scalars say what they are by protocol. */
static int foreign_number(PyObject *o, kl_arg *a)
{
    if (PyUnicode_Check(o) || PyBytes_Check(o) || PySequence_Check(o))
        return 0;
    if (PyIndex_Check(o)) {
        PyObject *i = PyNumber_Index(o);
        if (!i) { /* numpy.bool_ has the slot and refuses */
            PyErr_Clear();
        } else {
            int r = py_as_arg(i, a);
            Py_DECREF(i);
            return r;
        }
    }
    PyObject *name = PyType_GetName(Py_TYPE(o));
    const char *s = name ? PyUnicode_AsUTF8AndSize(name, NULL) : "";
    bool logical = s && (s[0] == 'b' && s[1] == 'o' && s[2] == 'o' && s[3] == 'l');
    bool real = s && (s[0] == 'f' && s[1] == 'l' && s[2] == 'o');
    bool complex = s && (s[0] == 'c' && s[1] == 'o' && s[2] == 'm' && s[3] == 'p');
    Py_XDECREF(name);
    if (complex) {
        PyObject *c = PyObject_CallMethod(o, "__complex__", NULL);
        int r = c ? complex_arg(c, a) : -1;
        Py_XDECREF(c);
        return r;
    }
    if (logical) {
        int v = PyObject_IsTrue(o);
        *a = kl_arg_b(v > 0);
        return v < 0 ? -1 : 1;
    }
    if (!real)
        return 0;
    PyObject *f = PyNumber_Float(o);
    if (!f)
        return -1;
    *a = kl_arg_d(PyFloat_AsDouble(f));
    Py_DECREF(f);
    return 1;
}

int py_fail_type(PyObject *exception, const char *format, PyObject *o)
{
    PyObject *name = PyType_GetName(Py_TYPE(o));
    if (name)
        PyErr_Format(exception, format, name);
    Py_XDECREF(name);
    return -1;
}

int py_as_arg(PyObject *o, kl_arg *a)
{
    if (py_is_tensor(o)) {
        *a = kl_arg_t(py_t(o));
        return 1;
    }
    if (PyFloat_Check(o)) {
        *a = kl_arg_d(PyFloat_AsDouble(o));
        return 1;
    }
    if (PyBool_Check(o)) {
        *a = kl_arg_b(o == Py_True);
        return 1;
    }
    if (PyLong_Check(o)) {
        int overflow;
        long long v = PyLong_AsLongLongAndOverflow(o, &overflow);
        if (overflow) {
            PyErr_SetString(PyExc_OverflowError, "int too big to convert");
            return -1;
        }
        *a = kl_arg_i(v);
        return 1;
    }
    if (PyComplex_Check(o))
        return complex_arg(o, a);
    return o == Py_None ? 0 : foreign_number(o, a);
}

bool py_is_int(PyObject *o)
{
    if (PyLong_Check(o))
        return !PyBool_Check(o);
    if (PyFloat_Check(o) || PyUnicode_Check(o))
        return false;
    if (py_is_tensor(o))
        return kl_dtype_of(py_t(o)) < KL_F16 && kl_dtype_of(py_t(o)) != KL_BOOL &&
               kl_rank(py_t(o)) == 0;
    return PyIndex_Check(o);
}

int py_as_int(PyObject *o, int64_t *v)
{
    if (!py_is_int(o) && !PyBool_Check(o))
        return 0;
    PyObject *i = PyNumber_Index(o);
    if (!i) {
        PyErr_Clear();
        return 0;
    }
    int overflow;
    *v = PyLong_AsLongLongAndOverflow(i, &overflow);
    Py_DECREF(i);
    if (!overflow)
        return 1;
    PyErr_SetString(PyExc_RuntimeError, "Overflow when unpacking long long");
    return -1;
}

int py_as_double(PyObject *o, double *v)
{
    kl_arg a;
    if (py_is_tensor(o)) {
        if (kl_numel(py_t(o)) != 1 || kl_rank(py_t(o)) != 0)
            return 0;
        PyObject *item = py_item(py_t(o));
        int r = item ? py_as_double(item, v) : -1;
        Py_XDECREF(item);
        return r;
    }
    int r = py_as_arg(o, &a);
    if (r != 1 || a.kind == KL_ARG_COMPLEX)
        return r < 0 ? r : 0;
    *v = a.d;
    return 1;
}

static int as_ints(PyObject *o, bool none, kl_ints *v)
{
    bool tuple = PyTuple_Check(o);
    if (!tuple && !PyList_Check(o))
        return 0;
    Py_ssize_t n = tuple ? PyTuple_Size(o) : PyList_Size(o);
    v->n = n > KL_INTS_MAX ? KL_INTS_MAX + 1 : (int)n;
    for (Py_ssize_t i = 0; i < n && i < KL_INTS_MAX; i++) {
        PyObject *e = tuple ? PyTuple_GetItem(o, i) : PyList_GetItem(o, i);
        v->v[i] = -1;
        int r = none && e == Py_None ? 1 : py_as_int(e, &v->v[i]);
        if (r != 1)
            return r;
    }
    return 1;
}

int py_as_ints(PyObject *o, kl_ints *v)
{
    return as_ints(o, false, v);
}
int py_as_sizes(PyObject *o, kl_ints *v)
{
    return as_ints(o, true, v);
}
