/* types.c: kiln.dtype and kiln.device. One dtype object a dtype, so that `is` works and
 * comparing is comparing addresses; both print as PyTorch's. */
#include "py.h"

#include <stdlib.h>
#include <string.h>

py_state py;

/* ---- dtype ---- */

typedef struct py_dtype_object {
    PyObject_HEAD kl_dtype dt;
} py_dtype_object;

static kl_dtype dt_of(PyObject *self)
{
    return ((py_dtype_object *)self)->dt;
}

PyObject *py_dtype(kl_dtype dt)
{
    Py_INCREF(py.dtypes[dt]);
    return py.dtypes[dt];
}

static PyObject *dtype_repr(PyObject *self)
{
    return PyUnicode_FromFormat("torch.%s", kl_dtype_name(dt_of(self)));
}

static PyObject *dtype_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    return PyUnicode_FromString(kl_dtype_name(dt_of(self)));
}

static bool is_complex(kl_dtype dt)
{
    return dt == KL_C64 || dt == KL_C128;
}
static bool is_float(kl_dtype dt)
{
    return dt == KL_F16 || dt == KL_BF16 || dt == KL_F32 || dt == KL_F64;
}

static PyObject *dtype_get(PyObject *self, void *what)
{
    kl_dtype dt = dt_of(self);
    switch (*(const char *)what) {
    case 'f':
        return PyBool_FromLong(is_float(dt));
    case 'c':
        return PyBool_FromLong(is_complex(dt));
    case 's':
        return PyBool_FromLong(dt != KL_BOOL && dt != KL_U8 && dt != KL_U16 &&
                               dt != KL_U32 && dt != KL_U64);
    default:
        return PyLong_FromSize_t(kl_dtype_size(dt));
    }
}

static PyGetSetDef dtype_getset[] = {
    {"is_floating_point", dtype_get, NULL, "float16, bfloat16, float32, float64", "f"},
    {"is_complex", dtype_get, NULL, "complex64, complex128", "c"},
    {"is_signed", dtype_get, NULL, "Holds negative numbers.", "s"},
    {"itemsize", dtype_get, NULL, "Bytes of an element.", "i"},
    {0},
};
static PyMethodDef dtype_methods[] = {
    {"__reduce__", dtype_reduce, METH_NOARGS, NULL},
    {0},
};
static PyType_Slot dtype_slots[] = {
    {Py_tp_repr, dtype_repr},
    {Py_tp_getset, dtype_getset},
    {Py_tp_methods, dtype_methods},
    {Py_tp_doc, "The type of a tensor's elements."},
    {0, NULL},
};
static PyType_Spec dtype_spec = {"kiln.dtype", sizeof(py_dtype_object), 0,
                                 Py_TPFLAGS_DEFAULT | Py_TPFLAGS_DISALLOW_INSTANTIATION,
                                 dtype_slots};

int py_as_dtype(PyObject *o, kl_dtype *dt)
{
    if (Py_TYPE(o) == py.dtype)
        *dt = dt_of(o);
    else if (o == (PyObject *)&PyBool_Type)
        *dt = KL_BOOL;
    else if (o == (PyObject *)&PyLong_Type)
        *dt = KL_I64;
    else if (o == (PyObject *)&PyFloat_Type)
        *dt = KL_F64;
    else if (o == (PyObject *)&PyComplex_Type)
        *dt = KL_C128;
    else
        return 0;
    return 1;
}

/* ---- device ---- */

typedef struct py_device_object {
    PyObject_HEAD int kind, index; /* of kinds; -1: none */
} py_device_object;

static const char *const kinds[] = {"cpu", "cuda", "mps", "xla", "meta"};
enum { KINDS = sizeof kinds / sizeof *kinds, MAX_INDEX = 127 };

static int parse_device(const char *s, py_device_object *d)
{
    size_t n = strcspn(s, ":");
    for (int k = 0; k < KINDS; k++) {
        if (strlen(kinds[k]) != n || memcmp(kinds[k], s, n) != 0)
            continue;
        d->kind = k;
        d->index = -1;
        if (!s[n])
            return 0;
        char *end;
        long v = strtol(s + n + 1, &end, 10);
        if (s[n + 1] < '0' || s[n + 1] > '9' || *end || v > MAX_INDEX)
            break; /* a sign or a blank before the number, or none */
        d->index = (int)v;
        return 0;
    }
    PyErr_Format(PyExc_RuntimeError,
                 "Expected one of cpu, cuda, mps, xla, meta device type "
                 "at start of device string: %s",
                 s);
    return -1;
}

static PyObject *device_alloc(int kind, int index)
{
    allocfunc alloc = (allocfunc)PyType_GetSlot(py.device, Py_tp_alloc);
    py_device_object *d = (py_device_object *)alloc(py.device, 0);
    if (d)
        d->kind = kind, d->index = index;
    return (PyObject *)d;
}

