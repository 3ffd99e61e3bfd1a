/* inspect.c: what kiln did, what it would do and why, and how it does it. */
#include "py.h"

#include <stdlib.h>

static PyObject *stats(PyObject *self, PyObject *unused)
{
    static const struct {
        const char *name;
        size_t at;
    } fields[] = {
#define FIELD(name) {#name, offsetof(kl_counters, name)}
        FIELD(kernels_launched),
        FIELD(kernels_compiled),
        FIELD(kernels_from_disk),
        FIELD(programs_compiled),
        FIELD(programs_from_disk),
        FIELD(program_hits),
        FIELD(programs_of_sizes),
        FIELD(program_sizes),
        FIELD(store_absent),
        FIELD(store_damaged),
        FIELD(host_copies),
        FIELD(device_copies),
        FIELD(host_copy_bytes),
        FIELD(device_copy_bytes),
        FIELD(casts),
        FIELD(llvm_opened),
        FIELD(code_bytes),
        FIELD(pool_bytes),
        FIELD(pool_peak),
#undef FIELD
    };
    kl_counters c = kl_stats();
    PyObject *d = PyDict_New();
    (void)self;
    (void)unused;
    for (size_t i = 0; d && i < sizeof fields / sizeof *fields; i++) {
        int64_t value = *(const int64_t *)(const void *)((const char *)&c + fields[i].at);
        PyObject *v = PyLong_FromLongLong(value);
        if (!v || PyDict_SetItemString(d, fields[i].name, v))
            Py_CLEAR(d);
        Py_XDECREF(v);
    }
    return d;
}

/* _explain((t, ..)): kl_explain's text. */
static PyObject *explain(PyObject *self, PyObject *args)
{
    kl_tensor *t[PY_MAX_LIST];
    Py_ssize_t n = PyTuple_Size(args);
    (void)self;
    if (n > PY_MAX_LIST)
        return PyErr_Format(PyExc_ValueError, "more than %d tensors", PY_MAX_LIST);
    for (Py_ssize_t i = 0; i < n; i++) {
        PyObject *o = PyTuple_GetItem(args, i);
        if (!py_is_tensor(o)) {
            PyErr_SetString(PyExc_TypeError, "expected Tensors");
            return NULL;
        }
        t[i] = py_t(o);
    }
    char *text = kl_explain_at(py_place(), t, (int)n);
    if (!text)
        return py_raise();
    PyObject *r = PyUnicode_FromString(text);
    free(text);
    return r;
}

static PyObject *set_num_threads(PyObject *self, PyObject *n)
{
    int over = 0;
    long v = PyLong_AsLongAndOverflow(n, &over);
    (void)self;
    if (PyErr_Occurred())
        return NULL;
    if (over || v < 1) {
        PyErr_SetString(PyExc_RuntimeError, "set_num_threads expects a positive integer");
        return NULL;
    }
    kl_set_num_threads((int)(v > 1024 ? 1024 : v));
    Py_RETURN_NONE;
}

static PyObject *num_threads(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyLong_FromLong(kl_num_threads());
}

static PyObject *set_nan_check(PyObject *self, PyObject *on)
{
    (void)self;
    return PyBool_FromLong(kl_set_nan_check(PyObject_IsTrue(on) == 1));
}

static PyObject *set_pinned_shapes(PyObject *self, PyObject *on)
{
    (void)self;
    return PyBool_FromLong(kl_set_pinned_shapes(PyObject_IsTrue(on) == 1));
}

static PyObject *profile_begin(PyObject *self, PyObject *args)
{
    const char *path;
    (void)self;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    kl_profile_begin(path);
    Py_RETURN_NONE;
}

static PyObject *profile_end(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    if (kl_profile_end())
        return py_raise();
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_stats", stats, METH_NOARGS, "kl_stats() by name."},
    {"_explain", explain, METH_VARARGS, "Which kernels would compute these tensors."},
    {"_set_num_threads", set_num_threads, METH_O, "Threads that kernels run on."},
    {"_num_threads", num_threads, METH_NOARGS, "Threads that kernels run on."},
    {"_set_nan_check", set_nan_check, METH_O, "Look for NaNs; returns what it was."},
    {"_set_pinned_shapes", set_pinned_shapes, METH_O,
     "Every size has its own program; returns what it was."},
    {"_profile_begin", profile_begin, METH_VARARGS, "Note what runs."},
    {"_profile_end", profile_end, METH_NOARGS, "Write the trace."},
    {0},
};

int py_inspect_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
