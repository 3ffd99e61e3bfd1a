/* jit.c: Python functions traced to programs that can be called, saved and given to
 * kilnc. kl_compile calls back with tensors that have no values yet. */
#include "py.h"

#include <stdlib.h>

static const char capsule_name[] = "kiln.jit.program";

static void free_program(PyObject *capsule)
{
    kl_function_free(PyCapsule_GetPointer(capsule, capsule_name));
}

static PyObject *wrap(kl_function *f)
{
    if (PyErr_Occurred()) { /* the traced function's own */
        kl_error_clear();
        kl_function_free(f);
        return NULL;
    }
    if (!f)
        return py_raise();
    PyObject *c = PyCapsule_New(f, capsule_name, free_program);
    if (!c)
        kl_function_free(f);
    return c;
}

kl_function *py_program(PyObject *o)
{
    return PyCapsule_GetPointer(o, capsule_name);
}

/* ---- tracing ---- */

static int now_tracing; /* how deep; under the GIL */

typedef struct tracing {
    PyObject *fn;
    int nin, nout;
} tracing;

static PyObject *arguments(kl_tensor *const *in, int n)
{
    PyObject *args = PyTuple_New(n);
    for (int i = 0; args && i < n; i++) {
        PyObject *o = py_adopt(py.tensor, kl_tensor_ref(in[i]));
        if (!o || PyTuple_SetItem(args, i, o))
            Py_CLEAR(args);
    }
    return args;
}

/* fn(*inputs) gives a tuple of nout tensors. */
static void trace(kl_tensor *const *in, kl_tensor **out, void *user)
{
    tracing *t = user;
    PyErr_Clear(); /* of a trace at sizes that did not fit */
    PyObject *args = arguments(in, t->nin);
    now_tracing++;
    PyObject *r = args ? PyObject_CallObject(t->fn, args) : NULL;
    now_tracing--;
    Py_XDECREF(args);
    for (int i = 0; r && i < t->nout; i++) {
        PyObject *o =
            PyTuple_Check(r) && i < PyTuple_Size(r) ? PyTuple_GetItem(r, i) : NULL;
        if (!o || !py_is_tensor(o))
            PyErr_SetString(PyExc_TypeError,
                            "a traced function gives a tensor or a tuple of tensors");
        else
            out[i] = kl_scope_hold(py_t(o));
        if (PyErr_Occurred())
            break;
    }
    Py_XDECREF(r);
}

static int input_of(PyObject *o, kl_input *in)
{
    PyObject *dtype, *shape;
    return PyArg_ParseTuple(o, "sO!O", &in->name, py.dtype, &dtype, &shape) &&
                   py_as_dtype(dtype, &in->dtype) == 1 &&
                   py_as_ints(shape, &in->shape) == 1
               ? 0
               : -1;
}

static int dimension_of(PyObject *o, kl_dimension *d)
{
    long long min, max, divisor = 0, like = 0;
    if (!PyArg_ParseTuple(o, "sLL|LLs", &d->name, &min, &max, &divisor, &like, &d->is))
        return -1;
    d->min = min;
    d->max = max;
    d->divisor = divisor;
    d->like = like;
    return 0;
}

/* What a trace is told, in one piece of memory. */
typedef struct plan {
    kl_input *in;
    int *donated; /* NULL: none */
    kl_dimension *dims;
    int ndims;
} plan;

static int read_plan(plan *p, tracing *t, PyObject *in, PyObject *donated, PyObject *dims)
{
    t->nin = (int)PyTuple_Size(in);
    p->ndims = (int)PyTuple_Size(dims);
    p->in = calloc((size_t)t->nin + 1, sizeof *p->in);
    p->donated = calloc((size_t)t->nout + 1, sizeof *p->donated);
    p->dims = calloc((size_t)p->ndims + 1, sizeof *p->dims);
    if (!p->in || !p->donated || !p->dims)
        return PyErr_NoMemory() ? 0 : -1;
    for (int i = 0; i < t->nin; i++)
        if (input_of(PyTuple_GetItem(in, i), &p->in[i]))
            return -1;
    for (int i = 0; i < t->nout && i < PyTuple_Size(donated); i++)
        p->donated[i] = (int)PyLong_AsLong(PyTuple_GetItem(donated, i));
    for (int i = 0; i < p->ndims; i++)
        if (dimension_of(PyTuple_GetItem(dims, i), &p->dims[i]))
            return -1;
    return PyErr_Occurred() ? -1 : 0;
}

/* _jit_trace(fn, inputs, nout, donated, dims): fn on tensors without values. An input is
 * (name, dtype, shape), an extent -1 - i in it dimension number i; donated: per output, 1
 * + the input that it may be written over, or 0; a dimension is (name, least, most), a
 * divisor of its sizes, a size that works and a formula behind it if there are. */