static PyObject *device_new(PyTypeObject *type, PyObject *args, PyObject *kw)
{
    static char *names[] = {"type", "index", NULL};
    PyObject *what;
    int index = -1;
    (void)type;
    if (!PyArg_ParseTupleAndKeywords(args, kw, "O|i", names, &what, &index))
        return NULL;
    if (Py_TYPE(what) == py.device) {
        Py_INCREF(what);
        return what;
    }
    if (PyLong_Check(what)) {
        long number = PyLong_AsLong(what);
        if (number >= 0 && number <= MAX_INDEX)
            return device_alloc(1, (int)number);
        PyErr_Clear();
        PyErr_SetString(PyExc_RuntimeError, "Device index must not be negative");
        return NULL;
    }
    const char *s = PyUnicode_Check(what) ? PyUnicode_AsUTF8AndSize(what, NULL) : NULL;
    py_device_object d = {.kind = 0};
    if (!s) {
        if (!PyErr_Occurred())
            PyErr_SetString(PyExc_TypeError, "device(): argument 'type' must be str");
        return NULL;
    }
    if (parse_device(s, &d))
        return NULL;
    return device_alloc(d.kind, index >= 0 ? index : d.index);
}

static PyObject *device_str(PyObject *self)
{
    py_device_object *d = (py_device_object *)self;
    return d->index < 0 ? PyUnicode_FromString(kinds[d->kind])
                        : PyUnicode_FromFormat("%s:%d", kinds[d->kind], d->index);
}

static PyObject *device_repr(PyObject *self)
{
    py_device_object *d = (py_device_object *)self;
    return d->index < 0 ? PyUnicode_FromFormat("device(type='%s')", kinds[d->kind])
                        : PyUnicode_FromFormat("device(type='%s', index=%d)",
                                               kinds[d->kind], d->index);
}

static PyObject *device_compare(PyObject *a, PyObject *b, int op)
{
    if (Py_TYPE(b) != py.device || (op != Py_EQ && op != Py_NE))
        Py_RETURN_NOTIMPLEMENTED;
    py_device_object *x = (py_device_object *)a, *y = (py_device_object *)b;
    bool same = x->kind == y->kind && x->index == y->index;
    return PyBool_FromLong(same == (op == Py_EQ));
}

static Py_hash_t device_hash(PyObject *self)
{
    py_device_object *d = (py_device_object *)self;
    return d->kind * 257 + d->index + 2;
}

static PyObject *device_type(PyObject *self, void *unused)
{
    (void)unused;
    return PyUnicode_FromString(kinds[((py_device_object *)self)->kind]);
}

static PyObject *device_index(PyObject *self, void *unused)
{
    int i = ((py_device_object *)self)->index;
    (void)unused;
    if (i < 0)
        Py_RETURN_NONE;
    return PyLong_FromLong(i);
}

static PyObject *device_reduce(PyObject *self, PyObject *unused)
{
    (void)unused;
    PyObject *s = device_str(self);
    return s ? Py_BuildValue("O(N)", py.device, s) : NULL;
}

static PyGetSetDef device_getset[] = {
    {"type", device_type, NULL, "'cpu', 'cuda', ..", NULL},
    {"index", device_index, NULL, "Its number, or None.", NULL},
    {0},
};
static PyMethodDef device_methods[] = {
    {"__reduce__", device_reduce, METH_NOARGS, NULL},
    {0},
};
static PyType_Slot device_slots[] = {
    {Py_tp_new, device_new},
    {Py_tp_repr, device_repr},
    {Py_tp_str, device_str},
    {Py_tp_richcompare, device_compare},
    {Py_tp_hash, device_hash},
    {Py_tp_getset, device_getset},
    {Py_tp_methods, device_methods},
    {Py_tp_doc, "Where a tensor's memory is."},
    {0, NULL},
};
static PyType_Spec device_spec = {"kiln.device", sizeof(py_device_object), 0,
                                  Py_TPFLAGS_DEFAULT, device_slots};

PyObject *py_device(const kl_tensor *t)
{
    py_device_object d = {.kind = 0};
    return parse_device(kl_device_of(t), &d) ? NULL : device_alloc(d.kind, d.index);
}

/* Names that live for ever, one a device. */
static const char *name_of(int kind, int index)
{
    static char names[MAX_INDEX + 1][12];
    if (kind == 0)
        return "cpu";
    index = index < 0 ? 0 : index; /* the current device is the first */
    PyOS_snprintf(names[index], sizeof names[index], "cuda:%d", index);
    return names[index];
}

const char *py_as_device(PyObject *o)
{
    PyObject *d = PyObject_CallFunctionObjArgs((PyObject *)py.device, o, NULL);
    if (!d)
        return NULL;
    int kind = ((py_device_object *)d)->kind, index = ((py_device_object *)d)->index;
    Py_DECREF(d);
    if (kind <= 1)
        return name_of(kind, index);
    PyErr_Format(PyExc_RuntimeError, "kiln is not linked with support for %s devices",
                 kinds[kind]);
    return NULL;
}

int py_types_init(PyObject *module)
{
    py.dtype = (PyTypeObject *)PyType_FromSpec(&dtype_spec);
    py.device = (PyTypeObject *)PyType_FromSpec(&device_spec);
    if (!py.dtype || !py.device || PyModule_AddType(module, py.dtype) ||
        PyModule_AddType(module, py.device))
        return -1;
    allocfunc alloc = (allocfunc)PyType_GetSlot(py.dtype, Py_tp_alloc);
    for (int i = 0; i < KL_DTYPE_COUNT; i++) {
        py.dtypes[i] = alloc(py.dtype, 0);
        if (!py.dtypes[i])
            return -1;
        ((py_dtype_object *)py.dtypes[i])->dt = (kl_dtype)i;
        if (PyModule_AddObjectRef(module, kl_dtype_name((kl_dtype)i), py.dtypes[i]))
            return -1;
    }
    return 0;
}
