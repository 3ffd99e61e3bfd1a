/* files.c: files that the core reads and writes, and whose storage a tensor lies in. */
#include "py.h"

#include <stdlib.h>

static bool tensor_given(PyObject *o)
{
    if (!py_is_tensor(o))
        PyErr_SetString(PyExc_TypeError, "expected a Tensor");
    return py_is_tensor(o);
}

/* _load(path, ending) of a .npy file: a tensor; of a .npz or .safetensors: {name:
 * tensor}. */
static PyObject *load(PyObject *self, PyObject *args)
{
    const char *path;
    int one;
    (void)self;
    if (!PyArg_ParseTuple(args, "sp", &path, &one))
        return NULL;
    if (one)
        return py_wrap(kl_load_at(py_place(), path, NULL));
    kl_scope_begin();
    int n = kl_load_all_at(py_place(), path, NULL, 0);
    kl_tensor **t = n >= 0 ? calloc((size_t)n + 1, sizeof *t) : NULL;
    if (t)
        n = kl_load_all_at(py_place(), path, t, n);
    PyObject *dict = t && n >= 0 ? PyDict_New() : NULL;
    for (int i = 0; dict && i < n; i++) {
        PyObject *o = py_adopt(py.tensor, kl_tensor_ref(t[i]));
        if (!o || PyDict_SetItemString(dict, kl_name(t[i]), o))
            Py_CLEAR(dict);
        Py_XDECREF(o);
    }
    bool broken = !t || n < 0;
    kl_scope_end();
    free(t);
    return broken ? py_raise() : dict;
}

/* _save(path, {name: tensor}): by the path's ending. */
static PyObject *save(PyObject *self, PyObject *args)
{
    const char *path;
    PyObject *dict, *name, *value;
    Py_ssize_t at = 0;
    int n = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "sO!", &path, &PyDict_Type, &dict))
        return NULL;
    kl_tensor **t = calloc((size_t)PyDict_Size(dict) + 1, sizeof *t);
    if (!t)
        return PyErr_NoMemory();
    kl_scope_begin();
    bool ok = true;
    while (ok && PyDict_Next(dict, &at, &name, &value)) {
        const char *s =
            PyUnicode_Check(name) ? PyUnicode_AsUTF8AndSize(name, NULL) : NULL;
        ok = s && py_is_tensor(value);
        if (ok)
            t[n] = kl_named(kl_detach_at(py_place(), py_t(value)), s);
        n += ok;
    }
    kl_status st = ok ? kl_save_at(py_place(), path, t, n) : KL_ERR_ARG;
    kl_scope_end();
    free(t);
    if (!ok && !PyErr_Occurred())
        PyErr_SetString(PyExc_TypeError, "save: expected a dict of tensors by name");
    if (st)
        return py_raise();
    Py_RETURN_NONE;
}

/* _storage(t): a number that all tensors of its storage share, and its bytes. */
static PyObject *storage(PyObject *self, PyObject *t)
{
    (void)self;
    if (!tensor_given(t))
        return NULL;
    return Py_BuildValue("KL", (unsigned long long)kl_storage_id(py_t(t)),
                         (long long)kl_storage_nbytes(py_t(t)));
}

/* _data_ptr(t): the address of its first element. Its storage stays exposed. */
static PyObject *data_ptr(PyObject *self, PyObject *t)
{
    (void)self;
    if (!tensor_given(t))
        return NULL;
    void *p = kl_data_at(py_place(), py_t(t));
    return kl_failed() ? py_raise() : PyLong_FromVoidPtr(p);
}

/* _is_view(t): whether a function made it as a view of another tensor. */
static PyObject *is_view(PyObject *self, PyObject *t)
{
    (void)self;
    return tensor_given(t) ? PyBool_FromLong(kl_is_view(py_t(t))) : NULL;
}

/* _to_bytes(t): its elements, row-major. */
static PyObject *to_bytes(PyObject *self, PyObject *t)
{
    (void)self;
    if (!tensor_given(t))
        return NULL;
    Py_ssize_t n = (Py_ssize_t)kl_nbytes(py_t(t));
    PyObject *r = PyBytes_FromStringAndSize(NULL, n);
    if (r && kl_copy_out_at(py_place(), py_t(t), PyBytes_AsString(r), (size_t)n)) {
        Py_DECREF(r);
        return py_raise();
    }
    return r;
}

/* _from_bytes(bytes, dtype): a 1-d tensor of as many elements as bytes has whole ones. */
static PyObject *from_bytes(PyObject *self, PyObject *args)
{
    const char *bytes;
    Py_ssize_t n;
    PyObject *dtype;
    kl_dtype dt;
    (void)self;
    if (!PyArg_ParseTuple(args, "y#O", &bytes, &n, &dtype))
        return NULL;
    if (py_as_dtype(dtype, &dt) != 1) {
        PyErr_SetString(PyExc_TypeError, "expected a dtype");
        return NULL;
    }
    int64_t count = n / (Py_ssize_t)kl_dtype_size(dt);
    return py_wrap(kl_tensor_copy_at(py_place(), bytes, dt, kl_shape(count)));
}

static PyMethodDef methods[] = {
    {"_load", load, METH_VARARGS, "Tensors of a file."},
    {"_save", save, METH_VARARGS, "Tensors into a file."},
    {"_to_bytes", to_bytes, METH_O, "The elements' bytes."},
    {"_from_bytes", from_bytes, METH_VARARGS, "A tensor of bytes."},
    {"_is_view", is_view, METH_O, "Whether it is a view of another."},
    {"_storage", storage, METH_O, "Which storage, and its bytes."},
    {"_data_ptr", data_ptr, METH_O, "The first element's address."},
    {0},
};

int py_files_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