static PyObject *jit_trace(PyObject *self, PyObject *args)
{
    PyObject *in, *donated, *dims, *r = NULL;
    tracing t;
    plan p = {0};
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!iO!O!", &t.fn, &PyTuple_Type, &in, &t.nout,
                          &PyTuple_Type, &donated, &PyTuple_Type, &dims))
        return NULL;
    t.nout = t.nout < 0 ? 0 : t.nout;
    if (read_plan(&p, &t, in, donated, dims) == 0)
        r = wrap(p.ndims
                     ? kl_compile_sized_donating_at(py_place(), trace, &t, p.in, t.nin,
                                                    t.nout, p.donated, p.dims, p.ndims)
                     : kl_compile_donating_at(py_place(), trace, &t, p.in, t.nin, t.nout,
                                              p.donated));
    free(p.in);
    free(p.donated);
    free(p.dims);
    return r;
}

/* _draw_from(seed or None): kl_draw_from. */
static PyObject *draw_from(PyObject *self, PyObject *seed)
{
    (void)self;
    if (kl_draw_from_at(py_place(), py_is_tensor(seed) ? py_t(seed) : NULL))
        return py_raise();
    Py_RETURN_NONE;
}

static PyObject *jit_load(PyObject *self, PyObject *args)
{
    const char *path;
    (void)self;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    return wrap(kl_program_load_at(py_place(), path));
}

static PyObject *jit_save(PyObject *self, PyObject *args)
{
    PyObject *f;
    const char *path;
    (void)self;
    if (!PyArg_ParseTuple(args, "Os", &f, &path) || !py_program(f))
        return NULL;
    if (kl_program_save_at(py_place(), py_program(f), path))
        return py_raise();
    Py_RETURN_NONE;
}

/* ---- what it is ---- */

static PyObject *port(kl_dtype dt, kl_ints shape)
{
    PyObject *d = py_dtype(dt), *s = py_size(shape);
    PyObject *r = d && s ? PyTuple_Pack(2, d, s) : NULL;
    Py_XDECREF(d);
    Py_XDECREF(s);
    return r;
}

/* (name, least, most, divisor) */
static PyObject *dimension(const kl_function *f, int i)
{
    int64_t min, max, by;
    const char *name = kl_function_dim(f, i, &min, &max, &by);
    return Py_BuildValue("sLLL", name, (long long)min, (long long)max, (long long)by);
}

/* Adds (output, what it counts, along which axis), if it does. */
static bool add_counted(PyObject *list, const kl_function *f, int i)
{
    int axis, of = kl_function_counted(f, i, &axis);
    PyObject *c = of >= 0 ? Py_BuildValue("iii", i, of, axis) : NULL;
    bool bad = of >= 0 && (!c || PyList_Append(list, c));
    Py_XDECREF(c);
    return !bad;
}

/* _jit_about(f): (input names, inputs, outputs, dimensions, counts); an input is (dtype,
 * shape), -1 in a shape: it depends on the dimensions. */
static PyObject *jit_about(PyObject *self, PyObject *o)
{
    kl_function *f = py_program(o);
    (void)self;
    if (!f)
        return NULL;
    enum { PARTS = 5 };
    PyObject *r[PARTS];
    kl_ints shape;
    bool bad = false;
    for (int i = 0; i < PARTS; i++)
        bad |= !(r[i] = PyList_New(0));
    for (int i = 0; !bad && i < kl_function_inputs(f); i++) {
        PyObject *name = PyUnicode_FromString(kl_function_name(f, i));
        kl_dtype dt = kl_function_in(f, i, &shape);
        PyObject *p = port(dt, shape);
        bad = !name || !p || PyList_Append(r[0], name) || PyList_Append(r[1], p);
        Py_XDECREF(name);
        Py_XDECREF(p);
    }
    for (int i = 0; !bad && i < kl_function_outputs(f); i++) {
        kl_dtype dt = kl_function_out(f, i, &shape);
        PyObject *p = port(dt, shape);
        bad = !p || PyList_Append(r[2], p) || !add_counted(r[4], f, i);
        Py_XDECREF(p);
    }
    for (int i = 0; !bad && i < kl_function_dims(f); i++) {
        PyObject *d = dimension(f, i);
        bad = !d || PyList_Append(r[3], d);
        Py_XDECREF(d);
    }
    PyObject *all = bad ? NULL : PyTuple_Pack(PARTS, r[0], r[1], r[2], r[3], r[4]);
    for (int i = 0; i < PARTS; i++)
        Py_XDECREF(r[i]);
    return all;
}

/* ---- calling ---- */

