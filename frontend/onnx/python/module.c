/* module.c: the extension module kiln._onnx: models read, called and compiled. Tensors
 * are kiln._kiln's, whose functions this one is linked to; a program is kiln.jit's. */
#include "py.h"

#include "kiln/onnx.h"

#include <stdlib.h>

static const char model_name[] = "kiln.onnx.model", program_name[] = "kiln.jit.program";

static void free_model(PyObject *capsule)
{
    kl_onnx_free(PyCapsule_GetPointer(capsule, model_name));
}

static void free_program(PyObject *capsule)
{
    kl_function_free(PyCapsule_GetPointer(capsule, program_name));
}

static kl_onnx *model(PyObject *o)
{
    return PyCapsule_GetPointer(o, model_name);
}

static PyObject *wrap(kl_onnx *m)
{
    PyObject *c = m ? PyCapsule_New(m, model_name, free_model) : py_raise();
    if (m && !c)
        kl_onnx_free(m);
    return c;
}

/* load(path) */
static PyObject *load(PyObject *self, PyObject *args)
{
    const char *path;
    (void)self;
    return PyArg_ParseTuple(args, "s", &path) ? wrap(kl_onnx_load(path)) : NULL;
}

/* read(name, bytes, folder or None) */
static PyObject *read_bytes(PyObject *self, PyObject *args)
{
    const char *name, *folder;
    Py_buffer b;
    (void)self;
    if (!PyArg_ParseTuple(args, "sy*z", &name, &b, &folder))
        return NULL;
    kl_onnx *m = kl_onnx_read(name, b.buf, (size_t)b.len, folder);
    PyBuffer_Release(&b);
    return wrap(m);
}

/* (name, type, dtype or None, dimensions or None): an extent is a number, a name or None
 */
static PyObject *port(kl_onnx_port p)
{
    PyObject *dims = p.shaped ? PyTuple_New(p.shape.n) : Py_NewRef(Py_None);
    for (int i = 0; p.shaped && dims && i < p.shape.n; i++) {
        PyObject *d = p.shape.v[i] >= 0 ? PyLong_FromLongLong(p.shape.v[i])
                      : *p.dims[i]      ? PyUnicode_FromString(p.dims[i])
                                        : Py_NewRef(Py_None);
        if (!d || PyTuple_SetItem(dims, i, d))
            Py_CLEAR(dims);
    }
    PyObject *dt = p.dtype < KL_DTYPE_COUNT ? py_dtype(p.dtype) : Py_NewRef(Py_None);
    PyObject *r = dims && dt ? Py_BuildValue("siOO", p.name, p.type, dt, dims) : NULL;
    Py_XDECREF(dims);
    Py_XDECREF(dt);
    return r;
}

/* about(model): (inputs, outputs) */
static PyObject *about(PyObject *self, PyObject *o)
{
    kl_onnx *m = model(o);
    (void)self;
    if (!m)
        return NULL;
    PyObject *in = PyList_New(0), *out = PyList_New(0), *r = NULL;
    bool bad = !in || !out;
    for (int i = 0; !bad && i < kl_onnx_inputs(m) + kl_onnx_outputs(m); i++) {
        bool input = i < kl_onnx_inputs(m);
        PyObject *p =
            port(input ? kl_onnx_input(m, i) : kl_onnx_output(m, i - kl_onnx_inputs(m)));
        bad = !p || PyList_Append(input ? in : out, p);
        Py_XDECREF(p);
    }
    if (!bad)
        r = PyTuple_Pack(2, in, out);
    Py_XDECREF(in);
    Py_XDECREF(out);
    return r;
}

/* operators(model, missing): a line each */
static PyObject *operators(PyObject *self, PyObject *args)
{
    PyObject *o;
    int missing;
    (void)self;
    if (!PyArg_ParseTuple(args, "Op", &o, &missing) || !model(o))
        return NULL;
    char *text = kl_onnx_operators(model(o), missing);
    PyObject *r = text ? PyUnicode_FromString(text) : py_raise();
    free(text);
    return r;
}

static bool operands(const kl_onnx *m, PyObject *tensors, kl_tensor **t)
{
    if (PyTuple_Size(tensors) != kl_onnx_inputs(m) || kl_onnx_inputs(m) > PY_MAX_LIST ||
        kl_onnx_outputs(m) > PY_MAX_LIST) {
        PyErr_SetString(PyExc_TypeError, "another number of tensors");
        return false;
    }
    for (int i = 0; i < kl_onnx_inputs(m); i++)
        t[i] = py_t(PyTuple_GetItem(tensors, i));
    return true;
}

/* call(model, tensors): (tensors, types) */
static PyObject *call(PyObject *self, PyObject *args)
{
    PyObject *o, *tensors;
    kl_tensor *in[PY_MAX_LIST], *out[PY_MAX_LIST];
    int types[PY_MAX_LIST];
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!", &o, &PyTuple_Type, &tensors) || !model(o) ||
        !operands(model(o), tensors, in))
        return NULL;
    int n = kl_onnx_outputs(model(o));
    kl_scope_begin();
    bool ok = kl_onnx_call(model(o), in, out, types) == KL_OK &&
              kl_realize_all_at(py_place(), out, n) == KL_OK;
    PyObject *t = ok ? PyTuple_New(n) : py_raise(), *k = ok ? PyTuple_New(n) : NULL;
    for (int i = 0; t && k && i < n; i++) {
        PyObject *x = py_adopt(py.tensor, kl_tensor_ref(out[i]));
        PyObject *type = PyLong_FromLong(types[i]);
        if (!x || !type || PyTuple_SetItem(t, i, x) || PyTuple_SetItem(k, i, type))
            Py_CLEAR(t);
    }
    kl_scope_drop();
    PyObject *r = t && k ? PyTuple_Pack(2, t, k) : NULL;
    Py_XDECREF(t);
    Py_XDECREF(k);
    return r;
}

/* compile(model, tensors or None, padded): a program at these shapes, or with open
 * dimensions; padded: sizes that elements decide are bounds, with counts behind */
static PyObject *compile(PyObject *self, PyObject *args)
{
    PyObject *o, *tensors;
    kl_tensor *in[PY_MAX_LIST];
    kl_ints shapes[PY_MAX_LIST];
    int padded;
    (void)self;
    if (!PyArg_ParseTuple(args, "OOp", &o, &tensors, &padded) || !model(o) ||
        (tensors != Py_None && !operands(model(o), tensors, in)))
        return NULL;
    for (int i = 0; tensors != Py_None && i < kl_onnx_inputs(model(o)); i++)
        shapes[i] = kl_shape_of(in[i]);
    const kl_ints *at = tensors == Py_None ? NULL : shapes;
    kl_function *f =
        padded ? kl_onnx_compile_padded(model(o), at) : kl_onnx_compile(model(o), at);
    PyObject *c = f ? PyCapsule_New(f, program_name, free_program) : py_raise();
    if (f && !c)
        kl_function_free(f);
    return c;
}

static PyMethodDef methods[] = {
    {"load", load, METH_VARARGS, "A model of a file."},
    {"read", read_bytes, METH_VARARGS, "A model of bytes."},
    {"about", about, METH_O, "A model's inputs and outputs."},
    {"operators", operators, METH_VARARGS, "Operators that are there, or missing."},
    {"call", call, METH_VARARGS, "A model's results."},
    {"compile", compile, METH_VARARGS, "A model as a program."},
    {0},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, "_onnx", "ONNX models.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__onnx(void)
{
    return PyModule_Create(&definition);
}