enum { DIMS = 64 };
typedef struct a_call {
    kl_function *f;
    kl_tensor *t[2 * PY_MAX_LIST]; /* inputs, then outputs */
    int nin, nout;
    int64_t dims[DIMS];
} a_call;

/* The outputs, owned by the open scope, for the inputs' shapes. */
static kl_status make_outputs(a_call *c)
{
    kl_ints shapes[PY_MAX_LIST], shape;
    for (int i = 0; i < c->nin; i++)
        shapes[i] = kl_shape_of(c->t[i]);
    kl_status st = kl_function_bind(c->f, shapes, c->dims);
    for (int i = 0; i < c->nout && st == KL_OK; i++) {
        kl_dtype dt = kl_function_out_at(c->f, i, c->dims, &shape);
        c->t[c->nin + i] = kl_empty_at(py_place(), shape, dt);
        st = c->t[c->nin + i] ? KL_OK : kl_error_status();
    }
    return st;
}

static kl_status run(a_call *c)
{
    void *p[2 * PY_MAX_LIST];
    int n = c->nin + c->nout, shown = 0;
    while (shown < n && !kl_failed()) {
        p[shown] = kl_data_at(py_place(), c->t[shown]);
        shown++;
    }
    kl_status st = kl_failed() ? kl_error_status() : KL_OK;
    PyThreadState *held = PyEval_SaveThread();
    if (st == KL_OK)
        st = kl_function_dims(c->f)
                 ? kl_function_call_sized(c->f, c->dims, (const void *const *)p,
                                          p + c->nin)
                 : kl_function_call(c->f, (const void *const *)p, p + c->nin);
    PyEval_RestoreThread(held);
    while (shown-- > 0)
        kl_data_done(c->t[shown]);
    return st;
}

static PyObject *results(const a_call *c)
{
    PyObject *r = PyTuple_New(c->nout);
    for (int i = 0; r && i < c->nout; i++) {
        PyObject *o = py_adopt(py.tensor, kl_tensor_ref(c->t[c->nin + i]));
        if (!o || PyTuple_SetItem(r, i, o))
            Py_CLEAR(r);
    }
    return r;
}

/* _jit_call(f, inputs): a tuple of new tensors. Inputs are contiguous, of the program's
 * dtypes, as many as it has: the caller has seen to it. */
static PyObject *jit_call(PyObject *self, PyObject *args)
{
    PyObject *o, *inputs;
    a_call c;
    (void)self;
    if (!PyArg_ParseTuple(args, "OO!", &o, &PyTuple_Type, &inputs) ||
        !(c.f = py_program(o)))
        return NULL;
    c.nin = (int)PyTuple_Size(inputs);
    c.nout = kl_function_outputs(c.f);
    if (c.nin > PY_MAX_LIST || c.nout > PY_MAX_LIST || kl_function_dims(c.f) > DIMS)
        return PyErr_Format(PyExc_ValueError, "more than %d tensors or dimensions", DIMS);
    for (int i = 0; i < c.nin; i++)
        c.t[i] = py_t(PyTuple_GetItem(inputs, i));
    kl_scope_begin();
    kl_status st = make_outputs(&c);
    if (st == KL_OK)
        st = run(&c);
    PyObject *r = st == KL_OK ? results(&c) : py_raise();
    kl_scope_drop();
    return r;
}

static PyObject *is_tracing(PyObject *self, PyObject *unused)
{
    (void)self;
    (void)unused;
    return PyBool_FromLong(now_tracing > 0);
}

/* _set_name(t, name): what reports, kernels and saved files call it. */
static PyObject *set_name(PyObject *self, PyObject *args)
{
    PyObject *t;
    const char *name;
    (void)self;
    if (!PyArg_ParseTuple(args, "O!s", py.tensor, &t, &name))
        return NULL;
    kl_named(py_t(t), name);
    Py_RETURN_NONE;
}

static PyMethodDef methods[] = {
    {"_jit_trace", jit_trace, METH_VARARGS, "A function's program."},
    {"_draw_from", draw_from, METH_O, "Random numbers by a seed that is a tensor."},
    {"_jit_load", jit_load, METH_VARARGS, "A program from a file."},
    {"_jit_save", jit_save, METH_VARARGS, "A program to a file."},
    {"_jit_about", jit_about, METH_O, "A program's inputs and outputs."},
    {"_jit_call", jit_call, METH_VARARGS, "Run a program."},
    {"_is_tracing", is_tracing, METH_NOARGS, "Whether a function is being traced."},
    {"_set_name", set_name, METH_VARARGS, "A tensor's name for reports and files."},
    {0},
};

int py_jit_init(PyObject *module)
{
    return PyModule_AddFunctions(module, methods);
}
